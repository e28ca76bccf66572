/* The executable mappings of a running process as events. */
#ifndef HTRACE_COLLECT_MAPS_H
#define HTRACE_COLLECT_MAPS_H

#include "base/error.h"
#include "collect/collector.h"
#include "os/procfs.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Whether a mapping is told at all: executable, and the process's own. */
bool maps_wanted(const struct procfs_mapping *mapping);

/* Bytes of the path that maps_fill() will write. */
size_t maps_path_bytes(const struct procfs_mapping *mapping);

/* Everything of `event` but its header (of which flags but EVENT_MAP_EXE are set). */
void maps_fill(struct event_map *event, const struct procfs_mapping *mapping);

/* The EVENT_MAP of a mapping of `pid`, its time not set; the caller frees it. */
struct event_map *maps_event_new(pid_t pid, const struct procfs_mapping *mapping);

/* One EVENT_MAP for each executable mapping of /proc/PID/maps, the program's own marked. */
int maps_hand_over(pid_t pid, const struct event_sink *sink, struct error *error);

#endif
