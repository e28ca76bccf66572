/*
 * Owns the reading of cgroup folders (kernel: Documentation/admin-guide/cgroup-v2.rst). Knows
 * nothing of version 1, which has no one tree.
 */
#include "os/cgroup.h"

#include "base/alloc.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where version 2 is mounted; "" where it is not. */
static void find_mount(char out[static PROCFS_LINK_MAX])
{
	_cleanup_(fclose) FILE *file = fopen("/proc/self/mounts", "re");
	_cleanup_(free) char *line = NULL;
	size_t capacity = 0;

	*out = '\0';
	while (file && getline(&line, &capacity, file) > 0) {
		char path[PROCFS_LINK_MAX], type[32];

		if (sscanf(line, "%*s %4095s %31s", path, type) == 2 && !strcmp(type, "cgroup2")) {
			strcpy(out, path);
			return;
		}
	}
}

char *cgroup_path_dup(const char *name, struct error *error)
{
	char mount[PROCFS_LINK_MAX];
	char *path = NULL;

	if (name[0] == '/' && access(name, F_OK) == 0)
		return xstrdup(name);
	find_mount(mount);
	if (!*mount) {
		error_set(error, -ENOENT, "no cgroups of version 2 are mounted here");
		return NULL;
	}
	if (asprintf(&path, "%s%s%s", mount, name[0] == '/' ? "" : "/", name) < 0)
		abort();
	if (access(path, F_OK) == 0)
		return path;
	error_set_errno(error, -errno, "there is no cgroup %s (looked for %s)", name, path);
	free(path);
	return NULL;
}

static void add_pids(const char *folder, struct procfs_fds *out)
{
	_cleanup_(free) char *path = NULL;
	_cleanup_(fclose) FILE *file = NULL;
	int32_t pid;

	if (asprintf(&path, "%s/cgroup.procs", folder) < 0)
		abort();
	/* It may be gone again; one with threads of its own says EOPNOTSUPP, and its processes
	 * are in the cgroup above. */
	file = fopen(path, "re");
	while (file && fscanf(file, "%d", &pid) == 1)
		if (pid > 0)
			array_push(&out->numbers, pid);
}

int cgroup_pids(const char *path, struct procfs_fds *out, struct error *error)
{
	char *const roots[] = {(char *)path, NULL};
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	FTSENT *entry;

	*out = (struct procfs_fds){0};
	if (!tree)
		return error_set_errno(error, -errno, "cannot read the cgroup %s", path);
	while ((entry = fts_read(tree)))
		if (entry->fts_info == FTS_D)
			add_pids(entry->fts_path, out);
	fts_close(tree);
	return 0;
}
