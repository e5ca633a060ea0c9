// SPDX-License-Identifier: GPL-2.0
/*
 * Does it stay as fast when there is much of it? Measures bind, lookup, connect
 * and close with few and with many bound names, and with few and many
 * connections to one listener, and the memory that each takes.
 *
 * To be run by "make scale": the clock counts instructions there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <linux/nym.h>

#define ROUNDS	200

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static long now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000L + ts.tv_nsec;
}

/* Kernel memory in bytes: slabs and pages that are nobody's cache. */
static long kernel_memory(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	long sum = 0, kb;
	char line[128];

	if (!f)
		die("/proc/meminfo");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "SUnreclaim: %ld kB", &kb) == 1 ||
		    sscanf(line, "SReclaimable: %ld kB", &kb) == 1 ||
		    sscanf(line, "VmallocUsed: %ld kB", &kb) == 1)
			sum += kb * 1024;
	}
	fclose(f);
	return sum;
}

static void many_descriptors(void)
{
	struct rlimit rl = { 4000000, 4000000 };
	FILE *f = fopen("/proc/sys/fs/nr_open", "we");

	if (!f || fprintf(f, "4000000\n") < 0 || fclose(f))
		die("/proc/sys/fs/nr_open");
	f = fopen("/proc/sys/fs/file-max", "we");
	if (!f || fprintf(f, "8000000\n") < 0 || fclose(f))
		die("/proc/sys/fs/file-max");
	if (setrlimit(RLIMIT_NOFILE, &rl))
		die("RLIMIT_NOFILE");
}

static void name(struct sockaddr_nym *a, const char *kind, long i)
{
	memset(a, 0, sizeof(*a));
	a->snym_family = AF_NYM;
	snprintf(a->snym_name, sizeof(a->snym_name), "scale/%s/%ld", kind, i);
}

static int new_socket(void)
{
	int fd = socket(AF_NYM, SOCK_STREAM, 0);

	if (fd < 0)
		die("socket");
	return fd;
}

static int bound(const char *kind, long i)
{
	struct sockaddr_nym a;
	int fd = new_socket();

	name(&a, kind, i);
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)))
		die("bind");
	return fd;
}

struct cost {
	long bind;
	long lookup;
	long connect;
	long close;
};

/* Each the least of all rounds: without interrupts and first times. */
static void least(long *cost, long value)
{
	if (!*cost || value < *cost)
		*cost = value;
}

static void measure_bind(struct cost *cost)
{
	struct sockaddr_nym a;
	long t0, t1;
	int i, fd;

	for (i = 0; i < ROUNDS; i++) {
		name(&a, "one", i);
		fd = new_socket();
		t0 = now();
		if (bind(fd, (struct sockaddr *)&a, sizeof(a)))
			die("bind");
		t1 = now();
		close(fd);
		least(&cost->bind, t1 - t0);
		least(&cost->close, now() - t1);
	}
}

/* Nobody listens at the names: only looking them up takes time. */
static void measure_lookup(struct cost *cost, long names)
{
	struct sockaddr_nym a;
	int i, fd = new_socket();
	long t0;

	for (i = 0; i < ROUNDS; i++) {
		name(&a, "many", (i * 7919L) % names);
		t0 = now();
		if (!connect(fd, (struct sockaddr *)&a, sizeof(a)) ||
		    errno != ECONNREFUSED)
			die("connect to a name without a listener");
		least(&cost->lookup, now() - t0);
	}
	close(fd);
}

static void measure_connect(struct cost *cost, int listener, const char *kind)
{
	struct sockaddr_nym a;
	int i, fd, accepted;
	long t0;

	name(&a, kind, 0);
	for (i = 0; i < ROUNDS; i++) {
		fd = new_socket();
		t0 = now();
		if (connect(fd, (struct sockaddr *)&a, sizeof(a)))
			die("connect");
		accepted = accept(listener, NULL, NULL);
		if (accepted < 0)
			die("accept");
		close(fd);
		close(accepted);
		least(&cost->connect, now() - t0);
	}
}

static void print(const char *what, long few, long many, long n)
{
	printf("%-28s %8ld %10ld %8.2f   (10 and %ld)\n", what, few, many,
	       (double)many / few, n);
}

static int too_much(long few, long many)
{
	return many * 10 > few * 13;
}

static int names_test(long n)
{
	struct cost few = { 0 }, many = { 0 };
	int listener = bound("listener", 0);
	long i, memory, bare;

	if (listen(listener, 16))
		die("listen");
	memory = kernel_memory();
	for (i = 0; i < n / 10; i++)
		new_socket();
	bare = kernel_memory() - memory;
	closefrom(listener + 1);

	for (i = 0; i < 10; i++)
		bound("many", i);
	measure_bind(&few);
	measure_lookup(&few, 10);
	measure_connect(&few, listener, "listener");
	memory = kernel_memory();
	for (; i < n; i++)
		bound("many", i);
	memory = kernel_memory() - memory;
	measure_bind(&many);
	measure_lookup(&many, n);
	measure_connect(&many, listener, "listener");

	print("bind", few.bind, many.bind, n);
	print("close of a bound socket", few.close, many.close, n);
	print("lookup (connect, refused)", few.lookup, many.lookup, n);
	print("connect+accept+close", few.connect, many.connect, n);
	printf("bytes a bound socket         %ld, without a name %ld\n",
	       memory / (n - 10), bare / (n / 10));
	closefrom(listener);
	return too_much(few.bind, many.bind) || too_much(few.close, many.close) ||
	       too_much(few.lookup, many.lookup) ||
	       too_much(few.connect, many.connect);
}

static int connections_test(long n)
{
	struct cost few = { 0 }, many = { 0 };
	int listener = bound("busy", 0), fd;
	struct sockaddr_nym a;
	long i, memory = 0;

	name(&a, "busy", 0);
	if (listen(listener, 16))
		die("listen");
	for (i = 0; i < n; i++) {
		if (i == 10) {
			measure_connect(&few, listener, "busy");
			memory = kernel_memory();
		}
		fd = new_socket();
		if (connect(fd, (struct sockaddr *)&a, sizeof(a)) ||
		    accept(listener, NULL, NULL) < 0)
			die("connect");
	}
	memory = kernel_memory() - memory;
	measure_connect(&many, listener, "busy");
	print("connect+accept+close", few.connect, many.connect, n);
	printf("bytes an idle connection     %ld, both sockets and files\n",
	       memory / (n - 10));
	return too_much(few.connect, many.connect);
}

int main(int argc, char **argv)
{
	long names = argc > 1 ? atol(argv[1]) : 1000000;
	long connections = argc > 2 ? atol(argv[2]) : 100000;
	int failed;

	many_descriptors();
	printf("instructions                      few       many    ratio\n");
	failed = names_test(names);
	failed |= connections_test(connections);
	printf("%s\n", failed ? "FAILED: a ratio is above 1.3" : "all ratios are at most 1.3");
	return failed;
}
