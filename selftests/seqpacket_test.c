// SPDX-License-Identifier: GPL-2.0
/*
 * SOCK_SEQPACKET: records keep their boundaries and arrive whole or not at
 * all, whatever their length and whoever interrupts.
 */
#include "nym_test.h"
#include "nym_io.h"

#include <sys/mman.h>
#include <sys/uio.h>

#define HEADER	8	/* what a record counts besides its bytes */

FIXTURE(seqpacket)
{
	int a;
	int b;
	struct io_thread t;
};

FIXTURE_SETUP(seqpacket)
{
	int fd[2];

	SKIP_WITHOUT_NYM();
	ASSERT_OK(socketpair(AF_NYM, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd));
	self->a = fd[0];
	self->b = fd[1];
}

FIXTURE_TEARDOWN(seqpacket)
{
	close(self->a);
	close(self->b);
}

/* Receives one record; gives its length, and the flags that came with it. */
static long recv_flags(int fd, void *buf, size_t len, int flags, int *got)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	long n = recvmsg(fd, &msg, flags);

	*got = msg.msg_flags;
	return n;
}

TEST_F(seqpacket, records_keep_their_boundaries)
{
	char buf[64];

	ASSERT_RETURNS(3, send(self->a, "one", 3, 0));
	ASSERT_RETURNS(5, send(self->a, "three", 5, 0));
	EXPECT_RETURNS(3, recv(self->b, buf, sizeof(buf), 0));
	EXPECT_EQ(0, memcmp(buf, "one", 3));
	EXPECT_RETURNS(5, recv(self->b, buf, sizeof(buf), 0));
	EXPECT_EQ(0, memcmp(buf, "three", 5));
	EXPECT_ERRNO(EAGAIN, recv(self->b, buf, sizeof(buf), MSG_DONTWAIT));
}

TEST_F(seqpacket, an_iovec_is_one_record)
{
	struct iovec iov[3] = {
		{ .iov_base = "ab", .iov_len = 2 },
		{ .iov_base = NULL, .iov_len = 0 },
		{ .iov_base = "cde", .iov_len = 3 },
	};
	char buf[64];

	ASSERT_RETURNS(5, writev(self->a, iov, 3));
	EXPECT_RETURNS(5, read(self->b, buf, sizeof(buf)));
	EXPECT_EQ(0, memcmp(buf, "abcde", 5));
}

TEST_F(seqpacket, a_short_buffer_truncates_and_says_so)
{
	char buf[64];
	int flags;

	ASSERT_RETURNS(10, send(self->a, "0123456789", 10, 0));
	ASSERT_RETURNS(1, send(self->a, "x", 1, 0));
	EXPECT_RETURNS(4, recv_flags(self->b, buf, 4, 0, &flags));
	EXPECT_EQ(MSG_TRUNC, flags);
	/* What was left of the record is gone. */
	EXPECT_RETURNS(1, recv_flags(self->b, buf, 4, 0, &flags));
	EXPECT_EQ(0, flags);
	EXPECT_EQ('x', buf[0]);
}

TEST_F(seqpacket, msg_trunc_tells_the_real_length)
{
	char buf[4] = "";
	int flags;

	ASSERT_RETURNS(10, send(self->a, "0123456789", 10, 0));
	EXPECT_RETURNS(10, recv_flags(self->b, buf, 2, MSG_TRUNC | MSG_PEEK, &flags));
	EXPECT_EQ(MSG_TRUNC, flags);
	EXPECT_RETURNS(10, recv_flags(self->b, NULL, 0, MSG_TRUNC, &flags));
	EXPECT_EQ(MSG_TRUNC, flags);
	EXPECT_ERRNO(EAGAIN, recv(self->b, buf, 4, MSG_DONTWAIT));
}

TEST_F(seqpacket, msg_eor_travels_with_its_record)
{
	char buf[4];
	int flags;

	ASSERT_RETURNS(1, send(self->a, "a", 1, MSG_EOR));
	ASSERT_RETURNS(1, send(self->a, "b", 1, 0));
	EXPECT_RETURNS(1, recv_flags(self->b, buf, 4, 0, &flags));
	EXPECT_EQ(MSG_EOR, flags);
	EXPECT_RETURNS(1, recv_flags(self->b, buf, 4, 0, &flags));
	EXPECT_EQ(0, flags);
}

TEST_F(seqpacket, peek_leaves_the_record)
{
	char buf[8];

	ASSERT_RETURNS(3, send(self->a, "abc", 3, 0));
	EXPECT_RETURNS(2, recv(self->b, buf, 2, MSG_PEEK));
	EXPECT_RETURNS(3, recv(self->b, buf, 8, MSG_PEEK));
	EXPECT_RETURNS(3, recv(self->b, buf, 8, 0));
	EXPECT_ERRNO(EAGAIN, recv(self->b, buf, 8, MSG_PEEK | MSG_DONTWAIT));
}

TEST_F(seqpacket, an_empty_record_is_a_record)
{
	char buf[8];

	ASSERT_RETURNS(0, send(self->a, NULL, 0, 0));
	ASSERT_RETURNS(1, send(self->a, "x", 1, 0));
	EXPECT_EQ(POLLIN, io_poll(self->b, POLLIN, 0));
	EXPECT_RETURNS(0, recv(self->b, buf, 8, MSG_DONTWAIT));
	EXPECT_RETURNS(1, recv(self->b, buf, 8, MSG_DONTWAIT));
}

/* Empty records, too, fill the buffer: nobody gets memory for nothing. */
TEST_F(seqpacket, empty_records_are_bounded)
{
	long n = 0;

	while (!send(self->a, NULL, 0, MSG_DONTWAIT))
		n++;
	EXPECT_EQ(EAGAIN, errno);
	EXPECT_EQ(io_sndbuf(self->a) / HEADER, n);
	while (n && !recv(self->b, NULL, 0, MSG_DONTWAIT))
		n--;
	EXPECT_EQ(0, n);
}

TEST_F(seqpacket, the_largest_record_fills_the_buffer)
{
	long max = io_sndbuf(self->a) - HEADER;
	__u8 *buf = malloc(max);

	ASSERT_NE(NULL, buf);
	EXPECT_ERRNO(EMSGSIZE, send(self->a, io_at(0), max + 1, 0));
	EXPECT_RETURNS(max, send(self->a, io_at(0), max, 0));
	EXPECT_ERRNO(EAGAIN, send(self->a, NULL, 0, MSG_DONTWAIT));
	EXPECT_EQ(max, io_outq(self->a) - HEADER);
	EXPECT_RETURNS(max, recv(self->b, buf, max, 0));
	EXPECT_TRUE(io_is(buf, 0, max));
	free(buf);
}

TEST_F(seqpacket, lengths_that_cannot_be_are_refused)
{
	struct iovec iov[2] = {
		{ .iov_base = (void *)io_at(0), .iov_len = 1 << 20 },
		{ .iov_base = (void *)io_at(0), .iov_len = 1 << 20 },
	};

	EXPECT_ERRNO(EMSGSIZE, writev(self->a, iov, 2));
	EXPECT_ERRNO(EMSGSIZE, send(self->a, io_at(0), 0x7fffffff, 0));
	EXPECT_EQ(0, io_inq(self->b));
}

TEST_F(seqpacket, a_record_of_a_megabyte)
{
	int sndbuf = 1 << 20;
	size_t len = 1 << 20;
	__u8 *buf = malloc(len);

	ASSERT_NE(NULL, buf);
	ASSERT_OK(setsockopt(self->a, SOL_SOCKET, SO_SNDBUFFORCE, &sndbuf,
			     sizeof(sndbuf)));
	EXPECT_RETURNS(len, send(self->a, io_at(0), len, 0));
	EXPECT_RETURNS(len, recv(self->b, buf, len, 0));
	EXPECT_TRUE(io_is(buf, 0, len));
	free(buf);
}

TEST_F(seqpacket, fionread_counts_bytes_without_headers)
{
	char buf[8];

	ASSERT_RETURNS(3, send(self->a, "abc", 3, 0));
	ASSERT_RETURNS(0, send(self->a, NULL, 0, 0));
	ASSERT_RETURNS(4, send(self->a, "defg", 4, 0));
	EXPECT_EQ(7, io_inq(self->b));
	EXPECT_EQ(7 + 3 * HEADER, io_outq(self->a));
	ASSERT_RETURNS(1, recv(self->b, buf, 1, 0));
	EXPECT_EQ(4, io_inq(self->b));
}

/* Half a megabyte through records of every length around page and chunk. */
TEST_F(seqpacket, records_across_every_boundary)
{
	static const size_t len[] = {
		1, 2, 7, 8, 9, 4079, 4080, 4081, 4087, 4088, 4089, 4095, 4096,
		4097, 8191, 8192, 8193, 32759, 32760, 32761, 32768, 65537,
	};
	__u8 *buf = malloc(65537);
	size_t i, shift;

	ASSERT_NE(NULL, buf);
	for (shift = 0; shift < 8; shift++) {
		for (i = 0; i < ARRAY_SIZE(len); i++) {
			size_t second = len[ARRAY_SIZE(len) - 1 - i];

			ASSERT_RETURNS(len[i], send(self->a, io_at(i), len[i], 0));
			ASSERT_RETURNS(second, send(self->a, io_at(shift), second, 0));
			ASSERT_RETURNS(len[i], recv(self->b, buf, 65537, 0));
			ASSERT_TRUE(io_is(buf, i, len[i]));
			ASSERT_RETURNS(second, recv(self->b, buf, 65537, 0));
			ASSERT_TRUE(io_is(buf, shift, second));
		}
	}
	free(buf);
}

/* A page that can be used, and behind it one that cannot. */
static __u8 *half_bad(void)
{
	__u8 *mem = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mem == MAP_FAILED || mprotect(mem + 4096, 4096, PROT_NONE))
		abort();
	return mem;
}

TEST_F(seqpacket, a_fault_while_sending_sends_nothing)
{
	__u8 *mem = half_bad();
	char buf[8];
	size_t off;

	for (off = 1; off <= 4096; off += 585)
		EXPECT_ERRNO(EFAULT, send(self->a, mem + off, 4096, 0));
	EXPECT_ERRNO(EFAULT, send(self->a, NULL, 1, 0));
	EXPECT_EQ(0, io_inq(self->b));
	EXPECT_EQ(0, io_outq(self->a));
	ASSERT_RETURNS(2, send(self->a, "ok", 2, 0));
	EXPECT_RETURNS(2, recv(self->b, buf, 8, 0));
	munmap(mem, 8192);
}

TEST_F(seqpacket, a_fault_while_receiving_keeps_the_record)
{
	__u8 *mem = half_bad();

	ASSERT_RETURNS(200, send(self->a, io_at(0), 200, 0));
	EXPECT_ERRNO(EFAULT, recv(self->b, mem + 4000, 200, 0));
	EXPECT_ERRNO(EFAULT, recv(self->b, NULL, 200, 0));
	EXPECT_RETURNS(200, recv(self->b, mem, 200, 0));
	EXPECT_TRUE(io_is(mem, 0, 200));
	munmap(mem, 8192);
}

TEST_F(seqpacket, a_large_record_waits_for_all_of_its_room)
{
	size_t max = io_sndbuf(self->a) - HEADER, small = max / 4;
	__u8 *buf = malloc(max);

	ASSERT_NE(NULL, buf);
	/* Between half full and empty the pair is writable, but not for this. */
	ASSERT_RETURNS(small, send(self->a, io_at(1), small, 0));
	EXPECT_ERRNO(EAGAIN, send(self->a, io_at(2), max, MSG_DONTWAIT));
	EXPECT_EQ(0, io_poll(self->a, POLLOUT, 0));
	self->t = (struct io_thread){ .fd = self->a, .pos = 2, .len = max };
	io_start(&self->t, io_do_send);
	ASSERT_TRUE(io_wait_blocked(&self->t));
	EXPECT_RETURNS(small, recv(self->b, buf, max, 0));
	EXPECT_RETURNS(max, io_join(&self->t));
	EXPECT_RETURNS(max, recv(self->b, buf, max, 0));
	EXPECT_TRUE(io_is(buf, 2, max));
	EXPECT_EQ(POLLOUT, io_poll(self->a, POLLOUT, 0));
	free(buf);
}

static void on_signal(int sig)
{
}

TEST_F(seqpacket, a_signal_sends_nothing)
{
	struct sigaction sa = { .sa_handler = on_signal };
	size_t max = io_sndbuf(self->a) - HEADER;

	ASSERT_OK(sigaction(SIGUSR1, &sa, NULL));
	ASSERT_RETURNS(1, send(self->a, "x", 1, 0));
	self->t = (struct io_thread){ .fd = self->a, .len = max };
	io_start(&self->t, io_do_send);
	ASSERT_TRUE(io_wait_blocked(&self->t));
	ASSERT_OK(pthread_kill(self->t.thread, SIGUSR1));
	EXPECT_RETURNS(-1, io_join(&self->t));
	EXPECT_SAME_ERRNO(EINTR, self->t.err);
	EXPECT_EQ(1, io_inq(self->b));
}

TEST_F(seqpacket, timeouts)
{
	size_t max = io_sndbuf(self->a) - HEADER;
	char buf[4];

	ASSERT_OK(io_set_timeout(self->b, SO_RCVTIMEO, 20));
	EXPECT_ERRNO(EAGAIN, recv(self->b, buf, 4, 0));
	ASSERT_OK(io_set_timeout(self->a, SO_SNDTIMEO, 20));
	ASSERT_RETURNS(1, send(self->a, "x", 1, 0));
	EXPECT_ERRNO(EAGAIN, send(self->a, io_at(0), max, 0));
}

/* As with AF_UNIX: no signal, unlike streams. */
TEST_F(seqpacket, epipe_comes_without_sigpipe)
{
	signal(SIGPIPE, SIG_DFL);
	ASSERT_OK(shutdown(self->b, SHUT_RD));
	EXPECT_ERRNO(EPIPE, send(self->a, "x", 1, 0));
	ASSERT_OK(shutdown(self->a, SHUT_WR));
	EXPECT_ERRNO(EPIPE, send(self->a, NULL, 0, 0));
}

TEST_F(seqpacket, the_end_comes_after_the_records)
{
	char buf[4];

	ASSERT_RETURNS(1, send(self->a, "x", 1, 0));
	ASSERT_OK(shutdown(self->a, SHUT_WR));
	EXPECT_RETURNS(1, recv(self->b, buf, 4, 0));
	EXPECT_RETURNS(0, recv(self->b, buf, 4, 0));
	EXPECT_RETURNS(0, recv(self->b, buf, 4, MSG_DONTWAIT));
}

/* As with AF_UNIX: the error first, unlike streams. */
TEST_F(seqpacket, a_reset_comes_before_the_records)
{
	char buf[4];

	ASSERT_RETURNS(1, send(self->b, "unread", 1, 0));
	ASSERT_RETURNS(1, send(self->a, "x", 1, 0));
	close(self->a);
	self->a = -1;
	EXPECT_ERRNO(ECONNRESET, recv(self->b, buf, 4, 0));
	EXPECT_RETURNS(1, recv(self->b, buf, 4, 0));
	EXPECT_RETURNS(0, recv(self->b, buf, 4, 0));
	EXPECT_ERRNO(EPIPE, send(self->b, "x", 1, 0));
}

TEST_F(seqpacket, without_a_connection)
{
	int fd = socket(AF_NYM, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	char buf[4];

	ASSERT_FD(fd);
	EXPECT_ERRNO(ENOTCONN, send(fd, "x", 1, MSG_NOSIGNAL));
	EXPECT_ERRNO(ENOTCONN, recv(fd, buf, 4, 0));
	EXPECT_ERRNO(EINVAL, listen(fd, 1));
	close(fd);
	EXPECT_ERRNO(EOPNOTSUPP, send(self->a, "x", 1, MSG_OOB));
	EXPECT_ERRNO(EOPNOTSUPP, recv(self->a, buf, 4, MSG_OOB));
}

TEST_F(seqpacket, an_address_is_ignored_when_connected)
{
	struct sockaddr_nym sa;
	socklen_t len = nym_addr(&sa, "t/seq/nobody");
	char buf[4];

	EXPECT_RETURNS(1, sendto(self->a, "x", 1, 0, (struct sockaddr *)&sa, len));
	EXPECT_RETURNS(1, recv(self->b, buf, 4, 0));
}

TEST_F(seqpacket, recvfrom_tells_the_peer)
{
	struct sockaddr_nym sa;
	socklen_t len = sizeof(sa);
	char buf[4];

	ASSERT_RETURNS(1, send(self->a, "x", 1, 0));
	EXPECT_RETURNS(1, recvfrom(self->b, buf, 4, 0, (struct sockaddr *)&sa, &len));
	EXPECT_STREQ(nym_own_name(self->a), nym_name_of(&sa, len));
}

static int seq_socket(const char *bind_to)
{
	int fd = socket(AF_NYM, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	return fd >= 0 && bind_to && nym_bind(fd, bind_to) ? nym_give_up(fd) : fd;
}

TEST_F(seqpacket, types_do_not_mix)
{
	int stream = nym_listen("t/seq/stream", 1);
	int listener = seq_socket("t/seq/server");
	int fd = seq_socket(NULL);

	ASSERT_FD(stream);
	ASSERT_FD(listener);
	ASSERT_FD(fd);
	ASSERT_OK(listen(listener, 1));
	EXPECT_ERRNO(EPROTOTYPE, nym_call(fd, "t/seq/stream"));
	EXPECT_ERRNO(EPROTOTYPE, nym_connect("t/seq/server"));
	EXPECT_OK(nym_call(fd, "t/seq/server"));
	close(fd);
	close(listener);
	close(stream);
}

TEST_F(seqpacket, by_name_before_and_after_accept)
{
	int listener = seq_socket("t/seq/server");
	int fd = seq_socket(NULL), conn, type = 0;
	socklen_t len = sizeof(type);
	char buf[8];

	ASSERT_FD(listener);
	ASSERT_OK(listen(listener, 1));
	ASSERT_OK(nym_call(fd, "t/seq/server"));
	ASSERT_RETURNS(5, send(fd, "early", 5, 0));
	ASSERT_RETURNS(4, send(fd, "late", 4, 0));
	conn = accept(listener, NULL, NULL);
	ASSERT_FD(conn);
	ASSERT_OK(getsockopt(conn, SOL_SOCKET, SO_TYPE, &type, &len));
	EXPECT_EQ(SOCK_SEQPACKET, type);
	EXPECT_RETURNS(5, recv(conn, buf, 8, 0));
	EXPECT_RETURNS(4, recv(conn, buf, 8, 0));
	close(conn);
	close(fd);
	close(listener);
}

#define WRITERS		16U
#define PER_WRITER	200U

/* What a writer says: who it is, which record it is, and its length's worth. */
struct said {
	__u32 writer;
	__u32 number;
	__u32 len;
	__u8 bytes[3000];
};

static void write_records(int fd, __u32 writer)
{
	__u32 rnd = writer * 7919 + 1;
	struct said s = { .writer = writer };

	for (s.number = 0; s.number < PER_WRITER; s.number++) {
		s.len = io_rand_size(&rnd, sizeof(s.bytes)) - 1;
		memcpy(s.bytes, io_at(s.number + writer), s.len);
		if (send(fd, &s, offsetof(struct said, bytes) + s.len, 0) < 0)
			_exit(1);
	}
	_exit(0);
}

TEST_F(seqpacket, sixteen_writers_never_mix)
{
	__u32 next[WRITERS] = { 0 };
	pid_t pid[WRITERS];
	struct said s;
	__u32 i;
	long n;

	for (i = 0; i < WRITERS; i++) {
		pid[i] = fork();
		ASSERT_LE(0, pid[i]);
		if (!pid[i])
			write_records(self->a, i);
	}
	close(self->a);
	self->a = -1;
	for (i = 0; (n = recv(self->b, &s, sizeof(s), 0)) > 0; i++) {
		ASSERT_GT(WRITERS, s.writer);
		ASSERT_EQ((long)offsetof(struct said, bytes) + s.len, n);
		ASSERT_EQ(next[s.writer]++, s.number);
		ASSERT_TRUE(io_is(s.bytes, s.number + s.writer, s.len));
	}
	EXPECT_EQ(0, n);
	EXPECT_EQ(WRITERS * PER_WRITER, i);
	for (i = 0; i < WRITERS; i++)
		EXPECT_EQ(0, nym_wait_child(pid[i]));
}

NYM_TEST_MAIN
