// SPDX-License-Identifier: GPL-2.0
/*
 * The queue of a datagram socket, and who may put how much into it.
 *
 * Room. The queue holds up to the receiver's SO_RCVBUF, overhead included. One
 * sender may have half of what the others leave, so that one who sends without
 * end leaves room for everybody else, and no more than its own SO_SNDBUF. The
 * same goes for all senders of one user, but for the receiver's own and for
 * administrators. Where the receiver is connected, only one peer may send and
 * may use it all.
 *
 * What a sender or a user has in a queue is known without looking through it:
 * the oldest datagram stands for all of them in a tree, and keeps the sum. When
 * that one leaves, the next oldest takes its place. One that comes to an empty queue
 * is put into the trees only when another one follows, which is seldom where a
 * receiver keeps up.
 *
 * A datagram is charged to its sender's sk_wmem_alloc, which also keeps the
 * sender's socket, and so its name, as long as the datagram.
 */
#include <linux/capability.h>

#include "dgram.h"
#include "trace.h"

/* Far from where a sender's reference count would overflow. */
#define NYM_DGRAM_SENT_MAX	BIT(30)

static kuid_t nym_dgram_uid(const struct sock *sk)
{
	/* fchown() stores it plainly: one user or the other will do. */
	return data_race(READ_ONCE(sk->sk_uid));
}

static unsigned long nym_dgram_user(const struct sock *from)
{
	return __kuid_val(nym_dgram_uid(from));
}

/*
 * Counts what a sender has under way. A count that overflows would never let go
 * of the socket, so other threads must not add to it in between.
 */
static bool nym_dgram_reserve(struct sock *sk, u32 cost)
{
	atomic_t *sent = &sk->sk_wmem_alloc.refs;
	int old = atomic_read(sent);

	do {
		if (cost > NYM_DGRAM_SENT_MAX || old > NYM_DGRAM_SENT_MAX - (int)cost)
			return false;
	} while (!atomic_try_cmpxchg(sent, &old, old + (int)cost));
	return true;
}

/**
 * nym_dgram_alloc() - a datagram, still without its bytes and what goes along with them
 * @sk: the sender
 * @len: how many bytes it will have
 *
 * Context: sleeps
 * Return: the datagram, or an error: -ENOMEM; -ENOBUFS if more of the sender's is
 * under way than can be counted
 */
struct nym_dgram *nym_dgram_alloc(struct sock *sk, size_t len)
{
	u32 cost = nym_dgram_cost(len);
	struct nym_dgram *d;

	if (!nym_dgram_reserve(sk, cost))
		return ERR_PTR(-ENOBUFS);
	d = nym_dgram_memory(len, cost);
	if (!d) {
		WARN_ON_ONCE(refcount_sub_and_test(cost, &sk->sk_wmem_alloc));
		return ERR_PTR(-ENOMEM);
	}
	d->cost = cost;
	d->len = len;
	/* The rest is for who puts it into a queue. */
	d->sender.key = (unsigned long)sk;
	d->user.key = nym_dgram_user(sk);
	d->from = sk;
	d->stamp = 0;
	return d;
}

/**
 * nym_dgram_free() - the end of a datagram
 * @d: the datagram, which is in no queue
 *
 * Context: any but interrupts
 */
void nym_dgram_free(struct nym_dgram *d)
{
	struct sock *sk = d->from;

	nym_control_release(&d->control);
	if (refcount_sub_and_test(d->cost, &sk->sk_wmem_alloc)) {
		/* That it was still there was our doing alone. */
		refcount_set(&sk->sk_wmem_alloc, 1);
		sk_free(sk);
	}
	nym_dgram_memory_free(d);
}

/* Shares. All with the receiver's lock. */

/* The oldest of whom @key says, or where in the tree it would be. */
static struct nym_share *nym_share_find(struct rb_root *root, unsigned long key,
					struct rb_node **parent,
					struct rb_node ***link)
{
	struct rb_node **p = &root->rb_node;

	*parent = NULL;
	while (*p) {
		struct nym_share *share = rb_entry(*p, struct nym_share, node);

		if (share->key == key)
			return share;
		*parent = *p;
		p = key < share->key ? &(*p)->rb_left : &(*p)->rb_right;
	}
	*link = p;
	return NULL;
}

static u32 nym_share_held(struct rb_root *root, unsigned long key)
{
	struct rb_node *parent, **link;
	struct nym_share *oldest = nym_share_find(root, key, &parent, &link);

	return oldest ? oldest->held : 0;
}

static void nym_share_add(struct rb_root *root, struct nym_share *share, u32 cost)
{
	struct rb_node *parent, **link;
	struct nym_share *oldest;

	oldest = nym_share_find(root, share->key, &parent, &link);
	if (oldest) {
		oldest->held += cost;
		list_add_tail(&share->chain, &oldest->chain);
		return;
	}
	share->held = cost;
	INIT_LIST_HEAD(&share->chain);
	rb_link_node(&share->node, parent, link);
	rb_insert_color(&share->node, root);
}

/* The first of the queue leaves it, so it is the oldest. */
static void nym_share_del(struct rb_root *root, struct nym_share *share, u32 cost)
{
	struct nym_share *next;

	if (list_empty(&share->chain)) {
		rb_erase(&share->node, root);
		return;
	}
	next = list_first_entry(&share->chain, struct nym_share, chain);
	next->held = share->held - cost;
	rb_replace_node(&share->node, &next->node, root);
	list_del(&share->chain);
}

static void nym_dgram_share(struct nym_dgram_sock *dsk, struct nym_dgram *d)
{
	nym_share_add(&dsk->senders, &d->sender, d->cost);
	nym_share_add(&dsk->users, &d->user, d->cost);
}

/* What this sender holds of what is in the queue. */
static u32 nym_dgram_held(struct nym_dgram_sock *dsk, const struct sock *from)
{
	unsigned long key = (unsigned long)from;

	if (dsk->lone)
		return dsk->lone->sender.key == key ? dsk->lone->cost : 0;
	return nym_share_held(&dsk->senders, key);
}

/* Likewise its user. */
static u32 nym_dgram_held_by_user(struct nym_dgram_sock *dsk, const struct sock *from)
{
	unsigned long key = nym_dgram_user(from);

	if (dsk->lone)
		return dsk->lone->user.key == key ? dsk->lone->cost : 0;
	return nym_share_held(&dsk->users, key);
}

static void nym_dgram_charge(struct nym_dgram_sock *dsk, struct nym_dgram *d)
{
	if (!dsk->queued) {
		dsk->lone = d;
	} else {
		if (dsk->lone)
			nym_dgram_share(dsk, dsk->lone);
		dsk->lone = NULL;
		nym_dgram_share(dsk, d);
	}
	WRITE_ONCE(dsk->used, dsk->used + d->cost);
	WRITE_ONCE(dsk->queued, dsk->queued + 1);
}

static void nym_dgram_uncharge(struct nym_dgram_sock *dsk, struct nym_dgram *d)
{
	WRITE_ONCE(dsk->used, dsk->used - d->cost);
	WRITE_ONCE(dsk->queued, dsk->queued - 1);
	if (dsk->lone) {
		dsk->lone = NULL;
		return;
	}
	nym_share_del(&dsk->senders, &d->sender, d->cost);
	nym_share_del(&dsk->users, &d->user, d->cost);
}

/**
 * nym_fair_room() - is there room for one more, with regard to others?
 * @limit: how much all may hold
 * @used: how much all hold
 * @held: how much of it is the sender's own
 * @cost: how much more it asks for
 *
 * Return: true if the sender holds nothing and it fits, or if it would then
 * hold at most half of what the others leave; and always if nobody holds any
 */
bool nym_fair_room(u32 limit, u32 used, u32 held, u32 cost)
{
	u32 others = used - held;

	if (!used)
		return true;
	if (used >= limit || cost > limit - used)
		return false;
	return !held || cost + held <= (limit - others) / 2;
}

/* May this user, who is sending or polling, have it all? */
static bool nym_dgram_is_privileged(const struct nym_dgram_sock *dsk,
				    const struct sock *from)
{
	return uid_eq(nym_dgram_uid(from), nym_dgram_uid(&dsk->nsk.sk)) ||
	       ns_capable_noaudit(sock_net(from)->user_ns, CAP_NET_ADMIN);
}

/* The receiver's lock is held. */
static bool nym_dgram_has_room(struct nym_dgram_sock *dsk, struct sock *from,
			       u32 cost)
{
	u32 limit = max(READ_ONCE(dsk->nsk.sk.sk_rcvbuf), 1);
	u32 used = dsk->used, held;

	if (!used)
		return true;
	held = nym_dgram_held(dsk, from);
	if (held && held + cost > nym_sock_limit(from))
		return false;
	/* Only its peer may send: there is nobody to leave room for. */
	if (dsk->dest)
		return nym_fair_room(limit, used, 0, cost);
	if (!nym_fair_room(limit, used, held, cost))
		return false;
	held = nym_dgram_held_by_user(dsk, from);
	return nym_fair_room(limit, used, held, cost) ||
	       nym_dgram_is_privileged(dsk, from);
}

/* The receiver's lock is held. */
static inline int nym_dgram_check_locked(const struct nym_dgram_sock *dsk,
					 const struct nym_endpoint *from)
{
	if (dsk->closed)
		return -ENOENT;
	if (dsk->dest && !nym_endpoint_same(dsk->dest, from))
		return -EPERM;
	if (READ_ONCE(dsk->nsk.sk.sk_shutdown) & RCV_SHUTDOWN)
		return -EPIPE;
	return 0;
}

/**
 * nym_dgram_check() - does a socket take datagrams of this sender?
 * @to: the receiver
 * @from: the sender's endpoint, or NULL if it has none yet
 *
 * Context: any but interrupts
 * Return: 0; -ENOENT if the receiver has been released; -EPERM if it is
 * connected to somebody else; -EPIPE if it is shut down
 */
int nym_dgram_check(struct sock *to, const struct nym_endpoint *from)
{
	struct nym_dgram_sock *dsk = nym_dgram_sk(to);
	int err;

	spin_lock(&dsk->lock);
	err = nym_dgram_check_locked(dsk, from);
	spin_unlock(&dsk->lock);
	return err;
}

/**
 * nym_dgram_check_room() - would a datagram be taken now?
 * @to: the receiver
 * @from: the sender
 * @cost: what the datagram counts
 *
 * Context: any but interrupts
 * Return: 0 or as nym_dgram_enqueue()
 */
int nym_dgram_check_room(struct sock *to, struct sock *from, u32 cost)
{
	struct nym_dgram_sock *dsk = nym_dgram_sk(to);
	int err;

	spin_lock(&dsk->lock);
	err = nym_dgram_check_locked(dsk, nym_sock_endpoint(from));
	if (!err && !nym_dgram_has_room(dsk, from, cost))
		err = -EAGAIN;
	spin_unlock(&dsk->lock);
	return err;
}

/**
 * nym_dgram_enqueue() - put a datagram into a queue and wake a receiver
 * @to: the receiver
 * @d: the datagram; if it is taken, it is not the caller's any more
 *
 * Context: under RCU, which keeps what a receiver in release has
 * Return: 0; -EAGAIN if there is no room; -ENOENT if the receiver has been
 * released; -EPERM if it is connected to somebody else or does not want
 * descriptors; -EPIPE if it is shut down; -ETOOMANYREFS for sockets that may
 * not be sent there
 */
int nym_dgram_enqueue(struct sock *to, struct nym_dgram *d)
{
	struct nym_endpoint *from = nym_sock_endpoint(d->from);
	struct nym_dgram_sock *dsk = nym_dgram_sk(to);
	int err;

	if (sock_flag(to, SOCK_RCVTSTAMP))
		d->stamp = ktime_get_real();
	if (unlikely(nym_passcred(d->from) || nym_passcred(to)))
		nym_control_sign(&d->control);

	spin_lock(&dsk->lock);
	err = nym_dgram_check_locked(dsk, from);
	if (!err && unlikely(d->control.files))
		err = nym_files_check(d->control.files, to);
	if (!err && dsk->used && !nym_dgram_has_room(dsk, d->from, d->cost))
		err = -EAGAIN;
	if (!err && unlikely(d->control.files))
		err = nym_files_queue(d->control.files, to);
	if (!err) {
		list_add_tail(&d->list, &dsk->queue);
		nym_dgram_charge(dsk, d);
		/* Without the lock the datagram may be gone. */
		atomic64_add(d->len, &nym_dgram_sk(d->from)->bytes_sent);
	}
	spin_unlock(&dsk->lock);
	if (!err) {
		nym_stat_inc(from->nn, NYM_STAT_DATAGRAMS_SENT);
		to->sk_data_ready(to);
	}
	return err;
}

/**
 * nym_dgram_first() - begin to read the first datagram
 * @dsk: the socket
 *
 * It stays in the queue, unless that is flushed.
 *
 * Context: @dsk->rlock held, until after nym_dgram_read_end()
 * Return: the datagram, or NULL
 */
struct nym_dgram *nym_dgram_first(struct nym_dgram_sock *dsk)
{
	struct nym_dgram *d;

	spin_lock(&dsk->lock);
	d = list_first_entry_or_null(&dsk->queue, struct nym_dgram, list);
	dsk->reading = d;
	spin_unlock(&dsk->lock);
	return d;
}

/**
 * nym_dgram_read_end() - end reading a datagram
 * @dsk: the socket
 * @d: what nym_dgram_first() returned
 * @take: it has been received; is cleared if the queue has been flushed meanwhile
 *
 * Context: as nym_dgram_first()
 * Return: true if it is not in the queue any more, and the caller is to free it
 */
bool nym_dgram_read_end(struct nym_dgram_sock *dsk, struct nym_dgram *d, bool *take)
{
	bool flushed;

	spin_lock(&dsk->lock);
	flushed = !dsk->reading;
	dsk->reading = NULL;
	*take = *take && !flushed;
	if (*take) {
		list_del(&d->list);
		nym_dgram_uncharge(dsk, d);
		WRITE_ONCE(dsk->round, dsk->round + 1);
		WRITE_ONCE(dsk->bytes_received, dsk->bytes_received + d->len);
	}
	spin_unlock(&dsk->lock);
	if (*take)
		nym_stat_inc(nym_sock_endpoint(d->from)->nn, NYM_STAT_DATAGRAMS_RECEIVED);
	return *take || flushed;
}

/**
 * nym_dgram_flush() - take all datagrams out of a queue
 * @dsk: the socket; its lock is held
 * @list: gets them, for nym_dgram_drop_list()
 *
 * The caller wakes who waits for room. One that is being read is left to its reader.
 *
 * Context: any but interrupts
 * Return: true if there were any
 */
bool nym_dgram_flush(struct nym_dgram_sock *dsk, struct list_head *list)
{
	bool any = dsk->queued;

	lockdep_assert_held(&dsk->lock);
	if (dsk->reading) {
		list_del(&dsk->reading->list);
		dsk->reading = NULL;
	}
	list_splice_init(&dsk->queue, list);
	dsk->lone = NULL;
	dsk->senders = RB_ROOT;
	dsk->users = RB_ROOT;
	WRITE_ONCE(dsk->round, dsk->round + 1);
	WRITE_ONCE(dsk->used, 0);
	WRITE_ONCE(dsk->dropped, dsk->dropped + dsk->queued);
	WRITE_ONCE(dsk->queued, 0);
	return any;
}

/**
 * nym_dgram_drop() - throw a datagram away
 * @sk: the socket
 * @d: what was in its queue
 *
 * Context: any but interrupts
 */
void nym_dgram_drop(struct sock *sk, struct nym_dgram *d)
{
	nym_stat_inc(nym_net(sock_net(sk)), NYM_STAT_DATAGRAMS_DROPPED);
	nym_trace_drop(sk, d->len);
	nym_dgram_free(d);
}

/**
 * nym_dgram_drop_list() - throw datagrams away
 * @sk: the socket
 * @list: datagrams out of a queue
 *
 * Context: sleeps
 */
void nym_dgram_drop_list(struct sock *sk, struct list_head *list)
{
	struct nym_dgram *d, *next;

	list_for_each_entry_safe(d, next, list, list) {
		nym_dgram_drop(sk, d);
		cond_resched();
	}
}
