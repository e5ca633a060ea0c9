// SPDX-License-Identifier: GPL-2.0
/*
 * What only many bytes bring to light in a ring: positions that wrap.
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
 * After 2^31 bytes through one chunk, which the reader always empties, the
 * writer must still see when it is full.
 */
TEST_F(ring, two_gigabytes_through_one_chunk)
{
	long pieces = (1UL << 31) / PIECE + 1, i;
	__u8 *buf = malloc(3 * PIECE);

	ASSERT_NE(NULL, buf);
	for (i = 0; i < pieces; i++) {
		ASSERT_RETURNS(PIECE, send(self->fd[0], io_at(i), PIECE, 0));
		ASSERT_RETURNS(PIECE, recv(self->fd[1], buf, PIECE, 0));
	}
	ASSERT_TRUE(io_is(buf, i - 1, PIECE));
	ASSERT_RETURNS(3 * PIECE, send(self->fd[0], io_at(0), 3 * PIECE, 0));
	ASSERT_RETURNS(3 * PIECE, recv(self->fd[1], buf, 3 * PIECE, MSG_WAITALL));
	EXPECT_TRUE(io_is(buf, 0, 3 * PIECE));
	free(buf);
}

NYM_TEST_MAIN
