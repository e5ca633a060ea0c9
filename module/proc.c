// SPDX-License-Identifier: GPL-2.0
/*
 * /proc/net/nym: one line for each socket of a network namespace.
 *
 * The sockets are walked without any of their locks: a line is a snapshot of one
 * socket, the file as a whole is not. From start to stop one bucket is locked, so
 * that no socket in it lets go of its connection, and RCU is held for what else
 * it leads to. A position is a bucket and an index in it, so that reading n
 * sockets takes about n steps and not the square of it. Whether a name may be
 * seen is asked as who opened the file.
 */
#include <linux/fs.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <net/net_namespace.h>

#include "af_nym.h"

/* Position 0 is the heading; bucket and index + 1 are in the others. */
#define NYM_POS_BITS	48
#define NYM_POS(bucket, index)	((loff_t)(bucket) << NYM_POS_BITS | ((index) + 1))

/**
 * struct nym_proc_walk - how far a reader of the file has come
 * @p: the kernel's, must be first
 * @bucket: what is locked
 */
struct nym_proc_walk {
	struct seq_net_private p;
	struct nym_bucket *bucket;
};

static void nym_proc_lock(struct nym_proc_walk *walk, struct nym_bucket *bucket)
	__acquires(RCU) __acquires(&bucket->lock)
{
	rcu_read_lock();
	spin_lock(&bucket->lock);
	walk->bucket = bucket;
}

static void nym_proc_unlock(struct nym_proc_walk *walk)
	__releases(&walk->bucket->lock) __releases(RCU)
{
	spin_unlock(&walk->bucket->lock);
	rcu_read_unlock();
}

/* The socket at a position or behind it, or NULL. Some bucket is locked, and is after it. */
static struct sock *nym_proc_seek(struct seq_file *seq, loff_t *pos)
{
	struct nym_net *nn = nym_net(seq_file_net(seq));
	unsigned int bucket = *pos >> NYM_POS_BITS;
	u64 index = (*pos & (BIT_ULL(NYM_POS_BITS) - 1)) - 1;

	for (; bucket < NYM_SOCK_BUCKETS; bucket++, index = 0) {
		struct sock *sk;
		u64 i = 0;

		nym_proc_unlock(seq->private);
		/* Nothing is held here: let others have the processor. */
		cond_resched();
		nym_proc_lock(seq->private, &nn->sockets[bucket]);

		sk_for_each(sk, &nn->sockets[bucket].head) {
			if (i++ == index) {
				*pos = NYM_POS(bucket, index);
				return sk;
			}
		}
	}
	return NULL;
}

static void *nym_proc_start(struct seq_file *seq, loff_t *pos)
	__acquires(RCU) __acquires(seq->private)
{
	nym_proc_lock(seq->private, nym_net(seq_file_net(seq))->sockets);
	return *pos ? nym_proc_seek(seq, pos) : SEQ_START_TOKEN;
}

static void *nym_proc_next(struct seq_file *seq, void *v, loff_t *pos)
{
	struct sock *sk;

	++*pos;
	if (v == SEQ_START_TOKEN)
		return nym_proc_seek(seq, pos);

	/* The usual case: the successor is the next in its bucket. */
	sk = sk_next(v);
	return sk ? sk : nym_proc_seek(seq, pos);
}

static void nym_proc_stop(struct seq_file *seq, void *v)
	__releases(seq->private) __releases(RCU)
{
	nym_proc_unlock(seq->private);
}

static const char *nym_proc_type(const struct sock *sk)
{
	switch (sk->sk_type) {
	case SOCK_STREAM:
		return "stream";
	case SOCK_SEQPACKET:
		return "seqpacket";
	default:
		return "dgram";
	}
}

static const char * const nym_proc_states[] = {
	[NYM_STATE_UNCONNECTED] = "unconnected",
	[NYM_STATE_BOUND] = "bound",
	[NYM_STATE_LISTENING] = "listening",
	[NYM_STATE_CONNECTING] = "connecting",
	[NYM_STATE_CONNECTED] = "connected",
};

/* "-" for a socket without a name, "?" for one that the reader may not see. */
static void nym_proc_name(struct seq_file *seq, struct nym_endpoint *ep,
			  const struct nym_end *end)
{
	bool visible;

	if (!ep) {
		if (end)
			seq_printf(seq, ":%llx", end->id);
		else
			seq_putc(seq, '-');
		return;
	}
	visible = nym_name_is_visible(ep, seq_file_net(seq), seq->file);
	seq_puts(seq, visible ? ep->name.text : "?");
}

static void nym_proc_inode(struct seq_file *seq, const struct inode *inode)
{
	struct user_namespace *ns = seq_user_ns(seq);
	/* These store them plainly; the old one will do as well as the new. */
	kuid_t uid = data_race(inode->i_uid);		/* fchown() */
	kgid_t gid = data_race(inode->i_gid);		/* likewise */
	umode_t mode = data_race(inode->i_mode);	/* fchmod(), bind() */

	seq_printf(seq, " %u %u %04o", from_kuid_munged(ns, uid),
		   from_kgid_munged(ns, gid), mode & S_IALLUGO);
}

static void nym_proc_sock(struct seq_file *seq, struct sock *sk,
			  const struct inode *inode)
{
	struct nym_endpoint *ep = nym_sock_endpoint(sk);
	unsigned int queued = 0, calls = 0, limit = 0;
	const struct nym_end *end = NULL;
	struct nym_conn *conn;
	struct nym_info info;
	bool parked;

	conn = nym_call_peek(sk, &parked);
	if (conn && !parked) {
		int side = nym_sk(sk)->side;

		end = &conn->end[side];
		ep = end->ep;
		queued = nym_ring_unread(&conn->ring[!side]);
		limit = nym_sock_limit(sk);
	} else if (sk->sk_type == SOCK_DGRAM) {
		queued = nym_dgram_used(sk);
		limit = READ_ONCE(sk->sk_rcvbuf);
	} else if (ep && nym_sock_listens(sk)) {
		calls = READ_ONCE(nym_sk(sk)->member->npending) +
			READ_ONCE(ep->backlog.nparked);
		limit = READ_ONCE(nym_sk(sk)->member->limit);
	}

	nym_info_fill(sk, &info);
	nym_proc_name(seq, ep, end);
	seq_printf(seq, " %s %s", nym_proc_type(sk),
		   nym_proc_states[nym_sock_state(sk, conn, parked)]);
	nym_proc_inode(seq, inode);
	seq_printf(seq, " %u %u %u %llu", queued, calls, limit,
		   (u64)inode->i_ino);
	seq_printf(seq, " %u %u %llu %llu %llu\n", info.parked, info.peak,
		   info.accepted, info.refused, info.dropped);
}

static int nym_proc_show(struct seq_file *seq, void *v)
{
	struct socket *sock;

	if (v == SEQ_START_TOKEN) {
		seq_puts(seq, "Name Type State Uid Gid Mode Queued Pending Limit Inode");
		seq_puts(seq, " Parked Peak Accepted Refused Dropped\n");
		return 0;
	}
	/* A socket that is being made has no inode to show. */
	sock = READ_ONCE(((struct sock *)v)->sk_socket);
	if (sock)
		nym_proc_sock(seq, v, SOCK_INODE(sock));
	return 0;
}

static const struct seq_operations nym_proc_ops = {
	.start = nym_proc_start,
	.next = nym_proc_next,
	.stop = nym_proc_stop,
	.show = nym_proc_show,
};

/**
 * nym_proc_net_init() - make /proc/net/nym in a namespace
 * @net: the namespace
 *
 * Return: 0 or -ENOMEM
 */
int nym_proc_net_init(struct net *net)
{
	return proc_create_net("nym", 0444, net->proc_net, &nym_proc_ops,
			       sizeof(struct nym_proc_walk)) ? 0 : -ENOMEM;
}

/**
 * nym_proc_net_exit() - remove it
 * @net: the namespace
 */
void nym_proc_net_exit(struct net *net)
{
	remove_proc_entry("nym", net->proc_net);
}
