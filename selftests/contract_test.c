// SPDX-License-Identifier: GPL-2.0
/*
 * The contract: the same sequence of socket calls on AF_UNIX and on nym gives
 * the same results, but for the differences in one table.
 *
 * Written by hand are states (what to do to bring a socket into one), probes
 * (what to do then) and scenarios (longer stories). Every probe runs in every
 * state, and then every call that tells something looks at every socket. A
 * random walk does without thinking what nobody thought of.
 *
 * Results are compared step by step and field by field. Each field that
 * differs must be claimed by a row of the table of differences, and each row
 * must be needed at least once.
 *
 * Environment
 *   NYM_SEED	of the random walk, to do another; a check repeats the same one
 *   NYM_STEPS	how many steps each walker goes, instead of a time
 *   NYM_SELF	compare AF_UNIX with itself: nothing at all may differ
 */
#include "contract.h"

/* Steps and table rows leave out what is 0. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define WALK_SEED	20261121UL

#define T_STREAM	1
#define T_SEQPACKET	2
#define T_DGRAM		4
#define T_CALLS		(T_STREAM | T_SEQPACKET)
#define T_RECORDS	(T_SEQPACKET | T_DGRAM)
#define T_ALL		7

static const char *type_name(int type)
{
	return type == SOCK_STREAM ? "stream" :
	       type == SOCK_SEQPACKET ? "seqpacket" : "dgram";
}

static int type_bit(int type)
{
	return type == SOCK_STREAM ? T_STREAM :
	       type == SOCK_SEQPACKET ? T_SEQPACKET : T_DGRAM;
}

/* Two worlds, in step */

struct pair_of_worlds {
	struct world u;		/* AF_UNIX */
	struct world n;		/* nym */
	struct step last;	/* the step before */
	struct result last_u;
	struct result last_n;
	int empties;		/* empty messages sent */
	int spliced;		/* messages sent with splice() */
	int unread;		/* messages sent and not yet received, or more */
	int rights;		/* messages sent with descriptors */
	int sockets;		/* and those with sockets of the world among them */
	bool was_stale;		/* is_stale(), before the step */
	bool was_autobound;	/* is_autobound(), likewise */
	unsigned int was_peer;	/* peer_hash(), likewise */
};

/* The table of differences */

struct difference {
	const char *what;
	const char *why;
	int types;
	int fields;
	/*
	 * Whether the difference is this one and nothing else. With fields 0
	 * it is one that cannot be seen yet, and is asked for after every step.
	 */
	bool (*is)(const struct pair_of_worlds *p, const struct step *st,
		   const struct result *u, const struct result *n);
	bool parts;	/* the sockets are in different states from here on */
	int before;	/* only kernels before this one have it */
	int since;	/* only this kernel and later ones have it */
};

#define IS(_name) \
	static bool is_##_name(const struct pair_of_worlds *p, \
			       const struct step *st, const struct result *u, \
			       const struct result *n)

static bool is_connected(const struct world *w, int s)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	return !getpeername(w->fd[s], (struct sockaddr *)&ss, &len);
}

/* It has a name on nym, or has done what gives it one. */
static bool is_named(const struct pair_of_worlds *p, int s)
{
	return p->n.named[s] || is_connected(&p->n, s);
}

static bool nym_says(const struct result *n, int err)
{
	return n->ret == -1 && n->err == err;
}

IS(parked)
{
	return st->op == OP_CONNECT && u->err == EAGAIN &&
	       nym_says(n, EINPROGRESS) &&
	       !(nym_poll_now(p->n.fd[st->s], POLLOUT) & POLLOUT);
}

static bool says_own_state(const struct pair_of_worlds *p, const struct step *st,
			   const struct result *n)
{
	return nym_says(n, is_connected(&p->n, st->s) ? EISCONN : EINVAL);
}

IS(own_state_first)
{
	return st->op == OP_CONNECT && u->err == EAGAIN && says_own_state(p, st, n) &&
	       (is_connected(&p->n, st->s) || nym_get_int(p->n.fd[st->s], SO_ACCEPTCONN));
}

static bool is_sending(const struct step *st)
{
	return st->op == OP_SEND || st->op == OP_SENDTO || st->op == OP_WRITEV ||
	       st->op == OP_SEND_FAULT || st->op == OP_SEND_CONTROL ||
	       st->op == OP_SEND_CHILD || st->op == OP_SPLICE_IN;
}

/* The name or slot that a call is for, or -1 if it says none. */
static long step_target(const struct pair_of_worlds *p, const struct step *st)
{
	switch (st->op) {
	case OP_CONNECT:
		return st->a;
	case OP_SENDTO:
		/* The address of nothing is none. */
		return st->b < SLOTS && p->n.fd[st->b] < 0 ? -1 : st->b;
	case OP_SEND_CONTROL:
		return st->c ? st->c : -1;
	default:
		return -1;
	}
}

/* The kind of address that a slot has. */
static char slot_addr(const struct world *w, int s)
{
	struct sockaddr_storage ss;

	return world_addr(w, &ss, world_name(w, s, &ss));
}

/* The target has no address on AF_UNIX, but it has on nym. */
static bool is_target_chosen(const struct pair_of_worlds *p, const struct step *st,
			     const struct result *u)
{
	long to = step_target(p, st);

	return to >= 0 && to < SLOTS && u->err == EINVAL &&
	       slot_addr(&p->u, to) == ADDR_UNNAMED && slot_addr(&p->n, to) == ADDR_CHOSEN;
}

IS(chosen_called)
{
	return is_target_chosen(p, st, u) && nym_says(n, ECONNREFUSED);
}

IS(chosen_reached)
{
	return is_target_chosen(p, st, u) && (n->ret >= 0 || n->err == ECONNRESET);
}

IS(chosen_refused)
{
	return is_target_chosen(p, st, u) &&
	       (nym_says(n, EPERM) || nym_says(n, EPIPE) || nym_says(n, EAGAIN));
}

IS(chosen_name)
{
	if (n->addr != ADDR_CHOSEN)
		return false;
	switch (st->op) {
	case OP_NAME:
	case OP_PEER:
		return u->addr == ADDR_UNNAMED && is_named(p, st->s);
	case OP_ACCEPT:
		return u->addr == ADDR_UNNAMED;
	case OP_JOIN:
		return u->addr == ADDR_UNNAMED || u->addr == ADDR_NONE;
	case OP_RECV:
	case OP_RECV_FD:
		return u->addr == ADDR_NONE;
	default:
		return false;
	}
}

IS(bind_connected)
{
	return (st->op == OP_BIND || st->op == OP_BIND_ANY) && nym_says(n, EINVAL) &&
	       (u->ret == 0 || u->err == EADDRINUSE) && is_named(p, st->s);
}

/* AF_UNIX has chosen a name already, because of SO_PASSCRED, then or now. */
static bool is_autobound(const struct pair_of_worlds *p, long s)
{
	return s >= 0 && s < SLOTS && slot_addr(&p->u, s) == ADDR_CHOSEN &&
	       slot_addr(&p->n, s) == ADDR_UNNAMED && p->u.asked[s];
}

IS(autobound_name)
{
	return st->op == OP_NAME && is_autobound(p, st->s);
}

IS(autobound_used)
{
	return (st->op == OP_LISTEN && u->ret == 0 && nym_says(n, EINVAL) &&
		is_autobound(p, st->s)) ||
	       (nym_says(n, EINVAL) && is_autobound(p, step_target(p, st)));
}

IS(autobound_bind)
{
	return st->op == OP_BIND && u->err == EINVAL && n->err != EINVAL &&
	       p->was_autobound;
}

IS(peek_off)
{
	return (st->op == OP_SET || st->op == OP_GET) && st->a == SO_PEEK_OFF &&
	       u->ret == 0 && nym_says(n, EOPNOTSUPP);
}

IS(oob_send)
{
	return st->op == OP_SEND && st->b & MSG_OOB && nym_says(n, EOPNOTSUPP);
}

IS(oob_recv)
{
	return st->op == OP_RECV && st->b & MSG_OOB && u->err == EINVAL &&
	       nym_says(n, EOPNOTSUPP);
}

IS(oob_mark)
{
	return st->op == OP_IOCTL && st->a == SIOCATMARK && nym_says(n, ENOTTY) &&
	       (u->ret == 0 || u->err == EOPNOTSUPP);
}

IS(socket_file)
{
	return st->op == OP_IOCTL && st->a == SIOCPROTOPRIVATE && /* SIOCUNIXFILE */
	       u->err == ENOENT && nym_says(n, ENOTTY);
}

IS(outq)
{
	return st->op == OP_OUTQ && u->value > 0 && n->value > 0 &&
	       (n->value < u->value || p->u.filled != p->n.filled);
}

IS(path_missing)
{
	long to = step_target(p, st);

	return to >= 0 && IS_PATH(to) && u->err == ENOENT && nym_says(n, ECONNREFUSED);
}

IS(path_left)
{
	return st->op == OP_BIND && IS_PATH(st->a) && u->err == EADDRINUSE &&
	       n->ret == 0;
}

IS(type_of_name)
{
	long to = step_target(p, st);

	if (st->op == OP_BIND)
		return !IS_PATH(st->a) && u->ret == 0 && nym_says(n, EADDRINUSE);
	return to >= SLOTS && !IS_PATH(to) && u->err == ECONNREFUSED &&
	       nym_says(n, EPROTOTYPE);
}

static long step_length(const struct step *st)
{
	return st->op == OP_WRITEV ? st->a * st->b : st->a;
}

static int outq(const struct world *w, int s)
{
	int queued = 0;

	return ioctl(w->fd[s], SIOCOUTQ, &queued) ? 0 : queued;
}

static int inq(const struct world *w, int s)
{
	int queued = 0;

	return ioctl(w->fd[s], SIOCINQ, &queued) ? 0 : queued;
}

/* One is full and the other is not. */
IS(room)
{
	int limit = nym_get_int(p->n.fd[st->s], SO_SNDBUF);

	if (st->op == OP_INQ)
		return p->u.filled && p->u.filled - u->value == p->n.filled - n->value;
	if (!is_sending(st) || u->ret == n->ret)
		return false;
	if (u->err == EAGAIN)
		return outq(&p->u, st->s) >= limit && n->err != EAGAIN;
	return n->err == EAGAIN && outq(&p->n, st->s) + step_length(st) + 8 >= limit;
}

/* Only nym says that one can write. */
IS(pollout)
{
	const int out = POLLOUT | POLLWRNORM | POLLWRBAND;
	int limit = nym_get_int(p->n.fd[st->s], SO_SNDBUF);

	return st->op == OP_POLL && (u->poll ^ n->poll) == out &&
	       (n->poll & out) == out && outq(&p->u, st->s) > limit / 4 &&
	       outq(&p->n, st->s) <= limit / 2;
}

/* How much all that is queued on nym counts. */
static unsigned long nym_queued(const struct pair_of_worlds *p)
{
	unsigned long sum = 0;
	struct nym_line line;
	int i;

	for (i = 0; i < SLOTS; i++)
		sum += nym_proc_line(p->n.fd[i], &line) == 1 ? line.queued : 0;
	return sum;
}

/* Datagrams: AF_UNIX counts ten of them, nym the memory. */
static bool is_unix_full(const struct pair_of_worlds *p, const struct step *st)
{
	return p->unread > 10 ||
	       outq(&p->u, st->s) >= nym_get_int(p->u.fd[st->s], SO_SNDBUF);
}

static bool is_nym_full(const struct pair_of_worlds *p, const struct step *st)
{
	int limit = nym_get_int(p->n.fd[st->s], SO_SNDBUF);

	return outq(&p->n, st->s) + 2 * step_length(st) >= limit ||
	       nym_queued(p) + 2 * step_length(st) >= (unsigned long)limit / 2;
}

IS(room_dgram)
{
	if (!is_sending(st))
		return false;
	if (u->err == EAGAIN)
		return n->err != EAGAIN && is_unix_full(p, st);
	return nym_says(n, EAGAIN) && u->ret >= 0 && is_nym_full(p, st);
}

IS(pollout_dgram)
{
	const int out = POLLOUT | POLLWRNORM | POLLWRBAND;
	int limit = nym_get_int(p->u.fd[st->s], SO_SNDBUF);

	if (st->op != OP_POLL || (u->poll ^ n->poll) != out)
		return false;
	if (n->poll & POLLOUT)
		return outq(&p->u, st->s) > limit / 4 ||
		       (p->unread > 10 && is_connected(&p->u, st->s));
	return is_connected(&p->n, st->s) && is_nym_full(p, st);
}

/*
 * Datagrams: a connected socket whose peer has died. AF_UNIX undoes the
 * connection when a send finds out; nym stays connected to the name.
 */
static bool is_stale(const struct pair_of_worlds *p, int s)
{
	return !is_connected(&p->u, s) && is_connected(&p->n, s);
}

/* Nobody has the name of its peer. */
static bool is_peer_gone(const struct world *w, int s)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int fd, gone;

	if (getpeername(w->fd[s], (struct sockaddr *)&ss, &len))
		return false;
	fd = socket(w->family, w->type | SOCK_CLOEXEC, 0);
	gone = connect(fd, (struct sockaddr *)&ss, len) && errno == ECONNREFUSED;
	close(fd);
	return gone;
}

/* Who its peer is. */
static unsigned int peer_hash(const struct world *w, int s)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if (getpeername(w->fd[s], (struct sockaddr *)&ss, &len))
		return 0;
	return contract_hash((unsigned char *)&ss, len);
}

static bool has_mail(const struct world *w, int s)
{
	return recv(w->fd[s], NULL, 0, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

IS(peer_kept)
{
	return st->op == OP_PEER && is_stale(p, st->s);
}

static bool is_sending_to_peer(const struct pair_of_worlds *p, const struct step *st)
{
	return is_sending(st) && step_target(p, st) < 0;
}

IS(refused_again)
{
	return is_sending_to_peer(p, st) && u->err == ENOTCONN && is_stale(p, st->s) &&
	       (nym_says(n, EMSGSIZE) || nym_says(n, EPIPE) || nym_says(n, EFAULT) ||
		(nym_says(n, ECONNREFUSED) && is_peer_gone(&p->n, st->s)));
}

/* It is not connected, and that is not all. */
IS(no_peer_first)
{
	return is_sending_to_peer(p, st) && nym_says(n, ENOTCONN) && !is_connected(&p->u, st->s) &&
	       (u->err == EMSGSIZE || u->err == EPIPE || u->err == EFAULT);
}

IS(next_owner)
{
	return is_sending_to_peer(p, st) && (u->err == ENOTCONN || u->err == ECONNREFUSED) &&
	       (n->ret >= 0 || n->err == EPERM || n->err == EPIPE || n->err == ETOOMANYREFS) &&
	       is_stale(p, st->s) && !is_peer_gone(&p->n, st->s);
}

/* The receiver is still connected to a name, and not to this one. */
IS(filter_kept)
{
	int i;

	if ((!is_sending(st) && st->op != OP_CONNECT) || !nym_says(n, EPERM))
		return false;
	if (u->ret < 0 && u->err != EPIPE && u->err != EAGAIN)
		return false;
	for (i = 0; i < SLOTS; i++) {
		if (is_stale(p, i))
			return true;
	}
	/* It may be the caller itself. */
	return st->op == OP_CONNECT && p->was_stale;
}

/* The receiver is connected to the name that the sender has now. */
IS(filter_by_name)
{
	struct sockaddr_storage own, peer;
	socklen_t len = world_name(&p->n, st->s, &own), peer_len;
	int i;

	if ((!is_sending(st) && st->op != OP_CONNECT) || u->err != EPERM)
		return false;
	if (n->ret < 0 && n->err != EPIPE && n->err != EAGAIN && n->err != ETOOMANYREFS)
		return false;
	/* Not because of the credentials. */
	if (st->text && st->text[0] == '!')
		return false;
	for (i = 0; i < SLOTS; i++) {
		peer_len = sizeof(peer);
		if (!getpeername(p->n.fd[i], (struct sockaddr *)&peer, &peer_len) &&
		    peer_len == len && !memcmp(&peer, &own, len))
			return true;
	}
	return false;
}

/* What the dead peer had sent is gone in AF_UNIX, as after another connect(). */
IS(mail_kept)
{
	bool found = is_sending_to_peer(p, st) && u->err == ECONNREFUSED &&
		     nym_says(n, ECONNREFUSED);
	bool again = st->op == OP_CONNECT && u->ret == 0 && n->ret == 0 &&
		     p->was_peer == peer_hash(&p->n, st->s);

	return (found || again) && !has_mail(&p->u, st->s) && has_mail(&p->n, st->s);
}

/* It is no change of the peer to AF_UNIX, which had none. */
IS(mail_dropped)
{
	return (st->op == OP_CONNECT || st->op == OP_UNCONNECT) && u->ret == 0 &&
	       n->ret == 0 && p->was_stale && has_mail(&p->u, st->s) &&
	       !has_mail(&p->n, st->s);
}

/* Descriptors */

static bool nym_wants_rights(const struct world *w, int s)
{
	socklen_t len = sizeof(int);
	int on = 1;

	return getsockopt(w->fd[s], SOL_NYM, NYM_PASSRIGHTS, &on, &len) || on;
}

/* Whoever the receiver is, there is one that does not want them. */
IS(rights_unwanted)
{
	int i;

	if (!contract_has_rights(st) || !nym_says(n, EPERM))
		return false;
	if (u->ret < 0 && u->err != EPIPE && u->err != EAGAIN)
		return false;
	for (i = 0; i < SLOTS; i++) {
		if (!nym_wants_rights(&p->n, i))
			return true;
	}
	return false;
}

/* Does @n lack the descriptors that came in @u, and nothing else? */
static bool lacks_rights(const struct result *u, const struct result *n)
{
	size_t len = strlen(n->control);

	if (strncmp(u->control, n->control, len))
		return false;
	return !u->control[len] || !strncmp(u->control + len + !!len, "R", 1);
}

static bool is_receiving(const struct step *st)
{
	return st->op == OP_RECV || st->op == OP_RECV_FD;
}

IS(rights_dropped)
{
	return is_receiving(st) && !(st->b & MSG_PEEK) && strchr(u->control, 'R') &&
	       lacks_rights(u, n) && n->flags & MSG_CTRUNC && !nym_wants_rights(&p->n, st->s);
}

IS(rights_peeked)
{
	return st->op == OP_RECV && st->b & MSG_PEEK && lacks_rights(u, n) &&
	       !(n->flags & ~u->flags & ~MSG_EOR) &&
	       !(u->flags & ~n->flags & ~MSG_CTRUNC);
}

/* They come with the first byte of their message, and none was read. */
IS(rights_nothing)
{
	return st->op == OP_RECV && !(st->b & MSG_PEEK) && !st->a && !u->ret &&
	       lacks_rights(u, n) && !(n->flags & ~u->flags) &&
	       !(u->flags & ~n->flags & ~MSG_CTRUNC);
}

/* Is there an @c (any digit if that is '0') among the descriptors of the text? */
static bool sends_file(const struct step *st, char c)
{
	const char *t = st->text;
	bool rights = false;

	for (; t && *t; t++) {
		if (isupper(*t))
			rights = *t == 'R';
		else if (strchr(" *:-", *t))
			rights = false;
		else if (rights && (*t == c || (c == '0' && isdigit(*t))))
			return true;
	}
	return false;
}

IS(rights_unix)
{
	return sends_file(st, 'x') && nym_says(n, EINVAL) && u->err != EBADF;
}

/* Is it itself among the sockets that are sent to it? */
static bool sends_itself(const struct pair_of_worlds *p, const struct step *st)
{
	const struct world *w = &p->n;
	struct sockaddr_storage to, own;
	socklen_t len = sizeof(to), own_len;
	char c;

	if (step_target(p, st) >= 0)
		len = world_name(w, step_target(p, st), &to);
	else if (getpeername(w->fd[st->s], (struct sockaddr *)&to, &len))
		return false;
	for (c = '0'; c < '0' + SLOTS; c++) {
		own_len = sends_file(st, c) ? world_name(w, c - '0', &own) : 0;
		if (own_len && own_len == len && !memcmp(&own, &to, len))
			return true;
	}
	return false;
}

IS(rights_circle)
{
	return sends_file(st, '0') && u->ret >= 0 && nym_says(n, ETOOMANYREFS) &&
	       (p->sockets || sends_itself(p, st));
}

IS(rights_end)
{
	return st->op == OP_RECV && u->ret > 32768 && n->ret > u->ret &&
	       strchr(u->control, 'R') && !strcmp(u->control, n->control);
}

/* AF_UNIX joined them, before it had MSG_SPLICE_PAGES. */
IS(rights_splice)
{
	return (st->op == OP_RECV || st->op == OP_READV || st->op == OP_SPLICE_OUT) &&
	       n->ret > 0 && u->ret > n->ret && p->spliced && p->rights;
}

IS(rights_limit)
{
	return st->op == OP_FLOOD && n->value * st->a <= st->b &&
	       (n->value + 1) * st->a > st->b && u->value == n->value + 1;
}

IS(waiting_sigpipe)
{
	return st->op == OP_JOIN && p->n.bg_step.op == OP_SEND && u->err == EPIPE &&
	       nym_says(n, EPIPE) && !u->signals && n->signals == 1;
}

/* A send() in the background is awake on nym and still asleep on AF_UNIX. */
static bool is_woken(const struct pair_of_worlds *p, const struct step *st,
		     const struct result *u, const struct result *n)
{
	return st->op == OP_WOKEN && p->n.bg_step.op == OP_SEND && !u->value && n->value;
}

IS(waiting_over)
{
	return is_woken(p, st, u, n) && p->last.s != p->n.bg_step.s &&
	       (p->last.op == OP_SHUTDOWN || p->last.op == OP_CONNECT);
}

IS(waiting_elsewhere)
{
	return is_woken(p, st, u, n) && p->last.s == p->n.bg_step.s &&
	       p->last.op == OP_CONNECT;
}

IS(empty_unread)
{
	return st->op == OP_POLL && (u->poll ^ n->poll) == POLLERR &&
	       n->poll & POLLERR && n->poll & POLLHUP && p->empties;
}

/* What AF_UNIX lost in the step before, nym still has. */
IS(fault_keeps)
{
	return st->op == OP_INQ && p->last.op == OP_RECV_FAULT &&
	       p->last_u.err == EFAULT && p->last_n.err == EFAULT &&
	       p->last.s == st->s && n->value &&
	       (u->value < n->value || p->u.type == SOCK_DGRAM);
}

IS(fault_recv)
{
	return st->op == OP_RECV_FAULT && u->err == EFAULT && n->ret == st->a;
}

IS(fault_send)
{
	return st->op == OP_SEND_FAULT && u->err == EFAULT && n->ret == st->a;
}

/* At the end of a stream, with SO_PASSCRED. */
IS(end_credentials)
{
	return is_receiving(st) && !u->ret && !strcmp(u->control, "C0mm") &&
	       !strcmp(n->control, "C06553465534") && !inq(&p->n, st->s);
}

IS(label)
{
	return st->op == OP_GET && ((st->a == SO_PASSSEC && nym_says(n, EOPNOTSUPP)) ||
				    (st->a == SO_PEERSEC && nym_says(n, ENOPROTOOPT)));
}

IS(eor)
{
	return is_receiving(st) && (u->flags ^ n->flags) == MSG_EOR &&
	       n->flags & MSG_EOR;
}

IS(peercred)
{
	/* Me (who accepted) instead of the child (who listened), otherwise equal. */
	return st->op == OP_PEERCRED && (u->value ^ n->value) == 1 && n->value & 1;
}

static const struct difference differences[] = {
	{ "connect() without blocking, backlog full: EINPROGRESS, not EAGAIN",
	  "the call is parked, which can be polled; what follows is as with TCP",
	  T_CALLS, F_OUTCOME, is_parked, true },
	{ "connect() of what cannot connect, backlog full: EISCONN or EINVAL, not EAGAIN",
	  "such a call cannot be parked, so this is found out first",
	  T_CALLS, F_OUTCOME, is_own_state_first },
	{ "connect() to the address of an end of a connection: ECONNREFUSED, not EINVAL",
	  "it has one, see below, but nobody listens there",
	  T_ALL, F_OUTCOME, is_chosen_called },
	{ "the ends of a connection and who sends a datagram always have names",
	  "every peer can be told from the others, in logs and in /proc/net/nym, and answered",
	  T_ALL, F_ADDR, is_chosen_name },
	{ "bind() of a connected socket, or of one that has sent a datagram: EINVAL",
	  "it has a name already, see above",
	  T_ALL, F_OUTCOME, is_bind_connected, true },
	{ "connect() and sendto() to an address that the kernel chose: work, not EINVAL",
	  "it is an address, so a datagram can be answered",
	  T_DGRAM, F_OUTCOME, is_chosen_reached, true },
	{ "connect() and sendto() to an address that the kernel chose: as to any, not EINVAL",
	  "it is an address, and its owner takes nothing: EPERM, EPIPE or EAGAIN",
	  T_DGRAM, F_OUTCOME, is_chosen_refused },
	{ "SO_PASSCRED: the credentials at the end of a stream are nobody's",
	  "AF_UNIX says that root has sent nothing",
	  T_STREAM, F_CONTROL, is_end_credentials },
	{ "SO_PASSCRED: a connect() or send() that fails early does not choose a name",
	  "nobody has seen it; AF_UNIX chooses it first",
	  T_ALL, F_ADDR, is_autobound_name },
	{ "SO_PASSCRED: bind() after a connect() or send() that failed: works",
	  "it has no name yet, see above",
	  T_ALL, F_OUTCOME, is_autobound_bind, true },
	{ "SO_PASSCRED: listen() and calls to it after a connect() that failed: EINVAL",
	  "it has no name yet, see above",
	  T_ALL, F_OUTCOME, is_autobound_used, true },
	{ "SO_PEEK_OFF: EOPNOTSUPP",
	  "a series of kernel exploits in AF_UNIX, and nobody needs it",
	  T_ALL, F_OUTCOME, is_peek_off, true },
	{ "send() with MSG_OOB: EOPNOTSUPP",
	  "a series of kernel exploits in AF_UNIX, and nobody needs it",
	  T_STREAM, F_OUTCOME | F_SIGNAL, is_oob_send, true },
	{ "recv() with MSG_OOB: EOPNOTSUPP, not EINVAL",
	  "there is none, see above",
	  T_STREAM, F_OUTCOME, is_oob_recv },
	{ "SIOCATMARK: ENOTTY",
	  "there is no mark, see above",
	  T_ALL, F_OUTCOME, is_oob_mark },
	{ "SIOCUNIXFILE: ENOTTY",
	  "there is no file",
	  T_ALL, F_OUTCOME, is_socket_file },
	{ "SO_PASSSEC, SO_PEERSEC: EOPNOTSUPP, ENOPROTOOPT",
	  "the kernel labels the sockets of families that it knows",
	  T_ALL, F_OUTCOME | F_VALUE, is_label, .since = 616 },
	{ "SIOCOUTQ counts less",
	  "bytes that the peer has not read, not the kernel's buffers",
	  T_CALLS, F_VALUE, is_outq },
	{ "SIOCOUTQ counts less for datagrams",
	  "a datagram and its overhead take less memory than a buffer of AF_UNIX",
	  T_DGRAM, F_VALUE, is_outq },
	{ "calling or writing to a name that is not there: ECONNREFUSED, not ENOENT as with a path",
	  "names are as abstract names: there is no file that could exist",
	  T_ALL, F_OUTCOME, is_path_missing },
	{ "bind() to a name whose owner has gone: works, not EADDRINUSE as with a path",
	  "a name lives as long as its socket",
	  T_ALL, F_OUTCOME, is_path_left, true },
	{ "a name is of one type, as a path, not one for each type, as abstract names",
	  "a name is one service",
	  T_ALL, F_OUTCOME, is_type_of_name, true },
	{ "EPOLLOUT comes sooner",
	  "half of the limit in use, and in bytes; not a quarter, and in buffers",
	  T_CALLS, F_POLL, is_pollout },
	{ "recv() into a bad buffer keeps the record",
	  "whole or not at all; AF_UNIX loses it",
	  T_RECORDS, F_VALUE, is_fault_keeps, true },
	{ "recv() into a buffer that is bad behind its beginning: what was copied",
	  "a stream delivers what it can, and says how much",
	  T_STREAM, F_OUTCOME, is_fault_recv, true },
	{ "send() from a buffer that is bad behind its beginning: what was copied",
	  "a stream delivers what it can, and says how much",
	  T_STREAM, F_OUTCOME, is_fault_send, true },
	{ "MSG_EOR arrives",
	  "POSIX has it for SOCK_SEQPACKET; AF_UNIX drops it",
	  T_SEQPACKET, F_FLAGS, is_eor },
	{ "SO_PEERCRED of a client is who accepted, not who listened",
	  "with socket activation it is the service, not who started it",
	  T_CALLS, F_VALUE, is_peercred },
	{ "how much fits",
	  "SO_SNDBUF is counted in bytes, exactly; not in buffers, and then one more",
	  T_CALLS, F_OUTCOME | F_VALUE, is_room, true },
	{ "how many datagrams fit",
	  "as much as SO_RCVBUF says, and for one sender half of what others leave; not 10",
	  T_DGRAM, F_OUTCOME, is_room_dgram, true },
	{ "EPOLLOUT of a datagram socket",
	  "whether the peer has room, not how much of its own is under way, or 10 at the peer",
	  T_DGRAM, F_POLL, is_pollout_dgram },
	{ "getpeername() after a send found the peer gone: its name, not ENOTCONN",
	  "a socket is connected to a name, whoever has it",
	  T_DGRAM, F_OUTCOME, is_peer_kept },
	{ "send() after a send found the peer gone: ECONNREFUSED again, not ENOTCONN",
	  "it stays connected, see above; and other errors are found first, as ever",
	  T_DGRAM, F_OUTCOME, is_refused_again },
	{ "send() without a peer and with more that is wrong: ENOTCONN",
	  "the peer is looked for first; AF_UNIX does that last since 6.14",
	  T_DGRAM, F_OUTCOME, is_no_peer_first, .since = 614 },
	{ "send() after the peer has gone and another has its name: goes there",
	  "it stays connected, see above: a service can be restarted",
	  T_DGRAM, F_OUTCOME, is_next_owner, true },
	{ "send() to a socket whose peer has gone: EPERM for others",
	  "it stays connected, see above",
	  T_DGRAM, F_OUTCOME, is_filter_kept, true },
	{ "send() to a socket that is connected to the sender's name, but to its last owner: works",
	  "it is connected to the name, see above",
	  T_DGRAM, F_OUTCOME, is_filter_by_name, true },
	{ "what a peer sent before it died can be received after a send found it gone",
	  "AF_UNIX throws it away then, and when connected again to the name",
	  T_DGRAM, 0, is_mail_kept, true },
	{ "connect() elsewhere after the peer has gone drops what its name has sent",
	  "it was connected until then, see above",
	  T_DGRAM, 0, is_mail_dropped, true },
	{ "SCM_RIGHTS to who has not asked: EPERM",
	  "nobody can push files at a service; asked for with NYM_PASSRIGHTS",
	  T_ALL, F_OUTCOME | F_SIGNAL, is_rights_unwanted, true },
	{ "SCM_RIGHTS that came before NYM_PASSRIGHTS was cleared: closed, MSG_CTRUNC",
	  "they are not wanted any more",
	  T_ALL, F_CONTROL | F_VALUE | F_FLAGS, is_rights_dropped },
	{ "MSG_PEEK does not give descriptors",
	  "each arrives once",
	  T_ALL, F_CONTROL | F_VALUE | F_FLAGS, is_rights_peeked },
	{ "SCM_RIGHTS with an AF_UNIX socket: EINVAL",
	  "it may hold files in turn, and a circle would never be freed",
	  T_ALL, F_OUTCOME | F_SIGNAL, is_rights_unix, true },
	{ "SCM_RIGHTS with a socket that carries sockets, or to one under way: ETOOMANYREFS",
	  "so that no circle can come to be, and nobody has to look for one",
	  T_ALL, F_OUTCOME, is_rights_circle, true },
	{ "SCM_RIGHTS: the read that gets them ends with their message",
	  "AF_UNIX ends with the first buffer of their message",
	  T_STREAM, F_OUTCOME, is_rights_end, true },
	{ "SCM_RIGHTS: the read that gets them does not get what was spliced behind their message",
	  "AF_UNIX before 6.5 appends to the message",
	  T_STREAM, F_OUTCOME, is_rights_splice, true, .before = 605 },
	{ "recv() of nothing does not take descriptors",
	  "they come with the first byte of their message",
	  T_STREAM, F_CONTROL | F_VALUE | F_FLAGS, is_rights_nothing, true },
	{ "SCM_RIGHTS: at most RLIMIT_NOFILE are under way, exactly",
	  "AF_UNIX refuses the next message when there are more",
	  T_RECORDS, F_VALUE, is_rights_limit, true },
	{ "send() that waited, then EPIPE: SIGPIPE",
	  "as if it had not waited; AF_UNIX forgets the signal then",
	  T_STREAM, F_SIGNAL, is_waiting_sigpipe },
	{ "send() waits for room, the receiver is shut down or connects elsewhere: fails at once",
	  "there is nothing to wait for; AF_UNIX waits until a datagram is read",
	  T_DGRAM, F_VALUE, is_waiting_over },
	{ "send() waits for room, the socket is connected elsewhere: goes there",
	  "it is what was asked for last; AF_UNIX waits for the old peer and sends to it",
	  T_DGRAM, F_VALUE, is_waiting_elsewhere, true },
	{ "close() with an unread empty record resets the connection",
	  "as with any unread record; AF_UNIX takes an empty one for a mark of MSG_OOB",
	  T_SEQPACKET, F_POLL, is_empty_unread, true },
};

#define DIFFERENCES	ARRAY_SIZE(differences)

/* Can it be seen with one of these types, on this kernel? */
static bool can_be_seen(const struct difference *d, int types)
{
	int kernel = nym_kernel();

	return d->types & types && kernel >= d->since &&
	       (!d->before || kernel < d->before);
}

/* Shared by all processes of this program. */
static struct shared {
	long comparisons;
	long walked;
	int ran[8];		/* by type bit, the hand-written part */
	long seen[DIFFERENCES];
	unsigned int shown[256];	/* hashes of the kinds of mismatch */
	unsigned int nshown;
	int printing;		/* one process prints its story at a time */
} *shared;

static int family_n = AF_NYM;

static __attribute__((constructor)) void contract_setup(void)
{
	struct sigaction sa = { .sa_handler = contract_sigpipe };
	const char *c;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || sigaction(SIGPIPE, &sa, NULL))
		abort();
	if (getenv("NYM_SELF"))
		family_n = AF_UNIX;
	/* Now, so that descriptors are the same in every process and world. */
	for (c = CONTRACT_FILES; *c; c++)
		contract_file(NULL, *c);
}

enum verdict { SAME, ACCEPTED, PARTED, DIFFERENT };

static enum verdict judge(const struct pair_of_worlds *p, const struct step *st,
			  const struct result *u, const struct result *n, bool count)
{
	int left = result_diff(u, n), type = type_bit(p->u.type);
	enum verdict verdict = SAME;
	size_t i;

	if (family_n == AF_UNIX)
		return left ? DIFFERENT : SAME;
	for (i = 0; i < DIFFERENCES; i++) {
		const struct difference *d = &differences[i];

		if (!can_be_seen(d, type) || (d->fields && !(d->fields & left)) ||
		    !d->is(p, st, u, n))
			continue;
		left &= ~d->fields;
		if (count)
			__atomic_add_fetch(&shared->seen[i], 1, __ATOMIC_RELAXED);
		if (d->parts)
			verdict = PARTED;
		else if (verdict == SAME)
			verdict = ACCEPTED;
	}
	return left ? DIFFERENT : verdict;
}

static void worlds_init(struct pair_of_worlds *p, int type)
{
	memset(p, 0, sizeof(*p));
	world_init(&p->u, AF_UNIX, type, 0);
	world_init(&p->n, family_n, type, 1);
}

static void worlds_reset(struct pair_of_worlds *p)
{
	world_reset(&p->u);
	world_reset(&p->n);
	memset(&p->last, 0, sizeof(p->last));
	p->empties = 0;
	p->spliced = 0;
	p->unread = 0;
	p->rights = 0;
	p->sockets = 0;
}

/* What must be known of a step before it is taken. */
static void worlds_before(struct pair_of_worlds *p, const struct step *st)
{
	if (st->op == OP_BIND)
		p->was_autobound = is_autobound(p, st->s);
	p->was_stale = false;
	if (p->u.type != SOCK_DGRAM || (st->op != OP_CONNECT && st->op != OP_UNCONNECT))
		return;
	p->was_stale = is_stale(p, st->s);
	p->was_peer = peer_hash(&p->n, st->s);
}

/* Sending a datagram failed so late that the sender has a name then. */
static bool gets_name(int err)
{
	return err == ECONNREFUSED || err == EPROTOTYPE || err == EPERM || err == EPIPE ||
	       err == EAGAIN || err == EFAULT || err == ETOOMANYREFS;
}

/* What the table needs to know of the past. */
static void worlds_account(struct pair_of_worlds *p, const struct step *st,
			   const struct result *u, const struct result *n)
{
	bool sent = is_sending(st) && u->ret >= 0;

	p->empties += sent && !step_length(st) && u->ret == 0;
	p->unread += sent ? 1 : st->op == OP_FILL ? 1000 : 0;
	p->unread -= st->op == OP_RECV && u->ret >= 0 && !(st->b & MSG_PEEK) && p->unread;
	p->spliced += sent && st->op == OP_SPLICE_IN;
	p->rights += sent && contract_has_rights(st);
	p->sockets += sent && n->ret >= 0 && sends_file(st, '0');
	if (p->u.type != SOCK_DGRAM)
		return;
	if (st->op == OP_FILL || st->op == OP_PAIR || (st->op == OP_CONNECT && n->ret == 0) ||
	    (is_sending(st) && (n->ret >= 0 || gets_name(n->err))))
		p->n.named[st->s] = true;
	if (st->op == OP_PAIR || st->op == OP_RECV_FD)
		p->n.named[st->a] = true;
}

static enum verdict worlds_step(struct pair_of_worlds *p, const struct step *st,
				struct result *u, struct result *n, bool count)
{
	enum verdict verdict;

	worlds_before(p, st);
	world_step(&p->u, st, u);
	world_step(&p->n, st, n);
	worlds_account(p, st, u, n);
	verdict = judge(p, st, u, n, count);
	p->last = *st;
	p->last_u = *u;
	p->last_n = *n;
	return verdict;
}

/* Sequences */

#define SEQ(...)	((const struct step[]){ __VA_ARGS__, { OP_END } })

#define SOCKET(_s)	{ OP_SOCKET, _s }
#define SOCKET_OF(_s, _type, _proto) { OP_SOCKET_OF, _s, 0, _type, _proto }
#define PAIR(_s, _t)	{ OP_PAIR, _s, 0, _t }
#define CLOSE(_s)	{ OP_CLOSE, _s }
#define BLOCKING(_s)	{ OP_BLOCKING, _s, 0, 1 }
#define BIND(_s, _name)	{ OP_BIND, _s, 0, _name }
#define BIND_ANY(_s)	{ OP_BIND_ANY, _s }
#define LISTEN(_s, _n)	{ OP_LISTEN, _s, 0, _n }
#define CONNECT(_s, _name) { OP_CONNECT, _s, 0, _name }
#define ACCEPT(_s, _t)	{ OP_ACCEPT, _s, 0, _t }
#define SEND(_s, _len, _flags) { OP_SEND, _s, 0, _len, _flags }
#define SENDTO(_s, _len, _name) { OP_SENDTO, _s, 0, _len, _name }
#define RECV(_s, _len, _flags) { OP_RECV, _s, 0, _len, _flags }
#define FILL(_s, _len)	{ OP_FILL, _s, 0, _len }
#define DRAIN(_s, _len)	{ OP_DRAIN, _s, 0, _len }
#define POLL(_s)	{ OP_POLL, _s }
#define SHUT(_s, _how)	{ OP_SHUTDOWN, _s, 0, _how }
#define NAME(_s)	{ OP_NAME, _s }
#define PEER(_s)	{ OP_PEER, _s }
#define INQ(_s)		{ OP_INQ, _s }
#define OUTQ(_s)	{ OP_OUTQ, _s }
#define SET(_s, _opt, _v) { OP_SET, _s, 0, _opt, _v }
#define GET(_s, _opt)	{ OP_GET, _s, 0, _opt }
#define SOERR(_s)	GET(_s, SO_ERROR)
#define PEERCRED(_s)	{ OP_PEERCRED, _s }
#define TIMEOUT(_s, _which, _ms) { OP_TIMEOUT, _s, 0, _which, _ms }
#define FORGET(_name)	{ OP_FORGET, 0, 0, _name }
#define WOKEN()		{ OP_WOKEN }
#define JOIN()		{ OP_JOIN }
#define UNCONNECT(_s)	{ OP_UNCONNECT, _s }
#define SENDC(_s, _len, _text) { OP_SEND_CONTROL, _s, 0, _len, 0, 0, _text }
#define SENDCTO(_s, _len, _text, _name) { OP_SEND_CONTROL, _s, 0, _len, 0, _name, _text }
#define SEND_CHILD(_s, _len, _uid) { OP_SEND_CHILD, _s, 0, _len, _uid }
#define RECVC(_s, _len, _flags, _room) { OP_RECV, _s, 0, _len, _flags, _room }
#define RECV_FD(_s, _t)	{ OP_RECV_FD, _s, 0, _t }
#define PASSRIGHTS(_s, _on) { OP_PASSRIGHTS, _s, 0, _on }
#define PASSCRED(_s, _on) SET(_s, SO_PASSCRED, _on)
#define BG_RECV(_s, _len, _flags) { OP_RECV, _s, 1, _len, _flags }
#define BG_SEND(_s, _len, _flags) { OP_SEND, _s, 1, _len, _flags }
#define BG_ACCEPT(_s, _t) { OP_ACCEPT, _s, 1, _t }
#define BG_CONNECT(_s, _name) { OP_CONNECT, _s, 1, _name }
/* Longer than anybody waits for it: what it finds at its end is too late. */
#define BG_POLL_IN(_s)	{ OP_POLL, _s, 1, 2 * NYM_PATIENCE_MS, POLLIN | POLLRDHUP }

struct sequence {
	const char *name;
	int types;
	const struct step *steps;
};

/* Slots: 0 is the socket in question, 1 its peer, 2 a listener, 3 another. */

#define LISTENER	SOCKET(2), BIND(2, 'L'), LISTEN(2, 3)
#define CONNECTION	LISTENER, SOCKET(0), CONNECT(0, 'L'), ACCEPT(2, 1)

static const struct sequence states[] = {
	{ "no socket", T_ALL, SEQ(CLOSE(0)) },
	{ "new", T_ALL, SEQ(SOCKET(0)) },
	{ "new, something listens", T_CALLS, SEQ(LISTENER, SOCKET(0)) },
	{ "new, refused", T_CALLS, SEQ(SOCKET(0), CONNECT(0, 'N')) },
	{ "new, name taken", T_ALL, SEQ(SOCKET(3), BIND(3, 'A'), SOCKET(0)) },
	{ "new, shut", T_ALL, SEQ(SOCKET(0), SHUT(0, SHUT_RDWR)) },
	{ "new, shut for reading", T_ALL, SEQ(SOCKET(0), SHUT(0, SHUT_RD)) },
	{ "new, shut for writing", T_ALL, SEQ(SOCKET(0), SHUT(0, SHUT_WR)) },
	{ "bound", T_ALL, SEQ(SOCKET(0), BIND(0, 'B')) },
	{ "bound to some name", T_ALL, SEQ(SOCKET(0), BIND_ANY(0)) },
	{ "bound, something listens", T_CALLS,
	  SEQ(LISTENER, SOCKET(0), BIND(0, 'B')) },
	{ "bound, shut for reading", T_ALL,
	  SEQ(SOCKET(0), BIND(0, 'B'), SHUT(0, SHUT_RD)) },
	{ "listening", T_CALLS, SEQ(SOCKET(0), BIND(0, 'B'), LISTEN(0, 5)) },
	{ "listening, another too", T_CALLS,
	  SEQ(LISTENER, SOCKET(0), BIND(0, 'B'), LISTEN(0, 5)) },
	{ "listening, called", T_CALLS,
	  SEQ(SOCKET(0), BIND(0, 'B'), LISTEN(0, 5), SOCKET(1), CONNECT(1, 'B')) },
	{ "listening, called by a bound one that sent", T_CALLS,
	  SEQ(SOCKET(0), BIND(0, 'B'), LISTEN(0, 5), SOCKET(1), BIND(1, 'C'),
	      CONNECT(1, 'B'), SEND(1, 20, 0)) },
	{ "listening, the caller has closed", T_CALLS,
	  SEQ(SOCKET(0), BIND(0, 'B'), LISTEN(0, 5), SOCKET(1), CONNECT(1, 'B'),
	      SEND(1, 20, 0), CLOSE(1)) },
	{ "listening, called twice, backlog full", T_CALLS,
	  SEQ(SOCKET(0), BIND(0, 'B'), LISTEN(0, 1), SOCKET(1), CONNECT(1, 'B'),
	      SOCKET(3), CONNECT(3, 'B')) },
	{ "listening, shut", T_CALLS,
	  SEQ(SOCKET(0), BIND(0, 'B'), LISTEN(0, 5), SHUT(0, SHUT_RDWR)) },
	{ "listening, shut for reading, called before", T_CALLS,
	  SEQ(SOCKET(0), BIND(0, 'B'), LISTEN(0, 5), SOCKET(1), CONNECT(1, 'B'),
	      SHUT(0, SHUT_RD)) },
	{ "listening, shut for writing, called", T_CALLS,
	  SEQ(SOCKET(0), BIND(0, 'B'), LISTEN(0, 5), SHUT(0, SHUT_WR), SOCKET(1),
	      CONNECT(1, 'B')) },
	{ "shut for reading, then listening", T_CALLS,
	  SEQ(SOCKET(0), BIND(0, 'B'), SHUT(0, SHUT_RD), LISTEN(0, 5)) },
	{ "called, not accepted", T_CALLS, SEQ(LISTENER, SOCKET(0), CONNECT(0, 'L')) },
	{ "called, not accepted, bound, sent", T_CALLS,
	  SEQ(LISTENER, SOCKET(0), BIND(0, 'B'), CONNECT(0, 'L'), SEND(0, 30, 0)) },
	{ "called, listener gone", T_CALLS,
	  SEQ(LISTENER, SOCKET(0), CONNECT(0, 'L'), CLOSE(2)) },
	{ "called and sent, listener gone", T_CALLS,
	  SEQ(LISTENER, SOCKET(0), CONNECT(0, 'L'), SEND(0, 30, 0), CLOSE(2)) },
	{ "called, listener shut", T_CALLS,
	  SEQ(LISTENER, SOCKET(0), CONNECT(0, 'L'), SHUT(2, SHUT_RDWR)) },
	{ "client", T_CALLS, SEQ(CONNECTION) },
	{ "client, listener gone", T_CALLS, SEQ(CONNECTION, CLOSE(2)) },
	{ "client, bound", T_CALLS,
	  SEQ(LISTENER, SOCKET(0), BIND(0, 'B'), CONNECT(0, 'L'), ACCEPT(2, 1)) },
	{ "client, bound to some name", T_CALLS,
	  SEQ(LISTENER, SOCKET(0), BIND_ANY(0), CONNECT(0, 'L'), ACCEPT(2, 1)) },
	{ "client, was shut before it called", T_CALLS,
	  SEQ(LISTENER, SOCKET(0), SHUT(0, SHUT_RDWR), CONNECT(0, 'L'), ACCEPT(2, 1)) },
	{ "client, was shut for reading before it called", T_CALLS,
	  SEQ(LISTENER, SOCKET(0), SHUT(0, SHUT_RD), CONNECT(0, 'L'), ACCEPT(2, 1)) },
	{ "client, has data", T_CALLS, SEQ(CONNECTION, SEND(1, 40, 0)) },
	{ "client, data both ways", T_CALLS,
	  SEQ(CONNECTION, SEND(1, 40, 0), SEND(0, 50, 0), SEND(1, 7, 0)) },
	{ "client, server gone", T_CALLS, SEQ(CONNECTION, CLOSE(1)) },
	{ "client, server gone with unread data", T_CALLS,
	  SEQ(CONNECTION, SEND(0, 9, 0), CLOSE(1)) },
	{ "client, server gone, data both ways", T_CALLS,
	  SEQ(CONNECTION, SEND(0, 9, 0), SEND(1, 9, 0), CLOSE(1)) },
	{ "client, server gone, data left", T_CALLS,
	  SEQ(CONNECTION, SEND(1, 9, 0), CLOSE(1)) },
	{ "server", T_CALLS,
	  SEQ(LISTENER, SOCKET(1), CONNECT(1, 'L'), ACCEPT(2, 0)) },
	{ "server of a bound client, has data", T_CALLS,
	  SEQ(LISTENER, SOCKET(1), BIND(1, 'C'), CONNECT(1, 'L'), SEND(1, 40, 0),
	      ACCEPT(2, 0)) },
	{ "server of a client that closed", T_CALLS,
	  SEQ(LISTENER, SOCKET(1), CONNECT(1, 'L'), SEND(1, 40, 0), CLOSE(1),
	      ACCEPT(2, 0)) },
	{ "pair", T_ALL, SEQ(PAIR(0, 1)) },
	{ "pair, has data", T_ALL, SEQ(PAIR(0, 1), SEND(1, 10, 0), SEND(1, 5, 0)) },
	{ "pair, has an empty message", T_ALL, SEQ(PAIR(0, 1), SEND(1, 0, 0)) },
	{ "pair, has an empty message and another", T_ALL,
	  SEQ(PAIR(0, 1), SEND(1, 0, 0), SEND(1, 3, 0)) },
	{ "pair, sent", T_ALL, SEQ(PAIR(0, 1), SEND(0, 10, 0)) },
	{ "pair, shut for reading", T_ALL, SEQ(PAIR(0, 1), SHUT(0, SHUT_RD)) },
	{ "pair, shut for writing", T_ALL, SEQ(PAIR(0, 1), SHUT(0, SHUT_WR)) },
	{ "pair, shut", T_ALL, SEQ(PAIR(0, 1), SHUT(0, SHUT_RDWR)) },
	{ "pair, has data, shut", T_ALL,
	  SEQ(PAIR(0, 1), SEND(1, 10, 0), SHUT(0, SHUT_RDWR)) },
	{ "pair, peer shut for reading", T_ALL, SEQ(PAIR(0, 1), SHUT(1, SHUT_RD)) },
	{ "pair, peer shut for writing", T_ALL, SEQ(PAIR(0, 1), SHUT(1, SHUT_WR)) },
	{ "pair, peer shut", T_ALL, SEQ(PAIR(0, 1), SHUT(1, SHUT_RDWR)) },
	{ "pair, peer sent and shut", T_ALL,
	  SEQ(PAIR(0, 1), SEND(1, 10, 0), SHUT(1, SHUT_WR)) },
	{ "pair, both shut for writing", T_ALL,
	  SEQ(PAIR(0, 1), SHUT(0, SHUT_WR), SHUT(1, SHUT_WR)) },
	{ "pair, peer gone", T_ALL, SEQ(PAIR(0, 1), CLOSE(1)) },
	{ "pair, peer gone with unread data", T_ALL,
	  SEQ(PAIR(0, 1), SEND(0, 9, 0), CLOSE(1)) },
	{ "pair, peer gone, data both ways", T_ALL,
	  SEQ(PAIR(0, 1), SEND(0, 9, 0), SEND(1, 9, 0), CLOSE(1)) },
	{ "pair, peer gone with unread data, error taken", T_ALL,
	  SEQ(PAIR(0, 1), SEND(0, 9, 0), CLOSE(1), SOERR(0)) },
	{ "pair, shut for writing, peer gone with unread data", T_ALL,
	  SEQ(PAIR(0, 1), SEND(0, 9, 0), SHUT(0, SHUT_WR), CLOSE(1)) },
	{ "pair, full", T_ALL, SEQ(PAIR(0, 1), FILL(0, 4000)) },
	{ "pair, half of a message read", T_ALL,
	  SEQ(PAIR(0, 1), SEND(1, 10, 0), RECV(0, 5, 0)) },

	{ "pair, has a descriptor between others", T_ALL,
	  SEQ(PAIR(0, 1), SEND(1, 5, 0), SENDC(1, 10, "Rwn"), SEND(1, 7, 0)) },
	{ "pair, has an empty message with a descriptor", T_RECORDS,
	  SEQ(PAIR(0, 1), SENDC(1, 0, "Rn"), SENDC(1, 5, "Rr")) },
	{ "pair, has a socket", T_ALL, SEQ(PAIR(0, 1), PAIR(3, 4), SENDC(1, 10, "R3")) },
	{ "pair, sent a descriptor", T_ALL, SEQ(PAIR(0, 1), SENDC(0, 10, "Rn")) },
	{ "pair, has a descriptor, peer gone", T_ALL,
	  SEQ(PAIR(0, 1), SENDC(1, 10, "Rn"), CLOSE(1)) },
	{ "pair, has credentials", T_ALL,
	  SEQ(PAIR(0, 1), PASSCRED(0, 1), SEND(1, 4, 0), SENDC(1, 6, "C1mm Rn"),
	      SEND(1, 7, 0)) },
	{ "pair, has credentials, but does not ask", T_ALL,
	  SEQ(PAIR(0, 1), SENDC(1, 4, "C1mm"), SEND(1, 6, 0), SENDC(1, 7, "Cm1m")) },
	{ "new, asks for credentials", T_ALL, SEQ(SOCKET(0), PASSCRED(0, 1)) },
	{ "listening, called by one that sent a descriptor", T_CALLS,
	  SEQ(SOCKET(0), BIND(0, 'B'), LISTEN(0, 5), SOCKET(1), CONNECT(1, 'B'),
	      SENDC(1, 10, "Rn")) },
	{ "called, not accepted, sent a descriptor, listener gone", T_CALLS,
	  SEQ(LISTENER, SOCKET(0), CONNECT(0, 'L'), SENDC(0, 10, "Rn"), CLOSE(2)) },
	{ "server, asks for credentials", T_CALLS,
	  SEQ(LISTENER, PASSCRED(2, 1), SOCKET(1), CONNECT(1, 'L'), SEND(1, 5, 0),
	      ACCEPT(2, 0), SEND(1, 6, 0)) },
	{ "client, asks for credentials", T_CALLS,
	  SEQ(LISTENER, SOCKET(0), PASSCRED(0, 1), CONNECT(0, 'L'), ACCEPT(2, 1),
	      SEND(1, 5, 0)) },

	{ "connected", T_DGRAM, SEQ(SOCKET(1), BIND(1, 'L'), SOCKET(0), CONNECT(0, 'L')) },
	{ "connected, bound", T_DGRAM,
	  SEQ(SOCKET(1), BIND(1, 'L'), SOCKET(0), BIND(0, 'B'), CONNECT(0, 'L')) },
	{ "connected, bound, peer connected", T_DGRAM,
	  SEQ(SOCKET(1), BIND(1, 'L'), SOCKET(0), BIND(0, 'B'), CONNECT(0, 'L'),
	      CONNECT(1, 'B'), SEND(1, 10, 0)) },
	{ "bound, peer connected", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'B'), SOCKET(1), BIND(1, 'C'), CONNECT(1, 'B'),
	      SEND(1, 10, 0), SEND(1, 20, 0)) },
	{ "connected to another", T_DGRAM,
	  SEQ(SOCKET(2), BIND(2, 'L'), SOCKET(1), BIND(1, 'C'), CONNECT(1, 'L'),
	      SOCKET(0), BIND(0, 'B')) },
	{ "connected, then not", T_DGRAM,
	  SEQ(SOCKET(1), BIND(1, 'L'), SOCKET(0), BIND(0, 'B'), CONNECT(0, 'L'),
	      UNCONNECT(0)) },
	{ "connected to itself", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'B'), CONNECT(0, 'B'), SEND(0, 10, 0)) },
	{ "connected, peer gone", T_DGRAM,
	  SEQ(SOCKET(1), BIND(1, 'L'), SOCKET(0), BIND(0, 'B'), CONNECT(0, 'L'),
	      CLOSE(1)) },
	{ "connected, peer shut for reading", T_DGRAM,
	  SEQ(SOCKET(1), BIND(1, 'L'), SOCKET(0), BIND(0, 'B'), CONNECT(0, 'L'),
	      SHUT(1, SHUT_RD)) },
	{ "has mail", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'B'), SOCKET(1), BIND(1, 'C'), SENDTO(1, 10, 'B'),
	      SENDTO(1, 0, 'B'), SENDTO(1, 20, 'B')) },
	{ "has mail with descriptors and credentials", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'B'), SOCKET(1), BIND(1, 'C'), SENDCTO(1, 10, "Rn", 'B'),
	      PASSCRED(0, 1), SENDCTO(1, 9, "C1mm", 'B'), SENDTO(1, 5, 'B')) },
	{ "connected, peer refused", T_DGRAM,
	  SEQ(SOCKET(1), BIND(1, 'L'), SOCKET(0), BIND(0, 'B'), CONNECT(0, 'L'),
	      CLOSE(1), SEND(0, 5, 0)) },
	{ "connected, peer gone, its name taken", T_DGRAM,
	  SEQ(SOCKET(1), BIND(1, 'L'), SOCKET(0), BIND(0, 'B'), CONNECT(0, 'L'),
	      CLOSE(1), SOCKET(1), BIND(1, 'L')) },
	{ "connected, peer refused, its name taken", T_DGRAM,
	  SEQ(SOCKET(1), BIND(1, 'L'), SOCKET(0), BIND(0, 'B'), CONNECT(0, 'L'),
	      CLOSE(1), SEND(0, 5, 0), SOCKET(1), BIND(1, 'L')) },
	{ "connected, full", T_DGRAM,
	  SEQ(SOCKET(1), BIND(1, 'L'), SOCKET(0), BIND(0, 'B'), CONNECT(0, 'L'),
	      FILL(0, 4000)) },
	{ "sent", T_DGRAM,
	  SEQ(SOCKET(1), BIND(1, 'L'), SOCKET(0), SENDTO(0, 10, 'L')) },
	{ "has an error", T_DGRAM,
	  SEQ(SOCKET(1), BIND(1, 'L'), SOCKET(0), BIND(0, 'B'), CONNECT(0, 'L'),
	      CONNECT(1, 'B'), SEND(0, 10, 0), UNCONNECT(1)) },
};

static const struct sequence probes[] = {
	{ "nothing", T_ALL, SEQ(POLL(0)) },
	{ "bind", T_ALL, SEQ(BIND(0, 'A')) },
	{ "bind to a taken name", T_ALL, SEQ(BIND(0, 'L')) },
	{ "bind to its own name", T_ALL, SEQ(BIND(0, 'B')) },
	{ "bind to some name", T_ALL, SEQ(BIND_ANY(0)) },
	{ "bind twice", T_ALL, SEQ(BIND(0, 'A'), BIND(0, 'C')) },
	{ "bad bind", T_ALL,
	  SEQ({ OP_BAD_BIND, 0, 0, BAD_FAMILY }, { OP_BAD_BIND, 0, 0, BAD_LENGTH_0 },
	      { OP_BAD_BIND, 0, 0, BAD_LENGTH_1 }, { OP_BAD_BIND, 0, 0, BAD_LENGTH_129 },
	      { OP_BAD_BIND, 0, 0, BAD_LENGTH_NEGATIVE },
	      { OP_BAD_BIND, 0, 0, BAD_POINTER }, { OP_BAD_BIND, 0, 0, BAD_UNSPEC }) },
	{ "bad connect", T_ALL,
	  SEQ({ OP_BAD_CONNECT, 0, 0, BAD_FAMILY }, { OP_BAD_CONNECT, 0, 0, BAD_LENGTH_0 },
	      { OP_BAD_CONNECT, 0, 0, BAD_LENGTH_1 }, { OP_BAD_CONNECT, 0, 0, BAD_LENGTH_2 },
	      { OP_BAD_CONNECT, 0, 0, BAD_LENGTH_129 },
	      { OP_BAD_CONNECT, 0, 0, BAD_LENGTH_NEGATIVE },
	      { OP_BAD_CONNECT, 0, 0, BAD_POINTER }) },
	{ "bad sendto", T_ALL,
	  SEQ({ OP_BAD_SENDTO, 0, 0, BAD_FAMILY }, { OP_BAD_SENDTO, 0, 0, BAD_LENGTH_1 },
	      { OP_BAD_SENDTO, 0, 0, BAD_LENGTH_2 }, { OP_BAD_SENDTO, 0, 0, BAD_LENGTH_129 },
	      { OP_BAD_SENDTO, 0, 0, BAD_LENGTH_NEGATIVE },
	      { OP_BAD_SENDTO, 0, 0, BAD_POINTER }, { OP_BAD_SENDTO, 0, 0, BAD_UNSPEC }) },
	{ "unconnect", T_ALL, SEQ(UNCONNECT(0)) },
	{ "listen", T_ALL, SEQ(LISTEN(0, 2)) },
	{ "listen, negative", T_ALL, SEQ(LISTEN(0, -1)) },
	{ "listen, 0, and be called", T_ALL, SEQ(LISTEN(0, 0), SOCKET(4), CONNECT(4, 'B')) },
	{ "connect to nobody", T_ALL, SEQ(CONNECT(0, 'N')) },
	{ "connect to a path that is not there", T_ALL, SEQ(CONNECT(0, 'X')) },
	{ "connect to a listener", T_ALL, SEQ(CONNECT(0, 'L')) },
	{ "connect to a listener twice", T_ALL, SEQ(CONNECT(0, 'L'), CONNECT(0, 'L')) },
	{ "connect to a bound one", T_ALL, SEQ(SOCKET(4), BIND(4, 'D'), CONNECT(0, 'D')) },
	{ "connect to its own name", T_ALL, SEQ(CONNECT(0, 'B')) },
	{ "connect to its own address", T_ALL, SEQ(CONNECT(0, 0)) },
	{ "connect to another's address", T_ALL, SEQ(CONNECT(0, 1)) },
	{ "be connected to", T_ALL,
	  SEQ(SOCKET(4), CONNECT(4, 'B'), POLL(4), SEND(4, 3, 0), POLL(4)) },
	{ "be connected to by address", T_ALL, SEQ(SOCKET(4), CONNECT(4, 0)) },
	{ "accept", T_ALL, SEQ(ACCEPT(0, 4), NAME(4), PEER(4), POLL(4), RECV(4, 15, 0),
			       RECV(4, 15, 0), RECV(4, 15, 0), POLL(4), SEND(4, 4, 0),
			       SOERR(4), PEERCRED(4), GET(4, SO_ACCEPTCONN),
			       LISTEN(4, 1), ACCEPT(4, 5), CONNECT(4, 'L')) },
	{ "accept until empty", T_ALL, SEQ(ACCEPT(0, 4), ACCEPT(0, 5), ACCEPT(0, 6)) },
	{ "send", T_ALL, SEQ(SEND(0, 11, 0)) },
	{ "send twice", T_ALL, SEQ(SEND(0, 11, 0), SEND(0, 12, 0)) },
	{ "send without a signal", T_ALL, SEQ(SEND(0, 11, MSG_NOSIGNAL)) },
	{ "send nothing", T_ALL, SEQ(SEND(0, 0, 0)) },
	{ "send with flags", T_ALL,
	  SEQ(SEND(0, 4, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE | MSG_CONFIRM |
		       MSG_DONTROUTE)) },
	{ "send out of band", T_ALL, SEQ(SEND(0, 4, MSG_OOB)) },
	{ "send nothing out of band", T_ALL, SEQ(SEND(0, 0, MSG_OOB)) },
	{ "send the end of a record", T_ALL, SEQ(SEND(0, 4, MSG_EOR), RECV(1, 100, 0)) },
	{ "send too much", T_RECORDS, SEQ(SEND(0, 250000, 0)) },
	{ "send to a listener", T_ALL, SEQ(SENDTO(0, 6, 'L')) },
	{ "send to nobody", T_ALL, SEQ(SENDTO(0, 6, 'N')) },
	{ "send to itself", T_ALL, SEQ(SENDTO(0, 6, 'B')) },
	{ "send to a peer's address", T_ALL, SEQ(SENDTO(0, 6, 1)) },
	{ "send what is not there", T_ALL, SEQ({ OP_SEND_FAULT, 0, 0, 0 }) },
	{ "send what is half there", T_ALL, SEQ({ OP_SEND_FAULT, 0, 0, 5 }) },
	{ "send vectors", T_ALL, SEQ({ OP_WRITEV, 0, 0, 7, 3 }) },
	{ "send control that is refused", T_ALL,
	  SEQ(SENDC(0, 10, "Rn:0"), SENDC(0, 10, "Rn:15"), SENDC(0, 10, "Rn:21-4"),
	      SENDC(0, 10, "Rn Rn:0"), SENDC(0, 10, "Rn Rn:15"), SENDC(0, 10, "T77"),
	      SENDC(0, 10, "Rn T77"), SENDC(0, 10, "Cmmm:20"), SENDC(0, 10, "Cmmm:27"),
	      SENDC(0, 10, "Cmmm:29"), SENDC(0, 10, "Rn V4242:0"), SENDC(0, 10, "Rb"),
	      SENDC(0, 10, "Rm"), SENDC(0, 10, "Rnb"), SENDC(0, 10, "Rn Rb"),
	      SENDC(0, 10, "Cmmm Rb"), SENDC(0, 10, "Ri"), SENDC(0, 10, "Rn*254"),
	      SENDC(0, 10, "Rn*200 Rn*54"), SENDC(0, 10, "Czmm"), SENDC(0, 10, "C-mm"),
	      SENDC(0, 10, "Cm-m"), SENDC(0, 10, "Cmm-"), SENDC(0, 10, "C0mm"),
	      SENDC(0, 10, "Cmmm Czmm"), SENDC(0, 10, "!C1mm"), SENDC(0, 10, "!Cm1m"),
	      SENDC(0, 10, "!Cmm1"), SENDC(0, 10, "!Czmm"), SENDC(0, 10, "!Cm-m")) },
	{ "send odd control", T_ALL,
	  SEQ(SENDC(0, 1, "V4242"), SENDC(0, 2, "R"), SENDC(0, 3, "Rn:17"),
	      SENDC(0, 4, "Rnw:23"), SENDC(0, 5, "R Rn R"), SENDC(0, 6, "Rn-8"),
	      RECV(1, 3, 0), RECV(1, 100, 0), RECV(1, 100, 0)) },
	{ "send credentials", T_ALL,
	  SEQ(SENDC(0, 10, "Cmmm"), SENDC(0, 5, "C1mm Cmmm"), SENDC(0, 6, "!Cmmm"),
	      SENDC(0, 10, "C1mm"), SENDC(0, 11, "Cm1m"), SENDC(0, 12, "Cmm1")) },
	{ "send a descriptor", T_ALL, SEQ(SENDC(0, 10, "Rn")) },
	{ "send descriptors", T_ALL,
	  SEQ(SENDC(0, 10, "Rnrw"), SENDC(0, 5, "Rt Cmmm"), RECV(1, 4, MSG_CMSG_CLOEXEC),
	      RECV(1, 4, 0)) },
	{ "send nothing but a descriptor", T_ALL, SEQ(SENDC(0, 0, "Rn"), SENDC(0, 5, "Rr")) },
	{ "send an AF_UNIX socket", T_ALL, SEQ(SENDC(0, 10, "Rx")) },
	{ "send the socket itself", T_ALL, SEQ(SENDC(0, 10, "R0")) },
	{ "send the peer to itself", T_ALL, SEQ(SENDC(0, 10, "R1")) },
	{ "send a descriptor to who wants none", T_ALL,
	  SEQ(PASSRIGHTS(1, 0), PASSRIGHTS(2, 0), SENDC(0, 10, "Rn")) },
	{ "want no descriptors any more", T_ALL, SEQ(PASSRIGHTS(0, 0), RECV(0, 100, 0)) },
	{ "splice in", T_STREAM, SEQ({ OP_SPLICE_IN, 0, 0, 100 }) },
	{ "splice out", T_STREAM, SEQ({ OP_SPLICE_OUT, 0, 0, 100 }) },
	{ "receive", T_ALL, SEQ(RECV(0, 100, 0)) },
	{ "receive, again and again", T_ALL,
	  SEQ(RECV(0, 6, 0), RECV(0, 6, 0), POLL(0), RECV(0, 100, 0), RECV(0, 100, 0),
	      RECV(0, 100, 0), POLL(0)) },
	{ "receive nothing", T_ALL, SEQ(RECV(0, 0, 0)) },
	{ "read nothing", T_ALL, SEQ({ OP_READ0, 0 }) },
	{ "peek", T_ALL, SEQ(RECV(0, 100, MSG_PEEK), RECV(0, 3, MSG_PEEK)) },
	{ "peek at nothing", T_ALL, SEQ(RECV(0, 0, MSG_PEEK)) },
	{ "receive with MSG_TRUNC", T_ALL, SEQ(RECV(0, 3, MSG_TRUNC)) },
	{ "peek with MSG_TRUNC", T_ALL,
	  SEQ(RECV(0, 0, MSG_TRUNC | MSG_PEEK), RECV(0, 3, MSG_TRUNC | MSG_PEEK)) },
	{ "receive with MSG_WAITALL", T_ALL, SEQ(RECV(0, 100, MSG_WAITALL)) },
	{ "receive with flags", T_ALL,
	  SEQ(RECV(0, 4, MSG_CMSG_CLOEXEC | MSG_DONTWAIT | MSG_NOSIGNAL | MSG_CONFIRM)) },
	{ "receive out of band", T_ALL, SEQ(RECV(0, 1, MSG_OOB)) },
	{ "receive errors", T_ALL, SEQ(RECV(0, 100, MSG_ERRQUEUE)) },
	{ "receive to where nothing is", T_ALL, SEQ({ OP_RECV_FAULT, 0, 0, 0 }, INQ(0)) },
	{ "receive to where half is", T_ALL, SEQ({ OP_RECV_FAULT, 0, 0, 3 }, INQ(0)) },
	{ "receive without room for control", T_ALL,
	  SEQ(RECVC(0, 100, MSG_PEEK, ROOM_NONE), RECVC(0, 6, 0, ROOM_NONE),
	      RECVC(0, 100, 0, ROOM_ZERO), RECVC(0, 100, 0, ROOM_BAD)) },
	{ "receive with a little room for control", T_ALL,
	  SEQ(RECVC(0, 6, 0, 20), RECVC(0, 6, 0, 30), RECVC(0, 100, 0, 44)) },
	{ "ask for credentials, then receive", T_ALL,
	  SEQ(PASSCRED(0, 1), RECV(0, 6, MSG_PEEK), RECV(0, 6, 0), RECV(0, 100, 0)) },
	{ "ask for credentials, without room", T_ALL,
	  SEQ(PASSCRED(0, 1), RECVC(0, 6, MSG_PEEK, ROOM_NONE), RECVC(0, 6, 0, 24),
	      RECVC(0, 100, 0, ROOM_NONE)) },
	{ "ask for credentials, then send", T_ALL,
	  SEQ(PASSCRED(0, 1), SEND(0, 5, 0), NAME(0), PASSCRED(0, 0), PASSCRED(1, 1),
	      RECV(1, 100, 0)) },
	{ "ask for credentials, then connect", T_ALL,
	  SEQ(PASSCRED(0, 1), CONNECT(0, 'N'), NAME(0), CONNECT(0, 'L')) },
	{ "be asked for credentials", T_ALL,
	  SEQ(PASSCRED(1, 1), PASSCRED(2, 1), SEND(0, 5, 0), SENDC(0, 6, "C1mm"),
	      RECV(1, 100, 0), RECV(1, 100, 0), SENDC(0, 7, "Rn"), RECV(1, 100, 0)) },
	{ "receive vectors", T_ALL, SEQ({ OP_READV, 0, 0, 5, 3 }) },
	{ "poll for reading only", T_ALL, SEQ(POLL(0)) },
	{ "shut for reading", T_ALL, SEQ(SHUT(0, SHUT_RD)) },
	{ "shut for writing", T_ALL, SEQ(SHUT(0, SHUT_WR)) },
	{ "shut", T_ALL, SEQ(SHUT(0, SHUT_RDWR)) },
	{ "shut twice", T_ALL, SEQ(SHUT(0, SHUT_WR), SHUT(0, SHUT_WR), SHUT(0, SHUT_RD)) },
	{ "shut the peer for reading", T_ALL, SEQ(SHUT(1, SHUT_RD)) },
	{ "shut the peer for writing", T_ALL, SEQ(SHUT(1, SHUT_WR)) },
	{ "shut wrongly", T_ALL, SEQ(SHUT(0, -1), SHUT(0, 3)) },
	{ "ioctls", T_ALL,
	  SEQ(INQ(0), OUTQ(0), { OP_IOCTL, 0, 0, SIOCATMARK },
	      { OP_IOCTL, 0, 0, SIOCPROTOPRIVATE }, { OP_IOCTL, 0, 0, 0x8999 }) },
	{ "options", T_ALL,
	  SEQ(GET(0, SO_TYPE), GET(0, SO_DOMAIN), GET(0, SO_PROTOCOL),
	      GET(0, SO_ACCEPTCONN), GET(0, SO_ERROR), GET(0, SO_SNDBUF),
	      GET(0, SO_RCVBUF), GET(0, SO_RCVLOWAT), GET(0, SO_SNDLOWAT),
	      GET(0, SO_REUSEADDR), GET(0, SO_REUSEPORT), GET(0, SO_KEEPALIVE),
	      GET(0, SO_LINGER), GET(0, SO_PRIORITY), GET(0, SO_BROADCAST),
	      GET(0, SO_OOBINLINE), GET(0, SO_TIMESTAMP), GET(0, SO_PASSCRED),
	      GET(0, SO_PASSSEC), GET(0, SO_PEERSEC), GET(0, SO_MARK),
	      GET(0, SO_BUSY_POLL), GET(0, SO_ZEROCOPY), GET(0, SO_LOCK_FILTER),
	      GET(0, 9999)) },
	{ "set options", T_ALL,
	  SEQ(SET(0, SO_SNDBUF, 10000), GET(0, SO_SNDBUF), SET(0, SO_SNDBUF, 1),
	      GET(0, SO_SNDBUF), SET(0, SO_RCVBUF, 5000), GET(0, SO_RCVBUF),
	      SET(0, SO_RCVLOWAT, 8), GET(0, SO_RCVLOWAT), SET(0, SO_SNDLOWAT, 8),
	      SET(0, SO_REUSEADDR, 1), SET(0, SO_REUSEPORT, 1), SET(0, SO_KEEPALIVE, 1),
	      SET(0, SO_PRIORITY, 3), SET(0, SO_BROADCAST, 1), SET(0, SO_ZEROCOPY, 1),
	      SET(0, SO_TYPE, 1), SET(0, SO_ERROR, 1), SET(0, SO_ACCEPTCONN, 1),
	      SET(0, 9999, 1), SET(0, SO_SNDBUF, 100000)) },
	{ "another level", T_ALL,
	  SEQ({ OP_SET_LEVEL, 0, 0, 6 }, { OP_GET_LEVEL, 0, 0, 6 },
	      { OP_SET_LEVEL, 0, 0, 0 }, { OP_GET_LEVEL, 0, 0, 0 }) },
	{ "set SO_PEEK_OFF", T_ALL, SEQ(SET(0, SO_PEEK_OFF, 2)) },
	{ "get SO_PEEK_OFF", T_ALL, SEQ(GET(0, SO_PEEK_OFF)) },
	{ "who is there", T_ALL, SEQ(PEERCRED(0), PEERCRED(1), NAME(0), PEER(0)) },
	{ "file calls", T_ALL, SEQ({ OP_SEEK, 0 }, { OP_PREAD, 0 }, { OP_MMAP, 0 }) },
	{ "close", T_ALL, SEQ(CLOSE(0), CLOSE(0)) },
	{ "close the peer", T_ALL, SEQ(CLOSE(1)) },
	{ "close the listener", T_ALL, SEQ(CLOSE(2)) },
	{ "close the peer, then the error", T_ALL, SEQ(CLOSE(1), SOERR(0), SOERR(0)) },
	{ "low water", T_ALL,
	  SEQ(SET(0, SO_RCVLOWAT, 12), POLL(0), RECV(0, 100, 0), SEND(1, 3, 0), POLL(0),
	      RECV(0, 100, 0)) },
};

/* After every probe: whatever can be asked, of every socket. */
static const struct step look[] = {
	POLL(0), NAME(0), PEER(0), INQ(0), POLL(1), INQ(1), POLL(2),
	SEND(1, 5, 0), POLL(0), RECV(0, 8, MSG_PEEK), RECV(0, 200, 0), RECV(0, 200, 0),
	SEND(0, 6, 0), RECV(1, 200, 0), POLL(1), SOERR(0), POLL(0),
	CLOSE(0), POLL(1), RECV(1, 200, 0), SEND(1, 6, 0), RECV(1, 200, 0), POLL(1),
	PEER(1), NAME(1), CLOSE(1),
	{ OP_END },
};

#define TEN(_s)	SEND(_s, 1, 0), SEND(_s, 2, 0), SEND(_s, 3, 0), SEND(_s, 4, 0), SEND(_s, 5, 0), \
		SEND(_s, 6, 0), SEND(_s, 7, 0), SEND(_s, 8, 0), SEND(_s, 9, 0), SEND(_s, 0, 0)

/* Credentials (if the receiver wants them) and three files in so much room. */
#define ROOM(_room)	SENDC(0, 1, "Rnrw"), RECVC(1, 9, MSG_CMSG_CLOEXEC, _room)

static const struct sequence scenarios[] = {
	{ "socket()", T_ALL,
	  SEQ(SOCKET_OF(0, SOCK_STREAM, 0), SOCKET_OF(0, SOCK_STREAM, PROTO_OWN),
	      SOCKET_OF(0, SOCK_SEQPACKET, PROTO_OWN), SOCKET_OF(0, SOCK_STREAM, 2),
	      SOCKET_OF(0, SOCK_STREAM, -1), SOCKET_OF(0, SOCK_STREAM, 300),
	      SOCKET_OF(0, SOCK_RDM, 0), SOCKET_OF(0, SOCK_RDM, 2),
	      SOCKET_OF(0, SOCK_DCCP, 0), SOCKET_OF(0, SOCK_PACKET, 0),
	      SOCKET_OF(0, 11, 0), SOCKET_OF(0, 15, 0)) },
	{ "paths: a name that is not there", T_ALL,
	  SEQ(SOCKET(0), CONNECT(0, 'P'), POLL(0), SOERR(0)) },
	{ "paths: in use", T_ALL,
	  SEQ(SOCKET(0), BIND(0, 'P'), SOCKET(1), BIND(1, 'P'), NAME(0), NAME(1),
	      LISTEN(0, 1), CONNECT(1, 'P'), PEER(1), ACCEPT(0, 2), NAME(2), PEER(2),
	      FORGET('P')) },
	{ "paths: left", T_ALL,
	  SEQ(SOCKET(0), BIND(0, 'P'), CLOSE(0), SOCKET(1), CONNECT(1, 'P'),
	      SOCKET(2), BIND(2, 'P'), FORGET('P')) },
	{ "paths: of another type", T_STREAM,
	  SEQ(SOCKET_OF(0, SOCK_SEQPACKET, 0), BIND(0, 'P'), SOCKET(1), BIND(1, 'P'),
	      CONNECT(1, 'P'), LISTEN(0, 1), CONNECT(1, 'P'), POLL(1), SOERR(1),
	      FORGET('P')) },
	{ "paths: of another type, connected", T_STREAM,
	  SEQ(PAIR(1, 2), SOCKET_OF(0, SOCK_SEQPACKET, 0), BIND(0, 'P'), LISTEN(0, 1),
	      CONNECT(1, 'P'), FORGET('P')) },
	{ "paths: of another type, seqpacket", T_SEQPACKET,
	  SEQ(SOCKET_OF(0, SOCK_STREAM, 0), BIND(0, 'P'), SOCKET(1), BIND(1, 'P'),
	      CONNECT(1, 'P'), LISTEN(0, 1), CONNECT(1, 'P'), POLL(1), SOERR(1),
	      FORGET('P')) },
	{ "two types, one name", T_STREAM,
	  SEQ(SOCKET_OF(0, SOCK_SEQPACKET, 0), BIND(0, 'A'), SOCKET(1), BIND(1, 'A')) },
	{ "two types, one name, connect", T_STREAM,
	  SEQ(SOCKET_OF(0, SOCK_SEQPACKET, 0), BIND(0, 'A'), LISTEN(0, 1), SOCKET(1),
	      CONNECT(1, 'A')) },
	{ "two types, one name, seqpacket", T_SEQPACKET,
	  SEQ(SOCKET_OF(0, SOCK_STREAM, 0), BIND(0, 'A'), SOCKET(1), BIND(1, 'A')) },
	{ "backlog: exactly n + 1", T_CALLS,
	  SEQ(SOCKET(0), BIND(0, 'A'), LISTEN(0, 2), SOCKET(1), CONNECT(1, 'A'), SOCKET(2),
	      CONNECT(2, 'A'), SOCKET(3), CONNECT(3, 'A'), SOCKET(4), CONNECT(4, 'A')) },
	{ "backlog: room again after accept()", T_CALLS,
	  SEQ(SOCKET(0), BIND(0, 'A'), LISTEN(0, 0), SOCKET(1), CONNECT(1, 'A'),
	      ACCEPT(0, 2), SOCKET(3), CONNECT(3, 'A'), ACCEPT(0, 4), ACCEPT(0, 5),
	      SEND(1, 3, 0), SEND(3, 4, 0), RECV(2, 9, 0), RECV(4, 9, 0)) },
	{ "backlog: listen() again", T_CALLS,
	  SEQ(SOCKET(0), BIND(0, 'A'), LISTEN(0, 0), SOCKET(1), CONNECT(1, 'A'),
	      LISTEN(0, 1), SOCKET(2), CONNECT(2, 'A'), LISTEN(0, 0), POLL(0), ACCEPT(0, 3),
	      ACCEPT(0, 4), SOCKET(5), CONNECT(5, 'A'), POLL(5), ACCEPT(0, 6), ACCEPT(0, 7)) },
	{ "backlog: a caller that closes still counts", T_CALLS,
	  SEQ(SOCKET(0), BIND(0, 'A'), LISTEN(0, 0), SOCKET(1), CONNECT(1, 'A'), CLOSE(1),
	      POLL(0), SOCKET(1), CONNECT(1, 'A')) },
	{ "backlog: accepted in order", T_CALLS,
	  SEQ(SOCKET(0), BIND(0, 'A'), LISTEN(0, 9), SOCKET(1), BIND(1, 'B'), CONNECT(1, 'A'),
	      SOCKET(2), BIND(2, 'C'), CONNECT(2, 'A'), SOCKET(3), BIND(3, 'D'),
	      CONNECT(3, 'A'), CLOSE(2), ACCEPT(0, 4), ACCEPT(0, 5), ACCEPT(0, 6),
	      PEER(4), PEER(5), PEER(6), POLL(4), POLL(5), POLL(6)) },
	{ "backlog: a blocking caller times out", T_CALLS,
	  SEQ(SOCKET(0), BIND(0, 'A'), LISTEN(0, 0), SOCKET(1), CONNECT(1, 'A'), SOCKET(2),
	      BLOCKING(2), TIMEOUT(2, SO_SNDTIMEO, 30), CONNECT(2, 'A'), POLL(2),
	      SOERR(2), PEER(2), ACCEPT(0, 3), ACCEPT(0, 4), CONNECT(2, 'A'), POLL(2),
	      ACCEPT(0, 4)) },
	{ "backlog: a blocking caller gets in", T_CALLS,
	  SEQ(SOCKET(0), BIND(0, 'A'), LISTEN(0, 0), SOCKET(1), CONNECT(1, 'A'), SOCKET(2),
	      BLOCKING(2), BG_CONNECT(2, 'A'), ACCEPT(0, 3), JOIN(), POLL(2), SEND(2, 5, 0),
	      ACCEPT(0, 4), RECV(4, 9, 0)) },
	{ "backlog: a blocking caller and a larger backlog", T_CALLS,
	  SEQ(SOCKET(0), BIND(0, 'A'), LISTEN(0, 0), SOCKET(1), CONNECT(1, 'A'), SOCKET(2),
	      BLOCKING(2), BG_CONNECT(2, 'A'), LISTEN(0, 5), JOIN(), POLL(2),
	      ACCEPT(0, 3), ACCEPT(0, 4), ACCEPT(0, 5)) },
	{ "backlog: the listener closes on a blocking caller", T_CALLS,
	  SEQ(SOCKET(0), BIND(0, 'A'), LISTEN(0, 0), SOCKET(1), CONNECT(1, 'A'), SOCKET(2),
	      BLOCKING(2), BG_CONNECT(2, 'A'), CLOSE(0), JOIN(), POLL(2), SOERR(2), PEER(2),
	      POLL(1), SOERR(1), SOCKET(0), BIND(0, 'A'), LISTEN(0, 0), CONNECT(2, 'A'),
	      POLL(2)) },
	{ "backlog: a caller that was refused binds and calls again", T_CALLS,
	  SEQ(SOCKET(0), CONNECT(0, 'A'), POLL(0), SOERR(0), SOCKET(1), BIND(1, 'A'),
	      CONNECT(0, 'A'), POLL(0), LISTEN(1, 1), BIND(0, 'B'), CONNECT(0, 'A'),
	      PEER(0), NAME(0), ACCEPT(1, 2), PEER(2)) },
	{ "accept() waits for a call", T_CALLS,
	  SEQ(SOCKET(0), BIND(0, 'A'), LISTEN(0, 0), BLOCKING(0), BG_ACCEPT(0, 1), SOCKET(2),
	      BIND(2, 'B'), CONNECT(2, 'A'), JOIN(), PEER(1), SEND(2, 5, 0), RECV(1, 9, 0)) },
	{ "accept() waits, the listener is shut", T_CALLS,
	  SEQ(SOCKET(0), BIND(0, 'A'), LISTEN(0, 0), BLOCKING(0), BG_ACCEPT(0, 1),
	      SHUT(0, SHUT_RD), JOIN(), POLL(0)) },
	{ "accept() times out", T_CALLS,
	  SEQ(SOCKET(0), BIND(0, 'A'), LISTEN(0, 0), BLOCKING(0),
	      TIMEOUT(0, SO_RCVTIMEO, 30), ACCEPT(0, 1)) },
	{ "a chain of three", T_CALLS,
	  SEQ(SOCKET(0), BIND(0, 'A'), LISTEN(0, 3), SOCKET(1), BIND(1, 'B'), CONNECT(1, 'A'),
	      ACCEPT(0, 2), CLOSE(0), SOCKET(3), CONNECT(3, 'A'), SOCKET(0), BIND(0, 'A'),
	      NAME(2), PEER(1), LISTEN(0, 1), CONNECT(3, 'A'), ACCEPT(0, 4), NAME(4),
	      CLOSE(1), SOCKET(1), BIND(1, 'B'), PEER(2), RECV(2, 5, 0)) },
	{ "a name is free when its socket is closed, not when its connections are", T_CALLS,
	  SEQ(CONNECTION, CLOSE(2), SOCKET(2), BIND(2, 'L'), LISTEN(2, 1), SOCKET(3),
	      CONNECT(3, 'L'), ACCEPT(2, 4), SEND(0, 3, 0), SEND(3, 4, 0), RECV(1, 9, 0),
	      RECV(4, 9, 0)) },
	{ "who listens, who accepts", T_CALLS,
	  SEQ(SOCKET(0), BIND(0, 'A'), { OP_LISTEN_CHILD, 0, 0, 3 }, PEERCRED(0), SOCKET(1),
	      CONNECT(1, 'A'), PEERCRED(1), ACCEPT(0, 2), PEERCRED(2), PEERCRED(1)) },
	{ "recv() waits for data", T_CALLS,
	  SEQ(PAIR(0, 1), BLOCKING(0), BG_RECV(0, 50, 0), SEND(1, 20, 0), JOIN(), POLL(0)) },
	{ "recv() waits for an empty message", T_RECORDS,
	  SEQ(PAIR(0, 1), BLOCKING(0), BG_RECV(0, 50, 0), SEND(1, 0, 0), JOIN(), POLL(0)) },
	{ "recv() of nothing waits, too", T_ALL,
	  SEQ(PAIR(0, 1), BLOCKING(0), BG_RECV(0, 0, 0), SEND(1, 20, 0), JOIN(), INQ(0)) },
	{ "recv() waits, the peer closes", T_CALLS,
	  SEQ(PAIR(0, 1), BLOCKING(0), BG_RECV(0, 50, 0), CLOSE(1), JOIN(), POLL(0)) },
	{ "recv() waits, the peer closes with unread data", T_CALLS,
	  SEQ(PAIR(0, 1), SEND(0, 5, 0), BLOCKING(0), BG_RECV(0, 50, 0), CLOSE(1), JOIN(),
	      RECV(0, 5, 0), POLL(0)) },
	{ "recv() waits, the peer is shut", T_CALLS,
	  SEQ(PAIR(0, 1), BLOCKING(0), BG_RECV(0, 50, 0), SHUT(1, SHUT_WR), JOIN(), POLL(0)) },
	{ "recv() waits, the peer is shut for reading", T_CALLS,
	  SEQ(PAIR(0, 1), BLOCKING(0), BG_RECV(0, 50, 0), SHUT(1, SHUT_RD), SEND(1, 3, 0),
	      JOIN(), POLL(0)) },
	{ "recv() waits, the socket is shut", T_ALL,
	  SEQ(PAIR(0, 1), BLOCKING(0), BG_RECV(0, 50, 0), SHUT(0, SHUT_RD), JOIN(), POLL(0)) },
	{ "recv() waits for everything", T_STREAM,
	  SEQ(PAIR(0, 1), BLOCKING(0), BG_RECV(0, 30, MSG_WAITALL), SEND(1, 20, 0),
	      SEND(1, 20, 0), JOIN(), INQ(0)) },
	{ "recv() waits for everything, the peer closes", T_STREAM,
	  SEQ(PAIR(0, 1), BLOCKING(0), BG_RECV(0, 30, MSG_WAITALL), SEND(1, 20, 0),
	      CLOSE(1), JOIN(), RECV(0, 5, 0)) },
	{ "recv() waits for everything, the peer closes with unread data", T_STREAM,
	  SEQ(PAIR(0, 1), SEND(0, 1, 0), BLOCKING(0), BG_RECV(0, 30, MSG_WAITALL),
	      SEND(1, 20, 0), CLOSE(1), JOIN(), RECV(0, 5, 0), RECV(0, 5, 0)) },
	{ "recv() waits for the low-water mark", T_STREAM,
	  SEQ(PAIR(0, 1), BLOCKING(0), SET(0, SO_RCVLOWAT, 25), BG_RECV(0, 50, 0),
	      SEND(1, 20, 0), SEND(1, 6, 0), JOIN()) },
	{ "recv() times out with some", T_STREAM,
	  SEQ(PAIR(0, 1), BLOCKING(0), TIMEOUT(0, SO_RCVTIMEO, 30), SEND(1, 20, 0),
	      RECV(0, 50, MSG_WAITALL), RECV(0, 50, 0)) },
	{ "recv() times out", T_ALL,
	  SEQ(PAIR(0, 1), BLOCKING(0), TIMEOUT(0, SO_RCVTIMEO, 30), RECV(0, 50, 0),
	      RECV(0, 50, MSG_PEEK), RECV(0, 0, 0), POLL(0)) },
	{ "peek waits for data", T_CALLS,
	  SEQ(PAIR(0, 1), BLOCKING(0), BG_RECV(0, 50, MSG_PEEK), SEND(1, 20, 0), JOIN(),
	      RECV(0, 50, MSG_DONTWAIT)) },
	{ "peek waits for everything", T_STREAM,
	  SEQ(PAIR(0, 1), BLOCKING(0), TIMEOUT(0, SO_RCVTIMEO, 30), SEND(1, 20, 0),
	      RECV(0, 50, MSG_PEEK | MSG_WAITALL), RECV(0, 50, 0)) },
	{ "poll() waits for data", T_ALL,
	  SEQ(PAIR(0, 1), BG_POLL_IN(0), SEND(1, 5, 0), JOIN()) },
	{ "poll() waits, the peer closes", T_CALLS,
	  SEQ(PAIR(0, 1), BG_POLL_IN(0), CLOSE(1), JOIN()) },
	{ "poll() waits, the peer closes with unread data", T_CALLS,
	  SEQ(PAIR(0, 1), SEND(0, 5, 0), BG_POLL_IN(0), CLOSE(1), JOIN()) },
	{ "poll() waits, the peer is shut", T_CALLS,
	  SEQ(PAIR(0, 1), BG_POLL_IN(0), SHUT(1, SHUT_WR), JOIN()) },
	{ "poll() waits for a call", T_CALLS,
	  SEQ(SOCKET(0), BIND(0, 'A'), LISTEN(0, 1), BG_POLL_IN(0), SOCKET(1),
	      CONNECT(1, 'A'), JOIN()) },
	{ "full, then the peer is shut", T_CALLS,
	  SEQ(PAIR(0, 1), FILL(0, 4000), POLL(0), SHUT(1, SHUT_RD), POLL(0)) },
	{ "full, then shut", T_CALLS,
	  SEQ(PAIR(0, 1), FILL(0, 4000), POLL(0), SHUT(0, SHUT_WR), POLL(0)) },
	{ "send() waits for room", T_CALLS,
	  SEQ(PAIR(0, 1), FILL(0, 4000), BLOCKING(0), BG_SEND(0, 3000, 0),
	      { OP_DRAIN, 1, 0, 4000, 1 }, JOIN(), DRAIN(1, 4000)) },
	{ "send() waits, the peer closes", T_CALLS,
	  SEQ(PAIR(0, 1), FILL(0, 4000), BLOCKING(0), BG_SEND(0, 3000, 0), CLOSE(1),
	      JOIN(), POLL(0), SOERR(0), SEND(0, 4, 0)) },
	{ "send() waits, the peer is shut", T_CALLS,
	  SEQ(PAIR(0, 1), FILL(0, 4000), BLOCKING(0), BG_SEND(0, 3000, 0), SHUT(1, SHUT_RDWR),
	      JOIN(), POLL(0), SOERR(0)) },
	{ "send() waits, the socket is shut", T_CALLS,
	  SEQ(PAIR(0, 1), FILL(0, 4000), BLOCKING(0), BG_SEND(0, 3000, 0), SHUT(0, SHUT_WR),
	      JOIN(), POLL(0)) },
	{ "send() times out", T_CALLS,
	  SEQ(PAIR(0, 1), FILL(0, 1), BLOCKING(0), TIMEOUT(0, SO_SNDTIMEO, 30), SEND(0, 3000, 0),
	      POLL(0)) },
	{ "full and empty, bytes", T_STREAM,
	  SEQ(PAIR(0, 1), SET(0, SO_SNDBUF, 20000), FILL(0, 100), POLL(0), DRAIN(1, 4096),
	      POLL(0), FILL(0, 5000), POLL(0), DRAIN(1, 100), POLL(0), SEND(0, 5, 0), OUTQ(0),
	      RECV(1, 9, 0), OUTQ(0)) },
	{ "full and empty, records", T_SEQPACKET,
	  SEQ(PAIR(0, 1), SET(0, SO_SNDBUF, 20000), FILL(0, 100), POLL(0), DRAIN(1, 4096),
	      POLL(0), FILL(0, 5000), POLL(0), DRAIN(1, 5000), POLL(0), SEND(0, 5, 0), OUTQ(0),
	      RECV(1, 9, 0), OUTQ(0)) },
	{ "half full", T_CALLS,
	  SEQ(PAIR(0, 1), SEND(0, 70000, 0), POLL(0), OUTQ(0), INQ(1), RECV(1, 70000, 0),
	      POLL(0), OUTQ(0)) },
	{ "larger and larger", T_ALL,
	  SEQ(PAIR(0, 1), SEND(0, 1, 0), SEND(0, 100, 0), SEND(0, 4095, 0), SEND(0, 4096, 0),
	      SEND(0, 4097, 0), SEND(0, 32769, 0), INQ(1), RECV(1, 1, 0), RECV(1, 100, 0),
	      RECV(1, 4095, 0), RECV(1, 4096, 0), RECV(1, 5000, 0), RECV(1, 32770, 0),
	      RECV(1, 9, 0)) },
	{ "pieces of a stream", T_STREAM,
	  SEQ(PAIR(0, 1), SEND(0, 100, 0), SEND(0, 100, 0), RECV(1, 50, 0), RECV(1, 100, MSG_PEEK),
	      RECV(1, 100, 0), RECV(1, 100, 0), INQ(1), SEND(0, 0, 0), SEND(0, 0, MSG_EOR), POLL(1),
	      { OP_WRITEV, 0, 0, 10, 11 }, { OP_READV, 1, 0, 3, 33 }, RECV(1, 99, 0)) },
	{ "pieces of a record", T_RECORDS,
	  SEQ(PAIR(0, 1), SEND(0, 100, 0), SEND(0, 200, 0), SEND(0, 0, 0), SEND(0, 300, 0),
	      INQ(1), RECV(1, 50, MSG_PEEK), RECV(1, 50, MSG_TRUNC | MSG_PEEK), RECV(1, 50, 0),
	      RECV(1, 50, MSG_TRUNC), RECV(1, 50, MSG_PEEK), RECV(1, 50, 0), RECV(1, 0, 0),
	      INQ(1), RECV(1, 9, 0), { OP_WRITEV, 0, 0, 10, 11 }, { OP_READV, 1, 0, 3, 33 },
	      INQ(1), { OP_WRITEV, 0, 0, 0, 0 }, POLL(1), { OP_READV, 1, 0, 0, 0 }, POLL(1),
	      RECV(1, 0, 0), POLL(1)) },
	{ "the end of a record", T_SEQPACKET,
	  SEQ(PAIR(0, 1), SEND(0, 10, MSG_EOR), SEND(0, 10, 0), SEND(0, 0, MSG_EOR),
	      RECV(1, 99, MSG_PEEK), RECV(1, 5, 0), RECV(1, 99, 0), RECV(1, 99, 0),
	      RECV(1, 99, 0)) },
	{ "the limit of a record", T_RECORDS,
	  SEQ(PAIR(0, 1), GET(0, SO_SNDBUF), SEND(0, 212993, 0), SEND(0, 212960, 0),
	      RECV(1, 212992, 0), SET(0, SO_SNDBUF, 30000), SEND(0, 60001, 0), POLL(0),
	      SEND(0, 59000, 0), INQ(1), RECV(1, 60000, 0)) },
	{ "an address where none is due", T_CALLS,
	  SEQ(LISTENER, PAIR(0, 1), SENDTO(0, 4, 'L'), SENDTO(0, 4, 'N'), SENDTO(0, 4, 1),
	      RECV(1, 9, 0), RECV(1, 9, 0), RECV(1, 9, 0)) },
	{ "a fault leaves nothing behind", T_ALL,
	  SEQ(PAIR(0, 1), { OP_SEND_FAULT, 0, 0, 0 }, INQ(1), POLL(1), SEND(0, 5, 0),
	      RECV(1, 9, 0)) },
	{ "a fault in a stream", T_STREAM,
	  SEQ(PAIR(0, 1), SEND(0, 5, 0), { OP_RECV_FAULT, 1, 0, 0 }, INQ(1),
	      { OP_RECV_FAULT, 1, 0, 5 }, INQ(1), SEND(0, 5, 0), { OP_RECV_FAULT, 1, 0, 2 }) },
	{ "errors come once", T_CALLS,
	  SEQ(PAIR(0, 1), SEND(1, 8, 0), SEND(0, 9, 0), CLOSE(1), POLL(0), SOERR(0), SOERR(0),
	      POLL(0), RECV(0, 20, 0), RECV(0, 20, 0), SEND(0, 1, 0), SEND(0, 1, MSG_NOSIGNAL)) },
	{ "errors come once, by recv()", T_CALLS,
	  SEQ(PAIR(0, 1), SEND(1, 8, 0), SEND(0, 9, 0), CLOSE(1), RECV(0, 4, 0), RECV(0, 20, 0),
	      RECV(0, 20, 0), RECV(0, 20, 0), SOERR(0)) },
	{ "errors come once, by peek", T_CALLS,
	  SEQ(PAIR(0, 1), SEND(0, 9, 0), CLOSE(1), RECV(0, 4, MSG_PEEK), RECV(0, 4, MSG_PEEK),
	      SOERR(0)) },
	{ "errors come once, by send()", T_CALLS,
	  SEQ(PAIR(0, 1), SEND(0, 9, 0), CLOSE(1), SEND(0, 9, 0), SEND(0, 9, 0), RECV(0, 4, 0),
	      SOERR(0)) },
	{ "errors come once, by sending nothing", T_CALLS,
	  SEQ(PAIR(0, 1), SEND(0, 9, 0), CLOSE(1), SEND(0, 0, 0), SEND(0, 0, 0), RECV(0, 4, 0),
	      SOERR(0)) },
	{ "peek with an offset", T_ALL, SEQ(PAIR(0, 1), GET(0, SO_PEEK_OFF)) },

	{ "room for control", T_ALL,
	  SEQ(PAIR(0, 1), PASSCRED(1, 1), ROOM(16), ROOM(8), ROOM(15), ROOM(17), ROOM(20),
	      ROOM(27), ROOM(28), ROOM(31), ROOM(32), ROOM(40), ROOM(47), ROOM(48), ROOM(49),
	      ROOM(51), ROOM(52), ROOM(55), ROOM(56), ROOM(57), ROOM(60), ROOM(64),
	      ROOM(ROOM_NONE), ROOM(ROOM_ZERO), ROOM(ROOM_BAD), ROOM(ROOM_FDS(0)),
	      ROOM(ROOM_FDS(1)), ROOM(ROOM_FDS(2)), ROOM(ROOM_FDS(3)), PASSCRED(1, 0),
	      ROOM(16), ROOM(15), ROOM(19), ROOM(20), ROOM(23), ROOM(24), ROOM(25), ROOM(28),
	      ROOM(ROOM_NONE), ROOM(ROOM_ZERO), ROOM(ROOM_BAD), ROOM(ROOM_FDS(1))) },
	{ "every kind of file", T_ALL,
	  SEQ(PAIR(0, 1), SENDC(0, 1, "Rnrwtpeu"), RECVC(1, 1, MSG_CMSG_CLOEXEC, 200),
	      SENDC(0, 1, "Rnrwtpeu"), RECVC(1, 1, 0, 200)) },
	{ "as many descriptors as can be", T_ALL,
	  SEQ(PAIR(0, 1), SENDC(0, 1, "Rn*253"), RECVC(1, 1, 0, 2000), SENDC(0, 1, "Rn*253"),
	      RECVC(1, 1, 0, 416), SENDC(0, 1, "Rn*200 Cmmm Rr*53"), RECVC(1, 1, 0, 2000),
	      SENDC(0, 1, "Rn*200 Rr*54"), SENDC(0, 1, "Rn*254"), SENDC(0, 1, "Rn*253 Rb"),
	      SENDC(0, 1, "Rn*253 R"), RECVC(1, 1, 0, 2000), RECVC(1, 1, 0, 2000)) },
	{ "which of several errors", T_ALL,
	  SEQ(PAIR(0, 1), SENDC(0, 1, "Rb T77"), SENDC(0, 1, "!C1mm T77"),
	      SENDC(0, 1, "T77 Rb"), SENDC(0, 1, "Czmm Rb"), SENDC(0, 1, "Rn*254 Rb")) },
	{ "descriptors in a stream", T_STREAM,
	  SEQ(PAIR(0, 1), SEND(0, 10, 0), SENDC(0, 10, "Rn"), SEND(0, 10, 0),
	      RECV(1, 5, 0), RECV(1, 100, 0), SENDC(0, 10, "Rw"), RECV(1, 100, 0),
	      RECV(1, 4, 0), RECV(1, 100, 0), SENDC(0, 10, "Rn"), SENDC(0, 10, "Rt"),
	      SEND(0, 5, 0), RECV(1, 3, 0), RECV(1, 8, 0), RECV(1, 100, 0), RECV(1, 100, 0)) },
	{ "peeking at descriptors in a stream", T_STREAM,
	  SEQ(PAIR(0, 1), SEND(0, 10, 0), SENDC(0, 10, "Rn"), SEND(0, 10, 0),
	      RECV(1, 5, MSG_PEEK), RECV(1, 100, MSG_PEEK), RECV(1, 15, 0),
	      RECV(1, 100, MSG_PEEK), RECV(1, 100, 0), RECV(1, 100, 0)) },
	{ "waiting for all, with descriptors between", T_STREAM,
	  SEQ(PAIR(0, 1), SEND(0, 10, 0), SENDC(0, 10, "Rn"), SEND(0, 10, 0),
	      RECV(1, 100, MSG_WAITALL), RECV(1, 100, MSG_WAITALL), BLOCKING(1),
	      BG_RECV(1, 30, MSG_WAITALL), SEND(0, 10, 0), SENDC(0, 10, "Rn"), JOIN(),
	      SEND(0, 10, 0), RECV(1, 50, 0)) },
	{ "descriptors in a long message", T_STREAM,
	  SEQ(PAIR(0, 1), SENDC(0, 100000, "Rn"), RECV(1, 100000, 0)) },
	{ "a long message in pieces", T_RECORDS,
	  SEQ(PAIR(0, 1), SENDC(0, 100000, "Rn"), RECV(1, 100000, MSG_PEEK),
	      RECV(1, 100, 0), RECV(1, 100, 0)) },
	{ "descriptors read without control", T_ALL,
	  SEQ(PAIR(0, 1), SENDC(0, 10, "Rn"), { OP_READV, 1, 0, 2, 3 }, SENDC(0, 10, "Rn"),
	      { OP_READV, 1, 0, 9, 9 }, RECV(1, 100, 0), SEND(0, 5, 0), SENDC(0, 10, "Rn"),
	      DRAIN(1, 8), RECV(1, 100, 0)) },
	{ "descriptors and splice()", T_STREAM,
	  SEQ(PAIR(0, 1), SENDC(0, 10, "Rn"), { OP_SPLICE_OUT, 1, 0, 4 }, RECV(1, 100, 0),
	      SEND(0, 5, 0), SENDC(0, 10, "Rn"), SEND(0, 5, 0), { OP_SPLICE_OUT, 1, 0, 100 },
	      RECV(1, 100, 0)) },
	{ "a fault keeps the descriptors", T_STREAM,
	  SEQ(PAIR(0, 1), SENDC(0, 10, "Rn"), { OP_RECV_FAULT, 1, 0, 0 }, RECV(1, 100, 0)) },
	{ "descriptors that cannot be sent", T_ALL,
	  SEQ(PAIR(0, 1), FILL(0, 1), SENDC(0, 5, "Rn"), DRAIN(1, 4000), RECV(1, 9, 0),
	      SHUT(1, SHUT_RD), SENDC(0, 5, "Rn"), SENDC(0, 0, "Rn"), SHUT(0, SHUT_WR),
	      SENDC(0, 5, "Rn")) },
	{ "descriptors to who wants none, full", T_ALL,
	  SEQ(PAIR(0, 1), PASSRIGHTS(1, 0), FILL(0, 1), SENDC(0, 5, "Rn")) },
	{ "descriptors to who wants none, shut", T_ALL,
	  SEQ(PAIR(0, 1), PASSRIGHTS(1, 0), SHUT(0, SHUT_WR), SENDC(0, 5, "Rn")) },
	{ "descriptors to who wants none, bad", T_ALL,
	  SEQ(PAIR(0, 1), PASSRIGHTS(1, 0), SENDC(0, 5, "Rb"), SENDC(0, 5, "R"),
	      RECV(1, 9, 0)) },
	{ "descriptors are not wanted any more", T_ALL,
	  SEQ(PAIR(0, 1), PASSCRED(1, 1), SENDC(0, 5, "Rn"), PASSRIGHTS(1, 0), RECV(1, 9, 0),
	      PASSRIGHTS(1, 1), SENDC(0, 5, "Rn"), RECV(1, 9, 0)) },
	{ "descriptors for who accepts", T_CALLS,
	  SEQ(LISTENER, SOCKET(0), CONNECT(0, 'L'), SENDC(0, 5, "Rn"), PASSRIGHTS(2, 0),
	      ACCEPT(2, 1), RECV(1, 9, 0), SENDC(0, 5, "Rn")) },
	{ "a socket goes along", T_ALL,
	  SEQ(PAIR(0, 1), PAIR(2, 3), SEND(2, 7, 0), SENDC(0, 1, "R3"), CLOSE(3), POLL(2),
	      SEND(2, 8, 0), RECV_FD(1, 4), RECV(4, 9, 0), RECV(4, 9, 0), SEND(4, 5, 0),
	      RECV(2, 9, 0), NAME(4), PEER(4), CLOSE(4), POLL(2), RECV(2, 9, 0)) },
	{ "a socket goes along and is never received", T_ALL,
	  SEQ(PAIR(0, 1), PAIR(2, 3), SENDC(0, 1, "R3"), CLOSE(3), POLL(2), CLOSE(1),
	      POLL(2), SEND(2, 8, 0), RECV(2, 9, 0)) },
	{ "a socket goes along and is read away", T_ALL,
	  SEQ(PAIR(0, 1), PAIR(2, 3), SENDC(0, 1, "R3"), CLOSE(3),
	      { OP_READV, 1, 0, 2, 2 }, POLL(2), SEND(2, 8, 0), RECV(2, 9, 0)) },
	{ "a listener goes along", T_CALLS,
	  SEQ(PAIR(0, 1), LISTENER, SENDC(0, 1, "R2"), CLOSE(2), SOCKET(3), CONNECT(3, 'L'),
	      SEND(3, 5, 0), RECV_FD(1, 4), ACCEPT(4, 5), RECV(5, 9, 0), CLOSE(4),
	      SOCKET(6), CONNECT(6, 'L')) },
	{ "a listener goes along and is never received", T_CALLS,
	  SEQ(PAIR(0, 1), LISTENER, SENDC(0, 1, "R2"), CLOSE(2), SOCKET(3), CONNECT(3, 'L'),
	      CLOSE(0), CLOSE(1), POLL(3), SOERR(3), SOCKET(6), CONNECT(6, 'L')) },
	{ "circles: itself", T_ALL, SEQ(PAIR(0, 1), SENDC(0, 1, "Rn1")) },
	{ "circles: the other end", T_ALL,
	  SEQ(PAIR(0, 1), SENDC(0, 1, "R0"), SENDC(1, 1, "Rn"), SENDC(1, 1, "R1")) },
	{ "circles: one that carries", T_ALL,
	  SEQ(PAIR(0, 1), PAIR(2, 3), PAIR(4, 5), SENDC(0, 1, "R2"), SENDC(4, 1, "R1")) },
	{ "circles: to one under way", T_ALL,
	  SEQ(PAIR(0, 1), PAIR(2, 3), PAIR(4, 5), SENDC(0, 1, "R2"), SENDC(3, 1, "Rn"),
	      SENDC(3, 1, "R4")) },
	{ "circles: over again when received", T_ALL,
	  SEQ(PAIR(0, 1), PAIR(2, 3), PAIR(4, 5), SENDC(0, 1, "R2"), RECV_FD(1, 6),
	      SENDC(3, 1, "R4"), RECV_FD(6, 7), SENDC(4, 1, "R1"), RECV(5, 9, 0)) },
	{ "circles: a listener", T_CALLS,
	  SEQ(LISTENER, SOCKET(0), CONNECT(0, 'L'), SENDC(0, 1, "R2")) },
	{ "circles: a caller", T_CALLS,
	  SEQ(LISTENER, SOCKET(0), CONNECT(0, 'L'), PAIR(3, 4), SENDC(0, 1, "R3"),
	      SENDC(3, 1, "R2")) },
	{ "circles: over when accepted and received", T_CALLS,
	  SEQ(LISTENER, SOCKET(0), CONNECT(0, 'L'), PAIR(3, 4), SENDC(0, 1, "R3"),
	      ACCEPT(2, 1), RECV_FD(1, 5), SENDC(3, 1, "R2"), RECV_FD(4, 6), ACCEPT(6, 7)) },
	{ "as many descriptors as somebody may have", T_RECORDS,
	  SEQ(PAIR(0, 1), { OP_FLOOD, 0, 0, 5, 20 }) },
	{ "credentials of other processes", T_ALL,
	  SEQ(PAIR(0, 1), PASSCRED(1, 1), SEND(0, 5, 0), SEND_CHILD(0, 6, 0),
	      SEND_CHILD(0, 7, NYM_NOBODY), SEND(0, 8, 0), RECV(1, 100, MSG_PEEK),
	      RECV(1, 100, 0), RECV(1, 100, 0), RECV(1, 100, 0), RECV(1, 100, 0)) },
	{ "credentials do not glue", T_STREAM,
	  SEQ(PAIR(0, 1), PASSCRED(1, 1), SEND(0, 5, 0), SENDC(0, 5, "Cmmm"), SEND(0, 5, 0),
	      SENDC(0, 5, "C1mm"), SENDC(0, 5, "C1mm"), SENDC(0, 5, "Cm1m"),
	      SENDC(0, 5, "Cmm1"), SEND(0, 5, 0), RECV(1, 100, MSG_PEEK), RECV(1, 100, 0),
	      RECV(1, 8, 0), RECV(1, 100, MSG_WAITALL), RECV(1, 100, 0), RECV(1, 100, 0),
	      RECV(1, 100, 0), RECV(1, 100, 0)) },
	{ "credentials glue if nobody asks", T_STREAM,
	  SEQ(PAIR(0, 1), SEND(0, 5, 0), SENDC(0, 5, "C1mm"), SENDC(0, 5, "Cm1m"),
	      SEND_CHILD(0, 6, NYM_NOBODY), RECV(1, 100, 0)) },
	{ "credentials, asked for by the sender", T_ALL,
	  SEQ(PAIR(0, 1), PASSCRED(0, 1), SEND(0, 5, 0), PASSCRED(0, 0), SEND(0, 6, 0),
	      PASSCRED(1, 1), RECV(1, 100, 0), RECV(1, 100, 0)) },
	{ "credentials, asked for and not any more", T_ALL,
	  SEQ(PAIR(0, 1), PASSCRED(1, 1), SEND(0, 5, 0), PASSCRED(1, 0), RECV(1, 100, 0),
	      SEND(0, 5, 0), PASSCRED(1, 1), RECV(1, 100, 0)) },
	{ "credentials before accept()", T_CALLS,
	  SEQ(LISTENER, SOCKET(0), CONNECT(0, 'L'), SEND(0, 5, 0), SEND_CHILD(0, 6, NYM_NOBODY),
	      ACCEPT(2, 1), SEND(0, 7, 0), PASSCRED(1, 1), RECV(1, 100, 0), RECV(1, 100, 0),
	      RECV(1, 100, 0)) },
	{ "credentials, inherited", T_CALLS,
	  SEQ(LISTENER, PASSCRED(2, 1), SOCKET(0), CONNECT(0, 'L'), ACCEPT(2, 1),
	      GET(1, SO_PASSCRED), PASSCRED(2, 0), GET(1, SO_PASSCRED), SEND(0, 5, 0),
	      RECV(1, 9, 0)) },
	{ "credentials and an end", T_ALL,
	  SEQ(PAIR(0, 1), PASSCRED(1, 1), SHUT(0, SHUT_WR), RECV(1, 9, 0), CLOSE(0),
	      RECV(1, 9, 0)) },
	{ "credentials while waiting", T_ALL,
	  SEQ(PAIR(0, 1), PASSCRED(1, 1), BLOCKING(1), BG_RECV(1, 20, 0), SENDC(0, 5, "Cm1m Rn"),
	      JOIN()) },
	{ "ask for credentials, refused, bound", T_ALL,
	  SEQ(SOCKET(0), PASSCRED(0, 1), CONNECT(0, 'N'), BIND(0, 'A')) },
	{ "ask for credentials, refused, bound to some name", T_ALL,
	  SEQ(SOCKET(0), PASSCRED(0, 1), CONNECT(0, 'N'), BIND_ANY(0), BIND(0, 'A'), NAME(0)) },
	{ "ask for credentials, bound, refused", T_ALL,
	  SEQ(SOCKET(0), PASSCRED(0, 1), BIND(0, 'A'), CONNECT(0, 'N'), NAME(0)) },
	{ "ask for credentials, refused, listening", T_CALLS,
	  SEQ(SOCKET(0), PASSCRED(0, 1), CONNECT(0, 'N'), LISTEN(0, 1)) },
	{ "ask for credentials, refused, called", T_CALLS,
	  SEQ(SOCKET(0), PASSCRED(0, 1), CONNECT(0, 'N'), SOCKET(1), CONNECT(1, 0)) },
	{ "time stamps", T_DGRAM,
	  SEQ(PAIR(0, 1), SEND(0, 5, 0), SET(1, SO_TIMESTAMP, 1), RECV(1, 9, 0), SEND(0, 5, 0),
	      RECV(1, 9, MSG_PEEK), RECVC(1, 9, 0, 20), SET(1, SO_TIMESTAMPNS, 1),
	      SENDC(0, 5, "Rn"), PASSCRED(1, 1), RECVC(1, 9, 0, 100), SET(1, SO_TIMESTAMPNS, 0),
	      SEND(0, 5, 0), RECVC(1, 9, 0, 100), SET(1, SO_TIMESTAMP_NEW, 1), SEND(0, 5, 0),
	      RECVC(1, 9, 0, 100), SET(1, SO_TIMESTAMPNS_NEW, 1), SEND(0, 5, 0),
	      RECVC(1, 9, 0, 100), SEND(0, 5, 0), RECVC(1, 9, 0, ROOM_NONE)) },

	{ "datagrams: who sent it", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND(1, 'B'), SENDTO(1, 5, 'A'),
	      SENDTO(1, 0, 'A'), RECV(0, 9, MSG_PEEK), RECV(0, 9, 0), RECV(0, 9, 0),
	      RECV(0, 9, 0), SENDTO(0, 3, 1), RECV(1, 9, 0)) },
	{ "datagrams: after the server restarted", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND(1, 'B'), CONNECT(1, 'A'), SEND(1, 5, 0),
	      CLOSE(0), SOCKET(0), BIND(0, 'A'), SENDTO(1, 5, 'A'), RECV(0, 9, 0)) },
	{ "datagrams: only from the one connected to", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND(1, 'B'), SOCKET(2), BIND(2, 'C'),
	      CONNECT(0, 'B'), SENDTO(1, 5, 'A'), SENDTO(2, 6, 'A'), CONNECT(2, 'A'),
	      RECV(0, 9, 0), RECV(0, 9, 0), POLL(2), UNCONNECT(0), CONNECT(2, 'A'),
	      SEND(2, 6, 0), RECV(0, 9, 0), PEER(2)) },
	{ "datagrams: what was queued before connect()", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND(1, 'B'), SOCKET(2), BIND(2, 'C'),
	      SENDTO(2, 6, 'A'), CONNECT(0, 'B'), RECV(0, 9, 0), RECV(0, 9, 0)) },
	{ "datagrams: connect() again", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND(1, 'B'), SOCKET(2), CONNECT(2, 'A'),
	      PEER(2), SEND(2, 4, 0), CONNECT(2, 'B'), PEER(2), SEND(2, 5, 0), CONNECT(2, 'N'),
	      PEER(2), UNCONNECT(2), PEER(2), SEND(2, 6, 0), RECV(0, 9, 0), RECV(1, 9, 0)) },
	{ "datagrams: no calls", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), LISTEN(0, 5), ACCEPT(0, 1), PAIR(2, 3), LISTEN(2, 5),
	      ACCEPT(2, 4)) },
	{ "datagrams: an address that the kernel chose", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND_ANY(1), SENDTO(1, 5, 'A'),
	      RECV(0, 9, 0), SENDTO(0, 6, 1), RECV(1, 9, 0), CONNECT(0, 1), PEER(0),
	      SEND(0, 7, 0), RECV(1, 9, 0)) },
	{ "datagrams: sent, then bound", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), NAME(1), SENDTO(1, 5, 'A'), NAME(1),
	      RECV(0, 9, 0), BIND(1, 'B')) },
	{ "datagrams: sent and bound to some name", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), SENDTO(1, 5, 'A'), BIND_ANY(1)) },
	{ "datagrams: connect() that failed, then bound", T_DGRAM,
	  SEQ(SOCKET(1), CONNECT(1, 'N'), NAME(1), BIND(1, 'B'), NAME(1)) },
	{ "datagrams: the peer dies", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND(1, 'B'), CONNECT(1, 'A'), CLOSE(0),
	      PEER(1), POLL(1), SEND(1, 5, 0), PEER(1), POLL(1), SOERR(1), SEND(1, 5, 0),
	      SEND(1, 0, 0), UNCONNECT(1), SEND(1, 5, 0), PEER(1)) },
	{ "datagrams: the peer dies, sent to", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND(1, 'B'), CONNECT(1, 'A'), CLOSE(0),
	      SENDTO(1, 5, 'A'), PEER(1), POLL(1), SEND(1, 5, 0), PEER(1)) },
	{ "datagrams: the peer dies, then another connect()", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND(1, 'B'), CONNECT(1, 'A'), CLOSE(0),
	      SEND(1, 5, 0), SOCKET(2), BIND(2, 'C'), CONNECT(1, 'C'), PEER(1), SEND(1, 5, 0),
	      RECV(2, 9, 0)) },
	{ "datagrams: the peer dies after it sent", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND(1, 'B'), CONNECT(1, 'A'),
	      SENDTO(0, 5, 'B'), SENDTO(0, 6, 'B'), CLOSE(0), POLL(1), RECV(1, 9, 0),
	      SEND(1, 5, 0)) },
	{ "datagrams: the peer restarts", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND(1, 'B'), CONNECT(1, 'A'), CLOSE(0),
	      SOCKET(0), BIND(0, 'A'), PEER(1), POLL(1), SEND(1, 5, 0)) },
	{ "datagrams: the peer restarts, connect() again", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND(1, 'B'), CONNECT(1, 'A'), CLOSE(0),
	      SOCKET(0), BIND(0, 'A'), CONNECT(1, 'A'), SEND(1, 5, 0), RECV(0, 9, 0),
	      SENDTO(0, 4, 'B'), RECV(1, 9, 0)) },
	{ "datagrams: the peer sent and restarts, connect() again", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND(1, 'B'), CONNECT(1, 'A'),
	      SENDTO(0, 5, 'B'), CLOSE(0), SOCKET(0), BIND(0, 'A'), CONNECT(1, 'A')) },
	{ "datagrams: the peer restarts and sends", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND(1, 'B'), CONNECT(1, 'A'), CLOSE(0),
	      SOCKET(0), BIND(0, 'A'), SENDTO(0, 5, 'B')) },
	{ "datagrams: the peer restarts and connects", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND(1, 'B'), CONNECT(1, 'A'), CLOSE(0),
	      SOCKET(0), BIND(0, 'A'), CONNECT(0, 'B')) },
	{ "datagrams: the peer was found gone, restarts and sends", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND(1, 'B'), CONNECT(1, 'A'), CLOSE(0),
	      SEND(1, 5, 0), SOCKET(0), BIND(0, 'A'), SENDTO(0, 5, 'B'), RECV(1, 9, 0),
	      SENDTO(0, 6, 'B'), SOCKET(2), BIND(2, 'C'), CONNECT(1, 'C')) },
	{ "datagrams: the peer was found gone, another sends", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND(1, 'B'), CONNECT(1, 'A'), CLOSE(0),
	      SEND(1, 5, 0), SOCKET(2), SENDTO(2, 5, 'B')) },
	{ "datagrams: both connected, one connects elsewhere", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND(1, 'B'), SOCKET(2), BIND(2, 'C'),
	      CONNECT(0, 'B'), CONNECT(1, 'A'), SEND(0, 5, 0), CONNECT(1, 'C'), POLL(0),
	      SOERR(0), SOERR(0), SEND(0, 5, 0), CONNECT(1, 'A'), SEND(1, 4, 0),
	      UNCONNECT(0), POLL(1), SEND(1, 4, 0), SEND(1, 4, 0), RECV(0, 9, 0)) },
	{ "datagrams: an error for recv()", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND(1, 'B'), CONNECT(0, 'B'),
	      CONNECT(1, 'A'), SEND(0, 5, 0), SEND(1, 6, 0), UNCONNECT(1), RECV(0, 9, MSG_PEEK),
	      RECV(0, 9, 0), RECV(0, 9, 0)) },
	{ "datagrams: to a peer that is connected elsewhere", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND(1, 'B'), SOCKET(2), BIND(2, 'C'),
	      CONNECT(2, 'A'), CONNECT(0, 'B'), SEND(2, 5, 0), POLL(2), PEER(2), UNCONNECT(0),
	      SEND(2, 5, 0), RECV(0, 9, 0)) },
	{ "datagrams: to oneself", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), CONNECT(0, 'A'), SEND(0, 5, 0), POLL(0), RECV(0, 9, 0),
	      SOCKET(1), SENDTO(1, 5, 'A'), CONNECT(1, 'A'), UNCONNECT(0), SENDTO(0, 6, 'A'),
	      RECV(0, 9, 0)) },
	{ "datagrams: of another type", T_DGRAM,
	  SEQ(SOCKET_OF(0, SOCK_STREAM, 0), BIND(0, 'P'), SOCKET(1), CONNECT(1, 'P'),
	      SENDTO(1, 5, 'P'), PAIR(2, 3), SENDTO(2, 5, 'P'), CONNECT(2, 'P'), PEER(2),
	      FORGET('P')) },
	{ "datagrams: of another type, abstract", T_DGRAM,
	  SEQ(SOCKET_OF(0, SOCK_SEQPACKET, 0), BIND(0, 'A'), SOCKET(1), SENDTO(1, 5, 'A')) },
	{ "datagrams: paths", T_DGRAM,
	  SEQ(SOCKET(0), SENDTO(0, 5, 'P'), CONNECT(0, 'P'), SOCKET(1), BIND(1, 'P'),
	      SENDTO(0, 5, 'P'), RECV(1, 9, 0), CONNECT(0, 'P'), PEER(0), CLOSE(1),
	      SEND(0, 5, 0), SENDTO(0, 5, 'P'), FORGET('P')) },
	{ "datagrams: raw", T_DGRAM,
	  SEQ(SOCKET_OF(0, SOCK_RAW, 0), GET(0, SO_TYPE), BIND(0, 'A'), SOCKET(1),
	      SENDTO(1, 5, 'A'), RECV(0, 9, 0)) },
	{ "datagrams: more than ten", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND(1, 'B'), CONNECT(1, 'A'), TEN(1),
	      POLL(1), SEND(1, 1, 0), POLL(1), SEND(1, 1, 0)) },
	{ "datagrams: more than ten, to and fro", T_DGRAM,
	  SEQ(PAIR(0, 1), TEN(0), TEN(0), TEN(1), POLL(0), POLL(1), DRAIN(1, 4), DRAIN(0, 4),
	      POLL(0), OUTQ(0)) },
	{ "datagrams: half of it is enough for one", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), CONNECT(1, 'A'), SEND(1, 60000, 0),
	      POLL(1), OUTQ(1), INQ(0), SEND(1, 60000, 0)) },
	{ "datagrams: large ones", T_DGRAM,
	  SEQ(PAIR(0, 1), SEND(0, 100000, 0), POLL(0), OUTQ(0), SEND(0, 90000, 0), POLL(0),
	      INQ(1), RECV(1, 100000, 0), RECV(1, 90000, 0), POLL(0), OUTQ(0)) },
	{ "datagrams: full, connected", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND(1, 'B'), CONNECT(1, 'A'),
	      FILL(1, 3000), POLL(1), SEND(1, 5, 0), DRAIN(0, 3000), POLL(1), SEND(1, 5, 0),
	      RECV(0, 9, 0)) },
	{ "datagrams: full, one reads", T_DGRAM,
	  SEQ(PAIR(0, 1), FILL(0, 3000), POLL(0), RECV(1, 3000, 0), POLL(0), DRAIN(1, 3000)) },
	{ "datagrams: full, the receiver dies", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND(1, 'B'), CONNECT(1, 'A'),
	      FILL(1, 3000), CLOSE(0), POLL(1), SEND(1, 5, 0), POLL(1)) },
	{ "datagrams: full, elsewhere there is room", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND(1, 'B'), CONNECT(1, 'A'),
	      FILL(1, 1), SOCKET(2), BIND(2, 'C'), CONNECT(1, 'C'), POLL(1), DRAIN(0, 9),
	      POLL(1)) },
	{ "datagrams: send() waits for room", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND(1, 'B'), CONNECT(1, 'A'),
	      FILL(1, 3000), BLOCKING(1), BG_SEND(1, 3000, 0), { OP_DRAIN, 0, 0, 3000, 1 },
	      JOIN(), DRAIN(0, 3000)) },
	{ "datagrams: send() waits in a pair", T_DGRAM,
	  SEQ(PAIR(0, 1), FILL(0, 3000), BLOCKING(0), BG_SEND(0, 3000, 0),
	      { OP_DRAIN, 1, 0, 3000, 1 }, JOIN(), DRAIN(1, 3000)) },
	{ "datagrams: send() waits, the receiver dies", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND(1, 'B'), CONNECT(1, 'A'),
	      FILL(1, 3000), BLOCKING(1), BG_SEND(1, 3000, 0), CLOSE(0), JOIN(), POLL(1)) },
	{ "datagrams: send() waits, the receiver is shut", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND(1, 'B'), CONNECT(1, 'A'),
	      FILL(1, 3000), BLOCKING(1), BG_SEND(1, 3000, 0), SHUT(0, SHUT_RD), WOKEN(),
	      { OP_DRAIN, 0, 0, 3000, 1 }, JOIN(), POLL(1)) },
	{ "datagrams: send() waits, the socket is shut", T_DGRAM,
	  SEQ(PAIR(0, 1), FILL(0, 3000), BLOCKING(0), BG_SEND(0, 3000, 0), SHUT(0, SHUT_WR),
	      JOIN(), POLL(0)) },
	{ "datagrams: send() waits, the receiver connects elsewhere", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND(1, 'B'), CONNECT(1, 'A'), SOCKET(2),
	      BIND(2, 'C'), FILL(1, 3000), BLOCKING(1), BG_SEND(1, 3000, 0), CONNECT(0, 'C'),
	      WOKEN(), { OP_DRAIN, 0, 0, 3000, 1 }, JOIN()) },
	{ "datagrams: send() waits, the socket connects elsewhere", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND(1, 'B'), CONNECT(1, 'A'), SOCKET(2),
	      BIND(2, 'C'), FILL(1, 3000), BLOCKING(1), BG_SEND(1, 3000, 0), CONNECT(1, 'C'),
	      WOKEN()) },
	{ "datagrams: send() times out", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND(1, 'B'), CONNECT(1, 'A'),
	      FILL(1, 1), BLOCKING(1), TIMEOUT(1, SO_SNDTIMEO, 30), SEND(1, 3000, 0), POLL(1)) },
	{ "datagrams: recv() waits", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), BLOCKING(0), BG_RECV(0, 50, 0), SOCKET(1),
	      BIND(1, 'B'), SENDTO(1, 20, 'A'), JOIN(), POLL(0), BG_RECV(0, 50, MSG_PEEK),
	      SENDTO(1, 30, 'A'), JOIN(), INQ(0), RECV(0, 50, 0)) },
	{ "datagrams: recv() waits, an error comes", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND(1, 'B'), CONNECT(0, 'B'),
	      CONNECT(1, 'A'), SEND(0, 5, 0), BLOCKING(0), BG_RECV(0, 50, 0), UNCONNECT(1),
	      JOIN(), POLL(0)) },
	{ "datagrams: recv() waits, the peer closes", T_DGRAM,
	  SEQ(PAIR(0, 1), BLOCKING(0), BG_RECV(0, 50, 0), CLOSE(1), SHUT(0, SHUT_RD), JOIN()) },
	{ "datagrams: descriptors for a name", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND(1, 'B'), SENDCTO(1, 5, "Rnw", 'A'),
	      SENDCTO(1, 0, "Rr", 'A'), RECV(0, 9, 0), RECV(0, 9, 0), SENDCTO(1, 5, "Rn", 'N'),
	      SENDCTO(1, 5, "R0", 'A')) },
	{ "datagrams: descriptors for a name that wants none", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), PASSRIGHTS(0, 0), SOCKET(1), BIND(1, 'B'),
	      SENDCTO(1, 5, "R", 'A'), RECV(0, 9, 0), SENDCTO(1, 5, "Rn", 'A')) },
	{ "datagrams: credentials and names", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), PASSCRED(0, 1), SOCKET(1), PASSCRED(1, 1),
	      SENDTO(1, 5, 'A'), NAME(1), RECV(0, 9, 0), SENDTO(0, 6, 1), RECV(1, 9, 0),
	      BIND(1, 'B')) },
	{ "datagrams: credentials and connect()", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), PASSCRED(1, 1), CONNECT(1, 'A'), NAME(1),
	      SEND(1, 5, 0), RECV(0, 9, 0), CONNECT(0, 1), SEND(0, 5, 0), RECV(1, 9, 0)) },
	{ "datagrams: reconnecting drops descriptors", T_DGRAM,
	  SEQ(SOCKET(0), BIND(0, 'A'), SOCKET(1), BIND(1, 'B'), PAIR(2, 3), CONNECT(0, 'B'),
	      SENDCTO(1, 5, "R3", 'A'), CLOSE(3), UNCONNECT(0), SEND(2, 5, 0), RECV(0, 9, 0)) },
	{ "datagrams: shut", T_DGRAM,
	  SEQ(PAIR(0, 1), SHUT(1, SHUT_RD), SEND(0, 5, 0), POLL(0), POLL(1), RECV(1, 9, 0),
	      SHUT(0, SHUT_WR), SEND(0, 5, 0), SEND(1, 5, 0), RECV(0, 9, 0), SHUT(0, SHUT_RD),
	      RECV(0, 9, 0), POLL(0)) },
};

/* Running them */

/* One bug differs in many states; to see it a few times is enough. */
#define SHOW_MAX	2

struct run {
	struct pair_of_worlds p;
	const char *name[2];
	long step;
	bool bad;
	bool over;
};

static bool run_shown_before(const struct step *st, const struct result *u,
			     const struct result *n)
{
	long key[] = {
		st->op, u->ret, u->err, n->ret, n->err, u->addr, n->addr, u->poll,
		n->poll, u->signals, n->signals, u->flags, n->flags,
	};
	unsigned int hash = contract_hash((unsigned char *)key, sizeof(key)), i, hits = 0;

	for (i = 0; i < shared->nshown && i < ARRAY_SIZE(shared->shown); i++)
		hits += shared->shown[i] == hash;
	i = hits < SHOW_MAX ? __atomic_fetch_add(&shared->nshown, 1, __ATOMIC_RELAXED) : i;
	if (hits >= SHOW_MAX || i >= ARRAY_SIZE(shared->shown))
		return true;
	shared->shown[i] = hash;
	return false;
}

static void run_show(struct run *r, const struct step *st, const struct result *u,
		     const struct result *n)
{
	r->bad = true;
	if (run_shown_before(st, u, n))
		return;
	printf("# %s: %s; %s; step %ld\n", type_name(r->p.u.type), r->name[0], r->name[1],
	       r->step);
	trace_print(st, u, n);
	fflush(stdout);
}

/* Returns at the end of the sequence, or where the worlds part. */
static void run_steps(struct run *r, const struct step *st)
{
	struct result u, n;

	for (; st->op != OP_END && !r->over; st++, r->step++) {
		enum verdict verdict = worlds_step(&r->p, st, &u, &n, true);

		__atomic_add_fetch(&shared->comparisons, 1, __ATOMIC_RELAXED);
		if (verdict == DIFFERENT)
			run_show(r, st, &u, &n);
		r->over = verdict == PARTED || verdict == DIFFERENT;
	}
}

static bool run_sequence(int type, const struct sequence *state,
			 const struct sequence *probe)
{
	struct run r = { .name = { state->name, probe ? probe->name : "" } };

	worlds_init(&r.p, type);
	run_steps(&r, state->steps);
	if (probe) {
		r.step = 0;
		run_steps(&r, probe->steps);
		r.step = 100;
		run_steps(&r, look);
	}
	world_forget(&r.p.u, 'P');
	worlds_reset(&r.p);
	return !r.bad;
}

FIXTURE(hand_written) { };

FIXTURE_VARIANT(hand_written) {
	int type;
};

FIXTURE_VARIANT_ADD(hand_written, stream) { .type = SOCK_STREAM };
FIXTURE_VARIANT_ADD(hand_written, seqpacket) { .type = SOCK_SEQPACKET };
FIXTURE_VARIANT_ADD(hand_written, dgram) { .type = SOCK_DGRAM };

#define SKIP_WITHOUT_TYPE(_type) do { \
	int __fd = socket(family_n, (_type) | SOCK_CLOEXEC, 0); \
	if (__fd < 0 && (errno == ESOCKTNOSUPPORT || errno == EAFNOSUPPORT)) \
		SKIP(return, "no such socket: %s", strerrorname_np(errno)); \
	ASSERT_FD(__fd); \
	close(__fd); \
} while (0)

FIXTURE_SETUP(hand_written)
{
	SKIP_WITHOUT_TYPE(variant->type);
}

FIXTURE_TEARDOWN(hand_written) { }

#define WORKERS		2

/*
 * Every WORKERS-th state, from the @first; how many sequences went wrong. Where
 * all is slow, only some of the pairs are tried.
 */
static long run_product(int type, size_t first)
{
	int bit = type_bit(type), slower = nym_slower();
	long bad = 0;
	size_t i, j;

	for (i = first; i < ARRAY_SIZE(states); i += WORKERS) {
		for (j = 0; j < ARRAY_SIZE(probes); j++) {
			if (states[i].types & probes[j].types & bit &&
			    (i + j) % slower == 0)
				bad += !run_sequence(type, &states[i], &probes[j]);
		}
	}
	return bad;
}

TEST_F(hand_written, every_probe_in_every_state)
{
	pid_t pids[WORKERS];
	int i;

	shared->ran[type_bit(variant->type)] |= 1;
	for (i = 0; i < WORKERS; i++) {
		pids[i] = fork();
		ASSERT_LE(0, pids[i]);
		if (!pids[i])
			_exit(!!run_product(variant->type, i));
	}
	for (i = 0; i < WORKERS; i++)
		EXPECT_EQ(0, nym_wait_child(pids[i]));
}

TEST_F(hand_written, scenarios)
{
	int bit = type_bit(variant->type), types;
	long bad = 0;
	size_t i;

	shared->ran[bit] |= 2;
	for (i = 0; i < ARRAY_SIZE(scenarios); i++) {
		types = scenarios[i].types;
		/* Where all is slow, with the first of its types only. */
		if (types & bit && (nym_slower() == 1 || !(types & (bit - 1))))
			bad += !run_sequence(variant->type, &scenarios[i], NULL);
	}
	EXPECT_EQ(0, bad);
}

/* The random walk */

#define WALKERS		4
#define WALK_MS		2000
#define WALK_LIFE	150	/* steps until the sockets are all closed */
#define WALK_SLOTS	6
#define WALK_TRACE	20
/* Above this, AF_UNIX and nym disagree about what is full; see the table. */
#define WALK_QUEUE	30000

struct walker {
	struct pair_of_worlds p;
	unsigned long long rnd;
	unsigned long seed;
	long steps;
	long life;		/* steps since the sockets were all closed */
	struct step past[WALK_LIFE];
	struct result past_u[WALK_LIFE];
	struct result past_n[WALK_LIFE];
};

static unsigned int walk_random(struct walker *w, unsigned int n)
{
	w->rnd = w->rnd * 6364136223846793005ULL + 1442695040888963407ULL;
	return (w->rnd >> 33) % n;
}

/* How often each call is made, by type. */
static const struct {
	enum op op;
	int types;
	int weight;
} walk_ops[] = {
	{ OP_SOCKET, T_ALL, 8 },
	{ OP_PAIR, T_ALL, 4 },
	{ OP_CLOSE, T_ALL, 5 },
	{ OP_BIND, T_ALL, 8 },
	{ OP_BIND_ANY, T_ALL, 1 },
	{ OP_LISTEN, T_ALL, 7 },
	{ OP_CONNECT, T_ALL, 14 },
	{ OP_UNCONNECT, T_DGRAM, 2 },
	{ OP_ACCEPT, T_CALLS, 12 },
	{ OP_SEND, T_ALL, 24 },
	{ OP_SENDTO, T_ALL, 2 },
	{ OP_SENDTO, T_DGRAM, 12 },
	{ OP_SEND_CONTROL, T_ALL, 8 },
	{ OP_WRITEV, T_ALL, 4 },
	{ OP_RECV, T_ALL, 24 },
	{ OP_RECV_FD, T_ALL, 1 },
	{ OP_READV, T_ALL, 4 },
	{ OP_POLL, T_ALL, 4 },
	{ OP_SHUTDOWN, T_ALL, 3 },
	{ OP_NAME, T_ALL, 3 },
	{ OP_PEER, T_ALL, 3 },
	{ OP_INQ, T_ALL, 3 },
	{ OP_OUTQ, T_ALL, 2 },
	{ OP_GET, T_ALL, 5 },
	{ OP_SET, T_ALL, 2 },
	{ OP_PEERCRED, T_ALL, 1 },
	{ OP_SPLICE_IN, T_STREAM, 1 },
	{ OP_SPLICE_OUT, T_STREAM, 1 },
	{ OP_READ0, T_ALL, 1 },
};

static enum op walk_op(struct walker *w)
{
	int bit = type_bit(w->p.u.type), sum = 0, x;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(walk_ops); i++)
		sum += walk_ops[i].types & bit ? walk_ops[i].weight : 0;
	x = walk_random(w, sum);
	for (i = 0; ; i++) {
		x -= walk_ops[i].types & bit ? walk_ops[i].weight : 0;
		if (x < 0)
			return walk_ops[i].op;
	}
}

static long walk_length(struct walker *w)
{
	switch (walk_random(w, 8)) {
	case 0:
		return 0;
	case 1:
		return 1;
	case 2:
		return walk_random(w, 5000);
	default:
		return walk_random(w, 200);
	}
}

static long walk_pick(struct walker *w, const long *from, size_t n)
{
	return from[walk_random(w, n)];
}

#define PICK(_w, ...) walk_pick(_w, (const long[]){ __VA_ARGS__ }, \
				ARRAY_SIZE(((const long[]){ __VA_ARGS__ })))

static bool walk_is_full(struct walker *w, int s)
{
	int queued = 0;

	return !ioctl(w->p.u.fd[s], SIOCOUTQ, &queued) && queued > WALK_QUEUE;
}

/* A slot that the call makes sense for, most of the time. */
static int walk_slot(struct walker *w, enum op op)
{
	int tries = walk_random(w, 8), s;

	do {
		bool connected, listening;

		s = walk_random(w, WALK_SLOTS);
		connected = is_connected(&w->p.u, s);
		listening = nym_get_int(w->p.u.fd[s], SO_ACCEPTCONN) == 1;
		switch (op) {
		case OP_SOCKET:
			if (w->p.u.fd[s] < 0)
				return s;
			break;
		case OP_BIND:
		case OP_LISTEN:
		case OP_CONNECT:
			if (w->p.u.fd[s] >= 0 && !connected && !listening)
				return s;
			break;
		case OP_ACCEPT:
			if (listening)
				return s;
			break;
		default:
			if (connected)
				return s;
			break;
		}
	} while (tries--);
	return s;
}

/* A name that somebody listens to, if possible. */
static int walk_callee(struct walker *w)
{
	int tries = walk_random(w, 10), s;

	while (tries--) {
		s = walk_random(w, WALK_SLOTS);
		if (nym_get_int(w->p.u.fd[s], SO_ACCEPTCONN) == 1)
			return s;
	}
	return walk_random(w, 8) ? 'A' + walk_random(w, 3) : walk_random(w, WALK_SLOTS);
}

/* Some more than once, to be sent more often. */
static const char * const walk_controls[] = {
	"Rn", "Rn", "Rn", "Rnwr", "Rt Ru", "R", "Rb", "Rnb", "Rn Cmmm", "Cmmm", "Cmmm",
	"C1mm", "C1mm Rw", "Cm1m", "Czmm", "!C1mm", "!Cmmm", "Cmmm:20", "T77", "V4242",
};

/* Not for AF_UNIX alone, which would make circles, and free them some time. */
static const char * const walk_sockets[] = { "R0", "R1", "R2", "R3", "R4", "R5", "Rn5" };

static void walk_choose_control(struct walker *w, struct step *st)
{
	st->a = walk_random(w, 4) ? 1 + walk_random(w, 200) : 0;
	st->b = PICK(w, 0, 0, 0, MSG_NOSIGNAL, MSG_EOR);
	st->text = walk_controls[walk_random(w, ARRAY_SIZE(walk_controls))];
	if (!walk_random(w, 4) && family_n == AF_NYM)
		st->text = walk_sockets[walk_random(w, ARRAY_SIZE(walk_sockets))];
	if (w->p.u.type == SOCK_DGRAM && walk_random(w, 2))
		st->c = 'A' + walk_random(w, 3);
}

/* Where AF_UNIX counts messages, it and nym disagree about what is full, too. */
static bool walk_is_crowded(struct walker *w)
{
	return w->p.u.type == SOCK_DGRAM && w->p.unread > 9 && walk_random(w, 16);
}

static struct step walk_choose(struct walker *w)
{
	struct step st = { .op = walk_op(w) };

	st.s = walk_slot(w, st.op);
	switch ((enum op)st.op) {
	case OP_PAIR:
	case OP_ACCEPT:
		/* Into the slot itself, too: it closes what was there. */
		st.a = walk_random(w, WALK_SLOTS);
		if (st.op == OP_PAIR && st.a == st.s)
			st.a = (st.a + 1) % WALK_SLOTS;
		break;
	case OP_BIND:
		st.a = 'A' + walk_random(w, 3);
		/* A connected one is a difference that ends this life. */
		if (is_connected(&w->p.n, st.s) && walk_random(w, 20))
			st = (struct step){ .op = OP_POLL, .s = st.s };
		break;
	case OP_BIND_ANY:
		if (is_connected(&w->p.n, st.s) && walk_random(w, 20))
			st = (struct step){ .op = OP_POLL, .s = st.s };
		break;
	case OP_LISTEN:
		st.a = PICK(w, 0, 1, 5, 5, 5, 128, -1);
		break;
	case OP_CONNECT:
		st.a = walk_callee(w);
		break;
	case OP_SENDTO:
		st.a = walk_random(w, 100);
		st.b = walk_random(w, 4) ? 'A' + walk_random(w, 3) :
					   walk_random(w, WALK_SLOTS);
		break;
	case OP_SEND:
		st.a = walk_length(w);
		st.b = PICK(w, 0, 0, 0, MSG_NOSIGNAL, MSG_DONTWAIT, MSG_MORE, MSG_EOR);
		break;
	case OP_SEND_CONTROL:
		walk_choose_control(w, &st);
		break;
	case OP_RECV_FD:
		st.a = walk_random(w, WALK_SLOTS);
		break;
	case OP_WRITEV:
	case OP_READV:
		st.a = walk_random(w, 9);
		st.b = walk_random(w, 50);
		break;
	case OP_SPLICE_IN:
	case OP_SPLICE_OUT:
		st.a = 1 + walk_random(w, 300);
		break;
	case OP_RECV:
		st.a = walk_random(w, 3) ? walk_length(w) : 10000;
		st.b = PICK(w, 0, 0, 0, 0, MSG_PEEK, MSG_TRUNC, MSG_WAITALL,
			    MSG_PEEK | MSG_TRUNC, MSG_PEEK | MSG_WAITALL,
			    MSG_DONTWAIT, MSG_CMSG_CLOEXEC);
		st.c = PICK(w, 0, 0, 0, 0, ROOM_NONE, ROOM_ZERO, 16, 20, 32, 40, 200);
		/* If it takes descriptors, this must be seen. */
		if (!st.a)
			st.c = 200;
		break;
	case OP_SHUTDOWN:
		st.a = walk_random(w, 3);
		break;
	case OP_GET:
		st.a = PICK(w, SO_ERROR, SO_ERROR, SO_ERROR, SO_ACCEPTCONN, SO_RCVLOWAT,
			    SO_TYPE);
		break;
	case OP_SET:
		st.a = PICK(w, SO_RCVLOWAT, SO_PASSCRED);
		st.b = st.a == SO_PASSCRED ? 1 : PICK(w, 1, 10, 100);
		break;
	default:
		break;
	}
	if (is_sending(&st) && walk_is_full(w, st.s))
		st = (struct step){ .op = OP_POLL, .s = st.s };
	if (is_sending(&st) && walk_is_crowded(w))
		st = (struct step){ .op = OP_RECV, .s = walk_random(w, WALK_SLOTS), .a = 300 };
	return st;
}

/* All sockets at once: what changed at those that were not called. */
static enum verdict walk_glance(struct walker *w)
{
	struct pollfd u[WALK_SLOTS], n[WALK_SLOTS];
	enum verdict verdict = SAME;
	int i;

	for (i = 0; i < WALK_SLOTS; i++) {
		u[i] = (struct pollfd){ w->p.u.fd[i], CONTRACT_POLL, 0 };
		n[i] = (struct pollfd){ w->p.n.fd[i], CONTRACT_POLL, 0 };
	}
	poll(u, WALK_SLOTS, 0);
	poll(n, WALK_SLOTS, 0);
	for (i = 0; i < WALK_SLOTS; i++) {
		struct step st = { .op = OP_POLL, .s = i };
		struct result ru = { .poll = u[i].revents };
		struct result rn = { .poll = n[i].revents };
		enum verdict v = judge(&w->p, &st, &ru, &rn, false);

		if (v > verdict)
			verdict = v;
	}
	return verdict;
}

/* Whether the steps that are kept still end in a difference. */
static bool walk_fails(struct walker *w, const bool *keep, long count)
{
	struct result u, n;
	bool bad = false;
	long i;

	worlds_reset(&w->p);
	for (i = 0; i < count && !bad; i++) {
		enum verdict verdict;

		if (!keep[i])
			continue;
		verdict = worlds_step(&w->p, &w->past[i], &u, &n, false);
		if (verdict == PARTED)
			break;
		if (verdict != DIFFERENT)
			verdict = walk_glance(w);
		bad = verdict == DIFFERENT;
		if (verdict == PARTED)
			break;
	}
	worlds_reset(&w->p);
	return bad;
}

/* Leaves out whatever is not needed. */
static void walk_shrink(struct walker *w, long count)
{
	bool keep[WALK_LIFE], again = true;
	struct result u, n;
	long i;

	memset(keep, true, sizeof(keep));
	if (!walk_fails(w, keep, count)) {
		printf("#   (does not happen again)\n");
		return;
	}
	while (again) {
		again = false;
		for (i = count - 1; i >= 0; i--) {
			if (!keep[i])
				continue;
			keep[i] = false;
			if (walk_fails(w, keep, count))
				again = true;
			else
				keep[i] = true;
		}
	}
	printf("# the shortest way there:\n");
	for (i = 0; i < count; i++) {
		if (!keep[i])
			continue;
		worlds_step(&w->p, &w->past[i], &u, &n, false);
		trace_print(&w->past[i], &u, &n);
	}
	for (i = 0; i < WALK_SLOTS; i++) {
		int a = nym_poll_now(w->p.u.fd[i], CONTRACT_POLL);
		int b = nym_poll_now(w->p.n.fd[i], CONTRACT_POLL);

		if (a != b)
			printf("#   poll of %ld: %#x | nym %#x\n", i, a, b);
	}
	worlds_reset(&w->p);
}

static void walk_show(struct walker *w)
{
	long i = w->life > WALK_TRACE ? w->life - WALK_TRACE : 0;

	while (__atomic_exchange_n(&shared->printing, 1, __ATOMIC_ACQUIRE))
		nym_nap();
	printf("# walk, %s: NYM_SEED=%lu, step %ld; the last steps:\n",
	       type_name(w->p.u.type), w->seed, w->steps);
	for (; i < w->life; i++)
		trace_print(&w->past[i], &w->past_u[i], &w->past_n[i]);
	walk_shrink(w, w->life);
	fflush(stdout);
	__atomic_store_n(&shared->printing, 0, __ATOMIC_RELEASE);
}

/* Returns whether the worlds agree. */
static bool walk_one(struct walker *w)
{
	struct step *st = &w->past[w->life];
	struct result *u = &w->past_u[w->life], *n = &w->past_n[w->life];
	enum verdict verdict;

	*st = walk_choose(w);
	verdict = worlds_step(&w->p, st, u, n, false);
	w->steps++;
	w->life++;
	if (verdict < PARTED)
		verdict = walk_glance(w);
	if (verdict == DIFFERENT) {
		walk_show(w);
		return false;
	}
	if (verdict == PARTED || w->life == WALK_LIFE) {
		worlds_reset(&w->p);
		w->life = 0;
	}
	return true;
}

static bool walk(int type, unsigned long seed, long steps)
{
	static struct walker w;
	long end = nym_now_ms() + WALK_MS;
	bool ok = true;

	memset(&w, 0, sizeof(w));
	worlds_init(&w.p, type);
	w.seed = seed;
	w.rnd = seed * 0x9e3779b97f4a7c15ULL;
	while (ok && (steps ? w.steps < steps : nym_now_ms() < end))
		ok = walk_one(&w);
	worlds_reset(&w.p);
	__atomic_add_fetch(&shared->walked, w.steps, __ATOMIC_RELAXED);
	return ok;
}

FIXTURE(random_walk) { };

FIXTURE_VARIANT(random_walk) {
	int type;
};

FIXTURE_VARIANT_ADD(random_walk, stream) { .type = SOCK_STREAM };
FIXTURE_VARIANT_ADD(random_walk, seqpacket) { .type = SOCK_SEQPACKET };
FIXTURE_VARIANT_ADD(random_walk, dgram) { .type = SOCK_DGRAM };

FIXTURE_SETUP(random_walk)
{
	SKIP_WITHOUT_TYPE(variant->type);
}

FIXTURE_TEARDOWN(random_walk) { }

TEST_F(random_walk, stays_in_step)
{
	const char *given = getenv("NYM_SEED"), *steps = getenv("NYM_STEPS");
	unsigned long seed = given ? strtoul(given, NULL, 0) : WALK_SEED;
	long before = shared->walked, start = nym_now_ms();
	int walkers = given ? 1 : WALKERS, i;
	pid_t pids[WALKERS];

	printf("# walk: seeds %lu to %lu\n", seed, seed + walkers - 1);
	fflush(stdout);
	for (i = 0; i < walkers; i++) {
		pids[i] = fork();
		ASSERT_LE(0, pids[i]);
		if (!pids[i])
			_exit(!walk(variant->type, seed + i,
				    steps ? atol(steps) : given ? 1000000 : 0));
	}
	for (i = 0; i < walkers; i++)
		EXPECT_EQ(0, nym_wait_child(pids[i]));
	printf("# walk: %ld steps, %ld a second\n", shared->walked - before,
	       (shared->walked - before) * 1000 / (nym_now_ms() - start + 1));
	fflush(stdout);
}

/* The count, and the table */

FIXTURE(table) { };
FIXTURE_SETUP(table) { }
FIXTURE_TEARDOWN(table) { }

TEST_F(table, every_difference_is_needed)
{
	int ran = 0, bit;
	size_t i;

	for (bit = 1; bit < 8; bit <<= 1)
		ran |= shared->ran[bit] == 3 ? bit : 0;
	if (!ran || family_n == AF_UNIX)
		SKIP(return, "there is nothing to judge by");
	if (nym_slower() > 1)
		SKIP(return, "not all pairs were tried");
	printf("# contract: %ld comparisons, %zu deliberate differences\n",
	       shared->comparisons, DIFFERENCES);
	printf("# contract: %ld more steps at random\n", shared->walked);
	for (i = 0; i < DIFFERENCES; i++)
		printf("# difference, seen %ld times: %s (%s)\n", shared->seen[i],
		       differences[i].what, differences[i].why);
	fflush(stdout);
	EXPECT_LE(300, shared->comparisons);
	for (i = 0; i < DIFFERENCES; i++) {
		if (!can_be_seen(&differences[i], ran))
			continue;
		EXPECT_NE(0, shared->seen[i]) {
			TH_LOG("stale: %s", differences[i].what);
		}
	}
}

NYM_TEST_MAIN
