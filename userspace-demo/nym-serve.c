// SPDX-License-Identifier: GPL-2.0
/* Serve one name: echo, receive a file or send a file, one process a client. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/nym.h>

static char buf[1 << 18];

static void die(const char *what)
{
	fprintf(stderr, "nym-serve: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Copy until end of file; returns the number of bytes. */
static long long copy(int from, int to)
{
	long long total = 0;
	ssize_t n, done, put;

	while ((n = read(from, buf, sizeof(buf))) > 0) {
		for (done = 0; done < n; done += put) {
			put = write(to, buf + done, n - done);
			if (put < 0)
				die("write");
		}
		total += n;
	}
	if (n < 0)
		die("read");
	return total;
}

/* Receive a file, then tell the client how much has arrived. */
static void sink(int client, const char *path)
{
	int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (file < 0)
		die(path);
	dprintf(client, "%lld bytes received\n", copy(client, file));
}

static void source(int client, const char *path)
{
	int file = open(path, O_RDONLY);
	ssize_t n;

	if (file < 0)
		die(path);
	while ((n = sendfile(client, file, NULL, 1 << 20)) > 0)
		;
	if (n < 0)
		die("sendfile");
}

static int listen_on(const char *name, const char *mode)
{
	struct sockaddr_nym addr = { .snym_family = AF_NYM };
	int s = socket(AF_NYM, SOCK_STREAM, 0);

	if (s < 0)
		die("socket");
	if (strlen(name) > NYM_NAME_MAX) {
		errno = ENAMETOOLONG;
		die(name);
	}
	memcpy(addr.snym_name, name, strlen(name));
	if (bind(s, (struct sockaddr *)&addr, sizeof(addr)))
		die(name);
	if (mode && fchmod(s, strtoul(mode, NULL, 8)))
		die("fchmod");
	if (listen(s, 64))
		die("listen");
	return s;
}

int main(int argc, char **argv)
{
	const char *mode = NULL;
	int s, client;
	char verb;

	if (argc > 3 && !strcmp(argv[1], "-m")) {
		mode = argv[2];
		argv += 2;
		argc -= 2;
	}
	verb = argc == 3 && !strcmp(argv[2], "echo") ? 'e' :
	       argc == 4 && !strcmp(argv[2], "sink") ? 'k' :
	       argc == 4 && !strcmp(argv[2], "source") ? 's' : 0;
	if (!verb) {
		fprintf(stderr, "usage: nym-serve [-m MODE] NAME echo | sink FILE | source FILE\n");
		return 2;
	}

	s = listen_on(argv[1], mode);
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		client = accept(s, NULL, NULL);
		if (client < 0)
			die("accept");
		if (fork() == 0) {
			close(s);	/* the name is the parent's alone */
			if (verb == 'e')
				copy(client, client);
			else if (verb == 'k')
				sink(client, argv[3]);
			else
				source(client, argv[3]);
			return 0;
		}
		close(client);
	}
}
