/*
 * Owns the list of what is wanted, what each handle's own folder in /proc tells, and the sum of
 * what it costs. Who else is there is holders.c's business.
 */
#include "detail/private.h"

#include "base/clock.h"
#include "base/hash.h"
#include "model/handle_type.h"
#include "os/procfs.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { BLOCK_BYTES = 512, WANTED_MAX = 1 << 16 };

static const uint64_t GATHERING_CPU_NS_MAX = 1000000000, GATHERING_NS_MAX = 5000000000;

static uint64_t cpu_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

bool details_time_is_up(struct details *details)
{
	if (clock_now_ns() > details->until_ns || cpu_now_ns() > details->until_cpu_ns)
		details->limits.cut = true;
	return details->limits.cut;
}

static uint64_t key_of(int32_t pid, int32_t number)
{
	return (uint64_t)(uint32_t)pid << 32 | (uint32_t)number;
}

struct details *details_new(void)
{
	return xcalloc(1, sizeof(struct details));
}

void details_free(struct details *details)
{
	if (!details)
		return;
	array_each (wanted, &details->wanted)
		free(wanted->detail.socket);
	array_fini(&details->wanted);
	map_each (entry, &details->comms)
		free((void *)(uintptr_t)entry->value);
	map_fini(&details->comms);
	map_fini(&details->index);
	free(details);
}

uint64_t details_link(const char *link)
{
	return hash_bytes(link, strlen(link), 0) | 1;
}

static void read_comm(const char *path, char out[static DETAIL_COMM_BYTES])
{
	FILE *file = fopen(path, "re");

	*out = '\0';
	if (!file)
		return;
	if (fgets(out, DETAIL_COMM_BYTES, file))
		out[strcspn(out, "\n")] = '\0';
	fclose(file);
}

const char *details_comm(struct details *details, int32_t pid)
{
	uint64_t *slot = map_put(&details->comms, (uint32_t)pid);
	char path[64], comm[DETAIL_COMM_BYTES];

	if (!*slot) {
		snprintf(path, sizeof(path), "/proc/%d/comm", pid);
		read_comm(path, comm);
		*slot = (uintptr_t)xstrdup(comm);
	}
	return (const char *)(uintptr_t)*slot;
}

void detail_holders_add(struct details *details, struct detail_holders *holders, int32_t pid,
			int32_t number)
{
	struct detail_holder *item = &holders->items[holders->shown];

	holders->count++;
	if (holders->shown == DETAIL_HOLDERS_MAX)
		return;
	*item = (struct detail_holder){.pid = pid, .number = number};
	snprintf(item->comm, sizeof(item->comm), "%s", details_comm(details, pid));
	holders->shown++;
}

/* Threads with tables of their own are not looked at: /proc/PID/fd is the leader's. */
static bool is_leaders(const struct model *model, const struct process *process,
		       const struct handle *handle)
{
	const struct handle *leaders = model_handle(model, process, handle->number);

	return leaders && leaders->open && leaders->opened.time_ns == handle->opened.time_ns;
}

static bool types_equal(const char *a, const char *b)
{
	return a && !strcmp(a, b);
}

void details_want(struct details *details, const struct model *model, const struct process *process,
		  const struct handle *handle)
{
	struct wanted wanted = {
	    .detail = {.pid = process->pid,
		       .number = handle->number,
		       .opened_ns = handle->opened.time_ns},
	    .opener_pid = handle->opened.pid,
	    .opener_tid = handle->opened.tid,
	    .table = socket_table_of_type(handle->type),
	    .is_pipe = handle->type && handle_type_is(handle->type, "pipe"),
	    .is_memfd = types_equal(handle->type, "memfd"),
	};
	char link[PROCFS_LINK_MAX];
	uint64_t *slot;

	if (process->exited || !is_leaders(model, process, handle))
		return;
	if (details->wanted.count == WANTED_MAX) {
		details->limits.left_out++;
		return;
	}
	slot = map_put(&details->index, key_of(process->pid, handle->number));
	if (*slot || procfs_fd_link(process->pid, handle->number, link) < 0)
		return;
	/* The name of an object has its number: it is another one now. */
	if (handle->name && handle->observed && link[0] != '/' && strcmp(link, handle->name) != 0)
		return;
	wanted.link = details_link(link);
	array_push(&details->wanted, wanted);
	*slot = details->wanted.count;
}

/* ---- one handle ---- */

static void look_at_file(struct wanted *wanted)
{
	struct detail *detail = &wanted->detail;
	struct statx status;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", detail->pid, detail->number);
	/* A file system that does not answer must not keep us waiting. */
	if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &status))
		return;
	detail->has_file = true;
	detail->mode = status.stx_mode;
	detail->device = (uint64_t)status.stx_dev_major << 32 | status.stx_dev_minor;
	detail->inode = status.stx_ino;
	detail->object = hash_combine(detail->device, detail->inode);
	if (!S_ISREG(status.stx_mode))
		return;
	detail->size_bytes = status.stx_size;
	detail->deleted = !status.stx_nlink;
	if (!detail->deleted && !wanted->is_memfd)
		return;
	detail->cost = wanted->is_memfd ? COST_MEMORY : COST_DISK;
	detail->cost_bytes = status.stx_blocks * BLOCK_BYTES;
}

static void add_known_cost(struct detail *detail)
{
	const struct fdinfo *info = &detail->info;

	if (info->has & FDINFO_BPF && info->bpf_memory_bytes) {
		detail->cost = COST_MEMORY;
		detail->cost_bytes = info->bpf_memory_bytes;
		if (info->bpf_id)
			detail->object = hash_combine(
			    hash_bytes(info->bpf_kind, strlen(info->bpf_kind), 1), info->bpf_id);
	}
	if (info->has & FDINFO_DMABUF) {
		detail->cost = COST_MEMORY;
		detail->cost_bytes = info->dmabuf_bytes;
	}
}

static void read_opener(struct wanted *wanted)
{
	char path[64];

	if (!wanted->opener_tid)
		return;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/comm", wanted->opener_pid,
		 wanted->opener_tid);
	read_comm(path, wanted->detail.opener);
}

/* Threads are few, and open many each. */
static void read_openers(struct details *details)
{
	const struct wanted *last = NULL;

	array_each (wanted, &details->wanted) {
		if (last && last->opener_pid == wanted->opener_pid &&
		    last->opener_tid == wanted->opener_tid)
			memcpy(wanted->detail.opener, last->detail.opener, DETAIL_COMM_BYTES);
		else
			read_opener(wanted);
		last = wanted;
	}
}

static void read_handles(struct details *details)
{
	char *buffer = NULL;
	size_t capacity = 0;

	array_each (wanted, &details->wanted) {
		struct detail *detail = &wanted->detail;

		if (fdinfo_read(detail->pid, detail->number, &buffer, &capacity, &detail->info)) {
			wanted->link = 0;
			continue;
		}
		look_at_file(wanted);
		add_known_cost(detail);
		detail->reads = (detail->info.flags & O_ACCMODE) != O_WRONLY;
		detail->writes = (detail->info.flags & O_ACCMODE) != O_RDONLY;
		if (detail->info.has & FDINFO_PIDFD && detail->info.pid > 0)
			snprintf(detail->process, sizeof(detail->process), "%s",
				 details_comm(details, detail->info.pid));
	}
	free(buffer);
}

static void add_socket_costs(struct details *details)
{
	array_each (wanted, &details->wanted) {
		const struct socket_info *socket = wanted->detail.socket;

		if (!socket || !socket->memory_known)
			continue;
		wanted->detail.cost = COST_MEMORY;
		wanted->detail.cost_bytes = socket->memory_bytes;
	}
}

void details_gather(struct details *details)
{
	details->until_ns = clock_now_ns() + GATHERING_NS_MAX;
	details->until_cpu_ns = cpu_now_ns() + GATHERING_CPU_NS_MAX;
	read_handles(details);
	read_openers(details);
	details_find_sockets(details);
	add_socket_costs(details);
	details_look_into_pipes(details);
	details_find_holders(details);
}

const struct detail *details_get(const struct details *details, int32_t pid,
				 const struct handle *handle)
{
	const uint64_t *slot =
	    details ? map_get(&details->index, key_of(pid, handle->number)) : NULL;
	const struct wanted *wanted = slot && *slot ? &details->wanted.data[*slot - 1] : NULL;

	return wanted && wanted->link && wanted->detail.opened_ns == handle->opened.time_ns
		   ? &wanted->detail
		   : NULL;
}

const struct details_limits *details_limits(const struct details *details)
{
	return &details->limits;
}
