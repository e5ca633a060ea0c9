// SPDX-License-Identifier: GPL-2.0
/*
 * The tracepoints, as tracefs shows them: each event comes, with its fields.
 */
#include "nym_test.h"

#include <sys/mount.h>

#define NAME	"t/trace/srv"
#define TRACEFS	"/sys/kernel/tracing"

FIXTURE(events) {
	int listener;
};

FIXTURE_SETUP(events)
{
	SKIP_WITHOUT_NYM();
	if (access(TRACEFS "/trace", W_OK) &&
	    mount("none", TRACEFS, "tracefs", 0, NULL))
		SKIP(return, "no tracefs here");
	if (access(TRACEFS "/events/nym", X_OK))
		SKIP(return, "no events in this kernel");
	ASSERT_OK(nym_put(TRACEFS "/events/enable", "0"));
	ASSERT_OK(nym_put(TRACEFS "/trace", "\n"));
	ASSERT_OK(nym_put(TRACEFS "/events/nym/enable", "1"));
	self->listener = nym_listen(NAME, 3);
	ASSERT_FD(self->listener);
}

FIXTURE_TEARDOWN(events)
{
	close(self->listener);
	nym_put(TRACEFS "/events/nym/enable", "0");
}

/* How many lines of the trace contain this text? */
static int traced(const char *format, ...)
{
	char want[256], *text = nym_slurp(TRACEFS "/trace", 1 << 16), *s;
	va_list ap;
	int n = 0;

	va_start(ap, format);
	vsnprintf(want, sizeof(want), format, ap);
	va_end(ap);
	for (s = text; s && (s = strstr(s, want)); s++)
		n++;
	if (text && n != 1 && strchr(want, '='))
		fprintf(stderr, "# '%s' %d times in:\n%s", want, n, text);
	free(text);
	return text ? n : -1;
}

TEST_F(events, bind)
{
	int fd = nym_socket();

	ASSERT_FD(fd);
	EXPECT_EQ(1, traced("nym_bind: ino=%lu type=stream name=%s result=0\n",
			    nym_inode(self->listener), NAME));
	ASSERT_ERRNO(EADDRINUSE, nym_bind(fd, NAME));
	EXPECT_EQ(1, traced("nym_bind: ino=%lu type=stream name=%s result=%d\n",
			    nym_inode(fd), NAME, -EADDRINUSE));
}

TEST_F(events, connect_and_accept)
{
	int fd[2], other;

	ASSERT_OK(nym_connection(self->listener, NAME, fd));
	EXPECT_EQ(1, traced("nym_connect: ino=%lu type=stream name=%s result=0\n",
			    nym_inode(fd[0]), NAME));
	EXPECT_EQ(1, traced("nym_accept: ino=%lu type=stream name=%s new_ino=%lu result=0\n",
			    nym_inode(self->listener), NAME, nym_inode(fd[1])));
	ASSERT_OK(nym_set_nonblock(self->listener, true));
	ASSERT_ERRNO(EAGAIN, accept(self->listener, NULL, NULL));
	EXPECT_EQ(1, traced("nym_accept: ino=%lu type=stream name=%s new_ino=0 result=%d\n",
			    nym_inode(self->listener), NAME, -EAGAIN));
	other = nym_socket();
	ASSERT_ERRNO(ECONNREFUSED, nym_call(other, "t/trace/nobody"));
	EXPECT_EQ(1, traced("nym_connect: ino=%lu type=stream name=t/trace/nobody result=%d\n",
			    nym_inode(other), -ECONNREFUSED));
}

TEST_F(events, send_receive_and_close)
{
	static const struct {
		int type;
		const char *text;
	} types[] = {
		{ SOCK_STREAM, "stream" },
		{ SOCK_SEQPACKET, "seqpacket" },
		{ SOCK_DGRAM, "dgram" },
	};
	char buf[16], own[128], other[128];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		unsigned long ino[2];
		int pair[2];

		ASSERT_OK(socketpair(AF_NYM, types[i].type, 0, pair));
		ino[0] = nym_inode(pair[0]);
		ino[1] = nym_inode(pair[1]);
		snprintf(own, sizeof(own), "%s", nym_own_name(pair[0]));
		snprintf(other, sizeof(other), "%s", nym_own_name(pair[1]));
		ASSERT_EQ(5, send(pair[0], "hello", 5, 0));
		EXPECT_EQ(1, traced("nym_send: ino=%lu type=%s name=%s result=5\n",
				    ino[0], types[i].text, own));
		ASSERT_EQ(5, recv(pair[1], buf, sizeof(buf), 0));
		EXPECT_EQ(1, traced("nym_recv: ino=%lu type=%s name=%s result=5\n",
				    ino[1], types[i].text, other));
		ASSERT_ERRNO(EAGAIN, recv(pair[1], buf, 1, MSG_DONTWAIT));
		EXPECT_EQ(1, traced("nym_recv: ino=%lu type=%s name=%s result=%d\n",
				    ino[1], types[i].text, other, -EAGAIN));
		close(pair[0]);
		EXPECT_EQ(1, traced("nym_close: ino=%lu type=%s name=%s length=0\n",
				    ino[0], types[i].text, own));
		close(pair[1]);
	}
}

TEST_F(events, migrate)
{
	int fd[2], client, i;

	for (i = 0; i < 2; i++) {
		fd[i] = nym_socket();
		ASSERT_FD(fd[i]);
		ASSERT_OK(setsockopt(fd[i], SOL_NYM, NYM_SHARE, &(int){ 1 },
				     sizeof(int)));
		ASSERT_OK(nym_bind(fd[i], "t/trace/shared"));
	}
	ASSERT_OK(listen(fd[0], 1));
	client = nym_connect("t/trace/shared");
	ASSERT_FD(client);
	ASSERT_EQ(3, send(client, "abc", 3, 0));
	ASSERT_OK(listen(fd[1], 1));
	close(fd[0]);
	EXPECT_EQ(1, traced("nym_migrate: ino=%lu type=stream name=%s caller_ino=%lu length=3\n",
			    nym_inode(fd[1]), "t/trace/shared", nym_inode(client)));
}

TEST_F(events, drop_of_a_call)
{
	int client = nym_connect(NAME);

	ASSERT_FD(client);
	ASSERT_EQ(7, send(client, "goodbye", 7, 0));
	ASSERT_OK(close(self->listener));
	EXPECT_EQ(1, traced("nym_drop: ino=%lu type=stream name=%s length=7\n",
			    nym_inode(client), NAME));
}

TEST_F(events, drop_of_a_datagram)
{
	struct sockaddr sa = { .sa_family = AF_UNSPEC };
	int pair[2];

	ASSERT_OK(socketpair(AF_NYM, SOCK_DGRAM, 0, pair));
	ASSERT_EQ(4, send(pair[0], "lost", 4, 0));
	ASSERT_OK(connect(pair[1], &sa, sizeof(sa)));
	EXPECT_EQ(1, traced("nym_drop: ino=%lu type=dgram name=%s length=4\n",
			    nym_inode(pair[1]), nym_own_name(pair[1])));
}

TEST_F(events, are_off_when_they_are_off)
{
	ASSERT_OK(nym_put(TRACEFS "/events/nym/nym_connect/enable", "0"));
	ASSERT_OK(nym_put(TRACEFS "/trace", "\n"));
	ASSERT_FD(nym_connect(NAME));
	EXPECT_EQ(0, traced("nym_connect:"));
}

NYM_TEST_MAIN
