/*
 * Owns how the list of processes looks to a person: a line for each that has opened something and
 * not closed it, the most first; the others are counted.
 */
#include "report/list_processes.h"

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/map.h"
#include "report/names.h"
#include "report/processes.h"
#include "report/text_parts.h"

#include <inttypes.h>
#include <string.h>

enum { COLUMNS_N = 6, PROGRAM_COLUMNS_MAX = 24 };

static const char *const titles[COLUMNS_N] = {"PID", "OPEN", "LEFT", "OPENED", "CLOSED", "LEAKS"};

struct table {
	int widths[COLUMNS_N];
	uint32_t program_width;
};

static void row_numbers(const struct process_row *row, uint64_t out[static COLUMNS_N])
{
	out[0] = row->shown->process->pid;
	out[1] = row->shown->diff.open_handles;
	out[2] = row->left;
	out[3] = row->opened;
	out[4] = row->closed;
	out[5] = row->leaks;
}

static bool is_listed(const struct process_row *row)
{
	return row->left && !row->shown->process->exited;
}

static uint32_t program_width(const struct process_row *row)
{
	_cleanup_(words_fini) struct words program = {0};

	words_add_target(&program, process_row_program(row));
	return words_width(words_text(&program));
}

static void table_measure(struct table *table, const struct process_rows *rows)
{
	for (int i = 0; i < COLUMNS_N; i++)
		table->widths[i] = strlen(titles[i]);
	table->program_width = strlen("PROGRAM");
	array_each (row, &rows->rows) {
		uint64_t numbers[COLUMNS_N];
		uint32_t width;

		if (!is_listed(row))
			continue;
		row_numbers(row, numbers);
		for (int i = 0; i < COLUMNS_N; i++) {
			int digits = snprintf(NULL, 0, "%" PRIu64, numbers[i]);

			if (digits > table->widths[i])
				table->widths[i] = digits;
		}
		width = program_width(row);
		if (width > table->program_width && width <= PROGRAM_COLUMNS_MAX)
			table->program_width = width;
	}
}

static void write_titles(const struct page *page, const struct table *table)
{
	_cleanup_(words_fini) struct words line = {0};

	for (int i = 0; i < COLUMNS_N; i++)
		words_addf(&line, "%*s  ", table->widths[i], titles[i]);
	words_addf(&line, "%-*s  WORST PLACE", (int)table->program_width, "PROGRAM");
	page_put(page, PAGE_BOLD, words_text(&line));
	fputc('\n', page->stream);
}

/* The worst place goes below where it has no room beside. */
static void write_worst(const struct page *page, const struct process_row *row, uint32_t column,
			uint32_t gap)
{
	_cleanup_(words_fini) struct words worst = {0};
	uint32_t columns = page->style->columns;

	process_row_add_worst(&worst, row);
	if (columns && column + gap + words_width(words_text(&worst)) > columns) {
		fputc('\n', page->stream);
		page_paragraph(page, TEXT_FRAME_INDENT, TEXT_FRAME_INDENT + 4, PAGE_PLAIN, "",
			       words_text(&worst));
		return;
	}
	page_spaces(page, gap);
	fprintf(page->stream, "%s\n", words_text(&worst));
}

static void write_row(const struct page *page, const struct table *table,
		      const struct process_row *row)
{
	_cleanup_(words_fini) struct words line = {0};
	uint32_t width = program_width(row), gap = 2;
	uint64_t numbers[COLUMNS_N];

	row_numbers(row, numbers);
	for (int i = 0; i < COLUMNS_N; i++)
		words_addf(&line, "%*" PRIu64 "  ", table->widths[i], numbers[i]);
	words_add_target(&line, process_row_program(row));
	page_put(page, row->leaks ? PAGE_BAD : PAGE_PLAIN, words_text(&line));
	if (!row->worst) {
		fputc('\n', page->stream);
		return;
	}
	if (width < table->program_width)
		gap += table->program_width - width;
	write_worst(page, row, words_width(words_text(&line)), gap);
}

/* ---- those without a line ---- */

static void write_others(const struct page *page, const struct process_rows *rows)
{
	_cleanup_(words_fini) struct words line = {0};
	uint64_t count = 0, open = 0;

	array_each (row, &rows->rows) {
		if (row->shown->process->exited || row->left)
			continue;
		count++;
		open += row->shown->diff.open_handles;
	}
	if (!count)
		return;
	words_add_counted(&line, count, "process has", "processes have");
	words_add(&line, " nothing open that was opened since tracing began, and ");
	words_add_counted(&line, open, "handle", "handles");
	words_add(&line, " from before or inherited.");
	fputc('\n', page->stream);
	page_paragraph(page, 0, TEXT_INDENT, PAGE_PLAIN, "", words_text(&line));
}

struct ended {
	const struct process_row *first;
	uint64_t processes, handles;
};

struct ended_programs {
	ARRAY(struct ended) programs;
	struct map index; /* hash of the name -> index + 1 */
};

static void cleanup_ended_programs(struct ended_programs *ended)
{
	array_fini(&ended->programs);
	map_fini(&ended->index);
}

static void ended_add(struct ended_programs *ended, const struct process_row *row)
{
	const char *program = process_row_program(row);
	uint64_t *slot = map_put(&ended->index, hash_bytes(program, strlen(program), 0));

	if (!*slot) {
		array_push(&ended->programs, (struct ended){.first = row});
		*slot = ended->programs.count;
	}
	ended->programs.data[*slot - 1].processes++;
	ended->programs.data[*slot - 1].handles += row->left;
}

static int compare_ended(const void *left, const void *right)
{
	const struct ended *a = left, *b = right;

	if (a->handles != b->handles)
		return a->handles > b->handles ? -1 : 1;
	return strcmp(process_row_program(a->first), process_row_program(b->first));
}

/* What ended has nothing open any more; what it would have is told by program. */
static void write_ended(const struct page *page, const struct process_rows *rows)
{
	_cleanup_(ended_programs) struct ended_programs ended = {0};
	_cleanup_(words_fini) struct words line = {0};

	array_each (row, &rows->rows)
		if (row->shown->process->exited && row->left)
			ended_add(&ended, row);
	if (!ended.programs.count)
		return;
	qsort(ended.programs.data, ended.programs.count, sizeof(*ended.programs.data),
	      compare_ended);
	words_add(&line, " ");
	array_each (program, &ended.programs) {
		if (program != ended.programs.data)
			words_add(&line, ", ");
		words_add_target(&line, process_row_program(program->first));
		words_add(&line, " (");
		words_add_counted(&line, program->processes, "process", "processes");
		words_add(&line, ", ");
		words_add_counted(&line, program->handles, "handle)", "handles)");
	}
	words_add(&line, ".");
	fputc('\n', page->stream);
	page_paragraph(page, 0, TEXT_INDENT, PAGE_PLAIN,
		       "Ended with handles open:", words_text(&line));
}

int text_processes(const struct report *report, const struct report_style *style, FILE *stream)
{
	const struct page page = {.report = report, .style = style, .stream = stream};
	_cleanup_(process_rows_fini) struct process_rows rows = {0};
	struct table table = {0};

	process_rows_make(&rows, report);
	table_measure(&table, &rows);
	if (rows.rows.count && is_listed(&rows.rows.data[0])) {
		write_titles(&page, &table);
		array_each (row, &rows.rows)
			if (is_listed(row))
				write_row(&page, &table, row);
	} else {
		fprintf(stream,
			"No process has anything open that was opened since tracing began%s.\n",
			rows.hidden.by ? ", but what is hidden" : "");
	}
	write_others(&page, &rows);
	write_ended(&page, &rows);
	text_hidden(&page, &rows.hidden);
	text_losses(&page);
	return stream_finish(stream);
}
