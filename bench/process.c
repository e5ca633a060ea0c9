// SPDX-License-Identifier: GPL-2.0
/*
 * What a process that measures needs: a processor, memory, descriptors, and an end
 * when something fails.
 */
#include "nymbench.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* The measurement has failed; nothing is to be said twice by a forked process. */
void die(const char *what)
{
	fprintf(stderr, "nymbench: ");
	perror(what);
	_exit(1);
}

void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
}

/* Memory that is there already when it is first used. */
void *buffer(size_t size)
{
	void *buf = malloc(size);

	if (!buf)
		die("malloc");
	return memset(buf, 'n', size);
}

static void set_number(const char *path, long n)
{
	FILE *f = fopen(path, "we");

	if (!f || fprintf(f, "%ld\n", n) < 0 || fclose(f))
		die(path);
}

void many_descriptors(long n)
{
	struct rlimit rl;

	n += 1000;
	rl.rlim_cur = n;
	rl.rlim_max = n;
	set_number("/proc/sys/fs/nr_open", n < 1048576 ? 1048576 : n);
	set_number("/proc/sys/fs/file-max", 2 * n < 1048576 ? 1048576 : 2 * n);
	if (setrlimit(RLIMIT_NOFILE, &rl))
		die("RLIMIT_NOFILE");
	/* The table of descriptors is not what is to be measured: let it grow now. */
	if (dup2(0, n - 1) >= 0)
		close(n - 1);
}
