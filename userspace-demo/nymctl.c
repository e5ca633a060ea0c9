// SPDX-License-Identifier: GPL-2.0
/*
 * nymctl: look at the names of the family AF_NYM, and wait for one. What there
 * is comes from sock_diag, what has happened from /proc/net/nym_stats.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include <linux/netlink.h>
#include <linux/nym.h>
#include <linux/nym_diag.h>
#include <linux/sock_diag.h>

/* The exit status. */
enum { FINE, NOBODY, USAGE, TROUBLE };

enum {
	LOOK_MS = 50,		/* how often "wait" looks */
	STATS_MAX = 64,
};

static const char help[] =
"usage: nymctl ls [-a]                                 who has which name\n"
"       nymctl info NAME                               all about its sockets\n"
"       nymctl wait [-s | -q | -u] [-t SECONDS] NAME   until somebody listens\n"
"       nymctl stat [-i SECONDS]                       what has happened\n"
"\n"
"  -a           ls: all sockets, also connected ones and those without a name\n"
"  -s, -q, -u   wait: for a stream (the default), seqpacket or dgram socket\n"
"  -t SECONDS   wait: no longer than that\n"
"  -i SECONDS   stat: again and again, with the change since the last time\n"
"  -h, --help\n"
"\n"
"Exit status: 0 fine; 1 no such name, or not in time; 2 wrong usage; 3 anything else.\n";

/* One socket, as sock_diag tells of it. A name that is hidden is "". */
struct sock {
	struct nym_diag_msg msg;
	char name[NYM_NAME_MAX + 1];
	char peer[NYM_NAME_MAX + 1];
	struct nym_info info;
	struct nym_diag_owner owner;
};

struct socks {
	struct sock *sock;
	size_t n;
	size_t room;
};

struct counter {
	char name[32];
	long long value;
};

static __attribute__((format(printf, 1, 2), noreturn)) void bad_usage(const char *format, ...)
{
	va_list args;

	fputs("nymctl: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs("\nTry 'nymctl --help'.\n", stderr);
	exit(USAGE);
}

static __attribute__((noreturn)) void die(const char *what)
{
	fprintf(stderr, "nymctl: %s: %s\n", what, strerror(errno));
	exit(TROUBLE);
}

static int no_such(const char *name)
{
	fprintf(stderr, "nymctl: %s: no such name, or not for you to see\n", name);
	return NOBODY;
}

/* What has been printed counts only once it is out. */
static int printed(void)
{
	if (fflush(stdout) || ferror(stdout))
		die("standard output");
	return FINE;
}

static const char *type_name(int type)
{
	return type == SOCK_STREAM ? "stream" : type == SOCK_DGRAM ? "dgram" : "seqpacket";
}

static const char *state_name(unsigned int state)
{
	static const char * const names[] = {
		[NYM_DIAG_UNCONNECTED] = "unconnected",
		[NYM_DIAG_BOUND] = "bound",
		[NYM_DIAG_LISTENING] = "listening",
		[NYM_DIAG_CONNECTING] = "connecting",
		[NYM_DIAG_CONNECTED] = "connected",
	};

	return state < sizeof(names) / sizeof(names[0]) ? names[state] : "?";
}

/* An attribute may be longer than we know, or shorter, on another kernel. */
static void copy_attr(void *to, size_t room, const void *data, size_t len)
{
	memcpy(to, data, len < room ? len : room);
}

static void parse_sock(const struct nlmsghdr *head, struct sock *s)
{
	const char *a = (const char *)NLMSG_DATA(head) + NLMSG_ALIGN(sizeof(s->msg));
	const char *end = (const char *)head + head->nlmsg_len;

	memset(s, 0, sizeof(*s));
	memcpy(&s->msg, NLMSG_DATA(head), sizeof(s->msg));
	while (a + NLA_HDRLEN <= end) {
		const struct nlattr *attr = (const void *)a;
		const char *data = a + NLA_HDRLEN;
		size_t len = attr->nla_len - NLA_HDRLEN;

		if (attr->nla_type == NYM_DIAG_NAME)
			copy_attr(s->name, sizeof(s->name) - 1, data, len);
		else if (attr->nla_type == NYM_DIAG_PEER)
			copy_attr(s->peer, sizeof(s->peer) - 1, data, len);
		else if (attr->nla_type == NYM_DIAG_INFO)
			copy_attr(&s->info, sizeof(s->info), data, len);
		else if (attr->nla_type == NYM_DIAG_OWNER)
			copy_attr(&s->owner, sizeof(s->owner), data, len);
		a += NLA_ALIGN(attr->nla_len);
	}
}

static void add_sock(struct socks *all, const struct nlmsghdr *head)
{
	if (all->n == all->room) {
		all->room = all->room ? 2 * all->room : 64;
		all->sock = realloc(all->sock, all->room * sizeof(*all->sock));
		if (!all->sock)
			die("memory");
	}
	parse_sock(head, &all->sock[all->n++]);
}

static int by_name(const void *a, const void *b)
{
	const struct sock *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	if (order)
		return order;
	return x->msg.ino < y->msg.ino ? -1 : x->msg.ino > y->msg.ino;
}

static void ask(int nl, __u32 types, __u32 states)
{
	struct {
		struct nlmsghdr head;
		struct nym_diag_req req;
	} m = {
		.head = {
			.nlmsg_len = sizeof(m),
			.nlmsg_type = SOCK_DIAG_BY_FAMILY,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
		},
		.req = {
			.sdiag_family = AF_NYM, .types = types, .states = states,
			.show = NYM_DIAG_SHOW_NAME | NYM_DIAG_SHOW_PEER |
				NYM_DIAG_SHOW_INFO | NYM_DIAG_SHOW_OWNER,
		},
	};

	if (send(nl, &m, sizeof(m), 0) < 0)
		die("sock_diag");
}

/* One piece of the answer; was it the last one? */
static bool answer(int nl, struct socks *all)
{
	static char buf[1 << 16] __attribute__((aligned(8)));
	struct nlmsghdr *head = (void *)buf;
	ssize_t len = recv(nl, buf, sizeof(buf), 0);

	if (len < 0)
		die("sock_diag");
	for (; NLMSG_OK(head, len); head = NLMSG_NEXT(head, len)) {
		if (head->nlmsg_type == NLMSG_DONE)
			return true;
		if (head->nlmsg_type != NLMSG_ERROR) {
			add_sock(all, head);
			continue;
		}
		errno = -((struct nlmsgerr *)NLMSG_DATA(head))->error;
		/* Nobody answers for the family: the module is not there. */
		if (errno == ENOENT)
			errno = EAFNOSUPPORT;
		die("sock_diag");
	}
	return false;
}

/* All sockets of these types and states, sorted. */
static void dump(struct socks *all, __u32 types, __u32 states)
{
	int nl = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	if (nl < 0)
		die("sock_diag");
	all->n = 0;
	ask(nl, types, states);
	while (!answer(nl, all))
		;
	close(nl);
	if (all->n)
		qsort(all->sock, all->n, sizeof(*all->sock), by_name);
}

/*
 * Is a name bound to it that somebody has chosen? A connected stream shows its
 * listener's name.
 */
static bool has_name(const struct sock *s)
{
	return s->name[0] && s->name[0] != ':' &&
	       (s->msg.type == SOCK_DGRAM || s->msg.state != NYM_DIAG_CONNECTED);
}

/* A socket that is bound has a name, though it may not be for us to see. */
static const char *shown_name(const struct sock *s)
{
	if (s->name[0])
		return s->name;
	return s->msg.state == NYM_DIAG_BOUND || s->msg.state == NYM_DIAG_LISTENING ? "?" : "-";
}

static void print_sock(const struct sock *s, bool all)
{
	const struct nym_info *i = &s->info;
	char queue[24] = "-";

	printf("%-9s %-11s ", type_name(s->msg.type), state_name(s->msg.state));
	if (s->msg.type == SOCK_DGRAM)
		snprintf(queue, sizeof(queue), "%u/%u", i->queued, i->queue_limit);
	else if (s->msg.state == NYM_DIAG_LISTENING)
		snprintf(queue, sizeof(queue), "%u/%u", i->pending, i->limit);
	printf("%13s ", queue);
	if (s->msg.type != SOCK_DGRAM && s->msg.state == NYM_DIAG_LISTENING)
		printf("%6u %6u %8llu ", i->parked, i->peak, (unsigned long long)i->accepted);
	else
		printf("%6s %6s %8s ", "-", "-", "-");
	printf("%6u %04o ", s->owner.uid, s->owner.mode);
	if (all)
		printf("%8u %s %s\n", s->msg.ino, shown_name(s), s->peer[0] ? s->peer : "-");
	else
		printf("%s\n", s->name);
}

static int list(bool all)
{
	struct socks socks = { };
	size_t i;

	dump(&socks, ~0, ~0);
	printf("%-9s %-11s %13s %6s %6s %8s %6s %-4s %s\n", "TYPE", "STATE", "PENDING/LIMIT",
	       "PARKED", "PEAK", "ACCEPTED", "OWNER", "MODE", all ? "   INODE NAME PEER" : "NAME");
	for (i = 0; i < socks.n; i++)
		if (all || has_name(&socks.sock[i]))
			print_sock(&socks.sock[i], all);
	free(socks.sock);
	return printed();
}

static void print_value(const char *key, unsigned long long value)
{
	printf("%s %llu\n", key, value);
}

static void print_info(const struct nym_info *i)
{
	print_value("members", i->members);
	print_value("pending", i->pending);
	print_value("parked", i->parked);
	print_value("limit", i->limit);
	print_value("peak", i->peak);
	print_value("accepted", i->accepted);
	print_value("refused", i->refused);
	print_value("dropped", i->dropped);
	print_value("bytes_sent", i->bytes_sent);
	print_value("bytes_received", i->bytes_received);
	print_value("queued", i->queued);
	print_value("queue_limit", i->queue_limit);
	print_value("datagrams", i->datagrams);
}

static void print_details(const struct sock *s)
{
	printf("name %s\ntype %s\nstate %s\n", s->name, type_name(s->msg.type),
	       state_name(s->msg.state));
	if (s->peer[0])
		printf("peer %s\n", s->peer);
	printf("inode %u\nuid %u\ngid %u\nmode %04o\n", s->msg.ino, s->owner.uid,
	       s->owner.gid, s->owner.mode);
	print_info(&s->info);
}

static int inform(const char *name)
{
	struct socks socks = { };
	size_t i, found = 0;

	dump(&socks, ~0, ~0);
	for (i = 0; i < socks.n; i++) {
		if (!has_name(&socks.sock[i]) || strcmp(socks.sock[i].name, name))
			continue;
		if (found++)
			putchar('\n');
		print_details(&socks.sock[i]);
	}
	free(socks.sock);
	return found ? printed() : no_such(name);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static int out_of_time(const char *name)
{
	errno = ETIMEDOUT;
	fprintf(stderr, "nymctl: %s: %s\n", name, strerror(errno));
	return NOBODY;
}

static bool listens(struct socks *socks, int type, const char *name)
{
	size_t i;

	dump(socks, 1 << type, 1 << NYM_DIAG_LISTENING);
	for (i = 0; i < socks->n; i++)
		if (!strcmp(socks->sock[i].name, name))
			return true;
	return false;
}

/*
 * Looks, again and again: a call that waits (NYM_WAIT) would have to be
 * accepted, and the server would see a client that goes at once.
 */
static int wait_listener(int type, const char *name, double patience)
{
	struct timespec pause = { .tv_nsec = LOOK_MS * 1000000L };
	double end = now() + patience;
	struct socks socks = { };
	bool late = false;

	while (!listens(&socks, type, name)) {
		if (late)
			return out_of_time(name);
		nanosleep(&pause, NULL);
		late = patience && now() >= end;
	}
	free(socks.sock);
	return FINE;
}

/* A datagram socket that connects disturbs nobody, and can sleep. */
static int wait_dgram(const char *name, double patience)
{
	struct sockaddr_nym addr = { .snym_family = AF_NYM };
	struct timeval tv = {
		.tv_sec = patience,
		.tv_usec = (patience - (time_t)patience) * 1e6,
	};
	int on = 1, sock = socket(AF_NYM, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (sock < 0)
		die("socket");
	memcpy(addr.snym_name, name, strlen(name));
	if (setsockopt(sock, SOL_NYM, NYM_WAIT, &on, sizeof(on)) ||
	    setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)))
		die("setsockopt");
	while (connect(sock, (struct sockaddr *)&addr, sizeof(addr))) {
		if (errno == EAGAIN && patience)
			return out_of_time(name);
		if (errno != EINTR)
			die(name);
	}
	close(sock);
	return FINE;
}

static size_t read_counters(struct counter *c, size_t max)
{
	static const char path[] = "/proc/net/nym_stats";
	FILE *f = fopen(path, "r");
	size_t n = 0;

	if (!f)
		die(path);
	while (n < max && fscanf(f, "%31s %lld", c[n].name, &c[n].value) == 2)
		n++;
	if (ferror(f))
		die(path);
	fclose(f);
	return n;
}

/* The counters, and how much they are more than @before, if that is given. */
static void print_counters(const struct counter *c, size_t n, const struct counter *before)
{
	size_t i;

	for (i = 0; i < n; i++) {
		printf("%-20s %12lld", c[i].name, c[i].value);
		if (before)
			printf(" %+12lld", c[i].value - before[i].value);
		putchar('\n');
	}
}

static int count(double interval)
{
	static struct counter c[2][STATS_MAX];
	struct timespec pause = {
		.tv_sec = interval,
		.tv_nsec = (interval - (time_t)interval) * 1e9,
	};
	size_t n = read_counters(c[0], STATS_MAX);
	int i;

	print_counters(c[0], n, NULL);
	if (!interval)
		return printed();
	for (i = 1;; i = !i) {
		printed();
		nanosleep(&pause, NULL);
		n = read_counters(c[i], STATS_MAX);
		putchar('\n');
		print_counters(c[i], n, c[!i]);
	}
}

static double duration(const char *arg)
{
	char *end;
	double value = strtod(arg, &end);

	if (end == arg || *end || !(value >= 0.001 && value <= INT_MAX / 1000))
		bad_usage("'%s' is not a number of seconds", arg);
	return value;
}

/* A name that can never be is a mistake, and not worth waiting for. */
static const char *checked_name(const char *name)
{
	const char *c;

	if (!name)
		bad_usage("no name is given");
	if (!*name || strlen(name) > NYM_NAME_MAX)
		bad_usage("a name has 1 to %d bytes", NYM_NAME_MAX);
	for (c = name; *c; c++)
		if (*c <= ' ' || *c > '~' || *c == '@')
			bad_usage("'%s' cannot be a name", name);
	return name;
}

static void no_more(const char *arg)
{
	if (arg)
		bad_usage("what is '%s' for?", arg);
}

static int give_help(void)
{
	fputs(help, stdout);
	return printed();
}

/* The verbs: argv[0] is the verb. */

static int do_ls(int argc, char **argv)
{
	bool all = false;
	int c;

	while ((c = getopt(argc, argv, "a")) != -1) {
		if (c != 'a')
			bad_usage("wrong option");
		all = true;
	}
	no_more(argv[optind]);
	return list(all);
}

static int do_info(int argc, char **argv)
{
	const char *name;

	if (getopt(argc, argv, "") != -1)
		bad_usage("wrong option");
	name = checked_name(argv[optind]);
	no_more(argv[optind + 1]);
	return inform(name);
}

static int do_wait(int argc, char **argv)
{
	int c, type = SOCK_STREAM;
	const char *name;
	double patience = 0;

	while ((c = getopt(argc, argv, "squt:")) != -1) {
		if (c == '?')
			bad_usage("wrong option");
		if (c == 't')
			patience = duration(optarg);
		else
			type = c == 's' ? SOCK_STREAM : c == 'q' ? SOCK_SEQPACKET : SOCK_DGRAM;
	}
	name = checked_name(argv[optind]);
	no_more(argv[optind + 1]);
	return type == SOCK_DGRAM ? wait_dgram(name, patience) :
	       wait_listener(type, name, patience);
}

static int do_stat(int argc, char **argv)
{
	double interval = 0;
	int c;

	while ((c = getopt(argc, argv, "i:")) != -1) {
		if (c != 'i')
			bad_usage("wrong option");
		interval = duration(optarg);
	}
	no_more(argv[optind]);
	return count(interval);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} verbs[] = {
		{ "ls", do_ls }, { "info", do_info }, { "wait", do_wait }, { "stat", do_stat },
	};
	size_t i;
	int arg;

	opterr = 0;	/* it would call the program by its verb */
	for (arg = 1; arg < argc; arg++)
		if (!strcmp(argv[arg], "-h") || !strcmp(argv[arg], "--help"))
			return give_help();
	if (argc < 2)
		bad_usage("what shall it do?");
	for (i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (!strcmp(argv[1], verbs[i].name))
			return verbs[i].run(argc - 1, argv + 1);
	bad_usage("there is no '%s'", argv[1]);
}
