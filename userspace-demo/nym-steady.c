// SPDX-License-Identifier: GPL-2.0
/*
 * A service that loses no caller. To replace it, start a new one and then end
 * the old one with SIGTERM. If it dies, start it again within ten seconds.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/nym.h>

static void finish(int sig)
{
	(void)sig;
}

int main(void)
{
	struct sigaction term = { .sa_handler = finish };
	struct sockaddr_nym a = { AF_NYM, "steady" };
	int c, s = socket(AF_NYM, SOCK_STREAM, 0);
	int share = NYM_SHARE_ON, linger = 10000;
	struct pollfd p = { s, POLLIN, 0 };
	sigset_t block, before;

	/* SIGTERM comes between two callers, never in the middle of one. */
	sigaction(SIGTERM, &term, NULL);
	sigemptyset(&block);
	sigaddset(&block, SIGTERM);
	sigprocmask(SIG_BLOCK, &block, &before);
	signal(SIGPIPE, SIG_IGN);	/* callers may go away */

	umask(0111);	/* anybody may call, from the first moment on */
	if (s < 0 ||
	    setsockopt(s, SOL_NYM, NYM_SHARE, &share, sizeof(share)) ||
	    setsockopt(s, SOL_NYM, NYM_LINGER, &linger, sizeof(linger)) ||
	    bind(s, (struct sockaddr *)&a, sizeof(a)) || listen(s, 64))
		return perror("steady"), 1;
	while (ppoll(&p, 1, NULL, &before) > 0) {
		c = accept(s, NULL, NULL);
		if (c < 0)
			return perror("accept"), 1;
		dprintf(c, "Served by process %d.\n", getpid());
		close(c);
	}
	return 0;	/* who waits here goes to the others, or to the next */
}
