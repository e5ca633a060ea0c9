// SPDX-License-Identifier: GPL-2.0
/*
 * SOCK_DGRAM, call by call: whom a datagram reaches, who is refused and how,
 * what connect() and a restarted server mean, what a receiver gets and what
 * comes with it. How much fits and who waits is in dgram_flow_test.c.
 */
#include "nym_test.h"
#include "nym_io.h"

#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/uio.h>

#define SRV	"t/dgram/srv"
#define THIRD	"t/dgram/third"
#define NOWHERE	"t/dgram/nowhere"

#define OVERHEAD	32	/* SO_SNDBUF less this is the longest datagram */
#define OUT	(POLLOUT | POLLWRNORM | POLLWRBAND)
#define IN	(POLLIN | POLLRDNORM)

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

static int dgram_pair(int fd[2])
{
	return socketpair(AF_NYM, SOCK_DGRAM | SOCK_CLOEXEC, 0, fd);
}

static int disconnect(int fd)
{
	struct sockaddr sa = { .sa_family = AF_UNSPEC };

	return connect(fd, &sa, sizeof(sa));
}

static long send_to(int fd, const char *name, const void *buf, size_t len,
		    int flags)
{
	struct sockaddr_nym sa;
	socklen_t size = nym_addr(&sa, name);

	return sendto(fd, buf, len, flags, (struct sockaddr *)&sa, size);
}

/* Sends a text, to the name or, without one, to the peer; never waits. */
static long say(int fd, const char *name, const char *text)
{
	if (!name)
		return send(fd, text, strlen(text), MSG_DONTWAIT);
	return send_to(fd, name, text, strlen(text), MSG_DONTWAIT);
}

/* Who sent what hear() returned. */
static char heard_from[NYM_NAME_MAX + 1];

/* The text of the first datagram, or the errno's name; never waits. */
static const char *hear(int fd)
{
	static char text[256];
	struct sockaddr_nym sa;
	socklen_t len = sizeof(sa);
	ssize_t n;

	memset(&sa, 0xff, sizeof(sa));
	n = recvfrom(fd, text, sizeof(text) - 1, MSG_DONTWAIT,
		     (struct sockaddr *)&sa, &len);
	if (n < 0)
		return strerrorname_np(errno);
	text[n] = 0;
	snprintf(heard_from, sizeof(heard_from), "%s", nym_name_of(&sa, len));
	return text;
}

/* @fd gets @text from @from, and only that. */
#define EXPECT_HEARS(_fd, _from, _text) do { \
	EXPECT_STREQ(_text, hear(_fd)); \
	EXPECT_STREQ(_from, heard_from); \
	EXPECT_STREQ("EAGAIN", hear(_fd)); \
} while (0)

#define EXPECT_SAYS(_fd, _name, _text) \
	EXPECT_RETURNS(strlen(_text), say(_fd, _name, _text))

/* Whose permissions count is who calls, so a thread can be somebody else. */
static void be_nobody(bool on)
{
	int err = errno;

	setgroups(0, NULL);
	setfsgid(on ? NYM_NOBODY : 0);
	setfsuid(on ? NYM_NOBODY : 0);
	errno = err;
}

static long say_as_nobody(int fd, const char *name, const char *text)
{
	long n;

	be_nobody(true);
	n = say(fd, name, text);
	be_nobody(false);
	return n;
}

static int call_as_nobody(int fd, const char *name)
{
	int ret;

	be_nobody(true);
	ret = nym_call(fd, name);
	be_nobody(false);
	return ret;
}

/* A test that hangs is killed by its parent's end, and gives its names back. */
static void die_with_parent(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static int mode_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? -1 : (int)(st.st_mode & 07777);
}

FIXTURE(dgram)
{
	int srv;	/* bound to SRV */
	int cli;	/* fresh */
	int third;	/* bound to THIRD */
	struct io_thread t;
};

FIXTURE_SETUP(dgram)
{
	die_with_parent();
	SKIP_WITHOUT_NYM();
	self->srv = dgram_bound(SRV);
	ASSERT_FD(self->srv);
	self->third = dgram_bound(THIRD);
	ASSERT_FD(self->third);
	self->cli = dgram_socket();
	ASSERT_FD(self->cli);
}

FIXTURE_TEARDOWN(dgram)
{
	close(self->srv);
	close(self->third);
	close(self->cli);
}

/* Ends the server of the fixture. */
static void stop(int *srv)
{
	close(*srv);
	*srv = -1;
}

/* --- Types and names --- */

TEST_F(dgram, raw_means_dgram)
{
	int raw = socket(AF_NYM, SOCK_RAW | SOCK_CLOEXEC, 0), fd[2];

	ASSERT_FD(raw);
	EXPECT_EQ(SOCK_DGRAM, nym_get_int(raw, SO_TYPE));
	EXPECT_EQ(SOCK_DGRAM, nym_get_int(self->cli, SO_TYPE));
	EXPECT_EQ(AF_NYM, nym_get_int(self->cli, SO_DOMAIN));
	EXPECT_OK(nym_bind(raw, "t/dgram/raw"));
	EXPECT_SAYS(raw, SRV, "hello");
	EXPECT_HEARS(self->srv, "t/dgram/raw", "hello");
	close(raw);
	ASSERT_OK(socketpair(AF_NYM, SOCK_RAW | SOCK_CLOEXEC, 0, fd));
	EXPECT_SAYS(fd[0], NULL, "x");
	EXPECT_STREQ("x", hear(fd[1]));
	close(fd[0]);
	close(fd[1]);
}

TEST_F(dgram, nobody_listens_for_calls)
{
	EXPECT_ERRNO(EOPNOTSUPP, listen(self->srv, 1));
	EXPECT_ERRNO(EOPNOTSUPP, listen(self->cli, 1));
	EXPECT_ERRNO(EOPNOTSUPP, accept(self->srv, NULL, NULL));
	EXPECT_ERRNO(EOPNOTSUPP, accept(self->cli, NULL, NULL));
	EXPECT_EQ(0, nym_get_int(self->srv, SO_ACCEPTCONN));
	EXPECT_SAYS(self->cli, SRV, "still works");
}

TEST_F(dgram, a_name_has_one_owner_of_one_type)
{
	int stream = nym_listen("t/dgram/stream", 1);

	ASSERT_FD(stream);
	EXPECT_STREQ(SRV, nym_own_name(self->srv));
	EXPECT_ERRNO(EADDRINUSE, nym_bind(self->cli, SRV));
	EXPECT_ERRNO(EADDRINUSE, nym_bind(self->cli, "t/dgram/stream"));
	EXPECT_ERRNO(EADDRINUSE, nym_bound(SRV));
	EXPECT_ERRNO(EINVAL, nym_bind(self->srv, "t/dgram/second"));
	EXPECT_ERRNO(EINVAL, nym_bind(self->cli, "with space"));
	EXPECT_ERRNO(EINVAL, nym_bind(self->cli, ":1f"));
	/* A name is free at once, even with its datagrams under way. */
	EXPECT_SAYS(self->srv, THIRD, "under way");
	stop(&self->srv);
	EXPECT_OK(nym_bind(self->cli, SRV));
	EXPECT_HEARS(self->third, SRV, "under way");
	close(stream);
}

TEST_F(dgram, a_name_lives_as_long_as_its_last_descriptor)
{
	int copy = dup(self->srv);

	stop(&self->srv);
	EXPECT_ERRNO(EADDRINUSE, nym_bind(self->cli, SRV));
	EXPECT_SAYS(self->cli, SRV, "x");
	EXPECT_STREQ("x", hear(copy));
	close(copy);
	EXPECT_ERRNO(ECONNREFUSED, say(self->cli, SRV, "x"));
}

TEST_F(dgram, bind_may_leave_the_choice_to_the_kernel)
{
	struct sockaddr_nym sa = { .snym_family = AF_NYM };
	char name[NYM_NAME_MAX + 1];

	ASSERT_OK(bind(self->cli, (struct sockaddr *)&sa, 2));
	snprintf(name, sizeof(name), "%s", nym_own_name(self->cli));
	EXPECT_TRUE(nym_is_kernel_chosen(name));
	EXPECT_SAYS(self->srv, name, "x");
	EXPECT_HEARS(self->cli, SRV, "x");
}

TEST_F(dgram, who_sends_has_a_name_and_can_be_answered)
{
	char name[NYM_NAME_MAX + 1];

	EXPECT_STREQ("", nym_own_name(self->cli));
	EXPECT_SAYS(self->cli, SRV, "question");
	EXPECT_STREQ("question", hear(self->srv));
	EXPECT_TRUE(nym_is_kernel_chosen(heard_from));
	EXPECT_STREQ(heard_from, nym_own_name(self->cli));
	snprintf(name, sizeof(name), "%s", heard_from);
	EXPECT_SAYS(self->srv, name, "answer");
	EXPECT_HEARS(self->cli, SRV, "answer");

	/* It is one name, and for good. */
	EXPECT_ERRNO(EINVAL, nym_bind(self->cli, "t/dgram/cli"));
	EXPECT_SAYS(self->cli, THIRD, "again");
	EXPECT_HEARS(self->third, name, "again");
	EXPECT_STREQ(name, nym_own_name(self->cli));
}

TEST_F(dgram, who_connects_has_a_name)
{
	char name[NYM_NAME_MAX + 1];
	int other = dgram_socket();

	ASSERT_FD(other);
	ASSERT_OK(nym_call(self->cli, SRV));
	snprintf(name, sizeof(name), "%s", nym_own_name(self->cli));
	EXPECT_TRUE(nym_is_kernel_chosen(name));
	EXPECT_ERRNO(EINVAL, nym_bind(self->cli, "t/dgram/cli"));
	EXPECT_SAYS(self->srv, name, "unasked");
	EXPECT_HEARS(self->cli, SRV, "unasked");
	ASSERT_OK(nym_call(other, SRV));
	EXPECT_TRUE(nym_is_kernel_chosen(nym_own_name(other)));
	EXPECT_STRNE(name, nym_own_name(other));
	close(other);
}

TEST_F(dgram, a_connect_to_nobody_gives_no_name)
{
	EXPECT_ERRNO(ECONNREFUSED, nym_call(self->cli, NOWHERE));
	EXPECT_STREQ("", nym_own_name(self->cli));
	EXPECT_ERRNO(EINVAL, nym_call(self->cli, "no@where"));
	EXPECT_STREQ("", nym_own_name(self->cli));
	EXPECT_OK(nym_bind(self->cli, "t/dgram/cli"));
}

TEST_F(dgram, a_name_that_was_bound_is_kept)
{
	ASSERT_OK(nym_bind(self->cli, "t/dgram/cli"));
	EXPECT_SAYS(self->cli, SRV, "x");
	EXPECT_HEARS(self->srv, "t/dgram/cli", "x");
	ASSERT_OK(nym_call(self->cli, SRV));
	EXPECT_STREQ("t/dgram/cli", nym_own_name(self->cli));
}

/* Or else nobody could answer who happens to have a strict umask. */
TEST_F(dgram, everybody_may_answer_whatever_the_umask)
{
	int called = dgram_socket(), bound = dgram_socket();

	ASSERT_FD(called);
	ASSERT_FD(bound);
	umask(077);
	EXPECT_SAYS(self->cli, SRV, "x");
	ASSERT_OK(nym_call(called, SRV));
	ASSERT_OK(nym_bind(bound, "t/dgram/strict"));
	umask(022);
	EXPECT_EQ(0777, mode_of(self->cli));
	EXPECT_EQ(0777, mode_of(called));
	EXPECT_EQ(0700, mode_of(bound));
	EXPECT_RETURNS(1, say_as_nobody(self->srv, nym_own_name(self->cli), "y"));
	EXPECT_RETURNS(1, say_as_nobody(self->srv, nym_own_name(called), "z"));
	EXPECT_HEARS(self->cli, SRV, "y");
	EXPECT_HEARS(called, SRV, "z");
	EXPECT_ERRNO(EACCES, say_as_nobody(self->srv, "t/dgram/strict", "x"));
	/* Its mode is its owner's affair afterwards. */
	ASSERT_OK(fchmod(self->cli, 0600));
	EXPECT_ERRNO(EACCES, say_as_nobody(self->srv, nym_own_name(self->cli), "y"));
	close(called);
	close(bound);
}

/* --- Sending: who is refused --- */

TEST_F(dgram, nobody_there)
{
	EXPECT_ERRNO(ECONNREFUSED, say(self->cli, NOWHERE, "x"));
	EXPECT_ERRNO(ECONNREFUSED, say(self->cli, ":fffffffffff", "x"));
	stop(&self->srv);
	EXPECT_ERRNO(ECONNREFUSED, say(self->cli, SRV, "x"));
	EXPECT_ERRNO(ECONNREFUSED, nym_call(self->cli, SRV));
	EXPECT_EQ(0, io_outq(self->cli));
}

/* At each lookup: what the mode is then counts. */
TEST_F(dgram, the_mode_of_the_receiver_decides)
{
	ASSERT_OK(fchmod(self->srv, 0755));
	EXPECT_ERRNO(EACCES, say_as_nobody(self->cli, SRV, "x"));
	EXPECT_ERRNO(EACCES, call_as_nobody(self->cli, SRV));
	EXPECT_SAYS(self->cli, SRV, "root may");
	EXPECT_STREQ("root may", hear(self->srv));
	ASSERT_OK(fchmod(self->srv, 0666));
	EXPECT_RETURNS(1, say_as_nobody(self->cli, SRV, "x"));
	EXPECT_OK(call_as_nobody(self->cli, SRV));
	ASSERT_OK(fchmod(self->srv, 0600));
	EXPECT_ERRNO(EACCES, call_as_nobody(self->cli, SRV));
	/* Who is connected already needs no lookup. */
	EXPECT_RETURNS(1, say_as_nobody(self->cli, NULL, "y"));
	ASSERT_OK(fchown(self->srv, NYM_NOBODY, -1));
	EXPECT_OK(call_as_nobody(self->cli, SRV));
	EXPECT_STREQ("x", hear(self->srv));
	EXPECT_STREQ("y", hear(self->srv));
}

TEST_F(dgram, types_do_not_mix)
{
	int stream = nym_listen("t/dgram/stream", 1);
	int seq = socket(AF_NYM, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	ASSERT_FD(stream);
	ASSERT_OK(nym_bind(seq, "t/dgram/seq"));
	EXPECT_ERRNO(EPROTOTYPE, say(self->cli, "t/dgram/stream", "x"));
	EXPECT_ERRNO(EPROTOTYPE, say(self->cli, "t/dgram/seq", "x"));
	EXPECT_ERRNO(EPROTOTYPE, nym_call(self->cli, "t/dgram/stream"));
	EXPECT_ERRNO(EPROTOTYPE, nym_call(self->cli, "t/dgram/seq"));
	EXPECT_ERRNO(EPROTOTYPE, nym_connect(SRV));
	close(stream);
	close(seq);
}

TEST_F(dgram, a_receiver_connected_to_another)
{
	ASSERT_OK(nym_call(self->srv, THIRD));
	EXPECT_ERRNO(EPERM, say(self->cli, SRV, "x"));
	EXPECT_ERRNO(EPERM, nym_call(self->cli, SRV));
	EXPECT_SAYS(self->third, SRV, "x");
	EXPECT_HEARS(self->srv, THIRD, "x");
	ASSERT_OK(disconnect(self->srv));
	EXPECT_SAYS(self->cli, SRV, "x");
	EXPECT_OK(nym_call(self->cli, SRV));
}

/* SIGPIPE has its default action here: it would end the test. */
TEST_F(dgram, epipe_comes_without_sigpipe)
{
	signal(SIGPIPE, SIG_DFL);
	ASSERT_OK(nym_call(self->cli, SRV));
	ASSERT_OK(shutdown(self->srv, SHUT_RD));
	EXPECT_ERRNO(EPIPE, say(self->cli, NULL, "x"));
	EXPECT_ERRNO(EPIPE, say(self->third, SRV, "x"));
	ASSERT_OK(shutdown(self->third, SHUT_WR));
	EXPECT_ERRNO(EPIPE, say(self->third, nym_own_name(self->cli), "x"));
	EXPECT_ERRNO(EPIPE, send_to(self->third, THIRD, NULL, 0, 0));
	/* Only what is shut is shut. */
	EXPECT_SAYS(self->cli, THIRD, "in");
	EXPECT_STREQ("in", hear(self->third));
	EXPECT_SAYS(self->srv, nym_own_name(self->cli), "out");
	EXPECT_STREQ("out", hear(self->cli));
}

TEST_F(dgram, shutdown_needs_no_peer_but_a_valid_how)
{
	EXPECT_ERRNO(EINVAL, shutdown(self->cli, 3));
	EXPECT_ERRNO(EINVAL, shutdown(self->cli, -1));
	EXPECT_OK(shutdown(self->cli, SHUT_RDWR));
	EXPECT_ERRNO(EPIPE, say(self->cli, SRV, "x"));
}

TEST_F(dgram, the_longest_datagram)
{
	static const int sizes[] = { 0, 10000, 100000 };
	size_t room = 1 << 20, i;
	__u8 *buf = malloc(room);

	ASSERT_NE(NULL, buf);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		long max;

		ASSERT_OK(sizes[i] ? io_set_int(self->cli, SO_SNDBUF, sizes[i]) : 0);
		max = io_sndbuf(self->cli) - OVERHEAD;
		EXPECT_ERRNO(EMSGSIZE, send_to(self->cli, SRV, io_at(0), max + 1,
					       MSG_DONTWAIT));
		EXPECT_EQ(0, io_inq(self->srv));
		EXPECT_RETURNS(max, send_to(self->cli, SRV, io_at(i), max,
					    MSG_DONTWAIT));
		EXPECT_EQ(max, io_inq(self->srv));
		EXPECT_RETURNS(max, recv(self->srv, buf, room, MSG_DONTWAIT));
		EXPECT_TRUE(io_is(buf, i, max));
	}
	free(buf);
}

/* It comes whole; and, once more, as much of it as there is room for. */
static bool passes_whole(int from, int to, __u8 *buf, size_t room, size_t len)
{
	size_t part = len * 3 / 4;

	return send_to(from, SRV, io_at(len), len, MSG_DONTWAIT) == (long)len &&
	       recv(to, buf, part, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT) == (long)len &&
	       io_is(buf, len, part) &&
	       recv(to, buf, room, MSG_DONTWAIT) == (long)len && io_is(buf, len, len) &&
	       send_to(from, SRV, io_at(len), len, MSG_DONTWAIT) == (long)len &&
	       recv(to, buf, part, MSG_DONTWAIT) == (long)part && io_is(buf, len, part) &&
	       io_inq(to) == 0 && io_outq(from) == 0;
}

/* One page more or less, one byte more or less, with its header and without. */
TEST_F(dgram, of_every_number_of_pages)
{
	size_t page = getpagesize(), room = 1 << 20, pages, len;
	__u8 *buf = malloc(room);

	ASSERT_NE(NULL, buf);
	ASSERT_OK(io_set_int(self->cli, SO_SNDBUFFORCE, room));
	for (pages = 1; pages < 200; pages += pages < 70 ? 1 : 31)
		for (len = pages * page - 1; len <= pages * page + 1; len++)
			ASSERT_TRUE(passes_whole(self->cli, self->srv, buf, room, len)) {
				TH_LOG("%zu bytes", len);
			}
	for (len = page - 256; len < page; len++)
		ASSERT_TRUE(passes_whole(self->cli, self->srv, buf, room, len)) {
			TH_LOG("%zu bytes", len);
		}
	free(buf);
}

/* The last page but one cannot be read, or written: nothing happens. */
TEST_F(dgram, a_fault_far_behind)
{
	size_t page = getpagesize(), len = 45 * page, at;
	__u8 *mem = mmap(NULL, len, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_OK(io_set_int(self->cli, SO_SNDBUFFORCE, 1 << 20));
	ASSERT_OK(nym_call(self->cli, SRV));
	for (at = 0; at < len; at += 11 * page) {
		ASSERT_OK(mprotect(mem + at, page, PROT_NONE));
		EXPECT_ERRNO(EFAULT, send(self->cli, mem, len, 0));
		EXPECT_EQ(0, io_inq(self->srv));
		EXPECT_EQ(0, io_outq(self->cli));
		EXPECT_RETURNS(len, send(self->cli, io_at(at), len, 0));
		EXPECT_ERRNO(EFAULT, recv(self->srv, mem, len, MSG_DONTWAIT));
		ASSERT_OK(mprotect(mem + at, page, PROT_READ | PROT_WRITE));
		EXPECT_RETURNS(len, recv(self->srv, mem, len, MSG_DONTWAIT));
		EXPECT_TRUE(io_is(mem, at, len));
	}
	munmap(mem, len);
}

TEST_F(dgram, lengths_that_cannot_be)
{
	struct iovec iov[2] = {
		{ .iov_base = (void *)io_at(0), .iov_len = 1 << 20 },
		{ .iov_base = (void *)io_at(0), .iov_len = 1 << 20 },
	};

	ASSERT_OK(nym_call(self->cli, SRV));
	EXPECT_ERRNO(EMSGSIZE, writev(self->cli, iov, 2));
	EXPECT_ERRNO(EMSGSIZE, send(self->cli, io_at(0), 0x7fffffff, 0));
	EXPECT_EQ(0, io_outq(self->cli));
	EXPECT_STREQ("EAGAIN", hear(self->srv));
}

TEST_F(dgram, no_destination)
{
	struct sockaddr_nym sa;

	nym_addr(&sa, SRV);
	EXPECT_ERRNO(ENOTCONN, say(self->cli, NULL, "x"));
	EXPECT_ERRNO(ENOTCONN, write(self->cli, "x", 1));
	EXPECT_ERRNO(ENOTCONN, say(self->srv, NULL, "x"));
	/* An address of no length is none. */
	EXPECT_ERRNO(ENOTCONN, sendto(self->cli, "x", 1, 0,
				      (struct sockaddr *)&sa, 0));
	ASSERT_OK(nym_call(self->cli, THIRD));
	EXPECT_RETURNS(1, sendto(self->cli, "x", 1, 0, (struct sockaddr *)&sa, 0));
	EXPECT_STREQ("x", hear(self->third));
}

static long send_raw(int fd, int family, const char *name, socklen_t len)
{
	struct sockaddr_nym sa = { .snym_family = family };

	snprintf(sa.snym_name, sizeof(sa.snym_name), "%s", name);
	return sendto(fd, "x", 1, MSG_DONTWAIT, (struct sockaddr *)&sa, len);
}

TEST_F(dgram, bad_addresses)
{
	const socklen_t len = sizeof(struct sockaddr_nym);

	EXPECT_ERRNO(EINVAL, send_raw(self->cli, AF_NYM, SRV, 1));
	EXPECT_ERRNO(EINVAL, send_raw(self->cli, AF_NYM, "", 2));
	EXPECT_ERRNO(EINVAL, send_raw(self->cli, AF_NYM, "", len));
	EXPECT_ERRNO(EINVAL, send_raw(self->cli, AF_UNIX, SRV, len));
	EXPECT_ERRNO(EINVAL, send_raw(self->cli, AF_UNSPEC, SRV, len));
	EXPECT_ERRNO(EINVAL, send_raw(self->cli, AF_NYM, "with space", len));
	EXPECT_ERRNO(EINVAL, send_raw(self->cli, AF_NYM, "at@home", len));
	EXPECT_ERRNO(EINVAL, send_raw(self->cli, AF_NYM, "\xe4", len));
	EXPECT_ERRNO(EFAULT, sendto(self->cli, "x", 1, 0, (void *)8, len));
	EXPECT_STREQ("", nym_own_name(self->cli));
	/* The same ones, with a peer that could have been taken instead. */
	ASSERT_OK(nym_call(self->cli, SRV));
	EXPECT_ERRNO(EINVAL, send_raw(self->cli, AF_NYM, "", 2));
	EXPECT_ERRNO(EINVAL, send_raw(self->cli, AF_UNSPEC, SRV, len));
	EXPECT_STREQ("EAGAIN", hear(self->srv));
}

/* Both ways to call it mean the same name. */
TEST_F(dgram, an_address_ends_at_its_nul_or_its_length)
{
	EXPECT_RETURNS(1, send_raw(self->cli, AF_NYM, SRV, 2 + strlen(SRV)));
	EXPECT_RETURNS(1, send_raw(self->cli, AF_NYM, SRV, 3 + strlen(SRV)));
	EXPECT_RETURNS(1, send_raw(self->cli, AF_NYM, SRV,
				   sizeof(struct sockaddr_nym)));
	EXPECT_RETURNS(1, send_raw(self->cli, AF_NYM, SRV "more",
				   2 + strlen(SRV)));
}

TEST_F(dgram, no_urgent_data)
{
	char c;

	ASSERT_OK(nym_call(self->cli, SRV));
	EXPECT_ERRNO(EOPNOTSUPP, send(self->cli, "x", 1, MSG_OOB));
	EXPECT_SAYS(self->cli, NULL, "x");
	EXPECT_ERRNO(EOPNOTSUPP, recv(self->srv, &c, 1, MSG_OOB));
	EXPECT_STREQ("x", hear(self->srv));
}

/* A page that can be used, and behind it one that cannot. */
static __u8 *half_bad(void)
{
	__u8 *mem = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mem == MAP_FAILED || mprotect(mem + 4096, 4096, PROT_NONE))
		abort();
	return mem;
}

TEST_F(dgram, a_fault_while_sending_queues_nothing)
{
	__u8 *mem = half_bad();
	struct iovec iov[2] = {
		{ .iov_base = "good", .iov_len = 4 },
		{ .iov_base = mem + 4096, .iov_len = 1 },
	};
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	size_t off;

	ASSERT_OK(nym_call(self->cli, SRV));
	for (off = 1; off <= 4096; off += 585)
		EXPECT_ERRNO(EFAULT, send(self->cli, mem + off, 4096, 0));
	EXPECT_ERRNO(EFAULT, send(self->cli, NULL, 1, 0));
	EXPECT_ERRNO(EFAULT, send_to(self->third, SRV, NULL, 100000, 0));
	EXPECT_ERRNO(EFAULT, sendmsg(self->cli, &msg, 0));
	EXPECT_EQ(0, io_inq(self->srv));
	EXPECT_EQ(0, io_outq(self->cli));
	EXPECT_EQ(0, io_outq(self->third));
	EXPECT_STREQ("EAGAIN", hear(self->srv));
	EXPECT_SAYS(self->cli, NULL, "ok");
	EXPECT_STREQ("ok", hear(self->srv));
	munmap(mem, 8192);
}

static int try_elsewhere(void *name)
{
	int fd;

	if (unshare(CLONE_NEWNET))
		return 254;
	fd = dgram_socket();
	return say(fd, name, "x") < 0 ? errno : 0;
}

TEST_F(dgram, names_belong_to_the_network_namespace)
{
	EXPECT_EQ(ECONNREFUSED, nym_errno_as(NULL, try_elsewhere, SRV));
	EXPECT_STREQ("EAGAIN", hear(self->srv));
}

/* --- Connecting --- */

TEST_F(dgram, a_connected_socket_needs_no_address)
{
	struct iovec iov[3] = {
		{ .iov_base = "ab", .iov_len = 2 },
		{ .iov_base = NULL, .iov_len = 0 },
		{ .iov_base = "cde", .iov_len = 3 },
	};

	ASSERT_OK(nym_call(self->cli, SRV));
	EXPECT_STREQ(SRV, nym_peer_name(self->cli));
	EXPECT_RETURNS(1, write(self->cli, "w", 1));
	EXPECT_RETURNS(5, writev(self->cli, iov, 3));
	EXPECT_STREQ("w", hear(self->srv));
	EXPECT_STREQ("abcde", hear(self->srv));
	/* Another address is no problem. */
	EXPECT_SAYS(self->cli, THIRD, "x");
	EXPECT_STREQ("x", hear(self->third));
	EXPECT_STREQ(SRV, nym_peer_name(self->cli));
	/* The server is not connected by this. */
	EXPECT_ERRNO(ENOTCONN, say(self->srv, NULL, "x"));
	EXPECT_STREQ("ENOTCONN", nym_peer_name(self->srv));
}

TEST_F(dgram, a_connected_socket_hears_only_its_peer)
{
	ASSERT_OK(nym_bind(self->cli, "t/dgram/cli"));
	EXPECT_SAYS(self->third, "t/dgram/cli", "before");
	ASSERT_OK(nym_call(self->cli, SRV));
	EXPECT_ERRNO(EPERM, say(self->third, "t/dgram/cli", "x"));
	EXPECT_ERRNO(EPERM, nym_call(self->third, "t/dgram/cli"));
	/* What was there stays: it came when it was welcome. */
	EXPECT_HEARS(self->cli, THIRD, "before");
	EXPECT_SAYS(self->srv, "t/dgram/cli", "x");
	EXPECT_OK(nym_call(self->srv, "t/dgram/cli"));
	EXPECT_SAYS(self->srv, NULL, "y");
	EXPECT_STREQ("x", hear(self->cli));
	EXPECT_HEARS(self->cli, SRV, "y");
}

TEST_F(dgram, a_connect_that_fails_changes_nothing)
{
	int stream = nym_listen("t/dgram/stream", 1), other = dgram_socket();

	ASSERT_FD(stream);
	ASSERT_OK(nym_call(self->cli, SRV));
	EXPECT_SAYS(self->srv, nym_own_name(self->cli), "kept");
	ASSERT_OK(nym_bind(other, "t/dgram/other"));
	ASSERT_OK(nym_call(self->third, "t/dgram/other"));
	EXPECT_ERRNO(ECONNREFUSED, nym_call(self->cli, NOWHERE));
	EXPECT_ERRNO(EPROTOTYPE, nym_call(self->cli, "t/dgram/stream"));
	EXPECT_ERRNO(EPERM, nym_call(self->cli, THIRD));
	EXPECT_ERRNO(EINVAL, nym_call(self->cli, "no@where"));
	ASSERT_OK(fchmod(other, 0700));
	EXPECT_ERRNO(EACCES, call_as_nobody(self->cli, "t/dgram/other"));
	EXPECT_STREQ(SRV, nym_peer_name(self->cli));
	EXPECT_ERRNO(EPERM, say(other, nym_own_name(self->cli), "x"));
	EXPECT_HEARS(self->cli, SRV, "kept");
	EXPECT_SAYS(self->cli, NULL, "x");
	EXPECT_STREQ("x", hear(self->srv));
	close(other);
	close(stream);
}

/* SRV and the client, connected to each other, a datagram on its way. */
#define ENGAGE() do { \
	ASSERT_OK(nym_bind(self->cli, "t/dgram/cli")); \
	ASSERT_OK(nym_call(self->cli, SRV)); \
	ASSERT_OK(nym_call(self->srv, "t/dgram/cli")); \
	ASSERT_EQ(4, say(self->srv, NULL, "lost")); \
} while (0)

TEST_F(dgram, connecting_to_another_drops_what_the_old_peer_sent)
{
	ENGAGE();
	ASSERT_OK(nym_call(self->cli, THIRD));
	EXPECT_STREQ(THIRD, nym_peer_name(self->cli));
	EXPECT_STREQ("EAGAIN", hear(self->cli));
	EXPECT_EQ(0, io_outq(self->srv));
	EXPECT_SAYS(self->third, "t/dgram/cli", "x");
	EXPECT_HEARS(self->cli, THIRD, "x");
	EXPECT_SAYS(self->cli, NULL, "y");
	EXPECT_HEARS(self->third, "t/dgram/cli", "y");

	/* The old peer is told once, whatever it asks; then it is a stranger. */
	EXPECT_EQ(OUT | POLLERR, io_mask(self->srv));
	EXPECT_EQ(ECONNRESET, io_so_error(self->srv));
	EXPECT_EQ(0, io_so_error(self->srv));
	EXPECT_EQ(OUT, io_mask(self->srv));
	EXPECT_ERRNO(EPERM, say(self->srv, NULL, "x"));
	EXPECT_STREQ("t/dgram/cli", nym_peer_name(self->srv));
}

TEST_F(dgram, a_reset_is_told_by_recv)
{
	ENGAGE();
	EXPECT_SAYS(self->cli, NULL, "first");
	ASSERT_OK(nym_call(self->cli, THIRD));
	EXPECT_STREQ("ECONNRESET", hear(self->srv));
	EXPECT_HEARS(self->srv, "t/dgram/cli", "first");
}

TEST_F(dgram, a_reset_is_told_by_send)
{
	ENGAGE();
	ASSERT_OK(disconnect(self->cli));
	EXPECT_ERRNO(ECONNRESET, say(self->srv, NULL, "x"));
	EXPECT_STREQ("EAGAIN", hear(self->cli));
	EXPECT_SAYS(self->srv, NULL, "x");
	EXPECT_HEARS(self->cli, SRV, "x");
}

/* As with AF_UNIX: the reset is about what was lost. */
TEST_F(dgram, no_reset_if_nothing_was_lost)
{
	ENGAGE();
	EXPECT_STREQ("lost", hear(self->cli));
	ASSERT_OK(nym_call(self->cli, THIRD));
	EXPECT_EQ(0, io_so_error(self->srv));
	ASSERT_OK(nym_call(self->cli, SRV));
	EXPECT_SAYS(self->srv, NULL, "x");
	/* The same peer again is no change. */
	ASSERT_OK(nym_call(self->cli, SRV));
	EXPECT_EQ(0, io_so_error(self->srv));
	EXPECT_HEARS(self->cli, SRV, "x");
}

TEST_F(dgram, no_reset_for_who_was_not_connected_to_us)
{
	ENGAGE();
	ASSERT_OK(disconnect(self->srv));
	ASSERT_OK(nym_call(self->cli, THIRD));
	EXPECT_STREQ("EAGAIN", hear(self->cli));
	EXPECT_EQ(0, io_so_error(self->srv));
}

/* As with AF_UNIX, unlike SOCK_SEQPACKET. */
TEST_F(dgram, close_with_unread_datagrams_resets_nobody)
{
	ENGAGE();
	close(self->cli);
	self->cli = -1;
	EXPECT_EQ(0, io_so_error(self->srv));
	EXPECT_EQ(OUT, io_mask(self->srv));
	EXPECT_EQ(0, io_outq(self->srv));
	EXPECT_STREQ("EAGAIN", hear(self->srv));
}

TEST_F(dgram, connecting_to_af_unspec_undoes_it)
{
	EXPECT_OK(disconnect(self->cli));
	ENGAGE();
	EXPECT_OK(disconnect(self->cli));
	EXPECT_STREQ("ENOTCONN", nym_peer_name(self->cli));
	EXPECT_STREQ("t/dgram/cli", nym_own_name(self->cli));
	EXPECT_ERRNO(ENOTCONN, say(self->cli, NULL, "x"));
	EXPECT_STREQ("EAGAIN", hear(self->cli));
	EXPECT_SAYS(self->third, "t/dgram/cli", "x");
	EXPECT_HEARS(self->cli, THIRD, "x");
	EXPECT_OK(disconnect(self->cli));
	EXPECT_EQ(ECONNRESET, io_so_error(self->srv));
}

TEST_F(dgram, the_peers_name_is_known_after_its_death)
{
	EXPECT_STREQ("ENOTCONN", nym_peer_name(self->cli));
	ASSERT_OK(nym_call(self->cli, SRV));
	stop(&self->srv);
	EXPECT_STREQ(SRV, nym_peer_name(self->cli));
	EXPECT_ERRNO(ECONNREFUSED, say(self->cli, NULL, "x"));
	EXPECT_STREQ(SRV, nym_peer_name(self->cli));
}

TEST_F(dgram, a_socket_may_talk_to_itself)
{
	EXPECT_SAYS(self->srv, SRV, "unconnected");
	EXPECT_HEARS(self->srv, SRV, "unconnected");
	ASSERT_OK(nym_call(self->srv, SRV));
	EXPECT_STREQ(SRV, nym_peer_name(self->srv));
	EXPECT_SAYS(self->srv, NULL, "connected");
	EXPECT_ERRNO(EPERM, say(self->third, SRV, "x"));
	EXPECT_HEARS(self->srv, SRV, "connected");
	EXPECT_SAYS(self->srv, NULL, "lost");
	ASSERT_OK(disconnect(self->srv));
	EXPECT_STREQ("EAGAIN", hear(self->srv));
	/* Nobody stays alive by datagrams to itself. */
	EXPECT_SAYS(self->srv, SRV, "last");
	stop(&self->srv);
	EXPECT_OK(nym_bind(self->cli, SRV));
}

/* --- A server that dies and comes back --- */

TEST_F(dgram, a_connection_follows_the_name)
{
	ASSERT_OK(nym_bind(self->cli, "t/dgram/cli"));
	ASSERT_OK(nym_call(self->cli, SRV));
	EXPECT_SAYS(self->cli, NULL, "first");
	stop(&self->srv);
	EXPECT_ERRNO(ECONNREFUSED, say(self->cli, NULL, "x"));
	EXPECT_ERRNO(ECONNREFUSED, say(self->cli, NULL, "x"));
	EXPECT_EQ(OUT, io_mask(self->cli));
	EXPECT_EQ(0, io_so_error(self->cli));

	self->srv = dgram_bound(SRV);
	ASSERT_FD(self->srv);
	EXPECT_SAYS(self->cli, NULL, "second");
	EXPECT_HEARS(self->srv, "t/dgram/cli", "second");
	EXPECT_SAYS(self->srv, "t/dgram/cli", "answer");
	EXPECT_HEARS(self->cli, SRV, "answer");
	/* Also where no send() came between. */
	stop(&self->srv);
	self->srv = dgram_bound(SRV);
	EXPECT_SAYS(self->cli, NULL, "third");
	EXPECT_HEARS(self->srv, "t/dgram/cli", "third");
	EXPECT_ERRNO(EPERM, say(self->third, "t/dgram/cli", "x"));
}

TEST_F(dgram, a_new_owner_is_heard_though_the_client_never_sent)
{
	ASSERT_OK(nym_bind(self->cli, "t/dgram/cli"));
	ASSERT_OK(nym_call(self->cli, SRV));
	stop(&self->srv);
	EXPECT_ERRNO(EPERM, say(self->third, "t/dgram/cli", "x"));
	self->srv = dgram_bound(SRV);
	ASSERT_FD(self->srv);
	EXPECT_SAYS(self->srv, "t/dgram/cli", "x");
	EXPECT_OK(nym_call(self->srv, "t/dgram/cli"));
	EXPECT_SAYS(self->srv, NULL, "y");
	EXPECT_STREQ("x", hear(self->cli));
	EXPECT_HEARS(self->cli, SRV, "y");
}

TEST_F(dgram, a_new_owner_may_refuse)
{
	int stream;

	ASSERT_OK(fchmod(self->srv, 0666));
	ASSERT_OK(call_as_nobody(self->cli, SRV));
	stop(&self->srv);

	self->srv = dgram_bound(SRV);
	ASSERT_OK(fchmod(self->srv, 0700));
	EXPECT_ERRNO(EACCES, say_as_nobody(self->cli, NULL, "x"));
	ASSERT_OK(fchmod(self->srv, 0722));
	EXPECT_RETURNS(1, say_as_nobody(self->cli, NULL, "x"));
	EXPECT_STREQ("x", hear(self->srv));
	stop(&self->srv);

	self->srv = dgram_bound(SRV);
	ASSERT_OK(nym_call(self->srv, THIRD));
	EXPECT_ERRNO(EPERM, say(self->cli, NULL, "x"));
	ASSERT_OK(disconnect(self->srv));
	EXPECT_SAYS(self->cli, NULL, "x");
	stop(&self->srv);

	stream = nym_listen(SRV, 1);
	ASSERT_FD(stream);
	EXPECT_ERRNO(EPROTOTYPE, say(self->cli, NULL, "x"));
	close(stream);

	self->srv = dgram_bound(SRV);
	ASSERT_OK(shutdown(self->srv, SHUT_RD));
	EXPECT_ERRNO(EPIPE, say(self->cli, NULL, "x"));
	EXPECT_STREQ(SRV, nym_peer_name(self->cli));
}

TEST_F(dgram, what_the_dead_sent_stays_readable)
{
	ASSERT_OK(nym_bind(self->cli, "t/dgram/cli"));
	EXPECT_SAYS(self->srv, "t/dgram/cli", "unconnected");
	ASSERT_OK(nym_call(self->cli, SRV));
	EXPECT_SAYS(self->srv, "t/dgram/cli", "connected");
	stop(&self->srv);
	EXPECT_EQ(IN | OUT, io_mask(self->cli));
	EXPECT_ERRNO(ECONNREFUSED, say(self->cli, NULL, "x"));
	self->srv = dgram_bound(SRV);
	EXPECT_SAYS(self->srv, "t/dgram/cli", "reborn");
	EXPECT_STREQ("unconnected", hear(self->cli));
	EXPECT_STREQ(SRV, heard_from);
	EXPECT_STREQ("connected", hear(self->cli));
	EXPECT_HEARS(self->cli, SRV, "reborn");
}

TEST_F(dgram, a_process_that_is_killed_leaves_its_datagrams_and_its_name)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		close(self->cli);
		self->cli = dgram_bound("t/dgram/child");
		say(self->cli, SRV, "last words");
		raise(SIGKILL);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_HEARS(self->srv, "t/dgram/child", "last words");
	EXPECT_ERRNO(ECONNREFUSED, say(self->srv, "t/dgram/child", "x"));
	EXPECT_OK(nym_bind(self->cli, "t/dgram/child"));
}

/* --- Receiving --- */

/* One datagram; gives its length, its flags, and where to put its sender. */
static long recv_msg(int fd, void *buf, size_t len, int flags, int *got,
		     struct sockaddr_nym *from, socklen_t *fromlen)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
			      .msg_name = from,
			      .msg_namelen = fromlen ? *fromlen : 0 };
	long n = recvmsg(fd, &msg, flags | MSG_DONTWAIT);

	*got = msg.msg_flags;
	if (fromlen)
		*fromlen = msg.msg_namelen;
	return n;
}

TEST_F(dgram, datagrams_keep_their_boundaries_and_their_order)
{
	char a[2] = "", b[8] = "";
	struct iovec iov[2] = {
		{ .iov_base = a, .iov_len = 2 },
		{ .iov_base = b, .iov_len = 8 },
	};

	EXPECT_SAYS(self->cli, SRV, "one");
	EXPECT_SAYS(self->third, SRV, "three");
	EXPECT_SAYS(self->cli, SRV, "split");
	EXPECT_STREQ("one", hear(self->srv));
	EXPECT_STREQ("three", hear(self->srv));
	EXPECT_STREQ(THIRD, heard_from);
	EXPECT_RETURNS(5, readv(self->srv, iov, 2));
	EXPECT_EQ(0, memcmp(a, "sp", 2));
	EXPECT_STREQ("lit", b);
	EXPECT_STREQ("EAGAIN", hear(self->srv));
}

TEST_F(dgram, a_short_buffer_truncates_and_says_so)
{
	char buf[8] = "";
	int flags;

	EXPECT_SAYS(self->cli, SRV, "0123456789");
	EXPECT_SAYS(self->cli, SRV, "0123456789");
	EXPECT_SAYS(self->cli, SRV, "x");
	EXPECT_RETURNS(4, recv_msg(self->srv, buf, 4, 0, &flags, NULL, NULL));
	EXPECT_EQ(MSG_TRUNC, flags);
	EXPECT_EQ(0, memcmp(buf, "0123\0", 5));
	EXPECT_RETURNS(10, recv_msg(self->srv, buf, 2, MSG_TRUNC, &flags, NULL, NULL));
	EXPECT_EQ(MSG_TRUNC, flags);
	/* What was left of them is gone. */
	EXPECT_RETURNS(1, recv_msg(self->srv, buf, 1, MSG_TRUNC, &flags, NULL, NULL));
	EXPECT_EQ(0, flags & MSG_TRUNC);
	EXPECT_EQ('x', buf[0]);
}

TEST_F(dgram, a_peek_shows_all_and_takes_nothing)
{
	struct sockaddr_nym sa;
	socklen_t len = sizeof(sa);
	char buf[8] = "";
	int flags;

	EXPECT_ERRNO(EAGAIN, recv(self->srv, buf, 8, MSG_PEEK | MSG_DONTWAIT));
	EXPECT_SAYS(self->third, SRV, "abc");
	EXPECT_RETURNS(2, recv_msg(self->srv, buf, 2, MSG_PEEK, &flags, &sa, &len));
	EXPECT_EQ(MSG_TRUNC, flags & MSG_TRUNC);
	EXPECT_STREQ(THIRD, nym_name_of(&sa, len));
	EXPECT_RETURNS(3, recv_msg(self->srv, NULL, 0, MSG_PEEK | MSG_TRUNC,
				   &flags, NULL, NULL));
	EXPECT_RETURNS(3, recv(self->srv, buf, 8, MSG_PEEK));
	EXPECT_STREQ("abc", buf);
	EXPECT_HEARS(self->srv, THIRD, "abc");
}

TEST_F(dgram, an_empty_datagram_is_a_datagram)
{
	ASSERT_OK(nym_bind(self->cli, "t/dgram/cli"));
	ASSERT_OK(nym_call(self->cli, SRV));
	EXPECT_RETURNS(0, send(self->cli, NULL, 0, 0));
	EXPECT_RETURNS(0, send_to(self->third, SRV, "x", 0, 0));
	EXPECT_SAYS(self->cli, NULL, "x");
	EXPECT_EQ(IN | OUT, io_mask(self->srv));
	EXPECT_EQ(0, io_inq(self->srv));
	EXPECT_STREQ("", hear(self->srv));
	EXPECT_STREQ("t/dgram/cli", heard_from);
	EXPECT_EQ(IN | OUT, io_mask(self->srv));
	EXPECT_STREQ("", hear(self->srv));
	EXPECT_STREQ(THIRD, heard_from);
	EXPECT_HEARS(self->srv, "t/dgram/cli", "x");
}

TEST_F(dgram, an_address_that_does_not_fit_is_cut_and_measured)
{
	struct sockaddr_nym sa;
	socklen_t len = 6;
	char c;

	EXPECT_SAYS(self->third, SRV, "x");
	memset(&sa, 0x7f, sizeof(sa));
	EXPECT_RETURNS(1, recvfrom(self->srv, &c, 1, 0, (struct sockaddr *)&sa, &len));
	EXPECT_EQ(2 + sizeof(THIRD), len);
	EXPECT_EQ(AF_NYM, sa.snym_family);
	EXPECT_EQ(0, memcmp(sa.snym_name, "t/dg\x7f\x7f", 6));
	/* Nothing behind the address, either. */
	EXPECT_SAYS(self->third, SRV, "x");
	memset(&sa, 0x7f, sizeof(sa));
	len = sizeof(sa);
	EXPECT_RETURNS(1, recvfrom(self->srv, &c, 1, 0, (struct sockaddr *)&sa, &len));
	EXPECT_EQ(0, memcmp(sa.snym_name, THIRD "\0\x7f", sizeof(THIRD) + 1));
}

/* Lengths around what memory comes in, two under way at once. */
TEST_F(dgram, every_length_arrives_whole)
{
	static const long len[] = {
		0, 1, 2, 7, 31, 64, 191, 192, 193, 448, 512, 1000, 2048, 3900,
		4000, 4095, 4096, 4097, 7900, 8192, 8193, 16384, 32767, 65536,
		65537, 150001,
	};
	__u8 *buf = malloc(1 << 20);
	size_t i;

	ASSERT_NE(NULL, buf);
	ASSERT_OK(nym_call(self->cli, SRV));
	for (i = 0; i < ARRAY_SIZE(len); i++) {
		long second = len[i / 2];

		ASSERT_RETURNS(len[i], send(self->cli, io_at(i), len[i], 0));
		ASSERT_RETURNS(second, send_to(self->third, SRV, io_at(0), second, 0));
		ASSERT_RETURNS(len[i], recv(self->srv, buf, 1 << 20, MSG_DONTWAIT));
		ASSERT_TRUE(io_is(buf, i, len[i]));
		ASSERT_RETURNS(second, recv(self->srv, buf, 1 << 20, MSG_DONTWAIT));
		ASSERT_TRUE(io_is(buf, 0, second));
	}
	free(buf);
}

TEST_F(dgram, a_datagram_of_a_megabyte)
{
	int sndbuf = 1 << 20;
	size_t len = 1 << 20;
	__u8 *buf = malloc(len);

	ASSERT_NE(NULL, buf);
	ASSERT_OK(setsockopt(self->cli, SOL_SOCKET, SO_SNDBUFFORCE, &sndbuf,
			     sizeof(sndbuf)));
	EXPECT_RETURNS(len, send_to(self->cli, SRV, io_at(0), len, MSG_DONTWAIT));
	EXPECT_RETURNS(len, recv(self->srv, buf, len, MSG_DONTWAIT));
	EXPECT_TRUE(io_is(buf, 0, len));
	free(buf);
}

TEST_F(dgram, a_fault_while_receiving_keeps_the_datagram)
{
	__u8 *mem = half_bad();

	EXPECT_RETURNS(200, send_to(self->cli, SRV, io_at(0), 200, 0));
	EXPECT_SAYS(self->cli, SRV, "next");
	EXPECT_ERRNO(EFAULT, recv(self->srv, mem + 4000, 200, MSG_DONTWAIT));
	EXPECT_ERRNO(EFAULT, recv(self->srv, NULL, 200, MSG_DONTWAIT));
	EXPECT_ERRNO(EFAULT, recv(self->srv, NULL, 200, MSG_DONTWAIT | MSG_PEEK));
	EXPECT_EQ(200, io_inq(self->srv));
	EXPECT_RETURNS(200, recv(self->srv, mem, 200, MSG_DONTWAIT));
	EXPECT_TRUE(io_is(mem, 0, 200));
	EXPECT_STREQ("next", hear(self->srv));
	munmap(mem, 8192);
}

TEST_F(dgram, a_receiver_waits_as_long_as_it_wants_to)
{
	long start = io_now_ms();
	char c;

	ASSERT_OK(io_set_timeout(self->srv, SO_RCVTIMEO, 40));
	EXPECT_ERRNO(EAGAIN, recv(self->srv, &c, 1, 0));
	EXPECT_LE(NYM_TICKED(40), io_now_ms() - start);
	EXPECT_ERRNO(EAGAIN, recv(self->srv, &c, 1, MSG_PEEK));
	ASSERT_OK(nym_set_nonblock(self->srv, true));
	EXPECT_ERRNO(EAGAIN, recv(self->srv, &c, 1, 0));
	/* Nor is there anything for a socket without a name; no error, though. */
	EXPECT_ERRNO(EAGAIN, recv(self->cli, &c, 1, MSG_DONTWAIT));
	EXPECT_STREQ("", nym_own_name(self->cli));
}

static void on_signal(int sig)
{
}

static void start_recv(struct io_thread *t, int fd, char buf[16])
{
	*t = (struct io_thread){ .fd = fd, .buf = buf, .len = 16 };
	io_start(t, io_do_recv);
}

TEST_F(dgram, a_signal_ends_a_receive_or_not)
{
	struct sigaction sa = { .sa_handler = on_signal };
	char buf[16] = "";

	ASSERT_OK(sigaction(SIGUSR1, &sa, NULL));
	start_recv(&self->t, self->srv, buf);
	ASSERT_TRUE(io_wait_blocked(&self->t));
	ASSERT_OK(pthread_kill(self->t.thread, SIGUSR1));
	EXPECT_RETURNS(-1, io_join(&self->t));
	EXPECT_SAME_ERRNO(EINTR, self->t.err);

	sa.sa_flags = SA_RESTART;
	ASSERT_OK(sigaction(SIGUSR1, &sa, NULL));
	start_recv(&self->t, self->srv, buf);
	ASSERT_TRUE(io_wait_blocked(&self->t));
	ASSERT_OK(pthread_kill(self->t.thread, SIGUSR1));
	ASSERT_TRUE(io_wait_blocked(&self->t));
	EXPECT_SAYS(self->cli, SRV, "at last");
	EXPECT_RETURNS(7, io_join(&self->t));
	EXPECT_STREQ("at last", buf);
}

TEST_F(dgram, after_shutdown_comes_what_is_queued_then_the_end)
{
	char buf[8];

	EXPECT_SAYS(self->cli, SRV, "queued");
	EXPECT_OK(shutdown(self->srv, SHUT_RD));
	EXPECT_ERRNO(EPIPE, say(self->cli, SRV, "x"));
	EXPECT_OK(nym_call(self->cli, SRV));
	EXPECT_RETURNS(6, recv(self->srv, buf, 8, 0));
	EXPECT_RETURNS(0, recv(self->srv, buf, 8, 0));
	EXPECT_RETURNS(0, read(self->srv, buf, 8));
	/* As with AF_UNIX: who does not wait is told so. */
	EXPECT_ERRNO(EAGAIN, recv(self->srv, buf, 8, MSG_DONTWAIT));
}

TEST_F(dgram, several_in_one_call)
{
	char text[3][8] = { "one", "two", "three" }, buf[4][8] = { "" };
	struct mmsghdr out[3] = { 0 }, in[4] = { 0 };
	struct iovec iov[7];
	int i;

	for (i = 0; i < 3; i++) {
		iov[i] = (struct iovec){ text[i], strlen(text[i]) };
		out[i].msg_hdr.msg_iov = &iov[i];
		out[i].msg_hdr.msg_iovlen = 1;
	}
	for (i = 0; i < 4; i++) {
		iov[3 + i] = (struct iovec){ buf[i], 8 };
		in[i].msg_hdr.msg_iov = &iov[3 + i];
		in[i].msg_hdr.msg_iovlen = 1;
	}
	ASSERT_OK(nym_call(self->cli, SRV));
	EXPECT_RETURNS(3, sendmmsg(self->cli, out, 3, 0));
	EXPECT_RETURNS(3, recvmmsg(self->srv, in, 4, MSG_DONTWAIT, NULL));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(strlen(text[i]), in[i].msg_len);
		EXPECT_STREQ(text[i], buf[i]);
	}
}

/* --- What a socket tells of itself --- */

TEST_F(dgram, mask_in_each_state)
{
	EXPECT_EQ(OUT, io_mask(self->cli));
	EXPECT_EQ(OUT, io_mask(self->srv));
	EXPECT_SAYS(self->cli, SRV, "x");
	EXPECT_EQ(IN | OUT, io_mask(self->srv));
	EXPECT_EQ(OUT, io_mask(self->cli));
	EXPECT_STREQ("x", hear(self->srv));
	ASSERT_OK(nym_call(self->cli, SRV));
	EXPECT_EQ(OUT, io_mask(self->cli));
	ASSERT_OK(shutdown(self->srv, SHUT_WR));
	EXPECT_EQ(OUT, io_mask(self->srv));
	ASSERT_OK(shutdown(self->srv, SHUT_RD));
	EXPECT_EQ(IN | OUT | POLLRDHUP | POLLHUP, io_mask(self->srv));
	EXPECT_EQ(OUT, io_mask(self->cli));
	ASSERT_OK(shutdown(self->third, SHUT_RD));
	EXPECT_EQ(IN | OUT | POLLRDHUP, io_mask(self->third));
	stop(&self->srv);
	EXPECT_EQ(OUT, io_mask(self->cli));
}

TEST_F(dgram, siocinq_is_the_length_of_the_first)
{
	EXPECT_EQ(0, io_inq(self->srv));
	EXPECT_SAYS(self->cli, SRV, "first");
	EXPECT_SAYS(self->cli, SRV, "second!");
	EXPECT_RETURNS(0, send_to(self->cli, SRV, NULL, 0, 0));
	EXPECT_EQ(5, io_inq(self->srv));
	EXPECT_STREQ("first", hear(self->srv));
	EXPECT_EQ(7, io_inq(self->srv));
	EXPECT_STREQ("second!", hear(self->srv));
	EXPECT_EQ(0, io_inq(self->srv));
	EXPECT_STREQ("", hear(self->srv));
}

TEST_F(dgram, siocoutq_is_what_nobody_has_read)
{
	long one;

	EXPECT_EQ(0, io_outq(self->cli));
	EXPECT_SAYS(self->cli, SRV, "x");
	one = io_outq(self->cli);
	EXPECT_LT(1, one);
	EXPECT_EQ(0, io_outq(self->srv));
	EXPECT_SAYS(self->cli, SRV, "y");
	EXPECT_SAYS(self->cli, THIRD, "z");
	EXPECT_EQ(3 * one, io_outq(self->cli));
	EXPECT_STREQ("x", hear(self->srv));
	EXPECT_EQ(2 * one, io_outq(self->cli));
	EXPECT_STREQ("z", hear(self->third));
	EXPECT_EQ(one, io_outq(self->cli));
	/* What is thrown away does not count, either. */
	stop(&self->srv);
	EXPECT_EQ(0, io_outq(self->cli));
}

static void expect_line(struct __test_metadata *_metadata, int fd,
			const char *state, unsigned long queued)
{
	struct nym_line line;

	ASSERT_EQ(1, nym_proc_line(fd, &line));
	EXPECT_STREQ(nym_own_name(fd)[0] ? nym_own_name(fd) : "-", line.name);
	EXPECT_STREQ("dgram", line.type);
	EXPECT_STREQ(state, line.state);
	EXPECT_EQ(queued, line.queued);
	EXPECT_EQ(0UL, line.pending);
	EXPECT_EQ((unsigned long)nym_get_int(fd, SO_RCVBUF), line.limit);
}

TEST_F(dgram, proc_shows_state_queue_and_limit)
{
	ASSERT_OK(io_set_int(self->srv, SO_RCVBUF, 30000));
	expect_line(_metadata, self->cli, "unconnected", 0);
	expect_line(_metadata, self->srv, "bound", 0);
	EXPECT_SAYS(self->cli, SRV, "hello");
	EXPECT_SAYS(self->third, SRV, "hello, hello");
	expect_line(_metadata, self->cli, "bound", 0);
	expect_line(_metadata, self->srv, "bound",
		    io_outq(self->cli) + io_outq(self->third));
	ASSERT_OK(nym_call(self->cli, SRV));
	expect_line(_metadata, self->cli, "connected", 0);
	EXPECT_STREQ("hello", hear(self->srv));
	expect_line(_metadata, self->srv, "bound", io_outq(self->third));
	stop(&self->srv);
	expect_line(_metadata, self->cli, "connected", 0);
	ASSERT_OK(disconnect(self->cli));
	expect_line(_metadata, self->cli, "bound", 0);
}

TEST_F(dgram, a_pair)
{
	char name[NYM_NAME_MAX + 1];
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int fd[2], i;

	ASSERT_OK(dgram_pair(fd));
	snprintf(name, sizeof(name), "%s", nym_own_name(fd[0]));
	EXPECT_STRNE(name, nym_own_name(fd[1]));
	for (i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "%s", nym_own_name(fd[i]));
		EXPECT_TRUE(nym_is_kernel_chosen(name));
		EXPECT_STREQ(name, nym_peer_name(fd[!i]));
		ASSERT_OK(getsockopt(fd[i], SOL_SOCKET, SO_PEERCRED, &cred, &len));
		EXPECT_EQ(getpid(), cred.pid);
		EXPECT_EQ(getuid(), cred.uid);
		EXPECT_EQ(getgid(), cred.gid);
		expect_line(_metadata, fd[i], "connected", 0);
		EXPECT_ERRNO(EPERM, say(self->cli, name, "x"));
		EXPECT_ERRNO(EINVAL, nym_bind(fd[i], "t/dgram/pair"));
		EXPECT_SAYS(fd[i], NULL, "hello");
		EXPECT_HEARS(fd[!i], name, "hello");
	}
	/* What was sent outlives its sender, here too. */
	EXPECT_SAYS(fd[0], NULL, "last");
	close(fd[0]);
	EXPECT_STREQ("last", hear(fd[1]));
	EXPECT_ERRNO(ECONNREFUSED, say(fd[1], NULL, "x"));
	ASSERT_OK(nym_call(fd[1], SRV));
	EXPECT_SAYS(fd[1], NULL, "x");
	EXPECT_STREQ("x", hear(self->srv));
	close(fd[1]);
}

TEST_F(dgram, nobody_vouches_for_who_is_behind_a_name)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	ASSERT_OK(nym_call(self->cli, SRV));
	ASSERT_OK(getsockopt(self->cli, SOL_SOCKET, SO_PEERCRED, &cred, &len));
	EXPECT_EQ(0, cred.pid);
	EXPECT_EQ(-1, (int)cred.uid);
	EXPECT_EQ(-1, (int)cred.gid);
}

/* --- Timestamps --- */

FIXTURE(stamp)
{
	int srv;
	int cli;
};

FIXTURE_VARIANT(stamp)
{
	int opt;
	long unit;	/* nanoseconds that the second number counts in */
};

FIXTURE_VARIANT_ADD(stamp, timeval)
{
	.opt = SO_TIMESTAMP_OLD, .unit = 1000,
};

FIXTURE_VARIANT_ADD(stamp, timespec)
{
	.opt = SO_TIMESTAMPNS_OLD, .unit = 1,
};

FIXTURE_VARIANT_ADD(stamp, timeval_new)
{
	.opt = SO_TIMESTAMP_NEW, .unit = 1000,
};

FIXTURE_VARIANT_ADD(stamp, timespec_new)
{
	.opt = SO_TIMESTAMPNS_NEW, .unit = 1,
};

FIXTURE_SETUP(stamp)
{
	die_with_parent();
	SKIP_WITHOUT_NYM();
	self->srv = dgram_bound(SRV);
	ASSERT_FD(self->srv);
	self->cli = dgram_connected(SRV);
	ASSERT_FD(self->cli);
	ASSERT_OK(nym_set_int(self->srv, variant->opt, 1));
}

FIXTURE_TEARDOWN(stamp)
{
	close(self->srv);
	close(self->cli);
}

static long now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * 1000000000L + ts.tv_nsec;
}

/* Receives a datagram; gives its time in ns, 0 for none, -1 for anything odd. */
static long stamp_of(int fd, int type, long unit, int flags, size_t room, int *got)
{
	union {
		struct cmsghdr align;
		char buf[128];
	} control;
	char byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
			      .msg_control = room ? control.buf : NULL,
			      .msg_controllen = room };
	struct cmsghdr *c;
	__s64 time[2];

	if (recvmsg(fd, &msg, flags | MSG_DONTWAIT) < 0)
		return -1;
	*got = msg.msg_flags & MSG_CTRUNC;
	c = CMSG_FIRSTHDR(&msg);
	if (!c)
		return 0;
	if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != type ||
	    c->cmsg_len != CMSG_LEN(sizeof(time)) || CMSG_NXTHDR(&msg, c))
		return -1;
	memcpy(time, CMSG_DATA(c), sizeof(time));
	return time[0] * 1000000000L + time[1] * unit;
}

#define STAMP(_flags, _room, _got) \
	stamp_of(self->srv, variant->opt, variant->unit, _flags, _room, _got)

TEST_F(stamp, is_the_time_of_queueing)
{
	long before, between, after, first, second;
	int got;

	EXPECT_EQ(1, nym_get_int(self->srv, variant->opt));
	before = now_ns() / variant->unit * variant->unit;
	EXPECT_RETURNS(1, send(self->cli, "x", 1, 0));
	between = now_ns();
	EXPECT_RETURNS(0, send(self->cli, NULL, 0, 0));
	after = now_ns();
	usleep(5000);
	first = STAMP(MSG_PEEK, 128, &got);
	EXPECT_LE(before, first);
	EXPECT_LE(first, between);
	EXPECT_EQ(0, got);
	EXPECT_EQ(first, STAMP(0, 128, &got));
	second = STAMP(0, 128, &got);
	EXPECT_LE(between / variant->unit * variant->unit, second);
	EXPECT_LE(second, after);
	EXPECT_EQ(-1, STAMP(0, 128, &got));
	EXPECT_EQ(EAGAIN, errno);
}

TEST_F(stamp, a_short_control_buffer_is_told)
{
	int got;

	EXPECT_RETURNS(1, send(self->cli, "x", 1, 0));
	EXPECT_EQ(0, STAMP(MSG_PEEK, 0, &got));
	EXPECT_EQ(MSG_CTRUNC, got);
	STAMP(0, CMSG_LEN(16) - 1, &got);
	EXPECT_EQ(MSG_CTRUNC, got);
}

TEST_F(stamp, is_for_who_asked)
{
	long before, late;
	int got;

	ASSERT_OK(nym_set_int(self->srv, variant->opt, 0));
	EXPECT_EQ(0, nym_get_int(self->srv, variant->opt));
	before = now_ns() / variant->unit * variant->unit;
	EXPECT_RETURNS(1, send(self->cli, "x", 1, 0));
	EXPECT_EQ(0, STAMP(MSG_PEEK, 128, &got));
	EXPECT_EQ(0, got);
	/* Who asks late gets some time between queueing and reading. */
	ASSERT_OK(nym_set_int(self->srv, variant->opt, 1));
	late = STAMP(0, 128, &got);
	EXPECT_LE(before, late);
	EXPECT_LE(late, now_ns());
	/* A socket's option is about what it receives. */
	EXPECT_SAYS(self->srv, nym_own_name(self->cli), "y");
	EXPECT_EQ(0, stamp_of(self->cli, variant->opt, 1, 0, 128, &got));
	EXPECT_EQ(0, got);
}

NYM_TEST_MAIN
