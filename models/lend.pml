/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Loans: nym_stream_lend() and nym_await_loan() against nym_stream_copy(), poll()
 * and SIOCINQ. Two writers share one socket; the first may end a loan early at any
 * moment, and then give up or go on. A reader may stop when what is left fits into
 * the ring. Nobody is left asleep, and every byte that a writer says it has sent
 * arrives, once and in order. What the reader was told of is there when it reads.
 * The ring does not hold more than it may. The pages of a loan are let go of once,
 * and not touched any more.
 *
 * Stores may be seen late, as in wake.pml: those to the tail and the head, and what
 * is stored last under the loan's lock, which is free only when that is seen.
 *
 * With -DNO_RETURN_MB or -DNO_PUBLISH_MB, a barrier before a look for sleepers is
 * missing. With -DNO_ROOM, nobody is told that the end of a loan makes room; with
 * -DNO_KEEP, nothing is kept of one that ends early. With -DEND_LATER, it ends in
 * another turn of the lock than the one that found no more to keep; with -DFREE_EARLY,
 * without the lock. With -DPOLL_FREE, poll() takes no lock; with -DLOOK_ONCE, a look
 * without the lock asks for used bytes before the loan only. With -DLEAST=2 and
 * -DFIRST=2, all that is lent may fit into the ring before the reader sees the loan,
 * and nobody says so. qemu/check-models sees that each of these errors is found.
 */
#ifndef LIMIT
#define LIMIT	2	/* bytes that the ring may hold */
#endif
#define LEVEL	(LIMIT / 2)	/* so many may be used when a writer is woken */
#ifndef LEAST
#define LEAST	(LIMIT + 1)	/* bytes that are lent: never what would fit into a ring */
#endif
#define WRITERS	2

/* What the writers write: so many bytes, each with its number. */
#ifndef FIRST
#define FIRST	3
#endif
#ifndef SECOND
#define SECOND	1
#endif
#define OF(i)	((i) == 0 -> FIRST : SECOND)
#define LEFT(i)	(OF(i) - sent[i])
#define BYTE(i, n)	((i) * 8 + (n))

mtype = { POLLS, PEEKS };	/* the reader */
mtype = { FREE, TAKEN, LENDING, ENDING, FINISHING, DUE };	/* the loan's lock */

byte ring[FIRST + SECOND];
byte tail, wtail;	/* bytes put into it, as is seen by now; @wlock */
byte head, rhead;	/* bytes read from it, as is seen by now */
bool wlock;		/* of the writers */
bool stalled;		/* ring->wake_at; all wait for the same level */
bool asleep[WRITERS];	/* on the socket's wait queue */
bool rasleep;
byte sent[WRITERS];	/* that the writer knows to have gone */
byte got[WRITERS];
byte over;		/* writers that are done */

mtype llock = FREE;	/* not free while stores are under way */
byte loan;		/* ring->loan: 0, or 1 + the writer */
byte next;		/* of its bytes; @llock */
bool due;
byte lent;		/* as @loan, but until the writer has ended it; @wlock */
bool extra;		/* ring->extra */
bool held[WRITERS];	/* references on a writer's pages */
byte told;		/* bytes that the reader has been told of */

#define ROOM	(extra -> 0 : LIMIT - (wtail - head))
#define GAVE_ROOM	(!extra && tail - head <= LEVEL)	/* nym_ring_has_room() */
#define WAITS(i)	(loan == (i) + 1 && !due)	/* nym_loan_waits() */
#define SEEN	(llock == FINISHING -> 0 : loan)	/* the reader knows its own store */

#define REST	(OF(loan - 1) - next)	/* nym_loan_rest() */
/* nym_loan_told() */
#define TOLD(used)	(REST < LIMIT - (used) -> REST : LIMIT - (used))
#ifdef NO_KEEP
#define KEEPS	0
#else
#define KEEPS	(TOLD(wtail - head) > 0)
#endif
#define UNREAD	(FIRST + SECOND - got[0] - got[1])	/* in all, sent or not */

/* What the writer has stored is seen, in its order. */
inline flush_writer()
{
	tail = wtail;
	if
	:: llock == LENDING -> loan = lent; llock = FREE
	:: llock == ENDING -> loan = 0; llock = FREE
	:: else
	fi
}

/* What the reader has stored. */
inline flush_reader()
{
	head = rhead;
	if
	:: llock == FINISHING -> tail = wtail; loan = 0; llock = FREE
	:: llock == DUE -> due = true; llock = FREE
	:: else
	fi
}

/* When stores become visible, if no barrier is in a hurry. */
active proctype memory()
{
end:	do
	:: atomic { tail != wtail -> tail = wtail }
	:: atomic { head != rhead -> head = rhead }
	:: atomic { llock == LENDING || llock == ENDING -> flush_writer() }
	:: atomic { llock == FINISHING || llock == DUE -> flush_reader() }
	od
}

inline lock()
{
	atomic { !wlock -> wlock = true }
}

/* A release: who takes the lock sees what was stored under it. */
inline unlock()
{
	atomic { flush_writer(); wlock = false }
}

inline lock_loan()
{
	atomic { llock == FREE -> llock = TAKEN }
}

/* Wakes all who are on the queue. */
inline wake_writers()
{
	atomic { asleep[0] = false; asleep[1] = false }
}

/* nym_published() */
inline published()
{
#ifndef NO_PUBLISH_MB
	atomic { flush_writer() };
#endif
	rasleep = false
}

/* nym_consumed(), after its barrier; also by who has ended a loan. */
inline consumed()
{
	if
	:: stalled && GAVE_ROOM ->
		stalled = false;
		wake_writers()
	:: else
	fi
}

/* nym_await_room() */
inline await_room(me)
{
	unlock();
	asleep[me] = true;
	stalled = true;
	if
	:: GAVE_ROOM -> asleep[me] = false
	:: else -> !asleep[me]	/* schedule() */
	fi;
	lock()
}

/*
 * nym_await_loan(). Who may lose patience does before it falls asleep: the hope for
 * it would hide that somebody sleeps for ever.
 */
inline await_loan(me)
{
	unlock();
	do
	:: !WAITS(me) -> break
	:: else ->
		if
		:: me == 0 -> broken = true; break	/* a signal, or a timeout */
		:: me == 0 -> lends = false; break	/* nobody reads */
		:: asleep[me] = true;
			if
			:: WAITS(me) -> !asleep[me]	/* schedule() */
			:: else -> asleep[me] = false
			fi
		fi
	od;
	lock()
}

/* A byte, number @what of the writer's, goes into the ring. */
inline put(whose, what)
{
	ring[wtail] = BYTE(whose, what);
	wtail++;
	what++;
	assert(wtail - rhead <= LIMIT)
}

/* nym_loan_end(), which keeps one byte after the other. */
inline end_loan(me)
{
#ifdef FREE_EARLY
	atomic {
		do
		:: loan && KEEPS -> put(me, next); kept = true
		:: else -> break
		od;
		tail = wtail;
		loan = 0
	};
#else
	do
	:: lock_loan();
		if
		:: loan && KEEPS ->
			atomic {
				put(me, next);
				kept = true;
				if
				:: REST == 0 -> llock = ENDING
				:: else -> tail = wtail; llock = FREE
				fi
			}
		:: !loan -> llock = FREE; break
		:: else ->
#ifdef END_LATER
			llock = FREE;
			lock_loan();
#endif
			llock = ENDING;
			break
		fi
	od;
#endif
	atomic {
		sent[me] = next;
		next = 0;
		due = false;
		extra = false;
		lent = 0;
		assert(held[me]);
		held[me] = false
	}
}

/* nym_stream_lend() */
inline lend_rest(me)
{
	atomic {
		held[me] = true;
		next = sent[me];
		lent = me + 1;
		extra = true
	};
	atomic { llock == FREE -> llock = LENDING };
	published();
	await_loan(me);
	end_loan(me);
	if
	:: kept -> published(); kept = false
	:: else
	fi;
#ifndef NO_ROOM
	atomic { flush_writer() };
	consumed()
#endif
}

/* nym_stream_write() */
inline write(me)
{
	atomic {
		do
		:: n > 0 && LEFT(me) > 0 -> put(me, sent[me]); n--
		:: else -> break
		od;
		n = 0
	};
	published()
}

/* nym_stream_send() */
inline send(me)
{
	lock();
	do
	:: broken || LEFT(me) == 0 -> break
	:: else ->
		atomic {
			n = ROOM;
			lend = lends && LEFT(me) > n && LEFT(me) >= LEAST && !lent;
			n = (lend -> 0 : n)
		};
		if
		:: lend -> lend_rest(me)
		:: else ->
			if
			:: n > 0 -> write(me)
			:: else -> await_room(me); lends = true
			fi
		fi
	od;
	unlock()
}

proctype writer(byte me)
{
	byte n;
	bool lend, lends, broken, kept;

	do
	:: lends = true;
		send(me);
		if
		:: broken -> broken = false	/* once more */
		:: broken || LEFT(me) == 0 -> break
		fi
	od;
	over++
}

/* Reads a byte. */
inline take(what)
{
	who = what / 8;
	assert(what % 8 == got[who]);
	got[who]++;
	n++;
	told = (told > 0 -> told - 1 : 0)
}

/* nym_ring_is_empty() */
inline look()
{
	nothing = tail == rhead;
	if
	:: nothing -> nothing = SEEN == 0
	:: else
	fi;
#ifndef LOOK_ONCE
	if
	:: nothing -> nothing = tail == rhead
	:: else
	fi;
#endif
	assert(!nothing || told == 0)
}

/* nym_loan_return() */
inline return_loan()
{
#ifndef NO_RETURN_MB
	atomic { flush_reader() };
#endif
	wake_writers()
}

/* nym_loan_take(), a byte at a time. */
inline take_loan()
{
	do
	:: n < want ->
		lock_loan();
		if
		:: loan && tail == rhead ->
			whose = loan - 1;
			atomic {
				assert(held[whose]);
				take(BYTE(whose, next));
				next++;
				llock = (next == OF(whose) -> FINISHING : FREE);
				whose = 0
			}
		:: else -> llock = FREE; break
		fi
	:: else -> break
	od
}

/* nym_loan_is_due() and, if so, nym_loan_return() */
inline settle()
{
	lock_loan();
	if
	:: !loan -> llock = FREE; return_loan()
	:: loan && !due && TOLD(tail - rhead) == REST -> llock = DUE; return_loan()
	:: else -> llock = FREE
	fi
}

/* nym_stream_copy() */
inline read()
{
	borrows = SEEN > 0;
	atomic {
		n = 0;
		end = tail;
		do
		:: n < want && rhead != end -> take(ring[rhead]); ring[rhead] = 0; rhead++
		:: else -> break
		od
	};
	if
	:: borrows -> take_loan(); settle()
	:: else
	fi;
	atomic { flush_reader() };
	consumed()
}

/* nym_loan_show(): what is told of goes into the ring. */
inline reveal()
{
	if
	:: atomic { loan && !wlock -> wlock = true };
		do
		:: lock_loan();
			if
			:: loan && TOLD(wtail - rhead) > 0 ->
				atomic {
					assert(held[loan - 1]);
					put(loan - 1, next);
					if
					:: REST == 0 -> llock = FINISHING
					:: else -> tail = wtail; llock = FREE
					fi
				}
			:: else -> llock = FREE; break
			fi
		od;
		atomic { flush_reader(); tail = wtail; wlock = false }
	:: !loan
	fi;
	if
	:: !SEEN -> return_loan()
	:: else
	fi
}

/* So much is there, and not less than before. */
inline promise(count)
{
	atomic {
		n = count;
		assert(n >= told);
		told = n
	}
}

/* The same with MSG_PEEK, of all there is. */
inline peek()
{
	if
	:: SEEN -> reveal()
	:: else
	fi;
	promise(tail - rhead)
}

/* nym_ring_unread() */
inline unread()
{
	if
	:: SEEN ->
		lock_loan();
		atomic {
			n = tail - rhead + (loan -> TOLD(tail - rhead) : 0);
			llock = FREE
		}
	:: else -> n = tail - rhead
	fi
}

/* nym_poll_conn() */
inline poll()
{
#ifdef POLL_FREE
	look();
	n = (nothing -> 0 : 1);
#else
	unread();
#endif
	told = (told == 0 && n > 0 -> 1 : told)
}

/* Reads, and does what else? */
proctype reader(mtype how)
{
	byte n, end, want, whose, who;
	bool nothing, borrows;

	do
	:: look();
		if
		:: nothing ->
			/* nym_wait_bytes() */
			atomic { flush_reader(); rasleep = true };
			look();
			if
			:: !nothing -> rasleep = false
			:: nothing ->
				/* The end wakes nobody: that would make up for a loss. */
				if
				:: !rasleep
				:: over == WRITERS && got[0] == sent[0] && got[1] == sent[1] -> break
				fi
			fi
		:: else ->
			if
			:: want = 1; read()
			:: how == POLLS -> want = LIMIT + 1; read()
			:: how == POLLS -> poll()
			:: how == PEEKS -> peek()
			:: how == PEEKS -> unread(); promise(n)
			/* Waits until all is in the ring, where it fits. */
			:: how == POLLS && UNREAD <= LEVEL + 1 -> over == WRITERS
			fi
		fi;
		atomic { n = 0; end = 0; want = 0; nothing = false; borrows = false }
	od;
	assert(!held[0] && !held[1] && llock == FREE)
}

init {
	atomic {
		run writer(0);
		run writer(1);
		if
		:: run reader(POLLS)
		:: run reader(PEEKS)
		fi
	}
}
