/*
 * Owns the kernel-mode form of !htrace: the traces of one process after the other. What Windows
 * knows and Linux does not (the address of the object table) is left out, not made up.
 */
#include "base/cleanup.h"
#include "report/names.h"
#include "report/text_cache.h"
#include "report/trace_list.h"
#include "report/windbg_parts.h"

#include <inttypes.h>

static void add_symbol(struct words *words, const struct symbol *symbol)
{
	words_addf(words, "0x%016" PRIX64 ": ", symbol->pc);
	words_add_target(words, symbol->module ? symbol->module : "[unknown]");
	if (symbol->function) {
		words_add(words, "!");
		words_add_target(words, symbol->function);
	}
	words_addf(words, "+0x%" PRIX64 "%s\n", symbol->offset,
		   symbol->inlined ? " (inlined)" : "");
}

void windbg_add_stack(struct words *words, const struct report *report, uint32_t stack_id)
{
	struct stack stack = stack_table_get(report->stacks, stack_id);

	for (uint32_t i = 0; i < stack.frames_n; i++) {
		const struct symbol *symbols;
		uint32_t count = symbolizer_lookup(report->symbolizer, &stack.frames[i], &symbols);

		for (uint32_t j = 0; j < count; j++)
			add_symbol(words, &symbols[j]);
	}
	if (stack_id != STACK_NONE && stack.end != STACK_END_COMPLETE)
		words_addf(words, "[stack ends here: %s]\n", name_of_stack_end(stack.end));
}

static void write_stack(const void *context, uint64_t key, FILE *stream)
{
	_cleanup_(words_fini) struct words words = {0};

	windbg_add_stack(&words, context, (uint32_t)key);
	fputs(words_text(&words), stream);
}

static const char *name_of_kind(enum trace_kind kind)
{
	return kind == TRACE_OPEN ? "OPEN" : kind == TRACE_CLOSE ? "CLOSE" : "BAD REFERENCE";
}

int windbg_traces(const struct report *report, const struct report_query *query,
		  const struct report_style *style, FILE *stream)
{
	_cleanup_(trace_list_fini) struct trace_list list;
	_cleanup_(text_cache_fini) struct text_cache stacks = {0};

	trace_list_make(&list, report, query);
	if (query->pid && !list.sections.count)
		fprintf(stream, "Process 0x%X is not traced.\n\n", (unsigned)query->pid);
	array_each (section, &list.sections) {
		if (!section->count && !query->pid)
			continue;
		fprintf(stream, "Process 0x%X\n\n", (unsigned)section->pid);
		for (size_t i = 0; i < section->count; i++) {
			const struct trace *trace = &list.traces.data[section->first + i].trace;

			fprintf(
			    stream, "Handle 0x%X - %s:\n%s" WINDBG_SEPARATOR,
			    (unsigned)trace->number, name_of_kind(trace->kind),
			    text_cache_get(&stacks, trace->moment.stack_id, write_stack, report));
		}
		if (section->process.process)
			windbg_losses(section->process.process, stream);
		if (section->count)
			fputc('\n', stream);
	}
	fprintf(stream, "Parsed 0x%" PRIx64 " stack traces.\nDumped 0x%zx stack traces.\n",
		list.parsed, list.traces.count);
	if (list.total > list.kept)
		fprintf(stream, "Warning: 0x%" PRIx64 " older stack traces are not kept.\n",
			list.total - list.kept);
	windbg_hidden(&list.hidden, stream);
	windbg_common_losses(report, stream);
	return stream_finish(stream);
}
