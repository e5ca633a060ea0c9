// SPDX-License-Identifier: GPL-2.0
/*
 * The options of level SOL_NYM.
 */
#include <linux/uaccess.h>

#include "dgram.h"

static int nym_setsockopt_value(struct sock *sk, int optname, int value)
{
	struct nym_sock *nsk = nym_sk(sk);

	switch (optname) {
	case NYM_WAIT:
		WRITE_ONCE(nsk->waits, value != 0);
		return 0;
	case NYM_SHARE:
		if (value < 0 || value > NYM_SHARE_STICKY)
			return -EINVAL;
		WRITE_ONCE(nsk->share, value);
		return 0;
	case NYM_LINGER:
		if (value < 0 || value > NYM_LINGER_MAX)
			return -EINVAL;
		WRITE_ONCE(nsk->linger, value);
		return 0;
	case NYM_PASSRIGHTS:
		if (nsk->passrights == !!value)
			return 0;
		WRITE_ONCE(nsk->passrights, !!value);
		if (sk->sk_type == SOCK_DGRAM)
			nym_dgram_changed(sk);
		return 0;
	default:
		nym_set_passcred(sk, value != 0);
		return 0;
	}
}

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
 * -EINVAL for a value that is too short or out of range; -EFAULT
 */
int nym_setsockopt(struct socket *sock, int level, int optname,
		   sockptr_t optval, unsigned int optlen)
{
	struct sock *sk = sock->sk;
	int value, err;

	if (level != SOL_NYM)
		return -EOPNOTSUPP;
	if (optname < NYM_WAIT || optname > NYM_PASSCRED)
		return -ENOPROTOOPT;
	if (optlen < sizeof(value))
		return -EINVAL;
	if (copy_from_sockptr(&value, optval, sizeof(value)))
		return -EFAULT;

	lock_sock(sk);
	err = nym_setsockopt_value(sk, optname, value);
	release_sock(sk);
	return err;
}

static int nym_getsockopt_value(struct sock *sk, int optname)
{
	switch (optname) {
	case NYM_WAIT:
		return READ_ONCE(nym_sk(sk)->waits);
	case NYM_SHARE:
		return READ_ONCE(nym_sk(sk)->share);
	case NYM_LINGER:
		return READ_ONCE(nym_sk(sk)->linger);
	case NYM_PASSRIGHTS:
		return READ_ONCE(nym_sk(sk)->passrights);
	case NYM_PASSCRED:
		return nym_passcred(sk);
	default:
		return -ENOPROTOOPT;
	}
}

/* As much of a value as there is room for. */
static int nym_getsockopt_copy(const void *from, int size, char __user *optval,
			       int __user *optlen)
{
	int len;

	if (get_user(len, optlen))
		return -EFAULT;
	if (len < 0)
		return -EINVAL;
	len = min(len, size);
	if (put_user(len, optlen) || copy_to_user(optval, from, len))
		return -EFAULT;
	return 0;
}

static int nym_getsockopt_info(struct sock *sk, char __user *optval,
			       int __user *optlen)
{
	struct nym_info info;

	rcu_read_lock();
	nym_info_fill(sk, &info);
	rcu_read_unlock();
	return nym_getsockopt_copy(&info, sizeof(info), optval, optlen);
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
	int value;

	if (level != SOL_NYM)
		return -EOPNOTSUPP;
	if (optname == NYM_INFO)
		return nym_getsockopt_info(sock->sk, optval, optlen);
	value = nym_getsockopt_value(sock->sk, optname);
	if (value < 0)
		return value;
	return nym_getsockopt_copy(&value, sizeof(value), optval, optlen);
}
