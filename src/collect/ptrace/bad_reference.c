/*
 * Sends a thread a signal at the call that was a bad reference. To stay stopped for a debugger, the
 * process has to be let go: it has one tracer at most. It is detached in its group-stop, and stays
 * there (ptrace(2), PTRACE_DETACH).
 */
#include "collect/ptrace/tracer.h"

#include "event/plan_guard.h"
#include "os/remote.h"

#include <errno.h>
#include <poll.h>

enum { POLLED_PIECE = 64 };

static bool is_bad(struct collector *collector, const struct tracee *tracee, uint8_t arg)
{
	return plan_is_number(arg, tracee->args) &&
	       !fds_is_open(collector, tracee, (int32_t)tracee->args[arg]);
}

/* poll() has found one. */
static bool polled_bad(struct collector *collector, const struct tracee *tracee,
		       const struct syscall_plan *call)
{
	uint64_t address = tracee->args[call->data_arg];
	uint32_t left = (uint32_t)tracee->args[call->data_arg + 1];
	struct event_polled entries[POLLED_PIECE];

	for (left = left < PLAN_POLLED_MAX ? left : PLAN_POLLED_MAX; left;) {
		size_t most = left < POLLED_PIECE ? left : POLLED_PIECE;
		size_t got = remote_read(tracee->tid, address, entries, most * sizeof(*entries));

		if (got < most * sizeof(*entries))
			return false;
		for (size_t i = 0; i < most; i++)
			if (entries[i].revents & POLLNVAL && entries[i].number >= 0 &&
			    !fds_is_open(collector, tracee, entries[i].number))
				return true;
		address += got;
		left -= most;
	}
	return false;
}

bool bad_reference_signalled(struct collector *collector, const struct tracee *tracee,
			     int64_t result)
{
	const struct syscall_plan *call = &collector->plan->calls[tracee->number];

	if (!collector->bad_reference_signal)
		return false;
	if (call->data == PLAN_DATA_POLLED)
		return result > 0 && polled_bad(collector, tracee, call);
	if (result != -EBADF || !(tracee->wanted & (PLAN_LEAVE_EBADF | PLAN_LEAVE_FAILED)) ||
	    plan_only_asks(collector->plan, tracee->number, tracee->args))
		return false;
	/* select() says EBADF of nothing but the table (fs/select.c, max_select_fd). */
	return call->data == PLAN_DATA_SETS || is_bad(collector, tracee, call->fd_arg) ||
	       is_bad(collector, tracee, call->fd_arg2);
}

void bad_reference_resume(struct collector *collector, struct tracee *tracee)
{
	struct process *process = tracee->process;
	bool let_go = collector->bad_reference_signal == SIGSTOP;
	pid_t pid = process->pid;

	process->let_go = let_go;
	/* It is pending when the thread is on its way back. */
	tracee_resume(collector, tracee, collector->bad_reference_signal);
	/* The others stop with it, and are detached one by one. */
	if (let_go && thread_group_find(collector, pid) == process)
		tracees_wait(collector, pid);
}
