/*
 * Owns the shape of WinDbg's !handle: a block for each handle and, where all are asked for, the
 * counts by type at the end. What Linux knows besides follows in lines of the same form.
 */
#include "base/cleanup.h"
#include "base/map.h"
#include "report/detail_words.h"
#include "report/handle_list.h"
#include "report/names.h"
#include "report/opener.h"
#include "report/text_cache.h"
#include "report/when.h"
#include "report/windbg_parts.h"
#include "trace/duration.h"

#include <inttypes.h>
#include <string.h>

struct output {
	const struct report *report;
	const struct handle_section *section;
	FILE *stream;
	struct text_cache places; /* stack_id -> its "Opened at" line */
	struct words name;
};

static void cleanup_output(struct output *output)
{
	text_cache_fini(&output->places);
	words_fini(&output->name);
}

/* As WinDbg shows a symbol with its line: "leaky!fun4+0x26 [leakyhandles.c @ 41]". */
static void write_place(const void *context, uint64_t key, FILE *stream)
{
	const struct symbol *symbol = opener_find(context, (uint32_t)key);
	_cleanup_(words_fini) struct words words = {0};

	if (!symbol)
		return;
	words_add_target(&words, symbol->module ? symbol->module : "[unknown]");
	if (symbol->function) {
		words_add(&words, "!");
		words_add_target(&words, symbol->function);
	}
	words_addf(&words, "+0x%" PRIx64, symbol->offset);
	if (symbol->file) {
		words_add(&words, " [");
		words_add_target(&words, symbol->file);
		if (symbol->line)
			words_addf(&words, " @ %u", symbol->line);
		words_add(&words, "]");
	}
	fprintf(stream, "  %-14s%s\n", "OpenedAt", words_text(&words));
}

/* Writes the line, if anything was added for it. */
static void write_line(const struct output *output, const char *label, struct words *words)
{
	if (*words_text(words))
		fprintf(output->stream, "  %-14s%s\n", label, words_text(words));
	words_clear(words);
}

/* What the kernel tells of it now. */
static void write_detail(const struct output *output, const struct detail *detail)
{
	_cleanup_(words_fini) struct words words = {0};

	if (!detail)
		return;
	detail_add_object(&words, detail);
	write_line(output, "Object", &words);
	detail_add_flag_names(&words, detail->info.flags);
	write_line(output, "Flags", &words);
	detail_add_locks(&words, detail);
	write_line(output, "Locks", &words);
	detail_add_holders(&words, &detail->holders);
	write_line(output, "AlsoHeldBy", &words);
	detail_add_cost(&words, detail->cost, detail->cost_bytes);
	write_line(output, "Cost", &words);
	words_add_target(&words, detail->opener);
	write_line(output, "ThreadName", &words);
}

static void write_handle(struct output *output, const struct handle *handle)
{
	const struct handle_moment *opened = &handle->opened;
	char age[DURATION_BYTES];

	words_clear(&output->name);
	if (handle->name)
		words_add_target(&output->name, handle->name);
	fprintf(output->stream,
		"Handle %x\n"
		"  %-14s%s\n"
		"  %-14s%s\n"
		"  %-14s%s\n"
		"  %-14s%s\n",
		(unsigned)handle->number, "Type", handle->type ? handle->type : "<unknown>",
		"Attributes", handle->cloexec ? "0" : "0x2:Inherit", "Name",
		handle->name ? words_text(&output->name) : "<none>", "Origin",
		name_of_origin(handle->origin));
	if (opened->time_ns)
		fprintf(output->stream, "  %-14s%s\n  %-14s0x%08x\n", "OpenFor",
			duration_write(when_age_ns(opened->time_ns, output->section->end_ns), age),
			"ThreadId", (unsigned)opened->tid);
	write_detail(output, details_get(output->report->details,
					 output->section->process->process->pid, handle));
	fputs(text_cache_get(&output->places, opened->stack_id, write_place, output->report),
	      output->stream);
}

struct type_count {
	const char *type;
	uint64_t count;
};

static int compare_types(const void *left, const void *right)
{
	const struct type_count *a = left, *b = right;

	return strcmp(a->type, b->type);
}

/* Types are few: each string of the model is looked for once. */
static void write_types(const struct output *output)
{
	ARRAY(struct type_count) types = {0};
	struct map index = {0};

	array_each (item, &output->section->handles) {
		const char *type = (*item)->type ? (*item)->type : "<unknown>";
		uint64_t *slot = map_put(&index, (uintptr_t)(*item)->type);

		if (!*slot) {
			array_push(&types, (struct type_count){.type = type});
			*slot = types.count;
		}
		types.data[*slot - 1].count++;
	}
	if (types.count)
		qsort(types.data, types.count, sizeof(*types.data), compare_types);
	fprintf(output->stream, "%zu Handles\n%-15s%s\n", output->section->handles.count, "Type",
		"Count");
	array_each (item, &types)
		fprintf(output->stream, "%-15s%" PRIu64 "\n", item->type, item->count);
	array_fini(&types);
	map_fini(&index);
}

static void write_one(struct output *output, const struct handle *handle)
{
	_cleanup_(words_fini) struct words stack = {0};

	write_handle(output, handle);
	windbg_add_stack(&stack, output->report, handle->opened.stack_id);
	if (*words_text(&stack))
		fprintf(output->stream, "\n%s", words_text(&stack));
}

static void write_section(struct output *output, const struct report_query *query)
{
	const struct handle_section *section = output->section;

	if (query->number >= 0 && !section->handles.count)
		fprintf(output->stream, "Handle %x is not open.\n", (unsigned)query->number);
	array_each (handle, &section->handles) {
		if (query->number >= 0)
			write_one(output, *handle);
		else
			write_handle(output, *handle);
	}
	if (query->number < 0)
		write_types(output);
	windbg_losses(section->process->process, output->stream);
}

int windbg_handles(const struct report *report, const struct report_query *query,
		   const struct report_style *style, FILE *stream)
{
	_cleanup_(handle_list_fini) struct handle_list list;
	_cleanup_(output) struct output output = {.report = report, .stream = stream};

	handle_list_make(&list, report, query);
	if (!list.sections.count && query->pid)
		fprintf(stream, "Process 0x%X is not traced.\n", (unsigned)query->pid);
	else if (!list.sections.count && query->number >= 0)
		fprintf(stream, "Handle %x is not open.\n", (unsigned)query->number);
	else if (!list.sections.count)
		fputs("0 Handles\n", stream);
	array_each (section, &list.sections) {
		if (!query->pid)
			fprintf(stream, "%sProcess 0x%X\n",
				section == list.sections.data ? "" : "\n",
				(unsigned)section->process->process->pid);
		output.section = section;
		write_section(&output, query);
	}
	windbg_hidden(&list.hidden, stream);
	windbg_common_losses(report, stream);
	return stream_finish(stream);
}
