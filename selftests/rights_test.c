// SPDX-License-Identifier: GPL-2.0
/*
 * Passing descriptors (SCM_RIGHTS): who accepts them, what arrives, what is
 * closed when it cannot arrive, how many a user may have under way, and that
 * sockets under way never form a cycle.
 *
 * A pipe tells where the last copy of its writing end went: while one is under
 * way the pipe has a writer, and once all are closed it has come to its end.
 */
#include "nym_test.h"
#include "nym_io.h"
#include "nym_scm.h"

#include <linux/io_uring.h>
#include <linux/userfaultfd.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define NAME		"t/rights/srv"
#define PAGE		4096
#define RECORD_HEADER	8	/* what a record counts besides its bytes */

static void *const bad_pointer = (void *)8;

static void on_signal(int sig)
{
}

static void catch_signal(void)
{
	struct sigaction sa = { .sa_handler = on_signal };

	sigaction(SIGUSR1, &sa, NULL);
}

static void expect_nothing(struct __test_metadata *_metadata, int fd)
{
	char c;

	EXPECT_ERRNO(EAGAIN, recv(fd, &c, 1, MSG_DONTWAIT));
}

/* Receives "x" with @n descriptors, which are then closed. */
static void expect_fds(struct __test_metadata *_metadata, int fd, int n)
{
	int before = scm_count_fds();
	struct scm_in in;
	char c = 0;

	EXPECT_RETURNS(1, scm_recv(fd, &c, 1, MSG_DONTWAIT, &in));
	EXPECT_EQ('x', c);
	EXPECT_EQ(0, in.flags);
	EXPECT_EQ(0, in.odd);
	EXPECT_EQ(n, in.nfds);
	EXPECT_EQ(before + n, scm_count_fds());
	scm_close(&in);
}

/* --- On a pair --- */

FIXTURE(rights) {
	int a;
	int b;
	int r;	/* a pipe */
	int w;
	struct io_thread t;
};

FIXTURE_VARIANT(rights) {
	int type;
};

FIXTURE_VARIANT_ADD(rights, stream) {
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(rights, seqpacket) {
	.type = SOCK_SEQPACKET,
};

FIXTURE_VARIANT_ADD(rights, dgram) {
	.type = SOCK_DGRAM,
};

FIXTURE_SETUP(rights)
{
	int fd[2];

	SKIP_WITHOUT_NYM();
	ASSERT_OK(scm_pair(variant->type, fd));
	self->a = fd[0];
	self->b = fd[1];
	ASSERT_OK(pipe2(fd, O_CLOEXEC));
	self->r = fd[0];
	self->w = fd[1];
	catch_signal();
}

FIXTURE_TEARDOWN(rights)
{
	close(self->a);
	close(self->b);
	close(self->r);
	close(self->w);
}

/* The last copy that is not under way. */
#define CLOSE_W() do { \
	close(self->w); \
	self->w = -1; \
} while (0)

TEST_F(rights, a_descriptor_arrives)
{
	struct scm_in in;
	char buf[4];

	ASSERT_RETURNS(1, scm_send_fd(self->a, self->w));
	EXPECT_RETURNS(1, scm_recv(self->b, buf, 4, 0, &in));
	EXPECT_EQ('x', buf[0]);
	EXPECT_EQ(0, in.flags);
	EXPECT_EQ(0, in.odd);
	EXPECT_EQ(CMSG_SPACE(sizeof(int)), in.controllen);
	ASSERT_EQ(1, in.nfds);
	EXPECT_NE(self->w, in.fds[0]);
	EXPECT_TRUE(scm_same_file(self->w, in.fds[0]));
	EXPECT_EQ(0, fcntl(in.fds[0], F_GETFD));
	CLOSE_W();
	EXPECT_RETURNS(2, write(in.fds[0], "ok", 2));
	EXPECT_RETURNS(2, read(self->r, buf, 4));
	EXPECT_TRUE(scm_has_writer(self->r));
	scm_close(&in);
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

TEST_F(rights, stay_open_while_under_way)
{
	int fd;

	ASSERT_RETURNS(1, scm_send_fd(self->a, self->w));
	CLOSE_W();
	EXPECT_TRUE(scm_has_writer(self->r));
	fd = scm_recv_fd(self->b);
	ASSERT_FD(fd);
	EXPECT_TRUE(scm_has_writer(self->r));
	close(fd);
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

TEST_F(rights, close_on_exec_where_asked_for)
{
	int fd[2] = { self->r, self->w };
	struct scm_in in;
	char c;

	ASSERT_RETURNS(1, scm_send_fds(self->a, "x", 1, fd, 2, 0));
	EXPECT_RETURNS(1, scm_recv(self->b, &c, 1, MSG_CMSG_CLOEXEC, &in));
	EXPECT_EQ(MSG_CMSG_CLOEXEC, in.flags);
	ASSERT_EQ(2, in.nfds);
	EXPECT_EQ(FD_CLOEXEC, fcntl(in.fds[0], F_GETFD));
	EXPECT_EQ(FD_CLOEXEC, fcntl(in.fds[1], F_GETFD));
	/* That is a matter of each receiver and not of the file. */
	EXPECT_EQ(FD_CLOEXEC, fcntl(self->w, F_GETFD));
	scm_close(&in);
	ASSERT_RETURNS(1, scm_send_fds(self->a, "x", 1, fd, 2, 0));
	EXPECT_RETURNS(1, scm_recv(self->b, &c, 1, 0, &in));
	ASSERT_EQ(2, in.nfds);
	EXPECT_EQ(0, fcntl(in.fds[0], F_GETFD));
	EXPECT_EQ(0, fcntl(in.fds[1], F_GETFD));
	scm_close(&in);
}

TEST_F(rights, keep_their_order_and_take_the_lowest_numbers)
{
	int fds[10], i, low;
	struct scm_in in;
	char c;

	for (i = 0; i < 10; i++) {
		fds[i] = eventfd(i, EFD_CLOEXEC);
		ASSERT_FD(fds[i]);
	}
	low = dup(0);
	ASSERT_FD(low);
	close(low);
	ASSERT_RETURNS(1, scm_send_fds(self->a, "x", 1, fds, 10, 0));
	EXPECT_RETURNS(1, scm_recv(self->b, &c, 1, 0, &in));
	ASSERT_EQ(10, in.nfds);
	EXPECT_EQ(CMSG_SPACE(10 * sizeof(int)), in.controllen);
	for (i = 0; i < 10; i++) {
		EXPECT_EQ(low + i, in.fds[i]);
		EXPECT_TRUE(scm_same_file(fds[i], in.fds[i]));
		close(fds[i]);
	}
	scm_close(&in);
}

TEST_F(rights, up_to_253_in_a_message)
{
	int fds[300], i;

	for (i = 0; i < 300; i++)
		fds[i] = self->w;
	ASSERT_RETURNS(1, scm_send_fds(self->a, "x", 1, fds, 253, 0));
	expect_fds(_metadata, self->b, 253);
	ASSERT_RETURNS(1, scm_send_fds(self->a, "x", 1, fds, 252, 0));
	EXPECT_ERRNO(EINVAL, scm_send_fds(self->a, "x", 1, fds, 254, 0));
	EXPECT_ERRNO(EINVAL, scm_send_fds(self->a, "x", 1, fds, 255, 0));
	EXPECT_ERRNO(EINVAL, scm_send_fds(self->a, "x", 1, fds, 300, 0));
	expect_fds(_metadata, self->b, 252);
	expect_nothing(_metadata, self->b);
	CLOSE_W();
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

/* Several lists are one when they arrive, and their lengths add up. */
TEST_F(rights, in_several_lists)
{
	struct scm_out out = { .len = 0 };
	int fds[253], i;
	struct scm_in in;
	char c;

	for (i = 0; i < 253; i++)
		fds[i] = self->w;
	scm_add_fds(&out, &self->r, 1);
	scm_add_fds(&out, &self->w, 1);
	scm_add_fds(&out, (int []){ self->a, self->w }, 2);
	ASSERT_RETURNS(1, scm_send(self->a, "x", 1, &out, 0));
	EXPECT_RETURNS(1, scm_recv(self->b, &c, 1, 0, &in));
	EXPECT_EQ(0, in.odd);
	ASSERT_EQ(4, in.nfds);
	EXPECT_TRUE(scm_same_file(self->r, in.fds[0]));
	EXPECT_TRUE(scm_same_file(self->w, in.fds[1]));
	EXPECT_TRUE(scm_same_file(self->a, in.fds[2]));
	EXPECT_TRUE(scm_same_file(self->w, in.fds[3]));
	scm_close(&in);

	out.len = 0;
	scm_add_fds(&out, fds, 100);
	scm_add_fds(&out, fds, 153);
	ASSERT_RETURNS(1, scm_send(self->a, "x", 1, &out, 0));
	expect_fds(_metadata, self->b, 253);
	scm_add_fds(&out, fds, 1);
	EXPECT_ERRNO(EINVAL, scm_send(self->a, "x", 1, &out, 0));
	expect_nothing(_metadata, self->b);
	CLOSE_W();
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

TEST_F(rights, an_empty_list_is_no_list)
{
	struct scm_out out = { .len = 0 };
	struct scm_in in;
	char c;

	/* Not even consent is needed. */
	ASSERT_OK(scm_pass_rights(self->b, 0));
	ASSERT_RETURNS(1, scm_send_fds(self->a, "x", 1, NULL, 0, 0));
	EXPECT_RETURNS(1, scm_recv(self->b, &c, 1, 0, &in));
	EXPECT_EQ(0U, in.controllen);
	EXPECT_EQ(0, in.flags);
	/* A piece of a number is none. */
	ASSERT_OK(scm_pass_rights(self->b, 1));
	memcpy(scm_add(&out, SOL_SOCKET, SCM_RIGHTS, 7), &self->w, sizeof(int));
	ASSERT_RETURNS(1, scm_send(self->a, "x", 1, &out, 0));
	expect_fds(_metadata, self->b, 1);
	out.len = 0;
	scm_add(&out, SOL_SOCKET, SCM_RIGHTS, 3);
	ASSERT_RETURNS(1, scm_send(self->a, "x", 1, &out, 0));
	expect_fds(_metadata, self->b, 0);
}

TEST_F(rights, of_every_kind_of_file)
{
	int pair[2], i, files[16], n = 0;

	files[n++] = open("/proc/self/exe", O_RDONLY);
	files[n++] = open("/", O_RDONLY | O_DIRECTORY);
	files[n++] = open("/dev/null", O_RDWR);
	files[n++] = memfd_create("nym", 0);
	files[n++] = epoll_create1(0);
	files[n++] = eventfd(0, 0);
	files[n++] = socket(AF_INET, SOCK_DGRAM, 0);
	files[n++] = socket(AF_INET, SOCK_STREAM, 0);
	files[n++] = socket(AF_NETLINK, SOCK_RAW, 0);
	files[n++] = syscall(SYS_pidfd_open, getpid(), 0);
	files[n++] = scm_socket(SOCK_STREAM);
	files[n++] = scm_socket(SOCK_SEQPACKET);
	files[n++] = scm_socket(SOCK_DGRAM);
	ASSERT_OK(scm_pair(SOCK_STREAM, pair));
	files[n++] = pair[0];
	files[n++] = pair[1];
	for (i = 0; i < n; i++) {
		int got;

		ASSERT_FD(files[i]);
		ASSERT_RETURNS(1, scm_send_fd(self->a, files[i])) {
			TH_LOG("file %d", i);
		}
		got = scm_recv_fd(self->b);
		ASSERT_FD(got);
		EXPECT_TRUE(scm_same_file(files[i], got));
		close(got);
		close(files[i]);
	}
	/* A descriptor that is only a place. */
	files[0] = open("/proc/self/exe", O_PATH);
	ASSERT_FD(files[0]);
	ASSERT_RETURNS(1, scm_send_fd(self->a, files[0]));
	files[1] = scm_recv_fd(self->b);
	ASSERT_FD(files[1]);
	EXPECT_EQ(nym_inode(files[0]), nym_inode(files[1]));
	EXPECT_EQ(O_PATH, fcntl(files[1], F_GETFL) & O_PATH);
}

static int uring_fd(void)
{
	struct io_uring_params p = { 0 };

	return syscall(SYS_io_uring_setup, 1, &p);
}

/* What might close a circle behind our back. */
TEST_F(rights, of_files_that_may_not_be_sent)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };
	int un[2], fd;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		fd = socket(AF_UNIX, types[i], 0);
		ASSERT_FD(fd);
		EXPECT_ERRNO(EINVAL, scm_send_fd(self->a, fd));
		close(fd);
		ASSERT_OK(socketpair(AF_UNIX, types[i], 0, un));
		EXPECT_ERRNO(EINVAL, scm_send_fd(self->a, un[0]));
		EXPECT_ERRNO(EINVAL, scm_send_fd(self->a, un[1]));
		/* Nobody holds it: the other end is told when it is closed. */
		close(un[1]);
		EXPECT_RETURNS(-1, send(un[0], "x", 1, MSG_NOSIGNAL));
		close(un[0]);
	}
	fd = uring_fd();
	if (fd >= 0)
		EXPECT_ERRNO(EINVAL, scm_send_fd(self->a, fd));
	close(fd);
	expect_nothing(_metadata, self->b);
}

TEST_F(rights, of_descriptors_that_are_not_open)
{
	EXPECT_ERRNO(EBADF, scm_send_fd(self->a, -1));
	EXPECT_ERRNO(EBADF, scm_send_fd(self->a, AT_FDCWD));
	EXPECT_ERRNO(EBADF, scm_send_fd(self->a, 1000000));
	EXPECT_ERRNO(EBADF, scm_send_fd(self->a, INT_MAX));
	EXPECT_ERRNO(EBADF, scm_send_fd(self->a, INT_MIN));
	EXPECT_ERRNO(EBADF, scm_send_fd(self->a, 500));
	expect_nothing(_metadata, self->b);
}

/* The list goes wrong at its end: nothing is sent, nothing stays behind. */
TEST_F(rights, an_error_in_the_middle_of_a_list_leaks_nothing)
{
	int un = socket(AF_UNIX, SOCK_STREAM, 0), uring = uring_fd(), i;
	int bad[] = { -1, un, self->b, uring };
	int want[] = { EBADF, EINVAL, ETOOMANYREFS, EINVAL };
	struct scm_out out;

	ASSERT_FD(un);
	for (i = 0; i < (uring < 0 ? 3 : 4); i++) {
		int fds[] = { self->w, self->w, bad[i], self->w };

		EXPECT_ERRNO(want[i], scm_send_fds(self->a, "x", 1, fds, 4, 0));
		EXPECT_ERRNO(want[i], scm_send_fds(self->a, "x", 1, fds, 3, 0));
		/* In a second list. */
		out.len = 0;
		scm_add_fds(&out, &self->w, 1);
		scm_add_fds(&out, &bad[i], 1);
		EXPECT_ERRNO(want[i], scm_send(self->a, "x", 1, &out, 0));
	}
	/* Other messages behind the list that are wrong. */
	out.len = 0;
	scm_add_fds(&out, &self->w, 1);
	scm_add(&out, SOL_SOCKET, 77, 4);
	EXPECT_ERRNO(EINVAL, scm_send(self->a, "x", 1, &out, 0));
	out.len = 0;
	scm_add_fds(&out, &self->w, 1);
	scm_add(&out, SOL_SOCKET, SCM_CREDENTIALS, 4);
	EXPECT_ERRNO(EINVAL, scm_send(self->a, "x", 1, &out, 0));
	out.len = 0;
	scm_add_fds(&out, &self->w, 1);
	scm_add_cred(&out, -1, 0, 0);
	EXPECT_ERRNO(ESRCH, scm_send(self->a, "x", 1, &out, 0));
	CLOSE_W();
	EXPECT_TRUE(scm_has_no_writer(self->r));
	expect_nothing(_metadata, self->b);
	close(un);
	close(uring);
}

/* --- Consent --- */

TEST_F(rights, are_refused_where_nobody_asked)
{
	ASSERT_OK(scm_pass_rights(self->b, 0));
	EXPECT_ERRNO(EPERM, scm_send_fd(self->a, self->w));
	CLOSE_W();
	EXPECT_TRUE(scm_has_no_writer(self->r));
	expect_nothing(_metadata, self->b);
	/* The bytes alone are welcome. */
	ASSERT_RETURNS(1, send(self->a, "x", 1, 0));
	expect_fds(_metadata, self->b, 0);
	/* Each end decides for itself. */
	ASSERT_RETURNS(1, scm_send_fd(self->b, self->r));
	expect_fds(_metadata, self->a, 1);
	ASSERT_OK(scm_pass_rights(self->a, 0));
	ASSERT_OK(scm_pass_rights(self->b, 1));
	EXPECT_ERRNO(EPERM, scm_send_fd(self->b, self->r));
	ASSERT_RETURNS(1, scm_send_fd(self->a, self->r));
	expect_fds(_metadata, self->b, 1);
	expect_nothing(_metadata, self->a);
}

/* Even a call that would have waited is refused at once. */
TEST_F(rights, are_refused_without_waiting)
{
	ASSERT_OK(scm_pass_rights(self->b, 0));
	ASSERT_TRUE(scm_fill(self->a));
	ASSERT_OK(io_set_timeout(self->a, SO_SNDTIMEO, 100));
	EXPECT_ERRNO(EPERM, scm_send_fds(self->a, "x", 1, &self->w, 1, 0));
	EXPECT_ERRNO(EPERM, scm_send_fd(self->a, self->w));
}

TEST_F(rights, are_closed_when_consent_is_withdrawn)
{
	struct scm_in in;
	int before;
	char c;

	ASSERT_RETURNS(1, scm_send_fd(self->a, self->w));
	ASSERT_OK(scm_pass_rights(self->b, 0));
	CLOSE_W();
	EXPECT_TRUE(scm_has_writer(self->r));
	before = scm_count_fds();
	EXPECT_RETURNS(1, scm_recv(self->b, &c, 1, 0, &in));
	EXPECT_EQ('x', c);
	EXPECT_EQ(MSG_CTRUNC, in.flags);
	EXPECT_EQ(0U, in.controllen);
	EXPECT_EQ(before, scm_count_fds());
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

TEST_F(rights, arrive_when_consent_is_given_again)
{
	ASSERT_RETURNS(1, scm_send_fd(self->a, self->w));
	ASSERT_OK(scm_pass_rights(self->b, 0));
	ASSERT_OK(scm_pass_rights(self->b, 1));
	expect_fds(_metadata, self->b, 1);
}

/* --- Too little room --- */

/* Receives @n descriptors with a control buffer of @room bytes. */
static void expect_truncated(struct __test_metadata *_metadata, int fd, int n,
			     size_t room)
{
	int fit = room > CMSG_LEN(0) ? (room - CMSG_LEN(0)) / sizeof(int) : 0;
	int before = scm_count_fds();
	struct scm_in in;
	size_t used;
	char c = 0;

	fit = fit < n ? fit : n;
	used = CMSG_SPACE(fit * sizeof(int));
	used = !fit ? 0 : used < room ? used : room;
	ASSERT_RETURNS(1, scm_recv_room(fd, &c, 1, 0, room, &in));
	EXPECT_EQ('x', c);
	EXPECT_EQ(0, in.odd);
	EXPECT_EQ(fit < n ? MSG_CTRUNC : 0, in.flags) {
		TH_LOG("%d descriptors, room %zu", n, room);
	}
	EXPECT_EQ(fit, in.nfds) {
		TH_LOG("%d descriptors, room %zu", n, room);
	}
	EXPECT_EQ(used, in.controllen) {
		TH_LOG("%d descriptors, room %zu", n, room);
	}
	EXPECT_EQ(before + fit, scm_count_fds()) {
		TH_LOG("%d descriptors, room %zu", n, room);
	}
	scm_close(&in);
	EXPECT_EQ(before, scm_count_fds());
}

TEST_F(rights, as_many_as_fit_arrive)
{
	int fds[5], n;
	size_t room;

	for (n = 0; n < 5; n++) {
		fds[n] = self->w;
		for (room = 0; room <= CMSG_SPACE(5 * sizeof(int)) + 4; room++) {
			ASSERT_RETURNS(1, scm_send_fds(self->a, "x", 1, fds, n,
						       0));
			expect_truncated(_metadata, self->b, n, room);
		}
	}
	CLOSE_W();
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

TEST_F(rights, as_many_of_253_as_fit_arrive)
{
	int fds[253], n;

	for (n = 0; n < 253; n++)
		fds[n] = self->w;
	for (n = 0; n <= 253; n += n < 3 || n > 250 ? 1 : 31) {
		ASSERT_RETURNS(1, scm_send_fds(self->a, "x", 1, fds, 253, 0));
		expect_truncated(_metadata, self->b, 253,
				 CMSG_LEN(n * sizeof(int)));
	}
	CLOSE_W();
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

/* The credentials come first and leave the descriptors what is left. */
TEST_F(rights, behind_credentials)
{
	const size_t head = CMSG_SPACE(sizeof(struct ucred));
	int fds[3] = { self->w, self->w, self->w };
	size_t room;

	ASSERT_OK(scm_pass_cred(self->b, 1));
	for (room = 1; room <= head + CMSG_SPACE(sizeof(fds)) + 4; room++) {
		size_t left = room > head ? room - head : 0;
		int fit = left > CMSG_LEN(0) ?
			  (left - CMSG_LEN(0)) / sizeof(int) : 0;
		int before = scm_count_fds();
		struct scm_in in;
		char c;

		fit = fit < 3 ? fit : 3;
		ASSERT_RETURNS(1, scm_send_fds(self->a, "x", 1, fds, 3, 0));
		ASSERT_RETURNS(1, scm_recv_room(self->b, &c, 1, 0, room, &in));
		EXPECT_EQ(0, in.odd);
		EXPECT_EQ(fit < 3 ? MSG_CTRUNC : 0, in.flags);
		EXPECT_EQ(room >= CMSG_LEN(sizeof(struct ucred)), in.ncreds);
		EXPECT_EQ(fit, in.nfds) {
			TH_LOG("room %zu", room);
		}
		EXPECT_EQ(before + fit, scm_count_fds());
		if (room >= CMSG_LEN(0))
			EXPECT_EQ(SCM_CREDENTIALS, in.first);
		scm_close(&in);
	}
	CLOSE_W();
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

TEST_F(rights, without_a_control_buffer_are_closed)
{
	int before = scm_count_fds(), i;
	struct scm_in in;
	char c;

	for (i = 0; i < 3; i++) {
		ASSERT_RETURNS(1, scm_send_fd(self->a, self->w));
		if (i == 0) {
			EXPECT_RETURNS(1, scm_recv_room(self->b, &c, 1, 0, 0,
							&in));
			EXPECT_EQ(MSG_CTRUNC, in.flags);
		} else if (i == 1) {
			EXPECT_RETURNS(1, recv(self->b, &c, 1, 0));
		} else {
			EXPECT_RETURNS(1, read(self->b, &c, 1));
		}
		EXPECT_EQ(before, scm_count_fds());
	}
	CLOSE_W();
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

/* The table of the receiver has room for some of them only. */
TEST_F(rights, as_many_as_the_table_takes_arrive)
{
	int fds[4] = { self->w, self->w, self->w, self->w }, take, low;
	struct rlimit was, limit;
	struct scm_in in;
	char c;

	ASSERT_OK(getrlimit(RLIMIT_NOFILE, &was));
	low = dup(0);
	ASSERT_FD(low);
	close(low);
	for (take = 0; take <= 4; take++) {
		int before = scm_count_fds();

		ASSERT_RETURNS(1, scm_send_fds(self->a, "x", 1, fds, 4, 0));
		limit = was;
		limit.rlim_cur = low + take;
		ASSERT_OK(setrlimit(RLIMIT_NOFILE, &limit));
		EXPECT_RETURNS(1, scm_recv(self->b, &c, 1, 0, &in));
		ASSERT_OK(setrlimit(RLIMIT_NOFILE, &was));
		EXPECT_EQ(take < 4 ? MSG_CTRUNC : 0, in.flags);
		EXPECT_EQ(take, in.nfds);
		EXPECT_EQ(before + take, scm_count_fds());
		scm_close(&in);
	}
	CLOSE_W();
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

/* A control buffer that begins in good memory and ends in bad. */
TEST_F(rights, into_bad_memory_are_closed)
{
	__u8 *mem = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fds[4] = { self->w, self->w, self->w, self->w }, good;
	char c;
	struct iovec iov = { .iov_base = &c, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_OK(mprotect(mem + PAGE, PAGE, PROT_NONE));
	for (good = 0; good <= 4; good++) {
		int before = scm_count_fds();
		struct scm_in in = { 0 };

		msg.msg_control = mem + PAGE - CMSG_LEN(good * sizeof(int));
		msg.msg_controllen = CMSG_SPACE(sizeof(fds));
		ASSERT_RETURNS(1, scm_send_fds(self->a, "x", 1, fds, 4, 0));
		ASSERT_RETURNS(1, recvmsg(self->b, &msg, 0));
		EXPECT_EQ(good < 4 ? MSG_CTRUNC : 0, msg.msg_flags);
		EXPECT_EQ(before + good, scm_count_fds());
		__scm_parse(&in, &msg);
		EXPECT_EQ(good, in.nfds);
		scm_close(&in);
	}
	/* Not even the head of it. */
	msg.msg_control = bad_pointer;
	msg.msg_controllen = CMSG_SPACE(sizeof(fds));
	ASSERT_RETURNS(1, scm_send_fds(self->a, "x", 1, fds, 4, 0));
	good = scm_count_fds();
	ASSERT_RETURNS(1, recvmsg(self->b, &msg, 0));
	EXPECT_EQ(MSG_CTRUNC, msg.msg_flags);
	EXPECT_EQ(good, scm_count_fds());
	CLOSE_W();
	EXPECT_TRUE(scm_has_no_writer(self->r));
	munmap(mem, 2 * PAGE);
}

/* --- Order --- */

TEST_F(rights, come_with_their_message)
{
	int fd[4], i;
	struct scm_in in;
	char buf[8];

	for (i = 0; i < 4; i++) {
		fd[i] = eventfd(0, EFD_CLOEXEC);
		ASSERT_FD(fd[i]);
		ASSERT_RETURNS(2, scm_send_fds(self->a, &"aabbccdd"[2 * i], 2,
					       &fd[i], 1, 0));
	}
	for (i = 0; i < 4; i++) {
		EXPECT_RETURNS(2, scm_recv(self->b, buf, 8, 0, &in));
		EXPECT_EQ(0, memcmp(buf, &"aabbccdd"[2 * i], 2));
		ASSERT_EQ(1, in.nfds);
		EXPECT_TRUE(scm_same_file(fd[i], in.fds[0]));
		scm_close(&in);
		close(fd[i]);
	}
	expect_nothing(_metadata, self->b);
}

TEST_F(rights, are_not_given_to_a_peek)
{
	int before, i;
	struct scm_in in;
	char buf[4];

	ASSERT_RETURNS(1, scm_send_fd(self->a, self->w));
	CLOSE_W();
	before = scm_count_fds();
	for (i = 0; i < 3; i++) {
		EXPECT_RETURNS(1, scm_recv(self->b, buf, 4, MSG_PEEK, &in));
		EXPECT_EQ('x', buf[0]);
		EXPECT_EQ(0U, in.controllen);
		EXPECT_EQ(before, scm_count_fds());
		EXPECT_RETURNS(1, scm_recv_room(self->b, buf, 4, MSG_PEEK, 0,
						&in));
		EXPECT_RETURNS(1, recv(self->b, buf, 4, MSG_PEEK));
	}
	EXPECT_TRUE(scm_has_writer(self->r));
	expect_fds(_metadata, self->b, 1);
	expect_nothing(_metadata, self->b);
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

TEST_F(rights, wake_and_reach_a_waiting_receiver)
{
	struct scm_in in;
	char buf[4];

	self->t = (struct io_thread){ .fd = self->b, .buf = buf, .len = 4,
				      .arg = &in };
	io_start(&self->t, scm_do_recv);
	ASSERT_TRUE(io_wait_blocked(&self->t));
	ASSERT_RETURNS(1, scm_send_fd(self->a, self->w));
	EXPECT_EQ(1, io_join(&self->t));
	ASSERT_EQ(1, in.nfds);
	EXPECT_TRUE(scm_same_file(self->w, in.fds[0]));
	scm_close(&in);
}

/* The bytes could not be copied: the next read gets both. */
TEST_F(rights, stay_with_data_that_could_not_be_read)
{
	int before = scm_count_fds();
	struct scm_in in;

	ASSERT_RETURNS(1, scm_send_fd(self->a, self->w));
	EXPECT_ERRNO(EFAULT, scm_recv(self->b, bad_pointer, 1, 0, &in));
	EXPECT_ERRNO(EFAULT, recv(self->b, bad_pointer, 1, 0));
	EXPECT_EQ(before, scm_count_fds());
	expect_fds(_metadata, self->b, 1);
	expect_nothing(_metadata, self->b);
}

/* What FIONREAD and SIOCOUTQ tell are bytes, whatever comes with them. */
TEST_F(rights, are_no_bytes)
{
	int out;

	ASSERT_RETURNS(1, send(self->a, "x", 1, 0));
	out = io_outq(self->a);
	ASSERT_LT(0, out);
	expect_fds(_metadata, self->b, 0);
	ASSERT_RETURNS(1, scm_send_fd(self->a, self->w));
	EXPECT_EQ(1, io_inq(self->b));
	EXPECT_EQ(out, io_outq(self->a));
	expect_fds(_metadata, self->b, 1);
	EXPECT_EQ(0, io_inq(self->b));
	EXPECT_EQ(0, io_outq(self->a));
}

/* Nor is there less room afterwards. */
TEST_F(rights, leave_all_of_the_room_again)
{
	long room, again;
	int i;

	ASSERT_TRUE(scm_fill(self->a));
	room = io_outq(self->a);
	scm_drain(self->b);
	for (i = 0; i < 300; i++) {
		ASSERT_RETURNS(1, scm_send_fd(self->a, self->w));
		if (i % 3 == 0)
			ASSERT_LT(0, scm_drain(self->b));
	}
	scm_drain(self->b);
	EXPECT_EQ(0, io_outq(self->a));
	ASSERT_TRUE(scm_fill(self->a));
	again = io_outq(self->a);
	EXPECT_EQ(room, again);
}

/* Nobody gets memory for nothing: they fill the queue, as bytes do. */
TEST_F(rights, take_room_in_the_queue)
{
	int n = 0;

	while (n < 100000 && scm_send_fd(self->a, self->w) == 1)
		n++;
	EXPECT_EQ(EAGAIN, errno);
	EXPECT_GT(20000, n);
	EXPECT_EQ(n, scm_drain(self->b));
}

/* What nobody will read takes no room; who waits to send is told of the end. */
TEST_F(rights, take_no_room_when_the_receiver_is_gone)
{
	while (scm_send_fd(self->a, self->w) == 1)
		;
	EXPECT_EQ(EAGAIN, errno);
	EXPECT_EQ(0, io_poll(self->a, POLLOUT, 0));
	self->t = (struct io_thread){ .fd = self->a, .flags = POLLOUT };
	io_start(&self->t, io_do_poll);
	ASSERT_TRUE(io_wait_blocked(&self->t));
	close(self->b);
	self->b = -1;
	EXPECT_LT(0, io_join(&self->t));
	EXPECT_EQ(POLLOUT, io_poll(self->a, POLLOUT, 0) & POLLOUT);
	CLOSE_W();
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

/* --- Sends that fail --- */

TEST_F(rights, are_not_sent_by_a_send_that_faults)
{
	EXPECT_ERRNO(EFAULT, scm_send_fds(self->a, bad_pointer, 1, &self->w, 1,
					  0));
	CLOSE_W();
	EXPECT_TRUE(scm_has_no_writer(self->r));
	expect_nothing(_metadata, self->b);
	ASSERT_RETURNS(1, send(self->a, "x", 1, 0));
	expect_fds(_metadata, self->b, 0);
}

TEST_F(rights, are_not_sent_where_there_is_no_room)
{
	ASSERT_TRUE(scm_fill(self->a));
	EXPECT_ERRNO(EAGAIN, scm_send_fds(self->a, "x", 1, &self->w, 1,
					  MSG_DONTWAIT));
	ASSERT_OK(io_set_timeout(self->a, SO_SNDTIMEO, 20));
	EXPECT_ERRNO(EAGAIN, scm_send_fds(self->a, "x", 1, &self->w, 1, 0));
	CLOSE_W();
	EXPECT_TRUE(scm_has_no_writer(self->r));
	EXPECT_EQ(0, scm_drain(self->b));
}

/* A sender waits for room, holding a descriptor. */
#define PARK_SENDER() do { \
	ASSERT_TRUE(scm_fill(self->a)); \
	self->t = (struct io_thread){ .fd = self->a, .arg = &self->w }; \
	io_start(&self->t, scm_do_send_fd); \
	ASSERT_TRUE(io_wait_blocked(&self->t)); \
} while (0)

TEST_F(rights, are_not_sent_by_a_send_that_is_interrupted)
{
	PARK_SENDER();
	ASSERT_OK(pthread_kill(self->t.thread, SIGUSR1));
	EXPECT_EQ(-1, io_join(&self->t));
	EXPECT_SAME_ERRNO(EINTR, self->t.err);
	CLOSE_W();
	EXPECT_TRUE(scm_has_no_writer(self->r));
	EXPECT_EQ(0, scm_drain(self->b));
}

TEST_F(rights, are_held_by_a_send_that_waits)
{
	int w;

	PARK_SENDER();
	/* The descriptors are those of the time of the call. */
	w = self->w;
	CLOSE_W();
	ASSERT_EQ(w, dup2(self->r, w));
	EXPECT_TRUE(scm_has_writer(self->r));
	EXPECT_EQ(1, scm_drain(self->b) + (io_join(&self->t) == 1 ?
					   scm_drain(self->b) : 0));
	EXPECT_EQ(1, self->t.ret);
	EXPECT_TRUE(scm_has_no_writer(self->r));
	close(w);
}

TEST_F(rights, are_not_sent_when_the_receiver_goes_meanwhile)
{
	PARK_SENDER();
	close(self->b);
	self->b = -1;
	EXPECT_EQ(-1, io_join(&self->t));
	/* What filled the queue was never read. */
	EXPECT_SAME_ERRNO(variant->type == SOCK_DGRAM ? ECONNREFUSED :
			  ECONNRESET, self->t.err);
	CLOSE_W();
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

TEST_F(rights, are_not_sent_when_the_receiver_turns_deaf_meanwhile)
{
	PARK_SENDER();
	ASSERT_OK(shutdown(self->b, SHUT_RD));
	EXPECT_EQ(-1, io_join(&self->t));
	EXPECT_SAME_ERRNO(EPIPE, self->t.err);
	CLOSE_W();
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

/* Consent counts when the message is queued, and when it is received. */
TEST_F(rights, do_not_arrive_when_consent_is_withdrawn_from_a_waiting_send)
{
	PARK_SENDER();
	ASSERT_OK(scm_pass_rights(self->b, 0));
	EXPECT_EQ(0, scm_drain(self->b));
	if (io_join(&self->t) < 0)
		EXPECT_SAME_ERRNO(EPERM, self->t.err);
	EXPECT_EQ(0, scm_drain(self->b));
	CLOSE_W();
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

TEST_F(rights, are_closed_with_a_sender_that_is_killed)
{
	pid_t pid;

	ASSERT_TRUE(scm_fill(self->a));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(self->b);
		scm_send_fds(self->a, "x", 1, &self->w, 1, 0);
		_exit(0);
	}
	CLOSE_W();
	ASSERT_TRUE(nym_wait_asleep(pid, SYS_sendmsg));
	EXPECT_TRUE(scm_has_writer(self->r));
	ASSERT_OK(kill(pid, SIGKILL));
	EXPECT_NE(0, nym_wait_child(pid));
	EXPECT_TRUE(scm_has_no_writer(self->r));
	EXPECT_EQ(0, scm_drain(self->b));
}

TEST_F(rights, are_not_sent_to_who_is_gone_or_deaf)
{
	ASSERT_OK(shutdown(self->b, SHUT_RD));
	EXPECT_ERRNO(EPIPE, scm_send_fd(self->a, self->w));
	close(self->b);
	self->b = -1;
	EXPECT_ERRNO(variant->type == SOCK_DGRAM ? ECONNREFUSED : EPIPE,
		     scm_send_fd(self->a, self->w));
	ASSERT_OK(shutdown(self->a, SHUT_WR));
	EXPECT_ERRNO(EPIPE, scm_send_fd(self->a, self->w));
	CLOSE_W();
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

TEST_F(rights, are_not_sent_without_a_connection)
{
	int fd = scm_socket(variant->type);

	ASSERT_FD(fd);
	EXPECT_ERRNO(ENOTCONN, scm_send_fd(fd, self->w));
	CLOSE_W();
	EXPECT_TRUE(scm_has_no_writer(self->r));
	close(fd);
}

TEST_F(rights, are_not_sent_out_of_band)
{
	EXPECT_ERRNO(EOPNOTSUPP, scm_send_fds(self->a, "x", 1, &self->w, 1,
					      MSG_OOB));
	CLOSE_W();
	EXPECT_TRUE(scm_has_no_writer(self->r));
	expect_nothing(_metadata, self->b);
}

/* --- Queues that are closed --- */

TEST_F(rights, are_closed_with_the_receiver)
{
	int i;

	for (i = 0; i < 20; i++)
		ASSERT_RETURNS(1, scm_send_fd(self->a, self->w));
	CLOSE_W();
	EXPECT_TRUE(scm_has_writer(self->r));
	close(self->b);
	self->b = -1;
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

TEST_F(rights, outlive_the_sender)
{
	ASSERT_RETURNS(1, scm_send_fd(self->a, self->w));
	ASSERT_RETURNS(1, scm_send_fd(self->a, self->w));
	CLOSE_W();
	close(self->a);
	self->a = -1;
	EXPECT_TRUE(scm_has_writer(self->r));
	expect_fds(_metadata, self->b, 1);
	EXPECT_TRUE(scm_has_writer(self->r));
	close(self->b);
	self->b = -1;
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

TEST_F(rights, in_both_directions_are_closed)
{
	ASSERT_RETURNS(1, scm_send_fd(self->a, self->w));
	ASSERT_RETURNS(1, scm_send_fd(self->b, self->w));
	CLOSE_W();
	close(self->a);
	self->a = -1;
	EXPECT_TRUE(scm_has_writer(self->r));
	close(self->b);
	self->b = -1;
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

TEST_F(rights, are_closed_after_shutdown_and_close)
{
	ASSERT_RETURNS(1, scm_send_fd(self->a, self->w));
	CLOSE_W();
	ASSERT_OK(shutdown(self->b, SHUT_RDWR));
	ASSERT_OK(shutdown(self->a, SHUT_RDWR));
	EXPECT_TRUE(scm_has_writer(self->r));
	close(self->b);
	self->b = -1;
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

TEST_F(rights, outlive_a_shutdown)
{
	ASSERT_RETURNS(1, scm_send_fd(self->a, self->w));
	ASSERT_OK(shutdown(self->a, SHUT_WR));
	expect_fds(_metadata, self->b, 1);
}

TEST_F(rights, are_closed_with_a_receiver_that_is_killed)
{
	int ready[2];
	pid_t pid;
	char c;

	ASSERT_OK(pipe(ready));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(self->w);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	ASSERT_RETURNS(1, read(ready[0], &c, 1));
	close(self->b);
	self->b = -1;
	ASSERT_RETURNS(1, scm_send_fd(self->a, self->w));
	CLOSE_W();
	EXPECT_TRUE(scm_has_writer(self->r));
	ASSERT_OK(kill(pid, SIGKILL));
	EXPECT_NE(0, nym_wait_child(pid));
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

/* A process that has ended gave one that it did not have before. */
TEST_F(rights, reach_another_process)
{
	pid_t pid = fork();
	char buf[8];
	int fd;

	ASSERT_LE(0, pid);
	if (!pid) {
		int p[2];

		EXPECT_OK(pipe(p));
		EXPECT_RETURNS(5, write(p[1], "hello", 5));
		EXPECT_RETURNS(1, scm_send_fd(self->a, p[0]));
		_exit(0);
	}
	ASSERT_OK(nym_wait_child(pid));
	fd = scm_recv_fd(self->b);
	ASSERT_FD(fd);
	EXPECT_RETURNS(5, read(fd, buf, 8));
	EXPECT_RETURNS(0, read(fd, buf, 8));
	close(fd);
}

TEST_F(rights, are_closed_by_splice)
{
	int p[2];
	char c;

	ASSERT_OK(pipe(p));
	ASSERT_RETURNS(1, scm_send_fd(self->a, self->w));
	CLOSE_W();
	ASSERT_RETURNS(1, splice(self->b, NULL, p[1], NULL, 1, 0));
	EXPECT_RETURNS(1, read(p[0], &c, 1));
	EXPECT_EQ('x', c);
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

/* Descriptors of sockets work as those of any file: here a chain of them. */
TEST_F(rights, a_socket_that_was_sent_carries_on)
{
	int pair[2], i;
	char c;

	ASSERT_OK(scm_pair(variant->type, pair));
	ASSERT_RETURNS(1, scm_send_fd(pair[0], self->w));
	CLOSE_W();
	for (i = 0; i < 5; i++) {
		/* Descriptors that are not sockets do not hold it back. */
		ASSERT_RETURNS(1, scm_send_fd(self->a, pair[1]));
		close(pair[1]);
		ASSERT_RETURNS(1, scm_send_fds(pair[0], "y", 1, NULL, 0, 0));
		pair[1] = scm_recv_fd(self->b);
		ASSERT_FD(pair[1]);
	}
	EXPECT_TRUE(scm_has_writer(self->r));
	expect_fds(_metadata, pair[1], 1);
	EXPECT_TRUE(scm_has_no_writer(self->r));
	for (i = 0; i < 5; ) {
		char buf[8];
		long n = recv(pair[1], buf, 8, MSG_DONTWAIT);

		ASSERT_LT(0, n);
		while (n--)
			EXPECT_EQ('y', buf[i++ % 1]);
	}
	EXPECT_RETURNS(1, send(pair[1], "z", 1, 0));
	EXPECT_RETURNS(1, recv(pair[0], &c, 1, 0));
	close(pair[0]);
	close(pair[1]);
}

/* AF_UNIX may carry ours, and knows nothing of our rules. */
TEST_F(rights, a_socket_sent_through_af_unix)
{
	int un[2], pair[2];

	ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, un));
	ASSERT_OK(scm_pair(variant->type, pair));
	ASSERT_RETURNS(1, scm_send_fd(pair[0], self->w));
	ASSERT_RETURNS(1, scm_send_fd(un[0], pair[1]));
	CLOSE_W();
	close(pair[0]);
	close(pair[1]);
	EXPECT_TRUE(scm_has_writer(self->r));
	pair[1] = scm_recv_fd(un[1]);
	ASSERT_FD(pair[1]);
	EXPECT_TRUE(scm_has_writer(self->r));
	ASSERT_RETURNS(1, scm_send_fd(un[0], pair[1]));
	close(pair[1]);
	close(un[0]);
	close(un[1]);
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

/* --- Streams --- */

FIXTURE(stream) {
	int a;
	int b;
	int r;
	int w;
	int e[2];	/* two files that can be told apart */
	struct io_thread t;
};

FIXTURE_SETUP(stream)
{
	int fd[2];

	SKIP_WITHOUT_NYM();
	ASSERT_OK(scm_pair(SOCK_STREAM, fd));
	self->a = fd[0];
	self->b = fd[1];
	ASSERT_OK(pipe2(fd, O_CLOEXEC));
	self->r = fd[0];
	self->w = fd[1];
	self->e[0] = eventfd(0, EFD_CLOEXEC);
	self->e[1] = eventfd(0, EFD_CLOEXEC);
	ASSERT_FD(self->e[0]);
	ASSERT_FD(self->e[1]);
	catch_signal();
}

FIXTURE_TEARDOWN(stream)
{
	close(self->a);
	close(self->b);
	close(self->r);
	close(self->w);
	close(self->e[0]);
	close(self->e[1]);
}

/* A read of up to @len bytes gives @text, with @file if that is not -1. */
static void expect_read(struct __test_metadata *_metadata, int fd, size_t len,
			int flags, const char *text, int file)
{
	struct scm_in in;
	char buf[64] = "";

	EXPECT_RETURNS(strlen(text), scm_recv(fd, buf, len, flags, &in));
	EXPECT_STREQ(text, buf);
	EXPECT_EQ(0, in.flags);
	EXPECT_EQ(file >= 0, in.nfds);
	if (in.nfds)
		EXPECT_TRUE(scm_same_file(file, in.fds[0]));
	scm_close(&in);
}

TEST_F(stream, a_read_ends_with_a_message_that_has_descriptors)
{
	static const int flags[] = { 0, MSG_WAITALL, MSG_DONTWAIT };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		ASSERT_RETURNS(2, send(self->a, "aa", 2, 0));
		ASSERT_RETURNS(2, scm_send_fds(self->a, "bb", 2, &self->e[0], 1,
					       0));
		ASSERT_RETURNS(2, send(self->a, "cc", 2, 0));
		ASSERT_RETURNS(2, scm_send_fds(self->a, "dd", 2, &self->e[1], 1,
					       0));
		ASSERT_RETURNS(2, send(self->a, "ee", 2, 0));
		expect_read(_metadata, self->b, 32, flags[i], "aabb",
			    self->e[0]);
		expect_read(_metadata, self->b, 32, flags[i], "ccdd",
			    self->e[1]);
		expect_read(_metadata, self->b, 2, flags[i], "ee", -1);
	}
	expect_nothing(_metadata, self->b);
}

TEST_F(stream, descriptors_come_with_the_first_byte)
{
	ASSERT_RETURNS(2, send(self->a, "aa", 2, 0));
	ASSERT_RETURNS(3, scm_send_fds(self->a, "bbb", 3, &self->e[0], 1, 0));
	ASSERT_RETURNS(2, scm_send_fds(self->a, "cc", 2, &self->e[1], 1, 0));
	expect_read(_metadata, self->b, 1, 0, "a", -1);
	expect_read(_metadata, self->b, 1, 0, "a", -1);
	expect_read(_metadata, self->b, 1, 0, "b", self->e[0]);
	expect_read(_metadata, self->b, 1, 0, "b", -1);
	expect_read(_metadata, self->b, 1, 0, "b", -1);
	expect_read(_metadata, self->b, 1, 0, "c", self->e[1]);
	expect_read(_metadata, self->b, 1, 0, "c", -1);
}

/* A read that only touches the message gets what comes with it, once. */
TEST_F(stream, a_read_that_ends_inside_the_message)
{
	ASSERT_RETURNS(2, send(self->a, "aa", 2, 0));
	ASSERT_RETURNS(3, scm_send_fds(self->a, "bbb", 3, &self->e[0], 1, 0));
	expect_read(_metadata, self->b, 3, MSG_WAITALL, "aab", self->e[0]);
	expect_read(_metadata, self->b, 32, 0, "bb", -1);
	ASSERT_RETURNS(3, scm_send_fds(self->a, "bbb", 3, &self->e[0], 1, 0));
	expect_read(_metadata, self->b, 3, MSG_WAITALL, "bbb", self->e[0]);
	expect_nothing(_metadata, self->b);
}

/* The same for one that has to wait for the bytes after. */
TEST_F(stream, a_waiting_read_ends_with_the_descriptors)
{
	struct scm_in in;
	char buf[8];

	self->t = (struct io_thread){ .fd = self->b, .buf = buf, .len = 6,
				      .flags = MSG_WAITALL, .arg = &in };
	ASSERT_RETURNS(1, send(self->a, "a", 1, 0));
	io_start(&self->t, scm_do_recv);
	ASSERT_TRUE(io_wait_blocked(&self->t));
	ASSERT_RETURNS(2, scm_send_fds(self->a, "bb", 2, &self->w, 1, 0));
	EXPECT_EQ(3, io_join(&self->t));
	EXPECT_EQ(0, memcmp(buf, "abb", 3));
	EXPECT_EQ(1, in.nfds);
	scm_close(&in);
}

TEST_F(stream, no_bytes_carry_nothing)
{
	EXPECT_RETURNS(0, scm_send_fds(self->a, "", 0, &self->w, 1, 0));
	close(self->w);
	self->w = -1;
	EXPECT_TRUE(scm_has_no_writer(self->r));
	expect_nothing(_metadata, self->b);
	ASSERT_RETURNS(1, send(self->a, "x", 1, 0));
	expect_fds(_metadata, self->b, 0);
}

TEST_F(stream, a_read_of_no_bytes_gets_nothing)
{
	struct scm_in in;

	ASSERT_RETURNS(1, scm_send_fd(self->a, self->w));
	EXPECT_RETURNS(0, scm_recv(self->b, NULL, 0, MSG_DONTWAIT, &in));
	EXPECT_EQ(0, in.nfds);
	expect_fds(_metadata, self->b, 1);
}

TEST_F(stream, a_large_send_has_its_descriptors_once_and_first)
{
	size_t len = 1 << 20, done = 0;
	static __u8 buf[30000];
	struct scm_in in;
	long n;

	ASSERT_RETURNS(1, send(self->a, io_at(0), 1, 0));
	self->t = (struct io_thread){ .fd = self->a, .buf = (void *)io_at(1),
				      .len = len - 1, .arg = &self->w };
	io_start(&self->t, scm_do_send_fd);
	while (done < len) {
		n = scm_recv(self->b, buf, done ? sizeof(buf) : 1, 0, &in);
		ASSERT_LT(0, n);
		ASSERT_TRUE(io_is(buf, done, n));
		ASSERT_EQ(done == 1, in.nfds);
		scm_close(&in);
		done += n;
	}
	EXPECT_EQ((long)len - 1, io_join(&self->t));
}

/* As much as fits is sent: it has the descriptors, and the rest has not. */
TEST_F(stream, what_fits_carries_the_descriptors)
{
	static __u8 big[1 << 20];
	struct scm_in in;
	long n;

	n = scm_send_fds(self->a, io_at(0), 1 << 20, &self->w, 1, MSG_DONTWAIT);
	ASSERT_LT(0, n);
	ASSERT_GT(1 << 20, n);
	close(self->w);
	self->w = -1;
	EXPECT_RETURNS(n, scm_recv(self->b, big, sizeof(big), MSG_WAITALL, &in));
	EXPECT_TRUE(io_is(big, 0, n));
	EXPECT_EQ(1, in.nfds);
	scm_close(&in);
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

TEST_F(stream, an_interrupted_send_that_sent_some_sent_them)
{
	self->t = (struct io_thread){ .fd = self->a, .buf = (void *)io_at(0),
				      .len = 1 << 20, .arg = &self->w };
	io_start(&self->t, scm_do_send_fd);
	ASSERT_TRUE(io_wait_blocked(&self->t));
	ASSERT_OK(pthread_kill(self->t.thread, SIGUSR1));
	EXPECT_LT(0, io_join(&self->t));
	close(self->w);
	self->w = -1;
	EXPECT_TRUE(scm_has_writer(self->r));
	EXPECT_EQ(1, scm_drain(self->b));
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

/* Two pages, the second one bad. */
static __u8 *half_bad(void)
{
	__u8 *mem = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mem == MAP_FAILED || mprotect(mem + PAGE, PAGE, PROT_NONE))
		abort();
	memset(mem, 'x', PAGE);
	return mem;
}

TEST_F(stream, a_send_that_faults_in_the_middle_sent_what_is_before)
{
	__u8 *mem = half_bad();
	struct scm_in in;
	char buf[16];
	long n;

	n = scm_send_fds(self->a, mem + PAGE - 10, 20, &self->w, 1, 0);
	close(self->w);
	self->w = -1;
	ASSERT_EQ(10, n);
	EXPECT_TRUE(scm_has_writer(self->r));
	EXPECT_RETURNS(10, scm_recv(self->b, buf, 16, 0, &in));
	EXPECT_EQ(1, in.nfds);
	scm_close(&in);
	EXPECT_TRUE(scm_has_no_writer(self->r));
	munmap(mem, 2 * PAGE);
}

TEST_F(stream, a_read_that_faults_in_the_middle_got_what_is_before)
{
	__u8 *mem = half_bad();
	struct scm_in in;

	ASSERT_RETURNS(4, send(self->a, "aaaa", 4, 0));
	ASSERT_RETURNS(4, scm_send_fds(self->a, "bbbb", 4, &self->w, 1, 0));
	/* It ends before the descriptors: they stay. */
	EXPECT_RETURNS(3, scm_recv(self->b, mem + PAGE - 3, 8, 0, &in));
	EXPECT_EQ(0, in.nfds);
	/* And behind them. */
	EXPECT_RETURNS(3, scm_recv(self->b, mem + PAGE - 3, 8, 0, &in));
	EXPECT_EQ(0, memcmp(mem + PAGE - 3, "abb", 3));
	EXPECT_EQ(1, in.nfds);
	scm_close(&in);
	expect_read(_metadata, self->b, 8, 0, "bb", -1);
	munmap(mem, 2 * PAGE);
}

TEST_F(stream, bytes_are_the_same_though_descriptors_are_closed)
{
	int p[2];

	ASSERT_OK(pipe(p));
	ASSERT_RETURNS(2, send(self->a, "aa", 2, 0));
	ASSERT_RETURNS(2, scm_send_fds(self->a, "bb", 2, &self->w, 1, 0));
	ASSERT_RETURNS(2, send(self->a, "cc", 2, 0));
	close(self->w);
	self->w = -1;
	while (io_inq(self->b) > 0)
		ASSERT_LT(0, splice(self->b, NULL, p[1], NULL, 100, 0));
	expect_nothing(_metadata, self->b);
	EXPECT_EQ(6, io_inq(p[0]));
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

#define WALK_MESSAGES	3000
#define WALK_MOST	300	/* bytes in a message */
#define WALK_FILES	8

/* The messages of a walk. */
struct walk {
	__u32 seed;
	int file[WALK_FILES];
	int last;		/* messages sent */
	int first;		/* the one that the next byte belongs to */
	size_t read;		/* bytes read in all */
	size_t sent;
	struct {
		size_t begin;
		size_t end;
		int nfds;
		int fds[3];
	} m[WALK_MESSAGES];
};

static bool walk_send(struct walk *w, int fd)
{
	size_t len = io_rand_size(&w->seed, WALK_MOST);
	int nfds = io_rand(&w->seed) & 1 ? io_rand(&w->seed) % 4 : 0, i;
	long n;

	for (i = 0; i < nfds; i++)
		w->m[w->last].fds[i] = w->file[io_rand(&w->seed) % WALK_FILES];
	n = scm_send_fds(fd, io_at(w->sent), len, w->m[w->last].fds, nfds,
			 MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN;
	w->m[w->last].begin = w->sent;
	w->m[w->last].end = w->sent + n;
	w->m[w->last].nfds = nfds;
	w->sent += n;
	w->last++;
	return true;
}

/* What arrived is what this message has. */
static bool walk_check_fds(const struct walk *w, int m, const struct scm_in *in)
{
	int i;

	if (in->nfds != w->m[m].nfds)
		return false;
	for (i = 0; i < in->nfds; i++)
		if (!scm_same_file(in->fds[i], w->m[m].fds[i]))
			return false;
	return true;
}

/*
 * The first byte of at most one message with descriptors is in a read; if so
 * the read has them, and nothing behind that message.
 */
static bool walk_read(struct walk *w, int fd)
{
	size_t len = io_rand_size(&w->seed, 3 * WALK_MOST), end;
	__u8 buf[3 * WALK_MOST];
	bool told = false, ok = true;
	struct scm_in in;
	long n;
	int m;

	n = scm_recv(fd, buf, len, MSG_DONTWAIT, &in);
	if (n < 0)
		return errno == EAGAIN && w->read == w->sent;
	end = w->read + n;
	ok = n && io_is(buf, w->read, n) && !in.odd && !in.flags;
	for (m = w->first; m < w->last && w->m[m].begin < end; m++) {
		if (w->m[m].begin < w->read || !w->m[m].nfds)
			continue;
		ok = ok && !told && walk_check_fds(w, m, &in) &&
		     end <= w->m[m].end;
		told = true;
	}
	ok = ok && (told || !in.nfds);
	scm_close(&in);
	w->read = end;
	while (w->first < w->last && w->m[w->first].end <= end)
		w->first++;
	return ok;
}

/* A peek gives no descriptors, and no bytes that are not there. */
static bool walk_peek(struct walk *w, int fd)
{
	__u8 buf[3 * WALK_MOST];
	struct scm_in in;
	long n;

	n = scm_recv(fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_PEEK, &in);
	if (n < 0)
		return errno == EAGAIN && w->read == w->sent;
	return n && io_is(buf, w->read, n) && !in.nfds && !in.controllen;
}

TEST_F(stream, a_random_walk)
{
	struct walk *w = mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int i, before = scm_count_fds();
	__u32 seed = io_seed();

	ASSERT_NE(MAP_FAILED, w);
	w->seed = seed;
	for (i = 0; i < WALK_FILES; i++) {
		w->file[i] = eventfd(0, EFD_CLOEXEC);
		ASSERT_FD(w->file[i]);
	}
	while (w->last < nym_scaled(WALK_MESSAGES)) {
		ASSERT_TRUE(walk_send(w, self->a));
		while (io_rand(&w->seed) & 1) {
			ASSERT_TRUE(walk_read(w, self->b)) {
				TH_LOG("seed %u, message %d", seed, w->first);
			}
		}
		ASSERT_TRUE(walk_peek(w, self->b));
	}
	while (w->read < w->sent) {
		ASSERT_TRUE(walk_read(w, self->b)) {
			TH_LOG("seed %u, message %d", seed, w->first);
		}
	}
	EXPECT_EQ(before + WALK_FILES, scm_count_fds());
	munmap(w, sizeof(*w));
}

/* --- Messages --- */

FIXTURE(message) {
	int a;
	int b;
	int r;
	int w;
};

FIXTURE_VARIANT(message) {
	int type;
};

FIXTURE_VARIANT_ADD(message, seqpacket) {
	.type = SOCK_SEQPACKET,
};

FIXTURE_VARIANT_ADD(message, dgram) {
	.type = SOCK_DGRAM,
};

FIXTURE_SETUP(message)
{
	int fd[2];

	SKIP_WITHOUT_NYM();
	ASSERT_OK(scm_pair(variant->type, fd));
	self->a = fd[0];
	self->b = fd[1];
	ASSERT_OK(pipe2(fd, O_CLOEXEC));
	self->r = fd[0];
	self->w = fd[1];
}

FIXTURE_TEARDOWN(message)
{
	close(self->a);
	close(self->b);
	close(self->r);
	close(self->w);
}

TEST_F(message, of_no_bytes_carries_descriptors)
{
	struct scm_in in;
	char c;

	ASSERT_RETURNS(0, scm_send_fds(self->a, "", 0, &self->w, 1, 0));
	ASSERT_RETURNS(0, scm_send_fds(self->a, "", 0, &self->w, 1, 0));
	ASSERT_RETURNS(0, scm_send_fds(self->a, "", 0, &self->w, 1, 0));
	CLOSE_W();
	EXPECT_RETURNS(0, scm_recv(self->b, &c, 1, MSG_DONTWAIT | MSG_PEEK,
				   &in));
	EXPECT_EQ(0, in.nfds);
	EXPECT_RETURNS(0, scm_recv(self->b, &c, 1, MSG_DONTWAIT, &in));
	EXPECT_EQ(1, in.nfds);
	scm_close(&in);
	EXPECT_RETURNS(0, scm_recv(self->b, NULL, 0, MSG_DONTWAIT, &in));
	EXPECT_EQ(1, in.nfds);
	scm_close(&in);
	EXPECT_RETURNS(0, recv(self->b, NULL, 0, MSG_DONTWAIT));
	EXPECT_TRUE(scm_has_no_writer(self->r));
	expect_nothing(_metadata, self->b);
}

TEST_F(message, cut_off_has_its_descriptors)
{
	struct scm_in in;
	char c;

	ASSERT_RETURNS(5, scm_send_fds(self->a, "abcde", 5, &self->w, 1, 0));
	EXPECT_RETURNS(1, scm_recv(self->b, &c, 1, 0, &in));
	EXPECT_EQ(MSG_TRUNC, in.flags);
	EXPECT_EQ(1, in.nfds);
	scm_close(&in);
	ASSERT_RETURNS(5, scm_send_fds(self->a, "abcde", 5, &self->w, 1, 0));
	EXPECT_RETURNS(5, scm_recv(self->b, NULL, 0, MSG_TRUNC, &in));
	EXPECT_EQ(1, in.nfds);
	scm_close(&in);
	expect_nothing(_metadata, self->b);
}

TEST_F(message, too_long_sends_nothing)
{
	size_t len = io_sndbuf(self->a) + 1;

	EXPECT_ERRNO(EMSGSIZE, scm_send_fds(self->a, io_at(0), len, &self->w, 1,
					    0));
	CLOSE_W();
	EXPECT_TRUE(scm_has_no_writer(self->r));
	expect_nothing(_metadata, self->b);
}

TEST_F(message, that_faults_in_the_middle_sends_nothing)
{
	__u8 *mem = half_bad();

	EXPECT_ERRNO(EFAULT, scm_send_fds(self->a, mem + PAGE - 10, 20, &self->w,
					  1, 0));
	CLOSE_W();
	EXPECT_TRUE(scm_has_no_writer(self->r));
	expect_nothing(_metadata, self->b);
	munmap(mem, 2 * PAGE);
}

/* Not even a part of it is gone when a read faults behind some bytes. */
TEST_F(message, that_faults_in_the_middle_of_a_read_stays_whole)
{
	__u8 *mem = half_bad();
	struct scm_in in;
	char buf[16];

	ASSERT_RETURNS(8, scm_send_fds(self->a, "abcdefgh", 8, &self->w, 1, 0));
	EXPECT_ERRNO(EFAULT, scm_recv(self->b, mem + PAGE - 3, 8, 0, &in));
	EXPECT_RETURNS(8, scm_recv(self->b, buf, 16, 0, &in));
	EXPECT_EQ(0, memcmp(buf, "abcdefgh", 8));
	EXPECT_EQ(1, in.nfds);
	scm_close(&in);
	munmap(mem, 2 * PAGE);
}

/* Each of several messages in one call has its own. */
TEST_F(message, in_one_call_with_others)
{
	char control[3][CMSG_SPACE(sizeof(int))], data[3] = "abc";
	struct mmsghdr mm[3] = { 0 };
	int fd[3], i, before;
	struct iovec iov[3];
	struct scm_out out[3];

	for (i = 0; i < 3; i++) {
		fd[i] = eventfd(0, EFD_CLOEXEC);
		ASSERT_FD(fd[i]);
		out[i].len = 0;
		scm_add_fds(&out[i], &fd[i], 1);
		iov[i] = (struct iovec){ &data[i], 1 };
		mm[i].msg_hdr = (struct msghdr){
			.msg_iov = &iov[i], .msg_iovlen = 1,
			.msg_control = out[i].control.bytes,
			.msg_controllen = out[i].len,
		};
	}
	ASSERT_RETURNS(3, sendmmsg(self->a, mm, 3, 0));
	before = scm_count_fds();
	for (i = 0; i < 3; i++) {
		mm[i].msg_hdr.msg_control = control[i];
		mm[i].msg_hdr.msg_controllen = sizeof(control[i]);
	}
	ASSERT_RETURNS(3, recvmmsg(self->b, mm, 3, MSG_DONTWAIT, NULL));
	EXPECT_EQ(before + 3, scm_count_fds());
	for (i = 0; i < 3; i++) {
		struct scm_in in = { 0 };

		__scm_parse(&in, &mm[i].msg_hdr);
		ASSERT_EQ(1, in.nfds);
		EXPECT_EQ("abc"[i], data[i]);
		EXPECT_TRUE(scm_same_file(fd[i], in.fds[0]));
		scm_close(&in);
	}
	/* A bad one ends the call: those before it have been sent. */
	for (i = 0; i < 3; i++) {
		out[i].len = 0;
		scm_add_fds(&out[i], i == 1 ? &(int){ -1 } : &self->w, 1);
		mm[i].msg_hdr.msg_control = out[i].control.bytes;
		mm[i].msg_hdr.msg_controllen = out[i].len;
	}
	data[0] = 'x';
	ASSERT_RETURNS(1, sendmmsg(self->a, mm, 3, 0));
	CLOSE_W();
	expect_fds(_metadata, self->b, 1);
	expect_nothing(_metadata, self->b);
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

TEST_F(message, that_does_not_fit_leaves_the_queue_as_it_was)
{
	size_t len = io_sndbuf(self->a) - 100;
	static __u8 buf[1000];
	struct scm_in in;

	ASSERT_RETURNS(1, scm_send_fd(self->a, self->w));
	ASSERT_RETURNS(1000, send(self->a, io_at(0), 1000, MSG_DONTWAIT));
	EXPECT_ERRNO(EAGAIN, scm_send_fds(self->a, io_at(0), len, &self->w, 1,
					  MSG_DONTWAIT));
	ASSERT_RETURNS(3, scm_send_fds(self->a, "end", 3, &self->w, 1,
				       MSG_DONTWAIT));
	CLOSE_W();
	expect_fds(_metadata, self->b, 1);
	EXPECT_RETURNS(1000, scm_recv(self->b, buf, 1000, MSG_DONTWAIT, &in));
	EXPECT_EQ(0, in.nfds);
	EXPECT_RETURNS(3, scm_recv(self->b, buf, 1000, MSG_DONTWAIT, &in));
	EXPECT_EQ(1, in.nfds);
	scm_close(&in);
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

/* --- Calls --- */

FIXTURE(call) {
	int listener;
	int client;
	int r;
	int w;
};

FIXTURE_VARIANT(call) {
	int type;
};

FIXTURE_VARIANT_ADD(call, stream) {
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(call, seqpacket) {
	.type = SOCK_SEQPACKET,
};

FIXTURE_SETUP(call)
{
	int fd[2];

	SKIP_WITHOUT_NYM();
	self->listener = scm_listen(variant->type, NAME, 5);
	ASSERT_FD(self->listener);
	ASSERT_OK(scm_pass_rights(self->listener, 1));
	self->client = scm_connect(variant->type, NAME);
	ASSERT_FD(self->client);
	ASSERT_OK(pipe2(fd, O_CLOEXEC));
	self->r = fd[0];
	self->w = fd[1];
}

FIXTURE_TEARDOWN(call)
{
	close(self->listener);
	close(self->client);
	close(self->r);
	close(self->w);
}

TEST_F(call, carries_descriptors_before_it_is_accepted)
{
	int server;

	ASSERT_RETURNS(1, scm_send_fd(self->client, self->w));
	CLOSE_W();
	EXPECT_TRUE(scm_has_writer(self->r));
	server = scm_accept(self->listener);
	ASSERT_FD(server);
	EXPECT_TRUE(scm_has_writer(self->r));
	expect_fds(_metadata, server, 1);
	EXPECT_TRUE(scm_has_no_writer(self->r));
	close(server);
}

TEST_F(call, needs_the_consent_of_the_listener)
{
	int server;

	ASSERT_OK(scm_pass_rights(self->listener, 0));
	EXPECT_ERRNO(EPERM, scm_send_fd(self->client, self->w));
	ASSERT_OK(scm_pass_rights(self->listener, 1));
	ASSERT_RETURNS(1, scm_send_fd(self->client, self->w));
	server = scm_accept(self->listener);
	ASSERT_FD(server);
	expect_fds(_metadata, server, 1);
	expect_nothing(_metadata, server);
	close(server);
}

TEST_F(call, has_the_consent_that_the_listener_had_at_accept)
{
	int server, off;

	server = scm_accept(self->listener);
	ASSERT_FD(server);
	EXPECT_EQ(1, scm_option(server, NYM_PASSRIGHTS));
	/* From then on each goes its own way. */
	ASSERT_OK(scm_pass_rights(self->listener, 0));
	ASSERT_RETURNS(1, scm_send_fd(self->client, self->w));
	expect_fds(_metadata, server, 1);
	ASSERT_FD(scm_connect(variant->type, NAME));
	off = scm_accept(self->listener);
	ASSERT_FD(off);
	EXPECT_EQ(0, scm_option(off, NYM_PASSRIGHTS));
	ASSERT_OK(scm_pass_rights(self->listener, 1));
	ASSERT_OK(scm_pass_rights(server, 0));
	EXPECT_ERRNO(EPERM, scm_send_fd(self->client, self->w));
	EXPECT_EQ(1, scm_option(self->listener, NYM_PASSRIGHTS));
	close(server);
	close(off);
}

TEST_F(call, whose_consent_is_withdrawn_before_accept)
{
	struct scm_in in;
	int server;
	char c;

	ASSERT_RETURNS(1, scm_send_fd(self->client, self->w));
	ASSERT_OK(scm_pass_rights(self->listener, 0));
	CLOSE_W();
	server = scm_accept(self->listener);
	ASSERT_FD(server);
	EXPECT_EQ(0, scm_option(server, NYM_PASSRIGHTS));
	EXPECT_RETURNS(1, scm_recv(server, &c, 1, 0, &in));
	EXPECT_EQ(MSG_CTRUNC, in.flags);
	EXPECT_EQ(0, in.nfds);
	EXPECT_TRUE(scm_has_no_writer(self->r));
	close(server);
}

TEST_F(call, that_is_never_accepted_is_closed_with_the_listener)
{
	int i;

	for (i = 0; i < 10; i++)
		ASSERT_RETURNS(1, scm_send_fd(self->client, self->w));
	CLOSE_W();
	EXPECT_TRUE(scm_has_writer(self->r));
	close(self->listener);
	self->listener = -1;
	EXPECT_TRUE(scm_has_no_writer(self->r));
	/* A record's sender is told of the reset first. */
	EXPECT_ERRNO(variant->type == SOCK_STREAM ? EPIPE : ECONNRESET,
		     scm_send_fd(self->client, self->r));
	EXPECT_ERRNO(EPIPE, scm_send_fd(self->client, self->r));
}

TEST_F(call, that_was_given_up_is_closed_with_the_listener)
{
	ASSERT_RETURNS(1, scm_send_fd(self->client, self->w));
	CLOSE_W();
	close(self->client);
	self->client = -1;
	EXPECT_TRUE(scm_has_writer(self->r));
	close(self->listener);
	self->listener = -1;
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

TEST_F(call, that_was_given_up_can_be_accepted)
{
	int server;

	ASSERT_RETURNS(1, scm_send_fd(self->client, self->w));
	ASSERT_RETURNS(1, scm_send_fd(self->client, self->w));
	CLOSE_W();
	close(self->client);
	self->client = -1;
	server = scm_accept(self->listener);
	ASSERT_FD(server);
	expect_fds(_metadata, server, 1);
	EXPECT_TRUE(scm_has_writer(self->r));
	close(server);
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

/* accept() fails: the call stays in the queue with all that it has. */
TEST_F(call, that_could_not_be_accepted_keeps_its_descriptors)
{
	struct rlimit was, none;
	int server;

	ASSERT_RETURNS(1, scm_send_fd(self->client, self->w));
	CLOSE_W();
	ASSERT_OK(getrlimit(RLIMIT_NOFILE, &was));
	none = was;
	none.rlim_cur = 0;
	ASSERT_OK(setrlimit(RLIMIT_NOFILE, &none));
	EXPECT_ERRNO(EMFILE, scm_accept(self->listener));
	ASSERT_OK(setrlimit(RLIMIT_NOFILE, &was));
	EXPECT_TRUE(scm_has_writer(self->r));
	server = scm_accept(self->listener);
	ASSERT_FD(server);
	expect_fds(_metadata, server, 1);
	close(server);
}

/* It was accepted, but nobody has it: as if it had been closed. */
TEST_F(call, accepted_into_bad_memory_is_closed)
{
	socklen_t len = sizeof(struct sockaddr_nym);
	char c;

	ASSERT_RETURNS(1, scm_send_fd(self->client, self->w));
	CLOSE_W();
	EXPECT_ERRNO(EFAULT, accept(self->listener, bad_pointer, &len));
	EXPECT_TRUE(scm_has_no_writer(self->r));
	EXPECT_ERRNO(ECONNRESET, recv(self->client, &c, 1, 0));
}

TEST_F(call, of_a_client_that_is_killed)
{
	int server = scm_accept(self->listener);
	pid_t pid;

	ASSERT_FD(server);
	close(server);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		int fd = scm_connect(variant->type, NAME);

		EXPECT_RETURNS(1, scm_send_fd(fd, self->w));
		raise(SIGKILL);
	}
	CLOSE_W();
	EXPECT_NE(0, nym_wait_child(pid));
	EXPECT_TRUE(scm_has_writer(self->r));
	server = scm_accept(self->listener);
	ASSERT_FD(server);
	expect_fds(_metadata, server, 1);
	EXPECT_TRUE(scm_has_no_writer(self->r));
	close(server);
}

TEST_F(call, answers_where_the_client_consents)
{
	int server = scm_accept(self->listener);

	ASSERT_FD(server);
	EXPECT_ERRNO(EPERM, scm_send_fd(server, self->w));
	ASSERT_OK(scm_pass_rights(self->client, 1));
	ASSERT_RETURNS(1, scm_send_fd(server, self->w));
	expect_fds(_metadata, self->client, 1);
	close(server);
}

/* It is not connected yet, so there is nobody to send to. */
TEST_F(call, parked_on_a_full_backlog_cannot_send)
{
	int fd = socket(AF_NYM, variant->type | SOCK_NONBLOCK, 0), server;
	int want;

	ASSERT_FD(fd);
	ASSERT_OK(listen(self->listener, 0));
	ASSERT_ERRNO(EINPROGRESS, nym_call(fd, NAME));
	want = send(fd, "x", 1, MSG_NOSIGNAL) < 0 ? errno : 0;
	ASSERT_NE(0, want);
	EXPECT_ERRNO(want, scm_send_fd(fd, self->w));
	server = scm_accept(self->listener);
	ASSERT_FD(server);
	ASSERT_EQ(POLLOUT, nym_poll_wait(fd, POLLOUT));
	ASSERT_RETURNS(1, scm_send_fd(fd, self->w));
	CLOSE_W();
	close(fd);
	close(server);
	EXPECT_TRUE(scm_has_writer(self->r));
	server = scm_accept(self->listener);
	ASSERT_FD(server);
	close(server);
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

/* --- Datagrams by name --- */

FIXTURE(dgram) {
	int server;
	int client;
	int r;
	int w;
};

FIXTURE_SETUP(dgram)
{
	int fd[2];

	SKIP_WITHOUT_NYM();
	self->server = scm_bound(SOCK_DGRAM, NAME);
	ASSERT_FD(self->server);
	ASSERT_OK(scm_pass_rights(self->server, 1));
	self->client = scm_socket(SOCK_DGRAM);
	ASSERT_FD(self->client);
	ASSERT_OK(pipe2(fd, O_CLOEXEC));
	self->r = fd[0];
	self->w = fd[1];
}

FIXTURE_TEARDOWN(dgram)
{
	close(self->server);
	close(self->client);
	close(self->r);
	close(self->w);
}

TEST_F(dgram, carries_descriptors_to_a_name)
{
	ASSERT_RETURNS(1, scm_send_fd_to(self->client, NAME, self->w));
	CLOSE_W();
	close(self->client);
	self->client = -1;
	EXPECT_TRUE(scm_has_writer(self->r));
	expect_fds(_metadata, self->server, 1);
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

TEST_F(dgram, needs_consent_of_each_receiver)
{
	int other = scm_bound(SOCK_DGRAM, "t/rights/other");

	ASSERT_FD(other);
	EXPECT_ERRNO(EPERM, scm_send_fd_to(self->client, "t/rights/other",
					   self->w));
	expect_nothing(_metadata, other);
	ASSERT_OK(scm_pass_rights(other, 1));
	ASSERT_RETURNS(1, scm_send_fd_to(self->client, "t/rights/other",
					 self->w));
	expect_fds(_metadata, other, 1);
	close(other);
}

TEST_F(dgram, that_is_refused_takes_the_descriptors_along)
{
	int other = scm_bound(SOCK_DGRAM, "t/rights/other");

	ASSERT_FD(other);
	EXPECT_ERRNO(ECONNREFUSED, scm_send_fd_to(self->client, "t/rights/none",
						  self->w));
	ASSERT_OK(nym_call(self->server, "t/rights/other"));
	EXPECT_ERRNO(EPERM, scm_send_fd_to(self->client, NAME, self->w));
	ASSERT_OK(shutdown(self->server, SHUT_RD));
	EXPECT_ERRNO(EPIPE, scm_send_fd_to(other, NAME, self->w));
	ASSERT_OK(shutdown(self->client, SHUT_WR));
	EXPECT_ERRNO(EPIPE, scm_send_fd_to(self->client, NAME, self->w));
	CLOSE_W();
	EXPECT_TRUE(scm_has_no_writer(self->r));
	close(other);
}

/* A change of peers drops what the old one has sent. */
TEST_F(dgram, is_closed_when_the_receiver_connects_to_another)
{
	int other = scm_bound(SOCK_DGRAM, "t/rights/other");

	ASSERT_FD(other);
	ASSERT_OK(nym_bind(self->client, "t/rights/client"));
	ASSERT_OK(nym_call(self->server, "t/rights/client"));
	ASSERT_RETURNS(1, scm_send_fd_to(self->client, NAME, self->w));
	CLOSE_W();
	/* To the same again: nothing changes. */
	ASSERT_OK(nym_call(self->server, "t/rights/client"));
	EXPECT_TRUE(scm_has_writer(self->r));
	ASSERT_OK(nym_call(self->server, "t/rights/other"));
	EXPECT_TRUE(scm_has_no_writer(self->r));
	expect_nothing(_metadata, self->server);
	close(other);
}

TEST_F(dgram, stays_when_the_receiver_connects_for_the_first_time)
{
	ASSERT_OK(nym_bind(self->client, "t/rights/client"));
	ASSERT_RETURNS(1, scm_send_fd_to(self->client, NAME, self->w));
	CLOSE_W();
	ASSERT_OK(nym_call(self->server, "t/rights/client"));
	EXPECT_TRUE(scm_has_writer(self->r));
	expect_fds(_metadata, self->server, 1);
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

TEST_F(dgram, from_many_is_closed_with_the_receiver)
{
	int i;

	for (i = 0; i < 8; i++) {
		int fd = scm_socket(SOCK_DGRAM);

		ASSERT_FD(fd);
		ASSERT_RETURNS(1, scm_send_fd_to(fd, NAME, self->w));
		close(fd);
	}
	CLOSE_W();
	EXPECT_TRUE(scm_has_writer(self->r));
	close(self->server);
	self->server = -1;
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

/* The name has a new owner, whose consent counts then. */
TEST_F(dgram, follows_the_name_to_its_new_owner)
{
	ASSERT_OK(nym_call(self->client, NAME));
	ASSERT_RETURNS(1, scm_send_fd(self->client, self->w));
	close(self->server);
	self->server = scm_bound(SOCK_DGRAM, NAME);
	ASSERT_FD(self->server);
	EXPECT_ERRNO(EPERM, scm_send_fd(self->client, self->w));
	ASSERT_OK(scm_pass_rights(self->server, 1));
	ASSERT_RETURNS(1, scm_send_fd(self->client, self->w));
	CLOSE_W();
	expect_fds(_metadata, self->server, 1);
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

/* --- How many --- */

#define LIMIT	64

FIXTURE(limit) {
	int a;
	int b;
	int r;
	int w;
};

FIXTURE_VARIANT(limit) {
	int type;
};

FIXTURE_VARIANT_ADD(limit, stream) {
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(limit, seqpacket) {
	.type = SOCK_SEQPACKET,
};

FIXTURE_VARIANT_ADD(limit, dgram) {
	.type = SOCK_DGRAM,
};

FIXTURE_SETUP(limit)
{
	int fd[2];

	SKIP_WITHOUT_NYM();
	if (getuid())
		SKIP(return, "needs root");
	ASSERT_OK(scm_pair(variant->type, fd));
	self->a = fd[0];
	self->b = fd[1];
	ASSERT_OK(pipe2(fd, O_CLOEXEC));
	self->r = fd[0];
	self->w = fd[1];
}

FIXTURE_TEARDOWN(limit)
{
	close(self->a);
	close(self->b);
	close(self->r);
	close(self->w);
}

static int set_limit(int limit)
{
	struct rlimit r = { limit, limit };

	return setrlimit(RLIMIT_NOFILE, &r);
}

/* What a user is to do. */
struct user_job {
	int (*fn)(const struct user_job *job);
	int fd;		/* where to send */
	int file;	/* what */
	int n;
	int limit;	/* RLIMIT_NOFILE; 0: as it is */
};

static int run_user_job(void *arg)
{
	const struct user_job *job = arg;

	if (job->limit && set_limit(job->limit))
		return NYM_CHILD_BROKE;
	return job->fn(job);
}

/* Runs it as @uid that has the capabilities @caps only: 0, or the errno. */
static int run_as(uid_t uid, __u64 caps, struct user_job job)
{
	struct nym_who who = { .uid = uid, .gid = uid, .caps = caps };

	return nym_errno_as(&who, run_user_job, &job);
}

/* Sends the file in so many messages; 254 if the wrong one failed. */
static int send_each(const struct user_job *job)
{
	int i;

	for (i = 1; i <= job->n; i++) {
		if (scm_send_fd(job->fd, job->file) != 1)
			return i == job->n ? errno : 254;
	}
	return 0;
}

/* Sends so many in one message. */
static int send_many(const struct user_job *job)
{
	int fds[SCM_MOST], i;

	for (i = 0; i < job->n; i++)
		fds[i] = job->file;
	return scm_send_fds(job->fd, "x", 1, fds, job->n, MSG_DONTWAIT) == 1 ?
		0 : errno;
}

#define SEND_AS(_uid, _caps, _fn, _n) \
	run_as(_uid, _caps, (struct user_job){ \
		.fn = _fn, .fd = self->a, .file = self->w, .n = _n, \
		.limit = LIMIT })

/* This user has nothing under way: the limit fits, and not one more. */
static void expect_free(struct __test_metadata *_metadata, int fd, int to,
			int file, uid_t uid)
{
	struct user_job job = { .fn = send_many, .fd = fd, .file = file,
				.n = LIMIT, .limit = LIMIT };

	EXPECT_SAME_ERRNO(0, run_as(uid, 0, job));
	job.n = 1;
	EXPECT_SAME_ERRNO(ETOOMANYREFS, run_as(uid, 0, job));
	EXPECT_EQ(LIMIT, scm_drain(to));
}

TEST_F(limit, is_that_of_open_files)
{
	EXPECT_SAME_ERRNO(0, SEND_AS(NYM_NOBODY, 0, send_each, LIMIT));
	EXPECT_SAME_ERRNO(ETOOMANYREFS, SEND_AS(NYM_NOBODY, 0, send_each, 1));
	/* Bytes are no descriptors. */
	EXPECT_SAME_ERRNO(0, SEND_AS(NYM_NOBODY, 0, send_many, 0));
	EXPECT_EQ(LIMIT, scm_drain(self->b));
	expect_nothing(_metadata, self->b);
	EXPECT_SAME_ERRNO(ETOOMANYREFS, SEND_AS(NYM_NOBODY, 0, send_each,
						LIMIT + 1));
	EXPECT_EQ(LIMIT, scm_drain(self->b));
	expect_free(_metadata, self->a, self->b, self->w, NYM_NOBODY);
}

TEST_F(limit, counts_each_descriptor_of_a_message)
{
	EXPECT_SAME_ERRNO(ETOOMANYREFS, SEND_AS(NYM_NOBODY, 0, send_many,
						LIMIT + 1));
	EXPECT_SAME_ERRNO(0, SEND_AS(NYM_NOBODY, 0, send_many, LIMIT - 3));
	EXPECT_SAME_ERRNO(ETOOMANYREFS, SEND_AS(NYM_NOBODY, 0, send_many, 4));
	EXPECT_SAME_ERRNO(0, SEND_AS(NYM_NOBODY, 0, send_many, 3));
	EXPECT_SAME_ERRNO(ETOOMANYREFS, SEND_AS(NYM_NOBODY, 0, send_many, 1));
	expect_fds(_metadata, self->b, LIMIT - 3);
	EXPECT_SAME_ERRNO(0, SEND_AS(NYM_NOBODY, 0, send_many, LIMIT - 3));
	EXPECT_SAME_ERRNO(ETOOMANYREFS, SEND_AS(NYM_NOBODY, 0, send_many, 1));
	EXPECT_EQ(LIMIT, scm_drain(self->b));
	close(self->w);
	self->w = -1;
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

TEST_F(limit, is_each_users_own)
{
	EXPECT_SAME_ERRNO(0, SEND_AS(NYM_NOBODY, 0, send_many, LIMIT));
	EXPECT_SAME_ERRNO(0, SEND_AS(1000, 0, send_many, LIMIT));
	EXPECT_SAME_ERRNO(ETOOMANYREFS, SEND_AS(NYM_NOBODY, 0, send_many, 1));
	EXPECT_SAME_ERRNO(ETOOMANYREFS, SEND_AS(1000, 0, send_many, 1));
	/* What the first one had is received. */
	expect_fds(_metadata, self->b, LIMIT);
	EXPECT_SAME_ERRNO(ETOOMANYREFS, SEND_AS(1000, 0, send_many, 1));
	EXPECT_SAME_ERRNO(0, SEND_AS(NYM_NOBODY, 0, send_many, 1));
	expect_fds(_metadata, self->b, LIMIT);
	EXPECT_SAME_ERRNO(0, SEND_AS(1000, 0, send_many, 1));
}

TEST_F(limit, is_the_same_through_all_sockets)
{
	int other[2];

	ASSERT_OK(scm_pair(SOCK_STREAM, other));
	EXPECT_SAME_ERRNO(0, SEND_AS(NYM_NOBODY, 0, send_many, LIMIT - 1));
	EXPECT_SAME_ERRNO(0, run_as(NYM_NOBODY, 0, (struct user_job){
		.fn = send_many, .fd = other[0], .file = self->w, .n = 1,
		.limit = LIMIT }));
	EXPECT_SAME_ERRNO(ETOOMANYREFS, SEND_AS(NYM_NOBODY, 0, send_many, 1));
	close(other[0]);
	close(other[1]);
	EXPECT_SAME_ERRNO(0, SEND_AS(NYM_NOBODY, 0, send_many, 1));
}

TEST_F(limit, is_that_of_the_sending_process)
{
	struct user_job job = { .fn = send_many, .fd = self->a,
				.file = self->w, .n = 1, .limit = 2 * LIMIT };

	EXPECT_SAME_ERRNO(0, SEND_AS(NYM_NOBODY, 0, send_many, LIMIT));
	EXPECT_SAME_ERRNO(0, run_as(NYM_NOBODY, 0, job));
	job.limit = LIMIT + 1;
	EXPECT_SAME_ERRNO(ETOOMANYREFS, run_as(NYM_NOBODY, 0, job));
	job.limit = LIMIT + 2;
	EXPECT_SAME_ERRNO(0, run_as(NYM_NOBODY, 0, job));
}

TEST_F(limit, is_none_for_the_privileged)
{
	__u64 resource = NYM_CAP(CAP_SYS_RESOURCE);
	__u64 admin = NYM_CAP(CAP_SYS_ADMIN);

	EXPECT_SAME_ERRNO(0, SEND_AS(NYM_NOBODY, 0, send_many, LIMIT));
	EXPECT_SAME_ERRNO(0, SEND_AS(NYM_NOBODY, resource, send_many, 1));
	EXPECT_SAME_ERRNO(0, SEND_AS(NYM_NOBODY, admin, send_many, 1));
	EXPECT_SAME_ERRNO(ETOOMANYREFS,
			  SEND_AS(NYM_NOBODY, ~(resource | admin), send_many, 1));
	/* Root without them is a user like any other. */
	EXPECT_SAME_ERRNO(ETOOMANYREFS, SEND_AS(0, 0, send_many, LIMIT + 1));
	EXPECT_SAME_ERRNO(0, SEND_AS(0, resource, send_many, LIMIT + 1));
}

static int send_as_root_of_a_namespace(const struct user_job *job)
{
	if (unshare(CLONE_NEWUSER))
		return 253;
	return send_many(job);
}

TEST_F(limit, binds_the_root_of_a_user_namespace)
{
	int got = SEND_AS(NYM_NOBODY, 0, send_as_root_of_a_namespace, LIMIT + 1);

	if (got == 253)
		SKIP(return, "no user namespaces for this user");
	EXPECT_SAME_ERRNO(ETOOMANYREFS, got);
	EXPECT_SAME_ERRNO(0, SEND_AS(NYM_NOBODY, 0, send_many, LIMIT));
	EXPECT_SAME_ERRNO(ETOOMANYREFS, SEND_AS(NYM_NOBODY, 0,
						send_as_root_of_a_namespace, 1));
}

/* Sends through a socket of a network namespace of its own. */
static int send_in_a_namespace(const struct user_job *job)
{
	struct user_job inside = *job;
	int fd[2];

	if (unshare(CLONE_NEWUSER | CLONE_NEWNET))
		return 253;
	/* A socket that was made before is one of the old namespace. */
	if (scm_pair(SOCK_STREAM, fd))
		return 252;
	inside.fd = fd[0];
	return send_many(&inside);
}

/* Else who makes namespaces, which anybody may, has no limit at all. */
TEST_F(limit, is_one_for_all_network_namespaces)
{
	int got = SEND_AS(NYM_NOBODY, 0, send_in_a_namespace, LIMIT);

	if (got == 253)
		SKIP(return, "no namespaces for this user");
	EXPECT_SAME_ERRNO(0, got);
	EXPECT_SAME_ERRNO(0, SEND_AS(NYM_NOBODY, 0, send_many, LIMIT));
	EXPECT_SAME_ERRNO(ETOOMANYREFS,
			  SEND_AS(NYM_NOBODY, 0, send_in_a_namespace, 1));
	EXPECT_EQ(LIMIT, scm_drain(self->b));
	EXPECT_SAME_ERRNO(0, SEND_AS(NYM_NOBODY, 0, send_in_a_namespace, 1));
}

/* Whatever becomes of them, they do not count any more. */
TEST_F(limit, is_free_again_when_they_are_closed)
{
	static char buf[16];
	struct scm_in in;
	int way, p[2];

	ASSERT_OK(pipe(p));
	for (way = 0; way < 7; way++) {
		ASSERT_OK(scm_pass_rights(self->b, 1));
		EXPECT_SAME_ERRNO(0, SEND_AS(NYM_NOBODY, 0, send_many, LIMIT));
		switch (way) {
		case 0:
			ASSERT_RETURNS(1, recv(self->b, buf, 16, 0));
			break;
		case 1:
			ASSERT_RETURNS(1, scm_recv_room(self->b, buf, 16, 0, 0,
							&in));
			break;
		case 2:
			ASSERT_RETURNS(1, scm_recv_room(self->b, buf, 16, 0,
							CMSG_LEN(8), &in));
			scm_close(&in);
			break;
		case 3:
			ASSERT_OK(scm_pass_rights(self->b, 0));
			ASSERT_RETURNS(1, scm_recv(self->b, buf, 16, 0, &in));
			break;
		case 4:
			ASSERT_RETURNS(1, splice(self->b, NULL, p[1], NULL, 1,
						 0));
			break;
		case 5:
			ASSERT_RETURNS(1, recv(self->b, buf, 16, MSG_PEEK));
			ASSERT_RETURNS(1, read(self->b, buf, 16));
			break;
		case 6:
			close(self->b);
			close(self->a);
			ASSERT_OK(scm_pair(variant->type, p));
			self->a = p[0];
			self->b = p[1];
			break;
		}
	}
	expect_free(_metadata, self->a, self->b, self->w, NYM_NOBODY);
}

/* Everything that goes wrong, often enough to use up the limit. */
static int fail_often(const struct user_job *job)
{
	int un = socket(AF_UNIX, SOCK_STREAM, 0), i;
	int bad[] = { job->file, -1 }, unix_too[] = { job->file, un };
	int self_too[] = { job->file, job->n };
	struct scm_out out = { .len = 0 };

	scm_add_fds(&out, &job->file, 1);
	scm_add_cred(&out, 1, 0, 0);
	for (i = 0; i < 2 * LIMIT; i++) {
		if (scm_send_fds(job->fd, "x", 1, bad, 2, 0) >= 0 ||
		    errno != EBADF)
			return 1;
		if (scm_send_fds(job->fd, "x", 1, unix_too, 2, 0) >= 0 ||
		    errno != EINVAL)
			return 2;
		if (scm_send_fds(job->fd, "x", 1, self_too, 2, 0) >= 0 ||
		    errno != ETOOMANYREFS)
			return 3;
		if (scm_send(job->fd, "x", 1, &out, 0) >= 0 || errno != EPERM)
			return 4;
		if (scm_send_fds(job->fd, bad_pointer, 1, bad, 1, 0) >= 0 ||
		    errno != EFAULT)
			return 5;
	}
	return 0;
}

static int fail_for_room(const struct user_job *job)
{
	int i;

	for (i = 0; i < 2 * LIMIT; i++) {
		if (scm_send_fd(job->fd, job->file) >= 0 || errno != EAGAIN)
			return 1;
	}
	return 0;
}

static int fail_for_consent(const struct user_job *job)
{
	int i;

	for (i = 0; i < 2 * LIMIT; i++) {
		if (scm_send_fd(job->fd, job->file) >= 0 || errno != EPERM)
			return 1;
	}
	return 0;
}

TEST_F(limit, is_not_used_up_by_sends_that_fail)
{
	struct user_job job = { .fn = fail_often, .fd = self->a,
				.file = self->w, .n = self->b };

	EXPECT_EQ(0, run_as(NYM_NOBODY, 0, job));
	ASSERT_OK(scm_pass_rights(self->b, 0));
	job.fn = fail_for_consent;
	EXPECT_EQ(0, run_as(NYM_NOBODY, 0, job));
	ASSERT_OK(scm_pass_rights(self->b, 1));
	ASSERT_TRUE(scm_fill(self->a));
	job.fn = fail_for_room;
	EXPECT_EQ(0, run_as(NYM_NOBODY, 0, job));
	EXPECT_EQ(0, scm_drain(self->b));
	expect_free(_metadata, self->a, self->b, self->w, NYM_NOBODY);
}

TEST_F(limit, holds_for_calls_and_is_free_when_the_listener_closes)
{
	int type = variant->type == SOCK_DGRAM ? SOCK_STREAM : variant->type;
	int listener = scm_listen(type, NAME, 5), client;
	struct user_job job = { .fn = send_many, .file = self->w, .n = LIMIT,
				.limit = LIMIT };

	ASSERT_FD(listener);
	ASSERT_OK(scm_pass_rights(listener, 1));
	client = scm_connect(type, NAME);
	ASSERT_FD(client);
	job.fd = client;
	EXPECT_SAME_ERRNO(0, run_as(NYM_NOBODY, 0, job));
	job.n = 1;
	EXPECT_SAME_ERRNO(ETOOMANYREFS, run_as(NYM_NOBODY, 0, job));
	close(listener);
	close(client);
	expect_free(_metadata, self->a, self->b, self->w, NYM_NOBODY);
}

/* --- Cycles --- */

FIXTURE(cycle) {
	/* Three pairs; what is sent through a, c, e arrives at b, d, f. */
	int a, b, c, d, e, f;
	int r;
	int w;
};

FIXTURE_VARIANT(cycle) {
	int type;
};

FIXTURE_VARIANT_ADD(cycle, stream) {
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(cycle, seqpacket) {
	.type = SOCK_SEQPACKET,
};

FIXTURE_VARIANT_ADD(cycle, dgram) {
	.type = SOCK_DGRAM,
};

FIXTURE_SETUP(cycle)
{
	int fd[2];

	SKIP_WITHOUT_NYM();
	ASSERT_OK(scm_pair(variant->type, fd));
	self->a = fd[0];
	self->b = fd[1];
	ASSERT_OK(scm_pair(variant->type, fd));
	self->c = fd[0];
	self->d = fd[1];
	ASSERT_OK(scm_pair(variant->type, fd));
	self->e = fd[0];
	self->f = fd[1];
	ASSERT_OK(pipe2(fd, O_CLOEXEC));
	self->r = fd[0];
	self->w = fd[1];
	/* Closed with the queue that it is in. */
	ASSERT_RETURNS(1, scm_send_fd(self->a, self->w));
	ASSERT_RETURNS(1, scm_send_fd(self->c, self->w));
	ASSERT_RETURNS(1, scm_send_fd(self->e, self->w));
	CLOSE_W();
}

/* A cycle would keep the pipe's writing end for ever. */
FIXTURE_TEARDOWN(cycle)
{
	close(self->a);
	close(self->b);
	close(self->c);
	close(self->d);
	close(self->e);
	close(self->f);
	EXPECT_TRUE(scm_has_no_writer(self->r));
	close(self->r);
}

/* Takes the pipe out of the queue. */
static void skip_pipe(struct __test_metadata *_metadata, int fd)
{
	expect_fds(_metadata, fd, 1);
}

TEST_F(cycle, of_one_is_refused)
{
	int fds[] = { self->r, self->b };

	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->a, self->b));
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fds(self->a, "x", 1, fds, 2, 0));
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->b, self->a));
	skip_pipe(_metadata, self->b);
	expect_nothing(_metadata, self->b);
	expect_nothing(_metadata, self->a);
}

/* The sender may send itself: its own queue is empty. */
TEST_F(cycle, is_not_made_by_sending_the_sender)
{
	int fd;

	ASSERT_RETURNS(1, scm_send_fd(self->a, self->a));
	/* But then it cannot be sent to. */
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->b, self->d));
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->b, self->b));
	ASSERT_RETURNS(1, scm_send_fd(self->b, self->r));
	expect_fds(_metadata, self->a, 1);
	skip_pipe(_metadata, self->b);
	fd = scm_recv_fd(self->b);
	ASSERT_FD(fd);
	EXPECT_TRUE(scm_same_file(self->a, fd));
	close(fd);
	ASSERT_RETURNS(1, scm_send_fd(self->b, self->d));
}

TEST_F(cycle, of_one_left_alone_is_closed)
{
	ASSERT_RETURNS(1, scm_send_fd(self->a, self->a));
	ASSERT_RETURNS(1, scm_send_fd(self->c, self->c));
	ASSERT_RETURNS(1, scm_send_fd(self->e, self->e));
}

TEST_F(cycle, of_two_is_refused)
{
	ASSERT_RETURNS(1, scm_send_fd(self->a, self->d));
	/* b holds d: it may not go where it could come to itself. */
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->c, self->b));
	expect_fds(_metadata, self->d, 1);
	expect_nothing(_metadata, self->d);
}

TEST_F(cycle, of_three_is_refused)
{
	ASSERT_RETURNS(1, scm_send_fd(self->a, self->d));
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->c, self->f));
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->e, self->b));
	/* The other way round. */
	skip_pipe(_metadata, self->b);
	expect_fds(_metadata, self->b, 1);
	ASSERT_RETURNS(1, scm_send_fd(self->e, self->b));
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->c, self->f));
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->a, self->d));
}

TEST_F(cycle, who_holds_sockets_may_hold_more_and_send)
{
	int more = scm_socket(variant->type);

	ASSERT_FD(more);
	ASSERT_RETURNS(1, scm_send_fd(self->a, self->d));
	ASSERT_RETURNS(1, scm_send_fd(self->a, self->f));
	ASSERT_RETURNS(1, scm_send_fd(self->a, more));
	ASSERT_RETURNS(1, scm_send_fd(self->b, more));
	/* Whose queue is in the other direction is not concerned. */
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->e, self->a));
	expect_fds(_metadata, self->a, 1);
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->e, self->b));
	close(more);
}

TEST_F(cycle, rules_do_not_concern_other_files)
{
	int fds[2];

	ASSERT_RETURNS(1, scm_send_fd(self->a, self->d));
	/* To a socket that is under way, and through one that holds others. */
	ASSERT_RETURNS(1, scm_send_fd(self->c, self->r));
	ASSERT_RETURNS(1, scm_send_fd(self->b, self->r));
	ASSERT_RETURNS(1, send(self->c, "x", 1, 0));
	fds[0] = self->r;
	fds[1] = self->f;
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fds(self->c, "x", 1, fds, 2, 0));
	expect_fds(_metadata, self->a, 1);
	expect_fds(_metadata, self->d, 1);
	expect_fds(_metadata, self->d, 1);
	expect_fds(_metadata, self->d, 0);
	expect_nothing(_metadata, self->d);
}

TEST_F(cycle, what_was_received_is_free_again)
{
	int fd;

	ASSERT_RETURNS(1, scm_send_fd(self->a, self->d));
	skip_pipe(_metadata, self->b);
	fd = scm_recv_fd(self->b);
	ASSERT_FD(fd);
	EXPECT_TRUE(scm_same_file(self->d, fd));
	close(fd);
	/* b holds nothing any more, and d is not under way. */
	ASSERT_RETURNS(1, scm_send_fd(self->c, self->b));
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->a, self->d));
	skip_pipe(_metadata, self->d);
	fd = scm_recv_fd(self->d);
	ASSERT_FD(fd);
	close(fd);
	ASSERT_RETURNS(1, scm_send_fd(self->a, self->d));
}

/* Every way to lose them frees both. */
TEST_F(cycle, what_was_closed_is_free_again)
{
	struct scm_in in;
	int way;
	char c;

	for (way = 0; way < 4; way++) {
		int p[2];

		ASSERT_OK(scm_pair(variant->type, p));
		ASSERT_RETURNS(1, scm_send_fd(p[0], self->d));
		EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->e, p[1]));
		EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->c, self->f));
		switch (way) {
		case 0:
			ASSERT_RETURNS(1, recv(p[1], &c, 1, 0));
			break;
		case 1:
			ASSERT_RETURNS(1, scm_recv_room(p[1], &c, 1, 0,
							CMSG_LEN(0), &in));
			break;
		case 2:
			ASSERT_OK(scm_pass_rights(p[1], 0));
			ASSERT_RETURNS(1, scm_recv(p[1], &c, 1, 0, &in));
			break;
		case 3:
			close(p[0]);
			break;
		}
		if (way < 3) {
			ASSERT_RETURNS(1, scm_send_fd(self->a, p[1]));
			EXPECT_RETURNS(1, recv(self->b, &c, 1, 0));
			EXPECT_RETURNS(1, recv(self->b, &c, 1, 0));
			ASSERT_RETURNS(1, scm_send_fd(self->a, self->r));
			close(p[0]);
		}
		close(p[1]);
		ASSERT_RETURNS(1, scm_send_fd(self->c, self->f));
		EXPECT_RETURNS(1, recv(self->d, &c, 1, 0));
		EXPECT_RETURNS(1, recv(self->d, &c, 1, 0));
		ASSERT_RETURNS(1, scm_send_fd(self->c, self->r));
	}
}

TEST_F(cycle, a_socket_under_way_twice_is_so_until_both_arrived)
{
	int fds[] = { self->d, self->d };
	struct scm_in in;
	char c;

	skip_pipe(_metadata, self->b);
	/* In two messages, in two queues, and twice in one message. */
	ASSERT_RETURNS(1, scm_send_fd(self->a, self->d));
	ASSERT_RETURNS(1, scm_send_fd(self->a, self->d));
	expect_fds(_metadata, self->b, 1);
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->c, self->f));
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->e, self->b));
	ASSERT_RETURNS(1, scm_send_fd(self->e, self->d));
	expect_fds(_metadata, self->b, 1);
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->c, self->b));
	skip_pipe(_metadata, self->f);
	expect_fds(_metadata, self->f, 1);
	ASSERT_RETURNS(1, scm_send_fds(self->a, "x", 1, fds, 2, 0));
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->c, self->f));
	/* Only one of them fits. */
	EXPECT_RETURNS(1, scm_recv_room(self->b, &c, 1, 0, CMSG_LEN(4), &in));
	EXPECT_EQ(1, in.nfds);
	scm_close(&in);
	ASSERT_RETURNS(1, scm_send_fd(self->c, self->b));
}

TEST_F(cycle, a_peek_frees_nobody)
{
	char c;

	ASSERT_RETURNS(1, scm_send_fd(self->a, self->d));
	skip_pipe(_metadata, self->b);
	ASSERT_RETURNS(1, recv(self->b, &c, 1, MSG_PEEK));
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->c, self->f));
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->c, self->b));
}

TEST_F(cycle, a_send_that_failed_marks_nobody)
{
	int bad[] = { self->d, -1 }, too[] = { self->d, self->b };

	EXPECT_ERRNO(EBADF, scm_send_fds(self->a, "x", 1, bad, 2, 0));
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fds(self->a, "x", 1, too, 2, 0));
	EXPECT_ERRNO(EFAULT, scm_send_fds(self->a, bad_pointer, 1, bad, 1, 0));
	ASSERT_OK(scm_pass_rights(self->b, 0));
	EXPECT_ERRNO(EPERM, scm_send_fd(self->a, self->d));
	ASSERT_OK(scm_pass_rights(self->b, 1));
	ASSERT_TRUE(scm_fill(self->a));
	EXPECT_ERRNO(EAGAIN, scm_send_fd(self->a, self->d));
	EXPECT_EQ(1, scm_drain(self->b));
	/* Neither does d count as under way, nor b as a holder. */
	ASSERT_RETURNS(1, scm_send_fd(self->c, self->b));
}

/* The types are the same to each other: every one can hold every other. */
TEST_F(cycle, between_types_is_refused)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		int p[2];

		ASSERT_OK(scm_pair(types[i], p));
		ASSERT_RETURNS(1, scm_send_fd(p[0], self->d));
		EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->c, p[1]));
		EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->e, p[1]));
		EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->c, self->f));
		expect_fds(_metadata, p[1], 1);
		ASSERT_RETURNS(1, scm_send_fd(self->c, p[1]));
		EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(p[0], self->d));
		EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(p[0], self->f));
		skip_pipe(_metadata, self->d);
		expect_fds(_metadata, self->d, 1);
		ASSERT_RETURNS(1, scm_send_fd(self->c, self->r));
		close(p[0]);
		close(p[1]);
	}
}

/* A process that dies takes its sockets along, whatever holds what. */
TEST_F(cycle, among_sockets_of_a_process_that_dies)
{
	pid_t pid = fork();
	int fd[2];

	ASSERT_LE(0, pid);
	if (!pid) {
		EXPECT_OK(scm_pair(variant->type, fd));
		EXPECT_RETURNS(1, scm_send_fd(fd[0], fd[0]));
		EXPECT_RETURNS(1, scm_send_fd(fd[0], self->d));
		EXPECT_RETURNS(1, scm_send_fd(self->e, fd[0]));
		raise(SIGKILL);
	}
	EXPECT_NE(0, nym_wait_child(pid));
	/* d is free as soon as the queue that held it is gone. */
	ASSERT_RETURNS(1, scm_send_fd(self->c, self->b));
	/* The other end of that pair lives on in our f. */
	skip_pipe(_metadata, self->f);
	fd[0] = scm_recv_fd(self->f);
	ASSERT_FD(fd[0]);
	EXPECT_RETURNS(-1, send(fd[0], "x", 1, MSG_NOSIGNAL));
	close(fd[0]);
}

/* --- Cycles through calls --- */

FIXTURE(cycle_call) {
	int listener;
	int client;
	int a;		/* a pair */
	int b;
	int r;
	int w;
};

FIXTURE_VARIANT(cycle_call) {
	int type;
};

FIXTURE_VARIANT_ADD(cycle_call, stream) {
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(cycle_call, seqpacket) {
	.type = SOCK_SEQPACKET,
};

FIXTURE_SETUP(cycle_call)
{
	int fd[2];

	SKIP_WITHOUT_NYM();
	self->listener = scm_listen(variant->type, NAME, 5);
	ASSERT_FD(self->listener);
	ASSERT_OK(scm_pass_rights(self->listener, 1));
	self->client = scm_connect(variant->type, NAME);
	ASSERT_FD(self->client);
	ASSERT_OK(scm_pair(variant->type, fd));
	self->a = fd[0];
	self->b = fd[1];
	ASSERT_OK(pipe2(fd, O_CLOEXEC));
	self->r = fd[0];
	self->w = fd[1];
	ASSERT_RETURNS(1, scm_send_fd(self->client, self->w));
	CLOSE_W();
}

FIXTURE_TEARDOWN(cycle_call)
{
	close(self->listener);
	close(self->client);
	close(self->a);
	close(self->b);
	EXPECT_TRUE(scm_has_no_writer(self->r));
	close(self->r);
}

TEST_F(cycle_call, of_the_listener_itself)
{
	int server;

	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->client, self->listener));
	/* Once accepted it goes to another socket. */
	server = scm_accept(self->listener);
	ASSERT_FD(server);
	ASSERT_RETURNS(1, scm_send_fd(self->client, self->listener));
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->client, server));
	close(server);
}

TEST_F(cycle_call, of_the_calling_socket)
{
	int server;

	ASSERT_RETURNS(1, scm_send_fd(self->client, self->client));
	close(self->client);
	self->client = -1;
	server = scm_accept(self->listener);
	ASSERT_FD(server);
	skip_pipe(_metadata, server);
	self->client = scm_recv_fd(server);
	ASSERT_FD(self->client);
	ASSERT_RETURNS(1, send(self->client, "x", 1, 0));
	expect_fds(_metadata, server, 0);
	close(server);
}

/* A pair under way to itself by two calls: nothing but the listener holds it. */
TEST_F(cycle_call, of_calls_left_alone_is_closed)
{
	int other = scm_connect(variant->type, NAME);

	ASSERT_FD(other);
	ASSERT_RETURNS(1, scm_send_fd(self->client, other));
	ASSERT_RETURNS(1, scm_send_fd(other, self->client));
	close(other);
}

TEST_F(cycle_call, a_listener_whose_calls_hold_sockets_is_not_sent)
{
	int server, fd;

	ASSERT_RETURNS(1, scm_send_fd(self->client, self->b));
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->b, self->listener));
	/* accept() takes the sockets from the listener. */
	server = scm_accept(self->listener);
	ASSERT_FD(server);
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->b, server));
	ASSERT_RETURNS(1, scm_send_fd(self->b, self->listener));
	fd = scm_recv_fd(self->a);
	ASSERT_FD(fd);
	close(fd);
	skip_pipe(_metadata, server);
	fd = scm_recv_fd(server);
	ASSERT_FD(fd);
	close(fd);
	ASSERT_RETURNS(1, scm_send_fd(self->a, server));
	close(server);
}

TEST_F(cycle_call, one_of_two_calls_holds_a_socket)
{
	int other = scm_connect(variant->type, NAME), server;

	ASSERT_FD(other);
	ASSERT_RETURNS(1, scm_send_fd(other, self->b));
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->b, self->listener));
	server = scm_accept(self->listener);
	ASSERT_FD(server);
	/* That was the first call, which has only a pipe. */
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->b, self->listener));
	ASSERT_RETURNS(1, scm_send_fd(self->b, server));
	close(server);
	server = scm_accept(self->listener);
	ASSERT_FD(server);
	ASSERT_RETURNS(1, scm_send_fd(self->b, self->listener));
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->b, server));
	close(server);
	close(other);
}

TEST_F(cycle_call, of_a_client_that_gave_up_still_holds)
{
	int server;

	ASSERT_RETURNS(1, scm_send_fd(self->client, self->b));
	close(self->client);
	self->client = -1;
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->b, self->listener));
	server = scm_accept(self->listener);
	ASSERT_FD(server);
	close(server);
	ASSERT_RETURNS(1, scm_send_fd(self->b, self->listener));
}

TEST_F(cycle_call, a_listener_under_way_is_sent_no_sockets)
{
	int other[2], server, fd;

	ASSERT_OK(scm_pair(SOCK_DGRAM, other));
	ASSERT_RETURNS(1, scm_send_fd(self->a, self->listener));
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->client, self->b));
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->client, other[0]));
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(self->client, self->client));
	ASSERT_RETURNS(1, scm_send_fd(self->client, self->r));
	/* Whoever accepts meanwhile is not under way. */
	server = scm_accept(self->listener);
	ASSERT_FD(server);
	ASSERT_RETURNS(1, scm_send_fd(self->client, other[0]));
	close(server);
	fd = scm_connect(variant->type, NAME);
	ASSERT_FD(fd);
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(fd, other[0]));
	server = scm_recv_fd(self->b);
	ASSERT_FD(server);
	EXPECT_TRUE(scm_same_file(self->listener, server));
	ASSERT_RETURNS(1, scm_send_fd(fd, other[0]));
	close(server);
	close(fd);
	close(other[0]);
	close(other[1]);
}

/* The listener is nowhere but in a queue: it can be called, and comes back. */
TEST_F(cycle_call, a_listener_that_is_only_under_way)
{
	int fd, server;

	ASSERT_RETURNS(1, scm_send_fd(self->a, self->listener));
	close(self->listener);
	fd = scm_connect(variant->type, NAME);
	ASSERT_FD(fd);
	ASSERT_RETURNS(1, scm_send_fd(fd, self->r));
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(fd, self->b));
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(fd, self->a));
	self->listener = scm_recv_fd(self->b);
	ASSERT_FD(self->listener);
	server = scm_accept(self->listener);
	ASSERT_FD(server);
	skip_pipe(_metadata, server);
	close(server);
	server = scm_accept(self->listener);
	ASSERT_FD(server);
	expect_fds(_metadata, server, 1);
	close(server);
	close(fd);
}

/* Closed with the queue that it is in, and its callers are told. */
TEST_F(cycle_call, a_listener_that_is_lost_under_way)
{
	char c;

	ASSERT_RETURNS(1, scm_send_fd(self->a, self->listener));
	close(self->listener);
	self->listener = -1;
	EXPECT_TRUE(scm_has_writer(self->r));
	close(self->b);
	self->b = -1;
	EXPECT_TRUE(scm_has_no_writer(self->r));
	EXPECT_ERRNO(ECONNRESET, recv(self->client, &c, 1, 0));
	EXPECT_ERRNO(ECONNREFUSED, scm_connect(variant->type, NAME));
}

FIXTURE(cycle_dgram) {
	int x;
	int y;
	int r;
	int w;
};

FIXTURE_SETUP(cycle_dgram)
{
	int fd[2];

	SKIP_WITHOUT_NYM();
	self->x = scm_bound(SOCK_DGRAM, "t/rights/x");
	ASSERT_FD(self->x);
	ASSERT_OK(scm_pass_rights(self->x, 1));
	self->y = scm_bound(SOCK_DGRAM, "t/rights/y");
	ASSERT_FD(self->y);
	ASSERT_OK(scm_pass_rights(self->y, 1));
	ASSERT_OK(pipe2(fd, O_CLOEXEC));
	self->r = fd[0];
	self->w = fd[1];
	ASSERT_RETURNS(1, scm_send_fd_to(self->x, "t/rights/y", self->w));
	ASSERT_RETURNS(1, scm_send_fd_to(self->y, "t/rights/x", self->w));
	CLOSE_W();
}

FIXTURE_TEARDOWN(cycle_dgram)
{
	close(self->x);
	close(self->y);
	EXPECT_TRUE(scm_has_no_writer(self->r));
	close(self->r);
}

TEST_F(cycle_dgram, of_one_is_refused)
{
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd_to(self->x, "t/rights/x",
						  self->x));
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd_to(self->y, "t/rights/x",
						  self->x));
}

TEST_F(cycle_dgram, of_two_is_refused)
{
	ASSERT_RETURNS(1, scm_send_fd_to(self->x, "t/rights/y", self->x));
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd_to(self->x, "t/rights/x",
						  self->y));
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd_to(self->y, "t/rights/x",
						  self->y));
}

TEST_F(cycle_dgram, a_change_of_peers_frees_what_it_drops)
{
	int z = scm_bound(SOCK_DGRAM, "t/rights/z");

	ASSERT_FD(z);
	ASSERT_OK(nym_call(self->y, "t/rights/x"));
	ASSERT_RETURNS(1, scm_send_fd_to(self->x, "t/rights/y", self->x));
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd_to(self->y, "t/rights/x",
						  self->y));
	ASSERT_OK(nym_call(self->y, "t/rights/z"));
	ASSERT_RETURNS(1, scm_send_fd_to(self->y, "t/rights/x", self->y));
	close(z);
}

/* --- Calls that stall over a page that is not there yet --- */

FIXTURE(stall) {
	int a;
	int b;
	int r;
	int w;
	int uffd;
	__u8 *mem;	/* a page that is there and one that is not */
	struct io_thread t;
};

FIXTURE_VARIANT(stall) {
	int type;
};

FIXTURE_VARIANT_ADD(stall, stream) {
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(stall, seqpacket) {
	.type = SOCK_SEQPACKET,
};

FIXTURE_VARIANT_ADD(stall, dgram) {
	.type = SOCK_DGRAM,
};

FIXTURE_SETUP(stall)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int fd[2];

	SKIP_WITHOUT_NYM();
	self->uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (self->uffd < 0 || ioctl(self->uffd, UFFDIO_API, &api))
		SKIP(return, "no userfaultfd: %s", strerrorname_np(errno));
	self->mem = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->mem);
	memset(self->mem, 'x', PAGE);
	reg.range.start = (uintptr_t)self->mem + PAGE;
	reg.range.len = PAGE;
	ASSERT_OK(ioctl(self->uffd, UFFDIO_REGISTER, &reg));
	ASSERT_OK(scm_pair(variant->type, fd));
	self->a = fd[0];
	self->b = fd[1];
	ASSERT_OK(pipe2(fd, O_CLOEXEC));
	self->r = fd[0];
	self->w = fd[1];
}

FIXTURE_TEARDOWN(stall)
{
	close(self->uffd);
	close(self->a);
	close(self->b);
	close(self->r);
	close(self->w);
}

/* Somebody waits for the second page. */
static bool stalled(int uffd)
{
	struct uffd_msg msg;

	return io_poll(uffd, POLLIN, IO_POLL_MS) == POLLIN &&
	       read(uffd, &msg, sizeof(msg)) == sizeof(msg) &&
	       msg.event == UFFD_EVENT_PAGEFAULT;
}

static int go_on(int uffd, __u8 *mem)
{
	struct uffdio_zeropage zero = {
		.range = { .start = (uintptr_t)mem + PAGE, .len = PAGE },
	};

	return ioctl(uffd, UFFDIO_ZEROPAGE, &zero);
}

/* The number of the only descriptor begins the page that is not there. */
static long recv_stalling(struct io_thread *t)
{
	char c;
	struct iovec iov = { .iov_base = &c, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = (__u8 *)t->buf + PAGE - CMSG_LEN(0),
		.msg_controllen = CMSG_SPACE(sizeof(int)),
	};
	long n = recvmsg(t->fd, &msg, 0);

	t->flags = msg.msg_flags;
	t->len = msg.msg_controllen;
	return n;
}

TEST_F(stall, a_receiver_that_stalls_over_its_control_buffer)
{
	int fd;

	ASSERT_RETURNS(1, scm_send_fd(self->a, self->w));
	self->t = (struct io_thread){ .fd = self->b, .buf = self->mem };
	io_start(&self->t, recv_stalling);
	ASSERT_TRUE(stalled(self->uffd));
	/* Others send and receive meanwhile. */
	ASSERT_RETURNS(1, scm_send_fd(self->a, self->w));
	expect_fds(_metadata, self->b, 1);
	ASSERT_RETURNS(1, send(self->b, "x", 1, MSG_DONTWAIT));
	expect_fds(_metadata, self->a, 0);
	close(self->a);
	self->a = -1;
	CLOSE_W();
	EXPECT_TRUE(scm_has_writer(self->r));
	EXPECT_FALSE(io_done(&self->t));
	ASSERT_OK(go_on(self->uffd, self->mem));
	EXPECT_EQ(1, io_join(&self->t));
	EXPECT_EQ(0, self->t.flags);
	EXPECT_EQ(CMSG_SPACE(sizeof(int)), self->t.len);
	memcpy(&fd, self->mem + PAGE, sizeof(fd));
	close(fd);
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

static long send_stalling(struct io_thread *t)
{
	return scm_send_fds(t->fd, (__u8 *)t->buf + PAGE - 10, 20, t->arg, 1, 0);
}

#define START_SEND() do { \
	self->t = (struct io_thread){ .fd = self->a, .buf = self->mem, \
				      .arg = &self->w }; \
	io_start(&self->t, send_stalling); \
	ASSERT_TRUE(stalled(self->uffd)); \
} while (0)

TEST_F(stall, a_sender_that_stalls_shows_nothing)
{
	struct scm_in in;
	char buf[32];

	START_SEND();
	expect_nothing(_metadata, self->b);
	ASSERT_OK(go_on(self->uffd, self->mem));
	EXPECT_EQ(20, io_join(&self->t));
	EXPECT_RETURNS(20, scm_recv(self->b, buf, 32, 0, &in));
	EXPECT_EQ(1, in.nfds);
	scm_close(&in);
}

TEST_F(stall, a_sender_that_stalls_while_the_receiver_closes)
{
	START_SEND();
	close(self->b);
	self->b = -1;
	ASSERT_OK(go_on(self->uffd, self->mem));
	EXPECT_EQ(-1, io_join(&self->t));
	EXPECT_SAME_ERRNO(variant->type == SOCK_DGRAM ? ECONNREFUSED : EPIPE,
			  self->t.err);
	CLOSE_W();
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

TEST_F(stall, a_sender_that_stalls_while_consent_is_withdrawn)
{
	START_SEND();
	ASSERT_OK(scm_pass_rights(self->b, 0));
	ASSERT_OK(go_on(self->uffd, self->mem));
	EXPECT_EQ(-1, io_join(&self->t));
	EXPECT_SAME_ERRNO(EPERM, self->t.err);
	CLOSE_W();
	EXPECT_TRUE(scm_has_no_writer(self->r));
	expect_nothing(_metadata, self->b);
}

/* --- 32-bit programs --- */

/*
 * The system calls of 32-bit programs can be made from here: what they point
 * to lies below 4 GiB, and has the shapes of a 32-bit machine.
 */
struct msghdr32 {
	__u32 name;
	__u32 namelen;
	__u32 iov;
	__u32 iovlen;
	__u32 control;
	__u32 controllen;
	__u32 flags;
};

struct iovec32 {
	__u32 base;
	__u32 len;
};

struct cmsghdr32 {
	__u32 len;
	__s32 level;
	__s32 type;
	__u8 data[];
};

#define CMSG32_ALIGN(_len)	(((_len) + 3U) & ~3U)
#define CMSG32_LEN(_len)	((__u32)(sizeof(struct cmsghdr32) + (_len)))
#define CMSG32_SPACE(_len)	((__u32)sizeof(struct cmsghdr32) + CMSG32_ALIGN(_len))

/* i386 numbers */
#define NR32_getpid	20
#define NR32_getsockopt	365
#define NR32_setsockopt	366
#define NR32_sendmsg	370
#define NR32_recvmsg	372

/* A page below 4 GiB. */
struct page32 {
	struct msghdr32 msg;
	struct iovec32 iov;
	__u8 buf[64];
	__s32 value;
	__u32 len;
	__u8 control[4096];
};

static long call32(long nr, long a, long b, long c, long d, long e)
{
	long ret = -ENOSYS;

#ifdef __x86_64__
	asm volatile("int $0x80" : "=a"(ret)
		     : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
		     : "memory", "cc", "r8", "r9", "r10", "r11");
#endif
	if (ret < 0 && ret >= -4095) {
		errno = -ret;
		return -1;
	}
	return ret;
}

/* Where the kernel does not know such calls at all, they are fatal. */
static bool have_call32(void)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(call32(NR32_getpid, 0, 0, 0, 0, 0) != getpid());
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       !WEXITSTATUS(status);
}

static __u32 ptr32(const void *p)
{
	return (uintptr_t)p;
}

FIXTURE(compat) {
	int a;
	int b;
	int r;
	int w;
	struct page32 *m;
};

FIXTURE_VARIANT(compat) {
	int type;
};

FIXTURE_VARIANT_ADD(compat, stream) {
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(compat, seqpacket) {
	.type = SOCK_SEQPACKET,
};

FIXTURE_VARIANT_ADD(compat, dgram) {
	.type = SOCK_DGRAM,
};

FIXTURE_SETUP(compat)
{
	int fd[2];

	SKIP_WITHOUT_NYM();
	if (!have_call32())
		SKIP(return, "no system calls of 32-bit programs");
#ifndef MAP_32BIT
#define MAP_32BIT 0
#endif
	self->m = mmap(NULL, sizeof(*self->m), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	ASSERT_NE(MAP_FAILED, self->m);
	ASSERT_EQ((uintptr_t)self->m, ptr32(self->m));
	ASSERT_OK(scm_pair(variant->type, fd));
	self->a = fd[0];
	self->b = fd[1];
	ASSERT_OK(pipe2(fd, O_CLOEXEC));
	self->r = fd[0];
	self->w = fd[1];
}

FIXTURE_TEARDOWN(compat)
{
	close(self->a);
	close(self->b);
	close(self->r);
	close(self->w);
}

/* Adds a control message to those that will be sent. */
static void *add32(struct page32 *m, int type, __u32 len)
{
	struct cmsghdr32 *cmsg = (void *)(m->control + m->msg.controllen);

	m->msg.controllen += CMSG32_SPACE(len);
	cmsg->len = CMSG32_LEN(len);
	cmsg->level = SOL_SOCKET;
	cmsg->type = type;
	return cmsg->data;
}

static void begin32(struct page32 *m)
{
	memset(m, 0, sizeof(*m));
	m->iov.base = ptr32(m->buf);
	m->msg.iov = ptr32(&m->iov);
	m->msg.iovlen = 1;
	m->msg.control = ptr32(m->control);
}

static long send32(int fd, struct page32 *m)
{
	m->buf[0] = 'x';
	m->iov.len = 1;
	return call32(NR32_sendmsg, fd, ptr32(&m->msg), MSG_NOSIGNAL, 0, 0);
}

static long recv32(int fd, struct page32 *m, __u32 room, int flags)
{
	begin32(m);
	m->iov.len = sizeof(m->buf);
	m->msg.controllen = room;
	memset(m->control, 0x55, sizeof(m->control));
	return call32(NR32_recvmsg, fd, ptr32(&m->msg), flags, 0, 0);
}

TEST_F(compat, options)
{
	struct page32 *m = self->m;

	m->value = 1;
	m->len = sizeof(m->value);
	EXPECT_RETURNS(0, call32(NR32_setsockopt, self->a, SOL_NYM,
				 NYM_PASSCRED, ptr32(&m->value), m->len));
	EXPECT_EQ(1, scm_option(self->a, NYM_PASSCRED));
	m->value = 7;
	EXPECT_RETURNS(0, call32(NR32_getsockopt, self->a, SOL_NYM,
				 NYM_PASSCRED, ptr32(&m->value), ptr32(&m->len)));
	EXPECT_EQ(1, m->value);
	EXPECT_EQ(sizeof(m->value), m->len);
	EXPECT_ERRNO(EINVAL, call32(NR32_setsockopt, self->a, SOL_NYM,
				    NYM_PASSCRED, ptr32(&m->value), 3));
}

TEST_F(compat, sends_descriptors)
{
	int fds[3] = { self->w, self->r, self->w }, i;
	struct page32 *m = self->m;
	struct scm_in in;
	char c;

	/* A length that is not a multiple of eight, in one list and in two. */
	for (i = 0; i < 2; i++) {
		begin32(m);
		if (i) {
			memcpy(add32(m, SCM_RIGHTS, 4), fds, 4);
			memcpy(add32(m, SCM_RIGHTS, 8), fds + 1, 8);
		} else {
			memcpy(add32(m, SCM_RIGHTS, 12), fds, 12);
		}
		ASSERT_RETURNS(1, send32(self->a, m));
		EXPECT_RETURNS(1, scm_recv(self->b, &c, 1, 0, &in));
		ASSERT_EQ(3, in.nfds);
		EXPECT_TRUE(scm_same_file(self->w, in.fds[0]));
		EXPECT_TRUE(scm_same_file(self->r, in.fds[1]));
		EXPECT_TRUE(scm_same_file(self->w, in.fds[2]));
		scm_close(&in);
	}
	expect_nothing(_metadata, self->b);
}

TEST_F(compat, sends_nothing_that_is_bad)
{
	struct page32 *m = self->m;
	int i, fds[2] = { self->w, -1 };

	begin32(m);
	memcpy(add32(m, SCM_RIGHTS, 8), fds, 8);
	EXPECT_ERRNO(EBADF, send32(self->a, m));
	begin32(m);
	for (i = 0; i < 254; i++)
		memcpy(add32(m, SCM_RIGHTS, 4), fds, 4);
	EXPECT_ERRNO(EINVAL, send32(self->a, m));
	begin32(m);
	add32(m, SCM_CREDENTIALS, 11);
	EXPECT_ERRNO(EINVAL, send32(self->a, m));
	begin32(m);
	memcpy(add32(m, SCM_RIGHTS, 4), &self->w, 4);
	add32(m, 77, 4);
	EXPECT_ERRNO(EINVAL, send32(self->a, m));
	ASSERT_OK(scm_pass_rights(self->b, 0));
	begin32(m);
	memcpy(add32(m, SCM_RIGHTS, 4), &self->w, 4);
	EXPECT_ERRNO(EPERM, send32(self->a, m));
	close(self->w);
	self->w = -1;
	EXPECT_TRUE(scm_has_no_writer(self->r));
	expect_nothing(_metadata, self->b);
}

TEST_F(compat, sends_253_descriptors)
{
	struct page32 *m = self->m;
	int fds[253], i;

	for (i = 0; i < 253; i++)
		fds[i] = self->w;
	begin32(m);
	memcpy(add32(m, SCM_RIGHTS, sizeof(fds)), fds, sizeof(fds));
	ASSERT_RETURNS(1, send32(self->a, m));
	expect_fds(_metadata, self->b, 253);
}

/* Every length of the buffer: the head is shorter, nothing is padded. */
TEST_F(compat, receives_as_many_descriptors_as_fit)
{
	struct page32 *m = self->m;
	struct cmsghdr32 *cmsg = (void *)m->control;
	int fds[4], n;
	__u32 room, i;

	for (n = 0; n <= 4; n++) {
		if (n)
			fds[n - 1] = self->w;
		for (room = 0; room <= CMSG32_SPACE(16) + 4; room++) {
			int before = scm_count_fds();
			__u32 fit = room > CMSG32_LEN(0) ?
				    (room - CMSG32_LEN(0)) / 4 : 0;

			fit = fit < (__u32)n ? fit : (__u32)n;
			ASSERT_RETURNS(1, scm_send_fds(self->a, "x", 1, fds, n,
						       0));
			ASSERT_RETURNS(1, recv32(self->b, m, room, 0));
			EXPECT_EQ('x', m->buf[0]);
			EXPECT_EQ(before + (int)fit, scm_count_fds()) {
				TH_LOG("%d descriptors, room %u", n, room);
			}
			EXPECT_EQ(fit < (__u32)n ? (__u32)MSG_CTRUNC : 0,
				  m->msg.flags & MSG_CTRUNC);
			EXPECT_EQ(fit ? CMSG32_SPACE(4 * fit) : 0,
				  m->msg.controllen);
			for (i = room; i < sizeof(m->control); i++)
				EXPECT_EQ(0x55, m->control[i]);
			if (!fit)
				continue;
			EXPECT_EQ(CMSG32_LEN(4 * fit), cmsg->len);
			EXPECT_EQ(SOL_SOCKET, cmsg->level);
			EXPECT_EQ(SCM_RIGHTS, cmsg->type);
			for (i = 0; i < fit; i++) {
				int fd;

				memcpy(&fd, cmsg->data + 4 * i, 4);
				EXPECT_OK(close(fd));
			}
		}
	}
	close(self->w);
	self->w = -1;
	EXPECT_TRUE(scm_has_no_writer(self->r));
}

TEST_F(compat, receives_close_on_exec)
{
	struct page32 *m = self->m;
	struct cmsghdr32 *cmsg = (void *)m->control;
	int fd;

	ASSERT_RETURNS(1, scm_send_fd(self->a, self->w));
	ASSERT_RETURNS(1, recv32(self->b, m, 100, MSG_CMSG_CLOEXEC));
	/* The kernel's own mark of a 32-bit caller does not show. */
	EXPECT_EQ((__u32)MSG_CMSG_CLOEXEC, m->msg.flags);
	memcpy(&fd, cmsg->data, 4);
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
	EXPECT_TRUE(scm_same_file(self->w, fd));
	close(fd);
}

TEST_F(compat, peeks_no_descriptors)
{
	int before = scm_count_fds();

	ASSERT_RETURNS(1, scm_send_fd(self->a, self->w));
	ASSERT_RETURNS(1, recv32(self->b, self->m, 100, MSG_PEEK));
	EXPECT_EQ(0U, self->m->msg.controllen);
	EXPECT_EQ(before, scm_count_fds());
	expect_fds(_metadata, self->b, 1);
}

TEST_F(compat, sends_and_receives_credentials)
{
	struct page32 *m = self->m;
	struct cmsghdr32 *cmsg = (void *)m->control;
	struct ucred cred = { getpid(), 5, 6 }, got;
	__u32 room;

	ASSERT_OK(scm_pass_cred(self->b, 1));
	for (room = 1; room <= CMSG32_SPACE(sizeof(cred)) + 4; room++) {
		begin32(m);
		memcpy(add32(m, SCM_CREDENTIALS, sizeof(cred)), &cred,
		       sizeof(cred));
		ASSERT_RETURNS(1, send32(self->a, m));
		ASSERT_RETURNS(1, recv32(self->b, m, room, 0));
		EXPECT_EQ(room < CMSG32_LEN(sizeof(cred)) ?
			  (__u32)MSG_CTRUNC : 0, m->msg.flags);
		if (room < CMSG32_LEN(sizeof(cred)))
			continue;
		EXPECT_EQ(CMSG32_SPACE(sizeof(cred)), m->msg.controllen);
		EXPECT_EQ(CMSG32_LEN(sizeof(cred)), cmsg->len);
		EXPECT_EQ(SCM_CREDENTIALS, cmsg->type);
		memcpy(&got, cmsg->data, sizeof(got));
		EXPECT_EQ(0, memcmp(&cred, &got, sizeof(got)));
	}
	begin32(m);
	cred.pid = -1;
	memcpy(add32(m, SCM_CREDENTIALS, sizeof(cred)), &cred, sizeof(cred));
	EXPECT_ERRNO(ESRCH, send32(self->a, m));
	expect_nothing(_metadata, self->b);
}

/* Both in one message, one behind the other without padding. */
TEST_F(compat, receives_descriptors_behind_credentials)
{
	struct page32 *m = self->m;
	struct cmsghdr32 *cred = (void *)m->control;
	struct cmsghdr32 *rights = (void *)(m->control +
					    CMSG32_SPACE(sizeof(struct ucred)));
	int fd;

	ASSERT_OK(scm_pass_cred(self->b, 1));
	ASSERT_RETURNS(1, scm_send_fd(self->a, self->w));
	ASSERT_RETURNS(1, recv32(self->b, m, 100, 0));
	EXPECT_EQ(0U, m->msg.flags);
	EXPECT_EQ(SCM_CREDENTIALS, cred->type);
	EXPECT_EQ(SCM_RIGHTS, rights->type);
	EXPECT_EQ(CMSG32_LEN(4), rights->len);
	EXPECT_EQ(CMSG32_SPACE(sizeof(struct ucred)) + CMSG32_SPACE(4),
		  m->msg.controllen);
	memcpy(&fd, rights->data, 4);
	EXPECT_TRUE(scm_same_file(self->w, fd));
	close(fd);
}

NYM_TEST_MAIN
