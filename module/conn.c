// SPDX-License-Identifier: GPL-2.0
/*
 * Connections: the object that two sockets share, how one side tells the
 * other, and how each lets go.
 *
 * A side reaches the other's socket only to wake it, to leave an error or to
 * say who is there, without its lock. Everything else passes through the rings.
 * A socket that is released leaves its last reference to the conn, so it stays
 * as long as the other side could look; if there is no other socket yet, a grace
 * period has to do.
 */
#include <linux/cred.h>
#include <linux/pid.h>
#include <linux/slab.h>

#include "wait.h"

static struct kmem_cache *nym_conn_cache;

/**
 * nym_conn_alloc() - a new connection, unknown to anybody
 *
 * Context: sleeps
 * Return: the conn, holding the reference of each of its two sides, or NULL
 */
struct nym_conn *nym_conn_alloc(void)
{
	struct nym_conn *conn;

	conn = kmem_cache_zalloc(nym_conn_cache, GFP_KERNEL_ACCOUNT);
	if (!conn)
		return NULL;
	nym_ring_init(&conn->ring[NYM_CALLER]);
	nym_ring_init(&conn->ring[NYM_CALLED]);
	nym_marks_init(&conn->marks[NYM_CALLER]);
	nym_marks_init(&conn->marks[NYM_CALLED]);
	refcount_set(&conn->ref, 2);
	return conn;
}

static void nym_conn_free_rcu(struct rcu_head *rcu)
{
	kmem_cache_free(nym_conn_cache,
			container_of(rcu, struct nym_conn, rcu));
}

static void nym_end_put(struct nym_end *end)
{
	struct sock *sk = rcu_dereference_protected(end->sk, 1);

	nym_endpoint_put(end->ep);
	if (sk)
		sock_put(sk);
}

/**
 * nym_conn_put() - drop a side's reference
 * @conn: the connection
 *
 * Context: any but interrupts
 */
void nym_conn_put(struct nym_conn *conn)
{
	if (!refcount_dec_and_test(&conn->ref))
		return;
	nym_chunks_destroy(&conn->ring[NYM_CALLER]);
	nym_chunks_destroy(&conn->ring[NYM_CALLED]);
	nym_call_uncharge(conn);
	put_pid(conn->pid);
	put_cred(conn->cred);
	nym_end_put(&conn->end[NYM_CALLER]);
	nym_end_put(&conn->end[NYM_CALLED]);
	/* poll() may be looking at a call that its socket has let go of. */
	if (conn->state == NYM_CALL_REFUSED)
		call_rcu(&conn->rcu, nym_conn_free_rcu);
	else
		kmem_cache_free(nym_conn_cache, conn);
}

/**
 * nym_sock_settled_conn() - the connection, after a look at a parked call
 * @sk: a socket whose file the caller holds
 *
 * Context: takes lock_sock; sleeps
 * Return: as nym_sock_conn()
 */
struct nym_conn *nym_sock_settled_conn(struct sock *sk)
{
	struct nym_conn *conn;

	/* An unconnected socket, the common case here, is not worth a lock. */
	if (!rcu_access_pointer(nym_sk(sk)->call))
		return NULL;
	lock_sock(sk);
	nym_call_settle(sk);
	conn = nym_sk(sk)->conn;
	release_sock(sk);
	return conn;
}

static void nym_ring_shut(struct nym_ring *ring)
{
	/*
	 * Pairs with the acquires in nym_ring_has_room(), nym_send_is_over()
	 * and nym_recv_is_shut(): who sees it sees all bytes sent before it,
	 * and the error.
	 */
	smp_store_release(&ring->shut, 1);
}

/**
 * nym_conn_attach() - give a connection to a socket
 * @conn: the connection; the side's reference passes to the socket
 * @side: the side
 * @sk: the socket, locked or not yet known to anybody
 *
 * end[side].sk is set by the caller, which may want it earlier.
 *
 * Calls on the socket find the conn by nym_sock_conn(), poll() and those who
 * look from outside by nym_call_peek(), where the acquire is that of its state::
 *
 *	here				there
 *	side = 1, *c = 1		r0 = load_acquire(conn), or
 *	rcu_assign_pointer(call, c)	r0 = rcu_dereference(call) and
 *	store_release(conn, c)		     load_acquire(r0->state)
 *					r1 = side, r2 = *r0
 *
 *	never (r0 == c && (r1 == 0 || r2 == 0))
 */
void nym_conn_attach(struct nym_conn *conn, int side, struct sock *sk)
{
	struct nym_sock *nsk = nym_sk(sk);

	if (sk->sk_shutdown & RCV_SHUTDOWN) {
		WRITE_ONCE(conn->ring[!side].deaf, 1);
		/* A caller that settles late: its peer may be asleep, sending. */
		nym_conn_wake_all(conn, !side, 0);
	}
	/* A caller is one from the start: who has found ->call may be looking. */
	if (side != NYM_CALLER)
		nsk->side = side;
	rcu_assign_pointer(nsk->call, conn);
	/* Pairs with nym_sock_conn() and nym_trace_name(). */
	smp_store_release(&nsk->conn, conn);
	WRITE_ONCE(sk->sk_state, TCP_ESTABLISHED);
}

/**
 * nym_conn_wake_all() - wake everybody who sleeps at a side, whatever for
 * @conn: the connection
 * @side: the side to wake
 * @band: POLL_*, for SIGIO, or 0
 *
 * Context: any
 */
void nym_conn_wake_all(struct nym_conn *conn, int side, int band)
{
	struct sock *sk;

	/* Pairs as in nym_conn_wake(). */
	smp_mb();
	rcu_read_lock();
	sk = rcu_dereference(conn->end[side].sk);
	if (sk) {
		sk->sk_state_change(sk);
		if (band)
			sk_wake_async(sk, SOCK_WAKE_WAITD, band);
	}
	rcu_read_unlock();
}

/**
 * nym_conn_shutdown() - tell the other side
 * @conn: the connection
 * @side: who shuts down
 * @mode: RCV_SHUTDOWN, SEND_SHUTDOWN or both
 *
 * Context: any
 */
void nym_conn_shutdown(struct nym_conn *conn, int side, int mode)
{
	int band = 0;

	if (mode & RCV_SHUTDOWN)
		nym_ring_shut(&conn->ring[!side]);
	if (mode & SEND_SHUTDOWN) {
		nym_ring_shut(&conn->ring[side]);
		band = mode == SHUTDOWN_MASK ? POLL_HUP : POLL_IN;
	}
	nym_conn_wake_all(conn, !side, band);
}

static void nym_conn_reset(struct nym_conn *conn, int side)
{
	struct sock *sk;

	rcu_read_lock();
	sk = rcu_dereference(conn->end[side].sk);
	if (sk)
		WRITE_ONCE(sk->sk_err, ECONNRESET);
	rcu_read_unlock();
}

/* Tells the other side that this one goes, after it has been marked as dead. */
static void nym_conn_part(struct nym_conn *conn, int side, bool reset)
{
	/*
	 * Pairs with the barrier in nym_published(): either we see what
	 * was sent, or the sender sees that nobody will read it.
	 */
	smp_mb();
	/* What came after the reader was told the end was never sent. */
	if (reset || nym_recv_queued(&conn->ring[!side]))
		nym_conn_reset(conn, !side);
	nym_conn_shutdown(conn, side, SHUTDOWN_MASK);
}

/**
 * nym_conn_close() - let go of one side
 * @conn: the connection
 * @side: the side; nobody else acts for it any more
 * @reset: its socket never came to be, so the other gets ECONNRESET
 *
 * Drops the side's reference; its socket's, if the conn has that, goes with it.
 *
 * A sender that still sends, against this: one of them sees that the bytes are
 * not read. If they are drained in between, nym_ring_is_lost() tells.
 *
 *	here				nym_published()
 *	dead = 1			store_release(tail, 1)
 *	smp_mb()			smp_mb()
 *	r0 = load_acquire(tail)		r1 = dead
 *	lost = 1			r2 = load_acquire(head)
 *	store_release(head, 1)		r3 = lost
 *
 *	never (r0 == 0 && r1 == 0), never (r2 == 1 && r3 == 0)
 *
 * Context: sleeps
 */
void nym_conn_close(struct nym_conn *conn, int side, bool reset)
{
	struct nym_ring *in = &conn->ring[!side];

	WRITE_ONCE(in->dead, 1);
	/* Who is gone, or about to go, has nobody to be told. */
	if (!READ_ONCE(conn->ring[side].dead))
		nym_conn_part(conn, side, reset);
	nym_marks_drain(&conn->marks[!side], in);
	nym_ring_drain(in);
	nym_conn_put(conn);
}

/**
 * nym_set_peer() - say who is at the other end of a socket
 * @sk: the socket
 * @pid: its peer's process; the reference passes to the socket
 * @cred: its peer's credentials; likewise
 *
 * Context: any but interrupts
 */
void nym_set_peer(struct sock *sk, struct pid *pid, const struct cred *cred)
{
	spin_lock(&sk->sk_peer_lock);
	swap(sk->sk_peer_pid, pid);
	swap(sk->sk_peer_cred, cred);
	spin_unlock(&sk->sk_peer_lock);
	put_pid(pid);
	put_cred(cred);
}

/**
 * nym_set_peer_current() - the current process is at the other end
 * @sk: the socket
 */
void nym_set_peer_current(struct sock *sk)
{
	nym_set_peer(sk, get_pid(task_tgid(current)), nym_cred_get(current_cred()));
}

/**
 * nym_copy_peer() - the peer of one socket is that of another, too
 * @sk: the socket
 * @from: the other; its lock and @sk's are never held together
 */
void nym_copy_peer(struct sock *sk, struct sock *from)
{
	const struct cred *cred;
	struct pid *pid;

	spin_lock(&from->sk_peer_lock);
	pid = get_pid(from->sk_peer_pid);
	cred = nym_cred_get(from->sk_peer_cred);
	spin_unlock(&from->sk_peer_lock);
	nym_set_peer(sk, pid, cred);
}

static void nym_pair_end(struct nym_conn *conn, int side, struct socket *sock)
{
	struct sock *sk = sock->sk;

	rcu_assign_pointer(conn->end[side].sk, sk);
	nym_marks_carry(&conn->marks[!side], sk);
	nym_set_peer_current(sk);
	nym_conn_attach(conn, side, sk);
	sock->state = SS_CONNECTED;
}

/**
 * nym_socketpair() - proto_ops.socketpair
 * @a: one socket, new
 * @b: the other, new
 *
 * Context: sleeps
 * Return: 0 or -ENOMEM
 */
int nym_socketpair(struct socket *a, struct socket *b)
{
	struct nym_conn *conn = nym_conn_alloc();

	if (!conn)
		return -ENOMEM;
	conn->state = NYM_CALL_ACCEPTED;
	/* Before one of them can be asked who is at its other end. */
	conn->end[NYM_CALLER].id = nym_registry_id(sock_net(a->sk));
	conn->end[NYM_CALLED].id = nym_registry_id(sock_net(b->sk));
	nym_pair_end(conn, NYM_CALLER, a);
	nym_pair_end(conn, NYM_CALLED, b);
	return 0;
}

/**
 * nym_conn_cache_init() - at module load
 * Return: 0 or -ENOMEM
 */
int __init nym_conn_cache_init(void)
{
	nym_conn_cache = KMEM_CACHE(nym_conn, SLAB_ACCOUNT);
	return nym_conn_cache ? 0 : -ENOMEM;
}

/**
 * nym_conn_cache_exit() - at module unload, after rcu_barrier()
 */
void nym_conn_cache_exit(void)
{
	kmem_cache_destroy(nym_conn_cache);
}
