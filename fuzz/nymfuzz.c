// SPDX-License-Identifier: GPL-2.0
/*
 * A fuzzer of the system calls of AF_NYM: makes rounds of random calls, one after
 * the other, and says what was wrong. It must be root, in a guest.
 */
#include "fuzz.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../selftests/nym_counts.h"

struct options options = {
	.calls = 100000,
	.threads = 8,
	.per_round = 1000,
	.slower = 1,
};

static long seconds;
struct shared *shared;

static const char help[] =
"Usage: nymfuzz [OPTION]...\n"
"Make random system calls on nym sockets, and look at what they return.\n\n"
"  --calls N       stop after so many calls (100000)\n"
"  --seconds N     or after so long\n"
"  --seed N        the seed; default: another one each time, which is printed\n"
"  --first N       the round to begin with (0)\n"
"  --rounds N      how many rounds; default: as many as the calls take\n"
"  --threads N     how many threads share the sockets (8, at most 32)\n"
"  --length N      how many calls a thread makes in a round (1000)\n"
"  --program FILE  take the options from this file, as those in corpus/ are\n"
"  --verbose       say how often each call succeeded and failed\n"
"  --help\n"
"\n"
"Each call depends only on the seed, the round, the thread and its number: with\n"
"the same seed, --threads and --length, each thread makes the same calls again, and\n"
"--first and --rounds pick out the rounds. How threads interleave, and so which\n"
"file a call meets, is not repeated.\n"
"\n"
"A finding is an error that the call may not give, a length that cannot be, memory\n"
"that was written and should not, a call that does not end, and sockets that are\n"
"left. What the kernel's log says is for the caller to look at. The exit status is\n"
"1 if there were findings, 2 if nothing could be tried, 4 without the module.\n"
"$NYM_SLOWER says how many times slower than others this kernel is.\n";

static unsigned long to_number(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 0);

	if (*end || !*text) {
		fprintf(stderr, "nymfuzz: not a number: %s\n", text);
		exit(2);
	}
	return n;
}

static void set_number(int opt, unsigned long n)
{
	switch (opt) {
	case 'c':
		options.calls = n;
		break;
	case 't':
		seconds = n;
		break;
	case 's':
		options.seed = n;
		break;
	case 'f':
		options.first = n;
		break;
	case 'r':
		options.rounds = n;
		break;
	case 'n':
		options.threads = n;
		break;
	default:
		options.per_round = n;
		break;
	}
}

static void parse(int argc, char **argv);

/* A line that begins with "--" has options. */
static void parse_file(const char *path)
{
	char line[256], *words[32] = { "nymfuzz" };
	FILE *file = fopen(path, "re");
	int n = 1;

	if (!file) {
		perror(path);
		exit(2);
	}
	while (fgets(line, sizeof(line), file) && strncmp(line, "--", 2))
		;
	fclose(file);
	for (words[n] = strtok(line, "\n "); words[n] && n < 31; words[n] = strtok(NULL, "\n "))
		n++;
	optind = 0;
	parse(n, words);
}

static void parse(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "calls", 1, NULL, 'c' }, { "seconds", 1, NULL, 't' },
		{ "seed", 1, NULL, 's' }, { "first", 1, NULL, 'f' },
		{ "rounds", 1, NULL, 'r' }, { "threads", 1, NULL, 'n' },
		{ "length", 1, NULL, 'l' }, { "program", 1, NULL, 'p' },
		{ "verbose", 0, NULL, 'v' }, { "help", 0, NULL, 'h' }, { },
	};
	const char *file = NULL;
	int opt;

	while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (opt) {
		case 'p':
			file = optarg;
			break;
		case 'v':
			options.verbose = true;
			break;
		case 'h':
			fputs(help, stdout);
			exit(0);
		case '?':
			exit(2);
		default:
			set_number(opt, to_number(optarg));
			break;
		}
	}
	if (file)
		parse_file(file);
	if (!options.threads || options.threads > ACTORS_MAX || !options.per_round) {
		fprintf(stderr, "nymfuzz: --threads is 1 to %d, --length at least 1\n",
			ACTORS_MAX);
		exit(2);
	}
}

/* The settings that a round may change, to be put back. */
static struct setting {
	const char *path;
	char text[4096];
} settings[] = {
	{ .path = "/proc/sys/net/nym/max_names" },
	{ .path = "/proc/sys/net/nym/max_parked" },
	{ .path = "/proc/sys/net/nym/max_files" },
	{ .path = "/proc/sys/net/nym/reserved" },
};

static int setting_open(const struct setting *setting, int flags)
{
	int fd = open(setting->path, flags | O_CLOEXEC);

	if (fd < 0) {
		perror(setting->path);
		exit(2);
	}
	return fd;
}

static void settings_save(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(settings); i++) {
		int fd = setting_open(&settings[i], O_RDONLY);

		if (read(fd, settings[i].text, sizeof(settings[i].text) - 2) <= 0)
			strcpy(settings[i].text, "\n");
		close(fd);
	}
}

static void settings_restore(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(settings); i++) {
		int fd = setting_open(&settings[i], O_WRONLY);

		if (write(fd, settings[i].text, strlen(settings[i].text)) < 0)
			perror(settings[i].path);
		close(fd);
	}
}

static void prepare(void)
{
	const char *slower = getenv("NYM_SLOWER");
	int fd = socket(AF_NYM, SOCK_STREAM, 0);

	if (fd < 0) {
		perror("nymfuzz: a nym socket");
		exit(4);
	}
	close(fd);
	if (slower && atoi(slower) > 0)
		options.slower = atoi(slower);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || prctl(PR_SET_CHILD_SUBREAPER, 1)) {
		perror("nymfuzz");
		exit(2);
	}
	if (!options.seed && getrandom(&options.seed, 4, 0) != 4)
		exit(2);
	judge_setup();
	settings_save();
}

/* AF_UNIX looks whether its sockets hold each other when one is closed. */
static void look_for_garbage(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (fd >= 0)
		close(fd);
}

/* Nothing may be left; what a namespace had goes some time after it. */
static void look_for_leaks(void)
{
	long end = nym_now_ms() + 20000 * options.slower;
	const struct nym_counts *was = &nym_counts_before;
	struct nym_counts now;
	unsigned int i;

	for (nym_count(&now); !nym_counts_back(&now); nym_count(&now)) {
		if (nym_now_ms() > end)
			break;
		usleep(100000);
		look_for_garbage();
	}
	if (nym_counts_back(&now))
		return;
	shared->findings++;
	printf("# FINDING --seed %llu: left are %ld sockets (%ld before), %ld lines (%ld)",
	       (unsigned long long)options.seed, now.sockets, was->sockets, now.lines, was->lines);
	for (i = 0; i < ARRAY_SIZE(nym_caches); i++)
		printf(", %ld %s (%ld)", now.objects[i], nym_caches[i], was->objects[i]);
	printf("\n");
}

static bool is_over(unsigned long round, long start)
{
	if (options.rounds)
		return round >= options.first + options.rounds;
	if (seconds && nym_now_ms() - start >= seconds * 1000)
		return true;
	return shared->calls >= options.calls;
}

int main(int argc, char **argv)
{
	unsigned long round;
	long start, took, minute = 0;

	parse(argc, argv);
	prepare();
	printf("# nymfuzz --seed %llu --first %lu --threads %u --length %u\n",
	       (unsigned long long)options.seed, options.first, options.threads,
	       options.per_round);
	start = nym_now_ms();
	for (round = options.first; !is_over(round, start); round++) {
		if (world_run(round)) {
			perror("nymfuzz: a round cannot be made");
			return 2;
		}
		settings_restore();
		took = nym_now_ms() - start;
		if (options.verbose && took / 60000 > minute) {
			minute = took / 60000;
			printf("# %ld min: %lu rounds, %lu calls\n", minute,
			       round + 1 - options.first, shared->calls);
		}
	}
	took = nym_now_ms() - start;
	if (options.verbose)
		judge_report();
	look_for_leaks();
	printf("# %lu calls in %lu rounds, %lu a second, %lu findings\n", shared->calls,
	       round - options.first, shared->calls * 1000 / (took + 1), shared->findings);
	return shared->findings ? 1 : 0;
}
