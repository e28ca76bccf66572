/*
 * Asks the kernel which numbers of a tracee are open: one at a time, or all as a bitmap. Threads
 * may have tables of their own, so it always asks for the thread and not for the process.
 */
#include "collect/ptrace/tracer.h"

#include "base/cleanup.h"
#include "os/procfs.h"

#include <linux/kcmp.h>
#include <string.h>
#include <sys/syscall.h>

static bool is_open_by_link(pid_t tid, int32_t fd)
{
	char path[64], link[8];

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", tid, fd);
	return readlink(path, link, sizeof(link)) >= 0 || errno != ENOENT;
}

/*
 * kcmp(2) of a number with itself is cheaper than a look into /proc, even with the folder kept open
 * (385 ns; fstatat 445, readlinkat 600), and keeps nothing; where it is missing or forbidden, the
 * link tells. If neither answers, "not open" lets the call's own result decide.
 */
bool fds_is_open(struct collector *collector, const struct tracee *tracee, int32_t fd)
{
	if (fd < 0)
		return false;
	if (!collector->no_kcmp) {
		if (syscall(SYS_kcmp, tracee->tid, tracee->tid, KCMP_FILE, fd, fd) == 0)
			return true;
		if (errno == EBADF)
			return false;
		collector->no_kcmp = errno == ENOSYS || errno == EPERM;
	}
	return is_open_by_link(tracee->tid, fd);
}

/* The table of `tid` as a bitmap that the caller frees; false where it cannot be read. */
bool fds_bitmap(pid_t tid, uint64_t **words, size_t *count)
{
	struct procfs_fds fds;

	*words = NULL;
	*count = 0;
	if (procfs_fds(tid, &fds, NULL) < 0)
		return false;
	if (fds.numbers.count)
		*count = fds.numbers.data[fds.numbers.count - 1] / 64 + 1;
	*words = xcalloc(*count + 1, sizeof(**words));
	array_each (number, &fds.numbers)
		(*words)[*number / 64] |= 1ull << *number % 64;
	procfs_fds_fini(&fds);
	return true;
}

void fds_record(struct collector *collector, pid_t pid, pid_t tid, const uint64_t *words,
		size_t count)
{
	size_t bytes = count * sizeof(*words);
	struct event_data *data;
	bool cut = bytes > EVENT_DATA_BYTES_MAX;

	if (cut)
		bytes = EVENT_DATA_BYTES_MAX;
	data = outbox_begin(&collector->outbox, EVENT_DATA, pid, tid, sizeof(*data), bytes);
	data->header.flags = cut ? EVENT_DATA_CUT : 0;
	data->kind = EVENT_DATA_FDS;
	data->size = bytes;
	if (bytes)
		memcpy(data->bytes, words, bytes);
	outbox_end(&collector->outbox, sizeof(*data) + bytes);
}
