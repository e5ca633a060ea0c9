// SPDX-License-Identifier: GPL-2.0
/*
 * Memory to be given to the kernel: valid, at the very end of what is valid,
 * beyond it, or nowhere. Where the kernel may write it is filled with a pattern,
 * to see what was written.
 *
 * An actor's arena has a page that cannot be written, memory that can, and a page
 * that cannot even be read. Small buffers come from the beginning of the memory,
 * those that are to end at its end from its end.
 */
#include "fuzz.h"

#include <sys/mman.h>

#define PAGE		4096
#define ARENA		(4 << 20)
#define PATTERN		0xa5
#define BEHIND		64	/* bytes behind a buffer that are looked at, too */

int arena_make(struct actor *a)
{
	a->arena = mmap(NULL, ARENA + 2 * PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (a->arena == MAP_FAILED)
		return -1;
	if (mprotect(a->arena, PAGE, PROT_READ) ||
	    mprotect(a->arena + PAGE + ARENA, PAGE, PROT_NONE))
		return -1;
	return 0;
}

static char *arena_end(const struct actor *a)
{
	return a->arena + PAGE + ARENA;
}

void memory_reset(struct actor *a)
{
	a->used = 0;
	a->nouts = 0;
	a->faulty = false;
	a->sound = false;
	a->at_end = false;
	a->detail = 0;
}

/* For what the fuzzer needs itself; always valid. */
void *mem_room(struct actor *a, size_t len)
{
	char *at = a->arena + PAGE + a->used;

	a->used += (len + BEHIND + 15) & ~(size_t)15;
	if (a->used > ARENA)
		__builtin_trap();
	return at;
}

/* An address at which @len bytes cannot be accessed; no byte at all, mostly. */
static void *mem_bad(struct actor *a, size_t len, bool write)
{
	a->faulty = true;
	switch (below(a, write ? 6 : 5)) {
	case 0:
		return NULL;
	case 1:
		return (void *)0xffff888000001000ul;
	case 2:
		return (void *)0x8000000000000000ul;
	case 3:
		return arena_end(a);
	case 4:
		return arena_end(a) - len / 2;
	default:
		return a->arena;
	}
}

/* Where a buffer is: in one of sixty calls it is bad. */
static char *mem_place(struct actor *a, size_t len, bool write)
{
	unsigned int where = below(a, 120);

	if (where < 2 && !a->sound)
		return mem_bad(a, len, write);
	if (where < 12 && len <= ARENA / 8 && !a->at_end) {
		a->at_end = true;
		return arena_end(a) - len;
	}
	return mem_room(a, len);
}

static bool mem_is_ours(const struct actor *a, const char *at, size_t len)
{
	return at >= a->arena + PAGE && at + len <= arena_end(a);
}

/* Something to be read by the kernel. */
void *mem_in(struct actor *a, const void *from, size_t len)
{
	char *at = mem_place(a, len, false);

	if (mem_is_ours(a, at, len))
		memcpy(at, from, len);
	return at;
}

static void out_add(struct actor *a, char *at, size_t len)
{
	struct out *out = &a->outs[a->nouts];

	if (a->nouts == OUTS || !mem_is_ours(a, at, len))
		return;
	out->at = (unsigned char *)at;
	out->room = len;
	out->filled = len;
	if (at < a->arena + PAGE + a->used)
		out->filled += BEHIND;
	memset(at, PATTERN, out->filled);
	a->nouts++;
}

/* Something to be written by the kernel. */
void *mem_out(struct actor *a, size_t len)
{
	char *at = mem_place(a, len, true);

	out_add(a, at, len);
	return at;
}

/* Something to be read and written. */
void *mem_inout(struct actor *a, const void *from, size_t len)
{
	char *at = mem_place(a, len, true);

	if (mem_is_ours(a, at, len))
		memcpy(at, from, len);
	return at;
}

/* Bytes to be sent are whatever is there. */
static void *mem_bytes(struct actor *a, size_t len, bool out)
{
	if (out)
		return mem_out(a, len);
	return mem_place(a, len, false);
}

/*
 * Some buffers, at most half a megabyte in all; sometimes with more buffers than
 * allowed, or with lengths that cannot be.
 */
int iov_any(struct actor *a, struct iovec **iov, bool out, size_t *total)
{
	int n = one_in(a, 40) ? below(a, IOV_HERE) : below(a, 5);
	int i;

	*iov = mem_room(a, (n + 1) * sizeof(**iov));
	*total = 0;
	for (i = 0; i < n; i++) {
		size_t len = n > 5 ? below(a, 200) : size_any(a);

		if (*total + len > ARENA / 4 || a->used > ARENA / 2)
			len = 0;
		(*iov)[i].iov_base = mem_bytes(a, len, out);
		(*iov)[i].iov_len = len;
		*total += len;
	}
	if (a->sound)
		return n;
	if (n && one_in(a, 200)) {
		a->faulty = true;
		(*iov)[below(a, n)].iov_len = random_next(a);
		*total = SIZE_MAX;
	}
	if (one_in(a, 400)) {
		a->faulty = true;
		return 1025 + below(a, 10);
	}
	return n;
}

static size_t out_touched(const struct out *out, size_t from)
{
	size_t i;

	for (i = out->filled; i > from; i--)
		if (out->at[i - 1] != PATTERN)
			return i;
	return 0;
}

/* The kernel says it has written @used bytes, one buffer after the other. */
void outs_expect(struct actor *a, size_t used)
{
	unsigned int i;

	for (i = 0; i < a->nouts && !a->faulty; i++) {
		const struct out *out = &a->outs[i];
		size_t here = used < out->room ? used : out->room;

		if (out_touched(out, here)) {
			finding(a, CALLS, "byte %zu of a buffer was written, not only %zu of %zu",
				out_touched(out, here), here, out->room);
			return;
		}
		used -= here;
	}
}

/* The same for one of them. */
void out_expect(struct actor *a, const void *at, size_t used)
{
	unsigned int i;

	for (i = 0; i < a->nouts && !a->faulty; i++) {
		const struct out *out = &a->outs[i];

		if (out->at == at && used <= out->room && out_touched(out, used))
			finding(a, CALLS, "byte %zu at an address was written, not only %zu of %zu",
				out_touched(out, used), used, out->room);
	}
}
