/*
 * Owns the reading of known stacks while the collector writes them. Everybody who is traced may
 * write there: each number and offset is checked before it is used.
 */
#include "known.h"

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

/* What lies outside of `readable` is no word that an honest writer would have told. */
static bool words_match(const struct footprint *one, const uint8_t *words, uint64_t readable)
{
	uint64_t words_n = __atomic_load_n(&one->words_n, __ATOMIC_RELAXED), last = readable - 8;

	if (words_n > FOOTPRINT_WORDS_MAX || readable < 8)
		return false;
	for (uint64_t i = 0; i < words_n; i++) {
		uint64_t at = one->offsets[i];

		__asm__ volatile("" : "+r"(at)); /* what was checked is what is used */
		if (at > last || ((const struct word *)(words + at))->value != one->values[i])
			return false;
	}
	return true;
}

uint32_t known_stack(struct agent_thread *thread, const struct call_frame *frame, uint64_t site_ip,
		     uint64_t sp, const uint8_t *words, uint64_t readable)
{
	uint64_t mappings = __atomic_load_n(&agent.mappings, __ATOMIC_RELAXED);
	uint32_t first = known_stack_first(mappings, site_ip, sp);
	/* Several may come from one place; what it was last time it mostly is again. */
	uint8_t *likely = &thread->likely_ways[first / KNOWN_STACK_WAYS % AGENT_LIKELY_WAYS];

	for (uint32_t turn = 0; turn < KNOWN_STACK_WAYS; turn++) {
		uint32_t way = (turn + *likely) % KNOWN_STACK_WAYS;
		const struct known_stack *entry = &agent.arena->known_stacks[first + way];
		uint32_t version = __atomic_load_n(&entry->version, __ATOMIC_ACQUIRE), stack;

		/* Odd: it is being written. */
		if (version & 1 || *(const volatile uint64_t *)&entry->mappings != mappings ||
		    !registers_match(&entry->footprint, frame, site_ip, sp) ||
		    !words_match(&entry->footprint, words, readable))
			continue;
		stack = *(const volatile uint32_t *)&entry->stack;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__atomic_load_n(&entry->version, __ATOMIC_RELAXED) != version)
			continue;
		*likely = (uint8_t)way;
		return stack;
	}
	return 0;
}
