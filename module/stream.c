// SPDX-License-Identifier: GPL-2.0
/*
 * Streams: send, receive and poll on a connection.
 *
 * The data path takes one lock, the ring's own. How the two sides meet:
 *
 *	sender                          receiver
 *	publish bytes                   enter wait queue
 *	smp_mb()                        smp_mb()
 *	wake whom you see waiting       sleep unless there are bytes
 *
 * and the same the other way round for room, with ring->wake_at telling the
 * receiver that somebody waits (nym_ring_stall(), nym_ring_unstall()). Only
 * who can go on is woken: a reader when there are bytes, a writer when half of
 * the ring is free, so that it is not woken for every byte that is read.
 */
#include <linux/sched/signal.h>
#include <net/scm.h>

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

/* Is this direction over: shut by this socket alone, or by either side? */
static bool nym_send_is_shut(const struct sock *sk, const struct nym_ring *out)
{
	/* Pairs with the release in nym_ring_shut(). */
	return smp_load_acquire(&out->shut) ||
	       READ_ONCE(sk->sk_shutdown) & SEND_SHUTDOWN;
}

static bool nym_recv_is_shut(const struct sock *sk, const struct nym_ring *in)
{
	/* Pairs with the release in nym_ring_shut(). */
	return smp_load_acquire(&in->shut) ||
	       READ_ONCE(sk->sk_shutdown) & RCV_SHUTDOWN;
}

/* No control message is delivered yet, but the bad ones are found. */
static int nym_check_control(struct socket *sock, struct msghdr *msg)
{
	struct scm_cookie scm = {};
	int err;

	if (likely(!msg->msg_controllen))
		return 0;
	err = __scm_send(sock, msg, &scm);
	scm_destroy(&scm);
	return err;
}

/* Tells the reader, after bytes have been committed. */
static void nym_stream_publish(struct sock *sk, struct nym_conn *conn, int side)
{
	/*
	 * Pairs with the barriers of a sleeping reader (see nym_conn_wake())
	 * and with the one in nym_conn_close().
	 */
	smp_mb();
	if (unlikely(READ_ONCE(conn->ring[side].dead)))
		WRITE_ONCE(sk->sk_err, ECONNRESET);
	nym_conn_wake(conn, !side, EPOLLIN | EPOLLRDNORM | EPOLLRDBAND,
		      SOCK_WAKE_WAITD, POLL_IN);
}

/* How many bytes may be under way for a socket to be called writable. */
static u32 nym_low_water(const struct sock *sk)
{
	return nym_sock_limit(sk) / 2;
}

/* Asks for a wake-up when there is room. False: there is room already. */
static bool nym_stall(struct sock *sk, struct nym_ring *out)
{
	sk_set_bit(SOCKWQ_ASYNC_NOSPACE, sk);
	return nym_ring_stall(out, nym_low_water(sk));
}

/* Sleeps until there is room to write, or a reason not to. */
static long nym_wait_room(struct sock *sk, struct nym_ring *out, long timeo)
{
	DEFINE_WAIT(wait);

	prepare_to_wait(sk_sleep(sk), &wait, TASK_INTERRUPTIBLE);
	if (!nym_send_is_shut(sk, out) && !READ_ONCE(sk->sk_err) &&
	    !signal_pending(current) && nym_stall(sk, out))
		timeo = schedule_timeout(timeo);
	finish_wait(sk_sleep(sk), &wait);
	return timeo;
}

/*
 * Called with the writer's lock when there is no room. Returns 0 when it is
 * worth looking again, with the lock held, or an error, without.
 */
static int nym_stream_make_room(struct sock *sk, struct nym_ring *out, long *timeo)
{
	int err;

	if (!*timeo) {
		/* Have a poller woken; and look again, for it may be late. */
		if (!nym_stall(sk, out))
			return 0;
		mutex_unlock(&out->wlock);
		return -EAGAIN;
	}
	mutex_unlock(&out->wlock);
	*timeo = nym_wait_room(sk, out, *timeo);
	if (signal_pending(current))
		return sock_intr_errno(*timeo);
	err = sock_error(sk);
	if (!err && mutex_lock_interruptible(&out->wlock))
		err = sock_intr_errno(*timeo);
	return err;
}

/* Appends what fits, and publishes it: the number of bytes, or an error. */
static ssize_t nym_stream_write(struct sock *sk, struct nym_conn *conn, int side,
				struct iov_iter *from, size_t len)
{
	struct nym_ring *out = &conn->ring[side];
	struct nym_ring_cursor cur;
	ssize_t done;

	len = min_t(size_t, len, nym_ring_room(out, nym_sock_limit(sk)));
	if (!len)
		return 0;
	nym_ring_write_begin(out, &cur);
	done = nym_ring_append(out, &cur, from, len);
	nym_ring_commit(out, &cur);
	if (done > 0)
		nym_stream_publish(sk, conn, side);
	return done;
}

/* Returns how much was sent; *err says why it was not all. */
static size_t nym_stream_send(struct sock *sk, struct nym_conn *conn,
			      struct msghdr *msg, size_t len, int *err)
{
	long timeo = sock_sndtimeo(sk, msg->msg_flags & MSG_DONTWAIT);
	int side = nym_sk(sk)->side;
	struct nym_ring *out = &conn->ring[side];
	size_t sent = 0;

	if (mutex_lock_interruptible(&out->wlock)) {
		*err = sock_intr_errno(timeo);
		return 0;
	}
	while (sent < len) {
		ssize_t n;

		*err = -EPIPE;
		if (nym_send_is_shut(sk, out))
			break;
		n = nym_stream_write(sk, conn, side, &msg->msg_iter, len - sent);
		if (n > 0) {
			sent += n;
			continue;
		}
		*err = n;
		if (n < 0)
			break;
		*err = nym_stream_make_room(sk, out, &timeo);
		if (*err)
			return sent;
	}
	mutex_unlock(&out->wlock);
	return sent;
}

/**
 * nym_stream_sendmsg() - proto_ops.sendmsg
 * @sock: the socket
 * @msg: the message
 * @len: its length
 *
 * Several senders may take turns where the ring is full in between; what fits
 * is sent in one piece.
 *
 * Context: sleeps
 * Return: how many bytes were sent, or why not even one: -ENOTCONN, -EISCONN
 * or -EOPNOTSUPP for a given address, -EPIPE, -ECONNRESET, -EAGAIN, -EINTR,
 * -ERESTARTSYS, -EFAULT, -ENOMEM, -EINVAL for a bad control message,
 * -EOPNOTSUPP for MSG_OOB
 */
int nym_stream_sendmsg(struct socket *sock, struct msghdr *msg, size_t len)
{
	struct sock *sk = sock->sk;
	struct nym_conn *conn;
	size_t sent = 0;
	int err;

	err = nym_check_control(sock, msg);
	if (err < 0)
		return err;
	if (msg->msg_flags & MSG_OOB)
		return -EOPNOTSUPP;
	conn = nym_sock_conn(sk);
	if (msg->msg_namelen)
		return conn ? -EISCONN : -EOPNOTSUPP;
	if (!conn)
		return -ENOTCONN;

	/* Even nothing cannot be sent when the way is shut. */
	if (nym_send_is_shut(sk, &conn->ring[nym_sk(sk)->side]))
		err = -EPIPE;
	else
		sent = nym_stream_send(sk, conn, msg, len, &err);

	if (sent)
		return sent;
	if (err == -EPIPE && !(msg->msg_flags & MSG_NOSIGNAL))
		send_sig(SIGPIPE, current, 0);
	return err;
}

/* Tells the writer, after bytes have been consumed. */
static void nym_stream_consumed(struct nym_conn *conn, int side)
{
	if (!nym_ring_unstall(&conn->ring[!side]))
		return;
	/* Who stalls from here on will look at the ring again. */
	smp_mb();
	nym_conn_wake(conn, !side, EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND,
		      SOCK_WAKE_SPACE, POLL_OUT);
}

/* Sleeps until there are bytes to read, or a reason not to wait for them. */
static long nym_wait_bytes(struct sock *sk, struct nym_ring *in, long timeo,
			   unsigned int sleep)
{
	DEFINE_WAIT(wait);

	prepare_to_wait(sk_sleep(sk), &wait, sleep);
	if (!nym_ring_used(in) && !nym_recv_is_shut(sk, in) &&
	    !READ_ONCE(sk->sk_err) && !signal_pending(current)) {
		sk_set_bit(SOCKWQ_ASYNC_WAITDATA, sk);
		timeo = schedule_timeout(timeo);
		sk_clear_bit(SOCKWQ_ASYNC_WAITDATA, sk);
	}
	finish_wait(sk_sleep(sk), &wait);
	return timeo;
}

/*
 * Copies what there is, up to @len: the number of bytes, 0 if there are none,
 * or -EFAULT.
 */
static ssize_t nym_stream_copy(struct nym_conn *conn, int side,
			       struct msghdr *msg, size_t len, int flags)
{
	struct nym_ring *in = &conn->ring[!side];
	struct nym_ring_cursor cur;
	size_t done;

	nym_ring_read_begin(in, &cur);
	if (cur.pos == cur.end)
		return 0;
	done = nym_ring_fetch(&cur, &msg->msg_iter, len);
	if (!(flags & MSG_PEEK)) {
		nym_ring_consume(in, &cur);
		nym_stream_consumed(conn, side);
	}
	return done || !len ? done : -EFAULT;
}

/*
 * Called with the reader's lock when the ring was empty. @shut is from before
 * it was. Returns 0 when it is worth looking again, with the lock held, and
 * otherwise, without, an error or 1 for the end of the stream.
 */
static int nym_stream_await(struct sock *sk, struct nym_ring *in, bool shut,
			    long *timeo, unsigned int sleep)
{
	int err = sock_error(sk);

	mutex_unlock(&in->rlock);
	if (err)
		return err;
	if (shut)
		return 1;
	if (!*timeo)
		return -EAGAIN;
	*timeo = nym_wait_bytes(sk, in, *timeo, sleep);
	if (signal_pending(current))
		return sock_intr_errno(*timeo);
	if (mutex_lock_interruptible(&in->rlock))
		return sock_intr_errno(*timeo);
	return 0;
}

/**
 * nym_stream_read() - receive from a connected socket
 * @sk: the socket
 * @msg: where to; gets the sender's address if it has room for one
 * @len: how much
 * @flags: MSG_DONTWAIT, MSG_PEEK, MSG_WAITALL
 * @sleep: the task state to sleep in
 *
 * Context: sleeps
 * Return: how many bytes were received, 0 at the end of the stream, or an
 * error if not even one was; -EINVAL if the socket is not connected
 */
int nym_stream_read(struct sock *sk, struct msghdr *msg, size_t len, int flags,
		    unsigned int sleep)
{
	struct nym_conn *conn = nym_sock_conn(sk);
	size_t copied = 0, target;
	struct nym_ring *in;
	int side, err = 0;
	long timeo;

	if (!conn)
		return -EINVAL;
	if (flags & MSG_OOB)
		return -EOPNOTSUPP;
	side = nym_sk(sk)->side;
	in = &conn->ring[!side];
	target = sock_rcvlowat(sk, flags & MSG_WAITALL, min_t(size_t, len, INT_MAX));
	timeo = sock_rcvtimeo(sk, flags & MSG_DONTWAIT);

	if (mutex_lock_interruptible(&in->rlock))
		return sock_intr_errno(timeo);
	for (;;) {
		/* First this, then the bytes: none are sent after it. */
		bool shut = nym_recv_is_shut(sk, in);

		if (nym_ring_used(in)) {
			ssize_t n = nym_stream_copy(conn, side, msg,
						    len - copied, flags);

			if (n < 0)
				err = n;
			else
				copied += n;
			/* A second peek would find the same bytes. */
			if (n < 0 || copied == len || flags & MSG_PEEK)
				break;
		} else {
			if (copied >= target)
				break;
			err = nym_stream_await(sk, in, shut, &timeo, sleep);
			if (err)
				goto unlocked;
		}
	}
	mutex_unlock(&in->rlock);
unlocked:
	if (copied && msg->msg_name)
		msg->msg_namelen = nym_end_name(&conn->end[!side], msg->msg_name);
	return copied ? copied : min(err, 0);
}

/**
 * nym_stream_recvmsg() - proto_ops.recvmsg
 * @sock: the socket
 * @msg: where to
 * @len: how much
 * @flags: see nym_stream_read()
 *
 * Context: sleeps
 * Return: see nym_stream_read()
 */
int nym_stream_recvmsg(struct socket *sock, struct msghdr *msg, size_t len,
		       int flags)
{
	return nym_stream_read(sock->sk, msg, len, flags,
			       TASK_INTERRUPTIBLE | TASK_FREEZABLE);
}

static __poll_t nym_poll_conn(struct sock *sk, struct nym_conn *conn, int side)
{
	struct nym_ring *in = &conn->ring[!side], *out = &conn->ring[side];
	bool rshut = nym_recv_is_shut(sk, in), wshut = nym_send_is_shut(sk, out);
	__poll_t mask = 0;

	if (rshut)
		mask |= EPOLLRDHUP | EPOLLIN | EPOLLRDNORM;
	if (rshut && wshut)
		mask |= EPOLLHUP;
	if (nym_ring_used(in))
		mask |= EPOLLIN | EPOLLRDNORM;
	/* To a socket that is shut a write will fail, but not block. */
	if (wshut || nym_ring_has_room(out, nym_low_water(sk)) ||
	    !nym_stall(sk, out))
		mask |= EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND;
	return mask;
}

/* Not connected. */
static __poll_t nym_poll_idle(const struct sock *sk, bool parked)
{
	struct nym_endpoint *ep = nym_sock_endpoint(sk);
	int shutdown = READ_ONCE(sk->sk_shutdown);
	__poll_t mask = 0;

	if (shutdown & RCV_SHUTDOWN)
		mask |= EPOLLRDHUP | EPOLLIN | EPOLLRDNORM;
	if (shutdown == SHUTDOWN_MASK)
		mask |= EPOLLHUP;
	if (READ_ONCE(sk->sk_state) == TCP_LISTEN) {
		if (READ_ONCE(ep->backlog.npending))
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
	rcu_read_unlock();

	/* Looked at last: whoever leaves an error does so before the rest. */
	if (READ_ONCE(sk->sk_err))
		mask |= EPOLLERR;
	return mask;
}
