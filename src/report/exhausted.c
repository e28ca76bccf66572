/*
 * Owns the words for a process that is out of handles: which call failed how, how full the table
 * was, who held the handles. The same in the report and in what is told at once.
 */
#include "report/exhausted.h"

#include "base/cleanup.h"
#include "model/fd_syscalls.h"
#include "report/names.h"
#include "report/opener.h"
#include "report/page.h"
#include "report/text_parts.h"
#include "report/when.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { HOLDINGS_SHOWN = 6 };

static bool strings_equal(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static const char *name_of_error(int32_t error)
{
	return error == -ENFILE ? "ENFILE" : "EMFILE";
}

static void add_limits(struct words *line, const struct exhaustion *exhausted)
{
	const struct exhausted_limits *limits = &exhausted->limits;

	words_add(line, ", with ");
	words_add_count(line, exhausted->open);
	if (limits->process && exhausted->open <= limits->process) {
		words_add(line, " of ");
		words_add_count(line, limits->process);
	}
	words_add(line, " open");
	/* Some numbers are above it: they were given out before the limit was lowered. */
	if (limits->process && exhausted->open > limits->process) {
		words_add(line, " (the limit is ");
		words_add_count(line, limits->process);
		words_add(line, ")");
	}
	if (!limits->system)
		return;
	words_add(line, "; on the machine ");
	words_add_count(line, limits->system_open);
	words_add(line, " of ");
	words_add_count(line, limits->system);
	words_add(line, " files");
}

const char *exhausted_other_limit(const struct exhaustion *exhausted)
{
	const struct exhausted_limits *limits = &exhausted->limits;
	bool is_full = exhausted->error == -ENFILE
			   ? limits->system && limits->system_open >= limits->system
			   : limits->process && exhausted->open >= limits->process;

	return is_full ? NULL : fd_syscalls_other_limit(exhausted->call, exhausted->error);
}

static void add_place(struct words *line, const struct report *report, uint32_t stack_id)
{
	const struct symbol *place = opener_find(report, stack_id);

	if (place)
		opener_add(line, place);
	else
		words_add(line, "a place that is not known");
}

/* Ways to one place are one holder: it is the place that a person looks for. */
struct holding {
	const struct exhausted_holder *first;
	const struct symbol *place; /* NULL: of what was not seen being opened */
	uint64_t open;
};

static bool has_place(const struct exhausted_holder *holder)
{
	return holder->origin == ORIGIN_OPENED || holder->origin == ORIGIN_RECEIVED;
}

static void add_holding(struct words *line, const struct holding *holding)
{
	static const char *const origins[] = {
	    [ORIGIN_OPENED] = " in ",
	    [ORIGIN_BEFORE_TRACING] = " from before tracing",
	    [ORIGIN_INHERITED] = " inherited",
	    [ORIGIN_RECEIVED] = " received in ",
	    [ORIGIN_UNKNOWN] = " opened unseen",
	};
	const struct exhausted_holder *holder = holding->first;

	words_add_count(line, holding->open);
	words_add(line, " ");
	words_add_target(line, holder->type ? holder->type : "of unknown type");
	words_add(line, origins[holder->origin]);
	if (holding->place)
		opener_add(line, holding->place);
	else if (has_place(holder))
		words_add(line, "a place that is not known");
}

static int compare_holdings(const void *left, const void *right)
{
	const struct holding *a = left, *b = right;

	if (a->open != b->open)
		return a->open > b->open ? -1 : 1;
	return a->first < b->first ? -1 : 1; /* the model's order */
}

static void add_holders(struct words *line, const struct report *report,
			const struct exhaustion *exhausted)
{
	struct holding all[EXHAUSTED_HOLDERS_MAX];
	size_t n = 0;

	for (uint32_t i = 0; i < exhausted->holders_n; i++) {
		const struct exhausted_holder *holder = &exhausted->holders[i];
		const struct symbol *place =
		    has_place(holder) ? opener_find(report, holder->stack_id) : NULL;
		size_t at = 0;

		while (at < n &&
		       (all[at].place != place || all[at].first->origin != holder->origin ||
			!strings_equal(all[at].first->type, holder->type)))
			at++;
		if (at == n)
			all[n++] = (struct holding){.first = holder, .place = place};
		all[at].open += holder->open;
	}
	qsort(all, n, sizeof(*all), compare_holdings);
	for (size_t i = 0; i < n && i < HOLDINGS_SHOWN; i++) {
		words_add(line, i ? ", " : "; most by: ");
		add_holding(line, &all[i]);
	}
}

static void add_other_limit(struct words *line, const struct exhaustion *exhausted)
{
	const char *other = exhausted_other_limit(exhausted);

	if (other)
		words_addf(line, "; numbers are left: %s may be meant", other);
}

void exhausted_add_now(struct words *line, const struct report *report,
		       const struct process *process)
{
	const struct exhaustion *exhausted = process->exhausted;
	char call[CALL_NAME_BYTES];

	words_addf(line, " %s failed with %s", name_of_call(exhausted->call, call),
		   name_of_error(exhausted->error));
	add_limits(line, exhausted);
	add_other_limit(line, exhausted);
	add_holders(line, report, exhausted);
	words_add(line, "; it failed in ");
	add_place(line, report, exhausted->stack_id);
}

static void add_all(struct words *line, const struct report *report, const struct process *process)
{
	const struct exhaustion *exhausted = process->exhausted;
	char call[CALL_NAME_BYTES];
	bool one_call = true;

	array_each (place, &exhausted->places)
		one_call &= place->call == exhausted->call && place->error == exhausted->error;
	words_addf(line, " %s%s failed with %s ", name_of_call(exhausted->call, call),
		   one_call ? "" : " and other calls", name_of_error(exhausted->error));
	words_add_counted(line, exhausted->count, "time", "times");
	words_add(line, exhausted->count > 1 ? ", first " : ", ");
	when_add(line, report, exhausted->first_ns);
	if (exhausted->count > 1) {
		words_add(line, ", last ");
		when_add(line, report, exhausted->last_ns);
	}
	add_limits(line, exhausted);
	if (exhausted->episodes > 1)
		words_addf(line, " when it began for the %s time",
			   exhausted->episodes == 2   ? "second"
			   : exhausted->episodes == 3 ? "third"
						      : "latest");
	add_other_limit(line, exhausted);
	add_holders(line, report, exhausted);
}

/* Ways to one function are one line: it is the function that a person looks for. */
struct failures {
	const struct symbol *place;
	const struct exhausted_place *first;
	uint64_t count;
};

static void failures_line(const struct page *page, const struct failures *failures)
{
	_cleanup_(words_fini) struct words line = {0};
	char call[CALL_NAME_BYTES];

	words_addf(&line, " %s (%s) ", name_of_call(failures->first->call, call),
		   name_of_error(failures->first->error));
	words_add_counted(&line, failures->count, "time in ", "times in ");
	if (failures->place)
		opener_add(&line, failures->place);
	else
		words_add(&line, "a place that is not known");
	page_paragraph(page, TEXT_INDENT, TEXT_INDENT + 10, PAGE_FAINT, "failed   ",
		       words_text(&line));
}

static void write_failures(const struct page *page, const struct exhaustion *exhausted)
{
	struct failures all[EXHAUSTED_PLACES_MAX];
	size_t n = 0;

	array_each (place, &exhausted->places) {
		const struct symbol *symbol = opener_find(page->report, place->stack_id);
		size_t i = 0;

		while (i < n && (all[i].place != symbol || all[i].first->call != place->call ||
				 all[i].first->error != place->error))
			i++;
		if (i == n)
			all[n++] = (struct failures){.place = symbol, .first = place};
		all[i].count += place->count;
	}
	for (size_t i = 0; i < n; i++)
		failures_line(page, &all[i]);
	if (exhausted->places_dropped) {
		_cleanup_(words_fini) struct words line = {0};

		words_add(&line, " ");
		words_add_counted(&line, exhausted->places_dropped, "time", "times");
		words_add(&line, " in more places than are kept");
		page_paragraph(page, TEXT_INDENT, TEXT_INDENT + 10, PAGE_FAINT, "failed   ",
			       words_text(&line));
	}
}

void text_exhausted(const struct page *page, const struct process *process)
{
	_cleanup_(words_fini) struct words line = {0};

	if (!process->exhausted)
		return;
	add_all(&line, page->report, process);
	page_paragraph(page, TEXT_INDENT - 1, TEXT_INDENT, PAGE_BAD,
		       "OUT OF HANDLES:", words_text(&line));
	write_failures(page, process->exhausted);
}

static bool places_alike(const struct exhausted_place *a, const struct exhausted_place *b)
{
	return a->call == b->call && a->error == b->error && a->stack_id == b->stack_id;
}

bool text_exhausted_alike(const struct process *a, const struct process *b)
{
	const struct exhaustion *x = a->exhausted, *y = b->exhausted;

	if (!x || !y)
		return x == y;
	if (x->places.count != y->places.count || x->error != y->error)
		return false;
	for (size_t i = 0; i < x->places.count; i++)
		if (!places_alike(&x->places.data[i], &y->places.data[i]))
			return false;
	return true;
}

int report_exhausted_now(const struct report *report, const struct process *process,
			 const struct report_style *style, FILE *stream)
{
	const struct page page = {.report = report, .style = style, .stream = stream};
	_cleanup_(words_fini) struct words head = {0};
	_cleanup_(words_fini) struct words line = {0};

	words_add(&head, "htrace: OUT OF HANDLES: ");
	words_add_target(&head, process->exe ? process->exe : "process");
	words_addf(&head, " (pid %d):", process->pid);
	exhausted_add_now(&line, report, process);
	page_paragraph(&page, 0, TEXT_INDENT, PAGE_BAD, words_text(&head), words_text(&line));
	return stream_finish(stream);
}
