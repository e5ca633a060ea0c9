/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the parts of the fuzzer share.
 *
 * The supervisor (nymfuzz.c) makes rounds; a round (world.c) is a process with
 * some actors, which are threads that share a table of files (files.c). An actor
 * makes one call after the other (calls.c lists them). What a call does comes from
 * random numbers that depend on the seed, the round, the actor and the number of
 * the call, and on nothing else. judge() (judge.c) looks at each result.
 */
#ifndef FUZZ_H
#define FUZZ_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <linux/nym.h>

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#endif

#define ACTORS_MAX	32
#define ERRNOS		134	/* one more than the last that user space may see */

/* The system calls, for judging and counting; calls.c has names and errors. */
enum call {
	CALL_SOCKET, CALL_SOCKETPAIR, CALL_BIND, CALL_CONNECT, CALL_LISTEN, CALL_ACCEPT,
	CALL_SHUTDOWN, CALL_CLOSE, CALL_DUP, CALL_GETSOCKNAME, CALL_GETPEERNAME,
	CALL_SEND, CALL_SENDMSG, CALL_SENDMMSG, CALL_WRITE,
	CALL_RECV, CALL_RECVMSG, CALL_RECVMMSG, CALL_READ,
	CALL_SPLICE_IN, CALL_SPLICE_OUT, CALL_TEE, CALL_SENDFILE,
	CALL_GETSOCKOPT, CALL_SETSOCKOPT, CALL_IOCTL, CALL_FCNTL,
	CALL_STAT, CALL_CHMOD, CALL_CHOWN,
	CALL_POLL, CALL_SELECT, CALL_EPOLL_CTL, CALL_EPOLL_WAIT,
	CALL_DIAG, CALL_PROC, CALL_SYSCTL, CALL_SETUID, CALL_UNSHARE, CALL_FORK,
	CALL_URING,
	CALLS
};

struct call_info {
	const char *name;
	short errors[20];	/* that nym may give, besides EBADF; 0 ends them */
};

extern const struct call_info call_infos[CALLS];

/* What the supervisor sees of all rounds. */
struct shared {
	unsigned long calls;
	unsigned long findings;
	unsigned long succeeded[CALLS];
	unsigned long failed[CALLS][ERRNOS];
};

extern struct shared *shared;

/* What the user asked for. */
struct options {
	uint64_t seed;
	unsigned long calls;	/* at least so many in all */
	unsigned long first;	/* the round to begin with */
	unsigned long rounds;	/* 0: as many as it takes */
	unsigned int threads;
	unsigned int per_round;	/* calls of an actor in a round */
	unsigned int slower;
	bool verbose;
};

extern struct options options;

/* What a descriptor is of; UNKNOWN also while that changes. */
enum kind { UNKNOWN, NYM, OTHER };

struct ref {
	int fd;
	enum kind kind;
	unsigned int generation;
};

#define OUTS	80

/* Memory that the kernel may write to, filled with a pattern before. */
struct out {
	unsigned char *at;
	size_t room;
	size_t filled;		/* room, and what lies behind it */
};

/* A thread of a round. */
struct actor {
	uint64_t random;
	unsigned long round;
	unsigned int index;
	unsigned int nr;		/* of the call */
	char *arena;			/* see memory.c */
	size_t used;
	bool faulty;			/* this call has got memory that faults */
	bool sound;			/* this call shall get none */
	bool at_end;			/* it has got the end of the arena */
	struct ref file;		/* what this call is about */
	long detail;			/* which option or ioctl */
	struct out outs[OUTS];
	unsigned int nouts;
	struct uring *uring;
	uid_t uid;
	bool forked;
	int tid;
	unsigned long seen;		/* by the ticker: progress when it last looked */
	unsigned long progress;
	bool done;
};

/* random.c: the numbers, and values that are often at an edge */
void random_seed(struct actor *a);
uint64_t random_next(struct actor *a);
unsigned int below(struct actor *a, unsigned int n);
bool one_in(struct actor *a, unsigned int n);
int int_any(struct actor *a);
size_t size_any(struct actor *a);

#define PICK(_actor, _array)	((_array)[below(_actor, ARRAY_SIZE(_array))])

/* memory.c: buffers, some of which fault */
int arena_make(struct actor *a);
void memory_reset(struct actor *a);
void *mem_room(struct actor *a, size_t len);
void *mem_in(struct actor *a, const void *from, size_t len);
void *mem_out(struct actor *a, size_t len);
void *mem_inout(struct actor *a, const void *from, size_t len);
#define IOV_HERE	70	/* so many that there are, more that are not */
int iov_any(struct actor *a, struct iovec **iov, bool out, size_t *total);
void outs_expect(struct actor *a, size_t used);
void out_expect(struct actor *a, const void *at, size_t used);

/* files.c: the table of files */
enum region {
	LISTENERS, CLIENTS, SERVERS, DGRAMS, PAIRS, OTHERS, RECEIVED, REGIONS
};

#define REGION_SLOTS	16
/* Where each sort of the OTHERS begins; memory comes last. */
#define PIPES		0
#define EPOLLS		8
#define EVENTS		12
#define SLOTS		(REGIONS * REGION_SLOTS)

void files_fill(struct actor *a);
void files_forget(void);
unsigned int slot_in(struct actor *a, enum region region);
unsigned int slot_any(struct actor *a);
unsigned int slot_connected(struct actor *a);
void file_use(struct actor *a, unsigned int slot);
int file_fd(unsigned int slot);
void file_put(unsigned int slot, int fd, enum kind kind);
int file_take(unsigned int slot);
bool file_same(const struct ref *ref);
void file_adopt(struct actor *a, int fd);
void file_dup_onto(struct actor *a, unsigned int from, unsigned int to);

/* address.c */
struct sockaddr *address_any(struct actor *a, socklen_t *len);
struct sockaddr *address_of(struct actor *a, unsigned int slot, socklen_t *len);
void address_own(unsigned int slot, struct sockaddr_nym *sa, socklen_t *len);

/* control.c: control messages */
void control_any(struct actor *a, struct msghdr *msg);
void control_room(struct actor *a, struct msghdr *msg);
void control_check(struct actor *a, const struct msghdr *msg, size_t room);

/* judge.c */
void finding(struct actor *a, enum call which, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
long judge(struct actor *a, enum call which, long ret);
void judge_size(struct actor *a, enum call which, long ret, size_t asked);
void judge_report(void);
void judge_setup(void);

/* calls.c */
void act(struct actor *a);

/* What the calls are; each makes one or a few system calls. */
void call_socket(struct actor *a);
void call_pair(struct actor *a);
void call_listener(struct actor *a);
void call_client(struct actor *a);
void call_dgram(struct actor *a);
void call_other(struct actor *a);
void call_bind(struct actor *a);
void call_connect(struct actor *a);
void call_listen(struct actor *a);
void call_accept(struct actor *a);
void call_shutdown(struct actor *a);
void call_close(struct actor *a);
void call_dup(struct actor *a);
void call_name(struct actor *a);
void call_send(struct actor *a);
void call_sendmsg(struct actor *a);
void call_sendmmsg(struct actor *a);
void call_write(struct actor *a);
void call_recv(struct actor *a);
void call_recvmsg(struct actor *a);
void call_recvmmsg(struct actor *a);
void call_read(struct actor *a);
void call_splice(struct actor *a);
void call_sendfile(struct actor *a);
void call_getsockopt(struct actor *a);
void call_setsockopt(struct actor *a);
void call_ioctl(struct actor *a);
void call_fcntl(struct actor *a);
void call_inode(struct actor *a);
void call_poll(struct actor *a);
void call_select(struct actor *a);
void call_epoll(struct actor *a);
void call_diag(struct actor *a);
void call_proc(struct actor *a);
void call_sysctl(struct actor *a);
void call_setuid(struct actor *a);
void call_unshare(struct actor *a);
void call_fork(struct actor *a);
void call_uring(struct actor *a);

/* world.c */
int world_run(unsigned long round);
int actor_fork(struct actor *a);

#endif /* FUZZ_H */
