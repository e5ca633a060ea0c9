// SPDX-License-Identifier: GPL-2.0
/*
 * /proc/net/nym and the line of /proc/net/protocols: what they say about a
 * socket in each state, who sees what, and that many sockets are all listed.
 */
#include "nym_test.h"

#define NAME	"t/proc/srv"

/*
 * One socket's line.
 */

FIXTURE(line) {
	int listener;
	struct nym_line got;
};

FIXTURE_SETUP(line)
{
	SKIP_WITHOUT_NYM();
	umask(022);
	self->listener = nym_listen(NAME, 3);
	ASSERT_FD(self->listener);
}

FIXTURE_TEARDOWN(line)
{
	close(self->listener);
}

/* Has the line of @fd in self->got, which is listed exactly once. */
#define READ_LINE(_fd) ASSERT_EQ(1, nym_proc_line(_fd, &self->got))

/* The columns that say what a socket is and has. */
#define EXPECT_LINE(_fd, _name, _state, _queued, _pending, _limit) do { \
	int __fd = (_fd); \
	READ_LINE(__fd); \
	EXPECT_STREQ(_name, self->got.name); \
	EXPECT_STREQ("stream", self->got.type); \
	EXPECT_STREQ(_state, self->got.state); \
	EXPECT_EQ((unsigned long)(_queued), self->got.queued); \
	EXPECT_EQ((unsigned long)(_pending), self->got.pending); \
	EXPECT_EQ((unsigned long)(_limit), self->got.limit); \
	EXPECT_EQ(nym_inode(__fd), self->got.inode); \
} while (0)

TEST_F(line, unconnected)
{
	int fd = nym_socket();

	ASSERT_FD(fd);
	EXPECT_LINE(fd, "-", "unconnected", 0, 0, 0);
	EXPECT_STREQ("0777", self->got.mode);
}

TEST_F(line, bound)
{
	int fd = nym_bound("t/proc/bound");

	ASSERT_FD(fd);
	EXPECT_LINE(fd, "t/proc/bound", "bound", 0, 0, 0);
}

TEST_F(line, bound_to_a_kernel_chosen_name)
{
	struct sockaddr_nym sa = { .snym_family = AF_NYM };
	int fd = nym_socket();

	ASSERT_FD(fd);
	ASSERT_OK(bind(fd, (struct sockaddr *)&sa, sizeof(sa.snym_family)));
	EXPECT_LINE(fd, nym_own_name(fd), "bound", 0, 0, 0);
}

TEST_F(line, listening)
{
	EXPECT_LINE(self->listener, NAME, "listening", 0, 0, 4);
	ASSERT_OK(listen(self->listener, 0));
	EXPECT_LINE(self->listener, NAME, "listening", 0, 0, 1);
	ASSERT_OK(listen(self->listener, 99));
	EXPECT_LINE(self->listener, NAME, "listening", 0, 0, 100);
}

TEST_F(line, pending_counts_those_who_wait_and_those_who_are_parked)
{
	int fd[7], i;

	for (i = 0; i < 7; i++) {
		fd[i] = nym_socket_nonblock();
		ASSERT_FD(fd[i]);
		ASSERT_EQ(i < 4 ? 0 : -1, nym_call(fd[i], NAME));
		EXPECT_LINE(self->listener, NAME, "listening", 0, i + 1, 4);
	}
	close(fd[6]);
	EXPECT_LINE(self->listener, NAME, "listening", 0, 6, 4);
	ASSERT_FD(accept(self->listener, NULL, NULL));
	EXPECT_LINE(self->listener, NAME, "listening", 0, 5, 4);
	/* One that closed stays until it is accepted. */
	close(fd[1]);
	EXPECT_LINE(self->listener, NAME, "listening", 0, 5, 4);
}

/* What /proc says about a listener besides; NYM_INFO says the same. */
#define EXPECT_CALLS(_parked, _peak, _accepted, _refused, _dropped) do { \
	READ_LINE(self->listener); \
	EXPECT_EQ((unsigned long)(_parked), self->got.parked); \
	EXPECT_EQ((unsigned long)(_peak), self->got.peak); \
	EXPECT_EQ((unsigned long)(_accepted), self->got.accepted); \
	EXPECT_EQ((unsigned long)(_refused), self->got.refused); \
	EXPECT_EQ((unsigned long)(_dropped), self->got.dropped); \
} while (0)

TEST_F(line, calls_parked_accepted_and_refused)
{
	int fd[6], i;

	EXPECT_CALLS(0, 0, 0, 0, 0);
	for (i = 0; i < 6; i++) {
		fd[i] = nym_socket_nonblock();
		ASSERT_FD(fd[i]);
		ASSERT_EQ(i < 4 ? 0 : -1, nym_call(fd[i], NAME));
	}
	EXPECT_CALLS(2, 4, 0, 0, 0);
	ASSERT_FD(accept(self->listener, NULL, NULL));
	EXPECT_CALLS(1, 4, 1, 0, 0);
	/* Who is parked is turned away, and so is whoever comes then. */
	ASSERT_OK(shutdown(self->listener, SHUT_RD));
	EXPECT_CALLS(0, 4, 1, 1, 0);
	EXPECT_ERRNO(ECONNREFUSED, nym_connect(NAME));
	EXPECT_CALLS(0, 4, 1, 2, 0);
}

TEST_F(line, connecting)
{
	int fd = nym_bound("t/proc/parked");

	ASSERT_FD(fd);
	ASSERT_OK(nym_set_nonblock(fd, true));
	ASSERT_OK(listen(self->listener, 0));
	ASSERT_FD(nym_connect(NAME));
	ASSERT_ERRNO(EINPROGRESS, nym_call(fd, NAME));
	EXPECT_LINE(fd, "t/proc/parked", "connecting", 0, 0, 0);
	ASSERT_FD(accept(self->listener, NULL, NULL));
	EXPECT_LINE(fd, "t/proc/parked", "connected", 0, 0,
		    nym_get_int(fd, SO_SNDBUF));
}

TEST_F(line, refused)
{
	int fd = nym_bound("t/proc/parked");

	ASSERT_FD(fd);
	ASSERT_OK(nym_set_nonblock(fd, true));
	ASSERT_OK(listen(self->listener, 0));
	ASSERT_FD(nym_connect(NAME));
	ASSERT_ERRNO(EINPROGRESS, nym_call(fd, NAME));
	ASSERT_OK(close(self->listener));
	ASSERT_EQ(ECONNREFUSED, nym_get_int(fd, SO_ERROR));
	EXPECT_LINE(fd, "t/proc/parked", "bound", 0, 0, 0);
}

TEST_F(line, connected)
{
	int fd[2], pair[2], end;

	ASSERT_OK(nym_connection(self->listener, NAME, fd));
	ASSERT_OK(nym_pair(pair));
	for (end = 0; end < 2; end++) {
		EXPECT_LINE(fd[end], nym_own_name(fd[end]), "connected", 0, 0,
			    nym_get_int(fd[end], SO_SNDBUF));
		EXPECT_LINE(pair[end], nym_own_name(pair[end]), "connected", 0,
			    0, nym_get_int(pair[end], SO_SNDBUF));
	}
	READ_LINE(fd[1]);
	EXPECT_STREQ(NAME, self->got.name);
	EXPECT_LINE(self->listener, NAME, "listening", 0, 0, 4);
}

TEST_F(line, connected_after_the_peer_closed)
{
	int fd[2];

	ASSERT_OK(nym_connection(self->listener, NAME, fd));
	close(fd[0]);
	close(self->listener);
	EXPECT_LINE(fd[1], NAME, "connected", 0, 0,
		    nym_get_int(fd[1], SO_SNDBUF));
}

TEST_F(line, queued_bytes)
{
	static char data[10000];
	int fd[2], limit;

	ASSERT_OK(nym_connection(self->listener, NAME, fd));
	limit = nym_get_int(fd[1], SO_SNDBUF);
	ASSERT_EQ(10000, send(fd[0], data, 10000, 0));
	EXPECT_LINE(fd[1], NAME, "connected", 10000, 0, limit);
	ASSERT_EQ(1, recv(fd[1], data, 1, 0));
	EXPECT_LINE(fd[1], NAME, "connected", 9999, 0, limit);
	READ_LINE(fd[0]);
	EXPECT_EQ(0UL, self->got.queued);
	/* They stay readable when the sender is gone. */
	close(fd[0]);
	EXPECT_LINE(fd[1], NAME, "connected", 9999, 0, limit);
	ASSERT_EQ(9999, recv(fd[1], data, 10000, 0));
	EXPECT_LINE(fd[1], NAME, "connected", 0, 0, limit);
}

TEST_F(line, limit_follows_sndbuf)
{
	int fd[2];

	ASSERT_OK(nym_connection(self->listener, NAME, fd));
	ASSERT_OK(nym_set_int(fd[1], SO_SNDBUF, 8192));
	EXPECT_LINE(fd[1], NAME, "connected", 0, 0, 16384);
}

TEST_F(line, owner_and_mode_are_live)
{
	READ_LINE(self->listener);
	EXPECT_EQ(0UL, self->got.uid);
	EXPECT_EQ(0UL, self->got.gid);
	EXPECT_STREQ("0755", self->got.mode);
	ASSERT_OK(fchown(self->listener, 1000, 2000));
	ASSERT_OK(fchmod(self->listener, 0642));
	READ_LINE(self->listener);
	EXPECT_EQ(1000UL, self->got.uid);
	EXPECT_EQ(2000UL, self->got.gid);
	EXPECT_STREQ("0642", self->got.mode);
	ASSERT_OK(fchmod(self->listener, 07000));
	READ_LINE(self->listener);
	EXPECT_STREQ("7000", self->got.mode);
	ASSERT_OK(fchmod(self->listener, 0));
	READ_LINE(self->listener);
	EXPECT_STREQ("0000", self->got.mode);
}

TEST_F(line, goes_with_the_last_close)
{
	int copy = dup(self->listener);
	unsigned long inode = nym_inode(copy);
	char needle[32], *text;

	ASSERT_FD(copy);
	close(self->listener);
	READ_LINE(copy);
	close(copy);
	snprintf(needle, sizeof(needle), " %lu ", inode);
	text = nym_slurp(NYM_PROC, 4096);
	ASSERT_NE(NULL, text);
	EXPECT_EQ(NULL, strstr(text, needle));
	free(text);
}

/*
 * Who sees the name.
 */

FIXTURE(hidden) {
	int listener;
	int server;
};

FIXTURE_SETUP(hidden)
{
	int fd[2];

	SKIP_WITHOUT_NYM();
	self->listener = nym_listen(NAME, 3);
	ASSERT_FD(self->listener);
	ASSERT_OK(fchown(self->listener, 1000, 2000));
	ASSERT_OK(nym_connection(self->listener, NAME, fd));
	self->server = fd[1];
}

FIXTURE_TEARDOWN(hidden)
{
	close(self->listener);
}

static const gid_t in_group[] = { 2000 };
static const struct nym_who owner = { .uid = 1000, .gid = 9 };
static const struct nym_who group = { .uid = 1001, .gid = 2000 };
static const struct nym_who supplementary = {
	.uid = 1001, .gid = 9, .groups = in_group, .ngroups = 1,
};

static const struct nym_who nobody = { .uid = NYM_NOBODY, .gid = NYM_NOBODY };
static const struct nym_who bare_root = { };
static const struct nym_who searcher = {
	.uid = NYM_NOBODY, .gid = NYM_NOBODY,
	.caps = NYM_CAP(CAP_DAC_READ_SEARCH),
};

enum seen { SEEN, HIDDEN, WRONG };

static int look(void *fd)
{
	struct nym_line line;

	if (nym_proc_line(*(int *)fd, &line) != 1)
		return WRONG;
	/* The rest of the line is for all to see. */
	if (strcmp(line.state, "listening") && strcmp(line.state, "connected"))
		return WRONG;
	if (!strcmp(line.name, NAME))
		return SEEN;
	return strcmp(line.name, "?") ? WRONG : HIDDEN;
}

/* Of the 9 mode bits only @bit shows the name to @who. */
static void check_modes(struct __test_metadata *_metadata, int fd,
			const struct nym_who *who, int bit)
{
	int i;

	for (i = 0; i < 9; i++) {
		ASSERT_OK(fchmod(fd, 1 << i));
		EXPECT_EQ(1 << i == bit ? SEEN : HIDDEN,
			  nym_errno_as(who, look, &fd));
		ASSERT_OK(fchmod(fd, 0777 & ~(1 << i)));
		EXPECT_EQ(1 << i == bit ? HIDDEN : SEEN,
			  nym_errno_as(who, look, &fd));
	}
}

TEST_F(hidden, from_the_owner)
{
	check_modes(_metadata, self->listener, &owner, 0400);
}

TEST_F(hidden, from_the_group)
{
	check_modes(_metadata, self->listener, &group, 0040);
	check_modes(_metadata, self->listener, &supplementary, 0040);
}

TEST_F(hidden, from_others)
{
	check_modes(_metadata, self->listener, &nobody, 0004);
	check_modes(_metadata, self->listener, &bare_root, 0004);
}

TEST_F(hidden, from_nobody_who_may_read_everything)
{
	ASSERT_OK(fchmod(self->listener, 0));
	EXPECT_EQ(SEEN, nym_errno_as(NULL, look, &self->listener));
	EXPECT_EQ(SEEN, nym_errno_as(&searcher, look, &self->listener));
}

/* An accepted socket has the listener's name, so it is as secret. */
TEST_F(hidden, name_of_an_accepted_socket)
{
	ASSERT_OK(fchmod(self->listener, 0733));
	EXPECT_EQ(HIDDEN, nym_errno_as(&nobody, look, &self->server));
	EXPECT_EQ(SEEN, nym_errno_as(&owner, look, &self->server));
	ASSERT_OK(fchmod(self->listener, 0004));
	EXPECT_EQ(SEEN, nym_errno_as(&nobody, look, &self->server));
	EXPECT_EQ(HIDDEN, nym_errno_as(&owner, look, &self->server));
}

/*
 * The file as a whole.
 */

FIXTURE(file) { };

FIXTURE_SETUP(file)
{
	SKIP_WITHOUT_NYM();
	/* Nobody else's sockets are in a namespace of our own. */
	if (unshare(CLONE_NEWNET))
		SKIP(return, "no network namespaces here");
}

FIXTURE_TEARDOWN(file)
{
}

TEST_F(file, header_alone_without_sockets)
{
	char *text = nym_slurp(NYM_PROC, 4096);

	ASSERT_NE(NULL, text);
	EXPECT_STREQ(NYM_PROC_HEADER "\n", text);
	free(text);
}

TEST_F(file, exact_text)
{
	char want[512], *text;
	int fd;

	umask(022);
	fd = nym_listen("t/proc/text", 7);
	ASSERT_FD(fd);
	ASSERT_OK(fchown(fd, 1, 2));
	snprintf(want, sizeof(want),
		 NYM_PROC_HEADER "\nt/proc/text stream listening 1 2 0755 0 0 8 %lu 0 0 0 0 0\n",
		 nym_inode(fd));
	text = nym_slurp(NYM_PROC, 4096);
	ASSERT_NE(NULL, text);
	EXPECT_STREQ(want, text);
	free(text);
}

static int read_header(void *unused)
{
	char *text = nym_slurp(NYM_PROC, 4096);

	if (!text)
		return errno;
	return strncmp(text, NYM_PROC_HEADER "\n", strlen(NYM_PROC_HEADER) + 1);
}

TEST_F(file, all_may_read_it_and_none_may_write_it)
{
	struct stat st;

	EXPECT_EQ(0, nym_errno_as(&nobody, read_header, NULL));
	ASSERT_OK(stat(NYM_PROC, &st));
	EXPECT_EQ(0444U, st.st_mode & 07777);
}

#define NO_USERNS	254

/* Owners are shown as the reader's user namespace maps them: here not at all. */
static int owner_in_new_userns(void *fd)
{
	struct nym_line line;

	if (unshare(CLONE_NEWUSER))
		return NO_USERNS;
	if (nym_proc_line(*(int *)fd, &line) != 1)
		return 1;
	if (line.uid != NYM_NOBODY || line.gid != NYM_NOBODY)
		return 2;
	return 0;
}

TEST_F(file, owners_in_a_user_namespace)
{
	int fd = nym_bound("t/proc/userns"), got;

	ASSERT_FD(fd);
	ASSERT_OK(fchown(fd, 1000, 2000));
	ASSERT_OK(fchmod(fd, 0777));
	got = nym_errno_as(&nobody, owner_in_new_userns, &fd);
	if (got == NO_USERNS)
		SKIP(return, "users cannot make user namespaces here");
	EXPECT_EQ(0, got);
}

/* Fills @inodes with the last column of each line; returns how many there are. */
static int read_inodes(struct __test_metadata *_metadata, size_t piece,
		       unsigned long *inodes, int max)
{
	char *text = nym_slurp(NYM_PROC, piece), *save = NULL, *s;
	struct nym_line line;
	int n = -1;

	ASSERT_NE(NULL, text);
	for (s = strtok_r(text, "\n", &save); s; s = strtok_r(NULL, "\n", &save)) {
		if (n < 0) {
			EXPECT_STREQ(NYM_PROC_HEADER, s);
		} else {
			EXPECT_TRUE(nym_parse_line(s, &line)) {
				TH_LOG("%s", s);
			}
			ASSERT_LT(n, max);
			inodes[n] = line.inode;
		}
		n++;
	}
	free(text);
	return n;
}

static int compare(const void *a, const void *b)
{
	unsigned long x = *(const unsigned long *)a;
	unsigned long y = *(const unsigned long *)b;

	return x < y ? -1 : x > y;
}

enum { MANY = 2000 };
static unsigned long made[MANY], listed[MANY + 1];

/* All of them exactly once, however small the pieces in which they are read. */
TEST_F(file, lists_2000_sockets)
{
	static const size_t pieces[] = { 1 << 20, 4096, 100, 17 };
	struct rlimit files = { .rlim_cur = MANY + 64, .rlim_max = MANY + 64 };
	size_t p;
	int i;

	ASSERT_OK(setrlimit(RLIMIT_NOFILE, &files));
	for (i = 0; i < MANY; i++) {
		int fd = nym_socket();

		ASSERT_FD(fd);
		made[i] = nym_inode(fd);
	}
	qsort(made, MANY, sizeof(made[0]), compare);
	for (p = 0; p < ARRAY_SIZE(pieces); p++) {
		memset(listed, 0, sizeof(listed));
		ASSERT_EQ(MANY, read_inodes(_metadata, pieces[p], listed,
					    MANY + 1));
		qsort(listed, MANY, sizeof(listed[0]), compare);
		EXPECT_EQ(0, memcmp(made, listed, sizeof(made))) {
			TH_LOG("read in pieces of %zu", pieces[p]);
		}
	}
	nym_close_all();
	EXPECT_EQ(0, read_inodes(_metadata, 4096, listed, MANY + 1));
}

TEST_F(file, can_be_read_again)
{
	char one[4096] = "", two[4096] = "";
	int i, file;

	for (i = 0; i < 5; i++)
		ASSERT_FD(nym_socket());
	file = open(NYM_PROC, O_RDONLY);
	ASSERT_FD(file);
	ASSERT_LT(0, read(file, one, sizeof(one) - 1));
	EXPECT_EQ(0, read(file, two, sizeof(two) - 1));
	ASSERT_EQ(0, lseek(file, 0, SEEK_SET));
	ASSERT_LT(0, read(file, two, sizeof(two) - 1));
	EXPECT_STREQ(one, two);
}

/* No line holds a kernel address: no number of that many hex digits. */
TEST_F(file, shows_no_kernel_address)
{
	int pair[2], listener, fd[2];
	char *text, *s;

	ASSERT_FD(nym_socket());
	ASSERT_OK(nym_pair(pair));
	listener = nym_listen(NAME, 1);
	ASSERT_FD(listener);
	ASSERT_OK(nym_connection(listener, NAME, fd));
	ASSERT_FD(nym_connect(NAME));
	text = nym_slurp(NYM_PROC, 4096);
	ASSERT_NE(NULL, text);
	for (s = text; *s; s += strcspn(s, "\n "), s += strspn(s, "\n "))
		EXPECT_GT(12UL, strspn(s + (*s == ':'), "0123456789abcdefABCDEF"));
	EXPECT_EQ(NULL, strstr(text, "0x"));
	free(text);
}

static long churn(void *stop)
{
	int fd[2];

	while (!__atomic_load_n((int *)stop, __ATOMIC_ACQUIRE)) {
		int listener = nym_listen("t/proc/busy", 1);

		if (listener < 0 || nym_connection(listener, "t/proc/busy", fd))
			return -1;
		close(fd[0]);
		close(listener);
		close(fd[1]);
	}
	return 0;
}

/* Sockets come and go while it is read: every line is whole all the same. */
TEST_F(file, is_well_formed_while_sockets_come_and_go)
{
	struct nym_bg bg;
	int stop = 0, i;

	ASSERT_OK(nym_bg_start(&bg, churn, &stop));
	for (i = 0; i < 300; i++)
		EXPECT_LE(0, read_inodes(_metadata, i % 2 ? 60 : 4096, listed,
					 MANY));
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	EXPECT_EQ(0, nym_bg_join(&bg));
}

/* The count in /proc/net/protocols: one for each socket that a file has. */
TEST_F(file, protocols_counts_sockets)
{
	struct nym_counts counts;
	int pair[2], fd;

	nym_count(&counts);
	EXPECT_EQ(0, counts.sockets);
	fd = nym_socket();
	ASSERT_FD(fd);
	nym_count(&counts);
	EXPECT_EQ(1, counts.sockets);
	EXPECT_EQ(1, counts.lines);
	ASSERT_OK(nym_pair(pair));
	nym_count(&counts);
	EXPECT_EQ(3, counts.sockets);
	EXPECT_EQ(3, counts.lines);
	/* Also where the other end still leads to it. */
	EXPECT_OK(close(pair[0]));
	nym_count(&counts);
	EXPECT_EQ(2, counts.sockets);
	EXPECT_EQ(2, counts.lines);
}

NYM_TEST_MAIN
