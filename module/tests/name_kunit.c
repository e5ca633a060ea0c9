// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: what is a name, and what an address says and is told.
 */
#include <kunit/test.h>
#include <linux/string.h>

#include "../af_nym.h"

#define NYM_TEST_HEAD	((int)offsetof(struct sockaddr_nym, snym_name))

static int nym_test_parse(struct nym_name *name, const void *text, int len)
{
	struct sockaddr_nym addr = { .snym_family = nym_family };

	memcpy(addr.snym_name, text, len);
	return nym_name_parse(name, &addr, NYM_TEST_HEAD + len);
}

static void nym_name_each_byte(struct kunit *test)
{
	struct nym_name name;
	int c;

	for (c = 1; c < 256; c++) {
		char text[3] = { 'a', c, 'b' };
		int want = c > ' ' && c < 127 && c != '@' ? 0 : -EINVAL;

		KUNIT_EXPECT_EQ_MSG(test, nym_test_parse(&name, text, 3), want,
				    "byte %d", c);
	}
}

static void nym_name_each_length(struct kunit *test)
{
	char text[sizeof_field(struct sockaddr_nym, snym_name)];
	struct nym_name name;
	int len;

	memset(text, 'x', sizeof(text));
	KUNIT_EXPECT_EQ(test, nym_test_parse(&name, text, 0), 0);
	KUNIT_EXPECT_EQ(test, name.len, 0);
	for (len = 1; len <= (int)sizeof(text); len++) {
		int err = nym_test_parse(&name, text, len);

		KUNIT_EXPECT_EQ(test, err, len > NYM_NAME_MAX ? -EINVAL : 0);
		if (err)
			continue;
		KUNIT_EXPECT_EQ(test, name.len, len);
		KUNIT_EXPECT_EQ(test, strlen(name.text), len);
	}
}

/* A NUL ends it, wherever the length says that it ends. */
static void nym_name_ends_at_a_nul(struct kunit *test)
{
	struct nym_name name;

	KUNIT_EXPECT_EQ(test, nym_test_parse(&name, "ab\0@ d", 6), 0);
	KUNIT_EXPECT_EQ(test, name.len, 2);
	KUNIT_EXPECT_STREQ(test, name.text, "ab");
	KUNIT_EXPECT_EQ(test, nym_test_parse(&name, "\0ab", 3), -EINVAL);
}

static void nym_name_of_bad_addresses(struct kunit *test)
{
	struct sockaddr_nym addr = { .snym_family = nym_family, .snym_name = "a" };
	struct nym_name name;

	KUNIT_EXPECT_EQ(test, nym_name_parse(&name, &addr, sizeof(addr)), 0);
	KUNIT_EXPECT_EQ(test, nym_name_parse(&name, &addr, sizeof(addr) + 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, nym_name_parse(&name, &addr, NYM_TEST_HEAD - 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, nym_name_parse(&name, &addr, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, nym_name_parse(&name, &addr, -1), -EINVAL);
	KUNIT_EXPECT_EQ(test, nym_name_parse(&name, &addr, INT_MIN), -EINVAL);
	addr.snym_family++;
	KUNIT_EXPECT_EQ(test, nym_name_parse(&name, &addr, sizeof(addr)), -EINVAL);
}

/* What an address is filled with, it is parsed to. */
static void nym_name_there_and_back(struct kunit *test)
{
	struct sockaddr_nym addr;
	struct nym_name name, back;
	int len;

	KUNIT_ASSERT_EQ(test, nym_test_parse(&name, "user/1000/agent", 15), 0);
	memset(&addr, 0xff, sizeof(addr));
	len = nym_name_fill(&addr, &name);
	KUNIT_EXPECT_EQ(test, nym_name_parse(&back, &addr, len), 0);
	KUNIT_EXPECT_STREQ(test, back.text, "user/1000/agent");
}

/* They are different, short enough, and begin as no program's can. */
static void nym_name_chosen(struct kunit *test)
{
	static const u64 ids[] = { 0, 1, 15, 16, U32_MAX, 1ULL << 32, U64_MAX - 1, U64_MAX };
	struct nym_name name, last = { };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ids); i++) {
		nym_name_choose(&name, ids[i]);
		KUNIT_EXPECT_EQ(test, name.text[0], ':');
		KUNIT_EXPECT_EQ(test, strlen(name.text), name.len);
		KUNIT_EXPECT_STRNEQ(test, name.text, last.text);
		last = name;
	}
}

static struct kunit_case nym_name_cases[] = {
	KUNIT_CASE(nym_name_each_byte),
	KUNIT_CASE(nym_name_each_length),
	KUNIT_CASE(nym_name_ends_at_a_nul),
	KUNIT_CASE(nym_name_of_bad_addresses),
	KUNIT_CASE(nym_name_there_and_back),
	KUNIT_CASE(nym_name_chosen),
	{}
};

static struct kunit_suite nym_name_suite = {
	.name = "nym-name",
	.test_cases = nym_name_cases,
};

kunit_test_suite(nym_name_suite);
