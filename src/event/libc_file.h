/*
 * Which files make system calls for a program: glibc's. Used by the collector, which searches them
 * for their sites, and by the agent, which patches these: calls no function of libc.
 */
#ifndef HTRACE_EVENT_LIBC_FILE_H
#define HTRACE_EVENT_LIBC_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* libc.so.6, ld-linux-x86-64.so.2, and what else they were called (libc-2.31.so, libpthread.so.0).
 */
static inline bool is_libc_file(const char *path)
{
	static const char *const names[] = {"libc.so.6", "libc-2.",         "ld-linux-x86-64",
					    "ld-2.",     "libpthread.so.0", "libpthread-2."};
	const char *name = path;

	for (; *path; path++)
		if (*path == '/')
			name = path + 1;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		size_t same = 0;

		while (names[i][same] && name[same] == names[i][same])
			same++;
		if (!names[i][same])
			return true;
	}
	return false;
}

#endif
