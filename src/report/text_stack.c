/*
 * Owns how a call stack looks in the text report: a function and where it is, one a line, aligned
 * where that is possible without cutting anything.
 */
#include "report/text_parts.h"

#include "base/cleanup.h"
#include "report/words.h"

#include <inttypes.h>
#include <string.h>

/* A longer name does not push the places of the other frames to the right. */
enum { FUNCTION_COLUMNS_MAX = 36 };

struct line {
	struct words function;
	struct words place;
	bool own; /* code of the program itself, not of a library */
};

struct lines {
	ARRAY(struct line) lines;
	const char *last_module; /* of the outermost frame */
};

static void cleanup_lines(struct lines *lines)
{
	array_each (line, &lines->lines) {
		words_fini(&line->function);
		words_fini(&line->place);
	}
	array_fini(&lines->lines);
}

static bool is_program(const struct report_process *process, const struct symbol *symbol)
{
	const char *slash = process->exe ? strrchr(process->exe, '/') : NULL;

	if (!process->exe || !symbol->module)
		return false;
	if (symbol->module_path && symbol->module_path[0] == '/')
		return !strcmp(symbol->module_path, process->exe);
	return !strcmp(symbol->module, slash ? slash + 1 : process->exe);
}

static void line_make(struct line *line, const struct report_process *process,
		      const struct symbol *symbol)
{
	const char *module = symbol->module ? symbol->module : "[unknown]";

	if (!symbol->function) {
		words_add_target(&line->function, module);
		words_addf(&line->function, "+0x%" PRIx64, symbol->offset);
	} else {
		words_add_target(&line->function, symbol->function);
		if (!symbol->file)
			words_addf(&line->function, "+0x%" PRIx64, symbol->offset);
	}
	if (symbol->file) {
		words_add_target(&line->place, symbol->file);
		if (symbol->line)
			words_addf(&line->place, ":%u", symbol->line);
	}
	line->own = is_program(process, symbol);
	if (symbol->function && (!symbol->file || !line->own)) {
		words_add(&line->place, symbol->file ? " in " : "in ");
		words_add_target(&line->place, module);
	}
	if (symbol->inlined)
		words_add(&line->place, " (inlined)");
}

static void lines_make(struct lines *lines, const struct page *page,
		       const struct report_process *process, const struct stack *stack)
{
	for (uint32_t i = 0; i < stack->frames_n; i++) {
		const struct symbol *symbols;
		uint32_t count =
		    symbolizer_lookup(page->report->symbolizer, &stack->frames[i], &symbols);

		for (uint32_t j = 0; j < count; j++) {
			struct line line = {0};

			line_make(&line, process, &symbols[j]);
			array_push(&lines->lines, line);
			lines->last_module = symbols[j].module;
		}
	}
}

static void line_write(const struct page *page, const struct line *line, uint32_t function_columns)
{
	const char *place = words_text(&line->place);
	uint32_t width = words_width(words_text(&line->function));
	uint32_t gap = (width < function_columns ? function_columns - width : 0) + 2;
	uint32_t columns = page->style->columns;

	page_spaces(page, TEXT_FRAME_INDENT);
	page_put(page, line->own ? PAGE_NAME : PAGE_PLAIN, words_text(&line->function));
	if (!*place) {
		fputc('\n', page->stream);
	} else if (columns && TEXT_FRAME_INDENT + width + gap + words_width(place) > columns) {
		fputc('\n', page->stream);
		page_paragraph(page, TEXT_FRAME_INDENT + 4, TEXT_FRAME_INDENT + 4, PAGE_PLAIN, "",
			       place);
	} else {
		page_spaces(page, gap);
		fprintf(page->stream, "%s\n", place);
	}
}

static void write_end(const struct page *page, const struct stack *stack, const char *last_module)
{
	static const char *const reasons[STACK_END_N] = {
	    [STACK_END_TRUNCATED] =
		"(cut here: the stack is longer than what was copied of it, at most 64 KiB)",
	    [STACK_END_NO_CFI] = "(ends here: no unwind information in ",
	    [STACK_END_BAD_READ] =
		"(ends here: the next frame would lie outside of the copied stack)",
	    [STACK_END_BAD_PC] = "(ends here: the next return address lies in no code)",
	    [STACK_END_TOO_DEEP] = "(cut here: only 256 frames are kept)",
	    [STACK_END_NO_COPY] = "(no stack: it could not be read)",
	};
	_cleanup_(words_fini) struct words line = {0};

	_Static_assert(STACK_FRAMES_MAX == 256, "said above");
	if (stack->end == STACK_END_COMPLETE)
		return;
	words_add(&line, reasons[stack->end]);
	if (stack->end == STACK_END_NO_CFI) {
		words_add_target(&line, last_module ? last_module : "the innermost function");
		words_add(&line, ")");
	}
	page_paragraph(page, TEXT_FRAME_INDENT, TEXT_FRAME_INDENT + 4, PAGE_PLAIN, "",
		       words_text(&line));
}

void text_stack(const struct page *page, const struct report_process *process, uint32_t stack_id)
{
	struct stack stack = stack_table_get(page->report->stacks, stack_id);
	_cleanup_(lines) struct lines lines = {0};
	uint32_t function_columns = 0;

	lines_make(&lines, page, process, &stack);
	array_each (line, &lines.lines) {
		uint32_t width = words_width(words_text(&line->function));

		if (width > function_columns && width <= FUNCTION_COLUMNS_MAX)
			function_columns = width;
	}
	array_each (line, &lines.lines)
		line_write(page, line, function_columns);
	write_end(page, &stack, lines.last_module);
}
