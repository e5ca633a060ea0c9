// SPDX-License-Identifier: GPL-2.0
/*
 * The calls of nymify's library that give an address: a name of AF_NYM is shown as
 * the address of AF_UNIX that it is mapped from. Other addresses pass.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/uio.h>

#include "nymify.h"

/* Gives the program an address, as the kernel would: as much as there is room for. */
static void give_addr(union nymify_addr *from, socklen_t from_len, void *addr, socklen_t *len)
{
	if (from_len && from->sa.sa_family == AF_NYM)
		from_len = nymify_unmap(nymify_rules(), from, from_len);
	if (*len)
		memcpy(addr, from, *len < from_len ? *len : from_len);
	*len = from_len;
}

/* Likewise where a sender without an address is shown by no address at all. */
static void give_sender(union nymify_addr *from, socklen_t from_len, void *addr,
			socklen_t *len)
{
	bool nym = from_len && from->sa.sa_family == AF_NYM;

	give_addr(from, from_len, addr, len);
	if (nym && *len == sizeof(sa_family_t))
		*len = 0;
}

/* The address must not be cut off before it is mapped; a bad length is left alone. */
static bool wants_addr(const void *addr, const socklen_t *len)
{
	return addr && len && (int)*len >= 0;
}

/* Where only the length is wanted, there need be no room. */
static bool wants_name(const void *addr, const socklen_t *len)
{
	return wants_addr(addr, len) || (len && !*len);
}

NYMIFY_EXPORT int getsockname(int fd, __SOCKADDR_ARG arg, socklen_t *len)
{
	union nymify_addr addr;
	socklen_t addr_len = sizeof(addr);
	int err;

	if (!wants_name(arg.__sockaddr__, len))
		return NYMIFY_NEXT(getsockname)(fd, arg, len);
	err = NYMIFY_NEXT(getsockname)(fd, &addr.sa, &addr_len);
	if (!err)
		give_addr(&addr, addr_len, arg.__sockaddr__, len);
	return err;
}

NYMIFY_EXPORT int getpeername(int fd, __SOCKADDR_ARG arg, socklen_t *len)
{
	union nymify_addr addr;
	socklen_t addr_len = sizeof(addr);
	int err;

	if (!wants_name(arg.__sockaddr__, len))
		return NYMIFY_NEXT(getpeername)(fd, arg, len);
	err = NYMIFY_NEXT(getpeername)(fd, &addr.sa, &addr_len);
	if (!err)
		give_addr(&addr, addr_len, arg.__sockaddr__, len);
	return err;
}

NYMIFY_EXPORT int accept(int fd, __SOCKADDR_ARG arg, socklen_t *len)
{
	union nymify_addr addr;
	socklen_t addr_len = sizeof(addr);
	int new;

	if (!nymify_may_accept(fd))
		return -1;
	if (!wants_addr(arg.__sockaddr__, len))
		return NYMIFY_NEXT(accept)(fd, arg, len);
	new = NYMIFY_NEXT(accept)(fd, &addr.sa, &addr_len);
	if (new >= 0)
		give_addr(&addr, addr_len, arg.__sockaddr__, len);
	return new;
}

NYMIFY_EXPORT int accept4(int fd, __SOCKADDR_ARG arg, socklen_t *len, int flags)
{
	union nymify_addr addr;
	socklen_t addr_len = sizeof(addr);
	int new;

	if (!nymify_may_accept(fd))
		return -1;
	if (!wants_addr(arg.__sockaddr__, len))
		return NYMIFY_NEXT(accept4)(fd, arg, len, flags);
	new = NYMIFY_NEXT(accept4)(fd, &addr.sa, &addr_len, flags);
	if (new >= 0)
		give_addr(&addr, addr_len, arg.__sockaddr__, len);
	return new;
}

NYMIFY_EXPORT ssize_t recvfrom(int fd, void *buf, size_t n, int flags, __SOCKADDR_ARG arg,
			       socklen_t *len)
{
	union nymify_addr addr;
	socklen_t addr_len = sizeof(addr);
	ssize_t got;

	if (!wants_addr(arg.__sockaddr__, len))
		return NYMIFY_NEXT(recvfrom)(fd, buf, n, flags, arg, len);
	got = NYMIFY_NEXT(recvfrom)(fd, buf, n, flags, &addr.sa, &addr_len);
	if (got >= 0)
		give_sender(&addr, addr_len, arg.__sockaddr__, len);
	return got;
}

/* What recvfrom() is in a program that was built with _FORTIFY_SOURCE. */
NYMIFY_EXPORT ssize_t __recvfrom_chk(int fd, void *buf, size_t n, size_t room, int flags,
				     struct sockaddr *addr, socklen_t *len);
NYMIFY_EXPORT ssize_t __recvfrom_chk(int fd, void *buf, size_t n, size_t room, int flags,
				     struct sockaddr *addr, socklen_t *len)
{
	if (n > room)
		__builtin_trap();
	return recvfrom(fd, buf, n, flags, addr, len);
}

NYMIFY_EXPORT ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	union nymify_addr addr;
	struct msghdr from;
	socklen_t room;
	ssize_t got;

	if (!m || !m->msg_name || (int)m->msg_namelen < 0)
		return NYMIFY_NEXT(recvmsg)(fd, m, flags);
	from = *m;
	from.msg_name = &addr;
	from.msg_namelen = sizeof(addr);
	got = NYMIFY_NEXT(recvmsg)(fd, &from, flags);
	if (got < 0)
		return got;
	room = m->msg_namelen;
	give_sender(&addr, from.msg_namelen, m->msg_name, &room);
	m->msg_namelen = room;
	m->msg_controllen = from.msg_controllen;
	m->msg_flags = from.msg_flags;
	return got;
}

/* Puts an address in place of the name that the kernel wrote there. */
static void replace_sender(struct msghdr *m, socklen_t room)
{
	union nymify_addr addr;

	if (!m->msg_name || m->msg_namelen < sizeof(sa_family_t) || room < sizeof(sa_family_t) ||
	    ((struct sockaddr *)m->msg_name)->sa_family != AF_NYM)
		return;
	/* A name that was cut off belongs to no path, which is shorter. */
	if (m->msg_namelen > room) {
		m->msg_namelen = 0;
		return;
	}
	memcpy(&addr, m->msg_name, m->msg_namelen);
	give_sender(&addr, m->msg_namelen, m->msg_name, &room);
	m->msg_namelen = room;
}

NYMIFY_EXPORT int recvmmsg(int fd, struct mmsghdr *m, unsigned int n, int flags,
			   struct timespec *time)
{
	socklen_t room[UIO_MAXIOV];
	unsigned int i;
	int got;

	/* The kernel takes no more at a time, either. */
	if (n > UIO_MAXIOV)
		n = UIO_MAXIOV;
	for (i = 0; i < n; i++)
		room[i] = m[i].msg_hdr.msg_namelen;
	got = NYMIFY_NEXT(recvmmsg)(fd, m, n, flags, time);
	for (i = 0; got > 0 && i < (unsigned int)got; i++)
		replace_sender(&m[i].msg_hdr, room[i]);
	return got;
}
