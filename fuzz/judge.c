// SPDX-License-Identifier: GPL-2.0
/*
 * Whether a result can be: an error that the call may give, a length that was
 * asked for. And how often there was what.
 */
#include "fuzz.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define FINDINGS_SHOWN	20

/* Not for user space, but what splice() to a socket says of empty pipe buffers. */
#define ERESTARTSYS	512

static uint64_t allowed[CALLS][(ERRNOS + 63) / 64];

static void allow(enum call which, int err)
{
	allowed[which][err / 64] |= 1ull << err % 64;
}

static bool is_allowed(enum call which, int err)
{
	return allowed[which][err / 64] >> err % 64 & 1;
}

void judge_setup(void)
{
	unsigned int call, i;

	for (call = 0; call < CALLS; call++) {
		allow(call, EBADF);
		for (i = 0; call_infos[call].errors[i]; i++)
			allow(call, call_infos[call].errors[i]);
	}
}

/* Says what was found and how to see it again. */
void finding(struct actor *a, enum call which, const char *format, ...)
{
	char text[400];
	va_list args;
	size_t n;

	if (__atomic_add_fetch(&shared->findings, 1, __ATOMIC_RELAXED) > FINDINGS_SHOWN)
		return;
	n = snprintf(text, sizeof(text),
		     "# FINDING --seed %llu --first %lu: actor %u call %u: %s: ",
		     (unsigned long long)options.seed, a->round, a->index, a->nr,
		     which < CALLS ? call_infos[which].name : "memory");
	va_start(args, format);
	n += vsnprintf(text + n, sizeof(text) - n - 1, format, args);
	va_end(args);
	if (n > sizeof(text) - 2)
		n = sizeof(text) - 2;
	text[n++] = '\n';
	if (write(STDOUT_FILENO, text, n) < 0)
		_exit(1);
}

static void judge_error(struct actor *a, enum call which, int err)
{
	/* As of AF_UNIX: a write() to the pipe that faulted has left such a buffer. */
	if (which == CALL_SPLICE_IN && err == ERESTARTSYS)
		return;
	if (err <= 0 || err >= ERRNOS) {
		finding(a, which, "error %d, which is not for user space", err);
		return;
	}
	__atomic_fetch_add(&shared->failed[which][err], 1, __ATOMIC_RELAXED);
	if ((err == EFAULT && a->faulty) || is_allowed(which, err))
		return;
	if (a->file.kind == NYM && file_same(&a->file))
		finding(a, which, "unexpected %s (%#lx)", strerrorname_np(err), a->detail);
}

/* Looks at what a call has returned, with its errno; returns it. */
long judge(struct actor *a, enum call which, long ret)
{
	int err = errno;

	__atomic_fetch_add(&shared->calls, 1, __ATOMIC_RELAXED);
	if (ret == -1)
		judge_error(a, which, err);
	else if (ret < 0)
		finding(a, which, "returned %ld", ret);
	else
		__atomic_fetch_add(&shared->succeeded[which], 1, __ATOMIC_RELAXED);
	return ret;
}

/* No more than was asked for. */
void judge_size(struct actor *a, enum call which, long ret, size_t asked)
{
	if (ret > 0 && (size_t)ret > asked && a->file.kind == NYM && file_same(&a->file))
		finding(a, which, "returned %ld, of %zu", ret, asked);
}

/* How often each call succeeded, and with which errors it failed. */
void judge_report(void)
{
	unsigned int call, err;

	for (call = 0; call < CALLS; call++) {
		printf("# %-12s %9lu", call_infos[call].name, shared->succeeded[call]);
		for (err = 0; err < ERRNOS; err++) {
			unsigned long n = shared->failed[call][err];
			const char *name = strerrorname_np(err);

			if (n)
				printf(" %s=%lu", name ? name : "?", n);
		}
		printf("\n");
	}
}
