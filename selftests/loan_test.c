// SPDX-License-Identifier: GPL-2.0
/*
 * Copy once: a blocking send of a stream that does not fit into the ring lends its
 * pages, and the receiver reads them from there. To everybody it is as if the
 * sender had filled the ring and slept; only a read goes on where the ring ends.
 */
#include "nym_test.h"
#include "nym_io.h"
#include "nym_scm.h"

#include <linux/userfaultfd.h>
#include <sys/mman.h>
#include <sys/uio.h>

#define PAGE	4096L
#define MEG	1048576L
#define LEN	(MEG - 4 * PAGE)	/* what is sent, of which no part is like another */

static __u8 sink[MEG];

FIXTURE(loan)
{
	int a;		/* sends */
	int b;
	long limit;	/* of the ring */
	__u8 *mem;	/* what is sent; a mapping of its own */
	struct io_thread t;
};

static void nothing(int sig)
{
}

FIXTURE_SETUP(loan)
{
	struct sigaction act = { .sa_handler = nothing };
	int fd[2];

	SKIP_WITHOUT_NYM();
	sigaction(SIGUSR1, &act, NULL);
	ASSERT_OK(nym_pair(fd));
	self->a = fd[0];
	self->b = fd[1];
	self->limit = io_sndbuf(self->a);
	self->mem = mmap(NULL, MEG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	ASSERT_NE(MAP_FAILED, self->mem);
	memcpy(self->mem, io_at(0), MEG);
}

FIXTURE_TEARDOWN(loan)
{
	close(self->a);
	close(self->b);
	munmap(self->mem, MEG);
}

static long send_all(struct io_thread *t)
{
	return send(t->fd, t->buf, t->len, MSG_NOSIGNAL | t->flags);
}

/* A thread that sends @_len bytes of @_mem and sleeps. */
#define START_SEND(_t, _mem, _len) do { \
	struct io_thread *__t = (_t); \
	*__t = (struct io_thread){ .fd = self->a, .buf = (_mem), .len = (_len) }; \
	io_start(__t, send_all); \
	ASSERT_TRUE(io_wait_blocked(__t)); \
} while (0)

#define START() START_SEND(&self->t, self->mem, LEN)

#define SENT(_n) do { \
	EXPECT_EQ(_n, io_join(&self->t)); \
	EXPECT_SAME_ERRNO(0, self->t.err); \
} while (0)

/* What can be had of it in one call. */
static long read_at_once(int fd)
{
	return recv(fd, sink, LEN, MSG_DONTWAIT);
}

/* Is a thread that sends lending? A ring alone does not have as much. */
#define EXPECT_LENT(_fd, _pos, _n) do { \
	long __n = (_n); \
	ASSERT_LT(self->limit, __n); \
	EXPECT_RETURNS(__n, recv(_fd, sink, __n, MSG_DONTWAIT)); \
	EXPECT_TRUE(io_is(sink, _pos, __n)); \
} while (0)

TEST_F(loan, it_is_read_in_one_go)
{
	START();
	EXPECT_LENT(self->b, 0, LEN);
	SENT(LEN);
	EXPECT_ERRNO(EAGAIN, read_at_once(self->b));
	EXPECT_EQ(0, io_inq(self->b));
}

TEST_F(loan, it_is_read_after_what_is_in_the_ring)
{
	ASSERT_EQ(1000, io_send_all(self->a, 0, 1000));
	START_SEND(&self->t, self->mem + 1000, LEN - 1000);
	EXPECT_LENT(self->b, 0, LEN);
	SENT(LEN - 1000);
}

TEST_F(loan, it_is_read_in_pieces)
{
	static const size_t pieces[] = { 1, 100, PAGE, PAGE - 1, 3 * PAGE + 7, 70000 };
	long done = 0;
	size_t i;

	START();
	for (i = 0; done + 70000 < LEN; i = (i + 1) % ARRAY_SIZE(pieces)) {
		ASSERT_RETURNS(pieces[i], recv(self->b, sink, pieces[i], 0));
		ASSERT_TRUE(io_is(sink, done, pieces[i]));
		done += pieces[i];
		ASSERT_TRUE(!io_done(&self->t) || LEN - done <= self->limit);
	}
	EXPECT_EQ(LEN - done, io_recv_all(self->b, done, LEN - done, PAGE, NULL));
	SENT(LEN);
}

/* Where pages are next to each other they are copied in one go. */
TEST_F(loan, it_is_in_a_large_page)
{
	long large = 2 * MEG, first = 500001;
	__u8 *area = mmap(NULL, 2 * large, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	__u8 *mem = (__u8 *)(((uintptr_t)area + large - 1) & -large);

	ASSERT_NE(MAP_FAILED, area);
	/* If it can be had, that is. */
	madvise(mem, large, MADV_HUGEPAGE);
	memcpy(mem + 100, io_at(0), LEN);
	START_SEND(&self->t, mem + 100, LEN);
	EXPECT_LENT(self->b, 0, first);
	EXPECT_EQ(LEN - first, io_drain(self->b, first));
	SENT(LEN);
	munmap(area, 2 * large);
}

TEST_F(loan, a_reader_waits_for_all_of_it)
{
	START();
	/* And for what comes after it. */
	struct io_thread r = { .fd = self->b, .buf = sink, .len = LEN + 10,
			       .flags = MSG_WAITALL };

	io_start(&r, io_do_recv);
	SENT(LEN);
	EXPECT_TRUE(io_wait_blocked(&r));
	EXPECT_EQ(10, io_send_all(self->a, LEN, 10));
	EXPECT_EQ(LEN + 10, io_join(&r));
	EXPECT_TRUE(io_is(sink, 0, LEN + 10));
}

TEST_F(loan, a_reader_that_waits_is_woken_by_it)
{
	struct io_thread r = { .fd = self->b, .buf = sink, .len = LEN,
			       .flags = MSG_WAITALL };

	io_start(&r, io_do_recv);
	ASSERT_TRUE(io_wait_blocked(&r));
	EXPECT_EQ(LEN, send(self->a, self->mem, LEN, 0));
	EXPECT_EQ(LEN, io_join(&r));
	EXPECT_TRUE(io_is(sink, 0, LEN));
}

TEST_F(loan, poll_sees_it_and_its_end)
{
	START();
	EXPECT_EQ(POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLWRBAND,
		  io_mask(self->b));
	/* Nobody else can write meanwhile. */
	EXPECT_EQ(0, io_mask(self->a));
	EXPECT_ERRNO(EAGAIN, send(self->a, "x", 1, MSG_DONTWAIT));
	struct io_thread p = { .fd = self->a, .flags = POLLOUT };

	io_start(&p, io_do_poll);
	ASSERT_TRUE(io_wait_blocked(&p));
	/* Until the ring has room for the rest. */
	long most = LEN - self->limit - 1;

	EXPECT_EQ(most, io_recv_all(self->b, 0, most, MEG, NULL));
	EXPECT_TRUE(io_wait_blocked(&self->t));
	EXPECT_EQ(0, io_mask(self->a));
	EXPECT_EQ(POLLIN, io_poll(self->b, POLLIN, 0));
	EXPECT_EQ(1, io_recv_all(self->b, most, 1, 1, NULL));
	SENT(LEN);
	EXPECT_EQ(self->limit, io_inq(self->b));
	EXPECT_EQ(0, io_mask(self->a));
	EXPECT_EQ(self->limit, io_drain(self->b, most + 1));
	EXPECT_EQ(POLLOUT, io_join(&p));
	EXPECT_EQ(POLLOUT | POLLWRNORM | POLLWRBAND, io_mask(self->b));
	EXPECT_EQ(1, send(self->a, "x", 1, MSG_DONTWAIT));
}

/* Bytes of a known sender are not read together with what was lent by nobody known. */
TEST_F(loan, signed_bytes_are_read_apart)
{
	struct scm_in in;

	ASSERT_OK(scm_pass_cred(self->b, 1));
	ASSERT_EQ(1000, io_send_all(self->a, 0, 1000));
	ASSERT_OK(scm_pass_cred(self->b, 0));
	START_SEND(&self->t, self->mem + 1000, LEN - 1000);
	ASSERT_OK(scm_pass_cred(self->b, 1));
	EXPECT_RETURNS(1000, scm_recv(self->b, sink, LEN, MSG_DONTWAIT, &in));
	EXPECT_EQ(1, in.ncreds);
	EXPECT_EQ(getpid(), in.cred.pid);
	EXPECT_TRUE(io_is(sink, 0, 1000));
	EXPECT_RETURNS(LEN - 1000, scm_recv(self->b, sink, LEN, MSG_DONTWAIT, &in));
	EXPECT_EQ(1, in.ncreds);
	EXPECT_EQ(0, in.cred.pid);
	EXPECT_TRUE(io_is(sink, 1000, LEN - 1000));
	SENT(LEN - 1000);
}

/* Both send more than fits and read what they get: neither may wait for ever. */
TEST_F(loan, a_peer_that_answers_while_it_reads)
{
	long piece = 65536, n = 450 * 1024, done;

	START_SEND(&self->t, self->mem, n);
	for (done = 0; done < n - self->limit; done += piece) {
		ASSERT_EQ(piece, io_recv_all(self->b, done, piece, piece, NULL));
		ASSERT_EQ(piece / 2, io_send_all(self->b, done / 2, piece / 2));
	}
	/* So that now it reads the answers. */
	SENT(n);
	EXPECT_EQ(done / 2, io_drain(self->a, 0));
	EXPECT_EQ(n - done, io_drain(self->b, done));
}

/* What was seen is what is read, whatever the sender does to it. */
TEST_F(loan, what_was_peeked_does_not_change)
{
	START();
	ASSERT_EQ(10000, recv(self->b, sink, 10000, MSG_PEEK));
	memset(self->mem, 0, 10000);
	EXPECT_EQ(10000, io_recv_all(self->b, 0, 10000, 10000, NULL));
	EXPECT_LENT(self->b, 10000, LEN - 10000);
	SENT(LEN);
}

TEST_F(loan, all_of_it_is_peeked)
{
	long rest = self->limit + 1;

	START();
	EXPECT_EQ(LEN - rest, io_recv_all(self->b, 0, LEN - rest, MEG, NULL));
	EXPECT_EQ(self->limit, recv(self->b, sink, LEN, MSG_PEEK));
	EXPECT_TRUE(io_is(sink, LEN - rest, self->limit));
	EXPECT_EQ(1, io_recv_all(self->b, LEN - rest, 1, 1, NULL));
	/* What is left can be there now, and the sender need not wait. */
	SENT(LEN);
	EXPECT_EQ(self->limit, recv(self->b, sink, LEN, MSG_PEEK));
	EXPECT_EQ(self->limit, io_drain(self->b, LEN - self->limit));
}

/* What SIOCINQ and MSG_PEEK tell is what a full ring would have. */
TEST_F(loan, a_look_finds_as_much_as_in_a_full_ring)
{
	long n;

	START();
	EXPECT_EQ(self->limit, io_inq(self->b));
	EXPECT_EQ(self->limit, io_outq(self->a));
	EXPECT_EQ(self->limit, recv(self->b, sink, sizeof(sink), MSG_PEEK));
	EXPECT_TRUE(io_is(sink, 0, self->limit));
	EXPECT_EQ(10, recv(self->b, sink, 10, MSG_PEEK));
	EXPECT_EQ(self->limit, io_inq(self->b));
	for (n = 0; n < LEN - self->limit; n += 50000) {
		ASSERT_EQ(50000, io_recv_all(self->b, n, 50000, 50000, NULL));
		long want = LEN - n - 50000;

		if (want > self->limit)
			want = self->limit;
		EXPECT_EQ(want, io_inq(self->b));
		EXPECT_EQ(want, recv(self->b, sink, sizeof(sink), MSG_PEEK));
		EXPECT_TRUE(io_is(sink, n + 50000, want));
	}
	EXPECT_EQ(LEN - n, io_drain(self->b, n));
	SENT(LEN);
}

TEST_F(loan, a_look_finds_the_ring_and_what_follows)
{
	ASSERT_EQ(5000, io_send_all(self->a, 0, 5000));
	START_SEND(&self->t, self->mem + 5000, LEN - 5000);
	EXPECT_EQ(self->limit, io_inq(self->b));
	EXPECT_EQ(self->limit, recv(self->b, sink, sizeof(sink), MSG_PEEK));
	EXPECT_TRUE(io_is(sink, 0, self->limit));
	EXPECT_LENT(self->b, 0, LEN);
	SENT(LEN - 5000);
}

/* --- The writer ends it --- */

TEST_F(loan, a_signal_leaves_what_a_full_ring_has)
{
	START();
	ASSERT_EQ(self->limit, io_inq(self->b));
	pthread_kill(self->t.thread, SIGUSR1);
	SENT(self->limit);
	EXPECT_EQ(self->limit, io_inq(self->b));
	EXPECT_ERRNO(EAGAIN, send(self->a, "x", 1, MSG_DONTWAIT));
	EXPECT_EQ(self->limit, io_drain(self->b, 0));
}

TEST_F(loan, a_signal_in_the_middle_of_it)
{
	START();
	ASSERT_EQ(100000, io_recv_all(self->b, 0, 100000, 100000, NULL));
	pthread_kill(self->t.thread, SIGUSR1);
	SENT(100000 + self->limit);
	EXPECT_EQ(self->limit, io_drain(self->b, 100000));
}

TEST_F(loan, a_signal_near_its_end)
{
	long most = LEN - self->limit - 1;

	START();
	ASSERT_EQ(most, io_recv_all(self->b, 0, most, MEG, NULL));
	pthread_kill(self->t.thread, SIGUSR1);
	SENT(LEN - 1);
	/* And the stream goes on behind that. */
	EXPECT_EQ(self->limit / 2, io_recv_all(self->b, most, self->limit / 2, MEG, NULL));
	EXPECT_EQ(7, send(self->a, io_at(LEN - 1), 7, 0));
	EXPECT_EQ(self->limit / 2 + 7, io_drain(self->b, most + self->limit / 2));
}

TEST_F(loan, a_signal_while_the_ring_has_some)
{
	ASSERT_EQ(100000, io_send_all(self->a, 0, 100000));
	START_SEND(&self->t, self->mem + 100000, LEN - 100000);
	ASSERT_EQ(1000, io_recv_all(self->b, 0, 1000, 1000, NULL));
	pthread_kill(self->t.thread, SIGUSR1);
	SENT(self->limit - 99000);
	EXPECT_EQ(self->limit, io_drain(self->b, 1000));
}

TEST_F(loan, a_full_ring_keeps_nothing_of_it)
{
	long n = io_fill(self->a, 0, 1000);

	n += io_fill(self->a, n, 1);
	ASSERT_EQ(self->limit, n);
	START_SEND(&self->t, self->mem + n, LEN - n);
	EXPECT_EQ(n, io_inq(self->b));
	pthread_kill(self->t.thread, SIGUSR1);
	EXPECT_EQ(-1, io_join(&self->t));
	EXPECT_SAME_ERRNO(EINTR, self->t.err);
	EXPECT_EQ(n, io_drain(self->b, 0));
	EXPECT_EQ(POLLOUT, io_poll(self->a, POLLOUT, 0));
}

TEST_F(loan, sndtimeo_ends_it)
{
	long begin = io_now_ms();

	ASSERT_OK(io_set_timeout(self->a, SO_SNDTIMEO, 100));
	EXPECT_EQ(self->limit, send(self->a, self->mem, LEN, 0));
	EXPECT_LE(NYM_TICKED(100), io_now_ms() - begin);
	EXPECT_EQ(self->limit, io_drain(self->b, 0));
}

TEST_F(loan, a_reader_that_was_told_finds_something)
{
	struct io_thread p = { .fd = self->b, .flags = POLLIN };

	io_start(&p, io_do_poll);
	ASSERT_TRUE(io_wait_blocked(&p));
	START();
	EXPECT_EQ(POLLIN, io_join(&p));
	pthread_kill(self->t.thread, SIGUSR1);
	EXPECT_LT(0, io_join(&self->t));
	EXPECT_EQ(1, io_recv_all(self->b, 0, 1, 1, NULL));
}

TEST_F(loan, own_shutdown_leaves_what_a_full_ring_has)
{
	START();
	ASSERT_EQ(10, io_recv_all(self->b, 0, 10, 10, NULL));
	ASSERT_OK(shutdown(self->a, SHUT_WR));
	SENT(10 + self->limit);
	EXPECT_EQ(self->limit, io_recv_all(self->b, 10, LEN, MEG, NULL));
	EXPECT_EQ(0, recv(self->b, sink, 1, 0));
}

TEST_F(loan, the_readers_shutdown_leaves_what_a_full_ring_has)
{
	START();
	ASSERT_OK(shutdown(self->b, SHUT_RD));
	SENT(self->limit);
	EXPECT_EQ(self->limit, io_recv_all(self->b, 0, LEN, MEG, NULL));
	EXPECT_EQ(0, recv(self->b, sink, 1, 0));
	EXPECT_ERRNO(EPIPE, send(self->a, self->mem, LEN, MSG_NOSIGNAL));
}

TEST_F(loan, the_reader_closes_before_it)
{
	START();
	ASSERT_OK(close(self->b));
	self->b = -1;
	/* What a full ring has, and loses, counts as sent. */
	SENT(self->limit);
	EXPECT_EQ(0, io_so_error(self->a));
	EXPECT_ERRNO(EPIPE, send(self->a, self->mem, LEN, MSG_NOSIGNAL));
}

TEST_F(loan, the_reader_closes_in_the_middle)
{
	START();
	ASSERT_EQ(100000, io_recv_all(self->b, 0, 100000, 100000, NULL));
	ASSERT_OK(close(self->b));
	self->b = -1;
	SENT(100000 + self->limit);
	EXPECT_ERRNO(EPIPE, send(self->a, self->mem, LEN, MSG_NOSIGNAL));
}

TEST_F(loan, the_reader_closes_after_it)
{
	START();
	EXPECT_LENT(self->b, 0, LEN);
	ASSERT_OK(close(self->b));
	self->b = -1;
	SENT(LEN);
	EXPECT_EQ(0, io_so_error(self->a));
}

TEST_F(loan, the_sender_is_killed)
{
	pid_t pid = fork();

	if (!pid) {
		close(self->b);
		send(self->a, self->mem, LEN, 0);
		_exit(1);
	}
	ASSERT_TRUE(nym_wait_asleep(pid, SYS_sendto));
	close(self->a);
	self->a = -1;
	ASSERT_EQ(self->limit, io_inq(self->b));
	ASSERT_OK(kill(pid, SIGKILL));
	waitpid(pid, NULL, 0);
	EXPECT_EQ(self->limit, io_recv_all(self->b, 0, LEN, MEG, NULL));
	EXPECT_EQ(0, recv(self->b, sink, 1, 0));
}

/* --- Somebody else --- */

TEST_F(loan, another_sender_waits_for_its_end)
{
	struct io_thread u;

	START();
	START_SEND(&u, (void *)io_at(LEN), LEN);
	EXPECT_LENT(self->b, 0, LEN);
	SENT(LEN);
	EXPECT_EQ(LEN, io_recv_all(self->b, LEN, LEN, MEG, NULL));
	EXPECT_EQ(LEN, io_join(&u));
}

TEST_F(loan, another_sender_goes_on_when_it_was_taken_back)
{
	struct io_thread u;

	START();
	START_SEND(&u, (void *)io_at(self->limit), 1000);
	pthread_kill(self->t.thread, SIGUSR1);
	SENT(self->limit);
	EXPECT_EQ(self->limit + 1000, io_recv_all(self->b, 0, self->limit + 1000, MEG, NULL));
	EXPECT_EQ(1000, io_join(&u));
}

TEST_F(loan, another_sender_has_a_signal)
{
	struct io_thread u;

	START();
	START_SEND(&u, (void *)io_at(0), LEN);
	pthread_kill(u.thread, SIGUSR1);
	EXPECT_EQ(-1, io_join(&u));
	EXPECT_SAME_ERRNO(EINTR, u.err);
	EXPECT_FALSE(io_done(&self->t));
	EXPECT_LENT(self->b, 0, LEN);
	SENT(LEN);
}

TEST_F(loan, there_are_two_readers)
{
	struct io_thread r[2];
	long n = 0;
	int i;

	START();
	for (i = 0; i < 2; i++) {
		r[i] = (struct io_thread){ .fd = self->b, .buf = malloc(LEN / 2),
					   .len = LEN / 2, .flags = MSG_WAITALL };
		io_start(&r[i], io_do_recv);
	}
	for (i = 0; i < 2; i++)
		n += io_join(&r[i]);
	EXPECT_EQ(LEN, n);
	/* Either may have been first. */
	EXPECT_TRUE(io_is(r[0].buf, 0, LEN / 2) ? io_is(r[1].buf, LEN / 2, LEN / 2) :
		    io_is(r[1].buf, 0, LEN / 2) && io_is(r[0].buf, LEN / 2, LEN / 2));
	for (i = 0; i < 2; i++)
		free(r[i].buf);
	SENT(LEN);
}

TEST_F(loan, splice_takes_it)
{
	long n, done = 0;
	int p[2];

	ASSERT_OK(pipe2(p, O_CLOEXEC));
	START();
	while (done < LEN) {
		n = splice(self->b, NULL, p[1], NULL, 65536, 0);
		ASSERT_LT(0, n);
		ASSERT_EQ(n, read(p[0], sink, n));
		ASSERT_TRUE(io_is(sink, done, n));
		done += n;
	}
	SENT(LEN);
	close(p[0]);
	close(p[1]);
}

/* --- What is not lent --- */

/* Of what is not lent, a reader finds no more than the ring has, if it is quick. */
#define TRIES	50

#define EXPECT_NOT_LENT() do { \
	long __n, __i; \
	for (__i = 0; __i < TRIES; __i++) { \
		if (__i) \
			START(); \
		__n = read_at_once(self->b); \
		ASSERT_LT(0, __n); \
		EXPECT_TRUE(io_is(sink, 0, __n)); \
		EXPECT_EQ(LEN - __n, io_recv_all(self->b, __n, LEN - __n, MEG, NULL)); \
		SENT(LEN); \
		if (__n == self->limit) \
			break; \
	} \
	EXPECT_EQ(self->limit, __n); \
} while (0)

TEST_F(loan, not_without_waiting)
{
	EXPECT_EQ(self->limit, send(self->a, self->mem, LEN, MSG_DONTWAIT));
	EXPECT_EQ(self->limit, io_drain(self->b, 0));
}

TEST_F(loan, not_with_credentials)
{
	ASSERT_OK(scm_pass_cred(self->b, 1));
	START();
	EXPECT_NOT_LENT();
}

TEST_F(loan, not_before_accept)
{
	int listener = nym_listen("loan", 0), i;
	long n = 0;

	ASSERT_FD(listener);
	for (i = 0; i < TRIES && n != self->limit; i++) {
		close(self->a);
		close(self->b);
		self->a = nym_connect("loan");
		ASSERT_FD(self->a);
		START();
		self->b = accept(listener, NULL, NULL);
		ASSERT_FD(self->b);
		n = read_at_once(self->b);
		ASSERT_LT(0, n);
		EXPECT_EQ(LEN - n, io_recv_all(self->b, n, LEN - n, MEG, NULL));
		SENT(LEN);
	}
	EXPECT_EQ(self->limit, n);
	close(listener);
}

TEST_F(loan, not_in_small_pieces)
{
	static struct iovec vec[256];
	struct msghdr msg = { .msg_iov = vec, .msg_iovlen = 255 };
	int i;

	for (i = 0; i < 255; i++)
		vec[i] = (struct iovec){ self->mem + i * PAGE, PAGE };
	ASSERT_OK(io_set_timeout(self->a, SO_SNDTIMEO, 100));
	EXPECT_EQ(self->limit, sendmsg(self->a, &msg, 0));
	EXPECT_EQ(self->limit, io_drain(self->b, 0));
}

static long send_parts(struct io_thread *t)
{
	struct iovec vec[3] = {
		{ t->buf, 16 }, { t->buf + 16, t->len - 32 }, { t->buf + t->len - 16, 16 },
	};
	struct msghdr msg = { .msg_iov = vec, .msg_iovlen = 3 };

	return sendmsg(t->fd, &msg, MSG_NOSIGNAL);
}

TEST_F(loan, but_a_large_piece_among_small_ones)
{
	self->t = (struct io_thread){ .fd = self->a, .buf = self->mem, .len = LEN };
	io_start(&self->t, send_parts);
	ASSERT_TRUE(io_wait_blocked(&self->t));
	EXPECT_LENT(self->b, 0, LEN - 16);
	SENT(LEN);
	EXPECT_EQ(16, io_drain(self->b, LEN - 16));
}

static long send_descriptor(struct io_thread *t)
{
	struct scm_out out = {};
	struct iovec vec = { t->buf, t->len };
	struct msghdr msg = { .msg_iov = &vec, .msg_iovlen = 1 };
	int fd = 0;

	scm_add_fds(&out, &fd, 1);
	msg.msg_control = out.control.bytes;
	msg.msg_controllen = out.len;
	return sendmsg(t->fd, &msg, MSG_NOSIGNAL);
}

/* They come with what is in the ring, and a read ends there. */
TEST_F(loan, descriptors_go_before_it)
{
	ASSERT_OK(scm_pass_rights(self->b, 1));
	self->t = (struct io_thread){ .fd = self->a, .buf = self->mem, .len = LEN };
	io_start(&self->t, send_descriptor);
	ASSERT_TRUE(io_wait_blocked(&self->t));
	long n = read_at_once(self->b);

	ASSERT_LT(0, n);
	EXPECT_LE(n, self->limit);
	EXPECT_TRUE(io_is(sink, 0, n));
	EXPECT_LENT(self->b, n, LEN - n);
	SENT(LEN);
}

/* A process of a user with this limit, asleep in a send to @fd[0]; or -1. */
static pid_t user_sends(const int fd[2], const void *mem, rlim_t memlock)
{
	struct rlimit rlim = { memlock, memlock };
	pid_t pid = fork();

	if (!pid) {
		close(fd[1]);
		if (setrlimit(RLIMIT_MEMLOCK, &rlim))
			_exit(2);
		nym_act_as(NYM_NOBODY, 0);
		_exit(send(fd[0], mem, LEN, 0) != LEN);
	}
	return nym_wait_asleep(pid, SYS_sendto) ? pid : -1;
}

/* How much of that can be read at once. */
static long user_sent(const int fd[2], pid_t pid)
{
	long n = pid > 0 ? read_at_once(fd[1]) : -1;

	if (n > 0 && io_recv_all(fd[1], n, LEN - n, MEG, NULL) != LEN - n)
		n = -2;
	return nym_wait_child(pid) ? -3 : n;
}

/* What is read at once, if what is found is what the ring has; see TRIES. */
static long user_sent_unlent(FIXTURE_DATA(loan) * self, const int fd[2], rlim_t memlock)
{
	long n = 0;
	int i;

	for (i = 0; i < TRIES && n >= 0 && n != self->limit; i++)
		n = user_sent(fd, user_sends(fd, self->mem, memlock));
	return n;
}

TEST_F(loan, rlimit_memlock_bounds_a_users_loans)
{
	int fd[2] = { self->a, self->b }, other[2];
	pid_t first;

	ASSERT_OK(nym_pair(other));
	EXPECT_EQ(self->limit, user_sent_unlent(self, fd, 0));
	EXPECT_EQ(self->limit, user_sent_unlent(self, fd, 2 * LEN));
	/* Half of it, for all of the user's together; what is back does not count. */
	first = user_sends(fd, self->mem, 3 * MEG);
	EXPECT_EQ(self->limit, user_sent_unlent(self, other, 3 * MEG));
	EXPECT_EQ(LEN, user_sent(fd, first));
	EXPECT_EQ(LEN, user_sent(other, user_sends(other, self->mem, 3 * MEG)));
	close(other[0]);
	close(other[1]);
}

/* A sender of little gets its turn while another lends all the time. */
static long lend_for_ever(struct io_thread *t)
{
	long done = 0, n;

	while ((n = send(t->fd, t->buf, t->len, MSG_NOSIGNAL)) > 0)
		done += n;
	return done;
}

static long read_for_ever(struct io_thread *t)
{
	static __u8 buf[MEG];
	ssize_t n;

	while ((n = recv(t->fd, buf, sizeof(buf), 0)) > 0)
		__atomic_add_fetch(&t->pos, n, __ATOMIC_RELAXED);
	return 0;
}

TEST_F(loan, another_sender_has_its_turn)
{
	struct io_thread r = { .fd = self->b };
	int i;

	self->t = (struct io_thread){ .fd = self->a, .buf = self->mem, .len = LEN };
	io_start(&r, read_for_ever);
	io_start(&self->t, lend_for_ever);
	ASSERT_OK(io_set_timeout(self->a, SO_SNDTIMEO, IO_POLL_MS));
	while (__atomic_load_n(&r.pos, __ATOMIC_RELAXED) < (size_t)LEN)
		nym_nap();
	for (i = 0; i < 20; i++)
		ASSERT_RETURNS(10, send(self->a, io_at(0), 10, MSG_NOSIGNAL));
	shutdown(self->a, SHUT_WR);
	EXPECT_LT(0, io_join(&self->t));
	io_join(&r);
}

/* --- Memory --- */

TEST_F(loan, the_readers_pages_come_when_they_are_needed)
{
	__u8 *to = mmap(NULL, MEG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);

	ASSERT_NE(MAP_FAILED, to);
	START();
	EXPECT_EQ(LEN, recv(self->b, to, LEN, MSG_DONTWAIT));
	EXPECT_TRUE(io_is(to, 0, LEN));
	SENT(LEN);
	munmap(to, MEG);
}

TEST_F(loan, the_readers_memory_ends_in_the_middle)
{
	__u8 *to = mmap(NULL, MEG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);

	ASSERT_NE(MAP_FAILED, to);
	ASSERT_OK(mprotect(to + 10 * PAGE, PAGE, PROT_NONE));
	START();
	EXPECT_ERRNO(EFAULT, recv(self->b, to + 10 * PAGE, 100, 0));
	EXPECT_ERRNO(EFAULT, recv(self->b, to + 10 * PAGE, 100, MSG_PEEK));
	EXPECT_EQ(10 * PAGE - 1, recv(self->b, to + 1, LEN, MSG_PEEK));
	EXPECT_TRUE(io_is(to + 1, 0, 10 * PAGE - 1));
	EXPECT_EQ(10 * PAGE - 1, recv(self->b, to + 1, LEN, 0));
	EXPECT_TRUE(io_is(to + 1, 0, 10 * PAGE - 1));
	EXPECT_EQ(LEN - 10 * PAGE + 1,
		  io_recv_all(self->b, 10 * PAGE - 1, LEN - 10 * PAGE + 1, MEG, NULL));
	SENT(LEN);
	munmap(to, MEG);
}

TEST_F(loan, the_senders_memory_ends_in_the_middle)
{
	ASSERT_OK(mprotect(self->mem + 100 * PAGE, PAGE, PROT_NONE));
	START();
	EXPECT_LENT(self->b, 0, 100 * PAGE);
	SENT(100 * PAGE);
	EXPECT_EQ(0, io_inq(self->b));
}

TEST_F(loan, the_senders_memory_is_not_there)
{
	ASSERT_OK(mprotect(self->mem, PAGE, PROT_NONE));
	EXPECT_ERRNO(EFAULT, send(self->a, self->mem, LEN, 0));
	EXPECT_ERRNO(EFAULT, send(self->a, self->mem + 1, LEN, 0));
	EXPECT_ERRNO(EFAULT, send(self->a, self->mem + PAGE - 1, LEN, 0));
	ASSERT_OK(mprotect(self->mem, PAGE, PROT_READ));
	/* A page is not worth a loan. */
	ASSERT_OK(mprotect(self->mem + PAGE, PAGE, PROT_NONE));
	EXPECT_EQ(PAGE, send(self->a, self->mem, LEN, 0));
	EXPECT_EQ(PAGE, io_drain(self->b, 0));
}

TEST_F(loan, its_memory_is_unmapped)
{
	START();
	ASSERT_EQ(100, io_recv_all(self->b, 0, 100, 100, NULL));
	ASSERT_OK(munmap(self->mem, MEG));
	EXPECT_LENT(self->b, 100, LEN - 100);
	SENT(LEN);
}

/* As with any call: what others write meanwhile may be read, or not. */
TEST_F(loan, its_memory_is_written_and_forked_meanwhile)
{
	pid_t pid;

	START();
	pid = fork();
	if (!pid) {
		memset(self->mem, 0, MEG);
		_exit(0);
	}
	EXPECT_EQ(0, nym_wait_child(pid));
	memset(self->mem + LEN / 2, 0, MEG - LEN / 2);
	EXPECT_EQ(LEN, read_at_once(self->b));
	EXPECT_TRUE(io_is(sink, 0, LEN / 2));
	SENT(LEN);
}

/* Is there a reference on a page of this file, beside the file's own? */
static int seal(int fd)
{
	return fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) ? -errno : 0;
}

/* Nothing is held longer than the call. */
TEST_F(loan, its_pages_are_free_afterwards)
{
	int fd = memfd_create("lent", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	__u8 *mem;

	ASSERT_FD(fd);
	ASSERT_EQ(LEN, write(fd, self->mem, LEN));
	mem = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	START_SEND(&self->t, mem, LEN);
	ASSERT_OK(munmap(mem, LEN));
	EXPECT_EQ(-EBUSY, seal(fd));
	ASSERT_EQ(100000, io_recv_all(self->b, 0, 100000, 100000, NULL));
	pthread_kill(self->t.thread, SIGUSR1);
	SENT(100000 + self->limit);
	EXPECT_EQ(0, seal(fd));
	EXPECT_EQ(self->limit, io_drain(self->b, 100000));
	close(fd);
}

/* Nor while nobody reads, for long. */
TEST_F(loan, it_is_taken_back_when_nobody_reads)
{
	int fd = memfd_create("lent", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	long end = io_now_ms() + IO_POLL_MS;
	__u8 *mem;
	int ret;

	ASSERT_FD(fd);
	ASSERT_EQ(LEN, write(fd, self->mem, LEN));
	mem = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	START_SEND(&self->t, mem, LEN);
	EXPECT_EQ(-EBUSY, seal(fd));
	do {
		usleep(100000);
		ret = seal(fd);
	} while (ret == -EBUSY && io_now_ms() < end);
	EXPECT_EQ(0, ret);
	/* The sender sleeps on, and lends again when somebody reads. */
	EXPECT_TRUE(io_wait_blocked(&self->t));
	EXPECT_EQ(self->limit, io_inq(self->b));
	ASSERT_EQ(self->limit, io_recv_all(self->b, 0, self->limit, MEG, NULL));
	EXPECT_TRUE(io_wait_blocked(&self->t));
	EXPECT_LENT(self->b, self->limit, LEN - self->limit);
	SENT(LEN);
	munmap(mem, LEN);
	close(fd);
}

/* --- A page that takes its time --- */

/* The memory of which these are two pages holds back; the descriptor, or -1. */
static int hold_back(void *pages)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)pages, .len = 2 * PAGE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (uffd < 0)
		return -1;
	return madvise(pages, 2 * PAGE, MADV_DONTNEED) || ioctl(uffd, UFFDIO_API, &api) ||
	       ioctl(uffd, UFFDIO_REGISTER, &reg) ? nym_give_up(uffd) : uffd;
}

static bool somebody_stalls(int uffd)
{
	struct uffd_msg msg;

	return io_poll(uffd, POLLIN, IO_POLL_MS) == POLLIN &&
	       read(uffd, &msg, sizeof(msg)) == sizeof(msg);
}

static int let_go(int uffd, void *pages)
{
	struct uffdio_zeropage zero = {
		.range = { .start = (uintptr_t)pages, .len = 2 * PAGE },
	};

	return ioctl(uffd, UFFDIO_ZEROPAGE, &zero);
}

/* What comes after the end was never sent. */
TEST_F(loan, shutdown_while_its_pages_are_found)
{
	__u8 *pages = self->mem + 100 * PAGE;
	int uffd = hold_back(pages);

	if (uffd < 0)
		SKIP(return, "no userfaultfd: %s", strerrorname_np(errno));
	self->t = (struct io_thread){ .fd = self->a, .buf = self->mem, .len = LEN };
	io_start(&self->t, send_all);
	ASSERT_TRUE(somebody_stalls(uffd));
	EXPECT_ERRNO(EAGAIN, read_at_once(self->b));
	ASSERT_OK(shutdown(self->a, SHUT_WR));
	EXPECT_EQ(0, recv(self->b, sink, 1, 0));
	ASSERT_OK(let_go(uffd, pages));
	EXPECT_EQ(-1, io_join(&self->t));
	EXPECT_SAME_ERRNO(EPIPE, self->t.err);
	EXPECT_EQ(0, recv(self->b, sink, 1, 0));
	close(uffd);
}

TEST_F(loan, a_stalled_reader_does_not_keep_it)
{
	__u8 *to = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct io_thread r;
	int uffd;

	ASSERT_NE(MAP_FAILED, to);
	memset(to, 0, 2 * PAGE);
	uffd = hold_back(to + 2 * PAGE);
	if (uffd < 0)
		SKIP(return, "no userfaultfd: %s", strerrorname_np(errno));

	START();
	r = (struct io_thread){ .fd = self->b, .buf = to, .len = 4 * PAGE };
	io_start(&r, io_do_recv);
	ASSERT_TRUE(somebody_stalls(uffd));
	pthread_kill(self->t.thread, SIGUSR1);
	SENT(2 * PAGE + self->limit);
	EXPECT_FALSE(io_done(&r));
	ASSERT_OK(let_go(uffd, to + 2 * PAGE));
	/* It goes on in the ring. */
	EXPECT_EQ(4 * PAGE, io_join(&r));
	EXPECT_TRUE(io_is(to, 0, 4 * PAGE));
	EXPECT_EQ(self->limit - 2 * PAGE, io_drain(self->b, 4 * PAGE));
	munmap(to, 4 * PAGE);
	close(uffd);
}

/* --- All of it at random --- */

#define FLOW	(NYM_FLOW_MEG * MEG)
#define NYM_FLOW_MEG	nym_scaled(60)

struct flow {
	struct io_thread t;
	pthread_t interrupts;
	__u32 rnd;
	bool over;
};

/* Sends the pattern in sizes at random, as often as it takes. */
static long flow_send(struct io_thread *t)
{
	__u32 rnd = t->flags;
	size_t done = 0;

	while (done < t->len) {
		size_t len = io_rand(&rnd) % 4 ? io_rand_size(&rnd, MEG) :
						 io_rand_size(&rnd, 3000);
		ssize_t n;

		if (len > t->len - done)
			len = t->len - done;
		n = send(t->fd, io_at(done), len, MSG_NOSIGNAL);
		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0)
			done += n;
	}
	shutdown(t->fd, SHUT_WR);
	return done;
}

static void *flow_interrupt(void *arg)
{
	struct flow *f = arg;

	while (!__atomic_load_n(&f->over, __ATOMIC_ACQUIRE)) {
		pthread_kill(f->t.thread, SIGUSR1);
		usleep(io_rand_size(&f->rnd, 3000));
	}
	return NULL;
}

/* A look, which must not find more than is there to read then. */
static long flow_look(int fd, __u32 *rnd, size_t pos)
{
	long told = io_rand(rnd) % 2 ? io_inq(fd) :
		    recv(fd, sink, io_rand_size(rnd, MEG), MSG_PEEK | MSG_DONTWAIT);

	if (told <= 0)
		return 0;
	return io_recv_all(fd, pos, told, told, NULL) == told ? told : -1;
}

TEST_F(loan, a_stream_of_them_with_signals)
{
	struct flow f = { .rnd = io_seed() };
	__u32 rnd = f.rnd;
	long done = 0;
	ssize_t n;

	TH_LOG("seed %u", rnd);
	f.t = (struct io_thread){ .fd = self->a, .len = FLOW, .flags = io_rand(&rnd) | 1 };
	io_start(&f.t, flow_send);
	pthread_create(&f.interrupts, NULL, flow_interrupt, &f);
	for (;;) {
		if (!(io_rand(&rnd) % 8)) {
			n = flow_look(self->b, &rnd, done);
			ASSERT_LE(0, n) TH_LOG("what was told at %ld was not there", done);
			done += n;
		}
		n = recv(self->b, sink, io_rand_size(&rnd, MEG), 0);
		if (n <= 0)
			break;
		ASSERT_TRUE(io_is(sink, done, n)) TH_LOG("at %ld of %zd", done, n);
		done += n;
	}
	EXPECT_EQ(0, n);
	EXPECT_EQ(FLOW, done);
	EXPECT_EQ(FLOW, io_join(&f.t));
	__atomic_store_n(&f.over, true, __ATOMIC_RELEASE);
	pthread_join(f.interrupts, NULL);
}

NYM_TEST_MAIN
