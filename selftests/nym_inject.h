/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Making the kernel's own allocations and copies fail, one at a time: a call
 * between nym_inject() and nym_inject_left() fails at the nth chance it has.
 */
#ifndef NYM_INJECT_H
#define NYM_INJECT_H

#include "nym_test.h"

#include <sys/mount.h>

#define NYM_DEBUGFS	"/sys/kernel/debug/"

/* All allocations, quietly: what sleeps and what may use high memory, too. */
static inline bool nym_can_inject(void)
{
	if (access("/proc/thread-self/fail-nth", W_OK))
		return false;
	if (access(NYM_DEBUGFS "failslab", F_OK))
		mount("debugfs", NYM_DEBUGFS, "debugfs", 0, NULL);
	nym_put(NYM_DEBUGFS "failslab/ignore-gfp-wait", "0");
	nym_put(NYM_DEBUGFS "failslab/verbose", "0");
	nym_put(NYM_DEBUGFS "fail_page_alloc/ignore-gfp-wait", "0");
	nym_put(NYM_DEBUGFS "fail_page_alloc/ignore-gfp-highmem", "0");
	nym_put(NYM_DEBUGFS "fail_page_alloc/min-order", "0");
	nym_put(NYM_DEBUGFS "fail_page_alloc/verbose", "0");
	nym_put(NYM_DEBUGFS "fail_usercopy/verbose", "0");
	return true;
}

/* Has the next @nth chance to fail from here on do so. */
static inline int nym_inject(int nth)
{
	char text[16];
	int fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);

	snprintf(text, sizeof(text), "%d", nth);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		abort();
	return fd;
}

/* No more; how many chances of the @nth were not there? 0: it happened. */
static inline int nym_inject_left(int fd, int nth)
{
	char text[16] = "";
	int left;

	/* This, too, is a copy that can fail: then nothing did before. */
	left = pread(fd, text, sizeof(text) - 1, 0) > 0 ? atoi(text) : nth;
	while (pwrite(fd, "0", 1, 0) < 0)
		;
	close(fd);
	return left;
}

#endif /* NYM_INJECT_H */
