// SPDX-License-Identifier: GPL-2.0
/*
 * sock_diag: the sockets of a network namespace, over netlink.
 *
 * Sockets are walked and described without any of their locks, but for the one of
 * a datagram socket's queue. Their bucket is locked meanwhile, so that none of
 * them lets go of its connection, and RCU is held for what else they lead to. A
 * dump is made in pieces: where it goes on is a bucket and an index in it, so
 * that n sockets take about n steps. Whether a name may be seen is asked as who
 * opened the netlink socket.
 */
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <net/net_namespace.h>
#include <net/netlink.h>

#include "af_nym.h"

/* Room for the attributes of one socket, all of them with their headers. */
#define NYM_DIAG_ROOM	(2 * nla_total_size(NYM_NAME_MAX + 1) + \
			 nla_total_size_64bit(sizeof(struct nym_info)) + \
			 nla_total_size(sizeof(struct nym_diag_owner)) + \
			 nla_total_size(sizeof(u32) * SK_MEMINFO_VARS))

/**
 * struct nym_diag_ask - a request, and who has made it
 * @req: what is asked
 * @net: of which namespace
 * @file: the netlink socket's, for its credentials
 * @portid: whom to answer
 * @seq: the request's number
 * @flags: NLM_F_MULTI for a dump
 */
struct nym_diag_ask {
	const struct nym_diag_req *req;
	struct net *net;
	const struct file *file;
	u32 portid;
	u32 seq;
	u16 flags;
};

/* One with the end of a conn, or the name that a socket is bound to; or none. */
static int nym_diag_put_name(struct sk_buff *skb, int attr,
			     const struct nym_diag_ask *ask,
			     struct nym_endpoint *ep, const struct nym_end *end)
{
	struct nym_name name;

	if (end)
		ep = end->ep;
	if (ep)
		return nym_name_is_visible(ep, ask->net, ask->file) ?
		       nla_put_string(skb, attr, ep->name.text) : 0;
	if (!end)
		return 0;
	nym_name_choose(&name, end->id);
	return nla_put_string(skb, attr, name.text);
}

static int nym_diag_put_peer(struct sk_buff *skb, const struct nym_diag_ask *ask,
			     struct sock *sk, const struct nym_conn *conn)
{
	struct nym_endpoint *ep;
	int err;

	if (conn)
		return nym_diag_put_name(skb, NYM_DIAG_PEER, ask, NULL,
					 &conn->end[!nym_sk(sk)->side]);
	if (sk->sk_type != SOCK_DGRAM)
		return 0;
	ep = nym_dgram_peer(sk);
	err = nym_diag_put_name(skb, NYM_DIAG_PEER, ask, ep, NULL);
	nym_endpoint_put(ep);
	return err;
}

static int nym_diag_put_info(struct sk_buff *skb, struct sock *sk)
{
	struct nym_info info;

	nym_info_fill(sk, &info);
	return nla_put_64bit(skb, NYM_DIAG_INFO, sizeof(info), &info, NYM_DIAG_PAD);
}

static int nym_diag_put_owner(struct sk_buff *skb, const struct nym_diag_ask *ask,
			      const struct inode *inode)
{
	struct user_namespace *ns = ask->file->f_cred->user_ns;
	/* As in nym_proc_inode(). */
	kuid_t uid = data_race(inode->i_uid);		/* fchown() */
	kgid_t gid = data_race(inode->i_gid);		/* likewise */
	umode_t mode = data_race(inode->i_mode);	/* fchmod(), bind() */
	struct nym_diag_owner owner = {
		.uid = from_kuid_munged(ns, uid),
		.gid = from_kgid_munged(ns, gid),
		.mode = mode & S_IALLUGO,
	};

	return nla_put(skb, NYM_DIAG_OWNER, sizeof(owner), &owner);
}

/* 0 or -EMSGSIZE; the bucket is locked. @conn is the socket's, or what it calls if @parked. */
static int nym_diag_put(struct sk_buff *skb, const struct nym_diag_ask *ask,
			struct sock *sk, const struct inode *inode,
			const struct nym_conn *conn, bool parked)
{
	const struct nym_end *end = NULL;
	u32 show = ask->req->show;
	int err = 0;

	if (conn && !parked)
		end = &conn->end[nym_sk(sk)->side];
	if (show & NYM_DIAG_SHOW_NAME)
		err = nym_diag_put_name(skb, NYM_DIAG_NAME, ask,
					nym_sock_endpoint(sk), end);
	if (!err && show & NYM_DIAG_SHOW_PEER)
		err = nym_diag_put_peer(skb, ask, sk, conn);
	if (!err && show & NYM_DIAG_SHOW_INFO)
		err = nym_diag_put_info(skb, sk);
	if (!err && show & NYM_DIAG_SHOW_OWNER)
		err = nym_diag_put_owner(skb, ask, inode);
	if (!err && show & NYM_DIAG_SHOW_MEMINFO)
		err = sock_diag_put_meminfo(sk, skb, NYM_DIAG_MEMINFO);
	return err;
}

/*
 * Describes a socket: 0; -EMSGSIZE if there is no room left. Nothing is added
 * then, or if it is in none of the wanted @states. The bucket is locked.
 */
static int nym_diag_fill(struct sk_buff *skb, const struct nym_diag_ask *ask,
			 struct sock *sk, const struct inode *inode, u32 states)
{
	struct nym_diag_msg *msg;
	struct nlmsghdr *nlh;
	struct nym_conn *conn;
	enum nym_state state;
	bool parked;

	conn = nym_call_peek(sk, &parked);
	state = nym_sock_state(sk, conn, parked);
	if (!(states & BIT(state)))
		return 0;
	nlh = nlmsg_put(skb, ask->portid, ask->seq, SOCK_DIAG_BY_FAMILY,
			sizeof(*msg), ask->flags);
	if (!nlh)
		return -EMSGSIZE;
	msg = nlmsg_data(nlh);
	memset(msg, 0, sizeof(*msg));
	msg->family = nym_family;
	msg->type = sk->sk_type;
	msg->state = state;
	msg->ino = inode->i_ino;
	sock_diag_save_cookie(sk, msg->cookie);
	if (nym_diag_put(skb, ask, sk, inode, conn, parked)) {
		nlmsg_cancel(skb, nlh);
		return -EMSGSIZE;
	}
	nlmsg_end(skb, nlh);
	return 0;
}

/* NULL for a socket that is being made. The bucket is locked. */
static const struct inode *nym_diag_inode(const struct sock *sk)
{
	struct socket *sock = READ_ONCE(sk->sk_socket);

	return sock ? SOCK_INODE(sock) : NULL;
}

/* Those of one bucket from @index on; @index is set to where to go on. */
static int nym_diag_dump_bucket(struct sk_buff *skb,
				const struct nym_diag_ask *ask,
				struct nym_bucket *bucket, long *index)
{
	const struct inode *inode;
	struct sock *sk;
	int err = 0;
	long i = 0;

	rcu_read_lock();
	spin_lock(&bucket->lock);
	sk_for_each(sk, &bucket->head) {
		if (i++ < *index)
			continue;
		inode = nym_diag_inode(sk);
		if (inode && ask->req->types & BIT(sk->sk_type))
			err = nym_diag_fill(skb, ask, sk, inode,
					    ask->req->states);
		if (err)
			break;
		*index = i;
	}
	spin_unlock(&bucket->lock);
	rcu_read_unlock();
	return err;
}

/* One piece of a dump: in the requester's system call, or that of who reads. */
static int nym_diag_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct nym_diag_ask ask = {
		.req = nlmsg_data(cb->nlh),
		.net = sock_net(skb->sk),
		.file = skb->sk->sk_socket->file,
		.portid = NETLINK_CB(cb->skb).portid,
		.seq = cb->nlh->nlmsg_seq,
		.flags = NLM_F_MULTI,
	};
	struct nym_net *nn = nym_net(ask.net);
	long bucket = cb->args[0], index = cb->args[1];

	for (; bucket < NYM_SOCK_BUCKETS; bucket++, index = 0) {
		if (nym_diag_dump_bucket(skb, &ask, &nn->sockets[bucket], &index))
			break;
		cond_resched();
	}
	cb->args[0] = bucket;
	cb->args[1] = index;
	return skb->len;
}

/*
 * Describes a socket if it is in this bucket: 0; -ENOENT if not; -ESTALE if it is
 * another one with the same number.
 */
static int nym_diag_fill_from(struct sk_buff *skb, const struct nym_diag_ask *ask,
			      struct nym_bucket *bucket)
{
	const struct inode *inode;
	struct sock *sk;
	int err = -ENOENT;

	rcu_read_lock();
	spin_lock(&bucket->lock);
	sk_for_each(sk, &bucket->head) {
		inode = nym_diag_inode(sk);
		if (!inode || inode->i_ino != ask->req->ino)
			continue;
		err = sock_diag_check_cookie(sk, ask->req->cookie);
		if (!err)
			err = nym_diag_fill(skb, ask, sk, inode, ~0);
		break;
	}
	spin_unlock(&bucket->lock);
	rcu_read_unlock();
	return err;
}

static int nym_diag_fill_one(struct sk_buff *skb, const struct nym_diag_ask *ask)
{
	struct nym_net *nn = nym_net(ask->net);
	int i, err = -ENOENT;

	for (i = 0; i < NYM_SOCK_BUCKETS && err == -ENOENT; i++) {
		err = nym_diag_fill_from(skb, ask, &nn->sockets[i]);
		cond_resched();
	}
	return err;
}

static int nym_diag_one(struct sk_buff *in, const struct nlmsghdr *nlh)
{
	struct nym_diag_ask ask = {
		.req = nlmsg_data(nlh),
		.net = sock_net(in->sk),
		.file = NETLINK_CB(in).sk->sk_socket->file,
		.portid = NETLINK_CB(in).portid,
		.seq = nlh->nlmsg_seq,
	};
	struct sk_buff *skb;
	int err;

	if (!ask.req->ino)
		return -EINVAL;
	skb = nlmsg_new(sizeof(struct nym_diag_msg) + NYM_DIAG_ROOM, GFP_KERNEL);
	if (!skb)
		return -ENOMEM;
	err = nym_diag_fill_one(skb, &ask);
	if (!err)
		return nlmsg_unicast(ask.net->diag_nlsk, skb, ask.portid);
	nlmsg_free(skb);
	return err;
}

static int nym_diag_request(struct sk_buff *skb, struct nlmsghdr *nlh)
{
	struct netlink_dump_control control = { .dump = nym_diag_dump };
	const struct nym_diag_req *req;

	if (nlmsg_len(nlh) < (int)sizeof(*req))
		return -EINVAL;
	req = nlmsg_data(nlh);
	if (req->sdiag_protocol || req->pad)
		return -EINVAL;
	if (nlh->nlmsg_flags & NLM_F_DUMP)
		return netlink_dump_start(sock_net(skb->sk)->diag_nlsk, skb, nlh,
					  &control);
	return nym_diag_one(skb, nlh);
}

static nym_set_once struct sock_diag_handler nym_diag_handler = {
	.family = AF_NYM,
	NYM_SOCK_DIAG_OWNER
	.dump = nym_diag_request,
};

/**
 * nym_diag_init() - at module load
 * Return: 0; -EEXIST if the family is another one's
 */
int __init nym_diag_init(void)
{
	int err;

	nym_set_family(&nym_diag_handler);
	err = sock_diag_register(&nym_diag_handler);
	return err == -EBUSY ? -EEXIST : err;
}

/**
 * nym_diag_exit() - at module unload, or when loading has failed
 */
void nym_diag_exit(void)
{
	sock_diag_unregister(&nym_diag_handler);
}

MODULE_ALIAS_NET_PF_PROTO_TYPE(PF_NETLINK, NETLINK_SOCK_DIAG, AF_NYM);
