/*
 * Owns the tracing of all processes, of the machine or of one cgroup: finding those that exist, and
 * making known those that come without an event that says so. What becomes of their events is
 * dispatch.c's.
 */
#include "session/internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "os/cgroup.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { GREET_PAUSE_NS = 50000000, MAPS_NS_MAX = 200000000 };

/* What can be seen of the program's file: 32-bit ones make calls that are not recorded. */
static bool is_foreign(pid_t pid)
{
	unsigned char ident[EI_NIDENT + 4];
	_cleanup_(close_fd) int fd = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || pread(fd, ident, sizeof(ident), 0) != sizeof(ident) ||
	    memcmp(ident, ELFMAG, SELFMAG))
		return false;
	return ident[EI_CLASS] != ELFCLASS64 || (ident[18] | ident[19] << 8) != EM_X86_64;
}

/* Makes a living process known as it is now: all but its table. */
static void make_known(struct session *session, pid_t pid, const struct procfs_status *status,
		       uint64_t time_ns)
{
	struct target *target = session_target_add(session, pid, address_space_new());

	target->maps_unread = true;
	target->met_ns = time_ns;
	target->foreign = is_foreign(pid);
	session->foreign_processes += target->foreign;
	model_attach(session->model, pid, status->ppid, time_ns);
	session_learn_exe(session, target, NULL);
	if (status->threads > 1)
		session_tell_own_tables(session, pid);
}

/* ---- those that exist ---- */

static int list_processes(const struct session *session, struct procfs_fds *out,
			  struct error *error)
{
	return session->cgroup ? cgroup_pids(session->cgroup, out, error) : procfs_pids(out, error);
}

static bool is_wanted(const struct session *session, pid_t pid, struct procfs_status *status)
{
	return pid != getpid() && !map_get(&session->targets, pid) &&
	       procfs_status(pid, status, NULL) == 0 && status->tgid == pid &&
	       status->ppid != getpid() && !status->kernel_thread && !status->ending;
}

/*
 * A process that ends or executes another program before its first event is handled leaves no
 * mappings to read any more. So they are read at once, at some 70 us for each process, but for no
 * longer than this is worth: what is left is read when a stack needs it.
 */
static void read_mappings(struct session *session, const struct procfs_fds *pids)
{
	uint64_t until_ns = clock_now_ns() + MAPS_NS_MAX;

	array_each (pid, &pids->numbers) {
		struct target *target = map_get_pointer(&session->targets, *pid);

		if (clock_now_ns() > until_ns)
			return;
		if (target)
			session_space(session, target);
	}
}

int session_attach_all(struct session *session, struct error *error)
{
	_cleanup_(procfs_fds_fini) struct procfs_fds pids = {0};
	struct procfs_status status;
	size_t kept = 0;
	int result = list_processes(session, &pids, error);

	if (result)
		return result;
	session_raise_descriptor_limit();
	model_forget_attached(session->model);
	/* Whatever was forked before now is known. */
	session_drain(session, clock_now_ns());
	array_each (pid, &pids.numbers) {
		if (!is_wanted(session, *pid, &status))
			continue;
		result = session->ops->attach(session->collector, *pid, NULL, error);
		if (result == -ESRCH)
			continue;
		if (result)
			return result;
		make_known(session, *pid, &status, clock_now_ns());
		pids.numbers.data[kept++] = *pid;
	}
	pids.numbers.count = kept;
	read_mappings(session, &pids);
	session_reconcile_processes(session, &pids);
	array_each (pid, &pids.numbers)
		model_attached(session->model, *pid);
	session_greet(session, true);
	session_snapshot(session, NULL);
	return 0;
}

/* ---- those that come ---- */

void session_meet(struct session *session, const struct event_header *event)
{
	struct actor actor = {.pid = event->pid, .tid = event->tid, .time_ns = event->time_ns};
	struct procfs_status status = {0};

	/* It may have gone already. */
	procfs_status(event->pid, &status, NULL);
	make_known(session, event->pid, &status, event->time_ns);
	if (session->lost) /* perhaps the event that announced it, and more of it */
		model_apply(session->model, &actor, &(struct handle_op){.kind = HANDLE_RECONCILE});
	array_push(&session->newcomers.numbers, event->pid);
}

void session_find_missed(struct session *session)
{
	_cleanup_(procfs_fds_fini) struct procfs_fds pids = {0};
	struct procfs_status status;

	if (session->lost == session->lost_searched || session->stopped ||
	    list_processes(session, &pids, NULL) < 0)
		return;
	session->lost_searched = session->lost;
	session_drain(session, clock_now_ns());
	array_each (pid, &pids.numbers) {
		struct event_header header = {.pid = *pid, .tid = *pid, .time_ns = clock_now_ns()};

		if (is_wanted(session, *pid, &status) &&
		    session->ops->attach(session->collector, *pid, NULL, NULL) == 0)
			session_meet(session, &header);
	}
}

void session_greet(struct session *session, bool now)
{
	_cleanup_(procfs_fds_fini) struct procfs_fds pids = session->newcomers;

	if (!pids.numbers.count || (!now && clock_now_ns() < session->greet_after_ns)) {
		pids = (struct procfs_fds){0};
		return;
	}
	session->newcomers = (struct procfs_fds){0};
	session_reconcile_processes(session, &pids);
	array_each (pid, &pids.numbers)
		model_attached(session->model, *pid);
	session->greet_after_ns = clock_now_ns() + GREET_PAUSE_NS;
}

/* How it ended is not known. */
void session_vanished(struct session *session, pid_t pid)
{
	struct actor actor = {.pid = pid, .tid = pid, .time_ns = clock_now_ns()};
	struct event_exit event = {
	    .header = {.size = sizeof(event),
		       .type = EVENT_EXIT,
		       .flags = EVENT_EXIT_PROCESS,
		       .time_ns = actor.time_ns,
		       .pid = pid,
		       .tid = pid},
	};

	struct procfs_status status;

	if (!map_get(&session->targets, pid) ||
	    (procfs_status(pid, &status, NULL) == 0 && !status.zombie))
		return;
	model_apply(session->model, &actor, &(struct handle_op){.kind = HANDLE_RECONCILE});
	session_receive(session, &event.header);
}
