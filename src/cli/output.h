/* Where a report goes: -o FILE, else the verb's own stream; never lost when that fails. */
#ifndef HTRACE_CLI_OUTPUT_H
#define HTRACE_CLI_OUTPUT_H

#include "cli/commands.h"

/* Leaves of the report what `options` ask for, with the details of its handles, in their order. */
void output_choose(const struct options *options, struct report *report);

/*
 * Writes the report as `options` say; `stream` is the verb's own. When FILE cannot be written, says
 * so and writes to `stream`. Returns 0, or a negative errno when even that failed.
 */
int output_report(const struct options *options, const struct report *report, FILE *stream);

/* The same for what a session has written. */
int output_bytes(const struct options *options, const char *bytes, size_t bytes_n, FILE *stream);

/* What the options say of the report: what it lists, what it hides. Before anybody counts its leaks
 * or writes it. */
void output_choose(const struct options *options, struct report *report);

/* How to write there: colour and width of a terminal, plain for a file (-o). */
struct report_style output_style(const struct options *options, FILE *stream);

/* Says early that FILE cannot be written, before an hour of tracing. */
void output_check(const struct options *options);

/* Says that `collector` had to be taken, and why; nothing where `reason` is NULL. */
void output_say_fallback(const char *collector, const char *reason);

/* Says why a process is not traced; NULL: all are. */
void output_say_complaint(const char *complaint);

/* One line that is overwritten, on a terminal only; NULL: takes it away. */
void output_say_progress(const char *text);

/* The same for symbolizer_new(). */
void output_progress(void *context, const char *module_path);

#endif
