/* Cgroups of version 2 as folders: where one is, and which processes are in it. */
#ifndef HTRACE_OS_CGROUP_H
#define HTRACE_OS_CGROUP_H

#include "base/error.h"
#include "os/procfs.h"

/*
 * The folder of the cgroup `name`: an absolute path that exists is taken as it is; anything else is
 * a path below the place where version 2 is mounted ("/system.slice/x.service" as /proc/PID/cgroup
 * says, or without the first slash). Owned by the caller; NULL with a sentence.
 */
char *cgroup_path_dup(const char *name, struct error *error);

/* The processes in the cgroup of that folder and in those below it; procfs_fds_fini() frees. One
 * that moves meanwhile may be there twice, or not at all. */
int cgroup_pids(const char *path, struct procfs_fds *out, struct error *error);

#endif
