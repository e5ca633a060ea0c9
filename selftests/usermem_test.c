// SPDX-License-Identifier: GPL-2.0
/*
 * User memory of which a page cannot be had: every call that copies from or to
 * it, with the bad page at any place, gives the right count or errno, loses
 * nothing and leaves the socket as it was. stall_test.c is about pages that come
 * late; what may be sent and received of good memory is in each type's own test.
 */
#include "nym_test.h"
#include "nym_io.h"
#include "nym_scm.h"

#include <sys/mman.h>
#include <sys/uio.h>

#define PAGE	4096L
#define GOOD	(6 * PAGE)	/* good memory before the bad page */
#define MAP	(GOOD + 2 * PAGE)

/* What is wrong with the page. */
enum { NO_ACCESS, NOT_THERE, BEHIND_FILE, READ_ONLY };

/*
 * Good pages with the pattern, a bad one, a good one. Gives where the bad one
 * begins, or NULL.
 */
static __u8 *make_edge(int kind)
{
	__u8 *mem = mmap(NULL, MAP, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	__u8 *edge = mem + GOOD;
	bool ok = mem != MAP_FAILED;
	int fd;

	if (!ok)
		return NULL;
	memcpy(mem, io_at(0), GOOD);
	memset(edge + PAGE, 0xee, PAGE);
	if (kind == NO_ACCESS) {
		ok = !mprotect(edge, PAGE, PROT_NONE);
	} else if (kind == NOT_THERE) {
		ok = !munmap(edge, PAGE);
	} else if (kind == READ_ONLY) {
		ok = !mprotect(edge, PAGE, PROT_READ);
	} else {
		fd = memfd_create("empty", MFD_CLOEXEC);
		ok = fd >= 0 && mmap(edge, PAGE, PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_FIXED, fd, 0) == edge;
		close(fd);
	}
	return ok ? edge : NULL;
}

static void drop_edge(__u8 *edge)
{
	munmap(edge - GOOD, MAP);
}

/* The pattern in the @len bytes before the bad page. */
static const __u8 *before(size_t len)
{
	return io_at(GOOD - len);
}

/* The call fails with EFAULT if @_bad, and else gives @_ret. */
#define EXPECT_FAULT_IF(_bad, _ret, _call) do { \
	bool __bad = (_bad); \
	EXPECT_RETURNS(__bad ? -1 : (_ret), _call); \
	if (__bad) \
		EXPECT_SAME_ERRNO(EFAULT, errno); \
} while (0)

/* --- Data --- */

FIXTURE(data)
{
	__u8 *edge;
	int a;
	int b;
};

FIXTURE_VARIANT(data)
{
	int type;
	int kind;
};

#define VARIANT(_name, _type, _kind) \
FIXTURE_VARIANT_ADD(data, _name) { .type = _type, .kind = _kind, }

VARIANT(stream_no_access, SOCK_STREAM, NO_ACCESS);
VARIANT(stream_not_there, SOCK_STREAM, NOT_THERE);
VARIANT(stream_behind_file, SOCK_STREAM, BEHIND_FILE);
VARIANT(stream_read_only, SOCK_STREAM, READ_ONLY);
VARIANT(seqpacket_no_access, SOCK_SEQPACKET, NO_ACCESS);
VARIANT(seqpacket_not_there, SOCK_SEQPACKET, NOT_THERE);
VARIANT(seqpacket_behind_file, SOCK_SEQPACKET, BEHIND_FILE);
VARIANT(seqpacket_read_only, SOCK_SEQPACKET, READ_ONLY);
VARIANT(dgram_no_access, SOCK_DGRAM, NO_ACCESS);
VARIANT(dgram_not_there, SOCK_DGRAM, NOT_THERE);
VARIANT(dgram_behind_file, SOCK_DGRAM, BEHIND_FILE);
VARIANT(dgram_read_only, SOCK_DGRAM, READ_ONLY);

FIXTURE_SETUP(data)
{
	SKIP_WITHOUT_NYM();
	self->edge = make_edge(variant->kind);
	ASSERT_NE(NULL, self->edge);
	self->a = -1;
	self->b = -1;
}

FIXTURE_TEARDOWN(data)
{
	close(self->a);
	close(self->b);
	drop_edge(self->edge);
}

static bool new_pair(FIXTURE_DATA(data) * self, int type)
{
	int fd[2];

	close(self->a);
	close(self->b);
	if (socketpair(AF_NYM, type | SOCK_CLOEXEC, 0, fd))
		return false;
	self->a = fd[0];
	self->b = fd[1];
	return true;
}

/* The next @len bytes, or the next record, are these. */
static bool next_is(int fd, int type, const __u8 *want, size_t len)
{
	static __u8 buf[MAP];
	size_t done = 0;
	ssize_t n;

	do {
		n = recv(fd, buf + done, type == SOCK_STREAM ? len - done : sizeof(buf),
			 MSG_DONTWAIT);
		if (n <= 0)
			return n == 0 && len == 0;
		done += n;
	} while (type == SOCK_STREAM && done < len);
	return done == len && !memcmp(buf, want, len);
}

static bool is_empty(int fd)
{
	char c;

	return recv(fd, &c, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/* Both ways, and nothing is there that was not sent. */
#define EXPECT_USABLE() do { \
	EXPECT_TRUE(is_empty(self->a)); \
	EXPECT_TRUE(is_empty(self->b)); \
	EXPECT_EQ(10, send(self->a, io_at(5), 10, MSG_DONTWAIT)); \
	EXPECT_TRUE(next_is(self->b, variant->type, io_at(5), 10)); \
	EXPECT_EQ(9, send(self->b, io_at(7), 9, MSG_DONTWAIT)); \
	EXPECT_TRUE(next_is(self->a, variant->type, io_at(7), 9)); \
} while (0)

/*
 * How much lies in the ring before: it moves the ends of its pages and chunks
 * against those of user memory.
 */
static const long starts[] = { 0, 1, 100, 4087, 4095, 4096, 5000 };

/* How much is good: near to where a page of either side ends. */
#define CUTS	35

static long cut_at(int i, long start)
{
	const long ends[CUTS / 5] = {
		2, 64, PAGE - start % PAGE, PAGE, 2 * PAGE - start % PAGE,
		2 * PAGE, 4 * PAGE,
	};

	return ends[i / 5] + i % 5 - 2 > 0 ? ends[i / 5] + i % 5 - 2 : 0;
}

/*
 * Every start and cut with one kind of bad page, less with the others and on a
 * slow kernel: what is wrong with the page is no matter to the ring.
 */
static int cut_step(int kind)
{
	return kind == NO_ACCESS ? CUTS / nym_scaled(CUTS) : 6;
}

#define FOR_EACH_CUT(_start, _cut) \
	for (size_t __s = 0; __s < ARRAY_SIZE(starts); __s++) \
		for (long _start = starts[__s], __i = __s % cut_step(variant->kind), _cut; \
		     __i < CUTS && (_cut = cut_at(__i, _start), true); \
		     __i += cut_step(variant->kind))

TEST_F(data, that_is_sent_up_to_the_fault_or_not_at_all)
{
	bool stream = variant->type == SOCK_STREAM;

	if (variant->kind == READ_ONLY)
		SKIP(return, "that can be read");
	FOR_EACH_CUT(start, cut) {
		/* It ends in the bad page, or in the good one behind it. */
		long len = cut + 1 + (cut * 7 + start) % (2 * PAGE - 1);

		ASSERT_TRUE(new_pair(self, variant->type));
		if (start)
			ASSERT_EQ(start, send(self->a, io_at(0), start, 0));
		EXPECT_FAULT_IF(!stream || !cut, cut,
				send(self->a, self->edge - cut, len, 0));
		ASSERT_EQ(3, send(self->a, io_at(1), 3, MSG_DONTWAIT));
		if (start)
			ASSERT_TRUE(next_is(self->b, variant->type, io_at(0), start));
		if (stream)
			ASSERT_TRUE(next_is(self->b, variant->type, before(cut), cut));
		ASSERT_TRUE(next_is(self->b, variant->type, io_at(1), 3));
		EXPECT_USABLE();
	}
}

TEST_F(data, that_is_received_up_to_the_fault_or_not_at_all)
{
	static const int flags[] = { 0, MSG_PEEK, MSG_WAITALL };
	bool stream = variant->type == SOCK_STREAM;
	int n = 0;

	FOR_EACH_CUT(start, cut) {
		long len = cut + 1 + (cut * 7 + start) % PAGE;
		int flag = flags[n++ % ARRAY_SIZE(flags)];

		ASSERT_TRUE(new_pair(self, variant->type));
		if (start) {
			ASSERT_EQ(start, send(self->a, io_at(0), start, 0));
			ASSERT_TRUE(next_is(self->b, variant->type, io_at(0), start));
		}
		ASSERT_EQ(len, send(self->a, io_at(9), len, 0));
		memset(self->edge - cut, 0, cut);
		if (stream && cut) {
			ASSERT_RETURNS(cut, recv(self->b, self->edge - cut,
						 len + 1, flag));
			ASSERT_EQ(0, memcmp(self->edge - cut, io_at(9), cut));
			if (flag & MSG_PEEK)
				ASSERT_TRUE(next_is(self->b, variant->type, io_at(9), cut));
			ASSERT_TRUE(next_is(self->b, variant->type, io_at(9 + cut),
					    len - cut));
		} else {
			ASSERT_ERRNO(EFAULT, recv(self->b, self->edge - cut,
						  len + 1, flag));
			ASSERT_TRUE(next_is(self->b, variant->type, io_at(9), len));
		}
		EXPECT_USABLE();
	}
	/* What lies behind the bad page was none of their business. */
	for (n = 0; n < PAGE; n++)
		ASSERT_EQ(0xee, self->edge[PAGE + n]);
}

/* The bad page is behind the end of the message: no fault. */
TEST_F(data, that_ends_before_the_fault_is_received)
{
	FOR_EACH_CUT(start, cut) {
		long len = cut - cut % 7;

		ASSERT_TRUE(new_pair(self, variant->type));
		if (!len)
			continue;
		ASSERT_EQ(len, send(self->a, io_at(start), len, 0));
		memset(self->edge - cut, 0, cut);
		ASSERT_RETURNS(len, recv(self->b, self->edge - cut, cut + PAGE, 0));
		ASSERT_EQ(0, memcmp(self->edge - cut, io_at(start), len));
		EXPECT_USABLE();
	}
}

/*
 * Parts of which one is bad: the first, the last or one between; @cut bytes of
 * it are good. Gives how many bytes are good in all.
 */
static size_t make_parts(struct iovec part[4], __u8 *edge, int bad, size_t cut)
{
	static const size_t sizes[4] = { 3000, 0, 5000, 1 };
	size_t good = 0;
	int i;

	for (i = 0; i < 4; i++) {
		part[i].iov_base = edge - GOOD + good;
		part[i].iov_len = sizes[i];
		if (i < bad)
			good += sizes[i];
	}
	part[bad].iov_base = edge - cut;
	part[bad].iov_len = cut + 10;
	return good + cut;
}

/* What the good parts hold. */
static void gather(__u8 *to, const struct iovec part[4], size_t good)
{
	while (good) {
		size_t n = part->iov_len < good ? part->iov_len : good;

		memcpy(to, part->iov_base, n);
		to += n;
		good -= n;
		part++;
	}
}

static const size_t part_cuts[] = { 0, 1, 8, 63, 1000, PAGE - 1, PAGE, PAGE + 1 };

TEST_F(data, in_parts_that_are_sent)
{
	bool stream = variant->type == SOCK_STREAM;
	static __u8 want[GOOD];
	struct iovec part[4];
	size_t i;
	int bad;

	if (variant->kind == READ_ONLY)
		SKIP(return, "that can be read");
	ASSERT_TRUE(new_pair(self, variant->type));
	for (bad = 0; bad < 4; bad++) {
		for (i = 0; i < ARRAY_SIZE(part_cuts); i++) {
			struct msghdr msg = { .msg_iov = part, .msg_iovlen = 4 };
			size_t good = make_parts(part, self->edge, bad, part_cuts[i]);

			gather(want, part, good);
			if (stream && good) {
				ASSERT_RETURNS(good, writev(self->a, part, 4));
				ASSERT_TRUE(next_is(self->b, SOCK_STREAM, want, good));
				ASSERT_RETURNS(good, sendmsg(self->a, &msg, 0));
				ASSERT_TRUE(next_is(self->b, SOCK_STREAM, want, good));
			} else {
				ASSERT_ERRNO(EFAULT, writev(self->a, part, 4));
				ASSERT_ERRNO(EFAULT, sendmsg(self->a, &msg, 0));
			}
			EXPECT_USABLE();
		}
	}
}

TEST_F(data, in_parts_that_are_received)
{
	bool stream = variant->type == SOCK_STREAM;
	static __u8 got[GOOD];
	struct iovec part[4];
	size_t i;
	int bad;

	ASSERT_TRUE(new_pair(self, variant->type));
	for (bad = 0; bad < 4; bad++) {
		for (i = 0; i < ARRAY_SIZE(part_cuts); i++) {
			size_t good = make_parts(part, self->edge, bad, part_cuts[i]);

			ASSERT_RETURNS(good + 5, send(self->a, io_at(2), good + 5, 0));
			if (stream && good) {
				ASSERT_RETURNS(good, readv(self->b, part, 4));
				gather(got, part, good);
				ASSERT_EQ(0, memcmp(got, io_at(2), good));
				ASSERT_TRUE(next_is(self->b, SOCK_STREAM,
						    io_at(2 + good), 5));
			} else {
				ASSERT_ERRNO(EFAULT, readv(self->b, part, 4));
				ASSERT_TRUE(next_is(self->b, variant->type, io_at(2),
						    good + 5));
			}
			EXPECT_USABLE();
		}
	}
}

/* --- Addresses, headers, options: as AF_UNIX answers --- */

#define SRV	"t/um/srv"
#define CLI	"t/um/cli"
#define ADDR	11	/* bytes of either's address, in both families */

/* The same sockets in both families, of which one end is named CLI. */
struct side {
	int family;
	int l;		/* a listener at SRV, or bound there */
	int c;		/* connected to it */
	int s;		/* what was accepted; of datagrams, the same as l */
};

FIXTURE(other)
{
	__u8 *edge;
	struct side side[2];
};

FIXTURE_VARIANT(other)
{
	int type;
	int kind;
};

FIXTURE_VARIANT_ADD(other, stream)
{
	.type = SOCK_STREAM, .kind = NO_ACCESS,
};

FIXTURE_VARIANT_ADD(other, seqpacket)
{
	.type = SOCK_SEQPACKET, .kind = NOT_THERE,
};

FIXTURE_VARIANT_ADD(other, dgram)
{
	.type = SOCK_DGRAM, .kind = BEHIND_FILE,
};

/* The address in one family or the other, ADDR bytes of it. */
static const void *address(int family, const char *name)
{
	static struct sockaddr_un un;
	static struct sockaddr_nym nym;

	if (family == AF_NYM) {
		nym_addr(&nym, name);
		return &nym;
	}
	memset(&un, 0, sizeof(un));
	un.sun_family = AF_UNIX;
	memcpy(un.sun_path + 1, name, ADDR - offsetof(struct sockaddr_un, sun_path) - 1);
	return &un;
}

static int named(int family, int type, const char *name)
{
	int fd = socket(family, type | SOCK_CLOEXEC, 0);

	return fd >= 0 && bind(fd, address(family, name), ADDR) ? nym_give_up(fd) : fd;
}

static int called(int family, int type)
{
	int fd = named(family, type, CLI);

	return fd >= 0 && connect(fd, address(family, SRV), ADDR) ? nym_give_up(fd) : fd;
}

static bool open_side(struct side *side, int family, int type)
{
	side->family = family;
	side->l = named(family, type, SRV);
	if (side->l < 0)
		return false;
	side->s = side->l;
	if (type != SOCK_DGRAM && listen(side->l, 5))
		return false;
	side->c = called(family, type);
	if (type != SOCK_DGRAM)
		side->s = scm_accept(side->l);
	return side->c >= 0 && side->s >= 0;
}

FIXTURE_SETUP(other)
{
	SKIP_WITHOUT_NYM();
	self->edge = make_edge(variant->kind);
	ASSERT_NE(NULL, self->edge);
	ASSERT_TRUE(open_side(&self->side[0], AF_UNIX, variant->type));
	ASSERT_TRUE(open_side(&self->side[1], AF_NYM, variant->type));
}

FIXTURE_TEARDOWN(other)
{
	int i;

	for (i = 0; i < 2; i++) {
		close(self->side[i].l);
		close(self->side[i].c);
		if (self->side[i].s != self->side[i].l)
			close(self->side[i].s);
	}
	drop_edge(self->edge);
}

/* What a call gave: everything that may be compared. */
struct answer {
	long ret;
	int err;
	long more[4];
};

#define ANSWER(_answer, _call) do { \
	memset(&(_answer), 0, sizeof(_answer)); \
	errno = 0; \
	(_answer).ret = (_call); \
	(_answer).err = (_answer).ret < 0 ? errno : 0; \
} while (0)

/* Both families gave the same. */
#define EXPECT_SAME(_answers, _what, _at) \
	EXPECT_EQ(0, memcmp(&(_answers)[0], &(_answers)[1], sizeof((_answers)[0]))) { \
		TH_LOG("%s, %ld before: AF_UNIX %ld %s, AF_NYM %ld %s", _what, \
		       (long)(_at), (_answers)[0].ret, strerrorname_np((_answers)[0].err), \
		       (_answers)[1].ret, strerrorname_np((_answers)[1].err)); \
	}

typedef int (*getname_fn)(int fd, struct sockaddr *sa, socklen_t *len);

/* The address, and then its length, at every place around the edge. */
static void compare_getname(struct __test_metadata *_metadata, __u8 *edge,
			    const int fd[2], getname_fn get, const char *what)
{
	struct answer got[2];
	long at;
	int i;

	for (at = 0; at <= ADDR + 1; at++) {
		for (i = 0; i < 2; i++) {
			socklen_t len = 100;

			memset(edge - ADDR - 1, 0xff, ADDR + 1);
			ANSWER(got[i], get(fd[i], (void *)(edge - at), &len));
			got[i].more[0] = len;
		}
		EXPECT_SAME(got, what, at);
		EXPECT_EQ(at >= ADDR ? 0 : -1, got[1].ret);
	}
	for (at = 0; at <= 4; at++) {
		for (i = 0; i < 2; i++) {
			struct sockaddr_storage ss;
			socklen_t len = 100;

			memcpy(edge - 4, &len, 4);
			ANSWER(got[i], get(fd[i], (void *)&ss, (void *)(edge - at)));
		}
		EXPECT_SAME(got, what, at);
	}
}

TEST_F(other, addresses_of_sockets_and_their_peers)
{
	const int clients[2] = { self->side[0].c, self->side[1].c };

	compare_getname(_metadata, self->edge, clients, nym_getsockname, "getsockname");
	compare_getname(_metadata, self->edge, clients, nym_getpeername, "getpeername");
}

/* The call whose address cannot be stored is ended, the listener is not. */
TEST_F(other, address_of_whom_accept_found)
{
	struct answer got[2];
	long at;
	int i;

	if (variant->type == SOCK_DGRAM)
		SKIP(return, "nobody accepts datagrams");
	for (at = 0; at <= ADDR; at++) {
		for (i = 0; i < 2; i++) {
			struct side *side = &self->side[i];
			socklen_t len = 100;
			char c;
			int fd;

			close(side->c);
			side->c = called(side->family, variant->type);
			ASSERT_FD(side->c);
			ANSWER(got[i], accept4(side->l, (void *)(self->edge - at), &len,
					       SOCK_CLOEXEC | SOCK_NONBLOCK));
			fd = got[i].ret;
			got[i].ret = fd < 0 ? -1 : 0;
			got[i].more[0] = nym_poll_now(side->l, POLLIN);
			got[i].more[1] = recv(side->c, &c, 1, MSG_DONTWAIT);
			got[i].more[2] = got[i].more[1] < 0 ? errno : 0;
			if (fd >= 0)
				close(fd);
		}
		EXPECT_SAME(got, "accept", at);
		EXPECT_EQ(at == ADDR ? 0 : -1, got[1].ret);
	}
}

/* An address that cannot be read changes nothing. */
TEST_F(other, addresses_that_are_given)
{
	struct answer got[2];
	long at, call;
	int i;

	for (call = 0; call < 4; call++) {
		for (at = 0; at <= ADDR; at++) {
			for (i = 0; i < 2; i++) {
				struct side *side = &self->side[i];
				int fd = socket(side->family, variant->type | SOCK_CLOEXEC, 0);
				void *sa = self->edge - at;
				struct msghdr msg = { .msg_name = sa, .msg_namelen = ADDR };
				struct sockaddr_storage own;
				socklen_t len = sizeof(own);

				memcpy(self->edge - ADDR,
				       address(side->family, call ? SRV : "t/um/new"), ADDR);
				switch (call) {
				case 0:
					ANSWER(got[i], bind(fd, sa, ADDR));
					break;
				case 1:
					ANSWER(got[i], connect(fd, sa, ADDR));
					break;
				case 2:
					ANSWER(got[i], sendto(fd, "x", 1, MSG_NOSIGNAL, sa, ADDR));
					break;
				case 3:
					ANSWER(got[i], sendmsg(fd, &msg, MSG_NOSIGNAL));
					break;
				}
				/* A name that the kernel chose is ours alone. */
				got[i].more[0] = at < ADDR &&
					getsockname(fd, (void *)&own, &len) ? -1 : 0;
				if (at < ADDR)
					EXPECT_EQ(2, (int)len);
				close(fd);
				if (call == 1 && !got[i].ret && variant->type != SOCK_DGRAM)
					close(scm_accept(side->l));
			}
			EXPECT_SAME(got, "an address", at);
			if (at < ADDR)
				EXPECT_SAME_ERRNO(EFAULT, got[1].err);
		}
	}
}

/* Whose address cannot be stored has been received all the same. */
TEST_F(other, address_of_the_sender)
{
	struct answer got[2];
	long at, call;
	int i;

	for (call = 0; call < 2; call++) {
		for (at = 0; at <= ADDR; at++) {
			for (i = 0; i < 2; i++) {
				struct side *side = &self->side[i];
				void *sa = self->edge - at;
				socklen_t len = 100;
				char buf[10];
				struct iovec iov = { buf, sizeof(buf) };
				struct msghdr msg = {
					.msg_name = sa, .msg_namelen = 100,
					.msg_iov = &iov, .msg_iovlen = 1,
				};

				ASSERT_EQ(5, send(side->c, "12345", 5, 0));
				if (call)
					ANSWER(got[i], recvmsg(side->s, &msg, MSG_DONTWAIT));
				else
					ANSWER(got[i], recvfrom(side->s, buf, 10, MSG_DONTWAIT,
								sa, &len));
				got[i].more[0] = recv(side->s, buf, 10, MSG_DONTWAIT);
			}
			EXPECT_SAME(got, "the sender's address", at);
		}
	}
}

/* The header of a message, and the list of its parts. */
TEST_F(other, headers_and_lists)
{
	char buf[10];
	struct iovec iov[2] = { { buf, 4 }, { buf + 4, 6 } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	struct answer got[2];
	long at, call;
	int i;

	for (call = 0; call < 4; call++) {
		bool list = call & 1, out = call & 2;
		long size = list ? sizeof(iov) : sizeof(msg);

		for (at = 0; at <= size; at++) {
			for (i = 0; i < 2; i++) {
				struct side *side = &self->side[i];
				struct msghdr good = { .msg_iov = (void *)(self->edge - at),
						       .msg_iovlen = 2 };
				struct msghdr *m = list ? &good : (void *)(self->edge - at);

				memcpy(self->edge - at, list ? (void *)iov : &msg, at);
				if (out) {
					ANSWER(got[i], sendmsg(side->c, m, MSG_DONTWAIT));
				} else {
					ASSERT_EQ(5, send(side->c, "12345", 5, 0));
					ANSWER(got[i], recvmsg(side->s, m, MSG_DONTWAIT));
				}
				got[i].more[0] = recv(side->s, buf, 10, MSG_DONTWAIT);
			}
			EXPECT_SAME(got, out ? "sendmsg" : "recvmsg", at);
			if (at < size)
				EXPECT_SAME_ERRNO(EFAULT, got[1].err);
		}
	}
}

/* Of several messages those before the bad one go, and it stays. */
TEST_F(other, several_messages_at_once)
{
	struct mmsghdr *m = (void *)(self->edge - 3 * sizeof(*m));
	struct answer got[2];
	long bad, call, left;
	char buf[3][8];
	int i, j;

	for (call = 0; call < 4; call++) {
		for (bad = 0; bad < 3; bad++) {
			for (i = 0; i < 2; i++) {
				struct side *side = &self->side[i];
				struct iovec iov[3] = {
					{ buf[0], 4 }, { buf[1], 4 }, { buf[2], 4 },
				};
				/* The header is bad, or what it leads to. */
				struct mmsghdr *from = call & 1 ? m + bad : m;

				memset(m, 0, 3 * sizeof(*m));
				for (j = 0; j < 3; j++) {
					m[j].msg_hdr.msg_iov = &iov[j];
					m[j].msg_hdr.msg_iovlen = 1;
				}
				if (!(call & 1))
					iov[bad].iov_base = self->edge;
				if (call & 2) {
					ANSWER(got[i], sendmmsg(side->c, from, 3, MSG_DONTWAIT));
				} else {
					for (j = 0; j < 3; j++)
						ASSERT_EQ(4, send(side->c, "1234", 4, 0));
					ANSWER(got[i], recvmmsg(side->s, from, 3, MSG_DONTWAIT,
								NULL));
				}
				got[i].more[0] = io_so_error(side->s);
				for (left = 0; recv(side->s, buf[0], 4, MSG_DONTWAIT) > 0;)
					left++;
			}
			/* AF_UNIX drops a record that it cannot deliver. */
			if (!(call & 2))
				EXPECT_EQ(3 - (got[1].ret < 0 ? 0 : got[1].ret), left);
			EXPECT_SAME(got, call & 2 ? "sendmmsg" : "recvmmsg", bad);
		}
	}
}

/* A control message that cannot be read is not sent, nor is the message. */
TEST_F(other, control_that_is_given)
{
	struct side *side = &self->side[1];
	long at, size = CMSG_SPACE(2 * sizeof(int));
	struct scm_out out = { .len = 0 };
	int p[2], i, files[2];

	ASSERT_OK(pipe2(p, O_CLOEXEC));
	ASSERT_OK(scm_pass_rights(side->s, 1));
	for (i = 0; i < 2; i++)
		files[i] = p[1];
	scm_add_fds(&out, files, 2);
	for (at = 0; at <= size; at++) {
		struct iovec iov = { "x", 1 };
		struct msghdr msg = {
			.msg_iov = &iov, .msg_iovlen = 1,
			.msg_control = self->edge - at, .msg_controllen = size,
		};

		memcpy(self->edge - at, out.control.bytes, at);
		EXPECT_FAULT_IF(at < size, 1, sendmsg(side->c, &msg, MSG_DONTWAIT));
	}
	EXPECT_EQ(2, scm_drain(side->s));
	EXPECT_TRUE(is_empty(side->s));
	close(p[1]);
	EXPECT_TRUE(scm_has_no_writer(p[0]));
	close(p[0]);
}

/* Credentials that cannot be stored are missing; the message is not. */
TEST_F(other, control_that_is_received)
{
	long at, size = CMSG_SPACE(sizeof(struct ucred));
	struct answer got[2];
	int i;

	EXPECT_OK(nym_set_int(self->side[0].s, SO_PASSCRED, 1));
	EXPECT_OK(scm_pass_cred(self->side[1].s, 1));
	for (at = 0; at <= size; at++) {
		for (i = 0; i < 2; i++) {
			struct side *side = &self->side[i];
			char buf[10];
			struct iovec iov = { buf, sizeof(buf) };
			struct msghdr msg = {
				.msg_iov = &iov, .msg_iovlen = 1,
				.msg_control = self->edge - at, .msg_controllen = size,
			};

			ASSERT_EQ(5, send(side->c, "12345", 5, 0));
			ANSWER(got[i], recvmsg(side->s, &msg, MSG_DONTWAIT));
			got[i].more[0] = msg.msg_controllen;
			got[i].more[1] = msg.msg_flags;
		}
		EXPECT_SAME(got, "credentials", at);
		EXPECT_EQ(5, got[1].ret);
	}
}

/* --- Options of our own --- */

static const int options[] = {
	NYM_WAIT, NYM_SHARE, NYM_LINGER, NYM_PASSRIGHTS, NYM_PASSCRED,
};

TEST_F(other, options_that_are_set)
{
	int fd = self->side[1].l, one = 1;
	size_t i;
	long at;

	for (i = 0; i < ARRAY_SIZE(options); i++) {
		for (at = 0; at <= 4; at++) {
			memcpy(self->edge - at, &one, at);
			EXPECT_EQ(0, scm_option(fd, options[i]));
			EXPECT_FAULT_IF(at < 4, 0, setsockopt(fd, SOL_NYM, options[i],
							      self->edge - at, 4));
		}
		EXPECT_EQ(1, scm_option(fd, options[i]));
	}
}

/* Every place for a value of @size, and every one for its length. */
static void get_everywhere(struct __test_metadata *_metadata, __u8 *edge, int fd,
			   int opt, socklen_t size)
{
	socklen_t len;
	long at;

	for (at = 0; at <= (long)size; at++) {
		len = size;
		EXPECT_FAULT_IF(at < (long)size, 0,
				getsockopt(fd, SOL_NYM, opt, edge - at, &len));
	}
	for (at = 0; at <= 4; at++) {
		len = size;
		memcpy(edge - at, &len, at);
		EXPECT_FAULT_IF(at < 4, 0, getsockopt(fd, SOL_NYM, opt, edge - GOOD,
						      (void *)(edge - at)));
	}
}

TEST_F(other, options_that_are_asked_for)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(options); i++)
		get_everywhere(_metadata, self->edge, self->side[1].c, options[i], 4);
	get_everywhere(_metadata, self->edge, self->side[1].c, NYM_INFO,
		       sizeof(struct nym_info));
}

TEST_F(other, answers_of_ioctls)
{
	struct side *side = &self->side[1];
	int n = 0;
	long at;

	ASSERT_EQ(5, send(side->c, "12345", 5, 0));
	for (at = 0; at < 4; at++) {
		EXPECT_ERRNO(EFAULT, ioctl(side->s, FIONREAD, self->edge - at));
		EXPECT_ERRNO(EFAULT, ioctl(side->c, SIOCOUTQ, self->edge - at));
	}
	EXPECT_OK(ioctl(side->s, FIONREAD, self->edge - 4));
	memcpy(&n, self->edge - 4, 4);
	EXPECT_EQ(5, n);
}

NYM_TEST_MAIN
