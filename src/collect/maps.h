/* The executable mappings of a running process as events, for collectors that come late. */
#ifndef HTRACE_COLLECT_MAPS_H
#define HTRACE_COLLECT_MAPS_H

#include "base/error.h"
#include "collect/collector.h"

#include <sys/types.h>

/* One EVENT_MAP for each executable mapping of /proc/PID/maps, the program's own marked. */
int maps_hand_over(pid_t pid, const struct event_sink *sink, struct error *error);

#endif
