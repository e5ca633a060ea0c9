// SPDX-License-Identifier: GPL-2.0
/*
 * Sending datagrams.
 *
 * A datagram is copied from its sender before any lock is taken, so a sender
 * that stalls in a page fault holds up nobody. Then it is put into the
 * receiver's queue (dgram_queue.c), under whose lock death, shutdown, the
 * receiver's own peer and the room are looked at.
 *
 * Destinations are endpoints, that is, names: whoever has the name now gets the
 * datagram. A connected socket has asked for permission when it connected, and
 * asks again when the name has been taken over. Who has no room, or nobody to
 * send to, waits (dgram_wait.c).
 *
 * Locks: none is taken here.
 */
#include <linux/sched/signal.h>

#include "dgram.h"
#include "trace.h"

/* What AF_UNIX takes off SO_SNDBUF for the longest datagram. */
#define NYM_DGRAM_HEAD	32

/**
 * nym_dgram_find() - a name to send to
 * @sk: the sender
 * @name: the name
 *
 * Context: sleeps
 * Return: the name with a reference; -ECONNREFUSED if there is none and the
 * sender would not wait; -ENOMEM
 */
struct nym_endpoint *nym_dgram_find(struct sock *sk, const struct nym_name *name)
{
	struct nym_endpoint *ep;

	if (READ_ONCE(nym_sk(sk)->waits)) {
		ep = nym_endpoint_await(sock_net(sk), name);
		return ep ? ep : ERR_PTR(-ENOMEM);
	}
	ep = nym_endpoint_find(sock_net(sk), name);
	return ep ? ep : ERR_PTR(-ECONNREFUSED);
}

/**
 * nym_dgram_target() - who is to get a datagram?
 * @sk: the sender
 * @ep: the name that it sends to
 * @reign: the reign under which the sender had permission; set to that of now
 *
 * Context: sleeps
 * Return: a socket with a reference; NULL if nobody has the name; -EPROTOTYPE;
 * as nym_endpoint_permission()
 */
struct sock *nym_dgram_target(struct sock *sk, struct nym_endpoint *ep, unsigned long *reign)
{
	struct sock *to;
	unsigned long now;
	int err;

	do {
		to = nym_member_sock(ep, sk, &now);
		if (!to)
			return NULL;
		err = 0;
		if (now != *reign)
			err = nym_endpoint_permission(ep, MAY_WRITE);
		if (!err && to->sk_type != sk->sk_type)
			err = -EPROTOTYPE;
		if (!err) {
			*reign = now;
			return to;
		}
		sock_put(to);
	} while (err == -ENOENT);
	return ERR_PTR(err);
}

/* May the socket send at all? */
static int nym_dgram_may_send(struct sock *sk)
{
	int err = sock_error(sk);

	if (err)
		return err;
	return READ_ONCE(sk->sk_shutdown) & SEND_SHUTDOWN ? -EPIPE : 0;
}

/*
 * What has happened while a sender waited? -ESTALE if it is connected elsewhere
 * by now, which matters if @on.
 */
static int nym_dgram_waited(struct sock *sk, struct nym_endpoint *ep, bool on,
			    long timeo)
{
	if (signal_pending(current))
		return sock_intr_errno(timeo);
	if (!nym_dgram_stays(sk, ep, on))
		return -ESTALE;
	return nym_dgram_may_send(sk);
}

/*
 * To the member that it is for, or to another if that will do and the sender has
 * permission, which it has under @reign.
 */
static int nym_dgram_try(const struct nym_room *room, struct sock *sk, unsigned long reign,
			 struct nym_dgram *d)
{
	struct sock *other;
	unsigned long now;
	int err;

	rcu_read_lock();
	err = nym_dgram_enqueue(room->to, d);
	rcu_read_unlock();
	if (!room->any || (err != -EAGAIN && err != -EPIPE && err != -EPERM))
		return err;
	other = nym_member_with_room(room->ep, sk, d->cost, room->files, &now);
	if (IS_ERR_OR_NULL(other))
		return other ? PTR_ERR(other) : err;
	rcu_read_lock();
	err = now == reign ? nym_dgram_enqueue(other, d) : -ENOENT;
	rcu_read_unlock();
	sock_put(other);
	return err;
}

/*
 * A datagram did not fit. If it was for the socket's peer, poll() must find room
 * for it from now on. False: there is room meanwhile.
 */
static bool nym_dgram_refuse(struct sock *sk, struct nym_room *room, u32 cost)
{
	return !nym_dgram_wants(sk, room, cost) || nym_dgram_stall(sk, room, cost);
}

/*
 * Sends to one socket, or to any of a name, and waits for room if need be: 0,
 * -ENOENT if it has gone, -ESTALE, or an error.
 */
static int nym_dgram_deliver_to(struct sock *sk, struct nym_room *room, unsigned long reign,
				struct nym_dgram *d, bool on, long *timeo)
{
	u32 round = nym_room_round(room), now;
	bool waited = false;
	int err;

	while ((err = nym_dgram_try(room, sk, reign, d)) == -EAGAIN) {
		if (!*timeo) {
			if (nym_dgram_refuse(sk, room, d->cost))
				break;
			continue;
		}
		now = nym_room_round(room);
		if (waited && now != round)
			nym_room_wake_next(room);
		round = now;
		*timeo = nym_dgram_wait_room(sk, room, d, on, *timeo);
		waited = true;
		err = nym_dgram_waited(sk, room->ep, on, *timeo);
		if (!err && nym_room_has_moved(room))
			err = -ENOENT;
		if (err)
			break;
	}
	/* It was not so before; others may be better. */
	if (waited && room->any && (err == -EPIPE || err == -EPERM))
		err = -ENOENT;
	if (waited)
		nym_room_wake_next(room);
	return err;
}

/* Waits until somebody has the name: 0, -ESTALE, or why not. */
static int nym_dgram_await(struct sock *sk, struct nym_endpoint *ep, bool on,
			   long *timeo)
{
	for (;;) {
		int err = nym_dgram_look(sk, ep);

		if (err != -EAGAIN)
			return err;
		if (!*timeo) {
			if (nym_dgram_is_dest(sk, ep) &&
			    !nym_dgram_stall_name(sk, ep))
				continue;
			return -EAGAIN;
		}
		*timeo = nym_dgram_wait_name(sk, ep, on, SEND_SHUTDOWN, *timeo);
		err = nym_dgram_waited(sk, ep, on, *timeo);
		if (err)
			return err;
	}
}

/* What did not fit fits now, or so it seems. */
static void nym_dgram_fits(struct sock *sk, struct nym_endpoint *ep, u32 cost, bool files)
{
	struct nym_dgram_sock *dsk = nym_dgram_sk(sk);
	u32 want = READ_ONCE(dsk->want);

	if (want && cost >= want && (files || !READ_ONCE(dsk->want_files)) &&
	    nym_dgram_is_dest(sk, ep))
		WRITE_ONCE(dsk->want, 0);
}

/*
 * To whoever has the name, now or when somebody has; @on if the socket is
 * connected there, and then -ESTALE if it is not any more.
 */
static int nym_dgram_deliver(struct sock *sk, struct nym_endpoint *ep, unsigned long *reign,
			     struct nym_dgram *d, bool on, long *timeo)
{
	bool files = d->control.files;
	struct nym_room room;
	u32 cost = d->cost;
	struct sock *to;
	int err;

	do {
		to = nym_dgram_target(sk, ep, reign);
		if (IS_ERR(to))
			return PTR_ERR(to);
		if (to) {
			room = nym_room_at(ep, to);
			room.files = files;
			err = nym_dgram_deliver_to(sk, &room, *reign, d, on, timeo);
			sock_put(to);
		} else {
			err = nym_dgram_await(sk, ep, on, timeo) ?: -ENOENT;
		}
		cond_resched();
	} while (err == -ENOENT);
	if (!err)
		nym_dgram_fits(sk, ep, cost, files);
	return err;
}

/* To the address that came with the message. */
static int nym_dgram_send_to(struct sock *sk, const struct nym_name *name,
			     struct nym_dgram *d, long timeo)
{
	struct nym_endpoint *ep = nym_dgram_find(sk, name);
	unsigned long reign = 0;
	int err;

	if (IS_ERR(ep))
		return PTR_ERR(ep);
	err = nym_dgram_deliver(sk, ep, &reign, d, false, &timeo);
	nym_endpoint_put(ep);
	return err;
}

/* Where is it connected to, and under which reign has it permission there? Under RCU. */
static struct nym_endpoint *nym_dgram_dest_rcu(struct sock *sk, unsigned long *reign)
{
	struct nym_dgram_sock *dsk = nym_dgram_sk(sk);
	struct nym_endpoint *ep;
	unsigned int moves;

	do {
		moves = read_seqcount_begin(&dsk->moves);
		ep = READ_ONCE(dsk->dest);
		*reign = READ_ONCE(dsk->reign);
	} while (read_seqcount_retry(&dsk->moves, moves));
	return ep;
}

/*
 * The usual way to where the socket is connected: its peer has the name alone, is who
 * gave permission, and has room. RCU keeps both. If not so, the long way finds out.
 */
static bool nym_dgram_send_at_once(struct sock *sk, struct nym_dgram *d)
{
	struct nym_endpoint *ep;
	unsigned long reign;
	struct sock *to;
	bool sent;

	/* Whether that fits now is for the long way, too. */
	if (READ_ONCE(nym_dgram_sk(sk)->want))
		return false;
	rcu_read_lock();
	ep = nym_dgram_dest_rcu(sk, &reign);
	to = ep ? nym_member_only(ep, reign) : NULL;
	sent = to && to->sk_type == sk->sk_type && !nym_dgram_enqueue(to, d);
	rcu_read_unlock();
	return sent;
}

/* To where the socket is connected. */
static int nym_dgram_send_on(struct sock *sk, struct nym_dgram *d, long timeo)
{
	struct nym_endpoint *ep;
	unsigned long known, reign;
	int err;

	if (likely(nym_dgram_send_at_once(sk, d)))
		return 0;
	do {
		ep = nym_dgram_dest(sk, &known);
		if (!ep)
			return -ENOTCONN;
		reign = known;
		err = nym_dgram_deliver(sk, ep, &reign, d, true, &timeo);
		if (reign != known)
			nym_dgram_permitted(sk, ep, reign);
		nym_endpoint_put(ep);
	} while (err == -ESTALE);
	return err;
}

static int nym_dgram_send_check(struct sock *sk, size_t len)
{
	u32 limit = nym_sock_limit(sk);
	int err;

	if (len > limit - min_t(u32, limit, NYM_DGRAM_HEAD))
		return -EMSGSIZE;
	err = nym_dgram_may_send(sk);
	if (!err && unlikely(!nym_sock_endpoint(sk)))
		err = nym_dgram_autobind(sk);
	return err;
}

/*
 * Copies the datagram and sends it, with what goes along with it: to @name, or if that
 * is NULL where the socket is connected. Inlined into both, each of which needs half.
 */
static __always_inline int nym_dgram_send(struct sock *sk, const struct nym_name *name,
					  struct msghdr *msg, size_t len,
					  struct nym_control *control)
{
	long timeo = sock_sndtimeo(sk, msg->msg_flags & MSG_DONTWAIT);
	struct nym_dgram *d;
	int err;

	err = nym_dgram_send_check(sk, len);
	if (err)
		return err;
	d = nym_dgram_alloc(sk, len);
	if (IS_ERR(d))
		return PTR_ERR(d);
	d->control = *control;
	*control = NYM_CONTROL_NONE;
	if (!nym_dgram_fill(d, &msg->msg_iter))
		err = -EFAULT;
	else if (name)
		err = nym_dgram_send_to(sk, name, d, timeo);
	else
		err = nym_dgram_send_on(sk, d, timeo);
	if (err)
		nym_dgram_free(d);
	return err;
}

/*
 * To the address that comes with the message. Apart, because kernels are built that
 * clear the name on every entry of the function that has it.
 */
static noinline int nym_dgram_send_named(struct sock *sk, struct msghdr *msg, size_t len,
					 struct nym_control *control)
{
	struct nym_name name;
	int err;

	err = nym_name_parse(&name, msg->msg_name, msg->msg_namelen);
	if (!err && !name.len)
		err = -EINVAL;
	return err ? err : nym_dgram_send(sk, &name, msg, len, control);
}

/**
 * nym_dgram_sendmsg() - proto_ops.sendmsg
 * @sock: the socket
 * @msg: the datagram, with an address or for where the socket is connected
 * @len: its length
 *
 * Context: sleeps
 * Return: @len; -ENOTCONN without a destination; -EINVAL for a bad address or
 * control message; -ECONNREFUSED if nobody has that name; -EACCES; -EPROTOTYPE;
 * -EPERM if the receiver is connected to somebody else or takes no descriptors;
 * -EMSGSIZE; -EPIPE; -EAGAIN, -EINTR, -ERESTARTSYS, -EFAULT, -ENOMEM; -ENOBUFS;
 * -EOPNOTSUPP for MSG_OOB; as nym_control_parse()
 */
int nym_dgram_sendmsg(struct socket *sock, struct msghdr *msg, size_t len)
{
	struct nym_control control;
	struct sock *sk = sock->sk;
	int err;

	err = nym_control_parse(sock, msg, &control);
	if (err)
		return err;
	if (msg->msg_flags & MSG_OOB)
		err = -EOPNOTSUPP;
	else if (msg->msg_namelen)
		err = nym_dgram_send_named(sk, msg, len, &control);
	else if (!READ_ONCE(nym_dgram_sk(sk)->dest))
		err = -ENOTCONN;
	else
		err = nym_dgram_send(sk, NULL, msg, len, &control);
	/* After EAGAIN, io_uring comes again with the same iterator. */
	if (err)
		iov_iter_revert(&msg->msg_iter, len - msg_data_left(msg));
	nym_control_release(&control);
	nym_trace_send(sk, err ? err : len);
	return err ? err : len;
}
