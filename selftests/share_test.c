// SPDX-License-Identifier: GPL-2.0
/*
 * NYM_SHARE: several sockets on one name. Who may be one of them, who of them
 * gets the next call or datagram, and what becomes of a name when one leaves.
 */
#include "nym_test.h"
#include "nym_io.h"
#include "nym_scm.h"

#include <sys/epoll.h>
#include <sys/mman.h>

#define NAME	"t/share"

static const struct nym_who nobody = { .uid = NYM_NOBODY, .gid = NYM_NOBODY };

/* A socket that is bound to NAME with NYM_SHARE as @how says, or -1. */
static int member(int type, int how)
{
	int fd = scm_socket(type);

	return fd >= 0 && (nym_option(fd, NYM_SHARE, how) || nym_bind(fd, NAME)) ?
		nym_give_up(fd) : fd;
}

static int member_listen(int type, int backlog)
{
	int fd = member(type, NYM_SHARE_ON);

	return fd >= 0 && listen(fd, backlog) ? nym_give_up(fd) : fd;
}

/* How many calls are in the queue of a listener, without looking for calls. */
static long pending(int fd)
{
	struct nym_line line;

	return nym_proc_line(fd, &line) == 1 ? (long)line.pending : -1;
}

/* How full the queue of a datagram socket is, likewise. */
static long queued(int fd)
{
	struct nym_line line;

	return nym_proc_line(fd, &line) == 1 ? (long)line.queued : -1;
}

/* --- Who may share --- */

FIXTURE(join)
{
	int first;
	int second;
};

FIXTURE_SETUP(join)
{
	SKIP_WITHOUT_NYM();
	self->first = nym_socket();
	self->second = nym_socket();
	ASSERT_FD(self->first);
	ASSERT_FD(self->second);
}

FIXTURE_TEARDOWN(join)
{
	close(self->first);
	close(self->second);
}

TEST_F(join, values_of_the_option)
{
	static const int bad[] = { -1, 3, INT_MAX, INT_MIN };
	static const int good[] = {
		NYM_SHARE_STICKY, NYM_SHARE_ON, NYM_SHARE_OFF,
	};
	int value = 1;
	size_t i;

	EXPECT_EQ(NYM_SHARE_OFF, scm_option(self->first, NYM_SHARE));
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		EXPECT_OK(nym_option(self->first, NYM_SHARE, good[i]));
		EXPECT_EQ(good[i], scm_option(self->first, NYM_SHARE));
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_ERRNO(EINVAL, nym_option(self->first, NYM_SHARE, bad[i]));
	EXPECT_ERRNO(EINVAL, setsockopt(self->first, SOL_NYM, NYM_SHARE, &value,
					sizeof(value) - 1));
	EXPECT_ERRNO(EFAULT, setsockopt(self->first, SOL_NYM, NYM_SHARE, (void *)8,
					sizeof(value)));
	EXPECT_EQ(NYM_SHARE_OFF, scm_option(self->first, NYM_SHARE));
}

TEST_F(join, two_with_the_flag_have_the_same_name)
{
	ASSERT_OK(nym_option(self->first, NYM_SHARE, NYM_SHARE_ON));
	ASSERT_OK(nym_option(self->second, NYM_SHARE, NYM_SHARE_ON));
	EXPECT_OK(nym_bind(self->first, NAME));
	EXPECT_OK(nym_bind(self->second, NAME));
	EXPECT_STREQ(NAME, nym_own_name(self->first));
	EXPECT_STREQ(NAME, nym_own_name(self->second));
	/* It has a name; sharing does not give it another. */
	EXPECT_ERRNO(EINVAL, nym_bind(self->second, NAME));
	EXPECT_ERRNO(EINVAL, nym_bind(self->second, NAME "/other"));
}

/* Whoever failed is as it was: it may set the flag and try again. */
TEST_F(join, the_second_needs_the_flag)
{
	ASSERT_OK(nym_option(self->first, NYM_SHARE, NYM_SHARE_ON));
	ASSERT_OK(nym_bind(self->first, NAME));
	EXPECT_ERRNO(EADDRINUSE, nym_bind(self->second, NAME));
	EXPECT_STREQ("", nym_own_name(self->second));
	EXPECT_ERRNO(EINVAL, listen(self->second, 5));
	ASSERT_OK(nym_option(self->second, NYM_SHARE, NYM_SHARE_ON));
	EXPECT_OK(nym_bind(self->second, NAME));
}

TEST_F(join, the_first_needs_the_flag)
{
	ASSERT_OK(nym_option(self->second, NYM_SHARE, NYM_SHARE_ON));
	ASSERT_OK(nym_bind(self->first, NAME));
	EXPECT_ERRNO(EADDRINUSE, nym_bind(self->second, NAME));
	close(self->first);
	EXPECT_OK(nym_bind(self->second, NAME));
	self->first = nym_socket();
	EXPECT_ERRNO(EADDRINUSE, nym_bind(self->first, NAME));
}

/* Whoever bound a name for itself alone cannot be made to share it later. */
TEST_F(join, the_flag_of_the_first_counts_from_its_bind_on)
{
	ASSERT_OK(nym_bind(self->first, NAME));
	ASSERT_OK(nym_option(self->first, NYM_SHARE, NYM_SHARE_ON));
	ASSERT_OK(nym_option(self->second, NYM_SHARE, NYM_SHARE_ON));
	EXPECT_ERRNO(EADDRINUSE, nym_bind(self->second, NAME));
}

TEST_F(join, on_and_sticky_may_share)
{
	ASSERT_OK(nym_option(self->first, NYM_SHARE, NYM_SHARE_STICKY));
	ASSERT_OK(nym_option(self->second, NYM_SHARE, NYM_SHARE_ON));
	ASSERT_OK(nym_bind(self->first, NAME));
	EXPECT_OK(nym_bind(self->second, NAME));
	close(self->first);
	self->first = member(SOCK_STREAM, NYM_SHARE_STICKY);
	EXPECT_LE(0, self->first);
}

TEST_F(join, each_type_is_alone)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
	size_t i, j;
	int a, b;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		a = member(types[i], NYM_SHARE_ON);
		ASSERT_FD(a);
		for (j = 0; j < ARRAY_SIZE(types); j++) {
			errno = 0;
			b = member(types[j], NYM_SHARE_ON);
			EXPECT_EQ(i == j, b >= 0);
			EXPECT_SAME_ERRNO(i == j ? 0 : EADDRINUSE,
					  b < 0 ? errno : 0);
			if (b >= 0)
				close(b);
		}
		close(a);
	}
}

static int try_member(void *unused)
{
	return member(SOCK_STREAM, NYM_SHARE_ON) < 0 ? errno : 0;
}

TEST_F(join, another_user_may_not)
{
	static const struct nym_who admin = {
		.uid = NYM_NOBODY, .gid = NYM_NOBODY, .caps = ~0ULL,
	};

	ASSERT_OK(nym_option(self->first, NYM_SHARE, NYM_SHARE_ON));
	ASSERT_OK(nym_bind(self->first, NAME));
	ASSERT_OK(fchmod(self->first, 0777));
	EXPECT_SAME_ERRNO(EADDRINUSE, nym_errno_as(&nobody, try_member, NULL));
	/* Nor with all capabilities: it is not a matter of privilege. */
	EXPECT_SAME_ERRNO(EADDRINUSE, nym_errno_as(&admin, try_member, NULL));
	EXPECT_SAME_ERRNO(0, nym_errno_as(NULL, try_member, NULL));
}

/* The owner is that of the socket, which need not be who binds it. */
TEST_F(join, the_sockets_owner_counts)
{
	ASSERT_OK(nym_option(self->first, NYM_SHARE, NYM_SHARE_ON));
	ASSERT_OK(nym_option(self->second, NYM_SHARE, NYM_SHARE_ON));
	ASSERT_OK(fchown(self->first, NYM_NOBODY, -1));
	ASSERT_OK(nym_bind(self->first, NAME));
	EXPECT_ERRNO(EADDRINUSE, nym_bind(self->second, NAME));
	EXPECT_SAME_ERRNO(0, nym_errno_as(&nobody, try_member, NULL));
	ASSERT_OK(fchown(self->second, NYM_NOBODY, -1));
	EXPECT_OK(nym_bind(self->second, NAME));
}

TEST_F(join, the_name_is_free_when_the_last_has_gone)
{
	ASSERT_OK(nym_option(self->first, NYM_SHARE, NYM_SHARE_ON));
	ASSERT_OK(nym_option(self->second, NYM_SHARE, NYM_SHARE_ON));
	ASSERT_OK(nym_bind(self->first, NAME));
	ASSERT_OK(nym_bind(self->second, NAME));
	close(self->first);
	EXPECT_SAME_ERRNO(EADDRINUSE, nym_bind_as(&nobody, NAME));
	close(self->second);
	EXPECT_SAME_ERRNO(0, nym_bind_as(&nobody, NAME));
	self->first = scm_bound(SOCK_DGRAM, NAME);
	EXPECT_LE(0, self->first);
	self->second = -1;
}

#define MOST	1024

TEST_F(join, a_name_has_at_most_1024_members)
{
	struct rlimit many = { .rlim_cur = 3 * MOST, .rlim_max = 3 * MOST };
	static int fd[MOST];
	int client[3], i;

	ASSERT_OK(setrlimit(RLIMIT_NOFILE, &many));
	for (i = 0; i < MOST; i++) {
		fd[i] = member_listen(SOCK_STREAM, 1);
		ASSERT_FD(fd[i]);
	}
	ASSERT_ERRNO(EADDRINUSE, member(SOCK_STREAM, NYM_SHARE_ON));
	/* They all work: whoever waits is found among them. */
	for (i = 0; i < 3; i++) {
		static const int who[] = { MOST - 1, 0, MOST / 2 };

		ASSERT_EQ(0, nym_poll_now(fd[who[i]], POLLIN));
		client[i] = nym_connect(NAME);
		ASSERT_FD(client[i]);
		EXPECT_EQ(POLLIN, nym_poll_now(fd[who[i]], POLLIN));
		close(accept(fd[who[i]], NULL, NULL));
	}
	close(fd[MOST / 2]);
	fd[MOST / 2] = member(SOCK_STREAM, NYM_SHARE_ON);
	EXPECT_LE(0, fd[MOST / 2]);
	EXPECT_ERRNO(EADDRINUSE, member(SOCK_STREAM, NYM_SHARE_ON));
	for (i = 0; i < 3; i++)
		close(client[i]);
	for (i = 0; i < MOST; i++)
		close(fd[i]);
}

/* --- Who gets the next call --- */

#define MEMBERS	3
#define CALLS	12

FIXTURE(calls)
{
	int m[MEMBERS];		/* non-blocking listeners */
	int c[CALLS];		/* clients; call i has sent the byte i */
	int ncalls;
	int type;
};

FIXTURE_VARIANT(calls)
{
	int type;
};

FIXTURE_VARIANT_ADD(calls, stream)
{
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(calls, seqpacket)
{
	.type = SOCK_SEQPACKET,
};

FIXTURE_SETUP(calls)
{
	int i;

	SKIP_WITHOUT_NYM();
	self->type = variant->type;
	self->ncalls = 0;
	for (i = 0; i < MEMBERS; i++) {
		self->m[i] = member_listen(self->type, 100);
		ASSERT_FD(self->m[i]);
		ASSERT_OK(nym_set_nonblock(self->m[i], true));
	}
}

FIXTURE_TEARDOWN(calls)
{
	int i;

	for (i = 0; i < self->ncalls; i++)
		close(self->c[i]);
	for (i = 0; i < MEMBERS; i++)
		close(self->m[i]);
}

/* The next call. */
#define CALL() do { \
	char __c = self->ncalls; \
	ASSERT_LT(self->ncalls, CALLS); \
	self->c[self->ncalls] = scm_connect(self->type, NAME); \
	ASSERT_FD(self->c[self->ncalls]); \
	ASSERT_EQ(1, send(self->c[self->ncalls], &__c, 1, MSG_DONTWAIT)); \
	self->ncalls++; \
} while (0)

/* Accepts a call; gives its number, or -errno. */
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

/* How many calls each member has. */
#define EXPECT_PENDING(_a, _b, _c) do { \
	EXPECT_EQ(_a, pending(self->m[0])); \
	EXPECT_EQ(_b, pending(self->m[1])); \
	EXPECT_EQ(_c, pending(self->m[2])); \
} while (0)

TEST_F(calls, equals_take_turns)
{
	int i, j, first, seen = 0;

	for (i = 0; i < CALLS; i++)
		CALL();
	for (i = 0; i < MEMBERS; i++) {
		first = take(self->m[i]);
		ASSERT_TRUE(first >= 0 && first < MEMBERS);
		seen |= 1 << first;
		for (j = 1; j < CALLS / MEMBERS; j++)
			EXPECT_EQ(first + j * MEMBERS, take(self->m[i]));
		EXPECT_EQ(-EAGAIN, take(self->m[i]));
	}
	EXPECT_EQ((1 << MEMBERS) - 1, seen);
}

TEST_F(calls, the_shortest_queue_is_next)
{
	int i;

	for (i = 0; i < 9; i++)
		CALL();
	EXPECT_PENDING(3, 3, 3);
	EXPECT_LE(0, take(self->m[1]));
	EXPECT_LE(0, take(self->m[1]));
	EXPECT_LE(0, take(self->m[2]));
	EXPECT_PENDING(3, 1, 2);
	CALL();
	EXPECT_PENDING(3, 2, 2);
	CALL();
	CALL();
	EXPECT_PENDING(3, 3, 3);
}

/* Length is what counts first, and who waits only among equals. */
TEST_F(calls, a_shorter_queue_goes_before_one_that_was_looked_at)
{
	int i;

	ASSERT_OK(shutdown(self->m[2], SHUT_RD));
	CALL();
	CALL();
	EXPECT_PENDING(1, 1, 0);
	EXPECT_LE(0, take(self->m[0]));
	/* The second found a call, the first would find none. */
	EXPECT_EQ(POLLIN, nym_poll_now(self->m[1], POLLIN));
	for (i = 0; i < 2; i++)
		CALL();
	EXPECT_EQ(3, pending(self->m[0]) + pending(self->m[1]));
	EXPECT_LE(1, pending(self->m[0]));
}

static int look_by_accept(int fd)
{
	return take(fd) == -EAGAIN ? 0 : -1;
}

static int look_by_poll(int fd)
{
	return nym_poll_now(fd, POLLIN);
}

/* What epoll asks when a descriptor is added is a poll(). */
static int look_by_epoll(int fd)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int ep = epoll_create1(EPOLL_CLOEXEC);
	int n = epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);

	if (!n)
		n = epoll_wait(ep, &ev, 1, 0);
	close(ep);
	return n;
}

/* Whoever has looked for calls and found none is next, and only once. */
static void idle_first(struct __test_metadata *_metadata,
		       FIXTURE_DATA(calls) * self, int (*look)(int fd))
{
	static const int order[] = { 2, 0, 1, 1, 0, 0, 2, 2, 1 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(order); i++) {
		ASSERT_EQ(0, look(self->m[order[i]]));
		CALL();
		EXPECT_EQ(1, pending(self->m[order[i]])) {
			TH_LOG("look %zu, of member %d", i, order[i]);
		}
		EXPECT_EQ((int)i, take(self->m[order[i]]));
	}
	/* Nobody waits now, so it is the turn of those that were not the last. */
	CALL();
	CALL();
	EXPECT_PENDING(1, 0, 1);
}

TEST_F(calls, idle_first_after_accept)
{
	idle_first(_metadata, self, look_by_accept);
}

TEST_F(calls, idle_first_after_poll)
{
	idle_first(_metadata, self, look_by_poll);
}

TEST_F(calls, idle_first_after_epoll)
{
	idle_first(_metadata, self, look_by_epoll);
}

TEST_F(calls, idle_first_is_who_sleeps_in_accept)
{
	static const int order[] = { 1, 2, 2, 0, 1, 0 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(order); i++) {
		struct io_thread t = { .fd = self->m[order[i]] };
		long end = io_now_ms() + NYM_PATIENCE_MS;

		ASSERT_OK(nym_set_nonblock(t.fd, false));
		/* Should the call go to somebody else. */
		ASSERT_OK(io_set_timeout(t.fd, SO_RCVTIMEO, NYM_PATIENCE_MS));
		io_start(&t, io_do_accept);
		ASSERT_TRUE(io_wait_blocked(&t));
		CALL();
		ASSERT_LE(0, io_join(&t));
		/* It would look once more at the end of its time. */
		EXPECT_GT(end, io_now_ms());
		close(t.ret);
		ASSERT_OK(nym_set_nonblock(t.fd, true));
	}
}

TEST_F(calls, several_idle_ones_take_turns)
{
	int i;

	for (i = 0; i < 4; i++) {
		ASSERT_EQ(0, look_by_poll(self->m[0]));
		ASSERT_EQ(0, look_by_poll(self->m[2]));
		CALL();
		CALL();
		EXPECT_PENDING(1, 0, 1);
		EXPECT_LE(0, take(self->m[0]));
		EXPECT_LE(0, take(self->m[2]));
	}
}

/* Who is told that there is a call is not idle: it is about to work. */
TEST_F(calls, who_was_told_of_a_call_does_not_wait)
{
	int x, y;

	ASSERT_OK(shutdown(self->m[2], SHUT_RD));
	CALL();
	x = self->m[!pending(self->m[0])];
	y = self->m[x == self->m[0]];
	CALL();
	ASSERT_EQ(1, pending(x));
	ASSERT_EQ(1, pending(y));
	/* It is the turn of the other one. */
	EXPECT_EQ(POLLIN, nym_poll_now(y, POLLIN));
	CALL();
	EXPECT_EQ(2, pending(x));
	EXPECT_EQ(1, pending(y));
}

/* The same with empty queues: one works on its call, the other waits. */
TEST_F(calls, who_waits_goes_before_who_works)
{
	ASSERT_OK(shutdown(self->m[2], SHUT_RD));
	ASSERT_EQ(0, look_by_poll(self->m[0]));
	CALL();
	ASSERT_EQ(POLLIN, nym_poll_now(self->m[0], POLLIN));
	ASSERT_EQ(0, take(self->m[0]));
	/* The first works on it now. */
	ASSERT_EQ(0, look_by_poll(self->m[1]));
	CALL();
	ASSERT_EQ(1, take(self->m[1]));
	ASSERT_EQ(0, look_by_poll(self->m[1]));
	CALL();
	EXPECT_PENDING(0, 1, 0);
}

/* --- Room --- */

/* One more call, which does not get in. */
static int parked_call(int type)
{
	int fd = socket(AF_NYM, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || !nym_call(fd, NAME) || errno != EINPROGRESS)
		return nym_give_up(fd);
	return fd;
}

/* Its calls, of which it had more than its room, have kept others out. */
TEST_F(calls, when_one_is_shut_who_waited_behind_its_calls_moves_up)
{
	int i, fd, crowded;

	for (i = 0; i < MEMBERS; i++)
		ASSERT_OK(listen(self->m[i], 0));
	for (i = 0; i < MEMBERS; i++)
		CALL();
	EXPECT_PENDING(1, 1, 1);
	close(self->m[2]);
	self->m[2] = -1;
	crowded = pending(self->m[0]) == 2 ? 0 : 1;
	EXPECT_EQ(2, pending(self->m[crowded]));
	EXPECT_LE(0, take(self->m[!crowded]));
	fd = parked_call(self->type);
	ASSERT_FD(fd);
	ASSERT_OK(shutdown(self->m[crowded], SHUT_RD));
	EXPECT_EQ(POLLOUT, nym_poll_now(fd, POLLOUT));
	EXPECT_EQ(1, pending(self->m[!crowded]));
	close(fd);
}

/* What waits at one that takes no more is in nobody's way. */
TEST_F(calls, those_of_one_that_is_shut_take_no_room)
{
	int i, fd;

	ASSERT_OK(listen(self->m[0], 50));
	ASSERT_OK(shutdown(self->m[1], SHUT_RD));
	ASSERT_OK(shutdown(self->m[2], SHUT_RD));
	for (i = 0; i < 8; i++)
		CALL();
	EXPECT_PENDING(8, 0, 0);
	ASSERT_OK(shutdown(self->m[0], SHUT_RD));
	close(self->m[1]);
	self->m[1] = member_listen(self->type, 2);
	ASSERT_FD(self->m[1]);
	for (i = 0; i < 3; i++)
		CALL();
	EXPECT_PENDING(8, 3, 0);
	fd = parked_call(self->type);
	ASSERT_FD(fd);
	/* Room at the other is no room. */
	EXPECT_LE(0, take(self->m[0]));
	EXPECT_EQ(0, nym_poll_now(fd, POLLOUT));
	EXPECT_LE(0, take(self->m[1]));
	EXPECT_EQ(POLLOUT, nym_poll_now(fd, POLLOUT));
	EXPECT_PENDING(7, 3, 0);
	close(fd);
}

TEST_F(calls, rooms_add_up)
{
	int i, fd;

	ASSERT_OK(listen(self->m[0], 0));
	ASSERT_OK(listen(self->m[1], 1));
	ASSERT_OK(listen(self->m[2], 3));
	for (i = 0; i < 3; i++)
		CALL();
	EXPECT_PENDING(1, 1, 1);
	for (i = 0; i < 4; i++)
		CALL();
	EXPECT_PENDING(1, 2, 4);
	fd = parked_call(self->type);
	ASSERT_FD(fd);
	/* A parked call is at nobody; whoever has room first gets it. */
	EXPECT_EQ(0, nym_poll_now(fd, POLLOUT));
	EXPECT_LE(0, take(self->m[1]));
	EXPECT_EQ(POLLOUT, nym_poll_now(fd, POLLOUT));
	EXPECT_PENDING(1, 2, 4);
	close(fd);
}

TEST_F(calls, a_larger_backlog_of_one_lets_parked_ones_in)
{
	int i, fd;

	for (i = 0; i < MEMBERS; i++) {
		ASSERT_OK(listen(self->m[i], 0));
		CALL();
	}
	fd = parked_call(self->type);
	ASSERT_FD(fd);
	EXPECT_EQ(0, nym_poll_now(fd, POLLOUT));
	ASSERT_OK(listen(self->m[1], 1));
	EXPECT_EQ(POLLOUT, nym_poll_now(fd, POLLOUT));
	EXPECT_PENDING(1, 2, 1);
	close(fd);
}

TEST_F(calls, a_new_member_lets_parked_ones_in)
{
	int i, fd, new;

	for (i = 0; i < MEMBERS; i++) {
		ASSERT_OK(listen(self->m[i], 0));
		CALL();
	}
	fd = parked_call(self->type);
	ASSERT_FD(fd);
	new = member(self->type, NYM_SHARE_ON);
	ASSERT_FD(new);
	EXPECT_EQ(0, nym_poll_now(fd, POLLOUT));
	ASSERT_OK(listen(new, 0));
	EXPECT_EQ(POLLOUT, nym_poll_now(fd, POLLOUT));
	EXPECT_EQ(1, pending(new));
	close(new);
	close(fd);
}

TEST_F(calls, who_does_not_listen_gets_none)
{
	int new = member(self->type, NYM_SHARE_ON), i;

	ASSERT_FD(new);
	EXPECT_ERRNO(EINVAL, accept(new, NULL, NULL));
	for (i = 0; i < CALLS; i++)
		CALL();
	EXPECT_PENDING(4, 4, 4);
	ASSERT_OK(listen(new, 5));
	EXPECT_EQ(0, pending(new));
	close(new);
}

TEST_F(calls, nobody_who_listens_is_a_refusal)
{
	int i;

	for (i = 0; i < MEMBERS; i++) {
		close(self->m[i]);
		self->m[i] = -1;
	}
	self->m[0] = member(self->type, NYM_SHARE_ON);
	self->m[1] = member(self->type, NYM_SHARE_ON);
	EXPECT_ERRNO(ECONNREFUSED, scm_connect(self->type, NAME));
	ASSERT_OK(listen(self->m[1], 1));
	CALL();
	EXPECT_EQ(1, pending(self->m[1]));
}

/* --- Who leaves --- */

TEST_F(calls, a_member_that_leaves_gets_no_more)
{
	int i;

	close(self->m[1]);
	self->m[1] = -1;
	for (i = 0; i < 8; i++)
		CALL();
	EXPECT_EQ(4, pending(self->m[0]));
	EXPECT_EQ(4, pending(self->m[2]));
	close(self->m[0]);
	self->m[0] = -1;
	CALL();
	EXPECT_EQ(9, pending(self->m[2]));
}

/* Which of them was last in turn does not matter. */
TEST_F(calls, turns_go_on_without_who_left)
{
	int gone, i, j = 0, rest[2];

	CALL();
	for (gone = 0; !pending(self->m[gone]); gone++)
		ASSERT_LT(gone, MEMBERS - 1);
	for (i = 0; i < MEMBERS; i++) {
		if (i != gone)
			rest[j++] = self->m[i];
	}
	close(self->m[gone]);
	self->m[gone] = -1;
	/* One has that call, so the other is next; then both alike. */
	for (i = 0; i < 5; i++)
		CALL();
	EXPECT_EQ(3, pending(rest[0]));
	EXPECT_EQ(3, pending(rest[1]));
}

TEST_F(calls, a_copy_of_a_descriptor_keeps_a_member)
{
	int copy = dup(self->m[1]), i;

	close(self->m[1]);
	self->m[1] = copy;
	for (i = 0; i < 3; i++)
		CALL();
	EXPECT_PENDING(1, 1, 1);
}

TEST_F(calls, a_member_that_shuts_down_keeps_its_calls_and_gets_no_more)
{
	int i;

	for (i = 0; i < 3; i++)
		CALL();
	ASSERT_OK(shutdown(self->m[1], SHUT_RD));
	for (i = 0; i < 4; i++)
		CALL();
	EXPECT_PENDING(3, 1, 3);
	EXPECT_LE(0, take(self->m[1]));
	EXPECT_EQ(-EAGAIN, take(self->m[1]));
	ASSERT_OK(nym_set_nonblock(self->m[1], false));
	EXPECT_EQ(-EINVAL, take(self->m[1]));
	ASSERT_OK(shutdown(self->m[0], SHUT_RD));
	ASSERT_OK(shutdown(self->m[2], SHUT_RD));
	EXPECT_ERRNO(ECONNREFUSED, scm_connect(self->type, NAME));
	for (i = 0; i < 3; i++) {
		EXPECT_LE(0, take(self->m[0]));
		EXPECT_LE(0, take(self->m[2]));
	}
}

TEST_F(calls, the_room_of_who_shuts_down_or_leaves_is_gone)
{
	int i, fd;

	for (i = 0; i < MEMBERS; i++)
		ASSERT_OK(listen(self->m[i], 1));
	ASSERT_OK(shutdown(self->m[0], SHUT_RD));
	close(self->m[1]);
	self->m[1] = -1;
	CALL();
	CALL();
	EXPECT_EQ(2, pending(self->m[2]));
	fd = parked_call(self->type);
	ASSERT_FD(fd);
	EXPECT_LE(0, take(self->m[2]));
	EXPECT_EQ(POLLOUT, nym_poll_now(fd, POLLOUT));
	close(fd);
}

/* --- Permission --- */

TEST_F(calls, the_mode_of_the_first_counts)
{
	ASSERT_OK(fchmod(self->m[0], 0600));
	ASSERT_OK(fchmod(self->m[1], 0666));
	ASSERT_OK(fchmod(self->m[2], 0666));
	if (self->type == SOCK_STREAM)
		EXPECT_SAME_ERRNO(EACCES, nym_connect_as(&nobody, NAME));
	ASSERT_OK(fchmod(self->m[0], 0666));
	ASSERT_OK(fchmod(self->m[1], 0600));
	ASSERT_OK(fchmod(self->m[2], 0));
	if (self->type == SOCK_SEQPACKET)
		return;
	/* Also of calls that go to another. */
	ASSERT_EQ(0, look_by_poll(self->m[1]));
	EXPECT_SAME_ERRNO(0, nym_connect_as(&nobody, NAME));
	EXPECT_EQ(1, pending(self->m[1]));
	/* And live. */
	ASSERT_OK(fchmod(self->m[0], 0600));
	EXPECT_SAME_ERRNO(EACCES, nym_connect_as(&nobody, NAME));
	ASSERT_OK(fchown(self->m[0], NYM_NOBODY, -1));
	EXPECT_SAME_ERRNO(0, nym_connect_as(&nobody, NAME));
}

TEST_F(calls, the_mode_of_the_next_counts_when_the_first_has_gone)
{
	if (self->type == SOCK_SEQPACKET)
		return;
	ASSERT_OK(fchmod(self->m[0], 0666));
	ASSERT_OK(fchmod(self->m[1], 0600));
	ASSERT_OK(fchmod(self->m[2], 0666));
	close(self->m[0]);
	self->m[0] = -1;
	EXPECT_SAME_ERRNO(EACCES, nym_connect_as(&nobody, NAME));
	close(self->m[1]);
	self->m[1] = -1;
	EXPECT_SAME_ERRNO(0, nym_connect_as(&nobody, NAME));
}

/* --- Many workers under load --- */

#define WORKERS	16
#define CLIENTS	8
#define EACH	nym_scaled(1000)	/* calls of a client */

/* Shared with the children. */
struct board {
	long accepted[WORKERS];
	long answered[CLIENTS];
};

FIXTURE(load)
{
	struct board *board;
	pid_t worker[WORKERS];
	pid_t client[CLIENTS];
	int ready[2];
};

FIXTURE_VARIANT(load)
{
	int type;
	void (*serve)(int listener, long *accepted);
};

/* Answers one call; a client sends one byte and wants it back. */
static bool answer(int listener, long *accepted)
{
	int fd = scm_accept(listener);
	char c;

	if (fd < 0)
		return false;
	__atomic_add_fetch(accepted, 1, __ATOMIC_RELAXED);
	if (recv(fd, &c, 1, 0) == 1)
		send(fd, &c, 1, MSG_NOSIGNAL);
	close(fd);
	return true;
}

static void serve_blocking(int listener, long *accepted)
{
	while (answer(listener, accepted))
		;
}

/* Both kinds take all that is there before they wait again. */
static void serve_events(int listener, long *accepted, __u32 events)
{
	struct epoll_event ev = { .events = events };
	int ep = epoll_create1(EPOLL_CLOEXEC);

	if (nym_set_nonblock(listener, true) ||
	    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev))
		return;
	while (epoll_wait(ep, &ev, 1, -1) >= 0)
		while (answer(listener, accepted))
			;
}

static void serve_epoll(int listener, long *accepted)
{
	serve_events(listener, accepted, EPOLLIN);
}

static void serve_edges(int listener, long *accepted)
{
	serve_events(listener, accepted, EPOLLIN | EPOLLET);
}

/* One call for each event, as many servers do it. */
static void serve_singly(int listener, long *accepted)
{
	while (nym_set_nonblock(listener, true) == 0 &&
	       poll(&(struct pollfd){ .fd = listener, .events = POLLIN }, 1, -1) >= 0)
		answer(listener, accepted);
}

FIXTURE_VARIANT_ADD(load, blocking)
{
	.type = SOCK_STREAM,
	.serve = serve_blocking,
};

FIXTURE_VARIANT_ADD(load, epoll)
{
	.type = SOCK_STREAM,
	.serve = serve_epoll,
};

FIXTURE_VARIANT_ADD(load, epoll_edge)
{
	.type = SOCK_SEQPACKET,
	.serve = serve_edges,
};

FIXTURE_VARIANT_ADD(load, poll_singly)
{
	.type = SOCK_STREAM,
	.serve = serve_singly,
};

FIXTURE_SETUP(load)
{
	SKIP_WITHOUT_NYM();
	memset(self->worker, 0, sizeof(self->worker));
	self->board = mmap(NULL, sizeof(*self->board), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->board);
	ASSERT_OK(pipe2(self->ready, O_CLOEXEC));
}

FIXTURE_TEARDOWN(load)
{
	int i;

	for (i = 0; i < WORKERS && self->worker[i]; i++) {
		kill(self->worker[i], SIGKILL);
		waitpid(self->worker[i], NULL, 0);
	}
	close(self->ready[0]);
	close(self->ready[1]);
	munmap(self->board, sizeof(*self->board));
}

static void work(const FIXTURE_VARIANT(load) * variant, int ready, long *accepted)
{
	int listener;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	listener = member_listen(variant->type, 64);
	if (listener >= 0 && write(ready, "x", 1) == 1)
		variant->serve(listener, accepted);
	_exit(1);
}

/* How many of its calls were answered. */
static long call_often(int type)
{
	long answered = 0;
	char in, out;
	int fd, i;

	for (i = 0; i < EACH; i++) {
		out = i;
		in = ~out;
		fd = scm_connect(type, NAME);
		if (fd < 0)
			break;
		if (send(fd, &out, 1, MSG_NOSIGNAL) == 1 &&
		    recv(fd, &in, 1, 0) == 1 && in == out)
			answered++;
		close(fd);
	}
	return answered;
}

static void show(struct __test_metadata *_metadata, const struct board *board)
{
	int i;

	for (i = 0; i < WORKERS; i++)
		TH_LOG("worker %d: %ld calls", i, board->accepted[i]);
}

TEST_F(load, the_busiest_of_16_workers_has_less_than_a_fifth_more)
{
	struct board *board = self->board;
	long most = 0, least = LONG_MAX, sum = 0, n;
	char c;
	int i;

	for (i = 0; i < WORKERS; i++) {
		self->worker[i] = fork();
		if (!self->worker[i])
			work(variant, self->ready[1], &board->accepted[i]);
		ASSERT_LT(0, self->worker[i]);
	}
	for (i = 0; i < WORKERS; i++)
		ASSERT_EQ(1, read(self->ready[0], &c, 1));
	for (i = 0; i < CLIENTS; i++) {
		self->client[i] = fork();
		if (!self->client[i]) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			board->answered[i] = call_often(variant->type);
			_exit(0);
		}
		ASSERT_LT(0, self->client[i]);
	}
	for (i = 0; i < CLIENTS; i++) {
		ASSERT_EQ(0, nym_wait_child(self->client[i]));
		EXPECT_EQ(EACH, board->answered[i]);
	}
	for (i = 0; i < WORKERS; i++) {
		n = __atomic_load_n(&board->accepted[i], __ATOMIC_RELAXED);
		sum += n;
		if (n > most)
			most = n;
		if (n < least)
			least = n;
	}
	EXPECT_EQ(CLIENTS * EACH, sum);
	/* Where there are few, one more or less is much. */
	EXPECT_LT(most * 10, least * 12 + 100) {
		show(_metadata, board);
	}
}

/* --- Datagrams --- */

#define SENDERS	64

FIXTURE(dgrams)
{
	int m[MEMBERS];
	int from;	/* not connected */
};

FIXTURE_SETUP(dgrams)
{
	int i;

	SKIP_WITHOUT_NYM();
	for (i = 0; i < MEMBERS; i++) {
		self->m[i] = member(SOCK_DGRAM, NYM_SHARE_ON);
		ASSERT_FD(self->m[i]);
	}
	self->from = scm_socket(SOCK_DGRAM);
	ASSERT_FD(self->from);
}

FIXTURE_TEARDOWN(dgrams)
{
	int i;

	for (i = 0; i < MEMBERS; i++)
		close(self->m[i]);
	close(self->from);
}

/* Sends a datagram of @len bytes, the first of which is @label, to NAME. */
static long say(int fd, int label, size_t len)
{
	static __u8 buf[65536];
	struct sockaddr_nym sa;
	socklen_t salen = nym_addr(&sa, NAME);

	buf[0] = label;
	return sendto(fd, buf, len, MSG_DONTWAIT, (struct sockaddr *)&sa, salen);
}

/* The label of the next datagram, or -errno. */
static int hear(int fd)
{
	__u8 c;

	return recv(fd, &c, 1, MSG_DONTWAIT) == 1 ? c : -errno;
}

/* Throws away what there is. */
static int forget(int fd)
{
	int n = 0;

	while (hear(fd) >= 0)
		n++;
	return n;
}

/* It used to look for a receiver for ever. */
TEST_F(dgrams, names_for_calls_are_told_of)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET };
	size_t i, j;

	for (i = 0; i < MEMBERS; i++)
		close(self->m[i]);
	for (i = 0; i < ARRAY_SIZE(types); i++) {
		for (j = 0; j < MEMBERS; j++) {
			self->m[j] = member(types[i], NYM_SHARE_ON);
			ASSERT_FD(self->m[j]);
		}
		EXPECT_ERRNO(EPROTOTYPE, say(self->from, 1, 1));
		EXPECT_ERRNO(EPROTOTYPE, nym_call(self->from, NAME));
		ASSERT_OK(listen(self->m[1], 5));
		EXPECT_ERRNO(EPROTOTYPE, say(self->from, 1, 1));
		EXPECT_ERRNO(EPROTOTYPE, nym_call(self->from, NAME));
		for (j = 0; j < MEMBERS; j++)
			close(self->m[j]);
	}
	memset(self->m, -1, sizeof(self->m));
}

/* Fails too, if it waited until the name was taken. */
static long do_wait_and_say(struct io_thread *t)
{
	struct sockaddr_nym sa;
	socklen_t salen = nym_addr(&sa, NAME);

	return sendto(t->fd, "x", 1, 0, (struct sockaddr *)&sa, salen);
}

TEST_F(dgrams, who_waits_for_a_name_is_told_that_it_is_for_calls)
{
	struct io_thread t = { .fd = self->from };
	int i;

	for (i = 0; i < MEMBERS; i++)
		close(self->m[i]);
	memset(self->m, -1, sizeof(self->m));
	ASSERT_OK(nym_option(self->from, NYM_WAIT, 1));
	io_start(&t, do_wait_and_say);
	ASSERT_TRUE(io_wait_blocked(&t));
	self->m[0] = member(SOCK_STREAM, NYM_SHARE_ON);
	self->m[1] = member(SOCK_STREAM, NYM_SHARE_ON);
	EXPECT_EQ(-1, io_join(&t));
	EXPECT_SAME_ERRNO(EPROTOTYPE, t.err);
}

TEST_F(dgrams, equals_take_turns)
{
	int i, j, first, seen = 0;

	for (i = 0; i < 4 * MEMBERS; i++)
		ASSERT_EQ(100, say(self->from, i, 100));
	for (i = 0; i < MEMBERS; i++) {
		first = hear(self->m[i]);
		ASSERT_TRUE(first >= 0 && first < MEMBERS);
		seen |= 1 << first;
		for (j = 1; j < 4; j++)
			EXPECT_EQ(first + j * MEMBERS, hear(self->m[i]));
		EXPECT_EQ(-EAGAIN, hear(self->m[i]));
	}
	EXPECT_EQ((1 << MEMBERS) - 1, seen);
}

TEST_F(dgrams, a_connected_sender_is_served_likewise)
{
	int i;

	ASSERT_OK(nym_call(self->from, NAME));
	for (i = 0; i < 4 * MEMBERS; i++)
		ASSERT_EQ(10, send(self->from, io_at(i), 10, MSG_DONTWAIT));
	for (i = 0; i < MEMBERS; i++)
		EXPECT_EQ(4, forget(self->m[i]));
}

/* By bytes, not by how many there are. */
TEST_F(dgrams, the_shortest_queue_is_next)
{
	int full, i, n;

	ASSERT_EQ(20000, say(self->from, 99, 20000));
	for (full = 0; !queued(self->m[full]); full++)
		ASSERT_LT(full, MEMBERS - 1);
	for (i = 0; i < 10; i++)
		ASSERT_EQ(100, say(self->from, i, 100));
	for (i = 0; i < MEMBERS; i++) {
		n = forget(self->m[i]);
		EXPECT_EQ(i == full ? 1 : 5, n);
	}
}

static int dgram_look_by_recv(int fd)
{
	return hear(fd) == -EAGAIN ? 0 : -1;
}

static void idle_receiver_first(struct __test_metadata *_metadata,
				FIXTURE_DATA(dgrams) * self, int (*look)(int))
{
	static const int order[] = { 2, 0, 1, 1, 0, 0, 2, 2, 1 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(order); i++) {
		ASSERT_EQ(0, look(self->m[order[i]]));
		ASSERT_EQ(10, say(self->from, i, 10));
		EXPECT_LT(0, queued(self->m[order[i]])) {
			TH_LOG("look %zu, of member %d", i, order[i]);
		}
		EXPECT_EQ((int)i, hear(self->m[order[i]]));
	}
	/* Nobody waits: the others' turn. */
	ASSERT_EQ(10, say(self->from, 0, 10));
	ASSERT_EQ(10, say(self->from, 1, 10));
	EXPECT_LT(0, queued(self->m[0]));
	EXPECT_EQ(0, queued(self->m[1]));
	EXPECT_LT(0, queued(self->m[2]));
}

TEST_F(dgrams, idle_first_after_recv)
{
	idle_receiver_first(_metadata, self, dgram_look_by_recv);
}

TEST_F(dgrams, idle_first_after_poll)
{
	idle_receiver_first(_metadata, self, look_by_poll);
}

TEST_F(dgrams, idle_first_is_who_sleeps_in_recv)
{
	static const int order[] = { 1, 2, 2, 0, 1, 0 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(order); i++) {
		char c = -1;
		struct io_thread t = {
			.fd = self->m[order[i]], .buf = &c, .len = 1,
		};
		long end = io_now_ms() + NYM_PATIENCE_MS;

		/* Should the datagram go to somebody else. */
		ASSERT_OK(io_set_timeout(t.fd, SO_RCVTIMEO, NYM_PATIENCE_MS));
		io_start(&t, io_do_recv);
		ASSERT_TRUE(io_wait_blocked(&t));
		ASSERT_EQ(10, say(self->from, i, 10));
		EXPECT_EQ(1, io_join(&t));
		EXPECT_GT(end, io_now_ms());
		EXPECT_EQ((int)i, c);
	}
}

/* Looking for room is not sending: it takes nobody's turn. */
TEST_F(dgrams, a_sender_that_polls_takes_no_turn)
{
	int i, n[2] = { 0, 0 };

	close(self->m[2]);
	self->m[2] = -1;
	ASSERT_OK(nym_call(self->from, NAME));
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(POLLOUT, nym_poll_now(self->from, POLLOUT));
		ASSERT_EQ(10, send(self->from, io_at(i), 10, MSG_DONTWAIT));
		n[0] += forget(self->m[0]);
		n[1] += forget(self->m[1]);
	}
	EXPECT_EQ(5, n[0]);
	EXPECT_EQ(5, n[1]);
}

/* Nor does it make one busy that waits. */
TEST_F(dgrams, a_sender_that_polls_leaves_the_idle_one_idle)
{
	ASSERT_OK(nym_call(self->from, NAME));
	ASSERT_EQ(0, look_by_poll(self->m[1]));
	ASSERT_EQ(POLLOUT, nym_poll_now(self->from, POLLOUT));
	ASSERT_EQ(10, send(self->from, io_at(0), 10, MSG_DONTWAIT));
	EXPECT_EQ(1, forget(self->m[1]));
}

/* Who was told that there is a datagram is about to work, not to wait. */
TEST_F(dgrams, who_waits_goes_before_who_works)
{
	close(self->m[2]);
	self->m[2] = -1;
	ASSERT_EQ(0, look_by_poll(self->m[0]));
	ASSERT_EQ(10, say(self->from, 0, 10));
	ASSERT_EQ(POLLIN, nym_poll_now(self->m[0], POLLIN));
	ASSERT_EQ(0, hear(self->m[0]));
	ASSERT_EQ(0, look_by_poll(self->m[1]));
	ASSERT_EQ(10, say(self->from, 1, 10));
	ASSERT_EQ(1, hear(self->m[1]));
	ASSERT_EQ(0, look_by_poll(self->m[1]));
	ASSERT_EQ(10, say(self->from, 2, 10));
	EXPECT_EQ(0, queued(self->m[0]));
	EXPECT_EQ(2, hear(self->m[1]));
}

TEST_F(dgrams, a_member_that_leaves_gets_no_more)
{
	int i;

	close(self->m[1]);
	self->m[1] = -1;
	for (i = 0; i < 8; i++)
		ASSERT_EQ(10, say(self->from, i, 10));
	EXPECT_EQ(4, forget(self->m[0]));
	EXPECT_EQ(4, forget(self->m[2]));
}

/* As with a single socket: what was in its queue is gone. */
TEST_F(dgrams, what_a_dead_member_had_is_lost)
{
	int i;

	for (i = 0; i < 9; i++)
		ASSERT_EQ(10, say(self->from, i, 10));
	close(self->m[1]);
	self->m[1] = -1;
	EXPECT_EQ(3, forget(self->m[0]));
	EXPECT_EQ(3, forget(self->m[2]));
}

/* Sends on a connected socket until nothing fits any more. */
static bool fill(int fd)
{
	while (send(fd, io_at(0), 4000, MSG_DONTWAIT) > 0)
		;
	return errno == EAGAIN;
}

/*
 * One member that does not read must not stop a sender, as long as another
 * does: room anywhere is room at the name.
 */
static void room_at_one_is_enough(struct __test_metadata *_metadata,
				  FIXTURE_DATA(dgrams) * self, int which)
{
	struct io_thread t = { .fd = self->from, .len = 4000 };

	ASSERT_OK(nym_call(self->from, NAME));
	ASSERT_TRUE(fill(self->from));
	io_start(&t, io_do_send);
	ASSERT_TRUE(io_wait_blocked(&t));
	EXPECT_LT(0, forget(self->m[which]));
	EXPECT_EQ(4000, io_join(&t));
	EXPECT_SAME_ERRNO(0, t.err);
}

TEST_F(dgrams, a_blocked_sender_goes_on_when_the_first_reads)
{
	room_at_one_is_enough(_metadata, self, 0);
}

TEST_F(dgrams, a_blocked_sender_goes_on_when_the_second_reads)
{
	room_at_one_is_enough(_metadata, self, 1);
}

TEST_F(dgrams, a_blocked_sender_goes_on_when_the_third_reads)
{
	room_at_one_is_enough(_metadata, self, 2);
}

static void writable_when_one_reads(struct __test_metadata *_metadata,
				    FIXTURE_DATA(dgrams) * self, int which)
{
	struct io_thread t = { .fd = self->from, .flags = POLLOUT };
	struct epoll_event ev = { .events = EPOLLOUT | EPOLLET };
	int ep = epoll_create1(EPOLL_CLOEXEC);

	ASSERT_OK(nym_call(self->from, NAME));
	ASSERT_TRUE(fill(self->from));
	ASSERT_EQ(0, nym_poll_now(self->from, POLLOUT));
	ASSERT_OK(epoll_ctl(ep, EPOLL_CTL_ADD, self->from, &ev));
	ASSERT_EQ(0, epoll_wait(ep, &ev, 1, 0));
	ASSERT_LT(0, forget(self->m[which]));
	EXPECT_EQ(1, epoll_wait(ep, &ev, 1, 2000));
	EXPECT_EQ(POLLOUT, io_do_poll(&t));
	EXPECT_EQ(4000, send(self->from, io_at(0), 4000, MSG_DONTWAIT));
	close(ep);
}

TEST_F(dgrams, writable_when_the_first_reads)
{
	writable_when_one_reads(_metadata, self, 0);
}

TEST_F(dgrams, writable_when_the_second_reads)
{
	writable_when_one_reads(_metadata, self, 1);
}

TEST_F(dgrams, writable_when_the_third_reads)
{
	writable_when_one_reads(_metadata, self, 2);
}

/* One that does not receive any more is not asked, as long as others do. */
TEST_F(dgrams, who_is_shut_or_has_a_peer_gets_none)
{
	int i, peer = scm_socket(SOCK_DGRAM);

	ASSERT_OK(shutdown(self->m[0], SHUT_RD));
	ASSERT_OK(nym_bind(peer, NAME "/peer"));
	ASSERT_OK(nym_call(self->m[1], NAME "/peer"));
	for (i = 0; i < 6; i++)
		ASSERT_EQ(10, say(self->from, i, 10));
	EXPECT_EQ(6, forget(self->m[2]));
	ASSERT_OK(shutdown(self->m[2], SHUT_RD));
	EXPECT_EQ(-1, say(self->from, 0, 10));
	EXPECT_TRUE(errno == EPIPE || errno == EPERM);
	close(peer);
}

TEST_F(dgrams, a_blocked_sender_hears_that_all_are_shut)
{
	struct io_thread t = { .fd = self->from, .len = 4000 };
	int i;

	ASSERT_OK(nym_call(self->from, NAME));
	ASSERT_TRUE(fill(self->from));
	io_start(&t, io_do_send);
	ASSERT_TRUE(io_wait_blocked(&t));
	for (i = 0; i < MEMBERS - 1; i++) {
		ASSERT_OK(shutdown(self->m[i], SHUT_RD));
		ASSERT_TRUE(io_wait_blocked(&t));
	}
	ASSERT_OK(shutdown(self->m[i], SHUT_RD));
	EXPECT_EQ(-1, io_join(&t));
	EXPECT_SAME_ERRNO(EPIPE, t.err);
}

/* The others took none before, so it waits for the one that closes. */
TEST_F(dgrams, a_blocked_sender_hears_that_the_last_open_one_has_gone)
{
	struct io_thread t = { .fd = self->from, .len = 4000 };

	ASSERT_OK(shutdown(self->m[1], SHUT_RD));
	ASSERT_OK(shutdown(self->m[2], SHUT_RD));
	ASSERT_OK(nym_call(self->from, NAME));
	ASSERT_TRUE(fill(self->from));
	io_start(&t, io_do_send);
	ASSERT_TRUE(io_wait_blocked(&t));
	close(self->m[0]);
	self->m[0] = -1;
	EXPECT_EQ(-1, io_join(&t));
	EXPECT_SAME_ERRNO(EPIPE, t.err);
}

/* The one that it chose is shut, but there is another. */
TEST_F(dgrams, a_blocked_sender_goes_to_another_when_one_is_shut)
{
	struct io_thread t = { .fd = self->from, .len = 4000 };

	ASSERT_OK(nym_call(self->from, NAME));
	ASSERT_TRUE(fill(self->from));
	io_start(&t, io_do_send);
	ASSERT_TRUE(io_wait_blocked(&t));
	ASSERT_OK(shutdown(self->m[0], SHUT_RD));
	ASSERT_OK(shutdown(self->m[1], SHUT_RD));
	ASSERT_TRUE(io_wait_blocked(&t));
	EXPECT_LT(0, forget(self->m[2]));
	EXPECT_EQ(4000, io_join(&t));
}

/* The only one is full, and another comes. */
TEST_F(dgrams, a_blocked_sender_goes_to_who_comes_new)
{
	struct io_thread t = { .fd = self->from, .len = 4000 };
	struct epoll_event ev = { .events = EPOLLOUT | EPOLLET };
	int ep = epoll_create1(EPOLL_CLOEXEC);

	close(self->m[1]);
	close(self->m[2]);
	self->m[2] = -1;
	ASSERT_OK(nym_call(self->from, NAME));
	ASSERT_TRUE(fill(self->from));
	ASSERT_OK(epoll_ctl(ep, EPOLL_CTL_ADD, self->from, &ev));
	ASSERT_EQ(0, epoll_wait(ep, &ev, 1, 0));
	io_start(&t, io_do_send);
	ASSERT_TRUE(io_wait_blocked(&t));
	self->m[1] = member(SOCK_DGRAM, NYM_SHARE_ON);
	ASSERT_FD(self->m[1]);
	EXPECT_EQ(4000, io_join(&t));
	EXPECT_EQ(1, epoll_wait(ep, &ev, 1, 2000));
	EXPECT_EQ(1, forget(self->m[1]));
	close(ep);
}

/* All are full, and the one that a sender waits for dies. */
TEST_F(dgrams, a_blocked_sender_goes_to_another_member)
{
	struct io_thread t = { .fd = self->from, .len = 4000 };

	ASSERT_OK(nym_call(self->from, NAME));
	ASSERT_TRUE(fill(self->from));
	io_start(&t, io_do_send);
	ASSERT_TRUE(io_wait_blocked(&t));
	close(self->m[0]);
	close(self->m[1]);
	self->m[0] = -1;
	self->m[1] = -1;
	ASSERT_TRUE(io_wait_blocked(&t));
	EXPECT_LT(0, forget(self->m[2]));
	EXPECT_EQ(4000, io_join(&t));
}

/* Whoever is chosen and takes none is no reason to fail, nor to look for ever. */
TEST_F(dgrams, descriptors_go_to_who_takes_them)
{
	int i;

	ASSERT_OK(scm_pass_rights(self->m[1], 1));
	for (i = 0; i < 6; i++)
		EXPECT_EQ(1, scm_send_fd_to(self->from, NAME, 0));
	EXPECT_EQ(6, forget(self->m[1]));
	EXPECT_EQ(0, forget(self->m[0]) + forget(self->m[2]));
	/* Where it is the only one, and when it is full. */
	close(self->m[0]);
	close(self->m[2]);
	self->m[0] = member(SOCK_DGRAM, NYM_SHARE_ON);
	self->m[2] = -1;
	while (scm_send_fd_to(self->from, NAME, 0) == 1)
		;
	EXPECT_SAME_ERRNO(EAGAIN, errno);
	EXPECT_LT(0, forget(self->m[1]));
	EXPECT_EQ(1, scm_send_fd_to(self->from, NAME, 0));
	EXPECT_EQ(0, forget(self->m[0]));
}

static long send_fd(struct io_thread *t)
{
	int fd = 0;

	return scm_send_fds(t->fd, "x", 1, &fd, 1, 0);
}

/* Only the second member takes descriptors, and a sender waits for room there. */
static void wait_with_a_descriptor(struct __test_metadata *_metadata,
				   FIXTURE_DATA(dgrams) * self, struct io_thread *t)
{
	t->fd = self->from;
	ASSERT_OK(scm_pass_rights(self->m[1], 1));
	ASSERT_OK(nym_call(self->from, NAME));
	while (scm_send_fd(self->from, 0) == 1)
		;
	EXPECT_SAME_ERRNO(EAGAIN, errno);
	io_start(t, send_fd);
	ASSERT_TRUE(io_wait_blocked(t));
}

TEST_F(dgrams, descriptors_wait_for_who_takes_them)
{
	struct io_thread t = { };

	wait_with_a_descriptor(_metadata, self, &t);
	/* Room at who takes none is no news. */
	ASSERT_EQ(10, say(self->from, 0, 10));
	ASSERT_LT(0, forget(self->m[0]) + forget(self->m[2]));
	EXPECT_TRUE(io_wait_blocked(&t));
	EXPECT_LT(0, forget(self->m[1]));
	EXPECT_EQ(1, io_join(&t));
}

TEST_F(dgrams, descriptors_wait_until_another_takes_them)
{
	struct io_thread t = { };

	wait_with_a_descriptor(_metadata, self, &t);
	ASSERT_OK(scm_pass_rights(self->m[2], 1));
	EXPECT_EQ(1, io_join(&t));
	EXPECT_EQ(1, forget(self->m[2]));
}

TEST_F(dgrams, descriptors_wait_until_nobody_takes_them)
{
	struct io_thread t = { };

	wait_with_a_descriptor(_metadata, self, &t);
	ASSERT_OK(scm_pass_rights(self->m[1], 0));
	EXPECT_EQ(-1, io_join(&t));
	EXPECT_SAME_ERRNO(EPERM, t.err);
}

/* Also where it is the only one, at whose own queue the sender waits. */
TEST_F(dgrams, descriptors_wait_until_the_only_one_takes_them_no_more)
{
	struct io_thread t = { };

	close(self->m[0]);
	close(self->m[2]);
	self->m[0] = -1;
	self->m[2] = -1;
	wait_with_a_descriptor(_metadata, self, &t);
	ASSERT_OK(scm_pass_rights(self->m[1], 0));
	EXPECT_EQ(-1, io_join(&t));
	EXPECT_SAME_ERRNO(EPERM, t.err);
}

/* Room at who takes none is not what poll() was asked for. */
TEST_F(dgrams, writable_when_who_takes_descriptors_reads)
{
	struct epoll_event ev = { .events = EPOLLOUT | EPOLLET };
	int ep = epoll_create1(EPOLL_CLOEXEC);

	ASSERT_OK(scm_pass_rights(self->m[1], 1));
	ASSERT_OK(nym_call(self->from, NAME));
	while (scm_send_fd(self->from, 0) == 1)
		;
	EXPECT_SAME_ERRNO(EAGAIN, errno);
	EXPECT_EQ(0, nym_poll_now(self->from, POLLOUT));
	ASSERT_OK(epoll_ctl(ep, EPOLL_CTL_ADD, self->from, &ev));
	EXPECT_EQ(0, epoll_wait(ep, &ev, 1, 0));
	/* Bytes alone find room, and ask for nothing that descriptors would. */
	EXPECT_EQ(10, say(self->from, 0, 10));
	EXPECT_EQ(0, nym_poll_now(self->from, POLLOUT));
	ASSERT_LT(0, forget(self->m[1]));
	EXPECT_EQ(1, epoll_wait(ep, &ev, 1, 2000));
	EXPECT_EQ(1, scm_send_fd(self->from, 0));
	/* That was it. */
	EXPECT_EQ(POLLOUT, nym_poll_now(self->from, POLLOUT));
	close(ep);
}

/* To the name, as @who. */
static int try_say(void *unused)
{
	return say(scm_socket(SOCK_DGRAM), 0, 10) == 10 ? 0 : errno;
}

TEST_F(dgrams, the_mode_of_the_first_counts)
{
	ASSERT_OK(fchmod(self->m[0], 0600));
	ASSERT_OK(fchmod(self->m[1], 0666));
	EXPECT_SAME_ERRNO(EACCES, nym_errno_as(&nobody, try_say, NULL));
	ASSERT_OK(fchmod(self->m[0], 0666));
	ASSERT_OK(fchmod(self->m[1], 0));
	ASSERT_EQ(0, look_by_poll(self->m[1]));
	EXPECT_SAME_ERRNO(0, nym_errno_as(&nobody, try_say, NULL));
	EXPECT_EQ(0, hear(self->m[1]));
	close(self->m[0]);
	self->m[0] = -1;
	EXPECT_SAME_ERRNO(EACCES, nym_errno_as(&nobody, try_say, NULL));
}

/* --- Sticky datagrams --- */

FIXTURE(sticky)
{
	int m[MEMBERS + 1];
	int from[SENDERS];
	int to[SENDERS];	/* which member each sender's datagrams went to */
};

FIXTURE_SETUP(sticky)
{
	int i;

	SKIP_WITHOUT_NYM();
	for (i = 0; i < MEMBERS; i++) {
		/* What the first says holds for all. */
		self->m[i] = member(SOCK_DGRAM,
				    i ? NYM_SHARE_ON : NYM_SHARE_STICKY);
		ASSERT_FD(self->m[i]);
	}
	self->m[MEMBERS] = -1;
	for (i = 0; i < SENDERS; i++) {
		self->from[i] = scm_socket(SOCK_DGRAM);
		ASSERT_FD(self->from[i]);
		/* Half of them connected: it makes no difference. */
		if (i & 1)
			ASSERT_OK(nym_call(self->from[i], NAME));
		self->to[i] = -1;
	}
}

FIXTURE_TEARDOWN(sticky)
{
	int i;

	for (i = 0; i < SENDERS; i++)
		close(self->from[i]);
	for (i = 0; i <= MEMBERS; i++)
		close(self->m[i]);
}

/*
 * Every sender sends @n datagrams. Sees that all of each go to one member, and
 * counts the senders that did not go where they went before.
 */
static int everybody_sends(struct __test_metadata *_metadata,
			   FIXTURE_DATA(sticky) * self, int n)
{
	int now[SENDERS], came[SENDERS] = { 0 }, moved = 0, i, j, label;

	for (j = 0; j < n; j++) {
		for (i = 0; i < SENDERS; i++)
			EXPECT_EQ(10, say(self->from[i], i, 10));
	}
	for (i = 0; i <= MEMBERS; i++) {
		while (self->m[i] >= 0 && (label = hear(self->m[i])) >= 0) {
			if (came[label]++)
				EXPECT_EQ(now[label], i);
			now[label] = i;
		}
	}
	for (i = 0; i < SENDERS; i++) {
		EXPECT_EQ(n, came[i]);
		moved += now[i] != self->to[i];
		self->to[i] = now[i];
	}
	return moved;
}

TEST_F(sticky, a_sender_has_its_member)
{
	int i, used = 0;

	EXPECT_EQ(SENDERS, everybody_sends(_metadata, self, 3));
	EXPECT_EQ(0, everybody_sends(_metadata, self, 2));
	/* They are spread, however. */
	for (i = 0; i < SENDERS; i++)
		used |= 1 << self->to[i];
	EXPECT_EQ((1 << MEMBERS) - 1, used);
}

TEST_F(sticky, also_with_a_long_queue_and_who_waits_elsewhere)
{
	int i, other;

	everybody_sends(_metadata, self, 1);
	other = self->m[(self->to[0] + 1) % MEMBERS];
	for (i = 0; i < 30; i++) {
		ASSERT_EQ(0, look_by_poll(other));
		ASSERT_EQ(500, say(self->from[0], i, 500));
	}
	for (i = 0; i < 30; i++)
		EXPECT_EQ(i, hear(self->m[self->to[0]]));
}

TEST_F(sticky, only_those_of_a_member_that_leaves_move)
{
	int i, before, gone = 1;

	everybody_sends(_metadata, self, 1);
	for (i = 0, before = 0; i < SENDERS; i++)
		before += self->to[i] == gone;
	EXPECT_LT(0, before);
	close(self->m[gone]);
	self->m[gone] = -1;
	EXPECT_EQ(before, everybody_sends(_metadata, self, 2));
	EXPECT_EQ(0, everybody_sends(_metadata, self, 1));
}

/* Their member is still there. */
TEST_F(sticky, nobody_moves_when_a_member_comes)
{
	everybody_sends(_metadata, self, 1);
	self->m[MEMBERS] = member(SOCK_DGRAM, NYM_SHARE_ON);
	ASSERT_FD(self->m[MEMBERS]);
	EXPECT_EQ(0, everybody_sends(_metadata, self, 2));
}

/* Of those that are left the next counts, which is not sticky. */
TEST_F(sticky, what_the_first_says_goes_with_it)
{
	int i;

	close(self->m[0]);
	self->m[0] = -1;
	for (i = 0; i < 8; i++)
		ASSERT_EQ(10, say(self->from[0], i, 10));
	EXPECT_EQ(4, forget(self->m[1]));
	EXPECT_EQ(4, forget(self->m[2]));
}

/*
 * Who waits at its own member when the name stops being sticky has room at
 * another: @wait sleeps until then.
 */
static void who_waits_may_have_another(struct __test_metadata *_metadata,
				       FIXTURE_DATA(sticky) * self,
				       long (*wait)(struct io_thread *), int flags,
				       long answer)
{
	struct io_thread t = { .len = 4000, .flags = flags };
	int i;

	everybody_sends(_metadata, self, 1);
	/* One that is connected. */
	for (i = 1; i < SENDERS && !self->to[i]; i += 2)
		;
	ASSERT_LT(i, SENDERS);
	t.fd = self->from[i];
	ASSERT_TRUE(fill(t.fd));
	io_start(&t, wait);
	ASSERT_TRUE(io_wait_blocked(&t));
	close(self->m[0]);
	self->m[0] = -1;
	EXPECT_EQ(answer, io_join(&t));
}

TEST_F(sticky, who_sleeps_may_have_another_once_it_ends)
{
	who_waits_may_have_another(_metadata, self, io_do_send, 0, 4000);
}

TEST_F(sticky, who_polls_may_have_another_once_it_ends)
{
	who_waits_may_have_another(_metadata, self, io_do_poll, POLLOUT, POLLOUT);
}

/* Only the first is asked. */
TEST_F(dgrams, a_sticky_one_that_is_not_the_first_changes_nothing)
{
	int i;

	close(self->m[2]);
	self->m[2] = member(SOCK_DGRAM, NYM_SHARE_STICKY);
	ASSERT_FD(self->m[2]);
	for (i = 0; i < 9; i++)
		ASSERT_EQ(10, say(self->from, i, 10));
	for (i = 0; i < MEMBERS; i++)
		EXPECT_EQ(3, forget(self->m[i]));
}

NYM_TEST_MAIN
