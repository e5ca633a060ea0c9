// SPDX-License-Identifier: GPL-2.0
/*
 * Fair shares: how much of a listener's backlog, and of a datagram socket's
 * queue, one user may have, who may have more, in which order parked calls are
 * served, and that whatever ends a call leaves the counts right.
 *
 * A user is the real uid of a call, so one process can be all of them: its
 * saved uid stays 0, and it comes back as root after each call.
 */
#include "nym_test.h"
#include "nym_io.h"

#define NAME		"fair"
#define MAX_CALLS	512

/* Users without capabilities. */
#define USER(_i)	(1000 + (_i))
#define OWNER		5000
#define FLOODER		6000

#define ADMIN_CAPS	NYM_CAP(CAP_NET_ADMIN)

/* A socket that belongs to @uid. */
static int socket_as(uid_t uid, int type)
{
	int fd;

	nym_act_as(uid, 0);
	fd = socket(AF_NYM, type | SOCK_CLOEXEC, 0);
	nym_act_as(0, 0);
	return fd;
}

/* A non-blocking listener of @uid's with room for @limit calls. */
static int listen_as(uid_t uid, int type, int limit)
{
	int fd = socket_as(uid, type | SOCK_NONBLOCK);

	if (fd < 0)
		return -1;
	return nym_bind(fd, NAME) || listen(fd, limit - 1) ? nym_give_up(fd) : fd;
}

/* connect() of @fd as somebody: 0 or the errno. */
static int connect_as(int fd, uid_t uid, __u64 caps)
{
	int err;

	nym_act_as(uid, caps);
	err = nym_call(fd, NAME) ? errno : 0;
	nym_act_as(0, 0);
	return err;
}

FIXTURE(fair)
{
	int listener;
	int type;
	int calls[MAX_CALLS];	/* sockets that have called */
	unsigned int ncalls;
};

FIXTURE_SETUP(fair)
{
	struct rlimit rlim = { 4096, 4096 };

	SKIP_WITHOUT_NYM();
	ASSERT_OK(setrlimit(RLIMIT_NOFILE, &rlim));
	/* Everybody may call. */
	umask(0);
	self->listener = -1;
	self->type = SOCK_STREAM;
	self->ncalls = 0;
}

/* Takes back the last call, or closes its connection. */
static void drop_last(FIXTURE_DATA(fair) * self)
{
	close(self->calls[--self->ncalls]);
}

static void drop_all(FIXTURE_DATA(fair) * self)
{
	while (self->ncalls)
		drop_last(self);
}

FIXTURE_TEARDOWN(fair)
{
	close(self->listener);
	drop_all(self);
}

static int last_call(FIXTURE_DATA(fair) * self)
{
	return self->calls[self->ncalls - 1];
}

/* A non-blocking call that stays: 0 or the errno of connect(). */
static int call_as(FIXTURE_DATA(fair) * self, uid_t uid, __u64 caps)
{
	int fd = socket(AF_NYM, self->type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || self->ncalls == MAX_CALLS)
		return fd < 0 ? errno : ENOSPC;
	self->calls[self->ncalls++] = fd;
	return connect_as(fd, uid, caps);
}

static int call_of(FIXTURE_DATA(fair) * self, int user)
{
	return call_as(self, USER(user), 0);
}

/*
 * Calls as somebody until a call has to wait (that one stays, too). Gives how
 * many did not, or -1 if anything else happened.
 */
static int fill_as(FIXTURE_DATA(fair) * self, uid_t uid, __u64 caps)
{
	int err, n = 0;

	while (!(err = call_as(self, uid, caps)))
		n++;
	return err == EINPROGRESS ? n : -1;
}

/* As fill_as(), but the call that has to wait is taken back. */
static int fill_only_as(FIXTURE_DATA(fair) * self, uid_t uid, __u64 caps)
{
	int n = fill_as(self, uid, caps);

	drop_last(self);
	return n;
}

/* Accepts one call and hangs up: the caller's uid, or -1. */
static int serve(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	struct ucred cred = { .uid = -1 };
	socklen_t len = sizeof(cred);

	if (fd < 0)
		return -1;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		cred.uid = -1;
	close(fd);
	return cred.uid;
}

/* Accepts whatever there is: how many calls. */
static int serve_all(int listener)
{
	int n = 0;

	while (serve(listener) >= 0)
		n++;
	return errno == EAGAIN ? n : -1;
}

/* Calls at the listener, pending and parked. */
static long calls_at(int listener)
{
	struct nym_line line;

	return nym_proc_line(listener, &line) == 1 ? (long)line.pending : -1;
}

static bool may_write(int fd)
{
	return nym_poll_now(fd, POLLOUT) == POLLOUT;
}

#define LISTEN_AS(_uid, _limit) do { \
	self->listener = listen_as(_uid, self->type, _limit); \
	ASSERT_FD(self->listener); \
} while (0)

#define LISTEN(_limit) LISTEN_AS(OWNER, _limit)

/* What one user may have of a backlog of @limit, if nobody else has any. */
static int half_of(int limit)
{
	int room = limit - limit / 8;

	return room > 1 ? room / 2 : 1;
}

/* Nothing is left, and all the room is there again, neither more nor less. */
#define EXPECT_EMPTY(_limit) do { \
	EXPECT_EQ(0, calls_at(self->listener)); \
	EXPECT_EQ(half_of(_limit), fill_only_as(self, USER(99), 0)); \
	EXPECT_EQ((_limit) - half_of(_limit), fill_only_as(self, 0, 0)); \
	EXPECT_EQ(_limit, serve_all(self->listener)); \
	EXPECT_EQ(0, calls_at(self->listener)); \
} while (0)

/* The arithmetic */

/*
 * What users get who call one after the other, each until it has to wait: half
 * of what the others have left of seven eighths, at least one; then the owner.
 */
static const struct {
	int limit;
	int user[10];
	int owner;
} shares[] = {
	{   1, { 1, 0 }, 0 },
	{   2, { 1, 1, 0 }, 0 },
	{   3, { 1, 1, 1, 0 }, 0 },
	{   4, { 2, 1, 1, 0 }, 0 },
	{   7, { 3, 2, 1, 1, 0 }, 0 },
	{   8, { 3, 2, 1, 1, 0 }, 1 },
	{  16, { 7, 3, 2, 1, 1, 0 }, 2 },
	{  64, { 28, 14, 7, 3, 2, 1, 1, 0 }, 8 },
	{ 128, { 56, 28, 14, 7, 3, 2, 1, 1, 0 }, 16 },
};

static void check_shares(struct __test_metadata *_metadata,
			 FIXTURE_DATA(fair) * self, size_t i, uid_t last,
			 __u64 caps)
{
	int user = 0;

	LISTEN(shares[i].limit);
	do {
		EXPECT_EQ(shares[i].user[user], fill_as(self, USER(user), 0)) {
			TH_LOG("limit %d, user %d", shares[i].limit, user);
		}
	} while (shares[i].user[user++]);
	EXPECT_EQ(shares[i].owner, fill_as(self, last, caps)) {
		TH_LOG("limit %d, reserve", shares[i].limit);
	}
	EXPECT_EQ(shares[i].limit + user + 1, calls_at(self->listener));
	close(self->listener);
	drop_all(self);
}

TEST_F(fair, a_user_has_half_of_what_the_others_leave)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(shares); i++)
		check_shares(_metadata, self, i, OWNER, 0);
	self->listener = -1;
}

TEST_F(fair, the_same_on_seqpacket_and_with_a_reserve_for_administrators)
{
	size_t i;

	self->type = SOCK_SEQPACKET;
	for (i = 0; i < ARRAY_SIZE(shares); i++)
		check_shares(_metadata, self, i, USER(50), ADMIN_CAPS);
	self->listener = -1;
}

/* Each of them leaves the same to the other. */
TEST_F(fair, two_users_who_call_alternately_have_a_third_each)
{
	int n[2] = { 0, 0 }, waits = 0, user = 0;

	LISTEN(64);
	while (waits < 2) {
		int err = call_of(self, user);

		if (err) {
			ASSERT_EQ(EINPROGRESS, err);
			drop_last(self);
			waits++;
		} else {
			n[user]++;
			waits = 0;
		}
		user = !user;
	}
	EXPECT_EQ(19, n[0]);
	EXPECT_EQ(18, n[1]);
	/* A third one has half of the 19 that are left. */
	EXPECT_EQ(9, fill_as(self, USER(2), 0));
}

TEST_F(fair, owner_and_administrator_may_have_it_all)
{
	static const int limits[] = { 1, 2, 8, 64 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(limits); i++) {
		LISTEN(limits[i]);
		EXPECT_EQ(limits[i], fill_only_as(self, OWNER, 0));
		EXPECT_EQ(limits[i], serve_all(self->listener));
		EXPECT_EQ(limits[i], fill_only_as(self, 0, 0));
		EXPECT_EQ(limits[i], serve_all(self->listener));
		EXPECT_EQ(limits[i], fill_only_as(self, USER(0), ADMIN_CAPS));
		EXPECT_EQ(limits[i], serve_all(self->listener));
		close(self->listener);
		drop_all(self);
	}
	self->listener = -1;
}

TEST_F(fair, other_capabilities_and_the_group_do_not_open_the_reserve)
{
	LISTEN(64);
	EXPECT_EQ(28, fill_only_as(self, USER(0),
				   ~(ADMIN_CAPS | NYM_CAP(CAP_SETUID))));
}

TEST_F(fair, nobody_but_them_comes_into_the_reserve_even_with_nothing_pending)
{
	LISTEN(8);
	EXPECT_EQ(8, fill_only_as(self, OWNER, 0));
	EXPECT_EQ(EINPROGRESS, call_of(self, 0));
	/* 7 of 8, then 6: one of the seven that users may have is free. */
	EXPECT_EQ(OWNER, serve(self->listener));
	EXPECT_FALSE(may_write(last_call(self)));
	EXPECT_EQ(OWNER, serve(self->listener));
	EXPECT_TRUE(may_write(last_call(self)));
	EXPECT_EQ(EINPROGRESS, call_of(self, 1));
	EXPECT_EQ(0, call_as(self, OWNER, 0));
}

/* Whose half it is: the name's owner is whoever owns the socket's inode. */
TEST_F(fair, the_owner_is_that_of_the_socket_when_it_is_bound)
{
	int fd = socket_as(OWNER, SOCK_STREAM | SOCK_NONBLOCK);

	ASSERT_FD(fd);
	self->listener = fd;
	ASSERT_OK(fchown(fd, USER(0), -1));
	ASSERT_OK(nym_bind(fd, NAME));
	ASSERT_OK(listen(fd, 7));
	EXPECT_EQ(3, fill_only_as(self, OWNER, 0));
	EXPECT_EQ(5, fill_only_as(self, USER(0), 0));
}

TEST_F(fair, a_user_is_the_real_uid)
{
	int fd;

	LISTEN(64);
	EXPECT_EQ(28, fill_only_as(self, USER(0), 0));
	fd = nym_socket_nonblock();
	ASSERT_FD(fd);
	self->calls[self->ncalls++] = fd;
	nym_act_as_both(USER(0), USER(1), 0);
	EXPECT_ERRNO(EINPROGRESS, nym_call(fd, NAME));
	nym_act_as(0, 0);

	fd = nym_socket_nonblock();
	ASSERT_FD(fd);
	self->calls[self->ncalls++] = fd;
	nym_act_as_both(USER(1), USER(0), 0);
	EXPECT_OK(nym_call(fd, NAME));
	nym_act_as(0, 0);
}

/* Two sockets with room for four are one listener with room for eight. */
TEST_F(fair, the_room_of_a_shared_name_is_the_sum)
{
	int one = NYM_SHARE_ON, other = socket_as(OWNER, SOCK_STREAM | SOCK_NONBLOCK);

	ASSERT_FD(other);
	self->listener = socket_as(OWNER, SOCK_STREAM | SOCK_NONBLOCK);
	ASSERT_FD(self->listener);
	ASSERT_OK(setsockopt(self->listener, SOL_NYM, NYM_SHARE, &one, sizeof(one)));
	ASSERT_OK(setsockopt(other, SOL_NYM, NYM_SHARE, &one, sizeof(one)));
	ASSERT_OK(nym_bind(self->listener, NAME));
	ASSERT_OK(nym_bind(other, NAME));
	ASSERT_OK(listen(self->listener, 3));
	ASSERT_OK(listen(other, 3));
	EXPECT_EQ(3, fill_only_as(self, USER(0), 0));
	EXPECT_EQ(2, fill_only_as(self, USER(1), 0));
	EXPECT_EQ(1, fill_only_as(self, USER(2), 0));
	EXPECT_EQ(1, fill_only_as(self, USER(3), 0));
	EXPECT_EQ(0, fill_only_as(self, USER(4), 0));
	EXPECT_EQ(1, fill_only_as(self, OWNER, 0));
	EXPECT_EQ(4, serve_all(self->listener));
	EXPECT_EQ(4, serve_all(other));
	close(other);
}

TEST_F(fair, a_larger_backlog_lets_everybody_up_to_the_new_share)
{
	int first[2], i, n;

	LISTEN(8);
	EXPECT_EQ(3, fill_as(self, USER(0), 0));
	first[0] = self->ncalls - 1;
	for (i = 0; i < 40; i++)
		EXPECT_EQ(EINPROGRESS, call_of(self, 0));
	EXPECT_EQ(2, fill_as(self, USER(1), 0));
	first[1] = self->ncalls - 1;
	for (i = 0; i < 40; i++)
		EXPECT_EQ(EINPROGRESS, call_of(self, 1));

	/* In turn, as if they had called alternately. */
	ASSERT_OK(listen(self->listener, 63));
	for (n = 0; may_write(self->calls[first[0] + n]); n++)
		;
	EXPECT_EQ(19 - 3, n);
	for (n = 0; may_write(self->calls[first[1] + n]); n++)
		;
	EXPECT_EQ(18 - 2, n);
}

TEST_F(fair, a_smaller_backlog_keeps_what_is_pending)
{
	LISTEN(64);
	EXPECT_EQ(28, fill_only_as(self, USER(0), 0));
	ASSERT_OK(listen(self->listener, 7));
	EXPECT_EQ(EINPROGRESS, call_of(self, 1));
	EXPECT_EQ(EINPROGRESS, call_as(self, 0, 0));
	while (calls_at(self->listener) > 2 + 7)
		ASSERT_EQ(USER(0), serve(self->listener));
	/* The administrator is in turn where the user may not be yet. */
	EXPECT_TRUE(may_write(self->calls[29]));
	EXPECT_FALSE(may_write(self->calls[28]));
	EXPECT_EQ(9, serve_all(self->listener));
	EXPECT_EMPTY(8);
}

/* One user who calls for ever */

#define FLOOD	120	/* its calls at once */

static void close_oldest(int *fd, int n)
{
	close(fd[0]);
	memmove(fd, fd + 1, (n - 1) * sizeof(*fd));
}

/*
 * Calls until it has @most calls, and from then on takes the oldest back for each
 * new one. Never ends.
 */
static void flood(int most)
{
	int *fd = calloc(most, sizeof(*fd)), n = 0;

	nym_act_as(FLOODER, 0);
	/* No way back: this one is not root any more, nor lives longer. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) ||
	    syscall(SYS_setresuid, FLOODER, FLOODER, FLOODER))
		_exit(1);
	for (;;) {
		if (n == most) {
			close_oldest(fd, n--);
			nym_nap();
		}
		fd[n] = nym_socket_nonblock();
		if (fd[n] < 0)
			_exit(2);
		if (nym_call(fd[n], NAME) && errno != EINPROGRESS)
			_exit(3);
		n++;
	}
}

static pid_t start_flood(int most)
{
	pid_t pid = fork();

	if (!pid) {
		nym_close_all();
		flood(most);
	}
	return pid;
}

static int stop_flood(pid_t pid)
{
	int status;

	if (kill(pid, SIGKILL) || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFSIGNALED(status) ? 0 : WEXITSTATUS(status);
}

/* Waits until @listener has had at least @want calls at once. */
static bool wait_calls(int listener, long want)
{
	long end = nym_now_ms() + NYM_PATIENCE_MS;

	while (calls_at(listener) < want) {
		if (nym_now_ms() > end)
			return false;
		nym_nap();
	}
	return true;
}

TEST_F(fair, who_calls_for_ever_keeps_nobody_out_of_an_idle_server)
{
	static const struct {
		int limit;
		int users;	/* who find room: all but the flooder's half */
	} with[] = { { 2, 1 }, { 8, 4 }, { 64, 28 } };
	size_t i;
	pid_t pid;
	int user;

	for (i = 0; i < ARRAY_SIZE(with); i++) {
		LISTEN(with[i].limit);
		pid = start_flood(FLOOD);
		ASSERT_TRUE(wait_calls(self->listener, FLOOD / 2));
		for (user = 0; user < with[i].users; user++) {
			EXPECT_EQ(0, call_of(self, user)) {
				TH_LOG("limit %d, user %d", with[i].limit, user);
			}
		}
		EXPECT_EQ(EINPROGRESS, call_of(self, user));
		EXPECT_OK(stop_flood(pid));
		close(self->listener);
		drop_all(self);
	}
	self->listener = -1;
}

/* Accepts slowly, says so to each caller, until told to stop. */
static long serve_slowly(struct io_thread *t)
{
	long n = 0;

	while (!__atomic_load_n((bool *)t->arg, __ATOMIC_ACQUIRE)) {
		int fd = accept4(t->fd, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0) {
			n++;
			send(fd, "x", 1, MSG_NOSIGNAL);
			close(fd);
		}
		usleep(2000);
	}
	return n;
}

static void stop_slow_server(struct __test_metadata *_metadata,
			     struct io_thread *t, bool *stop)
{
	__atomic_store_n(stop, true, __ATOMIC_RELEASE);
	EXPECT_LT(0, io_join(t));
}

TEST_F(fair, who_calls_for_ever_keeps_nobody_out_of_a_slow_server)
{
	bool stop = false;
	struct io_thread t;
	char byte;
	pid_t pid;
	int i, fd;

	LISTEN(8);
	pid = start_flood(FLOOD);
	ASSERT_TRUE(wait_calls(self->listener, FLOOD / 2));
	t = (struct io_thread){ .fd = self->listener, .arg = &stop };
	io_start(&t, serve_slowly);
	for (i = 0; i < 60; i++) {
		EXPECT_EQ(0, call_of(self, i % 3));
		fd = last_call(self);
		EXPECT_EQ(POLLIN, nym_poll_wait(fd, POLLIN) & POLLIN);
		EXPECT_EQ(1, recv(fd, &byte, 1, 0));
		drop_last(self);
	}
	stop_slow_server(_metadata, &t, &stop);
	EXPECT_OK(stop_flood(pid));
	serve_all(self->listener);
	EXPECT_EMPTY(8);
}

/* Where there is room for one only, the turn does it. */
TEST_F(fair, who_calls_for_ever_gets_no_more_than_every_second_turn)
{
	int i, uid, seen = -1;
	pid_t pid;

	LISTEN(1);
	pid = start_flood(FLOOD);
	ASSERT_TRUE(wait_calls(self->listener, FLOOD / 2));
	EXPECT_EQ(EINPROGRESS, call_of(self, 0));
	for (i = 0; i < 3 && seen < 0; i++) {
		uid = serve(self->listener);
		if (uid == USER(0))
			seen = i;
		else
			EXPECT_EQ(FLOODER, uid);
	}
	EXPECT_LE(0, seen);
	EXPECT_OK(stop_flood(pid));
}

/* Order */

/* Serves until the listener is idle, with the uids in the order of @want. */
static void check_order(struct __test_metadata *_metadata, int listener,
			const int *want, int n)
{
	int i;

	for (i = 0; i < n; i++) {
		EXPECT_EQ(USER(want[i]), serve(listener)) {
			TH_LOG("call %d", i);
		}
	}
	EXPECT_ERRNO(EAGAIN, serve(listener));
}

#define EXPECT_ORDER(...) do { \
	static const int __want[] = { __VA_ARGS__ }; \
	check_order(_metadata, self->listener, __want, ARRAY_SIZE(__want)); \
} while (0)

TEST_F(fair, a_users_calls_are_served_in_order)
{
	char name[NYM_NAME_MAX + 1];
	int i, fd;

	LISTEN(8);
	for (i = 0; i < 50; i++)
		EXPECT_EQ(i < 3 ? 0 : EINPROGRESS, call_of(self, 0));
	for (i = 0; i < 50; i++) {
		/* Three are pending, and those behind them are not. */
		EXPECT_TRUE(may_write(self->calls[i]));
		if (i + 3 < 50)
			EXPECT_FALSE(may_write(self->calls[i + 3]));
		fd = accept4(self->listener, NULL, NULL, SOCK_CLOEXEC);
		ASSERT_FD(fd);
		snprintf(name, sizeof(name), "%s", nym_peer_name(fd));
		EXPECT_STREQ(nym_own_name(self->calls[i]), name);
		close(fd);
	}
	EXPECT_EMPTY(8);
}

TEST_F(fair, between_users_the_turn_goes_round)
{
	static const int call[] = { 0, 0, 0, 0, 1, 1, 2 };
	size_t i;

	LISTEN(1);
	for (i = 0; i < ARRAY_SIZE(call); i++)
		EXPECT_EQ(i ? EINPROGRESS : 0, call_of(self, call[i]));
	EXPECT_ORDER(0, 0, 1, 2, 0, 1, 0);
	EXPECT_EMPTY(1);
}

TEST_F(fair, who_comes_new_to_the_turn_comes_last)
{
	LISTEN(1);
	EXPECT_EQ(0, call_of(self, 0));
	EXPECT_EQ(EINPROGRESS, call_of(self, 1));
	EXPECT_EQ(EINPROGRESS, call_of(self, 2));
	EXPECT_EQ(EINPROGRESS, call_of(self, 1));
	EXPECT_EQ(EINPROGRESS, call_of(self, 2));
	EXPECT_EQ(USER(0), serve(self->listener));
	/* User 1 has had its turn: 2, 1, and now 0. */
	EXPECT_EQ(EINPROGRESS, call_of(self, 0));
	EXPECT_ORDER(1, 2, 1, 0, 2);
}

/* It is those who are served who have had their turn. */
TEST_F(fair, taking_a_call_back_does_not_lose_the_turn)
{
	int second;

	LISTEN(1);
	EXPECT_EQ(0, call_of(self, 0));
	EXPECT_EQ(EINPROGRESS, call_of(self, 1));
	second = self->ncalls - 1;
	EXPECT_EQ(EINPROGRESS, call_of(self, 1));
	EXPECT_EQ(EINPROGRESS, call_of(self, 2));
	close(self->calls[second]);
	self->calls[second] = -1;
	EXPECT_ORDER(0, 1, 2);
}

TEST_F(fair, no_newcomer_overtakes_a_parked_call_of_the_same_user)
{
	int fd;

	LISTEN(64);
	EXPECT_EQ(28, fill_as(self, USER(0), 0));
	/* Though this one could have a place of the reserve. */
	EXPECT_EQ(EINPROGRESS, call_as(self, USER(0), ADMIN_CAPS));
	fd = last_call(self);
	/* Others pass, as their share is not used up. */
	EXPECT_EQ(0, call_of(self, 1));
	EXPECT_EQ(0, call_as(self, OWNER, 0));
	/* There is still less than 28 for the one in front of it. */
	EXPECT_EQ(USER(0), serve(self->listener));
	EXPECT_FALSE(may_write(fd));
	EXPECT_EQ(USER(0), serve(self->listener));
	EXPECT_TRUE(may_write(fd));
}

/* Calls again and again, and takes back what has to wait, until told to stop. */
static long call_and_withdraw(struct io_thread *t)
{
	long n = 0;

	nym_act_as(t->len, 0);
	while (!__atomic_load_n((bool *)t->arg, __ATOMIC_ACQUIRE)) {
		int fd = nym_socket_nonblock();

		nym_call(fd, NAME);
		close(fd);
		n++;
	}
	return n;
}

/*
 * Not even between an accept() and the step up of the first in turn: where there
 * is room for one and the other user is parked, nobody is served twice in a row.
 */
TEST_F(fair, no_newcomer_slips_in_before_the_parked_call_of_another_user)
{
	int i, round, uid, before, twice = 0;
	bool stop = false;
	struct io_thread t = { .len = USER(1), .arg = &stop };

	LISTEN(1);
	io_start(&t, call_and_withdraw);
	for (round = 0; round < nym_scaled(6); round++) {
		for (i = 0; i < 500; i++)
			call_of(self, 0);
		before = -1;
		for (i = 0; i < 490; i++) {
			uid = serve(self->listener);
			twice += uid == USER(1) && before == uid;
			before = uid;
		}
		drop_all(self);
		serve_all(self->listener);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	EXPECT_LT(0, io_join(&t));
	EXPECT_EQ(0, twice);
	serve_all(self->listener);
	EXPECT_EMPTY(1);
}

/* The one in front of it was all that kept it from the reserve. */
TEST_F(fair, an_administrators_call_moves_up_when_the_one_before_it_is_withdrawn)
{
	int before;

	LISTEN(64);
	EXPECT_EQ(28, fill_as(self, USER(0), 0));
	before = self->ncalls - 1;
	EXPECT_EQ(EINPROGRESS, call_as(self, USER(0), ADMIN_CAPS));
	close(self->calls[before]);
	self->calls[before] = -1;
	EXPECT_TRUE(may_write(last_call(self)));
}

/* Those who waited for the name, too. */
TEST_F(fair, calls_from_before_listen_move_up_in_turn_to_their_shares)
{
	static const int call[] = { 0, 0, 0, 0, 0, 0, 1, 1, 1 };
	int i, fd, one = 1, n[2] = { 0, 0 };

	for (i = 0; i < 9; i++) {
		fd = nym_socket_nonblock();
		ASSERT_FD(fd);
		self->calls[self->ncalls++] = fd;
		ASSERT_OK(setsockopt(fd, SOL_NYM, NYM_WAIT, &one, sizeof(one)));
		EXPECT_EQ(EINPROGRESS, connect_as(fd, USER(call[i]), 0));
	}
	LISTEN(8);
	for (i = 0; i < 9; i++)
		n[call[i]] += may_write(self->calls[i]);
	EXPECT_EQ(2, n[0]);
	EXPECT_EQ(2, n[1]);
	EXPECT_ORDER(0, 1, 0, 1, 0, 1, 0, 0, 0);
	EXPECT_EMPTY(8);
}

/* Who will have the name is known only when it has it. */
TEST_F(fair, calls_of_who_becomes_the_owner_may_have_it_all)
{
	int i, fd, one = 1, n = 0;

	for (i = 0; i < 17; i++) {
		fd = nym_socket_nonblock();
		ASSERT_FD(fd);
		self->calls[self->ncalls++] = fd;
		ASSERT_OK(setsockopt(fd, SOL_NYM, NYM_WAIT, &one, sizeof(one)));
		EXPECT_EQ(EINPROGRESS, connect_as(fd, USER(0), 0));
	}
	self->listener = listen_as(USER(0), self->type, 16);
	ASSERT_FD(self->listener);
	for (i = 0; i < 17; i++)
		n += may_write(self->calls[i]);
	EXPECT_EQ(16, n);
	EXPECT_EQ(USER(0), serve(self->listener));
	EXPECT_TRUE(may_write(last_call(self)));
}

/* Parked calls that do not block */

TEST_F(fair, a_parked_call_is_in_progress_until_it_has_room)
{
	int fd;

	LISTEN(1);
	EXPECT_EQ(0, call_of(self, 0));
	EXPECT_EQ(EINPROGRESS, call_of(self, 1));
	fd = last_call(self);
	EXPECT_ERRNO(EALREADY, nym_call(fd, NAME));
	EXPECT_EQ(0, io_mask(fd));
	EXPECT_EQ(0, io_so_error(fd));
	EXPECT_ERRNO(EALREADY, nym_call(fd, NAME));
	EXPECT_ERRNO(ENOTCONN, send(fd, "x", 1, MSG_NOSIGNAL));
	EXPECT_STREQ("ENOTCONN", nym_peer_name(fd));

	EXPECT_EQ(USER(0), serve(self->listener));
	EXPECT_EQ(POLLOUT, io_poll(fd, POLLIN | POLLOUT, 0));
	EXPECT_EQ(0, io_so_error(fd));
	EXPECT_STREQ(NAME, nym_peer_name(fd));
	EXPECT_OK(nym_call(fd, NAME));
	EXPECT_ERRNO(EISCONN, nym_call(fd, NAME));
	EXPECT_EQ(1, send(fd, "x", 1, MSG_NOSIGNAL));
	EXPECT_EQ(USER(1), serve(self->listener));
}

/* Whoever sleeps in poll() is woken by the accept() that makes room. */
TEST_F(fair, poll_wakes_when_a_parked_call_moves_up)
{
	struct io_thread t;

	LISTEN(1);
	EXPECT_EQ(0, call_of(self, 0));
	EXPECT_EQ(EINPROGRESS, call_of(self, 0));
	t = (struct io_thread){ .fd = last_call(self), .flags = POLLOUT };
	io_start(&t, io_do_poll);
	ASSERT_TRUE(io_wait_blocked(&t));
	EXPECT_EQ(USER(0), serve(self->listener));
	EXPECT_EQ(POLLOUT, io_join(&t));
}

TEST_F(fair, parked_calls_are_refused_when_the_listener_closes)
{
	int fd, i;

	LISTEN(8);
	EXPECT_EQ(3, fill_as(self, USER(0), 0));
	EXPECT_EQ(2, fill_as(self, USER(1), 0));
	close(self->listener);
	self->listener = -1;
	for (i = 0; i < 7; i++) {
		fd = self->calls[i];
		EXPECT_EQ(POLLERR | POLLHUP | POLLOUT,
			  io_poll(fd, POLLOUT, 0)) {
			TH_LOG("call %d", i);
		}
		EXPECT_EQ(i == 3 || i == 6 ? ECONNREFUSED : ECONNRESET,
			  io_so_error(fd));
		EXPECT_EQ(0, io_so_error(fd));
	}
	/* The socket is as it was before the call. */
	LISTEN(8);
	EXPECT_EQ(0, connect_as(self->calls[3], USER(0), 0));
	EXPECT_EQ(USER(0), serve(self->listener));
	EXPECT_EMPTY(8);
}

/* Without asking SO_ERROR, connect() tells it. */
TEST_F(fair, a_refused_call_is_told_by_the_next_connect)
{
	int fd;

	LISTEN(1);
	EXPECT_EQ(0, call_of(self, 0));
	EXPECT_EQ(EINPROGRESS, call_of(self, 0));
	fd = last_call(self);
	close(self->listener);
	LISTEN(1);
	EXPECT_EQ(ECONNREFUSED, connect_as(fd, USER(0), 0));
	EXPECT_EQ(0, connect_as(fd, USER(0), 0));
}

/* Parked calls that block */

struct blocking {
	struct nym_bg bg;
	uid_t uid;
	int fd;
};

static long connect_blocking(void *arg)
{
	struct blocking *b = arg;

	nym_act_as(b->uid, 0);
	return nym_call(b->fd, NAME);
}

/* A call of a thread, with @b->fd, that is asleep in it when this returns. */
static bool block_as(struct blocking *b, uid_t uid)
{
	b->uid = uid;
	return b->fd >= 0 && !nym_bg_start(&b->bg, connect_blocking, b) &&
	       nym_bg_asleep(&b->bg, SYS_connect);
}

TEST_F(fair, blocking_calls_take_their_turn_like_others)
{
	static const int call[] = { 0, 0, 1, 2, 2 }, order[] = { 0, 1, 2, 0, 2 };
	struct blocking b[ARRAY_SIZE(call)];
	size_t i, done;

	LISTEN(1);
	EXPECT_EQ(0, call_of(self, 0));
	for (i = 0; i < ARRAY_SIZE(call); i++) {
		b[i].fd = nym_socket();
		ASSERT_TRUE(block_as(&b[i], USER(call[i])));
	}
	EXPECT_EQ(USER(0), serve(self->listener));
	for (i = 0; i < ARRAY_SIZE(call); i++)
		EXPECT_EQ(USER(order[i]), serve(self->listener));
	for (done = 0; done < ARRAY_SIZE(call); done++) {
		EXPECT_EQ(0, nym_bg_join(&b[done].bg));
		close(b[done].fd);
	}
	EXPECT_EMPTY(1);
}

TEST_F(fair, a_blocking_call_gives_up_after_its_timeout)
{
	struct blocking b;

	LISTEN(8);
	EXPECT_EQ(3, fill_only_as(self, USER(0), 0));
	b.fd = nym_socket();
	ASSERT_FD(b.fd);
	ASSERT_OK(nym_set_timeout(b.fd, SO_SNDTIMEO, NYM_BRIEF_MS));
	ASSERT_TRUE(block_as(&b, USER(0)));
	EXPECT_EQ(4, calls_at(self->listener));
	EXPECT_EQ(-1, nym_bg_join(&b.bg));
	EXPECT_EQ(EAGAIN, b.bg.err);
	EXPECT_EQ(3, calls_at(self->listener));
	/* The same socket may call again. */
	EXPECT_EQ(USER(0), serve(self->listener));
	EXPECT_EQ(0, connect_as(b.fd, USER(0), 0));
	EXPECT_EQ(3, serve_all(self->listener));
	close(b.fd);
	EXPECT_EMPTY(8);
}

static void on_signal(int sig)
{
}

TEST_F(fair, a_blocking_call_ends_with_a_signal)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct blocking b, behind;

	ASSERT_OK(sigaction(SIGUSR1, &sa, NULL));
	LISTEN(8);
	EXPECT_EQ(3, fill_only_as(self, USER(0), 0));
	b.fd = nym_socket();
	ASSERT_TRUE(block_as(&b, USER(0)));
	behind.fd = nym_socket();
	ASSERT_TRUE(block_as(&behind, USER(0)));
	EXPECT_EQ(5, calls_at(self->listener));
	ASSERT_EQ(0, pthread_kill(b.bg.thread, SIGUSR1));
	EXPECT_EQ(-1, nym_bg_join(&b.bg));
	EXPECT_EQ(EINTR, b.bg.err);
	EXPECT_EQ(4, calls_at(self->listener));
	EXPECT_EQ(USER(0), serve(self->listener));
	EXPECT_EQ(0, nym_bg_join(&behind.bg));
	EXPECT_EQ(3, serve_all(self->listener));
	close(b.fd);
	close(behind.fd);
	EXPECT_EMPTY(8);
}

/* What ends calls in the middle leaves the counts right */

TEST_F(fair, a_closed_connection_keeps_its_place_until_it_is_accepted)
{
	LISTEN(8);
	EXPECT_EQ(3, fill_only_as(self, USER(0), 0));
	drop_all(self);
	EXPECT_EQ(3, calls_at(self->listener));
	EXPECT_EQ(0, fill_only_as(self, USER(0), 0));
	EXPECT_EQ(2, fill_only_as(self, USER(1), 0));
	/* Two are as many as the other one leaves. */
	EXPECT_EQ(USER(0), serve(self->listener));
	EXPECT_EQ(EINPROGRESS, call_of(self, 0));
	EXPECT_EQ(USER(0), serve(self->listener));
	EXPECT_TRUE(may_write(last_call(self)));
	EXPECT_EQ(4, serve_all(self->listener));
	EXPECT_EMPTY(8);
}

TEST_F(fair, parked_calls_are_withdrawn_from_front_middle_and_end)
{
	int i;

	LISTEN(8);
	for (i = 0; i < 12; i++)
		EXPECT_EQ(i < 3 ? 0 : EINPROGRESS, call_of(self, 0));
	for (i = 3; i < 12; i += 4) {
		close(self->calls[i]);
		self->calls[i] = -1;
	}
	EXPECT_EQ(9, calls_at(self->listener));
	for (i = 0; i < 12; i++) {
		if (self->calls[i] < 0)
			continue;
		EXPECT_TRUE(may_write(self->calls[i]));
		EXPECT_EQ(USER(0), serve(self->listener));
	}
	EXPECT_ERRNO(EAGAIN, serve(self->listener));
	EXPECT_EMPTY(8);
}

/* Dies with calls that are pending, parked and blocking. */
static void die_calling(int uid)
{
	struct blocking b[4];
	int i;

	nym_close_all();
	for (i = 0; i < 6; i++)
		connect_as(nym_socket_nonblock(), uid, 0);
	for (i = 0; i < 4; i++) {
		b[i].fd = nym_socket();
		if (!block_as(&b[i], uid))
			_exit(1);
	}
	raise(SIGKILL);
}

TEST_F(fair, processes_that_die_take_their_parked_calls_along)
{
	int i, status;

	LISTEN(8);
	for (i = 0; i < 3; i++) {
		if (!fork())
			die_calling(USER(i));
		ASSERT_LT(0, wait(&status));
		EXPECT_TRUE(WIFSIGNALED(status));
	}
	/* 3, 2 and 1 have become connections. */
	EXPECT_EQ(6, calls_at(self->listener));
	EXPECT_ORDER(0, 0, 0, 1, 1, 2);
	EXPECT_EMPTY(8);
}

/* Users who call in all ways and give up at any moment, at once. */

struct crowd {
	pthread_t thread;
	int seed;
	uid_t uid;
	bool *stop;
	long connected;
	long gave_up;
	int bad;	/* an errno that may not be */
};

static void crowd_count(struct crowd *c, int ret)
{
	if (!ret)
		__atomic_add_fetch(&c->connected, 1, __ATOMIC_RELAXED);
	else if (errno == EAGAIN || errno == EINTR || errno == EINPROGRESS)
		c->gave_up++;
	else
		c->bad = errno;
}

static void *crowd_main(void *arg)
{
	struct crowd *c = arg;
	__u32 rnd = c->seed;
	int fd;

	nym_act_as(c->uid, 0);
	while (!__atomic_load_n(c->stop, __ATOMIC_ACQUIRE)) {
		bool blocks = io_rand(&rnd) & 1;

		fd = blocks ? nym_socket() : nym_socket_nonblock();
		if (blocks)
			nym_set_timeout(fd, SO_SNDTIMEO, io_rand_size(&rnd, 6));
		crowd_count(c, nym_call(fd, NAME));
		if (!blocks)
			nym_poll_now(fd, POLLOUT);
		if (io_rand(&rnd) % 4 == 0)
			sched_yield();
		close(fd);
	}
	return NULL;
}

#define CROWD	8

static bool all_connected(const struct crowd *c)
{
	int i;

	for (i = 0; i < CROWD; i++) {
		if (!__atomic_load_n(&c[i].connected, __ATOMIC_RELAXED))
			return false;
	}
	return true;
}

/* For so long, and until each has been connected once. */
static void serve_crowd(struct __test_metadata *_metadata, const struct crowd *c,
			int listener, long ms)
{
	long end = nym_now_ms() + ms, n = 0;

	while (nym_now_ms() < end ||
	       (!all_connected(c) && nym_now_ms() < end + NYM_PATIENCE_MS)) {
		if (serve(listener) < 0) {
			ASSERT_EQ(EAGAIN, errno);
			continue;
		}
		if (++n % 64 == 0)
			ASSERT_OK(listen(listener, n & 64 ? 3 : 15));
	}
	EXPECT_LT(0, n);
}

TEST_F(fair, counts_are_right_after_a_crowd_that_gives_up_at_any_moment)
{
	struct crowd c[CROWD] = { };
	bool stop = false;
	size_t i;

	LISTEN(16);
	for (i = 0; i < ARRAY_SIZE(c); i++) {
		c[i] = (struct crowd){ .seed = i + 1, .uid = USER(i / 2),
				       .stop = &stop };
		ASSERT_EQ(0, pthread_create(&c[i].thread, NULL, crowd_main, &c[i]));
	}
	serve_crowd(_metadata, c, self->listener, 1500);
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	for (i = 0; i < ARRAY_SIZE(c); i++) {
		pthread_join(c[i].thread, NULL);
		EXPECT_SAME_ERRNO(0, c[i].bad);
		EXPECT_LT(0, c[i].connected);
	}
	serve_all(self->listener);
	ASSERT_OK(listen(self->listener, 15));
	EXPECT_EMPTY(16);
}

/* Twenty users who call all the time */

#define USERS	20
#define SERVED	600

/* Calls with @n threads, each as soon as its last call has been taken. */
static void *call_for_ever(void *arg)
{
	for (;;) {
		int fd = nym_socket();

		if (fd < 0 || (nym_call(fd, NAME) && errno != EINTR))
			_exit(1);
		close(fd);
	}
	return NULL;
}

static void busy_user(uid_t uid, int threads)
{
	pthread_t thread;

	nym_close_all();
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) ||
	    syscall(SYS_setresuid, uid, uid, uid))
		_exit(2);
	while (--threads)
		pthread_create(&thread, NULL, call_for_ever, NULL);
	call_for_ever(NULL);
}

/* Calls that are parked now, of all listeners. */
static int count_parked(void)
{
	char *text = nym_slurp(NYM_PROC, 1 << 16), *s;
	int n = 0;

	for (s = text; s && (s = strstr(s, " connecting ")); s++)
		n++;
	free(text);
	return n;
}

/* Waits until so many are parked at least. */
static bool wait_parked(int want)
{
	long end = nym_now_ms() + NYM_PATIENCE_MS;

	while (count_parked() < want) {
		if (nym_now_ms() > end)
			return false;
		nym_nap();
	}
	return true;
}

/*
 * Accepts @n calls; counts those of each user. All but two of the @parked calls
 * are back each time, so that every user has one when it is its turn, however
 * badly its threads are scheduled.
 */
static void serve_users(struct __test_metadata *_metadata, int listener,
			int parked, int n, int *count)
{
	int uid;

	memset(count, 0, USERS * sizeof(*count));
	while (n--) {
		ASSERT_TRUE(wait_parked(parked - 2));
		uid = serve(listener);
		ASSERT_LE(USER(0), uid);
		ASSERT_GT(USER(USERS), uid);
		count[uid - USER(0)]++;
	}
}

static void check_equal(struct __test_metadata *_metadata, const int *count)
{
	int i, most = 0, least = INT_MAX;

	for (i = 0; i < USERS; i++) {
		if (count[i] > most)
			most = count[i];
		if (count[i] < least)
			least = count[i];
	}
	TH_LOG("of %d calls between %d and %d of each of %d users", SERVED,
	       least, most, USERS);
	EXPECT_LE(most * 9, least * 10);
}

/* Each calls with three threads, and some with @many: it makes no difference. */
static void check_crowd_of(struct __test_metadata *_metadata,
			   FIXTURE_DATA(fair) * self, int limit, int many)
{
	int i, count[USERS], status, threads = 0;
	pid_t pid[USERS];

	LISTEN(limit);
	for (i = 0; i < USERS; i++) {
		int mine = i % 5 ? 3 : many;

		pid[i] = fork();
		if (!pid[i])
			busy_user(USER(i), mine);
		threads += mine;
	}
	/* All of them are there; who came first has more pending, until then. */
	ASSERT_TRUE(wait_parked(threads));
	serve_users(_metadata, self->listener, threads, limit, count);
	serve_users(_metadata, self->listener, threads, SERVED, count);
	check_equal(_metadata, count);
	/* Nobody has been forgotten. */
	EXPECT_TRUE(wait_parked(threads));
	for (i = 0; i < USERS; i++) {
		ASSERT_OK(kill(pid[i], SIGKILL));
		ASSERT_EQ(pid[i], waitpid(pid[i], &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status));
	}
	serve_all(self->listener);
	EXPECT_EMPTY(limit);
	close(self->listener);
	self->listener = -1;
	drop_all(self);
}

TEST_F(fair, twenty_users_who_call_all_the_time_are_served_equally)
{
	check_crowd_of(_metadata, self, 64, 3);
}

TEST_F(fair, so_they_are_when_some_have_more_calls_than_others)
{
	check_crowd_of(_metadata, self, 8, 12);
}

/*
 * A random walk, next to which a model walks: users call, the server accepts
 * and changes its backlog, calls are taken back and connections closed. After
 * each step, those calls are pending that the model says, in its order.
 */

#define WALKERS	7
#define PLACES	96	/* calls at once, at most */

static const struct {
	uid_t uid;
	__u64 caps;
	bool all;	/* may have it all */
} walkers[WALKERS] = {
	{ USER(0), 0, false },
	{ USER(1), 0, false },
	{ USER(2), 0, false },
	{ USER(3), 0, false },
	{ OWNER, 0, true },
	{ USER(4), ADMIN_CAPS, true },
	{ USER(4), 0, false },
};

struct place {
	int fd;		/* -1: none, or closed by its caller */
	int who;	/* -1: the place is free */
	bool pending;
	unsigned long order;	/* of becoming pending, or of the call */
	char name[NYM_NAME_MAX + 1];
};

struct walk {
	struct place place[PLACES];
	unsigned long now;
	unsigned long turn[WALKERS];	/* since when, by uid; 0: none parked */
	int limit;
	__u32 rnd;
};

/* Users are known by the first walker that has their uid. */
static int user_of(int who)
{
	int i;

	for (i = 0; walkers[i].uid != walkers[who].uid; i++)
		;
	return i;
}

static int count_of(const struct walk *w, bool pending, int user)
{
	int i, n = 0;

	for (i = 0; i < PLACES; i++) {
		const struct place *p = &w->place[i];

		if (p->who >= 0 && p->pending == pending &&
		    (user < 0 || user_of(p->who) == user))
			n++;
	}
	return n;
}

/* The rule, as the specification has it. */
static bool may_pend(const struct walk *w, int who)
{
	int all = count_of(w, true, -1);
	int mine = count_of(w, true, user_of(who));
	int room = w->limit - w->limit / 8;

	if (walkers[who].all)
		return all < w->limit;
	return all < room &&
	       (!mine || mine + 1 <= (room - (all - mine)) / 2);
}

/* The oldest place that is pending, or a user's that is parked; or NULL. */
static struct place *oldest(struct walk *w, bool pending, int user)
{
	struct place *best = NULL;
	int i;

	for (i = 0; i < PLACES; i++) {
		struct place *p = &w->place[i];

		if (p->who < 0 || p->pending != pending ||
		    (user >= 0 && user_of(p->who) != user))
			continue;
		if (!best || p->order < best->order)
			best = p;
	}
	return best;
}

/* Who is parked takes part in the turn. */
static void walk_turn(struct walk *w, int user, bool had_it)
{
	if (!count_of(w, false, user))
		w->turn[user] = 0;
	else if (!w->turn[user] || had_it)
		w->turn[user] = ++w->now;
}

/* The first in turn who may have one more; or NULL. */
static struct place *walk_next(struct walk *w)
{
	int user, best = -1;

	for (user = 0; user < WALKERS; user++) {
		if (!w->turn[user] || (best >= 0 && w->turn[user] > w->turn[best]))
			continue;
		if (may_pend(w, oldest(w, false, user)->who))
			best = user;
	}
	return best < 0 ? NULL : oldest(w, false, best);
}

static void walk_promote(struct walk *w)
{
	struct place *p;

	while ((p = walk_next(w)) != NULL) {
		p->pending = true;
		p->order = ++w->now;
		walk_turn(w, user_of(p->who), true);
	}
}

static struct place *walk_free_place(struct walk *w)
{
	int i;

	for (i = 0; i < PLACES; i++) {
		if (w->place[i].who < 0)
			return &w->place[i];
	}
	return NULL;
}

/* A random place that is pending (and not closed) or parked; or NULL. */
static struct place *walk_pick(struct walk *w, bool pending)
{
	int i, at = io_rand(&w->rnd) % PLACES;

	for (i = 0; i < PLACES; i++) {
		struct place *p = &w->place[(at + i) % PLACES];

		if (p->who >= 0 && p->fd >= 0 && p->pending == pending)
			return p;
	}
	return NULL;
}

static void walk_call(struct __test_metadata *_metadata, struct walk *w)
{
	int who = io_rand(&w->rnd) % WALKERS, user = user_of(who);
	struct place *p = walk_free_place(w);
	bool pends;

	if (!p)
		return;
	pends = !count_of(w, false, user) && may_pend(w, who);
	p->fd = nym_socket_nonblock();
	ASSERT_FD(p->fd);
	EXPECT_SAME_ERRNO(pends ? 0 : EINPROGRESS,
			  connect_as(p->fd, walkers[who].uid, walkers[who].caps));
	p->who = who;
	p->pending = pends;
	p->order = ++w->now;
	walk_turn(w, user, false);
}

static void walk_accept(struct __test_metadata *_metadata, struct walk *w,
			int listener)
{
	struct place *p = oldest(w, true, -1);
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (!p) {
		EXPECT_EQ(-1, fd);
		return;
	}
	ASSERT_FD(fd);
	EXPECT_STREQ(p->name, nym_peer_name(fd));
	close(fd);
	if (p->fd >= 0)
		close(p->fd);
	p->who = -1;
	walk_promote(w);
}

static void walk_withdraw(struct walk *w)
{
	struct place *p = walk_pick(w, false);
	int user;

	if (!p)
		return;
	close(p->fd);
	user = user_of(p->who);
	p->who = -1;
	walk_turn(w, user, false);
	/* It may have kept an administrator waiting. */
	walk_promote(w);
}

static void walk_hang_up(struct walk *w)
{
	struct place *p = walk_pick(w, true);

	if (!p)
		return;
	close(p->fd);
	p->fd = -1;
}

static void walk_listen(struct __test_metadata *_metadata, struct walk *w,
			int listener, int limit)
{
	w->limit = limit;
	if (io_rand(&w->rnd) % 2)
		w->limit = io_rand_size(&w->rnd, limit);
	ASSERT_OK(listen(listener, w->limit - 1));
	walk_promote(w);
}

/* Each call is where the model has it. */
static void walk_check(struct __test_metadata *_metadata, struct walk *w,
		       int listener)
{
	int i;

	for (i = 0; i < PLACES; i++) {
		struct place *p = &w->place[i];

		if (p->who < 0 || p->fd < 0)
			continue;
		EXPECT_EQ(p->pending ? POLLOUT : 0,
			  nym_poll_now(p->fd, POLLOUT)) {
			TH_LOG("walker %d", p->who);
		}
		if (p->pending && !*p->name)
			snprintf(p->name, sizeof(p->name), "%s",
				 nym_own_name(p->fd));
	}
	if (io_rand(&w->rnd) % 8 == 0)
		EXPECT_EQ(count_of(w, true, -1) + count_of(w, false, -1),
			  calls_at(listener));
}

static void walk_step(struct __test_metadata *_metadata, struct walk *w,
		      int listener, int limit)
{
	int dice = io_rand(&w->rnd) % 100;
	int i;

	for (i = 0; i < PLACES; i++) {
		if (w->place[i].who < 0)
			*w->place[i].name = 0;
	}
	if (dice < 55)
		walk_call(_metadata, w);
	else if (dice < 85)
		walk_accept(_metadata, w, listener);
	else if (dice < 94)
		walk_withdraw(w);
	else if (dice < 98)
		walk_hang_up(w);
	else
		walk_listen(_metadata, w, listener, limit);
	walk_check(_metadata, w, listener);
}

static void walk_end(struct walk *w)
{
	int i;

	for (i = 0; i < PLACES; i++) {
		if (w->place[i].who >= 0 && w->place[i].fd >= 0)
			close(w->place[i].fd);
	}
}

static __u32 walk_seed(void)
{
	const char *seed = getenv("NYM_SEED");

	return seed ? strtoul(seed, NULL, 0) | 1 : 1;
}

TEST_F(fair, a_random_walk_agrees_with_the_model)
{
	static const int limits[] = { 1, 2, 5, 8, 17, 64 };
	static struct walk w;
	size_t i, step;

	for (i = 0; i < ARRAY_SIZE(limits); i++) {
		memset(&w, 0, sizeof(w));
		for (step = 0; step < PLACES; step++)
			w.place[step].who = -1;
		w.limit = limits[i];
		w.rnd = walk_seed() + 2 * i;
		LISTEN(limits[i]);
		for (step = 0; step < (size_t)nym_scaled(300) && !_metadata->exit_code; step++)
			walk_step(_metadata, &w, self->listener, limits[i]);
		ASSERT_EQ(0, _metadata->exit_code) {
			TH_LOG("limit %d, step %zu, NYM_SEED=%u", limits[i],
			       step, walk_seed());
		}
		walk_end(&w);
		serve_all(self->listener);
		ASSERT_OK(listen(self->listener, limits[i] - 1));
		EXPECT_EMPTY(limits[i]);
		close(self->listener);
		drop_all(self);
	}
	self->listener = -1;
}

/* Datagrams: the same with bytes in the queue of one receiver */

#define MAX_SENDERS	64
#define LEN		1000

FIXTURE(queue)
{
	int to;
	long limit;	/* of its queue */
	long cost;	/* what a datagram of LEN bytes counts there */
	int fd[MAX_SENDERS];
	int nfd;
};

static long queued_at(int fd)
{
	struct nym_line line;

	return nym_proc_line(fd, &line) == 1 ? (long)line.queued : -1;
}

/* Sends @len bytes with @fd as somebody: 0 or the errno. */
static int send_as(int fd, uid_t uid, __u64 caps, size_t len)
{
	struct sockaddr_nym sa;
	socklen_t salen = nym_addr(&sa, NAME);
	ssize_t n;
	int err;

	nym_act_as(uid, caps);
	n = sendto(fd, io_at(0), len, MSG_DONTWAIT, (struct sockaddr *)&sa, salen);
	err = n < 0 ? errno : 0;
	nym_act_as(0, 0);
	return err ? err : n == (ssize_t)len ? 0 : EIO;
}

static int sender_of(FIXTURE_DATA(queue) * self, uid_t uid)
{
	int fd = socket_as(uid, SOCK_DGRAM);

	if (fd < 0 || self->nfd == MAX_SENDERS)
		abort();
	self->fd[self->nfd++] = fd;
	return fd;
}

/* Sends until there is no room: how many, or -1 if anything else happened. */
static int flood_as(int fd, uid_t uid, __u64 caps)
{
	int err, n = 0;

	while (!(err = send_as(fd, uid, caps, LEN)))
		n++;
	return err == EAGAIN ? n : -1;
}

/* As a new socket of a user without capabilities. */
static int flood_of(FIXTURE_DATA(queue) * self, int user)
{
	return flood_as(sender_of(self, USER(user)), USER(user), 0);
}

static int take(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT | MSG_TRUNC);
}

static int take_all(int fd)
{
	int n = 0;

	while (take(fd) >= 0)
		n++;
	return errno == EAGAIN ? n : -1;
}

FIXTURE_SETUP(queue)
{
	int fd;

	SKIP_WITHOUT_NYM();
	umask(0);
	self->nfd = 0;
	self->to = socket_as(OWNER, SOCK_DGRAM);
	ASSERT_FD(self->to);
	ASSERT_OK(nym_bind(self->to, NAME));
	ASSERT_OK(nym_set_int(self->to, SO_RCVBUF, 32768));
	self->limit = nym_get_int(self->to, SO_RCVBUF);
	fd = sender_of(self, 0);
	ASSERT_EQ(0, send_as(fd, 0, 0, LEN));
	self->cost = queued_at(self->to);
	ASSERT_LE(LEN, self->cost);
	ASSERT_EQ(LEN, take(self->to));
	ASSERT_EQ(0, queued_at(self->to));
}

FIXTURE_TEARDOWN(queue)
{
	close(self->to);
	while (self->nfd)
		close(self->fd[--self->nfd]);
}

/* How many more one may have when the others have @others bytes there. */
static int half_queue(FIXTURE_DATA(queue) * self, long others)
{
	long room = self->limit - others;

	if (room < self->cost)
		return 0;
	return room / 2 < self->cost ? 1 : room / 2 / self->cost;
}

/* Everything can be filled again, and a user has the same half as before. */
#define EXPECT_EMPTY_QUEUE() do { \
	EXPECT_EQ(0, queued_at(self->to)); \
	EXPECT_EQ(half_queue(self, 0), flood_of(self, 20)); \
	EXPECT_EQ(half_queue(self, 0), take_all(self->to)); \
	EXPECT_EQ(0, queued_at(self->to)); \
} while (0)

TEST_F(queue, a_user_has_half_of_what_the_others_leave)
{
	long used = 0;
	int user, n;

	for (user = 0; used + self->cost <= self->limit; user++) {
		n = half_queue(self, used);
		EXPECT_LT(0, n);
		EXPECT_EQ(n, flood_of(self, user));
		/* Not with another socket, either. */
		EXPECT_EQ(0, flood_of(self, user));
		used += n * self->cost;
		ASSERT_EQ(used, queued_at(self->to));
	}
	EXPECT_LT(3, user);
	EXPECT_EQ(0, flood_of(self, user));
	take_all(self->to);
	EXPECT_EMPTY_QUEUE();
}

/* Many sockets of one user do not add up to more than one. */
TEST_F(queue, who_floods_with_many_sockets_keeps_nobody_out)
{
	int fd, i, sent = 0;

	for (i = 0; i < 40; i++) {
		fd = sender_of(self, FLOODER);
		while (!send_as(fd, FLOODER, 0, LEN))
			sent++;
		EXPECT_EQ(EAGAIN, send_as(fd, FLOODER, 0, LEN));
	}
	EXPECT_EQ(half_queue(self, 0), sent);
	EXPECT_EQ(half_queue(self, sent * self->cost), flood_of(self, 0));
}

static void flood_queue(int sockets)
{
	struct sockaddr_nym sa;
	socklen_t len = nym_addr(&sa, NAME);
	int *fd = calloc(sockets, sizeof(*fd));
	int i;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) ||
	    syscall(SYS_setresuid, FLOODER, FLOODER, FLOODER))
		_exit(1);
	for (i = 0; i < sockets; i++)
		fd[i] = socket(AF_NYM, SOCK_DGRAM, 0);
	for (i = 0;; i = (i + 1) % sockets) {
		if (sendto(fd[i], io_at(0), LEN, MSG_DONTWAIT,
			   (struct sockaddr *)&sa, len) < 0 && errno != EAGAIN)
			_exit(2);
	}
}

TEST_F(queue, who_floods_a_slow_receiver_keeps_nobody_out)
{
	int fd = sender_of(self, USER(0)), i, n = 0;
	pid_t pid = fork();

	if (!pid) {
		nym_close_all();
		flood_queue(20);
	}
	/* Its share may round down to less than half of the queue. */
	while (queued_at(self->to) < half_queue(self, 0) * self->cost)
		nym_nap();
	for (i = 0; i < 200; i++) {
		EXPECT_EQ(0, send_as(fd, USER(0), 0, LEN));
		/* Until it has arrived. */
		do {
			ASSERT_EQ(LEN, take(self->to));
			n++;
		} while (io_outq(fd) > 0 && n < 100000);
	}
	EXPECT_LT(200, n);
	EXPECT_OK(stop_flood(pid));
	take_all(self->to);
	EXPECT_EMPTY_QUEUE();
}

/* But one socket has no more than half of what the other sockets leave. */
static void check_all_of_it(struct __test_metadata *_metadata,
			    FIXTURE_DATA(queue) * self, uid_t uid, __u64 caps)
{
	long used = 0;
	int n;

	while (used + self->cost <= self->limit) {
		n = half_queue(self, used);
		EXPECT_EQ(n, flood_as(sender_of(self, uid), uid, caps));
		used += n * self->cost;
		ASSERT_EQ(used, queued_at(self->to));
	}
	EXPECT_EQ(0, flood_as(sender_of(self, uid), uid, caps));
	take_all(self->to);
}

TEST_F(queue, the_receivers_owner_may_have_it_all_with_several_sockets)
{
	check_all_of_it(_metadata, self, OWNER, 0);
	EXPECT_EMPTY_QUEUE();
}

TEST_F(queue, an_administrator_may_have_it_all_with_several_sockets)
{
	check_all_of_it(_metadata, self, 0, 0);
	check_all_of_it(_metadata, self, USER(0), ADMIN_CAPS);
	EXPECT_EMPTY_QUEUE();
}

/* In a queue from which others send nothing, the peer has it all. */
TEST_F(queue, the_peer_of_a_connected_receiver_may_have_it_all)
{
	int fd = sender_of(self, USER(0));
	struct sockaddr_nym sa;
	socklen_t len = nym_addr(&sa, "fair-peer");

	ASSERT_OK(nym_bind(fd, "fair-peer"));
	ASSERT_OK(connect(self->to, (struct sockaddr *)&sa, len));
	EXPECT_EQ(self->limit / self->cost, flood_as(fd, USER(0), 0));
}

TEST_F(queue, a_sender_has_no_more_than_its_own_buffer)
{
	int fd = sender_of(self, USER(0)), sndbuf;

	ASSERT_OK(nym_set_int(fd, SO_SNDBUF, 4096));
	sndbuf = nym_get_int(fd, SO_SNDBUF);
	EXPECT_EQ(sndbuf / self->cost, flood_as(fd, USER(0), 0));
	/* The user may have more, with another socket. */
	EXPECT_EQ(half_queue(self, 0) - sndbuf / self->cost, flood_of(self, 0));
}

TEST_F(queue, datagrams_of_a_closed_socket_still_count)
{
	int fd = sender_of(self, USER(0)), n;

	n = flood_as(fd, USER(0), 0);
	EXPECT_EQ(half_queue(self, 0), n);
	close(self->fd[--self->nfd]);
	EXPECT_EQ(0, flood_of(self, 0));
	ASSERT_EQ(LEN, take(self->to));
	EXPECT_EQ(1, flood_of(self, 0));
	EXPECT_EQ(n, take_all(self->to));
	EXPECT_EMPTY_QUEUE();
}

/* A datagram larger than the queue gets into an empty one only. */
TEST_F(queue, whatever_its_size_one_datagram_gets_into_an_empty_queue)
{
	int fd = sender_of(self, USER(0));

	ASSERT_OK(nym_set_int(self->to, SO_RCVBUF, 2048));
	EXPECT_EQ(0, send_as(fd, USER(0), 0, 20000));
	EXPECT_EQ(EAGAIN, send_as(fd, USER(0), 0, 0));
	EXPECT_EQ(EAGAIN, send_as(sender_of(self, USER(1)), USER(1), 0, 0));
	EXPECT_EQ(EAGAIN, send_as(sender_of(self, 0), 0, 0, 0));
	EXPECT_EQ(20000, take(self->to));
	EXPECT_EQ(0, send_as(fd, USER(0), 0, 20000));
}

static int connect_sender(FIXTURE_DATA(queue) * self, uid_t uid)
{
	int fd = sender_of(self, uid);

	return nym_call(fd, NAME) ? -1 : fd;
}

TEST_F(queue, a_connected_sender_can_write_when_it_has_room_and_not_before)
{
	int fd = connect_sender(self, USER(0)), other, i, n;

	ASSERT_FD(fd);
	other = connect_sender(self, USER(1));
	ASSERT_FD(other);
	n = flood_as(fd, USER(0), 0);
	EXPECT_EQ(half_queue(self, 0), n);
	nym_act_as(USER(0), 0);
	EXPECT_EQ(0, nym_poll_now(fd, POLLOUT));
	nym_act_as(USER(1), 0);
	EXPECT_EQ(POLLOUT, nym_poll_now(other, POLLOUT));
	nym_act_as(0, 0);
	ASSERT_EQ(0, send_as(other, USER(1), 0, LEN));

	/* The other one's has made its half smaller: one taken is not enough. */
	for (i = 0; i < n; i++) {
		long held, rest;

		ASSERT_EQ(LEN, take(self->to));
		held = (n - i - 1) * self->cost;
		rest = (self->limit - self->cost) / 2;
		nym_act_as(USER(0), 0);
		EXPECT_EQ(!held || held + self->cost <= rest ? POLLOUT : 0,
			  nym_poll_now(fd, POLLOUT));
		nym_act_as(0, 0);
	}
}

static long send_blocking(struct io_thread *t)
{
	nym_act_as(t->len, 0);
	return send(t->fd, io_at(0), LEN, 0);
}

TEST_F(queue, a_blocked_sender_goes_on_when_its_share_has_room)
{
	int fd = connect_sender(self, USER(0)), n;
	struct io_thread t;

	ASSERT_FD(fd);
	n = flood_as(fd, USER(0), 0);
	t = (struct io_thread){ .fd = fd, .len = USER(0) };
	io_start(&t, send_blocking);
	ASSERT_TRUE(io_wait_blocked(&t));
	ASSERT_EQ(LEN, take(self->to));
	EXPECT_EQ(LEN, io_join(&t));
	EXPECT_EQ(n, take_all(self->to));
	EXPECT_EMPTY_QUEUE();
}

/*
 * A random walk of senders, with a model next to it that knows of each datagram
 * whose it is and what it counts.
 */

static const int lens[] = { 0, 100, 1000, 5000, 12000 };

static const struct {
	uid_t uid;
	__u64 caps;
	bool all;
} senders[] = {
	{ USER(0), 0, false },
	{ USER(0), 0, false },
	{ USER(0), 0, false },
	{ USER(1), 0, false },
	{ USER(2), 0, false },
	{ OWNER, 0, true },
	{ OWNER, 0, true },
	{ USER(3), ADMIN_CAPS, true },
};

struct letter {
	int from;
	int len;
	long cost;
};

struct post {
	struct letter letter[2048];
	int first;
	int end;
	long cost[ARRAY_SIZE(lens)];
	int fd[ARRAY_SIZE(senders)];
};

static long post_held(const struct post *p, int from, bool user)
{
	long sum = 0;
	int i;

	for (i = p->first; i < p->end; i++) {
		const struct letter *l = &p->letter[i];

		if (from < 0 || l->from == from ||
		    (user && senders[l->from].uid == senders[from].uid))
			sum += l->cost;
	}
	return sum;
}

static bool fits_half(long limit, long used, long held, long cost)
{
	return used + cost <= limit &&
	       (!held || held + cost <= (limit - (used - held)) / 2);
}

static bool post_fits(const struct post *p, long limit, int from, long cost)
{
	long used = post_held(p, -1, false);

	if (!used)
		return true;
	return fits_half(limit, used, post_held(p, from, false), cost) &&
	       (senders[from].all ||
		fits_half(limit, used, post_held(p, from, true), cost));
}

static void post_send(struct __test_metadata *_metadata, struct post *p,
		      FIXTURE_DATA(queue) * self, __u32 *rnd)
{
	int from = io_rand(rnd) % ARRAY_SIZE(senders);
	int size = io_rand(rnd) % ARRAY_SIZE(lens);
	bool fits = post_fits(p, self->limit, from, p->cost[size]);

	EXPECT_SAME_ERRNO(fits ? 0 : EAGAIN,
			  send_as(p->fd[from], senders[from].uid,
				  senders[from].caps, lens[size]));
	if (fits)
		p->letter[p->end++] = (struct letter){ from, lens[size],
						       p->cost[size] };
}

static void post_take(struct __test_metadata *_metadata, struct post *p, int to)
{
	if (p->first == p->end) {
		EXPECT_ERRNO(EAGAIN, take(to));
		return;
	}
	EXPECT_EQ(p->letter[p->first++].len, take(to));
}

TEST_F(queue, a_random_walk_agrees_with_the_model)
{
	static struct post p;
	__u32 rnd = walk_seed();
	size_t i, step;

	for (i = 0; i < ARRAY_SIZE(senders); i++)
		p.fd[i] = sender_of(self, senders[i].uid);
	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		ASSERT_EQ(0, send_as(p.fd[0], 0, 0, lens[i]));
		p.cost[i] = queued_at(self->to);
		ASSERT_EQ(lens[i], take(self->to));
	}
	for (step = 0; step < (size_t)nym_scaled(2000); step++) {
		if (io_rand(&rnd) % 100 < 65)
			post_send(_metadata, &p, self, &rnd);
		else
			post_take(_metadata, &p, self->to);
		ASSERT_EQ(0, _metadata->exit_code) {
			TH_LOG("step %zu, NYM_SEED=%u", step, walk_seed());
		}
		if (step % 16 == 0)
			ASSERT_EQ(post_held(&p, -1, false), queued_at(self->to));
	}
	take_all(self->to);
	EXPECT_EMPTY_QUEUE();
}

NYM_TEST_MAIN
