/* Owns the step from the monotonic clock to the one on the wall. */
#include "report/when.h"

#include "trace/duration.h"

#include <time.h>

static const int64_t ns_per_s = 1000000000;

uint64_t when_age_ns(uint64_t time_ns, uint64_t end_ns)
{
	return time_ns && end_ns > time_ns ? end_ns - time_ns : 0;
}

void when_add_wall(struct words *words, const struct report *report, uint64_t time_ns)
{
	/* Both fit: the monotonic clock counts from the machine's start. */
	int64_t before_ns = (int64_t)(report->now_ns - time_ns);
	int64_t wall_ns = report->wall.tv_nsec - before_ns % ns_per_s;
	time_t then = report->wall.tv_sec - before_ns / ns_per_s;
	struct tm tm, today;
	char text[40];

	if (wall_ns < 0) {
		wall_ns += ns_per_s;
		then--;
	} else if (wall_ns >= ns_per_s) {
		wall_ns -= ns_per_s;
		then++;
	}
	if (!report->wall.tv_sec || !time_ns || !localtime_r(&then, &tm) ||
	    !localtime_r(&report->wall.tv_sec, &today))
		return;
	if (tm.tm_year != today.tm_year || tm.tm_yday != today.tm_yday) {
		strftime(text, sizeof(text), "%Y-%m-%d ", &tm);
		words_add(words, text);
	}
	strftime(text, sizeof(text), "%H:%M:%S", &tm);
	words_addf(words, "%s.%03d", text, (int)(wall_ns / 1000000));
}

void when_add(struct words *words, const struct report *report, uint64_t time_ns)
{
	char age[DURATION_BYTES];

	words_addf(words, "%s ago", duration_write(when_age_ns(time_ns, report->now_ns), age));
	if (!report->wall.tv_sec)
		return;
	words_add(words, " (");
	when_add_wall(words, report, time_ns);
	words_add(words, ")");
}
