// SPDX-License-Identifier: GPL-2.0
/*
 * The calls of nymify's library that change files or ask for permission: what
 * programs do with the path of a socket that a rule has mapped, so that there is no
 * file.
 *
 * Files come first: a pattern may fit a server's lock file or a directory, too.
 * Only where there is no file, or a socket that is a leftover, a name counts.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nymify.h"

enum { GROUPS_MAX = 256 };

static bool in_group(gid_t wanted, gid_t own)
{
	gid_t groups[GROUPS_MAX];
	int i, n;

	if (wanted == own)
		return true;
	n = getgroups(GROUPS_MAX, groups);
	for (i = 0; i < n; i++)
		if (groups[i] == wanted)
			return true;
	return false;
}

/* May a user do this, a sum of R_OK, W_OK and X_OK, by the mode of the name? */
static bool allows(const struct nym_diag_owner *owner, int how, uid_t uid, gid_t gid)
{
	unsigned int mode = owner->mode & 7;

	if (!uid)
		return !(how & X_OK) || owner->mode & 0111;
	if (uid == owner->uid)
		mode = owner->mode >> 6 & 7;
	else if (in_group(owner->gid, gid))
		mode = owner->mode >> 3 & 7;
	return !(how & ~mode);
}

/* After a call about a file has failed. */
static int access_name(int dir, const char *path, int how, bool effective)
{
	struct nym_diag_owner owner;
	struct nymify_name name;
	unsigned int ino;

	if (errno == EFAULT || how & ~(R_OK | W_OK | X_OK) ||
	    !nymify_map_at(dir, path, &name) || !nymify_owner(&name, &owner, &ino))
		return -1;
	if (!allows(&owner, how, effective ? geteuid() : getuid(),
		    effective ? getegid() : getgid())) {
		errno = EACCES;
		return -1;
	}
	return 0;
}

static int access_path(int dir, const char *path, int how, int flags)
{
	int saved = errno;

	if (NYMIFY_NEXT(faccessat)(dir, path, how, flags) &&
	    access_name(dir, path, how, flags & AT_EACCESS))
		return -1;
	errno = saved;
	return 0;
}

NYMIFY_EXPORT int access(const char *path, int how)
{
	return access_path(AT_FDCWD, path, how, 0);
}

NYMIFY_EXPORT int faccessat(int dir, const char *path, int how, int flags)
{
	return access_path(dir, path, how, flags);
}

NYMIFY_EXPORT int eaccess(const char *path, int how)
{
	return access_path(AT_FDCWD, path, how, AT_EACCESS);
}

NYMIFY_EXPORT int euidaccess(const char *path, int how)
{
	return access_path(AT_FDCWD, path, how, AT_EACCESS);
}

/*
 * After a call to remove a file has failed. There is nothing to remove: a name goes
 * when its socket is closed. A server that wants it clears the way and binds it.
 */
static int unlink_name(int dir, const char *path)
{
	struct nymify_name name;

	if (errno == EFAULT || !nymify_map_at(dir, path, &name) || nymify_is_file(dir, path))
		return -1;
	return nymify_remove(&name) || nymify_exists(&name) ? 0 : -1;
}

NYMIFY_EXPORT int unlink(const char *path)
{
	int saved = errno;

	if (NYMIFY_NEXT(unlink)(path) && unlink_name(AT_FDCWD, path))
		return -1;
	errno = saved;
	return 0;
}

NYMIFY_EXPORT int unlinkat(int dir, const char *path, int flags)
{
	int saved = errno;

	if (NYMIFY_NEXT(unlinkat)(dir, path, flags) &&
	    (flags & AT_REMOVEDIR || unlink_name(dir, path)))
		return -1;
	errno = saved;
	return 0;
}

NYMIFY_EXPORT int remove(const char *path)
{
	int saved = errno;

	if (NYMIFY_NEXT(remove)(path) && unlink_name(AT_FDCWD, path))
		return -1;
	errno = saved;
	return 0;
}

/*
 * The socket whose mode or owner is meant by a path; -1 if it is a file after all;
 * -2 and errno if another process has the name.
 */
static int find_socket(int dir, const char *path)
{
	struct nymify_name name;
	int fd;

	if (!nymify_map_at(dir, path, &name) || nymify_is_file(dir, path) || !nymify_exists(&name))
		return -1;
	fd = nymify_find(&name);
	if (fd >= 0)
		return fd;
	errno = EPERM;
	return -2;
}

static int chmod_path(int dir, const char *path, mode_t mode, int flags)
{
	int fd = find_socket(dir, path);

	if (fd == -1)
		return NYMIFY_NEXT(fchmodat)(dir, path, mode, flags);
	return fd < 0 ? -1 : fchmod(fd, mode);
}

static int chown_path(int dir, const char *path, uid_t uid, gid_t gid, int flags)
{
	int fd = find_socket(dir, path);

	if (fd == -1)
		return NYMIFY_NEXT(fchownat)(dir, path, uid, gid, flags);
	return fd < 0 ? -1 : fchown(fd, uid, gid);
}

NYMIFY_EXPORT int chmod(const char *path, mode_t mode)
{
	return chmod_path(AT_FDCWD, path, mode, 0);
}

NYMIFY_EXPORT int fchmodat(int dir, const char *path, mode_t mode, int flags)
{
	return chmod_path(dir, path, mode, flags);
}

NYMIFY_EXPORT int chown(const char *path, uid_t uid, gid_t gid)
{
	return chown_path(AT_FDCWD, path, uid, gid, 0);
}

NYMIFY_EXPORT int lchown(const char *path, uid_t uid, gid_t gid)
{
	return chown_path(AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW);
}

NYMIFY_EXPORT int fchownat(int dir, const char *path, uid_t uid, gid_t gid, int flags)
{
	return chown_path(dir, path, uid, gid, flags);
}
