// SPDX-License-Identifier: GPL-2.0
/*
 * Calls that send and receive, in all their forms.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define MESSAGES	4

/* Mostly a call must not sleep, for the others' sake. */
static int send_flags(struct actor *a)
{
	static const int flags[] = {
		0, 0, 0, MSG_MORE, MSG_EOR, MSG_NOSIGNAL, MSG_EOR | MSG_MORE, MSG_OOB,
		MSG_DONTROUTE, MSG_CONFIRM, MSG_FASTOPEN, MSG_ZEROCOPY,
	};
	int wait = one_in(a, 16) ? 0 : MSG_DONTWAIT;

	return wait | (one_in(a, 100) ? int_any(a) & ~MSG_DONTWAIT : PICK(a, flags));
}

static int recv_flags(struct actor *a)
{
	static const int flags[] = {
		0, 0, 0, 0, 0, MSG_PEEK, MSG_TRUNC, MSG_PEEK | MSG_TRUNC, MSG_WAITALL,
		MSG_CMSG_CLOEXEC, MSG_OOB, MSG_ERRQUEUE, MSG_WAITFORONE,
	};
	int wait = one_in(a, 16) ? 0 : MSG_DONTWAIT;

	return wait | (one_in(a, 100) ? int_any(a) & ~MSG_DONTWAIT : PICK(a, flags));
}

/* One buffer of any size. */
static void *bytes_in(struct actor *a, size_t *len)
{
	static char data[300000];

	*len = size_any(a);
	return mem_in(a, data, *len);
}

static void check_received(struct actor *a, enum call which, long ret, size_t asked, int flags)
{
	if (!(flags & MSG_TRUNC))
		judge_size(a, which, ret, asked);
	if (ret < 0)
		ret = 0;
	if (a->file.kind == NYM && file_same(&a->file))
		outs_expect(a, ret);
}

void call_send(struct actor *a)
{
	unsigned int slot = slot_connected(a);
	struct sockaddr *sa = NULL;
	socklen_t namelen = 0;
	size_t len;
	void *at = bytes_in(a, &len);
	long ret;

	if (one_in(a, slot / REGION_SLOTS == DGRAMS ? 2 : 20))
		sa = address_of(a, slot, &namelen);
	file_use(a, slot);
	ret = judge(a, CALL_SEND, sendto(a->file.fd, at, len, send_flags(a), sa, namelen));
	judge_size(a, CALL_SEND, ret, len);
}

/* A message to be sent; says how long it is. */
static size_t message_any(struct actor *a, unsigned int slot, struct msghdr *msg)
{
	size_t total;

	memset(msg, 0, sizeof(*msg));
	msg->msg_iovlen = iov_any(a, &msg->msg_iov, false, &total);
	if (one_in(a, slot / REGION_SLOTS == DGRAMS ? 2 : 20)) {
		socklen_t len;

		msg->msg_name = address_of(a, slot, &len);
		msg->msg_namelen = len;
	}
	if (one_in(a, 2))
		control_any(a, msg);
	if (one_in(a, 100))
		msg->msg_iov = mem_in(a, msg->msg_iov, sizeof(struct iovec) *
				      (msg->msg_iovlen <= IOV_HERE ? msg->msg_iovlen : 0));
	return total;
}

void call_sendmsg(struct actor *a)
{
	unsigned int slot = slot_connected(a);
	struct msghdr msg;
	size_t total = message_any(a, slot, &msg);
	void *at = one_in(a, 60) ? mem_in(a, &msg, sizeof(msg)) : &msg;
	long ret;

	file_use(a, slot);
	ret = judge(a, CALL_SENDMSG, sendmsg(a->file.fd, at, send_flags(a)));
	judge_size(a, CALL_SENDMSG, ret, total);
}

void call_sendmmsg(struct actor *a)
{
	unsigned int slot = slot_connected(a);
	struct mmsghdr *msgs = mem_room(a, MESSAGES * sizeof(*msgs));
	unsigned int i, n = below(a, MESSAGES + 1);

	for (i = 0; i < n; i++)
		message_any(a, slot, &msgs[i].msg_hdr);
	file_use(a, slot);
	judge_size(a, CALL_SENDMMSG,
		   judge(a, CALL_SENDMMSG, sendmmsg(a->file.fd, msgs, n, send_flags(a))), n);
}

/* write() and its like cannot be told not to sleep: not to files that would. */
void call_write(struct actor *a)
{
	unsigned int slot = slot_connected(a);
	struct iovec *iov;
	size_t len;
	long ret;
	int n;

	if (one_in(a, 2)) {
		void *at = bytes_in(a, &len);

		file_use(a, slot);
		ret = judge(a, CALL_WRITE, write(a->file.fd, at, len));
	} else {
		n = iov_any(a, &iov, false, &len);
		file_use(a, slot);
		if (one_in(a, 2))
			ret = pwritev2(a->file.fd, iov, n, -1, one_in(a, 2) ? RWF_NOWAIT : 0);
		else
			ret = writev(a->file.fd, iov, n);
		judge(a, CALL_WRITE, ret);
	}
	judge_size(a, CALL_WRITE, ret, len);
}

void call_recv(struct actor *a)
{
	static const socklen_t rooms[] = { 0, 1, 2, 16, 127, 128, 200 };
	size_t len = size_any(a);
	void *at = mem_out(a, len);
	int flags = recv_flags(a);
	socklen_t room = PICK(a, rooms), *namelen = NULL;
	void *name = NULL;
	long ret;

	file_use(a, slot_connected(a));
	if (one_in(a, 4)) {
		namelen = mem_inout(a, &room, sizeof(room));
		name = mem_room(a, sizeof(struct sockaddr_storage));
	}
	ret = judge(a, CALL_RECV, recvfrom(a->file.fd, at, len, flags, name, namelen));
	check_received(a, CALL_RECV, ret, len, flags);
}

/* Memory to receive a message into; says how long it may be. */
static size_t message_room(struct actor *a, struct msghdr *msg, bool control)
{
	static const socklen_t rooms[] = { 0, 1, 2, 16, 127, 128 };
	size_t total;

	memset(msg, 0, sizeof(*msg));
	msg->msg_iovlen = iov_any(a, &msg->msg_iov, true, &total);
	if (one_in(a, 3)) {
		msg->msg_namelen = PICK(a, rooms);
		msg->msg_name = mem_room(a, sizeof(struct sockaddr_storage));
	}
	if (control)
		control_room(a, msg);
	return total;
}

/* Looks at one message; the pattern in its buffers has been looked at. */
static void check_message(struct actor *a, enum call which, const struct msghdr *msg, size_t room)
{
	if (msg->msg_namelen > sizeof(struct sockaddr_storage) && !a->faulty)
		finding(a, which, "an address of %u bytes", msg->msg_namelen);
	control_check(a, msg, room);
}

void call_recvmsg(struct actor *a)
{
	struct msghdr msg;
	size_t total = message_room(a, &msg, false);
	unsigned int buffers = a->nouts;
	int flags = recv_flags(a);
	size_t room;
	long ret;

	if (!one_in(a, 4))
		control_room(a, &msg);
	room = msg.msg_controllen;
	file_use(a, slot_connected(a));
	ret = judge(a, CALL_RECVMSG, recvmsg(a->file.fd, &msg, flags));
	if (ret >= 0)
		check_message(a, CALL_RECVMSG, &msg, room);
	/* AF_UNIX writes credentials even when it has nothing to give. */
	if (a->nouts > buffers && !a->faulty &&
	    (ret >= 0 || (a->file.kind == NYM && file_same(&a->file))))
		out_expect(a, a->outs[buffers].at, ret < 0 ? 0 : room);
	a->nouts = buffers;
	check_received(a, CALL_RECVMSG, ret, total, flags);
}

void call_recvmmsg(struct actor *a)
{
	struct mmsghdr *msgs = mem_room(a, MESSAGES * sizeof(*msgs));
	struct timespec soon = { .tv_nsec = below(a, 2000000) };
	unsigned int i, n = below(a, MESSAGES + 1);
	size_t rooms[MESSAGES], totals[MESSAGES];
	int flags = recv_flags(a);
	long ret;

	/*
	 * What goes wrong after the first message becomes the socket's error, even
	 * that the call was interrupted: nothing is wrong then.
	 */
	if (n > 1) {
		a->sound = true;
		flags |= MSG_DONTWAIT;
	}
	for (i = 0; i < n; i++) {
		totals[i] = message_room(a, &msgs[i].msg_hdr, one_in(a, 2));
		rooms[i] = msgs[i].msg_hdr.msg_controllen;
	}
	file_use(a, slot_connected(a));
	ret = judge(a, CALL_RECVMMSG, recvmmsg(a->file.fd, msgs, n, flags,
					       one_in(a, 2) ? &soon : NULL));
	judge_size(a, CALL_RECVMMSG, ret, n);
	for (i = 0; ret > 0 && i < (unsigned int)ret && i < n; i++) {
		check_message(a, CALL_RECVMMSG, &msgs[i].msg_hdr, rooms[i]);
		if (!(flags & MSG_TRUNC))
			judge_size(a, CALL_RECVMMSG, msgs[i].msg_len, totals[i]);
	}
}

void call_read(struct actor *a)
{
	struct iovec *iov;
	size_t len;
	long ret;
	int n;

	if (one_in(a, 2)) {
		void *at;

		len = size_any(a);
		at = mem_out(a, len);
		file_use(a, slot_connected(a));
		ret = judge(a, CALL_READ, read(a->file.fd, at, len));
	} else {
		n = iov_any(a, &iov, true, &len);
		file_use(a, slot_connected(a));
		if (one_in(a, 2))
			ret = preadv2(a->file.fd, iov, n, -1, one_in(a, 2) ? RWF_NOWAIT : 0);
		else
			ret = readv(a->file.fd, iov, n);
		judge(a, CALL_READ, ret);
	}
	check_received(a, CALL_READ, ret, len, 0);
}

static unsigned int splice_flags(struct actor *a)
{
	static const unsigned int flags[] = {
		0, SPLICE_F_MOVE, SPLICE_F_MORE, SPLICE_F_GIFT,
	};

	return PICK(a, flags) | (one_in(a, 16) ? 0 : SPLICE_F_NONBLOCK);
}

/* An end of a pipe, if nothing has come between. */
static int pipe_any(struct actor *a, unsigned int end)
{
	return file_fd(OTHERS * REGION_SLOTS + PIPES + below(a, (EPOLLS - PIPES) / 2) * 2 + end);
}

static void call_tee(struct actor *a)
{
	int to = pipe_any(a, 1);

	file_use(a, slot_any(a));
	judge(a, CALL_TEE, tee(one_in(a, 2) ? a->file.fd : pipe_any(a, 0), to, size_any(a),
			       splice_flags(a)));
}

void call_splice(struct actor *a)
{
	size_t len = one_in(a, 20) ? random_next(a) : size_any(a);
	enum call which = one_in(a, 2) ? CALL_SPLICE_OUT : CALL_SPLICE_IN;
	loff_t at = 0, *off = one_in(a, 32) ? &at : NULL;
	long ret;

	if (one_in(a, 8)) {
		call_tee(a);
		return;
	}
	file_use(a, slot_connected(a));
	if (which == CALL_SPLICE_OUT)
		ret = splice(a->file.fd, off, pipe_any(a, 1), NULL, len, splice_flags(a));
	else
		ret = splice(pipe_any(a, 0), NULL, a->file.fd, off, len, splice_flags(a));
	judge(a, which, ret);
	judge_size(a, which, ret, len);
}

void call_sendfile(struct actor *a)
{
	size_t len = size_any(a);
	off_t from = below(a, 10000);
	int in = file_fd(slot_in(a, OTHERS));
	long ret;

	file_use(a, slot_connected(a));
	ret = judge(a, CALL_SENDFILE, sendfile(a->file.fd, in, one_in(a, 2) ? &from : NULL, len));
	judge_size(a, CALL_SENDFILE, ret, len);
}
