/*
 * Owns what is told at once: that a process is out of handles, and that a trigger's condition has
 * come to hold. A condition that goes on holding is told once; it is told again when it has not
 * held for the quiet time. Knows nothing of files and messages.
 */
#include "session/watch.h"

#include "base/alloc.h"
#include "os/procfs.h"
#include "session/internal.h"

#include <errno.h>

enum {
	WINDOW_POINTS = 20, /* so often in a window it is looked how many are open */
	WATCH_PAUSE_NS = 50 * 1000 * 1000,
};

/* How many were open over the last window. */
struct window {
	uint64_t times_ns[WINDOW_POINTS + 1];
	uint64_t open[WINDOW_POINTS + 1];
	uint32_t begin, n; /* a ring */
};

struct condition {
	uint64_t held_ns; /* when it last held; 0: it never did */
	bool holds;
	struct window *window;
};

struct watched {
	uint64_t start_ns; /* the process's: another one has another */
	struct condition conditions[TRIGGERS_MAX];
};

struct watch {
	struct session_watch told;
	struct map processes; /* pid -> struct watched * */
	uint64_t look_after_ns;
};

static void watched_free(struct watched *watched)
{
	for (size_t i = 0; watched && i < TRIGGERS_MAX; i++)
		free(watched->conditions[i].window);
	free(watched);
}

void watch_ended(struct session *session, pid_t pid)
{
	struct watch *watch = session->watch;

	if (!watch)
		return;
	watched_free(map_get_pointer(&watch->processes, (uint32_t)pid));
	map_remove(&watch->processes, (uint32_t)pid);
}

void watch_free(struct watch *watch)
{
	if (!watch)
		return;
	map_each (entry, &watch->processes)
		watched_free((struct watched *)(uintptr_t)entry->value);
	map_fini(&watch->processes);
	free(watch);
}

static struct watched *watched_of(struct watch *watch, const struct process *process)
{
	struct watched *watched = map_get_pointer(&watch->processes, (uint32_t)process->pid);

	if (watched && watched->start_ns == process->start_ns)
		return watched;
	watched_free(watched);
	watched = xcalloc(1, sizeof(*watched));
	watched->start_ns = process->start_ns;
	map_put_pointer(&watch->processes, (uint32_t)process->pid, watched);
	return watched;
}

static void tell(struct watch *watch, const struct process *process, size_t trigger)
{
	if (watch->told.triggered)
		watch->told.triggered(watch->told.context, process, trigger);
}

/* The condition holds at that time, or not. It may be looked at later than what is told then. */
static void judge(struct watch *watch, const struct process *process, size_t trigger, bool holds,
		  uint64_t now_ns)
{
	struct condition *condition = &watched_of(watch, process)->conditions[trigger];
	uint64_t held_ns = condition->held_ns;
	bool begins = holds && !condition->holds;

	if ((holds || condition->holds) && now_ns > held_ns)
		condition->held_ns = now_ns;
	condition->holds = holds;
	if (begins && (!held_ns || (now_ns > held_ns && now_ns - held_ns >= watch->told.quiet_ns)))
		tell(watch, process, trigger);
}

/* ---- out of handles ---- */

static void learn_limits(struct session *session, const struct process *process, uint64_t limit)
{
	struct exhausted_limits limits = {.process = limit};

	if (!limit && procfs_handle_limit(process->pid, &limits.process) < 0)
		limits.process = 0;
	if (process->exhausted->error == -ENFILE &&
	    procfs_system_files(&limits.system_open, &limits.system) < 0)
		limits.system_open = limits.system = 0;
	model_exhausted_limits(session->model, process->pid, &limits);
}

static void tell_exhausted(struct watch *watch, const struct process *process)
{
	if (watch->told.exhausted)
		watch->told.exhausted(watch->told.context, process);
	for (size_t i = 0; i < watch->told.triggers_n; i++)
		if (watch->told.triggers[i].kind == TRIGGER_EMFILE)
			tell(watch, process, i);
}

void watch_exhausted(struct session *session, const struct process *process, uint64_t limit)
{
	learn_limits(session, process, limit);
	if (session->watch)
		tell_exhausted(session->watch, process);
}

/* ---- how many are open ---- */

void watch_changed(struct session *session, const struct process *process, uint64_t time_ns)
{
	struct watch *watch = session->watch;
	uint64_t open;

	if (!watch || !watch->told.triggers_n || !process)
		return;
	open = model_open_count(session->model, process);
	for (size_t i = 0; i < watch->told.triggers_n; i++) {
		const struct trigger *trigger = &watch->told.triggers[i];

		if (trigger->kind == TRIGGER_OPEN)
			judge(watch, process, i, open > trigger->most, time_ns);
	}
}

/* What it had when tracing of it began: what is open but for what it opened since. */
static void window_begin(struct window *window, const struct process *process, uint64_t open)
{
	uint64_t since = 0;

	array_each (place, &process->places)
		since += place->opened - place->closed;
	window->times_ns[0] = process->start_ns;
	window->open[0] = open > since ? open - since : 0;
	window->n = 1;
}

/* What was open a window ago, or when tracing began; then adds what is open now. */
static uint64_t window_step(struct window *window, uint64_t window_ns, uint64_t open,
			    uint64_t now_ns)
{
	uint32_t newest = (window->begin + window->n - 1) % (WINDOW_POINTS + 1);

	/* The oldest goes when the one behind it is a window old too. */
	while (window->n > 1 &&
	       now_ns - window->times_ns[(window->begin + 1) % (WINDOW_POINTS + 1)] >= window_ns) {
		window->begin = (window->begin + 1) % (WINDOW_POINTS + 1);
		window->n--;
	}
	if (window->n <= WINDOW_POINTS &&
	    now_ns - window->times_ns[newest] >= window_ns / WINDOW_POINTS) {
		uint32_t next = (window->begin + window->n) % (WINDOW_POINTS + 1);

		window->times_ns[next] = now_ns;
		window->open[next] = open;
		window->n++;
	}
	return window->open[window->begin];
}

static void look_at(struct session *session, const struct process *process, uint64_t now_ns)
{
	struct watch *watch = session->watch;
	uint64_t open = model_open_count(session->model, process);

	for (size_t i = 0; i < watch->told.triggers_n; i++) {
		const struct trigger *trigger = &watch->told.triggers[i];
		struct condition *condition;
		uint64_t before;

		if (trigger->kind == TRIGGER_OPEN)
			judge(watch, process, i, open > trigger->most, now_ns);
		if (trigger->kind != TRIGGER_GROWTH)
			continue;
		condition = &watched_of(watch, process)->conditions[i];
		if (!condition->window) {
			condition->window = xcalloc(1, sizeof(*condition->window));
			window_begin(condition->window, process, open);
		}
		before = window_step(condition->window, trigger->window_ns, open, now_ns);
		judge(watch, process, i, open > before && open - before > trigger->most, now_ns);
	}
}

void watch_step(struct session *session, uint64_t now_ns)
{
	struct watch *watch = session->watch;

	if (!watch || !watch->told.triggers_n || now_ns < watch->look_after_ns)
		return;
	watch->look_after_ns = now_ns + WATCH_PAUSE_NS;
	for (size_t i = 0; i < model_processes(session->model); i++) {
		const struct process *process = model_process_at(session->model, i);

		if (!process->exited)
			look_at(session, process, now_ns);
	}
}

void session_set_watch(struct session *session, const struct session_watch *told)
{
	watch_free(session->watch);
	session->watch = xcalloc(1, sizeof(*session->watch));
	session->watch->told = *told;
	if (!session->watch->told.quiet_ns)
		session->watch->told.quiet_ns = EXHAUSTED_QUIET_NS;
	model_set_quiet(session->model, session->watch->told.quiet_ns);
	for (size_t i = 0; i < model_processes(session->model); i++) {
		const struct process *process = model_process_at(session->model, i);

		if (process->exhausted)
			tell_exhausted(session->watch, process);
	}
}
