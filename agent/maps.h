/* /proc/self/maps, line by line, in a buffer of the caller's. */
#ifndef HTRACE_AGENT_MAPS_H
#define HTRACE_AGENT_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAPS_BUFFER_MIN = 1024 };

struct maps_line {
	uint64_t start, end;
	uint64_t file_offset;
	uint64_t inode; /* 0: no file */
	uint32_t device_major, device_minor;
	bool executable;
	const char *path; /* "" where there is none; with " (deleted)" and escapes, as it stands */
	const char *text; /* the whole line with its newline */
	uint32_t bytes;   /* of text */
};

/*
 * Calls `each` for every line until it returns false. All that a line has lies in `buffer` until
 * then. A line of more than half of the `bytes` is left out. 0, or the negative errno of why the
 * file cannot be read. The descriptor that it needs is there for a moment.
 */
int maps_each(char *buffer, size_t bytes, bool (*each)(void *context, const struct maps_line *line),
	      void *context);
/* The same for a file of that format that is open already, from where it stands. */
int maps_each_of(int fd, char *buffer, size_t bytes,
		 bool (*each)(void *context, const struct maps_line *line), void *context);

#endif
