// SPDX-License-Identifier: GPL-2.0
/*
 * What there is to know of one socket, for getsockopt(), /proc/net/nym and
 * sock_diag.
 *
 * All of it is looked at under RCU, without any of the socket's locks: numbers
 * that belong together may be from slightly different moments.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/string.h>
#include <net/net_namespace.h>

#include "af_nym.h"

/**
 * nym_sock_state() - in which state is a socket?
 * @sk: the socket
 * @conn: what nym_call_peek() has returned
 * @parked: and said
 *
 * The conn tells more than sk_state, which waits for the socket to look.
 *
 * Context: rcu_read_lock() held
 * Return: the state
 */
enum nym_state nym_sock_state(const struct sock *sk,
			      const struct nym_conn *conn, bool parked)
{
	if (conn)
		return parked ? NYM_STATE_CONNECTING : NYM_STATE_CONNECTED;
	if (nym_sock_listens(sk))
		return NYM_STATE_LISTENING;
	if (READ_ONCE(sk->sk_state) == TCP_ESTABLISHED)
		return NYM_STATE_CONNECTED;
	return nym_sock_endpoint(sk) ? NYM_STATE_BOUND : NYM_STATE_UNCONNECTED;
}

/**
 * nym_name_is_visible() - may a name be shown?
 * @ep: the name
 * @net: its namespace
 * @file: who opened this asks: /proc/net/nym or a netlink socket
 *
 * Context: any but interrupts
 * Return: true with read permission on the socket that was bound first; a name
 * that only connections have left is seen with CAP_NET_ADMIN
 */
bool nym_name_is_visible(struct nym_endpoint *ep, const struct net *net,
			 const struct file *file)
{
	const struct cred *old = override_creds(file->f_cred);
	int err = nym_endpoint_permission(ep, MAY_READ);

	revert_creds(old);
	/* A name outlives its socket, and so its mode, in its connections. */
	if (err == -ENOENT && file_ns_capable(file, net->user_ns, CAP_NET_ADMIN))
		err = 0;
	return !err;
}

static void nym_info_conn(const struct sock *sk, struct nym_conn *conn,
			  struct nym_info *info)
{
	int side = nym_sk(sk)->side;
	const struct nym_ring *out = &conn->ring[side];
	struct nym_ring *in = &conn->ring[!side];
	const struct sock *peer = rcu_dereference(conn->end[!side].sk);

	info->bytes_sent = READ_ONCE(out->sent);
	info->bytes_received = READ_ONCE(in->received);
	info->queued = nym_ring_unread(in);
	info->queue_limit = peer && !READ_ONCE(out->dead) ? nym_sock_limit(peer) : 0;
}

/* Of a socket that is bound, but not connected. */
static void nym_info_calls(const struct sock *sk, const struct nym_endpoint *ep,
			   struct nym_info *info)
{
	const struct nym_member *member = nym_sk(sk)->member;

	if (nym_sock_listens(sk)) {
		info->pending = READ_ONCE(member->npending);
		info->parked = READ_ONCE(ep->backlog.nparked);
		info->limit = READ_ONCE(member->limit);
	}
	info->peak = READ_ONCE(member->peak);
	info->accepted = READ_ONCE(member->accepted);
	info->refused = READ_ONCE(ep->backlog.refused);
	info->dropped = READ_ONCE(ep->backlog.dropped);
}

/**
 * nym_info_fill() - describe a socket
 * @sk: the socket
 * @info: is set
 *
 * Context: as nym_call_peek()
 */
void nym_info_fill(struct sock *sk, struct nym_info *info)
{
	struct nym_endpoint *ep = nym_sock_endpoint(sk);
	struct nym_conn *conn;
	bool parked;

	memset(info, 0, sizeof(*info));
	conn = nym_call_peek(sk, &parked);
	if (sk->sk_type == SOCK_DGRAM) {
		nym_dgram_info(sk, info);
	} else if (conn && !parked) {
		ep = conn->end[nym_sk(sk)->side].ep;
		nym_info_conn(sk, conn, info);
	} else if (ep) {
		nym_info_calls(sk, ep, info);
	}
	if (ep)
		info->members = READ_ONCE(ep->nmembers);
}
