// SPDX-License-Identifier: (MIT OR GPL-2.0)
/*
 * The kernel half of the BPF collector: typed raw tracepoints, a filter by process and by system
 * call, records into one ring buffer. The ring's order is the order in which things took effect
 * (event/event.h). It knows no system call but those that change executable mappings.
 */
#include "collect/bpf/kernel.h"

#include <stdbool.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "collect/bpf/shared.h"
#include "event/event.h"
#include "event/plan.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

enum {
	EBADF_RESULT = -9,
	USER_CS_64 = 0x33,	   /* arch/x86/include/asm/segment.h: __USER_CS */
	TS_COMPAT_CALL = 2,	   /* arch/x86/include/asm/thread_info.h: TS_COMPAT */
	SIGNAL_GROUP_EXIT_FLAG = 4, /* include/linux/sched/signal.h */
	PROT_EXEC_BIT = 4,
	CLONE_PIDFD_BIT = 0x1000,
	MAIN_STACK_MOST = 128 << 20, /* nothing else is mapped this near below the main stack */
	RED_ZONE = 128,
};

const volatile struct bpf_config config;
struct bpf_counters counters;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 << 20);
} ring SEC(".maps");

/* Thread group ids that are traced. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BPF_PROCESSES_MAX);
	__type(key, u32);
	__type(value, u8);
} traced SEC(".maps");

struct map_scratch {
	struct event_map event;
	char path[BPF_PATH_BYTES_MAX + 256];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct map_scratch);
} scratch SEC(".maps");

static __always_inline bool is_traced(u32 tgid)
{
	return bpf_map_lookup_elem(&traced, &tgid) != NULL;
}

static __always_inline void lost(void)
{
	__sync_fetch_and_add(&counters.lost, 1);
}

/* The consumer looks by itself every few milliseconds: it is woken only when the ring fills. */
static __always_inline u64 wakeup_flag(void)
{
	return bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) > config.wakeup_bytes ? BPF_RB_FORCE_WAKEUP
									  : BPF_RB_NO_WAKEUP;
}

static __always_inline void header_fill(struct event_header *header, u16 type, u32 size)
{
	u64 id = bpf_get_current_pid_tgid();

	header->size = size;
	header->type = type;
	header->flags = 0;
	header->time_ns = bpf_ktime_get_ns();
	header->pid = id >> 32;
	header->tid = (u32)id;
}

/* ---- the stack ---- */

struct vma_end {
	u64 end;
};

static long vma_end_callback(struct task_struct *task, struct vm_area_struct *vma,
			     struct vma_end *out)
{
	out->end = vma->vm_end;
	return 0;
}

static __always_inline u64 mapping_end(struct task_struct *task, u64 address)
{
	struct vma_end found = {0};

	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_find_vma))
		bpf_find_vma(task, address, vma_end_callback, &found, 0);
	return found.end;
}

static __always_inline bool on_altstack(struct task_struct *task, u64 sp)
{
	return task->sas_ss_size && sp - task->sas_ss_sp < task->sas_ss_size;
}

/* A good guess of where the stack that holds `sp` ends; a wrong one makes the read fail or copy
 * too much, never wrongly. 0: no idea. */
static __always_inline u64 stack_end_guess(struct task_struct *task, u64 sp)
{
	u64 start_stack = task->mm ? task->mm->start_stack : 0;
	u64 thread_block = task->thread.fsbase;

	if (on_altstack(task, sp))
		return task->sas_ss_sp + task->sas_ss_size;
	/* The process's first stack ends at start_stack (argc); above are only strings. */
	if (start_stack >= sp && start_stack - sp < MAIN_STACK_MOST)
		return start_stack + 8;
	/* A pthread's control block lies at the upper end of its stack. */
	if (thread_block > sp && thread_block - sp < EVENT_STACK_BYTES_MAX)
		return thread_block;
	return 0;
}

/*
 * Copies [sp, end) to `to`, at most `most` bytes (a constant); falls back to less where that
 * memory is not all there. Fills `piece`.
 */
static __always_inline u32 stack_copy(struct task_struct *task, u64 sp, u64 end, u8 *to,
				      const u32 most, struct event_stack *piece)
{
	u64 bytes = most;

	piece->start = sp;
	piece->size = 0;
	piece->flags = EVENT_STACK_CUT;
	if (end > sp && end - sp <= most) {
		bytes = (end - sp) & ~7ull;
		piece->flags = 0;
	}
	if (bytes && bytes <= most && bpf_probe_read_user(to, bytes, (void *)sp) == 0) {
		piece->size = bytes;
		return bytes;
	}
	end = mapping_end(task, sp);
	piece->flags = end && end - sp <= most ? 0 : EVENT_STACK_CUT;
	if (!end) /* the mapping could not be asked: what is left of the page */
		end = (sp | 4095) + 1;
	bytes = end - sp;
	if (bytes > most)
		bytes = most;
	bytes &= ~7ull;
	if (bytes && bytes <= most && bpf_probe_read_user(to, bytes, (void *)sp) == 0) {
		piece->size = bytes;
		return bytes;
	}
	piece->flags = EVENT_STACK_CUT;
	return 0;
}

/* ---- system calls ---- */

static __always_inline void syscall_fill(struct event_syscall *event, struct pt_regs *regs,
					 u32 number, u16 phase, s64 result)
{
	event->number = number;
	event->phase = phase;
	event->stacks_n = 0;
	event->result = result;
	event->args[0] = regs->di;
	event->args[1] = regs->si;
	event->args[2] = regs->dx;
	event->args[3] = regs->r10;
	event->args[4] = regs->r8;
	event->args[5] = regs->r9;
	event->out[0] = event->out[1] = 0;
	event->registers.ip = regs->ip;
	event->registers.sp = regs->sp;
	event->registers.bp = regs->bp;
	event->registers.bx = regs->bx;
	event->registers.r12 = regs->r12;
	event->registers.r13 = regs->r13;
	event->registers.r14 = regs->r14;
	event->registers.r15 = regs->r15;
	event->stacks[0].start = event->stacks[0].size = event->stacks[0].flags = 0;
	event->stacks[1].start = event->stacks[1].size = event->stacks[1].flags = 0;
}

static __always_inline u64 argument(struct pt_regs *regs, u8 index)
{
	switch (index) {
	case 0:
		return regs->di;
	case 1:
		return regs->si;
	case 2:
		return regs->dx;
	case 3:
		return regs->r10;
	case 4:
		return regs->r8;
	default:
		return regs->r9;
	}
}

/* What the call wrote to the target's memory (plan_out). struct clone_args: flags, pidfd, ... */
static __always_inline void out_fill(struct event_syscall *event, struct pt_regs *regs,
				     const volatile struct syscall_plan *plan)
{
	u64 address = argument(regs, plan->out_arg) + plan->out_offset;
	u64 words[2] = {0};
	s32 numbers[2] = {-1, -1};

	switch (plan->out) {
	case PLAN_OUT_INT:
		bpf_probe_read_user(&numbers[0], sizeof(numbers[0]), (void *)address);
		break;
	case PLAN_OUT_INT_PAIR:
		bpf_probe_read_user(numbers, sizeof(numbers), (void *)address);
		break;
	case PLAN_OUT_CLONE3:
		bpf_probe_read_user(words, sizeof(words), (void *)address);
		event->out[0] = words[0];
		if (words[0] & CLONE_PIDFD_BIT)
			bpf_probe_read_user(&numbers[1], sizeof(numbers[1]), (void *)words[1]);
		event->out[1] = (s64)numbers[1];
		return;
	default:
		return;
	}
	event->out[0] = (s64)numbers[0];
	event->out[1] = (s64)numbers[1];
}

/* One record with up to `room` (a constant) bytes of stack. */
static __always_inline void record_with(struct task_struct *task, struct event_syscall *head,
					u64 end, const u32 room)
{
	struct event_syscall *event = bpf_ringbuf_reserve(&ring, sizeof(*event) + room, 0);
	u32 limit = config.stack_bytes_max & ~7u;

	if (!event) {
		lost();
		return;
	}
	head->stacks_n = 1;
	__builtin_memcpy(event, head, sizeof(*event));
	stack_copy(task, head->registers.sp, end, event->bytes, room, &event->stacks[0]);
	if (event->stacks[0].size > limit) {
		event->stacks[0].size = limit;
		event->stacks[0].flags = EVENT_STACK_CUT;
	}
	event->header.size = sizeof(*event) + event->stacks[0].size;
	bpf_ringbuf_submit(event, wakeup_flag());
}

enum { ALTSTACK_BYTES = 32 * 1024, SAVED_SP_WORD = 18 };

struct context_search {
	u64 next;	   /* address to look at */
	u64 start, bytes;  /* of the sigaltstack */
	u64 interrupted_sp; /* found: not 0 */
};

/*
 * The kernel saved uc_stack {ss_sp, ss_flags, ss_size} in the signal frame, followed by the
 * registers r8-r15, di, si, bp, bx, dx, ax, cx, sp (asm/sigcontext.h): sp is 18 words on.
 */
static long context_search_step(u32 index, struct context_search *search)
{
	u64 words[3];

	if (search->next - search->start >= search->bytes ||
	    bpf_probe_read_user(words, sizeof(words), (void *)search->next))
		return 1;
	if (words[0] != search->start || words[2] != search->bytes) {
		search->next += 8;
		return 0;
	}
	bpf_probe_read_user(&search->interrupted_sp, 8, (void *)(search->next + 8 * SAVED_SP_WORD));
	return 1;
}

static __always_inline u64 interrupted_sp(struct task_struct *task, u64 sp)
{
	struct context_search search = {
	    .next = sp & ~7ull,
	    .start = task->sas_ss_sp,
	    .bytes = task->sas_ss_size,
	};

	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_loop))
		bpf_loop(ALTSTACK_BYTES / 8, context_search_step, &search, 0);
	return search.interrupted_sp;
}

/* A handler on a sigaltstack: its stack, and that of the code that the signal interrupted. */
static __always_inline void record_altstack(struct task_struct *task, struct event_syscall *head)
{
	u64 end = task->sas_ss_sp + task->sas_ss_size;
	u64 sp = interrupted_sp(task, head->registers.sp);
	struct event_syscall *event =
	    bpf_ringbuf_reserve(&ring, sizeof(*event) + 2 * ALTSTACK_BYTES, 0);
	u32 used;

	if (!event) {
		lost();
		return;
	}
	head->stacks_n = 1;
	__builtin_memcpy(event, head, sizeof(*event));
	used = stack_copy(task, head->registers.sp, end, event->bytes, ALTSTACK_BYTES,
			  &event->stacks[0]);
	if (sp && used <= ALTSTACK_BYTES) {
		event->stacks_n = 2;
		used += stack_copy(task, sp, stack_end_guess(task, sp), event->bytes + used,
				   ALTSTACK_BYTES, &event->stacks[1]);
	}
	event->header.size = sizeof(*event) + used;
	bpf_ringbuf_submit(event, wakeup_flag());
}

static __always_inline void record_stackless(struct event_syscall *head)
{
	head->header.size = sizeof(*head);
	if (bpf_ringbuf_output(&ring, head, sizeof(*head), wakeup_flag()))
		lost();
}

static __always_inline void record(struct task_struct *task, struct event_syscall *head)
{
	u64 sp = head->registers.sp;
	u64 end = stack_end_guess(task, sp);
	u64 bytes;

	__sync_fetch_and_add(&counters.events, 1);
	if (on_altstack(task, sp)) {
		record_altstack(task, head);
		return;
	}
	if (!end)
		end = mapping_end(task, sp);
	bytes = end > sp ? end - sp : 0;
	if (bytes > config.stack_bytes_max)
		bytes = config.stack_bytes_max;
	if (bytes <= 512)
		record_with(task, head, end, 512);
	else if (bytes <= 1024)
		record_with(task, head, end, 1024);
	else if (bytes <= 2048)
		record_with(task, head, end, 2048);
	else if (bytes <= 4096)
		record_with(task, head, end, 4096);
	else if (bytes <= 8192)
		record_with(task, head, end, 8192);
	else if (bytes <= 16384)
		record_with(task, head, end, 16384);
	else if (bytes <= 32768)
		record_with(task, head, end, 32768);
	else
		record_with(task, head, end, 65536);
}

/* ---- data before a record ---- */

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
	struct event_data *event = bpf_ringbuf_reserve(
	    &ring, sizeof(*event) + 2 * DATA_CONTROL_ROOM, 0);
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

/* ---- executable mappings ---- */

struct path_walk {
	struct dentry *dentry;
	struct mount *mount;
	u32 used;
};

/* One step from `file` up to the root: its name is added, last first, each with its NUL. */
static long path_step(u32 index, struct path_walk *walk)
{
	struct dentry *dentry = walk->dentry, *parent = BPF_CORE_READ(dentry, d_parent);
	struct mount *mount = walk->mount;
	struct map_scratch *map;
	u32 zero = 0, used = walk->used;
	long bytes;

	if (dentry == BPF_CORE_READ(mount, mnt.mnt_root) || dentry == parent) {
		struct mount *below = BPF_CORE_READ(mount, mnt_parent);

		if (below == mount)
			return 1;
		walk->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
		walk->mount = below;
		return 0;
	}
	map = bpf_map_lookup_elem(&scratch, &zero);
	if (!map || used >= BPF_PATH_BYTES_MAX)
		return 1;
	bytes = bpf_probe_read_kernel_str(map->path + used, 256, BPF_CORE_READ(dentry, d_name.name));
	if (bytes <= 0)
		return 1;
	walk->used = used + bytes;
	walk->dentry = parent;
	return 0;
}

/* What is taken of a mapping while it cannot change; `file` is only ever read with care. */
struct map_found {
	u64 start, end, page_offset;
	struct file *file;
};

static long map_callback(struct task_struct *task, struct vm_area_struct *vma,
			 struct map_found *found)
{
	found->start = vma->vm_start;
	found->end = vma->vm_end;
	found->page_offset = vma->vm_pgoff;
	found->file = vma->vm_file;
	return 0;
}

/* File and path of a mapping, into `map`; the path's bytes. */
static __always_inline u32 map_file(struct map_scratch *map, struct file *file)
{
	u32 device = BPF_CORE_READ(file, f_inode, i_sb, s_dev);
	struct vfsmount *vfsmount = BPF_CORE_READ(file, f_path.mnt);
	struct path_walk walk = {
	    .dentry = BPF_CORE_READ(file, f_path.dentry),
	    .mount = (void *)vfsmount - bpf_core_field_offset(struct mount, mnt),
	};

	map->event.inode = BPF_CORE_READ(file, f_inode, i_ino);
	map->event.device_major = device >> 20; /* include/linux/kdev_t.h: MINORBITS */
	map->event.device_minor = device & 0xfffff;
	map->event.header.flags |= BPF_MAP_PATH_REVERSED;
	if (!BPF_CORE_READ(file, f_path.dentry, d_hash.pprev))
		map->event.header.flags |= EVENT_MAP_DELETED;
	bpf_loop(BPF_PATH_PARTS_MAX, path_step, &walk, 0);
	return walk.used;
}

static __always_inline void map_record(struct task_struct *task, u64 address, u16 flags)
{
	u32 zero = 0, size = sizeof(struct event_map);
	struct map_scratch *map = bpf_map_lookup_elem(&scratch, &zero);
	struct map_found found = {0};

	__sync_fetch_and_add(&counters.events, 1);
	if (!map || bpf_find_vma(task, address, map_callback, &found, 0)) {
		lost();
		return;
	}
	header_fill(&map->event.header, EVENT_MAP, 0);
	map->event.header.flags = flags;
	map->event.start = found.start;
	map->event.end = found.end;
	map->event.file_offset = found.page_offset << 12;
	map->event.inode = 0;
	map->event.device_major = map->event.device_minor = 0;
	map->event.path_size = 0;
	map->event.reserved = 0;
	if (found.file) {
		u32 bytes = map_file(map, found.file);

		map->event.path_size = bytes;
		size += (bytes + 7) & ~7u;
	}
	map->event.header.size = size;
	if (size > sizeof(struct map_scratch) ||
	    bpf_ringbuf_output(&ring, map, size, BPF_RB_NO_WAKEUP))
		lost();
}

static __always_inline void map_vdso(struct task_struct *task)
{
	struct event_map event = {0};

	event.start = task->mm ? (u64)task->mm->context.vdso : 0;
	if (!event.start)
		return;
	header_fill(&event.header, EVENT_MAP, sizeof(event));
	event.header.flags = EVENT_MAP_VDSO;
	event.end = event.start + 4096; /* the user half knows its size */
	if (bpf_ringbuf_output(&ring, &event, sizeof(event), BPF_RB_NO_WAKEUP))
		lost();
}

/* mmap answers with the address, mprotect and pkey_mprotect take it; prot is the third argument. */
static __always_inline void mapping_changed(struct task_struct *task, struct pt_regs *regs,
					    s64 result)
{
	if (result < 0 || !(regs->dx & PROT_EXEC_BIT))
		return;
	map_record(task, result ? (u64)result : regs->di, 0);
}

/* ---- tracepoints ---- */

static __always_inline bool guard_passes(u32 number, struct pt_regs *regs,
					 const volatile struct syscall_plan *plan)
{
	u64 value;

	if (plan->guard == PLAN_GUARD_NONE)
		return true;
	value = argument(regs, plan->guard_arg);
	if (plan->guard == PLAN_GUARD_MASK)
		return value & plan->guard_value;
	if (plan->guard == PLAN_GUARD_EQUAL)
		return (u32)value == plan->guard_value;
	for (u32 i = 0; i < PLAN_GUARD_VALUES_MAX; i++) {
		if (i >= config.guard_values_n)
			break;
		if (config.guard_values[i].number == number && config.guard_values[i].value == (u32)value)
			return true;
	}
	return false;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(on_sys_enter, struct pt_regs *regs, long id)
{
	struct task_struct *task;
	struct event_syscall head;
	u64 number = id;

	barrier_var(number);
	if (number >= PLAN_SYSCALLS_MAX || !(config.calls[number].when & PLAN_ENTER))
		return 0;
	if (!is_traced(bpf_get_current_pid_tgid() >> 32))
		return 0;
	task = bpf_get_current_task_btf();
	if (task->thread_info.status & TS_COMPAT_CALL || !guard_passes(number, regs, &config.calls[number]))
		return 0;
	header_fill(&head.header, EVENT_SYSCALL, 0);
	syscall_fill(&head, regs, number, EVENT_ENTER, 0);
	record(task, &head);
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long result)
{
	u64 number = regs->orig_ax;
	struct task_struct *task;
	struct event_syscall head;
	u8 when;

	barrier_var(number);
	if (number >= PLAN_SYSCALLS_MAX)
		return 0;
	when = config.calls[number].when;
	if (result >= 0)
		when &= PLAN_LEAVE_OK | BPF_PLAN_MAPPING;
	else if (result == EBADF_RESULT)
		when &= PLAN_LEAVE_EBADF | PLAN_LEAVE_FAILED;
	else
		when &= PLAN_LEAVE_FAILED;
	if (!when || !is_traced(bpf_get_current_pid_tgid() >> 32))
		return 0;
	task = bpf_get_current_task_btf();
	if (task->thread_info.status & TS_COMPAT_CALL)
		return 0;
	if (when & BPF_PLAN_MAPPING)
		mapping_changed(task, regs, result);
	if (!(when & PLAN_LEAVE_EBADF) && !guard_passes(number, regs, &config.calls[number]))
		return 0;
	if (when & PLAN_LEAVE_OK && config.calls[number].data && !data_record(regs, &config.calls[number], result))
		return 0;
	if (!(when & ~BPF_PLAN_MAPPING))
		return 0;
	header_fill(&head.header, EVENT_SYSCALL, 0);
	syscall_fill(&head, regs, number, EVENT_LEAVE, result);
	if (when & PLAN_LEAVE_FAILED) {
		__sync_fetch_and_add(&counters.events, 1);
		record_stackless(&head);
		return 0;
	}
	if (result >= 0)
		out_fill(&head, regs, &config.calls[number]);
	record(task, &head);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	struct event_fork event = {0};
	u32 tgid = child->tgid;
	bool same_files = parent->files == child->files;
	u8 one = 1;

	if (!is_traced(parent->tgid))
		return 0;
	header_fill(&event.header, EVENT_FORK, sizeof(event));
	/* The tracepoint runs in the parent, whatever the parent of the child will be. */
	if (child->tgid == parent->tgid) {
		event.header.flags |= EVENT_FORK_THREAD;
		if (same_files)
			return 0;
	} else {
		if (!config.follow_children)
			return 0;
		if (bpf_map_update_elem(&traced, &tgid, &one, BPF_ANY)) {
			lost();
			return 0;
		}
	}
	if (same_files)
		event.header.flags |= EVENT_FORK_FILES;
	if (parent->mm == child->mm)
		event.header.flags |= EVENT_FORK_VM;
	event.child_pid = child->tgid;
	event.child_tid = child->pid;
	__sync_fetch_and_add(&counters.events, 1);
	if (!same_files)
		data_fds(child, event.header.tid);
	if (bpf_ringbuf_output(&ring, &event, sizeof(event), BPF_RB_NO_WAKEUP))
		lost();
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_tid, struct linux_binprm *program)
{
	struct event_exec event = {0};
	struct pt_regs *regs;

	if (!is_traced(task->tgid))
		return 0;
	task = bpf_get_current_task_btf();
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
	header_fill(&event.header, EVENT_EXEC, sizeof(event));
	event.old_tid = old_tid;
	if (BPF_CORE_READ(regs, cs) != USER_CS_64)
		event.header.flags = EVENT_EXEC_FOREIGN;
	__sync_fetch_and_add(&counters.events, 1);
	data_fds(task, event.header.tid);
	if (bpf_ringbuf_output(&ring, &event, sizeof(event), BPF_RB_NO_WAKEUP))
		lost();
	map_record(task, task->mm ? task->mm->start_code : 0, EVENT_MAP_EXE);
	/* A program with an interpreter starts in it: that is ld.so's text. */
	map_record(task, BPF_CORE_READ(regs, ip), 0);
	map_vdso(task);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	struct event_exit event = {0};
	struct signal_struct *signal = task->signal;
	u32 tgid = task->tgid;
	bool last = signal->live.counter == 0;
	struct files_struct *files = task->files;

	if (!is_traced(tgid))
		return 0;
	if (!last && (!files || files->count.counter > 1))
		return 0;
	header_fill(&event.header, EVENT_EXIT, sizeof(event));
	if (last) {
		event.header.flags = EVENT_EXIT_PROCESS;
		event.status = signal->flags & SIGNAL_GROUP_EXIT_FLAG
				   ? signal->group_exit_code
				   : task->group_leader->exit_code;
		bpf_map_delete_elem(&traced, &tgid);
	}
	__sync_fetch_and_add(&counters.events, 1);
	data_fds(task, event.header.tid);
	if (bpf_ringbuf_output(&ring, &event, sizeof(event), BPF_RB_FORCE_WAKEUP))
		lost();
	return 0;
}
