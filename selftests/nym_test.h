/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the test programs of nym share: making nym sockets by name, becoming
 * another user, watching a call block, reading /proc/net/nym, and the check
 * at the end of every program that nothing leaked.
 *
 * Use TEST_F only, never TEST: the harness shares _metadata with forked
 * children for TEST_F alone, and the tests here fork a lot.
 */
#ifndef NYM_TEST_H
#define NYM_TEST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <linux/capability.h>
#include <linux/nym.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "nym_counts.h"

/* A kernel that checks itself takes its time; the runner's limit is for all. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	600

/* How long to wait for something that must happen; only a bug gets there. */
#define NYM_PATIENCE_MS	10000

#define NYM_NOBODY	65534

/*
 * The least that a timeout of so many milliseconds takes. The kernel counts it in
 * ticks: one has begun already, and a guest that was stopped may make up for some
 * at once.
 */
#define NYM_TICKED(ms)	((ms) / 2)

/* Long enough to do something meanwhile, on a starved machine, too. */
#define NYM_BRIEF_MS	(500 + 250 * nym_slower())

/* How much slower a kernel that checks itself is, as "make check-debug" says. */
static inline int nym_slower(void)
{
	const char *slower = getenv("NYM_SLOWER");
	int factor = slower ? atoi(slower) : 1;

	return factor > 1 ? factor : 1;
}

/* How much of @n, of what a test does again and again, it shall do here. */
static inline int nym_scaled(int n)
{
	return (n + nym_slower() - 1) / nym_slower();
}

/* Asserting errnos */

#define __NYM_ERRNO(_err, _call, _assert) do { \
	long __ret; \
	int __errno; \
	errno = 0; \
	__ret = (_call); \
	__errno = errno; \
	if (__ret != -1 || __errno != (_err)) { \
		__TH_LOG("%s: expected -1 %s, got %ld %s", #_call, \
			 strerrorname_np(_err), __ret, \
			 __ret < 0 ? strerrorname_np(__errno) : "(success)"); \
		_metadata->exit_code = KSFT_FAIL; \
		_metadata->trigger = 1; \
	} \
} while (0); OPTIONAL_HANDLER(_assert)

/* _call returns -1 with errno _err. */
#define EXPECT_ERRNO(_err, _call) __NYM_ERRNO(_err, _call, 0)
#define ASSERT_ERRNO(_err, _call) __NYM_ERRNO(_err, _call, 1)

#define __NYM_RETURNS(_want, _call, _assert) do { \
	long __want = (_want); \
	long __ret; \
	int __errno; \
	errno = 0; \
	__ret = (_call); \
	__errno = errno; \
	if (__ret != __want) { \
		__TH_LOG("%s: expected %ld, got %ld %s", #_call, __want, \
			 __ret, __ret < 0 ? strerrorname_np(__errno) : ""); \
		_metadata->exit_code = KSFT_FAIL; \
		_metadata->trigger = 1; \
	} \
} while (0); OPTIONAL_HANDLER(_assert)

/* _call returns _want; when it does not, the message has the errno. */
#define EXPECT_RETURNS(_want, _call) __NYM_RETURNS(_want, _call, 0)
#define ASSERT_RETURNS(_want, _call) __NYM_RETURNS(_want, _call, 1)
#define EXPECT_OK(_call) EXPECT_RETURNS(0, _call)
#define ASSERT_OK(_call) ASSERT_RETURNS(0, _call)

/* Two errnos are equal; when not, the message has their names. */
#define EXPECT_SAME_ERRNO(_want, _seen) do { \
	int __want = (_want); \
	int __seen = (_seen); \
	if (__want != __seen) { \
		__TH_LOG("%s: expected %s, got %s", #_seen, \
			 __want ? strerrorname_np(__want) : "success", \
			 __seen ? strerrorname_np(__seen) : "success"); \
		_metadata->exit_code = KSFT_FAIL; \
		_metadata->trigger = 1; \
	} \
} while (0); OPTIONAL_HANDLER(0)

/* _call returns a descriptor. */
#define ASSERT_FD(_fd) ASSERT_LE(0, (_fd)) { \
	TH_LOG("%s: %s", #_fd, strerrorname_np(errno)); \
}

/* Names and sockets */

/* Fills @sa with @name and returns the length that the kernel would return. */
static inline socklen_t nym_addr(struct sockaddr_nym *sa, const char *name)
{
	size_t len = strlen(name);

	if (len > NYM_NAME_MAX)
		abort();
	memset(sa, 0, sizeof(*sa));
	sa->snym_family = AF_NYM;
	memcpy(sa->snym_name, name, len);
	return offsetof(struct sockaddr_nym, snym_name) + len + 1;
}

static inline int nym_socket(void)
{
	return socket(AF_NYM, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static inline int nym_socket_nonblock(void)
{
	return socket(AF_NYM, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* In a FIXTURE_SETUP: skips the test where the module is not loaded. */
#define SKIP_WITHOUT_NYM() do { \
	int __fd = nym_socket(); \
	if (__fd < 0 && errno == EAFNOSUPPORT) \
		SKIP(return, "the nym module is not loaded"); \
	ASSERT_LE(0, __fd); \
	close(__fd); \
} while (0)

static inline int nym_bind(int fd, const char *name)
{
	struct sockaddr_nym sa;
	socklen_t len = nym_addr(&sa, name);

	return bind(fd, (struct sockaddr *)&sa, len);
}

/* connect() of a socket that exists already. */
static inline int nym_call(int fd, const char *name)
{
	struct sockaddr_nym sa;
	socklen_t len = nym_addr(&sa, name);

	return connect(fd, (struct sockaddr *)&sa, len);
}

/* Closes @fd without touching errno; returns -1, so that callers can too. */
static inline int nym_give_up(int fd)
{
	int err = errno;

	close(fd);
	errno = err;
	return -1;
}

/* A new socket bound to @name, or -1. */
static inline int nym_bound(const char *name)
{
	int fd = nym_socket();

	if (fd < 0)
		return -1;
	return nym_bind(fd, name) ? nym_give_up(fd) : fd;
}

/* A new listener on @name that admits @backlog + 1 calls, or -1. */
static inline int nym_listen(const char *name, int backlog)
{
	int fd = nym_bound(name);

	if (fd < 0)
		return -1;
	return listen(fd, backlog) ? nym_give_up(fd) : fd;
}

/* A new socket connected to @name, or -1. */
static inline int nym_connect(const char *name)
{
	int fd = nym_socket();

	if (fd < 0)
		return -1;
	return nym_call(fd, name) ? nym_give_up(fd) : fd;
}

static inline int nym_pair(int fd[2])
{
	return socketpair(AF_NYM, SOCK_STREAM | SOCK_CLOEXEC, 0, fd);
}

/* A connection through @listener on @name: fd[0] the client, fd[1] accepted. */
static inline int nym_connection(int listener, const char *name, int fd[2])
{
	fd[0] = nym_connect(name);
	if (fd[0] < 0)
		return -1;
	fd[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	return fd[1] < 0 ? nym_give_up(fd[0]) : 0;
}

/* Closes every descriptor but the standard ones. */
static inline void nym_close_all(void)
{
	syscall(SYS_close_range, 3, ~0U, 0);
}

static inline int nym_set_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -1;
	flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	return fcntl(fd, F_SETFL, flags);
}

static inline int nym_set_int(int fd, int opt, int value)
{
	return setsockopt(fd, SOL_SOCKET, opt, &value, sizeof(value));
}

/* Sets an integer option of SOL_NYM. */
static inline int nym_option(int fd, int opt, int value)
{
	return setsockopt(fd, SOL_NYM, opt, &value, sizeof(value));
}

/* The version of the kernel: 605 is Linux 6.5. */
static inline int nym_kernel(void)
{
	static int version;
	struct utsname name;
	char *minor;

	if (!version && !uname(&name)) {
		version = strtol(name.release, &minor, 10) * 100;
		version += atoi(minor + 1);
	}
	return version;
}

/* The value of an integer option of SOL_SOCKET, or -1. */
static inline int nym_get_int(int fd, int opt)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, opt, &value, &len) ? -1 : value;
}

/* SO_RCVTIMEO or SO_SNDTIMEO in milliseconds. */
static inline int nym_set_timeout(int fd, int opt, int ms)
{
	struct timeval tv = {
		.tv_sec = ms / 1000,
		.tv_usec = ms % 1000 * 1000,
	};

	return setsockopt(fd, SOL_SOCKET, opt, &tv, sizeof(tv));
}

/* What poll() says right now. */
static inline int nym_poll_now(int fd, short events)
{
	struct pollfd pfd = { .fd = fd, .events = events };

	return poll(&pfd, 1, 0) < 0 ? -1 : pfd.revents;
}

/*
 * What poll() says once it says anything; 0 when it never does, and for what it
 * finds when its time is over: nobody woke it for that.
 */
static inline int nym_poll_wait(int fd, short events)
{
	struct pollfd pfd = { .fd = fd, .events = events };
	long end = nym_now_ms() + NYM_PATIENCE_MS;
	int ready = poll(&pfd, 1, NYM_PATIENCE_MS);

	if (ready < 0)
		return -1;
	return nym_now_ms() < end ? pfd.revents : 0;
}

static inline unsigned long nym_inode(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : st.st_ino;
}

/* The name in an address that the kernel returned, checked for its shape. */
static inline const char *nym_name_of(const struct sockaddr_nym *sa,
				      socklen_t len)
{
	size_t head = offsetof(struct sockaddr_nym, snym_name);

	if (len == head)
		return "";
	if (len < head || len > sizeof(*sa) || sa->snym_family != AF_NYM)
		return "(bad address)";
	if (strnlen(sa->snym_name, len - head) != len - head - 1)
		return "(length is not that of the name and one NUL)";
	return sa->snym_name;
}

/* The name getsockname() or getpeername() gives; in static storage. */
static inline const char *__nym_name(int fd, char buf[NYM_NAME_MAX + 1],
				     int (*get)(int, struct sockaddr *,
						socklen_t *))
{
	struct sockaddr_nym sa;
	socklen_t len = sizeof(sa);

	memset(&sa, 0xff, sizeof(sa));
	if (get(fd, (struct sockaddr *)&sa, &len))
		return strerrorname_np(errno);
	snprintf(buf, NYM_NAME_MAX + 1, "%s", nym_name_of(&sa, len));
	return buf;
}

static inline int nym_getsockname(int fd, struct sockaddr *sa, socklen_t *len)
{
	return getsockname(fd, sa, len);
}

static inline int nym_getpeername(int fd, struct sockaddr *sa, socklen_t *len)
{
	return getpeername(fd, sa, len);
}

/* "" for a socket without a name, the errno's name when the call fails. */
static inline const char *nym_own_name(int fd)
{
	static char buf[NYM_NAME_MAX + 1];

	return __nym_name(fd, buf, nym_getsockname);
}

static inline const char *nym_peer_name(int fd)
{
	static char buf[NYM_NAME_MAX + 1];

	return __nym_name(fd, buf, nym_getpeername);
}

/* ":" and lower-case hexadecimal digits. */
static inline bool nym_is_kernel_chosen(const char *name)
{
	return name[0] == ':' && name[1] &&
	       strspn(name + 1, "0123456789abcdef") == strlen(name + 1);
}

/* Other users */

/* Who a child is to be. All of it is set, the supplementary groups too. */
struct nym_who {
	uid_t uid;
	gid_t gid;
	const gid_t *groups;
	size_t ngroups;
	__u64 caps;		/* bits of CAP_*: all that the child may keep */
};

#define NYM_CAP(_cap) (1ULL << (_cap))

static inline int nym_become(const struct nym_who *who)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct caps[2];

	if (setgroups(who->ngroups, who->groups) ||
	    setresgid(who->gid, who->gid, who->gid) ||
	    prctl(PR_SET_KEEPCAPS, 1) ||
	    setresuid(who->uid, who->uid, who->uid) ||
	    syscall(SYS_capget, &head, caps))
		return -1;
	caps[0].permitted &= who->caps;
	caps[1].permitted &= who->caps >> 32;
	caps[0].effective = caps[0].permitted;
	caps[1].effective = caps[1].permitted;
	caps[0].inheritable = 0;
	caps[1].inheritable = 0;
	return syscall(SYS_capset, &head, caps);
}

#define NYM_CHILD_BROKE	255

/*
 * What @fn returns (0 or an errno below 255) when a child that is @who runs
 * it; NYM_CHILD_BROKE when the child could not become @who or died.
 */
static inline int nym_errno_as(const struct nym_who *who, int (*fn)(void *),
			       void *arg)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (who && nym_become(who))
			_exit(NYM_CHILD_BROKE);
		_exit(fn(arg));
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return NYM_CHILD_BROKE;
	return WEXITSTATUS(status);
}

static inline int __nym_try_bind(void *name)
{
	return nym_bound(name) < 0 ? errno : 0;
}

static inline int __nym_try_connect(void *name)
{
	return nym_connect(name) < 0 ? errno : 0;
}

/* The errno (or 0) that @who gets when binding or connecting to @name. */
static inline int nym_bind_as(const struct nym_who *who, const char *name)
{
	return nym_errno_as(who, __nym_try_bind, (void *)name);
}

static inline int nym_connect_as(const struct nym_who *who, const char *name)
{
	return nym_errno_as(who, __nym_try_connect, (void *)name);
}

/* Who this thread is to be: the effective uid is @euid. */
static inline void nym_act_as_both(uid_t ruid, uid_t euid, __u64 caps)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];

	/* Not glibc's setresuid(), which changes the other threads, too. */
	if (syscall(SYS_setresuid, 0, 0, 0))
		abort();
	if (!ruid)
		return;
	if (syscall(SYS_setresuid, ruid, euid, 0) ||
	    syscall(SYS_capget, &head, data))
		abort();
	data[0].effective = caps;
	data[1].effective = caps >> 32;
	if (syscall(SYS_capset, &head, data))
		abort();
}

/* This thread is @uid from here on, with @caps; as root it has them all. */
static inline void nym_act_as(uid_t uid, __u64 caps)
{
	nym_act_as_both(uid, uid, caps);
}

/* 0 when @pid ends with exit status 0. */
static inline int nym_wait_child(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Time, threads and sleeping calls */

static inline void nym_nap(void)
{
	usleep(1000);
}

static inline bool __nym_proc_read(pid_t tid, const char *file, char *buf,
				   size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", tid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, buf, size - 1);
	close(fd);
	if (n <= 0)
		return false;
	buf[n] = 0;
	return true;
}

/* Thread @tid (or process) sleeps interruptibly in system call @nr now. */
static inline bool nym_is_asleep(pid_t tid, long nr)
{
	char buf[512], *state;

	if (!__nym_proc_read(tid, "stat", buf, sizeof(buf)))
		return false;
	state = strrchr(buf, ')');
	if (!state || state[1] != ' ' || state[2] != 'S')
		return false;
	return __nym_proc_read(tid, "syscall", buf, sizeof(buf)) &&
	       isdigit(buf[0]) && strtol(buf, NULL, 10) == nr;
}

/* Waits until it does; false when it never does. */
static inline bool nym_wait_asleep(pid_t tid, long nr)
{
	long end = nym_now_ms() + NYM_PATIENCE_MS;

	while (!nym_is_asleep(tid, nr)) {
		if (nym_now_ms() > end)
			return false;
		nym_nap();
	}
	return true;
}

/* A call in a thread of its own: what it returned, and its errno. */
struct nym_bg {
	pthread_t thread;
	pid_t tid;
	long (*fn)(void *arg);
	void *arg;
	long ret;
	int err;
	int done;
};

static inline void *__nym_bg_main(void *data)
{
	struct nym_bg *bg = data;

	__atomic_store_n(&bg->tid, gettid(), __ATOMIC_RELEASE);
	errno = 0;
	bg->ret = bg->fn(bg->arg);
	bg->err = bg->ret < 0 ? errno : 0;
	__atomic_store_n(&bg->done, 1, __ATOMIC_RELEASE);
	return NULL;
}

/* Starts @fn(@arg) in a thread; returns once the thread has a tid. */
static inline int nym_bg_start(struct nym_bg *bg, long (*fn)(void *),
			       void *arg)
{
	memset(bg, 0, sizeof(*bg));
	bg->fn = fn;
	bg->arg = arg;
	errno = pthread_create(&bg->thread, NULL, __nym_bg_main, bg);
	if (errno)
		return -1;
	while (!__atomic_load_n(&bg->tid, __ATOMIC_ACQUIRE))
		sched_yield();
	return 0;
}

/* The thread sleeps in system call @nr (waits for that). */
static inline bool nym_bg_asleep(struct nym_bg *bg, long nr)
{
	return nym_wait_asleep(bg->tid, nr);
}

static inline bool nym_bg_done(struct nym_bg *bg)
{
	return __atomic_load_n(&bg->done, __ATOMIC_ACQUIRE);
}

/* What the call returned; bg->err has its errno. */
static inline long nym_bg_join(struct nym_bg *bg)
{
	pthread_join(bg->thread, NULL);
	return bg->ret;
}

/* Text files of /proc */

#define NYM_PROC_HEADER	"Name Type State Uid Gid Mode Queued Pending Limit Inode" \
			" Parked Peak Accepted Refused Dropped"

/* One line of /proc/net/nym. */
struct nym_line {
	char name[NYM_NAME_MAX + 1];
	char type[16];
	char state[16];
	unsigned long uid;
	unsigned long gid;
	char mode[8];
	unsigned long queued;
	unsigned long pending;
	unsigned long limit;
	unsigned long inode;
	unsigned long parked;
	unsigned long peak;
	unsigned long accepted;
	unsigned long refused;
	unsigned long dropped;
};

/* Whether @text (one line, without its newline) is a whole socket line. */
static inline bool nym_parse_line(const char *text, struct nym_line *line)
{
	int columns, end = 0;

	columns = sscanf(text,
			 "%125s %15s %15s %lu %lu %7s %lu %lu %lu %lu %lu %lu %lu %lu %lu%n",
			 line->name, line->type, line->state, &line->uid,
			 &line->gid, line->mode, &line->queued, &line->pending,
			 &line->limit, &line->inode, &line->parked, &line->peak,
			 &line->accepted, &line->refused, &line->dropped, &end);
	return columns == 15 && !text[end];
}

/*
 * Finds the line of the socket @fd; returns how many lines it has (1), or -1
 * when the file cannot be read.
 */
static inline int nym_proc_line(int fd, struct nym_line *found)
{
	unsigned long inode = nym_inode(fd);
	char *text = nym_slurp(NYM_PROC, 1 << 16);
	struct nym_line line;
	char *save = NULL, *s;
	int hits = 0;

	if (!text)
		return -1;
	for (s = strtok_r(text, "\n", &save); s; s = strtok_r(NULL, "\n", &save)) {
		if (!nym_parse_line(s, &line) || line.inode != inode)
			continue;
		*found = line;
		hits++;
	}
	free(text);
	return hits;
}

/* Waits until listener @fd has @want calls pending or parked. */
static inline bool nym_wait_pending(int fd, unsigned long want)
{
	long end = nym_now_ms() + NYM_PATIENCE_MS;
	struct nym_line line;

	while (nym_proc_line(fd, &line) != 1 || line.pending != want) {
		if (nym_now_ms() > end)
			return false;
		nym_nap();
	}
	return true;
}

/*
 * Stands where other programs have TEST_HARNESS_MAIN: the last test, which
 * checks that the ones before it left nothing, and main(). (Fixtures run in
 * the order of their definition.)
 */
#define NYM_TEST_MAIN \
FIXTURE(leaks) { }; \
FIXTURE_SETUP(leaks) { SKIP_WITHOUT_NYM(); } \
FIXTURE_TEARDOWN(leaks) { } \
TEST_F(leaks, none_after_all_tests) \
{ \
	const struct nym_counts *was = &nym_counts_before; \
	struct nym_counts now; \
	size_t i; \
\
	ASSERT_LE(0, was->sockets); \
	ASSERT_LE(0, was->lines); \
	EXPECT_TRUE(nym_wait_counts_back(&now)); \
	EXPECT_LE(now.sockets, was->sockets); \
	EXPECT_LE(now.lines, was->lines); \
	for (i = 0; i < ARRAY_SIZE(nym_caches); i++) { \
		/* qemu/run has the kernel keep them apart. */ \
		EXPECT_LE(0, was->objects[i]); \
		EXPECT_LE(now.objects[i], was->objects[i]) { \
			TH_LOG("objects left in the cache %s", nym_caches[i]); \
		} \
	} \
} \
TEST_HARNESS_MAIN

#endif /* NYM_TEST_H */
