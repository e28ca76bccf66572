/*
 * Owns the reading and writing of other processes' memory, and who may be traced at all. Every
 * address is hostile: what cannot be read is not.
 */
#include "os/remote.h"

#include "base/cleanup.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

/* Where process_vm_readv(2) is not permitted (seccomp of a container), /proc/TID/mem may be. */
static size_t copy_by_file(pid_t tid, uint64_t address, void *bytes, size_t size, bool write)
{
	_cleanup_(close_fd) int fd = -1;
	char path[64];
	ssize_t got;

	snprintf(path, sizeof(path), "/proc/%d/mem", tid);
	fd = open(path, (write ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
	if (fd < 0)
		return 0;
	got = write ? pwrite(fd, bytes, size, (off_t)address)
		    : pread(fd, bytes, size, (off_t)address);
	return got < 0 ? 0 : got;
}

size_t remote_read(pid_t tid, uint64_t address, void *out, size_t size)
{
	struct iovec local = {out, size};
	struct iovec remote = {(void *)(uintptr_t)address, size};
	ssize_t got;

	if (!address || !size)
		return 0;
	got = process_vm_readv(tid, &local, 1, &remote, 1, 0);
	if (got >= 0)
		return got;
	return errno == EPERM || errno == ENOSYS ? copy_by_file(tid, address, out, size, false) : 0;
}

size_t remote_write(pid_t tid, uint64_t address, const void *bytes, size_t size)
{
	struct iovec local = {(void *)bytes, size};
	struct iovec remote = {(void *)(uintptr_t)address, size};
	ssize_t got = process_vm_writev(tid, &local, 1, &remote, 1, 0);

	if (got >= 0)
		return got;
	return errno == EPERM || errno == ENOSYS
		   ? copy_by_file(tid, address, (void *)bytes, size, true)
		   : 0;
}

static int yama_scope(void)
{
	FILE *file = fopen("/proc/sys/kernel/yama/ptrace_scope", "re");
	int scope = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%d", &scope) != 1)
		scope = 0;
	fclose(file);
	return scope;
}

int remote_refused(pid_t pid, const struct procfs_status *status, struct error *error)
{
	int scope = yama_scope();

	if (status->tracer)
		return error_set(error, -EPERM, "process %d is already traced by process %d", pid,
				 status->tracer);
	if (geteuid() != 0 && status->uid != geteuid())
		return error_set(error, -EPERM,
				 "process %d belongs to user %u: run as that user or as root "
				 "(CAP_SYS_PTRACE)",
				 pid, status->uid);
	if (scope == 3)
		return error_set(
		    error, -EPERM,
		    "kernel.yama.ptrace_scope is 3: no process may be traced until the "
		    "next boot");
	if (scope)
		return error_set(error, -EPERM,
				 "kernel.yama.ptrace_scope is %d: run as root, or permit it with "
				 "\"sysctl kernel.yama.ptrace_scope=0\"",
				 scope);
	return error_set(
	    error, -EPERM,
	    "not permitted to trace process %d: it needs CAP_SYS_PTRACE (its memory is "
	    "protected, or a container forbids ptrace)",
	    pid);
}

static bool is_foreign(pid_t pid)
{
	_cleanup_(close_fd) int fd = -1;
	unsigned char ident[EI_NIDENT];
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read(fd, ident, sizeof(ident)) == sizeof(ident) &&
	       !memcmp(ident, ELFMAG, SELFMAG) && ident[EI_CLASS] == ELFCLASS32;
}

int remote_check(pid_t pid, struct procfs_status *status, struct error *error)
{
	int result = procfs_status(pid, status, error);

	if (result < 0)
		return result;
	if (status->tgid != pid)
		return error_set(error, -EINVAL, "%d is a thread of process %d: attach to that",
				 pid, status->tgid);
	if (pid == getpid())
		return error_set(error, -EINVAL, "process %d is this program itself", pid);
	if (status->kernel_thread)
		return error_set(error, -EINVAL, "process %d is a kernel thread", pid);
	if (status->ending && status->threads <= 1)
		return error_set(error, -ESRCH, "process %d has ended already", pid);
	if (is_foreign(pid))
		return error_set(error, -ENOEXEC,
				 "process %d is a 32-bit program: only x86-64 is supported", pid);
	return 0;
}
