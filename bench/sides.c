// SPDX-License-Identifier: GPL-2.0
/*
 * The other side of a measure that has two: a process of its own, on the same
 * processor, unless the two are to be apart.
 */
#include "nymbench.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

pid_t other_side(void (*run)(void *arg), void *arg)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
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
