// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: the arithmetic of fair shares.
 */
#include <kunit/test.h>

#include "../af_nym.h"

/* What the rule says, without a care for overflow or speed. */
static bool nym_share_rule(u64 limit, u64 used, u64 held, u64 cost)
{
	u64 others = used - held;

	if (!used)
		return true;
	if (used + cost > limit)
		return false;
	return !held || 2 * (held + cost) <= limit - others;
}

static void nym_share_small_numbers(struct kunit *test)
{
	u32 limit, used, held, cost;

	for (limit = 0; limit < 14; limit++) {
		for (used = 0; used < 17; used++) {
			for (held = 0; held <= used; held++) {
				for (cost = 1; cost < 17; cost++) {
					KUNIT_EXPECT_EQ_MSG(test,
							    nym_fair_room(limit, used, held, cost),
							    nym_share_rule(limit, used, held, cost),
							    "%u %u %u %u", limit, used, held, cost);
				}
			}
		}
	}
}

static void nym_share_numbers_that_could_overflow(struct kunit *test)
{
	static const u32 edge[] = {
		0, 1, 2, 0x3fffffff, 0x40000000, 0x7ffffffe, 0x7fffffff, 0x80000000,
		0x80000001, 0xfffffffe, 0xffffffff,
	};
	const size_t n = ARRAY_SIZE(edge);
	size_t i;

	for (i = 0; i < n * n * n * n; i++) {
		u32 limit = edge[i % n], used = edge[i / n % n];
		u32 held = edge[i / n / n % n], cost = edge[i / n / n / n];

		if (held > used || !cost)
			continue;
		KUNIT_EXPECT_EQ_MSG(test, nym_fair_room(limit, used, held, cost),
				    nym_share_rule(limit, used, held, cost),
				    "%u %u %u %u", limit, used, held, cost);
	}
}

/* Whoever comes into a queue that one has filled as far as it may gets in. */
static void nym_share_a_newcomer_gets_in(struct kunit *test)
{
	u32 limit, held;

	for (limit = 2; limit < 1000; limit++) {
		for (held = 0; nym_fair_room(limit, held, held, 1); held++)
			;
		KUNIT_EXPECT_EQ(test, held, max(limit / 2, 1U));
		KUNIT_EXPECT_TRUE(test, nym_fair_room(limit, held, 0, 1));
	}
}

static struct kunit_case nym_share_cases[] = {
	KUNIT_CASE(nym_share_small_numbers),
	KUNIT_CASE(nym_share_numbers_that_could_overflow),
	KUNIT_CASE(nym_share_a_newcomer_gets_in),
	{}
};

static struct kunit_suite nym_share_suite = {
	.name = "nym-share",
	.test_cases = nym_share_cases,
};

kunit_test_suite(nym_share_suite);
