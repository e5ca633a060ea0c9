// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel's memory that a pair takes which does nothing: with nothing to be read,
 * and with one message.
 */
#include "nymbench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAIRS	10000
/* These fill what others have left free in their slabs. */
#define BEFORE	2000
#define MESSAGE	64

struct memory {
	long slab;
	long rest;
};

/* The sum of all lines of the file that have a number behind one of these words. */
static long sum_of(const char *path, const char *const formats[2])
{
	FILE *f = fopen(path, "re");
	char line[256];
	long n, sum = 0;

	if (!f)
		die(path);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, formats[0], &n) == 1 || sscanf(line, formats[1], &n) == 1)
			sum += n;
	}
	fclose(f);
	return sum;
}

/*
 * Each processor counts for itself first: have it summed up. And it keeps some free
 * pages at hand, which the zones tell as "count".
 */
static struct memory memory_free(void)
{
	static const char *const slab[] = {
		"nr_slab_reclaimable %ld", "nr_slab_unreclaimable %ld",
	};
	static const char *const unused[] = { " pages free %ld", " count: %ld" };
	FILE *f = fopen("/proc/sys/vm/stat_refresh", "we");
	long page = sysconf(_SC_PAGESIZE);
	struct memory m;

	if (f) {
		fputs("1\n", f);
		fclose(f);
	}
	m.slab = -sum_of("/proc/vmstat", slab) * page;
	m.rest = sum_of("/proc/zoneinfo", unused) * page - m.slab;
	return m;
}

static void open_pairs(struct result *r, struct channel *ch, long n, bool queued)
{
	const struct transport *t = r->transport;
	char message[MESSAGE] = { 0 };
	long i;

	for (i = 0; i < n; i++) {
		if (t->open(t, &ch[i], MESSAGE, 0))
			skip(r, "pair %ld cannot be opened: %s", i, strerror(errno));
		if (queued)
			send_whole(t, ch[i].out[0], message, MESSAGE);
	}
}

static void idle_pairs(struct result *r, bool queued)
{
	static const char *const names[] = { "slab", "pages" };
	struct channel *ch = buffer((BEFORE + PAIRS) * sizeof(*ch));
	struct memory before, after;
	long bytes[2];

	many_descriptors(4 * (BEFORE + PAIRS));
	settle();
	open_pairs(r, ch, BEFORE, queued);
	settle();
	memory_free();
	before = memory_free();
	open_pairs(r, ch + BEFORE, PAIRS, queued);
	settle();
	after = memory_free();
	bytes[0] = before.slab - after.slab;
	bytes[1] = before.rest - after.rest;
	tell_bytes(r, PAIRS, names, bytes, COUNT_OF(bytes));
}

static void idle(struct result *r)
{
	idle_pairs(r, false);
}

static void idle_queued(struct result *r)
{
	idle_pairs(r, true);
}

const struct measure idle_measures[] = {
	{
		.name = "idle",
		.what = "bytes that each of 10,000 pairs takes",
		.sizes = no_sizes,
		.run = idle,
	}, {
		.name = "idle-queued",
		.what = "the same with a message of 64 bytes in each",
		.sizes = no_sizes,
		.run = idle_queued,
	},
	{ }
};
