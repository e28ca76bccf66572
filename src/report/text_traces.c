/*
 * Owns how the life of a handle looks as text: each step with who, when and where, newest first,
 * and what the history has forgotten.
 */
#include "base/cleanup.h"
#include "report/names.h"
#include "report/text_cache.h"
#include "report/text_parts.h"
#include "report/trace_list.h"
#include "report/when.h"
#include "report/words.h"
#include "trace/duration.h"

struct telling {
	const struct page *page;
	const struct report_query *query;
	const struct trace_list *list;
	const struct trace_section *section;
	struct text_cache stacks; /* (process, stack_id) -> its lines */
	bool horizon_told;
};

static void write_stack(const void *context, uint64_t key, FILE *stream)
{
	const struct telling *telling = context;
	struct page page = *telling->page;

	page.stream = stream;
	text_stack(&page, &telling->section->process, (uint32_t)key);
}

/* "by CALL"; nothing where only the model still knows the trace. */
static void add_call(struct words *line, const struct trace *trace, const char *before,
		     const char *after)
{
	char call[CALL_NAME_BYTES];

	if (trace->call == TRACE_CALL_NONE)
		return;
	words_addf(line, "%s%s%s", before, name_of_call(trace->call, call), after);
}

static void add_step(struct words *line, const struct trace *trace)
{
	words_addf(line, " handle %d", trace->number);
	if (trace->kind == TRACE_BAD_REFERENCE) {
		add_call(line, trace, ": ", "");
		words_add(line, trace->detail == BAD_NEVER_OPENED   ? " of what was never seen open"
				: trace->detail == BAD_DOUBLE_CLOSE ? " of what was closed before"
				: trace->detail == BAD_STALE_CLOSE
				    ? " of another's handle (stale close, inferred)"
				    : " after it was closed");
	} else if (trace->kind == TRACE_OPEN) {
		add_call(line, trace, ": by ", "");
	} else if (trace->detail == CLOSED_BY_EXEC) {
		words_add(line, ": by exec (close-on-exec)");
	} else if (trace->detail == CLOSED_UNSEEN) {
		words_add(line, ": found closed, by what was not seen");
	} else if (trace->detail == CLOSED_BY_DUP) {
		if (trace->call == TRACE_CALL_NONE)
			words_add(line, ": by a dup2 or dup3 onto it");
		add_call(line, trace, ": by ", " onto it");
	} else {
		add_call(line, trace, ": by ", "");
	}
}

static void add_before(struct words *line, const struct trace *trace)
{
	uint64_t length_ns = when_age_ns(trace->before_ns, trace->moment.time_ns);
	char length[DURATION_BYTES];

	if (!trace->before_ns) {
		if (trace->kind == TRACE_CLOSE)
			words_add(line, "; its opening was not seen");
		return;
	}
	duration_write(length_ns, length);
	if (trace->kind == TRACE_CLOSE)
		words_addf(line, "; it was open for %s", length);
	else
		words_addf(line, "; the %s was %s earlier",
			   trace->detail == BAD_STALE_CLOSE ? "number's first close" : "close",
			   length);
}

static void write_trace(struct telling *telling, const struct listed_trace *item, uint32_t rank)
{
	static const char *const kinds[] = {[TRACE_OPEN] = "OPEN",
					    [TRACE_CLOSE] = "CLOSE",
					    [TRACE_BAD_REFERENCE] = "BAD REFERENCE"};
	static const enum page_colour colours[] = {
	    [TRACE_OPEN] = PAGE_GOOD, [TRACE_CLOSE] = PAGE_BOLD, [TRACE_BAD_REFERENCE] = PAGE_BAD};
	const struct page *page = telling->page;
	const struct trace *trace = &item->trace;
	_cleanup_(words_fini) struct words line = {0};
	uint64_t key = (uint64_t)(uint32_t)trace->pid << 32 | trace->moment.stack_id;
	char head[40];

	add_step(&line, trace);
	words_add(&line, ", ");
	when_add(&line, page->report, trace->moment.time_ns);
	if (trace->moment.pid != trace->pid)
		words_addf(&line, ", by process %d", trace->moment.pid);
	if (trace->moment.tid != trace->moment.pid)
		words_addf(&line, ", by thread %d", trace->moment.tid);
	add_before(&line, trace);
	snprintf(head, sizeof(head), "#%u %s", rank, kinds[trace->kind]);
	fputc('\n', page->stream);
	page_paragraph(page, 0, TEXT_INDENT, colours[trace->kind], head, words_text(&line));
	if (trace->moment.stack_id != STACK_NONE) /* none is taken at exec, nor of what is unseen */
		fputs(text_cache_get(&telling->stacks, key, write_stack, telling), page->stream);
}

/* Where the list leaves what the history keeps. */
static void write_horizon(struct telling *telling, const struct listed_trace *item)
{
	if (telling->horizon_told || item->kept ||
	    item->trace.moment.time_ns >= telling->list->horizon_ns)
		return;
	telling->horizon_told = true;
	fputc('\n', telling->page->stream);
	page_paragraph(telling->page, 0, TEXT_INDENT, PAGE_FAINT, "--",
		       " older traces have fallen out of the history; of what was before, this is "
		       "still known:");
}

static void add_open_state(struct words *line, const struct report *report,
			   const struct trace_section *section)
{
	const struct handle *now = section->now;
	const struct process *process = section->process.process;
	char age[DURATION_BYTES];

	words_add(line, !process->exited             ? " is open"
			: process_has_ended(process) ? " was still open when the process ended"
						     : " was open when the process was let go");
	if (now->origin == ORIGIN_INHERITED)
		words_add(line, ", inherited");
	if (now->opened.time_ns)
		words_addf(
		    line, ", for %s",
		    duration_write(when_age_ns(now->opened.time_ns,
					       process->exited ? process->exit_ns : report->now_ns),
				   age));
	else
		words_add(line, now->origin == ORIGIN_BEFORE_TRACING
				    ? ", and has been since before tracing began"
				    : "; its opening was not seen");
	words_addf(line, ": %s", now->type ? now->type : "of unknown type");
	if (now->name) {
		words_add(line, " ");
		words_add_target(line, now->name);
	}
}

/* What the number that was asked for stands for now. */
static void write_state(const struct telling *telling)
{
	const struct trace_section *section = telling->section;
	const struct process *process = section->process.process;
	_cleanup_(words_fini) struct words line = {0};
	char head[32];

	if (telling->query->number < 0 || !process)
		return;
	if (section->now)
		add_open_state(&line, telling->page->report, section);
	else if (!section->count)
		words_add(&line, process->exited ? " is not open, and no trace of it is kept"
						 : " was never seen open");
	else
		words_add(&line, " is not open");
	if (process->incomplete)
		words_add(&line, " (an event of this process may have been lost)");
	words_add(&line, ".");
	snprintf(head, sizeof(head), "Handle %d", telling->query->number);
	page_paragraph(telling->page, TEXT_INDENT - 1, TEXT_INDENT, PAGE_BOLD, head,
		       words_text(&line));
}

static void add_subject(struct words *line, const struct report_query *query)
{
	if (query->number >= 0)
		words_addf(line, " of handle %d", query->number);
}

static void write_section(struct telling *telling)
{
	const struct trace_section *section = telling->section;
	_cleanup_(words_fini) struct words line = {0};

	words_add(&line, " ");
	words_add_counted(&line, section->count, "trace", "traces");
	add_subject(&line, telling->query);
	if (section->count > 1)
		words_add(&line, ", newest first");
	text_head(telling->page, section->pid, section->process.exe, words_text(&line));
	write_state(telling);
	telling->horizon_told = false;
	for (size_t i = 0; i < section->count; i++) {
		const struct listed_trace *item = &telling->list->traces.data[section->first + i];

		write_horizon(telling, item);
		write_trace(telling, item, i + 1);
	}
}

/* Processes in which the number is open, and no more is shown of it. */
static void write_silent(const struct telling *telling)
{
	_cleanup_(words_fini) struct words line = {0};
	struct words_ranges ranges = {0};
	uint64_t count = 0;

	array_each (section, &telling->list->sections)
		count += !section->count;
	if (!count)
		return;
	words_addf(&line, "Handle %d is open in ", telling->query->number);
	words_add_counted(&line, count, "other process, of which no trace is shown: pid ",
			  "other processes, of which no trace is shown: pids ");
	array_each (section, &telling->list->sections)
		if (!section->count)
			words_add_range(&line, &ranges, section->pid);
	words_add_range_end(&line, &ranges);
	fputc('\n', telling->page->stream);
	page_paragraph(telling->page, 0, TEXT_INDENT, PAGE_PLAIN, "", words_text(&line));
}

/* How much there was, how much is shown, how much is forgotten. */
static void write_counts(const struct telling *telling)
{
	const struct trace_list *list = telling->list;
	_cleanup_(words_fini) struct words line = {0};
	bool all = list->traces.count == list->matched;

	words_add(&line, all ? " " : " the newest ");
	words_add_count(&line, list->traces.count);
	if (!all) {
		words_add(&line, " of ");
		words_add_count(&line, list->matched);
	}
	words_add(&line, list->matched == 1 ? " trace" : " traces");
	add_subject(&line, telling->query);
	words_add(&line, ". The history keeps ");
	words_add_counted(&line, list->kept, "trace", "traces");
	words_add(&line, " of all processes and handles");
	if (list->total > list->kept) {
		words_add(&line, ", the newest of ");
		words_add_count(&line, list->total);
		words_add(&line, "; older ones have fallen out.");
	} else {
		words_add(&line, "; none has fallen out.");
	}
	fputc('\n', telling->page->stream);
	page_paragraph(telling->page, 0, TEXT_INDENT, PAGE_BOLD, "Shown:", words_text(&line));
}

static void write_nobody(const struct telling *telling)
{
	const struct report_query *query = telling->query;
	_cleanup_(words_fini) struct words line = {0};

	if (!telling->page->report->processes.count)
		words_add(&line, "No process was traced.");
	else if (telling->list->hidden.traces)
		words_add(&line, "No trace that is not hidden is kept.");
	else if (query->pid)
		words_addf(&line, "Process %d is not traced.", query->pid);
	else if (query->number >= 0)
		words_addf(&line, "Handle %d was never seen open in any process.", query->number);
	else
		words_add(&line, "No handle was opened, closed or misused since tracing began.");
	page_paragraph(telling->page, 0, TEXT_INDENT, PAGE_PLAIN, "", words_text(&line));
}

int text_traces(const struct report *report, const struct report_query *query,
		const struct report_style *style, FILE *stream)
{
	const struct page page = {.report = report, .style = style, .stream = stream};
	_cleanup_(trace_list_fini) struct trace_list list;
	struct telling telling = {.page = &page, .query = query, .list = &list};
	bool first = true;

	trace_list_make(&list, report, query);
	if (!list.sections.count)
		write_nobody(&telling);
	array_each (section, &list.sections) {
		if (!query->pid && !section->count)
			continue;
		if (!first)
			fputc('\n', stream);
		first = false;
		telling.section = section;
		write_section(&telling);
	}
	if (!query->pid)
		write_silent(&telling);
	write_counts(&telling);
	text_hidden(&page, &list.hidden);
	text_losses(&page);
	text_cache_fini(&telling.stacks);
	return stream_finish(stream);
}
