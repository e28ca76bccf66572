// SPDX-License-Identifier: (MIT OR GPL-2.0)
/*
 * The kernel half of the BPF collector: typed raw tracepoints, a filter by process and by system
 * call, records into one ring buffer. The ring's order is the order in which things took effect
 * (event/event.h). It knows no system call but those that change executable mappings.
 */
#include "collect/bpf/common.bpf.h"
#include "collect/bpf/bad_reference.bpf.h"
#include "collect/bpf/data.bpf.h"
#include "collect/bpf/maps.bpf.h"
#include "collect/bpf/record.bpf.h"
#include "collect/bpf/stack.bpf.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

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
		if (config.guard_values[i].number == number &&
		    config.guard_values[i].value == (u32)value)
			return true;
	}
	return false;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(on_sys_enter, struct pt_regs *regs, long id)
{
	struct sample sample = {.regs = regs, .phase = EVENT_ENTER};
	struct bpf_traced *process;
	u64 number = id;

	barrier_var(number);
	if (number >= PLAN_SYSCALLS_MAX || !(config.calls[number].when & PLAN_ENTER))
		return 0;
	process = find_current();
	if (!process)
		return 0;
	sample.mappings = process->mappings;
	sample.task = bpf_get_current_task_btf();
	sample.number = number;
	sample.plan = &config.calls[number];
	if (sample.task->thread_info.status & TS_COMPAT_CALL ||
	    !guard_passes(number, regs, sample.plan))
		return 0;
	record(&sample);
	return 0;
}

/* What of a plan a result calls for. */
static __always_inline u8 when_of(u8 when, long result)
{
	if (result >= 0)
		return when & (PLAN_LEAVE_OK | BPF_PLAN_MAPPING);
	if (result == EBADF_RESULT)
		return when & (PLAN_LEAVE_EBADF | PLAN_LEAVE_FAILED);
	if (result == EMFILE_RESULT || result == ENFILE_RESULT)
		return when & (PLAN_LEAVE_FULL | PLAN_LEAVE_FAILED);
	return when & PLAN_LEAVE_FAILED;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long result)
{
	struct sample sample = {.regs = regs, .phase = EVENT_LEAVE, .result = result};
	struct bpf_traced *process;
	u64 number = regs->orig_ax;
	u8 when;

	barrier_var(number);
	if (number >= PLAN_SYSCALLS_MAX)
		return 0;
	when = when_of(config.calls[number].when, result);
	if (!when)
		return 0;
	process = find_current();
	if (!process)
		return 0;
	sample.mappings = process->mappings;
	sample.task = bpf_get_current_task_btf();
	sample.number = number;
	sample.plan = &config.calls[number];
	if (sample.task->thread_info.status & TS_COMPAT_CALL)
		return 0;
	if (when & BPF_PLAN_MAPPING)
		mapping_changed(sample.task, regs, result);
	if (!(when & ~BPF_PLAN_MAPPING))
		return 0;
	if (!(when & PLAN_LEAVE_EBADF) && !guard_passes(number, regs, sample.plan))
		return 0;
	if (when & PLAN_LEAVE_OK && sample.plan->data && !data_record(&sample))
		return 0;
	if (when & PLAN_LEAVE_EBADF && sample.plan->data == PLAN_DATA_SETS)
		data_sets(regs, sample.plan->data_arg, argument(regs, sample.plan->data_arg - 1));
	if (config.bad_reference_signal && (result == EBADF_RESULT || sample.polled_bad))
		sample.flags = bad_reference_signal(&sample);
	if (when & PLAN_LEAVE_FAILED)
		record_short(&sample, 0);
	else
		record(&sample);
	return 0;
}

/* A child of htrace, which is not traced where everything else is. */
static __always_inline void shun_child(u32 parent, u32 child)
{
	struct bpf_traced *process = find_traced(parent), none = {0};

	if (process && !process->mappings && parent != child)
		bpf_map_update_elem(&traced, &child, &none, BPF_ANY);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	struct event_fork event = {0};
	u32 tgid = child->tgid;
	bool same_files = parent->files == child->files;
	struct bpf_traced process = {.mappings = new_mappings()};

	if (!find_current()) {
		if (config.everything)
			shun_child(parent->tgid, tgid);
		return 0;
	}
	header_fill(&event.header, EVENT_FORK, sizeof(event));
	/* The tracepoint runs in the parent, whatever the parent of the child will be. */
	if (child->tgid == parent->tgid) {
		event.header.flags |= EVENT_FORK_THREAD;
	} else {
		if (!config.follow_children)
			return 0;
		if (bpf_map_update_elem(&traced, &tgid, &process, BPF_ANY)) {
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

	if (!find_current())
		return 0;
	task = bpf_get_current_task_btf();
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
	header_fill(&event.header, EVENT_EXEC, sizeof(event));
	event.old_tid = old_tid;
	if (BPF_CORE_READ(regs, cs) != USER_CS_64)
		event.header.flags = EVENT_EXEC_FOREIGN;
	data_fds(task, event.header.tid);
	if (bpf_ringbuf_output(&ring, &event, sizeof(event), BPF_RB_NO_WAKEUP))
		lost();
	map_record(task, task->mm ? task->mm->start_code : 0, EVENT_MAP_EXE);
	/* A program with an interpreter starts in it: that is ld.so's text. */
	map_record(task, BPF_CORE_READ(regs, ip), 0);
	map_vdso(task);
	mappings_changed(task->tgid);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	struct event_exit event = {0};
	struct signal_struct *signal = task->signal;
	u32 tgid = task->tgid;
	bool last = signal->live.counter == 0;
	struct bpf_traced *process = find_traced(tgid);

	if (!process)
		return 0;
	if (config.everything && !process->mappings) {
		if (last)
			bpf_map_delete_elem(&traced, &tgid);
		return 0;
	}
	header_fill(&event.header, EVENT_EXIT, sizeof(event));
	if (last) {
		event.header.flags = EVENT_EXIT_PROCESS;
		event.status = signal->flags & SIGNAL_GROUP_EXIT_FLAG
				   ? signal->group_exit_code
				   : task->group_leader->exit_code;
		bpf_map_delete_elem(&traced, &tgid);
		data_fds(task, event.header.tid);
	}
	if (bpf_ringbuf_output(&ring, &event, sizeof(event),
			       last ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP))
		lost();
	return 0;
}
