// SPDX-License-Identifier: GPL-2.0
/*
 * What all transports that are sockets have in common.
 */
#include "nymbench.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

ssize_t socket_send(int fd, const void *buf, size_t size)
{
	return send(fd, buf, size, 0);
}

ssize_t socket_recv(int fd, void *buf, size_t size)
{
	return recv(fd, buf, size, 0);
}

/* Some count what they need for themselves, too: give them twice as much and more. */
int socket_room(int fd, size_t size)
{
	int bytes = 2 * size + 65536;

	return setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) ||
	       setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
}

static void two_ways(struct channel *ch, const int fd[2])
{
	for (int side = 0; side < 2; side++) {
		ch->in[side] = fd[side];
		ch->out[side] = fd[side];
	}
}

int open_pair(const struct transport *t, struct channel *ch, size_t size, int how)
{
	int fd[2];

	if (socketpair(t->domain, t->type, 0, fd))
		return -1;
	two_ways(ch, fd);
	if (how & CHANNEL_ROOM)
		return t->room(fd[0], size) || t->room(fd[1], size);
	return 0;
}

static int closed(int fd)
{
	close(fd);
	return -1;
}

int socket_bound(const struct transport *t, const char *kind, long i)
{
	int fd = socket(t->domain, t->type, 0);
	struct address a;

	if (fd < 0)
		return -1;
	t->address(&a, kind, i);
	return bind(fd, (struct sockaddr *)&a.ss, a.len) ? closed(fd) : fd;
}

/* TCP does not give a port again before the last connection to it is forgotten. */
int socket_listening(const struct transport *t, const char *kind)
{
	int fd = socket(t->domain, t->type, 0), on = 1;
	struct address a;

	if (fd < 0)
		return -1;
	if (t->domain == AF_INET)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	t->address(&a, kind, 0);
	return bind(fd, (struct sockaddr *)&a.ss, a.len) || listen(fd, 1024) ? closed(fd) : fd;
}

/*
 * Returns the accepted socket. The call does not block: TIPC's would, until it is
 * accepted.
 */
int socket_call(const struct transport *t, int listener, int fd, const struct address *a)
{
	if (t->domain != AF_TIPC)
		return connect(fd, (struct sockaddr *)&a->ss, a->len) ? -1 :
		       accept(listener, NULL, NULL);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	if (connect(fd, (struct sockaddr *)&a->ss, a->len) && errno != EINPROGRESS)
		return -1;
	fcntl(fd, F_SETFL, 0);
	return accept(listener, NULL, NULL);
}

/* Buffers have to be as they are to be before the connection is made. */
int open_connected(const struct transport *t, struct channel *ch, size_t size, int how)
{
	static int listener = -1;
	struct address a;
	int fd[2];

	if (listener < 0)
		listener = socket_listening(t, "open");
	if (listener < 0)
		return -1;
	fd[0] = socket(t->domain, t->type, 0);
	if (fd[0] < 0)
		return -1;
	if ((how & CHANNEL_ROOM) && (t->room(listener, size) || t->room(fd[0], size)))
		return -1;
	t->address(&a, "open", 0);
	fd[1] = socket_call(t, listener, fd[0], &a);
	if (fd[1] < 0)
		return -1;
	two_ways(ch, fd);
	return 0;
}
