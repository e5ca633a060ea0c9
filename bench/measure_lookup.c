// SPDX-License-Identifier: GPL-2.0
/*
 * What it costs to find a name among others: connect(), by a datagram socket to
 * one, by others to one where nobody listens.
 */
#include "nymbench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Bytes of memory that a name may take. */
#define NAME_BYTES	4096
/* More names than this take long to make and to close. */
#define QUICK		10000
/* AF_UNIX walks through one in 256 of the names with each bind(): hours for more. */
#define UNIX_MOST	100000

static const size_t crowds[] = { 10, 10000, 100000, 1000000, 0 };

struct names {
	const struct transport *t;
	long n;
	long next;
	int fd;
};

static const char *numbered(const struct transport *t)
{
	return t->wants_rights ? NULL : "has no names, or numbers instead";
}

static long memory_available(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	char line[128];
	long kib = 0;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "MemAvailable: %ld kB", &kib) == 1)
			break;
	}
	if (f)
		fclose(f);
	return kib * 1024;
}

static void lookup_round(void *arg)
{
	struct names *names = arg;
	struct address a;

	names->t->address(&a, "many", names->next);
	names->next = (names->next + 7919) % names->n;
	if (connect(names->fd, (struct sockaddr *)&a.ss, a.len) && errno != ECONNREFUSED)
		die("connect");
}

static void lookup(struct result *r)
{
	struct names names = { .t = r->transport, .n = r->size };
	long i;

	if (names.n > QUICK && !options.sizes)
		skip(r, "takes many minutes; ask for it with --size %ld", names.n);
	if (names.n > UNIX_MOST && names.t->domain == AF_UNIX)
		skip(r, "would take hours: bind() walks through one in 256 of the names");
	if (memory_available() < names.n * NAME_BYTES)
		skip(r, "%ld MiB of memory are too few", memory_available() >> 20);
	many_descriptors(names.n);
	for (i = 0; i < names.n; i++) {
		if (socket_bound(names.t, "many", i) < 0)
			skip(r, "name %ld cannot be bound: %s", i, strerror(errno));
	}
	names.fd = socket(names.t->domain, names.t->type, 0);
	count_rounds(r, SHORT, lookup_round, &names);
}

const struct measure lookup_measures[] = {
	{
		.name = "lookup",
		.what = "find a name among many",
		.sizes = crowds,
		.of = "name",
		.cannot = numbered,
		.run = lookup,
	},
	{ }
};
