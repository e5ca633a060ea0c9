// SPDX-License-Identifier: GPL-2.0
/*
 * Control messages: what a sender gives, and what a receiver gets.
 *
 * The kernel's own parser is used for one message at a time: it knows what
 * credentials may be claimed. It would refuse descriptors to a family that is
 * not AF_UNIX, so those are taken here.
 */
#include <linux/cred.h>
#include <linux/pid.h>
#include <net/scm.h>

#include "af_nym.h"
#include "ancillary.h"

/* How many descriptors come with a message; an error if it is malformed. */
static int nym_control_count(struct msghdr *msg)
{
	struct cmsghdr *cmsg;
	size_t n = 0;

	for_each_cmsghdr(cmsg, msg) {
		if (!CMSG_OK(msg, cmsg))
			return -EINVAL;
		if (cmsg->cmsg_level == SOL_SOCKET &&
		    cmsg->cmsg_type == SCM_RIGHTS &&
		    cmsg->cmsg_len > CMSG_LEN(0))
			n += (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	}
	return n > SCM_MAX_FD ? -EINVAL : n;
}

/* Has the kernel look at one control message. */
static int nym_control_parse_one(struct socket *sock, struct msghdr *msg,
				 struct cmsghdr *cmsg, struct scm_cookie *scm)
{
	struct msghdr one = *msg;

	one.msg_control = cmsg;
	one.msg_controllen = cmsg->cmsg_len;
	return __scm_send(sock, &one, scm);
}

static int nym_control_parse_all(struct socket *sock, struct msghdr *msg,
				 struct nym_files *files, struct scm_cookie *scm)
{
	struct cmsghdr *cmsg;
	int err;

	for_each_cmsghdr(cmsg, msg) {
		if (cmsg->cmsg_level == SOL_SOCKET &&
		    cmsg->cmsg_type == SCM_RIGHTS)
			err = files ? nym_files_add(files, cmsg) : 0;
		else
			err = nym_control_parse_one(sock, msg, cmsg, scm);
		if (err)
			return err;
	}
	return 0;
}

/**
 * nym_control_parse_some() - nym_control_parse() when something comes along
 * @sock: the sending socket
 * @msg: the message
 * @control: empty; is set
 *
 * Context: sleeps
 * Return: as nym_control_parse()
 */
int nym_control_parse_some(struct socket *sock, struct msghdr *msg,
			   struct nym_control *control)
{
	struct scm_cookie scm = {};
	int n = nym_control_count(msg);
	int err;

	if (n < 0)
		return n;
	if (n) {
		control->files = nym_files_alloc(sock->sk, n);
		if (IS_ERR(control->files)) {
			err = PTR_ERR(control->files);
			control->files = NULL;
			return err;
		}
	}
	err = nym_control_parse_all(sock, msg, control->files, &scm);
	/* On error the kernel has dropped what it had. */
	control->pid = scm.pid;
	control->uid = scm.creds.uid;
	control->gid = scm.creds.gid;
	if (err)
		nym_control_release(control);
	return err;
}

/**
 * nym_control_sign() - the current process is the sender
 * @control: what it sends; credentials that it has given stay
 *
 * Context: any but interrupts
 */
void nym_control_sign(struct nym_control *control)
{
	if (control->pid)
		return;
	control->pid = get_pid(task_tgid(current));
	current_uid_gid(&control->uid, &control->gid);
}

/**
 * nym_control_copy() - the same credentials
 * @to: without any
 * @from: where from
 */
void nym_control_copy(struct nym_control *to, const struct nym_control *from)
{
	to->pid = get_pid(from->pid);
	to->uid = from->uid;
	to->gid = from->gid;
}

/**
 * nym_control_take_files() - move descriptors
 * @to: without any
 * @from: where from
 */
void nym_control_take_files(struct nym_control *to, struct nym_control *from)
{
	to->files = from->files;
	from->files = NULL;
}

/**
 * nym_control_release_some() - nym_control_release() when there is something
 * @control: is empty afterwards
 *
 * Context: any but interrupts
 */
void nym_control_release_some(struct nym_control *control)
{
	put_pid(control->pid);
	if (control->files)
		nym_files_free(control->files);
	*control = NYM_CONTROL_NONE;
}

static void nym_control_put_cred(struct msghdr *msg,
				 const struct nym_control *control)
{
	struct user_namespace *ns = current_user_ns();
	struct ucred ucred = {
		.pid = pid_vnr(control->pid),
		.uid = from_kuid_munged(ns, control->pid ? control->uid : INVALID_UID),
		.gid = from_kgid_munged(ns, control->pid ? control->gid : INVALID_GID),
	};

	put_cmsg(msg, SOL_SOCKET, SCM_CREDENTIALS, sizeof(ucred), &ucred);
}

/**
 * nym_control_deliver_some() - nym_control_deliver() when there is something
 * @sock: the receiving socket
 * @msg: where to
 * @control: is empty afterwards
 *
 * Context: sleeps; no lock of nym held, for files are installed
 */
void nym_control_deliver_some(struct socket *sock, struct msghdr *msg,
			      struct nym_control *control)
{
	bool cred = nym_passcred(sock->sk);

	if (cred || control->files) {
		/* A caller in the kernel cannot be given descriptors. */
		bool files = control->files && msg->msg_control_is_user &&
			     READ_ONCE(nym_sk(sock->sk)->passrights);

		if (!msg->msg_control || (control->files && !files))
			msg->msg_flags |= MSG_CTRUNC;
		if (msg->msg_control && cred)
			nym_control_put_cred(msg, control);
		if (msg->msg_control && files)
			nym_files_deliver(control->files, msg);
	}
	nym_control_release(control);
}
