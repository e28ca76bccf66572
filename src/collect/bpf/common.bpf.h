/*
 * What all parts of the BPF program share: its maps, the ring, the filter. Included once, by
 * htrace.bpf.c only.
 */
#ifndef HTRACE_COLLECT_BPF_COMMON_BPF_H
#define HTRACE_COLLECT_BPF_COMMON_BPF_H

#include "collect/bpf/kernel.h"

#include <stdbool.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "collect/bpf/shared.h"
#include "event/event.h"
#include "event/plan.h"

enum {
	EBADF_RESULT = -9,
	ENFILE_RESULT = -23,
	EMFILE_RESULT = -24,
	RLIMIT_NOFILE_INDEX = 7,    /* include/uapi/asm-generic/resource.h */
	USER_CS_64 = 0x33,          /* arch/x86/include/asm/segment.h: __USER_CS */
	TS_COMPAT_CALL = 2,         /* arch/x86/include/asm/thread_info.h: TS_COMPAT */
	SIGNAL_GROUP_EXIT_FLAG = 4, /* include/linux/sched/signal.h */
	PROT_EXEC_BIT = 4,
	CLONE_PIDFD_BIT = 0x1000,
	MAIN_STACK_MOST = 128 << 20, /* nothing else is mapped this near below the main stack */
	RED_ZONE = 128,
};

const volatile struct bpf_config config;
struct bpf_counters counters;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 << 20); /* what the user half sets instead */
} ring SEC(".maps");

/* Thread group ids that are traced. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BPF_PROCESSES_MAX);
	__type(key, u32);
	__type(value, struct bpf_traced);
} traced SEC(".maps");

/* One cgroup (config.in_cgroup). */
struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} cgroups SEC(".maps");

struct map_scratch {
	struct event_map event;
	char path[BPF_PATH_BYTES_MAX + 256];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct map_scratch);
} scratch SEC(".maps");

static __always_inline void lost(void)
{
	__sync_fetch_and_add(&counters.lost, 1);
}

static __always_inline struct bpf_traced *find_traced(u32 tgid)
{
	return bpf_map_lookup_elem(&traced, &tgid);
}

static __always_inline u64 new_mappings(void)
{
	return __sync_fetch_and_add(&counters.mappings, 1) + 1;
}

/* The process that runs is not known: from now on it is traced, if it is to be (NULL: it is not).
 */
static __noinline struct bpf_traced *meet(u32 tgid)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct bpf_traced process = {0};

	if (!task->mm) /* a thread of the kernel, or what will become a program's process */
		return NULL;
	if (config.in_cgroup && bpf_current_task_under_cgroup(&cgroups, 0) != 1)
		return NULL;
	process.mappings = new_mappings();
	/* Another thread of it may be as far as we are. */
	bpf_map_update_elem(&traced, &tgid, &process, BPF_NOEXIST);
	return find_traced(tgid);
}

/* The process that runs; NULL: it is not traced. */
static __always_inline struct bpf_traced *find_current(void)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct bpf_traced *process = find_traced(tgid);

	if (config.everything) {
		if (!process)
			process = meet(tgid);
		if (process && !process->mappings)
			return NULL;
	}
	return process;
}

/*
 * To be called once the EVENT_MAPs of a change are in the ring: stacks that were recorded before
 * them are unwound without them, and must not be taken for ones of now.
 */
static __always_inline void mappings_changed(u32 tgid)
{
	struct bpf_traced *process = find_traced(tgid);

	if (process)
		process->mappings = new_mappings();
}

static __always_inline void header_fill(struct event_header *header, u16 type, u32 size)
{
	u64 id = bpf_get_current_pid_tgid();

	header->size = size;
	header->type = type;
	header->flags = 0;
	header->time_ns = bpf_ktime_get_ns();
	header->pid = id >> 32;
	header->tid = (u32)id;
}

#endif
