/* Owns what can be seen of a session: snapshots, the report, its status. Changes no table. */
#include "session/internal.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

enum { EVERY_KEPT_MAX = 64 };

/* ---- snapshots ---- */

static struct named_snapshot *find_named(const struct session *session, const char *name)
{
	array_each (named, &session->snapshots)
		if (!strcmp(named->name, name))
			return named;
	return NULL;
}

void session_snapshot(struct session *session, const char *name)
{
	struct named_snapshot *named = name ? find_named(session, name) : NULL;

	session->snapshot.time_ns = clock_now_ns();
	if (named)
		named->snapshot = session->snapshot;
	else if (name)
		array_push(&session->snapshots,
			   (struct named_snapshot){xstrdup(name), session->snapshot});
}

bool session_find_snapshot(const struct session *session, const char *name, struct snapshot *out)
{
	const struct named_snapshot *named = name ? find_named(session, name) : NULL;

	if (name && !named)
		return false;
	*out = named ? named->snapshot : session->snapshot;
	return true;
}

/* They are no baseline of `diff` but by name: else a report would tell of the last moments only. */
void session_take_snapshots(struct session *session, uint64_t now_ns)
{
	struct named_snapshot taken = {.snapshot = {.time_ns = now_ns}};

	if (!session->every_ns || now_ns < session->every_next_ns)
		return;
	if (!session->every_next_ns)
		session->every_next_ns = now_ns;
	session->every_next_ns += session->every_ns;
	if (session->every_next_ns <= now_ns)
		session->every_next_ns = now_ns + session->every_ns;
	taken.name = xasprintf("every-%" PRIu64, ++session->every_taken);
	if (session->every_taken > EVERY_KEPT_MAX) {
		_cleanup_(free) char *oldest =
		    xasprintf("every-%" PRIu64, session->every_taken - EVERY_KEPT_MAX);
		struct named_snapshot *named = find_named(session, oldest);

		if (named) {
			free(named->name);
			*named = taken;
			return;
		}
	}
	array_push(&session->snapshots, taken);
}

void session_snapshots_fini(struct session *session)
{
	array_each (named, &session->snapshots)
		free(named->name);
	array_fini(&session->snapshots);
}

/* ---- report ---- */

void session_report(struct session *session, const struct snapshot *snapshot, struct report *out,
		    void (*progress)(void *context, const char *module_path), void *context)
{
	if (!session->symbolizer)
		session->symbolizer = symbolizer_new(session->images, progress, context);
	*out = (struct report){
	    .collector = session->ops->name,
	    .model = session->model,
	    .stacks = session->stacks,
	    .history = session->history,
	    .symbolizer = session->symbolizer,
	    .now_ns = clock_now_ns(),
	    .lost_events = session->lost,
	    .foreign_processes = session->foreign_processes,
	    .unseen_processes = session->unseen_processes,
	    .every_ns = session->every_ns,
	};
	clock_gettime(CLOCK_REALTIME, &out->wall);
	for (size_t i = 0; i < model_processes(session->model); i++) {
		const struct process *process = model_process_at(session->model, i);
		struct report_process entry = {.process = process, .exe = process->exe};

		diff_make(&entry.diff, session->model, process, snapshot ?: &session->snapshot,
			  out->now_ns);
		array_push(&out->processes, entry);
	}
}

/* ---- status ---- */

const struct process *session_process(const struct session *session, pid_t pid)
{
	return model_process(session->model, pid);
}

uint64_t session_open_count(const struct session *session, const struct process *process)
{
	return model_open_count(session->model, process);
}

void session_status(const struct session *session, struct session_status *out)
{
	struct collector_stats stats = {0};

	session->ops->stats(session->collector, &stats);
	*out = (struct session_status){
	    .events = stats.events,
	    .lost_events = session->lost,
	    .processes = model_processes(session->model),
	    .traces = history_total(session->history),
	    .traces_kept = history_count(session->history),
	    .traces_max = session->traces_max,
	    .snapshots = session->snapshots.count,
	};
	for (size_t i = 0; i < model_processes(session->model); i++) {
		const struct process *process = model_process_at(session->model, i);

		out->exhausted += process->exhausted ? process->exhausted->count : 0;
		if (process->exited)
			continue;
		out->processes_alive++;
		out->open_handles += model_open_count(session->model, process);
	}
}
