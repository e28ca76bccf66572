/* Owns the sentence for each bad reference that was answered with a signal, and who names its
 * place. */
#include "cli/caught.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "os/procfs.h"
#include "report/names.h"
#include "report/opener.h"
#include "report/words.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	NAMING_NS_MAX = 1000000000,
	LAST_STEPS_MAX = 500,
	LAST_STEP_MS = 5,
};

/* ---- the place, in a copy ---- */

static void ignore_progress(void *context, const char *module_path)
{
	(void)context, (void)module_path;
}

static void name_place(void *context, struct errand_result *result)
{
	const struct catching *catching = context;
	_cleanup_(words_fini) struct words place = {0};
	const struct symbol *symbol;
	struct report report;

	if (catching->in_copy)
		catching->in_copy(catching->context);
	session_report(catching->session, NULL, &report, ignore_progress, NULL);
	symbol = opener_find(&report, catching->now.stack_id);
	if (symbol)
		opener_add(&place, symbol);
	result->done = true;
	snprintf(result->text, sizeof(result->text), "%s", words_text(&place));
}

static bool begin_naming(struct catching *catching)
{
	if (!catching->now.stack_id ||
	    errands_begin(&catching->errands, ++catching->naming, name_place, catching) < 0)
		return false;
	catching->until_ns = clock_now_ns() + NAMING_NS_MAX;
	return true;
}

/* ---- the sentence ---- */

static void add_what(struct words *line, const struct session_caught *caught)
{
	static const char *const kinds[] = {
	    [0] = "which is not open",
	    [BAD_DOUBLE_CLOSE] = "which was closed before",
	    [BAD_USE_AFTER_CLOSE] = "which was closed before",
	    [BAD_NEVER_OPENED] = "which was never seen open",
	};
	char call[CALL_NAME_BYTES];

	words_addf(line, "process %d, ", caught->pid);
	if (caught->tid != caught->pid)
		words_addf(line, "thread %d, ", caught->tid);
	words_addf(line, "%s of handle %d, ", name_of_call(caught->call, call), caught->number);
	words_add(line, caught->kind < sizeof(kinds) / sizeof(*kinds) && kinds[caught->kind]
			    ? kinds[caught->kind]
			    : kinds[0]);
}

static void add_how_to_go_on(struct words *line, const struct catching *catching)
{
	const struct session_caught *caught = &catching->now;

	words_addf(line, "; it is stopped there: gdb -p %d", caught->pid);
	if (caught->tid != caught->pid)
		words_addf(line, " (thread find %d)", caught->tid);
	words_addf(line, " shows it, kill -CONT %d lets it go on", caught->pid);
	if (session_holds_targets(catching->session))
		words_add(line, "; tracing of it has ended, for no debugger could come in");
}

static void say(struct catching *catching, const char *place)
{
	_cleanup_(words_fini) struct words line = {0};

	add_what(&line, &catching->now);
	if (*place)
		words_addf(&line, ", in %s", place);
	if (catching->signal == SIGSTOP)
		add_how_to_go_on(&line, catching);
	else
		words_addf(&line, "; it was sent SIG%s", sigabbrev_np(catching->signal) ?: "?");
	catching->until_ns = 0;
	free(catching->last.text);
	catching->last.caught = catching->now;
	catching->last.text = xstrdup(words_text(&line));
	catching->say(catching->context, words_text(&line));
}

static void say_dropped(const struct catching *catching)
{
	_cleanup_(words_fini) struct words line = {0};

	words_add_counted(&line, catching->dropped, "more bad reference was",
			  "more bad references were");
	words_addf(&line,
		   " answered with SIG%s, at the same places or too many at once to be told each",
		   sigabbrev_np(catching->signal) ?: "?");
	catching->say(catching->context, words_text(&line));
}

/* ---- steps ---- */

/* One that comes late has been told without. */
static void named(void *context, uint64_t id, const struct errand_result *result)
{
	struct catching *catching = context;

	if (catching->until_ns && id == catching->naming)
		say(catching, result->done ? result->text : "");
}

/* Whether the one that was being named is told. */
static bool step_naming(struct catching *catching)
{
	errands_step(&catching->errands, named, catching);
	if (catching->until_ns && clock_now_ns() >= catching->until_ns)
		say(catching, "");
	return !catching->until_ns;
}

void catching_step(struct catching *catching)
{
	uint64_t dropped;

	if (!catching->signal)
		return;
	while (step_naming(catching)) {
		bool any = session_next_caught(catching->session, &catching->now, &dropped);

		catching->dropped += dropped;
		if (!any)
			return;
		catching->latest_ns = catching->now.time_ns;
		if (!begin_naming(catching))
			say(catching, "");
	}
}

void catching_end(struct catching *catching)
{
	catching_step(catching);
	for (int i = 0; catching->until_ns && i < LAST_STEPS_MAX; i++) {
		poll(NULL, 0, LAST_STEP_MS);
		catching_step(catching);
	}
	errands_end(&catching->errands, 0, named, catching);
	if (catching->dropped)
		say_dropped(catching);
	free(catching->last.text);
	catching->last.text = NULL;
}

void catching_say_error(void *context, const char *text)
{
	(void)context;
	fprintf(stderr, "htrace: %s\n", text);
}

bool catching_stands_still(const struct catching *catching)
{
	struct procfs_status status;

	return catching->last.text && catching->signal == SIGSTOP &&
	       procfs_status(catching->last.caught.pid, &status, NULL) == 0 && status.stopped;
}
