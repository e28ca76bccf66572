/*
 * An hour of a busy server in some seconds: 20 million events through all of a session, from a
 * thousand places, with numbers used again, children that fork, exec (and lie elsewhere each time),
 * leave things open and end. What is allocated must not grow with them. FLAT_EVENTS=N is another
 * number of events, for builds that are slow.
 */
#include "allocated.h"
#include "bare_session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

enum {
	EVENTS = 20000000,
	SERVERS = 4,
	NUMBERS = 256, /* of each server; as many of them open as not */
	PLACES = 1000,
	CHILDREN = 40000,
	CHILD_PIDS = 20000,
	PLACE = 0x100000, /* where the servers have the library */
	STACK = 0x700000,
	FRAMES = 8,
	SAMPLES = 4,
	STEP_NS = 180000,      /* an hour in all */
	SLACK_BYTES = 2 << 20, /* what is dropped only when there is so much of it */
};

struct replay {
	struct session *session;
	int library;
	uint64_t random, time_ns, events, child_at, children;
	uint64_t child_every; /* events */
	uint64_t known_pc;    /* of the stack that the collector knows */
	bool open[SERVERS][NUMBERS];
};

static uint64_t next(struct replay *replay)
{
	uint64_t mixed = replay->random += 0x9e3779b97f4a7c15; /* splitmix64 */

	mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
	mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
	return mixed ^ mixed >> 31;
}

/* A call from the library at `start`; `place` says from where in it, at all depths. */
static void call(struct replay *replay, int32_t pid, int32_t number, bool opens, uint64_t start,
		 unsigned place)
{
	uint64_t words[FRAMES];
	const struct bare_stack stack = {start + BARE_TEXT + place / 200, STACK, words, FRAMES};

	for (unsigned i = 0; i < FRAMES; i++)
		words[i] = i < FRAMES - 1 ? start + BARE_TEXT + 1 + place % 200 : 0;
	replay->events++;
	if (opens)
		bare_open(replay->session, pid, replay->time_ns += STEP_NS, number, &stack);
	else
		bare_close(replay->session, pid, replay->time_ns += STEP_NS, number, &stack);
}

/* A stack that only the collector still knows, once the child is forgotten. */
static void remember(struct replay *replay, int32_t pid)
{
	const struct process *process = model_process(replay->session->model, pid);
	const struct handle *handle = model_handle(replay->session->model, process, NUMBERS);
	uint32_t stack_id = handle->opened.stack_id;

	replay->session->collector->known_stack = stack_id;
	replay->known_pc = stack_table_get(replay->session->stacks, stack_id).frames[0].pc;
}

/* A child that opens three, closes two or three, and ends; every other one runs a program. */
static void child(struct replay *replay, int32_t parent)
{
	const int32_t pid = BARE_PID + SERVERS + replay->children++ % CHILD_PIDS;
	uint64_t start = PLACE;
	unsigned closes = 2 + next(replay) % 2;

	bare_fork(replay->session, parent, pid, replay->time_ns += STEP_NS);
	if (replay->children % 2) {
		start += (1 + next(replay) % (1 << 24)) * 0x100000;
		bare_exec(replay->session, pid, replay->time_ns += STEP_NS);
		bare_map(replay->session, pid, replay->time_ns += STEP_NS, replay->library, start);
	}
	for (int32_t number = NUMBERS; number < NUMBERS + 3; number++)
		call(replay, pid, number, true, start, number % PLACES);
	if (!replay->session->collector->known_stack && start != PLACE && closes == 3)
		remember(replay, pid);
	for (unsigned i = 0; i < closes; i++)
		call(replay, pid, NUMBERS + i, false, start, i);
	bare_exit(replay->session, pid, replay->time_ns += STEP_NS);
	replay->events += 4;
}

static void step(struct replay *replay)
{
	const uint64_t random = next(replay);
	const unsigned server = random % SERVERS, number = random >> 8 & (NUMBERS - 1);
	bool *open = &replay->open[server][number];

	call(replay, BARE_PID + server, number, !*open, PLACE, (random >> 32) % PLACES);
	*open = !*open;
	if (replay->events >= replay->child_at) {
		child(replay, BARE_PID + server);
		replay->child_at += replay->child_every;
	}
}

static void start(struct replay *replay)
{
	*replay = (struct replay){.session = bare_session_new(), .library = bare_library(8)};
	for (int32_t pid = BARE_PID; pid < BARE_PID + SERVERS; pid++) {
		bare_exec(replay->session, pid, replay->time_ns += STEP_NS);
		bare_map(replay->session, pid, replay->time_ns += STEP_NS, replay->library, PLACE);
	}
}

static void count_open(void *context, const struct handle *handle)
{
	struct stack stack =
	    stack_table_get(((struct replay *)context)->session->stacks, handle->opened.stack_id);

	assert_int_equal(stack.end, STACK_END_COMPLETE);
	assert_int_equal(stack.frames_n, FRAMES);
	((struct replay *)context)->random++;
}

/* Nothing that is still told was dropped. */
static void check_kept(struct replay *replay)
{
	struct stack known =
	    stack_table_get(replay->session->stacks, replay->session->collector->known_stack);

	assert_int_equal(known.frames_n, FRAMES);
	assert_int_equal(known.frames[0].pc, replay->known_pc);
	for (unsigned server = 0; server < SERVERS; server++) {
		uint64_t expected = replay->random;

		for (unsigned i = 0; i < NUMBERS; i++)
			expected += replay->open[server][i];
		model_open_handles(replay->session->model,
				   model_process(replay->session->model, BARE_PID + server),
				   count_open, replay);
		assert_int_equal(replay->random, expected);
	}
}

static void test_flat(void **state)
{
	const char *wanted = getenv("FLAT_EVENTS");
	const uint64_t events = wanted ? strtoull(wanted, NULL, 0) : EVENTS;
	size_t bytes[SAMPLES] = {0}, unused = allocated_bytes();
	const struct forgotten *total;
	struct replay replay;

	(void)state;
	start(&replay);
	replay.child_every = events / CHILDREN;
	for (unsigned sample = 0; sample < SAMPLES; sample++) {
		while (replay.events < events * (sample + 1) / SAMPLES)
			step(&replay);
		bytes[sample] = allocated_bytes() - unused;
		total = model_forgotten_totals(replay.session->model);
		printf("%lu events, %lu children (%lu forgotten): %zu bytes; %u stacks, %u images, "
		       "the model %zu\n",
		       replay.events, replay.children, total->processes, bytes[sample],
		       stack_table_count(replay.session->stacks),
		       image_table_count(replay.session->images),
		       model_bytes(replay.session->model));
		check_kept(&replay);
	}
	for (unsigned sample = 1; sample < SAMPLES; sample++)
		assert_true(bytes[sample] < bytes[0] + SLACK_BYTES);
	session_free(replay.session);
	close(replay.library);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_flat)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
