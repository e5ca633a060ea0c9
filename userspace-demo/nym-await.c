// SPDX-License-Identifier: GPL-2.0
/* Call "steady", which need not be there yet, and print the answer. */
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include <linux/nym.h>

int main(void)
{
	struct sockaddr_nym a = { AF_NYM, "steady" };
	int on = 1, s = socket(AF_NYM, SOCK_STREAM, 0);
	struct timeval minute = { .tv_sec = 60 };
	char buf[4096];
	ssize_t n;

	if (s < 0 ||
	    setsockopt(s, SOL_NYM, NYM_WAIT, &on, sizeof(on)) ||
	    setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &minute, sizeof(minute)) ||
	    connect(s, (struct sockaddr *)&a, sizeof(a)))
		return perror("steady"), 1;
	while ((n = read(s, buf, sizeof(buf))) > 0)
		fwrite(buf, 1, n, stdout);
	return n < 0;
}
