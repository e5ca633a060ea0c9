// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: the ring against a model, and its corners one by one.
 *
 * The model is a byte queue that needs no memory: the byte at a position is a
 * function of the position, so two counters say what is in it. One thread is
 * both writer and reader; what they do to each other at the same time is for
 * the stress tests.
 */
#include <kunit/test.h>
#include <linux/kthread.h>
#include <linux/prandom.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uio.h>

#include "../ring.h"
#include "pattern.h"

#define NYM_TEST_STEPS	6000
#define NYM_TEST_ROOM	(3 * 65536)	/* most that is in the ring */
#define NYM_TEST_RINGS	2048		/* to be swept together */
#define NYM_TEST_MOST	70000		/* most in one go: beyond the largest chunk */

struct nym_ring_test {
	struct nym_ring ring;
	struct rnd_state rnd;
	u64 written;	/* position of the next byte to be written */
	u64 read;
	u8 *buf;
};

static struct iov_iter nym_test_iter(unsigned int dir, struct kvec *vec,
				     void *buf, size_t len)
{
	struct iov_iter iter;

	*vec = (struct kvec){ .iov_base = buf, .iov_len = len };
	iov_iter_kvec(&iter, dir, vec, 1, len);
	return iter;
}

/* Small numbers, large ones, and those at the borders of pages and chunks. */
static size_t nym_test_size(struct nym_ring_test *t)
{
	switch (prandom_u32_state(&t->rnd) % 4) {
	case 0:
		return 1 + prandom_u32_state(&t->rnd) % 16;
	case 1:
		return 1 + prandom_u32_state(&t->rnd) % 5000;
	case 2:
		return PAGE_SIZE * (1 + prandom_u32_state(&t->rnd) % 16) - 1 +
		       prandom_u32_state(&t->rnd) % 3;
	default:
		return 1 + prandom_u32_state(&t->rnd) % NYM_TEST_MOST;
	}
}

static u64 nym_test_used(const struct nym_ring_test *t)
{
	return t->written - t->read;
}

/*
 * Appends @len bytes, with what is left of them missing after @have, as when
 * user memory ends there; publishes what has been copied, or nothing.
 */
static void nym_test_write(struct kunit *test, size_t len, size_t have, bool publish)
{
	struct nym_ring_test *t = test->priv;
	struct nym_ring_cursor cur;
	struct iov_iter from;
	struct kvec vec;
	size_t done;

	nym_test_fill(t->buf, t->written, len);
	mutex_lock(&t->ring.wlock);
	nym_ring_write_begin(&t->ring, &cur);
	from = nym_test_iter(ITER_SOURCE, &vec, t->buf, have);
	done = nym_ring_append(&t->ring, &cur, &from, len);
	KUNIT_EXPECT_EQ(test, done, have);
	KUNIT_EXPECT_EQ(test, cur.err, have < len ? -EFAULT : 0);
	KUNIT_EXPECT_EQ(test, (u32)(cur.pos - t->ring.tail), (u32)done);
	if (publish)
		t->written += done;
	else
		cur.pos = t->ring.tail;
	nym_ring_commit(&t->ring, &cur);
	mutex_unlock(&t->ring.wlock);
	KUNIT_EXPECT_EQ(test, (u64)nym_ring_used(&t->ring), nym_test_used(t));
}

/* The same from kernel memory, in two parts. */
static void nym_test_put(struct kunit *test, size_t len)
{
	struct nym_ring_test *t = test->priv;
	size_t first = prandom_u32_state(&t->rnd) % (len + 1);
	struct nym_ring_cursor cur;

	nym_test_fill(t->buf, t->written, len);
	mutex_lock(&t->ring.wlock);
	nym_ring_write_begin(&t->ring, &cur);
	KUNIT_EXPECT_EQ(test, nym_ring_put(&t->ring, &cur, t->buf, first), first);
	KUNIT_EXPECT_EQ(test, nym_ring_put(&t->ring, &cur, t->buf + first, len - first),
			len - first);
	nym_ring_commit(&t->ring, &cur);
	mutex_unlock(&t->ring.wlock);
	t->written += len;
}

/* Skips @skip bytes, fetches up to @len with room for @room; consumes them, or not. */
static void nym_test_read(struct kunit *test, size_t skip, size_t len, size_t room,
			  bool consume)
{
	struct nym_ring_test *t = test->priv;
	size_t want = min_t(u64, min(len, room), nym_test_used(t) - skip), done;
	struct nym_ring_cursor cur;
	struct iov_iter to;
	struct kvec vec;

	mutex_lock(&t->ring.rlock);
	nym_ring_read_begin(&t->ring, &cur);
	KUNIT_EXPECT_EQ(test, (u64)(u32)(cur.end - cur.pos), nym_test_used(t));
	nym_ring_skip(&cur, skip);
	to = nym_test_iter(ITER_DEST, &vec, t->buf, room);
	done = nym_ring_fetch(&cur, &to, len);
	KUNIT_EXPECT_EQ(test, done, want);
	KUNIT_EXPECT_EQ(test, nym_test_differs(t->buf, t->read + skip, done), done);
	if (consume) {
		nym_ring_consume(&t->ring, &cur);
		t->read += skip + done;
	}
	mutex_unlock(&t->ring.rlock);
	KUNIT_EXPECT_EQ(test, (u64)nym_ring_used(&t->ring), nym_test_used(t));
}

static void nym_test_get(struct kunit *test, size_t len)
{
	struct nym_ring_test *t = test->priv;
	struct nym_ring_cursor cur;

	mutex_lock(&t->ring.rlock);
	nym_ring_read_begin(&t->ring, &cur);
	nym_ring_get(&cur, t->buf, len);
	KUNIT_EXPECT_EQ(test, nym_test_differs(t->buf, t->read, len), len);
	nym_ring_consume(&t->ring, &cur);
	mutex_unlock(&t->ring.rlock);
	t->read += len;
}

static void nym_test_write_some(struct kunit *test)
{
	struct nym_ring_test *t = test->priv;
	size_t len = min_t(u64, nym_test_size(t), NYM_TEST_ROOM - nym_test_used(t));

	if (!len)
		return;
	switch (prandom_u32_state(&t->rnd) % 8) {
	case 0:
		nym_test_write(test, len, prandom_u32_state(&t->rnd) % len, true);
		break;
	case 1:
		nym_test_write(test, len, prandom_u32_state(&t->rnd) % len, false);
		break;
	case 2:
		nym_test_write(test, len, len, false);
		break;
	case 3:
	case 4:
		nym_test_put(test, len);
		break;
	default:
		nym_test_write(test, len, len, true);
	}
}

static void nym_test_read_some(struct kunit *test)
{
	struct nym_ring_test *t = test->priv;
	size_t len = nym_test_size(t), skip = 0;

	if (nym_test_used(t) && prandom_u32_state(&t->rnd) % 4 == 0)
		skip = prandom_u32_state(&t->rnd) % nym_test_used(t);
	switch (prandom_u32_state(&t->rnd) % 8) {
	case 0:
		nym_test_read(test, skip, len, prandom_u32_state(&t->rnd) % (len + 1), true);
		break;
	case 1:
		nym_test_read(test, skip, len, prandom_u32_state(&t->rnd) % (len + 1), false);
		break;
	case 2:
		nym_test_read(test, skip, len, NYM_TEST_MOST, false);
		break;
	case 3:
		nym_test_get(test, min_t(u64, len, nym_test_used(t)));
		break;
	default:
		nym_test_read(test, skip, len, NYM_TEST_MOST, true);
	}
}

static void nym_ring_agrees_with_the_model(struct kunit *test)
{
	struct nym_ring_test *t = test->priv;
	u64 seed = get_random_u64();
	int i;

	prandom_seed_state(&t->rnd, seed);
	kunit_info(test, "seed %llu\n", seed);
	for (i = 0; i < NYM_TEST_STEPS; i++) {
		if (prandom_u32_state(&t->rnd) % 64 == 0)
			nym_chunks_sweep();
		if (prandom_u32_state(&t->rnd) % 2)
			nym_test_write_some(test);
		else
			nym_test_read_some(test);
		if (test->status == KUNIT_FAILURE) {
			kunit_info(test, "at step %d\n", i);
			return;
		}
		cond_resched();
	}
	KUNIT_EXPECT_GT(test, t->written, 0);
}

/* Positions are 32 bits, and nobody but the ring knows. */
static void nym_ring_positions_wrap(struct kunit *test)
{
	struct nym_ring_test *t = test->priv;
	int i;

	t->ring.tail = -100000;
	t->ring.head = t->ring.tail;
	for (i = 0; i < 40; i++) {
		nym_test_write(test, 5000, 5000, true);
		nym_test_read(test, 0, 4000, NYM_TEST_MOST, true);
	}
	KUNIT_EXPECT_GT(test, (s32)t->ring.head, 0);
	nym_test_read(test, 0, NYM_TEST_MOST, NYM_TEST_MOST, true);
	KUNIT_EXPECT_EQ(test, nym_test_used(t), 0);
}

/* A byte at a time over the border of a page, with the reader close behind. */
static void nym_ring_goes_round_byte_by_byte(struct kunit *test)
{
	struct nym_ring_test *t = test->priv;
	int i;

	nym_test_write(test, 3, 3, true);
	for (i = 0; i < 3 * (int)PAGE_SIZE; i++) {
		nym_test_write(test, 1, 1, true);
		nym_test_get(test, 1);
	}
	/* It stays in its chunk: no other was needed. */
	KUNIT_EXPECT_PTR_EQ(test, t->ring.first, t->ring.last);
}

/* What is not published never was there. */
static void nym_ring_a_fault_leaves_nothing(struct kunit *test)
{
	struct nym_ring_test *t = test->priv;
	int i;

	for (i = 0; i < 50; i++) {
		nym_test_write(test, 20000, 7000, false);
		nym_test_write(test, 10, 0, true);
		nym_test_write(test, 3000, 3000, true);
		nym_test_read(test, 0, 3000, 1000, true);
	}
	nym_test_read(test, 0, NYM_TEST_MOST, 0, true);
	while (nym_test_used(t))
		nym_test_read(test, 0, NYM_TEST_MOST, NYM_TEST_MOST, true);
}

/* User memory that is not there at all. */
static void nym_ring_a_bad_pointer_is_a_fault(struct kunit *test)
{
	struct nym_ring_test *t = test->priv;
	void __user *bad = (void __user *)-PAGE_SIZE;
	struct nym_ring_cursor cur;
	struct iovec vec = { .iov_base = bad, .iov_len = 100 };
	struct iov_iter iter;

	nym_test_write(test, 200, 200, true);
	mutex_lock(&t->ring.wlock);
	nym_ring_write_begin(&t->ring, &cur);
	iov_iter_init(&iter, ITER_SOURCE, &vec, 1, 100);
	KUNIT_EXPECT_EQ(test, nym_ring_append(&t->ring, &cur, &iter, 100), 0);
	KUNIT_EXPECT_EQ(test, cur.err, -EFAULT);
	nym_ring_commit(&t->ring, &cur);
	mutex_unlock(&t->ring.wlock);

	mutex_lock(&t->ring.rlock);
	nym_ring_read_begin(&t->ring, &cur);
	iov_iter_init(&iter, ITER_DEST, &vec, 1, 100);
	KUNIT_EXPECT_EQ(test, nym_ring_fetch(&cur, &iter, 100), 0);
	nym_ring_consume(&t->ring, &cur);
	mutex_unlock(&t->ring.rlock);
	nym_test_read(test, 0, 200, 200, true);
}

static void nym_ring_a_limit_leaves_room(struct kunit *test)
{
	struct nym_ring_test *t = test->priv;

	KUNIT_EXPECT_EQ(test, nym_ring_room(&t->ring, 1000), 1000);
	nym_test_write(test, 400, 400, true);
	KUNIT_EXPECT_EQ(test, nym_ring_room(&t->ring, 1000), 600);
	KUNIT_EXPECT_EQ(test, nym_ring_room(&t->ring, 400), 0);
	/* A limit that was lowered below what is there. */
	KUNIT_EXPECT_EQ(test, nym_ring_room(&t->ring, 100), 0);
	atomic_add(100, &t->ring.extra);
	KUNIT_EXPECT_EQ(test, nym_ring_room(&t->ring, 1000), 500);
	KUNIT_EXPECT_EQ(test, nym_ring_filled(&t->ring), 500);
	atomic_sub(100, &t->ring.extra);
}

/* A writer that waits is woken once, and only when there is room. */
static void nym_ring_who_stalls_is_woken(struct kunit *test)
{
	struct nym_ring_test *t = test->priv;

	nym_test_write(test, 1000, 1000, true);
	KUNIT_EXPECT_FALSE(test, nym_ring_has_room(&t->ring, 999));
	KUNIT_EXPECT_TRUE(test, nym_ring_stall(&t->ring, 999));
	KUNIT_EXPECT_FALSE(test, nym_ring_unstall(&t->ring));
	nym_test_get(test, 1);
	KUNIT_EXPECT_TRUE(test, nym_ring_has_room(&t->ring, 999));
	KUNIT_EXPECT_TRUE(test, nym_ring_unstall(&t->ring));
	KUNIT_EXPECT_FALSE(test, nym_ring_unstall(&t->ring));
	/* Who finds room after all does not wait. */
	KUNIT_EXPECT_FALSE(test, nym_ring_stall(&t->ring, 999));
}

static void nym_ring_draining_tells_what_was_lost(struct kunit *test)
{
	struct nym_ring_test *t = test->priv;

	nym_ring_drain(&t->ring);
	KUNIT_EXPECT_FALSE(test, nym_ring_is_lost(&t->ring));
	nym_test_write(test, 9000, 9000, true);
	nym_test_get(test, 9000);
	nym_ring_drain(&t->ring);
	KUNIT_EXPECT_FALSE(test, nym_ring_is_lost(&t->ring));
	nym_test_write(test, 1, 1, true);
	KUNIT_EXPECT_TRUE(test, nym_ring_is_lost(&t->ring));
	nym_ring_drain(&t->ring);
	KUNIT_EXPECT_TRUE(test, nym_ring_is_lost(&t->ring));
	KUNIT_EXPECT_EQ(test, nym_ring_used(&t->ring), 0);
	t->read = t->written;
}

static int nym_test_count(const struct nym_chunk *chunk)
{
	int n = 0;

	for (; chunk; chunk = chunk->next)
		n++;
	return n;
}

static int nym_test_chunks(const struct nym_ring *ring)
{
	return nym_test_count(ring->first) + nym_test_count(ring->stock) +
	       nym_test_count(ring->spare);
}

/* Nothing is freed, and nothing allocated for what fits into what there was. */
static void nym_ring_chunks_are_used_again(struct kunit *test)
{
	struct nym_ring_test *t = test->priv;
	int i, kept = 0, least = INT_MAX, n;

	for (i = 0; i < 20; i++) {
		while (nym_test_used(t) < NYM_TEST_ROOM)
			nym_test_write(test, 4096, 4096, true);
		n = nym_test_chunks(&t->ring);
		least = min(n, least);
		while (nym_test_used(t))
			nym_test_read(test, 0, 10000, NYM_TEST_MOST, true);
		kept += nym_test_chunks(&t->ring) == n;
	}
	/* Once a second the module itself sweeps. */
	KUNIT_EXPECT_GT(test, kept, 10);
	/* They have become larger: 4, 8, 16 and then 32 KiB each. */
	KUNIT_EXPECT_LT(test, least, (int)(NYM_TEST_ROOM / PAGE_SIZE / 2));
}

/* A little traffic does not keep what much traffic has needed. */
static void nym_ring_little_use_keeps_little(struct kunit *test)
{
	struct nym_ring_test *t = test->priv;
	int i;

	nym_test_write(test, 60000, 60000, true);
	nym_test_write(test, 60000, 60000, true);
	nym_test_read(test, 0, NYM_TEST_MOST, NYM_TEST_MOST, true);
	nym_test_read(test, 0, NYM_TEST_MOST, NYM_TEST_MOST, true);
	for (i = 0; i < 5; i++) {
		nym_test_write(test, 1, 1, true);
		nym_test_get(test, 1);
		nym_chunks_sweep();
	}
	KUNIT_EXPECT_LT(test, nym_test_chunks(&t->ring), 3);
}

/* Swept twice, for what was written before the first time is in use. */
static void nym_test_sweep(void)
{
	nym_chunks_sweep();
	nym_chunks_sweep();
}

static void nym_ring_idle_keeps_nothing(struct kunit *test)
{
	struct nym_ring_test *t = test->priv;
	int i;

	for (i = 0; i < 3; i++) {
		nym_test_write(test, 60000, 60000, true);
		nym_test_write(test, 60000, 60000, true);
		nym_test_read(test, 0, 60000, NYM_TEST_MOST, true);
		nym_test_sweep();
		/* What is unread stays, and nothing else. */
		KUNIT_EXPECT_EQ(test, nym_test_chunks(&t->ring),
				nym_test_count(t->ring.first));
		nym_test_read(test, 0, 60000, NYM_TEST_MOST, true);
		nym_test_sweep();
		KUNIT_EXPECT_EQ(test, nym_test_chunks(&t->ring), 0);
		KUNIT_EXPECT_NULL(test, t->ring.last);
	}
}

/* Who has a lock is at work; the module itself sweeps, too, at any time. */
static void nym_ring_busy_is_not_swept(struct kunit *test)
{
	struct nym_ring_test *t = test->priv;
	struct mutex *locks[] = { &t->ring.rlock, &t->ring.wlock };
	int i;

	for (i = 0; i < 2; i++) {
		nym_test_write(test, 10, 10, true);
		mutex_lock(locks[i]);
		nym_test_sweep();
		KUNIT_EXPECT_LT(test, 0, nym_test_count(t->ring.first));
		KUNIT_EXPECT_NOT_NULL(test, t->ring.last);
		mutex_unlock(locks[i]);
		nym_test_get(test, 10);
	}
	nym_test_sweep();
	KUNIT_EXPECT_EQ(test, nym_test_chunks(&t->ring), 0);
}

static int nym_test_keep_sweeping(void *unused)
{
	while (!kthread_should_stop()) {
		nym_chunks_sweep();
		cond_resched();
	}
	return 0;
}

/* Somebody sweeps all the time, while rings are used, and come and go. */
static void nym_ring_swept_at_any_time(struct kunit *test)
{
	struct task_struct *sweeper = kthread_run(nym_test_keep_sweeping, NULL, "nym-sweeper");
	struct nym_ring_test *t = test->priv;
	int i;

	KUNIT_ASSERT_FALSE(test, IS_ERR(sweeper));
	for (i = 0; i < 200; i++) {
		nym_test_write(test, 1 + i * 97, 1 + i * 97, true);
		if (i % 3)
			nym_test_read(test, 0, NYM_TEST_MOST, NYM_TEST_MOST, true);
		if (i % 10 == 9) {
			nym_chunks_destroy(&t->ring);
			memset(&t->ring, 0, sizeof(t->ring));
			nym_ring_init(&t->ring);
			t->read = t->written;
		}
		cond_resched();
	}
	KUNIT_EXPECT_EQ(test, kthread_stop(sweeper), 0);
}

static bool nym_test_tell_end(struct nym_ring *ring)
{
	bool told;

	mutex_lock(&ring->rlock);
	told = nym_ring_tell_end(ring);
	mutex_unlock(&ring->rlock);
	return told;
}

static bool nym_test_in_time(struct nym_ring *ring)
{
	bool in_time;

	mutex_lock(&ring->wlock);
	in_time = nym_ring_in_time(ring);
	mutex_unlock(&ring->wlock);
	return in_time;
}

/* What was committed is read before the end, or its writer is told. */
static void nym_ring_the_end_comes_last(struct kunit *test)
{
	struct nym_ring_test *t = test->priv;

	nym_test_write(test, 10, 10, true);
	KUNIT_EXPECT_FALSE(test, nym_test_tell_end(&t->ring));
	KUNIT_EXPECT_TRUE(test, nym_test_in_time(&t->ring));
	nym_test_get(test, 10);
	KUNIT_EXPECT_TRUE(test, nym_test_tell_end(&t->ring));
	/* Told since, but these have been read. */
	KUNIT_EXPECT_TRUE(test, nym_test_in_time(&t->ring));
	nym_test_write(test, 5, 5, true);
	KUNIT_EXPECT_FALSE(test, nym_test_in_time(&t->ring));
	KUNIT_EXPECT_TRUE(test, nym_test_tell_end(&t->ring));
	/* A reader that asks while the writer looks has to look again. */
	WRITE_ONCE(t->ring.end, NYM_END_ASKED);
	KUNIT_EXPECT_TRUE(test, nym_test_in_time(&t->ring));
	KUNIT_EXPECT_EQ(test, t->ring.end, NYM_END_OPEN);
	nym_ring_drain(&t->ring);
	t->read = t->written;
}

/* More than are swept in one go, whichever list they are in. */
static void nym_ring_many_are_swept(struct kunit *test)
{
	struct nym_ring *rings = kvcalloc(NYM_TEST_RINGS, sizeof(*rings), GFP_KERNEL);
	struct nym_ring_cursor cur;
	int i;

	KUNIT_ASSERT_NOT_NULL(test, rings);
	for (i = 0; i < NYM_TEST_RINGS; i++) {
		nym_ring_init(&rings[i]);
		mutex_lock(&rings[i].wlock);
		nym_ring_write_begin(&rings[i], &cur);
		KUNIT_EXPECT_EQ(test, nym_ring_put(&rings[i], &cur, "x", 1), 1);
		nym_ring_commit(&rings[i], &cur);
		mutex_unlock(&rings[i].wlock);
		nym_ring_drain(&rings[i]);
	}
	nym_chunks_sweep();
	nym_chunks_sweep();
	for (i = 0; i < NYM_TEST_RINGS; i++) {
		KUNIT_EXPECT_NULL(test, rings[i].last);
		nym_chunks_destroy(&rings[i]);
	}
	kvfree(rings);
}

static int nym_ring_test_init(struct kunit *test)
{
	struct nym_ring_test *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, t);
	t->buf = kunit_kzalloc(test, NYM_TEST_MOST, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, t->buf);
	prandom_seed_state(&t->rnd, 1);
	nym_ring_init(&t->ring);
	test->priv = t;
	return 0;
}

static void nym_ring_test_exit(struct kunit *test)
{
	struct nym_ring_test *t = test->priv;

	if (t)
		nym_chunks_destroy(&t->ring);
}

static struct kunit_case nym_ring_cases[] = {
	KUNIT_CASE(nym_ring_agrees_with_the_model),
	KUNIT_CASE(nym_ring_positions_wrap),
	KUNIT_CASE(nym_ring_goes_round_byte_by_byte),
	KUNIT_CASE(nym_ring_a_fault_leaves_nothing),
	KUNIT_CASE(nym_ring_a_bad_pointer_is_a_fault),
	KUNIT_CASE(nym_ring_a_limit_leaves_room),
	KUNIT_CASE(nym_ring_who_stalls_is_woken),
	KUNIT_CASE(nym_ring_draining_tells_what_was_lost),
	KUNIT_CASE(nym_ring_chunks_are_used_again),
	KUNIT_CASE(nym_ring_little_use_keeps_little),
	KUNIT_CASE(nym_ring_idle_keeps_nothing),
	KUNIT_CASE(nym_ring_busy_is_not_swept),
	KUNIT_CASE(nym_ring_swept_at_any_time),
	KUNIT_CASE(nym_ring_many_are_swept),
	KUNIT_CASE(nym_ring_the_end_comes_last),
	{}
};

static struct kunit_suite nym_ring_suite = {
	.name = "nym-ring",
	.init = nym_ring_test_init,
	.exit = nym_ring_test_exit,
	.test_cases = nym_ring_cases,
};

kunit_test_suite(nym_ring_suite);
