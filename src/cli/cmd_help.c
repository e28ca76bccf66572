/* Prints the tables of verbs and options, for people and (--table) for the documentation's build.
 */
#include "cli/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_options(const struct verb *verb)
{
	for (const struct option_row *row = option_rows; row->name; row++) {
		char left[64];

		if (!(row->verbs & verb->bit))
			continue;
		snprintf(left, sizeof(left), "%s%s%s", row->name,
			 !row->argument		 ? ""
			 : row->name[1] == '-' ? "="
						 : " ",
			 row->choices	 ?: row->argument ?: "");
		printf("  %-32s %s\n", left, row->help);
	}
}

static int help_verb(const char *name)
{
	const struct verb *verb = verb_find(name);

	if (!verb) {
		fprintf(stderr, "htrace: unknown verb '%s': htrace help lists them\n", name);
		return EXIT_USAGE;
	}
	printf("usage: htrace %s\n%s\n", verb->synopsis, verb->help);
	if (verb->bit != VERB_HELP) {
		printf("\noptions:\n");
		print_options(verb);
	}
	return EXIT_SUCCESS;
}

static void print_verb_bits(unsigned bits)
{
	const char *comma = "";

	for (const struct verb *verb = verbs; verb->name; verb++) {
		if (!(bits & verb->bit))
			continue;
		printf("%s%s", comma, verb->name);
		comma = ",";
	}
}

/* A line for each row, fields separated by tabs: the source of man page and completions. */
static int print_table(void)
{
	for (const struct verb *verb = verbs; verb->name; verb++)
		printf("verb\t%s\thtrace %s\t%s\n", verb->name, verb->synopsis, verb->help);
	for (const struct option_row *row = option_rows; row->name; row++) {
		printf("option\t");
		print_verb_bits(row->verbs);
		printf("\t%s\t%s\t%s\t", row->name, row->argument ?: "", row->help);
		for (const char *c = row->choices ?: ""; *c; c++)
			putchar(*c == '|' ? ',' : *c);
		putchar('\n');
	}
	return EXIT_SUCCESS;
}

int command_help(const struct options *options, int argc, char **argv)
{
	if (argc > 0 && !strcmp(argv[0], "--table"))
		return print_table();
	if (argc > 0)
		return help_verb(argv[0]);
	printf(
	    "htrace tells which code opens handles (file descriptors) and does not close them.\n\n"
	    "usage:\n");
	for (const struct verb *verb = verbs; verb->name; verb++)
		printf("  htrace %-42s %s\n", verb->synopsis, verb->help);
	printf("  htrace %-42s %s\n\nexamples:\n"
	       "  htrace run -- ./server --port 8080      which places leak until it ends?\n"
	       "  htrace attach -p 4242 --duration=60s    and in a process that runs already?\n"
	       "  htrace enable -p 4242; htrace diff      look again and again while it works\n\n"
	       "htrace help VERB lists the options of a verb.\n",
	       "--version", "print the version");
	return EXIT_SUCCESS;
}
