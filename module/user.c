// SPDX-License-Identifier: GPL-2.0
/*
 * Users: what each of them makes the kernel hold.
 *
 * A user is known as long as something of it is counted. Finding, making and
 * forgetting one happen under one lock, which is innermost and spins.
 */
#include <linux/hash.h>
#include <linux/slab.h>

#include "af_nym.h"

#define NYM_USER_BUCKETS	1024

static DEFINE_SPINLOCK(nym_users_lock);
static struct hlist_head nym_users[NYM_USER_BUCKETS];

static struct hlist_head *nym_user_chain(const struct nym_net *nn, kuid_t uid)
{
	return &nym_users[hash_32(__kuid_val(uid) ^ hash_ptr(nn, 32),
				  ilog2(NYM_USER_BUCKETS))];
}

/* The lock is held. */
static void nym_user_count(struct nym_net *nn, int n)
{
	if (nn)
		WRITE_ONCE(nn->nusers, nn->nusers + n);
}

/* With a reference, or NULL; the lock is held. */
static struct nym_user *nym_user_find(const struct nym_net *nn, kuid_t uid)
{
	struct nym_user *user;

	lockdep_assert_held(&nym_users_lock);
	hlist_for_each_entry(user, nym_user_chain(nn, uid), node) {
		if (user->nn == nn && uid_eq(user->uid, uid)) {
			refcount_inc(&user->ref);
			return user;
		}
	}
	return NULL;
}

/**
 * nym_user_get() - what is known of a user
 * @nn: the namespace in which it is counted; NULL for all of them together
 * @uid: the user
 *
 * Context: sleeps
 * Return: the user with a reference, or NULL if there is no memory
 */
struct nym_user *nym_user_get(struct nym_net *nn, kuid_t uid)
{
	struct nym_user *user, *new;

	spin_lock(&nym_users_lock);
	user = nym_user_find(nn, uid);
	spin_unlock(&nym_users_lock);
	if (user)
		return user;

	new = kzalloc(sizeof(*new), GFP_KERNEL_ACCOUNT);
	if (!new)
		return NULL;
	new->nn = nn;
	new->uid = uid;
	refcount_set(&new->ref, 1);

	spin_lock(&nym_users_lock);
	user = nym_user_find(nn, uid);
	if (!user) {
		hlist_add_head(&new->node, nym_user_chain(nn, uid));
		nym_user_count(nn, 1);
	}
	spin_unlock(&nym_users_lock);
	if (!user)
		return new;
	kfree(new);
	return user;
}

/**
 * nym_user_put() - drop a reference
 * @user: the user
 *
 * Context: any but interrupts
 */
void nym_user_put(struct nym_user *user)
{
	bool last;

	spin_lock(&nym_users_lock);
	last = refcount_dec_and_test(&user->ref);
	if (last) {
		hlist_del(&user->node);
		nym_user_count(user->nn, -1);
	}
	spin_unlock(&nym_users_lock);
	if (last)
		kfree(user);
}
