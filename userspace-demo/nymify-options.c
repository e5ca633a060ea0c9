// SPDX-License-Identifier: GPL-2.0
/*
 * The calls of nymify's library about sockets that need no address: options, where
 * the two families differ, and pairs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>

#include "nymify.h"

/* What Linux refuses to other families from 6.16 on; then nym has its own. */
static int own_option(int fd, int level, int option)
{
	if (errno != EOPNOTSUPP || level != SOL_SOCKET || nymify_domain(fd) != AF_NYM)
		return 0;
	return option == SO_PASSCRED ? NYM_PASSCRED : option == SO_PASSRIGHTS ? NYM_PASSRIGHTS : 0;
}

NYMIFY_EXPORT int setsockopt(int fd, int level, int option, const void *value, socklen_t len)
{
	int saved = errno, own, err = NYMIFY_NEXT(setsockopt)(fd, level, option, value, len);

	if (!err)
		return 0;
	own = own_option(fd, level, option);
	if (!own)
		return err;
	errno = saved;
	return NYMIFY_NEXT(setsockopt)(fd, SOL_NYM, own, value, len);
}

NYMIFY_EXPORT int getsockopt(int fd, int level, int option, void *value, socklen_t *len)
{
	static const int domain = AF_UNIX;
	int saved = errno, own, err = NYMIFY_NEXT(getsockopt)(fd, level, option, value, len);

	if (err) {
		own = own_option(fd, level, option);
		if (!own)
			return err;
		errno = saved;
		return NYMIFY_NEXT(getsockopt)(fd, SOL_NYM, own, value, len);
	}
	if (level == SOL_SOCKET && option == SO_DOMAIN && nymify_domain(fd) == AF_NYM)
		memcpy(value, &domain, *len);
	return 0;
}

NYMIFY_EXPORT int socketpair(int domain, int type, int protocol, int fd[2])
{
	int i, err, on = 1;

	if (domain != AF_UNIX || !nymify_pairs())
		return NYMIFY_NEXT(socketpair)(domain, type, protocol, fd);
	/* The protocol may be 1, which is PF_UNIX, and must not be AF_NYM. */
	if (protocol == AF_UNIX)
		protocol = 0;
	err = NYMIFY_NEXT(socketpair)(AF_NYM, type, protocol, fd);
	for (i = 0; !err && i < 2; i++)
		NYMIFY_NEXT(setsockopt)(fd[i], SOL_NYM, NYM_PASSRIGHTS, &on, sizeof(on));
	return err;
}
