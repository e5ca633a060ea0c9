// SPDX-License-Identifier: GPL-2.0
/*
 * Options and ioctls of nym sockets, and socket() itself. Most is what the
 * kernel's core does for every family, so AF_UNIX sockets in the same state
 * are asked the same at run time: the answers must be equal.
 */
#include "nym_test.h"

#include <sys/mman.h>

#define NAME		"t/sockopt/srv"
#define LAST_OPTION	100

/* No user memory is ever here. */
static void *const bad_pointer = (void *)8;

/*
 * Making sockets.
 */

FIXTURE(create) { };

FIXTURE_SETUP(create)
{
	SKIP_WITHOUT_NYM();
}

FIXTURE_TEARDOWN(create)
{
}

/* The errno (0 for success) of socket(), which must be socketpair()'s, too. */
static int create(struct __test_metadata *_metadata, int type, int protocol)
{
	int fd = socket(AF_NYM, type, protocol), pair[2], err;

	err = fd < 0 ? errno : 0;
	close(fd);
	if (!socketpair(AF_NYM, type, protocol, pair)) {
		EXPECT_SAME_ERRNO(err, 0);
		close(pair[0]);
		close(pair[1]);
	} else {
		EXPECT_SAME_ERRNO(err, errno);
	}
	return err;
}

TEST_F(create, types_that_are_not_supported)
{
	static const int types[] = {
		0, SOCK_RDM, SOCK_DCCP, SOCK_PACKET,
	};
	size_t i;

	EXPECT_SAME_ERRNO(0, create(_metadata, SOCK_STREAM, 0));
	for (i = 0; i < ARRAY_SIZE(types); i++)
		EXPECT_SAME_ERRNO(ESOCKTNOSUPPORT,
				  create(_metadata, types[i], 0));
}

TEST_F(create, raw_is_dgram)
{
	static const int types[] = { SOCK_DGRAM, SOCK_RAW };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		int fd = socket(AF_NYM, types[i] | SOCK_CLOEXEC, 0), type = 0;
		socklen_t len = sizeof(type);

		ASSERT_FD(fd);
		EXPECT_OK(getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len));
		EXPECT_EQ(SOCK_DGRAM, type);
		close(fd);
	}
}

TEST_F(create, types_that_do_not_exist)
{
	EXPECT_SAME_ERRNO(EINVAL, create(_metadata, 11, 0));
	EXPECT_SAME_ERRNO(EINVAL, create(_metadata, -1, 0));
	EXPECT_SAME_ERRNO(EINVAL, create(_metadata, SOCK_STREAM | 0x10, 0));
	EXPECT_SAME_ERRNO(EINVAL, create(_metadata, SOCK_STREAM | 1 << 30, 0));
}

TEST_F(create, protocol_is_zero_or_the_family)
{
	EXPECT_SAME_ERRNO(0, create(_metadata, SOCK_STREAM, AF_NYM));
	EXPECT_SAME_ERRNO(EPROTONOSUPPORT, create(_metadata, SOCK_STREAM, 1));
	EXPECT_SAME_ERRNO(EPROTONOSUPPORT, create(_metadata, SOCK_STREAM, 17));
	EXPECT_SAME_ERRNO(EPROTONOSUPPORT, create(_metadata, SOCK_STREAM, 255));
	EXPECT_SAME_ERRNO(EPROTONOSUPPORT, create(_metadata, SOCK_STREAM, -1));
	/* As with AF_UNIX the protocol is judged before the type. */
	EXPECT_SAME_ERRNO(EPROTONOSUPPORT, create(_metadata, SOCK_RAW, 1));
}

TEST_F(create, flags)
{
	int fd = socket(AF_NYM, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int pair[2];

	ASSERT_FD(fd);
	EXPECT_EQ(O_RDWR | O_NONBLOCK, fcntl(fd, F_GETFL) & ~O_LARGEFILE);
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
	fd = socket(AF_NYM, SOCK_STREAM, 0);
	ASSERT_FD(fd);
	EXPECT_EQ(O_RDWR, fcntl(fd, F_GETFL) & ~O_LARGEFILE);
	EXPECT_EQ(0, fcntl(fd, F_GETFD));
	ASSERT_OK(socketpair(AF_NYM, SOCK_STREAM | SOCK_NONBLOCK, 0, pair));
	EXPECT_TRUE(fcntl(pair[0], F_GETFL) & O_NONBLOCK);
	EXPECT_TRUE(fcntl(pair[1], F_GETFL) & O_NONBLOCK);
}

TEST_F(create, identity)
{
	int fd[2], listener, i;

	listener = nym_listen(NAME, 1);
	ASSERT_FD(listener);
	ASSERT_OK(nym_connection(listener, NAME, fd));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(AF_NYM, nym_get_int(fd[i], SO_DOMAIN));
		EXPECT_EQ(SOCK_STREAM, nym_get_int(fd[i], SO_TYPE));
		EXPECT_EQ(0, nym_get_int(fd[i], SO_PROTOCOL));
		EXPECT_EQ(0, nym_get_int(fd[i], SO_ACCEPTCONN));
	}
	EXPECT_EQ(AF_NYM, nym_get_int(listener, SO_DOMAIN));
	EXPECT_EQ(SOCK_STREAM, nym_get_int(listener, SO_TYPE));
	EXPECT_EQ(1, nym_get_int(listener, SO_ACCEPTCONN));
	listener = nym_bound("t/sockopt/bound");
	EXPECT_EQ(0, nym_get_int(listener, SO_ACCEPTCONN));
}

/*
 * The same question to both families. Variants are the states of a socket.
 */

enum state { FRESH, BOUND, LISTENING, CONNECTED, PEER_CLOSED };

FIXTURE(same) {
	int nym;
	int un;
	int nym_peer;
	int un_peer;
};

FIXTURE_VARIANT(same) {
	enum state state;
};

FIXTURE_VARIANT_ADD(same, fresh) {
	.state = FRESH,
};

FIXTURE_VARIANT_ADD(same, bound) {
	.state = BOUND,
};

FIXTURE_VARIANT_ADD(same, listening) {
	.state = LISTENING,
};

FIXTURE_VARIANT_ADD(same, connected) {
	.state = CONNECTED,
};

FIXTURE_VARIANT_ADD(same, peer_closed) {
	.state = PEER_CLOSED,
};

/* A socket in @state; its peer, if it has one, in @peer. */
static int in_state(int family, enum state state, int *peer)
{
	/* Family alone: both choose a name. */
	struct sockaddr sa = { .sa_family = family };
	int fd[2];

	*peer = -1;
	if (state >= CONNECTED) {
		if (socketpair(family, SOCK_STREAM, 0, fd))
			return -1;
		if (state == PEER_CLOSED)
			close(fd[1]);
		else
			*peer = fd[1];
		return fd[0];
	}
	fd[0] = socket(family, SOCK_STREAM, 0);
	if (state >= BOUND && bind(fd[0], &sa, sizeof(sa.sa_family)))
		return nym_give_up(fd[0]);
	if (state >= LISTENING && listen(fd[0], 1))
		return nym_give_up(fd[0]);
	return fd[0];
}

FIXTURE_SETUP(same)
{
	SKIP_WITHOUT_NYM();
	self->nym = in_state(AF_NYM, variant->state, &self->nym_peer);
	ASSERT_FD(self->nym);
	self->un = in_state(AF_UNIX, variant->state, &self->un_peer);
	ASSERT_FD(self->un);
}

FIXTURE_TEARDOWN(same)
{
	close(self->nym);
	close(self->un);
	close(self->nym_peer);
	close(self->un_peer);
}

/* An answer of getsockopt(), setsockopt() or ioctl(). */
struct answer {
	int ret;
	int err;
	socklen_t len;
	unsigned char value[64];
};

static struct answer ask(int fd, int level, int opt, int len, void *buf)
{
	struct answer a = { .len = len };

	memset(a.value, 0x55, sizeof(a.value));
	a.ret = getsockopt(fd, level, opt, buf ? buf : a.value, &a.len);
	a.err = a.ret ? errno : 0;
	return a;
}

static struct answer tell(int fd, int level, int opt, int len, const void *buf)
{
	struct answer a = { };

	a.ret = setsockopt(fd, level, opt, buf, len);
	a.err = a.ret ? errno : 0;
	return a;
}

static void expect_same(struct __test_metadata *_metadata, struct answer un,
			struct answer nym, const char *what, int level, int opt,
			int len)
{
	EXPECT_SAME_ERRNO(un.err, nym.err) {
		TH_LOG("%s level %d option %d length %d", what, level, opt, len);
	}
	EXPECT_EQ(un.len, nym.len) {
		TH_LOG("%s level %d option %d length %d", what, level, opt, len);
	}
	EXPECT_EQ(0, memcmp(un.value, nym.value, sizeof(un.value))) {
		TH_LOG("%s level %d option %d length %d: %d and %d", what,
		       level, opt, len, *(int *)un.value, *(int *)nym.value);
	}
}

/*
 * Options that the core, or a security module, has for the families that it
 * knows. Since 6.16 it refuses the first ones to others; before, they were there
 * and had no effect, or were not there at all.
 */
static const struct {
	int opt;
	int err;
} of_families[] = {
	{ SO_PASSCRED, EOPNOTSUPP },
	{ SO_PASSSEC, EOPNOTSUPP },
	{ 76, EOPNOTSUPP },		/* SO_PASSPIDFD */
	{ 83, EOPNOTSUPP },		/* SO_PASSRIGHTS */
	{ 84, ENOPROTOOPT },		/* SO_INQ */
	{ 85, ENOPROTOOPT },		/* SO_RIGHTS_NOTRUNC */
	{ SO_PEERSEC, ENOPROTOOPT },
};

static bool is_of_families(int opt)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(of_families); i++) {
		if (of_families[i].opt == opt)
			return nym_kernel() >= 616;
	}
	return false;
}

/* Options whose answer differs on purpose, each tested by itself below. */
static bool differs(int opt)
{
	return is_of_families(opt) || opt == SO_DOMAIN ||
	       opt == SO_COOKIE ||	/* a different number for each socket */
	       opt == SO_PEERNAME ||	/* every nym peer has a name */
	       opt == SO_PEEK_OFF ||	/* not supported */
	       opt == 77;		/* SO_PEERPIDFD: a new descriptor */
}

static const int lengths[] = { 0, 1, 3, 4, 5, 8, 12, 16, 64, -1, INT_MIN };
static const int levels[] = {
	0 /* IP */, 6 /* TCP */, 41 /* IPv6 */, 270 /* netlink */, -1,
};

TEST_F(same, getsockopt_of_the_core)
{
	size_t i;
	int opt;

	for (opt = 0; opt <= LAST_OPTION; opt++) {
		for (i = 0; i < ARRAY_SIZE(lengths) && !differs(opt); i++)
			expect_same(_metadata,
				    ask(self->un, SOL_SOCKET, opt, lengths[i], NULL),
				    ask(self->nym, SOL_SOCKET, opt, lengths[i], NULL),
				    "get", SOL_SOCKET, opt, lengths[i]);
	}
}

TEST_F(same, options_of_families)
{
	int value = 0;
	size_t i;

	if (nym_kernel() < 616)
		SKIP(return, "the core has them for all families");
	for (i = 0; i < ARRAY_SIZE(of_families); i++) {
		socklen_t len = sizeof(value);

		EXPECT_ERRNO(of_families[i].err,
			     getsockopt(self->nym, SOL_SOCKET, of_families[i].opt, &value, &len));
		EXPECT_ERRNO(of_families[i].err,
			     setsockopt(self->nym, SOL_SOCKET, of_families[i].opt, &value,
					sizeof(value)));
	}
}

TEST_F(same, getsockopt_into_bad_memory)
{
	int opt;

	for (opt = 0; opt <= LAST_OPTION; opt++) {
		if (differs(opt))
			continue;
		expect_same(_metadata,
			    ask(self->un, SOL_SOCKET, opt, 4, bad_pointer),
			    ask(self->nym, SOL_SOCKET, opt, 4, bad_pointer),
			    "get (bad memory)", SOL_SOCKET, opt, 4);
	}
	EXPECT_ERRNO(EFAULT, getsockopt(self->nym, SOL_SOCKET, SO_TYPE, &opt,
					bad_pointer));
	EXPECT_ERRNO(EFAULT, getsockopt(self->nym, SOL_SOCKET, SO_TYPE, &opt,
					NULL));
}

TEST_F(same, other_levels)
{
	static const int one = 1;
	size_t i, j;
	int opt;

	for (i = 0; i < ARRAY_SIZE(levels); i++) {
		for (opt = -1; opt < 20; opt++) {
			EXPECT_ERRNO(EOPNOTSUPP, setsockopt(self->nym, levels[i],
							    opt, &one, 4));
			for (j = 0; j < ARRAY_SIZE(lengths); j++) {
				int len = lengths[j];

				expect_same(_metadata,
					    ask(self->un, levels[i], opt, len, NULL),
					    ask(self->nym, levels[i], opt, len, NULL),
					    "get", levels[i], opt, len);
				expect_same(_metadata,
					    tell(self->un, levels[i], opt, len, &one),
					    tell(self->nym, levels[i], opt, len, &one),
					    "set", levels[i], opt, len);
			}
		}
	}
}

/* All options, too short, right, and too long; then what became of them. */
TEST_F(same, setsockopt_of_the_core)
{
	static const int values[16] = { 1 };
	size_t i;
	int opt;

	for (opt = 0; opt <= LAST_OPTION; opt++) {
		/* Would fail the others for the rest of the test. */
		if (opt == SO_LOCK_FILTER || differs(opt))
			continue;
		for (i = 0; i < ARRAY_SIZE(lengths); i++)
			expect_same(_metadata,
				    tell(self->un, SOL_SOCKET, opt, lengths[i], values),
				    tell(self->nym, SOL_SOCKET, opt, lengths[i], values),
				    "set", SOL_SOCKET, opt, lengths[i]);
		expect_same(_metadata,
			    tell(self->un, SOL_SOCKET, opt, 16, bad_pointer),
			    tell(self->nym, SOL_SOCKET, opt, 16, bad_pointer),
			    "set (bad memory)", SOL_SOCKET, opt, 16);
		expect_same(_metadata, tell(self->un, SOL_SOCKET, opt, 4, NULL),
			    tell(self->nym, SOL_SOCKET, opt, 4, NULL),
			    "set (NULL)", SOL_SOCKET, opt, 4);
		expect_same(_metadata, ask(self->un, SOL_SOCKET, opt, 16, NULL),
			    ask(self->nym, SOL_SOCKET, opt, 16, NULL),
			    "get after set", SOL_SOCKET, opt, 16);
	}
}

TEST_F(same, timeouts)
{
	static const struct timeval values[] = {
		{ 0, 0 }, { 0, 1 }, { 1, 500000 }, { 100000, 999999 },
		{ 0, 1000000 }, { 0, -1 }, { LONG_MAX, 0 },
	};
	static const int opts[] = { SO_RCVTIMEO, SO_SNDTIMEO };
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(opts); i++) {
		for (j = 0; j < ARRAY_SIZE(values); j++) {
			expect_same(_metadata,
				    tell(self->un, SOL_SOCKET, opts[i],
					 sizeof(values[j]), &values[j]),
				    tell(self->nym, SOL_SOCKET, opts[i],
					 sizeof(values[j]), &values[j]),
				    "set", SOL_SOCKET, opts[i], j);
			expect_same(_metadata,
				    ask(self->un, SOL_SOCKET, opts[i], 16, NULL),
				    ask(self->nym, SOL_SOCKET, opts[i], 16, NULL),
				    "get", SOL_SOCKET, opts[i], j);
		}
	}
}

TEST_F(same, sizes_and_low_water_marks)
{
	static const int opts[] = {
		SO_SNDBUF, SO_RCVBUF, SO_RCVLOWAT, SO_SNDLOWAT,
		SO_SNDBUFFORCE, SO_RCVBUFFORCE,
	};
	static const int values[] = {
		0, 1, -1, 4096, 65536, 1 << 20, INT_MAX, INT_MIN,
	};
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(opts); i++) {
		for (j = 0; j < ARRAY_SIZE(values); j++) {
			expect_same(_metadata,
				    tell(self->un, SOL_SOCKET, opts[i], 4, &values[j]),
				    tell(self->nym, SOL_SOCKET, opts[i], 4, &values[j]),
				    "set", SOL_SOCKET, opts[i], values[j]);
			expect_same(_metadata,
				    ask(self->un, SOL_SOCKET, opts[i], 4, NULL),
				    ask(self->nym, SOL_SOCKET, opts[i], 4, NULL),
				    "get", SOL_SOCKET, opts[i], values[j]);
		}
	}
}

TEST_F(same, peek_offset_is_not_supported)
{
	int value = 0;
	socklen_t len = sizeof(value);

	EXPECT_ERRNO(EOPNOTSUPP, setsockopt(self->nym, SOL_SOCKET, SO_PEEK_OFF,
					    &value, len));
	EXPECT_ERRNO(EOPNOTSUPP, getsockopt(self->nym, SOL_SOCKET, SO_PEEK_OFF,
					    &value, &len));
}

/* A descriptor or the same errno, as this kernel knows the option or not. */
TEST_F(same, peer_pidfd)
{
	struct answer un = ask(self->un, SOL_SOCKET, 77, 4, NULL);
	struct answer nym = ask(self->nym, SOL_SOCKET, 77, 4, NULL);

	EXPECT_SAME_ERRNO(un.err, nym.err);
	EXPECT_EQ(un.len, nym.len);
	if (!un.ret) {
		EXPECT_OK(close(*(int *)un.value));
		EXPECT_OK(close(*(int *)nym.value));
	}
}

static struct answer control(int fd, unsigned long cmd, void *arg)
{
	struct answer a = { };

	memset(a.value, 0x55, sizeof(a.value));
	a.ret = ioctl(fd, cmd, arg ? arg : a.value);
	a.err = a.ret ? errno : 0;
	return a;
}

TEST_F(same, ioctls)
{
	static const unsigned long cmds[] = {
		FIONREAD, SIOCINQ, SIOCOUTQ, SIOCGPGRP, FIOGETOWN, TCGETS,
		SIOCGSTAMP_OLD, SIOCGSTAMPNS_OLD, 0, 0x1234, 0x8999,
		0xdeadbeef, _IOR('n', 1, int), FIOQSIZE, SIOCGIFCONF,
		SIOCADDRT, SIOCDARP, SIOCPROTOPRIVATE + 5,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cmds); i++) {
		expect_same(_metadata, control(self->un, cmds[i], NULL),
			    control(self->nym, cmds[i], NULL), "ioctl", 0,
			    cmds[i], 0);
		expect_same(_metadata, control(self->un, cmds[i], bad_pointer),
			    control(self->nym, cmds[i], bad_pointer),
			    "ioctl (bad memory)", 0, cmds[i], 0);
	}
}

/* What only AF_UNIX has: the urgent mark, and the file behind a socket. */
TEST_F(same, ioctls_of_af_unix)
{
	int value;

	EXPECT_ERRNO(ENOTTY, ioctl(self->nym, SIOCATMARK, &value));
	EXPECT_ERRNO(ENOTTY, ioctl(self->nym, SIOCPROTOPRIVATE, &value));
}

/*
 * What an option does to a connection.
 */

FIXTURE(effect) {
	int listener;
	int client;
	int server;
};

FIXTURE_SETUP(effect)
{
	int fd[2];

	SKIP_WITHOUT_NYM();
	self->listener = nym_listen(NAME, 5);
	ASSERT_FD(self->listener);
	ASSERT_OK(fchmod(self->listener, 0777));
	ASSERT_OK(nym_connection(self->listener, NAME, fd));
	self->client = fd[0];
	self->server = fd[1];
}

FIXTURE_TEARDOWN(effect)
{
	close(self->listener);
	close(self->client);
	close(self->server);
}

static char data[1 << 20];

/* How many bytes fit without waiting. */
static long fill(int fd)
{
	long total = 0, n;

	while ((n = send(fd, data, sizeof(data), MSG_DONTWAIT)) > 0)
		total += n;
	return errno == EAGAIN ? total : -1;
}

static int queued(int fd, unsigned long cmd)
{
	int amount = -1;

	return ioctl(fd, cmd, &amount) ? -1 : amount;
}

TEST_F(effect, sndbuf_limits_the_sender_exactly)
{
	int size;

	/* Neither the peer's buffers count nor the own receive buffer. */
	ASSERT_OK(nym_set_int(self->server, SO_SNDBUF, 1 << 18));
	ASSERT_OK(nym_set_int(self->server, SO_RCVBUF, 4096));
	ASSERT_OK(nym_set_int(self->client, SO_RCVBUF, 4096));
	for (size = 4096; size <= 65536; size *= 2) {
		ASSERT_OK(nym_set_int(self->client, SO_SNDBUF, size));
		ASSERT_EQ(2 * size, nym_get_int(self->client, SO_SNDBUF));
		/* What is there already counts. */
		EXPECT_EQ(size == 4096 ? 2 * size : size, fill(self->client));
		EXPECT_EQ(2 * size, queued(self->client, SIOCOUTQ));
		EXPECT_EQ(2 * size, queued(self->server, SIOCINQ));
	}
}

TEST_F(effect, sndbuf_by_default)
{
	EXPECT_EQ(nym_get_int(self->client, SO_SNDBUF), fill(self->client));
	EXPECT_EQ(nym_get_int(self->server, SO_SNDBUF), fill(self->server));
}

TEST_F(effect, sndbuf_below_what_is_queued)
{
	int size = 65536, left;

	ASSERT_OK(nym_set_int(self->client, SO_SNDBUF, size));
	ASSERT_EQ(2 * size, fill(self->client));
	ASSERT_OK(nym_set_int(self->client, SO_SNDBUF, size / 4));
	EXPECT_EQ(0, fill(self->client));
	/* Nothing is lost, and there is room only below the new limit. */
	left = 2 * size - size / 2 + 100;
	ASSERT_EQ(left, recv(self->server, data, left, MSG_WAITALL));
	EXPECT_EQ(100, fill(self->client));
	EXPECT_EQ(size / 2, queued(self->server, SIOCINQ));
}

TEST_F(effect, sndbuf_set_before_connect)
{
	int fd = nym_socket();

	ASSERT_FD(fd);
	ASSERT_OK(nym_set_int(fd, SO_SNDBUF, 4096));
	ASSERT_OK(nym_call(fd, NAME));
	/* Also while nobody has accepted. */
	EXPECT_EQ(8192, fill(fd));
	EXPECT_EQ(8192, queued(fd, SIOCOUTQ));
}

/* An accepted socket has the default, not what was set on the listener. */
TEST_F(effect, sndbuf_of_the_listener_is_not_inherited)
{
	int fd[2], size = nym_get_int(self->server, SO_SNDBUF);

	ASSERT_OK(nym_set_int(self->listener, SO_SNDBUF, 4096));
	ASSERT_OK(nym_connection(self->listener, NAME, fd));
	EXPECT_EQ(size, nym_get_int(fd[1], SO_SNDBUF));
}

TEST_F(effect, queue_sizes)
{
	EXPECT_EQ(0, queued(self->server, FIONREAD));
	EXPECT_EQ(0, queued(self->client, SIOCOUTQ));
	ASSERT_EQ(1000, send(self->client, data, 1000, 0));
	EXPECT_EQ(1000, queued(self->server, FIONREAD));
	EXPECT_EQ(1000, queued(self->client, SIOCOUTQ));
	EXPECT_EQ(0, queued(self->client, FIONREAD));
	EXPECT_EQ(0, queued(self->server, SIOCOUTQ));
	ASSERT_EQ(1, recv(self->server, data, 1, 0));
	EXPECT_EQ(999, queued(self->server, FIONREAD));
	EXPECT_EQ(999, queued(self->client, SIOCOUTQ));
	ASSERT_EQ(1000, recv(self->server, data, 1000, MSG_PEEK) + 1);
	EXPECT_EQ(999, queued(self->server, FIONREAD));
	ASSERT_EQ(999, recv(self->server, data, 1000, 0));
	EXPECT_EQ(0, queued(self->server, FIONREAD));
	EXPECT_EQ(0, queued(self->client, SIOCOUTQ));
}

TEST_F(effect, queue_sizes_of_a_pending_connection)
{
	int fd = nym_connect(NAME);

	ASSERT_FD(fd);
	ASSERT_EQ(7, send(fd, data, 7, 0));
	EXPECT_EQ(7, queued(fd, SIOCOUTQ));
	EXPECT_ERRNO(EINVAL, ioctl(self->listener, SIOCINQ, data));
	EXPECT_EQ(0, queued(self->listener, SIOCOUTQ));
}

#ifdef __x86_64__
/* ioctl() as a 32-bit program calls it. */
static long ioctl_32(int fd, unsigned int cmd, unsigned int arg)
{
	long ret = 54;

	asm volatile("int $0x80" : "+a"(ret) : "b"(fd), "c"(cmd), "d"(arg)
		     : "memory", "r8", "r9", "r10", "r11");
	return ret;
}

/* Who calls so where the kernel does not know it is killed. */
static bool knows_32_bit_calls(void)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		struct rlimit none = { 0, 0 };

		setrlimit(RLIMIT_CORE, &none);
		ioctl_32(-1, 0, 0);
		_exit(0);
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status);
}

TEST_F(effect, queue_sizes_for_a_32_bit_program)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
	unsigned int value, i;
	int *amount, pair[2];

	if (!knows_32_bit_calls())
		SKIP(return, "this kernel runs no 32-bit programs");
	amount = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	ASSERT_NE(MAP_FAILED, amount);
	value = (unsigned long)amount;
	for (i = 0; i < ARRAY_SIZE(types); i++) {
		ASSERT_OK(socketpair(AF_NYM, types[i], 0, pair));
		ASSERT_EQ(7, send(pair[0], data, 7, 0));
		EXPECT_EQ(0, ioctl_32(pair[1], FIONREAD, value));
		EXPECT_EQ(7, *amount);
		EXPECT_EQ(0, ioctl_32(pair[0], SIOCOUTQ, value));
		EXPECT_LE(7, *amount);
		EXPECT_EQ(-EFAULT, ioctl_32(pair[1], FIONREAD, 8));
		EXPECT_EQ(-ENOTTY, ioctl_32(pair[1], TCGETS, value));
		close(pair[0]);
		close(pair[1]);
	}
}
#endif

TEST_F(effect, rcvlowat)
{
	EXPECT_EQ(1, nym_get_int(self->server, SO_RCVLOWAT));
	ASSERT_OK(nym_set_int(self->server, SO_RCVLOWAT, 4));
	EXPECT_EQ(4, nym_get_int(self->server, SO_RCVLOWAT));
	ASSERT_EQ(3, send(self->client, "abc", 3, 0));
	/* A call that does not wait takes what there is. */
	EXPECT_EQ(3, recv(self->server, data, 8, MSG_DONTWAIT));
	ASSERT_OK(nym_set_timeout(self->server, SO_RCVTIMEO, 50));
	ASSERT_EQ(3, send(self->client, "abc", 3, 0));
	/* One that waits gives up at its timeout with less. */
	EXPECT_EQ(3, recv(self->server, data, 8, 0));
}

TEST_F(effect, error_of_a_reset_is_told_once)
{
	ASSERT_EQ(1, send(self->client, "x", 1, 0));
	EXPECT_EQ(0, nym_get_int(self->client, SO_ERROR));
	ASSERT_OK(close(self->server));
	EXPECT_EQ(ECONNRESET, nym_get_int(self->client, SO_ERROR));
	EXPECT_EQ(0, nym_get_int(self->client, SO_ERROR));
}

TEST_F(effect, peername_option_is_the_peers_name)
{
	struct sockaddr_nym sa;
	socklen_t len = nym_addr(&sa, NAME);

	memset(&sa, 0xff, sizeof(sa));
	EXPECT_OK(getsockopt(self->client, SOL_SOCKET, SO_PEERNAME, &sa, &len));
	EXPECT_STREQ(NAME, nym_name_of(&sa, len));
}

TEST_F(effect, cookies_differ)
{
	__u64 one = 0, two = 0;
	socklen_t len = sizeof(one);

	EXPECT_OK(getsockopt(self->client, SOL_SOCKET, SO_COOKIE, &one, &len));
	EXPECT_OK(getsockopt(self->server, SOL_SOCKET, SO_COOKIE, &two, &len));
	EXPECT_NE(one, two);
}

static const gid_t groups[] = { 3000, 4000, 5000 };
static const struct nym_who member = {
	.uid = 1000, .gid = 2000, .groups = groups,
	.ngroups = ARRAY_SIZE(groups),
};

static int call_as_member(void *name)
{
	return nym_connect(name) < 0 ? errno : 0;
}

TEST_F(effect, peer_groups)
{
	gid_t got[8] = { };
	socklen_t len = sizeof(got);
	int fd;

	ASSERT_EQ(0, nym_errno_as(&member, call_as_member, NAME));
	fd = accept(self->listener, NULL, NULL);
	ASSERT_FD(fd);
	EXPECT_OK(getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, got, &len));
	EXPECT_EQ(sizeof(groups), len);
	EXPECT_EQ(0, memcmp(groups, got, sizeof(groups)));
	/* Too small a buffer: the length says how much is needed. */
	len = 4;
	EXPECT_ERRNO(ERANGE, getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, got,
					&len));
	EXPECT_EQ(sizeof(groups), len);
}

NYM_TEST_MAIN
