// SPDX-License-Identifier: GPL-2.0
/*
 * Waiting: poll, select, epoll (level and edge), signal-driven input, and who
 * is woken by what.
 */
#include "nym_test.h"
#include "nym_io.h"

#include <sys/epoll.h>
#include <sys/select.h>

#define OUT	(POLLOUT | POLLWRNORM | POLLWRBAND)
#define IN	(POLLIN | POLLRDNORM)
#define RDHUP	0x2000

FIXTURE(pair)
{
	int a;
	int b;
	int ep;
};

FIXTURE_SETUP(pair)
{
	int fd[2];

	SKIP_WITHOUT_NYM();
	ASSERT_OK(nym_pair(fd));
	self->a = fd[0];
	self->b = fd[1];
	self->ep = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_FD(self->ep);
}

FIXTURE_TEARDOWN(pair)
{
	close(self->a);
	close(self->b);
	close(self->ep);
}

FIXTURE(listener)
{
	int l;
	int ep;
};

FIXTURE_SETUP(listener)
{
	SKIP_WITHOUT_NYM();
	self->l = nym_listen("t/poll", 10);
	ASSERT_FD(self->l);
	self->ep = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_FD(self->ep);
}

FIXTURE_TEARDOWN(listener)
{
	close(self->l);
	close(self->ep);
}

static int watch(int ep, int op, int fd, __u32 events)
{
	struct epoll_event ev = { .events = events, .data.fd = fd };

	return epoll_ctl(ep, op, fd, &ev);
}

/* The events of the one descriptor watched; 0 for none within @ms. */
static int happened(int ep, int ms)
{
	struct epoll_event ev[4];
	int n = epoll_wait(ep, ev, 4, ms);

	return n < 0 ? -errno : n ? (int)ev[0].events : 0;
}

/* epoll and select must tell of @fd what poll tells. */
static void all_agree(struct __test_metadata *_metadata, int fd, int mask)
{
	int ep = epoll_create1(EPOLL_CLOEXEC);
	struct timeval now = { 0, 0 };
	fd_set r, w, x;

	EXPECT_EQ(mask, io_mask(fd));
	ASSERT_OK(watch(ep, EPOLL_CTL_ADD, fd, IO_ALL_EVENTS));
	EXPECT_EQ(mask, happened(ep, 0));
	close(ep);

	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_ZERO(&x);
	FD_SET(fd, &r);
	FD_SET(fd, &w);
	FD_SET(fd, &x);
	ASSERT_LE(0, select(fd + 1, &r, &w, &x, &now));
	EXPECT_EQ(!!(mask & (IN | POLLHUP | POLLERR)), !!FD_ISSET(fd, &r));
	EXPECT_EQ(!!(mask & (OUT | POLLERR)), !!FD_ISSET(fd, &w));
	EXPECT_FALSE(FD_ISSET(fd, &x));
}

/* --- The mask in each state --- */

TEST_F(listener, mask_of_a_fresh_and_of_a_bound_socket)
{
	int fd = nym_socket();

	all_agree(_metadata, fd, OUT | POLLHUP);
	ASSERT_OK(nym_bind(fd, "t/poll/bound"));
	all_agree(_metadata, fd, OUT | POLLHUP);
	close(fd);
}

TEST_F(listener, mask_of_a_listener)
{
	int c, s;

	all_agree(_metadata, self->l, 0);
	c = nym_connect("t/poll");
	ASSERT_FD(c);
	all_agree(_metadata, self->l, IN);
	s = accept(self->l, NULL, NULL);
	ASSERT_FD(s);
	all_agree(_metadata, self->l, 0);
	ASSERT_OK(shutdown(self->l, SHUT_RD));
	all_agree(_metadata, self->l, IN | RDHUP);
	close(c);
	close(s);
}

TEST_F(listener, mask_of_a_pending_client)
{
	int c = nym_connect("t/poll");

	ASSERT_FD(c);
	all_agree(_metadata, c, OUT);
	ASSERT_OK(shutdown(self->l, SHUT_RD));
	all_agree(_metadata, c, OUT);
	close(self->l);
	self->l = -1;
	all_agree(_metadata, c, IN | OUT | RDHUP | POLLHUP | POLLERR);
	EXPECT_EQ(ECONNRESET, io_so_error(c));
	all_agree(_metadata, c, IN | OUT | RDHUP | POLLHUP);
	close(c);
}

TEST_F(pair, mask_of_a_connection)
{
	char c;

	all_agree(_metadata, self->a, OUT);
	ASSERT_EQ(1, send(self->b, "x", 1, 0));
	all_agree(_metadata, self->a, IN | OUT);
	all_agree(_metadata, self->b, OUT);
	ASSERT_EQ(1, recv(self->a, &c, 1, 0));
	all_agree(_metadata, self->a, OUT);
}

TEST_F(pair, mask_after_each_shutdown)
{
	ASSERT_OK(shutdown(self->a, SHUT_WR));
	all_agree(_metadata, self->a, OUT);
	all_agree(_metadata, self->b, IN | OUT | RDHUP);
	ASSERT_OK(shutdown(self->b, SHUT_WR));
	all_agree(_metadata, self->a, IN | OUT | RDHUP | POLLHUP);
	all_agree(_metadata, self->b, IN | OUT | RDHUP | POLLHUP);
}

TEST_F(pair, mask_after_shutdown_rd)
{
	ASSERT_OK(shutdown(self->a, SHUT_RD));
	all_agree(_metadata, self->a, IN | OUT | RDHUP);
	all_agree(_metadata, self->b, OUT);
}

TEST_F(pair, mask_after_close)
{
	close(self->a);
	self->a = -1;
	all_agree(_metadata, self->b, IN | OUT | RDHUP | POLLHUP);
}

TEST_F(pair, mask_after_a_reset)
{
	char c;

	ASSERT_EQ(1, send(self->b, "x", 1, 0));
	close(self->a);
	self->a = -1;
	all_agree(_metadata, self->b, IN | OUT | RDHUP | POLLHUP | POLLERR);
	EXPECT_ERRNO(ECONNRESET, recv(self->b, &c, 1, 0));
	all_agree(_metadata, self->b, IN | OUT | RDHUP | POLLHUP);
}

/* --- When there is room to write --- */

TEST_F(pair, writable_means_at_most_half_is_used)
{
	long half = io_sndbuf(self->a) / 2;
	char c;

	ASSERT_EQ(half, io_send_all(self->a, 0, half));
	EXPECT_EQ(OUT, io_mask(self->a));
	ASSERT_EQ(1, send(self->a, "x", 1, 0));
	EXPECT_EQ(0, io_mask(self->a));
	ASSERT_EQ(1, recv(self->b, &c, 1, 0));
	EXPECT_EQ(OUT, io_mask(self->a));
}

TEST_F(pair, a_full_socket_is_writable_once_half_is_read)
{
	long limit = io_fill(self->a, 0, 65536), half = limit / 2;

	ASSERT_LT(0, limit);
	EXPECT_EQ(0, io_mask(self->a));
	ASSERT_EQ(half - 1, io_recv_all(self->b, 0, half - 1, 4096, NULL));
	EXPECT_EQ(0, io_mask(self->a));
	ASSERT_EQ(1, io_recv_all(self->b, half - 1, 1, 1, NULL));
	EXPECT_EQ(OUT, io_mask(self->a));
}

TEST_F(pair, a_full_socket_is_writable_once_the_peer_is_gone)
{
	ASSERT_LT(0, io_fill(self->a, 0, 65536));
	close(self->b);
	self->b = -1;
	EXPECT_EQ(IN | OUT | RDHUP | POLLHUP | POLLERR, io_mask(self->a));
}

/* --- Edge-triggered epoll --- */

TEST_F(pair, edge_reader_hears_of_each_new_data)
{
	char buf[8];
	int i;

	ASSERT_OK(watch(self->ep, EPOLL_CTL_ADD, self->b, EPOLLIN | EPOLLET));
	EXPECT_EQ(0, happened(self->ep, 0));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(1, send(self->a, "x", 1, 0));
		EXPECT_EQ(EPOLLIN, happened(self->ep, IO_POLL_MS));
		EXPECT_EQ(0, happened(self->ep, 0));
	}
	EXPECT_EQ(3, recv(self->b, buf, 8, 0));
	EXPECT_EQ(0, happened(self->ep, 0));
	ASSERT_EQ(1, send(self->a, "x", 1, 0));
	EXPECT_EQ(EPOLLIN, happened(self->ep, IO_POLL_MS));
}

TEST_F(pair, edge_reader_hears_of_the_end)
{
	ASSERT_OK(watch(self->ep, EPOLL_CTL_ADD, self->b,
			EPOLLIN | EPOLLRDHUP | EPOLLET));
	EXPECT_EQ(0, happened(self->ep, 0));
	ASSERT_OK(shutdown(self->a, SHUT_WR));
	EXPECT_EQ(EPOLLIN | EPOLLRDHUP, happened(self->ep, IO_POLL_MS));
	EXPECT_EQ(0, happened(self->ep, 0));
	close(self->a);
	self->a = -1;
	EXPECT_EQ(EPOLLIN | EPOLLRDHUP | EPOLLHUP,
		  happened(self->ep, IO_POLL_MS));
}

/* @used bytes are in the buffer; read them and expect one event at half. */
static void writer_hears_of_room(struct __test_metadata *_metadata, int ep,
				 int reader, long pos, long used, long half)
{
	EXPECT_EQ(0, happened(ep, 0));
	ASSERT_EQ(used - half - 1,
		  io_recv_all(reader, pos, used - half - 1, 4096, NULL));
	EXPECT_EQ(0, happened(ep, 0));
	ASSERT_EQ(1, io_recv_all(reader, pos + used - half - 1, 1, 1, NULL));
	EXPECT_EQ(EPOLLOUT, happened(ep, IO_POLL_MS));
	EXPECT_EQ(0, happened(ep, 0));
}

TEST_F(pair, edge_writer_hears_of_room_after_eagain)
{
	long limit = io_sndbuf(self->a), half = limit / 2, pos = 0;
	int round;

	ASSERT_OK(watch(self->ep, EPOLL_CTL_ADD, self->a, EPOLLOUT | EPOLLET));
	EXPECT_EQ(EPOLLOUT, happened(self->ep, 0));
	/* Every round: the wake-up must not depend on the first time. */
	for (round = 0; round < 4; round++, pos += limit) {
		ASSERT_EQ(limit, io_fill(self->a, pos, 10000));
		writer_hears_of_room(_metadata, self->ep, self->b, pos, limit,
				     half);
		ASSERT_EQ(half, io_drain(self->b, pos + limit - half));
		happened(self->ep, 0);
	}
}

TEST_F(pair, edge_writer_hears_of_room_after_a_short_write)
{
	long limit = io_sndbuf(self->a);

	ASSERT_OK(watch(self->ep, EPOLL_CTL_ADD, self->a, EPOLLOUT | EPOLLET));
	EXPECT_EQ(EPOLLOUT, happened(self->ep, 0));
	/* No EAGAIN was seen: the short count says the same. */
	ASSERT_EQ(limit, send(self->a, io_at(0), limit + 5000, MSG_DONTWAIT));
	writer_hears_of_room(_metadata, self->ep, self->b, 0, limit, limit / 2);
}

TEST_F(pair, edge_writer_hears_of_the_peers_end)
{
	ASSERT_LT(0, io_fill(self->a, 0, 65536));
	ASSERT_OK(watch(self->ep, EPOLL_CTL_ADD, self->a, EPOLLOUT | EPOLLET));
	EXPECT_EQ(0, happened(self->ep, 0));
	close(self->b);
	self->b = -1;
	EXPECT_EQ(EPOLLOUT | EPOLLHUP | EPOLLERR,
		  happened(self->ep, IO_POLL_MS));
}

TEST_F(listener, edge_acceptor_hears_of_each_call)
{
	int c[3], i;

	ASSERT_OK(watch(self->ep, EPOLL_CTL_ADD, self->l, EPOLLIN | EPOLLET));
	for (i = 0; i < 3; i++) {
		c[i] = nym_connect("t/poll");
		ASSERT_FD(c[i]);
		EXPECT_EQ(EPOLLIN, happened(self->ep, IO_POLL_MS));
		EXPECT_EQ(0, happened(self->ep, 0));
	}
	for (i = 0; i < 3; i++)
		close(c[i]);
}

/* --- Level-triggered and the other flags of epoll --- */

TEST_F(pair, level_repeats_until_read)
{
	char c;

	ASSERT_OK(watch(self->ep, EPOLL_CTL_ADD, self->b, EPOLLIN));
	EXPECT_EQ(0, happened(self->ep, 0));
	ASSERT_EQ(1, send(self->a, "x", 1, 0));
	EXPECT_EQ(EPOLLIN, happened(self->ep, IO_POLL_MS));
	EXPECT_EQ(EPOLLIN, happened(self->ep, 0));
	ASSERT_EQ(1, recv(self->b, &c, 1, 0));
	EXPECT_EQ(0, happened(self->ep, 0));
}

TEST_F(pair, hup_and_err_need_not_be_asked_for)
{
	ASSERT_OK(watch(self->ep, EPOLL_CTL_ADD, self->b, 0));
	EXPECT_EQ(0, happened(self->ep, 0));
	ASSERT_EQ(1, send(self->b, "x", 1, 0));
	close(self->a);
	self->a = -1;
	EXPECT_EQ(EPOLLHUP | EPOLLERR, happened(self->ep, IO_POLL_MS));
	EXPECT_EQ(POLLHUP | POLLERR, io_poll(self->b, 0, 0));
}

TEST_F(pair, oneshot_fires_once_until_armed_again)
{
	ASSERT_OK(watch(self->ep, EPOLL_CTL_ADD, self->b,
			EPOLLIN | EPOLLONESHOT));
	ASSERT_EQ(1, send(self->a, "x", 1, 0));
	EXPECT_EQ(EPOLLIN, happened(self->ep, IO_POLL_MS));
	ASSERT_EQ(1, send(self->a, "y", 1, 0));
	EXPECT_EQ(0, happened(self->ep, 0));
	ASSERT_OK(watch(self->ep, EPOLL_CTL_MOD, self->b,
			EPOLLIN | EPOLLONESHOT));
	EXPECT_EQ(EPOLLIN, happened(self->ep, IO_POLL_MS));
	EXPECT_EQ(0, happened(self->ep, 0));
}

#define WAITERS	4

static long wait_epoll(struct io_thread *t)
{
	return happened(t->fd, t->flags);
}

static int count_done(struct io_thread t[WAITERS])
{
	int i, n = 0;

	for (i = 0; i < WAITERS; i++)
		n += io_done(&t[i]);
	return n;
}

static bool wait_done(struct io_thread t[WAITERS], int want)
{
	long end = io_now_ms() + IO_POLL_MS;

	while (count_done(t) < want && io_now_ms() < end)
		usleep(1000);
	return count_done(t) >= want;
}

/* WAITERS threads, each asleep in an epoll of its own on listener @l. */
static void start_waiters(struct __test_metadata *_metadata, int l,
			  struct io_thread t[WAITERS], __u32 events)
{
	int i;

	for (i = 0; i < WAITERS; i++) {
		t[i] = (struct io_thread){ .fd = epoll_create1(EPOLL_CLOEXEC),
					   .flags = IO_POLL_MS };
		ASSERT_OK(watch(t[i].fd, EPOLL_CTL_ADD, l, events));
		io_start(&t[i], wait_epoll);
	}
	for (i = 0; i < WAITERS; i++)
		ASSERT_TRUE(io_wait_blocked(&t[i]));
}

TEST_F(listener, exclusive_wakes_one_epoll_a_call)
{
	struct io_thread t[WAITERS];
	int c[WAITERS], i, j;

	start_waiters(_metadata, self->l, t, EPOLLIN | EPOLLEXCLUSIVE);
	for (i = 0; i < WAITERS; i++) {
		c[i] = nym_connect("t/poll");
		ASSERT_FD(c[i]);
		ASSERT_TRUE(wait_done(t, i + 1));
		/* The others must go on sleeping. */
		for (j = 0; j < WAITERS; j++)
			if (!io_done(&t[j]))
				EXPECT_TRUE(io_wait_blocked(&t[j]));
		EXPECT_EQ(i + 1, count_done(t));
	}
	for (i = 0; i < WAITERS; i++) {
		EXPECT_EQ(EPOLLIN, io_join(&t[i]));
		close(t[i].fd);
		close(c[i]);
	}
}

TEST_F(listener, every_epoll_hears_of_a_call)
{
	struct io_thread t[WAITERS];
	int c, i;

	start_waiters(_metadata, self->l, t, EPOLLIN);
	c = nym_connect("t/poll");
	ASSERT_FD(c);
	for (i = 0; i < WAITERS; i++) {
		EXPECT_EQ(EPOLLIN, io_join(&t[i]));
		close(t[i].fd);
	}
	close(c);
}

/* --- A blocked poll is woken --- */

static void poll_blocks(struct __test_metadata *_metadata, struct io_thread *t,
			int fd, int events)
{
	*t = (struct io_thread){ .fd = fd, .flags = events };
	io_start(t, io_do_poll);
	ASSERT_TRUE(io_wait_blocked(t));
}

TEST_F(pair, poll_is_woken_by_data)
{
	struct io_thread t;

	poll_blocks(_metadata, &t, self->b, POLLIN);
	ASSERT_EQ(1, send(self->a, "x", 1, 0));
	EXPECT_EQ(POLLIN, io_join(&t));
}

TEST_F(pair, poll_is_woken_by_room)
{
	long limit = io_fill(self->a, 0, 65536);
	struct io_thread t;

	ASSERT_LT(0, limit);
	poll_blocks(_metadata, &t, self->a, POLLOUT);
	ASSERT_EQ(limit / 2, io_recv_all(self->b, 0, limit / 2, 4096, NULL));
	EXPECT_EQ(POLLOUT, io_join(&t));
}

TEST_F(pair, poll_is_woken_by_the_peers_shutdown)
{
	struct io_thread t;

	poll_blocks(_metadata, &t, self->b, POLLIN | RDHUP);
	ASSERT_OK(shutdown(self->a, SHUT_WR));
	EXPECT_EQ(POLLIN | RDHUP, io_join(&t));
}

TEST_F(pair, poll_is_woken_by_own_shutdown)
{
	struct io_thread t;

	poll_blocks(_metadata, &t, self->b, POLLIN);
	ASSERT_OK(shutdown(self->b, SHUT_RD));
	EXPECT_EQ(POLLIN, io_join(&t));
}

TEST_F(pair, poll_is_woken_by_close)
{
	struct io_thread t;

	poll_blocks(_metadata, &t, self->b, POLLIN);
	close(self->a);
	self->a = -1;
	EXPECT_EQ(POLLIN | POLLHUP, io_join(&t));
}

TEST_F(pair, poll_is_woken_by_a_reset)
{
	struct io_thread t;

	ASSERT_EQ(1, send(self->b, "x", 1, 0));
	poll_blocks(_metadata, &t, self->b, 0);
	close(self->a);
	self->a = -1;
	EXPECT_EQ(POLLHUP | POLLERR, io_join(&t));
}

TEST_F(listener, poll_is_woken_by_a_call)
{
	struct io_thread t;
	int c;

	poll_blocks(_metadata, &t, self->l, POLLIN);
	c = nym_connect("t/poll");
	ASSERT_FD(c);
	EXPECT_EQ(POLLIN, io_join(&t));
	close(c);
}

TEST_F(listener, poll_of_a_listener_is_woken_by_its_shutdown)
{
	struct io_thread t;

	poll_blocks(_metadata, &t, self->l, POLLIN);
	ASSERT_OK(shutdown(self->l, SHUT_RD));
	EXPECT_EQ(POLLIN, io_join(&t));
}

TEST_F(listener, poll_of_a_pending_client_is_woken_by_the_listeners_close)
{
	int c = nym_connect("t/poll");
	struct io_thread t;

	ASSERT_FD(c);
	poll_blocks(_metadata, &t, c, POLLIN);
	close(self->l);
	self->l = -1;
	EXPECT_EQ(POLLIN | POLLHUP | POLLERR, io_join(&t));
	close(c);
}

static int connect_nonblock(const char *name)
{
	int fd = nym_socket_nonblock();

	nym_call(fd, name);
	return fd;
}

TEST_F(listener, poll_of_a_parked_caller_is_woken_by_accept)
{
	struct io_thread t;
	int first, parked, s;

	ASSERT_OK(listen(self->l, 0));
	first = nym_connect("t/poll");
	ASSERT_FD(first);
	parked = connect_nonblock("t/poll");
	EXPECT_EQ(0, io_mask(parked));
	poll_blocks(_metadata, &t, parked, POLLOUT);
	s = accept(self->l, NULL, NULL);
	ASSERT_FD(s);
	EXPECT_EQ(POLLOUT, io_join(&t));
	EXPECT_EQ(OUT, io_mask(parked));
	close(s);
	close(first);
	close(parked);
}

TEST_F(listener, edge_epoll_of_a_parked_caller_fires_on_accept)
{
	int first, parked, s;

	ASSERT_OK(listen(self->l, 0));
	first = nym_connect("t/poll");
	ASSERT_FD(first);
	parked = connect_nonblock("t/poll");
	ASSERT_OK(watch(self->ep, EPOLL_CTL_ADD, parked, EPOLLOUT | EPOLLET));
	EXPECT_EQ(0, happened(self->ep, 0));
	s = accept(self->l, NULL, NULL);
	ASSERT_FD(s);
	EXPECT_EQ(EPOLLOUT, happened(self->ep, IO_POLL_MS));
	close(s);
	close(first);
	close(parked);
}

TEST_F(listener, poll_of_a_parked_caller_is_woken_by_refusal)
{
	struct io_thread t;
	int first, parked;

	ASSERT_OK(listen(self->l, 0));
	first = nym_connect("t/poll");
	ASSERT_FD(first);
	parked = connect_nonblock("t/poll");
	poll_blocks(_metadata, &t, parked, POLLOUT);
	close(self->l);
	self->l = -1;
	EXPECT_EQ(POLLOUT | POLLHUP | POLLERR, io_join(&t));
	EXPECT_EQ(ECONNREFUSED, io_so_error(parked));
	close(first);
	close(parked);
}

static long do_select(struct io_thread *t)
{
	return select(FD_SETSIZE, t->arg, NULL, NULL, NULL);
}

TEST_F(pair, select_is_woken_by_data)
{
	fd_set r;
	struct io_thread t = { .arg = &r };

	FD_ZERO(&r);
	FD_SET(self->a, &r);
	FD_SET(self->b, &r);
	io_start(&t, do_select);
	ASSERT_TRUE(io_wait_blocked(&t));
	ASSERT_EQ(1, send(self->a, "x", 1, 0));
	EXPECT_EQ(1, io_join(&t));
	EXPECT_TRUE(FD_ISSET(self->b, &r));
	EXPECT_FALSE(FD_ISSET(self->a, &r));
}

/* --- Signal-driven input and output --- */

#define SIG	(SIGRTMIN + 1)

/* The signal for @fd and its band, queued and blocked, taken when it comes. */
static int arm_sigio(int fd)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIG);
	if (sigprocmask(SIG_BLOCK, &set, NULL) ||
	    fcntl(fd, F_SETOWN, getpid()) || fcntl(fd, F_SETSIG, SIG))
		return -1;
	return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC);
}

static int next_band(int fd, int ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000L };
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIG);
	if (sigtimedwait(&set, &info, &ts) != SIG)
		return 0;
	return info.si_fd == fd ? (int)info.si_band : -1;
}

TEST_F(pair, sigio_tells_of_data)
{
	ASSERT_OK(arm_sigio(self->b));
	EXPECT_EQ(0, next_band(self->b, 0));
	ASSERT_EQ(1, send(self->a, "x", 1, 0));
	EXPECT_EQ(IN, next_band(self->b, IO_POLL_MS));
	EXPECT_EQ(0, next_band(self->b, 0));
}

TEST_F(pair, sigio_tells_of_room_after_eagain)
{
	long limit;

	ASSERT_OK(arm_sigio(self->a));
	limit = io_fill(self->a, 0, 65536);
	ASSERT_LT(0, limit);
	while (next_band(self->a, 0))
		;
	ASSERT_EQ(limit, io_recv_all(self->b, 0, limit, 65536, NULL));
	EXPECT_EQ(OUT, next_band(self->a, IO_POLL_MS));
}

TEST_F(pair, sigio_tells_of_the_end)
{
	ASSERT_OK(arm_sigio(self->b));
	ASSERT_OK(shutdown(self->a, SHUT_WR));
	EXPECT_EQ(IN, next_band(self->b, IO_POLL_MS));
	close(self->a);
	self->a = -1;
	EXPECT_EQ(POLLHUP | POLLERR, next_band(self->b, IO_POLL_MS));
}

TEST_F(listener, sigio_tells_of_a_call)
{
	int c;

	ASSERT_OK(arm_sigio(self->l));
	c = nym_connect("t/poll");
	ASSERT_FD(c);
	EXPECT_EQ(IN, next_band(self->l, IO_POLL_MS));
	close(c);
}

static volatile sig_atomic_t sigios;

static void count_sigio(int sig)
{
	sigios++;
}

TEST_F(pair, plain_sigio_comes_and_stops)
{
	int flags = fcntl(self->b, F_GETFL);

	signal(SIGIO, count_sigio);
	ASSERT_OK(fcntl(self->b, F_SETOWN, getpid()));
	ASSERT_OK(fcntl(self->b, F_SETFL, flags | O_ASYNC));
	ASSERT_EQ(1, send(self->a, "x", 1, 0));
	EXPECT_EQ(1, sigios);
	ASSERT_OK(fcntl(self->b, F_SETFL, flags));
	ASSERT_EQ(1, send(self->a, "x", 1, 0));
	EXPECT_EQ(1, sigios);
}

NYM_TEST_MAIN
