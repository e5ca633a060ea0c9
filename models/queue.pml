/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The calls of a name with two members, between connect() and accept(), as in
 * backlog.c and migrate.c: one lock, every step taken whole under it, everybody
 * woken after it. A caller may take its parked call back, and a member may be
 * closed, at any moment; whether the second ever is, is chosen first, as the
 * hope for it would hide that somebody sleeps for ever. No caller is lost or
 * left asleep, no call is served twice, and both references of a call are
 * dropped, each once.
 *
 * With -DNO_PROMOTE, accept() does not move parked calls up; with -DNO_REFUSE
 * the last member goes without a word to them; with -DNO_TELL a caller is not
 * woken; with -DDROP_TWICE a refused call's reference is dropped once too often.
 * qemu/check-models sees that each of these errors is found.
 */
#ifndef CALLS
#define CALLS	2
#endif
#define MEMBERS	2
#define LIMIT	1	/* pending at one member; what it inherits comes on top */

mtype = { NEW, PARKED, PENDING, ACCEPTED, REFUSED, RESET, WITHDRAWN };

mtype state[CALLS] = NEW;
byte at[CALLS];			/* which member a pending call is at */
byte refs[CALLS];
bool sleeps[CALLS];

bool open[MEMBERS] = true;
byte npending[MEMBERS];
bool idles[MEMBERS];		/* asleep in accept() */
byte nopen = MEMBERS;
byte over;			/* callers that know how their call ended */

#define ENDED(c) (state[c] != NEW && state[c] != PARKED && state[c] != PENDING)

/*
 * Who is to be woken once the lock is released; CALLS and MEMBERS: nobody. That
 * two are woken one after the other makes no difference to either.
 */
inline tell(tc, tm)
{
	atomic {
		if
#ifndef NO_TELL
		:: tc < CALLS -> sleeps[tc] = false
#endif
		:: else
		fi;
		if
		:: tm < MEMBERS -> idles[tm] = false
		:: else
		fi
	}
}

inline drop(dc)
{
	assert(refs[dc] > 0);
	refs[dc]--
}

/* In the lock: sets @m to an open member with room, or to MEMBERS. */
inline choose(cm)
{
	if
	:: open[0] && npending[0] < LIMIT && (!open[1] || npending[0] <= npending[1]) -> cm = 0
	:: open[1] && npending[1] < LIMIT && (!open[0] || npending[1] <= npending[0]) -> cm = 1
	:: !(open[0] && npending[0] < LIMIT) && !(open[1] && npending[1] < LIMIT) -> cm = MEMBERS
	fi
}

/* In the lock: sets @c to a call in this state, at @m if that is a member. */
inline pick(pc, which, pm)
{
	pc = 0;
	do
	:: pc < CALLS && state[pc] == which && (pm == MEMBERS || at[pc] == pm) -> break
	:: pc < CALLS && !(state[pc] == which && (pm == MEMBERS || at[pc] == pm)) -> pc++
	:: pc == CALLS -> break
	od
}

inline give(gc, gm)
{
	state[gc] = PENDING;
	at[gc] = gm;
	npending[gm]++
}

/* nym_backlog_promote(): one call at a time. */
inline promote(qc, qm)
{
	do
	:: atomic {
		pick(qc, PARKED, MEMBERS);
		choose(qm);
		if
		:: qc < CALLS && qm < MEMBERS -> give(qc, qm)
		:: else -> break
		fi
	   };
	   tell(qc, qm)
	od
}

/* nym_backlog_refuse() */
inline refuse(rc)
{
	do
	:: atomic {
		pick(rc, PARKED, MEMBERS);
		if
		:: rc < CALLS && nopen == 0 ->
			state[rc] = REFUSED;
#ifdef DROP_TWICE
			drop(rc);
#endif
			drop(rc)
		:: else -> break
		fi
	   };
	   tell(rc, MEMBERS)
	od
}

proctype caller(byte me)
{
	byte c, m;
	bool patient;

	if
	:: patient = true
	:: patient = false
	fi;

	/* nym_backlog_submit(): who was there before goes first. */
	do
	:: atomic {
		refs[me] = 2;
		m = MEMBERS;
		c = CALLS;
		if
		:: nopen == 0 -> state[me] = REFUSED; drop(me); break
		:: else ->
			choose(m);
			if
			:: m < MEMBERS ->
				pick(c, PARKED, MEMBERS);
				if
				:: c < CALLS -> give(c, m)
				:: else -> give(me, m); break
				fi
			:: else -> state[me] = PARKED; break
			fi
		fi
	   };
	   tell(c, m)
	od;
	tell(CALLS, m);

	/* Sleeps in connect(), then in recv(): until somebody has ended it. */
	do
	:: ENDED(me) -> break
	:: else ->
		sleeps[me] = true;
		if
		:: ENDED(me) -> sleeps[me] = false
		:: else ->
			if
			:: !sleeps[me]
			/* A signal, or close(). */
			:: atomic { !patient && state[me] == PARKED -> state[me] = WITHDRAWN; drop(me) };
				sleeps[me] = false
			fi
		fi
	od;
	drop(me);
	over++
}

/* nym_accept() once: takes a call, if there is one. */
inline accept(ame, ac, am)
{
	atomic {
		pick(ac, PENDING, ame);
		if
		:: ac < CALLS ->
			state[ac] = ACCEPTED;
			assert(npending[ame] > 0);
			npending[ame]--;
			drop(ac)
		:: else
		fi
	};
#ifndef NO_PROMOTE
	promote(am, m2);
#endif
	tell(ac, MEMBERS)
}

/* nym_backlog_leave(): pending calls go to the other member, or are reset. */
inline leave(lme, lc, lm)
{
	atomic { open[lme] = false; nopen-- };
	do
	:: atomic {
		pick(lc, PENDING, lme);
		if
		:: lc == CALLS -> break
		:: else ->
			npending[lme]--;
			lm = 1 - lme;
			if
			:: open[lm] -> give(lc, lm); lc = CALLS
			:: else -> state[lc] = RESET; drop(lc); lm = MEMBERS
			fi
		fi
	   };
	   tell(lc, lm)
	od;
	promote(lc, lm);
#ifndef NO_REFUSE
	refuse(lc)
#endif
}

/* Closed at any moment, or when every caller knows how its call ended. */
proctype server(byte me)
{
	byte c, m, m2;
	bool stays;

	if
	:: me != 0 -> stays = true
	:: stays = false
	fi;
	do
	:: npending[me] > 0 -> accept(me, c, m)
	:: !stays || over == CALLS -> break
	:: npending[me] == 0 ->
		idles[me] = true;
		if
		:: npending[me] > 0 || over == CALLS -> idles[me] = false
		:: else ->
			if
			:: !idles[me]
			:: !stays || over == CALLS -> idles[me] = false
			fi
		fi
	od;
	leave(me, c, m)
}

init {
	byte i;

	atomic {
		run server(0);
		run server(1);
		for (i : 0 .. CALLS - 1) {
			run caller(i)
		}
	};
	_nr_pr == 1 ->
	for (i : 0 .. CALLS - 1) {
		assert(ENDED(i) && refs[i] == 0)
	};
	assert(npending[0] == 0 && npending[1] == 0)
}
