// SPDX-License-Identifier: GPL-2.0
/*
 * What only many bytes bring to light in a ring: positions that wrap, memory that
 * is used again and given back.
 */
#include "nym_test.h"
#include "nym_io.h"

#define PIECE	32768L	/* the largest chunk, which so is used for ever */

FIXTURE(ring)
{
	int fd[2];
};

FIXTURE_SETUP(ring)
{
	SKIP_WITHOUT_NYM();
	ASSERT_OK(nym_pair(self->fd));
}

FIXTURE_TEARDOWN(ring)
{
	close(self->fd[0]);
	close(self->fd[1]);
}

/*
 * After 2^31 bytes through one chunk, of which the reader always leaves one, so
 * that the chunk stays, the writer must still see when it is full.
 */
TEST_F(ring, two_gigabytes_through_one_chunk)
{
	long len = PIECE - 1, pieces = (1UL << 31) / len + 1, pos = PIECE, i;
	__u8 *buf = malloc(3 * PIECE + 1);

	ASSERT_NE(NULL, buf);
	ASSERT_RETURNS(PIECE, send(self->fd[0], io_at(0), PIECE, 0));
	ASSERT_RETURNS(len, recv(self->fd[1], buf, len, 0));
	for (i = 0; i < pieces; i++, pos += len) {
		ASSERT_RETURNS(len, send(self->fd[0], io_at(pos), len, 0));
		ASSERT_RETURNS(len, recv(self->fd[1], buf, len, 0));
	}
	ASSERT_TRUE(io_is(buf, pos - PIECE, len));
	ASSERT_RETURNS(3 * PIECE, send(self->fd[0], io_at(pos), 3 * PIECE, 0));
	ASSERT_RETURNS(3 * PIECE + 1, recv(self->fd[1], buf, 3 * PIECE + 1, MSG_WAITALL));
	EXPECT_TRUE(io_is(buf, pos - 1, 3 * PIECE + 1));
	free(buf);
}

/* How many chunks all rings have, or -1. */
static long chunks(void)
{
	struct nym_counts counts;
	size_t i;

	nym_count(&counts);
	for (i = 0; i < ARRAY_SIZE(nym_caches); i++) {
		if (!strcmp(nym_caches[i], "nym_chunk"))
			return counts.objects[i];
	}
	return -1;
}

static bool wait_chunks(long most)
{
	long end = io_now_ms() + IO_POLL_MS;

	while (chunks() > most && io_now_ms() < end)
		usleep(50000);
	return chunks() <= most;
}

/* Fills one way of the connection; gives how many bytes that took. */
static long fill(int from)
{
	return io_fill(from, 0, 4096);
}

TEST_F(ring, who_is_idle_keeps_no_memory)
{
	long before = chunks(), len, i;

	if (before < 0)
		SKIP(return, "the kernel tells of no slab cache of chunks");
	/* The second time it goes on as if nothing had been. */
	for (i = 0; i < 2; i++) {
		len = fill(self->fd[0]);
		ASSERT_LT(100000, len);
		ASSERT_EQ(len, fill(self->fd[1]));
		EXPECT_LT(before, chunks());
		ASSERT_EQ(len, io_recv_all(self->fd[1], 0, len, 4096, NULL));
		ASSERT_EQ(len, io_recv_all(self->fd[0], 0, len, 4096, NULL));
		EXPECT_TRUE(wait_chunks(before));
	}
}

/* What nobody has read stays, however long that takes. */
TEST_F(ring, what_is_unread_outlasts_idleness)
{
	long before = chunks(), len = fill(self->fd[0]);

	if (before < 0)
		SKIP(return, "the kernel tells of no slab cache of chunks");
	ASSERT_LT(100000, len);
	ASSERT_EQ(50000, io_recv_all(self->fd[1], 0, 50000, 4096, NULL));
	sleep(4);
	EXPECT_LT(before, chunks());
	ASSERT_EQ(len - 50000, io_recv_all(self->fd[1], 50000, len - 50000, 4096, NULL));
	EXPECT_TRUE(wait_chunks(before));
}

NYM_TEST_MAIN
