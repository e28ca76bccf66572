/* Owns how a group of handles looks in the text report. */
#include "report/text_parts.h"

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/map.h"
#include "report/opener.h"
#include "report/text_detail.h"
#include "report/words.h"
#include "trace/duration.h"

#include <ctype.h>
#include <string.h>

/* More distinct names than this are counted, not printed. */
enum { NAMES_MAX = 8, GROWTH_SHOWN = 16 };

static void group_line(const struct page *page, const char *label, const char *text)
{
	char head[16];

	snprintf(head, sizeof(head), "%-9s", label);
	page_paragraph(page, TEXT_INDENT, TEXT_INDENT + 10, PAGE_FAINT, head, text);
}

static uint64_t age_ns(uint64_t opened_ns, uint64_t end_ns)
{
	return end_ns > opened_ns ? end_ns - opened_ns : 0;
}

static void write_ages(const struct page *page, const struct group *group, uint64_t end_ns)
{
	_cleanup_(words_fini) struct words line = {0};
	char oldest[DURATION_BYTES], youngest[DURATION_BYTES];

	if (!group->oldest_ns)
		return;
	duration_write(age_ns(group->oldest_ns, end_ns), oldest);
	duration_write(age_ns(group->newest_ns, end_ns), youngest);
	if (strcmp(oldest, youngest))
		words_addf(&line, " %s to %s", youngest, oldest);
	else
		words_addf(&line, " %s", oldest);
	group_line(page, "open for", words_text(&line));
}

static void write_numbers(const struct page *page, const struct group *group)
{
	_cleanup_(words_fini) struct words line = {0};
	struct words_ranges ranges = {0};

	words_add(&line, " ");
	array_each (handle, &group->handles)
		words_add_range(&line, &ranges, handle->number);
	words_add_range_end(&line, &ranges);
	group_line(page, group->handles.count == 1 ? "handle" : "handles", words_text(&line));
}

static void write_threads(const struct page *page, const struct group *group, int32_t pid)
{
	_cleanup_(words_fini) struct words line = {0};
	struct map tids = {0};

	array_each (handle, &group->handles)
		if (handle->opened.time_ns)
			++*map_put(&tids, (uint32_t)handle->opened.tid);
	if (tids.count == 1 && !map_get(&tids, (uint32_t)pid)) {
		words_addf(&line, " %d", group->handles.data[0].opened.tid);
		group_line(page, "thread", words_text(&line));
	} else if (tids.count > 1) {
		words_add(&line, " opened by ");
		words_add_counted(&line, tids.count, "thread", "threads");
		group_line(page, "threads", words_text(&line));
	}
	map_fini(&tids);
}

/* How often each name occurs; the first NAMES_MAX names in the order of the handles. */
struct names {
	struct map counts; /* hash of the name -> count */
	const char *shown[NAMES_MAX];
	uint32_t shown_n;
	uint64_t nameless;
};

static uint64_t name_key(const char *name)
{
	return hash_bytes(name, strlen(name), 0);
}

static void names_count(struct names *names, const struct group *group)
{
	array_each (handle, &group->handles) {
		uint64_t *count;

		if (!handle->name) {
			names->nameless++;
			continue;
		}
		count = map_put(&names->counts, name_key(handle->name));
		if (!(*count)++ && names->shown_n < NAMES_MAX)
			names->shown[names->shown_n++] = handle->name;
	}
}

/* "socket:[41]": a number that says nothing to a reader. */
static bool is_number(const char *name)
{
	return !strncmp(name, "socket:[", 8) || !strncmp(name, "pipe:[", 6);
}

static bool are_numbers(const struct names *names)
{
	for (uint32_t i = 0; i < names->shown_n; i++)
		if (!is_number(names->shown[i]))
			return false;
	return names->shown_n > 1;
}

static void write_names(const struct page *page, const struct group *group)
{
	_cleanup_(words_fini) struct words line = {0};
	struct names names = {0};

	names_count(&names, group);
	if (are_numbers(&names))
		names.shown_n = 0;
	for (uint32_t i = 0; i < names.shown_n; i++) {
		uint64_t count = *map_get(&names.counts, name_key(names.shown[i]));

		words_add(&line, i ? ", " : " ");
		words_add_target(&line, names.shown[i]);
		if (count > 1 && (names.counts.count > 1 || names.nameless)) {
			words_add(&line, " (");
			words_add_counted(&line, count, "time)", "times)");
		}
	}
	if (names.shown_n && names.counts.count > names.shown_n) {
		words_add(&line, " and ");
		words_add_count(&line, names.counts.count - names.shown_n);
		words_add(&line, " more");
	}
	if (names.shown_n)
		group_line(page, names.counts.count == 1 ? "name" : "names", words_text(&line));
	map_fini(&names.counts);
}

static enum page_colour verdict_colour(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_LEAK:
		return PAGE_BAD;
	case VERDICT_GROWING:
	case VERDICT_UNKNOWN:
		return PAGE_DOUBT;
	default:
		return PAGE_GOOD;
	}
}

static void write_head(const struct page *page, const struct group *group, uint32_t rank)
{
	_cleanup_(words_fini) struct words line = {0};
	char head[32], verdict[16];
	size_t i = 0;

	for (const char *name = verdict_name(group->verdict); *name && i < sizeof(verdict) - 1;
	     name++)
		verdict[i++] = toupper((unsigned char)*name);
	verdict[i] = 0;
	snprintf(head, sizeof(head), "#%u %s", rank, verdict);
	words_add(&line, " ");
	words_add_count(&line, group->open);
	words_addf(&line, " %s", group->type ? group->type : "of unknown type");
	if (group->origin == ORIGIN_RECEIVED)
		words_add(&line, ", received over a socket");
	words_addf(&line, ": %s", group->reason);
	page_paragraph(page, 0, TEXT_INDENT, verdict_colour(group->verdict), head,
		       words_text(&line));
}

/* Where the others are closed: the way that these have missed. */
static void write_closers(const struct page *page, const struct group *group)
{
	if (!group_tells_closers(group))
		return;
	for (uint32_t i = 0; i < group->ends->closers_n; i++) {
		const struct closer *closer = &group->ends->closers[i];
		const struct symbol *place = opener_find(page->report, closer->stack_id);
		_cleanup_(words_fini) struct words line = {0};

		words_add(&line, " ");
		words_add_count(&line, closer->count);
		words_add(&line, " of ");
		words_add_counted(&line, group->closed, "closed one in ", "closed ones in ");
		if (place)
			opener_add(&line, place);
		else
			words_add(&line, "a place that is not known");
		group_line(page, "closed", words_text(&line));
	}
	if (group->ends->closed_elsewhere) {
		_cleanup_(words_fini) struct words line = {0};

		words_add(&line, " ");
		words_add_count(&line, group->ends->closed_elsewhere);
		words_add(&line, " in more places than are kept");
		group_line(page, "closed", words_text(&line));
	}
}

/* At most GROWTH_SHOWN numbers: every second one, every fourth, ... */
void text_growth(const struct page *page, const struct growth_times *times, const uint32_t *open)
{
	_cleanup_(words_fini) struct words line = {0};
	char every[DURATION_BYTES];
	uint32_t stride = 1;

	if (!page->report->every_ns || !times || !times->n || !open)
		return;
	while ((times->n + stride - 1) / stride > GROWTH_SHOWN)
		stride *= 2;
	words_add(&line, " over time: ");
	for (uint32_t i = 0; i < times->n; i += stride) {
		words_add(&line, i ? ", " : "");
		words_add_count(&line, open[i]);
	}
	words_addf(&line, " (every %s)", duration_write(times->step_ns * stride, every));
	group_line(page, "open", words_text(&line));
}

void text_group(const struct page *page, const struct report_process *process,
		const struct group *group, uint32_t rank)
{
	fputc('\n', page->stream);
	write_head(page, group, rank);
	write_ages(page, group, process->diff.end_ns);
	write_numbers(page, group);
	if (group->growth)
		text_growth(page, process->process->growth_times, group->growth->open);
	write_threads(page, group, process->process->pid);
	write_names(page, group);
	text_detail_group(page, process, group);
	group_line(page, "opened at", "");
	text_stack(page, process, group->stack_id);
	write_closers(page, group);
}
