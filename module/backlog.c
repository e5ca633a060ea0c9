// SPDX-License-Identifier: GPL-2.0
/*
 * The backlog of a name: its calls, between connect() and accept().
 *
 * A call is the conn itself, and moves along one road:
 *
 *	PARKED --> PENDING --> ACCEPTED
 *	   `-----> REFUSED
 *
 * PARKED waits for the name or for room. PENDING is at one member, the socket
 * that will accept it, and its client is connected and may send; what becomes of
 * it when that member leaves is in migrate.c. When nobody is left, parked callers
 * are refused, unless they would rather wait.
 *
 * Shares. A user may have half of what the others leave pending, but always
 * one, and none of the last eighth, which is kept for the owner of the name and
 * for administrators; those may have it all. What does not fit is parked. A
 * user's calls are served in order; between users it goes in turn.
 *
 * Every step is taken under the endpoint's lock, by whoever makes it possible;
 * nobody is woken under it, and not more than one call is moved in one go: how
 * many there are is up to users. The client's socket is not locked: it learns of
 * the step by reading conn->state (call.c).
 *
 * A conn in the backlog holds the reference of its called side, and whoever
 * takes it out owns that reference.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/slab.h>

#include "wait.h"
#include "backlog.h"
#include "trace.h"

/* The part of a backlog that is kept for the owner: one in 2^3. */
#define NYM_RESERVE_SHIFT	3

/**
 * nym_backlog_init() - an empty backlog
 * @backlog: zeroed memory
 */
void nym_backlog_init(struct nym_backlog *backlog)
{
	backlog->callers = RB_ROOT;
	INIT_LIST_HEAD(&backlog->turns);
	INIT_LIST_HEAD(&backlog->favoured);
	INIT_LIST_HEAD(&backlog->orphans);
	INIT_LIST_HEAD(&backlog->laden);
	INIT_LIST_HEAD(&backlog->refusable);
}

/**
 * nym_backlog_free() - free what an empty backlog holds
 * @backlog: the backlog, which nobody can reach any more
 */
void nym_backlog_free(struct nym_backlog *backlog)
{
	kfree(backlog->spare);
}

/* The caller of a parked call: to go, it must take the call out first. */
#define nym_locked_sock(ep, sk) \
	rcu_dereference_protected(sk, lockdep_is_held(&(ep)->lock))

/* Callers. All with the endpoint's lock. */

static struct nym_caller *nym_caller_find(struct nym_backlog *backlog, kuid_t uid,
					  struct rb_node **parent,
					  struct rb_node ***link)
{
	struct rb_node **p = &backlog->callers.rb_node;

	*parent = NULL;
	while (*p) {
		struct nym_caller *caller = rb_entry(*p, struct nym_caller, node);

		if (uid_eq(caller->uid, uid))
			return caller;
		*parent = *p;
		p = uid_lt(uid, caller->uid) ? &(*p)->rb_left : &(*p)->rb_right;
	}
	*link = p;
	return NULL;
}

/* The caller of a user, made of the spare one if need be; NULL without that. */
static struct nym_caller *nym_caller_get(struct nym_backlog *backlog, kuid_t uid)
{
	struct rb_node *parent, **link;
	struct nym_caller *caller;

	caller = nym_caller_find(backlog, uid, &parent, &link);
	if (caller || !backlog->spare)
		return caller;
	caller = backlog->spare;
	backlog->spare = NULL;
	caller->uid = uid;
	caller->npending = 0;
	caller->nparked = 0;
	INIT_LIST_HEAD(&caller->parked);
	INIT_LIST_HEAD(&caller->turn);
	INIT_LIST_HEAD(&caller->favoured);
	rb_link_node(&caller->node, parent, link);
	rb_insert_color(&caller->node, &backlog->callers);
	return caller;
}

static void nym_caller_put(struct nym_backlog *backlog, struct nym_caller *caller)
{
	if (caller->npending || caller->nparked)
		return;
	rb_erase(&caller->node, &backlog->callers);
	if (backlog->spare)
		kfree(caller);
	else
		backlog->spare = caller;
}

/* Counting. All with the endpoint's lock. */

static void nym_call_count_parked(struct nym_backlog *backlog,
				  struct nym_caller *caller, int n)
{
	caller->nparked += n;
	WRITE_ONCE(backlog->nparked, backlog->nparked + n);
}

static void nym_call_count_pending(struct nym_backlog *backlog,
				   struct nym_caller *caller, int n)
{
	caller->npending += n;
	backlog->npending += n;
}

/**
 * nym_call_uncharge() - a call is not parked, or not too much, any more
 * @call: the call, charged or not
 *
 * Context: any but interrupts
 */
void nym_call_uncharge(struct nym_conn *call)
{
	if (!call->user)
		return;
	atomic_dec(call->surplus ? &call->user->orphans : &call->user->parked);
	nym_user_put(call->user);
	call->user = NULL;
	call->surplus = false;
}

static void nym_caller_is_refused(struct nym_endpoint *ep)
{
	WRITE_ONCE(ep->backlog.refused, ep->backlog.refused + 1);
	nym_stat_inc(ep->nn, NYM_STAT_REFUSED);
}

static bool nym_call_is_privileged(const struct nym_endpoint *ep,
				   const struct nym_conn *call)
{
	return call->admin || uid_eq(call->cred->fsuid, ep->owner);
}

/* The first of a user's parked calls is another one, or counts as another. */
static void nym_caller_weigh(struct nym_endpoint *ep, struct nym_caller *caller)
{
	struct nym_conn *call;

	call = list_first_entry_or_null(&caller->parked, struct nym_conn, queue);
	if (!call || !nym_call_is_privileged(ep, call))
		list_del_init(&caller->favoured);
	else if (list_empty(&caller->favoured))
		list_add_tail(&caller->favoured, &ep->backlog.favoured);
}

static void nym_call_park(struct nym_endpoint *ep, struct nym_conn *call,
			  struct nym_caller *caller)
{
	struct nym_backlog *backlog = &ep->backlog;

	call->caller = caller;
	list_add_tail(&call->queue, &caller->parked);
	INIT_LIST_HEAD(&call->refusable);
	if (!call->waits)
		list_add_tail(&call->refusable, &backlog->refusable);
	if (!caller->nparked)
		list_add_tail(&caller->turn, &backlog->turns);
	nym_caller_weigh(ep, caller);
	nym_call_count_parked(backlog, caller, 1);
}

/* Out of the parked ones; @call->caller stays counted by what comes next. */
static void nym_call_unpark(struct nym_endpoint *ep, struct nym_conn *call)
{
	struct nym_caller *caller = call->caller;

	list_del(&call->queue);
	list_del(&call->refusable);
	nym_caller_weigh(ep, caller);
	nym_call_count_parked(&ep->backlog, caller, -1);
	if (!caller->nparked)
		list_del_init(&caller->turn);
	nym_call_uncharge(call);
}

/* Whoever had its turn comes last. */
static void nym_caller_had_turn(struct nym_backlog *backlog,
				struct nym_caller *caller)
{
	if (caller->nparked)
		list_move_tail(&caller->turn, &backlog->turns);
	if (!list_empty(&caller->favoured))
		list_move_tail(&caller->favoured, &backlog->favoured);
}

/**
 * nym_call_give() - put a pending call at the end of a member's queue
 * @ep: the endpoint; its lock is held
 * @call: the call
 * @member: the member
 *
 * Context: any but interrupts; under RCU
 */
void nym_call_give(struct nym_endpoint *ep, struct nym_conn *call, struct nym_member *member)
{
	struct sock *caller = rcu_dereference(call->end[NYM_CALLER].sk);

	/* A pending call outlives its caller. */
	if (caller)
		nym_copy_peer(caller, member->sk);
	list_add_tail(&call->queue, &member->pending);
	WRITE_ONCE(member->npending, member->npending + 1);
	WRITE_ONCE(member->peak, max(member->peak, member->npending));
}

/**
 * nym_call_ungive() - take the first call of a member, still pending
 * @backlog: the backlog; the endpoint's lock is held
 * @member: the member
 *
 * Context: any but interrupts
 * Return: the call, or NULL if there is none
 */
struct nym_conn *nym_call_ungive(struct nym_backlog *backlog, struct nym_member *member)
{
	struct nym_conn *call;

	call = list_first_entry_or_null(&member->pending, struct nym_conn, queue);
	if (call) {
		list_del(&call->queue);
		WRITE_ONCE(member->npending, member->npending - 1);
		backlog->nshut -= !member->open;
	}
	return call;
}

/* A pending call leaves the backlog. */
static void nym_call_finish(struct nym_backlog *backlog, struct nym_conn *call)
{
	struct nym_caller *caller = call->caller;

	call->caller = NULL;
	nym_call_uncharge(call);
	nym_call_count_pending(backlog, caller, -1);
	nym_caller_put(backlog, caller);
	nym_call_set(call, NYM_CALL_ACCEPTED);
}

/**
 * nym_call_abort() - a pending call that nobody will accept leaves the backlog
 * @backlog: the backlog; the endpoint's lock is held
 * @call: the call, in no queue; nym_call_reset() is to follow
 *
 * Context: any but interrupts
 */
void nym_call_abort(struct nym_backlog *backlog, struct nym_conn *call)
{
	WRITE_ONCE(backlog->dropped, backlog->dropped + 1);
	nym_call_finish(backlog, call);
}

/**
 * nym_call_reset() - tell the client that its call has come to nothing
 * @ep: the endpoint; its lock is not held
 * @call: the call, after nym_call_abort(); gone afterwards
 *
 * Context: sleeps
 */
void nym_call_reset(struct nym_endpoint *ep, struct nym_conn *call)
{
	nym_stat_inc(ep->nn, NYM_STAT_RESET);
	nym_trace_reset(ep, call);
	nym_conn_close(call, NYM_CALLED, true);
}

/* Choosing. All with the endpoint's lock. */

/* How many calls those members have that take any, or will. */
static u32 nym_backlog_used(const struct nym_backlog *backlog)
{
	return backlog->npending - backlog->nshut;
}

/* How many of them there may be of users without privilege. */
static u32 nym_backlog_common(const struct nym_backlog *backlog)
{
	return backlog->limit - (backlog->limit >> NYM_RESERVE_SHIFT);
}

/* May one more call of this user be pending? */
static bool nym_call_may_pend(const struct nym_endpoint *ep,
			      const struct nym_conn *call,
			      const struct nym_caller *caller)
{
	const struct nym_backlog *backlog = &ep->backlog;
	u32 used = nym_backlog_used(backlog);

	if (used >= backlog->limit)
		return false;
	if (nym_call_is_privileged(ep, call))
		return true;
	return nym_fair_room(nym_backlog_common(backlog), used,
			     min(used, caller->npending), 1);
}

/* Is the name, if somebody has it, of the call's type? The lock is held. */
static bool nym_call_fits(const struct nym_endpoint *ep, const struct nym_conn *call)
{
	const struct sock *sk = nym_locked_sock(ep, call->end[NYM_CALLER].sk);

	return (!ep->nmembers && !ep->lingers) || sk->sk_type == ep->type;
}

/*
 * What was not known when the call was made, because nobody had the name, or
 * somebody else.
 */
static int nym_call_verdict(const struct nym_endpoint *ep, struct nym_conn *call)
{
	const struct nym_member *first;
	struct sock *sk = nym_locked_sock(ep, call->end[NYM_CALLER].sk);
	const struct cred *old;
	int err;

	if (sk->sk_type != ep->type)
		return -EPROTOTYPE;
	if (call->reign == ep->reign)
		return 0;
	first = list_first_entry(&ep->members, struct nym_member, list);
	old = override_creds(call->cred);
	err = generic_permission(NYM_NO_IDMAP, SOCK_INODE(first->sk->sk_socket),
				 MAY_WRITE | MAY_NOT_BLOCK);
	revert_creds(old);
	return err;
}

/*
 * Waking. All without the endpoint's lock.
 *
 * A member, in nym_accept_wait() or poll(); the barriers are sk_data_ready()'s,
 * in skwq_has_sleeper(), and the sleeper's, in prepare_to_wait_exclusive() or
 * sock_poll_wait(). For a caller that sleeps in nym_call_sleep() or poll(), read
 * @state for @npending, and PENDING or REFUSED for 1; its wakers have a barrier
 * of their own, nym_conn_wake_all() too.
 *
 *	nym_call_give()			acceptor
 *	npending = 1			queued = 1
 *	smp_mb()			smp_mb()
 *	r0 = queued			r1 = npending
 *
 *	never (r0 == 0 && r1 == 0)
 *
 * Whoever makes room, or leaves nobody to wait for, then looks at @nparked
 * without the lock. It misses no call: either had the lock first.
 *
 *	nym_backlog_put()		nym_backlog_take() and others
 *	lock; r0 = room			lock; room = 1; unlock
 *	if (!r0) nparked = 1		r1 = nparked
 *	unlock
 *
 *	never (r0 == 0 && r1 == 0)
 */

static void nym_caller_wake(struct nym_conn *conn)
{
	/* Pairs with nym_call_sleep(), or a poll(), that saw PARKED. */
	smp_mb();
	nym_conn_wake(&conn->end[NYM_CALLER], EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND,
		      SOCK_WAKE_IO, POLL_OUT);
}

/* Promotion */

/**
 * struct nym_step - what has been done to one call under the lock
 * @call: the call, or NULL if there was nothing to do; a reference
 * @member: the socket it was given to, alive under RCU; NULL if refused
 */
struct nym_step {
	struct nym_conn *call;
	struct sock *member;
};

/*
 * Until somebody accepts it, the best answer to who is at the other end is who
 * listens.
 */
static void nym_call_promote(struct nym_endpoint *ep, struct nym_conn *call,
			     struct nym_caller *caller, struct nym_member *member)
{
	nym_marks_carry(&call->marks[NYM_CALLER], member->sk);
	nym_call_count_pending(&ep->backlog, caller, 1);
	nym_call_give(ep, call, member);
	nym_call_set(call, NYM_CALL_PENDING);
}

static void nym_call_refuse(struct nym_endpoint *ep, struct nym_conn *call, int err)
{
	/* Its socket stays: to go, it must take the call out first. */
	struct sock *sk = nym_locked_sock(ep, call->end[NYM_CALLER].sk);

	nym_call_unpark(ep, call);
	nym_caller_put(&ep->backlog, call->caller);
	call->caller = NULL;
	call->error = err;
	nym_caller_is_refused(ep);
	WRITE_ONCE(sk->sk_err, -err);
	nym_call_set(call, NYM_CALL_REFUSED);
}

/* The first parked call of those with privilege, or NULL. The lock is held. */
static struct nym_conn *nym_backlog_favoured(struct nym_endpoint *ep)
{
	struct nym_backlog *backlog = &ep->backlog;
	struct nym_caller *caller;

	if (backlog->reowned) {
		backlog->reowned = false;
		list_for_each_entry(caller, &backlog->turns, turn)
			nym_caller_weigh(ep, caller);
	}
	caller = list_first_entry_or_null(&backlog->favoured, struct nym_caller,
					  favoured);
	return caller ? list_first_entry(&caller->parked, struct nym_conn, queue) : NULL;
}

/*
 * The parked call that may move on, of the users in turn. There may be as many
 * users as there are numbers for them. While there is room for all, only those
 * who have pending calls may have to wait, and these are few. The lock is held.
 */
static struct nym_conn *nym_backlog_next(struct nym_endpoint *ep)
{
	struct nym_backlog *backlog = &ep->backlog;
	struct nym_caller *caller;
	struct nym_conn *call;

	if (nym_backlog_used(backlog) >= backlog->limit)
		return NULL;
	if (nym_backlog_used(backlog) >= nym_backlog_common(backlog))
		return nym_backlog_favoured(ep);
	list_for_each_entry(caller, &backlog->turns, turn) {
		call = list_first_entry(&caller->parked, struct nym_conn, queue);
		if (nym_call_may_pend(ep, call, caller))
			return call;
	}
	return NULL;
}

/* The lock is held. */
static struct nym_step nym_backlog_promote_locked(struct nym_endpoint *ep)
{
	struct nym_conn *call = nym_backlog_next(ep);
	struct nym_step step = { };
	struct nym_member *member;
	int err;

	member = call ? nym_member_choose(ep, false) : NULL;
	if (!member)
		return step;
	step.call = call;
	err = nym_call_verdict(ep, call);
	if (err) {
		nym_call_refuse(ep, call, err);
		return step;
	}
	nym_call_unpark(ep, call);
	nym_caller_had_turn(&ep->backlog, call->caller);
	nym_call_promote(ep, call, call->caller, member);
	refcount_inc(&call->ref);
	step.member = member->sk;
	return step;
}

static void nym_step_tell(const struct nym_step *step)
{
	if (step->member) {
		nym_caller_wake(step->call);
		/* One acceptor for each: they are woken one by one. */
		nym_member_wake(step->member);
	} else {
		nym_conn_wake_all(step->call, NYM_CALLER, POLL_HUP);
	}
	nym_conn_put(step->call);
}

/**
 * nym_backlog_promote() - move parked calls up while there is room
 * @ep: the endpoint
 *
 * Context: sleeps
 */
void nym_backlog_promote(struct nym_endpoint *ep)
{
	struct nym_step step;

	while (READ_ONCE(ep->backlog.nparked)) {
		rcu_read_lock();
		spin_lock(&ep->lock);
		step = nym_backlog_promote_locked(ep);
		spin_unlock(&ep->lock);
		if (step.call)
			nym_step_tell(&step);
		rcu_read_unlock();
		if (!step.call)
			break;
		cond_resched();
	}
}

/* Refusal */

/* The parked call that is first in turn, or NULL. The lock is held. */
static struct nym_conn *nym_backlog_first(struct nym_backlog *backlog)
{
	struct nym_caller *caller;

	caller = list_first_entry_or_null(&backlog->turns, struct nym_caller, turn);
	return caller ? list_first_entry(&caller->parked, struct nym_conn, queue) : NULL;
}

/*
 * One parked call that nobody will serve, because the name is for datagrams now
 * or because nobody is there and it does not wait; or NULL. The lock is held.
 */
static struct nym_conn *nym_backlog_refuse_one(struct nym_endpoint *ep)
{
	struct nym_backlog *backlog = &ep->backlog;
	struct nym_conn *call;

	if (ep->nmembers && ep->type == SOCK_DGRAM) {
		call = nym_backlog_first(backlog);
		if (call)
			nym_call_refuse(ep, call, -EPROTOTYPE);
		return call;
	}
	/* Behind orphans they wait for the same. */
	if (backlog->nopen || ep->lingers || !list_empty(&backlog->orphans))
		return NULL;
	call = list_first_entry_or_null(&backlog->refusable, struct nym_conn,
					refusable);
	if (call)
		nym_call_refuse(ep, call, -ECONNREFUSED);
	return call;
}

/**
 * nym_backlog_refuse() - turn away who waits, if there is nobody to wait for
 * @ep: the endpoint
 *
 * Context: sleeps
 */
void nym_backlog_refuse(struct nym_endpoint *ep)
{
	struct nym_conn *call;

	nym_backlog_prune(ep);
	while (READ_ONCE(ep->backlog.nparked)) {
		spin_lock(&ep->lock);
		call = nym_backlog_refuse_one(ep);
		spin_unlock(&ep->lock);
		if (!call)
			break;
		nym_conn_wake_all(call, NYM_CALLER, POLL_HUP);
		nym_conn_put(call);
		cond_resched();
	}
}

/* Calls */

/**
 * nym_backlog_is_open() - are calls taken?
 * @ep: the endpoint
 * @waits: the caller would wait for somebody to listen
 *
 * Context: any but interrupts
 * Return: 0 or -ECONNREFUSED
 */
int nym_backlog_is_open(struct nym_endpoint *ep, bool waits)
{
	bool open;

	spin_lock(&ep->lock);
	open = waits || ep->lingers || ep->backlog.nopen;
	if (!open)
		nym_caller_is_refused(ep);
	spin_unlock(&ep->lock);
	return open ? 0 : -ECONNREFUSED;
}

/* What a call still needs before it can be put into a backlog. */
enum nym_need {
	NYM_NEED_NOTHING,
	NYM_NEED_CALLER,
	NYM_NEED_USER,
	NYM_NEED_TURN,
};

/*
 * Puts a call into the backlog: sets the member of @step if it is pending at
 * once. Returns what is missing for it, or an error. Room that a parked call is
 * about to take is not for who comes now: that call goes first, and is @step.
 * The lock is held.
 */
static int nym_backlog_put(struct nym_endpoint *ep, struct nym_conn *call,
			   struct nym_caller **new, struct nym_step *step)
{
	struct nym_backlog *backlog = &ep->backlog;
	struct nym_member *member = NULL;
	struct nym_caller *caller;
	int err;

	if (!nym_call_fits(ep, call))
		return -EPROTOTYPE;
	if (!backlog->nopen && !ep->lingers && !call->waits) {
		nym_caller_is_refused(ep);
		return -ECONNREFUSED;
	}
	if (!backlog->spare)
		swap(backlog->spare, *new);
	caller = nym_caller_get(backlog, call->cred->uid);
	if (!caller)
		return NYM_NEED_CALLER;

	if (!caller->nparked && nym_call_may_pend(ep, call, caller)) {
		*step = nym_backlog_promote_locked(ep);
		if (step->call) {
			nym_caller_put(backlog, caller);
			return NYM_NEED_TURN;
		}
		member = nym_member_choose(ep, false);
	}
	err = member ? nym_call_verdict(ep, call) : 0;
	if (err) {
		nym_caller_put(backlog, caller);
		return err;
	}
	if (member) {
		/* It may have been charged for a park that it did not need. */
		nym_call_uncharge(call);
		call->caller = caller;
		nym_call_promote(ep, call, caller, member);
		step->member = member->sk;
	} else if (call->user) {
		nym_call_park(ep, call, caller);
		nym_stat_inc(ep->nn, NYM_STAT_PARKED);
	} else {
		nym_caller_put(backlog, caller);
		return NYM_NEED_USER;
	}
	return NYM_NEED_NOTHING;
}

/* Charges a call that has to be parked to its user. */
static int nym_call_charge(struct nym_conn *call)
{
	struct net *net = sock_net(rcu_access_pointer(call->end[NYM_CALLER].sk));
	struct nym_user *user = nym_user_get(nym_net(net), call->cred->uid);

	if (!user)
		return -ENOMEM;
	if (atomic_inc_return(&user->parked) > READ_ONCE(nym_net(net)->max_parked) &&
	    !capable(CAP_NET_ADMIN)) {
		atomic_dec(&user->parked);
		nym_user_put(user);
		return -EAGAIN;
	}
	call->user = user;
	return 0;
}

static int nym_backlog_provide(struct nym_conn *call, int need,
			       struct nym_caller **new)
{
	if (need == NYM_NEED_TURN)
		return 0;
	if (need == NYM_NEED_USER)
		return nym_call_charge(call);
	*new = kmalloc(sizeof(**new), GFP_KERNEL_ACCOUNT);
	return *new ? 0 : -ENOMEM;
}

/**
 * nym_backlog_submit() - put a call into the backlog
 * @ep: the endpoint
 * @call: the call, parked, not in a backlog yet
 *
 * Context: sleeps
 * Return: 0, and the backlog has the called side's reference; -ECONNREFUSED;
 * -EAGAIN if the user has too many parked calls; -EPROTOTYPE or -EACCES if
 * somebody has taken the name over meanwhile; -ENOMEM
 */
int nym_backlog_submit(struct nym_endpoint *ep, struct nym_conn *call)
{
	struct nym_caller *new = NULL;
	struct nym_step step;
	int ret;

	for (;;) {
		step = (struct nym_step){ };
		rcu_read_lock();
		spin_lock(&ep->lock);
		ret = nym_backlog_put(ep, call, &new, &step);
		spin_unlock(&ep->lock);
		if (step.call)
			nym_step_tell(&step);
		else if (step.member)
			nym_member_wake(step.member);
		rcu_read_unlock();
		if (ret <= 0)
			break;
		ret = nym_backlog_provide(call, ret, &new);
		if (ret)
			break;
		cond_resched();
	}
	kfree(new);
	if (!ret)
		nym_stat_inc(ep->nn, NYM_STAT_CONNECTS);
	return ret;
}

/**
 * nym_backlog_withdraw() - take a parked call back
 * @ep: the endpoint
 * @call: the call
 *
 * Context: sleeps
 * Return: false if it has moved on meanwhile
 */
bool nym_backlog_withdraw(struct nym_endpoint *ep, struct nym_conn *call)
{
	bool parked;

	spin_lock(&ep->lock);
	parked = call->state == NYM_CALL_PARKED;
	if (parked) {
		nym_call_unpark(ep, call);
		nym_caller_put(&ep->backlog, call->caller);
		call->caller = NULL;
		nym_call_set(call, NYM_CALL_REFUSED);
	}
	spin_unlock(&ep->lock);
	if (!parked)
		return false;
	nym_stat_inc(ep->nn, NYM_STAT_WITHDRAWN);
	nym_conn_put(call);
	/* There may be room for the one behind it, if that has privilege. */
	nym_backlog_promote(ep);
	return true;
}

/**
 * nym_backlog_take() - take a member's oldest pending call out
 * @ep: the endpoint
 * @member: the member
 *
 * Context: any but interrupts
 * Return: the call with the called side's reference; NULL if there is none
 */
struct nym_conn *nym_backlog_take(struct nym_endpoint *ep,
				  struct nym_member *member)
{
	struct nym_conn *call;

	spin_lock(&ep->lock);
	call = nym_call_ungive(&ep->backlog, member);
	if (call) {
		nym_call_finish(&ep->backlog, call);
		WRITE_ONCE(member->accepted, member->accepted + 1);
	}
	spin_unlock(&ep->lock);
	return call;
}
