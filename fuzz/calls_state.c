// SPDX-License-Identifier: GPL-2.0
/*
 * Calls that look at sockets, and set how they are: options, ioctls, flags,
 * permissions, poll.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>

/* From the kernel's headers, newer than the C library's. */
#ifndef SO_RESERVE_MEM
#define SO_RESERVE_MEM	73
#endif
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD	76
#endif
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD	77
#endif

static const int socket_options[] = {
	SO_DEBUG, SO_REUSEADDR, SO_TYPE, SO_ERROR, SO_ERROR, SO_DONTROUTE, SO_BROADCAST,
	SO_SNDBUF, SO_SNDBUF, SO_RCVBUF, SO_RCVBUF, SO_SNDBUFFORCE, SO_RCVBUFFORCE,
	SO_KEEPALIVE, SO_OOBINLINE, SO_NO_CHECK, SO_PRIORITY, SO_LINGER, SO_REUSEPORT,
	SO_PASSCRED, SO_PASSCRED, SO_PEERCRED, SO_PEERCRED, SO_RCVLOWAT, SO_RCVLOWAT,
	SO_SNDLOWAT, SO_BINDTODEVICE, SO_DETACH_FILTER, SO_GET_FILTER, SO_PEERNAME,
	SO_TIMESTAMP, SO_TIMESTAMPNS, SO_TIMESTAMPING, SO_ACCEPTCONN, SO_PEERSEC,
	SO_PASSSEC, SO_MARK, SO_PROTOCOL, SO_DOMAIN, SO_RXQ_OVFL, SO_PEEK_OFF,
	SO_LOCK_FILTER, SO_SELECT_ERR_QUEUE, SO_BUSY_POLL, SO_INCOMING_CPU, SO_MEMINFO,
	SO_COOKIE, SO_PEERGROUPS, SO_PEERGROUPS, SO_ZEROCOPY, SO_TXTIME, SO_BINDTOIFINDEX,
	SO_BUF_LOCK, SO_RESERVE_MEM, SO_PASSPIDFD, SO_PEERPIDFD, 0, -1, 200,
};

static const int nym_options[] = {
	NYM_WAIT, NYM_SHARE, NYM_LINGER, NYM_PASSRIGHTS, NYM_PASSRIGHTS, NYM_PASSCRED,
	NYM_INFO, NYM_INFO, 0, 7, -1,
};

static int level_any(struct actor *a)
{
	static const int levels[] = { 0, 6, 41, 255, 263, 270, 279, -1 };

	if (one_in(a, 40))
		return PICK(a, levels);
	return one_in(a, 2) ? SOL_NYM : SOL_SOCKET;
}

void call_getsockopt(struct actor *a)
{
	static const socklen_t rooms[] = { 0, 1, 3, 4, 5, 8, 12, 16, 32, 71, 72, 80, 128, 256 };
	int level = level_any(a);
	int opt = level == SOL_NYM ? PICK(a, nym_options) : PICK(a, socket_options);
	socklen_t room = one_in(a, 2) ? 4 : PICK(a, rooms);
	socklen_t given = one_in(a, 40) ? (socklen_t)-1 - below(a, 2) : room;
	void *at = mem_out(a, room);
	socklen_t *len = mem_inout(a, &given, sizeof(given));
	long ret;

	/* Its length is in instructions, so more may be written. */
	if (opt == SO_GET_FILTER)
		a->faulty = true;
	a->detail = opt;
	file_use(a, slot_any(a));
	ret = judge(a, CALL_GETSOCKOPT, getsockopt(a->file.fd, level, opt, at, len));
	if (ret || a->faulty || given != room)
		return;
	out_expect(a, at, *len);
	if (*len > room)
		finding(a, CALL_GETSOCKOPT, "level %d option %d: %u bytes of %u", level, opt,
			*len, room);
	if (opt == SO_PEERPIDFD && level == SOL_SOCKET && room >= sizeof(int))
		file_adopt(a, *(int *)at);
}

/* A timeout as setsockopt() wants it: short, or not valid. */
static size_t timeout_any(struct actor *a, void *value)
{
	struct timeval tv = { .tv_usec = below(a, 3000) };

	if (one_in(a, 16))
		tv.tv_usec = int_any(a);
	if (one_in(a, 16))
		tv.tv_sec = -1;
	memcpy(value, &tv, sizeof(tv));
	return sizeof(tv);
}

static size_t filter_any(struct actor *a, void *value)
{
	static struct sock_filter code[2];
	struct sock_fprog program = { .len = below(a, 3), .filter = code };

	code[0] = (struct sock_filter){ BPF_RET | BPF_K, 0, 0, 100 };
	code[1] = code[0];
	memcpy(value, &program, sizeof(program));
	return sizeof(program);
}

static size_t socket_value_any(struct actor *a, int opt, void *value)
{
	int n = int_any(a);

	if (opt == SO_RCVTIMEO || opt == SO_SNDTIMEO)
		return timeout_any(a, value);
	if (opt == SO_ATTACH_FILTER)
		return filter_any(a, value);
	/* Small ones make for full queues. */
	if (opt == SO_SNDBUF || opt == SO_RCVBUF)
		n = one_in(a, 4) ? n : (int)below(a, 100000);
	memcpy(value, &n, sizeof(n));
	return sizeof(n);
}

static size_t nym_value_any(struct actor *a, int opt, void *value)
{
	int n = one_in(a, 2) ? (int)below(a, 3) : int_any(a);

	/* A name that is kept for an hour is there when this program ends. */
	if (opt == NYM_LINGER && n > 0)
		n %= 60;
	/* Without it, nothing is to be seen of descriptors. */
	if (opt == NYM_PASSRIGHTS && !one_in(a, 3))
		n = 1;
	memcpy(value, &n, sizeof(n));
	return sizeof(n);
}

void call_setsockopt(struct actor *a)
{
	static const int timeouts[] = {
		SO_RCVTIMEO, SO_SNDTIMEO, SO_ATTACH_FILTER,
	};
	int level = level_any(a), opt;
	char value[32] = "";
	size_t len;

	if (level == SOL_NYM) {
		opt = PICK(a, nym_options);
		len = nym_value_any(a, opt, value);
	} else {
		opt = one_in(a, 8) ? PICK(a, timeouts) : PICK(a, socket_options);
		len = socket_value_any(a, opt, value);
	}
	if (one_in(a, 12))
		len = below(a, sizeof(value));
	a->detail = opt;
	file_use(a, slot_any(a));
	judge(a, CALL_SETSOCKOPT, setsockopt(a->file.fd, level, opt, mem_in(a, value, len),
					     one_in(a, 60) ? (socklen_t)-1 : len));
}

void call_ioctl(struct actor *a)
{
	static const unsigned long requests[] = {
		SIOCINQ, SIOCINQ, SIOCINQ, SIOCOUTQ, SIOCOUTQ, SIOCOUTQ, SIOCATMARK,
		SIOCGSTAMP, SIOCSPGRP, SIOCGPGRP, FIOASYNC, FIONBIO, FIOQSIZE, SIOCGIFCONF,
		SIOCPROTOPRIVATE, 0x89e0, 0x5411, FIGETBSZ,
	};
	unsigned long request = PICK(a, requests);
	int value[16] = { 1 };	/* as long as what any of them takes */
	void *arg;

	/* An unknown one has an argument of unknown size. */
	if (one_in(a, 30)) {
		request = one_in(a, 2) ? random_next(a) : SIOCPROTOPRIVATE + below(a, 32);
		a->faulty = true;
	}
	if (request == SIOCGIFCONF || request == SIOCGSTAMP)
		a->faulty = true;
	arg = mem_inout(a, value, sizeof(value));
	a->detail = request;
	file_use(a, slot_any(a));
	judge(a, CALL_IOCTL, ioctl(a->file.fd, request, arg));
	if (request == SIOCINQ && !a->faulty && *(int *)arg < 0)
		finding(a, CALL_IOCTL, "%d bytes to read", *(int *)arg);
}

static void set_flags(struct actor *a)
{
	int flags = one_in(a, 24) ? 0 : O_NONBLOCK;

	if (one_in(a, 6))
		flags |= O_ASYNC;
	if (one_in(a, 30))
		flags |= O_APPEND | O_NOATIME;
	judge(a, CALL_FCNTL, fcntl(a->file.fd, F_SETFL, flags));
}

void call_fcntl(struct actor *a)
{
	static const int signals[] = { 0, SIGIO, SIGURG, -1 };
	static const int gets[] = {
		F_GETFL, F_GETFD, F_GETSIG, F_GETPIPE_SZ, F_GET_SEALS, F_GETLEASE,
	};
	int pid = getpid();

	file_use(a, slot_any(a));
	switch (below(a, 6)) {
	case 0:
		judge(a, CALL_FCNTL, fcntl(a->file.fd, PICK(a, gets)));
		break;
	case 1:
		judge(a, CALL_FCNTL, fcntl(a->file.fd, F_SETOWN, one_in(a, 2) ? pid : -getpgrp()));
		break;
	case 2:
		judge(a, CALL_FCNTL, fcntl(a->file.fd, F_SETSIG, PICK(a, signals)));
		break;
	default:
		set_flags(a);
		break;
	}
}

/* The permissions of the name. */
void call_inode(struct actor *a)
{
	static const uid_t ids[] = { 0, 1000, 1001, 65534, (uid_t)-1 };
	struct stat st;

	file_use(a, slot_any(a));
	switch (below(a, 3)) {
	case 0:
		judge(a, CALL_STAT, fstat(a->file.fd, &st));
		break;
	case 1:
		judge(a, CALL_CHMOD, fchmod(a->file.fd, one_in(a, 3) ? below(a, 010000) : 0666));
		break;
	default:
		judge(a, CALL_CHOWN, fchown(a->file.fd, PICK(a, ids), PICK(a, ids)));
		break;
	}
}

void call_poll(struct actor *a)
{
	struct pollfd fds[8];
	unsigned int i, n = below(a, ARRAY_SIZE(fds) + 1);
	struct pollfd *at;
	long ret;

	for (i = 0; i < n; i++) {
		fds[i].fd = file_fd(slot_any(a));
		fds[i].events = one_in(a, 2) ? POLLIN | POLLOUT : random_next(a);
		fds[i].revents = 0;
	}
	at = mem_inout(a, fds, n * sizeof(*fds));
	a->file.kind = UNKNOWN;
	ret = judge(a, CALL_POLL, poll(at, n, one_in(a, 16) ? 1 : 0));
	if (ret < 0 || a->faulty)
		return;
	for (i = 0; i < n; i++)
		if (at[i].revents & ~(fds[i].events | POLLERR | POLLHUP | POLLNVAL))
			finding(a, CALL_POLL, "events %#x, asked for %#x", at[i].revents,
				fds[i].events);
}

void call_select(struct actor *a)
{
	struct timeval now = { 0, one_in(a, 16) ? 500 : 0 };
	fd_set sets[3];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sets); i++)
		FD_ZERO(&sets[i]);
	for (i = 0; i < 6; i++) {
		int fd = file_fd(slot_any(a));

		if (fd >= 0 && fd < FD_SETSIZE)
			FD_SET(fd, &sets[i % 3]);
	}
	a->file.kind = UNKNOWN;
	judge(a, CALL_SELECT, select(FD_SETSIZE, &sets[0], &sets[1], &sets[2], &now));
}

void call_epoll(struct actor *a)
{
	static const int ops[] = { EPOLL_CTL_ADD, EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL };
	static const unsigned int modes[] = {
		0, EPOLLET, EPOLLONESHOT, EPOLLEXCLUSIVE, EPOLLRDHUP,
	};
	unsigned int slot = OTHERS * REGION_SLOTS + EPOLLS + below(a, EVENTS - EPOLLS);
	struct epoll_event events[8];
	struct epoll_event event = {
		.events = (EPOLLIN | EPOLLOUT) | PICK(a, modes),
	};

	if (one_in(a, 3)) {
		a->file.kind = UNKNOWN;
		judge(a, CALL_EPOLL_WAIT,
		      epoll_wait(file_fd(slot), events, 1 + below(a, 8), one_in(a, 16)));
		return;
	}
	file_use(a, slot_any(a));
	judge(a, CALL_EPOLL_CTL, epoll_ctl(file_fd(slot), PICK(a, ops), a->file.fd, &event));
}
