/* Owns what a session says of itself: one line for people, one object for programs. */
#include "cli/host_private.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "report/json_stack.h"
#include "report/names.h"
#include "report/page.h"
#include "report/words.h"
#include "trace/duration.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STATUS_INDENT = 8 };

/* Resident memory of this process. */
static uint64_t own_bytes(void)
{
	unsigned long long pages = 0;
	FILE *statm = fopen("/proc/self/statm", "re");

	if (statm && fscanf(statm, "%*u %llu", &pages) != 1)
		pages = 0;
	if (statm)
		fclose(statm);
	return pages * sysconf(_SC_PAGESIZE);
}

static const struct process *target_of(const struct host *host)
{
	return host->options->pid ? session_process(host->session, host->options->pid) : NULL;
}

/* The last bad reference that was answered with a signal. */
static json_t *caught_json(const struct catching *catching)
{
	const struct session_caught *caught = &catching->last.caught;
	char call[CALL_NAME_BYTES];

	if (!catching->last.text)
		return json_null();
	return json_pack("{s:i, s:i, s:i, s:s, s:o, s:i, s:b, s:o}", "pid", (int)caught->pid, "tid",
			 (int)caught->tid, "handle", (int)caught->number, "operation",
			 name_of_call(caught->call, call), "kind",
			 caught->kind ? json_string(name_of_bad_reference(caught->kind))
				      : json_null(),
			 "signal", catching->signal, "stopped", catching_stands_still(catching),
			 "message", json_text(catching->last.text));
}

/* What each trigger came to. */
static json_t *json_triggers(const struct host *host)
{
	const struct options *options = host->options->options;
	json_t *triggers = json_array();

	for (size_t i = 0; options && i < options->triggers_n; i++) {
		const struct notice *notice = &host->notices.of[i];

		json_array_append_new(
		    triggers,
		    json_pack("{s:s, s:I, s:I, s:I, s:o, s:o, s:o}", "trigger",
			      options->triggers[i].text, "fired", (json_int_t)notice->fired,
			      "written", (json_int_t)notice->written, "failed",
			      (json_int_t)notice->failed, "fired_ns",
			      json_known_ns(notice->fired_ns), "file", json_text(notice->file),
			      "failure", json_text(notice->failure)));
	}
	return triggers;
}

static void add_triggers(struct words *line, const struct host *host)
{
	const struct options *options = host->options->options;

	for (size_t i = 0; options && i < options->triggers_n; i++) {
		const struct notice *notice = &host->notices.of[i];

		words_addf(line, "; %s ", options->triggers[i].text);
		if (!notice->fired)
			words_add(line, "not yet");
		else
			words_add_counted(line, notice->fired, "time", "times");
		if (notice->file) {
			words_add(line, ", last in ");
			words_add_target(line, notice->file);
		}
		if (notice->failure) {
			words_add(line, ", ");
			words_add_counted(line, notice->failed, "report", "reports");
			words_add(line, " not written (");
			words_add_target(line, notice->failure);
			words_add(line, ")");
		}
	}
}

static int write_json(const struct host *host, const struct session_status *status, FILE *out)
{
	const struct process *target = target_of(host);
	json_t *object = json_pack(
	    "{s:s, s:i, s:o, s:o, s:b, s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
	    "name", host->options->name, "pid", (int)host->options->pid, "exe",
	    json_text(target ? target->exe : NULL), "failure", json_text(host->failure), "ended",
	    host->ended_ns != 0, "collector", session_collector(host->session), "session_pid",
	    (int)getpid(), "age_ns", (json_int_t)(clock_now_ns() - host->begun_ns), "events",
	    (json_int_t)status->events, "lost_events", (json_int_t)status->lost_events, "processes",
	    (json_int_t)status->processes, "processes_alive", (json_int_t)status->processes_alive,
	    "open_handles", (json_int_t)status->open_handles, "traces", (json_int_t)status->traces,
	    "traces_kept", (json_int_t)status->traces_kept, "traces_max",
	    (json_int_t)status->traces_max, "memory_bytes", (json_int_t)own_bytes());
	int result;

	json_object_set_new(object, "caught", caught_json(&host->catching));
	json_object_set_new(object, "exhausted", json_integer((json_int_t)status->exhausted));
	json_object_set_new(object, "triggers", json_triggers(host));
	result = json_dumpf(object, out, JSON_COMPACT);
	json_decref(object);
	return result ? -EIO : 0;
}

static void add_target(const struct host *host, struct words *line)
{
	const struct process *target = target_of(host);

	words_addf(line, "%-7s ", host->options->name);
	if (host->options->awaited) {
		words_add(line, "waits for ");
		words_add_target(line, host->options->awaited);
	} else if (!target)
		words_add(line, host->options->pid ? "(program not known)" : "all processes");
	else
		words_add_target(line, target->exe ? target->exe : "(program not known)");
}

static int write_text(const struct host *host, const struct session_status *status,
		      const struct report_style *style, FILE *out)
{
	const struct page page = {.style = style, .stream = out};
	_cleanup_(words_fini) struct words target = {0};
	_cleanup_(words_fini) struct words line = {0};
	char length[DURATION_BYTES];

	add_target(host, &target);
	words_addf(&line, ": %s for %s with %s; ", host->ended_ns ? "ended, was traced" : "traced",
		   duration_write((host->ended_ns ?: clock_now_ns()) - host->begun_ns, length),
		   session_collector(host->session));
	words_add_counted(&line, status->open_handles, "handle open", "handles open");
	words_add(&line, ", ");
	words_add_counted(&line, status->events, "event", "events");
	words_add(&line, ", ");
	words_add_count(&line, status->lost_events);
	words_add(&line, " lost, ");
	words_add_count(&line, status->traces_kept);
	words_add(&line, " of ");
	words_add_counted(&line, status->traces, "trace kept", "traces kept");
	words_addf(&line, "; session %d, ", getpid());
	words_add_count(&line, own_bytes() >> 20);
	words_add(&line, " MiB");
	if (host->catching.last.text &&
	    (host->catching.signal != SIGSTOP || catching_stands_still(&host->catching)))
		words_addf(&line, "; %s", host->catching.last.text);
	if (status->exhausted) {
		words_add(&line, "; OUT OF HANDLES ");
		words_add_counted(&line, status->exhausted, "time", "times");
	}
	add_triggers(&line, host);
	if (host->failure)
		words_addf(&line, "; tracing has failed: %s", host->failure);
	page_paragraph(&page, 0, STATUS_INDENT, PAGE_BOLD, words_text(&target), words_text(&line));
	return 0;
}

int host_status(struct host *host, const struct options *options, const struct report_style *style,
		FILE *out)
{
	struct session_status status;

	session_status(host->session, &status);
	return options->format == &report_json ? write_json(host, &status, out)
					       : write_text(host, &status, style, out);
}
