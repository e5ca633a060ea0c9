// SPDX-License-Identifier: GPL-2.0
/*
 * What it costs to get a message across: within a thread, there and back between
 * two processes, and one way, as many as will go.
 */
#include "nymbench.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct transfer {
	const struct transport *t;
	struct channel ch;
	size_t size;
	char *buf;
	int orders[2];	/* how many messages are to come */
	int done[2];	/* all of them have */
};

static void open_transfer(struct transfer *x, struct result *r, int how)
{
	x->t = r->transport;
	x->size = r->size;
	x->buf = buffer(r->size);
	open_for(r, &x->ch, how);
}

static void same_thread_round(void *arg)
{
	const struct transfer *x = arg;

	part(PART_SEND);
	send_whole(x->t, x->ch.out[0], x->buf, x->size);
	part(PART_RECV);
	recv_whole(x->t, x->ch.in[1], x->buf, x->size);
}

static void same_thread(struct result *r)
{
	struct transfer x;

	open_transfer(&x, r, CHANNEL_ROOM);
	count_rounds(r, SHORT, same_thread_round, &x);
}

static void echo(void *arg)
{
	const struct transfer *x = arg;

	for (;;) {
		recv_whole(x->t, x->ch.in[1], x->buf, x->size);
		send_whole(x->t, x->ch.out[1], x->buf, x->size);
	}
}

static void ping_pong_round(void *arg)
{
	const struct transfer *x = arg;

	send_whole(x->t, x->ch.out[0], x->buf, x->size);
	recv_whole(x->t, x->ch.in[0], x->buf, x->size);
}

static void ping_pong(struct result *r)
{
	struct transfer x;
	pid_t pid;

	open_transfer(&x, r, 0);
	pid = other_side(echo, &x);
	count_rounds(r, SHORT, ping_pong_round, &x);
	end_side(pid);
}

static void ordered(bool ok)
{
	if (!ok)
		die("orders");
}

static void take(void *arg)
{
	const struct transfer *x = arg;
	long n;

	for (;;) {
		ordered(read(x->orders[0], &n, sizeof(n)) == sizeof(n));
		while (n--)
			recv_whole(x->t, x->ch.in[1], x->buf, x->size);
		ordered(write(x->done[1], "", 1) == 1);
	}
}

static void stream_batch(void *arg, long rounds)
{
	const struct transfer *x = arg;
	long i;

	ordered(write(x->orders[1], &rounds, sizeof(rounds)) == sizeof(rounds));
	for (i = 0; i < rounds; i++)
		send_whole(x->t, x->ch.out[0], x->buf, x->size);
	ordered(read(x->done[0], x->buf, 1) == 1);
}

/* Long batches: each fills and empties the queue several times. */
static void stream(struct result *r)
{
	struct transfer x;
	pid_t pid;

	open_transfer(&x, r, CHANNEL_FLOW);
	ordered(!pipe(x.orders) && !pipe(x.done));
	pid = other_side(take, &x);
	count_batches(r, LONG, stream_batch, &x);
	end_side(pid);
}

const struct measure transfer_measures[] = {
	{
		.name = "same-thread",
		.what = "send and receive in one thread",
		.run = same_thread,
	}, {
		.name = "ping-pong",
		.what = "there and back between two processes",
		.run = ping_pong,
	}, {
		.name = "stream",
		.what = "one way between two processes, for each message",
		.run = stream,
	},
	{ }
};
