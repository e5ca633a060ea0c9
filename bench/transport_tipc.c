// SPDX-License-Identifier: GPL-2.0
/*
 * TIPC, which is made for clusters, within a node: streams and records.
 */
#include "nymbench.h"

#include <string.h>
#include <linux/tipc.h>

/* Those below 64 are the kernel's. */
#define SERVICE		28281

static void tipc_address(struct address *a, const char *kind, long i)
{
	struct sockaddr_tipc *tipc = (struct sockaddr_tipc *)&a->ss;

	(void)kind;
	memset(a, 0, sizeof(*a));
	tipc->family = AF_TIPC;
	tipc->addrtype = TIPC_SERVICE_ADDR;
	tipc->scope = TIPC_NODE_SCOPE;
	tipc->addr.name.name.type = SERVICE;
	tipc->addr.name.name.instance = i;
	a->len = sizeof(*tipc);
}

#define TIPC(_name, _type, _bytes, _largest) { \
	.name = "tipc-" _name, \
	.rival = "unix-" _name, \
	.bytes = _bytes, \
	.largest = _largest, \
	.open = open_pair, \
	.send = socket_send, \
	.recv = socket_recv, \
	.domain = AF_TIPC, \
	.type = _type, \
	.room = socket_room, \
	.address = tipc_address, \
}

const struct transport tipc_transports[] = {
	TIPC("stream", SOCK_STREAM, true, 0),
	TIPC("seqpacket", SOCK_SEQPACKET, false, TIPC_MAX_USER_MSG_SIZE),
	{ }
};
