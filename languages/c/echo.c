// SPDX-License-Identifier: GPL-2.0
/*
 * Echo in C. "echo -l NAME" sends everybody back what they say; "echo NAME"
 * says its standard input there and prints what comes back.
 */
#include <signal.h>
#include <stdio.h>
#include <nym.h>

/* Until end of file; false if something went wrong. */
static int copy(int from, int to)
{
	ssize_t n, put, done;
	char buf[65536];

	while ((n = read(from, buf, sizeof(buf))) > 0) {
		for (done = 0; done < n; done += put) {
			put = write(to, buf + done, n - done);
			if (put < 0)
				return 0;
		}
	}
	return n == 0;
}

static int serve(const char *name)
{
	int c, s = nym_listen(name, SOCK_STREAM, 0666, 64);

	if (s < 0)
		return 0;
	signal(SIGCHLD, SIG_IGN);
	while ((c = accept(s, NULL, NULL)) >= 0) {
		if (fork() == 0) {
			close(s);	/* the name is the parent's alone */
			_exit(!copy(c, c));
		}
		close(c);
	}
	return 0;
}

/* One process says, the other one listens: a full pipe holds up neither. */
static int call(const char *name)
{
	int s = nym_connect(name, SOCK_STREAM);

	if (s < 0)
		return 0;
	if (fork() == 0) {
		int said = copy(0, s);

		shutdown(s, SHUT_WR);
		_exit(!said);
	}
	return copy(s, 1);
}

int main(int argc, char **argv)
{
	int listens = argc == 3 && !strcmp(argv[1], "-l");
	const char *name = argv[argc - 1];

	if (argc != 2 + listens) {
		fprintf(stderr, "usage: echo [-l] NAME\n");
		return 2;
	}
	if (listens ? serve(name) : call(name))
		return 0;
	perror(name);
	return 1;
}
