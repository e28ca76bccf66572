/*
 * Owns the lines of fdinfo files. They are parsed within their bounds, for a file may end anywhere
 * and a later kernel may write anything.
 */
#include "os/fdinfo.h"

#include "base/alloc.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 256, CHUNK_BYTES = 4096 };

static void parse_lock(const char *text, struct fdinfo *out)
{
	struct fdinfo_lock lock = {0};
	char last[24], mode[8], kind[8];

	/* "1: FLOCK  ADVISORY  WRITE 359 00:13:11691 0 EOF" */
	if (sscanf(text, "%*d: %7s %*s %7s %d %*x:%*x:%*u %ju %23s", kind, mode, &lock.pid,
		   &lock.first, last) != 5)
		return;
	memcpy(lock.kind, kind, sizeof(lock.kind));
	lock.write = !strcmp(mode, "WRITE");
	lock.last = strcmp(last, "EOF") ? strtoull(last, NULL, 10) : UINT64_MAX;
	if (out->locks_n < FDINFO_LOCKS_MAX)
		out->locks[out->locks_n] = lock;
	out->locks_n++;
}

static void parse_target(const char *text, struct fdinfo *out)
{
	int32_t number;

	if (sscanf(text, "%d", &number) != 1 || number < 0)
		return;
	if (out->targets_n < FDINFO_TARGETS_MAX)
		out->targets[out->targets_n] = number;
	out->targets_n++;
	out->has |= FDINFO_EPOLL;
}

static uint64_t time_of(const char *text)
{
	unsigned long long seconds, nanoseconds;

	if (sscanf(text, "(%llu, %llu)", &seconds, &nanoseconds) != 2 ||
	    nanoseconds >= 1000000000 || seconds > UINT64_MAX / 1000000000 - 1)
		return 0;
	return seconds * 1000000000 + nanoseconds;
}

static void parse_bpf(const char *kind, const char *value, struct fdinfo *out)
{
	out->has |= FDINFO_BPF;
	/* A link names its program, too: what came first is what it is. */
	if (out->bpf_kind[0])
		return;
	snprintf(out->bpf_kind, sizeof(out->bpf_kind), "%s", kind);
	out->bpf_type = strtoul(value, NULL, 10);
}

static void parse_bpf_id(const char *kind, const char *value, struct fdinfo *out)
{
	if (!out->bpf_kind[0])
		snprintf(out->bpf_kind, sizeof(out->bpf_kind), "%s", kind);
	if (!strcmp(out->bpf_kind, kind))
		out->bpf_id = strtoul(value, NULL, 10);
	out->has |= FDINFO_BPF;
}

/* What the name before the colon says the rest of the line is. Names are those of the kernel's
 * show_fdinfo functions. */
enum field {
	FIELD_NONE,
	FIELD_POSITION,
	FIELD_FLAGS,
	FIELD_INODE,
	FIELD_LOCK,
	FIELD_EVENTFD,
	FIELD_EVENTFD_ID,
	FIELD_SEMAPHORE,
	FIELD_TARGET,
	FIELD_CLOCK,
	FIELD_TICKS,
	FIELD_VALUE,
	FIELD_INTERVAL,
	FIELD_SIGNALS,
	FIELD_PID,
	FIELD_BPF_MEMORY,
	FIELD_RING_FILES,
	FIELD_RING_BUFFERS,
	FIELD_FAULTS,
	FIELD_DMABUF,
};

static enum field field_of(const char *name)
{
	static const struct {
		const char *name;
		enum field field;
	} fields[] = {
	    {"pos", FIELD_POSITION},
	    {"flags", FIELD_FLAGS},
	    {"ino", FIELD_INODE},
	    {"lock", FIELD_LOCK},
	    {"eventfd-count", FIELD_EVENTFD},
	    {"eventfd-id", FIELD_EVENTFD_ID},
	    {"eventfd-semaphore", FIELD_SEMAPHORE},
	    {"tfd", FIELD_TARGET},
	    {"clockid", FIELD_CLOCK},
	    {"ticks", FIELD_TICKS},
	    {"it_value", FIELD_VALUE},
	    {"it_interval", FIELD_INTERVAL},
	    {"sigmask", FIELD_SIGNALS},
	    {"Pid", FIELD_PID},
	    {"memlock", FIELD_BPF_MEMORY},
	    {"UserFiles", FIELD_RING_FILES},
	    {"UserBufs", FIELD_RING_BUFFERS},
	    {"pending", FIELD_FAULTS},
	    {"size", FIELD_DMABUF},
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
		if (!strcmp(name, fields[i].name))
			return fields[i].field;
	return FIELD_NONE;
}

static void parse_timer(enum field field, const char *value, struct fdinfo *out)
{
	out->has |= FDINFO_TIMERFD;
	if (field == FIELD_CLOCK)
		out->clock = strtol(value, NULL, 10);
	else if (field == FIELD_TICKS)
		out->ticks = strtoull(value, NULL, 10);
	else if (field == FIELD_VALUE)
		out->value_ns = time_of(value);
	else
		out->interval_ns = time_of(value);
}

static void parse_object(enum field field, const char *value, struct fdinfo *out)
{
	switch (field) {
	case FIELD_EVENTFD:
		out->eventfd_count = strtoull(value, NULL, 16);
		out->has |= FDINFO_EVENTFD;
		break;
	case FIELD_EVENTFD_ID:
		out->eventfd_id = strtol(value, NULL, 10);
		out->has |= FDINFO_EVENTFD_ID;
		break;
	case FIELD_SEMAPHORE:
		out->eventfd_semaphore = strtol(value, NULL, 10) != 0;
		break;
	case FIELD_SIGNALS:
		out->signals = strtoull(value, NULL, 16);
		out->has |= FDINFO_SIGNALFD;
		break;
	case FIELD_PID:
		out->pid = strtol(value, NULL, 10);
		out->has |= FDINFO_PIDFD;
		break;
	case FIELD_RING_FILES:
		out->ring_files = strtoul(value, NULL, 10);
		out->has |= FDINFO_IO_URING;
		break;
	case FIELD_RING_BUFFERS:
		out->ring_buffers = strtoul(value, NULL, 10);
		out->has |= FDINFO_IO_URING;
		break;
	case FIELD_FAULTS:
		out->faults_pending = strtoull(value, NULL, 10);
		out->has |= FDINFO_USERFAULTFD;
		break;
	case FIELD_DMABUF:
		out->dmabuf_bytes = strtoull(value, NULL, 10);
		out->has |= FDINFO_DMABUF;
		break;
	case FIELD_BPF_MEMORY:
		out->bpf_memory_bytes = strtoull(value, NULL, 10);
		break;
	default:
		break;
	}
}

static void parse_field(enum field field, const char *value, struct fdinfo *out)
{
	switch (field) {
	case FIELD_POSITION:
		out->position = strtoull(value, NULL, 10);
		break;
	case FIELD_FLAGS: /* fanotify has another line of that name behind the first */
		if (!(out->has & FDINFO_FLAGS))
			out->flags = strtoul(value, NULL, 8);
		out->has |= FDINFO_FLAGS;
		break;
	case FIELD_INODE:
		out->inode = strtoull(value, NULL, 10);
		out->has |= FDINFO_INODE;
		break;
	case FIELD_LOCK:
		parse_lock(value, out);
		break;
	case FIELD_TARGET:
		parse_target(value, out);
		break;
	case FIELD_CLOCK:
	case FIELD_TICKS:
	case FIELD_VALUE:
	case FIELD_INTERVAL:
		parse_timer(field, value, out);
		break;
	default:
		parse_object(field, value, out);
	}
}

/* "map_type", "prog_id": what kind of BPF object it is, and its number. */
static bool parse_bpf_line(const char *name, const char *value, struct fdinfo *out)
{
	static const char *const kinds[] = {"map", "prog", "link", "btf"};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		size_t length = strlen(kinds[i]);

		if (strncmp(name, kinds[i], length) || name[length] != '_')
			continue;
		if (!strcmp(name + length, "_type"))
			parse_bpf(kinds[i], value, out);
		else if (!strcmp(name + length, "_id"))
			parse_bpf_id(kinds[i], value, out);
		return true;
	}
	return false;
}

/* `line` ends with NUL. */
static void parse_line(char *line, struct fdinfo *out)
{
	char *colon;

	if (!strncmp(line, "inotify wd:", 11) || !strncmp(line, "fanotify ino:", 13) ||
	    !strncmp(line, "fanotify mnt_id:", 16) || !strncmp(line, "fanotify sdev:", 14) ||
	    !strncmp(line, "fanotify mnt_ns:", 16)) {
		out->watches++;
		out->has |= line[0] == 'i' ? FDINFO_INOTIFY : FDINFO_FANOTIFY;
		return;
	}
	colon = strchr(line, ':');
	if (!colon)
		return;
	*colon++ = '\0';
	colon += strspn(colon, " \t");
	if (!parse_bpf_line(line, colon, out))
		parse_field(field_of(line), colon, out);
}

void fdinfo_parse(const char *text, size_t bytes, struct fdinfo *out)
{
	const char *end = text + bytes;

	*out = (struct fdinfo){0};
	while (text < end) {
		const char *next = memchr(text, '\n', end - text);
		size_t length = (next ?: end) - text;
		char line[LINE_MAX_BYTES];

		if (length >= sizeof(line))
			length = sizeof(line) - 1;
		memcpy(line, text, length);
		line[length] = '\0';
		parse_line(line, out);
		text = next ? next + 1 : end;
	}
}

int fdinfo_read(pid_t pid, int32_t fd, char **buffer, size_t *capacity, struct fdinfo *out)
{
	_cleanup_(close_fd) int file = -1;
	size_t bytes = 0;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", pid, fd);
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return -errno;
	for (;;) {
		ssize_t got;

		if (bytes + CHUNK_BYTES > *capacity) {
			*capacity = *capacity ? *capacity * 2 : CHUNK_BYTES;
			*buffer = xreallocarray(*buffer, *capacity, 1);
		}
		got = read(file, *buffer + bytes, CHUNK_BYTES);
		if (got < 0)
			return -errno;
		bytes += got;
		if (!got || bytes >= FDINFO_BYTES_MAX)
			break;
	}
	fdinfo_parse(*buffer, bytes, out);
	return 0;
}
