// SPDX-License-Identifier: GPL-2.0
/*
 * Addresses: mostly of the few names that there are, so that calls meet; else
 * anything that looks like a name, or does not.
 */
#include "fuzz.h"

#include <stdio.h>

#define HEAD	offsetof(struct sockaddr_nym, snym_name)

/* The name that the socket in this slot binds and that calls go to. */
void address_own(unsigned int slot, struct sockaddr_nym *sa, socklen_t *len)
{
	memset(sa, 0, sizeof(*sa));
	sa->snym_family = AF_NYM;
	*len = HEAD + 1 + snprintf(sa->snym_name, sizeof(sa->snym_name), "%s%u",
				   slot / REGION_SLOTS == DGRAMS ? "fuzz/d" : "fuzz/l",
				   /* Two slots share a name. */
				   slot % REGION_SLOTS / 2);
}

static void address_odd_name(struct actor *a, char *name)
{
	static const char * const names[] = {
		"sys/x", "sys/", "user/1000/x", "user/1000", "user/0/x", "user/01/x",
		"user/x", "user/", "fuzz/r/x", ":1", ":", ":fuzz", "a@b", "@", " ", "",
		"\x7f", "\x80", "a b", "a\n", "/", "..", "fuzz/l0 ", "~",
	};

	switch (below(a, 5)) {
	case 0:
		/* What the kernel has chosen for somebody, perhaps. */
		snprintf(name, 24, ":%x", below(a, 4096));
		break;
	case 1:
		memset(name, '!' + below(a, 94), NYM_NAME_MAX);
		break;
	case 2:
		name[below(a, 3)] = random_next(a);
		name[below(a, 8)] = random_next(a);
		break;
	default:
		strcpy(name, PICK(a, names));
		break;
	}
}

static socklen_t address_length(struct actor *a, const char *name, socklen_t exact)
{
	switch (below(a, 24)) {
	case 0:
		return HEAD;
	case 1:
		return HEAD + strnlen(name, NYM_NAME_MAX);
	case 2:
		return below(a, 140);
	case 3:
		return int_any(a);
	case 4:
	case 5:
	case 6:
		return sizeof(struct sockaddr_nym);
	default:
		return exact;
	}
}

/* What getsockname() of this slot says. */
static void address_seen(unsigned int slot, struct sockaddr_nym *sa, socklen_t *len)
{
	socklen_t room = sizeof(*sa);

	if (!getsockname(file_fd(slot), (struct sockaddr *)sa, &room))
		*len = room < sizeof(*sa) ? room : sizeof(*sa);
}

/* An address for a call of the socket in @slot: one of the sort it can call. */
struct sockaddr *address_of(struct actor *a, unsigned int slot, socklen_t *len)
{
	/* The kernel reads as much as the caller says. */
	struct sockaddr_nym sa[2] = { };
	enum region region = slot / REGION_SLOTS == DGRAMS ? DGRAMS : LISTENERS;
	unsigned int other = region * REGION_SLOTS + below(a, REGION_SLOTS / 4) * 4 + slot % 4;

	address_own(one_in(a, 20) ? slot_any(a) : other, &sa[0], len);
	switch (below(a, 16)) {
	case 0:
		address_odd_name(a, sa[0].snym_name);
		*len = HEAD + 1 + strnlen(sa[0].snym_name, NYM_NAME_MAX);
		break;
	case 1:
	case 2:
		address_seen(slot_any(a), &sa[0], len);
		break;
	}
	*len = address_length(a, sa[0].snym_name, *len);
	if (one_in(a, 60))
		sa[0].snym_family = one_in(a, 2) ? AF_UNSPEC : below(a, 50);
	if (one_in(a, 200))
		*len = sizeof(sa[0].snym_family), sa[0].snym_family = AF_UNSPEC;
	return mem_in(a, sa, *len <= sizeof(sa) ? *len : sizeof(sa));
}

struct sockaddr *address_any(struct actor *a, socklen_t *len)
{
	return address_of(a, slot_any(a), len);
}
