/* A folder of sockets of the test's own, which goes with everything in it. */
#ifndef HTRACE_TESTS_SOCKET_FOLDER_H
#define HTRACE_TESTS_SOCKET_FOLDER_H

#include "base/alloc.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char socket_folder[64];

/* Not made: htrace does that. */
static inline int socket_folder_begin(void **state)
{
	char base[] = "/tmp/htrace-test-XXXXXX";

	if (!mkdtemp(base))
		return -1;
	snprintf(socket_folder, sizeof(socket_folder), "%s/sockets", base);
	return setenv("HTRACE_SOCKET_DIR", socket_folder, 1);
}

static inline void socket_folder_empty(void)
{
	DIR *directory = opendir(socket_folder);
	struct dirent *entry;

	while (directory && (entry = readdir(directory)))
		unlinkat(dirfd(directory), entry->d_name, 0);
	if (directory)
		closedir(directory);
}

static inline int socket_folder_end(void **state)
{
	char *slash = strrchr(socket_folder, '/');

	socket_folder_empty();
	if (rmdir(socket_folder) && errno == ENOTDIR)
		unlink(socket_folder);
	*slash = 0;
	return rmdir(socket_folder);
}

/* The child's exit status; -1: it did not exit. */
static inline int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define in_folder(test)                                                                            \
	cmocka_unit_test_setup_teardown(test, socket_folder_begin, socket_folder_end)

#endif
