/* Owns what becomes of each event: which part of the session it is for, in which order. */
#include "session/internal.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "collect/maps.h"
#include "os/procfs.h"
#include "session/watch.h"

#include <string.h>

enum { NO_CALL = 0xffffffffu, PAGE_BYTES = 4096, MEETING_NS = 1000000000 };

/* ---- targets ---- */

void session_target_free(struct target *target)
{
	address_space_free(target->space);
	free(target);
}

struct target *session_target_add(struct session *session, pid_t pid, struct address_space *space)
{
	struct target *old = map_get_pointer(&session->targets, pid);
	struct target *target = xcalloc(1, sizeof(*target));

	if (old)
		session_target_free(old);
	target->pid = pid;
	target->space = space;
	map_put_pointer(&session->targets, pid, target);
	return target;
}

struct address_space *session_space(struct session *session, struct target *target)
{
	struct event_sink sink = {session_receive, session};
	uint64_t last_event_ns = session->last_event_ns;

	if (target->maps_unread) {
		target->maps_unread = false;
		maps_hand_over(target->pid, &sink, NULL);
		session->last_event_ns = last_event_ns; /* these are none of the collector's */
	}
	return target->space;
}

static void target_remove(struct session *session, pid_t pid)
{
	struct target *target = map_get_pointer(&session->targets, pid);

	if (!target)
		return;
	map_remove(&session->targets, pid);
	session_target_free(target);
}

struct target *session_target(struct session *session, pid_t pid)
{
	struct target *target = map_get_pointer(&session->targets, pid);

	if (target)
		return target;
	/* The event that announced it was lost. */
	target = session_target_add(session, pid, address_space_new());
	target->maps_unread = true;
	session_space(session, target);
	return target;
}

void session_learn_exe(struct session *session, struct target *target, const char *path)
{
	_cleanup_(free) char *exe = path ? NULL : procfs_exe_dup(target->pid);

	if (!path && !exe)
		return;
	model_set_exe(session->model, target->pid, path ?: exe);
	target->exe_is_known = true;
}

/* ---- data that waits for its event ---- */

static void keep_data(struct session *session, const struct event_data *data)
{
	uint64_t *slot = map_put(&session->data, data->header.tid);

	free((void *)(uintptr_t)*slot);
	*slot = (uintptr_t)xmemdup(data, data->header.size);
}

/* The data of this thread, of one kind; owned by the caller. */
static struct event_data *take_data(struct session *session, int32_t tid)
{
	struct event_data *data = map_get_pointer(&session->data, tid);

	if (data)
		map_remove(&session->data, tid);
	return data;
}

static const struct event_data *of_kind(const struct event_data *data, uint32_t kind)
{
	return data && data->kind == kind ? data : NULL;
}

/* ---- events ---- */

/* The next stack of this kind need not be copied. */
static void teach_collector(struct session *session, const struct event_syscall *event,
			    uint32_t stack_id)
{
	struct footprint footprint;

	if (event->mappings && session->ops->learn_stack &&
	    unwinder_cfi_footprint(session->unwinder, event, &footprint))
		session->ops->learn_stack(session->collector, event, &footprint, stack_id);
}

static uint32_t unwind(struct session *session, const struct event_syscall *event)
{
	struct target *target = session_target(session, event->header.pid);
	struct frame frames[STACK_FRAMES_MAX];
	struct address_space *space;
	uint32_t stack_id, frames_n = 0;
	enum stack_end end;

	if (!event->stacks_n)
		return STACK_NONE;
	space = session_space(session, target); /* first: it may make another unwinder */
	end = unwinder_cfi.unwind(session->unwinder, space, event, frames, &frames_n);
	model_stack_ended(session->model, event->header.pid, end);
	stack_id = stack_table_intern(session->stacks, frames, frames_n, end);
	teach_collector(session, event, stack_id);
	return stack_id;
}

static uint32_t stack_of(struct session *session, const struct event_syscall *event)
{
	if (!event->known_stack)
		return unwind(session, event);
	model_stack_ended(session->model, event->header.pid,
			  stack_table_get(session->stacks, event->known_stack).end);
	return event->known_stack;
}

static uint32_t episodes_of(const struct session *session, int32_t pid)
{
	const struct process *process = model_process(session->model, pid);

	return process && process->exhausted ? process->exhausted->episodes : 0;
}

/* Applies one operation of a call, and tells at once what is to be told at once. */
static void apply(struct session *session, const struct event_syscall *event,
		  const struct actor *actor, const struct handle_op *op)
{
	uint32_t episodes = op->kind == HANDLE_EXHAUSTED ? episodes_of(session, actor->pid) : 0;

	model_apply(session->model, actor, op);
	if (op->kind == HANDLE_EXHAUSTED && episodes_of(session, actor->pid) != episodes)
		watch_exhausted(session, model_process(session->model, actor->pid), event->out[0]);
	if (session->watch && op->kind != HANDLE_BAD_REFERENCE && op->kind != HANDLE_EXHAUSTED)
		watch_changed(session, model_process(session->model, actor->pid), actor->time_ns);
}

static void dispatch_syscall(struct session *session, const struct event_syscall *event)
{
	_cleanup_(free) struct event_data *data = take_data(session, event->header.tid);
	struct actor actor = {
	    .pid = event->header.pid,
	    .tid = event->header.tid,
	    .time_ns = event->header.time_ns,
	    .call = event->number,
	};
	size_t n = fd_syscalls_decode(event, data, session->ops_buffer);

	if (!n)
		return;
	actor.stack_id = stack_of(session, event);
	for (size_t i = 0; i < n; i++) {
		const struct handle_op *op = &session->ops_buffer[i];

		apply(session, event, &actor, op);
		if (op->kind == HANDLE_RECEIVE || (op->kind == HANDLE_OPEN && !op->type)) {
			session_target(session, event->header.pid)->has_nameless = true;
			session->has_nameless = true;
		}
	}
	if (event->header.flags & EVENT_SYSCALL_SIGNALLED)
		session_catch(session, event, session->ops_buffer, n, actor.stack_id);
}

static struct actor actor_of(const struct event_header *header)
{
	return (struct actor){
	    .pid = header->pid, .tid = header->tid, .time_ns = header->time_ns, .call = NO_CALL};
}

/* /proc shows a child a moment before its event comes: then it was met there. */
static bool already_met(struct session *session, const struct event_fork *event)
{
	const struct target *child = map_get_pointer(&session->targets, event->child_pid);

	return child && child->met_ns && !(event->header.flags & EVENT_FORK_THREAD) &&
	       event->header.time_ns < child->met_ns + MEETING_NS;
}

static void dispatch_fork(struct session *session, const struct event_fork *event)
{
	_cleanup_(free) struct event_data *data = take_data(session, event->header.tid);
	struct actor actor = actor_of(&event->header);
	struct target *parent = session_target(session, event->header.pid);
	const struct process *process;

	if (already_met(session, event))
		return;
	model_fork(session->model, &actor, event->child_pid, event->child_tid, event->header.flags,
		   of_kind(data, EVENT_DATA_FDS));
	if (event->header.flags & EVENT_FORK_THREAD)
		return;
	session_target_add(session, event->child_pid,
			   address_space_dup(session_space(session, parent)));
	process = model_process(session->model, event->header.pid);
	if (process && process->exe)
		model_set_exe(session->model, event->child_pid, process->exe);
}

/* The program that we started has our handles that are not close-on-exec: by now its table holds
 * their numbers, and what they are was read here before it started. */
static void name_inherited(struct session *session, uint64_t time_ns)
{
	struct observation *ours = &session->inherited;
	size_t kept = 0;

	array_each (handle, &ours->handles) {
		if (!handle->cloexec)
			ours->handles.data[kept++] = *handle;
	}
	/* The exec itself has touched them all, at time_ns. */
	model_observe(session->model, session->child, ours->handles.data, kept, time_ns + 1,
		      time_ns + 1);
	model_attached(session->model, session->child);
}

/* Whoever was awaited is the child, and came with handles of whoever started it. */
static void receive_awaited(struct session *session, const struct event_header *event)
{
	struct procfs_status status = {0};

	procfs_status(event->pid, &status, NULL);
	session->awaits = false;
	session->child = event->pid;
	session->child_started = true;
	model_attach(session->model, event->pid, status.ppid, event->time_ns);
	session_target_add(session, event->pid, address_space_new())->has_nameless = true;
}

/* A handle that a process got, and that nobody has looked at yet, stays open over an exec. */
static struct target *target_replace(struct session *session, pid_t pid)
{
	const struct target *old = map_get_pointer(&session->targets, pid);
	bool has_nameless = old && old->has_nameless;
	struct target *target = session_target_add(session, pid, address_space_new());

	target->has_nameless = has_nameless;
	session->has_nameless |= has_nameless;
	return target;
}

static void dispatch_exec(struct session *session, const struct event_exec *event)
{
	_cleanup_(free) struct event_data *data = take_data(session, event->header.tid);
	struct actor actor = actor_of(&event->header);
	bool first = event->header.pid == session->child && !session->child_started;
	bool awaited = session->awaits;
	struct target *target;

	if (awaited)
		receive_awaited(session, &event->header);
	if (first) {
		session->child_started = true;
		model_attach(session->model, session->child, getpid(), event->header.time_ns);
		session_target_add(session, event->header.pid, address_space_new());
	}
	model_exec(session->model, &actor, event->old_tid, of_kind(data, EVENT_DATA_FDS));
	if (first)
		name_inherited(session, event->header.time_ns);
	if (awaited)
		model_attached(session->model, session->child);
	target = target_replace(session, event->header.pid);
	target->foreign = event->header.flags & EVENT_EXEC_FOREIGN;
	session->foreign_processes += target->foreign;
	session->unseen_processes += !!(event->header.flags & EVENT_EXEC_UNSEEN);
	session_learn_exe(session, target, NULL);
}

static void dispatch_exit(struct session *session, const struct event_exit *event)
{
	_cleanup_(free) struct event_data *data = take_data(session, event->header.tid);
	struct actor actor = actor_of(&event->header);

	model_exit(session->model, &actor, event->header.flags, event->status,
		   of_kind(data, EVENT_DATA_FDS));
	if (event->header.flags & EVENT_EXIT_PROCESS) {
		target_remove(session, event->header.pid);
		watch_ended(session, event->header.pid);
	}
}

/*
 * A program may have its code in several segments (node, what lld links), but only one mapping of
 * it is told at exec: the others lie where the file says.
 */
static void map_other_segments(struct session *session, struct target *target,
			       const struct event_map *event, uint32_t image_id)
{
	const struct image *image = image_table_get(session->images, image_id);
	_cleanup_(free) struct event_map *other = NULL;

	if (!image || !image->bias_known)
		return;
	other = xmemdup(event, event->header.size);
	array_each (segment, &image->module->elf.segments) {
		uint64_t before = segment->vaddr % PAGE_BYTES;

		if (!segment->executable || segment->file_offset < before ||
		    __builtin_add_overflow(image->bias, segment->vaddr - before, &other->start) ||
		    __builtin_add_overflow(other->start, before + segment->memory_bytes,
					   &other->end) ||
		    other->end > UINT64_MAX - PAGE_BYTES || other->end <= other->start)
			continue;
		other->end = (other->end + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
		other->file_offset = segment->file_offset - before;
		if (!address_space_find(target->space, other->start))
			address_space_map(target->space, other->start, other->end,
					  image_table_add(session->images, other));
	}
}

/* What the shell did that became the awaited program is nobody's history. */
static void look_for_awaited(struct session *session, const struct event_map *event)
{
	if (!session->awaited_inode || event->header.pid != session->child ||
	    event->inode != session->awaited_inode)
		return;
	history_clear(session->history);
	session->awaited_inode = 0;
}

static void dispatch_map(struct session *session, const struct event_map *event)
{
	struct target *target = session_target(session, event->header.pid);
	uint32_t image = image_table_add(session->images, event);

	address_space_map(target->space, event->start, event->end, image);
	if (event->header.flags & EVENT_MAP_EXE)
		look_for_awaited(session, event);
	if (event->header.flags & EVENT_MAP_EXE)
		map_other_segments(session, target, event, image);
	if (event->header.flags & EVENT_MAP_EXE && !target->exe_is_known && image)
		session_learn_exe(session, target,
				  image_table_get(session->images, image)->module->path);
}

/* What changed no table is told, but leaves nothing to be mended or searched. */
static void dispatch_lost(struct session *session, const struct event_lost *event)
{
	session->lost += event->count;
	if (event->header.flags & EVENT_LOST_FAILURES) {
		session->lost_mended += event->count;
		session->lost_searched += event->count;
	} else {
		model_lost(session->model);
	}
}

void session_receive(void *context, const struct event_header *event)
{
	struct session *session = context;

	session->last_event_ns = event->time_ns;
	/* Between fork and exec our own child runs htrace's code. */
	if (event->pid == session->child && session->child && !session->child_started &&
	    event->type != EVENT_EXEC && event->type != EVENT_DATA)
		return;
	if (session->everything && !map_get(&session->targets, event->pid)) {
		if (event->type == EVENT_EXIT) {
			free(take_data(session, event->tid));
			return;
		}
		session_meet(session, event);
	}
	switch (event->type) {
	case EVENT_DATA:
		keep_data(session, (const struct event_data *)event);
		break;
	case EVENT_SYSCALL:
		dispatch_syscall(session, (const struct event_syscall *)event);
		break;
	case EVENT_FORK:
		dispatch_fork(session, (const struct event_fork *)event);
		break;
	case EVENT_EXEC:
		dispatch_exec(session, (const struct event_exec *)event);
		break;
	case EVENT_EXIT:
		dispatch_exit(session, (const struct event_exit *)event);
		break;
	case EVENT_MAP:
		dispatch_map(session, (const struct event_map *)event);
		break;
	case EVENT_LOST:
		dispatch_lost(session, (const struct event_lost *)event);
		break;
	}
	session_tidy(session);
}
