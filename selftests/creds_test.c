// SPDX-License-Identifier: GPL-2.0
/*
 * Credentials: who sent a message (SCM_CREDENTIALS), who may claim to be
 * somebody else, what others see across namespaces, and who is at the other
 * end of a connection (SO_PEERCRED and its relatives).
 */
#include "nym_test.h"
#include "nym_io.h"
#include "nym_scm.h"

#include <sys/mman.h>
#include <sys/resource.h>

#define NAME		"t/creds/srv"

#define OVERFLOW_ID	65534U	/* an id that has no number here */
#define NO_SUCH_PID	0x3ffffff0
#define CRED_LEN	CMSG_LEN(sizeof(struct ucred))
#define CRED_SPACE	CMSG_SPACE(sizeof(struct ucred))

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD	77
#endif

static void *const bad_pointer = (void *)8;

/* Receives one message: @text, and who sent it. */
static void expect_from(struct __test_metadata *_metadata, int fd,
			const char *text, pid_t pid, uid_t uid, gid_t gid)
{
	struct scm_in in;
	char buf[64] = "";

	EXPECT_RETURNS(strlen(text), scm_recv(fd, buf, sizeof(buf) - 1,
					      MSG_DONTWAIT, &in));
	EXPECT_STREQ(text, buf);
	EXPECT_EQ(0, in.flags);
	EXPECT_EQ(0, in.odd);
	EXPECT_EQ(0, in.nfds);
	ASSERT_EQ(1, in.ncreds);
	EXPECT_EQ(CRED_SPACE, in.controllen);
	EXPECT_EQ(pid, in.cred.pid);
	EXPECT_EQ(uid, in.cred.uid);
	EXPECT_EQ(gid, in.cred.gid);
}

/* Receives one message, and nothing about its sender. */
static void expect_anonymous(struct __test_metadata *_metadata, int fd,
			     const char *text)
{
	struct scm_in in;
	char buf[64] = "";

	EXPECT_RETURNS(strlen(text), scm_recv(fd, buf, sizeof(buf) - 1,
					      MSG_DONTWAIT, &in));
	EXPECT_STREQ(text, buf);
	EXPECT_EQ(0, in.flags);
	EXPECT_EQ(0U, in.controllen);
}

static void expect_nothing(struct __test_metadata *_metadata, int fd)
{
	char c;

	EXPECT_ERRNO(EAGAIN, recv(fd, &c, 1, MSG_DONTWAIT));
}

/* --- The options --- */

FIXTURE(option) {
	int fd;
};

FIXTURE_VARIANT(option) {
	int type;
};

FIXTURE_VARIANT_ADD(option, stream) {
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(option, seqpacket) {
	.type = SOCK_SEQPACKET,
};

FIXTURE_VARIANT_ADD(option, dgram) {
	.type = SOCK_DGRAM,
};

FIXTURE_SETUP(option)
{
	SKIP_WITHOUT_NYM();
	self->fd = scm_socket(variant->type);
	ASSERT_FD(self->fd);
}

FIXTURE_TEARDOWN(option)
{
	close(self->fd);
}

static const int options[] = { NYM_PASSRIGHTS, NYM_PASSCRED };

TEST_F(option, is_off_at_first)
{
	int fd[2];

	ASSERT_OK(socketpair(AF_NYM, variant->type, 0, fd));
	EXPECT_EQ(0, scm_option(self->fd, NYM_PASSRIGHTS));
	EXPECT_EQ(0, scm_option(self->fd, NYM_PASSCRED));
	EXPECT_EQ(0, scm_option(fd[0], NYM_PASSRIGHTS));
	EXPECT_EQ(0, scm_option(fd[1], NYM_PASSRIGHTS));
	EXPECT_EQ(0, scm_option(fd[0], NYM_PASSCRED));
	EXPECT_EQ(0, scm_option(fd[1], NYM_PASSCRED));
	close(fd[0]);
	close(fd[1]);
}

TEST_F(option, is_on_or_off)
{
	static const int values[] = { 1, 0, 2, 0, -1, 0, INT_MIN, 0 };
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(options); i++) {
		for (j = 0; j < ARRAY_SIZE(values); j++) {
			EXPECT_OK(setsockopt(self->fd, SOL_NYM, options[i],
					     &values[j], sizeof(int)));
			EXPECT_EQ(!!values[j], scm_option(self->fd, options[i]));
			EXPECT_EQ(0, scm_option(self->fd, options[!i]));
		}
	}
}

TEST_F(option, may_be_longer_than_an_int)
{
	int value[4] = { 1, 2, 3, 4 };
	socklen_t len = sizeof(value);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(options); i++) {
		EXPECT_OK(setsockopt(self->fd, SOL_NYM, options[i], value, len));
		EXPECT_OK(getsockopt(self->fd, SOL_NYM, options[i], value, &len));
		EXPECT_EQ(sizeof(int), len);
		EXPECT_EQ(1, value[0]);
		EXPECT_EQ(2, value[1]);
		len = sizeof(value);
	}
}

TEST_F(option, refuses_bad_lengths_and_pointers)
{
	socklen_t len;
	int one = 1;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(options); i++) {
		for (len = 0; len < sizeof(int); len++)
			EXPECT_ERRNO(EINVAL, setsockopt(self->fd, SOL_NYM,
							options[i], &one, len));
		EXPECT_ERRNO(EINVAL, setsockopt(self->fd, SOL_NYM, options[i],
						&one, -1));
		EXPECT_ERRNO(EFAULT, setsockopt(self->fd, SOL_NYM, options[i],
						bad_pointer, sizeof(int)));
		EXPECT_ERRNO(EFAULT, setsockopt(self->fd, SOL_NYM, options[i],
						NULL, sizeof(int)));
		len = -1;
		EXPECT_ERRNO(EINVAL, getsockopt(self->fd, SOL_NYM, options[i],
						&one, &len));
		len = sizeof(int);
		EXPECT_ERRNO(EFAULT, getsockopt(self->fd, SOL_NYM, options[i],
						bad_pointer, &len));
		EXPECT_ERRNO(EFAULT, getsockopt(self->fd, SOL_NYM, options[i],
						&one, bad_pointer));
		EXPECT_EQ(0, scm_option(self->fd, options[i]));
	}
}

TEST_F(option, that_nobody_knows)
{
	static const int unknown[] = { 0, -1, 99, INT_MAX, INT_MIN };
	socklen_t len = sizeof(int);
	int one = 1;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(unknown); i++) {
		EXPECT_ERRNO(ENOPROTOOPT, setsockopt(self->fd, SOL_NYM,
						     unknown[i], &one, len));
		EXPECT_ERRNO(ENOPROTOOPT, getsockopt(self->fd, SOL_NYM,
						     unknown[i], &one, &len));
	}
}

TEST_F(option, of_another_level)
{
	static const int levels[] = { 0, 6, 41, SOL_NYM - 1, SOL_NYM + 1, -1 };
	socklen_t len = sizeof(int);
	int one = 1;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(levels); i++) {
		EXPECT_ERRNO(EOPNOTSUPP, setsockopt(self->fd, levels[i],
						    NYM_PASSCRED, &one, len));
		EXPECT_ERRNO(EOPNOTSUPP, getsockopt(self->fd, levels[i],
						    NYM_PASSCRED, &one, &len));
	}
}

/* On kernels that let any family have the standard option. */
TEST_F(option, standard_and_own_name_are_one)
{
	if (nym_set_int(self->fd, SO_PASSCRED, 0))
		SKIP(return, "SO_PASSCRED: %s", strerrorname_np(errno));
	ASSERT_OK(nym_set_int(self->fd, SO_PASSCRED, 1));
	EXPECT_EQ(1, scm_option(self->fd, NYM_PASSCRED));
	ASSERT_OK(scm_pass_cred(self->fd, 0));
	EXPECT_EQ(0, nym_get_int(self->fd, SO_PASSCRED));
	ASSERT_OK(scm_pass_cred(self->fd, 1));
	EXPECT_EQ(1, nym_get_int(self->fd, SO_PASSCRED));
	ASSERT_OK(nym_set_int(self->fd, SO_PASSCRED, 0));
	EXPECT_EQ(0, scm_option(self->fd, NYM_PASSCRED));
}

/* --- On a pair --- */

FIXTURE(creds) {
	int a;
	int b;
};

FIXTURE_VARIANT(creds) {
	int type;
};

FIXTURE_VARIANT_ADD(creds, stream) {
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(creds, seqpacket) {
	.type = SOCK_SEQPACKET,
};

FIXTURE_VARIANT_ADD(creds, dgram) {
	.type = SOCK_DGRAM,
};

FIXTURE_SETUP(creds)
{
	int fd[2];

	SKIP_WITHOUT_NYM();
	ASSERT_OK(socketpair(AF_NYM, variant->type | SOCK_CLOEXEC, 0, fd));
	self->a = fd[0];
	self->b = fd[1];
}

FIXTURE_TEARDOWN(creds)
{
	close(self->a);
	close(self->b);
}

TEST_F(creds, come_with_every_message_where_asked_for)
{
	ASSERT_OK(scm_pass_cred(self->b, 1));
	ASSERT_RETURNS(3, send(self->a, "one", 3, 0));
	expect_from(_metadata, self->b, "one", getpid(), 0, 0);
	ASSERT_RETURNS(3, send(self->a, "two", 3, 0));
	expect_from(_metadata, self->b, "two", getpid(), 0, 0);
	/* The other direction was not asked for. */
	ASSERT_RETURNS(3, send(self->b, "tri", 3, 0));
	expect_anonymous(_metadata, self->a, "tri");
}

TEST_F(creds, come_by_the_standard_option)
{
	if (nym_set_int(self->b, SO_PASSCRED, 1))
		SKIP(return, "SO_PASSCRED: %s", strerrorname_np(errno));
	ASSERT_RETURNS(3, send(self->a, "one", 3, 0));
	expect_from(_metadata, self->b, "one", getpid(), 0, 0);
}

TEST_F(creds, do_not_come_where_nobody_asked)
{
	ASSERT_RETURNS(3, send(self->a, "one", 3, 0));
	expect_anonymous(_metadata, self->b, "one");
	ASSERT_OK(scm_pass_cred(self->a, 1));
	ASSERT_RETURNS(3, send(self->a, "two", 3, 0));
	expect_anonymous(_metadata, self->b, "two");
	ASSERT_RETURNS(3, scm_send_cred(self->a, "tri", getpid(), 0, 0));
	expect_anonymous(_metadata, self->b, "tri");
}

TEST_F(creds, of_what_was_sent_before_anybody_asked)
{
	ASSERT_RETURNS(3, send(self->a, "old", 3, 0));
	ASSERT_OK(scm_pass_cred(self->b, 1));
	ASSERT_RETURNS(3, send(self->a, "new", 3, 0));
	expect_from(_metadata, self->b, "old", 0, OVERFLOW_ID, OVERFLOW_ID);
	expect_from(_metadata, self->b, "new", getpid(), 0, 0);
}

TEST_F(creds, are_kept_if_the_sender_asks_for_its_own)
{
	ASSERT_OK(scm_pass_cred(self->a, 1));
	ASSERT_RETURNS(3, send(self->a, "old", 3, 0));
	ASSERT_OK(scm_pass_cred(self->a, 0));
	ASSERT_OK(scm_pass_cred(self->b, 1));
	expect_from(_metadata, self->b, "old", getpid(), 0, 0);
}

TEST_F(creds, are_kept_if_the_sender_gives_them)
{
	ASSERT_RETURNS(3, scm_send_cred(self->a, "old", getpid(), 7, 8));
	ASSERT_OK(scm_pass_cred(self->b, 1));
	expect_from(_metadata, self->b, "old", getpid(), 7, 8);
}

TEST_F(creds, end_when_the_receiver_stops_asking)
{
	ASSERT_OK(scm_pass_cred(self->b, 1));
	ASSERT_RETURNS(3, send(self->a, "one", 3, 0));
	ASSERT_OK(scm_pass_cred(self->b, 0));
	expect_anonymous(_metadata, self->b, "one");
	ASSERT_RETURNS(3, send(self->a, "two", 3, 0));
	ASSERT_OK(scm_pass_cred(self->b, 1));
	expect_from(_metadata, self->b, "two", 0, OVERFLOW_ID, OVERFLOW_ID);
}

TEST_F(creds, are_those_of_who_sends_and_not_of_who_made_the_socket)
{
	static const struct nym_who who = { .uid = 1000, .gid = 2000 };
	pid_t pid;

	ASSERT_OK(scm_pass_cred(self->b, 1));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		EXPECT_OK(nym_become(&who));
		EXPECT_RETURNS(3, send(self->a, "kid", 3, 0));
		_exit(0);
	}
	/* The sender is gone by now; its number stays. */
	ASSERT_OK(nym_wait_child(pid));
	expect_from(_metadata, self->b, "kid", pid, 1000, 2000);
	ASSERT_RETURNS(3, send(self->a, "dad", 3, 0));
	expect_from(_metadata, self->b, "dad", getpid(), 0, 0);
}

TEST_F(creds, are_the_real_ids)
{
	pid_t pid;

	ASSERT_OK(scm_pass_cred(self->b, 1));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		EXPECT_OK(setresgid(2000, 2001, 2002));
		EXPECT_OK(setresuid(1000, 1001, 1002));
		EXPECT_RETURNS(3, send(self->a, "kid", 3, 0));
		_exit(0);
	}
	ASSERT_OK(nym_wait_child(pid));
	expect_from(_metadata, self->b, "kid", pid, 1000, 2000);
}

/* What the sender becomes between sending and receiving does not matter. */
TEST_F(creds, are_those_of_the_time_of_sending)
{
	int done[2];
	pid_t pid;
	char c;

	ASSERT_OK(pipe(done));
	ASSERT_OK(scm_pass_cred(self->b, 1));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		EXPECT_RETURNS(3, send(self->a, "old", 3, 0));
		EXPECT_OK(setresuid(1000, 1000, 1000));
		EXPECT_RETURNS(1, write(done[1], "x", 1));
		pause();
		_exit(0);
	}
	ASSERT_RETURNS(1, read(done[0], &c, 1));
	expect_from(_metadata, self->b, "old", pid, 0, 0);
	ASSERT_OK(kill(pid, SIGKILL));
	EXPECT_NE(0, nym_wait_child(pid));
}

TEST_F(creds, of_a_thread_are_those_of_its_process)
{
	struct io_thread t = { .fd = self->a, .len = 3 };
	struct scm_in in;
	char buf[4];

	ASSERT_OK(scm_pass_cred(self->b, 1));
	io_start(&t, io_do_send);
	ASSERT_EQ(3, io_join(&t));
	ASSERT_NE(getpid(), t.tid);
	EXPECT_RETURNS(3, scm_recv(self->b, buf, 4, 0, &in));
	EXPECT_EQ(1, in.ncreds);
	EXPECT_EQ(getpid(), in.cred.pid);
}

TEST_F(creds, wake_and_reach_a_waiting_receiver)
{
	struct scm_in in;
	char buf[8];
	struct io_thread t = { .fd = self->b, .buf = buf, .len = sizeof(buf),
			       .arg = &in };

	ASSERT_OK(scm_pass_cred(self->b, 1));
	io_start(&t, scm_do_recv);
	ASSERT_TRUE(io_wait_blocked(&t));
	ASSERT_RETURNS(3, scm_send_cred(self->a, "now", getpid(), 5, 6));
	EXPECT_EQ(3, io_join(&t));
	EXPECT_EQ(1, in.ncreds);
	EXPECT_EQ(5U, in.cred.uid);
	EXPECT_EQ(6U, in.cred.gid);
}

TEST_F(creds, are_shown_by_a_peek)
{
	struct scm_in in;
	char buf[8];
	int i;

	ASSERT_OK(scm_pass_cred(self->b, 1));
	ASSERT_RETURNS(3, scm_send_cred(self->a, "one", getpid(), 5, 6));
	for (i = 0; i < 3; i++) {
		EXPECT_RETURNS(3, scm_recv(self->b, buf, 8, MSG_PEEK, &in));
		EXPECT_EQ(0, in.flags & MSG_CTRUNC);
		ASSERT_EQ(1, in.ncreds);
		EXPECT_EQ(getpid(), in.cred.pid);
		EXPECT_EQ(5U, in.cred.uid);
		EXPECT_EQ(6U, in.cred.gid);
	}
	expect_from(_metadata, self->b, "one", getpid(), 5, 6);
	expect_nothing(_metadata, self->b);
}

TEST_F(creds, without_a_control_buffer)
{
	struct scm_in in;
	char buf[8];

	ASSERT_OK(scm_pass_cred(self->b, 1));
	ASSERT_RETURNS(3, send(self->a, "one", 3, 0));
	EXPECT_RETURNS(3, scm_recv_room(self->b, buf, 8, MSG_PEEK, 0, &in));
	EXPECT_EQ(MSG_CTRUNC, in.flags);
	EXPECT_RETURNS(3, scm_recv_room(self->b, buf, 8, 0, 0, &in));
	EXPECT_EQ(MSG_CTRUNC, in.flags);
	ASSERT_RETURNS(3, send(self->a, "two", 3, 0));
	EXPECT_RETURNS(3, recv(self->b, buf, 8, 0));
	EXPECT_EQ(0, memcmp(buf, "two", 3));
	ASSERT_RETURNS(3, send(self->a, "tri", 3, 0));
	EXPECT_RETURNS(3, read(self->b, buf, 8));
	expect_nothing(_metadata, self->b);
}

/* Every length of the buffer, with what AF_UNIX makes of it. */
TEST_F(creds, in_a_buffer_too_short)
{
	size_t room;

	ASSERT_OK(scm_pass_cred(self->b, 1));
	for (room = 1; room <= CRED_SPACE + 8; room++) {
		struct ucred want = { getpid(), 1, 2 };
		struct scm_in in;
		char c;

		ASSERT_RETURNS(1, scm_send_cred(self->a, "x", getpid(), 1, 2));
		ASSERT_RETURNS(1, scm_recv_room(self->b, &c, 1, 0, room, &in));
		EXPECT_EQ('x', c);
		EXPECT_EQ(0, in.odd) {
			TH_LOG("room %zu", room);
		}
		EXPECT_EQ(room < CRED_LEN ? MSG_CTRUNC : 0, in.flags) {
			TH_LOG("room %zu", room);
		}
		if (room < CMSG_LEN(0)) {
			EXPECT_EQ(0U, in.controllen);
			continue;
		}
		EXPECT_EQ(room < CRED_SPACE ? room : CRED_SPACE, in.controllen);
		EXPECT_EQ(room >= CRED_LEN, in.ncreds);
		/* As much of it as fits. */
		EXPECT_EQ(0, memcmp(&want, &in.cred,
				    room < CRED_LEN ? room - CMSG_LEN(0) :
				    sizeof(want))) {
			TH_LOG("room %zu", room);
		}
	}
}

TEST_F(creds, into_bad_memory_cost_no_data)
{
	char buf[8];
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = bad_pointer,
		.msg_controllen = CRED_SPACE,
	};

	ASSERT_OK(scm_pass_cred(self->b, 1));
	ASSERT_RETURNS(3, send(self->a, "one", 3, 0));
	ASSERT_RETURNS(3, send(self->a, "two", 3, 0));
	EXPECT_RETURNS(variant->type == SOCK_STREAM ? 6 : 3,
		       recvmsg(self->b, &msg, 0));
	EXPECT_EQ(0, memcmp(buf, "one", 3));
	if (variant->type != SOCK_STREAM)
		expect_from(_metadata, self->b, "two", getpid(), 0, 0);
	expect_nothing(_metadata, self->b);
}

/* What FIONREAD and SIOCOUTQ tell are bytes, whatever comes with them. */
TEST_F(creds, are_no_bytes)
{
	int out;

	ASSERT_RETURNS(3, send(self->a, "one", 3, 0));
	out = io_outq(self->a);
	ASSERT_LT(0, out);
	expect_anonymous(_metadata, self->b, "one");
	ASSERT_OK(scm_pass_cred(self->b, 1));
	ASSERT_RETURNS(3, send(self->a, "one", 3, 0));
	EXPECT_EQ(3, io_inq(self->b));
	EXPECT_EQ(out, io_outq(self->a));
	expect_from(_metadata, self->b, "one", getpid(), 0, 0);
	EXPECT_EQ(0, io_inq(self->b));
	EXPECT_EQ(0, io_outq(self->a));
}

/* Nor is there less room afterwards. */
TEST_F(creds, leave_all_of_the_room_again)
{
	int i, room;

	ASSERT_TRUE(scm_fill(self->a));
	room = io_outq(self->a);
	scm_drain(self->b);
	ASSERT_OK(scm_pass_cred(self->b, 1));
	for (i = 0; i < 300; i++) {
		ASSERT_RETURNS(1, scm_send_cred(self->a, "x", getpid(), i & 1,
						0));
		if (i % 3 == 0)
			scm_drain(self->b);
	}
	scm_drain(self->b);
	ASSERT_OK(scm_pass_cred(self->b, 0));
	EXPECT_EQ(0, io_outq(self->a));
	ASSERT_TRUE(scm_fill(self->a));
	EXPECT_EQ(room, io_outq(self->a));
}

/* The longest record fits, whoever sent it. */
TEST_F(creds, leave_the_longest_message_as_long)
{
	size_t len = io_sndbuf(self->a) - 32;
	__u8 *buf = malloc(len);
	struct scm_in in;
	int i;

	ASSERT_NE(NULL, buf);
	ASSERT_OK(scm_pass_cred(self->b, 1));
	for (i = 0; i < 3; i++) {
		ASSERT_RETURNS(len, send(self->a, io_at(i), len, MSG_DONTWAIT));
		EXPECT_RETURNS(len, scm_recv(self->b, buf, len, MSG_DONTWAIT,
					     &in));
		EXPECT_TRUE(io_is(buf, i, len));
		EXPECT_EQ(getpid(), in.cred.pid);
	}
	free(buf);
}

/* --- Claiming to be somebody --- */

/* Sends "x" with these credentials: 0 or the errno. */
static int claim(int fd, pid_t pid, uid_t uid, gid_t gid)
{
	return scm_send_cred(fd, "x", pid, uid, gid) == 1 ? 0 : errno;
}

TEST_F(creds, may_be_any_of_the_own_ids)
{
	static const uid_t uids[] = { 1000, 1001, 1002 };
	static const gid_t gids[] = { 2000, 2001, 2002 };
	size_t i, j;
	pid_t pid;

	ASSERT_OK(scm_pass_cred(self->b, 1));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		EXPECT_OK(setgroups(0, NULL));
		EXPECT_OK(setresgid(2000, 2001, 2002));
		EXPECT_OK(setresuid(1000, 1001, 1002));
		for (i = 0; i < 3; i++) {
			for (j = 0; j < 3; j++) {
				EXPECT_EQ(0, claim(self->a, getpid(), uids[i],
						   gids[j]));
				expect_from(_metadata, self->b, "x", getpid(),
					    uids[i], gids[j]);
			}
		}
		_exit(0);
	}
	ASSERT_OK(nym_wait_child(pid));
}

struct forger {
	int fd;
	pid_t pid;	/* 0: its own */
	uid_t uid;
	gid_t gid;
};

static int forge(void *arg)
{
	struct forger *f = arg;

	return claim(f->fd, f->pid ? f->pid : getpid(), f->uid, f->gid);
}

/* The errno that uid 1000, gid 2000 with @caps gets for a claim. */
static int claim_as(int fd, __u64 caps, pid_t pid, uid_t uid, gid_t gid)
{
	struct nym_who who = { .uid = 1000, .gid = 2000, .caps = caps };
	struct forger f = { .fd = fd, .pid = pid, .uid = uid, .gid = gid };

	return nym_errno_as(&who, forge, &f);
}

TEST_F(creds, cannot_be_forged)
{
	static const gid_t groups[] = { 3000 };
	struct nym_who who = { .uid = 1000, .gid = 2000, .groups = groups,
			       .ngroups = 1 };
	struct forger f = { .fd = self->a, .uid = 1000, .gid = 3000 };

	ASSERT_OK(scm_pass_cred(self->b, 1));
	EXPECT_SAME_ERRNO(EPERM, claim_as(self->a, 0, 0, 0, 2000));
	EXPECT_SAME_ERRNO(EPERM, claim_as(self->a, 0, 0, 1001, 2000));
	EXPECT_SAME_ERRNO(EPERM, claim_as(self->a, 0, 0, 1000, 0));
	EXPECT_SAME_ERRNO(EPERM, claim_as(self->a, 0, 0, 1000, 2001));
	EXPECT_SAME_ERRNO(EPERM, claim_as(self->a, 0, getpid(), 1000, 2000));
	EXPECT_SAME_ERRNO(EPERM, claim_as(self->a, 0, 1, 1000, 2000));
	EXPECT_SAME_ERRNO(EPERM, claim_as(self->a, 0, NO_SUCH_PID, 1000, 2000));
	EXPECT_SAME_ERRNO(EPERM, claim_as(self->a, 0, -1, 1000, 2000));
	/* A supplementary group is not enough. */
	EXPECT_SAME_ERRNO(EPERM, nym_errno_as(&who, forge, &f));
	expect_nothing(_metadata, self->b);
	EXPECT_SAME_ERRNO(0, claim_as(self->a, 0, 0, 1000, 2000));
}

/* Each capability allows its part of the claim. */
TEST_F(creds, may_be_claimed_with_capabilities)
{
	__u64 uid = NYM_CAP(CAP_SETUID), gid = NYM_CAP(CAP_SETGID);
	__u64 admin = NYM_CAP(CAP_SYS_ADMIN), all = uid | gid | admin;

	ASSERT_OK(scm_pass_cred(self->b, 1));
	EXPECT_SAME_ERRNO(0, claim_as(self->a, uid, 0, 5, 2000));
	EXPECT_SAME_ERRNO(0, claim_as(self->a, gid, 0, 1000, 6));
	EXPECT_SAME_ERRNO(0, claim_as(self->a, admin, 1, 1000, 2000));
	EXPECT_SAME_ERRNO(0, claim_as(self->a, all, getpid(), 8, 9));
	EXPECT_SAME_ERRNO(EPERM, claim_as(self->a, gid | admin, 0, 5, 2000));
	EXPECT_SAME_ERRNO(EPERM, claim_as(self->a, uid | admin, 0, 1000, 6));
	EXPECT_SAME_ERRNO(EPERM, claim_as(self->a, uid | gid, 1, 1000, 2000));
	EXPECT_SAME_ERRNO(EPERM, claim_as(self->a, ~all, 0, 5, 2000));
	if (variant->type == SOCK_STREAM)
		return;
	/* The pids of the first two are those of children that ended. */
	ASSERT_RETURNS(1, recv(self->b, &(char){ 0 }, 1, MSG_DONTWAIT));
	ASSERT_RETURNS(1, recv(self->b, &(char){ 0 }, 1, MSG_DONTWAIT));
	expect_from(_metadata, self->b, "x", 1, 1000, 2000);
	expect_from(_metadata, self->b, "x", getpid(), 8, 9);
	expect_nothing(_metadata, self->b);
}

TEST_F(creds, of_processes_that_do_not_exist)
{
	ASSERT_OK(scm_pass_cred(self->b, 1));
	EXPECT_SAME_ERRNO(ESRCH, claim(self->a, NO_SUCH_PID, 0, 0));
	EXPECT_SAME_ERRNO(ESRCH, claim(self->a, 0, 0, 0));
	EXPECT_SAME_ERRNO(ESRCH, claim(self->a, -1, 0, 0));
	EXPECT_SAME_ERRNO(ESRCH, claim(self->a, INT_MIN, 0, 0));
	expect_nothing(_metadata, self->b);
}

TEST_F(creds, of_ids_that_cannot_be)
{
	ASSERT_OK(scm_pass_cred(self->b, 1));
	EXPECT_SAME_ERRNO(EINVAL, claim(self->a, getpid(), -1, 0));
	EXPECT_SAME_ERRNO(EINVAL, claim(self->a, getpid(), 0, -1));
	EXPECT_SAME_ERRNO(EINVAL, claim_as(self->a, 0, 0, -1, 2000));
	expect_nothing(_metadata, self->b);
	EXPECT_SAME_ERRNO(0, claim(self->a, getpid(), -2, -2));
	expect_from(_metadata, self->b, "x", getpid(), -2, -2);
}

TEST_F(creds, of_every_wrong_length_are_refused)
{
	size_t len;

	ASSERT_OK(scm_pass_cred(self->b, 1));
	for (len = 0; len <= 2 * sizeof(struct ucred); len++) {
		struct ucred cred = { getpid(), 0, 0 };
		struct scm_out out = { .len = 0 };
		void *data = scm_add(&out, SOL_SOCKET, SCM_CREDENTIALS, len);

		memcpy(data, &cred, len < sizeof(cred) ? len : sizeof(cred));
		if (len == sizeof(cred))
			continue;
		EXPECT_ERRNO(EINVAL, scm_send(self->a, "x", 1, &out, 0)) {
			TH_LOG("length %zu", len);
		}
	}
	expect_nothing(_metadata, self->b);
}

TEST_F(creds, in_control_data_that_lies_about_its_length)
{
	static const size_t lies[] = { 0, 1, CMSG_LEN(0) - 1, CRED_SPACE + 1,
				       CRED_LEN + 100, 0x7fffffff, -1 };
	size_t i;

	ASSERT_OK(scm_pass_cred(self->b, 1));
	for (i = 0; i < ARRAY_SIZE(lies); i++) {
		struct scm_out out = { .len = 0 };

		scm_add_cred(&out, getpid(), 0, 0);
		out.control.align.cmsg_len = lies[i];
		EXPECT_ERRNO(EINVAL, scm_send(self->a, "x", 1, &out, 0)) {
			TH_LOG("cmsg_len %#zx", lies[i]);
		}
	}
	expect_nothing(_metadata, self->b);
}

TEST_F(creds, beside_other_control_messages)
{
	struct scm_out out = { .len = 0 };

	ASSERT_OK(scm_pass_cred(self->b, 1));
	/* The last one counts. */
	scm_add_cred(&out, getpid(), 1, 2);
	scm_add_cred(&out, getpid(), 3, 4);
	EXPECT_RETURNS(1, scm_send(self->a, "x", 1, &out, 0));
	expect_from(_metadata, self->b, "x", getpid(), 3, 4);
	/* Those of other levels are not ours to judge. */
	scm_add(&out, SOL_NYM - 1, 77, 3);
	EXPECT_RETURNS(1, scm_send(self->a, "x", 1, &out, 0));
	expect_from(_metadata, self->b, "x", getpid(), 3, 4);
	/* One bad one spoils the message. */
	scm_add(&out, SOL_SOCKET, 77, 3);
	EXPECT_ERRNO(EINVAL, scm_send(self->a, "x", 1, &out, 0));
	out.len = 0;
	scm_add_cred(&out, getpid(), 1, 2);
	scm_add_cred(&out, NO_SUCH_PID, 1, 2);
	EXPECT_ERRNO(ESRCH, scm_send(self->a, "x", 1, &out, 0));
	expect_nothing(_metadata, self->b);
}

/* Not a byte has been sent when a claim was refused, nor a descriptor. */
TEST_F(creds, that_are_refused_take_the_descriptors_along)
{
	struct scm_out out = { .len = 0 };
	int p[2];

	ASSERT_OK(pipe(p));
	ASSERT_OK(scm_pass_rights(self->b, 1));
	scm_add_fds(&out, &p[1], 1);
	scm_add_cred(&out, NO_SUCH_PID, 0, 0);
	EXPECT_ERRNO(ESRCH, scm_send(self->a, "x", 1, &out, 0));
	close(p[1]);
	EXPECT_TRUE(scm_has_no_writer(p[0]));
	expect_nothing(_metadata, self->b);
	close(p[0]);
}

TEST_F(creds, at_the_end_name_nobody)
{
	struct scm_in in;
	char c;

	if (variant->type == SOCK_DGRAM)
		return;		/* has no end */
	ASSERT_OK(scm_pass_cred(self->b, 1));
	ASSERT_RETURNS(1, scm_send_cred(self->a, "x", getpid(), 5, 6));
	close(self->a);
	self->a = -1;
	expect_from(_metadata, self->b, "x", getpid(), 5, 6);
	EXPECT_RETURNS(0, scm_recv(self->b, &c, 1, 0, &in));
	/* Where the end is no message, nobody sent it. */
	EXPECT_EQ(variant->type == SOCK_STREAM, in.ncreds);
	if (!in.ncreds)
		return;
	EXPECT_EQ(0, in.cred.pid);
	EXPECT_EQ(OVERFLOW_ID, in.cred.uid);
	EXPECT_EQ(OVERFLOW_ID, in.cred.gid);
}

/* --- Messages with an end --- */

FIXTURE(messages) {
	int a;
	int b;
};

FIXTURE_VARIANT(messages) {
	int type;
};

FIXTURE_VARIANT_ADD(messages, seqpacket) {
	.type = SOCK_SEQPACKET,
};

FIXTURE_VARIANT_ADD(messages, dgram) {
	.type = SOCK_DGRAM,
};

FIXTURE_SETUP(messages)
{
	int fd[2];

	SKIP_WITHOUT_NYM();
	ASSERT_OK(socketpair(AF_NYM, variant->type | SOCK_CLOEXEC, 0, fd));
	self->a = fd[0];
	self->b = fd[1];
	ASSERT_OK(scm_pass_cred(self->b, 1));
}

FIXTURE_TEARDOWN(messages)
{
	close(self->a);
	close(self->b);
}

TEST_F(messages, of_no_bytes_have_a_sender)
{
	ASSERT_RETURNS(0, scm_send_cred(self->a, "", getpid(), 1, 2));
	ASSERT_RETURNS(0, send(self->a, "", 0, 0));
	ASSERT_RETURNS(1, scm_send_cred(self->a, "x", getpid(), 3, 4));
	expect_from(_metadata, self->b, "", getpid(), 1, 2);
	expect_from(_metadata, self->b, "", getpid(), 0, 0);
	expect_from(_metadata, self->b, "x", getpid(), 3, 4);
}

TEST_F(messages, keep_their_senders_apart)
{
	uid_t uid;
	char text[8];

	for (uid = 1; uid <= 8; uid++) {
		snprintf(text, sizeof(text), "m%u", uid);
		ASSERT_RETURNS(2, scm_send_cred(self->a, text, getpid(), uid,
						100 - uid));
	}
	for (uid = 1; uid <= 8; uid++) {
		snprintf(text, sizeof(text), "m%u", uid);
		expect_from(_metadata, self->b, text, getpid(), uid, 100 - uid);
	}
}

TEST_F(messages, cut_off_have_a_sender)
{
	struct scm_in in;
	char c;

	ASSERT_RETURNS(3, scm_send_cred(self->a, "one", getpid(), 1, 2));
	EXPECT_RETURNS(1, scm_recv(self->b, &c, 1, 0, &in));
	EXPECT_EQ(MSG_TRUNC, in.flags);
	EXPECT_EQ(1, in.ncreds);
	EXPECT_EQ(1U, in.cred.uid);
	expect_nothing(_metadata, self->b);
}

TEST_F(messages, that_could_not_be_copied_keep_their_sender)
{
	struct scm_in in;

	ASSERT_RETURNS(3, scm_send_cred(self->a, "one", getpid(), 1, 2));
	EXPECT_ERRNO(EFAULT, scm_recv(self->b, bad_pointer, 3, 0, &in));
	expect_from(_metadata, self->b, "one", getpid(), 1, 2);
}

/* recvmmsg() gives each its own. */
TEST_F(messages, received_in_one_call)
{
	char control[3][CRED_SPACE], buf[3][4];
	struct mmsghdr mm[3] = { 0 };
	struct iovec iov[3];
	int i;

	for (i = 0; i < 3; i++) {
		ASSERT_RETURNS(1, scm_send_cred(self->a, "x", getpid(), i, i));
		iov[i] = (struct iovec){ buf[i], sizeof(buf[i]) };
		mm[i].msg_hdr = (struct msghdr){
			.msg_iov = &iov[i], .msg_iovlen = 1,
			.msg_control = control[i],
			.msg_controllen = CRED_SPACE,
		};
	}
	ASSERT_RETURNS(3, recvmmsg(self->b, mm, 3, MSG_DONTWAIT, NULL));
	for (i = 0; i < 3; i++) {
		struct scm_in in = { 0 };

		__scm_parse(&in, &mm[i].msg_hdr);
		EXPECT_EQ(1, in.ncreds);
		EXPECT_EQ((uid_t)i, in.cred.uid);
	}
}

/* Unconnected senders, each under its own number. */
TEST_F(messages, from_many_to_one_name)
{
	int i, dgram = variant->type == SOCK_DGRAM;
	struct sockaddr_nym sa;
	socklen_t len = nym_addr(&sa, NAME);
	int fd, caller;
	pid_t pid[4];

	fd = dgram ? scm_bound(SOCK_DGRAM, NAME) :
		     scm_listen(SOCK_SEQPACKET, NAME, 5);
	ASSERT_FD(fd);
	ASSERT_OK(fchmod(fd, 0666));
	ASSERT_OK(scm_pass_cred(fd, 1));
	for (i = 0; i < 4; i++) {
		struct nym_who who = { .uid = 1000 + i, .gid = 2000 + i };

		pid[i] = fork();
		ASSERT_LE(0, pid[i]);
		if (!pid[i]) {
			EXPECT_OK(nym_become(&who));
			caller = scm_socket(variant->type);
			if (!dgram)
				EXPECT_OK(nym_call(caller, NAME));
			EXPECT_RETURNS(1, sendto(caller, "x", 1, 0,
						 (struct sockaddr *)&sa, len));
			_exit(0);
		}
		ASSERT_OK(nym_wait_child(pid[i]));
	}
	for (i = 0; i < 4; i++) {
		int from = dgram ? fd : scm_accept(fd);

		ASSERT_FD(from);
		expect_from(_metadata, from, "x", pid[i], 1000 + i, 2000 + i);
		if (!dgram)
			close(from);
	}
	close(fd);
}

/* --- A stream never glues what different senders said --- */

FIXTURE(glue) {
	int a;
	int b;
};

FIXTURE_SETUP(glue)
{
	int fd[2];

	SKIP_WITHOUT_NYM();
	ASSERT_OK(socketpair(AF_NYM, SOCK_STREAM | SOCK_CLOEXEC, 0, fd));
	self->a = fd[0];
	self->b = fd[1];
	ASSERT_OK(scm_pass_cred(self->b, 1));
}

FIXTURE_TEARDOWN(glue)
{
	close(self->a);
	close(self->b);
}

TEST_F(glue, what_one_sender_said_is_one_read)
{
	ASSERT_RETURNS(2, send(self->a, "aa", 2, 0));
	ASSERT_RETURNS(2, send(self->a, "bb", 2, 0));
	ASSERT_RETURNS(2, scm_send_cred(self->a, "cc", getpid(), 0, 0));
	expect_from(_metadata, self->b, "aabbcc", getpid(), 0, 0);
	expect_nothing(_metadata, self->b);
}

TEST_F(glue, a_read_ends_where_uid_gid_or_pid_change)
{
	pid_t me = getpid(), other = getppid();

	ASSERT_RETURNS(2, scm_send_cred(self->a, "aa", me, 1, 1));
	ASSERT_RETURNS(2, scm_send_cred(self->a, "aa", me, 1, 1));
	ASSERT_RETURNS(2, scm_send_cred(self->a, "bb", me, 2, 1));
	ASSERT_RETURNS(2, scm_send_cred(self->a, "cc", me, 2, 3));
	ASSERT_RETURNS(2, scm_send_cred(self->a, "dd", other, 2, 3));
	ASSERT_RETURNS(2, scm_send_cred(self->a, "aa", me, 1, 1));
	expect_from(_metadata, self->b, "aaaa", me, 1, 1);
	expect_from(_metadata, self->b, "bb", me, 2, 1);
	expect_from(_metadata, self->b, "cc", me, 2, 3);
	expect_from(_metadata, self->b, "dd", other, 2, 3);
	expect_from(_metadata, self->b, "aa", me, 1, 1);
	expect_nothing(_metadata, self->b);
}

TEST_F(glue, waitall_does_not_change_that)
{
	struct scm_in in;
	char buf[8];

	ASSERT_RETURNS(2, scm_send_cred(self->a, "aa", getpid(), 1, 1));
	ASSERT_RETURNS(2, scm_send_cred(self->a, "bb", getpid(), 2, 2));
	ASSERT_RETURNS(2, scm_send_cred(self->a, "cc", getpid(), 3, 3));
	EXPECT_RETURNS(2, scm_recv(self->b, buf, 4, MSG_WAITALL, &in));
	EXPECT_EQ(1U, in.cred.uid);
	ASSERT_OK(nym_set_int(self->b, SO_RCVLOWAT, 4));
	EXPECT_RETURNS(2, scm_recv(self->b, buf, 4, 0, &in));
	EXPECT_EQ(2U, in.cred.uid);
}

/* The same when the second sender comes while the reader waits for more. */
TEST_F(glue, a_waiting_read_ends_at_another_sender)
{
	struct scm_in in;
	char buf[8];
	struct io_thread t = { .fd = self->b, .buf = buf, .len = 6,
			       .flags = MSG_WAITALL, .arg = &in };

	ASSERT_RETURNS(2, scm_send_cred(self->a, "aa", getpid(), 1, 1));
	io_start(&t, scm_do_recv);
	ASSERT_TRUE(io_wait_blocked(&t));
	ASSERT_RETURNS(1, scm_send_cred(self->a, "a", getpid(), 1, 1));
	ASSERT_TRUE(io_wait_blocked(&t));
	ASSERT_RETURNS(2, scm_send_cred(self->a, "bb", getpid(), 2, 2));
	EXPECT_EQ(3, io_join(&t));
	EXPECT_EQ(0, memcmp(buf, "aaa", 3));
	EXPECT_EQ(1U, in.cred.uid);
	expect_from(_metadata, self->b, "bb", getpid(), 2, 2);
}

TEST_F(glue, a_peek_ends_there_too)
{
	struct scm_in in;
	char buf[8];

	ASSERT_RETURNS(2, scm_send_cred(self->a, "aa", getpid(), 1, 1));
	ASSERT_RETURNS(2, scm_send_cred(self->a, "bb", getpid(), 2, 2));
	EXPECT_RETURNS(2, scm_recv(self->b, buf, 8, MSG_PEEK, &in));
	EXPECT_EQ(1U, in.cred.uid);
	EXPECT_RETURNS(1, scm_recv(self->b, buf, 1, 0, &in));
	EXPECT_RETURNS(1, scm_recv(self->b, buf, 8, MSG_PEEK, &in));
	EXPECT_EQ(1U, in.cred.uid);
	expect_from(_metadata, self->b, "a", getpid(), 1, 1);
	EXPECT_RETURNS(2, scm_recv(self->b, buf, 8, MSG_PEEK, &in));
	EXPECT_EQ(2U, in.cred.uid);
}

TEST_F(glue, every_piece_of_a_message_has_its_sender)
{
	ASSERT_RETURNS(5, scm_send_cred(self->a, "abcde", getpid(), 1, 2));
	ASSERT_RETURNS(2, scm_send_cred(self->a, "fg", getpid(), 1, 2));
	ASSERT_RETURNS(2, scm_send_cred(self->a, "hi", getpid(), 3, 4));
	while (io_inq(self->b) > 2) {
		struct scm_in in;
		char c;

		ASSERT_RETURNS(1, scm_recv(self->b, &c, 1, 0, &in));
		ASSERT_EQ(1, in.ncreds);
		EXPECT_EQ(1U, in.cred.uid);
		EXPECT_EQ(2U, in.cred.gid);
	}
	expect_from(_metadata, self->b, "hi", getpid(), 3, 4);
}

TEST_F(glue, anonymous_bytes_and_others_are_apart)
{
	ASSERT_OK(scm_pass_cred(self->b, 0));
	ASSERT_RETURNS(2, send(self->a, "aa", 2, 0));
	ASSERT_RETURNS(2, send(self->a, "bb", 2, 0));
	ASSERT_OK(scm_pass_cred(self->b, 1));
	ASSERT_RETURNS(2, send(self->a, "cc", 2, 0));
	ASSERT_OK(scm_pass_cred(self->b, 0));
	ASSERT_RETURNS(2, send(self->a, "dd", 2, 0));
	ASSERT_OK(scm_pass_cred(self->b, 1));
	expect_from(_metadata, self->b, "aabb", 0, OVERFLOW_ID, OVERFLOW_ID);
	expect_from(_metadata, self->b, "cc", getpid(), 0, 0);
	expect_from(_metadata, self->b, "dd", 0, OVERFLOW_ID, OVERFLOW_ID);
}

TEST_F(glue, who_does_not_ask_gets_it_all_at_once)
{
	ASSERT_RETURNS(2, scm_send_cred(self->a, "aa", getpid(), 1, 1));
	ASSERT_RETURNS(2, scm_send_cred(self->a, "bb", getpid(), 2, 2));
	ASSERT_RETURNS(2, scm_send_cred(self->a, "cc", getppid(), 2, 2));
	ASSERT_OK(scm_pass_cred(self->b, 0));
	expect_anonymous(_metadata, self->b, "aabbcc");
}

/* Who said a byte is known however the bytes are cut. */
TEST_F(glue, processes_that_share_a_socket)
{
	int i, turn[2][2];
	pid_t pid[2];
	char c;

	for (i = 0; i < 2; i++)
		ASSERT_OK(pipe(turn[i]));
	for (i = 0; i < 2; i++) {
		pid[i] = fork();
		ASSERT_LE(0, pid[i]);
		if (!pid[i]) {
			EXPECT_RETURNS(1, read(turn[i][0], &c, 1));
			EXPECT_RETURNS(2, send(self->a, "kk", 2, 0));
			_exit(0);
		}
	}
	ASSERT_RETURNS(2, send(self->a, "pp", 2, 0));
	for (i = 0; i < 2; i++) {
		ASSERT_RETURNS(1, write(turn[i][1], "", 1));
		ASSERT_OK(nym_wait_child(pid[i]));
	}
	expect_from(_metadata, self->b, "pp", getpid(), 0, 0);
	expect_from(_metadata, self->b, "kk", pid[0], 0, 0);
	expect_from(_metadata, self->b, "kk", pid[1], 0, 0);
}

/* A send that is larger than the buffer, so that it is cut in many pieces. */
TEST_F(glue, a_large_send_has_one_sender)
{
	struct io_thread t = { .fd = self->a, .len = 1 << 20 };
	static char buf[50000];
	struct scm_in in;
	long done = 0, n;

	io_start(&t, io_do_send);
	while (done < 1 << 20) {
		n = scm_recv(self->b, buf, sizeof(buf), 0, &in);
		ASSERT_LT(0, n);
		ASSERT_TRUE(io_is(buf, done, n));
		ASSERT_EQ(1, in.ncreds);
		ASSERT_EQ(getpid(), in.cred.pid);
		done += n;
	}
	EXPECT_EQ(1 << 20, io_join(&t));
}

#define WALK_MESSAGES	2000
#define WALK_MOST	700	/* bytes in a message */

/* What the walk has sent: for each byte in flight who said it. */
struct walk {
	__u32 seed;
	size_t sent;
	size_t read;
	__u8 who[WALK_MESSAGES * WALK_MOST];
};

static bool walk_send(struct walk *w, int fd, uid_t uid)
{
	size_t len = io_rand_size(&w->seed, WALK_MOST);
	struct scm_out out = { .len = 0 };
	long n;

	scm_add_cred(&out, getpid(), uid, uid);
	n = scm_send(fd, io_at(w->sent), len, &out, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN;
	memset(w->who + w->sent, uid, n);
	w->sent += n;
	return true;
}

/* One read: right bytes of one sender, and all that may be in it. */
static bool walk_read(struct walk *w, int fd)
{
	size_t len = io_rand_size(&w->seed, 2 * WALK_MOST), most = 0;
	int peek = io_rand(&w->seed) & 3 ? 0 : MSG_PEEK;
	__u8 buf[2 * WALK_MOST];
	struct scm_in in;
	long n;

	n = scm_recv(fd, buf, len, MSG_DONTWAIT | peek, &in);
	if (n < 0)
		return errno == EAGAIN && w->read == w->sent;
	while (most < len && w->read + most < w->sent &&
	       w->who[w->read + most] == w->who[w->read])
		most++;
	if (!n || (size_t)n > most || (!peek && (size_t)n < most) ||
	    !io_is(buf, w->read, n) || in.ncreds != 1 || in.odd ||
	    in.cred.uid != w->who[w->read] || in.cred.pid != getpid())
		return false;
	if (!peek)
		w->read += n;
	return true;
}

TEST_F(glue, a_random_walk)
{
	struct walk *w = mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	__u32 seed = io_seed();
	uid_t uid = 1;
	int i;

	ASSERT_NE(MAP_FAILED, w);
	w->seed = seed;
	for (i = 0; i < nym_scaled(WALK_MESSAGES); i++) {
		if (!(io_rand(&w->seed) & 3))
			uid = io_rand(&w->seed) % 3 + 1;
		ASSERT_TRUE(walk_send(w, self->a, uid));
		while (io_rand(&w->seed) & 1)
			ASSERT_TRUE(walk_read(w, self->b)) {
				TH_LOG("seed %u, step %d", seed, i);
			}
	}
	while (w->read < w->sent)
		ASSERT_TRUE(walk_read(w, self->b));
	munmap(w, sizeof(*w));
}

/* --- Connections by name --- */

FIXTURE(calls) {
	int listener;
	int client;
};

FIXTURE_VARIANT(calls) {
	int type;
};

FIXTURE_VARIANT_ADD(calls, stream) {
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(calls, seqpacket) {
	.type = SOCK_SEQPACKET,
};

FIXTURE_SETUP(calls)
{
	SKIP_WITHOUT_NYM();
	self->listener = scm_listen(variant->type, NAME, 5);
	ASSERT_FD(self->listener);
	self->client = scm_connect(variant->type, NAME);
	ASSERT_FD(self->client);
}

FIXTURE_TEARDOWN(calls)
{
	close(self->listener);
	close(self->client);
}

/* Nobody knows yet whether the one who accepts will ask. */
TEST_F(calls, not_accepted_yet_keep_who_sent)
{
	int server;

	ASSERT_RETURNS(3, send(self->client, "one", 3, 0));
	server = scm_accept(self->listener);
	ASSERT_FD(server);
	ASSERT_RETURNS(3, send(self->client, "two", 3, 0));
	ASSERT_OK(scm_pass_cred(server, 1));
	expect_from(_metadata, server, "one", getpid(), 0, 0);
	expect_from(_metadata, server, "two", 0, OVERFLOW_ID, OVERFLOW_ID);
	close(server);
}

TEST_F(calls, not_accepted_yet_keep_who_sent_and_not_who_called)
{
	static const struct nym_who who = { .uid = 1000, .gid = 2000 };
	int server;
	pid_t pid;

	ASSERT_RETURNS(3, scm_send_cred(self->client, "one", getpid(), 5, 6));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		EXPECT_OK(nym_become(&who));
		EXPECT_RETURNS(3, send(self->client, "kid", 3, 0));
		_exit(0);
	}
	ASSERT_OK(nym_wait_child(pid));
	ASSERT_OK(scm_pass_cred(self->listener, 1));
	server = scm_accept(self->listener);
	ASSERT_FD(server);
	expect_from(_metadata, server, "one", getpid(), 5, 6);
	expect_from(_metadata, server, "kid", pid, 1000, 2000);
	close(server);
}

TEST_F(calls, are_asked_for_as_the_listener_asks_at_accept)
{
	int server[2];

	ASSERT_OK(scm_pass_cred(self->listener, 1));
	server[0] = scm_accept(self->listener);
	ASSERT_FD(server[0]);
	EXPECT_EQ(1, scm_option(server[0], NYM_PASSCRED));
	/* From then on each goes its own way. */
	ASSERT_OK(scm_pass_cred(self->listener, 0));
	EXPECT_EQ(1, scm_option(server[0], NYM_PASSCRED));
	ASSERT_RETURNS(3, send(self->client, "one", 3, 0));
	expect_from(_metadata, server[0], "one", getpid(), 0, 0);
	ASSERT_FD(scm_connect(variant->type, NAME));
	server[1] = scm_accept(self->listener);
	ASSERT_FD(server[1]);
	EXPECT_EQ(0, scm_option(server[1], NYM_PASSCRED));
}

TEST_F(calls, client_asks_too)
{
	int server;

	ASSERT_OK(scm_pass_cred(self->client, 1));
	server = scm_accept(self->listener);
	ASSERT_FD(server);
	ASSERT_RETURNS(3, send(server, "one", 3, 0));
	expect_from(_metadata, self->client, "one", getpid(), 0, 0);
	/* What the client sends is kept as well, as it asks. */
	ASSERT_RETURNS(3, send(self->client, "two", 3, 0));
	ASSERT_OK(scm_pass_cred(server, 1));
	expect_from(_metadata, server, "two", getpid(), 0, 0);
	close(server);
}

/* --- Namespaces --- */

FIXTURE(ns) {
	int a;
	int b;
	int go[2];	/* pipes between parent and child */
	int ready[2];
};

FIXTURE_VARIANT(ns) {
	int type;
};

FIXTURE_VARIANT_ADD(ns, stream) {
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(ns, seqpacket) {
	.type = SOCK_SEQPACKET,
};

FIXTURE_VARIANT_ADD(ns, dgram) {
	.type = SOCK_DGRAM,
};

FIXTURE_SETUP(ns)
{
	int fd[2];

	SKIP_WITHOUT_NYM();
	if (getuid())
		SKIP(return, "needs root");
	if (access("/proc/self/ns/user", F_OK) || access("/proc/self/ns/pid", F_OK))
		SKIP(return, "no user or pid namespaces");
	ASSERT_OK(socketpair(AF_NYM, variant->type | SOCK_CLOEXEC, 0, fd));
	self->a = fd[0];
	self->b = fd[1];
	ASSERT_OK(scm_pass_cred(self->a, 1));
	ASSERT_OK(scm_pass_cred(self->b, 1));
	ASSERT_OK(pipe(self->go));
	ASSERT_OK(pipe(self->ready));
}

FIXTURE_TEARDOWN(ns)
{
	close(self->a);
	close(self->b);
}

static void tell(int fd[2])
{
	if (write(fd[1], "x", 1) != 1)
		abort();
}

static void await(int fd[2])
{
	char c;

	if (io_poll(fd[0], POLLIN, IO_POLL_MS) != POLLIN ||
	    read(fd[0], &c, 1) != 1)
		abort();
}

static int write_file(pid_t pid, const char *file, const char *text)
{
	char path[64];
	int fd, n;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = write(fd, text, strlen(text));
	close(fd);
	return n < 0 ? -1 : 0;
}

/* In the child: root of a user namespace that its parent is to map. */
static void enter_user_ns(struct __test_metadata *_metadata, int ready[2],
			  int go[2])
{
	EXPECT_OK(unshare(CLONE_NEWUSER));
	tell(ready);
	await(go);
	EXPECT_OK(setresgid(0, 0, 0));
	EXPECT_OK(setresuid(0, 0, 0));
}

/* In the parent: ids 0 to 9 there are 1000 to 1009 (2000 to 2009) here. */
static void map_user_ns(struct __test_metadata *_metadata, pid_t pid,
			int ready[2], int go[2])
{
	await(ready);
	EXPECT_OK(write_file(pid, "uid_map", "0 1000 10"));
	EXPECT_OK(write_file(pid, "gid_map", "0 2000 10"));
	tell(go);
}

TEST_F(ns, a_sender_in_a_user_namespace)
{
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		enter_user_ns(_metadata, self->ready, self->go);
		EXPECT_RETURNS(4, send(self->a, "root", 4, 0));
		tell(self->ready);
		await(self->go);
		EXPECT_SAME_ERRNO(0, claim(self->a, getpid(), 3, 4));
		/* Numbers that mean nobody there. */
		EXPECT_SAME_ERRNO(EINVAL, claim(self->a, getpid(), 10, 0));
		EXPECT_SAME_ERRNO(EINVAL, claim(self->a, getpid(), 0, 10));
		EXPECT_SAME_ERRNO(EINVAL, claim(self->a, getpid(), 1000, 0));
		/* Root there is nobody's master here. */
		EXPECT_SAME_ERRNO(EPERM, claim(self->a, 1, 0, 0));
		_exit(0);
	}
	map_user_ns(_metadata, pid, self->ready, self->go);
	await(self->ready);
	expect_from(_metadata, self->b, "root", pid, 1000, 2000);
	tell(self->go);
	ASSERT_OK(nym_wait_child(pid));
	expect_from(_metadata, self->b, "x", pid, 1003, 2004);
	expect_nothing(_metadata, self->b);
}

TEST_F(ns, a_receiver_in_a_user_namespace)
{
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		pid_t parent = getppid();

		enter_user_ns(_metadata, self->ready, self->go);
		expect_from(_metadata, self->b, "root", parent, OVERFLOW_ID,
			    OVERFLOW_ID);
		expect_from(_metadata, self->b, "known", parent, 3, 4);
		expect_from(_metadata, self->b, "uid", parent, 9, OVERFLOW_ID);
		expect_from(_metadata, self->b, "gid", parent, OVERFLOW_ID, 9);
		_exit(0);
	}
	ASSERT_RETURNS(4, send(self->a, "root", 4, 0));
	ASSERT_RETURNS(5, scm_send_cred(self->a, "known", getpid(), 1003, 2004));
	ASSERT_RETURNS(3, scm_send_cred(self->a, "uid", getpid(), 1009, 2010));
	ASSERT_RETURNS(3, scm_send_cred(self->a, "gid", getpid(), 999, 2009));
	map_user_ns(_metadata, pid, self->ready, self->go);
	ASSERT_OK(nym_wait_child(pid));
}

/*
 * In the child: process 1 of a new pid namespace returns from here. The child
 * itself tells the number that its parent knows that process by, and waits.
 */
static void enter_pid_ns(struct __test_metadata *_metadata, int ready[2])
{
	pid_t inner;

	EXPECT_OK(unshare(CLONE_NEWPID));
	inner = fork();
	if (!inner) {
		EXPECT_EQ(1, getpid());
		return;
	}
	EXPECT_RETURNS(sizeof(inner), write(ready[1], &inner, sizeof(inner)));
	EXPECT_OK(nym_wait_child(inner));
	_exit(0);
}

TEST_F(ns, a_sender_in_a_pid_namespace)
{
	pid_t pid = fork(), inner;

	ASSERT_LE(0, pid);
	if (!pid) {
		enter_pid_ns(_metadata, self->ready);
		EXPECT_RETURNS(3, send(self->a, "kid", 3, 0));
		await(self->go);
		EXPECT_SAME_ERRNO(0, claim(self->a, 1, 5, 6));
		EXPECT_SAME_ERRNO(ESRCH, claim(self->a, 2, 5, 6));
		EXPECT_RETURNS(2, send(self->b, "me", 2, 0));
		expect_from(_metadata, self->a, "me", 1, 0, 0);
		_exit(0);
	}
	ASSERT_RETURNS(sizeof(inner), read(self->ready[0], &inner, sizeof(inner)));
	ASSERT_EQ(POLLIN, nym_poll_wait(self->b, POLLIN));
	expect_from(_metadata, self->b, "kid", inner, 0, 0);
	tell(self->go);
	ASSERT_OK(nym_wait_child(pid));
	/* Its number in the whole system, though it knows itself as 1. */
	expect_from(_metadata, self->b, "x", inner, 5, 6);
}

TEST_F(ns, a_receiver_in_a_pid_namespace)
{
	pid_t pid;

	ASSERT_RETURNS(3, send(self->a, "one", 3, 0));
	ASSERT_RETURNS(3, scm_send_cred(self->a, "two", 1, 5, 6));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		enter_pid_ns(_metadata, self->ready);
		/* Who is not there has no number. */
		expect_from(_metadata, self->b, "one", 0, 0, 0);
		expect_from(_metadata, self->b, "two", 0, 5, 6);
		_exit(0);
	}
	ASSERT_OK(nym_wait_child(pid));
}

/* The number is that of the one who reads, not of who made the socket. */
TEST_F(ns, two_readers_of_one_socket_in_two_pid_namespaces)
{
	pid_t pid;

	ASSERT_RETURNS(3, scm_send_cred(self->a, "one", getpid(), 1, 1));
	ASSERT_RETURNS(3, scm_send_cred(self->a, "two", getpid(), 2, 2));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		enter_pid_ns(_metadata, self->ready);
		expect_from(_metadata, self->b, "one", 0, 1, 1);
		_exit(0);
	}
	ASSERT_OK(nym_wait_child(pid));
	expect_from(_metadata, self->b, "two", getpid(), 2, 2);
}

static struct ucred peer_cred(int fd)
{
	struct ucred cred = { -2, -2, -2 };
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) ||
	    len != sizeof(cred))
		cred.pid = -3;
	return cred;
}

static void expect_peer(struct __test_metadata *_metadata, int fd, pid_t pid,
			uid_t uid, gid_t gid)
{
	struct ucred cred = peer_cred(fd);

	EXPECT_EQ(pid, cred.pid);
	EXPECT_EQ(uid, cred.uid);
	EXPECT_EQ(gid, cred.gid);
}

TEST_F(ns, peers_in_other_namespaces)
{
	int type = variant->type == SOCK_DGRAM ? SOCK_STREAM : variant->type;
	int listener = scm_listen(type, NAME, 5), server;
	pid_t pid;

	ASSERT_FD(listener);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		pid_t parent = getppid();
		int client;

		enter_user_ns(_metadata, self->ready, self->go);
		expect_peer(_metadata, self->a, parent, OVERFLOW_ID, OVERFLOW_ID);
		client = scm_connect(type, NAME);
		EXPECT_LE(0, client);
		expect_peer(_metadata, client, parent, OVERFLOW_ID, OVERFLOW_ID);
		_exit(0);
	}
	map_user_ns(_metadata, pid, self->ready, self->go);
	ASSERT_OK(nym_wait_child(pid));
	server = scm_accept(listener);
	ASSERT_FD(server);
	expect_peer(_metadata, server, pid, 1000, 2000);
	close(server);

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		enter_pid_ns(_metadata, self->ready);
		int client = scm_connect(type, NAME);

		EXPECT_LE(0, client);
		expect_peer(_metadata, client, 0, 0, 0);
		expect_peer(_metadata, self->a, 0, 0, 0);
		_exit(0);
	}
	ASSERT_RETURNS(sizeof(server), read(self->ready[0], &server, sizeof(server)));
	ASSERT_OK(nym_wait_child(pid));
	pid = server;
	server = scm_accept(listener);
	ASSERT_FD(server);
	expect_peer(_metadata, server, pid, 0, 0);
	close(server);
	close(listener);
}

/* --- The peer: what conn_test and sockopt_test do not look at --- */

FIXTURE(peer) {
	int listener;
	int pair[2];
	int done[2];
	int ready[2];
};

FIXTURE_VARIANT(peer) {
	int type;
};

FIXTURE_VARIANT_ADD(peer, stream) {
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(peer, seqpacket) {
	.type = SOCK_SEQPACKET,
};

FIXTURE_SETUP(peer)
{
	SKIP_WITHOUT_NYM();
	self->listener = scm_listen(variant->type, NAME, 5);
	ASSERT_FD(self->listener);
	ASSERT_OK(socketpair(AF_NYM, variant->type, 0, self->pair));
	ASSERT_OK(pipe(self->done));
	ASSERT_OK(pipe(self->ready));
}

FIXTURE_TEARDOWN(peer)
{
	close(self->listener);
	close(self->pair[0]);
	close(self->pair[1]);
}

static const gid_t member_of[] = { 3000, 4000, 5000 };
static const struct nym_who member = {
	.uid = 1000, .gid = 2000, .groups = member_of,
	.ngroups = ARRAY_SIZE(member_of),
};

/* The groups of the peer are those of `member'. */
static bool peer_is_member(int fd)
{
	gid_t got[8] = { 0 };
	socklen_t len = sizeof(got);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, got, &len) &&
	       len == sizeof(member_of) && !memcmp(got, member_of, len);
}

/* The pid of the peer's pidfd, or -1; its errno in errno. */
static pid_t peer_pidfd(int fd)
{
	char path[64], *text, *line;
	socklen_t len = sizeof(int);
	pid_t pid = -1;
	int pidfd = -1;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len))
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	text = nym_slurp(path, 4096);
	line = text ? strstr(text, "\nPid:") : NULL;
	if (line)
		pid = atoi(line + 5);
	free(text);
	close(pidfd);
	return pid;
}

/* Why there is no SO_PEERPIDFD; 0 if there is one, of whatever process. */
static int no_peer_pidfd(int fd)
{
	socklen_t len = sizeof(int);
	int pidfd = -1;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len))
		return errno;
	close(pidfd);
	return 0;
}

static bool knows_peer_pidfd(int fd)
{
	return peer_pidfd(fd) >= 0 || errno != ENOPROTOOPT;
}

TEST_F(peer, groups_before_and_after_accept)
{
	int client = scm_connect(variant->type, NAME);
	gid_t got[8];
	socklen_t len = sizeof(got);
	pid_t pid;
	char c;

	ASSERT_FD(client);
	/* So far it is who listens, root of no more groups than we have. */
	EXPECT_FALSE(peer_is_member(client));
	EXPECT_OK(getsockopt(client, SOL_SOCKET, SO_PEERGROUPS, got, &len));
	EXPECT_EQ(getgroups(0, NULL) * sizeof(gid_t), len);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		EXPECT_OK(nym_become(&member));
		EXPECT_LE(0, scm_accept(self->listener));
		EXPECT_RETURNS(1, write(self->ready[1], "", 1));
		EXPECT_RETURNS(1, read(self->done[0], &c, 1));
		_exit(0);
	}
	ASSERT_RETURNS(1, read(self->ready[0], &c, 1));
	EXPECT_TRUE(peer_is_member(client));
	ASSERT_RETURNS(1, write(self->done[1], "", 1));
	ASSERT_OK(nym_wait_child(pid));
	EXPECT_TRUE(peer_is_member(client));
	close(client);
}

TEST_F(peer, groups_of_who_listens)
{
	int bound = scm_bound(variant->type, "t/creds/bound"), client;
	pid_t pid;

	ASSERT_FD(bound);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		EXPECT_OK(nym_become(&member));
		EXPECT_OK(listen(bound, 1));
		_exit(0);
	}
	ASSERT_OK(nym_wait_child(pid));
	client = scm_connect(variant->type, "t/creds/bound");
	ASSERT_FD(client);
	EXPECT_TRUE(peer_is_member(client));
	close(client);
	close(bound);
}

TEST_F(peer, pair_is_of_its_maker)
{
	struct ucred cred;
	pid_t pid = fork();
	int fd[2];

	ASSERT_LE(0, pid);
	if (!pid) {
		EXPECT_OK(nym_become(&member));
		EXPECT_OK(socketpair(AF_NYM, variant->type, 0, fd));
		cred = peer_cred(fd[0]);
		EXPECT_EQ(getpid(), cred.pid);
		EXPECT_EQ(1000U, cred.uid);
		EXPECT_EQ(2000U, cred.gid);
		EXPECT_TRUE(peer_is_member(fd[0]));
		EXPECT_TRUE(peer_is_member(fd[1]));
		expect_peer(_metadata, self->pair[0], getppid(), 0, 0);
		_exit(0);
	}
	ASSERT_OK(nym_wait_child(pid));
}

TEST_F(peer, pidfd_of_nobody)
{
	int fd = scm_socket(variant->type);

	ASSERT_FD(fd);
	if (!knows_peer_pidfd(self->pair[0]))
		SKIP(return, "no SO_PEERPIDFD");
	EXPECT_ERRNO(ENODATA, peer_pidfd(fd));
	EXPECT_ERRNO(ENODATA, getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL,
					 &(socklen_t){ 0 }));
	close(fd);
}

TEST_F(peer, pidfd_is_of_the_same_process_as_the_credentials)
{
	int client, server;
	pid_t pid;
	char c;

	if (!knows_peer_pidfd(self->pair[0]))
		SKIP(return, "no SO_PEERPIDFD");
	EXPECT_EQ(getpid(), peer_pidfd(self->pair[0]));
	EXPECT_EQ(getpid(), peer_pidfd(self->pair[1]));
	client = scm_connect(variant->type, NAME);
	ASSERT_FD(client);
	EXPECT_EQ(getpid(), peer_pidfd(client));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		EXPECT_LE(0, scm_accept(self->listener));
		EXPECT_LE(0, scm_connect(variant->type, NAME));
		EXPECT_RETURNS(1, write(self->ready[1], "", 1));
		EXPECT_RETURNS(1, read(self->done[0], &c, 1));
		_exit(0);
	}
	ASSERT_RETURNS(1, read(self->ready[0], &c, 1));
	EXPECT_EQ(pid, peer_pidfd(client));
	expect_peer(_metadata, client, pid, 0, 0);
	server = scm_accept(self->listener);
	ASSERT_FD(server);
	EXPECT_EQ(pid, peer_pidfd(server));
	expect_peer(_metadata, server, pid, 0, 0);
	ASSERT_RETURNS(1, write(self->done[1], "", 1));
	ASSERT_OK(nym_wait_child(pid));
	close(client);
	close(server);
}

/*
 * What the kernel says of a peer that is gone: the same as for AF_UNIX; but since
 * 6.16 it remembers AF_UNIX's peers, and no others, beyond their end.
 */
TEST_F(peer, pidfd_of_a_process_that_is_gone)
{
	int un[2], client = scm_connect(variant->type, NAME), want;
	pid_t pid;

	ASSERT_FD(client);
	if (!knows_peer_pidfd(self->pair[0]))
		SKIP(return, "no SO_PEERPIDFD");
	ASSERT_OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, un));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		int fd[2];

		EXPECT_OK(socketpair(AF_UNIX, variant->type, 0, fd));
		EXPECT_LE(0, scm_accept(self->listener));
		EXPECT_RETURNS(1, scm_send_fd(un[1], fd[0]));
		_exit(0);
	}
	ASSERT_OK(nym_wait_child(pid));
	un[1] = scm_recv_fd(un[0]);
	ASSERT_FD(un[1]);
	want = no_peer_pidfd(un[1]) ?: ESRCH;
	EXPECT_SAME_ERRNO(want, no_peer_pidfd(client));
	EXPECT_EQ(pid, peer_cred(client).pid);
	close(client);
}

FIXTURE(dgram_peer) {
	int pair[2];
};

FIXTURE_SETUP(dgram_peer)
{
	SKIP_WITHOUT_NYM();
	ASSERT_OK(socketpair(AF_NYM, SOCK_DGRAM, 0, self->pair));
}

FIXTURE_TEARDOWN(dgram_peer)
{
	close(self->pair[0]);
	close(self->pair[1]);
}

TEST_F(dgram_peer, pair_is_of_its_maker)
{
	expect_peer(_metadata, self->pair[0], getpid(), 0, 0);
	expect_peer(_metadata, self->pair[1], getpid(), 0, 0);
	if (knows_peer_pidfd(self->pair[0]))
		EXPECT_EQ(getpid(), peer_pidfd(self->pair[0]));
}

/* Connecting is a matter of one side only: nobody is at the other end. */
TEST_F(dgram_peer, of_a_connected_socket_is_nobody)
{
	int fd = scm_bound(SOCK_DGRAM, NAME), client;
	socklen_t len = 0;

	ASSERT_FD(fd);
	client = scm_connect(SOCK_DGRAM, NAME);
	ASSERT_FD(client);
	expect_peer(_metadata, fd, 0, -1, -1);
	expect_peer(_metadata, client, 0, -1, -1);
	EXPECT_ERRNO(ENODATA, getsockopt(client, SOL_SOCKET, SO_PEERGROUPS, NULL,
					 &len));
	close(client);
	close(fd);
}

NYM_TEST_MAIN
