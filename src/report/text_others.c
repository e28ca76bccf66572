/*
 * Owns the lines about handles that are in no group: before tracing, inherited, older than the
 * snapshot. With them the text says every open handle of an ordinary process.
 */
#include "report/text_parts.h"

#include "base/cleanup.h"
#include "report/opener.h"
#include "report/words.h"

#include <string.h>

/* More than this are only counted, in the summary. */
enum { OTHERS_MAX = 8 };

static const char *name_of(const struct handle *handle)
{
	return handle->name ? handle->name : handle->type ? handle->type : "?";
}

/* "0-2 /dev/null, 5 pipe:[77]": neighbours with one name are one. */
static void add_handles(struct words *line, const struct handle **handles, size_t count)
{
	for (size_t i = 0; i < count;) {
		struct words_ranges ranges = {0};
		const char *name = name_of(handles[i]);

		words_add(line, i ? ", " : " ");
		do
			words_add_range(line, &ranges, handles[i++]->number);
		while (i < count && !strcmp(name_of(handles[i]), name));
		words_add_range_end(line, &ranges);
		words_add(line, " ");
		words_add_target(line, name);
	}
}

static void write_origin(const struct page *page, const struct diff *diff,
			 enum handle_origin origin, const char *label)
{
	_cleanup_(words_fini) struct words line = {0};
	const struct handle *few[OTHERS_MAX];
	size_t count = 0;

	array_each (handle, &diff->others) {
		enum handle_origin its = handle->origin;

		/* What is older than the snapshot is one sort, whatever its origin. */
		if (its != ORIGIN_BEFORE_TRACING && its != ORIGIN_INHERITED)
			its = ORIGIN_OPENED;
		if (its != origin ||
		    (its == ORIGIN_INHERITED && handle->opened.stack_id != STACK_NONE))
			continue;
		if (count == OTHERS_MAX)
			return;
		few[count++] = handle;
	}
	if (!count)
		return;
	add_handles(&line, few, count);
	page_paragraph(page, TEXT_INDENT - 1, TEXT_INDENT, PAGE_FAINT, label, words_text(&line));
}

/* Inherited ones of which the opening was seen, in the order of their first number. */
struct inherited {
	uint32_t stack_id;
	ARRAY(const struct handle *) handles;
};

struct inherited_list {
	ARRAY(struct inherited) places;
};

static void cleanup_inherited(struct inherited_list *list)
{
	array_each (place, &list->places)
		array_fini(&place->handles);
	array_fini(&list->places);
}

/* False: there are too many places to be told. */
static bool inherited_add(struct inherited_list *list, const struct handle *handle)
{
	array_each (place, &list->places) {
		if (place->stack_id != handle->opened.stack_id)
			continue;
		array_push(&place->handles, handle);
		return true;
	}
	if (list->places.count == OTHERS_MAX)
		return false;
	array_push(&list->places, (struct inherited){.stack_id = handle->opened.stack_id});
	array_push(&list->places.data[list->places.count - 1].handles, handle);
	return true;
}

/* "5-9 file, opened by process 4242 in open_log server.c:88" */
static void write_inherited(const struct page *page, const struct inherited *place, int32_t pid)
{
	const struct symbol *opener = opener_find(page->report, place->stack_id);
	const struct handle *first = place->handles.data[0];
	_cleanup_(words_fini) struct words line = {0};
	struct words_ranges ranges = {0};
	bool one_name = true;

	array_each (handle, &place->handles)
		one_name &= !strcmp(name_of(*handle), name_of(first));
	words_add(&line, " ");
	array_each (handle, &place->handles)
		words_add_range(&line, &ranges, (*handle)->number);
	words_add_range_end(&line, &ranges);
	words_add(&line, " ");
	words_add_target(&line, one_name ? name_of(first) : first->type ? first->type : "?");
	if (first->opened.pid == pid)
		words_add(&line, ", opened before its exec");
	else
		words_addf(&line, ", opened by process %d", first->opened.pid);
	if (opener) {
		words_add(&line, " in ");
		opener_add(&line, opener);
	}
	page_paragraph(page, TEXT_INDENT - 1, TEXT_INDENT, PAGE_FAINT,
		       "Inherited:", words_text(&line));
}

static void write_openers(const struct page *page, const struct diff *diff)
{
	_cleanup_(inherited) struct inherited_list list = {0};
	_cleanup_(words_fini) struct words line = {0};
	uint64_t more = 0;

	array_each (handle, &diff->others)
		if (handle->origin == ORIGIN_INHERITED && handle->opened.stack_id != STACK_NONE)
			more += !inherited_add(&list, handle);
	array_each (place, &list.places)
		write_inherited(page, place, diff->process->pid);
	if (!more)
		return;
	words_add(&line, " ");
	words_add_counted(&line, more, "more of other places", "more of other places");
	page_paragraph(page, TEXT_INDENT - 1, TEXT_INDENT, PAGE_FAINT,
		       "Inherited:", words_text(&line));
}

void text_others(const struct page *page, const struct diff *diff)
{
	write_origin(page, diff, ORIGIN_OPENED, "Before the snapshot:");
	write_openers(page, diff);
	write_origin(page, diff, ORIGIN_INHERITED, "Inherited:");
	write_origin(page, diff, ORIGIN_BEFORE_TRACING, "Before tracing:");
}
