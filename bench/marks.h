/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Marks: instructions that do nothing, and that plugin/count.c knows when it
 * sees them. What the machine runs from one mark to the next belongs to the part
 * that the mark names.
 */
#ifndef MARKS_H
#define MARKS_H

enum mark_part {
	PART_NONE,	/* nothing that is measured */
	PART_WHOLE,	/* a batch of rounds */
	PART_SEND,	/* of a round, when the two are told apart */
	PART_RECV,
	PARTS,
	MARK_SECTION = 15,	/* a measurement is over: what follows is of the next */
};

/* "nopl MARK_MAGIC + part(%rax)" */
#define MARK_MAGIC	0x6e796d00

/* The jump ends QEMU's block: what comes behind it is counted as behind the mark. */
#define MARK(part) \
	asm volatile("nopl %c0(%%rax)\n\tjmp 1f\n1:" : : "i" (MARK_MAGIC + (part)) : "memory")

#endif /* MARKS_H */
