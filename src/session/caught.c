/*
 * Owns the bad references whose threads were sent a signal, until somebody tells of them: each is
 * told while its process stands still. What the collector caught, the model explains.
 */
#include "session/internal.h"

#include "base/hash.h"
#include "stack/stack_table.h"

#include <signal.h>
#include <string.h>

enum { CAUGHT_MAX = 16, PLACES_MAX = 4096 };

/* A close is recorded when it begins, and judged when it has failed. */
static const uint64_t close_ns_max = 1000000000;

/* What the model made of it; NULL: nothing. */
static const struct bad_reference *find_bad(const struct session *session,
					    const struct event_syscall *event, int32_t number)
{
	const struct process *process = model_process(session->model, event->header.pid);
	const struct bad_reference *latest = NULL;

	if (!process)
		return NULL;
	array_each (bad, &process->bad_references) {
		if (bad->number == number && bad->call == event->number &&
		    bad->now.tid == event->header.tid &&
		    bad->now.time_ns + close_ns_max > event->header.time_ns &&
		    (!latest || bad->now.time_ns > latest->now.time_ns))
			latest = bad;
	}
	return latest;
}

/* What does not stop may come again and again: one of each place is told. */
static bool was_told(struct session *session, const struct session_caught *caught)
{
	uint64_t key = hash_combine((uint32_t)caught->pid, caught->call);

	if (session->collector_options.bad_reference_signal == SIGSTOP)
		return false;
	key = hash_combine(hash_combine(key, caught->kind), caught->stack_id);
	if (map_get(&session->caught_places, key))
		return true;
	if (session->caught_places.count < PLACES_MAX)
		*map_put(&session->caught_places, key) = 1;
	return false;
}

void session_catch(struct session *session, const struct event_syscall *event,
		   const struct handle_op *ops, size_t ops_n, uint32_t stack_id)
{
	struct session_caught caught = {
	    .time_ns = event->header.time_ns,
	    .pid = event->header.pid,
	    .tid = event->header.tid,
	    .number = -1,
	    .call = event->number,
	    .stack_id = stack_id,
	};

	for (size_t i = 0; i < ops_n && !caught.kind; i++) {
		const struct bad_reference *bad = find_bad(session, event, ops[i].number);

		if (caught.number < 0 || bad)
			caught.number = ops[i].number;
		if (bad) {
			caught.kind = bad->kind;
			caught.stack_id = bad->now.stack_id;
		}
	}
	if (session->caught.count == CAUGHT_MAX || was_told(session, &caught))
		session->caught_dropped++;
	else
		array_push(&session->caught, caught);
}

bool session_next_caught(struct session *session, struct session_caught *out, uint64_t *dropped)
{
	*dropped = session->caught_dropped;
	session->caught_dropped = 0;
	session->caught_stack = STACK_NONE;
	if (!session->caught.count)
		return false;
	*out = session->caught.data[0];
	session->caught_stack = out->stack_id;
	session->caught.count--;
	memmove(session->caught.data, session->caught.data + 1,
		session->caught.count * sizeof(*session->caught.data));
	return true;
}

void session_caught_stacks(const struct session *session,
			   void (*each)(void *context, uint32_t stack_id), void *context)
{
	each(context, session->caught_stack);
	array_each (caught, &session->caught)
		each(context, caught->stack_id);
}
