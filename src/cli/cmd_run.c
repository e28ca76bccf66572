/* htrace run: a program from its start to its end; exits as it did. */
#include "cli/commands.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/caught.h"
#include "cli/notices.h"
#include "cli/output.h"
#include "cli/signals.h"
#include "session/session.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

enum {
	STEP_MS = 100,
	SAY_WAITING_NS = 1000 * 1000 * 1000,
	STOP_WAIT_NS = 200 * 1000 * 1000,
	CONTINUE_WAIT_NS = 500 * 1000 * 1000,
	LET_GO_STEP_NS = 20 * 1000 * 1000,
};

/* The program's last stop by job control: when it was seen, from when until when we stood still
 * with it. 0: none. */
struct stop {
	uint64_t seen_ns, begun_ns, continued_ns;
};

/* The file that execvp would take, owned by the caller; NULL with *code set. */
static char *find_program(const char *name, int *code)
{
	const char *path = getenv("PATH") ?: "/usr/local/bin:/bin:/usr/bin";

	*code = -ENOENT;
	if (strchr(name, '/'))
		return xstrdup(name);
	while (*name) {
		size_t length = strcspn(path, ":");
		char *candidate = length ? xasprintf("%.*s/%s", (int)length, path, name)
					 : xasprintf("./%s", name);
		struct stat status;

		if (stat(candidate, &status) == 0 && S_ISREG(status.st_mode)) {
			if (access(candidate, X_OK) == 0)
				return candidate;
			*code = -EACCES;
		}
		free(candidate);
		if (!path[length])
			break;
		path += length + 1;
	}
	return NULL;
}

static int start_failed(const char *name, int code, const struct error *error)
{
	if (code == -ENOENT) {
		fprintf(stderr, "htrace: program not found: %s\n", name);
		return EXIT_NOT_FOUND;
	}
	if (code == -EACCES) {
		fprintf(stderr, "htrace: not executable: %s\n", name);
		return EXIT_NOT_EXECUTABLE;
	}
	fprintf(stderr, "htrace: %s\n", error->message);
	return EXIT_HTRACE_FAILED;
}

/* As execvp: a file without a known header is a shell script. */
static int start(struct session *session, const char *path, char **argv, int argc,
		 struct error *error)
{
	extern char **environ;
	struct spawn spawn = {path, argv, environ};
	int result = session_run(session, &spawn, error);

	if (result == -ENOEXEC && strncmp(error->message, "cannot run", 10) == 0) {
		_cleanup_(free) char **script = xcalloc(argc + 2, sizeof(*script));

		script[0] = "/bin/sh";
		script[1] = (char *)path;
		memcpy(script + 2, argv + 1, argc * sizeof(*argv));
		spawn.path = "/bin/sh";
		spawn.argv = script;
		result = session_run(session, &spawn, error);
	}
	return result;
}

/*
 * The terminal signals the whole foreground group, so the program has had that one itself. Once the
 * program has ended and only what it started is left (a daemon), a signal is meant for htrace.
 * Returns false when tracing is to end.
 */
static bool pass_on_signals(const struct session *session)
{
	bool from_terminal;
	int signal, status;

	while ((signal = signals_next(&from_terminal))) {
		if (session_child_ended(session, &status))
			return false;
		if (!from_terminal)
			kill(session_child(session), signal);
	}
	return true;
}

/* Says once why htrace is still here; `since_ns` is when it was first seen to have to. */
static void say_waiting(const struct session *session, uint64_t *since_ns)
{
	uint64_t now_ns = clock_now_ns();
	int status;

	if (*since_ns == UINT64_MAX || !session_child_ended(session, &status))
		return;
	if (!*since_ns)
		*since_ns = now_ns;
	if (now_ns - *since_ns < SAY_WAITING_NS)
		return;
	*since_ns = UINT64_MAX;
	if (isatty(STDERR_FILENO))
		fprintf(
		    stderr,
		    "htrace: the program has ended, processes that it started are still traced; "
		    "Ctrl-C ends tracing and prints the report\n");
}

static int report(const struct options *options, struct session *session, uint64_t *leaks)
{
	struct report report;
	int result;

	session_report(session, NULL, &report, output_progress, NULL);
	output_choose(options, &report);
	*leaks = report_leaks(&report);
	result = output_report(options, &report, stderr);
	report_fini(&report);
	return result;
}

/*
 * ^Z signals the whole foreground group. Whether it stops is the program's decision, and only if it
 * does shall the shell see a stop: ours, for we are its child. Until then the program may need us
 * to serve it; what else is traced gets a moment to stop as well.
 */
static void follow_stop(const struct session *session, const struct catching *catching,
			struct stop *stop)
{
	bool all = false, stopped = false;

	/* It went on, perhaps before we did, and was stopped again by a bad reference: to stay so.
	 */
	if (catching->latest_ns > stop->begun_ns)
		stop->continued_ns = 0;
	if (!signals_stop_asked() && !stop->continued_ns)
		return;
	stopped = session_child_stopped(session, &all);
	if (!stopped) {
		*stop = (struct stop){0};
	} else if (!signals_stop_asked()) {
		/* The program did not get the SIGCONT that we got. */
		if (clock_now_ns() - stop->continued_ns < CONTINUE_WAIT_NS)
			return;
		kill(session_child(session), SIGCONT);
		*stop = (struct stop){0};
	} else {
		if (!stop->seen_ns)
			stop->seen_ns = clock_now_ns();
		if (!all && clock_now_ns() - stop->seen_ns < STOP_WAIT_NS)
			return;
		*stop = (struct stop){.begun_ns = clock_now_ns()};
		signals_stop();
		stop->continued_ns = clock_now_ns();
	}
}

/* A program that was let go for a debugger, and goes on without us. False: it is not ours. */
static bool wait_for_child(const struct session *session, int *status)
{
	pid_t pid = session_child(session), got;

	while ((got = waitpid(pid, status, WNOHANG)) == 0 || (got < 0 && errno == EINTR)) {
		pass_on_signals(session);
		nanosleep(&(struct timespec){.tv_nsec = LET_GO_STEP_NS}, NULL);
	}
	return got == pid;
}

static int trace(const struct options *options, struct session *session)
{
	struct catching catching = {
	    .session = session, .signal = options->bad_reference_signal, .say = catching_say_error};
	_cleanup_(notices_fini) struct notices notices = {.speaks = true};
	struct stop stop = {0};
	struct error error = {0};
	uint64_t leaks = 0, said_ns = 0;
	int result = 0, status = 0;
	bool over = false;

	notices_begin(&notices, options, session);
	while (!over && pass_on_signals(session)) {
		follow_stop(session, &catching, &stop);
		result = session_step(session, STEP_MS, &error);
		catching_step(&catching);
		notices_step(&notices);
		over = result == -ECHILD;
		if (result < 0 && result != -EINTR && !over) {
			fprintf(stderr, "htrace: %s\n", error.message);
			break;
		}
		say_waiting(session, &said_ns);
	}
	catching_end(&catching);
	session_reconcile(session);
	session_stop(session);
	notices_end(&notices);
	output_say_complaint(session_complaint(session));
	signals_release_stops();
	result = report(options, session, &leaks);
	session_outlive_targets(session);
	if (result < 0)
		return EXIT_HTRACE_FAILED;
	if (!session_child_ended(session, &status) && !(over && wait_for_child(session, &status)))
		return EXIT_HTRACE_FAILED;
	if (leaks && options->error_exitcode >= 0)
		return options->error_exitcode;
	if (WIFSIGNALED(status))
		return -WTERMSIG(status);
	return WEXITSTATUS(status);
}

int command_run(const struct options *options, int argc, char **argv)
{
	struct session_options session_options = {
	    .collector = options->collector,
	    .follow_children = !options->no_children,
	    .traces_max = options->traces_max,
	    .ring_bytes = options->ring_bytes,
	    .bad_reference_signal = options->bad_reference_signal,
	    .every_ns = options->every_ns,
	};
	_cleanup_(free) char *path = NULL;
	struct error error = {0};
	struct session *session;
	int result;

	if (argc < 1) {
		fprintf(stderr, "htrace: run needs a program: htrace run [OPTIONS] [--] PROGRAM\n");
		return EXIT_USAGE;
	}
	path = find_program(argv[0], &result);
	if (!path)
		return start_failed(argv[0], result, &error);
	output_check(options);
	session_options.program = path;
	if (session_new(&session_options, &session, &error) < 0) {
		fprintf(stderr, "htrace: %s\n", error.message);
		return EXIT_HTRACE_FAILED;
	}
	output_say_fallback(session_collector(session), session_fallback_reason(session));
	signals_catch();
	signals_catch_stops();
	result = start(session, path, argv, argc, &error);
	result = result ? start_failed(argv[0], result, &error) : trace(options, session);
	session_free(session);
	if (result < 0)
		signals_die(-result);
	return result;
}
