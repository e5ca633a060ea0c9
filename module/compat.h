/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What differs between the kernels nym builds on, and nothing else.
 *
 * module/Kbuild looks into the kernel's headers and defines NYM_HAVE_*;
 * versions are never compared. Each entry says what changed and when; it goes
 * away when the oldest supported kernel has the new form.
 */
#ifndef _NYM_COMPAT_H
#define _NYM_COMPAT_H

#include <linux/fs.h>
#include <linux/net.h>
#include <linux/socket.h>
#include <linux/sysctl.h>
#include <net/net_namespace.h>
#include <net/scm.h>
#include <net/sock.h>

/*
 * proto_ops.accept takes its flags in one struct since 6.10
 * ("net: change proto and proto_ops accept type").
 */
int nym_accept(struct socket *sock, struct socket *newsock, int flags,
	       bool kern);

#ifdef NYM_HAVE_PROTO_ACCEPT_ARG
static inline int nym_accept_op(struct socket *sock, struct socket *newsock,
				struct proto_accept_arg *arg)
{
	return nym_accept(sock, newsock, arg->flags, arg->kern);
}
#else
#define nym_accept_op nym_accept
#endif

/*
 * proto_ops.bind and .connect say that the address has no fixed size since
 * 6.19 ("net: Convert proto_ops callbacks to use sockaddr_unsized").
 */
#ifdef NYM_HAVE_SOCKADDR_UNSIZED
#define nym_sockaddr sockaddr_unsized
#else
#define nym_sockaddr sockaddr
#endif

/*
 * generic_permission() takes the mount's id mapping instead of a user
 * namespace since 6.3 ("fs: port ->permission() to pass mnt_idmap"). Sockets
 * are on no mount that maps ids.
 */
#ifdef NYM_HAVE_MNT_IDMAP
#define NYM_NO_IDMAP (&nop_mnt_idmap)
#else
#define NYM_NO_IDMAP (&init_user_ns)
#endif

/*
 * SO_PASSCRED is a bit of struct socket; since 6.16 it is one of struct sock
 * ("af_unix: Move SOCK_PASS{CRED,PIDFD,SEC} to struct sock"). nym_passcred()
 * needs rcu_read_lock() for a socket that may be released.
 */
#ifdef NYM_HAVE_SOCK_PASSCRED
static inline bool nym_passcred(const struct sock *sk)
{
	struct socket *sock = READ_ONCE(sk->sk_socket);

	return sock && test_bit(SOCK_PASSCRED, &sock->flags);
}

static inline void nym_set_passcred(struct sock *sk, bool on)
{
	assign_bit(SOCK_PASSCRED, &sk->sk_socket->flags, on);
}
#else
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
 * scm_detach_fds() is told since 7.3 whether a descriptor that a security module
 * refuses leaves its errno in the list, what AF_UNIX has SO_RIGHTS_NOTRUNC for,
 * or ends it.
 */
static inline void nym_detach_fds(struct msghdr *msg, struct scm_cookie *scm)
{
#ifdef NYM_HAVE_SCM_NOTRUNC
	scm_detach_fds(msg, scm, false);
#else
	scm_detach_fds(msg, scm);
#endif
}

/*
 * register_net_sysctl() is told how long the table is since 6.6 ("sysctl: Add
 * size to register_net_sysctl function"); handlers may not change it since 6.11
 * ("sysctl: treewide: constify the ctl_table argument of proc_handlers").
 */
#ifdef NYM_HAVE_SYSCTL_SZ
#define nym_register_sysctls register_net_sysctl_sz
#else
static inline struct ctl_table_header *
nym_register_sysctls(struct net *net, const char *path, struct ctl_table *table,
		     size_t size)
{
	return register_net_sysctl(net, path, table);
}
#endif
#ifdef NYM_HAVE_CONST_CTL_TABLE
#define nym_ctl_table const struct ctl_table
#else
#define nym_ctl_table struct ctl_table
#endif

/*
 * A handler of sock_diag says which module it is in since 6.8, and in stable
 * kernels ("sock_diag: add module pointer to \"struct sock_diag_handler\"").
 */
#ifdef NYM_HAVE_SOCK_DIAG_OWNER
#define NYM_SOCK_DIAG_OWNER	.owner = THIS_MODULE,
#else
#define NYM_SOCK_DIAG_OWNER
#endif

/*
 * __assign_str() of tracepoints knows its source from __string() since 6.10
 * ("tracing/treewide: Remove second parameter of __assign_str()").
 */
#ifdef NYM_HAVE_ASSIGN_STR_DST
#define nym_assign_name()	__assign_str(name)
#else
#define nym_assign_name()	__assign_str(name, name)
#endif

#endif /* _NYM_COMPAT_H */
