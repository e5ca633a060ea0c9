/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the road of a call (backlog.c) and its detours when members come and go
 * (migrate.c) need of each other.
 */
#ifndef _NYM_BACKLOG_H
#define _NYM_BACKLOG_H

#include "af_nym.h"

/* Without the endpoint's lock; see backlog.c for what it pairs with. */
static inline void nym_member_wake(struct sock *sk)
{
	sk->sk_data_ready(sk);
}

/* backlog.c */
void nym_call_give(struct nym_endpoint *ep, struct nym_conn *call, struct nym_member *member);
struct nym_conn *nym_call_ungive(struct nym_backlog *backlog, struct nym_member *member);
void nym_call_abort(struct nym_backlog *backlog, struct nym_conn *call);
void nym_call_reset(struct nym_endpoint *ep, struct nym_conn *call);

/* migrate.c */
void nym_backlog_prune(struct nym_endpoint *ep);

#endif /* _NYM_BACKLOG_H */
