/*
 * Owns the lines about handles that are in no group: before tracing, inherited, older than the
 * snapshot. With them the text says every open handle of an ordinary process.
 */
#include "report/text_parts.h"

#include "base/cleanup.h"
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
		if (its != origin)
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

void text_others(const struct page *page, const struct diff *diff)
{
	write_origin(page, diff, ORIGIN_OPENED, "Before the snapshot:");
	write_origin(page, diff, ORIGIN_INHERITED, "Inherited:");
	write_origin(page, diff, ORIGIN_BEFORE_TRACING, "Before tracing:");
}
