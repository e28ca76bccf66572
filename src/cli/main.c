/* Finds the verb and its options; everything else is the verb's. */
#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/host.h"
#include "cli/options.h"

#include "base/cleanup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct verb verbs[] = {
    {"run", "run [OPTIONS] [--] PROGRAM [ARG...]",
     "trace a program from its start; report when it ends", VERB_RUN, .run = command_run},
    {"attach", "attach [OPTIONS] -p PID",
     "trace a running process: on a terminal the console; else report after --duration or SIGINT",
     VERB_ATTACH, .run = command_attach},
    {"enable", "enable [OPTIONS] -p PID|-a [MAX_TRACES]",
     "start tracing in the background; takes the first snapshot", VERB_ENABLE,
     .run = command_enable},
    {"snapshot", "snapshot [-p PID] [NAME]",
     "the handles open now become the state that diff compares with", VERB_SNAPSHOT,
     .serve = serve_snapshot},
    {"diff", "diff [-p PID] [NAME [NAME2]]",
     "handles opened since the snapshot and still open, with their stacks", VERB_DIFF,
     .serve = serve_diff, .reads = true},
    {"show", "show [-p PID] [HANDLE [MAX_TRACES]]",
     "OPEN, CLOSE and BAD REFERENCE traces of one handle, or of all (0 or none)", VERB_SHOW,
     .serve = serve_show, .reads = true},
    {"handles", "handles [-p PID] [HANDLE]", "the open handles and what is known of each",
     VERB_HANDLES, .serve = serve_handles, .reads = true},
    {"processes", "processes", "the processes of a session by handles opened and not closed",
     VERB_PROCESSES, .serve = serve_processes, .reads = true},
    {"status", "status [-p PID]", "sessions: target, collector, events, losses, memory",
     VERB_STATUS, .run = command_status, .serve = serve_status},
    {"disable", "disable [-p PID]", "stop tracing; the target runs on", VERB_DISABLE,
     .serve = serve_disable},
    {"help", "help [VERB]", "what htrace does, or how a verb is used", VERB_HELP,
     .run = command_help},
    {.name = NULL},
};

const struct verb *verb_find(const char *name)
{
	for (const struct verb *verb = verbs; verb->name; verb++)
		if (!strcmp(verb->name, name))
			return verb;
	return NULL;
}

static int unknown_verb(const char *word)
{
	const char *names[16] = {0};
	const char *nearest;
	size_t n = 0;

	for (const struct verb *verb = verbs; verb->name; verb++)
		names[n++] = verb->name;
	nearest = options_nearest(word, names);
	if (nearest)
		fprintf(stderr, "htrace: unknown verb '%s': did you mean %s?\n", word, nearest);
	else
		fprintf(stderr, "htrace: unknown verb '%s': htrace help lists them\n", word);
	return EXIT_USAGE;
}

/* "--help" and "-h" among a verb's own options (before "--" and the program). */
static bool asks_help(int argc, char **argv)
{
	return argc > 0 && (!strcmp(argv[0], "--help") || !strcmp(argv[0], "-h"));
}

/* Verbs that a session answers are sent there as they are; others take words behind options. */
static int run_verb(const struct verb *verb, int argc, char **argv)
{
	struct options options;
	struct error error;
	int used, status;

	if (!verb->run)
		return ask_session(verb, argc, argv);
	if (verb->bit == VERB_HELP)
		return verb->run(NULL, argc, argv);
	used = options_parse(verb, argc, argv, &options, &error);
	if (used < 0) {
		fprintf(stderr, "htrace: %s\n", error.message);
		return EXIT_USAGE;
	}
	status = verb->run(&options, argc - used, argv + used);
	options_fini(&options);
	return status;
}

int main(int argc, char **argv)
{
	_cleanup_(free) char **words = NULL;
	const struct verb *verb;
	int words_n;

	if (argc < 2) {
		command_help(NULL, 0, NULL);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		puts("htrace " HTRACE_VERSION);
		return EXIT_SUCCESS;
	}
	if (asks_help(argc - 1, argv + 1))
		return command_help(NULL, 0, NULL);
	words = verb_spell(argc - 1, argv + 1, &words_n);
	verb = verb_find(words[0]);
	if (!verb)
		return unknown_verb(argv[1]);
	if (asks_help(words_n - 1, words + 1))
		return command_help(NULL, 1, words);
	return run_verb(verb, words_n - 1, words + 1);
}
