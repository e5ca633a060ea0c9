// SPDX-License-Identifier: GPL-2.0
/*
 * What happens when memory cannot be had while a network namespace starts: with
 * each of nym's allocations failing in turn, there is either all of it or
 * nothing.
 *
 * Needs a kernel with fault injection; skipped on others.
 */
#include "nym_inject.h"

#define NTH_MAX	10000	/* unshare() has not so many */

FIXTURE(start)
{
};

FIXTURE_SETUP(start)
{
	SKIP_WITHOUT_NYM();
	if (!nym_can_inject())
		SKIP(return, "this kernel has no fault injection");
}

FIXTURE_TEARDOWN(start)
{
}

static bool can_be_called(void)
{
	int l = nym_listen("t/start", 1), c = nym_connect("t/start");

	close(c);
	close(l);
	return l >= 0 && c >= 0;
}

/* A namespace of its own, with the @nth chance failing; how many were left. */
static int new_namespace(int nth, int *err)
{
	int fd = nym_inject(nth);

	*err = unshare(CLONE_NEWNET) ? errno : 0;
	return nym_inject_left(fd, nth);
}

/*
 * What Linux has built in starts before nym, and devices after it, with about as
 * many chances each: nym's are in the middle.
 */
TEST_F(start, namespace_that_lacks_something)
{
	int nth, all = 0, left, err, i, failed = 0;

	/* How many there are depends on what the allocator has at hand. */
	for (i = 0; i < 3; i++) {
		all = NTH_MAX - new_namespace(NTH_MAX, &err);
		ASSERT_EQ(0, err);
	}
	ASSERT_GT(NTH_MAX, all);
	for (nth = all / 4; nth < all - all / 3; nth++) {
		left = new_namespace(nth, &err);
		if (err) {
			/* What is not nym's may have another errno. */
			ASSERT_EQ(0, left) {
				TH_LOG("%d: %s", nth, strerrorname_np(err));
			}
			failed++;
		}
		EXPECT_TRUE(can_be_called()) {
			TH_LOG("after %d", nth);
		}
	}
	EXPECT_LT(0, failed);
	TH_LOG("of %d chances to fail, %d in the middle for good", all, failed);
}

NYM_TEST_MAIN
