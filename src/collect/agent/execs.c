/*
 * Owns what becomes of a process that executes a program: one whose agent tells, or one that has
 * none, which is seen by its not telling.
 */
#include "collect/agent/lifetimes_private.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "collect/agent/arena.h"
#include "collect/agent/sites.h"
#include "collect/maps.h"
#include "event/libc_file.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { EXEC_LOOK_NS = 100000000, EXEC_LOOKS = 2 };

static uint64_t exe_inode(pid_t pid)
{
	struct stat status;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	return stat(path, &status) == 0 ? status.st_ino : 0;
}

void lifetimes_exec(struct lifetimes *lifetimes, struct traced_process *process, uint32_t slot,
		    struct event_exec *event)
{
	/* The threads of the old image are gone, and what they recorded was before. */
	rings_free_image(lifetimes->rings, process->pid, slot);
	event->header.flags = 0;
	event->header.tid = process->pid;
	event->old_tid = process->exec_ns ? process->exec_tid : process->pid;
	process->exec_ns = 0;
	process->status_known = false;
	process->exe_inode = exe_inode(process->pid);
	process->exe_told = false;
	process->exit_tid = 0;
	process->exit_ns = 0;
	lifetimes_emit_fds(lifetimes, process, process->pid);
	lifetimes_emit(lifetimes, &event->header);
}

void lifetimes_exec_untold(struct lifetimes *lifetimes, struct traced_process *process,
			   uint32_t slot, uint64_t time_ns)
{
	struct event_exec event = {
	    .header = {.size = sizeof(event),
		       .type = EVENT_EXEC,
		       .time_ns = time_ns,
		       .pid = process->pid,
		       .tid = process->pid},
	};

	lifetimes_exec(lifetimes, process, slot, &event);
	maps_hand_over(process->pid, lifetimes->sink, NULL);
}

/* ---- mappings ---- */

struct maps_text {
	struct lifetimes *lifetimes;
	struct traced_process *process;
	uint64_t time_ns;
	bool by_inode; /* the program's own is found by its inode, else it is the first file */
};

static int find_exe(void *context, const struct procfs_mapping *mapping)
{
	const struct maps_text *job = context;

	return maps_wanted(mapping) && mapping->inode && mapping->inode == job->process->exe_inode;
}

static int tell_map(void *context, const struct procfs_mapping *mapping)
{
	struct maps_text *job = context;
	_cleanup_(free) struct event_map *event = NULL;

	if (!maps_wanted(mapping))
		return 0;
	event = maps_event_new(job->process->pid, mapping);
	event->header.time_ns = job->time_ns;
	if (mapping->inode &&
	    (job->by_inode ? mapping->inode == job->process->exe_inode : !job->process->exe_told)) {
		event->header.flags |= EVENT_MAP_EXE;
		job->process->exe_told = true;
	}
	if (mapping->inode && is_libc_file(mapping->path))
		sites_publish(job->lifetimes->rings->arena, job->lifetimes->plan, mapping->path);
	lifetimes_emit(job->lifetimes, &event->header);
	return 0;
}

void lifetimes_maps(struct lifetimes *lifetimes, struct traced_process *process,
		    struct arena_text *text)
{
	struct maps_text job = {lifetimes, process, text->header.time_ns, false};
	_cleanup_(free) char *copy = NULL;

	/* The agent does not know what was mapped: who is quick sees it. */
	if (!text->size) {
		if (maps_hand_over(process->pid, lifetimes->sink, NULL) < 0)
			lifetimes->lost++;
		return;
	}
	copy = xmemdup(text->text, text->size);

	job.by_inode = procfs_maps_text(copy, text->size, find_exe, &job);
	memcpy(copy, text->text, text->size);
	procfs_maps_text(copy, text->size, tell_map, &job);
}

/* ---- programs without an agent ---- */

void lifetimes_unseen(struct lifetimes *lifetimes, struct traced_process *process, bool gone)
{
	struct event_exec event = {
	    .header = {.size = sizeof(event),
		       .type = EVENT_EXEC,
		       .flags = EVENT_EXEC_UNSEEN,
		       .time_ns = rings_last_pass(lifetimes->rings),
		       .pid = process->pid,
		       .tid = process->pid},
	    .old_tid = process->exec_ns ? process->exec_tid : process->pid,
	};

	process->exec_ns = 0;
	process->exec_looks = 0;
	lifetimes_emit(lifetimes, &event.header);
	if (!gone)
		maps_hand_over(process->pid, lifetimes->sink, NULL);
}

struct agent_search {
	const char *agent_path;
	bool found;
};

static int find_agent(void *context, const struct procfs_mapping *mapping)
{
	struct agent_search *search = context;

	/* The old program's shared memory, or the new one's; or the agent is being loaded. */
	search->found = !strcmp(mapping->path, "/memfd:" AGENT_ARENA_NAME) ||
			!strcmp(mapping->path, search->agent_path);
	return search->found;
}

void lifetimes_look_at_exec(struct lifetimes *lifetimes, struct traced_process *process)
{
	struct agent_search search = {lifetimes->agent_path, false};
	uint64_t now_ns = rings_last_pass(lifetimes->rings);

	if (process->ended || now_ns < process->look_ns + EXEC_LOOK_NS)
		return;
	process->look_ns = now_ns;
	procfs_maps(process->pid, find_agent, &search, NULL);
	process->exec_looks = search.found ? 0 : process->exec_looks + 1;
	if (process->exec_looks < EXEC_LOOKS)
		return;
	lifetimes_complain(lifetimes, process->pid, "the agent cannot be put into its program");
	lifetimes_unseen(lifetimes, process, false);
}

static const char *off_text(uint32_t reason)
{
	switch (reason) {
	case ARENA_OFF_MAPS:
		return "it cannot read its mappings (/proc/self/maps)";
	case ARENA_OFF_NO_SITES:
		return "it does not make its system calls as glibc does";
	case ARENA_OFF_PROTECT:
		return "its code may not be changed";
	case ARENA_OFF_FAR:
		return "no memory is free near its libc";
	case ARENA_OFF_NAMESPACE:
		return "it is in a PID namespace of its own";
	default:
		return "its agent gave up";
	}
}

void lifetimes_off(struct lifetimes *lifetimes, struct traced_process *process,
		   const struct arena_off *off)
{
	lifetimes_complain(lifetimes, process->pid, off_text(off->reason));
	lifetimes_unseen(lifetimes, process, false);
}
