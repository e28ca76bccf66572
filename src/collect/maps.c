/* Owns the way from a line of /proc/PID/maps to an EVENT_MAP. */
#include "collect/maps.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "os/procfs.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct maps_job {
	const struct event_sink *sink;
	pid_t pid;
	uint64_t time_ns;
	uint64_t exe_inode; /* 0: not known */
};

size_t maps_path_bytes(const struct procfs_mapping *mapping)
{
	/* "[vdso]", "[heap]" and "//anon" are no files. */
	return mapping->inode ? strnlen(mapping->path, PROCFS_LINK_MAX) : 0;
}

void maps_fill(struct event_map *event, const struct procfs_mapping *mapping)
{
	size_t path_bytes = maps_path_bytes(mapping);

	if (!strcmp(mapping->path, "[vdso]"))
		event->header.flags |= EVENT_MAP_VDSO;
	if (mapping->inode && mapping->deleted)
		event->header.flags |= EVENT_MAP_DELETED;
	event->start = mapping->start;
	event->end = mapping->end;
	event->file_offset = mapping->file_offset;
	event->inode = mapping->inode;
	event->device_major = mapping->device_major;
	event->device_minor = mapping->device_minor;
	event->path_size = path_bytes;
	if (path_bytes)
		memcpy(event->path, mapping->path, path_bytes);
}

bool maps_wanted(const struct procfs_mapping *mapping)
{
	/* [vsyscall] is above user space and holds no CFI. */
	return mapping->executable && !(mapping->start >> 63);
}

struct event_map *maps_event_new(pid_t pid, const struct procfs_mapping *mapping)
{
	size_t size = (sizeof(struct event_map) + maps_path_bytes(mapping) + 7) & ~(size_t)7;
	struct event_map *event = xcalloc(1, size);

	event->header =
	    (struct event_header){.size = size, .type = EVENT_MAP, .pid = pid, .tid = pid};
	maps_fill(event, mapping);
	return event;
}

static int hand_over(void *context, const struct procfs_mapping *mapping)
{
	struct maps_job *job = context;
	_cleanup_(free) struct event_map *event = NULL;

	if (!maps_wanted(mapping))
		return 0;
	event = maps_event_new(job->pid, mapping);
	event->header.time_ns = job->time_ns;
	if (mapping->inode && mapping->inode == job->exe_inode)
		event->header.flags |= EVENT_MAP_EXE;
	job->sink->receive(job->sink->context, &event->header);
	return 0;
}

int maps_hand_over(pid_t pid, const struct event_sink *sink, struct error *error)
{
	struct maps_job job = {
	    .sink = sink,
	    .pid = pid,
	};
	struct stat status;
	char path[64];

	job.time_ns = clock_now_ns();
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	if (stat(path, &status) == 0)
		job.exe_inode = status.st_ino;
	return procfs_maps(pid, hand_over, &job, error);
}
