/*
 * Owns the comparison of a table with the truth. A difference is believed when it is found twice in
 * a row, since an event about the number may still be on its way.
 */
#include "model/handle_type.h"
#include "model/model_private.h"

#include <limits.h>
#include <string.h>

enum doubt { DOUBT_NONE = 0, DOUBT_MISSING = 1, DOUBT_EXTRA = 2, DOUBT_OTHER = 3 };

struct comparing {
	struct model *model;
	struct process_record *record;
	struct handle_table *table;
	struct map seen;
	uint64_t begin_ns, end_ns;
	uint32_t differ;
	bool attaching;
};

enum handle_origin origin_of_unseen(const struct handle_table *table)
{
	if (table->complete)
		return ORIGIN_UNKNOWN;
	return table->owner && table->owner->forked ? ORIGIN_INHERITED : ORIGIN_BEFORE_TRACING;
}

/* What can be opened by a path. */
static bool has_path(const char *type)
{
	static const char *const types[] = {"file", "directory", "device", "symlink",
					    "pipe", "memfd",     "mqueue", "namespace"};

	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (handle_type_is(type, types[i]))
			return true;
	return false;
}

/* Does the truth know more of the type than the opening told? */
static bool is_news(const struct handle *handle, const char *type)
{
	if (!handle->type)
		return true;
	switch (handle->opened_as) {
	case OPENED_AS_FILE:
	case OPENED_AS_DEVICE:
		return has_path(type);
	case OPENED_AS_SOCKET: /* the protocol may be hidden from who looks */
		return handle_type_is(type, "socket") && strcmp(type, "socket");
	default:
		return false;
	}
}

static void learn_type(struct comparing *comparing, struct handle *handle, const char *type)
{
	bool unseen = handle->origin != ORIGIN_OPENED && handle->origin != ORIGIN_RECEIVED;

	type = strtab_intern(&comparing->model->strings, type);
	if (unseen && handle->opened_as == OPENED_AS_UNKNOWN && comparing->table->owner)
		place_retype(comparing->table->owner, handle, type);
	else
		handle->type = type;
}

static void fill_in(struct comparing *comparing, struct handle *handle,
		    const struct observed_handle *truth)
{
	handle->doubt = DOUBT_NONE;
	if (truth->known)
		return;
	handle->observed = true;
	handle->cloexec = truth->cloexec;
	if (truth->type && is_news(handle, truth->type))
		learn_type(comparing, handle, truth->type);
	/* The path that the call was given may be relative, or a link to something else. */
	if (truth->name && (!handle->name || strcmp(handle->name, truth->name)))
		handle_set_name(comparing->table, handle, truth->name, strlen(truth->name));
}

/* Types that no other kind of object has in /proc/PID/fd. */
static bool is_definite(const char *type)
{
	static const char *const types[] = {"socket",  "pipe",     "eventfd", "epoll",
					    "timerfd", "signalfd", "inotify", "memfd"};

	for (size_t i = 0; type && i < sizeof(types) / sizeof(*types); i++)
		if (strcmp(type, "fifo") && handle_type_is(type, types[i]))
			return true;
	return false;
}

/* "socket:[1234]": the inode's number names the object, and is only known from /proc. */
static bool names_object(const char *name)
{
	return name && (!strncmp(name, "socket:[", 8) || !strncmp(name, "pipe:[", 6));
}

/* After a loss, a number may stand for another object than the one whose opening was seen. */
static bool is_other_object(const struct comparing *comparing, const struct handle *handle,
			    const struct observed_handle *truth)
{
	if (!comparing->record->public.incomplete || truth->known)
		return false;
	if (is_definite(handle->type) && is_definite(truth->type) &&
	    strcmp(handle_type_family(handle->type), handle_type_family(truth->type)))
		return true;
	return names_object(handle->name) && names_object(truth->name) &&
	       strcmp(handle->name, truth->name);
}

/* Believed when found twice: the handle was closed and its number opened again, both unseen. */
static void replace_unseen(struct comparing *comparing, struct handle *handle,
			   const struct observed_handle *truth)
{
	struct handle_moment moment = {.time_ns = comparing->end_ns,
				       .pid = comparing->record->public.pid,
				       .tid = comparing->record->public.pid};

	if (handle->doubt != DOUBT_OTHER) {
		handle->doubt = DOUBT_OTHER;
		comparing->differ++;
		return;
	}
	handle_shut(comparing->model, comparing->table, handle, &moment, CLOSED_UNSEEN,
		    TRACE_CALL_NONE);
	handle = handle_found(comparing->model, comparing->table, truth->number, ORIGIN_UNKNOWN,
			      truth->type);
	fill_in(comparing, handle, truth);
	comparing->record->public.reconciled++;
}

static void compare_observed(struct comparing *comparing, const struct observed_handle *truth)
{
	struct handle *handle = handle_table_get(comparing->table, truth->number);

	if (handle && handle->touched_ns >= (truth->since_ns ?: comparing->begin_ns)) {
		comparing->differ++;
		return;
	}
	if (handle && handle->open && is_other_object(comparing, handle, truth)) {
		replace_unseen(comparing, handle, truth);
		return;
	}
	if (handle && handle->open) {
		fill_in(comparing, handle, truth);
		return;
	}
	/* Closed since it was looked at: the next comparison does that. */
	if (truth->known) {
		comparing->differ++;
		return;
	}
	handle = handle_table_put(comparing->table, truth->number);
	if (handle->doubt != DOUBT_MISSING) {
		handle->doubt = DOUBT_MISSING;
		comparing->differ++;
		return;
	}
	handle->touched_ns = comparing->begin_ns - 1;
	handle = handle_found(comparing->model, comparing->table, truth->number,
			      origin_of_unseen(comparing->table), truth->type);
	fill_in(comparing, handle, truth);
	comparing->record->public.reconciled += !comparing->attaching;
}

/* Records that the truth does not have. */
static void compare_unobserved(void *context, struct handle *handle)
{
	struct comparing *comparing = context;
	struct handle_moment moment = {.time_ns = comparing->end_ns,
				       .pid = comparing->record->public.pid,
				       .tid = comparing->record->public.pid};

	if (map_get(&comparing->seen, (uint32_t)handle->number))
		return;
	if (handle->touched_ns >= comparing->begin_ns) {
		comparing->differ++;
	} else if (!handle->open) {
		handle->doubt = DOUBT_NONE;
	} else if (handle->doubt != DOUBT_EXTRA) {
		handle->doubt = DOUBT_EXTRA;
		comparing->differ++;
	} else {
		handle->doubt = DOUBT_NONE;
		handle_shut(comparing->model, comparing->table, handle, &moment, CLOSED_UNSEEN,
			    TRACE_CALL_NONE);
		comparing->record->public.reconciled += !comparing->attaching;
	}
}

uint32_t model_observe(struct model *model, int32_t pid, const struct observed_handle *handles,
		       size_t handles_n, uint64_t begin_ns, uint64_t end_ns)
{
	struct process_record *record = process_find(model, pid);
	struct comparing comparing = {
	    .model = model, .record = record, .begin_ns = begin_ns, .end_ns = end_ns};

	if (!record)
		return 0;
	comparing.table = task_table(model, record, pid);
	comparing.attaching = !comparing.table->complete;
	for (size_t i = 0; i < handles_n; i++)
		if (handles[i].number >= 0)
			*map_put(&comparing.seen, (uint32_t)handles[i].number) = 1;
	handle_table_each(comparing.table, 0, INT32_MAX, false, compare_unobserved, &comparing);
	for (size_t i = 0; i < handles_n; i++)
		if (handles[i].number >= 0)
			compare_observed(&comparing, &handles[i]);
	map_fini(&comparing.seen);
	if (!comparing.differ) {
		comparing.table->complete = true;
		record->public.incomplete = false;
	}
	return comparing.differ;
}

bool model_was_observed(const struct model *model, const struct process *process, int32_t number)
{
	const struct handle *handle =
	    process->incomplete ? NULL : model_handle(model, process, number);

	return handle && handle->open && handle->observed;
}

void model_attached(struct model *model, int32_t pid)
{
	struct process_record *record = process_find(model, pid);

	if (record)
		task_table(model, record, pid)->complete = true;
}
