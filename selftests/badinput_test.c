// SPDX-License-Identifier: GPL-2.0
/*
 * Bad input: memory that faults, absurd lengths, and every call in every
 * state that it does not fit, with the errno of AF_UNIX; nothing is lost and
 * the kernel log stays silent.
 */
#include "nym_test.h"
#include "nym_io.h"

#include <limits.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

/* Where the kernel log was before the first test; -1 when it cannot be read. */
static int kmsg_fd = -1;

static __attribute__((constructor)) void kmsg_mark(void)
{
	kmsg_fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg_fd >= 0 && lseek(kmsg_fd, 0, SEEK_END) < 0) {
		close(kmsg_fd);
		kmsg_fd = -1;
	}
}

/* --- Memory that faults --- */

#define PAGE	4096

FIXTURE(fault)
{
	int a;
	int b;
	__u8 *mem;	/* two good pages, a bad one, a good one */
	__u8 *edge;	/* where the bad page begins */
};

FIXTURE_SETUP(fault)
{
	int fd[2];

	SKIP_WITHOUT_NYM();
	ASSERT_OK(nym_pair(fd));
	self->a = fd[0];
	self->b = fd[1];
	self->mem = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->mem);
	self->edge = self->mem + 2 * PAGE;
	memcpy(self->mem, io_at(0), 2 * PAGE);
	memset(self->edge + PAGE, 0xee, PAGE);
	ASSERT_OK(mprotect(self->edge, PAGE, PROT_NONE));
}

FIXTURE_TEARDOWN(fault)
{
	munmap(self->mem, 4 * PAGE);
	close(self->a);
	close(self->b);
}

static const long before_edge[] = {
	1, 2, 3, 7, 8, 9, 15, 16, 17, 63, 64, 65, 255, 1000, 4095, 4096, 4097,
	8191, 8192,
};

#define EDGES ((int)ARRAY_SIZE(before_edge))

/* The socket still carries bytes both ways, and has no others in it. */
static void still_works(struct __test_metadata *_metadata, int a, int b)
{
	char buf[4];

	EXPECT_EQ(0, io_inq(a));
	EXPECT_EQ(0, io_inq(b));
	EXPECT_EQ(2, send(a, "ab", 2, MSG_DONTWAIT | MSG_NOSIGNAL));
	EXPECT_EQ(2, recv(b, buf, 4, MSG_DONTWAIT));
	EXPECT_EQ(0, memcmp(buf, "ab", 2));
	EXPECT_EQ(1, send(b, "c", 1, MSG_DONTWAIT | MSG_NOSIGNAL));
	EXPECT_EQ(1, recv(a, buf, 4, MSG_DONTWAIT));
	EXPECT_EQ('c', buf[0]);
}

TEST_F(fault, send_delivers_what_is_before_the_fault)
{
	static const long over[] = { 1, 100, PAGE };
	int i, j;

	for (i = 0; i < EDGES; i++) {
		for (j = 0; j < 3; j++) {
			long k = before_edge[i];

			EXPECT_RETURNS(k, send(self->a, self->edge - k,
					       k + over[j], MSG_DONTWAIT));
			ASSERT_EQ(k, io_drain(self->b, 2 * PAGE - k));
		}
	}
	still_works(_metadata, self->a, self->b);
}

TEST_F(fault, send_of_nothing_but_fault_is_efault)
{
	struct iovec iov[2] = { { self->edge, 1 }, { self->mem, 10 } };

	EXPECT_ERRNO(EFAULT, send(self->a, self->edge, 1, MSG_DONTWAIT));
	EXPECT_ERRNO(EFAULT, send(self->a, self->edge, PAGE, 0));
	EXPECT_ERRNO(EFAULT, send(self->a, self->edge, 2 * PAGE, 0));
	EXPECT_ERRNO(EFAULT, write(self->a, self->edge + PAGE - 1, 10));
	EXPECT_ERRNO(EFAULT, writev(self->a, iov, 2));
	EXPECT_ERRNO(EFAULT, send(self->a, NULL, 10, 0));
	EXPECT_EQ(0, io_outq(self->a));
	still_works(_metadata, self->a, self->b);
}

/* The faulting part is the first, the second or the last of an iovec. */
TEST_F(fault, writev_delivers_the_parts_before_the_fault)
{
	int i, j;

	for (i = 0; i < EDGES; i++) {
		long k = before_edge[i];
		struct iovec iov[4] = {
			{ self->mem, 10 },
			{ self->mem + 10, 0 },
			{ self->edge - k, k + 10 },
			{ self->mem, 10 },
		};

		ASSERT_RETURNS(10 + k, writev(self->a, iov, 4));
		ASSERT_EQ(10, io_recv_all(self->b, 0, 10, 10, NULL));
		ASSERT_EQ(k, io_recv_all(self->b, 2 * PAGE - k, k, 8192, NULL));
		ASSERT_EQ(0, io_inq(self->b));
	}
	for (j = 1; j < 4; j++) {
		struct iovec iov[4] = {
			{ self->mem, 10 }, { self->mem + 10, 10 },
			{ self->mem + 20, 10 }, { self->mem + 30, 10 },
		};

		iov[j].iov_base = self->edge;
		EXPECT_RETURNS(10 * j, writev(self->a, iov, 4));
		ASSERT_EQ(10 * j, io_drain(self->b, 0));
	}
	still_works(_metadata, self->a, self->b);
}

TEST_F(fault, a_blocking_send_ends_at_the_fault)
{
	long limit = io_sndbuf(self->a);
	size_t big = (limit + 3 * PAGE) & ~(PAGE - 1UL);
	__u8 *mem = mmap(NULL, big + PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct io_thread t = { .fd = self->b, .buf = malloc(big), .len = big,
			       .flags = MSG_WAITALL };

	ASSERT_NE(MAP_FAILED, mem);
	memcpy(mem, io_at(0), big);
	ASSERT_OK(mprotect(mem + big, PAGE, PROT_NONE));
	io_start(&t, io_do_recv);
	EXPECT_RETURNS(big, send(self->a, mem, big + PAGE, 0)) {
		shutdown(self->a, SHUT_WR);
	}
	EXPECT_EQ((long)big, io_join(&t));
	EXPECT_TRUE(io_is(t.buf, 0, big));
	free(t.buf);
	munmap(mem, big + PAGE);
	still_works(_metadata, self->a, self->b);
}

TEST_F(fault, recv_gives_what_fits_before_the_fault)
{
	static const int flags[] = { 0, MSG_WAITALL, MSG_DONTWAIT };
	int i, j;

	for (i = 0; i < EDGES; i++) {
		for (j = 0; j < 3; j++) {
			long k = before_edge[i];

			ASSERT_EQ(9000, io_send_all(self->a, 0, 9000));
			memset(self->mem, 0, 2 * PAGE);
			EXPECT_RETURNS(k, recv(self->b, self->edge - k, k + 100,
					       flags[j]));
			EXPECT_TRUE(io_is(self->edge - k, 0, k));
			/* Nothing is lost: the rest is still there. */
			ASSERT_EQ(9000 - k, io_inq(self->b));
			ASSERT_EQ(9000 - k, io_drain(self->b, k));
		}
	}
	still_works(_metadata, self->a, self->b);
}

TEST_F(fault, recv_into_nothing_but_fault_is_efault)
{
	struct iovec iov[2] = { { self->edge, 1 }, { self->mem, 10 } };

	ASSERT_EQ(5000, io_send_all(self->a, 0, 5000));
	EXPECT_ERRNO(EFAULT, recv(self->b, self->edge, 1, MSG_DONTWAIT));
	EXPECT_ERRNO(EFAULT, recv(self->b, self->edge, 2 * PAGE, 0));
	EXPECT_ERRNO(EFAULT, recv(self->b, self->edge, 10, MSG_PEEK));
	EXPECT_ERRNO(EFAULT, recv(self->b, self->edge, 10, MSG_WAITALL));
	EXPECT_ERRNO(EFAULT, read(self->b, self->edge, 10));
	EXPECT_ERRNO(EFAULT, readv(self->b, iov, 2));
	EXPECT_ERRNO(EFAULT, recv(self->b, NULL, 10, 0));
	EXPECT_EQ(5000, io_drain(self->b, 0));
	/* With nothing to copy there is no fault. */
	EXPECT_ERRNO(EAGAIN, recv(self->b, NULL, 10, MSG_DONTWAIT));
	EXPECT_ERRNO(EAGAIN, recv(self->b, self->edge, 10, MSG_DONTWAIT));
	still_works(_metadata, self->a, self->b);
}

TEST_F(fault, recv_into_read_only_memory_loses_nothing)
{
	ASSERT_OK(mprotect(self->mem, PAGE, PROT_READ));
	ASSERT_EQ(100, io_send_all(self->a, 0, 100));
	EXPECT_ERRNO(EFAULT, recv(self->b, self->mem, 100, 0));
	EXPECT_ERRNO(EFAULT, recv(self->b, self->mem + PAGE - 60, 50, 0));
	EXPECT_EQ(100, io_drain(self->b, 0));
	still_works(_metadata, self->a, self->b);
}

TEST_F(fault, peek_up_to_the_fault_takes_nothing)
{
	int i;

	ASSERT_EQ(9000, io_send_all(self->a, 0, 9000));
	for (i = 0; i < EDGES; i++) {
		long k = before_edge[i];

		memset(self->mem, 0, 2 * PAGE);
		EXPECT_RETURNS(k, recv(self->b, self->edge - k, k + 100,
				       MSG_PEEK));
		EXPECT_TRUE(io_is(self->edge - k, 0, k));
		ASSERT_EQ(9000, io_inq(self->b));
	}
	EXPECT_EQ(9000, io_drain(self->b, 0));
}

TEST_F(fault, a_waiting_reader_with_bad_memory_gets_efault)
{
	struct io_thread t = { .fd = self->b, .buf = self->edge, .len = 10 };

	io_start(&t, io_do_recv);
	ASSERT_TRUE(io_wait_blocked(&t));
	ASSERT_EQ(5, io_send_all(self->a, 0, 5));
	EXPECT_EQ(-1, io_join(&t));
	EXPECT_EQ(EFAULT, t.err);
	EXPECT_EQ(5, io_drain(self->b, 0));
}

/* A reader whose address or length cannot be stored has still read. */
TEST_F(fault, bad_places_for_addresses_and_headers)
{
	struct sockaddr_nym addr;
	socklen_t len = sizeof(addr);
	struct iovec iov = { self->mem, 10 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	void *bad = self->edge;

	EXPECT_ERRNO(EFAULT, sendmsg(self->a, bad, 0));
	EXPECT_ERRNO(EFAULT, recvmsg(self->b, bad, MSG_DONTWAIT));
	EXPECT_ERRNO(EFAULT, sendmmsg(self->a, bad, 1, 0));
	EXPECT_ERRNO(EFAULT, writev(self->a, bad, 2));
	EXPECT_ERRNO(EFAULT, readv(self->b, bad, 2));
	EXPECT_ERRNO(EFAULT, sendto(self->a, "x", 1, 0, bad, sizeof(addr)));
	m.msg_iov = bad;
	EXPECT_ERRNO(EFAULT, sendmsg(self->a, &m, 0));
	m.msg_iov = &iov;
	m.msg_control = bad;
	m.msg_controllen = 64;
	EXPECT_ERRNO(EFAULT, sendmsg(self->a, &m, 0));
	EXPECT_EQ(0, io_inq(self->b));
	ASSERT_EQ(3, send(self->a, "123", 3, 0));
	EXPECT_ERRNO(EFAULT, recvfrom(self->b, self->mem, 1, 0, bad, &len));
	EXPECT_ERRNO(EFAULT, recvfrom(self->b, self->mem, 1, 0,
				      (struct sockaddr *)&addr, bad));
	EXPECT_EQ(1, io_inq(self->b));
	EXPECT_EQ(1, recv(self->b, self->mem, 10, 0));
	still_works(_metadata, self->a, self->b);
}

TEST_F(fault, ioctl_and_options_into_bad_memory)
{
	socklen_t len = sizeof(int);
	int val = 1;

	EXPECT_ERRNO(EFAULT, ioctl(self->b, FIONREAD, self->edge));
	EXPECT_ERRNO(EFAULT, ioctl(self->b, SIOCOUTQ, self->edge));
	EXPECT_ERRNO(EFAULT, getsockopt(self->a, SOL_SOCKET, SO_SNDBUF,
					self->edge, &len));
	EXPECT_ERRNO(EFAULT, getsockopt(self->a, SOL_SOCKET, SO_SNDBUF, &val,
					(socklen_t *)self->edge));
	EXPECT_ERRNO(EFAULT, setsockopt(self->a, SOL_SOCKET, SO_SNDBUF,
					self->edge, len));
	still_works(_metadata, self->a, self->b);
}

/* --- Absurd lengths --- */

/* Hidden from the compiler, which would warn of them. */
static volatile size_t absurd_size = SIZE_MAX;
static volatile int negative = -1;

TEST_F(fault, more_iovecs_than_allowed)
{
	struct iovec *iov = calloc(UIO_MAXIOV + 1, sizeof(*iov));
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = UIO_MAXIOV + 1 };
	int i;

	for (i = 0; i <= UIO_MAXIOV; i++)
		iov[i] = (struct iovec){ self->mem + i, 1 };
	EXPECT_ERRNO(EMSGSIZE, sendmsg(self->a, &m, 0));
	EXPECT_ERRNO(EMSGSIZE, recvmsg(self->b, &m, MSG_DONTWAIT));
	EXPECT_ERRNO(EINVAL, writev(self->a, iov, UIO_MAXIOV + 1));
	EXPECT_ERRNO(EINVAL, readv(self->b, iov, UIO_MAXIOV + 1));
	EXPECT_ERRNO(EINVAL, writev(self->a, iov, negative));
	EXPECT_EQ(0, io_inq(self->b));
	/* As many as allowed do work. */
	m.msg_iovlen = UIO_MAXIOV;
	EXPECT_EQ(UIO_MAXIOV, sendmsg(self->a, &m, 0));
	EXPECT_EQ(UIO_MAXIOV, recvmsg(self->b, &m, 0));
	EXPECT_TRUE(io_is(self->mem, 0, UIO_MAXIOV));
	free(iov);
	still_works(_metadata, self->a, self->b);
}

/* 3 GiB of readable zeros: the call takes what fits, not an int gone wrong. */
TEST_F(fault, lengths_beyond_an_int)
{
	size_t huge = 3UL << 30;
	__u8 *mem = mmap(NULL, huge, PROT_READ,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct iovec iov[2] = { { self->mem, 10 }, { mem, huge } };
	long limit = io_sndbuf(self->a);
	__u8 *room;
	int round;

	ASSERT_NE(MAP_FAILED, mem);
	room = malloc(limit);
	for (round = 0; round < 2; round++) {
		EXPECT_RETURNS(limit, round ?
			       sendmsg(self->a, &(struct msghdr){
				       .msg_iov = iov, .msg_iovlen = 2 },
				       MSG_DONTWAIT) :
			       send(self->a, mem, huge, MSG_DONTWAIT));
		EXPECT_ERRNO(EAGAIN, send(self->a, mem, huge, MSG_DONTWAIT));
		EXPECT_RETURNS(limit, recv(self->b, room, limit, MSG_DONTWAIT));
	}
	munmap(mem, huge);
	free(room);
	still_works(_metadata, self->a, self->b);
}

TEST_F(fault, reading_into_more_than_an_int)
{
	size_t huge = 3UL << 30;
	__u8 *mem = mmap(NULL, huge, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct iovec iov[2] = { { self->mem, 3 }, { mem, huge } };

	if (mem == MAP_FAILED)
		SKIP(return, "no 3 GiB of address space");
	ASSERT_EQ(30, io_send_all(self->a, 0, 30));
	EXPECT_RETURNS(10, recv(self->b, self->mem, 10, 0));
	EXPECT_RETURNS(20, recv(self->b, mem, huge, 0));
	EXPECT_TRUE(io_is(mem, 10, 20));
	ASSERT_EQ(30, io_send_all(self->a, 30, 30));
	EXPECT_RETURNS(30, readv(self->b, iov, 2));
	EXPECT_TRUE(io_is(mem, 33, 27));
	munmap(mem, huge);
	still_works(_metadata, self->a, self->b);
}

/* The same call on ours and on theirs must give the same answer. */
#define EXPECT_AS_UNIX(_call) do { \
	int __fd = un[0], __u, __n; \
	long __r; \
	errno = 0; \
	__r = (_call(__fd)); \
	__u = __r < 0 ? errno : 0; \
	__fd = self->a; \
	errno = 0; \
	__r = (_call(__fd)); \
	__n = __r < 0 ? errno : 0; \
	EXPECT_SAME_ERRNO(__u, __n); \
	EXPECT_NE(0, __n); \
} while (0)

#define SEND_SIZE_MAX(fd)	send(fd, self->edge, absurd_size, MSG_DONTWAIT)
#define SEND_SSIZE_MAX(fd)	send(fd, self->edge, SSIZE_MAX, MSG_DONTWAIT)
#define WRITE_SIZE_MAX(fd)	write(fd, self->edge, absurd_size)
#define READ_SIZE_MAX(fd)	read(fd, self->edge, absurd_size)
#define RECV_SIZE_MAX(fd)	recv(fd, self->mem, SIZE_MAX, MSG_DONTWAIT)
#define SENDTO_NEG(fd) \
	sendto(fd, "x", 1, 0, (struct sockaddr *)self->mem, (socklen_t)-1)
#define SENDTO_LONG(fd) \
	sendto(fd, "x", 1, 0, (struct sockaddr *)self->mem, 129)
#define WRITEV_NEG_LEN(fd)	writev(fd, neg, 2)
#define READV_NEG_LEN(fd)	readv(fd, neg, 2)
#define SENDMSG_NEG_LEN(fd)	sendmsg(fd, &neg_msg, 0)
#define RECVMSG_NEG_LEN(fd)	recvmsg(fd, &neg_msg, MSG_DONTWAIT)
#define SENDMSG_HUGE_CMSG(fd)	sendmsg(fd, &cmsg_msg, 0)
#define RECVMSG_NEG_NAME(fd)	recvmsg(fd, &name_msg, MSG_DONTWAIT)
#define SETSOCKOPT_NEG(fd) \
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, self->mem, (socklen_t)-1)
#define SPLICE_SELF(fd)		splice(fd, NULL, fd, NULL, 1, 0)

TEST_F(fault, lengths_that_are_negative_or_absurd)
{
	struct iovec neg[2] = { { self->mem, 1 }, { self->mem, SIZE_MAX } };
	struct iovec one = { self->mem, 1 };
	struct msghdr neg_msg = { .msg_iov = neg, .msg_iovlen = 2 };
	struct msghdr cmsg_msg = { .msg_iov = &one, .msg_iovlen = 1,
				   .msg_control = self->mem,
				   .msg_controllen = SIZE_MAX };
	struct msghdr name_msg = { .msg_iov = &one, .msg_iovlen = 1,
				   .msg_name = self->mem,
				   .msg_namelen = (socklen_t)-1 };
	int un[2];

	ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, un));
	EXPECT_AS_UNIX(SEND_SIZE_MAX);
	EXPECT_AS_UNIX(SEND_SSIZE_MAX);
	EXPECT_AS_UNIX(WRITE_SIZE_MAX);
	EXPECT_AS_UNIX(READ_SIZE_MAX);
	EXPECT_AS_UNIX(RECV_SIZE_MAX);
	EXPECT_AS_UNIX(SENDTO_NEG);
	EXPECT_AS_UNIX(SENDTO_LONG);
	EXPECT_AS_UNIX(WRITEV_NEG_LEN);
	EXPECT_AS_UNIX(READV_NEG_LEN);
	EXPECT_AS_UNIX(SENDMSG_NEG_LEN);
	EXPECT_AS_UNIX(RECVMSG_NEG_LEN);
	EXPECT_AS_UNIX(SENDMSG_HUGE_CMSG);
	EXPECT_AS_UNIX(RECVMSG_NEG_NAME);
	EXPECT_AS_UNIX(SETSOCKOPT_NEG);
	EXPECT_AS_UNIX(SPLICE_SELF);
	close(un[0]);
	close(un[1]);
	still_works(_metadata, self->a, self->b);
}

/* --- Every call in every state, as AF_UNIX answers it --- */

#define ADDR_NONE	0	/* free */
#define ADDR_LISTENER	1	/* somebody else listens there */
#define ADDR_OWN	2	/* of the socket under test */
#define ADDR_BOUND	3	/* bound, not listening */
#define ADDRS		4

/* One family's world: how to name and make things. */
struct world {
	int family;
	const char *prefix;
	int listener;	/* of ADDR_LISTENER */
	int bound;	/* of ADDR_BOUND */
	int peer;	/* what the socket under test is connected to, or -1 */
	int extra;	/* a pending client of the socket under test, or -1 */
};

/* In AF_UNIX the abstract name that corresponds to ours. */
static socklen_t world_addr(struct world *w, int which,
			    struct sockaddr_storage *ss)
{
	static const char *const names[ADDRS] = {
		"t/bad/free", "t/bad/listener", "t/bad/own", "t/bad/bound",
	};
	struct sockaddr_un *un = (struct sockaddr_un *)ss;

	memset(ss, 0, sizeof(*ss));
	if (w->family == AF_NYM)
		return nym_addr((struct sockaddr_nym *)ss, names[which]);
	un->sun_family = AF_UNIX;
	snprintf(un->sun_path + 1, sizeof(un->sun_path) - 1, "%s%s", w->prefix,
		 names[which]);
	return offsetof(struct sockaddr_un, sun_path) + 1 +
	       strlen(un->sun_path + 1);
}

static int world_bind(struct world *w, int fd, int which)
{
	struct sockaddr_storage ss;
	socklen_t len = world_addr(w, which, &ss);

	return bind(fd, (struct sockaddr *)&ss, len);
}

static int world_connect(struct world *w, int fd, int which)
{
	struct sockaddr_storage ss;
	socklen_t len = world_addr(w, which, &ss);

	return connect(fd, (struct sockaddr *)&ss, len);
}

static int world_socket(struct world *w)
{
	return socket(w->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static bool world_open(struct world *w, int family)
{
	*w = (struct world){ .family = family, .prefix = "nym-", .peer = -1,
			     .extra = -1 };
	w->listener = world_socket(w);
	w->bound = world_socket(w);
	return !world_bind(w, w->listener, ADDR_LISTENER) &&
	       !listen(w->listener, 5) && !world_bind(w, w->bound, ADDR_BOUND);
}

static void world_close(struct world *w)
{
	close(w->listener);
	close(w->bound);
	close(w->peer);
	close(w->extra);
	w->peer = -1;
	w->extra = -1;
}

enum {
	FRESH, BOUND, LISTENING, LISTENING_PENDING, LISTENING_SHUT, CALLING,
	CONNECTED, CONNECTED_DATA, ACCEPTED, PAIR, SHUT_R, SHUT_W, SHUT_BOTH,
	PEER_SHUT_R, PEER_SHUT_W, PEER_CLOSED, PEER_RESET, LISTENER_GONE,
	FRESH_SHUT, STATES
};

static const char *const state_names[STATES] = {
	"fresh", "bound", "listening", "listening with a call",
	"listening and shut", "pending client", "connected",
	"connected with data", "accepted", "socketpair", "shut for reading",
	"shut for writing", "shut", "peer shut for reading",
	"peer shut for writing", "peer closed", "peer reset",
	"refused by the listener's end", "fresh and shut",
};

static int make_listener(struct world *w, int state)
{
	int fd = world_socket(w);

	if (world_bind(w, fd, ADDR_OWN))
		return -1;
	if (state != BOUND && listen(fd, 3))
		return -1;
	if (state == LISTENING_PENDING) {
		w->extra = world_socket(w);
		if (world_connect(w, w->extra, ADDR_OWN))
			return -1;
	}
	if (state == LISTENING_SHUT && shutdown(fd, SHUT_RD))
		return -1;
	return fd;
}

/* A connection that then suffers what @state says. */
static int make_connection(struct world *w, int state)
{
	int fd = world_socket(w);

	if (world_connect(w, fd, ADDR_LISTENER))
		return -1;
	if (state == CALLING)
		return fd;
	if (state == LISTENER_GONE) {
		close(w->listener);
		w->listener = -1;
		return fd;
	}
	w->peer = accept4(w->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (w->peer < 0)
		return -1;
	switch (state) {
	case ACCEPTED:
		w->extra = fd;
		fd = w->peer;
		w->peer = -1;
		break;
	case CONNECTED_DATA:
		return send(w->peer, "data", 4, 0) == 4 ? fd : -1;
	case SHUT_R:
	case SHUT_W:
	case SHUT_BOTH:
		return shutdown(fd, state - SHUT_R) ? -1 : fd;
	case PEER_SHUT_R:
	case PEER_SHUT_W:
		return shutdown(w->peer, state - PEER_SHUT_R) ? -1 : fd;
	case PEER_RESET:
	case PEER_CLOSED:
		if (state == PEER_RESET && send(fd, "data", 4, 0) != 4)
			return -1;
		close(w->peer);
		w->peer = -1;
	}
	return fd;
}

static int make_state(struct world *w, int state)
{
	int fd[2];

	switch (state) {
	case FRESH:
		return world_socket(w);
	case FRESH_SHUT:
		fd[0] = world_socket(w);
		shutdown(fd[0], SHUT_RDWR);
		return fd[0];
	case PAIR:
		if (socketpair(w->family,
			       SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd))
			return -1;
		w->peer = fd[1];
		return fd[0];
	case BOUND:
	case LISTENING:
	case LISTENING_PENDING:
	case LISTENING_SHUT:
		return make_listener(w, state);
	default:
		return make_connection(w, state);
	}
}

static char scratch[PAGE];

#define OP(_name, _expr) \
static long op_##_name(struct world *w, int fd) { return (_expr); }

static long send_to(struct world *w, int fd, int which, int flags)
{
	struct sockaddr_storage ss;
	socklen_t len = world_addr(w, which, &ss);

	return sendto(fd, "x", 1, flags | MSG_NOSIGNAL, (struct sockaddr *)&ss,
		      len);
}

/* Descriptors are closed again, so that results can be compared as 0. */
static long closed(int fd)
{
	if (fd >= 0) {
		close(fd);
		return 0;
	}
	return fd;
}

static long name_call(int fd, int (*get)(int fd, struct sockaddr *sa,
					 socklen_t *len), socklen_t room)
{
	struct sockaddr_storage ss;

	return get(fd, (struct sockaddr *)&ss, &room);
}

static int own_name(int fd, struct sockaddr *sa, socklen_t *len)
{
	return getsockname(fd, sa, len);
}

static int peer_name(int fd, struct sockaddr *sa, socklen_t *len)
{
	return getpeername(fd, sa, len);
}

static long through_pipe(int fd, bool in)
{
	int p[2], err;
	long ret;

	if (pipe2(p, O_CLOEXEC | O_NONBLOCK) || write(p[1], "p", 1) != 1)
		return -2;
	ret = in ? splice(p[0], NULL, fd, NULL, 1, SPLICE_F_NONBLOCK) :
		   splice(fd, NULL, p[1], NULL, 1, SPLICE_F_NONBLOCK);
	err = errno;
	close(p[0]);
	close(p[1]);
	errno = err;
	return ret;
}

static long from_file(int fd)
{
	off_t off = 0;
	int f = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), err;
	long ret = sendfile(fd, f, &off, 1);

	err = errno;
	close(f);
	errno = err;
	return ret;
}

static long get_opt(int fd, int level, int opt)
{
	int val;
	socklen_t len = sizeof(val);

	return getsockopt(fd, level, opt, &val, &len);
}

static long set_opt(int fd, int level, int opt)
{
	int val = 1;

	return setsockopt(fd, level, opt, &val, sizeof(val));
}

static long control(int fd, unsigned long cmd)
{
	int val;

	return ioctl(fd, cmd, &val);
}

OP(bind_free, world_bind(w, fd, ADDR_NONE))
OP(bind_taken, world_bind(w, fd, ADDR_BOUND))
OP(bind_short, bind(fd, (struct sockaddr *)scratch, 1))
OP(bind_wrong_family, bind(fd, &(struct sockaddr){ .sa_family = AF_INET }, 16))
OP(connect_free, world_connect(w, fd, ADDR_NONE))
OP(connect_listener, world_connect(w, fd, ADDR_LISTENER))
OP(connect_not_listening, world_connect(w, fd, ADDR_BOUND))
OP(connect_short, connect(fd, (struct sockaddr *)scratch, 1))
OP(connect_unspec, connect(fd, &(struct sockaddr){ .sa_family = AF_UNSPEC }, 16))
OP(listen, listen(fd, 3))
OP(listen_negative, listen(fd, -1))
OP(accept, closed(accept(fd, NULL, NULL)))
OP(accept_bad_flags, accept4(fd, NULL, NULL, 0x40))
OP(accept_bad_len, accept(fd, (struct sockaddr *)scratch, NULL))
OP(getsockname, name_call(fd, own_name, 128))
OP(getsockname_negative, name_call(fd, own_name, -1))
OP(getpeername, name_call(fd, peer_name, 128))
OP(getpeername_negative, name_call(fd, peer_name, -1))
OP(send, send(fd, "x", 1, MSG_NOSIGNAL))
OP(send_nothing, send(fd, "x", 0, MSG_NOSIGNAL))
OP(send_null, send(fd, NULL, 1, MSG_NOSIGNAL))
OP(send_to, send_to(w, fd, ADDR_LISTENER, 0))
OP(recv, recv(fd, scratch, 10, 0))
OP(recv_nothing, recv(fd, scratch, 0, 0))
OP(recv_peek, recv(fd, scratch, 10, MSG_PEEK))
OP(recv_null, recv(fd, NULL, 10, 0))
OP(recv_errqueue, recv(fd, scratch, 10, MSG_ERRQUEUE))
OP(read, read(fd, scratch, 10))
OP(read_nothing, read(fd, scratch, 0))
OP(write_nothing, write(fd, scratch, 0))
OP(pread, pread(fd, scratch, 10, 0))
OP(pwrite, pwrite(fd, scratch, 10, 0))
OP(shutdown_rd, shutdown(fd, SHUT_RD))
OP(shutdown_wr, shutdown(fd, SHUT_WR))
OP(shutdown_both, shutdown(fd, SHUT_RDWR))
OP(shutdown_bad, shutdown(fd, 3))
OP(shutdown_negative, shutdown(fd, -1))
OP(poll, io_mask(fd))
OP(fionread, control(fd, FIONREAD))
OP(siocoutq, control(fd, SIOCOUTQ))
OP(ioctl_unknown, control(fd, 0x5555))
OP(ioctl_tty, control(fd, 0x5401))
OP(so_error, io_so_error(fd))
OP(so_acceptconn, io_intopt(fd, SO_ACCEPTCONN))
OP(getopt_unknown, get_opt(fd, SOL_SOCKET, 9999))
OP(getopt_level, get_opt(fd, 6, 1))
OP(setopt_unknown, set_opt(fd, SOL_SOCKET, 9999))
OP(setopt_level, set_opt(fd, 6, 1))
OP(lseek, lseek(fd, 0, SEEK_CUR))
OP(mmap, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0)
OP(ftruncate, ftruncate(fd, 0))
OP(fsync, fsync(fd))
OP(fallocate, fallocate(fd, 0, 0, 1))
OP(getdents, syscall(SYS_getdents64, fd, scratch, sizeof(scratch)))
OP(splice_from, through_pipe(fd, false))
OP(splice_to, through_pipe(fd, true))
OP(sendfile_to, from_file(fd))

struct op {
	const char *name;
	long (*run)(struct world *w, int fd);
};

#define ROW(_name) { #_name, op_##_name }

static const struct op ops[] = {
	ROW(bind_free), ROW(bind_taken), ROW(bind_short),
	ROW(bind_wrong_family), ROW(connect_free), ROW(connect_listener),
	ROW(connect_not_listening), ROW(connect_short), ROW(connect_unspec),
	ROW(listen), ROW(listen_negative), ROW(accept), ROW(accept_bad_flags),
	ROW(accept_bad_len), ROW(getsockname), ROW(getsockname_negative),
	ROW(getpeername), ROW(getpeername_negative), ROW(send),
	ROW(send_nothing), ROW(send_null), ROW(send_to), ROW(recv),
	ROW(recv_nothing), ROW(recv_peek), ROW(recv_null), ROW(recv_errqueue),
	ROW(read), ROW(read_nothing), ROW(write_nothing), ROW(pread),
	ROW(pwrite), ROW(shutdown_rd), ROW(shutdown_wr), ROW(shutdown_both),
	ROW(shutdown_bad), ROW(shutdown_negative), ROW(poll), ROW(fionread),
	ROW(siocoutq), ROW(ioctl_unknown), ROW(ioctl_tty), ROW(so_error),
	ROW(so_acceptconn), ROW(getopt_unknown), ROW(getopt_level),
	ROW(setopt_unknown), ROW(setopt_level), ROW(lseek), ROW(mmap),
	ROW(ftruncate), ROW(fsync), ROW(fallocate), ROW(getdents),
	ROW(splice_from), ROW(splice_to), ROW(sendfile_to),
};

#define OPS	((int)ARRAY_SIZE(ops))

/* All that have a connection which they asked for themselves. */
#define CALLERS	(~(1U << FRESH | 1U << FRESH_SHUT | 1U << BOUND | \
		   1U << LISTENING | 1U << LISTENING_PENDING | \
		   1U << LISTENING_SHUT | 1U << ACCEPTED))

/* The deliberate differences. */
static const struct difference {
	const char *op;
	unsigned int states;
	long want;
} differences[] = {
	/*
	 * A connected client of ours has got an address of its own from the
	 * kernel, so it cannot be bound any more, to whatever name.
	 */
	{ "bind_free", CALLERS, -EINVAL },
	{ "bind_taken", CALLERS, -EINVAL },
};

static bool differs(const char *op, int state, long *want)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(differences); i++) {
		const struct difference *d = &differences[i];

		if (d->states & 1U << state && !strcmp(d->op, op)) {
			*want = d->want;
			return true;
		}
	}
	return false;
}

/* The answer of one family to @op in @state; -errno when it failed. */
static long answer(struct __test_metadata *_metadata, int family, int state,
		   const struct op *op)
{
	struct world w;
	long ret;
	int fd;

	ASSERT_TRUE(world_open(&w, family));
	fd = make_state(&w, state);
	ASSERT_LE(0, fd) {
		TH_LOG("family %d cannot be made %s", family, state_names[state]);
	}
	errno = 0;
	ret = op->run(&w, fd);
	if (ret == -1 && errno)
		ret = -errno;
	close(fd);
	world_close(&w);
	return ret;
}

/* Any failure in a state must leave the socket as it was: look at it again. */
static void failed_op_changes_nothing(struct __test_metadata *_metadata,
				      int state, const struct op *op)
{
	struct world w;
	int fd, mask, inq;

	/* These tell an error once; accept() has the call when it copies. */
	if (state == PEER_RESET || state == LISTENER_GONE ||
	    op->run == op_accept_bad_len)
		return;
	ASSERT_TRUE(world_open(&w, AF_NYM));
	fd = make_state(&w, state);
	ASSERT_LE(0, fd);
	mask = io_mask(fd);
	inq = io_inq(fd);
	if (op->run(&w, fd) == -1) {
		EXPECT_EQ(mask, io_mask(fd)) {
			TH_LOG("%s, %s", state_names[state], op->name);
		}
		EXPECT_EQ(inq, io_inq(fd));
		if (state == CONNECTED || state == PAIR)
			still_works(_metadata, fd, w.peer);
	}
	close(fd);
	world_close(&w);
}

FIXTURE(table)
{
};

FIXTURE_SETUP(table)
{
	SKIP_WITHOUT_NYM();
	memset(scratch, 0, sizeof(scratch));
	/* A splice to a dead peer brings the signal in spite of us. */
	signal(SIGPIPE, SIG_IGN);
}

FIXTURE_TEARDOWN(table)
{
}

static void compare_with_unix(struct __test_metadata *_metadata, int state)
{
	int i;

	for (i = 0; i < OPS; i++) {
		long ours = answer(_metadata, AF_NYM, state, &ops[i]);
		long want;

		if (!differs(ops[i].name, state, &want))
			want = answer(_metadata, AF_UNIX, state, &ops[i]);
		EXPECT_EQ(want, ours) {
			TH_LOG("%s, %s", state_names[state], ops[i].name);
		}
		failed_op_changes_nothing(_metadata, state, &ops[i]);
	}
}

#define STATE_TEST(_name, _state) \
TEST_F(table, _name) { compare_with_unix(_metadata, _state); }

STATE_TEST(fresh, FRESH)
STATE_TEST(bound, BOUND)
STATE_TEST(listening, LISTENING)
STATE_TEST(listening_with_a_call, LISTENING_PENDING)
STATE_TEST(listening_and_shut, LISTENING_SHUT)
STATE_TEST(pending_client, CALLING)
STATE_TEST(connected, CONNECTED)
STATE_TEST(connected_with_data, CONNECTED_DATA)
STATE_TEST(accepted, ACCEPTED)
STATE_TEST(pair, PAIR)
STATE_TEST(shut_for_reading, SHUT_R)
STATE_TEST(shut_for_writing, SHUT_W)
STATE_TEST(shut_both_ways, SHUT_BOTH)
STATE_TEST(peer_shut_for_reading, PEER_SHUT_R)
STATE_TEST(peer_shut_for_writing, PEER_SHUT_W)
STATE_TEST(peer_closed, PEER_CLOSED)
STATE_TEST(peer_reset, PEER_RESET)
STATE_TEST(refused_by_the_listeners_end, LISTENER_GONE)
STATE_TEST(fresh_and_shut, FRESH_SHUT)

/*
 * The kernel may complain of the emulator's clock at any time, and KCSAN of races
 * anywhere: qemu/check-log knows whose they are.
 */
static bool line_is_noise(const char *line)
{
	static bool race;

	if (strstr(line, "=========="))
		race = false;
	else if (strstr(line, "BUG: KCSAN: "))
		race = true;
	return race || strstr(line, "==========") ||
	       strstr(line, "clocksource") || strstr(line, "hrtimer") ||
	       strstr(line, "tsc:");
}

TEST_F(table, the_kernel_log_stayed_silent)
{
	char line[2048];
	ssize_t n;

	if (kmsg_fd < 0)
		SKIP(return, "the kernel log cannot be read");
	while ((n = read(kmsg_fd, line, sizeof(line) - 1)) > 0) {
		line[n] = 0;
		EXPECT_TRUE(line_is_noise(line)) {
			TH_LOG("kernel log: %s", line);
		}
	}
	EXPECT_EQ(EAGAIN, errno);
}

NYM_TEST_MAIN
