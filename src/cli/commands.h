/*
 * ONE table of verbs and one of options: the shell, the help texts, the man page and the shell
 * completions all come from them.
 */
#ifndef HTRACE_CLI_COMMANDS_H
#define HTRACE_CLI_COMMANDS_H

#include "base/error.h"
#include "report/report.h"
#include "session/trigger.h"

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

enum { TRACES_MAX_MOST = 100000000 }; /* that may be asked to be kept */

struct options {
	const char *collector;
	const struct report_format *format;
	const char *output; /* NULL: the verb's own stream */
	uint32_t traces_max;
	uint64_t duration_ns; /* 0: without end */
	bool no_children;
	int error_exitcode;       /* -1: not given */
	uint32_t ring_bytes;      /* $HTRACE_RING_BYTES; 0: not given */
	pid_t pid;                /* 0: not given */
	uint64_t linger_ns;       /* of a session whose target has ended */
	bool all;                 /* every process, */
	const char *cgroup;       /* of this cgroup; NULL: of the machine */
	bool by_debugger;         /* which holds the process, and lets the agent in */
	int bad_reference_signal; /* 0: bad references are only reported */
	struct trigger triggers[TRIGGERS_MAX];
	size_t triggers_n;
	const char *trigger_output; /* pattern of the files; NULL: the default one */
	uint64_t trigger_quiet_ns;  /* 0: not given */
	uint64_t every_ns;          /* between snapshots; 0: none are taken */
	const char *awaited; /* path of a program that somebody else will start; NULL: none */

	/* What reports tell. */
	struct filter *filter; /* NULL: all */
	enum report_cloexec cloexec;
	enum report_sort sort;
};

enum verb_bit {
	VERB_RUN = 1,
	VERB_ATTACH = 2,
	VERB_HELP = 4,
	VERB_ENABLE = 8,
	VERB_SNAPSHOT = 16,
	VERB_DIFF = 32,
	VERB_SHOW = 64,
	VERB_HANDLES = 128,
	VERB_STATUS = 256,
	VERB_DISABLE = 512,
	VERB_PROCESSES = 1024,
	OPTION_OWN = 1 << 30, /* the client of a session obeys it, and does not send it there */
};

struct option_row {
	const char *name;     /* with its dashes */
	const char *argument; /* NULL: takes none */
	const char *choices;  /* "a|b|c", or NULL */
	unsigned verbs;       /* enum verb_bit, OPTION_OWN */
	const char *help;
	int (*set)(struct options *options, const char *value, struct error *error);
};

struct host;
struct serving;

struct verb {
	const char *name;
	const char *synopsis;
	const char *help;
	unsigned bit;
	/* `argv` is what follows the options; returns the exit status. NULL: a session is asked. */
	int (*run)(const struct options *options, int argc, char **argv);
	/* The same in a session (cli/host.h); NULL: no session answers it. */
	int (*serve)(struct serving *serving, const struct options *options, int argc, char **argv);
	/* It changes nothing: a forked child of the session answers. */
	bool reads;
};

extern const struct option_row option_rows[]; /* ends with a NULL name */
extern const struct verb verbs[];             /* ends with a NULL name */

const struct verb *verb_find(const char *name);

/*
 * What was typed as the table spells it: "-diff" becomes "diff", "-?" "help", and "0x7cc [PROCESS]
 * [MAX]" "show ...", as debuggers have it. Borrows the words; the array is the caller's.
 */
char **verb_spell(int argc, char **argv, int *out_argc);

int command_run(const struct options *options, int argc, char **argv);
int command_attach(const struct options *options, int argc, char **argv);
int command_help(const struct options *options, int argc, char **argv);
int command_enable(const struct options *options, int argc, char **argv);
/* Starts a session on `pid` in a process of its own; what goes wrong is told. `attended`: it ends
 * with the console that is about to come (cli/console.h). Exit status. */
int command_start_session(const struct options *options, pid_t pid, bool attended);
/* Ends the session `name` if its target has ended: the name is wanted for another one. */
bool command_give_way(const char *name);
int command_status(const struct options *options, int argc, char **argv);

#endif
