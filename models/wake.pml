/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sleep and wake between a writer that waits for room and a reader that makes
 * it: nym_ring_stall() and nym_await_room() against nym_ring_unstall() and
 * nym_consumed(). No wake-up is lost: the writer ends.
 *
 * A store may be seen by the other side later than what comes behind it, until
 * a full barrier: each side has a buffer of one store, which "memory" empties at
 * any time. Two writers share one level word, as threads of one socket do.
 *
 * With -DNO_STALL_MB or -DNO_UNSTALL_MB one of the two barriers is missing, and
 * a wake-up is lost: qemu/check-models sees that the model finds that.
 */
#ifndef LIMIT
#define LIMIT	1	/* bytes that the ring holds */
#endif
#define BYTES	3	/* that each writer writes */
#define WRITERS	2

byte tail, head;	/* bytes written, bytes read, in all */
byte wake_at;		/* if not 0: wake when fewer are used */
bool asleep[WRITERS];

/* Stores under way: of the reader, to @head; of each writer, to @wake_at. */
bool head_pending;
byte head_value;
bool wake_pending[WRITERS];
byte wake_value[WRITERS];

bool wlock;		/* of the writers */

inline flush_head()
{
	if
	:: head_pending -> head = head_value; head_pending = false
	:: else
	fi
}

inline flush_wake(i)
{
	if
	:: wake_pending[i] -> wake_at = wake_value[i]; wake_pending[i] = false
	:: else
	fi
}

/* When stores become visible, if no barrier is in a hurry. */
active proctype memory()
{
end:	do
	:: atomic { head_pending -> flush_head() }
	:: atomic { wake_pending[0] -> flush_wake(0) }
	:: atomic { wake_pending[1] -> flush_wake(1) }
	od
}

/* nym_await_room(): on the wait queue first, then asks, then looks again. */
inline await_room(i, level)
{
	asleep[i] = true;
	/* The cmpxchg of nym_ring_stall(), here as a store that may be late. */
#ifdef NO_STALL_MB
	atomic {
		flush_wake(i);
		wake_value[i] = level + 1;
		wake_pending[i] = true
	};
#else
	atomic {
		wake_at = level + 1
	};
#endif
	if
	:: tail - head <= level -> asleep[i] = false
	:: else -> !asleep[i]	/* schedule() */
	fi
}

proctype writer(byte i)
{
	byte n;

	do
	:: n == BYTES -> break
	:: else ->
		atomic { !wlock -> wlock = true };
		if
		:: tail - head < LIMIT ->
			tail++;
			n++;
			wlock = false
		:: else ->
			wlock = false;
			await_room(i, LIMIT - 1)
		fi
	od
}

/* Wakes all who are on the queue. */
inline wake()
{
	atomic { asleep[0] = false; asleep[1] = false }
}

proctype reader()
{
	byte n, level;

	do
	:: n == WRITERS * BYTES -> break
	:: tail > n ->
		n++;
		/* nym_ring_consume(): a release, that may be seen later. */
		atomic { flush_head(); head_value = n; head_pending = true };
#ifndef NO_UNSTALL_MB
		atomic { flush_head() };
#endif
		/* nym_ring_unstall() */
		level = wake_at;
		if
		:: level != 0 && tail - n <= level - 1 ->
			wake_at = 0;
			wake()
		:: else
		fi
	od
}

init {
	atomic {
		run writer(0);
		run writer(1);
		run reader()
	}
}
