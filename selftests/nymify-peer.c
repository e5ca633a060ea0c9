// SPDX-License-Identifier: GPL-2.0
/*
 * What nymify.sh runs: a program written for AF_UNIX that knows nothing of nymify.
 * It is run both with and without, and must see the same each time.
 *
 * Usage: nymify-peer unix|nym DIRECTORY CHECK
 *
 * Which of the two families its sockets are in fact, it asks the kernel past the C
 * library. Says where it fails, and ends with status 1.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <linux/nym.h>

#define REQUIRE(_what)	require(_what, #_what, __LINE__)
#define FAILS(_call, _errno)	fails(_call, _errno, #_call, __LINE__)

enum { UNIX_HEAD = offsetof(struct sockaddr_un, sun_path), NOBODY = 65534 };

static bool nym;
static const char *dir;

static void require(bool what, const char *text, int line)
{
	if (what)
		return;
	printf("# %s:%d: %s: %s\n", __FILE__, line, text, strerror(errno));
	fflush(stdout);
	_exit(1);
}

static void fails(long result, int expected, const char *text, int line)
{
	if (result == -1 && errno == expected)
		return;
	printf("# %s:%d: %s: %ld, %s instead of %s\n", __FILE__, line, text, result,
	       strerror(result == -1 ? errno : 0), strerror(expected));
	fflush(stdout);
	_exit(1);
}

/* The family as the kernel knows it. */
static int family(int fd)
{
	socklen_t len = sizeof(int);
	int value = -1;

	syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, &value, &len);
	return value;
}

static bool is_expected(int fd)
{
	return family(fd) == (nym ? AF_NYM : AF_UNIX);
}

static const char *path(const char *name)
{
	static __thread char room[4][100];
	static __thread int next;
	char *to = room[next++ % 4];

	snprintf(to, sizeof(room[0]), "%s/%s", dir, name);
	return to;
}

static socklen_t at(struct sockaddr_un *addr, const char *name)
{
	memset(addr, 0, sizeof(*addr));
	addr->sun_family = AF_UNIX;
	strcpy(addr->sun_path, path(name));
	return UNIX_HEAD + strlen(addr->sun_path) + 1;
}

static int open_socket(int type)
{
	int fd = socket(AF_UNIX, type, 0);

	REQUIRE(fd >= 0);
	return fd;
}

static int bind_to(int fd, const char *name)
{
	struct sockaddr_un addr;
	socklen_t len = at(&addr, name);

	return bind(fd, (struct sockaddr *)&addr, len);
}

static int connect_to(int fd, const char *name)
{
	struct sockaddr_un addr;

	/* Many programs give the whole size. */
	at(&addr, name);
	return connect(fd, (struct sockaddr *)&addr, sizeof(addr));
}

static int bound(int type, const char *name)
{
	int fd = open_socket(type);

	REQUIRE(!bind_to(fd, name));
	REQUIRE(is_expected(fd));
	return fd;
}

static int listener(int type, const char *name)
{
	int fd = bound(type, name);

	REQUIRE(!listen(fd, 16));
	return fd;
}

static int caller(int type, const char *name)
{
	int fd = open_socket(type);

	REQUIRE(!connect_to(fd, name));
	REQUIRE(is_expected(fd));
	return fd;
}

static bool is_at(const struct sockaddr_un *addr, socklen_t len, const char *name)
{
	struct sockaddr_un expected;

	return len == at(&expected, name) && !memcmp(addr, &expected, len);
}

static bool is_none(const struct sockaddr_un *addr, socklen_t len)
{
	return len == sizeof(sa_family_t) && addr->sun_family == AF_UNIX;
}

static bool carries(int from, int to)
{
	char c = 0;

	return send(from, "x", 1, 0) == 1 && recv(to, &c, 1, 0) == 1 && c == 'x';
}

typedef int (*ask_t)(int fd, struct sockaddr *addr, socklen_t *len);

static bool shows(ask_t ask, int fd, const char *name)
{
	struct sockaddr_un addr;
	socklen_t len = sizeof(addr);

	if (ask(fd, (struct sockaddr *)&addr, &len))
		return false;
	return name ? is_at(&addr, len, name) : is_none(&addr, len);
}

/* Of a short buffer no more is written, and the length is the whole one. */
static void cut_off(ask_t ask, int fd, const char *name)
{
	struct sockaddr_un expected;
	socklen_t whole = at(&expected, name), len = 9;
	char addr[16];

	memset(addr, '#', sizeof(addr));
	REQUIRE(!ask(fd, (struct sockaddr *)addr, &len));
	REQUIRE(len == whole && !memcmp(addr, &expected, 9) && addr[9] == '#');
	len = 0;
	REQUIRE(!ask(fd, NULL, &len) && len == whole);
}

static void connection(int type)
{
	int s = listener(type, "server"), c = caller(type, "server"), a;
	struct sockaddr_un addr;
	socklen_t len = sizeof(addr);
	int value = 0;

	a = accept(s, (struct sockaddr *)&addr, &len);
	REQUIRE(a >= 0 && is_expected(a) && is_none(&addr, len));
	REQUIRE(carries(c, a) && carries(a, c));
	REQUIRE(shows(getsockname, s, "server") && shows(getsockname, a, "server"));
	REQUIRE(shows(getpeername, c, "server"));
	REQUIRE(shows(getsockname, c, NULL) && shows(getpeername, a, NULL));
	FAILS(getpeername(s, (struct sockaddr *)&addr, &len), ENOTCONN);
	cut_off(getsockname, s, "server");
	cut_off(getpeername, c, "server");
	len = sizeof(value);
	REQUIRE(!getsockopt(a, SOL_SOCKET, SO_DOMAIN, &value, &len) && value == AF_UNIX);
	close(c);
	close(a);
	/* A client that has a name of its own. */
	c = bound(type, "client");
	REQUIRE(!connect_to(c, "server"));
	len = sizeof(addr);
	a = accept4(s, (struct sockaddr *)&addr, &len, SOCK_CLOEXEC);
	REQUIRE(a >= 0 && is_at(&addr, len, "client") && shows(getpeername, a, "client"));
	REQUIRE(fcntl(a, F_GETFD) == FD_CLOEXEC);
	len = sizeof(addr);
	REQUIRE(carries(c, a) && send(c, "y", 1, 0) == 1 &&
		recvfrom(a, &value, 1, 0, (struct sockaddr *)&addr, &len) == 1);
	REQUIRE(is_at(&addr, len, "client"));
	REQUIRE(!unlink(path("server")) && !unlink(path("client")));
}

static void check_stream(void)
{
	connection(SOCK_STREAM);
}

static void check_seqpacket(void)
{
	connection(SOCK_SEQPACKET);
}

static ssize_t send_message(int fd, const char *name, const char *text)
{
	struct iovec io = { (char *)text, strlen(text) };
	struct sockaddr_un addr;
	struct msghdr m = {
		.msg_name = &addr, .msg_namelen = at(&addr, name), .msg_iov = &io, .msg_iovlen = 1,
	};

	return sendmsg(fd, &m, 0);
}

static ssize_t send_to(int fd, const char *name, const char *text)
{
	struct sockaddr_un addr;
	socklen_t len = at(&addr, name);

	return sendto(fd, text, strlen(text), 0, (struct sockaddr *)&addr, len);
}

/* The text comes from the address with this name, or from none. */
static bool comes(int fd, const char *text, const char *name)
{
	struct sockaddr_un addr;
	socklen_t len = sizeof(addr);
	char buf[100];
	ssize_t n = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&addr, &len);

	return n == (ssize_t)strlen(text) && !memcmp(buf, text, n) &&
	       (name ? is_at(&addr, len, name) : !len);
}

static bool comes_in_message(int fd, const char *text, const char *name)
{
	char buf[100];
	struct iovec io = { buf, sizeof(buf) };
	struct sockaddr_un addr;
	struct msghdr m = {
		.msg_name = &addr, .msg_namelen = sizeof(addr), .msg_iov = &io, .msg_iovlen = 1,
	};
	ssize_t n = recvmsg(fd, &m, 0);

	return n == (ssize_t)strlen(text) && !memcmp(buf, text, n) && !m.msg_flags &&
	       (name ? is_at(&addr, m.msg_namelen, name) : !m.msg_namelen);
}

static void many_messages(int from, int to)
{
	struct mmsghdr m[2];
	struct sockaddr_un addr[2];
	struct iovec io[2];
	char buf[2][8];
	int i;

	memset(m, 0, sizeof(m));
	for (i = 0; i < 2; i++) {
		io[i] = (struct iovec){ i ? "two" : "one", 3 };
		m[i].msg_hdr.msg_iov = &io[i];
		m[i].msg_hdr.msg_iovlen = 1;
		m[i].msg_hdr.msg_name = &addr[i];
		m[i].msg_hdr.msg_namelen = at(&addr[i], "server");
	}
	REQUIRE(sendmmsg(from, m, 2, 0) == 2 && m[0].msg_len == 3 && m[1].msg_len == 3);
	for (i = 0; i < 2; i++) {
		io[i] = (struct iovec){ buf[i], sizeof(buf[i]) };
		m[i].msg_hdr.msg_namelen = sizeof(addr[i]);
	}
	memset(addr, 0, sizeof(addr));
	REQUIRE(recvmmsg(to, m, 2, 0, NULL) == 2);
	for (i = 0; i < 2; i++)
		REQUIRE(is_at(&addr[i], m[i].msg_hdr.msg_namelen, "client") &&
			m[i].msg_len == 3 && !memcmp(buf[i], i ? "two" : "one", 3));
}

static void check_dgram(void)
{
	int s = bound(SOCK_DGRAM, "server"), c = open_socket(SOCK_DGRAM);

	REQUIRE(send_to(c, "server", "hello") == 5 && is_expected(c));
	REQUIRE(comes(s, "hello", NULL) && shows(getsockname, c, NULL));
	REQUIRE(send_message(c, "server", "again") == 5);
	REQUIRE(comes_in_message(s, "again", NULL));
	/* A socket that has sent may still be bound. */
	REQUIRE(!bind_to(c, "client") && send_to(c, "server", "named") == 5);
	REQUIRE(comes(s, "named", "client"));
	REQUIRE(send_message(c, "server", "more") == 4 && comes_in_message(s, "more", "client"));
	REQUIRE(send_to(s, "client", "answer") == 6 && comes(c, "answer", "server"));
	many_messages(c, s);
	close(c);
	/* One that is connected may, too, and stays so. */
	c = caller(SOCK_DGRAM, "server");
	REQUIRE(shows(getpeername, c, "server") && !bind_to(c, "other"));
	REQUIRE(send(c, "x", 1, 0) == 1 && comes(s, "x", "other"));
	FAILS(bind_to(c, "third"), EINVAL);
	REQUIRE(!unlink(path("server")) && !unlink(path("client")) && !unlink(path("other")));
}

/* A socket without a name goes back and forth between addresses with and without a rule. */
static void check_both(void)
{
	struct sockaddr_un plain = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(plain);
	int s = bound(SOCK_DGRAM, "server"), u = open_socket(SOCK_DGRAM);
	int c = open_socket(SOCK_DGRAM), l, d;

	REQUIRE(!bind(u, (struct sockaddr *)&plain, sizeof(sa_family_t)));
	REQUIRE(!getsockname(u, (struct sockaddr *)&plain, &len) && family(u) == AF_UNIX);
	REQUIRE(send_to(c, "server", "1") == 1 && comes(s, "1", NULL) && is_expected(c));
	REQUIRE(sendto(c, "22", 2, 0, (struct sockaddr *)&plain, len) == 2);
	REQUIRE(family(c) == AF_UNIX && comes(u, "22", NULL));
	REQUIRE(send_to(c, "server", "333") == 3 && comes(s, "333", NULL) && is_expected(c));
	REQUIRE(!connect(c, (struct sockaddr *)&plain, len) && send(c, "4", 1, 0) == 1);
	REQUIRE(comes(u, "4", NULL));
	/* The same for a stream that could not connect at first. */
	l = open_socket(SOCK_STREAM);
	REQUIRE(!bind(l, (struct sockaddr *)&plain, len) && !listen(l, 1));
	d = open_socket(SOCK_STREAM);
	FAILS(connect_to(d, "nobody"), ENOENT);
	REQUIRE(!connect(d, (struct sockaddr *)&plain, len) && family(d) == AF_UNIX);
	REQUIRE(!unlink(path("server")));
}

static socklen_t abstract(struct sockaddr_un *addr, const char *name, size_t n)
{
	memset(addr, 0, sizeof(*addr));
	addr->sun_family = AF_UNIX;
	memcpy(addr->sun_path + 1, name, n);
	return UNIX_HEAD + 1 + n;
}

/* Any bytes are possible, and everybody may call. */
static void check_abstract(void)
{
	static const char bytes[] = "nymify \1\0@%*:\377";
	struct sockaddr_un addr, seen;
	socklen_t len = abstract(&addr, bytes, sizeof(bytes) - 1), seen_len = sizeof(seen);
	int s = open_socket(SOCK_STREAM), c, status;
	pid_t pid;

	REQUIRE(!bind(s, (struct sockaddr *)&addr, len) && is_expected(s) && !listen(s, 1));
	REQUIRE(!getsockname(s, (struct sockaddr *)&seen, &seen_len));
	REQUIRE(seen_len == len && !memcmp(&seen, &addr, len));
	pid = fork();
	if (!pid) {
		REQUIRE(!setgid(NOBODY) && !setuid(NOBODY));
		c = open_socket(SOCK_STREAM);
		REQUIRE(!connect(c, (struct sockaddr *)&addr, len) && is_expected(c));
		_exit(0);
	}
	REQUIRE(waitpid(pid, &status, 0) == pid && !status);
	c = open_socket(SOCK_STREAM);
	len = abstract(&addr, "nymify nobody", 13);
	FAILS(connect(c, (struct sockaddr *)&addr, len), ECONNREFUSED);
}

/* bind() without an address. */
static void check_chosen(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX }, seen;
	socklen_t len = sizeof(addr), seen_len = sizeof(seen);
	int s = open_socket(SOCK_DGRAM), c = open_socket(SOCK_DGRAM);
	char buf[8];

	REQUIRE(!bind(s, (struct sockaddr *)&addr, sizeof(sa_family_t)) && is_expected(s));
	REQUIRE(!bind(s, (struct sockaddr *)&addr, sizeof(sa_family_t)));
	REQUIRE(!getsockname(s, (struct sockaddr *)&addr, &len));
	REQUIRE(len == UNIX_HEAD + 6 && !addr.sun_path[0] &&
		strspn(addr.sun_path + 1, "0123456789abcdef") >= 5);
	REQUIRE(!bind(c, (struct sockaddr *)&(sa_family_t){ AF_UNIX }, sizeof(sa_family_t)));
	REQUIRE(sendto(c, "x", 1, 0, (struct sockaddr *)&addr, len) == 1);
	REQUIRE(recvfrom(s, buf, sizeof(buf), 0, (struct sockaddr *)&seen, &seen_len) == 1);
	REQUIRE(sendto(s, "y", 1, 0, (struct sockaddr *)&seen, seen_len) == 1);
	REQUIRE(recv(c, buf, sizeof(buf), 0) == 1 && *buf == 'y');
}

union control {
	struct cmsghdr head;
	char room[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
};

static ssize_t send_fd(int sock, int fd)
{
	union control u = { .head = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec io = { "f", 1 };
	struct msghdr m = {
		.msg_iov = &io, .msg_iovlen = 1,
		.msg_control = &u, .msg_controllen = CMSG_SPACE(sizeof(int)),
	};

	memcpy(CMSG_DATA(&u.head), &fd, sizeof(fd));
	return sendmsg(sock, &m, 0);
}

/* A control message of this type, copied to @to; the address is asked for, too. */
static bool take_control(int sock, int type, void *to, size_t len)
{
	union control u;
	struct sockaddr_un addr;
	char c;
	struct iovec io = { &c, 1 };
	struct msghdr m = {
		.msg_name = &addr, .msg_namelen = sizeof(addr), .msg_iov = &io, .msg_iovlen = 1,
		.msg_control = &u, .msg_controllen = sizeof(u),
	};
	struct cmsghdr *head;

	if (recvmsg(sock, &m, 0) != 1 || m.msg_flags)
		return false;
	for (head = CMSG_FIRSTHDR(&m); head; head = CMSG_NXTHDR(&m, head)) {
		if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != type)
			continue;
		memcpy(to, CMSG_DATA(head), len);
		return head->cmsg_len == CMSG_LEN(len);
	}
	return false;
}

static bool passes_fd(int from, int to)
{
	int got, p[2];
	char c = 0;

	REQUIRE(!pipe(p));
	if (send_fd(from, p[1]) != 1 || !take_control(to, SCM_RIGHTS, &got, sizeof(got)))
		return false;
	return write(got, "p", 1) == 1 && read(p[0], &c, 1) == 1 && c == 'p';
}

static void rights_of(int type)
{
	int s = listener(type, "server"), c = caller(type, "server"), a, got = -1;

	/* Before it is accepted, too. */
	REQUIRE(send_fd(c, STDOUT_FILENO) == 1);
	a = accept(s, NULL, NULL);
	REQUIRE(a >= 0 && take_control(a, SCM_RIGHTS, &got, sizeof(got)) && !close(got));
	REQUIRE(passes_fd(c, a) && passes_fd(a, c));
	REQUIRE(send_fd(a, s) == 1 && take_control(c, SCM_RIGHTS, &got, sizeof(got)));
	REQUIRE(is_expected(got) && shows(getsockname, got, "server") && !close(got));
	close(s);
	REQUIRE(!unlink(path("server")));
}

static void check_rights(void)
{
	int s, c;

	rights_of(SOCK_STREAM);
	rights_of(SOCK_SEQPACKET);
	s = bound(SOCK_DGRAM, "server");
	c = caller(SOCK_DGRAM, "server");
	REQUIRE(passes_fd(c, s));
	REQUIRE(!unlink(path("server")));
}

static bool is_me(const struct ucred *who)
{
	return who->pid == getpid() && who->uid == getuid() && who->gid == getgid();
}

static void check_creds(void)
{
	int s = open_socket(SOCK_STREAM), on = 1, value = 0, c, a;
	struct ucred who;
	socklen_t len = sizeof(who);

	/* Set before the socket is bound, and inherited by what is accepted. */
	REQUIRE(!setsockopt(s, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
	REQUIRE(!bind_to(s, "server") && is_expected(s) && !listen(s, 1));
	c = caller(SOCK_STREAM, "server");
	a = accept(s, NULL, NULL);
	REQUIRE(!getsockopt(a, SOL_SOCKET, SO_PEERCRED, &who, &len) && is_me(&who));
	len = sizeof(who);
	REQUIRE(!getsockopt(c, SOL_SOCKET, SO_PEERCRED, &who, &len) && is_me(&who));
	memset(&who, 0, sizeof(who));
	REQUIRE(send(c, "x", 1, 0) == 1);
	REQUIRE(take_control(a, SCM_CREDENTIALS, &who, sizeof(who)) && is_me(&who));
	/* Set afterwards. */
	REQUIRE(!setsockopt(c, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
	len = sizeof(value);
	REQUIRE(!getsockopt(c, SOL_SOCKET, SO_PASSCRED, &value, &len) && value == 1);
	memset(&who, 0, sizeof(who));
	REQUIRE(send(a, "x", 1, 0) == 1);
	REQUIRE(take_control(c, SCM_CREDENTIALS, &who, sizeof(who)) && is_me(&who));
	REQUIRE(!unlink(path("server")));
}

static void set(int fd, int option, int value)
{
	REQUIRE(!setsockopt(fd, SOL_SOCKET, option, &value, sizeof(value)));
}

static bool has(int fd, int option, int value)
{
	socklen_t len = sizeof(int);
	int is = -1;

	return !getsockopt(fd, SOL_SOCKET, option, &is, &len) && is == value;
}

static void prepare(int fd)
{
	struct timeval time = { .tv_sec = 7, .tv_usec = 500000 };
	struct f_owner_ex owner = { F_OWNER_PID, getpid() };

	set(fd, SO_SNDBUF, 30000);
	set(fd, SO_RCVBUF, 40000);
	set(fd, SO_RCVLOWAT, 3);
	set(fd, SO_PASSCRED, 1);
	set(fd, SO_KEEPALIVE, 1);
	REQUIRE(!setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)));
	REQUIRE(!fcntl(fd, F_SETSIG, SIGUSR1) && !fcntl(fd, F_SETOWN_EX, &owner));
	REQUIRE(!fcntl(fd, F_SETFL, O_NONBLOCK | O_RDWR) && !fcntl(fd, F_SETFD, FD_CLOEXEC));
}

static void is_prepared(int fd)
{
	struct timeval time;
	socklen_t len = sizeof(time);
	struct f_owner_ex owner;

	REQUIRE(is_expected(fd) && has(fd, SO_SNDBUF, 60000) && has(fd, SO_RCVBUF, 80000));
	REQUIRE(has(fd, SO_RCVLOWAT, 3) && has(fd, SO_PASSCRED, 1) && has(fd, SO_KEEPALIVE, 1));
	REQUIRE(has(fd, SO_REUSEADDR, 0));
	REQUIRE(!getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, &len));
	REQUIRE(time.tv_sec == 7 && time.tv_usec == 500000);
	REQUIRE(fcntl(fd, F_GETSIG) == SIGUSR1 && !fcntl(fd, F_GETOWN_EX, &owner));
	REQUIRE(owner.pid == getpid());
	REQUIRE(fcntl(fd, F_GETFL) == (O_NONBLOCK | O_RDWR) && fcntl(fd, F_GETFD) == FD_CLOEXEC);
}

/* What is set before the address is known stays, and errno as well. */
static void check_options(void)
{
	int s = open_socket(SOCK_STREAM), c = open_socket(SOCK_STREAM);

	prepare(s);
	prepare(c);
	errno = EDOM;
	REQUIRE(!bind_to(s, "server") && errno == EDOM);
	is_prepared(s);
	REQUIRE(!listen(s, 1));
	errno = EDOM;
	REQUIRE(!connect_to(c, "server") && errno == EDOM);
	is_prepared(c);
	REQUIRE(!unlink(path("server")) && errno == EDOM);
}

static void check_errors(void)
{
	struct sockaddr_un addr;
	int s, c = open_socket(SOCK_STREAM), d = open_socket(SOCK_DGRAM), other;

	at(&addr, "server");
	FAILS(connect_to(c, "server"), ENOENT);
	FAILS(connect_to(d, "server"), ENOENT);
	FAILS(send_to(d, "server", "x"), ENOENT);
	FAILS(send_message(d, "server", "x"), ENOENT);
	FAILS(connect(c, (struct sockaddr *)&addr, sizeof(addr) + 1), EINVAL);
	FAILS(connect(c, (struct sockaddr *)&addr, sizeof(sa_family_t)), EINVAL);
	FAILS(bind(c, (struct sockaddr *)&addr, 1), EINVAL);
	FAILS(connect_to(STDIN_FILENO, "server"), ENOTSOCK);
	FAILS(bind_to(STDIN_FILENO, "server"), ENOTSOCK);
	FAILS(connect_to(-1, "server"), EBADF);
	s = bound(SOCK_STREAM, "server");
	FAILS(connect_to(c, "server"), ECONNREFUSED);
	FAILS(bind_to(s, "more"), EINVAL);
	FAILS(listen(c, 1), EINVAL);
	other = open_socket(SOCK_STREAM);
	FAILS(bind_to(other, "server"), EADDRINUSE);
	REQUIRE(!listen(s, 1));
	FAILS(connect_to(d, "server"), EPROTOTYPE);
	FAILS(send_to(d, "server", "x"), EPROTOTYPE);
	/* After all that, the sockets still do what they should. */
	REQUIRE(!connect_to(c, "server") && is_expected(c));
	FAILS(connect_to(c, "server"), EISCONN);
	REQUIRE(!bind_to(other, "other") && is_expected(other));
	REQUIRE(!bind_to(d, "dgram") && is_expected(d) && send_to(d, "dgram", "x") == 1);
	REQUIRE(!unlink(path("server")) && !unlink(path("other")) && !unlink(path("dgram")));
}

static bool reports(int epoll, unsigned int events, unsigned long long data)
{
	struct epoll_event e = { };

	return epoll_wait(epoll, &e, 1, 2000) == 1 && e.events & events && e.data.u64 == data;
}

/* Put into a set before anything is known of the address, as nginx does. */
static void check_epoll(void)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLET, .data.u64 = 0x123456789a };
	int epoll = epoll_create1(0), s = open_socket(SOCK_STREAM), c, a;

	REQUIRE(!epoll_ctl(epoll, EPOLL_CTL_ADD, s, &e));
	REQUIRE(!bind_to(s, "server") && !listen(s, 1));
	c = open_socket(SOCK_STREAM | SOCK_NONBLOCK);
	e.data.u64 = 7;
	REQUIRE(!epoll_ctl(epoll, EPOLL_CTL_ADD, c, &e));
	e.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
	e.data.u64 = 8;
	REQUIRE(!epoll_ctl(epoll, EPOLL_CTL_MOD, c, &e));
	while (epoll_wait(epoll, &e, 1, 0) > 0)
		;
	REQUIRE(!connect_to(c, "server") && is_expected(c));
	REQUIRE(!epoll_ctl(epoll, EPOLL_CTL_DEL, c, NULL));
	REQUIRE(reports(epoll, EPOLLIN, 0x123456789a));
	e = (struct epoll_event){ .events = EPOLLOUT, .data.u64 = 9 };
	REQUIRE(!epoll_ctl(epoll, EPOLL_CTL_ADD, c, &e) && reports(epoll, EPOLLOUT, 9));
	a = accept(s, NULL, NULL);
	REQUIRE(carries(a, c));
	/* A socket that is in no set is put into none. */
	close(c);
	c = caller(SOCK_STREAM, "server");
	FAILS(epoll_ctl(epoll, EPOLL_CTL_DEL, c, NULL), ENOENT);
	REQUIRE(!unlink(path("server")));
}

static void check_nonblocking(void)
{
	int s = listener(SOCK_STREAM, "server"), c = open_socket(SOCK_STREAM | SOCK_NONBLOCK), a;
	struct pollfd p = { .fd = c, .events = POLLOUT };

	REQUIRE(!fcntl(s, F_SETFL, O_NONBLOCK));
	FAILS(accept(s, NULL, NULL), EAGAIN);
	REQUIRE(!connect_to(c, "server") && poll(&p, 1, 2000) == 1 && p.revents == POLLOUT);
	FAILS(recv(c, &p, 1, 0), EAGAIN);
	a = accept(s, NULL, NULL);
	REQUIRE(a >= 0 && carries(a, c));
	FAILS(recv(c, &p, 1, 0), EAGAIN);
	REQUIRE(!unlink(path("server")));
}

static bool is_socket(const char *name, mode_t mode, uid_t uid, gid_t gid)
{
	struct stat st;
	struct statx stx;

	if (stat(path(name), &st) || st.st_mode != (S_IFSOCK | mode) || st.st_uid != uid ||
	    st.st_gid != gid || lstat(path(name), &st) || st.st_mode != (S_IFSOCK | mode) ||
	    fstatat(AT_FDCWD, path(name), &st, 0) || st.st_mode != (S_IFSOCK | mode))
		return false;
	return !statx(AT_FDCWD, path(name), 0, STATX_BASIC_STATS, &stx) && stx.stx_uid == uid &&
	       stx.stx_mode == (S_IFSOCK | mode) && stx.stx_gid == gid;
}

/* What a process of nobody sees and may do. */
static void see_as_nobody(bool open)
{
	pid_t pid = fork();
	int c, status;

	if (!pid) {
		REQUIRE(!setgid(NOBODY) && !setuid(NOBODY));
		c = open_socket(SOCK_STREAM);
		if (open) {
			REQUIRE(!access(path("server"), W_OK) && !connect_to(c, "server"));
			_exit(0);
		}
		REQUIRE(!access(path("server"), F_OK));
		FAILS(access(path("server"), W_OK), EACCES);
		FAILS(faccessat(AT_FDCWD, path("server"), R_OK | W_OK, AT_EACCESS), EACCES);
		FAILS(connect_to(c, "server"), EACCES);
		_exit(0);
	}
	REQUIRE(waitpid(pid, &status, 0) == pid && !status);
}

static void check_files(void)
{
	struct stat st;
	int s, fd;

	FAILS(stat(path("server"), &st), ENOENT);
	FAILS(access(path("server"), F_OK), ENOENT);
	FAILS(chmod(path("server"), 0600), ENOENT);
	FAILS(unlink(path("server")), ENOENT);
	umask(027);
	s = listener(SOCK_STREAM, "server");
	umask(022);
	REQUIRE(is_socket("server", 0750, getuid(), getgid()));
	see_as_nobody(false);
	REQUIRE(!chmod(path("server"), 0666) && is_socket("server", 0666, getuid(), getgid()));
	REQUIRE(!access(path("server"), R_OK | W_OK));
	FAILS(access(path("server"), X_OK), EACCES);
	see_as_nobody(true);
	/* Without read permission, the name is hidden. */
	REQUIRE(!chmod(path("server"), 0602));
	see_as_nobody(true);
	REQUIRE(!chmod(path("server"), 0660) && !chown(path("server"), -1, NOBODY));
	REQUIRE(is_socket("server", 0660, getuid(), NOBODY));
	see_as_nobody(true);
	REQUIRE(!lchown(path("server"), NOBODY, 0) && is_socket("server", 0660, NOBODY, 0));
	/* Other files are where they ever were. */
	fd = open(path("server.lock"), O_CREAT | O_EXCL | O_RDWR, 0600);
	REQUIRE(fd >= 0 && !stat(path("server.lock"), &st) && S_ISREG(st.st_mode));
	REQUIRE(!chmod(path("server.lock"), 0640));
	REQUIRE(!fstat(fd, &st) && st.st_mode == (S_IFREG | 0640));
	FAILS(bind_to(open_socket(SOCK_STREAM), "server.lock"), EADDRINUSE);
	REQUIRE(!rename(path("server.lock"), path("renamed")) && !remove(path("renamed")));
	FAILS(access(path("server.lock"), F_OK), ENOENT);
	REQUIRE(!unlink(path("server")));
	close(s);
	FAILS(stat(path("server"), &st), ENOENT);
}

/* Servers remove what another one has left, and what they leave, before or after. */
static void check_stale(void)
{
	struct sockaddr_un addr;
	int s;

	s = listener(SOCK_STREAM, "server");
	close(s);
	REQUIRE(!unlink(path("server")));
	FAILS(unlink(path("server")), ENOENT);
	s = listener(SOCK_SEQPACKET, "server");
	close(s);
	REQUIRE(!unlinkat(AT_FDCWD, path("server"), 0));
	s = listener(SOCK_STREAM, "server");
	REQUIRE(!remove(path("server")));
	close(s);
	FAILS(remove(path("server")), ENOENT);
	/* A socket file that was there before the rules. */
	s = syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0);
	at(&addr, "server");
	REQUIRE(!syscall(SYS_bind, s, &addr, sizeof(addr)));
	close(s);
	REQUIRE(!unlink(path("server")));
	s = listener(SOCK_STREAM, "server");
	REQUIRE(!unlink(path("server")));
}

/* Bound elsewhere and moved to its place, as haproxy does. */
static void check_rename(void)
{
	struct stat st;
	int s = bound(SOCK_STREAM, "server.tmp"), c, a;

	REQUIRE(!chmod(path("server.tmp"), 0600));
	REQUIRE(!rename(path("server.tmp"), path("server")) && !listen(s, 1));
	REQUIRE(is_socket("server", 0600, getuid(), getgid()));
	FAILS(stat(path("server.tmp"), &st), ENOENT);
	FAILS(rename(path("server.tmp"), path("server")), ENOENT);
	c = caller(SOCK_STREAM, "server");
	a = accept(s, NULL, NULL);
	REQUIRE(a >= 0 && carries(c, a));
	REQUIRE(!unlink(path("server")));
}

static void check_fork(void)
{
	int s = listener(SOCK_STREAM, "server"), c, status;
	pid_t pid = fork();

	if (!pid) {
		int a = accept(s, NULL, NULL);

		REQUIRE(a >= 0 && shows(getsockname, a, "server"));
		REQUIRE(!chmod(path("server"), 0700) && send(a, "x", 1, 0) == 1);
		_exit(0);
	}
	c = caller(SOCK_STREAM, "server");
	REQUIRE(recv(c, &status, 1, 0) == 1);
	REQUIRE(waitpid(pid, &status, 0) == pid && !status);
	REQUIRE(is_socket("server", 0700, getuid(), getgid()) && !unlink(path("server")));
}

/* The descriptor 9 is inherited from check_exec(). */
static void check_after_exec(void)
{
	int c = caller(SOCK_STREAM, "server"), a;

	REQUIRE(is_expected(9) && shows(getsockname, 9, "server") && has(9, SO_DOMAIN, AF_UNIX));
	a = accept(9, NULL, NULL);
	REQUIRE(a >= 0 && carries(c, a) && passes_fd(c, a));
	REQUIRE(!chmod(path("server"), 0711) && is_socket("server", 0711, getuid(), getgid()));
	bound(SOCK_DGRAM, "mine");
	REQUIRE(!unlink(path("mine")) && !unlink(path("server")));
}

static void check_exec(void)
{
	int s = listener(SOCK_STREAM, "server");

	REQUIRE(dup2(s, 9) == 9 && !close(s));
	execl("/proc/self/exe", "nymify-peer", nym ? "nym" : "unix", dir, "after_exec", NULL);
	REQUIRE(!"exec");
}

static void check_relative(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX, .sun_path = ".//./server" };
	int s = open_socket(SOCK_STREAM);

	REQUIRE(!chdir(dir) && !bind(s, (struct sockaddr *)&addr, sizeof(addr)));
	REQUIRE(is_expected(s) && !listen(s, 1));
	caller(SOCK_STREAM, "server");
	REQUIRE(!access("server", F_OK) && !unlink("server"));
}

static void *call_often(void *arg)
{
	char name[32];
	int i, s, c, a;

	for (i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "%ld.%d", (long)arg, i);
		s = listener(SOCK_STREAM, name);
		c = caller(SOCK_STREAM, name);
		a = accept(s, NULL, NULL);
		REQUIRE(a >= 0 && carries(c, a) && is_expected(a) && !unlink(path(name)));
		close(a);
		close(c);
		close(s);
	}
	return NULL;
}

static void check_threads(void)
{
	pthread_t thread[4];
	long i;

	for (i = 0; i < 4; i++)
		REQUIRE(!pthread_create(&thread[i], NULL, call_often, (void *)i));
	for (i = 0; i < 4; i++)
		REQUIRE(!pthread_join(thread[i], NULL));
}

/* With --pairs, nymify's own; and AF_UNIX's otherwise. */
static void check_pair(void)
{
	int pair[2];

	REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	REQUIRE(is_expected(pair[0]) && is_expected(pair[1]));
	REQUIRE(carries(pair[0], pair[1]) && passes_fd(pair[0], pair[1]));
	REQUIRE(shows(getsockname, pair[0], NULL) && shows(getpeername, pair[1], NULL));
	REQUIRE(has(pair[0], SO_DOMAIN, AF_UNIX));
}

/* How many descriptors are open: a call that fails leaves none. */
static int descriptors(void)
{
	int fd, n = 0;

	for (fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* A call that waits, and what ends it. */
struct blocking {
	long (*call)(int fd);
	void (*end)(int fd);
	int fd;
};

static long wait_accept(int fd)
{
	struct sockaddr_un addr;
	socklen_t len = sizeof(addr);
	int a = accept(fd, (struct sockaddr *)&addr, &len);

	return a < 0 ? a : close(a);
}

static long wait_accept4(int fd)
{
	int a = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

	return a < 0 ? a : close(a);
}

static void end_accept(int fd)
{
	(void)fd;
	close(caller(SOCK_STREAM, "server"));
}

static long wait_recvfrom(int fd)
{
	struct sockaddr_un addr;
	socklen_t len = sizeof(addr);
	char c;

	return recvfrom(fd, &c, 1, 0, (struct sockaddr *)&addr, &len) == 1 ? 0 : -1;
}

static long wait_recvmsg(int fd)
{
	struct sockaddr_un addr;
	char c;
	struct iovec io = { &c, 1 };
	struct msghdr m = {
		.msg_name = &addr, .msg_namelen = sizeof(addr), .msg_iov = &io, .msg_iovlen = 1,
	};

	return recvmsg(fd, &m, 0) == 1 ? 0 : -1;
}

static long wait_recvmmsg(int fd)
{
	struct sockaddr_un addr;
	char c;
	struct iovec io = { &c, 1 };
	struct mmsghdr m = { .msg_hdr = {
		.msg_name = &addr, .msg_namelen = sizeof(addr), .msg_iov = &io, .msg_iovlen = 1,
	} };

	return recvmmsg(fd, &m, 1, 0, NULL) == 1 ? 0 : -1;
}

static void end_receive(int fd)
{
	int c = open_socket(SOCK_DGRAM);

	(void)fd;
	REQUIRE(send_to(c, "datagrams", "x") == 1);
	close(c);
}

/* The backlog of "full" has room for one. */
static long wait_connect(int fd)
{
	return connect_to(fd, "full");
}

static int full;

static void end_connect(int fd)
{
	(void)fd;
	close(accept(full, NULL, NULL));
}

static void each_blocking(void (*check)(const struct blocking *how))
{
	static long (*const receive[])(int fd) = { wait_recvfrom, wait_recvmsg, wait_recvmmsg };
	struct blocking how = { wait_accept, end_accept, listener(SOCK_STREAM, "server") };
	size_t i;

	check(&how);
	how.call = wait_accept4;
	check(&how);
	close(how.fd);
	how.fd = bound(SOCK_DGRAM, "datagrams");
	how.end = end_receive;
	for (i = 0; i < sizeof(receive) / sizeof(receive[0]); i++) {
		how.call = receive[i];
		check(&how);
	}
	close(how.fd);
	full = bound(SOCK_STREAM, "full");
	REQUIRE(!listen(full, 0));
	caller(SOCK_STREAM, "full");
	how = (struct blocking){ wait_connect, end_connect, open_socket(SOCK_STREAM) };
	check(&how);
	REQUIRE(!unlink(path("server")) && !unlink(path("datagrams")) && !unlink(path("full")));
}

static void on_signal(int sig)
{
	(void)sig;
}

static void handle(int sig, int flags)
{
	struct sigaction act = { .sa_handler = on_signal, .sa_flags = flags };

	REQUIRE(!sigaction(sig, &act, NULL));
}

/* Who disturbs a thread until it has seen enough, and then lets its call end. */
struct disturber {
	pthread_t target;
	const struct blocking *how;
	int left;
};

static void *disturb(void *arg)
{
	struct disturber *d = arg;

	while (__atomic_fetch_sub(&d->left, 1, __ATOMIC_RELAXED) > 0) {
		usleep(30000);
		pthread_kill(d->target, SIGUSR1);
	}
	d->how->end(d->how->fd);
	return NULL;
}

/* The result of the call, disturbed so often or until it has failed. */
static long disturbed(const struct blocking *how, int times)
{
	struct disturber d = { pthread_self(), how, times };
	pthread_t thread;
	long result;
	int err;

	REQUIRE(!pthread_create(&thread, NULL, disturb, &d));
	result = how->call(how->fd);
	err = errno;
	__atomic_store_n(&d.left, 0, __ATOMIC_RELAXED);
	REQUIRE(!pthread_join(thread, NULL));
	errno = err;
	return result;
}

static void interrupt(const struct blocking *how)
{
	int before = descriptors();

	handle(SIGUSR1, 0);
	FAILS(disturbed(how, 1000), EINTR);
	REQUIRE(descriptors() == before);
	/* Now somebody has ended it: nothing of the first call is left in the way. */
	REQUIRE(!how->call(how->fd) && descriptors() == before);
}

static void check_interrupt(void)
{
	each_blocking(interrupt);
}

static void restart(const struct blocking *how)
{
	int before = descriptors();

	handle(SIGUSR1, SA_RESTART);
	REQUIRE(!disturbed(how, 8) && descriptors() == before);
}

static void check_restart(void)
{
	each_blocking(restart);
}

static void *call_and_wait(void *arg)
{
	const struct blocking *how = arg;

	how->call(how->fd);
	return NULL;
}

static void cancel(const struct blocking *how)
{
	int before = descriptors();
	pthread_t thread;
	void *result;

	REQUIRE(!pthread_create(&thread, NULL, call_and_wait, (void *)how));
	usleep(200000);
	REQUIRE(!pthread_cancel(thread) && !pthread_join(thread, &result));
	REQUIRE(result == PTHREAD_CANCELED && descriptors() == before);
	/* The next one finds all as it was. */
	how->end(how->fd);
	REQUIRE(!how->call(how->fd) && descriptors() == before);
}

/* In these calls AF_UNIX cancels nobody, and nymify must not leave anything there. */
static void *cancelled_already(void *arg)
{
	int c = *(int *)arg;
	struct stat st;

	pthread_cancel(pthread_self());
	stat(path("server"), &st);
	access(path("server"), R_OK);
	access(path("none"), R_OK);
	chmod(path("server"), 0700);
	unlink(path("none"));
	bind_to(c, "client");
	pthread_testcancel();
	return NULL;
}

static void check_cancel(void)
{
	int s, c, before;
	pthread_t thread;
	void *result;

	each_blocking(cancel);
	s = bound(SOCK_DGRAM, "server");
	c = caller(SOCK_DGRAM, "server");
	before = descriptors();
	REQUIRE(!pthread_create(&thread, NULL, cancelled_already, &c));
	REQUIRE(!pthread_join(thread, &result) && result == PTHREAD_CANCELED);
	REQUIRE(descriptors() == before && is_socket("server", 0700, getuid(), getgid()));
	REQUIRE(send(c, "x", 1, 0) == 1 && comes(s, "x", "client"));
	REQUIRE(!unlink(path("server")) && !unlink(path("client")));
}

static int lingers(int fd)
{
	socklen_t len = sizeof(int);
	int ms = -1;

	REQUIRE(!getsockopt(fd, SOL_NYM, NYM_LINGER, &ms, &len));
	return ms;
}

/* With --linger 30000: each name but those that nobody can ask for. */
static void check_linger(void)
{
	struct sockaddr_un addr;
	struct stat st;
	socklen_t len;
	int s, d = open_socket(SOCK_DGRAM), u = open_socket(SOCK_STREAM);

	REQUIRE(lingers(bound(SOCK_DGRAM, "datagrams")) == 30000);
	s = bound(SOCK_STREAM, "server.tmp");
	REQUIRE(lingers(s) == 30000 && !rename(path("server.tmp"), path("server")));
	REQUIRE(lingers(s) == 30000);
	/* Of the name that it had before, nothing is kept. */
	FAILS(stat(path("server.tmp"), &st), ENOENT);
	len = abstract(&addr, "lingers", 7);
	REQUIRE(!bind(u, (struct sockaddr *)&addr, len) && lingers(u) == 30000);
	REQUIRE(!bind(d, (struct sockaddr *)&(sa_family_t){ AF_UNIX }, sizeof(sa_family_t)));
	REQUIRE(is_expected(d) && !lingers(d) && !lingers(caller(SOCK_DGRAM, "datagrams")));
}

/* The file of --hold is "hold" in our directory, where a rule maps everything. */
static void hold(bool on)
{
	if (on)
		REQUIRE(!close(open(path("hold"), O_CREAT | O_EXCL | O_WRONLY, 0600)));
	else
		REQUIRE(!unlink(path("hold")));
}

static long long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* A call that is there stays there, and the program is slowed down. */
static void nobody_is_taken(int s, int err)
{
	struct pollfd p = { .fd = s, .events = POLLIN };
	long long start = now_ms();
	int before = descriptors();

	FAILS(accept(s, NULL, NULL), err);
	FAILS(accept4(s, NULL, NULL, SOCK_CLOEXEC), err);
	REQUIRE(now_ms() - start >= 40 && descriptors() == before);
	REQUIRE(poll(&p, 1, 0) == 1 && p.revents == POLLIN);
}

static void hold_pending(int s)
{
	int c, a;

	hold(true);
	c = caller(SOCK_STREAM, "server");
	nobody_is_taken(s, ECONNABORTED);
	REQUIRE(!fcntl(s, F_SETFL, O_NONBLOCK));
	nobody_is_taken(s, EAGAIN);
	hold(false);
	a = accept(s, NULL, NULL);
	REQUIRE(a >= 0 && carries(c, a) && !close(a) && !close(c));
	FAILS(accept(s, NULL, NULL), EAGAIN);
	REQUIRE(!fcntl(s, F_SETFL, 0));
}

static void *accept_and_tell(void *arg)
{
	return (void *)(long)(accept(*(int *)arg, NULL, NULL) < 0 ? errno : 0);
}

/* It waits for a call already when the file is made. */
static void hold_waiting(int s)
{
	pthread_t thread;
	void *err;
	int c;

	REQUIRE(!pthread_create(&thread, NULL, accept_and_tell, &s));
	usleep(300000);
	hold(true);
	c = caller(SOCK_STREAM, "server");
	REQUIRE(!pthread_join(thread, &err) && (long)err == ECONNABORTED);
	hold(false);
	REQUIRE(!wait_accept(s) && !close(c));
}

static void hold_times(int s)
{
	struct timeval time = { .tv_usec = 150000 }, never = { };
	long long start = now_ms();

	REQUIRE(!setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)));
	FAILS(accept(s, NULL, NULL), EAGAIN);
	hold(true);
	FAILS(accept(s, NULL, NULL), EAGAIN);
	REQUIRE(now_ms() - start >= 290);
	hold(false);
	REQUIRE(!setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &never, sizeof(never)));
}

/* Who waits for edges is told again, during and after the hold. */
static void hold_edges(int s)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLET, .data.u64 = 5 };
	int epoll = epoll_create1(0), c, i;

	REQUIRE(!fcntl(s, F_SETFL, O_NONBLOCK));
	REQUIRE(!epoll_ctl(epoll, EPOLL_CTL_ADD, s, &e));
	hold(true);
	c = caller(SOCK_STREAM, "server");
	for (i = 0; i < 3; i++) {
		REQUIRE(reports(epoll, EPOLLIN, 5));
		FAILS(accept(s, NULL, NULL), EAGAIN);
	}
	hold(false);
	REQUIRE(reports(epoll, EPOLLIN, 5) && !wait_accept(s) && !close(c));
	FAILS(accept(s, NULL, NULL), EAGAIN);
	REQUIRE(!epoll_wait(epoll, &e, 1, 0) && !close(epoll) && !fcntl(s, F_SETFL, 0));
}

/* Other sockets are not held, and what is an error is told. */
static void hold_others(int s)
{
	int u = open_socket(SOCK_STREAM), c = open_socket(SOCK_STREAM), a;
	struct sockaddr_un addr;
	socklen_t len = abstract(&addr, "nymify hold", 11);

	REQUIRE(!bind(u, (struct sockaddr *)&addr, len) && family(u) == AF_UNIX && !listen(u, 1));
	hold(true);
	REQUIRE(!connect(c, (struct sockaddr *)&addr, len) && !wait_accept(u));
	c = caller(SOCK_STREAM, "server");
	FAILS(accept(c, NULL, NULL), EINVAL);
	FAILS(accept(bound(SOCK_STREAM, "other"), NULL, NULL), EINVAL);
	FAILS(accept(STDIN_FILENO, NULL, NULL), ENOTSOCK);
	FAILS(accept(-1, NULL, NULL), EBADF);
	hold(false);
	a = accept(s, NULL, NULL);
	REQUIRE(a >= 0 && carries(c, a));
	hold(true);
	REQUIRE(!shutdown(s, SHUT_RD));
	FAILS(accept(s, NULL, NULL), EINVAL);
	hold(false);
}

static void check_hold(void)
{
	int s = listener(SOCK_STREAM, "server"), h = bound(SOCK_STREAM, "hold");

	/* A socket at that path is no file. */
	REQUIRE(!access(path("hold"), F_OK));
	end_accept(s);
	REQUIRE(!wait_accept(s) && !close(h) && !unlink(path("hold")));
	hold_pending(s);
	hold_waiting(s);
	hold_times(s);
	hold_edges(s);
	hold_others(s);
}

/* poll() is never restarted, so with --hold it counts what the handlers ask for. */
static void check_hold_signals(void)
{
	struct blocking how = { wait_accept, end_accept, listener(SOCK_STREAM, "server") };

	restart(&how);
	handle(SIGUSR2, 0);
	FAILS(disturbed(&how, 1000), EINTR);
	REQUIRE(!wait_accept(how.fd) && !unlink(path("server")));
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} checks[] = {
		{ "stream", check_stream }, { "seqpacket", check_seqpacket },
		{ "dgram", check_dgram }, { "both", check_both },
		{ "abstract", check_abstract }, { "chosen", check_chosen },
		{ "rights", check_rights }, { "creds", check_creds },
		{ "options", check_options }, { "errors", check_errors },
		{ "epoll", check_epoll }, { "nonblocking", check_nonblocking },
		{ "files", check_files }, { "stale", check_stale },
		{ "rename", check_rename }, { "fork", check_fork },
		{ "exec", check_exec }, { "after_exec", check_after_exec },
		{ "relative", check_relative }, { "threads", check_threads },
		{ "pair", check_pair }, { "interrupt", check_interrupt },
		{ "restart", check_restart }, { "cancel", check_cancel },
		{ "linger", check_linger }, { "hold", check_hold },
		{ "hold_signals", check_hold_signals },
	};
	size_t i;

	if (argc != 4)
		return 2;
	nym = !strcmp(argv[1], "nym");
	dir = argv[2];
	alarm(60);
	for (i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		if (strcmp(checks[i].name, argv[3]))
			continue;
		checks[i].run();
		return 0;
	}
	return 2;
}
