/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Help for C and C++ programs that use nym: addresses from strings and back,
 * and one call to connect, to bind or to listen. All of it is in this header.
 *
 * What fails returns -1 and leaves the reason in errno, as the system calls do;
 * af_nym(7) lists the reasons. Nothing is left open then. All descriptors are
 * closed by exec().
 */
#ifndef NYM_H
#define NYM_H

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/nym.h>

/* For nym_bind() and nym_listen(): the mode is 0777 less the umask. */
#define NYM_UMASK	(-1)

/**
 * nym_address() - fill an address from a string
 * @addr: the address
 * @name: the name; NULL makes an address with which bind() lets the kernel
 *	choose one
 *
 * Whether the kernel takes the bytes of the name it says itself (EINVAL).
 *
 * Return: the length of the address; or -1 and EINVAL if the name is empty or
 * longer than NYM_NAME_MAX
 */
static inline int nym_address(struct sockaddr_nym *addr, const char *name)
{
	size_t len = name ? strlen(name) : 0;

	memset(addr, 0, sizeof(*addr));
	addr->snym_family = AF_NYM;
	if (!name)
		return (int)offsetof(struct sockaddr_nym, snym_name);
	if (!len || len > NYM_NAME_MAX) {
		errno = EINVAL;
		return -1;
	}
	memcpy(addr->snym_name, name, len);
	return (int)(offsetof(struct sockaddr_nym, snym_name) + len + 1);
}

/**
 * nym_text() - the name in an address
 * @addr: an address that accept(), recvfrom(), getsockname() or getpeername()
 *	has filled
 * @len: its length, as they returned it
 * @text: room for NYM_NAME_MAX + 1 bytes
 *
 * Return: @text, which is "" if the socket has no name
 */
static inline char *nym_text(const struct sockaddr_nym *addr, socklen_t len, char *text)
{
	size_t head = offsetof(struct sockaddr_nym, snym_name), room = 0;

	if (len > head)
		room = len - head < NYM_NAME_MAX ? len - head : NYM_NAME_MAX;
	memcpy(text, addr->snym_name, room);
	text[room] = '\0';
	return text;
}

/**
 * nym_own_name() - the name of a socket
 * @fd: the socket
 * @text: room for NYM_NAME_MAX + 1 bytes
 *
 * Return: @text, or NULL
 */
static inline char *nym_own_name(int fd, char *text)
{
	struct sockaddr_nym addr;
	socklen_t len = sizeof(addr);

	if (getsockname(fd, (struct sockaddr *)&addr, &len))
		return NULL;
	return nym_text(&addr, len, text);
}

/**
 * nym_peer_name() - the name of the other end of a connection
 * @fd: the socket
 * @text: room for NYM_NAME_MAX + 1 bytes
 *
 * Return: @text, or NULL
 */
static inline char *nym_peer_name(int fd, char *text)
{
	struct sockaddr_nym addr;
	socklen_t len = sizeof(addr);

	if (getpeername(fd, (struct sockaddr *)&addr, &len))
		return NULL;
	return nym_text(&addr, len, text);
}

/* Of no use to programs: close what has failed, and keep the reason. */
static inline int nym_give_up(int fd)
{
	int err = errno;

	close(fd);
	errno = err;
	return -1;
}

/**
 * nym_connect() - make a socket and connect it
 * @name: whom to call
 * @type: SOCK_STREAM, SOCK_SEQPACKET or SOCK_DGRAM; SOCK_NONBLOCK may be added
 *
 * A signal handler does not end the call. With SOCK_NONBLOCK the caller may be
 * parked yet, which is no failure: poll() for POLLOUT, which comes at once if
 * it is not, then ask SO_ERROR.
 *
 * Return: a descriptor, or -1
 */
static inline int nym_connect(const char *name, int type)
{
	struct sockaddr_nym addr;
	int fd, ret, len = nym_address(&addr, name);

	if (len < 0)
		return -1;
	fd = socket(AF_NYM, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	do {
		ret = connect(fd, (struct sockaddr *)&addr, (socklen_t)len);
	} while (ret && errno == EINTR);
	return ret && errno != EINPROGRESS ? nym_give_up(fd) : fd;
}

/**
 * nym_bind() - make a socket that has a name
 * @name: the name; NULL lets the kernel choose one, see nym_own_name()
 * @type: as for nym_connect()
 * @mode: who may call or send, as for chmod(): 0666 is everybody, 0600 our own
 *	user; or NYM_UMASK
 *
 * Return: a descriptor, or -1
 */
static inline int nym_bind(const char *name, int type, int mode)
{
	struct sockaddr_nym addr;
	int fd, len = nym_address(&addr, name);

	if (len < 0)
		return -1;
	fd = socket(AF_NYM, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (bind(fd, (struct sockaddr *)&addr, (socklen_t)len) ||
	    (mode != NYM_UMASK && fchmod(fd, (mode_t)mode)))
		return nym_give_up(fd);
	return fd;
}

/**
 * nym_listen() - make a socket that listens
 * @name: as for nym_bind()
 * @type: SOCK_STREAM or SOCK_SEQPACKET; SOCK_NONBLOCK may be added
 * @mode: as for nym_bind(); nobody is let in before it counts
 * @backlog: how many callers may wait for accept(), less one
 *
 * Return: a descriptor, or -1
 */
static inline int nym_listen(const char *name, int type, int mode, int backlog)
{
	int fd = nym_bind(name, type, mode);

	if (fd < 0)
		return -1;
	return listen(fd, backlog) ? nym_give_up(fd) : fd;
}

#endif /* NYM_H */
