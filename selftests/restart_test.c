// SPDX-License-Identifier: GPL-2.0
/*
 * What becomes of calls when a listener goes away: they move to the other
 * members of the name, wait for one that listens, or for the next owner of a
 * name that lingers (NYM_LINGER). And whole services that are killed, restarted
 * and handed over under load, without their clients noticing.
 */
#include "nym_test.h"
#include "nym_io.h"
#include "nym_scm.h"

#include <sys/epoll.h>
#include <sys/mman.h>

#define OUT	(POLLOUT | POLLWRNORM | POLLWRBAND)
#define IN	(POLLIN | POLLRDNORM)
#define RDHUP	0x2000
#define RESET	(IN | OUT | RDHUP | POLLHUP | POLLERR)
#define REFUSED	(OUT | POLLHUP | POLLERR)

#define LONG	20000		/* a linger that no test outlives */
#define MOST	3600000		/* the longest there is */

static const struct nym_who nobody = { .uid = NYM_NOBODY, .gid = NYM_NOBODY };

/* Every test has a name of its own, so that one that fails spoils no other. */
static char name[32];

#define BEGIN() do { \
	SKIP_WITHOUT_NYM(); \
	snprintf(name, sizeof(name), "t/restart/%d", getpid()); \
} while (0)

/* A non-blocking socket that has the name, and shares it; or -1. */
static int member(int type)
{
	int fd = socket(AF_NYM, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd >= 0 && (nym_option(fd, NYM_SHARE, NYM_SHARE_ON) ||
			   nym_bind(fd, name)) ? nym_give_up(fd) : fd;
}

static int member_listen(int type, int backlog)
{
	int fd = member(type);

	return fd >= 0 && listen(fd, backlog) ? nym_give_up(fd) : fd;
}

/* A call that does not get in. */
static int parked_call(int type)
{
	int fd = socket(AF_NYM, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || !nym_call(fd, name) || errno != EINPROGRESS)
		return nym_give_up(fd);
	return fd;
}

/* How many calls are in the queue of a listener; all parked ones count, too. */
static long pending(int fd)
{
	struct nym_line line;

	return nym_proc_line(fd, &line) == 1 ? (long)line.pending : -1;
}

/* Accepts a call; gives the byte that came with it, or -errno. */
static int take(int listener)
{
	int fd = scm_accept(listener);
	char c = -1;

	if (fd < 0)
		return -errno;
	if (recv(fd, &c, 1, MSG_DONTWAIT) != 1)
		c = -1;
	close(fd);
	return c;
}

/* Accepts a call; is it that of @client? */
static bool took(int listener, int client)
{
	char caller[NYM_NAME_MAX + 1];
	int fd = scm_accept(listener);
	bool same;

	if (fd < 0)
		return false;
	snprintf(caller, sizeof(caller), "%s", nym_own_name(client));
	same = !strcmp(caller, nym_peer_name(fd));
	close(fd);
	return same;
}

/* The connection has been reset, which is told once. */
static bool is_reset(int client)
{
	char c;

	return recv(client, &c, 1, MSG_DONTWAIT) == -1 && errno == ECONNRESET &&
	       recv(client, &c, 1, MSG_DONTWAIT) == 0;
}

static long do_call(struct io_thread *t)
{
	return nym_call(t->fd, name);
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

/* --- Calls move to the other members --- */

#define MAXCALLS	16

FIXTURE(moved)
{
	int a;			/* non-blocking listeners */
	int b;
	int c;
	int client[MAXCALLS];	/* call i has sent the byte i */
	int ncalls;
	int type;
};

FIXTURE_VARIANT(moved)
{
	int type;
};

FIXTURE_VARIANT_ADD(moved, stream)
{
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(moved, seqpacket)
{
	.type = SOCK_SEQPACKET,
};

FIXTURE_SETUP(moved)
{
	BEGIN();
	self->type = variant->type;
	self->ncalls = 0;
	self->a = member_listen(self->type, 20);
	ASSERT_FD(self->a);
	self->b = -1;
	self->c = -1;
}

FIXTURE_TEARDOWN(moved)
{
	int i;

	for (i = 0; i < self->ncalls; i++)
		close(self->client[i]);
	close(self->a);
	close(self->b);
	close(self->c);
}

/* The next call, which gets in. */
#define CALL() do { \
	char __c = self->ncalls; \
	ASSERT_LT(self->ncalls, MAXCALLS); \
	self->client[self->ncalls] = scm_connect(self->type, name); \
	ASSERT_FD(self->client[self->ncalls]); \
	self->ncalls++; \
	ASSERT_EQ(1, send(self->client[self->ncalls - 1], &__c, 1, \
			  MSG_DONTWAIT)); \
} while (0)

#define CALLS(_n) do { \
	int __n = (_n); \
	while (__n--) \
		CALL(); \
} while (0)

#define CLOSE(_fd) do { \
	close(_fd); \
	(_fd) = -1; \
} while (0)

#define LISTEN(_fd, _backlog) do { \
	(_fd) = member_listen(self->type, _backlog); \
	ASSERT_FD(_fd); \
} while (0)

TEST_F(moved, to_the_only_other_one_behind_its_own_in_their_order)
{
	static const int order[] = { 4, 5, 0, 1, 2, 3 };
	size_t i;

	CALLS(4);
	LISTEN(self->b, 20);
	CALLS(2);
	ASSERT_EQ(2, pending(self->b));
	CLOSE(self->a);
	EXPECT_EQ(6, pending(self->b));
	EXPECT_EQ(POLLIN, nym_poll_now(self->b, POLLIN));
	for (i = 0; i < ARRAY_SIZE(order); i++)
		EXPECT_EQ(order[i], take(self->b));
	EXPECT_EQ(-EAGAIN, take(self->b));
}

/* All calls of the listener, the first @own of them aside, are in order. */
static int in_order(struct __test_metadata *_metadata, int listener, int own)
{
	int n, last = -1, label;

	for (n = 0; (label = take(listener)) >= 0; n++) {
		if (n < own)
			continue;
		EXPECT_LT(last, label);
		last = label;
	}
	EXPECT_EQ(-EAGAIN, label);
	return n;
}

TEST_F(moved, to_several_each_to_the_shortest_queue)
{
	int b, c;

	CALLS(9);
	LISTEN(self->b, 20);
	CALLS(2);
	LISTEN(self->c, 20);
	ASSERT_EQ(2, pending(self->b));
	CLOSE(self->a);
	b = pending(self->b);
	c = pending(self->c);
	EXPECT_EQ(11, b + c);
	EXPECT_LE(b - c, 1);
	EXPECT_LE(c - b, 1);
	EXPECT_EQ(b, in_order(_metadata, self->b, 2));
	/* The first two found the longer queue filled by others. */
	EXPECT_EQ(0, take(self->c));
	EXPECT_EQ(1, take(self->c));
	EXPECT_EQ(c - 2, in_order(_metadata, self->c, 0));
}

/* Who has the shortest queue may have the shortest backlog, too. */
TEST_F(moved, to_who_has_room_before_who_has_less)
{
	CALLS(3);
	LISTEN(self->b, 0);
	CALL();
	ASSERT_EQ(1, pending(self->b));
	LISTEN(self->c, 20);
	CALLS(2);
	ASSERT_EQ(2, pending(self->c));
	CLOSE(self->a);
	EXPECT_EQ(1, pending(self->b));
	EXPECT_EQ(5, pending(self->c));
}

TEST_F(moved, twice)
{
	int i;

	CALLS(5);
	LISTEN(self->b, 20);
	CLOSE(self->a);
	LISTEN(self->c, 20);
	CLOSE(self->b);
	for (i = 0; i < 5; i++)
		EXPECT_EQ(i, take(self->c));
}

TEST_F(moved, also_beyond_the_room_of_who_gets_them)
{
	int i, fd;

	CALLS(10);
	LISTEN(self->b, 0);
	CLOSE(self->a);
	EXPECT_EQ(10, pending(self->b));
	fd = parked_call(self->type);
	ASSERT_FD(fd);
	for (i = 0; i < 10; i++) {
		EXPECT_EQ(0, nym_poll_now(fd, POLLOUT));
		EXPECT_EQ(i, take(self->b));
	}
	EXPECT_EQ(POLLOUT, nym_poll_now(fd, POLLOUT));
	EXPECT_TRUE(took(self->b, fd));
	close(fd);
}

TEST_F(moved, parked_ones_stay_parked_and_move_up)
{
	struct io_thread t = { .fd = scm_socket(self->type) };
	int p[3], i, n;

	ASSERT_OK(listen(self->a, 1));
	LISTEN(self->b, 1);
	CALLS(4);
	for (i = 0; i < 3; i++) {
		p[i] = parked_call(self->type);
		ASSERT_FD(p[i]);
	}
	io_start(&t, do_call);
	ASSERT_TRUE(io_wait_blocked(&t));
	CLOSE(self->a);
	/* Its two and those of the one that left; there is room for two. */
	ASSERT_EQ(4 + 4, pending(self->b));
	for (n = 0; n < 3; n++) {
		for (i = 0; i < 3; i++)
			EXPECT_EQ(0, nym_poll_now(p[i], POLLOUT));
		EXPECT_LE(0, take(self->b));
	}
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(POLLOUT, nym_poll_now(p[i], POLLOUT));
		if (i < 2)
			EXPECT_EQ(0, nym_poll_now(p[i + 1], POLLOUT));
		EXPECT_EQ(0, io_so_error(p[i]));
		EXPECT_TRUE(i ? took(self->b, p[i - 1]) : take(self->b) >= 0);
	}
	EXPECT_EQ(0, io_join(&t));
	EXPECT_TRUE(took(self->b, p[2]));
	EXPECT_TRUE(took(self->b, t.fd));
	close(t.fd);
	for (i = 0; i < 3; i++)
		close(p[i]);
}

/* The room of the one that leaves is what parked calls waited for, too. */
TEST_F(moved, nobody_is_refused_because_a_member_leaves)
{
	int p, i;

	ASSERT_OK(listen(self->a, 0));
	LISTEN(self->b, 0);
	CALLS(2);
	p = parked_call(self->type);
	ASSERT_FD(p);
	CLOSE(self->b);
	EXPECT_EQ(0, nym_poll_now(p, POLLOUT));
	for (i = 0; i < 2; i++)
		EXPECT_LE(0, take(self->a));
	EXPECT_TRUE(took(self->a, p));
	close(p);
}

#define PIECE	1000

TEST_F(moved, with_what_they_have_sent_and_go_on_sending)
{
	__u8 buf[2 * PIECE];
	int fd, i;

	self->client[0] = scm_connect(self->type, name);
	ASSERT_FD(self->client[0]);
	self->ncalls = 1;
	for (i = 0; i < 3; i++)
		ASSERT_EQ(PIECE, send(self->client[0], io_at(i * PIECE), PIECE, 0));
	LISTEN(self->b, 5);
	CLOSE(self->a);
	for (; i < 6; i++)
		ASSERT_EQ(PIECE, send(self->client[0], io_at(i * PIECE), PIECE, 0));
	fd = scm_accept(self->b);
	ASSERT_FD(fd);
	for (i = 0; i < 6; i++) {
		/* Records keep their ends, a stream has none. */
		EXPECT_EQ(PIECE, recv(fd, buf, self->type == SOCK_STREAM ?
						PIECE : 2 * PIECE, 0));
		EXPECT_TRUE(io_is(buf, i * PIECE, PIECE));
	}
	EXPECT_ERRNO(EAGAIN, recv(fd, buf, 1, MSG_DONTWAIT));
	/* And back. */
	EXPECT_EQ(10, send(fd, io_at(0), 10, 0));
	EXPECT_EQ(10, recv(self->client[0], buf, sizeof(buf), 0));
	close(fd);
}

TEST_F(moved, while_a_client_sleeps_in_send)
{
	struct io_thread t = { .len = 500000 };
	long got = 0, len, n;
	__u8 *buf = malloc(65536);
	int fd;

	CALL();
	t.fd = self->client[0];
	if (self->type == SOCK_SEQPACKET) {
		/* A record of half the buffer, twice. */
		t.len = io_sndbuf(t.fd) / 2;
		ASSERT_LT(0, send(t.fd, io_at(0), t.len, 0));
		t.pos = t.len;
		io_start(&t, io_do_send);
	} else {
		io_start(&t, io_do_send_all);
	}
	ASSERT_TRUE(io_wait_blocked(&t));
	LISTEN(self->b, 5);
	CLOSE(self->a);
	EXPECT_TRUE(io_wait_blocked(&t));
	fd = scm_accept(self->b);
	ASSERT_FD(fd);
	len = t.len;
	EXPECT_EQ(1, recv(fd, buf, 1, 0));
	if (self->type == SOCK_SEQPACKET) {
		EXPECT_EQ(len, recv(fd, buf, 65536, MSG_TRUNC));
		EXPECT_TRUE(io_is(buf, 0, 65536));
		EXPECT_EQ(len, recv(fd, buf, 65536, MSG_TRUNC));
		EXPECT_TRUE(io_is(buf, t.pos, 65536));
	} else {
		while (got < len && (n = recv(fd, buf, 65536, 0)) > 0 &&
		       io_is(buf, got, n))
			got += n;
		EXPECT_EQ(len, got);
	}
	EXPECT_EQ(len, io_join(&t));
	close(fd);
	free(buf);
}

TEST_F(moved, while_a_client_sleeps_in_recv)
{
	char c = 0;
	struct io_thread t = { .buf = &c, .len = 1 };
	int fd;

	CALL();
	t.fd = self->client[0];
	io_start(&t, io_do_recv);
	ASSERT_TRUE(io_wait_blocked(&t));
	LISTEN(self->b, 5);
	CLOSE(self->a);
	EXPECT_TRUE(io_wait_blocked(&t));
	fd = scm_accept(self->b);
	ASSERT_FD(fd);
	EXPECT_EQ(1, send(fd, "y", 1, 0));
	EXPECT_EQ(1, io_join(&t));
	EXPECT_EQ('y', c);
	close(fd);
}

/* For the client nothing has happened: it is connected all the time. */
TEST_F(moved, without_the_client_noticing)
{
	int ep = epoll_create1(EPOLL_CLOEXEC), fd;

	CALL();
	ASSERT_OK(watch(ep, self->client[0],
			EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET));
	EXPECT_EQ(EPOLLOUT, happened(ep, 0));
	LISTEN(self->b, 5);
	CLOSE(self->a);
	EXPECT_EQ(0, happened(ep, 50));
	EXPECT_EQ(OUT, io_mask(self->client[0]));
	EXPECT_EQ(0, io_so_error(self->client[0]));
	EXPECT_STREQ(name, nym_peer_name(self->client[0]));
	fd = scm_accept(self->b);
	ASSERT_FD(fd);
	EXPECT_EQ(0, happened(ep, 50));
	EXPECT_STREQ(name, nym_own_name(fd));
	ASSERT_EQ(1, send(fd, "y", 1, 0));
	EXPECT_EQ(EPOLLIN | EPOLLOUT, happened(ep, IO_POLL_MS));
	close(fd);
	close(ep);
}

/* Whoever has given up is still in the queue, with what it has sent. */
TEST_F(moved, when_the_client_has_gone)
{
	char c;
	int fd, i;

	CALLS(3);
	CLOSE(self->client[0]);
	ASSERT_OK(shutdown(self->client[1], SHUT_WR));
	ASSERT_OK(shutdown(self->client[2], SHUT_RDWR));
	LISTEN(self->b, 5);
	CLOSE(self->a);
	EXPECT_EQ(3, pending(self->b));
	for (i = 0; i < 3; i++) {
		fd = scm_accept(self->b);
		ASSERT_FD(fd);
		c = -1;
		EXPECT_EQ(1, recv(fd, &c, 1, 0));
		EXPECT_EQ(i, c);
		EXPECT_EQ(0, recv(fd, &c, 1, 0));
		close(fd);
	}
}

TEST_F(moved, when_the_client_goes_afterwards)
{
	int i;

	CALLS(4);
	LISTEN(self->b, 5);
	CLOSE(self->a);
	CLOSE(self->client[1]);
	CLOSE(self->client[3]);
	for (i = 0; i < 4; i++)
		EXPECT_EQ(i, take(self->b));
}

TEST_F(moved, not_when_a_copy_of_the_descriptor_is_closed)
{
	int copy = dup(self->a);

	CALLS(3);
	LISTEN(self->b, 5);
	close(copy);
	EXPECT_EQ(3, pending(self->a));
	EXPECT_EQ(0, pending(self->b));
}

TEST_F(moved, from_one_that_was_shut_down)
{
	int i;

	CALLS(3);
	LISTEN(self->b, 5);
	ASSERT_OK(shutdown(self->a, SHUT_RD));
	EXPECT_EQ(3, pending(self->a));
	CLOSE(self->a);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(i, take(self->b));
}

/* A listener that takes no calls takes none that move either. */
TEST_F(moved, not_to_one_that_was_shut_down)
{
	CALLS(2);
	LISTEN(self->b, 5);
	LISTEN(self->c, 5);
	ASSERT_OK(shutdown(self->b, SHUT_RD));
	CLOSE(self->a);
	EXPECT_EQ(2, pending(self->c));
	EXPECT_EQ(0, pending(self->b));
	EXPECT_EQ(0, take(self->c));
	EXPECT_EQ(1, take(self->c));
}

TEST_F(moved, when_their_server_is_killed)
{
	pid_t server = fork();
	int i, status;

	if (!server) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	/* Now it is the only one that has the listener. */
	CLOSE(self->a);
	CALLS(5);
	LISTEN(self->b, 5);
	EXPECT_EQ(0, pending(self->b));
	ASSERT_OK(kill(server, SIGKILL));
	ASSERT_EQ(server, waitpid(server, &status, 0));
	for (i = 0; i < 5; i++)
		EXPECT_EQ(i, take(self->b));
}

static int peer_pid(int fd)
{
	struct ucred cred = { .pid = -1 };
	socklen_t len = sizeof(cred);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) ? -1 : cred.pid;
}

/* Until the call is accepted, the client sees who listens where it is. */
TEST_F(moved, and_the_client_sees_who_listens)
{
	pid_t server;
	int ready[2];
	char c;

	CALL();
	EXPECT_EQ(getpid(), peer_pid(self->client[0]));
	ASSERT_OK(pipe2(ready, O_CLOEXEC));
	server = fork();
	if (!server) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(self->a);
		if (member_listen(self->type, 5) >= 0 &&
		    write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	ASSERT_EQ(1, read(ready[0], &c, 1));
	CLOSE(self->a);
	EXPECT_EQ(server, peer_pid(self->client[0]));
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	EXPECT_TRUE(is_reset(self->client[0]));
	close(ready[0]);
	close(ready[1]);
}

/* Calls, sends five bytes, and stays until it is killed. */
static void call_and_wait(int type, int ready)
{
	int fd;

	/* A change of user would undo the other. */
	if (nym_become(&nobody) || prctl(PR_SET_PDEATHSIG, SIGKILL))
		_exit(1);
	fd = scm_connect(type, name);
	if (fd >= 0 && send(fd, "hello", 5, 0) == 5 && write(ready, "x", 1) == 1)
		pause();
	_exit(1);
}

/* Nobody asked for credentials where the call was at first. */
TEST_F(moved, with_the_credentials_of_who_called)
{
	struct ucred cred = { .pid = -1 };
	socklen_t len = sizeof(cred);
	struct scm_in in;
	int ready[2], fd;
	pid_t client;
	char buf[8];

	ASSERT_OK(fchmod(self->a, 0666));
	ASSERT_OK(pipe2(ready, O_CLOEXEC));
	client = fork();
	if (!client) {
		close(self->a);
		call_and_wait(self->type, ready[1]);
	}
	ASSERT_EQ(1, read(ready[0], buf, 1));
	LISTEN(self->b, 5);
	ASSERT_OK(nym_option(self->b, NYM_PASSCRED, 1));
	CLOSE(self->a);
	fd = scm_accept(self->b);
	ASSERT_FD(fd);
	EXPECT_OK(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len));
	EXPECT_EQ(client, cred.pid);
	EXPECT_EQ(NYM_NOBODY, (int)cred.uid);
	EXPECT_EQ(5, scm_recv(fd, buf, sizeof(buf), 0, &in));
	EXPECT_EQ(1, in.ncreds);
	EXPECT_EQ(client, in.cred.pid);
	EXPECT_EQ(NYM_NOBODY, (int)in.cred.uid);
	EXPECT_EQ(NYM_NOBODY, (int)in.cred.gid);
	kill(client, SIGKILL);
	waitpid(client, NULL, 0);
	close(fd);
	close(ready[0]);
	close(ready[1]);
}

#define FILES	3

/* Pipes whose writing ends are sent and closed here. */
struct files {
	int reader[FILES];
};

/* A call, with three messages of one byte and one descriptor each. */
static int call_with_files(int type, struct files *files)
{
	int client = scm_connect(type, name), p[2], i;

	for (i = 0; client >= 0 && i < FILES; i++) {
		if (pipe2(p, O_CLOEXEC))
			return nym_give_up(client);
		files->reader[i] = p[0];
		if (scm_send_fds(client, &(char){ i }, 1, &p[1], 1, 0) != 1)
			return nym_give_up(client);
		close(p[1]);
	}
	return client;
}

/* They arrive, each with its byte, and are what was sent. */
static void files_arrive(struct __test_metadata *_metadata, int fd,
			 struct files *files)
{
	struct scm_in in;
	char c;
	int i;

	for (i = 0; i < FILES; i++) {
		c = -1;
		EXPECT_EQ(1, scm_recv(fd, &c, 1, MSG_CMSG_CLOEXEC, &in));
		EXPECT_EQ(i, c);
		ASSERT_EQ(1, in.nfds);
		EXPECT_TRUE(scm_has_writer(files->reader[i]));
		EXPECT_EQ(1, write(in.fds[0], &c, 1));
		c = -1;
		EXPECT_EQ(1, read(files->reader[i], &c, 1));
		EXPECT_EQ(i, c);
		scm_close(&in);
		EXPECT_TRUE(scm_has_no_writer(files->reader[i]));
		close(files->reader[i]);
	}
}

static void files_are_gone(struct __test_metadata *_metadata, struct files *files)
{
	int i;

	for (i = 0; i < FILES; i++) {
		EXPECT_TRUE(scm_has_no_writer(files->reader[i]));
		close(files->reader[i]);
	}
}

TEST_F(moved, with_descriptors)
{
	struct files files;
	int client, fd;

	ASSERT_OK(scm_pass_rights(self->a, 1));
	client = call_with_files(self->type, &files);
	ASSERT_FD(client);
	LISTEN(self->b, 5);
	ASSERT_OK(scm_pass_rights(self->b, 1));
	CLOSE(self->a);
	fd = scm_accept(self->b);
	ASSERT_FD(fd);
	files_arrive(_metadata, fd, &files);
	close(fd);
	close(client);
}

/* What comes with them is for everybody, they are not. */
TEST_F(moved, with_descriptors_to_one_that_wants_none)
{
	struct files files;
	int client, fd, i;
	struct scm_in in;
	char c;

	ASSERT_OK(scm_pass_rights(self->a, 1));
	client = call_with_files(self->type, &files);
	ASSERT_FD(client);
	LISTEN(self->b, 5);
	CLOSE(self->a);
	/* From now on it is told at once. */
	EXPECT_ERRNO(EPERM, scm_send_fd(client, 0));
	fd = scm_accept(self->b);
	ASSERT_FD(fd);
	for (i = 0; i < FILES; i++) {
		c = -1;
		EXPECT_EQ(1, scm_recv(fd, &c, 1, 0, &in));
		EXPECT_EQ(i, c);
		EXPECT_EQ(0, in.nfds);
	}
	files_are_gone(_metadata, &files);
	close(fd);
	close(client);
}

/* Sockets, which the kernel counts for each queue that they are in. */
TEST_F(moved, with_nym_sockets)
{
	int x[2], i, fd, got;
	char c;

	ASSERT_OK(scm_pass_rights(self->a, 1));
	CALLS(2);
	for (i = 0; i < 2; i++) {
		ASSERT_OK(scm_pair(SOCK_STREAM, x));
		ASSERT_EQ(1, scm_send_fd(self->client[i], x[0]));
		close(x[0]);
	}
	LISTEN(self->b, 5);
	ASSERT_OK(scm_pass_rights(self->b, 1));
	CLOSE(self->a);
	CLOSE(self->client[0]);
	CLOSE(self->client[1]);
	for (i = 0; i < 2; i++) {
		fd = scm_accept(self->b);
		ASSERT_FD(fd);
		EXPECT_EQ(1, recv(fd, &c, 1, 0));
		got = scm_recv_fd(fd);
		ASSERT_FD(got);
		/* The last pair is the one whose other end is here. */
		if (i) {
			EXPECT_EQ(1, send(x[1], "y", 1, 0));
			EXPECT_EQ(1, recv(got, &c, 1, MSG_DONTWAIT));
			/* It may be sent on: it is not in flight any more. */
			EXPECT_EQ(1, scm_send_fd(x[1], fd));
		}
		close(got);
		close(fd);
	}
	close(x[1]);
}

TEST_F(moved, nowhere_if_it_was_the_last)
{
	struct io_thread t = { .fd = scm_socket(self->type) };
	struct files files;
	int parked, sender;

	ASSERT_OK(listen(self->a, 1));
	ASSERT_OK(scm_pass_rights(self->a, 1));
	CALL();
	sender = call_with_files(self->type, &files);
	ASSERT_FD(sender);
	parked = parked_call(self->type);
	ASSERT_FD(parked);
	io_start(&t, do_call);
	ASSERT_TRUE(io_wait_blocked(&t));
	CLOSE(self->a);
	EXPECT_SAME_ERRNO(0, nym_bind_as(&nobody, name));
	EXPECT_EQ(RESET, io_mask(self->client[0]));
	EXPECT_TRUE(is_reset(self->client[0]));
	EXPECT_ERRNO(EPIPE, send(self->client[0], "x", 1, MSG_NOSIGNAL));
	files_are_gone(_metadata, &files);
	EXPECT_EQ(REFUSED, io_mask(parked));
	EXPECT_EQ(ECONNREFUSED, io_so_error(parked));
	EXPECT_EQ(-1, io_join(&t));
	EXPECT_SAME_ERRNO(ECONNREFUSED, t.err);
	close(t.fd);
	close(parked);
	close(sender);
}

/* --- Calls that wait for a member to listen --- */

TEST_F(moved, to_nobody_yet)
{
	char c = 0;
	struct io_thread t = { .buf = &c, .len = 1 };
	int i, fd;

	CALLS(3);
	self->b = member(self->type);
	ASSERT_FD(self->b);
	t.fd = self->client[2];
	io_start(&t, io_do_recv);
	ASSERT_TRUE(io_wait_blocked(&t));
	CLOSE(self->a);
	/* They are connected, and so they stay. */
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(OUT, io_mask(self->client[i]));
		EXPECT_EQ(0, io_so_error(self->client[i]));
		EXPECT_EQ(4, send(self->client[i], "more", 4, MSG_DONTWAIT));
	}
	EXPECT_TRUE(io_wait_blocked(&t));
	EXPECT_STREQ(name, nym_peer_name(self->client[0]));
	/* Whoever calls now finds that nobody listens. */
	EXPECT_ERRNO(ECONNREFUSED, scm_connect(self->type, name));
	ASSERT_OK(listen(self->b, 0));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(i, take(self->b));
	fd = scm_accept(self->b);
	ASSERT_FD(fd);
	EXPECT_EQ(1, send(fd, "y", 1, 0));
	EXPECT_EQ(1, io_join(&t));
	EXPECT_EQ('y', c);
	close(fd);
	EXPECT_EQ(-EAGAIN, take(self->b));
	CALL();
	EXPECT_EQ(3, take(self->b));
}

/* The one that listens first, whichever it is. */
TEST_F(moved, to_nobody_yet_and_then_to_the_first_that_listens)
{
	int i;

	CALLS(3);
	self->b = member(self->type);
	self->c = member(self->type);
	ASSERT_FD(self->c);
	CLOSE(self->a);
	ASSERT_OK(listen(self->c, 5));
	EXPECT_EQ(3, pending(self->c));
	ASSERT_OK(listen(self->b, 5));
	EXPECT_EQ(0, pending(self->b));
	for (i = 0; i < 3; i++)
		EXPECT_EQ(i, take(self->c));
}

TEST_F(moved, to_nobody_yet_from_several)
{
	int i;

	CALLS(3);
	LISTEN(self->b, 5);
	CALLS(2);
	ASSERT_EQ(2, pending(self->b));
	self->c = member(self->type);
	ASSERT_FD(self->c);
	ASSERT_OK(shutdown(self->b, SHUT_RD));
	CLOSE(self->a);
	CLOSE(self->b);
	ASSERT_OK(listen(self->c, 1));
	for (i = 0; i < 5; i++)
		EXPECT_EQ(i, take(self->c));
}

TEST_F(moved, to_nobody_ever)
{
	struct files files;
	int i, sender;

	ASSERT_OK(scm_pass_rights(self->a, 1));
	CALLS(3);
	sender = call_with_files(self->type, &files);
	ASSERT_FD(sender);
	self->b = member(self->type);
	self->c = member(self->type);
	ASSERT_FD(self->c);
	CLOSE(self->a);
	CLOSE(self->c);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(OUT, io_mask(self->client[i]));
	CLOSE(self->b);
	for (i = 0; i < 3; i++)
		EXPECT_TRUE(is_reset(self->client[i]));
	EXPECT_TRUE(is_reset(sender));
	files_are_gone(_metadata, &files);
	EXPECT_SAME_ERRNO(0, nym_bind_as(&nobody, name));
	close(sender);
}

TEST_F(moved, to_nobody_yet_when_clients_go)
{
	int i;

	CALLS(5);
	self->b = member(self->type);
	ASSERT_FD(self->b);
	CLOSE(self->client[0]);
	CLOSE(self->a);
	CLOSE(self->client[2]);
	CLOSE(self->client[4]);
	ASSERT_OK(listen(self->b, 5));
	for (i = 0; i < 5; i++)
		EXPECT_EQ(i, take(self->b));
}

TEST_F(moved, to_nobody_yet_with_descriptors)
{
	struct files files;
	int sender, fd, p[2];

	ASSERT_OK(scm_pass_rights(self->a, 1));
	sender = call_with_files(self->type, &files);
	ASSERT_FD(sender);
	self->b = member(self->type);
	ASSERT_FD(self->b);
	ASSERT_OK(scm_pass_rights(self->b, 1));
	CLOSE(self->a);
	/* It may go on sending them meanwhile. */
	ASSERT_OK(pipe2(p, O_CLOEXEC));
	EXPECT_EQ(1, scm_send_fd(sender, p[1]));
	close(p[1]);
	EXPECT_TRUE(scm_has_writer(p[0]));
	ASSERT_OK(listen(self->b, 5));
	fd = scm_accept(self->b);
	ASSERT_FD(fd);
	files_arrive(_metadata, fd, &files);
	close(fd);
	EXPECT_TRUE(scm_has_no_writer(p[0]));
	close(p[0]);
	close(sender);
}

/* As long as the name has a member, somebody may still let them in. */
TEST_F(moved, to_nobody_yet_and_parked_ones_stay_parked)
{
	struct io_thread t = { .fd = scm_socket(self->type) };
	int parked;

	ASSERT_OK(listen(self->a, 0));
	CALL();
	parked = parked_call(self->type);
	ASSERT_FD(parked);
	io_start(&t, do_call);
	ASSERT_TRUE(io_wait_blocked(&t));
	self->b = member(self->type);
	ASSERT_FD(self->b);
	CLOSE(self->a);
	EXPECT_EQ(0, io_mask(parked));
	EXPECT_TRUE(io_wait_blocked(&t));
	ASSERT_OK(listen(self->b, 5));
	EXPECT_EQ(0, io_join(&t));
	EXPECT_EQ(0, take(self->b));
	EXPECT_TRUE(took(self->b, parked));
	EXPECT_TRUE(took(self->b, t.fd));
	close(t.fd);
	close(parked);
}

/* --- Sockets in flight --- */

FIXTURE(flight)
{
	int a;
	int b;
	int mail[2];	/* what is sent into one end is in flight */
	int x[2];	/* x[0] is what calls carry */
};

FIXTURE_SETUP(flight)
{
	BEGIN();
	self->a = member_listen(SOCK_STREAM, 5);
	ASSERT_FD(self->a);
	ASSERT_OK(scm_pass_rights(self->a, 1));
	self->b = member(SOCK_STREAM);
	ASSERT_FD(self->b);
	ASSERT_OK(scm_pass_rights(self->b, 1));
	ASSERT_OK(scm_pair(SOCK_STREAM, self->mail));
	ASSERT_OK(scm_pair(SOCK_STREAM, self->x));
}

FIXTURE_TEARDOWN(flight)
{
	close(self->a);
	close(self->b);
	close(self->mail[0]);
	close(self->mail[1]);
	close(self->x[0]);
	close(self->x[1]);
}

/* A call that carries @fd. */
static int call_with(int fd)
{
	int client = nym_connect(name);

	return client >= 0 && scm_send_fd(client, fd) != 1 ?
		nym_give_up(client) : client;
}

/* The other end of a pair has gone for good. */
static bool is_gone(int fd)
{
	return nym_poll_wait(fd, POLLIN) & POLLHUP;
}

/* The name is free; it may linger first, or files may have yet to be closed. */
static bool comes_free(void)
{
	long end = nym_now_ms() + NYM_BRIEF_MS + NYM_PATIENCE_MS;

	while (nym_bind_as(&nobody, name)) {
		if (nym_now_ms() > end)
			return false;
		nym_nap();
	}
	return true;
}

/* A descriptor that is no nym socket may go anywhere. */
TEST_F(flight, a_pipe_moves_to_a_member_in_flight)
{
	struct files files;
	int client = call_with_files(SOCK_STREAM, &files), fd;

	ASSERT_FD(client);
	ASSERT_EQ(1, scm_send_fd(self->mail[0], self->b));
	CLOSE(self->a);
	ASSERT_OK(listen(self->b, 5));
	fd = scm_accept(self->b);
	ASSERT_FD(fd);
	files_arrive(_metadata, fd, &files);
	close(fd);
	close(client);
}

TEST_F(flight, a_nym_socket_does_not_move_to_a_member_in_flight)
{
	int client = call_with(self->x[0]), other = nym_connect(name);

	ASSERT_FD(client);
	ASSERT_FD(other);
	CLOSE(self->x[0]);
	ASSERT_EQ(1, scm_send_fd(self->mail[0], self->b));
	ASSERT_OK(listen(self->b, 5));
	CLOSE(self->a);
	/* Calls without sockets move. */
	EXPECT_TRUE(took(self->b, other));
	EXPECT_EQ(-EAGAIN, take(self->b));
	CLOSE(self->b);
	CLOSE(self->mail[0]);
	CLOSE(self->mail[1]);
	EXPECT_TRUE(is_reset(client));
	EXPECT_TRUE(is_gone(self->x[1]));
	EXPECT_TRUE(comes_free());
	close(client);
	close(other);
}

/* There is one that may have it, though its queue is longer. */
TEST_F(flight, a_nym_socket_moves_to_a_member_that_is_not_in_flight)
{
	int client = call_with(self->x[0]), other, c, fd, got;

	ASSERT_FD(client);
	c = member_listen(SOCK_STREAM, 5);
	ASSERT_FD(c);
	ASSERT_OK(scm_pass_rights(c, 1));
	other = nym_connect(name);
	ASSERT_FD(other);
	ASSERT_EQ(1, pending(c));
	ASSERT_OK(listen(self->b, 5));
	ASSERT_EQ(1, scm_send_fd(self->mail[0], self->b));
	CLOSE(self->a);
	EXPECT_EQ(OUT, io_mask(client));
	EXPECT_TRUE(took(c, other));
	fd = scm_accept(c);
	EXPECT_LE(0, fd);
	got = fd < 0 ? -1 : scm_recv_fd(fd);
	EXPECT_LE(0, got);
	close(got);
	close(fd);
	close(c);
	close(client);
	close(other);
}

/* The member lives only in the queue of the one that leaves. */
TEST_F(flight, a_member_does_not_move_into_its_own_queue)
{
	int client = call_with(self->b);

	ASSERT_FD(client);
	ASSERT_OK(listen(self->b, 5));
	CLOSE(self->b);
	CLOSE(self->a);
	EXPECT_TRUE(is_reset(client));
	EXPECT_TRUE(comes_free());
	close(client);
}

/*
 * Nor if it would have to wait until somebody listens: who could is in the call.
 * Calls without sockets wait.
 */
TEST_F(flight, a_member_does_not_adopt_itself)
{
	int client = call_with(self->b), other = nym_connect(name);

	ASSERT_FD(client);
	ASSERT_FD(other);
	CLOSE(self->a);
	EXPECT_TRUE(is_reset(client));
	EXPECT_EQ(OUT, io_mask(other));
	ASSERT_OK(listen(self->b, 5));
	EXPECT_TRUE(took(self->b, other));
	EXPECT_EQ(-EAGAIN, take(self->b));
	CLOSE(self->b);
	EXPECT_TRUE(comes_free());
	close(client);
	close(other);
}

/* Nobody can listen with it: the call that waits for a listener has it. */
TEST_F(flight, a_member_in_a_call_that_waits_for_it_does_not_leak)
{
	int client = call_with(self->b);

	ASSERT_FD(client);
	CLOSE(self->b);
	CLOSE(self->a);
	EXPECT_TRUE(is_reset(client));
	EXPECT_TRUE(comes_free());
	close(client);
}

/* As long as the name lingers, it may: that ends. */
TEST_F(flight, a_nym_socket_waits_for_a_successor)
{
	int client, fd, got;

	CLOSE(self->b);
	ASSERT_OK(nym_option(self->a, NYM_LINGER, 60000));
	client = call_with(self->x[0]);
	ASSERT_FD(client);
	CLOSE(self->x[0]);
	CLOSE(self->a);
	EXPECT_EQ(OUT, io_mask(client));
	/* In between, no more can be put there. */
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(client, self->x[1]));
	self->a = member_listen(SOCK_STREAM, 5);
	ASSERT_FD(self->a);
	ASSERT_OK(scm_pass_rights(self->a, 1));
	fd = scm_accept(self->a);
	ASSERT_FD(fd);
	got = scm_recv_fd(fd);
	ASSERT_FD(got);
	close(got);
	EXPECT_TRUE(is_gone(self->x[1]));
	close(fd);
	close(client);
}

/* When it ends, nobody is left to close what is in the calls. */
TEST_F(flight, a_nym_socket_does_not_wait_longer_than_the_name_lingers)
{
	int client;

	ASSERT_OK(nym_option(self->a, NYM_LINGER, NYM_BRIEF_MS));
	client = call_with(self->b);
	ASSERT_FD(client);
	CLOSE(self->a);
	/* From now on only the call has it. */
	CLOSE(self->b);
	EXPECT_EQ(OUT, io_mask(client));
	EXPECT_LT(0, io_poll_wait(client, POLLIN));
	EXPECT_TRUE(is_reset(client));
	EXPECT_TRUE(comes_free());
	close(client);
}

/* The same with two names, whose calls have each other's member. */
TEST_F(flight, two_names_do_not_wait_for_each_other)
{
	char first[sizeof(name)];
	int other[2], client[2];

	snprintf(first, sizeof(first), "%s", name);
	strcat(name, "/2");
	other[0] = member_listen(SOCK_STREAM, 5);
	other[1] = member(SOCK_STREAM);
	ASSERT_FD(other[1]);
	ASSERT_OK(scm_pass_rights(other[0], 1));
	client[0] = call_with(self->b);
	ASSERT_FD(client[0]);
	strcpy(name, first);
	client[1] = call_with(other[1]);
	ASSERT_FD(client[1]);
	CLOSE(self->a);
	close(other[0]);
	/* Each of these is only in a call for the name of the other. */
	CLOSE(self->b);
	close(other[1]);
	close(client[0]);
	close(client[1]);
	EXPECT_TRUE(comes_free());
	strcat(name, "/2");
	EXPECT_TRUE(comes_free());
}

TEST_F(flight, two_listeners_do_not_carry_each_other)
{
	int one, two;

	one = call_with(self->b);
	ASSERT_FD(one);
	ASSERT_OK(listen(self->b, 5));
	two = nym_connect(name);
	ASSERT_FD(two);
	ASSERT_EQ(1, pending(self->b));
	EXPECT_ERRNO(ETOOMANYREFS, scm_send_fd(two, self->a));
	CLOSE(self->b);
	CLOSE(self->a);
	EXPECT_TRUE(is_reset(one));
	EXPECT_TRUE(is_reset(two));
	EXPECT_TRUE(comes_free());
	close(one);
	close(two);
}

/* While it moves, who it goes to is sent away: one of the two comes first. */
TEST_F(flight, moving_against_sending_the_heir)
{
	long end = nym_now_ms() + 1000;
	int rounds;

	ASSERT_OK(listen(self->b, 5));
	for (rounds = 0; nym_now_ms() < end; rounds++) {
		struct io_thread t = { .fd = self->mail[0], .flags = MSG_DONTWAIT,
				       .arg = &self->b };
		int client, fd, got;

		/* The shorter queue is that of a, or it is its turn. */
		client = call_with(self->x[0]);
		ASSERT_FD(client);
		if (pending(self->b)) {
			fd = scm_accept(self->b);
			close(fd);
			close(client);
			continue;
		}
		io_start(&t, scm_do_send_fd);
		CLOSE(self->a);
		ASSERT_EQ(1, io_join(&t) == 1 || t.err == ETOOMANYREFS);
		fd = scm_accept(self->b);
		/* In flight or with a nym socket in its queue, never both. */
		if (fd >= 0) {
			got = scm_recv_fd(fd);
			EXPECT_LE(0, got);
			close(got);
			close(fd);
		} else {
			EXPECT_TRUE(is_reset(client));
		}
		if (t.ret == 1) {
			got = scm_recv_fd(self->mail[1]);
			EXPECT_LE(0, got);
			close(got);
		}
		close(client);
		self->a = member_listen(SOCK_STREAM, 5);
		ASSERT_FD(self->a);
		ASSERT_OK(scm_pass_rights(self->a, 1));
	}
	TH_LOG("%d rounds", rounds);
}

/* --- Names that linger --- */

/* Who listens ends it; if it was this user's. */
static void end_lingering(void)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET };
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		fd = scm_bound(types[i], name);
		if (fd >= 0)
			listen(fd, 0);
		close(fd);
	}
}

FIXTURE(linger)
{
	int l;		/* a non-blocking listener whose name will linger */
	int c;		/* a pending call that has sent the byte 7 */
};

FIXTURE_SETUP(linger)
{
	BEGIN();
	self->l = member_listen(SOCK_STREAM, 5);
	ASSERT_FD(self->l);
	ASSERT_OK(nym_option(self->l, NYM_LINGER, LONG));
	self->c = nym_connect(name);
	ASSERT_FD(self->c);
	ASSERT_EQ(1, send(self->c, "\7", 1, 0));
}

FIXTURE_TEARDOWN(linger)
{
	close(self->l);
	close(self->c);
	end_lingering();
}

TEST_F(linger, values_of_the_option)
{
	static const int bad[] = { -1, MOST + 1, INT_MAX, INT_MIN };
	static const int good[] = { 1, MOST, 0, 1000 };
	int fd = nym_socket(), value = 5;
	size_t i;

	EXPECT_EQ(0, scm_option(fd, NYM_LINGER));
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		EXPECT_OK(nym_option(fd, NYM_LINGER, good[i]));
		EXPECT_EQ(good[i], scm_option(fd, NYM_LINGER));
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_ERRNO(EINVAL, nym_option(fd, NYM_LINGER, bad[i]));
	EXPECT_ERRNO(EINVAL, setsockopt(fd, SOL_NYM, NYM_LINGER, &value, 3));
	EXPECT_ERRNO(EFAULT, setsockopt(fd, SOL_NYM, NYM_LINGER, (void *)8, 4));
	EXPECT_EQ(1000, scm_option(fd, NYM_LINGER));
	close(fd);
}

TEST_F(linger, the_name_is_kept_for_its_owner)
{
	static const struct nym_who admin = {
		.uid = NYM_NOBODY, .gid = NYM_NOBODY, .caps = ~0ULL,
	};

	CLOSE(self->l);
	EXPECT_SAME_ERRNO(EADDRINUSE, nym_bind_as(&nobody, name));
	EXPECT_SAME_ERRNO(EADDRINUSE, nym_bind_as(&admin, name));
	self->l = nym_listen(name, 0);
	EXPECT_LE(0, self->l);
	/* It has an owner again, who does not share. */
	EXPECT_SAME_ERRNO(EADDRINUSE, nym_bind_as(NULL, name));
	CLOSE(self->l);
	EXPECT_SAME_ERRNO(0, nym_bind_as(&nobody, name));
}

static int bind_and_linger(void *ms)
{
	int fd = nym_socket();

	return nym_option(fd, NYM_LINGER, (intptr_t)ms) || nym_bind(fd, name) ||
	       listen(fd, 0) ? errno : 0;
}

TEST_F(linger, also_from_root)
{
	CLOSE(self->l);
	end_lingering();
	ASSERT_EQ(0, nym_errno_as(&nobody, bind_and_linger, (void *)LONG));
	EXPECT_ERRNO(EADDRINUSE, nym_bound(name));
	EXPECT_SAME_ERRNO(0, nym_errno_as(&nobody, bind_and_linger, (void *)0));
	self->l = nym_bound(name);
	EXPECT_LE(0, self->l);
}

/* The owner is that of the socket. */
TEST_F(linger, for_the_sockets_owner)
{
	int fd = nym_socket();

	CLOSE(self->l);
	end_lingering();
	ASSERT_OK(fchown(fd, NYM_NOBODY, -1));
	ASSERT_OK(nym_option(fd, NYM_LINGER, LONG));
	ASSERT_OK(nym_bind(fd, name));
	close(fd);
	EXPECT_ERRNO(EADDRINUSE, nym_bound(name));
	fd = nym_socket();
	ASSERT_OK(fchown(fd, NYM_NOBODY, -1));
	EXPECT_OK(nym_bind(fd, name));
	EXPECT_OK(listen(fd, 0));
	close(fd);
}

/* The value counts when the socket is closed. */
TEST_F(linger, not_if_the_value_is_0_in_the_end)
{
	ASSERT_OK(nym_option(self->l, NYM_LINGER, 0));
	CLOSE(self->l);
	EXPECT_SAME_ERRNO(0, nym_bind_as(&nobody, name));
	EXPECT_TRUE(is_reset(self->c));
}

/* Only the last one matters. */
TEST_F(linger, as_the_last_member_says)
{
	int other = member(SOCK_STREAM);

	ASSERT_FD(other);
	ASSERT_OK(listen(other, 5));
	CLOSE(self->l);
	EXPECT_SAME_ERRNO(EADDRINUSE, nym_bind_as(&nobody, name));
	EXPECT_EQ(OUT, io_mask(self->c));
	close(other);
	EXPECT_SAME_ERRNO(0, nym_bind_as(&nobody, name));
	EXPECT_TRUE(is_reset(self->c));

	self->l = member_listen(SOCK_STREAM, 5);
	other = member_listen(SOCK_STREAM, 5);
	ASSERT_OK(nym_option(other, NYM_LINGER, LONG));
	CLOSE(self->l);
	close(other);
	EXPECT_SAME_ERRNO(EADDRINUSE, nym_bind_as(&nobody, name));
}

/* Closes the listener; gives how long its name is taken. */
static long time_it_lingers(struct __test_metadata *_metadata, int *listener)
{
	long begin = nym_now_ms(), took_ms;

	EXPECT_OK(nym_option(*listener, NYM_LINGER, NYM_BRIEF_MS));
	CLOSE(*listener);
	EXPECT_SAME_ERRNO(EADDRINUSE, nym_bind_as(&nobody, name));
	EXPECT_TRUE(comes_free());
	took_ms = nym_now_ms() - begin;
	EXPECT_LE(NYM_BRIEF_MS, took_ms);
	return took_ms;
}

/* A machine that stalls sees the end too late, but not every time. */
TEST_F(linger, not_longer_and_not_shorter_than_that)
{
	long took_ms = time_it_lingers(_metadata, &self->l);
	int i;

	EXPECT_TRUE(is_reset(self->c));
	for (i = 0; i < 4 && took_ms >= 3 * NYM_BRIEF_MS; i++) {
		self->l = member_listen(SOCK_STREAM, 5);
		ASSERT_FD(self->l);
		took_ms = time_it_lingers(_metadata, &self->l);
	}
	EXPECT_GT(3 * NYM_BRIEF_MS, took_ms);
}

/* Names come and linger all the time, for longer than the one that is over. */
static long linger_often(struct io_thread *t)
{
	long n = 0;

	while (!__atomic_load_n((bool *)t->arg, __ATOMIC_ACQUIRE)) {
		int fd = scm_socket(SOCK_STREAM);

		/* A child that asks for the other name may have the one before. */
		if (nym_option(fd, NYM_LINGER, MOST) ||
		    (nym_bind(fd, "t/often") && errno != EADDRINUSE))
			return -1;
		close(fd);
		n++;
	}
	return n;
}

TEST_F(linger, others_do_not_put_off_its_end)
{
	bool stop = false;
	struct io_thread t = { .arg = &stop };

	ASSERT_OK(nym_option(self->l, NYM_LINGER, 300));
	io_start(&t, linger_often);
	CLOSE(self->l);
	EXPECT_TRUE(comes_free());
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	EXPECT_LT(0, io_join(&t));
	close(nym_listen("t/often", 0));
}

TEST_F(linger, a_bound_socket_that_never_listened_lingers_too)
{
	int fd;

	CLOSE(self->l);
	end_lingering();
	self->l = nym_bound(name);
	ASSERT_FD(self->l);
	ASSERT_OK(nym_option(self->l, NYM_LINGER, LONG));
	EXPECT_ERRNO(ECONNREFUSED, nym_connect(name));
	CLOSE(self->l);
	EXPECT_SAME_ERRNO(EADDRINUSE, nym_bind_as(&nobody, name));
	fd = parked_call(SOCK_STREAM);
	ASSERT_FD(fd);
	self->l = member_listen(SOCK_STREAM, 5);
	ASSERT_FD(self->l);
	EXPECT_EQ(POLLOUT, nym_poll_now(fd, POLLOUT));
	EXPECT_TRUE(took(self->l, fd));
	close(fd);
}

TEST_F(linger, pending_calls_stay_connected)
{
	int ep = epoll_create1(EPOLL_CLOEXEC), fd;
	char buf[8];

	ASSERT_OK(watch(ep, self->c, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET));
	ASSERT_EQ(EPOLLOUT, happened(ep, 0));
	CLOSE(self->l);
	EXPECT_EQ(0, happened(ep, 50));
	EXPECT_EQ(OUT, io_mask(self->c));
	EXPECT_STREQ(name, nym_peer_name(self->c));
	EXPECT_EQ(2, send(self->c, "ab", 2, MSG_DONTWAIT));
	EXPECT_ERRNO(EISCONN, nym_call(self->c, name));
	self->l = member_listen(SOCK_STREAM, 0);
	ASSERT_FD(self->l);
	EXPECT_EQ(0, happened(ep, 50));
	fd = scm_accept(self->l);
	ASSERT_FD(fd);
	EXPECT_EQ(3, recv(fd, buf, sizeof(buf), 0));
	EXPECT_EQ(0, memcmp(buf, "\7ab", 3));
	EXPECT_EQ(1, send(fd, "y", 1, 0));
	EXPECT_EQ(EPOLLIN | EPOLLOUT, happened(ep, IO_POLL_MS));
	close(fd);
	close(ep);
}

TEST_F(linger, new_calls_are_parked)
{
	struct io_thread t = { .fd = nym_socket() };
	int fd;

	CLOSE(self->l);
	fd = parked_call(SOCK_STREAM);
	ASSERT_FD(fd);
	EXPECT_ERRNO(EALREADY, nym_call(fd, name));
	EXPECT_EQ(0, io_mask(fd));
	EXPECT_EQ(0, io_so_error(fd));
	EXPECT_ERRNO(ENOTCONN, send(fd, "x", 1, MSG_NOSIGNAL));
	io_start(&t, do_call);
	ASSERT_TRUE(io_wait_blocked(&t));
	self->l = member_listen(SOCK_STREAM, 5);
	ASSERT_FD(self->l);
	EXPECT_EQ(0, io_join(&t));
	EXPECT_EQ(OUT, io_mask(fd));
	EXPECT_OK(nym_call(fd, name));
	EXPECT_ERRNO(EISCONN, nym_call(fd, name));
	EXPECT_EQ(7, take(self->l));
	EXPECT_TRUE(took(self->l, fd));
	EXPECT_TRUE(took(self->l, t.fd));
	close(t.fd);
	close(fd);
}

TEST_F(linger, a_parked_caller_times_out)
{
	int fd = nym_socket();
	long begin;

	CLOSE(self->l);
	ASSERT_OK(nym_set_timeout(fd, SO_SNDTIMEO, 100));
	begin = nym_now_ms();
	EXPECT_ERRNO(EAGAIN, nym_call(fd, name));
	EXPECT_LE(NYM_TICKED(100), nym_now_ms() - begin);
	/* It can call again. */
	EXPECT_ERRNO(EAGAIN, nym_call(fd, name));
	close(fd);
}

static void on_signal(int sig)
{
}

TEST_F(linger, a_parked_caller_is_interrupted)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct io_thread t = { .fd = nym_socket() };

	ASSERT_OK(sigaction(SIGUSR1, &sa, NULL));
	CLOSE(self->l);
	io_start(&t, do_call);
	ASSERT_TRUE(io_wait_blocked(&t));
	pthread_kill(t.thread, SIGUSR1);
	EXPECT_EQ(-1, io_join(&t));
	EXPECT_SAME_ERRNO(EINTR, t.err);
	/* It is not there any more. */
	self->l = member_listen(SOCK_STREAM, 5);
	ASSERT_FD(self->l);
	EXPECT_EQ(7, take(self->l));
	EXPECT_EQ(-EAGAIN, take(self->l));
	close(t.fd);
}

TEST_F(linger, a_parked_caller_that_closes_is_forgotten)
{
	int fd, other;

	CLOSE(self->l);
	fd = parked_call(SOCK_STREAM);
	ASSERT_FD(fd);
	other = parked_call(SOCK_STREAM);
	ASSERT_FD(other);
	close(fd);
	self->l = member_listen(SOCK_STREAM, 5);
	ASSERT_FD(self->l);
	EXPECT_EQ(7, take(self->l));
	EXPECT_TRUE(took(self->l, other));
	EXPECT_EQ(-EAGAIN, take(self->l));
	close(other);
}

TEST_F(linger, the_oldest_is_served_first)
{
	int fd[6], i;

	ASSERT_OK(listen(self->l, 2));
	for (i = 0; i < 6; i++) {
		/* Pending with the one of the setup, parked, and after the end. */
		if (i == 4)
			CLOSE(self->l);
		fd[i] = i < 2 ? nym_connect(name) : parked_call(SOCK_STREAM);
		ASSERT_FD(fd[i]);
	}
	self->l = member_listen(SOCK_STREAM, 2);
	ASSERT_FD(self->l);
	EXPECT_EQ(7, take(self->l));
	for (i = 0; i < 6; i++) {
		EXPECT_TRUE(took(self->l, fd[i]));
		close(fd[i]);
	}
	EXPECT_EQ(-EAGAIN, take(self->l));
}

/* Time is up: nobody came. */
TEST_F(linger, then_pending_calls_are_reset_and_parked_ones_refused)
{
	struct io_thread t = { .fd = nym_socket() }, r = { .fd = self->c };
	struct files files;
	int parked, sender;
	char c;

	r.buf = &c;
	r.len = 1;
	ASSERT_OK(listen(self->l, 1));
	ASSERT_OK(scm_pass_rights(self->l, 1));
	sender = call_with_files(SOCK_STREAM, &files);
	ASSERT_FD(sender);
	parked = parked_call(SOCK_STREAM);
	ASSERT_FD(parked);
	ASSERT_OK(nym_option(self->l, NYM_LINGER, NYM_BRIEF_MS));
	CLOSE(self->l);
	io_start(&t, do_call);
	io_start(&r, io_do_recv);
	EXPECT_TRUE(io_wait_blocked(&t));
	EXPECT_TRUE(io_wait_blocked(&r));
	EXPECT_EQ(0, io_mask(parked));
	EXPECT_EQ(-1, io_join(&t));
	EXPECT_SAME_ERRNO(ECONNREFUSED, t.err);
	EXPECT_EQ(-1, io_join(&r));
	EXPECT_SAME_ERRNO(ECONNRESET, r.err);
	EXPECT_EQ(REFUSED, nym_poll_wait(parked, OUT));
	EXPECT_EQ(ECONNREFUSED, io_so_error(parked));
	files_are_gone(_metadata, &files);
	EXPECT_TRUE(is_reset(sender));
	EXPECT_ERRNO(ECONNREFUSED, nym_connect(name));
	EXPECT_SAME_ERRNO(0, nym_bind_as(&nobody, name));
	close(t.fd);
	close(parked);
	close(sender);
}

/* A new owner is a new owner only when it listens. */
TEST_F(linger, a_call_between_bind_and_listen_of_the_successor_is_parked)
{
	int early, late;

	CLOSE(self->l);
	early = parked_call(SOCK_STREAM);
	ASSERT_FD(early);
	self->l = member(SOCK_STREAM);
	ASSERT_FD(self->l);
	EXPECT_EQ(OUT, io_mask(self->c));
	EXPECT_EQ(0, io_mask(early));
	late = parked_call(SOCK_STREAM);
	EXPECT_LE(0, late) {
		TH_LOG("%s", strerrorname_np(errno));
	}
	ASSERT_OK(listen(self->l, 5));
	EXPECT_EQ(7, take(self->l));
	EXPECT_TRUE(took(self->l, early));
	if (late >= 0)
		EXPECT_TRUE(took(self->l, late));
	close(early);
	close(late);
}

/* Then it was none, and the time goes on. */
TEST_F(linger, a_successor_that_dies_before_it_listens_changes_nothing)
{
	long begin = nym_now_ms();
	int parked;

	ASSERT_OK(nym_option(self->l, NYM_LINGER, NYM_BRIEF_MS));
	CLOSE(self->l);
	parked = parked_call(SOCK_STREAM);
	ASSERT_FD(parked);
	self->l = member(SOCK_STREAM);
	CLOSE(self->l);
	EXPECT_EQ(OUT, io_mask(self->c));
	EXPECT_EQ(0, io_mask(parked));
	EXPECT_SAME_ERRNO(EADDRINUSE, nym_bind_as(&nobody, name));
	EXPECT_EQ(REFUSED, io_poll_wait(parked, OUT));
	EXPECT_LE(NYM_BRIEF_MS, nym_now_ms() - begin);
	EXPECT_EQ(ECONNREFUSED, io_so_error(parked));
	EXPECT_TRUE(is_reset(self->c));
	close(parked);
}

/* But it may ask for more time. */
TEST_F(linger, a_successor_that_dies_before_it_listens_may_linger_itself)
{
	int i;

	for (i = 0; i < 4; i++) {
		ASSERT_OK(nym_option(self->l, NYM_LINGER, NYM_BRIEF_MS * 3 / 2));
		CLOSE(self->l);
		/* In all longer than each lingers. */
		usleep(NYM_BRIEF_MS * 500);
		self->l = member(SOCK_STREAM);
		ASSERT_FD(self->l);
	}
	EXPECT_EQ(OUT, io_mask(self->c));
	ASSERT_OK(listen(self->l, 5));
	EXPECT_EQ(7, take(self->l));
}

/* Nobody new is let in: the name does not linger any more. */
static bool stops_waiting(void)
{
	long end = nym_now_ms() + NYM_BRIEF_MS + NYM_PATIENCE_MS;
	int fd;

	while ((fd = parked_call(SOCK_STREAM)) >= 0 && nym_now_ms() < end) {
		close(fd);
		nym_nap();
	}
	return fd < 0 && errno == ECONNREFUSED;
}

/* The time ends while the successor has the name and does not listen. */
TEST_F(linger, a_successor_that_listens_too_late_still_gets_the_calls)
{
	int parked;

	ASSERT_OK(nym_option(self->l, NYM_LINGER, NYM_BRIEF_MS));
	CLOSE(self->l);
	parked = parked_call(SOCK_STREAM);
	ASSERT_FD(parked);
	self->l = member(SOCK_STREAM);
	ASSERT_FD(self->l);
	/* As without lingering: nobody listens, but there is somebody. */
	EXPECT_TRUE(stops_waiting());
	EXPECT_EQ(0, io_mask(parked));
	EXPECT_EQ(OUT, io_mask(self->c));
	EXPECT_SAME_ERRNO(EADDRINUSE, nym_bind_as(&nobody, name));
	ASSERT_OK(listen(self->l, 5));
	EXPECT_EQ(7, take(self->l));
	EXPECT_TRUE(took(self->l, parked));
	close(parked);
}

/* What was meant for one type would be nonsense to another. */
TEST_F(linger, a_successor_is_of_the_same_type)
{
	int parked;

	CLOSE(self->l);
	parked = parked_call(SOCK_STREAM);
	ASSERT_FD(parked);
	EXPECT_EQ(-1, scm_bound(SOCK_SEQPACKET, name));
	EXPECT_SAME_ERRNO(EADDRINUSE, errno);
	EXPECT_EQ(-1, scm_bound(SOCK_DGRAM, name));
	EXPECT_SAME_ERRNO(EADDRINUSE, errno);
	self->l = member_listen(SOCK_STREAM, 5);
	ASSERT_FD(self->l);
	EXPECT_EQ(7, take(self->l));
	EXPECT_TRUE(took(self->l, parked));
	close(parked);
}

/* Who called while there was nobody to ask is asked for permission now. */
static int call_and_see(void *ready)
{
	int fd = parked_call(SOCK_STREAM);

	if (fd < 0 || write(*(int *)ready, "x", 1) != 1)
		return 200;
	/* SO_ERROR of a call that waits on is 0, too. */
	return nym_poll_wait(fd, POLLOUT) > 0 ? io_so_error(fd) : ETIMEDOUT;
}

static int successor_with(struct __test_metadata *_metadata, int *listener,
			  mode_t mode)
{
	int ready[2], status;
	pid_t client;
	char c;

	CLOSE(*listener);
	EXPECT_OK(pipe2(ready, O_CLOEXEC));
	client = fork();
	if (!client)
		_exit(nym_become(&nobody) ? 201 : call_and_see(&ready[1]));
	EXPECT_EQ(1, read(ready[0], &c, 1));
	*listener = member(SOCK_STREAM);
	EXPECT_OK(fchmod(*listener, mode));
	EXPECT_OK(nym_option(*listener, NYM_LINGER, LONG));
	EXPECT_OK(listen(*listener, 5));
	close(ready[0]);
	close(ready[1]);
	EXPECT_EQ(client, waitpid(client, &status, 0));
	return WEXITSTATUS(status);
}

TEST_F(linger, the_successors_mode_counts_for_who_called_meanwhile)
{
	EXPECT_SAME_ERRNO(EACCES, successor_with(_metadata, &self->l, 0600));
	EXPECT_SAME_ERRNO(0, successor_with(_metadata, &self->l, 0666));
}

#define ROUNDS	50

TEST_F(linger, again_and_again)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		CLOSE(self->l);
		self->l = member_listen(SOCK_STREAM, 5);
		ASSERT_FD(self->l);
		ASSERT_OK(nym_option(self->l, NYM_LINGER, i % 3 ? LONG : MOST));
	}
	EXPECT_EQ(7, take(self->l));
}

#define NAMES	500

static const char *numbered(int i)
{
	static char text[64];

	snprintf(text, sizeof(text), "%s/%d", name, i);
	return text;
}

static int bind_numbered(void *i)
{
	return nym_bound(numbered((intptr_t)i)) < 0 ? errno : 0;
}

static int wait_numbered(void *unused)
{
	long end = nym_now_ms() + NYM_PATIENCE_MS;
	int i;

	for (i = 0; i < NAMES && nym_now_ms() < end; i++) {
		int fd = nym_bound(numbered(i));

		if (fd < 0) {
			nym_nap();
			i--;
		}
		close(fd);
	}
	return i == NAMES ? 0 : 200;
}

/* Of many names each ends at its time, in whatever order they began. */
TEST_F(linger, many_names_at_once)
{
	int fd, i;

	for (i = 0; i < NAMES; i++) {
		fd = nym_socket();
		ASSERT_OK(nym_bind(fd, numbered(i)));
		ASSERT_OK(nym_option(fd, NYM_LINGER, i % 2 ? 1 + i % 700 : LONG));
		close(fd);
	}
	/* Half of them are taken over in time. */
	for (i = 0; i < NAMES; i += 2) {
		EXPECT_SAME_ERRNO(EADDRINUSE,
				  i % 100 ? EADDRINUSE :
				  nym_errno_as(&nobody, bind_numbered,
					       (void *)(intptr_t)i));
		fd = nym_listen(numbered(i), 0);
		EXPECT_LE(0, fd);
		close(fd);
	}
	EXPECT_SAME_ERRNO(0, nym_errno_as(&nobody, wait_numbered, NULL));
}

/* --- Sockets in flight, and a name that lingers --- */

TEST_F(linger, a_call_with_a_socket_waits_for_the_successor)
{
	int x[2], client, fd, got;
	char c;

	ASSERT_OK(scm_pass_rights(self->l, 1));
	ASSERT_OK(scm_pair(SOCK_STREAM, x));
	client = call_with(x[0]);
	ASSERT_FD(client);
	CLOSE(x[0]);
	CLOSE(self->l);
	self->l = member_listen(SOCK_STREAM, 5);
	ASSERT_FD(self->l);
	ASSERT_OK(scm_pass_rights(self->l, 1));
	EXPECT_EQ(7, take(self->l));
	fd = scm_accept(self->l);
	ASSERT_FD(fd);
	got = scm_recv_fd(fd);
	ASSERT_FD(got);
	EXPECT_EQ(1, send(got, "y", 1, 0));
	EXPECT_EQ(1, recv(x[1], &c, 1, MSG_DONTWAIT));
	close(got);
	EXPECT_TRUE(is_gone(x[1]));
	close(fd);
	close(x[1]);
	close(client);
}

/* The socket that the call carries becomes the successor. */
TEST_F(linger, a_successor_does_not_get_the_call_that_carries_it)
{
	int heir = nym_socket(), client;

	ASSERT_OK(scm_pass_rights(self->l, 1));
	ASSERT_OK(scm_pass_rights(heir, 1));
	client = call_with(heir);
	ASSERT_FD(client);
	CLOSE(self->l);
	ASSERT_OK(nym_bind(heir, name));
	ASSERT_OK(listen(heir, 5));
	ASSERT_OK(nym_set_nonblock(heir, true));
	EXPECT_EQ(7, take(heir));
	EXPECT_EQ(-EAGAIN, take(heir));
	close(heir);
	EXPECT_TRUE(is_reset(client));
	EXPECT_TRUE(comes_free());
	close(client);
}

/* --- Datagrams and names that linger --- */

FIXTURE(dgram)
{
	int r;		/* a receiver whose name will linger */
	int s;		/* connected to it */
};

FIXTURE_SETUP(dgram)
{
	BEGIN();
	self->r = member(SOCK_DGRAM);
	ASSERT_FD(self->r);
	ASSERT_OK(nym_option(self->r, NYM_LINGER, LONG));
	self->s = scm_connect(SOCK_DGRAM, name);
	ASSERT_FD(self->s);
}

FIXTURE_TEARDOWN(dgram)
{
	close(self->r);
	close(self->s);
	/* Ends the lingering. */
	close(scm_bound(SOCK_DGRAM, name));
}

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

/* The next datagram is this text. */
static bool hears(int fd, const char *text)
{
	char buf[16];
	ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

	return n == (ssize_t)strlen(text) && !memcmp(buf, text, n);
}

TEST_F(dgram, a_sender_waits_for_the_successor)
{
	struct io_thread t = { .fd = self->s, .buf = "one" };
	struct io_thread u = { .fd = scm_socket(SOCK_DGRAM), .buf = "two" };

	ASSERT_EQ(4, send(self->s, "lost", 4, 0));
	CLOSE(self->r);
	io_start(&t, do_send_text);
	ASSERT_TRUE(io_wait_blocked(&t));
	self->r = member(SOCK_DGRAM);
	ASSERT_FD(self->r);
	EXPECT_EQ(3, io_join(&t));
	EXPECT_TRUE(hears(self->r, "one"));
	ASSERT_OK(nym_option(self->r, NYM_LINGER, LONG));
	CLOSE(self->r);
	io_start(&u, do_send_to);
	ASSERT_TRUE(io_wait_blocked(&u));
	self->r = member(SOCK_DGRAM);
	ASSERT_FD(self->r);
	EXPECT_EQ(3, io_join(&u));
	EXPECT_TRUE(hears(self->r, "two"));
	/* What the dead one had is gone. */
	EXPECT_FALSE(hears(self->r, "lost"));
	EXPECT_SAME_ERRNO(EAGAIN, errno);
	close(u.fd);
}

TEST_F(dgram, a_non_blocking_sender_polls)
{
	int ep = epoll_create1(EPOLL_CLOEXEC), u = scm_socket(SOCK_DGRAM);

	CLOSE(self->r);
	EXPECT_ERRNO(EAGAIN, send(self->s, "x", 1, MSG_DONTWAIT));
	EXPECT_ERRNO(EAGAIN, send_to(u, "x", MSG_DONTWAIT));
	EXPECT_EQ(0, io_mask(self->s));
	EXPECT_EQ(0, io_so_error(self->s));
	ASSERT_OK(watch(ep, self->s, EPOLLOUT | EPOLLET));
	EXPECT_EQ(0, happened(ep, 50));
	self->r = member(SOCK_DGRAM);
	ASSERT_FD(self->r);
	EXPECT_EQ(EPOLLOUT, happened(ep, IO_POLL_MS));
	EXPECT_EQ(OUT, io_mask(self->s));
	EXPECT_EQ(3, send(self->s, "one", 3, MSG_DONTWAIT));
	EXPECT_EQ(3, send_to(u, "two", MSG_DONTWAIT));
	EXPECT_TRUE(hears(self->r, "one"));
	EXPECT_TRUE(hears(self->r, "two"));
	close(u);
	close(ep);
}

TEST_F(dgram, who_waits_is_refused_when_the_time_is_over)
{
	struct io_thread t = { .fd = self->s, .buf = "one" };
	int u = scm_connect(SOCK_DGRAM, name), ep = epoll_create1(EPOLL_CLOEXEC);

	ASSERT_FD(u);
	ASSERT_OK(nym_option(self->r, NYM_LINGER, NYM_BRIEF_MS));
	CLOSE(self->r);
	ASSERT_OK(watch(ep, u, EPOLLOUT | EPOLLET));
	EXPECT_EQ(0, happened(ep, 0));
	io_start(&t, do_send_text);
	EXPECT_TRUE(io_wait_blocked(&t));
	EXPECT_EQ(-1, io_join(&t));
	EXPECT_SAME_ERRNO(ECONNREFUSED, t.err);
	EXPECT_EQ(EPOLLOUT, happened(ep, IO_POLL_MS));
	EXPECT_ERRNO(ECONNREFUSED, send(u, "x", 1, MSG_DONTWAIT));
	EXPECT_ERRNO(ECONNREFUSED, send_to(u, "x", 0));
	EXPECT_SAME_ERRNO(0, nym_bind_as(&nobody, name));
	close(u);
	close(ep);
}

static volatile bool enough;

/* Sends until it is enough, or refused: how often, or -1. */
static long do_send_on_and_on(struct io_thread *t)
{
	long n = 0;

	for (; !enough; n++) {
		if (send_to(t->fd, "x", MSG_DONTWAIT) < 0 && errno != EAGAIN)
			return -1;
	}
	return n;
}

/* Somebody has the name or it lingers: no sender sees a moment without both. */
TEST_F(dgram, no_sender_is_refused_while_successors_come_and_go)
{
	struct io_thread t = { .fd = scm_socket(SOCK_DGRAM) };
	long end = nym_now_ms() + 2000;
	int rounds = 0;

	enough = false;
	io_start(&t, do_send_on_and_on);
	while (nym_now_ms() < end && self->r >= 0) {
		EXPECT_OK(nym_option(self->r, NYM_LINGER, LONG));
		CLOSE(self->r);
		self->r = member(SOCK_DGRAM);
		rounds++;
	}
	EXPECT_LE(0, self->r);
	enough = true;
	EXPECT_LT(0, io_join(&t)) {
		TH_LOG("%d rounds: %s", rounds, strerrorname_np(t.err));
	}
	close(t.fd);
}

TEST_F(dgram, a_waiting_sender_times_out)
{
	long begin = nym_now_ms();

	CLOSE(self->r);
	ASSERT_OK(nym_set_timeout(self->s, SO_SNDTIMEO, 100));
	EXPECT_ERRNO(EAGAIN, send(self->s, "x", 1, 0));
	EXPECT_ERRNO(EAGAIN, send_to(self->s, "x", 0));
	EXPECT_LE(NYM_TICKED(200), nym_now_ms() - begin);
}

TEST_F(dgram, a_waiting_sender_is_interrupted)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct io_thread t = { .fd = self->s, .buf = "one" };

	ASSERT_OK(sigaction(SIGUSR1, &sa, NULL));
	CLOSE(self->r);
	io_start(&t, do_send_text);
	ASSERT_TRUE(io_wait_blocked(&t));
	pthread_kill(t.thread, SIGUSR1);
	EXPECT_EQ(-1, io_join(&t));
	EXPECT_SAME_ERRNO(EINTR, t.err);
}

TEST_F(dgram, a_waiting_sender_that_is_shut_down_is_told)
{
	struct io_thread t = { .fd = self->s, .buf = "one" };

	CLOSE(self->r);
	io_start(&t, do_send_text);
	ASSERT_TRUE(io_wait_blocked(&t));
	ASSERT_OK(shutdown(self->s, SHUT_WR));
	EXPECT_EQ(-1, io_join(&t));
	EXPECT_SAME_ERRNO(EPIPE, t.err);
}

/* First it waits for room, then for the name. */
TEST_F(dgram, a_sender_that_waits_for_room_goes_on_with_the_successor)
{
	struct io_thread t = { .fd = self->s, .buf = "one" };

	while (send(self->s, io_at(0), 4000, MSG_DONTWAIT) > 0)
		;
	ASSERT_EQ(EAGAIN, errno);
	while (send(self->s, io_at(0), 1, MSG_DONTWAIT) > 0)
		;
	io_start(&t, do_send_text);
	ASSERT_TRUE(io_wait_blocked(&t));
	CLOSE(self->r);
	ASSERT_TRUE(io_wait_blocked(&t));
	self->r = member(SOCK_DGRAM);
	ASSERT_FD(self->r);
	EXPECT_EQ(3, io_join(&t));
	EXPECT_TRUE(hears(self->r, "one"));
}

TEST_F(dgram, a_successor_is_of_the_same_type)
{
	struct io_thread t = { .fd = self->s, .buf = "one" };

	CLOSE(self->r);
	io_start(&t, do_send_text);
	ASSERT_TRUE(io_wait_blocked(&t));
	EXPECT_EQ(-1, member(SOCK_STREAM));
	EXPECT_SAME_ERRNO(EADDRINUSE, errno);
	self->r = member(SOCK_DGRAM);
	ASSERT_FD(self->r);
	EXPECT_EQ(3, io_join(&t));
	EXPECT_TRUE(hears(self->r, "one"));
}

static int send_as(void *ready)
{
	int fd = scm_socket(SOCK_DGRAM);

	if (write(*(int *)ready, "x", 1) != 1)
		return 200;
	return send_to(fd, "hi", 0) == 2 ? 0 : errno;
}

/* What @nobody gets that waits for a successor with this mode. */
static int sender_meets(struct __test_metadata *_metadata, int *receiver,
			mode_t mode)
{
	int ready[2], status;
	pid_t sender;
	char c;

	CLOSE(*receiver);
	EXPECT_OK(pipe2(ready, O_CLOEXEC));
	sender = fork();
	if (!sender)
		_exit(nym_become(&nobody) ? 201 : send_as(&ready[1]));
	EXPECT_EQ(1, read(ready[0], &c, 1));
	EXPECT_TRUE(nym_wait_asleep(sender, SYS_sendto));
	*receiver = scm_socket(SOCK_DGRAM);
	EXPECT_OK(fchmod(*receiver, mode));
	EXPECT_OK(nym_option(*receiver, NYM_LINGER, LONG));
	EXPECT_OK(nym_bind(*receiver, name));
	close(ready[0]);
	close(ready[1]);
	EXPECT_EQ(sender, waitpid(sender, &status, 0));
	return WEXITSTATUS(status);
}

TEST_F(dgram, the_successors_mode_counts)
{
	umask(0);
	EXPECT_SAME_ERRNO(EACCES, sender_meets(_metadata, &self->r, 0600));
	EXPECT_SAME_ERRNO(0, sender_meets(_metadata, &self->r, 0666));
	EXPECT_TRUE(hears(self->r, "hi"));
}

TEST_F(dgram, connect_waits_as_well)
{
	struct io_thread t = { .fd = scm_socket(SOCK_DGRAM) };
	int fd = socket(AF_NYM, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	CLOSE(self->r);
	io_start(&t, do_call);
	ASSERT_TRUE(io_wait_blocked(&t));
	EXPECT_ERRNO(EINPROGRESS, nym_call(fd, name));
	EXPECT_STREQ(name, nym_peer_name(fd));
	EXPECT_EQ(0, io_mask(fd));
	self->r = member(SOCK_DGRAM);
	ASSERT_FD(self->r);
	EXPECT_EQ(0, io_join(&t));
	EXPECT_EQ(OUT, io_mask(fd));
	EXPECT_EQ(3, send(fd, "one", 3, 0));
	EXPECT_EQ(3, send(t.fd, "two", 3, 0));
	EXPECT_TRUE(hears(self->r, "one"));
	EXPECT_TRUE(hears(self->r, "two"));
	close(fd);
	close(t.fd);
}

TEST_F(dgram, the_name_is_kept_for_its_owner)
{
	CLOSE(self->r);
	EXPECT_SAME_ERRNO(EADDRINUSE, nym_bind_as(&nobody, name));
	self->r = member(SOCK_DGRAM);
	EXPECT_LE(0, self->r);
}

/* A name that the kernel chose cannot be bound again; it ends all the same. */
TEST_F(dgram, a_chosen_name_lingers_for_nobody)
{
	struct sockaddr_nym sa;
	socklen_t len = sizeof(sa);
	char was[NYM_NAME_MAX + 1];

	ASSERT_OK(getsockname(self->s, (struct sockaddr *)&sa, &len));
	snprintf(was, sizeof(was), "%s", nym_name_of(&sa, len));
	ASSERT_TRUE(nym_is_kernel_chosen(was));
	ASSERT_OK(nym_option(self->s, NYM_LINGER, 200));
	CLOSE(self->s);
	/* The leak check will tell. */
}

/* --- A network namespace that ends --- */

FIXTURE(net)
{
	int ready[2];
};

FIXTURE_SETUP(net)
{
	BEGIN();
	ASSERT_OK(pipe2(self->ready, O_CLOEXEC));
}

FIXTURE_TEARDOWN(net)
{
	close(self->ready[0]);
	close(self->ready[1]);
}

/* Runs @fn in a namespace of its own, which ends with it. */
static void in_namespace(struct __test_metadata *_metadata, int (*fn)(void))
{
	struct nym_counts now;
	pid_t pid;

	/* What other tests have left is not the question. */
	nym_wait_counts_back(&now);
	nym_counts_before = now;
	pid = fork();
	if (!pid)
		_exit(unshare(CLONE_NEWNET) ? 200 : fn());
	EXPECT_EQ(0, nym_wait_child(pid));
	/* All that was there, the name too, an hour before its time. */
	EXPECT_TRUE(nym_wait_counts_back(&now)) {
		size_t i;

		for (i = 0; i < ARRAY_SIZE(nym_caches); i++)
			TH_LOG("%s: %ld, was %ld", nym_caches[i], now.objects[i],
			       nym_counts_before.objects[i]);
	}
}

static int leave_a_name(void)
{
	int fd = nym_bound(name);

	return fd < 0 || nym_option(fd, NYM_LINGER, MOST) || close(fd);
}

TEST_F(net, ends_while_a_name_lingers)
{
	in_namespace(_metadata, leave_a_name);
}

/* The client closes its call, which is in the queue all the same. */
static int leave_a_call(void)
{
	int l = nym_listen(name, 5), p[2], c, parked;

	if (l < 0 || pipe(p) || nym_option(l, NYM_LINGER, MOST) ||
	    scm_pass_rights(l, 1))
		return 1;
	c = nym_connect(name);
	if (c < 0 || scm_send_fd(c, p[1]) != 1 || close(l))
		return 2;
	parked = parked_call(SOCK_STREAM);
	return parked < 0 || close(parked) || close(c) ? 3 : 0;
}

TEST_F(net, ends_while_a_name_lingers_with_calls_of_the_dead)
{
	in_namespace(_metadata, leave_a_call);
}

static int leave_datagrams(void)
{
	int fd = scm_bound(SOCK_DGRAM, name), s = scm_connect(SOCK_DGRAM, name);

	if (s < 0 || nym_option(fd, NYM_LINGER, MOST) ||
	    nym_option(s, NYM_LINGER, MOST))
		return 1;
	return send(s, "x", 1, 0) != 1 || close(fd) || close(s);
}

TEST_F(net, ends_while_names_of_datagrams_linger)
{
	in_namespace(_metadata, leave_datagrams);
}

/* Its sockets live on elsewhere: the name does, too. */
TEST_F(net, lives_as_long_as_a_client)
{
	int mail[2], c, fd;
	pid_t pid;

	ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, mail));
	pid = fork();
	if (!pid) {
		int l;

		if (unshare(CLONE_NEWNET))
			_exit(200);
		l = nym_listen(name, 5);
		c = nym_connect(name);
		if (c < 0 || nym_option(l, NYM_LINGER, MOST))
			_exit(1);
		_exit(scm_send_fd(mail[0], c) != 1);
	}
	ASSERT_EQ(0, nym_wait_child(pid));
	c = scm_recv_fd(mail[1]);
	ASSERT_FD(c);
	EXPECT_EQ(OUT, io_mask(c));
	EXPECT_EQ(1, send(c, "x", 1, 0));
	/* Here there is no such name. */
	EXPECT_ERRNO(ECONNREFUSED, nym_connect(name));
	fd = nym_bound(name);
	EXPECT_LE(0, fd);
	close(fd);
	close(c);
	close(mail[0]);
	close(mail[1]);
}

/* --- Whole services --- */

#define CALLERS	6
#define SPAN	100000		/* numbers of one client's requests */
#define KILLS	10

/* What a client saw. */
struct tally {
	long asked;
	long answered;
	long parked;	/* of them */
	long refused;	/* connect() failed */
	long died;	/* accepted, it must be, and then not answered */
	long wrong;	/* anything else */
	int err;	/* of the first that was refused or wrong */
};

/* Shared by the supervisor, the servers and the clients. */
struct service {
	pthread_mutex_t gate;	/* held while a request is in a server's hands */
	int stop;		/* clients begin no new request */
	struct tally tally[CALLERS];
	__u8 served[CALLERS * SPAN];
};

FIXTURE(service)
{
	struct service *s;
	pid_t server[3];
	int control[3];		/* whatever is written there ends the server */
	pid_t client[CALLERS];
	int nclients;
};

FIXTURE_VARIANT(service)
{
	int type;
	/* Is a server never killed in the middle of a request? */
	bool gated;
};

FIXTURE_VARIANT_ADD(service, between_requests)
{
	.type = SOCK_STREAM,
	.gated = true,
};

FIXTURE_VARIANT_ADD(service, at_any_time)
{
	.type = SOCK_SEQPACKET,
	.gated = false,
};

FIXTURE_SETUP(service)
{
	pthread_mutexattr_t attr;

	BEGIN();
	memset(self, 0, sizeof(*self));
	self->s = mmap(NULL, sizeof(*self->s), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->s);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&self->s->gate, &attr);
	/* Also other users are clients, from the first moment on. */
	umask(0);
}

FIXTURE_TEARDOWN(service)
{
	int i;

	for (i = 0; i < 3 && self->server[i]; i++) {
		kill(self->server[i], SIGKILL);
		waitpid(self->server[i], NULL, 0);
	}
	for (i = 0; i < self->nclients; i++)
		kill(self->client[i], SIGKILL);
	end_lingering();
	munmap(self->s, sizeof(*self->s));
}

static void serve_one(struct service *s, int listener)
{
	int fd = scm_accept(listener);
	__u32 id;

	if (fd < 0)
		return;
	if (recv(fd, &id, sizeof(id), 0) == sizeof(id) && id < CALLERS * SPAN) {
		__atomic_add_fetch(&s->served[id], 1, __ATOMIC_RELAXED);
		send(fd, &id, sizeof(id), MSG_NOSIGNAL);
	}
	close(fd);
}

/* Serves until something comes over @control; nobody waits for that. */
static void serve(struct service *s, int listener, int control, bool gated)
{
	struct pollfd pfd[2] = {
		{ .fd = listener, .events = POLLIN },
		{ .fd = control, .events = POLLIN },
	};

	for (;;) {
		if (poll(pfd, 2, -1) < 0 || pfd[1].revents)
			break;
		if (gated)
			pthread_mutex_lock(&s->gate);
		serve_one(s, listener);
		if (gated)
			pthread_mutex_unlock(&s->gate);
	}
	close(listener);
}

/* The server's process: it has the name when @ready has a byte. */
static void server(struct service *s, int type, int linger, int control, int ready,
		   bool gated)
{
	int fd = scm_socket(type);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (nym_option(fd, NYM_SHARE, NYM_SHARE_ON) ||
	    nym_option(fd, NYM_LINGER, linger) || nym_bind(fd, name) ||
	    nym_set_nonblock(fd, true) || listen(fd, 3) ||
	    write(ready, "x", 1) != 1)
		_exit(errno);
	serve(s, fd, control, gated);
	_exit(0);
}

/* 0 when server @i runs and listens, or what it could not do. */
static int start_server(FIXTURE_DATA(service) * self, int i, int type, int linger,
			bool gated)
{
	int control[2], ready[2], n, err = 0;
	char c;

	if (pipe2(control, O_CLOEXEC) || pipe2(ready, O_CLOEXEC))
		return errno;
	self->server[i] = fork();
	if (!self->server[i]) {
		close(ready[0]);
		close(control[1]);
		server(self->s, type, linger, control[0], ready[1], gated);
	}
	self->control[i] = control[1];
	close(control[0]);
	close(ready[1]);
	n = read(ready[0], &c, 1);
	close(ready[0]);
	if (n != 1)
		err = nym_wait_child(self->server[i]);
	return err;
}

static bool kill_server(FIXTURE_DATA(service) * self, int i, bool gated)
{
	pid_t pid = self->server[i];
	bool killed;

	if (gated)
		pthread_mutex_lock(&self->s->gate);
	killed = !kill(pid, SIGKILL) && waitpid(pid, NULL, 0) == pid;
	if (gated)
		pthread_mutex_unlock(&self->s->gate);
	close(self->control[i]);
	return killed;
}

/* A connection, or -1. */
static int connect_to_service(int type, bool blocking, struct tally *tally)
{
	int fd = scm_socket(type), err;

	if (fd < 0)
		return -1;
	if (blocking)
		return nym_call(fd, name) ? nym_give_up(fd) : fd;
	nym_set_nonblock(fd, true);
	if (nym_call(fd, name)) {
		if (errno != EINPROGRESS)
			return nym_give_up(fd);
		tally->parked++;
		/* The call below would get in, though nobody woke this one. */
		err = nym_poll_wait(fd, POLLOUT) > 0 ? io_so_error(fd) : ETIMEDOUT;
		if (!err && nym_call(fd, name))
			err = errno;
		if (err) {
			errno = err;
			return nym_give_up(fd);
		}
	}
	nym_set_nonblock(fd, false);
	return fd;
}

static void ask(int fd, __u32 id, struct tally *tally)
{
	__u32 reply = ~id;
	ssize_t n = send(fd, &id, sizeof(id), MSG_NOSIGNAL);

	if (n == sizeof(id))
		n = recv(fd, &reply, sizeof(reply), 0);
	if (n == sizeof(reply) && reply == id) {
		tally->answered++;
	} else if (!n || (n < 0 && (errno == ECONNRESET || errno == EPIPE))) {
		tally->died++;
	} else {
		tally->wrong++;
		tally->err = errno;
	}
}

static void client(struct service *s, int nr, int type)
{
	struct tally *tally = &s->tally[nr];
	__u32 i;
	int fd;

	/* Half of them wait in connect(); half of both are somebody else. */
	if (nr & 2 && nym_become(&nobody))
		_exit(1);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (i = 0; i < SPAN && !__atomic_load_n(&s->stop, __ATOMIC_RELAXED); i++) {
		tally->asked++;
		fd = connect_to_service(type, nr & 1, tally);
		if (fd < 0) {
			if (!tally->refused++)
				tally->err = errno;
			continue;
		}
		ask(fd, nr * SPAN + i, tally);
		close(fd);
	}
	_exit(0);
}

static bool start_clients(FIXTURE_DATA(service) * self, int type)
{
	while (self->nclients < CALLERS) {
		pid_t pid = fork();

		if (!pid)
			client(self->s, self->nclients, type);
		if (pid < 0)
			return false;
		self->client[self->nclients++] = pid;
	}
	return true;
}

static long answered(const struct service *s)
{
	long n = 0;
	int i;

	for (i = 0; i < CALLERS; i++)
		n += __atomic_load_n(&s->tally[i].answered, __ATOMIC_RELAXED);
	return n;
}

/* Lets the service work for a while. */
static bool some_are_answered(const struct service *s)
{
	long end = nym_now_ms() + NYM_PATIENCE_MS, want = answered(s) + nym_scaled(30);

	while (answered(s) < want) {
		if (nym_now_ms() > end)
			return false;
		nym_nap();
	}
	return true;
}

/*
 * Lets the clients come to their end and looks at what they saw. @may_die
 * requests may have been in the hands of a server that was killed.
 */
static void judge(struct __test_metadata *_metadata, FIXTURE_DATA(service) * self,
		  int may_die)
{
	struct service *s = self->s;
	struct tally all = { 0 };
	long served = 0, twice = 0;
	int i;

	__atomic_store_n(&s->stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < self->nclients; i++)
		EXPECT_EQ(0, nym_wait_child(self->client[i]));
	for (i = 0; i < CALLERS * SPAN; i++) {
		served += s->served[i];
		twice += s->served[i] > 1;
	}
	for (i = 0; i < self->nclients; i++) {
		const struct tally *t = &s->tally[i];

		/* Every one of them took part. */
		EXPECT_LT(0, t->answered);
		EXPECT_EQ(t->asked, t->answered + t->refused + t->died + t->wrong);
		all.asked += t->asked;
		all.answered += t->answered;
		all.parked += t->parked;
		all.refused += t->refused;
		all.died += t->died;
		all.wrong += t->wrong;
		if (t->err)
			TH_LOG("client %d: %s", i, strerrorname_np(t->err));
	}
	self->nclients = 0;
	TH_LOG("%ld requests, %ld parked, %ld refused, %ld died with a server",
	       all.asked, all.parked, all.refused, all.died);
	EXPECT_EQ(0, all.refused);
	EXPECT_EQ(0, all.wrong);
	EXPECT_EQ(0, twice);
	EXPECT_LE(all.died, may_die);
	/* What died may have been served, but its answer did not come. */
	EXPECT_LE(all.answered, served);
	EXPECT_LE(served, all.answered + all.died);
}

TEST_F(service, is_killed_and_restarted_ten_times_and_no_call_is_lost)
{
	int i;

	ASSERT_EQ(0, start_server(self, 0, variant->type, LONG, variant->gated));
	ASSERT_TRUE(start_clients(self, variant->type));
	for (i = 0; i < KILLS; i++) {
		EXPECT_TRUE(some_are_answered(self->s));
		ASSERT_TRUE(kill_server(self, 0, variant->gated));
		ASSERT_EQ(0, start_server(self, 0, variant->type, LONG,
					  variant->gated));
	}
	EXPECT_TRUE(some_are_answered(self->s));
	judge(_metadata, self, variant->gated ? 0 : KILLS);
	close(self->control[0]);
}

TEST_F(service, is_handed_over_ten_times_and_no_call_is_lost)
{
	int i, old, new;

	ASSERT_EQ(0, start_server(self, 0, variant->type, 0, variant->gated));
	ASSERT_TRUE(start_clients(self, variant->type));
	for (i = 0; i < KILLS; i++) {
		old = i & 1;
		new = !old;
		EXPECT_TRUE(some_are_answered(self->s));
		ASSERT_EQ(0, start_server(self, new, variant->type, 0,
					  variant->gated));
		ASSERT_EQ(1, write(self->control[old], "x", 1));
		EXPECT_EQ(0, nym_wait_child(self->server[old]));
		close(self->control[old]);
	}
	EXPECT_TRUE(some_are_answered(self->s));
	judge(_metadata, self, 0);
	/* For the teardown, which counts from the first. */
	self->server[0] = self->server[new];
	self->server[1] = 0;
}

/* Three workers of one name; the name never lingers. */
TEST_F(service, loses_a_worker_ten_times_and_no_call_is_lost)
{
	int i;

	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, start_server(self, i, variant->type, 0,
					  variant->gated));
	ASSERT_TRUE(start_clients(self, variant->type));
	for (i = 0; i < KILLS; i++) {
		EXPECT_TRUE(some_are_answered(self->s));
		ASSERT_TRUE(kill_server(self, i % 3, variant->gated));
		ASSERT_EQ(0, start_server(self, i % 3, variant->type, 0,
					  variant->gated));
	}
	EXPECT_TRUE(some_are_answered(self->s));
	judge(_metadata, self, variant->gated ? 0 : KILLS);
	for (i = 0; i < 3; i++)
		close(self->control[i]);
}

/* --- Members that come and go all the time --- */

#define RACE_MS	1500

struct race {
	long end;
	int type;
	__u32 seed;
	int linger;
};

/* A connection of this thread's listener gets back what it sent. */
static void echo(int listener)
{
	int fd = scm_accept(listener);
	char c;

	if (fd < 0)
		return;
	if (recv(fd, &c, 1, 0) == 1)
		send(fd, &c, 1, MSG_NOSIGNAL);
	close(fd);
}

/* Joins, serves a few calls or none, leaves; gives how often, or -1. */
static long come_and_go(struct io_thread *t)
{
	struct race race = *(struct race *)t->arg;
	long rounds = 0;
	int fd, n;

	race.seed += t->pos;
	while (io_now_ms() < race.end) {
		fd = member(race.type);
		if (fd < 0)
			return -1;
		nym_option(fd, NYM_LINGER, race.linger);
		/* Sometimes it has never listened. */
		n = io_rand(&race.seed) % 5;
		if (n && listen(fd, io_rand(&race.seed) % 3))
			return -1;
		while (n--)
			echo(fd);
		close(fd);
		rounds++;
	}
	return rounds;
}

/*
 * The one that is always there, until t->buf, a pipe, is closed. It does not
 * look by itself: whatever moves to it has to wake it.
 */
static long serve_always(struct io_thread *t)
{
	struct pollfd pfd[2] = {
		{ .fd = t->fd, .events = POLLIN },
		{ .fd = *(int *)t->buf, .events = POLLIN },
	};
	long served = 0;

	while (poll(pfd, 2, -1) > 0 && !pfd[1].revents) {
		echo(t->fd);
		served++;
	}
	return served;
}

/* Calls until the end; gives how many were answered, or -1 with the errno. */
static long call_always(struct io_thread *t)
{
	struct race *race = t->arg;
	struct tally tally = { 0 };
	long answers = 0;
	int fd;

	while (io_now_ms() < race->end) {
		char in, out = answers;

		in = ~out;
		fd = connect_to_service(race->type, t->flags, &tally);
		if (fd < 0)
			return -1;
		/* Who is forgotten by a server that sleeps shall tell. */
		nym_set_timeout(fd, SO_RCVTIMEO, NYM_PATIENCE_MS);
		errno = 0;
		if (send(fd, &out, 1, MSG_NOSIGNAL) != 1 ||
		    recv(fd, &in, 1, 0) != 1 || in != out)
			return nym_give_up(fd);
		close(fd);
		answers++;
	}
	return answers;
}

FIXTURE(race)
{
	struct race race;
	struct io_thread server[3];
	struct io_thread caller[4];
};

FIXTURE_SETUP(race)
{
	BEGIN();
	memset(self, 0, sizeof(*self));
	self->race.seed = io_seed();
	self->race.type = SOCK_STREAM;
	self->race.end = io_now_ms() + RACE_MS;
	TH_LOG("seed %u", self->race.seed);
}

FIXTURE_TEARDOWN(race)
{
	end_lingering();
}

#define START_CALLERS() do { \
	int __i; \
	for (__i = 0; __i < 4; __i++) { \
		self->caller[__i].flags = __i & 1; \
		self->caller[__i].arg = &self->race; \
		io_start(&self->caller[__i], call_always); \
	} \
} while (0)

#define END_CALLERS() do { \
	int __i; \
	for (__i = 0; __i < 4; __i++) { \
		EXPECT_LT(0, io_join(&self->caller[__i])) { \
			TH_LOG("caller %d: %s", __i, \
			       strerrorname_np(self->caller[__i].err)); \
		} \
	} \
} while (0)

TEST_F(race, members_come_and_go_and_every_call_is_answered)
{
	int i, stop[2], l = member_listen(SOCK_STREAM, 1);

	ASSERT_FD(l);
	ASSERT_OK(pipe2(stop, O_CLOEXEC));
	self->server[2] = (struct io_thread){ .fd = l, .buf = &stop[0] };
	io_start(&self->server[2], serve_always);
	for (i = 0; i < 2; i++) {
		self->server[i].arg = &self->race;
		self->server[i].pos = i;
		io_start(&self->server[i], come_and_go);
	}
	START_CALLERS();
	for (i = 0; i < 2; i++) {
		EXPECT_LT(0, io_join(&self->server[i])) {
			TH_LOG("%s", strerrorname_np(self->server[i].err));
		}
	}
	END_CALLERS();
	close(stop[1]);
	io_join(&self->server[2]);
	close(stop[0]);
	close(l);
}

/* Nobody is always there, but the name lingers. */
TEST_F(race, a_lingering_name_dies_and_returns_and_every_call_is_answered)
{
	int i, stop[2], l;

	ASSERT_OK(pipe2(stop, O_CLOEXEC));
	self->race.linger = LONG;
	for (i = 0; i < 2; i++) {
		self->server[i].arg = &self->race;
		self->server[i].pos = i;
	}
	l = member_listen(SOCK_STREAM, 1);
	ASSERT_OK(nym_option(l, NYM_LINGER, LONG));
	START_CALLERS();
	close(l);
	for (i = 0; i < 2; i++)
		io_start(&self->server[i], come_and_go);
	for (i = 0; i < 2; i++) {
		EXPECT_LT(0, io_join(&self->server[i])) {
			TH_LOG("%s", strerrorname_np(self->server[i].err));
		}
	}
	/* Whoever still waits is served. */
	l = member_listen(SOCK_STREAM, 1);
	ASSERT_FD(l);
	self->server[2] = (struct io_thread){ .fd = l, .buf = &stop[0] };
	io_start(&self->server[2], serve_always);
	END_CALLERS();
	close(stop[1]);
	io_join(&self->server[2]);
	close(stop[0]);
	close(l);
}

NYM_TEST_MAIN
