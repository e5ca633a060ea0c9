/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The machinery of contract_test.c: a small language of socket calls, a world
 * of sockets of one family to run them in, and what each call returned in a
 * form in which two families can be compared.
 *
 * A step is one call on a socket that a slot holds. Addresses are letters: the
 * same letter stands for a name of its own in each family. What a call gives
 * back is a struct result without anything that must differ, such as
 * descriptor numbers and the bytes of an address.
 */
#ifndef CONTRACT_H
#define CONTRACT_H

#include "nym_test.h"

#include <ctype.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/uio.h>

/* Language */

enum op {
	OP_END,
	OP_SOCKET,	/* a non-blocking socket of the world's type */
	OP_SOCKET_OF,	/* a: the type, b: the protocol, PROTO_OWN for the family */
	OP_PAIR,	/* into s and a */
	OP_CLOSE,
	OP_BLOCKING,	/* a: whether */
	OP_BIND,	/* a: name */
	OP_BIND_ANY,
	OP_LISTEN,	/* a: backlog */
	OP_LISTEN_CHILD,	/* in another process, which ends */
	OP_CONNECT,	/* a: name */
	OP_UNCONNECT,	/* connect() to AF_UNSPEC */
	OP_BAD_BIND,	/* a: enum bad_address */
	OP_BAD_CONNECT,	/* a: enum bad_address */
	OP_BAD_SENDTO,	/* a: enum bad_address */
	OP_ACCEPT,	/* into a */
	OP_SEND,	/* a: length, b: flags */
	OP_SENDTO,	/* a: length, b: name */
	OP_SEND_FAULT,	/* a: good bytes before the bad ones */
	OP_SEND_CONTROL,	/* text: the control; a: length, b: flags, c: name */
	OP_SEND_CHILD,	/* from another process; a: length, b: its user */
	OP_FLOOD,	/* empty messages with a descriptors, of a user that may have b */
	OP_WRITEV,	/* a: how many vectors of b bytes */
	OP_FILL,	/* a: length of each send, until one fails */
	OP_RECV,	/* a: length, b: flags, c: room for control, or enum room */
	OP_RECV_FD,	/* a byte and a descriptor, into a */
	OP_RECV_FAULT,	/* a: good bytes before the bad ones */
	OP_READV,	/* a: how many vectors of b bytes */
	OP_DRAIN,	/* a: length of each recv, until one fails; b: more will come */
	OP_POLL,	/* a: timeout, b: events, 0 for all */
	OP_SHUTDOWN,	/* a: how */
	OP_NAME,
	OP_PEER,
	OP_INQ,
	OP_OUTQ,
	OP_IOCTL,	/* a: another one */
	OP_SET,		/* a: option of SOL_SOCKET, b: its value */
	OP_GET,		/* a: option of SOL_SOCKET */
	OP_SET_LEVEL,	/* a: level, an integer option 1 of it */
	OP_GET_LEVEL,
	OP_PEERCRED,
	OP_PASSRIGHTS,	/* a: whether; nym only */
	OP_TIMEOUT,	/* a: SO_RCVTIMEO or SO_SNDTIMEO, b: milliseconds */
	OP_SEEK,
	OP_PREAD,
	OP_MMAP,
	OP_READ0,	/* read() of nothing */
	OP_SPLICE_OUT,	/* a: length, socket to pipe and there to nowhere */
	OP_SPLICE_IN,	/* a: length, through a pipe to the socket */
	OP_FORGET,	/* a: path; removes the file of AF_UNIX */
	OP_WOKEN,	/* whether the call that runs in the background is over */
	OP_JOIN,	/* the result of the call that runs in the background */
	OPS,
};

enum bad_address {
	BAD_FAMILY, BAD_LENGTH_0, BAD_LENGTH_1, BAD_LENGTH_2, BAD_LENGTH_129,
	BAD_LENGTH_NEGATIVE, BAD_POINTER, BAD_UNSPEC, BAD_ADDRESSES,
};

/*
 * Room for control messages: a number of bytes, ROOM_USUAL if it is not said,
 * or one of these. ROOM_FDS(n): enough, but only n more descriptors may be open.
 */
enum room {
	ROOM_NONE = -1,		/* no buffer */
	ROOM_ZERO = -2,		/* a buffer of no bytes */
	ROOM_BAD = -3,		/* a buffer that is not there */
	ROOM_FEW = -100,
};

#define ROOM_USUAL	64
#define ROOM_MAX	4096
#define ROOM_FDS(_n)	(ROOM_FEW - (_n))

#define PROTO_OWN	(-2)

/* All events that there are. */
#define CONTRACT_POLL	(0x7ff | POLLRDHUP)

/*
 * Names: 'A' to 'O' are abstract names of AF_UNIX, 'P' to 'Z' are paths; both
 * are plain names of nym. Below SLOTS: the address of the socket in that slot.
 */
#define IS_PATH(_name)	((_name) >= 'P')

#define SLOTS		8

struct step {
	unsigned char op;
	unsigned char s;	/* the slot */
	unsigned char bg;	/* in the background, to be joined */
	long a;
	long b;
	long c;
	const char *text;
};

/* Results */

enum field {
	F_OUTCOME = 1,	/* return value and errno */
	F_BYTES = 2,	/* received */
	F_FLAGS = 4,	/* msg_flags */
	F_ADDR = 8,	/* kind of address */
	F_VALUE = 16,	/* another output of the call: an option, a length */
	F_POLL = 32,	/* events */
	F_SIGNAL = 64,	/* SIGPIPEs */
	F_CONTROL = 128,	/* control messages */
};

struct result {
	long ret;
	int err;
	unsigned int bytes;	/* their hash */
	int flags;
	char addr;
	long value;
	int poll;
	int signals;
	char control[64];
};

/* Kinds of addresses, besides the letters */
#define ADDR_NONE	'-'	/* length 0 */
#define ADDR_UNNAMED	'u'	/* the family only */
#define ADDR_CHOSEN	'k'	/* by the kernel */
#define ADDR_STRANGE	'?'

struct world {
	int family;
	int type;
	int tag;		/* in the names of this world */
	int life;		/* likewise: sockets in a circle keep theirs for a while */
	int fd[SLOTS];
	bool named[SLOTS];	/* it has done what gives it a name on nym */
	bool asked[SLOTS];	/* for credentials, once */
	unsigned int sent;	/* makes every byte sent another one */
	long filled;		/* bytes of OP_FILL that OP_DRAIN has not seen */
	struct nym_bg bg;
	struct step bg_step;
	struct result bg_res;
	int bg_on;
};

static inline long contract_syscall(enum op op)
{
	switch (op) {
	case OP_CONNECT:
		return SYS_connect;
	case OP_ACCEPT:
		return SYS_accept4;
	case OP_RECV:
		return SYS_recvmsg;
	case OP_READV:
		return SYS_readv;
	case OP_POLL:
		return SYS_poll;
	case OP_WRITEV:
		return SYS_writev;
	default:
		return SYS_sendmsg;
	}
}

static __thread int contract_sigpipes;

static inline void contract_sigpipe(int sig)
{
	contract_sigpipes++;
}

static inline void world_init(struct world *w, int family, int type, int tag)
{
	static int lives;
	int i;

	memset(w, 0, sizeof(*w));
	w->family = family;
	w->type = type;
	w->tag = tag;
	w->life = ++lives;
	for (i = 0; i < SLOTS; i++)
		w->fd[i] = -1;
}

static inline socklen_t world_name(const struct world *w, int letter,
				   struct sockaddr_storage *ss)
{
	struct sockaddr_un *sun = (struct sockaddr_un *)ss;
	char text[64];
	int len;

	memset(ss, 0, sizeof(*ss));
	if (letter < SLOTS) {
		socklen_t slen = sizeof(*ss);

		return getsockname(w->fd[letter], (struct sockaddr *)ss, &slen) ?
			0 : slen;
	}
	len = snprintf(text, sizeof(text), "%scontract-%d-%d-%d-%c",
		       w->family == AF_UNIX && IS_PATH(letter) ? "/tmp/" : "",
		       getpid(), w->tag, w->life, letter);
	if (w->family == AF_NYM)
		return nym_addr((struct sockaddr_nym *)ss, text);
	sun->sun_family = AF_UNIX;
	memcpy(sun->sun_path + !IS_PATH(letter), text, len);
	return offsetof(struct sockaddr_un, sun_path) + len + 1;
}

static inline char world_addr(const struct world *w,
			      const struct sockaddr_storage *ss, socklen_t len)
{
	const struct sockaddr_un *sun = (const struct sockaddr_un *)ss;
	const struct sockaddr_nym *snym = (const struct sockaddr_nym *)ss;
	struct sockaddr_storage want;
	socklen_t i;

	if (!len)
		return ADDR_NONE;
	if (len > sizeof(*ss) || ss->ss_family != w->family)
		return ADDR_STRANGE;
	if (len == sizeof(sa_family_t))
		return ADDR_UNNAMED;
	/* The letter is the last byte but for a NUL. */
	for (i = len - 1; i > 1 && i + 2 >= len; i--) {
		char letter = ((const char *)ss)[i];

		if (letter >= 'A' && letter <= 'Z' &&
		    world_name(w, letter, &want) == len && !memcmp(ss, &want, len))
			return letter;
	}
	if (w->family == AF_UNIX)
		return len == 2 + 6 && !sun->sun_path[0] &&
		       strspn(sun->sun_path + 1, "0123456789abcdef") >= 5 ?
			ADDR_CHOSEN : ADDR_STRANGE;
	return nym_is_kernel_chosen(snym->snym_name) &&
	       len == 2 + strlen(snym->snym_name) + 1 ? ADDR_CHOSEN : ADDR_STRANGE;
}

static inline void world_forget(const struct world *w, int letter)
{
	struct sockaddr_storage ss;

	if (w->family != AF_UNIX)
		return;
	world_name(w, letter, &ss);
	unlink(((struct sockaddr_un *)&ss)->sun_path);
}

static inline void world_put(struct world *w, int s, int fd)
{
	if (w->fd[s] >= 0)
		close(w->fd[s]);
	w->fd[s] = fd;
	w->named[s] = false;
	w->asked[s] = false;
}

/*
 * Since 6.16, the kernel refuses SO_PASSCRED to families that it does not know.
 * NYM_PASSCRED is the same.
 */
static inline int world_set(struct world *w, int s, int option, int value)
{
	int fd = w->fd[s];

	w->asked[s] |= option == SO_PASSCRED && value;
	if (option != SO_PASSCRED || w->family != AF_NYM || nym_kernel() < 616)
		return nym_set_int(fd, option, value);
	return setsockopt(fd, SOL_NYM, NYM_PASSCRED, &value, sizeof(value));
}

static inline int world_get(const struct world *w, int fd, int option, int *value)
{
	socklen_t len = sizeof(*value);

	if (option != SO_PASSCRED || w->family != AF_NYM || nym_kernel() < 616)
		return getsockopt(fd, SOL_SOCKET, option, value, &len);
	return getsockopt(fd, SOL_NYM, NYM_PASSCRED, value, &len);
}

/* On nym, a socket gets descriptors only if it has asked for them. */
static inline int world_pass_rights(const struct world *w, int fd, int on)
{
	if (w->family != AF_NYM || fd < 0)
		return 0;
	return setsockopt(fd, SOL_NYM, NYM_PASSRIGHTS, &on, sizeof(on));
}

/* A new socket that takes descriptors. */
static inline void world_put_new(struct world *w, int s, int fd)
{
	world_put(w, s, fd);
	if (fd >= 0 && world_pass_rights(w, fd, 1))
		abort();
}

static inline void world_reset(struct world *w)
{
	int i;

	for (i = 0; i < SLOTS; i++)
		world_put(w, i, -1);
	if (w->bg_on)
		nym_bg_join(&w->bg);
	world_init(w, w->family, w->type, w->tag);
}

/* Bytes */

#define CONTRACT_MAX	(1 << 18)

/* Each thread its own: one of them may be asleep in a call. */
static __thread unsigned char contract_out[CONTRACT_MAX];
static __thread unsigned char contract_in[CONTRACT_MAX];

static inline void world_pattern(struct world *w, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		contract_out[i] = (w->sent + i) * 2654435761u >> 24;
	w->sent += len;
}

static inline unsigned int contract_hash(const unsigned char *p, size_t len)
{
	unsigned int h = 2166136261u;
	size_t i;

	for (i = 0; i < len; i++)
		h = (h ^ p[i]) * 16777619u;
	return h;
}

/* A pointer to @good bytes behind which there is nothing. */
static inline unsigned char *contract_edge(long good)
{
	static unsigned char *page;
	long size = sysconf(_SC_PAGESIZE);

	if (!page) {
		page = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (page == MAP_FAILED || mprotect(page + size, size, PROT_NONE))
			abort();
	}
	memset(page, 'e', size);
	return page + size - good;
}

/* Calls */

static inline long contract_send(struct world *w, const struct step *st,
				 size_t len, int flags, int name)
{
	struct sockaddr_storage ss;
	struct iovec iov = { .iov_base = contract_out, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (name >= 0) {
		msg.msg_namelen = world_name(w, name, &ss);
		msg.msg_name = &ss;
	}
	world_pattern(w, len);
	return sendmsg(w->fd[st->s], &msg, flags);
}

/*
 * Control messages to be sent, as text: one word for each.
 *
 *	Rfg	SCM_RIGHTS with the files f and g, see contract_file()
 *	Rf*9	the last one, until there are 9
 *	Cpug	SCM_CREDENTIALS: process, user and group; 'm' is mine, 'z' one that
 *		is not there, '-' is -1, a digit that number
 *	T77	another type
 *	V42	another level
 *	...:20	says that it is 20 bytes long
 *	-4	the control ends 4 bytes before its end
 *
 * '!' in front: sent without any capability.
 */

#define CONTRACT_FILES		"nrwtpeuxi"
#define CONTRACT_NO_FILE	999

/*
 * Files that can be sent: /dev/null, the ends of a pipe, a file in memory, a
 * path, an epoll set, a UDP socket, an AF_UNIX socket, an io_uring; 'b' and 'm'
 * are bad descriptors, a digit is the socket in that slot.
 */
static inline int contract_file(const struct world *w, char c)
{
	static int files[128] = { ['b'] = CONTRACT_NO_FILE };
	unsigned char params[128] = { };
	int p[2];

	if (c >= '0' && c < '0' + SLOTS)
		return w->fd[c - '0'];
	if (files[(int)c])
		return files[(int)c];
	switch (c) {
	case 'n':
		files['n'] = open("/dev/null", O_RDWR | O_CLOEXEC);
		break;
	case 'r':
	case 'w':
		if (pipe2(p, O_CLOEXEC))
			abort();
		files['r'] = p[0];
		files['w'] = p[1];
		break;
	case 't':
		files['t'] = memfd_create("contract", MFD_CLOEXEC);
		break;
	case 'p':
		files['p'] = open("/", O_PATH | O_CLOEXEC);
		break;
	case 'e':
		files['e'] = epoll_create1(EPOLL_CLOEXEC);
		break;
	case 'u':
		files['u'] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		break;
	case 'x':
		files['x'] = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		break;
	case 'i':
		files['i'] = syscall(SYS_io_uring_setup, 1, params);
		break;
	case 'm':
		return -1;
	default:
		abort();
	}
	/* One that cannot be had (an io_uring) is as one that is not open. */
	if (files[(int)c] < 0)
		files[(int)c] = CONTRACT_NO_FILE;
	return files[(int)c];
}

static inline bool contract_link(int fd, char *buf, size_t size)
{
	char path[32];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, buf, size - 1);
	if (n < 0)
		return false;
	buf[n] = 0;
	return true;
}

/* Which file a descriptor that has come is: its letter, or '?'. */
static inline char contract_which(const struct world *w, int fd)
{
	char have[64], want[64];
	const char *c;

	if (!contract_link(fd, have, sizeof(have)))
		return '!';
	for (c = "01234567" CONTRACT_FILES; *c; c++) {
		int file = contract_file(w, *c);

		if (contract_link(file, want, sizeof(want)) &&
		    !strcmp(have, want) &&
		    (fcntl(fd, F_GETFL) & O_ACCMODE) == (fcntl(file, F_GETFL) & O_ACCMODE))
			return *c;
	}
	return '?';
}

static inline const char *contract_rights_text(const struct world *w, const char *t,
					       int *fds, int *n)
{
	for (*n = 0; isalnum(*t); t++)
		fds[(*n)++] = contract_file(w, *t);
	if (*t == '*') {
		int want = strtol(t + 1, (char **)&t, 10);

		for (; *n < want; (*n)++)
			fds[*n] = fds[*n - 1];
	}
	return t;
}

static inline unsigned int contract_id(char c, unsigned int mine)
{
	switch (c) {
	case 'm':
		return mine;
	case 'z':
		return 0x7ffffff;
	case '-':
		return -1;
	default:
		return c - '0';
	}
}

/* One word of the text; gives what is behind it. */
static inline const char *contract_cmsg(const struct world *w, const char *t,
					struct cmsghdr *cmsg, size_t *space)
{
	int *fds = (int *)CMSG_DATA(cmsg), n = 1;
	struct ucred *cred = (struct ucred *)fds;

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	switch (*t++) {
	case 'R':
		t = contract_rights_text(w, t, fds, &n);
		break;
	case 'C':
		cmsg->cmsg_type = SCM_CREDENTIALS;
		cred->pid = contract_id(t[0], getpid());
		cred->uid = contract_id(t[1], getuid());
		cred->gid = contract_id(t[2], getgid());
		n = 3;
		t += 3;
		break;
	case 'T':
		cmsg->cmsg_type = strtol(t, (char **)&t, 10);
		break;
	case 'V':
		cmsg->cmsg_level = strtol(t, (char **)&t, 10);
		break;
	default:
		abort();
	}
	cmsg->cmsg_len = CMSG_LEN(n * sizeof(int));
	*space = CMSG_SPACE(n * sizeof(int));
	if (*t == ':')
		cmsg->cmsg_len = strtol(t + 1, (char **)&t, 10);
	return t;
}

/* The control that a text means, in @buf; gives its length. */
static inline size_t contract_control(const struct world *w, const char *t,
				      char *buf, size_t size)
{
	size_t len = 0, space = 0;

	memset(buf, 0, size);
	t += *t == '!';
	while (*t) {
		if (*t == ' ') {
			t++;
		} else if (*t == '-') {
			len -= strtol(t + 1, (char **)&t, 10);
		} else {
			t = contract_cmsg(w, t, (struct cmsghdr *)(buf + len), &space);
			len += space;
		}
	}
	return len;
}

static inline bool contract_has_rights(const struct step *st)
{
	return st->op == OP_FLOOD || (st->text && strchr(st->text, 'R'));
}

/* Takes the capabilities away, or gives them back. */
static inline void contract_caps(struct __user_cap_data_struct *was, bool away)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct caps[2];

	if (away && syscall(SYS_capget, &head, was))
		abort();
	memcpy(caps, was, sizeof(caps));
	/* Those that are permitted stay, to have them back. */
	caps[0].effective &= away ? 0 : ~0U;
	caps[1].effective &= away ? 0 : ~0U;
	if (syscall(SYS_capset, &head, caps))
		abort();
}

static inline long contract_send_control(struct world *w, const struct step *st)
{
	static __thread union {
		char buf[ROOM_MAX];
		struct cmsghdr align;
	} u;
	struct __user_cap_data_struct caps[2];
	struct sockaddr_storage ss;
	struct iovec iov = { .iov_base = contract_out, .iov_len = st->a };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.buf,
		.msg_controllen = contract_control(w, st->text, u.buf, sizeof(u.buf)),
	};
	int err;
	long ret;

	if (st->c) {
		msg.msg_namelen = world_name(w, st->c, &ss);
		msg.msg_name = &ss;
	}
	world_pattern(w, st->a);
	if (st->text[0] != '!')
		return sendmsg(w->fd[st->s], &msg, st->b);
	contract_caps(caps, true);
	ret = sendmsg(w->fd[st->s], &msg, st->b);
	err = errno;
	contract_caps(caps, false);
	errno = err;
	return ret;
}

/* What another process sends, which is user b if that is set. */
static inline long contract_send_child(struct world *w, const struct step *st)
{
	pid_t pid = fork();
	int err;

	if (!pid) {
		if (st->b && (setgroups(0, NULL) || setresgid(st->b, st->b, st->b) ||
			      setresuid(st->b, st->b, st->b)))
			_exit(NYM_CHILD_BROKE);
		_exit(contract_send(w, st, st->a, MSG_NOSIGNAL, -1) < 0 ? errno : 0);
	}
	w->sent += st->a;
	err = pid < 0 ? ECHILD : nym_wait_child(pid);
	errno = err;
	return err ? -1 : st->a;
}

/*
 * How many messages with descriptors somebody can have under way who may open
 * only a few files. Nobody else is that user.
 */
static inline int __contract_flood(struct world *w, const struct step *st)
{
	struct rlimit few = { st->b, st->b };
	uid_t uid = 100000 + getpid();
	struct step one = { .op = OP_SEND_CONTROL, .s = st->s };
	char text[16];
	int n;

	snprintf(text, sizeof(text), "Rn*%ld", st->a);
	one.text = text;
	one.b = MSG_DONTWAIT | MSG_NOSIGNAL;
	if (setresuid(uid, uid, uid) || setrlimit(RLIMIT_NOFILE, &few))
		return NYM_CHILD_BROKE;
	for (n = 0; n < 100 && contract_send_control(w, &one) == 0; n++)
		;
	return errno == ETOOMANYREFS ? n : NYM_CHILD_BROKE - 1;
}

static inline long contract_flood(struct world *w, const struct step *st,
				  struct result *res)
{
	pid_t pid = fork();

	if (!pid)
		_exit(__contract_flood(w, st));
	res->value = pid < 0 ? -1 : nym_wait_child(pid);
	return 0;
}

/* Received control messages in short; closes the descriptors but for one. */

static inline size_t contract_print_rights(const struct world *w, char *text, size_t size,
					   const int *fds, int n, int *keep)
{
	size_t len = snprintf(text, size, "R");
	int i;

	for (i = 0; i < n; i++) {
		if (i < 8)
			len += snprintf(text + len, size - len, "%c%s",
					contract_which(w, fds[i]),
					fcntl(fds[i], F_GETFD) & FD_CLOEXEC ? "'" : "");
		if (keep && *keep < 0)
			*keep = fds[i];
		else
			close(fds[i]);
	}
	if (n > 8)
		len += snprintf(text + len, size - len, "*%d", n);
	return len;
}

static inline size_t contract_print_id(char *text, size_t size, unsigned int id,
				       unsigned int mine)
{
	if (id == mine)
		return snprintf(text, size, "m");
	return id < 2 || id == NYM_NOBODY ? snprintf(text, size, "%u", id) :
					    snprintf(text, size, "?");
}

static inline size_t contract_print_cred(char *text, size_t size,
					 const struct ucred *cred)
{
	size_t len = snprintf(text, size, "C");

	len += contract_print_id(text + len, size - len, cred->pid, getpid());
	len += contract_print_id(text + len, size - len, cred->uid, getuid());
	return len + contract_print_id(text + len, size - len, cred->gid, getgid());
}

static inline void contract_print_control(const struct world *w, struct msghdr *msg,
					  char *text, size_t size, int *keep)
{
	struct cmsghdr *cmsg;
	size_t at = 0;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		size_t len = cmsg->cmsg_len - CMSG_LEN(0);

		if (at)
			at += snprintf(text + at, size - at, " ");
		if (cmsg->cmsg_len < CMSG_LEN(0) || cmsg->cmsg_level != SOL_SOCKET) {
			snprintf(text + at, size - at, "bad");
			return;
		}
		if (cmsg->cmsg_type == SCM_RIGHTS)
			at += contract_print_rights(w, text + at, size - at,
						    (int *)CMSG_DATA(cmsg), len / sizeof(int),
						    keep);
		else if (cmsg->cmsg_type == SCM_CREDENTIALS && len == sizeof(struct ucred))
			at += contract_print_cred(text + at, size - at,
						  (struct ucred *)CMSG_DATA(cmsg));
		else
			at += snprintf(text + at, size - at, "%d:%zu", cmsg->cmsg_type, len);
	}
}

/* recvmsg(), with room for so much control; see enum room. */
static inline long contract_recvmsg(struct world *w, int s, struct msghdr *msg, int flags,
				    long room)
{
	struct rlimit limit, few;
	long ret;
	int err;

	if (room > ROOM_FEW)
		return recvmsg(w->fd[s], msg, flags);
	getrlimit(RLIMIT_NOFILE, &limit);
	few = limit;
	few.rlim_cur = dup(STDOUT_FILENO);
	close(few.rlim_cur);
	few.rlim_cur += ROOM_FEW - room;
	setrlimit(RLIMIT_NOFILE, &few);
	ret = recvmsg(w->fd[s], msg, flags);
	err = errno;
	setrlimit(RLIMIT_NOFILE, &limit);
	errno = err;
	return ret;
}

/* If @keep is set, it becomes the first descriptor that came. */
static inline void contract_recv(struct world *w, const struct step *st,
				 void *buf, struct result *res, int *keep)
{
	static __thread union {
		char buf[ROOM_MAX + 1];
		struct cmsghdr align;
	} u;
	size_t room = st->c > 0 ? st->c : st->c > ROOM_FEW ? 0 : ROOM_MAX;
	struct sockaddr_storage ss;
	struct iovec iov = { .iov_base = buf, .iov_len = st->a };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_name = &ss, .msg_namelen = sizeof(ss),
		.msg_control = u.buf, .msg_controllen = st->c ? room : ROOM_USUAL,
	};

	if (st->c == ROOM_NONE)
		msg.msg_control = NULL;
	if (st->c == ROOM_BAD) {
		msg.msg_control = (void *)8;
		msg.msg_controllen = ROOM_USUAL;
	}
	room = msg.msg_controllen;
	u.buf[room] = 'e';
	memset(&ss, 0, sizeof(ss));
	res->ret = contract_recvmsg(w, st->s, &msg, st->b, st->c);
	if (res->ret < 0)
		return;
	res->flags = msg.msg_flags;
	res->addr = world_addr(w, &ss, msg.msg_namelen);
	res->value = msg.msg_controllen;
	res->bytes = contract_hash(buf, res->ret < st->a ? res->ret : st->a);
	if (st->c != ROOM_BAD)
		contract_print_control(w, &msg, res->control, sizeof(res->control), keep);
	if (u.buf[room] != 'e')
		strcpy(res->control, "overrun");
}

static inline void contract_recv_fd(struct world *w, const struct step *st,
				    struct result *res)
{
	const struct step recv = {
		.op = OP_RECV, .s = st->s, .a = 1, .b = MSG_DONTWAIT | MSG_CMSG_CLOEXEC,
	};
	int fd = -1;

	contract_recv(w, &recv, contract_in, res, &fd);
	if (fd >= 0)
		world_put(w, st->a, fd);
}

static inline long contract_bad_address(struct world *w, const struct step *st)
{
	struct sockaddr_storage ss = { .ss_family = w->family };
	struct sockaddr *sa = (struct sockaddr *)&ss;
	socklen_t len = world_name(w, 'A', &ss);

	switch ((enum bad_address)st->a) {
	case BAD_FAMILY:
		ss.ss_family = AF_INET;
		break;
	case BAD_LENGTH_0:
		len = 0;
		break;
	case BAD_LENGTH_1:
		len = 1;
		break;
	case BAD_LENGTH_2:
		len = 2;
		break;
	case BAD_LENGTH_129:
		len = 129;
		break;
	case BAD_LENGTH_NEGATIVE:
		len = -1;
		break;
	case BAD_POINTER:
		sa = (void *)8;
		break;
	case BAD_UNSPEC:
		ss.ss_family = AF_UNSPEC;
		break;
	default:
		abort();
	}
	if (st->op == OP_BAD_SENDTO)
		return sendto(w->fd[st->s], contract_out, 5, 0, sa, len);
	return st->op == OP_BAD_BIND ? bind(w->fd[st->s], sa, len) :
				       connect(w->fd[st->s], sa, len);
}

static inline long contract_vectors(struct world *w, const struct step *st,
				    unsigned char *buf, bool out)
{
	struct iovec iov[16];
	long i;

	for (i = 0; i < st->a; i++) {
		iov[i].iov_base = buf + i * st->b;
		iov[i].iov_len = st->b;
	}
	return out ? writev(w->fd[st->s], iov, st->a) :
		     readv(w->fd[st->s], iov, st->a);
}

static inline long contract_listen_child(struct world *w, const struct step *st)
{
	int err = 0;
	pid_t pid = fork();

	if (!pid)
		_exit(listen(w->fd[st->s], st->a) ? errno : 0);
	err = pid < 0 ? ECHILD : nym_wait_child(pid);
	errno = err;
	return err ? -1 : 0;
}

static inline long contract_peercred(struct world *w, const struct step *st,
				     struct result *res)
{
	struct ucred cred = { .pid = -2 };
	socklen_t len = sizeof(cred);

	if (getsockopt(w->fd[st->s], SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return -1;
	res->value = (cred.pid == getpid()) | !cred.pid << 1 |
		     (cred.uid == getuid()) << 2 | (cred.uid == -1U) << 3 |
		     (cred.gid == getgid()) << 4 | (cred.gid == -1U) << 5;
	return 0;
}

static inline long contract_splice(struct world *w, const struct step *st)
{
	int p[2];
	long n, err;

	if (pipe(p))
		return -1;
	if (st->op == OP_SPLICE_OUT) {
		n = splice(w->fd[st->s], NULL, p[1], NULL, st->a, SPLICE_F_NONBLOCK);
	} else {
		world_pattern(w, st->a);
		n = write(p[1], contract_out, st->a);
		n = splice(p[0], NULL, w->fd[st->s], NULL, st->a, SPLICE_F_NONBLOCK);
	}
	err = errno;
	close(p[0]);
	close(p[1]);
	errno = err;
	return n;
}

/* All that fits goes in, down to the last byte. */
static inline long contract_fill(struct world *w, const struct step *st,
				 struct result *res)
{
	unsigned int sent = w->sent;
	long len = st->a, n, sum = 0;

	for (;;) {
		n = contract_send(w, st, len, MSG_DONTWAIT | MSG_NOSIGNAL, -1);
		if (n > 0)
			sum += n;
		else if (n < 0 && errno != EAGAIN)
			break;
		else if (n < 0 && len > (w->type == SOCK_STREAM))
			len /= 2;
		else if (n < 0)
			break;
	}
	res->err = n < 0 ? errno : 0;
	w->filled += sum;
	/* Elsewhere both families send the same bytes. */
	w->sent = sent;
	return sum > 0;
}

/*
 * All that is there comes out. How much it was is each family's own affair;
 * that it was all is not.
 */
static inline long contract_drain(struct world *w, const struct step *st,
				  struct result *res)
{
	long n;

	do {
		n = recv(w->fd[st->s], contract_in, st->a, MSG_DONTWAIT);
		w->filled -= n > 0 ? n : 0;
	} while (n >= 0 && !(n == 0 && w->type == SOCK_STREAM));
	res->err = n < 0 ? errno : 0;
	return st->b ? 0 : w->filled;
}

static inline void world_call(struct world *w, const struct step *st,
			      struct result *res)
{
	struct sockaddr_storage ss;
	struct pollfd pfd;
	socklen_t len = sizeof(ss);
	int fd = w->fd[st->s], pair[2], value = -1;
	void *map;

	memset(res, 0, sizeof(*res));
	contract_sigpipes = 0;
	errno = 0;
	switch ((enum op)st->op) {
	case OP_SOCKET:
		fd = socket(w->family, w->type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		res->ret = fd < 0 ? -1 : 0;
		world_put_new(w, st->s, fd);
		break;
	case OP_SOCKET_OF:
		fd = socket(w->family, st->a | SOCK_NONBLOCK | SOCK_CLOEXEC,
			    st->b == PROTO_OWN ? w->family : st->b);
		res->ret = fd < 0 ? -1 : 0;
		res->err = errno;
		world_put_new(w, st->s, fd);
		errno = res->err;
		break;
	case OP_PAIR:
		res->ret = socketpair(w->family, w->type | SOCK_NONBLOCK | SOCK_CLOEXEC,
				      0, pair);
		if (res->ret)
			break;
		world_put_new(w, st->s, pair[0]);
		world_put_new(w, st->a, pair[1]);
		break;
	case OP_CLOSE:
		w->fd[st->s] = -1;
		w->named[st->s] = false;
		res->ret = close(fd);
		break;
	case OP_BLOCKING:
		res->ret = nym_set_nonblock(fd, !st->a);
		break;
	case OP_BIND:
		len = world_name(w, st->a, &ss);
		res->ret = bind(fd, (struct sockaddr *)&ss, len);
		break;
	case OP_BIND_ANY:
		ss.ss_family = w->family;
		res->ret = bind(fd, (struct sockaddr *)&ss, sizeof(sa_family_t));
		break;
	case OP_LISTEN:
		res->ret = listen(fd, st->a);
		break;
	case OP_LISTEN_CHILD:
		res->ret = contract_listen_child(w, st);
		break;
	case OP_CONNECT:
		len = world_name(w, st->a, &ss);
		res->ret = connect(fd, (struct sockaddr *)&ss, len);
		break;
	case OP_UNCONNECT:
		memset(&ss, 0, sizeof(ss));
		res->ret = connect(fd, (struct sockaddr *)&ss, sizeof(struct sockaddr));
		break;
	case OP_BAD_BIND:
	case OP_BAD_CONNECT:
	case OP_BAD_SENDTO:
		res->ret = contract_bad_address(w, st);
		break;
	case OP_ACCEPT:
		memset(&ss, 0, sizeof(ss));
		fd = accept4(fd, (struct sockaddr *)&ss, &len,
			     SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			res->ret = -1;
			break;
		}
		res->addr = world_addr(w, &ss, len);
		world_put(w, st->a, fd);
		break;
	case OP_SEND:
		res->ret = contract_send(w, st, st->a, st->b, -1);
		break;
	case OP_SENDTO:
		res->ret = contract_send(w, st, st->a, 0, st->b);
		break;
	case OP_SEND_FAULT:
		res->ret = send(fd, contract_edge(st->a), st->a + 10, 0);
		break;
	case OP_SEND_CONTROL:
		res->ret = contract_send_control(w, st);
		break;
	case OP_SEND_CHILD:
		res->ret = contract_send_child(w, st);
		break;
	case OP_FLOOD:
		res->ret = contract_flood(w, st, res);
		break;
	case OP_WRITEV:
		world_pattern(w, st->a * st->b);
		res->ret = contract_vectors(w, st, contract_out, true);
		break;
	case OP_RECV:
		contract_recv(w, st, contract_in, res, NULL);
		break;
	case OP_RECV_FD:
		contract_recv_fd(w, st, res);
		break;
	case OP_RECV_FAULT:
		res->ret = recv(fd, contract_edge(st->a), st->a + 10, 0);
		break;
	case OP_READV:
		res->ret = contract_vectors(w, st, contract_in, false);
		res->bytes = contract_hash(contract_in, res->ret < 0 ? 0 : res->ret);
		break;
	case OP_FILL:
		res->ret = contract_fill(w, st, res);
		goto out;
	case OP_DRAIN:
		res->ret = contract_drain(w, st, res);
		goto out;
	case OP_POLL:
		pfd = (struct pollfd){ fd, st->b ? st->b : CONTRACT_POLL, 0 };
		/* How many there are is said by the events. */
		res->ret = poll(&pfd, 1, st->a) < 0 ? -1 : 0;
		res->poll = pfd.revents;
		break;
	case OP_SHUTDOWN:
		res->ret = shutdown(fd, st->a);
		break;
	case OP_NAME:
	case OP_PEER:
		memset(&ss, 0, sizeof(ss));
		res->ret = st->op == OP_NAME ?
			getsockname(fd, (struct sockaddr *)&ss, &len) :
			getpeername(fd, (struct sockaddr *)&ss, &len);
		if (!res->ret)
			res->addr = world_addr(w, &ss, len);
		break;
	case OP_INQ:
	case OP_OUTQ:
		res->ret = ioctl(fd, st->op == OP_INQ ? SIOCINQ : SIOCOUTQ, &value);
		res->value = value;
		break;
	case OP_IOCTL:
		res->ret = ioctl(fd, st->a, &value);
		res->value = value;
		break;
	case OP_SET:
		res->ret = world_set(w, st->s, st->a, st->b);
		break;
	case OP_GET:
		res->ret = world_get(w, fd, st->a, &value);
		if (st->a == SO_DOMAIN && value == w->family)
			value = 0;
		res->value = value;
		break;
	case OP_SET_LEVEL:
		value = 1;
		res->ret = setsockopt(fd, st->a, 1, &value, sizeof(value));
		break;
	case OP_GET_LEVEL:
		len = sizeof(value);
		res->ret = getsockopt(fd, st->a, 1, &value, &len);
		break;
	case OP_PEERCRED:
		res->ret = contract_peercred(w, st, res);
		break;
	case OP_PASSRIGHTS:
		res->ret = world_pass_rights(w, fd, st->a);
		break;
	case OP_TIMEOUT:
		res->ret = nym_set_timeout(fd, st->a, st->b);
		break;
	case OP_SEEK:
		res->ret = lseek(fd, 0, SEEK_SET);
		break;
	case OP_PREAD:
		res->ret = pread(fd, contract_in, 1, 0);
		break;
	case OP_MMAP:
		map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
		res->ret = map == MAP_FAILED ? -1 : 0;
		break;
	case OP_READ0:
		res->ret = read(fd, contract_in, 0);
		break;
	case OP_SPLICE_OUT:
	case OP_SPLICE_IN:
		res->ret = contract_splice(w, st);
		break;
	case OP_FORGET:
		world_forget(w, st->a);
		break;
	default:
		abort();
	}
	if (res->ret < 0 && !res->err)
		res->err = errno;
out:
	res->signals = contract_sigpipes;
}

static inline long __world_bg(void *data)
{
	struct world *w = data;

	world_call(w, &w->bg_step, &w->bg_res);
	return 0;
}

/* Starts a call; its result says only whether it went to sleep. */
static inline void world_start(struct world *w, const struct step *st,
			       struct result *res)
{
	long end = nym_now_ms() + NYM_PATIENCE_MS;

	memset(res, 0, sizeof(*res));
	w->bg_step = *st;
	if (nym_bg_start(&w->bg, __world_bg, w))
		abort();
	w->bg_on = 1;
	while (!nym_bg_done(&w->bg)) {
		if (nym_is_asleep(w->bg.tid, contract_syscall(st->op))) {
			res->value = 1;
			break;
		}
		if (nym_now_ms() > end) {
			res->err = ETIMEDOUT;
			break;
		}
		nym_nap();
	}
}

static inline void world_join(struct world *w, struct result *res)
{
	long end = nym_now_ms() + NYM_PATIENCE_MS;

	memset(res, 0, sizeof(*res));
	while (!nym_bg_done(&w->bg)) {
		if (nym_now_ms() > end) {
			res->ret = -1;
			res->err = ETIMEDOUT;
			return;
		}
		nym_nap();
	}
	nym_bg_join(&w->bg);
	w->bg_on = 0;
	*res = w->bg_res;
}

/* Not asleep and not over means that it has been woken. */
static inline void world_woken(struct world *w, struct result *res)
{
	long start = nym_now_ms();

	memset(res, 0, sizeof(*res));
	while (!nym_bg_done(&w->bg)) {
		if (nym_now_ms() > start + 100 &&
		    nym_is_asleep(w->bg.tid, contract_syscall(w->bg_step.op)))
			return;
		nym_nap();
	}
	res->value = 1;
}

static inline void world_step(struct world *w, const struct step *st,
			      struct result *res)
{
	if (st->op == OP_JOIN)
		world_join(w, res);
	else if (st->op == OP_WOKEN)
		world_woken(w, res);
	else if (st->bg)
		world_start(w, st, res);
	else
		world_call(w, st, res);
}

/* Comparing and printing */

static inline int result_diff(const struct result *x, const struct result *y)
{
	/* Where a call ends differently the rest means nothing. */
	if (x->ret != y->ret || x->err != y->err)
		return F_OUTCOME | (x->signals != y->signals ? F_SIGNAL : 0);
	return (x->bytes != y->bytes ? F_BYTES : 0) |
	       (x->flags != y->flags ? F_FLAGS : 0) |
	       (x->addr != y->addr ? F_ADDR : 0) |
	       (x->value != y->value ? F_VALUE : 0) |
	       (x->poll != y->poll ? F_POLL : 0) |
	       (x->signals != y->signals ? F_SIGNAL : 0) |
	       (strcmp(x->control, y->control) ? F_CONTROL : 0);
}

static const char * const op_names[OPS] = {
	[OP_SOCKET] = "SOCKET", [OP_SOCKET_OF] = "SOCKET_OF",
	[OP_PAIR] = "PAIR", [OP_CLOSE] = "CLOSE", [OP_BLOCKING] = "BLOCKING",
	[OP_BIND] = "BIND", [OP_BIND_ANY] = "BIND_ANY", [OP_LISTEN] = "LISTEN",
	[OP_LISTEN_CHILD] = "LISTEN_CHILD", [OP_CONNECT] = "CONNECT",
	[OP_UNCONNECT] = "UNCONNECT", [OP_BAD_BIND] = "BAD_BIND",
	[OP_BAD_CONNECT] = "BAD_CONNECT", [OP_BAD_SENDTO] = "BAD_SENDTO", [OP_ACCEPT] = "ACCEPT",
	[OP_SEND] = "SEND", [OP_SENDTO] = "SENDTO",
	[OP_SEND_FAULT] = "SEND_FAULT", [OP_SEND_CONTROL] = "SEND_CONTROL",
	[OP_WRITEV] = "WRITEV", [OP_FILL] = "FILL", [OP_RECV] = "RECV",
	[OP_RECV_FAULT] = "RECV_FAULT", [OP_READV] = "READV",
	[OP_DRAIN] = "DRAIN", [OP_POLL] = "POLL", [OP_SHUTDOWN] = "SHUTDOWN",
	[OP_NAME] = "NAME", [OP_PEER] = "PEER", [OP_INQ] = "INQ",
	[OP_OUTQ] = "OUTQ", [OP_IOCTL] = "IOCTL", [OP_SET] = "SET",
	[OP_GET] = "GET", [OP_SET_LEVEL] = "SET_LEVEL",
	[OP_GET_LEVEL] = "GET_LEVEL", [OP_PEERCRED] = "PEERCRED",
	[OP_PASSRIGHTS] = "PASSRIGHTS", [OP_RECV_FD] = "RECV_FD",
	[OP_SEND_CHILD] = "SEND_CHILD", [OP_FLOOD] = "FLOOD",
	[OP_TIMEOUT] = "TIMEOUT", [OP_SEEK] = "SEEK", [OP_PREAD] = "PREAD",
	[OP_MMAP] = "MMAP", [OP_READ0] = "READ0",
	[OP_SPLICE_OUT] = "SPLICE_OUT", [OP_SPLICE_IN] = "SPLICE_IN",
	[OP_FORGET] = "FORGET", [OP_WOKEN] = "WOKEN", [OP_JOIN] = "JOIN",
};

static inline bool op_has_name_a(enum op op)
{
	return op == OP_BIND || op == OP_CONNECT || op == OP_FORGET;
}

static inline void step_print(const struct step *st)
{
	char a[32], b[32];

	snprintf(a, sizeof(a), "%ld", st->a);
	if (op_has_name_a(st->op) && st->a >= 'A')
		snprintf(a, sizeof(a), "'%c'", (char)st->a);
	snprintf(b, sizeof(b), st->op == OP_SEND || st->op == OP_RECV ||
		 st->op == OP_SEND_CONTROL ? "%#lx" : "%ld", st->b);
	if (st->op == OP_SENDTO && st->b >= 'A')
		snprintf(b, sizeof(b), "'%c'", (char)st->b);
	printf("%s%s(%d, %s, %s", st->bg ? "BG " : "", op_names[st->op],
	       st->s, a, b);
	if (st->c && st->op == OP_SEND_CONTROL)
		printf(", '%c'", (char)st->c);
	else if (st->c)
		printf(", %ld", st->c);
	if (st->text)
		printf(", \"%s\"", st->text);
	printf(")");
}

static inline void result_print(const struct result *r)
{
	printf("%ld", r->ret);
	if (r->err)
		printf(" %s", strerrorname_np(r->err) ?: "?");
	if (r->bytes)
		printf(" bytes=%08x", r->bytes);
	if (r->flags)
		printf(" flags=%#x", r->flags);
	if (r->addr)
		printf(" addr=%c", r->addr);
	if (r->value)
		printf(" value=%ld", r->value);
	if (r->poll)
		printf(" poll=%#x", r->poll);
	if (r->signals)
		printf(" SIGPIPE");
	if (r->control[0])
		printf(" control=\"%s\"", r->control);
}

static inline void trace_print(const struct step *st, const struct result *u,
			       const struct result *n)
{
	printf("#   ");
	step_print(st);
	printf(" = ");
	result_print(u);
	if (result_diff(u, n)) {
		printf(" | nym ");
		result_print(n);
	}
	printf("\n");
}

#endif /* CONTRACT_H */
