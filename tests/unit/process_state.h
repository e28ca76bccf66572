/* How a process is, and what time it is, for tests that wait for what others do. */
#ifndef HTRACE_TESTS_PROCESS_STATE_H
#define HTRACE_TESTS_PROCESS_STATE_H

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include <cmocka.h>

static inline int64_t now_ms(void)
{
	return clock_now_ns() / 1000000;
}

/* Of a thread, as /proc/TID/status says: R, S, T, t, ... */
static inline char state_of(pid_t tid)
{
	char path[64], line[128], found = '?';
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	file = fopen(path, "r");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		sscanf(line, "State: %c", &found);
	fclose(file);
	return found;
}

#endif
