/*
 * What /proc tells of a process. Every function works on a process that may end at any moment:
 * then it returns -ESRCH.
 */
#ifndef HTRACE_OS_PROCFS_H
#define HTRACE_OS_PROCFS_H

#include "base/array.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { PROCFS_LINK_MAX = 4096 };

struct procfs_mapping {
	uint64_t start, end;
	uint64_t file_offset;
	uint64_t inode; /* 0: no file */
	uint32_t device_major, device_minor;
	bool executable;
	const char *path; /* "" where there is none; " (deleted)" cut off; borrowed */
	bool deleted;
};

/* Calls `each` for every mapping in address order until it returns non-zero (which is returned). */
int procfs_maps(pid_t pid, int (*each)(void *context, const struct procfs_mapping *mapping),
		void *context, struct error *error);

/* Parses one line of /proc/PID/maps in place (NUL at its end, no newline); false if it is none. */
bool procfs_parse_mapping(char *line, struct procfs_mapping *out);

/* The same for the text of such a file: `bytes` of it, which are changed; its last line may be cut.
 */
int procfs_maps_text(char *text, size_t bytes,
		     int (*each)(void *context, const struct procfs_mapping *mapping),
		     void *context);

/* Ascending numbers: descriptors, threads, processes. */
struct procfs_fds {
	ARRAY(int32_t) numbers; /* ascending */
};

/* The open descriptors of `pid`; procfs_fds_fini() frees. */
int procfs_fds(pid_t pid, struct procfs_fds *out, struct error *error);
void procfs_fds_fini(struct procfs_fds *fds);
#define cleanup_procfs_fds_fini procfs_fds_fini

/* What /proc/PID/fd/FD links to, and the length of it; or a negative errno. */
int procfs_fd_link(pid_t pid, int32_t fd, char out[static PROCFS_LINK_MAX]);

/* Calls `each` for every descriptor and what it links to, in no order, until it returns false. A
 * negative errno: the folder may not be read, or there is no such process. */
int procfs_fd_links(pid_t pid, bool (*each)(void *context, int32_t fd, const char *link),
		    void *context);

/* The flags of /proc/PID/fdinfo/FD (O_CLOEXEC among them), or a negative errno. */
int procfs_fd_flags(pid_t pid, int32_t fd, uint32_t *flags);

/*
 * What kind of handle a /proc/PID/fd link stands for: "file", "socket", "pipe", "eventfd", ...
 * A static string, or one of `link` itself is never returned. "file" for any path.
 */
const char *procfs_link_type(const char *link);

/* The threads of `pid` (thread ids, ascending); array_fini(&out->numbers) frees. */
int procfs_threads(pid_t pid, struct procfs_fds *out, struct error *error);

/* All processes that there are (in the order of the folder); array_fini(&out->numbers) frees. */
int procfs_pids(struct procfs_fds *out, struct error *error);

struct procfs_status {
	pid_t tgid, ppid, tracer;
	uint32_t uid;       /* effective */
	bool kernel_thread; /* no user memory at all */
	bool zombie;
	bool stopped;         /* by a signal, or by a debugger */
	bool uninterruptible; /* waits in the kernel for what cannot be interrupted */
	bool ending;          /* or a zombie: it has no memory any more */
	uint32_t threads;
};

int procfs_status(pid_t pid, struct procfs_status *out, struct error *error);

/* The soft RLIMIT_NOFILE of `pid`; UINT64_MAX: none. 0, or a negative errno. */
int procfs_handle_limit(pid_t pid, uint64_t *out);

/* The open files of the machine, and the most that there may be: the text of
 * /proc/sys/fs/file-nr (proc_sys_fs(5)), or that file. */
bool procfs_parse_system_files(const char *text, uint64_t *open, uint64_t *most);
int procfs_system_files(uint64_t *open, uint64_t *most);

/* The path of the program of `pid`, without " (deleted)"; owned by the caller, NULL if unknown. */
char *procfs_exe_dup(pid_t pid);

/* True where thread `tid` of `pid` shares its descriptor table with the thread group leader. */
bool procfs_shares_files(pid_t pid, pid_t tid);

#endif
