/*
 * Owns the reading of known stacks while the collector writes them. Everybody who is traced may
 * write there: each number and offset is checked before it is used.
 */
#include "known.h"

enum { EXPECTED_BYTES = 320, EXPECTED_WORDS = 32 }; /* of most footprints */

/* A word wherever it lies: no promise of alignment. */
struct word {
	uint64_t value;
} __attribute__((packed, may_alias));

static bool registers_match(const volatile struct footprint *one, const struct call_frame *frame,
			    uint64_t ip, uint64_t sp)
{
	uint32_t used = one->registers_used;

	return one->ip == ip && one->sp == sp &&
	       (!(used & 1 << FOOTPRINT_BP) || one->registers[FOOTPRINT_BP] == frame->bp) &&
	       (!(used & 1 << FOOTPRINT_BX) || one->registers[FOOTPRINT_BX] == frame->bx) &&
	       (!(used & 1 << FOOTPRINT_R12) || one->registers[FOOTPRINT_R12] == frame->r12) &&
	       (!(used & 1 << FOOTPRINT_R13) || one->registers[FOOTPRINT_R13] == frame->r13) &&
	       (!(used & 1 << FOOTPRINT_R14) || one->registers[FOOTPRINT_R14] == frame->r14) &&
	       (!(used & 1 << FOOTPRINT_R15) || one->registers[FOOTPRINT_R15] == frame->r15);
}

/*
 * Without a branch for each word: one that lies outside is read where the last one may lie, and
 * is as good a word as any that an honest writer would not have told.
 */
static bool words_match(const struct footprint *one, const uint8_t *words, uint64_t readable)
{
	uint64_t words_n = __atomic_load_n(&one->words_n, __ATOMIC_RELAXED), differ = 0, last;

	if (words_n > FOOTPRINT_WORDS_MAX || readable < 8 ||
	    __atomic_load_n(&one->span, __ATOMIC_RELAXED) > readable)
		return false;
	last = readable - 8;
#pragma GCC unroll 4
	for (uint64_t i = 0; i < words_n; i++) {
		uint64_t offset = __atomic_load_n(&one->offsets[i], __ATOMIC_RELAXED);

		offset = offset < last ? offset : last;
		differ |= ((const volatile struct word *)(words + offset))->value ^
			  __atomic_load_n(&one->values[i], __ATOMIC_RELAXED);
	}
	return !differ;
}

void known_expect(uint64_t site_ip, uint64_t sp)
{
	uint64_t mappings = __atomic_load_n(&agent.mappings, __ATOMIC_RELAXED);
	const struct known_stack *entry =
	    &agent.arena->known_stacks[known_stack_first(mappings, site_ip, sp)];

	for (unsigned line = 0; line < EXPECTED_BYTES; line += 64)
		__builtin_prefetch((const uint8_t *)entry + line);
	for (unsigned i = 0; i < EXPECTED_WORDS; i += 32)
		__builtin_prefetch(&entry->footprint.offsets[i]);
}

uint32_t known_stack(const struct call_frame *frame, uint64_t site_ip, uint64_t sp,
		     const uint8_t *words, uint64_t readable)
{
	uint64_t mappings = __atomic_load_n(&agent.mappings, __ATOMIC_RELAXED);
	const struct known_stack *entry =
	    &agent.arena->known_stacks[known_stack_first(mappings, site_ip, sp)];

	for (unsigned way = 0; way < KNOWN_STACK_WAYS; way++, entry++) {
		uint32_t version = __atomic_load_n(&entry->version, __ATOMIC_ACQUIRE), stack;

		/* Odd: it is being written. */
		if (version & 1 || *(const volatile uint64_t *)&entry->mappings != mappings ||
		    !registers_match(&entry->footprint, frame, site_ip, sp) ||
		    !words_match(&entry->footprint, words, readable))
			continue;
		stack = *(const volatile uint32_t *)&entry->stack;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__atomic_load_n(&entry->version, __ATOMIC_RELAXED) == version)
			return stack;
	}
	return 0;
}
