// SPDX-License-Identifier: GPL-2.0
/*
 * /proc/sys/net/nym: the limits of a network namespace, and which names are
 * reserved in it.
 *
 * The files belong to the namespace: root of the user namespace that owns it may
 * write them. A list of reservations is replaced as a whole; who looks at it does
 * so under RCU.
 */
#include <linux/cred.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysctl.h>
#include <net/net_namespace.h>

#include "af_nym.h"

/* The longest text of reservations. */
#define NYM_RESERVED_MAX	PAGE_SIZE

/**
 * struct nym_reservation - names kept for somebody
 * @prefix: what they begin with
 * @len: its length
 * @uid: whose user may bind them; invalid if @gid is meant
 * @gid: whose group may
 */
struct nym_reservation {
	const char *prefix;
	size_t len;
	kuid_t uid;
	kgid_t gid;
};

/**
 * struct nym_reservations - a namespace's list
 * @rcu: frees it
 * @text: what was written, for reading
 * @words: a copy, in which the prefixes are
 * @n: length of @list
 * @list: the reservations
 */
struct nym_reservations {
	struct rcu_head rcu;
	char *text;
	char *words;
	unsigned int n;
	struct nym_reservation list[];
};

static void nym_reservations_free(struct nym_reservations *res)
{
	if (!res)
		return;
	kfree(res->text);
	kfree(res->words);
	kfree(res);
}

static void nym_reservations_free_rcu(struct rcu_head *rcu)
{
	nym_reservations_free(container_of(rcu, struct nym_reservations, rcu));
}

static bool nym_reservation_admits(const struct nym_reservation *res)
{
	if (uid_valid(res->uid))
		return uid_eq(res->uid, current_fsuid());
	return in_group_p(res->gid);
}

/**
 * nym_reserved() - is a name kept for others?
 * @net: the namespace it is to be bound in
 * @name: the name
 *
 * The longest prefix counts, and of equal ones the first.
 *
 * Context: any but interrupts
 * Return: true if the current process may not bind it, but for its capabilities
 */
bool nym_reserved(const struct net *net, const struct nym_name *name)
{
	const struct nym_reservation *best = NULL, *res;
	const struct nym_reservations *all;
	bool reserved = false;
	unsigned int i;

	rcu_read_lock();
	all = rcu_dereference(nym_net(net)->reserved);
	for (i = 0; all && i < all->n; i++) {
		res = &all->list[i];
		if ((!best || res->len > best->len) && res->len <= name->len &&
		    !memcmp(res->prefix, name->text, res->len))
			best = res;
	}
	if (best)
		reserved = !nym_reservation_admits(best);
	rcu_read_unlock();
	return reserved;
}

/* One entry: a prefix, "uid" or "gid", a number; the words are cut apart. */
static int nym_reservation_parse(struct nym_reservation *res, char *entry,
				 struct user_namespace *ns)
{
	char *prefix = strsep(&entry, " \t"), *kind = strsep(&entry, " \t");
	unsigned int id;

	if (!prefix || !kind || !entry || !*prefix)
		return -EINVAL;
	if (strlen(prefix) > NYM_NAME_MAX || kstrtouint(entry, 10, &id))
		return -EINVAL;
	res->prefix = prefix;
	res->len = strlen(prefix);
	res->uid = strcmp(kind, "uid") ? INVALID_UID : make_kuid(ns, id);
	res->gid = strcmp(kind, "gid") ? INVALID_GID : make_kgid(ns, id);
	return uid_valid(res->uid) || gid_valid(res->gid) ? 0 : -EINVAL;
}

/* Entries stand between commas; empty ones do not count. */
static int nym_reservations_parse(struct nym_reservations *res,
				  struct user_namespace *ns)
{
	char *rest = res->words, *entry;
	int err;

	while ((entry = strsep(&rest, ",")) != NULL) {
		entry = strim(entry);
		if (!*entry)
			continue;
		err = nym_reservation_parse(&res->list[res->n], entry, ns);
		if (err)
			return err;
		res->n++;
	}
	return 0;
}

static struct nym_reservations *nym_reservations_make(const char *text,
						      struct user_namespace *ns)
{
	struct nym_reservations *res;
	size_t i, max = 1;
	int err = -ENOMEM;

	for (i = 0; text[i]; i++)
		max += text[i] == ',';
	res = kzalloc(struct_size(res, list, max), GFP_KERNEL_ACCOUNT);
	if (!res)
		return ERR_PTR(-ENOMEM);
	res->text = kstrdup(text, GFP_KERNEL_ACCOUNT);
	res->words = kstrdup(text, GFP_KERNEL_ACCOUNT);
	if (res->text && res->words)
		err = nym_reservations_parse(res, ns);
	if (!err)
		return res;
	nym_reservations_free(res);
	return ERR_PTR(err);
}

static int nym_reserved_set(struct net *net, const char *text)
{
	struct nym_reservations *res = nym_reservations_make(text, net->user_ns);

	if (IS_ERR(res))
		return PTR_ERR(res);
	/* Pairs with rcu_dereference() of who looks for a prefix or reads it. */
	res = unrcu_pointer(xchg(&nym_net(net)->reserved, RCU_INITIALIZER(res)));
	if (res)
		call_rcu(&res->rcu, nym_reservations_free_rcu);
	return 0;
}

static void nym_reserved_get(struct net *net, char *text)
{
	const struct nym_reservations *res;

	rcu_read_lock();
	res = rcu_dereference(nym_net(net)->reserved);
	strscpy(text, res ? res->text : "", NYM_RESERVED_MAX);
	rcu_read_unlock();
}

/* Of several, proc_dostring() would take the first for all there is. */
static bool nym_is_one_line(const char *text, size_t len)
{
	const char *end = memchr(text, '\n', len);

	return (!end || end == text + len - 1) && !memchr(text, '\0', len);
}

static int nym_sysctl_reserved(nym_ctl_table *table, int write, void *buffer,
			       size_t *lenp, loff_t *ppos)
{
	struct ctl_table copy = *table;
	struct net *net = table->data;
	char *text;
	int err;

	/* As with the kernel's own, nothing is not an empty list. */
	if (write && !*lenp)
		return 0;
	/* A list is written in one go, or not at all. */
	if (write && (*ppos || !nym_is_one_line(buffer, *lenp)))
		return -EINVAL;
	text = kzalloc(NYM_RESERVED_MAX, GFP_KERNEL_ACCOUNT);
	if (!text)
		return -ENOMEM;
	if (!write)
		nym_reserved_get(net, text);
	copy.data = text;
	copy.maxlen = NYM_RESERVED_MAX;
	if (write && *lenp >= NYM_RESERVED_MAX)
		err = -E2BIG;
	else
		err = proc_dostring(&copy, write, buffer, lenp, ppos);
	if (!err && write)
		err = nym_reserved_set(net, text);
	kfree(text);
	return err;
}

static int nym_limit_max = INT_MAX;

/* The data are set for each namespace, in this order. */
static const struct ctl_table nym_sysctls[] = {
	{
		.procname = "max_names",
		.maxlen = sizeof(int),
		.mode = 0644,
		.proc_handler = proc_dointvec_minmax,
		.extra1 = SYSCTL_ZERO,
		.extra2 = &nym_limit_max,
	},
	{
		.procname = "max_parked",
		.maxlen = sizeof(int),
		.mode = 0644,
		.proc_handler = proc_dointvec_minmax,
		.extra1 = SYSCTL_ZERO,
		.extra2 = &nym_limit_max,
	},
	{
		.procname = "max_files",
		.maxlen = sizeof(int),
		.mode = 0644,
		.proc_handler = proc_dointvec_minmax,
		.extra1 = SYSCTL_ZERO,
		.extra2 = &nym_limit_max,
	},
	{
		.procname = "reserved",
		.mode = 0644,
		.proc_handler = nym_sysctl_reserved,
	},
};

/**
 * nym_sysctl_net_init() - make /proc/sys/net/nym in a namespace
 * @net: the namespace
 *
 * Context: sleeps
 * Return: 0 or -ENOMEM
 */
int nym_sysctl_net_init(struct net *net)
{
	struct nym_net *nn = nym_net(net), *host = nym_net(&init_net);
	const size_t n = ARRAY_SIZE(nym_sysctls);
	struct ctl_table *table;

	BUILD_BUG_ON(ARRAY_SIZE(nym_sysctls) != 4);
	if (net_eq(net, &init_net)) {
		nn->max_names = NYM_NAMES_DEFAULT;
		nn->max_parked = NYM_PARKED_DEFAULT;
		nn->max_files = NYM_FILES_DEFAULT;
	} else {
		nn->max_names = READ_ONCE(host->max_names);
		nn->max_parked = READ_ONCE(host->max_parked);
		nn->max_files = READ_ONCE(host->max_files);
	}

	table = kcalloc(NYM_SYSCTL_ENTRIES(n), sizeof(*table), GFP_KERNEL);
	if (!table)
		return -ENOMEM;
	memcpy(table, nym_sysctls, sizeof(nym_sysctls));
	table[0].data = &nn->max_names;
	table[1].data = &nn->max_parked;
	table[2].data = &nn->max_files;
	table[3].data = net;
	/* The memory is the host's: its own limits are not for others to exceed. */
	if (net->user_ns != &init_user_ns) {
		table[0].extra2 = &host->max_names;
		table[1].extra2 = &host->max_parked;
		table[2].extra2 = &host->max_files;
	}
	nn->sysctls = nym_register_sysctls(net, "net/nym", table, n);
	if (nn->sysctls)
		return 0;
	kfree(table);
	return -ENOMEM;
}

/**
 * nym_sysctl_net_exit() - remove it, and the reservations
 * @net: the namespace, without sockets
 *
 * Context: sleeps
 */
void nym_sysctl_net_exit(struct net *net)
{
	struct nym_net *nn = nym_net(net);
	const struct ctl_table *table = nn->sysctls->ctl_table_arg;

	unregister_net_sysctl_table(nn->sysctls);
	kfree(table);
	nym_reservations_free(rcu_replace_pointer(nn->reserved, NULL, true));
}
