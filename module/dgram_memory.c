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

/* The header, and where the first pages are. */
#define NYM_DGRAM_LARGE_HEAD	(sizeof(struct nym_dgram) + sizeof(struct page *))

/* Where the next ones are the pages themselves say. */
static struct page *nym_dgram_next(struct page *page)
{
	return (struct page *)page_private(page);
}

/* nym_dgram_cost() of a large one. */
u32 nym_dgram_cost_large(size_t len)
{
	return kmalloc_size_roundup(NYM_DGRAM_LARGE_HEAD) + PAGE_ALIGN(len);
}

static void nym_dgram_put_pages(struct page *page)
{
	while (page) {
		struct page *next = nym_dgram_next(page);

		set_page_private(page, 0);
		__free_pages(page, compound_order(page));
		page = next;
	}
}

/* Pages for @size bytes, or NULL. */
static struct page *nym_dgram_get_pages(size_t size)
{
	gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_NOWARN | __GFP_COMP;
	struct page *first = NULL, *last = NULL, *page;
	unsigned int order, most = NYM_DGRAM_ORDER_MAX;

	while (size) {
		order = min_t(unsigned int, ilog2(size >> PAGE_SHIFT), most);
		/* Nobody is to wait for pages to be next to each other. */
		page = alloc_pages(order ? gfp & ~__GFP_DIRECT_RECLAIM : gfp, order);
		if (!page && order) {
			most = order - 1;
			continue;
		}
		if (!page) {
			nym_dgram_put_pages(first);
			return NULL;
		}
		set_page_private(page, 0);
		if (last)
			set_page_private(last, (unsigned long)page);
		else
			first = page;
		last = page;
		size -= PAGE_SIZE << order;
	}
	return first;
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

	d = kmalloc(NYM_DGRAM_LARGE_HEAD, GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!d)
		return NULL;
	d->pages[0] = nym_dgram_get_pages(PAGE_ALIGN(len));
	if (d->pages[0])
		return d;
	kfree(d);
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
	nym_dgram_put_pages(d->pages[0]);
	kfree(d);
}

/* nym_dgram_fill() of a large one. */
bool nym_dgram_fill_large(struct nym_dgram *d, struct iov_iter *from)
{
	struct page *page = d->pages[0];
	size_t done, copied, n;

	for (done = 0; done < d->len; done += n, page = nym_dgram_next(page)) {
		n = min_t(size_t, d->len - done, page_size(page));
		copied = _copy_from_iter(page_address(page), n, from);
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
	struct page *page = d->pages[0];
	size_t done, n;

	for (done = 0; done < len; done += n, page = nym_dgram_next(page)) {
		n = min_t(size_t, len - done, page_size(page));
		if (_copy_to_iter(page_address(page), n, to) < n)
			return false;
	}
	return true;
}
