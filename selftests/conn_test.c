// SPDX-License-Identifier: GPL-2.0
/*
 * Making connections: listen(), connect() and accept() in every state, the
 * backlog and the callers parked on a full one, and who is at the other end.
 */
#include "nym_test.h"

#define NAME	"t/conn/srv"

#define TIMEOUT_MS	100

static bool caught;

static void on_signal(int sig)
{
	__atomic_store_n(&caught, true, __ATOMIC_RELEASE);
}

static void catch_signal(int flags)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = flags };

	sigaction(SIGUSR1, &action, NULL);
}

static long accept_fd(void *fd)
{
	return accept4(*(int *)fd, NULL, NULL, SOCK_CLOEXEC);
}

static long call_server(void *fd)
{
	return nym_call(*(int *)fd, NAME);
}

/* accept() that does not wait. */
static int accept_now(int listener)
{
	int fd, err;

	if (nym_set_nonblock(listener, true))
		return -1;
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	err = errno;
	nym_set_nonblock(listener, false);
	errno = err;
	return fd;
}

/* Both ends of a connection carry bytes. */
static void check_connected(struct __test_metadata *_metadata, int one, int two)
{
	char c = 0;

	EXPECT_RETURNS(1, send(one, "a", 1, MSG_NOSIGNAL));
	EXPECT_RETURNS(1, recv(two, &c, 1, 0));
	EXPECT_EQ('a', c);
	EXPECT_RETURNS(1, send(two, "b", 1, MSG_NOSIGNAL));
	EXPECT_RETURNS(1, recv(one, &c, 1, 0));
	EXPECT_EQ('b', c);
}

/*
 * Calls in every state, none of them waiting.
 */

FIXTURE(state) {
	int fresh;
	int bound;
	int listener;
	int client;
	int server;
	int pair[2];
};

FIXTURE_SETUP(state)
{
	int fd[2];

	SKIP_WITHOUT_NYM();
	self->fresh = nym_socket();
	ASSERT_FD(self->fresh);
	self->bound = nym_bound("t/conn/bound");
	ASSERT_FD(self->bound);
	self->listener = nym_listen(NAME, 5);
	ASSERT_FD(self->listener);
	ASSERT_OK(nym_connection(self->listener, NAME, fd));
	self->client = fd[0];
	self->server = fd[1];
	ASSERT_OK(nym_pair(self->pair));
}

FIXTURE_TEARDOWN(state)
{
	close(self->fresh);
	close(self->bound);
	close(self->listener);
	close(self->client);
	close(self->server);
	close(self->pair[0]);
	close(self->pair[1]);
}

TEST_F(state, listen_needs_a_name)
{
	EXPECT_ERRNO(EINVAL, listen(self->fresh, 1));
	EXPECT_OK(nym_bind(self->fresh, "t/conn/fresh"));
	EXPECT_OK(listen(self->fresh, 1));
}

TEST_F(state, listen_on_a_connected_socket)
{
	EXPECT_ERRNO(EINVAL, listen(self->client, 1));
	EXPECT_ERRNO(EINVAL, listen(self->server, 1));
	EXPECT_ERRNO(EINVAL, listen(self->pair[0], 1));
	check_connected(_metadata, self->client, self->server);
}

TEST_F(state, listen_on_a_connected_socket_with_a_name)
{
	ASSERT_OK(nym_call(self->bound, NAME));
	EXPECT_ERRNO(EINVAL, listen(self->bound, 1));
}

TEST_F(state, listen_again)
{
	EXPECT_OK(listen(self->listener, 5));
	EXPECT_OK(listen(self->listener, 0));
	EXPECT_LE(0, nym_connect(NAME));
}

TEST_F(state, listen_on_no_socket)
{
	int fds[2];

	EXPECT_ERRNO(EBADF, listen(-1, 1));
	ASSERT_OK(pipe(fds));
	EXPECT_ERRNO(ENOTSOCK, listen(fds[0], 1));
}

TEST_F(state, accept_on_a_non_listener)
{
	EXPECT_ERRNO(EINVAL, accept(self->fresh, NULL, NULL));
	EXPECT_ERRNO(EINVAL, accept(self->bound, NULL, NULL));
	EXPECT_ERRNO(EINVAL, accept(self->client, NULL, NULL));
	EXPECT_ERRNO(EINVAL, accept(self->server, NULL, NULL));
	EXPECT_ERRNO(EINVAL, accept(self->pair[0], NULL, NULL));
}

TEST_F(state, accept_with_nobody_calling)
{
	EXPECT_ERRNO(EAGAIN, accept_now(self->listener));
}

TEST_F(state, accept_with_bad_arguments)
{
	int fds[2];

	EXPECT_ERRNO(EBADF, accept(-1, NULL, NULL));
	ASSERT_OK(pipe(fds));
	EXPECT_ERRNO(ENOTSOCK, accept(fds[0], NULL, NULL));
	EXPECT_ERRNO(EINVAL, accept4(self->listener, NULL, NULL, 1));
	EXPECT_ERRNO(EINVAL, accept4(self->listener, NULL, NULL, ~0));
}

TEST_F(state, accept4_flags)
{
	int flags[] = { 0, SOCK_NONBLOCK, SOCK_CLOEXEC,
			SOCK_NONBLOCK | SOCK_CLOEXEC };
	size_t i;

	/* The listener's own flags are not handed on. */
	ASSERT_OK(nym_set_nonblock(self->listener, true));
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		int fd;

		ASSERT_FD(nym_connect(NAME));
		fd = accept4(self->listener, NULL, NULL, flags[i]);
		ASSERT_FD(fd);
		EXPECT_EQ(flags[i] & SOCK_NONBLOCK,
			  fcntl(fd, F_GETFL) & O_NONBLOCK);
		EXPECT_EQ(flags[i] & SOCK_CLOEXEC ? FD_CLOEXEC : 0,
			  fcntl(fd, F_GETFD));
	}
	ASSERT_FD(nym_connect(NAME));
	EXPECT_EQ(0, fcntl(accept(self->listener, NULL, NULL), F_GETFD));
}

/* No descriptor left for it: the caller stays in the queue. */
TEST_F(state, accept_with_the_descriptor_table_full)
{
	int client = nym_connect(NAME);
	struct rlimit was, none;

	ASSERT_FD(client);
	ASSERT_OK(getrlimit(RLIMIT_NOFILE, &was));
	none = was;
	none.rlim_cur = 0;
	ASSERT_OK(setrlimit(RLIMIT_NOFILE, &none));
	EXPECT_ERRNO(EMFILE, accept(self->listener, NULL, NULL));
	ASSERT_OK(setrlimit(RLIMIT_NOFILE, &was));
	check_connected(_metadata, client, accept_now(self->listener));
}

TEST_F(state, connect_to_no_such_name)
{
	EXPECT_ERRNO(ECONNREFUSED, nym_call(self->fresh, "t/conn/none"));
	EXPECT_ERRNO(ECONNREFUSED, nym_call(self->bound, "t/conn/none"));
	EXPECT_OK(nym_call(self->fresh, NAME));
	EXPECT_OK(nym_call(self->bound, NAME));
}

TEST_F(state, connect_to_a_name_that_does_not_listen)
{
	EXPECT_ERRNO(ECONNREFUSED, nym_call(self->fresh, "t/conn/bound"));
	/* Not even itself. */
	EXPECT_ERRNO(ECONNREFUSED, nym_call(self->bound, "t/conn/bound"));
	ASSERT_OK(nym_call(self->bound, NAME));
	EXPECT_ERRNO(ECONNREFUSED, nym_call(self->fresh, "t/conn/bound"));
}

TEST_F(state, connect_a_connected_socket)
{
	int pending = nym_connect(NAME);

	ASSERT_FD(pending);
	EXPECT_ERRNO(EISCONN, nym_call(self->client, NAME));
	EXPECT_ERRNO(EISCONN, nym_call(self->server, NAME));
	EXPECT_ERRNO(EISCONN, nym_call(self->pair[0], NAME));
	EXPECT_ERRNO(EISCONN, nym_call(pending, NAME));
	/* The name is looked up first. */
	EXPECT_ERRNO(ECONNREFUSED, nym_call(self->client, "t/conn/none"));
	EXPECT_ERRNO(ECONNREFUSED, nym_call(self->client, "t/conn/bound"));
	check_connected(_metadata, self->client, self->server);
}

TEST_F(state, connect_a_socket_whose_peer_closed)
{
	ASSERT_OK(close(self->server));
	EXPECT_ERRNO(EISCONN, nym_call(self->client, NAME));
}

TEST_F(state, connect_a_listener)
{
	int other = nym_listen("t/conn/other", 1);

	ASSERT_FD(other);
	EXPECT_ERRNO(EINVAL, nym_call(self->listener, "t/conn/other"));
	EXPECT_ERRNO(EINVAL, nym_call(self->listener, NAME));
	EXPECT_ERRNO(ECONNREFUSED, nym_call(self->listener, "t/conn/none"));
	EXPECT_ERRNO(EAGAIN, accept_now(other));
	EXPECT_ERRNO(EAGAIN, accept_now(self->listener));
}

TEST_F(state, connect_to_a_listener_shut_down_for_reading)
{
	ASSERT_OK(shutdown(self->listener, SHUT_WR));
	EXPECT_LE(0, nym_connect(NAME));
	ASSERT_OK(shutdown(self->listener, SHUT_RD));
	EXPECT_ERRNO(ECONNREFUSED, nym_call(self->fresh, NAME));
}

/* As with AF_UNIX: the shutdown is remembered, and the connection mute. */
TEST_F(state, connect_a_socket_shut_down_for_writing)
{
	ASSERT_OK(shutdown(self->fresh, SHUT_WR));
	ASSERT_OK(nym_call(self->fresh, NAME));
	EXPECT_ERRNO(EPIPE, send(self->fresh, "x", 1, MSG_NOSIGNAL));
}

TEST_F(state, socketpair_is_connected)
{
	check_connected(_metadata, self->pair[0], self->pair[1]);
	check_connected(_metadata, self->client, self->server);
}

TEST_F(state, socketpair_into_bad_memory)
{
	EXPECT_ERRNO(EFAULT, socketpair(AF_NYM, SOCK_STREAM, 0, NULL));
}

/*
 * Waiting in accept().
 */

FIXTURE(accept) {
	int listener;
	struct nym_bg bg;
};

FIXTURE_SETUP(accept)
{
	SKIP_WITHOUT_NYM();
	self->listener = nym_listen(NAME, 20);
	ASSERT_FD(self->listener);
}

FIXTURE_TEARDOWN(accept)
{
	close(self->listener);
}

/* Sends a signal to a thread that sleeps in a call; it does so again. */
static bool is_restarted(struct nym_bg *bg, long nr)
{
	caught = false;
	if (pthread_kill(bg->thread, SIGUSR1))
		return false;
	while (!__atomic_load_n(&caught, __ATOMIC_ACQUIRE))
		nym_nap();
	return nym_bg_asleep(bg, nr);
}

static void accept_in_thread(struct __test_metadata *_metadata,
			     struct nym_bg *bg, int *listener)
{
	ASSERT_OK(nym_bg_start(bg, accept_fd, listener));
	ASSERT_TRUE(nym_bg_asleep(bg, SYS_accept4));
}

TEST_F(accept, waits_for_a_caller)
{
	int client;

	accept_in_thread(_metadata, &self->bg, &self->listener);
	client = nym_connect(NAME);
	ASSERT_FD(client);
	ASSERT_LE(0, nym_bg_join(&self->bg));
	check_connected(_metadata, client, self->bg.ret);
}

TEST_F(accept, times_out)
{
	long start = nym_now_ms();

	ASSERT_OK(nym_set_timeout(self->listener, SO_RCVTIMEO, TIMEOUT_MS));
	EXPECT_ERRNO(EAGAIN, accept(self->listener, NULL, NULL));
	EXPECT_LE(NYM_TICKED(TIMEOUT_MS), nym_now_ms() - start);
	/* The listener's timeout is its own. */
	ASSERT_FD(nym_connect(NAME));
	EXPECT_ERRNO(EAGAIN, recv(accept(self->listener, NULL, NULL), &start, 1,
				  MSG_DONTWAIT));
}

TEST_F(accept, is_interrupted)
{
	catch_signal(0);
	accept_in_thread(_metadata, &self->bg, &self->listener);
	ASSERT_EQ(0, pthread_kill(self->bg.thread, SIGUSR1));
	EXPECT_EQ(-1, nym_bg_join(&self->bg));
	EXPECT_SAME_ERRNO(EINTR, self->bg.err);
}

TEST_F(accept, is_restarted)
{
	catch_signal(SA_RESTART);
	accept_in_thread(_metadata, &self->bg, &self->listener);
	ASSERT_TRUE(is_restarted(&self->bg, SYS_accept4));
	ASSERT_FD(nym_connect(NAME));
	EXPECT_LE(0, nym_bg_join(&self->bg));
}

/* A call with a timeout cannot be restarted: it would start to count anew. */
TEST_F(accept, with_a_timeout_is_interrupted_always)
{
	catch_signal(SA_RESTART);
	ASSERT_OK(nym_set_timeout(self->listener, SO_RCVTIMEO, NYM_PATIENCE_MS));
	accept_in_thread(_metadata, &self->bg, &self->listener);
	ASSERT_EQ(0, pthread_kill(self->bg.thread, SIGUSR1));
	EXPECT_EQ(-1, nym_bg_join(&self->bg));
	EXPECT_SAME_ERRNO(EINTR, self->bg.err);
}

TEST_F(accept, is_ended_by_shutdown_for_reading)
{
	accept_in_thread(_metadata, &self->bg, &self->listener);
	ASSERT_OK(shutdown(self->listener, SHUT_RD));
	EXPECT_EQ(-1, nym_bg_join(&self->bg));
	EXPECT_SAME_ERRNO(EINVAL, self->bg.err);
	/* Non-blocking, there is only nothing there; as with AF_UNIX. */
	EXPECT_ERRNO(EAGAIN, accept_now(self->listener));
}

TEST_F(accept, is_ended_by_shutdown_for_both)
{
	accept_in_thread(_metadata, &self->bg, &self->listener);
	ASSERT_OK(shutdown(self->listener, SHUT_RDWR));
	EXPECT_EQ(-1, nym_bg_join(&self->bg));
	EXPECT_SAME_ERRNO(EINVAL, self->bg.err);
}

TEST_F(accept, is_not_ended_by_shutdown_for_writing)
{
	accept_in_thread(_metadata, &self->bg, &self->listener);
	ASSERT_OK(shutdown(self->listener, SHUT_WR));
	EXPECT_TRUE(nym_bg_asleep(&self->bg, SYS_accept4));
	ASSERT_FD(nym_connect(NAME));
	EXPECT_LE(0, nym_bg_join(&self->bg));
}

TEST_F(accept, those_who_called_before_the_shutdown_are_accepted)
{
	int client[2], i;

	for (i = 0; i < 2; i++) {
		client[i] = nym_connect(NAME);
		ASSERT_FD(client[i]);
	}
	ASSERT_OK(shutdown(self->listener, SHUT_RD));
	for (i = 0; i < 2; i++) {
		int fd = accept(self->listener, NULL, NULL);

		ASSERT_FD(fd);
		check_connected(_metadata, client[i], fd);
	}
	EXPECT_ERRNO(EINVAL, accept(self->listener, NULL, NULL));
}

/* The call in progress holds the socket, so its name is alive, too. */
TEST_F(accept, goes_on_when_its_descriptor_is_closed)
{
	accept_in_thread(_metadata, &self->bg, &self->listener);
	ASSERT_OK(close(self->listener));
	EXPECT_LE(0, nym_connect(NAME));
	EXPECT_LE(0, nym_bg_join(&self->bg));
	EXPECT_ERRNO(ECONNREFUSED, nym_connect(NAME));
}

/* Eight acceptors, eight callers: each acceptor gets one, nobody sleeps on. */
TEST_F(accept, every_caller_wakes_one_acceptor)
{
	struct nym_bg bg[8];
	int client[8], i, accepted = 0;
	char byte, got[8] = "";

	for (i = 0; i < 8; i++) {
		ASSERT_OK(nym_bg_start(&bg[i], accept_fd, &self->listener));
		ASSERT_TRUE(nym_bg_asleep(&bg[i], SYS_accept4));
	}
	for (i = 0; i < 8; i++) {
		client[i] = nym_connect(NAME);
		ASSERT_FD(client[i]);
		byte = i;
		ASSERT_EQ(1, send(client[i], &byte, 1, 0));
	}
	for (i = 0; i < 8; i++) {
		ASSERT_LE(0, nym_bg_join(&bg[i]));
		ASSERT_EQ(1, recv(bg[i].ret, &byte, 1, 0));
		ASSERT_GT(8, byte);
		EXPECT_EQ(0, got[(int)byte]++);
		accepted++;
	}
	EXPECT_EQ(8, accepted);
	EXPECT_ERRNO(EAGAIN, accept_now(self->listener));
}

/* How many it accepted before the listener was shut down and empty. */
static int accept_until_shutdown(int listener)
{
	int mask, n = 0;

	while ((mask = nym_poll_wait(listener, POLLIN | POLLRDHUP)) & POLLIN) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0 && (errno != EAGAIN || mask & POLLRDHUP))
			break;
		n += fd >= 0;
		close(fd);
	}
	return n;
}

/* Several processes that poll: those who come too late get EAGAIN. */
TEST_F(accept, processes_share_a_listener)
{
	enum { PROCESSES = 4, CALLS = 40 };
	int done[2], i, total = 0;
	pid_t pid[PROCESSES];
	unsigned char n;

	ASSERT_OK(pipe(done));
	ASSERT_OK(nym_set_nonblock(self->listener, true));
	for (i = 0; i < PROCESSES; i++) {
		pid[i] = fork();
		ASSERT_LE(0, pid[i]);
		if (pid[i])
			continue;
		n = accept_until_shutdown(self->listener);
		EXPECT_ERRNO(EAGAIN, accept(self->listener, NULL, NULL));
		EXPECT_EQ(1, write(done[1], &n, 1));
		_exit(0);
	}
	for (i = 0; i < CALLS; i++) {
		int fd = nym_connect(NAME);

		ASSERT_FD(fd);
		/* Closed unread by the acceptor: that is the end of it. */
		EXPECT_EQ(0, recv(fd, &n, 1, 0));
		close(fd);
	}
	ASSERT_OK(shutdown(self->listener, SHUT_RD));
	for (i = 0; i < PROCESSES; i++) {
		ASSERT_OK(nym_wait_child(pid[i]));
		ASSERT_EQ(1, read(done[0], &n, 1));
		total += n;
	}
	EXPECT_EQ(CALLS, total);
}

/*
 * Connections that wait to be accepted.
 */

FIXTURE(pending) {
	int listener;
	int client;
};

FIXTURE_SETUP(pending)
{
	SKIP_WITHOUT_NYM();
	self->listener = nym_listen(NAME, 5);
	ASSERT_FD(self->listener);
	self->client = nym_connect(NAME);
	ASSERT_FD(self->client);
}

FIXTURE_TEARDOWN(pending)
{
	close(self->listener);
	close(self->client);
}

TEST_F(pending, may_send)
{
	char buf[8] = "";
	int fd;

	EXPECT_RETURNS(3, send(self->client, "abc", 3, 0));
	EXPECT_RETURNS(3, send(self->client, "def", 3, 0));
	fd = accept(self->listener, NULL, NULL);
	ASSERT_FD(fd);
	EXPECT_RETURNS(6, recv(fd, buf, sizeof(buf), 0));
	EXPECT_STREQ("abcdef", buf);
	check_connected(_metadata, self->client, fd);
}

TEST_F(pending, has_nothing_to_read)
{
	char c;

	EXPECT_ERRNO(EAGAIN, recv(self->client, &c, 1, MSG_DONTWAIT));
}

TEST_F(pending, that_closed_is_accepted)
{
	char c;
	int fd;

	ASSERT_RETURNS(1, send(self->client, "x", 1, 0));
	ASSERT_OK(close(self->client));
	fd = accept_now(self->listener);
	ASSERT_FD(fd);
	EXPECT_RETURNS(1, recv(fd, &c, 1, 0));
	EXPECT_EQ('x', c);
	EXPECT_RETURNS(0, recv(fd, &c, 1, 0));
	EXPECT_ERRNO(EPIPE, send(fd, "x", 1, MSG_NOSIGNAL));
	EXPECT_EQ(0, nym_get_int(fd, SO_ERROR));
}

TEST_F(pending, that_shut_down_is_accepted)
{
	char c;
	int fd;

	ASSERT_RETURNS(1, send(self->client, "x", 1, 0));
	ASSERT_OK(shutdown(self->client, SHUT_WR));
	fd = accept_now(self->listener);
	ASSERT_FD(fd);
	EXPECT_RETURNS(1, recv(fd, &c, 1, 0));
	EXPECT_RETURNS(0, recv(fd, &c, 1, 0));
	EXPECT_RETURNS(1, send(fd, "y", 1, 0));
	EXPECT_RETURNS(1, recv(self->client, &c, 1, 0));
}

TEST_F(pending, is_reset_when_the_listener_closes)
{
	char c;

	ASSERT_OK(close(self->listener));
	EXPECT_EQ(POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP,
		  nym_poll_now(self->client, POLLIN | POLLOUT | POLLRDHUP));
	EXPECT_ERRNO(EPIPE, send(self->client, "x", 1, MSG_NOSIGNAL));
	EXPECT_ERRNO(ECONNRESET, recv(self->client, &c, 1, 0));
	EXPECT_RETURNS(0, recv(self->client, &c, 1, 0));
	EXPECT_EQ(0, nym_get_int(self->client, SO_ERROR));
	EXPECT_ERRNO(EPIPE, send(self->client, "x", 1, MSG_NOSIGNAL));
	/* It was connected, and stays so: a socket calls once. */
	EXPECT_STREQ(NAME, nym_peer_name(self->client));
	self->listener = nym_listen(NAME, 5);
	ASSERT_FD(self->listener);
	EXPECT_ERRNO(EISCONN, nym_call(self->client, NAME));
}

TEST_F(pending, with_data_is_reset_when_the_listener_closes)
{
	ASSERT_RETURNS(1, send(self->client, "x", 1, 0));
	ASSERT_OK(close(self->listener));
	EXPECT_EQ(ECONNRESET, nym_get_int(self->client, SO_ERROR));
	EXPECT_EQ(0, nym_get_int(self->client, SO_ERROR));
}

static long recv_one(void *fd)
{
	char c;

	return recv(*(int *)fd, &c, 1, 0);
}

TEST_F(pending, reader_is_woken_when_the_listener_closes)
{
	struct nym_bg bg;

	ASSERT_OK(nym_bg_start(&bg, recv_one, &self->client));
	ASSERT_TRUE(nym_bg_asleep(&bg, SYS_recvfrom));
	ASSERT_OK(close(self->listener));
	EXPECT_EQ(-1, nym_bg_join(&bg));
	EXPECT_SAME_ERRNO(ECONNRESET, bg.err);
}

TEST_F(pending, are_accepted_in_order)
{
	char name[32];
	int i;

	for (i = 0; i < 5; i++) {
		int fd;

		snprintf(name, sizeof(name), "t/conn/order/%d", i);
		fd = nym_bound(name);
		ASSERT_FD(fd);
		ASSERT_OK(nym_call(fd, NAME));
	}
	ASSERT_FD(accept_now(self->listener));
	for (i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "t/conn/order/%d", i);
		EXPECT_STREQ(name, nym_peer_name(accept_now(self->listener)));
	}
}

/*
 * How many may be pending.
 */

FIXTURE(backlog) {
	int listener;
};

FIXTURE_SETUP(backlog)
{
	SKIP_WITHOUT_NYM();
	self->listener = nym_bound(NAME);
	ASSERT_FD(self->listener);
}

FIXTURE_TEARDOWN(backlog)
{
	close(self->listener);
}

/* How many callers succeed before the first is parked; they stay. */
static int fill(struct __test_metadata *_metadata)
{
	int n = 0, fd;

	for (;;) {
		fd = nym_socket_nonblock();
		ASSERT_FD(fd);
		if (nym_call(fd, NAME))
			break;
		n++;
	}
	EXPECT_EQ(EINPROGRESS, errno);
	close(fd);
	return n;
}

TEST_F(backlog, admits_one_more_than_asked)
{
	ASSERT_OK(listen(self->listener, 4));
	EXPECT_EQ(5, fill(_metadata));
}

TEST_F(backlog, of_none_admits_one)
{
	ASSERT_OK(listen(self->listener, 0));
	EXPECT_EQ(1, fill(_metadata));
}

TEST_F(backlog, of_one_admits_two)
{
	ASSERT_OK(listen(self->listener, 1));
	EXPECT_EQ(2, fill(_metadata));
}

static int set_somaxconn(const char *value)
{
	int fd = open("/proc/sys/net/core/somaxconn", O_WRONLY | O_CLOEXEC);

	return fd < 0 ? -1 : (int)write(fd, value, strlen(value));
}

/* Negative and huge ones mean net.core.somaxconn, here of a netns of ours. */
TEST_F(backlog, is_clamped_to_somaxconn)
{
	static const int asked[] = { -1, INT_MIN, INT_MAX, 7, 6 };
	size_t i;

	if (unshare(CLONE_NEWNET) || set_somaxconn("6") != 1)
		SKIP(return, "cannot set net.core.somaxconn in a new netns");
	for (i = 0; i < ARRAY_SIZE(asked); i++) {
		int fd = nym_listen(NAME, asked[i]);

		ASSERT_FD(fd);
		EXPECT_EQ(7, fill(_metadata));
		close(fd);
	}
}

TEST_F(backlog, has_room_again_after_accept)
{
	int i;

	ASSERT_OK(listen(self->listener, 1));
	ASSERT_EQ(2, fill(_metadata));
	for (i = 0; i < 5; i++) {
		ASSERT_FD(accept_now(self->listener));
		EXPECT_EQ(1, fill(_metadata));
	}
}

/* Lowering it sends nobody away, and admits nobody before there is room. */
TEST_F(backlog, can_be_lowered)
{
	int i;

	ASSERT_OK(listen(self->listener, 3));
	ASSERT_EQ(4, fill(_metadata));
	ASSERT_OK(listen(self->listener, 1));
	for (i = 0; i < 2; i++) {
		ASSERT_FD(accept_now(self->listener));
		EXPECT_EQ(0, fill(_metadata));
	}
	ASSERT_FD(accept_now(self->listener));
	EXPECT_EQ(1, fill(_metadata));
}

TEST_F(backlog, can_be_raised)
{
	ASSERT_OK(listen(self->listener, 0));
	ASSERT_EQ(1, fill(_metadata));
	ASSERT_OK(listen(self->listener, 4));
	EXPECT_EQ(4, fill(_metadata));
}

/*
 * Callers parked on a full backlog.
 */

FIXTURE(parked) {
	int listener;
	int first;		/* fills the backlog */
	int fd;			/* the first one parked */
	struct nym_bg bg;
};

FIXTURE_SETUP(parked)
{
	SKIP_WITHOUT_NYM();
	self->listener = nym_listen(NAME, 0);
	ASSERT_FD(self->listener);
	self->first = nym_connect(NAME);
	ASSERT_FD(self->first);
	self->fd = nym_socket_nonblock();
	ASSERT_FD(self->fd);
	ASSERT_ERRNO(EINPROGRESS, nym_call(self->fd, NAME));
}

FIXTURE_TEARDOWN(parked)
{
	close(self->listener);
	close(self->first);
	close(self->fd);
}

#define ALL_EVENTS (POLLIN | POLLPRI | POLLOUT | POLLRDHUP | POLLRDNORM | \
		    POLLRDBAND | POLLWRNORM | POLLWRBAND)
#define REFUSED_EVENTS (POLLERR | POLLHUP | POLLOUT)

/* Another caller, parked behind those who are. */
static int park(struct __test_metadata *_metadata)
{
	int fd = nym_socket_nonblock();

	ASSERT_FD(fd);
	ASSERT_ERRNO(EINPROGRESS, nym_call(fd, NAME));
	return fd;
}

/* Another caller who waits in connect(), in a thread. */
static void park_in_thread(struct __test_metadata *_metadata,
			   struct nym_bg *bg, int *fd)
{
	ASSERT_OK(nym_bg_start(bg, call_server, fd));
	ASSERT_TRUE(nym_bg_asleep(bg, SYS_connect));
}

TEST_F(parked, is_told_that_it_is_under_way)
{
	EXPECT_ERRNO(EALREADY, nym_call(self->fd, NAME));
	EXPECT_ERRNO(EALREADY, nym_call(self->fd, NAME));
	/* Wherever it wants to go: it has called already. */
	EXPECT_ERRNO(EALREADY, nym_call(self->fd, "t/conn/none"));
}

TEST_F(parked, bad_addresses_are_judged_first)
{
	EXPECT_ERRNO(EINVAL, nym_call(self->fd, "@"));
	EXPECT_ERRNO(EINVAL, nym_call(self->fd, ""));
}

TEST_F(parked, polls_nothing)
{
	EXPECT_EQ(0, nym_poll_now(self->fd, ALL_EVENTS));
}

TEST_F(parked, is_not_connected)
{
	char c;

	EXPECT_ERRNO(ENOTCONN, send(self->fd, "x", 1, MSG_NOSIGNAL));
	EXPECT_ERRNO(EINVAL, recv(self->fd, &c, 1, 0));
	EXPECT_STREQ("ENOTCONN", nym_peer_name(self->fd));
	EXPECT_EQ(0, nym_get_int(self->fd, SO_ERROR));
}

TEST_F(parked, cannot_listen_or_accept)
{
	int fd = nym_bound("t/conn/both");

	ASSERT_FD(fd);
	ASSERT_OK(nym_set_nonblock(fd, true));
	ASSERT_ERRNO(EINPROGRESS, nym_call(fd, NAME));
	EXPECT_ERRNO(EINVAL, listen(fd, 1));
	EXPECT_ERRNO(EINVAL, accept(fd, NULL, NULL));
	EXPECT_ERRNO(EINVAL, listen(self->fd, 1));
	EXPECT_ERRNO(EINVAL, nym_bind(fd, "t/conn/both2"));
	EXPECT_ERRNO(EALREADY, nym_call(fd, NAME));
}

TEST_F(parked, is_connected_when_there_is_room)
{
	int fd;

	ASSERT_FD(accept_now(self->listener));
	EXPECT_EQ(POLLOUT | POLLWRNORM | POLLWRBAND,
		  nym_poll_now(self->fd, ALL_EVENTS));
	EXPECT_EQ(0, nym_get_int(self->fd, SO_ERROR));
	EXPECT_OK(nym_call(self->fd, NAME));
	EXPECT_ERRNO(EISCONN, nym_call(self->fd, NAME));
	EXPECT_STREQ(NAME, nym_peer_name(self->fd));
	EXPECT_TRUE(nym_is_kernel_chosen(nym_own_name(self->fd)));
	fd = accept_now(self->listener);
	ASSERT_FD(fd);
	nym_set_nonblock(self->fd, false);
	check_connected(_metadata, self->fd, fd);
}

/* No need to ask for the result before using the connection. */
TEST_F(parked, may_send_as_soon_as_it_is_pending)
{
	char c = 0;
	int fd;

	ASSERT_FD(accept_now(self->listener));
	EXPECT_RETURNS(1, send(self->fd, "x", 1, MSG_NOSIGNAL));
	fd = accept_now(self->listener);
	ASSERT_FD(fd);
	EXPECT_RETURNS(1, recv(fd, &c, 1, MSG_DONTWAIT));
	EXPECT_EQ('x', c);
}

static long poll_out(void *fd)
{
	return nym_poll_wait(*(int *)fd, POLLOUT);
}

TEST_F(parked, poller_is_woken_when_there_is_room)
{
	ASSERT_OK(nym_bg_start(&self->bg, poll_out, &self->fd));
	ASSERT_TRUE(nym_bg_asleep(&self->bg, SYS_poll));
	ASSERT_FD(accept_now(self->listener));
	EXPECT_EQ(POLLOUT, nym_bg_join(&self->bg));
}

TEST_F(parked, poller_is_woken_when_the_listener_closes)
{
	ASSERT_OK(nym_bg_start(&self->bg, poll_out, &self->fd));
	ASSERT_TRUE(nym_bg_asleep(&self->bg, SYS_poll));
	ASSERT_OK(close(self->listener));
	EXPECT_EQ(REFUSED_EVENTS, nym_bg_join(&self->bg));
}

/* Each accept() makes room for the oldest one, and only for that one. */
TEST_F(parked, are_served_in_order)
{
	enum { N = 6 };
	char name[32];
	int fd[N], i, j;

	for (i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "t/conn/fifo/%d", i);
		fd[i] = nym_bound(name);
		ASSERT_FD(fd[i]);
		ASSERT_OK(nym_set_nonblock(fd[i], true));
		ASSERT_ERRNO(EINPROGRESS, nym_call(fd[i], NAME));
	}
	ASSERT_FD(accept_now(self->listener));	/* first */
	EXPECT_EQ(POLLOUT, nym_poll_now(self->fd, POLLOUT));
	for (i = 0; i < N; i++) {
		for (j = i; j < N; j++)
			EXPECT_EQ(0, nym_poll_now(fd[j], POLLOUT));
		ASSERT_FD(accept_now(self->listener));
		EXPECT_EQ(POLLOUT, nym_poll_now(fd[i], POLLOUT));
	}
	j = accept_now(self->listener);
	snprintf(name, sizeof(name), "t/conn/fifo/%d", N - 1);
	EXPECT_STREQ(name, nym_peer_name(j));
	EXPECT_ERRNO(EAGAIN, accept_now(self->listener));
}

/* Blocking and non-blocking callers stand in one queue. */
TEST_F(parked, are_not_overtaken)
{
	int late = nym_socket(), last;

	ASSERT_FD(late);
	park_in_thread(_metadata, &self->bg, &late);
	last = park(_metadata);
	ASSERT_FD(accept_now(self->listener));
	EXPECT_EQ(POLLOUT, nym_poll_now(self->fd, POLLOUT));
	EXPECT_TRUE(nym_bg_asleep(&self->bg, SYS_connect));
	ASSERT_FD(accept_now(self->listener));
	EXPECT_EQ(0, nym_bg_join(&self->bg));
	EXPECT_EQ(0, nym_poll_now(last, POLLOUT));
	ASSERT_FD(accept_now(self->listener));
	EXPECT_EQ(POLLOUT, nym_poll_now(last, POLLOUT));
}

TEST_F(parked, close_withdraws)
{
	int next = park(_metadata);

	ASSERT_OK(close(self->fd));
	ASSERT_FD(accept_now(self->listener));
	EXPECT_EQ(POLLOUT, nym_poll_now(next, POLLOUT));
	ASSERT_FD(accept_now(self->listener));
	/* The withdrawn one was never there. */
	EXPECT_ERRNO(EAGAIN, accept_now(self->listener));
}

TEST_F(parked, close_of_one_copy_does_not_withdraw)
{
	int copy = dup(self->fd);

	ASSERT_FD(copy);
	ASSERT_OK(close(self->fd));
	EXPECT_EQ(0, nym_poll_now(copy, POLLOUT));
	ASSERT_FD(accept_now(self->listener));
	EXPECT_EQ(POLLOUT, nym_poll_now(copy, POLLOUT));
	self->fd = copy;
}

TEST_F(parked, death_withdraws)
{
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid)
		_exit(nym_connect(NAME) >= 0);
	ASSERT_TRUE(nym_wait_asleep(pid, SYS_connect));
	ASSERT_TRUE(nym_wait_pending(self->listener, 3));
	ASSERT_OK(kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	ASSERT_TRUE(nym_wait_pending(self->listener, 2));
	ASSERT_FD(accept_now(self->listener));
	ASSERT_FD(accept_now(self->listener));
	EXPECT_ERRNO(EAGAIN, accept_now(self->listener));
}

TEST_F(parked, is_refused_when_the_listener_closes)
{
	ASSERT_OK(close(self->listener));
	EXPECT_EQ(REFUSED_EVENTS,
		  nym_poll_now(self->fd, POLLIN | POLLOUT) & ~POLLIN);
	EXPECT_EQ(ECONNREFUSED, nym_get_int(self->fd, SO_ERROR));
	/* Once told it is a socket like new. */
	EXPECT_EQ(0, nym_get_int(self->fd, SO_ERROR));
	EXPECT_EQ(POLLOUT | POLLHUP, nym_poll_now(self->fd, POLLIN | POLLOUT));
	EXPECT_STREQ("ENOTCONN", nym_peer_name(self->fd));
	self->listener = nym_listen(NAME, 0);
	ASSERT_FD(self->listener);
	EXPECT_OK(nym_call(self->fd, NAME));
	EXPECT_ERRNO(EISCONN, nym_call(self->fd, NAME));
	EXPECT_LE(0, accept_now(self->listener));
}

/* connect() tells the refusal of the earlier call before it calls again. */
TEST_F(parked, refusal_is_told_by_connect)
{
	ASSERT_OK(close(self->listener));
	self->listener = nym_listen(NAME, 0);
	ASSERT_FD(self->listener);
	EXPECT_ERRNO(ECONNREFUSED, nym_call(self->fd, NAME));
	EXPECT_EQ(0, nym_get_int(self->fd, SO_ERROR));
	EXPECT_ERRNO(EAGAIN, accept_now(self->listener));
	EXPECT_OK(nym_call(self->fd, NAME));
	EXPECT_LE(0, accept_now(self->listener));
}

TEST_F(parked, refused_may_listen)
{
	int fd = nym_bound("t/conn/turn");

	ASSERT_FD(fd);
	ASSERT_OK(nym_set_nonblock(fd, true));
	ASSERT_ERRNO(EINPROGRESS, nym_call(fd, NAME));
	ASSERT_OK(close(self->listener));
	EXPECT_EQ(ECONNREFUSED, nym_get_int(fd, SO_ERROR));
	EXPECT_OK(listen(fd, 1));
	EXPECT_LE(0, nym_connect("t/conn/turn"));
}

TEST_F(parked, are_refused_when_the_listener_is_shut_down)
{
	int other = park(_metadata);

	ASSERT_OK(shutdown(self->listener, SHUT_RD));
	EXPECT_ERRNO(ECONNREFUSED, nym_call(self->fd, NAME));
	EXPECT_EQ(ECONNREFUSED, nym_get_int(other, SO_ERROR));
	/* The one that was pending is served; nobody follows it. */
	check_connected(_metadata, self->first, accept_now(self->listener));
	EXPECT_ERRNO(EAGAIN, accept_now(self->listener));
}

TEST_F(parked, are_not_refused_when_shut_down_for_writing)
{
	ASSERT_OK(shutdown(self->listener, SHUT_WR));
	EXPECT_EQ(0, nym_poll_now(self->fd, ALL_EVENTS));
	EXPECT_ERRNO(EALREADY, nym_call(self->fd, NAME));
}

TEST_F(parked, are_refused_when_the_server_is_killed)
{
	int ready[2], fd;
	pid_t pid;
	char c;

	ASSERT_OK(pipe(ready));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		EXPECT_LE(0, nym_listen("t/conn/dies", 0));
		EXPECT_EQ(1, write(ready[1], "", 1));
		pause();
		_exit(1);
	}
	ASSERT_EQ(1, read(ready[0], &c, 1));
	ASSERT_FD(nym_connect("t/conn/dies"));
	fd = nym_socket_nonblock();
	ASSERT_FD(fd);
	EXPECT_ERRNO(EINPROGRESS, nym_call(fd, "t/conn/dies"));
	ASSERT_OK(kill(pid, SIGKILL));
	EXPECT_EQ(REFUSED_EVENTS, nym_poll_wait(fd, POLLOUT));
	EXPECT_EQ(ECONNREFUSED, nym_get_int(fd, SO_ERROR));
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
}

TEST_F(parked, are_admitted_by_a_larger_backlog)
{
	int second = park(_metadata), third = park(_metadata);

	ASSERT_OK(listen(self->listener, 0));
	EXPECT_EQ(0, nym_poll_now(self->fd, POLLOUT));
	ASSERT_OK(listen(self->listener, 2));
	EXPECT_EQ(POLLOUT, nym_poll_now(self->fd, POLLOUT));
	EXPECT_EQ(POLLOUT, nym_poll_now(second, POLLOUT));
	EXPECT_EQ(0, nym_poll_now(third, POLLOUT));
	ASSERT_OK(listen(self->listener, 3));
	EXPECT_EQ(POLLOUT, nym_poll_now(third, POLLOUT));
	EXPECT_OK(nym_call(third, NAME));
}

TEST_F(parked, connect_waits_for_room)
{
	int fd = nym_socket(), server;

	ASSERT_FD(fd);
	park_in_thread(_metadata, &self->bg, &fd);
	ASSERT_FD(accept_now(self->listener));
	EXPECT_TRUE(nym_bg_asleep(&self->bg, SYS_connect));
	ASSERT_FD(accept_now(self->listener));
	EXPECT_EQ(0, nym_bg_join(&self->bg));
	EXPECT_ERRNO(EISCONN, nym_call(fd, NAME));
	server = accept_now(self->listener);
	ASSERT_FD(server);
	check_connected(_metadata, fd, server);
}

TEST_F(parked, connect_times_out)
{
	int fd = nym_socket();
	long start;

	ASSERT_FD(fd);
	ASSERT_OK(nym_set_timeout(fd, SO_SNDTIMEO, TIMEOUT_MS));
	start = nym_now_ms();
	EXPECT_ERRNO(EAGAIN, nym_call(fd, NAME));
	EXPECT_LE(NYM_TICKED(TIMEOUT_MS), nym_now_ms() - start);
	/* Withdrawn: two are left, and it may call again. */
	EXPECT_EQ(0, nym_get_int(fd, SO_ERROR));
	ASSERT_FD(accept_now(self->listener));
	ASSERT_FD(accept_now(self->listener));
	EXPECT_ERRNO(EAGAIN, accept_now(self->listener));
	EXPECT_OK(nym_call(fd, NAME));
	check_connected(_metadata, fd, accept_now(self->listener));
}

TEST_F(parked, connect_is_interrupted)
{
	int fd = nym_socket();

	ASSERT_FD(fd);
	catch_signal(0);
	park_in_thread(_metadata, &self->bg, &fd);
	ASSERT_EQ(0, pthread_kill(self->bg.thread, SIGUSR1));
	EXPECT_EQ(-1, nym_bg_join(&self->bg));
	EXPECT_SAME_ERRNO(EINTR, self->bg.err);
	ASSERT_FD(accept_now(self->listener));
	ASSERT_FD(accept_now(self->listener));
	EXPECT_ERRNO(EAGAIN, accept_now(self->listener));
	EXPECT_OK(nym_call(fd, NAME));
}

TEST_F(parked, connect_is_restarted)
{
	int fd = nym_socket();

	ASSERT_FD(fd);
	catch_signal(SA_RESTART);
	park_in_thread(_metadata, &self->bg, &fd);
	ASSERT_TRUE(is_restarted(&self->bg, SYS_connect));
	ASSERT_TRUE(nym_wait_pending(self->listener, 3));
	ASSERT_FD(accept_now(self->listener));
	ASSERT_FD(accept_now(self->listener));
	EXPECT_EQ(0, nym_bg_join(&self->bg));
	check_connected(_metadata, fd, accept_now(self->listener));
}

TEST_F(parked, connect_with_a_timeout_is_interrupted_always)
{
	int fd = nym_socket();

	ASSERT_FD(fd);
	catch_signal(SA_RESTART);
	ASSERT_OK(nym_set_timeout(fd, SO_SNDTIMEO, NYM_PATIENCE_MS));
	park_in_thread(_metadata, &self->bg, &fd);
	ASSERT_EQ(0, pthread_kill(self->bg.thread, SIGUSR1));
	EXPECT_EQ(-1, nym_bg_join(&self->bg));
	EXPECT_SAME_ERRNO(EINTR, self->bg.err);
}

TEST_F(parked, connect_is_refused_when_the_listener_closes)
{
	int fd = nym_socket();

	ASSERT_FD(fd);
	park_in_thread(_metadata, &self->bg, &fd);
	ASSERT_OK(close(self->listener));
	EXPECT_EQ(-1, nym_bg_join(&self->bg));
	EXPECT_SAME_ERRNO(ECONNREFUSED, self->bg.err);
	/* Told once is enough. */
	EXPECT_EQ(0, nym_get_int(fd, SO_ERROR));
	self->listener = nym_listen(NAME, 0);
	ASSERT_FD(self->listener);
	EXPECT_OK(nym_call(fd, NAME));
}

TEST_F(parked, connect_is_refused_when_the_listener_is_shut_down)
{
	int fd = nym_socket();

	ASSERT_FD(fd);
	park_in_thread(_metadata, &self->bg, &fd);
	ASSERT_OK(shutdown(self->listener, SHUT_RD));
	EXPECT_EQ(-1, nym_bg_join(&self->bg));
	EXPECT_SAME_ERRNO(ECONNREFUSED, self->bg.err);
}

/* A second thread with the same socket learns that the first one waits. */
TEST_F(parked, two_threads_with_one_socket)
{
	int fd = nym_socket();

	ASSERT_FD(fd);
	park_in_thread(_metadata, &self->bg, &fd);
	EXPECT_ERRNO(EALREADY, nym_call(fd, NAME));
	ASSERT_FD(accept_now(self->listener));
	ASSERT_FD(accept_now(self->listener));
	EXPECT_EQ(0, nym_bg_join(&self->bg));
	EXPECT_ERRNO(EISCONN, nym_call(fd, NAME));
}

/* connect() holds the socket, so closing its descriptor withdraws nothing. */
TEST_F(parked, connect_goes_on_when_its_descriptor_is_closed)
{
	int fd = nym_socket(), server;
	char c;

	ASSERT_FD(fd);
	park_in_thread(_metadata, &self->bg, &fd);
	ASSERT_OK(close(fd));
	ASSERT_FD(accept_now(self->listener));
	ASSERT_FD(accept_now(self->listener));
	EXPECT_EQ(0, nym_bg_join(&self->bg));
	server = accept_now(self->listener);
	ASSERT_FD(server);
	EXPECT_RETURNS(0, recv(server, &c, 1, 0));
}

TEST_F(parked, all_of_200_are_served)
{
	enum { N = 200 };
	unsigned char byte;
	int fd[N], i, server;

	for (i = 0; i < N; i++)
		fd[i] = park(_metadata);
	ASSERT_TRUE(nym_wait_pending(self->listener, N + 2));
	/* first, and the one of the fixture */
	ASSERT_FD(accept_now(self->listener));
	ASSERT_FD(accept_now(self->listener));
	for (i = 0; i < N; i++) {
		byte = i;
		ASSERT_RETURNS(1, send(fd[i], &byte, 1, 0));
		server = accept_now(self->listener);
		ASSERT_FD(server);
		byte = ~i;
		ASSERT_RETURNS(1, recv(server, &byte, 1, MSG_DONTWAIT));
		ASSERT_EQ(i % 256, byte);
		ASSERT_OK(close(server));
		ASSERT_OK(close(fd[i]));
	}
	EXPECT_ERRNO(EAGAIN, accept_now(self->listener));
}

/* Withdrawing from the middle leaves the order of the others as it was. */
TEST_F(parked, every_second_of_100_is_withdrawn)
{
	enum { N = 100 };
	unsigned char byte;
	int fd[N], i, server;

	for (i = 0; i < N; i++)
		fd[i] = park(_metadata);
	for (i = 0; i < N; i += 2)
		ASSERT_OK(close(fd[i]));
	ASSERT_TRUE(nym_wait_pending(self->listener, N / 2 + 2));
	ASSERT_FD(accept_now(self->listener));
	ASSERT_FD(accept_now(self->listener));
	for (i = 1; i < N; i += 2) {
		byte = i;
		ASSERT_RETURNS(1, send(fd[i], &byte, 1, 0));
		server = accept_now(self->listener);
		ASSERT_FD(server);
		ASSERT_RETURNS(1, recv(server, &byte, 1, MSG_DONTWAIT));
		ASSERT_EQ(i, byte);
	}
	EXPECT_ERRNO(EAGAIN, accept_now(self->listener));
}

/*
 * Many at once.
 */

FIXTURE(many) {
	int listener;
};

FIXTURE_SETUP(many)
{
	SKIP_WITHOUT_NYM();
	self->listener = nym_listen(NAME, 3);
	ASSERT_FD(self->listener);
}

FIXTURE_TEARDOWN(many)
{
	close(self->listener);
}

/* @n calls, one after the other; each sends a number and gets it back + 1. */
static int call_and_count(int n)
{
	int i, sent, got;

	for (i = 0; i < n; i++) {
		int fd = nym_connect(NAME);

		if (fd < 0)
			return 1;
		sent = getpid() + i;
		if (send(fd, &sent, sizeof(sent), 0) != sizeof(sent))
			return 2;
		if (recv(fd, &got, sizeof(got), MSG_WAITALL) != sizeof(got))
			return 3;
		if (got != sent + 1)
			return 4;
		close(fd);
	}
	return 0;
}

TEST_F(many, processes_call_one_server)
{
	enum { PROCESSES = 10, CALLS = 20 };
	pid_t pid[PROCESSES];
	int i, number;

	for (i = 0; i < PROCESSES; i++) {
		pid[i] = fork();
		ASSERT_LE(0, pid[i]);
		if (!pid[i]) {
			close(self->listener);
			_exit(call_and_count(CALLS));
		}
	}
	for (i = 0; i < PROCESSES * CALLS; i++) {
		int fd = accept(self->listener, NULL, NULL);

		ASSERT_FD(fd);
		ASSERT_EQ((ssize_t)sizeof(number),
			  recv(fd, &number, sizeof(number), MSG_WAITALL));
		number++;
		ASSERT_EQ((ssize_t)sizeof(number),
			  send(fd, &number, sizeof(number), 0));
		ASSERT_OK(close(fd));
	}
	for (i = 0; i < PROCESSES; i++)
		EXPECT_OK(nym_wait_child(pid[i]));
	EXPECT_ERRNO(EAGAIN, accept_now(self->listener));
}

/* 200 connections open at the same time, each its own. */
TEST_F(many, connections_stay_apart)
{
	enum { N = 200 };
	int fd[N][2], i, byte;

	for (i = 0; i < N; i++)
		ASSERT_OK(nym_connection(self->listener, NAME, fd[i]));
	for (i = 0; i < N; i++)
		ASSERT_EQ((ssize_t)sizeof(i), send(fd[i][0], &i, sizeof(i), 0));
	for (i = N - 1; i >= 0; i--) {
		ASSERT_EQ((ssize_t)sizeof(byte),
			  recv(fd[i][1], &byte, sizeof(byte), 0));
		ASSERT_EQ(i, byte);
	}
}

struct two_calls {
	int fd;
	pthread_barrier_t start;
};

static long call_at_once(void *data)
{
	struct two_calls *two = data;

	pthread_barrier_wait(&two->start);
	return nym_call(two->fd, NAME);
}

/* Two threads connect one socket: one call is made. */
TEST_F(many, two_threads_connect_one_socket)
{
	struct two_calls two;
	struct nym_bg bg[2];
	int round, i, won;

	ASSERT_EQ(0, pthread_barrier_init(&two.start, NULL, 2));
	for (round = 0; round < 100; round++) {
		won = 0;
		two.fd = nym_socket();
		ASSERT_FD(two.fd);
		for (i = 0; i < 2; i++)
			ASSERT_OK(nym_bg_start(&bg[i], call_at_once, &two));
		for (i = 0; i < 2; i++) {
			if (!nym_bg_join(&bg[i]))
				won++;
			else
				EXPECT_SAME_ERRNO(EISCONN, bg[i].err);
		}
		EXPECT_EQ(1, won);
		ASSERT_FD(accept_now(self->listener));
		EXPECT_ERRNO(EAGAIN, accept_now(self->listener));
		close(two.fd);
	}
}

/*
 * Who is at the other end.
 */

FIXTURE(cred) {
	int listener;
	int done[2];		/* a pipe: end of the child's wait */
	int ready[2];		/* a pipe: the child has come so far */
};

FIXTURE_SETUP(cred)
{
	SKIP_WITHOUT_NYM();
	self->listener = nym_listen(NAME, 5);
	ASSERT_FD(self->listener);
	ASSERT_OK(fchmod(self->listener, 0777));
	ASSERT_OK(pipe(self->done));
	ASSERT_OK(pipe(self->ready));
}

FIXTURE_TEARDOWN(cred)
{
	close(self->listener);
}

static const struct nym_who stranger = { .uid = 1000, .gid = 2000 };

static void expect_peer(struct __test_metadata *_metadata, int fd, pid_t pid,
			uid_t uid, gid_t gid)
{
	struct ucred cred = { };
	socklen_t len = sizeof(cred);

	EXPECT_OK(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len));
	EXPECT_EQ(sizeof(cred), len);
	EXPECT_EQ(pid, cred.pid);
	EXPECT_EQ(uid, cred.uid);
	EXPECT_EQ(gid, cred.gid);
}

TEST_F(cred, unconnected)
{
	int fd = nym_bound("t/conn/cred");

	expect_peer(_metadata, nym_socket(), 0, -1, -1);
	expect_peer(_metadata, fd, 0, -1, -1);
}

TEST_F(cred, listener_is_who_called_listen)
{
	expect_peer(_metadata, self->listener, getpid(), 0, 0);
}

TEST_F(cred, socketpair_is_who_made_it)
{
	int fd[2];

	ASSERT_OK(nym_pair(fd));
	expect_peer(_metadata, fd[0], getpid(), 0, 0);
	expect_peer(_metadata, fd[1], getpid(), 0, 0);
}

TEST_F(cred, own_connection)
{
	int fd[2];

	ASSERT_OK(nym_connection(self->listener, NAME, fd));
	expect_peer(_metadata, fd[0], getpid(), 0, 0);
	expect_peer(_metadata, fd[1], getpid(), 0, 0);
}

/* The server sees who called, as of the call, and also after it is gone. */
TEST_F(cred, server_sees_the_caller)
{
	pid_t pid = fork();
	int fd;

	ASSERT_LE(0, pid);
	if (!pid) {
		fd = nym_socket();
		EXPECT_OK(nym_become(&stranger));
		EXPECT_OK(nym_call(fd, NAME));
		expect_peer(_metadata, fd, getppid(), 0, 0);
		_exit(0);
	}
	ASSERT_OK(nym_wait_child(pid));
	fd = accept_now(self->listener);
	ASSERT_FD(fd);
	expect_peer(_metadata, fd, pid, 1000, 2000);
}

TEST_F(cred, what_the_caller_becomes_later_does_not_matter)
{
	pid_t pid = fork();
	int fd;

	ASSERT_LE(0, pid);
	if (!pid) {
		fd = nym_connect(NAME);
		EXPECT_OK(nym_become(&stranger));
		EXPECT_RETURNS(1, send(fd, "x", 1, 0));
		_exit(0);
	}
	ASSERT_OK(nym_wait_child(pid));
	fd = accept_now(self->listener);
	ASSERT_FD(fd);
	expect_peer(_metadata, fd, pid, 0, 0);
}

/* Before accept() the client sees who listens, after it who accepted. */
TEST_F(cred, client_sees_who_accepted)
{
	int client = nym_connect(NAME);
	pid_t pid;
	char c;

	ASSERT_FD(client);
	expect_peer(_metadata, client, getpid(), 0, 0);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		EXPECT_OK(nym_become(&stranger));
		EXPECT_LE(0, accept(self->listener, NULL, NULL));
		EXPECT_EQ(1, write(self->ready[1], "", 1));
		EXPECT_EQ(1, read(self->done[0], &c, 1));
		_exit(0);
	}
	ASSERT_EQ(1, read(self->ready[0], &c, 1));
	expect_peer(_metadata, client, pid, 1000, 2000);
	ASSERT_EQ(1, write(self->done[1], "", 1));
	ASSERT_OK(nym_wait_child(pid));
	expect_peer(_metadata, client, pid, 1000, 2000);
}

TEST_F(cred, client_sees_who_called_listen)
{
	int bound = nym_bound("t/conn/cred"), client;
	pid_t pid;

	ASSERT_FD(bound);
	ASSERT_OK(fchmod(bound, 0777));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		EXPECT_OK(nym_become(&stranger));
		EXPECT_OK(listen(bound, 1));
		_exit(0);
	}
	ASSERT_OK(nym_wait_child(pid));
	client = nym_connect("t/conn/cred");
	ASSERT_FD(client);
	expect_peer(_metadata, client, pid, 1000, 2000);
	ASSERT_FD(accept_now(bound));
	expect_peer(_metadata, client, getpid(), 0, 0);
}

/* A parked caller is not connected to anybody yet. */
TEST_F(cred, parked_caller)
{
	int fd = nym_socket_nonblock();

	ASSERT_FD(fd);
	ASSERT_OK(listen(self->listener, 0));
	ASSERT_FD(nym_connect(NAME));
	ASSERT_ERRNO(EINPROGRESS, nym_call(fd, NAME));
	expect_peer(_metadata, fd, 0, -1, -1);
	ASSERT_FD(accept_now(self->listener));
	expect_peer(_metadata, fd, getpid(), 0, 0);
}

/* What counts is who listened when the call became a connection. */
TEST_F(cred, parked_caller_admitted_by_another_listen)
{
	struct nym_bg bg;
	int fd = nym_socket();
	pid_t pid;

	ASSERT_FD(fd);
	ASSERT_OK(listen(self->listener, 0));
	ASSERT_FD(nym_connect(NAME));
	ASSERT_OK(nym_bg_start(&bg, call_server, &fd));
	ASSERT_TRUE(nym_bg_asleep(&bg, SYS_connect));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		EXPECT_OK(nym_become(&stranger));
		EXPECT_OK(listen(self->listener, 5));
		_exit(0);
	}
	ASSERT_EQ(0, nym_bg_join(&bg));
	expect_peer(_metadata, fd, pid, 1000, 2000);
	ASSERT_OK(nym_wait_child(pid));
}

/* The sockets of a connection made before fork() work in the child. */
TEST_F(cred, a_connection_made_before_fork)
{
	int fd[2];
	pid_t pid;
	char c;

	ASSERT_OK(nym_connection(self->listener, NAME, fd));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(fd[0]);
		EXPECT_RETURNS(1, recv(fd[1], &c, 1, 0));
		EXPECT_RETURNS(1, send(fd[1], &c, 1, 0));
		/* Still the one who called connect(). */
		expect_peer(_metadata, fd[1], getppid(), 0, 0);
		_exit(0);
	}
	close(fd[1]);
	EXPECT_RETURNS(1, send(fd[0], "f", 1, 0));
	EXPECT_RETURNS(1, recv(fd[0], &c, 1, 0));
	EXPECT_RETURNS(0, recv(fd[0], &c, 1, 0));
	EXPECT_OK(nym_wait_child(pid));
	expect_peer(_metadata, fd[0], getpid(), 0, 0);
}

NYM_TEST_MAIN
