/* Reports built by hand over the fake model: names for frames, stacks, a sample process. */
#ifndef HTRACE_TESTS_FAKE_REPORT_H
#define HTRACE_TESTS_FAKE_REPORT_H

#include "fake_model.h"
#include "fake_symbols.h"
#include "report/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define S  UINT64_C(1000000000)
#define MS UINT64_C(1000000)

const char *fd_syscalls_name(uint32_t number)
{
	return number == 3 ? "close" : number == 0 ? "read" : NULL;
}

const char *fd_syscalls_other_limit(uint32_t number, int32_t error)
{
	return number == 294 ? "fs.inotify.max_user_instances" : NULL;
}

struct fixture {
	struct model model;
	struct stack_table *stacks;
	struct report report;
	uint32_t leak_stack, foo_stack, evil_stack, long_stack, close_stack, daemon_stack;
};

static inline uint32_t intern(struct fixture *fixture, enum stack_end end, const uint8_t *pcs,
			      uint32_t n)
{
	struct frame frames[8] = {0};

	for (uint32_t i = 0; i < n; i++)
		frames[i] = (struct frame){.pc = pcs[i], .image = 1, .exact = i == 0};
	return stack_table_intern(fixture->stacks, frames, n, end);
}

static inline void fixture_init(struct fixture *fixture)
{
	*fixture = (struct fixture){.stacks = stack_table_new()};
	fake_stats = (struct symbolizer_stats){0};
	fixture->leak_stack = intern(fixture, STACK_END_COMPLETE, (uint8_t[]){1, 2, 3, 4}, 4);
	fixture->foo_stack = intern(fixture, STACK_END_NO_CFI, (uint8_t[]){1, 5}, 2);
	fixture->evil_stack = intern(fixture, STACK_END_TRUNCATED, (uint8_t[]){6}, 1);
	fixture->long_stack = intern(fixture, STACK_END_COMPLETE, (uint8_t[]){7, 2}, 2);
	fixture->close_stack = intern(fixture, STACK_END_COMPLETE, (uint8_t[]){8, 2}, 2);
	fixture->daemon_stack = intern(fixture, STACK_END_COMPLETE, (uint8_t[]){8, 9}, 2);
	fixture->report = (struct report){
	    .collector = "bpf",
	    .model = &fixture->model,
	    .stacks = fixture->stacks,
	    .now_ns = 7 * S,
	};
}

static inline void fixture_fini(struct fixture *fixture)
{
	report_fini(&fixture->report);
	stack_table_free(fixture->stacks);
	fake_fini(&fixture->model);
}

/* Makes the diffs of all processes, as a session would. */
static inline void fixture_report(struct fixture *fixture, const char *exe)
{
	static const struct snapshot everything = {0};

	for (size_t i = 0; i < fixture->model.processes_n; i++) {
		struct report_process process = {
		    .process = &fixture->model.processes[i].process,
		    .exe = exe,
		};

		diff_make(&process.diff, &fixture->model, process.process, &everything,
			  fixture->report.now_ns);
		array_push(&fixture->report.processes, process);
	}
}

/* The report of the sample: 10 leaked, 3 of before, one log file. */
static inline struct fake_process *sample(struct fixture *fixture)
{
	struct fake_process *process = fake_process(&fixture->model, 4242, 1 * S);
	uint32_t before = fake_place(process, "file", 0, ORIGIN_BEFORE_TRACING);
	uint32_t leak = fake_place(process, "eventfd", fixture->leak_stack, ORIGIN_OPENED);
	uint32_t log = fake_place(process, "file", fixture->foo_stack, ORIGIN_OPENED);

	for (int32_t number = 0; number < 3; number++)
		fake_open(process, number, before, 0, "/dev/pts/0");
	fake_open(process, 3, log, 1500 * MS, "/var/log/leaky.log");
	for (int32_t number = 4; number < 14; number++)
		fake_open(process, number, leak, 2 * S + number * MS, "anon_inode:[eventfd]");
	process->process.events = 48;
	process->process.exited = true;
	process->process.exit_ns = 6 * S;
	return process;
}

static inline char *print(const struct fixture *fixture, const struct report_format *format,
			  struct report_style style)
{
	char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	assert_int_equal(format->write(&fixture->report, &style, stream), 0);
	fclose(stream);
	return text;
}
/* `closed` and `opened` STACK_NONE: not seen. */
static inline void add_bad(struct fake_process *process, int32_t number,
			   enum bad_reference_kind kind, uint32_t now, uint32_t closed,
			   uint32_t opened)
{
	int32_t pid = process->process.pid;
	struct bad_reference bad = {
	    .number = number,
	    .call = kind == BAD_USE_AFTER_CLOSE ? 0 : 3,
	    .kind = kind,
	    .count = 1,
	    .now = {5 * S, pid, pid + 1, now},
	};

	if (closed)
		bad.closed = (struct handle_moment){4 * S, pid, pid, closed};
	if (opened)
		bad.opened = (struct handle_moment){3 * S, pid, pid, opened};
	array_push(&process->process.bad_references, bad);
}

/* Of number 7: a handle of `daemon_stack`, closed by `close_stack`; had by one of `leak_stack`. */
static inline struct bad_reference *add_stale(const struct fixture *fixture,
					      struct fake_process *process)
{
	struct bad_reference *bad;

	add_bad(process, 7, BAD_STALE_CLOSE, fixture->close_stack, fixture->close_stack,
		fixture->daemon_stack);
	bad = &process->process.bad_references.data[process->process.bad_references.count - 1];
	bad->inferred = true;
	bad->opened.time_ns = 4 * S + 500 * MS;
	bad->earlier = (struct handle_moment){3 * S, 4242, 4242, fixture->leak_stack};
	bad->noticed = (struct handle_moment){6 * S, 4242, 4244, fixture->evil_stack};
	bad->noticed_call = 0; /* read */
	bad->closed_elsewhere = 26;
	return bad;
}

/* Everything that can be said: hostile names, bad references, children, losses; killed. */
static inline void everything(struct fixture *fixture)
{
	struct fake_process *process = sample(fixture);
	uint32_t evil = fake_place(process, "socket", fixture->evil_stack, ORIGIN_RECEIVED);
	uint32_t nameless = fake_place(process, NULL, fixture->long_stack, ORIGIN_OPENED);
	static char paths[10][16];

	fake_open(process, 30, evil, 3 * S, "socket:\033]0;x\007[1]\xff");
	fake_open(process, 31, evil, 3 * S + 1,
		  "b\xe2\x80\xae"
		  "dna");
	for (int i = 0; i < 10; i++) {
		snprintf(paths[i], sizeof(paths[i]), "/tmp/file%d", i);
		fake_open(process, 40 + 2 * i, nameless, 4 * S + i, paths[i]);
	}
	fake_pasts[7].closed.time_ns = 4 * S; /* number 7, reused since */
	process->handles.data[7].closed_by = CLOSED_BY_DUP;
	process->process.exit_status = 11;
	process->process.truncated_stacks = 2;
	process->process.stack_ends[STACK_END_TRUNCATED] = 2;
	process->process.stack_ends[STACK_END_NO_CFI] = 1200;
	process->process.incomplete = true;
	add_bad(process, 7, BAD_DOUBLE_CLOSE, fixture->close_stack, fixture->close_stack,
		fixture->leak_stack);
	add_bad(process, 7, BAD_USE_AFTER_CLOSE, fixture->close_stack, 0, 0);
	for (int32_t number = 100; number < 1024; number++)
		add_bad(process, number, BAD_NEVER_OPENED, fixture->daemon_stack, 0, 0);
	for (int32_t i = 0; i < 201; i++) {
		struct fake_process *child = fake_process(&fixture->model, 4243 + i, 2 * S);

		child->process.exited = true;
		child->process.exit_ns = 2 * S + 5 * MS;
		if (i % 100 == 0)
			fake_open(child, 5,
				  fake_place(child, "file", fixture->foo_stack, ORIGIN_OPENED),
				  2 * S + MS, "/var/log/leaky.log");
	}
	fixture->report.lost_events = 7;
	fake_stats.modules_without_symbols = 1;
	fixture_report(fixture, "/opt/leaky");
}

#endif
