/* Owns the list of formats and what all of them share about a report as a whole. */
#include "report/report.h"

const struct report_format *const report_formats[] = {
    &report_text,
    &report_windbg,
    &report_json,
    NULL,
};

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

void report_name(const struct report *report)
{
	array_each (process, &report->processes) {
		array_each (group, &process->diff.groups)
			name_stack(report, group->stack_id);
		array_each (bad, &process->process->bad_references) {
			name_stack(report, bad->now.stack_id);
			name_stack(report, bad->closed.stack_id);
			name_stack(report, bad->opened.stack_id);
		}
	}
}

void report_fini(struct report *report)
{
	array_each (process, &report->processes)
		diff_fini(&process->diff);
	array_fini(&report->processes);
}
