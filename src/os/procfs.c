/* Owns the text formats of /proc/PID (proc(5)); interprets nothing beyond them. */
#include "os/procfs.h"

#include "base/cleanup.h"

#include <ctype.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

static FILE *open_file(pid_t pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	return fopen(path, "re");
}

static int proc_error(struct error *error, pid_t pid, const char *name)
{
	int code = errno == ENOENT ? -ESRCH : -errno;

	if (code == -ESRCH)
		return error_set(error, code, "process %d does not exist", pid);
	return error_set_errno(error, code, "cannot read /proc/%d/%s", pid, name);
}

static bool parse_hex(char **text, char until, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(*text, &end, 16);
	if (end == *text || errno || *end != until)
		return false;
	*text = end + 1;
	return true;
}

/* "START-END PERMS OFFSET MAJOR:MINOR INODE   PATH", proc(5). */
bool procfs_parse_mapping(char *line, struct procfs_mapping *out)
{
	static const char deleted[] = " (deleted)";
	uint64_t major, minor;
	size_t length;
	char *end;

	*out = (struct procfs_mapping){0};
	if (!parse_hex(&line, '-', &out->start) || !parse_hex(&line, ' ', &out->end) ||
	    strlen(line) < 5)
		return false;
	out->executable = line[2] == 'x';
	line += 5;
	if (!parse_hex(&line, ' ', &out->file_offset) || !parse_hex(&line, ':', &major) ||
	    !parse_hex(&line, ' ', &minor))
		return false;
	out->device_major = major;
	out->device_minor = minor;
	out->inode = strtoull(line, &end, 10);
	if (end == line)
		return false;
	out->path = end + strspn(end, " ");
	length = strlen(out->path);
	if (length >= sizeof(deleted) &&
	    !strcmp(out->path + length - sizeof(deleted) + 1, deleted)) {
		((char *)out->path)[length - sizeof(deleted) + 1] = '\0';
		out->deleted = true;
	}
	return out->start < out->end;
}

int procfs_maps(pid_t pid, int (*each)(void *context, const struct procfs_mapping *mapping),
		void *context, struct error *error)
{
	_cleanup_(fclose) FILE *file = open_file(pid, "maps");
	_cleanup_(free) char *line = NULL;
	struct procfs_mapping mapping;
	size_t capacity = 0;
	ssize_t length;

	if (!file)
		return proc_error(error, pid, "maps");
	while ((length = getline(&line, &capacity, file)) > 0) {
		int result;

		if (line[length - 1] == '\n')
			line[length - 1] = '\0';
		if (!procfs_parse_mapping(line, &mapping))
			continue;
		result = each(context, &mapping);
		if (result)
			return result;
	}
	return 0;
}

int procfs_maps_text(char *text, size_t bytes,
		     int (*each)(void *context, const struct procfs_mapping *mapping),
		     void *context)
{
	char *newline;

	/* What has no newline at its end has no room for a NUL, and is not whole. */
	for (; (newline = memchr(text, '\n', bytes)); text = newline + 1) {
		struct procfs_mapping mapping;
		int result;

		bytes -= newline + 1 - text;
		*newline = '\0';
		result = procfs_parse_mapping(text, &mapping) ? each(context, &mapping) : 0;
		if (result)
			return result;
	}
	return 0;
}

static int compare_numbers(const void *a, const void *b)
{
	int32_t left = *(const int32_t *)a, right = *(const int32_t *)b;

	return left < right ? -1 : left > right;
}

static int list_numbers(pid_t pid, const char *name, struct procfs_fds *out, struct error *error)
{
	char path[64];
	_cleanup_(closedir) DIR *directory = NULL;
	struct dirent *entry;

	*out = (struct procfs_fds){0};
	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	directory = opendir(path);
	if (!directory)
		return proc_error(error, pid, name);
	while ((entry = readdir(directory)))
		if (isdigit((unsigned char)entry->d_name[0]))
			array_push(&out->numbers, strtol(entry->d_name, NULL, 10));
	if (out->numbers.count)
		qsort(out->numbers.data, out->numbers.count, sizeof(int32_t), compare_numbers);
	/* A zombie has an empty fd folder that opens; an own descriptor may be among ours. */
	if (pid == getpid() && !strcmp(name, "fd")) {
		int32_t own = dirfd(directory);

		for (size_t i = 0; i < out->numbers.count; i++)
			if (out->numbers.data[i] == own) {
				memmove(&out->numbers.data[i], &out->numbers.data[i + 1],
					(out->numbers.count - i - 1) * sizeof(int32_t));
				out->numbers.count--;
			}
	}
	return 0;
}

int procfs_fds(pid_t pid, struct procfs_fds *out, struct error *error)
{
	return list_numbers(pid, "fd", out, error);
}

void procfs_fds_fini(struct procfs_fds *fds)
{
	array_fini(&fds->numbers);
}

int procfs_threads(pid_t pid, struct procfs_fds *out, struct error *error)
{
	return list_numbers(pid, "task", out, error);
}

int procfs_pids(struct procfs_fds *out, struct error *error)
{
	_cleanup_(closedir) DIR *directory = opendir("/proc");
	struct dirent *entry;

	*out = (struct procfs_fds){0};
	if (!directory)
		return error_set_errno(error, -errno, "cannot open /proc");
	while ((entry = readdir(directory)))
		if (isdigit((unsigned char)entry->d_name[0]))
			array_push(&out->numbers, strtol(entry->d_name, NULL, 10));
	return 0;
}

int procfs_fd_link(pid_t pid, int32_t fd, char out[static PROCFS_LINK_MAX])
{
	char path[64];
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
	length = readlink(path, out, PROCFS_LINK_MAX - 1);
	if (length < 0)
		return -errno;
	out[length] = '\0';
	return length;
}

int procfs_fd_links(pid_t pid, bool (*each)(void *context, int32_t fd, const char *link),
		    void *context)
{
	_cleanup_(closedir) DIR *directory = NULL;
	char path[64], link[PROCFS_LINK_MAX];
	struct dirent *entry;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	directory = opendir(path);
	if (!directory)
		return -errno;
	while ((entry = readdir(directory))) {
		ssize_t length;

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		length = readlinkat(dirfd(directory), entry->d_name, link, sizeof(link) - 1);
		if (length < 0 && (errno == EACCES || errno == EPERM))
			return -errno;
		if (length < 0) /* closed meanwhile */
			continue;
		link[length] = '\0';
		if (!each(context, strtol(entry->d_name, NULL, 10), link))
			break;
	}
	return 0;
}

/* Without stdio: an attach reads as many as the target has descriptors. */
int procfs_fd_flags(pid_t pid, int32_t fd, uint32_t *flags)
{
	char path[64], text[256];
	_cleanup_(close_fd) int file = -1;
	const char *line;
	ssize_t bytes;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", pid, fd);
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return -errno;
	bytes = read(file, text, sizeof(text) - 1);
	if (bytes < 0)
		return -errno;
	text[bytes] = '\0';
	line = strstr(text, "flags:"); /* the second of its lines */
	return line && sscanf(line, "flags: %o", flags) == 1 ? 0 : -EPROTO;
}

const char *procfs_link_type(const char *link)
{
	static const struct {
		const char *prefix, *type;
	} types[] = {
	    {"socket:", "socket"},
	    {"pipe:", "pipe"},
	    {"anon_inode:[eventfd]", "eventfd"},
	    {"anon_inode:[eventpoll]", "epoll"},
	    {"anon_inode:[timerfd]", "timerfd"},
	    {"anon_inode:[signalfd]", "signalfd"},
	    {"anon_inode:inotify", "inotify"},
	    {"anon_inode:[fanotify]", "fanotify"},
	    {"anon_inode:[pidfd]", "pidfd"},
	    {"pidfd:", "pidfd"},
	    {"anon_inode:[io_uring]", "io_uring"},
	    {"anon_inode:[userfaultfd]", "userfaultfd"},
	    {"anon_inode:[perf_event]", "perf"},
	    {"anon_inode:bpf", "bpf"},
	    {"anon_inode:[fscontext]", "fscontext"},
	    {"anon_inode:[landlock-ruleset]", "landlock"},
	    {"anon_inode:landlock-ruleset", "landlock"},
	    {"anon_inode:seccomp notify", "seccomp"},
	    {"anon_inode:", "anon_inode"},
	    {"/memfd:", "memfd"},
	    {"/secretmem", "memfd"},
	    {"/dev/mqueue/", "mqueue"},
	    {"mnt:[", "namespace"},
	    {"net:[", "namespace"},
	    {"pid:[", "namespace"},
	    {"user:[", "namespace"},
	    {"uts:[", "namespace"},
	    {"ipc:[", "namespace"},
	    {"cgroup:[", "namespace"},
	    {"time:[", "namespace"},
	    {"/dev/shm/", "file"}, /* POSIX shared memory */
	    {"/dev/", "device"},
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (!strncmp(link, types[i].prefix, strlen(types[i].prefix)))
			return types[i].type;
	return "file";
}

int procfs_status(pid_t pid, struct procfs_status *out, struct error *error)
{
	_cleanup_(fclose) FILE *file = open_file(pid, "status");
	bool has_memory = false;
	char line[512];

	*out = (struct procfs_status){0};
	if (!file)
		return proc_error(error, pid, "status");
	while (fgets(line, sizeof(line), file)) {
		uint32_t uid;
		char state;

		sscanf(line, "Tgid: %d", &out->tgid);
		sscanf(line, "PPid: %d", &out->ppid);
		sscanf(line, "TracerPid: %d", &out->tracer);
		sscanf(line, "Threads: %u", &out->threads);
		if (sscanf(line, "Uid: %*u %u", &uid) == 1)
			out->uid = uid;
		if (sscanf(line, "State: %c", &state) == 1) {
			out->zombie = state == 'Z' || state == 'X';
			out->stopped = state == 'T' || state == 't';
			out->uninterruptible = state == 'D';
		}
		if (!strncmp(line, "VmSize:", 7))
			has_memory = true;
	}
	/* A process that is ending has lost its memory too; kthreadd(2) is the father of the
	 * others. */
	out->kernel_thread = !has_memory && !out->zombie && (out->ppid == 2 || out->tgid == 2);
	out->ending = !has_memory && !out->kernel_thread;
	return 0;
}

int procfs_handle_limit(pid_t pid, uint64_t *out)
{
	_cleanup_(fclose) FILE *file = open_file(pid, "limits");
	char line[256];

	if (!file)
		return errno == ENOENT ? -ESRCH : -errno;
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, "Max open files", 14))
			continue;
		if (sscanf(line + 14, "%" SCNu64, out) != 1)
			*out = UINT64_MAX; /* "unlimited" */
		return 0;
	}
	return -ESRCH;
}

/* "1184	0	9223372036854775807": allocated, free (always 0), most. */
bool procfs_parse_system_files(const char *text, uint64_t *open, uint64_t *most)
{
	uint64_t unused;

	if (sscanf(text, "%" SCNu64 " %" SCNu64 " %" SCNu64, open, &unused, most) != 3)
		return false;
	*open -= unused < *open ? unused : *open;
	return true;
}

int procfs_system_files(uint64_t *open, uint64_t *most)
{
	_cleanup_(fclose) FILE *file = fopen("/proc/sys/fs/file-nr", "re");
	char line[128];

	if (!file || !fgets(line, sizeof(line), file))
		return errno ? -errno : -EIO;
	return procfs_parse_system_files(line, open, most) ? 0 : -EIO;
}

char *procfs_exe_dup(pid_t pid)
{
	static const char deleted[] = " (deleted)";
	char path[64], link[PROCFS_LINK_MAX];
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	length = readlink(path, link, sizeof(link) - 1);
	if (length < 0)
		return NULL;
	link[length] = '\0';
	if ((size_t)length >= sizeof(deleted) &&
	    !strcmp(link + length - sizeof(deleted) + 1, deleted))
		link[length - sizeof(deleted) + 1] = '\0';
	return xstrdup(link);
}

bool procfs_shares_files(pid_t pid, pid_t tid)
{
	/* kcmp(2): 0 means equal; where it is refused, threads share as nearly all do. */
	return pid == tid || syscall(SYS_kcmp, pid, tid, KCMP_FILES, 0, 0) <= 0;
}
