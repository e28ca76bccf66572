/* The ptrace collector behind collector.h: its life, and the table of its functions. */
#include "collect/ptrace/tracer.h"

#include "base/alloc.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>

static int ptrace_create(const struct collector_options *options, struct collector **out,
			 struct error *error)
{
	struct collector *collector;
	int result;

	if (options->everything)
		return error_set(error, -EOPNOTSUPP,
				 "ptrace stops each process that it traces and cannot be used for "
				 "all of them: that takes --collector=bpf, as root");
	result = ptrace_probe(error);
	if (result < 0)
		return result;
	collector = xcalloc(1, sizeof(*collector));
	collector->plan = options->plan;
	collector->follow_children = options->follow_children;
	collector->bad_reference_signal = options->bad_reference_signal;
	collector->stack_bytes_max = options->stack_bytes_max < EVENT_STACK_BYTES_MAX
					 ? options->stack_bytes_max
					 : EVENT_STACK_BYTES_MAX;
	result = poll_create_timer(collector, error);
	if (result < 0) {
		free(collector);
		return result;
	}
	affinity_init(&collector->affinity);
	*out = collector;
	return 0;
}

static bool ptrace_child_ended(const struct collector *collector, int *wait_status)
{
	if (collector->child_ended)
		*wait_status = collector->child_status;
	return collector->child_ended;
}

static bool ptrace_child_stopped(const struct collector *collector, bool *all)
{
	bool child = false;

	*all = true;
	map_each (entry, &collector->tracees) {
		const struct tracee *tracee = (struct tracee *)(uintptr_t)entry->value;
		bool of_child = tracee->process && tracee->process->pid == collector->spawned;

		if (tracee->exiting)
			continue;
		if (tracee->state != TRACEE_LISTENING) {
			*all = false;
			if (of_child)
				return false;
		}
		child |= of_child;
	}
	return child;
}

static void ptrace_stats(const struct collector *collector, struct collector_stats *out)
{
	*out = collector->stats;
}

/* A started program cannot live without its tracer (spawn.c). True while one does. */
static bool kill_filtered(struct collector *collector)
{
	bool any = false;

	map_each (entry, &collector->processes) {
		const struct process *process = (struct process *)(uintptr_t)entry->value;

		if (process->filtered) {
			kill(process->pid, SIGKILL);
			any = true;
		}
	}
	return any;
}

static void end_filtered(struct collector *collector)
{
	while (kill_filtered(collector)) {
		int status;
		pid_t tid = waitpid(-1, &status, __WALL);

		if (tid < 0 && errno != EINTR)
			break;
		if (tid > 0)
			stops_handle(collector, tid, status);
	}
}

static void ptrace_destroy(struct collector *collector)
{
	if (!collector)
		return;
	ptrace_detach(collector);
	end_filtered(collector);
	while (collector->tracees.count)
		map_each (entry, &collector->tracees) {
			tracee_remove(collector, (struct tracee *)(uintptr_t)entry->value);
			break;
		}
	poll_delete_timer(collector);
	affinity_restore(&collector->affinity);
	outbox_fini(&collector->outbox);
	map_fini(&collector->tracees);
	map_fini(&collector->processes);
	free(collector);
}

const struct collector_ops collector_ptrace = {
    .name = "ptrace",
    .holds_targets = true,
    .create = ptrace_create,
    .attach = ptrace_attach,
    .spawn = ptrace_spawn,
    .poll = ptrace_poll,
    .child_ended = ptrace_child_ended,
    .child_stopped = ptrace_child_stopped,
    .detach = ptrace_detach,
    .stats = ptrace_stats,
    .destroy = ptrace_destroy,
};
