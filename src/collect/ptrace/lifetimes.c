/*
 * The stops at which threads and processes begin, become another program, and end. What a new
 * process shares with its parent is read from the call that made it.
 */
#include "collect/ptrace/tracer.h"

#include "base/cleanup.h"
#include "os/procfs.h"
#include "os/remote.h"

#include <linux/audit.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* The clone flags of the call that `parent` is in; fork and vfork mean fixed ones. */
static uint64_t clone_flags(const struct tracee *parent, int event)
{
	struct user_regs_struct registers;
	uint64_t flags = event == PTRACE_EVENT_VFORK ? CLONE_VM | CLONE_VFORK : 0;

	if (parent->process->foreign || !tracee_registers(parent, &registers))
		return flags;
	if (registers.orig_rax == __NR_clone)
		return registers.rdi;
	if (registers.orig_rax == __NR_clone3)
		remote_read(parent->tid, registers.rdi, &flags, sizeof(flags));
	return flags;
}

static bool is_thread_of(const struct process *process, pid_t tid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d", process->pid, tid);
	return access(path, F_OK) == 0;
}

static uint16_t fork_flags(const struct tracee *parent, pid_t child, int event)
{
	uint64_t flags = clone_flags(parent, event);
	uint16_t out = 0;

	if (flags & CLONE_FILES)
		out |= EVENT_FORK_FILES;
	if (flags & CLONE_VM)
		out |= EVENT_FORK_VM;
	if (flags & CLONE_THREAD)
		out |= EVENT_FORK_THREAD;
	if (parent->process->foreign && event == PTRACE_EVENT_CLONE &&
	    is_thread_of(parent->process, child))
		out = EVENT_FORK_FILES | EVENT_FORK_VM | EVENT_FORK_THREAD;
	return out;
}

/* A child's first stop comes surely and soon: it has not run yet. False where it was killed. */
static bool wait_first_stop(struct collector *collector, struct tracee *child)
{
	pid_t tid = child->tid;
	int status;

	if (child->state == TRACEE_STOPPED)
		return true;
	while (waitpid(tid, &status, __WALL) < 0)
		if (errno != EINTR)
			return false;
	stops_handle(collector, tid, status);
	child = tracee_find(collector, tid);
	return child && child->state == TRACEE_STOPPED;
}

void lifetime_record_fork(struct collector *collector, pid_t pid, pid_t tid, pid_t child_pid,
			  pid_t child_tid, uint16_t flags)
{
	_cleanup_(free) uint64_t *words = NULL;
	struct event_fork *event;
	size_t count;

	/* What all threads share is no news; that there is one more of them is, where the parent
	 * has a table of its own. */
	if (!(flags & EVENT_FORK_THREAD && flags & EVENT_FORK_FILES) &&
	    fds_bitmap(child_tid, &words, &count))
		fds_record(collector, pid, tid, words, count);
	event = outbox_begin(&collector->outbox, EVENT_FORK, pid, tid, sizeof(*event), 0);
	event->header.flags = flags;
	event->child_pid = child_pid;
	event->child_tid = child_tid;
	outbox_end(&collector->outbox, sizeof(*event));
}

static struct process *child_process(struct collector *collector, const struct process *parent,
				     pid_t pid)
{
	struct process *process = thread_group_add(collector, pid);

	process->filtered = parent->filtered;
	process->foreign = parent->foreign;
	process->muted = parent->muted || !collector->follow_children;
	array_each (mapping, &parent->mappings)
		array_push(&process->mappings, *mapping);
	return process;
}

/* A child that nobody wants, and that has no filter of ours, is let go before it ran. */
static bool is_unwanted(const struct collector *collector, const struct process *parent)
{
	return !collector->follow_children && !parent->filtered;
}

void lifetime_fork(struct collector *collector, struct tracee *parent, int event)
{
	pid_t tid = tracee_event_message(parent);
	uint16_t flags = fork_flags(parent, tid, event);
	struct tracee *child = tracee_find(collector, tid);
	bool thread = flags & EVENT_FORK_THREAD, stopped;

	if (tid <= 0)
		return;
	if (!child)
		child = tracee_add(collector, tid, NULL);
	if (child->process)
		return; /* held too long, and let go already */
	/* A plain thread has nothing to be looked at: it goes on whenever its first stop comes. */
	stopped = thread && flags & EVENT_FORK_FILES ? child->state == TRACEE_STOPPED
						     : wait_first_stop(collector, child);
	child = tracee_find(collector, tid);
	if (!child)
		return; /* killed before it ran */
	if (!thread && is_unwanted(collector, parent->process)) {
		collector->held -= stopped;
		ptrace(PTRACE_DETACH, tid, NULL, NULL);
		tracee_remove(collector, child);
		return;
	}
	collector->held -= stopped;
	tracee_join(child,
		    thread ? parent->process : child_process(collector, parent->process, tid));
	memcpy(child->ranges, parent->ranges, sizeof(child->ranges));
	if (!thread && flags & EVENT_FORK_FILES)
		parent->process->shares_table = child->process->shares_table = true;
	if (!child->process->muted)
		lifetime_record_fork(collector, parent->process->pid, parent->tid,
				     child->process->pid, tid, flags);
	if (stopped)
		stops_handle(collector, tid, child->held_status);
}

static bool is_foreign(const struct tracee *tracee)
{
	struct __ptrace_syscall_info info = {0};

	return ptrace(PTRACE_GET_SYSCALL_INFO, tracee->tid, (void *)sizeof(info), &info) > 0 &&
	       info.arch != AUDIT_ARCH_X86_64;
}

/* All threads but the one that called execve are gone, and it has the leader's id now. */
static void leave_one_thread(struct collector *collector, struct process *process, pid_t keep)
{
	ARRAY(struct tracee *) gone = {0};

	map_each (entry, &collector->tracees) {
		struct tracee *other = (struct tracee *)(uintptr_t)entry->value;

		if (other->process == process && other->tid != keep)
			array_push(&gone, other);
	}
	array_each (other, &gone)
		tracee_remove(collector, *other);
	array_fini(&gone);
}

void lifetime_exec(struct collector *collector, struct tracee *tracee)
{
	struct process *process = tracee->process;
	_cleanup_(free) uint64_t *words = NULL;
	struct event_exec *event;
	size_t count;

	leave_one_thread(collector, process, tracee->tid);
	process->threads = process->alive = 1;
	process->exit_tid = 0;
	process->shares_table = false;
	process->foreign = is_foreign(tracee);
	tracee->exiting = false;
	memset(tracee->ranges, 0, sizeof(tracee->ranges));
	array_fini(&process->mappings);
	if (process->muted)
		return;
	if (fds_bitmap(tracee->tid, &words, &count))
		fds_record(collector, process->pid, process->pid, words, count);
	event = outbox_begin(&collector->outbox, EVENT_EXEC, process->pid, process->pid,
			     sizeof(*event), 0);
	event->header.flags = process->foreign ? EVENT_EXEC_FOREIGN : 0;
	event->old_tid = tracee_event_message(tracee);
	outbox_end(&collector->outbox, sizeof(*event));
	maps_update(collector, process, tracee->tid);
}

/* Its descriptors are still open; they are what an exit closes. */
void lifetime_exit_begins(struct collector *collector, struct tracee *tracee)
{
	struct process *process = tracee->process;
	uint64_t *words;
	size_t count;

	(void)collector;
	tracee_exits(tracee);
	if (process->alive || process->muted || !fds_bitmap(tracee->tid, &words, &count))
		return;
	array_fini(&process->exit_fds);
	process->exit_fds.data = words;
	process->exit_fds.count = process->exit_fds.capacity = count;
	process->exit_tid = tracee->tid;
}

static void record_exit(struct collector *collector, pid_t pid, pid_t tid, uint16_t flags,
			int status)
{
	struct event_exit *event;

	event = outbox_begin(&collector->outbox, EVENT_EXIT, pid, tid, sizeof(*event), 0);
	event->header.flags = flags;
	event->status = status;
	outbox_end(&collector->outbox, sizeof(*event));
}

/* The leader's end is told last, when all other threads are gone: wait(2). The process's end is in
 * the name of the thread that was the last to exit, for its table was read. */
static void tell_end(struct collector *collector, const struct process *process, pid_t tid,
		     int status)
{
	if (tid != process->pid && process->threads > 1) {
		if (tid != process->exit_tid)
			record_exit(collector, process->pid, tid, 0, 0);
		return;
	}
	if (process->exit_tid) {
		tid = process->exit_tid;
		fds_record(collector, process->pid, tid, process->exit_fds.data,
			   process->exit_fds.count);
	}
	record_exit(collector, process->pid, tid, EVENT_EXIT_PROCESS, status);
}

void lifetime_let_go(struct collector *collector, const struct process *process)
{
	_cleanup_(free) uint64_t *words = NULL;
	size_t count;

	if (fds_bitmap(process->pid, &words, &count))
		fds_record(collector, process->pid, process->pid, words, count);
	record_exit(collector, process->pid, process->pid, EVENT_EXIT_PROCESS, W_STOPCODE(SIGSTOP));
}

void lifetime_ended(struct collector *collector, struct tracee *tracee, int status)
{
	if (tracee->process && !tracee->process->muted)
		tell_end(collector, tracee->process, tracee->tid, status);
	tracee_remove(collector, tracee);
}
