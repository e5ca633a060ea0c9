// SPDX-License-Identifier: GPL-2.0
/*
 * nym: streams, records and datagrams.
 */
#include "nymbench.h"

#include <stdio.h>
#include <string.h>
#include <linux/nym.h>

static void nym_address(struct address *a, const char *kind, long i)
{
	struct sockaddr_nym *nym = (struct sockaddr_nym *)&a->ss;

	memset(a, 0, sizeof(*a));
	nym->snym_family = AF_NYM;
	snprintf(nym->snym_name, sizeof(nym->snym_name), "bench/%s/%ld", kind, i);
	a->len = offsetof(struct sockaddr_nym, snym_name) + strlen(nym->snym_name);
}

static int nym_wants_rights(int fd)
{
	int on = 1;

	return setsockopt(fd, SOL_NYM, NYM_PASSRIGHTS, &on, sizeof(on));
}

#define NYM(_name, _type, _bytes) { \
	.name = "nym-" _name, \
	.rival = "unix-" _name, \
	.bytes = _bytes, \
	.open = open_pair, \
	.send = socket_send, \
	.recv = socket_recv, \
	.domain = AF_NYM, \
	.type = _type, \
	.room = socket_room, \
	.address = nym_address, \
	.wants_rights = nym_wants_rights, \
}

const struct transport nym_transports[] = {
	NYM("stream", SOCK_STREAM, true),
	NYM("seqpacket", SOCK_SEQPACKET, false),
	NYM("dgram", SOCK_DGRAM, false),
	{ }
};
