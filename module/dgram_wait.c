// SPDX-License-Identifier: GPL-2.0
/*
 * Where the sender of a datagram waits, for room or for a name, and who wakes it.
 *
 * A sender without room sleeps on the receiver's @room queue, or the name's if
 * any of several members will do, and on its own, where shutdown and the like
 * are told. Pollers sleep only on their own queue: a relay in the other wakes
 * them.
 *
 * Locks: see dgram.h. Where the relay waits is under the lock of its socket.
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
 * The same holds for nmembers and for who is first, with nym_dgram_joined() and
 * nym_dgram_left() on the left, and on the right also nym_dgram_wait_name(); and
 * for a receiver that sleeps, which looks at @used without the lock,
 * sk_data_ready() waking it.
 *
 * A name that gets a second member, where senders then wait at the name: whom
 * the sender has seen, the receiver whose queue it then found full sees, too. So
 * does nym_dgram_changed(), with what it tells of for @used.
 *
 *	nym_member_join()	sender			nym_dgram_made_room()
 *	nmembers = 2		r0 = nmembers		lock; used = 0; unlock
 *				lock; r1 = used; unlock	r2 = nmembers
 *
 *	never (r0 == 2 && r1 != 0 && r2 == 1)
 */
#include <linux/sched/signal.h>

#include "dgram.h"

/**
 * nym_dgram_look() - has somebody the name?
 * @sk: who would send
 * @ep: the name
 *
 * Under the lock, because whoever takes over a name that lingers first ends that,
 * and then is a member, and when the last one leaves it lingers only after that:
 * in between, one would see neither.
 *
 * Context: any but interrupts
 * Return: 0 if so; -EAGAIN if the sender would rather wait than hear that nobody
 * has; else -ECONNREFUSED
 */
int nym_dgram_look(const struct sock *sk, struct nym_endpoint *ep)
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

/**
 * nym_dgram_relay_init() - the relay of a new socket
 * @dsk: the socket
 */
void nym_dgram_relay_init(struct nym_dgram_sock *dsk)
{
	init_waitqueue_func_entry(&dsk->relay, nym_dgram_relay);
	INIT_LIST_HEAD(&dsk->relay.entry);
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

/**
 * nym_dgram_relay_off() - the pollers of a socket wait for no room
 * @sk: the socket
 * @ep: where it is connected to, or NULL; nothing happens if that is not so
 *
 * Context: any but interrupts
 */
void nym_dgram_relay_off(struct sock *sk, const struct nym_endpoint *ep)
{
	nym_dgram_set_relay(sk, ep, (struct nym_relay_at){ });
}

/**
 * nym_room_at() - where a datagram could go
 * @ep: a name
 * @to: a member of it
 *
 * Context: any
 * Return: that place
 */
struct nym_room nym_room_at(struct nym_endpoint *ep, struct sock *to)
{
	return (struct nym_room){ .ep = ep, .to = to, .any = nym_member_any(ep) };
}

static wait_queue_head_t *nym_room_wait(const struct nym_room *room)
{
	return room->any ? &room->ep->wait : &nym_dgram_sk(room->to)->room;
}

/**
 * nym_room_round() - how often has room been made there?
 * @room: the place
 *
 * Context: any
 * Return: a number that wraps around
 */
u32 nym_room_round(const struct nym_room *room)
{
	return room->any ? atomic_read(&room->ep->round) :
			   READ_ONCE(nym_dgram_sk(room->to)->round);
}

static bool nym_room_is_full(const struct nym_room *room, struct sock *from, u32 cost)
{
	struct sock *other = NULL;
	unsigned long reign;

	if (room->any)
		other = nym_member_with_room(room->ep, from, cost, room->files, &reign);
	if (!other)
		return (!room->files || READ_ONCE(nym_sk(room->to)->passrights)) &&
		       nym_dgram_check_room(room->to, from, cost) == -EAGAIN;
	if (IS_ERR(other))
		return true;
	sock_put(other);
	return false;
}

/**
 * nym_room_has_moved() - is it somewhere else now that one has to wait?
 * @room: the place
 *
 * Context: any
 * Return: true if so
 */
bool nym_room_has_moved(const struct nym_room *room)
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

/**
 * nym_dgram_stall() - is there no room for what a socket wants to send?
 * @sk: the sender
 * @room: where it wants to send that; @any is looked at again
 * @cost: the cost of that
 *
 * If there is none, and if it is connected to that name, its pollers will be
 * woken when there is.
 *
 * Context: any but interrupts
 * Return: true if there is none
 */
bool nym_dgram_stall(struct sock *sk, struct nym_room *room, u32 cost)
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
		/* Who came or went may have looked for sleepers elsewhere. */
	} while (nym_room_has_moved(room));
	return nym_room_is_full(room, sk, cost);
}

/**
 * nym_dgram_stall_name() - has nobody the name, and is a socket to wait for that?
 * @sk: the sender
 * @ep: the name
 *
 * If so, and if it is connected there, its pollers will be woken when somebody
 * has.
 *
 * Context: any but interrupts
 * Return: true if so
 */
bool nym_dgram_stall_name(struct sock *sk, struct nym_endpoint *ep)
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

static void nym_room_wake(wait_queue_head_t *wait)
{
	if (wq_has_sleeper(wait))
		wake_up_interruptible_poll(wait, NYM_POLLOUT);
}

/**
 * nym_room_wake_next() - wakes another sender that waits for room
 * @room: where it waits
 *
 * Context: any but interrupts
 */
void nym_room_wake_next(const struct nym_room *room)
{
	nym_room_wake(nym_room_wait(room));
}

/**
 * nym_dgram_made_room() - wakes a sender, after datagrams have left the queue
 * @dsk: the receiver
 *
 * Context: any but interrupts
 */
void nym_dgram_made_room(struct nym_dgram_sock *dsk)
{
	struct nym_endpoint *ep = nym_sock_endpoint(&dsk->nsk.sk);

	nym_room_wake(&dsk->room);
	if (ep && READ_ONCE(ep->nmembers) > 1) {
		atomic_inc(&ep->round);
		nym_room_wake(&ep->wait);
	}
}

/**
 * nym_dgram_changed() - has all senders look again
 * @sk: the receiver, which takes other datagrams than before, or none
 *
 * Context: any but interrupts
 */
void nym_dgram_changed(struct sock *sk)
{
	struct nym_endpoint *ep = nym_sock_endpoint(sk);

	/* Between the change and whom it is told to: see the top of this file. */
	smp_mb();
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

/**
 * nym_dgram_left() - a name has one member less
 * @ep: the name
 * @member: that was
 *
 * Senders that wait for room at the name may have to wait at the one that is
 * left. Where a sender waits at its own, any may do if a sticky one has gone.
 *
 * Context: any but interrupts
 */
void nym_dgram_left(struct nym_endpoint *ep, const struct nym_member *member)
{
	struct nym_member *other;

	if (wq_has_sleeper(&ep->wait))
		wake_up_interruptible_all(&ep->wait);
	if (member->share != NYM_SHARE_STICKY || READ_ONCE(ep->type) != SOCK_DGRAM ||
	    !nym_member_any(ep))
		return;
	rcu_read_lock();
	list_for_each_entry_rcu(other, &ep->members, list) {
		if (other->sk->sk_type != SOCK_DGRAM)
			break;
		if (wq_has_sleeper(&nym_dgram_sk(other->sk)->room))
			wake_up_interruptible_all(&nym_dgram_sk(other->sk)->room);
	}
	rcu_read_unlock();
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

/**
 * nym_dgram_stays() - is a sender still to wait at a name?
 * @sk: the socket
 * @ep: the name
 * @on: it is, but only because its socket is connected there
 *
 * Whoever connects it elsewhere wakes it up, if it sleeps.
 *
 * Context: any but interrupts
 * Return: true if so
 */
bool nym_dgram_stays(struct sock *sk, const struct nym_endpoint *ep, bool on)
{
	return !on || nym_dgram_is_dest(sk, ep);
}

/**
 * nym_dgram_wait_name() - sleep until somebody may have the name
 * @sk: the socket
 * @ep: the name
 * @on: as for nym_dgram_stays()
 * @how: the shutdown that ends it, too
 * @timeo: for how long at most, in jiffies
 *
 * Context: sleeps
 * Return: the jiffies that are left
 */
long nym_dgram_wait_name(struct sock *sk, struct nym_endpoint *ep, bool on, int how, long timeo)
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

/**
 * nym_dgram_wait_room() - sleep until there may be room
 * @sk: the sender
 * @room: where
 * @d: what it sends
 * @on: as for nym_dgram_stays()
 * @timeo: for how long at most, in jiffies
 *
 * Senders are woken one by one: whoever goes away wakes the next, and so does
 * whoever finds no room after all, once each time that room was made.
 *
 * Context: sleeps
 * Return: the jiffies that are left
 */
long nym_dgram_wait_room(struct sock *sk, const struct nym_room *room,
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
