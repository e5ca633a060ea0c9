// SPDX-License-Identifier: GPL-2.0
/*
 * Ancillary data: the control messages that come with data.
 */
#include <net/scm.h>

#include "af_nym.h"

/**
 * nym_check_control() - look at the control messages of a send
 * @sock: the sending socket
 * @msg: the message
 *
 * None is delivered yet, but the bad ones are found.
 *
 * Context: sleeps
 * Return: 0, -EINVAL, -EPERM for forged credentials, -ESRCH
 */
int nym_check_control(struct socket *sock, struct msghdr *msg)
{
	struct scm_cookie scm = {};
	int err;

	if (likely(!msg->msg_controllen))
		return 0;
	err = __scm_send(sock, msg, &scm);
	scm_destroy(&scm);
	return err;
}
