/* What the tests of agent/patch.c share: this process's own C library and ld.so, patched and not.
 */
#ifndef HTRACE_TEST_AGENT_PATCH_TEXT_H
#define HTRACE_TEST_AGENT_PATCH_TEXT_H

#include "agent_patch/probe.h"

#include <stdbool.h>
#include <stdint.h>

struct text {
	uint64_t start, end, offset;
	char path[256];
	uint8_t *file; /* what the text should be */
};

extern struct text texts[2]; /* libc, ld.so */
extern uint32_t patch_reason;

/* Finds the texts, and makes a plan with bad references: first of all. */
void texts_init(void);
uint64_t bytes_changed(void);
/* Patches both: number of sites, or a negative errno. With a list of sites instead of a search. */
int patch(void);
int patch_known(void);
/* Around a test of what is patched. */
int patch_begin(void **state);
int patch_end(void **state);

/* The calls of a number that were noted since `from`; *last: the last of them. */
uint32_t calls_of(uint32_t from, uint32_t number, bool after, struct probe_call *last);
/* Exactly one was, by libc, with that result, if it is after the call. */
void expect_call(uint32_t from, uint32_t number, bool after, int64_t result, uint64_t arg0);

#endif
