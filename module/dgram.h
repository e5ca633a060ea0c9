/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Datagrams: the objects that a datagram socket (dgram.c), its senders
 * (dgram_send.c, dgram_wait.c) and the queue in between (dgram_queue.c) share.
 *
 * Locks
 *   dsk->lock    one socket's queue and where it is connected to; spins. Never
 *                two at once. Inside it: the @room of another socket, for the
 *                relay, and the lock of descriptors in flight (files.c).
 *   dsk->rlock   serialises receivers; user memory is copied under it, so
 *                nothing else may wait for it.
 */
#ifndef _NYM_DGRAM_H
#define _NYM_DGRAM_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/rbtree.h>
#include <linux/seqlock.h>
#include <linux/slab.h>
#include <linux/uio.h>
#include <linux/wait.h>

#include "af_nym.h"
#include "ancillary.h"

/* A datagram that is larger, with its header, has pages of its own. */
#define NYM_DGRAM_OBJECT_MAX	PAGE_SIZE

#define NYM_POLLOUT	(EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND)

/**
 * struct nym_share - one datagram among all of a sender, or of a user
 * @node: of the oldest: in the receiver's tree
 * @chain: with the others, oldest first
 * @key: who that is
 * @held: of the oldest: the cost of all of them
 */
struct nym_share {
	struct rb_node node;
	struct list_head chain;
	unsigned long key;
	u32 held;
};

/**
 * struct nym_dgram - a datagram
 * @list: in the receiver's queue; its lock
 * @sender: among those of its sender; likewise
 * @user: among those of its sender's user; likewise
 * @cost: what it counts against the receiver's limit
 * @len: how many bytes it has
 * @from: the sender; counted in its sk_wmem_alloc
 * @control: what goes along with it
 * @stamp: when it was queued, if the receiver asked; else 0
 * @data: the bytes, if they are few
 * @pages: one entry, the first pages that they are in otherwise: compound pages, all
 *	full but the last; each knows the next (dgram_memory.c)
 */
struct nym_dgram {
	struct list_head list;
	struct nym_share sender;
	struct nym_share user;
	u32 cost;
	u32 len;
	struct sock *from;
	struct nym_control control;
	ktime_t stamp;
	union {
		DECLARE_FLEX_ARRAY(u8, data);
		DECLARE_FLEX_ARRAY(struct page *, pages);
	};
};

/**
 * struct nym_relay_at - what a poller waits for
 * @room: where to wait; NULL for nothing
 * @sk: whose room that is; a reference; or
 * @ep: the name that it waits for to be taken; a reference
 */
struct nym_relay_at {
	wait_queue_head_t *room;
	struct sock *sk;
	struct nym_endpoint *ep;
};

/**
 * struct nym_dgram_sock - a datagram socket
 * @nsk: the common part, must be first
 * @lock: protects the following, down to @closed
 * @queue: datagrams to be received
 * @lone: the only one of them, if it is in none of the trees
 * @reading: the first of them, while a receiver copies it; that is whose it is if it
 *	is not in the queue any more
 * @senders: the oldest datagram of each sender, but for @lone
 * @users: the oldest datagram of each user; likewise
 * @used: the cost of all; also read without the lock, by who would sleep
 * @round: how often room has been made; also read without the lock, as a hint
 * @queued: how many there are; likewise
 * @dropped: how many were ever thrown away; likewise
 * @bytes_received: how many bytes were ever received; likewise
 * @want: the cost of a datagram that did not fit at @dest, or 0; also written
 *	and read without the lock, as a hint
 * @want_files: it has descriptors; likewise
 * @dest: where it is connected to, or NULL; a reference; also under lock_sock.
 *	Whether there is one is also looked at without the lock, as a hint.
 * @reign: under which reign of @dest it had permission; 0 for none
 * @moves: counts changes of @dest and @reign, which senders read without the lock
 * @sticks_to: the member of a sticky name that has got its datagrams; written
 *	and read without the lock, as a hint
 * @relay_at: where @relay waits or has waited
 * @closed: it is being released
 * @relay: wakes this socket's pollers once when it may be able to send
 * @bytes_sent: how many bytes it has ever sent
 * @rlock: serialises receivers
 * @room: who waits for room in @queue
 */
struct nym_dgram_sock {
	struct nym_sock nsk;
	spinlock_t lock;	/* see the top of this file */
	struct list_head queue;
	struct nym_dgram *lone;
	struct nym_dgram *reading;
	struct rb_root senders;
	struct rb_root users;
	u32 used;
	u32 round;
	u32 queued;
	u64 dropped;
	u64 bytes_received;
	u32 want;
	u8 want_files;
	struct nym_endpoint *dest;
	unsigned long reign;
	seqcount_spinlock_t moves;
	u64 sticks_to;
	struct nym_relay_at relay_at;
	bool closed;
	wait_queue_entry_t relay;
	atomic64_t bytes_sent;
	struct mutex rlock;	/* of receivers */
	wait_queue_head_t room;
};

static inline struct nym_dgram_sock *nym_dgram_sk(const struct sock *sk)
{
	return (struct nym_dgram_sock *)sk;
}

/* The names of endpoints are unique while they live, and outlive them. */
static inline bool nym_endpoint_same(const struct nym_endpoint *a,
				     const struct nym_endpoint *b)
{
	return a == b || (a && b && a->name.len == b->name.len &&
			  !memcmp(a->name.text, b->name.text, a->name.len));
}

/**
 * struct nym_room - where a datagram could go
 * @ep: the name that it is for
 * @to: the member that it is for
 * @any: another member will do
 * @files: if it takes descriptors
 *
 * Whoever waits for room waits at the name if any member will do.
 */
struct nym_room {
	struct nym_endpoint *ep;
	struct sock *to;
	bool any;
	bool files;
};

/* dgram.c */
struct nym_endpoint *nym_dgram_dest(struct sock *sk, unsigned long *reign);
bool nym_dgram_is_dest(struct sock *sk, const struct nym_endpoint *ep);
bool nym_dgram_wants(struct sock *sk, const struct nym_room *room, u32 cost);
void nym_dgram_permitted(struct sock *sk, const struct nym_endpoint *ep, unsigned long reign);
int nym_dgram_autobind(struct sock *sk);

/* dgram_send.c */
struct nym_endpoint *nym_dgram_find(struct sock *sk, const struct nym_name *name);
struct sock *nym_dgram_target(struct sock *sk, struct nym_endpoint *ep, unsigned long *reign);

/* dgram_wait.c */
int nym_dgram_look(const struct sock *sk, struct nym_endpoint *ep);
void nym_dgram_relay_init(struct nym_dgram_sock *dsk);
void nym_dgram_relay_off(struct sock *sk, const struct nym_endpoint *ep);
struct nym_room nym_room_at(struct nym_endpoint *ep, struct sock *to);
u32 nym_room_round(const struct nym_room *room);
bool nym_room_has_moved(const struct nym_room *room);
bool nym_dgram_stall(struct sock *sk, struct nym_room *room, u32 cost);
bool nym_dgram_stall_name(struct sock *sk, struct nym_endpoint *ep);
void nym_room_wake_next(const struct nym_room *room);
void nym_dgram_made_room(struct nym_dgram_sock *dsk);
void nym_dgram_changed(struct sock *sk);
bool nym_dgram_stays(struct sock *sk, const struct nym_endpoint *ep, bool on);
long nym_dgram_wait_name(struct sock *sk, struct nym_endpoint *ep, bool on, int how, long timeo);
long nym_dgram_wait_room(struct sock *sk, const struct nym_room *room,
			 struct nym_dgram *d, bool on, long timeo);

/* dgram_memory.c */
u32 nym_dgram_cost_large(size_t len);
struct nym_dgram *nym_dgram_memory_large(size_t len);
void nym_dgram_memory_free_large(struct nym_dgram *d);
bool nym_dgram_fill_large(struct nym_dgram *d, struct iov_iter *from);
bool nym_dgram_fetch_large(const struct nym_dgram *d, struct iov_iter *to, size_t len);

static inline bool nym_dgram_is_large(size_t len)
{
	return len > NYM_DGRAM_OBJECT_MAX - sizeof(struct nym_dgram);
}

/**
 * nym_dgram_cost() - what a datagram counts
 * @len: its length
 *
 * Context: any
 * Return: how much memory it takes
 */
static inline u32 nym_dgram_cost(size_t len)
{
	if (unlikely(nym_dgram_is_large(len)))
		return nym_dgram_cost_large(len);
	return kmalloc_size_roundup(sizeof(struct nym_dgram) + len);
}

/**
 * nym_dgram_memory() - memory for a datagram
 * @len: how many bytes it will have
 * @cost: nym_dgram_cost() of that
 *
 * Context: sleeps
 * Return: the datagram, of which nothing is set but where large ones have their bytes;
 * or NULL
 */
static inline struct nym_dgram *nym_dgram_memory(size_t len, u32 cost)
{
	if (unlikely(nym_dgram_is_large(len)))
		return nym_dgram_memory_large(len);
	return kmalloc(cost, GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
}

/**
 * nym_dgram_memory_free() - give it back
 * @d: the datagram
 *
 * Context: any but interrupts
 */
static inline void nym_dgram_memory_free(struct nym_dgram *d)
{
	if (unlikely(nym_dgram_is_large(d->len)))
		nym_dgram_memory_free_large(d);
	else
		kfree(d);
}

/* The bound of a small one's bytes, which copy_from_iter() would find out at a cost. */
static inline size_t nym_dgram_room(const struct nym_dgram *d)
{
	return d->cost - sizeof(*d);
}

/**
 * nym_dgram_fill() - copy the bytes in
 * @d: the datagram, which nobody else has
 * @from: where from; as many as it has
 *
 * Context: sleeps
 * Return: false if they cannot be read
 */
static inline bool nym_dgram_fill(struct nym_dgram *d, struct iov_iter *from)
{
	size_t copied;

	if (unlikely(nym_dgram_is_large(d->len)))
		return nym_dgram_fill_large(d, from);
	if (WARN_ON_ONCE(d->len > nym_dgram_room(d)))
		return false;
	copied = _copy_from_iter(d->data, d->len, from);
	if (likely(copied == d->len))
		return true;
	iov_iter_revert(from, copied);
	return false;
}

/**
 * nym_dgram_fetch() - copy the bytes out
 * @d: the datagram
 * @to: where to
 * @len: how many; not more than it has
 *
 * Context: sleeps
 * Return: false if they cannot be written there
 */
static inline bool nym_dgram_fetch(const struct nym_dgram *d, struct iov_iter *to, size_t len)
{
	if (unlikely(nym_dgram_is_large(d->len)))
		return nym_dgram_fetch_large(d, to, len);
	return !WARN_ON_ONCE(len > nym_dgram_room(d)) && _copy_to_iter(d->data, len, to) == len;
}

/* dgram_queue.c */
struct nym_dgram *nym_dgram_alloc(struct sock *sk, size_t len);
void nym_dgram_free(struct nym_dgram *d);

int nym_dgram_enqueue(struct sock *to, struct nym_dgram *d);
struct nym_dgram *nym_dgram_first(struct nym_dgram_sock *dsk);
bool nym_dgram_read_end(struct nym_dgram_sock *dsk, struct nym_dgram *d, bool *take);
bool nym_dgram_flush(struct nym_dgram_sock *dsk, struct list_head *list);
void nym_dgram_drop(struct sock *sk, struct nym_dgram *d);
void nym_dgram_drop_list(struct sock *sk, struct list_head *list);
int nym_dgram_check(struct sock *to, const struct nym_endpoint *from);
int nym_dgram_check_room(struct sock *to, struct sock *from, u32 cost);

#endif /* _NYM_DGRAM_H */
