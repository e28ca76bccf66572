/*
 * ONE table of verbs and one of options: the shell, the help texts, the man page and the shell
 * completions all come from them.
 */
#ifndef HTRACE_CLI_COMMANDS_H
#define HTRACE_CLI_COMMANDS_H

#include "base/error.h"
#include "report/report.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* As env(1) and timeout(1) do. */
enum exit_status {
	EXIT_USAGE = 2,
	EXIT_HTRACE_FAILED = 125,
	EXIT_NOT_EXECUTABLE = 126,
	EXIT_NOT_FOUND = 127,
};

struct options {
	const char *collector;
	const struct report_format *format;
	const char *output; /* NULL: the verb's own stream */
	uint32_t traces_max;
	uint64_t duration_ns; /* 0: without end */
	bool no_children;
	int error_exitcode;  /* -1: not given */
	uint32_t ring_bytes; /* $HTRACE_RING_BYTES; 0: not given */
	pid_t pid;           /* 0: not given */
};

enum verb_bit { VERB_RUN = 1, VERB_ATTACH = 2, VERB_HELP = 4 };

struct option_row {
	const char *name;     /* with its dashes */
	const char *argument; /* NULL: takes none */
	const char *choices;  /* "a|b|c", or NULL */
	unsigned verbs;       /* enum verb_bit */
	const char *help;
	int (*set)(struct options *options, const char *value, struct error *error);
};

struct verb {
	const char *name;
	const char *synopsis;
	const char *help;
	unsigned bit;
	/* `argv` is what follows the options; returns the exit status. */
	int (*run)(const struct options *options, int argc, char **argv);
};

extern const struct option_row option_rows[]; /* ends with a NULL name */
extern const struct verb verbs[];             /* ends with a NULL name */

const struct verb *verb_find(const char *name);

int command_run(const struct options *options, int argc, char **argv);
int command_attach(const struct options *options, int argc, char **argv);
int command_help(const struct options *options, int argc, char **argv);

#endif
