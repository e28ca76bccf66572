/*
 * Copies the user stack: where it ends, how much of it can be read, and what a signal interrupted
 * when the handler runs on a sigaltstack.
 */
#ifndef HTRACE_COLLECT_BPF_STACK_BPF_H
#define HTRACE_COLLECT_BPF_STACK_BPF_H

#include "collect/bpf/common.bpf.h"

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

/* Copies `bytes`, at most `most` (a constant), to `to`; false where they are not all there. */
static __always_inline bool stack_read(u64 sp, u64 bytes, u8 *to, const u32 most)
{
	barrier_var(bytes); /* or the compiler drops the check that the verifier wants to see */
	return bytes && bytes <= most && bpf_probe_read_user(to, bytes, (void *)sp) == 0;
}

/*
 * Copies [sp, end) to `to`, at most `most` bytes (a constant). Where that fails (the end was
 * guessed wrongly, or pages that nothing touched yet lie in between, as above a goroutine's stack)
 * less is tried. Fills `piece`, returns its bytes.
 */
static __always_inline u32 stack_copy(struct task_struct *task, u64 sp, u64 end, u8 *to,
				      const u32 most, struct event_stack *piece)
{
	u64 bytes = most;

	piece->start = sp;
	piece->flags = EVENT_STACK_CUT;
	if (end > sp && end - sp <= most) {
		bytes = (end - sp) & ~7ull;
		piece->flags = 0;
	}
	if (stack_read(sp, bytes, to, most))
		return piece->size = bytes;
	end = mapping_end(task, sp);
	if (end > sp && end - sp <= most) {
		piece->flags = 0;
		bytes = (end - sp) & ~7ull;
		if (stack_read(sp, bytes, to, most))
			return piece->size = bytes;
	}
	piece->flags = EVENT_STACK_CUT;
#pragma clang loop unroll(full)
	for (u32 less = most / 2; less >= 512; less /= 2)
		if (stack_read(sp, less, to, most))
			return piece->size = less;
	bytes = (4096 - (sp & 4095)) & ~7ull; /* what is left of the page */
	if (bytes > 512)
		bytes = 512;
	if (stack_read(sp, bytes, to, most))
		return piece->size = bytes;
	return piece->size = 0;
}

#endif
