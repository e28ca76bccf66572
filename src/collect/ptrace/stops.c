/*
 * Says what each stop of a tracee means and lets it go on: system calls, signals, group-stops;
 * hands births and deaths to lifetimes.c. ptrace(2) is the source of every rule here.
 */
#include "collect/ptrace/tracer.h"

#include "base/cleanup.h"
#include "event/plan_guard.h"
#include "os/procfs.h"
#include "os/remote.h"

#include <linux/audit.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum {
	HELD_MAX_NS = 200 * 1000 * 1000,
	SYSCALL_STOP = SIGTRAP | 0x80, /* PTRACE_O_TRACESYSGOOD */
	POLLED_ASKED_MAX = 32,
};

/* The calls after which there may be code where none was. */
static bool makes_code(uint64_t number, const uint64_t args[6])
{
	return (number == __NR_mmap || number == __NR_mprotect || number == __NR_pkey_mprotect) &&
	       args[2] & PROT_EXEC;
}

static bool may_be_bad(struct collector *collector, const struct tracee *tracee, uint8_t arg,
		       const uint64_t args[6])
{
	return arg < 6 && !plan_no_descriptor(args[arg]) &&
	       !fds_is_open(collector, tracee, (int32_t)args[arg]);
}

/*
 * Whether poll() will find a number that is not open; asking for each of very many takes longer
 * than a second stop.
 */
static bool may_poll_bad(struct collector *collector, const struct tracee *tracee, uint64_t address,
			 uint64_t count)
{
	struct event_polled entries[POLLED_ASKED_MAX];
	size_t got;

	if ((uint32_t)count > POLLED_ASKED_MAX)
		return true;
	got = remote_read(tracee->tid, address, entries, (uint32_t)count * sizeof(*entries));
	for (size_t i = 0; i < got / sizeof(*entries); i++)
		if (entries[i].number >= 0 && !fds_is_open(collector, tracee, entries[i].number))
			return true;
	return false;
}

/* Nobody else can close a number between the entry of a call and the call. */
static bool has_table_alone(const struct process *process)
{
	return process->alive == 1 && !process->shares_table;
}

/*
 * `wanted` without the return of a call that is recorded only where its descriptors are not open:
 * the kernel can say now that they are, which is cheaper than a second stop.
 */
static uint8_t skip_return(struct collector *collector, const struct tracee *tracee,
			   const struct syscall_plan *call, const uint64_t args[6], uint8_t wanted)
{
	if (call->data == PLAN_DATA_POLLED && wanted & PLAN_LEAVE_OK)
		return may_poll_bad(collector, tracee, args[call->data_arg],
				    args[call->data_arg + 1])
			   ? wanted
			   : 0;
	if (call->fd_arg >= 6 || wanted & (PLAN_LEAVE_OK | PLAN_LEAVE_FULL))
		return wanted;
	if (wanted & PLAN_LEAVE_FAILED &&
	    (!has_table_alone(tracee->process) ||
	     !fds_is_open(collector, tracee, (int32_t)args[call->fd_arg])))
		return wanted;
	if (wanted & PLAN_LEAVE_EBADF && (may_be_bad(collector, tracee, call->fd_arg, args) ||
					  may_be_bad(collector, tracee, call->fd_arg2, args)))
		return wanted;
	return wanted & PLAN_ENTER;
}

static void handle_entry(struct collector *collector, struct tracee *tracee, uint32_t arch,
			 uint64_t number, const uint64_t args[6])
{
	const struct plan *plan = collector->plan;
	uint8_t wanted;

	tracee->wanted = 0;
	if (tracee->process->muted || arch != AUDIT_ARCH_X86_64 || number >= PLAN_SYSCALLS_MAX)
		return;
	wanted = skip_return(collector, tracee, &plan->calls[number], args,
			     plan_when_wanted(plan, number, args));
	if (makes_code(number, args))
		wanted |= WANT_MAPS;
	if (!wanted)
		return;
	tracee->number = number;
	memcpy(tracee->args, args, sizeof(tracee->args));
	if (wanted & PLAN_ENTER)
		capture_enter(collector, tracee);
	tracee->wanted = wanted & ~PLAN_ENTER;
}

/* True: it was a bad reference that gets a signal. */
static bool handle_exit(struct collector *collector, struct tracee *tracee)
{
	struct user_regs_struct registers;
	struct process *process = tracee->process;
	bool signalled = false;
	uint64_t result;

	/* A call that was entered before we came has no `wanted` either. */
	if (!tracee->wanted)
		return false;
	if (tracee_registers(tracee, &registers)) {
		result = registers.rax;
		signalled = bad_reference_signalled(collector, tracee, result);
		capture_leave(collector, tracee, &registers, signalled);
		if (tracee->wanted & WANT_MAPS && (int64_t)result >= -4095 && (int64_t)result < 0)
			tracee->wanted = 0; /* it failed */
		if (tracee->wanted & WANT_MAPS && tracee->number == __NR_mmap &&
		    tracee->args[3] & MAP_ANONYMOUS)
			maps_anonymous(collector, process, tracee->tid, result, tracee->args[1]);
		else if (tracee->wanted & WANT_MAPS)
			maps_update(collector, process, tracee->tid);
	}
	tracee->wanted = 0;
	return signalled;
}

/* A filter's stop is an entry; else the kernel says which of the two it is. */
static void handle_syscall(struct collector *collector, struct tracee *tracee, bool seccomp)
{
	struct __ptrace_syscall_info info = {0};
	bool signalled = false;

	if (tracee->process->filtered && !seccomp) {
		signalled = handle_exit(collector, tracee);
	} else if (ptrace(PTRACE_GET_SYSCALL_INFO, tracee->tid, (void *)sizeof(info), &info) > 0) {
		uint64_t args[6];

		/* `entry` is the beginning of `seccomp` too. */
		memcpy(args, (const void *)info.entry.args, sizeof(args));
		if (info.op == PTRACE_SYSCALL_INFO_EXIT)
			signalled = handle_exit(collector, tracee);
		else if (info.op != PTRACE_SYSCALL_INFO_NONE)
			handle_entry(collector, tracee, info.arch, info.entry.nr, args);
	}
	if (signalled)
		bad_reference_resume(collector, tracee);
	else
		tracee_resume(collector, tracee, 0);
}

static bool stops_job(int signal)
{
	return signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

/* SIGTRAP: a first stop, an interrupt of ours, or SIGCONT has come; else a group-stop, in which
 * the tracee stays, as it would untraced. */
static void handle_event_stop(struct collector *collector, struct tracee *tracee, int signal)
{
	if (!stops_job(signal) || collector->detaching || tracee->process->let_go) {
		tracee_resume(collector, tracee, 0);
		return;
	}
	tracee->state = TRACEE_LISTENING;
	ptrace(PTRACE_LISTEN, tracee->tid, NULL, NULL);
}

static void handle_event(struct collector *collector, struct tracee *tracee, int event, int signal)
{
	switch (event) {
	case PTRACE_EVENT_STOP:
		handle_event_stop(collector, tracee, signal);
		return;
	case PTRACE_EVENT_SECCOMP:
		handle_syscall(collector, tracee, true);
		return;
	case PTRACE_EVENT_FORK:
	case PTRACE_EVENT_VFORK:
	case PTRACE_EVENT_CLONE:
		lifetime_fork(collector, tracee, event);
		break;
	case PTRACE_EVENT_EXEC:
		lifetime_exec(collector, tracee);
		break;
	case PTRACE_EVENT_EXIT:
		lifetime_exit_begins(collector, tracee);
		break;
	}
	tracee_resume(collector, tracee, 0);
}

/* A new tracee may stop before its parent tells of it: it waits for that. */
static void hold(struct collector *collector, pid_t tid, struct tracee *tracee, int status)
{
	if (status >> 16 == PTRACE_EVENT_EXIT) { /* killed before it ran */
		ptrace(PTRACE_CONT, tid, NULL, NULL);
		return;
	}
	if (!tracee)
		tracee = tracee_add(collector, tid, NULL);
	collector->held += tracee->state != TRACEE_STOPPED;
	tracee->state = TRACEE_STOPPED;
	tracee->held_status = status;
	tracee->held_since_ns = poll_now_ns();
}

static void handle_end(struct collector *collector, pid_t tid, struct tracee *tracee, int status)
{
	if (tid == collector->spawned) {
		collector->child_ended = true;
		collector->child_status = status;
	}
	if (!tracee)
		return;
	if (!tracee->process && tracee->state == TRACEE_STOPPED)
		collector->held--;
	lifetime_ended(collector, tracee, status);
}

void stops_handle(struct collector *collector, pid_t tid, int status)
{
	struct tracee *tracee = tracee_find(collector, tid);
	int event = status >> 16;

	if (!WIFSTOPPED(status)) {
		handle_end(collector, tid, tracee, status);
		return;
	}
	/* A leader that had ended before we came is back when another thread execs. */
	if (!tracee && event == PTRACE_EVENT_EXEC && thread_group_find(collector, tid))
		tracee = tracee_add(collector, tid, thread_group_find(collector, tid));
	if (!tracee || !tracee->process) {
		hold(collector, tid, tracee, status);
		return;
	}
	tracee->state = TRACEE_STOPPED;
	if (event)
		handle_event(collector, tracee, event, WSTOPSIG(status));
	else if (WSTOPSIG(status) == SYSCALL_STOP)
		handle_syscall(collector, tracee, false);
	else
		tracee_resume(collector, tracee, WSTOPSIG(status)); /* siginfo stays as it is */
}

static void release(struct collector *collector, struct tracee *tracee)
{
	struct procfs_status status;
	struct process *process, *parent;
	pid_t tid = tracee->tid;

	if (procfs_status(tid, &status, NULL) < 0)
		return; /* its end is still to be told */
	process = thread_group_find(collector, status.tgid);
	if (!process) {
		process = thread_group_add(collector, status.tgid);
		parent = thread_group_find(collector, status.ppid);
		process->filtered = parent ? parent->filtered : collector->filters;
		process->muted = !collector->follow_children;
		if (!process->muted)
			lifetime_record_fork(collector, status.ppid, status.ppid, status.tgid, tid,
					     0);
	}
	collector->held--;
	tracee_join(tracee, process);
	if (!process->muted)
		maps_update(collector, process, tid);
	stops_handle(collector, tid, tracee->held_status);
}

void stops_release_held(struct collector *collector)
{
	ARRAY(struct tracee *) held = {0};
	int64_t now = poll_now_ns();

	if (!collector->held)
		return;
	map_each (entry, &collector->tracees) {
		struct tracee *tracee = (struct tracee *)(uintptr_t)entry->value;

		if (!tracee->process && tracee->state == TRACEE_STOPPED &&
		    now - tracee->held_since_ns > HELD_MAX_NS)
			array_push(&held, tracee);
	}
	array_each (tracee, &held)
		release(collector, *tracee);
	array_fini(&held);
}
