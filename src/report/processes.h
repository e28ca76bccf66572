/*
 * The list of processes by what they opened and did not close (`htrace 0 0`): its rows and their
 * order, the same in every format. Names are looked up when it is made, so that writing waits for
 * none.
 */
#ifndef HTRACE_REPORT_PROCESSES_H
#define HTRACE_REPORT_PROCESSES_H

#include "report/report.h"
#include "report/words.h"

struct process_row {
	const struct report_process *shown;
	uint64_t left;   /* opened since tracing began and still open */
	uint64_t opened; /* since tracing began; closed of these */
	uint64_t closed;
	uint32_t leaks;             /* groups with verdict leak or growing */
	const struct group *worst;  /* since the snapshot; NULL: there is none */
	const struct symbol *place; /* that opened it (report/opener.h); NULL: not known */
};

/* Living ones first, then by `left`, `leaks` and pid. Borrowed from the report; process_rows_fini()
 * frees. */
struct process_rows {
	ARRAY(struct process_row) rows;
	struct hidden hidden; /* the report's, and processes of which nothing is left, or beyond
				 --top */
};
void process_rows_make(struct process_rows *rows, const struct report *report);
void process_rows_fini(struct process_rows *rows);

/* The last part of the program's path; "?" where it is not known. */
const char *process_row_program(const struct process_row *row);

/* "10 eventfd by fun4 (leakyhandles.c:41)", made harmless; nothing where there is no group. */
void process_row_add_worst(struct words *words, const struct process_row *row);

#define cleanup_process_rows_fini process_rows_fini

#endif
