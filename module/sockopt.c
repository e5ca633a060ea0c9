// SPDX-License-Identifier: GPL-2.0
/*
 * The options of level SOL_NYM.
 */
#include <linux/uaccess.h>

#include "af_nym.h"

/**
 * nym_setsockopt() - proto_ops.setsockopt
 * @sock: the socket
 * @level: SOL_NYM
 * @optname: NYM_*
 * @optval: the value
 * @optlen: its length
 *
 * Context: sleeps
 * Return: 0; -EOPNOTSUPP for another level; -ENOPROTOOPT for an unknown option;
 * -EINVAL for a value that is too short; -EFAULT
 */
int nym_setsockopt(struct socket *sock, int level, int optname,
		   sockptr_t optval, unsigned int optlen)
{
	struct sock *sk = sock->sk;
	int value;

	if (level != SOL_NYM)
		return -EOPNOTSUPP;
	if (optname != NYM_PASSRIGHTS && optname != NYM_PASSCRED)
		return -ENOPROTOOPT;
	if (optlen < sizeof(value))
		return -EINVAL;
	if (copy_from_sockptr(&value, optval, sizeof(value)))
		return -EFAULT;

	lock_sock(sk);
	if (optname == NYM_PASSRIGHTS)
		WRITE_ONCE(nym_sk(sk)->passrights, value != 0);
	else
		nym_set_passcred(sk, value != 0);
	release_sock(sk);
	return 0;
}

static int nym_getsockopt_value(struct sock *sk, int optname)
{
	switch (optname) {
	case NYM_PASSRIGHTS:
		return READ_ONCE(nym_sk(sk)->passrights);
	case NYM_PASSCRED:
		return nym_passcred(sk);
	default:
		return -ENOPROTOOPT;
	}
}

/**
 * nym_getsockopt() - proto_ops.getsockopt
 * @sock: the socket
 * @level: SOL_NYM
 * @optname: NYM_*
 * @optval: where to put the value
 * @optlen: how much room there is; is set to what was written
 *
 * Context: sleeps
 * Return: 0; -EOPNOTSUPP for another level; -ENOPROTOOPT for an unknown option;
 * -EINVAL for a negative length; -EFAULT
 */
int nym_getsockopt(struct socket *sock, int level, int optname,
		   char __user *optval, int __user *optlen)
{
	int value, len;

	if (level != SOL_NYM)
		return -EOPNOTSUPP;
	value = nym_getsockopt_value(sock->sk, optname);
	if (value < 0)
		return value;
	if (get_user(len, optlen))
		return -EFAULT;
	if (len < 0)
		return -EINVAL;
	len = min_t(int, len, sizeof(value));
	if (put_user(len, optlen) || copy_to_user(optval, &value, len))
		return -EFAULT;
	return 0;
}
