// SPDX-License-Identifier: GPL-2.0
/*
 * What it costs to pass a descriptor: with one byte, within a thread, and to close
 * what was received.
 */
#include "nymbench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct passing {
	struct channel ch;
	int fd;
};

static const char *takes_none(const struct transport *t)
{
	return t->wants_rights ? NULL : "passes no descriptors";
}

static void pass_round(void *arg)
{
	const struct passing *p = arg;
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	char byte = 'n';
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int received;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &p->fd, sizeof(int));
	part(PART_SEND);
	if (sendmsg(p->ch.out[0], &msg, 0) != 1)
		die("sendmsg");
	part(PART_RECV);
	if (recvmsg(p->ch.in[1], &msg, 0) != 1 || !CMSG_FIRSTHDR(&msg))
		die("recvmsg");
	memcpy(&received, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	close(received);
}

static void pass(struct result *r)
{
	struct passing p;

	open_for(r, &p.ch, 0);
	p.fd = open("/dev/null", O_RDONLY);
	if (p.fd < 0)
		skip(r, "/dev/null: %s", strerror(errno));
	if (r->transport->wants_rights(p.ch.in[1]))
		skip(r, "does not take descriptors: %s", strerror(errno));
	count_rounds(r, SHORT, pass_round, &p);
}

const struct measure rights_measures[] = {
	{
		.name = "rights",
		.what = "pass a descriptor in one thread, close it",
		.sizes = no_sizes,
		.cannot = takes_none,
		.run = pass,
	},
	{ }
};
