// SPDX-License-Identifier: GPL-2.0
/*
 * nym-activate: have a name, then become a program that serves it. The program
 * finds its socket as systemd hands sockets over: see sd_listen_fds(3).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/nym.h>

/* The exit status, as of env(1). */
enum { TROUBLE = 125, NOT_RUN, NOT_FOUND };

enum {
	HANDED_FD = 3,		/* where the program looks for its socket */
	LINGER_MAX = 3600,	/* seconds */
};

static struct {
	int type;
	int mode;
	uid_t uid;
	gid_t gid;
	int backlog;
	int linger_ms;
	int share;
	bool on_call;
	const char *name;
	char **program;
} opt = { .type = SOCK_STREAM, .mode = -1, .uid = -1, .gid = -1, .backlog = 64 };

static const char help[] =
"usage: nym-activate [OPTION]... NAME [--] PROGRAM [ARGUMENT]...\n"
"\n"
"Has NAME, then becomes PROGRAM, which gets the socket as descriptor 3, and\n"
"LISTEN_FDS=1, LISTEN_PID and LISTEN_FDNAMES in its environment.\n"
"\n"
"  -q, --seqpacket       the socket takes connections that carry records\n"
"  -u, --dgram           it takes datagrams, and does not listen\n"
"  -m, --mode MODE       who may call, in octal: 0666 is everybody; default: the umask\n"
"  -o, --owner USER      whose NAME is, if not ours; needs CAP_CHOWN\n"
"  -g, --group GROUP     whose group it is, if not ours\n"
"  -b, --backlog N       how many calls may wait; default: 64\n"
"  -s, --share           share NAME with other sockets of its owner that do so\n"
"      --sticky          likewise; all datagrams of a sender go to one of them\n"
"  -L, --linger SECONDS  keep NAME so long for the next one when PROGRAM has ended\n"
"  -c, --on-call         become PROGRAM when the first call or datagram is there\n"
"  -h, --help\n"
"\n"
"Exit status: PROGRAM's; 125 nym-activate failed; 126 PROGRAM cannot be run; 127 it\n"
"is not there.\n";

static __attribute__((format(printf, 1, 2), noreturn)) void bad_usage(const char *format, ...)
{
	va_list args;

	fputs("nym-activate: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs("\nTry 'nym-activate --help'.\n", stderr);
	exit(TROUBLE);
}

static __attribute__((noreturn)) void die(const char *what)
{
	fprintf(stderr, "nym-activate: %s: %s\n", what, strerror(errno));
	exit(TROUBLE);
}

static void set_option(int sock, int option, int value)
{
	if (setsockopt(sock, SOL_NYM, option, &value, sizeof(value)))
		die("setsockopt");
}

static int open_socket(void)
{
	int sock = socket(AF_NYM, opt.type | SOCK_CLOEXEC, 0);

	if (sock < 0)
		die("socket");
	if (opt.share)
		set_option(sock, NYM_SHARE, opt.share);
	if (opt.linger_ms)
		set_option(sock, NYM_LINGER, opt.linger_ms);
	return sock;
}

/*
 * Owner and mode are there before the name is, so that at no time somebody else
 * may call: bind() takes the umask off 0777.
 */
static void have_name(int sock)
{
	struct sockaddr_nym addr = { .snym_family = AF_NYM };
	mode_t mask = umask(0777);

	if ((opt.uid != (uid_t)-1 || opt.gid != (gid_t)-1) && fchown(sock, opt.uid, opt.gid))
		die("cannot give the name to another owner");
	umask(opt.mode < 0 ? mask : ~opt.mode & 0777);
	memcpy(addr.snym_name, opt.name, strlen(opt.name));
	if (bind(sock, (struct sockaddr *)&addr, sizeof(addr)))
		die(opt.name);
	umask(mask);
	if (opt.type != SOCK_DGRAM && listen(sock, opt.backlog))
		die(opt.name);
}

static void wait_for_call(int sock)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };

	while (poll(&p, 1, -1) < 0)
		if (errno != EINTR)
			die("poll");
}

static void set_number(const char *variable, long value)
{
	char text[24];

	snprintf(text, sizeof(text), "%ld", value);
	if (setenv(variable, text, 1))
		die("environment");
}

/* A colon would stand between the names of two descriptors. */
static void set_names(void)
{
	char text[NYM_NAME_MAX + 1], *c;

	strcpy(text, opt.name);
	for (c = text; *c; c++)
		if (*c == ':')
			*c = '_';
	if (setenv("LISTEN_FDNAMES", text, 1))
		die("environment");
}

static void hand_over(int sock)
{
	/* What dup2() makes stays open; onto itself it would do nothing. */
	if (sock == HANDED_FD ? fcntl(sock, F_SETFD, 0) : dup2(sock, HANDED_FD) < 0)
		die("descriptor 3");
	set_number("LISTEN_FDS", 1);
	set_number("LISTEN_PID", getpid());
	set_names();
}

static long number(const char *arg, int base, long max, const char *what)
{
	char *end;
	long value = strtol(arg, &end, base);

	if (end == arg || *end || value < 0 || value > max)
		bad_usage("'%s' is not a %s", arg, what);
	return value;
}

static int linger(const char *arg)
{
	char *end;
	double value = strtod(arg, &end);

	if (end == arg || *end || !(value >= 0.001 && value <= LINGER_MAX))
		bad_usage("'%s' is not a number of seconds up to %d", arg, LINGER_MAX);
	return value * 1000;
}

/* A name, or the number itself. */
static uid_t user(const char *arg)
{
	const struct passwd *entry = getpwnam(arg);

	return entry ? entry->pw_uid : number(arg, 10, UINT_MAX - 1, "user");
}

static gid_t group(const char *arg)
{
	const struct group *entry = getgrnam(arg);

	return entry ? entry->gr_gid : number(arg, 10, UINT_MAX - 1, "group");
}

static void set_type(int type)
{
	if (opt.type != SOCK_STREAM && opt.type != type)
		bad_usage("-q and -u exclude each other");
	opt.type = type;
}

static void print_help(void)
{
	fputs(help, stdout);
	if (fflush(stdout) || ferror(stdout))
		die("standard output");
	exit(0);
}

static void set_opt(int c)
{
	switch (c) {
	case 'h':
		print_help();
		break;
	case 'q':
		set_type(SOCK_SEQPACKET);
		break;
	case 'u':
		set_type(SOCK_DGRAM);
		break;
	case 'm':
		opt.mode = number(optarg, 8, 0777, "mode");
		break;
	case 'o':
		opt.uid = user(optarg);
		break;
	case 'g':
		opt.gid = group(optarg);
		break;
	case 'b':
		opt.backlog = number(optarg, 10, INT_MAX, "number of calls");
		break;
	case 's':
		opt.share = NYM_SHARE_ON;
		break;
	case 'S':
		opt.share = NYM_SHARE_STICKY;
		break;
	case 'L':
		opt.linger_ms = linger(optarg);
		break;
	case 'c':
		opt.on_call = true;
		break;
	default:	/* getopt has said what is wrong */
		fputs("Try 'nym-activate --help'.\n", stderr);
		exit(TROUBLE);
	}
}

static void check_usage(void)
{
	size_t len = opt.name ? strlen(opt.name) : 0;

	if (!opt.name)
		bad_usage("no name is given");
	if (!len || len > NYM_NAME_MAX)
		bad_usage("a name has 1 to %d bytes", NYM_NAME_MAX);
	if (!*opt.program)
		bad_usage("no program is given");
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seqpacket", no_argument, NULL, 'q' },
		{ "dgram", no_argument, NULL, 'u' },
		{ "mode", required_argument, NULL, 'm' },
		{ "owner", required_argument, NULL, 'o' },
		{ "group", required_argument, NULL, 'g' },
		{ "backlog", required_argument, NULL, 'b' },
		{ "share", no_argument, NULL, 's' },
		{ "sticky", no_argument, NULL, 'S' },
		{ "linger", required_argument, NULL, 'L' },
		{ "on-call", no_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	int c;

	/* Options behind the name are the program's. */
	while ((c = getopt_long(argc, argv, "+qum:o:g:b:sL:ch", options, NULL)) != -1)
		set_opt(c);
	argv += optind;
	if (*argv)
		opt.name = *argv++;
	if (*argv && !strcmp(*argv, "--"))
		argv++;
	opt.program = argv;
	check_usage();
}

int main(int argc, char **argv)
{
	int fd, sock, error;

	/* The socket may not become standard input, output or error. */
	do {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	close(fd);
	parse(argc, argv);
	sock = open_socket();
	have_name(sock);
	if (opt.on_call)
		wait_for_call(sock);
	hand_over(sock);
	execvp(opt.program[0], opt.program);
	error = errno;
	fprintf(stderr, "nym-activate: %s: %s\n", opt.program[0], strerror(error));
	return error == ENOENT ? NOT_FOUND : NOT_RUN;
}
