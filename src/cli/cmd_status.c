/* htrace status: the sessions of this user, one after the other. */
#include "cli/commands.h"

#include "base/cleanup.h"
#include "session/client.h"
#include "session/socket_dir.h"

#include <stdlib.h>
#include <string.h>

/* What the session says; false: it has ended meanwhile, or says nothing. */
static bool ask(const char *name, bool json, struct answer *answer, struct error *error)
{
	char *words[] = {(char *)"status", (char *)(json ? "--format=json" : "--format=text"),
			 NULL};
	struct request request = {.words = words, .words_n = 2};
	struct client *client;
	int result = client_open(name, &client, error);

	if (result < 0)
		return false;
	result = client_call(client, &request, answer, NULL, NULL, error);
	client_close(client);
	return result == 0;
}

static bool is_wanted(const struct options *options, const char *name)
{
	char wanted[16];

	snprintf(wanted, sizeof(wanted), "%d", options->pid);
	return !options->pid || !strcmp(wanted, name);
}

static int print_sessions(const struct options *options, const struct session_names *names)
{
	bool json = options->format == &report_json;
	int printed = 0, status = EXIT_SUCCESS;

	if (json)
		printf("{\"schema\":\"htrace.status/1\",\"sessions\":[");
	for (size_t i = 0; i < names->names.count; i++) {
		struct error error = {0};
		struct answer answer;

		if (!is_wanted(options, names->names.data[i]))
			continue;
		if (!ask(names->names.data[i], json, &answer, &error)) {
			fprintf(stderr, "htrace: %s\n", error.message);
			status = EXIT_HTRACE_FAILED;
			continue;
		}
		printf("%s%s", json && printed ? "," : "", answer.output);
		printed++;
		answer_fini(&answer);
	}
	if (json)
		printf("]}\n");
	else if (!printed && status == EXIT_SUCCESS)
		puts(options->pid ? "No session traces this process."
				  : "No session: htrace enable -p PID starts one.");
	return status;
}

int command_status(const struct options *options, int argc, char **argv)
{
	struct session_names names = {0};
	struct error error = {0};
	int status;

	if (argc > 0) {
		fprintf(stderr, "htrace: status takes no words: htrace status [-p PID]\n");
		return EXIT_USAGE;
	}
	if (socket_dir_list(&names, &error) < 0) {
		fprintf(stderr, "htrace: %s\n", error.message);
		return EXIT_HTRACE_FAILED;
	}
	status = print_sessions(options, &names);
	session_names_fini(&names);
	return status;
}
