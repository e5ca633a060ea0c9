// SPDX-License-Identifier: GPL-2.0
/*
 * The sockets of nymify: asking the kernel what a descriptor is, and putting a
 * socket of another family in its place. Nothing is remembered here about
 * sockets, for descriptors are inherited, duplicated and passed on.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "nymify.h"

enum {
	WATCHED_MAX = 65536,	/* descriptors below this are found in epoll sets again */
	FIND_MAX = 65536,	/* and are looked at when a name's socket is wanted */
};

/*
 * Which epoll set a descriptor was last put into. Its entry may be out of date:
 * the kernel is asked before it is used. Only pages that are written to exist.
 */
static struct watch {
	int epoll;
	struct epoll_event event;
} watches[WATCHED_MAX];

/* The value of an option of level SOL_SOCKET, or -1. Like all that ask, leaves errno. */
int nymify_int(int fd, int option)
{
	socklen_t len = sizeof(int);
	int value, saved = errno;

	if (NYMIFY_NEXT(getsockopt)(fd, SOL_SOCKET, option, &value, &len)) {
		errno = saved;
		return -1;
	}
	return value;
}

int nymify_domain(int fd)
{
	return nymify_int(fd, SO_DOMAIN);
}

/* Not a cancellation point, and errno stays. */
void nymify_close(int fd)
{
	int saved = errno;

	syscall(SYS_close, fd);
	errno = saved;
}

/* Has it an address that it was given, not one that the kernel chose by itself? */
bool nymify_has_name(int fd)
{
	union nymify_addr addr;
	socklen_t len = sizeof(addr);
	int saved = errno;

	if (NYMIFY_NEXT(getsockname)(fd, &addr.sa, &len) || len <= sizeof(sa_family_t)) {
		errno = saved;
		return false;
	}
	return addr.sa.sa_family != AF_NYM || addr.nym.snym_name[0] != ':';
}

bool nymify_has_peer(int fd)
{
	union nymify_addr addr;
	socklen_t len = sizeof(addr);
	int saved = errno;
	bool found = !NYMIFY_NEXT(getpeername)(fd, &addr.sa, &len);

	errno = saved;
	return found;
}

/* A socket of AF_UNIX that nothing was done with may still change its family. */
bool nymify_is_fresh(int fd)
{
	return nymify_domain(fd) == AF_UNIX && !nymify_has_name(fd) && !nymify_has_peer(fd);
}

/* Most have not been set, and are 0 in a new socket, too. */
static void copy_option(int from, int to, int option)
{
	static const char zero[sizeof(struct timeval)];
	char value[sizeof(struct timeval)];
	socklen_t len = sizeof(value);

	if (!getsockopt(from, SOL_SOCKET, option, value, &len) && memcmp(value, zero, len))
		setsockopt(to, SOL_SOCKET, option, value, len);
}

/*
 * Who sends descriptors to a socket of AF_UNIX need not ask, unless it has been
 * told to refuse them, which it can be from Linux 6.16 on.
 */
static void copy_passrights(int from, int to)
{
	int value = 1;
	socklen_t len = sizeof(value);

	getsockopt(from, SOL_SOCKET, SO_PASSRIGHTS, &value, &len);
	if (setsockopt(to, SOL_NYM, NYM_PASSRIGHTS, &value, sizeof(value)))
		setsockopt(to, SOL_SOCKET, SO_PASSRIGHTS, &value, sizeof(value));
}

/* What the kernel shows is twice what was set. */
static void copy_buffer(int from, int to, int option, int force)
{
	int value = nymify_int(from, option);

	if (value < 0 || value == nymify_int(to, option))
		return;
	value /= 2;
	if (setsockopt(to, SOL_SOCKET, force, &value, sizeof(value)))
		setsockopt(to, SOL_SOCKET, option, &value, sizeof(value));
}

/* All that a program may have set before it gave an address. */
static void copy_options(int from, int to)
{
	static const int options[] = {
		SO_RCVLOWAT, SO_PRIORITY, SO_MARK, SO_KEEPALIVE, SO_BROADCAST, SO_REUSEADDR,
		SO_OOBINLINE, SO_DONTROUTE, SO_TIMESTAMP, SO_TIMESTAMPNS, SO_PASSCRED,
		SO_PASSSEC, SO_LINGER, SO_SNDTIMEO, SO_RCVTIMEO,
	};
	size_t i;

	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		copy_option(from, to, options[i]);
	copy_passrights(from, to);
	copy_buffer(from, to, SO_SNDBUF, SO_SNDBUFFORCE);
	copy_buffer(from, to, SO_RCVBUF, SO_RCVBUFFORCE);
}

/* The mode counts when it is bound, in both families. */
static void copy_file(int from, int to)
{
	struct f_owner_ex owner;
	struct stat a, b;
	int sig = fcntl(from, F_GETSIG);

	if (!fstat(from, &a) && !fstat(to, &b)) {
		if (a.st_mode != b.st_mode)
			fchmod(to, a.st_mode & 07777);
		if (nymify_domain(from) == AF_NYM &&
		    (a.st_uid != b.st_uid || a.st_gid != b.st_gid))
			(void)!fchown(to, a.st_uid, a.st_gid);
	}
	if (sig > 0)
		fcntl(to, F_SETSIG, sig);
	if (!fcntl(from, F_GETOWN_EX, &owner) && owner.pid)
		fcntl(to, F_SETOWN_EX, &owner);
	fcntl(to, F_SETFL, fcntl(from, F_GETFL));
}

/*
 * nymify_clone() - a new socket of another family, like this one in all else
 *
 * Returns it, or -1 and errno.
 */
int nymify_clone(int fd, int domain)
{
	int saved = errno;
	int new = socket(domain, nymify_int(fd, SO_TYPE) | SOCK_CLOEXEC, 0);

	if (new < 0)
		return -1;
	copy_options(fd, new);
	copy_file(fd, new);
	errno = saved;
	return new;
}

/* The kernel knows whether it is in there. */
static bool is_watched(int fd)
{
	return fd < WATCHED_MAX && watches[fd].epoll &&
	       !NYMIFY_NEXT(epoll_ctl)(watches[fd].epoll - 1, EPOLL_CTL_MOD, fd,
				       &watches[fd].event);
}

/*
 * nymify_remind() - what was reported of a descriptor was not made use of
 *
 * An epoll set that reports edges only (EPOLLET) would not report it again.
 */
void nymify_remind(int fd)
{
	int saved = errno;

	/* With EPOLLONESHOT the program itself asks for the next report. */
	if (fd < WATCHED_MAX &&
	    (watches[fd].event.events & (EPOLLET | EPOLLONESHOT)) == EPOLLET)
		is_watched(fd);
	errno = saved;
}

/*
 * nymify_install() - put a socket in the place of another one
 * @new: it; closed in any case
 * @fd: where to
 *
 * An epoll set drops a file that is closed, so it has to be put there again.
 * Returns 0, or -1 and errno.
 */
int nymify_install(int new, int fd)
{
	int saved = errno;
	bool watched = is_watched(fd);
	int cloexec = fcntl(fd, F_GETFD) & FD_CLOEXEC ? O_CLOEXEC : 0;
	int err = dup3(new, fd, cloexec);

	nymify_close(new);
	if (err < 0)
		return -1;
	if (watched)
		NYMIFY_NEXT(epoll_ctl)(watches[fd].epoll - 1, EPOLL_CTL_ADD, fd,
				       &watches[fd].event);
	errno = saved;
	return 0;
}

NYMIFY_EXPORT int epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
	int err = NYMIFY_NEXT(epoll_ctl)(epoll, op, fd, event);

	if (!err && op != EPOLL_CTL_DEL && fd < WATCHED_MAX) {
		watches[fd].epoll = epoll + 1;
		watches[fd].event = *event;
	}
	return err;
}

/* What is accepted shows the name, too, but is not what it is bound to. */
static bool is_bound_to(int fd, const struct nymify_name *name)
{
	union nymify_addr addr;
	socklen_t len = sizeof(addr);

	if (NYMIFY_NEXT(getsockname)(fd, &addr.sa, &len) || addr.sa.sa_family != AF_NYM ||
	    strcmp(addr.nym.snym_name, name->addr.snym_name))
		return false;
	return nymify_int(fd, SO_TYPE) == SOCK_DGRAM || !nymify_has_peer(fd);
}

/*
 * nymify_find() - the descriptor of this process that is bound to a name, or -1
 *
 * One by one: /proc need not be there, and a program's threads open and close
 * descriptors meanwhile.
 */
int nymify_find(const struct nymify_name *name)
{
	struct rlimit limit = { .rlim_cur = FIND_MAX };
	int fd, saved = errno;

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur > FIND_MAX)
		limit.rlim_cur = FIND_MAX;
	for (fd = 0; fd < (int)limit.rlim_cur; fd++)
		if (is_bound_to(fd, name))
			break;
	errno = saved;
	return fd < (int)limit.rlim_cur ? fd : -1;
}
