// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: a ring to which is lent, against a model: what a reader finds, what it is
 * told of, and what is left when a loan ends, at any point of it.
 *
 * The model, as for the ring alone, is that the byte at a position is a function of
 * the position. The pages are the kernel's; user memory is for the kselftests.
 */
#include <kunit/test.h>
#include <linux/bvec.h>
#include <linux/gfp.h>
#include <linux/prandom.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uio.h>

#include "../loan.h"
#include "pattern.h"

#define NYM_TEST_STEPS	4000
#define NYM_TEST_ORDER	6
#define NYM_TEST_MOST	(PAGE_SIZE << NYM_TEST_ORDER)	/* in a loan */
#define NYM_TEST_LIMIT	30000U				/* less than the least loan */

struct nym_loan_test {
	struct nym_ring ring;
	struct nym_loan loan;
	struct rnd_state rnd;
	struct page *pages;
	u8 *buf;
	u64 written;	/* position of the next byte that is neither written nor lent */
	u64 lent;	/* if there is a loan: where it begins */
	u64 read;
};

static u32 nym_test_below(struct nym_loan_test *t, u32 limit)
{
	return prandom_u32_state(&t->rnd) % limit;
}

/* What a full ring would have of it. */
static u64 nym_test_told(const struct nym_loan_test *t)
{
	u64 used = nym_ring_used(&t->ring), all = t->written - t->read;

	return max(used, min_t(u64, all, NYM_TEST_LIMIT));
}

static void nym_test_write(struct kunit *test, size_t len)
{
	struct nym_loan_test *t = test->priv;
	struct nym_ring_cursor cur;

	nym_test_fill(t->buf, t->written, len);
	mutex_lock(&t->ring.wlock);
	nym_ring_write_begin(&t->ring, &cur);
	KUNIT_EXPECT_EQ(test, nym_ring_put(&t->ring, &cur, t->buf, len), len);
	nym_ring_commit(&t->ring, &cur);
	mutex_unlock(&t->ring.wlock);
	t->written += len;
}

static void nym_test_lend(struct kunit *test, size_t len)
{
	struct nym_loan_test *t = test->priv;
	size_t off = nym_test_below(t, NYM_TEST_MOST - len + 1);
	struct bio_vec bvec = { t->pages, len, off };
	struct iov_iter from;
	bool made;

	nym_test_fill(page_address(t->pages) + off, t->written, len);
	iov_iter_bvec(&from, ITER_SOURCE, &bvec, 1, len);
	mutex_lock(&t->ring.wlock);
	made = nym_loan_make(&t->loan, &t->ring, &from, len, NYM_TEST_LIMIT);
	KUNIT_ASSERT_EQ(test, made, len >= NYM_LOAN_LEAST);
	KUNIT_EXPECT_EQ(test, iov_iter_count(&from), made ? 0 : len);
	if (made) {
		nym_loan_lend(&t->loan, &t->ring);
		KUNIT_EXPECT_EQ(test, nym_ring_room(&t->ring, NYM_RING_LIMIT_MAX), 0);
		t->lent = t->written;
		t->written += len;
	}
	mutex_unlock(&t->ring.wlock);
}

static void nym_test_end(struct kunit *test)
{
	struct nym_loan_test *t = test->priv;
	u64 told = nym_test_told(t);
	size_t gone, kept;

	mutex_lock(&t->ring.wlock);
	gone = nym_loan_end(&t->loan, &t->ring, true, &kept);
	mutex_unlock(&t->ring.wlock);
	KUNIT_EXPECT_LE(test, kept, gone);
	t->written = t->lent + gone;
	KUNIT_EXPECT_EQ(test, (u64)nym_ring_used(&t->ring), told);
	KUNIT_EXPECT_EQ(test, t->written - t->read, told);
	KUNIT_EXPECT_FALSE(test, t->ring.lent);
	KUNIT_EXPECT_EQ(test, nym_ring_filled(&t->ring), nym_ring_used(&t->ring));
}

/* As a read does it: the ring first, then the loan. */
static void nym_test_read(struct kunit *test, size_t len)
{
	struct nym_loan_test *t = test->priv;
	struct kvec vec = { t->buf, len };
	bool was_due = t->loan.due;
	struct nym_ring_cursor cur;
	struct iov_iter to;
	size_t done;

	iov_iter_kvec(&to, ITER_DEST, &vec, 1, len);
	mutex_lock(&t->ring.rlock);
	nym_ring_read_begin(&t->ring, &cur);
	done = nym_ring_fetch(&cur, &to, len);
	nym_ring_consume(&t->ring, &cur);
	if (done < len)
		done += nym_loan_read(&t->ring, &to, len - done);
	mutex_unlock(&t->ring.rlock);
	KUNIT_EXPECT_EQ(test, (u64)done, min_t(u64, len, t->written - t->read));
	KUNIT_EXPECT_EQ(test, nym_test_differs(t->buf, t->read, done), done);
	t->read += done;
	/* When the ring has room for the rest the writer is told, and when all is read. */
	if (t->ring.lent && t->written - t->read <= NYM_TEST_LIMIT) {
		KUNIT_EXPECT_EQ(test, nym_loan_is_due(&t->ring),
				!was_due || !t->ring.loan);
		KUNIT_EXPECT_FALSE(test, nym_loan_waits(&t->loan, &t->ring));
	} else if (t->ring.lent) {
		KUNIT_EXPECT_FALSE(test, nym_loan_is_due(&t->ring));
		KUNIT_EXPECT_TRUE(test, nym_loan_waits(&t->loan, &t->ring));
	}
}

/* As a peek does it; what it finds is in the ring from then on. */
static void nym_test_peek(struct kunit *test, size_t len)
{
	struct nym_loan_test *t = test->priv;
	u64 want = min_t(u64, len, nym_test_told(t));
	struct nym_ring_cursor cur;

	mutex_lock(&t->ring.rlock);
	KUNIT_EXPECT_EQ(test, nym_loan_show(&t->ring, len), 0);
	KUNIT_EXPECT_GE(test, (u64)nym_ring_used(&t->ring), want);
	nym_ring_read_begin(&t->ring, &cur);
	nym_ring_get(&cur, t->buf, want);
	mutex_unlock(&t->ring.rlock);
	KUNIT_EXPECT_EQ(test, nym_test_differs(t->buf, t->read, want), (size_t)want);
}

static void nym_test_step(struct kunit *test)
{
	struct nym_loan_test *t = test->priv;
	u32 room = nym_ring_room(&t->ring, NYM_TEST_LIMIT);
	u32 what = nym_test_below(t, 16);

	if (what < 5)
		nym_test_read(test, 1 + nym_test_below(t, what ? 9000 : NYM_TEST_MOST));
	else if (what < 8)
		nym_test_peek(test, 1 + nym_test_below(t, 2 * NYM_TEST_LIMIT));
	else if (what == 8)
		nym_chunks_sweep();
	else if (t->ring.lent && what < 12)
		nym_test_end(test);
	else if (!t->ring.lent && what < 12)
		nym_test_lend(test, 1 + nym_test_below(t, NYM_TEST_MOST));
	else if (room)
		nym_test_write(test, 1 + nym_test_below(t, room));
	KUNIT_EXPECT_EQ(test, (u64)nym_ring_unread(&t->ring), nym_test_told(t));
	KUNIT_EXPECT_EQ(test, nym_ring_is_empty(&t->ring), t->written == t->read);
}

static void nym_loan_agrees_with_the_model(struct kunit *test)
{
	struct nym_loan_test *t = test->priv;
	u64 seed = get_random_u64();
	int i;

	prandom_seed_state(&t->rnd, seed);
	kunit_info(test, "seed %llu\n", seed);
	for (i = 0; i < NYM_TEST_STEPS; i++) {
		nym_test_step(test);
		if (test->status == KUNIT_FAILURE) {
			kunit_info(test, "at step %d\n", i);
			break;
		}
		cond_resched();
	}
	if (t->ring.lent)
		nym_test_end(test);
}

/* Positions are 32 bits. */
static void nym_loan_positions_wrap(struct kunit *test)
{
	struct nym_loan_test *t = test->priv;
	int i;

	t->ring.tail = -100000;
	t->ring.head = t->ring.tail;
	for (i = 0; i < 10; i++) {
		nym_test_write(test, 20000);
		nym_test_lend(test, 100000);
		nym_test_read(test, 60000);
		nym_test_peek(test, 25000);
		nym_test_end(test);
		nym_test_read(test, NYM_TEST_MOST);
	}
	KUNIT_EXPECT_GT(test, (s32)t->ring.head, 0);
}

/* Nobody reads any more: nothing is kept, but what would have been has gone. */
static void nym_loan_a_dead_reader_keeps_nothing(struct kunit *test)
{
	struct nym_loan_test *t = test->priv;
	size_t kept;

	nym_test_lend(test, 100000);
	nym_test_read(test, 40000);
	WRITE_ONCE(t->ring.dead, 1);
	mutex_lock(&t->ring.wlock);
	KUNIT_EXPECT_EQ(test, nym_loan_end(&t->loan, &t->ring, true, &kept),
			40000 + NYM_TEST_LIMIT);
	mutex_unlock(&t->ring.wlock);
	KUNIT_EXPECT_EQ(test, kept, 0);
	KUNIT_EXPECT_TRUE(test, nym_ring_is_empty(&t->ring));
}

/* The pages are the lender's alone again. */
static void nym_loan_lets_go_of_pages(struct kunit *test)
{
	struct nym_loan_test *t = test->priv;
	long charged = atomic_long_read(&current_user()->locked_vm);
	int refs = page_ref_count(t->pages);

	nym_test_lend(test, NYM_TEST_MOST);
	KUNIT_EXPECT_GT(test, page_ref_count(t->pages), refs);
	KUNIT_EXPECT_GT(test, atomic_long_read(&current_user()->locked_vm), charged);
	nym_test_end(test);
	KUNIT_EXPECT_EQ(test, page_ref_count(t->pages), refs);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&current_user()->locked_vm), charged);
}

static int nym_loan_test_init(struct kunit *test)
{
	struct nym_loan_test *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, t);
	t->buf = kunit_kzalloc(test, NYM_TEST_MOST, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, t->buf);
	t->pages = alloc_pages(GFP_KERNEL | __GFP_COMP, NYM_TEST_ORDER);
	KUNIT_ASSERT_NOT_NULL(test, t->pages);
	prandom_seed_state(&t->rnd, 1);
	nym_ring_init(&t->ring);
	test->priv = t;
	return 0;
}

static void nym_loan_test_exit(struct kunit *test)
{
	struct nym_loan_test *t = test->priv;

	if (!t)
		return;
	nym_chunks_destroy(&t->ring);
	__free_pages(t->pages, NYM_TEST_ORDER);
}

static struct kunit_case nym_loan_cases[] = {
	KUNIT_CASE(nym_loan_agrees_with_the_model),
	KUNIT_CASE(nym_loan_positions_wrap),
	KUNIT_CASE(nym_loan_a_dead_reader_keeps_nothing),
	KUNIT_CASE(nym_loan_lets_go_of_pages),
	{}
};

static struct kunit_suite nym_loan_suite = {
	.name = "nym-loan",
	.init = nym_loan_test_init,
	.exit = nym_loan_test_exit,
	.test_cases = nym_loan_cases,
};

kunit_test_suite(nym_loan_suite);
