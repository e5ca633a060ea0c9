// SPDX-License-Identifier: GPL-2.0
/*
 * vsock, which is made for virtual machines, over its loopback.
 */
#include "nymbench.h"

#include <string.h>
#include <linux/vm_sockets.h>

#define PORT_FIRST	10000

static void vsock_address(struct address *a, const char *kind, long i)
{
	struct sockaddr_vm *vm = (struct sockaddr_vm *)&a->ss;

	(void)kind;
	memset(a, 0, sizeof(*a));
	vm->svm_family = AF_VSOCK;
	vm->svm_cid = VMADDR_CID_LOCAL;
	vm->svm_port = PORT_FIRST + i;
	a->len = sizeof(*vm);
}

static int vsock_room(int fd, size_t size)
{
	unsigned long long bytes = 2 * size + 65536;

	return setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_MAX_SIZE, &bytes, sizeof(bytes)) ||
	       setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, &bytes, sizeof(bytes));
}

const struct transport vsock_transports[] = {
	{
		.name = "vsock",
		.rival = "unix-stream",
		.bytes = true,
		.open = open_connected,
		.send = socket_send,
		.recv = socket_recv,
		.domain = AF_VSOCK,
		.type = SOCK_STREAM,
		.room = vsock_room,
		.address = vsock_address,
	},
	{ }
};
