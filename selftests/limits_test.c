// SPDX-License-Identifier: GPL-2.0
/*
 * What a user may make the kernel hold in a network namespace: names, parked
 * calls and descriptors in flight; the files of /proc/sys/net/nym that say so;
 * and the names that are reserved there.
 *
 * Each test has a network namespace of its own, so nobody else's limits change.
 * One process is all users: its saved uid stays 0, and it comes back as root.
 */
#include "nym_test.h"
#include "nym_io.h"

#define SYSCTL		"/proc/sys/net/nym/"
#define DEFAULT_LIMIT	65536

/* Users without capabilities. */
#define ANN		1000
#define BOB		1001

#define ADMIN_CAPS	NYM_CAP(CAP_NET_ADMIN)

/* The files */

/* One write() of @len bytes: 0 or the errno. */
static int write_once(const char *file, const char *text, size_t len)
{
	char path[64];
	ssize_t n;
	int fd, err;

	snprintf(path, sizeof(path), SYSCTL "%s", file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	n = write(fd, text, len);
	err = n < 0 ? errno : n == (ssize_t)len ? 0 : EIO;
	close(fd);
	return err;
}

static int put(const char *file, const char *text)
{
	return write_once(file, text, strlen(text));
}

static int put_limit(const char *file, int value)
{
	char text[16];

	snprintf(text, sizeof(text), "%d\n", value);
	return put(file, text);
}

/* What a file says, without its newline; in static storage. */
static const char *get(const char *file)
{
	static char text[8192];
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), SYSCTL "%s", file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return strerrorname_np(errno);
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n < 1 || text[n - 1] != '\n')
		return "(no newline)";
	text[n - 1] = 0;
	return text;
}

static int get_limit(const char *file)
{
	const char *text = get(file);
	char *end;
	long value = strtol(text, &end, 10);

	return end > text && !*end ? value : -1;
}

FIXTURE(limits)
{
	int fd[64];	/* closed at the end, if not -1 */
	int nfd;
};

FIXTURE_SETUP(limits)
{
	SKIP_WITHOUT_NYM();
	ASSERT_OK(unshare(CLONE_NEWNET));
	/* Everybody may call. */
	umask(0);
	self->nfd = 0;
}

FIXTURE_TEARDOWN(limits)
{
	while (self->nfd)
		close(self->fd[--self->nfd]);
}

static int keep(FIXTURE_DATA(limits) * self, int fd)
{
	if (fd < 0 || self->nfd == ARRAY_SIZE(self->fd))
		abort();
	return self->fd[self->nfd++] = fd;
}

static void drop(FIXTURE_DATA(limits) * self, int fd)
{
	int i;

	for (i = 0; i < self->nfd; i++) {
		if (self->fd[i] == fd)
			self->fd[i] = -1;
	}
	close(fd);
}

static void drop_last(FIXTURE_DATA(limits) * self)
{
	/* Where a test has failed, there may be fewer than it thinks. */
	if (self->nfd)
		close(self->fd[--self->nfd]);
}

static int last(FIXTURE_DATA(limits) * self)
{
	return self->nfd ? self->fd[self->nfd - 1] : -1;
}

static const char * const limit_files[] = {
	"max_names", "max_parked", "max_files",
};

TEST_F(limits, a_new_namespace_has_the_defaults)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(limit_files); i++)
		EXPECT_EQ(DEFAULT_LIMIT, get_limit(limit_files[i]));
	EXPECT_STREQ("", get("reserved"));
}

TEST_F(limits, files_are_read_by_all_and_written_by_root)
{
	static const char * const files[] = {
		"max_names", "max_parked", "max_files", "reserved",
	};
	struct stat st;
	char path[64];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), SYSCTL "%s", files[i]);
		ASSERT_OK(stat(path, &st));
		EXPECT_EQ(S_IFREG | 0644U, st.st_mode);
		EXPECT_EQ(0U, st.st_uid);
		EXPECT_EQ(0U, st.st_gid);
		nym_act_as(ANN, 0);
		EXPECT_OK(access(path, R_OK));
		EXPECT_SAME_ERRNO(EACCES, put(files[i], "1"));
		nym_act_as(0, 0);
	}
	nym_act_as(ANN, 0);
	EXPECT_EQ(DEFAULT_LIMIT, get_limit("max_names"));
	nym_act_as(0, 0);
}

TEST_F(limits, good_values_are_taken_and_bad_ones_change_nothing)
{
	static const char * const good[] = { "0", "1", "7\n", " 8 ", "2147483647" };
	static const char * const bad[] = {
		"-1", "2147483648", "4294967296", "99999999999999999999", "x",
		"1x", "-", "0x", "1.5",
	};
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(limit_files); i++) {
		for (j = 0; j < ARRAY_SIZE(good); j++) {
			EXPECT_SAME_ERRNO(0, put(limit_files[i], good[j]));
			EXPECT_EQ(strtol(good[j], NULL, 0),
				  get_limit(limit_files[i]));
		}
		ASSERT_EQ(0, put_limit(limit_files[i], 5));
		for (j = 0; j < ARRAY_SIZE(bad); j++) {
			EXPECT_SAME_ERRNO(EINVAL, put(limit_files[i], bad[j])) {
				TH_LOG("%s", bad[j]);
			}
			EXPECT_EQ(5, get_limit(limit_files[i]));
		}
	}
}

/* Names */

/* A new socket of @uid's bound to @name, kept if that works: 0 or the errno. */
static int take_name(FIXTURE_DATA(limits) * self, const char *name, uid_t uid,
		     __u64 caps)
{
	int fd, err;

	nym_act_as(uid, caps);
	fd = nym_bound(name);
	err = fd < 0 ? errno : 0;
	nym_act_as(0, 0);
	if (!err)
		keep(self, fd);
	return err;
}

#define EXPECT_TAKES(_err, _name, _uid, _caps) \
	EXPECT_SAME_ERRNO(_err, take_name(self, _name, _uid, _caps))

/* So many names that nobody has yet, and not one more. */
#define EXPECT_NAMES_LEFT(_n, _uid) do { \
	char __name[32]; \
	int __i; \
\
	for (__i = 0; __i <= (_n); __i++) { \
		snprintf(__name, sizeof(__name), "left-%d", __i); \
		EXPECT_TAKES(__i < (_n) ? 0 : EDQUOT, __name, _uid, 0); \
	} \
	for (__i = 0; __i < (_n); __i++) \
		drop_last(self); \
} while (0)

TEST_F(limits, a_user_may_have_max_names)
{
	ASSERT_EQ(0, put_limit("max_names", 3));
	EXPECT_TAKES(0, "a", ANN, 0);
	EXPECT_TAKES(0, "b", ANN, 0);
	EXPECT_TAKES(0, "c", ANN, 0);
	EXPECT_TAKES(EDQUOT, "d", ANN, 0);
	/* Another user has its own. */
	EXPECT_NAMES_LEFT(3, BOB);
	/* What is closed does not count. */
	drop_last(self);
	EXPECT_TAKES(0, "d", ANN, 0);
	EXPECT_TAKES(EDQUOT, "e", ANN, 0);
	drop_last(self);
	drop_last(self);
	drop_last(self);
	EXPECT_NAMES_LEFT(3, ANN);
}

TEST_F(limits, a_bind_that_is_over_the_limit_leaves_the_socket_as_it_was)
{
	struct stat st;
	int fd;

	ASSERT_EQ(0, put_limit("max_names", 1));
	EXPECT_TAKES(0, "a", ANN, 0);
	fd = keep(self, nym_socket());
	ASSERT_OK(fchown(fd, ANN, -1));
	nym_act_as(ANN, 0);
	umask(077);
	EXPECT_ERRNO(EDQUOT, nym_bind(fd, "b"));
	ASSERT_OK(fstat(fd, &st));
	EXPECT_EQ(0777U, st.st_mode & 0777);
	EXPECT_STREQ("", nym_own_name(fd));
	EXPECT_ERRNO(EINVAL, listen(fd, 1));
	nym_act_as(0, 0);
	ASSERT_EQ(0, put_limit("max_names", 2));
	nym_act_as(ANN, 0);
	EXPECT_OK(nym_bind(fd, "b"));
	ASSERT_OK(fstat(fd, &st));
	EXPECT_EQ(0700U, st.st_mode & 0777);
	nym_act_as(0, 0);
	umask(0);
}

TEST_F(limits, names_are_counted_by_the_real_uid)
{
	int fd = keep(self, nym_socket());

	ASSERT_EQ(0, put_limit("max_names", 1));
	EXPECT_TAKES(0, "a", ANN, 0);
	nym_act_as_both(ANN, BOB, 0);
	EXPECT_ERRNO(EDQUOT, nym_bind(fd, "b"));
	nym_act_as_both(BOB, ANN, 0);
	EXPECT_OK(nym_bind(fd, "b"));
	nym_act_as(0, 0);
	EXPECT_TAKES(EDQUOT, "c", BOB, 0);
}

TEST_F(limits, an_administrator_may_have_more_names)
{
	ASSERT_EQ(0, put_limit("max_names", 1));
	EXPECT_TAKES(0, "a", ANN, 0);
	EXPECT_TAKES(EDQUOT, "b", ANN, ~ADMIN_CAPS);
	EXPECT_TAKES(0, "b", ANN, ADMIN_CAPS);
	EXPECT_TAKES(0, "c", 0, 0);
	EXPECT_TAKES(0, "d", 0, 0);
	/* It is counted all the same. */
	ASSERT_EQ(0, put_limit("max_names", 2));
	EXPECT_TAKES(EDQUOT, "e", ANN, 0);
	ASSERT_EQ(0, put_limit("max_names", 3));
	EXPECT_TAKES(0, "e", ANN, 0);
}

TEST_F(limits, with_no_names_allowed_only_administrators_bind)
{
	ASSERT_EQ(0, put_limit("max_names", 0));
	EXPECT_TAKES(EDQUOT, "a", ANN, 0);
	EXPECT_TAKES(0, "a", 0, 0);
}

TEST_F(limits, a_lower_limit_takes_no_name_away)
{
	EXPECT_TAKES(0, "a", ANN, 0);
	EXPECT_TAKES(0, "b", ANN, 0);
	ASSERT_EQ(0, put_limit("max_names", 1));
	EXPECT_STREQ("b", nym_own_name(last(self)));
	EXPECT_OK(listen(last(self), 1));
	EXPECT_TAKES(EDQUOT, "c", ANN, 0);
	drop_last(self);
	EXPECT_TAKES(EDQUOT, "c", ANN, 0);
	drop_last(self);
	EXPECT_TAKES(0, "c", ANN, 0);
}

TEST_F(limits, names_that_the_kernel_chooses_count_where_they_are_bound)
{
	struct sockaddr_nym sa;
	socklen_t len = nym_addr(&sa, "a");
	int fd, pair[2];

	ASSERT_EQ(0, put_limit("max_names", 1));
	EXPECT_TAKES(0, "a", ANN, 0);
	nym_act_as(ANN, 0);
	fd = keep(self, nym_socket());
	EXPECT_ERRNO(EDQUOT, bind(fd, (struct sockaddr *)&sa,
				  sizeof(sa.snym_family)));
	/* A datagram socket must have one to send. */
	fd = keep(self, socket(AF_NYM, SOCK_DGRAM, 0));
	EXPECT_ERRNO(EDQUOT, sendto(fd, "x", 1, 0, (struct sockaddr *)&sa, len));
	EXPECT_ERRNO(EDQUOT, socketpair(AF_NYM, SOCK_DGRAM, 0, pair));
	/* Connections have no name that anybody could call. */
	EXPECT_OK(nym_pair(pair));
	nym_act_as(0, 0);
	close(pair[0]);
	close(pair[1]);
}

TEST_F(limits, a_bind_that_fails_does_not_count)
{
	int i;

	ASSERT_EQ(0, put_limit("max_names", 3));
	EXPECT_TAKES(0, "bobs", BOB, 0);
	for (i = 0; i < 5; i++) {
		EXPECT_TAKES(EADDRINUSE, "bobs", ANN, 0);
		EXPECT_TAKES(EACCES, "sys/x", ANN, 0);
		EXPECT_TAKES(EINVAL, ":x", ANN, 0);
	}
	EXPECT_NAMES_LEFT(3, ANN);
}

TEST_F(limits, a_name_whose_listener_is_closed_does_not_count_for_its_connections)
{
	int fd[2], listener;

	ASSERT_EQ(0, put_limit("max_names", 1));
	EXPECT_TAKES(0, "a", ANN, 0);
	listener = last(self);
	ASSERT_OK(listen(listener, 1));
	ASSERT_OK(nym_connection(listener, "a", fd));
	keep(self, fd[0]);
	keep(self, fd[1]);
	drop(self, listener);
	EXPECT_TAKES(0, "b", ANN, 0);
	EXPECT_STREQ("a", nym_own_name(fd[1]));
	/* And somebody else may have it. */
	EXPECT_TAKES(0, "a", BOB, 0);
}

static int bind_and_die(void *arg)
{
	static const char * const names[] = { "x", "y", "z" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (nym_bound(names[i]) < 0)
			return errno;
	}
	return 0;
}

TEST_F(limits, names_of_a_dead_process_do_not_count)
{
	static const struct nym_who ann = { .uid = ANN };

	ASSERT_EQ(0, put_limit("max_names", 3));
	EXPECT_EQ(0, nym_errno_as(&ann, bind_and_die, NULL));
	EXPECT_EQ(0, nym_errno_as(&ann, bind_and_die, NULL));
	EXPECT_NAMES_LEFT(3, ANN);
}

/* Names that linger, and names that are shared */

TEST_F(limits, a_name_that_lingers_counts)
{
	ASSERT_EQ(0, put_limit("max_names", 2));
	EXPECT_TAKES(0, "a", ANN, 0);
	ASSERT_OK(nym_option(last(self), NYM_LINGER, 3600000));
	drop_last(self);
	EXPECT_TAKES(0, "b", ANN, 0);
	EXPECT_TAKES(EDQUOT, "c", ANN, 0);
	EXPECT_TAKES(EADDRINUSE, "a", BOB, 0);
	drop_last(self);
	/* It counts once when its owner takes it up again. */
	EXPECT_TAKES(0, "a", ANN, 0);
	EXPECT_OK(listen(last(self), 1));
	EXPECT_NAMES_LEFT(1, ANN);
	drop_last(self);
	EXPECT_NAMES_LEFT(2, ANN);
}

/* Or a service at its limit could not be restarted. */
TEST_F(limits, who_is_at_the_limit_can_take_up_a_name_that_lingers)
{
	ASSERT_EQ(0, put_limit("max_names", 1));
	EXPECT_TAKES(0, "a", ANN, 0);
	ASSERT_OK(nym_option(last(self), NYM_LINGER, 3600000));
	drop_last(self);
	EXPECT_TAKES(EDQUOT, "b", ANN, 0);
	EXPECT_TAKES(0, "a", ANN, 0);
	EXPECT_OK(listen(last(self), 1));
	EXPECT_TAKES(EDQUOT, "b", ANN, 0);
	drop_last(self);
	EXPECT_NAMES_LEFT(1, ANN);
}

static int wait_take_name(FIXTURE_DATA(limits) * self, const char *name,
			  uid_t uid)
{
	long end = nym_now_ms() + NYM_PATIENCE_MS;
	int err;

	while ((err = take_name(self, name, uid, 0)) && nym_now_ms() < end + NYM_BRIEF_MS)
		nym_nap();
	return err;
}

TEST_F(limits, a_name_that_has_lingered_long_enough_does_not_count)
{
	ASSERT_EQ(0, put_limit("max_names", 1));
	EXPECT_TAKES(0, "a", ANN, 0);
	ASSERT_OK(nym_option(last(self), NYM_LINGER, NYM_BRIEF_MS));
	drop_last(self);
	EXPECT_TAKES(EDQUOT, "b", ANN, 0);
	EXPECT_EQ(0, wait_take_name(self, "b", ANN));
	EXPECT_TAKES(EDQUOT, "c", ANN, 0);
	drop_last(self);
	EXPECT_NAMES_LEFT(1, ANN);
}

/* A new socket of @uid's that shares @name: 0 or the errno. */
static int share_name(FIXTURE_DATA(limits) * self, const char *name, uid_t uid)
{
	int fd, err;

	nym_act_as(uid, 0);
	fd = keep(self, nym_socket());
	nym_option(fd, NYM_SHARE, NYM_SHARE_ON);
	err = nym_bind(fd, name) ? errno : 0;
	nym_act_as(0, 0);
	if (err)
		drop_last(self);
	return err;
}

TEST_F(limits, a_shared_name_counts_once_and_until_the_last_socket_is_closed)
{
	ASSERT_EQ(0, put_limit("max_names", 2));
	EXPECT_EQ(0, share_name(self, "a", ANN));
	EXPECT_EQ(0, share_name(self, "a", ANN));
	EXPECT_TAKES(0, "b", ANN, 0);
	EXPECT_TAKES(EDQUOT, "c", ANN, 0);
	drop_last(self);
	/* The first one of the two. */
	drop(self, self->fd[0]);
	EXPECT_NAMES_LEFT(1, ANN);
	drop_last(self);
	EXPECT_NAMES_LEFT(2, ANN);
}

TEST_F(limits, who_is_at_the_limit_can_share_what_it_has)
{
	ASSERT_EQ(0, put_limit("max_names", 1));
	EXPECT_EQ(0, share_name(self, "a", ANN));
	EXPECT_EQ(0, share_name(self, "a", ANN));
	EXPECT_TAKES(EDQUOT, "b", ANN, 0);
}

struct binder {
	pthread_t thread;
	uid_t uid;
	int number;
	int most;
	int *bound;	/* how many there are now, of all threads */
	long n;		/* how many it has bound in all */
	bool *stop;
	bool over;	/* there were more than there may be */
	int bad;	/* an errno that may not be */
};

static void binder_bound(struct binder *b, int fd)
{
	if (__atomic_add_fetch(b->bound, 1, __ATOMIC_SEQ_CST) > b->most)
		b->over = true;
	b->n++;
	sched_yield();
	__atomic_sub_fetch(b->bound, 1, __ATOMIC_SEQ_CST);
	close(fd);
}

static void *binder_main(void *arg)
{
	struct binder *b = arg;
	char name[32];
	int fd;

	snprintf(name, sizeof(name), "name-%d", b->number);
	nym_act_as(b->uid, 0);
	while (!__atomic_load_n(b->stop, __ATOMIC_ACQUIRE)) {
		fd = nym_bound(name);
		if (fd >= 0)
			binder_bound(b, fd);
		else if (errno != EDQUOT)
			b->bad = errno;
	}
	return NULL;
}

TEST_F(limits, many_who_bind_at_once_do_not_exceed_max_names)
{
	struct binder b[6];
	bool stop = false;
	int bound = 0;
	long n = 0;
	size_t i;

	ASSERT_EQ(0, put_limit("max_names", 2));
	for (i = 0; i < ARRAY_SIZE(b); i++) {
		b[i] = (struct binder){ .uid = ANN, .number = i, .most = 2,
					.bound = &bound, .stop = &stop };
		ASSERT_EQ(0, pthread_create(&b[i].thread, NULL, binder_main, &b[i]));
	}
	usleep(300000);
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	for (i = 0; i < ARRAY_SIZE(b); i++) {
		pthread_join(b[i].thread, NULL);
		EXPECT_FALSE(b[i].over);
		EXPECT_SAME_ERRNO(0, b[i].bad);
		n += b[i].n;
	}
	EXPECT_LT(0, n);
	EXPECT_NAMES_LEFT(2, ANN);
}

/* Parked calls */

/* A listener of root's with room for one call, which is there already. */
static int full_listener(FIXTURE_DATA(limits) * self, const char *name)
{
	int fd = keep(self, nym_listen(name, 0));

	keep(self, nym_connect(name));
	return nym_set_nonblock(fd, true) ? -1 : fd;
}

/* A call of @uid's that stays if it is parked: 0 or the errno. */
static int call_as(FIXTURE_DATA(limits) * self, const char *name, uid_t uid,
		   __u64 caps)
{
	int fd = keep(self, nym_socket_nonblock());
	int err;

	nym_act_as(uid, caps);
	err = nym_call(fd, name) ? errno : 0;
	nym_act_as(0, 0);
	if (err && err != EINPROGRESS)
		drop_last(self);
	return err;
}

#define EXPECT_CALL(_err, _name, _uid, _caps) \
	EXPECT_SAME_ERRNO(_err, call_as(self, _name, _uid, _caps))

/* So many calls of @_uid can be parked, and not one more. */
#define EXPECT_PARKS_LEFT(_n, _uid) do { \
	int __i; \
\
	full_listener(self, "left"); \
	for (__i = 0; __i < (_n); __i++) \
		EXPECT_CALL(EINPROGRESS, "left", _uid, 0); \
	EXPECT_CALL(EAGAIN, "left", _uid, 0); \
	for (__i = 0; __i < (_n) + 2; __i++) \
		drop_last(self); \
} while (0)

TEST_F(limits, a_user_may_have_max_parked_calls)
{
	int listener;

	ASSERT_EQ(0, put_limit("max_parked", 3));
	listener = full_listener(self, "a");
	full_listener(self, "b");
	EXPECT_CALL(EINPROGRESS, "a", ANN, 0);
	EXPECT_CALL(EINPROGRESS, "a", ANN, 0);
	EXPECT_CALL(EINPROGRESS, "b", ANN, 0);
	EXPECT_CALL(EAGAIN, "b", ANN, 0);
	EXPECT_CALL(EAGAIN, "a", ANN, 0);
	EXPECT_CALL(EINPROGRESS, "a", BOB, 0);
	/* What has moved up is not parked. */
	close(accept(listener, NULL, NULL));
	EXPECT_CALL(EINPROGRESS, "b", ANN, 0);
	EXPECT_CALL(EAGAIN, "b", ANN, 0);
	/* Nor is what has been taken back. */
	drop_last(self);
	EXPECT_CALL(EINPROGRESS, "a", ANN, 0);
	EXPECT_CALL(EAGAIN, "a", ANN, 0);
}

/* It would wait, and may not: not even when it has the time. */
TEST_F(limits, a_blocking_call_over_the_limit_does_not_wait)
{
	int fd = keep(self, nym_socket()), listener, served;

	ASSERT_EQ(0, put_limit("max_parked", 1));
	listener = full_listener(self, "a");
	EXPECT_CALL(EINPROGRESS, "a", ANN, 0);
	nym_act_as(ANN, 0);
	EXPECT_ERRNO(EAGAIN, nym_call(fd, "a"));
	/* The socket is as it was. */
	EXPECT_EQ(0, io_so_error(fd));
	EXPECT_EQ(POLLOUT | POLLHUP, nym_poll_now(fd, POLLOUT));
	EXPECT_ERRNO(EAGAIN, nym_call(fd, "a"));
	nym_act_as(0, 0);
	for (served = 0; served < 2; served++)
		close(accept(listener, NULL, NULL));
	nym_act_as(ANN, 0);
	EXPECT_OK(nym_call(fd, "a"));
	nym_act_as(0, 0);
}

TEST_F(limits, with_no_parked_calls_allowed_a_full_backlog_is_eagain)
{
	int listener;

	ASSERT_EQ(0, put_limit("max_parked", 0));
	listener = full_listener(self, "a");
	EXPECT_CALL(EAGAIN, "a", ANN, 0);
	close(accept(listener, NULL, NULL));
	EXPECT_CALL(0, "a", ANN, 0);
	EXPECT_CALL(EAGAIN, "a", ANN, 0);
}

TEST_F(limits, an_administrator_may_have_more_parked_calls_but_not_the_owner)
{
	int fd;

	ASSERT_EQ(0, put_limit("max_parked", 1));
	EXPECT_TAKES(0, "a", ANN, 0);
	fd = last(self);
	ASSERT_OK(listen(fd, 0));
	EXPECT_CALL(0, "a", ANN, 0);
	EXPECT_CALL(EINPROGRESS, "a", ANN, 0);
	EXPECT_CALL(EAGAIN, "a", ANN, 0);
	EXPECT_CALL(EAGAIN, "a", ANN, ~ADMIN_CAPS);
	EXPECT_CALL(EINPROGRESS, "a", ANN, ADMIN_CAPS);
	EXPECT_CALL(EINPROGRESS, "a", 0, 0);
	EXPECT_CALL(EINPROGRESS, "a", 0, 0);
}

TEST_F(limits, parked_calls_are_counted_by_the_real_uid)
{
	int fd = keep(self, nym_socket_nonblock());

	ASSERT_EQ(0, put_limit("max_parked", 1));
	full_listener(self, "a");
	EXPECT_CALL(EINPROGRESS, "a", ANN, 0);
	nym_act_as_both(ANN, BOB, 0);
	EXPECT_ERRNO(EAGAIN, nym_call(fd, "a"));
	nym_act_as_both(BOB, ANN, 0);
	EXPECT_ERRNO(EINPROGRESS, nym_call(fd, "a"));
	nym_act_as(0, 0);
	EXPECT_CALL(EAGAIN, "a", BOB, 0);
}

TEST_F(limits, calls_that_wait_for_a_name_are_parked_calls)
{
	int fd[3], i;

	ASSERT_EQ(0, put_limit("max_parked", 2));
	for (i = 0; i < 3; i++) {
		fd[i] = keep(self, nym_socket_nonblock());
		ASSERT_OK(nym_option(fd[i], NYM_WAIT, 1));
		nym_act_as(ANN, 0);
		EXPECT_ERRNO(i < 2 ? EINPROGRESS : EAGAIN, nym_call(fd[i], "a"));
		nym_act_as(0, 0);
	}
	keep(self, nym_listen("a", 8));
	EXPECT_EQ(POLLOUT, nym_poll_now(fd[1], POLLOUT));
	EXPECT_PARKS_LEFT(2, ANN);
}

/* ANN's listener at @name, which lingers. */
static int ann_listens(FIXTURE_DATA(limits) * self, const char *name)
{
	if (take_name(self, name, ANN, 0) ||
	    nym_option(last(self), NYM_LINGER, 3600000) || listen(last(self), 32))
		return -1;
	return last(self);
}

/* How many of the connections have not been reset. */
static int still_there(const int *call, int n)
{
	int i, there = 0;
	char c;

	for (i = 0; i < n; i++)
		there += recv(call[i], &c, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
	return there;
}

/* So many of six calls to @name outlive its listener. */
#define EXPECT_KEPT(_n, _name) do { \
	int __listener = ann_listens(self, _name), __call[6], __i; \
\
	ASSERT_FD(__listener); \
	for (__i = 0; __i < 6; __i++) { \
		EXPECT_CALL(0, _name, BOB, 0); \
		__call[__i] = last(self); \
	} \
	drop(self, __listener); \
	EXPECT_EQ(_n, still_there(__call, 6)); \
} while (0)

/* Of the owner: callers may have gone, and who closes it, here root, may be anybody. */
TEST_F(limits, calls_that_wait_for_a_successor_are_counted_for_the_owner)
{
	int listener, i;

	ASSERT_EQ(0, put_limit("max_parked", 8));
	EXPECT_KEPT(6, "a");
	EXPECT_KEPT(2, "b");
	EXPECT_KEPT(0, "c");
	/* Others have their own. */
	EXPECT_PARKS_LEFT(8, BOB);
	/* They do not count while somebody has them, and count again after that. */
	listener = ann_listens(self, "a");
	ASSERT_FD(listener);
	EXPECT_KEPT(6, "d");
	drop(self, listener);
	EXPECT_KEPT(0, "e");
	/* Nor do they when they are accepted, or the name is gone. */
	listener = ann_listens(self, "d");
	ASSERT_FD(listener);
	for (i = 0; i < 6; i++)
		close(accept(listener, NULL, NULL));
	EXPECT_KEPT(6, "f");
	listener = ann_listens(self, "f");
	ASSERT_FD(listener);
	drop(self, listener);
	listener = ann_listens(self, "f");
	ASSERT_FD(listener);
	ASSERT_OK(nym_option(listener, NYM_LINGER, 0));
	drop(self, listener);
	EXPECT_KEPT(6, "g");
}

/* Or else a user could pile them up, closing and opening one member after another. */
TEST_F(limits, calls_that_a_member_gets_beyond_its_backlog_are_counted)
{
	int round, i, first, heir, call[6];

	ASSERT_EQ(0, put_limit("max_parked", 3));
	for (round = 0; round < 2; round++) {
		ASSERT_EQ(0, share_name(self, "a", ANN));
		first = last(self);
		ASSERT_OK(listen(first, 32));
		for (i = 0; i < 6; i++) {
			EXPECT_CALL(0, "a", BOB, 0);
			call[i] = last(self);
		}
		ASSERT_EQ(0, share_name(self, "a", ANN));
		heir = last(self);
		/* Room for two. */
		ASSERT_OK(listen(heir, 1));
		drop(self, first);
		EXPECT_EQ(5, still_there(call, 6));
		EXPECT_KEPT(0, "b");
		for (i = 0; i < 5; i++)
			close(accept(heir, NULL, NULL));
		drop(self, heir);
		for (i = 0; i < 6; i++)
			drop(self, call[i]);
	}
	EXPECT_KEPT(3, "c");
}

/* A lower limit takes away nothing that is kept, wherever that goes. */
TEST_F(limits, calls_that_are_kept_stay_when_somebody_listens)
{
	int i, member[3], call[6];

	ASSERT_EQ(0, put_limit("max_parked", 8));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, share_name(self, "a", ANN));
		member[i] = last(self);
	}
	ASSERT_OK(listen(member[0], 32));
	for (i = 0; i < 6; i++) {
		EXPECT_CALL(0, "a", BOB, 0);
		call[i] = last(self);
	}
	drop(self, member[0]);
	EXPECT_EQ(6, still_there(call, 6));
	ASSERT_EQ(0, put_limit("max_parked", 0));
	/* Room for one, which is not counted any more. */
	ASSERT_OK(listen(member[1], 0));
	EXPECT_EQ(6, still_there(call, 6));
	drop(self, member[1]);
	EXPECT_EQ(5, still_there(call, 6));
	ASSERT_OK(listen(member[2], 0));
	EXPECT_EQ(5, still_there(call, 6));
	for (i = 0; i < 5; i++)
		close(accept(member[2], NULL, NULL));
	ASSERT_EQ(0, put_limit("max_parked", 3));
	EXPECT_KEPT(3, "b");
}

TEST_F(limits, parked_calls_that_are_refused_do_not_count)
{
	int listener;

	ASSERT_EQ(0, put_limit("max_parked", 2));
	listener = full_listener(self, "a");
	EXPECT_CALL(EINPROGRESS, "a", ANN, 0);
	EXPECT_CALL(EINPROGRESS, "a", ANN, 0);
	drop(self, listener);
	EXPECT_EQ(ECONNREFUSED, io_so_error(last(self)));
	EXPECT_PARKS_LEFT(2, ANN);
}

TEST_F(limits, parked_calls_that_give_up_do_not_count)
{
	int fd = keep(self, nym_socket()), i;

	ASSERT_EQ(0, put_limit("max_parked", 2));
	full_listener(self, "a");
	ASSERT_OK(nym_set_timeout(fd, SO_SNDTIMEO, 10));
	for (i = 0; i < 4; i++) {
		nym_act_as(ANN, 0);
		EXPECT_ERRNO(EAGAIN, nym_call(fd, "a"));
		nym_act_as(0, 0);
	}
	EXPECT_PARKS_LEFT(2, ANN);
}

static int park_and_die(void *arg)
{
	int i;

	for (i = 0; i < 2; i++) {
		if (!nym_call(nym_socket_nonblock(), "a") || errno != EINPROGRESS)
			return errno;
	}
	return 0;
}

TEST_F(limits, parked_calls_of_a_dead_process_do_not_count)
{
	static const struct nym_who ann = { .uid = ANN };
	int i;

	ASSERT_EQ(0, put_limit("max_parked", 2));
	full_listener(self, "a");
	for (i = 0; i < 3; i++)
		EXPECT_EQ(0, nym_errno_as(&ann, park_and_die, NULL));
	EXPECT_PARKS_LEFT(2, ANN);
}

TEST_F(limits, a_lower_limit_takes_no_parked_call_away)
{
	int listener = full_listener(self, "a"), first;

	EXPECT_CALL(EINPROGRESS, "a", ANN, 0);
	first = last(self);
	EXPECT_CALL(EINPROGRESS, "a", ANN, 0);
	ASSERT_EQ(0, put_limit("max_parked", 1));
	EXPECT_CALL(EAGAIN, "a", ANN, 0);
	EXPECT_ERRNO(EALREADY, nym_call(first, "a"));
	close(accept(listener, NULL, NULL));
	EXPECT_EQ(POLLOUT, nym_poll_now(first, POLLOUT));
	EXPECT_CALL(EAGAIN, "a", ANN, 0);
	close(accept(listener, NULL, NULL));
	EXPECT_CALL(EINPROGRESS, "a", ANN, 0);
}

/* Calls, waits a little or not at all, and gives up, for ever. */
static void *parker_main(void *arg)
{
	struct binder *b = arg;
	__u32 rnd = b->number + 1;
	int fd;

	nym_act_as(b->uid, 0);
	while (!__atomic_load_n(b->stop, __ATOMIC_ACQUIRE)) {
		bool blocks = io_rand(&rnd) & 1;

		fd = blocks ? nym_socket() : nym_socket_nonblock();
		if (blocks)
			nym_set_timeout(fd, SO_SNDTIMEO, io_rand_size(&rnd, 4));
		if (nym_call(fd, "a") && errno != EAGAIN && errno != EINPROGRESS)
			b->bad = errno;
		close(fd);
	}
	return NULL;
}

TEST_F(limits, the_count_of_parked_calls_is_right_after_many_have_called_at_once)
{
	struct binder b[6];
	bool stop = false;
	long end;
	int listener;
	size_t i;

	ASSERT_EQ(0, put_limit("max_parked", 3));
	listener = full_listener(self, "a");
	for (i = 0; i < ARRAY_SIZE(b); i++) {
		b[i] = (struct binder){ .uid = ANN, .number = i, .stop = &stop };
		ASSERT_EQ(0, pthread_create(&b[i].thread, NULL, parker_main, &b[i]));
	}
	for (end = nym_now_ms() + 400; nym_now_ms() < end; ) {
		int fd = accept(listener, NULL, NULL);

		if (fd >= 0)
			close(fd);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	for (i = 0; i < ARRAY_SIZE(b); i++) {
		pthread_join(b[i].thread, NULL);
		EXPECT_SAME_ERRNO(0, b[i].bad);
	}
	EXPECT_PARKS_LEFT(3, ANN);
}

/* Descriptors in flight */

/* Sends @n descriptors along with a byte as somebody: 0 or the errno. */
static int send_files(int fd, int n, uid_t uid, __u64 caps)
{
	char control[CMSG_SPACE(16 * sizeof(int))] = { };
	struct iovec iov = { "x", 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = CMSG_SPACE(n * sizeof(int)),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	int i, err;

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(n * sizeof(int));
	for (i = 0; i < n; i++)
		((int *)CMSG_DATA(cmsg))[i] = STDERR_FILENO;
	nym_act_as(uid, caps);
	err = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? errno : 0;
	nym_act_as(0, 0);
	return err;
}

/* Receives a byte and what comes along; closes it: how many descriptors. */
static int receive_files(int fd)
{
	char control[CMSG_SPACE(16 * sizeof(int))], byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg;
	int i, n = 0;

	if (recvmsg(fd, &msg, MSG_DONTWAIT) != 1)
		return -1;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg)
		n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	for (i = 0; i < n; i++)
		close(((int *)CMSG_DATA(cmsg))[i]);
	return n;
}

/* A pair whose second end takes descriptors. */
static int files_pair(FIXTURE_DATA(limits) * self, int type, int fd[2])
{
	if (socketpair(AF_NYM, type | SOCK_CLOEXEC, 0, fd))
		return -1;
	keep(self, fd[0]);
	keep(self, fd[1]);
	return nym_option(fd[1], NYM_PASSRIGHTS, 1);
}

#define EXPECT_SENDS(_err, _fd, _n, _uid, _caps) \
	EXPECT_SAME_ERRNO(_err, send_files(_fd, _n, _uid, _caps))

TEST_F(limits, a_user_may_have_max_files_in_flight)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
	size_t i;
	int fd[2];

	ASSERT_EQ(0, put_limit("max_files", 3));
	for (i = 0; i < ARRAY_SIZE(types); i++) {
		ASSERT_OK(files_pair(self, types[i], fd));
		EXPECT_SENDS(ETOOMANYREFS, fd[0], 4, ANN, 0);
		EXPECT_SENDS(0, fd[0], 2, ANN, 0);
		EXPECT_SENDS(ETOOMANYREFS, fd[0], 2, ANN, 0);
		EXPECT_SENDS(0, fd[0], 1, ANN, 0);
		EXPECT_SENDS(ETOOMANYREFS, fd[0], 1, ANN, 0);
		EXPECT_SENDS(0, fd[0], 3, BOB, 0);
		EXPECT_EQ(2, receive_files(fd[1]));
		EXPECT_SENDS(ETOOMANYREFS, fd[0], 3, ANN, 0);
		EXPECT_SENDS(0, fd[0], 2, ANN, 0);
		EXPECT_EQ(1, receive_files(fd[1]));
		EXPECT_EQ(3, receive_files(fd[1]));
		EXPECT_EQ(2, receive_files(fd[1]));
		EXPECT_EQ(-1, receive_files(fd[1]));
	}
}

TEST_F(limits, files_in_flight_are_counted_over_all_sockets)
{
	int a[2], b[2];

	ASSERT_EQ(0, put_limit("max_files", 2));
	ASSERT_OK(files_pair(self, SOCK_STREAM, a));
	ASSERT_OK(files_pair(self, SOCK_DGRAM, b));
	EXPECT_SENDS(0, a[0], 1, ANN, 0);
	EXPECT_SENDS(0, b[0], 1, ANN, 0);
	EXPECT_SENDS(ETOOMANYREFS, a[0], 1, ANN, 0);
	EXPECT_SENDS(ETOOMANYREFS, b[0], 1, ANN, 0);
	/* What is thrown away has landed. */
	drop(self, a[1]);
	EXPECT_SENDS(0, b[0], 1, ANN, 0);
	EXPECT_SENDS(ETOOMANYREFS, b[0], 1, ANN, 0);
	drop(self, b[1]);
	ASSERT_OK(files_pair(self, SOCK_STREAM, a));
	EXPECT_SENDS(0, a[0], 2, ANN, 0);
}

TEST_F(limits, files_that_were_not_sent_do_not_count)
{
	int fd[2], i;

	ASSERT_EQ(0, put_limit("max_files", 2));
	ASSERT_OK(files_pair(self, SOCK_STREAM, fd));
	for (i = 0; i < 4; i++) {
		/* This end does not want any. */
		EXPECT_SENDS(EPERM, fd[1], 2, ANN, 0);
	}
	EXPECT_SENDS(0, fd[0], 2, ANN, 0);
	EXPECT_SENDS(ETOOMANYREFS, fd[0], 1, ANN, 0);
}

TEST_F(limits, with_no_files_allowed_only_the_privileged_send_them)
{
	int fd[2];

	ASSERT_EQ(0, put_limit("max_files", 0));
	ASSERT_OK(files_pair(self, SOCK_STREAM, fd));
	EXPECT_SENDS(ETOOMANYREFS, fd[0], 1, ANN, 0);
	EXPECT_SENDS(0, fd[0], 1, ANN, NYM_CAP(CAP_SYS_RESOURCE));
	EXPECT_SENDS(0, fd[0], 1, ANN, NYM_CAP(CAP_SYS_ADMIN));
	EXPECT_SENDS(0, fd[0], 2, 0, 0);
}

TEST_F(limits, the_smaller_one_of_max_files_and_rlimit_nofile_counts)
{
	struct rlimit old, low;
	int fd[2];

	ASSERT_OK(getrlimit(RLIMIT_NOFILE, &old));
	low = old;
	low.rlim_cur = 2;
	ASSERT_OK(files_pair(self, SOCK_STREAM, fd));
	ASSERT_OK(setrlimit(RLIMIT_NOFILE, &low));
	EXPECT_SENDS(ETOOMANYREFS, fd[0], 3, ANN, 0);
	EXPECT_SENDS(0, fd[0], 2, ANN, 0);
	EXPECT_SENDS(ETOOMANYREFS, fd[0], 1, ANN, 0);
	ASSERT_OK(setrlimit(RLIMIT_NOFILE, &old));
	EXPECT_SENDS(0, fd[0], 1, ANN, 0);
	ASSERT_EQ(0, put_limit("max_files", 3));
	EXPECT_SENDS(ETOOMANYREFS, fd[0], 1, ANN, 0);
}

/* Namespaces */

/* In a namespace of its own: what is wrong there, or 0. */
static int in_another_namespace(void *arg)
{
	if (unshare(CLONE_NEWNET))
		return 1;
	if (get_limit("max_names") != DEFAULT_LIMIT ||
	    get_limit("max_parked") != DEFAULT_LIMIT ||
	    get_limit("max_files") != DEFAULT_LIMIT || *get("reserved"))
		return 2;
	if (put_limit("max_names", 1) || put_limit("max_parked", 2) ||
	    put_limit("max_files", 3) || put("reserved", "other/ uid 7"))
		return 3;
	if (get_limit("max_names") != 1 || get_limit("max_parked") != 2 ||
	    get_limit("max_files") != 3 || strcmp(get("reserved"), "other/ uid 7"))
		return 4;
	/* What users have elsewhere is not counted here. */
	nym_act_as(ANN, 0);
	if (nym_bound("a") < 0 || nym_bound("app/") < 0)
		return errno == EDQUOT ? 0 : 5;
	return 6;
}

TEST_F(limits, each_network_namespace_has_its_own)
{
	ASSERT_EQ(0, put_limit("max_names", 11));
	ASSERT_EQ(0, put_limit("max_parked", 12));
	ASSERT_EQ(0, put_limit("max_files", 13));
	ASSERT_EQ(0, put("reserved", "app/ uid 1001"));
	EXPECT_TAKES(0, "a", ANN, 0);
	EXPECT_EQ(0, nym_errno_as(NULL, in_another_namespace, NULL));
	EXPECT_EQ(11, get_limit("max_names"));
	EXPECT_EQ(12, get_limit("max_parked"));
	EXPECT_EQ(13, get_limit("max_files"));
	EXPECT_STREQ("app/ uid 1001", get("reserved"));
	EXPECT_TAKES(0, "other/x", ANN, 0);
	EXPECT_TAKES(EACCES, "app/x", ANN, 0);
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), err;

	if (fd < 0)
		return errno;
	err = write(fd, text, strlen(text)) < 0 ? errno : 0;
	close(fd);
	return err;
}

/* Makes ANN, who this process is, root of new namespaces. */
static int become_root_of_namespaces(void)
{
	/* Its /proc files are root's since it has changed its uid. */
	if (prctl(PR_SET_DUMPABLE, 1) || unshare(CLONE_NEWUSER | CLONE_NEWNET) ||
	    write_file("/proc/self/setgroups", "deny") ||
	    write_file("/proc/self/uid_map", "0 1000 1") ||
	    write_file("/proc/self/gid_map", "0 1000 1"))
		return -1;
	return getuid() || geteuid() ? -1 : 0;
}

#define NO_NAMESPACES	100

static int limits_as_root_of_namespaces(void *arg)
{
	if (become_root_of_namespaces())
		return NO_NAMESPACES;
	if (put_limit("max_names", 2) || get_limit("max_names") != 2)
		return 1;
	if (put_limit("max_parked", 2) || put_limit("max_files", 2))
		return 2;
	/* Ids are those of its user namespace. */
	if (put("reserved", "app/ uid 0,web/ gid 0") ||
	    strcmp(get("reserved"), "app/ uid 0,web/ gid 0"))
		return 3;
	if (put("reserved", "app/ uid 5") != EINVAL ||
	    put("reserved", "app/ uid 1000") != EINVAL ||
	    put("reserved", "app/ gid 5") != EINVAL)
		return 4;
	return nym_bound("app/x") < 0 || nym_bound("web/x") < 0 ? 5 : 0;
}

#define SKIP_WITHOUT_NAMESPACES(_ret) do { \
	if ((_ret) == NO_NAMESPACES) \
		SKIP(return, "users may not make namespaces here"); \
} while (0)

static const struct nym_who ann_and_group = { .uid = ANN, .gid = ANN };

static int more_as_root_of_namespaces(void *arg)
{
	size_t i;

	if (become_root_of_namespaces())
		return NO_NAMESPACES;
	for (i = 0; i < ARRAY_SIZE(limit_files); i++) {
		if (put_limit(limit_files[i], DEFAULT_LIMIT + 1) != EINVAL ||
		    put_limit(limit_files[i], INT_MAX) != EINVAL)
			return 1;
		if (put_limit(limit_files[i], 2) || put_limit(limit_files[i], 3) ||
		    put_limit(limit_files[i], DEFAULT_LIMIT))
			return 2;
	}
	return 0;
}

/* It is the host's memory. */
TEST_F(limits, root_of_a_user_namespace_cannot_set_more_than_the_host_has)
{
	int ret = nym_errno_as(&ann_and_group, more_as_root_of_namespaces, NULL);

	SKIP_WITHOUT_NAMESPACES(ret);
	EXPECT_EQ(0, ret);
	/* Other network namespaces may have more. */
	EXPECT_SAME_ERRNO(0, put_limit("max_names", DEFAULT_LIMIT + 1));
}

static int hosts_limits(void *arg)
{
	int host = open("/proc/1/ns/net", O_RDONLY | O_CLOEXEC), ret = 0;
	size_t i;

	if (host < 0 || setns(host, CLONE_NEWNET))
		return 1;
	for (i = 0; i < ARRAY_SIZE(limit_files); i++)
		ret |= put_limit(limit_files[i], 1000 + i);
	if (unshare(CLONE_NEWNET))
		ret = 2;
	for (i = 0; i < ARRAY_SIZE(limit_files); i++) {
		if (get_limit(limit_files[i]) != 1000 + (int)i)
			ret = 3;
	}
	if (setns(host, CLONE_NEWNET))
		return 4;
	for (i = 0; i < ARRAY_SIZE(limit_files); i++)
		ret |= put_limit(limit_files[i], DEFAULT_LIMIT);
	return ret;
}

TEST_F(limits, a_new_namespace_begins_with_what_the_host_has)
{
	EXPECT_EQ(0, nym_errno_as(NULL, hosts_limits, NULL));
}

TEST_F(limits, root_of_a_user_namespace_sets_the_limits_of_its_network_namespace)
{
	int ret = nym_errno_as(&ann_and_group, limits_as_root_of_namespaces, NULL);

	SKIP_WITHOUT_NAMESPACES(ret);
	EXPECT_EQ(0, ret);
	EXPECT_EQ(DEFAULT_LIMIT, get_limit("max_names"));
	EXPECT_STREQ("", get("reserved"));
}

/* Only CAP_NET_ADMIN in the initial user namespace exempts. */
static int names_as_root_of_namespaces(void *arg)
{
	if (become_root_of_namespaces())
		return NO_NAMESPACES;
	if (put_limit("max_names", 2) || nym_bound("a") < 0 || nym_bound("b") < 0)
		return 1;
	return nym_bound("c") >= 0 ? 2 : errno == EDQUOT ? 0 : 3;
}

TEST_F(limits, root_of_a_user_namespace_has_no_more_names_than_others)
{
	int ret = nym_errno_as(&ann_and_group, names_as_root_of_namespaces, NULL);

	SKIP_WITHOUT_NAMESPACES(ret);
	EXPECT_EQ(0, ret);
}

static int parked_as_root_of_namespaces(void *arg)
{
	int i;

	if (become_root_of_namespaces())
		return NO_NAMESPACES;
	if (put_limit("max_parked", 2) || nym_listen("a", 0) < 0 ||
	    nym_connect("a") < 0)
		return 1;
	for (i = 0; i < 2; i++) {
		if (!nym_call(nym_socket_nonblock(), "a") || errno != EINPROGRESS)
			return 2;
	}
	if (!nym_call(nym_socket_nonblock(), "a"))
		return 3;
	return errno == EAGAIN ? 0 : 4;
}

TEST_F(limits, root_of_a_user_namespace_has_no_more_parked_calls_than_others)
{
	int ret = nym_errno_as(&ann_and_group, parked_as_root_of_namespaces, NULL);

	SKIP_WITHOUT_NAMESPACES(ret);
	EXPECT_EQ(0, ret);
}

/* Reserved names: the list */

#define TEN	"0123456789"
#define FIFTY	TEN TEN TEN TEN TEN
#define LONGEST	FIFTY FIFTY TEN TEN "12345"

TEST_F(limits, a_good_list_is_taken_and_read_back)
{
	static const char * const good[] = {
		"",
		"app/ uid 1000",
		"app/ gid 1000",
		"a uid 0,b gid 4294967294",
		"app/\tuid\t1000",
		" app/ uid 1 , web gid 2 ",
		",,app/ uid 1,",
		",",
		"uid uid 1,gid gid 1",
		"app/ uid 1,app/ uid 2,app/ gid 3",
		LONGEST " uid 1000",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		char line[256];

		snprintf(line, sizeof(line), "%s\n", good[i]);
		EXPECT_SAME_ERRNO(0, put("reserved", line)) {
			TH_LOG("%s", good[i]);
		}
		EXPECT_STREQ(good[i], get("reserved"));
	}
	/* Without a newline, too. */
	EXPECT_SAME_ERRNO(0, put("reserved", "app/ uid 1"));
	EXPECT_STREQ("app/ uid 1", get("reserved"));
}

TEST_F(limits, a_bad_list_is_refused_and_changes_nothing)
{
	static const char * const bad[] = {
		"app/",
		"app/ uid",
		"app/ uid ",
		"app/ 1000",
		"app/ uid x",
		"app/ uid -1",
		"app/ uid 0x10",
		"app/ uid 1.5",
		"app/ uid 4294967295",
		"app/ uid 4294967296",
		"app/ uid 1000 1001",
		"app/ gid",
		"app/ gid x",
		"app/ gid 4294967295",
		"app/ user 1000",
		"app/ UID 1000",
		"app/ uids 1000",
		"uid 1000",
		"app/ uid 1000;web/ uid 1000",
		"app/ uid 1000,web/",
		"app/ uid 1000,web/ uid x,foo/ uid 1",
		LONGEST "6 uid 1000",
	};
	size_t i;

	ASSERT_EQ(0, put("reserved", "old/ uid 1001"));
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_SAME_ERRNO(EINVAL, put("reserved", bad[i])) {
			TH_LOG("%s", bad[i]);
		}
		EXPECT_STREQ("old/ uid 1001", get("reserved"));
	}
	EXPECT_TAKES(EACCES, "old/x", ANN, 0);
	EXPECT_TAKES(0, "app/x", ANN, 0);
}

/* Text of @len bytes that says "app/ uid 1001", and nothing much else. */
static char *long_list(size_t len)
{
	static char text[16384];

	memset(text, ',', len);
	memcpy(text + len - 13, "app/ uid 1001", 13);
	text[len] = 0;
	return text;
}

TEST_F(limits, a_list_may_be_as_long_as_a_page_and_no_longer)
{
	size_t page = sysconf(_SC_PAGESIZE);

	ASSERT_EQ(0, put("reserved", long_list(page - 1)));
	EXPECT_STREQ(long_list(page - 1), get("reserved"));
	EXPECT_TAKES(EACCES, "app/x", ANN, 0);
	EXPECT_SAME_ERRNO(E2BIG, put("reserved", long_list(page)));
	EXPECT_SAME_ERRNO(E2BIG, put("reserved", long_list(page + 1)));
	EXPECT_SAME_ERRNO(E2BIG, put("reserved", long_list(3 * page)));
	EXPECT_STREQ(long_list(page - 1), get("reserved"));
}

TEST_F(limits, a_list_is_written_in_one_go)
{
	int fd = open(SYSCTL "reserved", O_RDWR | O_CLOEXEC);

	ASSERT_FD(fd);
	EXPECT_EQ(13, write(fd, "app/ uid 1001", 13));
	/* Not in the middle of the file, and not more of it. */
	EXPECT_ERRNO(EINVAL, write(fd, ",web/ uid 1001", 14));
	EXPECT_ERRNO(EINVAL, pwrite(fd, "web/ uid 1001", 13, 1));
	/* A second line would not count. */
	EXPECT_ERRNO(EINVAL, pwrite(fd, "app/ uid 1\nweb/ uid 2", 21, 0));
	EXPECT_ERRNO(EINVAL, pwrite(fd, "app/ uid 1\n\n", 12, 0));
	/* Nor would what is behind a NUL. */
	EXPECT_ERRNO(EINVAL, pwrite(fd, "app/ uid 1\0,web/ uid 2", 22, 0));
	/* Nothing at all is not an empty list. */
	EXPECT_EQ(0, pwrite(fd, "", 0, 0));
	EXPECT_STREQ("app/ uid 1001", get("reserved"));
	EXPECT_EQ(12, pwrite(fd, "web/ uid 100", 12, 0));
	EXPECT_STREQ("web/ uid 100", get("reserved"));
	close(fd);
}

TEST_F(limits, a_list_can_be_read_in_pieces)
{
	static const char want[] = "app/ uid 1000,web/ gid 33\n";
	char byte;
	size_t i;
	int fd;

	ASSERT_EQ(0, put("reserved", want));
	fd = open(SYSCTL "reserved", O_RDONLY | O_CLOEXEC);
	ASSERT_FD(fd);
	for (i = 0; i < strlen(want); i++) {
		EXPECT_EQ(1, read(fd, &byte, 1));
		EXPECT_EQ(want[i], byte);
	}
	EXPECT_EQ(0, read(fd, &byte, 1));
	close(fd);
}

/* Reserved names: what it is good for */

TEST_F(limits, a_name_reserved_for_a_user_is_for_nobody_else)
{
	static const struct nym_who root_without_caps = { .uid = 0 };

	ASSERT_EQ(0, put("reserved", "app/ uid 1000"));
	EXPECT_TAKES(0, "app/x", ANN, 0);
	EXPECT_TAKES(EACCES, "app/y", BOB, 0);
	EXPECT_TAKES(EACCES, "app/", BOB, 0);
	EXPECT_EQ(EACCES, nym_bind_as(&root_without_caps, "app/y"));
	/* These do not begin so. */
	EXPECT_TAKES(0, "app", BOB, 0);
	EXPECT_TAKES(0, "apps", BOB, 0);
	EXPECT_TAKES(0, "x/app/", BOB, 0);
	EXPECT_TAKES(0, "App/", BOB, 0);
	/* A list of other names, or none, and it is free. */
	ASSERT_EQ(0, put("reserved", "web/ uid 1000"));
	EXPECT_TAKES(0, "app/z", BOB, 0);
	EXPECT_TAKES(EACCES, "web/z", BOB, 0);
	ASSERT_EQ(0, put("reserved", "\n"));
	EXPECT_TAKES(0, "web/z", BOB, 0);
}

TEST_F(limits, who_binds_a_reserved_name_is_the_effective_user)
{
	int fd = keep(self, nym_socket());

	ASSERT_EQ(0, put("reserved", "app/ uid 1000"));
	nym_act_as_both(ANN, BOB, 0);
	EXPECT_ERRNO(EACCES, nym_bind(fd, "app/x"));
	nym_act_as_both(BOB, ANN, 0);
	EXPECT_OK(nym_bind(fd, "app/x"));
	nym_act_as(0, 0);
}

TEST_F(limits, a_name_reserved_for_a_group_is_for_its_members)
{
	static const gid_t groups[] = { 5, 2000, 7 }, others[] = { 5, 7 };
	static const struct nym_who primary = { .uid = ANN, .gid = 2000 };
	static const struct nym_who supplementary = {
		.uid = ANN, .gid = ANN, .groups = groups, .ngroups = 3,
	};
	static const struct nym_who stranger = {
		.uid = ANN, .gid = ANN, .groups = others, .ngroups = 2,
	};
	static const struct nym_who namesake = { .uid = 2000, .gid = ANN };

	ASSERT_EQ(0, put("reserved", "grp/ gid 2000,usr/ uid 1000"));
	EXPECT_EQ(0, nym_bind_as(&primary, "grp/x"));
	EXPECT_EQ(0, nym_bind_as(&supplementary, "grp/x"));
	EXPECT_EQ(EACCES, nym_bind_as(&stranger, "grp/x"));
	EXPECT_EQ(EACCES, nym_bind_as(&namesake, "grp/x"));
	/* A uid is not a gid. */
	EXPECT_EQ(0, nym_bind_as(&stranger, "usr/x"));
	EXPECT_EQ(EACCES, nym_bind_as(&namesake, "usr/x"));
}

static void check_longest(struct __test_metadata *_metadata,
			  FIXTURE_DATA(limits) * self, const char *list)
{
	ASSERT_EQ(0, put("reserved", list));
	EXPECT_TAKES(0, "app/a", ANN, 0);
	EXPECT_TAKES(EACCES, "app/b", BOB, 0);
	EXPECT_TAKES(0, "app/bob/a", BOB, 0);
	EXPECT_TAKES(EACCES, "app/bob/b", ANN, 0);
	EXPECT_TAKES(0, "app/bob/ann/a", ANN, 0);
	EXPECT_TAKES(EACCES, "app/bob/ann/b", BOB, 0);
	EXPECT_TAKES(0, "app/bo", ANN, 0);
	drop_last(self);
	drop_last(self);
	drop_last(self);
	drop_last(self);
}

TEST_F(limits, the_longest_prefix_counts_wherever_it_stands_in_the_list)
{
	check_longest(_metadata, self,
		      "app/ uid 1000,app/bob uid 1001,app/bob/ann uid 1000");
	check_longest(_metadata, self,
		      "app/bob/ann uid 1000,app/bob uid 1001,app/ uid 1000");
	check_longest(_metadata, self,
		      "app/bob uid 1001,app/bob/ann uid 1000,x uid 7,app/ uid 1000,app/bob/ann/c uid 7");
}

TEST_F(limits, of_equal_prefixes_the_first_counts)
{
	ASSERT_EQ(0, put("reserved", "app/ uid 1000,app/ uid 1001"));
	EXPECT_TAKES(0, "app/x", ANN, 0);
	EXPECT_TAKES(EACCES, "app/y", BOB, 0);
}

TEST_F(limits, the_longest_name_can_be_reserved)
{
	ASSERT_EQ(0, put("reserved", LONGEST " uid 1000"));
	EXPECT_TAKES(EACCES, LONGEST, BOB, 0);
	EXPECT_TAKES(0, LONGEST, ANN, 0);
	EXPECT_TAKES(0, FIFTY FIFTY TEN TEN "1234", BOB, 0);
}

TEST_F(limits, cap_net_bind_service_binds_reserved_names_and_no_other_does)
{
	__u64 cap = NYM_CAP(CAP_NET_BIND_SERVICE);

	ASSERT_EQ(0, put("reserved", "app/ uid 1000,grp/ gid 2000"));
	EXPECT_TAKES(EACCES, "app/x", BOB, ~cap);
	EXPECT_TAKES(0, "app/x", BOB, cap);
	EXPECT_TAKES(0, "grp/x", BOB, cap);
	EXPECT_TAKES(0, "app/y", 0, 0);
}

TEST_F(limits, a_list_is_about_bind_of_all_types_and_nothing_else)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
	int listener = keep(self, nym_listen("app/old", 4));
	size_t i;

	ASSERT_OK(fchown(listener, BOB, -1));
	ASSERT_EQ(0, put("reserved", "app/ uid 1000"));
	/* Who has a name keeps it, and everybody may call. */
	EXPECT_OK(listen(listener, 5));
	EXPECT_CALL(0, "app/old", BOB, 0);
	for (i = 0; i < ARRAY_SIZE(types); i++) {
		int fd = keep(self, socket(AF_NYM, types[i] | SOCK_CLOEXEC, 0));

		nym_act_as(BOB, 0);
		EXPECT_ERRNO(EACCES, nym_bind(fd, "app/x"));
		nym_act_as(ANN, 0);
		EXPECT_OK(nym_bind(fd, "app/x"));
		nym_act_as(0, 0);
		drop_last(self);
	}
	/* Nor is it asked before the name itself is. */
	EXPECT_TAKES(EINVAL, "app/@", BOB, 0);
}

/* Lists that are replaced while they are read and names are bound. */

static const char * const lists[] = {
	"both/ uid 1000,one/ uid 1000",
	"x uid 5,y gid 6,z uid 7,both/ uid 1000,one/ uid 1001,one/x uid 1001",
};

struct worker {
	pthread_t thread;
	bool *stop;
	long n;
	int bad;
};

static long worker_has_done(struct worker *w)
{
	return __atomic_add_fetch(&w->n, 1, __ATOMIC_RELAXED);
}

static void *list_writer(void *arg)
{
	struct worker *w = arg;

	while (!__atomic_load_n(w->stop, __ATOMIC_ACQUIRE)) {
		if (put("reserved", lists[worker_has_done(w) % 2]))
			w->bad++;
	}
	return NULL;
}

static void *list_reader(void *arg)
{
	char text[4096], want[2][128];
	struct worker *w = arg;

	snprintf(want[0], sizeof(want[0]), "%s\n", lists[0]);
	snprintf(want[1], sizeof(want[1]), "%s\n", lists[1]);
	while (!__atomic_load_n(w->stop, __ATOMIC_ACQUIRE)) {
		int fd = open(SYSCTL "reserved", O_RDONLY | O_CLOEXEC);
		ssize_t n = read(fd, text, sizeof(text) - 1);

		text[n > 0 ? n : 0] = 0;
		if (strcmp(text, want[0]) && strcmp(text, want[1]))
			w->bad++;
		worker_has_done(w);
		close(fd);
	}
	return NULL;
}

/* BOB may never have "both/", and "one/" with one of the lists only. */
static void *list_binder(void *arg)
{
	struct worker *w = arg;
	int fd;

	nym_act_as(BOB, 0);
	while (!__atomic_load_n(w->stop, __ATOMIC_ACQUIRE)) {
		fd = nym_bound("both/x");
		if (fd >= 0 || errno != EACCES)
			w->bad++;
		fd = nym_bound("one/x");
		if (fd < 0 && errno != EACCES)
			w->bad++;
		if (fd >= 0) {
			worker_has_done(w);
			close(fd);
		}
	}
	return NULL;
}

static bool all_have_worked(const struct worker *w, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (!__atomic_load_n(&w[i].n, __ATOMIC_RELAXED))
			return false;
	}
	return true;
}

TEST_F(limits, lists_are_replaced_as_a_whole)
{
	static void *(* const work[])(void *) = {
		list_writer, list_writer, list_reader, list_binder,
	};
	struct worker w[ARRAY_SIZE(work)];
	bool stop = false;
	size_t i;

	ASSERT_EQ(0, put("reserved", lists[0]));
	for (i = 0; i < ARRAY_SIZE(work); i++) {
		w[i] = (struct worker){ .stop = &stop };
		ASSERT_EQ(0, pthread_create(&w[i].thread, NULL, work[i], &w[i]));
	}
	usleep(700000);
	for (i = 0; i < 1000 && !all_have_worked(w, ARRAY_SIZE(work)); i++)
		usleep(10000);
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	for (i = 0; i < ARRAY_SIZE(work); i++) {
		pthread_join(w[i].thread, NULL);
		EXPECT_EQ(0, w[i].bad) {
			TH_LOG("worker %zu", i);
		}
		EXPECT_LT(0, w[i].n) {
			TH_LOG("worker %zu", i);
		}
	}
}

NYM_TEST_MAIN
