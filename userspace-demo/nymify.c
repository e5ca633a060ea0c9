// SPDX-License-Identifier: GPL-2.0
/*
 * nymify: run a program with its AF_UNIX sockets on AF_NYM. Reads and checks the
 * rules, looks whether the program can be helped at all, and becomes it with the
 * library nymify-preload.so preloaded, which does the rest.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "nymify.h"

/* The exit status, as that of env(1). If the program runs, it is the program's. */
enum { TROUBLE = 125, CANNOT_RUN = 126, NOT_FOUND = 127 };

enum { INTERPRETERS_MAX = 4 };

/* Options without a letter. */
enum { LINGER = 256, HOLD };

/* The heads of a program of 64 bits and of its parts, as the kernel reads them. */
struct elf_head {
	unsigned char ident[EI_NIDENT];
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, parts_at, sections_at;
	uint32_t flags;
	uint16_t size, part_size, parts;
	uint16_t section_size, sections, names;
};

struct elf_part {
	uint32_t type, flags;
	uint64_t at, address, physical, size, memory, align;
};

static struct nymify_rules rules;
static bool fallback;

static const char help[] =
"usage: nymify [-m PATTERN=NAME]... [-r FILE]... [OPTION]... PROGRAM [ARGUMENT]...\n"
"\n"
"Runs PROGRAM with its AF_UNIX sockets on AF_NYM, as far as a rule says so.\n"
"\n"
"  -m, --map PATTERN=NAME  a rule: this path is that name. '*' stands for any text\n"
"                          and is on both sides: '/run/pg/*=pg/*'. A PATTERN that\n"
"                          begins with '@' is for abstract names.\n"
"  -r, --rules FILE        more rules, one a line; '#' begins a comment\n"
"  -f, --fallback          stay on AF_UNIX if the module is not there\n"
"  -p, --pairs             socketpair() makes AF_NYM sockets, too\n"
"      --linger MILLISECONDS\n"
"                          keep a name so long for the next one who binds it: its\n"
"                          callers wait\n"
"      --hold FILE         take no calls as long as FILE is there: they wait\n"
"  -h, --help\n"
"\n"
"The first rule that fits counts. Where none does, a socket stays AF_UNIX.\n"
"\n"
"Exit status: 125 nymify failed, 126 PROGRAM cannot be run so, 127 there is no such\n"
"PROGRAM; else that of PROGRAM.\n";

static __attribute__((format(printf, 2, 3), noreturn)) void die(int status, const char *format, ...)
{
	va_list args;

	fputs("nymify: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(status);
}

static __attribute__((noreturn)) void bad_usage(void)
{
	fputs("Try 'nymify --help'.\n", stderr);
	exit(TROUBLE);
}

static void set_environment(const char *name, const char *value)
{
	if (setenv(name, value, 1))
		die(TROUBLE, "%s", strerror(errno));
}

static void set_linger(const char *arg)
{
	char *end;
	long ms = strtol(arg, &end, 10);

	if (end == arg || *end || ms < 1 || ms > NYMIFY_LINGER_MAX) {
		fprintf(stderr, "nymify: --linger: '%s' is no number of milliseconds up to %d\n",
			arg, NYMIFY_LINGER_MAX);
		bad_usage();
	}
	set_environment(NYMIFY_ENV_LINGER, arg);
}

/* The program may be in another directory later. */
static void set_hold(const char *file)
{
	char path[PATH_MAX] = "";
	int len;

	if (*file != '/' && !getcwd(path, sizeof(path)))
		die(TROUBLE, "%s", strerror(errno));
	len = strlen(path);
	if (!*file || len + strlen(file) + 2 > sizeof(path)) {
		fprintf(stderr, "nymify: --hold: '%s' cannot be a file\n", file);
		bad_usage();
	}
	snprintf(path + len, sizeof(path) - len, "%s%s", len ? "/" : "", file);
	set_environment(NYMIFY_ENV_HOLD, path);
}

static void add_rule(const char *text, size_t len)
{
	const char *wrong = nymify_rules_add(&rules, text, len);

	if (wrong)
		die(TROUBLE, "the rule '%.*s': %s", (int)len, text, wrong);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void read_rules(const char *path)
{
	FILE *f = fopen(path, "re");
	char *line = NULL, *start;
	size_t room = 0;
	ssize_t len;

	if (!f)
		die(TROUBLE, "%s: %s", path, strerror(errno));
	while ((len = getline(&line, &room, f)) >= 0) {
		for (start = line; len && is_blank(*start); start++)
			len--;
		while (len && is_blank(start[len - 1]))
			len--;
		if (len && *start != '#')
			add_rule(start, len);
	}
	if (ferror(f))
		die(TROUBLE, "%s: %s", path, strerror(errno));
	free(line);
	fclose(f);
}

static bool has_module(void)
{
	int fd = socket(AF_NYM, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

/* Where it is found, as execvp() finds it; NULL and errno if nowhere. */
static char *find_program(const char *name)
{
	const char *dirs = getenv("PATH");
	int failed = ENOENT;
	struct stat st;
	char *path;

	if (strchr(name, '/'))
		return access(name, F_OK) ? NULL : strdup(name);
	for (dirs = dirs ? dirs : "/bin:/usr/bin"; *dirs; dirs += *dirs == ':') {
		int len = strcspn(dirs, ":");

		if (asprintf(&path, "%.*s%s%s", len, dirs, len ? "/" : "", name) < 0)
			return NULL;
		if (!access(path, X_OK) && !stat(path, &st) && S_ISREG(st.st_mode))
			return path;
		if (errno == EACCES)
			failed = EACCES;
		free(path);
		dirs += len;
	}
	errno = failed;
	return NULL;
}

/* The loader ignores what a user wants preloaded if the program gets other rights. */
static bool gets_rights(int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return false;
	if (st.st_mode & 04000 && st.st_uid != getuid())
		return true;
	if ((st.st_mode & 02010) == 02010 && st.st_gid != getgid())
		return true;
	return getuid() && fgetxattr(fd, "security.capability", NULL, 0) > 0;
}

/* What is preloaded must be for the same machine as the program. */
static bool is_ours(const struct elf_head *head)
{
	struct elf_head own;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	bool same = fd < 0 || pread(fd, &own, sizeof(own), 0) != sizeof(own) ||
		    (own.ident[EI_CLASS] == head->ident[EI_CLASS] &&
		     own.machine == head->machine);

	close(fd);
	return same;
}

/* Is there a dynamic loader, and is it that of the C library we are made for? */
static const char *check_loader(int fd, const struct elf_head *head)
{
	char path[PATH_MAX];
	struct elf_part part;
	int i;

	for (i = 0; i < head->parts; i++) {
		if (pread(fd, &part, sizeof(part), head->parts_at + i * sizeof(part)) !=
		    sizeof(part))
			break;
		if (part.type != PT_INTERP)
			continue;
		if (part.size > sizeof(path) ||
		    pread(fd, path, part.size, part.at) != (ssize_t)part.size ||
		    !memmem(path, part.size, "/ld-musl", strlen("/ld-musl")))
			return NULL;
		return "it uses another C library";
	}
	return "it is statically linked, so nothing can be preloaded";
}

/* What keeps the library out of this file, or NULL. */
static const char *check_elf(int fd)
{
	struct elf_head head;

	if (pread(fd, &head, sizeof(head), 0) != sizeof(head) ||
	    memcmp(head.ident, ELFMAG, SELFMAG))
		return NULL;
	if (!is_ours(&head))
		return "it is for another machine or word size";
	if (gets_rights(fd))
		return "it gets rights of its own (setuid, setgid or capabilities)";
	return check_loader(fd, &head);
}

/* The interpreter of a script, into @path; false if it is none. */
static bool is_script(int fd, char *path, size_t room)
{
	char line[PATH_MAX] = "";
	size_t len;
	char *at;

	if (pread(fd, line, sizeof(line) - 1, 0) < 2 || memcmp(line, "#!", 2))
		return false;
	at = line + 2 + strspn(line + 2, " \t");
	len = strcspn(at, " \t\r\n");
	if (!len || len >= room)
		return false;
	memcpy(path, at, len);
	path[len] = '\0';
	return true;
}

static void check_program(const char *program)
{
	char path[PATH_MAX];
	const char *wrong;
	int i, fd;

	snprintf(path, sizeof(path), "%s", program);
	for (i = 0; i < INTERPRETERS_MAX; i++) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		/* That it can be executed but not read is possible. */
		if (fd < 0)
			return;
		wrong = check_elf(fd);
		if (wrong)
			die(CANNOT_RUN, "%s: %s", path, wrong);
		if (!is_script(fd, path, sizeof(path)))
			i = INTERPRETERS_MAX;
		close(fd);
	}
}

/* Beside this program as it was built, or where it was installed. */
static char *find_library(void)
{
	static const char * const places[] = { "", "../lib/nym/" };
	char own[PATH_MAX], *path;
	ssize_t len = readlink("/proc/self/exe", own, sizeof(own) - 1);
	size_t i;

	if (len < 0)
		die(TROUBLE, "/proc/self/exe: %s", strerror(errno));
	own[len] = '\0';
	*strrchr(own, '/') = '\0';
	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (asprintf(&path, "%s/%s%s", own, places[i], NYMIFY_LIBRARY) < 0)
			die(TROUBLE, "%s", strerror(errno));
		if (!access(path, R_OK))
			return path;
		free(path);
	}
	die(TROUBLE, "%s is neither in %s nor in ../lib/nym", NYMIFY_LIBRARY, own);
}

static void set_library(void)
{
	const char *others = getenv("LD_PRELOAD");
	char *library = find_library(), *all = library;

	if (strpbrk(library, ": "))
		die(TROUBLE, "%s: a path with a blank or a colon cannot be preloaded", library);
	/* What is preloaded already stays. */
	if (others && *others && asprintf(&all, "%s:%s", library, others) < 0)
		die(TROUBLE, "%s", strerror(errno));
	set_environment("LD_PRELOAD", all);
	set_environment(NYMIFY_ENV_RULES, rules.text);
}

static void set_opt(int c)
{
	switch (c) {
	case 'm':
		add_rule(optarg, strlen(optarg));
		break;
	case 'r':
		read_rules(optarg);
		break;
	case 'f':
		fallback = true;
		break;
	case 'p':
		set_environment(NYMIFY_ENV_PAIRS, "1");
		break;
	case LINGER:
		set_linger(optarg);
		break;
	case HOLD:
		set_hold(optarg);
		break;
	case 'h':
		fputs(help, stdout);
		exit(fflush(stdout) ? TROUBLE : 0);
	default:	/* getopt has said what is wrong */
		bad_usage();
	}
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "map", required_argument, NULL, 'm' },
		{ "rules", required_argument, NULL, 'r' },
		{ "fallback", no_argument, NULL, 'f' },
		{ "pairs", no_argument, NULL, 'p' },
		{ "linger", required_argument, NULL, LINGER },
		{ "hold", required_argument, NULL, HOLD },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	int c;

	/* One nymify runs another: the options of the inner one count. */
	unsetenv(NYMIFY_ENV_PAIRS);
	unsetenv(NYMIFY_ENV_LINGER);
	unsetenv(NYMIFY_ENV_HOLD);
	/* Options behind the program are the program's. */
	while ((c = getopt_long(argc, argv, "+m:r:fph", options, NULL)) != -1)
		set_opt(c);
	if (!argv[optind]) {
		fputs("nymify: no program is given\n", stderr);
		bad_usage();
	}
	if (!rules.n && !getenv(NYMIFY_ENV_PAIRS)) {
		fputs("nymify: no rules are given\n", stderr);
		bad_usage();
	}
}

static __attribute__((noreturn)) void fail_program(const char *name)
{
	die(errno == ENOENT ? NOT_FOUND : CANNOT_RUN, "%s: %s", name, strerror(errno));
}

int main(int argc, char **argv)
{
	char *program;

	parse(argc, argv);
	argv += optind;
	program = find_program(argv[0]);
	if (!program)
		fail_program(argv[0]);
	if (has_module()) {
		check_program(program);
		set_library();
	} else if (!fallback) {
		die(TROUBLE, "no sockets of the family AF_NYM: %s. Is the module nym loaded?",
		    strerror(errno));
	}
	execvp(program, argv);
	fail_program(argv[0]);
}
