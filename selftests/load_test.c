// SPDX-License-Identifier: GPL-2.0
/*
 * Load: many clients, much data through little buffers, slow and dying peers.
 */
#include "nym_test.h"
#include "nym_io.h"

#include <sys/epoll.h>

#define CLIENTS		50
#define ECHO_BYTES	20000L
#define ECHO_PIECE	1000L

FIXTURE(load)
{
	int l;
};

FIXTURE_SETUP(load)
{
	SKIP_WITHOUT_NYM();
	self->l = nym_listen("t/load", 128);
	ASSERT_FD(self->l);
	signal(SIGPIPE, SIG_IGN);
}

FIXTURE_TEARDOWN(load)
{
	close(self->l);
}

/* --- Many clients on one server --- */

/* A client asks for the echo of its own part of the pattern. */
static long echo_client(struct io_thread *t)
{
	__u8 buf[ECHO_PIECE];
	int fd = nym_connect("t/load");
	long done = 0;

	if (fd < 0)
		return -1;
	for (; done < ECHO_BYTES; done += ECHO_PIECE) {
		if (io_send_all(fd, t->pos + done, ECHO_PIECE) != ECHO_PIECE ||
		    recv(fd, buf, ECHO_PIECE, MSG_WAITALL) != ECHO_PIECE ||
		    !io_is(buf, t->pos + done, ECHO_PIECE))
			break;
	}
	close(fd);
	return done;
}

static void run_echo_clients(struct __test_metadata *_metadata)
{
	struct io_thread t[CLIENTS];
	int i;

	for (i = 0; i < CLIENTS; i++) {
		t[i] = (struct io_thread){ .pos = i * 1111 };
		io_start(&t[i], echo_client);
	}
	for (i = 0; i < CLIENTS; i++) {
		EXPECT_EQ(ECHO_BYTES, io_join(&t[i])) {
			TH_LOG("client %d", i);
		}
	}
}

/* Echoes until the end of the stream; a child's exit status. */
static int echo_all(int fd)
{
	__u8 buf[4096];
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
		if (send(fd, buf, n, 0) != n)
			return 1;
	return n < 0;
}

/* Accepts CLIENTS calls and gives each a process. */
static int forking_server(int l)
{
	int i, fd;

	for (i = 0; i < CLIENTS; i++) {
		fd = accept(l, NULL, NULL);
		if (fd < 0)
			return 1;
		if (!fork()) {
			close(l);
			_exit(echo_all(fd));
		}
		close(fd);
	}
	return !io_children_ended_well(CLIENTS);
}

TEST_F(load, fifty_clients_of_a_forking_server)
{
	pid_t server = fork();

	if (!server)
		_exit(forking_server(self->l));
	run_echo_clients(_metadata);
	EXPECT_EQ(0, nym_wait_child(server));
}

/* What a client of the epoll server has sent and not got back yet. */
struct echo {
	int fd;
	__u8 buf[8192];
	size_t len;
	bool end;
};

/* Moves what can be moved; false when this client is finished. */
static bool echo_some(struct echo *e)
{
	ssize_t n;

	while (e->len < sizeof(e->buf) && !e->end) {
		n = recv(e->fd, e->buf + e->len, sizeof(e->buf) - e->len, 0);
		if (n <= 0) {
			e->end = !n || errno != EAGAIN;
			break;
		}
		e->len += n;
	}
	while (e->len) {
		n = send(e->fd, e->buf, e->len, 0);
		if (n <= 0)
			return errno == EAGAIN;
		memmove(e->buf, e->buf + n, e->len - n);
		e->len -= n;
	}
	return !e->end;
}

/* One process, edge-triggered, until CLIENTS clients have come and gone. */
static int epoll_server(int l)
{
	int ep = epoll_create1(EPOLL_CLOEXEC), finished = 0, i, n;
	struct epoll_event ev[16] = { { .events = EPOLLIN } };

	if (nym_set_nonblock(l, true) || epoll_ctl(ep, EPOLL_CTL_ADD, l, ev))
		return 1;
	while (finished < CLIENTS) {
		n = epoll_wait(ep, ev, 16, IO_POLL_MS);
		if (n <= 0)
			return 2;
		for (i = 0; i < n; i++) {
			struct echo *e = ev[i].data.ptr;

			if (!e) {
				int fd = accept4(l, NULL, NULL, SOCK_NONBLOCK);

				if (fd < 0)
					return 3;
				e = calloc(1, sizeof(*e));
				e->fd = fd;
				ev[i].events = EPOLLIN | EPOLLOUT | EPOLLET;
				ev[i].data.ptr = e;
				if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev[i]))
					return 4;
			} else if (!echo_some(e)) {
				close(e->fd);
				free(e);
				finished++;
			}
		}
	}
	return 0;
}

TEST_F(load, fifty_clients_of_an_epoll_server)
{
	pid_t server = fork();

	if (!server)
		_exit(epoll_server(self->l));
	run_echo_clients(_metadata);
	EXPECT_EQ(0, nym_wait_child(server));
}

/* A record that tells whose it is and where it belongs. */
struct record {
	__u32 client;
	__u32 seq;
	__u8 rest[56];
};

#define RECORDS	100

static struct record make_record(__u32 client, __u32 seq)
{
	struct record r = { client, seq, { 0 } };

	memcpy(r.rest, io_at(client * 1000 + seq), sizeof(r.rest));
	return r;
}

static bool good_record(const struct record *r)
{
	return !memcmp(r->rest, io_at(r->client * 1000 + r->seq),
		       sizeof(r->rest));
}

static int send_records(int fd, __u32 client, int count)
{
	int i;

	for (i = 0; i < count; i++) {
		struct record r = make_record(client, i);

		if (send(fd, &r, sizeof(r), 0) != sizeof(r))
			return 1;
	}
	return 0;
}

#define SENDERS	20

/* One reader polls the connections of many processes. */
TEST_F(load, many_to_one)
{
	__u32 next[SENDERS] = { 0 }, got = 0;
	struct pollfd p[SENDERS];
	struct record r;
	int i, open = SENDERS;

	for (i = 0; i < SENDERS; i++)
		if (!fork())
			_exit(send_records(nym_connect("t/load"), i, RECORDS));
	for (i = 0; i < SENDERS; i++) {
		p[i].fd = accept(self->l, NULL, NULL);
		p[i].events = POLLIN;
		ASSERT_FD(p[i].fd);
	}
	while (open) {
		/* Without a limit, at the end of which it would look once more. */
		ASSERT_LT(0, poll(p, SENDERS, -1));
		for (i = 0; i < SENDERS; i++) {
			ssize_t n;

			if (p[i].fd < 0 || !p[i].revents)
				continue;
			n = recv(p[i].fd, &r, sizeof(r), MSG_WAITALL);
			if (!n) {
				close(p[i].fd);
				p[i].fd = -1;
				open--;
				continue;
			}
			ASSERT_EQ((ssize_t)sizeof(r), n);
			ASSERT_TRUE(good_record(&r));
			ASSERT_GT((__u32)SENDERS, r.client);
			ASSERT_EQ(next[r.client]++, r.seq);
			got++;
		}
	}
	EXPECT_EQ(SENDERS * RECORDS, (int)got);
	EXPECT_TRUE(io_children_ended_well(SENDERS));
}

/* --- One connection --- */

FIXTURE(one)
{
	int a;
	int b;
};

FIXTURE_SETUP(one)
{
	int fd[2], l;

	SKIP_WITHOUT_NYM();
	l = nym_listen("t/load/one", 1);
	ASSERT_FD(l);
	ASSERT_OK(nym_connection(l, "t/load/one", fd));
	close(l);
	self->a = fd[0];
	self->b = fd[1];
	signal(SIGPIPE, SIG_IGN);
}

FIXTURE_TEARDOWN(one)
{
	close(self->a);
	close(self->b);
}

#define BLOCKS_OF_8	400

/* Eight processes write on one socket: each record arrives whole, in order. */
TEST_F(one, eight_writers_do_not_mix_their_records)
{
	__u32 next[8] = { 0 };
	struct record r;
	int i, got = 0;

	for (i = 0; i < 8; i++)
		if (!fork())
			_exit(send_records(self->a, i, BLOCKS_OF_8));
	close(self->a);
	self->a = -1;
	while (recv(self->b, &r, sizeof(r), MSG_WAITALL) == sizeof(r)) {
		ASSERT_GT(8U, r.client);
		ASSERT_TRUE(good_record(&r));
		ASSERT_EQ(next[r.client]++, r.seq);
		got++;
	}
	EXPECT_EQ(8 * BLOCKS_OF_8, got);
	EXPECT_EQ(0, recv(self->b, &r, 1, 0));
	EXPECT_TRUE(io_children_ended_well(8));
}

TEST_F(one, a_slow_reader_gets_everything)
{
	struct io_thread t = { .fd = self->a, .len = 200000 };
	__u8 buf[700];
	long got = 0;

	ASSERT_OK(io_set_int(self->a, SO_SNDBUF, 2048));
	io_start(&t, io_do_send_all);
	while (got < 200000) {
		ssize_t n = recv(self->b, buf, sizeof(buf), 0);

		ASSERT_LT(0, n);
		ASSERT_TRUE(io_is(buf, got, n));
		got += n;
		usleep(500);
	}
	EXPECT_EQ(200000, io_join(&t));
}

static long send_until_error(struct io_thread *t)
{
	long done = io_send_all(t->fd, 0, 1L << 30);

	/* Left by the send that failed; the count is what matters otherwise. */
	t->flags = errno;
	return done;
}

TEST_F(one, a_reader_that_leaves_in_the_middle)
{
	struct io_thread t = { .fd = self->a };
	char c;

	io_start(&t, send_until_error);
	ASSERT_EQ(300000, io_recv_all(self->b, 0, 300000, 4096, NULL));
	ASSERT_TRUE(io_wait_blocked(&t));
	close(self->b);
	self->b = -1;
	/* The full buffer that was lost had been counted as sent. */
	EXPECT_LT(300000, io_join(&t));
	EXPECT_GE(300000 + io_sndbuf(self->a), t.ret);
	EXPECT_TRUE(t.flags == EPIPE || t.flags == ECONNRESET);
	EXPECT_ERRNO(EPIPE, send(self->a, "x", 1, 0));
	/* The writer that was woken has taken the reset. */
	EXPECT_EQ(0, recv(self->a, &c, 1, 0));
}

#define BIG	(64L << 20)

/* FNV over whole words: it must be cheap in an emulator. */
static __u32 checksum(__u32 sum, const __u8 *buf, long len)
{
	__u32 word;

	for (; len; buf += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, buf, sizeof(word));
		sum = (sum ^ word) * 16777619;
	}
	return sum;
}

/* Sends BIG bytes; gives their checksum. */
static long send_big(struct io_thread *t)
{
	__u32 sum = 2166136261U;
	long done;

	for (done = 0; done < BIG; done += 65536) {
		sum = checksum(sum, io_at(done), 65536);
		if (io_send_all(t->fd, done, 65536) != 65536)
			return -1;
	}
	return sum;
}

TEST_F(one, sixty_four_mib_through_four_kib)
{
	struct io_thread t = { .fd = self->a };
	__u32 sum = 2166136261U, seed = io_seed();
	__u8 *buf = malloc(65536);
	long done = 0;

	TH_LOG("seed %u", seed);
	/* The kernel doubles what is asked for, in every family. */
	ASSERT_OK(io_set_int(self->a, SO_SNDBUF, 4096));
	ASSERT_EQ(8192, io_sndbuf(self->a));
	io_start(&t, send_big);
	while (done < BIG) {
		/* Whole words, to be summed as the sender did. */
		long want = io_rand_size(&seed, 16384) * 4;
		ssize_t n;

		if (want > BIG - done)
			want = BIG - done;
		n = recv(self->b, buf, want, MSG_WAITALL);
		ASSERT_EQ(want, n);
		ASSERT_TRUE(io_is(buf, done, n)) {
			TH_LOG("at %ld", done);
		}
		sum = checksum(sum, buf, n);
		done += n;
	}
	EXPECT_EQ(sum, (__u32)io_join(&t));
	EXPECT_EQ(0, io_inq(self->b));
	free(buf);
}

#define BOTH_WAYS	(4L << 20)

/* Sends or receives in random sizes; t->flags is the seed. */
static long send_random(struct io_thread *t)
{
	__u32 seed = t->flags;
	long done = 0;

	while (done < BOTH_WAYS) {
		long want = io_rand_size(&seed, 50000);

		if (want > BOTH_WAYS - done)
			want = BOTH_WAYS - done;
		if (io_send_all(t->fd, t->pos + done, want) != want)
			break;
		done += want;
	}
	return done;
}

static long recv_random(struct io_thread *t)
{
	__u32 seed = t->flags;

	return io_recv_all(t->fd, t->pos, BOTH_WAYS, 50000, &seed);
}

TEST_F(one, both_directions_at_once_in_random_sizes)
{
	__u32 seed = io_seed() >> 1;
	struct io_thread t[4] = {
		{ .fd = self->a, .pos = 0, .flags = seed | 1 },
		{ .fd = self->b, .pos = 0, .flags = seed | 2 },
		{ .fd = self->b, .pos = 999, .flags = seed | 4 },
		{ .fd = self->a, .pos = 999, .flags = seed | 8 },
	};
	int i;

	TH_LOG("seed %u", seed);
	for (i = 0; i < 4; i++)
		io_start(&t[i], i & 1 ? recv_random : send_random);
	for (i = 0; i < 4; i++)
		EXPECT_EQ(BOTH_WAYS, io_join(&t[i]));
	EXPECT_EQ(0, io_inq(self->a));
	EXPECT_EQ(0, io_inq(self->b));
}

/* --- Death --- */

static void send_for_ever(int fd)
{
	while (send(fd, io_at(0), 4096, 0) > 0)
		;
	_exit(0);
}

/* Whatever happened to others, a new client must be served. */
static void server_goes_on(struct __test_metadata *_metadata, int l)
{
	int fd[2];
	char c;

	ASSERT_OK(nym_connection(l, "t/load", fd));
	EXPECT_EQ(1, send(fd[0], "x", 1, 0));
	EXPECT_EQ(1, recv(fd[1], &c, 1, 0));
	close(fd[0]);
	close(fd[1]);
}

TEST_F(load, a_killed_client_is_an_end_to_the_server)
{
	pid_t client = fork();
	__u8 buf[4096];
	int status, fd;
	ssize_t n;

	if (!client) {
		close(self->l);
		send_for_ever(nym_connect("t/load"));
	}
	fd = accept(self->l, NULL, NULL);
	ASSERT_FD(fd);
	ASSERT_LT(0, recv(fd, buf, sizeof(buf), 0));
	kill(client, SIGKILL);
	ASSERT_EQ(client, waitpid(client, &status, 0));
	/* What it had sent, then the end: it had nothing unread. */
	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
		;
	EXPECT_EQ(0, n);
	EXPECT_ERRNO(EPIPE, send(fd, "x", 1, 0));
	close(fd);
	server_goes_on(_metadata, self->l);
}

TEST_F(load, a_killed_client_that_had_not_read_is_a_reset)
{
	pid_t client = fork();
	int status, fd;
	char c;

	if (!client) {
		close(self->l);
		fd = nym_connect("t/load");
		while (fd >= 0)
			pause();
		_exit(1);
	}
	fd = accept(self->l, NULL, NULL);
	ASSERT_FD(fd);
	ASSERT_EQ(10, io_send_all(fd, 0, 10));
	kill(client, SIGKILL);
	ASSERT_EQ(client, waitpid(client, &status, 0));
	EXPECT_ERRNO(ECONNRESET, recv(fd, &c, 1, 0));
	EXPECT_EQ(0, recv(fd, &c, 1, 0));
	close(fd);
	server_goes_on(_metadata, self->l);
}

/* A whole server: its own listener, one client, one more pending. */
static void doomed_server(int ready)
{
	int l = nym_listen("t/load/doomed", 5);

	if (l < 0 || write(ready, "x", 1) != 1 || accept(l, NULL, NULL) < 0 ||
	    write(ready, "x", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

TEST_F(load, a_killed_server_frees_its_name_and_tells_everybody)
{
	int ready[2], client, pending, status, l;
	struct io_thread t;
	pid_t server;
	char c;

	ASSERT_OK(pipe(ready));
	server = fork();
	if (!server)
		doomed_server(ready[1]);
	ASSERT_EQ(1, read(ready[0], &c, 1));
	client = nym_connect("t/load/doomed");
	ASSERT_FD(client);
	ASSERT_EQ(1, read(ready[0], &c, 1));
	pending = nym_connect("t/load/doomed");
	ASSERT_FD(pending);
	t = (struct io_thread){ .fd = client };
	io_start(&t, send_until_error);
	ASSERT_TRUE(io_wait_blocked(&t));
	kill(server, SIGKILL);
	ASSERT_EQ(server, waitpid(server, &status, 0));
	EXPECT_EQ(io_sndbuf(client), io_join(&t));
	EXPECT_TRUE(t.flags == ECONNRESET || t.flags == EPIPE);
	EXPECT_ERRNO(ECONNRESET, recv(pending, &c, 1, 0));
	EXPECT_EQ(0, recv(pending, &c, 1, 0));
	/* The next server takes the name at once. */
	l = nym_listen("t/load/doomed", 5);
	EXPECT_LE(0, l);
	close(l);
	close(client);
	close(pending);
}

NYM_TEST_MAIN
