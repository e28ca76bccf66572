/* Reads memory of a stopped tracee. Every address in it is hostile: what cannot be read is not. */
#include "collect/ptrace/tracer.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/uio.h>

/* Where process_vm_readv(2) is not permitted (seccomp of a container), /proc/TID/mem may be. */
static size_t read_by_file(pid_t tid, uint64_t address, void *out, size_t size)
{
	_cleanup_(close_fd) int fd = -1;
	char path[64];
	ssize_t got;

	snprintf(path, sizeof(path), "/proc/%d/mem", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	got = pread(fd, out, size, (off_t)address);
	return got < 0 ? 0 : got;
}

size_t memory_read(pid_t tid, uint64_t address, void *out, size_t size)
{
	struct iovec local = {out, size};
	struct iovec remote = {(void *)(uintptr_t)address, size};
	ssize_t got;

	if (!address || !size)
		return 0;
	got = process_vm_readv(tid, &local, 1, &remote, 1, 0);
	if (got >= 0)
		return got;
	return errno == EPERM || errno == ENOSYS ? read_by_file(tid, address, out, size) : 0;
}
