// SPDX-License-Identifier: GPL-2.0
/*
 * Unloading the module while processes make, use and close sockets: refused as
 * long as there is one, clean when there is none, and again and again. It ends
 * with the module loaded as it was. module.sh is about an idle one.
 */
#include "nym_stress.h"

#define ROUNDS		20
#define ROUNDS_MIN	3	/* however long they take */
#define ROUNDS_MS	30000	/* no more begin after that */
#define KUNIT_GLOB	"/sys/module/kunit/parameters/filter_glob"
#define MODPROBE	"/proc/sys/kernel/modprobe"

enum { USED, ABSENT };	/* what a user counts */

static int module_fd = -1;

/* A text that the kernel keeps, set to something else and back. */
struct setting {
	const char *path;
	char was[256];
};

static struct setting kunit = { .path = KUNIT_GLOB };
static struct setting modprobe = { .path = MODPROBE };

static void change(struct setting *s, const char *text)
{
	char *was = nym_slurp(s->path, sizeof(s->was) - 1);

	if (!was)
		return;
	snprintf(s->was, sizeof(s->was), "%s", was);
	free(was);
	nym_put(s->path, text);
}

static int load(void)
{
	return syscall(SYS_finit_module, module_fd, "", 0);
}

static int unload(void)
{
	return syscall(SYS_delete_module, "nym", O_NONBLOCK);
}

FIXTURE(unload)
{
};

FIXTURE_SETUP(unload)
{
	const char *file = getenv("NYM_MODULE");

	SKIP_WITHOUT_NYM();
	if (!file || !*file)
		SKIP(return, "NYM_MODULE does not tell where the module is");
	module_fd = open(file, O_RDONLY | O_CLOEXEC);
	ASSERT_FD(module_fd);
	/* Its own tests have run when it was loaded first. */
	change(&kunit, "none");
	/* Nobody else loads it. */
	change(&modprobe, "\n");
	crowd_open();
}

FIXTURE_TEARDOWN(unload)
{
	crowd_close();
	if (nym_socket() < 0)
		load();
	close(module_fd);
	nym_put(kunit.path, kunit.was);
	nym_put(modprobe.path, modprobe.was);
}

/* A bit of everything that takes the module. */
static void use(struct worker *w, int fd)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
	int type = types[io_rand(&w->seed) % 3], l, c, p[2], s = -1;
	char b;

	/* Its name may outlive it, but holds up nobody. */
	if (io_rand(&w->seed) & 1)
		nym_option(fd, NYM_LINGER, 5);
	if (nym_bind(fd, "t/unload") && errno != EADDRINUSE)
		crowd_complain(w, "bind: %s", strerrorname_np(errno));
	l = type == SOCK_DGRAM ? -1 : scm_listen(type, "t/unload/2", 1);
	c = scm_socket(type);
	if (l >= 0) {
		if (CALL(w, nym_call(c, "t/unload/2")))
			crowd_complain(w, "connect: %s", strerrorname_np(errno));
		else
			s = CALL(w, scm_accept(l));
	}
	if (scm_pair(type, p))
		crowd_complain(w, "socketpair: %s", strerrorname_np(errno));
	scm_send_fd(p[0], 0);
	if (CALL(w, recv(p[1], &b, 1, 0)) != 1)
		crowd_complain(w, "recv: %s", strerrorname_np(errno));
	scm_send_fd(p[0], 0);
	close(p[0]);
	close(p[1]);
	close(s);
	close(c);
	close(l);
}

static void user(struct worker *w)
{
	int fd;

	while (!crowd_stopped()) {
		fd = CALL(w, nym_socket());
		if (fd >= 0) {
			use(w, fd);
			close(fd);
			w->n[USED]++;
		} else if (errno == EAFNOSUPPORT) {
			w->n[ABSENT]++;
		} else {
			crowd_complain(w, "socket: %s", strerrorname_np(errno));
		}
		crowd_nap(&w->seed, 60);
	}
}

/* Tries until there is a moment without sockets; gives how often, or -1. */
static long unload_at_last(void)
{
	long end = nym_now_ms() + crowd_hangs_ms(), refused;

	for (refused = 0; unload(); refused++) {
		if (errno != EWOULDBLOCK || nym_now_ms() > end)
			return -1;
		usleep(500);
	}
	return refused;
}

static bool somebody_counts(int what)
{
	long end = nym_now_ms() + crowd_hangs_ms(), was = crowd_sum("user", what);

	while (crowd_sum("user", what) == was && nym_now_ms() < end)
		nym_nap();
	return crowd_sum("user", what) > was;
}

TEST_F(unload, while_sockets_come_and_go)
{
	long end = nym_now_ms() + ROUNDS_MS, refused = 0, n;
	int i, j, fd;

	for (i = 0; i < 2; i++)
		crowd_start("user", user);
	for (i = 0; i < ROUNDS_MIN || (i < nym_scaled(ROUNDS) && nym_now_ms() < end); i++) {
		fd = nym_socket();
		ASSERT_FD(fd);
		for (j = 0; j < 20; j++)
			EXPECT_ERRNO(EWOULDBLOCK, unload());
		close(fd);
		n = unload_at_last();
		ASSERT_LE(0, n) {
			TH_LOG("round %d: %s", i, strerrorname_np(errno));
		}
		refused += n;
		EXPECT_ERRNO(ENOENT, unload());
		EXPECT_ERRNO(EAFNOSUPPORT, nym_socket());
		if (i & 1)
			EXPECT_TRUE(somebody_counts(ABSENT));
		ASSERT_OK(load());
		EXPECT_TRUE(somebody_counts(USED));
	}
	crowd_end(_metadata);
	TH_LOG("%d rounds, refused %ld times, used %ld times, absent %ld times", i, refused,
	       crowd_sum("user", USED), crowd_sum("user", ABSENT));
}

NYM_TEST_MAIN
