/*
 * Owns the comparison of a table with /proc/PID/fd while the process goes on. The folder is read
 * between two moments, all events up to the second are applied, and the model judges what differs.
 */
#include "session/internal.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "os/procfs.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>

enum { ATTEMPTS_MAX = 10, PAUSE_NS = 2000000, DRAIN_STEPS_MAX = 1000, LOOK_PAUSE_NS = 500000000 };

void session_observation_fini(struct observation *seen)
{
	array_each (name, &seen->names)
		free(*name);
	array_fini(&seen->names);
	array_fini(&seen->handles);
}

int session_observe(pid_t pid, struct observation *out)
{
	struct procfs_fds fds;
	int result = procfs_fds(pid, &fds, NULL);

	*out = (struct observation){0};
	if (result)
		return result;
	array_each (number, &fds.numbers) {
		char link[PROCFS_LINK_MAX];
		uint32_t flags = 0;

		result = procfs_fd_link(pid, *number, link);
		if (result >= 0)
			result = procfs_fd_flags(pid, *number, &flags);
		if (result == -EACCES || result == -EPERM)
			break;
		/* Closed since the folder was listed: an event tells. */
		if (result < 0)
			continue;
		/* A leak has handles of one name in a row. */
		if (!out->names.count || strcmp(out->names.data[out->names.count - 1], link))
			array_push(&out->names, xstrdup(link));
		array_push(&out->handles, (struct observed_handle){
					      .number = *number,
					      .cloexec = flags & O_CLOEXEC,
					      .type = procfs_link_type(link),
					      .name = out->names.data[out->names.count - 1],
					  });
	}
	procfs_fds_fini(&fds);
	return result == -EACCES || result == -EPERM ? result : 0;
}

void session_drain(struct session *session, uint64_t until_ns)
{
	struct event_sink sink = {session_receive, session};
	struct error error;

	if (session->stopped)
		return;
	for (int i = 0; i < DRAIN_STEPS_MAX; i++) {
		int result = session->ops->poll(session->collector, 0, &sink, &error);

		if (result == -ECHILD)
			session->over = true;
		if (result <= 0 || session->last_event_ns > until_ns)
			return;
	}
}

/* The process may not be looked at, not even by us (another user namespace's, or a policy). */
static void tell_incomplete(struct session *session, pid_t pid)
{
	const struct process *process = model_process(session->model, pid);
	struct actor actor = {.pid = pid, .tid = pid, .time_ns = clock_now_ns()};

	if (process && !process->exited && !process->incomplete)
		model_apply(session->model, &actor, &(struct handle_op){.kind = HANDLE_RECONCILE});
}

/* How many numbers differ or were left alone; 0 too for a process that has gone. */
static uint32_t compare_once(struct session *session, pid_t pid)
{
	uint64_t begin = clock_now_ns();
	struct observation seen;
	uint32_t differences = 0;
	int result = session_observe(pid, &seen);

	session_drain(session, clock_now_ns());
	if (result == -EACCES || result == -EPERM)
		tell_incomplete(session, pid);
	/* A zombie has an empty folder. */
	if (session->everything && !seen.handles.count)
		session_vanished(session, pid);
	/* The numbers of a process that ended meanwhile are as its exit told. */
	if (!result && map_get(&session->targets, pid))
		differences = model_observe(session->model, pid, seen.handles.data,
					    seen.handles.count, begin, clock_now_ns());
	session_observation_fini(&seen);
	return differences;
}

/* One pause for all of them, not one for each. */
void session_reconcile_processes(struct session *session, const struct procfs_fds *pids)
{
	struct procfs_fds left = {0};

	array_each (pid, &pids->numbers)
		array_push(&left.numbers, *pid);
	for (int i = 0; i < ATTEMPTS_MAX && left.numbers.count; i++) {
		size_t kept = 0;

		if (i)
			nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
		array_each (pid, &left.numbers)
			if (compare_once(session, *pid))
				left.numbers.data[kept++] = *pid;
		left.numbers.count = kept;
	}
	procfs_fds_fini(&left);
}

void session_reconcile_process(struct session *session, pid_t pid)
{
	struct procfs_fds one = {0};

	array_push(&one.numbers, pid);
	session_reconcile_processes(session, &one);
	procfs_fds_fini(&one);
}

void session_name_received(struct session *session)
{
	struct procfs_fds pids = {0};

	if (clock_now_ns() < session->look_after_ns)
		return;
	session->has_nameless = false;
	map_each (entry, &session->targets) {
		struct target *target = (struct target *)(uintptr_t)entry->value;

		if (target->has_nameless)
			array_push(&pids.numbers, target->pid);
		target->has_nameless = false;
	}
	session_reconcile_processes(session, &pids);
	procfs_fds_fini(&pids);
	session->look_after_ns = clock_now_ns() + LOOK_PAUSE_NS;
}

void session_reconcile(struct session *session)
{
	struct procfs_fds pids = {0};

	if (session->everything)
		session_greet(session, true);
	map_each (entry, &session->targets)
		array_push(&pids.numbers, (pid_t)entry->key);
	session_reconcile_processes(session, &pids);
	procfs_fds_fini(&pids);
}
