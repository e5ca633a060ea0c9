// SPDX-License-Identifier: GPL-2.0
/*
 * sock_diag: one socket and dumps, what each says, who sees which names, and
 * dumps while sockets come and go.
 */
#include "nym_test.h"
#include "nym_diag_ask.h"

#define NAME	"t/diag/srv"

/* One answered socket. */
struct seen {
	struct nym_diag_msg msg;
	char name[NYM_NAME_MAX + 1];
	char peer[NYM_NAME_MAX + 1];
	struct nym_info info;
	struct nym_diag_owner owner;
	int meminfo;
};

enum { MANY = 3000 };
static struct seen all[MANY + 100];

static void parse(const struct nlmsghdr *head, struct seen *seen)
{
	const struct nlattr *a = NLMSG_DATA(head) +
				 NLMSG_ALIGN(sizeof(struct nym_diag_msg));
	const char *end = (const char *)head + head->nlmsg_len;

	memset(seen, 0, sizeof(*seen));
	memcpy(&seen->msg, NLMSG_DATA(head), sizeof(seen->msg));
	for (; (const char *)a + NLA_HDRLEN <= end;
	     a = (const void *)a + NLA_ALIGN(a->nla_len)) {
		const void *data = (const void *)a + NLA_HDRLEN;
		size_t len = a->nla_len - NLA_HDRLEN;

		if (a->nla_type == NYM_DIAG_NAME)
			snprintf(seen->name, sizeof(seen->name), "%s", (char *)data);
		else if (a->nla_type == NYM_DIAG_PEER)
			snprintf(seen->peer, sizeof(seen->peer), "%s", (char *)data);
		else if (a->nla_type == NYM_DIAG_INFO && len == sizeof(seen->info))
			memcpy(&seen->info, data, len);
		else if (a->nla_type == NYM_DIAG_OWNER && len == sizeof(seen->owner))
			memcpy(&seen->owner, data, len);
		else if (a->nla_type == NYM_DIAG_MEMINFO)
			seen->meminfo = len / sizeof(__u32);
	}
}

/*
 * Receives answers in pieces of @piece bytes: how many there are, or -1 and
 * errno for an error.
 */
static int diag_recv(int nl, struct seen *seen, int max, size_t piece)
{
	static char buf[1 << 16] __attribute__((aligned(8)));
	int n = 0;

	for (;;) {
		struct nlmsghdr *head = (void *)buf;
		ssize_t len = recv(nl, buf, piece, 0);

		if (len <= 0)
			return -1;
		for (; NLMSG_OK(head, len); head = NLMSG_NEXT(head, len)) {
			if (head->nlmsg_type == NLMSG_DONE)
				return n;
			if (head->nlmsg_type == NLMSG_ERROR) {
				errno = -((struct nlmsgerr *)NLMSG_DATA(head))->error;
				return -1;
			}
			if (n < max)
				parse(head, &seen[n]);
			n++;
			if (!(head->nlmsg_flags & NLM_F_MULTI))
				return n;
		}
	}
}

static int diag_ask(const struct nym_diag_req *req, size_t len, int flags,
		    struct seen *seen, int max, size_t piece)
{
	int nl = nym_diag_open(), n;

	if (nl < 0)
		return -1;
	n = nym_diag_send(nl, req, len, flags) ? -1 :
	    diag_recv(nl, seen, max, piece);
	if (n < 0)
		return nym_give_up(nl);
	close(nl);
	return n;
}

static int dump(__u32 types, __u32 states, size_t piece)
{
	struct nym_diag_req req = {
		.sdiag_family = AF_NYM, .types = types, .states = states,
		.show = NYM_DIAG_SHOW_ALL,
	};

	return diag_ask(&req, sizeof(req), NLM_F_DUMP, all, ARRAY_SIZE(all), piece);
}

static int one(int fd, __u32 show, struct seen *seen)
{
	struct nym_diag_req req = {
		.sdiag_family = AF_NYM, .ino = nym_inode(fd), .show = show,
		.cookie = { ~0U, ~0U },
	};

	return diag_ask(&req, sizeof(req), 0, seen, 1, 1 << 15);
}

FIXTURE(diag) {
	int listener;
	struct seen seen;
	struct nym_diag_req req;
};

FIXTURE_SETUP(diag)
{
	SKIP_WITHOUT_NYM();
	if (unshare(CLONE_NEWNET))
		SKIP(return, "no network namespaces here");
	umask(022);
	self->listener = nym_listen(NAME, 3);
	ASSERT_FD(self->listener);
	self->req = (struct nym_diag_req){
		.sdiag_family = AF_NYM, .ino = nym_inode(self->listener),
		.cookie = { ~0U, ~0U }, .show = NYM_DIAG_SHOW_ALL,
	};
}

FIXTURE_TEARDOWN(diag)
{
	close(self->listener);
}

TEST_F(diag, one_listener)
{
	__u64 cookie = 0;
	socklen_t len = sizeof(cookie);

	ASSERT_OK(fchown(self->listener, 1000, 2000));
	ASSERT_FD(nym_connect(NAME));
	ASSERT_EQ(1, one(self->listener, NYM_DIAG_SHOW_ALL, &self->seen));
	EXPECT_EQ(AF_NYM, self->seen.msg.family);
	EXPECT_EQ(SOCK_STREAM, self->seen.msg.type);
	EXPECT_EQ(NYM_DIAG_LISTENING, self->seen.msg.state);
	EXPECT_EQ(nym_inode(self->listener), self->seen.msg.ino);
	EXPECT_STREQ(NAME, self->seen.name);
	EXPECT_STREQ("", self->seen.peer);
	EXPECT_EQ(1U, self->seen.info.pending);
	EXPECT_EQ(4U, self->seen.info.limit);
	EXPECT_EQ(1000U, self->seen.owner.uid);
	EXPECT_EQ(2000U, self->seen.owner.gid);
	EXPECT_EQ(0755U, self->seen.owner.mode);
	EXPECT_EQ(SK_MEMINFO_VARS, self->seen.meminfo);
	ASSERT_OK(getsockopt(self->listener, SOL_SOCKET, SO_COOKIE, &cookie, &len));
	EXPECT_EQ((__u32)cookie, self->seen.msg.cookie[0]);
	EXPECT_EQ((__u32)(cookie >> 32), self->seen.msg.cookie[1]);
}

TEST_F(diag, shows_only_what_is_asked_for)
{
	ASSERT_EQ(1, one(self->listener, 0, &self->seen));
	EXPECT_STREQ("", self->seen.name);
	EXPECT_EQ(0U, self->seen.info.limit);
	EXPECT_EQ(0, self->seen.meminfo);
	ASSERT_EQ(1, one(self->listener, NYM_DIAG_SHOW_NAME, &self->seen));
	EXPECT_STREQ(NAME, self->seen.name);
	EXPECT_EQ(0U, self->seen.info.limit);
}

#define EXPECT_SEEN(_fd, _state, _name, _peer) do { \
	int __fd = (_fd); \
	ASSERT_EQ(1, one(__fd, NYM_DIAG_SHOW_ALL, &self->seen)); \
	EXPECT_EQ(_state, self->seen.msg.state); \
	EXPECT_STREQ(_name, self->seen.name); \
	EXPECT_STREQ(_peer, self->seen.peer); \
} while (0)

TEST_F(diag, one_in_each_state)
{
	int fd[2], pair[2], parked = nym_socket_nonblock();

	EXPECT_SEEN(nym_socket(), NYM_DIAG_UNCONNECTED, "", "");
	EXPECT_SEEN(nym_bound("t/diag/b"), NYM_DIAG_BOUND, "t/diag/b", "");
	ASSERT_OK(nym_connection(self->listener, NAME, fd));
	EXPECT_SEEN(fd[0], NYM_DIAG_CONNECTED, nym_own_name(fd[0]), NAME);
	EXPECT_SEEN(fd[1], NYM_DIAG_CONNECTED, NAME, nym_own_name(fd[0]));
	ASSERT_OK(listen(self->listener, 0));
	ASSERT_FD(nym_connect(NAME));
	ASSERT_ERRNO(EINPROGRESS, nym_call(parked, NAME));
	EXPECT_SEEN(parked, NYM_DIAG_CONNECTING, "", NAME);
	ASSERT_OK(socketpair(AF_NYM, SOCK_DGRAM, 0, pair));
	EXPECT_SEEN(pair[0], NYM_DIAG_CONNECTED, nym_own_name(pair[0]),
		    nym_peer_name(pair[0]));
}

static int ask_one(struct nym_diag_req *req, size_t len)
{
	struct seen seen;

	return diag_ask(req, len, 0, &seen, 1, 1 << 15) == 1 ? 0 : -1;
}

TEST_F(diag, errors)
{
	struct nym_diag_req *req = &self->req;
	size_t len;

	ASSERT_OK(ask_one(req, sizeof(*req)));
	for (len = 4; len < sizeof(*req); len += 4)
		EXPECT_ERRNO(EINVAL, ask_one(req, len));
	EXPECT_ERRNO(EINVAL, diag_ask(req, 8, NLM_F_DUMP, all, 1, 1 << 15));
	req->pad = 1;
	EXPECT_ERRNO(EINVAL, ask_one(req, sizeof(*req)));
	req->pad = 0;
	req->sdiag_protocol = 1;
	EXPECT_ERRNO(EINVAL, ask_one(req, sizeof(*req)));
	req->sdiag_protocol = 0;
	req->cookie[1] = 0;
	EXPECT_ERRNO(ESTALE, ask_one(req, sizeof(*req)));
	ASSERT_EQ(1, one(self->listener, 0, &self->seen));
	memcpy(req->cookie, self->seen.msg.cookie, sizeof(req->cookie));
	EXPECT_OK(ask_one(req, sizeof(*req)));
	req->cookie[0]++;
	EXPECT_ERRNO(ESTALE, ask_one(req, sizeof(*req)));
	req->ino = 0;
	EXPECT_ERRNO(EINVAL, ask_one(req, sizeof(*req)));
	req->ino = nym_inode(nym_diag_open());
	EXPECT_ERRNO(ENOENT, ask_one(req, sizeof(*req)));
}

TEST_F(diag, another_namespace_has_none_of_it)
{
	ASSERT_EQ(1, dump(~0, ~0, 1 << 15));
	ASSERT_OK(unshare(CLONE_NEWNET));
	EXPECT_EQ(0, dump(~0, ~0, 1 << 15));
	EXPECT_ERRNO(ENOENT, ask_one(&self->req, sizeof(self->req)));
}

TEST_F(diag, dump_is_filtered)
{
	int fd = socket(AF_NYM, SOCK_SEQPACKET, 0);

	ASSERT_FD(fd);
	ASSERT_FD(socket(AF_NYM, SOCK_DGRAM, 0));
	EXPECT_EQ(3, dump(~0, ~0, 1 << 15));
	EXPECT_EQ(0, dump(0, ~0, 1 << 15));
	EXPECT_EQ(0, dump(~0, 0, 1 << 15));
	EXPECT_EQ(1, dump(1 << SOCK_STREAM, ~0, 1 << 15));
	EXPECT_EQ(NYM_DIAG_LISTENING, all[0].msg.state);
	EXPECT_EQ(2, dump(~0, 1 << NYM_DIAG_UNCONNECTED, 1 << 15));
	EXPECT_EQ(1, dump(1 << SOCK_SEQPACKET, 1 << NYM_DIAG_UNCONNECTED, 1 << 15));
	EXPECT_EQ(nym_inode(fd), all[0].msg.ino);
	EXPECT_EQ(0, dump(1 << SOCK_SEQPACKET, 1 << NYM_DIAG_BOUND, 1 << 15));
}

static int by_ino(const void *a, const void *b)
{
	const struct seen *x = a, *y = b;

	return x->msg.ino < y->msg.ino ? -1 : x->msg.ino > y->msg.ino;
}

/* Every one once, in many pieces. */
TEST_F(diag, dumps_thousands)
{
	struct rlimit files = { .rlim_cur = MANY + 64, .rlim_max = MANY + 64 };
	int i;

	ASSERT_OK(setrlimit(RLIMIT_NOFILE, &files));
	for (i = 1; i < MANY; i++)
		ASSERT_FD(nym_socket());
	ASSERT_EQ(MANY, dump(~0, ~0, 1 << 15));
	qsort(all, MANY, sizeof(all[0]), by_ino);
	for (i = 1; i < MANY; i++)
		ASSERT_NE(all[i - 1].msg.ino, all[i].msg.ino);
	/* A small buffer makes small pieces. */
	ASSERT_EQ(MANY, dump(~0, ~0, 8192));
}

/* Who stops reading in the middle leaves nothing behind: see the leak check. */
TEST_F(diag, dump_that_is_not_read)
{
	int nl = nym_diag_open(), i;

	self->req.types = ~0;
	self->req.states = ~0;
	for (i = 0; i < 500; i++)
		ASSERT_FD(nym_socket());
	ASSERT_OK(nym_diag_send(nl, &self->req, sizeof(self->req), NLM_F_DUMP));
	ASSERT_OK(close(nl));
}

static const struct nym_who nobody = { .uid = NYM_NOBODY, .gid = NYM_NOBODY };

enum { SEEN, HIDDEN, WRONG };

static int look(void *arg)
{
	struct seen seen;

	if (one(*(int *)arg, NYM_DIAG_SHOW_ALL, &seen) != 1 || !seen.owner.mode)
		return WRONG;
	if (!strcmp(seen.name, NAME) || !strcmp(seen.peer, NAME))
		return SEEN;
	if (dump(~0, ~0, 1 << 15) < 1)
		return WRONG;
	return !strcmp(all[0].name, NAME) || !strcmp(all[0].peer, NAME) ?
	       WRONG : HIDDEN;
}

TEST_F(diag, hides_names_as_proc_does)
{
	int fd[2], i;

	ASSERT_OK(nym_connection(self->listener, NAME, fd));
	for (i = 0; i < 2; i++) {
		ASSERT_OK(fchmod(self->listener, 0733));
		EXPECT_EQ(HIDDEN, nym_errno_as(&nobody, look, &fd[i]));
		EXPECT_EQ(SEEN, nym_errno_as(NULL, look, &fd[i]));
		ASSERT_OK(fchmod(self->listener, 0744));
		EXPECT_EQ(SEEN, nym_errno_as(&nobody, look, &fd[i]));
	}
	/* Without the listener, only its connections have the name. */
	close(self->listener);
	EXPECT_EQ(HIDDEN, nym_errno_as(&nobody, look, &fd[1]));
	EXPECT_EQ(SEEN, nym_errno_as(NULL, look, &fd[1]));
}

static long churn(void *stop)
{
	int fd[2];

	while (!__atomic_load_n((int *)stop, __ATOMIC_ACQUIRE)) {
		int listener = nym_listen("t/diag/busy", 1);

		if (listener < 0 || nym_connection(listener, "t/diag/busy", fd))
			return -1;
		close(fd[0]);
		close(listener);
		close(fd[1]);
		if (socketpair(AF_NYM, SOCK_DGRAM, 0, fd))
			return -1;
		close(fd[0]);
		close(fd[1]);
	}
	return 0;
}

TEST_F(diag, dump_while_sockets_come_and_go)
{
	struct nym_bg bg;
	int stop = 0, i, j, n;

	ASSERT_OK(nym_bg_start(&bg, churn, &stop));
	for (i = 0; i < 300; i++) {
		n = dump(~0, ~0, 1 << 15);
		ASSERT_LE(1, n);
		for (j = 0; j < n; j++) {
			ASSERT_EQ(AF_NYM, all[j].msg.family);
			ASSERT_NE(0U, all[j].msg.ino);
			/* One that has just been found may be gone. */
			self->req.ino = all[j].msg.ino;
			memcpy(self->req.cookie, all[j].msg.cookie,
			       sizeof(self->req.cookie));
			if (ask_one(&self->req, sizeof(self->req)))
				ASSERT_TRUE(errno == ENOENT || errno == ESTALE);
		}
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	EXPECT_EQ(0, nym_bg_join(&bg));
}

NYM_TEST_MAIN
