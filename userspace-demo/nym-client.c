// SPDX-License-Identifier: GPL-2.0
/* The smallest nym client: it calls the name "hello" and prints the answer. */
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/nym.h>

int main(void)
{
	struct sockaddr_nym a = { AF_NYM, "hello" };
	int s = socket(AF_NYM, SOCK_STREAM, 0);
	char buf[4096];
	ssize_t n;

	if (s < 0 || connect(s, (struct sockaddr *)&a, sizeof(a)))
		return perror("hello"), 1;
	while ((n = read(s, buf, sizeof(buf))) > 0)
		fwrite(buf, 1, n, stdout);
	return n < 0;
}
