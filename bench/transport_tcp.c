// SPDX-License-Identifier: GPL-2.0
/*
 * TCP over the loopback device.
 */
#include "nymbench.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

/* Below the ports that the kernel chooses. */
#define PORT_FIRST	10000

static void tcp_address(struct address *a, const char *kind, long i)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&a->ss;

	(void)kind;
	memset(a, 0, sizeof(*a));
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	in->sin_port = htons(PORT_FIRST + i);
	a->len = sizeof(*in);
}

/*
 * A message that is answered must not wait for others that could go with it; where
 * many go one way, they shall. Nothing is kept for a minute after the end.
 */
static int tcp_open(const struct transport *t, struct channel *ch, size_t size, int how)
{
	struct linger none = { .l_onoff = 1 };
	int on = !(how & CHANNEL_FLOW), i;

	if (open_connected(t, ch, size, how))
		return -1;
	for (i = 0; i < 2; i++) {
		if (setsockopt(ch->out[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) ||
		    setsockopt(ch->out[i], SOL_SOCKET, SO_LINGER, &none, sizeof(none)))
			return -1;
	}
	return 0;
}

const struct transport tcp_transports[] = {
	{
		.name = "tcp",
		.rival = "unix-stream",
		.bytes = true,
		.open = tcp_open,
		.send = socket_send,
		.recv = socket_recv,
		.domain = AF_INET,
		.type = SOCK_STREAM,
		.room = socket_room,
		.address = tcp_address,
	},
	{ }
};
