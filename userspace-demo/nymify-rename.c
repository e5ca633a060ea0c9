// SPDX-License-Identifier: GPL-2.0
/*
 * rename() in nymify's library: some servers bind a socket under another path and
 * move it to its place, so that at no time nobody is there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nymify.h"

/* A socket that listens does so under its new name. */
static int listen_likewise(int fd, int new)
{
	struct nym_info info = { };
	socklen_t len = sizeof(info);

	if (nymify_int(fd, SO_ACCEPTCONN) <= 0)
		return 0;
	if (NYMIFY_NEXT(getsockopt)(fd, SOL_NYM, NYM_INFO, &info, &len))
		return -1;
	return listen(new, info.limit - 1);
}

/*
 * A bound socket cannot be given another name: a new one takes its place. It shares
 * the name with the one that it replaces, as long as that is still there.
 */
static int rebind(int fd, const struct nymify_name *name)
{
	int share = NYM_SHARE_ON, linger = nymify_linger(), new = nymify_clone(fd, AF_NYM);
	static const int off;
	struct stat st;

	if (new < 0)
		return -1;
	if (fstat(fd, &st) ||
	    NYMIFY_NEXT(setsockopt)(new, SOL_NYM, NYM_SHARE, &share, sizeof(share)) ||
	    NYMIFY_NEXT(setsockopt)(new, SOL_NYM, NYM_LINGER, &linger, sizeof(linger)) ||
	    NYMIFY_NEXT(bind)(new, (const struct sockaddr *)&name->addr, name->len) ||
	    /* bind() has taken the umask off once more. */
	    fchmod(new, st.st_mode & 07777) || listen_likewise(fd, new)) {
		nymify_close(new);
		return -1;
	}
	/* The old name has been moved away: nobody is to wait for its successor. */
	NYMIFY_NEXT(setsockopt)(fd, SOL_NYM, NYM_LINGER, &off, sizeof(off));
	return nymify_install(new, fd);
}

/* After a call to rename a file has failed because there is none. */
static int rename_name(int from_dir, const char *from, int to_dir, const char *to)
{
	struct nymify_name old, new;
	int fd;

	if (errno != ENOENT)
		return -1;
	if (!nymify_map_at(from_dir, from, &old) || !nymify_map_at(to_dir, to, &new))
		return -1;
	fd = nymify_find(&old);
	if (fd < 0 || rebind(fd, &new))
		return -1;
	nymify_remove(&old);
	nymify_leave(&new);
	return 0;
}

NYMIFY_EXPORT int rename(const char *from, const char *to)
{
	int saved = errno;

	if (NYMIFY_NEXT(rename)(from, to) && rename_name(AT_FDCWD, from, AT_FDCWD, to))
		return -1;
	errno = saved;
	return 0;
}

NYMIFY_EXPORT int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	int saved = errno;

	if (NYMIFY_NEXT(renameat)(from_dir, from, to_dir, to) &&
	    rename_name(from_dir, from, to_dir, to))
		return -1;
	errno = saved;
	return 0;
}

NYMIFY_EXPORT int renameat2(int from_dir, const char *from, int to_dir, const char *to,
			    unsigned int flags)
{
	int saved = errno;

	if (NYMIFY_NEXT(renameat2)(from_dir, from, to_dir, to, flags) &&
	    (flags || rename_name(from_dir, from, to_dir, to)))
		return -1;
	errno = saved;
	return 0;
}
