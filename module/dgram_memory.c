// SPDX-License-Identifier: GPL-2.0
/*
 * The memory of large datagrams. A small one is one object, its bytes behind the header
 * (dgram.h). The bytes of a large one are in pages of their own, many together if they
 * can be had: one object for all of them would be rounded up to twice as much, cleared,
 * and given back page by page.
 *
 * No locks: until it is in a queue a datagram is its sender's, and what is in it does
 * not change after that.
 */
#include <linux/gfp.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uio.h>

#include "dgram.h"

/* Together are at most 2^5 pages: with more there is little to gain. */
#define NYM_DGRAM_ORDER_MAX	5

/* The header, and a pointer to each page if none can be had together. */
static size_t nym_dgram_head_size(size_t len)
{
	size_t size = sizeof(struct nym_dgram) + DIV_ROUND_UP(len, PAGE_SIZE) * sizeof(void *);

	return size > KMALLOC_MAX_CACHE_SIZE ? PAGE_ALIGN(size) : kmalloc_size_roundup(size);
}

/* nym_dgram_cost() of a large one. */
u32 nym_dgram_cost_large(size_t len)
{
	return nym_dgram_head_size(len) + PAGE_ALIGN(len);
}

static void nym_dgram_put_pages(struct nym_dgram *d, size_t size)
{
	struct page **page = d->pages;

	while (size) {
		unsigned int order = compound_order(*page);

		size -= PAGE_SIZE << order;
		__free_pages(*page++, order);
	}
}

/* Pages for @size bytes. */
static bool nym_dgram_get_pages(struct nym_dgram *d, size_t size)
{
	gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_NOWARN | __GFP_COMP;
	unsigned int order, most = NYM_DGRAM_ORDER_MAX;
	struct page **page = d->pages;
	size_t left = size;

	while (left) {
		order = min_t(unsigned int, ilog2(left >> PAGE_SHIFT), most);
		/* Nobody is to wait for pages to be next to each other. */
		*page = alloc_pages(order ? gfp & ~__GFP_DIRECT_RECLAIM : gfp, order);
		if (*page) {
			page++;
			left -= PAGE_SIZE << order;
		} else if (order) {
			most = order - 1;
		} else {
			nym_dgram_put_pages(d, size - left);
			return false;
		}
	}
	return true;
}

/**
 * nym_dgram_memory_large() - memory for a large datagram
 * @len: how many bytes it will have
 *
 * Context: sleeps
 * Return: the datagram, with nothing set but its pages, or NULL
 */
struct nym_dgram *nym_dgram_memory_large(size_t len)
{
	struct nym_dgram *d;

	d = kvmalloc(nym_dgram_head_size(len), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!d || nym_dgram_get_pages(d, PAGE_ALIGN(len)))
		return d;
	kvfree(d);
	return NULL;
}

/**
 * nym_dgram_memory_free_large() - give it back
 * @d: the datagram
 *
 * Context: any but interrupts
 */
void nym_dgram_memory_free_large(struct nym_dgram *d)
{
	nym_dgram_put_pages(d, PAGE_ALIGN(d->len));
	kvfree(d);
}

/* nym_dgram_fill() of a large one. */
bool nym_dgram_fill_large(struct nym_dgram *d, struct iov_iter *from)
{
	struct page **page = d->pages;
	size_t done, copied, n;

	for (done = 0; done < d->len; done += n) {
		n = min_t(size_t, d->len - done, page_size(*page));
		copied = _copy_from_iter(page_address(*page++), n, from);
		if (copied < n) {
			iov_iter_revert(from, done + copied);
			return false;
		}
	}
	return true;
}

/* nym_dgram_fetch() of a large one. */
bool nym_dgram_fetch_large(const struct nym_dgram *d, struct iov_iter *to, size_t len)
{
	struct page *const *page = d->pages;
	size_t done, n;

	for (done = 0; done < len; done += n) {
		n = min_t(size_t, len - done, page_size(*page));
		if (_copy_to_iter(page_address(*page++), n, to) < n)
			return false;
	}
	return true;
}
