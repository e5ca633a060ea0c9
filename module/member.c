// SPDX-License-Identifier: GPL-2.0
/*
 * Members: the sockets that are bound to a name, who may be one, and which of
 * them is next.
 *
 * A name's members have one owner and one type. They come and go under the
 * endpoint's lock; under RCU the list can be looked at. A new reign begins when
 * somebody takes over a name that had no members: whoever had permission before
 * must ask again.
 *
 * The reign is looked at without the lock, by senders after the first member and
 * by callers before it. At first, reign is 1 and the first member old:
 *
 *	leave, then join		hold			hold or connect, then ask
 *	lock; first = NULL; unlock	r0 = first		r2 = load_acquire(reign)
 *	lock; reign = 2			smp_rmb()		r3 = first
 *	store_release(first, new)	r1 = reign
 *	unlock
 *
 *	never (r0 == new && r1 == 1), never (r2 == 2 && r3 == old)
 *
 * with nym_member_leave() and nym_member_join() on any processors, of which the
 * lock is the order, nym_member_hold() or nym_member_only(), and
 * nym_connect_check(). Else permission that the old owner gave would be taken for
 * the new one's. Other mixtures only make them ask once more.
 */
#include <linux/fs.h>
#include <linux/hash.h>
#include <linux/slab.h>

#include "dgram.h"

static u8 nym_sock_share(const struct sock *sk)
{
	u8 share = READ_ONCE(nym_sk(sk)->share);

	return !share && sk->sk_reuseport ? NYM_SHARE_ON : share;
}

/* May a socket join those that have the name? The lock is held. */
static bool nym_member_may_join(const struct nym_endpoint *ep,
				const struct nym_member *member)
{
	const struct sock *sk = member->sk;
	const struct nym_member *first;

	if (!ep->nmembers && !ep->lingers)
		return true;
	if (!uid_eq(ep->owner, member->owner) || ep->type != sk->sk_type)
		return false;
	if (!ep->nmembers)
		return true;
	first = list_first_entry(&ep->members, struct nym_member, list);
	return member->share && first->share && ep->nmembers < NYM_MEMBERS_MAX;
}

/**
 * nym_member_join() - make a socket one of those that have a name
 * @ep: the name
 * @member: the socket's member
 * @user: who is charged for the name, or NULL; set to NULL if the endpoint has
 *	taken it
 *
 * Context: any but interrupts
 * Return: 0; -EADDRINUSE; -EDQUOT if somebody must be charged first
 */
int nym_member_join(struct nym_endpoint *ep, struct nym_member *member,
		    struct nym_user **user)
{
	int err = 0;

	spin_lock(&ep->lock);
	if (!nym_member_may_join(ep, member)) {
		err = -EADDRINUSE;
	} else if (!ep->user && !*user) {
		err = -EDQUOT;
	} else {
		/* Callers wait on until one listens. */
		if (ep->lingers && member->sk->sk_type == SOCK_DGRAM)
			nym_linger_stop(ep, ep->nn);
		WRITE_ONCE(ep->type, member->sk->sk_type);
		if (!uid_eq(ep->owner, member->owner))
			ep->backlog.reowned = ep->backlog.nparked;
		ep->owner = member->owner;
		/* Pairs with nym_member_hold() and nym_connect_check(). */
		if (!ep->nmembers)
			WRITE_ONCE(ep->reign, ep->reign + 1);
		if (!ep->user) {
			/* A new owner's callers are counted from now on. */
			swap(ep->user, *user);
			WRITE_ONCE(ep->backlog.refused, 0);
			WRITE_ONCE(ep->backlog.dropped, 0);
		}
		list_add_tail_rcu(&member->list, &ep->members);
		WRITE_ONCE(ep->nmembers, ep->nmembers + 1);
	}
	spin_unlock(&ep->lock);
	return err;
}

/**
 * nym_member_alloc() - a member, of no name yet
 * @sk: its socket
 *
 * Context: sleeps
 * Return: the member, to be freed a grace period after it has left; or NULL
 */
struct nym_member *nym_member_alloc(struct sock *sk)
{
	struct nym_member *member;

	member = kzalloc(sizeof(*member), GFP_KERNEL_ACCOUNT);
	if (!member)
		return NULL;
	/* Its name leads others to it, and to the member. */
	sock_set_flag(sk, SOCK_RCU_FREE);
	INIT_LIST_HEAD(&member->pending);
	member->sk = sk;
	/* A socket that gets a name by sending: fchown() may be storing it. */
	member->owner = data_race(SOCK_INODE(sk->sk_socket)->i_uid);
	member->id = nym_registry_id(sock_net(sk));
	member->share = nym_sock_share(sk);
	return member;
}

/**
 * nym_member_leave() - a socket gives up its name
 * @ep: the name
 * @member: the socket's member
 * @user: is set to who was charged for the name, if it has no owner any more
 * @orphans: gets likewise the pending calls that end with that
 *
 * Context: any but interrupts
 * Return: true if it was the last one and the name has no owner any more
 */
bool nym_member_leave(struct nym_endpoint *ep, struct nym_member *member,
		      struct nym_user **user, struct list_head *orphans)
{
	u32 linger = READ_ONCE(nym_sk(member->sk)->linger);
	bool alone, last;

	spin_lock(&ep->lock);
	list_del_rcu(&member->list);
	WRITE_ONCE(ep->nmembers, ep->nmembers - 1);
	if (ep->turn == member)
		ep->turn = NULL;
	last = nym_backlog_shut_member(ep, member) || !ep->nmembers;
	if (last && linger) {
		/* It may have lingered, waiting for this one to listen. */
		if (ep->lingers)
			nym_linger_stop(ep, ep->nn);
		nym_linger_start(ep, ep->nn, linger);
	}
	alone = !ep->nmembers && !ep->lingers;
	if (alone) {
		nym_backlog_disown(ep, orphans);
		swap(*user, ep->user);
	}
	spin_unlock(&ep->lock);
	return alone;
}

static struct nym_member *nym_member_next(struct nym_endpoint *ep,
					  struct nym_member *member)
{
	if (!member || list_is_last(&member->list, &ep->members))
		return list_first_entry(&ep->members, struct nym_member, list);
	return list_next_entry(member, list);
}

static u32 nym_member_load(const struct nym_member *member)
{
	if (member->sk->sk_type != SOCK_DGRAM)
		return member->npending;
	/* One that takes none, or from its peer alone, gets one only if all do. */
	return nym_dgram_is_closed(member->sk) ? U32_MAX : nym_dgram_used(member->sk);
}

/* Is @a to be preferred to @b, whose load is @least? */
static bool nym_member_is_better(const struct nym_member *a,
				 const struct nym_member *b, u32 load, u32 least)
{
	if (!b || load < least)
		return true;
	return load == least && READ_ONCE(a->idle) && !READ_ONCE(b->idle);
}

static bool nym_member_takes(const struct nym_member *member, bool full)
{
	if (member->sk->sk_type == SOCK_DGRAM)
		return true;
	return member->open && (full || member->npending < member->limit);
}

/**
 * nym_member_choose() - who gets the next call or datagram?
 * @ep: the name; its lock is held
 * @full: also those that have no room for one more call
 *
 * Context: any but interrupts
 * Return: the member with the shortest queue, idle ones first, ties in turn;
 * NULL if none takes any
 */
struct nym_member *nym_member_choose(struct nym_endpoint *ep, bool full)
{
	struct nym_member *member = ep->turn, *best = NULL;
	u32 load, least = 0;
	unsigned int i;

	for (i = 0; i < ep->nmembers; i++) {
		member = nym_member_next(ep, member);
		if (!nym_member_takes(member, full))
			continue;
		load = nym_member_load(member);
		if (!nym_member_is_better(member, best, load, least))
			continue;
		best = member;
		least = load;
	}
	if (best) {
		ep->turn = best;
		WRITE_ONCE(best->idle, false);
	}
	return best;
}

/*
 * The one that a sender has had before, if that is still there; else one that
 * other senders are as likely to get as any. A member that comes changes nothing
 * for those that have one.
 */
static struct nym_member *nym_member_sticky(struct nym_endpoint *ep,
					    const struct sock *from)
{
	struct nym_member *member, *best = NULL;
	u64 before = nym_dgram_sticks_to(from);
	u32 value, most = 0;

	list_for_each_entry_rcu(member, &ep->members, list) {
		if (member->id == before)
			return member;
		value = hash_64((unsigned long)from ^ hash_64(member->id, 32), 32);
		if (best && value <= most)
			continue;
		best = member;
		most = value;
	}
	return best;
}

static bool nym_member_is_sticky(struct nym_endpoint *ep)
{
	const struct nym_member *first;

	first = list_first_or_null_rcu(&ep->members, struct nym_member, list);
	return first && first->share == NYM_SHARE_STICKY;
}

/* Of several, for a datagram of @from. The lock is held. */
static struct nym_member *nym_member_for(struct nym_endpoint *ep, struct sock *from)
{
	struct nym_member *member;

	if (!ep->nmembers)
		return NULL;
	/* If it is not for datagrams, the sender is told so. */
	if (ep->type != SOCK_DGRAM)
		return list_first_entry(&ep->members, struct nym_member, list);
	if (!nym_member_is_sticky(ep))
		return nym_member_choose(ep, true);
	member = nym_member_sticky(ep, from);
	nym_dgram_stick_to(from, member->id);
	return member;
}

/* The socket of a member that may have left; under RCU. */
static struct sock *nym_member_hold(struct nym_endpoint *ep,
				    struct nym_member *member, unsigned long *reign)
{
	struct sock *sk = NULL;

	if (member && refcount_inc_not_zero(&member->sk->sk_refcnt))
		sk = member->sk;
	/* Pairs with the release in list_add_tail_rcu(): not an older reign. */
	smp_rmb();
	/* Whom nym_endpoint_permission() then finds is not older than this reign. */
	*reign = smp_load_acquire(&ep->reign);
	return sk;
}

/**
 * nym_member_sock() - to whom goes a datagram?
 * @ep: the name
 * @from: the sender
 * @reign: is set to the reign under which this holds, not 0
 *
 * Context: any but interrupts
 * Return: a socket of whatever type, with a reference; NULL if there is none
 */
struct sock *nym_member_sock(struct nym_endpoint *ep, struct sock *from, unsigned long *reign)
{
	struct nym_member *member;
	struct sock *sk;

	rcu_read_lock();
	if (READ_ONCE(ep->nmembers) > 1) {
		spin_lock(&ep->lock);
		member = nym_member_for(ep, from);
		spin_unlock(&ep->lock);
	} else {
		member = list_first_or_null_rcu(&ep->members, struct nym_member,
						list);
	}
	sk = nym_member_hold(ep, member, reign);
	rcu_read_unlock();
	return sk;
}

/**
 * nym_member_peek() - to whom might a datagram go?
 * @ep: the name
 * @from: the sender
 * @reign: as nym_member_sock()
 *
 * Unlike nym_member_sock(), this takes nobody's turn.
 *
 * Context: any but interrupts
 * Return: as nym_member_sock()
 */
struct sock *nym_member_peek(struct nym_endpoint *ep, const struct sock *from,
			     unsigned long *reign)
{
	struct nym_member *member;
	struct sock *sk;

	rcu_read_lock();
	if (nym_member_is_sticky(ep))
		member = nym_member_sticky(ep, from);
	else
		member = list_first_or_null_rcu(&ep->members, struct nym_member,
						list);
	sk = nym_member_hold(ep, member, reign);
	rcu_read_unlock();
	return sk;
}

/**
 * nym_member_only() - who has a name alone?
 * @ep: the name
 * @reign: the reign under which the caller has permission
 *
 * Context: under RCU
 * Return: the socket, without a reference; NULL if there are none or several, or if
 * this is another reign
 */
struct sock *nym_member_only(struct nym_endpoint *ep, unsigned long reign)
{
	struct nym_member *member;

	if (READ_ONCE(ep->nmembers) != 1)
		return NULL;
	member = list_first_or_null_rcu(&ep->members, struct nym_member, list);
	/* As in nym_member_hold(). */
	smp_rmb();
	return member && READ_ONCE(ep->reign) == reign ? member->sk : NULL;
}

/**
 * nym_member_any() - will any member do for a datagram?
 * @ep: the name
 *
 * Context: any
 * Return: true if there are several, and it matters not which
 */
bool nym_member_any(struct nym_endpoint *ep)
{
	bool any;

	if (READ_ONCE(ep->nmembers) < 2)
		return false;
	rcu_read_lock();
	any = !nym_member_is_sticky(ep);
	rcu_read_unlock();
	return any;
}

/**
 * nym_member_with_room() - who has room for a datagram?
 * @ep: a name for datagrams
 * @from: the sender
 * @cost: what the datagram counts
 * @files: it brings descriptors
 * @reign: as nym_member_sock()
 *
 * Context: any but interrupts
 * Return: a socket with a reference; -EAGAIN if there is no room, but one would
 * take it then; NULL if none takes it
 */
struct sock *nym_member_with_room(struct nym_endpoint *ep, struct sock *from,
				  u32 cost, bool files, unsigned long *reign)
{
	struct nym_member *member, *found = NULL;
	bool full = false;
	struct sock *sk;
	int err;

	rcu_read_lock();
	list_for_each_entry_rcu(member, &ep->members, list) {
		if (member->sk->sk_type != SOCK_DGRAM)
			break;
		if (files && !READ_ONCE(nym_sk(member->sk)->passrights))
			continue;
		err = nym_dgram_check_room(member->sk, from, cost);
		if (!err) {
			found = member;
			break;
		}
		if (err == -EAGAIN)
			full = true;
	}
	sk = nym_member_hold(ep, found, reign);
	rcu_read_unlock();
	return !sk && full ? ERR_PTR(-EAGAIN) : sk;
}
