/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The ring: one direction's bytes. It knows nothing of sockets.
 *
 * A ring is a singly linked list of chunks. Each chunk is a circular buffer
 * whose size is a power of two. The writer fills the last chunk and links a
 * fresh one only when it is full; the reader drains the first and moves on
 * only when the bytes it wants lie in its successor. As long as the reader
 * keeps up, both stay in one chunk and nothing is allocated.
 *
 * Positions (@tail, @head, nym_chunk.base) count the bytes of the stream,
 * modulo 2^32. A byte at position p lies in its chunk at (p - base) mod size.
 *
 * Locking. @wlock serialises writers, @rlock readers; user memory is copied
 * under them, so they may be held as long as a page fault takes. Neither side
 * takes the other's lock, but for a reader that tries to while something is lent
 * (nym_loan_show()). What passes between them (ring.c has the details):
 *
 *   writer                                   reader
 *   bytes, new chunks, chunk->next           acquire tail
 *   release tail  ------------------------>  bytes up to tail
 *                                            copies the bytes out
 *   acquire head  <------------------------  release head
 *   overwrites what lies before head
 *
 * Who takes memory away from an idle ring has both locks.
 *
 * A chunk whose successor is linked is the reader's alone: the writer will
 * never look at it again, until the reader gives it back to be filled once more
 * (chunk.c).
 */
#ifndef _NYM_RING_H
#define _NYM_RING_H

#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/uio.h>

/* No chunk is larger than 2^NYM_CHUNK_ORDER_MAX pages. */
#define NYM_CHUNK_ORDER_MAX	3

/* Positions are compared as signed differences, so no ring may hold more. */
#define NYM_RING_LIMIT_MAX	BIT(30)

/* What a loan adds to nym_ring.extra: there is no room, whatever the limit. */
#define NYM_RING_FULL		NYM_RING_LIMIT_MAX

struct nym_loan;

/**
 * struct nym_chunk - one circular buffer of a ring
 * @next: the successor, linked (release) when this chunk has become full; or
 *	the next of those that are not in use
 * @data: the bytes; 2^@order pages
 * @base: the position of the first byte ever written to this chunk; fixed
 *	before the chunk is linked
 * @order: the size of @data
 * @entered: the reader has come past @base, so that only what it has not read
 *	is in the chunk; the writer's own note, because after 2^31 more bytes
 *	positions no longer tell
 */
struct nym_chunk {
	struct nym_chunk *next;
	void *data;
	u32 base;
	u8 order;
	bool entered;
};

/**
 * enum nym_ring_end - what the reader knows of the end
 * @NYM_END_OPEN: nothing
 * @NYM_END_ASKED: it is about to be told, unless bytes have come
 * @NYM_END_TOLD: it has been told; nothing that comes now is read
 */
enum nym_ring_end {
	NYM_END_OPEN,
	NYM_END_ASKED,
	NYM_END_TOLD,
};

/**
 * struct nym_ring - one direction's bytes
 * @wlock: serialises writers
 * @last: where the writer writes; NULL if there is no chunk; @wlock
 * @tail: all bytes before it are published; written under @wlock (release)
 * @shut: no more will be written, or nobody will read: the reader gets end
 *	of file, the writer EPIPE; set once (release), by either side; read
 *	(acquire) at any time
 * @deaf: the reader had shut down before it was connected: the writer gets
 *	EPIPE, but is not told otherwise, as with AF_UNIX; set once, in
 *	nym_conn_attach(), which wakes who sleeps, and read at any time
 * @dead: the reader has let go of the ring; set before it looks for unread
 *	bytes, so that a write it does not see sees this; see nym_conn_close()
 * @lost: when the reader let go, it threw bytes away; set before @head says so
 * @end: has the reader been told that there is no more? set under @rlock, and
 *	answered by a writer; see nym_ring_tell_end()
 * @sent: bytes of the user's that have ever been written; @wlock. Here and in
 *	@received a reader without the lock may see half of a carry on 32 bit.
 * @low: if not 0, the last record did not fit, and will when fewer bytes than
 *	this are used; written under @wlock, read at any time
 * @wake_at: if not 0, somebody waits until fewer bytes than this are filled;
 *	see nym_ring_stall()
 * @swept: a hash of @tail when chunk.c has last looked; @wlock. It may be taken
 *	for idle by chance, which costs an allocation.
 * @kept: it has or has had chunks; @wlock
 * @lent: a writer has lent something, and not ended that yet; @wlock
 * @spare: what the reader has given back; given by cmpxchg, taken by xchg
 * @stock: what the writer has taken of that, and not used yet; @wlock
 * @keeper: in a list of rings that have chunks, if it does; chunk.c
 * @rlock: serialises readers
 * @first: where the reader reads; valid when @tail != @head; @rlock, but with
 *	the first chunk set by the writer, before the tail that makes it visible
 * @head: all bytes before it have been read; written under @rlock (release)
 * @loan: what is to be read after all that is in the ring, or NULL; loan.c
 * @loan_lock: protects @loan and what it points to; spins
 * @owed: others have waited for the end of a loan, so it is their turn; @wlock
 * @received: bytes of the user's that have ever been read; @rlock
 * @extra: what counts against the limit besides unread bytes: marks, added by the
 *	writer and taken away by the reader, and NYM_RING_FULL during a loan
 */
struct nym_ring {
	struct mutex wlock;	/* of writers */
	struct nym_chunk *last;
	u32 tail;
	u32 low;
	u64 sent;
	u32 wake_at;
	u8 shut;
	u8 deaf;
	u8 dead;
	u8 lost;
	u32 end;		/* enum nym_ring_end */
	u16 swept;
	bool kept;
	bool lent;
	struct nym_chunk *spare;
	struct nym_chunk *stock;
	struct list_head keeper;
	struct mutex rlock;	/* of readers */
	struct nym_chunk *first;
	u32 head;
	atomic_t extra;
	struct nym_loan *loan;
	spinlock_t loan_lock;	/* see above */
	bool owed;
	u64 received;
};

/* Adds to @sent or @received, which others look at without the lock. */
static inline void nym_ring_count(u64 *bytes, size_t n)
{
	WRITE_ONCE(*bytes, *bytes + n);
}

/**
 * struct nym_ring_cursor - a place in a ring, ahead of what is published
 * @chunk: the chunk @pos lies in
 * @fresh: first chunk that is not linked yet; writer only
 * @pos: the position
 * @end: where the reader must stop; reader only
 * @head: what the reader had read when the writer began; writer only
 * @err: why less was appended than asked for; writer only
 */
struct nym_ring_cursor {
	struct nym_chunk *chunk;
	struct nym_chunk *fresh;
	u32 pos;
	union {
		u32 end;
		u32 head;
	};
	int err;
};

/**
 * nym_ring_used() - bytes published and not read
 * @ring: the ring
 *
 * Context: any; exact for the two sides themselves, a snapshot for others.
 * Return: the number of bytes
 */
static inline u32 nym_ring_used(const struct nym_ring *ring)
{
	/*
	 * The order matters to callers without a lock: head never passes the
	 * tail that is loaded after it. Both acquire: a reader goes on to
	 * read the bytes, a writer to overwrite them. Pairs with the release
	 * in nym_ring_consume().
	 */
	u32 head = smp_load_acquire(&ring->head);

	/* Pairs with the release in nym_ring_commit(). */
	return smp_load_acquire(&ring->tail) - head;
}

/**
 * nym_ring_is_empty() - is there nothing to read?
 * @ring: the ring
 *
 * Context: as nym_ring_used()
 * Return: true if it has no bytes, nor a loan
 */
static inline bool nym_ring_is_empty(const struct nym_ring *ring)
{
	/*
	 * In this order: what is not in a loan any more is in the ring. Pairs
	 * with the releases in nym_loan_lend() and nym_loan_gone().
	 */
	return !nym_ring_used(ring) && !smp_load_acquire(&ring->loan) &&
	       !nym_ring_used(ring);
}

/**
 * nym_ring_is_lost() - have bytes been published that nobody will read?
 * @ring: the ring, whose reader has let go
 *
 * Context: any
 * Return: true if so
 */
static inline bool nym_ring_is_lost(const struct nym_ring *ring)
{
	/*
	 * In this order: bytes that are not there any more may have been read.
	 * Pairs with nym_ring_drain(), which sets it before the head.
	 */
	return !nym_ring_is_empty(ring) || READ_ONCE(ring->lost);
}

/**
 * nym_ring_filled() - how much counts against the limit
 * @ring: the ring
 *
 * Context: as nym_ring_used()
 * Return: the number of bytes
 */
static inline u32 nym_ring_filled(const struct nym_ring *ring)
{
	return nym_ring_used(ring) + atomic_read(&ring->extra);
}

/**
 * nym_ring_room() - how much may be written
 * @ring: the ring
 * @limit: how many bytes the ring may hold
 *
 * Context: @ring->wlock held, else a snapshot
 * Return: the number of bytes
 */
static inline u32 nym_ring_room(const struct nym_ring *ring, u32 limit)
{
	u32 filled = nym_ring_filled(ring);

	return filled < limit ? limit - filled : 0;
}

/**
 * nym_ring_has_room() - need a writer wait?
 * @ring: the ring
 * @level: how many bytes may be in use for it to go on
 *
 * Context: any
 * Return: true if no more than that are in use, or if writing will fail
 */
static inline bool nym_ring_has_room(const struct nym_ring *ring, u32 level)
{
	/* Pairs with nym_ring_shut(): who sees it sees the reset before it. */
	return smp_load_acquire(&ring->shut) || nym_ring_filled(ring) <= level;
}

/* chunk.c */
struct nym_chunk *nym_chunk_get(struct nym_ring *ring, size_t want);
void nym_chunk_stock(struct nym_ring *ring, struct nym_chunk *chunk);
void nym_chunk_put(struct nym_ring *ring, struct nym_chunk *chunk);
void nym_chunks_free(struct nym_chunk *chunk);
void nym_chunks_recycle(struct nym_ring *ring, struct nym_chunk *first, struct nym_chunk *last);
void nym_chunks_keep(struct nym_ring *ring);
void nym_chunks_destroy(struct nym_ring *ring);
bool nym_chunks_sweep(void);
int nym_chunks_init(void);
void nym_chunks_exit(void);

/* ring.c */
void nym_ring_init(struct nym_ring *ring);

size_t nym_ring_append_pieces(struct nym_ring *ring, struct nym_ring_cursor *cur,
			      struct iov_iter *from, size_t len);
size_t nym_ring_put_pieces(struct nym_ring *ring, struct nym_ring_cursor *cur,
			   const void *from, size_t len);
bool nym_ring_link(struct nym_ring *ring, struct nym_ring_cursor *cur);
size_t nym_ring_fetch_pieces(struct nym_ring_cursor *cur, struct iov_iter *to,
			     size_t len);
void nym_ring_get_pieces(struct nym_ring_cursor *cur, void *to, size_t len);
void nym_ring_skip(struct nym_ring_cursor *cur, size_t len);
void nym_ring_leave(struct nym_ring *ring, struct nym_ring_cursor *cur);
void nym_ring_drain(struct nym_ring *ring);
bool nym_ring_tell_end(struct nym_ring *ring);
bool nym_ring_in_time(struct nym_ring *ring);

bool nym_ring_stall(struct nym_ring *ring, u32 level);

/* loan.c */
u32 nym_ring_unread(struct nym_ring *ring);

/**
 * nym_ring_write_begin() - start to append
 * @ring: the ring
 * @cur: is set to the end of what is published
 *
 * Context: @ring->wlock held until nym_ring_commit()
 */
static inline void nym_ring_write_begin(struct nym_ring *ring, struct nym_ring_cursor *cur)
{
	lockdep_assert_held(&ring->wlock);
	cur->chunk = ring->last;
	cur->fresh = NULL;
	cur->pos = ring->tail;
	/* Pairs with the release in nym_ring_consume(). */
	cur->head = smp_load_acquire(&ring->head);
	cur->err = 0;
}

static inline u32 nym_chunk_size(const struct nym_chunk *chunk)
{
	return PAGE_SIZE << chunk->order;
}

static inline u32 nym_chunk_offset(const struct nym_chunk *chunk, u32 pos)
{
	return (pos - chunk->base) & (nym_chunk_size(chunk) - 1);
}

/* How much can be written at @pos before @chunk is full? */
static inline u32 nym_chunk_room(struct nym_chunk *chunk, u32 pos, u32 head)
{
	if (!chunk->entered && (s32)(head - chunk->base) > 0)
		chunk->entered = true;
	return nym_chunk_size(chunk) -
	       (pos - (chunk->entered ? head : chunk->base));
}

/*
 * To and from user memory, with the chunk for a bound: of a bare address,
 * copy_from_iter() has to find out first what bounds it, at a cost.
 */
static inline size_t nym_chunk_copy_in(const struct nym_chunk *chunk, void *to, size_t len,
				       struct iov_iter *from)
{
	if (WARN_ON_ONCE(to + len > chunk->data + nym_chunk_size(chunk)))
		return 0;
	return _copy_from_iter(to, len, from);
}

static inline size_t nym_chunk_copy_out(const struct nym_chunk *chunk, const void *from,
					size_t len, struct iov_iter *to)
{
	if (WARN_ON_ONCE(from + len > chunk->data + nym_chunk_size(chunk)))
		return 0;
	return _copy_to_iter(from, len, to);
}

/**
 * nym_ring_append() - copy bytes behind the cursor, without publishing them
 * @ring: the ring
 * @cur: moves behind the bytes that were copied
 * @from: the bytes; advanced by as much
 * @len: how many; the caller keeps the ring's limit
 *
 * Context: sleeps; @ring->wlock held
 * Return: how many bytes were copied; if less than @len, @cur->err is -EFAULT
 * or -ENOMEM
 */
static inline size_t nym_ring_append(struct nym_ring *ring, struct nym_ring_cursor *cur,
				     struct iov_iter *from, size_t len)
{
	struct nym_chunk *chunk = cur->chunk;
	size_t copied;
	u32 off;

	if (unlikely(!chunk || len > nym_chunk_room(chunk, cur->pos, cur->head)))
		return nym_ring_append_pieces(ring, cur, from, len);
	off = nym_chunk_offset(chunk, cur->pos);
	if (unlikely(off + len > nym_chunk_size(chunk)))
		return nym_ring_append_pieces(ring, cur, from, len);
	copied = nym_chunk_copy_in(chunk, chunk->data + off, len, from);
	cur->pos += copied;
	if (unlikely(copied < len))
		cur->err = -EFAULT;
	return copied;
}

/**
 * nym_ring_put() - nym_ring_append() from kernel memory
 * @ring: the ring
 * @cur: as there
 * @from: the bytes
 * @len: how many
 *
 * Context: sleeps; @ring->wlock held
 * Return: as nym_ring_append()
 */
static inline size_t nym_ring_put(struct nym_ring *ring, struct nym_ring_cursor *cur,
				  const void *from, size_t len)
{
	struct nym_chunk *chunk = cur->chunk;
	u32 off;

	if (unlikely(!chunk || len > nym_chunk_room(chunk, cur->pos, cur->head)))
		return nym_ring_put_pieces(ring, cur, from, len);
	off = nym_chunk_offset(chunk, cur->pos);
	if (unlikely(off + len > nym_chunk_size(chunk)))
		return nym_ring_put_pieces(ring, cur, from, len);
	memcpy(chunk->data + off, from, len);
	cur->pos += len;
	return len;
}

/**
 * nym_ring_commit() - publish what was appended
 * @ring: the ring
 * @cur: the cursor; not to be used afterwards. Setting its position back to
 *	@ring->tail before the call publishes nothing.
 *
 * Context: @ring->wlock held
 */
static inline void nym_ring_commit(struct nym_ring *ring, struct nym_ring_cursor *cur)
{
	lockdep_assert_held(&ring->wlock);
	if (unlikely(cur->fresh) && !nym_ring_link(ring, cur))
		return;
	/* Pairs with nym_ring_read_begin() and nym_ring_used(). */
	smp_store_release(&ring->tail, cur->pos);
}

/**
 * nym_ring_read_begin() - start to fetch
 * @ring: the ring
 * @cur: is set to the first unread byte
 *
 * Context: @ring->rlock held until nym_ring_consume() or until the cursor is
 * dropped; dropping it without consuming leaves everything unread
 */
static inline void nym_ring_read_begin(struct nym_ring *ring, struct nym_ring_cursor *cur)
{
	lockdep_assert_held(&ring->rlock);
	cur->pos = ring->head;
	/* Pairs with the release in nym_ring_commit(). */
	cur->end = smp_load_acquire(&ring->tail);
	/* In an empty ring the writer may be about to set ->first. */
	cur->chunk = cur->pos == cur->end ? NULL : ring->first;
}

/**
 * nym_ring_fetch() - copy bytes out, without consuming them
 * @cur: moves behind the bytes that were copied
 * @to: where to; advanced by as much
 * @len: how many at most
 *
 * Context: sleeps; the ring's rlock held
 * Return: how many bytes were copied: all there are up to @len, or less when
 * user memory faulted
 */
static inline size_t nym_ring_fetch(struct nym_ring_cursor *cur, struct iov_iter *to,
				    size_t len)
{
	size_t n = min_t(size_t, len, cur->end - cur->pos), copied;
	struct nym_chunk *chunk = cur->chunk;
	u32 off;

	/* Pairs with the release in nym_ring_link(). */
	if (unlikely(!n || smp_load_acquire(&chunk->next)))
		return nym_ring_fetch_pieces(cur, to, n);
	off = nym_chunk_offset(chunk, cur->pos);
	if (unlikely(off + n > nym_chunk_size(chunk)))
		return nym_ring_fetch_pieces(cur, to, n);
	copied = nym_chunk_copy_out(chunk, chunk->data + off, n, to);
	cur->pos += copied;
	return copied;
}

/**
 * nym_ring_get() - nym_ring_fetch() to kernel memory
 * @cur: moves on by @len
 * @to: where to
 * @len: how many; as many are there
 *
 * Context: the ring's rlock held
 */
static inline void nym_ring_get(struct nym_ring_cursor *cur, void *to, size_t len)
{
	struct nym_chunk *chunk = cur->chunk;
	u32 off;

	/* Pairs with the release in nym_ring_link(). */
	if (unlikely(!len || smp_load_acquire(&chunk->next))) {
		nym_ring_get_pieces(cur, to, len);
		return;
	}
	off = nym_chunk_offset(chunk, cur->pos);
	if (unlikely(off + len > nym_chunk_size(chunk))) {
		nym_ring_get_pieces(cur, to, len);
		return;
	}
	memcpy(to, chunk->data + off, len);
	cur->pos += len;
}

/**
 * nym_ring_consume() - give back all bytes before the cursor
 * @ring: the ring
 * @cur: the cursor; not to be used afterwards
 *
 * Context: @ring->rlock held
 */
static inline void nym_ring_consume(struct nym_ring *ring, struct nym_ring_cursor *cur)
{
	lockdep_assert_held(&ring->rlock);
	if (cur->pos == ring->head)
		return;
	/* Pairs with the release in nym_ring_link(). */
	if (unlikely(cur->chunk != ring->first || smp_load_acquire(&cur->chunk->next)))
		nym_ring_leave(ring, cur);
	/*
	 * Pairs with the acquire in nym_ring_write_begin() and
	 * nym_ring_used().
	 */
	smp_store_release(&ring->head, cur->pos);
}

/**
 * nym_ring_unstall() - must the writer be woken?
 * @ring: the ring, from which the caller has just consumed, or taken back a loan
 *
 * Context: any
 * Return: true if somebody waits and can go on now; the caller wakes all who
 * wait, after a full barrier
 */
static inline bool nym_ring_unstall(struct nym_ring *ring)
{
	u32 wake_at;

	/* Pairs with the barrier in nym_ring_stall(), and @wake_at with that. */
	smp_mb();
	wake_at = READ_ONCE(ring->wake_at);
	if (likely(!wake_at) || !nym_ring_has_room(ring, wake_at - 1))
		return false;
	/* Who raises it in between is on its wait queue already. */
	WRITE_ONCE(ring->wake_at, 0);
	return true;
}

#endif /* _NYM_RING_H */
