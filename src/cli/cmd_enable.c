/*
 * htrace enable: starts a session in the background, and returns when tracing is on, or has failed:
 * the session's process says so through a pipe. What goes wrong until then it tells itself.
 */
#include "cli/await.h"
#include "cli/commands.h"

#include "base/cleanup.h"
#include "cli/host.h"
#include "cli/notices.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/signals.h"
#include "cli/targets.h"
#include "session/client.h"
#include "session/socket_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WHOLE_TRACES = 64 }; /* so many times more are kept of all processes */

/* A session whose target has ended gives way to one for the pid's next owner. */
bool command_give_way(const char *name)
{
	char *words[] = {(char *)HOST_GIVE_WAY, NULL};
	struct request request = {.words = words, .words_n = 1};
	struct client *client;
	struct answer answer = {0};
	bool given = false;

	if (client_open(name, &client, NULL) < 0)
		return false;
	if (client_call(client, &request, &answer, NULL, NULL, NULL) == 0) {
		given = answer.status == EXIT_SUCCESS;
		answer_fini(&answer);
	}
	client_close(client);
	return given;
}

static int listen_as(const char *name, pid_t pid, struct error *error)
{
	int fd = socket_dir_listen(name, error);

	if (fd == -EADDRINUSE && command_give_way(name))
		fd = socket_dir_listen(name, error);
	if (fd == -EADDRINUSE && !pid)
		error_set(
		    error, fd,
		    "all processes are traced by a session already: htrace processes asks it, "
		    "htrace disable ends it");
	else if (fd == -EADDRINUSE)
		error_set(error, fd,
			  "process %d is traced by a session already: htrace diff -p %d asks it, "
			  "htrace disable -p %d ends it",
			  pid, pid, pid);
	return fd;
}

static int start_session(const struct options *options, pid_t pid, struct session **session,
			 struct error *error)
{
	struct session_options session_options = {
	    .collector = options->collector,
	    .pid = pid,
	    .program = options->awaited,
	    .awaits = options->awaited,
	    .adopts = options->by_debugger,
	    .follow_children = !options->no_children,
	    .traces_max = options->traces_max,
	    .ring_bytes = options->ring_bytes,
	    .bad_reference_signal = options->bad_reference_signal,
	    .everything = options->all,
	    .cgroup = options->cgroup,
	    .every_ns = options->every_ns,
	};
	int result = session_new(&session_options, session, error);

	if (result < 0)
		return result;
	output_say_fallback(session_collector(*session), session_fallback_reason(*session));
	if (options->awaited)
		result = await_begin(options, *session, error);
	else if (options->by_debugger)
		result = adopt_begin(*session, pid, error);
	else if (options->all)
		result = session_attach_all(*session, error);
	else
		result = session_attach(*session, pid, error);
	if (result < 0)
		session_free(*session);
	return result;
}

/* Nothing of the shell that started us is kept open, but what messages go to. */
static void leave_terminal(int *pipe_end)
{
	int null = open("/dev/null", O_RDWR);

	setsid();
	signals_catch();
	if (null >= 0)
		dup2(null, STDIN_FILENO);
	if (*pipe_end != STDERR_FILENO + 1) {
		dup2(*pipe_end, STDERR_FILENO + 1);
		*pipe_end = STDERR_FILENO + 1;
	}
	close_range(STDERR_FILENO + 2, ~0u, 0);
	fcntl(*pipe_end, F_SETFD, FD_CLOEXEC);
	if (chdir("/") < 0)
		return; /* then its folder cannot be unmounted */
}

static void leave_messages(void)
{
	_cleanup_(close_fd) int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return;
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
}

static void tell(int pipe_end, uint8_t status)
{
	if (write(pipe_end, &status, 1) != 1)
		_exit(EXIT_HTRACE_FAILED); /* nobody waits: nobody would know of the session */
	close(pipe_end);
}

/* The session's process, until the end of the session. */
static int be_session(const struct options *options, pid_t pid, bool attended, int pipe_end)
{
	struct host_options host = {
	    .pid = pid,
	    .linger_ns = options->linger_ns,
	    .bad_reference_signal = options->bad_reference_signal,
	    .awaited = options->awaited,
	    .attended = attended,
	    .options = options,
	};
	struct session *session;
	struct error error = {0};
	char name[16];
	int result;

	leave_terminal(&pipe_end);
	snprintf(name, sizeof(name), "%d", pid ?: getpid());
	host.name = options->all ? SESSION_NAME_ALL : name;
	host.socket = listen_as(host.name, pid, &error);
	result = host.socket < 0 ? host.socket : start_session(options, pid, &session, &error);
	if (result < 0) {
		if (host.socket >= 0)
			socket_dir_remove(host.name);
		fprintf(stderr, "htrace: %s\n", error.message);
		tell(pipe_end, EXIT_HTRACE_FAILED);
		return EXIT_HTRACE_FAILED;
	}
	tell(pipe_end, EXIT_SUCCESS);
	leave_messages();
	host_run(&host, session);
	session_free(session);
	return EXIT_SUCCESS;
}

static int wait_for_session(int pipe_end, pid_t child)
{
	uint8_t status;
	ssize_t got;

	do
		got = read(pipe_end, &status, 1);
	while (got < 0 && errno == EINTR);
	if (got == 1)
		return status;
	waitpid(child, NULL, 0);
	fprintf(stderr, "htrace: the session's process died before tracing was on\n");
	return EXIT_HTRACE_FAILED;
}

int command_start_session(const struct options *given, pid_t pid, bool attended)
{
	/* The session's folder is another one. */
	_cleanup_(free) char *pattern = notices_pattern_dup(given);
	struct options options = *given;
	int ends[2], status;
	pid_t child;

	options.trigger_output = pattern;
	if (pipe2(ends, O_CLOEXEC) < 0 || (child = fork()) < 0) {
		fprintf(stderr, "htrace: cannot start the session's process: %s\n",
			strerror(errno));
		return EXIT_HTRACE_FAILED;
	}
	if (child == 0) {
		close(ends[0]);
		_exit(be_session(&options, pid, attended, ends[1]));
	}
	close(ends[1]);
	status = wait_for_session(ends[0], child);
	close(ends[0]);
	return status;
}

int command_enable(const struct options *given, int argc, char **argv)
{
	struct options options = *given;
	struct error error = {0};
	unsigned long long number;
	int status;

	if (argc > 1 || (argc == 1 && !number_parse(argv[0], TRACES_MAX_MOST, &number))) {
		fprintf(stderr,
			"htrace: enable takes one number, of traces to keep (at most %d): "
			"htrace enable -p PID [MAX_TRACES]\n",
			TRACES_MAX_MOST);
		return EXIT_USAGE;
	}
	/* A machine's traces fall out within seconds. */
	if (options.all && options.traces_max == SESSION_TRACES_MAX)
		options.traces_max *= WHOLE_TRACES;
	if (argc == 1)
		options.traces_max = number;
	if (options.all + !!options.awaited + !!options.pid > 1) {
		fprintf(stderr,
			"htrace: -p, --await, and -a, --all or --cgroup do not go together\n");
		return EXIT_USAGE;
	}
	if (options.all && !options.cgroup && options.bad_reference_signal) {
		fprintf(stderr,
			"htrace: --on-bad-reference with every process of the machine could stop "
			"any of them, your shell included: name a process (-p) or a --cgroup\n");
		return EXIT_USAGE;
	}
	if (options.awaited)
		return command_await(&options);
	if (options.format != &report_text && !options.triggers_n) {
		fprintf(
		    stderr,
		    "htrace: --format is for enable --await and for --trigger's reports only\n");
		return EXIT_USAGE;
	}
	if (!options.all && !options.pid && target_around_us(&options.pid, &error) < 0) {
		fprintf(stderr, "htrace: %s\n", error.message);
		return EXIT_USAGE;
	}
	if (!options.all && !options.pid) {
		fprintf(stderr, "htrace: enable needs a process: htrace enable -p PID\n");
		return EXIT_USAGE;
	}
	status = command_start_session(&options, options.pid, false);
	if (status == EXIT_SUCCESS && !options.by_debugger)
		puts("Handle tracing enabled.\n"
		     "Handle tracing information snapshot successfully taken.");
	return status;
}
