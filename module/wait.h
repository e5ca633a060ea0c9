/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What messages on a connection pass: is it shut, does somebody want to know who
 * sends, is there something to read, who is to be woken. It is here to be
 * inlined. wait.c says how the two sides meet.
 */
#ifndef _NYM_WAIT_H
#define _NYM_WAIT_H

#include <linux/poll.h>
#include <net/sock.h>

#include "af_nym.h"
#include "loan.h"

/* What nym_recv_over() says. */
#define NYM_OVER_SHUT	BIT(0)
#define NYM_OVER_ERROR	BIT(1)

/**
 * nym_low_water() - up to which level is a socket writable?
 * @sk: the sending socket
 * @out: the ring it sends to
 *
 * Context: any
 * Return: a number of bytes in use: half of the limit, or less after a record
 * that did not fit
 */
static inline u32 nym_low_water(const struct sock *sk, const struct nym_ring *out)
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
static inline bool nym_send_is_over(const struct sock *sk, const struct nym_ring *out)
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
static inline bool nym_send_is_shut(const struct sock *sk, const struct nym_ring *out)
{
	return nym_send_is_over(sk, out) || READ_ONCE(out->deaf);
}

/**
 * nym_recv_is_shut() - has either side shut this direction?
 * @sk: the socket
 * @in: the ring it reads from
 *
 * Context: any
 * Return: true if so
 */
static inline bool nym_recv_is_shut(const struct sock *sk, const struct nym_ring *in)
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
static inline unsigned int nym_recv_over(const struct sock *sk, const struct nym_ring *in)
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
static inline bool nym_recv_queued(const struct nym_ring *in)
{
	return !nym_ring_is_empty(in) && READ_ONCE(in->end) != NYM_END_TOLD;
}

/**
 * nym_recv_look() - is there something to read, and if not, is it over?
 * @sk: the socket
 * @in: the ring it reads from
 * @over: is set to nym_recv_over() from before the last look; to 0 if one was enough
 *
 * Context: @in->rlock held
 * Return: true if there is something
 */
static inline bool nym_recv_look(const struct sock *sk, const struct nym_ring *in,
				 unsigned int *over)
{
	*over = 0;
	if (likely(nym_recv_queued(in)))
		return true;
	*over = nym_recv_over(sk, in);
	return nym_recv_queued(in);
}

/**
 * nym_conn_sign() - say who sends, if that may be asked
 * @sk: the sender
 * @to: the end of the connection it sends to
 * @control: what it sends
 *
 * Who will accept the connection is not known before, so all that is sent until
 * then is signed.
 *
 * Context: any but interrupts
 */
static inline void nym_conn_sign(struct sock *sk, const struct nym_end *to,
				 struct nym_control *control)
{
	struct sock *peer;
	bool wanted;

	/* It stays with the conn; what its flags may be in, for a grace period. */
	rcu_read_lock();
	peer = rcu_dereference(to->sk);
	wanted = nym_passcred(sk) || !peer || nym_passcred(peer);
	rcu_read_unlock();
	if (unlikely(wanted))
		nym_control_sign(control);
}

static inline void nym_sock_wake(struct sock *sk, __poll_t mask)
{
	struct socket_wq *wq = rcu_dereference(sk->sk_wq);

	/* The barrier it needs is the caller's, see nym_conn_wake(). */
	if (wq && waitqueue_active(&wq->wait))
		wake_up_interruptible_sync_poll(&wq->wait, mask);
}

/**
 * nym_conn_wake() - wake the socket at one end of a connection
 * @end: the end to wake
 * @mask: poll events that have come true
 * @how: SOCK_WAKE_*, for SIGIO
 * @band: POLL_*, for SIGIO
 *
 * The caller has a full barrier between what it published and this call; it
 * pairs with the one that a sleeper has between entering its wait queue and
 * looking, and with the one after accept() has set the called side's socket.
 *
 * Context: any
 */
static inline void nym_conn_wake(const struct nym_end *end, __poll_t mask, int how,
				 int band)
{
	struct sock *sk;

	rcu_read_lock();
	sk = rcu_dereference(end->sk);
	if (sk) {
		nym_sock_wake(sk, mask);
		sk_wake_async(sk, how, band);
	}
	rcu_read_unlock();
}

/**
 * nym_published() - tell the reader, after bytes have been committed
 * @sk: the sending socket
 * @out: the ring they are in
 * @to: the end of the connection that reads them
 *
 * Context: @out->wlock held
 * Return: 0; -EPIPE if the reader had been told the end before
 */
static inline int nym_published(struct sock *sk, struct nym_ring *out,
				const struct nym_end *to)
{
	/*
	 * Pairs with the barriers of a sleeping reader (see nym_conn_wake()),
	 * and with those in nym_conn_close() and nym_ring_tell_end().
	 */
	smp_mb();
	if (unlikely(READ_ONCE(out->end)) && !nym_ring_in_time(out))
		return -EPIPE;
	if (unlikely(READ_ONCE(out->dead)) && nym_ring_is_lost(out))
		WRITE_ONCE(sk->sk_err, ECONNRESET);
	nym_conn_wake(to, EPOLLIN | EPOLLRDNORM | EPOLLRDBAND, SOCK_WAKE_WAITD, POLL_IN);
	return 0;
}

/**
 * nym_consumed() - tell the writers, after bytes have been consumed, or a loan ended
 * @in: the ring they were in
 * @from: the end of the connection that writes there
 *
 * Context: any
 */
static inline void nym_consumed(struct nym_ring *in, const struct nym_end *from)
{
	if (likely(!nym_ring_unstall(in)))
		return;
	/*
	 * Who stalls from here on will look at the ring again. Pairs with the
	 * barrier of a writer that enters its wait queue before it stalls.
	 */
	smp_mb();
	nym_conn_wake(from, EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND, SOCK_WAKE_SPACE,
		      POLL_OUT);
}

/**
 * nym_loan_return() - tell the writer that it may end its loan
 * @from: the end of the connection that writes
 *
 * There is room for others when it has.
 *
 * Context: any; nym_loan_is_due() has said so
 */
static inline void nym_loan_return(const struct nym_end *from)
{
	struct sock *sk;

	/* Pairs with the writer's, between entering its wait queue and looking. */
	smp_mb();
	rcu_read_lock();
	sk = rcu_dereference(from->sk);
	if (sk)
		nym_sock_wake(sk, EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND);
	rcu_read_unlock();
}

int nym_await_loan(struct sock *sk, struct nym_ring *out, const struct nym_loan *loan,
		   long *timeo);
int nym_await_room(struct sock *sk, struct nym_ring *out, u32 level, long *timeo);
int nym_await_bytes(struct sock *sk, struct nym_ring *in, unsigned int over,
		    long *timeo, unsigned int sleep);

#endif /* _NYM_WAIT_H */
