// SPDX-License-Identifier: GPL-2.0
/*
 * The header for C programs, languages/c/nym.h.
 *
 * Without nym_test.h, which has functions of the same names.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/time.h>
#include <nym.h>

#include "kselftest_harness.h"

#define LONGEST "0123456789012345678901234567890123456789012345678901234567890" \
	"1234567890123456789012345678901234567890123456789012345678901234"

/* _call returns -1 with errno _err. */
#define EXPECT_ERRNO(_err, _call) do { \
	errno = 0; \
	EXPECT_EQ(-1, _call); \
	EXPECT_EQ(_err, errno); \
} while (0)

FIXTURE(helper)
{
	int listener;
};

FIXTURE_SETUP(helper)
{
	self->listener = nym_listen("t/helper", SOCK_STREAM, 0600, 0);
	if (self->listener < 0 && errno == EAFNOSUPPORT)
		SKIP(return, "the module is not loaded");
	ASSERT_LE(0, self->listener);
}

FIXTURE_TEARDOWN(helper)
{
	close(self->listener);
}

static int descriptors(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

static int mode_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? -1 : (int)(st.st_mode & 0777);
}

TEST_F(helper, address)
{
	struct sockaddr_nym addr;
	char text[NYM_NAME_MAX + 1];

	ASSERT_EQ(125U, strlen(LONGEST));
	EXPECT_EQ(4, nym_address(&addr, "a"));
	EXPECT_EQ(AF_NYM, addr.snym_family);
	EXPECT_STREQ("a", addr.snym_name);
	EXPECT_EQ(128, nym_address(&addr, LONGEST));
	EXPECT_STREQ(LONGEST, nym_text(&addr, 128, text));
	EXPECT_STREQ(LONGEST, nym_text(&addr, 127, text));
	EXPECT_EQ(2, nym_address(&addr, NULL));
	EXPECT_ERRNO(EINVAL, nym_address(&addr, ""));
	EXPECT_ERRNO(EINVAL, nym_address(&addr, LONGEST "5"));
}

/* A length says more than what is in the memory behind it. */
TEST_F(helper, text)
{
	struct sockaddr_nym addr;
	char text[NYM_NAME_MAX + 1];

	nym_address(&addr, "abc");
	EXPECT_STREQ("", nym_text(&addr, 2, text));
	EXPECT_STREQ("ab", nym_text(&addr, 4, text));
	EXPECT_STREQ("abc", nym_text(&addr, sizeof(addr), text));
	memset(&addr, 'x', sizeof(addr));
	EXPECT_EQ(125U, strlen(nym_text(&addr, sizeof(addr), text)));
}

TEST_F(helper, connection)
{
	char text[NYM_NAME_MAX + 1], byte = 0;
	int c = nym_connect("t/helper", SOCK_STREAM), a = accept(self->listener, NULL, NULL);

	ASSERT_LE(0, c);
	ASSERT_LE(0, a);
	EXPECT_EQ(1, write(c, "x", 1));
	EXPECT_EQ(1, read(a, &byte, 1));
	EXPECT_EQ('x', byte);
	EXPECT_STREQ("t/helper", nym_own_name(self->listener, text));
	EXPECT_STREQ("t/helper", nym_peer_name(c, text));
	ASSERT_NE(NULL, nym_own_name(c, text));
	EXPECT_EQ(':', text[0]);
	EXPECT_EQ(FD_CLOEXEC, fcntl(c, F_GETFD));
	EXPECT_EQ(FD_CLOEXEC, fcntl(self->listener, F_GETFD));
}

TEST_F(helper, no_name)
{
	char text[NYM_NAME_MAX + 1];
	int s = socket(AF_NYM, SOCK_STREAM, 0);

	EXPECT_STREQ("", nym_own_name(s, text));
	errno = 0;
	EXPECT_EQ(NULL, nym_peer_name(s, text));
	EXPECT_EQ(ENOTCONN, errno);
}

TEST_F(helper, chosen_name)
{
	char text[NYM_NAME_MAX + 1];
	int s = nym_listen(NULL, SOCK_SEQPACKET, NYM_UMASK, 1);

	ASSERT_LE(0, s);
	ASSERT_NE(NULL, nym_own_name(s, text));
	EXPECT_EQ(':', text[0]);
	EXPECT_LE(0, nym_connect(text, SOCK_SEQPACKET));
}

TEST_F(helper, mode)
{
	EXPECT_EQ(0600, mode_of(self->listener));
	umask(027);
	EXPECT_EQ(0750, mode_of(nym_bind("t/umask", SOCK_DGRAM, NYM_UMASK)));
	EXPECT_EQ(0666, mode_of(nym_bind("t/open", SOCK_DGRAM, 0666)));
	EXPECT_EQ(0, mode_of(nym_bind("t/closed", SOCK_DGRAM, 0)));
}

TEST_F(helper, errors)
{
	int before = descriptors();

	EXPECT_ERRNO(ECONNREFUSED, nym_connect("t/none", SOCK_STREAM));
	EXPECT_ERRNO(EPROTOTYPE, nym_connect("t/helper", SOCK_SEQPACKET));
	EXPECT_ERRNO(ESOCKTNOSUPPORT, nym_connect("t/helper", SOCK_RDM));
	EXPECT_ERRNO(ESOCKTNOSUPPORT, nym_bind("t/none", SOCK_RDM, 0));
	EXPECT_ERRNO(EADDRINUSE, nym_listen("t/helper", SOCK_STREAM, 0666, 1));
	EXPECT_ERRNO(EOPNOTSUPP, nym_listen("t/dgram", SOCK_DGRAM, 0666, 1));
	EXPECT_ERRNO(EINVAL, nym_connect("a b", SOCK_STREAM));
	EXPECT_ERRNO(EINVAL, nym_connect(NULL, SOCK_STREAM));
	EXPECT_ERRNO(EINVAL, nym_connect("", SOCK_STREAM));
	EXPECT_ERRNO(EINVAL, nym_bind("", SOCK_STREAM, 0));
	ASSERT_EQ(0, setresuid(-1, 65534, -1));
	EXPECT_ERRNO(EACCES, nym_connect("t/helper", SOCK_STREAM));
	EXPECT_ERRNO(EACCES, nym_bind("sys/helper", SOCK_STREAM, 0));
	EXPECT_EQ(before, descriptors());
}

/* One place in the backlog is taken: the next caller is parked. */
TEST_F(helper, parked)
{
	int c = nym_connect("t/helper", SOCK_STREAM);
	int parked = nym_connect("t/helper", SOCK_STREAM | SOCK_NONBLOCK);
	struct pollfd p = { parked, POLLOUT, 0 };

	ASSERT_LE(0, c);
	ASSERT_LE(0, parked);
	EXPECT_EQ(0, poll(&p, 1, 100));
	EXPECT_LE(0, accept(self->listener, NULL, NULL));
	EXPECT_EQ(1, poll(&p, 1, 10000));
	EXPECT_EQ(POLLOUT, p.revents);
	EXPECT_EQ(1, write(parked, "x", 1));
}

static volatile sig_atomic_t alarms;
static int listener;

static void make_room(int sig)
{
	if (++alarms == 3)
		accept(listener, NULL, NULL);
}

TEST_F(helper, signals)
{
	struct itimerval often = { { 0, 100000 }, { 0, 100000 } };
	struct sigaction act = { .sa_handler = make_room };

	listener = self->listener;
	ASSERT_LE(0, nym_connect("t/helper", SOCK_STREAM));
	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	EXPECT_LE(0, nym_connect("t/helper", SOCK_STREAM));
	EXPECT_LE(3, alarms);
}

TEST_HARNESS_MAIN
