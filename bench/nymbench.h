/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the parts of nymbench share: what a transport is, what a measure is, and
 * how rounds are counted and told.
 */
#ifndef NYMBENCH_H
#define NYMBENCH_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include "marks.h"

#define COUNT_OF(array)	(sizeof(array) / sizeof((array)[0]))

/* Two sides that talk. A descriptor that does both is in both. */
struct channel {
	int in[2];
	int out[2];
};

/* How a channel is to be opened. */
#define CHANNEL_ROOM	1	/* it holds a whole message, if need be with larger buffers */
#define CHANNEL_FLOW	2	/* one way, as much as possible */

struct address {
	struct sockaddr_storage ss;
	socklen_t len;
};

struct transport {
	const char *name;
	/* The one of AF_UNIX that does the same, or NULL. */
	const char *rival;
	bool bytes;		/* messages run together */
	size_t largest;		/* message, or 0 */
	int (*open)(const struct transport *t, struct channel *ch, size_t size, int how);
	ssize_t (*send)(int fd, const void *buf, size_t size);
	ssize_t (*recv)(int fd, void *buf, size_t size);
	/* Sockets only. */
	int domain;
	int type;
	int (*room)(int fd, size_t size);
	void (*address)(struct address *a, const char *kind, long i);
	int (*wants_rights)(int fd);	/* NULL: descriptors cannot be sent */
};

extern const struct transport nym_transports[], unix_transports[], pipe_transports[],
	mq_transports[], tcp_transports[], vsock_transports[], tipc_transports[];

/* sockets.c */
int open_pair(const struct transport *t, struct channel *ch, size_t size, int how);
int open_connected(const struct transport *t, struct channel *ch, size_t size, int how);
ssize_t socket_send(int fd, const void *buf, size_t size);
ssize_t socket_recv(int fd, void *buf, size_t size);
int socket_room(int fd, size_t size);
int socket_bound(const struct transport *t, const char *kind, long i);
int socket_listening(const struct transport *t, const char *kind);
int socket_call(const struct transport *t, int listener, int fd, const struct address *a);

/* channel.c */
struct result;
void open_for(struct result *r, struct channel *ch, int how);
void close_channel(const struct channel *ch);
void send_whole(const struct transport *t, int fd, const void *buf, size_t size);
void recv_whole(const struct transport *t, int fd, void *buf, size_t size);

/* process.c */
void die(const char *what) __attribute__((noreturn));
void run_on(int cpu);
void *buffer(size_t size);
void many_descriptors(long n);

/* For a measure that comes in one size only. */
extern const size_t no_sizes[];

/* What is measured, and what is to be said of it. */
struct result {
	const struct measure *measure;
	const struct transport *transport;
	size_t size;		/* 0: there is none */
	long section;		/* which one this is for the plugin */
	bool raised;		/* buffers are larger than by default */
};

struct measure {
	const char *name;
	const char *what;
	const size_t *sizes;	/* ends with 0; NULL: those of messages */
	const char *of;		/* what there are so many of; NULL: bytes of a message */
	const char *(*cannot)(const struct transport *t);
	void (*run)(struct result *r);
};

extern const struct measure transfer_measures[], cycle_measures[], idle_measures[],
	rights_measures[], lookup_measures[], wakeup_measures[];

struct options {
	long batch_us;		/* how long a batch is to take; 0: what the measure likes */
	bool sizes;		/* those that are measured were asked for */
	bool parts;		/* tell sending and receiving apart */
	bool apart;		/* the two sides have a processor each */
};

extern struct options options;

/* Rounds are counted now, so marks count. */
extern bool counting;

/* From here on, what is run belongs to this part. */
static inline void part(enum mark_part which)
{
	if (!counting)
		return;
	if (which == PART_NONE)
		MARK(PART_NONE);
	else if (which == PART_WHOLE)
		MARK(PART_WHOLE);
	else if (which == PART_SEND && options.parts)
		MARK(PART_SEND);
	else if (which == PART_RECV && options.parts)
		MARK(PART_RECV);
}

/* rounds.c */
#define BATCHES_MOST	15
/* Batches, and how long each takes: many short ones, or some in which things repeat. */
#define SHORT		BATCHES_MOST, 1000
#define LONG		5, 20000
long now(void);
void settle(void);
void count_rounds(struct result *r, int batches, long batch_us, void (*round)(void *arg),
		  void *arg);
void count_batches(struct result *r, int batches, long batch_us,
		   void (*batch)(void *arg, long rounds), void *arg);
void tell_bytes(struct result *r, long objects, const char *const names[], const long values[],
		int n);
void tell_skipped(const struct result *r, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Ends the process that was to find the figure. */
#define skip(...) do { \
	tell_skipped(__VA_ARGS__); \
	_exit(0); \
} while (0)

/* sides.c */
pid_t other_side(void (*run)(void *arg), void *arg);
void end_side(pid_t pid);

#endif /* NYMBENCH_H */
