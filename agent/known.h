/* Recognises stacks that the collector has unwound before. */
#ifndef HTRACE_AGENT_KNOWN_H
#define HTRACE_AGENT_KNOWN_H

#include "agent.h"

/*
 * The number of the stack at `sp`, if it is known; 0 if not. `words` are the `readable` bytes from
 * `sp` on: the stack itself, or a copy.
 */
uint32_t known_stack(struct agent_thread *thread, const struct call_frame *frame, uint64_t site_ip,
		     uint64_t sp, const uint8_t *words, uint64_t readable);

#endif
