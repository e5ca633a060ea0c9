// SPDX-License-Identifier: GPL-2.0
/*
 * nymcat: netcat for names. Copies standard input to a socket of the family
 * AF_NYM and what comes from there to standard output, as a client or as a
 * listener, or runs a command for each client.
 *
 * Never blocks in one direction while the other could go on: a peer that writes
 * before it reads would wait for us for ever.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>
#include <linux/nym.h>

/* The exit status. */
enum { FINE, NOBODY, USAGE, TROUBLE };

enum {
	BACKLOG = 64,
	OUT_MAX = 1 << 16,	/* the longest record or datagram that is sent */
	IN_MAX = 1 << 18,	/* more than the longest with the usual SO_SNDBUF */
};

static struct {
	int type;
	bool listen;
	bool keep;
	bool await;
	bool recv_fd;
	int send_fd;
	int mode;
	double wait;
	const char *name;
	char **command;
} opt = { .type = SOCK_STREAM, .send_fd = -1, .mode = -1 };

/* What is on its way in one direction. */
struct flow {
	char *buf;
	size_t at;
	size_t end;
	bool done;	/* nothing more will come into buf */
};

struct relay {
	int sock;
	struct flow in;		/* from the socket to standard output */
	struct flow out;	/* from standard input to the socket */
	bool gone;		/* the peer neither sends nor hears any more */
	int status;
};

static const char help[] =
"usage: nymcat [-q | -u] [-w SECONDS] [-W] [--send-fd FD] NAME\n"
"       nymcat -l [-k] [-q | -u] [-m MODE] [-w SECONDS] [--recv-fd] NAME\n"
"       nymcat -l [-k] [-q] [-m MODE] [-w SECONDS] NAME [--] COMMAND [ARGUMENT]...\n"
"\n"
"Calls NAME, sends standard input there, and prints what comes back.\n"
"\n"
"  -l, --listen      have NAME and serve the first client, or print datagrams\n"
"  -k, --keep        go on with the next client; each has a COMMAND of its own\n"
"  -q, --seqpacket   records: what each read() gives, up to 64 KiB, is one\n"
"  -u, --dgram       datagrams, likewise\n"
"  -m, --mode MODE   who may call, in octal: 0666 is everybody; default: the umask\n"
"  -w, --wait SECS   give up when the call is not taken, or nobody calls, in time;\n"
"                    with -u: end when nothing has come for so long\n"
"  -W, --await       if nobody listens, wait until somebody does\n"
"      --send-fd FD  first of all send the descriptor FD; 0 is all that is sent\n"
"      --recv-fd     take descriptors, and print what can be read from them\n"
"  -h, --help\n"
"\n"
"Exit status: 0 fine; 1 nobody there: refused, or out of time; 2 wrong usage;\n"
"3 anything else. Without -k, it is the COMMAND's.\n";

static __attribute__((format(printf, 1, 2), noreturn)) void bad_usage(const char *format, ...)
{
	va_list args;

	fputs("nymcat: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs("\nTry 'nymcat --help'.\n", stderr);
	exit(USAGE);
}

static int fail(const char *what)
{
	fprintf(stderr, "nymcat: %s: %s\n", what, strerror(errno));
	return TROUBLE;
}

/* A call or a name that did not succeed. */
static int fail_name(void)
{
	/* What a socket says when SO_SNDTIMEO or SO_RCVTIMEO is over. */
	if (errno == EAGAIN && opt.wait)
		errno = ETIMEDOUT;
	fail(opt.name);
	switch (errno) {
	case ECONNREFUSED:
	case ETIMEDOUT:
	case EAGAIN:
		return NOBODY;
	case EINVAL:	/* no such name can be */
		return USAGE;
	default:
		return TROUBLE;
	}
}

/* For a call that may be tried again: after a signal, or when poll() says so. */
static bool again(void)
{
	return errno == EAGAIN || errno == EINTR;
}

static bool is_empty(const struct flow *flow)
{
	return flow->at == flow->end;
}

static bool is_over(const struct flow *flow)
{
	return flow->done && is_empty(flow);
}

static void stop(struct flow *flow)
{
	flow->done = true;
	flow->at = flow->end;
}

/* Only the first error counts; the next ones follow from it. */
static void relay_fail(struct relay *r, const char *what)
{
	if (r->status)
		return;
	r->status = what == opt.name ? fail_name() : fail(what);
}

/* As much as standard output takes without blocking. */
static ssize_t put_some(const char *buf, size_t len)
{
	ssize_t n = send(STDOUT_FILENO, buf, len, MSG_DONTWAIT);
	struct stat st;

	if (n >= 0 || errno != ENOTSOCK)
		return n;
	/* A pipe that poll() calls writable takes PIPE_BUF bytes. */
	if (len > PIPE_BUF && !(fstat(STDOUT_FILENO, &st) == 0 && S_ISREG(st.st_mode)))
		len = PIPE_BUF;
	return write(STDOUT_FILENO, buf, len);
}

static void wait_for(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	poll(&p, 1, -1);
}

static int put_all(const char *buf, size_t len)
{
	while (len) {
		ssize_t n = put_some(buf, len);

		if (n < 0) {
			if (!again())
				return fail("standard output");
			wait_for(STDOUT_FILENO, POLLOUT);
			continue;
		}
		buf += n;
		len -= n;
	}
	return FINE;
}

/* All that can be read from a descriptor that somebody has sent us. */
static int print_descriptor(int fd)
{
	static char buf[OUT_MAX];
	ssize_t n;
	int status;

	while ((n = read(fd, buf, sizeof(buf)))) {
		if (n < 0) {
			if (!again())
				return fail("the descriptor received");
			wait_for(fd, POLLIN);
			continue;
		}
		status = put_all(buf, n);
		if (status)
			return status;
	}
	return FINE;
}

/*
 * A descriptor that came with what is in the buffer; it comes behind all bytes
 * that were sent before it.
 */
static void relay_take_descriptor(struct relay *r, const struct cmsghdr *head)
{
	struct flow *in = &r->in;
	int fd, status;

	memcpy(&fd, CMSG_DATA(head), sizeof(fd));
	/* A stream needs a byte to send one with: --send-fd takes this one. */
	if (opt.type == SOCK_STREAM && in->end && !in->buf[in->end - 1])
		in->end--;
	status = put_all(in->buf, in->end);
	if (!status)
		status = print_descriptor(fd);
	if (!r->status)
		r->status = status;
	in->at = 0;
	in->end = 0;
	close(fd);
}

/* Is there nothing left to read, after 0 bytes were read? */
static bool relay_ended(const struct relay *r, short events)
{
	struct nym_info info = { };
	socklen_t len = sizeof(info);

	switch (opt.type) {
	case SOCK_STREAM:
		return true;
	case SOCK_DGRAM:
		return false;
	}
	/* It may have been an empty record, and there may be more of them. */
	if (!(events & (POLLRDHUP | POLLHUP | POLLERR)))
		return false;
	return getsockopt(r->sock, SOL_NYM, NYM_INFO, &info, &len) || !info.queued;
}

static void relay_receive(struct relay *r, short events)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec io = { r->in.buf, IN_MAX };
	struct msghdr m = {
		.msg_iov = &io, .msg_iovlen = 1,
		/* Room for one: the kernel closes those that do not fit. */
		.msg_control = &control, .msg_controllen = CMSG_LEN(sizeof(int)),
	};
	ssize_t n = recvmsg(r->sock, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	const struct cmsghdr *head;

	if (n < 0) {
		if (again())
			return;
		relay_fail(r, opt.name);
		stop(&r->in);
		stop(&r->out);
		return;
	}
	r->in.at = 0;
	r->in.end = n;
	if (m.msg_flags & MSG_TRUNC) {
		errno = EMSGSIZE;	/* what is there is printed all the same */
		relay_fail(r, opt.name);
	}
	head = CMSG_FIRSTHDR(&m);
	if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS)
		relay_take_descriptor(r, head);
	else if (!n && relay_ended(r, events))
		r->in.done = true;
}

static void relay_print(struct relay *r)
{
	ssize_t n = put_some(r->in.buf + r->in.at, r->in.end - r->in.at);

	if (n >= 0) {
		r->in.at += n;
	} else if (!again()) {
		relay_fail(r, "standard output");
		stop(&r->in);
		stop(&r->out);
	}
}

/* There is no more input. The peer is told, and may still send. */
static void relay_end_input(struct relay *r)
{
	r->out.done = true;
	/* Only an end that has gone makes this fail, and poll() will say so. */
	if (opt.type != SOCK_DGRAM)
		shutdown(r->sock, SHUT_WR);
}

static void relay_read(struct relay *r)
{
	ssize_t n = read(STDIN_FILENO, r->out.buf, OUT_MAX);

	if (n < 0 && again())
		return;
	if (n < 0)
		relay_fail(r, "standard input");
	r->out.at = 0;
	r->out.end = n > 0 ? n : 0;
	if (n <= 0)
		relay_end_input(r);
}

static void relay_send(struct relay *r)
{
	ssize_t n = send(r->sock, r->out.buf + r->out.at, r->out.end - r->out.at,
			 MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n >= 0) {
		r->out.at += n;
	} else if (!again()) {
		/* What the peer has sent before it went can still be read. */
		relay_fail(r, opt.name);
		stop(&r->out);
	}
}

/*
 * Only what has room or bytes is polled: poll() tells of a peer that has gone
 * each time, and we would turn in circles while standard output is slow.
 */
static void relay_prepare(const struct relay *r, struct pollfd p[3])
{
	short want = 0;

	if (!r->in.done && is_empty(&r->in))
		want |= POLLIN | POLLRDHUP;
	if (!is_empty(&r->out))
		want |= POLLOUT;
	p[0] = (struct pollfd){ want || !r->gone ? r->sock : -1, want, 0 };
	p[1] = (struct pollfd){ is_empty(&r->out) && !r->out.done ? STDIN_FILENO : -1, POLLIN, 0 };
	p[2] = (struct pollfd){ is_empty(&r->in) ? -1 : STDOUT_FILENO, POLLOUT, 0 };
}

static void relay_step(struct relay *r, const struct pollfd p[3])
{
	short events = p[0].revents;

	if (events & (POLLHUP | POLLERR))
		r->gone = true;
	if (p[0].events & POLLIN && events & ~POLLOUT)
		relay_receive(r, events);
	if (p[0].events & POLLOUT && events & (POLLOUT | POLLHUP | POLLERR) && !is_empty(&r->out))
		relay_send(r);
	if (p[1].revents)
		relay_read(r);
	if (p[2].revents)
		relay_print(r);
	/* Nobody is there whom more input could be sent to. */
	if (opt.type != SOCK_DGRAM && r->gone && r->in.done)
		r->out.done = true;
}

/*
 * Datagrams have no end: a client waits for answers as long as -w says after
 * its last datagram, a listener for ever unless there is -w. In milliseconds.
 */
static int relay_patience(const struct relay *r)
{
	if (opt.type != SOCK_DGRAM || !is_over(&r->out) || !is_empty(&r->in))
		return -1;
	if (opt.listen && !opt.wait)
		return -1;
	return opt.wait * 1000;
}

/* Copies both ways until both have ended; returns the exit status. */
static int relay(int sock, bool input)
{
	static char in[IN_MAX], out[OUT_MAX];
	struct relay r = { .sock = sock, .in.buf = in, .out.buf = out };
	struct pollfd p[3];
	int n;

	if (!input)
		relay_end_input(&r);
	while (!is_over(&r.in) || !is_over(&r.out)) {
		relay_prepare(&r, p);
		n = poll(p, 3, relay_patience(&r));
		if (n > 0)
			relay_step(&r, p);
		else if (n == 0)
			r.in.done = true;
		else if (errno != EINTR)
			return fail("poll");
		if (r.status && opt.type == SOCK_DGRAM)
			break;
	}
	return r.status;
}

/* A message of its own, so that nobody has to wait for standard input. */
static int send_descriptor(int sock)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .head = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec io = { "", opt.type == SOCK_STREAM };
	struct msghdr m = {
		.msg_iov = &io, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};

	memcpy(CMSG_DATA(&control.head), &opt.send_fd, sizeof(int));
	return sendmsg(sock, &m, MSG_NOSIGNAL) < 0 ? fail_name() : FINE;
}

static void set_option(int sock, int level, int option, const void *value, socklen_t len)
{
	if (setsockopt(sock, level, option, value, len))
		exit(fail("setsockopt"));
}

static int open_socket(void)
{
	struct timeval tv = {
		.tv_sec = opt.wait,
		.tv_usec = (opt.wait - (time_t)opt.wait) * 1e6,
	};
	int on = 1, sock = socket(AF_NYM, opt.type | SOCK_CLOEXEC, 0);

	if (sock < 0)
		exit(fail("socket"));
	if (opt.wait) {
		set_option(sock, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
		set_option(sock, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	}
	if (opt.await)
		set_option(sock, SOL_NYM, NYM_WAIT, &on, sizeof(on));
	if (opt.recv_fd)
		set_option(sock, SOL_NYM, NYM_PASSRIGHTS, &on, sizeof(on));
	return sock;
}

static struct sockaddr_nym address(void)
{
	struct sockaddr_nym addr = { .snym_family = AF_NYM };

	memcpy(addr.snym_name, opt.name, strlen(opt.name));
	return addr;
}

static int call(void)
{
	struct sockaddr_nym addr = address();
	int status, sock = open_socket();

	while (connect(sock, (struct sockaddr *)&addr, sizeof(addr)))
		if (errno != EINTR)
			return fail_name();
	status = opt.send_fd < 0 ? FINE : send_descriptor(sock);
	return status ? status : relay(sock, opt.send_fd != STDIN_FILENO);
}

static int bound_socket(void)
{
	struct sockaddr_nym addr = address();
	int sock = open_socket();
	mode_t mask = 0;

	/* bind() takes the umask off 0777: at no time may others call. */
	if (opt.mode >= 0)
		mask = umask(~opt.mode & 0777);
	if (bind(sock, (struct sockaddr *)&addr, sizeof(addr)) ||
	    (opt.type != SOCK_DGRAM && listen(sock, BACKLOG)))
		exit(fail_name());
	if (opt.mode >= 0)
		umask(mask);
	return sock;
}

static int exec_command(int client)
{
	if (dup2(client, STDIN_FILENO) < 0 || dup2(client, STDOUT_FILENO) < 0)
		return fail("dup2");
	execvp(opt.command[0], opt.command);
	return fail(opt.command[0]);
}

static void start_command(int client)
{
	pid_t pid = fork();

	if (pid < 0)
		fail("fork");
	if (pid)
		return;
	signal(SIGCHLD, SIG_DFL);
	_exit(exec_command(client));
}

static int serve(int client)
{
	if (!opt.command)
		return relay(client, true);
	if (!opt.keep)
		return exec_command(client);
	start_command(client);
	return FINE;
}

static int listener(void)
{
	int client, sock = bound_socket();

	if (opt.type == SOCK_DGRAM)
		return relay(sock, false);
	if (opt.command && opt.keep)
		signal(SIGCHLD, SIG_IGN);	/* the kernel reaps them */
	for (;;) {
		client = accept4(sock, NULL, NULL, SOCK_CLOEXEC);
		if (client < 0 && errno == EINTR)
			continue;
		if (client < 0)
			return fail_name();
		if (!opt.keep) {
			close(sock);	/* the name is free for others */
			return serve(client);
		}
		serve(client);	/* its errors are not ours */
		close(client);
	}
}

static double duration(const char *arg)
{
	char *end;
	double value = strtod(arg, &end);

	/* poll() counts milliseconds in an int. */
	if (end == arg || *end || !(value >= 0.001 && value <= INT_MAX / 1000))
		bad_usage("'%s' is not a number of seconds", arg);
	return value;
}

static int number(const char *arg, int base, long max, const char *what)
{
	char *end;
	long value = strtol(arg, &end, base);

	if (end == arg || *end || value < 0 || value > max)
		bad_usage("'%s' is not a %s", arg, what);
	return value;
}

static void set_type(int type)
{
	if (opt.type != SOCK_STREAM && opt.type != type)
		bad_usage("-q and -u exclude each other");
	opt.type = type;
}

static void set_opt(int c)
{
	switch (c) {
	case 'h':
		fputs(help, stdout);
		exit(fflush(stdout) ? fail("standard output") : FINE);
	case 'l':
		opt.listen = true;
		break;
	case 'k':
		opt.keep = true;
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
	case 'w':
		opt.wait = duration(optarg);
		break;
	case 'W':
		opt.await = true;
		break;
	case 's':
		opt.send_fd = number(optarg, 10, INT_MAX, "descriptor");
		break;
	case 'r':
		opt.recv_fd = true;
		break;
	default:	/* getopt has said what is wrong */
		fputs("Try 'nymcat --help'.\n", stderr);
		exit(USAGE);
	}
}

static void check_usage(void)
{
	size_t len = opt.name ? strlen(opt.name) : 0;

	if (!opt.name)
		bad_usage("no name is given");
	if (!len || len > NYM_NAME_MAX)
		bad_usage("a name has 1 to %d bytes", NYM_NAME_MAX);
	if (opt.listen && (opt.await || opt.send_fd >= 0))
		bad_usage("-W and --send-fd are for clients");
	if (!opt.listen && (opt.keep || opt.mode >= 0 || opt.recv_fd || opt.command))
		bad_usage("-k, -m, --recv-fd and a command need -l");
	if (opt.command && (opt.type == SOCK_DGRAM || opt.recv_fd))
		bad_usage("a command goes neither with -u nor with --recv-fd");
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "listen", no_argument, NULL, 'l' },
		{ "keep", no_argument, NULL, 'k' },
		{ "seqpacket", no_argument, NULL, 'q' },
		{ "dgram", no_argument, NULL, 'u' },
		{ "mode", required_argument, NULL, 'm' },
		{ "wait", required_argument, NULL, 'w' },
		{ "await", no_argument, NULL, 'W' },
		{ "send-fd", required_argument, NULL, 's' },
		{ "recv-fd", no_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	int c;

	/* Options behind the name are the command's. */
	while ((c = getopt_long(argc, argv, "+lkqum:w:Wh", options, NULL)) != -1)
		set_opt(c);
	argv += optind;
	if (*argv)
		opt.name = *argv++;
	if (*argv && !strcmp(*argv, "--"))
		argv++;
	if (*argv)
		opt.command = argv;
	check_usage();
}

int main(int argc, char **argv)
{
	int fd;

	/* No socket may become standard input or output. */
	do {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	close(fd);
	parse(argc, argv);
	return opt.listen ? listener() : call();
}
