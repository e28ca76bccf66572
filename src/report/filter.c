/* Owns the conditions: how they are kept, and how a handle is tried. Hides nothing itself. */
#include "report/filter.h"

#include "base/cleanup.h"
#include "base/map.h"
#include "model/handle_type.h"
#include "report/report.h"
#include "report/words.h"

#include <errno.h>
#include <fnmatch.h>
#include <regex.h>
#include <string.h>

struct expression {
	enum filter_rule rule;
	regex_t regex;
};

struct filter {
	ARRAY(const char *) types; /* of the table */
	ARRAY(char *) names;
	ARRAY(struct expression *) expressions;
	uint64_t min_age_ns;
	uint32_t top;
	/* What the expressions say of each stack, in the report of that time. */
	struct map stacks; /* stack_id -> enum filter_rule + 1 */
	uint64_t stacks_ns;
};

struct filter *filter_new(void)
{
	struct filter *filter = xcalloc(1, sizeof(*filter));

	filter->top = UINT32_MAX;
	return filter;
}

void filter_free(struct filter *filter)
{
	if (!filter)
		return;
	array_each (name, &filter->names)
		free(*name);
	array_each (expression, &filter->expressions) {
		regfree(&(*expression)->regex);
		free(*expression);
	}
	array_fini(&filter->types);
	array_fini(&filter->names);
	array_fini(&filter->expressions);
	map_fini(&filter->stacks);
	free(filter);
}

void filter_add_type(struct filter *filter, const char *type)
{
	const struct handle_type *row = handle_type_find(type);

	if (row)
		array_push(&filter->types, row->name);
}

void filter_add_name(struct filter *filter, const char *glob)
{
	array_push(&filter->names, xstrdup(glob));
}

void filter_set_min_age(struct filter *filter, uint64_t min_age_ns)
{
	filter->min_age_ns = min_age_ns;
}

void filter_set_top(struct filter *filter, uint32_t top)
{
	filter->top = top;
}

uint32_t filter_top(const struct filter *filter)
{
	return filter ? filter->top : UINT32_MAX;
}

int filter_add_stack(struct filter *filter, enum filter_rule rule, const char *text,
		     struct error *error)
{
	struct expression *expression = xcalloc(1, sizeof(*expression));
	int result = regcomp(&expression->regex, text, REG_EXTENDED | REG_NOSUB);
	char why[128];

	expression->rule = rule;
	if (result) {
		regerror(result, &expression->regex, why, sizeof(why));
		free(expression);
		return error_set(error, -EINVAL, "%s: '%s' is no extended regular expression: %s",
				 filter_rule_name(rule), text, why);
	}
	array_push(&filter->expressions, expression);
	return 0;
}

/* ---- the conditions ---- */

static bool type_is_wanted(const struct filter *filter, const char *type)
{
	array_each (wanted, &filter->types)
		if (handle_type_is(type, *wanted))
			return true;
	return !filter->types.count;
}

/* "pipe:[77]" is a name before it is a pattern; a pattern without a folder is one of the last part
 * of a path, too. */
static bool name_matches(const char *glob, const char *name)
{
	const char *slash = strrchr(name, '/');

	if (!strcmp(glob, name) || !fnmatch(glob, name, 0))
		return true;
	return slash && !strchr(glob, '/') && !fnmatch(glob, slash + 1, 0);
}

static bool name_is_wanted(const struct filter *filter, const char *name)
{
	array_each (wanted, &filter->names)
		if (name && name_matches(*wanted, name))
			return true;
	return !filter->names.count;
}

static void add_frame(struct words *words, const struct symbol *symbol)
{
	words_add(words, symbol->function ?: "-");
	words_add(words, " ");
	words_add(words, symbol->module ?: "-");
	words_add(words, " ");
	words_add(words, symbol->file ?: "-");
	if (symbol->file && symbol->line)
		words_addf(words, ":%u", symbol->line);
}

/* Notes in `met` (by expression) which ones the frames of one pc meet. */
static void try_symbols(const struct filter *filter, const struct symbol *symbols, uint32_t count,
			bool *met)
{
	for (uint32_t i = 0; i < count; i++) {
		_cleanup_(words_fini) struct words words = {0};

		add_frame(&words, &symbols[i]);
		for (size_t j = 0; j < filter->expressions.count; j++)
			met[j] = met[j] || !regexec(&filter->expressions.data[j]->regex,
						    words_text(&words), 0, NULL, 0);
	}
}

static enum filter_rule look_at_stack(const struct filter *filter, const struct report *report,
				      uint32_t stack_id)
{
	struct stack stack = stack_table_get(report->stacks, stack_id);
	_cleanup_(free) bool *met = xcalloc(filter->expressions.count, sizeof(*met));
	const struct symbol *symbols;

	for (uint32_t i = 0; i < stack.frames_n; i++) {
		uint32_t count = symbolizer_lookup(report->symbolizer, &stack.frames[i], &symbols);

		try_symbols(filter, symbols, count, met);
	}
	for (size_t i = 0; i < filter->expressions.count; i++)
		if (met[i] && filter->expressions.data[i]->rule == FILTER_NOT_STACK)
			return FILTER_NOT_STACK;
	for (size_t i = 0; i < filter->expressions.count; i++)
		if (!met[i] && filter->expressions.data[i]->rule == FILTER_STACK)
			return FILTER_STACK;
	return FILTER_NONE;
}

/* Many handles have one stack. Numbers of stacks are those of one report. */
enum filter_rule filter_try_stack(struct filter *filter, const struct report *report,
				  uint32_t stack_id)
{
	uint64_t *slot;

	if (!filter->expressions.count)
		return FILTER_NONE;
	if (filter->stacks_ns != report->now_ns)
		map_fini(&filter->stacks);
	filter->stacks_ns = report->now_ns;
	slot = map_put(&filter->stacks, stack_id);
	if (!*slot)
		*slot = look_at_stack(filter, report, stack_id) + 1;
	return *slot - 1;
}

enum filter_rule filter_try(struct filter *filter, const struct report *report,
			    const struct filter_subject *subject)
{
	uint64_t age_ns =
	    subject->end_ns > subject->begin_ns ? subject->end_ns - subject->begin_ns : 0;

	if (!filter)
		return FILTER_NONE;
	if (!type_is_wanted(filter, subject->type))
		return FILTER_TYPE;
	if (!name_is_wanted(filter, subject->name))
		return FILTER_NAME;
	if (subject->begin_ns && age_ns < filter->min_age_ns)
		return FILTER_MIN_AGE;
	return filter_try_stack(filter, report, subject->stack_id);
}

enum filter_rule filter_try_handle(struct filter *filter, const struct report *report,
				   const struct handle *handle, uint64_t end_ns)
{
	const struct filter_subject subject = {
	    .type = handle->type,
	    .name = handle->name ?: fd_syscalls_fixed_name(handle->type),
	    .begin_ns = handle->opened.time_ns,
	    .end_ns = end_ns,
	    .stack_id = handle->opened.stack_id,
	};

	return filter_try(filter, report, &subject);
}

/* ---- in words ---- */

const char *filter_rule_name(enum filter_rule rule)
{
	static const char *const names[FILTER_RULES] = {
	    [FILTER_NONE] = "",         [FILTER_TYPE] = "--type",
	    [FILTER_NAME] = "--name",   [FILTER_MIN_AGE] = "--min-age",
	    [FILTER_STACK] = "--stack", [FILTER_NOT_STACK] = "--not-stack",
	    [FILTER_TOP] = "--top",
	};

	return names[rule];
}

struct counted {
	uint64_t count;
	const char *one, *many;
};

/* "12 places with 340 handles, 3 other handles and 1 trace"; returns how many things. */
static uint64_t add_things(struct words *words, const struct hidden *hidden)
{
	const struct counted parts[] = {
	    {hidden->places, "place with ", "places with "},
	    {hidden->processes, "process", "processes"},
	    {hidden->handles, hidden->places ? "other handle" : "handle",
	     hidden->places ? "other handles" : "handles"},
	    {hidden->bad_references, "bad reference", "bad references"},
	    {hidden->traces, "trace", "traces"},
	};
	size_t left = 0, count = sizeof(parts) / sizeof(*parts);
	uint64_t things = 0;

	for (size_t i = 0; i < count; i++)
		left += parts[i].count != 0;
	for (size_t i = 0; i < count; i++) {
		if (!parts[i].count)
			continue;
		left--;
		words_add(words, !things ? "" : left ? ", " : " and ");
		words_add_counted(words, parts[i].count, parts[i].one, parts[i].many);
		if (!i)
			words_add_counted(words, hidden->place_handles, "handle", "handles");
		things += parts[i].count;
	}
	return things;
}

void hidden_add(struct words *words, const struct hidden *hidden)
{
	uint64_t things = add_things(words, hidden);
	const char *comma = " by ";

	if (!things)
		return;
	words_add(words, things == 1 ? " is hidden" : " are hidden");
	for (int rule = FILTER_TYPE; rule < FILTER_RULES; rule++) {
		if (!(hidden->by & 1u << rule))
			continue;
		words_addf(words, "%s%s", comma, filter_rule_name(rule));
		comma = ", ";
	}
}
