/*
 * Sends the thread a signal right at the call that was a bad reference: it acts before the thread
 * is back in its program, so that a debugger finds the very frame. What is one is decided here as
 * the model does (event/plan_guard.h), but by the process's own table.
 */
#ifndef HTRACE_COLLECT_BPF_BAD_REFERENCE_BPF_H
#define HTRACE_COLLECT_BPF_BAD_REFERENCE_BPF_H

#include "collect/bpf/common.bpf.h"
#include "collect/bpf/record.bpf.h"

/* Unknown counts as open. */
static __always_inline bool number_is_open(struct task_struct *task, u32 number)
{
	struct files_struct *files = BPF_CORE_READ(task, files);
	struct fdtable *table;
	unsigned long word;

	if (!files)
		return true;
	table = BPF_CORE_READ(files, fdt);
	if (number >= BPF_CORE_READ(table, max_fds))
		return false;
	if (bpf_probe_read_kernel(&word, sizeof(word),
				  BPF_CORE_READ(table, open_fds) + number / 64))
		return true;
	return word >> (number % 64) & 1;
}

static __always_inline bool argument_is_bad(const struct sample *sample, u8 arg)
{
	s32 number;

	if (arg >= 6)
		return false;
	number = argument(sample->regs, arg);
	return number >= 0 && !number_is_open(sample->task, number);
}

static __always_inline bool only_asks(const struct sample *sample)
{
	for (u32 i = 0; i < PLAN_QUESTIONS_MAX; i++) {
		if (i >= config.questions_n)
			break;
		if (config.questions[i].number == sample->number &&
		    config.questions[i].value == (u32)sample->regs->si &&
		    sample->regs->dx >= config.questions[i].least)
			return true;
	}
	return false;
}

/* select() says EBADF of nothing but the table (fs/select.c, max_select_fd). */
static __always_inline bool is_bad(const struct sample *sample)
{
	return sample->polled_bad || sample->plan->data == PLAN_DATA_SETS ||
	       argument_is_bad(sample, sample->plan->fd_arg) ||
	       argument_is_bad(sample, sample->plan->fd_arg2);
}

/* Of a call that said EBADF, or sample.polled_bad: enum event_syscall_flags. */
static __noinline u16 bad_reference_signal(const struct sample *sample)
{
	if (!is_bad(sample) || only_asks(sample) ||
	    bpf_send_signal_thread(config.bad_reference_signal))
		return 0;
	return EVENT_SYSCALL_SIGNALLED;
}

#endif
