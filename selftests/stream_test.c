// SPDX-License-Identifier: GPL-2.0
/*
 * The bytes of a connection: every way to send and receive them, their limits,
 * the flags, shutdown and close, signals, and sockets shared by processes.
 */
#include "nym_test.h"
#include "nym_io.h"

#include <sys/uio.h>
#include <sys/wait.h>

#define PIECE	300

FIXTURE(stream)
{
	int a;	/* the client, or one end of a pair */
	int b;	/* the accepted socket, or the other end */
};

FIXTURE_VARIANT(stream)
{
	bool pair;
};

FIXTURE_VARIANT_ADD(stream, connected) { .pair = false };
FIXTURE_VARIANT_ADD(stream, socketpair) { .pair = true };

FIXTURE_SETUP(stream)
{
	int fd[2], l;

	SKIP_WITHOUT_NYM();
	if (variant->pair) {
		ASSERT_EQ(0, nym_pair(fd));
		self->a = fd[0];
		self->b = fd[1];
		return;
	}
	l = nym_listen("t/stream", 1);
	ASSERT_LE(0, l);
	self->a = nym_connect("t/stream");
	ASSERT_LE(0, self->a);
	self->b = accept(l, NULL, NULL);
	ASSERT_LE(0, self->b);
	close(l);
}

FIXTURE_TEARDOWN(stream)
{
	close(self->a);
	close(self->b);
}

/* --- Every call that carries bytes --- */

static ssize_t by_send(int fd, void *buf, size_t len)
{
	return send(fd, buf, len, 0);
}

static ssize_t by_sendto(int fd, void *buf, size_t len)
{
	return sendto(fd, buf, len, 0, NULL, 0);
}

/* Three parts, an empty one among them, as writev() and sendmsg() take them. */
static void in_parts(struct iovec iov[4], __u8 *buf, size_t len)
{
	iov[0] = (struct iovec){ buf, 1 };
	iov[1] = (struct iovec){ buf + 1, 0 };
	iov[2] = (struct iovec){ buf + 1, len / 2 };
	iov[3] = (struct iovec){ buf + 1 + len / 2, len - 1 - len / 2 };
}

static ssize_t by_sendmsg(int fd, void *buf, size_t len)
{
	struct iovec iov[4];
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 4 };

	in_parts(iov, buf, len);
	return sendmsg(fd, &m, 0);
}

static ssize_t by_sendmmsg(int fd, void *buf, size_t len)
{
	struct iovec iov[4];
	struct mmsghdr m[2] = {
		{ .msg_hdr = { .msg_iov = iov, .msg_iovlen = 2 } },
		{ .msg_hdr = { .msg_iov = iov + 2, .msg_iovlen = 2 } },
	};

	in_parts(iov, buf, len);
	if (sendmmsg(fd, m, 2, 0) != 2)
		return -1;
	return m[0].msg_len + m[1].msg_len;
}

static ssize_t by_writev(int fd, void *buf, size_t len)
{
	struct iovec iov[4];

	in_parts(iov, buf, len);
	return writev(fd, iov, 4);
}

static ssize_t by_write(int fd, void *buf, size_t len)
{
	return write(fd, buf, len);
}

static ssize_t by_recv(int fd, void *buf, size_t len)
{
	return recv(fd, buf, len, 0);
}

static ssize_t by_recvfrom(int fd, void *buf, size_t len)
{
	return recvfrom(fd, buf, len, 0, NULL, NULL);
}

static ssize_t by_recvmsg(int fd, void *buf, size_t len)
{
	struct iovec iov[4];
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 4, .msg_flags = -1 };
	ssize_t n;

	in_parts(iov, buf, len);
	n = recvmsg(fd, &m, 0);
	return m.msg_flags ? -1 : n;
}

static ssize_t by_recvmmsg(int fd, void *buf, size_t len)
{
	struct iovec iov[4];
	struct mmsghdr m[2] = {
		{ .msg_hdr = { .msg_iov = iov, .msg_iovlen = 2 } },
		{ .msg_hdr = { .msg_iov = iov + 2, .msg_iovlen = 2 } },
	};

	in_parts(iov, buf, len);
	if (recvmmsg(fd, m, 2, 0, NULL) != 2)
		return -1;
	return m[0].msg_len + m[1].msg_len;
}

static ssize_t by_readv(int fd, void *buf, size_t len)
{
	struct iovec iov[4];

	in_parts(iov, buf, len);
	return readv(fd, iov, 4);
}

static ssize_t by_read(int fd, void *buf, size_t len)
{
	return read(fd, buf, len);
}

TEST_F(stream, every_call_carries_the_bytes)
{
	static ssize_t (*const out[])(int fd, void *buf, size_t len) = {
		by_send, by_sendto, by_sendmsg, by_sendmmsg, by_write, by_writev,
	};
	static ssize_t (*const in[])(int fd, void *buf, size_t len) = {
		by_recv, by_recvfrom, by_recvmsg, by_recvmmsg, by_read, by_readv,
	};
	__u8 buf[PIECE];
	size_t i, j, pos = 0;

	for (i = 0; i < 6; i++) {
		for (j = 0; j < 6; j++, pos += PIECE) {
			ASSERT_EQ(PIECE, out[i](self->a, (void *)io_at(pos), PIECE));
			memset(buf, 0, PIECE);
			ASSERT_EQ(PIECE, in[j](self->b, buf, PIECE));
			ASSERT_TRUE(io_is(buf, pos, PIECE));
		}
	}
	EXPECT_EQ(0, io_inq(self->b));
}

TEST_F(stream, both_directions_are_apart)
{
	__u8 buf[4];

	ASSERT_EQ(2, send(self->a, "ab", 2, 0));
	ASSERT_EQ(3, send(self->b, "xyz", 3, 0));
	EXPECT_EQ(3, recv(self->a, buf, 4, 0));
	EXPECT_EQ(0, memcmp(buf, "xyz", 3));
	EXPECT_EQ(2, recv(self->b, buf, 4, 0));
	EXPECT_EQ(0, memcmp(buf, "ab", 2));
}

TEST_F(stream, one_read_takes_several_writes)
{
	__u8 buf[100];
	int i;

	for (i = 0; i < 10; i++)
		ASSERT_EQ(7, send(self->a, io_at(i * 7), 7, 0));
	EXPECT_EQ(65, recv(self->b, buf, 65, 0));
	EXPECT_TRUE(io_is(buf, 0, 65));
	EXPECT_EQ(5, recv(self->b, buf, 100, 0));
	EXPECT_TRUE(io_is(buf, 65, 5));
}

/*
 * In the chunk that a large write has left, small ones come to lie everywhere: at
 * the ends of its pages, across them and across its own end.
 */
TEST_F(stream, small_writes_go_round_in_a_large_chunk)
{
	static const long sizes[] = { 1, 63, 64, 1000, 2049, 4095, 4096, 5000 };
	long pos = 32768, n;
	size_t i;

	ASSERT_EQ(pos, io_send_all(self->a, 0, pos));
	ASSERT_EQ(pos, io_recv_all(self->b, 0, pos, pos, NULL));
	for (i = 0; i < 300; i++, pos += n) {
		n = sizes[i % ARRAY_SIZE(sizes)] + (long)i / 16;
		ASSERT_EQ(n, send(self->a, io_at(pos), n, 0));
		ASSERT_EQ(n, io_recv_all(self->b, pos, n, n, NULL));
	}
}

TEST_F(stream, recvmmsg_waitforone_takes_what_is_there)
{
	__u8 buf[2][8];
	struct iovec iov[2] = { { buf[0], 8 }, { buf[1], 8 } };
	struct mmsghdr m[2] = {
		{ .msg_hdr = { .msg_iov = &iov[0], .msg_iovlen = 1 } },
		{ .msg_hdr = { .msg_iov = &iov[1], .msg_iovlen = 1 } },
	};

	ASSERT_EQ(6, send(self->a, "abcdef", 6, 0));
	EXPECT_EQ(1, recvmmsg(self->b, m, 2, MSG_WAITFORONE, NULL));
	EXPECT_EQ(6U, m[0].msg_len);
}

TEST_F(stream, sendmmsg_gives_the_count_before_the_error)
{
	struct iovec iov[2] = { { "ok", 2 }, { NULL, 2 } };
	struct mmsghdr m[2] = {
		{ .msg_hdr = { .msg_iov = &iov[0], .msg_iovlen = 1 } },
		{ .msg_hdr = { .msg_iov = &iov[1], .msg_iovlen = 1 } },
	};

	EXPECT_EQ(1, sendmmsg(self->a, m, 2, 0));
	EXPECT_EQ(2, io_inq(self->b));
}

/* --- Not waiting --- */

TEST_F(stream, an_empty_stream_says_eagain)
{
	__u8 buf[4];

	EXPECT_ERRNO(EAGAIN, recv(self->b, buf, 4, MSG_DONTWAIT));
	EXPECT_ERRNO(EAGAIN, recv(self->b, buf, 4, MSG_DONTWAIT | MSG_PEEK));
	EXPECT_ERRNO(EAGAIN, recv(self->b, buf, 4, MSG_DONTWAIT | MSG_WAITALL));
	ASSERT_EQ(0, fcntl(self->b, F_SETFL, O_NONBLOCK));
	EXPECT_ERRNO(EAGAIN, read(self->b, buf, 4));
	EXPECT_ERRNO(EAGAIN, recv(self->b, buf, 4, MSG_WAITALL));
}

/* SO_SNDBUF is the limit in bytes of data, whatever the size of the pieces. */
static void fill_and_drain(struct __test_metadata *_metadata, int a, int b,
			   int sndbuf, size_t piece)
{
	long limit, pos = 0;
	int round;

	ASSERT_EQ(0, io_set_int(a, SO_SNDBUF, sndbuf));
	limit = io_sndbuf(a);
	for (round = 0; round < 2; round++, pos += limit) {
		EXPECT_EQ(limit, io_fill(a, pos, piece)) {
			TH_LOG("SO_SNDBUF %ld in pieces of %zu", limit, piece);
		}
		EXPECT_EQ(limit, io_outq(a));
		EXPECT_EQ(limit, io_inq(b));
		EXPECT_ERRNO(EAGAIN, send(a, "x", 1, MSG_DONTWAIT));
		EXPECT_EQ(limit, io_drain(b, pos));
		EXPECT_EQ(0, io_outq(a));
		EXPECT_EQ(0, io_inq(b));
	}
}

TEST_F(stream, nonblocking_send_takes_exactly_so_sndbuf)
{
	static const int bufs[] = { 1, 4096, 8192, 50000, 106496 };
	static const size_t pieces[] = { 100, 1000, 4096, 4097, 65536, 1 << 20 };
	size_t i, j;

	for (i = 0; i < 5; i++)
		for (j = 0; j < 6; j++)
			fill_and_drain(_metadata, self->a, self->b, bufs[i],
				       pieces[j]);
	/* Each byte counts as one, in the smallest buffer and one by one too. */
	fill_and_drain(_metadata, self->a, self->b, 1, 1);
}

TEST_F(stream, a_full_direction_does_not_stop_the_other)
{
	ASSERT_LT(0, io_fill(self->a, 0, 65536));
	EXPECT_EQ(10, send(self->b, io_at(0), 10, MSG_DONTWAIT));
	EXPECT_EQ(10, io_drain(self->a, 0));
}

TEST_F(stream, room_is_used_as_soon_as_the_reader_made_it)
{
	__u8 buf[1000];
	long limit;

	limit = io_fill(self->a, 0, 65536);
	ASSERT_EQ(io_sndbuf(self->a), limit);
	ASSERT_EQ(1000, recv(self->b, buf, 1000, 0));
	EXPECT_EQ(1000, send(self->a, io_at(limit), 4000, MSG_DONTWAIT));
	EXPECT_ERRNO(EAGAIN, send(self->a, "x", 1, MSG_DONTWAIT));
	EXPECT_EQ(limit, io_drain(self->b, 1000));
}

TEST_F(stream, a_smaller_sndbuf_stops_new_bytes_only)
{
	long limit = io_fill(self->a, 0, 4096);
	__u8 buf[4096];
	long small, got = 0;

	ASSERT_LT(0, limit);
	ASSERT_EQ(0, io_set_int(self->a, SO_SNDBUF, 4096));
	small = io_sndbuf(self->a);
	ASSERT_GT(limit, small);
	EXPECT_ERRNO(EAGAIN, send(self->a, "x", 1, MSG_DONTWAIT));
	while (limit - got >= small) {
		ASSERT_ERRNO(EAGAIN, send(self->a, "x", 1, MSG_DONTWAIT));
		ASSERT_EQ(4096, recv(self->b, buf, 4096, 0));
		ASSERT_TRUE(io_is(buf, got, 4096));
		got += 4096;
	}
	EXPECT_EQ(1, send(self->a, io_at(limit), 1, MSG_DONTWAIT));
	EXPECT_EQ(limit + 1 - got, io_drain(self->b, got));
}

/* --- Zero bytes --- */

TEST_F(stream, sending_nothing_sends_nothing)
{
	EXPECT_EQ(0, send(self->a, "", 0, 0));
	EXPECT_EQ(0, send(self->a, NULL, 0, 0));
	EXPECT_EQ(0, write(self->a, "", 0));
	EXPECT_EQ(0, io_inq(self->b));
	ASSERT_EQ(0, shutdown(self->a, SHUT_WR));
	EXPECT_ERRNO(EPIPE, send(self->a, "", 0, MSG_NOSIGNAL));
}

TEST_F(stream, receiving_nothing_takes_nothing)
{
	__u8 buf[4];

	EXPECT_ERRNO(EAGAIN, recv(self->b, buf, 0, MSG_DONTWAIT));
	EXPECT_EQ(0, read(self->b, buf, 0));
	ASSERT_EQ(4, send(self->a, "abcd", 4, 0));
	EXPECT_EQ(0, recv(self->b, buf, 0, 0));
	EXPECT_EQ(0, recv(self->b, NULL, 0, MSG_PEEK));
	EXPECT_EQ(4, io_inq(self->b));
}

TEST_F(stream, a_zero_length_recv_waits_for_data)
{
	struct io_thread t = { .fd = self->b };

	io_start(&t, io_do_recv);
	EXPECT_TRUE(io_wait_blocked(&t));
	ASSERT_EQ(1, send(self->a, "x", 1, 0));
	EXPECT_EQ(0, io_join(&t));
	EXPECT_EQ(1, io_inq(self->b));
}

/* --- MSG_PEEK --- */

TEST_F(stream, peek_leaves_the_data)
{
	__u8 buf[100];
	int i;

	ASSERT_EQ(60, send(self->a, io_at(0), 60, 0));
	for (i = 1; i <= 60; i++) {
		ASSERT_EQ(i, recv(self->b, buf, i, MSG_PEEK));
		ASSERT_TRUE(io_is(buf, 0, i));
	}
	EXPECT_EQ(60, io_inq(self->b));
	EXPECT_EQ(60, io_drain(self->b, 0));
}

TEST_F(stream, peek_looks_across_writes_and_chunks)
{
	__u8 buf[20000];
	long pos = 0;
	int i;

	for (i = 0; i < 20; i++)
		ASSERT_EQ(777, send(self->a, io_at(i * 777), 777, 0));
	EXPECT_EQ(15540, recv(self->b, buf, sizeof(buf), MSG_PEEK));
	EXPECT_TRUE(io_is(buf, 0, 15540));
	/* The same from the middle of the first chunk and of later ones. */
	while (pos < 15540) {
		long left = 15540 - pos;
		long step = left < 999 ? left : 999;

		ASSERT_EQ(left, recv(self->b, buf, sizeof(buf), MSG_PEEK));
		ASSERT_TRUE(io_is(buf, pos, left));
		ASSERT_EQ(step, recv(self->b, buf, step, 0));
		ASSERT_TRUE(io_is(buf, pos, step));
		pos += step;
	}
	EXPECT_EQ(0, io_inq(self->b));
}

TEST_F(stream, peek_of_a_full_buffer_makes_no_room)
{
	__u8 buf[100];
	long limit = io_fill(self->a, 0, 4096);

	EXPECT_EQ(100, recv(self->b, buf, 100, MSG_PEEK));
	EXPECT_ERRNO(EAGAIN, send(self->a, "x", 1, MSG_DONTWAIT));
	EXPECT_EQ(limit, io_drain(self->b, 0));
}

TEST_F(stream, peek_with_waitall_does_not_wait_for_more)
{
	__u8 buf[100];

	ASSERT_EQ(60, send(self->a, io_at(0), 60, 0));
	EXPECT_EQ(60, recv(self->b, buf, 100, MSG_PEEK | MSG_WAITALL));
	EXPECT_EQ(60, io_inq(self->b));
}

TEST_F(stream, peek_waits_for_the_first_byte)
{
	__u8 buf[10];
	struct io_thread t = { .fd = self->b, .buf = buf, .len = 10,
			       .flags = MSG_PEEK };

	io_start(&t, io_do_recv);
	EXPECT_TRUE(io_wait_blocked(&t));
	ASSERT_EQ(3, send(self->a, "abc", 3, 0));
	EXPECT_EQ(3, io_join(&t));
	EXPECT_EQ(3, io_inq(self->b));
}

TEST_F(stream, peek_at_the_end_gives_zero)
{
	__u8 buf[10];

	ASSERT_EQ(2, send(self->a, "ab", 2, 0));
	ASSERT_EQ(0, shutdown(self->a, SHUT_WR));
	EXPECT_EQ(2, recv(self->b, buf, 10, MSG_PEEK | MSG_WAITALL));
	EXPECT_EQ(2, recv(self->b, buf, 10, 0));
	EXPECT_EQ(0, recv(self->b, buf, 10, MSG_PEEK));
}

/* --- MSG_WAITALL, SO_RCVLOWAT, time limits --- */

TEST_F(stream, waitall_collects_everything)
{
	long total = 100000, pos;
	struct io_thread t = { .fd = self->b, .buf = malloc(total),
			       .len = total, .flags = MSG_WAITALL };

	io_start(&t, io_do_recv);
	EXPECT_TRUE(io_wait_blocked(&t));
	for (pos = 0; pos < total; pos += 10000) {
		ASSERT_EQ(10000, io_send_all(self->a, pos, 10000));
		if (pos == 50000)
			EXPECT_TRUE(io_wait_blocked(&t));
	}
	EXPECT_EQ(total, io_join(&t));
	EXPECT_TRUE(io_is(t.buf, 0, total));
	free(t.buf);
}

TEST_F(stream, waitall_ends_at_the_end_of_the_stream)
{
	__u8 buf[100];
	struct io_thread t = { .fd = self->b, .buf = buf, .len = 100,
			       .flags = MSG_WAITALL };

	ASSERT_EQ(30, send(self->a, io_at(0), 30, 0));
	io_start(&t, io_do_recv);
	EXPECT_TRUE(io_wait_blocked(&t));
	ASSERT_EQ(0, shutdown(self->a, SHUT_WR));
	EXPECT_EQ(30, io_join(&t));
	EXPECT_TRUE(io_is(buf, 0, 30));
	EXPECT_EQ(0, recv(self->b, buf, 100, MSG_WAITALL));
}

TEST_F(stream, waitall_gives_the_part_before_a_reset)
{
	__u8 buf[100];
	struct io_thread t = { .fd = self->b, .buf = buf, .len = 100,
			       .flags = MSG_WAITALL };

	ASSERT_EQ(5, send(self->b, "never", 5, 0));
	ASSERT_EQ(30, send(self->a, io_at(0), 30, 0));
	io_start(&t, io_do_recv);
	EXPECT_TRUE(io_wait_blocked(&t));
	close(self->a);
	self->a = -1;
	EXPECT_EQ(30, io_join(&t));
	/* As on AF_UNIX the short count has stood for the error. */
	EXPECT_EQ(0, recv(self->b, buf, 100, 0));
}

TEST_F(stream, waitall_does_not_wait_when_told_not_to)
{
	__u8 buf[100];

	ASSERT_EQ(30, send(self->a, io_at(0), 30, 0));
	EXPECT_EQ(30, recv(self->b, buf, 100, MSG_WAITALL | MSG_DONTWAIT));
}

TEST_F(stream, rcvlowat_holds_a_reader_back)
{
	__u8 buf[300];
	struct io_thread t = { .fd = self->b, .buf = buf, .len = 300 };

	ASSERT_EQ(0, io_set_int(self->b, SO_RCVLOWAT, 100));
	ASSERT_EQ(99, send(self->a, io_at(0), 99, 0));
	io_start(&t, io_do_recv);
	EXPECT_TRUE(io_wait_blocked(&t));
	ASSERT_EQ(2, send(self->a, io_at(99), 2, 0));
	EXPECT_EQ(101, io_join(&t));
	EXPECT_TRUE(io_is(buf, 0, 101));
	/* A smaller request is the smaller mark; the end ends every wait. */
	ASSERT_EQ(50, send(self->a, io_at(101), 50, 0));
	EXPECT_EQ(20, recv(self->b, buf, 20, 0));
	ASSERT_EQ(0, shutdown(self->a, SHUT_WR));
	EXPECT_EQ(30, recv(self->b, buf, 300, 0));
	EXPECT_EQ(0, recv(self->b, buf, 300, 0));
}

TEST_F(stream, rcvlowat_does_not_bind_a_caller_that_does_not_wait)
{
	__u8 buf[300];

	ASSERT_EQ(0, io_set_int(self->b, SO_RCVLOWAT, 100));
	ASSERT_EQ(50, send(self->a, io_at(0), 50, 0));
	EXPECT_EQ(50, recv(self->b, buf, 300, MSG_DONTWAIT));
}

/*
 * Time limits count ticks, of which an emulator may catch up several at once:
 * half of the time must have passed at least.
 */
#define TIME_LIMIT	100

TEST_F(stream, rcvtimeo_bounds_a_read)
{
	__u8 buf[100];
	long start = io_now_ms();

	ASSERT_EQ(0, io_set_timeout(self->b, SO_RCVTIMEO, TIME_LIMIT));
	EXPECT_ERRNO(EAGAIN, recv(self->b, buf, 100, 0));
	EXPECT_LE(TIME_LIMIT / 2, io_now_ms() - start);
	ASSERT_EQ(30, send(self->a, io_at(0), 30, 0));
	EXPECT_EQ(30, recv(self->b, buf, 100, MSG_WAITALL));
	EXPECT_ERRNO(EAGAIN, read(self->b, buf, 1));
}

TEST_F(stream, sndtimeo_bounds_a_write)
{
	long limit = io_sndbuf(self->a);
	long start;

	ASSERT_EQ(0, io_set_timeout(self->a, SO_SNDTIMEO, TIME_LIMIT));
	start = io_now_ms();
	/* What went through before the timeout is the result. */
	EXPECT_EQ(limit, send(self->a, io_at(0), 1 << 20, 0));
	EXPECT_LE(TIME_LIMIT / 2, io_now_ms() - start);
	start = io_now_ms();
	EXPECT_ERRNO(EAGAIN, send(self->a, io_at(limit), 1, 0));
	EXPECT_LE(TIME_LIMIT / 2, io_now_ms() - start);
	EXPECT_ERRNO(EAGAIN, write(self->a, "x", 1));
	EXPECT_EQ(limit, io_drain(self->b, 0));
}

/* --- The other flags --- */

TEST_F(stream, out_of_band_data_does_not_exist)
{
	__u8 buf[4];
	int mark = -1;

	EXPECT_ERRNO(EOPNOTSUPP, send(self->a, "x", 1, MSG_OOB));
	EXPECT_ERRNO(EOPNOTSUPP, send(self->a, "x", 0, MSG_OOB));
	EXPECT_EQ(0, io_inq(self->b));
	ASSERT_EQ(1, send(self->a, "y", 1, 0));
	EXPECT_ERRNO(EOPNOTSUPP, recv(self->b, buf, 4, MSG_OOB));
	EXPECT_EQ(1, io_inq(self->b));
	EXPECT_EQ(-1, ioctl(self->b, SIOCATMARK, &mark));
}

TEST_F(stream, flags_of_other_families_change_nothing)
{
	__u8 buf[100];
	struct iovec iov = { buf, 10 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	ASSERT_EQ(60, send(self->a, io_at(0), 60,
			   MSG_MORE | MSG_EOR | MSG_DONTROUTE | MSG_CONFIRM));
	EXPECT_EQ(60, io_inq(self->b));
	/* A stream has nothing to truncate: the count is that of the bytes. */
	EXPECT_EQ(10, recv(self->b, buf, 10, MSG_TRUNC));
	EXPECT_TRUE(io_is(buf, 0, 10));
	EXPECT_EQ(10, recvmsg(self->b, &m, MSG_TRUNC));
	EXPECT_EQ(0, m.msg_flags);
	EXPECT_TRUE(io_is(buf, 10, 10));
	EXPECT_EQ(40, io_drain(self->b, 20));
}

/* --- SIGPIPE --- */

static volatile sig_atomic_t sigpipes;

static void count_sigpipe(int sig)
{
	sigpipes++;
}

TEST_F(stream, epipe_comes_with_sigpipe_unless_refused)
{
	struct iovec iov = { "x", 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	signal(SIGPIPE, count_sigpipe);
	close(self->b);
	self->b = -1;
	EXPECT_ERRNO(EPIPE, send(self->a, "x", 1, 0));
	EXPECT_EQ(1, sigpipes);
	EXPECT_ERRNO(EPIPE, write(self->a, "x", 1));
	EXPECT_EQ(2, sigpipes);
	EXPECT_ERRNO(EPIPE, sendmsg(self->a, &m, 0));
	EXPECT_EQ(3, sigpipes);
	EXPECT_ERRNO(EPIPE, send(self->a, "x", 1, MSG_NOSIGNAL));
	EXPECT_ERRNO(EPIPE, sendmsg(self->a, &m, MSG_NOSIGNAL));
	EXPECT_EQ(3, sigpipes);
}

TEST_F(stream, sigpipe_comes_after_own_shutdown_too)
{
	signal(SIGPIPE, count_sigpipe);
	ASSERT_EQ(0, shutdown(self->a, SHUT_WR));
	EXPECT_ERRNO(EPIPE, send(self->a, "x", 1, 0));
	EXPECT_EQ(1, sigpipes);
}

TEST_F(stream, a_partial_write_gives_its_count_and_no_sigpipe)
{
	struct io_thread t = { .fd = self->a, .len = 1 << 20 };
	long limit = io_sndbuf(self->a);

	signal(SIGPIPE, count_sigpipe);
	io_start(&t, io_do_send);
	ASSERT_TRUE(io_wait_blocked(&t));
	ASSERT_EQ(0, shutdown(self->b, SHUT_RD));
	EXPECT_EQ(limit, io_join(&t));
	EXPECT_EQ(0, sigpipes);
	EXPECT_EQ(limit, io_drain(self->b, 0));
}

/* --- Shutdown --- */

#define OUT_NOW	(POLLOUT | POLLWRNORM | POLLWRBAND)
#define IN_NOW	(POLLIN | POLLRDNORM)
#define RDHUP	0x2000

TEST_F(stream, shutdown_wr_is_the_end_of_the_stream_there)
{
	__u8 buf[4];

	ASSERT_EQ(2, send(self->a, "ab", 2, 0));
	ASSERT_EQ(0, shutdown(self->a, SHUT_WR));
	EXPECT_EQ(IN_NOW | OUT_NOW | RDHUP, io_mask(self->b));
	EXPECT_EQ(OUT_NOW, io_mask(self->a));
	EXPECT_EQ(2, recv(self->b, buf, 4, 0));
	EXPECT_EQ(0, recv(self->b, buf, 4, 0));
	EXPECT_EQ(0, recv(self->b, buf, 4, 0));
	EXPECT_ERRNO(EPIPE, send(self->a, "x", 1, MSG_NOSIGNAL));
	/* The other direction lives on. */
	EXPECT_EQ(3, send(self->b, "xyz", 3, 0));
	EXPECT_EQ(3, recv(self->a, buf, 4, 0));
}

TEST_F(stream, shutdown_rd_stops_the_peers_writes_only)
{
	__u8 buf[4];

	ASSERT_EQ(2, send(self->a, "ab", 2, 0));
	ASSERT_EQ(0, shutdown(self->b, SHUT_RD));
	EXPECT_ERRNO(EPIPE, send(self->a, "x", 1, MSG_NOSIGNAL));
	EXPECT_EQ(IN_NOW | OUT_NOW | RDHUP, io_mask(self->b));
	EXPECT_EQ(OUT_NOW, io_mask(self->a));
	EXPECT_EQ(2, recv(self->b, buf, 4, 0));
	EXPECT_EQ(0, recv(self->b, buf, 4, 0));
	EXPECT_EQ(1, send(self->b, "x", 1, 0));
	EXPECT_EQ(1, recv(self->a, buf, 4, 0));
}

TEST_F(stream, shutdown_both_keeps_queued_data_readable)
{
	__u8 buf[4];

	ASSERT_EQ(1, send(self->a, "1", 1, 0));
	ASSERT_EQ(2, send(self->b, "22", 2, 0));
	ASSERT_EQ(0, shutdown(self->a, SHUT_RDWR));
	EXPECT_EQ(IN_NOW | OUT_NOW | RDHUP | POLLHUP, io_mask(self->a));
	EXPECT_EQ(IN_NOW | OUT_NOW | RDHUP | POLLHUP, io_mask(self->b));
	EXPECT_EQ(2, recv(self->a, buf, 4, 0));
	EXPECT_EQ(0, recv(self->a, buf, 4, 0));
	EXPECT_EQ(1, recv(self->b, buf, 4, 0));
	EXPECT_EQ(0, recv(self->b, buf, 4, 0));
	EXPECT_ERRNO(EPIPE, send(self->a, "x", 1, MSG_NOSIGNAL));
	EXPECT_ERRNO(EPIPE, send(self->b, "x", 1, MSG_NOSIGNAL));
	EXPECT_EQ(0, io_so_error(self->a));
	EXPECT_EQ(0, io_so_error(self->b));
}

TEST_F(stream, shutdown_refuses_other_values)
{
	EXPECT_ERRNO(EINVAL, shutdown(self->a, 3));
	EXPECT_ERRNO(EINVAL, shutdown(self->a, -1));
	EXPECT_EQ(OUT_NOW, io_mask(self->a));
	EXPECT_EQ(0, shutdown(self->a, SHUT_RDWR));
	EXPECT_EQ(0, shutdown(self->a, SHUT_RDWR));
	EXPECT_EQ(0, shutdown(self->b, SHUT_WR));
}

/* A reader asleep on @b; @how is what happens to which end. */
static void reader_woken(struct __test_metadata *_metadata, int fd, int shut_fd,
			 int how)
{
	__u8 buf[4];
	struct io_thread t = { .fd = fd, .buf = buf, .len = 4 };

	io_start(&t, io_do_recv);
	EXPECT_TRUE(io_wait_blocked(&t));
	ASSERT_EQ(0, shutdown(shut_fd, how));
	EXPECT_EQ(0, io_join(&t));
}

TEST_F(stream, a_blocked_reader_wakes_when_its_own_side_is_shut)
{
	reader_woken(_metadata, self->b, self->b, SHUT_RD);
}

TEST_F(stream, a_blocked_reader_wakes_when_the_peer_stops_writing)
{
	reader_woken(_metadata, self->b, self->a, SHUT_WR);
}

TEST_F(stream, a_blocked_reader_wakes_when_both_ways_are_shut)
{
	reader_woken(_metadata, self->b, self->a, SHUT_RDWR);
}

static long do_send_byte(struct io_thread *t)
{
	return send(t->fd, "x", 1, MSG_NOSIGNAL);
}

/* A writer asleep on a full @fd. */
static void writer_woken(struct __test_metadata *_metadata, int fd, int shut_fd,
			 int how)
{
	struct io_thread t = { .fd = fd };

	ASSERT_LT(0, io_fill(fd, 0, 65536));
	io_start(&t, do_send_byte);
	ASSERT_TRUE(io_wait_blocked(&t));
	ASSERT_EQ(0, shutdown(shut_fd, how));
	EXPECT_EQ(-1, io_join(&t));
	EXPECT_EQ(EPIPE, t.err);
}

TEST_F(stream, a_blocked_writer_wakes_when_the_peer_stops_reading)
{
	writer_woken(_metadata, self->a, self->b, SHUT_RD);
}

TEST_F(stream, a_blocked_writer_wakes_when_its_own_side_is_shut)
{
	writer_woken(_metadata, self->a, self->a, SHUT_WR);
}

TEST_F(stream, a_blocked_writer_wakes_when_both_ways_are_shut)
{
	writer_woken(_metadata, self->a, self->b, SHUT_RDWR);
}

TEST_F(stream, a_blocked_writer_goes_on_when_there_is_room)
{
	struct io_thread t = { .fd = self->a };
	long limit = io_fill(self->a, 0, 65536);

	ASSERT_LT(0, limit);
	io_start(&t, do_send_byte);
	ASSERT_TRUE(io_wait_blocked(&t));
	EXPECT_EQ(limit, io_recv_all(self->b, 0, limit, 4096, NULL));
	EXPECT_EQ(1, io_join(&t));
	EXPECT_EQ(1, io_inq(self->b));
}

/* --- Close --- */

TEST_F(stream, close_without_unread_data_is_an_ordinary_end)
{
	__u8 buf[20];

	ASSERT_EQ(10, send(self->a, io_at(0), 10, 0));
	close(self->a);
	self->a = -1;
	EXPECT_EQ(IN_NOW | OUT_NOW | RDHUP | POLLHUP, io_mask(self->b));
	EXPECT_EQ(10, recv(self->b, buf, 20, 0));
	EXPECT_TRUE(io_is(buf, 0, 10));
	EXPECT_EQ(0, recv(self->b, buf, 20, 0));
	EXPECT_EQ(0, io_so_error(self->b));
	EXPECT_ERRNO(EPIPE, send(self->b, "x", 1, MSG_NOSIGNAL));
	EXPECT_EQ(0, recv(self->b, buf, 20, 0));
	EXPECT_EQ(0, shutdown(self->b, SHUT_RDWR));
}

TEST_F(stream, close_with_unread_data_resets_the_peer_once)
{
	__u8 buf[20];

	ASSERT_EQ(5, send(self->b, "never", 5, 0));
	ASSERT_EQ(10, send(self->a, io_at(0), 10, 0));
	close(self->a);
	self->a = -1;
	EXPECT_EQ(IN_NOW | OUT_NOW | RDHUP | POLLHUP | POLLERR, io_mask(self->b));
	/* What the peer had sent before comes first. */
	EXPECT_EQ(10, recv(self->b, buf, 20, MSG_PEEK));
	EXPECT_EQ(10, recv(self->b, buf, 20, 0));
	EXPECT_TRUE(io_is(buf, 0, 10));
	EXPECT_ERRNO(ECONNRESET, recv(self->b, buf, 20, 0));
	EXPECT_EQ(IN_NOW | OUT_NOW | RDHUP | POLLHUP, io_mask(self->b));
	EXPECT_EQ(0, recv(self->b, buf, 20, 0));
	EXPECT_EQ(0, io_so_error(self->b));
	EXPECT_ERRNO(EPIPE, send(self->b, "x", 1, MSG_NOSIGNAL));
}

TEST_F(stream, so_error_takes_the_reset)
{
	__u8 buf[20];

	ASSERT_EQ(5, send(self->b, "never", 5, 0));
	close(self->a);
	self->a = -1;
	EXPECT_EQ(ECONNRESET, io_so_error(self->b));
	EXPECT_EQ(0, io_so_error(self->b));
	EXPECT_EQ(0, recv(self->b, buf, 20, 0));
}

TEST_F(stream, partly_read_data_counts_as_unread)
{
	__u8 buf[20];

	ASSERT_EQ(5, send(self->b, "never", 5, 0));
	ASSERT_EQ(4, recv(self->a, buf, 4, 0));
	close(self->a);
	self->a = -1;
	EXPECT_ERRNO(ECONNRESET, recv(self->b, buf, 20, 0));
}

TEST_F(stream, peeked_data_counts_as_unread)
{
	__u8 buf[20];

	ASSERT_EQ(5, send(self->b, "never", 5, 0));
	ASSERT_EQ(5, recv(self->a, buf, 20, MSG_PEEK));
	close(self->a);
	self->a = -1;
	EXPECT_ERRNO(ECONNRESET, recv(self->b, buf, 20, 0));
}

TEST_F(stream, a_blocked_writer_is_reset_by_close)
{
	__u8 buf[4];
	struct io_thread t = { .fd = self->b };

	ASSERT_LT(0, io_fill(self->b, 0, 65536));
	io_start(&t, do_send_byte);
	ASSERT_TRUE(io_wait_blocked(&t));
	close(self->a);
	self->a = -1;
	EXPECT_EQ(-1, io_join(&t));
	EXPECT_EQ(ECONNRESET, t.err);
	/* The writer took the error: the reader finds the plain end. */
	EXPECT_EQ(0, recv(self->b, buf, 4, 0));
	EXPECT_ERRNO(EPIPE, send(self->b, "x", 1, MSG_NOSIGNAL));
}

TEST_F(stream, a_blocked_reader_is_reset_by_close)
{
	__u8 buf[4];
	struct io_thread t = { .fd = self->b, .buf = buf, .len = 4 };

	ASSERT_EQ(5, send(self->b, "never", 5, 0));
	io_start(&t, io_do_recv);
	ASSERT_TRUE(io_wait_blocked(&t));
	close(self->a);
	self->a = -1;
	EXPECT_EQ(-1, io_join(&t));
	EXPECT_EQ(ECONNRESET, t.err);
	EXPECT_EQ(0, recv(self->b, buf, 4, 0));
}

TEST_F(stream, a_blocked_reader_ends_by_close)
{
	__u8 buf[4];
	struct io_thread t = { .fd = self->b, .buf = buf, .len = 4 };

	io_start(&t, io_do_recv);
	ASSERT_TRUE(io_wait_blocked(&t));
	close(self->a);
	self->a = -1;
	EXPECT_EQ(0, io_join(&t));
}

/* --- Counters --- */

TEST_F(stream, fionread_and_outq_count_bytes)
{
	__u8 buf[5000];

	EXPECT_EQ(0, io_inq(self->b));
	EXPECT_EQ(0, io_outq(self->a));
	ASSERT_EQ(5000, send(self->a, io_at(0), 5000, 0));
	ASSERT_EQ(1, send(self->a, io_at(5000), 1, 0));
	EXPECT_EQ(5001, io_inq(self->b));
	EXPECT_EQ(5001, io_outq(self->a));
	EXPECT_EQ(0, io_inq(self->a));
	EXPECT_EQ(0, io_outq(self->b));
	ASSERT_EQ(4097, recv(self->b, buf, 4097, 0));
	EXPECT_EQ(904, io_inq(self->b));
	EXPECT_EQ(904, io_outq(self->a));
	ASSERT_EQ(0, shutdown(self->a, SHUT_RDWR));
	EXPECT_EQ(904, io_inq(self->b));
	ASSERT_EQ(904, recv(self->b, buf, 5000, 0));
	EXPECT_EQ(0, io_inq(self->b));
	EXPECT_EQ(0, io_outq(self->a));
}

TEST_F(stream, nothing_is_left_to_send_when_the_peer_is_gone)
{
	ASSERT_EQ(50, send(self->a, io_at(0), 50, 0));
	close(self->b);
	self->b = -1;
	EXPECT_EQ(0, io_outq(self->a));
	EXPECT_EQ(0, io_inq(self->a));
}

/* --- Signals --- */

static void do_nothing(int sig)
{
}

static void on_usr1(int flags)
{
	struct sigaction sa = { .sa_handler = do_nothing, .sa_flags = flags };

	sigaction(SIGUSR1, &sa, NULL);
}

TEST_F(stream, a_signal_ends_a_blocked_read)
{
	__u8 buf[4];
	struct io_thread t = { .fd = self->b, .buf = buf, .len = 4 };

	on_usr1(0);
	io_start(&t, io_do_recv);
	ASSERT_TRUE(io_wait_blocked(&t));
	pthread_kill(t.thread, SIGUSR1);
	EXPECT_EQ(-1, io_join(&t));
	EXPECT_EQ(EINTR, t.err);
}

TEST_F(stream, sa_restart_restarts_a_blocked_read)
{
	__u8 buf[4];
	struct io_thread t = { .fd = self->b, .buf = buf, .len = 4 };

	on_usr1(SA_RESTART);
	io_start(&t, io_do_recv);
	ASSERT_TRUE(io_wait_blocked(&t));
	pthread_kill(t.thread, SIGUSR1);
	EXPECT_TRUE(io_wait_blocked(&t));
	ASSERT_EQ(2, send(self->a, "ab", 2, 0));
	EXPECT_EQ(2, io_join(&t));
}

TEST_F(stream, a_read_with_a_time_limit_is_not_restarted)
{
	__u8 buf[4];
	struct io_thread t = { .fd = self->b, .buf = buf, .len = 4 };

	on_usr1(SA_RESTART);
	ASSERT_EQ(0, io_set_timeout(self->b, SO_RCVTIMEO, IO_POLL_MS));
	io_start(&t, io_do_recv);
	ASSERT_TRUE(io_wait_blocked(&t));
	pthread_kill(t.thread, SIGUSR1);
	EXPECT_EQ(-1, io_join(&t));
	EXPECT_EQ(EINTR, t.err);
}

TEST_F(stream, a_signal_ends_a_blocked_write)
{
	struct io_thread t = { .fd = self->a };
	long limit = io_fill(self->a, 0, 65536);

	on_usr1(0);
	io_start(&t, do_send_byte);
	ASSERT_TRUE(io_wait_blocked(&t));
	pthread_kill(t.thread, SIGUSR1);
	EXPECT_EQ(-1, io_join(&t));
	EXPECT_EQ(EINTR, t.err);
	EXPECT_EQ(limit, io_drain(self->b, 0));
}

TEST_F(stream, sa_restart_restarts_a_blocked_write)
{
	struct io_thread t = { .fd = self->a };
	long limit = io_fill(self->a, 0, 65536);

	on_usr1(SA_RESTART);
	io_start(&t, do_send_byte);
	ASSERT_TRUE(io_wait_blocked(&t));
	pthread_kill(t.thread, SIGUSR1);
	EXPECT_TRUE(io_wait_blocked(&t));
	EXPECT_EQ(limit, io_recv_all(self->b, 0, limit, 65536, NULL));
	EXPECT_EQ(1, io_join(&t));
}

TEST_F(stream, a_signal_in_the_middle_gives_the_part_written)
{
	struct io_thread t = { .fd = self->a, .len = 1 << 20 };
	long limit = io_sndbuf(self->a);

	on_usr1(SA_RESTART);
	io_start(&t, io_do_send);
	ASSERT_TRUE(io_wait_blocked(&t));
	pthread_kill(t.thread, SIGUSR1);
	EXPECT_EQ(limit, io_join(&t));
	EXPECT_EQ(limit, io_drain(self->b, 0));
}

TEST_F(stream, a_signal_in_the_middle_gives_the_part_read)
{
	__u8 buf[100];
	struct io_thread t = { .fd = self->b, .buf = buf, .len = 100,
			       .flags = MSG_WAITALL };

	on_usr1(SA_RESTART);
	ASSERT_EQ(40, send(self->a, io_at(0), 40, 0));
	io_start(&t, io_do_recv);
	ASSERT_TRUE(io_wait_blocked(&t));
	pthread_kill(t.thread, SIGUSR1);
	EXPECT_EQ(40, io_join(&t));
	EXPECT_TRUE(io_is(buf, 0, 40));
	ASSERT_EQ(5, send(self->a, io_at(40), 5, 0));
	EXPECT_EQ(5, io_drain(self->b, 40));
}

/* --- Shared descriptors --- */

TEST_F(stream, the_end_comes_with_the_last_close)
{
	__u8 buf[4];
	int copy = dup(self->a);

	ASSERT_LE(0, copy);
	close(self->a);
	self->a = -1;
	EXPECT_ERRNO(EAGAIN, recv(self->b, buf, 4, MSG_DONTWAIT));
	EXPECT_EQ(1, send(copy, "x", 1, 0));
	EXPECT_EQ(1, recv(self->b, buf, 4, 0));
	close(copy);
	EXPECT_EQ(0, recv(self->b, buf, 4, 0));
}

TEST_F(stream, dup_shares_what_was_read)
{
	__u8 buf[4];
	int copy = dup(self->b);

	ASSERT_EQ(4, send(self->a, "abcd", 4, 0));
	EXPECT_EQ(2, recv(self->b, buf, 2, 0));
	EXPECT_EQ(2, recv(copy, buf, 4, 0));
	EXPECT_EQ(0, memcmp(buf, "cd", 2));
	close(copy);
}

#define BLOCKS	200
#define BLOCK	64

/* One process of several: BLOCKS blocks, each full of its own letter. */
static void write_blocks(int fd, char letter)
{
	char block[BLOCK];
	int i;

	memset(block, letter, sizeof(block));
	for (i = 0; i < BLOCKS; i++)
		if (send(fd, block, BLOCK, 0) != BLOCK)
			_exit(1);
	_exit(0);
}

TEST_F(stream, two_processes_write_whole_blocks)
{
	int count[2] = { 0, 0 };
	char block[BLOCK], want[BLOCK];
	int i;

	for (i = 0; i < 2; i++)
		if (!fork())
			write_blocks(self->a, 'A' + i);
	/* The end comes only when both writers have gone. */
	close(self->a);
	self->a = -1;
	while (recv(self->b, block, BLOCK, MSG_WAITALL) == BLOCK) {
		ASSERT_TRUE(block[0] == 'A' || block[0] == 'B');
		memset(want, block[0], BLOCK);
		ASSERT_EQ(0, memcmp(block, want, BLOCK));
		count[block[0] - 'A']++;
	}
	EXPECT_EQ(0, recv(self->b, block, BLOCK, 0));
	EXPECT_EQ(BLOCKS, count[0]);
	EXPECT_EQ(BLOCKS, count[1]);
	EXPECT_TRUE(io_children_ended_well(2));
}

/* Reads to the end and reports the sum of the bytes. */
static void sum_bytes(int fd, int report)
{
	__u8 buf[50];
	__u64 sum[2] = { 0, 0 };	/* sum, count */
	ssize_t n, i;

	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0) {
		for (i = 0; i < n; i++)
			sum[0] += buf[i];
		sum[1] += n;
	}
	_exit(n < 0 || write(report, sum, sizeof(sum)) != sizeof(sum));
}

TEST_F(stream, two_processes_read_each_byte_once)
{
	__u64 part[2], want = 0, sum = 0, count = 0;
	int report[2], i;

	ASSERT_EQ(0, pipe(report));
	for (i = 0; i < 2; i++) {
		if (!fork()) {
			close(self->a);
			sum_bytes(self->b, report[1]);
		}
	}
	ASSERT_EQ(50000, io_send_all(self->a, 0, 50000));
	for (i = 0; i < 50000; i++)
		want += io_at(i)[0];
	ASSERT_EQ(0, shutdown(self->a, SHUT_WR));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(16, read(report[0], part, sizeof(part)));
		sum += part[0];
		count += part[1];
	}
	EXPECT_EQ(50000UL, count);
	EXPECT_EQ(want, sum);
	EXPECT_TRUE(io_children_ended_well(2));
}

/* --- Content across the ring's chunks --- */

static void transfer(struct __test_metadata *_metadata, int a, int b,
		     long size, long piece, __u32 *seed)
{
	struct io_thread t = { .fd = a, .len = size };

	io_start(&t, io_do_send_all);
	EXPECT_EQ(size, io_recv_all(b, 0, size, piece, seed)) {
		TH_LOG("size %ld piece %ld", size, piece);
		shutdown(b, SHUT_RDWR);
	}
	EXPECT_EQ(size, io_join(&t));
	EXPECT_EQ(0, io_inq(b));
}

TEST_F(stream, content_survives_every_size)
{
	static const long sizes[] = {
		1, 2, 4095, 4096, 4097, 8191, 8192, 8193, 12288, 65535, 65536,
		65537, 1 << 20,
	};
	__u32 seed = io_seed();
	size_t i;

	TH_LOG("seed %u", seed);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		transfer(_metadata, self->a, self->b, sizes[i], 4096, &seed);
		transfer(_metadata, self->b, self->a, sizes[i], 65536, &seed);
		transfer(_metadata, self->a, self->b, sizes[i], sizes[i], NULL);
	}
}

TEST_F(stream, content_survives_tiny_and_huge_in_turn)
{
	struct io_thread t = { .fd = self->b, .buf = malloc(1 << 18) };
	long pos = 0, sizes[] = { 1, 100000, 3, 70000, 1, 1, 65536, 17, 200000 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		t.len = sizes[i];
		t.flags = MSG_WAITALL;
		io_start(&t, io_do_recv);
		EXPECT_EQ(sizes[i], send(self->a, io_at(pos), sizes[i], 0));
		EXPECT_EQ(sizes[i], io_join(&t));
		EXPECT_TRUE(io_is(t.buf, pos, sizes[i]));
		pos += sizes[i];
	}
	free(t.buf);
}

/* The reader always a bit behind, so that head and tail wrap everywhere. */
TEST_F(stream, content_survives_a_wandering_fill_level)
{
	__u32 seed = io_seed();
	long sent = 0, got = 0;
	__u8 buf[6000];
	ssize_t n;
	int i;

	TH_LOG("seed %u", seed);
	for (i = 0; i < 2000; i++) {
		n = send(self->a, io_at(sent), io_rand_size(&seed, 6000),
			 MSG_DONTWAIT);
		sent += n > 0 ? n : 0;
		n = recv(self->b, buf, io_rand_size(&seed, 6000), MSG_DONTWAIT);
		if (n > 0) {
			ASSERT_TRUE(io_is(buf, got, n));
			got += n;
		}
		ASSERT_EQ(sent - got, io_inq(self->b));
	}
	EXPECT_EQ(sent - got, io_drain(self->b, got));
}

/* --- The same as AF_UNIX, whatever is done to the two ends --- */

enum {
	OP_SEND, OP_RECV, OP_PEEK, OP_WAITALL, OP_SHUT_RD, OP_SHUT_WR, OP_SHUT,
	OP_CLOSE, OP_INQ, OP_POLL, OP_SO_ERROR, OP_RECV0, OP_SEND0, OP_COUNT
};

static const char *const op_names[] = {
	"send", "recv", "peek", "waitall", "shut_rd", "shut_wr", "shut_rdwr",
	"close", "inq", "poll", "so_error", "recv0", "send0",
};

static long failed(long ret)
{
	return ret < 0 ? -errno : ret;
}

/* One step on one end, never blocking. The result tells it all but content. */
static long step(int *fd, int op, size_t len, __u8 *buf, __u8 val)
{
	switch (op) {
	case OP_SEND:
		memset(buf, val, len);
		return failed(send(*fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL));
	case OP_SEND0:
		return failed(send(*fd, buf, 0, MSG_DONTWAIT | MSG_NOSIGNAL));
	case OP_RECV:
		return failed(recv(*fd, buf, len, MSG_DONTWAIT));
	case OP_RECV0:
		return failed(recv(*fd, buf, 0, MSG_DONTWAIT));
	case OP_PEEK:
		return failed(recv(*fd, buf, len, MSG_DONTWAIT | MSG_PEEK));
	case OP_WAITALL:
		return failed(recv(*fd, buf, len, MSG_DONTWAIT | MSG_WAITALL));
	case OP_SHUT_RD:
	case OP_SHUT_WR:
	case OP_SHUT:
		return failed(shutdown(*fd, op - OP_SHUT_RD));
	case OP_CLOSE:
		close(*fd);
		*fd = -1;
		return 0;
	case OP_INQ:
		return io_inq(*fd);
	case OP_POLL:
		return io_mask(*fd);
	default:
		return io_so_error(*fd);
	}
}

/*
 * Random steps on a pair of ours and on a pair of AF_UNIX: the same results,
 * errors, masks and bytes, step by step. Little data, so limits do not differ.
 */
TEST_F(stream, random_steps_end_as_on_af_unix)
{
	__u32 seed = io_seed();
	__u8 ours[512], theirs[512];
	int round, i, nym[2], un[2];

	TH_LOG("seed %u", seed);
	for (round = 0; round < 150; round++) {
		ASSERT_EQ(0, nym_pair(nym));
		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, un));
		for (i = 0; i < 25; i++) {
			int side = io_rand(&seed) & 1;
			int op = io_rand(&seed) % OP_COUNT;
			size_t len = io_rand_size(&seed, 200);
			long r1, r2;

			/* Mostly data: the ends are final. */
			if (op >= OP_SHUT_RD && op <= OP_CLOSE &&
			    io_rand(&seed) % 3)
				op = OP_SEND;
			memset(ours, 0, sizeof(ours));
			memset(theirs, 0, sizeof(theirs));
			r1 = step(&nym[side], op, len, ours, i);
			r2 = step(&un[side], op, len, theirs, i);
			ASSERT_EQ(r2, r1) {
				TH_LOG("round %d step %d: %s(%zu) on end %d",
				       round, i, op_names[op], len, side);
			}
			ASSERT_EQ(0, memcmp(ours, theirs, sizeof(ours)));
		}
		close(nym[0]);
		close(nym[1]);
		close(un[0]);
		close(un[1]);
	}
}

/* --- Addresses --- */

static void addresses_match(struct __test_metadata *_metadata, int from, int to)
{
	struct sockaddr_nym peer, got;
	socklen_t peer_len = sizeof(peer), len = sizeof(got);
	__u8 buf[4];

	memset(&peer, 0, sizeof(peer));
	memset(&got, 0xff, sizeof(got));
	ASSERT_EQ(0, getpeername(to, (struct sockaddr *)&peer, &peer_len));
	ASSERT_EQ(1, send(from, "x", 1, 0));
	ASSERT_EQ(1, recvfrom(to, buf, 4, 0, (struct sockaddr *)&got, &len));
	EXPECT_EQ(peer_len, len);
	EXPECT_EQ(0, memcmp(&peer, &got, len));
	/* Cut to the room there is; the length tells the whole. */
	memset(&got, 0xff, sizeof(got));
	len = 4;
	ASSERT_EQ(1, send(from, "y", 1, 0));
	ASSERT_EQ(1, recvfrom(to, buf, 4, 0, (struct sockaddr *)&got, &len));
	EXPECT_EQ(peer_len, len);
	EXPECT_EQ(0, memcmp(&peer, &got, 4));
	EXPECT_EQ((char)0xff, got.snym_name[2]);
}

TEST_F(stream, recvfrom_gives_the_peers_address)
{
	addresses_match(_metadata, self->a, self->b);
	addresses_match(_metadata, self->b, self->a);
}

TEST_F(stream, the_address_outlives_the_peer)
{
	struct sockaddr_nym peer, got;
	socklen_t peer_len = sizeof(peer), len = sizeof(got);
	__u8 buf[4];

	ASSERT_EQ(0, getpeername(self->b, (struct sockaddr *)&peer, &peer_len));
	ASSERT_EQ(1, send(self->a, "x", 1, 0));
	close(self->a);
	self->a = -1;
	ASSERT_EQ(1, recvfrom(self->b, buf, 4, 0, (struct sockaddr *)&got, &len));
	EXPECT_EQ(peer_len, len);
	EXPECT_EQ(0, memcmp(&peer, &got, len));
}

TEST_F(stream, send_refuses_an_address)
{
	struct sockaddr_nym addr;
	socklen_t len = nym_addr(&addr, "t/stream/other");

	EXPECT_ERRNO(EISCONN, sendto(self->a, "x", 1, 0,
				     (struct sockaddr *)&addr, len));
	EXPECT_EQ(0, io_inq(self->b));
}

/* --- Control messages --- */

union control {
	char buf[CMSG_SPACE(64)];
	struct cmsghdr align;
};

/* Sends one byte and one control message of @size bytes of @data. */
static ssize_t send_cmsg(int fd, int level, int type, const void *data,
			 size_t size, size_t cmsg_len)
{
	union control c;
	struct iovec iov = { "x", 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1,
			    .msg_control = c.buf,
			    .msg_controllen = CMSG_SPACE(size) };
	struct cmsghdr *h;

	memset(&c, 0, sizeof(c));
	h = CMSG_FIRSTHDR(&m);
	h->cmsg_level = level;
	h->cmsg_type = type;
	h->cmsg_len = cmsg_len;
	memcpy(CMSG_DATA(h), data, size);
	return sendmsg(fd, &m, 0);
}

TEST_F(stream, bad_control_messages_are_refused)
{
	int v = 0;

	/* Shorter than its own header, longer than the buffer. */
	EXPECT_ERRNO(EINVAL, send_cmsg(self->a, SOL_SOCKET, SCM_CREDENTIALS, &v,
				       4, sizeof(struct cmsghdr) - 1));
	EXPECT_ERRNO(EINVAL, send_cmsg(self->a, 5555, 1, &v, 4,
				       sizeof(struct cmsghdr) - 1));
	EXPECT_ERRNO(EINVAL, send_cmsg(self->a, SOL_SOCKET, SCM_CREDENTIALS, &v,
				       4, 4000));
	/* Unknown to SOL_SOCKET; credentials of a wrong size. */
	EXPECT_ERRNO(EINVAL, send_cmsg(self->a, SOL_SOCKET, 0x7777, &v, 4,
				       CMSG_LEN(4)));
	EXPECT_ERRNO(EINVAL, send_cmsg(self->a, SOL_SOCKET, SCM_CREDENTIALS, &v,
				       4, CMSG_LEN(4)));
	EXPECT_EQ(0, io_inq(self->b));
}

TEST_F(stream, other_levels_and_own_credentials_pass)
{
	struct ucred me = { getpid(), getuid(), getgid() };
	int v = 0;

	EXPECT_EQ(1, send_cmsg(self->a, 5555, 1, &v, 4, CMSG_LEN(4)));
	EXPECT_EQ(1, send_cmsg(self->a, SOL_SOCKET, SCM_CREDENTIALS, &me,
			       sizeof(me), CMSG_LEN(sizeof(me))));
	EXPECT_EQ(2, io_inq(self->b));
}

TEST_F(stream, false_credentials_are_refused)
{
	struct ucred root = { getpid(), 0, 0 };
	int status;
	pid_t pid;

	if (geteuid())
		SKIP(return, "needs root");
	pid = fork();
	if (!pid) {
		if (setresgid(65534, 65534, 65534) ||
		    setresuid(65534, 65534, 65534))
			_exit(2);
		root.pid = getpid();
		_exit(!(send_cmsg(self->a, SOL_SOCKET, SCM_CREDENTIALS, &root,
				  sizeof(root), CMSG_LEN(sizeof(root))) < 0 &&
			errno == EPERM));
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, io_inq(self->b));
}

TEST_F(stream, recvmsg_gives_no_control_messages)
{
	union control c;
	char buf[4];
	struct iovec iov = { buf, 4 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1,
			    .msg_control = c.buf,
			    .msg_controllen = sizeof(c.buf), .msg_flags = -1 };

	ASSERT_EQ(1, send(self->a, "x", 1, 0));
	EXPECT_EQ(1, recvmsg(self->b, &m, 0));
	EXPECT_EQ(0UL, m.msg_controllen);
	EXPECT_EQ(0, m.msg_flags);
	EXPECT_EQ(0U, m.msg_namelen);
}

/* --- Sockets that are not connected --- */

FIXTURE(unconnected)
{
};

FIXTURE_SETUP(unconnected)
{
	SKIP_WITHOUT_NYM();
}

FIXTURE_TEARDOWN(unconnected)
{
}

TEST_F(unconnected, a_fresh_socket_moves_no_bytes)

{
	struct sockaddr_nym addr;
	socklen_t len = nym_addr(&addr, "t/stream/none");
	char buf[4];
	int fd;

	fd = nym_socket();
	ASSERT_LE(0, fd);
	EXPECT_ERRNO(ENOTCONN, send(fd, "x", 1, MSG_NOSIGNAL));
	EXPECT_ERRNO(ENOTCONN, write(fd, "x", 1));
	EXPECT_ERRNO(EOPNOTSUPP, sendto(fd, "x", 1, 0, (struct sockaddr *)&addr,
					len));
	EXPECT_ERRNO(EINVAL, recv(fd, buf, 4, 0));
	EXPECT_ERRNO(EINVAL, recv(fd, buf, 4, MSG_PEEK | MSG_DONTWAIT));
	EXPECT_ERRNO(EINVAL, read(fd, buf, 4));
	EXPECT_EQ(0, io_inq(fd));
	EXPECT_EQ(0, io_outq(fd));
	close(fd);
}

TEST_F(unconnected, a_listener_moves_no_bytes)
{
	char buf[4];
	int l;

	l = nym_listen("t/stream/listener", 1);
	ASSERT_LE(0, l);
	EXPECT_ERRNO(ENOTCONN, send(l, "x", 1, MSG_NOSIGNAL));
	EXPECT_ERRNO(EINVAL, recv(l, buf, 4, 0));
	EXPECT_EQ(-EINVAL, io_inq(l));
	close(l);
}

NYM_TEST_MAIN
