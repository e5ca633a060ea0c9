// SPDX-License-Identifier: GPL-2.0
/*
 * A plugin for QEMU's TCG: counts the instructions that the guest runs between the
 * marks of marks.h, and how many of them lock the bus, block by block.
 *
 * Arguments: out=FILE, and profile=on to tell where they are. It writes, in the order
 * in which things happen,
 *
 *	batch INSTRUCTIONS LOCKED		from PART_WHOLE to the next mark
 *	at PART ADDRESS INSTRUCTIONS LOCKED	with profile=on: of the section, by block
 *	section					what comes now is of the next one
 *
 * A block is what QEMU translates at once: it has one entrance and is run to its end,
 * so that counting its runs is enough. It is taken as run to the end when it begins;
 * one that ends early, by a page fault, is counted too high by some instructions.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qemu_plugin.h"
#include "../marks.h"

#define BUCKETS	(1 << 16)

struct block {
	struct block *next;		/* in its bucket */
	struct block *older;
	uint64_t address;
	uint64_t runs;			/* QEMU counts here */
	uint64_t runs_before;		/* at the last mark */
	uint64_t in_part[PARTS];	/* runs in this section */
	uint32_t instructions;
	uint32_t locked;
};

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

static struct block *buckets[BUCKETS], *newest;
static enum mark_part current;
static bool profile;
static FILE *out;

/*
 * Locked are those with the prefix, and exchanges with memory. Prefixes come first:
 * those of sizes and segments, then REX.
 */
static bool is_locked(const uint8_t *code, size_t size)
{
	size_t i = 0;

	while (i < size && memchr("\x66\x67\xf2\xf3\x26\x2e\x36\x3e\x64\x65\xf0", code[i], 11)) {
		if (code[i++] == 0xf0)
			return true;
	}
	if (i < size && (code[i] & 0xf0) == 0x40)
		i++;
	return i + 1 < size && (code[i] == 0x86 || code[i] == 0x87) && code[i + 1] < 0xc0;
}

/* The number that marks.h has put into a "nopl disp32(%rax)", or -1. */
static int mark_of(const uint8_t *code, size_t size)
{
	uint32_t number;

	if (size != 7 || memcmp(code, "\x0f\x1f\x80", 3))
		return -1;
	memcpy(&number, code + 3, sizeof(number));
	return (number & ~0xffu) == MARK_MAGIC ? (int)(number & 0xff) : -1;
}

/* QEMU may forget a block and translate it again, and cut it at other places. */
static struct block *find_block(uint64_t address, uint32_t instructions, uint32_t locked)
{
	struct block **bucket = &buckets[(address ^ address >> 16) % BUCKETS], *b;

	for (b = *bucket; b; b = b->next) {
		if (b->address == address && b->instructions == instructions &&
		    b->locked == locked)
			return b;
	}
	b = calloc(1, sizeof(*b));
	if (!b)
		abort();
	b->address = address;
	b->instructions = instructions;
	b->locked = locked;
	b->next = *bucket;
	*bucket = b;
	b->older = newest;
	newest = b;
	return b;
}

/* What was run since the last mark belongs to the part that was current. */
static void end_part(void)
{
	uint64_t instructions = 0, locked = 0, runs;
	struct block *b;

	for (b = newest; b; b = b->older) {
		runs = b->runs - b->runs_before;
		b->runs_before = b->runs;
		b->in_part[current] += runs;
		instructions += runs * b->instructions;
		locked += runs * b->locked;
	}
	if (current == PART_WHOLE)
		fprintf(out, "batch %lu %lu\n", instructions, locked);
}

static void end_section(void)
{
	struct block *b;
	int i;

	for (b = newest; b; b = b->older) {
		for (i = PART_WHOLE; i < PARTS; i++) {
			if (profile && b->in_part[i])
				fprintf(out, "at %d %lx %lu %lu\n", i, b->address,
					b->in_part[i] * b->instructions,
					b->in_part[i] * b->locked);
			b->in_part[i] = 0;
		}
	}
	fprintf(out, "section\n");
	fflush(out);
}

static void marked(unsigned int cpu, void *data)
{
	int mark = (intptr_t)data;

	(void)cpu;
	end_part();
	current = PART_NONE;
	if (mark == MARK_SECTION)
		end_section();
	else if (mark < PARTS)
		current = mark;
}

static void translated(uint64_t id, struct qemu_plugin_tb *tb)
{
	size_t n = qemu_plugin_tb_n_insns(tb), i;
	struct qemu_plugin_insn *insn;
	uint32_t locked = 0;
	const uint8_t *code;
	struct block *b;
	size_t size;
	int mark;

	(void)id;
	for (i = 0; i < n; i++) {
		insn = qemu_plugin_tb_get_insn(tb, i);
		code = qemu_plugin_insn_data(insn);
		size = qemu_plugin_insn_size(insn);
		locked += is_locked(code, size);
		mark = mark_of(code, size);
		if (mark >= 0)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, marked, QEMU_PLUGIN_CB_NO_REGS,
							       (void *)(intptr_t)mark);
	}
	b = find_block(qemu_plugin_tb_vaddr(tb), n, locked);
	qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, &b->runs, 1);
}

static void ended(uint64_t id, void *data)
{
	(void)id;
	(void)data;
	fclose(out);
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(uint64_t id, const struct qemu_info_t *info, int argc,
					   char **argv)
{
	int i;

	(void)info;
	for (i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "out=", 4))
			out = fopen(argv[i] + 4, "we");
		else if (!strcmp(argv[i], "profile=on"))
			profile = true;
	}
	if (!out) {
		fprintf(stderr, "count: out=FILE, please\n");
		return 1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, ended, NULL);
	return 0;
}
