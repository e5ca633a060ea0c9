// SPDX-License-Identifier: GPL-2.0
/*
 * splice() from a socket into a pipe.
 *
 * The bytes are received into fresh pages, which become the pipe's; descriptors
 * that came with them are closed. What the
 * kernel would do for a family without this call differs between its versions
 * and knows no SPLICE_F_NONBLOCK. The other direction is sendmsg().
 */
#include <linux/bvec.h>
#include <linux/mm.h>
#include <linux/pipe_fs_i.h>
#include <linux/splice.h>

#include "af_nym.h"

/* Pages of one call; the pipe's default size. */
#define NYM_SPLICE_PAGES	16

struct nym_splice {
	struct bio_vec bvec[NYM_SPLICE_PAGES];
	unsigned int n;
};

static int nym_splice_alloc(struct nym_splice *sp, size_t len)
{
	while (len && sp->n < NYM_SPLICE_PAGES) {
		size_t n = min_t(size_t, len, PAGE_SIZE);
		struct page *page = alloc_page(GFP_USER | __GFP_ACCOUNT);

		if (!page)
			return sp->n ? 0 : -ENOMEM;
		sp->bvec[sp->n].bv_page = page;
		sp->bvec[sp->n].bv_offset = 0;
		sp->bvec[sp->n].bv_len = n;
		sp->n++;
		len -= n;
	}
	return 0;
}

/*
 * Hands over the first @len bytes' pages and frees the others. The pipe has
 * been locked since its room was looked at, so it takes them all.
 */
static void nym_splice_give(struct nym_splice *sp, struct pipe_inode_info *pipe,
			    size_t len)
{
	unsigned int i;

	for (i = 0; i < sp->n; i++) {
		struct pipe_buffer buf = {
			.ops = &nosteal_pipe_buf_ops,
			.page = sp->bvec[i].bv_page,
			.len = min_t(size_t, len, PAGE_SIZE),
		};

		if (buf.len)
			add_to_pipe(pipe, &buf);
		else
			__free_page(buf.page);
		len -= buf.len;
	}
}

/**
 * nym_splice_read() - proto_ops.splice_read
 * @sock: the socket
 * @ppos: the file position, 0
 * @pipe: where to; locked by the caller
 * @len: how much at most
 * @flags: SPLICE_F_NONBLOCK
 *
 * Context: sleeps
 * Return: as nym_stream_read(); -ESPIPE; -EAGAIN if the pipe is full
 */
ssize_t nym_splice_read(struct socket *sock, loff_t *ppos,
			struct pipe_inode_info *pipe, size_t len,
			unsigned int flags)
{
	unsigned int used = pipe_occupancy(pipe->head, pipe->tail);
	unsigned int room = max(used, pipe->max_usage) - used;
	struct nym_conn *conn = nym_sock_conn(sock->sk);
	struct nym_receipt receipt = { .control = NYM_CONTROL_NONE };
	struct nym_splice sp = { .n = 0 };
	struct msghdr msg = {};
	int msg_flags = 0;
	u32 queued;
	ssize_t ret;

	if (*ppos)
		return -ESPIPE;
	if (!conn)
		return -EINVAL;
	if (sock->file->f_flags & O_NONBLOCK || flags & SPLICE_F_NONBLOCK)
		msg_flags = MSG_DONTWAIT;

	len = min_t(size_t, len, (size_t)room << PAGE_SHIFT);
	len = min_t(size_t, len, NYM_SPLICE_PAGES * PAGE_SIZE);
	/* To wait, one page will do: the next call finds how much came. */
	queued = nym_ring_unread(&conn->ring[!nym_sk(sock->sk)->side]);
	len = min_t(size_t, len, max_t(u32, queued, PAGE_SIZE));
	if (!len)
		return -EAGAIN;
	ret = nym_splice_alloc(&sp, len);
	if (ret)
		return ret;
	len = min_t(size_t, len, sp.n * PAGE_SIZE);

	iov_iter_bvec(&msg.msg_iter, ITER_DEST, sp.bvec, sp.n, len);
	ret = nym_stream_read(sock->sk, &msg, len, msg_flags, TASK_INTERRUPTIBLE,
			      &receipt);
	nym_control_release(&receipt.control);
	nym_splice_give(&sp, pipe, max_t(ssize_t, ret, 0));
	return ret;
}
