// SPDX-License-Identifier: GPL-2.0
/*
 * The rules of nymify: from an address of AF_UNIX to a name, and back. Knows no
 * sockets and allocates nothing.
 *
 * What a '*' stands for is carried over as it is, but for bytes that may not be in
 * a name: those are '%' and two hexadecimal digits, so that there is a way back.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "nymify.h"

#define UNIX_HEAD	offsetof(struct sockaddr_un, sun_path)
#define NYM_HEAD	offsetof(struct sockaddr_nym, snym_name)

enum { UNIX_MAX = sizeof(((struct sockaddr_un *)0)->sun_path) };

static bool may_be_in_name(unsigned char c)
{
	return c > ' ' && c <= '~' && c != '@';
}

/* Returns what is wrong, or NULL. */
static const char *split_at_star(struct nymify_text *t, const char *text, size_t len)
{
	const char *star = memchr(text, '*', len);

	t->head = text;
	t->head_len = star ? star - text : (ptrdiff_t)len;
	t->tail = star ? star + 1 : text + len;
	t->tail_len = text + len - t->tail;
	t->star = star;
	return memchr(t->tail, '*', t->tail_len) ? "there is more than one '*' on a side" : NULL;
}

static const char *check_name(const struct nymify_text *name)
{
	size_t i;

	if (name->head_len + name->tail_len > NYM_NAME_MAX)
		return "the name is longer than 125 bytes";
	if (!name->star && !name->head_len)
		return "the name is empty";
	if (name->head_len && name->head[0] == ':')
		return "a name may not begin with ':'";
	for (i = 0; i < name->head_len; i++)
		if (!may_be_in_name(name->head[i]))
			return "the name has a byte that names may not have";
	for (i = 0; i < name->tail_len; i++)
		if (!may_be_in_name(name->tail[i]))
			return "the name has a byte that names may not have";
	return NULL;
}

static const char *parse(struct nymify_rule *rule, const char *line, size_t len)
{
	const char *equal = memchr(line, '=', len);
	const char *wrong;

	if (!equal)
		return "there is no '='";
	if (equal == line)
		return "the pattern is empty";
	if (memchr(line, '\n', len))
		return "a rule is one line";
	/* A path cannot be told from an abstract name but by this. */
	rule->abstract = *line == '@';
	wrong = split_at_star(&rule->path, line, equal - line);
	if (!wrong)
		wrong = split_at_star(&rule->name, equal + 1, line + len - equal - 1);
	if (!wrong && rule->path.star != rule->name.star)
		wrong = "a '*' is on one side only";
	return wrong ? wrong : check_name(&rule->name);
}

/* Adds a rule, PATTERN=NAME. Returns what is wrong with it, or NULL. */
const char *nymify_rules_add(struct nymify_rules *rules, const char *line, size_t len)
{
	char *copy = rules->text + rules->used;
	const char *wrong;

	/* With a line's end and the NUL behind the last one. */
	if (rules->n == NYMIFY_RULES_MAX || len + 2 > NYMIFY_TEXT_MAX - rules->used)
		return "there are too many rules";
	memcpy(copy, line, len);
	wrong = parse(&rules->rule[rules->n], copy, len);
	if (wrong)
		return wrong;
	copy[len] = '\n';
	rules->used += len + 1;
	rules->n++;
	return NULL;
}

/* Does it fit? Then *@star is what the '*' stands for, of *@star_len bytes. */
static bool fits(const struct nymify_text *t, const char *text, size_t len,
		 const char **star, size_t *star_len)
{
	size_t fixed = t->head_len + t->tail_len;

	if (t->star ? len < fixed : len != fixed)
		return false;
	*star = text + t->head_len;
	*star_len = len - fixed;
	return !memcmp(text, t->head, t->head_len) &&
	       !memcmp(text + len - t->tail_len, t->tail, t->tail_len);
}

static size_t append(char *to, size_t at, size_t room, const char *from, size_t len)
{
	if (len > room - at)
		return room + 1;
	memcpy(to + at, from, len);
	return at + len;
}

/* Returns the end, or more than @room if it does not fit. */
static size_t encode(char *to, size_t at, size_t room, const char *from, size_t len)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t i;

	for (i = 0; i < len && at <= room; i++) {
		unsigned char c = from[i];
		char coded[3] = { '%', hex[c >> 4], hex[c & 15] };
		bool plain = may_be_in_name(c) && c != '%' && !(c == ':' && !at);

		at = append(to, at, room, plain ? (char *)&c : coded, plain ? 1 : 3);
	}
	return at;
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Likewise. */
static size_t decode(char *to, size_t at, size_t room, const char *from, size_t len)
{
	size_t i;

	for (i = 0; i < len && at <= room; i++) {
		char c = from[i];

		if (c == '%') {
			if (i + 2 >= len || digit(from[i + 1]) < 0 || digit(from[i + 2]) < 0)
				return room + 1;
			c = digit(from[i + 1]) << 4 | digit(from[i + 2]);
			i += 2;
		}
		at = append(to, at, room, &c, 1);
	}
	return at;
}

static int make_name(const struct nymify_rule *rule, const char *star, size_t star_len,
		     struct nymify_name *name)
{
	char *text = name->addr.snym_name;
	size_t len;

	len = append(text, 0, NYM_NAME_MAX, rule->name.head, rule->name.head_len);
	len = encode(text, len, NYM_NAME_MAX, star, star_len);
	if (len <= NYM_NAME_MAX)
		len = append(text, len, NYM_NAME_MAX, rule->name.tail, rule->name.tail_len);
	if (!len || len > NYM_NAME_MAX) {
		errno = len ? ENAMETOOLONG : EINVAL;
		return -1;
	}
	text[len] = '\0';
	name->addr.snym_family = AF_NYM;
	name->len = NYM_HEAD + len + 1;
	name->rule = rule;
	return 1;
}

/* The first rule that fits counts. 1: mapped; 0: no rule; -1: no name can be made. */
static int map_text(const struct nymify_rules *rules, const char *text, size_t len,
		    struct nymify_name *name)
{
	const char *star;
	size_t i, star_len;

	for (i = 0; i < rules->n; i++)
		if (rules->rule[i].abstract == name->abstract &&
		    fits(&rules->rule[i].path, text, len, &star, &star_len))
			return make_name(&rules->rule[i], star, star_len, name);
	return 0;
}

/* Without what does not matter in a path: "//", "/./" and a leading "./". */
static size_t squeeze(char *to, const char *path, size_t len)
{
	size_t i, at = 0;

	for (i = 0; i < len; i++) {
		bool first = !at || to[at - 1] == '/';

		/* The first byte alone says that it is absolute. */
		if (i && first && path[i] == '/')
			continue;
		if (first && path[i] == '.' && i + 1 < len && path[i + 1] == '/') {
			i++;
			continue;
		}
		to[at++] = path[i];
	}
	return at;
}

static int map_relative(const struct nymify_rules *rules, const char *path, size_t len,
			struct nymify_name *name)
{
	char whole[PATH_MAX];
	/* With its NUL; that of the system call, which allocates nothing. */
	long n = syscall(SYS_getcwd, whole, sizeof(whole));

	if (n <= 1 || n + len > sizeof(whole))
		return 0;
	/* In the root directory there is a slash already. */
	n -= whole[n - 2] == '/';
	whole[n - 1] = '/';
	memcpy(whole + n, path, len);
	return map_text(rules, whole, n + len, name);
}

/*
 * nymify_map_path() - the name for a path
 *
 * A relative path is looked up as it is, and then as the absolute one that it
 * means.
 */
int nymify_map_path(const struct nymify_rules *rules, const char *path, size_t len,
		    struct nymify_name *name)
{
	char plain[PATH_MAX];
	int found, saved = errno;

	if (!rules->n || !len || len > sizeof(plain))
		return 0;
	name->abstract = false;
	len = squeeze(plain, path, len);
	found = map_text(rules, plain, len, name);
	if (!found && plain[0] != '/')
		found = map_relative(rules, plain, len, name);
	if (found >= 0)
		errno = saved;
	return found;
}

static int map_abstract(const struct nymify_rules *rules, const char *text, size_t len,
			struct nymify_name *name)
{
	char plain[UNIX_MAX];

	/* Who gives sizeof(struct sockaddr_un) means the name without the NULs. */
	if (len == UNIX_MAX)
		while (len > 1 && !text[len - 1])
			len--;
	memcpy(plain, text, len);
	plain[0] = '@';
	name->abstract = true;
	return map_text(rules, plain, len, name);
}

/*
 * nymify_map() - the name for an address
 *
 * Returns 1; 0 if no rule fits, as none does for a bad address; -1 and errno if
 * there can be no such name.
 */
int nymify_map(const struct nymify_rules *rules, const struct sockaddr *addr, socklen_t len,
	       struct nymify_name *name)
{
	const char *path = ((const struct sockaddr_un *)addr)->sun_path;

	if (!addr || len <= UNIX_HEAD || len > sizeof(struct sockaddr_un) ||
	    addr->sa_family != AF_UNIX)
		return 0;
	len -= UNIX_HEAD;
	if (!path[0])
		return map_abstract(rules, path, len, name);
	return nymify_map_path(rules, path, strnlen(path, len), name);
}

/* The address that a rule maps to a name, or 0. */
static socklen_t unmap_by(const struct nymify_rule *rule, const char *text, size_t len,
			  struct sockaddr_un *to)
{
	const char *star;
	size_t star_len, n;

	if (!fits(&rule->name, text, len, &star, &star_len))
		return 0;
	n = append(to->sun_path, 0, UNIX_MAX, rule->path.head, rule->path.head_len);
	if (n <= UNIX_MAX)
		n = decode(to->sun_path, n, UNIX_MAX, star, star_len);
	if (n <= UNIX_MAX)
		n = append(to->sun_path, n, UNIX_MAX, rule->path.tail, rule->path.tail_len);
	if (!n || n > UNIX_MAX)
		return 0;
	to->sun_family = AF_UNIX;
	if (rule->abstract)
		to->sun_path[0] = '\0';
	else if (n < UNIX_MAX)
		to->sun_path[n] = '\0';
	return UNIX_HEAD + n;
}

/* Is this what the rule would be used for, and no other one? */
static bool maps_back(const struct nymify_rules *rules, const struct nymify_rule *rule,
		      const struct sockaddr_un *un, socklen_t len, const char *text)
{
	struct nymify_name name;

	return nymify_map(rules, (const struct sockaddr *)un, len, &name) > 0 &&
	       name.rule == rule && !strcmp(name.addr.snym_name, text);
}

/*
 * nymify_unmap() - put the address in place of a name, as AF_UNIX would give it
 *
 * The kernel's names are for sockets that were not bound, which have none there.
 * Returns the address's length.
 */
socklen_t nymify_unmap(const struct nymify_rules *rules, union nymify_addr *addr, socklen_t len)
{
	char text[NYM_NAME_MAX + 1] = "";
	struct sockaddr_un un;
	socklen_t unix_len;
	size_t i, n;

	if (len > NYM_HEAD)
		memcpy(text, addr->nym.snym_name, len - NYM_HEAD);
	n = strnlen(text, NYM_NAME_MAX);
	memset(addr, 0, sizeof(*addr));
	addr->sa.sa_family = AF_UNIX;
	for (i = 0; n && i < rules->n; i++) {
		const struct nymify_rule *rule = &rules->rule[i];

		unix_len = unmap_by(rule, text, n, &un);
		if (!unix_len || !maps_back(rules, rule, &un, unix_len, text))
			continue;
		memcpy(addr, &un, unix_len);
		/* Of a path, its NUL is counted, even if it does not fit. */
		return unix_len + (un.sun_path[0] != '\0');
	}
	return UNIX_HEAD;
}
