// SPDX-License-Identifier: GPL-2.0
/*
 * Sleeping and waking on the data path of a connection, and poll.
 *
 * The data path takes one lock, the ring's own. How the two sides meet, written
 * as in ring.c: nym_published() against nym_wait_bytes() and nym_poll(). A
 * sleeper's barrier is in prepare_to_wait() and sock_poll_wait().
 *
 *	sender				receiver
 *	store_release(tail, 1)		queued = 1
 *	smp_mb()			smp_mb()
 *	r0 = queued			r1 = load_acquire(tail)
 *
 *	never (r0 == 0 && r1 == 0)
 *
 * With @shut or sk_err for the tail, and the barrier of nym_conn_wake_all(), it
 * is the same; and the other way round for room, with ring->wake_at telling the
 * receiver that somebody waits (nym_ring_stall(), nym_ring_unstall()). Only
 * who can go on is woken: a reader when there are bytes, a writer when half of
 * the ring is free, so that it is not woken for every byte that is read, or
 * when its record fits.
 *
 * The end comes after the bytes. Each column is in the order of the code: the
 * sender's nym_published() and then nym_conn_close(), the receiver's
 * nym_recv_over() and then nym_ring_used().
 *
 *	sender				receiver
 *	store_release(tail, 1)		r0 = load_acquire(shut)
 *	dead = 1			r1 = load_acquire(sk_err)
 *	smp_mb()			r2 = load_acquire(tail)
 *	sk_err = ECONNRESET		r3 = dead
 *	store_release(shut, 1)
 *
 *	never (r0 == 1 && r1 == 0), if nobody else has taken the error,
 *	never (r0 == 1 && r2 == 0),
 *	never (r1 != 0 && (r2 == 0 || r3 == 0))
 *
 * So a receiver asks whether it is over before it looks for bytes, and poll()
 * for the error after all else. A sender that does not see the end in time
 * publishes after it: whether that is read is settled by nym_ring_tell_end() and
 * nym_ring_in_time(), as the reader's word that it is about to be told the end:
 *
 *	sender				receiver
 *	store_release(tail, 1)		end = ASKED
 *	smp_mb()			smp_mb()
 *	r0 = end			r1 = load_acquire(tail)
 *
 *	never (r0 == OPEN && r1 == 0)
 */
#include <linux/sched/signal.h>

#include "af_nym.h"

/**
 * nym_sock_limit() - how many bytes a socket may have under way
 * @sk: the sending socket
 *
 * Context: any
 * Return: its SO_SNDBUF
 */
u32 nym_sock_limit(const struct sock *sk)
{
	return clamp_t(int, READ_ONCE(sk->sk_sndbuf), 1, NYM_RING_LIMIT_MAX);
}

/**
 * nym_low_water() - up to which level is a socket writable?
 * @sk: the sending socket
 * @out: the ring it sends to
 *
 * Context: any
 * Return: a number of bytes in use: half of the limit, or less after a record
 * that did not fit
 */
u32 nym_low_water(const struct sock *sk, const struct nym_ring *out)
{
	u32 low = READ_ONCE(out->low);
	u32 half = nym_sock_limit(sk) / 2;

	return low ? min(low - 1, half) : half;
}

/**
 * nym_send_is_over() - has either side shut this direction?
 * @sk: the socket
 * @out: the ring it sends to
 *
 * Context: any
 * Return: true if so, and it has been told
 */
bool nym_send_is_over(const struct sock *sk, const struct nym_ring *out)
{
	/* Pairs with the release in nym_ring_shut(). */
	return smp_load_acquire(&out->shut) ||
	       READ_ONCE(sk->sk_shutdown) & SEND_SHUTDOWN;
}

/**
 * nym_send_is_shut() - will nobody read what this socket sends?
 * @sk: the socket
 * @out: the ring it sends to
 *
 * Context: any
 * Return: true if either side has shut this direction, also before it connected
 */
bool nym_send_is_shut(const struct sock *sk, const struct nym_ring *out)
{
	return nym_send_is_over(sk, out) || READ_ONCE(out->deaf);
}

/* Has either side shut this direction? */
static bool nym_recv_is_shut(const struct sock *sk, const struct nym_ring *in)
{
	/* Pairs with the release in nym_ring_shut(). */
	return smp_load_acquire(&in->shut) ||
	       READ_ONCE(sk->sk_shutdown) & RCV_SHUTDOWN;
}

/**
 * nym_recv_over() - is what is in the ring all there is to read?
 * @sk: the socket
 * @in: the ring it reads from
 *
 * To be asked before looking for bytes: those sent before the end or before an
 * error are seen after it. A sender that did not see the end in time may still
 * publish some: nym_ring_tell_end() settles whether they are read.
 *
 * Context: any
 * Return: NYM_OVER_SHUT at the end of the stream, NYM_OVER_ERROR if the socket
 * has an error, both or 0
 */
unsigned int nym_recv_over(const struct sock *sk, const struct nym_ring *in)
{
	unsigned int over = nym_recv_is_shut(sk, in) ? NYM_OVER_SHUT : 0;

	/*
	 * Pairs with the barrier in nym_conn_close(), before the error, and
	 * with the release of nym_call_set() if its call was refused.
	 */
	if (smp_load_acquire(&sk->sk_err))
		over |= NYM_OVER_ERROR;
	return over;
}

/**
 * nym_recv_queued() - is there something to read?
 * @in: the ring
 *
 * Context: @in->rlock held, or nobody else reads any more
 * Return: true if there is, and the reader has not been told the end
 */
bool nym_recv_queued(const struct nym_ring *in)
{
	return nym_ring_used(in) && READ_ONCE(in->end) != NYM_END_TOLD;
}

/**
 * nym_published() - tell the reader, after bytes have been committed
 * @sk: the sending socket
 * @conn: its connection
 * @side: its side
 *
 * Context: the ring's wlock held
 * Return: 0; -EPIPE if the reader had been told the end before
 */
int nym_published(struct sock *sk, struct nym_conn *conn, int side)
{
	/*
	 * Pairs with the barriers of a sleeping reader (see nym_conn_wake()),
	 * and with those in nym_conn_close() and nym_ring_tell_end().
	 */
	smp_mb();
	if (unlikely(READ_ONCE(conn->ring[side].end)) &&
	    !nym_ring_in_time(&conn->ring[side]))
		return -EPIPE;
	if (unlikely(READ_ONCE(conn->ring[side].dead)) &&
	    nym_ring_is_lost(&conn->ring[side]))
		WRITE_ONCE(sk->sk_err, ECONNRESET);
	nym_conn_wake(conn, !side, EPOLLIN | EPOLLRDNORM | EPOLLRDBAND,
		      SOCK_WAKE_WAITD, POLL_IN);
	return 0;
}

/**
 * nym_consumed() - tell the writer, after bytes have been consumed
 * @conn: the connection
 * @side: the reading side
 *
 * Context: any
 */
void nym_consumed(struct nym_conn *conn, int side)
{
	if (!nym_ring_unstall(&conn->ring[!side]))
		return;
	/*
	 * Who stalls from here on will look at the ring again. Pairs with the
	 * barrier of a writer that enters its wait queue before it stalls.
	 */
	smp_mb();
	nym_conn_wake(conn, !side, EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND,
		      SOCK_WAKE_SPACE, POLL_OUT);
}

/* Asks for a wake-up when there is room. False: there is room already. */
static bool nym_stall(struct sock *sk, struct nym_ring *out, u32 level)
{
	sk_set_bit(SOCKWQ_ASYNC_NOSPACE, sk);
	return nym_ring_stall(out, level);
}

static long nym_wait_room(struct sock *sk, struct nym_ring *out, u32 level,
			  long timeo)
{
	DEFINE_WAIT(wait);

	prepare_to_wait(sk_sleep(sk), &wait, TASK_INTERRUPTIBLE);
	if (!nym_send_is_shut(sk, out) && !READ_ONCE(sk->sk_err) &&
	    nym_stall(sk, out, level))
		timeo = schedule_timeout(timeo);
	finish_wait(sk_sleep(sk), &wait);
	return timeo;
}

/**
 * nym_await_room() - wait until a writer can go on
 * @sk: the sending socket
 * @out: the ring it sends to
 * @level: how many bytes may be in use for it to go on
 * @timeo: how long to wait; is set to what is left of it
 *
 * Context: @out->wlock held; sleeps, without it
 * Return: 0, with the lock held, when it is worth looking again; otherwise,
 * without the lock, -EAGAIN, -EINTR, -ERESTARTSYS or the socket's error
 */
int nym_await_room(struct sock *sk, struct nym_ring *out, u32 level, long *timeo)
{
	int err;

	if (!*timeo) {
		/* Have a poller woken; and look again, for it may be late. */
		if (!nym_stall(sk, out, level))
			return 0;
		mutex_unlock(&out->wlock);
		return -EAGAIN;
	}
	mutex_unlock(&out->wlock);
	if (signal_pending(current))
		return sock_intr_errno(*timeo);
	*timeo = nym_wait_room(sk, out, level, *timeo);
	err = sock_error(sk);
	if (!err && mutex_lock_interruptible(&out->wlock))
		err = sock_intr_errno(*timeo);
	return err;
}

static long nym_wait_bytes(struct sock *sk, struct nym_ring *in, long timeo,
			   unsigned int sleep)
{
	DEFINE_WAIT(wait);

	prepare_to_wait(sk_sleep(sk), &wait, sleep);
	if (!nym_ring_used(in) && !nym_recv_is_shut(sk, in) &&
	    !READ_ONCE(sk->sk_err)) {
		sk_set_bit(SOCKWQ_ASYNC_WAITDATA, sk);
		timeo = schedule_timeout(timeo);
		sk_clear_bit(SOCKWQ_ASYNC_WAITDATA, sk);
	}
	finish_wait(sk_sleep(sk), &wait);
	return timeo;
}

/**
 * nym_await_bytes() - wait until there is something to read
 * @sk: the receiving socket
 * @in: the ring it reads from, found empty
 * @over: nym_recv_over() from before it was found empty
 * @timeo: how long to wait; is set to what is left of it
 * @sleep: the task state to sleep in
 *
 * Context: @in->rlock held; sleeps, without it
 * Return: 0, with the lock held, when it is worth looking again; otherwise,
 * without the lock, 1 at the end of the stream, -EAGAIN, -EINTR, -ERESTARTSYS
 * or the socket's error
 */
int nym_await_bytes(struct sock *sk, struct nym_ring *in, unsigned int over,
		    long *timeo, unsigned int sleep)
{
	int err = over & NYM_OVER_ERROR ? sock_error(sk) : 0;

	if (!err && over & NYM_OVER_SHUT && !nym_ring_tell_end(in))
		return 0;
	mutex_unlock(&in->rlock);
	if (err)
		return err;
	if (over & NYM_OVER_SHUT)
		return 1;
	if (!*timeo)
		return -EAGAIN;
	if (signal_pending(current))
		return sock_intr_errno(*timeo);
	*timeo = nym_wait_bytes(sk, in, *timeo, sleep);
	if (mutex_lock_interruptible(&in->rlock))
		return sock_intr_errno(*timeo);
	return 0;
}

static __poll_t nym_poll_conn(struct sock *sk, struct nym_conn *conn, int side)
{
	struct nym_ring *in = &conn->ring[!side], *out = &conn->ring[side];
	bool rshut = nym_recv_is_shut(sk, in), wshut = nym_send_is_over(sk, out);
	u32 low = nym_low_water(sk, out);
	__poll_t mask = 0;

	if (rshut)
		mask |= EPOLLRDHUP | EPOLLIN | EPOLLRDNORM;
	if (rshut && wshut)
		mask |= EPOLLHUP;
	if (nym_ring_used(in))
		mask |= EPOLLIN | EPOLLRDNORM;
	/* Shut or not, as with AF_UNIX. */
	if (nym_ring_filled(out) > low)
		nym_stall(sk, out, low);
	if (nym_ring_filled(out) <= low)
		mask |= EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND;
	return mask;
}

/*
 * Looked at last: a peer that closes leaves the error before it shuts the rings.
 * That it has let go is seen with the error, so the end is told with it.
 */
static __poll_t nym_poll_error(const struct sock *sk, const struct nym_conn *conn)
{
	/* Pairs with the barrier in nym_conn_close(). */
	if (!smp_load_acquire(&sk->sk_err))
		return 0;
	if (conn && READ_ONCE(conn->ring[nym_sk(sk)->side].dead))
		return EPOLLERR | EPOLLHUP | EPOLLRDHUP | EPOLLIN | EPOLLRDNORM;
	return EPOLLERR;
}

/* Not connected. */
static __poll_t nym_poll_idle(struct sock *sk, bool parked)
{
	int shutdown = READ_ONCE(sk->sk_shutdown);
	__poll_t mask = 0;

	if (shutdown & RCV_SHUTDOWN)
		mask |= EPOLLRDHUP | EPOLLIN | EPOLLRDNORM;
	if (shutdown == SHUTDOWN_MASK)
		mask |= EPOLLHUP;
	if (nym_sock_listens(sk)) {
		bool found = READ_ONCE(nym_sk(sk)->member->npending);

		/* Whoever is told that there is nothing is about to wait. */
		nym_member_looks(sk, found);
		if (found)
			mask |= EPOLLIN | EPOLLRDNORM;
	} else if (!parked) {
		mask |= EPOLLHUP | EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND;
	}
	return mask;
}

/**
 * nym_poll() - proto_ops.poll of connection-oriented sockets
 * @file: the socket's file
 * @sock: the socket
 * @wait: where to wait
 *
 * Context: takes no lock
 * Return: the mask that AF_UNIX gives in the same state; for a parked call,
 * which AF_UNIX does not have, nothing until it has moved
 */
__poll_t nym_poll(struct file *file, struct socket *sock, poll_table *wait)
{
	struct sock *sk = sock->sk;
	struct nym_conn *conn;
	__poll_t mask;
	bool parked;

	sock_poll_wait(file, sock, wait);

	/* A conn that a settled call leaves behind lives as long as this. */
	rcu_read_lock();
	conn = nym_call_peek(sk, &parked);
	if (conn && !parked)
		mask = nym_poll_conn(sk, conn, nym_sk(sk)->side);
	else
		mask = nym_poll_idle(sk, parked);
	mask |= nym_poll_error(sk, parked ? NULL : conn);
	rcu_read_unlock();
	return mask;
}
