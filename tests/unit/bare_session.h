/*
 * A session without a collector: a test hands it events as a collector would, of processes that do
 * not exist. Everything behind session_receive() is the real thing.
 */
#ifndef HTRACE_TESTS_BARE_SESSION_H
#define HTRACE_TESTS_BARE_SESSION_H

#include "base/alloc.h"
#include "session/internal.h"

#include "unwind_file.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* Where the only function of bare_library() is. */
enum { BARE_TEXT = 0x4000, BARE_TEXT_BYTES = 256 };

/*
 * A library with CIE "zR" and an FDE of 256 bytes: CFA = rsp + `depth`, RA at CFA - 8. In the
 * section the FDE's start stands at offset 32.
 */
static inline int bare_library(uint8_t depth)
{
	uint8_t frames[] = {0x14, 0,    0,    0, 0,     0,    0, 0, 1, 'z',  'R', 0, 1, 0x78, 0x10,
			    1,    0x1b, 0x0c, 7, depth, 0x90, 1, 0, 0, 0x10, 0,   0, 0, 0x1c, 0,
			    0,    0,    0,    0, 0,     0,    0, 1, 0, 0,    0,   0, 0, 0};
	const struct unwind_file file = {
	    .frames = frames, .frames_bytes = sizeof(frames), .section_headers = true};
	int32_t start = BARE_TEXT - (UNWIND_FILE_SECTIONS + 32);

	memcpy(frames + 32, &start, sizeof(start));
	return unwind_file_make(&file);
}

/* Above any number that the kernel gives out (PID_MAX_LIMIT). */
enum { BARE_PID = 0x400000 };

/* The collector that there is none of, but for a stack that it may still name. */
struct collector {
	uint32_t known_stack;
};

static void bare_known_stacks(const struct collector *collector,
			      void (*each)(void *context, uint32_t stack), void *context)
{
	each(context, collector->known_stack);
}

static void bare_destroy(struct collector *collector)
{
	free(collector);
}

static const struct collector_ops bare_collector = {
    .name = "none", .known_stacks = bare_known_stacks, .destroy = bare_destroy};

/* session_free() frees it. */
static inline struct session *bare_session_new(void)
{
	struct session *session = xcalloc(1, sizeof(*session));

	session->ops = &bare_collector;
	session->collector = xcalloc(1, sizeof(*session->collector));
	session_init(session, SESSION_TRACES_MAX);
	return session;
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

/* Maps our own descriptor, by a path that does not depend on who asks: the process does not exist.
 */
static inline void bare_map(struct session *session, int32_t pid, uint64_t time_ns, int fd,
			    uint64_t start)
{
	union {
		struct event_map event;
		uint8_t bytes[sizeof(struct event_map) + 64];
	} record = {0};
	struct event_map *event = &record.event;
	struct stat status = {0};

	fstat(fd, &status);
	event->path_size = snprintf(event->path, 64, "/proc/self/fd/%d", fd);
	event->header = bare_header(EVENT_MAP, sizeof(record), pid, time_ns);
	event->start = start;
	event->end = start + UNWIND_FILE_MAPPED_BYTES;
	event->inode = status.st_ino;
	session_receive(session, &event->header);
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
