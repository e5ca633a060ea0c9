// SPDX-License-Identifier: GPL-2.0
/*
 * Sequenced packets: records on a connection.
 *
 * A record is a header and its bytes, in the ring one behind the other and
 * published together, so it is there whole or not at all. The header counts
 * against the limit, so that empty records do, too. A reader consumes a record
 * when all that was asked of it has been copied; if that faults, the record
 * stays.
 */
#include "wait.h"
#include "trace.h"

/**
 * struct nym_record - the header of a record
 * @len: bytes behind it
 * @flags: MSG_EOR if the sender said so
 */
struct nym_record {
	u32 len;
	u32 flags;
};

/* Publishes the whole record, or nothing. */
static int nym_record_write(struct sock *sk, struct nym_conn *conn, int side,
			    struct msghdr *msg, size_t len,
			    struct nym_control *control)
{
	struct nym_record rec = {
		.len = len,
		.flags = msg->msg_flags & MSG_EOR,
	};
	struct nym_ring *out = &conn->ring[side];
	struct nym_ring_cursor cur;
	int err;

	nym_ring_write_begin(out, &cur);
	if (nym_ring_put(out, &cur, &rec, sizeof(rec)) < sizeof(rec) ||
	    nym_ring_append(out, &cur, &msg->msg_iter, len) < len)
		err = cur.err;
	/* Copying may have taken its time: nothing may follow the end. */
	else if (nym_send_is_shut(sk, out))
		err = -EPIPE;
	else
		err = nym_marks_add(&conn->marks[side], out, cur.pos, control);
	if (err)
		cur.pos = out->tail;
	nym_ring_commit(out, &cur);
	if (err)
		return err;
	err = nym_published(sk, out, &conn->end[!side]);
	if (!err)
		nym_ring_count(&out->sent, len);
	return err;
}

/*
 * Waits until @need more bytes fit; with the writer's lock, which is held
 * again only if it returns 0.
 */
static int nym_record_await(struct sock *sk, struct nym_ring *out, size_t need,
			    long *timeo)
{
	for (;;) {
		u32 limit = nym_sock_limit(sk);
		int err = -EPIPE;

		if (nym_send_is_shut(sk, out) || need > limit) {
			/* The limit was larger when the length was checked. */
			if (need > limit)
				err = -EMSGSIZE;
			mutex_unlock(&out->wlock);
			return err;
		}
		if (need <= nym_ring_room(out, limit)) {
			WRITE_ONCE(out->low, 0);
			return 0;
		}
		WRITE_ONCE(out->low, limit - need + 1);
		err = nym_await_room(sk, out, nym_low_water(sk, out), timeo);
		if (err)
			return err;
	}
}

static int nym_record_check(struct sock *sk, struct nym_conn *conn,
			    const struct msghdr *msg, size_t len,
			    const struct nym_control *control)
{
	u32 limit = nym_sock_limit(sk);

	if (msg->msg_flags & MSG_OOB)
		return -EOPNOTSUPP;
	if (len > limit - min_t(u32, limit, sizeof(struct nym_record)))
		return -EMSGSIZE;
	return nym_marks_check(&conn->marks[nym_sk(sk)->side], control);
}

static int nym_record_send(struct sock *sk, struct nym_conn *conn,
			   struct msghdr *msg, size_t len,
			   struct nym_control *control)
{
	long timeo = sock_sndtimeo(sk, msg->msg_flags & MSG_DONTWAIT);
	int side = nym_sk(sk)->side;
	struct nym_ring *out = &conn->ring[side];
	int err;

	err = nym_record_check(sk, conn, msg, len, control);
	if (err)
		return err;
	if (mutex_lock_interruptible(&out->wlock))
		return sock_intr_errno(timeo);
	err = nym_record_await(sk, out, len + sizeof(struct nym_record), &timeo);
	if (err)
		return err;
	nym_conn_sign(sk, &conn->end[!side], control);
	err = nym_record_write(sk, conn, side, msg, len, control);
	mutex_unlock(&out->wlock);
	return err;
}

/**
 * nym_seqpacket_sendmsg() - proto_ops.sendmsg
 * @sock: the socket
 * @msg: the record
 * @len: its length
 *
 * An address is ignored, and EPIPE comes without SIGPIPE, as with AF_UNIX.
 *
 * Context: sleeps
 * Return: @len; -ENOTCONN; -EMSGSIZE if the record and its header are larger
 * than SO_SNDBUF; -EPIPE, -ECONNRESET, -EAGAIN, -EINTR, -ERESTARTSYS, -EFAULT,
 * -ENOMEM; -EOPNOTSUPP for MSG_OOB; -EPERM if the receiver takes no
 * descriptors, -ETOOMANYREFS for sockets that may not be sent there; as
 * nym_control_parse()
 */
int nym_seqpacket_sendmsg(struct socket *sock, struct msghdr *msg, size_t len)
{
	struct nym_control control;
	struct sock *sk = sock->sk;
	struct nym_conn *conn;
	int err;

	err = sock_error(sk);
	if (err)
		return err;
	conn = nym_sock_conn(sk);
	if (!conn)
		return -ENOTCONN;
	err = nym_control_parse(sock, msg, &control);
	if (err)
		return err;
	err = nym_record_send(sk, conn, msg, len, &control);
	nym_control_release(&control);
	nym_trace_send(sk, err ? err : len);
	return err ? err : len;
}

/* Copies the first record, or as much of it as fits. */
static int nym_record_read(struct nym_conn *conn, int side, struct msghdr *msg,
			   size_t len, int flags, struct nym_receipt *receipt)
{
	struct nym_marks *marks = &conn->marks[!side];
	struct nym_ring *in = &conn->ring[!side];
	struct nym_ring_cursor cur;
	struct nym_record rec;
	size_t n;

	nym_ring_read_begin(in, &cur);
	nym_ring_get(&cur, &rec, sizeof(rec));
	n = min_t(size_t, len, rec.len);
	if (nym_ring_fetch(&cur, &msg->msg_iter, n) < n)
		return -EFAULT;

	receipt->begun = true;
	nym_marks_collect(marks, in->head, receipt);
	msg->msg_flags |= rec.flags;
	if (n < rec.len)
		msg->msg_flags |= MSG_TRUNC;
	if (!(flags & MSG_PEEK)) {
		if (unlikely(n < rec.len))
			nym_ring_skip(&cur, rec.len - n);
		nym_marks_trim(marks, in, cur.pos);
		nym_ring_consume(in, &cur);
		nym_ring_count(&in->received, rec.len);
		nym_consumed(in, &conn->end[!side]);
	}
	return flags & MSG_TRUNC ? rec.len : n;
}

/* Receives the first record, or waits for one. */
static int nym_seqpacket_read(struct sock *sk, struct nym_conn *conn,
			      struct msghdr *msg, size_t len, int flags,
			      struct nym_receipt *receipt)
{
	long timeo = sock_rcvtimeo(sk, flags & MSG_DONTWAIT);
	int side = nym_sk(sk)->side, ret;
	struct nym_ring *in = &conn->ring[!side];

	if (mutex_lock_interruptible(&in->rlock))
		return sock_intr_errno(timeo);
	for (;;) {
		unsigned int over;
		bool found = nym_recv_look(sk, in, &over);

		ret = sock_error(sk);
		if (!ret)
			ret = found ?
			      nym_record_read(conn, side, msg, len, flags, receipt) :
			      -EAGAIN;
		if (ret != -EAGAIN)
			break;
		ret = nym_await_bytes(sk, in, over, &timeo,
				      TASK_INTERRUPTIBLE | TASK_FREEZABLE);
		if (ret)
			return min(ret, 0);
	}
	mutex_unlock(&in->rlock);
	if (ret >= 0 && msg->msg_name)
		msg->msg_namelen = nym_end_name(&conn->end[!side], msg->msg_name);
	return ret;
}

/**
 * nym_seqpacket_recvmsg() - proto_ops.recvmsg
 * @sock: the socket
 * @msg: where to; gets the sender's address if it has room for one
 * @len: how much; what is left of the record is dropped
 * @flags: MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC
 *
 * An error of the socket comes before the records, as with AF_UNIX.
 *
 * Context: sleeps
 * Return: how many bytes were received, or with MSG_TRUNC how long the record
 * was; 0 also at the end; -ENOTCONN, -EAGAIN, -EINTR, -ERESTARTSYS, -EFAULT,
 * -ECONNRESET; -EOPNOTSUPP for MSG_OOB
 */
int nym_seqpacket_recvmsg(struct socket *sock, struct msghdr *msg, size_t len,
			  int flags)
{
	struct nym_receipt receipt = { .peek = flags & MSG_PEEK };
	struct nym_conn *conn = nym_sock_conn(sock->sk);
	int ret;

	if (!conn)
		return -ENOTCONN;
	if (flags & MSG_OOB)
		return -EOPNOTSUPP;
	ret = nym_seqpacket_read(sock->sk, conn, msg, len, flags, &receipt);
	/* Nobody has sent the end. */
	if (ret >= 0 && receipt.begun)
		nym_control_deliver(sock, msg, &receipt.control);
	else
		nym_control_release(&receipt.control);
	nym_trace_recv(sock->sk, ret);
	return ret;
}

/**
 * nym_seqpacket_queued() - how many bytes can be read, without headers
 * @ring: the ring they are in
 *
 * Context: sleeps; takes @ring->rlock
 * Return: the number, or -ERESTARTSYS
 */
long nym_seqpacket_queued(struct nym_ring *ring)
{
	struct nym_ring_cursor cur;
	struct nym_record rec;
	long sum = 0;

	if (mutex_lock_interruptible(&ring->rlock))
		return -ERESTARTSYS;
	nym_ring_read_begin(ring, &cur);
	while (cur.pos != cur.end) {
		nym_ring_get(&cur, &rec, sizeof(rec));
		nym_ring_skip(&cur, rec.len);
		sum += rec.len;
	}
	mutex_unlock(&ring->rlock);
	return sum;
}
