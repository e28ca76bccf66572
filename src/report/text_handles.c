/*
 * Owns how open handles look as text: a table with a line for each, or all that is known of the one
 * that was asked for. Where a line has not the room, the name and the place go below it.
 */
#include "base/cleanup.h"
#include "report/handle_list.h"
#include "report/names.h"
#include "report/opener.h"
#include "report/text_cache.h"
#include "report/text_detail.h"
#include "report/text_parts.h"
#include "report/when.h"
#include "trace/duration.h"

#include <string.h>

enum column { NUMBER, TYPE, AGE, ORIGIN, THREAD, CLOEXEC, COLUMNS };

/* A longer name does not push the places of the other handles to the right. */
enum { NAME_COLUMNS_MAX = 32, CELL_BYTES = 48 };

struct cells {
	char text[COLUMNS][CELL_BYTES];
};

struct table {
	const struct page *page;
	const struct handle_section *section;
	struct text_cache places; /* stack_id -> "fun4 leakyhandles.c:41" */
	uint32_t widths[COLUMNS];
	uint32_t name_width;
	bool below; /* there is no room for details beside the columns */
};

static const char *const heads[COLUMNS] = {"handle", "type",   "open for",
					   "origin", "thread", "cloexec"};

static void make_place(const void *context, uint64_t key, FILE *stream)
{
	const struct report *report = context;
	const struct symbol *symbol = opener_find(report, (uint32_t)key);
	_cleanup_(words_fini) struct words words = {0};

	if (symbol)
		opener_add(&words, symbol);
	fputs(words_text(&words), stream);
}

static void cells_make(struct cells *cells, const struct table *table, const struct handle *handle)
{
	uint64_t opened_ns = handle->opened.time_ns;
	char age[DURATION_BYTES] = "-";

	if (opened_ns)
		duration_write(when_age_ns(opened_ns, table->section->end_ns), age);
	snprintf(cells->text[NUMBER], CELL_BYTES, "%d", handle->number);
	snprintf(cells->text[TYPE], CELL_BYTES, "%s", handle->type ? handle->type : "?");
	snprintf(cells->text[AGE], CELL_BYTES, "%s", age);
	snprintf(cells->text[ORIGIN], CELL_BYTES, "%s", name_of_origin(handle->origin));
	snprintf(cells->text[THREAD], CELL_BYTES, opened_ns ? "%d" : "-", handle->opened.tid);
	snprintf(cells->text[CLOEXEC], CELL_BYTES, "%s", handle->cloexec ? "yes" : "no");
}

static uint32_t target_width(const char *text)
{
	_cleanup_(words_fini) struct words words = {0};

	words_add_target(&words, text);
	return words_width(words_text(&words));
}

static void widen(uint32_t *width, uint32_t wanted)
{
	if (wanted > *width)
		*width = wanted;
}

static const char *place_of(struct table *table, const struct handle *handle)
{
	return text_cache_get(&table->places, handle->opened.stack_id, make_place,
			      table->page->report);
}

static void measure_columns(struct table *table)
{
	struct cells cells;

	for (int i = 0; i < COLUMNS; i++)
		table->widths[i] = strlen(heads[i]);
	table->name_width = strlen("name");
	array_each (item, &table->section->handles) {
		uint32_t width = (*item)->name ? target_width((*item)->name) : 0;

		cells_make(&cells, table, *item);
		for (int i = 0; i < COLUMNS; i++)
			widen(&table->widths[i], strlen(cells.text[i]));
		if (width <= NAME_COLUMNS_MAX)
			widen(&table->name_width, width);
	}
}

/* Is there room for the details of most handles beside the columns? */
static bool has_room(struct table *table, uint32_t columns)
{
	uint32_t at = table->name_width + 2;
	size_t too_long = 0;

	for (int i = 0; i < COLUMNS; i++)
		at += table->widths[i] + 2;
	if (columns < at)
		return false;
	array_each (item, &table->section->handles)
		too_long += words_width(place_of(table, *item)) > columns - at;
	return too_long <= table->section->handles.count / 4;
}

static void table_measure(struct table *table)
{
	uint32_t columns = table->page->style->columns;

	measure_columns(table);
	table->below = columns && !has_room(table, columns);
}

/* Numbers stand to the right of their column. */
static void add_cells(struct words *line, const struct table *table, const char *const *texts)
{
	for (int i = 0; i < COLUMNS; i++) {
		int width = (int)table->widths[i];

		if (i == NUMBER)
			words_addf(line, "%*s", width, texts[i]);
		else if (i == COLUMNS - 1 && table->below)
			words_addf(line, "  %s", texts[i]);
		else
			words_addf(line, "  %-*s", width, texts[i]);
	}
}

/* Name and place do not fit into one line beside the columns. */
static void write_wrapped(const struct table *table, const char *cells, uint32_t at,
			  const char *name, const char *place)
{
	const struct page *page = table->page;
	_cleanup_(words_fini) struct words text = {0};
	bool place_only = !*name;

	words_add(&text, "  ");
	words_add(&text, place_only ? place : name);
	if (table->below) {
		fprintf(page->stream, "%s\n", cells);
		page_paragraph(page, at - 2, at, PAGE_PLAIN, "", words_text(&text));
	} else {
		page_paragraph(page, 0, at, PAGE_PLAIN, cells, words_text(&text));
	}
	if (!place_only && *place)
		page_paragraph(page, at, at, PAGE_NAME, "", place);
}

static void write_details(const struct table *table, const char *cells, const char *name,
			  const char *place)
{
	const struct page *page = table->page;
	uint32_t columns = page->style->columns;
	uint32_t at = table->below ? TEXT_FRAME_INDENT : words_width(cells) + 2;
	uint32_t width = words_width(name);

	if (*place)
		width = (width > table->name_width ? width : table->name_width) + 2 +
			words_width(place);
	if (width && columns && at + width > columns) {
		write_wrapped(table, cells, at, name, place);
		return;
	}
	fputs(cells, page->stream);
	if (width) {
		if (table->below)
			fputc('\n', page->stream);
		page_spaces(page, table->below ? at : 2);
		fputs(name, page->stream);
		if (*place)
			page_spaces(page, width - words_width(place) - words_width(name));
		page_put(page, PAGE_NAME, place);
	}
	fputc('\n', page->stream);
}

static const struct detail *detail_of(const struct table *table, const struct handle *handle)
{
	return details_get(table->page->report->details, table->section->process->process->pid,
			   handle);
}

static void write_row(struct table *table, const struct handle *handle, struct words *scratch,
		      struct words *name)
{
	const char *texts[COLUMNS];
	struct cells cells;

	cells_make(&cells, table, handle);
	for (int i = 0; i < COLUMNS; i++)
		texts[i] = cells.text[i];
	words_clear(scratch);
	words_clear(name);
	add_cells(scratch, table, texts);
	if (handle->name)
		words_add_target(name, handle->name);
	write_details(table, words_text(scratch), words_text(name), place_of(table, handle));
	text_detail_row(table->page, detail_of(table, handle));
}

static void write_table(struct table *table)
{
	_cleanup_(words_fini) struct words scratch = {0};
	_cleanup_(words_fini) struct words name = {0};

	table_measure(table);
	add_cells(&scratch, table, heads);
	write_details(table, words_text(&scratch), "name", "opened at");
	array_each (handle, &table->section->handles)
		write_row(table, *handle, &scratch, &name);
}

/* ---- one handle ---- */

static void write_line(const struct page *page, const char *label, const char *text)
{
	char head[16];

	snprintf(head, sizeof(head), "%-9s", label);
	page_paragraph(page, TEXT_INDENT, TEXT_INDENT + 10, PAGE_FAINT, head, text);
}

static void write_opening(const struct table *table, const struct handle *handle)
{
	const struct page *page = table->page;
	const struct handle_moment *opened = &handle->opened;
	const struct detail *detail = detail_of(table, handle);
	_cleanup_(words_fini) struct words line = {0};
	char age[DURATION_BYTES];

	words_addf(&line, " %s", name_of_origin(handle->origin));
	write_line(page, "origin", words_text(&line));
	if (!opened->time_ns)
		return;
	words_clear(&line);
	words_addf(&line, " %s",
		   duration_write(when_age_ns(opened->time_ns, table->section->end_ns), age));
	if (page->report->wall.tv_sec) {
		words_add(&line, ", since ");
		when_add_wall(&line, page->report, opened->time_ns);
	}
	write_line(page, "open for", words_text(&line));
	words_clear(&line);
	words_addf(&line, " %d", opened->tid);
	if (detail && *detail->opener) {
		words_add(&line, " (");
		words_add_target(&line, detail->opener);
		words_add(&line, ")");
	}
	if (opened->pid != table->section->process->process->pid)
		words_addf(&line, " of process %d", opened->pid);
	write_line(page, "thread", words_text(&line));
}

static void write_one(const struct table *table, const struct handle *handle)
{
	const struct page *page = table->page;
	_cleanup_(words_fini) struct words line = {0};

	words_add(&line, " ");
	words_add(&line, handle->type ? handle->type : "not known");
	write_line(page, "type", words_text(&line));
	if (handle->name) {
		words_clear(&line);
		words_add(&line, " ");
		words_add_target(&line, handle->name);
		write_line(page, "name", words_text(&line));
	}
	write_opening(table, handle);
	write_line(page, "on exec", handle->cloexec ? " closed (close-on-exec)" : " stays open");
	text_detail_one(page, detail_of(table, handle), write_line);
	if (handle->opened.stack_id == STACK_NONE)
		return;
	write_line(page, "opened at", "");
	text_stack(page, table->section->process, handle->opened.stack_id);
}

static void write_wanted(const struct table *table, int32_t number)
{
	const struct handle_section *section = table->section;
	const struct process *process = section->process->process;
	_cleanup_(words_fini) struct words line = {0};
	const struct handle_past *past;

	words_addf(&line, " handle %d is ", number);
	if (section->handles.count) {
		words_add(&line, process->exited ? "open, as the process left it" : "open");
	} else {
		words_add(&line, "not open");
		past = section->closed ? model_handle_past(section->closed) : NULL;
		if (past && past->closed.time_ns) {
			words_add(&line, "; it was closed ");
			when_add(&line, table->page->report, past->closed.time_ns);
		} else if (!process->exited) {
			words_add(&line, ", and was never seen open");
		}
	}
	text_head(table->page, process->pid, section->process->exe, words_text(&line));
	array_each (handle, &section->handles)
		write_one(table, *handle);
}

static void write_all(struct table *table)
{
	const struct handle_section *section = table->section;
	const struct process *process = section->process->process;
	_cleanup_(words_fini) struct words line = {0};

	words_add(&line, " ");
	if (section->hidden) {
		words_add_count(&line, section->handles.count);
		words_add(&line, " of ");
	}
	words_add_counted(&line, section->handles.count + section->hidden, "handle open",
			  "handles open");
	if (process->exited)
		words_add(&line, " when it ended");
	text_head(table->page, process->pid, section->process->exe, words_text(&line));
	if (process->incomplete)
		page_paragraph(table->page, TEXT_INDENT - 1, TEXT_INDENT, PAGE_DOUBT,
			       "Incomplete:", " an event of this process may have been lost.");
	if (section->handles.count)
		write_table(table);
}

static void write_nobody(const struct page *page, const struct report_query *query,
			 const struct hidden *hidden)
{
	_cleanup_(words_fini) struct words line = {0};

	if (!page->report->processes.count)
		words_add(&line, "No process was traced.");
	else if (hidden->handles)
		words_add(&line, "No handle that is not hidden is open.");
	else if (query->pid)
		words_addf(&line, "Process %d is not traced.", query->pid);
	else if (query->number >= 0)
		words_addf(&line, "Handle %d is not open in any process.", query->number);
	else
		words_add(&line, "No handle is open.");
	page_paragraph(page, 0, TEXT_INDENT, PAGE_PLAIN, "", words_text(&line));
}

int text_handles(const struct report *report, const struct report_query *query,
		 const struct report_style *style, FILE *stream)
{
	const struct page page = {.report = report, .style = style, .stream = stream};
	_cleanup_(handle_list_fini) struct handle_list list;
	struct table table = {.page = &page};

	handle_list_make(&list, report, query);
	if (!list.sections.count)
		write_nobody(&page, query, &list.hidden);
	array_each (section, &list.sections) {
		if (section != list.sections.data)
			fputc('\n', stream);
		table.section = section;
		if (query->number >= 0)
			write_wanted(&table, query->number);
		else
			write_all(&table);
	}
	text_hidden(&page, &list.hidden);
	text_losses(&page);
	text_cache_fini(&table.places);
	return stream_finish(stream);
}
