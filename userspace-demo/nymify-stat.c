// SPDX-License-Identifier: GPL-2.0
/*
 * stat() and its kin in nymify's library: the path of a socket that a rule has
 * mapped shows a socket as long as somebody has the name. A file at that path, if
 * there is one that is no socket, comes first.
 */
#define _GNU_SOURCE
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "nymify.h"

static void fill_stat(struct stat *st, const struct nym_diag_owner *owner, unsigned int ino)
{
	memset(st, 0, sizeof(*st));
	st->st_mode = S_IFSOCK | owner->mode;
	st->st_uid = owner->uid;
	st->st_gid = owner->gid;
	st->st_ino = ino;
	st->st_nlink = 1;
	st->st_blksize = 4096;
}

static int stat_path(int dir, const char *path, struct stat *st, int flags)
{
	int saved = errno, err = NYMIFY_NEXT(fstatat)(dir, path, st, flags);
	struct nym_diag_owner owner;
	struct nymify_name name;
	unsigned int ino;

	if (err ? errno == EFAULT : !S_ISSOCK(st->st_mode))
		return err;
	if (!nymify_map_at(dir, path, &name) || !nymify_owner(&name, &owner, &ino))
		return err;
	fill_stat(st, &owner, ino);
	errno = saved;
	return 0;
}

/* With 64 bits, struct stat64 is the same as struct stat. */
static_assert(sizeof(struct stat) == sizeof(struct stat64), "only for 64 bits");

NYMIFY_EXPORT int stat(const char *path, struct stat *st)
{
	return stat_path(AT_FDCWD, path, st, 0);
}

NYMIFY_EXPORT int lstat(const char *path, struct stat *st)
{
	return stat_path(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}

NYMIFY_EXPORT int fstatat(int dir, const char *path, struct stat *st, int flags)
{
	return stat_path(dir, path, st, flags);
}

NYMIFY_EXPORT int stat64(const char *path, struct stat64 *st)
{
	return stat_path(AT_FDCWD, path, (struct stat *)st, 0);
}

NYMIFY_EXPORT int lstat64(const char *path, struct stat64 *st)
{
	return stat_path(AT_FDCWD, path, (struct stat *)st, AT_SYMLINK_NOFOLLOW);
}

NYMIFY_EXPORT int fstatat64(int dir, const char *path, struct stat64 *st, int flags)
{
	return stat_path(dir, path, (struct stat *)st, flags);
}

/* What those are in programs that were built with a C library before 2.33. */

NYMIFY_EXPORT int __xstat(int version, const char *path, struct stat *st)
{
	(void)version;
	return stat_path(AT_FDCWD, path, st, 0);
}

NYMIFY_EXPORT int __xstat64(int version, const char *path, struct stat64 *st)
{
	(void)version;
	return stat_path(AT_FDCWD, path, (struct stat *)st, 0);
}

NYMIFY_EXPORT int __lxstat(int version, const char *path, struct stat *st)
{
	(void)version;
	return stat_path(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}

NYMIFY_EXPORT int __lxstat64(int version, const char *path, struct stat64 *st)
{
	(void)version;
	return stat_path(AT_FDCWD, path, (struct stat *)st, AT_SYMLINK_NOFOLLOW);
}

NYMIFY_EXPORT int __fxstatat(int version, int dir, const char *path, struct stat *st,
			     int flags)
{
	(void)version;
	return stat_path(dir, path, st, flags);
}

NYMIFY_EXPORT int __fxstatat64(int version, int dir, const char *path, struct stat64 *st,
			       int flags)
{
	(void)version;
	return stat_path(dir, path, (struct stat *)st, flags);
}

NYMIFY_EXPORT int statx(int dir, const char *path, int flags, unsigned int mask,
			struct statx *st)
{
	int saved = errno, err = NYMIFY_NEXT(statx)(dir, path, flags, mask, st);
	struct nym_diag_owner owner;
	struct nymify_name name;
	unsigned int ino;

	if (err ? errno == EFAULT : !S_ISSOCK(st->stx_mode))
		return err;
	if (!nymify_map_at(dir, path, &name) || !nymify_owner(&name, &owner, &ino))
		return err;
	memset(st, 0, sizeof(*st));
	st->stx_mask = STATX_TYPE | STATX_MODE | STATX_NLINK | STATX_UID | STATX_GID | STATX_INO;
	st->stx_mode = S_IFSOCK | owner.mode;
	st->stx_uid = owner.uid;
	st->stx_gid = owner.gid;
	st->stx_ino = ino;
	st->stx_nlink = 1;
	st->stx_blksize = 4096;
	errno = saved;
	return 0;
}
