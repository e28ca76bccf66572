/*
 * From registers and copied stack bytes to return addresses. Knows modules by their .eh_frame,
 * never by name; reads nothing of the target but what the event brought.
 */
#ifndef HTRACE_UNWIND_UNWIND_H
#define HTRACE_UNWIND_UNWIND_H

#include "event/event.h"
#include "event/footprint.h"
#include "os/address_space.h"
#include "os/image.h"
#include "stack/stack_table.h"

#include <stdbool.h>
#include <stdint.h>

/* A way to unwind: one that is fast, and one (libdwfl) that tests compare it with. */
struct unwinder; /* each implementation has its own */

struct unwinder_ops {
	const char *name;

	/* `images` is borrowed for the unwinder's life. */
	struct unwinder *(*create)(const struct image_table *images);
	void (*destroy)(struct unwinder *unwinder);

	/*
	 * Writes at most STACK_FRAMES_MAX frames of `event` (innermost first: registers.ip) to
	 * `frames`, their number to `frames_n`, and returns why it stopped. `space` is the address
	 * space as it was at the event. An event with EVENT_STACK_ADDRESSES is passed through.
	 */
	enum stack_end (*unwind)(struct unwinder *unwinder, const struct address_space *space,
				 const struct event_syscall *event,
				 struct frame frames[static STACK_FRAMES_MAX], uint32_t *frames_n);
};

extern const struct unwinder_ops unwinder_cfi;  /* our own */
extern const struct unwinder_ops unwinder_dwfl; /* elfutils': the oracle */

/*
 * What decided the frames of `event`, the last one that this unwinder_cfi unwound; false where that
 * cannot be told (a read outside the copy, a DWARF expression, too many words).
 */
bool unwinder_cfi_footprint(const struct unwinder *unwinder, const struct event_syscall *event,
			    struct footprint *out);

#endif
