// SPDX-License-Identifier: GPL-2.0
/*
 * nym sockets through io_uring: every call that it can make of them, waiting
 * and cancelled requests among them. Raw system calls, no library.
 */
#include "nym_test.h"
#include "nym_io.h"
#include "nym_uring.h"

#include <sys/uio.h>

static bool nothing_yet(struct ring *r)
{
	/* Entering runs what the kernel has put off for this task. */
	syscall(SYS_io_uring_enter, r->fd, 0, 0, IORING_ENTER_GETEVENTS, NULL, 0);
	return *r->cq_head == __atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE);
}

static int run(struct ring *r, struct io_uring_sqe sqe)
{
	static __u64 id = 1000;

	id++;
	return submit(r, &sqe, id) == 1 ? result(r, id) : NO_RESULT;
}

FIXTURE(uring)
{
	struct ring r;
	int l;
	int a;
	int b;
};

FIXTURE_SETUP(uring)
{
	int fd[2];

	SKIP_WITHOUT_NYM();
	if (ring_open(&self->r))
		SKIP(return, "no io_uring here: %s", strerrorname_np(errno));
	self->l = nym_listen("t/uring", 0);
	ASSERT_FD(self->l);
	ASSERT_OK(nym_pair(fd));
	self->a = fd[0];
	self->b = fd[1];
}

FIXTURE_TEARDOWN(uring)
{
	ring_close(&self->r);
	close(self->l);
	close(self->a);
	close(self->b);
}

TEST_F(uring, connect_and_accept)
{
	struct io_uring_sqe accept = { .opcode = IORING_OP_ACCEPT,
				       .fd = self->l };
	struct sockaddr_nym sa;
	socklen_t len = nym_addr(&sa, "t/uring");
	int c = nym_socket(), s;
	char byte;

	/* The accept waits; the connect completes it. */
	ASSERT_EQ(1, submit(&self->r, &accept, 7));
	EXPECT_TRUE(nothing_yet(&self->r));
	ASSERT_OK(nym_call(c, "t/uring"));
	s = result(&self->r, 7);
	ASSERT_LE(0, s);
	EXPECT_EQ(1, send(c, "x", 1, 0));
	EXPECT_EQ(1, recv(s, &byte, 1, 0));
	close(s);
	close(c);

	c = nym_socket();
	EXPECT_EQ(0, run(&self->r, sqe_connect(c, &sa, len)));
	s = run(&self->r, accept);
	ASSERT_LE(0, s);
	EXPECT_EQ(-EISCONN, run(&self->r, sqe_connect(c, &sa, len)));
	close(s);
	close(c);
}

TEST_F(uring, connect_to_nobody)
{
	struct sockaddr_nym sa;
	socklen_t len = nym_addr(&sa, "t/uring/nobody");
	int c = nym_socket();

	EXPECT_EQ(-ECONNREFUSED, run(&self->r, sqe_connect(c, &sa, len)));
	close(c);
}

/* With the backlog full the request stays until somebody accepts. */
TEST_F(uring, connect_waits_for_room_in_the_backlog)
{
	struct sockaddr_nym sa;
	socklen_t len = nym_addr(&sa, "t/uring");
	int first = nym_connect("t/uring"), c = nym_socket(), s;
	struct io_uring_sqe sqe = sqe_connect(c, &sa, len);

	ASSERT_FD(first);
	ASSERT_EQ(1, submit(&self->r, &sqe, 1));
	EXPECT_TRUE(nothing_yet(&self->r));
	s = accept(self->l, NULL, NULL);
	ASSERT_FD(s);
	EXPECT_EQ(0, result(&self->r, 1));
	EXPECT_EQ(POLLOUT | POLLWRNORM | POLLWRBAND, io_mask(c));
	close(s);
	close(first);
	close(c);
}

TEST_F(uring, connect_parked_is_refused_by_the_listeners_end)
{
	struct sockaddr_nym sa;
	socklen_t len = nym_addr(&sa, "t/uring");
	int first = nym_connect("t/uring"), c = nym_socket();
	struct io_uring_sqe sqe = sqe_connect(c, &sa, len);

	ASSERT_FD(first);
	ASSERT_EQ(1, submit(&self->r, &sqe, 1));
	EXPECT_TRUE(nothing_yet(&self->r));
	close(self->l);
	self->l = -1;
	EXPECT_EQ(-ECONNREFUSED, result(&self->r, 1));
	close(first);
	close(c);
}

TEST_F(uring, send_and_recv)
{
	__u8 buf[5000];
	struct io_uring_sqe recv = sqe_rw(IORING_OP_RECV, self->b, buf, 5000);

	EXPECT_EQ(5000, run(&self->r, sqe_rw(IORING_OP_SEND, self->a, io_at(0),
					     5000)));
	EXPECT_EQ(5000, run(&self->r, recv));
	EXPECT_TRUE(io_is(buf, 0, 5000));
	/* Now it has to wait. */
	ASSERT_EQ(1, submit(&self->r, &recv, 3));
	EXPECT_TRUE(nothing_yet(&self->r));
	ASSERT_EQ(100, io_send_all(self->a, 5000, 100));
	EXPECT_EQ(100, result(&self->r, 3));
	EXPECT_TRUE(io_is(buf, 5000, 100));
}

TEST_F(uring, recv_with_waitall)
{
	__u8 buf[1000];
	struct io_uring_sqe recv = sqe_rw(IORING_OP_RECV, self->b, buf, 1000);
	int i;

	recv.msg_flags = MSG_WAITALL;
	ASSERT_EQ(1, submit(&self->r, &recv, 1));
	for (i = 0; i < 10; i++) {
		EXPECT_TRUE(nothing_yet(&self->r));
		ASSERT_EQ(100, io_send_all(self->a, i * 100, 100));
	}
	EXPECT_EQ(1000, result(&self->r, 1));
	EXPECT_TRUE(io_is(buf, 0, 1000));
}

TEST_F(uring, send_waits_for_room)
{
	long limit = io_fill(self->a, 0, 65536), half = limit / 2;
	struct io_uring_sqe sqe = sqe_rw(IORING_OP_SEND, self->a, io_at(limit),
					 1000);

	ASSERT_LT(0, limit);
	ASSERT_EQ(1, submit(&self->r, &sqe, 1));
	EXPECT_TRUE(nothing_yet(&self->r));
	ASSERT_EQ(half, io_recv_all(self->b, 0, half, 4096, NULL));
	EXPECT_EQ(1000, result(&self->r, 1));
	EXPECT_EQ(limit - half + 1000, io_drain(self->b, half));
}

TEST_F(uring, end_of_the_stream_and_epipe)
{
	struct io_uring_sqe send = sqe_rw(IORING_OP_SEND, self->b, "x", 1);
	__u8 buf[4];

	send.msg_flags = MSG_NOSIGNAL;
	close(self->a);
	self->a = -1;
	EXPECT_EQ(0, run(&self->r, sqe_rw(IORING_OP_RECV, self->b, buf, 4)));
	EXPECT_EQ(-EPIPE, run(&self->r, send));
}

TEST_F(uring, sendmsg_and_recvmsg)
{
	__u8 buf[300];
	struct iovec out[2] = {
		{ (void *)io_at(0), 100 }, { (void *)io_at(100), 200 },
	};
	struct iovec in[2] = { { buf, 250 }, { buf + 250, 50 } };
	struct sockaddr_nym from, peer;
	socklen_t peer_len = sizeof(peer);
	struct msghdr send = { .msg_iov = out, .msg_iovlen = 2 };
	struct msghdr recv = { .msg_iov = in, .msg_iovlen = 2,
			       .msg_name = &from, .msg_namelen = sizeof(from) };

	ASSERT_OK(getpeername(self->b, (struct sockaddr *)&peer, &peer_len));
	EXPECT_EQ(300, run(&self->r, sqe_rw(IORING_OP_SENDMSG, self->a, &send,
					    1)));
	EXPECT_EQ(300, run(&self->r, sqe_rw(IORING_OP_RECVMSG, self->b, &recv,
					    1)));
	EXPECT_TRUE(io_is(buf, 0, 300));
	EXPECT_EQ(peer_len, recv.msg_namelen);
	EXPECT_EQ(0, memcmp(&from, &peer, peer_len));
}

TEST_F(uring, read_and_write)
{
	__u8 buf[400];
	struct iovec in = { buf, 400 };

	EXPECT_EQ(200, run(&self->r, sqe_rw(IORING_OP_WRITE, self->a, io_at(0),
					    200)));
	EXPECT_EQ(200, run(&self->r, sqe_rw(IORING_OP_READ, self->b, buf, 400)));
	EXPECT_TRUE(io_is(buf, 0, 200));
	EXPECT_EQ(1, send(self->a, io_at(200), 1, 0));
	EXPECT_EQ(1, run(&self->r, sqe_rw(IORING_OP_READV, self->b, &in, 1)));
	EXPECT_TRUE(io_is(buf, 200, 1));
}

TEST_F(uring, fixed_buffers)
{
	/* Older kernels register anonymous memory only. */
	__u8 *mem = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec iov = { mem, 8192 };
	struct io_uring_sqe out, in;

	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_OK(syscall(SYS_io_uring_register, self->r.fd,
			  IORING_REGISTER_BUFFERS, &iov, 1));
	memcpy(mem, io_at(0), 4000);
	out = sqe_rw(IORING_OP_WRITE_FIXED, self->a, mem, 4000);
	in = sqe_rw(IORING_OP_READ_FIXED, self->b, mem + 4096, 4096);
	EXPECT_EQ(4000, run(&self->r, out));
	EXPECT_EQ(4000, run(&self->r, in));
	EXPECT_TRUE(io_is(mem + 4096, 0, 4000));
	munmap(mem, 8192);
}

TEST_F(uring, poll_is_told_of_data)
{
	struct io_uring_sqe sqe = sqe_poll(self->b, POLLIN);

	EXPECT_EQ(POLLOUT, run(&self->r, sqe_poll(self->b, POLLIN | POLLOUT)));
	ASSERT_EQ(1, submit(&self->r, &sqe, 1));
	EXPECT_TRUE(nothing_yet(&self->r));
	ASSERT_EQ(1, send(self->a, "x", 1, 0));
	EXPECT_EQ(POLLIN, result(&self->r, 1));
}

TEST_F(uring, poll_is_told_of_the_end)
{
	struct io_uring_sqe sqe = sqe_poll(self->b, POLLIN | POLLRDHUP);

	ASSERT_EQ(1, submit(&self->r, &sqe, 1));
	EXPECT_TRUE(nothing_yet(&self->r));
	close(self->a);
	self->a = -1;
	EXPECT_EQ(POLLIN | POLLRDHUP | POLLHUP, result(&self->r, 1));
}

/* Both results of a cancelled request, in whichever order they come. */
static void expect_cancelled(struct __test_metadata *_metadata, struct ring *r,
			     __u64 id)
{
	struct io_uring_sqe cancel = sqe_cancel(id);
	int i, res, of_request = NO_RESULT, of_cancel = NO_RESULT;
	__u64 got;

	ASSERT_EQ(1, submit(r, &cancel, id + 1));
	for (i = 0; i < 2; i++) {
		while (!have_result(r, &got, &res))
			ASSERT_LE(0, syscall(SYS_io_uring_enter, r->fd, 0, 1,
					     IORING_ENTER_GETEVENTS, NULL, 0));
		if (got == id)
			of_request = res;
		else if (got == id + 1)
			of_cancel = res;
	}
	EXPECT_EQ(0, of_cancel);
	EXPECT_EQ(-ECANCELED, of_request);
}

TEST_F(uring, a_waiting_recv_can_be_cancelled)
{
	__u8 buf[4];
	struct io_uring_sqe recv = sqe_rw(IORING_OP_RECV, self->b, buf, 4);

	ASSERT_EQ(1, submit(&self->r, &recv, 1));
	EXPECT_TRUE(nothing_yet(&self->r));
	expect_cancelled(_metadata, &self->r, 1);
	/* Later data is for others. */
	ASSERT_EQ(3, send(self->a, "abc", 3, 0));
	EXPECT_EQ(3, io_inq(self->b));
	EXPECT_EQ(3, run(&self->r, recv));
}

TEST_F(uring, a_waiting_accept_can_be_cancelled)
{
	struct io_uring_sqe accept = { .opcode = IORING_OP_ACCEPT,
				       .fd = self->l };
	int c, s;

	ASSERT_EQ(1, submit(&self->r, &accept, 1));
	EXPECT_TRUE(nothing_yet(&self->r));
	expect_cancelled(_metadata, &self->r, 1);
	c = nym_connect("t/uring");
	ASSERT_FD(c);
	s = run(&self->r, accept);
	EXPECT_LE(0, s);
	close(c);
	close(s);
}

TEST_F(uring, a_waiting_request_keeps_the_socket_until_it_ends)
{
	__u8 buf[4];
	struct io_uring_sqe recv = sqe_rw(IORING_OP_RECV, self->b, buf, 4);

	ASSERT_EQ(1, submit(&self->r, &recv, 1));
	close(self->b);
	self->b = -1;
	ASSERT_EQ(2, send(self->a, "ab", 2, 0));
	EXPECT_EQ(2, result(&self->r, 1));
	/* Now it is closed. */
	EXPECT_EQ(POLLHUP, io_poll_wait(self->a, 0));
}

NYM_TEST_MAIN
