// SPDX-License-Identifier: GPL-2.0
/*
 * Calls: listen, connect and accept, as sockets see them. What becomes of a call
 * between connect() and accept() is in backlog.c.
 *
 * A client's socket learns of it by reading conn->state: connect() when it
 * wakes, poll() whenever asked, every other call in nym_call_settle(). Its own
 * reference of the conn is in nsk->call.
 *
 * A caller that calls a name nobody listens at is refused, unless the name
 * lingers or the caller has asked to wait (NYM_WAIT).
 *
 * The state comes after all that goes with it: nym_call_set(), under the
 * endpoint's lock, against nym_call_get() by the caller, without. How either
 * wakes the other is in backlog.c.
 *
 *	who moves the call		caller
 *	error = 1, sk_err = 1		r0 = load_acquire(state)
 *	store_release(state, REFUSED)	r1 = error, r2 = sk_err
 *
 *	never (r0 == REFUSED && (r1 == 0 || r2 == 0)), if nobody took sk_err
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/pid.h>
#include <linux/sched/signal.h>

#include "af_nym.h"
#include "trace.h"

static struct nym_conn *nym_call_of(struct sock *sk)
{
	return rcu_dereference_protected(nym_sk(sk)->call,
					 lockdep_sock_is_held(sk));
}

/* One more than asked for, as with AF_UNIX; so many that sums do not overflow. */
static unsigned int nym_listen_limit(int backlog)
{
	return min_t(unsigned int, (unsigned int)backlog, NYM_BACKLOG_MAX) + 1;
}

/**
 * nym_listen() - proto_ops.listen
 * @sock: the socket
 * @backlog: how many calls beyond the first may be pending, as with AF_UNIX
 *
 * Context: sleeps
 * Return: 0; -EINVAL if the socket has no name or is connected or connecting
 */
int nym_listen(struct socket *sock, int backlog)
{
	struct nym_endpoint *ep;
	struct sock *sk = sock->sk;
	int err = -EINVAL;

	lock_sock(sk);
	nym_call_settle(sk);
	ep = nym_sk(sk)->ep;
	if (!ep || (sk->sk_state != TCP_CLOSE && sk->sk_state != TCP_LISTEN))
		goto out;

	nym_set_peer_current(sk);
	sk->sk_max_ack_backlog = backlog;
	/* Pairs with the acquire in nym_sock_listens(). */
	smp_store_release(&sk->sk_state, TCP_LISTEN);
	nym_backlog_open(ep, nym_sk(sk)->member,
			 sk->sk_shutdown & RCV_SHUTDOWN ? 0 : nym_listen_limit(backlog));
	nym_stat_inc(ep->nn, NYM_STAT_LISTENS);
	err = 0;
out:
	release_sock(sk);
	return err;
}

/* The conn does not lead to the socket any more, which outlives who was led there. */
static void nym_call_forget(struct sock *sk, struct nym_conn *call)
{
	sock_set_flag(sk, SOCK_RCU_FREE);
	RCU_INIT_POINTER(call->end[nym_sk(sk)->side].sk, NULL);
}

/*
 * Lets go of a call that came to nothing. Who refused it may be about to wake
 * its socket.
 */
static void nym_call_drop(struct sock *sk, struct nym_conn *call)
{
	RCU_INIT_POINTER(nym_sk(sk)->call, NULL);
	nym_call_forget(sk, call);
	nym_conn_put(call);
}

static void nym_call_begin(struct sock *sk, struct nym_conn *call)
{
	WRITE_ONCE(sk->sk_state, TCP_SYN_SENT);
	sk->sk_socket->state = SS_CONNECTING;
	rcu_assign_pointer(nym_sk(sk)->call, call);
}

/* The socket is as it was before the call; who polls it sees it change. */
static void nym_call_end(struct sock *sk, struct nym_conn *call)
{
	nym_call_drop(sk, call);
	WRITE_ONCE(sk->sk_state, TCP_CLOSE);
	sk->sk_socket->state = SS_UNCONNECTED;
	sk->sk_state_change(sk);
}

/**
 * nym_call_settle() - bring a socket up to date with its call
 * @sk: the socket
 *
 * Context: lock_sock held
 */
void nym_call_settle(struct sock *sk)
{
	struct nym_conn *call = nym_call_of(sk);

	if (!call || nym_sk(sk)->conn)
		return;
	switch (nym_call_get(call)) {
	case NYM_CALL_PARKED:
		break;
	case NYM_CALL_PENDING:
	case NYM_CALL_ACCEPTED:
		nym_conn_attach(call, NYM_CALLER, sk);
		break;
	case NYM_CALL_REFUSED:
		nym_call_end(sk, call);
		break;
	}
}

/**
 * nym_call_peek() - what has become of a socket's call?
 * @sk: the socket
 * @parked: is set if the call is still parked
 *
 * Context: rcu_read_lock() held, and the socket's file or its bucket's lock
 * Return: the conn of a call that is parked or has become a connection, alive
 * as long as these are; NULL if there is none
 */
struct nym_conn *nym_call_peek(struct sock *sk, bool *parked)
{
	struct nym_conn *call = rcu_dereference(nym_sk(sk)->call);
	enum nym_call state;

	*parked = false;
	if (!call)
		return NULL;
	state = nym_call_get(call);
	*parked = state == NYM_CALL_PARKED;
	return state == NYM_CALL_REFUSED ? NULL : call;
}

/**
 * nym_call_close() - let go of a socket's call, or of its connection
 * @sk: a socket that is being released
 *
 * Context: sleeps; no other call on the socket can run, and it is not listed
 * Return: true if its connection has taken over its last reference
 */
bool nym_call_close(struct sock *sk)
{
	struct nym_conn *call = rcu_dereference_protected(nym_sk(sk)->call, 1);
	int side = nym_sk(sk)->side;
	bool kept;

	if (!call)
		return false;
	if (!nym_sk(sk)->conn &&
	    (nym_backlog_withdraw(call->end[NYM_CALLED].ep, call) ||
	     nym_call_get(call) == NYM_CALL_REFUSED)) {
		nym_call_drop(sk, call);
		return false;
	}
	/*
	 * A pending call must not keep it: a socket keeps its namespace, that the
	 * names that linger, and one of them perhaps the call.
	 */
	kept = rcu_access_pointer(call->end[!side].sk);
	if (!kept)
		nym_call_forget(sk, call);
	nym_conn_close(call, side, false);
	return kept;
}

/* Everything that can fail or sleep, before the endpoint is locked. */
static struct nym_conn *nym_call_alloc(struct sock *sk, struct nym_endpoint *ep)
{
	struct nym_conn *call = nym_conn_alloc();
	struct nym_end *end;

	if (!call)
		return NULL;
	end = &call->end[NYM_CALLER];
	rcu_assign_pointer(end->sk, sk);
	nym_marks_carry(&call->marks[NYM_CALLED], sk);
	if (nym_sk(sk)->ep)
		end->ep = nym_endpoint_get(nym_sk(sk)->ep);
	else
		end->id = nym_registry_id(sock_net(sk));
	call->end[NYM_CALLED].ep = nym_endpoint_get(ep);
	call->state = NYM_CALL_PARKED;
	call->waits = nym_sk(sk)->waits;
	call->admin = ns_capable_noaudit(sock_net(sk)->user_ns, CAP_NET_ADMIN);
	call->pid = get_pid(task_tgid(current));
	call->cred = nym_cred_get(current_cred());
	return call;
}

/*
 * What AF_UNIX finds out about the other side, in its order. @reign is set to
 * the one under which this holds, 0 if there is no socket to say who may call.
 */
static int nym_connect_check(struct sock *sk, struct nym_endpoint *ep, unsigned long *reign)
{
	/* Pairs with ep->lock in nym_member_join(): not a newer one; member.c. */
	unsigned long now = smp_load_acquire(&ep->reign);
	int err = nym_endpoint_permission(ep, MAY_WRITE);

	*reign = err == -ENOENT ? 0 : now;
	if (err && err != -ENOENT)
		return err;
	if (!err && READ_ONCE(ep->type) != sk->sk_type)
		return -EPROTOTYPE;
	err = nym_backlog_is_open(ep, nym_sk(sk)->waits);
	if (err)
		return err;
	if (sk->sk_state == TCP_ESTABLISHED)
		return -EISCONN;
	if (sk->sk_state != TCP_CLOSE)
		return -EINVAL;
	return 0;
}

/* Calls one endpoint. Returns 0 when the call is in the backlog. */
static int nym_connect_endpoint(struct sock *sk, struct nym_endpoint *ep)
{
	struct nym_conn *call;
	unsigned long reign;
	int err;

	err = nym_connect_check(sk, ep, &reign);
	if (err)
		return err;
	call = nym_call_alloc(sk, ep);
	if (!call)
		return -ENOMEM;
	call->reign = reign;
	/* Before others can see the call, so that who is woken by it finds it. */
	nym_call_begin(sk, call);

	err = nym_backlog_submit(ep, call);
	if (err) {
		/* The backlog has not taken its reference. */
		nym_call_set(call, NYM_CALL_REFUSED);
		nym_conn_put(call);
		nym_call_end(sk, call);
	}
	return err;
}

static int nym_connect_name(struct sock *sk, const struct nym_name *name)
{
	struct nym_endpoint *ep;
	int err;

	if (nym_sk(sk)->waits)
		ep = nym_endpoint_await(sock_net(sk), name);
	else
		ep = nym_endpoint_find(sock_net(sk), name);
	if (!ep) {
		if (nym_sk(sk)->waits)
			return -ENOMEM;
		nym_stat_inc(nym_net(sock_net(sk)), NYM_STAT_REFUSED);
		return -ECONNREFUSED;
	}
	err = nym_connect_endpoint(sk, ep);
	nym_endpoint_put(ep);
	return err;
}

/* Sleeps until a parked call has moved. The socket is unlocked meanwhile. */
static long nym_call_sleep(struct sock *sk, struct nym_conn *call, long timeo)
{
	DEFINE_WAIT_FUNC(wait, woken_wake_function);

	add_wait_queue(sk_sleep(sk), &wait);
	/* Pairs with the barrier in nym_caller_wake(). */
	smp_mb();
	while (nym_call_get(call) == NYM_CALL_PARKED && timeo &&
	       !signal_pending(current)) {
		release_sock(sk);
		timeo = wait_woken(&wait, TASK_INTERRUPTIBLE, timeo);
		lock_sock(sk);
	}
	remove_wait_queue(sk_sleep(sk), &wait);
	return timeo;
}

/*
 * Waits for a parked call that this thread has made. Meanwhile others may
 * settle it, as any call on the socket does; so it is held.
 */
static int nym_connect_wait(struct sock *sk, struct nym_conn *call, long timeo)
{
	int err = 0;

	refcount_inc(&call->ref);
	timeo = nym_call_sleep(sk, call, timeo);
	if (nym_backlog_withdraw(call->end[NYM_CALLED].ep, call)) {
		err = signal_pending(current) ? sock_intr_errno(timeo) : -EAGAIN;
	} else if (nym_call_get(call) == NYM_CALL_REFUSED) {
		err = call->error ?: -ECONNREFUSED;
		/* Reported here, unless the socket is another call's by now. */
		if (!nym_call_of(sk) || nym_call_of(sk) == call)
			sock_error(sk);
	}
	nym_call_settle(sk);
	nym_conn_put(call);
	return err;
}

/* The outcome of the call that the socket has just made. */
static int nym_connect_result(struct sock *sk, long timeo)
{
	struct nym_conn *call = nym_call_of(sk);

	if (nym_call_get(call) == NYM_CALL_PARKED) {
		if (!timeo)
			return -EINPROGRESS;
		return nym_connect_wait(sk, call, timeo);
	}
	nym_call_settle(sk);
	return nym_sk(sk)->conn ? 0 : sock_error(sk) ?: -ECONNREFUSED;
}

static int nym_connect_locked(struct socket *sock, const struct nym_name *name,
			      int flags)
{
	struct sock *sk = sock->sk;
	int err;

	if (sock->state == SS_CONNECTING) {
		nym_call_settle(sk);
		if (nym_sk(sk)->conn)
			goto connected;
		if (nym_call_of(sk))
			return -EALREADY;
	}
	/* The result of an earlier call, if nobody has asked for it yet. */
	if (sk->sk_state == TCP_CLOSE) {
		err = sock_error(sk);
		if (err)
			return err;
	}

	err = nym_connect_name(sk, name);
	if (!err)
		err = nym_connect_result(sk, sock_sndtimeo(sk, flags & O_NONBLOCK));
	if (err)
		return err;
connected:
	sock->state = SS_CONNECTED;
	return 0;
}

/**
 * nym_connect() - proto_ops.connect of connection-oriented sockets
 * @sock: the socket
 * @addr: a name
 * @len: length of @addr
 * @flags: O_NONBLOCK
 *
 * Context: sleeps
 * Return: 0; -EINVAL for a bad address or a listening socket; -ECONNREFUSED
 * if nobody listens there; -EACCES; -EPROTOTYPE; -EISCONN; -ENOMEM. With a
 * full backlog -EINPROGRESS and then -EALREADY if non-blocking, else -EAGAIN
 * after SO_SNDTIMEO and -EINTR or -ERESTARTSYS after a signal.
 */
int nym_connect(struct socket *sock, struct nym_sockaddr *addr, int len, int flags)
{
	struct sock *sk = sock->sk;
	struct nym_name name;
	int err;

	err = nym_name_parse(&name, addr, len);
	if (err)
		return err;
	if (!name.len)
		return -EINVAL;

	lock_sock(sk);
	err = nym_connect_locked(sock, &name, flags);
	release_sock(sk);
	trace_nym_connect(sk, name.text, err);
	return err;
}

/*
 * Waits until a call is pending: 0, or why not. Woken one by one, so whoever
 * is woken looks at the backlog before anything else may send it away.
 */
static int nym_accept_wait(struct sock *sk, struct nym_member *member, long *timeo)
{
	DEFINE_WAIT(wait);
	int err = 0;

	if (READ_ONCE(member->npending))
		return 0;
	for (;;) {
		prepare_to_wait_exclusive(sk_sleep(sk), &wait, TASK_INTERRUPTIBLE);
		nym_member_looks(sk, READ_ONCE(member->npending));
		if (READ_ONCE(member->npending))
			break;
		if (!*timeo)
			err = -EAGAIN;
		else if (READ_ONCE(sk->sk_shutdown) & RCV_SHUTDOWN)
			err = -EINVAL;
		else if (signal_pending(current))
			err = sock_intr_errno(*timeo);
		if (err)
			break;
		*timeo = schedule_timeout(*timeo);
	}
	finish_wait(sk_sleep(sk), &wait);
	return err;
}

/* Makes the called side of a conn the new socket. Cannot fail. */
static void nym_accept_attach(struct nym_conn *conn, struct sock *listener,
			      struct sock *sk, struct socket *newsock)
{
	struct sock *caller;

	nym_set_peer(sk, conn->pid, conn->cred);
	conn->pid = NULL;
	conn->cred = NULL;
	sock_graft(sk, newsock);
	nym_set_passcred(sk, nym_passcred(listener));
	nym_sk(sk)->passrights = READ_ONCE(nym_sk(listener)->passrights);
	nym_marks_carry(&conn->marks[NYM_CALLER], sk);
	nym_conn_attach(conn, NYM_CALLED, sk);
	newsock->state = SS_CONNECTED;

	/*
	 * The caller wakes nobody until it sees this. What it sent before is
	 * seen by whoever sleeps on the new socket:
	 *
	 *	nym_published()			here, and nym_wait_bytes() later
	 *	store_release(tail, 1)		end[NYM_CALLED].sk = sk
	 *	smp_mb()			smp_mb(), entering its wait queue
	 *	r0 = end[NYM_CALLED].sk		r1 = load_acquire(tail)
	 *
	 *	never (r0 == NULL && r1 == 0)
	 */
	rcu_assign_pointer(conn->end[NYM_CALLED].sk, sk);

	rcu_read_lock();
	caller = rcu_dereference(conn->end[NYM_CALLER].sk);
	if (caller)
		nym_set_peer_current(caller);
	rcu_read_unlock();
}

/**
 * nym_accept() - proto_ops.accept
 * @sock: the listening socket
 * @newsock: to become the connection
 * @flags: O_NONBLOCK
 * @kern: the new socket is a kernel socket
 *
 * Context: sleeps
 * Return: 0; -EINVAL if not listening, or shut down and empty; -EAGAIN;
 * -EINTR or -ERESTARTSYS; -ENOMEM
 */
int nym_accept(struct socket *sock, struct socket *newsock, int flags,
	       bool kern)
{
	struct sock *sk = sock->sk, *newsk = NULL;
	struct nym_conn *conn = NULL;
	struct nym_member *member;
	struct nym_endpoint *ep;
	long timeo;
	int err;

	if (!nym_sock_listens(sk))
		return -EINVAL;
	ep = nym_sock_endpoint(sk);
	member = nym_sk(sk)->member;
	timeo = sock_rcvtimeo(sk, flags & O_NONBLOCK);

	do {
		err = nym_accept_wait(sk, member, &timeo);
		if (!err && !newsk)
			newsk = nym_sock_alloc(sock_net(sk), NULL, sk->sk_type, kern);
		if (!err && !newsk)
			err = -ENOMEM;
		if (!err)
			conn = nym_backlog_take(ep, member);
	} while (!err && !conn);

	if (err) {
		if (newsk)
			nym_sock_discard(newsk);
		/* Who was woken for a call and cannot take it wakes the next. */
		if (READ_ONCE(member->npending))
			sk->sk_data_ready(sk);
		trace_nym_accept(sk, ep->name.text, 0, err);
		return err;
	}
	nym_stat_inc(ep->nn, NYM_STAT_ACCEPTS);
	nym_backlog_promote(ep);
	nym_accept_attach(conn, sk, newsk, newsock);
	trace_nym_accept(sk, ep->name.text, SOCK_INODE(newsock)->i_ino, 0);
	return 0;
}
