/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The sockets of nym, as sock_diag(7) tells of them: a request of the type
 * SOCK_DIAG_BY_FAMILY on a socket of the protocol NETLINK_SOCK_DIAG.
 *
 * With NLM_F_DUMP all sockets of the requester's network namespace that match
 * are answered; else the one that the inode number and the cookie say.
 */
#ifndef _UAPI_LINUX_NYM_DIAG_H
#define _UAPI_LINUX_NYM_DIAG_H

#include <linux/types.h>

/* What to tell of each socket: @show of struct nym_diag_req. */
#define NYM_DIAG_SHOW_NAME	0x01
#define NYM_DIAG_SHOW_PEER	0x02
#define NYM_DIAG_SHOW_INFO	0x04
#define NYM_DIAG_SHOW_OWNER	0x08
#define NYM_DIAG_SHOW_MEMINFO	0x10

/* The states of a socket, as in /proc/net/nym. */
#define NYM_DIAG_UNCONNECTED	0
#define NYM_DIAG_BOUND		1
#define NYM_DIAG_LISTENING	2
#define NYM_DIAG_CONNECTING	3
#define NYM_DIAG_CONNECTED	4

/**
 * struct nym_diag_req - a request
 * @sdiag_family: AF_NYM (or the number given as the module parameter "family")
 * @sdiag_protocol: 0
 * @pad: 0
 * @types: for a dump: the types wanted, 1 << SOCK_STREAM and so on
 * @states: for a dump: the states wanted, 1 << NYM_DIAG_LISTENING and so on
 * @ino: without a dump: the inode number of the socket, as fstat() gives it
 * @cookie: without a dump: its cookie, low half first, as in an earlier answer
 *	or from SO_COOKIE; ~0 in both for any
 * @show: NYM_DIAG_SHOW_*
 *
 * Errors: EINVAL for a request that is too short, is not 0 where it should be or
 * asks for no inode number; ENOENT if there is no such socket; ESTALE if it has
 * another cookie.
 */
struct nym_diag_req {
	__u8 sdiag_family;
	__u8 sdiag_protocol;
	__u16 pad;
	__u32 types;
	__u32 states;
	__u32 ino;
	__u32 cookie[2];
	__u32 show;
};

/**
 * struct nym_diag_msg - one socket; attributes follow
 * @family: as in the request
 * @type: SOCK_STREAM, SOCK_SEQPACKET or SOCK_DGRAM
 * @state: NYM_DIAG_LISTENING and so on
 * @pad: 0
 * @ino: its inode number
 * @cookie: its cookie, low half first: never used for another socket
 */
struct nym_diag_msg {
	__u8 family;
	__u8 type;
	__u8 state;
	__u8 pad;
	__u32 ino;
	__u32 cookie[2];
};

/*
 * The attributes. A name is a string with its NUL; the one of a socket without
 * a name, and one that the requester has no permission to see, is left out.
 */
enum {
	NYM_DIAG_UNSPEC,
	NYM_DIAG_NAME,		/* its name */
	NYM_DIAG_PEER,		/* the name of the other end */
	NYM_DIAG_INFO,		/* struct nym_info */
	NYM_DIAG_OWNER,		/* struct nym_diag_owner */
	NYM_DIAG_MEMINFO,	/* __u32 of SK_MEMINFO_VARS, see sock_diag.h */
	NYM_DIAG_PAD,
	__NYM_DIAG_MAX
};

#define NYM_DIAG_MAX	(__NYM_DIAG_MAX - 1)

/**
 * struct nym_diag_owner - the attribute NYM_DIAG_OWNER
 * @uid: the owner, as numbered in the requester's user namespace
 * @gid: the group, likewise
 * @mode: the permissions, as chmod() takes them
 */
struct nym_diag_owner {
	__u32 uid;
	__u32 gid;
	__u32 mode;
};

#endif /* _UAPI_LINUX_NYM_DIAG_H */
