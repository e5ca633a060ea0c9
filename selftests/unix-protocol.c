// SPDX-License-Identifier: GPL-2.0
/*
 * To be preloaded: stress-ng asks for AF_UNIX sockets with the protocol of TCP, which
 * the kernel refuses, with or without nymify. Here they have no protocol.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/socket.h>

int socket(int family, int type, int protocol)
{
	int (*next)(int family, int type, int protocol) = dlsym(RTLD_NEXT, "socket");

	return next(family, type, family == AF_UNIX ? 0 : protocol);
}
