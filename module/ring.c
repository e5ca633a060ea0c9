// SPDX-License-Identifier: GPL-2.0
/*
 * The ring: one direction's bytes. ring.h has the idea, the locking and what
 * passes between writer and reader; chunk.c has the memory.
 *
 * Copies may fault anywhere. A writer appends behind a cursor and publishes
 * with one store of the tail, so what it does not commit never was there; a
 * reader fetches behind a cursor and consumes what it wants to be gone.
 *
 * Memory order, as litmus tests: what a column says runs on one processor, all
 * variables are 0 at first, and "never" is what must not be found in the end.
 *
 * Publish: nym_ring_commit() against nym_ring_read_begin(), nym_ring_used().
 *
 *	writer				reader
 *	data = 1			r0 = load_acquire(tail)
 *	store_release(tail, 1)		r1 = data
 *
 *	never (r0 == 1 && r1 == 0)
 *
 * @data stands for all that comes with the bytes: the mark (marks.c), and
 * ring->first, when it is the first chunk.
 *
 * Link: nym_ring_link() against nym_ring_span(), nym_ring_leave(), and those who
 * only ask whether there is a successor, in ring.h. A reader at the end of its
 * chunk may see the next before a tail that tells of it. The chunk it leaves,
 * then free to be written to again, has seen its last of the writer.
 *
 *	writer				reader
 *	new->base = 1			r0 = load_acquire(old->next)
 *	r1 = old->data			if (r0)
 *	store_release(old->next, new)		r2 = r0->base, old->data = 2
 *
 *	never (r0 == new && (r1 == 2 || r2 == 0))
 *
 * Give back: nym_ring_consume() against nym_ring_write_begin().
 *
 *	reader				writer
 *	r0 = data			r1 = load_acquire(head)
 *	store_release(head, 1)		if (r1) data = 2
 *
 *	never (r0 == 2)
 *
 * Look: nym_ring_used() by anybody else. A reader has seen the tail up to which
 * it reads, and whoever sees its head, sees that tail, too.
 *
 *	writer			reader				third
 *	store_release(tail, 1)	r0 = load_acquire(tail)		r1 = load_acquire(head)
 *				store_release(head, r0)		r2 = load_acquire(tail)
 *
 *	never (r1 == 1 && r2 == 0)
 *
 * Sleep for room: nym_ring_stall() against nym_ring_unstall(). The writer is on
 * its wait queue before, and if it asks while the reader clears @wake_at, it is
 * seen there: before waking, nym_consumed() has a full barrier, and who enters
 * the queue has one, too. models/wake.pml tries all this, with two writers.
 *
 *	writer				reader
 *	wake_at = 1			store_release(head, 1)
 *	smp_mb()			smp_mb()
 *	r0 = load_acquire(head)		r1 = wake_at
 *
 *	never (r0 == 0 && r1 == 0)
 */
#include "ring.h"

/**
 * nym_ring_init() - make an empty ring
 * @ring: zeroed memory
 */
void nym_ring_init(struct nym_ring *ring)
{
	mutex_init(&ring->wlock);
	mutex_init(&ring->rlock);
	spin_lock_init(&ring->loan_lock);
	INIT_LIST_HEAD(&ring->keeper);
}

/*
 * Makes room for at least one byte at the cursor. A reader that does not keep up
 * is given more at a time to read.
 */
static int nym_ring_extend(struct nym_ring *ring, struct nym_ring_cursor *cur,
			   size_t want)
{
	struct nym_chunk *chunk;

	if (cur->chunk)
		want = max_t(size_t, want, 2 * nym_chunk_size(cur->chunk));
	chunk = nym_chunk_get(ring, want);
	if (!chunk)
		return -ENOMEM;
	chunk->base = cur->pos;
	chunk->entered = false;
	if (cur->fresh)
		cur->chunk->next = chunk;
	else
		cur->fresh = chunk;
	cur->chunk = chunk;
	return 0;
}

/*
 * Where can the next bytes go? Sets @n to how many there are in one piece, at
 * most @want; NULL if there is no memory.
 */
static void *nym_ring_space(struct nym_ring *ring, struct nym_ring_cursor *cur,
			    size_t want, u32 *n)
{
	struct nym_chunk *chunk = cur->chunk;
	u32 size, off, room;

	room = likely(chunk) ? nym_chunk_room(chunk, cur->pos, cur->head) : 0;
	if (unlikely(!room)) {
		cur->err = nym_ring_extend(ring, cur, want);
		if (cur->err)
			return NULL;
		chunk = cur->chunk;
		room = nym_chunk_size(chunk);
	}
	size = nym_chunk_size(chunk);
	off = nym_chunk_offset(chunk, cur->pos);
	*n = min_t(size_t, min(room, size - off), want);
	return chunk->data + off;
}

/**
 * nym_ring_append_pieces() - nym_ring_append(), whatever it takes
 * @ring: the ring
 * @cur: moves behind the bytes that were copied
 * @from: the bytes; advanced by as much
 * @len: how many; the caller keeps the ring's limit
 *
 * Context: sleeps; @ring->wlock held
 * Return: as nym_ring_append()
 */
size_t nym_ring_append_pieces(struct nym_ring *ring, struct nym_ring_cursor *cur,
			      struct iov_iter *from, size_t len)
{
	size_t done = 0;

	while (done < len) {
		u32 n, copied;
		void *to = nym_ring_space(ring, cur, len - done, &n);

		if (!to)
			break;
		copied = nym_chunk_copy_in(cur->chunk, to, n, from);
		cur->pos += copied;
		done += copied;
		if (copied < n) {
			cur->err = -EFAULT;
			break;
		}
	}
	return done;
}

/**
 * nym_ring_put_pieces() - nym_ring_put(), whatever it takes
 * @ring: the ring
 * @cur: moves behind the bytes
 * @from: the bytes
 * @len: how many
 *
 * Context: sleeps; @ring->wlock held
 * Return: as nym_ring_append()
 */
size_t nym_ring_put_pieces(struct nym_ring *ring, struct nym_ring_cursor *cur,
			   const void *from, size_t len)
{
	size_t done = 0;

	while (done < len) {
		u32 n;
		void *to = nym_ring_space(ring, cur, len - done, &n);

		if (!to)
			break;
		memcpy(to, from + done, n);
		cur->pos += n;
		done += n;
	}
	return done;
}

/**
 * nym_ring_link() - append the fresh chunks of a cursor, or free them
 * @ring: the ring
 * @cur: the cursor, with fresh chunks
 *
 * Context: @ring->wlock held
 * Return: true if there is something in them to be published
 */
bool nym_ring_link(struct nym_ring *ring, struct nym_ring_cursor *cur)
{
	lockdep_assert_held(&ring->wlock);
	if (cur->pos == ring->tail) {
		/* Not to be kept: the ring may be in no list, for want of others. */
		nym_chunks_free(cur->fresh);
		return false;
	}
	if (ring->last) {
		/* Pairs with who looks at it: see "Link" above. */
		smp_store_release(&ring->last->next, cur->fresh);
	} else {
		nym_chunks_keep(ring);
		ring->first = cur->fresh;
	}
	ring->last = cur->chunk;
	return true;
}

/*
 * Where are the next bytes? Sets @n to how many there are in one piece, at most
 * @want. The cursor is not at its end.
 */
static void *nym_ring_span(struct nym_ring_cursor *cur, size_t want, u32 *n)
{
	u32 size, off, stop = cur->end;

	for (;;) {
		/* Pairs with the release in nym_ring_link(). */
		struct nym_chunk *next = smp_load_acquire(&cur->chunk->next);

		if (!next || (s32)(next->base - cur->end) >= 0)
			break;
		if (next->base != cur->pos) {
			stop = next->base;
			break;
		}
		cur->chunk = next;
	}
	size = nym_chunk_size(cur->chunk);
	off = nym_chunk_offset(cur->chunk, cur->pos);
	*n = min(stop - cur->pos, size - off);
	*n = min_t(size_t, *n, want);
	return cur->chunk->data + off;
}

/**
 * nym_ring_fetch_pieces() - nym_ring_fetch(), wherever they are
 * @cur: moves behind the bytes that were copied
 * @to: where to; advanced by as much
 * @len: how many at most
 *
 * Context: sleeps; the ring's rlock held
 * Return: as nym_ring_fetch()
 */
size_t nym_ring_fetch_pieces(struct nym_ring_cursor *cur, struct iov_iter *to,
			     size_t len)
{
	size_t done = 0;

	len = min_t(size_t, len, cur->end - cur->pos);
	while (done < len) {
		u32 n, copied;
		void *from = nym_ring_span(cur, len - done, &n);

		copied = nym_chunk_copy_out(cur->chunk, from, n, to);
		cur->pos += copied;
		done += copied;
		if (copied < n)
			break;
	}
	return done;
}

/**
 * nym_ring_get_pieces() - nym_ring_get(), wherever they are
 * @cur: moves on by @len
 * @to: where to
 * @len: how many; as many are there
 *
 * Context: the ring's rlock held
 */
void nym_ring_get_pieces(struct nym_ring_cursor *cur, void *to, size_t len)
{
	while (len) {
		u32 n;
		void *from = nym_ring_span(cur, len, &n);

		memcpy(to, from, n);
		cur->pos += n;
		to += n;
		len -= n;
	}
}

/**
 * nym_ring_skip() - move on
 * @cur: the cursor
 * @len: by how much; as many bytes are there
 *
 * Context: the ring's rlock held
 */
void nym_ring_skip(struct nym_ring_cursor *cur, size_t len)
{
	while (len) {
		u32 n;

		nym_ring_span(cur, len, &n);
		cur->pos += n;
		len -= n;
	}
}

/**
 * nym_ring_leave() - give back the chunks before the cursor
 * @ring: the ring
 * @cur: the cursor
 *
 * Context: @ring->rlock held
 */
void nym_ring_leave(struct nym_ring *ring, struct nym_ring_cursor *cur)
{
	struct nym_chunk *first = ring->first, *last = first, *next;

	lockdep_assert_held(&ring->rlock);
	/*
	 * Leave a chunk that is both full and drained at once. Pairs with the
	 * release in nym_ring_link().
	 */
	next = smp_load_acquire(&cur->chunk->next);
	if (next && next->base == cur->pos)
		cur->chunk = next;

	if (cur->chunk == first)
		return;
	while (last->next != cur->chunk)
		last = last->next;
	ring->first = cur->chunk;
	nym_chunks_recycle(ring, first, last);
}

/**
 * nym_ring_drain() - throw away all there is to read
 * @ring: the ring, which nobody else reads any more
 *
 * Context: takes @ring->rlock, sleeps
 */
void nym_ring_drain(struct nym_ring *ring)
{
	struct nym_ring_cursor cur;

	if (!nym_ring_used(ring))
		return;
	mutex_lock(&ring->rlock);
	nym_ring_read_begin(ring, &cur);
	/* Pairs with nym_ring_is_lost(), by the release of the head. */
	WRITE_ONCE(ring->lost, 1);
	nym_ring_skip(&cur, cur.end - cur.pos);
	nym_ring_consume(ring, &cur);
	mutex_unlock(&ring->rlock);
}

/**
 * nym_ring_tell_end() - may the reader be told that there is no more?
 * @ring: a ring that was found empty and takes no more
 *
 * A writer that did not see in time that the ring takes no more may be about to
 * commit, or may just have done so. Its bytes are read if we see them here; if
 * not, it hears of it in nym_ring_in_time().
 *
 * Context: @ring->rlock held
 * Return: true if so, for good; false if bytes have come meanwhile
 */
bool nym_ring_tell_end(struct nym_ring *ring)
{
	lockdep_assert_held(&ring->rlock);
	if (ring->end == NYM_END_TOLD)
		return true;
	WRITE_ONCE(ring->end, NYM_END_ASKED);
	/* Pairs with the barrier before nym_ring_in_time() is called. */
	smp_mb();
	if (!nym_ring_is_empty(ring)) {
		WRITE_ONCE(ring->end, NYM_END_OPEN);
		return false;
	}
	return cmpxchg(&ring->end, NYM_END_ASKED, NYM_END_TOLD) == NYM_END_ASKED;
}

/**
 * nym_ring_in_time() - will what was committed be read?
 * @ring: the ring
 *
 * The caller has a full barrier between its commit and this call, which it need
 * not make while @ring->end is NYM_END_OPEN.
 *
 * Context: @ring->wlock held
 * Return: true if so; false if the reader had been told the end
 */
bool nym_ring_in_time(struct nym_ring *ring)
{
	lockdep_assert_held(&ring->wlock);
	/* Who asks will look again. */
	if (cmpxchg(&ring->end, NYM_END_ASKED, NYM_END_OPEN) != NYM_END_TOLD)
		return true;
	/* It may have looked again, read all, and been told since. */
	smp_rmb();
	return !nym_ring_is_lost(ring);
}

/**
 * nym_ring_stall() - ask the reader for a wake-up
 * @ring: the ring
 * @level: how many bytes may be in use for the caller to go on
 *
 * The caller is already on its wait queue, or will look again before it
 * sleeps. Several may wait, each for its own level: the reader wakes them all
 * at the highest, and who cannot go on then asks again.
 *
 * Context: any
 * Return: true if the caller must wait; false if there is room meanwhile
 */
bool nym_ring_stall(struct nym_ring *ring, u32 level)
{
	/* Pairs with nym_ring_unstall(), which alone sets it back. */
	u32 old = READ_ONCE(ring->wake_at);

	while (old < level + 1) {
		u32 seen = cmpxchg(&ring->wake_at, old, level + 1);

		if (seen == old)
			break;
		old = seen;
	}
	/*
	 * Pairs with the barrier in nym_ring_unstall(): either the reader sees
	 * that somebody waits, or we see what it has read.
	 */
	smp_mb();
	return !nym_ring_has_room(ring, level);
}
