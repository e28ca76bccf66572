/* Owns the search for the process that is meant: the environment, a debugger above us, sessions. */
#include "cli/targets.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "cli/options.h"
#include "os/procfs.h"
#include "session/socket_dir.h"

#include <limits.h>
#include <string.h>

enum { ANCESTORS_MAX = 64, SHOWN_MAX = 8 };

/* ---- a debugger among our ancestors ---- */

struct ancestors {
	pid_t pids[ANCESTORS_MAX];
	int n;
};

static void find_ancestors(struct ancestors *ancestors)
{
	struct procfs_status status;
	pid_t pid = getppid();

	for (ancestors->n = 0; pid > 1 && ancestors->n < ANCESTORS_MAX; pid = status.ppid) {
		ancestors->pids[ancestors->n++] = pid;
		if (procfs_status(pid, &status, NULL) < 0)
			return;
	}
}

/* How near the tracer of `pid` is: 0 is our parent; ANCESTORS_MAX: it is none of them. */
static int tracer_distance(const struct ancestors *ancestors, pid_t pid)
{
	struct procfs_status status;

	if (procfs_status(pid, &status, NULL) < 0 || !status.tracer)
		return ANCESTORS_MAX;
	for (int i = 0; i < ancestors->n; i++)
		if (ancestors->pids[i] == status.tracer)
			return i;
	return ANCESTORS_MAX;
}

static int target_of_debugger(pid_t *pid, struct error *error)
{
	_cleanup_(closedir) DIR *proc = opendir("/proc");
	int nearest = ANCESTORS_MAX;
	struct ancestors ancestors;
	struct dirent *entry;
	pid_t other = 0;

	*pid = 0;
	find_ancestors(&ancestors);
	while (proc && ancestors.n && (entry = readdir(proc))) {
		unsigned long long number;
		int distance;

		if (!number_parse(entry->d_name, INT_MAX, &number))
			continue;
		distance = tracer_distance(&ancestors, number);
		if (distance > nearest || distance == ANCESTORS_MAX)
			continue;
		other = distance == nearest ? *pid : 0;
		nearest = distance;
		*pid = number;
	}
	if (other)
		return error_set(
		    error, -EINVAL,
		    "the debugger (process %d) traces several processes, %d and %d among "
		    "them: say which one with -p PID",
		    ancestors.pids[nearest], other, *pid);
	return 0;
}

int target_around_us(pid_t *pid, struct error *error)
{
	const char *named = getenv("HTRACE_PID");
	unsigned long long number;

	if (!named || !*named)
		return target_of_debugger(pid, error);
	if (!number_parse(named, INT_MAX, &number) || !number)
		return error_set(error, -EINVAL, "HTRACE_PID must be a process id, not '%s'",
				 named);
	*pid = number;
	return 0;
}

/* ---- sessions ---- */

static char *no_session(const struct session_names *names, struct error *error)
{
	char list[256] = "";
	size_t used = 0;

	if (!names->names.count) {
		error_set(error, -ENOENT, "there is no session: htrace enable -p PID starts one");
		return NULL;
	}
	for (size_t i = 0; i < names->names.count && i < SHOWN_MAX; i++)
		used += snprintf(list + used, sizeof(list) - used, "%s%.16s", i ? ", " : "",
				 names->names.data[i]);
	error_set(error, -ENOENT, "which session? Say -p PID; there are %s%s", list,
		  names->names.count > SHOWN_MAX ? ", ..." : "");
	return NULL;
}

static bool has_name(const struct session_names *names, const char *name)
{
	array_each (one, &names->names)
		if (!strcmp(*one, name))
			return true;
	return false;
}

/* The one of `pid`, or the one of all processes. A name without a session says so when asked. */
static char *session_of(pid_t pid, const struct session_names *names)
{
	char *name = xasprintf("%d", pid);

	if (has_name(names, name) || !has_name(names, SESSION_NAME_ALL))
		return name;
	free(name);
	return xstrdup(SESSION_NAME_ALL);
}

char *target_session(pid_t pid, struct error *error)
{
	struct session_names names = {0};
	char *name = NULL;

	if (socket_dir_list(&names, error) < 0 || (!pid && target_around_us(&pid, error) < 0))
		goto out;
	if (pid)
		name = session_of(pid, &names);
	else if (names.names.count == 1)
		name = xstrdup(names.names.data[0]);
	else
		name = no_session(&names, error);
out:
	session_names_fini(&names);
	return name;
}
