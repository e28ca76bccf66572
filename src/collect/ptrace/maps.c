/*
 * Tells of executable mappings as they appear: /proc/PID/maps compared with what was told before.
 * Does not know what lies in them.
 */
#include "collect/ptrace/tracer.h"

#include "base/cleanup.h"
#include "collect/maps.h"
#include "os/procfs.h"

#include <string.h>

enum { PAGE_BYTES = 4096 };

struct maps_scan {
	struct collector *collector;
	struct process *process;
	pid_t tid;
	const char *exe;
	ARRAY(struct known_mapping) seen;
};

static void hand_over(struct maps_scan *scan, const struct procfs_mapping *mapping)
{
	size_t length = maps_path_bytes(mapping);
	struct event_map *event;

	event = outbox_begin(&scan->collector->outbox, EVENT_MAP, scan->process->pid, scan->tid,
			     sizeof(*event), length);
	maps_fill(event, mapping);
	if (length && scan->exe && !strcmp(mapping->path, scan->exe))
		event->header.flags |= EVENT_MAP_EXE;
	outbox_end(&scan->collector->outbox, sizeof(*event) + length);
}

static bool is_known(const struct process *process, const struct known_mapping *mapping)
{
	array_each (known, &process->mappings)
		if (!memcmp(known, mapping, sizeof(*known)))
			return true;
	return false;
}

static int look_at(void *context, const struct procfs_mapping *mapping)
{
	struct maps_scan *scan = context;
	struct known_mapping found = {mapping->start, mapping->end, mapping->file_offset,
				      mapping->inode};

	if (!maps_wanted(mapping))
		return 0;
	if (!is_known(scan->process, &found))
		hand_over(scan, mapping);
	array_push(&scan->seen, found);
	return 0;
}

void maps_update(struct collector *collector, struct process *process, pid_t tid)
{
	_cleanup_(free) char *exe = procfs_exe_dup(tid);
	struct maps_scan scan = {
	    .collector = collector, .process = process, .tid = tid, .exe = exe};

	if (procfs_maps(tid, look_at, &scan, NULL) < 0) {
		array_fini(&scan.seen);
		return; /* it is ending */
	}
	array_fini(&process->mappings);
	process->mappings.data = scan.seen.data;
	process->mappings.count = scan.seen.count;
	process->mappings.capacity = scan.seen.capacity;
}

/* Executable memory without a file (JIT): the call told all that there is to know. */
void maps_anonymous(struct collector *collector, struct process *process, pid_t tid, uint64_t start,
		    uint64_t size)
{
	struct procfs_mapping mapping = {.start = start, .path = ""};
	struct maps_scan scan = {.collector = collector, .process = process, .tid = tid};

	mapping.end = (start + size + PAGE_BYTES - 1) & ~(uint64_t)(PAGE_BYTES - 1);
	if (mapping.end > start)
		hand_over(&scan, &mapping);
}
