/* Owns the table of options: what each is called, who takes it, and what its value sets. */
#include "cli/options.h"

#include "cli/options_filter.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* What a session is asked. */
enum {
	VERB_TELLS = VERB_RUN | VERB_ATTACH | VERB_DIFF | VERB_SHOW | VERB_HANDLES | VERB_PROCESSES,
	VERB_ASKS = VERB_SNAPSHOT | VERB_DIFF | VERB_SHOW | VERB_HANDLES | VERB_PROCESSES |
		    VERB_STATUS | VERB_DISABLE,
};

static const uint64_t EVERY_NS_MIN = 100000000ull;

static int set_collector(struct options *options, const char *value, struct error *error)
{
	options->collector = value;
	return 0;
}

static int set_format(struct options *options, const char *value, struct error *error)
{
	for (size_t i = 0; report_formats[i]; i++)
		if (!strcmp(report_formats[i]->name, value))
			options->format = report_formats[i];
	return 0;
}

static int set_sort(struct options *options, const char *value, struct error *error)
{
	options->sort = !strcmp(value, "open")   ? SORT_OPEN
			: !strcmp(value, "cost") ? SORT_COST
						 : SORT_AGE;
	return 0;
}

static int set_output(struct options *options, const char *value, struct error *error)
{
	options->output = value;
	return 0;
}

static int set_max_traces(struct options *options, const char *value, struct error *error)
{
	unsigned long long number;

	if (!number_parse(value, TRACES_MAX_MOST, &number))
		return error_set(error, -EINVAL,
				 "--max-traces needs a number from 0 to 100000000, not '%s'",
				 value);
	options->traces_max = number;
	return 0;
}

static int set_duration(struct options *options, const char *value, struct error *error)
{
	if (!options_parse_duration(value, &options->duration_ns))
		return error_set(error, -EINVAL,
				 "--duration needs a time like 30s, 500ms, 2m or 1h, not '%s'",
				 value);
	return 0;
}

static int set_linger(struct options *options, const char *value, struct error *error)
{
	if (!options_parse_duration(value, &options->linger_ns))
		return error_set(error, -EINVAL,
				 "--linger needs a time like 30s, 2m or 1h, not '%s'", value);
	return 0;
}

static int set_await(struct options *options, const char *value, struct error *error)
{
	options->awaited = value;
	return 0;
}

static int set_by_debugger(struct options *options, const char *value, struct error *error)
{
	options->by_debugger = true;
	return 0;
}

static int set_all(struct options *options, const char *value, struct error *error)
{
	options->all = true;
	return 0;
}

static int set_cgroup(struct options *options, const char *value, struct error *error)
{
	options->cgroup = value;
	options->all = true;
	return 0;
}

static int set_no_children(struct options *options, const char *value, struct error *error)
{
	options->no_children = true;
	return 0;
}

/* "SIGABRT" or "ABRT"; 0: it is no signal's name. */
static int signal_number(const char *name)
{
	const char *bare = strncmp(name, "SIG", 3) ? name : name + 3;

	for (int number = 1; number < NSIG; number++) {
		const char *known = sigabbrev_np(number);

		if (known && !strcmp(known, bare))
			return number;
	}
	return 0;
}

static int set_on_bad_reference(struct options *options, const char *value, struct error *error)
{
	static const char prefix[] = "signal:";

	options->bad_reference_signal = 0;
	if (!strcmp(value, "report"))
		return 0;
	if (!strcmp(value, "stop")) {
		options->bad_reference_signal = SIGSTOP;
		return 0;
	}
	if (strncmp(value, prefix, strlen(prefix)))
		return error_set(error, -EINVAL,
				 "--on-bad-reference cannot be '%s': it is one of report, stop, "
				 "signal:SIGNAME",
				 value);
	options->bad_reference_signal = signal_number(value + strlen(prefix));
	if (!options->bad_reference_signal)
		return error_set(error, -EINVAL,
				 "--on-bad-reference=signal: needs a signal's name like SIGABRT or "
				 "SIGUSR1 (kill -l lists them), not '%s'",
				 value + strlen(prefix));
	/* By bpf's it would move the program counter. */
	if (options->bad_reference_signal == SIGTRAP)
		return error_set(error, -EINVAL,
				 "--on-bad-reference=signal:SIGTRAP: a debugger takes that for a "
				 "breakpoint of its own; SIGINT stops in it just so, and is not "
				 "passed on to the program");
	return 0;
}

static int set_error_exitcode(struct options *options, const char *value, struct error *error)
{
	unsigned long long number;

	if (!number_parse(value, 255, &number))
		return error_set(error, -EINVAL,
				 "--error-exitcode needs a number from 0 to 255, not '%s'", value);
	options->error_exitcode = number;
	return 0;
}

static int set_pid(struct options *options, const char *value, struct error *error)
{
	unsigned long long number;

	if (!number_parse(value, INT_MAX, &number) || !number)
		return error_set(error, -EINVAL, "-p needs a process id, not '%s'", value);
	options->pid = number;
	return 0;
}

static int set_trigger(struct options *options, const char *value, struct error *error)
{
	if (options->triggers_n == TRIGGERS_MAX)
		return error_set(error, -EINVAL, "--trigger can be given %d times at most",
				 TRIGGERS_MAX);
	if (!trigger_parse(value, &options->triggers[options->triggers_n]))
		return error_set(error, -EINVAL,
				 "--trigger needs emfile, open>N or growth>N/min (also /s, /h), "
				 "not '%s'",
				 value);
	options->triggers_n++;
	return 0;
}

static int set_trigger_output(struct options *options, const char *value, struct error *error)
{
	for (const char *percent = strchr(value, '%'); percent; percent = strchr(percent + 2, '%'))
		if (!percent[1] || !strchr("pnt%", percent[1]))
			return error_set(error, -EINVAL,
					 "--trigger-output knows %%p (pid), %%n (sequence), %%t "
					 "(time) and %%%%, not '%%%.1s'",
					 percent + 1);
	options->trigger_output = value;
	return 0;
}

static int set_trigger_quiet(struct options *options, const char *value, struct error *error)
{
	if (!options_parse_duration(value, &options->trigger_quiet_ns))
		return error_set(error, -EINVAL,
				 "--trigger-quiet needs a time like 500ms, 30s or 10m, not '%s'",
				 value);
	return 0;
}

static int set_every(struct options *options, const char *value, struct error *error)
{
	if (!options_parse_duration(value, &options->every_ns) || options->every_ns < EVERY_NS_MIN)
		return error_set(error, -EINVAL,
				 "--every needs a time of 100ms or more, like 1s, 30s or 10m, not "
				 "'%s'",
				 value);
	return 0;
}

const struct option_row option_rows[] = {
    {"-p", "PID", NULL, VERB_ATTACH | VERB_ENABLE | VERB_ASKS | OPTION_OWN,
     "the process to trace, or that is traced", set_pid},
    {"--collector", "NAME", "auto|bpf|agent|ptrace", VERB_RUN | VERB_ATTACH | VERB_ENABLE,
     "how events are collected; auto: bpf where it is permitted, else agent where it works, else "
     "ptrace",
     set_collector},
    {"--format", "NAME", "text|windbg|json", VERB_RUN | VERB_ATTACH | VERB_ENABLE | VERB_ASKS,
     "how the report is written", set_format},
    {"-o", "FILE", NULL, VERB_RUN | VERB_ATTACH | VERB_ASKS | OPTION_OWN,
     "write the report to FILE (if that fails: to the terminal)", set_output},
    {"--sort", "NAME", "open|cost|age", VERB_RUN | VERB_ATTACH | VERB_DIFF | VERB_HANDLES,
     "order by how many are open, by what they hold of memory and disk, or the oldest first",
     set_sort},
    {"--max-traces", "N", NULL, VERB_RUN | VERB_ATTACH | VERB_ENABLE,
     "keep the last N open, close and bad-reference traces (default 4096)", set_max_traces},
    {"--duration", "DURATION", NULL, VERB_ATTACH,
     "stop and report after this time: 30s, 500ms, 2m, 1h", set_duration},
    {"-a", NULL, NULL, VERB_ENABLE, "trace every process of the machine (bpf)", set_all},
    {"--all", NULL, NULL, VERB_ENABLE, "the same as -a", set_all},
    {"--cgroup", "PATH", NULL, VERB_ENABLE,
     "trace every process of this cgroup and those below it (bpf)", set_cgroup},
    {"--linger", "DURATION", NULL, VERB_ENABLE,
     "keep what was recorded so long after the target has ended (default 10m)", set_linger},
    {"--await", "PROGRAM", NULL, VERB_ENABLE,
     "wait for PROGRAM, which a debugger or somebody else starts with the variables that are "
     "printed",
     set_await},
    {"--by-debugger", NULL, NULL, VERB_ENABLE,
     "print, for the debugger that holds the process, what lets the agent in (its script asks)",
     set_by_debugger},
    {"--no-children", NULL, NULL, VERB_RUN | VERB_ATTACH | VERB_ENABLE,
     "do not follow the processes that the target starts", set_no_children},
    {"--on-bad-reference", "ACTION", NULL, VERB_RUN | VERB_ATTACH | VERB_ENABLE,
     "report (the default), stop: leave the process stopped there for a debugger, or "
     "signal:SIGNAME: send the thread that signal",
     set_on_bad_reference},
    {"--every", "DURATION", NULL, VERB_RUN | VERB_ATTACH | VERB_ENABLE,
     "take snapshots by itself; the report shows what was open at each", set_every},
    {"--trigger", "CONDITION", NULL, VERB_RUN | VERB_ATTACH | VERB_ENABLE,
     "write a report the moment this holds for a process: emfile, open>N, growth>N/min (several "
     "may be given)",
     set_trigger},
    {"--trigger-output", "PATTERN", NULL, VERB_RUN | VERB_ATTACH | VERB_ENABLE,
     "where to: %p pid, %n sequence, %t time (default htrace-%p-%n.txt)", set_trigger_output},
    {"--trigger-quiet", "DURATION", NULL, VERB_RUN | VERB_ATTACH | VERB_ENABLE,
     "write another one only after it has not held so long (default 1m)", set_trigger_quiet},
    {"--error-exitcode", "N", NULL, VERB_RUN,
     "exit with N when leaks are found (otherwise with the program's own status)",
     set_error_exitcode},
    {"--cloexec", NULL, NULL, VERB_RUN | VERB_ATTACH | VERB_DIFF,
     "list what executed programs received for want of close-on-exec, with the opening places",
     cloexec_set},
    {"--cloexec-all", NULL, NULL, VERB_RUN | VERB_ATTACH | VERB_DIFF,
     "the same, standard input, output and error included", cloexec_set_all},
    {"--type", "TYPE[,TYPE]", NULL, VERB_TELLS,
     "show handles of these types only; socket: of all kinds of sockets", filter_set_type},
    {"--name", "GLOB", NULL, VERB_TELLS,
     "show handles with such a name only: '/var/log/*', '*.log'", filter_set_name},
    {"--stack", "REGEX", NULL, VERB_TELLS,
     "show only what has a frame like this: FUNCTION MODULE FILE:LINE", filter_set_stack},
    {"--not-stack", "REGEX", NULL, VERB_TELLS, "hide what has a frame like this",
     filter_set_not_stack},
    {"--min-age", "DURATION", NULL, VERB_TELLS, "show handles that have been open so long only",
     filter_set_age},
    {"--top", "N", NULL, VERB_TELLS,
     "show the N places that matter most (show: traces, processes: processes)", filter_set_n},
    {NULL, NULL, NULL, 0, NULL, NULL},
};
