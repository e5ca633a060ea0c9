// SPDX-License-Identifier: GPL-2.0
/*
 * Loans: bytes that a sender would have to wait with anyway are not copied into
 * the ring; the reader copies them straight from the sender's pages.
 *
 * A writer whose bytes do not fit takes references on the pages that they are in,
 * lends them to the ring and sleeps. While they are lent, nobody else writes: the
 * ring counts as full. The reader comes to them when it has read all that is in
 * the ring. The writer ends its loan when the ring has room for what is left, or
 * before: on a signal, a timeout, an error, or when nobody reads for a while, so that
 * pages are not kept where they are for ever.
 *
 * To everybody it is as if the writer had filled the ring and slept; only a read
 * goes on where the ring ends. What a reader has been told of does not vanish:
 * poll() says that a read finds something, SIOCINQ how much, MSG_PEEK what. All that
 * they tell of a loan is what the ring would have room for, and a writer that ends
 * its loan puts as much into the ring. The first chunk for that is there before;
 * should there be no memory for another, it is less. Who wants to see bytes has them
 * put there at once (nym_loan_show()): what is lent the sender could still change.
 *
 * Locks. @ring->loan_lock protects @ring->loan, and through it the loan, which is
 * on the writer's stack: it ends under that lock. It spins; user memory is copied
 * to under it with page faults disabled, so a reader whose pages are not there
 * does not keep the writer from ending its loan. Inside it is that of the chunks'
 * list. It is taken inside the ring's wlock by the writer, inside its rlock by the
 * reader, and by those who only look, who hold none or that of a bucket of sockets.
 *
 * From nym_loan_lend() to nym_loan_end() wlock is held by others only to find that
 * there is no room, or by nym_loan_show(), and nobody copies from user memory under
 * it. So the writer may wait for it in spite of signals, and a reader that holds
 * rlock may try until it gets it.
 *
 * Memory order, as in ring.c. The writer asleep: nym_loan_is_due(), followed by
 * nym_loan_return(), against nym_await_loan() in wait.c. models/lend.pml tries that.
 *
 *	reader				writer
 *	loan = NULL, or due = 1		queued = 1
 *	smp_mb()			smp_mb()
 *	r0 = queued			r1 = loan, r2 = due
 *
 *	never (r0 == 0 && r1 != NULL && r2 == 0)
 *
 * A look without the lock, nym_ring_is_empty(): bytes that are kept are in the
 * ring before the loan is gone.
 *
 *	writer				reader
 *	store_release(tail, 1)		r0 = load_acquire(loan)
 *	store_release(loan, NULL)	r1 = load_acquire(tail)
 *
 *	never (r0 == NULL && r1 == 0)
 */
#include <linux/highmem.h>
#include <linux/sched/signal.h>
#include <linux/sched/user.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "loan.h"

/* The most that is lent at a time, in pages. */
#define NYM_LOAN_PAGES	256

/* The most that is read without letting the writer end it. */
#define NYM_LOAN_TURN	((size_t)SZ_64K)

/* How often memory may be gone again before it is copied to. */
#define NYM_LOAN_TRIES	10

/*
 * The bound of a user's: half of what it may lock, so that lending, which nobody
 * asked for, does not keep others from locking memory.
 */
static bool nym_loan_charge(struct nym_loan *loan, size_t len)
{
	unsigned long limit = rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT >> 1;
	atomic_long_t *locked = &current_user()->locked_vm;
	long pages = len / PAGE_SIZE + 2;
	long had = atomic_long_read(locked);

	/* Nobody is to find more locked than there may be, not even for a moment. */
	do {
		if ((unsigned long)(had + pages) > limit)
			return false;
	} while (!atomic_long_try_cmpxchg(locked, &had, had + pages));
	loan->charged = pages;
	return true;
}

/**
 * nym_loan_drop() - let go of what nym_loan_make() has got
 * @loan: what nobody else knows of, or does any more
 * @ring: the ring it was for
 *
 * Context: @ring->wlock held, by who made it
 */
void nym_loan_drop(struct nym_loan *loan, struct nym_ring *ring)
{
	unsigned int i, n = loan->len ? DIV_ROUND_UP(loan->start + loan->len, PAGE_SIZE) : 0;

	for (i = 0; i < n; i++)
		put_page(loan->pages[i]);
	kfree(loan->pages);
	if (loan->chunk)
		nym_chunk_put(ring, loan->chunk);
	atomic_long_sub(loan->charged, &current_user()->locked_vm);
}

/* What a loan takes, and the memory that it keeps in reserve. */
static bool nym_loan_alloc(struct nym_loan *loan, struct nym_ring *ring, size_t len)
{
	if (!nym_loan_charge(loan, len))
		return false;
	loan->pages = kmalloc_array(NYM_LOAN_PAGES, sizeof(*loan->pages),
				    GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	loan->chunk = loan->pages ? nym_chunk_get(ring, PAGE_SIZE) : NULL;
	if (loan->chunk)
		return true;
	nym_loan_drop(loan, ring);
	return false;
}

/**
 * nym_loan_make() - prepare a loan
 * @loan: is set
 * @ring: the ring it is for
 * @from: the bytes; is advanced by @loan->len
 * @len: how many; no more are lent than lie in one piece, and some at a time
 * @limit: how many bytes the ring may hold
 *
 * Context: sleeps; @ring->wlock held
 * Return: true if there is something to lend: the caller goes on with
 * nym_loan_lend() or nym_loan_drop(). False if it is not worth it, or cannot be.
 */
bool nym_loan_make(struct nym_loan *loan, struct nym_ring *ring, struct iov_iter *from,
		   size_t len, u32 limit)
{
	ssize_t got;

	lockdep_assert_held(&ring->wlock);
	*loan = (struct nym_loan){ .limit = limit };
	len = min_t(size_t, len, NYM_LOAN_PAGES * PAGE_SIZE);
	len = min(len, iov_iter_single_seg_count(from));
	if (len < NYM_LOAN_LEAST || len <= limit || !nym_loan_alloc(loan, ring, len))
		return false;
	got = iov_iter_get_pages2(from, loan->pages, len, NYM_LOAN_PAGES, &loan->start);
	loan->len = max_t(ssize_t, got, 0);
	/* The reader looks whether a loan is due only after it has read from it. */
	if (loan->len >= NYM_LOAN_LEAST && loan->len > limit)
		return true;
	/* What is not there, or cannot be lent, is left to a copy to find. */
	iov_iter_revert(from, loan->len);
	nym_loan_drop(loan, ring);
	return false;
}

/**
 * nym_loan_lend() - let the reader have it
 * @loan: what nym_loan_make() has prepared
 * @ring: the ring, to which nothing is lent
 *
 * The caller tells the reader, as after nym_ring_commit().
 *
 * Context: @ring->wlock held
 */
void nym_loan_lend(struct nym_loan *loan, struct nym_ring *ring)
{
	lockdep_assert_held(&ring->wlock);
	ring->lent = true;
	atomic_add(NYM_RING_FULL, &ring->extra);
	spin_lock(&ring->loan_lock);
	/* Pairs with nym_ring_is_empty(): who sees it sees the tail before it. */
	smp_store_release(&ring->loan, loan);
	spin_unlock(&ring->loan_lock);
}

/* Where the byte at @pos is: the page, and @off in it. */
static struct page *nym_loan_page(const struct nym_loan *loan, size_t pos, size_t *off)
{
	pos += loan->start;
	*off = offset_in_page(pos);
	return loan->pages[pos >> PAGE_SHIFT];
}

static size_t nym_loan_rest(const struct nym_loan *loan)
{
	return loan->len - loan->done;
}

/* How much of it the ring has room for besides @used bytes; its lock is held. */
static size_t nym_loan_told_besides(const struct nym_ring *ring, u32 used)
{
	const struct nym_loan *loan = ring->loan;
	u32 filled;

	if (!loan)
		return 0;
	filled = used + atomic_read(&ring->extra) - NYM_RING_FULL;
	return filled < loan->limit ? min_t(size_t, nym_loan_rest(loan), loan->limit - filled) : 0;
}

static size_t nym_loan_told(const struct nym_ring *ring)
{
	return nym_loan_told_besides(ring, nym_ring_used(ring));
}

/* @n bytes of it have gone; its lock is held. Who has the last one ends it. */
static void nym_loan_gone(struct nym_ring *ring, size_t n)
{
	struct nym_loan *loan = ring->loan;

	WRITE_ONCE(loan->done, loan->done + n);
	if (loan->done != loan->len)
		return;
	/* Pairs with nym_ring_is_empty(). */
	smp_store_release(&ring->loan, NULL);
}

/*
 * Puts the next bytes behind those in the ring, @len at most, into the last chunk
 * and the first in stock. The loan's lock is held: no more memory is needed.
 */
static void nym_loan_put(struct nym_ring *ring, size_t len)
{
	const struct nym_loan *loan = ring->loan;
	struct nym_ring_cursor cur;
	size_t done, off, n;

	nym_ring_write_begin(ring, &cur);
	for (done = 0; done < len; done += n) {
		struct page *page = nym_loan_page(loan, loan->done + done, &off);
		void *data = kmap_local_page(page);

		n = min_t(size_t, len - done, PAGE_SIZE - off);
		nym_ring_put(ring, &cur, data + off, n);
		kunmap_local(data);
	}
	nym_ring_commit(ring, &cur);
	nym_loan_gone(ring, len);
}

/* Moves bytes, if they are still there, @want at most; @chunk is for them. */
static size_t nym_loan_move(struct nym_ring *ring, struct nym_chunk *chunk, size_t want)
{
	size_t len;

	spin_lock(&ring->loan_lock);
	len = min3(want, nym_loan_told(ring), (size_t)nym_chunk_size(chunk));
	if (len) {
		nym_chunk_stock(ring, chunk);
		nym_loan_put(ring, len);
	}
	spin_unlock(&ring->loan_lock);
	if (!len)
		nym_chunk_put(ring, chunk);
	return len;
}

static size_t nym_loan_ask(struct nym_ring *ring)
{
	size_t told;

	spin_lock(&ring->loan_lock);
	told = nym_loan_told(ring);
	spin_unlock(&ring->loan_lock);
	return told;
}

/*
 * Puts up to @want bytes into the ring, beginning with @chunk if there is one: 0, or
 * -ENOMEM. What is left follows them all the time, so the reader may go on meanwhile.
 */
static int nym_loan_keep(struct nym_ring *ring, struct nym_chunk *chunk, size_t want,
			 size_t *kept)
{
	size_t told = 0;

	lockdep_assert_held(&ring->wlock);
	while (want) {
		size_t n;

		told = min(nym_loan_ask(ring), want);
		if (told && !chunk)
			chunk = nym_chunk_get(ring, told);
		if (!told || !chunk)
			break;
		n = nym_loan_move(ring, chunk, told);
		chunk = NULL;
		*kept += n;
		want -= n;
	}
	if (chunk)
		nym_chunk_put(ring, chunk);
	return want && told ? -ENOMEM : 0;
}

/*
 * Ends it, if nobody can have been told of what is left; or if @force. With a reader
 * that is dead, what would be in the ring is lost, but has gone.
 */
static bool nym_loan_close(struct nym_ring *ring, bool force, bool dead)
{
	bool closed;

	spin_lock(&ring->loan_lock);
	if (dead && ring->loan)
		nym_loan_gone(ring, nym_loan_told(ring));
	closed = force || !nym_loan_told(ring);
	if (closed) {
		/* Pairs with nym_ring_is_empty(). */
		smp_store_release(&ring->loan, NULL);
	}
	spin_unlock(&ring->loan_lock);
	return closed;
}

/**
 * nym_loan_end() - take back what is left of a loan
 * @loan: the loan
 * @ring: the ring it was lent to
 * @keep: somebody may still read
 * @kept: is set to how many bytes were put into the ring
 *
 * If there are such, the caller tells the reader, as after nym_ring_commit();
 * and who waits for room, as after nym_ring_consume().
 *
 * Context: sleeps; @ring->wlock held
 * Return: how many bytes have gone: those that were read, @kept, and if the reader is
 * dead, what would have been
 */
size_t nym_loan_end(struct nym_loan *loan, struct nym_ring *ring, bool keep, size_t *kept)
{
	bool force, dead;

	lockdep_assert_held(&ring->wlock);
	*kept = 0;
	do {
		dead = READ_ONCE(ring->dead);
		force = !keep || dead;
		if (!force) {
			force = nym_loan_keep(ring, loan->chunk, loan->len, kept);
			loan->chunk = NULL;
		}
	} while (!nym_loan_close(ring, force, dead));
	atomic_sub(NYM_RING_FULL, &ring->extra);
	ring->lent = false;
	nym_loan_drop(loan, ring);
	return loan->done;
}

/**
 * nym_loan_show() - put into the ring what somebody wants to see
 * @ring: the ring
 * @want: how many bytes are to be there
 *
 * Context: sleeps, but not for long; @ring->rlock held
 * Return: 0, if there are as many or no more can be there; or -ENOMEM
 */
int nym_loan_show(struct nym_ring *ring, size_t want)
{
	int err = 0;

	lockdep_assert_held(&ring->rlock);
	while (READ_ONCE(ring->loan) && nym_ring_used(ring) < want) {
		size_t shown = 0;
		u32 used;

		/* It is never held for long, as long as there is a loan. */
		if (!mutex_trylock(&ring->wlock)) {
			schedule_timeout_uninterruptible(1);
			continue;
		}
		used = nym_ring_used(ring);
		if (used < want)
			err = nym_loan_keep(ring, NULL, want - used, &shown);
		mutex_unlock(&ring->wlock);
		break;
	}
	return err;
}

/* Is the next page mapped right behind this one, as those of a large page are? */
static bool nym_loan_goes_on(struct page *const *page)
{
	return !IS_ENABLED(CONFIG_HIGHMEM) && page[1] == page[0] + 1 &&
	       page_address(page[1]) == page_address(page[0]) + PAGE_SIZE;
}

/*
 * Copies what is next, up to @len, as far as the memory at @to is there; *want is
 * what is missing then. The loan's lock is held.
 */
static size_t nym_loan_copy(const struct nym_loan *loan, struct iov_iter *to, size_t len,
			    size_t *want)
{
	size_t pos = loan->start + loan->done, off = offset_in_page(pos);
	struct page **page = loan->pages + (pos >> PAGE_SHIFT);
	size_t done = 0, copied, n;

	pagefault_disable();
	do {
		void *data = kmap_local_page(*page);

		n = min_t(size_t, len - done, PAGE_SIZE - off);
		for (; n < len - done && nym_loan_goes_on(page); page++)
			n = min_t(size_t, len - done, n + PAGE_SIZE);
		copied = _copy_to_iter(data + off, n, to);
		kunmap_local(data);
		done += copied;
		page++;
		off = 0;
	} while (copied == n && done < len);
	pagefault_enable();
	*want = n - copied;
	return done;
}

static size_t nym_loan_take(struct nym_ring *ring, struct iov_iter *to, size_t len,
			    size_t *want)
{
	size_t copied = 0;

	*want = 0;
	spin_lock(&ring->loan_lock);
	/* The tail stays while this is locked and there is a loan. */
	if (ring->loan && READ_ONCE(ring->tail) == ring->head) {
		len = min3(len, nym_loan_rest(ring->loan), NYM_LOAN_TURN);
		copied = nym_loan_copy(ring->loan, to, len, want);
		nym_loan_gone(ring, copied);
	}
	spin_unlock(&ring->loan_lock);
	return copied;
}

/*
 * Has the memory at @to, or some of it, be there. What is may be taken away again
 * before it is copied to, but not again and again.
 */
static bool nym_loan_fault_in(struct iov_iter *to, size_t len, int tries)
{
	return tries < NYM_LOAN_TRIES && !fatal_signal_pending(current) &&
	       fault_in_iov_iter_writeable(to, len) < len;
}

/**
 * nym_loan_read() - read on in a loan
 * @ring: the ring
 * @to: where to; is advanced by what is returned
 * @len: how much at most; not 0
 *
 * Context: sleeps; @ring->rlock held
 * Return: how many bytes: 0 if there is no loan, or if something else is to be read
 * before it: a byte, if it is in doubt whether memory can be copied to, for a copy
 * from the ring finds that out; or -ENOMEM
 */
ssize_t nym_loan_read(struct nym_ring *ring, struct iov_iter *to, size_t len)
{
	size_t done = 0, copied, want;
	int tries = 0;

	lockdep_assert_held(&ring->rlock);
	do {
		copied = nym_loan_take(ring, to, len - done, &want);
		done += copied;
		tries = copied ? 0 : tries + 1;
		if (want && !nym_loan_fault_in(to, min(len - done, NYM_LOAN_TURN), tries))
			return done ? (ssize_t)done : nym_loan_show(ring, 1);
		cond_resched();
	} while ((copied || want) && done < len);
	return done;
}

/**
 * nym_loan_is_due() - must the writer be told to end its loan?
 * @ring: the ring, from which the caller has read, with a loan
 *
 * Context: any but interrupts
 * Return: true if so: all of it has been read, or the ring has room for the rest
 */
bool nym_loan_is_due(struct nym_ring *ring)
{
	struct nym_loan *loan;
	bool due = true;

	spin_lock(&ring->loan_lock);
	loan = ring->loan;
	if (loan) {
		due = !loan->due && nym_loan_told(ring) == nym_loan_rest(loan);
		if (due)
			WRITE_ONCE(loan->due, true);
	}
	spin_unlock(&ring->loan_lock);
	return due;
}

/**
 * nym_ring_unread() - how much will be found by who reads, whatever happens
 * @ring: the ring
 *
 * Context: any but interrupts; a snapshot
 * Return: the number of bytes
 */
u32 nym_ring_unread(struct nym_ring *ring)
{
	u32 unread;

	/* Pairs with nym_loan_gone() and nym_loan_lend(). */
	if (likely(!smp_load_acquire(&ring->loan)))
		return nym_ring_used(ring);
	spin_lock(&ring->loan_lock);
	unread = nym_ring_used(ring);
	unread += nym_loan_told_besides(ring, unread);
	spin_unlock(&ring->loan_lock);
	return unread;
}
