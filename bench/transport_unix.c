// SPDX-License-Identifier: GPL-2.0
/*
 * AF_UNIX: the same three types, with abstract names.
 */
#include "nymbench.h"

#include <stdio.h>
#include <string.h>
#include <sys/un.h>

static void unix_address(struct address *a, const char *kind, long i)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&a->ss;

	memset(a, 0, sizeof(*a));
	un->sun_family = AF_UNIX;
	snprintf(un->sun_path + 1, sizeof(un->sun_path) - 1, "bench/%s/%ld", kind, i);
	a->len = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(un->sun_path + 1);
}

static int unix_wants_rights(int fd)
{
	/* Whoever has a socket takes what comes. */
	(void)fd;
	return 0;
}

#define UNIX(_name, _type, _bytes) { \
	.name = "unix-" _name, \
	.bytes = _bytes, \
	.open = open_pair, \
	.send = socket_send, \
	.recv = socket_recv, \
	.domain = AF_UNIX, \
	.type = _type, \
	.room = socket_room, \
	.address = unix_address, \
	.wants_rights = unix_wants_rights, \
}

const struct transport unix_transports[] = {
	UNIX("stream", SOCK_STREAM, true),
	UNIX("seqpacket", SOCK_SEQPACKET, false),
	UNIX("dgram", SOCK_DGRAM, false),
	{ }
};
