/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the module has: sockets, lines of /proc/net/nym, objects in its caches;
 * for the check that a program has left nothing.
 */
#ifndef NYM_COUNTS_H
#define NYM_COUNTS_H

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#endif

#define NYM_PROC	"/proc/net/nym"

static inline long nym_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* The whole of a file as a string to be freed, read in pieces of @piece. */
static inline char *nym_slurp(const char *path, size_t piece)
{
	size_t len = 0, room = 1 << 16;
	char *text = malloc(room + 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = -1;

	while (fd >= 0 && text) {
		if (room - len < piece) {
			room *= 2;
			text = realloc(text, room + 1);
			if (!text)
				break;
		}
		n = read(fd, text + len, piece);
		if (n <= 0)
			break;
		len += n;
	}
	if (fd >= 0)
		close(fd);
	if (n < 0) {
		free(text);
		return NULL;
	}
	text[len] = 0;
	return text;
}

/* Writes a text to a file in one go, as the kernel's settings want it. */
static inline int nym_put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = write(fd, text, strlen(text));
	close(fd);
	return n == (ssize_t)strlen(text) ? 0 : -1;
}

/* What a program that ended must have given back; -1: not known here. */
struct nym_counts {
	long sockets;		/* in /proc/net/protocols */
	long lines;		/* in /proc/net/nym */
	long objects[6];	/* in the slab caches of nym_caches */
};

static const char * const nym_caches[] = {
	"NYM", "NYM-DGRAM", "nym_conn", "nym_chunk", "nym_endpoint", "nym_mark",
};

/* Objects of SLUB's per-CPU lists count as in use until they are flushed. */
static inline void __nym_shrink(const char *cache)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/kernel/slab/%s/shrink", cache);
	if (nym_put(path, "1") && errno != ENOENT)
		perror(path);
}

/* The number in the second or a later column of the line named @name. */
static inline long __nym_column(const char *text, const char *name, int column)
{
	size_t len = strlen(name);
	const char *s = text;
	long value;

	for (s = text; s; s = strchr(s, '\n')) {
		s += *s == '\n';
		if (strncmp(s, name, len) || !isspace(s[len]))
			continue;
		for (s += len; column > 2; column--) {
			s += strspn(s, " ");
			s += strcspn(s, "\n ");
		}
		return sscanf(s, "%ld", &value) == 1 ? value : -1;
	}
	return -1;
}

static inline void nym_count(struct nym_counts *counts)
{
	char *text;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(nym_caches); i++)
		__nym_shrink(nym_caches[i]);
	text = nym_slurp("/proc/slabinfo", 1 << 16);
	for (i = 0; i < ARRAY_SIZE(nym_caches); i++)
		counts->objects[i] =
			text ? __nym_column(text, nym_caches[i], 2) : -1;
	free(text);

	text = nym_slurp("/proc/net/protocols", 1 << 16);
	counts->sockets = text ? __nym_column(text, "NYM", 3) +
				 __nym_column(text, "NYM-DGRAM", 3) : -1;
	free(text);

	text = nym_slurp(NYM_PROC, 1 << 16);
	counts->lines = -1;
	if (text) {
		const char *s = text;

		for (; (s = strchr(s, '\n')); s++)
			counts->lines++;
		free(text);
	}
}

/* The counts before the first test of the program. */
static struct nym_counts nym_counts_before;

static __attribute__((constructor)) void nym_count_before(void)
{
	nym_count(&nym_counts_before);
}

static inline bool nym_counts_back(const struct nym_counts *now)
{
	const struct nym_counts *was = &nym_counts_before;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(now->objects); i++) {
		if (was->objects[i] >= 0 && now->objects[i] > was->objects[i])
			return false;
	}
	return now->sockets <= was->sockets && now->lines <= was->lines;
}

/*
 * Sockets are freed after RCU, and namespaces in their turn, so the counts may
 * take a moment to return.
 */
static inline bool nym_wait_counts_back(struct nym_counts *now)
{
	long end = nym_now_ms() + 20000;

	for (;;) {
		nym_count(now);
		if (nym_counts_back(now))
			return true;
		if (nym_now_ms() > end)
			return false;
		usleep(20000);
	}
}

#endif /* NYM_COUNTS_H */
