// SPDX-License-Identifier: GPL-2.0
/*
 * What the library of nymify gets from others: the rules and settings, from the
 * environment, and the calls of libc that it stands before.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nymify.h"

#define NYMIFY_CALL_NAME(call)	#call,

static const char * const names[] = { NYMIFY_CALLS(NYMIFY_CALL_NAME) };
static void *calls[NYMIFY_CALL_COUNT];
static struct nymify_rules rules;
static bool pairs;
static int linger;
static char hold[PATH_MAX];
static bool ready;

static void read_rules(const char *line)
{
	const char *end;

	/* The program nymify has checked them. */
	for (; line && (end = strchr(line, '\n')); line = end + 1)
		nymify_rules_add(&rules, line, end - line);
}

/* Copied: some programs write what ps is to show over their environment. */
static void read_settings(void)
{
	const char *ms = getenv(NYMIFY_ENV_LINGER), *path = getenv(NYMIFY_ENV_HOLD);

	pairs = getenv(NYMIFY_ENV_PAIRS);
	linger = ms ? atoi(ms) : 0;
	snprintf(hold, sizeof(hold), "%s", path ? path : "");
}

/*
 * All at once and before the program runs, for neither dlsym() nor getenv() may be
 * called in a signal handler. Other libraries' constructors may come first; they
 * are alone.
 */
static __attribute__((constructor)) void nymify_prepare(void)
{
	size_t i;

	if (ready)
		return;
	for (i = 0; i < NYMIFY_CALL_COUNT; i++)
		calls[i] = dlsym(RTLD_NEXT, names[i]);
	read_rules(getenv(NYMIFY_ENV_RULES));
	read_settings();
	ready = true;
}

/* nymify_next() - the call that the program would get without us */
void *nymify_next(enum nymify_call call)
{
	if (!ready)
		nymify_prepare();
	return calls[call];
}

const struct nymify_rules *nymify_rules(void)
{
	if (!ready)
		nymify_prepare();
	return &rules;
}

/* nymify_pairs() - are the sockets of socketpair() to be mapped? */
bool nymify_pairs(void)
{
	if (!ready)
		nymify_prepare();
	return pairs;
}

/* nymify_linger() - how many milliseconds a name is kept when its socket is closed */
int nymify_linger(void)
{
	if (!ready)
		nymify_prepare();
	return linger;
}

/* nymify_can_hold() - is there to be a file that holds calls back, now or later? */
bool nymify_can_hold(void)
{
	if (!ready)
		nymify_prepare();
	return hold[0];
}

/* nymify_held() - is it there now? No rule counts for it. Leaves errno */
bool nymify_held(void)
{
	int saved = errno;
	bool found = !NYMIFY_NEXT(faccessat)(AT_FDCWD, hold, F_OK, 0);

	errno = saved;
	return found;
}
