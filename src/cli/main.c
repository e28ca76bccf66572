/* Finds the verb and its options; everything else is the verb's. */
#include "cli/commands.h"
#include "cli/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct verb verbs[] = {
    {"run", "run [OPTIONS] [--] PROGRAM [ARG...]",
     "trace a program from its start; report when it ends", VERB_RUN, command_run},
    {"attach", "attach [OPTIONS] -p PID",
     "trace a running process until --duration or Ctrl-C, then report", VERB_ATTACH,
     command_attach},
    {"help", "help [VERB]", "what htrace does, or how a verb is used", VERB_HELP, command_help},
    {NULL, NULL, NULL, 0, NULL},
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

int main(int argc, char **argv)
{
	const struct verb *verb;
	struct options options;
	struct error error;
	int used;

	if (argc < 2) {
		command_help(NULL, 0, NULL);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		puts("htrace " HTRACE_VERSION);
		return EXIT_SUCCESS;
	}
	if (asks_help(argc - 1, argv + 1) || !strcmp(argv[1], "-?"))
		return command_help(NULL, 0, NULL);
	verb = verb_find(argv[1]);
	if (!verb)
		return unknown_verb(argv[1]);
	if (asks_help(argc - 2, argv + 2))
		return command_help(NULL, 1, argv + 1);
	if (verb->bit == VERB_HELP)
		return verb->run(NULL, argc - 2, argv + 2);
	used = options_parse(verb, argc - 2, argv + 2, &options, &error);
	if (used < 0) {
		fprintf(stderr, "htrace: %s\n", error.message);
		return EXIT_USAGE;
	}
	return verb->run(&options, argc - 2 - used, argv + 2 + used);
}
