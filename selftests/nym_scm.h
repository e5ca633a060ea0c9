/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Control messages for the tests: descriptors and credentials, sent and
 * received, and pipes that tell when the last copy of a descriptor is gone.
 */
#ifndef NYM_SCM_H
#define NYM_SCM_H

#include "nym_test.h"
#include "nym_io.h"

#include <sys/uio.h>

#define SCM_MOST	253	/* descriptors in a message */
#define SCM_ROOM	4096	/* more than any message here needs */

/* The option is set on the socket @fd, or cleared. */
static inline int scm_pass_rights(int fd, int on)
{
	return setsockopt(fd, SOL_NYM, NYM_PASSRIGHTS, &on, sizeof(on));
}

static inline int scm_pass_cred(int fd, int on)
{
	return setsockopt(fd, SOL_NYM, NYM_PASSCRED, &on, sizeof(on));
}

/* The value of an integer option of SOL_NYM, or -1. */
static inline int scm_option(int fd, int opt)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_NYM, opt, &value, &len) ? -1 : value;
}

/* A pair of sockets of the type, both of which accept descriptors. */
static inline int scm_pair(int type, int fd[2])
{
	if (socketpair(AF_NYM, type | SOCK_CLOEXEC, 0, fd))
		return -1;
	return scm_pass_rights(fd[0], 1) || scm_pass_rights(fd[1], 1) ? -1 : 0;
}

static inline int scm_socket(int type)
{
	return socket(AF_NYM, type | SOCK_CLOEXEC, 0);
}

/* A socket bound to the name, or -1. */
static inline int scm_bound(int type, const char *name)
{
	int fd = scm_socket(type);

	return fd >= 0 && nym_bind(fd, name) ? nym_give_up(fd) : fd;
}

/* A listener, which anybody may call, or -1. */
static inline int scm_listen(int type, const char *name, int backlog)
{
	int fd = scm_bound(type, name);

	return fd >= 0 && (fchmod(fd, 0666) || listen(fd, backlog)) ?
		nym_give_up(fd) : fd;
}

/* A socket connected to the name, or -1. */
static inline int scm_connect(int type, const char *name)
{
	int fd = scm_socket(type);

	return fd >= 0 && nym_call(fd, name) ? nym_give_up(fd) : fd;
}

static inline int scm_accept(int listener)
{
	return accept4(listener, NULL, NULL, SOCK_CLOEXEC);
}

/* Sending */

/* Control messages to be sent. */
struct scm_out {
	size_t len;
	union {
		struct cmsghdr align;
		char bytes[SCM_ROOM];
	} control;
};

/* Adds a control message; gives the place of its @len bytes. */
static inline void *scm_add(struct scm_out *out, int level, int type, size_t len)
{
	struct cmsghdr *cmsg = (void *)(out->control.bytes + out->len);

	out->len += CMSG_SPACE(len);
	if (out->len > sizeof(out->control))
		abort();
	memset(cmsg, 0, CMSG_SPACE(len));
	cmsg->cmsg_level = level;
	cmsg->cmsg_type = type;
	cmsg->cmsg_len = CMSG_LEN(len);
	return CMSG_DATA(cmsg);
}

static inline void scm_add_fds(struct scm_out *out, const int *fds, int n)
{
	memcpy(scm_add(out, SOL_SOCKET, SCM_RIGHTS, n * sizeof(int)), fds,
	       n * sizeof(int));
}

static inline void scm_add_cred(struct scm_out *out, pid_t pid, uid_t uid,
				gid_t gid)
{
	struct ucred cred = { .pid = pid, .uid = uid, .gid = gid };

	memcpy(scm_add(out, SOL_SOCKET, SCM_CREDENTIALS, sizeof(cred)), &cred,
	       sizeof(cred));
}

static inline long scm_send(int fd, const void *buf, size_t len,
			    const struct scm_out *out, int flags)
{
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = out->len ? (void *)out->control.bytes : NULL,
		.msg_controllen = out->len,
	};

	return sendmsg(fd, &msg, flags | MSG_NOSIGNAL);
}

static inline long scm_send_fds(int fd, const void *buf, size_t len,
				const int *fds, int n, int flags)
{
	struct scm_out out = { .len = 0 };

	scm_add_fds(&out, fds, n);
	return scm_send(fd, buf, len, &out, flags);
}

/* One byte and one descriptor, never waiting. */
static inline long scm_send_fd(int fd, int file)
{
	return scm_send_fds(fd, "x", 1, &file, 1, MSG_DONTWAIT);
}

static inline long scm_send_cred(int fd, const char *text, pid_t pid, uid_t uid,
				 gid_t gid)
{
	struct scm_out out = { .len = 0 };

	scm_add_cred(&out, pid, uid, gid);
	return scm_send(fd, text, strlen(text), &out, 0);
}

/* One byte and one descriptor to a name, or to the peer without one. */
static inline long scm_send_fd_to(int fd, const char *name, int file)
{
	struct scm_out out = { .len = 0 };
	struct sockaddr_nym sa;
	struct iovec iov = { .iov_base = "x", .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_name = &sa,
	};

	scm_add_fds(&out, &file, 1);
	msg.msg_control = out.control.bytes;
	msg.msg_controllen = out.len;
	msg.msg_namelen = nym_addr(&sa, name);
	return sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Receiving */

/* What came with a message. */
struct scm_in {
	int flags;		/* msg_flags */
	size_t controllen;	/* that recvmsg() returned */
	int nfds;
	int fds[SCM_MOST + 1];
	int ncreds;
	struct ucred cred;
	int first;		/* the type of the first control message */
	int odd;		/* anything that cannot be */
};

static inline void __scm_parse(struct scm_in *in, struct msghdr *msg)
{
	struct cmsghdr *cmsg;

	in->flags = msg->msg_flags;
	in->controllen = msg->msg_controllen;
	for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		size_t len = cmsg->cmsg_len - CMSG_LEN(0);

		if (cmsg->cmsg_len < CMSG_LEN(0) ||
		    cmsg->cmsg_level != SOL_SOCKET) {
			in->odd++;
			return;
		}
		if (!in->first)
			in->first = cmsg->cmsg_type;
		if (cmsg->cmsg_type == SCM_RIGHTS && !in->nfds && len &&
		    len <= SCM_MOST * sizeof(int) && !(len % sizeof(int))) {
			memcpy(in->fds, CMSG_DATA(cmsg), len);
			in->nfds = len / sizeof(int);
		} else if (cmsg->cmsg_type == SCM_CREDENTIALS &&
			   !in->ncreds && len <= sizeof(in->cred)) {
			memcpy(&in->cred, CMSG_DATA(cmsg), len);
			in->ncreds = len == sizeof(in->cred);
		} else {
			in->odd++;
		}
	}
}

/* Receives with a control buffer of @room bytes; 0: none at all. */
static inline long scm_recv_room(int fd, void *buf, size_t len, int flags,
				 size_t room, struct scm_in *in)
{
	union {
		struct cmsghdr align;
		char bytes[SCM_ROOM];
	} control;
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = room ? &control : NULL,
		.msg_controllen = room,
	};
	long ret;

	memset(in, 0, sizeof(*in));
	memset(&control, 0x55, sizeof(control));
	ret = recvmsg(fd, &msg, flags);
	if (ret >= 0) {
		size_t i;

		__scm_parse(in, &msg);
		/* Nothing is written behind the buffer. */
		for (i = room; i < sizeof(control); i++)
			in->odd += control.bytes[i] != 0x55;
	}
	return ret;
}

static inline long scm_recv(int fd, void *buf, size_t len, int flags,
			    struct scm_in *in)
{
	return scm_recv_room(fd, buf, len, flags, SCM_ROOM, in);
}

static inline void scm_close(struct scm_in *in)
{
	while (in->nfds)
		close(in->fds[--in->nfds]);
}

/* Receives one byte and one descriptor, which it gives; -1 if it is not so. */
static inline int scm_recv_fd(int fd)
{
	struct scm_in in;
	char c;
	long n = scm_recv(fd, &c, 1, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, &in);

	if (n < 0)
		return -1;
	if (n == 1 && in.nfds == 1 && !in.odd && !(in.flags & MSG_CTRUNC))
		return in.fds[0];
	scm_close(&in);
	errno = EBADMSG;
	return -1;
}

/* Descriptors */

/* How many descriptors below 512 are open. */
static inline int scm_count_fds(void)
{
	struct pollfd pfd[512];
	int i, n = 0;

	for (i = 0; i < 512; i++)
		pfd[i] = (struct pollfd){ .fd = i };
	if (poll(pfd, 512, 0) < 0)
		return -1;
	for (i = 0; i < 512; i++)
		n += !(pfd[i].revents & POLLNVAL);
	return n;
}

/* Both are the same open file: what one sets, the other has. */
static inline bool scm_same_file(int one, int two)
{
	int flags = fcntl(one, F_GETFL);
	bool same;

	if (fcntl(one, F_SETFL, flags ^ O_NONBLOCK))
		return false;
	same = fcntl(two, F_GETFL) == (flags ^ O_NONBLOCK);
	fcntl(one, F_SETFL, flags);
	return same && nym_inode(one) == nym_inode(two);
}

/* Somebody has the writing end of the pipe that ends at @reader. */
static inline bool scm_has_writer(int reader)
{
	return !(nym_poll_now(reader, POLLIN) & POLLHUP);
}

/* Nobody has; a closed file may live for a moment, so this waits. */
static inline bool scm_has_no_writer(int reader)
{
	return nym_poll_wait(reader, POLLIN) == POLLHUP;
}

/* Fills a connected socket, so that not even one byte fits. */
static inline bool scm_fill(int fd)
{
	return io_fill(fd, 0, 1000) > 0 && io_fill(fd, 0, 1) >= 0 &&
	       !nym_poll_now(fd, POLLOUT);
}

/* Empties a socket; gives how many descriptors were there. */
static inline int scm_drain(int fd)
{
	static char buf[65536];
	struct scm_in in;
	int n = 0;

	while (scm_recv(fd, buf, sizeof(buf), MSG_DONTWAIT, &in) > 0) {
		n += in.nfds;
		scm_close(&in);
	}
	return n;
}

/* One descriptor in a call that may wait: t->arg is a pointer to it. */
static inline long scm_do_send_fd(struct io_thread *t)
{
	return scm_send_fds(t->fd, t->buf ? t->buf : "x", t->buf ? t->len : 1,
			    t->arg, 1, t->flags);
}

/* t->arg is a struct scm_in. */
static inline long scm_do_recv(struct io_thread *t)
{
	return scm_recv(t->fd, t->buf, t->len, t->flags, t->arg);
}

#endif /* NYM_SCM_H */
