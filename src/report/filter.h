/*
 * What is told and what not: the conditions that --type, --name, --stack, --not-stack, --min-age
 * and --top are, and the counts of what they hide. They are applied to what the formats print, not
 * by the formats.
 *
 * A handle is told if it meets all conditions: one of the types, one of the names, the age, every
 * --stack and no --not-stack. A regular expression (POSIX, extended) is tried on each frame of the
 * stack, written as "FUNCTION MODULE FILE:LINE", with "-" for what is not known.
 */
#ifndef HTRACE_REPORT_FILTER_H
#define HTRACE_REPORT_FILTER_H

#include "base/error.h"
#include "model/model.h"

#include <stdint.h>

struct report;
struct report_process;
struct words;
struct filter;

/* In the order in which they are tried: names of frames, which take time, come last. */
enum filter_rule {
	FILTER_NONE = 0,
	FILTER_TYPE = 1,
	FILTER_NAME = 2,
	FILTER_MIN_AGE = 3,
	FILTER_STACK = 4,
	FILTER_NOT_STACK = 5,
	FILTER_TOP = 6,
	FILTER_RULES,
};

/* What was hidden, and by which rules. */
struct hidden {
	uint64_t places;        /* of which nothing is told, */
	uint64_t place_handles; /* and their handles */
	uint64_t handles;       /* others */
	uint64_t bad_references;
	uint64_t traces;
	uint64_t processes;
	uint32_t by; /* bit of each rule that hid any of them */
};

struct filter *filter_new(void); /* hides nothing */
void filter_free(struct filter *filter);

void filter_add_type(struct filter *filter, const char *type); /* or family (handle_type.h) */
void filter_add_name(struct filter *filter, const char *glob); /* fnmatch(3); copied */
void filter_set_min_age(struct filter *filter, uint64_t min_age_ns);
void filter_set_top(struct filter *filter, uint32_t top);
/* FILTER_STACK or FILTER_NOT_STACK; -EINVAL with a sentence. */
int filter_add_stack(struct filter *filter, enum filter_rule rule, const char *expression,
		     struct error *error);

/* How many are told at the most; UINT32_MAX: all. */
uint32_t filter_top(const struct filter *filter);

/* What the conditions are tried on. */
struct filter_subject {
	const char *type, *name;   /* NULL: not known */
	uint64_t begin_ns, end_ns; /* its age is the time between; begin 0: not known, not young */
	uint32_t stack_id;
};

/* The rule that hides it; FILTER_NONE: none does, or `filter` is NULL. Looks up names where it
 * must. */
enum filter_rule filter_try(struct filter *filter, const struct report *report,
			    const struct filter_subject *subject);
enum filter_rule filter_try_stack(struct filter *filter, const struct report *report,
				  uint32_t stack_id); /* this condition alone */
enum filter_rule filter_try_handle(struct filter *filter, const struct report *report,
				   const struct handle *handle, uint64_t end_ns);

/*
 * Takes what is hidden out of the report's groups, other handles and bad references, counts it in
 * report->hidden, and remembers the filter for the lists of handles and traces. A verdict stays
 * that of the whole place.
 */
void report_filter(struct report *report, struct filter *filter);

/* Keeps the places that --top says, the first ones in the order of report->sort (of all processes
 * together: a place that several have is one). After report_filter() and report_detail(). */
void report_keep_top(struct report *report);

/* "12 places with 340 handles and 3 other handles are hidden by --type, --top"; nothing where
 * nothing is. */
void hidden_add(struct words *words, const struct hidden *hidden);

/* The rule as it is typed: "--type". */
const char *filter_rule_name(enum filter_rule rule);

#define cleanup_filter filter_free

#endif
