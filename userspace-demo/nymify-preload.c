// SPDX-License-Identifier: GPL-2.0
/*
 * The calls of nymify's library that take an address: what a program says to
 * AF_UNIX about one that a rule maps is said to AF_NYM.
 *
 * A socket is of AF_UNIX until the first such address, and then a socket of AF_NYM
 * takes its descriptor. Which of the two a descriptor is, the kernel says. What fits
 * no rule goes to it as it is, and send(), recv(), read() and write() are not
 * touched at all.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "nymify.h"

enum { AUTOBIND_TRIES = 16 };

static bool is_unix(const struct sockaddr *addr, socklen_t len)
{
	return addr && len >= sizeof(sa_family_t) && addr->sa_family == AF_UNIX;
}

static const struct sockaddr *name_addr(const struct nymify_name *name)
{
	return (const struct sockaddr *)&name->addr;
}

/* Who calls a path that is not there is told so. */
static void fix_errno(const struct nymify_name *name)
{
	if (errno == ECONNREFUSED && !name->abstract && !nymify_exists(name))
		errno = ENOENT;
}

/* May a socket of AF_NYM become one of AF_UNIX again? */
static bool is_loose(int fd)
{
	return nymify_domain(fd) == AF_NYM && !nymify_has_name(fd) &&
	       (nymify_int(fd, SO_TYPE) == SOCK_DGRAM || !nymify_has_peer(fd));
}

/* A path may fill sun_path, without a NUL. */
static bool is_other_file(const struct sockaddr *addr, socklen_t len)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)addr;
	char path[sizeof(un->sun_path) + 1] = "";

	memcpy(path, un->sun_path, len - offsetof(struct sockaddr_un, sun_path));
	return path[0] && nymify_is_file(AT_FDCWD, path);
}

/* Binds a new socket and puts it in the place of the old one. */
static int bind_name(int fd, const struct nymify_name *name, int linger)
{
	union nymify_addr peer;
	socklen_t len = sizeof(peer);
	int saved = errno, new = nymify_clone(fd, AF_NYM);
	bool connected = !NYMIFY_NEXT(getpeername)(fd, &peer.sa, &len);

	if (new < 0)
		return -1;
	if (NYMIFY_NEXT(setsockopt)(new, SOL_NYM, NYM_LINGER, &linger, sizeof(linger)) ||
	    NYMIFY_NEXT(bind)(new, name_addr(name), name->len) ||
	    /* Only paths have permissions in AF_UNIX. */
	    (name->abstract && fchmod(new, 0777)) ||
	    /* It must not be where a thread is cancelled: @new would be left. */
	    (connected && syscall(SYS_connect, new, &peer, len))) {
		nymify_close(new);
		return -1;
	}
	errno = saved;
	if (nymify_install(new, fd))
		return -1;
	if (!name->abstract)
		nymify_leave(name);
	return 0;
}

/* 1: the socket @probe got a name from the kernel that a rule maps; else 0 or -1. */
static int choose_name(int probe, struct nymify_name *name)
{
	struct sockaddr any = { .sa_family = AF_UNIX };
	union nymify_addr addr;
	socklen_t len = sizeof(addr);

	if (NYMIFY_NEXT(bind)(probe, &any, sizeof(sa_family_t)) ||
	    NYMIFY_NEXT(getsockname)(probe, &addr.sa, &len))
		return -1;
	return nymify_map(nymify_rules(), &addr.sa, len, name);
}

/* An abstract name that AF_UNIX chooses, and by which a rule makes a name of ours. */
static int bind_chosen(int fd)
{
	struct sockaddr any = { .sa_family = AF_UNIX };
	struct nymify_name name;
	int i, probe, found, err = -1;

	for (i = 0; i < AUTOBIND_TRIES; i++) {
		probe = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (probe < 0)
			return -1;
		found = choose_name(probe, &name);
		/* As long as the probe is open, nobody else is given that name. */
		/* No successor could ask for it, so it need not be kept for one. */
		err = found > 0 ? bind_name(fd, &name, 0) : found;
		nymify_close(probe);
		if (!found)
			return NYMIFY_NEXT(bind)(fd, &any, sizeof(sa_family_t));
		if (!err || errno != EADDRINUSE)
			break;
	}
	return err;
}

/* bind() without an address: the kernel is to choose one, unless there is one. */
static int bind_any(int fd)
{
	struct sockaddr any = { .sa_family = AF_UNIX };

	if (nymify_is_fresh(fd))
		return bind_chosen(fd);
	if (nymify_domain(fd) == AF_NYM)
		any.sa_family = AF_NYM;
	return NYMIFY_NEXT(bind)(fd, &any, sizeof(sa_family_t));
}

NYMIFY_EXPORT int bind(int fd, __CONST_SOCKADDR_ARG arg, socklen_t len)
{
	const struct sockaddr *addr = arg.__sockaddr__;
	struct nymify_name name;
	int found;

	if (!is_unix(addr, len))
		return NYMIFY_NEXT(bind)(fd, arg, len);
	if (len == sizeof(sa_family_t))
		return bind_any(fd);
	found = nymify_map(nymify_rules(), addr, len, &name);
	if (found < 0)
		return -1;
	if (found && (nymify_is_fresh(fd) || is_loose(fd))) {
		if (!is_other_file(addr, len))
			return bind_name(fd, &name, nymify_linger());
		errno = EADDRINUSE;
		return -1;
	}
	if (found && nymify_domain(fd) == AF_NYM)
		return NYMIFY_NEXT(bind)(fd, name_addr(&name), name.len);
	return NYMIFY_NEXT(bind)(fd, arg, len);
}

static void close_clone(void *fd)
{
	nymify_close(*(int *)fd);
}

/*
 * Connects a socket of the family to take the place of @fd, which stays as it is
 * unless that succeeds, or goes on without blocking.
 */
static int connect_clone(int fd, int domain, const struct sockaddr *addr, socklen_t len)
{
	int saved = errno, new = nymify_clone(fd, domain);
	int err;

	if (new < 0)
		return -1;
	/* connect() may block, and the thread be cancelled. */
	pthread_cleanup_push(close_clone, &new);
	err = NYMIFY_NEXT(connect)(new, addr, len);
	pthread_cleanup_pop(0);
	if (err && errno != EINPROGRESS) {
		nymify_close(new);
		return -1;
	}
	if (!err)
		errno = saved;
	return nymify_install(new, fd) ? -1 : err;
}

static int connect_name(int fd, const struct nymify_name *name)
{
	int err;

	if (nymify_is_fresh(fd))
		err = connect_clone(fd, AF_NYM, name_addr(name), name->len);
	else
		err = NYMIFY_NEXT(connect)(fd, name_addr(name), name->len);
	if (err)
		fix_errno(name);
	return err;
}

NYMIFY_EXPORT int connect(int fd, __CONST_SOCKADDR_ARG arg, socklen_t len)
{
	const struct sockaddr *addr = arg.__sockaddr__;
	struct nymify_name name;
	int err, found;

	if (!is_unix(addr, len))
		return NYMIFY_NEXT(connect)(fd, arg, len);
	found = nymify_map(nymify_rules(), addr, len, &name);
	if (found < 0)
		return -1;
	if (found && (nymify_is_fresh(fd) || nymify_domain(fd) == AF_NYM))
		return connect_name(fd, &name);
	err = NYMIFY_NEXT(connect)(fd, arg, len);
	/* Only a socket of another family does not take such an address. */
	if (err && errno == EINVAL && len > sizeof(sa_family_t)) {
		if (is_loose(fd))
			return connect_clone(fd, AF_UNIX, addr, len);
		errno = EINVAL;
	}
	return err;
}

/*
 * Makes sure that a datagram can be sent from @fd to this address. 1: to the name;
 * 0: as it is; -1: it cannot.
 */
static int prepare_send(int fd, const struct sockaddr *addr, socklen_t len,
			struct nymify_name *name)
{
	int new, found;

	if (!is_unix(addr, len))
		return 0;
	found = nymify_map(nymify_rules(), addr, len, name);
	if (found <= 0 || nymify_domain(fd) == AF_NYM)
		return found;
	if (nymify_int(fd, SO_TYPE) != SOCK_DGRAM || !nymify_is_fresh(fd))
		return 0;
	new = nymify_clone(fd, AF_NYM);
	return new < 0 || nymify_install(new, fd) ? -1 : 1;
}

/*
 * After a call with an address of AF_UNIX: did it fail because the socket is not of
 * that family, and is it now? A socket without a name gets no answers, so none are
 * lost with it.
 */
static bool is_unix_again(int fd)
{
	int new;

	if (errno != EINVAL || !is_loose(fd))
		return false;
	new = nymify_clone(fd, AF_UNIX);
	return new >= 0 && !nymify_install(new, fd);
}

NYMIFY_EXPORT ssize_t sendto(int fd, const void *buf, size_t n, int flags,
			     __CONST_SOCKADDR_ARG arg, socklen_t len)
{
	struct nymify_name name;
	int found = prepare_send(fd, arg.__sockaddr__, len, &name);
	ssize_t sent = -1;

	if (found > 0) {
		sent = NYMIFY_NEXT(sendto)(fd, buf, n, flags, name_addr(&name), name.len);
		if (sent < 0)
			fix_errno(&name);
	} else if (!found) {
		sent = NYMIFY_NEXT(sendto)(fd, buf, n, flags, arg, len);
		if (sent < 0 && is_unix(arg.__sockaddr__, len) && is_unix_again(fd))
			sent = NYMIFY_NEXT(sendto)(fd, buf, n, flags, arg, len);
	}
	return sent;
}

static ssize_t sendmsg_name(int fd, const struct msghdr *m, int flags, struct nymify_name *name)
{
	struct msghdr to = *m;
	ssize_t sent;

	to.msg_name = &name->addr;
	to.msg_namelen = name->len;
	sent = NYMIFY_NEXT(sendmsg)(fd, &to, flags);
	if (sent < 0)
		fix_errno(name);
	return sent;
}

NYMIFY_EXPORT ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	struct nymify_name name;
	ssize_t sent;
	int found;

	if (!m || !is_unix(m->msg_name, m->msg_namelen))
		return NYMIFY_NEXT(sendmsg)(fd, m, flags);
	found = prepare_send(fd, m->msg_name, m->msg_namelen, &name);
	if (found)
		return found < 0 ? -1 : sendmsg_name(fd, m, flags, &name);
	sent = NYMIFY_NEXT(sendmsg)(fd, m, flags);
	if (sent < 0 && is_unix_again(fd))
		sent = NYMIFY_NEXT(sendmsg)(fd, m, flags);
	return sent;
}

static bool any_is_mapped(const struct mmsghdr *m, unsigned int n)
{
	struct nymify_name name;
	unsigned int i;

	for (i = 0; i < n; i++)
		if (nymify_map(nymify_rules(), m[i].msg_hdr.msg_name, m[i].msg_hdr.msg_namelen,
			       &name))
			return true;
	return false;
}

/* Messages to addresses that no rule maps. */
static int send_as_they_are(int fd, struct mmsghdr *m, unsigned int n, int flags)
{
	int sent = NYMIFY_NEXT(sendmmsg)(fd, m, n, flags);

	if (sent < 0 && n && is_unix(m->msg_hdr.msg_name, m->msg_hdr.msg_namelen) &&
	    is_unix_again(fd))
		sent = NYMIFY_NEXT(sendmmsg)(fd, m, n, flags);
	return sent;
}

NYMIFY_EXPORT int sendmmsg(int fd, struct mmsghdr *m, unsigned int n, int flags)
{
	int saved = errno;
	unsigned int i;
	ssize_t sent;

	/* The kernel takes no more at a time, either. */
	if (n > UIO_MAXIOV)
		n = UIO_MAXIOV;
	if (!any_is_mapped(m, n))
		return send_as_they_are(fd, m, n, flags);
	for (i = 0; i < n; i++) {
		sent = sendmsg(fd, &m[i].msg_hdr, flags);
		if (sent < 0 && !i)
			return -1;
		if (sent < 0)
			break;
		m[i].msg_len = sent;
	}
	errno = saved;
	return i;
}
