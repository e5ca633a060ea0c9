// SPDX-License-Identifier: GPL-2.0
/*
 * NYM_WAIT: callers and senders that wait until somebody has the name and
 * listens there, how they wait and are woken, and what ends their waiting.
 */
#include "nym_test.h"
#include "nym_io.h"
#include "nym_scm.h"

#include <sys/epoll.h>

#define OUT	(POLLOUT | POLLWRNORM | POLLWRBAND)
#define IN	(POLLIN | POLLRDNORM)
#define REFUSED	(OUT | POLLHUP | POLLERR)

static const struct nym_who nobody = { .uid = NYM_NOBODY, .gid = NYM_NOBODY };

/* Every test has a name of its own, so that one that fails spoils no other. */
static char name[32];

#define BEGIN() do { \
	SKIP_WITHOUT_NYM(); \
	snprintf(name, sizeof(name), "t/await/%d", getpid()); \
} while (0)

/* A socket that waits for names, blocking or not. */
static int waiter(int type, int flags)
{
	int fd = socket(AF_NYM, type | flags | SOCK_CLOEXEC, 0);

	return fd >= 0 && nym_option(fd, NYM_WAIT, 1) ? nym_give_up(fd) : fd;
}

/* One that waits for the name already, without blocking. */
static int waiting(int type)
{
	int fd = waiter(type, SOCK_NONBLOCK);

	if (fd < 0 || !nym_call(fd, name) || errno != EINPROGRESS)
		return nym_give_up(fd);
	return fd;
}

/* A non-blocking listener. */
static int listener(int type, int backlog)
{
	int fd = scm_listen(type, name, backlog);

	return fd >= 0 && nym_set_nonblock(fd, true) ? nym_give_up(fd) : fd;
}

/* Accepts a call; is it that of @client? */
static bool took(int fd, int client)
{
	char caller[NYM_NAME_MAX + 1];
	int got = scm_accept(fd);
	bool same;

	if (got < 0)
		return false;
	snprintf(caller, sizeof(caller), "%s", nym_own_name(client));
	same = !strcmp(caller, nym_peer_name(got));
	close(got);
	return same;
}

static int watch(int ep, int fd, __u32 events)
{
	struct epoll_event ev = { .events = events };

	return epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
}

/* The events of the one descriptor watched; 0 for none within @ms. */
static int happened(int ep, int ms)
{
	struct epoll_event ev;
	int n = epoll_wait(ep, &ev, 1, ms);

	return n < 0 ? -errno : n ? (int)ev.events : 0;
}

static long do_call(struct io_thread *t)
{
	return nym_call(t->fd, name);
}

/* Starts a call to the name in a thread, and sees it wait. */
#define START(_t, _type) do { \
	(_t) = (struct io_thread){ .fd = waiter(_type, 0) }; \
	ASSERT_FD((_t).fd); \
	io_start(&(_t), do_call); \
	ASSERT_TRUE(io_wait_blocked(&(_t))); \
} while (0)

static void on_signal(int sig)
{
}

static int catch_signal(int flags)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = flags };

	return sigaction(SIGUSR1, &sa, NULL);
}

#define CLOSE(_fd) do { \
	close(_fd); \
	(_fd) = -1; \
} while (0)

/* --- Names that turn out to be for datagrams --- */

FIXTURE(other)
{
	int l;
	int fd;
};

FIXTURE_SETUP(other)
{
	BEGIN();
	self->l = -1;
	self->fd = -1;
}

FIXTURE_TEARDOWN(other)
{
	close(self->l);
	close(self->fd);
}

/* Nobody will ever listen there. */
TEST_F(other, a_caller_is_told_when_a_datagram_socket_gets_the_name)
{
	self->fd = waiting(SOCK_STREAM);
	ASSERT_FD(self->fd);
	self->l = scm_bound(SOCK_DGRAM, name);
	ASSERT_FD(self->l);
	EXPECT_EQ(REFUSED, nym_poll_now(self->fd, OUT));
	EXPECT_EQ(EPROTOTYPE, io_so_error(self->fd));
	EXPECT_ERRNO(EPROTOTYPE, nym_call(self->fd, name));
	CLOSE(self->l);
	EXPECT_ERRNO(EINPROGRESS, nym_call(self->fd, name));
}

TEST_F(other, so_is_one_that_sleeps)
{
	struct io_thread t;

	START(t, SOCK_SEQPACKET);
	self->l = scm_bound(SOCK_DGRAM, name);
	ASSERT_FD(self->l);
	EXPECT_EQ(-1, io_join(&t));
	EXPECT_SAME_ERRNO(EPROTOTYPE, t.err);
	close(t.fd);
}

/* Its successor can only be of the same type. */
TEST_F(other, a_name_that_lingers_has_its_type)
{
	self->l = scm_bound(SOCK_DGRAM, name);
	ASSERT_FD(self->l);
	ASSERT_OK(nym_option(self->l, NYM_LINGER, 3600000));
	CLOSE(self->l);
	self->fd = nym_socket_nonblock();
	EXPECT_ERRNO(EPROTOTYPE, nym_call(self->fd, name));
	CLOSE(self->fd);
	self->fd = waiter(SOCK_SEQPACKET, SOCK_NONBLOCK);
	EXPECT_ERRNO(EPROTOTYPE, nym_call(self->fd, name));

	self->l = scm_bound(SOCK_DGRAM, name);
	ASSERT_FD(self->l);
	ASSERT_OK(nym_option(self->l, NYM_LINGER, 0));
}

/* --- Calls --- */

FIXTURE(call)
{
	int l;
	int type;
	struct io_thread t;
};

FIXTURE_VARIANT(call)
{
	int type;
};

FIXTURE_VARIANT_ADD(call, stream)
{
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(call, seqpacket)
{
	.type = SOCK_SEQPACKET,
};

FIXTURE_SETUP(call)
{
	BEGIN();
	self->type = variant->type;
	self->l = -1;
	self->t.fd = -1;
}

FIXTURE_TEARDOWN(call)
{
	close(self->l);
	close(self->t.fd);
}

#define LISTEN(_backlog) do { \
	self->l = listener(self->type, _backlog); \
	ASSERT_FD(self->l); \
} while (0)

TEST_F(call, values_of_the_option)
{
	int fd = scm_socket(self->type), value = 1;

	EXPECT_EQ(0, scm_option(fd, NYM_WAIT));
	EXPECT_OK(nym_option(fd, NYM_WAIT, 1));
	EXPECT_EQ(1, scm_option(fd, NYM_WAIT));
	EXPECT_OK(nym_option(fd, NYM_WAIT, 0));
	EXPECT_EQ(0, scm_option(fd, NYM_WAIT));
	EXPECT_OK(nym_option(fd, NYM_WAIT, -5));
	EXPECT_NE(0, scm_option(fd, NYM_WAIT));
	EXPECT_ERRNO(EINVAL, setsockopt(fd, SOL_NYM, NYM_WAIT, &value, 3));
	EXPECT_ERRNO(EFAULT, setsockopt(fd, SOL_NYM, NYM_WAIT, (void *)8, 4));
	close(fd);
}

TEST_F(call, not_without_the_option)
{
	int fd = scm_socket(self->type);

	EXPECT_ERRNO(ECONNREFUSED, nym_call(fd, name));
	ASSERT_OK(nym_option(fd, NYM_WAIT, 1));
	ASSERT_OK(nym_option(fd, NYM_WAIT, 0));
	EXPECT_ERRNO(ECONNREFUSED, nym_call(fd, name));
	close(fd);
}

TEST_F(call, blocks_until_somebody_listens)
{
	char buf[4];
	int fd;

	START(self->t, self->type);
	self->l = scm_bound(self->type, name);
	ASSERT_FD(self->l);
	/* A name alone is not enough. */
	EXPECT_TRUE(io_wait_blocked(&self->t));
	ASSERT_OK(listen(self->l, 5));
	EXPECT_EQ(0, io_join(&self->t));
	fd = scm_accept(self->l);
	ASSERT_FD(fd);
	EXPECT_STREQ(name, nym_peer_name(self->t.fd));
	EXPECT_EQ(2, send(self->t.fd, "hi", 2, 0));
	EXPECT_EQ(2, recv(fd, buf, 4, 0));
	close(fd);
}

TEST_F(call, does_not_wait_where_somebody_listens)
{
	int fd = waiter(self->type, SOCK_NONBLOCK);

	LISTEN(5);
	EXPECT_OK(nym_call(fd, name));
	EXPECT_TRUE(took(self->l, fd));
	close(fd);
}

TEST_F(call, waits_for_a_name_that_does_not_listen)
{
	int fd = waiter(self->type, SOCK_NONBLOCK);

	self->l = scm_bound(self->type, name);
	EXPECT_ERRNO(EINPROGRESS, nym_call(fd, name));
	EXPECT_EQ(0, io_mask(fd));
	/* Others are refused meanwhile. */
	EXPECT_ERRNO(ECONNREFUSED, scm_connect(self->type, name));
	ASSERT_OK(listen(self->l, 5));
	EXPECT_EQ(OUT, io_mask(fd));
	EXPECT_TRUE(took(self->l, fd));
	close(fd);
}

TEST_F(call, times_out)
{
	int fd = waiter(self->type, 0), i;
	long begin;

	ASSERT_OK(nym_set_timeout(fd, SO_SNDTIMEO, 100));
	for (i = 0; i < 2; i++) {
		begin = nym_now_ms();
		EXPECT_ERRNO(EAGAIN, nym_call(fd, name));
		EXPECT_LE(NYM_TICKED(100), nym_now_ms() - begin);
	}
	EXPECT_EQ(0, io_so_error(fd));
	EXPECT_EQ(OUT | POLLHUP, io_mask(fd));
	/* It is not awaited any more. */
	LISTEN(5);
	EXPECT_ERRNO(EAGAIN, scm_accept(self->l));
	EXPECT_OK(nym_call(fd, name));
	EXPECT_TRUE(took(self->l, fd));
	close(fd);
}

TEST_F(call, is_interrupted)
{
	ASSERT_OK(catch_signal(0));
	START(self->t, self->type);
	pthread_kill(self->t.thread, SIGUSR1);
	EXPECT_EQ(-1, io_join(&self->t));
	EXPECT_SAME_ERRNO(EINTR, self->t.err);
	LISTEN(5);
	EXPECT_ERRNO(EAGAIN, scm_accept(self->l));
	EXPECT_OK(nym_call(self->t.fd, name));
}

/* With SA_RESTART it goes on; with a timeout it does not, as everywhere. */
TEST_F(call, is_restarted)
{
	ASSERT_OK(catch_signal(SA_RESTART));
	START(self->t, self->type);
	pthread_kill(self->t.thread, SIGUSR1);
	EXPECT_TRUE(io_wait_blocked(&self->t));
	LISTEN(5);
	EXPECT_EQ(0, io_join(&self->t));
	EXPECT_TRUE(took(self->l, self->t.fd));
	EXPECT_ERRNO(EAGAIN, scm_accept(self->l));
	CLOSE(self->l);
	CLOSE(self->t.fd);

	self->t = (struct io_thread){ .fd = waiter(self->type, 0) };
	ASSERT_OK(nym_set_timeout(self->t.fd, SO_SNDTIMEO, NYM_PATIENCE_MS));
	io_start(&self->t, do_call);
	ASSERT_TRUE(io_wait_blocked(&self->t));
	pthread_kill(self->t.thread, SIGUSR1);
	EXPECT_EQ(-1, io_join(&self->t));
	EXPECT_SAME_ERRNO(EINTR, self->t.err);
}

TEST_F(call, that_is_killed_leaves_nothing)
{
	pid_t pid = fork();
	int fd, status;

	if (!pid) {
		fd = waiter(self->type, 0);
		_exit(nym_call(fd, name) ? errno : 0);
	}
	ASSERT_TRUE(nym_wait_asleep(pid, SYS_connect));
	ASSERT_OK(kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	LISTEN(5);
	EXPECT_ERRNO(EAGAIN, scm_accept(self->l));
}

TEST_F(call, without_blocking)
{
	int fd = waiting(self->type);
	char c;

	ASSERT_FD(fd);
	EXPECT_ERRNO(EALREADY, nym_call(fd, name));
	EXPECT_EQ(0, io_mask(fd));
	EXPECT_EQ(0, io_so_error(fd));
	EXPECT_ERRNO(ENOTCONN, send(fd, "x", 1, MSG_NOSIGNAL));
	EXPECT_STREQ("ENOTCONN", nym_peer_name(fd));
	/* AF_UNIX has another errno for a stream that was never connected. */
	EXPECT_EQ(-1, recv(fd, &c, 1, 0));
	EXPECT_ERRNO(EINVAL, nym_bind(fd, "t/await/other"));
	EXPECT_ERRNO(EINVAL, listen(fd, 1));
	LISTEN(5);
	EXPECT_EQ(OUT, io_mask(fd));
	EXPECT_EQ(0, io_so_error(fd));
	EXPECT_OK(nym_call(fd, name));
	EXPECT_ERRNO(EISCONN, nym_call(fd, name));
	EXPECT_EQ(1, send(fd, "x", 1, 0));
	EXPECT_TRUE(took(self->l, fd));
	close(fd);
}

TEST_F(call, with_poll)
{
	int fd = waiting(self->type);

	ASSERT_FD(fd);
	self->t = (struct io_thread){ .fd = fd, .flags = POLLOUT };
	io_start(&self->t, io_do_poll);
	ASSERT_TRUE(io_wait_blocked(&self->t));
	LISTEN(5);
	EXPECT_EQ(POLLOUT, io_join(&self->t));
	EXPECT_EQ(0, io_so_error(fd));
}

TEST_F(call, with_epoll)
{
	static const __u32 how[] = { 0, EPOLLET, EPOLLONESHOT };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(how); i++) {
		int ep = epoll_create1(EPOLL_CLOEXEC), fd;

		fd = waiter(self->type, SOCK_NONBLOCK);
		if (how[i] == EPOLLET) {
			/* It may be watched before it calls. */
			ASSERT_OK(watch(ep, fd, EPOLLIN | EPOLLOUT | EPOLLET));
			EXPECT_EQ(EPOLLOUT | EPOLLHUP, happened(ep, 0));
		}
		ASSERT_ERRNO(EINPROGRESS, nym_call(fd, name));
		if (how[i] != EPOLLET)
			ASSERT_OK(watch(ep, fd, EPOLLIN | EPOLLOUT | how[i]));
		EXPECT_EQ(0, happened(ep, 20));
		LISTEN(5);
		EXPECT_EQ(EPOLLOUT, happened(ep, IO_POLL_MS));
		if (how[i])
			EXPECT_EQ(0, happened(ep, 20));
		EXPECT_OK(nym_call(fd, name));
		CLOSE(self->l);
		close(fd);
		close(ep);
	}
}

TEST_F(call, another_type_is_told)
{
	int other = self->type == SOCK_STREAM ? SOCK_SEQPACKET : SOCK_STREAM;
	int ep = epoll_create1(EPOLL_CLOEXEC), fd = waiting(self->type);

	ASSERT_FD(fd);
	ASSERT_OK(watch(ep, fd, EPOLLIN | EPOLLOUT | EPOLLET));
	EXPECT_EQ(0, happened(ep, 0));
	START(self->t, self->type);
	self->l = listener(other, 5);
	ASSERT_FD(self->l);
	EXPECT_EQ(-1, io_join(&self->t));
	EXPECT_SAME_ERRNO(EPROTOTYPE, self->t.err);
	EXPECT_EQ(EPOLLOUT | EPOLLERR | EPOLLHUP, happened(ep, IO_POLL_MS));
	EXPECT_EQ(REFUSED, io_mask(fd));
	EXPECT_EQ(EPROTOTYPE, io_so_error(fd));
	EXPECT_EQ(OUT | POLLHUP, io_mask(fd));
	EXPECT_ERRNO(EAGAIN, scm_accept(self->l));
	/* Now it is known, so nobody waits to hear it. */
	EXPECT_ERRNO(EPROTOTYPE, nym_call(fd, name));
	EXPECT_ERRNO(EPROTOTYPE, nym_call(self->t.fd, name));
	/* Both may call others. */
	CLOSE(self->l);
	LISTEN(5);
	EXPECT_OK(nym_call(fd, name));
	EXPECT_OK(nym_call(self->t.fd, name));
	close(fd);
	close(ep);
}

TEST_F(call, a_datagram_socket_is_another_type_as_well)
{
	int fd = waiter(self->type, SOCK_NONBLOCK);

	self->l = scm_bound(SOCK_DGRAM, name);
	ASSERT_FD(self->l);
	EXPECT_ERRNO(EPROTOTYPE, nym_call(fd, name));
	close(fd);
}

/* The next connect() tells it, if nobody asks for SO_ERROR. */
TEST_F(call, the_result_is_told_once)
{
	int other = self->type == SOCK_STREAM ? SOCK_SEQPACKET : SOCK_STREAM;
	int fd = waiting(self->type);

	ASSERT_FD(fd);
	self->l = listener(other, 5);
	ASSERT_FD(self->l);
	CLOSE(self->l);
	EXPECT_ERRNO(EPROTOTYPE, nym_call(fd, name));
	EXPECT_ERRNO(EINPROGRESS, nym_call(fd, name));
	close(fd);
}

TEST_F(call, close_forgets_it)
{
	int fd[3], i;

	for (i = 0; i < 3; i++) {
		fd[i] = waiting(self->type);
		ASSERT_FD(fd[i]);
	}
	CLOSE(fd[1]);
	LISTEN(5);
	EXPECT_TRUE(took(self->l, fd[0]));
	EXPECT_TRUE(took(self->l, fd[2]));
	EXPECT_ERRNO(EAGAIN, scm_accept(self->l));
	close(fd[0]);
	close(fd[2]);
}

TEST_F(call, the_oldest_is_served_first)
{
	int fd[6], i, j;

	for (i = 0; i < 6; i++) {
		fd[i] = waiting(self->type);
		ASSERT_FD(fd[i]);
	}
	LISTEN(1);
	for (i = 0; i < 6; i++) {
		for (j = i; j < 6; j++)
			EXPECT_EQ(j < i + 2 ? POLLOUT : 0,
				  nym_poll_now(fd[j], POLLOUT));
		EXPECT_TRUE(took(self->l, fd[i]));
		close(fd[i]);
	}
}

/* A shutdown before there is a connection is for the connection. */
TEST_F(call, shut_down_while_it_waits)
{
	int fd = waiting(self->type), got;
	char c;

	ASSERT_FD(fd);
	ASSERT_OK(shutdown(fd, SHUT_WR));
	LISTEN(5);
	EXPECT_EQ(POLLOUT, nym_poll_wait(fd, POLLOUT));
	got = scm_accept(self->l);
	ASSERT_FD(got);
	EXPECT_ERRNO(EPIPE, send(fd, "x", 1, MSG_NOSIGNAL));
	EXPECT_EQ(1, send(got, "y", 1, MSG_NOSIGNAL));
	EXPECT_EQ(1, recv(fd, &c, 1, 0));
	close(got);
	close(fd);
}

static long do_fill(struct io_thread *t)
{
	ssize_t n;

	do {
		n = send(t->fd, io_at(0), 4096, MSG_NOSIGNAL);
	} while (n > 0);
	return n;
}

/* Likewise; whoever fills the way before the caller looks again is told. */
TEST_F(call, shut_down_for_reading_while_it_waits)
{
	int fd = waiting(self->type);

	ASSERT_FD(fd);
	ASSERT_OK(shutdown(fd, SHUT_RD));
	LISTEN(5);
	EXPECT_EQ(POLLOUT, nym_poll_wait(fd, POLLOUT));
	self->t.fd = scm_accept(self->l);
	ASSERT_FD(self->t.fd);
	io_start(&self->t, do_fill);
	EXPECT_TRUE(io_wait_blocked(&self->t));
	EXPECT_STREQ(name, nym_peer_name(fd));
	EXPECT_EQ(-1, io_join(&self->t));
	EXPECT_SAME_ERRNO(EPIPE, self->t.err);
	close(fd);
}

/* --- Listeners that go away --- */

TEST_F(call, the_listener_dies_while_there_is_no_room)
{
	int fd[2], first, refused, i;

	LISTEN(0);
	first = waiter(self->type, SOCK_NONBLOCK);
	ASSERT_OK(nym_call(first, name));
	for (i = 0; i < 2; i++) {
		fd[i] = waiting(self->type);
		ASSERT_FD(fd[i]);
	}
	refused = socket(AF_NYM, self->type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ASSERT_ERRNO(EINPROGRESS, nym_call(refused, name));
	START(self->t, self->type);
	CLOSE(self->l);
	/* Who was connected has lost its connection; who waits, waits. */
	EXPECT_EQ(ECONNRESET, io_so_error(first));
	EXPECT_EQ(ECONNREFUSED, io_so_error(refused));
	EXPECT_TRUE(io_wait_blocked(&self->t));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, io_mask(fd[i]));
	LISTEN(0);
	EXPECT_TRUE(took(self->l, fd[0]));
	EXPECT_TRUE(took(self->l, fd[1]));
	EXPECT_TRUE(took(self->l, self->t.fd));
	EXPECT_EQ(0, io_join(&self->t));
	for (i = 0; i < 2; i++)
		close(fd[i]);
	close(first);
	close(refused);
}

TEST_F(call, the_listener_shuts_down_while_there_is_no_room)
{
	int fd, first;

	LISTEN(0);
	first = scm_connect(self->type, name);
	ASSERT_FD(first);
	fd = waiting(self->type);
	ASSERT_FD(fd);
	ASSERT_OK(shutdown(self->l, SHUT_RD));
	EXPECT_EQ(0, io_mask(fd));
	EXPECT_TRUE(took(self->l, first));
	EXPECT_EQ(0, io_mask(fd));
	CLOSE(self->l);
	EXPECT_EQ(0, io_mask(fd));
	LISTEN(0);
	EXPECT_TRUE(took(self->l, fd));
	close(first);
	close(fd);
}

TEST_F(call, a_socket_that_is_bound_and_closed_changes_nothing)
{
	int i;

	START(self->t, self->type);
	for (i = 0; i < 20; i++) {
		self->l = scm_bound(self->type, name);
		ASSERT_FD(self->l);
		CLOSE(self->l);
	}
	EXPECT_FALSE(io_done(&self->t));
	LISTEN(5);
	EXPECT_EQ(0, io_join(&self->t));
}

/* A lingering name keeps pending calls; who waits needs no such thing. */
TEST_F(call, a_name_that_lingers_in_vain_changes_nothing)
{
	int fd, pending, refused;

	LISTEN(0);
	pending = scm_connect(self->type, name);
	ASSERT_FD(pending);
	ASSERT_OK(nym_option(self->l, NYM_LINGER, NYM_BRIEF_MS));
	CLOSE(self->l);
	fd = waiting(self->type);
	ASSERT_FD(fd);
	refused = socket(AF_NYM, self->type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ASSERT_ERRNO(EINPROGRESS, nym_call(refused, name));
	START(self->t, self->type);
	EXPECT_EQ(REFUSED, io_poll_wait(refused, OUT));
	EXPECT_EQ(ECONNREFUSED, io_so_error(refused));
	EXPECT_EQ(ECONNRESET, io_so_error(pending));
	EXPECT_EQ(0, io_mask(fd));
	EXPECT_TRUE(io_wait_blocked(&self->t));
	LISTEN(5);
	EXPECT_EQ(0, io_join(&self->t));
	EXPECT_TRUE(took(self->l, fd));
	EXPECT_TRUE(took(self->l, self->t.fd));
	close(pending);
	close(refused);
	close(fd);
}

/* It may be anybody who binds the name. */
static int nobody_binds(void *unused)
{
	return scm_bound(SOCK_STREAM, name) < 0 ? errno : 0;
}

TEST_F(call, waiting_reserves_nothing)
{
	int fd = waiting(self->type);

	ASSERT_FD(fd);
	EXPECT_SAME_ERRNO(0, nym_errno_as(&nobody, nobody_binds, NULL));
	LISTEN(5);
	EXPECT_TRUE(took(self->l, fd));
	close(fd);
}

/* The option counts when connect() is called. */
TEST_F(call, the_option_may_be_cleared_while_it_waits)
{
	int fd = waiting(self->type);

	ASSERT_FD(fd);
	ASSERT_OK(nym_option(fd, NYM_WAIT, 0));
	EXPECT_EQ(0, io_mask(fd));
	LISTEN(5);
	EXPECT_TRUE(took(self->l, fd));
	close(fd);
}

/* --- Permission --- */

/* What becomes of a call that waits; SO_ERROR of one that waits on is 0, too. */
static int outcome(int fd)
{
	return nym_poll_wait(fd, POLLOUT) > 0 ? io_so_error(fd) : ETIMEDOUT;
}

/* Waits for the name as whom it is; tells @ready when it does. */
static int call_and_tell(void *ready)
{
	int fd = waiting(SOCK_STREAM);

	if (fd < 0 || write(*(int *)ready, "x", 1) != 1)
		return 200;
	return outcome(fd);
}

static int call_blocking(void *ready)
{
	int fd = waiter(SOCK_STREAM, 0);

	if (write(*(int *)ready, "x", 1) != 1)
		return 200;
	return nym_call(fd, name) ? errno : 0;
}

FIXTURE(permission)
{
	int l;
	int ready[2];
};

FIXTURE_SETUP(permission)
{
	BEGIN();
	umask(0);
	self->l = -1;
	ASSERT_OK(pipe2(self->ready, O_CLOEXEC));
}

FIXTURE_TEARDOWN(permission)
{
	close(self->l);
	close(self->ready[0]);
	close(self->ready[1]);
}

/* What @who gets that waits, when somebody listens with this mode. */
static int caller_meets(struct __test_metadata *_metadata,
			FIXTURE_DATA(permission) * self, const struct nym_who *who,
			int (*fn)(void *), mode_t mode, gid_t group)
{
	int status = 0;
	pid_t pid;
	char c;

	CLOSE(self->l);
	pid = fork();
	if (!pid)
		_exit(nym_become(who) ? 201 : fn(&self->ready[1]));
	EXPECT_EQ(1, read(self->ready[0], &c, 1));
	if (fn == call_blocking)
		EXPECT_TRUE(nym_wait_asleep(pid, SYS_connect));
	self->l = nym_socket();
	EXPECT_OK(fchmod(self->l, mode));
	EXPECT_OK(fchown(self->l, -1, group));
	EXPECT_OK(nym_bind(self->l, name));
	EXPECT_OK(listen(self->l, 5));
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	return WEXITSTATUS(status);
}

TEST_F(permission, the_mode_counts_when_somebody_listens)
{
	static int (*const how[])(void *) = { call_and_tell, call_blocking };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(how); i++) {
		EXPECT_SAME_ERRNO(EACCES, caller_meets(_metadata, self, &nobody,
						       how[i], 0700, 0));
		EXPECT_SAME_ERRNO(0, caller_meets(_metadata, self, &nobody,
						  how[i], 0702, 0));
		EXPECT_SAME_ERRNO(EACCES, caller_meets(_metadata, self, &nobody,
						       how[i], 0720, 0));
		EXPECT_SAME_ERRNO(0, caller_meets(_metadata, self, &nobody,
						  how[i], 0720, NYM_NOBODY));
		/* Its group may not, though others may. */
		EXPECT_SAME_ERRNO(EACCES, caller_meets(_metadata, self, &nobody,
						       how[i], 0707, NYM_NOBODY));
	}
}

TEST_F(permission, supplementary_groups_count)
{
	static const gid_t groups[] = { 7, 4711 };
	static const struct nym_who who = {
		.uid = NYM_NOBODY, .gid = NYM_NOBODY,
		.groups = groups, .ngroups = 2,
	};

	EXPECT_SAME_ERRNO(0, caller_meets(_metadata, self, &who, call_and_tell,
					  0720, 4711));
	EXPECT_SAME_ERRNO(EACCES, caller_meets(_metadata, self, &who,
					       call_and_tell, 0720, 4712));
}

TEST_F(permission, capabilities_count)
{
	static const struct nym_who who = {
		.uid = NYM_NOBODY, .gid = NYM_NOBODY,
		.caps = NYM_CAP(CAP_DAC_OVERRIDE),
	};

	EXPECT_SAME_ERRNO(0, caller_meets(_metadata, self, &who, call_and_tell,
					  0700, 0));
}

/* Between bind() and listen() it may still be opened up. */
TEST_F(permission, the_mode_may_change_before_listen)
{
	int status;
	pid_t pid;
	char c;

	pid = fork();
	if (!pid)
		_exit(nym_become(&nobody) ? 201 : call_and_tell(&self->ready[1]));
	ASSERT_EQ(1, read(self->ready[0], &c, 1));
	self->l = nym_socket();
	ASSERT_OK(fchmod(self->l, 0600));
	ASSERT_OK(nym_bind(self->l, name));
	ASSERT_OK(fchmod(self->l, 0666));
	ASSERT_OK(listen(self->l, 5));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_SAME_ERRNO(0, WEXITSTATUS(status));
}

/*
 * What counts is who called, not who listens, nor what became of the caller.
 * In a child, which cannot become root again for the rest.
 */
static int call_as_root_and_drop(void *unused)
{
	int fd = waiting(SOCK_STREAM), l = nym_socket();

	if (fd < 0 || fchmod(l, 0600) || nym_become(&nobody) || nym_bind(l, name) ||
	    listen(l, 5))
		return 200;
	/* A call that nobody has looked at has no error either. */
	return nym_poll_now(fd, POLLOUT) > 0 ? io_so_error(fd) : ETIMEDOUT;
}

TEST_F(permission, who_called_as_root_is_let_in_as_root)
{
	EXPECT_SAME_ERRNO(0, nym_errno_as(NULL, call_as_root_and_drop, NULL));
}

static int call_as_nobody_and_return(void *unused)
{
	int fd, l = nym_socket();

	if (seteuid(NYM_NOBODY))
		return 200;
	fd = waiting(SOCK_STREAM);
	if (fd < 0 || seteuid(0) || fchmod(l, 0600) || nym_bind(l, name) ||
	    listen(l, 5))
		return 201;
	return io_so_error(fd);
}

TEST_F(permission, who_called_as_nobody_is_kept_out_as_nobody)
{
	EXPECT_SAME_ERRNO(EACCES, nym_errno_as(NULL, call_as_nobody_and_return,
					       NULL));
}

/* One that may not is no obstacle to those behind it. */
TEST_F(permission, those_behind_one_that_may_not)
{
	int fd[2], status;
	pid_t pid;
	char c;

	fd[0] = waiting(SOCK_STREAM);
	pid = fork();
	if (!pid)
		_exit(nym_become(&nobody) ? 201 : call_and_tell(&self->ready[1]));
	ASSERT_EQ(1, read(self->ready[0], &c, 1));
	fd[1] = waiting(SOCK_STREAM);
	ASSERT_FD(fd[0]);
	ASSERT_FD(fd[1]);
	self->l = nym_socket();
	ASSERT_OK(nym_set_nonblock(self->l, true));
	ASSERT_OK(fchmod(self->l, 0600));
	ASSERT_OK(nym_bind(self->l, name));
	ASSERT_OK(listen(self->l, 5));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_SAME_ERRNO(EACCES, WEXITSTATUS(status));
	EXPECT_TRUE(took(self->l, fd[0]));
	EXPECT_TRUE(took(self->l, fd[1]));
	EXPECT_ERRNO(EAGAIN, scm_accept(self->l));
	close(fd[0]);
	close(fd[1]);
}

static int call_now(void *unused)
{
	int fd = waiting(SOCK_STREAM);

	return fd < 0 ? errno : EINPROGRESS;
}

/* As with AF_UNIX, who may not call does not hear whether somebody listens. */
TEST_F(permission, known_at_once_where_somebody_has_the_name)
{
	self->l = nym_socket();
	ASSERT_OK(fchmod(self->l, 0600));
	ASSERT_OK(nym_bind(self->l, name));
	EXPECT_SAME_ERRNO(EACCES, nym_errno_as(&nobody, call_now, NULL));
	ASSERT_OK(fchmod(self->l, 0666));
	EXPECT_SAME_ERRNO(EINPROGRESS, nym_errno_as(&nobody, call_now, NULL));
}

/* Whoever was let in by one owner asks the next one, too. */
static int call_of_old_owner(void *ready)
{
	int fd = waiting(SOCK_STREAM), l = scm_bound(SOCK_STREAM, name);

	close(fd);
	if (l < 0)
		return 200;
	fd = waiting(SOCK_STREAM);
	close(l);
	if (fd < 0 || write(*(int *)ready, "x", 1) != 1)
		return 201;
	return outcome(fd);
}

TEST_F(permission, is_not_inherited_from_the_owner_before)
{
	EXPECT_SAME_ERRNO(EACCES, caller_meets(_metadata, self, &nobody,
					       call_of_old_owner, 0700, 0));
	EXPECT_SAME_ERRNO(0, caller_meets(_metadata, self, &nobody,
					  call_of_old_owner, 0702, 0));
}

/* A socket that shares the name, with this mode. */
static int member(mode_t mode)
{
	int fd = scm_socket(SOCK_STREAM);

	return fd >= 0 && (nym_option(fd, NYM_SHARE, NYM_SHARE_ON) ||
			   fchmod(fd, mode) || nym_bind(fd, name)) ?
		nym_give_up(fd) : fd;
}

/* Which of them takes the call does not matter. */
TEST_F(permission, the_mode_of_the_first_counts)
{
	static const mode_t mode[] = { 0700, 0702 };
	int i, first, second, status;
	pid_t pid;
	char c;

	for (i = 0; i < 4; i++) {
		pid = fork();
		if (!pid)
			_exit(nym_become(&nobody) ? 201 :
			      call_and_tell(&self->ready[1]));
		ASSERT_EQ(1, read(self->ready[0], &c, 1));
		first = member(mode[i & 1]);
		second = member(mode[!(i & 1)]);
		ASSERT_FD(second);
		ASSERT_OK(listen(i & 2 ? first : second, 5));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_SAME_ERRNO(i & 1 ? 0 : EACCES, WEXITSTATUS(status));
		close(second);
		close(first);
	}
}

/* --- Crowds --- */

#define CROWD_MOST	1000
#define CROWD		nym_scaled(CROWD_MOST)
#define SLEEPERS	400

FIXTURE(crowd)
{
	int l;
};

FIXTURE_SETUP(crowd)
{
	struct rlimit many = { .rlim_cur = 3 * CROWD_MOST, .rlim_max = 3 * CROWD_MOST };

	BEGIN();
	self->l = -1;
	ASSERT_OK(setrlimit(RLIMIT_NOFILE, &many));
}

FIXTURE_TEARDOWN(crowd)
{
	close(self->l);
}

TEST_F(crowd, all_are_woken_when_the_name_appears)
{
	int ep = epoll_create1(EPOLL_CLOEXEC), i, n;
	static struct epoll_event ev[CROWD_MOST];
	static int fd[CROWD_MOST];

	for (i = 0; i < CROWD; i++) {
		fd[i] = waiting(SOCK_STREAM);
		ASSERT_FD(fd[i]);
		ASSERT_OK(watch(ep, fd[i], EPOLLOUT | EPOLLET));
	}
	EXPECT_EQ(0, epoll_wait(ep, ev, CROWD, 0));
	self->l = listener(SOCK_STREAM, CROWD);
	ASSERT_FD(self->l);
	for (n = 0; n < CROWD; n += i) {
		i = epoll_wait(ep, ev, CROWD, IO_POLL_MS);
		ASSERT_LT(0, i);
	}
	EXPECT_EQ(CROWD, n);
	EXPECT_EQ(0, epoll_wait(ep, ev, CROWD, 0));
	for (i = 0; i < CROWD; i++) {
		EXPECT_EQ(0, io_so_error(fd[i]));
		EXPECT_TRUE(took(self->l, fd[i]));
		close(fd[i]);
	}
	close(ep);
}

static int small_stacks(void)
{
	pthread_attr_t attr;

	return pthread_getattr_default_np(&attr) ||
	       pthread_attr_setstacksize(&attr, 64 << 10) ||
	       pthread_setattr_default_np(&attr);
}

/* They sleep, and there is room for a few of them at a time. */
TEST_F(crowd, those_that_sleep_are_served_when_the_name_appears)
{
	static struct io_thread t[SLEEPERS];
	int i, served;

	ASSERT_OK(small_stacks());
	for (i = 0; i < SLEEPERS; i++) {
		t[i] = (struct io_thread){ .fd = waiter(SOCK_STREAM, 0) };
		ASSERT_FD(t[i].fd);
		io_start(&t[i], do_call);
	}
	for (i = 0; i < SLEEPERS; i += 37)
		ASSERT_TRUE(io_wait_blocked(&t[i]));
	self->l = scm_listen(SOCK_STREAM, name, 7);
	ASSERT_FD(self->l);
	ASSERT_OK(nym_set_timeout(self->l, SO_RCVTIMEO, NYM_PATIENCE_MS));
	for (served = 0; served < SLEEPERS; served++) {
		int fd = scm_accept(self->l);

		if (fd < 0)
			break;
		close(fd);
	}
	EXPECT_EQ(SLEEPERS, served);
	/* Who was not served is sent home. */
	CLOSE(self->l);
	for (i = 0; i < SLEEPERS; i++) {
		if (!io_done(&t[i]) && served < SLEEPERS)
			continue;
		EXPECT_EQ(0, io_join(&t[i]));
		close(t[i].fd);
	}
}

/* How often a thread of ours has gone to sleep. */
static long sleeps(pid_t tid)
{
	char path[64];
	char *text, *at;
	long n = -1;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
	text = nym_slurp(path, 4096);
	at = text ? strstr(text, "\nvoluntary_ctxt_switches:") : NULL;
	if (at)
		sscanf(at, "\nvoluntary_ctxt_switches: %ld", &n);
	free(text);
	return n;
}

#define FEW	20

static long call_other(struct io_thread *t)
{
	char other[64];

	snprintf(other, sizeof(other), "%s/%d", name, (int)t->pos);
	return nym_call(t->fd, other);
}

static long send_other(struct io_thread *t)
{
	char other[64];
	struct sockaddr_nym sa;
	socklen_t len;

	snprintf(other, sizeof(other), "%s/%d", name, (int)t->pos);
	len = nym_addr(&sa, other);
	return sendto(t->fd, "x", 1, 0, (struct sockaddr *)&sa, len);
}

/* Threads that wait for other names, each for its own; then they go on. */
static void others_sleep_on(struct __test_metadata *_metadata, int type,
			    long (*fn)(struct io_thread *))
{
	struct io_thread t[FEW];
	long before[FEW];
	char other[64];
	int i, fd, l;

	for (i = 0; i < FEW; i++) {
		t[i] = (struct io_thread){ .fd = waiter(type, 0), .pos = i };
		io_start(&t[i], fn);
	}
	for (i = 0; i < FEW; i++) {
		ASSERT_TRUE(io_wait_blocked(&t[i]));
		before[i] = sleeps(t[i].tid);
		ASSERT_LT(0, before[i]);
	}
	for (i = 0; i < 100; i++) {
		l = type == SOCK_DGRAM ? scm_bound(type, name) :
					 scm_listen(type, name, 5);
		ASSERT_FD(l);
		fd = scm_connect(type, name);
		ASSERT_FD(fd);
		close(l);
		close(fd);
	}
	for (i = 0; i < FEW; i++) {
		EXPECT_EQ(before[i], sleeps(t[i].tid));
		EXPECT_FALSE(io_done(&t[i]));
	}
	for (i = 0; i < FEW; i++) {
		snprintf(other, sizeof(other), "%s/%d", name, i);
		l = type == SOCK_DGRAM ? scm_bound(type, other) :
					 scm_listen(type, other, 5);
		ASSERT_FD(l);
		EXPECT_EQ(type == SOCK_DGRAM, io_join(&t[i]));
		close(l);
		close(t[i].fd);
	}
}

TEST_F(crowd, those_that_wait_for_other_names_sleep_on)
{
	others_sleep_on(_metadata, SOCK_STREAM, call_other);
}

TEST_F(crowd, senders_that_wait_for_other_names_sleep_on)
{
	others_sleep_on(_metadata, SOCK_DGRAM, send_other);
}

/* Nor are those woken that have to wait on, because there is no room. */
TEST_F(crowd, those_for_whom_there_is_no_room_sleep_on)
{
	struct io_thread t[FEW];
	long before[FEW];
	int i, j, awake;

	for (i = 0; i < FEW; i++) {
		START(t[i], SOCK_STREAM);
		before[i] = sleeps(t[i].tid);
	}
	self->l = scm_listen(SOCK_STREAM, name, 0);
	ASSERT_FD(self->l);
	for (i = 0; i < FEW; i++) {
		EXPECT_EQ(0, io_join(&t[i]));
		for (j = i + 1, awake = 0; j < FEW; j++)
			awake += sleeps(t[j].tid) != before[j];
		EXPECT_EQ(0, awake);
		EXPECT_TRUE(took(self->l, t[i].fd));
		close(t[i].fd);
	}
}

/* --- A name that comes and goes while callers do --- */

#define RACE_MS	2000

struct race {
	long end;
	__u32 seed;
	int type;
	int stop;
};

FIXTURE(race)
{
	struct race race;
	struct io_thread server;
	struct io_thread caller[6];
};

FIXTURE_SETUP(race)
{
	BEGIN();
	self->race = (struct race){
		.end = io_now_ms() + RACE_MS,
		.seed = io_seed(),
		.type = SOCK_STREAM,
	};
	signal(SIGPIPE, SIG_IGN);
	TH_LOG("seed %u", self->race.seed);
}

FIXTURE_TEARDOWN(race)
{
}

static bool stopped(const struct race *race)
{
	return __atomic_load_n(&race->stop, __ATOMIC_RELAXED);
}

/* Takes the name, answers a few calls or none, and gives it up. */
static long come_and_go(struct io_thread *t)
{
	struct race *race = t->arg;
	__u32 seed = race->seed;
	long answers = 0;

	while (!stopped(race)) {
		int n = io_rand(&seed) % 6, l = scm_bound(race->type, name), fd;
		char c;

		if (l < 0)
			return -1;
		if (n && (listen(l, io_rand(&seed) % 4) ||
			  nym_set_nonblock(l, true)))
			return nym_give_up(l);
		while (n--) {
			fd = scm_accept(l);
			if (fd < 0)
				continue;
			/* Who has called sends soon, or closes. */
			if (recv(fd, &c, 1, 0) == 1)
				answers += send(fd, &c, 1, MSG_NOSIGNAL) == 1;
			close(fd);
		}
		close(l);
	}
	return answers;
}

/* What a connected caller gets: 1 answered, 0 lost with the server, or -1. */
static int ask(int fd, char out)
{
	char in = ~out;
	ssize_t n = send(fd, &out, 1, MSG_NOSIGNAL);

	if (n == 1)
		n = recv(fd, &in, 1, 0);
	if (n == 1)
		return in == out ? 1 : -1;
	return !n || errno == ECONNRESET || errno == EPIPE ? 0 : -1;
}

/*
 * Blocking, with a timeout that is sometimes too short; with t->flags it has
 * none, so that it shows when a call that waits is forgotten.
 */
static long call_and_ask(struct io_thread *t)
{
	struct race *race = t->arg;
	__u32 seed = race->seed + t->pos;
	long answers = 0;

	while (io_now_ms() < race->end) {
		int fd = waiter(race->type, 0), got;

		if (!t->flags)
			io_set_timeout(fd, SO_SNDTIMEO, 1 + io_rand(&seed) % 20);
		if (nym_call(fd, name)) {
			if (t->flags || errno != EAGAIN)
				return nym_give_up(fd);
			close(fd);
			continue;
		}
		got = ask(fd, answers);
		if (got < 0)
			return nym_give_up(fd);
		answers += got;
		close(fd);
	}
	return answers;
}

/* What poll() says of a call: nothing at times, unless it is a @patient one. */
static int poll_call(int fd, bool patient, __u32 *seed)
{
	return patient ? nym_poll_wait(fd, POLLOUT) :
			 io_poll(fd, POLLOUT, io_rand(seed) % 20);
}

/* Without blocking; sometimes it gives up, but with t->flags it must get in. */
static long call_and_poll(struct io_thread *t)
{
	struct race *race = t->arg;
	__u32 seed = race->seed + t->pos;
	long answers = 0;

	while (io_now_ms() < race->end) {
		int fd = waiter(race->type, SOCK_NONBLOCK), got, err = 0;

		if (nym_call(fd, name) && errno != EINPROGRESS)
			return nym_give_up(fd);
		if (!poll_call(fd, t->flags, &seed)) {
			if (t->flags) {
				errno = ETIMEDOUT;
				return nym_give_up(fd);
			}
			close(fd);
			continue;
		}
		/* A call that got in may have been lost at once. */
		err = io_so_error(fd);
		if (err && err != ECONNRESET) {
			errno = err;
			return nym_give_up(fd);
		}
		nym_set_nonblock(fd, false);
		got = err ? 0 : ask(fd, answers);
		if (got < 0)
			return nym_give_up(fd);
		answers += got;
		close(fd);
	}
	return answers;
}

static void name_comes_and_goes(struct __test_metadata *_metadata,
				FIXTURE_DATA(race) * self)
{
	long heard = 0, said;
	int i;

	self->server.arg = &self->race;
	io_start(&self->server, come_and_go);
	for (i = 0; i < 6; i++) {
		self->caller[i].arg = &self->race;
		self->caller[i].pos = i;
		/* The last of each kind does not give up. */
		self->caller[i].flags = i >= 4;
		io_start(&self->caller[i], i & 1 ? call_and_poll : call_and_ask);
	}
	for (i = 0; i < 6; i++) {
		EXPECT_LE(0, io_join(&self->caller[i])) {
			TH_LOG("caller %d: %s", i,
			       strerrorname_np(self->caller[i].err));
		}
		heard += self->caller[i].ret;
	}
	/* Not before: those that do not give up have to be served. */
	__atomic_store_n(&self->race.stop, 1, __ATOMIC_RELAXED);
	said = io_join(&self->server);
	EXPECT_SAME_ERRNO(0, self->server.err);
	/* Each answer was heard by the one who had asked. */
	EXPECT_LT(0, heard);
	EXPECT_LE(heard, said);
	TH_LOG("%ld answers", heard);
}

TEST_F(race, a_stream_name_comes_and_goes)
{
	name_comes_and_goes(_metadata, self);
}

TEST_F(race, a_seqpacket_name_comes_and_goes)
{
	self->race.type = SOCK_SEQPACKET;
	name_comes_and_goes(_metadata, self);
}

/* --- Datagrams --- */

FIXTURE(dgram)
{
	int r;
	int s;		/* waits for names */
	struct io_thread t;
};

FIXTURE_SETUP(dgram)
{
	BEGIN();
	self->r = -1;
	self->s = waiter(SOCK_DGRAM, 0);
	ASSERT_FD(self->s);
}

FIXTURE_TEARDOWN(dgram)
{
	close(self->r);
	close(self->s);
}

#define RECEIVE() do { \
	self->r = scm_bound(SOCK_DGRAM, name); \
	ASSERT_FD(self->r); \
} while (0)

static long send_to(int fd, const char *text, int flags)
{
	struct sockaddr_nym sa;
	socklen_t len = nym_addr(&sa, name);

	return sendto(fd, text, strlen(text), flags | MSG_NOSIGNAL,
		      (struct sockaddr *)&sa, len);
}

static long do_send_to(struct io_thread *t)
{
	return send_to(t->fd, t->buf, t->flags);
}

static long do_send_text(struct io_thread *t)
{
	return send(t->fd, t->buf, strlen(t->buf), t->flags | MSG_NOSIGNAL);
}

/* Starts @fn on self->s with a text, and sees it wait. */
#define START_SEND(_fn, _text) do { \
	self->t = (struct io_thread){ .fd = self->s, .buf = _text }; \
	io_start(&self->t, _fn); \
	ASSERT_TRUE(io_wait_blocked(&self->t)); \
} while (0)

/* Connects self->s to the name that nobody has. */
#define CONNECT_LATER() do { \
	ASSERT_OK(nym_set_nonblock(self->s, true)); \
	ASSERT_ERRNO(EINPROGRESS, nym_call(self->s, name)); \
	ASSERT_OK(nym_set_nonblock(self->s, false)); \
} while (0)

static bool hears(int fd, const char *text)
{
	char buf[16];
	ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

	return n == (ssize_t)strlen(text) && !memcmp(buf, text, n);
}

TEST_F(dgram, not_without_the_option)
{
	ASSERT_OK(nym_option(self->s, NYM_WAIT, 0));
	EXPECT_ERRNO(ECONNREFUSED, send_to(self->s, "x", 0));
	EXPECT_ERRNO(ECONNREFUSED, nym_call(self->s, name));
}

TEST_F(dgram, sendto_waits)
{
	START_SEND(do_send_to, "one");
	RECEIVE();
	EXPECT_EQ(3, io_join(&self->t));
	EXPECT_TRUE(hears(self->r, "one"));
	EXPECT_EQ(3, send_to(self->s, "two", MSG_DONTWAIT));
	EXPECT_TRUE(hears(self->r, "two"));
}

TEST_F(dgram, sendto_does_not_wait_without_blocking)
{
	EXPECT_ERRNO(EAGAIN, send_to(self->s, "x", MSG_DONTWAIT));
	ASSERT_OK(nym_set_nonblock(self->s, true));
	EXPECT_ERRNO(EAGAIN, send_to(self->s, "x", 0));
	/* It is not connected: there is no name to poll for. */
	EXPECT_EQ(OUT, io_mask(self->s));
	EXPECT_EQ(0, io_so_error(self->s));
	RECEIVE();
	EXPECT_EQ(1, send_to(self->s, "x", 0));
}

TEST_F(dgram, others_may_send_elsewhere_meanwhile)
{
	int other = scm_bound(SOCK_DGRAM, "t/await/other");
	struct sockaddr_nym sa;
	socklen_t len = nym_addr(&sa, "t/await/other");

	START_SEND(do_send_to, "one");
	EXPECT_EQ(2, sendto(self->s, "hi", 2, 0, (struct sockaddr *)&sa, len));
	EXPECT_TRUE(hears(other, "hi"));
	EXPECT_FALSE(io_done(&self->t));
	RECEIVE();
	EXPECT_EQ(3, io_join(&self->t));
	close(other);
}

TEST_F(dgram, connect_waits)
{
	START(self->t, SOCK_DGRAM);
	RECEIVE();
	EXPECT_EQ(0, io_join(&self->t));
	EXPECT_STREQ(name, nym_peer_name(self->t.fd));
	EXPECT_EQ(3, send(self->t.fd, "one", 3, MSG_DONTWAIT));
	EXPECT_TRUE(hears(self->r, "one"));
	close(self->t.fd);
}

/* Its peer is also who may send to it. */
TEST_F(dgram, connect_waits_though_shut_down)
{
	START(self->t, SOCK_DGRAM);
	ASSERT_OK(shutdown(self->t.fd, SHUT_WR));
	EXPECT_TRUE(io_wait_blocked(&self->t));
	RECEIVE();
	EXPECT_EQ(0, io_join(&self->t));
	EXPECT_STREQ(name, nym_peer_name(self->t.fd));
	EXPECT_ERRNO(EPIPE, send(self->t.fd, "one", 3, MSG_NOSIGNAL));
	close(self->t.fd);
}

TEST_F(dgram, connect_without_blocking_connects)
{
	int ep = epoll_create1(EPOLL_CLOEXEC);

	ASSERT_OK(nym_set_nonblock(self->s, true));
	EXPECT_ERRNO(EINPROGRESS, nym_call(self->s, name));
	EXPECT_STREQ(name, nym_peer_name(self->s));
	EXPECT_ERRNO(EAGAIN, send(self->s, "x", 1, 0));
	EXPECT_EQ(0, io_mask(self->s));
	EXPECT_EQ(0, io_so_error(self->s));
	ASSERT_OK(watch(ep, self->s, EPOLLOUT | EPOLLET));
	EXPECT_EQ(0, happened(ep, 20));
	RECEIVE();
	EXPECT_EQ(EPOLLOUT, happened(ep, IO_POLL_MS));
	EXPECT_EQ(OUT, io_mask(self->s));
	EXPECT_EQ(3, send(self->s, "one", 3, 0));
	EXPECT_TRUE(hears(self->r, "one"));
	close(ep);
}

TEST_F(dgram, poll_sleeps_until_the_name_appears)
{
	CONNECT_LATER();
	self->t = (struct io_thread){ .fd = self->s, .flags = POLLOUT };
	io_start(&self->t, io_do_poll);
	ASSERT_TRUE(io_wait_blocked(&self->t));
	RECEIVE();
	EXPECT_EQ(POLLOUT, io_join(&self->t));
}

TEST_F(dgram, send_on_a_connected_socket_waits)
{
	CONNECT_LATER();
	START_SEND(do_send_text, "one");
	RECEIVE();
	EXPECT_EQ(3, io_join(&self->t));
	EXPECT_TRUE(hears(self->r, "one"));
}

/* The name goes and comes again. */
TEST_F(dgram, a_connected_sender_waits_again)
{
	int ep = epoll_create1(EPOLL_CLOEXEC), i;

	CONNECT_LATER();
	ASSERT_OK(watch(ep, self->s, EPOLLOUT | EPOLLET));
	EXPECT_EQ(0, happened(ep, 0));
	for (i = 0; i < 3; i++) {
		RECEIVE();
		EXPECT_EQ(EPOLLOUT, happened(ep, IO_POLL_MS));
		EXPECT_EQ(3, send(self->s, "one", 3, 0));
		EXPECT_TRUE(hears(self->r, "one"));
		CLOSE(self->r);
		EXPECT_ERRNO(EAGAIN, send(self->s, "x", 1, MSG_DONTWAIT));
		EXPECT_EQ(0, io_mask(self->s));
		while (happened(ep, 0))
			;
	}
	START_SEND(do_send_text, "two");
	RECEIVE();
	EXPECT_EQ(3, io_join(&self->t));
	EXPECT_TRUE(hears(self->r, "two"));
	close(ep);
}

/* Sleeping for room when the receiver dies: from then on for the name. */
TEST_F(dgram, who_waits_for_room_waits_for_the_name_next)
{
	RECEIVE();
	ASSERT_OK(nym_call(self->s, name));
	while (send(self->s, io_at(0), 4000, MSG_DONTWAIT) > 0)
		;
	while (send(self->s, io_at(0), 1, MSG_DONTWAIT) > 0)
		;
	ASSERT_EQ(EAGAIN, errno);
	START_SEND(do_send_text, "one");
	CLOSE(self->r);
	EXPECT_TRUE(io_wait_blocked(&self->t));
	RECEIVE();
	EXPECT_EQ(3, io_join(&self->t));
	EXPECT_TRUE(hears(self->r, "one"));
}

TEST_F(dgram, times_out)
{
	long begin = nym_now_ms();

	ASSERT_OK(nym_set_timeout(self->s, SO_SNDTIMEO, 100));
	EXPECT_ERRNO(EAGAIN, send_to(self->s, "x", 0));
	EXPECT_ERRNO(EAGAIN, nym_call(self->s, name));
	EXPECT_LE(NYM_TICKED(200), nym_now_ms() - begin);
	/* It has not been connected. */
	EXPECT_STREQ("ENOTCONN", nym_peer_name(self->s));
}

TEST_F(dgram, is_interrupted)
{
	ASSERT_OK(catch_signal(0));
	START_SEND(do_send_to, "one");
	pthread_kill(self->t.thread, SIGUSR1);
	EXPECT_EQ(-1, io_join(&self->t));
	EXPECT_SAME_ERRNO(EINTR, self->t.err);
	START_SEND(do_call, NULL);
	pthread_kill(self->t.thread, SIGUSR1);
	EXPECT_EQ(-1, io_join(&self->t));
	EXPECT_SAME_ERRNO(EINTR, self->t.err);
	EXPECT_STREQ("ENOTCONN", nym_peer_name(self->s));
}

TEST_F(dgram, is_restarted)
{
	ASSERT_OK(catch_signal(SA_RESTART));
	START_SEND(do_send_to, "one");
	pthread_kill(self->t.thread, SIGUSR1);
	EXPECT_TRUE(io_wait_blocked(&self->t));
	RECEIVE();
	EXPECT_EQ(3, io_join(&self->t));
	EXPECT_TRUE(hears(self->r, "one"));
	EXPECT_FALSE(hears(self->r, "one"));
}

TEST_F(dgram, is_told_of_its_own_shutdown)
{
	START_SEND(do_send_to, "one");
	ASSERT_OK(shutdown(self->s, SHUT_WR));
	EXPECT_EQ(-1, io_join(&self->t));
	EXPECT_SAME_ERRNO(EPIPE, self->t.err);
}

TEST_F(dgram, is_told_of_another_type)
{
	int ep = epoll_create1(EPOLL_CLOEXEC);

	CONNECT_LATER();
	ASSERT_OK(watch(ep, self->s, EPOLLOUT | EPOLLET));
	EXPECT_EQ(0, happened(ep, 0));
	START_SEND(do_send_to, "one");
	self->r = scm_bound(SOCK_STREAM, name);
	ASSERT_FD(self->r);
	EXPECT_EQ(-1, io_join(&self->t));
	EXPECT_SAME_ERRNO(EPROTOTYPE, self->t.err);
	EXPECT_EQ(EPOLLOUT, happened(ep, IO_POLL_MS));
	EXPECT_ERRNO(EPROTOTYPE, send(self->s, "x", 1, MSG_DONTWAIT));
	close(ep);
}

TEST_F(dgram, connect_is_told_of_another_type)
{
	START_SEND(do_call, NULL);
	self->r = scm_listen(SOCK_SEQPACKET, name, 5);
	ASSERT_FD(self->r);
	EXPECT_EQ(-1, io_join(&self->t));
	EXPECT_SAME_ERRNO(EPROTOTYPE, self->t.err);
	EXPECT_STREQ("ENOTCONN", nym_peer_name(self->s));
}

/* Whoever has the name, but is connected to somebody else. */
TEST_F(dgram, is_told_that_the_receiver_has_another_peer)
{
	int peer = scm_bound(SOCK_DGRAM, "t/await/peer");

	START_SEND(do_send_to, "one");
	self->r = scm_socket(SOCK_DGRAM);
	ASSERT_OK(nym_call(self->r, "t/await/peer"));
	/* It has got a name by that. */
	EXPECT_ERRNO(EINVAL, nym_bind(self->r, name));
	close(self->r);
	RECEIVE();
	EXPECT_EQ(3, io_join(&self->t));
	ASSERT_OK(nym_call(self->r, "t/await/peer"));
	EXPECT_ERRNO(EPERM, send_to(self->s, "x", 0));
	close(peer);
}

static int send_as(void *ready)
{
	int fd = waiter(SOCK_DGRAM, 0);

	if (write(*(int *)ready, "x", 1) != 1)
		return 200;
	return send_to(fd, "hi", 0) == 2 ? 0 : errno;
}

static int connect_as(void *ready)
{
	int fd = waiter(SOCK_DGRAM, 0);

	if (write(*(int *)ready, "x", 1) != 1)
		return 200;
	return nym_call(fd, name) ? errno : 0;
}

/* What nobody gets that waits, when a receiver comes with this mode. */
static int sender_meets(struct __test_metadata *_metadata,
			FIXTURE_DATA(dgram) * self, int (*fn)(void *), mode_t mode)
{
	int ready[2], status = 0;
	pid_t pid;
	char c;

	CLOSE(self->r);
	EXPECT_OK(pipe2(ready, O_CLOEXEC));
	pid = fork();
	if (!pid)
		_exit(nym_become(&nobody) ? 201 : fn(&ready[1]));
	EXPECT_EQ(1, read(ready[0], &c, 1));
	EXPECT_TRUE(nym_wait_asleep(pid, fn == send_as ? SYS_sendto :
							 SYS_connect));
	self->r = scm_socket(SOCK_DGRAM);
	EXPECT_OK(fchmod(self->r, mode));
	EXPECT_OK(nym_bind(self->r, name));
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	close(ready[0]);
	close(ready[1]);
	return WEXITSTATUS(status);
}

TEST_F(dgram, the_mode_counts_when_somebody_has_the_name)
{
	umask(0);
	EXPECT_SAME_ERRNO(EACCES, sender_meets(_metadata, self, send_as, 0700));
	EXPECT_SAME_ERRNO(0, sender_meets(_metadata, self, send_as, 0702));
	EXPECT_TRUE(hears(self->r, "hi"));
	EXPECT_SAME_ERRNO(EACCES, sender_meets(_metadata, self, connect_as, 0700));
	EXPECT_SAME_ERRNO(0, sender_meets(_metadata, self, connect_as, 0702));
}

/* The option counts when it is asked for: who has cleared it is refused. */
TEST_F(dgram, a_connected_sender_may_stop_waiting)
{
	CONNECT_LATER();
	ASSERT_OK(nym_option(self->s, NYM_WAIT, 0));
	EXPECT_EQ(OUT, io_mask(self->s));
	EXPECT_ERRNO(ECONNREFUSED, send(self->s, "x", 1, 0));
	RECEIVE();
	EXPECT_EQ(1, send(self->s, "x", 1, 0));
}

TEST_F(dgram, who_waits_can_receive)
{
	int from = scm_socket(SOCK_DGRAM);

	ASSERT_OK(nym_bind(self->s, "t/await/both"));
	START_SEND(do_send_to, "one");
	ASSERT_OK(nym_call(from, "t/await/both"));
	EXPECT_EQ(2, send(from, "hi", 2, 0));
	EXPECT_TRUE(hears(self->s, "hi"));
	EXPECT_FALSE(io_done(&self->t));
	RECEIVE();
	EXPECT_EQ(3, io_join(&self->t));
	close(from);
}

TEST_F(dgram, a_new_destination_ends_the_waiting_of_poll)
{
	int ep = epoll_create1(EPOLL_CLOEXEC), other;

	CONNECT_LATER();
	ASSERT_OK(watch(ep, self->s, EPOLLOUT | EPOLLET));
	EXPECT_EQ(0, happened(ep, 0));
	other = scm_bound(SOCK_DGRAM, "t/await/other");
	ASSERT_OK(nym_call(self->s, "t/await/other"));
	EXPECT_EQ(EPOLLOUT, happened(ep, IO_POLL_MS));
	EXPECT_EQ(2, send(self->s, "hi", 2, 0));
	EXPECT_TRUE(hears(other, "hi"));
	/* It is not told of the old one any more. */
	while (happened(ep, 0))
		;
	RECEIVE();
	EXPECT_EQ(0, happened(ep, 20));
	close(other);
	close(ep);
}

#define SENDERS	200

TEST_F(dgram, many_senders_are_woken_when_the_name_appears)
{
	static struct io_thread t[SENDERS];
	int i, n = 0;
	char c;

	ASSERT_OK(small_stacks());
	for (i = 0; i < SENDERS; i++) {
		t[i] = (struct io_thread){ .fd = waiter(SOCK_DGRAM, 0),
					   .buf = "x" };
		ASSERT_FD(t[i].fd);
		io_start(&t[i], do_send_to);
	}
	for (i = 0; i < SENDERS; i += 11)
		ASSERT_TRUE(io_wait_blocked(&t[i]));
	RECEIVE();
	ASSERT_OK(nym_set_timeout(self->r, SO_RCVTIMEO, NYM_PATIENCE_MS));
	while (n < SENDERS && recv(self->r, &c, 1, 0) == 1)
		n++;
	EXPECT_EQ(SENDERS, n);
	for (i = 0; i < SENDERS; i++) {
		EXPECT_EQ(1, io_join(&t[i]));
		close(t[i].fd);
	}
}

/* Senders while the name comes and goes: each waits, none is refused. */
static long send_always(struct io_thread *t)
{
	struct race *race = t->arg;
	long sent = 0;

	while (io_now_ms() < race->end) {
		if (send_to(t->fd, "x", t->flags) == 1)
			sent++;
		else if (!t->flags || errno != EAGAIN)
			return -1;
	}
	return sent;
}

TEST_F(dgram, senders_while_the_name_comes_and_goes)
{
	struct race race = { .end = io_now_ms() + RACE_MS / 2 };
	struct io_thread t[4];
	long sent = 0, got = 0;
	int i, rounds = 0;

	for (i = 0; i < 4; i++) {
		t[i] = (struct io_thread){
			.fd = waiter(SOCK_DGRAM, 0), .arg = &race,
			.flags = i & 1 ? MSG_DONTWAIT : 0,
		};
		io_start(&t[i], send_always);
	}
	while (io_now_ms() < race.end + 50) {
		RECEIVE();
		rounds++;
		for (i = 0; i < rounds % 7; i++)
			got += hears(self->r, "x");
		CLOSE(self->r);
	}
	/* For those that still wait. */
	RECEIVE();
	for (i = 0; i < 4; i++) {
		EXPECT_LE(0, io_join(&t[i])) {
			TH_LOG("sender %d: %s", i, strerrorname_np(t[i].err));
		}
		sent += t[i].ret;
		close(t[i].fd);
	}
	EXPECT_LT(0, sent);
	EXPECT_LE(got, sent);
	TH_LOG("%d rounds, %ld sent, %ld received", rounds, sent, got);
}

/* --- A user's limit --- */

FIXTURE(limit)
{
	int unused;
};

FIXTURE_SETUP(limit)
{
	BEGIN();
}

FIXTURE_TEARDOWN(limit)
{
}

/* In a namespace whose users may have three parked calls. */
static int fourth_call(void *unused)
{
	int fd = open("/proc/sys/net/nym/max_parked", O_WRONLY), i, first = -1;

	if (fd < 0 || write(fd, "3", 1) != 1 || nym_become(&nobody))
		return 200;
	for (i = 0; i < 3; i++) {
		fd = waiting(SOCK_STREAM);
		if (fd < 0)
			return 201;
		if (!i)
			first = fd;
	}
	fd = waiting(SOCK_STREAM);
	if (fd >= 0 || errno != EAGAIN)
		return 202;
	/* Whoever gives up makes room. */
	close(first);
	return waiting(SOCK_STREAM) < 0 ? errno : 0;
}

static int in_namespace(void *unused)
{
	return unshare(CLONE_NEWNET) ? 203 : fourth_call(NULL);
}

TEST_F(limit, a_user_has_so_many_waiting_calls)
{
	EXPECT_SAME_ERRNO(0, nym_errno_as(NULL, in_namespace, NULL));
}

NYM_TEST_MAIN
