/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Ancillary data: what goes along with bytes, and where it waits for them to
 * be read.
 *
 *   control  one message's credentials and descriptors (ancillary.c)
 *   files    the descriptors, in flight (files.c)
 *   marks    the controls of a ring's bytes, by position (marks.c)
 */
#ifndef _NYM_ANCILLARY_H
#define _NYM_ANCILLARY_H

#include <linux/list.h>
#include <linux/net.h>
#include <linux/socket.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/uidgid.h>
#include <net/sock.h>

#include "compat.h"
#include "ring.h"

struct cmsghdr;
struct nym_user;
struct pid;
struct scm_fp_list;
struct sock;
struct socket;

/**
 * struct nym_files - descriptors on their way
 * @list: the files; NULL once they have arrived
 * @user: who is charged for them; a reference
 * @local: the same in the sender's namespace; a reference
 * @carrier: the socket in whose queue they are, if @nsocks
 * @nsocks: how many of them are nym sockets
 * @sent: they were put into a queue, and have been counted as sent
 */
struct nym_files {
	struct scm_fp_list *list;
	struct nym_user *user;
	struct nym_user *local;
	struct sock *carrier;
	unsigned int nsocks;
	bool sent;
};

/**
 * struct nym_control - what goes along with a message
 * @pid: the sender's process, a reference; NULL if there are no credentials
 * @uid: the sender's user; valid if @pid
 * @gid: the sender's group; likewise
 * @files: descriptors, or NULL
 */
struct nym_control {
	struct pid *pid;
	kuid_t uid;
	kgid_t gid;
	struct nym_files *files;
};

#define NYM_CONTROL_NONE	((struct nym_control){ })

static inline bool nym_control_is_none(const struct nym_control *control)
{
	return !control->pid && !control->files;
}

/**
 * struct nym_mark - what goes along with some of a ring's bytes
 * @list: in the ring's marks
 * @pos: the position of the first byte
 * @end: the position behind the last one
 * @sealed: descriptors came with it, so a read ends at @end
 * @control: what goes along
 */
struct nym_mark {
	struct list_head list;
	u32 pos;
	u32 end;
	bool sealed;
	struct nym_control control;
};

/**
 * struct nym_marks - the marks of one ring
 * @lock: protects the following; taken inside an endpoint's lock
 * @sockets: there are, or have been, nym sockets among the descriptors
 * @left: @carrier has gone, and somebody else is to come
 * @passrights: if so: it took descriptors
 * @list: marks, in the order of their positions. The writer adds at the end
 *	before it publishes the bytes, the reader removes from the front.
 * @carrier: whose queue this is: the socket that reads, the listener before
 *	there is one, NULL when it has let go
 */
struct nym_marks {
	spinlock_t lock;	/* see above */
	bool sockets;
	bool left;
	bool passrights;
	struct list_head list;
	struct sock *carrier;
};

/**
 * struct nym_receipt - what a read has gathered
 * @control: credentials of the bytes read, descriptors found with them
 * @by_sender: bytes with other credentials must not join these
 * @peek: descriptors stay where they are
 * @begun: @control says whose the bytes are
 * @over: nothing more may join
 */
struct nym_receipt {
	struct nym_control control;
	bool by_sender;
	bool peek;
	bool begun;
	bool over;
};

/* ancillary.c */
int nym_control_parse_some(struct socket *sock, struct msghdr *msg,
			   struct nym_control *control);
void nym_control_sign(struct nym_control *control);
void nym_control_copy(struct nym_control *to, const struct nym_control *from);
void nym_control_take_files(struct nym_control *to, struct nym_control *from);
void nym_control_release_some(struct nym_control *control);
void nym_control_deliver_some(struct socket *sock, struct msghdr *msg,
			      struct nym_control *control);

/* files.c */
struct nym_files *nym_files_alloc(struct sock *sk, unsigned int n);
int nym_files_add(struct nym_files *files, const struct cmsghdr *cmsg);
int nym_files_check(const struct nym_files *files, const struct sock *to);
int nym_files_queue(struct nym_files *files, struct sock *to);
bool nym_files_move(const struct list_head *marks, struct sock *to);
void nym_files_deliver(struct nym_files *files, struct msghdr *msg);
void nym_files_free(struct nym_files *files);

/* marks.c */
void nym_marks_init(struct nym_marks *marks);
bool nym_marks_carry(struct nym_marks *marks, struct sock *carrier);
bool nym_marks_leave(struct nym_marks *marks);
int nym_marks_check_files(struct nym_marks *marks, const struct nym_control *control);
int nym_marks_add_some(struct nym_marks *marks, struct nym_ring *ring, u32 end,
		       struct nym_control *control);
void nym_marks_trim_some(struct nym_marks *marks, struct nym_ring *ring, u32 pos);
void nym_marks_drain(struct nym_marks *marks, struct nym_ring *ring);
size_t nym_marks_fetch_some(struct nym_marks *marks, struct nym_ring_cursor *cur,
			    struct msghdr *msg, size_t len,
			    struct nym_receipt *receipt);
void nym_marks_collect_some(struct nym_marks *marks, u32 pos,
			    struct nym_receipt *receipt);
int nym_marks_cache_init(void);
void nym_marks_cache_exit(void);

#ifdef NYM_HAVE_SOCK_PASSCRED
/* For a socket that may be released, rcu_read_lock() is held. */
static inline bool nym_passcred(const struct sock *sk)
{
	struct socket *sock = READ_ONCE(sk->sk_socket);

	return sock && test_bit(SOCK_PASSCRED, &sock->flags);
}

static inline void nym_set_passcred(struct sock *sk, bool on)
{
	assign_bit(SOCK_PASSCRED, &sk->sk_socket->flags, on);
}
#else	/* since 6.16: "af_unix: Move SOCK_PASS{CRED,PIDFD,SEC} to struct sock" */
static inline bool nym_passcred(const struct sock *sk)
{
	/* A bit among others that are set under lock_sock; others look any time. */
	return data_race((bool)sk->sk_scm_credentials);
}

static inline void nym_set_passcred(struct sock *sk, bool on)
{
	sk->sk_scm_credentials = on;
}
#endif

/*
 * Most messages come with nothing. What follows is inlined, so that they pay
 * for looking only.
 */

/**
 * nym_control_parse() - take what comes with a message
 * @sock: the sending socket
 * @msg: the message
 * @control: is set; to be released by the caller
 *
 * Context: sleeps
 * Return: 0; -EINVAL for a malformed or unknown control message, too many
 * descriptors or one that may not be sent; -EBADF; -EPERM for credentials that
 * are not the sender's; -ESRCH; -ETOOMANYREFS if the user has too many
 * descriptors under way; -ENOMEM
 */
static inline int nym_control_parse(struct socket *sock, struct msghdr *msg,
				    struct nym_control *control)
{
	*control = NYM_CONTROL_NONE;
	if (likely(!msg->msg_controllen))
		return 0;
	return nym_control_parse_some(sock, msg, control);
}

/**
 * nym_control_release() - give up what has not been delivered
 * @control: is empty afterwards
 *
 * Context: any but interrupts
 */
static inline void nym_control_release(struct nym_control *control)
{
	if (unlikely(control->pid || control->files))
		nym_control_release_some(control);
}

/**
 * nym_control_deliver() - give the receiver what came with what it has read
 * @sock: the receiving socket
 * @msg: where to
 * @control: is empty afterwards
 *
 * Context: sleeps; no lock of nym held, for files are installed
 */
static inline void nym_control_deliver(struct socket *sock, struct msghdr *msg,
				       struct nym_control *control)
{
	/* Who wants credentials is told so when there are none. */
	if (unlikely(control->pid || control->files || nym_passcred(sock->sk)))
		nym_control_deliver_some(sock, msg, control);
}

/**
 * nym_marks_check() - may this be sent?
 * @marks: the marks
 * @control: what is to go along
 *
 * To be asked before there is anything to undo.
 *
 * Context: any but interrupts
 * Return: 0; -EPERM if the receiver does not want descriptors
 */
static inline int nym_marks_check(struct nym_marks *marks,
				  const struct nym_control *control)
{
	return unlikely(control->files) ? nym_marks_check_files(marks, control) : 0;
}

/**
 * nym_marks_add() - mark bytes that are about to be published
 * @marks: the ring's marks
 * @ring: the ring
 * @end: the position behind the bytes, which begin at the ring's tail
 * @control: what goes along with them; its descriptors pass to the mark
 *
 * Context: sleeps; @ring->wlock held
 * Return: 0; -ENOMEM; -EPIPE if nobody will read them; as nym_files_queue()
 */
static inline int nym_marks_add(struct nym_marks *marks, struct nym_ring *ring,
				u32 end, struct nym_control *control)
{
	if (likely(!control->pid && !control->files))
		return 0;
	return nym_marks_add_some(marks, ring, end, control);
}

/**
 * nym_marks_trim() - drop the marks of bytes that have been read
 * @marks: the ring's marks
 * @ring: the ring
 * @pos: everything before it has been read
 *
 * Context: sleeps; @ring->rlock held
 */
static inline void nym_marks_trim(struct nym_marks *marks, struct nym_ring *ring,
				  u32 pos)
{
	if (unlikely(!list_empty(&marks->list)))
		nym_marks_trim_some(marks, ring, pos);
}

/**
 * nym_marks_fetch() - nym_ring_fetch() with regard to marks
 * @marks: the ring's marks
 * @cur: not at the end; moves behind the bytes that were copied
 * @msg: where to
 * @len: how many at most
 * @receipt: gets what came with the bytes
 *
 * Context: sleeps; the ring's rlock held
 * Return: how many bytes were copied: fewer than there are if what came with
 * the others may not be mixed with these, see @receipt->over; or if user
 * memory faulted
 */
static inline size_t nym_marks_fetch(struct nym_marks *marks,
				     struct nym_ring_cursor *cur,
				     struct msghdr *msg, size_t len,
				     struct nym_receipt *receipt)
{
	/* The writer adds a mark before the bytes that the cursor knows of. */
	if (likely(list_empty(&marks->list) && !receipt->by_sender))
		return nym_ring_fetch(cur, &msg->msg_iter, len);
	return nym_marks_fetch_some(marks, cur, msg, len, receipt);
}

/**
 * nym_marks_collect() - what came with a record
 * @marks: the ring's marks
 * @pos: where the record begins
 * @receipt: gets it
 *
 * Context: the ring's rlock held
 */
static inline void nym_marks_collect(struct nym_marks *marks, u32 pos,
				     struct nym_receipt *receipt)
{
	if (unlikely(!list_empty(&marks->list)))
		nym_marks_collect_some(marks, pos, receipt);
}

#endif /* _NYM_ANCILLARY_H */
