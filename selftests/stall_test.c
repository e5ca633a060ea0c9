// SPDX-License-Identifier: GPL-2.0
/*
 * Calls that stall in the middle of copying, because the page they copy from
 * or to takes its time (userfaultfd holds it back): what others may do
 * meanwhile, what ends them, and what may not appear afterwards.
 */
#include "nym_test.h"
#include "nym_diag_ask.h"
#include "nym_io.h"
#include "nym_scm.h"

#include <linux/userfaultfd.h>
#include <sys/mman.h>

#define PAGE	4096L
#define LEN	6000L	/* reaches into the second page */

FIXTURE(stall)
{
	int a;
	int b;
	int uffd;
	__u8 *mem;	/* a page that is there and one that is not */
	struct io_thread t;
};

FIXTURE_SETUP(stall)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int fd[2];

	SKIP_WITHOUT_NYM();
	self->uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (self->uffd < 0 || ioctl(self->uffd, UFFDIO_API, &api))
		SKIP(return, "no userfaultfd: %s", strerrorname_np(errno));
	self->mem = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->mem);
	memcpy(self->mem, io_at(0), PAGE);
	reg.range.start = (uintptr_t)self->mem + PAGE;
	reg.range.len = PAGE;
	ASSERT_OK(ioctl(self->uffd, UFFDIO_REGISTER, &reg));
	ASSERT_OK(nym_pair(fd));
	self->a = fd[0];
	self->b = fd[1];
}

FIXTURE_TEARDOWN(stall)
{
	close(self->uffd);
	close(self->a);
	close(self->b);
	munmap(self->mem, 2 * PAGE);
}

/* Somebody waits for the second page. */
static bool stalled(int uffd)
{
	struct uffd_msg msg;

	return io_poll(uffd, POLLIN, IO_POLL_MS) == POLLIN &&
	       read(uffd, &msg, sizeof(msg)) == sizeof(msg) &&
	       msg.event == UFFD_EVENT_PAGEFAULT;
}

/* Gives the second page, with the pattern that follows the first one's. */
static int go_on(int uffd, __u8 *mem)
{
	static __u8 page[PAGE];
	struct uffdio_copy copy = { .dst = (uintptr_t)mem + PAGE,
				    .src = (uintptr_t)page, .len = PAGE };

	memcpy(page, io_at(PAGE), PAGE);
	return ioctl(uffd, UFFDIO_COPY, &copy);
}

/* Gives an empty second page, for who copies to it. */
static int go_on_empty(int uffd, __u8 *mem)
{
	struct uffdio_zeropage zero = {
		.range = { .start = (uintptr_t)mem + PAGE, .len = PAGE },
	};

	return ioctl(uffd, UFFDIO_ZEROPAGE, &zero);
}

static long send_mem(struct io_thread *t)
{
	return send(t->fd, t->buf, t->len, MSG_NOSIGNAL);
}

#define START_SEND() do { \
	self->t = (struct io_thread){ .fd = self->a, .buf = self->mem, \
				      .len = LEN }; \
	io_start(&self->t, send_mem); \
	ASSERT_TRUE(stalled(self->uffd)); \
} while (0)

TEST_F(stall, a_stalled_send_shows_nothing_and_stops_nobody_else)
{
	char buf[4];

	START_SEND();
	/* On the other end, and in the other direction. */
	EXPECT_EQ(0, io_inq(self->b));
	EXPECT_EQ(POLLOUT | POLLWRNORM | POLLWRBAND, io_mask(self->b));
	EXPECT_ERRNO(EAGAIN, recv(self->b, buf, 4, MSG_DONTWAIT));
	EXPECT_EQ(2, send(self->b, "ab", 2, MSG_DONTWAIT));
	EXPECT_EQ(2, io_inq(self->a));
	EXPECT_EQ(2, recv(self->a, buf, 4, MSG_DONTWAIT));
	EXPECT_EQ(0, io_so_error(self->a));
	EXPECT_FALSE(io_done(&self->t));
	ASSERT_OK(go_on(self->uffd, self->mem));
	EXPECT_EQ(LEN, io_join(&self->t));
	EXPECT_EQ(LEN, io_drain(self->b, 0));
}

/* After the end of the stream was read, no data may follow. */
static void shut_while_stalled(struct __test_metadata *_metadata,
			       struct io_thread *t, int uffd, __u8 *mem,
			       int reader, int fd, int how)
{
	char buf[4];

	ASSERT_OK(shutdown(fd, how));
	EXPECT_EQ(0, recv(reader, buf, 4, MSG_DONTWAIT));
	ASSERT_OK(go_on(uffd, mem));
	EXPECT_EQ(-1, io_join(t));
	EXPECT_EQ(EPIPE, t->err);
	EXPECT_EQ(0, io_inq(reader));
	EXPECT_EQ(0, recv(reader, buf, 4, MSG_DONTWAIT));
}

TEST_F(stall, shutdown_of_the_writers_side_ends_a_stalled_send)
{
	START_SEND();
	shut_while_stalled(_metadata, &self->t, self->uffd, self->mem, self->b,
			   self->a, SHUT_WR);
}

TEST_F(stall, shutdown_of_the_readers_side_ends_a_stalled_send)
{
	START_SEND();
	shut_while_stalled(_metadata, &self->t, self->uffd, self->mem, self->b,
			   self->b, SHUT_RD);
}

TEST_F(stall, shutdown_of_both_sides_ends_a_stalled_send)
{
	START_SEND();
	shut_while_stalled(_metadata, &self->t, self->uffd, self->mem, self->b,
			   self->b, SHUT_RDWR);
}

/* Either it came too late, or it was lost with the peer, which is a reset. */
TEST_F(stall, close_of_the_peer_ends_a_stalled_send)
{
	char buf[4];

	START_SEND();
	close(self->b);
	self->b = -1;
	ASSERT_OK(go_on(self->uffd, self->mem));
	if (io_join(&self->t) == LEN) {
		EXPECT_ERRNO(ECONNRESET, recv(self->a, buf, 4, 0));
	} else {
		EXPECT_EQ(-1, self->t.ret);
		EXPECT_EQ(EPIPE, self->t.err);
	}
	EXPECT_EQ(0, recv(self->a, buf, 4, 0));
	EXPECT_ERRNO(EPIPE, send(self->a, "x", 1, MSG_NOSIGNAL));
}

static long recv_mem(struct io_thread *t)
{
	return recv(t->fd, t->buf, t->len, 0);
}

#define START_RECV() do { \
	self->t = (struct io_thread){ .fd = self->b, .buf = self->mem, \
				      .len = LEN }; \
	ASSERT_EQ(LEN, io_send_all(self->a, 0, LEN)); \
	memset(self->mem, 0, PAGE); \
	io_start(&self->t, recv_mem); \
	ASSERT_TRUE(stalled(self->uffd)); \
} while (0)

TEST_F(stall, a_stalled_recv_stops_nobody_else)
{
	char buf[4];

	START_RECV();
	EXPECT_EQ(100, send(self->a, io_at(LEN), 100, MSG_DONTWAIT));
	EXPECT_EQ(2, send(self->b, "ab", 2, MSG_DONTWAIT));
	EXPECT_EQ(2, recv(self->a, buf, 4, MSG_DONTWAIT));
	EXPECT_EQ(POLLIN, io_poll(self->b, POLLIN, 0));
	EXPECT_FALSE(io_done(&self->t));
	ASSERT_OK(go_on_empty(self->uffd, self->mem));
	EXPECT_EQ(LEN, io_join(&self->t));
	EXPECT_TRUE(io_is(self->mem, 0, LEN));
	EXPECT_EQ(100, io_drain(self->b, LEN));
}

TEST_F(stall, a_stalled_recv_gets_its_bytes_though_the_peer_is_gone)
{
	char buf[4];

	START_RECV();
	close(self->a);
	self->a = -1;
	ASSERT_OK(go_on_empty(self->uffd, self->mem));
	EXPECT_EQ(LEN, io_join(&self->t));
	EXPECT_TRUE(io_is(self->mem, 0, LEN));
	EXPECT_EQ(0, recv(self->b, buf, 4, 0));
}

/* What a stalled reader holds must not be overwritten by a busy writer. */
TEST_F(stall, a_stalled_recv_keeps_its_bytes_from_the_writer)
{
	long more;

	START_RECV();
	more = io_fill(self->a, LEN, 3000);
	EXPECT_LT(0, more);
	ASSERT_OK(go_on_empty(self->uffd, self->mem));
	EXPECT_EQ(LEN, io_join(&self->t));
	EXPECT_TRUE(io_is(self->mem, 0, LEN));
	EXPECT_EQ(more, io_drain(self->b, LEN));
}

/* The process dies in the middle of its call. */
TEST_F(stall, killed_in_a_stalled_send)
{
	pid_t pid;
	char buf[4];
	int status;

	/* The child's own pages and userfaultfd: those of ours are not its. */
	pid = fork();
	if (!pid) {
		struct uffdio_api api = { .api = UFFD_API };
		struct uffdio_register reg = {
			.mode = UFFDIO_REGISTER_MODE_MISSING,
		};
		int uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
		__u8 *mem = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		close(self->b);
		memset(mem, 1, PAGE);
		reg.range.start = (uintptr_t)mem + PAGE;
		reg.range.len = PAGE;
		if (ioctl(uffd, UFFDIO_API, &api) ||
		    ioctl(uffd, UFFDIO_REGISTER, &reg))
			_exit(1);
		self->t = (struct io_thread){ .fd = self->a, .buf = mem,
					      .len = LEN };
		io_start(&self->t, send_mem);
		if (!stalled(uffd))
			_exit(2);
		raise(SIGKILL);
	}
	close(self->a);
	self->a = -1;
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	/* What was copied before may be there; then comes the end. */
	while (recv(self->b, buf, 4, 0) > 0)
		;
	EXPECT_EQ(0, recv(self->b, buf, 4, 0));
}

/* --- Every type, each in a call of its own, among others --- */

#define SRV	"t/stall/srv"
#define CLI	"t/stall/cli"
#define OTHER	"t/stall/other"

enum { SENDS, RECEIVES };

FIXTURE(among)
{
	int l;		/* a listener at SRV, or bound there */
	int cli;	/* bound to CLI and connected to SRV */
	int srv;	/* its other end; of datagrams, the same as l */
	int fd;		/* the one of both that stalls */
	int peer;	/* the other one */
	int uffd;
	__u8 *mem;	/* a page that is there and one that is not */
	struct io_thread t;
};

FIXTURE_VARIANT(among)
{
	int type;
	int way;
};

#define AMONG(_name, _type, _way) \
FIXTURE_VARIANT_ADD(among, _name) { .type = _type, .way = _way, }

AMONG(stream_send, SOCK_STREAM, SENDS);
AMONG(stream_recv, SOCK_STREAM, RECEIVES);
AMONG(seqpacket_send, SOCK_SEQPACKET, SENDS);
AMONG(seqpacket_recv, SOCK_SEQPACKET, RECEIVES);
AMONG(dgram_send, SOCK_DGRAM, SENDS);
AMONG(dgram_recv, SOCK_DGRAM, RECEIVES);

/* Two pages, of which the second is not there until it is given. */
static int hold_back(__u8 **mem)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	*mem = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (*mem == MAP_FAILED)
		abort();
	memcpy(*mem, io_at(0), PAGE);
	reg.range.start = (uintptr_t)*mem + PAGE;
	reg.range.len = PAGE;
	if (uffd >= 0 && (ioctl(uffd, UFFDIO_API, &api) ||
			  ioctl(uffd, UFFDIO_REGISTER, &reg)))
		return nym_give_up(uffd);
	return uffd;
}

static void on_signal(int sig)
{
}

/* A signal that does not restart calls. */
static void catch_signal(int sig)
{
	struct sigaction sa = { .sa_handler = on_signal };

	sigaction(sig, &sa, NULL);
}

FIXTURE_SETUP(among)
{
	bool dgram = variant->type == SOCK_DGRAM;

	SKIP_WITHOUT_NYM();
	catch_signal(SIGUSR1);
	self->uffd = hold_back(&self->mem);
	if (self->uffd < 0)
		SKIP(return, "no userfaultfd: %s", strerrorname_np(errno));
	self->l = dgram ? scm_bound(SOCK_DGRAM, SRV) : scm_listen(variant->type, SRV, 5);
	ASSERT_FD(self->l);
	self->cli = scm_bound(variant->type, CLI);
	ASSERT_FD(self->cli);
	ASSERT_OK(nym_call(self->cli, SRV));
	self->srv = dgram ? dup(self->l) : scm_accept(self->l);
	ASSERT_FD(self->srv);
	self->fd = variant->way == SENDS ? self->cli : self->srv;
	self->peer = variant->way == SENDS ? self->srv : self->cli;
}

FIXTURE_TEARDOWN(among)
{
	close(self->uffd);
	close(self->l);
	close(self->fd);
	close(self->peer);
	munmap(self->mem, 2 * PAGE);
}

/* Has the call made in a thread, and waits until it stalls. */
static bool stall(FIXTURE_DATA(among) * self, int way)
{
	self->t = (struct io_thread){ .fd = self->fd, .buf = self->mem, .len = LEN };
	if (way == RECEIVES) {
		if (send(self->peer, io_at(0), LEN, 0) != LEN)
			return false;
		memset(self->mem, 0, PAGE);
	}
	io_start(&self->t, way == SENDS ? send_mem : recv_mem);
	return stalled(self->uffd);
}

static int let_go_on(FIXTURE_DATA(among) * self, int way)
{
	return way == SENDS ? go_on(self->uffd, self->mem) :
			      go_on_empty(self->uffd, self->mem);
}

/* All of it has arrived: with the peer, or in the memory. */
static bool arrived(FIXTURE_DATA(among) * self, int way)
{
	static __u8 buf[LEN + 1];

	if (way == RECEIVES)
		return io_is(self->mem, 0, LEN);
	return recv(self->peer, buf, sizeof(buf), MSG_DONTWAIT) == LEN && io_is(buf, 0, LEN);
}

#define EXPECT_GOES_ON() do { \
	EXPECT_FALSE(io_done(&self->t)); \
	ASSERT_OK(let_go_on(self, variant->way)); \
	EXPECT_EQ(LEN, io_join(&self->t)); \
	EXPECT_TRUE(arrived(self, variant->way)); \
} while (0)

/* What others do meanwhile; the thread says what it is at. */
struct others {
	int type;
	int l;
	int fd;
	const char *doing;
};

#define STEP(_what, _ok) do { \
	__atomic_store_n(&o->doing, _what, __ATOMIC_RELAXED); \
	if (!(_ok)) \
		return -1; \
} while (0)

/* One record of text there and back. */
static bool talks(int one, int two)
{
	char buf[8];

	return send(one, "there", 5, 0) == 5 && recv(two, buf, 8, 0) == 5 &&
	       send(two, "back", 4, 0) == 4 && recv(one, buf, 8, 0) == 4;
}

/* A dump of all sockets, with all there is to say. */
static bool dumps(void)
{
	struct nym_diag_req req = {
		.sdiag_family = AF_NYM, .types = ~0, .states = ~0, .show = NYM_DIAG_SHOW_ALL,
	};
	int nl = nym_diag_open();
	static char buf[1 << 16];
	bool ok;

	ok = nl >= 0 && !nym_diag_send(nl, &req, sizeof(req), NLM_F_DUMP) &&
	     recv(nl, buf, sizeof(buf), 0) > NLMSG_HDRLEN;
	close(nl);
	return ok;
}

/* Other connections to the same name, and other names. */
static long others_talk(struct others *o)
{
	int c, s, l;

	c = scm_socket(o->type);
	STEP("connect", !nym_call(c, SRV));
	if (o->type != SOCK_DGRAM) {
		s = scm_accept(o->l);
		STEP("accept", s >= 0);
		STEP("send and recv of another connection", talks(c, s));
		STEP("shutdown of another connection", !shutdown(c, SHUT_RDWR));
		STEP("close of an accepted one", !close(s));
	} else {
		STEP("sendto", send(c, "x", 1, 0) == 1);
	}
	STEP("close", !close(c));
	l = scm_bound(o->type, OTHER);
	STEP("bind", l >= 0);
	STEP("listen", o->type == SOCK_DGRAM || !listen(l, 1));
	STEP("bind of a taken name", scm_bound(o->type, SRV) < 0 && errno == EADDRINUSE);
	STEP("close of a name", !close(l));
	return 0;
}

/* All that can be asked of the very socket, and its copies. */
static long others_look(struct others *o)
{
	struct nym_info info;
	socklen_t len = sizeof(info);
	struct nym_line line;
	pid_t pid;
	int copy;

	STEP("/proc/net/nym", nym_proc_line(o->l, &line) == 1);
	STEP("sock_diag", dumps());
	STEP("NYM_INFO", !getsockopt(o->fd, SOL_NYM, NYM_INFO, &info, &len));
	STEP("SO_ERROR", io_so_error(o->fd) == 0);
	STEP("SO_SNDBUF", !io_set_int(o->fd, SO_SNDBUF, 100000));
	STEP("a name", !strncmp("t/stall/", nym_own_name(o->fd), 8));
	STEP("the peer's name", o->type == SOCK_DGRAM ||
	     !strncmp("t/stall/", nym_peer_name(o->fd), 8));
	STEP("poll", io_mask(o->fd) >= 0);
	STEP("SIOCOUTQ", io_outq(o->fd) >= 0);
	STEP("fchmod", !fchmod(o->l, 0600));
	copy = dup(o->fd);
	STEP("close of a copy", copy >= 0 && !close(copy));
	pid = fork();
	if (!pid)
		_exit(0);
	STEP("the end of a process", pid > 0 && !nym_wait_child(pid));
	return 0;
}

static long others_run(struct io_thread *t)
{
	return others_talk(t->arg) || others_look(t->arg);
}

TEST_F(among, it_delays_nobody)
{
	struct others others = { variant->type, self->l, self->fd, NULL };
	struct io_thread t = { .arg = &others };
	long end = io_now_ms() + IO_POLL_MS;

	ASSERT_TRUE(stall(self, variant->way));
	io_start(&t, others_run);
	while (!io_done(&t) && io_now_ms() < end)
		nym_nap();
	EXPECT_TRUE(io_done(&t)) {
		TH_LOG("%s waits", others.doing);
	}
	/* The other way of the same connection is free as well. */
	if (variant->type != SOCK_DGRAM) {
		char buf[4];

		if (variant->way == SENDS) {
			EXPECT_EQ(2, send(self->peer, "ab", 2, MSG_DONTWAIT));
			EXPECT_EQ(2, recv(self->fd, buf, 4, MSG_DONTWAIT));
		} else {
			EXPECT_EQ(2, send(self->fd, "ab", 2, MSG_DONTWAIT));
			EXPECT_EQ(2, recv(self->peer, buf, 4, MSG_DONTWAIT));
		}
	} else if (variant->way == SENDS) {
		char buf[4];

		/* The one of others_talk(): it came first. */
		EXPECT_EQ(1, recv(self->peer, buf, 4, MSG_DONTWAIT));
	}
	EXPECT_GOES_ON();
	EXPECT_EQ(0, io_join(&t)) {
		TH_LOG("%s failed", others.doing);
	}
}

/* close() returns at once; the socket is there until the call is over. */
TEST_F(among, it_outlives_a_close_by_another_thread)
{
	char buf[4];

	ASSERT_TRUE(stall(self, variant->way));
	ASSERT_OK(close(self->fd));
	self->fd = -1;
	if (variant->type == SOCK_DGRAM && variant->way == RECEIVES) {
		close(self->l);
		self->l = -1;
	}
	EXPECT_EQ(0, io_mask(self->peer) & (POLLHUP | POLLRDHUP | POLLERR));
	EXPECT_GOES_ON();
	if (variant->type != SOCK_DGRAM)
		EXPECT_EQ(0, recv(self->peer, buf, 4, 0));
	if (variant->type == SOCK_DGRAM && variant->way == RECEIVES)
		EXPECT_ERRNO(ECONNREFUSED, send(self->peer, "x", 1, 0));
}

/*
 * Nothing follows the end of a connection; what is being received is received.
 * A datagram has no end to follow: as with AF_UNIX, who began to send may.
 */
TEST_F(among, shutdown_by_another_thread)
{
	ASSERT_TRUE(stall(self, variant->way));
	ASSERT_OK(shutdown(self->fd, SHUT_RDWR));
	if (variant->way == RECEIVES || variant->type == SOCK_DGRAM) {
		EXPECT_GOES_ON();
		return;
	}
	ASSERT_OK(let_go_on(self, variant->way));
	EXPECT_EQ(-1, io_join(&self->t));
	EXPECT_SAME_ERRNO(EPIPE, self->t.err);
	EXPECT_FALSE(arrived(self, variant->way));
}

/* A signal comes after the call, whose result it does not change. */
TEST_F(among, a_signal_loses_nothing)
{
	ASSERT_TRUE(stall(self, variant->way));
	ASSERT_EQ(0, pthread_kill(self->t.thread, SIGUSR1));
	usleep(20000);
	EXPECT_GOES_ON();
}

/* Whoever waits behind it for the same end can be interrupted. */
TEST_F(among, a_signal_ends_the_wait_behind_it)
{
	struct io_thread t = { .fd = self->fd, .buf = (void *)io_at(0), .len = 10 };
	long nr = variant->way == SENDS ? SYS_sendto : SYS_recvfrom;
	char buf[10];

	if (variant->type == SOCK_DGRAM && variant->way == SENDS)
		SKIP(return, "senders of datagrams do not wait for each other");
	if (variant->way == RECEIVES)
		t.buf = buf;
	ASSERT_TRUE(stall(self, variant->way));
	io_start(&t, variant->way == SENDS ? send_mem : recv_mem);
	while (!t.tid)
		nym_nap();
	ASSERT_TRUE(nym_wait_asleep(t.tid, nr));
	ASSERT_EQ(0, pthread_kill(t.thread, SIGUSR1));
	EXPECT_EQ(-1, io_join(&t));
	EXPECT_SAME_ERRNO(EINTR, t.err);
	EXPECT_GOES_ON();
}

static long ask_queued(struct io_thread *t)
{
	int amount;

	return ioctl(t->fd, FIONREAD, &amount) ? -1 : amount;
}

/* Records must be counted one by one, while nobody takes any. */
TEST_F(among, fionread_waits_behind_a_receiver_of_records)
{
	bool waits = variant->type == SOCK_SEQPACKET && variant->way == RECEIVES;
	struct sigaction restart = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct io_thread t;
	int i;

	ASSERT_TRUE(stall(self, variant->way));
	for (i = 0; i < 2; i++) {
		t = (struct io_thread){
			.fd = variant->way == RECEIVES ? self->fd : self->peer,
		};
		io_start(&t, ask_queued);
		if (!waits) {
			EXPECT_LE(0, io_join(&t));
			continue;
		}
		while (!t.tid)
			nym_nap();
		ASSERT_TRUE(nym_wait_asleep(t.tid, SYS_ioctl));
		ASSERT_EQ(0, pthread_kill(t.thread, SIGUSR1));
		if (i)
			break;
		EXPECT_EQ(-1, io_join(&t));
		EXPECT_SAME_ERRNO(EINTR, t.err);
		ASSERT_OK(sigaction(SIGUSR1, &restart, NULL));
	}
	if (waits) {
		usleep(20000);
		EXPECT_FALSE(io_done(&t));
	}
	EXPECT_GOES_ON();
	if (waits)
		EXPECT_EQ(0, io_join(&t));
}

/* A child that stalls with the socket; the parent kills it there. */
static void stall_for_ever(FIXTURE_DATA(among) * self, int way)
{
	int uffd = hold_back(&self->mem);

	close(self->peer);
	close(self->l);
	self->t = (struct io_thread){ .fd = self->fd, .buf = self->mem, .len = LEN };
	io_start(&self->t, way == SENDS ? send_mem : recv_mem);
	if (stalled(uffd))
		raise(SIGKILL);
	_exit(1);
}

/* What was not delivered is still there for who has the socket as well. */
TEST_F(among, death_in_the_middle_loses_nothing)
{
	static __u8 buf[LEN + 1];
	int status;
	pid_t pid;

	if (variant->way == RECEIVES)
		ASSERT_EQ(LEN, send(self->peer, io_at(0), LEN, 0));
	pid = fork();
	if (!pid)
		stall_for_ever(self, variant->way);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFSIGNALED(status));
	if (variant->way == SENDS) {
		/* A stream may have got what was copied before the death. */
		long got = recv(self->peer, buf, LEN, MSG_DONTWAIT);

		EXPECT_GE(variant->type == SOCK_STREAM ? PAGE : -1, got);
	} else if (variant->type != SOCK_STREAM) {
		EXPECT_EQ(LEN, recv(self->fd, buf, sizeof(buf), MSG_DONTWAIT));
		EXPECT_TRUE(io_is(buf, 0, LEN));
	} else {
		/* What had been copied counts as read, here and everywhere. */
		long left = recv(self->fd, buf, sizeof(buf), MSG_DONTWAIT);

		EXPECT_LE(LEN - PAGE, left);
		EXPECT_TRUE(io_is(buf, LEN - left, left));
	}
	/* Nobody holds a lock of it. */
	EXPECT_EQ(5, send(self->cli, "there", 5, MSG_DONTWAIT));
	EXPECT_EQ(5, recv(self->srv, buf, LEN, MSG_DONTWAIT));
}

NYM_TEST_MAIN
