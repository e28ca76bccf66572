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

void report_fini(struct report *report)
{
	array_each (process, &report->processes)
		diff_fini(&process->diff);
	array_fini(&report->processes);
}
