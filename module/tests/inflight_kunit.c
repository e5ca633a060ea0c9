// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: the rule for sockets in flight, at the top of files.c, against a model
 * that knows who is in whose queue and looks for circles itself.
 */
#include <kunit/test.h>
#include <linux/file.h>
#include <linux/net.h>
#include <linux/prandom.h>
#include <net/scm.h>

#include "../af_nym.h"
#include "../ancillary.h"

#define NYM_TEST_SOCKS	5
#define NYM_TEST_QUEUES	4
#define NYM_TEST_FILES	3	/* most in one message */
#define NYM_TEST_STEPS	3000
#define NYM_TEST_NOBODY	(-1)

struct nym_test_queue {
	struct list_head marks;
	int carrier;	/* which socket, or NYM_TEST_NOBODY */
};

struct nym_inflight_test {
	struct rnd_state rnd;
	struct file *socks[NYM_TEST_SOCKS];
	struct nym_test_queue queues[NYM_TEST_QUEUES];
	unsigned int refused;
	unsigned int queued;
	unsigned int stayed;
	unsigned int moved;
};

static u32 nym_test_below(struct nym_inflight_test *t, u32 n)
{
	return prandom_u32_state(&t->rnd) % n;
}

static struct sock *nym_test_sk(struct nym_inflight_test *t, int i)
{
	return i == NYM_TEST_NOBODY ? NULL : sock_from_file(t->socks[i])->sk;
}

static bool nym_test_holds(const struct nym_files *files, const struct file *file)
{
	int i;

	for (i = 0; i < files->list->count; i++) {
		if (files->list->fp[i] == file)
			return true;
	}
	return false;
}

/* How often a socket is in a queue; or, if @of, how many are in its queues. */
static unsigned int nym_test_count(struct nym_inflight_test *t, int sock, bool of)
{
	unsigned int n = 0;
	struct nym_mark *mark;
	int i, q;

	for (q = 0; q < NYM_TEST_QUEUES; q++) {
		list_for_each_entry(mark, &t->queues[q].marks, list) {
			const struct scm_fp_list *list = mark->control.files->list;

			if (of && t->queues[q].carrier == sock)
				n += list->count;
			for (i = 0; !of && i < list->count; i++)
				n += list->fp[i] == t->socks[sock];
		}
	}
	return n;
}

/*
 * @seen, and what is in the queues of those. A queue that waits for a socket is
 * held by whoever will get it.
 */
static u32 nym_test_reach(struct nym_inflight_test *t, u32 seen)
{
	struct nym_mark *mark;
	int i, q;

	for (q = 0; q < NYM_TEST_QUEUES; q++) {
		int carrier = t->queues[q].carrier;

		if (carrier != NYM_TEST_NOBODY && !(seen & BIT(carrier)))
			continue;
		list_for_each_entry(mark, &t->queues[q].marks, list) {
			for (i = 0; i < NYM_TEST_SOCKS; i++) {
				if (nym_test_holds(mark->control.files, t->socks[i]))
					seen |= BIT(i);
			}
		}
	}
	return seen;
}

/*
 * If everybody closed what they have: is each socket that remains in flight one
 * that a socket which is not in flight leads to? One that is lost is in a circle.
 */
static bool nym_test_is_sound(struct nym_inflight_test *t)
{
	u32 all = 0, seen = 0, before;
	int i;

	for (i = 0; i < NYM_TEST_SOCKS; i++) {
		all |= BIT(i);
		if (!nym_test_count(t, i, false))
			seen |= BIT(i);
	}
	do {
		before = seen;
		seen = nym_test_reach(t, seen);
	} while (seen != before);
	return seen == all;
}

static void nym_test_counts_agree(struct kunit *test)
{
	struct nym_inflight_test *t = test->priv;
	int i;

	for (i = 0; i < NYM_TEST_SOCKS; i++) {
		const struct nym_sock *nsk = nym_sk(nym_test_sk(t, i));

		KUNIT_ASSERT_EQ(test, nsk->inflight, nym_test_count(t, i, false));
		KUNIT_ASSERT_EQ(test, nsk->carries, nym_test_count(t, i, true));
	}
	KUNIT_ASSERT_TRUE(test, nym_test_is_sound(t));
}

/* A message with some of the sockets, as nym_files_add() makes them. */
static struct nym_mark *nym_test_message(struct kunit *test)
{
	struct nym_inflight_test *t = test->priv;
	int i, n = 1 + nym_test_below(t, NYM_TEST_FILES);
	struct nym_mark *mark = kzalloc(sizeof(*mark), GFP_KERNEL);
	struct nym_files *files;

	KUNIT_ASSERT_NOT_NULL(test, mark);
	files = nym_files_alloc(nym_test_sk(t, 0), n);
	KUNIT_ASSERT_FALSE(test, IS_ERR(files));
	for (i = 0; i < n; i++) {
		files->list->fp[i] = get_file(t->socks[nym_test_below(t, NYM_TEST_SOCKS)]);
		files->list->count++;
		files->nsocks++;
	}
	mark->control.files = files;
	return mark;
}

static void nym_test_give_up(struct nym_mark *mark)
{
	nym_files_free(mark->control.files);
	kfree(mark);
}

/* What the rule says of a message: none of it carries; @to stays out of it. */
static bool nym_test_may_queue(struct nym_inflight_test *t,
			       const struct nym_files *files, int to)
{
	int i;

	if (to == NYM_TEST_NOBODY || nym_test_count(t, to, false))
		return false;
	for (i = 0; i < NYM_TEST_SOCKS; i++) {
		if (nym_test_holds(files, t->socks[i]) &&
		    (i == to || nym_test_count(t, i, true)))
			return false;
	}
	return true;
}

static void nym_test_queue_one(struct kunit *test, struct nym_test_queue *q)
{
	struct nym_inflight_test *t = test->priv;
	struct nym_mark *mark = nym_test_message(test);
	bool may = nym_test_may_queue(t, mark->control.files, q->carrier);

	KUNIT_ASSERT_EQ(test, nym_files_queue(mark->control.files, nym_test_sk(t, q->carrier)),
			may ? 0 : -ETOOMANYREFS);
	if (may) {
		list_add_tail(&mark->list, &q->marks);
		t->queued++;
	} else {
		nym_test_give_up(mark);
		t->refused++;
	}
}

static void nym_test_take_one(struct nym_test_queue *q)
{
	struct nym_mark *mark;

	mark = list_first_entry_or_null(&q->marks, struct nym_mark, list);
	if (!mark)
		return;
	list_del(&mark->list);
	nym_test_give_up(mark);
}

/* The queue becomes somebody else's, or nobody's. */
static void nym_test_move(struct kunit *test, struct nym_test_queue *q)
{
	struct nym_inflight_test *t = test->priv;
	int to = (int)nym_test_below(t, NYM_TEST_SOCKS + 1) - 1;
	struct nym_mark *mark;
	bool may = true;

	/* Without sockets in it nobody asks; see nym_marks_carry(). */
	if (list_empty(&q->marks)) {
		q->carrier = to;
		return;
	}
	list_for_each_entry(mark, &q->marks, list) {
		if (to != NYM_TEST_NOBODY &&
		    (nym_test_count(t, to, false) ||
		     nym_test_holds(mark->control.files, t->socks[to])))
			may = false;
	}
	KUNIT_ASSERT_EQ(test, nym_files_move(&q->marks, nym_test_sk(t, to)), may);
	if (may) {
		q->carrier = to;
		t->moved++;
	} else {
		t->stayed++;
	}
}

static void nym_inflight_agrees_with_the_model(struct kunit *test)
{
	struct nym_inflight_test *t = test->priv;
	int i;

	for (i = 0; i < NYM_TEST_STEPS; i++) {
		struct nym_test_queue *q = &t->queues[nym_test_below(t, NYM_TEST_QUEUES)];

		switch (nym_test_below(t, 8)) {
		case 0 ... 3:
			nym_test_queue_one(test, q);
			break;
		case 4 ... 6:
			nym_test_take_one(q);
			break;
		default:
			nym_test_move(test, q);
			break;
		}
		nym_test_counts_agree(test);
		cond_resched();
	}
	/* It was a test of both answers. */
	KUNIT_EXPECT_GT(test, t->queued, NYM_TEST_STEPS / 50);
	KUNIT_EXPECT_GT(test, t->refused, NYM_TEST_STEPS / 50);
	KUNIT_EXPECT_GT(test, t->moved, NYM_TEST_STEPS / 50);
	KUNIT_EXPECT_GT(test, t->stayed, NYM_TEST_STEPS / 100);
}

static void nym_inflight_who_wants_none_gets_none(struct kunit *test)
{
	struct nym_inflight_test *t = test->priv;
	struct nym_mark *mark = nym_test_message(test);
	int i;

	for (i = 0; i < NYM_TEST_SOCKS; i++) {
		nym_sk(nym_test_sk(t, i))->passrights = false;
		KUNIT_EXPECT_EQ(test, nym_files_queue(mark->control.files, nym_test_sk(t, i)),
				-EPERM);
	}
	nym_test_give_up(mark);
	nym_test_counts_agree(test);
}

static struct file *nym_test_socket(struct kunit *test)
{
	struct socket *sock;
	struct file *file;

	KUNIT_ASSERT_EQ(test, sock_create_kern(&init_net, nym_family, SOCK_STREAM, 0, &sock), 0);
	/* It releases the socket itself if it fails. */
	file = sock_alloc_file(sock, 0, NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(file));
	return file;
}

static int nym_inflight_test_init(struct kunit *test)
{
	struct nym_inflight_test *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, t);
	test->priv = t;
	prandom_seed_state(&t->rnd, 1);
	for (i = 0; i < NYM_TEST_QUEUES; i++) {
		INIT_LIST_HEAD(&t->queues[i].marks);
		t->queues[i].carrier = i;
	}
	for (i = 0; i < NYM_TEST_SOCKS; i++) {
		t->socks[i] = nym_test_socket(test);
		nym_sk(nym_test_sk(t, i))->passrights = true;
	}
	return 0;
}

static void nym_inflight_test_exit(struct kunit *test)
{
	struct nym_inflight_test *t = test->priv;
	int i;

	if (!t)
		return;
	for (i = 0; i < NYM_TEST_QUEUES; i++) {
		while (!list_empty(&t->queues[i].marks))
			nym_test_take_one(&t->queues[i]);
	}
	for (i = 0; i < NYM_TEST_SOCKS; i++) {
		if (t->socks[i])
			fput(t->socks[i]);
	}
}

static struct kunit_case nym_inflight_cases[] = {
	KUNIT_CASE(nym_inflight_agrees_with_the_model),
	KUNIT_CASE(nym_inflight_who_wants_none_gets_none),
	{}
};

static struct kunit_suite nym_inflight_suite = {
	.name = "nym-inflight",
	.init = nym_inflight_test_init,
	.exit = nym_inflight_test_exit,
	.test_cases = nym_inflight_cases,
};

kunit_test_suite(nym_inflight_suite);
