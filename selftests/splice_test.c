// SPDX-License-Identifier: GPL-2.0
/*
 * splice, sendfile, vmsplice and tee with a nym socket at either end.
 */
#include "nym_test.h"
#include "nym_io.h"

#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#define FILE_SIZE	300000L
#define PIPE_SIZE	65536L

FIXTURE(splice)
{
	int a;
	int b;
	int p[2];
	int file;	/* FILE_SIZE bytes of the pattern */
};

FIXTURE_SETUP(splice)
{
	int fd[2], done = 0;

	SKIP_WITHOUT_NYM();
	ASSERT_OK(nym_pair(fd));
	self->a = fd[0];
	self->b = fd[1];
	ASSERT_OK(pipe2(self->p, O_CLOEXEC));
	self->file = memfd_create("pattern", MFD_CLOEXEC);
	ASSERT_FD(self->file);
	while (done < FILE_SIZE) {
		ssize_t n = write(self->file, io_at(done), FILE_SIZE - done);

		ASSERT_LT(0, n);
		done += n;
	}
	/* Errors are asserted; the signal would end the test before. */
	signal(SIGPIPE, SIG_IGN);
}

FIXTURE_TEARDOWN(splice)
{
	close(self->a);
	close(self->b);
	close(self->p[0]);
	close(self->p[1]);
	close(self->file);
}

/* --- File to socket --- */

static long do_sendfile(struct io_thread *t)
{
	off_t off = t->pos;
	long done = 0;

	while (done < (long)t->len) {
		ssize_t n = sendfile(t->fd, *(int *)t->arg, &off, t->len - done);

		if (n <= 0)
			return n ? n : done;
		done += n;
	}
	return off == (off_t)(t->pos + t->len) ? done : -1;
}

TEST_F(splice, sendfile_sends_the_whole_file)
{
	struct io_thread t = { .fd = self->a, .len = FILE_SIZE,
			       .arg = &self->file };
	__u32 seed = io_seed();

	TH_LOG("seed %u", seed);
	io_start(&t, do_sendfile);
	EXPECT_EQ(FILE_SIZE, io_recv_all(self->b, 0, FILE_SIZE, 20000, &seed));
	EXPECT_EQ(FILE_SIZE, io_join(&t));
	EXPECT_EQ(0, io_inq(self->b));
}

TEST_F(splice, sendfile_begins_where_told)
{
	struct io_thread t = { .fd = self->a, .len = 100001, .pos = 4097,
			       .arg = &self->file };

	io_start(&t, do_sendfile);
	EXPECT_EQ(100001, io_recv_all(self->b, 4097, 100001, 65536, NULL));
	EXPECT_EQ(100001, io_join(&t));
}

TEST_F(splice, sendfile_that_may_not_wait_takes_what_fits)
{
	long limit = io_sndbuf(self->a);
	off_t off = 0;

	ASSERT_LT(limit, FILE_SIZE);
	ASSERT_OK(nym_set_nonblock(self->a, true));
	EXPECT_RETURNS(limit, sendfile(self->a, self->file, &off, FILE_SIZE));
	EXPECT_EQ(limit, off);
	EXPECT_ERRNO(EAGAIN, sendfile(self->a, self->file, &off, 1));
	EXPECT_EQ(limit, off);
	EXPECT_EQ(limit, io_drain(self->b, 0));
}

TEST_F(splice, sendfile_to_a_gone_peer)
{
	off_t off = 0;

	close(self->b);
	self->b = -1;
	EXPECT_ERRNO(EPIPE, sendfile(self->a, self->file, &off, 10));
	EXPECT_EQ(0, off);
}

/* --- Pipe to socket --- */

TEST_F(splice, pipe_to_socket)
{
	long n;

	for (n = 0; n < 10; n++)
		ASSERT_EQ(700, write(self->p[1], io_at(n * 700), 700));
	EXPECT_RETURNS(1000, splice(self->p[0], NULL, self->a, NULL, 1000, 0));
	EXPECT_RETURNS(6000, splice(self->p[0], NULL, self->a, NULL, 9000,
				    SPLICE_F_MORE));
	EXPECT_EQ(7000, io_drain(self->b, 0));
	EXPECT_ERRNO(EAGAIN, splice(self->p[0], NULL, self->a, NULL, 1,
				    SPLICE_F_NONBLOCK));
	close(self->p[1]);
	self->p[1] = -1;
	EXPECT_RETURNS(0, splice(self->p[0], NULL, self->a, NULL, 1, 0));
}

TEST_F(splice, vmsplice_to_socket)
{
	struct iovec iov[2] = {
		{ (void *)io_at(0), 5000 }, { (void *)io_at(5000), 9 },
	};

	EXPECT_RETURNS(5009, vmsplice(self->p[1], iov, 2, 0));
	EXPECT_RETURNS(5009, splice(self->p[0], NULL, self->a, NULL, 5009,
				    SPLICE_F_MOVE));
	EXPECT_EQ(5009, io_drain(self->b, 0));
}

/* The bytes are the socket's own: the page may change after the splice. */
TEST_F(splice, spliced_pages_are_copied)
{
	char page[64] = "before";
	struct iovec iov = { page, sizeof(page) };
	char buf[64];

	EXPECT_RETURNS(64, vmsplice(self->p[1], &iov, 1, 0));
	EXPECT_RETURNS(64, splice(self->p[0], NULL, self->a, NULL, 64, 0));
	memcpy(page, "after!", 7);
	EXPECT_EQ(64, recv(self->b, buf, 64, 0));
	EXPECT_STREQ("before", buf);
}

TEST_F(splice, a_full_socket_leaves_the_rest_in_the_pipe)
{
	long limit = io_sndbuf(self->a);
	int left = -1;

	ASSERT_OK(nym_set_nonblock(self->a, true));
	ASSERT_EQ(limit - 100, io_send_all(self->a, 0, limit - 100));
	ASSERT_EQ(250, write(self->p[1], io_at(limit - 100), 250));
	EXPECT_RETURNS(100, splice(self->p[0], NULL, self->a, NULL, 250, 0));
	EXPECT_ERRNO(EAGAIN, splice(self->p[0], NULL, self->a, NULL, 150, 0));
	ASSERT_OK(ioctl(self->p[0], FIONREAD, &left));
	EXPECT_EQ(150, left);
	EXPECT_EQ(limit, io_drain(self->b, 0));
	EXPECT_RETURNS(150, splice(self->p[0], NULL, self->a, NULL, 250, 0));
	EXPECT_EQ(150, io_drain(self->b, limit));
}

TEST_F(splice, pipe_to_a_gone_peer_keeps_the_data)
{
	int left = -1;

	ASSERT_EQ(10, write(self->p[1], io_at(0), 10));
	close(self->b);
	self->b = -1;
	EXPECT_ERRNO(EPIPE, splice(self->p[0], NULL, self->a, NULL, 10, 0));
	ASSERT_OK(ioctl(self->p[0], FIONREAD, &left));
	EXPECT_EQ(10, left);
}

/* --- Socket to pipe --- */

TEST_F(splice, socket_to_pipe)
{
	__u8 buf[5000];

	ASSERT_EQ(5000, io_send_all(self->a, 0, 5000));
	EXPECT_RETURNS(100, splice(self->b, NULL, self->p[1], NULL, 100, 0));
	EXPECT_RETURNS(4900, splice(self->b, NULL, self->p[1], NULL, 60000, 0));
	EXPECT_EQ(5000, read(self->p[0], buf, 5000));
	EXPECT_TRUE(io_is(buf, 0, 5000));
	EXPECT_EQ(0, io_inq(self->b));
	EXPECT_EQ(0, io_outq(self->a));
}

TEST_F(splice, an_empty_socket_may_say_eagain)
{
	EXPECT_ERRNO(EAGAIN, splice(self->b, NULL, self->p[1], NULL, 10,
				    SPLICE_F_NONBLOCK));
	ASSERT_OK(nym_set_nonblock(self->b, true));
	EXPECT_ERRNO(EAGAIN, splice(self->b, NULL, self->p[1], NULL, 10, 0));
}

static long do_splice_in(struct io_thread *t)
{
	return splice(t->fd, NULL, *(int *)t->arg, NULL, t->len, t->flags);
}

TEST_F(splice, an_empty_socket_is_waited_for)
{
	struct io_thread t = { .fd = self->b, .len = 10, .arg = &self->p[1] };
	__u8 buf[10];

	io_start(&t, do_splice_in);
	ASSERT_TRUE(io_wait_blocked(&t));
	ASSERT_EQ(4, io_send_all(self->a, 0, 4));
	EXPECT_EQ(4, io_join(&t));
	EXPECT_EQ(4, read(self->p[0], buf, 10));
	EXPECT_TRUE(io_is(buf, 0, 4));
}

TEST_F(splice, the_end_of_the_stream_is_zero)
{
	ASSERT_EQ(4, io_send_all(self->a, 0, 4));
	close(self->a);
	self->a = -1;
	EXPECT_RETURNS(4, splice(self->b, NULL, self->p[1], NULL, 10, 0));
	EXPECT_RETURNS(0, splice(self->b, NULL, self->p[1], NULL, 10, 0));
	EXPECT_RETURNS(0, splice(self->b, NULL, self->p[1], NULL, 10,
				 SPLICE_F_NONBLOCK));
}

TEST_F(splice, a_reset_is_told_once)
{
	ASSERT_EQ(4, io_send_all(self->b, 0, 4));
	close(self->a);
	self->a = -1;
	EXPECT_ERRNO(ECONNRESET, splice(self->b, NULL, self->p[1], NULL, 10, 0));
	EXPECT_RETURNS(0, splice(self->b, NULL, self->p[1], NULL, 10, 0));
}

TEST_F(splice, a_full_pipe_takes_nothing_and_loses_nothing)
{
	static __u8 fill[PIPE_SIZE];
	long pos = 0;

	ASSERT_OK(nym_set_nonblock(self->p[1], true));
	while (write(self->p[1], fill, 4096) > 0)
		;
	ASSERT_EQ(100, io_send_all(self->a, 0, 100));
	EXPECT_ERRNO(EAGAIN, splice(self->b, NULL, self->p[1], NULL, 100,
				    SPLICE_F_NONBLOCK));
	EXPECT_EQ(100, io_inq(self->b));
	/* One free page in the pipe is enough for all of it. */
	ASSERT_EQ(4096, read(self->p[0], fill, 4096));
	EXPECT_RETURNS(100, splice(self->b, NULL, self->p[1], NULL, 100,
				   SPLICE_F_NONBLOCK));
	while (pos < PIPE_SIZE - 4096) {
		ssize_t n = read(self->p[0], fill, PIPE_SIZE - 4096 - pos);

		ASSERT_LT(0, n);
		pos += n;
	}
	EXPECT_EQ(100, read(self->p[0], fill, sizeof(fill)));
	EXPECT_TRUE(io_is(fill, 0, 100));
}

TEST_F(splice, a_pipe_without_reader_loses_nothing)
{
	ASSERT_EQ(100, io_send_all(self->a, 0, 100));
	close(self->p[0]);
	self->p[0] = -1;
	EXPECT_ERRNO(EPIPE, splice(self->b, NULL, self->p[1], NULL, 100, 0));
	EXPECT_EQ(100, io_drain(self->b, 0));
}

/* More in the socket than the pipe holds: a part goes, the rest stays. */
TEST_F(splice, a_big_stream_fills_a_small_pipe)
{
	__u8 buf[4096 * 2];
	long got = 0;

	ASSERT_EQ(8192, fcntl(self->p[1], F_SETPIPE_SZ, 8192));
	ASSERT_EQ(100000, io_send_all(self->a, 0, 100000));
	while (got < 100000) {
		ssize_t n = splice(self->b, NULL, self->p[1], NULL, 100000,
				   SPLICE_F_NONBLOCK);

		ASSERT_LT(0, n);
		ASSERT_GE(8192, n);
		ASSERT_EQ(n, read(self->p[0], buf, sizeof(buf)));
		ASSERT_TRUE(io_is(buf, got, n));
		got += n;
		ASSERT_EQ(100000 - got, io_inq(self->b));
	}
}

/* --- Chains --- */

TEST_F(splice, socket_through_pipe_to_file)
{
	struct io_thread t = { .fd = self->a, .len = FILE_SIZE };
	int out = memfd_create("copy", MFD_CLOEXEC);
	__u8 *copy;
	long done = 0;

	ASSERT_FD(out);
	io_start(&t, io_do_send_all);
	while (done < FILE_SIZE) {
		ssize_t in = splice(self->b, NULL, self->p[1], NULL,
				    FILE_SIZE - done, 0);

		ASSERT_LT(0, in);
		while (in > 0) {
			ssize_t n = splice(self->p[0], NULL, out, NULL, in, 0);

			ASSERT_LT(0, n);
			in -= n;
			done += n;
		}
	}
	EXPECT_EQ(FILE_SIZE, io_join(&t));
	copy = mmap(NULL, FILE_SIZE, PROT_READ, MAP_SHARED, out, 0);
	ASSERT_NE(MAP_FAILED, copy);
	EXPECT_TRUE(io_is(copy, 0, FILE_SIZE));
	munmap(copy, FILE_SIZE);
	close(out);
}

/* A relay: one connection's bytes are spliced into another one. */
static long do_relay(struct io_thread *t)
{
	int *fd = t->arg;	/* pipe read, pipe write, out */
	long done = 0;

	while (done < (long)t->len) {
		ssize_t in = splice(t->fd, NULL, fd[1], NULL, t->len - done, 0);

		if (in <= 0)
			return -1;
		for (done += in; in > 0;) {
			ssize_t n = splice(fd[0], NULL, fd[2], NULL, in, 0);

			if (n <= 0)
				return -1;
			in -= n;
		}
	}
	return done;
}

TEST_F(splice, socket_through_pipe_to_socket)
{
	int second[2], fds[3];
	struct io_thread out = { .fd = self->a, .len = FILE_SIZE };
	struct io_thread relay = { .fd = self->b, .len = FILE_SIZE, .arg = fds };
	__u32 seed = io_seed();

	TH_LOG("seed %u", seed);
	ASSERT_OK(nym_pair(second));
	fds[0] = self->p[0];
	fds[1] = self->p[1];
	fds[2] = second[0];
	io_start(&out, io_do_send_all);
	io_start(&relay, do_relay);
	EXPECT_EQ(FILE_SIZE, io_recv_all(second[1], 0, FILE_SIZE, 9999, &seed));
	EXPECT_EQ(FILE_SIZE, io_join(&out));
	EXPECT_EQ(FILE_SIZE, io_join(&relay));
	close(second[0]);
	close(second[1]);
}

TEST_F(splice, tee_of_received_data_gives_it_twice)
{
	__u8 buf[3000];
	int copy[2];

	ASSERT_OK(pipe2(copy, O_CLOEXEC));
	ASSERT_EQ(3000, io_send_all(self->a, 0, 3000));
	ASSERT_RETURNS(3000, splice(self->b, NULL, self->p[1], NULL, 3000, 0));
	EXPECT_RETURNS(3000, tee(self->p[0], copy[1], 3000, 0));
	/* Later traffic must not change pages that a pipe still shows. */
	ASSERT_EQ(8000, io_send_all(self->a, 777, 8000));
	EXPECT_EQ(8000, io_drain(self->b, 777));
	EXPECT_EQ(3000, read(self->p[0], buf, 3000));
	EXPECT_TRUE(io_is(buf, 0, 3000));
	EXPECT_EQ(3000, read(copy[0], buf, 3000));
	EXPECT_TRUE(io_is(buf, 0, 3000));
	close(copy[0]);
	close(copy[1]);
}

/* Pages in a pipe outlive the connection that they came through. */
TEST_F(splice, spliced_data_outlives_the_socket)
{
	__u8 buf[5000];

	ASSERT_EQ(5000, io_send_all(self->a, 0, 5000));
	ASSERT_RETURNS(5000, splice(self->b, NULL, self->p[1], NULL, 5000, 0));
	close(self->a);
	close(self->b);
	self->a = -1;
	self->b = -1;
	EXPECT_EQ(5000, read(self->p[0], buf, 5000));
	EXPECT_TRUE(io_is(buf, 0, 5000));
}

/* --- Errors, as AF_UNIX gives them --- */

static long splice_errno(int in, off64_t *off_in, int out, off64_t *off_out)
{
	return splice(in, off_in, out, off_out, 10, SPLICE_F_NONBLOCK) < 0 ?
	       errno : 0;
}

static long sendfile_errno(int out, int in)
{
	return sendfile(out, in, NULL, 10) < 0 ? errno : 0;
}

/* Everything wrong on one socket, answers in a row. */
static void wrong_calls(int fd, const int p[2], int file, long got[8])
{
	off64_t off = 0;

	got[0] = splice_errno(fd, NULL, p[1], NULL);
	got[1] = splice_errno(p[0], NULL, fd, NULL);
	got[2] = splice_errno(fd, &off, p[1], NULL);
	got[3] = splice_errno(p[0], NULL, fd, &off);
	got[4] = splice_errno(fd, NULL, fd, NULL);
	got[5] = sendfile_errno(fd, file);
	got[6] = sendfile_errno(file, fd);
	got[7] = tee(fd, p[1], 10, 0) < 0 ? errno : 0;
}

static void compare(struct __test_metadata *_metadata, int ours, int theirs,
		    const int p[2], int file)
{
	long want[8], got[8];
	int i;

	ASSERT_EQ(1, write(p[1], "x", 1));
	wrong_calls(theirs, p, file, want);
	wrong_calls(ours, p, file, got);
	for (i = 0; i < 8; i++) {
		EXPECT_EQ(want[i], got[i]) {
			TH_LOG("call %d", i);
		}
	}
}

TEST_F(splice, errors_of_an_unconnected_socket)
{
	int ours = nym_socket();
	int theirs = socket(AF_UNIX, SOCK_STREAM, 0);

	compare(_metadata, ours, theirs, self->p, self->file);
	EXPECT_ERRNO(EINVAL, splice(ours, NULL, self->p[1], NULL, 10, 0));
	EXPECT_ERRNO(ENOTCONN, splice(self->p[0], NULL, ours, NULL, 10, 0));
	close(ours);
	close(theirs);
}

TEST_F(splice, errors_of_a_listener)
{
	int ours = nym_listen("t/splice", 1);
	int theirs = socket(AF_UNIX, SOCK_STREAM, 0);

	ASSERT_OK(bind(theirs, &(struct sockaddr){ .sa_family = AF_UNIX }, 2));
	ASSERT_OK(listen(theirs, 1));
	compare(_metadata, ours, theirs, self->p, self->file);
	EXPECT_ERRNO(EINVAL, splice(ours, NULL, self->p[1], NULL, 10, 0));
	close(ours);
	close(theirs);
}

TEST_F(splice, errors_of_a_socket_shut_both_ways)
{
	int un[2];

	ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, un));
	ASSERT_OK(shutdown(un[0], SHUT_RDWR));
	ASSERT_OK(shutdown(self->a, SHUT_RDWR));
	compare(_metadata, self->a, un[0], self->p, self->file);
	close(un[0]);
	close(un[1]);
}

NYM_TEST_MAIN
