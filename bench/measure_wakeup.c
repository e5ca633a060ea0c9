// SPDX-License-Identifier: GPL-2.0
/*
 * What it costs to wake a process that waits for a message on one of many, by epoll
 * or by poll, and to get its answer.
 */
#include "nymbench.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define MESSAGE	64
/* So many of the channels are in use, the others are idle. */
#define IN_USE	50

static const size_t crowds[] = { 10, 10000, 0 };

struct crowd {
	const struct transport *t;
	struct channel *ch;
	size_t n;
	size_t next;
	char buf[MESSAGE];
};

static void answer(struct crowd *c, size_t i)
{
	recv_whole(c->t, c->ch[i].in[1], c->buf, MESSAGE);
	send_whole(c->t, c->ch[i].out[1], c->buf, MESSAGE);
}

static void wait_in_epoll(void *arg)
{
	struct crowd *c = arg;
	struct epoll_event event = { .events = EPOLLIN };
	int all = epoll_create1(0);
	size_t i;

	for (i = 0; i < c->n; i++) {
		event.data.u64 = i;
		if (epoll_ctl(all, EPOLL_CTL_ADD, c->ch[i].in[1], &event))
			die("epoll_ctl");
	}
	for (;;) {
		if (epoll_wait(all, &event, 1, -1) != 1)
			die("epoll_wait");
		answer(c, event.data.u64);
	}
}

static void wait_in_poll(void *arg)
{
	struct crowd *c = arg;
	struct pollfd *all = buffer(c->n * sizeof(*all));
	size_t i;

	for (i = 0; i < c->n; i++) {
		all[i].fd = c->ch[i].in[1];
		all[i].events = POLLIN;
	}
	for (;;) {
		if (poll(all, c->n, -1) != 1)
			die("poll");
		for (i = 0; !all[i].revents; i++)
			;
		answer(c, i);
	}
}

/* Another one each time. */
static void wake_round(void *arg)
{
	struct crowd *c = arg;
	struct channel *ch = &c->ch[c->next];

	send_whole(c->t, ch->out[0], c->buf, MESSAGE);
	recv_whole(c->t, ch->in[0], c->buf, MESSAGE);
	c->next = (c->next + 1 + c->n / IN_USE) % c->n;
}

static void wake_one(struct result *r, int batches, void (*wait)(void *arg))
{
	struct crowd c = { .t = r->transport, .n = r->size };
	pid_t pid;
	size_t i;

	many_descriptors(4 * c.n);
	c.ch = buffer(c.n * sizeof(*c.ch));
	for (i = 0; i < c.n; i++) {
		if (c.t->open(c.t, &c.ch[i], MESSAGE, 0))
			skip(r, "the one with number %zu cannot be opened: %s", i,
			     strerror(errno));
	}
	pid = other_side(wait, &c);
	count_rounds(r, batches, 1000, wake_round, &c);
	end_side(pid);
}

static void wake_epoll(struct result *r)
{
	wake_one(r, BATCHES_MOST, wait_in_epoll);
}

static void wake_poll(struct result *r)
{
	wake_one(r, 5, wait_in_poll);
}

const struct measure wakeup_measures[] = {
	{
		.name = "epoll",
		.what = "wake who waits on many in epoll_wait(), 64 bytes there and back",
		.sizes = crowds,
		.of = "channel",
		.run = wake_epoll,
	}, {
		.name = "poll",
		.what = "the same in poll()",
		.sizes = crowds,
		.of = "channel",
		.run = wake_poll,
	},
	{ }
};
