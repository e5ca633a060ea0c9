// SPDX-License-Identifier: GPL-2.0
/*
 * Marks: the credentials and descriptors that go along with bytes in a ring.
 *
 * A mark covers the bytes of one message, or of several in a row from the same
 * sender without descriptors. Bytes without a mark came without anything. The
 * writer adds a mark before it publishes its bytes, so whoever sees the bytes
 * sees the mark. A read that reaches a mark with descriptors takes them and ends
 * where the mark ends, so that what came with one message does not mix with
 * what came with another.
 *
 * A mark counts against the limit of its ring, as its bytes do.
 *
 * Only whether there are any is looked at without the lock, by the reader: the
 * writer's list_add_tail() comes before its release of the tail, which the
 * reader has acquired ("Publish" in ring.c), and none but the reader removes.
 */
#include <linux/pid.h>
#include <linux/slab.h>

#include "af_nym.h"
#include "ancillary.h"

static struct kmem_cache *nym_mark_cache;

/**
 * nym_marks_init() - no marks
 * @marks: the marks
 */
void nym_marks_init(struct nym_marks *marks)
{
	spin_lock_init(&marks->lock);
	INIT_LIST_HEAD(&marks->list);
}

static void nym_mark_free(struct nym_mark *mark)
{
	nym_control_release(&mark->control);
	kmem_cache_free(nym_mark_cache, mark);
}

/**
 * nym_marks_carry() - say whose queue this is from now on
 * @marks: the marks
 * @carrier: the socket
 *
 * Context: any but interrupts
 * Return: false, and nothing has changed, if sockets are in the queue that may
 * not be sent there; true if it is new, or nothing was ever in the queue
 */
bool nym_marks_carry(struct nym_marks *marks, struct sock *carrier)
{
	bool moved;

	spin_lock(&marks->lock);
	/* There may be many, and mostly none has a socket. */
	moved = !marks->sockets || nym_files_move(&marks->list, carrier);
	if (moved) {
		marks->carrier = carrier;
		marks->left = false;
	}
	spin_unlock(&marks->lock);
	return moved;
}

/**
 * nym_marks_leave() - the carrier goes, and somebody else is to come
 * @marks: the marks of bytes of which nobody has read any
 *
 * Until then no nym socket can be put there.
 *
 * Context: any but interrupts
 * Return: true if nym sockets go along
 */
bool nym_marks_leave(struct nym_marks *marks)
{
	bool sockets;

	spin_lock(&marks->lock);
	marks->left = true;
	marks->passrights = READ_ONCE(nym_sk(marks->carrier)->passrights);
	sockets = marks->sockets;
	if (sockets)
		nym_files_move(&marks->list, NULL);
	marks->carrier = NULL;
	spin_unlock(&marks->lock);
	return sockets;
}

/**
 * nym_marks_check_files() - nym_marks_check() for descriptors
 * @marks: the marks
 * @control: what is to go along
 *
 * Context: any but interrupts
 * Return: as nym_marks_check()
 */
int nym_marks_check_files(struct nym_marks *marks, const struct nym_control *control)
{
	int err = 0;

	spin_lock(&marks->lock);
	if (marks->carrier)
		err = nym_files_check(control->files, marks->carrier);
	else if (marks->left && !marks->passrights)
		err = -EPERM;
	spin_unlock(&marks->lock);
	return err;
}

static bool nym_control_same(const struct nym_control *a,
			     const struct nym_control *b)
{
	if (!a->pid || !b->pid)
		return a->pid == b->pid;
	return a->pid == b->pid && uid_eq(a->uid, b->uid) && gid_eq(a->gid, b->gid);
}

/* Lets the last mark cover what follows it; the lock is held. */
static bool nym_mark_extend(struct nym_marks *marks, u32 pos, u32 end,
			    const struct nym_control *control)
{
	struct nym_mark *last;

	if (list_empty(&marks->list) || control->files)
		return false;
	last = list_last_entry(&marks->list, struct nym_mark, list);
	if (last->sealed || last->end != pos ||
	    !nym_control_same(&last->control, control))
		return false;
	last->end = end;
	return true;
}

/* Adds a mark; the lock is held. */
static int nym_mark_insert(struct nym_marks *marks, struct nym_mark *mark,
			   struct nym_control *control)
{
	int err;

	/* Nobody will read it: who lets go drains what is there before. */
	if (!marks->carrier && !marks->left)
		return -EPIPE;
	err = nym_files_queue(control->files, marks->carrier);
	if (err)
		return err;
	mark->sealed = control->files;
	if (control->files && control->files->nsocks)
		marks->sockets = true;
	nym_control_copy(&mark->control, control);
	nym_control_take_files(&mark->control, control);
	list_add_tail(&mark->list, &marks->list);
	return 0;
}

static int nym_marks_add_new(struct nym_marks *marks, struct nym_ring *ring,
			     u32 end, struct nym_control *control)
{
	struct nym_mark *mark;
	int err;

	mark = kmem_cache_zalloc(nym_mark_cache, GFP_KERNEL_ACCOUNT);
	if (!mark)
		return -ENOMEM;
	mark->pos = ring->tail;
	mark->end = end;

	spin_lock(&marks->lock);
	err = nym_mark_insert(marks, mark, control);
	spin_unlock(&marks->lock);
	if (err)
		kmem_cache_free(nym_mark_cache, mark);
	else
		atomic_add(sizeof(*mark), &ring->extra);
	return err;
}

/**
 * nym_marks_add_some() - nym_marks_add() when something goes along
 * @marks: the ring's marks
 * @ring: the ring
 * @end: the position behind the bytes
 * @control: what goes along with them; its descriptors pass to the mark
 *
 * Context: sleeps; @ring->wlock held
 * Return: as nym_marks_add()
 */
int nym_marks_add_some(struct nym_marks *marks, struct nym_ring *ring, u32 end,
		       struct nym_control *control)
{
	bool extended;

	spin_lock(&marks->lock);
	extended = nym_mark_extend(marks, ring->tail, end, control);
	spin_unlock(&marks->lock);
	return extended ? 0 : nym_marks_add_new(marks, ring, end, control);
}

/**
 * nym_marks_trim_some() - nym_marks_trim() when there are marks
 * @marks: the ring's marks
 * @ring: the ring
 * @pos: everything before it has been read
 *
 * Context: sleeps; @ring->rlock held
 */
void nym_marks_trim_some(struct nym_marks *marks, struct nym_ring *ring, u32 pos)
{
	struct nym_mark *mark;

	while (!list_empty(&marks->list)) {
		spin_lock(&marks->lock);
		mark = list_first_entry(&marks->list, struct nym_mark, list);
		if ((s32)(mark->end - pos) > 0) {
			/* It may cover more bytes than positions can tell apart. */
			if ((s32)(mark->pos - pos) < 0)
				mark->pos = pos;
			mark = NULL;
		} else {
			list_del(&mark->list);
		}
		spin_unlock(&marks->lock);
		if (!mark)
			break;
		atomic_sub(sizeof(*mark), &ring->extra);
		nym_mark_free(mark);
	}
}

/**
 * nym_marks_drain() - nobody will read these bytes any more
 * @marks: the ring's marks; none will be added
 * @ring: the ring
 *
 * Context: sleeps
 */
void nym_marks_drain(struct nym_marks *marks, struct nym_ring *ring)
{
	struct nym_mark *mark, *next;
	LIST_HEAD(list);

	spin_lock(&marks->lock);
	marks->carrier = NULL;
	marks->left = false;
	list_splice_init(&marks->list, &list);
	spin_unlock(&marks->lock);
	list_for_each_entry_safe(mark, next, &list, list) {
		atomic_sub(sizeof(*mark), &ring->extra);
		nym_mark_free(mark);
		cond_resched();
	}
}

/*
 * The mark of the bytes at @pos, or NULL; @stop is set to where that changes.
 * @at is where to begin to look, NULL at first, and is moved on: there may be
 * many. A mark is removed by readers alone, so it stays.
 */
static struct nym_mark *nym_marks_at(struct nym_marks *marks,
				     struct nym_mark **at, u32 pos, u32 *stop)
{
	struct nym_mark *mark, *found = NULL;

	spin_lock(&marks->lock);
	mark = *at ?: list_first_entry(&marks->list, struct nym_mark, list);
	list_for_each_entry_from(mark, &marks->list, list) {
		*at = mark;
		if ((s32)(mark->end - pos) <= 0)
			continue;
		if ((s32)(mark->pos - pos) <= 0)
			found = mark;
		/* The end may lie behind what the reader knows of. */
		if ((s32)((found ? mark->end : mark->pos) - *stop) < 0)
			*stop = found ? mark->end : mark->pos;
		break;
	}
	spin_unlock(&marks->lock);
	return found;
}

/* May the bytes of this mark join what has been read before? */
static bool nym_receipt_joins(struct nym_receipt *receipt,
			      const struct nym_mark *mark)
{
	static const struct nym_control none;
	const struct nym_control *control = mark ? &mark->control : &none;

	if (receipt->begun)
		return !receipt->by_sender ||
		       nym_control_same(&receipt->control, control);
	receipt->begun = true;
	nym_control_copy(&receipt->control, control);
	return true;
}

/* Some bytes of the mark have been read: what came with it goes along. */
static void nym_receipt_take(struct nym_receipt *receipt, struct nym_mark *mark)
{
	if (!mark || !mark->control.files)
		return;
	receipt->over = true;
	if (!receipt->peek)
		nym_control_take_files(&receipt->control, &mark->control);
}

/* nym_marks_fetch() up to where the mark changes: the number of bytes. */
static size_t nym_marks_fetch_span(struct nym_marks *marks,
				   struct nym_mark **at,
				   struct nym_ring_cursor *cur,
				   struct msghdr *msg, size_t len,
				   struct nym_receipt *receipt)
{
	u32 stop = cur->end;
	struct nym_mark *mark = nym_marks_at(marks, at, cur->pos, &stop);
	size_t n = min_t(size_t, len, stop - cur->pos), done;

	if (!nym_receipt_joins(receipt, mark)) {
		receipt->over = true;
		return 0;
	}
	done = nym_ring_fetch(cur, &msg->msg_iter, n);
	if (done)
		nym_receipt_take(receipt, mark);
	return done;
}

/**
 * nym_marks_fetch_some() - nym_marks_fetch() when there are marks
 * @marks: the ring's marks
 * @cur: not at the end; moves behind the bytes that were copied
 * @msg: where to
 * @len: how many at most
 * @receipt: gets what came with the bytes
 *
 * Context: sleeps; the ring's rlock held
 * Return: as nym_marks_fetch()
 */
size_t nym_marks_fetch_some(struct nym_marks *marks, struct nym_ring_cursor *cur,
			    struct msghdr *msg, size_t len,
			    struct nym_receipt *receipt)
{
	struct nym_mark *at = NULL;
	size_t done = 0, n;

	/* Even who asks for no bytes is told whose they are. */
	do {
		n = nym_marks_fetch_span(marks, &at, cur, msg, len - done, receipt);
		if (!n)
			break;
		done += n;
	} while (done < len && cur->pos != cur->end && !receipt->over);
	return done;
}

/**
 * nym_marks_collect_some() - nym_marks_collect() when there are marks
 * @marks: the ring's marks
 * @pos: where the record begins
 * @receipt: gets it
 *
 * Context: the ring's rlock held
 */
void nym_marks_collect_some(struct nym_marks *marks, u32 pos,
			    struct nym_receipt *receipt)
{
	struct nym_mark *mark, *at = NULL;
	u32 stop = pos + 1;

	mark = nym_marks_at(marks, &at, pos, &stop);
	if (!mark)
		return;
	nym_control_copy(&receipt->control, &mark->control);
	nym_receipt_take(receipt, mark);
}

/**
 * nym_marks_cache_init() - at module load
 * Return: 0 or -ENOMEM
 */
int __init nym_marks_cache_init(void)
{
	nym_mark_cache = KMEM_CACHE(nym_mark, SLAB_ACCOUNT);
	return nym_mark_cache ? 0 : -ENOMEM;
}

/**
 * nym_marks_cache_exit() - at module unload, after rcu_barrier()
 */
void nym_marks_cache_exit(void)
{
	kmem_cache_destroy(nym_mark_cache);
}
