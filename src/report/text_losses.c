/*
 * Owns the end of the text report: what it does not know and why, each in words, and nothing where
 * nothing was lost.
 */
#include "report/text_parts.h"

#include "base/cleanup.h"
#include "report/words.h"

/* Sums over all processes of the report. */
struct losses {
	uint64_t stack_ends[STACK_END_N];
	uint64_t truncated;
	uint64_t incomplete; /* processes */
	uint64_t reconciled;
	uint64_t bad_references_dropped;
	const struct forgotten *forgotten;
	struct symbolizer_stats symbols;
};

static void losses_count(struct losses *losses, const struct report *report)
{
	array_each (shown, &report->processes) {
		const struct process *process = shown->process;

		for (int end = 0; end < STACK_END_N; end++)
			losses->stack_ends[end] += process->stack_ends[end];
		losses->truncated += process->truncated_stacks;
		losses->incomplete += process->incomplete;
		losses->reconciled += process->reconciled;
		losses->bad_references_dropped += process->bad_references_dropped;
	}
	losses->forgotten = model_forgotten_totals(report->model);
	for (int end = 0; end < STACK_END_N; end++)
		losses->stack_ends[end] += losses->forgotten->stack_ends[end];
	losses->truncated += losses->forgotten->truncated_stacks;
	losses->reconciled += losses->forgotten->reconciled;
	if (losses->stack_ends[STACK_END_TRUNCATED] < losses->truncated)
		losses->stack_ends[STACK_END_TRUNCATED] = losses->truncated;
	symbolizer_stats(report->symbolizer, &losses->symbols);
}

struct section {
	const struct page *page;
	bool begun;
};

/* One line, where `count` is not 0. */
static void loss(struct section *section, uint64_t count, const char *one, const char *many,
		 const char *meaning)
{
	_cleanup_(words_fini) struct words line = {0};

	if (!count)
		return;
	if (!section->begun)
		page_paragraph(section->page, 0, 0, PAGE_DOUBT,
			       "\nWhat this report does not know:", "");
	section->begun = true;
	words_add_counted(&line, count, one, many);
	words_add(&line, meaning);
	page_paragraph(section->page, TEXT_INDENT, TEXT_INDENT + 2, PAGE_PLAIN, "",
		       words_text(&line));
}

static void stack_losses(struct section *section, const uint64_t ends[STACK_END_N])
{
	loss(section, ends[STACK_END_TRUNCATED], "stack was", "stacks were",
	     " cut: longer than what was copied, so the outermost callers are missing");
	loss(section, ends[STACK_END_NO_CFI], "stack ends", "stacks end",
	     " in code without unwind information and without frame pointers");
	loss(section, ends[STACK_END_BAD_READ], "stack leads", "stacks lead",
	     " out of what was copied (a stack switched, or unwind information that is wrong)");
	loss(section, ends[STACK_END_BAD_PC], "stack leads", "stacks lead",
	     " to an address that is no code");
	loss(section, ends[STACK_END_TOO_DEEP], "stack has", "stacks have",
	     " more than 256 frames; the outermost are missing");
	loss(section, ends[STACK_END_NO_COPY], "stack", "stacks", " could not be read at all");
}

/* Children that came to more than what is kept of them. */
static void untold_losses(struct section *section, const struct forgotten *forgotten)
{
	_cleanup_(words_fini) struct words meaning = {0};

	words_add(&meaning, " not shown (only ");
	words_add_count(&meaning, PROCESSES_ENDED_MAX);
	words_add(&meaning, " are kept), with ");
	words_add_counted(&meaning, forgotten->untold_handles, "handle", "handles");
	words_add(&meaning, " left open");
	loss(section, forgotten->untold, "child that ended is", "children that ended are",
	     words_text(&meaning));
}

void text_hidden(const struct page *page, const struct hidden *hidden)
{
	_cleanup_(words_fini) struct words line = {0};

	hidden_add(&line, hidden);
	if (!*words_text(&line))
		return;
	words_add(&line, ".");
	fputc('\n', page->stream);
	page_paragraph(page, 0, TEXT_INDENT, PAGE_DOUBT, "", words_text(&line));
}

static void detail_losses(struct section *section, const struct details *details)
{
	const struct details_limits *limits = details ? details_limits(details) : NULL;

	if (!limits)
		return;
	loss(section, limits->cut, "look at the descriptors of all processes was", "",
	     " cut short, for there was no time: who is at other ends, or shares a handle, may be "
	     "missing");
	loss(section, limits->left_out, "handle", "handles",
	     " beyond the limit: nothing is told of what they are now");
}

void text_losses(const struct page *page)
{
	struct section section = {.page = page};
	struct losses losses = {0};

	losses_count(&losses, page->report);
	loss(&section, page->report->lost_events, "event was", "events were",
	     " lost (the buffer was full): handles may be missing, or have no stack");
	loss(&section, losses.incomplete, "process", "processes",
	     " may not be told in full: events may have been lost");
	loss(&section, losses.reconciled, "handle was", "handles were",
	     " corrected from /proc/PID/fd, opened or closed unseen");
	stack_losses(&section, losses.stack_ends);
	untold_losses(&section, losses.forgotten);
	loss(&section, losses.bad_references_dropped, "bad reference", "bad references",
	     " beyond the limit, not shown");
	loss(&section, page->report->foreign_processes, "32-bit program was",
	     "32-bit programs were", " started and not traced");
	loss(&section, page->report->unseen_processes, "process", "processes",
	     " ran a program that the agent cannot be put into (static, set-user-ID, not glibc, "
	     "AddressSanitizer, other user or PID namespace): not traced");
	detail_losses(&section, page->report->details);
	loss(&section, losses.symbols.modules_without_symbols, "module has", "modules have",
	     " no symbols for some addresses (module+0x...): install its debug symbols, or set "
	     "DEBUGINFOD_URLS");
	loss(&section, losses.symbols.modules_unreadable, "module", "modules",
	     " could not be opened, so nothing in it has a name");
}
