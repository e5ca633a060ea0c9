/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Asking the kernel about sockets by sock_diag.
 */
#ifndef NYM_DIAG_ASK_H
#define NYM_DIAG_ASK_H

#include <sys/socket.h>

#include <linux/netlink.h>
#include <linux/nym_diag.h>
#include <linux/sock_diag.h>

/* All that it can say of one. */
#define NYM_DIAG_SHOW_ALL	0x1f

static inline int nym_diag_open(void)
{
	return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
}

static inline int nym_diag_send(int nl, const struct nym_diag_req *req, size_t len, int flags)
{
	struct {
		struct nlmsghdr head;
		struct nym_diag_req req;
	} m = {
		.head = {
			.nlmsg_len = NLMSG_HDRLEN + len,
			.nlmsg_type = SOCK_DIAG_BY_FAMILY,
			.nlmsg_flags = NLM_F_REQUEST | flags,
			.nlmsg_seq = 1,
		},
		.req = *req,
	};

	return send(nl, &m, m.head.nlmsg_len, 0) < 0 ? -1 : 0;
}

#endif /* NYM_DIAG_ASK_H */
