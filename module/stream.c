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

/* Can the next bytes be lent by who would wait, and is that worth it? */
static bool nym_stream_may_lend(const struct sock *sk, const struct nym_ring *out,
				const struct iov_iter *from,
				const struct nym_control *control)
{
	size_t least = max_t(size_t, NYM_LOAN_LEAST,
			     (size_t)NYM_LOAN_LEAST_RINGS * nym_sock_limit(sk));

	return !out->lent && !out->owed && nym_control_is_none(control) && user_backed_iter(from) &&
	       iov_iter_single_seg_count(from) >= least;
}

/*
 * Lends what would have to wait, and waits: how many bytes have gone; *err says why
 * no more may follow. *lend is cleared if that is of no use now.
 */
static noinline size_t nym_stream_lend(struct sock *sk, struct nym_conn *conn, int side,
				       struct iov_iter *from, size_t len, long *timeo,
				       bool *lend, int *err)
{
	struct nym_ring *out = &conn->ring[side];
	struct nym_loan loan;
	size_t gone, kept;

	*err = 0;
	*lend = nym_loan_make(&loan, out, from, len, nym_sock_limit(sk));
	if (!*lend)
		return 0;
	/* Finding the pages may have taken its time: as in nym_stream_write(). */
	if (nym_send_is_shut(sk, out)) {
		iov_iter_revert(from, loan.len);
		nym_loan_drop(&loan, out);
		*err = -EPIPE;
		return 0;
	}
	nym_loan_lend(&loan, out);
	*err = nym_published(sk, out, &conn->end[!side]);
	if (likely(!*err))
		*err = nym_await_loan(sk, out, &loan, timeo);
	*lend = !nym_loan_waits(&loan, out);
	gone = nym_loan_end(&loan, out, *err != -EPIPE, &kept);
	/* Nothing may follow the end that the reader was told. */
	if (kept && nym_published(sk, out, &conn->end[!side]))
		gone -= kept;
	/* Who else waits to write comes first now: no other loan until then. */
	out->owed = READ_ONCE(out->wake_at);
	nym_consumed(out, &conn->end[side]);
	iov_iter_revert(from, loan.len - gone);
	nym_ring_count(&out->sent, gone);
	return gone;
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
	bool lend = true;

	if (mutex_lock_interruptible(&out->wlock)) {
		*err = sock_intr_errno(timeo);
		return 0;
	}
	while (sent < len) {
		u32 room = nym_ring_room(out, nym_sock_limit(sk));
		ssize_t n;

		*err = -EPIPE;
		if (nym_send_is_shut(sk, out))
			break;
		nym_conn_sign(sk, &conn->end[!side], control);
		if (unlikely(len - sent > room) && lend && timeo &&
		    nym_stream_may_lend(sk, out, &msg->msg_iter, control)) {
			sent += nym_stream_lend(sk, conn, side, &msg->msg_iter,
						len - sent, &timeo, &lend, err);
			if (*err)
				break;
			continue;
		}
		n = min_t(size_t, len - sent, room);
		if (likely(n)) {
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
		lend = true;
		out->owed = false;
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

/*
 * Copies what there is in the ring, up to @len: the number of bytes, 0 if there are
 * none, or -EFAULT.
 */
static __always_inline ssize_t nym_stream_copy_ring(struct nym_ring *in,
						    struct nym_marks *marks,
						    const struct nym_end *from,
						    struct msghdr *msg, size_t len,
						    struct nym_receipt *receipt)
{
	struct nym_ring_cursor cur;
	size_t done;

	nym_ring_read_begin(in, &cur);
	if (unlikely(!cur.chunk))
		return 0;
	done = nym_marks_fetch(marks, &cur, msg, len, receipt);
	if (!receipt->peek) {
		nym_marks_trim(marks, in, cur.pos);
		nym_ring_consume(in, &cur);
		nym_ring_count(&in->received, done);
		nym_consumed(in, from);
	}
	return done || !len || receipt->over ? done : -EFAULT;
}

/* Reads on in what is lent, up to @len: the number of bytes, or -ENOMEM. */
static ssize_t nym_stream_borrow(struct nym_ring *in, struct iov_iter *to, size_t len,
				 struct nym_receipt *receipt)
{
	ssize_t done;

	/* What is lent comes with nothing, and from nobody in particular. */
	if (receipt->begun && receipt->by_sender && receipt->control.pid)
		receipt->over = true;
	if (!len || receipt->over)
		return 0;
	done = nym_loan_read(in, to, len);
	if (done > 0) {
		receipt->begun = true;
		nym_ring_count(&in->received, done);
	}
	return done;
}

/* nym_stream_copy() when something is lent. */
static noinline ssize_t nym_stream_copy_lent(struct nym_ring *in, struct nym_marks *marks,
					     const struct nym_end *from,
					     struct msghdr *msg, size_t len,
					     struct nym_receipt *receipt)
{
	ssize_t done, more = 0;

	/* It is to be there when it is read, and the same as now. */
	if (receipt->peek)
		more = nym_loan_show(in, len);
	done = nym_stream_copy_ring(in, marks, from, msg, len, receipt);
	if (!receipt->peek && done >= 0)
		more = nym_stream_borrow(in, &msg->msg_iter, len - done, receipt);
	if (nym_loan_is_due(in))
		nym_loan_return(from);
	if (done && more < 0)
		return done;
	return done < 0 ? done : done + more;
}

/*
 * Copies what there is, up to @len: the number of bytes, 0 if they have gone
 * elsewhere meanwhile, or an error.
 */
static ssize_t nym_stream_copy(struct nym_ring *in, struct nym_marks *marks,
			       const struct nym_end *from, struct msghdr *msg,
			       size_t len, struct nym_receipt *receipt)
{
	/* Pairs with nym_loan_lend(): what is in the ring comes first. */
	if (unlikely(smp_load_acquire(&in->loan)))
		return nym_stream_copy_lent(in, marks, from, msg, len, receipt);
	return nym_stream_copy_ring(in, marks, from, msg, len, receipt);
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
	struct nym_marks *marks;
	struct nym_end *from;
	struct nym_ring *in;
	int side, err = 0;
	long timeo;

	if (!conn)
		return -EINVAL;
	if (flags & MSG_OOB)
		return -EOPNOTSUPP;
	side = !nym_sk(sk)->side;
	in = &conn->ring[side];
	marks = &conn->marks[side];
	from = &conn->end[side];
	receipt->peek = flags & MSG_PEEK;
	receipt->by_sender = nym_passcred(sk);
	timeo = sock_rcvtimeo(sk, flags & MSG_DONTWAIT);

	if (mutex_lock_interruptible(&in->rlock))
		return sock_intr_errno(timeo);
	for (;;) {
		unsigned int over;

		if (likely(nym_recv_look(sk, in, &over))) {
			ssize_t n = nym_stream_copy(in, marks, from, msg,
						    len - copied, receipt);

			found = true;
			if (n < 0)
				err = n;
			else
				copied += n;
			/* A second peek would find the same bytes. */
			if (n < 0 || copied == len || (n && receipt->peek) ||
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
		msg->msg_namelen = nym_end_name(from, msg->msg_name);
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
