// SPDX-License-Identifier: GPL-2.0
/*
 * Users: what each of them makes the kernel hold.
 *
 * A user is known as long as something of it is counted. There may be as many as
 * there are numbers for them, in each namespace: they are in one table that grows,
 * and are found in it under RCU.
 */
#include <linux/rhashtable.h>
#include <linux/slab.h>

#include "af_nym.h"

static struct rhashtable nym_users;

static const struct rhashtable_params nym_users_params = {
	.head_offset = offsetof(struct nym_user, node),
	.key_offset = offsetof(struct nym_user, key),
	/* Not what fills it up. */
	.key_len = offsetofend(struct nym_user_key, uid),
	.automatic_shrinking = true,
};

/* With a reference, or NULL. */
static struct nym_user *nym_user_find(const struct nym_user_key *key)
{
	struct nym_user *user;

	rcu_read_lock();
	user = rhashtable_lookup(&nym_users, key, nym_users_params);
	if (user && !refcount_inc_not_zero(&user->ref))
		user = NULL;
	rcu_read_unlock();
	return user;
}

/*
 * Puts a new user into the table, unless it is there already. Returns that one,
 * or @user, with a reference; NULL if there is no memory.
 */
static struct nym_user *nym_user_insert(struct nym_user *user)
{
	struct nym_user *old;

	for (;;) {
		rcu_read_lock();
		old = rhashtable_lookup_get_insert_fast(&nym_users, &user->node,
							nym_users_params);
		if (IS_ERR_OR_NULL(old) || refcount_inc_not_zero(&old->ref))
			break;
		/* On its way out: whoever gives it up will find that done. */
		rhashtable_remove_fast(&nym_users, &old->node, nym_users_params);
		rcu_read_unlock();
	}
	rcu_read_unlock();
	if (IS_ERR(old))
		return NULL;
	return old ? old : user;
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
	struct nym_user_key key = { .nn = nn, .uid = uid };
	struct nym_user *user = nym_user_find(&key), *new;

	if (user)
		return user;
	new = kzalloc(sizeof(*new), GFP_KERNEL_ACCOUNT);
	if (!new)
		return NULL;
	new->key = key;
	refcount_set(&new->ref, 1);
	user = nym_user_insert(new);
	if (user != new)
		/* Nobody has seen it. */
		kfree(new);
	else if (nn)
		atomic_inc(&nn->nusers);
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
	struct nym_net *nn = user->key.nn;

	if (!refcount_dec_and_test(&user->ref))
		return;
	rhashtable_remove_fast(&nym_users, &user->node, nym_users_params);
	if (nn)
		atomic_dec(&nn->nusers);
	kfree_rcu(user, rcu);
}

/**
 * nym_users_init() - at module load
 * Return: 0 or an error
 */
int __init nym_users_init(void)
{
	return rhashtable_init(&nym_users, &nym_users_params);
}

/**
 * nym_users_exit() - at module unload, after the last one has gone
 */
void nym_users_exit(void)
{
	rhashtable_destroy(&nym_users);
}
