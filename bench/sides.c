// SPDX-License-Identifier: GPL-2.0
/*
 * The other side of a measure that has two: a process of its own, on the same
 * processor, unless the two are to be apart.
 */
#include "nymbench.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set)) {
		perror("nymbench: sched_setaffinity");
		exit(1);
	}
}

pid_t other_side(void (*run)(void *arg), void *arg)
{
	pid_t pid = fork();

	if (pid < 0) {
		perror("nymbench: fork");
		exit(1);
	}
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (options.apart)
		run_on(1);
	run(arg);
	_exit(0);
}

/* It may wait for ever for a message that does not come any more. */
void end_side(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}
