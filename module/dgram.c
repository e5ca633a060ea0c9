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
 * Destinations are endpoints, that is, names: whoever has the name now gets the
 * datagram. A connected socket has asked for permission when it connected, and
 * asks again when the name has been taken over.
 *
 * A sender without room sleeps on the receiver's @room queue, or the name's if
 * any of several members will do, and on its own, where shutdown and the like
 * are told. Pollers sleep only on their own queue: a relay in the other wakes
 * them.
 *
 * Locks: see dgram.h. lock_sock(sk) is held by connect and never for sending or
 * receiving.
 *
 * Memory order, written as in ring.c. What is in a queue is looked at under its
 * lock, but who is woken is not. A receiver's barrier is wq_has_sleeper(), a
 * sender's is in prepare_to_wait() or, for a poller's relay, smp_mb().
 *
 *	nym_dgram_made_room()		nym_dgram_wait_room(), nym_dgram_stall()
 *	lock; used = 0; unlock		queued = 1
 *	smp_mb()			smp_mb()
 *	r0 = queued			lock; r1 = is there room?; unlock
 *
 *	never (r0 == 0 && r1 == 0)
 *
 * The same holds for nmembers, with nym_dgram_joined() and nym_unbind() on the
 * left, and on the right also nym_dgram_wait_name(); and for a receiver that
 * sleeps, which looks at @used without the lock, sk_data_ready() waking it.
 *
 * A name that gets a second member, where senders then wait at the name: whom
 * the sender has seen, the receiver whose queue it then found full sees, too.
 *
 *	nym_member_join()	sender			nym_dgram_made_room()
 *	nmembers = 2		r0 = nmembers		lock; used = 0; unlock
 *				lock; r1 = used; unlock	r2 = nmembers
 *
 *	never (r0 == 2 && r1 != 0 && r2 == 1)
 */
#include <linux/sched/signal.h>

#include "dgram.h"
#include "trace.h"

#define NYM_POLLOUT	(EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND)

/* What AF_UNIX takes off SO_SNDBUF for the longest datagram. */
#define NYM_DGRAM_HEAD	32

/*
 * Where a socket is connected to, with a reference, or NULL; and under which
 * reign it has permission there.
 */
static struct nym_endpoint *nym_dgram_dest(struct sock *sk, unsigned long *reign)
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

/*
 * Sets where a socket is connected to; returns where it was. What the old peer
 * has sent is not for the new one to answer for: it goes to @dropped.
 */
static struct nym_endpoint *nym_dgram_set_dest(struct sock *sk,
					       struct nym_endpoint *ep, unsigned long reign,
					       struct list_head *dropped)
{
	struct nym_dgram_sock *dsk = nym_dgram_sk(sk);
	struct nym_endpoint *old;

	spin_lock(&dsk->lock);
	old = dsk->dest;
	WRITE_ONCE(dsk->dest, ep);
	dsk->reign = reign;
	WRITE_ONCE(dsk->want, 0);
	if (old && old != ep)
		nym_dgram_flush(dsk, dropped);
	spin_unlock(&dsk->lock);
	return old;
}

/* A name to send to, with a reference. */
static struct nym_endpoint *nym_dgram_find(struct sock *sk,
					   const struct nym_name *name)
{
	struct nym_endpoint *ep;

	if (READ_ONCE(nym_sk(sk)->waits)) {
		ep = nym_endpoint_await(sock_net(sk), name);
		return ep ? ep : ERR_PTR(-ENOMEM);
	}
	ep = nym_endpoint_find(sock_net(sk), name);
	return ep ? ep : ERR_PTR(-ECONNREFUSED);
}

/*
 * Who is to get a datagram: a socket with a reference, NULL if nobody has the
 * name, or an error. @reign is the one under which the sender had permission.
 */
static struct sock *nym_dgram_target(struct sock *sk, struct nym_endpoint *ep,
				     unsigned long *reign)
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

/*
 * Has somebody the name? 0 if so; -EAGAIN if the sender would rather wait than
 * hear that nobody has; else -ECONNREFUSED. Under the lock, because whoever
 * takes over a name that lingers first ends that, and then is a member, and
 * when the last one leaves it lingers only after that: in between, one would
 * see neither.
 */
static int nym_dgram_look(const struct sock *sk, struct nym_endpoint *ep)
{
	bool waits = READ_ONCE(nym_sk(sk)->waits);
	int err = 0;

	spin_lock(&ep->lock);
	if (!ep->nmembers)
		err = waits || ep->lingers ? -EAGAIN : -ECONNREFUSED;
	spin_unlock(&ep->lock);
	return err;
}

static bool nym_dgram_is_awaited(const struct sock *sk, struct nym_endpoint *ep)
{
	return nym_dgram_look(sk, ep) == -EAGAIN;
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

static void nym_relay_unlink(struct nym_dgram_sock *dsk, wait_queue_head_t *room)
{
	unsigned long flags;

	spin_lock_irqsave(&room->lock, flags);
	list_del_init(&dsk->relay.entry);
	spin_unlock_irqrestore(&room->lock, flags);
}

static void nym_relay_link(struct nym_dgram_sock *dsk, wait_queue_head_t *room)
{
	unsigned long flags;

	spin_lock_irqsave(&room->lock, flags);
	if (list_empty(&dsk->relay.entry))
		__add_wait_queue(room, &dsk->relay);
	spin_unlock_irqrestore(&room->lock, flags);
}

/*
 * Has the pollers of @sk woken from there, if it is still connected to @ep; else
 * somebody else has seen to it. Takes over the reference.
 */
static bool nym_dgram_set_relay(struct sock *sk, const struct nym_endpoint *ep,
				struct nym_relay_at at)
{
	struct nym_dgram_sock *dsk = nym_dgram_sk(sk);
	bool is;

	spin_lock(&dsk->lock);
	is = dsk->dest == ep;
	if (is) {
		if (dsk->relay_at.room && dsk->relay_at.room != at.room)
			nym_relay_unlink(dsk, dsk->relay_at.room);
		if (at.room)
			nym_relay_link(dsk, at.room);
		swap(dsk->relay_at, at);
	}
	spin_unlock(&dsk->lock);
	if (at.sk)
		sock_put(at.sk);
	nym_endpoint_put(at.ep);
	return is;
}

static void nym_dgram_relay_off(struct sock *sk, const struct nym_endpoint *ep)
{
	nym_dgram_set_relay(sk, ep, (struct nym_relay_at){ });
}

/**
 * struct nym_room - where a datagram could go
 * @ep: the name that it is for
 * @to: the member that it is for
 * @any: another member will do
 * @files: if it takes these descriptors, or NULL
 *
 * Whoever waits for room waits at the name if any member will do.
 */
struct nym_room {
	struct nym_endpoint *ep;
	struct sock *to;
	bool any;
	const struct nym_files *files;
};

static struct nym_room nym_room_at(struct nym_endpoint *ep, struct sock *to)
{
	return (struct nym_room){ .ep = ep, .to = to, .any = nym_member_any(ep) };
}

static wait_queue_head_t *nym_room_wait(const struct nym_room *room)
{
	return room->any ? &room->ep->wait : &nym_dgram_sk(room->to)->room;
}

/* How often room has been made there. */
static u32 nym_room_round(const struct nym_room *room)
{
	return room->any ? atomic_read(&room->ep->round) :
			   READ_ONCE(nym_dgram_sk(room->to)->round);
}

static bool nym_room_is_full(const struct nym_room *room, struct sock *from, u32 cost)
{
	struct sock *other;
	unsigned long reign;

	if (nym_dgram_check_room(room->to, from, cost) != -EAGAIN)
		return false;
	if (!room->any)
		return true;
	other = nym_member_with_room(room->ep, from, cost, room->files, &reign);
	if (other)
		sock_put(other);
	return !other;
}

/* Is it somewhere else now that one has to wait? */
static bool nym_room_has_moved(const struct nym_room *room)
{
	return room->any != nym_member_any(room->ep);
}

static struct nym_relay_at nym_room_relay(const struct nym_room *room)
{
	struct nym_relay_at at = { .room = nym_room_wait(room) };

	if (room->any) {
		at.ep = nym_endpoint_get(room->ep);
	} else {
		sock_hold(room->to);
		at.sk = room->to;
	}
	return at;
}

/*
 * Is there no room for what @sk wants to send? If so, and if it is connected to
 * that name, its pollers will be woken when there is.
 */
static bool nym_dgram_stall(struct sock *sk, struct nym_room *room, u32 cost)
{
	do {
		room->any = nym_member_any(room->ep);
		if (!nym_room_is_full(room, sk, cost))
			return false;
		sk_set_bit(SOCKWQ_ASYNC_NOSPACE, sk);
		if (!nym_dgram_set_relay(sk, room->ep, nym_room_relay(room)))
			return true;
		/* Pairs with wq_has_sleeper() in nym_room_wake(). */
		smp_mb();
		/* Who came or went has looked for sleepers in one place only. */
	} while (nym_room_has_moved(room));
	return nym_room_is_full(room, sk, cost);
}

/*
 * Has nobody the name, and is @sk to wait? If so, its pollers will be woken when
 * somebody has.
 */
static bool nym_dgram_stall_name(struct sock *sk, struct nym_endpoint *ep)
{
	struct nym_relay_at at = { .room = &ep->wait, .ep = ep };

	if (!nym_dgram_is_awaited(sk, ep))
		return false;
	sk_set_bit(SOCKWQ_ASYNC_NOSPACE, sk);
	nym_endpoint_get(ep);
	if (!nym_dgram_set_relay(sk, ep, at))
		return true;
	/* Pairs with wq_has_sleeper() in nym_dgram_joined(). */
	smp_mb();
	return nym_dgram_is_awaited(sk, ep);
}

/* Is the socket connected to this name? If so, notes what did not fit there. */
static bool nym_dgram_is_dest(struct sock *sk, const struct nym_endpoint *ep,
			      u32 want)
{
	struct nym_dgram_sock *dsk = nym_dgram_sk(sk);
	bool is;

	spin_lock(&dsk->lock);
	is = dsk->dest == ep;
	if (is && want)
		WRITE_ONCE(dsk->want, want);
	spin_unlock(&dsk->lock);
	return is;
}

/*
 * A datagram did not fit. If it was for the socket's peer, poll() must find room
 * for it from now on. False: there is room meanwhile.
 */
static bool nym_dgram_refuse(struct sock *sk, struct nym_room *room, u32 cost)
{
	return !nym_dgram_is_dest(sk, room->ep, cost) ||
	       nym_dgram_stall(sk, room, cost);
}

static void nym_room_wake(wait_queue_head_t *wait)
{
	if (wq_has_sleeper(wait))
		wake_up_interruptible_poll(wait, NYM_POLLOUT);
}

/* Wakes a sender, after datagrams have left the queue. */
static void nym_dgram_made_room(struct nym_dgram_sock *dsk)
{
	struct nym_endpoint *ep = nym_sock_endpoint(&dsk->nsk.sk);

	nym_room_wake(&dsk->room);
	if (ep && READ_ONCE(ep->nmembers) > 1) {
		atomic_inc(&ep->round);
		nym_room_wake(&ep->wait);
	}
}

/* Has all senders look again: the socket does not take what it took before. */
static void nym_dgram_changed(struct sock *sk)
{
	struct nym_endpoint *ep = nym_sock_endpoint(sk);

	wake_up_interruptible_all(&nym_dgram_sk(sk)->room);
	if (ep && READ_ONCE(ep->nmembers) > 1)
		wake_up_interruptible_all(&ep->wait);
}

/**
 * nym_dgram_joined() - a name has one more member
 * @ep: the name
 *
 * Senders that wait for the name can go on, and those that wait for room at the
 * member that was alone.
 *
 * Context: sleeps
 */
void nym_dgram_joined(struct nym_endpoint *ep)
{
	struct sock *first;
	unsigned long reign;

	if (wq_has_sleeper(&ep->wait))
		wake_up_interruptible_all(&ep->wait);
	if (READ_ONCE(ep->nmembers) < 2 || READ_ONCE(ep->type) != SOCK_DGRAM)
		return;
	first = nym_member_peek(ep, NULL, &reign);
	if (first && first->sk_type == SOCK_DGRAM)
		wake_up_interruptible_all(&nym_dgram_sk(first)->room);
	if (first)
		sock_put(first);
}

/*
 * May somebody sleep whose waiting ends with the shutdown @how? If not, what ends
 * it is told afterwards.
 */
static bool nym_dgram_may_sleep(struct sock *sk, int how)
{
	return !signal_pending(current) && !READ_ONCE(sk->sk_err) &&
	       !(READ_ONCE(sk->sk_shutdown) & how);
}

/*
 * Is a sender still to wait at this name, @on if only because its socket is
 * connected there? Whoever connects it elsewhere wakes it up, if it sleeps.
 */
static bool nym_dgram_stays(struct sock *sk, const struct nym_endpoint *ep, bool on)
{
	return !on || nym_dgram_is_dest(sk, ep, 0);
}

/* Sleeps until somebody may have the name, or the shutdown @how. */
static long nym_dgram_wait_name(struct sock *sk, struct nym_endpoint *ep, bool on,
				int how, long timeo)
{
	DEFINE_WAIT(name);
	DEFINE_WAIT(own);

	add_wait_queue(sk_sleep(sk), &own);
	prepare_to_wait(&ep->wait, &name, TASK_INTERRUPTIBLE);
	if (nym_dgram_is_awaited(sk, ep) && nym_dgram_stays(sk, ep, on) &&
	    nym_dgram_may_sleep(sk, how))
		timeo = schedule_timeout(timeo);
	finish_wait(&ep->wait, &name);
	finish_wait(sk_sleep(sk), &own);
	return timeo;
}

/*
 * Sleeps until there may be room. Senders are woken one by one: whoever goes
 * away wakes the next, and so does whoever finds no room after all, once each
 * time that room was made.
 */
static long nym_dgram_wait_room(struct sock *sk, const struct nym_room *room,
				struct nym_dgram *d, bool on, long timeo)
{
	wait_queue_head_t *queue = nym_room_wait(room);
	DEFINE_WAIT(wait);
	DEFINE_WAIT(own);

	add_wait_queue(sk_sleep(sk), &own);
	prepare_to_wait_exclusive(queue, &wait, TASK_INTERRUPTIBLE);
	if (nym_room_is_full(room, sk, d->cost) && !nym_room_has_moved(room) &&
	    nym_dgram_stays(sk, room->ep, on) && nym_dgram_may_sleep(sk, SEND_SHUTDOWN))
		timeo = schedule_timeout(timeo);
	finish_wait(queue, &wait);
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
	int err = nym_dgram_enqueue(room->to, d);
	struct sock *other;
	unsigned long now;

	if (!room->any || (err != -EAGAIN && err != -EPIPE && err != -EPERM))
		return err;
	other = nym_member_with_room(room->ep, sk, d->cost, room->files, &now);
	if (!other)
		return err;
	err = now == reign ? nym_dgram_enqueue(other, d) : -ENOENT;
	sock_put(other);
	return err;
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
			nym_room_wake(nym_room_wait(room));
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
		nym_room_wake(nym_room_wait(room));
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
			if (nym_dgram_is_dest(sk, ep, 0) &&
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
static void nym_dgram_fits(struct sock *sk, struct nym_endpoint *ep, u32 cost)
{
	struct nym_dgram_sock *dsk = nym_dgram_sk(sk);
	u32 want = READ_ONCE(dsk->want);

	if (want && cost >= want && nym_dgram_is_dest(sk, ep, 0))
		WRITE_ONCE(dsk->want, 0);
}

/*
 * To whoever has the name, now or when somebody has; @on if the socket is
 * connected there, and then -ESTALE if it is not any more.
 */
static int nym_dgram_deliver(struct sock *sk, struct nym_endpoint *ep, unsigned long *reign,
			     struct nym_dgram *d, bool on, long *timeo)
{
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
			room.files = d->control.files;
			err = nym_dgram_deliver_to(sk, &room, *reign, d, on, timeo);
			sock_put(to);
		} else {
			err = nym_dgram_await(sk, ep, on, timeo) ?: -ENOENT;
		}
		cond_resched();
	} while (err == -ENOENT);
	if (!err)
		nym_dgram_fits(sk, ep, cost);
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

/* The socket has permission at its destination now. */
static void nym_dgram_permitted(struct sock *sk, const struct nym_endpoint *ep,
				unsigned long reign)
{
	struct nym_dgram_sock *dsk = nym_dgram_sk(sk);

	spin_lock(&dsk->lock);
	if (dsk->dest == ep)
		dsk->reign = reign;
	spin_unlock(&dsk->lock);
}

/* To where the socket is connected. */
static int nym_dgram_send_on(struct sock *sk, struct nym_dgram *d, long timeo)
{
	struct nym_endpoint *ep;
	unsigned long known, reign;
	int err;

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
	/* After EAGAIN, io_uring comes again with the same iterator. */
	if (err)
		iov_iter_revert(&msg->msg_iter, len - msg_data_left(msg));
	nym_control_release(&control);
	nym_trace_send(sk, err ? err : len);
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
	nym_member_looks(sk, d);
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
	    nym_dgram_is_dest(peer, nym_sock_endpoint(sk), 0)) {
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

	old = nym_dgram_set_dest(sk, ep, reign, &dropped);
	WRITE_ONCE(sk->sk_state, ep ? TCP_ESTABLISHED : TCP_CLOSE);
	sk->sk_socket->state = ep ? SS_CONNECTED : SS_UNCONNECTED;
	nym_dgram_relay_off(sk, ep);
	if (!list_empty(&dropped))
		nym_dgram_tell_lost(sk, old);
	nym_dgram_put_list(sk, &dropped);
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
	WRITE_ONCE(dsk->dest, nym_endpoint_get(ep));
	/* It has had a name for a moment, to which anybody may have sent. */
	nym_dgram_flush(dsk, &dropped);
	spin_unlock(&dsk->lock);
	nym_dgram_put_list(sock->sk, &dropped);
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
	unsigned long reign;
	u32 want;
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
		want = READ_ONCE(nym_dgram_sk(sk)->want) ?: nym_dgram_cost(0);
		room = nym_room_at(ep, to);
		stalled = nym_dgram_stall(sk, &room, want);
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
	spin_lock_init(&dsk->lock);
	INIT_LIST_HEAD(&dsk->queue);
	dsk->senders = RB_ROOT;
	dsk->users = RB_ROOT;
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
	WRITE_ONCE(dsk->dest, NULL);
	nym_dgram_flush(dsk, &dropped);
	spin_unlock(&dsk->lock);
	nym_dgram_relay_off(sk, NULL);
	nym_endpoint_put(dest);
	nym_dgram_put_list(sk, &dropped);
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
