/* Owns what a row of the list of processes counts, and which place it names. */
#include "report/processes.h"

#include "report/opener.h"

#include <inttypes.h>
#include <string.h>

static void row_make(struct process_row *row, const struct report *report,
		     const struct report_process *shown)
{
	const struct diff *diff = &shown->diff;

	*row = (struct process_row){.shown = shown, .left = diff->before_snapshot};
	array_each (place, &shown->process->places) {
		if (place->origin == ORIGIN_BEFORE_TRACING)
			continue;
		row->opened += place->opened;
		row->closed += place->closed;
	}
	array_each (group, &diff->groups) {
		row->left += group->open;
		row->leaks += group->verdict == VERDICT_LEAK || group->verdict == VERDICT_GROWING;
	}
	if (!diff->groups.count)
		return;
	row->worst = &diff->groups.data[0];
	row->place = opener_find(report, row->worst->stack_id);
}

static int compare_rows(const void *left, const void *right)
{
	const struct process_row *a = left, *b = right;
	const struct process *p = a->shown->process, *q = b->shown->process;

	if (p->exited != q->exited)
		return p->exited ? 1 : -1;
	if (a->left != b->left)
		return a->left > b->left ? -1 : 1;
	if (a->leaks != b->leaks)
		return a->leaks > b->leaks ? -1 : 1;
	if (p->pid != q->pid)
		return p->pid < q->pid ? -1 : 1;
	return (p->start_ns > q->start_ns) - (p->start_ns < q->start_ns);
}

void process_rows_make(struct process_rows *rows, const struct report *report)
{
	*rows = (struct process_rows){.hidden = report->hidden};
	array_each (shown, &report->processes) {
		struct process_row row;

		row_make(&row, report, shown);
		if (!row.left && shown->diff.hidden) {
			rows->hidden.processes++;
			continue;
		}
		array_push(&rows->rows, row);
	}
	if (rows->rows.count)
		qsort(rows->rows.data, rows->rows.count, sizeof(*rows->rows.data), compare_rows);
	if (rows->rows.count > filter_top(report->filter)) {
		rows->hidden.processes += rows->rows.count - filter_top(report->filter);
		rows->hidden.by |= 1u << FILTER_TOP;
		rows->rows.count = filter_top(report->filter);
	}
}

void process_rows_fini(struct process_rows *rows)
{
	array_fini(&rows->rows);
}

const char *process_row_program(const struct process_row *row)
{
	const char *exe = row->shown->exe, *slash = exe ? strrchr(exe, '/') : NULL;

	return slash ? slash + 1 : exe ? exe : "?";
}

/* Shorter than opener_add(): there is one line. */
static void add_place(struct words *words, const struct symbol *place)
{
	if (!place->function) {
		words_add_target(words, place->module ? place->module : "[unknown]");
		words_addf(words, "+0x%" PRIx64, place->offset);
		return;
	}
	words_add_target(words, place->function);
	if (place->file) {
		const char *slash = strrchr(place->file, '/');

		words_add(words, " (");
		words_add_target(words, slash ? slash + 1 : place->file);
		words_addf(words, ":%u)", place->line);
	} else if (place->module) {
		words_add(words, " in ");
		words_add_target(words, place->module);
	}
}

void process_row_add_worst(struct words *words, const struct process_row *row)
{
	const struct exhaustion *exhausted = row->shown->process->exhausted;

	if (exhausted) {
		words_add(words, "OUT OF HANDLES ");
		words_add_counted(words, exhausted->count, "time", "times");
		words_add(words, row->worst ? "; " : "");
	}
	if (!row->worst)
		return;
	words_add_count(words, row->worst->open);
	words_add(words, " ");
	words_add_target(words, row->worst->type ? row->worst->type : "of unknown type");
	if (row->place) {
		words_add(words, " by ");
		add_place(words, row->place);
	} else if (row->worst->origin == ORIGIN_UNKNOWN) {
		words_add(words, ", opened unseen");
	}
}
