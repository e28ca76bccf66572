/* Owns the choice and the order of what went over exec, and what is advised. */
#include "report/cloexec.h"

#include "base/hash.h"
#include "base/map.h"
#include "model/handle_type.h"
#include "report/words.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

bool cloexec_is_own(const struct crossing *place)
{
	array_each (example, &place->examples)
		if (example->opened_pid != example->pid)
			return false;
	return place->examples.count;
}

/* ---- the list ---- */

/* What there is to mend comes first. */
static int rank_of(const struct crossing *place)
{
	return cloexec_is_own(place) ? 2 : place->stack_id == STACK_NONE;
}

static int compare_places(const void *left, const void *right)
{
	const struct crossing *a = left, *b = right;
	int rank = rank_of(a) - rank_of(b);

	if (rank)
		return rank;
	if (a->execs != b->execs)
		return a->execs > b->execs ? -1 : 1;
	if (a->handles != b->handles)
		return a->handles > b->handles ? -1 : 1;
	return (a->id > b->id) - (a->id < b->id); /* in the order in which they were found */
}

/* The place itself, or one of what is kept of its handles, meets what is asked of type and name. */
static enum filter_rule try_place(const struct report *report, const struct crossing *place)
{
	struct filter_subject subject = {.type = place->type, .stack_id = place->stack_id};
	enum filter_rule rule = filter_try(report->filter, report, &subject);

	array_each (example, &place->examples) {
		if (!rule)
			return rule;
		subject.type = example->type;
		subject.name = example->name;
		rule = filter_try(report->filter, report, &subject);
	}
	return rule;
}

static bool concerns(const struct crossing *place, int32_t pid)
{
	if (!pid || place->opener_pid == pid)
		return true;
	array_each (example, &place->examples)
		if (example->pid == pid || example->opened_pid == pid)
			return true;
	return false;
}

static void hide(struct cloexec_list *list, const struct crossing *place, enum filter_rule rule)
{
	list->hidden.places++;
	list->hidden.place_handles += place->handles;
	list->hidden.by |= 1u << rule;
}

/* The code that opened it, wherever it lies; what was not seen is told by its number. */
static char *key_of(const struct report *report, const struct crossing *place)
{
	struct stack stack = stack_table_get(report->stacks, place->stack_id);
	struct words words = {0};

	words_addf(&words, "%d %s", place->standard, place->class ?: "-");
	if (place->stack_id == STACK_NONE)
		words_addf(&words, " %" PRIu64, place->id);
	for (uint32_t i = 0; i < stack.frames_n; i++) {
		const struct symbol *symbols;
		uint32_t count = symbolizer_lookup(report->symbolizer, &stack.frames[i], &symbols);

		for (uint32_t j = 0; j < count; j++)
			words_addf(&words, "\n%s %s+0x%" PRIx64, symbols[j].module_path ?: "-",
				   symbols[j].function ?: "-", symbols[j].offset);
	}
	return words.text.data;
}

static void merge(struct crossing *into, const struct crossing *place)
{
	into->type = handle_type_common(into->type, place->type);
	into->several_openers |= place->several_openers || into->opener_pid != place->opener_pid;
	into->handles += place->handles;
	into->execs += place->execs;
	if (place->first_ns < into->first_ns)
		into->first_ns = place->first_ns;
	if (place->last_ns > into->last_ns)
		into->last_ns = place->last_ns;
	for (uint32_t i = 0; i < place->numbers_n; i++)
		crossing_add_number(into, place->numbers[i]);
	into->more_numbers |= place->more_numbers;
	for (uint32_t i = 0; i < place->programs_n; i++)
		crossing_add_program(into, place->programs[i].exe, place->programs[i].execs);
	array_each (example, &place->examples)
		if (into->examples.count < CROSSING_EXAMPLES_MAX)
			array_push(&into->examples, *example);
}

static void add_place(struct cloexec_list *list, struct map *index, const struct report *report,
		      const struct crossing *place)
{
	struct crossing copy = *place;
	char *text = key_of(report, place);
	uint64_t *slot;

	for (uint64_t key = hash_bytes(text, strlen(text), 0);; key = hash_u64(key + 1)) {
		slot = map_put(index, key);
		if (!*slot)
			break;
		if (strcmp(list->keys.data[*slot - 1], text))
			continue; /* two places with one hash: the next key */
		merge(&list->places.data[*slot - 1], place);
		free(text);
		return;
	}
	memset(&copy.examples, 0, sizeof(copy.examples));
	array_each (example, &place->examples)
		array_push(&copy.examples, *example);
	array_push(&list->places, copy);
	array_push(&list->keys, text);
	*slot = list->places.count;
}

static void keep_top(struct cloexec_list *list, uint32_t top)
{
	while (list->places.count > top) {
		struct crossing *last = &list->places.data[--list->places.count];

		hide(list, last, FILTER_TOP);
		array_fini(&last->examples);
	}
}

void cloexec_list_make(struct cloexec_list *out, const struct report *report)
{
	struct map index = {0};

	*out = (struct cloexec_list){0};
	array_each (place, &model_crossings(report->model)->places) {
		enum filter_rule rule;

		if ((place->standard && report->cloexec != REPORT_CLOEXEC_ALL) ||
		    place->last_ns < report->cloexec_since_ns ||
		    !concerns(place, report->cloexec_pid))
			continue;
		rule = try_place(report, place);
		if (rule)
			hide(out, place, rule);
		else
			add_place(out, &index, report, place);
	}
	map_fini(&index);
	if (out->places.count)
		qsort(out->places.data, out->places.count, sizeof(*out->places.data),
		      compare_places);
	keep_top(out, filter_top(report->filter));
	array_each (place, &out->places)
		out->handles += place->handles;
}

void cloexec_list_fini(struct cloexec_list *list)
{
	array_each (place, &list->places)
		array_fini(&place->examples);
	array_each (key, &list->keys)
		free(*key);
	array_fini(&list->places);
	array_fini(&list->keys);
}

/* ---- the advice ---- */

struct remedy {
	const char *of; /* the beginning of a function's name; a type or family */
	const char *text;
};

/* By the call, where another one is needed; underscores before it do not count. */
static const struct remedy by_call[] = {
    {"dup", "dup3 with O_CLOEXEC, or fcntl with F_DUPFD_CLOEXEC"},
    {"fcntl", "F_DUPFD_CLOEXEC"},
    {"libc_fcntl", "F_DUPFD_CLOEXEC"},
    {"accept", "accept4 with SOCK_CLOEXEC"},
    {"libc_accept", "accept4 with SOCK_CLOEXEC"},
    {"recvm", "recvmsg with MSG_CMSG_CLOEXEC"},
    {"libc_recvm", "recvmsg with MSG_CMSG_CLOEXEC"},
    {"pipe", "pipe2 with O_CLOEXEC"},
    {NULL, NULL},
};

static const struct remedy by_type[] = {
    {"file", "O_CLOEXEC"},
    {"directory", "O_CLOEXEC"},
    {"device", "O_CLOEXEC"},
    {"pipe", "O_CLOEXEC"},
    {"socket", "SOCK_CLOEXEC"},
    {"epoll", "EPOLL_CLOEXEC"},
    {"eventfd", "EFD_CLOEXEC"},
    {"timerfd", "TFD_CLOEXEC"},
    {"signalfd", "SFD_CLOEXEC"},
    {"inotify", "IN_CLOEXEC"},
    {"fanotify", "FAN_CLOEXEC"},
    {"memfd", "MFD_CLOEXEC"},
    {"perf", "PERF_FLAG_FD_CLOEXEC"},
    {"mqueue", "O_CLOEXEC"},
    {NULL, NULL},
};

const char *cloexec_remedy(const struct report *report, const struct crossing *place)
{
	struct stack stack = stack_table_get(report->stacks, place->stack_id);
	const char *family = handle_type_family(place->type), *function = NULL;
	const struct symbol *symbols;

	if (stack.frames_n && symbolizer_lookup(report->symbolizer, &stack.frames[0], &symbols))
		function = symbols[0].function;
	function = function ? function + strspn(function, "_") : "";
	for (const struct remedy *row = by_call; row->of; row++)
		if (!strncmp(function, row->of, strlen(row->of)))
			return row->text;
	for (const struct remedy *row = by_type; family && row->of; row++)
		if (!strcmp(family, row->of))
			return row->text;
	return "FD_CLOEXEC (fcntl with F_SETFD)";
}
