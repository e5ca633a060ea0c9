// SPDX-License-Identifier: GPL-2.0
/*
 * Control messages: such as can be sent, such as cannot, and whether what is
 * received is as it must be.
 */
#include "fuzz.h"

#include <unistd.h>

#define ROOM	4096

static struct cmsghdr *control_add(struct msghdr *msg, int type, size_t len)
{
	struct cmsghdr *cmsg = (void *)((char *)msg->msg_control + msg->msg_controllen);

	if (msg->msg_controllen + CMSG_SPACE(len) > ROOM)
		return NULL;
	memset(cmsg, 0, CMSG_SPACE(len));
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = type;
	cmsg->cmsg_len = CMSG_LEN(len);
	msg->msg_controllen += CMSG_SPACE(len);
	return cmsg;
}

static void control_add_files(struct actor *a, struct msghdr *msg)
{
	static const unsigned char many[] = { 0, 5, 16, 64, 252, 253, 254, 255 };
	unsigned int n = one_in(a, 16) ? PICK(a, many) : 1 + below(a, 3);
	struct cmsghdr *cmsg = control_add(msg, SCM_RIGHTS, n * sizeof(int));
	unsigned int i;

	for (i = 0; cmsg && i < n; i++) {
		unsigned int slot = one_in(a, 2) ? slot_in(a, OTHERS) : slot_any(a);
		int fd = file_fd(slot);

		/* An empty slot would spoil nearly all long lists. */
		if (fd < 0 && !one_in(a, 200))
			fd = STDIN_FILENO;
		memcpy(CMSG_DATA(cmsg) + i * sizeof(int), &fd, sizeof(int));
	}
}

static void control_add_cred(struct actor *a, struct msghdr *msg)
{
	static const uid_t ids[] = { 0, 1000, 1001, 65534, (uid_t)-1 };
	struct ucred cred = { .pid = getpid(), .uid = a->uid, .gid = 0 };
	struct cmsghdr *cmsg = control_add(msg, SCM_CREDENTIALS, sizeof(cred));

	if (one_in(a, 8))
		cred.pid = int_any(a);
	if (one_in(a, 8))
		cred.uid = PICK(a, ids);
	if (one_in(a, 8))
		cred.gid = PICK(a, ids);
	if (cmsg)
		memcpy(CMSG_DATA(cmsg), &cred, sizeof(cred));
}

/* One field that lies. */
static void control_spoil(struct actor *a, struct msghdr *msg)
{
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);

	switch (below(a, 5)) {
	case 0:
		msg->msg_controllen = below(a, ROOM);
		break;
	case 1:
		msg->msg_controllen = random_next(a);
		a->faulty = true;
		break;
	case 2:
		if (cmsg)
			cmsg->cmsg_len = one_in(a, 2) ? below(a, 64) : random_next(a);
		break;
	case 3:
		if (cmsg)
			cmsg->cmsg_level = one_in(a, 2) ? SOL_NYM : int_any(a);
		break;
	default:
		if (cmsg)
			cmsg->cmsg_type = int_any(a);
		break;
	}
}

/* To be sent. */
void control_any(struct actor *a, struct msghdr *msg)
{
	unsigned int i, n = below(a, 3);

	msg->msg_control = mem_room(a, ROOM);
	msg->msg_controllen = 0;
	for (i = 0; i < n; i++) {
		if (one_in(a, 3))
			control_add_cred(a, msg);
		else
			control_add_files(a, msg);
	}
	if (one_in(a, 24))
		control_spoil(a, msg);
	else if (one_in(a, 60))
		msg->msg_control = mem_in(a, msg->msg_control, msg->msg_controllen);
}

/* To receive into. */
void control_room(struct actor *a, struct msghdr *msg)
{
	static const unsigned int rooms[] = {
		0, 8, 15, 16, 17, 19, 20, 23, 24, 28, 31, 32, 48, 56, 64, 200, 256, 1024,
		ROOM, ROOM, ROOM,
	};

	msg->msg_controllen = PICK(a, rooms);
	msg->msg_control = msg->msg_controllen || one_in(a, 2) ?
		mem_out(a, msg->msg_controllen) : NULL;
}

static void control_take_files(struct actor *a, struct cmsghdr *cmsg)
{
	size_t n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	size_t i;
	int fd;

	for (i = 0; i < n; i++) {
		memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(fd), sizeof(fd));
		if (fd < 0)
			finding(a, CALLS, "received descriptor %d", fd);
		else
			file_adopt(a, fd);
	}
}

/* What recvmsg() has given with @room bytes for it; takes the descriptors. */
void control_check(struct actor *a, const struct msghdr *msg, size_t room)
{
	struct msghdr got = *msg;
	struct cmsghdr *cmsg;

	if (a->faulty)
		return;
	if (msg->msg_controllen > room) {
		finding(a, CALLS, "%zu bytes of control messages in %zu",
			(size_t)msg->msg_controllen, room);
		return;
	}
	for (cmsg = CMSG_FIRSTHDR(&got); cmsg; cmsg = CMSG_NXTHDR(&got, cmsg)) {
		size_t left = (char *)msg->msg_control + msg->msg_controllen - (char *)cmsg;

		if (cmsg->cmsg_len < CMSG_LEN(0) || cmsg->cmsg_len > left) {
			finding(a, CALLS, "a control message of %zu bytes in %zu",
				(size_t)cmsg->cmsg_len, left);
			return;
		}
		if (cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS)
			control_take_files(a, cmsg);
	}
}
