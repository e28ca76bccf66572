/*
 * The console without the rest of htrace, for test_console.py, which plays the session:
 * `console_alone NAME TARGET`. The verbs are only words here.
 */
#include "cli/commands.h"
#include "cli/console.h"

#include <stdio.h>
#include <string.h>

enum { READS = 1, CHANGES = 2 };

const struct verb verbs[] = {
    {.name = "run", .synopsis = "run PROGRAM", .help = "no session answers it", .bit = 4},
    {.name = "snapshot",
     .synopsis = "snapshot",
     .help = "a new state to compare with",
     .bit = CHANGES},
    {.name = "diff", .synopsis = "diff [OPTIONS]", .help = "what was opened since", .bit = READS},
    {.name = "show", .synopsis = "show [OPTIONS] [HANDLE]", .help = "traces", .bit = READS},
    {.name = "handles", .synopsis = "handles [OPTIONS]", .help = "open handles", .bit = READS},
    {.name = "status", .synopsis = "status", .help = "what is traced", .bit = CHANGES},
    {.name = "disable", .synopsis = "disable", .help = "stop tracing", .bit = CHANGES},
    {.name = NULL},
};

const struct option_row option_rows[] = {
    {.name = "-p", .argument = "PID", .verbs = READS | CHANGES, .help = "the process"},
    {.name = "--format",
     .argument = "NAME",
     .choices = "text|windbg|json",
     .verbs = READS,
     .help = "how"},
    {.name = "-o", .argument = "FILE", .verbs = READS, .help = "where to"},
    {.name = NULL},
};

const struct verb *verb_find(const char *name)
{
	for (const struct verb *verb = verbs; verb->name; verb++)
		if (!strcmp(verb->name, name))
			return verb;
	return NULL;
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: console_alone NAME TARGET\n");
		return EXIT_USAGE;
	}
	return console_run(argv[1], argv[2]);
}
