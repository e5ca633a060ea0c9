// SPDX-License-Identifier: GPL-2.0
/*
 * Calls by io_uring, which wait and are cancelled while others go on. The kernel
 * uses the buffers of such a call later, so they are not those of other calls.
 */
#include "fuzz.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/io_uring.h>

#define ENTRIES		16
#define BUFFER		16384

struct uring {
	int fd;
	struct io_uring_sqe *sqes;
	unsigned int *sq_tail, *sq_array, *cq_head, *cq_tail;
	unsigned int sq_mask, cq_mask;
	struct io_uring_cqe *cqes;
	char buffer[BUFFER];
	struct iovec iov;
	struct msghdr msg;
	struct sockaddr_nym address;
};

static struct uring *uring_map(struct uring *u, const struct io_uring_params *p)
{
	char *map = mmap(NULL, 1 << 14, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
			 u->fd, IORING_OFF_SQ_RING);

	u->sqes = mmap(NULL, p->sq_entries * sizeof(struct io_uring_sqe),
		       PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, u->fd,
		       IORING_OFF_SQES);
	if (map == MAP_FAILED || u->sqes == MAP_FAILED)
		return NULL;
	u->sq_tail = (void *)(map + p->sq_off.tail);
	u->sq_array = (void *)(map + p->sq_off.array);
	u->sq_mask = *(unsigned int *)(map + p->sq_off.ring_mask);
	u->cq_head = (void *)(map + p->cq_off.head);
	u->cq_tail = (void *)(map + p->cq_off.tail);
	u->cq_mask = *(unsigned int *)(map + p->cq_off.ring_mask);
	u->cqes = (void *)(map + p->cq_off.cqes);
	return u;
}

/* NULL where the kernel has none, or no more. */
static struct uring *uring_open(void)
{
	struct uring *u = calloc(1, sizeof(*u));
	struct io_uring_params p = { };

	if (!u)
		return NULL;
	u->fd = syscall(SYS_io_uring_setup, ENTRIES, &p);
	if (u->fd >= 0 && uring_map(u, &p))
		return u;
	if (u->fd >= 0)
		close(u->fd);
	free(u);
	return NULL;
}

static void fill_message(struct actor *a, struct uring *u)
{
	u->iov.iov_base = u->buffer;
	u->iov.iov_len = below(a, BUFFER + 1);
	u->msg.msg_iov = &u->iov;
	u->msg.msg_iovlen = 1;
}

static void fill_address(unsigned int slot, struct uring *u, struct io_uring_sqe *sqe)
{
	socklen_t len;

	address_own(slot, &u->address, &len);
	sqe->addr = (unsigned long)&u->address;
	sqe->off = len;
}

/* What is to be done; user_data is the operation. */
static void fill(struct actor *a, struct uring *u, struct io_uring_sqe *sqe)
{
	static const unsigned char ops[] = {
		IORING_OP_SEND, IORING_OP_SEND, IORING_OP_RECV, IORING_OP_RECV,
		IORING_OP_SENDMSG, IORING_OP_RECVMSG, IORING_OP_ACCEPT, IORING_OP_ACCEPT,
		IORING_OP_CONNECT, IORING_OP_POLL_ADD, IORING_OP_POLL_ADD,
		IORING_OP_ASYNC_CANCEL, IORING_OP_ASYNC_CANCEL, IORING_OP_READ,
		IORING_OP_WRITE, IORING_OP_SHUTDOWN, IORING_OP_NOP,
	};

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = PICK(a, ops);
	sqe->user_data = sqe->opcode;
	sqe->addr = (unsigned long)u->buffer;
	sqe->len = below(a, BUFFER + 1);
	sqe->fd = file_fd(slot_connected(a));
	switch (sqe->opcode) {
	case IORING_OP_SENDMSG:
	case IORING_OP_RECVMSG:
		fill_message(a, u);
		sqe->addr = (unsigned long)&u->msg;
		sqe->len = 1;
		break;
	case IORING_OP_ACCEPT:
		sqe->fd = file_fd(slot_in(a, LISTENERS));
		sqe->addr = 0;
		sqe->len = 0;
		sqe->accept_flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
		if (one_in(a, 3))
			sqe->ioprio = IORING_ACCEPT_MULTISHOT;
		break;
	case IORING_OP_CONNECT:
		fill_address(slot_in(a, LISTENERS), u, sqe);
		sqe->len = 0;
		break;
	case IORING_OP_POLL_ADD:
		sqe->fd = file_fd(slot_any(a));
		sqe->addr = 0;
		sqe->len = one_in(a, 2) ? IORING_POLL_ADD_MULTI : 0;
		sqe->poll32_events = one_in(a, 2) ? POLLIN : POLLOUT;
		break;
	case IORING_OP_ASYNC_CANCEL:
		sqe->addr = PICK(a, ops);
		sqe->len = 0;
		sqe->cancel_flags = one_in(a, 2) ? IORING_ASYNC_CANCEL_ALL : 0;
		break;
	case IORING_OP_SHUTDOWN:
		sqe->addr = 0;
		sqe->len = below(a, 3);
		break;
	case IORING_OP_READ:
	case IORING_OP_WRITE:
		sqe->off = -1;
		break;
	default:
		break;
	}
	if (one_in(a, 8) && sqe->opcode != IORING_OP_ACCEPT)
		sqe->flags = IOSQE_ASYNC;
}

static void submit(struct actor *a, struct uring *u)
{
	unsigned int tail = *u->sq_tail, i = tail & u->sq_mask;

	fill(a, u, &u->sqes[i]);
	u->sq_array[i] = i;
	__atomic_store_n(u->sq_tail, tail + 1, __ATOMIC_RELEASE);
	syscall(SYS_io_uring_enter, u->fd, 1, 0, IORING_ENTER_GETEVENTS, NULL, 0);
}

static void reap(struct actor *a, struct uring *u)
{
	unsigned int head = *u->cq_head;

	while (head != __atomic_load_n(u->cq_tail, __ATOMIC_ACQUIRE)) {
		struct io_uring_cqe *cqe = &u->cqes[head & u->cq_mask];

		errno = -cqe->res;
		judge(a, CALL_URING, cqe->res < 0 ? -1 : cqe->res);
		if (cqe->user_data == IORING_OP_ACCEPT && cqe->res >= 0)
			file_adopt(a, cqe->res);
		__atomic_store_n(u->cq_head, ++head, __ATOMIC_RELEASE);
	}
}

void call_uring(struct actor *a)
{
	unsigned int n = 1 + below(a, 4);

	/* A forked process has no ring: what it submits would be its parent's. */
	if (a->forked)
		return;
	if (!a->uring)
		a->uring = uring_open();
	if (!a->uring)
		return;
	a->file = (struct ref){ .fd = 0, .kind = UNKNOWN };
	while (n--)
		submit(a, a->uring);
	reap(a, a->uring);
}
