/*
 * Stubs: 64 bytes of code each, between a place in the program's text and hook.S. All have one
 * layout, so that one entry of .eh_frame (hook.S) describes them; what is written there changes
 * together with this.
 *
 *	 0	lea -128(%rsp),%rsp	below the red zone
 *	 5	call hook
 *	10	lea 128(%rsp),%rsp
 *	18	the displaced instruction, then a jump back into the text
 *	43	where the text jumps to, if not to 0: a filter, or instructions from before
 *`syscall` 56	address behind the `syscall`, and the number << 48
 *
 * or, of a whole call:
 *
 *	18	mov $number,%eax	(displaced)
 *	23	syscall
 *	25	lea -128(%rsp),%rsp
 *	30	call hook
 *	35	lea 128(%rsp),%rsp
 *	43	jump back
 *	48	where the text jumps to, if not to 0
 */
#ifndef HTRACE_AGENT_STUB_H
#define HTRACE_AGENT_STUB_H

#define STUBS_N           1024
#define STUB_BYTES        64
#define STUB_FIELD        56 /* offset of the last 8 bytes */
#define STUB_NUMBER_SHIFT 48

#ifndef __ASSEMBLER__

#include <stdbool.h>
#include <stdint.h>

enum {
	STUB_PLAIN = 18, /* of a STUB_NUMBERS: without any hook */
	STUB_ENTRY = 43,
	STUB_ENTRY_MAX = STUB_FIELD - STUB_ENTRY, /* bytes there is room for */
	STUB_ENTRY_WHOLE = 48,
	STUB_ENTRY_WHOLE_MAX = STUB_FIELD - STUB_ENTRY_WHOLE,
	STUB_SHORT_JUMP = 2,
	STUB_JUMP = 5,
};

enum stub_kind {
	STUB_BEFORE = 1,  /* in place of the mov: agent_before */
	STUB_AFTER = 2,   /* in place of the compare: agent_after */
	STUB_WHOLE = 3,   /* in place of the mov: both, and the syscall between them */
	STUB_NUMBERS = 4, /* in place of syscall(2)'s mov: looks for the number's own STUB_WHOLE */
};

/* Which results a STUB_AFTER is for: any of these; 0: all. */
enum stub_filter {
	STUB_IF_NEGATIVE = 1,
	STUB_IF_EBADF = 2,
	STUB_IF_EXECUTABLE = 4, /* mmap, mprotect: PROT_EXEC is asked for */
};

struct stub {
	uint64_t at;       /* of the instruction in the text that is replaced; `bytes` bytes */
	uint64_t site_ip;  /* behind the `syscall` */
	uint64_t original; /* the 8 bytes at `at` as they were */
	uint16_t number;
	uint8_t kind;   /* enum stub_kind */
	uint8_t filter; /* enum stub_filter */
	uint8_t bytes;
	uint8_t between_bytes; /* of instructions behind `at` that are displaced as well */
	uint8_t entry;         /* offset in the stub that the text jumps to */
	bool wanted;           /* the text shall have the jump */
	bool placed;           /* it has */
};

extern uint8_t stubs[STUBS_N][STUB_BYTES] __attribute__((visibility("hidden")));

/* Where syscall(2)'s STUB_NUMBERS goes on, by number; 0: stub_numbers_plain, nothing is of
 * interest. hook.S reads them. */
extern uint64_t stub_numbers[] __attribute__((visibility("hidden")));
extern uint64_t stub_numbers_plain __attribute__((visibility("hidden")));

/* Is there room in a stub of that kind for what stands between the mov and `syscall`? */
bool stub_has_room(enum stub_kind kind, uint32_t between_bytes);
/* Writes the code at `to`, which will run there; the text is still as it was. Sets entry. */
void stub_write(uint8_t *to, struct stub *stub);

#endif
#endif
