/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The objects of nym and the calls between its files.
 *
 * Objects
 *   endpoint  one name, in its network namespace's table (registry.c)
 *   member    one socket that is bound to a name (member.c)
 *   backlog   the calls that wait for an endpoint to accept them (backlog.c)
 *   caller    one user's calls in a backlog (backlog.c)
 *   conn      one connection, shared by its two ends (conn.c)
 *   ring      the bytes of one direction of a conn (ring.h), in chunks (chunk.c)
 *   user      what is counted of one user (user.c)
 *
 * Locks, outermost first
 *   inode lock      bind() and release() hold it around everything else: the
 *                   mode of the socket's inode is part of the name
 *   lock_sock(sk)   one socket's state and its control calls: bind, listen,
 *                   connect, shutdown. Never two at once, never on the data
 *                   path.
 *   ep->lock        an endpoint's owner, members and backlog; spins
 *   linger_lock     the names of a namespace that linger; spins
 *   ring locks      see ring.h; taken with none of the locks below or above
 *                   held, but in release() the inode lock
 *   keepers         the rings that have memory (chunk.c); spins. Inside it the
 *                   ring locks are tried.
 *   marks->lock     what goes along with a ring's bytes; spins (ancillary.h)
 *   dsk->lock       a datagram socket's queue; spins, two never nest (dgram.h)
 *   nym_files_lock  which sockets are in flight and where (files.c); innermost
 *   sk_peer_lock    a socket's peer credentials; innermost, spins
 *   bucket lock     a chain of the list of all sockets; spins. Who describes them
 *                   holds it around loan_lock (loan.c) or dsk->lock; else it is
 *                   innermost.
 *   the rhashtable's own, of a bucket of users (user.c); innermost, also inside
 *                   ep->lock
 *
 * Lifetimes
 *   socket    its last reference is its file's, and passes to its conn with
 *             release() if the other side has a socket, which may look until
 *             both are released. Who reaches it in another way does so under
 *             RCU: one that has a name, through ep->members, one that takes
 *             datagrams, and one whose call came to nothing or is pending, are
 *             SOCK_RCU_FREE. No socket is ever locked through another.
 *   member    its socket's, in a list that is read under RCU.
 *   endpoint  counted: one reference for each socket that is bound to it (held
 *             until the socket is destroyed), for each conn end that has its
 *             name, for each that waits for it, and for the queue of names that
 *             linger. The table holds none: the last one takes it out. Freed
 *             after a grace period, so lookups need only RCU and inc_not_zero.
 *   conn      counted: one reference for each side, the called side's being
 *             held by the backlog until accept(). Whoever looks at it has one
 *             of them or locks the bucket of a socket that has one, which is
 *             taken out of there before it lets go. But a call that came to
 *             nothing is freed after a grace period, because poll() may look.
 *   user      counted: one reference for each of its descriptors' messages in
 *             flight, its names and the calls that it is charged for. The last
 *             one takes it out of its table; freed after a grace period.
 *
 * Without a lock
 *   Where two sides meet without a lock that both hold, litmus tests say what
 *   must not be seen: in ring.c, chunk.c, wait.c and conn.c for bytes, in call.c and
 *   backlog.c for calls, in member.c for names, in dgram_wait.c for datagrams.
 *   A field that is read without its lock is written by WRITE_ONCE() under it,
 *   and read by READ_ONCE(), unless it is published by a release: its
 *   description says so. Nothing but the field's own value follows from it. It is
 *   no bool: compilers read that plainly where they check its value (UBSAN).
 *   Those of struct sock:
 *   sk_state     written under lock_sock; read at any time
 *   sk_shutdown  likewise; nym_shutdown() wakes who sleeps
 *   sk_err       set by the peer or whoever refuses a call, without the lock;
 *                taken by sock_error(), with xchg; see wait.c
 *   sk_sndbuf, sk_rcvbuf  the kernel's setsockopt() writes them; hints
 *   sk_socket    sock_graft() and sock_orphan() write it; under RCU what it
 *                points to stays. So does sk_wq, but sock_orphan() clears that
 *                plainly: a race with who wakes the socket, as in any family.
 */
#ifndef _AF_NYM_H
#define _AF_NYM_H

#include <linux/cred.h>
#include <linux/net.h>
#include <linux/percpu.h>
#include <linux/refcount.h>
#include <linux/rhashtable-types.h>
#include <linux/rbtree.h>
#include <linux/spinlock.h>
#include <linux/timerqueue.h>
#include <linux/types.h>
#include <net/sock.h>
#include <uapi/linux/nym.h>
#include <uapi/linux/nym_diag.h>

#include "ancillary.h"
#include "compat.h"
#include "ring.h"

struct ctl_table_header;
struct nym_net;
struct nym_reservations;
struct seq_file;
struct pipe_inode_info;

/**
 * struct nym_name - a name
 * @len: its length; 0 means none
 * @text: its bytes and a NUL
 */
struct nym_name {
	u8 len;
	char text[NYM_NAME_MAX + 1];
};

/**
 * struct nym_member - a socket that is bound to a name
 * @list: in the endpoint's members; readers without its lock use RCU
 * @sk: the socket; the member lives as long
 * @pending: conns to be accepted by it, oldest first; their clients are connected
 * @npending: length of @pending
 * @limit: how long @pending may become
 * @peak: how long it ever was
 * @accepted: how many calls have been accepted
 * @open: it takes calls; false before listen() and after the end
 * @owner: who owned the socket when it was bound
 * @id: a number that no other member has had
 * @share: NYM_SHARE when it was bound
 * @idle: it has looked for calls and found none, so it is probably waiting; a
 *	hint, written without a lock
 *
 * All under the endpoint's lock; @npending, @limit, @peak and @accepted are also
 * read without it, as hints: accept() looks again.
 */
struct nym_member {
	struct list_head list;
	struct sock *sk;
	struct list_head pending;
	unsigned int npending;
	unsigned int limit;
	unsigned int peak;
	u64 accepted;
	u64 id;
	kuid_t owner;
	u8 share;
	bool open;
	u8 idle;
};

/**
 * struct nym_caller - one user's calls to an endpoint
 * @node: in the endpoint's callers
 * @turn: in the endpoint's turns, if it has parked calls
 * @favoured: in the endpoint's, too, if the first of them is privileged
 * @parked: those, oldest first
 * @uid: the user
 * @npending: how many of its calls are pending
 * @nparked: length of @parked
 */
struct nym_caller {
	struct rb_node node;
	struct list_head turn;
	struct list_head favoured;
	struct list_head parked;
	kuid_t uid;
	unsigned int npending;
	unsigned int nparked;
};

/**
 * struct nym_backlog - the calls waiting at an endpoint
 * @callers: whose they are, by user
 * @spare: a caller without calls, kept for the next
 * @turns: callers with parked calls, in the order of their turn to move one up
 * @favoured: those of them that need not leave a reserve, in turn, too
 * @orphans: pending calls that no member has for now, oldest first
 * @laden: those of them that carry nym sockets
 * @refusable: parked calls that do not wait for the name, oldest first
 * @norphans: how many are in these two, counted for the name's user
 * @npending: how many are pending, at members or as orphans
 * @nshut: how many of these are at members that take no more
 * @nparked: how many are parked
 * @reowned: the name has got another owner: who is favoured is to be seen
 * @limit: how many may be pending: the sum over open members
 * @nopen: how many members are open
 * @refused: how many callers have been turned away
 * @dropped: how many pending calls have been reset
 *
 * @nparked, @refused and @dropped are also read without the endpoint's lock.
 */
struct nym_backlog {
	struct rb_root callers;
	struct nym_caller *spare;
	struct list_head turns;
	struct list_head favoured;
	struct list_head orphans;
	struct list_head laden;
	struct list_head refusable;
	unsigned int norphans;
	unsigned int npending;
	unsigned int nshut;
	unsigned int nparked;
	bool reowned;
	unsigned int limit;
	unsigned int nopen;
	u64 refused;
	u64 dropped;
};

/**
 * struct nym_endpoint - one name
 * @node: in the namespace's table of names
 * @ref: see the top of this file
 * @nn: its namespace
 * @lock: protects the following, down to @backlog
 * @type: the members' type: SOCK_STREAM, SOCK_SEQPACKET or SOCK_DGRAM
 * @lingers: has no members, or none that listens, but is kept for its owner
 * @owner: who owns its members, or owned the last one
 * @user: who is charged for the name while it has members or lingers; a
 *	reference
 * @members: the sockets bound to it, oldest first
 * @turn: the member that was last given a call or datagram
 * @nmembers: how many there are
 * @reign: how often somebody has taken the name over
 * @backlog: calls to it
 * @wait: where datagram senders wait for a member, or for room at any
 * @round: how often a member has made room for them; any context, a hint
 * @linger: in the namespace's queue of names that linger; linger.c
 * @rcu: frees it
 * @name: its name; never changes
 *
 * @type and @nmembers are also read without @lock; so is @reign, see member.c.
 *
 * Without members it is a name that lingers, that somebody waits for, or that
 * connections still have. Whoever binds the name then takes it over.
 */
struct nym_endpoint {
	struct rhash_head node;
	refcount_t ref;
	struct nym_net *nn;
	spinlock_t lock;	/* see above */
	u16 type;
	bool lingers;
	kuid_t owner;
	struct nym_user *user;
	struct list_head members;
	struct nym_member *turn;
	unsigned int nmembers;
	unsigned long reign;
	struct nym_backlog backlog;
	wait_queue_head_t wait;
	atomic_t round;
	struct timerqueue_node linger;
	struct rcu_head rcu;
	struct nym_name name;
};

/**
 * enum nym_call - how far a connection request has come
 * @NYM_CALL_PARKED: waits for the name, or for room in the backlog
 * @NYM_CALL_PENDING: in the backlog; the client is connected
 * @NYM_CALL_ACCEPTED: out of the backlog, accepted or dropped with it
 * @NYM_CALL_REFUSED: came to nothing, at once or after having been parked
 *
 * Written under the endpoint's lock (release), or by the caller if no backlog has
 * it; read without (acquire).
 */
enum nym_call {
	NYM_CALL_PARKED,
	NYM_CALL_PENDING,
	NYM_CALL_ACCEPTED,
	NYM_CALL_REFUSED,
};

/**
 * struct nym_end - one side of a connection
 * @sk: its socket; NULL before accept() and if its call came to nothing; RCU
 * @ep: where its name comes from, or NULL
 * @id: if @ep is NULL, the number the kernel chose for its name
 *
 * @ep and @id are set before the conn can be seen by anybody else.
 */
struct nym_end {
	struct sock __rcu *sk;
	struct nym_endpoint *ep;
	u64 id;
};

/* The sides of a conn: the one that called connect(), and the other. */
#define NYM_CALLER	0
#define NYM_CALLED	1

/**
 * struct nym_conn - one connection
 * @ring: ring[side] carries what that side sends
 * @marks: marks[side] is what goes along with it
 * @end: the two sides
 * @ref: see the top of this file
 * @state: enum nym_call
 * @waits: rather waits for a listener than be refused
 * @admin: the caller has CAP_NET_ADMIN
 * @surplus: it is charged to @user as too much, not as parked
 * @error: why it was refused; before the state says so
 * @reign: under which reign of the name the caller has permission; 0 for none
 * @queue: in the backlog; the endpoint's lock
 * @rcu: frees it, if its call came to nothing and it is in no queue any more
 * @refusable: if parked: among those that may be refused; likewise
 * @caller: whose it is, while in the backlog; likewise
 * @user: who is charged for it while it is parked, or too much for the member
 *	that has it; or NULL; a reference
 * @pid: the caller's, for the socket that accept() will make
 * @cred: the caller's, likewise
 */
struct nym_conn {
	struct nym_ring ring[2];
	struct nym_marks marks[2];
	struct nym_end end[2];
	refcount_t ref;
	u8 state;
	bool waits : 1;
	bool admin : 1;
	bool surplus : 1;
	s16 error;
	unsigned long reign;
	union {
		struct list_head queue;
		struct rcu_head rcu;
	};
	struct list_head refusable;
	struct nym_caller *caller;
	struct nym_user *user;
	struct pid *pid;
	const struct cred *cred;
};

/**
 * struct nym_sock - a nym socket
 * @sk: the generic part, must be first
 * @ep: the name it is bound to; set once (release)
 * @member: its place there; set before @ep
 * @waits: NYM_WAIT; it and the other options are written under lock_sock, and
 *	read at any time
 * @share: NYM_SHARE; likewise
 * @linger: NYM_LINGER, in milliseconds; likewise
 * @call: the connection it asked for, connected or not; written under
 *	lock_sock, read under RCU by poll()
 * @conn: its connection; set once (release), under lock_sock if the socket
 *	has been published. The reference is @call's.
 * @side: which end of @conn it is, NYM_CALLER until it becomes the other; set
 *	before @call
 * @passrights: it takes descriptors; as @waits
 * @inflight: how often it is in flight itself; see files.c
 * @carries: how many nym sockets are in its queues; likewise
 */
struct nym_sock {
	struct sock sk;
	struct nym_endpoint *ep;
	struct nym_member *member;
	struct nym_conn __rcu *call;
	struct nym_conn *conn;
	u8 side;
	u8 passrights;
	u8 waits;
	u8 share;
	u32 linger;
	unsigned int inflight;
	unsigned int carries;
};

static inline struct nym_sock *nym_sk(const struct sock *sk)
{
	BUILD_BUG_ON(offsetof(struct nym_sock, sk) != 0);
	return (struct nym_sock *)sk;
}

#define NYM_SOCK_BUCKETS	256

/**
 * struct nym_bucket - one chain of the list of all sockets of a namespace
 * @lock: protects @head, and that sockets in it keep their conns
 * @head: the sockets, linked by sk_node
 */
struct nym_bucket {
	spinlock_t lock;	/* of @head */
	struct hlist_head head;
};

/* Limits: pending calls of a socket, sockets of a name. */
#define NYM_BACKLOG_MAX		BIT(20)
#define NYM_MEMBERS_MAX		1024

/* How long a name may linger, in milliseconds. */
#define NYM_LINGER_MAX		3600000U

/* What a user may have at first, see nym_net. */
#define NYM_NAMES_DEFAULT	65536
#define NYM_PARKED_DEFAULT	65536
#define NYM_FILES_DEFAULT	65536

/**
 * struct nym_user_key - who is counted where
 * @nn: the namespace, or NULL
 * @uid: the user
 */
struct nym_user_key {
	struct nym_net *nn;
	kuid_t uid;
};

/**
 * struct nym_user - what a user makes the kernel hold
 * @node: in the table of users
 * @ref: see the top of this file
 * @key: the user, and the namespace in which it is counted
 * @rcu: frees it
 * @files: descriptors in flight
 * @names: names it has bound
 * @parked: its parked calls
 * @orphans: pending calls at its names that no socket has, or that one has got
 *	from others without having room for them
 */
struct nym_user {
	struct rhash_head node;
	refcount_t ref;
	struct nym_user_key key;
	struct rcu_head rcu;
	atomic_t files;
	atomic_t names;
	atomic_t parked;
	atomic_t orphans;
};

/**
 * enum nym_stat - what is counted in a network namespace
 *
 * @NYM_STAT_SOCKETS: sockets there are
 * @NYM_STAT_BINDS: sockets that have got a name
 * @NYM_STAT_LISTENS: calls of listen() that succeeded
 * @NYM_STAT_CONNECTS: calls that came into a backlog, as pending or parked
 * @NYM_STAT_PARKED: those of them that were parked
 * @NYM_STAT_ACCEPTS: calls accepted
 * @NYM_STAT_REFUSED: calls turned away, at once or after having been parked
 * @NYM_STAT_WITHDRAWN: parked calls that the caller gave up
 * @NYM_STAT_MIGRATED: pending calls that another socket of the name took over
 * @NYM_STAT_ORPHANED: pending calls that no socket was there to take over
 * @NYM_STAT_RESET: pending calls that ended with the name
 * @NYM_STAT_LINGER_STARTED: names that began to linger
 * @NYM_STAT_LINGER_EXPIRED: names that lingered until their time was over
 * @NYM_STAT_DATAGRAMS_SENT: datagrams queued
 * @NYM_STAT_DATAGRAMS_RECEIVED: datagrams read
 * @NYM_STAT_DATAGRAMS_DROPPED: datagrams thrown away unread
 * @NYM_STAT_FILES_SENT: descriptors queued
 * @NYM_STAT_FILES_RECEIVED: descriptors that a receiver had room for
 * @NYM_STAT_FILES_DROPPED: descriptors closed instead
 * @NYM_STATS: how many these are
 */
enum nym_stat {
	NYM_STAT_SOCKETS,
	NYM_STAT_BINDS,
	NYM_STAT_LISTENS,
	NYM_STAT_CONNECTS,
	NYM_STAT_PARKED,
	NYM_STAT_ACCEPTS,
	NYM_STAT_REFUSED,
	NYM_STAT_WITHDRAWN,
	NYM_STAT_MIGRATED,
	NYM_STAT_ORPHANED,
	NYM_STAT_RESET,
	NYM_STAT_LINGER_STARTED,
	NYM_STAT_LINGER_EXPIRED,
	NYM_STAT_DATAGRAMS_SENT,
	NYM_STAT_DATAGRAMS_RECEIVED,
	NYM_STAT_DATAGRAMS_DROPPED,
	NYM_STAT_FILES_SENT,
	NYM_STAT_FILES_RECEIVED,
	NYM_STAT_FILES_DROPPED,
	NYM_STATS,
};

/**
 * struct nym_stats - one processor's share of the counts
 * @count: by enum nym_stat; only the sum over all processors means anything.
 *	Each processor adds to its own, by this_cpu_add(); any may read them.
 */
struct nym_stats {
	unsigned long count[NYM_STATS];
};

/**
 * struct nym_net - what nym keeps for a network namespace
 * @names: the endpoints by name
 * @last_id: the last number the kernel chose for a name
 * @sockets: all sockets, for /proc/net/nym
 * @nnames: how many names have an owner
 * @nusers: how many users something is counted of
 * @max_names: how many names a user may bind; it and the next two are written by
 *	proc_dointvec_minmax(), and read at any time
 * @max_parked: how many parked calls, and how many orphans, a user may have
 * @max_files: how many descriptors of a user may be in flight
 * @sysctls: /proc/sys/net/nym
 * @reserved: names kept for somebody, or NULL; replaced by xchg(), read under
 *	RCU
 * @linger_lock: protects @lingering; taken inside an endpoint's lock
 * @lingering: names that linger, by when that ends; holds references
 * @linger_work: ends it
 * @stats: what has happened in it, by processor
 */
struct nym_net {
	struct rhashtable names;
	atomic64_t last_id;
	struct nym_bucket sockets[NYM_SOCK_BUCKETS];
	atomic_t nnames;
	atomic_t nusers;
	unsigned int max_names;
	unsigned int max_parked;
	unsigned int max_files;
	struct ctl_table_header *sysctls;
	struct nym_reservations __rcu *reserved;
	spinlock_t linger_lock;	/* of @lingering */
	struct timerqueue_head lingering;
	struct delayed_work linger_work;
	struct nym_stats __percpu *stats;
};

static inline void nym_stat_add(struct nym_net *nn, enum nym_stat stat, long n)
{
	this_cpu_add(nn->stats->count[stat], n);
}

static inline void nym_stat_inc(struct nym_net *nn, enum nym_stat stat)
{
	nym_stat_add(nn, stat, 1);
}

/* af_nym.c */
struct nym_net *nym_net(const struct net *net);
struct sock *nym_sock_alloc(struct net *net, struct socket *sock, int type,
			    int kern);
void nym_sock_discard(struct sock *sk);

/* name.c */
int nym_name_parse(struct nym_name *name, const void *addr, int len);
void nym_name_choose(struct nym_name *name, u64 id);
int nym_name_may_bind(const struct net *net, const struct nym_name *name);
int nym_name_fill(void *addr, const struct nym_name *name);
int nym_end_name(const struct nym_end *end, void *addr);

/* registry.c */
int nym_bind(struct socket *sock, struct nym_sockaddr *addr, int len);
int nym_bind_chosen(struct sock *sk);
void nym_unbind(struct sock *sk);
struct nym_endpoint *nym_endpoint_find(struct net *net,
				       const struct nym_name *name);
struct nym_endpoint *nym_endpoint_await(struct net *net,
					const struct nym_name *name);
void nym_endpoint_put(struct nym_endpoint *ep);
int nym_endpoint_permission(struct nym_endpoint *ep, int mask);
void nym_name_uncharge(struct nym_user *user);
u64 nym_registry_id(struct net *net);
int nym_registry_net_init(struct nym_net *nn);
void nym_registry_net_exit(struct nym_net *nn);
int nym_registry_cache_init(void);
void nym_registry_cache_exit(void);

/* member.c */
struct nym_member *nym_member_alloc(struct sock *sk);
int nym_member_join(struct nym_endpoint *ep, struct nym_member *member,
		    struct nym_user **user);
bool nym_member_leave(struct nym_endpoint *ep, struct nym_member *member,
		      struct nym_user **user, struct list_head *orphans);
struct nym_member *nym_member_choose(struct nym_endpoint *ep, bool full);
struct sock *nym_member_sock(struct nym_endpoint *ep, struct sock *from, unsigned long *reign);
struct sock *nym_member_peek(struct nym_endpoint *ep, const struct sock *from,
			     unsigned long *reign);
struct sock *nym_member_only(struct nym_endpoint *ep, unsigned long reign);
bool nym_member_any(struct nym_endpoint *ep);
struct sock *nym_member_with_room(struct nym_endpoint *ep, struct sock *from,
				  u32 cost, bool files, unsigned long *reign);

/* linger.c */
void nym_linger_start(struct nym_endpoint *ep, struct nym_net *nn, u32 ms);
void nym_linger_stop(struct nym_endpoint *ep, struct nym_net *nn);
void nym_linger_net_init(struct nym_net *nn);
void nym_linger_net_exit(struct nym_net *nn);

static inline struct nym_endpoint *nym_endpoint_get(struct nym_endpoint *ep)
{
	refcount_inc(&ep->ref);
	return ep;
}

/* Context: any. The socket keeps it alive. */
static inline struct nym_endpoint *nym_sock_endpoint(const struct sock *sk)
{
	/* Pairs with the release in nym_bind_name(). */
	return smp_load_acquire(&nym_sk(sk)->ep);
}

/*
 * The socket has looked for calls or datagrams: if it found none, it waits.
 * Whoever chooses among the members of a name prefers it.
 */
static inline void nym_member_looks(const struct sock *sk, bool found)
{
	struct nym_member *member;

	if (!nym_sock_endpoint(sk))
		return;
	member = nym_sk(sk)->member;
	if (READ_ONCE(member->idle) == found)
		WRITE_ONCE(member->idle, !found);
}

/*
 * Context: any. If so, the socket has an endpoint and a member, too:
 *
 *	bind(), then listen()		here
 *	member = m			r0 = load_acquire(sk_state)
 *	store_release(ep, e)		r1 = ep, r2 = member
 *	store_release(sk_state, LISTEN)
 *
 *	never (r0 == LISTEN && (r1 == NULL || r2 == NULL))
 */
static inline bool nym_sock_listens(const struct sock *sk)
{
	/* Pairs with the release in nym_listen(). */
	return smp_load_acquire(&sk->sk_state) == TCP_LISTEN;
}

/* backlog.c */
void nym_backlog_init(struct nym_backlog *backlog);
void nym_backlog_free(struct nym_backlog *backlog);
void nym_call_uncharge(struct nym_conn *call);
void nym_backlog_promote(struct nym_endpoint *ep);
void nym_backlog_refuse(struct nym_endpoint *ep);
int nym_backlog_is_open(struct nym_endpoint *ep, bool waits);
int nym_backlog_submit(struct nym_endpoint *ep, struct nym_conn *call);
bool nym_backlog_withdraw(struct nym_endpoint *ep, struct nym_conn *call);
struct nym_conn *nym_backlog_take(struct nym_endpoint *ep,
				  struct nym_member *member);

static inline void nym_call_set(struct nym_conn *conn, enum nym_call state)
{
	/* Pairs with the acquire in nym_call_get(). */
	smp_store_release(&conn->state, state);
}

static inline enum nym_call nym_call_get(const struct nym_conn *conn)
{
	/* Pairs with the release in nym_call_set(). */
	return smp_load_acquire(&conn->state);
}

/* migrate.c */
void nym_backlog_open(struct nym_endpoint *ep, struct nym_member *member,
		      unsigned int limit);
bool nym_backlog_shut_member(struct nym_endpoint *ep, struct nym_member *member);
void nym_backlog_shut(struct nym_endpoint *ep, struct nym_member *member);
void nym_backlog_leave(struct nym_endpoint *ep, struct nym_member *member,
		       bool alone);
void nym_backlog_disown(struct nym_endpoint *ep, struct list_head *orphans);
void nym_backlog_end(struct nym_endpoint *ep, struct list_head *orphans);

/* call.c */
int nym_listen(struct socket *sock, int backlog);
int nym_connect(struct socket *sock, struct nym_sockaddr *addr, int len, int flags);
int nym_accept(struct socket *sock, struct socket *newsock, int flags,
	       bool kern);
void nym_call_settle(struct sock *sk);
bool nym_call_close(struct sock *sk);
struct nym_conn *nym_call_peek(struct sock *sk, bool *parked);

/* conn.c */
struct nym_conn *nym_conn_alloc(void);
void nym_conn_put(struct nym_conn *conn);
struct nym_conn *nym_sock_settled_conn(struct sock *sk);
int nym_socketpair(struct socket *a, struct socket *b);
void nym_conn_attach(struct nym_conn *conn, int side, struct sock *sk);
void nym_conn_wake_all(struct nym_conn *conn, int side, int band);
void nym_conn_shutdown(struct nym_conn *conn, int side, int mode);
void nym_conn_close(struct nym_conn *conn, int side, bool reset);
void nym_set_peer(struct sock *sk, struct pid *pid, const struct cred *cred);
void nym_set_peer_current(struct sock *sk);
bool nym_fair_room(u32 limit, u32 used, u32 held, u32 cost);
void nym_copy_peer(struct sock *sk, struct sock *from);
int nym_conn_cache_init(void);
void nym_conn_cache_exit(void);

/**
 * nym_sock_conn() - the connection of a socket
 * @sk: a socket whose file the caller holds
 *
 * Context: sleeps if the socket has called but not looked since
 * Return: the conn, which stays as long as the file does; NULL if the socket
 * is not connected
 */
static inline struct nym_conn *nym_sock_conn(struct sock *sk)
{
	/* Pairs with the release in nym_conn_attach(). */
	struct nym_conn *conn = smp_load_acquire(&nym_sk(sk)->conn);

	if (likely(conn))
		return conn;
	return nym_sock_settled_conn(sk);
}

static inline const struct cred *nym_cred_get(const struct cred *cred)
{
	/* It clears a flag that is clear; that others do so, too, is no harm. */
	return data_race(get_cred(cred));
}

/* user.c */
struct nym_user *nym_user_get(struct nym_net *nn, kuid_t uid);
void nym_user_put(struct nym_user *user);
int nym_users_init(void);
void nym_users_exit(void);

/* wait.c; wait.h has the rest */
__poll_t nym_poll(struct file *file, struct socket *sock, poll_table *wait);

/**
 * nym_sock_limit() - how many bytes a socket may have under way
 * @sk: the sending socket
 *
 * Context: any
 * Return: its SO_SNDBUF
 */
static inline u32 nym_sock_limit(const struct sock *sk)
{
	return clamp_t(int, READ_ONCE(sk->sk_sndbuf), 1, NYM_RING_LIMIT_MAX);
}

/* sysctl.c */
bool nym_reserved(const struct net *net, const struct nym_name *name);
int nym_sysctl_net_init(struct net *net);
void nym_sysctl_net_exit(struct net *net);

/* sockopt.c */
int nym_setsockopt(struct socket *sock, int level, int optname,
		   sockptr_t optval, unsigned int optlen);
int nym_getsockopt(struct socket *sock, int level, int optname,
		   char __user *optval, int __user *optlen);

/* stream.c */
int nym_stream_sendmsg(struct socket *sock, struct msghdr *msg, size_t len);
int nym_stream_recvmsg(struct socket *sock, struct msghdr *msg, size_t len,
		       int flags);
int nym_stream_read(struct sock *sk, struct msghdr *msg, size_t len, int flags,
		    unsigned int sleep, struct nym_receipt *receipt);

/* seqpacket.c */
int nym_seqpacket_sendmsg(struct socket *sock, struct msghdr *msg, size_t len);
int nym_seqpacket_recvmsg(struct socket *sock, struct msghdr *msg, size_t len,
			  int flags);
long nym_seqpacket_queued(struct nym_ring *ring);

/* dgram.c */
int nym_dgram_recvmsg(struct socket *sock, struct msghdr *msg, size_t len,
		      int flags);
int nym_dgram_connect(struct socket *sock, struct nym_sockaddr *addr, int len,
		      int flags);
int nym_dgram_socketpair(struct socket *a, struct socket *b);
int nym_dgram_getname(struct socket *sock, struct sockaddr *addr, int peer);
long nym_dgram_queued(struct sock *sk, bool out);
u32 nym_dgram_used(const struct sock *sk);
bool nym_dgram_is_closed(const struct sock *sk);
u64 nym_dgram_sticks_to(const struct sock *sk);
void nym_dgram_stick_to(struct sock *sk, u64 id);
__poll_t nym_dgram_poll(struct file *file, struct socket *sock, poll_table *wait);
void nym_dgram_info(struct sock *sk, struct nym_info *info);
struct nym_endpoint *nym_dgram_peer(struct sock *sk);
void nym_dgram_init(struct sock *sk);
void nym_dgram_shut(struct sock *sk);
void nym_dgram_close(struct sock *sk);
unsigned int nym_dgram_obj_size(void);

/* dgram_send.c */
int nym_dgram_sendmsg(struct socket *sock, struct msghdr *msg, size_t len);

/* dgram_wait.c */
void nym_dgram_joined(struct nym_endpoint *ep);
void nym_dgram_left(struct nym_endpoint *ep, const struct nym_member *member);

/* splice.c */
ssize_t nym_splice_read(struct socket *sock, loff_t *ppos,
			struct pipe_inode_info *pipe, size_t len,
			unsigned int flags);

/* info.c */

/**
 * enum nym_state - what /proc/net/nym and sock_diag call a socket's state
 * @NYM_STATE_UNCONNECTED: nothing of the following
 * @NYM_STATE_BOUND: has a name
 * @NYM_STATE_LISTENING: takes calls
 * @NYM_STATE_CONNECTING: its call is parked
 * @NYM_STATE_CONNECTED: is connected, accepted or not
 */
enum nym_state {
	NYM_STATE_UNCONNECTED = NYM_DIAG_UNCONNECTED,
	NYM_STATE_BOUND = NYM_DIAG_BOUND,
	NYM_STATE_LISTENING = NYM_DIAG_LISTENING,
	NYM_STATE_CONNECTING = NYM_DIAG_CONNECTING,
	NYM_STATE_CONNECTED = NYM_DIAG_CONNECTED,
};

enum nym_state nym_sock_state(const struct sock *sk,
			      const struct nym_conn *conn, bool parked);
bool nym_name_is_visible(struct nym_endpoint *ep, const struct net *net,
			 const struct file *file);
void nym_info_fill(struct sock *sk, struct nym_info *info);

/* stats.c */
int nym_stats_net_init(struct net *net);
void nym_stats_net_exit(struct net *net);
int nym_stats_proc_init(struct net *net);
void nym_stats_proc_exit(struct net *net);

/* diag.c */
int nym_diag_init(void);
void nym_diag_exit(void);

/* proc.c */
int nym_proc_net_init(struct net *net);
void nym_proc_net_exit(struct net *net);

#endif /* _AF_NYM_H */
