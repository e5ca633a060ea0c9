// SPDX-License-Identifier: GPL-2.0
/*
 * Names: from an address to a name and back, and who may bind which.
 *
 * Nothing here knows sockets or takes a lock.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include <linux/uidgid.h>
#include <net/net_namespace.h>

#include "af_nym.h"

#define NYM_ADDR_HEAD	offsetof(struct sockaddr_nym, snym_name)

/**
 * nym_name_parse() - read an address
 * @name: where to put the name; @name->len is 0 if the address is the family
 *	alone, which means "you choose"
 * @addr: a struct sockaddr_nym in kernel memory
 * @len: its length as the user gave it
 *
 * Return: 0, or -EINVAL for whatever is not a well-formed address
 */
int nym_name_parse(struct nym_name *name, const void *addr, int len)
{
	const struct sockaddr_nym *snym = addr;
	int i;

	BUILD_BUG_ON(sizeof(struct sockaddr_nym) != sizeof(struct sockaddr_storage));

	/* A shorter address was not even copied from user space. */
	if (len < (int)NYM_ADDR_HEAD || len > (int)sizeof(*snym))
		return -EINVAL;
	if (snym->snym_family != nym_family)
		return -EINVAL;

	name->len = 0;
	if (len == NYM_ADDR_HEAD)
		return 0;

	len -= NYM_ADDR_HEAD;
	for (i = 0; i < len && snym->snym_name[i]; i++) {
		u8 c = snym->snym_name[i];

		/* From the first printable one: what is smaller wraps around. */
		if ((u8)(c - '!') > '~' - '!' || c == '@')
			return -EINVAL;
		name->text[i] = c;
	}
	if (!i || i > NYM_NAME_MAX)
		return -EINVAL;
	name->text[i] = '\0';
	name->len = i;
	return 0;
}

/**
 * nym_name_choose() - make a name that no program can bind
 * @name: where to put it
 * @id: a number that is unique in the namespace
 */
void nym_name_choose(struct nym_name *name, u64 id)
{
	name->len = scnprintf(name->text, sizeof(name->text), ":%llx", id);
}

/* "user/<uid>" and all below it is that user's, as the namespace numbers it. */
static bool nym_name_is_own(const struct net *net, const char *rest)
{
	uid_t uid = from_kuid(net->user_ns, current_fsuid());
	char own[16];
	size_t len;

	if (uid == (uid_t)-1)
		return false;
	len = scnprintf(own, sizeof(own), "%u", uid);
	return !strncmp(rest, own, len) && (rest[len] == '/' || !rest[len]);
}

/**
 * nym_name_may_bind() - may the caller bind this name, if it is free?
 * @net: the namespace it is to be bound in
 * @name: a name from nym_name_parse(), not empty
 *
 * Return: 0; -EINVAL for a name that only the kernel chooses; -EACCES for a
 * name kept for others
 */
int nym_name_may_bind(const struct net *net, const struct nym_name *name)
{
	static const char sys[] = "sys/", user[] = "user/";

	if (name->text[0] == ':')
		return -EINVAL;
	if (strncmp(name->text, sys, strlen(sys))) {
		if (strncmp(name->text, user, strlen(user))) {
			if (!nym_reserved(net, name))
				return 0;
		} else if (nym_name_is_own(net, name->text + strlen(user))) {
			return 0;
		}
	}
	return ns_capable(net->user_ns, CAP_NET_BIND_SERVICE) ? 0 : -EACCES;
}

/**
 * nym_name_fill() - write an address
 * @addr: room for a struct sockaddr_nym
 * @name: the name; empty for an address of the family alone
 *
 * Return: the address length. A name's NUL is counted, so that what is copied
 * to user space is a C string.
 */
int nym_name_fill(void *addr, const struct nym_name *name)
{
	struct sockaddr_nym *snym = addr;

	snym->snym_family = nym_family;
	if (!name->len)
		return NYM_ADDR_HEAD;
	memcpy(snym->snym_name, name->text, name->len);
	snym->snym_name[name->len] = '\0';
	return NYM_ADDR_HEAD + name->len + 1;
}

/**
 * nym_end_name() - write the address of one side of a connection
 * @end: the side
 * @addr: room for a struct sockaddr_nym
 *
 * Return: the address length
 */
int nym_end_name(const struct nym_end *end, void *addr)
{
	struct nym_name name;

	if (end->ep)
		return nym_name_fill(addr, &end->ep->name);
	nym_name_choose(&name, end->id);
	return nym_name_fill(addr, &name);
}
