// SPDX-License-Identifier: GPL-2.0
/*
 * Races of passing descriptors: processes that die in the middle of it, ends
 * that close while others send and receive, and sockets that are sent to each
 * other at the same moment. At the end nothing may be left: no open file, no
 * writing end of a pipe, and nothing charged to the user who sent.
 */
#include "nym_test.h"
#include "nym_io.h"
#include "nym_scm.h"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define RING_MS		2500
#define RACE_MS		400
#define RACE_MAX	20000	/* rounds, for fast machines */

/* A pause of random length, short enough to fall into the other's call. */
static void dither(__u32 *seed)
{
	volatile __u32 n = io_rand(seed) % 3000;

	while (n)
		n--;
	if (!(io_rand(seed) & 7))
		sched_yield();
}

/* --- Open files in the whole system --- */

/*
 * What the kernel tells of open files is off by up to 32 for each processor,
 * which counts for itself; its memory for them is exact, but not everywhere to
 * be seen. What is looked for are leaks, one in each of many rounds.
 */
struct files {
	long told;	/* by /proc/sys/fs/file-nr */
	long objects;	/* in the slab cache; -1: not known here */
};

#define TOLD_TOLERANCE		(2 * 32 * sysconf(_SC_NPROCESSORS_CONF))
#define OBJECTS_TOLERANCE	20	/* what others may open meanwhile */

static struct files open_files(void)
{
	struct files n = { -1, -1 };
	char *text = nym_slurp("/proc/sys/fs/file-nr", 256);

	if (text)
		n.told = atol(text);
	free(text);
	__nym_shrink("filp");
	text = nym_slurp("/proc/slabinfo", 1 << 16);
	if (text)
		n.objects = __nym_column(text, "filp", 2);
	free(text);
	return n;
}

/* No more than before; closing may take a moment. */
static bool files_are_closed(struct files before, struct files *now)
{
	long end = nym_now_ms() + NYM_PATIENCE_MS;

	for (;;) {
		*now = open_files();
		if (now->told <= before.told + TOLD_TOLERANCE &&
		    now->objects <= before.objects + OBJECTS_TOLERANCE)
			return true;
		if (nym_now_ms() > end)
			return false;
		usleep(20000);
	}
}

#define EXPECT_NO_OPEN_FILES(_before) do { \
	struct files __now; \
	EXPECT_TRUE(files_are_closed(_before, &__now)) { \
		TH_LOG("open files: %ld and %ld before, %ld and %ld now", \
		       (_before).told, (_before).objects, __now.told, \
		       __now.objects); \
	} \
} while (0)

/* --- What a user has under way --- */

#define LIMIT	128	/* of the processes in the ring */

static int set_limit(void)
{
	struct rlimit r = { LIMIT, LIMIT };

	return setrlimit(RLIMIT_NOFILE, &r);
}

static int send_limit(void *fd)
{
	int fds[LIMIT], i;

	if (set_limit())
		return 254;
	for (i = 0; i < LIMIT; i++)
		fds[i] = 0;
	return scm_send_fds(*(int *)fd, "x", 1, fds, LIMIT, MSG_DONTWAIT) == 1 ?
		0 : errno;
}

/* Nobody has anything under way: the limit fits exactly. */
static void expect_user_is_free(struct __test_metadata *_metadata)
{
	static const struct nym_who nobody = { .uid = NYM_NOBODY,
					       .gid = NYM_NOBODY };
	int fd[2];

	ASSERT_OK(scm_pair(SOCK_SEQPACKET, fd));
	EXPECT_SAME_ERRNO(0, nym_errno_as(&nobody, send_limit, &fd[0]));
	EXPECT_SAME_ERRNO(ETOOMANYREFS, nym_errno_as(&nobody, send_limit, &fd[0]));
	close(fd[0]);
	close(fd[1]);
}

/* --- A ring of processes that die --- */

#define MEMBERS		3
#define HELD		12	/* descriptors that a process has at most */
#define WITNESSES	8

/* What all processes tell, also those that were killed. */
struct told {
	long sent;
	long received;
	long sockets;	/* refused because of a possible cycle, or the limit */
	long cut;	/* messages that lost descriptors in a short buffer */
	long wrong;	/* anything that cannot be */
	char what[80];	/* the first of it */
};

static void tell(struct told *told, const char *what, long value, int err)
{
	if (!__atomic_fetch_add(&told->wrong, 1, __ATOMIC_RELAXED))
		snprintf(told->what, sizeof(told->what), "%s: %ld %s", what,
			 value, err ? strerrorname_np(err) : "");
}

static void count(long *n)
{
	__atomic_fetch_add(n, 1, __ATOMIC_RELAXED);
}

struct member {
	struct told *told;
	__u32 seed;
	int to;
	int from;
	int held[HELD];
	int n;
};

/* The one byte of a message: from the files that come with it. */
static __u8 files_hash(const int *fds, int n)
{
	unsigned long hash = n;
	int i;

	for (i = 0; i < n; i++)
		hash = hash * 31 + nym_inode(fds[i]);
	return hash ^ hash >> 8 ^ hash >> 16;
}

static void drop(struct member *m, int i)
{
	close(m->held[i]);
	m->held[i] = m->held[--m->n];
}

static void hold(struct member *m, int fd)
{
	if (fd < 0)
		return;
	if (m->n == HELD)
		drop(m, io_rand(&m->seed) % HELD);
	m->held[m->n++] = fd;
}

static void hold_pipe(struct member *m)
{
	int fd[2];

	if (pipe(fd))
		return tell(m->told, "pipe", 0, errno);
	hold(m, fd[0]);
	hold(m, fd[1]);
}

/* A pair that itself has descriptors in its queues. */
static void hold_pair(struct member *m)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
	int fd[2];

	if (scm_pair(types[io_rand(&m->seed) % 3], fd))
		return tell(m->told, "socketpair", 0, errno);
	if (m->n)
		scm_send_fd(fd[0], m->held[io_rand(&m->seed) % m->n]);
	if (io_rand(&m->seed) & 1)
		scm_send_fd(fd[1], fd[io_rand(&m->seed) & 1]);
	hold(m, fd[0]);
	hold(m, fd[1]);
}

static void pass_on(struct member *m)
{
	int fds[3], n = io_rand(&m->seed) % 4, i;
	__u8 byte;

	n = n < m->n ? n : m->n;
	/* The same one twice is fine, too. */
	for (i = 0; i < n; i++)
		fds[i] = m->held[io_rand(&m->seed) % m->n];
	byte = files_hash(fds, n);
	if (scm_send_fds(m->to, &byte, 1, fds, n,
			 io_rand(&m->seed) & 1 ? MSG_DONTWAIT : 0) == 1) {
		count(&m->told->sent);
		while (m->n && io_rand(&m->seed) & 3)
			drop(m, io_rand(&m->seed) % m->n);
	} else if (errno == ETOOMANYREFS) {
		count(&m->told->sockets);
		if (m->n)
			drop(m, io_rand(&m->seed) % m->n);
	} else if (errno != EAGAIN) {
		tell(m->told, "send", n, errno);
	}
}

/* A stream may have bytes of messages without descriptors in front. */
static void take(struct member *m)
{
	bool enough = io_rand(&m->seed) & 7;
	struct scm_in in;
	__u8 buf[16];
	long n;

	n = scm_recv_room(m->from, buf, io_rand_size(&m->seed, sizeof(buf)),
			  io_rand(&m->seed) & 1 ? MSG_DONTWAIT : 0,
			  enough ? SCM_ROOM : io_rand(&m->seed) % 24, &in);
	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			tell(m->told, "recv", n, errno);
		return;
	}
	count(&m->told->received);
	if (in.odd || in.flags & ~MSG_CTRUNC)
		tell(m->told, "flags", in.flags, 0);
	if (in.flags & MSG_CTRUNC)
		count(&m->told->cut);
	/* The table has room for all that a member may have. */
	if (enough && in.flags & MSG_CTRUNC)
		tell(m->told, "descriptors lost", in.nfds, 0);
	if (enough && in.nfds && buf[n - 1] != files_hash(in.fds, in.nfds))
		tell(m->told, "descriptors of another message", in.nfds, 0);
	while (in.nfds)
		hold(m, in.fds[--in.nfds]);
}

static void member_main(struct member *m)
{
	static const struct nym_who nobody = { .uid = NYM_NOBODY,
					       .gid = NYM_NOBODY };

	if (nym_become(&nobody) || set_limit())
		tell(m->told, "become nobody", 0, errno);
	for (;;) {
		switch (io_rand(&m->seed) % 8) {
		case 0:
			hold_pipe(m);
			break;
		case 1:
			hold_pair(m);
			break;
		case 2:
			if (m->n)
				drop(m, io_rand(&m->seed) % m->n);
			break;
		case 3:
		case 4:
			pass_on(m);
			break;
		default:
			take(m);
			break;
		}
	}
}

struct ring {
	__u32 seed;
	struct told *told;
	int fd[MEMBERS][2];	/* what member i sends, the next one receives */
	int witness[WITNESSES];
	pid_t pid[MEMBERS];
};

FIXTURE(ring)
{
	struct files files;
	struct ring ring;
};

FIXTURE_VARIANT(ring)
{
	int type;
};

FIXTURE_VARIANT_ADD(ring, stream) {
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(ring, seqpacket) {
	.type = SOCK_SEQPACKET,
};

FIXTURE_VARIANT_ADD(ring, dgram) {
	.type = SOCK_DGRAM,
};

FIXTURE_SETUP(ring)
{
	struct ring *ring = &self->ring;
	int i;

	SKIP_WITHOUT_NYM();
	if (getuid())
		SKIP(return, "needs root");
	ring->seed = io_seed();
	TH_LOG("seed %u", ring->seed);
	self->files = open_files();
	ASSERT_LE(0, self->files.told);
	ring->told = mmap(NULL, sizeof(*ring->told), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, ring->told);
	for (i = 0; i < MEMBERS; i++) {
		ASSERT_OK(scm_pair(variant->type, ring->fd[i]));
		ASSERT_OK(io_set_int(ring->fd[i][0], SO_SNDBUF, 4096));
		ASSERT_OK(io_set_timeout(ring->fd[i][0], SO_SNDTIMEO, 5));
		ASSERT_OK(io_set_timeout(ring->fd[i][1], SO_RCVTIMEO, 5));
	}
}

FIXTURE_TEARDOWN(ring)
{
	struct ring *ring = &self->ring;
	int i;

	for (i = 0; i < MEMBERS; i++) {
		if (ring->pid[i] > 0)
			kill(ring->pid[i], SIGKILL);
	}
}

static void start_member(struct __test_metadata *_metadata,
			 struct ring *ring, int i)
{
	struct member m = {
		.told = ring->told,
		.seed = io_rand(&ring->seed) | 1,
		.to = ring->fd[i][0],
		.from = ring->fd[(i + MEMBERS - 1) % MEMBERS][1],
	};
	int fd;

	ring->pid[i] = fork();
	ASSERT_LE(0, ring->pid[i]);
	if (ring->pid[i])
		return;
	for (fd = 3; fd < 256; fd++)
		if (fd != m.to && fd != m.from)
			close(fd);
	member_main(&m);
}

static void kill_member(struct __test_metadata *_metadata,
			struct ring *ring, int i)
{
	pid_t pid = ring->pid[i];
	int status;

	ring->pid[i] = 0;
	ASSERT_OK(kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Pipes whose writing ends only go round: they end with the ring. */
static void send_witnesses(struct __test_metadata *_metadata,
			   struct ring *ring)
{
	int i, p[2];
	__u8 byte;

	for (i = 0; i < WITNESSES; i++) {
		ASSERT_OK(pipe2(p, O_CLOEXEC));
		byte = files_hash(&p[1], 1);
		ASSERT_RETURNS(1, scm_send_fds(ring->fd[i % MEMBERS][0], &byte,
					       1, &p[1], 1, 0));
		ring->witness[i] = p[0];
		close(p[1]);
	}
}

TEST_F(ring, processes_die_and_nothing_is_left)
{
	long end = io_now_ms() + RING_MS;
	struct ring *ring = &self->ring;
	int i, rounds;

	send_witnesses(_metadata, ring);
	for (i = 0; i < MEMBERS; i++)
		start_member(_metadata, ring, i);
	for (rounds = 0; io_now_ms() < end; rounds++) {
		usleep(io_rand(&ring->seed) % 20000);
		i = io_rand(&ring->seed) % MEMBERS;
		kill_member(_metadata, ring, i);
		start_member(_metadata, ring, i);
	}
	for (i = 0; i < MEMBERS; i++)
		kill_member(_metadata, ring, i);
	EXPECT_EQ(0, ring->told->wrong) {
		TH_LOG("%s", ring->told->what);
	}
	EXPECT_LT(0, ring->told->sent);
	EXPECT_LT(0, ring->told->received);
	for (i = 0; i < MEMBERS; i++) {
		close(ring->fd[i][0]);
		close(ring->fd[i][1]);
	}
	for (i = 0; i < WITNESSES; i++) {
		EXPECT_TRUE(scm_has_no_writer(ring->witness[i]));
		close(ring->witness[i]);
	}
	EXPECT_NO_OPEN_FILES(self->files);
	expect_user_is_free(_metadata);
	TH_LOG("%d killed, %ld sent, %ld received, %ld refused, %ld cut",
	       rounds, ring->told->sent, ring->told->received,
	       ring->told->sockets, ring->told->cut);
}

/* --- Threads --- */

/* Threads start together, so that their calls meet. */
struct gate {
	int waiting;
	int wanted;
};

static void pass_gate(struct gate *g)
{
	__atomic_fetch_add(&g->waiting, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&g->waiting, __ATOMIC_ACQUIRE) < g->wanted)
		sched_yield();
}

/* What a thread is to do. */
struct job {
	struct gate *gate;
	__u32 seed;
	int fd;
	int file;
	const char *name;
};

/* Sends the file until that does not work any more; closes its end. */
static long send_until_over(struct io_thread *t)
{
	struct job *job = t->arg;
	long sent = 0;

	pass_gate(job->gate);
	while (scm_send_fds(job->fd, "x", 1, &job->file, 1, 0) == 1)
		sent++;
	t->len = errno;
	close(job->fd);
	return sent;
}

/* Receives a few and closes its end; gives how many descriptors came. */
static long receive_and_close(struct io_thread *t)
{
	struct job *job = t->arg;
	int i = io_rand(&job->seed) % 30;
	struct scm_in in;
	long got = 0;
	char buf[4];

	pass_gate(job->gate);
	while (i--) {
		if (scm_recv_room(job->fd, buf, 4, io_rand(&job->seed) & 1 ?
				  MSG_DONTWAIT : 0, io_rand(&job->seed) & 3 ?
				  SCM_ROOM : 0, &in) <= 0)
			continue;
		got += in.nfds;
		scm_close(&in);
	}
	dither(&job->seed);
	close(job->fd);
	return got;
}

FIXTURE(race)
{
	__u32 seed;
	long end;
	struct files files;
	int r;	/* the pipe of the round */
	int w;
};

FIXTURE_VARIANT(race)
{
	int type;
};

FIXTURE_VARIANT_ADD(race, stream) {
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(race, seqpacket) {
	.type = SOCK_SEQPACKET,
};

FIXTURE_VARIANT_ADD(race, dgram) {
	.type = SOCK_DGRAM,
};

FIXTURE_SETUP(race)
{
	SKIP_WITHOUT_NYM();
	self->seed = io_seed();
	TH_LOG("seed %u", self->seed);
	self->files = open_files();
	self->end = io_now_ms() + RACE_MS;
}

FIXTURE_TEARDOWN(race)
{
	EXPECT_NO_OPEN_FILES(self->files);
}

/* A round has a pipe of its own, at the end of which nobody may have it. */
#define FOR_EACH_ROUND(_round) \
	for (_round = 0; _round < RACE_MAX && io_now_ms() < self->end; _round++)

#define BEGIN_ROUND() do { \
	int __p[2]; \
	ASSERT_OK(pipe2(__p, O_CLOEXEC)); \
	self->r = __p[0]; \
	self->w = __p[1]; \
} while (0)

#define END_ROUND() do { \
	close(self->w); \
	ASSERT_TRUE(scm_has_no_writer(self->r)); \
	close(self->r); \
} while (0)

TEST_F(race, close_of_the_receiver_against_sends_and_receives)
{
	int round;

	FOR_EACH_ROUND(round) {
		struct gate gate = { .wanted = 4 };
		struct io_thread t[4];
		struct job job[4];
		long sent, got;
		int fd[2], i;

		BEGIN_ROUND();
		ASSERT_OK(scm_pair(variant->type, fd));
		ASSERT_OK(io_set_int(fd[0], SO_SNDBUF, 4096));
		ASSERT_OK(io_set_timeout(fd[1], SO_RCVTIMEO, 2));
		for (i = 0; i < 4; i++) {
			job[i] = (struct job){
				.gate = &gate, .seed = self->seed + 2 * i,
				.fd = dup(fd[i / 2]), .file = self->w,
			};
			t[i] = (struct io_thread){ .arg = &job[i] };
		}
		close(fd[0]);
		close(fd[1]);
		for (i = 0; i < 4; i++)
			io_start(&t[i], i < 2 ? send_until_over :
						receive_and_close);
		got = io_join(&t[2]) + io_join(&t[3]);
		sent = io_join(&t[0]) + io_join(&t[1]);
		EXPECT_LE(got, sent);
		for (i = 0; i < 2; i++) {
			EXPECT_TRUE(t[i].len == EPIPE ||
				    t[i].len == ECONNRESET ||
				    t[i].len == ECONNREFUSED) {
				TH_LOG("%s", strerrorname_np(t[i].len));
			}
		}
		io_rand(&self->seed);
		END_ROUND();
	}
	TH_LOG("%d rounds", round);
}

/* The receiver goes deaf: what is in the queue can be received or not. */
TEST_F(race, shutdown_against_sends)
{
	int round;

	FOR_EACH_ROUND(round) {
		struct gate gate = { .wanted = 2 };
		struct io_thread t;
		struct job job;
		int fd[2];

		BEGIN_ROUND();
		ASSERT_OK(scm_pair(variant->type, fd));
		job = (struct job){ .gate = &gate, .fd = fd[0],
				    .file = self->w };
		t = (struct io_thread){ .arg = &job };
		io_start(&t, send_until_over);
		pass_gate(&gate);
		dither(&self->seed);
		ASSERT_OK(shutdown(fd[1], SHUT_RD));
		io_join(&t);
		EXPECT_SAME_ERRNO(EPIPE, t.len);
		if (io_rand(&self->seed) & 1)
			EXPECT_LE(scm_drain(fd[1]), t.ret);
		close(fd[1]);
		END_ROUND();
	}
	TH_LOG("%d rounds", round);
}

static long toggle_consent(struct io_thread *t)
{
	struct job *job = t->arg;
	int i;

	pass_gate(job->gate);
	for (i = 0; i < 20; i++)
		scm_pass_rights(job->fd, i & 1);
	return 0;
}

/* Consent comes and goes: what is lost is closed, what is refused not sent. */
TEST_F(race, consent_against_sends_and_receives)
{
	int round;

	FOR_EACH_ROUND(round) {
		struct gate gate = { .wanted = 2 };
		int fd[2], sent = 0, messages = 0, i;
		struct io_thread t;
		struct scm_in in;
		struct job job;
		char c;

		BEGIN_ROUND();
		ASSERT_OK(scm_pair(variant->type, fd));
		job = (struct job){ .gate = &gate, .fd = fd[1] };
		t = (struct io_thread){ .arg = &job };
		io_start(&t, toggle_consent);
		pass_gate(&gate);
		for (i = 0; i < 20; i++) {
			if (scm_send_fd(fd[0], self->w) == 1)
				sent++;
			else
				ASSERT_EQ(EPERM, errno);
			if (scm_recv(fd[1], &c, 1, MSG_DONTWAIT, &in) != 1)
				continue;
			messages++;
			/* With its descriptor, or told that it is lost. */
			EXPECT_EQ(in.nfds ? 0 : MSG_CTRUNC, in.flags);
			scm_close(&in);
		}
		io_join(&t);
		while (recv(fd[1], &c, 1, MSG_DONTWAIT) == 1)
			messages++;
		EXPECT_EQ(sent, messages);
		close(fd[0]);
		close(fd[1]);
		END_ROUND();
	}
	TH_LOG("%d rounds", round);
}

/* --- Cycles --- */

static long send_file(struct io_thread *t)
{
	struct job *job = t->arg;

	pass_gate(job->gate);
	if (job->seed)
		dither(&job->seed);
	return scm_send_fd(job->fd, job->file);
}

/* Runs @n sends at the same time; gives how many worked. */
static int send_together(struct __test_metadata *_metadata, struct job *job,
			 int n)
{
	struct gate gate = { .wanted = n };
	struct io_thread t[4];
	int i, worked = 0;

	for (i = 0; i < n; i++) {
		job[i].gate = &gate;
		t[i] = (struct io_thread){ .arg = &job[i] };
		io_start(&t[i], send_file);
	}
	for (i = 0; i < n; i++) {
		io_join(&t[i]);
		if (t[i].ret == 1)
			worked++;
		else
			EXPECT_SAME_ERRNO(ETOOMANYREFS, t[i].err);
	}
	return worked;
}

/* Two or three sockets, each sent to the next at the same moment. */
TEST_F(race, sockets_sent_in_a_circle)
{
	int round, i;

	FOR_EACH_ROUND(round) {
		int n = 2 + (io_rand(&self->seed) & 1), fd[3][2];
		struct job job[3];

		BEGIN_ROUND();
		for (i = 0; i < n; i++) {
			ASSERT_OK(scm_pair(variant->type, fd[i]));
			/* Closed with the queue, if that is ever closed. */
			ASSERT_RETURNS(1, scm_send_fd(fd[i][0], self->w));
		}
		for (i = 0; i < n; i++)
			job[i] = (struct job){
				.fd = fd[i][0], .file = fd[(i + 1) % n][1],
				.seed = io_rand(&self->seed) | 1,
			};
		/* Chains are refused as well, so of two or three it is one. */
		ASSERT_EQ(1, send_together(_metadata, job, n));
		for (i = 0; i < n; i++) {
			close(fd[i][0]);
			close(fd[i][1]);
		}
		END_ROUND();
	}
	TH_LOG("%d rounds", round);
}

static long receive_file(struct io_thread *t)
{
	struct job *job = t->arg;
	int fd;

	pass_gate(job->gate);
	dither(&job->seed);
	fd = scm_recv_fd(job->fd);
	close(fd);
	return fd;
}

/* What is received becomes free while another wants to send it. */
TEST_F(race, receiving_a_socket_against_sending_its_holder)
{
	int round, refused = 0;

	FOR_EACH_ROUND(round) {
		struct gate gate = { .wanted = 2 };
		struct io_thread t[2];
		struct job job[2];
		int fd[2][2], i;

		BEGIN_ROUND();
		for (i = 0; i < 2; i++)
			ASSERT_OK(scm_pair(variant->type, fd[i]));
		ASSERT_RETURNS(1, scm_send_fd(fd[0][0], fd[1][1]));
		for (i = 0; i < 2; i++) {
			job[i] = (struct job){
				.gate = &gate, .fd = fd[i ? 0 : 1][i],
				.file = fd[0][1],
				.seed = io_rand(&self->seed) | 1,
			};
			t[i] = (struct io_thread){ .arg = &job[i] };
		}
		/* fd[0][1] holds fd[1][1], and is sent to it. */
		io_start(&t[0], send_file);
		io_start(&t[1], receive_file);
		io_join(&t[0]);
		EXPECT_LE(0, io_join(&t[1]));
		if (t[0].ret != 1) {
			EXPECT_SAME_ERRNO(ETOOMANYREFS, t[0].err);
			refused++;
			/* Now that it has been received, it works. */
			EXPECT_RETURNS(1, scm_send_fd(fd[1][0], fd[0][1]));
		}
		EXPECT_RETURNS(1, scm_send_fd(fd[0][0], self->w));
		for (i = 0; i < 2; i++) {
			close(fd[i][0]);
			close(fd[i][1]);
		}
		END_ROUND();
	}
	TH_LOG("%d rounds, %d refused", round, refused);
}

/* --- Calls --- */

FIXTURE(call)
{
	__u32 seed;
	long end;
	struct files files;
	int r;
	int w;
};

FIXTURE_VARIANT(call)
{
	int type;
};

FIXTURE_VARIANT_ADD(call, stream) {
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(call, seqpacket) {
	.type = SOCK_SEQPACKET,
};

FIXTURE_SETUP(call)
{
	SKIP_WITHOUT_NYM();
	self->seed = io_seed();
	TH_LOG("seed %u", self->seed);
	self->files = open_files();
	self->end = io_now_ms() + RACE_MS;
}

FIXTURE_TEARDOWN(call)
{
	EXPECT_NO_OPEN_FILES(self->files);
}

#define NAME	"t/rights/race"

/* Accepts some of the calls, reads a little, and closes all. */
static long accept_and_close(struct io_thread *t)
{
	struct job *job = t->arg;
	int i = io_rand(&job->seed) % 3, fd;
	struct scm_in in;
	char buf[4];

	pass_gate(job->gate);
	while (i--) {
		dither(&job->seed);
		fd = scm_accept(job->fd);
		if (fd < 0)
			continue;
		if (scm_recv(fd, buf, io_rand(&job->seed) % 4, MSG_DONTWAIT,
			     &in) >= 0)
			scm_close(&in);
		close(fd);
	}
	dither(&job->seed);
	close(job->fd);
	return 0;
}

TEST_F(call, close_of_the_listener_against_sends)
{
	int round;

	FOR_EACH_ROUND(round) {
		struct gate gate = { .wanted = 3 };
		struct io_thread t[3];
		struct job job[3];
		int i;

		BEGIN_ROUND();
		for (i = 0; i < 3; i++) {
			job[i] = (struct job){
				.gate = &gate, .file = self->w,
				.seed = io_rand(&self->seed) | 1,
			};
			t[i] = (struct io_thread){ .arg = &job[i] };
			job[i].fd = i ? scm_connect(variant->type, NAME) :
					scm_listen(variant->type, NAME, 5);
			ASSERT_FD(job[i].fd);
			if (!i) {
				ASSERT_OK(scm_pass_rights(job[0].fd, 1));
				ASSERT_OK(nym_set_nonblock(job[0].fd, true));
			}
		}
		io_start(&t[0], accept_and_close);
		io_start(&t[1], send_until_over);
		io_start(&t[2], send_until_over);
		for (i = 0; i < 3; i++)
			io_join(&t[i]);
		for (i = 1; i < 3; i++) {
			EXPECT_TRUE(t[i].len == EPIPE || t[i].len == ECONNRESET) {
				TH_LOG("%s", strerrorname_np(t[i].len));
			}
		}
		END_ROUND();
	}
	TH_LOG("%d rounds", round);
}

/*
 * A listener is sent to a socket that is sent to the listener, through a call
 * that nobody has accepted; sometimes it is accepted at the same moment.
 */
TEST_F(call, a_listener_and_a_socket_sent_to_each_other)
{
	int round;

	FOR_EACH_ROUND(round) {
		int pair[2], l, c, server = -1;
		bool accepting = io_rand(&self->seed) & 1;
		struct io_thread t;
		struct job job[2];

		BEGIN_ROUND();
		l = scm_listen(variant->type, NAME, 5);
		ASSERT_FD(l);
		ASSERT_OK(scm_pass_rights(l, 1));
		c = scm_connect(variant->type, NAME);
		ASSERT_FD(c);
		ASSERT_OK(scm_pair(variant->type, pair));
		ASSERT_RETURNS(1, scm_send_fd(pair[0], self->w));
		ASSERT_RETURNS(1, scm_send_fd(c, self->w));
		job[0] = (struct job){ .fd = pair[0], .file = l,
				       .seed = io_rand(&self->seed) | 1 };
		job[1] = (struct job){ .fd = c, .file = pair[1],
				       .seed = io_rand(&self->seed) | 1 };
		if (accepting) {
			t = (struct io_thread){ .fd = l };
			io_start(&t, io_do_accept);
		}
		/* In either order the second one is refused. */
		ASSERT_EQ(1, send_together(_metadata, job, 2));
		if (accepting) {
			server = io_join(&t);
			ASSERT_FD(server);
		}
		close(l);
		close(c);
		close(server);
		close(pair[0]);
		close(pair[1]);
		END_ROUND();
	}
	TH_LOG("%d rounds", round);
}

/* --- Datagrams --- */

FIXTURE(dgram)
{
	__u32 seed;
	long end;
	struct files files;
	int r;
	int w;
};

FIXTURE_SETUP(dgram)
{
	SKIP_WITHOUT_NYM();
	self->seed = io_seed();
	TH_LOG("seed %u", self->seed);
	self->files = open_files();
	self->end = io_now_ms() + RACE_MS;
}

FIXTURE_TEARDOWN(dgram)
{
	EXPECT_NO_OPEN_FILES(self->files);
}

/* Sends to the name, whoever has it or not, some times. */
static long send_to_name(struct io_thread *t)
{
	struct job *job = t->arg;
	long odd = 0;
	int i;

	pass_gate(job->gate);
	for (i = 0; i < 15; i++) {
		if (scm_send_fd_to(job->fd, NAME, job->file) == 1)
			continue;
		odd += errno != EPERM && errno != ECONNREFUSED &&
		       errno != EAGAIN && errno != ECONNRESET;
	}
	return odd;
}

/* The receiver changes its peers, is read, is closed and comes again. */
TEST_F(dgram, changes_of_peers_against_sends)
{
	int round;

	FOR_EACH_ROUND(round) {
		static const char * const names[] = { "t/rights/1", "t/rights/2" };
		struct gate gate = { .wanted = 3 };
		struct io_thread t[2];
		struct job job[2];
		struct scm_in in;
		int i, to;
		char c;

		BEGIN_ROUND();
		to = scm_bound(SOCK_DGRAM, NAME);
		ASSERT_FD(to);
		ASSERT_OK(scm_pass_rights(to, 1));
		for (i = 0; i < 2; i++) {
			job[i] = (struct job){ .gate = &gate, .file = self->w };
			job[i].fd = scm_bound(SOCK_DGRAM, names[i]);
			ASSERT_FD(job[i].fd);
			t[i] = (struct io_thread){ .arg = &job[i] };
			io_start(&t[i], send_to_name);
		}
		pass_gate(&gate);
		for (i = 0; i < 10; i++) {
			dither(&self->seed);
			switch (io_rand(&self->seed) % 4) {
			case 0:
				if (scm_recv(to, &c, 1, MSG_DONTWAIT, &in) >= 0)
					scm_close(&in);
				break;
			case 1:
				close(to);
				to = scm_bound(SOCK_DGRAM, NAME);
				ASSERT_FD(to);
				ASSERT_OK(scm_pass_rights(to, 1));
				break;
			default:
				EXPECT_OK(nym_call(to, names[i & 1]));
				break;
			}
		}
		close(to);
		for (i = 0; i < 2; i++) {
			EXPECT_EQ(0, io_join(&t[i]));
			close(job[i].fd);
		}
		END_ROUND();
	}
	TH_LOG("%d rounds", round);
}

NYM_TEST_MAIN
