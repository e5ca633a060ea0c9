// SPDX-License-Identifier: GPL-2.0
/*
 * The registry: which name belongs to which socket, in each network namespace,
 * and who may call it.
 *
 * An endpoint enters the table in bind() and leaves it when its socket is
 * released; only that socket's own calls do either. The table is a resizable
 * hash table with its own bucket locks; lookups run under RCU and take a
 * reference only of an endpoint that still has one.
 *
 * When its socket is released, an endpoint first leaves the table; then ep->sk
 * becomes NULL, under ep->lock. So whoever holds the lock and sees a socket may
 * queue a call to it, and whoever sees none will not find this endpoint again.
 */
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/jhash.h>
#include <linux/rhashtable.h>
#include <linux/slab.h>

#include "af_nym.h"

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
	if (ep && refcount_dec_and_test(&ep->ref))
		call_rcu(&ep->rcu, nym_endpoint_free_rcu);
}

/**
 * nym_endpoint_find() - look a name up
 * @net: the namespace
 * @name: the name
 *
 * Context: any
 * Return: the endpoint with a reference, or NULL. Its socket may be gone
 * before the caller looks again: see the top of this file.
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

/**
 * nym_endpoint_permission() - may the caller do this to the name?
 * @ep: the endpoint
 * @mask: MAY_WRITE to connect or send, MAY_READ to see it listed
 *
 * The owner, group and mode are those of the socket's own inode, as fchown()
 * and fchmod() left them.
 *
 * Context: any
 * Return: 0; -EACCES; -ENOENT if the socket has been released, so that another
 * may have the name by now
 */
int nym_endpoint_permission(struct nym_endpoint *ep, int mask)
{
	struct socket *sock = NULL;
	int err = -ENOENT;
	struct sock *sk;

	/* An inode outlives the release of its socket by a grace period. */
	rcu_read_lock();
	sk = rcu_dereference(ep->sk);
	if (sk)
		sock = READ_ONCE(sk->sk_socket);
	if (sock)
		err = generic_permission(NYM_NO_IDMAP, SOCK_INODE(sock),
					 mask | MAY_NOT_BLOCK);
	rcu_read_unlock();
	return err;
}

static struct nym_endpoint *nym_endpoint_alloc(struct sock *sk)
{
	struct nym_endpoint *ep;

	ep = kmem_cache_zalloc(nym_endpoint_cache, GFP_KERNEL_ACCOUNT);
	if (!ep)
		return NULL;
	refcount_set(&ep->ref, 1);
	spin_lock_init(&ep->lock);
	ep->type = sk->sk_type;
	RCU_INIT_POINTER(ep->sk, sk);
	nym_backlog_init(&ep->backlog);
	return ep;
}

static int nym_endpoint_insert(struct net *net, struct nym_endpoint *ep)
{
	int err;

	err = rhashtable_lookup_insert_key(&nym_net(net)->names, &ep->name,
					   &ep->node, nym_names_params);
	if (err == -EEXIST)
		return -EADDRINUSE;
	/* What else can go wrong is that the table cannot grow. */
	return err ? -ENOMEM : 0;
}

/* The socket is locked and has no name. */
static int nym_bind_name(struct sock *sk, const struct nym_name *name)
{
	struct nym_endpoint *ep = nym_endpoint_alloc(sk);
	struct net *net = sock_net(sk);
	int err;

	if (!ep)
		return -ENOMEM;
	if (name->len)
		ep->name = *name;
	else
		nym_name_choose(&ep->name, nym_registry_id(net));

	err = nym_endpoint_insert(net, ep);
	if (err) {
		/* Nobody has seen it. */
		kmem_cache_free(nym_endpoint_cache, ep);
		return err;
	}
	/* Pairs with the acquire in nym_sock_endpoint(). */
	smp_store_release(&nym_sk(sk)->ep, ep);
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
	static const struct nym_name none;

	return nym_bind_name(sk, &none);
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
	struct inode *inode = SOCK_INODE(sock);
	struct sock *sk = sock->sk;
	struct nym_name name;
	int err;

	err = nym_name_parse(&name, addr, len);
	if (!err && name.len)
		err = nym_name_may_bind(sock_net(sk), &name);
	if (err)
		return err;

	/* The mode is in force before the name can be found. */
	inode_lock(inode);
	lock_sock(sk);
	nym_call_settle(sk);
	if (nym_sk(sk)->ep || rcu_access_pointer(nym_sk(sk)->call)) {
		/* It has an address; asking for any, as AF_UNIX sees it, is met. */
		err = name.len ? -EINVAL : 0;
	} else {
		umode_t mode = inode->i_mode;

		inode->i_mode = mode & ~current_umask();
		err = nym_bind_name(sk, &name);
		if (err)
			inode->i_mode = mode;
	}
	release_sock(sk);
	inode_unlock(inode);
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
	struct nym_endpoint *ep = nym_sk(sk)->ep;

	if (!ep)
		return;
	rhashtable_remove_fast(&nym_net(sock_net(sk))->names, &ep->node,
			       nym_names_params);
	nym_backlog_close(ep);
}

/**
 * nym_registry_net_init() - for a new network namespace
 * @nn: its part of nym
 *
 * Return: 0 or an error
 */
int nym_registry_net_init(struct nym_net *nn)
{
	return rhashtable_init(&nn->names, &nym_names_params);
}

/**
 * nym_registry_net_exit() - for a namespace without sockets
 * @nn: its part of nym
 */
void nym_registry_net_exit(struct nym_net *nn)
{
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
