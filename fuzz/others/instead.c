// SPDX-License-Identifier: GPL-2.0
/*
 * To be preloaded: a program that wants AF_UNIX gets nym, with the end of each path
 * as the name. For programs that cannot be told which family to use.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <linux/nym.h>

#define NEXT(_name)	((__typeof__(_name) *)dlsym(RTLD_NEXT, #_name))

static void take_files(int fd)
{
	int on = 1;

	setsockopt(fd, SOL_NYM, NYM_PASSRIGHTS, &on, sizeof(on));
}

int socket(int family, int type, int protocol)
{
	int fd;

	if (family != AF_UNIX)
		return NEXT(socket)(family, type, protocol);
	/* stress-ng asks for TCP, whatever the family. */
	fd = NEXT(socket)(AF_NYM, type, 0);
	if (fd >= 0)
		take_files(fd);
	return fd;
}

int socketpair(int family, int type, int protocol, int fd[2])
{
	int err = NEXT(socketpair)(family == AF_UNIX ? AF_NYM : family, type, protocol, fd);

	if (!err && family == AF_UNIX) {
		take_files(fd[0]);
		take_files(fd[1]);
	}
	return err;
}

/* The address in place of @addr; that itself if it is of another family. */
static const struct sockaddr *instead(const struct sockaddr *addr, socklen_t *len,
				      struct sockaddr_nym *sa)
{
	const char *path = ((const struct sockaddr_un *)addr)->sun_path;
	size_t n, head = offsetof(struct sockaddr_un, sun_path);

	if (!addr || *len < head || addr->sa_family != AF_UNIX)
		return addr;
	memset(sa, 0, sizeof(*sa));
	sa->snym_family = AF_NYM;
	/* An abstract name begins with a NUL. */
	if (*len > head && !*path) {
		path++;
		head++;
	}
	n = strnlen(path, *len - head);
	if (n > NYM_NAME_MAX) {
		path += n - NYM_NAME_MAX;
		n = NYM_NAME_MAX;
	}
	memcpy(sa->snym_name, path, n);
	*len = offsetof(struct sockaddr_nym, snym_name) + n;
	return (const struct sockaddr *)sa;
}

int bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	struct sockaddr_nym sa;
	const struct sockaddr *other = instead(addr, &len, &sa);

	return NEXT(bind)(fd, other, len);
}

int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	struct sockaddr_nym sa;
	const struct sockaddr *other = instead(addr, &len, &sa);

	return NEXT(connect)(fd, other, len);
}

ssize_t sendto(int fd, const void *buf, size_t n, int flags, const struct sockaddr *addr,
	       socklen_t len)
{
	struct sockaddr_nym sa;
	const struct sockaddr *other = instead(addr, &len, &sa);

	return NEXT(sendto)(fd, buf, n, flags, other, len);
}
