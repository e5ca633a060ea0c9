// SPDX-License-Identifier: GPL-2.0
/*
 * What it costs to begin and to end: a connection, and a name. What is let go is freed
 * some time later, so batches are long enough to have that in them.
 */
#include "nymbench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct cycle {
	const struct transport *t;
	struct address address;
	int listener;
};

static const char *no_connections(const struct transport *t)
{
	if (!t->address)
		return "has no connections";
	return t->type == SOCK_DGRAM ? "does not listen" : NULL;
}

static const char *no_names(const struct transport *t)
{
	return t->address ? NULL : "binds no socket to a name";
}

/* As a service has it: the client leaves first. */
static void connect_round(void *arg)
{
	const struct cycle *c = arg;
	int fd = socket(c->t->domain, c->t->type, 0), accepted;

	if (fd < 0)
		die("socket");
	accepted = socket_call(c->t, c->listener, fd, &c->address);
	if (accepted < 0)
		die("connect");
	close(fd);
	close(accepted);
}

static void connect_close(struct result *r)
{
	struct cycle c = { .t = r->transport };

	c.listener = socket_listening(c.t, "cycle");
	if (c.listener < 0)
		skip(r, "cannot listen: %s", strerror(errno));
	c.t->address(&c.address, "cycle", 0);
	count_rounds(r, LONG, connect_round, &c);
}

static void bind_round(void *arg)
{
	const struct cycle *c = arg;
	int fd = socket_bound(c->t, "cycle", 0);

	if (fd < 0)
		die("bind");
	close(fd);
}

static void bind_close(struct result *r)
{
	struct cycle c = { .t = r->transport };
	int fd = socket_bound(c.t, "cycle", 0);

	if (fd < 0)
		skip(r, "cannot be bound: %s", strerror(errno));
	close(fd);
	count_rounds(r, LONG, bind_round, &c);
}

const struct measure cycle_measures[] = {
	{
		.name = "connect",
		.what = "socket, connect, accept, and close of both",
		.sizes = no_sizes,
		.cannot = no_connections,
		.run = connect_close,
	}, {
		.name = "bind",
		.what = "socket, bind, close",
		.sizes = no_sizes,
		.cannot = no_names,
		.run = bind_close,
	},
	{ }
};
