/* SPDX-License-Identifier: GPL-2.0 */
/*
 * io_uring for the tests: a ring, requests and their results. Raw system calls,
 * no library.
 */
#ifndef NYM_URING_H
#define NYM_URING_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <linux/io_uring.h>
#include <linux/nym.h>
#include <linux/types.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define ENTRIES	8

struct ring {
	int fd;
	void *map;
	size_t map_size;
	struct io_uring_sqe *sqes;
	unsigned int *sq_tail, *sq_array, *cq_head, *cq_tail;
	unsigned int sq_mask, cq_mask;
	struct io_uring_cqe *cqes;
};

static inline int ring_open(struct ring *r)
{
	struct io_uring_params p;
	size_t sq_size, cq_size;
	char *map;

	memset(&p, 0, sizeof(p));
	r->fd = syscall(SYS_io_uring_setup, ENTRIES, &p);
	if (r->fd < 0)
		return -1;
	if (!(p.features & IORING_FEAT_SINGLE_MMAP)) {
		errno = EOPNOTSUPP;
		return -1;
	}
	sq_size = p.sq_off.array + p.sq_entries * sizeof(unsigned int);
	cq_size = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
	r->map_size = sq_size > cq_size ? sq_size : cq_size;
	map = mmap(NULL, r->map_size, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_POPULATE, r->fd, IORING_OFF_SQ_RING);
	r->sqes = mmap(NULL, p.sq_entries * sizeof(struct io_uring_sqe),
		       PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, r->fd,
		       IORING_OFF_SQES);
	if (map == MAP_FAILED || r->sqes == MAP_FAILED)
		return -1;
	r->map = map;
	r->sq_tail = (unsigned int *)(map + p.sq_off.tail);
	r->sq_array = (unsigned int *)(map + p.sq_off.array);
	r->sq_mask = *(unsigned int *)(map + p.sq_off.ring_mask);
	r->cq_head = (unsigned int *)(map + p.cq_off.head);
	r->cq_tail = (unsigned int *)(map + p.cq_off.tail);
	r->cq_mask = *(unsigned int *)(map + p.cq_off.ring_mask);
	r->cqes = (struct io_uring_cqe *)(map + p.cq_off.cqes);
	return 0;
}

static inline void ring_close(struct ring *r)
{
	munmap(r->sqes, ENTRIES * sizeof(struct io_uring_sqe));
	munmap(r->map, r->map_size);
	close(r->fd);
}

/* Submits one request; @id comes back with its result. */
static inline int submit(struct ring *r, const struct io_uring_sqe *sqe, __u64 id)
{
	unsigned int tail = *r->sq_tail, i = tail & r->sq_mask;

	r->sqes[i] = *sqe;
	r->sqes[i].user_data = id;
	r->sq_array[i] = i;
	__atomic_store_n(r->sq_tail, tail + 1, __ATOMIC_RELEASE);
	return syscall(SYS_io_uring_enter, r->fd, 1, 0, 0, NULL, 0);
}

/* The next result, if there is one now. */
static inline bool have_result(struct ring *r, __u64 *id, int *res)
{
	unsigned int head = *r->cq_head;
	struct io_uring_cqe *cqe = &r->cqes[head & r->cq_mask];

	if (head == __atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE))
		return false;
	*id = cqe->user_data;
	*res = cqe->res;
	__atomic_store_n(r->cq_head, head + 1, __ATOMIC_RELEASE);
	return true;
}

#define NO_RESULT	(-12345)

/* Waits for the result of @id, which must be the next one. */
static inline int result(struct ring *r, __u64 id)
{
	__u64 got = 0;
	int res;

	while (!have_result(r, &got, &res))
		if (syscall(SYS_io_uring_enter, r->fd, 0, 1,
			    IORING_ENTER_GETEVENTS, NULL, 0) < 0)
			return NO_RESULT;
	return got == id ? res : NO_RESULT;
}

static inline struct io_uring_sqe sqe_rw(int op, int fd, const void *buf, size_t len)
{
	struct io_uring_sqe sqe = { .opcode = op, .fd = fd,
				    .addr = (uintptr_t)buf, .len = len };

	return sqe;
}

static inline struct io_uring_sqe sqe_connect(int fd, struct sockaddr_nym *sa,
					      socklen_t len)
{
	struct io_uring_sqe sqe = { .opcode = IORING_OP_CONNECT, .fd = fd,
				    .addr = (uintptr_t)sa, .off = len };

	return sqe;
}

static inline struct io_uring_sqe sqe_poll(int fd, __u32 events)
{
	struct io_uring_sqe sqe = { .opcode = IORING_OP_POLL_ADD, .fd = fd,
				    .poll32_events = events };

	return sqe;
}

static inline struct io_uring_sqe sqe_cancel(__u64 id)
{
	struct io_uring_sqe sqe = { .opcode = IORING_OP_ASYNC_CANCEL,
				    .fd = -1, .addr = id };

	return sqe;
}

#endif /* NYM_URING_H */
