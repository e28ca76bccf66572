/*
 * A session without a collector: a test hands it events as a collector would, of processes that do
 * not exist. Everything behind session_receive() is the real thing.
 */
#ifndef HTRACE_TESTS_BARE_SESSION_H
#define HTRACE_TESTS_BARE_SESSION_H

#include "base/alloc.h"
#include "session/internal.h"

#include <string.h>
#include <sys/syscall.h>

/* Above any number that the kernel gives out (PID_MAX_LIMIT). */
enum { BARE_PID = 0x400000 };

static inline struct session *bare_session_new(void)
{
	struct session *session = xcalloc(1, sizeof(*session));
	struct model_observer observer;

	session->images = image_table_new();
	session->stacks = stack_table_new();
	session->unwinder = unwinder_cfi.create(session->images);
	session->history = history_new(SESSION_TRACES_MAX);
	observer = history_observer(session->history);
	session->model = model_new(&observer);
	return session;
}

static inline void bare_session_free(struct session *session)
{
	map_each (entry, &session->targets)
		session_target_free((void *)(uintptr_t)entry->value);
	map_each (entry, &session->data)
		free((void *)(uintptr_t)entry->value);
	map_fini(&session->targets);
	map_fini(&session->data);
	model_free(session->model);
	history_free(session->history);
	unwinder_cfi.destroy(session->unwinder);
	stack_table_free(session->stacks);
	image_table_free(session->images);
	free(session);
}

static inline struct event_header bare_header(enum event_type type, uint32_t size, int32_t pid,
					      uint64_t time_ns)
{
	return (struct event_header){
	    .size = size, .type = type, .time_ns = time_ns, .pid = pid, .tid = pid};
}

static inline void bare_exec(struct session *session, int32_t pid, uint64_t time_ns)
{
	struct event_exec event = {.header = bare_header(EVENT_EXEC, sizeof(event), pid, time_ns),
				   .old_tid = pid};

	session_receive(session, &event.header);
}

static inline void bare_fork(struct session *session, int32_t pid, int32_t child, uint64_t time_ns)
{
	struct event_fork event = {.header = bare_header(EVENT_FORK, sizeof(event), pid, time_ns),
				   .child_pid = child,
				   .child_tid = child};

	session_receive(session, &event.header);
}

static inline void bare_exit(struct session *session, int32_t pid, uint64_t time_ns)
{
	struct event_exit event = {.header = bare_header(EVENT_EXIT, sizeof(event), pid, time_ns)};

	event.header.flags = EVENT_EXIT_PROCESS;
	session_receive(session, &event.header);
}

/* Where a call stands. The stack is `words`, and rsp points to the first of them. */
struct bare_stack {
	uint64_t ip, sp;
	const uint64_t *words;
	size_t words_n;
};

static inline void bare_syscall(struct session *session, int32_t pid, uint64_t time_ns,
				enum event_phase phase, uint32_t number, int64_t argument,
				int64_t result, const struct bare_stack *stack)
{
	union {
		struct event_syscall event;
		uint8_t bytes[sizeof(struct event_syscall) + 64 * sizeof(uint64_t)];
	} record;
	struct event_syscall *event = &record.event;
	const size_t size = stack ? stack->words_n * sizeof(uint64_t) : 0;

	memset(event, 0, sizeof(*event));
	event->header = bare_header(EVENT_SYSCALL, sizeof(*event) + size, pid, time_ns);
	event->number = number;
	event->phase = phase;
	event->args[0] = argument;
	event->result = result;
	if (stack) {
		event->stacks_n = 1;
		event->stacks[0] = (struct event_stack){.start = stack->sp, .size = size};
		event->registers = (struct event_registers){.ip = stack->ip, .sp = stack->sp};
		memcpy(event->bytes, stack->words, size);
	}
	session_receive(session, &event->header);
}

static inline void bare_open(struct session *session, int32_t pid, uint64_t time_ns, int32_t number,
			     const struct bare_stack *stack)
{
	bare_syscall(session, pid, time_ns, EVENT_LEAVE, SYS_eventfd2, 0, number, stack);
}

static inline void bare_close(struct session *session, int32_t pid, uint64_t time_ns,
			      int32_t number, const struct bare_stack *stack)
{
	bare_syscall(session, pid, time_ns, EVENT_ENTER, SYS_close, number, 0, stack);
}

#endif
