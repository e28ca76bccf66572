/*
 * Makes the EVENT_DATA that goes before a record: paths, control messages, bitmaps of open numbers.
 */
#ifndef HTRACE_COLLECT_BPF_DATA_BPF_H
#define HTRACE_COLLECT_BPF_DATA_BPF_H

#include "collect/bpf/common.bpf.h"
#include "collect/bpf/record.bpf.h"

/* A record of EVENT_DATA_ with room for `room` (a constant) bytes. */
static __always_inline struct event_data *data_reserve(u32 kind, const u32 room)
{
	struct event_data *event = bpf_ringbuf_reserve(&ring, sizeof(*event) + room, 0);

	if (!event) {
		lost();
		return NULL;
	}
	header_fill(&event->header, EVENT_DATA, sizeof(*event));
	event->kind = kind;
	event->size = 0;
	return event;
}

static __always_inline void data_submit(struct event_data *event, u32 bytes)
{
	event->size = bytes;
	event->header.size = sizeof(*event) + ((bytes + 7) & ~7u);
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

enum { DATA_PATH_ROOM = 512, DATA_CONTROL_ROOM = 4096, MMSGHDR_BYTES = 64, MESSAGES_MAX = 64 };

static __always_inline void data_path(u64 address)
{
	struct event_data *event = data_reserve(EVENT_DATA_PATH, DATA_PATH_ROOM);
	long bytes;

	if (!event)
		return;
	bytes = bpf_probe_read_user_str(event->bytes, DATA_PATH_ROOM, (void *)address);
	if (bytes < 1)
		bytes = 1;
	if (bytes == DATA_PATH_ROOM)
		event->header.flags = EVENT_DATA_CUT;
	data_submit(event, bytes - 1);
}

/* struct msghdr (64-bit): name 0, namelen 8, iov 16, iovlen 24, control 32, controllen 40. */
struct message_header {
	u64 name, name_bytes, iov, iov_n, control, control_bytes, flags;
};

/* Appends one message's control bytes; `used` is what is in `event` already. */
static __always_inline u32 control_append(struct event_data *event, u32 used, u64 address)
{
	struct message_header header = {0};
	u64 bytes;

	if (bpf_probe_read_user(&header, sizeof(header), (void *)address))
		return used;
	bytes = (header.control_bytes + 7) & ~7ull; /* the next cmsghdr is aligned */
	if (!header.control || !bytes)
		return used;
	if (used > DATA_CONTROL_ROOM || bytes > DATA_CONTROL_ROOM) {
		event->header.flags |= EVENT_DATA_CUT;
		return used;
	}
	if (bpf_probe_read_user(event->bytes + used, bytes, (void *)header.control))
		return used;
	return used + bytes;
}

/* False: there were no control bytes. */
static __always_inline bool data_control(u64 address, u32 messages)
{
	struct event_data *event =
	    bpf_ringbuf_reserve(&ring, sizeof(*event) + 2 * DATA_CONTROL_ROOM, 0);
	u32 used = 0;

	if (!event) {
		lost();
		return true;
	}
	header_fill(&event->header, EVENT_DATA, sizeof(*event));
	event->kind = EVENT_DATA_CONTROL;
	for (u32 i = 0; i < MESSAGES_MAX; i++) {
		if (i >= messages)
			break;
		used = control_append(event, used, address + i * MMSGHDR_BYTES);
	}
	if (messages > MESSAGES_MAX)
		event->header.flags |= EVENT_DATA_CUT;
	if (!used && !event->header.flags) {
		bpf_ringbuf_discard(event, BPF_RB_NO_WAKEUP);
		return false;
	}
	data_submit(event, used);
	return true;
}

/* False: the plan says that without this data there is nothing to record. */
static __always_inline bool data_record(struct pt_regs *regs,
					const volatile struct syscall_plan *plan, s64 result)
{
	u64 address = argument(regs, plan->data_arg);

	switch (plan->data) {
	case PLAN_DATA_PATH:
		data_path(address);
		return true;
	case PLAN_DATA_CONTROL:
		return data_control(address, 1);
	case PLAN_DATA_CONTROL_VECTOR:
		return data_control(address, result);
	default:
		return true;
	}
}

static __always_inline void fds_copy(struct fdtable *table, u32 max_fds, const u32 room, s32 tid)
{
	struct event_data *event = data_reserve(EVENT_DATA_FDS, room);
	u32 bytes = max_fds / 8;

	if (!event)
		return;
	event->header.tid = tid;
	if (bytes > room) {
		bytes = room;
		event->header.flags = EVENT_DATA_CUT;
	}
	barrier_var(bytes); /* or the compiler drops the check that the verifier wants to see */
	if (bytes <= room &&
	    bpf_probe_read_kernel(event->bytes, bytes, BPF_CORE_READ(table, open_fds)) == 0) {
		data_submit(event, bytes);
		return;
	}
	event->header.flags = EVENT_DATA_CUT;
	data_submit(event, 0);
}

/* The open numbers of `task`, as data for the next record of thread `tid`. */
static __always_inline void data_fds(struct task_struct *task, s32 tid)
{
	struct files_struct *files = BPF_CORE_READ(task, files);
	struct fdtable *table;
	u32 max_fds;

	if (!files)
		return;
	table = BPF_CORE_READ(files, fdt);
	max_fds = BPF_CORE_READ(table, max_fds);
	if (max_fds <= 512)
		fds_copy(table, max_fds, 64, tid);
	else if (max_fds <= 64 * 1024)
		fds_copy(table, max_fds, 8 * 1024, tid);
	else
		fds_copy(table, max_fds, 64 * 1024, tid);
}

#endif
