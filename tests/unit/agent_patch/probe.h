/* What the test of agent/patch.c sees of a library that stands in for the agent: it patches, and
 * writes down what its hooks are told. */
#ifndef HTRACE_TEST_AGENT_PATCH_PROBE_H
#define HTRACE_TEST_AGENT_PATCH_PROBE_H

#include "event/arena.h"

#include <stdbool.h>
#include <stdint.h>

struct probe_call {
	bool after;
	uint32_t number;
	uint64_t site_ip, sp;
	uint64_t args[6];
	int64_t result;
};

enum { PROBE_CALLS_MAX = 4096 };

extern struct plan probe_plan;
extern struct probe_call probe_calls[PROBE_CALLS_MAX];
extern uint32_t probe_calls_n; /* atomically added to; may be more than there is room for */
/* Called by the hooks of that number, before and after; may do anything. */
extern void (*volatile probe_inside)(bool after);
extern volatile uint32_t probe_inside_number;

/* Where to count calls of exit_group, and their last argument behind; NULL: nowhere. */
extern uint32_t *volatile probe_exits;

int probe_patch(uint64_t start, uint64_t end, uint64_t offset, const struct arena_file *file,
		uint32_t *reason);
int probe_restore(void);
uint32_t probe_sites_left(void);
/* As on a CPU that leaves rcx alone. */
void probe_keep_rcx(bool kept);
uint32_t probe_stubs_n(void);
bool probe_is_stub(uint64_t ip);

/* sites.S: code of its own pages to patch. Each fills the registers and the red zone, makes the
 * call, and returns how many of them it found changed. */
extern const uint8_t probe_sites_start[], probe_sites_end[];
uint64_t probe_site_compared(int64_t *result);    /* getpid; cmp %rax */
uint64_t probe_site_compared_32(int64_t *result); /* cmp %eax */
uint64_t probe_site_bare(int64_t *result);
uint64_t probe_site_between(int64_t *result); /* an argument comes after the mov */
uint64_t probe_site_between_bare(int64_t *result);
uint64_t probe_site_decoys(int64_t *result);    /* has bytes like those of a site; makes no call */
uint64_t probe_site_jumped_to(int64_t *result); /* jumps to the compare of another site */

#endif
