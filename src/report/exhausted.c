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
#include <string.h>

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

static void add_holder(struct words *line, const struct report *report,
		       const struct exhausted_holder *holder)
{
	words_add_count(line, holder->open);
	words_add(line, " ");
	words_add_target(line, holder->type ? holder->type : "of unknown type");
	switch (holder->origin) {
	case ORIGIN_BEFORE_TRACING:
		words_add(line, " from before tracing");
		break;
	case ORIGIN_INHERITED:
		words_add(line, " inherited");
		break;
	case ORIGIN_UNKNOWN:
		words_add(line, " opened unseen");
		break;
	case ORIGIN_RECEIVED:
		words_add(line, " received in ");
		add_place(line, report, holder->stack_id);
		break;
	default:
		words_add(line, " in ");
		add_place(line, report, holder->stack_id);
	}
}

static void add_holders(struct words *line, const struct report *report,
			const struct exhaustion *exhausted)
{
	for (uint32_t i = 0; i < exhausted->holders_n; i++) {
		words_add(line, i ? ", " : "; most by: ");
		add_holder(line, report, &exhausted->holders[i]);
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
