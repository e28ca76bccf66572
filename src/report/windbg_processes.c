/*
 * Owns the list of processes in the debugger's manner: !htrace itself has none, so the lines follow
 * those of its !process 0 0 ("PROCESS 81400300 ... HandleCount:  53." and an image below).
 */
#include "base/cleanup.h"
#include "report/list_processes.h"
#include "report/names.h"
#include "report/processes.h"
#include "report/windbg_parts.h"

#include <inttypes.h>

static void write_row(const struct process_row *row, FILE *stream)
{
	_cleanup_(words_fini) struct words line = {0};

	words_add(&line, "    Image: ");
	words_add_target(&line, process_row_program(row));
	if (row->worst) {
		words_add(&line, "\n    Outstanding: ");
		process_row_add_worst(&line, row);
	}
	fprintf(stream,
		"PROCESS 0x%08x  ParentCid: 0x%08x  HandleCount: %" PRIu64 ".  Opened: %" PRIu64
		".  Closed: %" PRIu64 ".  Outstanding: %" PRIu64 ".\n%s\n\n",
		(unsigned)row->shown->process->pid, (unsigned)row->shown->process->parent,
		row->shown->diff.open_handles, row->opened, row->closed, row->left,
		words_text(&line));
}

int windbg_processes(const struct report *report, const struct report_style *style, FILE *stream)
{
	_cleanup_(process_rows_fini) struct process_rows rows = {0};
	uint64_t displayed = 0;

	(void)style;
	process_rows_make(&rows, report);
	array_each (row, &rows.rows) {
		if (row->shown->process->exited)
			continue;
		write_row(row, stream);
		displayed++;
	}
	fprintf(stream, "Displayed 0x%" PRIx64 " processes.\n", displayed);
	windbg_hidden(&rows.hidden, stream);
	if (report->lost_events)
		fprintf(stream, "Warning: 0x%" PRIx64 " events were lost.\n", report->lost_events);
	if (report->foreign_processes)
		fprintf(stream, "Warning: 0x%" PRIx64 " 32-bit programs were not traced.\n",
			report->foreign_processes);
	return stream_finish(stream);
}
