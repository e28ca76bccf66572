/*
 * Owns how bad references look in the text report: what was done, and the three stacks that explain
 * it. A daemon that closes all numbers up to 1023 is one entry, not a thousand.
 */
#include "report/text_parts.h"

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/map.h"
#include "report/names.h"
#include "report/words.h"
#include "trace/duration.h"

#include <stdlib.h>
#include <string.h>

/* Bad references with the same call and stacks. */
struct entry {
	const struct bad_reference *first;
	uint64_t count;
	ARRAY(int32_t) numbers;
};

struct entries {
	ARRAY(struct entry) entries;
	struct map index; /* hash of what they share -> entry + 1 */
};

static void cleanup_entries(struct entries *entries)
{
	array_each (entry, &entries->entries)
		array_fini(&entry->numbers);
	array_fini(&entries->entries);
	map_fini(&entries->index);
}

static bool moments_alike(const struct handle_moment *a, const struct handle_moment *b)
{
	return a->stack_id == b->stack_id && !a->time_ns == !b->time_ns;
}

static bool alike(const struct bad_reference *a, const struct bad_reference *b)
{
	return a->kind == b->kind && a->call == b->call && moments_alike(&a->now, &b->now) &&
	       moments_alike(&a->closed, &b->closed) && moments_alike(&a->opened, &b->opened) &&
	       moments_alike(&a->earlier, &b->earlier);
}

static uint64_t key_of(const struct bad_reference *bad)
{
	uint64_t key = hash_combine(bad->kind, bad->call);

	key = hash_combine(key, bad->now.stack_id);
	key = hash_combine(key, bad->closed.stack_id);
	return hash_combine(key, bad->opened.stack_id);
}

static struct entry *entry_of(struct entries *entries, const struct bad_reference *bad)
{
	uint64_t *slot;

	for (uint64_t key = key_of(bad);; key = hash_u64(key + 1)) {
		slot = map_put(&entries->index, key);
		if (!*slot)
			break;
		if (alike(entries->entries.data[*slot - 1].first, bad))
			return &entries->entries.data[*slot - 1];
	}
	array_push(&entries->entries, (struct entry){.first = bad});
	*slot = entries->entries.count;
	return &entries->entries.data[entries->entries.count - 1];
}

static void entries_make(struct entries *entries, const struct report_process *shown, bool harmless)
{
	array_each (bad, &shown->process->bad_references) {
		if (bad_reference_is_harmless(bad) != harmless || !report_tells_bad(shown, bad))
			continue;
		struct entry *entry = entry_of(entries, bad);

		entry->count += bad->count;
		array_push(&entry->numbers, bad->number);
	}
}

static int compare_numbers(const void *left, const void *right)
{
	int32_t a = *(const int32_t *)left, b = *(const int32_t *)right;

	return (a > b) - (a < b);
}

static void add_numbers(struct words *words, struct entry *entry)
{
	struct words_ranges ranges = {0};

	qsort(entry->numbers.data, entry->numbers.count, sizeof(int32_t), compare_numbers);
	array_each (number, &entry->numbers)
		words_add_range(words, &ranges, *number);
	words_add_range_end(words, &ranges);
}

static void write_head(const struct page *page, struct entry *entry)
{
	static const char *const kinds[] = {
	    [BAD_DOUBLE_CLOSE] = "DOUBLE CLOSE",
	    [BAD_USE_AFTER_CLOSE] = "USE AFTER CLOSE",
	    [BAD_NEVER_OPENED] = "NEVER OPENED",
	    [BAD_STALE_CLOSE] = "STALE CLOSE",
	};
	_cleanup_(words_fini) struct words line = {0};
	char call[CALL_NAME_BYTES];

	words_add(&line, entry->numbers.count > 1 ? " handles " : " handle ");
	add_numbers(&line, entry);
	words_addf(&line, ": %s ", name_of_call(entry->first->call, call));
	words_add(&line, entry->first->kind == BAD_NEVER_OPENED   ? "of what was never seen open"
			 : entry->first->kind == BAD_DOUBLE_CLOSE ? "of what was closed before"
			 : entry->first->kind == BAD_STALE_CLOSE
			     ? "again, after the number was given to another handle (inferred)"
			     : "after it was closed");
	if (entry->count > 1) {
		words_add(&line, ", ");
		words_add_counted(&line, entry->count, "time", "times");
	}
	page_paragraph(page, 0, TEXT_INDENT, PAGE_BAD, kinds[entry->first->kind],
		       words_text(&line));
}

/* "LABEL, 12 ms earlier, by thread 4243, at:" and the stack. */
static void write_moment(const struct page *page, const struct report_process *process,
			 const char *label, const struct handle_moment *moment,
			 const struct handle_moment *now)
{
	_cleanup_(words_fini) struct words line = {0};
	char length[DURATION_BYTES];

	words_add(&line, label);
	if (moment != now && now->time_ns > moment->time_ns)
		words_addf(&line, ", %s earlier",
			   duration_write(now->time_ns - moment->time_ns, length));
	if (moment != now && now->time_ns < moment->time_ns)
		words_addf(&line, ", %s later",
			   duration_write(moment->time_ns - now->time_ns, length));
	if (moment->pid && moment->pid != process->process->pid)
		words_addf(&line, ", by process %d", moment->pid);
	if (moment->tid && moment->tid != moment->pid)
		words_addf(&line, ", by thread %d", moment->tid);
	words_add(&line, moment == now ? ":" : ", at:");
	page_paragraph(page, TEXT_INDENT, TEXT_INDENT + 2, PAGE_PLAIN, "", words_text(&line));
	text_stack(page, process, moment->stack_id);
}

static void write_closed(const struct page *page, const struct report_process *process,
			 const struct bad_reference *bad)
{
	static const char *const labels[] = {
	    [CLOSED_BY_CALL] = "closed before",
	    [CLOSED_BY_DUP] = "closed before by a dup2 or dup3 onto it",
	    [CLOSED_BY_EXEC] = "closed before by exec (close-on-exec)",
	    [CLOSED_UNSEEN] = "found closed before, by what was not seen",
	};
	enum close_cause cause = CLOSED_BY_CALL;

	bad_reference_closed_by(page->report, process->process, bad, &cause);
	write_moment(page, process, labels[cause], &bad->closed, &bad->now);
}

/* What the number stood for, who had it before, and how the close came to light. */
static void write_stale(const struct page *page, const struct report_process *process,
			const struct bad_reference *bad)
{
	_cleanup_(words_fini) struct words line = {0};
	char call[CALL_NAME_BYTES];

	write_moment(page, process, "which closed what was opened", &bad->opened, &bad->now);
	write_moment(page, process, "closed before, as another handle", &bad->closed, &bad->now);
	write_moment(page, process, "that one was opened", &bad->earlier, &bad->now);
	words_addf(&line,
		   bad->passed_on ? "the owner of what was closed closed another handle in turn, "
				    "by %s(%d)"
				  : "the owner of what was closed was told EBADF by %s(%d)",
		   name_of_call(bad->noticed_call, call), bad->number);
	write_moment(page, process, words_text(&line), &bad->noticed, &bad->now);
	words_clear(&line);
	words_add(&line, "inferred: such a handle had never been closed here, but ");
	if (bad->closed_elsewhere)
		words_add_counted(&line, bad->closed_elsewhere, "time elsewhere",
				  "times elsewhere");
	else
		words_add(&line, "only such as the number stood for before");
	page_paragraph(page, TEXT_INDENT, TEXT_INDENT + 2, PAGE_PLAIN, "", words_text(&line));
}

static void write_entry(const struct page *page, const struct report_process *process,
			struct entry *entry)
{
	const struct bad_reference *bad = entry->first;
	_cleanup_(words_fini) struct words at = {0};
	char call[CALL_NAME_BYTES];

	fputc('\n', page->stream);
	write_head(page, entry);
	words_addf(&at, "at %s(%d) now", name_of_call(bad->call, call), bad->number);
	write_moment(page, process, words_text(&at), &bad->now, &bad->now);
	if (bad->kind == BAD_STALE_CLOSE) {
		write_stale(page, process, bad);
		return;
	}
	if (bad->closed.time_ns)
		write_closed(page, process, bad);
	else if (bad->kind != BAD_NEVER_OPENED)
		page_paragraph(page, TEXT_INDENT, TEXT_INDENT + 2, PAGE_PLAIN, "",
			       "where it was closed was not seen");
	if (bad->opened.time_ns)
		write_moment(page, process, "opened", &bad->opened, &bad->now);
	else if (bad->kind != BAD_NEVER_OPENED)
		page_paragraph(page, TEXT_INDENT, TEXT_INDENT + 2, PAGE_PLAIN, "",
			       "where it was opened was not seen");
}

static bool asks_by_poll(const struct process *process)
{
	array_each (bad, &process->bad_references) {
		const char *call = fd_syscalls_name(bad->call);

		if (bad->asks && call && !strcmp(call, "poll"))
			return true;
	}
	return false;
}

/* What is no fault of a program, without its stacks. */
static void write_harmless(const struct page *page, const struct report_process *shown)
{
	struct entry asked = {0}, none = {0};
	_cleanup_(words_fini) struct words line = {0};

	array_each (bad, &shown->process->bad_references) {
		struct entry *entry = bad->asks ? &asked : &none;

		if (!bad_reference_is_harmless(bad) || !report_tells_bad(shown, bad))
			continue;
		entry->count += bad->count;
		array_push(&entry->numbers, bad->number);
	}
	if (asked.count) {
		words_add(&line, asks_by_poll(shown->process) ? " fcntl or poll" : " fcntl");
		words_add(&line, " asked about handles that are not open: ");
		add_numbers(&line, &asked);
		words_add(&line, "; ");
		words_add_counted(&line, asked.count, "time", "times");
	}
	if (none.count) {
		words_add(&line, asked.count ? ". close(" : " close(");
		add_numbers(&line, &none);
		words_add(&line, "), ");
		words_add_counted(&line, none.count, "time", "times");
	}
	if (asked.count || none.count) {
		fputc('\n', page->stream);
		page_paragraph(page, 0, TEXT_INDENT, PAGE_FAINT, "Harmless:", words_text(&line));
	}
	array_fini(&asked.numbers);
	array_fini(&none.numbers);
}

void text_bad_references(const struct page *page, const struct report_process *process)
{
	_cleanup_(entries) struct entries entries = {0};

	entries_make(&entries, process, false);
	array_each (entry, &entries.entries)
		write_entry(page, process, entry);
	write_harmless(page, process);
}

bool text_bad_references_worry(const struct report_process *shown)
{
	array_each (bad, &shown->process->bad_references)
		if (!bad_reference_is_harmless(bad) && report_tells_bad(shown, bad))
			return true;
	return false;
}

bool text_bad_references_alike(const struct report_process *a, const struct report_process *b)
{
	_cleanup_(entries) struct entries of_a = {0}, of_b = {0};

	entries_make(&of_a, a, false);
	entries_make(&of_b, b, false);
	if (of_a.entries.count != of_b.entries.count)
		return false;
	for (size_t i = 0; i < of_a.entries.count; i++)
		if (!alike(of_a.entries.data[i].first, of_b.entries.data[i].first))
			return false;
	return true;
}
