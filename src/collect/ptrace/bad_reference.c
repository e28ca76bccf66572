/*
 * Sends a thread a signal at the call that was a bad reference. To stay stopped for a debugger, the
 * process has to be let go: it has one tracer at most. It is detached in its group-stop, and stays
 * there (ptrace(2), PTRACE_DETACH).
 */
#include "collect/ptrace/tracer.h"

#include "event/plan_guard.h"

#include <errno.h>
#include <sys/ptrace.h>

static bool is_bad(struct collector *collector, const struct tracee *tracee, uint8_t arg)
{
	return plan_is_number(arg, tracee->args) &&
	       !fds_is_open(collector, tracee, (int32_t)tracee->args[arg]);
}

bool bad_reference_signalled(struct collector *collector, const struct tracee *tracee,
			     int64_t result)
{
	const struct syscall_plan *call = &collector->plan->calls[tracee->number];

	if (!collector->bad_reference_signal || result != -EBADF ||
	    !(tracee->wanted & (PLAN_LEAVE_EBADF | PLAN_LEAVE_FAILED)))
		return false;
	return (is_bad(collector, tracee, call->fd_arg) ||
		is_bad(collector, tracee, call->fd_arg2)) &&
	       !plan_only_asks(collector->plan, tracee->number, tracee->args);
}

void bad_reference_resume(struct collector *collector, struct tracee *tracee)
{
	struct process *process = tracee->process;
	pid_t pid = process->pid;

	process->let_go = collector->bad_reference_signal == SIGSTOP;
	/* It is pending when the thread is on its way back. */
	tracee_resume(collector, tracee, collector->bad_reference_signal);
	/* The others stop with it, and are detached one by one. */
	if (thread_group_find(collector, pid) == process)
		tracees_wait(collector, pid);
}
