/* When something was, as a person wants it: how long ago, and what the clock on the wall said. */
#ifndef HTRACE_REPORT_WHEN_H
#define HTRACE_REPORT_WHEN_H

#include "report/report.h"
#include "report/words.h"

/* From `time_ns` to `end_ns`; 0 where it came later or is not known. */
uint64_t when_age_ns(uint64_t time_ns, uint64_t end_ns);

/*
 * The local time of a CLOCK_MONOTONIC moment: "14:03:05.123", with the date in front where that is
 * not the report's; nothing where the report does not know the time of day.
 */
void when_add_wall(struct words *words, const struct report *report, uint64_t time_ns);

/* "1.5 s ago (14:03:05.123)" */
void when_add(struct words *words, const struct report *report, uint64_t time_ns);

#endif
