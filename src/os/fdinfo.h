/*
 * /proc/PID/fdinfo/FD: what the kernel tells of one open file description, by the kind of its
 * object (proc_pid_fdinfo(5), Documentation/filesystems/proc.rst of the kernel).
 */
#ifndef HTRACE_OS_FDINFO_H
#define HTRACE_OS_FDINFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { FDINFO_TARGETS_MAX = 16, FDINFO_LOCKS_MAX = 4, FDINFO_BYTES_MAX = 4 << 20 };

/* What was there. */
enum fdinfo_has {
	FDINFO_FLAGS = 1,
	FDINFO_INODE = 2,
	FDINFO_EVENTFD = 4,
	FDINFO_EVENTFD_ID = 8,
	FDINFO_EPOLL = 16,
	FDINFO_TIMERFD = 32,
	FDINFO_SIGNALFD = 64,
	FDINFO_INOTIFY = 128,
	FDINFO_FANOTIFY = 256,
	FDINFO_PIDFD = 512,
	FDINFO_BPF = 1024,
	FDINFO_IO_URING = 2048,
	FDINFO_USERFAULTFD = 4096,
	FDINFO_DMABUF = 8192,
};

/* A lock that is held through the description, or (POSIX) by the process. */
struct fdinfo_lock {
	char kind[8]; /* "FLOCK", "POSIX", "OFDLCK", "LEASE" */
	bool write;
	int32_t pid;          /* who took it; -1: a description's own */
	uint64_t first, last; /* bytes; UINT64_MAX: to the end */
};

struct fdinfo {
	uint32_t has; /* enum fdinfo_has */
	uint64_t position;
	uint32_t flags; /* O_... of open(2), O_CLOEXEC among them */
	uint64_t inode;

	uint32_t locks_n; /* all; the first FDINFO_LOCKS_MAX are kept */
	struct fdinfo_lock locks[FDINFO_LOCKS_MAX];

	uint64_t eventfd_count;
	int32_t eventfd_id;
	bool eventfd_semaphore;

	uint32_t targets_n; /* of an epoll instance, all; likewise */
	int32_t targets[FDINFO_TARGETS_MAX];

	int32_t clock;        /* of a timerfd: clockid_t */
	uint64_t ticks;       /* expirations that nobody read */
	uint64_t value_ns;    /* until the next one; 0: it is not armed */
	uint64_t interval_ns; /* 0: once */

	uint64_t signals; /* bit N-1: signal N */
	uint32_t watches; /* of inotify, marks of fanotify */
	int32_t pid;      /* of a pidfd; 0: not to be seen from here, -1: it has ended */

	char bpf_kind[8];  /* "map", "prog", "link", "btf" */
	uint32_t bpf_id;   /* 0: not told */
	uint32_t bpf_type; /* number of the kind's type */
	uint64_t bpf_memory_bytes;

	uint32_t ring_files, ring_buffers; /* registered with an io_uring */
	uint64_t faults_pending;           /* of a userfaultfd */
	uint64_t dmabuf_bytes;
};

/* Reads it; a negative errno. `buffer` (NULL at first) is kept between calls and freed by the
 * caller; *capacity is its size. */
int fdinfo_read(pid_t pid, int32_t fd, char **buffer, size_t *capacity, struct fdinfo *out);

/* Parses such a file's text: `bytes` of it, which need no NUL. What cannot be read is not there. */
void fdinfo_parse(const char *text, size_t bytes, struct fdinfo *out);

#endif
