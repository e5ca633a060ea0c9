// SPDX-License-Identifier: GPL-2.0
/*
 * The pending calls of a name when its members come and go.
 *
 * When a member leaves, its pending calls go to the others, to those with room
 * first. If none of them listens yet, or if the name lingers, they become orphans
 * until somebody does; when nobody is left, they see their connection reset. What
 * goes along with a call may keep it from a member, see files.c; orphans with nym
 * sockets are laden, and kept apart.
 *
 * Orphans, and what a member gets beyond its backlog, are charged to the owner of
 * the name.
 *
 * All under the endpoint's lock, one call in one go, as in backlog.c.
 */
#include "af_nym.h"
#include "backlog.h"
#include "trace.h"

/* Orphans */

/*
 * May one more be kept for the owner of the name, by nobody or by a member that
 * has no room for it? Nobody is exempt: whoever lets go of a socket last may be
 * anybody.
 */
static bool nym_orphan_may_be(struct nym_endpoint *ep)
{
	atomic_t *orphans = &ep->user->orphans;
	u32 max = READ_ONCE(ep->nn->max_parked);

	/* All names of the owner count here; do not disturb them in vain. */
	if (atomic_read(orphans) >= max)
		return false;
	if (atomic_inc_return(orphans) <= max)
		return true;
	atomic_dec(orphans);
	return false;
}

/* A call has been charged as too much; see nym_orphan_may_be(). */
static void nym_call_is_surplus(struct nym_endpoint *ep, struct nym_conn *call)
{
	refcount_inc(&ep->user->ref);
	call->user = ep->user;
	call->surplus = true;
}

/*
 * May a member have this call, for which it may have no room? A call that is
 * charged keeps that until it has found a place.
 */
static bool nym_call_may_pass(struct nym_endpoint *ep, struct nym_conn *call,
			      struct nym_member *member)
{
	bool room = member->npending < member->limit;

	if (!room && !call->user) {
		if (!nym_orphan_may_be(ep))
			return false;
		nym_call_is_surplus(ep, call);
	}
	if (!nym_marks_carry(&call->marks[NYM_CALLER], member->sk))
		return false;
	if (room)
		nym_call_uncharge(call);
	return true;
}

/* Who is to have a pending call: one with room, if there is one. */
static struct nym_member *nym_member_heir(struct nym_endpoint *ep)
{
	return nym_member_choose(ep, false) ?: nym_member_choose(ep, true);
}

/*
 * Has one of the open members, of which there is one, accept a pending call: the
 * first choice, or if that may not have what goes along with it, any other.
 * NULL if none may.
 */
static struct sock *nym_call_pass(struct nym_endpoint *ep, struct nym_conn *call,
				  struct nym_member *choice)
{
	struct nym_member *heir = NULL, *member;

	if (nym_call_may_pass(ep, call, choice))
		heir = choice;
	list_for_each_entry(member, &ep->members, list) {
		if (heir)
			break;
		if (member->open && nym_call_may_pass(ep, call, member))
			heir = member;
	}
	if (!heir)
		return NULL;
	nym_call_give(ep, call, heir);
	nym_stat_inc(ep->nn, NYM_STAT_MIGRATED);
	nym_trace_migrate(ep, call, heir->sk);
	return heir->sk;
}

static struct nym_conn *nym_orphan_first(struct nym_backlog *backlog)
{
	struct nym_conn *call;

	call = list_first_entry_or_null(&backlog->orphans, struct nym_conn, queue);
	return call ?: list_first_entry_or_null(&backlog->laden, struct nym_conn,
						queue);
}

/* Takes an orphan out of its queue. What it is charged is the call's own now. */
static void nym_orphan_take(struct nym_endpoint *ep, struct nym_conn *call)
{
	list_del(&call->queue);
	ep->backlog.norphans--;
	nym_call_is_surplus(ep, call);
}

static void nym_orphan_uncharge(struct nym_endpoint *ep, unsigned int n)
{
	atomic_sub(n, &ep->user->orphans);
	ep->backlog.norphans -= n;
}

/* Returns whether the call may stay without a socket. */
static bool nym_call_orphan(struct nym_endpoint *ep, struct nym_conn *call)
{
	struct nym_backlog *backlog = &ep->backlog;
	bool laden;

	if (call->surplus && call->user == ep->user) {
		/* What it is charged goes for the orphan. */
		nym_user_put(call->user);
		call->user = NULL;
		call->surplus = false;
	} else {
		nym_call_uncharge(call);
		if (!nym_orphan_may_be(ep))
			return false;
	}
	backlog->norphans++;
	laden = nym_marks_leave(&call->marks[NYM_CALLER]);
	nym_stat_inc(ep->nn, NYM_STAT_ORPHANED);
	list_add_tail(&call->queue, laden ? &backlog->laden : &backlog->orphans);
	return true;
}

/* Gives orphans to members. */
static void nym_backlog_adopt(struct nym_endpoint *ep)
{
	struct nym_backlog *backlog = &ep->backlog;
	struct nym_member *member;
	struct nym_conn *call;
	struct sock *heir;

	do {
		heir = NULL;
		rcu_read_lock();
		spin_lock(&ep->lock);
		call = nym_orphan_first(backlog);
		member = call ? nym_member_heir(ep) : NULL;
		if (member) {
			nym_orphan_take(ep, call);
			heir = nym_call_pass(ep, call, member);
			if (!heir)
				nym_call_abort(backlog, call);
		}
		spin_unlock(&ep->lock);
		if (heir)
			nym_member_wake(heir);
		rcu_read_unlock();
		if (member && !heir)
			nym_call_reset(ep, call);
		cond_resched();
	} while (member);
}

/**
 * nym_backlog_prune() - reset orphans that carry nym sockets
 * @ep: the endpoint; nothing happens if somebody takes calls, or if it lingers
 *
 * Among those sockets might be the only one that could ever listen, and nobody
 * could close it.
 *
 * Context: sleeps
 */
void nym_backlog_prune(struct nym_endpoint *ep)
{
	struct nym_conn *call;

	do {
		spin_lock(&ep->lock);
		call = ep->backlog.nopen || ep->lingers ? NULL :
		       list_first_entry_or_null(&ep->backlog.laden,
						struct nym_conn, queue);
		if (call) {
			nym_orphan_take(ep, call);
			nym_call_abort(&ep->backlog, call);
		}
		spin_unlock(&ep->lock);
		if (call)
			nym_call_reset(ep, call);
		cond_resched();
	} while (call);
}

/* Members */

/**
 * nym_backlog_shut_member() - a member takes no more calls
 * @ep: the endpoint; its lock is held
 * @member: the member
 *
 * Context: any but interrupts
 * Return: true if it was the last that took any
 */
bool nym_backlog_shut_member(struct nym_endpoint *ep, struct nym_member *member)
{
	if (!member->open)
		return false;
	member->open = false;
	ep->backlog.limit -= member->limit;
	ep->backlog.nshut += member->npending;
	return !--ep->backlog.nopen;
}

/**
 * nym_backlog_open() - a member takes calls
 * @ep: the endpoint
 * @member: the member
 * @limit: how many may be pending at it; 0 leaves it shut
 *
 * Context: sleeps
 */
void nym_backlog_open(struct nym_endpoint *ep, struct nym_member *member,
		      unsigned int limit)
{
	struct nym_backlog *backlog = &ep->backlog;

	spin_lock(&ep->lock);
	nym_backlog_shut_member(ep, member);
	WRITE_ONCE(member->limit, limit);
	if (limit) {
		member->open = true;
		backlog->limit += limit;
		backlog->nopen++;
		backlog->nshut -= member->npending;
	}
	if (limit && ep->lingers)
		nym_linger_stop(ep, ep->nn);
	spin_unlock(&ep->lock);

	nym_backlog_adopt(ep);
	nym_backlog_promote(ep);
}

/**
 * nym_backlog_shut() - a member takes no more calls, but keeps what is pending
 * @ep: the endpoint
 * @member: the member
 *
 * Context: sleeps
 */
void nym_backlog_shut(struct nym_endpoint *ep, struct nym_member *member)
{
	spin_lock(&ep->lock);
	nym_backlog_shut_member(ep, member);
	spin_unlock(&ep->lock);
	/* Its calls take no room any more, and may have taken more than it had. */
	nym_backlog_promote(ep);
	nym_backlog_refuse(ep);
}

/**
 * struct nym_leave - a call of a member that leaves
 * @call: the call, or NULL if there is none
 * @heir: the socket that has it now, alive under RCU, or NULL
 * @kept: it is an orphan now
 */
struct nym_leave {
	struct nym_conn *call;
	struct sock *heir;
	bool kept;
};

/* The lock is held. */
static struct nym_leave nym_backlog_leave_one(struct nym_endpoint *ep,
					      struct nym_member *member, bool alone)
{
	struct nym_leave leave = { .call = nym_call_ungive(&ep->backlog, member) };
	struct nym_member *choice;
	bool kept;

	if (!leave.call)
		return leave;
	/* Meanwhile the name may be somebody else's. */
	kept = !alone && uid_eq(ep->owner, member->owner) &&
	       ep->type == member->sk->sk_type && (ep->nmembers || ep->lingers);
	choice = kept ? nym_member_heir(ep) : NULL;
	if (choice)
		leave.heir = nym_call_pass(ep, leave.call, choice);
	else if (kept)
		leave.kept = nym_call_orphan(ep, leave.call);
	if (!leave.heir && !leave.kept)
		nym_call_abort(&ep->backlog, leave.call);
	return leave;
}

/**
 * nym_backlog_leave() - a member's socket is being released
 * @ep: the endpoint
 * @member: the member, no longer in the endpoint's list
 * @alone: it was the last one, and the name does not linger
 *
 * Context: sleeps
 */
void nym_backlog_leave(struct nym_endpoint *ep, struct nym_member *member,
		       bool alone)
{
	struct nym_leave leave;

	do {
		rcu_read_lock();
		spin_lock(&ep->lock);
		leave = nym_backlog_leave_one(ep, member, alone);
		spin_unlock(&ep->lock);
		if (leave.heir)
			nym_member_wake(leave.heir);
		rcu_read_unlock();
		if (leave.call && !leave.heir && !leave.kept)
			nym_call_reset(ep, leave.call);
		cond_resched();
	} while (leave.call);

	nym_backlog_promote(ep);
	nym_backlog_refuse(ep);
}

/**
 * nym_backlog_disown() - the name has no owner any more
 * @ep: the endpoint; its lock is held
 * @orphans: gets the pending calls that end with that, for nym_backlog_end()
 *
 * Context: any but interrupts
 */
void nym_backlog_disown(struct nym_endpoint *ep, struct list_head *orphans)
{
	nym_orphan_uncharge(ep, ep->backlog.norphans);
	list_splice_tail_init(&ep->backlog.orphans, orphans);
	list_splice_tail_init(&ep->backlog.laden, orphans);
}

/**
 * nym_backlog_end() - end the calls that the former owner had
 * @ep: the endpoint
 * @orphans: those, from nym_backlog_disown()
 *
 * Context: sleeps
 */
void nym_backlog_end(struct nym_endpoint *ep, struct list_head *orphans)
{
	struct nym_conn *call, *next;

	list_for_each_entry_safe(call, next, orphans, queue) {
		spin_lock(&ep->lock);
		nym_call_abort(&ep->backlog, call);
		spin_unlock(&ep->lock);
		nym_call_reset(ep, call);
		cond_resched();
	}
	/* Meanwhile the name may have a new owner. */
	nym_backlog_promote(ep);
	nym_backlog_refuse(ep);
}
