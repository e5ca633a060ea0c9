// SPDX-License-Identifier: GPL-2.0
/*
 * nymbench: measures nym beside other ways to get bytes from one process to
 * another. Takes the options and runs each measurement in a process of its own.
 */
#include "nymbench.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Seconds; only something that hangs takes as long. */
#define PATIENCE	600

static const char help[] =
"Usage: nymbench [OPTION]...\n"
"Measure sockets, pipes and queues. Prints a JSON object a line.\n\n"
"  --measure LIST    which measures: names with commas; default: all\n"
"  --transport LIST  which transports; default: all\n"
"  --size LIST       which sizes of messages; default: 1,64,1024,4096,16384,65536,1048576.\n"
"                    Or how many names (10,10000; 100000,1000000) or channels (10,10000)\n"
"  --batch USEC      how long a batch of rounds takes; default: what the measure likes\n"
"  --apart           the two sides have a processor each; default: they share one\n"
"  --parts           for the plugin: tell sending and receiving apart\n"
"  --list            print the names of the measures and transports\n"
"  --help\n"
"\n"
"A figure is the median of several batches, for one round: in nanoseconds, or in\n"
"bytes. What cannot be measured has \"skipped\" with the reason.\n";

static const struct measure *const measures[] = {
	transfer_measures, cycle_measures, rights_measures, wakeup_measures, idle_measures,
	lookup_measures,
};

static const struct transport *const transports[] = {
	nym_transports, unix_transports, pipe_transports, mq_transports, tcp_transports,
	vsock_transports, tipc_transports,
};

const size_t no_sizes[] = { 0 };
static const size_t message_sizes[] = { 1, 64, 1024, 4096, 16384, 65536, 1048576, 0 };

struct options options;
static const char *only_measures, *only_transports, *only_sizes;
static long section;

/* Is @name among the words of @list, which have commas between them? */
static bool wanted(const char *list, const char *name)
{
	size_t length = strlen(name);
	const char *p;

	for (p = list; p; p = strchr(p, ',')) {
		p += *p == ',';
		if (!strncmp(p, name, length) && (!p[length] || p[length] == ','))
			return true;
	}
	return !list;
}

static void measure_here(const struct measure *m, struct result *r)
{
	const char *reason = m->cannot ? m->cannot(r->transport) : NULL;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(PATIENCE);
	run_on(0);
	if (reason)
		skip(r, "%s", reason);
	if (r->transport->largest && r->size > r->transport->largest && !m->sizes)
		skip(r, "at most %zu bytes", r->transport->largest);
	m->run(r);
	exit(0);
}

/* What a measurement leaves behind goes with its process. */
static int measure_one(const struct measure *m, const struct transport *t, size_t size)
{
	struct result r = {
		.measure = m, .transport = t, .size = size, .section = section++,
	};
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid)
		measure_here(m, &r);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		die("fork");
	MARK(MARK_SECTION);
	if (!status)
		return 0;
	tell_skipped(&r, "FAILED, with status %#x", status);
	return 1;
}

static int measure_sizes(const struct measure *m, const struct transport *t)
{
	const size_t *size = m->sizes ? m->sizes : message_sizes;
	char text[32];
	int failed = 0;

	do {
		snprintf(text, sizeof(text), "%zu", *size);
		if (!*size || wanted(only_sizes, text))
			failed |= measure_one(m, t, *size);
	} while (*size && *++size);
	return failed;
}

static int measure_transports(const struct measure *m)
{
	const struct transport *t;
	int failed = 0;
	size_t i;

	for (i = 0; i < COUNT_OF(transports); i++) {
		for (t = transports[i]; t->name; t++) {
			if (wanted(only_transports, t->name))
				failed |= measure_sizes(m, t);
		}
	}
	return failed;
}

static int measure_all(void)
{
	const struct measure *m;
	int failed = 0;
	size_t i;

	for (i = 0; i < COUNT_OF(measures); i++) {
		for (m = measures[i]; m->name; m++) {
			if (wanted(only_measures, m->name))
				failed |= measure_transports(m);
		}
	}
	return failed;
}

static void list(void)
{
	const struct transport *t;
	const struct measure *m;
	size_t i;

	for (i = 0; i < COUNT_OF(measures); i++) {
		for (m = measures[i]; m->name; m++)
			printf("measure %s: %s\n", m->name, m->what);
	}
	for (i = 0; i < COUNT_OF(transports); i++) {
		for (t = transports[i]; t->name; t++)
			printf("transport %s\n", t->name);
	}
}

static void parse(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "measure", 1, NULL, 'm' }, { "transport", 1, NULL, 't' },
		{ "size", 1, NULL, 's' }, { "batch", 1, NULL, 'b' },
		{ "apart", 0, NULL, 'a' }, { "parts", 0, NULL, 'p' },
		{ "list", 0, NULL, 'l' }, { "help", 0, NULL, 'h' },
		{ }
	};
	int opt;

	while ((opt = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
		switch (opt) {
		case 'm':
			only_measures = optarg;
			break;
		case 't':
			only_transports = optarg;
			break;
		case 's':
			only_sizes = optarg;
			options.sizes = true;
			break;
		case 'b':
			options.batch_us = atol(optarg);
			break;
		case 'a':
			options.apart = true;
			break;
		case 'p':
			options.parts = true;
			break;
		case 'l':
			list();
			exit(0);
		case 'h':
			fputs(help, stdout);
			exit(0);
		default:
			exit(2);
		}
	}
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	return measure_all();
}
