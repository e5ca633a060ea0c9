/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The objects of nym and the calls between its files.
 *
 * Objects
 *   endpoint  one bound name, in its network namespace's table (registry.c)
 *   backlog   the calls that wait for an endpoint to accept them (backlog.c)
 *   conn      one connection, shared by its two ends (conn.c)
 *   ring      the bytes of one direction of a conn (ring.h)
 *
 * Locks, outermost first
 *   inode lock      bind() and release() hold it around everything else: the
 *                   mode of the socket's inode is part of the name
 *   lock_sock(sk)   one socket's state and its control calls: bind, listen,
 *                   connect, shutdown. Never two at once, never on the data
 *                   path.
 *   ep->lock        an endpoint's owner and its backlog; spins
 *   ring locks      see ring.h; taken with none of the locks below or above
 *                   held, but in release() the inode lock
 *   marks->lock     what goes along with a ring's bytes; spins (ancillary.h)
 *   dsk->lock       a datagram socket's queue; spins, two never nest (dgram.h)
 *   nym_files_lock  which sockets are in flight and where (files.c); innermost
 *   nym_users_lock  the users (user.c); innermost
 *   sk_peer_lock    a socket's peer credentials; innermost, spins
 *   bucket lock     a chain of the list of all sockets; innermost, spins
 *
 * Lifetimes
 *   socket    RCU (SOCK_RCU_FREE). Another socket is reached only through
 *             conn->end[].sk or ep->sk, under RCU, and never locked.
 *   endpoint  counted: one reference for its socket (held until the socket is
 *             destroyed), one for each conn end that has its name. The table
 *             holds none: the entry goes when the socket is released. Freed
 *             after a grace period, so lookups need only RCU and inc_not_zero.
 *   conn      counted: one reference for each side, the called side's being
 *             held by the backlog until accept(). Freed after a grace period,
 *             because poll() looks at a call without a lock.
 *   user      counted: one reference for each of its descriptors' messages in
 *             flight. It is in a table as long as that.
 */
#ifndef _AF_NYM_H
#define _AF_NYM_H

#include <linux/net.h>
#include <linux/refcount.h>
#include <linux/rhashtable-types.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <net/sock.h>
#include <uapi/linux/nym.h>

#include "ancillary.h"
#include "compat.h"
#include "ring.h"

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
 * struct nym_backlog - the calls waiting at an endpoint
 * @pending: conns to be accepted, oldest first; their clients are connected
 * @parked: conns for which there was no room in @pending, oldest first
 * @npending: length of @pending
 * @nparked: length of @parked
 * @limit: how long @pending may become
 * @open: calls are taken; false before listen() and after the end
 *
 * All under the endpoint's lock; what is read without it is a hint.
 */
struct nym_backlog {
	struct list_head pending;
	struct list_head parked;
	unsigned int npending;
	unsigned int nparked;
	unsigned int limit;
	bool open;
};

/**
 * struct nym_endpoint - one bound name
 * @node: in the namespace's table of names
 * @ref: see the top of this file
 * @type: SOCK_STREAM, SOCK_SEQPACKET or SOCK_DGRAM
 * @lock: protects @sk (for writing) and @backlog
 * @sk: the socket bound to the name; NULL for ever once it is released
 * @backlog: calls to it
 * @rcu: frees it
 * @name: its name; never changes
 */
struct nym_endpoint {
	struct rhash_head node;
	refcount_t ref;
	u16 type;
	spinlock_t lock;	/* of @sk and @backlog */
	struct sock __rcu *sk;
	struct nym_backlog backlog;
	struct rcu_head rcu;
	struct nym_name name;
};

/**
 * enum nym_call - how far a connection request has come
 * @NYM_CALL_PARKED: waits for room in the backlog
 * @NYM_CALL_PENDING: in the backlog; the client is connected
 * @NYM_CALL_ACCEPTED: out of the backlog, accepted or dropped with it
 * @NYM_CALL_REFUSED: was parked when the listener went away
 *
 * Written under the endpoint's lock (release), read without (acquire).
 */
enum nym_call {
	NYM_CALL_PARKED,
	NYM_CALL_PENDING,
	NYM_CALL_ACCEPTED,
	NYM_CALL_REFUSED,
};

/**
 * struct nym_end - one side of a connection
 * @sk: its socket; NULL before accept() and after release
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
 * @queue: in the backlog; the endpoint's lock
 * @pid: the caller's, for the socket that accept() will make
 * @cred: the caller's, likewise
 * @rcu: frees it
 */
struct nym_conn {
	struct nym_ring ring[2];
	struct nym_marks marks[2];
	struct nym_end end[2];
	refcount_t ref;
	u8 state;
	struct list_head queue;
	struct pid *pid;
	const struct cred *cred;
	struct rcu_head rcu;
};

/**
 * struct nym_sock - a nym socket
 * @sk: the generic part, must be first
 * @ep: the name it is bound to; set once (release)
 * @call: the connection it asked for, connected or not; written under
 *	lock_sock, read under RCU by poll()
 * @conn: its connection; set once (release), under lock_sock if the socket
 *	has been published. The reference is @call's.
 * @side: which end of @conn it is; set before @conn
 * @passrights: it takes descriptors
 * @inflight: how often it is in flight itself; see files.c
 * @carries: how many nym sockets are in its queues; likewise
 */
struct nym_sock {
	struct sock sk;
	struct nym_endpoint *ep;
	struct nym_conn __rcu *call;
	struct nym_conn *conn;
	u8 side;
	bool passrights;
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
 * @lock: protects @head for writing; readers use RCU
 * @head: the sockets, linked by sk_node
 */
struct nym_bucket {
	spinlock_t lock;	/* of @head */
	struct hlist_head head;
};

/**
 * struct nym_user - what a user makes the kernel hold
 * @node: in the table of users
 * @ref: see the top of this file
 * @uid: the user
 * @files: descriptors in flight
 */
struct nym_user {
	struct hlist_node node;
	refcount_t ref;
	kuid_t uid;
	atomic_t files;
};

/**
 * struct nym_net - what nym keeps for a network namespace
 * @names: the endpoints by name
 * @last_id: the last number the kernel chose for a name
 * @sockets: all sockets, for /proc/net/nym
 */
struct nym_net {
	struct rhashtable names;
	atomic64_t last_id;
	struct nym_bucket sockets[NYM_SOCK_BUCKETS];
};

extern unsigned int nym_family;

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
void nym_endpoint_put(struct nym_endpoint *ep);
int nym_endpoint_permission(struct nym_endpoint *ep, int mask);
u64 nym_registry_id(struct net *net);
int nym_registry_net_init(struct nym_net *nn);
void nym_registry_net_exit(struct nym_net *nn);
int nym_registry_cache_init(void);
void nym_registry_cache_exit(void);

static inline struct nym_endpoint *nym_endpoint_get(struct nym_endpoint *ep)
{
	refcount_inc(&ep->ref);
	return ep;
}

/* Context: any. The socket keeps it alive. */
static inline struct nym_endpoint *nym_sock_endpoint(const struct sock *sk)
{
	/* Pairs with the release in nym_bind(). */
	return smp_load_acquire(&nym_sk(sk)->ep);
}

/* Context: any. If so, the socket has an endpoint, too. */
static inline bool nym_sock_listens(const struct sock *sk)
{
	/* Pairs with the release in nym_listen(). */
	return smp_load_acquire(&sk->sk_state) == TCP_LISTEN;
}

/* backlog.c */
void nym_backlog_init(struct nym_backlog *backlog);
int nym_listen(struct socket *sock, int backlog);
int nym_connect(struct socket *sock, struct nym_sockaddr *addr, int len, int flags);
void nym_backlog_shut(struct nym_endpoint *ep);
void nym_backlog_close(struct nym_endpoint *ep);
void nym_call_settle(struct sock *sk);
void nym_call_close(struct sock *sk);
struct nym_conn *nym_call_peek(struct sock *sk, bool *parked);

/* conn.c */
struct nym_conn *nym_conn_alloc(void);
void nym_conn_put(struct nym_conn *conn);
struct nym_conn *nym_sock_settled_conn(struct sock *sk);
int nym_socketpair(struct socket *a, struct socket *b);
void nym_conn_attach(struct nym_conn *conn, int side, struct sock *sk);
void nym_conn_wake(struct nym_conn *conn, int side, __poll_t mask, int how,
		   int band);
void nym_conn_wake_all(struct nym_conn *conn, int side, int band);
void nym_conn_shutdown(struct nym_conn *conn, int side, int mode);
void nym_conn_close(struct nym_conn *conn, int side, bool reset);
void nym_conn_sign(struct nym_conn *conn, int side, struct sock *sk,
		   struct nym_control *control);
void nym_set_peer(struct sock *sk, struct pid *pid, const struct cred *cred);
void nym_set_peer_current(struct sock *sk);
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

/* wait.c */

/* What nym_recv_over() says. */
#define NYM_OVER_SHUT	BIT(0)
#define NYM_OVER_ERROR	BIT(1)

u32 nym_sock_limit(const struct sock *sk);
u32 nym_low_water(const struct sock *sk, const struct nym_ring *out);
bool nym_send_is_over(const struct sock *sk, const struct nym_ring *out);
bool nym_send_is_shut(const struct sock *sk, const struct nym_ring *out);
unsigned int nym_recv_over(const struct sock *sk, const struct nym_ring *in);
bool nym_recv_queued(const struct nym_ring *in);
void nym_published(struct sock *sk, struct nym_conn *conn, int side);
void nym_consumed(struct nym_conn *conn, int side);
int nym_await_room(struct sock *sk, struct nym_ring *out, u32 level, long *timeo);
int nym_await_bytes(struct sock *sk, struct nym_ring *in, unsigned int over,
		    long *timeo, unsigned int sleep);
__poll_t nym_poll(struct file *file, struct socket *sock, poll_table *wait);

/* user.c */
struct nym_user *nym_user_get(kuid_t uid);
void nym_user_put(struct nym_user *user);

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
int nym_dgram_sendmsg(struct socket *sock, struct msghdr *msg, size_t len);
int nym_dgram_recvmsg(struct socket *sock, struct msghdr *msg, size_t len,
		      int flags);
int nym_dgram_connect(struct socket *sock, struct nym_sockaddr *addr, int len,
		      int flags);
int nym_dgram_socketpair(struct socket *a, struct socket *b);
int nym_dgram_getname(struct socket *sock, struct sockaddr *addr, int peer);
long nym_dgram_queued(struct sock *sk, bool out);
u32 nym_dgram_used(const struct sock *sk);
__poll_t nym_dgram_poll(struct file *file, struct socket *sock, poll_table *wait);
void nym_dgram_init(struct sock *sk);
void nym_dgram_shut(struct sock *sk);
void nym_dgram_close(struct sock *sk);
unsigned int nym_dgram_obj_size(void);

/* splice.c */
ssize_t nym_splice_read(struct socket *sock, loff_t *ppos,
			struct pipe_inode_info *pipe, size_t len,
			unsigned int flags);

/* proc.c */
int nym_proc_net_init(struct net *net);
void nym_proc_net_exit(struct net *net);

#endif /* _AF_NYM_H */
