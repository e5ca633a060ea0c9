// SPDX-License-Identifier: GPL-2.0
/*
 * Calls that stall in the middle of copying, because the page they copy from
 * or to takes its time (userfaultfd holds it back): what others may do
 * meanwhile, and what may not appear afterwards.
 */
#include "nym_test.h"
#include "nym_io.h"

#include <linux/userfaultfd.h>
#include <sys/mman.h>

#define PAGE	4096L
#define LEN	6000L	/* reaches into the second page */

FIXTURE(stall)
{
	int a;
	int b;
	int uffd;
	__u8 *mem;	/* a page that is there and one that is not */
	struct io_thread t;
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
	memcpy(self->mem, io_at(0), PAGE);
	reg.range.start = (uintptr_t)self->mem + PAGE;
	reg.range.len = PAGE;
	ASSERT_OK(ioctl(self->uffd, UFFDIO_REGISTER, &reg));
	ASSERT_OK(nym_pair(fd));
	self->a = fd[0];
	self->b = fd[1];
}

FIXTURE_TEARDOWN(stall)
{
	close(self->uffd);
	close(self->a);
	close(self->b);
	munmap(self->mem, 2 * PAGE);
}

/* Somebody waits for the second page. */
static bool stalled(int uffd)
{
	struct uffd_msg msg;

	return io_poll(uffd, POLLIN, IO_POLL_MS) == POLLIN &&
	       read(uffd, &msg, sizeof(msg)) == sizeof(msg) &&
	       msg.event == UFFD_EVENT_PAGEFAULT;
}

/* Gives the second page, with the pattern that follows the first one's. */
static int go_on(int uffd, __u8 *mem)
{
	static __u8 page[PAGE];
	struct uffdio_copy copy = { .dst = (uintptr_t)mem + PAGE,
				    .src = (uintptr_t)page, .len = PAGE };

	memcpy(page, io_at(PAGE), PAGE);
	return ioctl(uffd, UFFDIO_COPY, &copy);
}

static long send_mem(struct io_thread *t)
{
	return send(t->fd, t->buf, t->len, MSG_NOSIGNAL);
}

#define START_SEND() do { \
	self->t = (struct io_thread){ .fd = self->a, .buf = self->mem, \
				      .len = LEN }; \
	io_start(&self->t, send_mem); \
	ASSERT_TRUE(stalled(self->uffd)); \
} while (0)

TEST_F(stall, a_stalled_send_shows_nothing_and_stops_nobody_else)
{
	char buf[4];

	START_SEND();
	/* On the other end, and in the other direction. */
	EXPECT_EQ(0, io_inq(self->b));
	EXPECT_EQ(POLLOUT | POLLWRNORM | POLLWRBAND, io_mask(self->b));
	EXPECT_ERRNO(EAGAIN, recv(self->b, buf, 4, MSG_DONTWAIT));
	EXPECT_EQ(2, send(self->b, "ab", 2, MSG_DONTWAIT));
	EXPECT_EQ(2, io_inq(self->a));
	EXPECT_EQ(2, recv(self->a, buf, 4, MSG_DONTWAIT));
	EXPECT_EQ(0, io_so_error(self->a));
	EXPECT_FALSE(io_done(&self->t));
	ASSERT_OK(go_on(self->uffd, self->mem));
	EXPECT_EQ(LEN, io_join(&self->t));
	EXPECT_EQ(LEN, io_drain(self->b, 0));
}

/* After the end of the stream was read, no data may follow. */
static void shut_while_stalled(struct __test_metadata *_metadata,
			       struct io_thread *t, int uffd, __u8 *mem,
			       int reader, int fd, int how)
{
	char buf[4];

	ASSERT_OK(shutdown(fd, how));
	EXPECT_EQ(0, recv(reader, buf, 4, MSG_DONTWAIT));
	ASSERT_OK(go_on(uffd, mem));
	EXPECT_EQ(-1, io_join(t));
	EXPECT_EQ(EPIPE, t->err);
	EXPECT_EQ(0, io_inq(reader));
	EXPECT_EQ(0, recv(reader, buf, 4, MSG_DONTWAIT));
}

TEST_F(stall, shutdown_of_the_writers_side_ends_a_stalled_send)
{
	START_SEND();
	shut_while_stalled(_metadata, &self->t, self->uffd, self->mem, self->b,
			   self->a, SHUT_WR);
}

TEST_F(stall, shutdown_of_the_readers_side_ends_a_stalled_send)
{
	START_SEND();
	shut_while_stalled(_metadata, &self->t, self->uffd, self->mem, self->b,
			   self->b, SHUT_RD);
}

TEST_F(stall, shutdown_of_both_sides_ends_a_stalled_send)
{
	START_SEND();
	shut_while_stalled(_metadata, &self->t, self->uffd, self->mem, self->b,
			   self->b, SHUT_RDWR);
}

/* Either it came too late, or it was lost with the peer, which is a reset. */
TEST_F(stall, close_of_the_peer_ends_a_stalled_send)
{
	char buf[4];

	START_SEND();
	close(self->b);
	self->b = -1;
	ASSERT_OK(go_on(self->uffd, self->mem));
	if (io_join(&self->t) == LEN) {
		EXPECT_ERRNO(ECONNRESET, recv(self->a, buf, 4, 0));
	} else {
		EXPECT_EQ(-1, self->t.ret);
		EXPECT_EQ(EPIPE, self->t.err);
	}
	EXPECT_EQ(0, recv(self->a, buf, 4, 0));
	EXPECT_ERRNO(EPIPE, send(self->a, "x", 1, MSG_NOSIGNAL));
}

static long recv_mem(struct io_thread *t)
{
	return recv(t->fd, t->buf, t->len, 0);
}

#define START_RECV() do { \
	self->t = (struct io_thread){ .fd = self->b, .buf = self->mem, \
				      .len = LEN }; \
	ASSERT_EQ(LEN, io_send_all(self->a, 0, LEN)); \
	memset(self->mem, 0, PAGE); \
	io_start(&self->t, recv_mem); \
	ASSERT_TRUE(stalled(self->uffd)); \
} while (0)

TEST_F(stall, a_stalled_recv_stops_nobody_else)
{
	char buf[4];

	START_RECV();
	EXPECT_EQ(100, send(self->a, io_at(LEN), 100, MSG_DONTWAIT));
	EXPECT_EQ(2, send(self->b, "ab", 2, MSG_DONTWAIT));
	EXPECT_EQ(2, recv(self->a, buf, 4, MSG_DONTWAIT));
	EXPECT_EQ(POLLIN, io_poll(self->b, POLLIN, 0));
	EXPECT_FALSE(io_done(&self->t));
	ASSERT_OK(go_on(self->uffd, self->mem));
	EXPECT_EQ(LEN, io_join(&self->t));
	EXPECT_TRUE(io_is(self->mem, 0, LEN));
	EXPECT_EQ(100, io_drain(self->b, LEN));
}

TEST_F(stall, a_stalled_recv_gets_its_bytes_though_the_peer_is_gone)
{
	char buf[4];

	START_RECV();
	close(self->a);
	self->a = -1;
	ASSERT_OK(go_on(self->uffd, self->mem));
	EXPECT_EQ(LEN, io_join(&self->t));
	EXPECT_TRUE(io_is(self->mem, 0, LEN));
	EXPECT_EQ(0, recv(self->b, buf, 4, 0));
}

/* What a stalled reader holds must not be overwritten by a busy writer. */
TEST_F(stall, a_stalled_recv_keeps_its_bytes_from_the_writer)
{
	long more;

	START_RECV();
	more = io_fill(self->a, LEN, 3000);
	EXPECT_LT(0, more);
	ASSERT_OK(go_on(self->uffd, self->mem));
	EXPECT_EQ(LEN, io_join(&self->t));
	EXPECT_TRUE(io_is(self->mem, 0, LEN));
	EXPECT_EQ(more, io_drain(self->b, LEN));
}

/* The process dies in the middle of its call. */
TEST_F(stall, killed_in_a_stalled_send)
{
	pid_t pid;
	char buf[4];
	int status;

	/* The child's own pages and userfaultfd: those of ours are not its. */
	pid = fork();
	if (!pid) {
		struct uffdio_api api = { .api = UFFD_API };
		struct uffdio_register reg = {
			.mode = UFFDIO_REGISTER_MODE_MISSING,
		};
		int uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
		__u8 *mem = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		close(self->b);
		memset(mem, 1, PAGE);
		reg.range.start = (uintptr_t)mem + PAGE;
		reg.range.len = PAGE;
		if (ioctl(uffd, UFFDIO_API, &api) ||
		    ioctl(uffd, UFFDIO_REGISTER, &reg))
			_exit(1);
		self->t = (struct io_thread){ .fd = self->a, .buf = mem,
					      .len = LEN };
		io_start(&self->t, send_mem);
		if (!stalled(uffd))
			_exit(2);
		raise(SIGKILL);
	}
	close(self->a);
	self->a = -1;
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	/* What was copied before may be there; then comes the end. */
	while (recv(self->b, buf, 4, 0) > 0)
		;
	EXPECT_EQ(0, recv(self->b, buf, 4, 0));
}

NYM_TEST_MAIN
