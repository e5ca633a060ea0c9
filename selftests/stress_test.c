// SPDX-License-Identifier: GPL-2.0
/*
 * Stress: many processes on few names, each case with each type for some seconds
 * (NYM_STRESS_SECONDS; 1 by default). Names come and go, listeners close, servers
 * are killed, connections are shut down, handed on, left behind with their
 * namespace. All the way what was sent must come, in order and once; every call
 * is served or told why not; nobody hangs.
 */
#include "nym_stress.h"

FIXTURE(stress)
{
};

FIXTURE_VARIANT(stress)
{
	int type;
};

FIXTURE_VARIANT_ADD(stress, stream)
{
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(stress, seqpacket)
{
	.type = SOCK_SEQPACKET,
};

FIXTURE_VARIANT_ADD(stress, dgram)
{
	.type = SOCK_DGRAM,
};

/* The type, for the workers. */
static int type;

FIXTURE_SETUP(stress)
{
	SKIP_WITHOUT_NYM();
	type = variant->type;
	crowd_open();
}

FIXTURE_TEARDOWN(stress)
{
	crowd_close();
}

#define SKIP_DGRAM() do { \
	if (type == SOCK_DGRAM) \
		SKIP(return, "datagrams make no calls"); \
} while (0)

/* What goes over a connection, and comes back. */
struct item {
	__u32 who;
	__u32 seq;
	__u8 fill[56];
};

static struct item make_item(struct worker *w, __u32 seq)
{
	struct item item = { .who = w->id, .seq = seq };

	memcpy(item.fill, io_at(w->id * 1000 + seq), sizeof(item.fill));
	return item;
}

static bool item_is_whole(const struct item *item)
{
	return !memcmp(item->fill, io_at(item->who * 1000 + item->seq), sizeof(item->fill));
}

/* --- Calls, and who serves them --- */

enum { SERVED, REFUSED, GONE };	/* what a caller counts */
enum { ANSWERED, ROUNDS };	/* what a server counts */

static const char * const names[] = { "t/stress/one", "t/stress/two", "t/stress/three" };

static const char *some_name(struct worker *w)
{
	return names[io_rand(&w->seed) % ARRAY_SIZE(names)];
}

/* Calls without waiting, then waits for what becomes of it: 0 or an errno. */
static int call_and_poll(struct worker *w, int fd, const char *name)
{
	struct sockaddr_nym sa;
	socklen_t len = nym_addr(&sa, name);
	int err;

	nym_set_nonblock(fd, true);
	err = CALL(w, connect(fd, (struct sockaddr *)&sa, len)) ? errno : 0;
	if (err == EINPROGRESS) {
		CALL(w, io_poll(fd, POLLOUT, -1));
		err = io_so_error(fd);
	}
	nym_set_nonblock(fd, false);
	return err;
}

/* One call from its beginning to its end. Gives what became of it. */
static int call_once(struct worker *w, const char *name, bool waits)
{
	int fd = scm_socket(type), err, ret = GONE;
	struct item out = make_item(w, w->n[SERVED]), in;
	ssize_t n;

	if (waits)
		nym_option(fd, NYM_WAIT, 1);
	if (io_rand(&w->seed) & 1)
		err = call_and_poll(w, fd, name);
	else
		err = CALL(w, nym_call(fd, name)) ? errno : 0;
	if (err) {
		ret = err == ECONNRESET ? GONE : REFUSED;
		if (err != ECONNREFUSED && err != ECONNRESET)
			crowd_complain(w, "connect: %s", strerrorname_np(err));
		goto out;
	}
	/* Sometimes it sends before it is accepted. */
	crowd_dither(&w->seed);
	if (CALL(w, send(fd, &out, sizeof(out), MSG_NOSIGNAL)) < 0) {
		if (!ERRNO_IS(EPIPE, ECONNRESET))
			crowd_complain(w, "send: %s", strerrorname_np(errno));
		goto out;
	}
	n = CALL(w, recv(fd, &in, sizeof(in), MSG_WAITALL));
	if (n == sizeof(in) && !memcmp(&in, &out, n))
		ret = SERVED;
	else if (n > 0)
		crowd_complain(w, "another answer: %u %u", in.who, in.seq);
	else if (n < 0 && errno != ECONNRESET)
		crowd_complain(w, "recv: %s", strerrorname_np(errno));
out:
	close(fd);
	return ret;
}

static void caller(struct worker *w)
{
	while (crowd_wants_more(w, SERVED))
		w->n[call_once(w, some_name(w), false)]++;
}

/* Some wait for the name, and are never refused for the lack of one. */
static void waiting_caller(struct worker *w)
{
	while (crowd_wants_more(w, SERVED))
		w->n[call_once(w, some_name(w), true)]++;
}

/* Gives back what comes. */
static void serve(struct worker *w, int fd)
{
	struct item item;

	if (CALL(w, recv(fd, &item, sizeof(item), MSG_WAITALL)) != sizeof(item) ||
	    !item_is_whole(&item))
		crowd_complain(w, "a request that is not whole");
	else if (send(fd, &item, sizeof(item), MSG_NOSIGNAL) == sizeof(item))
		w->n[ANSWERED]++;
	else
		crowd_complain(w, "send: %s", strerrorname_np(errno));
	close(fd);
}

/* Accepts until there is no more to accept, with the time the listener has. */
static void serve_all(struct worker *w, int l)
{
	int fd;

	while ((fd = CALL(w, scm_accept(l))) >= 0)
		serve(w, fd);
	/* Shut down, or nobody came. */
	if (!ERRNO_IS(EINVAL, EAGAIN))
		crowd_complain(w, "accept: %s", strerrorname_np(errno));
}

static long acceptor(struct io_thread *t)
{
	serve_all(t->arg, t->fd);
	close(t->fd);
	return 0;
}

/*
 * Its listener is closed, or shut down, while two threads accept. They have
 * copies, so that the number is not another file's when they use it again.
 */
static void closing_server(struct worker *w)
{
	struct worker *helper[2] = { crowd_join("acceptor"), crowd_join("acceptor") };
	struct io_thread t[2];
	int i, l;

	while (!crowd_stopped()) {
		l = scm_listen(type, some_name(w), io_rand(&w->seed) % 3);
		if (l < 0) {
			if (errno != EADDRINUSE)
				crowd_complain(w, "bind: %s", strerrorname_np(errno));
			crowd_nap(&w->seed, 2);
			continue;
		}
		io_set_timeout(l, SO_RCVTIMEO, 1 + io_rand(&w->seed) % 8);
		for (i = 0; i < 2; i++) {
			t[i] = (struct io_thread){ .fd = dup(l), .arg = helper[i] };
			io_start(&t[i], acceptor);
		}
		crowd_nap(&w->seed, 8);
		if (io_rand(&w->seed) & 1)
			CALL(w, shutdown(l, SHUT_RD));
		CALL(w, close(l));
		for (i = 0; i < 2; i++)
			CALL(w, io_join(&t[i]));
		w->n[ROUNDS]++;
	}
}

TEST_F(stress, accept_against_close_of_the_listener)
{
	int i;

	SKIP_DGRAM();
	for (i = 0; i < 3; i++)
		crowd_start("server", closing_server);
	for (i = 0; i < 4; i++)
		crowd_start("caller", caller);
	crowd_wait(_metadata, "caller");
	crowd_end(_metadata);
	/* Whoever was answered knows it, and nobody else. */
	EXPECT_EQ(crowd_sum("acceptor", ANSWERED), crowd_sum("caller", SERVED));
	EXPECT_LT(0, crowd_sum("caller", SERVED));
	TH_LOG("%ld listeners, %ld calls served, %ld refused, %ld reset",
	       crowd_sum("server", ROUNDS), crowd_sum("caller", SERVED),
	       crowd_sum("caller", REFUSED), crowd_sum("caller", GONE));
}

/* Binds, may listen, may serve, unbinds. */
static void fickle_server(struct worker *w)
{
	int l;

	while (!crowd_stopped()) {
		l = scm_socket(type);
		if (CALL(w, nym_bind(l, some_name(w)))) {
			if (errno != EADDRINUSE)
				crowd_complain(w, "bind: %s", strerrorname_np(errno));
		} else if (io_rand(&w->seed) & 7) {
			crowd_dither(&w->seed);
			CALL(w, listen(l, io_rand(&w->seed) % 4));
			crowd_dither(&w->seed);
			io_set_timeout(l, SO_RCVTIMEO, 1 + io_rand(&w->seed) % 2);
			if (io_rand(&w->seed) & 3)
				serve_all(w, l);
			w->n[ROUNDS]++;
		}
		CALL(w, close(l));
	}
}

TEST_F(stress, connect_against_bind_and_unbind)
{
	int i;

	SKIP_DGRAM();
	for (i = 0; i < 3; i++)
		crowd_start("server", fickle_server);
	for (i = 0; i < 3; i++)
		crowd_start("caller", i ? caller : waiting_caller);
	crowd_wait(_metadata, "caller");
	crowd_end(_metadata);
	EXPECT_EQ(crowd_sum("server", ANSWERED), crowd_sum("caller", SERVED));
	EXPECT_LT(0, crowd_sum("caller", SERVED));
	TH_LOG("%ld listeners, %ld calls served, %ld refused, %ld reset",
	       crowd_sum("server", ROUNDS), crowd_sum("caller", SERVED),
	       crowd_sum("caller", REFUSED), crowd_sum("caller", GONE));
}

/* A listener among others of the name "t/stress/one". */
static int member(int backlog)
{
	int fd = scm_socket(type);

	if (nym_option(fd, NYM_SHARE, 1) || nym_bind(fd, names[0]) || fchmod(fd, 0666) ||
	    listen(fd, backlog))
		return nym_give_up(fd);
	return fd;
}

/* Is always there. */
static void faithful_member(struct worker *w)
{
	int l = member(1);

	if (l < 0)
		crowd_complain(w, "a member: %s", strerrorname_np(errno));
	io_set_timeout(l, SO_RCVTIMEO, 20);
	crowd_count(0);
	while (!crowd_stopped())
		serve_all(w, l);
	close(l);
}

/* Serves some, or keeps its calls waiting, until it is killed. */
static void mortal_member(struct worker *w)
{
	int l = member(io_rand(&w->seed) % 3);

	crowd_count(0);
	while (io_rand(&w->seed) % 3) {
		int fd = scm_accept(l);
		struct item item;

		/* Its caller may be gone: who was reset before calls again. */
		if (recv(fd, &item, sizeof(item), MSG_WAITALL) == sizeof(item))
			send(fd, &item, sizeof(item), MSG_NOSIGNAL);
		close(fd);
	}
	pause();
}

/* Kills them, two at a time, as fast as they come. */
static void reaper(struct worker *w)
{
	struct worker *mortal[2] = { crowd_join("mortal"), crowd_join("mortal") };
	pid_t pid[2] = { 0 };
	int i;

	while (crowd_wants_more(w, ROUNDS)) {
		i = io_rand(&w->seed) & 1;
		if (pid[i]) {
			kill(pid[i], SIGKILL);
			CALL(w, waitpid(pid[i], NULL, 0));
			w->n[ROUNDS]++;
		}
		mortal[i]->seed = io_rand(&w->seed) | 1;
		pid[i] = fork();
		if (!pid[i]) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			mortal_member(mortal[i]);
		}
		crowd_nap(&w->seed, 15);
	}
	for (i = 0; i < 2; i++) {
		if (pid[i] > 0) {
			kill(pid[i], SIGKILL);
			waitpid(pid[i], NULL, 0);
			w->n[ROUNDS]++;
		}
	}
}

static void member_caller(struct worker *w)
{
	while (crowd_wants_more(w, SERVED))
		w->n[call_once(w, names[0], false)]++;
}

/* Only whom a victim had accepted may be lost: one for each. */
TEST_F(stress, migration_against_death)
{
	int i;

	SKIP_DGRAM();
	crowd_start("member", faithful_member);
	while (!__atomic_load_n(&crowd->n[0], __ATOMIC_RELAXED))
		nym_nap();
	crowd_start("reaper", reaper);
	for (i = 0; i < 4; i++)
		crowd_start("caller", member_caller);
	crowd_wait(_metadata, "reaper");
	crowd_wait(_metadata, "caller");
	crowd_end(_metadata);
	EXPECT_EQ(0, crowd_sum("caller", REFUSED));
	EXPECT_LE(crowd_sum("caller", GONE), crowd_sum("reaper", ROUNDS));
	EXPECT_LT(0, crowd_sum("caller", SERVED));
	EXPECT_LT(0, crowd_sum("reaper", ROUNDS));
	TH_LOG("%ld killed, %ld calls served, %ld gone", crowd_sum("reaper", ROUNDS),
	       crowd_sum("caller", SERVED), crowd_sum("caller", GONE));
}

/* --- Connections that are handed on --- */

static int desk[2];	/* from who accepts to who serves */

/* Accepts, hands the connection on and closes its own copy. */
static void porter(struct worker *w)
{
	int l = scm_listen(type, names[0], 2), fd;
	long sent;

	if (l < 0)
		crowd_complain(w, "listen: %s", strerrorname_np(errno));
	io_set_timeout(l, SO_RCVTIMEO, 20);
	crowd_count(0);
	while (!crowd_stopped()) {
		fd = CALL(w, scm_accept(l));
		if (fd < 0)
			continue;
		sent = CALL(w, scm_send_fds(desk[0], "x", 1, &fd, 1, 0));
		if (sent != 1)
			crowd_complain(w, "handing on: %s", strerrorname_np(errno));
		close(fd);
	}
	close(l);
}

static void clerk(struct worker *w)
{
	int fd;

	while (!crowd_stopped()) {
		if (CALL(w, io_poll(desk[1], POLLIN, 20)) != POLLIN)
			continue;
		/* Another may have been faster. */
		fd = scm_recv_fd(desk[1]);
		if (fd >= 0)
			serve(w, fd);
		else if (errno != EAGAIN)
			crowd_complain(w, "taking over: %s", strerrorname_np(errno));
	}
}

/* Calls whose connection is under way from one process to another. */
TEST_F(stress, connections_that_are_handed_on)
{
	int i;

	SKIP_DGRAM();
	ASSERT_OK(scm_pair(SOCK_SEQPACKET, desk));
	crowd_start("porter", porter);
	while (!__atomic_load_n(&crowd->n[0], __ATOMIC_RELAXED))
		nym_nap();
	for (i = 0; i < 2; i++)
		crowd_start("clerk", clerk);
	close(desk[0]);
	close(desk[1]);
	for (i = 0; i < 4; i++)
		crowd_start("caller", member_caller);
	crowd_wait(_metadata, "caller");
	crowd_end(_metadata);
	EXPECT_EQ(crowd_sum("clerk", ANSWERED), crowd_sum("caller", SERVED));
	EXPECT_LT(0, crowd_sum("caller", SERVED));
	EXPECT_EQ(0, crowd_sum("caller", REFUSED) + crowd_sum("caller", GONE));
	TH_LOG("%ld served", crowd_sum("caller", SERVED));
}

/* --- Shutdown, dup and fork against senders and receivers --- */

#define WRITERS	3

/* What each has sent, and what has come from it; shared. */
static struct tally {
	long sent[WRITERS];
	long seen[WRITERS];
} *tally;

static int ends[2];	/* a writer's, the reader's */

static void write_items(struct worker *w, int who, long most)
{
	struct item item = { .who = who };

	while (tally->sent[who] < most) {
		item.seq = tally->sent[who];
		memcpy(item.fill, io_at(who * 1000 + item.seq), sizeof(item.fill));
		if (CALL(w, send(ends[0], &item, sizeof(item), MSG_NOSIGNAL)) < 0) {
			if (errno != EPIPE)
				crowd_complain(w, "send: %s", strerrorname_np(errno));
			return;
		}
		/* Exact also for who is killed right here: the reader sees more. */
		__atomic_store_n(&tally->sent[who], item.seq + 1, __ATOMIC_RELEASE);
	}
}

/* Each writer's come in order, without a gap. */
static void read_items(struct worker *w)
{
	struct item item;
	ssize_t n;

	while ((n = CALL(w, recv(ends[1], &item, sizeof(item), MSG_WAITALL))) > 0) {
		if (n != sizeof(item) || item.who >= WRITERS || !item_is_whole(&item)) {
			crowd_complain(w, "an item of %zd bytes from %u", n, item.who);
			return;
		}
		if (item.seq != tally->seen[item.who])
			crowd_complain(w, "%u of %u instead of %ld", item.seq, item.who,
				       tally->seen[item.who]);
		tally->seen[item.who] = item.seq + 1;
	}
	if (n < 0)
		crowd_complain(w, "recv: %s", strerrorname_np(errno));
}

static pid_t run(struct worker *w, void (*fn)(struct worker *w, int who), int who)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fn(w, who);
		_exit(0);
	}
	return pid;
}

static void writer(struct worker *w, int who)
{
	close(ends[1]);
	write_items(w, who, LONG_MAX);
}

static void reader(struct worker *w, int who)
{
	close(ends[0]);
	read_items(w);
}

static void tally_open(void)
{
	tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (tally == MAP_FAILED)
		abort();
}

/*
 * Some processes write, one reads, and at any moment either end is shut. Items
 * of several would mix on a stream that is nearly full: there, one writes.
 */
static void shut_at_any_moment(struct worker *w, struct worker *helper[WRITERS + 1])
{
	int i, writers = type == SOCK_STREAM ? 1 : WRITERS, end;
	pid_t pid[WRITERS + 1];

	memset(tally, 0, sizeof(*tally));
	if (socketpair(AF_NYM, type | SOCK_CLOEXEC, 0, ends))
		abort();
	for (i = 0; i < writers; i++)
		pid[i] = run(helper[i], writer, i);
	pid[writers] = run(helper[writers], reader, 0);
	crowd_nap(&w->seed, 5);
	/* A writer's or a reader's; of datagrams, only the reader's is told. */
	end = type == SOCK_DGRAM || io_rand(&w->seed) & 1;
	i = io_rand(&w->seed) & 1 ? SHUT_RDWR : end ? SHUT_RD : SHUT_WR;
	CALL(w, shutdown(ends[end], i));
	close(ends[0]);
	for (i = 0; i <= writers; i++)
		CALL(w, waitpid(pid[i], NULL, 0));
	/* Who sent while the reader was told the end has sent all the same. */
	read_items(w);
	close(ends[1]);
	for (i = 0; i < writers; i++) {
		if (tally->sent[i] != tally->seen[i])
			crowd_complain(w, "%ld sent and %ld seen of writer %d",
				       tally->sent[i], tally->seen[i], i);
	}
}

static void shutter(struct worker *w)
{
	struct worker *helper[WRITERS + 1];
	int i;

	for (i = 0; i <= WRITERS; i++)
		helper[i] = crowd_join("helper");
	for (; crowd_wants_more(w, 0); w->n[0]++)
		shut_at_any_moment(w, helper);
}

TEST_F(stress, shutdown_against_send_and_recv)
{
	tally_open();
	crowd_start("shutter", shutter);
	crowd_wait(_metadata, "shutter");
	crowd_end(_metadata);
	EXPECT_LT(0, crowd_sum("shutter", 0));
	TH_LOG("%ld rounds", crowd_sum("shutter", 0));
	munmap(tally, sizeof(*tally));
}

/* Writes through a copy of a copy in a process of a process, then is gone. */
static void brief_writer(struct worker *w, int who)
{
	long most = io_rand(&w->seed) % 40;
	int copy = dup(ends[0]);

	close(ends[1]);
	close(ends[0]);
	ends[0] = copy;
	if (io_rand(&w->seed) & 1) {
		pid_t pid = fork();

		if (pid)
			_exit(waitpid(pid, NULL, 0) != pid);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	}
	write_items(w, who, most);
	if (io_rand(&w->seed) & 1)
		close(ends[0]);
	if (io_rand(&w->seed) & 1)
		raise(SIGKILL);
	_exit(0);
}

/* Everything comes from processes that die, and then the end does. */
static void survivor(struct worker *w)
{
	struct worker *helper[WRITERS];
	int i;

	for (i = 0; i < WRITERS; i++)
		helper[i] = crowd_join("helper");
	for (; crowd_wants_more(w, 0); w->n[0]++) {
		memset(tally, 0, sizeof(*tally));
		if (socketpair(AF_NYM, type | SOCK_CLOEXEC, 0, ends))
			abort();
		for (i = 0; i < (type == SOCK_STREAM ? 1 : WRITERS); i++) {
			helper[i]->seed = io_rand(&w->seed) | 1;
			run(helper[i], brief_writer, i);
		}
		close(ends[0]);
		if (type != SOCK_DGRAM) {
			read_items(w);
			while (wait(NULL) > 0)
				;
		} else {
			while (CALL(w, wait(NULL)) > 0)
				;
			shutdown(ends[1], SHUT_RD);
			read_items(w);
		}
		close(ends[1]);
		for (i = 0; i < WRITERS; i++) {
			if (tally->sent[i] != tally->seen[i])
				crowd_complain(w, "%ld sent and %ld seen of writer %d",
					       tally->sent[i], tally->seen[i], i);
		}
	}
}

TEST_F(stress, dup_and_fork)
{
	tally_open();
	crowd_start("survivor", survivor);
	crowd_wait(_metadata, "survivor");
	crowd_end(_metadata);
	EXPECT_LT(0, crowd_sum("survivor", 0));
	TH_LOG("%ld rounds", crowd_sum("survivor", 0));
	munmap(tally, sizeof(*tally));
}

/* --- Datagrams to names that come and go --- */

enum { SENT, FAILED };	/* what a sender counts */
enum { RECEIVED };	/* what a receiver counts */

/* The seq of each sender rises: some are lost with who had the name. */
static void note_item(struct worker *w, const struct item *item, __u32 last[CROWD_MAX])
{
	if (item->who >= CROWD_MAX || !item_is_whole(item))
		crowd_complain(w, "an item from %u", item->who);
	else if (item->seq < last[item->who])
		crowd_complain(w, "%u of %u after %u", item->seq, item->who,
			       last[item->who] - 1);
	else
		last[item->who] = item->seq + 1;
	w->n[RECEIVED]++;
}

static void dgram_receiver(struct worker *w)
{
	struct item item;

	while (!crowd_stopped()) {
		__u32 last[CROWD_MAX] = { 0 };
		int l = scm_socket(SOCK_DGRAM);

		if (CALL(w, nym_bind(l, some_name(w)))) {
			if (errno != EADDRINUSE)
				crowd_complain(w, "bind: %s", strerrorname_np(errno));
			close(l);
			crowd_nap(&w->seed, 2);
			continue;
		}
		io_set_timeout(l, SO_RCVTIMEO, 1 + io_rand(&w->seed) % 4);
		io_set_int(l, SO_RCVBUF, 5000);
		while (CALL(w, recv(l, &item, sizeof(item), 0)) == sizeof(item) &&
		       io_rand(&w->seed) % 50)
			note_item(w, &item, last);
		/* Nothing comes after this, so nothing is lost with it. */
		CALL(w, shutdown(l, SHUT_RD));
		while (recv(l, &item, sizeof(item), 0) > 0)
			note_item(w, &item, last);
		CALL(w, close(l));
	}
}

/* One item to a name, or to where it is connected. */
static bool send_one(struct worker *w, int fd, const char *name, bool connected)
{
	struct item item = make_item(w, w->n[SENT]);
	struct sockaddr_nym sa;
	socklen_t len = nym_addr(&sa, name);
	int flags = io_rand(&w->seed) & 1 ? MSG_DONTWAIT : 0;

	return CALL(w, sendto(fd, &item, sizeof(item), flags,
			      connected ? NULL : (struct sockaddr *)&sa,
			      connected ? 0 : len)) == sizeof(item);
}

static void dgram_sender(struct worker *w)
{
	int fd = scm_socket(SOCK_DGRAM), i;

	if (w->id & 1)
		nym_option(fd, NYM_WAIT, 1);
	io_set_timeout(fd, SO_SNDTIMEO, 50);
	while (crowd_wants_more(w, SENT)) {
		const char *name = some_name(w);
		bool connected = io_rand(&w->seed) & 1;

		if (connected && CALL(w, nym_call(fd, name))) {
			connected = false;
			if (!ERRNO_IS(ECONNREFUSED, EAGAIN))
				crowd_complain(w, "connect: %s", strerrorname_np(errno));
		}
		for (i = io_rand(&w->seed) % 20; i; i--) {
			if (send_one(w, fd, name, connected)) {
				w->n[SENT]++;
				continue;
			}
			w->n[FAILED]++;
			if (!ERRNO_IS(ECONNREFUSED, EAGAIN, EPIPE))
				crowd_complain(w, "sendto: %s", strerrorname_np(errno));
			break;
		}
	}
	close(fd);
}

TEST_F(stress, datagrams_against_bind_and_unbind)
{
	int i;

	if (type != SOCK_DGRAM)
		SKIP(return, "for datagrams");
	for (i = 0; i < 3; i++)
		crowd_start("receiver", dgram_receiver);
	for (i = 0; i < 3; i++)
		crowd_start("sender", dgram_sender);
	crowd_wait(_metadata, "sender");
	crowd_end(_metadata);
	EXPECT_LT(0, crowd_sum("sender", SENT));
	TH_LOG("%ld sent, %ld failed, %ld received", crowd_sum("sender", SENT),
	       crowd_sum("sender", FAILED), crowd_sum("receiver", RECEIVED));
}

/* --- Namespaces --- */

/* All that a namespace can be left with. One of the two has the name. */
static void populate(struct worker *w)
{
	int l = scm_bound(type, names[0]), c, i;

	if (l >= 0) {
		nym_option(l, NYM_LINGER, 60000);
		listen(l, 1);
	}
	/* Pending, parked, and waiting for a name that never comes. */
	for (i = 0; i < 5; i++) {
		c = socket(AF_NYM, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		nym_option(c, NYM_WAIT, 1);
		nym_call(c, i == 4 ? names[1] : names[0]);
		send(c, io_at(0), 100 * i, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	if (type != SOCK_DGRAM && l >= 0 && CALL(w, scm_accept(l)) < 0)
		crowd_complain(w, "accept: %s", strerrorname_np(errno));
}

/* Dies in it, in one call or another. */
static void settler(struct worker *w)
{
	char c;

	populate(w);
	switch (io_rand(&w->seed) % 4) {
	case 0:
		CALL(w, nym_call(scm_socket(type), names[0]));
		break;
	case 1:
		CALL(w, recv(scm_bound(SOCK_DGRAM, names[2]), &c, 1, 0));
		break;
	case 2:
		CALL(w, accept(scm_listen(SOCK_STREAM, names[2], 1), NULL, NULL));
		break;
	}
	_exit(0);
}

/* Namespaces one after another, whose processes end, or are killed. */
static void founder(struct worker *w)
{
	struct worker *helper[2] = { crowd_join("settler"), crowd_join("settler") };
	pid_t pid[2];
	int i;

	helper[0]->mortal = true;
	helper[1]->mortal = true;
	for (; crowd_wants_more(w, 0); w->n[0]++) {
		if (CALL(w, unshare(CLONE_NEWNET))) {
			crowd_complain(w, "unshare: %s", strerrorname_np(errno));
			return;
		}
		for (i = 0; i < 2; i++) {
			helper[i]->seed = io_rand(&w->seed) | 1;
			pid[i] = fork();
			if (!pid[i]) {
				prctl(PR_SET_PDEATHSIG, SIGKILL);
				settler(helper[i]);
			}
		}
		crowd_nap(&w->seed, 30);
		for (i = 0; i < 2; i++) {
			kill(pid[i], SIGKILL);
			CALL(w, waitpid(pid[i], NULL, 0));
		}
	}
}

TEST_F(stress, namespaces_that_end)
{
	int l = scm_bound(type, names[0]);
	int i;

	/* The same name here is another one. */
	ASSERT_FD(l);
	for (i = 0; i < 2; i++)
		crowd_start("founder", founder);
	crowd_wait(_metadata, "founder");
	crowd_end(_metadata);
	EXPECT_LT(0, crowd_sum("founder", 0));
	EXPECT_STREQ(names[0], nym_own_name(l));
	TH_LOG("%ld namespaces", crowd_sum("founder", 0));
	close(l);
}

NYM_TEST_MAIN
