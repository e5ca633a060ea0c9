// SPDX-License-Identifier: GPL-2.0
/*
 * NYM_INFO and /proc/net/nym_stats: what they say after each thing that can
 * happen to a call, a connection, a datagram or a descriptor.
 */
#include "nym_test.h"

#define NAME	"t/info/srv"

static int get_info(int fd, struct nym_info *info)
{
	socklen_t len = sizeof(*info);

	memset(info, 0xff, sizeof(*info));
	return getsockopt(fd, SOL_NYM, NYM_INFO, info, &len) ||
	       len != sizeof(*info) ? -1 : 0;
}

/* A counter of /proc/net/nym_stats, or -1 if it is not there. */
static long stat_of(const char *name)
{
	char *text = nym_slurp("/proc/net/nym_stats", 1 << 16), *s;
	size_t len = strlen(name);
	long value = -1;

	for (s = text; s && *s; s = strchr(s, '\n') + 1) {
		if (!strncmp(s, name, len) && s[len] == ' ')
			value = strtol(s + len, NULL, 10);
		if (!strchr(s, '\n'))
			break;
	}
	free(text);
	return value;
}

/* Waits until a counter has a value; what it has in the end. */
static long wait_stat(const char *name, long want)
{
	long end = nym_now_ms() + NYM_PATIENCE_MS;

	while (stat_of(name) != want && nym_now_ms() < end)
		nym_nap();
	return stat_of(name);
}

/*
 * The option.
 */

FIXTURE(option) {
	int listener;
	struct nym_info info;
};

FIXTURE_SETUP(option)
{
	SKIP_WITHOUT_NYM();
	self->listener = nym_listen(NAME, 1);
	ASSERT_FD(self->listener);
}

FIXTURE_TEARDOWN(option)
{
	close(self->listener);
}

TEST_F(option, has_a_fixed_layout)
{
	EXPECT_EQ(72U, sizeof(struct nym_info));
	EXPECT_EQ(16U, offsetof(struct nym_info, accepted));
	EXPECT_EQ(56U, offsetof(struct nym_info, queued));
}

/* As much as there is room for, and no byte more. */
TEST_F(option, is_cut_to_the_buffer)
{
	static const unsigned int sizes[] = { 0, 1, 4, 12, 71, 72, 73, 200 };
	unsigned char buf[256];
	struct nym_info whole;
	size_t i, j;

	ASSERT_FD(nym_connect(NAME));
	ASSERT_OK(get_info(self->listener, &whole));
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		socklen_t len = sizes[i], want = sizes[i] < 72 ? sizes[i] : 72;

		memset(buf, 0xa5, sizeof(buf));
		ASSERT_OK(getsockopt(self->listener, SOL_NYM, NYM_INFO, buf, &len));
		EXPECT_EQ(want, len);
		EXPECT_EQ(0, memcmp(buf, &whole, want));
		for (j = want; j < sizeof(buf); j++)
			ASSERT_EQ(0xa5, buf[j]);
	}
}

TEST_F(option, errors)
{
	socklen_t len = -1;

	EXPECT_ERRNO(EINVAL, getsockopt(self->listener, SOL_NYM, NYM_INFO,
					&self->info, &len));
	len = sizeof(self->info);
	EXPECT_ERRNO(EFAULT, getsockopt(self->listener, SOL_NYM, NYM_INFO,
					(void *)1, &len));
	EXPECT_ERRNO(EFAULT, syscall(SYS_getsockopt, self->listener, SOL_NYM,
				     NYM_INFO, &self->info, 1));
	EXPECT_ERRNO(ENOPROTOOPT, setsockopt(self->listener, SOL_NYM, NYM_INFO,
					     &self->info, sizeof(self->info)));
	EXPECT_ERRNO(ENOPROTOOPT, nym_option(self->listener, NYM_INFO, 1));
	EXPECT_ERRNO(ENOPROTOOPT, getsockopt(self->listener, SOL_NYM,
					     NYM_INFO + 1, &self->info, &len));
	EXPECT_ERRNO(EOPNOTSUPP, getsockopt(self->listener, SOL_NYM + 1,
					    NYM_INFO, &self->info, &len));
}

TEST_F(option, of_a_new_socket_is_all_zero)
{
	static const struct nym_info zero;
	int type[] = { SOCK_STREAM, SOCK_SEQPACKET };
	int i;

	for (i = 0; i < 2; i++) {
		int fd = socket(AF_NYM, type[i], 0);

		ASSERT_FD(fd);
		ASSERT_OK(get_info(fd, &self->info));
		EXPECT_EQ(0, memcmp(&zero, &self->info, sizeof(zero)));
		close(fd);
	}
}

#define EXPECT_CALLS(_fd, _pending, _parked, _limit, _peak, _accepted, _refused, _dropped) do { \
	ASSERT_OK(get_info(_fd, &self->info)); \
	EXPECT_EQ((__u32)(_pending), self->info.pending); \
	EXPECT_EQ((__u32)(_parked), self->info.parked); \
	EXPECT_EQ((__u32)(_limit), self->info.limit); \
	EXPECT_EQ((__u32)(_peak), self->info.peak); \
	EXPECT_EQ((__u64)(_accepted), self->info.accepted); \
	EXPECT_EQ((__u64)(_refused), self->info.refused); \
	EXPECT_EQ((__u64)(_dropped), self->info.dropped); \
} while (0)

TEST_F(option, of_a_listener)
{
	int fd[4], i;

	EXPECT_CALLS(self->listener, 0, 0, 2, 0, 0, 0, 0);
	for (i = 0; i < 4; i++) {
		fd[i] = nym_socket_nonblock();
		ASSERT_FD(fd[i]);
		ASSERT_EQ(i < 2 ? 0 : -1, nym_call(fd[i], NAME));
	}
	EXPECT_CALLS(self->listener, 2, 2, 2, 2, 0, 0, 0);
	EXPECT_EQ(1U, self->info.members);
	/* Who gives up is not refused. */
	close(fd[3]);
	EXPECT_CALLS(self->listener, 2, 1, 2, 2, 0, 0, 0);
	ASSERT_FD(accept(self->listener, NULL, NULL));
	EXPECT_CALLS(self->listener, 2, 0, 2, 2, 1, 0, 0);
	ASSERT_OK(listen(self->listener, 0));
	ASSERT_ERRNO(EINPROGRESS, nym_call(nym_socket_nonblock(), NAME));
	ASSERT_OK(shutdown(self->listener, SHUT_RD));
	EXPECT_CALLS(self->listener, 2, 0, 1, 2, 1, 1, 0);
	EXPECT_ERRNO(ECONNREFUSED, nym_connect(NAME));
	EXPECT_CALLS(self->listener, 2, 0, 1, 2, 1, 2, 0);
}

TEST_F(option, counts_who_is_refused_before_anybody_listens)
{
	int fd = nym_bound("t/info/deaf");

	ASSERT_FD(fd);
	EXPECT_ERRNO(ECONNREFUSED, nym_connect("t/info/deaf"));
	EXPECT_CALLS(fd, 0, 0, 0, 0, 0, 1, 0);
}

/* What the one before had to turn away is not the new owner's. */
TEST_F(option, begins_anew_with_a_new_owner)
{
	int fd = nym_connect(NAME);

	ASSERT_FD(fd);
	ASSERT_OK(shutdown(self->listener, SHUT_RD));
	EXPECT_ERRNO(ECONNREFUSED, nym_connect(NAME));
	EXPECT_CALLS(self->listener, 1, 0, 2, 1, 0, 1, 0);
	ASSERT_OK(close(self->listener));
	/* The connection still has the name. */
	EXPECT_STREQ(NAME, nym_peer_name(fd));
	self->listener = nym_listen(NAME, 1);
	ASSERT_FD(self->listener);
	EXPECT_CALLS(self->listener, 0, 0, 2, 0, 0, 0, 0);
}

static int send_files(int fd, int file, int n)
{
	char control[CMSG_SPACE(8 * sizeof(int))] = "";
	struct iovec iov = { .iov_base = "x", .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
		.msg_controllen = CMSG_SPACE(n * sizeof(int)),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	int i;

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(n * sizeof(int));
	for (i = 0; i < n; i++)
		memcpy(CMSG_DATA(cmsg) + i * sizeof(int), &file, sizeof(int));
	return sendmsg(fd, &msg, 0);
}

/* A call that carries the only heir cannot be passed to it. */
TEST_F(option, counts_what_was_reset)
{
	int fd[2], client, i;

	for (i = 0; i < 2; i++) {
		fd[i] = nym_socket();
		ASSERT_FD(fd[i]);
		ASSERT_OK(nym_option(fd[i], NYM_SHARE, NYM_SHARE_ON));
		ASSERT_OK(nym_option(fd[i], NYM_PASSRIGHTS, 1));
		ASSERT_OK(nym_bind(fd[i], "t/info/circle"));
	}
	ASSERT_OK(listen(fd[0], 1));
	client = nym_connect("t/info/circle");
	ASSERT_FD(client);
	ASSERT_EQ(1, send_files(client, fd[1], 1));
	ASSERT_OK(listen(fd[1], 1));
	ASSERT_OK(close(fd[0]));
	EXPECT_EQ(ECONNRESET, nym_get_int(client, SO_ERROR));
	EXPECT_CALLS(fd[1], 0, 0, 2, 0, 0, 0, 1);
}

TEST_F(option, counts_for_each_member_and_for_the_name)
{
	int fd[2], i;

	for (i = 0; i < 2; i++) {
		fd[i] = nym_socket();
		ASSERT_FD(fd[i]);
		ASSERT_OK(nym_option(fd[i], NYM_SHARE, NYM_SHARE_ON));
		ASSERT_OK(nym_bind(fd[i], "t/info/shared"));
		ASSERT_OK(listen(fd[i], 0));
	}
	ASSERT_FD(nym_connect("t/info/shared"));
	ASSERT_FD(nym_connect("t/info/shared"));
	ASSERT_ERRNO(EINPROGRESS, nym_call(nym_socket_nonblock(), "t/info/shared"));
	for (i = 0; i < 2; i++) {
		EXPECT_CALLS(fd[i], 1, 1, 1, 1, 0, 0, 0);
		EXPECT_EQ(2U, self->info.members);
	}
	/* What moves makes the other's queue longer than it may be. */
	ASSERT_OK(close(fd[0]));
	EXPECT_CALLS(fd[1], 2, 1, 1, 2, 0, 0, 0);
	EXPECT_EQ(1U, self->info.members);
}

#define EXPECT_BYTES(_fd, _sent, _received, _queued) do { \
	ASSERT_OK(get_info(_fd, &self->info)); \
	EXPECT_EQ((__u64)(_sent), self->info.bytes_sent); \
	EXPECT_EQ((__u64)(_received), self->info.bytes_received); \
	EXPECT_EQ((__u32)(_queued), self->info.queued); \
} while (0)

TEST_F(option, of_a_stream)
{
	static char data[30000];
	int fd[2];

	ASSERT_OK(nym_connection(self->listener, NAME, fd));
	EXPECT_BYTES(fd[0], 0, 0, 0);
	ASSERT_OK(nym_set_int(fd[0], SO_SNDBUF, 50000));
	ASSERT_EQ(30000, send(fd[0], data, 30000, 0));
	ASSERT_EQ(100, send(fd[1], data, 100, 0));
	EXPECT_BYTES(fd[0], 30000, 0, 100);
	EXPECT_EQ(0U, self->info.members);
	ASSERT_EQ(10, recv(fd[1], data, 10, MSG_PEEK));
	EXPECT_BYTES(fd[1], 100, 0, 30000);
	EXPECT_EQ(nym_get_int(fd[0], SO_SNDBUF), (int)self->info.queue_limit);
	EXPECT_EQ(1U, self->info.members);
	EXPECT_EQ(0U, self->info.limit);
	ASSERT_EQ(20000, recv(fd[1], data, 20000, 0));
	EXPECT_BYTES(fd[1], 100, 20000, 10000);
	close(fd[0]);
	ASSERT_EQ(10000, recv(fd[1], data, 20000, 0));
	EXPECT_BYTES(fd[1], 100, 30000, 0);
	EXPECT_EQ(0U, self->info.queue_limit);
}

TEST_F(option, of_a_stream_that_is_still_pending)
{
	int fd = nym_connect(NAME);

	ASSERT_FD(fd);
	ASSERT_EQ(5, send(fd, "hello", 5, 0));
	EXPECT_BYTES(fd, 5, 0, 0);
	EXPECT_EQ(0U, self->info.queue_limit);
}

TEST_F(option, of_a_stream_counts_no_byte_that_faulted)
{
	int pair[2];

	ASSERT_OK(nym_pair(pair));
	EXPECT_ERRNO(EFAULT, send(pair[0], (void *)8, 100, 0));
	EXPECT_BYTES(pair[0], 0, 0, 0);
	ASSERT_EQ(3, send(pair[0], "abc", 3, 0));
	EXPECT_ERRNO(EFAULT, recv(pair[1], (void *)8, 3, 0));
	EXPECT_BYTES(pair[1], 0, 0, 3);
}

/* Headers are in the queue, but are not sent or received. */
TEST_F(option, of_records)
{
	char data[16];
	int pair[2];

	ASSERT_OK(socketpair(AF_NYM, SOCK_SEQPACKET, 0, pair));
	ASSERT_EQ(10, send(pair[0], data, 10, 0));
	ASSERT_EQ(0, send(pair[0], data, 0, 0));
	EXPECT_BYTES(pair[0], 10, 0, 0);
	EXPECT_BYTES(pair[1], 0, 0, 26);
	ASSERT_EQ(4, recv(pair[1], data, 4, 0));
	EXPECT_BYTES(pair[1], 0, 10, 8);
}

TEST_F(option, of_datagrams)
{
	int to = socket(AF_NYM, SOCK_DGRAM, 0), from = socket(AF_NYM, SOCK_DGRAM, 0);
	struct sockaddr_nym sa;
	socklen_t len = nym_addr(&sa, "t/info/dgram");
	char data[64];

	ASSERT_FD(to);
	ASSERT_FD(from);
	ASSERT_OK(nym_bind(to, "t/info/dgram"));
	ASSERT_EQ(20, sendto(from, data, 20, 0, (void *)&sa, len));
	ASSERT_EQ(30, sendto(from, data, 30, 0, (void *)&sa, len));
	ASSERT_OK(get_info(from, &self->info));
	EXPECT_EQ(50U, self->info.bytes_sent);
	EXPECT_EQ(0U, self->info.datagrams);
	ASSERT_OK(get_info(to, &self->info));
	EXPECT_EQ(2U, self->info.datagrams);
	EXPECT_LE(50U, self->info.queued);
	EXPECT_EQ(nym_get_int(to, SO_RCVBUF), (int)self->info.queue_limit);
	EXPECT_EQ(1U, self->info.members);
	EXPECT_EQ(0U, self->info.limit);
	ASSERT_EQ(20, recv(to, data, 64, 0));
	ASSERT_OK(get_info(to, &self->info));
	EXPECT_EQ(1U, self->info.datagrams);
	EXPECT_EQ(20U, self->info.bytes_received);
}

/* Who changes its peer throws away what the old one has sent. */
TEST_F(option, of_datagrams_thrown_away)
{
	struct sockaddr sa = { .sa_family = AF_UNSPEC };
	int pair[2];

	ASSERT_OK(socketpair(AF_NYM, SOCK_DGRAM, 0, pair));
	ASSERT_EQ(1, send(pair[0], "a", 1, 0));
	ASSERT_EQ(1, send(pair[0], "b", 1, 0));
	ASSERT_OK(connect(pair[1], &sa, sizeof(sa)));
	ASSERT_OK(get_info(pair[1], &self->info));
	EXPECT_EQ(2U, self->info.dropped);
	EXPECT_EQ(0U, self->info.datagrams);
	EXPECT_EQ(0U, self->info.queued);
	EXPECT_EQ(0U, self->info.bytes_received);
}

/*
 * The counters, in a namespace of their own.
 */

FIXTURE(stats) { };

FIXTURE_SETUP(stats)
{
	SKIP_WITHOUT_NYM();
	if (unshare(CLONE_NEWNET))
		SKIP(return, "no network namespaces here");
}

FIXTURE_TEARDOWN(stats)
{
}

static const char stats_of_nothing[] =
	"sockets 0\nnames 0\nusers 0\nbinds 0\nlistens 0\nconnects 0\n"
	"parked 0\naccepts 0\nrefused 0\nwithdrawn 0\nmigrated 0\norphaned 0\n"
	"reset 0\nlinger_started 0\nlinger_expired 0\ndatagrams_sent 0\n"
	"datagrams_received 0\ndatagrams_dropped 0\nfiles_sent 0\n"
	"files_received 0\nfiles_dropped 0\n";

TEST_F(stats, begin_at_zero_in_each_namespace)
{
	char *text = nym_slurp("/proc/net/nym_stats", 4096);
	struct stat st;

	ASSERT_NE(NULL, text);
	EXPECT_STREQ(stats_of_nothing, text);
	free(text);
	ASSERT_OK(stat("/proc/net/nym_stats", &st));
	EXPECT_EQ(0444U, st.st_mode & 07777);
	ASSERT_FD(nym_listen(NAME, 1));
	ASSERT_FD(nym_connect(NAME));
	ASSERT_OK(unshare(CLONE_NEWNET));
	text = nym_slurp("/proc/net/nym_stats", 4096);
	ASSERT_NE(NULL, text);
	EXPECT_STREQ(stats_of_nothing, text);
	free(text);
}

TEST_F(stats, of_calls)
{
	int listener = nym_listen(NAME, 0), parked;

	ASSERT_FD(listener);
	EXPECT_EQ(1, stat_of("sockets"));
	EXPECT_EQ(1, stat_of("names"));
	EXPECT_EQ(1, stat_of("users"));
	EXPECT_EQ(1, stat_of("binds"));
	EXPECT_EQ(1, stat_of("listens"));
	ASSERT_FD(nym_connect(NAME));
	EXPECT_EQ(1, stat_of("connects"));
	EXPECT_EQ(0, stat_of("parked"));
	parked = nym_socket_nonblock();
	ASSERT_ERRNO(EINPROGRESS, nym_call(parked, NAME));
	EXPECT_EQ(2, stat_of("connects"));
	EXPECT_EQ(1, stat_of("parked"));
	close(parked);
	EXPECT_EQ(1, stat_of("withdrawn"));
	ASSERT_FD(accept(listener, NULL, NULL));
	EXPECT_EQ(1, stat_of("accepts"));
	EXPECT_ERRNO(ECONNREFUSED, nym_connect("t/info/nobody"));
	EXPECT_EQ(1, stat_of("refused"));
	ASSERT_FD(nym_connect(NAME));
	ASSERT_ERRNO(EINPROGRESS, nym_call(nym_socket_nonblock(), NAME));
	close(listener);
	EXPECT_EQ(1, stat_of("reset"));
	EXPECT_EQ(2, stat_of("refused"));
	EXPECT_EQ(0, stat_of("names"));
	nym_close_all();
	EXPECT_EQ(0, stat_of("sockets"));
	EXPECT_EQ(1, stat_of("binds"));
}

TEST_F(stats, of_calls_that_move)
{
	int fd[2], i;

	for (i = 0; i < 2; i++) {
		fd[i] = nym_socket();
		ASSERT_FD(fd[i]);
		ASSERT_OK(nym_option(fd[i], NYM_SHARE, NYM_SHARE_ON));
		ASSERT_OK(nym_bind(fd[i], NAME));
		ASSERT_OK(listen(fd[i], 3));
	}
	EXPECT_EQ(1, stat_of("names"));
	ASSERT_FD(nym_connect(NAME));
	ASSERT_FD(nym_connect(NAME));
	close(fd[0]);
	EXPECT_EQ(1, stat_of("migrated"));
	ASSERT_OK(nym_option(fd[1], NYM_LINGER, 3600000));
	close(fd[1]);
	EXPECT_EQ(2, stat_of("orphaned"));
	EXPECT_EQ(1, stat_of("linger_started"));
	EXPECT_EQ(1, stat_of("names"));
	fd[0] = nym_listen(NAME, 3);
	ASSERT_FD(fd[0]);
	EXPECT_EQ(3, stat_of("migrated"));
	ASSERT_OK(nym_option(fd[0], NYM_LINGER, 20));
	close(fd[0]);
	EXPECT_EQ(2, stat_of("linger_started"));
	EXPECT_EQ(1, wait_stat("linger_expired", 1));
	EXPECT_EQ(2, wait_stat("reset", 2));
}

TEST_F(stats, of_datagrams)
{
	char byte;
	int pair[2];

	ASSERT_OK(socketpair(AF_NYM, SOCK_DGRAM, 0, pair));
	ASSERT_EQ(1, send(pair[0], "a", 1, 0));
	ASSERT_EQ(1, send(pair[0], "b", 1, 0));
	EXPECT_EQ(2, stat_of("datagrams_sent"));
	ASSERT_EQ(1, recv(pair[1], &byte, 1, MSG_PEEK));
	EXPECT_EQ(0, stat_of("datagrams_received"));
	ASSERT_EQ(1, recv(pair[1], &byte, 1, 0));
	EXPECT_EQ(1, stat_of("datagrams_received"));
	close(pair[1]);
	EXPECT_EQ(1, stat_of("datagrams_dropped"));
}

static int recv_files(int fd, int room)
{
	char control[CMSG_SPACE(8 * sizeof(int))], byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
		.msg_controllen = CMSG_LEN(room * sizeof(int)),
	};

	return recvmsg(fd, &msg, 0);
}

TEST_F(stats, of_files)
{
	static const int type[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
	int pair[2], i;

	for (i = 0; i < 3; i++) {
		ASSERT_OK(unshare(CLONE_NEWNET));
		ASSERT_OK(socketpair(AF_NYM, type[i], 0, pair));
		ASSERT_ERRNO(EPERM, send_files(pair[0], 0, 3));
		EXPECT_EQ(0, stat_of("files_sent"));
		EXPECT_EQ(0, stat_of("files_dropped"));
		ASSERT_OK(nym_option(pair[1], NYM_PASSRIGHTS, 1));
		ASSERT_EQ(1, send_files(pair[0], 0, 3));
		EXPECT_EQ(3, stat_of("files_sent"));
		ASSERT_EQ(1, recv_files(pair[1], 8));
		EXPECT_EQ(3, stat_of("files_received"));
		ASSERT_EQ(1, send_files(pair[0], 0, 3));
		ASSERT_EQ(1, recv_files(pair[1], 1));
		EXPECT_EQ(4, stat_of("files_received"));
		EXPECT_EQ(2, stat_of("files_dropped"));
		ASSERT_EQ(1, send_files(pair[0], 0, 5));
		close(pair[1]);
		EXPECT_EQ(11, stat_of("files_sent"));
		EXPECT_EQ(7, stat_of("files_dropped"));
		close(pair[0]);
	}
}

NYM_TEST_MAIN
