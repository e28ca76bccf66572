/* Owns how handles that went over exec look to a person: where they lack close-on-exec, and whom
 * they reached. */
#include "base/cleanup.h"
#include "report/cloexec.h"
#include "report/text_parts.h"
#include "report/words.h"

#include <string.h>

enum { NAMES_MAX = 4, PIDS_MAX = 8 };

static void place_line(const struct page *page, const char *label, const char *text)
{
	char head[16];

	snprintf(head, sizeof(head), "%-9s", label);
	page_paragraph(page, TEXT_INDENT, TEXT_INDENT + 10, PAGE_FAINT, head, text);
}

static void write_numbers(const struct page *page, const struct crossing *place)
{
	_cleanup_(words_fini) struct words line = {0};
	struct words_ranges ranges = {0};

	words_add(&line, " ");
	for (uint32_t i = 0; i < place->numbers_n; i++)
		words_add_range(&line, &ranges, place->numbers[i]);
	words_add_range_end(&line, &ranges);
	words_add(&line, place->more_numbers ? " and more" : "");
	place_line(page, place->numbers_n == 1 && !place->more_numbers ? "handle" : "handles",
		   words_text(&line));
}

static void write_names(const struct page *page, const struct crossing *place)
{
	_cleanup_(words_fini) struct words line = {0};
	const char *names[NAMES_MAX];
	size_t count = 0;
	bool more = place->handles > place->examples.count;

	array_each (example, &place->examples) {
		size_t i = 0;

		while (example->name && i < count && strcmp(names[i], example->name))
			i++;
		if (!example->name || i < count)
			continue;
		if (count == NAMES_MAX) {
			more = true;
			break;
		}
		words_add(&line, count ? ", " : " ");
		words_add_target(&line, example->name);
		names[count++] = example->name;
	}
	if (!count)
		return;
	words_add(&line, more && count > 1 ? ", ..." : "");
	place_line(page, count > 1 ? "names" : "name", words_text(&line));
}

static void write_opener(const struct page *page, const struct crossing *place)
{
	_cleanup_(words_fini) struct words line = {0};

	words_add(&line, " ");
	if (cloexec_is_own(place)) {
		words_add(&line,
			  "the same process, before its exec: perhaps meant for the program");
	} else if (!place->opener_pid) {
		words_add(&line, "somebody before tracing, or unseen");
	} else {
		words_add_target(&line, place->opener_exe ?: "a program that is not known");
		words_addf(&line, " (pid %d%s)", place->opener_pid,
			   place->several_openers ? " and others" : "");
	}
	place_line(page, "opened by", words_text(&line));
}

static void add_pids(struct words *line, const struct crossing *place)
{
	int32_t pids[PIDS_MAX];
	size_t count = 0;

	array_each (example, &place->examples) {
		size_t i = 0;

		while (i < count && pids[i] != example->pid)
			i++;
		if (i < count)
			continue;
		if (count == PIDS_MAX)
			break;
		words_addf(line, "%s%d", !count ? "" : ", ", example->pid);
		pids[count++] = example->pid;
	}
	words_add(line, place->execs > count ? ", ..." : "");
}

static void write_receivers(const struct page *page, const struct crossing *place)
{
	_cleanup_(words_fini) struct words line = {0};
	uint64_t others = place->execs;

	words_add(&line, " ");
	for (uint32_t i = 0; i < place->programs_n; i++) {
		words_add(&line, i ? ", " : "");
		words_add_target(&line, place->programs[i].exe);
		if (place->execs > 1) {
			words_add(&line, " (");
			words_add_counted(&line, place->programs[i].execs, "time)", "times)");
		}
		others -= place->programs[i].execs;
	}
	if (others) {
		words_add(&line, place->programs_n ? " and " : "");
		words_add_counted(&line, others,
				  place->programs_n ? "other" : "program that is not known",
				  place->programs_n ? "others" : "programs that are not known");
	}
	words_add(&line, place->execs == 1 ? "; pid " : "; pids ");
	add_pids(&line, place);
	place_line(page, "reached", words_text(&line));
}

static void write_place(const struct page *page, const struct crossing *place, uint32_t rank)
{
	const struct report_process opener = {.exe = place->opener_exe};
	_cleanup_(words_fini) struct words line = {0};
	char head[32];

	snprintf(head, sizeof(head), "#%u INHERITED", rank);
	words_add(&line, " ");
	words_add_count(&line, place->handles);
	words_addf(&line, " %s in ", place->type ?: "of unknown type");
	words_add_counted(&line, place->execs, "program", "programs");
	words_add(&line, ": opened without close-on-exec");
	if (place->stack_id != STACK_NONE && !cloexec_is_own(place))
		words_addf(&line, "; add %s", cloexec_remedy(page->report, place));
	fputc('\n', page->stream);
	page_paragraph(page, 0, TEXT_INDENT, cloexec_is_own(place) ? PAGE_FAINT : PAGE_DOUBT, head,
		       words_text(&line));
	write_numbers(page, place);
	write_names(page, place);
	write_opener(page, place);
	write_receivers(page, place);
	if (place->stack_id == STACK_NONE)
		return;
	place_line(page, "opened at", "");
	text_stack(page, &opener, place->stack_id);
}

static void write_head(const struct page *page, const struct cloexec_list *list)
{
	const struct crossings *crossings = model_crossings(page->report->model);
	_cleanup_(words_fini) struct words line = {0};

	words_add(&line, " ");
	if (list->places.count) {
		words_add_counted(&line, list->handles, "handle", "handles");
		words_add(&line, " of ");
		words_add_counted(&line, list->places.count, "place", "places");
		words_add(&line, " stayed open in programs that were executed");
	} else if (list->hidden.places) {
		words_add(&line, "none that is not hidden");
	} else {
		words_add(&line, "no handle");
		words_add(&line, page->report->cloexec == REPORT_CLOEXEC_ALL
				     ? ""
				     : " but standard input, output and error");
	}
	words_add(&line, " (");
	words_add_counted(&line, crossings->execs, "exec was seen).", "execs were seen).");
	fputc('\n', page->stream);
	page_paragraph(page, 0, TEXT_INDENT, PAGE_BOLD,
		       "== INHERITED OVER EXEC:", words_text(&line));
}

void text_cloexec(const struct page *page)
{
	_cleanup_(cloexec_list_fini) struct cloexec_list list = {0};
	_cleanup_(words_fini) struct words line = {0};
	uint64_t dropped = model_crossings(page->report->model)->dropped;
	uint32_t rank = 1;

	if (page->report->cloexec == REPORT_CLOEXEC_NO)
		return;
	cloexec_list_make(&list, page->report);
	write_head(page, &list);
	array_each (place, &list.places)
		write_place(page, place, rank++);
	text_hidden(page, &list.hidden);
	if (!dropped)
		return;
	words_add_counted(&line, dropped, "handle", "handles");
	words_add(&line, " of more places than are kept went over exec, too.");
	fputc('\n', page->stream);
	page_paragraph(page, 0, TEXT_INDENT, PAGE_DOUBT, "", words_text(&line));
}
