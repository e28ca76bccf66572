/*
 * Recognises a stack that the user half has unwound before: what decided its frames then is the
 * same now. Reads a few words where it would copy kilobytes.
 */
#ifndef HTRACE_COLLECT_BPF_FOOTPRINT_BPF_H
#define HTRACE_COLLECT_BPF_FOOTPRINT_BPF_H

#include "collect/bpf/common.bpf.h"

/* Written by the user half, while we read. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, KNOWN_STACKS_N);
	__type(key, u32);
	__type(value, struct known_stack);
} known_stacks SEC(".maps");

struct stack_words {
	u8 bytes[FOOTPRINT_SPAN_MAX];
};

/* By event_phase: the two programs may interrupt each other. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, EVENT_LEAVE + 1);
	__type(key, u32);
	__type(value, struct stack_words);
} stack_words SEC(".maps");

static __always_inline bool registers_match(const volatile struct footprint *one,
					    const struct pt_regs *regs)
{
	u32 used = one->registers_used;

	return one->ip == regs->ip && one->sp == regs->sp &&
	       (!(used & 1 << FOOTPRINT_BP) || one->registers[FOOTPRINT_BP] == regs->bp) &&
	       (!(used & 1 << FOOTPRINT_BX) || one->registers[FOOTPRINT_BX] == regs->bx) &&
	       (!(used & 1 << FOOTPRINT_R12) || one->registers[FOOTPRINT_R12] == regs->r12) &&
	       (!(used & 1 << FOOTPRINT_R13) || one->registers[FOOTPRINT_R13] == regs->r13) &&
	       (!(used & 1 << FOOTPRINT_R14) || one->registers[FOOTPRINT_R14] == regs->r14) &&
	       (!(used & 1 << FOOTPRINT_R15) || one->registers[FOOTPRINT_R15] == regs->r15);
}

static __always_inline bool words_match(const volatile struct footprint *one, u32 phase)
{
	struct stack_words *words = bpf_map_lookup_elem(&stack_words, &phase);
	u64 span = one->span;
	u32 words_n = one->words_n;

	barrier_var(span); /* or the compiler drops the check that the verifier wants to see */
	if (!words || span > sizeof(words->bytes) ||
	    (span && bpf_probe_read_user(words->bytes, span, (void *)one->sp)))
		return false;
	for (u32 i = 0; i < FOOTPRINT_WORDS_MAX; i++) {
		if (i >= words_n)
			break;
		if (*(u64 *)(words->bytes + (one->offsets[i] & (FOOTPRINT_SPAN_MAX - 8))) !=
		    one->values[i])
			return false;
	}
	return true;
}

/* The number of the stack that is there now, if it is known; 0 if not. */
static __noinline u32 known_stack(struct pt_regs *regs, u64 mappings, u32 phase)
{
	u32 first = known_stack_first(mappings, regs->ip, regs->sp);

	for (u32 way = 0; way < KNOWN_STACK_WAYS; way++) {
		u32 index = first + way;
		volatile struct known_stack *entry = bpf_map_lookup_elem(&known_stacks, &index);
		u32 version, stack;

		if (!entry)
			return 0;
		version = entry->version; /* odd: it is being written */
		if (version & 1 || entry->mappings != mappings)
			continue;
		if (!registers_match(&entry->footprint, regs) ||
		    !words_match(&entry->footprint, phase))
			continue;
		stack = entry->stack;
		if (entry->version == version)
			return stack;
	}
	return 0;
}

#endif
