// SPDX-License-Identifier: GPL-2.0
/*
 * The files that the actors of a round share. A slot has a descriptor or none; to
 * close or replace it is to take it out first, so nobody closes a descriptor that
 * is somebody else's by then. What a descriptor is of is known as long as its
 * generation stays the same.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <unistd.h>

#define FDS	1024

static int slots[SLOTS];
static unsigned char kinds[FDS];
static unsigned int generations[FDS];

/* Before the actors are there. */
void files_fill(struct actor *a)
{
	unsigned int i;

	for (i = 0; i < SLOTS; i++)
		slots[i] = -1;
	for (i = 0; i < SLOTS; i++) {
		static void (* const first[])(struct actor *) = {
			call_listener, call_dgram, call_pair, call_other, call_client,
			call_accept, call_other, call_socket,
		};

		a->nr = i;
		random_seed(a);
		memory_reset(a);
		first[i % ARRAY_SIZE(first)](a);
	}
}

static void set_kind(int fd, enum kind kind)
{
	if (fd < 0 || fd >= FDS)
		return;
	if (kind == UNKNOWN)
		__atomic_fetch_add(&generations[fd], 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&kinds[fd], kind, __ATOMIC_SEQ_CST);
}

/*
 * In a process that was just forked: its memory may be newer than its files, so
 * what they are is not known.
 */
void files_forget(void)
{
	memset(kinds, UNKNOWN, sizeof(kinds));
}

/* Most calls are about a slot where something sensible is. */
unsigned int slot_in(struct actor *a, enum region region)
{
	if (one_in(a, 16))
		return slot_any(a);
	return region * REGION_SLOTS + below(a, REGION_SLOTS);
}

unsigned int slot_any(struct actor *a)
{
	/* Few descriptors are received. */
	return below(a, one_in(a, 4) ? SLOTS : RECEIVED * REGION_SLOTS);
}

unsigned int slot_connected(struct actor *a)
{
	static const enum region regions[] = {
		CLIENTS, CLIENTS, SERVERS, SERVERS, PAIRS, PAIRS, PAIRS, DGRAMS,
		DGRAMS, DGRAMS,
	};

	return slot_in(a, PICK(a, regions));
}

int file_fd(unsigned int slot)
{
	return __atomic_load_n(&slots[slot], __ATOMIC_SEQ_CST);
}

/* The call is about this one. */
void file_use(struct actor *a, unsigned int slot)
{
	int fd = file_fd(slot);

	a->file.fd = fd;
	a->file.kind = UNKNOWN;
	if (fd < 0 || fd >= FDS)
		return;
	a->file.generation = __atomic_load_n(&generations[fd], __ATOMIC_SEQ_CST);
	a->file.kind = __atomic_load_n(&kinds[fd], __ATOMIC_SEQ_CST);
}

/* It has been the same file all the time. */
bool file_same(const struct ref *ref)
{
	return ref->kind != UNKNOWN &&
	       __atomic_load_n(&generations[ref->fd], __ATOMIC_SEQ_CST) == ref->generation;
}

/* A descriptor out of its slot, to be closed; -1 if there is none. */
int file_take(unsigned int slot)
{
	int fd = __atomic_exchange_n(&slots[slot], -1, __ATOMIC_SEQ_CST);

	set_kind(fd, UNKNOWN);
	return fd;
}

/* A new descriptor; what was in the slot is closed. */
void file_put(unsigned int slot, int fd, enum kind kind)
{
	int old;

	set_kind(fd, kind);
	old = __atomic_exchange_n(&slots[slot], fd, __ATOMIC_SEQ_CST);
	set_kind(old, UNKNOWN);
	if (old >= 0)
		close(old);
}

/* A descriptor that came in a message, or from io_uring. */
void file_adopt(struct actor *a, int fd)
{
	socklen_t len = sizeof(int);
	int domain = -1;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len))
		domain = -1;
	file_put(RECEIVED * REGION_SLOTS + below(a, REGION_SLOTS), fd,
		 domain == AF_NYM ? NYM : OTHER);
}

/* dup3() onto a descriptor in use: at no time is the number free. */
void file_dup_onto(struct actor *a, unsigned int from, unsigned int to)
{
	int old = file_take(to);
	enum kind kind;
	long ret;

	file_use(a, from);
	kind = a->file.kind;
	if (old < 0)
		return;
	ret = judge(a, CALL_DUP, dup3(a->file.fd, old, O_CLOEXEC));
	if (ret < 0)
		file_put(to, old, UNKNOWN);
	else
		file_put(to, ret, file_same(&a->file) ? kind : UNKNOWN);
}
