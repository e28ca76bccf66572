/*
 * The report model: what all formats print. It is built from the model and the symbolizer, and
 * knows nothing of how the data was collected but the collector's name.
 */
#ifndef HTRACE_REPORT_REPORT_H
#define HTRACE_REPORT_REPORT_H

#include "detail/detail.h"
#include "model/model.h"
#include "report/filter.h"
#include "stack/stack_table.h"
#include "symbol/symbolizer.h"
#include "trace/diff.h"
#include "trace/history.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct report_process {
	const struct process *process;
	const char *exe; /* path; NULL: not known */
	struct diff diff;
	bool *bad_hidden; /* by index of bad reference: a filter hides it; NULL: none is hidden */
};

/* Whether the report tells what went over exec (report/cloexec.h). */
enum report_cloexec {
	REPORT_CLOEXEC_NO = 0,
	REPORT_CLOEXEC_YES, /* but numbers 0 to 2 */
	REPORT_CLOEXEC_ALL,
};

enum report_sort {
	SORT_DEFAULT = 0, /* groups: what matters first; handles: by number */
	SORT_OPEN = 1,    /* groups: how many are open */
	SORT_COST = 2,    /* what they hold of memory and disk */
	SORT_AGE = 3,     /* the oldest first */
};

struct report {
	const char *collector;
	const struct model *model;
	const struct stack_table *stacks;
	const struct history *history;
	struct symbolizer *symbolizer;
	uint64_t now_ns;            /* CLOCK_MONOTONIC: ages are counted from here */
	uint64_t lost_events;       /* whose they were is not known */
	uint64_t foreign_processes; /* 32-bit programs that children became: not recorded */
	uint64_t unseen_processes;  /* ran a program that the agent cannot be put into */
	struct timespec wall;       /* time of day of the report */
	uint64_t every_ns;          /* growth over time is told; 0: it is not */
	const char *occasion;       /* why it was written, a sentence; NULL: it was asked for */
	struct details *details;    /* NULL: not asked for. Owned */
	enum report_sort sort;      /* of groups and handles */
	bool snapshot_told;         /* the user asked for the snapshot, and was told of it */
	enum report_cloexec cloexec;
	uint64_t cloexec_since_ns; /* only what went over exec since then */
	int32_t cloexec_pid;       /* only what concerns this process; 0: all */
	struct filter *filter;     /* NULL: none; set by report_filter() */
	struct hidden hidden;      /* what it has taken out of `processes` */
	ARRAY(struct report_process) processes;
};

/* How to write: asked of the terminal by cli/, never by report/. */
struct report_style {
	bool colour;
	uint32_t columns; /* 0: unlimited; lines are wrapped, never cut */
};

/* What of a report `show` and `handles` are asked for. */
struct report_query {
	int32_t pid;         /* 0: of all processes */
	int32_t number;      /* of a handle; -1: of all */
	uint32_t traces_max; /* the newest; 0: all that are kept */
};

/* Of which handles a report says what they are now. */
enum report_details { DETAILS_OF_NONE = 0, DETAILS_OF_GROUPS = 1, DETAILS_OF_ALL = 2 };

/* Each writes to `stream`; 0, or a negative errno when the stream failed. */
struct report_format {
	const char *name; /* as in --format= */
	const char *help;
	enum report_details details; /* that `write` wants; `write_handles` wants those of all */
	/* The whole report: what is open since the snapshot. */
	int (*write)(const struct report *report, const struct report_style *style, FILE *stream);
	/* The traces of handles, newest first: OPEN, CLOSE, BAD REFERENCE. */
	int (*write_traces)(const struct report *report, const struct report_query *query,
			    const struct report_style *style, FILE *stream);
	/* The open handles, and what is known of each. */
	int (*write_handles)(const struct report *report, const struct report_query *query,
			     const struct report_style *style, FILE *stream);
	/* The processes, by what they opened since tracing began and did not close. */
	int (*write_processes)(const struct report *report, const struct report_style *style,
			       FILE *stream);
};

extern const struct report_format report_text;
extern const struct report_format report_windbg;
extern const struct report_format report_json;

/* All of them, ending with NULL. */
extern const struct report_format *const report_formats[];

/* Looks up every name that a format will want, so that writing waits for none: what is slow, and
 * tells of its progress, is over before the first line. */
void report_name(const struct report *report);

/* Likewise for what `show` and `handles` will write: not more than that. */
void report_name_traces(const struct report *report, const struct report_query *query);
void report_name_handles(const struct report *report, const struct report_query *query);

/* Asks the kernel what the handles are that `format` will write, and puts groups in the order that
 * is wanted. To be called once, before writing; without it nothing is known of them. */
void report_detail(struct report *report, const struct report_format *format);
void report_detail_handles(struct report *report, const struct report_query *query);

/* Whether reports say where the place's other handles were closed. */
bool group_tells_closers(const struct group *group);

/* Whether a filter leaves this bad reference of the process. */
bool report_tells_bad(const struct report_process *shown, const struct bad_reference *bad);

/* What is told at once when calls of a process begin to fail for want of a handle: one paragraph,
 * with the names that it needs. process->exhausted is not NULL. 0, or a negative errno. */
int report_exhausted_now(const struct report *report, const struct process *process,
			 const struct report_style *style, FILE *stream);

/* Number of groups with verdict leak or growing, in all processes. */
uint64_t report_leaks(const struct report *report);

/* Drops all processes but `pid`. */
void report_keep(struct report *report, int32_t pid);

/* Frees the diffs, the details and the array, not what is borrowed. */
void report_fini(struct report *report);

#endif
