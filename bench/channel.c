// SPDX-License-Identifier: GPL-2.0
/*
 * Channels of any transport: opening them so that a message fits, and getting
 * whole messages through.
 */
#include "nymbench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void close_channel(const struct channel *ch)
{
	int all[] = { ch->in[0], ch->out[0], ch->in[1], ch->out[1] };
	size_t i, j;

	for (i = 0; i < COUNT_OF(all); i++) {
		for (j = 0; j < i && all[j] != all[i]; j++)
			;
		if (j == i)
			close(all[i]);
	}
}

static void block(int fd, bool yes)
{
	int flags = fcntl(fd, F_GETFL);

	fcntl(fd, F_SETFL, yes ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
}

static bool holds(const struct transport *t, const struct channel *ch, size_t size)
{
	char *buf = buffer(size);
	bool fits;

	block(ch->out[0], false);
	fits = t->send(ch->out[0], buf, size) == (ssize_t)size;
	block(ch->out[0], true);
	if (fits)
		recv_whole(t, ch->in[1], buf, size);
	free(buf);
	return fits;
}

/*
 * Opens a channel with the buffers that the kernel gives by default; if one message
 * has to fit and does not, with larger ones.
 */
void open_for(struct result *r, struct channel *ch, int how)
{
	const struct transport *t = r->transport;
	bool fit = r->size && ((how & CHANNEL_ROOM) || !t->bytes);

	how &= ~CHANNEL_ROOM;
	if (t->open(t, ch, r->size, how))
		skip(r, "cannot be opened: %s", strerror(errno));
	if (!fit || holds(t, ch, r->size))
		return;
	close_channel(ch);
	r->raised = true;
	if (t->open(t, ch, r->size, how | CHANNEL_ROOM))
		skip(r, "no larger buffers: %s", strerror(errno));
	if (!holds(t, ch, r->size))
		skip(r, "one message does not fit, however large the buffers");
}

void send_whole(const struct transport *t, int fd, const void *buf, size_t size)
{
	ssize_t n;

	for (; size; buf = (const char *)buf + n, size -= n) {
		n = t->send(fd, buf, size);
		if (n <= 0)
			die("send");
	}
}

void recv_whole(const struct transport *t, int fd, void *buf, size_t size)
{
	ssize_t n;

	for (; size; size -= n) {
		n = t->recv(fd, buf, size);
		if (n <= 0)
			die("receive");
	}
}
