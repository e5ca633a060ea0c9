// SPDX-License-Identifier: GPL-2.0
/*
 * Names that linger: without a socket, or one that listens, but kept for their
 * owner for a while. Callers wait.
 *
 * Each namespace has a queue of them, ordered by when that ends, and one work
 * that ends it. The queue holds a reference of the endpoint. Its lock is taken
 * inside the endpoint's; the work takes them one after the other, so it looks
 * again whether the name still lingers. Nobody looks at any of it without a lock;
 * who sleeps until a name is taken does so under the endpoint's (dgram_wait.c).
 */
#include <linux/ktime.h>
#include <linux/timerqueue.h>
#include <linux/workqueue.h>

#include "af_nym.h"

static void nym_linger_schedule(struct nym_net *nn, ktime_t now)
{
	struct timerqueue_node *first = timerqueue_getnext(&nn->lingering);
	s64 ms;

	lockdep_assert_held(&nn->linger_lock);
	if (!first)
		return;
	/* A little later rather than too early. */
	ms = ktime_ms_delta(first->expires, now) + 1;
	mod_delayed_work(system_long_wq, &nn->linger_work,
			 msecs_to_jiffies(clamp_t(s64, ms, 1, NYM_LINGER_MAX)) + 1);
}

/**
 * nym_linger_start() - the last socket of a name, or that listens, has gone
 * @ep: the endpoint; its lock is held
 * @nn: its namespace
 * @ms: how long to keep it, in milliseconds
 *
 * Context: any but interrupts
 */
void nym_linger_start(struct nym_endpoint *ep, struct nym_net *nn, u32 ms)
{
	ktime_t now = ktime_get();

	lockdep_assert_held(&ep->lock);
	ep->lingers = true;
	nym_stat_inc(nn, NYM_STAT_LINGER_STARTED);
	ep->linger.expires = ktime_add_ms(now, ms);
	spin_lock(&nn->linger_lock);
	/* Only who is first now: others must not put off who is due. */
	if (timerqueue_add(&nn->lingering, &nym_endpoint_get(ep)->linger))
		nym_linger_schedule(nn, now);
	spin_unlock(&nn->linger_lock);
}

/**
 * nym_linger_stop() - the name is served again, or given up
 * @ep: the endpoint, which lingers; its lock is held; the caller has a reference
 * @nn: its namespace
 *
 * Context: any but interrupts
 */
void nym_linger_stop(struct nym_endpoint *ep, struct nym_net *nn)
{
	bool queued;

	lockdep_assert_held(&ep->lock);
	ep->lingers = false;
	spin_lock(&nn->linger_lock);
	queued = !RB_EMPTY_NODE(&ep->linger.node);
	if (queued) {
		timerqueue_del(&nn->lingering, &ep->linger);
		RB_CLEAR_NODE(&ep->linger.node);
	}
	spin_unlock(&nn->linger_lock);
	if (queued)
		nym_endpoint_put(ep);
}

/* The first name whose time is over, with the queue's reference; or NULL. */
static struct nym_endpoint *nym_linger_next(struct nym_net *nn, ktime_t now)
{
	struct timerqueue_node *first;
	struct nym_endpoint *ep = NULL;

	spin_lock(&nn->linger_lock);
	first = timerqueue_getnext(&nn->lingering);
	if (first && ktime_compare(first->expires, now) <= 0) {
		ep = container_of(first, struct nym_endpoint, linger);
		timerqueue_del(&nn->lingering, first);
		RB_CLEAR_NODE(&first->node);
	}
	spin_unlock(&nn->linger_lock);
	return ep;
}

static void nym_linger_end(struct nym_endpoint *ep, ktime_t now)
{
	struct nym_user *user = NULL;
	LIST_HEAD(orphans);
	bool over, alone;

	spin_lock(&ep->lock);
	/* Meanwhile it may have been taken over, and even linger again. */
	over = ep->lingers && ktime_compare(ep->linger.expires, now) <= 0;
	/* There may be a socket that does not listen yet. */
	alone = over && !ep->nmembers;
	if (over) {
		ep->lingers = false;
		nym_stat_inc(ep->nn, NYM_STAT_LINGER_EXPIRED);
	}
	if (alone) {
		nym_backlog_disown(ep, &orphans);
		swap(user, ep->user);
	}
	spin_unlock(&ep->lock);

	if (user)
		nym_name_uncharge(user);
	if (alone)
		nym_backlog_end(ep, &orphans);
	else if (over)
		nym_backlog_refuse(ep);
	if (over)
		/* Datagram senders learn that there is nobody. */
		wake_up_interruptible_all(&ep->wait);
	nym_endpoint_put(ep);
}

static void nym_linger_run(struct nym_net *nn, ktime_t now)
{
	struct nym_endpoint *ep;

	while ((ep = nym_linger_next(nn, now)) != NULL) {
		nym_linger_end(ep, now);
		cond_resched();
	}
}

static void nym_linger_work(struct work_struct *work)
{
	struct nym_net *nn = container_of(to_delayed_work(work), struct nym_net,
					  linger_work);
	ktime_t now = ktime_get();

	nym_linger_run(nn, now);
	spin_lock(&nn->linger_lock);
	nym_linger_schedule(nn, now);
	spin_unlock(&nn->linger_lock);
}

/**
 * nym_linger_net_init() - for a new network namespace
 * @nn: its part of nym
 */
void nym_linger_net_init(struct nym_net *nn)
{
	spin_lock_init(&nn->linger_lock);
	timerqueue_init_head(&nn->lingering);
	INIT_DELAYED_WORK(&nn->linger_work, nym_linger_work);
}

/**
 * nym_linger_net_exit() - for a namespace without sockets
 * @nn: its part of nym
 *
 * Context: sleeps
 */
void nym_linger_net_exit(struct nym_net *nn)
{
	cancel_delayed_work_sync(&nn->linger_work);
	nym_linger_run(nn, KTIME_MAX);
}
