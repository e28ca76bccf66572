/*
 * Owns the tables of traced threads and processes, and the ptrace requests that every stop needs.
 * Does not know why a tracee stopped.
 */
#include "collect/ptrace/tracer.h"

#include "base/alloc.h"

#include <elf.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

struct tracee *tracee_find(const struct collector *collector, pid_t tid)
{
	return map_get_pointer(&collector->tracees, tid);
}

struct process *thread_group_find(const struct collector *collector, pid_t pid)
{
	return map_get_pointer(&collector->processes, pid);
}

struct process *thread_group_add(struct collector *collector, pid_t pid)
{
	struct process *process = xcalloc(1, sizeof(*process));

	process->pid = pid;
	map_put_pointer(&collector->processes, pid, process);
	return process;
}

void thread_group_remove(struct collector *collector, struct process *process)
{
	map_remove(&collector->processes, process->pid);
	array_fini(&process->mappings);
	array_fini(&process->exit_fds);
	free(process);
}

struct tracee *tracee_add(struct collector *collector, pid_t tid, struct process *process)
{
	struct tracee *tracee = xcalloc(1, sizeof(*tracee));

	tracee->tid = tid;
	map_put_pointer(&collector->tracees, tid, tracee);
	if (process)
		tracee_join(tracee, process);
	return tracee;
}

void tracee_join(struct tracee *tracee, struct process *process)
{
	tracee->process = process;
	process->threads++;
	process->alive++;
}

void tracee_exits(struct tracee *tracee)
{
	if (!tracee->exiting && tracee->process)
		tracee->process->alive--;
	tracee->exiting = true;
}

/* The process goes with its last thread. */
void tracee_remove(struct collector *collector, struct tracee *tracee)
{
	struct process *process = tracee->process;

	tracee_exits(tracee);
	map_remove(&collector->tracees, tracee->tid);
	free(tracee);
	if (process && --process->threads == 0)
		thread_group_remove(collector, process);
}

/* A target with our filter stops where it shall; one without stops at every call. */
void tracee_resume(struct collector *collector, struct tracee *tracee, int signal)
{
	bool filtered = tracee->process && tracee->process->filtered;
	bool let_go = tracee->process && tracee->process->let_go;
	enum __ptrace_request request = PTRACE_SYSCALL;

	if ((collector->detaching || let_go) && !filtered) {
		if (let_go && tracee->process->threads == 1)
			lifetime_let_go(collector, tracee->process);
		ptrace(PTRACE_DETACH, tracee->tid, NULL, (void *)(intptr_t)signal);
		tracee_remove(collector, tracee);
		return;
	}
	if (filtered && !tracee->wanted)
		request = PTRACE_CONT;
	tracee->state = TRACEE_RUNNING;
	/* ESRCH: killed meanwhile; waitpid() will say so. */
	ptrace(request, tracee->tid, NULL, (void *)(intptr_t)signal);
}

bool tracee_registers(const struct tracee *tracee, struct user_regs_struct *out)
{
	struct iovec vector = {out, sizeof(*out)};

	/* A 32-bit tracee gives a shorter set. */
	return ptrace(PTRACE_GETREGSET, tracee->tid, (void *)NT_PRSTATUS, &vector) == 0 &&
	       vector.iov_len == sizeof(*out);
}

uint64_t tracee_event_message(const struct tracee *tracee)
{
	unsigned long message = 0;

	ptrace(PTRACE_GETEVENTMSG, tracee->tid, NULL, &message);
	return message;
}
