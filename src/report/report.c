/* Owns the list of formats and what all of them share about a report as a whole. */
#include "report/report.h"

#include "base/cleanup.h"
#include "base/map.h"
#include "report/cloexec.h"
#include "report/handle_list.h"
#include "report/opener.h"
#include "report/trace_list.h"

const struct report_format *const report_formats[] = {
    &report_text,
    &report_windbg,
    &report_json,
    NULL,
};

bool group_tells_closers(const struct group *group)
{
	return group->ends && (group->verdict == VERDICT_LEAK || group->verdict == VERDICT_GROWING);
}

uint64_t report_leaks(const struct report *report)
{
	uint64_t leaks = 0;

	array_each (process, &report->processes)
		array_each (group, &process->diff.groups)
			leaks +=
			    group->verdict == VERDICT_LEAK || group->verdict == VERDICT_GROWING;
	return leaks;
}

static void name_stack(const struct report *report, uint32_t stack_id)
{
	struct stack stack = stack_table_get(report->stacks, stack_id);
	const struct symbol *symbols;

	for (uint32_t i = 0; i < stack.frames_n; i++)
		symbolizer_lookup(report->symbolizer, &stack.frames[i], &symbols);
}

static void name_group(const struct report *report, const struct group *group)
{
	name_stack(report, group->stack_id);
	for (uint32_t i = 0; group_tells_closers(group) && i < group->ends->closers_n; i++)
		name_stack(report, group->ends->closers[i].stack_id);
}

static void name_cloexec(const struct report *report)
{
	_cleanup_(cloexec_list_fini) struct cloexec_list list = {0};

	if (report->cloexec == REPORT_CLOEXEC_NO)
		return;
	cloexec_list_make(&list, report);
	array_each (place, &list.places)
		name_stack(report, place->stack_id);
}

static void name_exhausted(const struct report *report, const struct exhaustion *exhausted)
{
	if (!exhausted)
		return;
	name_stack(report, exhausted->stack_id);
	for (uint32_t i = 0; i < exhausted->holders_n; i++)
		name_stack(report, exhausted->holders[i].stack_id);
	array_each (place, &exhausted->places)
		name_stack(report, place->stack_id);
}

void report_name(const struct report *report)
{
	name_cloexec(report);
	array_each (process, &report->processes) {
		array_each (group, &process->diff.groups)
			name_group(report, group);
		array_each (handle, &process->diff.others)
			if (handle->origin == ORIGIN_INHERITED)
				opener_find(report, handle->opened.stack_id);
		array_each (bad, &process->process->bad_references) {
			if (!report_tells_bad(process, bad))
				continue;
			name_stack(report, bad->now.stack_id);
			name_stack(report, bad->closed.stack_id);
			name_stack(report, bad->opened.stack_id);
			name_stack(report, bad->earlier.stack_id);
			name_stack(report, bad->noticed.stack_id);
		}
		name_exhausted(report, process->process->exhausted);
	}
}

void report_name_traces(const struct report *report, const struct report_query *query)
{
	_cleanup_(trace_list_fini) struct trace_list list;
	struct map named = {0};

	trace_list_make(&list, report, query);
	array_each (item, &list.traces)
		if (!(*map_put(&named, item->trace.moment.stack_id))++)
			name_stack(report, item->trace.moment.stack_id);
	map_fini(&named);
}

void report_name_handles(const struct report *report, const struct report_query *query)
{
	_cleanup_(handle_list_fini) struct handle_list list;
	struct map named = {0};

	handle_list_make(&list, report, query);
	array_each (section, &list.sections)
		array_each (item, &section->handles) {
			uint32_t stack_id = (*item)->opened.stack_id;

			if ((*map_put(&named, stack_id))++)
				continue;
			if (query->number >= 0)
				name_stack(report, stack_id);
			else
				opener_find(report, stack_id);
		}
	map_fini(&named);
}

static void process_fini(struct report_process *process)
{
	diff_fini(&process->diff);
	free(process->bad_hidden);
}

void report_keep(struct report *report, int32_t pid)
{
	size_t kept = 0;

	array_each (process, &report->processes) {
		if (process->process->pid == pid)
			report->processes.data[kept++] = *process;
		else
			process_fini(process);
	}
	report->processes.count = kept;
}

void report_fini(struct report *report)
{
	array_each (process, &report->processes)
		process_fini(process);
	array_fini(&report->processes);
	details_free(report->details);
	report->details = NULL;
}
