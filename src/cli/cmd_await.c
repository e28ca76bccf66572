/*
 * htrace enable --await: a session for a program that somebody else will start, a debugger mostly.
 * Owns what that one is told, and what becomes of the session when the program comes.
 */
#include "cli/await.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "cli/host_private.h"
#include "session/socket_dir.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int write_lines(const char *const *variables)
{
	for (; *variables; variables++)
		puts(*variables);
	return 0;
}

static int write_json(const char *const *variables)
{
	json_t *environment = json_object();
	json_t *object = json_pack("{s:s, s:i, s:o}", "schema", "htrace.await/1", "session_pid",
				   (int)getpid(), "environment", environment);
	int result = object ? 0 : -ENOMEM;

	for (; *variables; variables++) {
		const char *equals = strchr(*variables, '=');
		_cleanup_(free) char *name =
		    xasprintf("%.*s", (int)(equals - *variables), *variables);

		/* A path that is not UTF-8. */
		if (json_object_set_new(environment, name, json_string(equals + 1)))
			result = -EILSEQ;
	}
	if (!result && json_dumpf(object, stdout, JSON_COMPACT))
		result = -EIO;
	putchar('\n');
	json_decref(object);
	return result;
}

int await_begin(const struct options *options, struct session *session, struct error *error)
{
	const char *const *variables;
	int result = session_await(session, options->awaited, &variables, error);

	if (result)
		return result;
	result = options->format == &report_json ? write_json(variables) : write_lines(variables);
	if (fflush(stdout) && !result)
		result = -errno;
	return result ? error_set_errno(error, result, "cannot tell the variables") : 0;
}

int command_await(const struct options *given)
{
	struct options options = *given;
	/* The session's folder is another one. */
	_cleanup_(free) char *path = realpath(given->awaited, NULL);

	if (!path) {
		fprintf(stderr, "htrace: cannot find %s: --await needs a program's path (%s)\n",
			given->awaited, strerror(errno));
		return EXIT_NOT_FOUND;
	}
	options.awaited = path;
	return command_start_session(&options, 0, false);
}

void await_look(struct host *host)
{
	pid_t pid = host->options->awaited ? session_child(host->session) : 0;
	char name[sizeof(host->arrived_name)];
	int result;

	if (!pid)
		return;
	host->arrived = *host->options;
	host->arrived.awaited = NULL;
	host->arrived.pid = pid;
	snprintf(name, sizeof(name), "%d", pid);
	result = socket_dir_rename(host->options->name, name);
	if (result == -EADDRINUSE && command_give_way(name))
		result = socket_dir_rename(host->options->name, name);
	/* Else it goes on under the name that it had. */
	if (!result) {
		strcpy(host->arrived_name, name);
		host->arrived.name = host->arrived_name;
	}
	host->options = &host->arrived;
}
