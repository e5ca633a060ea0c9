// SPDX-License-Identifier: GPL-2.0
/*
 * Sleeping and waking on the data path of a connection, and poll. What every
 * message passes is in wait.h.
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
 * So a receiver that finds nothing asks whether it is over and then looks for
 * bytes once more (nym_recv_look()), and poll() asks for the error after all
 * else. A sender that does not see the end in time publishes after it: whether
 * that is read is settled by nym_ring_tell_end() and nym_ring_in_time(), as the
 * reader's word that it is about to be told the end:
 *
 *	sender				receiver
 *	store_release(tail, 1)		end = ASKED
 *	smp_mb()			smp_mb()
 *	r0 = end			r1 = load_acquire(tail)
 *
 *	never (r0 == OPEN && r1 == 0)
 */
#include <linux/sched/signal.h>

#include "wait.h"

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

static void nym_wait_loan(struct sock *sk, struct nym_ring *out,
			  const struct nym_loan *loan, long *timeo)
{
	long left = min_t(long, *timeo, NYM_LOAN_PATIENCE), rest = left;
	DEFINE_WAIT(wait);

	prepare_to_wait(sk_sleep(sk), &wait, TASK_INTERRUPTIBLE);
	if (!nym_send_is_shut(sk, out) && !READ_ONCE(sk->sk_err) &&
	    nym_loan_waits(loan, out))
		rest = schedule_timeout(left);
	finish_wait(sk_sleep(sk), &wait);
	if (*timeo != MAX_SCHEDULE_TIMEOUT)
		*timeo -= left - rest;
}

/* Has anything been read since *done, or need not yet, as of *since? */
static bool nym_loan_moves(const struct nym_loan *loan, size_t *done, unsigned long *since)
{
	size_t now = READ_ONCE(loan->done);

	if (now != *done) {
		*done = now;
		*since = jiffies;
	}
	return time_before(jiffies, *since + NYM_LOAN_PATIENCE);
}

/**
 * nym_await_loan() - wait until a loan is to be ended
 * @sk: the sending socket
 * @out: the ring it sends to
 * @loan: what it has lent
 * @timeo: how long to wait; is set to what is left of it
 *
 * Context: @out->wlock held, also when it returns; sleeps, without it
 * Return: 0, also if nobody reads; -EAGAIN, -EINTR, -ERESTARTSYS or the socket's
 * error
 */
int nym_await_loan(struct sock *sk, struct nym_ring *out, const struct nym_loan *loan,
		   long *timeo)
{
	unsigned long since = jiffies;
	size_t done = 0;
	int err = 0;

	mutex_unlock(&out->wlock);
	while (!err && nym_loan_waits(loan, out) && !nym_send_is_shut(sk, out) &&
	       nym_loan_moves(loan, &done, &since)) {
		if (!*timeo) {
			err = -EAGAIN;
		} else if (signal_pending(current)) {
			err = sock_intr_errno(*timeo);
		} else {
			nym_wait_loan(sk, out, loan, timeo);
			err = sock_error(sk);
		}
	}
	/* Who closes leaves the error before it shuts the ring. */
	if (!err && nym_loan_waits(loan, out))
		err = sock_error(sk);
	/* Nobody can copy, and so keep it for long, before the loan is ended. */
	mutex_lock(&out->wlock);
	return err;
}

static long nym_wait_bytes(struct sock *sk, struct nym_ring *in, long timeo,
			   unsigned int sleep)
{
	DEFINE_WAIT(wait);

	prepare_to_wait(sk_sleep(sk), &wait, sleep);
	if (nym_ring_is_empty(in) && !nym_recv_is_shut(sk, in) &&
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
	/* A loan may be about to end, with all read that was kept of it. */
	if (nym_ring_used(in) || nym_ring_unread(in))
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
