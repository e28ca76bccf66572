/*
 * Makes the EVENT_DATA that goes before a record: paths, control messages, bitmaps of open numbers.
 */
#ifndef HTRACE_COLLECT_BPF_DATA_BPF_H
#define HTRACE_COLLECT_BPF_DATA_BPF_H

#include "collect/bpf/bad_reference.bpf.h"
#include "collect/bpf/common.bpf.h"
#include "collect/bpf/record.bpf.h"

/* A record of EVENT_DATA_ with room for `room` (a constant) bytes. */
static __always_inline struct event_data *data_reserve(u32 kind, const u32 room)
{
	struct event_data *event = NULL;

	/* What belongs to a call has no more room than calls have. */
	if (kind == EVENT_DATA_FDS ||
	    bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) + sizeof(*event) + room <=
		config.calls_bytes_max)
		event = bpf_ringbuf_reserve(&ring, sizeof(*event) + room, 0);
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

enum {
	PATH_ROOM = 512,
	PATH_ROOM_SMALL = 64,
	CONTROL_ROOM = 8192,
	CONTROL_ROOM_SMALL = 256, /* some descriptors in one message */
	MMSGHDR_BYTES = 64,
	MESSAGES_MAX = 64,
};

static __always_inline bool path_record(u64 address, const u32 room, bool may_cut)
{
	struct event_data *event = data_reserve(EVENT_DATA_PATH, room);
	long bytes;

	if (!event)
		return true;
	bytes = bpf_probe_read_user_str(event->bytes, room, (void *)address);
	if (bytes == room && !may_cut) {
		bpf_ringbuf_discard(event, BPF_RB_NO_WAKEUP);
		return false;
	}
	if (bytes < 1)
		bytes = 1;
	if (bytes == room)
		event->header.flags = EVENT_DATA_CUT;
	data_submit(event, bytes - 1);
	return true;
}

/* struct msghdr (64-bit): name 0, namelen 8, iov 16, iovlen 24, control 32, controllen 40. */
struct message_header {
	u64 name, name_bytes, iov, iov_n, control, control_bytes, flags;
};

/* Control bytes of one message, with room for the next one's alignment; 0: none. */
static __always_inline u64 control_bytes(u64 address, struct message_header *header)
{
	if (bpf_probe_read_user(header, sizeof(*header), (void *)address) || !header->control)
		return 0;
	return (header->control_bytes + 7) & ~7ull;
}

static __always_inline void control_record(u64 from, u64 bytes, const u32 room)
{
	struct event_data *event = data_reserve(EVENT_DATA_CONTROL, room);

	if (!event)
		return;
	barrier_var(bytes); /* or the compiler drops the check that the verifier wants to see */
	if (bytes > room || bpf_probe_read_user(event->bytes, bytes, (void *)from)) {
		event->header.flags = EVENT_DATA_CUT;
		bytes = 0;
	}
	data_submit(event, bytes);
}

/* False: there were no control bytes. */
static __always_inline bool data_control(u64 address)
{
	struct message_header header = {0};
	u64 bytes = control_bytes(address, &header);

	if (!bytes)
		return false;
	if (bytes <= CONTROL_ROOM_SMALL)
		control_record(header.control, bytes, CONTROL_ROOM_SMALL);
	else
		control_record(header.control, bytes, CONTROL_ROOM);
	return true;
}

/* Appends one message's control bytes; `used` is what is in `event` already. */
static __always_inline u32 control_append(struct event_data *event, u32 used, u64 address)
{
	struct message_header header = {0};
	u64 bytes = control_bytes(address, &header);

	if (!bytes)
		return used;
	if (used > CONTROL_ROOM / 2 || bytes > CONTROL_ROOM / 2) {
		event->header.flags |= EVENT_DATA_CUT;
		return used;
	}
	if (bpf_probe_read_user(event->bytes + used, bytes, (void *)header.control))
		return used;
	return used + bytes;
}

/* The control bytes of all messages; false: there were none. */
static __always_inline bool data_control_vector(u64 address, u32 messages)
{
	struct event_data *event = data_reserve(EVENT_DATA_CONTROL, CONTROL_ROOM);
	u32 used = 0;

	if (!event)
		return true;
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

enum { POLLNVAL_BIT = 0x20, POLL_STEP = 8 };

struct poll_search {
	u64 address; /* of struct pollfd[left] */
	u32 left;
	u32 found_n;
	struct event_polled found[EVENT_POLLED_MAX];
};

static long poll_step(u32 index, struct poll_search *search)
{
	struct event_polled entries[POLL_STEP] = {0};
	u32 count = search->left < POLL_STEP ? search->left : POLL_STEP;

	if (bpf_probe_read_user(entries, count * sizeof(*entries), (void *)search->address))
		return 1;
	for (u32 i = 0; i < POLL_STEP; i++) {
		u32 at = search->found_n;

		if (!(entries[i].revents & POLLNVAL_BIT))
			continue;
		if (at >= EVENT_POLLED_MAX)
			return 1;
		search->found[at] = entries[i];
		search->found_n = at + 1;
	}
	search->address += sizeof(entries);
	search->left -= count;
	return search->left ? 0 : 1;
}

static __noinline bool any_polled_bad(struct task_struct *task, const struct poll_search *search)
{
	for (u32 i = 0; i < EVENT_POLLED_MAX; i++) {
		if (i >= search->found_n)
			break;
		if (search->found[i].number >= 0 && !number_is_open(task, search->found[i].number))
			return true;
	}
	return false;
}

/* False: all were open. */
static __always_inline bool data_polled(struct sample *sample, u64 address)
{
	u64 count = argument(sample->regs, sample->plan->data_arg + 1);
	struct poll_search search = {.address = address, .left = count};
	struct event_data *event;

	if (!sample->result || !search.left)
		return false;
	if (poll_step(0, &search) == 0) /* mostly that is all */
		bpf_loop(PLAN_POLLED_MAX / POLL_STEP - 1, poll_step, &search, 0);
	if (!search.found_n)
		return false;
	if (config.bad_reference_signal)
		sample->polled_bad = any_polled_bad(sample->task, &search);
	event = data_reserve(EVENT_DATA_POLLED, sizeof(search.found));
	if (!event)
		return true;
	__builtin_memcpy(event->bytes, search.found, sizeof(search.found));
	data_submit(event, search.found_n * sizeof(search.found[0]));
	return true;
}

/* Of the three sets that select() was given: they are as they were, for it has failed. */
static __always_inline void data_sets(struct pt_regs *regs, u8 first, u64 bits)
{
	struct event_data *event = data_reserve(EVENT_DATA_SETS, 3 * EVENT_SET_BYTES);
	u32 bytes = ((u32)bits + 63) / 64 * 8;

	if (!event)
		return;
	if (bytes > EVENT_SET_BYTES) {
		bytes = EVENT_SET_BYTES;
		event->header.flags = EVENT_DATA_CUT;
	}
	__builtin_memset(event->bytes, 0, 3 * EVENT_SET_BYTES);
	for (u32 i = 0; i < 3; i++) {
		u64 from = argument(regs, first + i);

		barrier_var(bytes); /* or the compiler drops the check that the verifier wants */
		if (from && bytes <= EVENT_SET_BYTES)
			bpf_probe_read_user(event->bytes + i * EVENT_SET_BYTES, bytes,
					    (void *)from);
	}
	data_submit(event, 3 * EVENT_SET_BYTES);
}

/* False: the plan says that without this data there is nothing to record. */
static __always_inline bool data_record(struct sample *sample)
{
	u64 address = argument(sample->regs, sample->plan->data_arg);

	switch (sample->plan->data) {
	case PLAN_DATA_PATH:
		if (!path_record(address, PATH_ROOM_SMALL, false))
			path_record(address, PATH_ROOM, true);
		return true;
	case PLAN_DATA_CONTROL:
		return data_control(address);
	case PLAN_DATA_CONTROL_VECTOR:
		return data_control_vector(address, sample->result);
	case PLAN_DATA_POLLED:
		return data_polled(sample, address);
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
	else if (max_fds <= 4096)
		fds_copy(table, max_fds, 512, tid);
	else if (max_fds <= 64 * 1024)
		fds_copy(table, max_fds, 8 * 1024, tid);
	else
		fds_copy(table, max_fds, 64 * 1024, tid);
}

#endif
