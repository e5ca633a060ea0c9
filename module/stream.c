// SPDX-License-Identifier: GPL-2.0
/*
 * Streams: sending and receiving bytes on a connection. wait.c says how the
 * two sides meet.
 */
#include <linux/sched/signal.h>

#include "af_nym.h"

/* Appends what fits, and publishes it: the number of bytes, or an error. */
static ssize_t nym_stream_write(struct sock *sk, struct nym_conn *conn, int side,
				struct iov_iter *from, size_t len)
{
	struct nym_ring *out = &conn->ring[side];
	struct nym_ring_cursor cur;
	size_t done;

	len = min_t(size_t, len, nym_ring_room(out, nym_sock_limit(sk)));
	if (!len)
		return 0;
	nym_ring_write_begin(out, &cur);
	done = nym_ring_append(out, &cur, from, len);
	/* Copying may have taken its time: nothing may follow the end. */
	if (done && nym_send_is_shut(sk, out)) {
		cur.err = -EPIPE;
		cur.pos = out->tail;
	}
	nym_ring_commit(out, &cur);
	if (cur.err == -EPIPE || !done)
		return cur.err;
	nym_published(sk, conn, side);
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
		*err = nym_await_room(sk, out, nym_low_water(sk, out), &timeo);
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
	if (nym_send_is_over(sk, &conn->ring[nym_sk(sk)->side]))
		err = -EPIPE;
	else
		sent = nym_stream_send(sk, conn, msg, len, &err);

	if (sent)
		return sent;
	if (err == -EPIPE && !(msg->msg_flags & MSG_NOSIGNAL))
		send_sig(SIGPIPE, current, 0);
	return err;
}

/* Copies what there is, up to @len: the number of bytes, or -EFAULT. */
static ssize_t nym_stream_copy(struct nym_conn *conn, int side,
			       struct msghdr *msg, size_t len, int flags)
{
	struct nym_ring *in = &conn->ring[!side];
	struct nym_ring_cursor cur;
	size_t done;

	nym_ring_read_begin(in, &cur);
	done = nym_ring_fetch(&cur, &msg->msg_iter, len);
	if (!(flags & MSG_PEEK)) {
		nym_ring_consume(in, &cur);
		nym_consumed(conn, side);
	}
	return done || !len ? done : -EFAULT;
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
	bool found = false;
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
		unsigned int over = nym_recv_over(sk, in);

		if (nym_recv_queued(in)) {
			ssize_t n = nym_stream_copy(conn, side, msg,
						    len - copied, flags);

			found = true;
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
			err = nym_await_bytes(sk, in, over, &timeo, sleep);
			if (err)
				goto unlocked;
		}
	}
	mutex_unlock(&in->rlock);
unlocked:
	if (found && msg->msg_name)
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
