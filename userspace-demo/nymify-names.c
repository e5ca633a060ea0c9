// SPDX-License-Identifier: GPL-2.0
/*
 * What nymify has to know about a path and its name: whether there is a file,
 * whether somebody has the name, and whose it is. The kernel is asked past the C
 * library: a thread that was cancelled there would leave a descriptor behind.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>

#include "nymify.h"

enum {
	ANSWER_MAX = 8192,
	LEFT_MAX = 256,		/* names whose files would be there, in one process */
};

/* A hash of each, or 0. */
static uint64_t left[LEFT_MAX];

/* nymify_map_at() - is there a rule for this path? Leaves errno */
bool nymify_map_at(int dir, const char *path, struct nymify_name *name)
{
	int saved = errno;
	bool found = (dir == AT_FDCWD || *path == '/') &&
		     nymify_map_path(nymify_rules(), path, strlen(path), name) > 0;

	errno = saved;
	return found;
}

/* nymify_is_file() - is there a file that is no socket? Leaves errno */
bool nymify_is_file(int dir, const char *path)
{
	int saved = errno;
	struct stat st;
	bool found = !NYMIFY_NEXT(fstatat)(dir, path, &st, AT_SYMLINK_NOFOLLOW) &&
		     !S_ISSOCK(st.st_mode);

	errno = saved;
	return found;
}

/*
 * The error of a datagram socket that connects to a name, or 0. It disturbs nobody,
 * and is told before anything else if the name is not there.
 */
static int probe(const struct nymify_name *name)
{
	int saved = errno, err = ECONNREFUSED;
	int fd = socket(AF_NYM, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0) {
		err = syscall(SYS_connect, fd, &name->addr, name->len) ? errno : 0;
		nymify_close(fd);
	}
	errno = saved;
	return err;
}

/* nymify_exists() - has somebody this name? */
bool nymify_exists(const struct nymify_name *name)
{
	return probe(name) != ECONNREFUSED;
}

static uint64_t hash(const struct nymify_name *name)
{
	uint64_t h = 0xcbf29ce484222325;
	const char *c;

	for (c = name->addr.snym_name; *c; c++)
		h = (h ^ (unsigned char)*c) * 0x100000001b3;
	return h ? h : 1;
}

static bool replace_left(uint64_t old, uint64_t new)
{
	size_t i;

	for (i = 0; i < LEFT_MAX; i++) {
		uint64_t seen = old;

		if (__atomic_load_n(&left[i], __ATOMIC_RELAXED) == old &&
		    __atomic_compare_exchange_n(&left[i], &seen, new, false,
						__ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return true;
	}
	return false;
}

/*
 * nymify_leave() - a path was bound: AF_UNIX would leave a file there
 *
 * Many servers close their socket first and then remove its file, and take it for
 * an error if there is none.
 */
void nymify_leave(const struct nymify_name *name)
{
	uint64_t h = hash(name);

	if (!replace_left(h, h))
		replace_left(0, h);
}

/* nymify_remove() - would there be a file of this process? Then there is none now */
bool nymify_remove(const struct nymify_name *name)
{
	return replace_left(hash(name), 0);
}

/* All sockets of these types and states. */
static bool ask(int nl, unsigned int types, unsigned int states)
{
	struct {
		struct nlmsghdr head;
		struct nym_diag_req req;
	} m = {
		.head = {
			.nlmsg_len = sizeof(m),
			.nlmsg_type = SOCK_DIAG_BY_FAMILY,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
		},
		.req = {
			.sdiag_family = AF_NYM, .types = types, .states = states,
			.show = NYM_DIAG_SHOW_NAME | NYM_DIAG_SHOW_OWNER,
		},
	};

	return syscall(SYS_sendto, nl, &m, sizeof(m), 0, NULL, 0) == sizeof(m);
}

static bool is_wanted(const struct nlmsghdr *head, const char *name,
		      struct nym_diag_owner *owner, unsigned int *ino)
{
	const struct nym_diag_msg *msg = NLMSG_DATA(head);
	const char *a = (const char *)msg + NLMSG_ALIGN(sizeof(*msg));
	const char *end = (const char *)head + head->nlmsg_len;
	bool found = false;

	for (; a + NLA_HDRLEN <= end; a += NLA_ALIGN(((const struct nlattr *)a)->nla_len)) {
		const struct nlattr *attr = (const void *)a;

		if (attr->nla_type == NYM_DIAG_NAME)
			found = !strcmp(a + NLA_HDRLEN, name);
		else if (attr->nla_type == NYM_DIAG_OWNER)
			memcpy(owner, a + NLA_HDRLEN, sizeof(*owner));
	}
	*ino = msg->ino;
	return found;
}

/* Looks through one piece of the answer. 1: found; 0: there may be more; -1: not. */
static int look(int nl, const char *name, struct nym_diag_owner *owner, unsigned int *ino)
{
	char buf[ANSWER_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *head = (void *)buf;
	ssize_t len = syscall(SYS_recvfrom, nl, buf, sizeof(buf), 0, NULL, NULL);

	if (len <= 0)
		return -1;
	for (; NLMSG_OK(head, len); head = NLMSG_NEXT(head, len)) {
		if (head->nlmsg_type == NLMSG_DONE || head->nlmsg_type == NLMSG_ERROR)
			return -1;
		if (is_wanted(head, name, owner, ino))
			return 1;
	}
	return 0;
}

static bool search(const char *name, unsigned int types, unsigned int states,
		   struct nym_diag_owner *owner, unsigned int *ino)
{
	int nl = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	int found = -1;

	if (nl < 0)
		return false;
	if (ask(nl, types, states))
		do {
			found = look(nl, name, owner, ino);
		} while (!found);
	nymify_close(nl);
	return found > 0;
}

/*
 * nymify_owner() - who has a name, and with which permissions
 *
 * Returns false if nobody has it. Who may not read the socket is shown one of the
 * overflow user, and whether it may be written to: more there is not to know.
 */
bool nymify_owner(const struct nymify_name *name, struct nym_diag_owner *owner,
		  unsigned int *ino)
{
	const struct nym_diag_owner unknown = { .uid = 65534, .gid = 65534 };
	const char *text = name->addr.snym_name;
	int saved = errno, err = probe(name);

	if (err == ECONNREFUSED)
		return false;
	/* A connection shows the name of its listener; datagram sockets have their own. */
	if (!search(text, ~0, 1 << NYM_DIAG_BOUND | 1 << NYM_DIAG_LISTENING, owner, ino) &&
	    !search(text, 1 << SOCK_DGRAM, 1 << NYM_DIAG_CONNECTED, owner, ino)) {
		*owner = unknown;
		owner->mode = err == EACCES ? 0 : 0222;
		*ino = 0;
	}
	errno = saved;
	return true;
}
