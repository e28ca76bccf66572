/* What both unwinders do alike: events whose stack is no copy of memory. */
#ifndef HTRACE_UNWIND_STACK_EVENT_H
#define HTRACE_UNWIND_STACK_EVENT_H

#include "unwind/unwind.h"

#include <stdbool.h>

/*
 * True: the event brought return addresses or no stack at all, and `frames`, `frames_n` and
 * `end` are its whole stack.
 */
bool stack_event_is_ready(const struct address_space *space, const struct event_syscall *event,
			  struct frame *frames, uint32_t *frames_n, enum stack_end *end);

/* The image that holds `address`, 0 where none does. */
uint32_t stack_event_image(const struct address_space *space, uint64_t address);

#endif
