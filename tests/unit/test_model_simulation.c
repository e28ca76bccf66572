/*
 * model/ against a naive kernel: processes and threads in random interleaving, each call with
 * separate moments of entry, effect and return, told as a collector would tell it. At quiet moments
 * both must hold the same handles with the same opening stacks.
 *
 * Left out is what no order of records can tell apart: a call that acts on a number while another
 * thread's dup2 onto it, or a close_range over it, is under way; and a fork while a number is both
 * closed (by a thread that has done nothing since) and being opened again. A table is copied
 * without a bitmap only while every close in it is known to have succeeded or failed.
 */
#include "model/model.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

enum { SLOTS = 48, TASKS = 24, STEPS = 6000, QUIET_EVERY = 300, SEEDS = 100 };

enum call { IDLE, OPENING, DUPPING, CLOSING };

struct files {
	int refs;
	struct {
		uint32_t stack; /* 0: closed */
		bool cloexec;
	} slots[SLOTS];
};

struct thread {
	bool alive;
	int pid, tid;
	struct files *files;
	enum call call;
	bool effected;
	bool unsettled; /* a close that returned, and no event since */
	int number, source, result;
	int closed; /* the number of that close; -1: a range */
	bool cloexec;
	uint32_t stack;
};

static struct thread threads[TASKS];
static struct model *model;
static uint64_t now;
static int ids;
static uint32_t stacks;
static uint64_t double_closes, lose_percent, lost;

static struct actor actor_of(const struct thread *thread, uint32_t stack)
{
	now += 1000;
	return (struct actor){thread->pid, thread->tid, now, stack, 3};
}

static void apply(struct thread *thread, struct handle_op op, uint32_t stack)
{
	struct actor actor = actor_of(thread, stack);

	thread->unsettled = false;
	if (lose_percent && op.kind != HANDLE_UNSHARE && (uint64_t)(rand() % 100) < lose_percent) {
		lost++;
		return;
	}
	if (getenv("LOG"))
		printf("%lu: pid %d tid %d files %p: op %d number %d last %d stack %u\n", now,
		       thread->pid, thread->tid, (void *)thread->files, op.kind, op.number, op.last,
		       stack);
	model_apply(model, &actor, &op);
}

union bitmap {
	struct event_data data;
	uint64_t words[sizeof(struct event_data) / 8 + 1];
};

static const struct event_data *bitmap_of(union bitmap *bitmap, const struct files *files)
{
	uint64_t word = 0;

	bitmap->data = (struct event_data){.kind = EVENT_DATA_FDS, .size = sizeof(word)};
	for (int i = 0; i < SLOTS; i++)
		word |= (uint64_t)(files->slots[i].stack != 0) << i;
	memcpy(bitmap->data.bytes, &word, sizeof(word));
	return &bitmap->data;
}

static struct files *files_copy(const struct files *files)
{
	struct files *copy = malloc(sizeof(*copy));

	*copy = *files;
	copy->refs = 1;
	return copy;
}

static void files_drop(struct files *files)
{
	if (!--files->refs)
		free(files);
}

static bool busy(const struct files *files, int number, enum call call, bool effected)
{
	for (int i = 0; i < TASKS; i++)
		if (threads[i].alive && threads[i].files == files && threads[i].call == call &&
		    (number < 0 || threads[i].number == number) &&
		    (threads[i].effected || !effected))
			return true;
	return false;
}

/* A close whose thread has done nothing since: what it closed may not be known yet. */
static bool unsettled(const struct files *files)
{
	for (int i = 0; i < TASKS; i++)
		if (threads[i].alive && threads[i].files == files && threads[i].unsettled)
			return true;
	return false;
}

static bool others_idle(const struct thread *thread)
{
	for (int i = 0; i < TASKS; i++)
		if (threads[i].alive && threads[i].pid == thread->pid && threads[i].call != IDLE)
			return false;
	return true;
}

static struct thread *thread_new(int pid, struct files *files)
{
	for (int i = 0; i < TASKS; i++)
		if (!threads[i].alive) {
			threads[i] = (struct thread){.alive = true, .tid = ++ids, .files = files};
			threads[i].pid = pid ? pid : threads[i].tid;
			return &threads[i];
		}
	return NULL;
}

/* A close whose thread has done nothing since, and an opening of that number under way. */
static bool fork_is_ambiguous(const struct files *files)
{
	for (int i = 0; i < TASKS; i++) {
		const struct thread *closer = &threads[i];

		if (!closer->alive || closer->files != files)
			continue;
		if (closer->unsettled && busy(files, closer->closed, OPENING, true))
			return true;
		if (closer->call == CLOSING && closer->effected &&
		    busy(files, closer->number, OPENING, true))
			return true;
	}
	return busy(files, -1, DUPPING, true);
}

static void do_fork(struct thread *parent)
{
	uint16_t kinds[] = {0, 0, EVENT_FORK_FILES, EVENT_FORK_THREAD | EVENT_FORK_FILES,
			    EVENT_FORK_THREAD};
	uint16_t flags = kinds[rand() % 5];
	struct actor actor = actor_of(parent, 0);
	bool was_unsettled = parent->unsettled;
	struct files *files;
	struct thread *child;
	union bitmap bitmap;

	parent->unsettled = false; /* by the fork's event, if there is one */
	if (fork_is_ambiguous(parent->files)) {
		parent->unsettled = was_unsettled;
		return;
	}
	files = flags & EVENT_FORK_FILES ? parent->files : files_copy(parent->files);
	child = thread_new(flags & EVENT_FORK_THREAD ? parent->pid : 0, files);
	if (!child) {
		parent->unsettled = was_unsettled;
		if (files != parent->files)
			free(files);
		return;
	}
	if (files == parent->files)
		files->refs++;
	if (getenv("LOG"))
		printf("%lu: pid %d tid %d forks pid %d tid %d files %p flags %d\n", now,
		       parent->pid, parent->tid, child->pid, child->tid, (void *)files, flags);
	model_fork(model, &actor, child->pid, child->tid, flags, bitmap_of(&bitmap, files));
}

static void do_exec(struct thread *thread)
{
	struct actor actor;
	union bitmap bitmap;
	int old_tid = thread->tid;
	bool with_bitmap = rand() % 2 || unsettled(thread->files);

	if (!others_idle(thread) || busy(thread->files, -1, DUPPING, false) ||
	    busy(thread->files, -1, OPENING, false) || busy(thread->files, -1, CLOSING, false))
		return;
	for (int i = 0; i < TASKS; i++)
		if (threads[i].alive && threads[i].pid == thread->pid && &threads[i] != thread) {
			threads[i].alive = false;
			files_drop(threads[i].files);
		}
	if (thread->files->refs > 1) {
		struct files *own = files_copy(thread->files);

		files_drop(thread->files);
		thread->files = own;
	}
	for (int i = 0; i < SLOTS; i++)
		if (thread->files->slots[i].cloexec)
			thread->files->slots[i].stack = thread->files->slots[i].cloexec = 0;
	thread->tid = thread->pid;
	thread->unsettled = false;
	for (int i = 0; i < TASKS; i++) /* perhaps inherited: its close-on-exec is not told yet */
		with_bitmap |=
		    threads[i].alive && threads[i].call == OPENING && threads[i].effected;
	actor = actor_of(thread, 0);
	model_exec(model, &actor, old_tid, with_bitmap ? bitmap_of(&bitmap, thread->files) : NULL);
}

static void do_exit(struct thread *thread)
{
	struct actor actor = actor_of(thread, 0);
	int others = 0;

	for (int i = 0; i < TASKS; i++)
		others += threads[i].alive && threads[i].pid == thread->pid;
	if (others == 1 && thread->pid == 1)
		return; /* keeps the simulation alive */
	if (others > 1 && thread->tid == thread->pid)
		return; /* a dead leader's table cannot be looked at */
	thread->alive = false;
	files_drop(thread->files);
	model_exit(model, &actor, others == 1 ? EVENT_EXIT_PROCESS : 0, 0, NULL);
}

static void do_unshare(struct thread *thread)
{
	struct files *own;

	if (unsettled(thread->files) || busy(thread->files, -1, DUPPING, false) ||
	    busy(thread->files, -1, OPENING, false) || busy(thread->files, -1, CLOSING, false))
		return;
	if (thread->files->refs > 1) {
		own = files_copy(thread->files);
		files_drop(thread->files);
		thread->files = own;
	}
	apply(thread, (struct handle_op){.kind = HANDLE_UNSHARE}, 0);
}

static void do_close_range(struct thread *thread)
{
	int first = rand() % SLOTS, last = first + rand() % 8;

	if (busy(thread->files, -1, DUPPING, false) || busy(thread->files, -1, OPENING, false) ||
	    busy(thread->files, -1, CLOSING, false))
		return;
	apply(thread, (struct handle_op){.kind = HANDLE_CLOSE_RANGE, .number = first, .last = last},
	      0);
	for (int i = first; i <= last && i < SLOTS; i++)
		thread->files->slots[i].stack = thread->files->slots[i].cloexec = 0;
	thread->unsettled = true;
	thread->closed = -1;
}

static void begin(struct thread *thread)
{
	int number = rand() % SLOTS;

	thread->effected = false;
	thread->stack = ++stacks;
	switch (rand() % 40) {
	case 0:
		do_fork(thread);
		return;
	case 1:
		if (rand() % 4 == 0)
			do_exec(thread);
		return;
	case 2:
		if (rand() % 2)
			do_exit(thread);
		return;
	case 3:
		do_unshare(thread);
		return;
	case 4:
		do_close_range(thread);
		return;
	case 5:
		if (!thread->files->slots[number].stack ||
		    busy(thread->files, number, OPENING, 0) ||
		    busy(thread->files, number, CLOSING, 0) ||
		    busy(thread->files, number, DUPPING, 0))
			return;
		thread->files->slots[number].cloexec = true;
		apply(
		    thread,
		    (struct handle_op){
			.kind = HANDLE_CLOEXEC, .number = number, .last = number, .cloexec = true},
		    0);
		return;
	case 6 ... 9:
		thread->source = rand() % SLOTS;
		if (number == thread->source || busy(thread->files, number, OPENING, true) ||
		    busy(thread->files, number, CLOSING, false) ||
		    busy(thread->files, number, DUPPING, false))
			return;
		thread->call = DUPPING;
		thread->number = number;
		thread->cloexec = rand() % 4 == 0;
		return;
	case 10 ... 22:
		if (busy(thread->files, number, DUPPING, false) ||
		    busy(thread->files, number, OPENING, true))
			return;
		thread->call = CLOSING;
		thread->number = number;
		apply(thread, (struct handle_op){.kind = HANDLE_CLOSE, .number = number},
		      thread->stack);
		return;
	default:
		thread->call = OPENING;
		thread->number = -1;
		thread->cloexec = rand() % 4 == 0;
	}
}

static void effect(struct thread *thread)
{
	struct files *files = thread->files;

	if (thread->call == OPENING) {
		int number = 0;

		while (number < SLOTS &&
		       (files->slots[number].stack || busy(files, number, DUPPING, false)))
			number++;
		thread->number = number < SLOTS ? number : -1;
	} else if (thread->call == CLOSING) {
		if (busy(files, thread->number, OPENING, true) ||
		    busy(files, thread->number, DUPPING, false))
			return; /* not now */
		thread->result = files->slots[thread->number].stack ? 0 : -EBADF;
		files->slots[thread->number].stack = files->slots[thread->number].cloexec = 0;
	} else if (!files->slots[thread->source].stack) {
		thread->number = -1;
	}
	thread->effected = true;
	if (thread->call != CLOSING && thread->number >= 0) {
		files->slots[thread->number].stack = thread->stack;
		files->slots[thread->number].cloexec = thread->cloexec;
	}
}

static void leave(struct thread *thread)
{
	enum call call = thread->call;

	thread->call = IDLE;
	thread->effected = false;
	if (call == CLOSING) {
		thread->unsettled = !thread->result;
		thread->closed = thread->number;
		double_closes += thread->result != 0;
		if (thread->result)
			apply(thread,
			      (struct handle_op){.kind = HANDLE_CLOSE_FAILED,
						 .number = thread->number,
						 .error = thread->result},
			      0);
	} else if (thread->number >= 0) {
		apply(thread,
		      (struct handle_op){.kind = call == OPENING ? HANDLE_OPEN : HANDLE_DUPLICATE,
					 .number = thread->number,
					 .source = thread->source,
					 .cloexec = thread->cloexec,
					 .type = "file"},
		      thread->stack);
	}
}

static void step(struct thread *thread, bool may_begin)
{
	if (thread->call == IDLE) {
		if (may_begin)
			begin(thread);
	} else if (!thread->effected) {
		effect(thread);
	} else {
		leave(thread);
	}
}

static struct thread *thread_any(void)
{
	struct thread *thread;

	do
		thread = &threads[rand() % TASKS];
	while (!thread->alive);
	return thread;
}

struct comparison {
	const struct files *files;
	uint64_t seen;
	bool with_stacks;
	unsigned seed;
};

static void compare_one(void *context, const struct handle *handle)
{
	struct comparison *comparison = context;
	uint32_t stack = comparison->files->slots[handle->number].stack;

	if (comparison->seen >> handle->number & 1)
		return; /* another table of the process follows: compared by its own thread */
	comparison->seen |= 1ull << handle->number;
	if (stack == 0 || (comparison->with_stacks && handle->opened.stack_id != stack))
		printf("seed %u, files %p number %d: stack %u, and %u in the kernel\n",
		       comparison->seed, (void *)comparison->files, handle->number,
		       handle->opened.stack_id, stack);
	assert_int_not_equal(stack, 0);
	if (comparison->with_stacks)
		assert_int_equal(handle->opened.stack_id, stack);
}

static void count_one(void *context, const struct handle *handle)
{
	(void)handle;
	++*(uint64_t *)context;
}

/* Numbers of the leader's table only: model_handle() looks there. */
static void compare(unsigned seed, bool with_stacks)
{
	for (int i = 0; i < TASKS; i++) {
		struct comparison comparison = {threads[i].files, 0, with_stacks, seed};
		const struct process *process;

		if (!threads[i].alive || threads[i].tid != threads[i].pid)
			continue;
		process = model_process(model, threads[i].pid);
		assert_non_null(process);
		uint64_t open = 0;

		model_open_handles(model, process, count_one, &open);
		assert_int_equal(model_open_count(model, process), open);
		for (int number = 0; number < SLOTS; number++) {
			const struct handle *handle = model_handle(model, process, number);
			uint32_t stack = threads[i].files->slots[number].stack;

			if (handle && handle->open)
				compare_one(&comparison, handle);
			else if (stack)
				printf("seed %u, pid %d: number %d (stack %u) is missing\n", seed,
				       process->pid, number, stack);
			assert_int_equal(handle && handle->open, stack != 0);
			if (stack && with_stacks)
				assert_int_equal(handle->cloexec,
						 threads[i].files->slots[number].cloexec);
		}
	}
}

static void quiet(void)
{
	for (bool idle = false; !idle;) {
		idle = true;
		for (int i = 0; i < TASKS; i++)
			if (threads[i].alive && threads[i].call != IDLE) {
				idle = false;
				step(&threads[i], false);
			}
	}
	for (int i = 0; i < TASKS; i++) /* whatever each does next tells that its close was good */
		if (threads[i].alive)
			apply(&threads[i],
			      (struct handle_op){.kind = HANDLE_CLOEXEC, .number = 1, .last = 0},
			      0);
}

static void simulation_begin(unsigned seed)
{
	struct thread *first;

	srand(seed);
	memset(threads, 0, sizeof(threads));
	ids = 0;
	stacks = 0;
	now = 1000;
	model = model_new(NULL);
	model_attach(model, 1, 0, now);
	model_attached(model, 1);
	first = thread_new(0, calloc(1, sizeof(struct files)));
	first->files->refs = 1;
}

static void simulation_end(void)
{
	for (int i = 0; i < TASKS; i++)
		if (threads[i].alive)
			files_drop(threads[i].files);
	model_free(model);
}

static void test_simulation(void **state)
{
	unsigned first = getenv("SEED") ? atoi(getenv("SEED")) : time(NULL);
	uint64_t compared = 0;

	(void)state;
	lose_percent = 0;
	double_closes = 0;
	for (unsigned seed = first; seed < first + SEEDS; seed++) {
		simulation_begin(seed);
		for (int i = 1; i <= STEPS; i++) {
			step(thread_any(), true);
			if (i % QUIET_EVERY == 0) {
				quiet();
				compare(seed, true);
				compared++;
			}
		}
		assert_true(stacks > 100);
		simulation_end();
	}
	printf("seeds from %u, %lu comparisons, %lu double closes\n", first, compared,
	       double_closes);
	assert_true(double_closes > 100);
}

/* Lost records make the tables wrong; two comparisons with the truth in a row make them right. */
static void test_reconciliation(void **state)
{
	unsigned first = getenv("SEED") ? atoi(getenv("SEED")) : time(NULL);
	uint32_t wrong = 0;

	(void)state;
	lost = 0;
	for (unsigned seed = first; seed < first + 20; seed++) {
		simulation_begin(seed);
		lose_percent = 10;
		for (int i = 1; i <= STEPS; i++) {
			step(thread_any(), true);
		}
		quiet();
		lose_percent = 0;
		model_lost(model);
		for (int round = 0; round < 3; round++) {
			for (int i = 0; i < TASKS; i++) {
				struct observed_handle observed[SLOTS];
				size_t n = 0;
				uint32_t differ;

				if (!threads[i].alive || threads[i].tid != threads[i].pid)
					continue;
				for (int k = 0; k < SLOTS; k++)
					if (threads[i].files->slots[k].stack)
						observed[n++] = (struct observed_handle){
						    k,      threads[i].files->slots[k].cloexec,
						    "file", "x",
						    false,  0};
				now += 2;
				differ =
				    model_observe(model, threads[i].pid, observed, n, now - 1, now);
				wrong += differ;
				if (round > 0)
					assert_int_equal(differ, 0);
			}
		}
		compare(seed, false);
		assert_false(model_process(model, 1)->incomplete);
		simulation_end();
	}
	printf("seeds from %u, %lu records lost, %u differences repaired\n", first, lost, wrong);
	assert_true(lost > 100 && wrong > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_simulation),
					   cmocka_unit_test(test_reconciliation)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
