/* Owns how details look in the text report. A connection that the other end has closed stands out:
 * nothing will ever come of it, and it is the commonest leak of a server. */
#include "report/text_detail.h"

#include "base/cleanup.h"
#include "report/detail_words.h"
#include "report/text_parts.h"
#include "report/words.h"

#include <string.h>
#include <sys/stat.h>

enum { ROW_INDENT = 8, ROW_HOLDERS_MAX = 2, ENDS_MAX = 3, LABEL_BYTES = 16 };

static bool is_forsaken(const struct detail *detail)
{
	const char *state = detail->socket ? socket_info_state(detail->socket) : NULL;

	return state && !strcmp(state, "CLOSE_WAIT");
}

static void begin(struct words *line, const char *separator)
{
	words_add(line, *words_text(line) ? separator : " ");
}

static void add_cost(struct words *line, const struct detail *detail)
{
	if (!detail->cost || !detail->cost_bytes)
		return;
	begin(line, ", ");
	detail_add_cost(line, detail->cost, detail->cost_bytes);
}

void text_detail_row(const struct page *page, const struct detail *detail)
{
	_cleanup_(words_fini) struct words object = {0};
	_cleanup_(words_fini) struct words line = {0};
	struct detail_holders holders;

	if (!detail)
		return;
	detail_add_object(&object, detail);
	if (*words_text(&object))
		words_addf(&line, " %s", words_text(&object));
	add_cost(&line, detail);
	if (detail->info.locks_n) {
		begin(&line, ", ");
		words_add(&line, "locked: ");
		detail_add_locks(&line, detail);
	}
	if (detail->holders.count) {
		holders = detail->holders;
		if (holders.shown > ROW_HOLDERS_MAX)
			holders.shown = ROW_HOLDERS_MAX;
		begin(&line, "; ");
		words_add(&line, "also held by ");
		detail_add_holders(&line, &holders);
	}
	if (*words_text(&line))
		page_paragraph(page, ROW_INDENT, ROW_INDENT + 2,
			       is_forsaken(detail) ? PAGE_BAD : PAGE_PLAIN,
			       is_forsaken(detail) ? "the other end has closed it:" : "",
			       words_text(&line) + !is_forsaken(detail));
}

/* ---- one handle ---- */

struct lines {
	const struct page *page;
	void (*write)(const struct page *page, const char *label, const char *text);
	struct words words;
};

/* Writes what was added since the last one, if anything. */
static void line(struct lines *lines, const char *label)
{
	_cleanup_(words_fini) struct words text = {0};

	if (!*words_text(&lines->words))
		return;
	words_add(&text, " ");
	words_add(&text, words_text(&lines->words));
	lines->write(lines->page, label, words_text(&text));
	words_clear(&lines->words);
}

void text_detail_one(const struct page *page, const struct detail *detail,
		     void (*write)(const struct page *page, const char *label, const char *text))
{
	struct lines lines = {.page = page, .write = write};

	if (!detail)
		return;
	detail_add_object(&lines.words, detail);
	if (is_forsaken(detail))
		words_add(&lines.words, " (the other end has closed it)");
	line(&lines, "now");
	detail_add_flags(&lines.words, detail);
	line(&lines, "for");
	if (S_ISREG(detail->mode))
		detail_add_position(&lines.words, detail);
	line(&lines, "position");
	detail_add_locks(&lines.words, detail);
	line(&lines, "locks");
	detail_add_holders(&lines.words, &detail->holders);
	line(&lines, "also in");
	detail_add_cost(&lines.words, detail->cost, detail->cost_bytes);
	line(&lines, "costs");
	words_fini(&lines.words);
}

/* ---- a group ---- */

/* "10 CLOSE_WAIT, 2 ESTABLISHED" */
static void add_tallies(struct words *line, const struct tallies *tallies, const char *head,
			const char *before, const char *more)
{
	size_t shown = tallies->items.count < ENDS_MAX ? tallies->items.count : ENDS_MAX;
	uint64_t left = 0;

	for (size_t i = 0; i < tallies->items.count; i++) {
		const struct tally *tally = &tallies->items.data[i];

		if (i >= shown) {
			left += tally->count;
			continue;
		}
		begin(line, i ? ", " : "; ");
		words_add(line, i ? "" : head);
		words_add_count(line, tally->count);
		words_add(line, before);
		words_add_target(line, tally->text);
	}
	if (!left)
		return;
	words_add(line, ", ");
	words_add_count(line, left);
	words_add(line, more);
}

static void add_count(struct words *line, uint64_t count, const char *what)
{
	if (!count)
		return;
	begin(line, "; ");
	words_add_count(line, count);
	words_add(line, what);
}

static void add_bytes(struct words *line, uint64_t bytes, const char *what)
{
	if (!bytes)
		return;
	begin(line, "; ");
	words_add_size(line, bytes);
	words_add(line, what);
}

/* The end that most have in common: of a server's connections its own, of a client's the other. */
static void add_ends(struct words *line, const struct group_detail *detail)
{
	size_t remotes = detail->remotes.items.count, locals = detail->locals.items.count;

	if (!remotes) {
		add_tallies(line, &detail->locals, "", " bound to ", " to other ends");
	} else if (locals && locals < remotes) {
		add_tallies(line, &detail->locals, "", " of ", " of other ends");
		words_add(line, " with ");
		words_add_counted(line, remotes, "other end", "other ends");
	} else {
		add_tallies(line, &detail->remotes, "", " to ", " to other ends");
	}
}

static bool tells_forsaken(const struct tallies *states)
{
	array_each (tally, &states->items)
		if (!strcmp(tally->text, "CLOSE_WAIT"))
			return true;
	return false;
}

void text_detail_group(const struct page *page, const struct report_process *process,
		       const struct group *group)
{
	_cleanup_(group_detail_fini) struct group_detail detail;
	_cleanup_(words_fini) struct words line = {0};
	char head[LABEL_BYTES];
	bool forsaken;

	group_detail_make(&detail, page->report->details, process->process->pid, group);
	if (!detail.known)
		return;
	forsaken = tells_forsaken(&detail.states);
	if (detail.types.items.count > 1)
		add_tallies(&line, &detail.types, "", " ", " of other types");
	add_tallies(&line, &detail.states, "", " ", " in other states");
	if (forsaken)
		words_addf(&line, " (%sthe other end has closed it)",
			   detail.states.items.count > 1 ? "CLOSE_WAIT: " : "");
	add_ends(&line, &detail);
	add_tallies(&line, &detail.peers, "other ends: ", " in ", " in other processes");
	add_count(&line, detail.without_peer, " with nobody to be seen at the other end");
	add_count(&line, detail.deleted, " deleted");
	add_count(&line, detail.ended, " of processes that have ended");
	add_bytes(&line, detail.receive_bytes, " unread");
	add_bytes(&line, detail.send_bytes, " not yet taken by the other end");
	add_tallies(&line, &detail.shared, "held by others as well: ", " by ", " by others");
	add_bytes(&line, detail.memory_bytes, " of memory");
	add_bytes(&line, detail.disk_bytes, " on disk");
	snprintf(head, sizeof(head), "%-9s", "now");
	if (*words_text(&line))
		page_paragraph(page, TEXT_INDENT, TEXT_INDENT + 10,
			       forsaken ? PAGE_BAD : PAGE_FAINT, head, words_text(&line));
}
