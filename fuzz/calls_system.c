// SPDX-License-Identifier: GPL-2.0
/*
 * Calls about the whole: sock_diag, /proc, sysctls, users, namespaces, processes.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/netlink.h>
#include <linux/nym_diag.h>
#include <linux/sock_diag.h>

struct diag_request {
	struct nlmsghdr head;
	struct nym_diag_req body;
};

static void diag_fill(struct actor *a, struct diag_request *req)
{
	struct stat st;

	req->head.nlmsg_len = sizeof(*req);
	req->head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
	req->head.nlmsg_flags = NLM_F_REQUEST | (one_in(a, 2) ? NLM_F_DUMP : 0);
	req->body.sdiag_family = AF_NYM;
	req->body.types = one_in(a, 2) ? ~0u : random_next(a);
	req->body.states = one_in(a, 2) ? ~0u : random_next(a);
	req->body.show = one_in(a, 2) ? 0x1f : random_next(a);
	req->body.cookie[0] = ~0u;
	req->body.cookie[1] = ~0u;
	if (!fstat(file_fd(slot_any(a)), &st))
		req->body.ino = st.st_ino;
	if (one_in(a, 8))
		req->body.cookie[below(a, 2)] = below(a, 1000);
	if (one_in(a, 16))
		req->head.nlmsg_len = sizeof(req->head) + below(a, sizeof(req->body) + 1);
	if (one_in(a, 16))
		((char *)&req->body)[1 + below(a, sizeof(req->body) - 1)] = random_next(a);
}

/* Whether an answer is the last. */
static bool diag_answer(struct actor *a, const char *buf, ssize_t len)
{
	const struct nlmsghdr *head = (const void *)buf;

	for (; NLMSG_OK(head, len); head = NLMSG_NEXT(head, len)) {
		const struct nlmsgerr *err = NLMSG_DATA(head);

		if (head->nlmsg_type == NLMSG_ERROR) {
			errno = -err->error;
			judge(a, CALL_DIAG, err->error ? -1 : 0);
			return true;
		}
		judge(a, CALL_DIAG, 0);
		if (head->nlmsg_type == NLMSG_DONE || !(head->nlmsg_flags & NLM_F_MULTI))
			return true;
	}
	return false;
}

void call_diag(struct actor *a)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	struct diag_request req = { };
	char *buf = mem_room(a, 32768);
	ssize_t n;

	/* What it says is always about nym. */
	a->file = (struct ref){ .fd = 0, .kind = NYM };
	diag_fill(a, &req);
	if (fd < 0 || send(fd, &req, req.head.nlmsg_len, MSG_DONTWAIT) < 0) {
		close(fd);
		return;
	}
	do {
		n = recv(fd, buf, 32768, MSG_DONTWAIT);
	} while (n > 0 && !diag_answer(a, buf, n));
	close(fd);
}

void call_proc(struct actor *a)
{
	static const char * const paths[] = {
		"/proc/thread-self/net/nym", "/proc/thread-self/net/nym",
		"/proc/thread-self/net/nym_stats", "/proc/thread-self/net/protocols",
	};
	unsigned int pieces = below(a, 8);
	int fd = open(PICK(a, paths), O_RDONLY | O_CLOEXEC);

	a->file.kind = UNKNOWN;
	while (fd >= 0 && pieces--) {
		size_t len = size_any(a);
		void *at = mem_out(a, len);

		judge(a, CALL_PROC, one_in(a, 3) ? pread(fd, at, len, size_any(a)) :
						   read(fd, at, len));
		memory_reset(a);
	}
	if (fd >= 0)
		close(fd);
}

/* The supervisor puts them back after the round. */
void call_sysctl(struct actor *a)
{
	static const char * const paths[] = {
		"/proc/sys/net/nym/max_names", "/proc/sys/net/nym/max_parked",
		"/proc/sys/net/nym/max_files", "/proc/sys/net/nym/reserved",
	};
	static const char * const texts[] = {
		"65536\n", "65536\n", "1000\n", "50\n", "10\n", "2\n", "0\n", "-1\n",
		"2147483648\n", "x\n", "\n", "", "fuzz/r uid 1000\n",
		"fuzz/l uid 0, fuzz/r gid 5, x uid 7", "fuzz/l uid 1000\n", ",,,", "a b c\n",
	};
	int fd = open(PICK(a, paths), (one_in(a, 2) ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	const char *text = PICK(a, texts);
	size_t len = strlen(text);

	a->file.kind = UNKNOWN;
	if (fd < 0)
		return;
	judge(a, CALL_SYSCTL, write(fd, mem_in(a, text, len), len));
	judge(a, CALL_SYSCTL, pread(fd, mem_out(a, 64), 64, 0));
	close(fd);
}

/* This thread is another user for a while; the saved user stays root. */
void call_setuid(struct actor *a)
{
	static const uid_t ids[] = { 0, 0, 0, 1000, 1001, 65534 };
	uid_t real = PICK(a, ids), effective = one_in(a, 8) ? PICK(a, ids) : real;

	a->file.kind = UNKNOWN;
	syscall(SYS_setresuid, -1, 0, -1);
	if (!judge(a, CALL_SETUID, syscall(SYS_setresuid, real, effective, -1)))
		a->uid = real;
}

/* A new network namespace for this thread, in which its sockets are strangers. */
void call_unshare(struct actor *a)
{
	a->file.kind = UNKNOWN;
	judge(a, CALL_UNSHARE, unshare(CLONE_NEWNET));
}

/* A process that shares the sockets; sometimes it is killed in the middle. */
void call_fork(struct actor *a)
{
	int pid;

	if (a->forked)
		return;
	a->file.kind = UNKNOWN;
	pid = judge(a, CALL_FORK, actor_fork(a));
	if (pid <= 0 || one_in(a, 2))
		return;
	usleep(below(a, 10000));
	kill(pid, SIGKILL);
}
