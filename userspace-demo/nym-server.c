// SPDX-License-Identifier: GPL-2.0
/* The smallest nym server: it greets everybody who calls the name "hello". */
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/nym.h>

int main(void)
{
	struct sockaddr_nym a = { AF_NYM, "hello" };
	int c, s = socket(AF_NYM, SOCK_STREAM, 0);

	if (s < 0 || bind(s, (struct sockaddr *)&a, sizeof(a)) || listen(s, 16))
		return perror("hello"), 1;
	fchmod(s, 0666);	/* anybody may call; until here only our own user */
	while ((c = accept(s, NULL, NULL)) >= 0) {
		dprintf(c, "Hello from process %d.\n", getpid());
		close(c);
	}
	return perror("accept"), 1;
}
