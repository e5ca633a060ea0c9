// SPDX-License-Identifier: GPL-2.0
/*
 * Streams: sending and receiving bytes on a connection. wait.c says how the
 * two sides meet.
 */
#include <linux/sched/signal.h>

#include "wait.h"
#include "trace.h"

/* Appends what fits, and publishes it: the number of bytes, or an error. */
static ssize_t nym_stream_write(struct sock *sk, struct nym_conn *conn, int side,
				struct iov_iter *from, size_t len,
				struct nym_control *control)
{
	struct nym_ring *out = &conn->ring[side];
	struct nym_ring_cursor cur;
	size_t done;
	int err;

	nym_ring_write_begin(out, &cur);
	done = nym_ring_append(out, &cur, from, len);
	/* Copying may have taken its time: nothing may follow the end. */
	if (likely(done) && nym_send_is_shut(sk, out))
		err = -EPIPE;
	else if (likely(done))
		err = nym_marks_add(&conn->marks[side], out, cur.pos, control);
	else
		err = cur.err;
	if (unlikely(err)) {
		cur.pos = out->tail;
		/* What went before may be continued, as io_uring does. */
		iov_iter_revert(from, done);
	}
	nym_ring_commit(out, &cur);
	if (likely(!err))
		err = nym_published(sk, out, &conn->end[!side]);
	if (unlikely(err))
		return err;
	nym_ring_count(&out->sent, done);
	return done;
}

/* Returns how much was sent; *err says why it was not all. */
static size_t nym_stream_send(struct sock *sk, struct nym_conn *conn,
			      struct msghdr *msg, size_t len,
			      struct nym_control *control, int *err)
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
		n = min_t(size_t, len - sent, nym_ring_room(out, nym_sock_limit(sk)));
		if (likely(n)) {
			nym_conn_sign(sk, &conn->end[!side], control);
			n = nym_stream_write(sk, conn, side, &msg->msg_iter, n,
					     control);
			if (n < 0) {
				*err = n;
				break;
			}
			sent += n;
			continue;
		}
		*err = nym_await_room(sk, out, nym_low_water(sk, out), &timeo);
		if (*err)
			return sent;
	}
	mutex_unlock(&out->wlock);
	return sent;
}

static int nym_stream_send_check(struct sock *sk, struct nym_conn *conn,
				 const struct msghdr *msg,
				 const struct nym_control *control)
{
	int side = nym_sk(sk)->side;

	if (msg->msg_flags & MSG_OOB)
		return -EOPNOTSUPP;
	if (msg->msg_namelen)
		return conn ? -EISCONN : -EOPNOTSUPP;
	if (!conn)
		return -ENOTCONN;
	/* Even nothing cannot be sent when the way is shut. */
	if (nym_send_is_over(sk, &conn->ring[side]))
		return -EPIPE;
	return nym_marks_check(&conn->marks[side], control);
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
 * -ERESTARTSYS, -EFAULT, -ENOMEM, -EOPNOTSUPP for MSG_OOB; -EPERM if the
 * receiver takes no descriptors, -ETOOMANYREFS for sockets that may not be sent
 * there; as nym_control_parse()
 */
int nym_stream_sendmsg(struct socket *sock, struct msghdr *msg, size_t len)
{
	struct nym_control control;
	struct sock *sk = sock->sk;
	struct nym_conn *conn;
	size_t sent = 0;
	int err;

	err = nym_control_parse(sock, msg, &control);
	if (err)
		return err;
	conn = nym_sock_conn(sk);
	err = nym_stream_send_check(sk, conn, msg, &control);
	if (!err)
		sent = nym_stream_send(sk, conn, msg, len, &control, &err);
	nym_control_release(&control);
	nym_trace_send(sk, sent ? sent : err);
	if (sent)
		return sent;
	if (err == -EPIPE && !(msg->msg_flags & MSG_NOSIGNAL))
		send_sig(SIGPIPE, current, 0);
	return err;
}

/* Copies what there is, up to @len: the number of bytes, or -EFAULT. */
static ssize_t nym_stream_copy(struct nym_conn *conn, int side,
			       struct msghdr *msg, size_t len,
			       struct nym_receipt *receipt)
{
	struct nym_marks *marks = &conn->marks[!side];
	struct nym_ring *in = &conn->ring[!side];
	struct nym_ring_cursor cur;
	size_t done;

	nym_ring_read_begin(in, &cur);
	done = nym_marks_fetch(marks, &cur, msg, len, receipt);
	if (!receipt->peek) {
		nym_marks_trim(marks, in, cur.pos);
		nym_ring_consume(in, &cur);
		nym_ring_count(&in->received, done);
		nym_consumed(in, &conn->end[!side]);
	}
	return done || !len || receipt->over ? done : -EFAULT;
}

/**
 * nym_stream_read() - receive from a connected socket
 * @sk: the socket
 * @msg: where to; gets the sender's address if it has room for one
 * @len: how much
 * @flags: MSG_DONTWAIT, MSG_PEEK, MSG_WAITALL
 * @sleep: the task state to sleep in
 * @receipt: empty; gets what came with the bytes
 *
 * Context: sleeps
 * Return: how many bytes were received, 0 at the end of the stream, or an
 * error if not even one was; -EINVAL if the socket is not connected
 */
int nym_stream_read(struct sock *sk, struct msghdr *msg, size_t len, int flags,
		    unsigned int sleep, struct nym_receipt *receipt)
{
	struct nym_conn *conn = nym_sock_conn(sk);
	size_t copied = 0;
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
	receipt->peek = flags & MSG_PEEK;
	receipt->by_sender = nym_passcred(sk);
	timeo = sock_rcvtimeo(sk, flags & MSG_DONTWAIT);

	if (mutex_lock_interruptible(&in->rlock))
		return sock_intr_errno(timeo);
	for (;;) {
		unsigned int over;

		if (likely(nym_recv_look(sk, in, &over))) {
			ssize_t n = nym_stream_copy(conn, side, msg,
						    len - copied, receipt);

			found = true;
			if (n < 0)
				err = n;
			else
				copied += n;
			/* A second peek would find the same bytes. */
			if (n < 0 || copied == len || receipt->peek ||
			    receipt->over)
				break;
		} else {
			if (copied >= sock_rcvlowat(sk, flags & MSG_WAITALL,
						    min_t(size_t, len, INT_MAX)))
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
	if (!copied)
		copied = min(err, 0);
	nym_trace_recv(sk, copied);
	return copied;
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
	struct nym_receipt receipt = { .control = NYM_CONTROL_NONE };
	int ret;

	ret = nym_stream_read(sock->sk, msg, len, flags,
			      TASK_INTERRUPTIBLE | TASK_FREEZABLE, &receipt);
	if (ret >= 0)
		nym_control_deliver(sock, msg, &receipt.control);
	else
		nym_control_release(&receipt.control);
	return ret;
}
