/*
 * The agent's collector: starts programs with the agent loaded, and reads what the agents of all
 * targets write. Owns the waiting, and the program that it started.
 */
#include "collect/collector.h"

#include "base/alloc.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "collect/agent/arena.h"
#include "collect/agent/inject.h"
#include "collect/agent/lifetimes.h"
#include "collect/agent/preload.h"
#include "collect/agent/program_file.h"
#include "collect/known_stacks.h"
#include "collect/maps.h"
#include "collect/start.h"

#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
	NAP_MS = 8,             /* while events come; a ring that fills ends it */
	IDLE_MS = 20,           /* while none come */
	BATCH_MAX = 4096,       /* records that one poll hands over at the most */
	LIMITED_NAP_NS = 50000, /* while a record is being written */
};

struct collector {
	struct agent_arena memory;
	struct rings rings;
	struct lifetimes lifetimes;
	struct known_stacks known_stacks;
	ARRAY(struct injected) injected; /* processes that the agent has to leave again */
	/* For a program that somebody else starts; the first is owned. */
	const char *variables[3];
	struct agent_plan plan; /* of a process that a debugger holds */
	uint64_t lost_told;
	bool busy; /* the last look found events, and took all */
};

static void agent_destroy(struct collector *collector);

static bool is_known_stack(void *context, uint32_t stack)
{
	const struct collector *collector = context;

	return known_stacks_has(&collector->known_stacks, stack);
}

/* An agent finds its thread by the FS base; ours is the CPU and the kernel of all targets. */
static int check_machine(struct error *error)
{
	enum { HWCAP2_FSGSBASE_BIT = 2 }; /* asm/hwcap2.h */

	if (getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT)
		return 0;
	return error_set(error, -ENOTSUP, "the agent needs a CPU and a kernel (5.9) with FSGSBASE");
}

static int agent_create(const struct collector_options *options, struct collector **out,
			struct error *error)
{
	struct collector *collector;
	int result;

	if (options->everything)
		return error_set(error, -EOPNOTSUPP,
				 "the agent is put into single programs and cannot trace all "
				 "processes: that takes --collector=bpf, as root");
	collector = xcalloc(1, sizeof(*collector));
	result = check_machine(error) ?: agent_arena_init(&collector->memory, options, error);
	if (result) {
		free(collector);
		return result;
	}
	rings_init(&collector->rings, collector->memory.arena, collector->memory.fd);
	lifetimes_init(&collector->lifetimes, &collector->rings, options,
		       collector->memory.preload);
	collector->lifetimes.is_known_stack = is_known_stack;
	collector->lifetimes.context = collector;
	known_stacks_init(&collector->known_stacks, collector->memory.arena->known_stacks);
	*out = collector;
	return 0;
}

static int agent_suits(const char *program_path, pid_t pid, struct error *error)
{
	enum program_way way;
	char exe[64];

	snprintf(exe, sizeof(exe), "/proc/%d/exe", pid);
	return program_file_way(program_path ?: exe, !program_path, &way, error)
		   ?: preload_check(program_path ? getenv("LD_PRELOAD") : NULL, error);
}

/* ---- a running process ---- */

static const char *variable_of(const struct agent_arena *memory)
{
	return memory->variable + sizeof(ARENA_VARIABLE); /* behind the '=' */
}

/* How it is by now /proc tells, not the agent: its mappings before anything that it does. */
static int agent_attach(struct collector *collector, pid_t pid, const struct event_sink *sink,
			struct error *error)
{
	struct injected injected = {0};
	int result;

	lifetimes_add(&collector->lifetimes, pid)->drop = LIFETIMES_DROP_START;
	result = agent_inject(pid, collector->memory.preload, variable_of(&collector->memory),
			      &injected, error);
	if (result < 0) {
		lifetimes_forget(&collector->lifetimes, pid);
		return result;
	}
	array_push(&collector->injected, injected);
	return maps_hand_over(pid, sink, error);
}

static int agent_adopt(struct collector *collector, pid_t pid, const struct event_sink *sink,
		       struct entry_plan *plan, struct error *error)
{
	struct agent_plan *own = &collector->plan;
	int result;

	agent_plan_fini(own);
	result = agent_plan_make(pid, collector->memory.preload, variable_of(&collector->memory),
				 own, error);
	if (result)
		return result;
	lifetimes_add(&collector->lifetimes, pid)->drop = LIFETIMES_DROP_START;
	*plan = own->told;
	return maps_hand_over(pid, sink, error);
}

/* ---- a program that we start ---- */

struct start {
	struct collector *collector;
	bool inject;
	struct agent_start *injection;
};

static int trace_child(void *context, pid_t pid, struct error *error)
{
	struct start *start = context;
	const struct agent_arena *memory = &start->collector->memory;

	if (start->inject) {
		_cleanup_(free) char *variable = xasprintf("%s" ARENA_FRESH, variable_of(memory));

		start->injection = agent_start_begin(pid, memory->preload, variable, error);
		if (!start->injection)
			return error->code;
	}
	start->collector->lifetimes.child.pid = pid;
	lifetimes_add(&start->collector->lifetimes, pid);
	return 0;
}

/* The program runs by now: that it is not traced is told, but no reason to end it. */
static void finish_injection(struct start *start, bool started)
{
	struct injected injected = {0};
	struct error error = {0};
	int result;

	if (!start->injection)
		return;
	result = agent_start_end(start->injection, &injected, &error);
	if (result >= 0)
		array_push(&start->collector->injected, injected);
	else if (started)
		lifetimes_complain(&start->collector->lifetimes,
				   start->collector->lifetimes.child.pid, error.message);
}

static int agent_spawn(struct collector *collector, const struct spawn *spawn, pid_t *pid,
		       struct error *error)
{
	_cleanup_(free) char **environment = NULL;
	_cleanup_(free) char *preload = NULL;
	struct start start = {.collector = collector};
	struct spawn with_agent = *spawn;
	enum program_way way;
	int result = program_file_way(spawn->path, false, &way, error)
			 ?: preload_check_environment(spawn->envp, error);

	if (result)
		return result;
	environment = preload_environment(&collector->memory, spawn->envp, &preload);
	start.inject = way == PROGRAM_INJECT;
	if (!start.inject)
		with_agent.envp = environment;
	result = start_program(&with_agent, trace_child, &start, pid, error);
	finish_injection(&start, !result);
	if (result)
		lifetimes_forget(&collector->lifetimes, collector->lifetimes.child.pid);
	else
		lifetimes_expect_exec(&collector->lifetimes, *pid);
	return result;
}

/* ---- a program that somebody else starts ---- */

static int agent_await(struct collector *collector, const char *program,
		       const char *const **variables, struct error *error)
{
	enum program_way way = PROGRAM_PRELOAD;
	int result = program ? program_file_way(program, false, &way, error) : 0;

	if (result)
		return result;
	if (way == PROGRAM_INJECT)
		return error_set(
		    error, -ENOTSUP,
		    "%s is statically linked: the agent cannot be loaded with it, only "
		    "put into it once it runs",
		    program);
	if (!collector->variables[0]) {
		collector->variables[0] = xasprintf("LD_PRELOAD=%s", collector->memory.preload);
		collector->variables[1] = collector->memory.variable;
	}
	collector->lifetimes.awaits = true;
	*variables = collector->variables;
	return 0;
}

static bool agent_child_ended(const struct collector *collector, int *wait_status)
{
	return started_child_ended(&collector->lifetimes.child, wait_status);
}

/* Nobody else is held: agents record on their own. */
static bool agent_child_stopped(const struct collector *collector, bool *all)
{
	*all = true;
	return started_child_stopped(&collector->lifetimes.child);
}

/* ---- events ---- */

static uint64_t lost_records(const struct collector *collector)
{
	return collector->rings.lost + collector->lifetimes.lost;
}

static void tell_losses(struct collector *collector)
{
	struct event_lost event = {
	    .header = {.size = sizeof(event), .type = EVENT_LOST, .time_ns = clock_now_ns()},
	    .count = lost_records(collector) - collector->lost_told,
	};

	if (!event.count)
		return;
	collector->lost_told += event.count;
	collector->lifetimes.batch++;
	collector->lifetimes.sink->receive(collector->lifetimes.sink->context, &event.header);
}

/* Everything that the rings hold, up to a batch; whether that was all. */
static bool drain(struct collector *collector)
{
	const struct rings_reader reader = {
	    .may_read = lifetimes_may_read,
	    .receive = lifetimes_receive,
	    .context = &collector->lifetimes,
	};
	bool all;

	lifetimes_look(&collector->lifetimes);
	all = rings_pass(&collector->rings, BATCH_MAX, &reader);
	if (all)
		lifetimes_settle(&collector->lifetimes);
	tell_losses(collector);
	return all;
}

/* Waits until an agent wakes us, at most `ms`. Returns -EINTR after a signal. */
static int wait_ms(struct collector *collector, int ms)
{
	uint32_t *sleeping = &collector->memory.arena->sleeping;
	struct timespec most = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
	bool interrupted;

	__atomic_store_n(sleeping, 1, __ATOMIC_SEQ_CST);
	interrupted =
	    syscall(SYS_futex, sleeping, FUTEX_WAIT, 1, &most, NULL, 0) < 0 && errno == EINTR;
	__atomic_store_n(sleeping, 0, __ATOMIC_RELAXED);
	return interrupted ? -EINTR : 0;
}

/* Waits for more, until a time. */
static int wait_for_events(struct collector *collector, uint64_t until_ns)
{
	uint64_t now = clock_now_ns();
	int left_ms = until_ns > now ? (until_ns - now) / 1000000 + 1 : 0;
	int most_ms = collector->busy ? NAP_MS : IDLE_MS;

	collector->busy = false;
	return wait_ms(collector, left_ms < most_ms ? left_ms : most_ms);
}

static bool is_over(const struct collector *collector)
{
	const struct lifetimes *lifetimes = &collector->lifetimes;

	return !lifetimes_go_on(lifetimes) && (!lifetimes->child.pid || lifetimes->child.waited);
}

static int agent_poll(struct collector *collector, int timeout_ms, const struct event_sink *sink,
		      struct error *error)
{
	uint64_t until_ns = clock_now_ns() + timeout_ms * 1000000ull;

	collector->lifetimes.sink = sink;
	collector->lifetimes.batch = 0;
	if (collector->busy && timeout_ms && wait_for_events(collector, until_ns) < 0)
		return -EINTR;
	for (;;) {
		bool all = drain(collector);

		collector->busy = collector->lifetimes.batch && all;
		if (collector->lifetimes.batch)
			return collector->lifetimes.batch;
		if (all && is_over(collector))
			return -ECHILD;
		if (!all) {
			/* Not for long: rings_pass() does not wait for ever. */
			nanosleep(&(struct timespec){.tv_nsec = LIMITED_NAP_NS}, NULL);
			continue;
		}
		if (clock_now_ns() >= until_ns)
			return 0;
		if (wait_for_events(collector, until_ns) < 0)
			return -EINTR;
	}
}

static void agent_learn_stack(struct collector *collector, const struct event_syscall *event,
			      const struct footprint *footprint, uint32_t stack)
{
	known_stacks_add(&collector->known_stacks, event->mappings, footprint, stack,
			 rings_reached(&collector->rings), rings_retire(&collector->rings));
}

static void agent_known_stacks(const struct collector *collector,
			       void (*each)(void *context, uint32_t stack), void *context)
{
	known_stacks_each(&collector->known_stacks, each, context);
}

static const char *agent_complaint(const struct collector *collector)
{
	return *collector->lifetimes.complaint ? collector->lifetimes.complaint : NULL;
}

/* ---- end ---- */

static void agent_detach(struct collector *collector)
{
	__atomic_store_n(&collector->memory.arena->active, 0, __ATOMIC_RELEASE);
	array_each (injected, &collector->injected)
		agent_withdraw(injected, NULL);
	collector->injected.count = 0;
	collector->lifetimes.awaits = false;
}

static void agent_stats(const struct collector *collector, struct collector_stats *out)
{
	out->events = collector->lifetimes.events;
	out->lost = lost_records(collector);
}

static void agent_destroy(struct collector *collector)
{
	if (!collector)
		return;
	agent_detach(collector);
	array_fini(&collector->injected);
	lifetimes_fini(&collector->lifetimes);
	rings_fini(&collector->rings);
	known_stacks_fini(&collector->known_stacks);
	agent_arena_fini(&collector->memory);
	free((char *)collector->variables[0]);
	agent_plan_fini(&collector->plan);
	free(collector);
}

const struct collector_ops collector_agent = {
    .name = "agent",
    .suits = agent_suits,
    .create = agent_create,
    .attach = agent_attach,
    .spawn = agent_spawn,
    .await = agent_await,
    .adopt = agent_adopt,
    .poll = agent_poll,
    .learn_stack = agent_learn_stack,
    .known_stacks = agent_known_stacks,
    .complaint = agent_complaint,
    .child_ended = agent_child_ended,
    .child_stopped = agent_child_stopped,
    .detach = agent_detach,
    .stats = agent_stats,
    .destroy = agent_destroy,
};
