/*
 * Which code the process has mapped: told to the collector, and patched where it is glibc's. A
 * number stands for each state of the mappings; it changes after what changed was told.
 */
#ifndef HTRACE_AGENT_MAPPINGS_H
#define HTRACE_AGENT_MAPPINGS_H

#include "agent.h"

/* The executable lines of /proc/self/maps as ARENA_MAPS (`thread` NULL: untold), and patches:
 * glibc, or the program at whose text `entry` lies, where there is none. Number of patched sites or
 * a negative errno, then *reason. For the start, when nobody else runs. */
int mappings_start(struct agent_thread *thread, uint64_t entry, uint32_t *reason);

/* After mmap with PROT_EXEC worked. */
void mappings_mapped(struct agent_thread *thread, const struct call_frame *frame);

/* Code appeared in a way that is not known: the collector has to look for itself. */
void mappings_changed(struct agent_thread *thread);

#endif
