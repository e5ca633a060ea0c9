// SPDX-License-Identifier: GPL-2.0
/*
 * The family: registration with the kernel, making and releasing sockets, and
 * the calls that are not worth a file of their own.
 */
#include <linux/compat.h>
#include <linux/module.h>
#include <linux/sockios.h>
#include <asm/ioctls.h>
#include <net/net_namespace.h>
#include <net/netns/generic.h>

#include "af_nym.h"
#include "trace.h"

static unsigned int nym_net_id __read_mostly;

/**
 * nym_net() - what nym keeps for a namespace
 * @net: the namespace
 *
 * Context: any
 * Return: its struct nym_net
 */
struct nym_net *nym_net(const struct net *net)
{
	return net_generic(net, nym_net_id);
}

static struct nym_bucket *nym_sock_bucket(const struct sock *sk)
{
	return &nym_net(sock_net(sk))->sockets[hash_ptr(sk, ilog2(NYM_SOCK_BUCKETS))];
}

static void nym_sock_list(struct sock *sk)
{
	struct nym_bucket *bucket = nym_sock_bucket(sk);

	spin_lock(&bucket->lock);
	hlist_add_head(&sk->sk_node, &bucket->head);
	spin_unlock(&bucket->lock);
	sock_prot_inuse_add(sock_net(sk), sk->sk_prot, 1);
	nym_stat_inc(nym_net(sock_net(sk)), NYM_STAT_SOCKETS);
}

static void nym_sock_unlist(struct sock *sk)
{
	struct nym_bucket *bucket = nym_sock_bucket(sk);

	spin_lock(&bucket->lock);
	hlist_del_init(&sk->sk_node);
	spin_unlock(&bucket->lock);
	sock_prot_inuse_add(sock_net(sk), sk->sk_prot, -1);
	nym_stat_add(nym_net(sock_net(sk)), NYM_STAT_SOCKETS, -1);
}

/* The last reference has gone, a grace period ago with SOCK_RCU_FREE. */
static void nym_sock_destruct(struct sock *sk)
{
	nym_endpoint_put(nym_sk(sk)->ep);
	kfree(nym_sk(sk)->member);
}

static struct proto nym_proto = {
	.name = "NYM",
	.owner = THIS_MODULE,
	.obj_size = sizeof(struct nym_sock),
};

/* Its objects are larger; nym_init() sets by how much. */
static struct proto nym_dgram_proto = {
	.name = "NYM-DGRAM",
	.owner = THIS_MODULE,
};

/**
 * nym_sock_alloc() - a new socket, not connected and without a name
 * @net: its namespace
 * @sock: what it belongs to, or NULL if that comes later
 * @type: SOCK_STREAM, SOCK_SEQPACKET or SOCK_DGRAM
 * @kern: it is a kernel socket
 *
 * Context: sleeps
 * Return: the socket, to be given up by release or nym_sock_discard(); NULL
 */
struct sock *nym_sock_alloc(struct net *net, struct socket *sock, int type,
			    int kern)
{
	struct proto *prot = type == SOCK_DGRAM ? &nym_dgram_proto : &nym_proto;
	struct sock *sk = sk_alloc(net, nym_family, GFP_KERNEL, prot, kern);

	if (!sk)
		return NULL;
	sock_init_data(sock, sk);
	sk->sk_type = type;
	sk->sk_destruct = nym_sock_destruct;
	sk->sk_max_ack_backlog = 0;
	if (type == SOCK_DGRAM)
		nym_dgram_init(sk);
	nym_sock_list(sk);
	return sk;
}

/**
 * nym_sock_discard() - give up a socket that never got a struct socket
 * @sk: the socket, neither bound nor connected
 *
 * Context: any but interrupts
 */
void nym_sock_discard(struct sock *sk)
{
	nym_sock_unlist(sk);
	sock_set_flag(sk, SOCK_DEAD);
	sock_put(sk);
}

/* The last reference of the file has gone: no other call can run. */
static int nym_release(struct socket *sock)
{
	struct sock *sk = sock->sk;

	if (!sk)
		return 0;
	nym_trace_close(sk);
	nym_sock_unlist(sk);
	nym_unbind(sk);
	if (sk->sk_type == SOCK_DGRAM)
		nym_dgram_close(sk);
	sock_orphan(sk);
	sock->sk = NULL;
	if (!nym_call_close(sk))
		sock_put(sk);
	return 0;
}

static int nym_getname(struct socket *sock, struct sockaddr *addr, int peer)
{
	static const struct nym_name none;
	struct sock *sk = sock->sk;
	struct nym_conn *conn = nym_sock_conn(sk);
	struct nym_endpoint *ep;

	if (conn)
		return nym_end_name(&conn->end[nym_sk(sk)->side ^ !!peer], addr);
	if (peer)
		return -ENOTCONN;
	ep = nym_sock_endpoint(sk);
	return nym_name_fill(addr, ep ? &ep->name : &none);
}

static int nym_shutdown(struct socket *sock, int how)
{
	struct sock *sk = sock->sk;
	struct nym_conn *conn;
	int mode = how + 1;

	if (how < SHUT_RD || how > SHUT_RDWR)
		return -EINVAL;

	lock_sock(sk);
	nym_call_settle(sk);
	WRITE_ONCE(sk->sk_shutdown, sk->sk_shutdown | mode);
	conn = nym_sk(sk)->conn;
	if (sk->sk_state == TCP_LISTEN && mode & RCV_SHUTDOWN)
		nym_backlog_shut(nym_sk(sk)->ep, nym_sk(sk)->member);
	release_sock(sk);

	sk->sk_state_change(sk);
	if (sk->sk_type == SOCK_DGRAM)
		nym_dgram_shut(sk);
	if (conn)
		nym_conn_shutdown(conn, nym_sk(sk)->side, mode);
	return 0;
}

static int nym_ioctl(struct socket *sock, unsigned int cmd, unsigned long arg)
{
	struct sock *sk = sock->sk;
	struct nym_conn *conn;
	struct nym_ring *ring;
	long amount = 0;

	if (cmd != SIOCINQ && cmd != SIOCOUTQ)
		return -ENOIOCTLCMD;
	if (cmd == SIOCINQ && nym_sock_listens(sk))
		return -EINVAL;
	conn = nym_sock_conn(sk);
	if (conn) {
		ring = &conn->ring[nym_sk(sk)->side ^ (cmd == SIOCINQ)];
		if (cmd == SIOCINQ && sk->sk_type == SOCK_SEQPACKET)
			amount = nym_seqpacket_queued(ring);
		else
			amount = nym_ring_unread(ring);
		if (amount < 0)
			return amount;
	}
	return put_user(amount, (int __user *)arg);
}

#ifdef CONFIG_COMPAT
static int nym_compat_ioctl(struct socket *sock, unsigned int cmd,
			    unsigned long arg)
{
	return nym_ioctl(sock, cmd, (unsigned long)compat_ptr(arg));
}
#endif

#ifdef NYM_HAVE_PROTO_ACCEPT_ARG
static int nym_accept_op(struct socket *sock, struct socket *newsock,
			 struct proto_accept_arg *arg)
{
	return nym_accept(sock, newsock, arg->flags, arg->kern);
}
#endif

static const struct proto_ops nym_stream_ops = {
	.family = PF_NYM,
	.owner = THIS_MODULE,
	.release = nym_release,
	.bind = nym_bind,
	.connect = nym_connect,
	.socketpair = nym_socketpair,
	.accept = nym_accept_op,
	.getname = nym_getname,
	.poll = nym_poll,
	.ioctl = nym_ioctl,
#ifdef CONFIG_COMPAT
	.compat_ioctl = nym_compat_ioctl,
#endif
	.listen = nym_listen,
	.shutdown = nym_shutdown,
	.setsockopt = nym_setsockopt,
	.getsockopt = nym_getsockopt,
	.sendmsg = nym_stream_sendmsg,
	.recvmsg = nym_stream_recvmsg,
	.mmap = sock_no_mmap,
	.splice_read = nym_splice_read,
};

static const struct proto_ops nym_seqpacket_ops = {
	.family = PF_NYM,
	.owner = THIS_MODULE,
	.release = nym_release,
	.bind = nym_bind,
	.connect = nym_connect,
	.socketpair = nym_socketpair,
	.accept = nym_accept_op,
	.getname = nym_getname,
	.poll = nym_poll,
	.ioctl = nym_ioctl,
#ifdef CONFIG_COMPAT
	.compat_ioctl = nym_compat_ioctl,
#endif
	.listen = nym_listen,
	.shutdown = nym_shutdown,
	.setsockopt = nym_setsockopt,
	.getsockopt = nym_getsockopt,
	.sendmsg = nym_seqpacket_sendmsg,
	.recvmsg = nym_seqpacket_recvmsg,
	.mmap = sock_no_mmap,
};

static int nym_dgram_ioctl(struct socket *sock, unsigned int cmd,
			   unsigned long arg)
{
	if (cmd != SIOCINQ && cmd != SIOCOUTQ)
		return -ENOIOCTLCMD;
	return put_user(nym_dgram_queued(sock->sk, cmd == SIOCOUTQ),
			(int __user *)arg);
}

#ifdef CONFIG_COMPAT
static int nym_dgram_compat_ioctl(struct socket *sock, unsigned int cmd,
				  unsigned long arg)
{
	return nym_dgram_ioctl(sock, cmd, (unsigned long)compat_ptr(arg));
}
#endif

static const struct proto_ops nym_dgram_ops = {
	.family = PF_NYM,
	.owner = THIS_MODULE,
	.release = nym_release,
	.bind = nym_bind,
	.connect = nym_dgram_connect,
	.socketpair = nym_dgram_socketpair,
	.accept = sock_no_accept,
	.getname = nym_dgram_getname,
	.poll = nym_dgram_poll,
	.ioctl = nym_dgram_ioctl,
#ifdef CONFIG_COMPAT
	.compat_ioctl = nym_dgram_compat_ioctl,
#endif
	.listen = sock_no_listen,
	.shutdown = nym_shutdown,
	.setsockopt = nym_setsockopt,
	.getsockopt = nym_getsockopt,
	.sendmsg = nym_dgram_sendmsg,
	.recvmsg = nym_dgram_recvmsg,
	.mmap = sock_no_mmap,
};

static int nym_create(struct net *net, struct socket *sock, int protocol,
		      int kern)
{
	if (protocol && protocol != nym_family)
		return -EPROTONOSUPPORT;
	switch (sock->type) {
	case SOCK_STREAM:
		sock->ops = &nym_stream_ops;
		break;
	case SOCK_SEQPACKET:
		sock->ops = &nym_seqpacket_ops;
		break;
	case SOCK_RAW:
		/* As AF_UNIX has it. */
		sock->type = SOCK_DGRAM;
		fallthrough;
	case SOCK_DGRAM:
		sock->ops = &nym_dgram_ops;
		break;
	default:
		return -ESOCKTNOSUPPORT;
	}
	sock->state = SS_UNCONNECTED;
	return nym_sock_alloc(net, sock, sock->type, kern) ? 0 : -ENOMEM;
}

static nym_set_once struct net_proto_family nym_family_ops = {
	.family = PF_NYM,
	.owner = THIS_MODULE,
	.create = nym_create,
};

static int __net_init nym_net_init(struct net *net)
{
	struct nym_net *nn = nym_net(net);
	int err, i;

	for (i = 0; i < NYM_SOCK_BUCKETS; i++)
		spin_lock_init(&nn->sockets[i].lock);
	err = nym_stats_net_init(net);
	if (err)
		return err;
	err = nym_registry_net_init(nn);
	if (err)
		goto out_stats;
	err = nym_sysctl_net_init(net);
	if (err)
		goto out_registry;
	err = nym_proc_net_init(net);
	if (err)
		goto out_sysctl;
	err = nym_stats_proc_init(net);
	if (err)
		goto out_proc;
	return 0;

out_proc:
	nym_proc_net_exit(net);
out_sysctl:
	nym_sysctl_net_exit(net);
out_registry:
	nym_registry_net_exit(nn);
out_stats:
	nym_stats_net_exit(net);
	return err;
}

static void __net_exit nym_net_exit(struct net *net)
{
	nym_stats_proc_exit(net);
	nym_proc_net_exit(net);
	nym_sysctl_net_exit(net);
	nym_registry_net_exit(nym_net(net));
	nym_stats_net_exit(net);
}

static struct pernet_operations nym_net_ops = {
	.init = nym_net_init,
	.exit = nym_net_exit,
	.id = &nym_net_id,
	.size = sizeof(struct nym_net),
};

static int __init nym_register(void)
{
	int err;

	nym_set_family(&nym_family_ops);
	/* First, for sockets that exist already cannot be taken back. */
	err = nym_diag_init();
	if (err)
		return err;
	err = sock_register(&nym_family_ops);
	if (err)
		nym_diag_exit();
	return err;
}

#ifndef NYM_HAVE_AF_NYM
unsigned int nym_family __read_mostly = AF_NYM;
module_param_named(family, nym_family, uint, 0444);
MODULE_PARM_DESC(family, "Address family number (default 18)");

/* The core would only say that there is no room for the number. */
static int __init nym_register_chosen(void)
{
	int err;

	if (nym_family == AF_UNSPEC || nym_family >= AF_MAX) {
		pr_err("nym: family=%u is out of range, the numbers are 1 to %d\n",
		       nym_family, AF_MAX - 1);
		return -EINVAL;
	}
	err = nym_register();
	if (err == -EEXIST)
		pr_err("nym: address family %u is taken, choose another with family=\n",
		       nym_family);
	return err;
}
#endif

static int __init nym_init(void)
{
	int err;

	err = nym_chunks_init();
	if (err)
		return err;
	err = nym_conn_cache_init();
	if (err)
		goto out_ring;
	err = nym_marks_cache_init();
	if (err)
		goto out_conn;
	err = nym_registry_cache_init();
	if (err)
		goto out_marks;
	err = nym_users_init();
	if (err)
		goto out_registry;
	err = proto_register(&nym_proto, 1);
	if (err)
		goto out_users;
	nym_dgram_proto.obj_size = nym_dgram_obj_size();
	err = proto_register(&nym_dgram_proto, 1);
	if (err)
		goto out_proto;
	err = register_pernet_subsys(&nym_net_ops);
	if (err)
		goto out_dgram;
	err = nym_register_chosen();
	if (err)
		goto out_net;
	return 0;

out_net:
	unregister_pernet_subsys(&nym_net_ops);
	/* What was reserved by then may still be on its way, see sysctl.c. */
	rcu_barrier();
out_dgram:
	proto_unregister(&nym_dgram_proto);
out_proto:
	proto_unregister(&nym_proto);
out_users:
	nym_users_exit();
out_registry:
	nym_registry_cache_exit();
out_marks:
	nym_marks_cache_exit();
out_conn:
	nym_conn_cache_exit();
out_ring:
	nym_chunks_exit();
	return err;
}

static void __exit nym_exit(void)
{
	sock_unregister(nym_family);
	nym_diag_exit();
	unregister_pernet_subsys(&nym_net_ops);
	/* Conns and endpoints may still be on their way to their caches. */
	rcu_barrier();
	proto_unregister(&nym_dgram_proto);
	proto_unregister(&nym_proto);
	nym_users_exit();
	nym_registry_cache_exit();
	nym_marks_cache_exit();
	nym_conn_cache_exit();
	nym_chunks_exit();
}

module_init(nym_init);
module_exit(nym_exit);

MODULE_DESCRIPTION("Sockets addressed by name");
MODULE_AUTHOR("The nym developers");
MODULE_LICENSE("GPL");
MODULE_VERSION(NYM_VERSION);
MODULE_ALIAS_NETPROTO(AF_NYM);
