/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the parts of nymify share. The program reads and checks the rules and
 * starts another one with the library preloaded; the library acts by the rules.
 */
#ifndef NYMIFY_H
#define NYMIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <linux/nym.h>
#include <linux/nym_diag.h>

/* Linux 6.16 has it, but not every header. */
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS		83
#endif

/* How the rules, one a line, and the options come to the library. */
#define NYMIFY_ENV_RULES	"NYMIFY_RULES"
#define NYMIFY_ENV_PAIRS	"NYMIFY_PAIRS"
#define NYMIFY_ENV_LINGER	"NYMIFY_LINGER"
#define NYMIFY_ENV_HOLD		"NYMIFY_HOLD"

#define NYMIFY_LIBRARY		"nymify-preload.so"

enum {
	NYMIFY_RULES_MAX = 256,
	NYMIFY_TEXT_MAX = 32768,
	NYMIFY_LINGER_MAX = 3600000,	/* milliseconds, as NYM_LINGER takes */
};

/* Text with at most one '*': what is before it, and what is behind it. */
struct nymify_text {
	const char *head;
	const char *tail;
	unsigned short head_len;
	unsigned short tail_len;
	bool star;
};

struct nymify_rule {
	struct nymify_text path;
	struct nymify_text name;
	bool abstract;		/* for abstract names, written with an '@' */
};

/* Never freed and never changed once the program runs: every thread may look. */
struct nymify_rules {
	size_t n;
	size_t used;
	struct nymify_rule rule[NYMIFY_RULES_MAX];
	char text[NYMIFY_TEXT_MAX];
};

/* What an address is mapped to. */
struct nymify_name {
	struct sockaddr_nym addr;
	socklen_t len;
	bool abstract;		/* the address was no path */
	const struct nymify_rule *rule;
};

/* An address as the kernel may give it. */
union nymify_addr {
	struct sockaddr sa;
	struct sockaddr_nym nym;
	struct sockaddr_storage room;
};

/* nymify-rules.c */
const char *nymify_rules_add(struct nymify_rules *rules, const char *line, size_t len);
int nymify_map_path(const struct nymify_rules *rules, const char *path, size_t len,
		    struct nymify_name *name);
int nymify_map(const struct nymify_rules *rules, const struct sockaddr *addr, socklen_t len,
	       struct nymify_name *name);
socklen_t nymify_unmap(const struct nymify_rules *rules, union nymify_addr *addr, socklen_t len);

/* nymify-calls.c: the calls that the library stands before and makes. */
#define NYMIFY_CALLS(call)						\
	call(accept) call(accept4) call(bind) call(connect)		\
	call(epoll_ctl) call(faccessat) call(fchmodat) call(fchownat)	\
	call(fstatat) call(getpeername) call(getsockname)		\
	call(getsockopt) call(recvfrom) call(recvmmsg) call(recvmsg)	\
	call(remove) call(rename) call(renameat) call(renameat2)	\
	call(sendmmsg) call(sendmsg) call(sendto) call(setsockopt)	\
	call(socketpair) call(statx) call(unlink) call(unlinkat)

#define NYMIFY_CALL(call)	nymify_call_##call,
enum nymify_call { NYMIFY_CALLS(NYMIFY_CALL) NYMIFY_CALL_COUNT };

/* The same call of the next library, which is libc. */
#define NYMIFY_NEXT(call)	((__typeof__(call) *)nymify_next(nymify_call_##call))
#define NYMIFY_EXPORT		__attribute__((visibility("default")))

void *nymify_next(enum nymify_call call);
const struct nymify_rules *nymify_rules(void);
bool nymify_pairs(void);
int nymify_linger(void);
bool nymify_can_hold(void);
bool nymify_held(void);

/* nymify-hold.c */
bool nymify_may_accept(int fd);

/* nymify-socket.c */
int nymify_domain(int fd);
int nymify_int(int fd, int option);
bool nymify_has_name(int fd);
bool nymify_has_peer(int fd);
bool nymify_is_fresh(int fd);
int nymify_clone(int fd, int domain);
int nymify_install(int new, int fd);
void nymify_remind(int fd);
void nymify_close(int fd);
int nymify_find(const struct nymify_name *name);

/* nymify-names.c */
bool nymify_map_at(int dir, const char *path, struct nymify_name *name);
bool nymify_is_file(int dir, const char *path);
bool nymify_exists(const struct nymify_name *name);
void nymify_leave(const struct nymify_name *name);
bool nymify_remove(const struct nymify_name *name);
bool nymify_owner(const struct nymify_name *name, struct nym_diag_owner *owner,
		  unsigned int *ino);

#endif
