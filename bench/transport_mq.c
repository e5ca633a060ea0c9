// SPDX-License-Identifier: GPL-2.0
/*
 * POSIX message queues: one each way.
 */
#include "nymbench.h"

#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* What a queue has by default. */
#define MQ_MESSAGES	10
#define MQ_BYTES	8192

/* What ours have. */
static size_t message_bytes = MQ_BYTES;

static ssize_t mq_put(int fd, const void *buf, size_t size)
{
	return mq_send(fd, buf, size, 0) ? -1 : (ssize_t)size;
}

/* The kernel insists on room for the largest message; nobody looks at what comes. */
static ssize_t mq_get(int fd, void *buf, size_t size)
{
	static char *large;

	if (size >= message_bytes)
		return mq_receive(fd, buf, size, NULL);
	if (!large)
		large = buffer(message_bytes);
	return mq_receive(fd, large, message_bytes, NULL);
}

static int queue(void)
{
	struct mq_attr attr = { .mq_maxmsg = MQ_MESSAGES, .mq_msgsize = message_bytes };
	static unsigned long count;
	char name[32];
	int fd;

	snprintf(name, sizeof(name), "/bench-%d-%lu", getpid(), count++);
	fd = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &attr);
	if (fd >= 0)
		mq_unlink(name);
	return fd;
}

static int mq_channel(const struct transport *t, struct channel *ch, size_t size, int how)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };

	(void)t;
	if (how & CHANNEL_ROOM)
		message_bytes = size;
	if (setrlimit(RLIMIT_MSGQUEUE, &all))
		return -1;
	ch->out[0] = queue();
	ch->in[1] = ch->out[0];
	ch->out[1] = queue();
	ch->in[0] = ch->out[1];
	return ch->out[0] < 0 || ch->out[1] < 0 ? -1 : 0;
}

const struct transport mq_transports[] = {
	{
		.name = "mq",
		.rival = "unix-dgram",
		.open = mq_channel,
		.send = mq_put,
		.recv = mq_get,
	},
	{ }
};
