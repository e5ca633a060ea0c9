// SPDX-License-Identifier: GPL-2.0
/*
 * nymify --hold: as long as its file is there, accept() takes nobody. Callers stay
 * in the backlog, for this program later or for its successor.
 *
 * Nothing tells us that the file has come, so accept() must not be what waits for a
 * caller: it would take the next one, file or not. poll() waits, and then the file
 * is looked for.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

#include "nymify.h"

/* For which accept() is slowed down, so that a program that tries again does not spin. */
enum { PAUSE_MS = 20 };

/* How many milliseconds accept() would wait, as poll() takes them. */
static int patience(int fd)
{
	struct timeval time = { };
	socklen_t len = sizeof(time);

	if (fcntl(fd, F_GETFL) & O_NONBLOCK)
		return 0;
	if (NYMIFY_NEXT(getsockopt)(fd, SOL_SOCKET, SO_RCVTIMEO, &time, &len) ||
	    (!time.tv_sec && !time.tv_usec))
		return -1;
	if (time.tv_sec >= INT_MAX / 1000)
		return INT_MAX;
	return time.tv_sec * 1000 + (time.tv_usec + 999) / 1000;
}

/*
 * A handler with SA_RESTART lets accept() go on, and poll() never. Which one it was
 * that interrupted poll() is not known: it goes on if all would let it.
 */
static bool all_restart(void)
{
	struct sigaction act;
	int sig;

	for (sig = 1; sig < NSIG; sig++)
		if (!sigaction(sig, NULL, &act) && act.sa_handler != SIG_DFL &&
		    act.sa_handler != SIG_IGN && !(act.sa_flags & SA_RESTART))
			return false;
	return true;
}

/* Returns what poll() does. With a timeout, signals interrupt accept() in any case. */
static int wait_for_call(struct pollfd *p, int ms)
{
	int n;

	do {
		n = poll(p, 1, ms);
		if (n >= 0 || errno != EINTR)
			return n;
	} while (ms < 0 && all_restart());
	errno = EINTR;
	return n;
}

static void keep_waiting(int fd, bool blocking)
{
	struct timespec pause = { .tv_nsec = PAUSE_MS * 1000000 };

	nanosleep(&pause, NULL);
	if (!blocking)
		nymify_remind(fd);
	errno = blocking ? ECONNABORTED : EAGAIN;
}

/*
 * nymify_may_accept() - wait for a caller, and see whether calls are held
 *
 * Returns whether accept() is to be called. If not, errno is what it fails with.
 */
bool nymify_may_accept(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLRDHUP };
	int n, ms, saved = errno;

	if (!nymify_can_hold() || nymify_domain(fd) != AF_NYM ||
	    nymify_int(fd, SO_ACCEPTCONN) <= 0)
		return true;
	ms = patience(fd);
	n = wait_for_call(&p, ms);
	if (n <= 0) {
		if (!n)
			errno = EAGAIN;
		return false;
	}
	/* A listener that is shut down is an error, which accept() tells. */
	if (p.revents == POLLIN && nymify_held()) {
		keep_waiting(fd, ms != 0);
		return false;
	}
	errno = saved;
	return true;
}
