// SPDX-License-Identifier: GPL-2.0
/*
 * Names of nym sockets: which addresses are valid, who may bind which name,
 * how long a name lives, who may connect to it, and what getsockname() and
 * its relatives tell about it.
 */
#include "nym_test.h"

#include <sys/fsuid.h>

#define HEAD		offsetof(struct sockaddr_nym, snym_name)
#define ALL_CAPS	(~0ULL)

/* No user memory is ever here. */
static void *const bad_pointer = (void *)8;

typedef int (*address_call)(int, const struct sockaddr *, socklen_t);

static int do_bind(int fd, const struct sockaddr *sa, socklen_t len)
{
	return bind(fd, sa, len);
}

static int do_connect(int fd, const struct sockaddr *sa, socklen_t len)
{
	return connect(fd, sa, len);
}

/* An address of @len bytes of @name: not of its string length. */
static int bind_raw(int fd, const char *name, size_t len)
{
	struct sockaddr_nym sa = { .snym_family = AF_NYM };

	memcpy(sa.snym_name, name, len);
	return bind(fd, (struct sockaddr *)&sa, HEAD + len);
}

static int bind_kernel_chosen(int fd)
{
	struct sockaddr_nym sa = { .snym_family = AF_NYM };

	return bind(fd, (struct sockaddr *)&sa, HEAD);
}

/* The permission bits of a descriptor's inode. */
static int mode_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? -1 : (int)(st.st_mode & 07777);
}

/* Whether another process can bind the name (which it gives back at once). */
#define EXPECT_TAKEN(_name) \
	EXPECT_SAME_ERRNO(EADDRINUSE, nym_bind_as(NULL, _name))
#define EXPECT_FREE(_name) \
	EXPECT_SAME_ERRNO(0, nym_bind_as(NULL, _name))

/*
 * Addresses that no call accepts, for bind() and for connect().
 */

FIXTURE(invalid) {
	int fd;
	address_call call;
};

FIXTURE_VARIANT(invalid) {
	address_call call;
};

FIXTURE_VARIANT_ADD(invalid, bind) {
	.call = do_bind,
};

FIXTURE_VARIANT_ADD(invalid, connect) {
	.call = do_connect,
};

FIXTURE_SETUP(invalid)
{
	SKIP_WITHOUT_NYM();
	self->call = variant->call;
	self->fd = nym_socket();
	ASSERT_FD(self->fd);
}

/* After all the refusals the socket is as it was: it can be bound. */
FIXTURE_TEARDOWN(invalid)
{
	EXPECT_STREQ("", nym_own_name(self->fd));
	EXPECT_EQ(0777, mode_of(self->fd));
	EXPECT_OK(nym_bind(self->fd, "t/name/after"));
	EXPECT_OK(close(self->fd));
}

static int call_with(int fd, address_call call, int family, const char *name,
		     size_t len)
{
	struct sockaddr_nym sa = { .snym_family = family };

	memcpy(sa.snym_name, name, len);
	return call(fd, (struct sockaddr *)&sa, HEAD + len);
}

#define TRY_ADDRESS(_family, _name, _len) \
	call_with(self->fd, self->call, _family, _name, _len)

TEST_F(invalid, length_below_the_family)
{
	struct sockaddr_nym sa;

	nym_addr(&sa, "t/name/x");
	EXPECT_ERRNO(EINVAL, self->call(self->fd, (struct sockaddr *)&sa, 0));
	EXPECT_ERRNO(EINVAL, self->call(self->fd, (struct sockaddr *)&sa, 1));
	EXPECT_ERRNO(EINVAL, self->call(self->fd, NULL, 0));
}

TEST_F(invalid, length_above_sockaddr_storage)
{
	char room[256] = { };
	struct sockaddr *sa = (struct sockaddr *)room;

	nym_addr((struct sockaddr_nym *)room, "t/name/x");
	EXPECT_ERRNO(EINVAL, self->call(self->fd, sa, 129));
	EXPECT_ERRNO(EINVAL, self->call(self->fd, sa, sizeof(room)));
	EXPECT_ERRNO(EINVAL, self->call(self->fd, sa, INT_MAX));
	EXPECT_ERRNO(EINVAL, self->call(self->fd, sa, -1));
	EXPECT_ERRNO(EINVAL, self->call(self->fd, sa, INT_MIN));
}

TEST_F(invalid, other_families)
{
	static const int families[] = {
		AF_UNSPEC, AF_UNIX, AF_INET, AF_NETLINK, AF_NYM - 1,
		AF_NYM + 1, AF_NYM | 0x100, 0xffff,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(families); i++) {
		EXPECT_ERRNO(EINVAL, TRY_ADDRESS(families[i], "t/name/x", 9)) {
			TH_LOG("family %d", families[i]);
		}
		EXPECT_ERRNO(EINVAL, TRY_ADDRESS(families[i], "", 0));
	}
}

TEST_F(invalid, empty_name)
{
	static const char zeros[126];

	EXPECT_ERRNO(EINVAL, TRY_ADDRESS(AF_NYM, "", 1));
	EXPECT_ERRNO(EINVAL, TRY_ADDRESS(AF_NYM, "\0abc", 5));
	EXPECT_ERRNO(EINVAL, TRY_ADDRESS(AF_NYM, zeros, sizeof(zeros)));
}

TEST_F(invalid, name_of_126_bytes)
{
	char name[126];

	memset(name, 'n', sizeof(name));
	EXPECT_ERRNO(EINVAL, TRY_ADDRESS(AF_NYM, name, sizeof(name)));
}

/* Every byte that is not printable ASCII, and '@', wherever it stands. */
TEST_F(invalid, forbidden_bytes)
{
	int byte;

	for (byte = 1; byte < 256; byte++) {
		char name[] = "t/name/f", c = byte;

		if (byte > ' ' && byte < 0x7f && byte != '@')
			continue;
		name[0] = c;
		EXPECT_ERRNO(EINVAL, TRY_ADDRESS(AF_NYM, name, 8)) {
			TH_LOG("first byte %#x", byte);
		}
		EXPECT_ERRNO(EINVAL, TRY_ADDRESS(AF_NYM, &c, 1)) {
			TH_LOG("only byte %#x", byte);
		}
		name[0] = 't';
		name[4] = c;
		EXPECT_ERRNO(EINVAL, TRY_ADDRESS(AF_NYM, name, 8)) {
			TH_LOG("middle byte %#x", byte);
		}
		name[4] = 'm';
		name[7] = c;
		EXPECT_ERRNO(EINVAL, TRY_ADDRESS(AF_NYM, name, 8)) {
			TH_LOG("last byte %#x", byte);
		}
	}
}

TEST_F(invalid, address_in_bad_memory)
{
	EXPECT_ERRNO(EFAULT, self->call(self->fd, bad_pointer, 16));
	EXPECT_ERRNO(EFAULT, self->call(self->fd, NULL, 16));
}

/* The length is judged before the memory is touched. */
TEST_F(invalid, bad_length_in_bad_memory)
{
	EXPECT_ERRNO(EINVAL, self->call(self->fd, bad_pointer, 129));
	EXPECT_ERRNO(EINVAL, self->call(self->fd, bad_pointer, -1));
}

TEST_F(invalid, not_a_socket)
{
	struct sockaddr_nym sa;
	socklen_t len = nym_addr(&sa, "t/name/x");
	int fds[2];

	EXPECT_ERRNO(EBADF, self->call(-1, (struct sockaddr *)&sa, len));
	ASSERT_OK(pipe(fds));
	EXPECT_ERRNO(ENOTSOCK, self->call(fds[0], (struct sockaddr *)&sa, len));
}

/*
 * Names that bind() accepts.
 */

FIXTURE(bind) {
	int fd;
};

FIXTURE_SETUP(bind)
{
	SKIP_WITHOUT_NYM();
	self->fd = nym_socket();
	ASSERT_FD(self->fd);
}

FIXTURE_TEARDOWN(bind)
{
	EXPECT_OK(close(self->fd));
}

/* Only bind() takes an address of just the family; connect() has no use. */
TEST_F(bind, connect_to_the_family_alone_is_invalid)
{
	struct sockaddr_nym sa = { .snym_family = AF_NYM };

	EXPECT_ERRNO(EINVAL, connect(self->fd, (struct sockaddr *)&sa, HEAD));
}

TEST_F(bind, every_allowed_byte)
{
	char name[NYM_NAME_MAX + 1] = "";
	unsigned int n = 0;
	int c;

	for (c = 0x21; c < 0x7f; c++) {
		if (c != '@')
			name[n++] = c;
	}
	ASSERT_EQ(93U, n);
	EXPECT_OK(nym_bind(self->fd, name));
	EXPECT_STREQ(name, nym_own_name(self->fd));
}

TEST_F(bind, every_allowed_first_byte)
{
	int c;

	for (c = 0x21; c < 0x7f; c++) {
		char name[] = { c, 0 };
		int fd;

		if (c == '@' || c == ':')
			continue;
		fd = nym_bound(name);
		ASSERT_FD(fd);
		EXPECT_STREQ(name, nym_own_name(fd));
		close(fd);
	}
}

TEST_F(bind, longest_name_with_and_without_nul)
{
	char name[NYM_NAME_MAX + 1] = "";
	int other;

	memset(name, 'l', NYM_NAME_MAX);
	EXPECT_OK(bind_raw(self->fd, name, NYM_NAME_MAX));
	EXPECT_STREQ(name, nym_own_name(self->fd));
	other = nym_socket();
	ASSERT_FD(other);
	EXPECT_ERRNO(EADDRINUSE, bind_raw(other, name, NYM_NAME_MAX + 1));
	close(self->fd);
	EXPECT_OK(bind_raw(other, name, NYM_NAME_MAX + 1));
	EXPECT_STREQ(name, nym_own_name(other));
	self->fd = other;
}

TEST_F(bind, name_ends_at_the_first_nul)
{
	EXPECT_OK(bind_raw(self->fd, "t/name/nul\0\1 @\xff", 16));
	EXPECT_STREQ("t/name/nul", nym_own_name(self->fd));
}

TEST_F(bind, name_ends_at_the_length)
{
	EXPECT_OK(bind_raw(self->fd, "t/name/cut@", 10));
	EXPECT_STREQ("t/name/cut", nym_own_name(self->fd));
}

TEST_F(bind, all_spellings_of_a_name_are_one)
{
	char padded[NYM_NAME_MAX + 1] = "t/name/one";
	int other = nym_socket();

	ASSERT_FD(other);
	ASSERT_OK(nym_bind(self->fd, "t/name/one"));
	EXPECT_ERRNO(EADDRINUSE, bind_raw(other, padded, 10));
	EXPECT_ERRNO(EADDRINUSE, bind_raw(other, padded, 11));
	EXPECT_ERRNO(EADDRINUSE, bind_raw(other, padded, sizeof(padded)));
	close(other);
}

/* Names are compared whole, and byte by byte. */
TEST_F(bind, similar_names_are_different)
{
	static const char * const names[] = {
		"t/name/sim", "t/name/si", "t/name/sim/", "t/name/Sim",
		"t/name//sim", "/t/name/sim", "t/name/./sim",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		ASSERT_FD(nym_bound(names[i]));
}

TEST_F(bind, taken_name)
{
	int other = nym_socket();

	ASSERT_FD(other);
	ASSERT_OK(nym_bind(self->fd, "t/name/taken"));
	EXPECT_ERRNO(EADDRINUSE, nym_bind(other, "t/name/taken"));
	EXPECT_STREQ("", nym_own_name(other));
	/* The refusal changed nothing: neither the mode nor the name. */
	EXPECT_EQ(0777, mode_of(other));
	EXPECT_OK(nym_bind(other, "t/name/free"));
	close(other);
}

TEST_F(bind, twice)
{
	ASSERT_OK(nym_bind(self->fd, "t/name/twice"));
	EXPECT_ERRNO(EINVAL, nym_bind(self->fd, "t/name/twice"));
	EXPECT_ERRNO(EINVAL, nym_bind(self->fd, "t/name/twice2"));
	EXPECT_OK(bind_kernel_chosen(self->fd));
	EXPECT_STREQ("t/name/twice", nym_own_name(self->fd));
	EXPECT_FREE("t/name/twice2");
}

TEST_F(bind, after_kernel_chosen)
{
	char name[NYM_NAME_MAX + 1];

	ASSERT_OK(bind_kernel_chosen(self->fd));
	strcpy(name, nym_own_name(self->fd));
	EXPECT_ERRNO(EINVAL, nym_bind(self->fd, "t/name/chosen"));
	EXPECT_OK(bind_kernel_chosen(self->fd));
	EXPECT_STREQ(name, nym_own_name(self->fd));
}

TEST_F(bind, listener)
{
	ASSERT_OK(nym_bind(self->fd, "t/name/lis"));
	ASSERT_OK(listen(self->fd, 1));
	EXPECT_ERRNO(EINVAL, nym_bind(self->fd, "t/name/lis2"));
}

/* A connected socket has a name already, chosen by the kernel. */
TEST_F(bind, connected)
{
	int fd[2], pair[2], end;

	ASSERT_OK(nym_bind(self->fd, "t/name/srv"));
	ASSERT_OK(listen(self->fd, 1));
	ASSERT_OK(nym_connection(self->fd, "t/name/srv", fd));
	ASSERT_OK(nym_pair(pair));
	for (end = 0; end < 2; end++) {
		EXPECT_ERRNO(EINVAL, nym_bind(fd[end], "t/name/conn"));
		EXPECT_OK(bind_kernel_chosen(fd[end]));
		EXPECT_ERRNO(EINVAL, nym_bind(pair[end], "t/name/conn"));
		EXPECT_OK(bind_kernel_chosen(pair[end]));
	}
}

/* A failed connect() gives no name: the socket can still be bound. */
TEST_F(bind, after_refused_connect)
{
	ASSERT_ERRNO(ECONNREFUSED, nym_call(self->fd, "t/name/nobody"));
	EXPECT_STREQ("", nym_own_name(self->fd));
	EXPECT_OK(nym_bind(self->fd, "t/name/ref"));
	EXPECT_STREQ("t/name/ref", nym_own_name(self->fd));
}

/* Names that begin with ':' are the kernel's: a program cannot take one. */
TEST_F(bind, names_of_the_kernel)
{
	EXPECT_ERRNO(EINVAL, nym_bind(self->fd, ":"));
	EXPECT_ERRNO(EINVAL, nym_bind(self->fd, ":1"));
	EXPECT_ERRNO(EINVAL, nym_bind(self->fd, ":t/name"));
	EXPECT_STREQ("", nym_own_name(self->fd));
	EXPECT_OK(nym_bind(self->fd, "t:/name:"));
}

/* But it can call one, as with the names that AF_UNIX chooses. */
TEST_F(bind, kernel_chosen_name_can_be_called)
{
	char name[NYM_NAME_MAX + 1];
	int fd[2];

	ASSERT_OK(bind_kernel_chosen(self->fd));
	ASSERT_OK(listen(self->fd, 1));
	strcpy(name, nym_own_name(self->fd));
	ASSERT_OK(nym_connection(self->fd, name, fd));
	EXPECT_STREQ(name, nym_peer_name(fd[0]));
	EXPECT_STREQ(name, nym_own_name(fd[1]));
	/* The name of a client is nobody's to call. */
	strcpy(name, nym_own_name(fd[0]));
	EXPECT_ERRNO(ECONNREFUSED, nym_connect(name));
}

TEST_F(bind, kernel_chosen_names_are_distinct)
{
	char seen[64][16];
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(seen); i++) {
		int fd = nym_socket();

		ASSERT_FD(fd);
		ASSERT_OK(bind_kernel_chosen(fd));
		ASSERT_TRUE(nym_is_kernel_chosen(nym_own_name(fd)));
		ASSERT_GT(sizeof(seen[i]), strlen(nym_own_name(fd)));
		strcpy(seen[i], nym_own_name(fd));
		for (j = 0; j < i; j++)
			EXPECT_STRNE(seen[i], seen[j]);
	}
}

TEST_F(bind, shut_down_socket)
{
	ASSERT_OK(shutdown(self->fd, SHUT_RDWR));
	EXPECT_OK(nym_bind(self->fd, "t/name/shut"));
	EXPECT_STREQ("t/name/shut", nym_own_name(self->fd));
}

/*
 * How long a name lives.
 */

FIXTURE(life) {
	int fd;
};

FIXTURE_SETUP(life)
{
	SKIP_WITHOUT_NYM();
	self->fd = nym_listen("t/name/life", 3);
	ASSERT_FD(self->fd);
}

FIXTURE_TEARDOWN(life)
{
}

TEST_F(life, ends_with_close)
{
	EXPECT_TAKEN("t/name/life");
	EXPECT_OK(close(self->fd));
	EXPECT_FREE("t/name/life");
}

TEST_F(life, free_at_once_a_thousand_times)
{
	int i, fd;

	close(self->fd);
	for (i = 0; i < 1000; i++) {
		fd = nym_listen("t/name/life", 3);
		ASSERT_FD(fd);
		ASSERT_OK(close(fd));
	}
}

TEST_F(life, dup_keeps_it)
{
	int copy = dup(self->fd);

	ASSERT_FD(copy);
	close(self->fd);
	EXPECT_TAKEN("t/name/life");
	EXPECT_LE(0, nym_connect("t/name/life"));
	close(copy);
	EXPECT_FREE("t/name/life");
}

TEST_F(life, shutdown_keeps_it)
{
	ASSERT_OK(shutdown(self->fd, SHUT_RDWR));
	EXPECT_TAKEN("t/name/life");
}

TEST_F(life, accepted_sockets_do_not_keep_it)
{
	int fd[2], again;

	ASSERT_OK(nym_connection(self->fd, "t/name/life", fd));
	close(self->fd);
	again = nym_listen("t/name/life", 3);
	ASSERT_FD(again);
	EXPECT_STREQ("t/name/life", nym_own_name(fd[1]));
	EXPECT_STREQ("t/name/life", nym_peer_name(fd[0]));
	/* Closing the old server's connection does not disturb the new one. */
	close(fd[1]);
	close(fd[0]);
	EXPECT_TAKEN("t/name/life");
	EXPECT_OK(nym_connection(again, "t/name/life", fd));
}

/* A client's own name is its own until it closes, whatever its peer does. */
TEST_F(life, name_of_a_client)
{
	int client = nym_bound("t/name/client"), server;

	ASSERT_FD(client);
	ASSERT_OK(nym_call(client, "t/name/life"));
	server = accept(self->fd, NULL, NULL);
	ASSERT_FD(server);
	EXPECT_STREQ("t/name/client", nym_peer_name(server));
	close(server);
	EXPECT_TAKEN("t/name/client");
	close(client);
	EXPECT_FREE("t/name/client");
}

TEST_F(life, name_of_a_closed_client_is_free_while_its_call_is_pending)
{
	int client = nym_bound("t/name/client"), server;

	ASSERT_FD(client);
	ASSERT_OK(nym_call(client, "t/name/life"));
	close(client);
	EXPECT_FREE("t/name/client");
	server = accept(self->fd, NULL, NULL);
	ASSERT_FD(server);
	EXPECT_STREQ("t/name/client", nym_peer_name(server));
}

TEST_F(life, ends_with_the_process)
{
	int ready[2], hold[2], fd;
	pid_t pid;
	char c;

	ASSERT_OK(pipe(ready));
	ASSERT_OK(pipe(hold));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		EXPECT_LE(0, nym_listen("t/name/killed", 1));
		EXPECT_EQ(1, write(ready[1], "", 1));
		EXPECT_EQ(1, read(hold[0], &c, 1));
		_exit(0);
	}
	ASSERT_EQ(1, read(ready[0], &c, 1));
	EXPECT_TAKEN("t/name/killed");
	ASSERT_OK(kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	fd = nym_listen("t/name/killed", 1);
	EXPECT_LE(0, fd);
}

TEST_F(life, a_child_that_inherited_it_keeps_it)
{
	int hold[2];
	pid_t pid;
	char c;

	ASSERT_OK(pipe(hold));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(hold[1]);
		_exit(read(hold[0], &c, 1));
	}
	close(self->fd);
	EXPECT_TAKEN("t/name/life");
	close(hold[1]);
	EXPECT_OK(nym_wait_child(pid));
	EXPECT_FREE("t/name/life");
}

/*
 * Who may bind protected names.
 */

static const struct nym_who root = { .caps = ALL_CAPS };
static const struct nym_who bare_root = { };
static const struct nym_who alice = { .uid = 1000, .gid = 1000 };
static const struct nym_who bob = { .uid = 1001, .gid = 1001 };
static const struct nym_who nobody = { .uid = NYM_NOBODY, .gid = NYM_NOBODY };
static const struct nym_who binder = {
	.uid = 1000, .gid = 1000, .caps = NYM_CAP(CAP_NET_BIND_SERVICE),
};

/* All but the one capability that counts. */
static const struct nym_who others_caps = {
	.uid = 1000, .gid = 1000,
	.caps = ALL_CAPS & ~NYM_CAP(CAP_NET_BIND_SERVICE),
};

FIXTURE(prefix) { };

FIXTURE_SETUP(prefix)
{
	SKIP_WITHOUT_NYM();
}

FIXTURE_TEARDOWN(prefix)
{
}

#define EXPECT_BIND_AS(_errno, _who, _name) \
	EXPECT_SAME_ERRNO(_errno, nym_bind_as(_who, _name))

TEST_F(prefix, sys_needs_cap_net_bind_service)
{
	static const char * const names[] = { "sys/nym-test", "sys/", "sys/a/b" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		EXPECT_BIND_AS(0, &root, names[i]);
		EXPECT_BIND_AS(0, &binder, names[i]);
		EXPECT_BIND_AS(EACCES, &bare_root, names[i]);
		EXPECT_BIND_AS(EACCES, &others_caps, names[i]);
		EXPECT_BIND_AS(EACCES, &alice, names[i]);
		EXPECT_BIND_AS(EACCES, &nobody, names[i]);
	}
}

TEST_F(prefix, names_that_only_look_protected)
{
	static const char * const names[] = {
		"sys", "sysfoo", "sys.a/b", "Sys/a", "/sys/a", "t/sys/a",
		"user", "users", "users/1000", "user.a/1", "/user/0/a", "User/0",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		EXPECT_BIND_AS(0, &nobody, names[i]);
}

TEST_F(prefix, user_names_belong_to_the_uid)
{
	static const char * const names[] = {
		"user/1000/nym-test", "user/1000/", "user/1000", "user/1000/a/b",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		EXPECT_BIND_AS(0, &alice, names[i]);
		EXPECT_BIND_AS(0, &root, names[i]);
		EXPECT_BIND_AS(EACCES, &bob, names[i]);
		EXPECT_BIND_AS(EACCES, &nobody, names[i]);
		EXPECT_BIND_AS(EACCES, &bare_root, names[i]);
	}
	EXPECT_BIND_AS(0, &bare_root, "user/0/nym-test");
	EXPECT_BIND_AS(EACCES, &alice, "user/0/nym-test");
	EXPECT_BIND_AS(0, &nobody, "user/65534/nym-test");
	EXPECT_BIND_AS(0, &binder, "user/1001/nym-test");
	EXPECT_BIND_AS(EACCES, &others_caps, "user/1001/nym-test");
}

/* What is not a uid in its shortest decimal form belongs to nobody. */
TEST_F(prefix, user_with_something_that_is_no_uid)
{
	static const char * const names[] = {
		"user/", "user//a", "user/01000/a", "user/+1000/a",
		"user/-1000/a", "user/1000a/a", "user/1000.", "user/0x3e8/a",
		"user/alice/a", "user/4294967295/a", "user/4294968296/a",
		"user/18446744073709552616/a", "user/00/a",
		"user/99999999999999999999999999999999999999/a",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		EXPECT_BIND_AS(EACCES, &alice, names[i]) {
			TH_LOG("%s", names[i]);
		}
		EXPECT_BIND_AS(EACCES, &bare_root, names[i]) {
			TH_LOG("%s", names[i]);
		}
		EXPECT_BIND_AS(0, &root, names[i]);
	}
}

static int bind_with_fsuid_bob(void *name)
{
	setfsuid(1001);
	return nym_bound(name) < 0 ? errno : 0;
}

TEST_F(prefix, the_fsuid_decides)
{
	struct nym_who who = alice;

	who.caps = NYM_CAP(CAP_SETUID);
	EXPECT_SAME_ERRNO(0, nym_errno_as(&who, bind_with_fsuid_bob,
					  "user/1001/nym-test"));
	EXPECT_SAME_ERRNO(EACCES, nym_errno_as(&who, bind_with_fsuid_bob,
					       "user/1000/nym-test"));
}

#define NO_USERNS	254

static int bind_in_new_userns(void *name)
{
	if (unshare(CLONE_NEWUSER))
		return NO_USERNS;
	return nym_bound(name) < 0 ? errno : 0;
}

static int bind_in_new_userns_and_netns(void *name)
{
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET))
		return NO_USERNS;
	return nym_bound(name) < 0 ? errno : 0;
}

/* Capabilities count in the user namespace of the network namespace. */
TEST_F(prefix, capabilities_of_a_user_namespace)
{
	int err = nym_errno_as(&alice, bind_in_new_userns, "sys/nym-test");

	if (err == NO_USERNS)
		SKIP(return, "users cannot make user namespaces here");
	EXPECT_SAME_ERRNO(EACCES, err);
	EXPECT_SAME_ERRNO(EACCES, nym_errno_as(&alice, bind_in_new_userns,
					       "user/0/nym-test"));
	EXPECT_SAME_ERRNO(0, nym_errno_as(&alice, bind_in_new_userns_and_netns,
					  "sys/nym-test"));
}

/* A refused name is not kept by anyone, and the socket may try another. */
static int bind_after_refusal(void *unused)
{
	int fd = nym_socket();

	if (!nym_bind(fd, "sys/nym-test") || errno != EACCES)
		return 1;
	if (mode_of(fd) != 0777 || *nym_own_name(fd))
		return 2;
	return nym_bind(fd, "t/name/second") ? errno : 0;
}

TEST_F(prefix, refusal_changes_nothing)
{
	int fd;

	EXPECT_EQ(0, nym_errno_as(&alice, bind_after_refusal, NULL));
	fd = nym_bound("sys/nym-test");
	EXPECT_LE(0, fd);
}

/*
 * The umask and the mode of the socket.
 */

FIXTURE(mode) {
	int fd;
	mode_t umask;
};

FIXTURE_SETUP(mode)
{
	SKIP_WITHOUT_NYM();
	self->umask = umask(022);
	self->fd = nym_socket();
	ASSERT_FD(self->fd);
}

FIXTURE_TEARDOWN(mode)
{
	umask(self->umask);
	EXPECT_OK(close(self->fd));
}

TEST_F(mode, bind_applies_the_umask)
{
	static const int masks[] = { 0, 022, 027, 077, 0777, 0111, 0222 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(masks); i++) {
		int fd;

		umask(masks[i]);
		fd = nym_socket();
		ASSERT_FD(fd);
		EXPECT_EQ(0777, mode_of(fd));
		EXPECT_OK(nym_bind(fd, "t/name/umask"));
		EXPECT_EQ(0777 & ~masks[i], mode_of(fd));
		close(fd);
	}
}

TEST_F(mode, fchmod_before_bind_is_honoured)
{
	ASSERT_OK(fchmod(self->fd, 0660));
	ASSERT_OK(nym_bind(self->fd, "t/name/mode"));
	EXPECT_EQ(0640, mode_of(self->fd));
}

TEST_F(mode, fchmod_after_bind_is_not_masked)
{
	ASSERT_OK(nym_bind(self->fd, "t/name/mode"));
	EXPECT_EQ(0755, mode_of(self->fd));
	ASSERT_OK(fchmod(self->fd, 0666));
	EXPECT_EQ(0666, mode_of(self->fd));
	ASSERT_OK(listen(self->fd, 1));
	EXPECT_EQ(0666, mode_of(self->fd));
}

/* fchmod() on a socket is the owner's right, as on a file. */
static int fchmod_of(void *fd)
{
	return fchmod(*(int *)fd, 0777) ? errno : 0;
}

TEST_F(mode, only_the_owner_may_change_it)
{
	ASSERT_OK(nym_bind(self->fd, "t/name/mode"));
	EXPECT_SAME_ERRNO(EPERM, nym_errno_as(&alice, fchmod_of, &self->fd));
	EXPECT_EQ(0755, mode_of(self->fd));
	ASSERT_OK(fchown(self->fd, 1000, 1000));
	EXPECT_SAME_ERRNO(0, nym_errno_as(&alice, fchmod_of, &self->fd));
	EXPECT_EQ(0777, mode_of(self->fd));
}

static int owner_of_new_socket(void *unused)
{
	struct stat st;
	int fd = nym_bound("t/name/owner");

	if (fd < 0 || fstat(fd, &st))
		return errno;
	return st.st_uid != 1000 || st.st_gid != 2000 || !S_ISSOCK(st.st_mode);
}

TEST_F(mode, the_creator_owns_it)
{
	struct nym_who who = { .uid = 1000, .gid = 2000 };

	EXPECT_EQ(0, nym_errno_as(&who, owner_of_new_socket, NULL));
}

/*
 * Who may connect.
 */

#define OWNER	1000
#define GROUP	2000

static const gid_t in_group[] = { 3000, GROUP };
static const gid_t not_in_group[] = { 3000, 4000 };

FIXTURE(permission) {
	int fd;
};

FIXTURE_SETUP(permission)
{
	SKIP_WITHOUT_NYM();
	self->fd = nym_listen("t/name/perm", 1000);
	ASSERT_FD(self->fd);
	ASSERT_OK(fchown(self->fd, OWNER, GROUP));
}

FIXTURE_TEARDOWN(permission)
{
	EXPECT_OK(close(self->fd));
}

#define EXPECT_CONNECT_AS(_errno, _who) \
	EXPECT_SAME_ERRNO(_errno, nym_connect_as(_who, "t/name/perm"))

/* Only the bit @needed of the mode counts for @who. */
static void check_all_modes(struct __test_metadata *_metadata, int fd,
			    const struct nym_who *who, int needed)
{
	/* Every mode in which one bit, all bits, or none is set, or clear. */
	int modes[20] = { 0, 0777 };
	size_t i;

	for (i = 0; i < 9; i++) {
		modes[2 + 2 * i] = 1 << i;
		modes[3 + 2 * i] = 0777 & ~(1 << i);
	}
	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		ASSERT_OK(fchmod(fd, modes[i]));
		EXPECT_SAME_ERRNO(modes[i] & needed ? 0 : EACCES,
				  nym_connect_as(who, "t/name/perm")) {
			TH_LOG("mode %04o uid %u", modes[i], who->uid);
		}
	}
}

TEST_F(permission, owner_needs_the_owner_write_bit)
{
	struct nym_who who = { .uid = OWNER, .gid = 9 };

	check_all_modes(_metadata, self->fd, &who, 0200);
	/* The owner's bits count for the owner even when in the group, too. */
	who.gid = GROUP;
	check_all_modes(_metadata, self->fd, &who, 0200);
}

TEST_F(permission, group_needs_the_group_write_bit)
{
	struct nym_who who = { .uid = 1001, .gid = GROUP };

	check_all_modes(_metadata, self->fd, &who, 0020);
}

TEST_F(permission, supplementary_group_is_group)
{
	struct nym_who who = {
		.uid = 1001, .gid = 9, .groups = in_group,
		.ngroups = ARRAY_SIZE(in_group),
	};

	check_all_modes(_metadata, self->fd, &who, 0020);
}

TEST_F(permission, others_need_the_other_write_bit)
{
	struct nym_who who = {
		.uid = 1001, .gid = 9, .groups = not_in_group,
		.ngroups = ARRAY_SIZE(not_in_group),
	};

	check_all_modes(_metadata, self->fd, &who, 0002);
	check_all_modes(_metadata, self->fd, &nobody, 0002);
}

TEST_F(permission, root_without_capabilities_is_another_user)
{
	check_all_modes(_metadata, self->fd, &bare_root, 0002);
}

TEST_F(permission, only_cap_dac_override_overrides)
{
	struct nym_who who = alice;

	ASSERT_OK(fchmod(self->fd, 0));
	EXPECT_CONNECT_AS(0, &root);
	EXPECT_CONNECT_AS(EACCES, &alice);
	who.caps = NYM_CAP(CAP_DAC_OVERRIDE);
	EXPECT_CONNECT_AS(0, &who);
	who.caps = ALL_CAPS & ~NYM_CAP(CAP_DAC_OVERRIDE);
	EXPECT_CONNECT_AS(EACCES, &who);
}

TEST_F(permission, fchmod_and_fchown_count_at_once)
{
	ASSERT_OK(fchmod(self->fd, 0200));
	EXPECT_CONNECT_AS(0, &alice);
	EXPECT_CONNECT_AS(EACCES, &bob);
	ASSERT_OK(fchown(self->fd, bob.uid, -1));
	EXPECT_CONNECT_AS(EACCES, &alice);
	EXPECT_CONNECT_AS(0, &bob);
	ASSERT_OK(fchmod(self->fd, 0020));
	EXPECT_CONNECT_AS(EACCES, &bob);
	ASSERT_OK(fchown(self->fd, -1, alice.gid));
	EXPECT_CONNECT_AS(0, &alice);
	EXPECT_CONNECT_AS(EACCES, &bob);
}

TEST_F(permission, by_default_only_the_owner_connects)
{
	int fd;

	umask(022);
	fd = nym_listen("t/name/default", 3);
	ASSERT_FD(fd);
	EXPECT_SAME_ERRNO(0, nym_connect_as(&bare_root, "t/name/default"));
	EXPECT_SAME_ERRNO(EACCES, nym_connect_as(&alice, "t/name/default"));
}

static int connect_with_fsuid_bob(void *name)
{
	setfsuid(1001);
	return nym_connect(name) < 0 ? errno : 0;
}

TEST_F(permission, the_fsuid_decides)
{
	struct nym_who who = alice;

	who.caps = NYM_CAP(CAP_SETUID);
	ASSERT_OK(fchown(self->fd, 1001, -1));
	ASSERT_OK(fchmod(self->fd, 0200));
	EXPECT_CONNECT_AS(EACCES, &who);
	EXPECT_SAME_ERRNO(0, nym_errno_as(&who, connect_with_fsuid_bob,
					  "t/name/perm"));
}

/* Permission is asked at connect() only. */
TEST_F(permission, a_connection_outlives_its_permission)
{
	int fd[2];
	char c;

	ASSERT_OK(nym_connection(self->fd, "t/name/perm", fd));
	ASSERT_OK(fchmod(self->fd, 0));
	EXPECT_EQ(1, send(fd[0], "x", 1, 0));
	EXPECT_EQ(1, recv(fd[1], &c, 1, 0));
}

/* A stranger learns that a name exists, not whether it listens. */
TEST_F(permission, comes_before_not_listening)
{
	int fd = nym_bound("t/name/deaf");

	ASSERT_FD(fd);
	ASSERT_OK(fchmod(fd, 0));
	EXPECT_SAME_ERRNO(EACCES, nym_connect_as(&alice, "t/name/deaf"));
	ASSERT_OK(fchmod(fd, 0777));
	EXPECT_SAME_ERRNO(ECONNREFUSED, nym_connect_as(&alice, "t/name/deaf"));
	close(fd);
	EXPECT_SAME_ERRNO(ECONNREFUSED, nym_connect_as(&alice, "t/name/deaf"));
}

static int connect_twice(void *fd)
{
	int client = nym_socket();

	if (nym_call(client, "t/name/perm") != -1 || errno != EACCES)
		return 1;
	if (*nym_own_name(client))
		return 2;
	if (nym_call(client, "t/name/open"))
		return errno;
	return 0;
}

TEST_F(permission, a_refused_socket_may_call_another)
{
	int open = nym_listen("t/name/open", 1);

	ASSERT_FD(open);
	ASSERT_OK(fchmod(open, 0777));
	ASSERT_OK(fchmod(self->fd, 0770));
	EXPECT_EQ(0, nym_errno_as(&nobody, connect_twice, NULL));
}

/*
 * getsockname(), getpeername() and the address that accept() returns.
 */

FIXTURE(getname) {
	int listener;
	int client;
	int server;
};

FIXTURE_SETUP(getname)
{
	SKIP_WITHOUT_NYM();
	self->listener = nym_listen("t/name/get", 1);
	ASSERT_FD(self->listener);
	self->client = nym_connect("t/name/get");
	ASSERT_FD(self->client);
	self->server = accept(self->listener, NULL, NULL);
	ASSERT_FD(self->server);
}

FIXTURE_TEARDOWN(getname)
{
	close(self->client);
	close(self->server);
	EXPECT_OK(close(self->listener));
}

TEST_F(getname, unbound)
{
	struct sockaddr_nym sa;
	socklen_t len = sizeof(sa);
	int fd = nym_socket();

	ASSERT_FD(fd);
	memset(&sa, 0xff, sizeof(sa));
	EXPECT_OK(getsockname(fd, (struct sockaddr *)&sa, &len));
	EXPECT_EQ(2U, len);
	EXPECT_EQ(AF_NYM, sa.snym_family);
	EXPECT_EQ((char)0xff, sa.snym_name[0]);
	EXPECT_ERRNO(ENOTCONN, getpeername(fd, (struct sockaddr *)&sa, &len));
	close(fd);
}

TEST_F(getname, bound)
{
	struct sockaddr_nym sa, want;
	socklen_t len = sizeof(sa), want_len = nym_addr(&want, "t/name/get");

	memset(&sa, 0xff, sizeof(sa));
	EXPECT_OK(getsockname(self->listener, (struct sockaddr *)&sa, &len));
	EXPECT_EQ(want_len, len);
	EXPECT_EQ(0, memcmp(&want, &sa, len));
	/* Not a byte more than the length says. */
	EXPECT_EQ((char)0xff, ((char *)&sa)[len]);
	EXPECT_ERRNO(ENOTCONN, getpeername(self->listener,
					   (struct sockaddr *)&sa, &len));
}

TEST_F(getname, connection)
{
	char client[NYM_NAME_MAX + 1];

	strcpy(client, nym_own_name(self->client));
	EXPECT_TRUE(nym_is_kernel_chosen(client));
	EXPECT_STREQ("t/name/get", nym_peer_name(self->client));
	EXPECT_STREQ("t/name/get", nym_own_name(self->server));
	EXPECT_STREQ(client, nym_peer_name(self->server));
}

TEST_F(getname, bound_client)
{
	int client = nym_bound("t/name/get/client"), server;
	struct sockaddr_nym sa;
	socklen_t len = sizeof(sa);

	ASSERT_FD(client);
	ASSERT_OK(nym_call(client, "t/name/get"));
	server = accept(self->listener, (struct sockaddr *)&sa, &len);
	ASSERT_FD(server);
	EXPECT_STREQ("t/name/get/client", nym_name_of(&sa, len));
	EXPECT_STREQ("t/name/get/client", nym_peer_name(server));
	EXPECT_STREQ("t/name/get/client", nym_own_name(client));
}

/* Before anyone accepted it a connection has both names already. */
TEST_F(getname, pending_client)
{
	int client = nym_connect("t/name/get");
	char name[NYM_NAME_MAX + 1];

	ASSERT_FD(client);
	EXPECT_STREQ("t/name/get", nym_peer_name(client));
	strcpy(name, nym_own_name(client));
	EXPECT_TRUE(nym_is_kernel_chosen(name));
	EXPECT_STRNE(name, nym_own_name(self->client));
}

TEST_F(getname, longest_names)
{
	char theirs[NYM_NAME_MAX + 1] = "", mine[NYM_NAME_MAX + 1] = "";
	struct sockaddr_nym sa;
	socklen_t len = sizeof(sa);
	int listener, client, server;

	memset(theirs, 'T', NYM_NAME_MAX);
	memset(mine, 'M', NYM_NAME_MAX);
	listener = nym_listen(theirs, 1);
	ASSERT_FD(listener);
	client = nym_bound(mine);
	ASSERT_FD(client);
	ASSERT_OK(nym_call(client, theirs));
	server = accept(listener, (struct sockaddr *)&sa, &len);
	ASSERT_FD(server);
	EXPECT_EQ(sizeof(sa), len);
	EXPECT_STREQ(mine, nym_name_of(&sa, len));
	EXPECT_STREQ(theirs, nym_peer_name(client));
	EXPECT_STREQ(theirs, nym_own_name(server));
}

TEST_F(getname, names_stay_after_the_peer_closed)
{
	char client[NYM_NAME_MAX + 1];

	strcpy(client, nym_own_name(self->client));
	close(self->client);
	EXPECT_STREQ(client, nym_peer_name(self->server));
	self->client = nym_connect("t/name/get");
	close(self->server);
	self->server = accept(self->listener, NULL, NULL);
	close(self->server);
	close(self->listener);
	EXPECT_STREQ("t/name/get", nym_peer_name(self->client));
	self->listener = nym_listen("t/name/get", 1);
}

TEST_F(getname, names_stay_after_shutdown)
{
	ASSERT_OK(shutdown(self->client, SHUT_RDWR));
	EXPECT_STREQ("t/name/get", nym_peer_name(self->client));
	EXPECT_STREQ("t/name/get", nym_own_name(self->server));
}

TEST_F(getname, socketpair)
{
	char name[2][NYM_NAME_MAX + 1];
	int fd[2];

	ASSERT_OK(nym_pair(fd));
	strcpy(name[0], nym_own_name(fd[0]));
	strcpy(name[1], nym_own_name(fd[1]));
	EXPECT_TRUE(nym_is_kernel_chosen(name[0]));
	EXPECT_TRUE(nym_is_kernel_chosen(name[1]));
	EXPECT_STRNE(name[0], name[1]);
	EXPECT_STREQ(name[1], nym_peer_name(fd[0]));
	EXPECT_STREQ(name[0], nym_peer_name(fd[1]));
}

/* A short buffer gets what fits; the length tells what there is. */
TEST_F(getname, short_buffers)
{
	struct sockaddr_nym want, sa;
	socklen_t whole = nym_addr(&want, "t/name/get"), room, len;

	for (room = 0; room <= whole + 1; room++) {
		memset(&sa, 0xff, sizeof(sa));
		len = room;
		EXPECT_OK(getpeername(self->client, (struct sockaddr *)&sa, &len));
		EXPECT_EQ(whole, len);
		len = room < whole ? room : whole;
		EXPECT_EQ(0, memcmp(&want, &sa, len));
		EXPECT_EQ((char)0xff, ((char *)&sa)[len]);
	}
}

TEST_F(getname, bad_length)
{
	struct sockaddr_nym sa;
	socklen_t len = -1;

	EXPECT_ERRNO(EINVAL, getsockname(self->client, (struct sockaddr *)&sa,
					 &len));
	EXPECT_ERRNO(EINVAL, getpeername(self->client, (struct sockaddr *)&sa,
					 &len));
	len = INT_MIN;
	EXPECT_ERRNO(EINVAL, getsockname(self->client, (struct sockaddr *)&sa,
					 &len));
}

TEST_F(getname, bad_memory)
{
	struct sockaddr_nym sa;
	socklen_t len = sizeof(sa);

	EXPECT_ERRNO(EFAULT, getsockname(self->client, bad_pointer, &len));
	EXPECT_ERRNO(EFAULT, getpeername(self->client, bad_pointer, &len));
	EXPECT_ERRNO(EFAULT, getsockname(self->client, (struct sockaddr *)&sa,
					 bad_pointer));
	EXPECT_ERRNO(EFAULT, getpeername(self->client, (struct sockaddr *)&sa,
					 bad_pointer));
}

/* accept() has taken the call before it can fault: the caller sees it end. */
TEST_F(getname, accept_into_bad_memory)
{
	socklen_t len = sizeof(struct sockaddr_nym);
	int client = nym_connect("t/name/get");
	char c;

	ASSERT_FD(client);
	EXPECT_ERRNO(EFAULT, accept(self->listener, bad_pointer, &len));
	EXPECT_EQ(0, recv(client, &c, 1, 0));
	EXPECT_ERRNO(EPIPE, send(client, "x", 1, MSG_NOSIGNAL));
	close(client);
	client = nym_connect("t/name/get");
	ASSERT_FD(client);
	len = -1;
	EXPECT_ERRNO(EINVAL, accept(self->listener, (struct sockaddr *)&c, &len));
	EXPECT_EQ(0, recv(client, &c, 1, 0));
	close(client);
}

TEST_F(getname, accept_into_a_short_buffer)
{
	struct sockaddr_nym want, sa;
	int client = nym_bound("t/name/short"), server;
	socklen_t len = 5, whole = nym_addr(&want, "t/name/short");

	ASSERT_FD(client);
	ASSERT_OK(nym_call(client, "t/name/get"));
	memset(&sa, 0xff, sizeof(sa));
	server = accept(self->listener, (struct sockaddr *)&sa, &len);
	ASSERT_FD(server);
	EXPECT_EQ(whole, len);
	EXPECT_EQ(0, memcmp(&want, &sa, 5));
	EXPECT_EQ((char)0xff, ((char *)&sa)[5]);
}

/*
 * Network namespaces.
 */

FIXTURE(netns) {
	int outside;
};

FIXTURE_SETUP(netns)
{
	SKIP_WITHOUT_NYM();
	self->outside = nym_listen("t/name/ns", 1);
	ASSERT_FD(self->outside);
	if (unshare(CLONE_NEWNET))
		SKIP(return, "no network namespaces here");
}

FIXTURE_TEARDOWN(netns)
{
	EXPECT_OK(close(self->outside));
}

TEST_F(netns, has_its_own_names)
{
	int inside, fd[2];

	EXPECT_ERRNO(ECONNREFUSED, nym_connect("t/name/ns"));
	inside = nym_listen("t/name/ns", 1);
	ASSERT_FD(inside);
	EXPECT_SAME_ERRNO(EADDRINUSE, nym_bind_as(NULL, "t/name/ns"));
	EXPECT_OK(nym_connection(inside, "t/name/ns", fd));
	/* Nobody called the listener outside. */
	ASSERT_OK(nym_set_nonblock(self->outside, true));
	EXPECT_ERRNO(EAGAIN, accept(self->outside, NULL, NULL));
	close(inside);
	EXPECT_ERRNO(ECONNREFUSED, nym_connect("t/name/ns"));
}

/* A socket stays in the namespace in which it was made. */
TEST_F(netns, a_socket_keeps_its_own)
{
	int here = nym_socket();
	pid_t pid;

	ASSERT_FD(here);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		ASSERT_OK(unshare(CLONE_NEWNET));
		EXPECT_OK(nym_bind(here, "t/name/ns"));
		EXPECT_OK(listen(here, 1));
		EXPECT_ERRNO(ECONNREFUSED, nym_connect("t/name/ns"));
		_exit(0);
	}
	ASSERT_OK(nym_wait_child(pid));
	EXPECT_LE(0, nym_connect("t/name/ns"));
}

TEST_F(netns, proc_file_shows_only_its_own)
{
	struct nym_line line;
	int inside;

	EXPECT_EQ(0, nym_proc_line(self->outside, &line));
	inside = nym_bound("t/name/ns/in");
	ASSERT_FD(inside);
	EXPECT_EQ(1, nym_proc_line(inside, &line));
	EXPECT_EQ(0, nym_proc_line(self->outside, &line));
}

NYM_TEST_MAIN
