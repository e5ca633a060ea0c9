// SPDX-License-Identifier: GPL-2.0
/*
 * Descriptors in flight: taken from a sender, not yet installed at a receiver.
 *
 * There is no garbage collector, because what it would collect cannot come to
 * be. A file in flight is held by the queue of one socket, its carrier. For a
 * circle of sockets that only hold each other, one that is in flight would have
 * to carry another. So:
 *
 *	a nym socket that carries nym sockets is not sent,
 *	to one that is in flight no nym socket is sent, and none to itself.
 *
 * Files that could close a circle behind our back are not sent at all: AF_UNIX
 * sockets and io_uring hold files, too, but tell us nothing.
 *
 * Both counts of all sockets, and the carriers, are under one lock, because what
 * counts is the state of two sockets at a time. It is innermost and spins.
 */
#include <linux/capability.h>
#include <linux/dcache.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/slab.h>
#include <net/scm.h>

#include "af_nym.h"
#include "ancillary.h"

static DEFINE_SPINLOCK(nym_files_lock);

/* The nym socket that a file is, or NULL. */
static struct nym_sock *nym_file_sock(struct file *file)
{
	struct socket *sock = sock_from_file(file);
	struct sock *sk = sock ? sock->sk : NULL;

	/* Pairs with who turns one socket into another, as IPV6_ADDRFORM does. */
	return sk && READ_ONCE(sk->sk_family) == nym_family ? nym_sk(sk) : NULL;
}

/*
 * May a file be sent at all? The kernel does not tell modules which files are
 * io_uring's; but those are the only ones of that name among the files that
 * have no file system.
 */
static bool nym_file_may_go(struct file *file)
{
	struct socket *sock = sock_from_file(file);

	/* Likewise. */
	if (sock)
		return READ_ONCE(sock->ops)->family != PF_UNIX;
	return file_inode(file)->i_sb->s_magic != ANON_INODE_FS_MAGIC ||
	       strcmp(file->f_path.dentry->d_name.name, "[io_uring]");
}

static bool nym_files_may_exceed(void)
{
	return capable(CAP_SYS_RESOURCE) || capable(CAP_SYS_ADMIN);
}

/* Charges descriptors to the current user, in a namespace or in all. */
static int nym_files_charge(struct nym_net *nn, unsigned int n, unsigned long max,
			    struct nym_user **user)
{
	struct nym_user *me = nym_user_get(nn, current_uid());

	if (!me)
		return -ENOMEM;
	if (atomic_add_return(n, &me->files) > max && !nym_files_may_exceed()) {
		atomic_sub(n, &me->files);
		nym_user_put(me);
		return -ETOOMANYREFS;
	}
	*user = me;
	return 0;
}

static void nym_files_uncharge(struct nym_user *user, unsigned int n)
{
	if (!user)
		return;
	atomic_sub(n, &user->files);
	nym_user_put(user);
}

static void nym_files_uncharge_all(struct nym_files *files)
{
	nym_files_uncharge(files->user, files->list->max);
	nym_files_uncharge(files->local, files->list->max);
}

static int nym_files_prepare(struct nym_files *files, struct nym_net *nn,
			     unsigned int n)
{
	int err;

	files->list = kzalloc(offsetof(struct scm_fp_list, fp[n]),
			      GFP_KERNEL_ACCOUNT);
	if (!files->list)
		return -ENOMEM;
	files->list->max = n;
	err = nym_files_charge(NULL, n, rlimit(RLIMIT_NOFILE), &files->user);
	if (!err)
		err = nym_files_charge(nn, n, READ_ONCE(nn->max_files),
				       &files->local);
	if (err) {
		nym_files_uncharge_all(files);
		kfree(files->list);
	}
	return err;
}

/**
 * nym_files_alloc() - room for descriptors, charged to the current user
 * @sk: the sending socket
 * @n: how many there will be
 *
 * Context: sleeps
 * Return: the empty files; -ENOMEM; -ETOOMANYREFS if the user would have more
 * under way than one of its processes may have open, or than the namespace
 * allows
 */
struct nym_files *nym_files_alloc(struct sock *sk, unsigned int n)
{
	struct nym_files *files;
	int err;

	files = kzalloc(sizeof(*files), GFP_KERNEL_ACCOUNT);
	if (!files)
		return ERR_PTR(-ENOMEM);
	err = nym_files_prepare(files, nym_net(sock_net(sk)), n);
	if (!err)
		return files;
	kfree(files);
	return ERR_PTR(err);
}

/**
 * nym_files_add() - take the descriptors of a control message
 * @files: with room for them
 * @cmsg: the control message, SCM_RIGHTS
 *
 * Context: sleeps
 * Return: 0; -EBADF; -EINVAL for a file that may not be sent
 */
int nym_files_add(struct nym_files *files, const struct cmsghdr *cmsg)
{
	struct scm_fp_list *list = files->list;
	const int *fd = (const int *)CMSG_DATA(cmsg);
	size_t i, n;

	if (cmsg->cmsg_len <= CMSG_LEN(0))
		return 0;
	n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	for (i = 0; i < n; i++) {
		struct file *file = fd[i] < 0 ? NULL : fget_raw(fd[i]);

		if (!file)
			return -EBADF;
		if (list->count == list->max || !nym_file_may_go(file)) {
			fput(file);
			return -EINVAL;
		}
		list->fp[list->count++] = file;
		if (nym_file_sock(file))
			files->nsocks++;
	}
	return 0;
}

/*
 * The rule at the top of this file. The lock is held. Who carries something is
 * in no queue itself, so to be moved is a matter of the carrier alone.
 */
static bool nym_files_may_queue(const struct nym_files *files, struct sock *to)
{
	int i;

	lockdep_assert_held(&nym_files_lock);
	if (nym_sk(to)->inflight)
		return false;
	for (i = 0; i < files->list->count; i++) {
		struct nym_sock *nsk = nym_file_sock(files->list->fp[i]);

		if (nsk && (nsk->carries || nsk == nym_sk(to)))
			return false;
	}
	return true;
}

/* The lock is held. */
static void nym_files_count(const struct nym_files *files, int n)
{
	int i;

	lockdep_assert_held(&nym_files_lock);
	if (files->carrier)
		nym_sk(files->carrier)->carries += n * files->nsocks;
	for (i = 0; i < files->list->count; i++) {
		struct nym_sock *nsk = nym_file_sock(files->list->fp[i]);

		if (nsk)
			nsk->inflight += n;
	}
}

/**
 * nym_files_check() - does a socket want descriptors?
 * @files: the descriptors, or NULL
 * @to: the receiver
 *
 * Context: any
 * Return: 0 or -EPERM
 */
int nym_files_check(const struct nym_files *files, const struct sock *to)
{
	return files && !READ_ONCE(nym_sk(to)->passrights) ? -EPERM : 0;
}

/**
 * nym_files_queue() - put descriptors into the queue of a socket
 * @files: the descriptors, or NULL
 * @to: the socket; it lets go of its queue before it is freed. NULL for a
 *	queue that waits for a socket; no nym socket may be put there.
 *
 * Context: any but interrupts
 * Return: 0; -EPERM if it wants none; -ETOOMANYREFS if a circle of sockets
 * could come to be
 */
int nym_files_queue(struct nym_files *files, struct sock *to)
{
	int err = to ? nym_files_check(files, to) : 0;

	if (err || !files)
		return err;
	if (files->nsocks) {
		spin_lock(&nym_files_lock);
		if (to && nym_files_may_queue(files, to)) {
			files->carrier = to;
			nym_files_count(files, 1);
		} else {
			err = -ETOOMANYREFS;
		}
		spin_unlock(&nym_files_lock);
	}
	if (!err) {
		files->sent = true;
		nym_stat_add(files->local->key.nn, NYM_STAT_FILES_SENT,
			     files->list->count);
	}
	return err;
}

/* Takes descriptors out of the queue they are in, if they are in one. */
static void nym_files_dequeue(struct nym_files *files)
{
	spin_lock(&nym_files_lock);
	if (files->sent)
		nym_files_count(files, -1);
	files->carrier = NULL;
	spin_unlock(&nym_files_lock);
}

/**
 * nym_files_move() - the queue they are in is another socket's now
 * @marks: list of struct nym_mark, whose descriptors are meant; some are nym
 *	sockets, and they are in flight
 * @to: the socket; NULL if nobody's for now
 *
 * Context: any but interrupts
 * Return: false, and nothing has changed, if a circle of sockets could come to be
 */
bool nym_files_move(const struct list_head *marks, struct sock *to)
{
	struct nym_files *files;
	struct nym_mark *mark;
	bool may;

	spin_lock(&nym_files_lock);
	may = !to || !nym_sk(to)->inflight;
	if (!may)
		goto out;
	list_for_each_entry(mark, marks, list) {
		files = mark->control.files;
		if (!files || !files->nsocks)
			continue;
		if (files->carrier)
			nym_sk(files->carrier)->carries -= files->nsocks;
		if (to)
			nym_sk(to)->carries += files->nsocks;
		files->carrier = to;
	}
out:
	spin_unlock(&nym_files_lock);
	return may;
}

/* For how many descriptors there is room. */
static int nym_files_room(const struct msghdr *msg)
{
	if (msg->msg_controllen <= sizeof(struct cmsghdr))
		return 0;
	return (msg->msg_controllen - sizeof(struct cmsghdr)) / sizeof(int);
}

/* Counts what has been sent: so many are received, the rest is closed. */
static void nym_files_count_end(const struct nym_files *files, int received)
{
	struct nym_net *nn = files->local->key.nn;

	if (!files->sent)
		return;
	nym_stat_add(nn, NYM_STAT_FILES_RECEIVED, received);
	nym_stat_add(nn, NYM_STAT_FILES_DROPPED, files->list->count - received);
}

/* They are not under way any more: neither in a queue nor charged. */
static void nym_files_land(struct nym_files *files)
{
	if (files->nsocks)
		nym_files_dequeue(files);
	nym_files_uncharge_all(files);
}

/**
 * nym_files_deliver() - install descriptors in the current process
 * @files: the descriptors; without any afterwards
 * @msg: where to say which they are
 *
 * Context: sleeps
 */
void nym_files_deliver(struct nym_files *files, struct msghdr *msg)
{
	struct scm_cookie scm = { .fp = files->list };

	nym_files_count_end(files, min_t(int, files->list->count,
					 nym_files_room(msg)));
	nym_files_land(files);
	files->list = NULL;
	/* Frees the list, and closes what there is no room for. */
	nym_detach_fds(msg, &scm);
}

/**
 * nym_files_free() - give descriptors up
 * @files: the descriptors
 *
 * Context: any but interrupts
 */
void nym_files_free(struct nym_files *files)
{
	struct scm_cookie scm = { .fp = files->list };

	if (files->list) {
		nym_files_count_end(files, 0);
		nym_files_land(files);
		__scm_destroy(&scm);
	}
	kfree(files);
}
