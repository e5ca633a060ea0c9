// SPDX-License-Identifier: GPL-2.0
/*
 * A round: a process with actors, which make calls until they have made as many as
 * they should or the process is killed. A call that sleeps is interrupted after
 * some milliseconds; one that is not ended by that is a finding.
 */
#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TICK_US		10000
#define PATIENCE_S	60	/* for a round, on a fast kernel */
#define STACK		(256 * 1024)
#define FORKED_CALLS	60
#define FORKED_TICKS	300
#define FORKED_INDEX	ACTORS_MAX
#define WORLD_INDEX	(2 * ACTORS_MAX)

static struct actor actors[ACTORS_MAX];
static int forked_ticks;
static const struct itimerval ticking = {
	.it_interval.tv_usec = TICK_US,
	.it_value.tv_usec = TICK_US,
};

static void on_tick(int sig)
{
	(void)sig;
}

static void on_forked_tick(int sig)
{
	(void)sig;
	if (++forked_ticks == FORKED_TICKS)
		_exit(0);
}

static void handle(int sig, void (*handler)(int))
{
	/* No SA_RESTART: a call that sleeps shall end. */
	struct sigaction act = { .sa_handler = handler };

	sigaction(sig, &act, NULL);
}

/* In a process that an actor has forked: some calls of its own. */
static void forked_main(struct actor *a)
{
	unsigned int i, first = a->nr * FORKED_CALLS, n = below(a, FORKED_CALLS);

	handle(SIGALRM, on_forked_tick);
	setitimer(ITIMER_REAL, &ticking, NULL);
	a->forked = true;
	files_forget();
	a->index += FORKED_INDEX;
	for (i = 0; i < n; i++) {
		a->nr = first + i;
		act(a);
	}
	_exit(0);
}

int actor_fork(struct actor *a)
{
	int pid = fork();

	if (!pid)
		forked_main(a);
	return pid;
}

static void *actor_main(void *data)
{
	struct actor *a = data;

	__atomic_store_n(&a->tid, gettid(), __ATOMIC_RELEASE);
	for (a->nr = 0; a->nr < options.per_round; a->nr++) {
		act(a);
		__atomic_fetch_add(&a->progress, 1, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&a->done, true, __ATOMIC_RELEASE);
	return NULL;
}

/* Where the round is: a network namespace of its own, a user namespace, too. */
static void choose_place(struct actor *a)
{
	switch (below(a, 12)) {
	case 0:
		unshare(CLONE_NEWNET);
		break;
	case 1:
		/* All users are the overflow user there, but root is root. */
		unshare(CLONE_NEWUSER | CLONE_NEWNET);
		break;
	}
}

static void ignore_signals(void)
{
	signal(SIGPIPE, SIG_IGN);
	signal(SIGIO, SIG_IGN);
	signal(SIGURG, SIG_IGN);
	/* Processes that actors fork disappear by themselves. */
	signal(SIGCHLD, SIG_IGN);
	handle(SIGUSR1, on_tick);
}

static void start(unsigned long round)
{
	pthread_attr_t attr;
	pthread_t thread;
	unsigned int i;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	for (i = 0; i < options.threads; i++) {
		actors[i].index = i;
		actors[i].round = round;
		if (arena_make(&actors[i]) ||
		    pthread_create(&thread, &attr, actor_main, &actors[i])) {
			perror("nymfuzz: a thread");
			_exit(2);
		}
	}
}

/* Interrupts whoever sleeps; says how many calls there were, -1 when all is done. */
static long tick(void)
{
	bool done = true;
	long sum = 0;
	unsigned int i;

	for (i = 0; i < options.threads; i++) {
		struct actor *a = &actors[i];
		unsigned long progress = __atomic_load_n(&a->progress, __ATOMIC_RELAXED);
		int tid = __atomic_load_n(&a->tid, __ATOMIC_ACQUIRE);

		sum += progress;
		if (__atomic_load_n(&a->done, __ATOMIC_ACQUIRE))
			continue;
		done = false;
		if (tid && progress == a->seen)
			syscall(SYS_tgkill, getpid(), tid, SIGUSR1);
		a->seen = progress;
	}
	return done ? -1 : sum;
}

static void world_main(unsigned long round)
{
	struct rlimit files = { 256, 256 };
	static struct actor first;
	long sum, end;

	first.index = WORLD_INDEX;
	first.round = round;
	random_seed(&first);
	setpgid(0, 0);
	setrlimit(RLIMIT_NOFILE, &files);
	ignore_signals();
	choose_place(&first);
	/* Nobody else is there yet to interrupt what sleeps. */
	handle(SIGALRM, on_tick);
	setitimer(ITIMER_REAL, &ticking, NULL);
	/* One round in five is killed in the middle. */
	end = (long)options.per_round * options.threads;
	end = below(&first, 5) ? end + 1 : below(&first, end);
	if (arena_make(&first))
		_exit(2);
	files_fill(&first);
	setitimer(ITIMER_REAL, &(struct itimerval){ }, NULL);
	start(round);
	while ((sum = tick()) >= 0) {
		if (sum > end)
			kill(getpid(), SIGKILL);
		usleep(TICK_US);
	}
	_exit(0);
}

static long now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

static void show_file(const char *format, int pid, const char *tid, const char *what)
{
	char path[100], text[4096];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), format, pid, tid, what);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	if (n > 0)
		printf("%.*s", (int)n, text);
	if (fd >= 0)
		close(fd);
}

/* Where each thread of a process is. */
static void show_tasks(int pid)
{
	char path[64];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		printf("# Task %s: ", entry->d_name);
		show_file("/proc/%d/task/%s/%s", pid, entry->d_name, "syscall");
		show_file("/proc/%d/task/%s/%s", pid, entry->d_name, "stack");
	}
	if (dir)
		closedir(dir);
}

/* The process group, and whoever it has left behind, is to end. */
static void end_all(int pid)
{
	long until = now_s() + PATIENCE_S * options.slower;

	kill(-pid, SIGKILL);
	for (;;) {
		int ended = waitpid(-1, NULL, WNOHANG);

		if (ended < 0)
			return;
		if (ended)
			continue;
		if (now_s() > until) {
			printf("# FINDING: a process cannot be killed\n");
			show_tasks(pid);
			fflush(stdout);
			_exit(1);
		}
		kill(-pid, SIGKILL);
		usleep(1000);
	}
}

/* One round; -1 if it could not be made. */
int world_run(unsigned long round)
{
	long until = now_s() + PATIENCE_S * options.slower;
	int pid, status;

	fflush(stdout);
	pid = fork();
	if (!pid)
		world_main(round);
	if (pid < 0)
		return -1;
	while (!waitpid(pid, &status, WNOHANG)) {
		if (now_s() > until) {
			printf("# FINDING --seed %llu --first %lu: a call does not end\n",
			       (unsigned long long)options.seed, round);
			shared->findings++;
			show_tasks(pid);
			break;
		}
		usleep(2000);
	}
	end_all(pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == 2 ? -1 : 0;
}
