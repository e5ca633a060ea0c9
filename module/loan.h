/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Loans: what is lent to a ring instead of being copied into it. loan.c has the
 * idea and the locking.
 */
#ifndef _NYM_LOAN_H
#define _NYM_LOAN_H

#include <linux/uio.h>

#include "ring.h"

/* Less is not worth it; nor is what may end up in the ring for the most part. */
#define NYM_LOAN_LEAST		(8 * PAGE_SIZE)
#define NYM_LOAN_LEAST_RINGS	2

/* How long a writer lends without anything being read: pages shall not stay for ever. */
#define NYM_LOAN_PATIENCE	(5 * HZ)

/**
 * struct nym_loan - bytes that a writer lends, on its stack
 * @pages: where they are, with a reference on each
 * @start: where the first of them is in the first page
 * @len: how many bytes it was; 0 if there are no pages
 * @done: how many of them have gone; written under @ring->loan_lock
 * @limit: how much the ring may hold, so how much of the rest it keeps when the
 *	loan ends early
 * @due: the writer is to end it; written under @ring->loan_lock, read at any time
 * @charged: pages that the user has been charged with
 * @chunk: memory for the first of what is kept, or NULL
 */
struct nym_loan {
	struct page **pages;
	size_t start;
	size_t len;
	size_t done;
	u32 limit;
	u8 due;
	unsigned int charged;
	struct nym_chunk *chunk;
};

/**
 * nym_loan_waits() - is the reader to be waited for?
 * @loan: the loan of the caller's
 * @ring: the ring it was lent to
 *
 * Context: any
 * Return: true if it is not time to end it
 */
static inline bool nym_loan_waits(const struct nym_loan *loan, const struct nym_ring *ring)
{
	return READ_ONCE(ring->loan) == loan && !READ_ONCE(loan->due);
}

bool nym_loan_make(struct nym_loan *loan, struct nym_ring *ring, struct iov_iter *from,
		   size_t len, u32 limit);
void nym_loan_drop(struct nym_loan *loan, struct nym_ring *ring);
void nym_loan_lend(struct nym_loan *loan, struct nym_ring *ring);
size_t nym_loan_end(struct nym_loan *loan, struct nym_ring *ring, bool keep, size_t *kept);
int nym_loan_show(struct nym_ring *ring, size_t want);
ssize_t nym_loan_read(struct nym_ring *ring, struct iov_iter *to, size_t len);
bool nym_loan_is_due(struct nym_ring *ring);

#endif /* _NYM_LOAN_H */
