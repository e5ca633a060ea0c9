// SPDX-License-Identifier: GPL-2.0
/*
 * What happens when memory cannot be had, or user memory cannot be copied: each
 * scenario is a call that is made again and again, with the 1st, 2nd, 3rd ...
 * allocation or copy of it failing, until none fails any more. It must say so
 * with the right errno, and must work when it is made once more.
 *
 * Needs a kernel with fault injection; skipped on others.
 */
#include "nym_test.h"
#include "nym_diag_ask.h"
#include "nym_inject.h"
#include "nym_io.h"
#include "nym_scm.h"

#include <sys/uio.h>

#define NAME	"t/fault"
#define OTHER	"t/fault/other"
#define BIG	100000
#define LIMIT	212992	/* what a ring holds */
#define NTH_MAX	1000	/* no call has so many */

struct world {
	int type;
	int l;		/* a listener, or bound, at NAME */
	int a;		/* a socket of the type */
	int b;		/* its peer, if it has one */
	int c;
};

static char bytes[BIG];
static char room[BIG];

static bool is_lack(int err)
{
	return err == ENOMEM || err == ENOBUFS || err == EFAULT || err == ENFILE;
}

static void clear(struct world *w)
{
	int *fds[] = { &w->l, &w->a, &w->b, &w->c };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

/* How the world is before the call. */

static void make_socket(struct world *w)
{
	w->a = scm_socket(w->type);
}

static void make_nothing(struct world *w)
{
}

static void make_listener(struct world *w)
{
	w->l = w->type == SOCK_DGRAM ? scm_bound(w->type, NAME) :
				       scm_listen(w->type, NAME, 5);
	w->a = scm_socket(w->type);
}

static void make_bound(struct world *w)
{
	w->a = scm_bound(w->type, NAME);
}

static void make_full(struct world *w)
{
	w->l = scm_listen(w->type, NAME, 0);
	w->b = scm_connect(w->type, NAME);
	w->a = scm_socket(w->type);
	nym_set_nonblock(w->a, true);
}

static void make_waiting(struct world *w)
{
	w->a = scm_socket(w->type);
	nym_set_nonblock(w->a, true);
	nym_option(w->a, NYM_WAIT, 1);
}

static void make_call(struct world *w)
{
	w->l = scm_listen(w->type, NAME, 5);
	w->b = scm_connect(w->type, NAME);
	w->a = -1;
}

static void make_pair(struct world *w)
{
	int fd[2];

	if (scm_pair(w->type, fd))
		abort();
	w->a = fd[0];
	w->b = fd[1];
	scm_pass_rights(w->b, 1);
}

static void make_hasty_pair(struct world *w)
{
	make_pair(w);
	if (io_set_timeout(w->a, SO_SNDTIMEO, 10))
		abort();
}

static void make_message(struct world *w)
{
	make_pair(w);
	if (send(w->b, bytes, 5000, 0) != 5000)
		abort();
}

static void make_descriptors(struct world *w)
{
	int files[3] = { 0, 1 };

	make_pair(w);
	w->c = dup(0);
	files[2] = w->c;
	if (scm_send_fds(w->a, "x", 1, files, 3, 0) != 1)
		abort();
}

static pid_t lender;

/* A process sends more than fits, and lends it. */
static void make_lent(struct world *w)
{
	static char much[1 << 20];

	make_pair(w);
	lender = fork();
	if (!lender) {
		close(w->a);
		_exit(send(w->b, much, sizeof(much), MSG_NOSIGNAL) < 0);
	}
	io_poll_wait(w->a, POLLIN);
}

static void make_two_listeners(struct world *w)
{
	int *fds[] = { &w->l, &w->c };
	int i;

	for (i = 0; i < 2; i++) {
		*fds[i] = scm_socket(w->type);
		if (nym_option(*fds[i], NYM_SHARE, 1) || nym_bind(*fds[i], NAME) ||
		    listen(*fds[i], 5))
			abort();
	}
	w->a = scm_connect(w->type, NAME);
	w->b = scm_connect(w->type, NAME);
}

/* The calls: what they return, and errno. */

static long closing(int fd)
{
	return fd < 0 ? -1 : close(fd);
}

static long do_socket(struct world *w)
{
	return closing(socket(AF_NYM, w->type, 0));
}

static long do_pair(struct world *w)
{
	int fd[2];

	if (socketpair(AF_NYM, w->type, 0, fd))
		return -1;
	close(fd[0]);
	return close(fd[1]);
}

static long do_bind(struct world *w)
{
	return nym_bind(w->a, NAME);
}

/* Twice is fine: it has a name then. */
static long do_bind_any(struct world *w)
{
	struct sockaddr_nym sa = { .snym_family = AF_NYM };

	return bind(w->a, (struct sockaddr *)&sa, offsetof(struct sockaddr_nym, snym_name));
}

static long do_listen(struct world *w)
{
	return listen(w->a, 10);
}

static long do_connect(struct world *w)
{
	return nym_call(w->a, NAME);
}

/* A call that waits; 115 if it does. */
static long do_park(struct world *w)
{
	if (!nym_call(w->a, NAME))
		return 0;
	return errno == EINPROGRESS ? EINPROGRESS : -1;
}

static long do_accept(struct world *w)
{
	return closing(accept4(w->l, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

static long do_send(struct world *w)
{
	return send(w->a, bytes, 10, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static long do_send_much(struct world *w)
{
	return send(w->a, bytes, BIG, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* More than fits: lent, and taken back when the time is over. */
static long do_send_lent(struct world *w)
{
	static char much[1 << 20];
	long n;

	n = send(w->a, much, sizeof(much), MSG_NOSIGNAL);
	/* Once more: there is no room. */
	return n < 0 && errno == EAGAIN ? io_inq(w->b) : n;
}

static long do_send_to(struct world *w)
{
	struct sockaddr_nym sa;
	socklen_t len = nym_addr(&sa, NAME);

	return sendto(w->a, bytes, 3000, MSG_DONTWAIT, (struct sockaddr *)&sa, len);
}

static long do_send_files(struct world *w)
{
	int files[3] = { 0, 1, w->a };

	return scm_send_fds(w->a, bytes, 10, files, 3, MSG_DONTWAIT);
}

static long do_send_cred(struct world *w)
{
	return scm_send_cred(w->a, "0123456789", getpid(), 0, 0);
}

static long do_writev(struct world *w)
{
	struct iovec vec[3] = {
		{ bytes, 10 }, { bytes, 5000 }, { bytes, 1 },
	};

	return writev(w->a, vec, 3);
}

static long do_recv(struct world *w)
{
	return recv(w->a, room, sizeof(room), MSG_DONTWAIT);
}

static long do_recv_lent(struct world *w)
{
	return recv(w->a, room, BIG, 0);
}

static long do_splice(struct world *w)
{
	int fd[2];
	long n;

	if (pipe2(fd, O_CLOEXEC))
		return -1;
	n = splice(w->a, NULL, fd[1], NULL, BIG, SPLICE_F_NONBLOCK);
	close(fd[0]);
	close(fd[1]);
	return n;
}

static long do_recv_files(struct world *w)
{
	struct scm_in in;
	long n = scm_recv(w->b, room, sizeof(room), MSG_DONTWAIT, &in);

	if (n >= 0)
		scm_close(&in);
	return n;
}

static long do_peek(struct world *w)
{
	return recv(w->a, room, sizeof(room), MSG_DONTWAIT | MSG_PEEK);
}

static long do_info(struct world *w)
{
	struct nym_info info;
	socklen_t len = sizeof(info);

	return getsockopt(w->a, SOL_NYM, NYM_INFO, &info, &len);
}

static long do_option(struct world *w)
{
	return nym_option(w->a, NYM_LINGER, 0);
}

static long do_name(struct world *w)
{
	struct sockaddr_nym sa;
	socklen_t len = sizeof(sa);

	return getsockname(w->a, (struct sockaddr *)&sa, &len);
}

static long do_poll(struct world *w)
{
	struct pollfd p = { .fd = w->a, .events = POLLOUT };

	return poll(&p, 1, 0) < 0 ? -1 : 0;
}

static long do_read_proc(struct world *w)
{
	char *text = nym_slurp(NYM_PROC, sizeof(room));

	free(text);
	return text ? 0 : -1;
}

static long do_dump(struct world *w)
{
	struct nym_diag_req req = {
		.sdiag_family = AF_NYM, .types = ~0, .states = ~0, .show = NYM_DIAG_SHOW_ALL,
	};
	int nl = nym_diag_open();
	long n = nl < 0 || nym_diag_send(nl, &req, sizeof(req), NLM_F_DUMP) ? -1 :
		 recv(nl, room, sizeof(room), MSG_DONTWAIT);

	if (nl >= 0)
		close(nl);
	return n < 0 ? -1 : 0;
}

/* What cannot fail must not need memory that it cannot have. */
static long do_close(struct world *w)
{
	close(w->l);
	w->l = -1;
	return 0;
}

/* Both calls are at the other listener now. */
static bool lender_ends(struct world *w)
{
	close(w->a);
	w->a = -1;
	return lender > 0 && waitpid(lender, NULL, 0) == lender;
}

static bool both_moved(struct world *w)
{
	int i, fd;

	for (i = 0; i < 2; i++) {
		if (nym_poll_now(w->c, POLLIN) != POLLIN)
			return false;
		fd = accept(w->c, NULL, NULL);
		if (fd < 0)
			return false;
		close(fd);
	}
	return true;
}

static long do_shutdown(struct world *w)
{
	return shutdown(w->a, SHUT_RDWR);
}

#define STREAM		1
#define SEQPACKET	2
#define DGRAM		4
#define CALLS		(STREAM | SEQPACKET)
#define ALL		(CALLS | DGRAM)

static const struct scenario {
	const char *name;
	int types;
	void (*make)(struct world *w);
	long (*call)(struct world *w);
	long want;
	bool (*check)(struct world *w);
} scenarios[] = {
	{ "socket", ALL, make_nothing, do_socket, 0, NULL },
	{ "socketpair", ALL, make_nothing, do_pair, 0, NULL },
	{ "bind", ALL, make_socket, do_bind, 0, NULL },
	{ "bind to any", ALL, make_socket, do_bind_any, 0, NULL },
	{ "listen", CALLS, make_bound, do_listen, 0, NULL },
	{ "connect", ALL, make_listener, do_connect, 0, NULL },
	{ "connect and be parked", CALLS, make_full, do_park, EINPROGRESS, NULL },
	{ "connect and wait", ALL, make_waiting, do_park, EINPROGRESS, NULL },
	{ "accept", CALLS, make_call, do_accept, 0, NULL },
	{ "send", ALL, make_pair, do_send, 10, NULL },
	{ "send much", ALL, make_pair, do_send_much, BIG, NULL },
	{ "send and lend", STREAM, make_hasty_pair, do_send_lent, LIMIT, NULL },
	{ "peek at what is lent", STREAM, make_lent, do_peek, BIG, lender_ends },
	{ "receive what is lent", STREAM, make_lent, do_recv_lent, BIG, lender_ends },
	{ "sendto", DGRAM, make_listener, do_send_to, 3000, NULL },
	{ "send descriptors", ALL, make_pair, do_send_files, 10, NULL },
	{ "send credentials", ALL, make_pair, do_send_cred, 10, NULL },
	{ "writev", ALL, make_pair, do_writev, 5011, NULL },
	{ "recv", ALL, make_message, do_recv, 5000, NULL },
	{ "splice", STREAM, make_message, do_splice, 5000, NULL },
	{ "receive descriptors", ALL, make_descriptors, do_recv_files, 1, NULL },
	{ "peek", ALL, make_message, do_peek, 5000, NULL },
	{ "NYM_INFO", ALL, make_pair, do_info, 0, NULL },
	{ "setsockopt", ALL, make_pair, do_option, 0, NULL },
	{ "getsockname", ALL, make_pair, do_name, 0, NULL },
	{ "poll", ALL, make_pair, do_poll, 0, NULL },
	{ "/proc/net/nym", ALL, make_pair, do_read_proc, 0, NULL },
	{ "sock_diag", ALL, make_pair, do_dump, 0, NULL },
	{ "close and hand over", CALLS, make_two_listeners, do_close, 0, both_moved },
	{ "shutdown", ALL, make_message, do_shutdown, 0, NULL },
};

FIXTURE(fault)
{
	struct world w;
};

FIXTURE_VARIANT(fault)
{
	int type;
	int bit;
};

FIXTURE_VARIANT_ADD(fault, stream)
{
	.type = SOCK_STREAM, .bit = STREAM,
};

FIXTURE_VARIANT_ADD(fault, seqpacket)
{
	.type = SOCK_SEQPACKET, .bit = SEQPACKET,
};

FIXTURE_VARIANT_ADD(fault, dgram)
{
	.type = SOCK_DGRAM, .bit = DGRAM,
};

FIXTURE_SETUP(fault)
{
	SKIP_WITHOUT_NYM();
	if (!nym_can_inject())
		SKIP(return, "this kernel has no fault injection");
	self->w = (struct world){ .l = -1, .a = -1, .b = -1, .c = -1 };
	self->w.type = variant->type;
}

FIXTURE_TEARDOWN(fault)
{
	clear(&self->w);
}

/*
 * One scenario with the @nth chance failing. Returns whether there was one.
 * A call that did a part of it, or found another way, is as good as one that
 * says what is missing.
 */
static bool try_nth(struct __test_metadata *_metadata, const struct scenario *s,
		    struct world *w, int nth)
{
	bool happened;
	long ret;
	int fd, err;

	s->make(w);
	fd = nym_inject(nth);
	errno = 0;
	ret = s->call(w);
	err = errno;
	happened = !nym_inject_left(fd, nth);
	if (ret < 0) {
		EXPECT_TRUE(happened && is_lack(err)) {
			TH_LOG("%s, %d: %s", s->name, nth, strerrorname_np(err));
		}
		ret = s->call(w);
		EXPECT_EQ(s->want, ret) {
			TH_LOG("%s, once more after %d: %s", s->name, nth,
			       strerrorname_np(errno));
		}
	} else if (ret != s->want) {
		EXPECT_TRUE(happened && ret > 0 && ret < s->want) {
			TH_LOG("%s, %d: %ld", s->name, nth, ret);
		}
	}
	if (s->check) {
		EXPECT_TRUE(s->check(w)) {
			TH_LOG("%s, after %d", s->name, nth);
		}
	}
	clear(w);
	return happened;
}

TEST_F(fault, nothing_is_lost_when_something_fails)
{
	size_t i;
	int nth;

	for (i = 0; i < ARRAY_SIZE(scenarios); i++) {
		if (!(scenarios[i].types & variant->bit))
			continue;
		for (nth = 1; nth < NTH_MAX; nth++) {
			if (!try_nth(_metadata, &scenarios[i], &self->w, nth))
				break;
		}
		EXPECT_GT(NTH_MAX, nth);
		TH_LOG("%s: %d chances to fail", scenarios[i].name, nth - 1);
	}
}

NYM_TEST_MAIN
