// SPDX-License-Identifier: GPL-2.0
/*
 * Races: calls that meet a close, a shutdown, a bind or a fork at any moment.
 * Each test runs for a few seconds and checks that every call came back with
 * an answer that makes sense, and that the counts balance.
 */
#include "nym_test.h"
#include "nym_io.h"

#include <sched.h>
#include <semaphore.h>

#define RACE_MS		3000
#define RACE_MAX	20000	/* rounds, for fast machines */

FIXTURE(race)
{
	__u32 seed;
	long end;
};

FIXTURE_SETUP(race)
{
	SKIP_WITHOUT_NYM();
	self->seed = io_seed();
	self->end = io_now_ms() + RACE_MS;
	TH_LOG("seed %u", self->seed);
	signal(SIGPIPE, SIG_IGN);
}

FIXTURE_TEARDOWN(race)
{
}

/* A pause of random length, short enough to fall into the other's call. */
static void dither(__u32 *seed)
{
	volatile __u32 n = io_rand(seed) % 3000;

	while (n)
		n--;
	if (!(io_rand(seed) & 7))
		sched_yield();
}

static bool in(int err, const int *allowed)
{
	while (*allowed && *allowed != err)
		allowed++;
	return *allowed;
}

/* What a thread got is a count, or one of these errors. */
#define EXPECT_COUNT_OR(_t, ...) do { \
	static const int __errs[] = { __VA_ARGS__, 0 }; \
	EXPECT_TRUE((_t)->ret >= 0 || in((_t)->err, __errs)) { \
		TH_LOG("%s", strerrorname_np((_t)->err)); \
	} \
} while (0)

/* --- One connection --- */

static long recv_some(struct io_thread *t)
{
	__u8 buf[10];

	return recv(t->fd, buf, sizeof(buf), MSG_WAITALL);
}

/* Both ends are closed in any order while others are asleep or busy there. */
TEST_F(race, close_against_recv_send_and_poll)
{
	int round, i;

	for (round = 0; round < RACE_MAX && io_now_ms() < self->end; round++) {
		struct io_thread t[4];
		int fd[2], first = io_rand(&self->seed) & 1;

		ASSERT_OK(nym_pair(fd));
		t[0] = (struct io_thread){ .fd = dup(fd[0]), .len = 1 << 20 };
		t[1] = (struct io_thread){ .fd = dup(fd[1]) };
		t[2] = (struct io_thread){ .fd = dup(fd[1]), .flags = POLLIN };
		t[3] = (struct io_thread){ .fd = dup(fd[0]), .flags = POLLRDHUP };
		io_start(&t[0], io_do_send);
		io_start(&t[1], recv_some);
		io_start(&t[2], io_do_poll);
		io_start(&t[3], io_do_poll);
		dither(&self->seed);
		close(fd[first]);
		close(fd[!first]);
		/* The sleepers keep their end open; these let them go. */
		io_join(&t[1]);
		io_join(&t[2]);
		close(t[1].fd);
		close(t[2].fd);
		io_join(&t[0]);
		io_join(&t[3]);
		EXPECT_COUNT_OR(&t[0], EPIPE, ECONNRESET);
		EXPECT_EQ(10, t[1].ret);
		EXPECT_EQ(POLLIN, t[2].ret & POLLIN);
		EXPECT_NE(0, t[3].ret & POLLRDHUP);
		for (i = 0; i < 4; i += 3)
			close(t[i].fd);
	}
	TH_LOG("%d rounds", round);
}

/* What was sent before the shutdown arrives, and nothing that was not sent. */
TEST_F(race, shutdown_against_send_and_recv)
{
	int round;

	for (round = 0; round < RACE_MAX && io_now_ms() < self->end; round++) {
		int fd[2], how = io_rand(&self->seed) % 3;
		int who = io_rand(&self->seed) & 1;
		struct io_thread t;
		long got = 0;

		ASSERT_OK(nym_pair(fd));
		/* The writer shuts its writing side, the reader its reading. */
		if (how != SHUT_RDWR)
			how = who ? SHUT_RD : SHUT_WR;
		t = (struct io_thread){ .fd = fd[0], .len = 1 << 30 };
		io_start(&t, io_do_send_all);
		got = io_recv_all(fd[1], 0, io_rand(&self->seed) % 50000, 3000,
				  NULL);
		dither(&self->seed);
		ASSERT_OK(shutdown(fd[who], how));
		got += io_recv_all(fd[1], got, 1 << 30, 4096, NULL);
		io_join(&t);
		ASSERT_EQ(t.ret, got) {
			TH_LOG("round %d: how %d who %d", round, how, who);
		}
		close(fd[0]);
		close(fd[1]);
	}
	TH_LOG("%d rounds", round);
}

/* Answers as soon as it can, even before the sender is done, and hangs up. */
static long answer_and_close(struct io_thread *t)
{
	char c = 0;
	ssize_t n;

	do {
		n = recv(t->fd, &c, 1, MSG_DONTWAIT);
	} while (n < 0 && errno == EAGAIN);
	if (n == 1)
		n = send(t->fd, &c, 1, MSG_NOSIGNAL);
	close(t->fd);
	return n;
}

/* Whose bytes have all been read is not reset, but gets the answer and the end. */
TEST_F(race, an_answer_before_the_close_arrives)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET };
	int round;

	for (round = 0; round < RACE_MAX && io_now_ms() < self->end; round++) {
		struct io_thread t = { };
		char c = round;
		int fd[2];

		ASSERT_OK(socketpair(AF_NYM, types[round & 1], 0, fd));
		t.fd = fd[1];
		io_start(&t, answer_and_close);
		dither(&self->seed);
		ASSERT_EQ(1, send(fd[0], &c, 1, 0));
		c = ~round;
		ASSERT_EQ(1, recv(fd[0], &c, 1, 0));
		ASSERT_EQ((char)round, c);
		ASSERT_EQ(0, recv(fd[0], &c, 1, 0));
		ASSERT_EQ(1, io_join(&t));
		close(fd[0]);
	}
	TH_LOG("%d rounds", round);
}

static long send_and_close(struct io_thread *t)
{
	long done = io_send_all(t->fd, 0, t->len);

	close(t->fd);
	return done;
}

/* The writer's end goes away: the reader gets every byte that was sent. */
TEST_F(race, close_after_send_loses_nothing)
{
	int round;

	for (round = 0; round < RACE_MAX && io_now_ms() < self->end; round++) {
		long len = io_rand_size(&self->seed, 20000), got;
		struct io_thread t;
		int fd[2];

		ASSERT_OK(nym_pair(fd));
		t = (struct io_thread){ .fd = fd[0], .len = len };
		io_start(&t, send_and_close);
		got = io_recv_all(fd[1], 0, 1 << 30, 1777, &self->seed);
		EXPECT_EQ(len, io_join(&t));
		ASSERT_EQ(len, got) {
			TH_LOG("round %d", round);
		}
		close(fd[1]);
	}
	TH_LOG("%d rounds", round);
}

/* --- Between two instructions --- */

struct receiver {
	sem_t go;
	sem_t done;
	int fd;		/* or -1 for the end */
	long ret;
};

static long receive_each(struct io_thread *t)
{
	struct receiver *r = t->buf;
	char c;

	while (!sem_wait(&r->go) && r->fd >= 0) {
		r->ret = recv(r->fd, &c, 1, 0);
		sem_post(&r->done);
	}
	return 0;
}

/* What this thread does comes between two instructions of those it starts. */
static bool go_first(void)
{
	struct sched_param one = { .sched_priority = 1 };
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	return !sched_setaffinity(0, sizeof(cpus), &cpus) &&
	       !sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &one);
}

/* What was sent on fd[0] is all that fd[1] gets. */
static int end(int fd[2], int type)
{
	int err = type == SOCK_DGRAM ? shutdown(fd[1], SHUT_RD) : 0;

	return close(fd[0]) ? -1 : err;
}

/* A message and the end come at any moment of a receive: it gets the message. */
TEST_F(race, a_message_before_the_end_is_received)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM, SOCK_DGRAM };
	struct receiver r = { };
	struct io_thread t = { .buf = (void *)&r };
	int round;

	ASSERT_OK(sem_init(&r.go, 0, 0));
	ASSERT_OK(sem_init(&r.done, 0, 0));
	ASSERT_TRUE(go_first());
	io_start(&t, receive_each);
	for (round = 0; round < RACE_MAX && io_now_ms() < self->end; round++) {
		struct timespec ts = { .tv_nsec = io_rand(&self->seed) % 400000 };
		int fd[2], type = types[round & 3];

		ASSERT_OK(socketpair(AF_NYM, type, 0, fd));
		r.fd = fd[1];
		sem_post(&r.go);
		nanosleep(&ts, NULL);
		EXPECT_EQ(1, send(fd[0], "x", 1, 0));
		EXPECT_OK(end(fd, type));
		sem_wait(&r.done);
		EXPECT_EQ(1, r.ret) {
			TH_LOG("round %d, after %ld ns", round, ts.tv_nsec);
		}
		close(fd[1]);
	}
	r.fd = -1;
	sem_post(&r.go);
	io_join(&t);
	TH_LOG("%d rounds", round);
}

/* --- Names --- */

struct caller {
	long end;
	__u32 seed;
	/* What became of the calls. */
	long accepted;	/* the server's byte came */
	long reset;	/* queued, then the listener went away */
	long refused;
	long withdrawn;
	long odd;	/* anything else */
};

/* Was this call, which the server has in its queue, accepted? */
static void await_server(struct caller *c, int fd)
{
	long end = io_now_ms() + IO_POLL_MS;
	char byte = 0;
	ssize_t n;

	/* A bound on the wait: a call that is never answered is odd. */
	io_set_timeout(fd, SO_RCVTIMEO, IO_POLL_MS);
	n = recv(fd, &byte, 1, 0);
	if (io_now_ms() >= end)
		c->odd++;
	else if (n == 1 && byte == 'k')
		c->accepted++;
	else if (n < 0 && errno == ECONNRESET)
		c->reset++;
	else
		c->odd++;
}

/* Accepts without waiting and answers each call; gives how many. */
static long serve(int l)
{
	long n = 0;
	int fd;

	while ((fd = accept4(l, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		send(fd, "k", 1, MSG_NOSIGNAL);
		close(fd);
		n++;
	}
	return n;
}

static long blocking_caller(struct io_thread *t)
{
	struct caller *c = t->arg;
	int fd;

	while (io_now_ms() < c->end) {
		fd = nym_connect("t/race/name");
		if (fd >= 0)
			await_server(c, fd);
		else if (errno == ECONNREFUSED)
			c->refused++;
		else
			c->odd++;
		close(fd);
		dither(&c->seed);
	}
	return 0;
}

/* The name comes and goes while others call it. */
TEST_F(race, connect_against_bind_and_close)
{
	struct caller c[3];
	struct io_thread t[3];
	long served = 0, accepted = 0, reset = 0, refused = 0;
	int i, l, rounds = 0;

	for (i = 0; i < 3; i++) {
		c[i] = (struct caller){ .end = self->end,
					.seed = self->seed + 2 * i };
		t[i] = (struct io_thread){ .arg = &c[i] };
		io_start(&t[i], blocking_caller);
	}
	for (; io_now_ms() < self->end; rounds++) {
		l = nym_listen("t/race/name", io_rand(&self->seed) % 4);
		EXPECT_LE(0, l);
		nym_set_nonblock(l, true);
		dither(&self->seed);
		if (io_rand(&self->seed) & 1)
			served += serve(l);
		close(l);
		dither(&self->seed);
	}
	for (i = 0; i < 3; i++) {
		io_join(&t[i]);
		EXPECT_EQ(0, c[i].odd);
		accepted += c[i].accepted;
		reset += c[i].reset;
		refused += c[i].refused;
	}
	EXPECT_EQ(served, accepted);
	TH_LOG("%d names, %ld accepted, %ld reset, %ld refused", rounds,
	       accepted, reset, refused);
}

/* --- Listeners --- */

TEST_F(race, accept_against_close_of_the_listener)
{
	int round, i;

	for (round = 0; round < RACE_MAX && io_now_ms() < self->end; round++) {
		struct io_thread t[3];
		int l = nym_listen("t/race/accept", 5), c[3];
		long accepted = 0, reached = 0;
		char byte;

		ASSERT_FD(l);
		for (i = 0; i < 3; i++) {
			t[i] = (struct io_thread){ .fd = dup(l) };
			io_start(&t[i], io_do_accept);
		}
		for (i = 0; i < 3; i++) {
			c[i] = nym_connect("t/race/accept");
			ASSERT_FD(c[i]);
			if (!(io_rand(&self->seed) & 3))
				break;
		}
		dither(&self->seed);
		ASSERT_OK(shutdown(l, SHUT_RD));
		close(l);
		while (i < 2)
			c[++i] = -1;
		for (i = 0; i < 3; i++) {
			io_join(&t[i]);
			EXPECT_COUNT_OR(&t[i], EINVAL);
			close(t[i].fd);
			if (t[i].ret >= 0) {
				accepted++;
				send(t[i].ret, "k", 1, MSG_NOSIGNAL);
				close(t[i].ret);
			}
		}
		/* Pending calls come before the end of the listener. */
		for (i = 0; i < 3; i++) {
			if (c[i] >= 0 && recv(c[i], &byte, 1, 0) == 1)
				reached++;
			close(c[i]);
		}
		ASSERT_EQ(accepted, reached);
	}
	TH_LOG("%d rounds", round);
}

/* One call that does not wait, and may be given up at any moment. */
static void impatient_call(struct caller *c)
{
	int fd = nym_socket_nonblock(), mask;
	bool waits;

	if (nym_call(fd, "t/race/park")) {
		if (errno == ECONNREFUSED) {
			c->refused++;
			goto out;
		}
		if (errno != EINPROGRESS) {
			c->odd++;
			goto out;
		}
		dither(&c->seed);
		waits = io_rand(&c->seed) & 1;
		mask = waits ? io_poll_wait(fd, POLLOUT) : io_poll(fd, POLLOUT, 0);
		if (!mask) {
			/* Who waits is told what becomes of it. */
			*(waits ? &c->odd : &c->withdrawn) += 1;
			goto out;
		}
		if (mask & POLLERR) {
			int err = io_so_error(fd);

			/* Refused while parked, or queued and then reset. */
			if (err == ECONNREFUSED)
				c->refused++;
			else if (err == ECONNRESET)
				c->reset++;
			else
				c->odd++;
			goto out;
		}
	}
	if (!(io_rand(&c->seed) & 7)) {
		c->withdrawn++;
		goto out;
	}
	nym_set_nonblock(fd, false);
	await_server(c, fd);
out:
	close(fd);
}

static long impatient_caller(struct io_thread *t)
{
	struct caller *c = t->arg;

	while (io_now_ms() < c->end)
		impatient_call(c);
	return 0;
}

#define PARKERS	6

TEST_F(race, parked_callers_come_and_go)
{
	struct caller c[PARKERS], sum = { 0 };
	struct io_thread t[PARKERS];
	int i, l, changes = 0;
	long served = 0;

	l = nym_listen("t/race/park", 0);
	ASSERT_FD(l);
	for (i = 0; i < PARKERS; i++) {
		c[i] = (struct caller){ .end = self->end,
					.seed = self->seed + 2 * i };
		t[i] = (struct io_thread){ .arg = &c[i] };
		io_start(&t[i], impatient_caller);
	}
	while (io_now_ms() < self->end) {
		nym_set_nonblock(l, true);
		served += serve(l);
		dither(&self->seed);
		if (!(io_rand(&self->seed) & 3)) {
			EXPECT_OK(listen(l, io_rand(&self->seed) % 4));
			changes++;
		}
		if (!(io_rand(&self->seed) & 63)) {
			close(l);
			l = nym_listen("t/race/park", 0);
			EXPECT_LE(0, l);
		}
	}
	/* Those who still wait are told by the end of the listener. */
	close(l);
	for (i = 0; i < PARKERS; i++) {
		io_join(&t[i]);
		EXPECT_EQ(0, c[i].odd);
		sum.accepted += c[i].accepted;
		sum.reset += c[i].reset;
		sum.refused += c[i].refused;
		sum.withdrawn += c[i].withdrawn;
	}
	TH_LOG("%ld served, %ld reset, %ld refused, %ld withdrawn, %d changes",
	       served, sum.reset, sum.refused, sum.withdrawn, changes);
	/* Who withdrew may have been accepted before; nobody else can differ. */
	EXPECT_LE(sum.accepted, served);
	EXPECT_LE(served, sum.accepted + sum.withdrawn);
	EXPECT_LT(0, served);
}

/* --- Processes --- */

/* Sends its byte, then ends in one of several ways. */
static void short_life(int fd, __u32 seed)
{
	dither(&seed);
	if (send(fd, "x", 1, MSG_NOSIGNAL) != 1)
		_exit(1);
	if (seed & 1)
		close(fd);
	if (seed & 2)
		kill(getpid(), SIGKILL);
	_exit(0);
}

/* The end comes after the last of many processes has gone, and only then. */
TEST_F(race, fork_storm_on_one_socket)
{
	int round, i, status;

	for (round = 0; round < RACE_MAX && io_now_ms() < self->end; round++) {
		int fd[2], children = io_rand_size(&self->seed, 12);
		char buf[16];

		ASSERT_OK(nym_pair(fd));
		for (i = 0; i < children; i++) {
			pid_t pid = fork();

			ASSERT_LE(0, pid);
			if (!pid) {
				close(fd[1]);
				short_life(fd[0], self->seed + 2 * i);
			}
		}
		close(fd[0]);
		EXPECT_EQ(children, recv(fd[1], buf, children, MSG_WAITALL));
		EXPECT_EQ(0, recv(fd[1], buf, 16, 0));
		for (i = 0; i < children; i++)
			ASSERT_LT(0, wait(&status));
		close(fd[1]);
	}
	TH_LOG("%d rounds", round);
}

TEST_F(race, fork_storm_of_callers)
{
	int round, i, status, l = nym_listen("t/race/storm", 2);
	char byte;

	ASSERT_FD(l);
	for (round = 0; round < RACE_MAX && io_now_ms() < self->end; round++) {
		int children = io_rand_size(&self->seed, 12);

		for (i = 0; i < children; i++) {
			pid_t pid = fork();

			ASSERT_LE(0, pid);
			if (!pid)
				short_life(nym_connect("t/race/storm"),
					   self->seed + 2 * i);
		}
		for (i = 0; i < children; i++) {
			int fd = accept(l, NULL, NULL);

			ASSERT_FD(fd);
			EXPECT_EQ(1, recv(fd, &byte, 1, 0));
			EXPECT_EQ(0, recv(fd, &byte, 1, 0));
			close(fd);
		}
		for (i = 0; i < children; i++)
			ASSERT_LT(0, wait(&status));
	}
	EXPECT_EQ(0, nym_poll_now(l, POLLIN));
	TH_LOG("%d rounds", round);
	close(l);
}

NYM_TEST_MAIN
