// SPDX-License-Identifier: GPL-2.0
/*
 * Pipes: one each way.
 */
#include "nymbench.h"

#include <fcntl.h>
#include <unistd.h>

static int pipe_open(const struct transport *t, struct channel *ch, size_t size, int how)
{
	int there[2], back[2];

	(void)t;
	if (pipe(there) || pipe(back))
		return -1;
	ch->out[0] = there[1];
	ch->in[1] = there[0];
	ch->out[1] = back[1];
	ch->in[0] = back[0];
	if (how & CHANNEL_ROOM)
		return fcntl(there[1], F_SETPIPE_SZ, (int)size) < 0 ||
		       fcntl(back[1], F_SETPIPE_SZ, (int)size) < 0;
	return 0;
}

const struct transport pipe_transports[] = {
	{
		.name = "pipe",
		.rival = "unix-stream",
		.bytes = true,
		.open = pipe_open,
		.send = write,
		.recv = read,
	},
	{ }
};
