// SPDX-License-Identifier: GPL-2.0
/*
 * Datagram sockets: sending, receiving, connecting, polling.
 *
 * A datagram is copied from its sender before any lock is taken, so a sender
 * that stalls in a page fault holds up nobody. Then it is put into the
 * receiver's queue (dgram_queue.c), under whose lock death, shutdown, the
 * receiver's own peer and the room are looked at. Receivers take turns at
 * @rlock and copy the first; it leaves the queue when all that was asked of it
 * has been copied. They are woken one by one, so whoever was woken and leaves
 * datagrams behind wakes the next.
 *
 * Destinations are endpoints. A connected socket keeps the endpoint, which
 * keeps the name; when its socket has gone, the name is looked up again.
 *
 * A sender without room sleeps on the receiver's @room queue and on its own,
 * where shutdown and the like are told. Pollers sleep only on their own queue:
 * a relay in @room wakes them.
 *
 * Locks: see dgram.h. lock_sock(sk) is held by connect and never for sending or
 * receiving.
 */
#include <linux/sched/signal.h>

#include "dgram.h"

#define NYM_POLLOUT	(EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND)

/* What AF_UNIX takes off SO_SNDBUF for the longest datagram. */
#define NYM_DGRAM_HEAD	32

/* The endpoint's socket with a reference, or NULL. */
static struct sock *nym_endpoint_sock(struct nym_endpoint *ep)
{
	struct sock *sk;

	rcu_read_lock();
	sk = rcu_dereference(ep->sk);
	if (sk && !refcount_inc_not_zero(&sk->sk_refcnt))
		sk = NULL;
	rcu_read_unlock();
	return sk;
}

/* Where a socket is connected to, with a reference, or NULL. */
static struct nym_endpoint *nym_dgram_dest(struct sock *sk)
{
	struct nym_dgram_sock *dsk = nym_dgram_sk(sk);
	struct nym_endpoint *ep;

	spin_lock(&dsk->lock);
	ep = dsk->dest;
	if (ep)
		nym_endpoint_get(ep);
	spin_unlock(&dsk->lock);
	return ep;
}

/*
 * Sets where a socket is connected to; returns where it was. What the old peer
 * has sent is not for the new one to answer for: it goes to @dropped.
 */
static struct nym_endpoint *nym_dgram_set_dest(struct sock *sk,
					       struct nym_endpoint *ep,
					       struct list_head *dropped)
{
	struct nym_dgram_sock *dsk = nym_dgram_sk(sk);

	spin_lock(&dsk->lock);
	swap(dsk->dest, ep);
	WRITE_ONCE(dsk->want, 0);
	if (ep && !nym_endpoint_same(ep, dsk->dest))
		nym_dgram_flush(dsk, dropped);
	spin_unlock(&dsk->lock);
	return ep;
}

/* Looks a name up, as who sends there: an endpoint with a reference. */
static struct nym_endpoint *nym_dgram_find(struct sock *sk,
					   const struct nym_name *name)
{
	struct nym_endpoint *ep;
	int err;

	do {
		ep = nym_endpoint_find(sock_net(sk), name);
		if (!ep)
			return ERR_PTR(-ECONNREFUSED);
		err = nym_endpoint_permission(ep, MAY_WRITE);
		if (!err && ep->type != sk->sk_type)
			err = -EPROTOTYPE;
		if (!err)
			return ep;
		nym_endpoint_put(ep);
	} while (err == -ENOENT);
	return ERR_PTR(err);
}

/* A connected socket's destination has gone: to whoever has its name now. */
static int nym_dgram_follow(struct sock *sk, struct nym_endpoint *old)
{
	struct nym_dgram_sock *dsk = nym_dgram_sk(sk);
	struct nym_endpoint *ep = nym_dgram_find(sk, &old->name);

	if (IS_ERR(ep))
		return PTR_ERR(ep);
	spin_lock(&dsk->lock);
	if (dsk->dest == old)
		swap(dsk->dest, ep);
	spin_unlock(&dsk->lock);
	nym_endpoint_put(ep);
	return 0;
}

/* In @room of another socket, where there may be room now. Works once. */
static int nym_dgram_relay(wait_queue_entry_t *wait, unsigned int mode,
			   int wake_flags, void *key)
{
	struct nym_dgram_sock *dsk = container_of(wait, struct nym_dgram_sock, relay);
	struct socket_wq *wq;

	list_del_init(&wait->entry);
	rcu_read_lock();
	wq = rcu_dereference(dsk->nsk.sk.sk_wq);
	/* No SIGIO: how many processes get that is up to the sender's user. */
	if (skwq_has_sleeper(wq))
		wake_up_interruptible_poll(&wq->wait, NYM_POLLOUT);
	rcu_read_unlock();
	return 0;
}

static void nym_relay_unlink(struct nym_dgram_sock *dsk, struct sock *to)
{
	wait_queue_head_t *room = &nym_dgram_sk(to)->room;
	unsigned long flags;

	spin_lock_irqsave(&room->lock, flags);
	list_del_init(&dsk->relay.entry);
	spin_unlock_irqrestore(&room->lock, flags);
}

static void nym_relay_link(struct nym_dgram_sock *dsk, struct sock *to)
{
	wait_queue_head_t *room = &nym_dgram_sk(to)->room;
	unsigned long flags;

	spin_lock_irqsave(&room->lock, flags);
	if (list_empty(&dsk->relay.entry))
		__add_wait_queue(room, &dsk->relay);
	spin_unlock_irqrestore(&room->lock, flags);
}

/*
 * Has the pollers of @sk woken when there is room at @to, or not at all if that
 * is NULL; if it is still connected to @ep, that is. Else somebody else has seen
 * to it.
 */
static bool nym_dgram_set_relay(struct sock *sk, struct nym_endpoint *ep,
				struct sock *to)
{
	struct nym_dgram_sock *dsk = nym_dgram_sk(sk);
	struct sock *old = to;
	bool is;

	if (to)
		sock_hold(to);
	spin_lock(&dsk->lock);
	is = nym_endpoint_same(dsk->dest, ep);
	if (is) {
		old = dsk->relay_to;
		if (old && old != to)
			nym_relay_unlink(dsk, old);
		if (to)
			nym_relay_link(dsk, to);
		dsk->relay_to = to;
	}
	spin_unlock(&dsk->lock);
	if (old)
		sock_put(old);
	return is;
}

/*
 * Is there no room at @to, which is at @ep, for what @sk wants to send? If so,
 * and if it is connected to that, its pollers will be woken when there is.
 */
static bool nym_dgram_stall(struct sock *sk, struct nym_endpoint *ep,
			    struct sock *to, u32 cost)
{
	if (nym_dgram_check_room(to, sk, cost) != -EAGAIN)
		return false;
	sk_set_bit(SOCKWQ_ASYNC_NOSPACE, sk);
	if (!nym_dgram_set_relay(sk, ep, to))
		return true;
	/* Pairs with wq_has_sleeper() in nym_dgram_made_room(). */
	smp_mb();
	return nym_dgram_check_room(to, sk, cost) == -EAGAIN;
}

/* Is the socket connected to this name? If so, notes what did not fit there. */
static bool nym_dgram_is_dest(struct sock *sk, const struct nym_endpoint *ep,
			      u32 want)
{
	struct nym_dgram_sock *dsk = nym_dgram_sk(sk);
	bool is;

	spin_lock(&dsk->lock);
	is = nym_endpoint_same(dsk->dest, ep);
	if (is && want)
		WRITE_ONCE(dsk->want, want);
	spin_unlock(&dsk->lock);
	return is;
}

/*
 * A datagram did not fit. If it was for the socket's peer, poll() must find room
 * for it from now on. False: there is room meanwhile.
 */
static bool nym_dgram_refuse(struct sock *sk, struct nym_endpoint *ep,
			     struct sock *to, u32 cost)
{
	return !nym_dgram_is_dest(sk, ep, cost) ||
	       nym_dgram_stall(sk, ep, to, cost);
}

/* Wakes a sender, after datagrams have left the queue. */
static void nym_dgram_made_room(struct nym_dgram_sock *dsk)
{
	if (wq_has_sleeper(&dsk->room))
		wake_up_interruptible_poll(&dsk->room, NYM_POLLOUT);
}

/*
 * Sleeps until there may be room at @to. Senders are woken one by one: whoever
 * goes away wakes the next, and so does whoever finds no room after all, once
 * each time that room was made.
 */
static long nym_dgram_wait_room(struct sock *sk, struct sock *to,
				struct nym_dgram *d, long timeo)
{
	struct nym_dgram_sock *dsk = nym_dgram_sk(to);
	DEFINE_WAIT(room);
	DEFINE_WAIT(own);

	add_wait_queue(sk_sleep(sk), &own);
	prepare_to_wait_exclusive(&dsk->room, &room, TASK_INTERRUPTIBLE);
	if (nym_dgram_check_room(to, sk, d->cost) == -EAGAIN &&
	    !signal_pending(current) && !READ_ONCE(sk->sk_err) &&
	    !(READ_ONCE(sk->sk_shutdown) & SEND_SHUTDOWN))
		timeo = schedule_timeout(timeo);
	finish_wait(&dsk->room, &room);
	finish_wait(sk_sleep(sk), &own);
	return timeo;
}

/* May the socket send at all? */
static int nym_dgram_may_send(struct sock *sk)
{
	int err = sock_error(sk);

	if (err)
		return err;
	return READ_ONCE(sk->sk_shutdown) & SEND_SHUTDOWN ? -EPIPE : 0;
}

/* What has happened while a sender waited? @on: for where it is connected. */
static int nym_dgram_waited(struct sock *sk, struct nym_endpoint *ep, bool on,
			    long timeo)
{
	if (signal_pending(current))
		return sock_intr_errno(timeo);
	if (on && !nym_dgram_is_dest(sk, ep, 0))
		return -ENOENT;
	return nym_dgram_may_send(sk);
}

/* Sends to one socket, and waits for room if need be. */
static int nym_dgram_deliver_to(struct sock *sk, struct nym_endpoint *ep,
				struct sock *to, struct nym_dgram *d, bool on,
				long *timeo)
{
	struct nym_dgram_sock *dsk = nym_dgram_sk(to);
	u32 round = READ_ONCE(dsk->round), now;
	bool waited = false;
	int err;

	while ((err = nym_dgram_enqueue(to, d)) == -EAGAIN) {
		if (!*timeo) {
			if (nym_dgram_refuse(sk, ep, to, d->cost))
				break;
			continue;
		}
		now = READ_ONCE(dsk->round);
		if (waited && now != round)
			nym_dgram_made_room(dsk);
		round = now;
		*timeo = nym_dgram_wait_room(sk, to, d, *timeo);
		waited = true;
		err = nym_dgram_waited(sk, ep, on, *timeo);
		if (err)
			break;
	}
	if (waited)
		nym_dgram_made_room(dsk);
	return err;
}

/*
 * Sends to one name, @on if the socket is connected there: 0, an error, or
 * -ENOENT if its socket has gone or the sender is connected elsewhere by now.
 */
static int nym_dgram_deliver(struct sock *sk, struct nym_endpoint *ep,
			     struct nym_dgram *d, bool on, long *timeo)
{
	struct nym_dgram_sock *dsk = nym_dgram_sk(sk);
	struct sock *to = nym_endpoint_sock(ep);
	u32 cost = d->cost;
	int err;

	if (!to)
		return -ENOENT;
	err = nym_dgram_deliver_to(sk, ep, to, d, on, timeo);
	sock_put(to);
	/* What did not fit fits now, or so it seems. */
	if (!err && READ_ONCE(dsk->want) && cost >= READ_ONCE(dsk->want) &&
	    nym_dgram_is_dest(sk, ep, 0))
		WRITE_ONCE(dsk->want, 0);
	return err;
}

/* To the address that came with the message. */
static int nym_dgram_send_to(struct sock *sk, const struct nym_name *name,
			     struct nym_dgram *d, long timeo)
{
	struct nym_endpoint *ep;
	int err;

	do {
		ep = nym_dgram_find(sk, name);
		if (IS_ERR(ep))
			return PTR_ERR(ep);
		err = nym_dgram_deliver(sk, ep, d, false, &timeo);
		nym_endpoint_put(ep);
	} while (err == -ENOENT);
	return err;
}

/* To where the socket is connected. */
static int nym_dgram_send_on(struct sock *sk, struct nym_dgram *d, long timeo)
{
	struct nym_endpoint *ep;
	int err;

	do {
		ep = nym_dgram_dest(sk);
		if (!ep)
			return -ENOTCONN;
		err = nym_dgram_deliver(sk, ep, d, true, &timeo);
		if (err == -ENOENT && nym_dgram_is_dest(sk, ep, 0))
			err = nym_dgram_follow(sk, ep) ?: -ENOENT;
		nym_endpoint_put(ep);
	} while (err == -ENOENT);
	return err;
}

/* Every socket that sends has an address, so that it can be answered. */
static int nym_dgram_autobind(struct sock *sk)
{
	int err = 0;

	if (nym_sock_endpoint(sk))
		return 0;
	lock_sock(sk);
	if (!nym_sock_endpoint(sk))
		err = nym_bind_chosen(sk);
	release_sock(sk);
	return err;
}

static int nym_dgram_dest_given(struct sock *sk, const struct msghdr *msg,
				struct nym_name *name)
{
	int err;

	name->len = 0;
	if (!msg->msg_namelen)
		return READ_ONCE(nym_dgram_sk(sk)->dest) ? 0 : -ENOTCONN;
	err = nym_name_parse(name, msg->msg_name, msg->msg_namelen);
	return err ?: name->len ? 0 : -EINVAL;
}

/* Copies the datagram and sends it, with what goes along with it. */
static int nym_dgram_send(struct sock *sk, const struct nym_name *name,
			  struct msghdr *msg, size_t len,
			  struct nym_control *control)
{
	long timeo = sock_sndtimeo(sk, msg->msg_flags & MSG_DONTWAIT);
	struct nym_dgram *d;
	int err;

	d = nym_dgram_alloc(sk, len);
	if (IS_ERR(d))
		return PTR_ERR(d);
	swap(d->control, *control);
	if (!copy_from_iter_full(d->data, len, &msg->msg_iter))
		err = -EFAULT;
	else if (name->len)
		err = nym_dgram_send_to(sk, name, d, timeo);
	else
		err = nym_dgram_send_on(sk, d, timeo);
	if (err)
		nym_dgram_put(d);
	return err;
}

static int nym_dgram_send_check(struct sock *sk, const struct msghdr *msg,
				size_t len, struct nym_name *name)
{
	u32 limit = nym_sock_limit(sk);
	int err;

	if (msg->msg_flags & MSG_OOB)
		return -EOPNOTSUPP;
	err = nym_dgram_dest_given(sk, msg, name);
	if (err)
		return err;
	if (len > limit - min_t(u32, limit, NYM_DGRAM_HEAD))
		return -EMSGSIZE;
	err = nym_dgram_may_send(sk);
	return err ? err : nym_dgram_autobind(sk);
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
	struct nym_name name;
	int err;

	err = nym_control_parse(sock, msg, &control);
	if (err)
		return err;
	err = nym_dgram_send_check(sk, msg, len, &name);
	if (!err)
		err = nym_dgram_send(sk, &name, msg, len, &control);
	nym_control_release(&control);
	return err ? err : len;
}

static void nym_dgram_stamp(struct sock *sk, struct msghdr *msg, ktime_t stamp)
{
	bool new = sock_flag(sk, SOCK_TSTAMP_NEW);
	struct timespec64 ts;

	if (!sock_flag(sk, SOCK_RCVTSTAMP))
		return;
	/* The receiver may have asked after it was queued. */
	ts = ktime_to_timespec64(stamp ? stamp : ktime_get_real());
	if (sock_flag(sk, SOCK_RCVTSTAMPNS) && new) {
		struct __kernel_timespec v = { ts.tv_sec, ts.tv_nsec };

		put_cmsg(msg, SOL_SOCKET, SO_TIMESTAMPNS_NEW, sizeof(v), &v);
	} else if (sock_flag(sk, SOCK_RCVTSTAMPNS)) {
		struct __kernel_old_timespec v = { ts.tv_sec, ts.tv_nsec };

		put_cmsg(msg, SOL_SOCKET, SO_TIMESTAMPNS_OLD, sizeof(v), &v);
	} else if (new) {
		struct __kernel_sock_timeval v = { ts.tv_sec, ts.tv_nsec / NSEC_PER_USEC };

		put_cmsg(msg, SOL_SOCKET, SO_TIMESTAMP_NEW, sizeof(v), &v);
	} else {
		struct __kernel_old_timeval v = { ts.tv_sec, ts.tv_nsec / NSEC_PER_USEC };

		put_cmsg(msg, SOL_SOCKET, SO_TIMESTAMP_OLD, sizeof(v), &v);
	}
}

/* Copies a datagram out; @rlock is held. */
static int nym_dgram_copy(struct sock *sk, struct nym_dgram *d,
			  struct msghdr *msg, size_t len, int flags,
			  struct nym_control *control)
{
	size_t n = min_t(size_t, len, d->len);

	if (copy_to_iter(d->data, n, &msg->msg_iter) < n)
		return -EFAULT;
	if (n < d->len)
		msg->msg_flags |= MSG_TRUNC;
	if (msg->msg_name)
		msg->msg_namelen = nym_name_fill(msg->msg_name,
						 &nym_sock_endpoint(d->from)->name);
	nym_dgram_stamp(sk, msg, d->stamp);
	nym_control_copy(control, &d->control);
	if (!(flags & MSG_PEEK) && nym_dgram_remove(nym_dgram_sk(sk), d)) {
		nym_control_take_files(control, &d->control);
		nym_dgram_made_room(nym_dgram_sk(sk));
	}
	return flags & MSG_TRUNC ? d->len : n;
}

/* Receives the first datagram; -EAGAIN if there is none. */
static int nym_dgram_read(struct socket *sock, struct msghdr *msg, size_t len,
			  int flags)
{
	struct sock *sk = sock->sk;
	struct nym_dgram_sock *dsk = nym_dgram_sk(sk);
	struct nym_control control = NYM_CONTROL_NONE;
	struct nym_dgram *d;
	int ret;

	if (mutex_lock_interruptible(&dsk->rlock))
		return -EINTR;
	ret = sock_error(sk);
	d = ret ? NULL : nym_dgram_first(dsk);
	if (d)
		ret = nym_dgram_copy(sk, d, msg, len, flags, &control);
	mutex_unlock(&dsk->rlock);
	if (!d)
		return ret ? ret : -EAGAIN;

	nym_dgram_put(d);
	if (ret >= 0)
		nym_control_deliver(sock, msg, &control);
	return ret;
}

static long nym_dgram_wait(struct nym_dgram_sock *dsk, long timeo)
{
	struct sock *sk = &dsk->nsk.sk;
	DEFINE_WAIT(wait);

	prepare_to_wait_exclusive(sk_sleep(sk), &wait,
				  TASK_INTERRUPTIBLE | TASK_FREEZABLE);
	if (!READ_ONCE(dsk->used) && !READ_ONCE(sk->sk_err) &&
	    !(READ_ONCE(sk->sk_shutdown) & RCV_SHUTDOWN))
		timeo = schedule_timeout(timeo);
	finish_wait(sk_sleep(sk), &wait);
	return timeo;
}

static int nym_dgram_receive(struct socket *sock, struct msghdr *msg, size_t len,
			     int flags, long *timeo)
{
	struct nym_dgram_sock *dsk = nym_dgram_sk(sock->sk);

	for (;;) {
		int ret = nym_dgram_read(sock, msg, len, flags);

		if (ret != -EAGAIN || !*timeo)
			return ret == -EINTR ? sock_intr_errno(*timeo) : ret;
		if (READ_ONCE(sock->sk->sk_shutdown) & RCV_SHUTDOWN)
			return 0;
		if (signal_pending(current))
			return sock_intr_errno(*timeo);
		*timeo = nym_dgram_wait(dsk, *timeo);
	}
}

/**
 * nym_dgram_recvmsg() - proto_ops.recvmsg
 * @sock: the socket
 * @msg: where to; gets the sender's address if it has room for one
 * @len: how much; what is left of the datagram is dropped
 * @flags: MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC
 *
 * Context: sleeps
 * Return: how many bytes were received, or with MSG_TRUNC how long the datagram
 * was; 0 when shut down; -EAGAIN, -EINTR, -ERESTARTSYS, -EFAULT, or the
 * socket's error; -EOPNOTSUPP for MSG_OOB
 */
int nym_dgram_recvmsg(struct socket *sock, struct msghdr *msg, size_t len,
		      int flags)
{
	long timeo = sock_rcvtimeo(sock->sk, flags & MSG_DONTWAIT);
	struct sock *sk = sock->sk;
	bool waits = timeo;
	int ret;

	if (flags & MSG_OOB)
		return -EOPNOTSUPP;
	ret = nym_dgram_receive(sock, msg, len, flags, &timeo);
	/* Whoever was woken and has not taken the datagram wakes the next. */
	if (waits && (ret < 0 || flags & MSG_PEEK) &&
	    READ_ONCE(nym_dgram_sk(sk)->used))
		sk->sk_data_ready(sk);
	return ret;
}

/* Who was connected to us has lost messages, as with AF_UNIX. */
static void nym_dgram_tell_lost(struct sock *sk, struct nym_endpoint *old)
{
	struct sock *peer = nym_endpoint_sock(old);

	if (!peer)
		return;
	if (nym_dgram_is_dest(peer, nym_sock_endpoint(sk), 0)) {
		WRITE_ONCE(peer->sk_err, ECONNRESET);
		sk_error_report(peer);
	}
	sock_put(peer);
}

static int nym_dgram_may_connect(struct sock *sk, struct nym_endpoint *ep)
{
	struct sock *to = nym_endpoint_sock(ep);
	int err;

	if (!to)
		return -ENOENT;
	err = nym_dgram_check(to, nym_sock_endpoint(sk));
	sock_put(to);
	/* That it takes no datagrams is for the sender to find out. */
	return err == -EPIPE ? 0 : err;
}

/* Looks up whom to connect to: an endpoint with a reference. */
static struct nym_endpoint *nym_dgram_connect_find(struct sock *sk,
						   const struct nym_name *name)
{
	struct nym_endpoint *ep;
	int err;

	do {
		ep = nym_dgram_find(sk, name);
		if (IS_ERR(ep))
			return ep;
		err = nym_dgram_may_connect(sk, ep);
		if (!err)
			return ep;
		nym_endpoint_put(ep);
	} while (err == -ENOENT);
	return ERR_PTR(err);
}

/* The socket is locked. @ep is where it is connected to from now on, or NULL. */
static void nym_dgram_connect_to(struct sock *sk, struct nym_endpoint *ep)
{
	struct nym_endpoint *old;
	LIST_HEAD(dropped);

	old = nym_dgram_set_dest(sk, ep, &dropped);
	WRITE_ONCE(sk->sk_state, ep ? TCP_ESTABLISHED : TCP_CLOSE);
	sk->sk_socket->state = ep ? SS_CONNECTED : SS_UNCONNECTED;
	nym_dgram_set_relay(sk, ep, NULL);
	if (!list_empty(&dropped))
		nym_dgram_tell_lost(sk, old);
	nym_dgram_put_list(&dropped);
	nym_endpoint_put(old);
	/* Others may send to it now, and it may send to others. */
	wake_up_interruptible_all(&nym_dgram_sk(sk)->room);
	sk->sk_state_change(sk);
}

/*
 * Gives a socket that connects a name, if it has none: after it is connected, so
 * that nobody else can send to it in between.
 */
static int nym_dgram_connect_bind(struct sock *sk)
{
	int err;

	if (nym_sock_endpoint(sk))
		return 0;
	err = nym_bind_chosen(sk);
	if (err)
		nym_dgram_connect_to(sk, NULL);
	return err;
}

/**
 * nym_dgram_connect() - proto_ops.connect of datagram sockets
 * @sock: the socket
 * @addr: a name to send to and receive from, or AF_UNSPEC for none
 * @len: length of @addr
 * @flags: not used: it never waits
 *
 * Context: sleeps
 * Return: 0; -EINVAL for a bad address; -ECONNREFUSED; -EACCES; -EPROTOTYPE;
 * -EPERM if the receiver is connected to somebody else; -ENOMEM
 */
int nym_dgram_connect(struct socket *sock, struct nym_sockaddr *addr, int len,
		      int flags)
{
	struct sockaddr *sa = (struct sockaddr *)addr;
	struct nym_endpoint *ep = NULL;
	struct sock *sk = sock->sk;
	struct nym_name name;
	int err = 0;

	if (len < (int)sizeof(sa->sa_family))
		return -EINVAL;
	if (sa->sa_family != AF_UNSPEC) {
		err = nym_name_parse(&name, addr, len);
		if (err || !name.len)
			return -EINVAL;
	}

	lock_sock(sk);
	if (sa->sa_family != AF_UNSPEC)
		ep = nym_dgram_connect_find(sk, &name);
	if (IS_ERR(ep)) {
		err = PTR_ERR(ep);
	} else {
		nym_dgram_connect_to(sk, ep);
		if (ep)
			err = nym_dgram_connect_bind(sk);
	}
	release_sock(sk);
	return err;
}

static void nym_dgram_pair_end(struct socket *sock, struct socket *other)
{
	struct nym_endpoint *ep = nym_sock_endpoint(other->sk);
	struct nym_dgram_sock *dsk = nym_dgram_sk(sock->sk);
	LIST_HEAD(dropped);

	spin_lock(&dsk->lock);
	dsk->dest = nym_endpoint_get(ep);
	/* It has had a name for a moment, to which anybody may have sent. */
	nym_dgram_flush(dsk, &dropped);
	spin_unlock(&dsk->lock);
	nym_dgram_put_list(&dropped);
	nym_set_peer_current(sock->sk);
	WRITE_ONCE(sock->sk->sk_state, TCP_ESTABLISHED);
	sock->state = SS_CONNECTED;
}

/**
 * nym_dgram_socketpair() - proto_ops.socketpair of datagram sockets
 * @a: one socket, new
 * @b: the other, new
 *
 * Context: sleeps
 * Return: 0 or -ENOMEM
 */
int nym_dgram_socketpair(struct socket *a, struct socket *b)
{
	int err = nym_dgram_autobind(a->sk);

	if (!err)
		err = nym_dgram_autobind(b->sk);
	if (err)
		return err;
	nym_dgram_pair_end(a, b);
	nym_dgram_pair_end(b, a);
	return 0;
}

/**
 * nym_dgram_getname() - proto_ops.getname of datagram sockets
 * @sock: the socket
 * @addr: room for an address
 * @peer: the peer's, not its own
 *
 * Context: any but interrupts
 * Return: the address length or -ENOTCONN
 */
int nym_dgram_getname(struct socket *sock, struct sockaddr *addr, int peer)
{
	static const struct nym_name none;
	struct nym_endpoint *ep;
	int len;

	if (!peer) {
		ep = nym_sock_endpoint(sock->sk);
		return nym_name_fill(addr, ep ? &ep->name : &none);
	}
	ep = nym_dgram_dest(sock->sk);
	if (!ep)
		return -ENOTCONN;
	len = nym_name_fill(addr, &ep->name);
	nym_endpoint_put(ep);
	return len;
}

/**
 * nym_dgram_queued() - what SIOCINQ and SIOCOUTQ answer
 * @sk: the socket
 * @out: SIOCOUTQ
 *
 * Context: any but interrupts
 * Return: the length of the first datagram; or what has been sent and not been
 * received, overhead included
 */
long nym_dgram_queued(struct sock *sk, bool out)
{
	struct nym_dgram_sock *dsk = nym_dgram_sk(sk);
	struct nym_dgram *d;
	long len;

	if (out)
		return sk_wmem_alloc_get(sk);
	spin_lock(&dsk->lock);
	d = list_first_entry_or_null(&dsk->queue, struct nym_dgram, list);
	len = d ? d->len : 0;
	spin_unlock(&dsk->lock);
	return len;
}

/**
 * nym_dgram_used() - how full is the queue?
 * @sk: the socket
 *
 * Context: any
 * Return: the cost of all datagrams in it
 */
u32 nym_dgram_used(const struct sock *sk)
{
	return READ_ONCE(nym_dgram_sk(sk)->used);
}

/* Would a datagram to where the socket is connected be taken at once? */
static bool nym_dgram_writable(struct sock *sk)
{
	struct nym_endpoint *ep = nym_dgram_dest(sk);
	bool room = true;
	struct sock *to;
	u32 want;

	if (!ep)
		return true;
	to = nym_endpoint_sock(ep);
	if (to) {
		want = READ_ONCE(nym_dgram_sk(sk)->want) ?: nym_dgram_cost(0);
		room = !nym_dgram_stall(sk, ep, to, want);
		sock_put(to);
	}
	nym_endpoint_put(ep);
	return room;
}

/**
 * nym_dgram_poll() - proto_ops.poll of datagram sockets
 * @file: the socket's file
 * @sock: the socket
 * @wait: where to wait
 *
 * Context: any but interrupts
 * Return: the mask; EPOLLOUT for a connected socket only if a datagram, or the
 * one that did not fit last time, would be taken
 */
__poll_t nym_dgram_poll(struct file *file, struct socket *sock, poll_table *wait)
{
	struct sock *sk = sock->sk;
	__poll_t mask = 0;
	int shutdown;

	sock_poll_wait(file, sock, wait);
	shutdown = READ_ONCE(sk->sk_shutdown);
	if (READ_ONCE(sk->sk_err))
		mask |= EPOLLERR;
	if (shutdown & RCV_SHUTDOWN)
		mask |= EPOLLRDHUP | EPOLLIN | EPOLLRDNORM;
	if (shutdown == SHUTDOWN_MASK)
		mask |= EPOLLHUP;
	if (READ_ONCE(nym_dgram_sk(sk)->used))
		mask |= EPOLLIN | EPOLLRDNORM;
	if (poll_requested_events(wait) & NYM_POLLOUT && nym_dgram_writable(sk))
		mask |= NYM_POLLOUT;
	return mask;
}

/**
 * nym_dgram_init() - the datagram part of a new socket
 * @sk: the socket
 */
void nym_dgram_init(struct sock *sk)
{
	struct nym_dgram_sock *dsk = nym_dgram_sk(sk);

	BUILD_BUG_ON(offsetof(struct nym_dgram_sock, nsk) != 0);
	spin_lock_init(&dsk->lock);
	INIT_LIST_HEAD(&dsk->queue);
	dsk->senders = RB_ROOT;
	mutex_init(&dsk->rlock);
	init_waitqueue_head(&dsk->room);
	init_waitqueue_func_entry(&dsk->relay, nym_dgram_relay);
	INIT_LIST_HEAD(&dsk->relay.entry);
}

/**
 * nym_dgram_shut() - the socket has been shut down for reading
 * @sk: the socket
 *
 * Context: any but interrupts
 */
void nym_dgram_shut(struct sock *sk)
{
	wake_up_interruptible_all(&nym_dgram_sk(sk)->room);
}

/**
 * nym_dgram_close() - the socket is being released
 * @sk: the socket, which has given up its name
 *
 * Context: sleeps
 */
void nym_dgram_close(struct sock *sk)
{
	struct nym_dgram_sock *dsk = nym_dgram_sk(sk);
	struct nym_endpoint *dest;
	LIST_HEAD(dropped);

	spin_lock(&dsk->lock);
	dsk->closed = true;
	dest = dsk->dest;
	dsk->dest = NULL;
	nym_dgram_flush(dsk, &dropped);
	spin_unlock(&dsk->lock);
	nym_dgram_set_relay(sk, NULL, NULL);
	nym_endpoint_put(dest);
	nym_dgram_put_list(&dropped);
	/* Who waits for room finds that there is nobody. */
	wake_up_interruptible_all(&dsk->room);
}

/**
 * nym_dgram_obj_size() - for the slab of datagram sockets
 * Return: the size of one
 */
unsigned int nym_dgram_obj_size(void)
{
	return sizeof(struct nym_dgram_sock);
}
