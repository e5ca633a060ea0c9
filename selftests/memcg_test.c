// SPDX-License-Identifier: GPL-2.0
/*
 * Memory cgroups: what a user makes the kernel keep for its sockets is charged
 * to its cgroup and bounded by it; a process that is killed for want of memory,
 * in whichever call, leaves nothing; and others do not notice.
 */
#include "nym_stress.h"

#include <sys/mount.h>

#define GROUP_ROOT	"/sys/fs/cgroup"
#define GROUP		GROUP_ROOT "/nym-test"
#define NAME		"t/memcg"
#define MIB		(1L << 20)

static int put_number(const char *path, long n)
{
	char text[24];

	snprintf(text, sizeof(text), "%ld", n);
	return nym_put(path, text);
}

/* The number after @key in a file, or the first if it is "". */
static long get_number(const char *path, const char *key)
{
	char *text = nym_slurp(path, 4096), *s;
	long n = -1;

	if (!text)
		return -1;
	s = strstr(text, key);
	if (s)
		sscanf(s + strlen(key), "%ld", &n);
	free(text);
	return n;
}

static long charged(void)
{
	return get_number(GROUP "/memory.current", "");
}

static long oom_kills(void)
{
	return get_number(GROUP "/memory.events", "oom_kill ");
}

static int join_group(void)
{
	return nym_put(GROUP "/cgroup.procs", "0");
}

/* An empty group with the controller, or a reason why there is none. */
static const char *open_group(void)
{
	if (access(GROUP_ROOT "/cgroup.controllers", F_OK) &&
	    mount("cgroup2", GROUP_ROOT, "cgroup2", 0, NULL))
		return "no cgroup v2";
	nym_put(GROUP_ROOT "/cgroup.subtree_control", "+memory");
	rmdir(GROUP);
	if (mkdir(GROUP, 0755))
		return "no cgroup can be made";
	if (access(GROUP "/memory.max", F_OK)) {
		rmdir(GROUP);
		return "no memory controller";
	}
	nym_put(GROUP "/memory.swap.max", "0");
	return NULL;
}

FIXTURE(memcg)
{
};

FIXTURE_SETUP(memcg)
{
	const char *lack;

	SKIP_WITHOUT_NYM();
	lack = open_group();
	if (lack)
		SKIP(return, "%s", lack);
	crowd_open();
}

FIXTURE_TEARDOWN(memcg)
{
	long end = nym_now_ms() + NYM_PATIENCE_MS;

	crowd_close();
	/* Who has just died is in it for another moment. */
	while (rmdir(GROUP) && errno == EBUSY && nym_now_ms() < end)
		nym_nap();
}

/* --- What is charged --- */

#define MANY	1000

/* What stands ready before it is used, so that it is not counted with it. */
static int fds[MANY];
static int pairs[16][2];

/* The size of the objects in one of the module's caches. */
static long size_of(const char *cache)
{
	char path[64];
	long n;

	snprintf(path, sizeof(path), "/sys/kernel/slab/%s/object_size", cache);
	n = get_number(path, "");
	return n > 0 ? n : 100;
}

static int make_nothing(void)
{
	return 0;
}

static int make_sockets(void)
{
	int i;

	for (i = 0; i < MANY; i++) {
		fds[i] = nym_socket_nonblock();
		if (fds[i] < 0)
			return -1;
	}
	return 0;
}

/* A listener that has room for one call in three. */
static int make_callers(void)
{
	/* Whoever comes again has it already. */
	if (nym_listen(NAME, MANY / 3) < 0 && errno != EADDRINUSE)
		return -1;
	return make_sockets();
}

static int make_pairs(int type)
{
	int i;

	for (i = 0; i < 16; i++) {
		if (scm_pair(type, pairs[i]) ||
		    io_set_int(pairs[i][0], SO_SNDBUF, 200000))
			return -1;
	}
	return 0;
}

static int make_streams(void)
{
	return make_pairs(SOCK_STREAM);
}

static int make_seqpackets(void)
{
	return make_pairs(SOCK_SEQPACKET);
}

static int make_dgrams(void)
{
	return make_pairs(SOCK_DGRAM);
}

/* Fills all of them in pieces; gives how many bytes they hold. */
static long fill_pairs(size_t piece)
{
	long sum = 0, n;
	int i;

	for (i = 0; i < 16; i++) {
		while ((n = send(pairs[i][0], io_at(0), piece, MSG_DONTWAIT)) > 0)
			sum += n;
	}
	return sum;
}

/* Each keeps something and gives how many bytes it takes at least, or -1. */

static long keep_large(void)
{
	return fill_pairs(32768);
}

static long keep_small(void)
{
	return fill_pairs(500);
}

static long keep_sockets(void)
{
	int i;

	for (i = 0; i < MANY; i++) {
		fds[i] = socket(AF_NYM, i & 1 ? SOCK_STREAM : SOCK_DGRAM, 0);
		if (fds[i] < 0)
			return -1;
	}
	return MANY / 2 * (size_of("NYM") + size_of("NYM-DGRAM"));
}

static long keep_names(void)
{
	char name[32];
	int i;

	for (i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), NAME "/%d", i);
		if (nym_bind(fds[i], name))
			return -1;
	}
	return MANY * size_of("nym_endpoint");
}

/* Pending, parked, and waiting for a name. */
static long keep_calls(void)
{
	int i;

	for (i = 0; i < MANY; i++) {
		nym_option(fds[i], NYM_WAIT, 1);
		if (nym_call(fds[i], i % 3 ? NAME : NAME "/none") && errno != EINPROGRESS)
			return -1;
	}
	return MANY * size_of("nym_conn");
}

/* Marks, lists of descriptors, and what holds them: 32 and 64 bytes at least. */
static long keep_files(void)
{
	int i, n = 4 * MANY;

	for (i = 0; i < n; i++) {
		if (scm_send_fd(pairs[i % 16][0], 0) != 1)
			return -1;
	}
	return n * (size_of("nym_mark") + 32 + 64);
}

static const struct keep {
	const char *name;
	int (*make)(void);
	long (*keep)(void);
} keeps[] = {
	{ "chunks of a stream", make_streams, keep_large },
	{ "chunks of records", make_seqpackets, keep_small },
	{ "large datagrams", make_dgrams, keep_large },
	{ "small datagrams", make_dgrams, keep_small },
	{ "sockets", make_nothing, keep_sockets },
	{ "names", make_sockets, keep_names },
	{ "calls", make_callers, keep_calls },
	{ "descriptors", make_streams, keep_files },
};

static const struct keep *what;

static int may_open_many(void)
{
	struct rlimit files = { 100000, 100000 };

	return setrlimit(RLIMIT_NOFILE, &files);
}

enum { BYTES, BEFORE, AFTER };	/* what a keeper counts */

/* On one processor: each may have been charged for some pages in advance. */
static void keeper(struct worker *w)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	if (sched_setaffinity(0, sizeof(one), &one) || may_open_many() || join_group() ||
	    what->make())
		crowd_complain(w, "preparing: %s", strerrorname_np(errno));
	memset(fds, 0xff, what->make == make_nothing ? sizeof(fds) : 0);
	w->n[BEFORE] = charged();
	w->n[BYTES] = what->keep();
	if (w->n[BYTES] < 0)
		crowd_complain(w, "%s: %s", what->name, strerrorname_np(errno));
	w->n[AFTER] = charged();
}

#define BATCH	(64 * 4096)	/* charged in advance */

TEST_F(memcg, is_charged_for_what_a_process_keeps)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(keeps); i++) {
		struct worker *w;

		what = &keeps[i];
		crowd_close();
		crowd_open();
		w = crowd_start("keeper", keeper);
		crowd_end(_metadata);
		EXPECT_LT(BATCH, w->n[BYTES]) {
			TH_LOG("%s: too few to be sure", what->name);
		}
		EXPECT_LE(w->n[BYTES] - BATCH, w->n[AFTER] - w->n[BEFORE]) {
			TH_LOG("%s: not all is charged", what->name);
		}
		TH_LOG("%s: at least %ld bytes, charged with %ld", what->name,
		       w->n[BYTES], w->n[AFTER] - w->n[BEFORE]);
	}
}

/* --- Until there is no more --- */

/* Sockets, names and queues as after the start of the program. */
static bool all_is_freed(struct nym_counts *now)
{
	long end = nym_now_ms() + NYM_PATIENCE_MS;

	do {
		nym_count(now);
		if (nym_counts_back(now) && charged() < MIB)
			return true;
		nym_nap();
	} while (nym_now_ms() < end);
	return false;
}

/* Talks and calls, outside of the group. */
static void bystander(struct worker *w)
{
	int l = nym_listen(NAME "/outside", 1), fd[2], p[2];
	char c;

	if (scm_pair(SOCK_DGRAM, p))
		crowd_complain(w, "a pair: %s", strerrorname_np(errno));
	while (!crowd_stopped()) {
		if (CALL(w, nym_connection(l, NAME "/outside", fd)))
			crowd_complain(w, "a call: %s", strerrorname_np(errno));
		if (CALL(w, send(fd[0], "x", 1, 0)) != 1 || CALL(w, recv(fd[1], &c, 1, 0)) != 1)
			crowd_complain(w, "a stream: %s", strerrorname_np(errno));
		if (CALL(w, send(p[0], "x", 1, 0)) != 1 || CALL(w, recv(p[1], &c, 1, 0)) != 1)
			crowd_complain(w, "a datagram: %s", strerrorname_np(errno));
		close(fd[0]);
		close(fd[1]);
		w->n[0]++;
		nym_nap();
	}
}

/* Keeps more and more of it. */
static void hog(struct worker *w)
{
	if (may_open_many() || join_group())
		crowd_complain(w, "joining: %s", strerrorname_np(errno));
	/* What cannot be had once may be had next time: until it is killed. */
	for (w->n[0] = 0;; w->n[0]++) {
		what->make();
		what->keep();
	}
}

TEST_F(memcg, ends_who_keeps_too_much_and_all_is_freed)
{
	long bystanders = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(keeps); i++) {
		long kills = oom_kills();
		struct nym_counts now;
		struct worker *w;

		what = &keeps[i];
		crowd_close();
		crowd_open();
		ASSERT_OK(put_number(GROUP "/memory.max", 6 * MIB));
		w = crowd_start("bystander", bystander);
		crowd_start("hog", hog)->mortal = true;
		crowd_wait(_metadata, "hog");
		EXPECT_LT(kills, oom_kills()) {
			TH_LOG("%s", what->name);
		}
		crowd_end(_metadata);
		bystanders += w->n[0];
		EXPECT_TRUE(all_is_freed(&now)) {
			TH_LOG("%s: %ld sockets, %ld lines, %ld bytes left", what->name,
			       now.sockets, now.lines, charged());
		}
	}
	EXPECT_LT(0, bystanders);
	TH_LOG("bystanders went round %ld times", bystanders);
}

/* --- Killed in the middle of a call --- */

static int victim_type;
static int ends[4][2];

static void victim_sends(struct worker *w)
{
	while (send(ends[0][0], io_at(0), 5000, MSG_NOSIGNAL) > 0)
		;
}

static void victim_receives(struct worker *w)
{
	static char buf[5000];

	while (recv(ends[1][0], buf, sizeof(buf), 0) > 0)
		;
}

static void victim_accepts(struct worker *w)
{
	int l = nym_listen(NAME, 2);

	for (;;)
		close(scm_accept(l));
}

static void victim_calls(struct worker *w)
{
	for (;;)
		close(nym_connect(NAME));
}

static void victim_eats(struct worker *w)
{
	long step = 256 << 10;

	for (;;) {
		memset(malloc(step), 1, step);
		crowd_dither(&w->seed);
	}
}

static void (*const victims[])(struct worker *w) = {
	victim_sends, victim_receives, victim_accepts, victim_calls, victim_eats,
};

/* The group dies as a whole; the other ends are ours. */
static void one_massacre(struct __test_metadata *_metadata)
{
	static char buf[5000];
	pid_t pid[ARRAY_SIZE(victims)];
	int i, status, n = ARRAY_SIZE(victims);
	struct worker w = { .seed = io_seed() };

	for (i = 0; i < 2; i++)
		ASSERT_OK(socketpair(AF_NYM, victim_type | SOCK_CLOEXEC, 0, ends[i]));
	for (i = 0; i < n; i++) {
		pid[i] = fork();
		if (!pid[i]) {
			close(ends[0][1]);
			close(ends[1][1]);
			if (!join_group())
				victims[i](&w);
			_exit(0);
		}
	}
	for (i = 0; i < 2; i++)
		close(ends[i][0]);
	/* Until the end of each, whatever was on its way. */
	io_set_timeout(ends[0][1], SO_RCVTIMEO, victim_type == SOCK_DGRAM ? 5 : IO_POLL_MS);
	io_set_timeout(ends[1][1], SO_SNDTIMEO, IO_POLL_MS);
	while (waitpid(pid[n - 1], &status, WNOHANG) == 0) {
		send(ends[1][1], io_at(0), 3000, MSG_DONTWAIT | MSG_NOSIGNAL);
		recv(ends[0][1], buf, sizeof(buf), MSG_DONTWAIT);
	}
	EXPECT_TRUE(WIFSIGNALED(status));
	for (i = 0; i < n - 1; i++) {
		ASSERT_EQ(pid[i], waitpid(pid[i], &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status)) {
			TH_LOG("victim %d ended with %#x", i, status);
		}
	}
	while (recv(ends[0][1], buf, sizeof(buf), 0) > 0)
		;
	if (victim_type != SOCK_DGRAM) {
		EXPECT_EQ(0, recv(ends[0][1], buf, sizeof(buf), 0));
		EXPECT_EQ(-1, send(ends[1][1], "x", 1, MSG_NOSIGNAL));
	} else {
		EXPECT_ERRNO(ECONNREFUSED, send(ends[1][1], "x", 1, MSG_NOSIGNAL));
	}
	for (i = 0; i < 2; i++)
		close(ends[i][1]);
	EXPECT_ERRNO(ECONNREFUSED, nym_connect(NAME));
}

TEST_F(memcg, kills_in_the_middle_of_calls_leave_nothing)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
	struct nym_counts now;
	int rounds = 0;

	if (nym_put(GROUP "/memory.oom.group", "1"))
		SKIP(return, "no memory.oom.group");
	ASSERT_OK(put_number(GROUP "/memory.max", 6 * MIB));
	do {
		victim_type = types[rounds++ % 3];
		one_massacre(_metadata);
	} while (crowd_goes_on() || rounds < 3);
	EXPECT_TRUE(all_is_freed(&now)) {
		TH_LOG("%ld sockets, %ld lines, %ld bytes left", now.sockets, now.lines,
		       charged());
	}
	TH_LOG("%d rounds", rounds);
}

NYM_TEST_MAIN
