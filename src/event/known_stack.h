/*
 * The table of stacks that were unwound before, which a collector's fast half (the BPF program, the
 * agent) looks at while its slow half writes it. Includes nothing but <stdint.h>.
 */
#ifndef HTRACE_EVENT_KNOWN_STACK_H
#define HTRACE_EVENT_KNOWN_STACK_H

#include "event/footprint.h"

#include <stdint.h>

enum {
	KNOWN_STACK_SETS_LOG2 = 10,
	KNOWN_STACK_WAYS = 4,
	KNOWN_STACKS_N = KNOWN_STACK_WAYS << KNOWN_STACK_SETS_LOG2,
};

/* A sequence lock with one writer: `version` is odd while it writes, and another one afterwards. */
struct known_stack {
	uint32_t version;
	uint32_t stack;    /* the number that stands for it; 0: the entry is empty */
	uint64_t mappings; /* event_syscall.mappings, when it was recorded */
	struct footprint footprint;
};

/* The first of the KNOWN_STACK_WAYS entries where such a stack may be. */
static inline uint32_t known_stack_first(uint64_t mappings, uint64_t ip, uint64_t sp)
{
	uint64_t hash = (mappings * 0xff51afd7ed558ccdull + ip) * 0x9e3779b97f4a7c15ull + sp;

	hash *= 0xc4ceb9fe1a85ec53ull;
	return (hash >> (64 - KNOWN_STACK_SETS_LOG2)) * KNOWN_STACK_WAYS;
}

#endif
