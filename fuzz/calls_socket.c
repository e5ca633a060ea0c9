// SPDX-License-Identifier: GPL-2.0
/*
 * Calls that make sockets, connect them, and end them.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int flags_any(struct actor *a)
{
	return SOCK_CLOEXEC | (one_in(a, 12) ? 0 : SOCK_NONBLOCK);
}

/* Slots in turn have streams and records, so that calls mostly fit. */
static int type_for(struct actor *a, unsigned int slot)
{
	static const int types[] = {
		SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM, SOCK_RAW,
	};

	if (one_in(a, 16))
		return PICK(a, types);
	if (slot / REGION_SLOTS == DGRAMS)
		return SOCK_DGRAM;
	return slot / 2 % 2 ? SOCK_SEQPACKET : SOCK_STREAM;
}

static void set_option(struct actor *a, int opt, int value)
{
	judge(a, CALL_SETSOCKOPT, setsockopt(a->file.fd, SOL_NYM, opt, &value, sizeof(value)));
}

/* A new socket in the slot. */
static void make(struct actor *a, unsigned int slot)
{
	a->file.kind = UNKNOWN;
	file_put(slot, judge(a, CALL_SOCKET,
			     socket(AF_NYM, type_for(a, slot) | flags_any(a), 0)), NYM);
	file_use(a, slot);
	if (!one_in(a, 4))
		set_option(a, NYM_PASSRIGHTS, 1);
	if (one_in(a, 8))
		set_option(a, NYM_WAIT, 1);
	if (one_in(a, 8))
		set_option(a, NYM_PASSCRED, 1);
}

static void bind_own(struct actor *a, unsigned int slot)
{
	struct sockaddr_nym sa;
	socklen_t len;

	if (!one_in(a, 4))
		set_option(a, NYM_SHARE, 1 + below(a, 2));
	if (one_in(a, 6))
		set_option(a, NYM_LINGER, below(a, 60));
	address_own(slot, &sa, &len);
	judge(a, CALL_BIND, bind(a->file.fd, (struct sockaddr *)&sa, len));
	if (!one_in(a, 8))
		judge(a, CALL_CHMOD, fchmod(a->file.fd, 0666));
}

/* A socket that is anything. */
void call_socket(struct actor *a)
{
	static const int protocols[] = { 0, AF_NYM, 1, -1, 255 };
	/* Only such as are there: for others the kernel would look for modules. */
	static const int families[] = { AF_UNIX, AF_UNIX, AF_INET, AF_UNSPEC, AF_MAX, -1 };
	unsigned int slot = slot_any(a);
	int family = one_in(a, 12) ? PICK(a, families) : AF_NYM;
	int type = type_for(a, slot) | flags_any(a);
	int fd;

	if (one_in(a, 12))
		type = int_any(a);
	a->file.kind = UNKNOWN;
	fd = judge(a, CALL_SOCKET, socket(family, type, PICK(a, protocols)));
	if (fd >= 0)
		file_put(slot, fd, family == AF_NYM ? NYM : OTHER);
}

void call_pair(struct actor *a)
{
	unsigned int slot = slot_in(a, PAIRS) & ~1u;
	int type = one_in(a, 4) ? SOCK_DGRAM : type_for(a, slot);
	int fd[2] = { -1, -1 };
	int *pair = fd;

	if (one_in(a, 40))
		pair = mem_inout(a, fd, sizeof(fd));
	a->file.kind = UNKNOWN;
	if (judge(a, CALL_SOCKETPAIR, socketpair(AF_NYM, type | flags_any(a), 0, pair)))
		return;
	file_put(slot, pair[0], NYM);
	file_put(slot + 1, pair[1], NYM);
	if (one_in(a, 4))
		return;
	file_use(a, slot);
	set_option(a, NYM_PASSRIGHTS, 1);
	file_use(a, slot + 1);
	set_option(a, NYM_PASSRIGHTS, 1);
}

void call_listener(struct actor *a)
{
	unsigned int slot = slot_in(a, LISTENERS);

	make(a, slot);
	bind_own(a, slot);
	judge(a, CALL_LISTEN, listen(a->file.fd, below(a, 5)));
}

void call_client(struct actor *a)
{
	unsigned int slot = slot_in(a, CLIENTS);
	struct sockaddr *sa;
	socklen_t len;

	make(a, slot);
	sa = address_of(a, slot, &len);
	judge(a, CALL_CONNECT, connect(a->file.fd, sa, len));
}

void call_dgram(struct actor *a)
{
	unsigned int slot = slot_in(a, DGRAMS);
	struct sockaddr *sa;
	socklen_t len;

	make(a, slot);
	bind_own(a, slot);
	if (!one_in(a, 3))
		return;
	sa = address_of(a, slot, &len);
	judge(a, CALL_CONNECT, connect(a->file.fd, sa, len));
}

static void make_two(struct actor *a, unsigned int slot)
{
	int fd[2];

	if (one_in(a, 3)) {
		if (socketpair(AF_UNIX, (1 + below(a, 2)) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd))
			return;
	} else if (pipe2(fd, O_NONBLOCK | O_CLOEXEC)) {
		return;
	}
	file_put(slot & ~1u, fd[0], OTHER);
	file_put(slot | 1, fd[1], OTHER);
}

/* Files that are no nym sockets. */
void call_other(struct actor *a)
{
	unsigned int slot = OTHERS * REGION_SLOTS + below(a, REGION_SLOTS);
	int fd = -1;

	a->file.kind = UNKNOWN;
	switch (slot % REGION_SLOTS) {
	case PIPES ... EPOLLS - 1:
		make_two(a, slot);
		return;
	case EPOLLS ... EVENTS - 1:
		fd = epoll_create1(EPOLL_CLOEXEC);
		break;
	case EVENTS:
		fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		break;
	default:
		fd = memfd_create("fuzz", MFD_CLOEXEC);
		if (fd >= 0 && ftruncate(fd, 1 << 18))
			abort();
		break;
	}
	if (fd >= 0)
		file_put(slot, fd, OTHER);
}

void call_bind(struct actor *a)
{
	unsigned int slot = slot_any(a);
	struct sockaddr *sa;
	socklen_t len;

	file_use(a, slot);
	if (one_in(a, 2)) {
		bind_own(a, slot);
		return;
	}
	sa = address_of(a, slot, &len);
	judge(a, CALL_BIND, bind(a->file.fd, sa, len));
}

void call_connect(struct actor *a)
{
	unsigned int slot = one_in(a, 2) ? slot_in(a, DGRAMS) : slot_in(a, CLIENTS);
	struct sockaddr *sa;
	socklen_t len;

	sa = address_of(a, slot, &len);
	file_use(a, slot);
	judge(a, CALL_CONNECT, connect(a->file.fd, sa, len));
}

void call_listen(struct actor *a)
{
	file_use(a, slot_in(a, LISTENERS));
	judge(a, CALL_LISTEN, listen(a->file.fd, one_in(a, 3) ? int_any(a) : (int)below(a, 6)));
}

/* The address that a call has returned in @at, for which there were @room bytes. */
static void check_address(struct actor *a, enum call which, void *at, size_t room, socklen_t len)
{
	if (a->faulty)
		return;
	out_expect(a, at, len < room ? len : room);
	if (len > sizeof(struct sockaddr_storage))
		finding(a, which, "an address of %u bytes", len);
	if (a->file.kind == NYM && file_same(&a->file) && len > sizeof(struct sockaddr_nym))
		finding(a, which, "a name of %u bytes", len);
}

/* Calls accept4(), getsockname() or getpeername(), which say an address. */
static long ask_address(struct actor *a, enum call which, int flags)
{
	static const socklen_t rooms[] = { 0, 1, 2, 3, 8, 16, 110, 127, 128, 129, 200 };
	socklen_t room = one_in(a, 2) ? sizeof(struct sockaddr_nym) : PICK(a, rooms);
	socklen_t given = one_in(a, 40) ? (socklen_t)int_any(a) : room;
	void *at = mem_out(a, room);
	socklen_t *len = mem_inout(a, &given, sizeof(given));
	long ret;

	/* What lies behind is not known to be good. */
	if (given > room)
		a->faulty = true;
	if (which == CALL_ACCEPT)
		ret = accept4(a->file.fd, at, len, flags);
	else if (which == CALL_GETSOCKNAME)
		ret = getsockname(a->file.fd, at, len);
	else
		ret = getpeername(a->file.fd, at, len);
	judge(a, which, ret);
	if (ret >= 0 && !a->faulty)
		check_address(a, which, at, given, *len);
	return ret;
}

void call_accept(struct actor *a)
{
	unsigned int slot = SERVERS * REGION_SLOTS + below(a, REGION_SLOTS);
	bool nym;
	int fd;

	file_use(a, slot_in(a, LISTENERS));
	if (one_in(a, 4))
		fd = ask_address(a, CALL_ACCEPT, one_in(a, 32) ? int_any(a) : flags_any(a));
	else
		fd = judge(a, CALL_ACCEPT, accept4(a->file.fd, NULL, NULL, flags_any(a)));
	nym = a->file.kind == NYM && file_same(&a->file);
	if (fd >= 0)
		file_put(slot, fd, nym ? NYM : OTHER);
}

void call_name(struct actor *a)
{
	file_use(a, slot_any(a));
	ask_address(a, one_in(a, 2) ? CALL_GETSOCKNAME : CALL_GETPEERNAME, 0);
}

void call_shutdown(struct actor *a)
{
	file_use(a, slot_any(a));
	judge(a, CALL_SHUTDOWN,
	      shutdown(a->file.fd, one_in(a, 16) ? int_any(a) : (int)below(a, 3)));
}

void call_close(struct actor *a)
{
	int fd = file_take(slot_any(a));

	a->file.kind = UNKNOWN;
	if (fd >= 0)
		judge(a, CALL_CLOSE, close(fd));
}

void call_dup(struct actor *a)
{
	unsigned int from = slot_any(a), to = slot_any(a);
	enum kind kind;
	long fd;

	if (one_in(a, 2)) {
		file_dup_onto(a, from, to);
		return;
	}
	file_use(a, from);
	fd = judge(a, CALL_DUP, fcntl(a->file.fd, F_DUPFD_CLOEXEC, 3));
	kind = file_same(&a->file) ? a->file.kind : UNKNOWN;
	if (fd >= 0)
		file_put(to, fd, kind);
}
