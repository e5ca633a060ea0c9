/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What differs between the kernels nym builds on, and nothing else.
 *
 * module/Kbuild looks into the kernel's headers and defines NYM_HAVE_*;
 * versions are never compared. Each entry says what changed and when; it goes
 * away when the oldest supported kernel has the new form.
 *
 * All of it is macros, for kernel-patch/resolve writes what they stand for into
 * the files of the series for a kernel tree, and this one is not among them.
 * What takes a function stands where it belongs: nym_accept_op() in af_nym.c,
 * nym_passcred() in ancillary.h.
 */
#ifndef _NYM_COMPAT_H
#define _NYM_COMPAT_H

/*
 * A kernel that nym is a part of has a number for it. A module takes another's,
 * and which one is a parameter: it is known when the module is loaded. In struct
 * proto_ops it need not be right: all the core asks there is whether it is PF_UNIX.
 */
#ifdef NYM_HAVE_AF_NYM
#define nym_family		AF_NYM
#define nym_set_once		const
#define nym_set_family(...)	do { } while (0)
#define nym_register_chosen	nym_register
#else
extern unsigned int nym_family;

#define nym_set_once		__ro_after_init
#define nym_set_family(ops)	((ops)->family = nym_family)
#endif

/*
 * proto_ops.accept takes its flags in one struct since 6.10
 * ("net: change proto and proto_ops accept type").
 */
#ifndef NYM_HAVE_PROTO_ACCEPT_ARG
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
 * scm_detach_fds() is told since 7.3 whether a descriptor that a security module
 * refuses leaves its errno in the list, what AF_UNIX has SO_RIGHTS_NOTRUNC for,
 * or ends it.
 */
#ifdef NYM_HAVE_SCM_NOTRUNC
#define nym_detach_fds(msg, scm)	scm_detach_fds(msg, scm, false)
#else
#define nym_detach_fds(msg, scm)	scm_detach_fds(msg, scm)
#endif

/*
 * register_net_sysctl() is told how long the table is since 6.6 ("sysctl: Add
 * size to register_net_sysctl function"); before, it looks for an empty entry at
 * the end. Handlers may not change it since 6.11 ("sysctl: treewide: constify the
 * ctl_table argument of proc_handlers").
 */
#ifdef NYM_HAVE_SYSCTL_SZ
#define nym_register_sysctls(net, path, table, size) \
	register_net_sysctl_sz(net, path, table, size)
#define NYM_SYSCTL_ENTRIES(size)	size
#else
#define nym_register_sysctls(net, path, table, ...) \
	register_net_sysctl(net, path, table)
#define NYM_SYSCTL_ENTRIES(size)	((size) + 1)
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
