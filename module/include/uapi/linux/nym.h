/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The user interface of nym, a socket family whose addresses are names.
 *
 * A server binds a name, a client connects to it; everything else is the
 * ordinary socket API. See af_nym(7).
 */
#ifndef _UAPI_LINUX_NYM_H
#define _UAPI_LINUX_NYM_H

#include <linux/types.h>
#include <linux/socket.h>

/*
 * The address family. A module cannot add a number above the kernel's AF_MAX,
 * so nym takes one that no supported kernel registers (it was reserved for
 * AF_ASH, which was never written). The module parameter "family" picks
 * another one.
 */
#define AF_NYM		18
#define PF_NYM		AF_NYM

/*
 * The level of the options below for getsockopt() and setsockopt(). Each takes
 * an int; where nothing else is said, not 0 is on.
 */
#define SOL_NYM		28281

/*
 * connect() and sendto() wait until somebody listens at the name, or for
 * datagrams has it, as long as SO_SNDTIMEO says. If they are not to block,
 * connect() fails with EINPROGRESS and sendto() with EAGAIN.
 */
#define NYM_WAIT	1

/*
 * Share the name with other sockets of the same owner and type that do so, too.
 * What counts is the value at the time of bind(). A call goes to the one with
 * the shortest queue, and so does a datagram; or, if the socket that was bound
 * first has NYM_SHARE_STICKY, all datagrams of a sender go to the same one.
 */
#define NYM_SHARE		2
#define NYM_SHARE_OFF		0
#define NYM_SHARE_ON		1
#define NYM_SHARE_STICKY	2

/*
 * For how many milliseconds, at most an hour, the name is kept for its owner
 * when this socket is closed and was the last that is bound to it, or the last
 * that listens while others are bound. Callers and senders wait until then. It
 * is read when the socket is closed.
 */
#define NYM_LINGER	3

/*
 * Take descriptors (SCM_RIGHTS). Off at first: who sends some gets EPERM.
 * Sockets that accept() makes have it as the listener has it then.
 */
#define NYM_PASSRIGHTS	4

/* Be told who sent (SCM_CREDENTIALS). The same as SO_PASSCRED. */
#define NYM_PASSCRED	5

/* What there is to know of a socket: struct nym_info. Cannot be set. */
#define NYM_INFO	6

/* The longest name in bytes, without a terminating NUL. */
#define NYM_NAME_MAX	125

/**
 * struct sockaddr_nym - the address of a nym socket
 * @snym_family: AF_NYM (or the number given as the module parameter "family")
 * @snym_name: 1 to NYM_NAME_MAX bytes of printable ASCII without space. The
 *	name ends at the first NUL or at the address length, whichever comes
 *	first. A colon may not be its first byte (the kernel chooses such names)
 *	and an at sign may not be in it.
 *
 * An address of the family alone (length 2) asks bind() to choose a name.
 * The kernel returns names with one NUL behind them, counted in the length.
 */
struct sockaddr_nym {
	__kernel_sa_family_t snym_family;
	char snym_name[NYM_NAME_MAX + 1];
};

/**
 * struct nym_info - the state of a socket, and what it has done
 * @pending: calls that wait here for accept()
 * @parked: calls that wait until they may be pending, at all sockets of the name
 * @limit: how many calls may be pending here; listen(fd, n) gives n + 1
 * @peak: the most that were pending here at once
 * @accepted: calls accepted here
 * @refused: callers of the name that were turned away, because nobody listened
 *	or after they had been parked
 * @dropped: pending calls of the name that were reset; for a datagram socket,
 *	datagrams that were thrown away unread
 * @bytes_sent: bytes sent on this connection, or from this datagram socket
 * @bytes_received: bytes received there; what is left of a record or datagram
 *	that was cut short counts, too
 * @queued: bytes that wait to be read here; a record counts 8 more, a datagram
 *	as much as the memory it takes
 * @queue_limit: how large @queued may become: SO_SNDBUF of the peer, 0 if that
 *	has gone or has not accepted yet; SO_RCVBUF of a datagram socket
 * @datagrams: how many datagrams wait to be read here
 * @members: how many sockets are bound to the socket's name
 *
 * What does not apply is 0. New members are only added at the end: getsockopt()
 * returns how much the kernel knows, at most what was asked for.
 */
struct nym_info {
	__u32 pending;
	__u32 parked;
	__u32 limit;
	__u32 peak;
	__aligned_u64 accepted;
	__aligned_u64 refused;
	__aligned_u64 dropped;
	__aligned_u64 bytes_sent;
	__aligned_u64 bytes_received;
	__u32 queued;
	__u32 queue_limit;
	__u32 datagrams;
	__u32 members;
};

#endif /* _UAPI_LINUX_NYM_H */
