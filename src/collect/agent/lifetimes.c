/* Owns which processes are known, and what becomes of each record. */
#include "collect/agent/lifetimes_private.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

void lifetimes_init(struct lifetimes *lifetimes, struct rings *rings,
		    const struct collector_options *options, const char *agent_path)
{
	*lifetimes = (struct lifetimes){
	    .rings = rings,
	    .plan = options->plan,
	    .agent_path = agent_path,
	    .follow_children = options->follow_children,
	};
}

void lifetimes_fini(struct lifetimes *lifetimes)
{
	map_each (entry, &lifetimes->processes) {
		struct traced_process *process = (void *)(uintptr_t)entry->value;

		lifetimes_free_process(process);
	}
	map_fini(&lifetimes->processes);
	array_fini(&lifetimes->strangers);
	array_fini(&lifetimes->pidfds);
	*lifetimes = (struct lifetimes){0};
}

struct traced_process *lifetimes_find(const struct lifetimes *lifetimes, pid_t pid)
{
	return map_get_pointer(&lifetimes->processes, pid);
}

void lifetimes_emit(struct lifetimes *lifetimes, const struct event_header *event)
{
	lifetimes->events++;
	lifetimes->batch++;
	lifetimes->sink->receive(lifetimes->sink->context, event);
}

struct traced_process *lifetimes_add(struct lifetimes *lifetimes, pid_t pid)
{
	struct traced_process *process = xcalloc(1, sizeof(*process));

	lifetimes->added = true;
	process->pid = pid;
	process->pidfd = syscall(SYS_pidfd_open, pid, 0);
	map_put_pointer(&lifetimes->processes, pid, process);
	return process;
}

void lifetimes_expect_exec(struct lifetimes *lifetimes, pid_t pid)
{
	struct traced_process *process = lifetimes_find(lifetimes, pid);

	process->exec_ns = process->look_ns = clock_now_ns();
	process->exec_tid = pid;
}

void lifetimes_forget(struct lifetimes *lifetimes, pid_t pid)
{
	struct traced_process *process = lifetimes_find(lifetimes, pid);

	if (lifetimes->child.pid == pid)
		lifetimes->child.pid = 0;
	if (!process)
		return;
	map_remove(&lifetimes->processes, pid);
	if (process->pidfd >= 0)
		close(process->pidfd);
	free(process);
}

void lifetimes_complain(struct lifetimes *lifetimes, pid_t pid, const char *why)
{
	snprintf(lifetimes->complaint, sizeof(lifetimes->complaint), "process %d is not traced: %s",
		 pid, why);
}

bool lifetimes_go_on(const struct lifetimes *lifetimes)
{
	return lifetimes->awaits || lifetimes->processes.count || lifetimes->strangers.count;
}

/* ---- records ---- */

static void receive_fork(struct lifetimes *lifetimes, struct event_fork *fork)
{
	struct traced_process *child = lifetimes_find(lifetimes, fork->child_pid);

	if (fork->header.flags & EVENT_FORK_THREAD) {
		lifetimes_emit(lifetimes, &fork->header);
		return;
	}
	if (!lifetimes->follow_children || fork->child_pid <= 0 || fork->child_tid <= 0 ||
	    fork->child_pid == fork->header.pid || fork->child_pid == getpid())
		return;
	/* The number may be that of one which has ended; or we knew before the parent did. */
	if (child && !child->made_up && lifetimes_is_over(child)) {
		lifetimes_end(lifetimes, child);
		child = NULL;
	}
	if (child)
		child->made_up = false;
	else
		lifetimes_announce(lifetimes, fork, false);
}

void lifetimes_emit_fds(struct lifetimes *lifetimes, struct traced_process *process, int32_t tid)
{
	if (process->fds) {
		process->fds->header.tid = tid;
		lifetimes_emit(lifetimes, &process->fds->header);
	}
	free(process->fds);
	process->fds = NULL;
}

void lifetimes_free_process(struct traced_process *process)
{
	if (process->pidfd >= 0)
		close(process->pidfd);
	free(process->fds);
	free(process);
}

static void receive_data(struct lifetimes *lifetimes, struct traced_process *process,
			 const struct event_data *data)
{
	if (data->kind != EVENT_DATA_FDS) {
		lifetimes_emit(lifetimes, &data->header);
		return;
	}
	if (!process->drop)
		process->fds = xmemdup(data, data->header.size);
	if (process->drop == LIFETIMES_DROP_FDS)
		process->drop = LIFETIMES_KEEP;
}

static void receive_syscall(struct lifetimes *lifetimes, struct event_syscall *event)
{
	/* A number that was never told would lead outside of the session's table. */
	if (event->known_stack &&
	    !lifetimes->is_known_stack(lifetimes->context, event->known_stack)) {
		event->known_stack = 0;
		lifetimes->lost++;
	}
	lifetimes_emit(lifetimes, &event->header);
}

static void receive_event(struct lifetimes *lifetimes, struct traced_process *process,
			  uint32_t slot, struct event_header *record)
{
	switch (record->type) {
	case EVENT_SYSCALL:
		receive_syscall(lifetimes, (struct event_syscall *)record);
		break;
	case EVENT_DATA:
		receive_data(lifetimes, process, (const struct event_data *)record);
		break;
	case EVENT_FORK:
		receive_fork(lifetimes, (struct event_fork *)record);
		break;
	case EVENT_EXEC:
		if (process->drop != LIFETIMES_DROP_START)
			lifetimes_exec(lifetimes, process, slot, (struct event_exec *)record);
		break;
	case EVENT_EXIT:
		/* The end of a process is ours to tell. */
		if (!(record->flags & EVENT_EXIT_PROCESS))
			lifetimes_emit(lifetimes, record);
		break;
	case EVENT_MAP:
		lifetimes_emit(lifetimes, record);
		break;
	case EVENT_LOST:
		lifetimes->lost++;
		break;
	}
}

static void receive_arena_record(struct lifetimes *lifetimes, struct traced_process *process,
				 uint32_t slot, struct event_header *record)
{
	switch (record->type) {
	case ARENA_CHILD:
		process->drop = LIFETIMES_DROP_FDS;
		break;
	case ARENA_WILL_EXEC:
		process->drop = LIFETIMES_KEEP;
		process->exec_ns = process->look_ns = record->time_ns;
		process->exec_tid = record->tid;
		process->exec_looks = 0;
		break;
	case ARENA_EXEC_FAILED:
		process->exec_ns = 0;
		break;
	case ARENA_WILL_EXIT:
		process->exit_tid = record->tid;
		process->exit_ns = record->time_ns;
		process->status = ((const struct arena_number *)record)->value;
		process->status_known = true;
		break;
	case ARENA_MAPS:
		if (process->drop != LIFETIMES_DROP_START)
			lifetimes_maps(lifetimes, process, (struct arena_text *)record);
		break;
	case ARENA_OFF:
		lifetimes_off(lifetimes, process, (const struct arena_off *)record);
		break;
	case ARENA_READY:
		if (process->drop == LIFETIMES_DROP_START)
			process->drop = LIFETIMES_KEEP;
		else if (process->exec_ns)
			lifetimes_exec_untold(lifetimes, process, slot, record->time_ns);
		break;
	}
}

void lifetimes_receive(void *context, uint32_t slot, struct event_header *record)
{
	struct lifetimes *lifetimes = context;
	int32_t owner = lifetimes->rings->slots[slot].pid;
	struct traced_process *process = lifetimes_find(lifetimes, record->pid);

	/* A child that shares its parent's memory, and so its ring. */
	if (!process) {
		if (!lifetimes->follow_children || record->pid == getpid())
			return;
		lifetimes_make_up_fork(lifetimes, owner, record->pid, EVENT_FORK_VM,
				       record->time_ns);
		process = lifetimes_find(lifetimes, record->pid);
	}
	/* Somebody else went on, and may have changed what was told. */
	if (process->fds && record->type != EVENT_EXEC && record->type != ARENA_WILL_EXIT) {
		free(process->fds);
		process->fds = NULL;
	}
	if (process->drop == LIFETIMES_DROP_FDS && record->type != EVENT_DATA &&
	    record->type != ARENA_CHILD)
		process->drop = LIFETIMES_KEEP;
	if (record->type < ARENA_PAD)
		receive_event(lifetimes, process, slot, record);
	else
		receive_arena_record(lifetimes, process, slot, record);
}

/* When it ended, as it told; else when we saw it. */
static uint64_t end_ns(const struct traced_process *process)
{
	return process->exit_ns ?: process->ended_ns;
}

static int by_end(const void *one, const void *other)
{
	uint64_t one_ns = end_ns(*(struct traced_process *const *)one);
	uint64_t other_ns = end_ns(*(struct traced_process *const *)other);

	return one_ns < other_ns ? -1 : one_ns > other_ns;
}

void lifetimes_settle(struct lifetimes *lifetimes)
{
	ARRAY(struct traced_process *) due = {0};
	uint64_t now_ns = rings_last_pass(lifetimes->rings);

	map_each (entry, &lifetimes->processes) {
		struct traced_process *process = (void *)(uintptr_t)entry->value;

		if ((process->ended && process->ended_ns <= now_ns) || process->exec_ns)
			array_push(&due, process);
	}
	/* A child that shared its parent's table ends before its parent, who waited for it. */
	if (due.count)
		qsort(due.data, due.count, sizeof(*due.data), by_end);
	array_each (process, &due) {
		bool ends = (*process)->ended && (*process)->ended_ns <= now_ns;

		/* Whom we have only just heard of may have ended before. */
		if (ends && lifetimes->added && !(*process)->waited)
			(*process)->waited = true;
		else if (ends)
			lifetimes_end(lifetimes, *process);
		else
			lifetimes_look_at_exec(lifetimes, *process);
	}
	array_fini(&due);
	lifetimes_accept_strangers(lifetimes);
}
