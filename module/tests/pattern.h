/* SPDX-License-Identifier: GPL-2.0 */
/*
 * KUnit: bytes that show every one that was lost, repeated or moved. The byte at a
 * position of a stream is a function of the position, so that a model of a ring
 * needs no memory but counters.
 */
#ifndef _NYM_TESTS_PATTERN_H
#define _NYM_TESTS_PATTERN_H

#include <linux/types.h>

/* No period that a chunk or a page could hide. */
static inline u8 nym_test_byte(u64 pos)
{
	return (pos * 0x9e3779b97f4a7c15ULL) >> 56;
}

static inline void nym_test_fill(u8 *buf, u64 pos, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		buf[i] = nym_test_byte(pos + i);
}

/* The first byte that is not what it should be, or @len. */
static inline size_t nym_test_differs(const u8 *buf, u64 pos, size_t len)
{
	size_t i;

	for (i = 0; i < len && buf[i] == nym_test_byte(pos + i); i++)
		;
	return i;
}

#endif /* _NYM_TESTS_PATTERN_H */
