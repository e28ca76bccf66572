/*
 * Makes EVENT_SYSCALL records: arguments, out parameters, registers, stack. The consumer looks for
 * them by itself every few milliseconds, for a wake-up costs as much as ten records; it is woken
 * only when a burst of copied stacks fills the ring sooner.
 */
#ifndef HTRACE_COLLECT_BPF_RECORD_BPF_H
#define HTRACE_COLLECT_BPF_RECORD_BPF_H

#include "collect/bpf/common.bpf.h"
#include "collect/bpf/footprint.bpf.h"
#include "collect/bpf/stack.bpf.h"

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

/* What a record is made of, before there is room for it. */
struct sample {
	struct task_struct *task;
	struct pt_regs *regs;
	const volatile struct syscall_plan *plan;
	u64 mappings; /* bpf_traced.mappings */
	u64 end;      /* of the stack, as far as is known */
	s64 result;
	u32 number;
	u16 phase;
	u16 flags;       /* enum event_syscall_flags */
	bool polled_bad; /* poll() has found a number that is not open */
};

/* All that a short record has. */
static __always_inline void record_fill(struct event_syscall *event, const struct sample *sample,
					u32 size)
{
	const struct pt_regs *regs = sample->regs;

	header_fill(&event->header, EVENT_SYSCALL, size);
	event->header.flags = sample->flags;
	event->number = sample->number;
	event->phase = sample->phase;
	event->stacks_n = 0;
	event->result = sample->result;
	event->args[0] = regs->di;
	event->args[1] = regs->si;
	event->args[2] = regs->dx;
	event->args[3] = regs->r10;
	event->args[4] = regs->r8;
	event->args[5] = regs->r9;
	event->out[0] = event->out[1] = 0;
	event->mappings = sample->mappings;
	event->known_stack = event->reserved = 0;
	if (sample->phase == EVENT_LEAVE && sample->result >= 0 && sample->plan->out)
		out_fill(event, sample->regs, sample->plan);
	if (sample->result == EMFILE_RESULT || sample->result == ENFILE_RESULT)
		event->out[0] = sample->task->signal->rlim[RLIMIT_NOFILE_INDEX].rlim_cur;
}

static __always_inline void registers_fill(struct event_syscall *event, const struct pt_regs *regs)
{
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

/*
 * Room for a record of `bytes`; NULL, and counted as lost, where there is none. The last part of
 * the ring is left to forks, execs, exits and mappings: without one of these much more is wrong
 * than one handle.
 */
static __always_inline struct event_syscall *record_reserve(const struct sample *sample,
							    const u32 bytes, u64 *waiting)
{
	bool failure = sample->result == EMFILE_RESULT || sample->result == ENFILE_RESULT;
	u32 most = failure ? config.failures_bytes_max : config.calls_bytes_max;
	struct event_syscall *event = NULL;

	*waiting = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA);
	if (*waiting + bytes <= most)
		event = bpf_ringbuf_reserve(&ring, bytes, 0);
	if (!event && failure)
		__sync_fetch_and_add(&counters.failures, 1);
	else if (!event)
		lost();
	return event;
}

/*
 * Wakes the consumer when a record of `bytes` makes the ring as full as config.wake_bytes. Others
 * may have added theirs since, hence the width of the line; once behind it, nobody wakes again.
 */
static __always_inline u64 wake_flag(u64 waiting, u32 bytes)
{
	return waiting + bytes - config.wake_bytes < 4 * bytes ? BPF_RB_FORCE_WAKEUP
							       : BPF_RB_NO_WAKEUP;
}

/* One record with up to `room` (a constant) bytes of stack. */
static __always_inline void record_with(const struct sample *sample, const u32 room)
{
	u64 waiting;
	struct event_syscall *event = record_reserve(sample, sizeof(*event) + room, &waiting);
	u32 limit = config.stack_bytes_max & ~7u;

	if (!event)
		return;
	record_fill(event, sample, sizeof(*event));
	registers_fill(event, sample->regs);
	event->stacks_n = 1;
	stack_copy(sample->task, sample->regs->sp, sample->end, event->bytes, room,
		   &event->stacks[0]);
	if (event->stacks[0].size > limit) {
		event->stacks[0].size = limit;
		event->stacks[0].flags = EVENT_STACK_CUT;
	}
	event->header.size = sizeof(*event) + event->stacks[0].size;
	bpf_ringbuf_submit(event, wake_flag(waiting, sizeof(*event) + room));
}

enum { ALTSTACK_BYTES = 32 * 1024, SAVED_SP_WORD = 18 };

struct context_search {
	u64 next;           /* address to look at */
	u64 start, bytes;   /* of the sigaltstack */
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
static __always_inline void record_altstack(const struct sample *sample)
{
	struct task_struct *task = sample->task;
	u64 sp = interrupted_sp(task, sample->regs->sp);
	u64 waiting;
	struct event_syscall *event =
	    record_reserve(sample, sizeof(*event) + 2 * ALTSTACK_BYTES, &waiting);
	u32 used;

	if (!event)
		return;
	record_fill(event, sample, sizeof(*event));
	registers_fill(event, sample->regs);
	event->stacks_n = 1;
	used = stack_copy(task, sample->regs->sp, sample->end, event->bytes, ALTSTACK_BYTES,
			  &event->stacks[0]);
	if (sp && used <= ALTSTACK_BYTES) {
		event->stacks_n = 2;
		used += stack_copy(task, sp, stack_end_guess(task, sp), event->bytes + used,
				   ALTSTACK_BYTES, &event->stacks[1]);
	}
	event->header.size = sizeof(*event) + used;
	bpf_ringbuf_submit(event, wake_flag(waiting, sizeof(*event) + 2 * ALTSTACK_BYTES));
}

/* A record without a copy; `stack` is known, or 0. */
static __always_inline void record_short(const struct sample *sample, u32 stack)
{
	u64 waiting;
	struct event_syscall *event = record_reserve(sample, EVENT_SYSCALL_SHORT_BYTES, &waiting);

	if (!event)
		return;
	record_fill(event, sample, EVENT_SYSCALL_SHORT_BYTES);
	event->known_stack = stack;
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

static __always_inline void record(struct sample *sample)
{
	u32 stack = known_stack(sample->regs, sample->mappings, sample->phase);
	u64 sp = sample->regs->sp;
	u64 bytes;

	if (stack) {
		record_short(sample, stack);
		return;
	}
	sample->end = stack_end_guess(sample->task, sp);
	if (on_altstack(sample->task, sp)) {
		record_altstack(sample);
		return;
	}
	if (!sample->end)
		sample->end = mapping_end(sample->task, sp);
	bytes = sample->end > sp ? sample->end - sp : 0;
	if (bytes > config.stack_bytes_max)
		bytes = config.stack_bytes_max;
	/* The ring gives out constant sizes only: the smallest that fits. */
	if (bytes <= 512)
		record_with(sample, 512);
	else if (bytes <= 1024)
		record_with(sample, 1024);
	else if (bytes <= 1536)
		record_with(sample, 1536);
	else if (bytes <= 2048)
		record_with(sample, 2048);
	else if (bytes <= 3072)
		record_with(sample, 3072);
	else if (bytes <= 4096)
		record_with(sample, 4096);
	else if (bytes <= 6144)
		record_with(sample, 6144);
	else if (bytes <= 8192)
		record_with(sample, 8192);
	else if (bytes <= 12288)
		record_with(sample, 12288);
	else if (bytes <= 16384)
		record_with(sample, 16384);
	else if (bytes <= 24576)
		record_with(sample, 24576);
	else if (bytes <= 32768)
		record_with(sample, 32768);
	else
		record_with(sample, 65536);
}

#endif
