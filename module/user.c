// SPDX-License-Identifier: GPL-2.0
/*
 * Users: what each of them makes the kernel hold, in a network namespace.
 *
 * A user is known as long as something of it is counted. Finding, making and
 * forgetting one happen under one lock of the namespace.
 */
#include <linux/hash.h>
#include <linux/slab.h>

#include "af_nym.h"

static struct hlist_head *nym_user_chain(struct nym_net *nn, kuid_t uid)
{
	return &nn->users[hash_32(__kuid_val(uid), ilog2(NYM_USER_BUCKETS))];
}

/* With a reference, or NULL; the lock is held. */
static struct nym_user *nym_user_find(struct nym_net *nn, kuid_t uid)
{
	struct nym_user *user;

	hlist_for_each_entry(user, nym_user_chain(nn, uid), node) {
		if (uid_eq(user->uid, uid)) {
			refcount_inc(&user->ref);
			return user;
		}
	}
	return NULL;
}

/**
 * nym_user_get() - what is known of a user
 * @net: the namespace
 * @uid: the user
 *
 * Context: sleeps
 * Return: the user with a reference, or NULL if there is no memory
 */
struct nym_user *nym_user_get(struct net *net, kuid_t uid)
{
	struct nym_net *nn = nym_net(net);
	struct nym_user *user, *new;

	spin_lock(&nn->users_lock);
	user = nym_user_find(nn, uid);
	spin_unlock(&nn->users_lock);
	if (user)
		return user;

	new = kzalloc(sizeof(*new), GFP_KERNEL_ACCOUNT);
	if (!new)
		return NULL;
	new->nn = nn;
	new->uid = uid;
	refcount_set(&new->ref, 1);

	spin_lock(&nn->users_lock);
	user = nym_user_find(nn, uid);
	if (!user)
		hlist_add_head(&new->node, nym_user_chain(nn, uid));
	spin_unlock(&nn->users_lock);
	if (!user)
		return new;
	kfree(new);
	return user;
}

/**
 * nym_user_put() - drop a reference
 * @user: the user, of a namespace that has not gone
 *
 * Context: any but interrupts
 */
void nym_user_put(struct nym_user *user)
{
	struct nym_net *nn = user->nn;

	bool last;

	spin_lock(&nn->users_lock);
	last = refcount_dec_and_test(&user->ref);
	if (last)
		hlist_del(&user->node);
	spin_unlock(&nn->users_lock);
	if (last)
		kfree(user);
}
