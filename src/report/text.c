/*
 * Owns the text report as a whole: which processes are shown, which are folded into one line, and
 * the lines that sum up a process. For a person who was paged: the worst first, nothing cut.
 */
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/map.h"
#include "report/cloexec.h"
#include "report/exhausted.h"
#include "report/list_processes.h"
#include "report/names.h"
#include "report/text_parts.h"
#include "report/words.h"
#include "trace/duration.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

/* What is said of a process that does not get a section of its own. */
enum fold {
	FOLD_NOT = 0,
	FOLD_TWIN,     /* equal to one that is shown */
	FOLD_EMPTY,    /* nothing open that it opened */
	FOLD_HARMLESS, /* something, but in no place that leaks or grows */
	FOLD_HIDDEN,   /* likewise, of what a filter leaves */
};

struct folds {
	enum fold *fold; /* by index of process */
	uint32_t *twin_of;
	struct map twins; /* hash of what is shown -> index + 1 of the first such */
};

static void cleanup_folds(struct folds *folds)
{
	free(folds->fold);
	free(folds->twin_of);
	map_fini(&folds->twins);
}

static bool is_harmless(const struct diff *diff)
{
	array_each (group, &diff->groups)
		if (group->verdict == VERDICT_LEAK || group->verdict == VERDICT_GROWING)
			return false;
	return true;
}

static bool strings_equal(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static bool groups_alike(const struct group *a, const struct group *b)
{
	return a->stack_id == b->stack_id && a->origin == b->origin && a->verdict == b->verdict &&
	       a->open == b->open && !strcmp(a->reason, b->reason) &&
	       strings_equal(a->type, b->type);
}

/* Would the sections of two processes say the same, but for pid, ages and numbers? */
static bool processes_alike(const struct report_process *a, const struct report_process *b)
{
	if (a->process->exited != b->process->exited ||
	    a->process->exit_status != b->process->exit_status || !strings_equal(a->exe, b->exe) ||
	    a->diff.groups.count != b->diff.groups.count)
		return false;
	for (size_t i = 0; i < a->diff.groups.count; i++)
		if (!groups_alike(&a->diff.groups.data[i], &b->diff.groups.data[i]))
			return false;
	return text_bad_references_alike(a, b) && text_exhausted_alike(a->process, b->process);
}

static uint64_t process_key(const struct report_process *process)
{
	uint64_t key = process->exe ? hash_bytes(process->exe, strlen(process->exe), 0) : 0;

	array_each (group, &process->diff.groups)
		key = hash_combine(key, (uint64_t)group->stack_id << 32 ^ group->open);
	return key;
}

/* The first process is the one that was asked for: it is always shown. */
static enum fold fold_of(struct folds *folds, const struct report *report, size_t index)
{
	const struct report_process *process = &report->processes.data[index];
	uint64_t *slot;

	if (index && !text_bad_references_worry(process) && !process->process->exhausted &&
	    is_harmless(&process->diff))
		return process->diff.hidden         ? FOLD_HIDDEN
		       : process->diff.groups.count ? FOLD_HARMLESS
						    : FOLD_EMPTY;
	slot = map_put(&folds->twins, process_key(process));
	if (*slot && processes_alike(&report->processes.data[*slot - 1], process)) {
		folds->twin_of[index] = *slot - 1;
		return FOLD_TWIN;
	}
	if (!*slot)
		*slot = index + 1;
	return FOLD_NOT;
}

static void folds_make(struct folds *folds, const struct report *report)
{
	folds->fold = xcalloc(report->processes.count + 1, sizeof(*folds->fold));
	folds->twin_of = xcalloc(report->processes.count + 1, sizeof(*folds->twin_of));
	for (size_t i = 0; i < report->processes.count; i++)
		folds->fold[i] = fold_of(folds, report, i);
}

static void add_fate(struct words *line, const struct process *process, const struct diff *diff)
{
	char length[DURATION_BYTES];
	const char *name;
	int signal;

	duration_write(diff->end_ns > process->start_ns ? diff->end_ns - process->start_ns : 0,
		       length);
	if (!process->exited) {
		words_addf(line, " still running, traced for %s", length);
	} else if (!process_has_ended(process)) {
		words_addf(line, " let go at a bad reference after %s, not traced since", length);
	} else if (WIFSIGNALED(process->exit_status)) {
		signal = WTERMSIG(process->exit_status);
		name = sigabbrev_np(signal);
		words_addf(line, " killed by signal %d%s%s%s%s after %s", signal,
			   name ? " (SIG" : "", name ? name : "", name ? ")" : "",
			   WCOREDUMP(process->exit_status) ? ", core dumped," : "", length);
	} else {
		words_addf(line, " exited with status %d after %s",
			   WEXITSTATUS(process->exit_status), length);
	}
}

void text_head(const struct page *page, int32_t pid, const char *exe, const char *text)
{
	_cleanup_(words_fini) struct words head = {0};
	_cleanup_(words_fini) struct words line = {0};

	words_add(&head, "== ");
	words_add_target(&head, exe ? exe : "(program not known)");
	words_addf(&head, " (pid %d):", pid);
	words_add(&line, text);
	if (page->report->collector) {
		words_add(&line, "; collector ");
		words_add_target(&line, page->report->collector);
	}
	page_paragraph(page, 0, TEXT_INDENT, PAGE_BOLD, words_text(&head), words_text(&line));
}

static void write_head(const struct page *page, const struct report_process *shown)
{
	_cleanup_(words_fini) struct words fate = {0};

	add_fate(&fate, shown->process, &shown->diff);
	text_head(page, shown->process->pid, shown->exe, words_text(&fate));
}

/* "10 in 1 leaking place, 3 from before tracing": one part. */
static void add_part(struct words *line, const char **separator, uint64_t count, const char *what)
{
	if (!count)
		return;
	words_add(line, *separator);
	words_add_count(line, count);
	words_add(line, what);
	*separator = ", ";
}

static void add_verdict_part(struct words *line, const char **separator, const struct diff *diff,
			     enum verdict verdict, const char *adjective)
{
	uint64_t handles = 0, places = 0;

	array_each (group, &diff->groups) {
		if (group->verdict != verdict)
			continue;
		handles += group->open;
		places++;
	}
	add_part(line, separator, handles, " in ");
	if (handles) {
		words_add_count(line, places);
		words_addf(line, " %s %s", adjective, places == 1 ? "place" : "places");
	}
}

static uint64_t suspects(const struct diff *diff)
{
	uint64_t count = 0;

	array_each (group, &diff->groups)
		count += group->verdict == VERDICT_LEAK || group->verdict == VERDICT_GROWING;
	return count;
}

static void write_summary(const struct page *page, const struct diff *diff)
{
	_cleanup_(words_fini) struct words line = {0};
	const char *separator = ": ";
	bool clean = !suspects(diff);

	if (clean && !diff->open_handles) {
		page_paragraph(page, TEXT_INDENT - 1, TEXT_INDENT, PAGE_GOOD,
			       "No leak found:", " no handle is open.");
		return;
	}
	if (clean)
		words_add(&line, " ");
	words_add_counted(&line, diff->open_handles, "handle open", "handles open");
	add_verdict_part(&line, &separator, diff, VERDICT_LEAK, "leaking");
	add_verdict_part(&line, &separator, diff, VERDICT_GROWING, "growing");
	add_verdict_part(&line, &separator, diff, VERDICT_UNKNOWN, "undecided");
	add_verdict_part(&line, &separator, diff, VERDICT_STEADY, "steady");
	add_verdict_part(&line, &separator, diff, VERDICT_TRANSIENT, "transient");
	add_part(&line, &separator, diff->before_snapshot, " from before the snapshot");
	add_part(&line, &separator, diff->after_snapshots, " from after the second snapshot");
	add_part(&line, &separator, diff->inherited, " inherited");
	add_part(&line, &separator, diff->before_tracing, " from before tracing");
	add_part(&line, &separator, diff->hidden, " hidden");
	if (clean && diff->hidden)
		page_paragraph(page, TEXT_INDENT - 1, TEXT_INDENT, PAGE_DOUBT,
			       "No leak in what is not hidden;", words_text(&line));
	else
		page_paragraph(page, TEXT_INDENT - 1, TEXT_INDENT, clean ? PAGE_GOOD : PAGE_PLAIN,
			       clean ? "No leak found;" : "", words_text(&line));
}

/* The pids of those of `fold`, and of process `twin_of` where that is what they are. */
static uint64_t add_pids(struct words *line, const struct report *report, const struct folds *folds,
			 enum fold fold, bool exited, size_t twin_of)
{
	struct words_ranges ranges = {0};
	uint64_t count = 0;

	for (size_t i = 0; i < report->processes.count; i++) {
		const struct process *process = report->processes.data[i].process;

		if (folds->fold[i] != fold || process->exited != exited ||
		    (fold == FOLD_TWIN && folds->twin_of[i] != twin_of))
			continue;
		words_add_range(line, &ranges, process->pid);
		count++;
	}
	words_add_range_end(line, &ranges);
	return count;
}

static void write_twins(const struct page *page, const struct folds *folds, size_t index)
{
	_cleanup_(words_fini) struct words pids = {0};
	_cleanup_(words_fini) struct words line = {0};
	const struct report *report = page->report;
	uint64_t count = add_pids(&pids, report, folds, FOLD_TWIN,
				  report->processes.data[index].process->exited, index);

	if (!count)
		return;
	words_add(&line, "The same in ");
	words_add_counted(&line, count, "other process", "other processes");
	words_addf(&line, ": pid ");
	words_add(&line, words_text(&pids));
	page_paragraph(page, TEXT_INDENT - 1, TEXT_INDENT, PAGE_PLAIN, "", words_text(&line));
}

static void write_process(const struct page *page, const struct folds *folds, size_t index)
{
	const struct report_process *process = &page->report->processes.data[index];
	uint32_t rank = 1;

	write_head(page, process);
	write_summary(page, &process->diff);
	if (process->process->incomplete)
		page_paragraph(page, TEXT_INDENT - 1, TEXT_INDENT, PAGE_DOUBT,
			       "Incomplete:", " an event of this process may have been lost.");
	text_exhausted(page, process->process);
	text_growth(page, process->process->growth_times,
		    process->process->growth_times ? process->process->growth_times->open : NULL);
	text_others(page, &process->diff);
	write_twins(page, folds, index);
	array_each (group, &process->diff.groups)
		text_group(page, process, group, rank++);
	text_bad_references(page, process);
}

static void write_folded(const struct page *page, const struct folds *folds, enum fold fold,
			 bool exited, const char *one, const char *many)
{
	_cleanup_(words_fini) struct words pids = {0};
	_cleanup_(words_fini) struct words line = {0};
	uint64_t count = add_pids(&pids, page->report, folds, fold, exited, 0);

	if (!count)
		return;
	words_add_counted(&line, count, one, many);
	words_add(&line, count == 1 ? " (pid " : " (pids ");
	words_add(&line, words_text(&pids));
	words_add(&line, ").");
	fputc('\n', page->stream);
	page_paragraph(page, 0, TEXT_INDENT, PAGE_PLAIN, "", words_text(&line));
}

static void write_all_folded(const struct page *page, const struct folds *folds)
{
	write_folded(page, folds, FOLD_HARMLESS, true,
		     "other process left handles open, but in no place that leaks",
		     "other processes left handles open, but in no place that leaks");
	write_folded(page, folds, FOLD_HARMLESS, false,
		     "other process has handles open, but from no place that leaks",
		     "other processes have handles open, but from no place that leaks");
	write_folded(page, folds, FOLD_HIDDEN, true,
		     "other process left handles open; nothing of it that is not hidden leaks",
		     "other processes left handles open; nothing of them that is not hidden leaks");
	write_folded(page, folds, FOLD_HIDDEN, false,
		     "other process has handles open; nothing of it that is not hidden leaks",
		     "other processes have handles open; nothing of them that is not hidden leaks");
	write_folded(page, folds, FOLD_EMPTY, true,
		     "other process left nothing open that it opened",
		     "other processes left nothing open that they opened");
	write_folded(page, folds, FOLD_EMPTY, false,
		     "other process has nothing open that it opened",
		     "other processes have nothing open that they opened");
}

static int write_text(const struct report *report, const struct report_style *style, FILE *stream)
{
	const struct page page = {.report = report, .style = style, .stream = stream};
	_cleanup_(folds) struct folds folds = {0};

	folds_make(&folds, report);
	if (report->occasion)
		page_paragraph(&page, 0, TEXT_INDENT, PAGE_PLAIN, "", report->occasion);
	if (report->occasion)
		fputc('\n', stream);
	if (!report->processes.count)
		fputs("No process was traced.\n", stream);
	for (size_t i = 0; i < report->processes.count; i++) {
		if (folds.fold[i] != FOLD_NOT)
			continue;
		if (i)
			fputc('\n', stream);
		write_process(&page, &folds, i);
	}
	write_all_folded(&page, &folds);
	text_hidden(&page, &report->hidden);
	text_cloexec(&page);
	text_losses(&page);
	return stream_finish(stream);
}

const struct report_format report_text = {
    .name = "text",
    .help = "for people: the worst first, with stacks",
    .details = DETAILS_OF_GROUPS,
    .write = write_text,
    .write_traces = text_traces,
    .write_handles = text_handles,
    .write_processes = text_processes,
};
