// SPDX-License-Identifier: GPL-2.0
/*
 * Counting: runs rounds in batches between marks, and prints what came of it, one
 * JSON object a line.
 */
#include "nymbench.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS_LEAST	4
#define ROUNDS_MOST	100000

bool counting;

struct rounds {
	void (*round)(void *arg);
	void *arg;
};

long now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000L + ts.tv_nsec;
}

/* The kernel frees some things only seconds after they were let go. */
void settle(void)
{
	sleep(15);
}

static void tell_head(const struct result *r)
{
	printf("{\"section\": %ld, \"measure\": \"%s\", \"transport\": \"%s\"", r->section,
	       r->measure->name, r->transport->name);
	if (r->transport->rival)
		printf(", \"rival\": \"%s\"", r->transport->rival);
	if (r->size)
		printf(", \"size\": %zu", r->size);
	if (r->measure->of)
		printf(", \"of\": \"%s\"", r->measure->of);
	if (r->raised)
		printf(", \"raised\": true");
}

static void tell_end(void)
{
	printf("}\n");
	fflush(stdout);
}

/* Says why there is no figure. */
void tell_skipped(const struct result *r, const char *format, ...)
{
	va_list args;

	tell_head(r);
	printf(", \"skipped\": \"");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\"");
	tell_end();
}

static void tell_batches(const struct result *r, const long *ns, int batches, long rounds)
{
	int i, j, below, median = 0;
	long least = ns[0], most = ns[0];

	for (i = 0; i < batches; i++) {
		/* Among equals the first one comes first. */
		for (below = 0, j = 0; j < batches; j++)
			below += ns[j] < ns[i] || (ns[j] == ns[i] && j < i);
		if (below == batches / 2)
			median = i;
		if (ns[i] < least)
			least = ns[i];
		if (ns[i] > most)
			most = ns[i];
	}
	tell_head(r);
	printf(", \"unit\": \"ns\", \"figure\": %.1f, \"least\": %.1f, \"most\": %.1f",
	       (double)ns[median] / rounds, (double)least / rounds, (double)most / rounds);
	printf(", \"rounds\": %ld, \"batches\": %d, \"median\": %d", rounds, batches, median);
	tell_end();
}

/*
 * Counts so many batches, each of as many rounds as take about @batch_us. The figure
 * is the median's, so that the timer's interrupts count for what they cost and no more.
 */
void count_batches(struct result *r, int batches, long batch_us,
		   void (*batch)(void *arg, long rounds), void *arg)
{
	long ns[BATCHES_MOST] = { 0 }, rounds, start;
	int i;

	if (options.batch_us)
		batch_us = options.batch_us;
	batch(arg, 2 * ROUNDS_LEAST);
	start = now();
	batch(arg, 2 * ROUNDS_LEAST);
	rounds = batch_us * 1000 * 2 * ROUNDS_LEAST / (now() - start + 1);
	if (rounds < ROUNDS_LEAST)
		rounds = ROUNDS_LEAST;
	if (rounds > ROUNDS_MOST)
		rounds = ROUNDS_MOST;
	batch(arg, rounds);

	counting = true;
	for (i = 0; i < batches; i++) {
		start = now();
		part(PART_WHOLE);
		batch(arg, rounds);
		part(PART_NONE);
		ns[i] = now() - start;
	}
	counting = false;
	tell_batches(r, ns, batches, rounds);
}

static void run_rounds(void *arg, long n)
{
	const struct rounds *rounds = arg;

	while (n--)
		rounds->round(rounds->arg);
}

void count_rounds(struct result *r, int batches, long batch_us, void (*round)(void *arg),
		  void *arg)
{
	struct rounds rounds = { round, arg };

	count_batches(r, batches, batch_us, run_rounds, &rounds);
}

/* Bytes that one of @objects takes: all, and by kind. */
void tell_bytes(struct result *r, long objects, const char *const names[], const long values[],
		int n)
{
	long sum = 0;
	int i;

	for (i = 0; i < n; i++)
		sum += values[i];
	tell_head(r);
	printf(", \"unit\": \"bytes\", \"figure\": %.1f", (double)sum / objects);
	for (i = 0; i < n; i++)
		printf(", \"%s\": %.1f", names[i], (double)values[i] / objects);
	printf(", \"objects\": %ld", objects);
	tell_end();
}
