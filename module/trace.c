// SPDX-License-Identifier: GPL-2.0
/*
 * The tracepoints themselves, and what has to be found out for them. Nothing
 * here takes a lock of nym: the callers hold any or none.
 */
#define CREATE_TRACE_POINTS
#include "trace.h"

/*
 * The name of a socket whose file is held, or that is being released: its own,
 * or in @buf.
 */
static const char *nym_trace_name(const struct sock *sk, struct nym_name *buf)
{
	/* Pairs with the release in nym_conn_attach(). */
	const struct nym_conn *conn = smp_load_acquire(&nym_sk(sk)->conn);
	const struct nym_endpoint *ep = nym_sock_endpoint(sk);

	if (conn) {
		const struct nym_end *end = &conn->end[nym_sk(sk)->side];

		ep = end->ep;
		if (!ep) {
			nym_name_choose(buf, end->id);
			return buf->text;
		}
	}
	return ep ? ep->name.text : "-";
}

void __nym_trace_bind(struct sock *sk, const struct nym_name *name, long result)
{
	struct nym_name buf;

	trace_nym_bind(sk, name->len ? name->text : nym_trace_name(sk, &buf),
		       result);
}

void __nym_trace_close(struct sock *sk)
{
	struct nym_name buf;
	struct nym_info info;

	rcu_read_lock();
	nym_info_fill(sk, &info);
	trace_nym_close(sk, sk->sk_type, nym_trace_name(sk, &buf), info.queued);
	rcu_read_unlock();
}

void __nym_trace_send(struct sock *sk, long result)
{
	struct nym_name buf;

	trace_nym_send(sk, nym_trace_name(sk, &buf), result);
}

void __nym_trace_recv(struct sock *sk, long result)
{
	struct nym_name buf;

	trace_nym_recv(sk, nym_trace_name(sk, &buf), result);
}

void __nym_trace_drop(struct sock *sk, u32 length)
{
	struct nym_name buf;

	trace_nym_drop(sk, sk->sk_type, nym_trace_name(sk, &buf), length);
}

void __nym_trace_reset(struct nym_endpoint *ep, struct nym_conn *call)
{
	rcu_read_lock();
	trace_nym_drop(rcu_dereference(call->end[NYM_CALLER].sk),
		       READ_ONCE(ep->type), ep->name.text,
		       nym_ring_used(&call->ring[NYM_CALLER]));
	rcu_read_unlock();
}

void __nym_trace_migrate(struct nym_endpoint *ep, struct nym_conn *call,
			 struct sock *to)
{
	rcu_read_lock();
	trace_nym_migrate(to, ep->name.text,
			  rcu_dereference(call->end[NYM_CALLER].sk),
			  nym_ring_used(&call->ring[NYM_CALLER]));
	rcu_read_unlock();
}
