// SPDX-License-Identifier: GPL-2.0
/*
 * Chunks: the memory of the rings, and how long a ring keeps it.
 *
 * A ring in use keeps the chunks it has had: what the reader has drained, the
 * writer fills again, and nothing is allocated, cleared or charged. A new one is
 * made only when all others are full of unread bytes, or kept for a loan, so together
 * they are no larger than the ring's limit, the first and the last of them, and one.
 *
 * A ring that needs less gives them back. Who has any is in one of some lists (by
 * its address, so that processors seldom meet), and each of them is swept once in
 * a while: of what is neither written nor read, a ring keeps half; one that
 * nothing was written to since the last time keeps only unread bytes.
 *
 * Locks: a list's is taken inside a ring's wlock, or alone. Inside it the two of a
 * ring are tried: one that is busy is left alone.
 *
 * Memory order, as in ring.c. What the reader is done with: nym_chunks_recycle()
 * against nym_chunks_spare(), which takes all there are at once, so that nobody
 * else can take the one that the reader has seen.
 *
 *	reader				writer, or who sweeps
 *	r0 = chunk->data		r1 = xchg(spare, NULL)
 *	chunk->next = spare		if (r1)
 *	cmpxchg(spare, spare, chunk)		r1->data = 2, r2 = r1->next
 *
 *	never (r0 == 2), never (r1 == chunk && r2 is not what was there before)
 */
#include <linux/gfp.h>
#include <linux/hash.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "ring.h"

#define NYM_KEEPERS_BITS	4

/* How often the lists are swept, and how many rings at a time. */
#define NYM_SWEEP_JIFFIES	HZ
#define NYM_SWEEP_BATCH		64

/**
 * struct nym_keepers - rings that have chunks
 * @lock: protects @rings and each ring's @keeper; spins
 * @rings: those
 */
struct nym_keepers {
	spinlock_t lock;	/* of @rings */
	struct list_head rings;
} ____cacheline_aligned_in_smp;

static struct nym_keepers nym_keepers[1 << NYM_KEEPERS_BITS];
static struct kmem_cache *nym_chunk_cache;

static void nym_chunks_work_run(struct work_struct *work);
static DECLARE_DEFERRABLE_WORK(nym_chunks_work, nym_chunks_work_run);

static void nym_chunk_free(struct nym_chunk *chunk)
{
	free_pages((unsigned long)chunk->data, chunk->order);
	kmem_cache_free(nym_chunk_cache, chunk);
}

/**
 * nym_chunks_free() - free some
 * @chunk: the first of them, linked by @next; or NULL
 *
 * Context: any
 */
void nym_chunks_free(struct nym_chunk *chunk)
{
	while (chunk) {
		struct nym_chunk *next = chunk->next;

		nym_chunk_free(chunk);
		chunk = next;
	}
}

/* Large writes get large chunks, if such are to be had without effort. */
static void *nym_chunk_pages(size_t want, u8 *order)
{
	gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_NOWARN;
	unsigned long addr;

	*order = min_t(u8, get_order(want), NYM_CHUNK_ORDER_MAX);
	if (*order) {
		addr = __get_free_pages(gfp | __GFP_COMP | __GFP_NORETRY, *order);
		if (addr)
			return (void *)addr;
		*order = 0;
	}
	return (void *)__get_free_pages(gfp, 0);
}

static struct nym_chunk *nym_chunk_alloc(size_t want)
{
	struct nym_chunk *chunk;

	chunk = kmem_cache_alloc(nym_chunk_cache, GFP_KERNEL_ACCOUNT);
	if (!chunk)
		return NULL;

	chunk->data = nym_chunk_pages(want, &chunk->order);
	if (!chunk->data) {
		kmem_cache_free(nym_chunk_cache, chunk);
		return NULL;
	}
	return chunk;
}

/* What the reader has given back, all of it; @ring->wlock is held. */
static struct nym_chunk *nym_chunks_spare(struct nym_ring *ring)
{
	/* Pairs with the cmpxchg in nym_chunks_recycle(). */
	return READ_ONCE(ring->spare) ? xchg(&ring->spare, NULL) : NULL;
}

/**
 * nym_chunk_get() - a chunk to write to
 * @ring: the ring that it is for
 * @want: how many bytes would be good to have in it, if it is a new one
 *
 * Context: sleeps; @ring->wlock held
 * Return: the chunk, with nothing but its memory; or NULL
 */
struct nym_chunk *nym_chunk_get(struct nym_ring *ring, size_t want)
{
	struct nym_chunk *chunk = ring->stock;

	lockdep_assert_held(&ring->wlock);
	if (!chunk)
		chunk = nym_chunks_spare(ring);
	if (chunk)
		ring->stock = chunk->next;
	else
		chunk = nym_chunk_alloc(want);
	if (chunk)
		chunk->next = NULL;
	return chunk;
}

/**
 * nym_chunk_stock() - have the ring use a chunk before any other
 * @ring: the ring
 * @chunk: what nym_chunk_get() has given; the caller writes to the ring next
 *
 * Context: any; @ring->wlock held
 */
void nym_chunk_stock(struct nym_ring *ring, struct nym_chunk *chunk)
{
	lockdep_assert_held(&ring->wlock);
	chunk->next = ring->stock;
	ring->stock = chunk;
}

/**
 * nym_chunk_put() - give back what was not used
 * @ring: the ring
 * @chunk: what nym_chunk_get() has given
 *
 * Context: any; @ring->wlock held
 */
void nym_chunk_put(struct nym_ring *ring, struct nym_chunk *chunk)
{
	/* A ring without chunks is in no list, and would keep it for ever. */
	if (ring->last)
		nym_chunk_stock(ring, chunk);
	else
		nym_chunks_free(chunk);
}

/**
 * nym_chunks_recycle() - give chunks back to the writer
 * @ring: the ring
 * @first: the first of them, linked by @next
 * @last: the last of them
 *
 * Context: @ring->rlock held
 */
void nym_chunks_recycle(struct nym_ring *ring, struct nym_chunk *first, struct nym_chunk *last)
{
	struct nym_chunk *old = READ_ONCE(ring->spare);

	lockdep_assert_held(&ring->rlock);
	do {
		last->next = old;
		/* Pairs with the xchg in nym_chunks_spare(). */
	} while (!try_cmpxchg(&ring->spare, &old, first));
}

static struct nym_keepers *nym_keepers_of(const struct nym_ring *ring)
{
	return &nym_keepers[hash_ptr(ring, NYM_KEEPERS_BITS)];
}

/**
 * nym_chunks_keep() - a ring has its first chunk
 * @ring: the ring, which had none
 *
 * Context: @ring->wlock held
 */
void nym_chunks_keep(struct nym_ring *ring)
{
	struct nym_keepers *keepers = nym_keepers_of(ring);
	bool first;

	lockdep_assert_held(&ring->wlock);
	ring->kept = true;
	spin_lock(&keepers->lock);
	first = list_empty(&keepers->rings);
	list_add_tail(&ring->keeper, &keepers->rings);
	spin_unlock(&keepers->lock);
	/* Else whoever sweeps finds the others, and will come again. */
	if (first)
		queue_delayed_work(system_power_efficient_wq, &nym_chunks_work,
				   NYM_SWEEP_JIFFIES);
}

/**
 * nym_chunks_destroy() - free all that a ring has
 * @ring: a ring that nobody else can reach any more but who sweeps
 *
 * Context: any but interrupts
 */
void nym_chunks_destroy(struct nym_ring *ring)
{
	struct nym_keepers *keepers = nym_keepers_of(ring);

	if (!ring->kept)
		return;
	/* Also if it is in no list by now: who took it out is done with it then. */
	spin_lock(&keepers->lock);
	list_del_init(&ring->keeper);
	spin_unlock(&keepers->lock);
	nym_chunks_free(ring->first);
	nym_chunks_free(ring->stock);
	nym_chunks_free(ring->spare);
}

/* Puts @first, and those that follow it, before what is in @to. */
static void nym_chunks_add(struct nym_chunk **to, struct nym_chunk *first)
{
	struct nym_chunk **end = &first;

	while (*end)
		end = &(*end)->next;
	*end = *to;
	*to = first;
}

/* Moves what is not in use from @ring to @junk, or half of it, rounded up. */
static void nym_chunks_trim(struct nym_ring *ring, bool all, struct nym_chunk **junk)
{
	struct nym_chunk **keep = &ring->stock, *chunk;
	unsigned int n = 0;

	nym_chunks_add(&ring->stock, nym_chunks_spare(ring));
	for (chunk = ring->stock; chunk && !all; chunk = chunk->next)
		n++;
	for (n /= 2; n; n--)
		keep = &(*keep)->next;
	nym_chunks_add(junk, *keep);
	*keep = NULL;
}

/*
 * Moves what a ring does not need to @junk, and takes it out of its list if it has
 * nothing left. Both its locks are held, and that of the list.
 */
static void nym_chunks_drop(struct nym_ring *ring, struct nym_chunk **junk)
{
	u16 now = hash_32(ring->tail, 16);
	bool idle = ring->swept == now;

	ring->swept = now;
	nym_chunks_trim(ring, idle, junk);
	if (!idle || nym_ring_used(ring))
		return;
	nym_chunks_add(junk, ring->first);
	ring->first = NULL;
	ring->last = NULL;
	/* While the writer is kept out, who would put it in again. */
	list_del_init(&ring->keeper);
}

static void nym_chunks_sweep_ring(struct nym_ring *ring, struct nym_chunk **junk)
{
	if (!mutex_trylock(&ring->wlock))
		return;
	if (mutex_trylock(&ring->rlock)) {
		nym_chunks_drop(ring, junk);
		mutex_unlock(&ring->rlock);
	}
	mutex_unlock(&ring->wlock);
}

/* Others may come and go in between, also those that are done. */
static bool nym_keepers_sweep(struct nym_keepers *keepers)
{
	struct nym_chunk *junk = NULL;
	struct nym_ring *ring;
	unsigned int n = 0;
	LIST_HEAD(done);
	bool any;

	spin_lock(&keepers->lock);
	while (!list_empty(&keepers->rings)) {
		ring = list_first_entry(&keepers->rings, struct nym_ring, keeper);
		list_move_tail(&ring->keeper, &done);
		nym_chunks_sweep_ring(ring, &junk);
		if (++n % NYM_SWEEP_BATCH)
			continue;
		spin_unlock(&keepers->lock);
		nym_chunks_free(junk);
		junk = NULL;
		cond_resched();
		spin_lock(&keepers->lock);
	}
	list_splice(&done, &keepers->rings);
	any = !list_empty(&keepers->rings);
	spin_unlock(&keepers->lock);
	nym_chunks_free(junk);
	return any;
}

/**
 * nym_chunks_sweep() - have all rings free some of what they do not use
 *
 * Context: sleeps
 * Return: true if there are rings that have chunks
 */
bool nym_chunks_sweep(void)
{
	bool any = false;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(nym_keepers); i++) {
		any |= nym_keepers_sweep(&nym_keepers[i]);
		cond_resched();
	}
	return any;
}

static void nym_chunks_work_run(struct work_struct *work)
{
	if (nym_chunks_sweep())
		queue_delayed_work(system_power_efficient_wq, &nym_chunks_work,
				   NYM_SWEEP_JIFFIES);
}

/**
 * nym_chunks_init() - at module load
 * Return: 0 or -ENOMEM
 */
int __init nym_chunks_init(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(nym_keepers); i++) {
		spin_lock_init(&nym_keepers[i].lock);
		INIT_LIST_HEAD(&nym_keepers[i].rings);
	}
	nym_chunk_cache = KMEM_CACHE(nym_chunk, SLAB_ACCOUNT);
	return nym_chunk_cache ? 0 : -ENOMEM;
}

/**
 * nym_chunks_exit() - at module unload; no ring may be left
 */
void nym_chunks_exit(void)
{
	cancel_delayed_work_sync(&nym_chunks_work);
	kmem_cache_destroy(nym_chunk_cache);
}
