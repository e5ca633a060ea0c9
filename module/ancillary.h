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
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/uidgid.h>

struct cmsghdr;
struct msghdr;
struct nym_ring;
struct nym_ring_cursor;
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
 * @list: marks, in the order of their positions. The writer adds at the end
 *	before it publishes the bytes, the reader removes from the front.
 * @sockets: there are, or have been, nym sockets among the descriptors
 * @left: @carrier has gone, and somebody else is to come
 * @passrights: if so: it took descriptors
 * @carrier: whose queue this is: the socket that reads, the listener before
 *	there is one, NULL when it has let go
 */
struct nym_marks {
	spinlock_t lock;	/* see above */
	struct list_head list;
	struct sock *carrier;
	bool sockets;
	bool left;
	bool passrights;
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
int nym_control_parse(struct socket *sock, struct msghdr *msg,
		      struct nym_control *control);
void nym_control_sign(struct nym_control *control);
void nym_control_sign_for(struct nym_control *control, struct sock *from,
			  struct sock *to);
void nym_control_copy(struct nym_control *to, const struct nym_control *from);
void nym_control_take_files(struct nym_control *to, struct nym_control *from);
void nym_control_release(struct nym_control *control);
void nym_control_deliver(struct socket *sock, struct msghdr *msg,
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
int nym_marks_check(struct nym_marks *marks, const struct nym_control *control);
int nym_marks_add(struct nym_marks *marks, struct nym_ring *ring, u32 end,
		  struct nym_control *control);
void nym_marks_trim(struct nym_marks *marks, struct nym_ring *ring, u32 pos);
void nym_marks_drain(struct nym_marks *marks, struct nym_ring *ring);
size_t nym_marks_fetch(struct nym_marks *marks, struct nym_ring_cursor *cur,
		       struct msghdr *msg, size_t len,
		       struct nym_receipt *receipt);
void nym_marks_collect(struct nym_marks *marks, u32 pos,
		       struct nym_receipt *receipt);
int nym_marks_cache_init(void);
void nym_marks_cache_exit(void);

#endif /* _NYM_ANCILLARY_H */
