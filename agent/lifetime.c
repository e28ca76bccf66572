/*
 * Owns what happens to processes, threads and mappings: forks, execs, exits, and code that is
 * mapped. What runs here may be slow, for it stands beside calls that are slow.
 */
#include "agent.h"

#include "environment.h"
#include "mappings.h"
#include "system.h"
#include "text.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sys/mman.h>

/* ---- fork ---- */

static void tell_fork(struct agent_thread *thread, int32_t child, uint64_t flags)
{
	struct event_fork *event = record_begin(thread, sizeof(*event), 0);

	if (!event)
		return;
	if (flags & CLONE_THREAD)
		event->header.flags |= EVENT_FORK_THREAD;
	if (flags & CLONE_FILES)
		event->header.flags |= EVENT_FORK_FILES;
	if (flags & CLONE_VM)
		event->header.flags |= EVENT_FORK_VM;
	event->child_tid = child;
	event->child_pid = flags & CLONE_THREAD ? thread->pid : child;
	ring_commit(event, EVENT_FORK, sizeof(*event));
}

static uint64_t clone_flags(const struct call_frame *frame, uint32_t number)
{
	switch (number) {
	case __NR_clone:
		return frame->di;
	case __NR_clone3: /* the kernel has just read it */
		return frame->di ? ((const struct clone_args *)frame->di)->flags : 0;
	case __NR_vfork:
		return CLONE_VM | CLONE_VFORK;
	}
	return 0;
}

/* The memory is shared, and the one who came in waits until we are gone. */
static bool is_vfork(uint64_t flags)
{
	return (flags & (CLONE_VM | CLONE_VFORK | CLONE_THREAD)) == (CLONE_VM | CLONE_VFORK);
}

static void vfork_child(struct agent_thread *thread, uint64_t flags)
{
	int32_t pid = (int32_t)system_call3(__NR_getpid, 0, 0, 0);

	tell_fork(thread, pid, flags);
	thread->vforked = true;
	thread->pid = pid;
	thread->tid = (int32_t)system_call3(__NR_gettid, 0, 0, 0);
}

/* True: the child was here, and told of itself. */
static bool vfork_parent(struct agent_thread *thread)
{
	if (!thread->vforked)
		return false;
	thread->vforked = false;
	thread->pid = thread->own_pid;
	thread->tid = thread->own_tid;
	if (thread->execve_memory)
		environment_free(thread->execve_memory, thread->execve_bytes);
	thread->execve_memory = 0;
	return true;
}

/* Where tables of descriptors differ, a thread has that of the one who started it. */
static void thread_begins(uint64_t sp)
{
	struct agent_thread *thread = thread_started(sp);
	struct event_fork *event;
	int32_t parent;

	if (!thread || !agent.own_tables)
		return;
	parent = thread_that_starts(sp);
	if (!parent)
		return;
	event = record_begin(thread, sizeof(*event),
			     EVENT_FORK_THREAD | EVENT_FORK_FILES | EVENT_FORK_VM);
	if (!event)
		return;
	event->header.tid = parent;
	event->child_pid = thread->pid;
	event->child_tid = thread->tid;
	ring_commit(event, EVENT_FORK, sizeof(*event));
}

/* Whoever comes out of a clone first. Its arguments may be gone: they were on the other's stack. */
static void clone_child(struct call_frame *frame, uint32_t number, uint64_t sp)
{
	bool shares_memory = *agent.alive == AGENT_ALIVE;
	int32_t pid = (int32_t)system_call3(__NR_getpid, 0, 0, 0);
	struct agent_thread *thread;

	if (system_call3(__NR_gettid, 0, 0, 0) != pid) {
		thread_begins(sp);
		return;
	}
	thread = thread_current(); /* a forked child becomes a process of its own here */
	if (thread && shares_memory && !thread->vforked && thread->own_pid != pid)
		vfork_child(thread, clone_flags(frame, number)); /* the other one waits */
}

static void after_clone(struct call_frame *frame, uint32_t number, uint64_t sp)
{
	int64_t result = (int64_t)frame->ax;
	struct agent_thread *thread;
	uint64_t flags;

	if (!agent.on)
		return;
	if (result == 0) {
		clone_child(frame, number, sp);
		return;
	}
	thread = thread_current();
	if (!thread)
		return;
	flags = clone_flags(frame, number);
	if (is_vfork(flags) && vfork_parent(thread))
		return;
	if (flags & CLONE_THREAD && flags & CLONE_FILES)
		return; /* told by the thread itself, if at all */
	if (result > 0)
		tell_fork(thread, (int32_t)result, flags);
}

static void before_clone(struct call_frame *frame, uint32_t number)
{
	struct clone_args args = {.flags = frame->di, .stack = frame->si};
	struct agent_thread *thread;

	if (number == __NR_clone3 &&
	    safe_copy(&args, frame->di, CLONE_ARGS_SIZE_VER0) != CLONE_ARGS_SIZE_VER0)
		return;
	if ((args.flags & (CLONE_VM | CLONE_VFORK | CLONE_THREAD)) == CLONE_VM)
		agent.check_tid = true;
	if ((args.flags & (CLONE_THREAD | CLONE_FILES)) == CLONE_THREAD)
		agent.own_tables = true;
	thread = agent.own_tables ? thread_current() : NULL;
	if (thread)
		thread->child_sp = args.stack + args.stack_size;
}

/* Its numbers are of a PID namespace of its own (unshare --pid), and mean others to the collector.
 */
static bool is_in_new_namespace(void)
{
	return agent.pid == 1 || system_call3(__NR_getppid, 0, 0, 0) == 0;
}

/* Tells, by the number that its parent knows, that it goes unrecorded: that of the /proc which its
 * parent has left it. */
static void leave_in_namespace(struct agent_thread *thread)
{
	char text[24] = {0};
	const char *digits = text;
	uint64_t pid = 0;

	system_call3(__NR_readlink, (uint64_t) "/proc/self", (uint64_t)text, sizeof(text) - 1);
	if (text_number(&digits, &pid) && pid != (uint64_t)agent.pid) {
		thread->pid = thread->tid = (int32_t)pid;
		thread->slot->pid = thread->slot->tid = (int32_t)pid;
	}
	agent_off(ARENA_OFF_NAMESPACE, 0);
}

bool lifetime_forked(void)
{
	uint32_t wiped = 0;
	struct agent_thread *thread;
	struct arena_child *child;
	int32_t parent = agent.pid;

	if (!__atomic_compare_exchange_n(agent.alive, &wiped, AGENT_BECOMES, false,
					 __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		/* A signal handler, while we were at it: its call finds no table yet. */
		__atomic_fetch_add(&agent.arena->dropped, 1, __ATOMIC_RELAXED);
		return false;
	}
	agent.pid = (int32_t)system_call3(__NR_getpid, 0, 0, 0);
	agent.check_tid = false;
	if (!agent.on || !agent.arena->follow_children) {
		agent.on = false;
		return false;
	}
	__atomic_store_n(agent.alive, AGENT_ALIVE, __ATOMIC_RELEASE);
	thread = thread_current();
	if (!thread)
		return false;
	if (is_in_new_namespace()) {
		leave_in_namespace(thread);
		return false;
	}
	child = record_begin(thread, sizeof(*child), 0);
	if (child) {
		child->parent_pid = parent;
		child->reserved = 0;
		ring_commit(child, ARENA_CHILD, sizeof(*child));
	}
	lifetime_tell_fds(thread);
	return true;
}

/* ---- exec, exit ---- */

static void tell_short(struct agent_thread *thread, uint32_t type)
{
	struct event_header *event = record_begin(thread, sizeof(*event), 0);

	if (!event)
		return;
	ring_commit(event, type, sizeof(*event));
}

static void tell_thread_exit(struct agent_thread *thread)
{
	struct event_exit *event = record_begin(thread, sizeof(*event), 0);

	if (!event)
		return;
	event->status = 0;
	event->reserved = 0;
	ring_commit(event, EVENT_EXIT, sizeof(*event));
}

/* With what is open until now: what others put into the table was not seen. */
static void tell_exit(struct agent_thread *thread, uint64_t status)
{
	struct arena_number *event;

	if (!thread->vforked && thread->own_pid == agent.pid)
		lifetime_tell_fds(thread);
	event = record_begin(thread, sizeof(*event), 0);
	if (!event)
		return;
	event->value = (int64_t)(status & 0xff) << 8;
	ring_commit(event, ARENA_WILL_EXIT, sizeof(*event));
	ring_wake_collector();
}

static uint64_t *execve_environment(struct call_frame *frame, uint32_t number)
{
	return number == __NR_execve ? &frame->dx : &frame->r10;
}

static void before_execve(struct agent_thread *thread, struct call_frame *frame, uint32_t number)
{
	uint64_t *envp = execve_environment(frame, number);
	int folder = number == __NR_execve ? AT_FDCWD : (int)frame->di;
	uint64_t path = number == __NR_execve ? frame->di : frame->si;
	bool is_child = thread->vforked || thread->own_pid != agent.pid;
	uint64_t ours;

	tell_short(thread, ARENA_WILL_EXEC);
	if (!agent.preload[0] || (is_child && !agent.arena->follow_children) ||
	    !environment_suits(folder, path))
		return;
	ours = environment_with_agent(*envp, &thread->execve_memory, &thread->execve_bytes);
	if (!ours)
		return;
	thread->execve_envp = *envp;
	*envp = ours;
}

static void after_execve(struct agent_thread *thread, struct call_frame *frame, uint32_t number)
{
	if (thread->execve_memory) {
		*execve_environment(frame, number) = thread->execve_envp;
		environment_free(thread->execve_memory, thread->execve_bytes);
		thread->execve_memory = 0;
	}
	tell_short(thread, ARENA_EXEC_FAILED);
}

/* ---- what the hooks hand on ---- */

void lifetime_before(struct call_frame *frame, uint32_t number)
{
	struct agent_thread *thread;

	if (number == __NR_clone || number == __NR_clone3) {
		before_clone(frame, number);
		return;
	}
	if (number != __NR_execve && number != __NR_execveat && number != __NR_exit &&
	    number != __NR_exit_group)
		return;
	thread = thread_current();
	if (!thread)
		return;
	if (number == __NR_exit_group)
		tell_exit(thread, frame->di);
	else if (number != __NR_exit)
		before_execve(thread, frame, number);
	else if (thread->vforked || thread->own_pid != agent.pid)
		tell_exit(thread, frame->di);
	else {
		if (agent.own_tables)
			tell_thread_exit(thread);
		thread_ends(thread);
	}
}

void lifetime_after(struct call_frame *frame, uint32_t number, uint64_t sp)
{
	int64_t result = (int64_t)frame->ax;
	struct agent_thread *thread;

	switch (number) {
	case __NR_clone:
	case __NR_clone3:
	case __NR_fork:
	case __NR_vfork:
		after_clone(frame, number, sp);
		return;
	case __NR_execve:
	case __NR_execveat:
		thread = thread_current();
		if (thread)
			after_execve(thread, frame, number);
		return;
	case __NR_unshare:
		if (frame->di & CLONE_FILES)
			agent.own_tables = true;
		return;
	case __NR_mmap:
	case __NR_mprotect:
		if (!(frame->dx & PROT_EXEC) || (result < 0 && result > -AGENT_PAGE))
			return;
		thread = thread_current();
		if (!thread)
			return;
		if (number == __NR_mmap)
			mappings_mapped(thread, frame);
		else
			mappings_changed(thread);
		return;
	}
}
