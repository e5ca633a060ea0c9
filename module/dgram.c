// SPDX-License-Identifier: GPL-2.0
/*
 * Datagram sockets: receiving, connecting, polling, and what there is to know of
 * them. Sending is in dgram_send.c.
 *
 * Receivers take turns at @rlock and copy the first datagram; it leaves the
 * queue when all that was asked of it has been copied. They are woken one by
 * one, so whoever was woken and leaves datagrams behind wakes the next.
 *
 * A socket is connected to an endpoint, that is, a name, not to who has it.
 *
 * Locks: see dgram.h. lock_sock(sk) is held by connect and never for receiving.
 */
#include <linux/sched/signal.h>

#include "dgram.h"
#include "trace.h"

/**
 * nym_dgram_dest() - where is a socket connected to?
 * @sk: the socket
 * @reign: set to the reign under which it has permission there
 *
 * Context: any but interrupts
 * Return: the name with a reference, or NULL
 */
struct nym_endpoint *nym_dgram_dest(struct sock *sk, unsigned long *reign)
{
	struct nym_dgram_sock *dsk = nym_dgram_sk(sk);
	struct nym_endpoint *ep;

	spin_lock(&dsk->lock);
	ep = dsk->dest;
	*reign = dsk->reign;
	if (ep)
		nym_endpoint_get(ep);
	spin_unlock(&dsk->lock);
	return ep;
}

/* The lock is held. */
static void nym_dgram_move(struct nym_dgram_sock *dsk, struct nym_endpoint *ep,
			   unsigned long reign)
{
	write_seqcount_begin(&dsk->moves);
	WRITE_ONCE(dsk->dest, ep);
	WRITE_ONCE(dsk->reign, reign);
	write_seqcount_end(&dsk->moves);
}

/*
 * Sets where a socket is connected to; returns where it was. What the old peer
 * has sent is not for the new one to answer for: it goes to @dropped; *lost if there
 * was any.
 */
static struct nym_endpoint *nym_dgram_set_dest(struct sock *sk,
					       struct nym_endpoint *ep, unsigned long reign,
					       struct list_head *dropped, bool *lost)
{
	struct nym_dgram_sock *dsk = nym_dgram_sk(sk);
	struct nym_endpoint *old;

	spin_lock(&dsk->lock);
	old = dsk->dest;
	nym_dgram_move(dsk, ep, reign);
	WRITE_ONCE(dsk->want, 0);
	*lost = old && old != ep && nym_dgram_flush(dsk, dropped);
	spin_unlock(&dsk->lock);
	return old;
}

/**
 * nym_dgram_is_dest() - is a socket connected to this name?
 * @sk: the socket
 * @ep: the name, or NULL
 *
 * Context: any but interrupts
 * Return: true if so
 */
bool nym_dgram_is_dest(struct sock *sk, const struct nym_endpoint *ep)
{
	struct nym_dgram_sock *dsk = nym_dgram_sk(sk);
	bool is;

	spin_lock(&dsk->lock);
	is = dsk->dest == ep;
	spin_unlock(&dsk->lock);
	return is;
}

/**
 * nym_dgram_wants() - a datagram did not fit where it was to go
 * @sk: the sender
 * @room: where that is
 * @cost: the cost of the datagram
 *
 * If the socket is connected there, poll() asks for room for that one from now
 * on.
 *
 * Context: any but interrupts
 * Return: true if it is
 */
bool nym_dgram_wants(struct sock *sk, const struct nym_room *room, u32 cost)
{
	struct nym_dgram_sock *dsk = nym_dgram_sk(sk);
	bool is;

	spin_lock(&dsk->lock);
	is = dsk->dest == room->ep;
	if (is) {
		WRITE_ONCE(dsk->want, cost);
		WRITE_ONCE(dsk->want_files, room->files);
	}
	spin_unlock(&dsk->lock);
	return is;
}

/**
 * nym_dgram_permitted() - a socket has permission at its destination
 * @sk: the socket
 * @ep: the name; nothing happens if it is connected elsewhere by now
 * @reign: the reign under which that is so
 *
 * Context: any but interrupts
 */
void nym_dgram_permitted(struct sock *sk, const struct nym_endpoint *ep, unsigned long reign)
{
	struct nym_dgram_sock *dsk = nym_dgram_sk(sk);

	spin_lock(&dsk->lock);
	if (dsk->dest == ep)
		nym_dgram_move(dsk, dsk->dest, reign);
	spin_unlock(&dsk->lock);
}

/**
 * nym_dgram_autobind() - a name for a socket that has none
 * @sk: the socket
 *
 * Every socket that sends has an address, so that it can be answered.
 *
 * Context: sleeps
 * Return: 0 or as nym_bind_chosen()
 */
int nym_dgram_autobind(struct sock *sk)
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
			  struct msghdr *msg, size_t len, int flags)
{
	size_t n = min_t(size_t, len, d->len);

	if (!nym_dgram_fetch(d, &msg->msg_iter, n))
		return -EFAULT;
	if (n < d->len)
		msg->msg_flags |= MSG_TRUNC;
	if (msg->msg_name)
		msg->msg_namelen = nym_name_fill(msg->msg_name,
						 &nym_sock_endpoint(d->from)->name);
	nym_dgram_stamp(sk, msg, d->stamp);
	return flags & MSG_TRUNC ? d->len : n;
}

/*
 * After a datagram has been copied, or not: @take if it is to leave the queue. What
 * was flushed meanwhile has been dropped, its descriptors with it. @rlock is held.
 */
static void nym_dgram_read_done(struct sock *sk, struct nym_dgram *d, bool take,
				struct nym_control *control)
{
	struct nym_dgram_sock *dsk = nym_dgram_sk(sk);

	if (!nym_dgram_read_end(dsk, d, &take))
		return;
	if (!take) {
		nym_dgram_drop(sk, d);
		return;
	}
	if (unlikely(d->control.files))
		nym_control_take_files(control, &d->control);
	nym_dgram_free(d);
	nym_dgram_made_room(dsk);
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
	nym_member_looks(sk, d);
	if (d) {
		ret = nym_dgram_copy(sk, d, msg, len, flags);
		if (ret >= 0 && unlikely(d->control.pid))
			nym_control_copy(&control, &d->control);
		nym_dgram_read_done(sk, d, ret >= 0 && !(flags & MSG_PEEK), &control);
	}
	mutex_unlock(&dsk->rlock);
	if (!d)
		return ret ? ret : -EAGAIN;

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
		/* Looked at first: what was queued before the end is not lost. */
		bool over = READ_ONCE(sock->sk->sk_shutdown) & RCV_SHUTDOWN;
		int ret = nym_dgram_read(sock, msg, len, flags);

		if (ret != -EAGAIN || !*timeo)
			return ret == -EINTR ? sock_intr_errno(*timeo) : ret;
		if (over)
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
	nym_trace_recv(sk, ret);
	return ret;
}

/* Who was connected to us has lost messages, as with AF_UNIX. */
static void nym_dgram_tell_lost(struct sock *sk, struct nym_endpoint *old)
{
	struct sock *peer;
	unsigned long reign;

	peer = nym_member_peek(old, sk, &reign);
	if (!peer)
		return;
	if (peer->sk_type == sk->sk_type &&
	    nym_dgram_is_dest(peer, nym_sock_endpoint(sk))) {
		WRITE_ONCE(peer->sk_err, ECONNRESET);
		sk_error_report(peer);
	}
	sock_put(peer);
}

/* The socket is locked. @ep is where it is connected to from now on, or NULL. */
static void nym_dgram_connect_to(struct sock *sk, struct nym_endpoint *ep,
				 unsigned long reign)
{
	struct nym_endpoint *old;
	LIST_HEAD(dropped);
	bool lost;

	old = nym_dgram_set_dest(sk, ep, reign, &dropped, &lost);
	WRITE_ONCE(sk->sk_state, ep ? TCP_ESTABLISHED : TCP_CLOSE);
	sk->sk_socket->state = ep ? SS_CONNECTED : SS_UNCONNECTED;
	nym_dgram_relay_off(sk, ep);
	if (lost)
		nym_dgram_tell_lost(sk, old);
	nym_dgram_drop_list(sk, &dropped);
	nym_endpoint_put(old);
	/* Others may send to it now, and it may send to others. */
	nym_dgram_changed(sk);
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
		nym_dgram_connect_to(sk, NULL, 0);
	return err;
}

/* Does whoever has the name let us connect? -ENOENT if nobody has it. */
static int nym_dgram_may_connect(struct sock *sk, struct nym_endpoint *ep,
				 unsigned long *reign)
{
	struct sock *to = nym_dgram_target(sk, ep, reign);
	int err;

	if (IS_ERR(to))
		return PTR_ERR(to);
	if (!to)
		return -ENOENT;
	err = nym_dgram_check(to, nym_sock_endpoint(sk));
	sock_put(to);
	/* That it takes no datagrams is for the sender to find out. */
	return err == -EPIPE ? 0 : err;
}

/*
 * Waits, if asked to, until somebody has the name and lets us connect: 0, or why
 * not; -EINPROGRESS if nobody has it yet and it would have to wait. Who sends
 * nothing any more may still choose from whom it receives.
 */
static int nym_dgram_connect_wait(struct sock *sk, struct nym_endpoint *ep,
				  long timeo, unsigned long *reign)
{
	bool now = !timeo;
	int err;

	do {
		err = nym_dgram_may_connect(sk, ep, reign);
		if (err != -ENOENT)
			return err;
		err = nym_dgram_look(sk, ep);
		if (err != -EAGAIN)
			continue;
		if (!timeo)
			return now ? -EINPROGRESS : -EAGAIN;
		timeo = nym_dgram_wait_name(sk, ep, false, 0, timeo);
		if (signal_pending(current))
			return sock_intr_errno(timeo);
		err = sock_error(sk);
	} while (!err);
	return err;
}

static int nym_dgram_connect_name(struct sock *sk, const struct nym_name *name,
				  long timeo)
{
	struct nym_endpoint *ep = nym_dgram_find(sk, name);
	unsigned long reign = 0;
	int err, bound;

	if (IS_ERR(ep))
		return PTR_ERR(ep);
	err = nym_dgram_connect_wait(sk, ep, timeo, &reign);
	if (err && err != -EINPROGRESS) {
		nym_endpoint_put(ep);
		return err;
	}

	lock_sock(sk);
	nym_dgram_connect_to(sk, ep, reign);
	bound = nym_dgram_connect_bind(sk);
	release_sock(sk);
	return bound ? bound : err;
}

static void nym_dgram_disconnect(struct sock *sk)
{
	lock_sock(sk);
	nym_dgram_connect_to(sk, NULL, 0);
	release_sock(sk);
}

/**
 * nym_dgram_connect() - proto_ops.connect of datagram sockets
 * @sock: the socket
 * @addr: a name to send to and receive from, or AF_UNSPEC for none
 * @len: length of @addr
 * @flags: O_NONBLOCK
 *
 * Context: sleeps, but waits only for a name that lingers or with NYM_WAIT
 * Return: 0; -EINVAL for a bad address; -ECONNREFUSED; -EACCES; -EPROTOTYPE;
 * -EPERM if the receiver is connected to somebody else; -ENOMEM; -EINPROGRESS
 * if it is connected, but nobody has the name yet; -EAGAIN, -EINTR, -ERESTARTSYS
 */
int nym_dgram_connect(struct socket *sock, struct nym_sockaddr *addr, int len,
		      int flags)
{
	struct sockaddr *sa = (struct sockaddr *)addr;
	struct sock *sk = sock->sk;
	struct nym_name name;
	int err;

	if (len < (int)sizeof(sa->sa_family))
		return -EINVAL;
	if (sa->sa_family == AF_UNSPEC) {
		nym_dgram_disconnect(sk);
		return 0;
	}
	err = nym_name_parse(&name, addr, len);
	if (err || !name.len)
		return -EINVAL;
	err = nym_dgram_connect_name(sk, &name,
				     sock_sndtimeo(sk, flags & O_NONBLOCK));
	trace_nym_connect(sk, name.text, err);
	return err;
}

static void nym_dgram_pair_end(struct socket *sock, struct socket *other)
{
	struct nym_endpoint *ep = nym_sock_endpoint(other->sk);
	struct nym_dgram_sock *dsk = nym_dgram_sk(sock->sk);
	LIST_HEAD(dropped);

	spin_lock(&dsk->lock);
	nym_dgram_move(dsk, nym_endpoint_get(ep), 0);
	/* It has had a name for a moment, to which anybody may have sent. */
	nym_dgram_flush(dsk, &dropped);
	spin_unlock(&dsk->lock);
	nym_dgram_drop_list(sock->sk, &dropped);
	/* Whoever waits for room there is not its peer. */
	nym_dgram_changed(sock->sk);
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
	unsigned long reign;
	int len;

	if (!peer) {
		ep = nym_sock_endpoint(sock->sk);
		return nym_name_fill(addr, ep ? &ep->name : &none);
	}
	ep = nym_dgram_dest(sock->sk, &reign);
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

/**
 * nym_dgram_is_closed() - does it take no datagrams, or its peer's alone?
 * @sk: the socket
 *
 * Context: any
 * Return: true if so
 */
bool nym_dgram_is_closed(const struct sock *sk)
{
	return READ_ONCE(sk->sk_shutdown) & RCV_SHUTDOWN ||
	       READ_ONCE(nym_dgram_sk(sk)->dest);
}

/**
 * nym_dgram_sticks_to() - which member of a sticky name has got its datagrams?
 * @sk: the sender, or NULL
 *
 * Context: any
 * Return: the member's number; 0 for none
 */
u64 nym_dgram_sticks_to(const struct sock *sk)
{
	return sk ? READ_ONCE(nym_dgram_sk(sk)->sticks_to) : 0;
}

/**
 * nym_dgram_stick_to() - a member of a sticky name gets a sender's datagrams
 * @sk: the sender
 * @id: the member's number
 *
 * Context: any
 */
void nym_dgram_stick_to(struct sock *sk, u64 id)
{
	if (READ_ONCE(nym_dgram_sk(sk)->sticks_to) != id)
		WRITE_ONCE(nym_dgram_sk(sk)->sticks_to, id);
}

/**
 * nym_dgram_info() - the part of struct nym_info that datagram sockets have
 * @sk: the socket
 * @info: otherwise 0
 *
 * Context: any
 */
void nym_dgram_info(struct sock *sk, struct nym_info *info)
{
	const struct nym_dgram_sock *dsk = nym_dgram_sk(sk);

	info->dropped = READ_ONCE(dsk->dropped);
	info->bytes_sent = atomic64_read(&dsk->bytes_sent);
	info->bytes_received = READ_ONCE(dsk->bytes_received);
	info->queued = READ_ONCE(dsk->used);
	info->queue_limit = READ_ONCE(sk->sk_rcvbuf);
	info->datagrams = READ_ONCE(dsk->queued);
}

/**
 * nym_dgram_peer() - where is it connected to?
 * @sk: the socket
 *
 * Context: any but interrupts
 * Return: the name with a reference, or NULL
 */
struct nym_endpoint *nym_dgram_peer(struct sock *sk)
{
	unsigned long reign;

	return nym_dgram_dest(sk, &reign);
}

/* Would a datagram to where the socket is connected be taken at once? */
static bool nym_dgram_writable(struct sock *sk)
{
	struct nym_dgram_sock *dsk = nym_dgram_sk(sk);
	u32 want = READ_ONCE(dsk->want);
	unsigned long reign;
	struct nym_endpoint *ep = nym_dgram_dest(sk, &reign);
	struct nym_room room;
	struct sock *to;
	bool stalled;

	if (!ep)
		return true;
	to = nym_member_peek(ep, sk, &reign);
	if (!to) {
		stalled = nym_dgram_stall_name(sk, ep);
	} else if (to->sk_type != sk->sk_type) {
		stalled = false;
	} else {
		room = nym_room_at(ep, to);
		room.files = want && READ_ONCE(dsk->want_files);
		stalled = nym_dgram_stall(sk, &room, want ?: nym_dgram_cost(0));
	}
	if (to)
		sock_put(to);
	nym_endpoint_put(ep);
	return !stalled;
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
	nym_member_looks(sk, nym_dgram_used(sk));
	if (nym_dgram_used(sk))
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
	sock_set_flag(sk, SOCK_RCU_FREE);
	spin_lock_init(&dsk->lock);
	seqcount_spinlock_init(&dsk->moves, &dsk->lock);
	INIT_LIST_HEAD(&dsk->queue);
	dsk->senders = RB_ROOT;
	dsk->users = RB_ROOT;
	mutex_init(&dsk->rlock);
	init_waitqueue_head(&dsk->room);
	nym_dgram_relay_init(dsk);
}

/**
 * nym_dgram_shut() - the socket has been shut down for reading
 * @sk: the socket
 *
 * Context: any but interrupts
 */
void nym_dgram_shut(struct sock *sk)
{
	nym_dgram_changed(sk);
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
	nym_dgram_move(dsk, NULL, 0);
	nym_dgram_flush(dsk, &dropped);
	spin_unlock(&dsk->lock);
	nym_dgram_relay_off(sk, NULL);
	nym_endpoint_put(dest);
	nym_dgram_drop_list(sk, &dropped);
	/* Who waits for room finds that there is nobody, also at the name. */
	nym_dgram_changed(sk);
}

/**
 * nym_dgram_obj_size() - for the slab of datagram sockets
 * Return: the size of one
 */
unsigned int nym_dgram_obj_size(void)
{
	return sizeof(struct nym_dgram_sock);
}
