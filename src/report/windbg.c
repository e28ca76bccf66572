/*
 * Owns the format of WinDbg's !htrace: the user-mode form for open handles, the kernel-mode form's
 * shape for bad references. Its fixed lines are word for word those that the debugger prints, for
 * tools and eyes that know them. Each handle is shown by itself, as there.
 */
#include "base/cleanup.h"
#include "report/cloexec.h"
#include "report/list_processes.h"
#include "report/names.h"
#include "report/report.h"
#include "report/windbg_parts.h"

#include <errno.h>
#include <inttypes.h>

struct output {
	const struct report *report;
	FILE *stream;
	struct words stack; /* the stack at hand, as text */
};

static void cleanup_output(struct output *output)
{
	words_fini(&output->stack);
}

static void add_symbol(struct words *words, const struct symbol *symbol)
{
	words_addf(words, "0x%016" PRIx64 ": ", symbol->pc);
	words_add_target(words, symbol->module ? symbol->module : "[unknown]");
	if (symbol->function) {
		words_add(words, "!");
		words_add_target(words, symbol->function);
	}
	words_addf(words, "+0x%08" PRIx64 "%s\n", symbol->offset,
		   symbol->inlined ? " (inlined)" : "");
}

/* The lines of a stack, into output->stack. */
static const char *stack_lines(struct output *output, uint32_t stack_id)
{
	struct stack stack = stack_table_get(output->report->stacks, stack_id);

	words_clear(&output->stack);
	for (uint32_t i = 0; i < stack.frames_n; i++) {
		const struct symbol *symbols;
		uint32_t count =
		    symbolizer_lookup(output->report->symbolizer, &stack.frames[i], &symbols);

		for (uint32_t j = 0; j < count; j++)
			add_symbol(&output->stack, &symbols[j]);
	}
	if (stack.end != STACK_END_COMPLETE)
		words_addf(&output->stack, "[stack ends here: %s]\n", name_of_stack_end(stack.end));
	return words_text(&output->stack);
}

/* Traces (opens, closes, bad references) of the process since the snapshot. */
static uint64_t traces_since_snapshot(const struct report *report, const struct diff *diff)
{
	uint64_t traces = 0;

	if (diff->snapshot_ns && report->history) {
		for (uint32_t age = 0; age < history_count(report->history); age++) {
			const struct trace *trace = history_get(report->history, age);

			traces += trace->pid == diff->process->pid &&
				  trace->moment.time_ns >= diff->snapshot_ns;
		}
		return traces;
	}
	array_each (place, &diff->process->places)
		if (place->origin == ORIGIN_OPENED || place->origin == ORIGIN_RECEIVED)
			traces += place->opened + place->closed;
	array_each (bad, &diff->process->bad_references)
		traces += bad->count;
	return traces;
}

static uint64_t write_handles(struct output *output, const struct group *group, int32_t pid)
{
	const char *lines = stack_lines(output, group->stack_id);

	array_each (handle, &group->handles)
		fprintf(output->stream,
			"Handle = 0x%08x - OPEN\n"
			"Thread ID = 0x%08x, Process ID = 0x%08x\n\n%s" WINDBG_SEPARATOR,
			(unsigned)handle->number, (unsigned)handle->opened.tid,
			(unsigned)(handle->opened.pid ? handle->opened.pid : pid), lines);
	return group->handles.count;
}

static void write_open(struct output *output, const struct diff *diff)
{
	uint64_t displayed = 0;

	if (!output->report->snapshot_told)
		fputs("Handle tracing information snapshot successfully taken.\n", output->stream);
	fprintf(output->stream,
		"0x%" PRIx64 " new stack traces since the previous snapshot.\n"
		"Ignoring handles that were already closed...\n",
		traces_since_snapshot(output->report, diff));
	if (!diff->groups.count) {
		fputs("No outstanding handles opened since the previous snapshot were detected.\n",
		      output->stream);
		return;
	}
	fputs("Outstanding handles opened since the previous snapshot:\n" WINDBG_SEPARATOR,
	      output->stream);
	array_each (group, &diff->groups)
		displayed += write_handles(output, group, diff->process->pid);
	fprintf(output->stream,
		"Displayed 0x%" PRIx64 " stack traces for outstanding handles opened since the "
		"previous snapshot.\n",
		displayed);
}

/* One trace in the kernel-mode form. */
static void write_trace(struct output *output, int32_t number, const char *kind,
			const struct handle_moment *moment)
{
	fprintf(output->stream, "Handle 0x%X - %s:\n%s" WINDBG_SEPARATOR, (unsigned)number, kind,
		stack_lines(output, moment->stack_id));
}

static void write_bad_references(struct output *output, const struct report_process *shown)
{
	const struct process *process = shown->process;
	uint64_t parsed = 0, dumped = 0;

	array_each (bad, &process->bad_references) {
		bool stale = bad->kind == BAD_STALE_CLOSE;
		uint32_t more = !!bad->closed.time_ns + !!bad->opened.time_ns + stale;

		if (!report_tells_bad(shown, bad))
			continue;
		if (!dumped)
			fprintf(output->stream, "\nProcess 0x%x\n\n", (unsigned)process->pid);
		write_trace(output, bad->number, "BAD REFERENCE", &bad->now);
		if (stale) /* backwards in time, as always */
			write_trace(output, bad->number, "OPEN", &bad->opened);
		if (bad->closed.time_ns)
			write_trace(output, bad->number, "CLOSE", &bad->closed);
		if (stale)
			write_trace(output, bad->number, "OPEN", &bad->earlier);
		else if (bad->opened.time_ns)
			write_trace(output, bad->number, "OPEN", &bad->opened);
		if (bad->inferred)
			fprintf(output->stream,
				"Warning: inferred: that close of handle 0x%X succeeded, on what "
				"others had opened.\n" WINDBG_SEPARATOR,
				(unsigned)bad->number);
		dumped += 1 + more;
		parsed += bad->count + more;
	}
	if (dumped)
		fprintf(output->stream,
			"\nParsed 0x%" PRIx64 " stack traces.\nDumped 0x%" PRIx64
			" stack traces.\n",
			parsed, dumped);
}

void windbg_losses(const struct process *process, FILE *stream)
{
	uint64_t unfinished = 0;

	for (int end = STACK_END_COMPLETE + 1; end < STACK_END_N; end++)
		unfinished += process->stack_ends[end];
	if (process->incomplete)
		fputs("Warning: events of this process may have been lost.\n", stream);
	if (unfinished)
		fprintf(stream, "Warning: 0x%" PRIx64 " stack traces are not complete.\n",
			unfinished);
	if (process->reconciled)
		fprintf(stream, "Warning: 0x%" PRIx64 " handles were corrected from /proc.\n",
			process->reconciled);
	if (process->exhausted)
		fprintf(stream,
			"Warning: 0x%" PRIx64
			" calls failed for want of a handle (%s), with 0x%" PRIx64
			" handles open.\n",
			process->exhausted->count,
			process->exhausted->error == -ENFILE ? "ENFILE" : "EMFILE",
			process->exhausted->open);
	if (process->bad_references_dropped)
		fprintf(stream, "Warning: 0x%" PRIx64 " more bad references are not shown.\n",
			process->bad_references_dropped);
}

void windbg_hidden(const struct hidden *hidden, FILE *stream)
{
	_cleanup_(words_fini) struct words line = {0};

	hidden_add(&line, hidden);
	if (*words_text(&line))
		fprintf(stream, "Warning: %s.\n", words_text(&line));
}

void windbg_common_losses(const struct report *report, FILE *stream)
{
	struct symbolizer_stats symbols = {0};

	symbolizer_stats(report->symbolizer, &symbols);
	if (report->lost_events)
		fprintf(stream, "Warning: 0x%" PRIx64 " events were lost.\n", report->lost_events);
	if (report->foreign_processes)
		fprintf(stream, "Warning: 0x%" PRIx64 " 32-bit programs were not traced.\n",
			report->foreign_processes);
	if (report->unseen_processes)
		fprintf(stream,
			"Warning: 0x%" PRIx64 " programs that the agent cannot be put into were "
			"not traced.\n",
			report->unseen_processes);
	if (report->details && details_limits(report->details)->cut)
		fputs("Warning: not all descriptors could be looked at.\n", stream);
	if (symbols.modules_without_symbols)
		fprintf(stream, "Warning: 0x%x modules have no symbols for some addresses.\n",
			symbols.modules_without_symbols);
	if (symbols.modules_unreadable)
		fprintf(stream, "Warning: 0x%x modules could not be opened.\n",
			symbols.modules_unreadable);
}

static int write_windbg(const struct report *report, const struct report_style *style, FILE *stream)
{
	_cleanup_(output) struct output output = {.report = report, .stream = stream};

	if (report->occasion)
		fprintf(stream, "%s\n", report->occasion);
	array_each (process, &report->processes) {
		if (report->processes.count > 1)
			fprintf(stream, "%sProcess 0x%x\n",
				process == report->processes.data ? "" : "\n",
				(unsigned)process->process->pid);
		write_open(&output, &process->diff);
		write_bad_references(&output, process);
		windbg_losses(process->process, stream);
	}
	windbg_hidden(&report->hidden, stream);
	windbg_cloexec(report, stream);
	windbg_common_losses(report, stream);
	return stream_finish(stream);
}

const struct report_format report_windbg = {
    .name = "windbg",
    .help = "as WinDbg's !htrace -diff prints it",
    .write = write_windbg,
    .write_traces = windbg_traces,
    .write_handles = windbg_handles,
    .write_processes = windbg_processes,
};
