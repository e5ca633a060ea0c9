// SPDX-License-Identifier: GPL-2.0
/*
 * The registry: which sockets have which name, in each network namespace, and
 * who may call them.
 *
 * An endpoint is in the table as long as anybody has a reference of it: sockets
 * bound to the name, connections that have it, callers and senders that wait for
 * it. So a name is one object for all of them, and whoever binds it joins what
 * is there. Who owns it is another matter: its members, the sockets bound to it,
 * or, while it lingers, the owner of the last one. Without either, anybody may
 * take it over.
 *
 * The table is a resizable hash table with its own bucket locks; lookups run
 * under RCU and take a reference only of an endpoint that still has one.
 * Members come and go under ep->lock; under RCU they can be looked at.
 */
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/jhash.h>
#include <linux/rhashtable.h>
#include <linux/slab.h>

#include "af_nym.h"
#include "trace.h"

static struct kmem_cache *nym_endpoint_cache;

static u32 nym_name_hash(const void *data, u32 len, u32 seed)
{
	const struct nym_name *name = data;

	return jhash(name->text, name->len, seed);
}

static u32 nym_endpoint_hash(const void *data, u32 len, u32 seed)
{
	const struct nym_endpoint *ep = data;

	return nym_name_hash(&ep->name, len, seed);
}

static int nym_endpoint_cmp(struct rhashtable_compare_arg *arg, const void *obj)
{
	const struct nym_endpoint *ep = obj;
	const struct nym_name *name = arg->key;

	return ep->name.len != name->len ||
	       memcmp(ep->name.text, name->text, name->len);
}

static const struct rhashtable_params nym_names_params = {
	.head_offset = offsetof(struct nym_endpoint, node),
	.hashfn = nym_name_hash,
	.obj_hashfn = nym_endpoint_hash,
	.obj_cmpfn = nym_endpoint_cmp,
	.automatic_shrinking = true,
};

/**
 * nym_registry_id() - a number for a kernel-chosen name
 * @net: the namespace it must be unique in
 *
 * Context: any
 * Return: the number, never 0
 */
u64 nym_registry_id(struct net *net)
{
	return atomic64_inc_return(&nym_net(net)->last_id);
}

static void nym_endpoint_free_rcu(struct rcu_head *rcu)
{
	kmem_cache_free(nym_endpoint_cache,
			container_of(rcu, struct nym_endpoint, rcu));
}

/**
 * nym_endpoint_put() - drop a reference
 * @ep: the endpoint or NULL
 *
 * Context: any
 */
void nym_endpoint_put(struct nym_endpoint *ep)
{
	if (!ep || !refcount_dec_and_test(&ep->ref))
		return;
	rhashtable_remove_fast(&ep->nn->names, &ep->node, nym_names_params);
	nym_backlog_free(&ep->backlog);
	call_rcu(&ep->rcu, nym_endpoint_free_rcu);
}

/**
 * nym_endpoint_find() - look a name up
 * @net: the namespace
 * @name: the name
 *
 * Context: any
 * Return: the endpoint with a reference, or NULL. It may be without members.
 */
struct nym_endpoint *nym_endpoint_find(struct net *net,
				       const struct nym_name *name)
{
	struct nym_endpoint *ep;

	rcu_read_lock();
	ep = rhashtable_lookup(&nym_net(net)->names, name, nym_names_params);
	if (ep && !refcount_inc_not_zero(&ep->ref))
		ep = NULL;
	rcu_read_unlock();
	return ep;
}

static struct nym_endpoint *nym_endpoint_alloc(struct nym_net *nn)
{
	struct nym_endpoint *ep;

	ep = kmem_cache_zalloc(nym_endpoint_cache, GFP_KERNEL_ACCOUNT);
	if (!ep)
		return NULL;
	ep->nn = nn;
	refcount_set(&ep->ref, 1);
	spin_lock_init(&ep->lock);
	INIT_LIST_HEAD(&ep->members);
	nym_backlog_init(&ep->backlog);
	init_waitqueue_head(&ep->wait);
	timerqueue_init(&ep->linger);
	return ep;
}

/*
 * Puts a new endpoint into the table, unless there is one of that name already.
 * Returns that one, or @ep, with a reference; NULL if there is no memory.
 */
static struct nym_endpoint *nym_endpoint_insert(struct nym_net *nn,
						struct nym_endpoint *ep)
{
	struct nym_endpoint *old;

	for (;;) {
		rcu_read_lock();
		old = rhashtable_lookup_get_insert_key(&nn->names, &ep->name,
						       &ep->node,
						       nym_names_params);
		if (IS_ERR_OR_NULL(old) || refcount_inc_not_zero(&old->ref))
			break;
		/* It is on its way out of the table; whoever removes it must run. */
		rcu_read_unlock();
		schedule_timeout_uninterruptible(1);
	}
	rcu_read_unlock();
	if (IS_ERR(old))
		return NULL;
	return old ? old : ep;
}

/**
 * nym_endpoint_await() - look a name up, or make it known that it is awaited
 * @net: the namespace
 * @name: the name
 *
 * Context: sleeps
 * Return: the endpoint with a reference; it may be without members. NULL if
 * there is no memory.
 */
struct nym_endpoint *nym_endpoint_await(struct net *net,
					const struct nym_name *name)
{
	struct nym_endpoint *ep = nym_endpoint_find(net, name), *new;

	if (ep)
		return ep;
	new = nym_endpoint_alloc(nym_net(net));
	if (!new)
		return NULL;
	new->name = *name;
	ep = nym_endpoint_insert(nym_net(net), new);
	if (ep != new)
		/* Nobody has seen it. */
		kmem_cache_free(nym_endpoint_cache, new);
	return ep;
}

/**
 * nym_endpoint_permission() - may the caller do this to the name?
 * @ep: the endpoint
 * @mask: MAY_WRITE to connect or send, MAY_READ to see it listed
 *
 * The owner, group and mode are those of the inode of the socket that was bound
 * first, as fchown() and fchmod() left them.
 *
 * Context: any
 * Return: 0; -EACCES; -ENOENT if no socket is bound to it
 */
int nym_endpoint_permission(struct nym_endpoint *ep, int mask)
{
	struct nym_member *first;
	struct socket *sock = NULL;
	int err = -ENOENT;

	/* An inode outlives the release of its socket by a grace period. */
	rcu_read_lock();
	first = list_first_or_null_rcu(&ep->members, struct nym_member, list);
	if (first)
		sock = READ_ONCE(first->sk->sk_socket);
	if (sock)
		err = generic_permission(NYM_NO_IDMAP, SOCK_INODE(sock),
					 mask | MAY_NOT_BLOCK);
	rcu_read_unlock();
	return err;
}

/* Charges a name to a user: the user with a reference, or an error. */
static struct nym_user *nym_name_charge(struct net *net, kuid_t uid)
{
	struct nym_user *user = nym_user_get(nym_net(net), uid);
	u32 max = READ_ONCE(nym_net(net)->max_names);

	if (!user)
		return ERR_PTR(-ENOMEM);
	atomic_inc(&user->key.nn->nnames);
	if (atomic_inc_return(&user->names) > max && !capable(CAP_NET_ADMIN)) {
		nym_name_uncharge(user);
		return ERR_PTR(-EDQUOT);
	}
	return user;
}

/**
 * nym_name_uncharge() - a name has no owner any more
 * @user: who was charged; the reference is dropped
 *
 * Context: any but interrupts
 */
void nym_name_uncharge(struct nym_user *user)
{
	atomic_dec(&user->key.nn->nnames);
	atomic_dec(&user->names);
	nym_user_put(user);
}

/* Who has a part in a name that is charged already need not be charged. */
static int nym_bind_charge(struct nym_endpoint *ep, struct nym_member *member)
{
	struct nym_user *user = NULL;
	int err = nym_member_join(ep, member, &user);

	if (err != -EDQUOT)
		return err;
	user = nym_name_charge(sock_net(member->sk), current_uid());
	if (IS_ERR(user))
		return PTR_ERR(user);
	err = nym_member_join(ep, member, &user);
	if (user)
		nym_name_uncharge(user);
	return err;
}

/* The socket is locked and has no name. The endpoint has it, or an error. */
static struct nym_endpoint *nym_bind_join(struct sock *sk,
					  const struct nym_name *name,
					  struct nym_member *member)
{
	struct nym_endpoint *ep = nym_endpoint_await(sock_net(sk), name);
	int err;

	if (!ep)
		return ERR_PTR(-ENOMEM);
	err = nym_bind_charge(ep, member);
	if (!err)
		return ep;
	nym_endpoint_put(ep);
	return ERR_PTR(err);
}

/* The socket is locked and has no name. */
static int nym_bind_name(struct sock *sk, const struct nym_name *name)
{
	struct nym_member *member = nym_member_alloc(sk);
	struct nym_endpoint *ep;

	if (!member)
		return -ENOMEM;
	ep = nym_bind_join(sk, name, member);
	if (IS_ERR(ep)) {
		kfree(member);
		return PTR_ERR(ep);
	}
	nym_sk(sk)->member = member;
	/* Pairs with the acquire in nym_sock_endpoint(). */
	smp_store_release(&nym_sk(sk)->ep, ep);
	nym_stat_inc(ep->nn, NYM_STAT_BINDS);
	/* Datagrams can be sent to it from now on, and no calls be made. */
	nym_dgram_joined(ep);
	if (sk->sk_type == SOCK_DGRAM)
		nym_backlog_refuse(ep);
	return 0;
}

/**
 * nym_bind_chosen() - give a socket a name that the kernel chooses
 * @sk: the socket, which has none
 *
 * Unlike with bind(), the mode stays as it is: who was sent something may answer.
 *
 * Context: lock_sock held, or the socket is new
 * Return: 0 or -ENOMEM
 */
int nym_bind_chosen(struct sock *sk)
{
	struct nym_name name;

	nym_name_choose(&name, nym_registry_id(sock_net(sk)));
	return nym_bind_name(sk, &name);
}

/* Binds to a name, or without one to one that the kernel chooses. */
static int nym_bind_sock(struct socket *sock, const struct nym_name *name)
{
	struct inode *inode = SOCK_INODE(sock);
	struct sock *sk = sock->sk;
	int err;

	/* The mode is in force before the name can be found. */
	inode_lock(inode);
	lock_sock(sk);
	nym_call_settle(sk);
	if (nym_sk(sk)->ep || rcu_access_pointer(nym_sk(sk)->call)) {
		/* It has an address; asking for any, as AF_UNIX sees it, is met. */
		err = name->len ? -EINVAL : 0;
	} else {
		umode_t mode = inode->i_mode;

		inode->i_mode = mode & ~current_umask();
		err = name->len ? nym_bind_name(sk, name) : nym_bind_chosen(sk);
		if (err)
			inode->i_mode = mode;
	}
	release_sock(sk);
	inode_unlock(inode);
	return err;
}

/**
 * nym_bind() - proto_ops.bind
 * @sock: the socket
 * @addr: a name, or the family alone for one that the kernel chooses
 * @len: length of @addr
 *
 * The umask is taken off the mode of the socket's inode, as it is for the
 * socket file of AF_UNIX: it decides who may connect.
 *
 * Context: sleeps
 * Return: 0; -EINVAL for a bad address or a name when it has one; -EACCES for
 * a name kept for others; -EADDRINUSE; -ENOMEM
 */
int nym_bind(struct socket *sock, struct nym_sockaddr *addr, int len)
{
	struct nym_name name;
	int err;

	err = nym_name_parse(&name, addr, len);
	if (err)
		return err;
	if (name.len)
		err = nym_name_may_bind(sock_net(sock->sk), &name);
	if (!err)
		err = nym_bind_sock(sock, &name);
	nym_trace_bind(sock->sk, &name, err);
	return err;
}

/**
 * nym_unbind() - give up the name of a socket that is being released
 * @sk: the socket, bound or not; keeps its reference of the endpoint
 *
 * Context: sleeps
 */
void nym_unbind(struct sock *sk)
{
	struct nym_member *member = nym_sk(sk)->member;
	struct nym_endpoint *ep = nym_sk(sk)->ep;
	struct nym_user *user = NULL;
	LIST_HEAD(orphans);
	bool alone;

	if (!ep)
		return;
	alone = nym_member_leave(ep, member, &user, &orphans);
	if (user)
		nym_name_uncharge(user);
	nym_dgram_left(ep, member);
	nym_backlog_leave(ep, member, alone);
	if (alone)
		nym_backlog_end(ep, &orphans);
}

/**
 * nym_registry_net_init() - for a new network namespace
 * @nn: its part of nym
 *
 * Return: 0 or an error
 */
int nym_registry_net_init(struct nym_net *nn)
{
	nym_linger_net_init(nn);
	return rhashtable_init(&nn->names, &nym_names_params);
}

/**
 * nym_registry_net_exit() - for a namespace without sockets
 * @nn: its part of nym
 */
void nym_registry_net_exit(struct nym_net *nn)
{
	nym_linger_net_exit(nn);
	rhashtable_destroy(&nn->names);
}

/**
 * nym_registry_cache_init() - at module load
 * Return: 0 or -ENOMEM
 */
int __init nym_registry_cache_init(void)
{
	nym_endpoint_cache = KMEM_CACHE(nym_endpoint, SLAB_ACCOUNT);
	return nym_endpoint_cache ? 0 : -ENOMEM;
}

/**
 * nym_registry_cache_exit() - at module unload, after rcu_barrier()
 */
void nym_registry_cache_exit(void)
{
	kmem_cache_destroy(nym_endpoint_cache);
}
