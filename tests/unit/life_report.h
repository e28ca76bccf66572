/*
 * Answers to `show` and `handles` over the real model and history, which a test leads through
 * handles' lives by hand; only the names of frames are made up.
 */
#ifndef HTRACE_TESTS_LIFE_REPORT_H
#define HTRACE_TESTS_LIFE_REPORT_H

#include "fake_symbols.h"
#include "report/report.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define S  UINT64_C(1000000000)
#define MS UINT64_C(1000000)

enum { PID = 4242, READ = 0, CLOSE = 3, OPENAT = 257, EVENTFD2 = 290, DUP3 = 292, NO_CALL = -1 };

struct life {
	struct model *model;
	struct history *history;
	struct stack_table *stacks;
	struct report report;
	uint32_t open_stack, close_stack, use_stack, evil_stack, foo_stack, long_stack;
};

static inline uint32_t life_stack(struct life *life, enum stack_end end, const uint8_t *pcs,
				  uint32_t n)
{
	struct frame frames[8] = {0};

	for (uint32_t i = 0; i < n; i++)
		frames[i] = (struct frame){.pc = pcs[i], .image = 1, .exact = i == 0};
	return stack_table_intern(life->stacks, frames, n, end);
}

static inline void life_init(struct life *life, uint32_t traces_max)
{
	struct model_observer observer;

	fake_stats = (struct symbolizer_stats){0};
	*life = (struct life){.history = history_new(traces_max), .stacks = stack_table_new()};
	observer = history_observer(life->history);
	life->model = model_new(&observer);
	life->open_stack = life_stack(life, STACK_END_COMPLETE, (uint8_t[]){1, 2, 3, 4}, 4);
	life->close_stack = life_stack(life, STACK_END_COMPLETE, (uint8_t[]){8, 9}, 2);
	life->use_stack = life_stack(life, STACK_END_COMPLETE, (uint8_t[]){8, 2}, 2);
	life->evil_stack = life_stack(life, STACK_END_TRUNCATED, (uint8_t[]){6}, 1);
	life->foo_stack = life_stack(life, STACK_END_NO_CFI, (uint8_t[]){1, 5}, 2);
	life->long_stack = life_stack(life, STACK_END_COMPLETE, (uint8_t[]){7, 2}, 2);
	life->report = (struct report){
	    .collector = "bpf",
	    .model = life->model,
	    .stacks = life->stacks,
	    .history = life->history,
	    .now_ns = 100 * S,
	};
	model_attach(life->model, PID, 1, 1 * S);
	model_set_exe(life->model, PID, "/opt/leaky");
}

static inline void life_fini(struct life *life)
{
	report_fini(&life->report);
	model_free(life->model);
	history_free(life->history);
	stack_table_free(life->stacks);
}

static inline void life_op(struct life *life, uint64_t time_ns, int32_t tid, uint32_t stack_id,
			   int call, struct handle_op op)
{
	struct actor actor = {tid == PID + 1 ? PID : tid, tid, time_ns, stack_id, (uint32_t)call};

	model_apply(life->model, &actor, &op);
}

static inline void life_open(struct life *life, uint64_t time_ns, int32_t tid, int32_t number,
			     uint32_t stack_id, const char *type, const char *name)
{
	life_op(life, time_ns, tid, stack_id, !strcmp(type, "file") ? OPENAT : EVENTFD2,
		(struct handle_op){.kind = HANDLE_OPEN,
				   .number = number,
				   .cloexec = !strcmp(type, "file"),
				   .type = type,
				   .name = name,
				   .name_bytes = name ? strlen(name) : 0});
}

static inline void life_close(struct life *life, uint64_t time_ns, int32_t tid, int32_t number)
{
	life_op(life, time_ns, tid, life->close_stack, CLOSE,
		(struct handle_op){.kind = HANDLE_CLOSE, .number = number});
}

static inline void life_close_fails(struct life *life, uint64_t time_ns, int32_t tid,
				    int32_t number)
{
	life_close(life, time_ns, tid, number);
	life_op(life, time_ns + 1000, tid, 0, CLOSE,
		(struct handle_op){.kind = HANDLE_CLOSE_FAILED, .number = number, .error = -EBADF});
}

static inline void life_use(struct life *life, uint64_t time_ns, int32_t tid, int32_t number)
{
	life_op(life, time_ns, tid, life->use_stack, READ,
		(struct handle_op){.kind = HANDLE_BAD_REFERENCE, .number = number});
}

/* The report's processes, as a session makes them. */
static inline void life_report(struct life *life)
{
	static const struct snapshot everything = {0};

	report_fini(&life->report);
	for (size_t i = 0; i < model_processes(life->model); i++) {
		const struct process *process = model_process_at(life->model, i);
		struct report_process entry = {.process = process, .exe = process->exe};

		diff_make(&entry.diff, life->model, process, &everything, life->report.now_ns);
		array_push(&life->report.processes, entry);
	}
}

/* A sample: handles of before tracing, one number that was used badly and for three things. */
static inline void life_lead(struct life *life)
{
	const struct observed_handle before[] = {{0, false, "file", "/dev/pts/0", false, 0},
						 {9, false, "pipe", "pipe:[77]", false, 0}};

	while (model_observe(life->model, PID, before, 2, 1 * S, 1 * S + 1))
		;
	life_open(life, 2 * S, PID, 7, life->open_stack, "eventfd", NULL);
	life_close(life, 5 * S, PID + 1, 7);
	life_use(life, 6 * S, PID, 7);
	life_close_fails(life, 7 * S, PID, 7);
	life_open(life, 8 * S, PID, 3, life->foo_stack, "file", "/var/log/leaky.log");
	life_open(life, 50 * S, PID, 7, life->evil_stack, "file", "/tmp/evil\033[2J");
	life_close(life, 60 * S, PID, 9);
	life_op(life, 70 * S, PID, life->use_stack, DUP3,
		(struct handle_op){.kind = HANDLE_DUPLICATE, .number = 7, .source = 3});
	life_report(life);
}

typedef int life_write(const struct report *, const struct report_query *,
		       const struct report_style *, FILE *);

static __attribute__((noinline, unused)) char *life_print(const struct life *life,
							  life_write *write, int32_t pid,
							  int32_t number, uint32_t traces_max,
							  struct report_style style)
{
	struct report_query query = {pid, number, traces_max};
	char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	assert_int_equal(write(&life->report, &query, &style, stream), 0);
	fclose(stream);
	return text;
}

#endif
