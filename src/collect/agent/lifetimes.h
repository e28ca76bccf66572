/*
 * The processes that agents tell of: which are known, in what order they begin, become other
 * programs and end. Takes the records of the rings, and hands over the events that a session
 * expects.
 */
#ifndef HTRACE_COLLECT_AGENT_LIFETIMES_H
#define HTRACE_COLLECT_AGENT_LIFETIMES_H

#include "base/array.h"
#include "base/map.h"
#include "collect/agent/rings.h"
#include "collect/collector.h"
#include "collect/start.h"

#include <poll.h>

enum lifetimes_drop {
	LIFETIMES_KEEP = 0,
	LIFETIMES_DROP_FDS,   /* the table that comes next was told, or comes too late */
	LIFETIMES_DROP_START, /* what an agent tells of a process that we attached to */
};

struct traced_process {
	pid_t pid;
	int pidfd; /* -1: it was gone when we first heard of it */
	enum lifetimes_drop drop;
	bool made_up; /* its parent has not told of it yet */
	bool ended;
	uint64_t ended_ns; /* when we saw that */
	bool status_known;
	int status;
	struct event_data *fds; /* what is open, as it told last; of use for an exec or exit that
				   follows at once; owned, NULL: unknown */
	bool waited;            /* for the ends of others, once */
	uint64_t exit_ns;       /* when it told that it would end; 0: it has not */
	int32_t exit_tid;       /* that called exit_group, with `fds`; 0: none */
	/* An execve that was told before it was made; 0: none, or it is known what became of it. */
	uint64_t exec_ns;
	int32_t exec_tid;
	unsigned exec_looks; /* so often it did not look like ours */
	uint64_t look_ns;
	/* Of the program, while its mappings come. */
	uint64_t exe_inode; /* 0: not known */
	bool exe_told;
};

/* A process that nobody has announced: what it records has to wait. */
struct stranger {
	pid_t pid;
	uint64_t since_ns;
};

struct lifetimes {
	struct rings *rings;
	const struct plan *plan;
	const char *agent_path;
	bool follow_children;
	bool awaits;          /* the first process that tells is the target */
	struct map processes; /* pid -> struct traced_process */
	ARRAY(struct stranger) strangers;
	ARRAY(struct pollfd) pidfds; /* of those that live, made anew by lifetimes_look() */
	bool added;                  /* a process, since lifetimes_look() */
	struct started_child child;  /* the one that we started */
	char complaint[160];         /* why the last process is not recorded; "": none */
	uint64_t events, lost;
	unsigned batch; /* events handed over since the caller made it 0 */
	const struct event_sink *sink;
	bool (*is_known_stack)(void *context, uint32_t stack);
	void *context;
};

void lifetimes_init(struct lifetimes *lifetimes, struct rings *rings,
		    const struct collector_options *options, const char *agent_path);
void lifetimes_fini(struct lifetimes *lifetimes);

/* A process that is traced from now on. */
struct traced_process *lifetimes_add(struct lifetimes *lifetimes, pid_t pid);

/* The spawned child is about to become a program. */
void lifetimes_expect_exec(struct lifetimes *lifetimes, pid_t pid);

/* It is not traced after all. */
void lifetimes_forget(struct lifetimes *lifetimes, pid_t pid);

/* Remembers why `pid` is not traced, for the user. */
void lifetimes_complain(struct lifetimes *lifetimes, pid_t pid, const char *why);

/* Looks which processes have ended: to be done before a pass. */
void lifetimes_look(struct lifetimes *lifetimes);

/* After a complete pass: tells what ended before it began, and does not wait for ever. */
void lifetimes_settle(struct lifetimes *lifetimes);

/* For rings_pass(). */
bool lifetimes_may_read(void *lifetimes, int32_t pid);
void lifetimes_receive(void *lifetimes, uint32_t slot, struct event_header *record);

/* Something will come, from a process that lives or one whose end was not told yet. */
bool lifetimes_go_on(const struct lifetimes *lifetimes);

#endif
