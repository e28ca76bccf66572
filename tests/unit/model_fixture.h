/* A model with process 1, and short words for what happens to it: each call is a microsecond later
 * than the one before. */
#ifndef HTRACE_TESTS_MODEL_FIXTURE_H
#define HTRACE_TESTS_MODEL_FIXTURE_H

#include "model/model.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct model *model;
static uint64_t now;
static uint64_t traces[4];
static struct trace last_traces[4]; /* by kind */

static inline void count_trace(void *context, const struct trace *trace)
{
	traces[trace->kind]++;
	last_traces[trace->kind] = *trace;
}

static inline int setup(void **state)
{
	struct model_observer observer = {.trace = count_trace};

	memset(traces, 0, sizeof(traces));
	now = 1000;
	model = model_new(&observer);
	model_attach(model, 1, 0, now);
	model_attached(model, 1);
	return 0;
}

static inline int teardown(void **state)
{
	model_free(model);
	return 0;
}

static inline struct actor actor_at(int pid, int tid, uint32_t stack, uint32_t call)
{
	now += 1000;
	return (struct actor){pid, tid, now, stack, call};
}

static inline void op(int pid, int tid, uint32_t stack, struct handle_op op)
{
	struct actor actor = actor_at(pid, tid, stack, op.kind == HANDLE_BAD_REFERENCE ? 0 : 3);

	model_apply(model, &actor, &op);
}

static inline void open_typed(int pid, int tid, int number, uint32_t stack, const char *type)
{
	op(pid, tid, stack,
	   (struct handle_op){.kind = HANDLE_OPEN, .number = number, .type = type});
}

static inline void open_(int pid, int tid, int number, uint32_t stack)
{
	open_typed(pid, tid, number, stack, "file");
}

static inline void close_(int pid, int tid, int number, uint32_t stack)
{
	op(pid, tid, stack, (struct handle_op){.kind = HANDLE_CLOSE, .number = number});
}

static inline void failed(int pid, int tid, int number, int error)
{
	op(pid, tid, 0,
	   (struct handle_op){.kind = HANDLE_CLOSE_FAILED, .number = number, .error = error});
}

static inline void use(int pid, int tid, int number, uint32_t stack)
{
	op(pid, tid, stack, (struct handle_op){.kind = HANDLE_BAD_REFERENCE, .number = number});
}

static inline void fork_(int pid, int child, uint16_t flags, const struct event_data *fds)
{
	struct actor actor = actor_at(pid, pid, 0, UINT32_MAX);

	model_fork(model, &actor, flags & EVENT_FORK_THREAD ? pid : child, child, flags, fds);
}

static inline void exec_(int pid, const struct event_data *fds)
{
	struct actor actor = actor_at(pid, pid, 0, UINT32_MAX);

	model_exec(model, &actor, pid, fds);
}

static inline void exit_with(int pid, const struct event_data *fds)
{
	struct actor actor = actor_at(pid, pid, 0, UINT32_MAX);

	model_exit(model, &actor, EVENT_EXIT_PROCESS, 256, fds);
}

static inline void exit_(int pid)
{
	exit_with(pid, NULL);
}

enum { BITMAP_WORDS = 2 };

static union {
	struct event_data data;
	uint64_t words[sizeof(struct event_data) / 8 + BITMAP_WORDS];
} bitmap;

static inline const struct event_data *fds_of(uint64_t low, uint16_t flags)
{
	bitmap.data = (struct event_data){
	    .header.flags = flags, .kind = EVENT_DATA_FDS, .size = BITMAP_WORDS * 8};
	memcpy(bitmap.data.bytes, &low, sizeof(low));
	return &bitmap.data;
}

static inline const struct handle *get(int pid, int number)
{
	return model_handle(model, model_process(model, pid), number);
}

static inline bool is_open(int pid, int number)
{
	const struct handle *handle = get(pid, number);

	return handle && handle->open;
}

static inline const struct bad_reference *bad_of(int pid, size_t index)
{
	const struct process *process = model_process(model, pid);

	assert_true(process->bad_references.count > index);
	return &process->bad_references.data[index];
}

static inline size_t bad_count(int pid)
{
	return model_process(model, pid)->bad_references.count;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
