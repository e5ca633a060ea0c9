/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints: events/nym/ in tracefs. See Documentation/visibility.rst.
 *
 * Where an event's fields take some work, nym_trace_*() does it, behind the
 * event's static branch: as long as nobody traces, nothing else runs.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM nym

#if !defined(_NYM_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _NYM_TRACE_H

#include <linux/fs.h>
#include <linux/tracepoint.h>
#include <net/sock.h>

#include "af_nym.h"

/* The kernel includes this file several times; functions are for the first. */
#ifndef _NYM_TRACE_ONCE

/* Context: the socket's file is held, or rcu_read_lock() is. 0 if it has none. */
static inline unsigned long nym_trace_ino(const struct sock *sk)
{
	struct socket *sock = sk ? READ_ONCE(sk->sk_socket) : NULL;

	return sock ? SOCK_INODE(sock)->i_ino : 0;
}

#endif /* _NYM_TRACE_ONCE */

TRACE_DEFINE_ENUM(SOCK_STREAM);
TRACE_DEFINE_ENUM(SOCK_DGRAM);
TRACE_DEFINE_ENUM(SOCK_SEQPACKET);

#define nym_trace_type(type) \
	__print_symbolic(type, { SOCK_STREAM, "stream" }, \
			 { SOCK_DGRAM, "dgram" }, \
			 { SOCK_SEQPACKET, "seqpacket" })

/* A call on a socket, and what came of it: an error, or 0 or a length. */
DECLARE_EVENT_CLASS(nym_result,
	TP_PROTO(const struct sock *sk, const char *name, long result),
	TP_ARGS(sk, name, result),
	TP_STRUCT__entry(
		__field(unsigned long, ino)
		__field(long, result)
		__field(u16, type)
		__string(name, name)
	),
	TP_fast_assign(
		__entry->ino = nym_trace_ino(sk);
		__entry->result = result;
		__entry->type = sk->sk_type;
		nym_assign_name();
	),
	TP_printk("ino=%lu type=%s name=%s result=%ld", __entry->ino,
		  nym_trace_type(__entry->type), __get_str(name),
		  __entry->result)
);

/* The name is the one asked for. */
DEFINE_EVENT(nym_result, nym_bind,
	TP_PROTO(const struct sock *sk, const char *name, long result),
	TP_ARGS(sk, name, result)
);

/* The name is the one called. */
DEFINE_EVENT(nym_result, nym_connect,
	TP_PROTO(const struct sock *sk, const char *name, long result),
	TP_ARGS(sk, name, result)
);

/* The name is the socket's own. */
DEFINE_EVENT(nym_result, nym_send,
	TP_PROTO(const struct sock *sk, const char *name, long result),
	TP_ARGS(sk, name, result)
);

/* The name is the socket's own. */
DEFINE_EVENT(nym_result, nym_recv,
	TP_PROTO(const struct sock *sk, const char *name, long result),
	TP_ARGS(sk, name, result)
);

/* A listener has made a new socket. */
TRACE_EVENT(nym_accept,
	TP_PROTO(const struct sock *sk, const char *name, unsigned long new_ino,
		 long result),
	TP_ARGS(sk, name, new_ino, result),
	TP_STRUCT__entry(
		__field(unsigned long, ino)
		__field(unsigned long, new_ino)
		__field(long, result)
		__field(u16, type)
		__string(name, name)
	),
	TP_fast_assign(
		__entry->ino = nym_trace_ino(sk);
		__entry->new_ino = new_ino;
		__entry->result = result;
		__entry->type = sk->sk_type;
		nym_assign_name();
	),
	TP_printk("ino=%lu type=%s name=%s new_ino=%lu result=%ld",
		  __entry->ino, nym_trace_type(__entry->type), __get_str(name),
		  __entry->new_ino, __entry->result)
);

/* A pending call is another socket's to accept; the length is unread. */
TRACE_EVENT(nym_migrate,
	TP_PROTO(const struct sock *sk, const char *name,
		 const struct sock *caller, u32 length),
	TP_ARGS(sk, name, caller, length),
	TP_STRUCT__entry(
		__field(unsigned long, ino)
		__field(unsigned long, caller_ino)
		__field(u32, length)
		__field(u16, type)
		__string(name, name)
	),
	TP_fast_assign(
		__entry->ino = nym_trace_ino(sk);
		__entry->caller_ino = nym_trace_ino(caller);
		__entry->length = length;
		__entry->type = sk->sk_type;
		nym_assign_name();
	),
	TP_printk("ino=%lu type=%s name=%s caller_ino=%lu length=%u",
		  __entry->ino, nym_trace_type(__entry->type), __get_str(name),
		  __entry->caller_ino, __entry->length)
);

/* Bytes that nobody will read. */
DECLARE_EVENT_CLASS(nym_length,
	TP_PROTO(const struct sock *sk, u16 type, const char *name, u32 length),
	TP_ARGS(sk, type, name, length),
	TP_STRUCT__entry(
		__field(unsigned long, ino)
		__field(u32, length)
		__field(u16, type)
		__string(name, name)
	),
	TP_fast_assign(
		__entry->ino = nym_trace_ino(sk);
		__entry->length = length;
		__entry->type = type;
		nym_assign_name();
	),
	TP_printk("ino=%lu type=%s name=%s length=%u", __entry->ino,
		  nym_trace_type(__entry->type), __get_str(name),
		  __entry->length)
);

/* A socket is released, with so much in its queue. */
DEFINE_EVENT(nym_length, nym_close,
	TP_PROTO(const struct sock *sk, u16 type, const char *name, u32 length),
	TP_ARGS(sk, type, name, length)
);

/*
 * A pending call is reset (the socket is the caller's, the name the called one),
 * or a datagram is thrown away (the socket is the receiver's).
 */
DEFINE_EVENT(nym_length, nym_drop,
	TP_PROTO(const struct sock *sk, u16 type, const char *name, u32 length),
	TP_ARGS(sk, type, name, length)
);

#ifndef _NYM_TRACE_ONCE
#define _NYM_TRACE_ONCE

void __nym_trace_bind(struct sock *sk, const struct nym_name *name, long result);
void __nym_trace_close(struct sock *sk);
void __nym_trace_send(struct sock *sk, long result);
void __nym_trace_recv(struct sock *sk, long result);
void __nym_trace_drop(struct sock *sk, u32 length);
void __nym_trace_reset(struct nym_endpoint *ep, struct nym_conn *call);
void __nym_trace_migrate(struct nym_endpoint *ep, struct nym_conn *call,
			 struct sock *to);

/* bind() has been called, with a well-formed address */
static inline void nym_trace_bind(struct sock *sk, const struct nym_name *name,
				  long result)
{
	if (trace_nym_bind_enabled())
		__nym_trace_bind(sk, name, result);
}

/* a socket is about to be released */
static inline void nym_trace_close(struct sock *sk)
{
	if (trace_nym_close_enabled())
		__nym_trace_close(sk);
}

/* something was sent, or could not be */
static inline void nym_trace_send(struct sock *sk, long result)
{
	if (trace_nym_send_enabled())
		__nym_trace_send(sk, result);
}

/* something was received, or could not be */
static inline void nym_trace_recv(struct sock *sk, long result)
{
	if (trace_nym_recv_enabled())
		__nym_trace_recv(sk, result);
}

/* a datagram is thrown away */
static inline void nym_trace_drop(struct sock *sk, u32 length)
{
	if (trace_nym_drop_enabled())
		__nym_trace_drop(sk, length);
}

/* a pending call is about to be reset */
static inline void nym_trace_reset(struct nym_endpoint *ep, struct nym_conn *call)
{
	if (trace_nym_drop_enabled())
		__nym_trace_reset(ep, call);
}

/* a pending call has got another socket; that cannot be released now */
static inline void nym_trace_migrate(struct nym_endpoint *ep,
				     struct nym_conn *call, struct sock *to)
{
	if (trace_nym_migrate_enabled())
		__nym_trace_migrate(ep, call, to);
}

#endif /* _NYM_TRACE_ONCE */

#endif /* _NYM_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
