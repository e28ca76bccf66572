/* Another process's memory, and whether it may be touched. */
#ifndef HTRACE_OS_REMOTE_H
#define HTRACE_OS_REMOTE_H

#include "base/error.h"
#include "os/procfs.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Bytes of [address, address + size) of the process of `tid` that could be copied, from the front.
 */
size_t remote_read(pid_t tid, uint64_t address, void *out, size_t size);
/* The memory must be writable for the process itself. */
size_t remote_write(pid_t tid, uint64_t address, const void *bytes, size_t size);

/* 0 and its status where `pid` is a process that can be traced if it is permitted: alive, no
 * thread, no kernel thread, not this program, not a 32-bit one. */
int remote_check(pid_t pid, struct procfs_status *status, struct error *error);

/* Says why the kernel refuses to trace `pid`, and what to do: -EPERM. */
int remote_refused(pid_t pid, const struct procfs_status *status, struct error *error);

#endif
