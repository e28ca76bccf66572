/*
 * Owns the comparison of a table with /proc/PID/fd while the process goes on. The folder is read
 * between two moments, all events up to the second are applied, and the model judges what differs.
 */
#include "session/internal.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "os/fd_type.h"
#include "os/procfs.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>

enum {
	ATTEMPTS_MAX = 10,
	PAUSE_NS = 2000000,
	DRAIN_STEPS_MAX = 1000,
	LOOK_PAUSE_NS = 500000000,
	COMPARING_NS_MAX = 1000000000
};

void session_observation_fini(struct observation *seen)
{
	array_each (name, &seen->names)
		free(*name);
	array_fini(&seen->names);
	array_fini(&seen->handles);
}

/* A negative errno: closed since the folder was listed (an event tells), or it may not be looked
 * at. */
static int look_at(pid_t pid, int32_t number, uint64_t since_ns, struct observation *seen,
		   struct observed_handle *out)
{
	char link[PROCFS_LINK_MAX];
	uint32_t flags = 0;

	int result = procfs_fd_link(pid, number, link);

	if (result >= 0)
		result = procfs_fd_flags(pid, number, &flags);
	if (result < 0)
		return result;
	/* A leak has handles of one name in a row. */
	if (!seen->names.count || strcmp(seen->names.data[seen->names.count - 1], link))
		array_push(&seen->names, xstrdup(link));
	*out = (struct observed_handle){
	    .number = number,
	    .cloexec = flags & O_CLOEXEC,
	    .type = fd_type_look(pid, number, link),
	    .name = seen->names.data[seen->names.count - 1],
	    .since_ns = since_ns,
	};
	return 0;
}

/* What was seen of the number in an earlier look, as far as events tell until now. */
static bool still_holds(const struct session *session, const struct process *process,
			const struct observed_handle *seen)
{
	const struct handle *handle =
	    process ? model_handle(session->model, process, seen->number) : NULL;

	return !seen->known && !(handle && handle->touched_ns >= seen->since_ns);
}

int session_observe(const struct session *session, pid_t pid, struct observation *seen)
{
	const struct process *process = session ? model_process(session->model, pid) : NULL;
	struct observation before = *seen;
	uint64_t since_ns = session ? clock_now_ns() : 0; /* what is ours stays as it is */
	struct procfs_fds fds;
	size_t old = 0;
	int result = procfs_fds(pid, &fds, NULL);

	if (result)
		return result;
	*seen = (struct observation){.names = before.names};
	array_each (number, &fds.numbers) {
		struct observed_handle handle = {.number = *number, .known = true};

		while (old < before.handles.count && before.handles.data[old].number < *number)
			old++;
		if (process && model_was_observed(session->model, process, *number))
			array_push(&seen->handles, handle);
		else if (old < before.handles.count && before.handles.data[old].number == *number &&
			 still_holds(session, process, &before.handles.data[old]))
			array_push(&seen->handles, before.handles.data[old]);
		else if ((result = look_at(pid, *number, since_ns, seen, &handle)) == 0)
			array_push(&seen->handles, handle);
		else if (result == -EACCES || result == -EPERM)
			break;
	}
	array_fini(&before.handles);
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

/* A process that is being compared. */
struct comparison {
	pid_t pid;
	struct observation seen;
};

/* How many numbers differ, or a negative errno: it has ended, or may not be looked at. */
static int64_t compare(struct session *session, struct comparison *comparison)
{
	struct observation *seen = &comparison->seen;
	uint64_t begin = clock_now_ns();
	pid_t pid = comparison->pid;
	int result = session_observe(session, pid, seen);

	session_drain(session, clock_now_ns());
	if (result == -EACCES || result == -EPERM)
		tell_incomplete(session, pid);
	/* A zombie has an empty folder. */
	if (session->everything && (result || !seen->handles.count))
		session_vanished(session, pid);
	/* The numbers of a process that ended meanwhile are as its exit told. */
	if (result || !map_get(&session->targets, pid))
		return -ESRCH;
	return model_observe(session->model, pid, seen->handles.data, seen->handles.count, begin,
			     clock_now_ns());
}

/* One pause for all of them, not one for each. */
void session_reconcile_processes(struct session *session, const struct procfs_fds *pids)
{
	ARRAY(struct comparison) left = {0};
	uint64_t until_ns = clock_now_ns() + COMPARING_NS_MAX;

	array_each (pid, &pids->numbers)
		array_push(&left, (struct comparison){.pid = *pid});
	for (int i = 0; i < ATTEMPTS_MAX && left.count; i++) {
		size_t kept = 0;

		/* What two looks did not settle waits for the next comparison. */
		if (i >= 2 && clock_now_ns() > until_ns)
			break;
		if (i)
			nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
		array_each (comparison, &left) {
			if (compare(session, comparison) > 0)
				left.data[kept++] = *comparison;
			else
				session_observation_fini(&comparison->seen);
		}
		left.count = kept;
	}
	array_each (comparison, &left)
		session_observation_fini(&comparison->seen);
	array_fini(&left);
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

	if (session->everything) {
		session_find_missed(session);
		session_greet(session, true);
	}
	map_each (entry, &session->targets)
		array_push(&pids.numbers, (pid_t)entry->key);
	session_reconcile_processes(session, &pids);
	procfs_fds_fini(&pids);
}
