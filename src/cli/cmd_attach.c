/* htrace attach: a running process, until a time or a signal, or at the console; it runs on. */
#include "cli/commands.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/caught.h"
#include "cli/console.h"
#include "cli/notices.h"
#include "cli/output.h"
#include "cli/signals.h"
#include "os/procfs.h"
#include "session/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STEP_MS = 100 };

static void say_begin(const struct options *options, const struct session *session)
{
	if (!isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "htrace: tracing process %d with %s; %s ends it and prints the report\n",
		options->pid, session_collector(session),
		options->duration_ns ? "the duration or Ctrl-C" : "Ctrl-C");
}

/* Until the time is over, a signal came, or nothing is left to trace. */
static void trace(const struct options *options, struct session *session, struct notices *notices)
{
	uint64_t until = options->duration_ns ? clock_now_ns() + options->duration_ns : UINT64_MAX;
	struct catching catching = {
	    .session = session, .signal = options->bad_reference_signal, .say = catching_say_error};
	struct error error = {0};
	bool from_terminal, over = false;

	while (!over && !signals_next(&from_terminal)) {
		uint64_t now = clock_now_ns();
		int result;

		if (now >= until)
			break;
		result = session_step(
		    session,
		    until - now < STEP_MS * 1000000ull ? (until - now) / 1000000 + 1 : STEP_MS,
		    &error);
		catching_step(&catching);
		notices_step(notices);
		over = result < 0 && result != -EINTR;
		if (over && result != -ECHILD)
			fprintf(stderr, "htrace: %s\n", error.message);
	}
	catching_end(&catching);
}

/* Somebody sits there, and nothing says when to report. */
static bool wants_console(const struct options *options)
{
	return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && !options->duration_ns &&
	       !options->output && options->format == &report_text;
}

static int attach_console(const struct options *options)
{
	_cleanup_(free) char *exe = procfs_exe_dup(options->pid);
	const char *slash = exe ? strrchr(exe, '/') : NULL;
	_cleanup_(free) char *name = xasprintf("%d", options->pid);
	_cleanup_(free) char *target =
	    xasprintf("%s(%d)", slash ? slash + 1 : "process ", options->pid);
	int status = command_start_session(options, options->pid, true);

	return status == EXIT_SUCCESS ? console_run(name, target) : status;
}

int command_attach(const struct options *options, int argc, char **argv)
{
	struct session_options session_options = {
	    .collector = options->collector,
	    .pid = options->pid,
	    .follow_children = !options->no_children,
	    .traces_max = options->traces_max,
	    .ring_bytes = options->ring_bytes,
	    .bad_reference_signal = options->bad_reference_signal,
	    .every_ns = options->every_ns,
	};
	_cleanup_(notices_fini) struct notices notices = {.speaks = true};
	struct error error = {0};
	struct session *session;
	struct report report;
	int result;

	if (!options->pid || argc > 0) {
		fprintf(stderr,
			"htrace: attach needs one process: htrace attach [OPTIONS] -p PID\n");
		return EXIT_USAGE;
	}
	if (wants_console(options))
		return attach_console(options);
	output_check(options);
	result = session_new(&session_options, &session, &error);
	if (result < 0) {
		fprintf(stderr, "htrace: %s\n", error.message);
		return EXIT_HTRACE_FAILED;
	}
	output_say_fallback(session_collector(session), session_fallback_reason(session));
	signals_catch();
	if (session_holds_targets(session))
		signals_ignore_stops(); /* it would be the target that stands still */
	result = session_attach(session, options->pid, &error);
	if (result < 0) {
		fprintf(stderr, "htrace: %s\n", error.message);
		session_free(session);
		return EXIT_HTRACE_FAILED;
	}
	say_begin(options, session);
	notices_begin(&notices, options, session);
	trace(options, session, &notices);
	session_reconcile(session);
	session_stop(session);
	notices_end(&notices);
	output_say_complaint(session_complaint(session));
	session_report(session, NULL, &report, output_progress, NULL);
	output_choose(options, &report);
	result = output_report(options, &report, stdout);
	report_fini(&report);
	session_free(session);
	return result ? EXIT_HTRACE_FAILED : EXIT_SUCCESS;
}
