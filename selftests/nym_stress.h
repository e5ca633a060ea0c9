/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Crowds for the stress tests: many processes, or threads, that do something
 * until the time is up, each telling which call it is in, so that one that hangs
 * is found and named.
 */
#ifndef NYM_STRESS_H
#define NYM_STRESS_H

#include "nym_test.h"
#include "nym_io.h"
#include "nym_scm.h"

#include <sys/mman.h>

#define CROWD_MAX	64
#define CROWD_COUNTS	4

/* One of the crowd. */
struct worker {
	pid_t pid;		/* 0: a thread of another */
	const char *role;
	const char *call;	/* what it is in, or NULL */
	long since;
	__u32 seed;
	int id;
	bool mortal;		/* somebody kills it */
	long n[CROWD_COUNTS];	/* what it counted, as its test likes */
	char complaint[200];
};

/* In memory that all share. */
struct crowd {
	long end;
	int stop;
	int workers;
	long n[CROWD_COUNTS];
	struct worker worker[CROWD_MAX];
};

static struct crowd *crowd;

/* How long a case runs with each type: what is asked for, or 1 s. */
static inline long crowd_ms(void)
{
	const char *seconds = getenv("NYM_STRESS_SECONDS");

	return seconds && atoi(seconds) > 0 ? atoi(seconds) * 1000L : 1000;
}

/* Nobody is in one call for longer; only a bug gets there. */
static inline long crowd_hangs_ms(void)
{
	const char *slower = getenv("NYM_SLOWER");

	return 30000L * (slower && atoi(slower) > 1 ? atoi(slower) : 1);
}

static inline void crowd_open(void)
{
	crowd = mmap(NULL, sizeof(*crowd), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (crowd == MAP_FAILED)
		abort();
	crowd->end = io_now_ms() + crowd_ms();
	signal(SIGPIPE, SIG_IGN);
}

static inline bool crowd_goes_on(void)
{
	return io_now_ms() < crowd->end;
}

static inline bool crowd_stopped(void)
{
	return __atomic_load_n(&crowd->stop, __ATOMIC_RELAXED);
}

static inline void crowd_stop(void)
{
	__atomic_store_n(&crowd->stop, 1, __ATOMIC_RELAXED);
}

static inline void crowd_count(int what)
{
	__atomic_add_fetch(&crowd->n[what], 1, __ATOMIC_RELAXED);
}

/*
 * Shall it go on? At least until it has counted something: on a slow machine the
 * time may be up before it has begun.
 */
static inline bool crowd_wants_more(const struct worker *w, int what)
{
	return crowd_goes_on() || (!w->n[what] && !w->complaint[0] && !crowd_stopped());
}

/* A place for another of the crowd. */
static inline struct worker *crowd_join(const char *role)
{
	int id = __atomic_fetch_add(&crowd->workers, 1, __ATOMIC_RELAXED);
	struct worker *w = &crowd->worker[id];

	if (id >= CROWD_MAX)
		abort();
	w->role = role;
	w->id = id;
	w->seed = io_seed() + 2 * id;
	return w;
}

/* What should not have been; the first counts. */
static inline __attribute__((format(printf, 2, 3)))
void crowd_complain(struct worker *w, const char *format, ...)
{
	va_list args;

	if (w->complaint[0])
		return;
	va_start(args, format);
	vsnprintf(w->complaint, sizeof(w->complaint), format, args);
	va_end(args);
}

/* Makes the call and tells so. */
#define CALL(_w, _call) ({ \
	__typeof__(_call) __ret; \
	(_w)->since = io_now_ms(); \
	__atomic_store_n(&(_w)->call, #_call, __ATOMIC_RELEASE); \
	errno = 0; \
	__ret = (_call); \
	__atomic_store_n(&(_w)->call, NULL, __ATOMIC_RELEASE); \
	__ret; \
})

/* A process of its own that runs @fn. */
static inline struct worker *crowd_start(const char *role, void (*fn)(struct worker *w))
{
	struct worker *w = crowd_join(role);
	pid_t pid = fork();

	if (pid < 0)
		abort();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fn(w);
		_exit(0);
	}
	w->pid = pid;
	return w;
}

/* Has somebody been in one call for too long? */
static inline struct worker *crowd_who_hangs(void)
{
	int i;

	for (i = 0; i < crowd->workers; i++) {
		struct worker *w = &crowd->worker[i];

		if (__atomic_load_n(&w->call, __ATOMIC_ACQUIRE) && !w->mortal &&
		    io_now_ms() - w->since > crowd_hangs_ms() &&
		    __atomic_load_n(&w->call, __ATOMIC_ACQUIRE))
			return w;
	}
	return NULL;
}

/* How many of that role are left (all with NULL); what they died of is told. */
static inline int crowd_left(struct __test_metadata *_metadata, const char *role)
{
	int i, status, left = 0;

	for (i = 0; i < crowd->workers; i++) {
		struct worker *w = &crowd->worker[i];

		if (!w->pid || (role && strcmp(w->role, role)))
			continue;
		if (!waitpid(w->pid, &status, WNOHANG)) {
			left++;
			continue;
		}
		w->pid = 0;
		EXPECT_TRUE(!status || w->mortal) {
			TH_LOG("%s %d ended with %#x", w->role, i, status);
		}
	}
	return left;
}

/*
 * Waits until all of a role (all with NULL) have ended. If one hangs, it says
 * where and ends everybody.
 */
static inline void crowd_wait(struct __test_metadata *_metadata, const char *role)
{
	struct worker *w;
	int i;

	while (crowd_left(_metadata, role)) {
		usleep(5000);
		w = crowd_who_hangs();
		if (!w)
			continue;
		EXPECT_EQ(NULL, w->call) {
			TH_LOG("%s %d hangs in %s", w->role, w->id, w->call);
		}
		for (i = 0; i < crowd->workers; i++) {
			if (crowd->worker[i].pid)
				kill(crowd->worker[i].pid, SIGKILL);
		}
		crowd->end = 0;
		crowd_stop();
		w->since = io_now_ms();
	}
}

/* Waits for everybody; nobody has complained. */
static inline void crowd_end(struct __test_metadata *_metadata)
{
	int i;

	crowd_stop();
	crowd_wait(_metadata, NULL);
	for (i = 0; i < crowd->workers; i++) {
		struct worker *w = &crowd->worker[i];

		EXPECT_STREQ("", w->complaint) {
			TH_LOG("%s %d", w->role, i);
		}
	}
}

/* The sum of what all of a role counted. */
static inline long crowd_sum(const char *role, int what)
{
	long sum = 0;
	int i;

	for (i = 0; i < crowd->workers; i++) {
		if (!strcmp(crowd->worker[i].role, role))
			sum += crowd->worker[i].n[what];
	}
	return sum;
}

static inline void crowd_close(void)
{
	int i;

	for (i = 0; i < crowd->workers; i++) {
		if (crowd->worker[i].pid)
			kill(crowd->worker[i].pid, SIGKILL);
	}
	munmap(crowd, sizeof(*crowd));
}

/* A pause of random length, short enough to fall into another's call. */
static inline void crowd_dither(__u32 *seed)
{
	volatile __u32 n = io_rand(seed) % 3000;

	while (n)
		n--;
	if (!(io_rand(seed) & 7))
		sched_yield();
}

/* Sleeps for up to @ms. */
static inline void crowd_nap(__u32 *seed, int ms)
{
	usleep(io_rand(seed) % (ms * 1000));
}

/* The errno is one of these; the list ends with 0. */
static inline bool crowd_may(int err, const int *allowed)
{
	while (*allowed && *allowed != err)
		allowed++;
	return *allowed == err && err;
}

#define ERRNO_IS(...) crowd_may(errno, (const int []){ __VA_ARGS__, 0 })

#endif /* NYM_STRESS_H */
