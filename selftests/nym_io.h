/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Bytes for the tests: a pattern that shows every lost, repeated or moved
 * byte, whole transfers, and calls that block in a thread of their own.
 */
#ifndef NYM_IO_H
#define NYM_IO_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <linux/sockios.h>
#include <linux/types.h>

#define IO_POLL_MS	20000	/* far beyond any honest wait, under TCG too */

/*
 * The pattern: byte n of a stream is io_table[n % IO_PERIOD]. The period is a
 * prime, so a stream that lost or repeated a page does not fit any more.
 */
#define IO_PERIOD	65521
#define IO_TABLE	(IO_PERIOD + (1 << 20))

static __u8 io_table[IO_TABLE];

static __attribute__((constructor)) void io_table_init(void)
{
	__u32 x = 0x9e3779b9;
	size_t i;

	for (i = 0; i < IO_PERIOD; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		io_table[i] = x >> 11;
	}
	for (; i < IO_TABLE; i++)
		io_table[i] = io_table[i - IO_PERIOD];
}

/* The pattern from stream position @pos on; good for 1 MiB. */
static inline const __u8 *io_at(size_t pos)
{
	return io_table + pos % IO_PERIOD;
}

static inline bool io_is(const void *buf, size_t pos, size_t len)
{
	return !memcmp(buf, io_at(pos), len);
}

/* A small random generator, so that a printed seed repeats a run. */
static inline __u32 io_rand(__u32 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* 1 to @max. */
static inline size_t io_rand_size(__u32 *state, size_t max)
{
	return io_rand(state) % max + 1;
}

static inline __u32 io_seed(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (ts.tv_nsec ^ ts.tv_sec ^ getpid()) | 1;
}

static inline long io_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Sends the pattern from @pos on, blocking; gives how much went through. */
static inline long io_send_all(int fd, size_t pos, size_t len)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		size_t want = len - done;

		if (want > 1 << 20)
			want = 1 << 20;
		n = send(fd, io_at(pos + done), want, MSG_NOSIGNAL);
		if (n <= 0)
			break;
		done += n;
	}
	return done;
}

/*
 * Receives @len bytes of the pattern from @pos on in pieces of at most @piece
 * (random when @rnd is given). Gives how many were right before an error, the
 * end, or a wrong byte.
 */
static inline long io_recv_all(int fd, size_t pos, size_t len, size_t piece,
			       __u32 *rnd)
{
	__u8 *buf = malloc(piece);
	size_t done = 0;
	ssize_t n;

	while (buf && done < len) {
		size_t want = rnd ? io_rand_size(rnd, piece) : piece;

		if (want > len - done)
			want = len - done;
		n = recv(fd, buf, want, 0);
		if (n <= 0 || !io_is(buf, pos + done, n))
			break;
		done += n;
	}
	free(buf);
	return done;
}

/* Fills a socket without blocking in pieces of @piece; gives the bytes taken. */
static inline long io_fill(int fd, size_t pos, size_t piece)
{
	size_t done = 0;
	ssize_t n;

	while ((n = send(fd, io_at(pos + done), piece,
			 MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
		done += n;
	return n < 0 && errno == EAGAIN ? done : 0;
}

/* Everything that can be read now, checked; gives the bytes. */
static inline long io_drain(int fd, size_t pos)
{
	static __u8 buf[16384];
	size_t done = 0;
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
		if (!io_is(buf, pos + done, n))
			return 0;
		done += n;
	}
	return done;
}

static inline int io_inq(int fd)
{
	int n = -1;

	return ioctl(fd, FIONREAD, &n) ? -errno : n;
}

static inline int io_outq(int fd)
{
	int n = -1;

	return ioctl(fd, SIOCOUTQ, &n) ? -errno : n;
}

static inline int io_intopt(int fd, int opt)
{
	socklen_t len = sizeof(int);
	int val = -1;

	return getsockopt(fd, SOL_SOCKET, opt, &val, &len) ? -errno : val;
}

static inline int io_sndbuf(int fd)
{
	return io_intopt(fd, SO_SNDBUF);
}

static inline int io_so_error(int fd)
{
	return io_intopt(fd, SO_ERROR);
}

static inline int io_set_int(int fd, int opt, int val)
{
	return setsockopt(fd, SOL_SOCKET, opt, &val, sizeof(val));
}

static inline int io_set_timeout(int fd, int opt, int ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	return setsockopt(fd, SOL_SOCKET, opt, &tv, sizeof(tv));
}

/* The mask now, or -errno. Asks for everything that a socket can report. */
#define IO_ALL_EVENTS	(POLLIN | POLLPRI | POLLOUT | POLLRDNORM | POLLRDBAND | \
			 POLLWRNORM | POLLWRBAND | 0x2000 /* POLLRDHUP */)

static inline int io_poll(int fd, int events, int ms)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, ms) < 0 ? -errno : p.revents;
}

/*
 * Waits for an event; 0, too, for what it finds when its time is over: nobody
 * woke it for that.
 */
static inline int io_poll_wait(int fd, int events)
{
	long end = io_now_ms() + IO_POLL_MS;
	int revents = io_poll(fd, events, IO_POLL_MS);

	return io_now_ms() < end ? revents : 0;
}

static inline int io_mask(int fd)
{
	return io_poll(fd, IO_ALL_EVENTS, 0);
}

/*
 * A call that may block, in a thread. A thread must not use ASSERT (it would
 * jump to another stack), so it leaves result and errno for the test to judge.
 */
struct io_thread {
	long (*fn)(struct io_thread *t);
	int fd;
	void *buf;
	size_t len;
	size_t pos;
	int flags;
	void *arg;

	long ret;
	int err;
	pid_t tid;
	bool done;
	pthread_t thread;
};

static void *io_thread_main(void *arg)
{
	struct io_thread *t = arg;

	__atomic_store_n(&t->tid, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
	errno = 0;
	t->ret = t->fn(t);
	t->err = t->ret < 0 ? errno : 0;
	__atomic_store_n(&t->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static inline void io_start(struct io_thread *t, long (*fn)(struct io_thread *t))
{
	t->fn = fn;
	t->tid = 0;
	t->done = false;
	if (pthread_create(&t->thread, NULL, io_thread_main, t))
		abort();
}

static inline bool io_done(struct io_thread *t)
{
	return __atomic_load_n(&t->done, __ATOMIC_ACQUIRE);
}

/* Is this thread of ours asleep in a system call? */
static inline bool io_asleep(pid_t tid)
{
	char path[64], buf[128];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	return n > 0 && buf[0] >= '0' && buf[0] <= '9';
}

/*
 * Waits until the thread sleeps in its call. Two looks 1 ms apart at least, so
 * that a short wait on a lock is not taken for the real one. False if the call
 * returned instead.
 */
static inline bool io_wait_blocked(struct io_thread *t)
{
	long end = io_now_ms() + IO_POLL_MS;
	int seen = 0;

	while (seen < 3 && io_now_ms() < end && !io_done(t)) {
		pid_t tid = __atomic_load_n(&t->tid, __ATOMIC_ACQUIRE);

		seen = tid && io_asleep(tid) ? seen + 1 : 0;
		usleep(1000);
	}
	return seen >= 3 && !io_done(t);
}

static inline long io_join(struct io_thread *t)
{
	pthread_join(t->thread, NULL);
	return t->ret;
}

static inline long io_do_recv(struct io_thread *t)
{
	return recv(t->fd, t->buf, t->len, t->flags);
}

static inline long io_do_send(struct io_thread *t)
{
	return send(t->fd, io_at(t->pos), t->len, t->flags | MSG_NOSIGNAL);
}

static inline long io_do_send_all(struct io_thread *t)
{
	return io_send_all(t->fd, t->pos, t->len);
}

static inline long io_do_poll(struct io_thread *t)
{
	return io_poll_wait(t->fd, t->flags);
}

static inline long io_do_accept(struct io_thread *t)
{
	return accept4(t->fd, NULL, NULL, SOCK_CLOEXEC);
}

/* Waits for so many children of ours: did each end with exit status 0? */
static inline bool io_children_ended_well(int children)
{
	int status, bad = 0;

	while (children--)
		if (wait(&status) < 0 || status)
			bad++;
	return !bad;
}

#endif /* NYM_IO_H */
