// SPDX-License-Identifier: GPL-2.0
/*
 * Random numbers that depend on the seed and the number of the call alone, so
 * that what one call draws changes nothing for the next.
 */
#include "fuzz.h"

#include <limits.h>

/* The finalizer of splitmix64. */
static uint64_t mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ull;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

void random_seed(struct actor *a)
{
	uint64_t x = options.seed;

	x = mix(x + 0x9e3779b97f4a7c15ull * (a->round + 1));
	x = mix(x + 0x9e3779b97f4a7c15ull * (a->index + 1));
	a->random = mix(x + 0x9e3779b97f4a7c15ull * (a->nr + 1));
}

uint64_t random_next(struct actor *a)
{
	a->random += 0x9e3779b97f4a7c15ull;
	return mix(a->random);
}

unsigned int below(struct actor *a, unsigned int n)
{
	return (random_next(a) >> 32) % n;
}

bool one_in(struct actor *a, unsigned int n)
{
	return !below(a, n);
}

int int_any(struct actor *a)
{
	static const int edges[] = {
		0, 0, 1, 1, 1, 2, 3, 4, 7, 8, 16, 64, 127, 128, 255, 256, 1000, 4095,
		4096, 65535, 65536, -1, -2, -4096, INT_MAX, INT_MAX - 1, INT_MIN,
	};

	if (one_in(a, 8))
		return random_next(a);
	return PICK(a, edges);
}

/* The length of a buffer: mostly small, so that much happens. */
size_t size_any(struct actor *a)
{
	static const size_t edges[] = {
		0, 1, 1, 2, 7, 8, 9, 16, 63, 64, 65, 100, 127, 128, 129, 500, 512,
		1000, 1024, 2047, 2048,
	};
	static const size_t large[] = {
		3000, 4095, 4096, 4097, 8000, 8192, 8193, 12288, 16384, 40000, 65535,
		65536, 65537, 131072, 212992, 300000, 450000,
	};

	if (one_in(a, 16))
		return PICK(a, large);
	if (one_in(a, 4))
		return below(a, 2048);
	return PICK(a, edges);
}
