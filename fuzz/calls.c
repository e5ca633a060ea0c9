// SPDX-License-Identifier: GPL-2.0
/*
 * The calls: how often each is made, and which errors it may give on a nym socket.
 */
#include "fuzz.h"

/*
 * EBADF is always among them (others close what a call is about), and EFAULT is
 * where the memory was bad.
 */
const struct call_info call_infos[CALLS] = {
	[CALL_SOCKET] = { "socket", { EAFNOSUPPORT, EINVAL, EPROTONOSUPPORT, ESOCKTNOSUPPORT,
				      EMFILE, EPERM } },
	[CALL_SOCKETPAIR] = { "socketpair", { EMFILE, EDQUOT } },
	[CALL_BIND] = { "bind", { EINVAL, EADDRINUSE, EACCES, EDQUOT } },
	[CALL_CONNECT] = { "connect", { EINVAL, EAGAIN, EINPROGRESS, EALREADY, EISCONN,
					ECONNREFUSED, EACCES, EPROTOTYPE, EINTR, EPERM,
					EDQUOT, ECONNRESET } },
	[CALL_LISTEN] = { "listen", { EINVAL, EOPNOTSUPP } },
	[CALL_ACCEPT] = { "accept4", { EINVAL, EAGAIN, EOPNOTSUPP, EINTR, EMFILE } },
	[CALL_SHUTDOWN] = { "shutdown", { EINVAL, ENOTCONN } },
	[CALL_CLOSE] = { "close", { 0 } },
	[CALL_DUP] = { "dup", { EINVAL, EMFILE, EBUSY } },
	[CALL_GETSOCKNAME] = { "getsockname", { EINVAL } },
	[CALL_GETPEERNAME] = { "getpeername", { EINVAL, ENOTCONN } },
	[CALL_SEND] = { "sendto", { EINVAL, EAGAIN, EPIPE, ENOTCONN, EISCONN, EOPNOTSUPP,
				    EMSGSIZE, ECONNRESET, ECONNREFUSED, EACCES, EPERM,
				    EPROTOTYPE, EINTR, EDQUOT } },
	[CALL_SENDMSG] = { "sendmsg", { EINVAL, EAGAIN, EPIPE, ENOTCONN, EISCONN, EOPNOTSUPP,
					EMSGSIZE, ECONNRESET, ECONNREFUSED, EACCES, EPERM,
					EPROTOTYPE, EINTR, EDQUOT, ETOOMANYREFS, ESRCH,
					ENOBUFS } },
	[CALL_SENDMMSG] = { "sendmmsg", { EINVAL, EAGAIN, EPIPE, ENOTCONN, EISCONN, EOPNOTSUPP,
					  EMSGSIZE, ECONNRESET, ECONNREFUSED, EACCES, EPERM,
					  EPROTOTYPE, EINTR, EDQUOT, ETOOMANYREFS, ESRCH,
					  ENOBUFS } },
	[CALL_WRITE] = { "write", { EINVAL, EAGAIN, EPIPE, ENOTCONN, EMSGSIZE, ECONNRESET,
				    ECONNREFUSED, EACCES, EPERM, EPROTOTYPE, EINTR, EDQUOT,
				    EOPNOTSUPP } },
	[CALL_RECV] = { "recvfrom", { EINVAL, EAGAIN, ENOTCONN, EOPNOTSUPP, ECONNRESET, EINTR } },
	[CALL_RECVMSG] = { "recvmsg", { EINVAL, EAGAIN, ENOTCONN, EOPNOTSUPP, ECONNRESET, EINTR,
					EMSGSIZE } },
	[CALL_RECVMMSG] = { "recvmmsg", { EINVAL, EAGAIN, ENOTCONN, EOPNOTSUPP, ECONNRESET,
					  EINTR, EMSGSIZE, ECONNREFUSED, EACCES,
					  EPROTOTYPE } },
	[CALL_READ] = { "read", { EINVAL, EAGAIN, ENOTCONN, ECONNRESET, EINTR, EOPNOTSUPP } },
	[CALL_SPLICE_IN] = { "splice to", { EINVAL, EAGAIN, EPIPE, ENOTCONN, EMSGSIZE, ESPIPE,
					    ECONNRESET, ECONNREFUSED, EACCES, EPERM, EINTR,
					    EPROTOTYPE, EDQUOT, EOPNOTSUPP } },
	[CALL_SPLICE_OUT] = { "splice from", { EINVAL, EAGAIN, EPIPE, ENOTCONN, ESPIPE,
					       ECONNRESET, EINTR } },
	[CALL_TEE] = { "tee", { EINVAL, EAGAIN, EPIPE, EINTR } },
	[CALL_SENDFILE] = { "sendfile", { EINVAL, EAGAIN, EPIPE, ENOTCONN, ESPIPE, EMSGSIZE,
					  ECONNRESET, ECONNREFUSED, EACCES, EPERM, EPROTOTYPE,
					  EINTR, EDQUOT, EOPNOTSUPP } },
	[CALL_GETSOCKOPT] = { "getsockopt", { EINVAL, ENOPROTOOPT, EOPNOTSUPP, ENODATA, ESRCH,
					      EMFILE, ERANGE, ENOTCONN, ENODEV } },
	[CALL_SETSOCKOPT] = { "setsockopt", { EINVAL, ENOPROTOOPT, EOPNOTSUPP, EPERM, EDOM,
					      ENOENT, ENODEV, EACCES } },
	[CALL_IOCTL] = { "ioctl", { EINTR, EINVAL, ENOTTY, ENODEV, EPERM, EOPNOTSUPP, ENOENT, ESRCH,
				    ENOTCONN } },
	[CALL_FCNTL] = { "fcntl", { EINVAL, EPERM, ESRCH } },
	[CALL_STAT] = { "fstat", { 0 } },
	[CALL_CHMOD] = { "fchmod", { EPERM, EOVERFLOW } },
	[CALL_CHOWN] = { "fchown", { EPERM, EINVAL, EOVERFLOW } },
	[CALL_POLL] = { "poll", { 0 } },
	[CALL_SELECT] = { "select", { 0 } },
	[CALL_EPOLL_CTL] = { "epoll_ctl", { EINVAL, EEXIST, ENOENT, EPERM, ELOOP } },
	[CALL_EPOLL_WAIT] = { "epoll_wait", { 0 } },
	[CALL_DIAG] = { "sock_diag", { EINVAL, ENOENT, ESTALE } },
	[CALL_PROC] = { "/proc/net", { 0 } },
	[CALL_SYSCTL] = { "sysctl", { 0 } },
	[CALL_SETUID] = { "setresuid", { 0 } },
	[CALL_UNSHARE] = { "unshare", { 0 } },
	[CALL_FORK] = { "fork", { 0 } },
	[CALL_URING] = { "io_uring", { 0 } },
};

static const struct {
	void (*run)(struct actor *a);
	unsigned int weight;
} actions[] = {
	{ call_socket, 6 },
	{ call_pair, 14 },
	{ call_listener, 16 },
	{ call_client, 50 },
	{ call_dgram, 14 },
	{ call_other, 8 },
	{ call_bind, 16 },
	{ call_connect, 40 },
	{ call_listen, 16 },
	{ call_accept, 60 },
	{ call_shutdown, 6 },
	{ call_close, 5 },
	{ call_dup, 6 },
	{ call_name, 30 },
	{ call_send, 110 },
	{ call_sendmsg, 90 },
	{ call_sendmmsg, 16 },
	{ call_write, 60 },
	{ call_recv, 110 },
	{ call_recvmsg, 90 },
	{ call_recvmmsg, 16 },
	{ call_read, 60 },
	{ call_splice, 30 },
	{ call_sendfile, 8 },
	{ call_getsockopt, 50 },
	{ call_setsockopt, 50 },
	{ call_ioctl, 50 },
	{ call_fcntl, 20 },
	{ call_inode, 24 },
	{ call_poll, 40 },
	{ call_select, 5 },
	{ call_epoll, 30 },
	{ call_diag, 3 },
	{ call_proc, 2 },
	{ call_sysctl, 2 },
	{ call_setuid, 16 },
	{ call_uring, 14 },
};

/* What costs as much as thousands of others. */
static void act_rarely(struct actor *a)
{
	if (one_in(a, 4))
		call_unshare(a);
	else
		call_fork(a);
}

/* One call, or what belongs together. */
void act(struct actor *a)
{
	unsigned int i, total = 0, n;

	random_seed(a);
	memory_reset(a);
	if (one_in(a, 8000)) {
		act_rarely(a);
		return;
	}
	for (i = 0; i < ARRAY_SIZE(actions); i++)
		total += actions[i].weight;
	n = below(a, total);
	for (i = 0; n >= actions[i].weight; i++)
		n -= actions[i].weight;
	actions[i].run(a);
}
