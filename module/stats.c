// SPDX-License-Identifier: GPL-2.0
/*
 * Statistics of a network namespace, and /proc/net/nym_stats, which shows them.
 *
 * Every processor counts for itself and without a lock; readers add up. What
 * is, not what has happened, is counted where it is kept.
 */
#include <linux/percpu.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <net/net_namespace.h>

#include "af_nym.h"

static const char * const nym_stat_names[NYM_STATS] = {
	[NYM_STAT_SOCKETS] = "sockets",
	[NYM_STAT_BINDS] = "binds",
	[NYM_STAT_LISTENS] = "listens",
	[NYM_STAT_CONNECTS] = "connects",
	[NYM_STAT_PARKED] = "parked",
	[NYM_STAT_ACCEPTS] = "accepts",
	[NYM_STAT_REFUSED] = "refused",
	[NYM_STAT_WITHDRAWN] = "withdrawn",
	[NYM_STAT_MIGRATED] = "migrated",
	[NYM_STAT_ORPHANED] = "orphaned",
	[NYM_STAT_RESET] = "reset",
	[NYM_STAT_LINGER_STARTED] = "linger_started",
	[NYM_STAT_LINGER_EXPIRED] = "linger_expired",
	[NYM_STAT_DATAGRAMS_SENT] = "datagrams_sent",
	[NYM_STAT_DATAGRAMS_RECEIVED] = "datagrams_received",
	[NYM_STAT_DATAGRAMS_DROPPED] = "datagrams_dropped",
	[NYM_STAT_FILES_SENT] = "files_sent",
	[NYM_STAT_FILES_RECEIVED] = "files_received",
	[NYM_STAT_FILES_DROPPED] = "files_dropped",
};

/* A sum; single shares mean nothing, since what one adds another takes off. */
static unsigned long nym_stat_sum(const struct nym_net *nn, enum nym_stat stat)
{
	unsigned long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu_ptr(nn->stats, cpu)->count[stat]);
	return sum;
}

static int nym_stats_show(struct seq_file *seq, void *v)
{
	struct nym_net *nn = nym_net(seq_file_single_net(seq));
	int i;

	seq_printf(seq, "%s %lu\n", nym_stat_names[NYM_STAT_SOCKETS],
		   nym_stat_sum(nn, NYM_STAT_SOCKETS));
	seq_printf(seq, "names %d\nusers %u\n", atomic_read(&nn->nnames),
		   atomic_read(&nn->nusers));
	for (i = NYM_STAT_SOCKETS + 1; i < NYM_STATS; i++)
		seq_printf(seq, "%s %lu\n", nym_stat_names[i],
			   nym_stat_sum(nn, i));
	return 0;
}

/**
 * nym_stats_net_init() - for a new network namespace
 * @net: the namespace
 *
 * Context: sleeps
 * Return: 0 or -ENOMEM
 */
int nym_stats_net_init(struct net *net)
{
	nym_net(net)->stats = alloc_percpu(struct nym_stats);
	return nym_net(net)->stats ? 0 : -ENOMEM;
}

/**
 * nym_stats_net_exit() - for a namespace in which nothing happens any more
 * @net: the namespace
 */
void nym_stats_net_exit(struct net *net)
{
	free_percpu(nym_net(net)->stats);
}

/**
 * nym_stats_proc_init() - make /proc/net/nym_stats in a namespace
 * @net: the namespace
 *
 * Return: 0 or -ENOMEM
 */
int nym_stats_proc_init(struct net *net)
{
	return proc_create_net_single("nym_stats", 0444, net->proc_net,
				      nym_stats_show, NULL) ? 0 : -ENOMEM;
}

/**
 * nym_stats_proc_exit() - remove it
 * @net: the namespace
 */
void nym_stats_proc_exit(struct net *net)
{
	remove_proc_entry("nym_stats", net->proc_net);
}
