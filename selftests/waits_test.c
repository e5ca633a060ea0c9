// SPDX-License-Identifier: GPL-2.0
/*
 * Every call that waits, and all that may happen to it at any moment: signals
 * without end, with SA_RESTART and without, a close of its descriptor or of the
 * other end, cancellation by io_uring, an epoll whose sockets come and go. What
 * it waits for comes at the same time, and is there once: with the call or, if
 * that was ended, still there for the next.
 */
#include "nym_stress.h"
#include "nym_uring.h"

#include <sys/epoll.h>

#define NAME	"t/waits"

/* What a call waits on. */
struct scene {
	int type;
	int fd;		/* the socket that waits */
	int peer;	/* where what it waits for comes from, or goes to */
	int helper;	/* one more socket or so, or -1 */
};

static void clear(struct scene *s)
{
	close(s->fd);
	close(s->peer);
	close(s->helper);
	*s = (struct scene){ .type = s->type, .fd = -1, .peer = -1, .helper = -1 };
}

/* --- What it waits for --- */

static bool make_pair(struct scene *s)
{
	int fd[2];

	if (scm_pair(s->type, fd))
		return false;
	s->fd = fd[0];
	s->peer = fd[1];
	return true;
}

/* Small enough to be filled and emptied quickly. */
static bool make_full(struct scene *s)
{
	if (!make_pair(s) || io_set_int(s->fd, SO_SNDBUF, 4096) ||
	    io_set_int(s->peer, SO_RCVBUF, 4096))
		return false;
	while (send(s->fd, io_at(0), 500, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
	return errno == EAGAIN;
}

static bool make_listener(struct scene *s)
{
	s->fd = scm_listen(s->type, NAME, 5);
	return s->fd >= 0;
}

/* Another call has taken the only place. */
static bool make_parked(struct scene *s)
{
	s->peer = scm_listen(s->type, NAME, 0);
	s->helper = scm_connect(s->type, NAME);
	s->fd = scm_socket(s->type);
	return s->peer >= 0 && s->helper >= 0;
}

static bool make_nobody(struct scene *s)
{
	s->fd = scm_socket(s->type);
	return s->fd >= 0 && !nym_option(s->fd, NYM_WAIT, 1);
}

/* And what ends the waiting well. */

static bool give_byte(struct scene *s)
{
	return send(s->peer, "x", 1, MSG_NOSIGNAL) == 1;
}

static bool give_room(struct scene *s)
{
	char buf[500];

	while (recv(s->peer, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
	return errno == EAGAIN;
}

static bool give_call(struct scene *s)
{
	s->peer = scm_connect(s->type, NAME);
	return s->peer >= 0;
}

static bool give_place(struct scene *s)
{
	int fd = scm_accept(s->peer);

	close(fd);
	return fd >= 0;
}

static bool give_name(struct scene *s)
{
	s->peer = s->type == SOCK_DGRAM ? scm_bound(s->type, NAME) :
					  scm_listen(s->type, NAME, 5);
	return s->peer >= 0;
}

/* --- The calls: 1 when they have got it, -1 and errno --- */

static long ok(long ret)
{
	return ret < 0 ? -1 : 1;
}

static long do_recv(struct scene *s)
{
	char buf[8];

	return recv(s->fd, buf, sizeof(buf), 0);
}

static long do_read(struct scene *s)
{
	char buf[8];

	return read(s->fd, buf, sizeof(buf));
}

static long do_recvmsg(struct scene *s)
{
	struct scm_in in;
	char buf[8];

	return scm_recv(s->fd, buf, sizeof(buf), 0, &in);
}

static long do_waitall(struct scene *s)
{
	char buf[1];

	return recv(s->fd, buf, sizeof(buf), MSG_WAITALL);
}

static long do_recvmmsg(struct scene *s)
{
	char buf[8];
	struct iovec iov = { buf, sizeof(buf) };
	struct mmsghdr m = { .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } };

	return recvmmsg(s->fd, &m, 1, 0, NULL);
}

static long do_splice(struct scene *s)
{
	int p[2];
	long n;

	if (pipe2(p, O_CLOEXEC))
		abort();
	n = splice(s->fd, NULL, p[1], NULL, 8, 0);
	nym_give_up(p[0]);
	nym_give_up(p[1]);
	return n;
}

static long do_send(struct scene *s)
{
	return ok(send(s->fd, io_at(0), 400, MSG_NOSIGNAL));
}

static long do_sendmsg(struct scene *s)
{
	struct scm_out out = { .len = 0 };

	return ok(scm_send(s->fd, io_at(0), 400, &out, 0));
}

static long do_write(struct scene *s)
{
	return ok(write(s->fd, io_at(0), 400));
}

static long do_accept(struct scene *s)
{
	int fd = scm_accept(s->fd);

	if (fd < 0)
		return -1;
	close(fd);
	return 1;
}

static long do_connect(struct scene *s)
{
	return ok(nym_call(s->fd, NAME));
}

static long do_sendto(struct scene *s)
{
	struct sockaddr_nym sa;
	socklen_t len = nym_addr(&sa, NAME);

	return ok(sendto(s->fd, "x", 1, 0, (struct sockaddr *)&sa, len));
}

static long do_poll(struct scene *s)
{
	struct pollfd p = { .fd = s->fd, .events = POLLIN };
	int n = poll(&p, 1, -1);

	return n > 0 && p.revents & POLLNVAL ? (errno = EBADF, -1) : n;
}

static long do_epoll(struct scene *s)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int ep = epoll_create1(EPOLL_CLOEXEC);
	long n;

	if (epoll_ctl(ep, EPOLL_CTL_ADD, s->fd, &ev))
		return nym_give_up(ep);
	n = epoll_wait(ep, &ev, 1, -1);
	nym_give_up(ep);
	return n;
}

#define STREAM		1
#define SEQPACKET	2
#define DGRAM		4
#define CALLS		(STREAM | SEQPACKET)
#define ALL		(CALLS | DGRAM)

static const struct wait {
	const char *name;
	int types;
	long nr;
	bool restarts;		/* with SA_RESTART */
	int timeout;		/* the option that bounds it, or 0 */
	bool (*make)(struct scene *s);
	bool (*give)(struct scene *s);
	long (*call)(struct scene *s);
} waits[] = {
	{ "recv", ALL, SYS_recvfrom, true, SO_RCVTIMEO, make_pair, give_byte, do_recv },
	{ "read", ALL, SYS_read, true, SO_RCVTIMEO, make_pair, give_byte, do_read },
	{ "recvmsg", ALL, SYS_recvmsg, true, SO_RCVTIMEO, make_pair, give_byte, do_recvmsg },
	{ "recv all", ALL, SYS_recvfrom, true, SO_RCVTIMEO, make_pair, give_byte, do_waitall },
	{ "recvmmsg", ALL, SYS_recvmmsg, true, SO_RCVTIMEO, make_pair, give_byte, do_recvmmsg },
	{ "splice", STREAM, SYS_splice, true, SO_RCVTIMEO, make_pair, give_byte, do_splice },
	{ "poll", ALL, SYS_poll, false, 0, make_pair, give_byte, do_poll },
	{ "epoll_wait", ALL, SYS_epoll_wait, false, 0, make_pair, give_byte, do_epoll },
	{ "send", ALL, SYS_sendto, true, SO_SNDTIMEO, make_full, give_room, do_send },
	{ "sendmsg", ALL, SYS_sendmsg, true, SO_SNDTIMEO, make_full, give_room, do_sendmsg },
	{ "write", ALL, SYS_write, true, SO_SNDTIMEO, make_full, give_room, do_write },
	{ "accept", CALLS, SYS_accept4, true, SO_RCVTIMEO, make_listener, give_call, do_accept },
	{ "connect, parked", CALLS, SYS_connect, true, SO_SNDTIMEO, make_parked, give_place,
	  do_connect },
	{ "connect, waiting for the name", ALL, SYS_connect, true, SO_SNDTIMEO, make_nobody,
	  give_name, do_connect },
	{ "sendto, waiting for the name", DGRAM, SYS_sendto, true, SO_SNDTIMEO, make_nobody,
	  give_name, do_sendto },
};

FIXTURE(waits)
{
	struct scene s;
	__u32 seed;
};

FIXTURE_VARIANT(waits)
{
	int type;
	int bit;
};

FIXTURE_VARIANT_ADD(waits, stream)
{
	.type = SOCK_STREAM, .bit = STREAM,
};

FIXTURE_VARIANT_ADD(waits, seqpacket)
{
	.type = SOCK_SEQPACKET, .bit = SEQPACKET,
};

FIXTURE_VARIANT_ADD(waits, dgram)
{
	.type = SOCK_DGRAM, .bit = DGRAM,
};

static void on_signal(int sig)
{
}

static void catch_signal(int flags)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = flags };

	sigaction(SIGUSR1, &sa, NULL);
}

FIXTURE_SETUP(waits)
{
	SKIP_WITHOUT_NYM();
	catch_signal(0);
	signal(SIGPIPE, SIG_IGN);
	self->seed = io_seed();
	self->s = (struct scene){ .type = variant->type, .fd = -1, .peer = -1, .helper = -1 };
}

FIXTURE_TEARDOWN(waits)
{
	clear(&self->s);
}

/* The first that the type has behind @w, or of all. */
static const struct wait *next_wait(const struct wait *w, int bit)
{
	for (w = w ? w + 1 : waits; w < waits + ARRAY_SIZE(waits); w++) {
		if (w->types & bit)
			return w;
	}
	return NULL;
}

/* How long one kind of test spends with each call. */
static long share_ms(int bit)
{
	const struct wait *w = NULL;
	long n = 0;

	while ((w = next_wait(w, bit)))
		n++;
	return crowd_ms() / n + 1;
}

static const struct wait *current;	/* what call_once() makes */

static long call_once(struct io_thread *t)
{
	return current->call(t->arg);
}

static void begin(struct io_thread *t, const struct wait *w, struct scene *s)
{
	current = w;
	*t = (struct io_thread){ .arg = s };
	io_start(t, call_once);
	while (!__atomic_load_n(&t->tid, __ATOMIC_ACQUIRE))
		sched_yield();
}

/* It ends now, or somebody says that it hangs, and ends the program. */
static long end(struct io_thread *t)
{
	long late = io_now_ms() + crowd_hangs_ms();

	while (!io_done(t)) {
		if (io_now_ms() > late) {
			printf("# %s hangs\n", current->name);
			fflush(stdout);
			_exit(KSFT_FAIL);
		}
		sched_yield();
	}
	return io_join(t);
}

/* --- Signals --- */

/* As with AF_UNIX: EINTR, but not with SA_RESTART, unless a time is set. */
static void one_signal(struct __test_metadata *_metadata, const struct wait *w,
		       struct scene *s, int flags, bool timed)
{
	bool goes_on = w->restarts && flags && !timed;
	struct io_thread t;

	ASSERT_TRUE(w->make(s));
	if (timed)
		io_set_timeout(s->fd, w->timeout, 10 * NYM_PATIENCE_MS);
	catch_signal(flags);
	begin(&t, w, s);
	ASSERT_TRUE(nym_wait_asleep(t.tid, w->nr));
	pthread_kill(t.thread, SIGUSR1);
	if (!goes_on) {
		EXPECT_EQ(-1, end(&t)) {
			TH_LOG("%s", w->name);
		}
		EXPECT_SAME_ERRNO(EINTR, t.err);
		begin(&t, w, s);
	}
	ASSERT_TRUE(nym_wait_asleep(t.tid, w->nr));
	ASSERT_TRUE(w->give(s));
	EXPECT_EQ(1, end(&t)) {
		TH_LOG("%s: %s", w->name, strerrorname_np(t.err));
	}
	clear(s);
}

TEST_F(waits, are_interrupted_or_restarted_as_with_af_unix)
{
	const struct wait *w = NULL;

	while ((w = next_wait(w, variant->bit))) {
		one_signal(_metadata, w, &self->s, 0, false);
		one_signal(_metadata, w, &self->s, SA_RESTART, false);
		if (!w->timeout)
			continue;
		one_signal(_metadata, w, &self->s, 0, true);
		one_signal(_metadata, w, &self->s, SA_RESTART, true);
	}
}

/* Repeats the call until it is not interrupted; counts how often it was. */
static long call_on(struct io_thread *t)
{
	long n;

	while ((n = current->call(t->arg)) < 0 && errno == EINTR)
		t->pos++;
	return n;
}

/* A signal every now and then, in the middle of whatever it does. */
static long interrupt_on(struct io_thread *t)
{
	struct io_thread *victim = t->arg;
	__u32 seed = t->len;

	while (!io_done(victim)) {
		pthread_kill(victim->thread, SIGUSR1);
		crowd_dither(&seed);
	}
	return 0;
}

/* What it waits for is not lost to the call that a signal ended. */
TEST_F(waits, lose_nothing_in_a_storm_of_signals)
{
	const struct wait *w = NULL;
	long rounds = 0, interrupted = 0;

	while ((w = next_wait(w, variant->bit))) {
		long stop = io_now_ms() + share_ms(variant->bit);

		do {
			struct io_thread t = { .arg = &self->s }, storm;

			catch_signal(rounds++ & 1 ? SA_RESTART : 0);
			ASSERT_TRUE(w->make(&self->s));
			current = w;
			io_start(&t, call_on);
			storm = (struct io_thread){ .arg = &t, .len = self->seed | 1 };
			io_start(&storm, interrupt_on);
			crowd_nap(&self->seed, 2);
			ASSERT_TRUE(w->give(&self->s));
			while (!io_done(&t) && io_now_ms() < stop + crowd_hangs_ms())
				sched_yield();
			ASSERT_TRUE(io_done(&t)) {
				TH_LOG("%s hangs", w->name);
			}
			io_join(&storm);
			ASSERT_EQ(1, io_join(&t)) {
				TH_LOG("%s: %s", w->name, strerrorname_np(t.err));
			}
			interrupted += t.pos;
			clear(&self->s);
		} while (io_now_ms() < stop);
	}
	TH_LOG("%ld rounds, interrupted %ld times", rounds, interrupted);
}

/* --- Close --- */

/*
 * Closes a socket, whose number means EBADF from then on: a call that has not
 * begun must not meet the next file that would get the number.
 */
static bool close_for_good(int fd)
{
	int path = open("/", O_PATH | O_CLOEXEC);
	bool ok = path >= 0 && dup3(path, fd, O_CLOEXEC) == fd;

	close(path);
	return ok;
}

/*
 * The descriptor is closed under the call, which goes on with the socket: it
 * gets what it waits for, unless it had not begun. An epoll keeps no socket.
 */
TEST_F(waits, go_on_when_their_descriptor_is_closed)
{
	const struct wait *w = NULL;
	long rounds = 0, late = 0;

	while ((w = next_wait(w, variant->bit))) {
		long stop = io_now_ms() + share_ms(variant->bit);

		if (w->call == do_epoll)
			continue;
		do {
			struct io_thread t;

			ASSERT_TRUE(w->make(&self->s));
			begin(&t, w, &self->s);
			crowd_dither(&self->seed);
			ASSERT_TRUE(close_for_good(self->s.fd));
			w->give(&self->s);
			if (end(&t) < 0) {
				ASSERT_EQ(EBADF, t.err) {
					TH_LOG("%s", w->name);
				}
				late++;
			}
			clear(&self->s);
			rounds++;
		} while (io_now_ms() < stop);
	}
	TH_LOG("%ld rounds, %ld had not begun", rounds, late);
}

/* What a call gives whose other end was closed; false: that does not end it. */
static bool is_ended_by_close(const struct wait *w, int type)
{
	return w->make == make_parked || w->make == make_full ||
	       (w->make == make_pair && type != SOCK_DGRAM);
}

static bool ended_well(const struct wait *w, long ret, int err)
{
	if (w->make == make_parked)
		return ret < 0 && err == ECONNREFUSED;
	if (w->make == make_full)
		return ret < 0 && (err == EPIPE || err == ECONNRESET || err == ECONNREFUSED);
	return ret == (w->call == do_poll || w->call == do_epoll || w->call == do_recvmmsg);
}

TEST_F(waits, end_when_the_other_end_is_closed)
{
	const struct wait *w = NULL;
	long rounds = 0;

	while ((w = next_wait(w, variant->bit))) {
		long stop = io_now_ms() + share_ms(variant->bit);

		if (!is_ended_by_close(w, variant->type))
			continue;
		do {
			struct io_thread t;
			long ret;

			ASSERT_TRUE(w->make(&self->s));
			begin(&t, w, &self->s);
			crowd_dither(&self->seed);
			ASSERT_OK(close(self->s.peer));
			self->s.peer = -1;
			ret = end(&t);
			ASSERT_TRUE(ended_well(w, ret, t.err)) {
				TH_LOG("%s: %ld %s", w->name, ret, strerrorname_np(t.err));
			}
			clear(&self->s);
			rounds++;
		} while (io_now_ms() < stop);
	}
	TH_LOG("%ld rounds", rounds);
}

/* --- io_uring --- */

/* The same call as a request, if there is one. */
static bool make_request(const struct wait *w, struct scene *s, struct io_uring_sqe *sqe)
{
	static struct sockaddr_nym sa;
	static char buf[8];

	if (w->call == do_recv)
		*sqe = sqe_rw(IORING_OP_RECV, s->fd, buf, sizeof(buf));
	else if (w->call == do_send)
		*sqe = sqe_rw(IORING_OP_SEND, s->fd, io_at(0), 400);
	else if (w->call == do_accept)
		*sqe = (struct io_uring_sqe){ .opcode = IORING_OP_ACCEPT, .fd = s->fd };
	else if (w->call == do_connect && w->make == make_parked)
		*sqe = sqe_connect(s->fd, &sa, nym_addr(&sa, NAME));
	else if (w->call == do_poll)
		*sqe = sqe_poll(s->fd, POLLIN);
	else
		return false;
	return true;
}

/* Cancels request 1 and waits for both results; gives the request's. */
static int cancel_request(struct ring *r)
{
	struct io_uring_sqe cancel = sqe_cancel(1);
	int n = 0, res, ret = NO_RESULT;
	__u64 id;

	if (submit(r, &cancel, 2) != 1)
		return NO_RESULT;
	while (n < 2) {
		if (have_result(r, &id, &res)) {
			if (id == 1)
				ret = res;
			n++;
		} else if (io_poll(r->fd, POLLIN, crowd_hangs_ms()) == 0) {
			return NO_RESULT;
		}
	}
	return ret;
}

static long give_now(struct io_thread *t)
{
	return current->give(t->arg) ? 1 : -1;
}

/* A request that was cancelled has taken nothing; one that was not, all. */
TEST_F(waits, are_cancelled_or_not_by_io_uring)
{
	const struct wait *w = NULL;
	long rounds = 0, cancelled = 0;
	struct io_uring_sqe sqe;
	struct ring r;

	if (ring_open(&r))
		SKIP(return, "no io_uring here: %s", strerrorname_np(errno));
	while ((w = next_wait(w, variant->bit))) {
		long stop = io_now_ms() + crowd_ms() / 5 + 1;

		if (!make_request(w, &self->s, &sqe))
			continue;
		do {
			struct io_thread t = { .arg = &self->s }, again;
			int res;

			ASSERT_TRUE(w->make(&self->s));
			make_request(w, &self->s, &sqe);
			ASSERT_EQ(1, submit(&r, &sqe, 1));
			current = w;
			io_start(&t, give_now);
			crowd_dither(&self->seed);
			res = cancel_request(&r);
			ASSERT_EQ(1, io_join(&t));
			if (res == -ECANCELED || res == -EINTR) {
				begin(&again, w, &self->s);
				ASSERT_EQ(1, end(&again)) {
					TH_LOG("%s: %s", w->name, strerrorname_np(again.err));
				}
				cancelled++;
			} else {
				ASSERT_LE(0, res) {
					TH_LOG("%s: %s", w->name, strerrorname_np(-res));
				}
				if (w->call == do_accept)
					close(res);
			}
			clear(&self->s);
			rounds++;
		} while (io_now_ms() < stop);
	}
	ring_close(&r);
	TH_LOG("%ld rounds, %ld cancelled", rounds, cancelled);
}

/* --- Epoll --- */

#define SLOTS	32

enum { FREE, MAKING, ARMED, TAKEN };

/* Sockets in one epoll; whoever takes one closes it. */
struct slot {
	int state;
	int fd;
};

static struct slot slots[SLOTS];
static int epoll_fd;
static int epoll_type;
static long epoll_end;

static bool slot_moves(struct slot *slot, int from, int to)
{
	return __atomic_compare_exchange_n(&slot->state, &from, to, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
}

static void slot_close(struct slot *slot)
{
	close(slot->fd);
	__atomic_store_n(&slot->state, FREE, __ATOMIC_RELEASE);
}

/* Reads what is there from whoever is reported; gives how many, or -1. */
static long take_events(struct io_thread *t)
{
	struct epoll_event ev;
	long taken = 0;
	char c;

	while (io_now_ms() < epoll_end) {
		struct slot *slot;

		if (epoll_wait(epoll_fd, &ev, 1, 20) != 1)
			continue;
		slot = &slots[ev.data.u32];
		/* Its socket may have been closed, or be another one by now. */
		if (!slot_moves(slot, ARMED, TAKEN))
			continue;
		if (recv(slot->fd, &c, 1, MSG_DONTWAIT) != 1 || c != 'x') {
			/* Then it is another one, which is not ready yet. */
			if (errno != EAGAIN)
				return -1;
			slot_moves(slot, TAKEN, ARMED);
			continue;
		}
		slot_close(slot);
		taken++;
	}
	return taken;
}

/* Makes pairs, writes to one end and closes both ends at any moment. */
static long make_events(struct io_thread *t)
{
	__u32 seed = t->len;
	long made = 0;
	int fd[2], i;

	while (io_now_ms() < epoll_end) {
		struct epoll_event ev = { .events = EPOLLIN };
		struct slot *slot;

		i = io_rand(&seed) % SLOTS;
		slot = &slots[i];
		ev.data.u32 = i;
		if (!slot_moves(slot, FREE, MAKING)) {
			/* Sometimes it goes before it has been read. */
			if (!(io_rand(&seed) & 7) && slot_moves(slot, ARMED, TAKEN))
				slot_close(slot);
			continue;
		}
		if (socketpair(AF_NYM, epoll_type | SOCK_CLOEXEC, 0, fd))
			return -1;
		slot->fd = fd[0];
		if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd[0], &ev))
			return -1;
		__atomic_store_n(&slot->state, ARMED, __ATOMIC_RELEASE);
		crowd_dither(&seed);
		send(fd[1], "x", 1, MSG_NOSIGNAL);
		if (epoll_type == SOCK_DGRAM)
			crowd_dither(&seed);
		close(fd[1]);
		made++;
	}
	return made;
}

static bool some_are_armed(void)
{
	int i;

	for (i = 0; i < SLOTS; i++) {
		if (slots[i].state == ARMED)
			return true;
	}
	return false;
}

/* Whatever was sent to a socket that is still there is reported. */
TEST_F(waits, of_epoll_whose_sockets_come_and_go)
{
	struct io_thread t[4];
	long taken = 0, made = 0, end;
	int i;

	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	epoll_type = variant->type;
	epoll_end = io_now_ms() + crowd_ms();
	memset(slots, 0, sizeof(slots));
	for (i = 0; i < 4; i++) {
		t[i] = (struct io_thread){ .len = self->seed + 2 * i };
		io_start(&t[i], i & 1 ? take_events : make_events);
	}
	for (i = 0; i < 4; i++) {
		EXPECT_LT(0, io_join(&t[i])) {
			TH_LOG("%s: %s", i & 1 ? "reader" : "writer",
			       strerrorname_np(t[i].err));
		}
		*(i & 1 ? &taken : &made) += t[i].ret;
	}
	/* The rest, without the others: nobody is missing. */
	end = io_now_ms() + NYM_PATIENCE_MS;
	while (some_are_armed() && io_now_ms() < end) {
		epoll_end = io_now_ms() + 50;
		taken += take_events(&t[0]);
	}
	for (i = 0; i < SLOTS; i++)
		EXPECT_EQ(FREE, slots[i].state);
	close(epoll_fd);
	TH_LOG("%ld made, %ld read", made, taken);
}

NYM_TEST_MAIN
