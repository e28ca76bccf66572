/*
 * What decides a stack: the registers and the words of it that an unwinding looked at. Where these
 * are the same again, and the mappings too, so are all frames. A collector that is told footprints
 * may recognise a stack and hand over its number instead of a copy. Shared with the BPF program, so
 * it includes nothing but <stdint.h>.
 */
#ifndef HTRACE_EVENT_FOOTPRINT_H
#define HTRACE_EVENT_FOOTPRINT_H

#include <stdint.h>

enum {
	FOOTPRINT_WORDS_MAX = 128,
	FOOTPRINT_SPAN_MAX = 16 * 1024, /* bytes; what lies further from sp is not looked at */
};

/* Registers that an unwinding may look at, besides ip and sp, which always count. */
enum footprint_register {
	FOOTPRINT_BP,
	FOOTPRINT_BX,
	FOOTPRINT_R12,
	FOOTPRINT_R13,
	FOOTPRINT_R14,
	FOOTPRINT_R15,
	FOOTPRINT_REGISTERS_N,
};

struct footprint {
	uint64_t ip, sp;
	uint32_t span;           /* bytes from sp to the end of the furthest word */
	uint16_t words_n;        /* 8-byte words in use of `offsets` and `values` */
	uint16_t registers_used; /* bit n: register n of enum footprint_register counts */
	uint64_t registers[FOOTPRINT_REGISTERS_N];
	uint64_t values[FOOTPRINT_WORDS_MAX];
	uint16_t offsets[FOOTPRINT_WORDS_MAX]; /* bytes from sp; a multiple of 8 */
};

_Static_assert(sizeof(struct footprint) ==
		   8 * (3 + FOOTPRINT_REGISTERS_N) + 10 * FOOTPRINT_WORDS_MAX,
	       "shared with BPF");

#endif
