// SPDX-License-Identifier: GPL-2.0
/*
 * SOCK_DGRAM, how much fits and who waits: the room of a receiver and how its
 * senders share it, blocking, poll and epoll, who is woken by what, calls that
 * stall in a page fault, and races.
 */
#include "nym_test.h"
#include "nym_io.h"

#include <linux/userfaultfd.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#define SRV	"t/flow/srv"
#define CLI	"t/flow/cli"
#define THIRD	"t/flow/third"

#define LEN	1000L	/* of a datagram, where any will do */

static int dgram_socket(void)
{
	return socket(AF_NYM, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static int dgram_bound(const char *name)
{
	int fd = dgram_socket();

	return fd >= 0 && nym_bind(fd, name) ? nym_give_up(fd) : fd;
}

static int dgram_connected(const char *name)
{
	int fd = dgram_socket();

	return fd >= 0 && nym_call(fd, name) ? nym_give_up(fd) : fd;
}

static int disconnect(int fd)
{
	struct sockaddr sa = { .sa_family = AF_UNSPEC };

	return connect(fd, &sa, sizeof(sa));
}

/* Sends a piece of the pattern, to @name or, without one, to the peer. */
static long put(int fd, const char *name, size_t len, int flags)
{
	struct sockaddr_nym sa;
	socklen_t size;

	if (!name)
		return send(fd, io_at(len), len, flags);
	size = nym_addr(&sa, name);
	return sendto(fd, io_at(len), len, flags, (struct sockaddr *)&sa, size);
}

static long try_put(int fd, const char *name, size_t len)
{
	return put(fd, name, len, MSG_DONTWAIT);
}

/* Takes the first datagram: its length if it was sent by put(). */
static long take(int fd)
{
	static __u8 buf[1 << 18];
	long n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

	return n < 0 || io_is(buf, n, n) ? n : -2;
}

/* Sends until there is no room; gives how many were taken. */
static long fill(int fd, const char *name, size_t len)
{
	long n = 0;

	while (try_put(fd, name, len) == (long)len)
		n++;
	return errno == EAGAIN ? n : -1;
}

/* Takes everything; gives how many there were. */
static long drain(int fd)
{
	long n = 0;

	while (take(fd) >= 0)
		n++;
	return errno == EAGAIN ? n : -1;
}

/* What a datagram counts, overhead included. */
static long cost_of(size_t len)
{
	long cost = -1;
	int fd[2];

	if (socketpair(AF_NYM, SOCK_DGRAM | SOCK_CLOEXEC, 0, fd))
		return -1;
	if (try_put(fd[0], NULL, len) == (long)len)
		cost = io_outq(fd[0]);
	close(fd[0]);
	close(fd[1]);
	return cost;
}

static long queued(int fd)
{
	struct nym_line line;

	return nym_proc_line(fd, &line) == 1 ? (long)line.queued : -1;
}

/* A test that hangs is killed by its parent's end, and gives its names back. */
static void die_with_parent(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
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

FIXTURE(flow)
{
	int srv;	/* bound to SRV, with little room */
	int third;	/* bound to THIRD */
	int cli;	/* bound to CLI, connected to SRV */
	int ep;
	long limit;	/* of SRV */
	struct io_thread t[4];
	__u32 seed;
};

FIXTURE_SETUP(flow)
{
	die_with_parent();
	SKIP_WITHOUT_NYM();
	self->srv = dgram_bound(SRV);
	ASSERT_FD(self->srv);
	ASSERT_OK(io_set_int(self->srv, SO_RCVBUF, 10000));
	self->limit = io_intopt(self->srv, SO_RCVBUF);
	ASSERT_LE(10000, self->limit);
	self->third = dgram_bound(THIRD);
	ASSERT_FD(self->third);
	self->cli = dgram_bound(CLI);
	ASSERT_FD(self->cli);
	ASSERT_OK(nym_call(self->cli, SRV));
	self->ep = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_FD(self->ep);
	self->seed = io_seed();
}

FIXTURE_TEARDOWN(flow)
{
	close(self->srv);
	close(self->third);
	close(self->cli);
	close(self->ep);
}

static void stop(int *fd)
{
	close(*fd);
	*fd = -1;
}

/* --- How much fits --- */

/* How many equal datagrams a sender may add where nobody else will send. */
static long half_of(long left, long cost)
{
	long n = left / 2 / cost;

	return n ? n : left >= cost;
}

/* The numbers of a queue that several senders filled in turn. */
static void log_shares(struct __test_metadata *_metadata, long limit, long cost,
		       const long *got, const long *want, int n)
{
	int i;

	TH_LOG("limit %ld, a datagram %ld", limit, cost);
	for (i = 0; i < n; i++)
		TH_LOG("sender %d: %ld datagrams, expected %ld", i, got[i], want[i]);
}

#define SHARERS	8

/* Each takes what it gets before the next one comes. */
static void share(struct __test_metadata *_metadata, int srv, size_t len)
{
	long limit = io_intopt(srv, SO_RCVBUF), left = limit, cost = cost_of(len);
	long got[SHARERS], want[SHARERS];
	int fd[SHARERS], i;
	bool same = true;

	ASSERT_LT(0, cost);
	for (i = 0; i < SHARERS; i++) {
		fd[i] = dgram_socket();
		/* An empty queue takes any datagram. */
		want[i] = !i && left < cost ? 1 : half_of(left, cost);
		got[i] = fill(fd[i], SRV, len);
		same = same && got[i] == want[i];
		left -= want[i] * cost;
	}
	EXPECT_TRUE(same) {
		log_shares(_metadata, limit, cost, got, want, SHARERS);
	}
	EXPECT_EQ(limit - left, queued(srv));
	for (i = 0; i < SHARERS; i++) {
		EXPECT_EQ(got[i] * cost, io_outq(fd[i]));
		close(fd[i]);
	}
	/* What the dead sent counts until it is read. */
	EXPECT_EQ(limit - left, queued(srv));
	EXPECT_LT(0, drain(srv));
	EXPECT_EQ(0, queued(srv));
}

/*
 * The first gets half of the room, the next half of what is left, and so on;
 * and who has none gets one as long as it fits.
 */
TEST_F(flow, each_sender_gets_half_of_what_the_others_leave)
{
	static const size_t len[] = { 0, 1, 100, 1000, 4000, 12000, 30000 };
	static const int rcvbuf[] = { 0, 5000, 10000, 60000 };
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(rcvbuf); i++) {
		ASSERT_OK(io_set_int(self->srv, SO_RCVBUF, rcvbuf[i]));
		for (j = 0; j < ARRAY_SIZE(len); j++)
			share(_metadata, self->srv, len[j]);
	}
}

/* Somebody who takes all he gets leaves room for as many as there is room. */
TEST_F(flow, others_get_in_at_once)
{
	long cost = cost_of(LEN), n = fill(self->cli, NULL, LEN), i;
	long room = (self->limit - n * cost) / cost;
	int fd[64];

	ASSERT_GE(64, room);
	ASSERT_LE(n, room);
	for (i = 0; i < room; i++) {
		fd[i] = dgram_socket();
		EXPECT_RETURNS(LEN, try_put(fd[i], SRV, LEN)) {
			TH_LOG("other %ld of %ld: limit %ld, a datagram %ld, %ld before",
			       i, room, self->limit, cost, n);
		}
	}
	EXPECT_ERRNO(EAGAIN, try_put(self->third, SRV, LEN));
	EXPECT_EQ(n + room, drain(self->srv));
	while (i)
		close(fd[--i]);
}

#define MANY	300

/* What each has there is known, however many they are. */
TEST_F(flow, hundreds_of_senders)
{
	long cost = cost_of(1), sent, i;
	int fd[MANY];

	ASSERT_OK(io_set_int(self->srv, SO_RCVBUF, 2 * MANY * cost));
	for (sent = 0; sent < 2; sent++) {
		for (i = 0; i < MANY; i++) {
			if (!sent)
				fd[i] = dgram_connected(SRV);
			ASSERT_RETURNS(1, send(fd[i], io_at(1), 1, MSG_DONTWAIT));
		}
	}
	/* Every other one dies. */
	for (i = 0; i < MANY; i += 2)
		close(fd[i]);
	EXPECT_EQ(2 * MANY * cost, queued(self->srv));
	for (i = 0; i < MANY; i++)
		ASSERT_RETURNS(1, take(self->srv));
	for (i = 1; i < MANY; i += 2) {
		EXPECT_EQ(cost, io_outq(fd[i]));
		ASSERT_RETURNS(1, take(self->srv));
		ASSERT_RETURNS(1, take(self->srv));
		EXPECT_EQ(0, io_outq(fd[i]));
		close(fd[i]);
	}
	EXPECT_EQ(0, queued(self->srv));
}

TEST_F(flow, who_has_none_gets_one_though_it_is_more_than_half)
{
	long n = fill(self->cli, NULL, LEN), left = self->limit - n * cost_of(LEN);
	size_t len = left * 3 / 4;

	while (cost_of(len) > left)
		len -= 100;
	ASSERT_LT(left / 2, cost_of(len));
	EXPECT_RETURNS(len, try_put(self->third, SRV, len));
	EXPECT_ERRNO(EAGAIN, try_put(self->third, SRV, 0));
	EXPECT_EQ(n + 1, drain(self->srv));
}

TEST_F(flow, an_empty_queue_takes_any_datagram)
{
	size_t len = 4 * self->limit;

	EXPECT_RETURNS(len, try_put(self->cli, NULL, len));
	EXPECT_ERRNO(EAGAIN, try_put(self->cli, NULL, 0));
	EXPECT_ERRNO(EAGAIN, try_put(self->third, SRV, 0));
	EXPECT_RETURNS(len, take(self->srv));
	EXPECT_RETURNS(0, try_put(self->third, SRV, 0));
	EXPECT_ERRNO(EAGAIN, try_put(self->cli, NULL, len));
	EXPECT_RETURNS(0, take(self->srv));
	EXPECT_RETURNS(len, try_put(self->cli, NULL, len));
	EXPECT_RETURNS(len, take(self->srv));
}

/* Only the peer may send there, so there is nobody to leave room for. */
TEST_F(flow, a_connected_receiver_is_all_its_peers)
{
	long cost = cost_of(LEN);

	ASSERT_OK(nym_call(self->srv, CLI));
	EXPECT_EQ(self->limit / cost, fill(self->cli, NULL, LEN));
	EXPECT_RETURNS(LEN, take(self->srv));
	EXPECT_EQ(1, fill(self->cli, NULL, LEN));
	/* Also a socket that is its own peer, by its name. */
	ASSERT_OK(disconnect(self->srv));
	ASSERT_OK(nym_call(self->srv, SRV));
	EXPECT_EQ(self->limit / cost, fill(self->srv, NULL, LEN));
	EXPECT_EQ(self->limit / cost, drain(self->srv));
}

/* What others had left there before counts. */
TEST_F(flow, a_peer_gets_what_strangers_left)
{
	long cost = cost_of(LEN), n = fill(self->third, SRV, LEN);

	ASSERT_OK(nym_call(self->srv, CLI));
	EXPECT_EQ(self->limit / cost - n, fill(self->cli, NULL, LEN));
	EXPECT_EQ(self->limit / cost, drain(self->srv));
	/* When all may send again, it is half. */
	ASSERT_OK(disconnect(self->srv));
	EXPECT_EQ(half_of(self->limit, cost), fill(self->cli, NULL, LEN));
}

TEST_F(flow, so_sndbuf_is_the_most_at_each_receiver)
{
	long cost = cost_of(100), n;

	ASSERT_OK(io_set_int(self->cli, SO_SNDBUF, 3000));
	n = io_sndbuf(self->cli) / cost;
	ASSERT_LT(n, self->limit / 2 / cost);
	EXPECT_EQ(n, fill(self->cli, NULL, 100));
	EXPECT_EQ(n, fill(self->cli, THIRD, 100));
	EXPECT_EQ(2 * n * cost, io_outq(self->cli));
	EXPECT_RETURNS(100, take(self->srv));
	EXPECT_EQ(1, fill(self->cli, NULL, 100));
	/* Of a connected receiver, too. */
	EXPECT_EQ(n, drain(self->srv));
	ASSERT_OK(nym_call(self->srv, CLI));
	EXPECT_EQ(n, fill(self->cli, NULL, 100));
	EXPECT_EQ(n, drain(self->third));
}

TEST_F(flow, so_rcvbuf_counts_from_the_moment_it_is_set)
{
	long cost = cost_of(LEN), n = fill(self->cli, NULL, LEN), limit;

	ASSERT_OK(io_set_int(self->srv, SO_RCVBUF, self->limit));
	limit = io_intopt(self->srv, SO_RCVBUF);
	ASSERT_LT(self->limit, limit);
	EXPECT_EQ(half_of(limit, cost) - n, fill(self->cli, NULL, LEN));
	ASSERT_OK(io_set_int(self->srv, SO_RCVBUF, 0));
	EXPECT_ERRNO(EAGAIN, try_put(self->third, SRV, 0));
	EXPECT_EQ(half_of(limit, cost), drain(self->srv));
	EXPECT_RETURNS(LEN, try_put(self->third, SRV, LEN));
}

/* --- The same as a walk, against a model of it --- */

#define WALK_STEPS	nym_scaled(8000)
#define WALK_SENDERS	5
#define WALK_SLOTS	64	/* of senders, dead ones included */
#define WALK_QUEUE	1024

/* What is known of the queue; [0] of each is for the first sender ever. */
struct walk {
	int srv;
	long limit;
	long used;
	long held[WALK_SLOTS];
	long sndbuf[WALK_SLOTS];
	int fd[WALK_SLOTS];
	int slots;		/* in use; the last ones are alive */
	int alive[WALK_SENDERS];
	int peer;		/* the slot that the receiver is connected to */
	struct {
		int slot;
		int len;
	} queue[WALK_QUEUE];
	unsigned int first;
	unsigned int end;
	__u32 seed;
	long taken;
	long refused;
};

static const int walk_len[] = { 0, 10, 100, 400, 900, 2000, 3500 };
static long walk_cost[ARRAY_SIZE(walk_len)];

static bool walk_fits(const struct walk *w, int slot, long cost)
{
	long held = w->held[slot];

	if (!w->used)
		return true;
	if (w->used + cost > w->limit)
		return false;
	if (!held)
		return true;
	if (held + cost > w->sndbuf[slot])
		return false;
	if (w->peer >= 0)
		return true;
	return 2 * (held + cost) <= w->limit - (w->used - held);
}

static const char *walk_name(int slot)
{
	static char name[32];

	snprintf(name, sizeof(name), "t/flow/walk%d", slot);
	return name;
}

/* A sender, in the place of one that dies with its datagrams under way. */
static bool walk_sender(struct walk *w, int i)
{
	int slot = w->slots;

	if (slot == WALK_SLOTS)
		return true;
	w->fd[slot] = dgram_bound(walk_name(slot));
	if (w->fd[slot] < 0)
		return false;
	if (io_rand(&w->seed) & 1)
		io_set_int(w->fd[slot], SO_SNDBUF, 2300);
	w->sndbuf[slot] = io_sndbuf(w->fd[slot]);
	w->alive[i] = slot;
	w->slots++;
	return true;
}

static bool walk_send(struct walk *w)
{
	int slot = w->alive[io_rand(&w->seed) % WALK_SENDERS];
	int i = io_rand(&w->seed) % ARRAY_SIZE(walk_len);
	bool fits = walk_fits(w, slot, walk_cost[i]);
	long n = try_put(w->fd[slot], SRV, walk_len[i]);

	if (w->peer >= 0 && w->peer != slot)
		return n < 0 && errno == EPERM;
	if (!fits) {
		w->refused++;
		return n < 0 && errno == EAGAIN;
	}
	w->taken++;
	w->used += walk_cost[i];
	w->held[slot] += walk_cost[i];
	w->queue[w->end % WALK_QUEUE].slot = slot;
	w->queue[w->end++ % WALK_QUEUE].len = i;
	return n == walk_len[i];
}

static bool walk_receive(struct walk *w)
{
	static __u8 buf[1 << 16];
	struct sockaddr_nym sa;
	socklen_t size = sizeof(sa);
	long n = recvfrom(w->srv, buf, sizeof(buf), MSG_DONTWAIT,
			  (struct sockaddr *)&sa, &size);
	int slot, i;

	if (w->first == w->end)
		return n < 0 && errno == EAGAIN;
	slot = w->queue[w->first % WALK_QUEUE].slot;
	i = w->queue[w->first++ % WALK_QUEUE].len;
	w->used -= walk_cost[i];
	w->held[slot] -= walk_cost[i];
	return n == walk_len[i] && io_is(buf, n, n) &&
	       !strcmp(walk_name(slot), nym_name_of(&sa, size));
}

/* Connects the receiver to a sender, or to nobody, which empties the queue. */
static bool walk_connect(struct walk *w)
{
	if (w->peer < 0) {
		w->peer = w->alive[io_rand(&w->seed) % WALK_SENDERS];
		return !nym_call(w->srv, walk_name(w->peer));
	}
	w->peer = -1;
	memset(w->held, 0, sizeof(w->held));
	w->used = 0;
	w->first = w->end;
	return !disconnect(w->srv);
}

static bool walk_replace(struct walk *w)
{
	int i = io_rand(&w->seed) % WALK_SENDERS;

	if (w->slots == WALK_SLOTS || w->alive[i] == w->peer)
		return true;
	close(w->fd[w->alive[i]]);
	return walk_sender(w, i);
}

/* Phases in which the queue tends to be full, and others. */
static bool walk_step(struct walk *w, int step)
{
	unsigned int dice = io_rand(&w->seed) % 1024;

	if (dice < 4)
		return walk_connect(w);
	if (dice < 10)
		return walk_replace(w);
	if (dice < 14)
		return queued(w->srv) == w->used;
	return dice < (step / 500 % 2 ? 480 : 800) ? walk_send(w) : walk_receive(w);
}

/* A short walk may meet neither answer often: while connected, most get EPERM. */
static bool walk_goes_on(const struct walk *w, int step)
{
	long enough = WALK_STEPS / 20;

	if (step < WALK_STEPS)
		return true;
	return step < 20 * WALK_STEPS && (w->taken <= enough || w->refused <= enough);
}

TEST_F(flow, a_random_walk_agrees_with_the_rule)
{
	struct walk *w = calloc(1, sizeof(*w));
	size_t i;
	int step;

	ASSERT_NE(NULL, w);
	for (i = 0; i < ARRAY_SIZE(walk_len); i++)
		walk_cost[i] = cost_of(walk_len[i]);
	w->srv = self->srv;
	w->limit = self->limit;
	w->seed = self->seed;
	w->peer = -1;
	for (i = 0; i < WALK_SENDERS; i++)
		ASSERT_TRUE(walk_sender(w, i));
	for (step = 0; walk_goes_on(w, step); step++) {
		ASSERT_TRUE(walk_step(w, step)) {
			TH_LOG("seed %u, step %d: limit %ld, used %ld, peer %d, %s",
			       self->seed, step, w->limit, w->used, w->peer,
			       strerrorname_np(errno));
		}
	}
	EXPECT_LT(WALK_STEPS / 20, w->taken);
	EXPECT_LT(WALK_STEPS / 20, w->refused);
	for (i = 0; i < WALK_SENDERS; i++)
		close(w->fd[w->alive[i]]);
	free(w);
}

/* --- Fairness --- */

struct flood {
	int fd;
	int flags;
	bool stop;
};

/* Sends without end. */
static long flooding(struct io_thread *t)
{
	struct flood *f = t->arg;

	while (!__atomic_load_n(&f->stop, __ATOMIC_RELAXED))
		if (put(f->fd, SRV, LEN, f->flags) < 0 && errno != EAGAIN)
			return -1;
	return 0;
}

static void start_flood(struct io_thread *t, struct flood *f, int flags)
{
	*f = (struct flood){ .fd = dgram_socket(), .flags = flags };
	*t = (struct io_thread){ .arg = f };
	io_start(t, flooding);
}

static void end_flood(struct flood *f)
{
	__atomic_store_n(&f->stop, true, __ATOMIC_RELAXED);
}

/* After that one, and after what wakes it if it waits for room. */
static void stop_flood(struct io_thread *t, struct flood *f)
{
	io_join(t);
	close(f->fd);
}

static bool wait_queued(int fd, long want)
{
	long end = io_now_ms() + IO_POLL_MS;

	while (queued(fd) < want && io_now_ms() < end)
		usleep(1000);
	return queued(fd) >= want;
}

/* As many as there is room for, while the flood goes on and nobody reads. */
static void flooded(struct __test_metadata *_metadata, int srv, long limit,
		    int flags)
{
	long cost = cost_of(LEN), half = half_of(limit, cost);
	long room = limit / cost - half, i;
	struct io_thread t;
	struct flood f;
	int fd[32];

	ASSERT_GE(32, room);
	start_flood(&t, &f, flags);
	ASSERT_TRUE(wait_queued(srv, half * cost));
	for (i = 0; i < room; i++) {
		fd[i] = dgram_socket();
		EXPECT_RETURNS(LEN, try_put(fd[i], SRV, LEN)) {
			TH_LOG("other %ld of %ld, limit %ld, a datagram %ld",
			       i, room, limit, cost);
		}
	}
	EXPECT_EQ((half + room) * cost, queued(srv));
	end_flood(&f);
	EXPECT_LE(half + room, drain(srv));
	stop_flood(&t, &f);
	drain(srv);
	while (i)
		close(fd[--i]);
}

TEST_F(flow, a_flood_that_nobody_reads_locks_nobody_out)
{
	flooded(_metadata, self->srv, self->limit, MSG_DONTWAIT);
}

TEST_F(flow, a_flood_of_blocking_calls_locks_nobody_out)
{
	flooded(_metadata, self->srv, self->limit, 0);
}

#define FLOOD_ROUNDS	nym_scaled(200)

/* Every single one gets in at once, and through after one queue's length. */
TEST_F(flow, a_flood_that_is_read_locks_nobody_out)
{
	long most = self->limit / cost_of(LEN) + 1, worst = 0, reads, n;
	struct flood f[2];
	int round;

	start_flood(&self->t[0], &f[0], 0);
	start_flood(&self->t[1], &f[1], MSG_DONTWAIT);
	ASSERT_TRUE(wait_queued(self->srv, self->limit / 2));
	for (round = 0; round < FLOOD_ROUNDS; round++) {
		ASSERT_RETURNS(10, try_put(self->third, SRV, 10)) {
			TH_LOG("round %d", round);
		}
		reads = 0;
		do {
			n = take(self->srv);
			reads++;
		} while (n == LEN);
		ASSERT_EQ(10, n);
		if (reads > worst)
			worst = reads;
	}
	EXPECT_GE(most, worst) {
		TH_LOG("up to %ld reads until it came", worst);
	}
	end_flood(&f[0]);
	end_flood(&f[1]);
	/* The end of the receiver wakes who is still waiting. */
	stop(&self->srv);
	stop_flood(&self->t[0], &f[0]);
	stop_flood(&self->t[1], &f[1]);
}

/* Nor is anything else in the way of others. */
TEST_F(flow, a_flood_is_no_matter_to_another_receiver)
{
	struct flood f;

	start_flood(&self->t[0], &f, 0);
	ASSERT_TRUE(wait_queued(self->srv, self->limit / 3));
	EXPECT_RETURNS(LEN, try_put(f.fd, THIRD, LEN));
	EXPECT_RETURNS(LEN, try_put(self->cli, THIRD, LEN));
	EXPECT_EQ(2, drain(self->third));
	end_flood(&f);
	stop(&self->srv);
	EXPECT_RETURNS(-1, io_join(&self->t[0]));
	EXPECT_SAME_ERRNO(ECONNREFUSED, self->t[0].err);
	close(f.fd);
}

#define RIVALS	4
#define SHARED	200

/*
 * All at once, without end, each waiting for room: all get some. The reader
 * takes its time, so that this is about room and not about processors.
 */
TEST_F(flow, rivals_share)
{
	long reads = 0, count[RIVALS] = { 0 };
	char name[RIVALS][NYM_NAME_MAX + 1];
	struct flood f[RIVALS];
	int i;

	for (i = 0; i < RIVALS; i++) {
		start_flood(&self->t[i], &f[i], 0);
		ASSERT_TRUE(io_wait_blocked(&self->t[i]));
		snprintf(name[i], sizeof(name[i]), "%s", nym_own_name(f[i].fd));
	}
	ASSERT_OK(io_set_timeout(self->srv, SO_RCVTIMEO, NYM_PATIENCE_MS));
	while (reads < SHARED) {
		struct sockaddr_nym sa;
		socklen_t len = sizeof(sa);
		char c;

		ASSERT_EQ(1, recvfrom(self->srv, &c, 1, 0, (struct sockaddr *)&sa, &len));
		for (i = 0; i < RIVALS; i++)
			count[i] += !strcmp(name[i], nym_name_of(&sa, len));
		reads++;
		usleep(300);
	}
	for (i = 0; i < RIVALS; i++) {
		end_flood(&f[i]);
		EXPECT_LE(SHARED / RIVALS / 10, count[i]) {
			TH_LOG("%ld, %ld, %ld, %ld of %d", count[0], count[1],
			       count[2], count[3], SHARED);
		}
	}
	stop(&self->srv);
	for (i = 0; i < RIVALS; i++)
		stop_flood(&self->t[i], &f[i]);
}

/* --- Waiting for room --- */

static long put_on(struct io_thread *t)
{
	return put(t->fd, t->arg, t->len, t->flags | MSG_NOSIGNAL);
}

/* A call of put() that must block; by name if there is one. */
#define START_PUT(_t, _fd, _name) do { \
	*(_t) = (struct io_thread){ .fd = _fd, .arg = (void *)(_name), .len = LEN }; \
	io_start(_t, put_on); \
	ASSERT_TRUE(io_wait_blocked(_t)); \
} while (0)

#define EXPECT_ENDS(_t, _err) do { \
	EXPECT_EQ(-1, io_join(_t)); \
	EXPECT_SAME_ERRNO(_err, (_t)->err); \
} while (0)

TEST_F(flow, a_sender_waits_until_there_is_room)
{
	long n = fill(self->cli, NULL, LEN);

	ASSERT_LT(0, n);
	START_PUT(&self->t[0], self->cli, NULL);
	EXPECT_RETURNS(LEN, take(self->srv));
	EXPECT_EQ(LEN, io_join(&self->t[0]));
	START_PUT(&self->t[0], self->cli, SRV);
	EXPECT_RETURNS(LEN, take(self->srv));
	EXPECT_EQ(LEN, io_join(&self->t[0]));
	EXPECT_EQ(n, drain(self->srv));
	/* And who is not connected at all. */
	EXPECT_EQ(n, fill(self->third, SRV, LEN));
	START_PUT(&self->t[0], self->third, SRV);
	EXPECT_RETURNS(LEN, take(self->srv));
	EXPECT_EQ(LEN, io_join(&self->t[0]));
}

TEST_F(flow, so_sndtimeo_bounds_the_wait)
{
	long n = fill(self->cli, NULL, LEN), start = io_now_ms();

	ASSERT_OK(io_set_timeout(self->cli, SO_SNDTIMEO, 40));
	EXPECT_ERRNO(EAGAIN, put(self->cli, NULL, LEN, 0));
	EXPECT_LE(NYM_TICKED(40), io_now_ms() - start);
	EXPECT_EQ(n * cost_of(LEN), io_outq(self->cli));
	EXPECT_EQ(n, drain(self->srv));
}

static void on_signal(int sig)
{
}

static int catch_signal(int flags)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = flags };

	return sigaction(SIGUSR1, &sa, NULL);
}

TEST_F(flow, a_signal_ends_the_wait_or_not)
{
	long n = fill(self->cli, NULL, LEN);

	ASSERT_OK(catch_signal(0));
	START_PUT(&self->t[0], self->cli, NULL);
	ASSERT_OK(pthread_kill(self->t[0].thread, SIGUSR1));
	EXPECT_ENDS(&self->t[0], EINTR);
	EXPECT_EQ(n * cost_of(LEN), io_outq(self->cli));

	ASSERT_OK(catch_signal(SA_RESTART));
	START_PUT(&self->t[0], self->cli, NULL);
	ASSERT_OK(pthread_kill(self->t[0].thread, SIGUSR1));
	ASSERT_TRUE(io_wait_blocked(&self->t[0]));
	EXPECT_RETURNS(LEN, take(self->srv));
	EXPECT_EQ(LEN, io_join(&self->t[0]));

	/* A wait that is bounded is not begun again. */
	ASSERT_OK(io_set_timeout(self->cli, SO_SNDTIMEO, NYM_PATIENCE_MS));
	START_PUT(&self->t[0], self->cli, NULL);
	ASSERT_OK(pthread_kill(self->t[0].thread, SIGUSR1));
	EXPECT_ENDS(&self->t[0], EINTR);
}

/* Three that wait: connected, by name and connected, by name. */
#define START_THREE() do { \
	ASSERT_LT(0, fill(self->cli, NULL, LEN)); \
	ASSERT_LT(0, fill(self->third, SRV, LEN)); \
	START_PUT(&self->t[0], self->cli, NULL); \
	START_PUT(&self->t[1], self->cli, SRV); \
	START_PUT(&self->t[2], self->third, SRV); \
} while (0)

#define EXPECT_THREE_END(_err) do { \
	EXPECT_ENDS(&self->t[0], _err); \
	EXPECT_ENDS(&self->t[1], _err); \
	EXPECT_ENDS(&self->t[2], _err); \
} while (0)

TEST_F(flow, the_receiver_dies_while_senders_wait)
{
	START_THREE();
	stop(&self->srv);
	EXPECT_THREE_END(ECONNREFUSED);
	EXPECT_EQ(0, io_outq(self->cli));
	EXPECT_EQ(0, io_outq(self->third));
}

TEST_F(flow, the_receiver_is_killed_while_senders_wait)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		/* Not longer than the test, whatever becomes of that. */
		die_with_parent();
		pause();
		_exit(0);
	}
	START_THREE();
	stop(&self->srv);
	EXPECT_FALSE(io_done(&self->t[0]));
	ASSERT_OK(kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_THREE_END(ECONNREFUSED);
}

TEST_F(flow, the_receiver_shuts_down_while_senders_wait)
{
	START_THREE();
	ASSERT_OK(shutdown(self->srv, SHUT_RD));
	EXPECT_THREE_END(EPIPE);
}

TEST_F(flow, the_receiver_turns_to_another_while_senders_wait)
{
	int other = dgram_bound("t/flow/other");

	START_THREE();
	ASSERT_OK(nym_call(self->srv, "t/flow/other"));
	while (take(self->srv) == LEN)
		;
	EXPECT_THREE_END(EPERM);
	EXPECT_RETURNS(LEN, try_put(other, SRV, LEN));
	close(other);
}

TEST_F(flow, the_sender_shuts_down_while_it_waits)
{
	ASSERT_LT(0, fill(self->cli, NULL, LEN));
	START_PUT(&self->t[0], self->cli, NULL);
	START_PUT(&self->t[1], self->cli, SRV);
	ASSERT_OK(shutdown(self->cli, SHUT_WR));
	EXPECT_ENDS(&self->t[0], EPIPE);
	EXPECT_ENDS(&self->t[1], EPIPE);
}

/* Its datagram goes where the socket is connected, as if it came now. */
TEST_F(flow, the_sender_connects_elsewhere_while_it_waits)
{
	ASSERT_LT(0, fill(self->cli, NULL, LEN));
	START_PUT(&self->t[0], self->cli, NULL);
	ASSERT_OK(nym_call(self->cli, THIRD));
	EXPECT_EQ(POLLIN, io_poll_wait(self->third, POLLIN)) {
		/* Let it go. */
		drain(self->srv);
	}
	EXPECT_EQ(LEN, io_join(&self->t[0]));
	EXPECT_EQ(1, drain(self->third));
}

static bool is_done_soon(struct io_thread *t)
{
	long end = io_now_ms() + NYM_PATIENCE_MS;

	while (!io_done(t) && io_now_ms() < end)
		usleep(500);
	return io_done(t);
}

TEST_F(flow, the_sender_disconnects_while_it_waits)
{
	ASSERT_LT(0, fill(self->cli, NULL, LEN));
	START_PUT(&self->t[0], self->cli, NULL);
	ASSERT_OK(disconnect(self->cli));
	EXPECT_TRUE(is_done_soon(&self->t[0])) {
		/* Let it go. */
		drain(self->srv);
	}
	EXPECT_ENDS(&self->t[0], ENOTCONN);
}

/* Whoever waits for a name, not for a socket, may reach the next owner. */
TEST_F(flow, the_receiver_is_restarted_while_senders_wait)
{
	int round, i;

	for (round = 0; round < 15; round++) {
		long came = 0;

		START_THREE();
		stop(&self->srv);
		dither(&self->seed);
		self->srv = dgram_bound(SRV);
		ASSERT_FD(self->srv);
		for (i = 0; i < 3; i++) {
			came += io_join(&self->t[i]) == LEN;
			EXPECT_SAME_ERRNO(self->t[i].ret < 0 ? ECONNREFUSED : 0,
					  self->t[i].err);
		}
		EXPECT_EQ(came, drain(self->srv));
		ASSERT_OK(io_set_int(self->srv, SO_RCVBUF, 10000));
	}
}

/* Who waits longest may need more room than there is now. */
TEST_F(flow, a_large_one_that_waits_holds_up_no_small_one)
{
	long rest = fill(self->third, SRV, LEN), i;
	long small = half_of(self->limit - rest * cost_of(LEN), cost_of(0));
	int other = dgram_connected(SRV);

	ASSERT_FD(other);
	ASSERT_LT(1, rest);
	for (i = 0; i < 3; i++) {
		self->t[i] = (struct io_thread){ .fd = self->cli, .len = 16000 };
		io_start(&self->t[i], put_on);
		ASSERT_TRUE(io_wait_blocked(&self->t[i]));
	}
	/* Nothing fails on the way there: that alone would see to a wake-up. */
	for (i = 0; i < small; i++)
		ASSERT_RETURNS(0, try_put(other, NULL, 0));
	rest += small;
	self->t[3] = (struct io_thread){ .fd = other };
	io_start(&self->t[3], put_on);
	ASSERT_TRUE(io_wait_blocked(&self->t[3]));

	EXPECT_RETURNS(LEN, take(self->srv));
	ASSERT_TRUE(is_done_soon(&self->t[3]));
	for (i = 0; i < 3; i++)
		EXPECT_FALSE(io_done(&self->t[i]));
	/* One has been taken, one has come. Then the large ones, one by one. */
	for (i = 0; i < rest; i++)
		ASSERT_LE(0, take(self->srv));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(POLLIN, io_poll_wait(self->srv, POLLIN));
		EXPECT_RETURNS(16000, take(self->srv));
	}
	for (i = 0; i < 3; i++)
		EXPECT_EQ(16000, io_join(&self->t[i]));
	EXPECT_EQ(0, io_join(&self->t[3]));
	close(other);
}

/* What a receiver throws away is room, here too. */
TEST_F(flow, a_receiver_that_forgets_wakes_who_waits)
{
	/* Not connected, so it is not told of a loss; then that would wake it. */
	ASSERT_OK(disconnect(self->cli));
	ASSERT_OK(nym_call(self->srv, CLI));
	ASSERT_LT(0, fill(self->cli, SRV, LEN));
	START_PUT(&self->t[0], self->cli, SRV);
	ASSERT_OK(disconnect(self->srv));
	ASSERT_TRUE(is_done_soon(&self->t[0]));
	EXPECT_EQ(1, drain(self->srv));
	EXPECT_EQ(LEN, io_join(&self->t[0]));
	EXPECT_EQ(0, io_so_error(self->cli));
}

#define WAITERS	6

/* One datagram leaves, and there is room for many. */
TEST_F(flow, all_who_fit_are_woken)
{
	struct io_thread t[WAITERS];
	int fd[WAITERS], i;

	ASSERT_RETURNS(30000, try_put(self->third, SRV, 30000));
	for (i = 0; i < WAITERS; i++) {
		fd[i] = dgram_connected(SRV);
		START_PUT(&t[i], fd[i], i & 1 ? SRV : NULL);
	}
	EXPECT_RETURNS(30000, take(self->srv));
	for (i = 0; i < WAITERS; i++) {
		EXPECT_TRUE(is_done_soon(&t[i])) {
			TH_LOG("sender %d", i);
		}
	}
	EXPECT_LT(0, drain(self->srv));
	for (i = 0; i < WAITERS; i++) {
		EXPECT_EQ(LEN, io_join(&t[i]));
		close(fd[i]);
	}
}

enum { BY_SIGNAL, BY_CONNECT, BY_DISCONNECT, BY_SHUTDOWN, BY_TIME, WAYS };

/* Ends the wait of the sender, which is the thread's and the socket's. */
static void send_away(struct io_thread *t, int way)
{
	if (way == BY_SIGNAL)
		pthread_kill(t->thread, SIGUSR1);
	else if (way == BY_CONNECT)
		nym_call(t->fd, THIRD);
	else if (way == BY_DISCONNECT)
		disconnect(t->fd);
	else if (way == BY_SHUTDOWN)
		shutdown(t->fd, SHUT_WR);
}

/* The first goes away about when there is room, which is for the second then. */
TEST_F(flow, a_sender_that_goes_away_wakes_the_next)
{
	static const int errs[WAYS] = { EINTR, 0, ENOTCONN, EPIPE, EAGAIN };
	struct io_thread *t = self->t;
	int round, way;

	ASSERT_OK(catch_signal(0));
	for (round = 0; round < 7 * WAYS; round++) {
		int fd = dgram_connected(SRV), before = io_rand(&self->seed) & 1;
		long end = io_now_ms() + 40;

		way = round % WAYS;
		ASSERT_RETURNS(30000, try_put(self->third, SRV, 30000));
		ASSERT_OK(io_set_timeout(fd, SO_SNDTIMEO, way == BY_TIME ? 40 : 0));
		t[0] = (struct io_thread){ .fd = fd, .len = LEN };
		io_start(&t[0], put_on);
		/* On a busy machine its time may be over by now. */
		io_wait_blocked(&t[0]);
		START_PUT(&t[1], self->cli, NULL);
		while (way == BY_TIME && io_now_ms() < end)
			usleep(100);
		if (before)
			send_away(&t[0], way);
		usleep(io_rand(&self->seed) % 300);
		ASSERT_RETURNS(30000, take(self->srv));
		if (!before)
			send_away(&t[0], way);
		ASSERT_TRUE(is_done_soon(&t[0]));
		ASSERT_TRUE(is_done_soon(&t[1])) {
			TH_LOG("round %d: %ld and %s for the first", round,
			       t[0].ret, strerrorname_np(t[0].err));
		}
		io_join(&t[0]);
		EXPECT_EQ(LEN, io_join(&t[1]));
		if (t[0].ret < 0)
			EXPECT_SAME_ERRNO(errs[way], t[0].err);
		EXPECT_EQ(1 + (t[0].ret > 0), drain(self->srv) + drain(self->third));
		close(fd);
	}
}

#define CROWD		6
#define PER_HEAD	60

struct said {
	__u32 who;
	__u32 number;
	__u8 rest[900];
};

static long say_all(struct io_thread *t)
{
	struct said s = { .who = t->pos };
	int fd = dgram_connected(SRV);

	for (s.number = 0; s.number < PER_HEAD; s.number++)
		if (send(fd, &s, sizeof(s) - s.number % 7 * 100, 0) < 0)
			return nym_give_up(fd);
	close(fd);
	return s.number;
}

/* No wake-up is lost, and each one's datagrams stay in their order. */
TEST_F(flow, a_crowd_of_waiting_senders_gets_everything_through)
{
	__u32 next[CROWD] = { 0 };
	struct io_thread t[CROWD];
	struct said s;
	long i;

	for (i = 0; i < CROWD; i++) {
		t[i] = (struct io_thread){ .pos = i };
		io_start(&t[i], say_all);
	}
	for (i = 0; i < CROWD * PER_HEAD; i++) {
		/* Without a limit, at which it would look again unwoken. */
		long n = recv(self->srv, &s, sizeof(s), 0);

		ASSERT_LT(0, n);
		ASSERT_GT((__u32)CROWD, s.who);
		ASSERT_EQ(next[s.who], s.number);
		ASSERT_EQ((long)sizeof(s) - next[s.who]++ % 7 * 100, n);
	}
	for (i = 0; i < CROWD; i++)
		EXPECT_EQ(PER_HEAD, io_join(&t[i]));
	EXPECT_EQ(0, drain(self->srv));
}

/* --- POLLOUT --- */

TEST_F(flow, pollout_of_a_connected_socket_means_room)
{
	ASSERT_EQ(POLLOUT, io_poll(self->cli, POLLOUT, 0));
	ASSERT_LT(0, fill(self->cli, NULL, LEN));
	EXPECT_EQ(0, io_poll(self->cli, POLLOUT, 0));
	EXPECT_RETURNS(LEN, take(self->srv));
	EXPECT_EQ(POLLOUT, io_poll(self->cli, POLLOUT, 0));
	EXPECT_RETURNS(LEN, try_put(self->cli, NULL, LEN));
	EXPECT_ERRNO(EAGAIN, try_put(self->cli, NULL, LEN));
	EXPECT_EQ(0, io_poll(self->cli, POLLOUT, 0));
	EXPECT_EQ(0, io_so_error(self->cli));
}

/* An event loop that has a large one to send must not spin. */
TEST_F(flow, pollout_means_room_for_what_did_not_fit)
{
	long small = cost_of(100), large = cost_of(5000), n;

	n = fill(self->cli, NULL, 100);
	ASSERT_LT(0, n);
	EXPECT_ERRNO(EAGAIN, try_put(self->cli, NULL, 5000));
	for (; n && n * small + large > self->limit / 2; n--) {
		ASSERT_EQ(0, io_poll(self->cli, POLLOUT, 0)) {
			TH_LOG("%ld of %ld and %ld, limit %ld", n, small, large,
			       self->limit);
		}
		ASSERT_RETURNS(100, take(self->srv));
	}
	EXPECT_EQ(POLLOUT, io_poll(self->cli, POLLOUT, 0));
	EXPECT_RETURNS(5000, try_put(self->cli, NULL, 5000));
}

TEST_F(flow, pollout_counts_sends_by_the_peers_name)
{
	ASSERT_LT(0, fill(self->cli, SRV, LEN));
	EXPECT_EQ(0, io_poll(self->cli, POLLOUT, 0));
	EXPECT_RETURNS(LEN, take(self->srv));
	EXPECT_EQ(POLLOUT, io_poll(self->cli, POLLOUT, 0));
}

TEST_F(flow, pollout_is_about_the_peer_alone)
{
	ASSERT_LT(0, fill(self->cli, THIRD, 30000));
	EXPECT_EQ(POLLOUT, io_poll(self->cli, POLLOUT, 0));
	/* Without a peer there is nothing to wait for. */
	ASSERT_LT(0, fill(self->third, SRV, LEN));
	EXPECT_EQ(POLLOUT, io_poll(self->third, POLLOUT, 0));
	ASSERT_LT(0, fill(self->cli, NULL, LEN));
	EXPECT_EQ(0, io_poll(self->cli, POLLOUT, 0));
	/* There is no more room there because others have some. */
	EXPECT_LT(0, drain(self->third));
	EXPECT_RETURNS(LEN, try_put(self->cli, THIRD, LEN));
	EXPECT_EQ(0, io_poll(self->cli, POLLOUT, 0));
	ASSERT_OK(disconnect(self->cli));
	EXPECT_EQ(POLLOUT, io_poll(self->cli, POLLOUT, 0));
}

/* As with AF_UNIX: who has not tried sees that nothing fits, too. */
TEST_F(flow, pollout_of_a_socket_whose_peer_is_full_of_others)
{
	EXPECT_RETURNS(30000, try_put(self->third, SRV, 30000));
	EXPECT_EQ(0, io_poll(self->cli, POLLOUT, 0));
	EXPECT_RETURNS(30000, take(self->srv));
	EXPECT_EQ(POLLOUT, io_poll(self->cli, POLLOUT, 0));
}

/* The room that counts is at the name's owner. */
TEST_F(flow, pollout_after_a_restart)
{
	ASSERT_LT(0, fill(self->cli, NULL, LEN));
	stop(&self->srv);
	EXPECT_EQ(POLLOUT, io_poll(self->cli, POLLOUT, 0));
	self->srv = dgram_bound(SRV);
	EXPECT_EQ(POLLOUT, io_poll(self->cli, POLLOUT, 0));
	ASSERT_LT(0, fill(self->cli, NULL, LEN));
	EXPECT_EQ(0, io_poll(self->cli, POLLOUT, 0));
	EXPECT_RETURNS(LEN, take(self->srv));
	EXPECT_EQ(POLLOUT, io_poll(self->cli, POLLOUT, 0));
}

/* poll() looks again when its time is up: that is too late, and gives 0. */
static int poll_in_time(int fd, int events)
{
	long end = io_now_ms() + NYM_PATIENCE_MS;
	int mask = io_poll_wait(fd, events);

	return io_now_ms() < end ? mask : 0;
}

static long polling(struct io_thread *t)
{
	return poll_in_time(t->fd, t->flags);
}

/* A thread in poll(POLLOUT), with no room. */
#define START_POLL() do { \
	ASSERT_LT(0, fill(self->cli, NULL, LEN)); \
	self->t[0] = (struct io_thread){ .fd = self->cli, .flags = POLLOUT }; \
	io_start(&self->t[0], polling); \
	ASSERT_TRUE(io_wait_blocked(&self->t[0])); \
} while (0)

TEST_F(flow, poll_is_woken_by_room)
{
	START_POLL();
	EXPECT_RETURNS(LEN, take(self->srv));
	EXPECT_EQ(POLLOUT, io_join(&self->t[0]));
}

TEST_F(flow, poll_is_woken_by_the_death_of_the_receiver)
{
	START_POLL();
	stop(&self->srv);
	EXPECT_EQ(POLLOUT, io_join(&self->t[0]));
	EXPECT_ERRNO(ECONNREFUSED, try_put(self->cli, NULL, LEN));
}

TEST_F(flow, poll_is_woken_by_shutdown_of_the_receiver)
{
	START_POLL();
	ASSERT_OK(shutdown(self->srv, SHUT_RD));
	EXPECT_EQ(POLLOUT, io_join(&self->t[0]));
	EXPECT_ERRNO(EPIPE, try_put(self->cli, NULL, LEN));
}

TEST_F(flow, poll_is_woken_by_connect)
{
	START_POLL();
	ASSERT_OK(nym_call(self->cli, THIRD));
	EXPECT_EQ(POLLOUT, io_join(&self->t[0]));
	EXPECT_RETURNS(LEN, try_put(self->cli, NULL, LEN));
}

TEST_F(flow, poll_is_woken_by_disconnect)
{
	START_POLL();
	ASSERT_OK(disconnect(self->cli));
	EXPECT_EQ(POLLOUT, io_join(&self->t[0]));
	EXPECT_ERRNO(ENOTCONN, try_put(self->cli, NULL, LEN));
}

/* What a receiver throws away is room, too. */
TEST_F(flow, poll_is_woken_by_a_receiver_that_forgets)
{
	ASSERT_OK(nym_call(self->srv, CLI));
	START_POLL();
	ASSERT_OK(disconnect(self->srv));
	/* The error may come a moment later. */
	EXPECT_EQ(POLLOUT, io_join(&self->t[0]) & ~POLLERR);
	EXPECT_EQ(ECONNRESET, io_so_error(self->cli));
	EXPECT_RETURNS(LEN, try_put(self->cli, NULL, LEN));
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

TEST_F(flow, an_edge_for_each_time_room_comes_back)
{
	int round;

	ASSERT_OK(watch(self->ep, self->cli, EPOLLOUT | EPOLLET));
	EXPECT_EQ(EPOLLOUT, happened(self->ep, 0));
	EXPECT_EQ(0, happened(self->ep, 0));
	ASSERT_LT(0, fill(self->cli, NULL, LEN));
	for (round = 0; round < 50; round++) {
		ASSERT_EQ(0, happened(self->ep, 0));
		ASSERT_RETURNS(LEN, take(self->srv));
		ASSERT_EQ(EPOLLOUT, happened(self->ep, IO_POLL_MS));
		ASSERT_EQ(0, happened(self->ep, 0));
		/* By name or not. */
		ASSERT_EQ(1, fill(self->cli, round & 1 ? SRV : NULL, LEN));
	}
}

/* Nobody but the failed send has asked: no poll() came in between. */
TEST_F(flow, an_edge_comes_without_asking_again)
{
	ASSERT_OK(watch(self->ep, self->cli, EPOLLOUT | EPOLLET));
	EXPECT_EQ(EPOLLOUT, happened(self->ep, 0));
	ASSERT_LT(0, fill(self->cli, NULL, LEN));
	EXPECT_RETURNS(LEN, take(self->srv));
	EXPECT_EQ(EPOLLOUT, happened(self->ep, IO_POLL_MS));
	EXPECT_RETURNS(LEN, try_put(self->cli, NULL, LEN));
	EXPECT_ERRNO(EAGAIN, try_put(self->cli, NULL, 8000));
	/* Room, but not enough: the edge is the one that is enough. */
	EXPECT_RETURNS(LEN, take(self->srv));
	EXPECT_EQ(0, happened(self->ep, 0));
	while (take(self->srv) == LEN)
		;
	EXPECT_EQ(EPOLLOUT, happened(self->ep, IO_POLL_MS));
	EXPECT_RETURNS(8000, try_put(self->cli, NULL, 8000));
}

TEST_F(flow, an_edge_for_death_restart_and_connect)
{
	ASSERT_OK(watch(self->ep, self->cli, EPOLLOUT | EPOLLET));
	EXPECT_EQ(EPOLLOUT, happened(self->ep, 0));
	ASSERT_LT(0, fill(self->cli, NULL, LEN));
	stop(&self->srv);
	EXPECT_EQ(EPOLLOUT, happened(self->ep, IO_POLL_MS));
	self->srv = dgram_bound(SRV);
	ASSERT_LT(0, fill(self->cli, NULL, LEN));
	EXPECT_EQ(0, happened(self->ep, 0));
	ASSERT_OK(shutdown(self->srv, SHUT_RD));
	EXPECT_EQ(EPOLLOUT, happened(self->ep, IO_POLL_MS));
	stop(&self->srv);
	self->srv = dgram_bound(SRV);
	ASSERT_LT(0, fill(self->cli, NULL, LEN));
	happened(self->ep, 0);
	ASSERT_OK(nym_call(self->cli, THIRD));
	EXPECT_EQ(EPOLLOUT, happened(self->ep, IO_POLL_MS));
	ASSERT_LT(0, fill(self->cli, NULL, LEN));
	EXPECT_EQ(0, happened(self->ep, 0));
	EXPECT_RETURNS(LEN, take(self->third));
	EXPECT_EQ(EPOLLOUT, happened(self->ep, IO_POLL_MS));
}

TEST_F(flow, an_edge_for_each_datagram_that_comes)
{
	int i;

	ASSERT_OK(watch(self->ep, self->srv, EPOLLIN | EPOLLET));
	EXPECT_EQ(0, happened(self->ep, 0));
	for (i = 0; i < 3; i++) {
		EXPECT_RETURNS(10, try_put(self->cli, NULL, 10));
		EXPECT_EQ(EPOLLIN, happened(self->ep, 0));
		EXPECT_EQ(0, happened(self->ep, 0));
	}
	EXPECT_RETURNS(0, try_put(self->cli, NULL, 0));
	EXPECT_EQ(EPOLLIN, happened(self->ep, 0));
	EXPECT_EQ(4, drain(self->srv));
	EXPECT_EQ(0, happened(self->ep, 0));
}

/* The signal is blocked, so that it can be waited for. */
static int sigio_within(int ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000L };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return sigtimedwait(&set, NULL, &ts) < 0 ? -errno : SIGIO;
}

static int ask_for_sigio(int fd)
{
	sigio_within(0);
	return fcntl(fd, F_SETOWN, getpid()) ||
	       fcntl(fd, F_SETFL, O_ASYNC | O_RDWR) ? -1 : 0;
}

TEST_F(flow, sigio_tells_of_a_datagram)
{
	ASSERT_OK(ask_for_sigio(self->srv));
	EXPECT_EQ(-EAGAIN, sigio_within(0));
	EXPECT_RETURNS(10, try_put(self->third, SRV, 10));
	EXPECT_EQ(SIGIO, sigio_within(NYM_PATIENCE_MS));
	EXPECT_RETURNS(10, take(self->srv));
	EXPECT_EQ(-EAGAIN, sigio_within(0));
}

#define LOOPERS		3
#define PER_LOOPER	400

/* An event loop: sends what it can, waits for POLLOUT; -1 if that never comes. */
static long loop_out(struct io_thread *t)
{
	int fd = dgram_connected(SRV), ep = epoll_create1(EPOLL_CLOEXEC);
	__u32 seed = t->pos * 7919 + 1;
	long done = 0;

	if (t->flags)
		watch(ep, fd, t->flags);
	while (done < PER_LOOPER) {
		/* A size is kept until it has been sent. */
		size_t len = io_rand(&seed) % 2500;
		int mask = POLLOUT;

		while (mask == POLLOUT && try_put(fd, NULL, len) < 0)
			mask = t->flags ? happened(ep, NYM_PATIENCE_MS) :
					  poll_in_time(fd, POLLOUT);
		if (mask != POLLOUT)
			break;
		done++;
	}
	close(ep);
	close(fd);
	return done;
}

/* The reader reads for as long as something comes. */
static void loops_end(struct __test_metadata *_metadata, int srv, int flags,
		      __u32 seed)
{
	struct io_thread t[LOOPERS];
	long i, n = 0;

	for (i = 0; i < LOOPERS; i++) {
		t[i] = (struct io_thread){ .pos = i, .flags = flags };
		io_start(&t[i], loop_out);
	}
	while (n < LOOPERS * PER_LOOPER &&
	       poll_in_time(srv, POLLIN) == POLLIN) {
		for (i = io_rand(&seed) % 4; i >= 0; i--)
			n += take(srv) >= 0;
		dither(&seed);
	}
	EXPECT_EQ(LOOPERS * PER_LOOPER, n);
	for (i = 0; i < LOOPERS; i++)
		EXPECT_EQ(PER_LOOPER, io_join(&t[i]));
}

TEST_F(flow, no_poll_misses_its_room)
{
	loops_end(_metadata, self->srv, 0, self->seed);
}

TEST_F(flow, no_edge_is_lost)
{
	loops_end(_metadata, self->srv, EPOLLOUT | EPOLLET, self->seed);
}

/* --- Several receivers --- */

struct heard {
	struct io_thread t;
	char buf[16];
};

/* A thread in recv(), asleep. */
#define START_RECV(_h, _fd, _flags) do { \
	(_h)->t = (struct io_thread){ .fd = _fd, .buf = (_h)->buf, \
				      .len = sizeof((_h)->buf), .flags = _flags }; \
	memset((_h)->buf, 0, sizeof((_h)->buf)); \
	io_start(&(_h)->t, io_do_recv); \
	ASSERT_TRUE(io_wait_blocked(&(_h)->t)); \
} while (0)

/* How often the thread went to sleep. */
static long sleeps_of(pid_t tid)
{
	static const char tag[] = "\nvoluntary_ctxt_switches:";
	char path[64], *text, *s;
	long n = -1;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
	text = nym_slurp(path, 8192);
	s = text ? strstr(text, tag) : NULL;
	if (s)
		n = strtol(s + sizeof(tag) - 1, NULL, 10);
	free(text);
	return n;
}

static int how_many_done(struct heard *h, int n)
{
	int done = 0;

	while (n--)
		done += io_done(&h[n].t);
	return done;
}

static bool wait_done(struct heard *h, int n, int want)
{
	long end = io_now_ms() + NYM_PATIENCE_MS;

	while (how_many_done(h, n) < want && io_now_ms() < end)
		usleep(1000);
	return how_many_done(h, n) == want;
}

#define HEARERS	4

/* Not all of them, to see that there is nothing for them. */
TEST_F(flow, a_datagram_wakes_one_receiver)
{
	long before[HEARERS];
	struct heard h[HEARERS];
	int i, sent;

	for (i = 0; i < HEARERS; i++)
		START_RECV(&h[i], self->srv, 0);
	for (sent = 1; sent <= HEARERS; sent++) {
		for (i = 0; i < HEARERS; i++)
			before[i] = io_done(&h[i].t) ? -1 : sleeps_of(h[i].t.tid);
		EXPECT_RETURNS(sent, try_put(self->cli, NULL, sent));
		ASSERT_TRUE(wait_done(h, HEARERS, sent));
		usleep(2000);
		EXPECT_EQ(sent, how_many_done(h, HEARERS));
		for (i = 0; i < HEARERS; i++) {
			if (before[i] < 0 || io_done(&h[i].t))
				continue;
			EXPECT_EQ(before[i], sleeps_of(h[i].t.tid));
		}
	}
	/* First come, first served. */
	for (i = 0; i < HEARERS; i++)
		EXPECT_EQ(i + 1, io_join(&h[i].t));
}

/* Who waits for room on the same socket is woken, too, but by the way. */
TEST_F(flow, a_waiting_sender_takes_no_receivers_wake_up)
{
	struct heard h[2];

	ASSERT_LT(0, fill(self->cli, NULL, LEN));
	START_RECV(&h[0], self->cli, 0);
	START_PUT(&self->t[0], self->cli, NULL);
	START_PUT(&self->t[1], self->cli, NULL);
	START_RECV(&h[1], self->cli, 0);
	EXPECT_RETURNS(9, try_put(self->srv, CLI, 9));
	EXPECT_EQ(9, io_join(&h[0].t));
	EXPECT_RETURNS(8, try_put(self->srv, CLI, 8));
	EXPECT_EQ(8, io_join(&h[1].t));
	EXPECT_TRUE(io_wait_blocked(&self->t[0]));
	EXPECT_TRUE(io_wait_blocked(&self->t[1]));
	while (take(self->srv) == LEN)
		;
	EXPECT_EQ(LEN, io_join(&self->t[0]));
	EXPECT_EQ(LEN, io_join(&self->t[1]));
}

/* One that was not woken would be waited for in vain: the test ends here. */
static void join_woken(struct __test_metadata *_metadata, struct heard *h)
{
	if (!wait_done(h, 1, 1)) {
		TH_LOG("a receiver has not been woken");
		abort();
	}
	io_join(&h->t);
}

/* Whoever was woken and goes without the datagram wakes the next. */
TEST_F(flow, a_receiver_that_faults_wakes_the_next)
{
	struct heard h[2];

	h[0].t = (struct io_thread){ .fd = self->srv, .buf = (void *)8, .len = 16 };
	io_start(&h[0].t, io_do_recv);
	ASSERT_TRUE(io_wait_blocked(&h[0].t));
	START_RECV(&h[1], self->srv, 0);
	EXPECT_RETURNS(9, try_put(self->cli, NULL, 9));
	join_woken(_metadata, &h[0]);
	join_woken(_metadata, &h[1]);
	EXPECT_SAME_ERRNO(EFAULT, h[0].t.err);
	EXPECT_EQ(9, h[1].t.ret);
	EXPECT_TRUE(io_is(h[1].buf, 9, 9));
}

TEST_F(flow, a_receiver_that_peeks_wakes_the_next)
{
	struct heard h[2];

	START_RECV(&h[0], self->srv, MSG_PEEK);
	START_RECV(&h[1], self->srv, 0);
	EXPECT_RETURNS(9, try_put(self->cli, NULL, 9));
	join_woken(_metadata, &h[0]);
	join_woken(_metadata, &h[1]);
	EXPECT_EQ(9, h[0].t.ret);
	EXPECT_EQ(9, h[1].t.ret);
	EXPECT_EQ(0, drain(self->srv));
}

TEST_F(flow, a_receiver_that_gets_an_error_wakes_the_next)
{
	struct heard h[2];
	int round, i;

	for (round = 0; round < 20; round++) {
		/* CLI and THIRD are connected; CLI has sent what will be lost. */
		ASSERT_OK(nym_call(self->cli, THIRD));
		ASSERT_OK(nym_call(self->third, CLI));
		ASSERT_RETURNS(5, try_put(self->cli, NULL, 5));
		START_RECV(&h[0], self->cli, 0);
		START_RECV(&h[1], self->cli, 0);
		ASSERT_OK(disconnect(self->third));
		if (round & 1)
			usleep(1000);
		ASSERT_RETURNS(9, try_put(self->third, CLI, 9));
		join_woken(_metadata, &h[0]);
		join_woken(_metadata, &h[1]);
		i = h[0].t.ret == 9; /* who got the error */
		EXPECT_EQ(9, h[!i].t.ret);
		EXPECT_SAME_ERRNO(ECONNRESET, h[i].t.err);
	}
}

/* The first may have got the datagram: then there is one for the second. */
#define EXPECT_PASSED_ON(_h, _err) do { \
	join_woken(_metadata, _h); \
	if ((_h)->t.ret < 0) { \
		EXPECT_SAME_ERRNO(_err, (_h)->t.err); \
	} else { \
		ASSERT_RETURNS(9, try_put(self->cli, NULL, 9)); \
	} \
	join_woken(_metadata, (_h) + 1); \
	ASSERT_EQ(9, (_h)[1].t.ret); \
	ASSERT_EQ(0, drain(self->srv)); \
} while (0)

/* The signal and the datagram meet the same receiver. */
TEST_F(flow, a_receiver_that_is_interrupted_wakes_the_next)
{
	long end = io_now_ms() + 800;
	struct heard h[2];
	int interrupted = 0, round;

	ASSERT_OK(catch_signal(0));
	/* On a busy machine few rounds fit, and the datagram may win them all. */
	for (round = 0; io_now_ms() < end || (!interrupted && round < 400); round++) {
		START_RECV(&h[0], self->srv, 0);
		START_RECV(&h[1], self->srv, 0);
		if (round & 1)
			pthread_kill(h[0].t.thread, SIGUSR1);
		if (round & 2)
			usleep(io_rand(&self->seed) % 500);
		ASSERT_RETURNS(9, try_put(self->cli, NULL, 9));
		if (!(round & 1))
			pthread_kill(h[0].t.thread, SIGUSR1);
		EXPECT_PASSED_ON(h, EINTR);
		interrupted += h[0].t.ret < 0;
	}
	EXPECT_LT(0, interrupted);
}

#define SHORT_MS	60

/* The first one's patience ends about when the datagram comes. */
TEST_F(flow, a_receiver_whose_time_is_up_wakes_the_next)
{
	struct heard h[2];
	int round;

	for (round = 0; round < 14; round++) {
		long end = io_now_ms() + SHORT_MS;

		ASSERT_OK(io_set_timeout(self->srv, SO_RCVTIMEO, SHORT_MS));
		h[0].t = (struct io_thread){ .fd = self->srv, .buf = h[0].buf, .len = 16 };
		io_start(&h[0].t, io_do_recv);
		/* On a busy machine it may be over by now. */
		io_wait_blocked(&h[0].t);
		ASSERT_OK(io_set_timeout(self->srv, SO_RCVTIMEO, 0));
		START_RECV(&h[1], self->srv, 0);
		while (io_now_ms() < end)
			usleep(100);
		usleep(io_rand(&self->seed) % 3000);
		ASSERT_RETURNS(9, try_put(self->cli, NULL, 9));
		EXPECT_PASSED_ON(h, EAGAIN);
	}
}

TEST_F(flow, shutdown_wakes_every_receiver)
{
	struct heard h[HEARERS];
	int i;

	for (i = 0; i < HEARERS; i++)
		START_RECV(&h[i], self->srv, 0);
	self->t[0] = (struct io_thread){ .fd = self->srv, .flags = POLLIN };
	io_start(&self->t[0], polling);
	ASSERT_TRUE(io_wait_blocked(&self->t[0]));
	ASSERT_OK(shutdown(self->srv, SHUT_RD));
	for (i = 0; i < HEARERS; i++)
		EXPECT_EQ(0, io_join(&h[i].t));
	EXPECT_EQ(POLLIN, io_join(&self->t[0]));
}

TEST_F(flow, a_reset_wakes_a_receiver)
{
	struct heard h;

	ASSERT_OK(nym_call(self->srv, CLI));
	ASSERT_RETURNS(LEN, try_put(self->cli, NULL, LEN));
	START_RECV(&h, self->cli, 0);
	ASSERT_OK(nym_call(self->srv, THIRD));
	EXPECT_ENDS(&h.t, ECONNRESET);
}

/* --- Calls that stall in a page fault --- */

#define PAGE	4096L
#define LONG	6000L	/* reaches into the second page */

FIXTURE(stalled)
{
	int srv;
	int cli;
	int uffd;
	__u8 *mem;	/* a page that is there and one that is not */
	struct io_thread t;
};

/* The second page of @mem is not there until go_on(). */
static int hold_back(__u8 *mem)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	reg.range.start = (uintptr_t)mem + PAGE;
	reg.range.len = PAGE;
	if (uffd >= 0 && (ioctl(uffd, UFFDIO_API, &api) ||
			  ioctl(uffd, UFFDIO_REGISTER, &reg)))
		return nym_give_up(uffd);
	return uffd;
}

FIXTURE_SETUP(stalled)
{
	die_with_parent();
	SKIP_WITHOUT_NYM();
	self->mem = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->mem);
	memcpy(self->mem, io_at(LONG), PAGE);
	self->uffd = hold_back(self->mem);
	if (self->uffd < 0)
		SKIP(return, "no userfaultfd: %s", strerrorname_np(errno));
	self->srv = dgram_bound(SRV);
	ASSERT_FD(self->srv);
	self->cli = dgram_bound(CLI);
	ASSERT_FD(self->cli);
	ASSERT_OK(nym_call(self->cli, SRV));
}

FIXTURE_TEARDOWN(stalled)
{
	close(self->uffd);
	close(self->srv);
	close(self->cli);
	munmap(self->mem, 2 * PAGE);
}

/* Somebody waits for the second page. */
static bool is_stalled(int uffd)
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

	memcpy(page, io_at(LONG + PAGE), PAGE);
	return ioctl(uffd, UFFDIO_COPY, &copy);
}

/* A receiver in the middle of a datagram of CLI's. */
#define STALL_RECV() do { \
	ASSERT_RETURNS(LONG, try_put(self->cli, NULL, LONG)); \
	memset(self->mem, 0, PAGE); \
	self->t = (struct io_thread){ .fd = self->srv, .buf = self->mem, \
				      .len = LONG }; \
	io_start(&self->t, io_do_recv); \
	ASSERT_TRUE(is_stalled(self->uffd)); \
} while (0)

#define EXPECT_GOES_ON() do { \
	EXPECT_FALSE(io_done(&self->t)); \
	ASSERT_OK(go_on(self->uffd, self->mem)); \
	EXPECT_EQ(LONG, io_join(&self->t)); \
	EXPECT_TRUE(io_is(self->mem, LONG, LONG)); \
} while (0)

TEST_F(stalled, a_receiver_delays_nobody_who_sends)
{
	int other = dgram_socket();

	STALL_RECV();
	EXPECT_RETURNS(10, try_put(self->cli, NULL, 10));
	EXPECT_RETURNS(11, try_put(other, SRV, 11));
	EXPECT_OK(nym_call(other, SRV));
	EXPECT_RETURNS(12, try_put(other, NULL, 12));
	EXPECT_RETURNS(13, try_put(self->srv, CLI, 13));
	EXPECT_RETURNS(13, take(self->cli));
	EXPECT_NE(0, io_poll(self->srv, POLLIN, 0));
	EXPECT_EQ(POLLOUT, io_poll(self->cli, POLLOUT, 0));
	EXPECT_LE(0, io_inq(self->srv));
	EXPECT_LE(0, queued(self->srv));
	EXPECT_OK(disconnect(other));
	close(other);
	EXPECT_GOES_ON();
	EXPECT_EQ(3, drain(self->srv));
	EXPECT_EQ(0, io_outq(self->cli));
}

TEST_F(stalled, a_receiver_keeps_its_datagram_though_its_sender_dies)
{
	STALL_RECV();
	close(self->cli);
	self->cli = dgram_bound(CLI);
	ASSERT_FD(self->cli);
	EXPECT_RETURNS(10, try_put(self->cli, SRV, 10));
	EXPECT_GOES_ON();
	EXPECT_RETURNS(10, take(self->srv));
}

/* connect() and shutdown() of the very socket, which throws its queue away. */
TEST_F(stalled, a_receiver_delays_no_call_of_its_own_socket)
{
	ASSERT_OK(nym_call(self->srv, CLI));
	STALL_RECV();
	EXPECT_RETURNS(10, try_put(self->cli, NULL, 10));
	EXPECT_OK(disconnect(self->srv));
	EXPECT_EQ(0, queued(self->srv));
	EXPECT_EQ(ECONNRESET, io_so_error(self->cli));
	EXPECT_RETURNS(11, try_put(self->cli, NULL, 11));
	EXPECT_OK(shutdown(self->srv, SHUT_RD));
	EXPECT_GOES_ON();
	EXPECT_RETURNS(11, take(self->srv));
	EXPECT_ERRNO(EAGAIN, take(self->srv));
	EXPECT_EQ(0, io_outq(self->cli));
	EXPECT_EQ(0, queued(self->srv));
}

static long peek(struct io_thread *t)
{
	return recv(t->fd, t->buf, t->len, MSG_PEEK);
}

/* What it looks at is thrown away: it sees it, and nobody else does. */
TEST_F(stalled, a_peek_at_what_is_thrown_away)
{
	ASSERT_OK(nym_call(self->srv, CLI));
	ASSERT_RETURNS(LONG, try_put(self->cli, NULL, LONG));
	memset(self->mem, 0, PAGE);
	self->t = (struct io_thread){ .fd = self->srv, .buf = self->mem, .len = LONG };
	io_start(&self->t, peek);
	ASSERT_TRUE(is_stalled(self->uffd));
	EXPECT_OK(disconnect(self->srv));
	EXPECT_EQ(0, queued(self->srv));
	EXPECT_EQ(ECONNRESET, io_so_error(self->cli));
	EXPECT_RETURNS(11, try_put(self->cli, NULL, 11));
	EXPECT_GOES_ON();
	EXPECT_RETURNS(11, take(self->srv));
	EXPECT_ERRNO(EAGAIN, take(self->srv));
	EXPECT_EQ(0, io_outq(self->cli));
}

TEST_F(stalled, another_receiver_gets_the_next_datagram)
{
	struct heard h;

	STALL_RECV();
	h.t = (struct io_thread){ .fd = self->srv, .buf = h.buf, .len = 16 };
	io_start(&h.t, io_do_recv);
	EXPECT_RETURNS(9, try_put(self->cli, NULL, 9));
	EXPECT_GOES_ON();
	EXPECT_EQ(9, io_join(&h.t));
	EXPECT_TRUE(io_is(h.buf, 9, 9));
}

/* Stalls in the call @fn, with pages of its own; tells so, and stays there. */
static void stall_and_stay(int fd, long (*fn)(struct io_thread *t), int told)
{
	__u8 *mem = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct io_thread t = { .fd = fd, .buf = mem, .len = LONG };
	int uffd;

	/* Not longer than the test, whatever becomes of that. */
	die_with_parent();
	memset(mem, 1, PAGE);
	uffd = hold_back(mem);
	io_start(&t, fn);
	if (is_stalled(uffd) && write(told, "", 1) == 1)
		pause();
	_exit(1);
}

/* A child that is stalled in the call @fn by now; -1 if it is not. */
static pid_t stalled_child(int fd, long (*fn)(struct io_thread *t))
{
	int told[2];
	pid_t pid;
	char c;

	if (pipe2(told, O_CLOEXEC))
		return -1;
	pid = fork();
	if (!pid)
		stall_and_stay(fd, fn, told[1]);
	close(told[1]);
	if (read(told[0], &c, 1) != 1)
		pid = -1;
	close(told[0]);
	return pid;
}

/* False if it has ended by itself. */
static bool kill_child(pid_t pid)
{
	int status;

	return !kill(pid, SIGKILL) && waitpid(pid, &status, 0) == pid &&
	       WIFSIGNALED(status);
}

/* It stays, and whoever waits for it is woken. */
TEST_F(stalled, a_receiver_that_is_killed_leaves_the_datagram)
{
	static __u8 buf[LONG];
	pid_t pid;

	ASSERT_RETURNS(LONG, try_put(self->cli, NULL, LONG));
	pid = stalled_child(self->srv, io_do_recv);
	ASSERT_LT(0, pid);
	self->t = (struct io_thread){ .fd = self->srv, .buf = buf, .len = LONG };
	io_start(&self->t, io_do_recv);
	ASSERT_TRUE(io_wait_blocked(&self->t));
	ASSERT_TRUE(kill_child(pid));
	ASSERT_TRUE(is_done_soon(&self->t));
	EXPECT_EQ(LONG, io_join(&self->t));
	EXPECT_TRUE(io_is(buf, LONG, LONG));
	EXPECT_EQ(0, io_outq(self->cli));
}

static long send_mem(struct io_thread *t)
{
	return send(t->fd, t->buf, t->len, MSG_NOSIGNAL);
}

#define STALL_SEND() do { \
	self->t = (struct io_thread){ .fd = self->cli, .buf = self->mem, \
				      .len = LONG }; \
	io_start(&self->t, send_mem); \
	ASSERT_TRUE(is_stalled(self->uffd)); \
} while (0)

TEST_F(stalled, a_sender_delays_nobody)
{
	int other = dgram_connected(SRV);

	STALL_SEND();
	EXPECT_EQ(0, io_inq(self->srv));
	EXPECT_ERRNO(EAGAIN, take(self->srv));
	EXPECT_RETURNS(10, try_put(other, NULL, 10));
	EXPECT_RETURNS(11, try_put(self->cli, NULL, 11));
	EXPECT_RETURNS(10, take(self->srv));
	EXPECT_RETURNS(12, try_put(self->srv, CLI, 12));
	EXPECT_RETURNS(12, take(self->cli));
	EXPECT_FALSE(io_done(&self->t));
	ASSERT_OK(go_on(self->uffd, self->mem));
	EXPECT_EQ(LONG, io_join(&self->t));
	EXPECT_RETURNS(11, take(self->srv));
	EXPECT_RETURNS(LONG, take(self->srv));
	close(other);
}

TEST_F(stalled, a_sender_finds_the_receiver_dead)
{
	STALL_SEND();
	stop(&self->srv);
	ASSERT_OK(go_on(self->uffd, self->mem));
	EXPECT_ENDS(&self->t, ECONNREFUSED);
	EXPECT_EQ(0, io_outq(self->cli));
}

TEST_F(stalled, a_sender_finds_the_new_owner)
{
	STALL_SEND();
	stop(&self->srv);
	self->srv = dgram_bound(SRV);
	ASSERT_OK(go_on(self->uffd, self->mem));
	EXPECT_EQ(LONG, io_join(&self->t));
	EXPECT_RETURNS(LONG, take(self->srv));
}

TEST_F(stalled, a_sender_that_is_killed_sends_nothing)
{
	pid_t pid = stalled_child(self->cli, send_mem);

	ASSERT_LT(0, pid);
	ASSERT_TRUE(kill_child(pid));
	EXPECT_ERRNO(EAGAIN, take(self->srv));
	EXPECT_EQ(0, io_outq(self->cli));
}

/* --- Races --- */

#define RACE_MS	600

/* What each thread of a race works on, and what went wrong there. */
struct race {
	long end;
	bool stop;
	__u32 seed;
	int fd;
	long ok;
	long odd;
	int err;	/* the last errno that makes no sense */
};

static void start_race(struct io_thread *t, struct race *r, __u32 seed, int fd,
		       long (*fn)(struct io_thread *t))
{
	*r = (struct race){ .end = io_now_ms() + RACE_MS, .seed = seed | 1, .fd = fd };
	/* What else there is in @t is the caller's. */
	t->arg = r;
	io_start(t, fn);
}

/*
 * Until the time is over and each thread has had success once: a starved one may
 * not have run before. All go on until then, as one may need another for that.
 */
static bool race_goes_on(struct race *r, int n)
{
	long now = io_now_ms();

	for (; n; n--, r++) {
		bool idle = !__atomic_load_n(&r->ok, __ATOMIC_RELAXED);

		if (now < r->end + (idle ? NYM_PATIENCE_MS : 0))
			return true;
	}
	return false;
}

/* Each thread ends after the calls that it is in. */
static void end_race(struct race *r, int n)
{
	while (n--)
		__atomic_store_n(&r[n].stop, true, __ATOMIC_RELAXED);
}

/* The limit is for a test that is kept busy by the very threads it is to end. */
static bool is_racing(struct race *r)
{
	return !__atomic_load_n(&r->stop, __ATOMIC_RELAXED) &&
	       io_now_ms() < r->end + NYM_PATIENCE_MS;
}

static bool all_done(struct io_thread *t, int n)
{
	while (n && io_done(&t[n - 1]))
		n--;
	return !n;
}

/* A call went well or failed as it may; the errnos end with 0. */
static void judge(struct race *r, long ret, const int *allowed)
{
	if (ret >= 0) {
		__atomic_add_fetch(&r->ok, 1, __ATOMIC_RELAXED);
		return;
	}
	while (*allowed && *allowed != errno)
		allowed++;
	if (!*allowed) {
		r->odd++;
		r->err = errno;
	}
}

#define JUDGE(_r, _call, ...) do { \
	static const int __errs[] = { __VA_ARGS__, 0 }; \
	judge(_r, _call, __errs); \
} while (0)

#define EXPECT_NOTHING_ODD(_r) EXPECT_EQ(0, (_r)->odd) { \
	TH_LOG("%ld went well, %ld not, at last with %s", (_r)->ok, (_r)->odd, \
	       strerrorname_np((_r)->err)); \
}

static long race_connect(struct io_thread *t)
{
	struct race *r = t->arg;

	while (is_racing(r)) {
		switch (io_rand(&r->seed) % 4) {
		case 0:
			JUDGE(r, disconnect(r->fd), 0);
			break;
		case 1:
			JUDGE(r, nym_call(r->fd, THIRD), ECONNREFUSED, EPERM);
			break;
		default:
			JUDGE(r, nym_call(r->fd, SRV), ECONNREFUSED, EPERM);
		}
		dither(&r->seed);
	}
	return 0;
}

static long race_send(struct io_thread *t)
{
	struct race *r = t->arg;

	/* The time bounds a wait for somebody who does not read any more. */
	io_set_timeout(r->fd, SO_SNDTIMEO, 20);
	while (is_racing(r)) {
		size_t len = io_rand(&r->seed) % 3000;
		int flags = io_rand(&r->seed) & 1 ? MSG_DONTWAIT : 0;

		JUDGE(r, put(r->fd, NULL, len, flags), ECONNREFUSED, ENOTCONN,
		      EAGAIN, EPERM, EPIPE, ECONNRESET);
		JUDGE(r, put(r->fd, SRV, len, flags), ECONNREFUSED, EAGAIN, EPERM,
		      EPIPE, ECONNRESET);
		io_poll(r->fd, POLLOUT, 0);
	}
	return 0;
}

static long race_receive(struct io_thread *t)
{
	struct race *r = t->arg;
	char buf[100];

	io_set_timeout(r->fd, SO_RCVTIMEO, 5);
	while (is_racing(r)) {
		int flags = io_rand(&r->seed) & 1 ? MSG_PEEK : 0;

		JUDGE(r, recv(r->fd, buf, sizeof(buf), flags), EAGAIN, ECONNRESET);
	}
	return 0;
}

/* One socket is connected, disconnected, used, and its peers come and go. */
TEST_F(flow, connect_against_send_against_close)
{
	struct race r[4];
	int i;

	start_race(&self->t[0], &r[0], self->seed, self->cli, race_connect);
	start_race(&self->t[1], &r[1], self->seed + 2, self->cli, race_send);
	start_race(&self->t[2], &r[2], self->seed + 4, self->cli, race_send);
	start_race(&self->t[3], &r[3], self->seed + 6, self->cli, race_receive);
	while (race_goes_on(r, 4)) {
		for (i = io_rand(&self->seed) % 8; i; i--) {
			take(self->srv);
			try_put(self->srv, CLI, 50);
		}
		if (!(io_rand(&self->seed) & 3))
			nym_call(self->srv, CLI);
		close(self->srv);
		dither(&self->seed);
		self->srv = dgram_bound(SRV);
		EXPECT_LE(0, self->srv);
		drain(self->third);
	}
	end_race(r, 4);
	for (i = 0; i < 4; i++) {
		io_join(&self->t[i]);
		EXPECT_NOTHING_ODD(&r[i]);
	}
	EXPECT_LT(0, r[1].ok + r[2].ok);
	/* All of it is in order again. */
	stop(&self->srv);
	self->srv = dgram_bound(SRV);
	ASSERT_OK(nym_call(self->cli, SRV));
	io_so_error(self->cli);
	EXPECT_RETURNS(LEN, try_put(self->cli, NULL, LEN));
	EXPECT_RETURNS(LEN, take(self->srv));
	drain(self->third);
	EXPECT_EQ(0, io_outq(self->cli));
}

static long race_restart(struct io_thread *t)
{
	struct race *r = t->arg;

	while (is_racing(r))
		JUDGE(r, put(r->fd, NULL, 100, 0), ECONNREFUSED, EPIPE);
	return 0;
}

/*
 * The server is restarted without end; whatever a sender was told has been
 * sent was received, as the server shuts down before it reads the rest.
 */
TEST_F(flow, a_restarted_server_and_its_senders)
{
	long got = 0, sent = 0, names = 0;
	struct race r[4];
	int fd[4], i;

	for (i = 0; i < 4; i++) {
		fd[i] = dgram_connected(SRV);
		ASSERT_FD(fd[i]);
		start_race(&self->t[i], &r[i], self->seed, fd[i], race_restart);
	}
	/* Those that wait for room end only if it goes on. */
	while (!all_done(self->t, 4)) {
		if (names >= 2 && !race_goes_on(r, 4))
			end_race(r, 4);
		for (i = io_rand(&self->seed) % 200; i; i--)
			got += take(self->srv) == 100;
		ASSERT_OK(shutdown(self->srv, SHUT_RD));
		got += drain(self->srv);
		close(self->srv);
		dither(&self->seed);
		self->srv = dgram_bound(SRV);
		ASSERT_FD(self->srv);
		names++;
	}
	got += drain(self->srv);
	for (i = 0; i < 4; i++) {
		io_join(&self->t[i]);
		EXPECT_NOTHING_ODD(&r[i]);
		EXPECT_LT(0, r[i].ok);
		sent += r[i].ok;
		EXPECT_EQ(0, io_outq(fd[i]));
		EXPECT_STREQ(SRV, nym_peer_name(fd[i]));
		close(fd[i]);
	}
	EXPECT_EQ(sent, got) {
		TH_LOG("%ld names", names);
	}
}

static long race_pair(struct io_thread *t)
{
	struct race *r = t->arg;
	const char *peer = t->pos ? CLI : THIRD;
	char buf[100];

	while (is_racing(r)) {
		JUDGE(r, nym_call(r->fd, peer), EPERM);
		JUDGE(r, put(r->fd, NULL, 50, MSG_DONTWAIT), EAGAIN, ECONNRESET,
		      ENOTCONN, EPERM);
		JUDGE(r, put(r->fd, peer, 50, MSG_DONTWAIT), EAGAIN, ECONNRESET,
		      EPERM);
		if (io_rand(&r->seed) & 1)
			JUDGE(r, recv(r->fd, buf, 100, MSG_DONTWAIT), EAGAIN,
			      ECONNRESET);
		if (io_rand(&r->seed) & 1)
			JUDGE(r, disconnect(r->fd), 0);
		else
			JUDGE(r, nym_call(r->fd, SRV), EPERM, 0);
		io_poll(r->fd, POLLIN | POLLOUT, 0);
	}
	return 0;
}

/* Each takes what the other needs; two threads a socket, too. */
TEST_F(flow, two_sockets_connect_to_each_other_in_a_loop)
{
	struct race r[4];
	int i;

	for (i = 0; i < 4; i++) {
		self->t[i].pos = i & 1;
		start_race(&self->t[i], &r[i], self->seed + 2 * i,
			   i & 1 ? self->third : self->cli, race_pair);
	}
	while (race_goes_on(r, 4))
		nym_nap();
	end_race(r, 4);
	for (i = 0; i < 4; i++) {
		io_join(&self->t[i]);
		EXPECT_NOTHING_ODD(&r[i]);
		EXPECT_LT(0, r[i].ok);
	}
	ASSERT_OK(disconnect(self->cli));
	ASSERT_OK(disconnect(self->third));
	io_so_error(self->cli);
	io_so_error(self->third);
	EXPECT_LE(0, drain(self->cli));
	EXPECT_LE(0, drain(self->third));
	EXPECT_LE(0, drain(self->srv));
	EXPECT_EQ(0, io_outq(self->cli));
	EXPECT_EQ(0, io_outq(self->third));
}

/* As many as it goes, then the errno. */
static long put_without_end(struct io_thread *t)
{
	long n = 0;

	while (put(t->fd, t->arg, 500, 0) == 500)
		n++;
	t->pos = errno;
	return n;
}

/* Some are asleep, some on their way there, when the receiver ends. */
TEST_F(flow, close_and_shutdown_against_blocking_senders)
{
	long end = io_now_ms() + RACE_MS;
	int round, i;

	for (round = 0; io_now_ms() < end; round++) {
		int fd[3], how = io_rand(&self->seed) & 1;
		long got = 0, sent = 0;

		for (i = 0; i < 3; i++) {
			fd[i] = i ? dgram_connected(SRV) : dgram_socket();
			ASSERT_FD(fd[i]);
			self->t[i] = (struct io_thread){ .fd = fd[i],
							 .arg = i ? NULL : SRV };
			io_start(&self->t[i], put_without_end);
		}
		for (i = io_rand(&self->seed) % 100; i; i--)
			got += take(self->srv) == 500;
		dither(&self->seed);
		ASSERT_OK(how ? shutdown(self->srv, SHUT_RD) : close(self->srv));
		for (i = 0; i < 3; i++) {
			sent += io_join(&self->t[i]);
			EXPECT_SAME_ERRNO(how ? EPIPE : ECONNREFUSED, self->t[i].pos) {
				TH_LOG("round %d, sender %d", round, i);
			}
		}
		if (how) {
			EXPECT_EQ(sent, got + drain(self->srv));
			close(self->srv);
		}
		for (i = 0; i < 3; i++) {
			EXPECT_EQ(0, io_outq(fd[i]));
			close(fd[i]);
		}
		self->srv = dgram_bound(SRV);
		ASSERT_FD(self->srv);
		ASSERT_OK(io_set_int(self->srv, SO_RCVBUF, 5000));
	}
}

static long put_once(struct io_thread *t)
{
	__atomic_store_n(&t->pos, 1, __ATOMIC_RELEASE);
	return put(t->fd, NULL, 500, 0);
}

/* A sender finds no room; meanwhile its socket is connected to nobody any more. */
TEST_F(flow, disconnect_against_a_sender_that_falls_asleep)
{
	long end = io_now_ms() + RACE_MS, rounds;

	for (rounds = 0; io_now_ms() < end; rounds++) {
		struct io_thread t = { .fd = dgram_connected(SRV) };

		ASSERT_FD(t.fd);
		while (try_put(t.fd, NULL, 500) == 500)
			;
		EXPECT_SAME_ERRNO(EAGAIN, errno);
		io_start(&t, put_once);
		while (!__atomic_load_n(&t.pos, __ATOMIC_ACQUIRE))
			;
		dither(&self->seed);
		ASSERT_OK(disconnect(t.fd));
		ASSERT_EQ(-1, io_join(&t));
		EXPECT_SAME_ERRNO(ENOTCONN, t.err);
		close(t.fd);
		EXPECT_LE(0, drain(self->srv));
	}
	TH_LOG("%ld rounds", rounds);
}

static long receive_until_the_end(struct io_thread *t)
{
	char buf[600];
	long n = 0;

	while (recv(t->fd, buf, sizeof(buf), 0) > 0)
		n++;
	return n;
}

/* Several at each end: every datagram is received once. */
TEST_F(flow, many_senders_and_many_receivers)
{
	long end = io_now_ms() + RACE_MS, sent, got;
	int round, i;

	for (round = 0; io_now_ms() < end; round++) {
		struct io_thread t[6];

		for (i = 0; i < 6; i++) {
			t[i] = (struct io_thread){ .fd = i < 3 ? self->cli : self->srv };
			io_start(&t[i], i < 3 ? put_without_end : receive_until_the_end);
		}
		usleep(io_rand(&self->seed) % 20000);
		ASSERT_OK(shutdown(self->srv, SHUT_RD));
		for (i = 0, sent = 0, got = 0; i < 6; i++)
			*(i < 3 ? &sent : &got) += io_join(&t[i]);
		ASSERT_EQ(sent, got + drain(self->srv)) {
			TH_LOG("round %d", round);
		}
		stop(&self->srv);
		self->srv = dgram_bound(SRV);
		ASSERT_FD(self->srv);
		ASSERT_OK(io_set_int(self->srv, SO_RCVBUF, 5000));
	}
}

NYM_TEST_MAIN
