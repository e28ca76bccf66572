/* What the BPF program and its user half have in common besides event.h and plan.h. */
#ifndef HTRACE_COLLECT_BPF_SHARED_H
#define HTRACE_COLLECT_BPF_SHARED_H

#include "event/known_stack.h"
#include "event/plan.h"

#include <stdint.h>

enum {
	/* Bit of syscall_plan.when, set by the user half only: executable mappings may change. */
	BPF_PLAN_MAPPING = 0x80,

	/* Flag of an EVENT_MAP in the ring: its path is a row of NUL-terminated names, the last
	 * component first. The user half joins them. */
	BPF_MAP_PATH_REVERSED = 0x8000,

	/* Flag of an EVENT_MAP in the ring: something was mapped at `start`, and the kernel could
	 * not be asked what. The user half reads /proc/PID/maps instead. */
	BPF_MAP_UNREAD = 0x4000,

	BPF_PATH_PARTS_MAX = 48,
	BPF_PATH_BYTES_MAX = 4096,
	BPF_PROCESSES_MAX = 65536,
};

/* The program's only constants: all of its .rodata, set before it is loaded. */
struct bpf_config {
	struct syscall_plan calls[PLAN_SYSCALLS_MAX];
	struct plan_guard_value guard_values[PLAN_GUARD_VALUES_MAX];
	uint32_t guard_values_n;
	uint32_t questions_n;
	struct plan_question questions[PLAN_QUESTIONS_MAX];
	uint32_t stack_bytes_max;
	uint32_t wake_bytes;         /* waiting in the ring: the consumer is woken */
	uint32_t calls_bytes_max;    /* waiting in the ring: no more records of calls */
	uint32_t failures_bytes_max; /* ... of calls that failed for want of a handle: a program
				      may do that at full speed */
	uint32_t follow_children;
	uint32_t everything; /* processes that are not known are traced once they are met */
	uint32_t bad_reference_signal; /* as collector_options says */
	uint32_t in_cgroup;            /* ... if they are in the cgroup that the user half chose */
};

/* The program's counters, in its .bss. */
struct bpf_counters {
	uint64_t lost;     /* records that found no room */
	uint64_t failures; /* likewise, of calls that failed for want of a handle */
	uint64_t urgent;   /* changes when a file has to be opened before the process ends */
	uint64_t mappings; /* the last bpf_traced.mappings that was given out */
};

/* What is known of a traced process. */
struct bpf_traced {
	uint64_t mappings; /* a number of its own for each state of its executable mappings; 0: it
			      is htrace or a child of it, and not traced (config.everything) */
};

#endif
