/*
 * An arena in ordinary memory for the tests of the agent's recording half, and its reader. Slots
 * and rings lie between pages that nobody may touch.
 */
#ifndef HTRACE_TESTS_AGENT_HARNESS_H
#define HTRACE_TESTS_AGENT_HARNESS_H

#include "agent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Turns the agent on with the plan of fd_syscalls, bad references too. */
void harness_start(uint32_t slots_n, uint32_t ring_bytes);
void harness_end(void);

enum { HARNESS_RING_BYTES = 1 << 20 };

/* The same for a test that needs nothing of its own: 4 slots of HARNESS_RING_BYTES. */
int harness_setup(void **state);
int harness_teardown(void **state);

/* What lifetime_forked() returns and how often it was called. */
extern bool harness_forked_returns;
extern unsigned harness_forked;
/* How often lifetime_before() and lifetime_after() were called. */
extern unsigned harness_before, harness_after;

/*
 * The next record of the slot, padding left out, made zero where it lay; NULL: none is complete.
 * Valid until the next call by the same thread. The test fails where it is not sound.
 */
const struct event_header *harness_next(struct arena_slot *slot);
/* The next one of our own slot, which has to be an event of `type`. */
const void *harness_take(enum event_type type);
/* Nothing more is in our own slot. */
void harness_nothing(void);

/* The slot that thread `tid` has; NULL: none. */
struct arena_slot *harness_slot(int32_t tid);

/* Registers of the place where it stands, for `frame`; address of the place and stack pointer. */
#define HARNESS_CAPTURE(frame, ip, sp)                                                             \
	__asm__ volatile("movq %%r15, 0(%[to])\n\tmovq %%r14, 8(%[to])\n\t"                        \
			 "movq %%r13, 16(%[to])\n\tmovq %%r12, 24(%[to])\n\t"                      \
			 "movq %%rbp, 32(%[to])\n\tmovq %%rbx, 40(%[to])\n\t"                      \
			 "leaq 0f(%%rip), %[at]\n\t0: movq %%rsp, %[stack]"                        \
			 : [at] "=&r"(ip), [stack] "=&r"(sp)                                       \
			 : [to] "r"(frame)                                                         \
			 : "memory")

/* A call with these arguments, as a stub tells of it: before and after. */
void harness_before_call(uint32_t number, const uint64_t args[6]);
void harness_after_call(uint32_t number, const uint64_t args[6], int64_t result);

#endif
