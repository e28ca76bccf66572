/* Owns the agent's coming and going: as a preloaded library, or copied in by a tracer. */
#include "agent.h"

#include "environment.h"
#include "mappings.h"
#include "system.h"
#include "text.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum {
	HWCAP2_FSGSBASE_BIT = 2, /* asm/hwcap2.h */
	AUXV_MAX = 64,
	RING_BYTES_MIN = 4096,
	PATH_BYTES = 64,
};

/* Below where libraries and their stubs want to be, above all that sanitizers keep for themselves
 * (address, thread and memory: all between it and the stack is the program's). A wish, no demand.
 */
#define ARENA_ADDRESS   0x7e9000000000ull
#define ARENA_BYTES_MAX (1ull << 36)

struct agent agent;

/* ---- what the kernel told the process ---- */

struct process_facts {
	uint64_t hwcap2, vdso, entry;
};

static void note_fact(struct process_facts *facts, const Elf64_auxv_t *entry)
{
	if (entry->a_type == AT_HWCAP2)
		facts->hwcap2 = entry->a_un.a_val;
	if (entry->a_type == AT_ENTRY)
		facts->entry = entry->a_un.a_val;
	if (entry->a_type == AT_SYSINFO_EHDR)
		facts->vdso = entry->a_un.a_val;
}

static struct process_facts facts_behind(char **envp)
{
	struct process_facts facts = {0};
	const Elf64_auxv_t *entry;

	while (*envp)
		envp++;
	for (entry = (const Elf64_auxv_t *)(envp + 1); entry->a_type != AT_NULL; entry++)
		note_fact(&facts, entry);
	return facts;
}

static struct process_facts facts_read(void)
{
	struct process_facts facts = {0};
	Elf64_auxv_t entries[AUXV_MAX];
	int64_t fd = system_call6(__NR_openat, (uint64_t)AT_FDCWD, (uint64_t) "/proc/self/auxv",
				  O_RDONLY | O_CLOEXEC, 0, 0, 0);
	int64_t bytes;

	if (fd < 0)
		return facts;
	bytes = system_call3(__NR_read, (uint64_t)fd, (uint64_t)entries, sizeof(entries));
	system_call3(__NR_close, (uint64_t)fd, 0, 0);
	for (int64_t i = 0; i < bytes / (int64_t)sizeof(*entries); i++)
		note_fact(&facts, &entries[i]);
	return facts;
}

/* ---- the arena ---- */

static bool array_fits(uint64_t offset, uint64_t n, uint64_t each, uint64_t bytes)
{
	return offset <= bytes && offset % 64 == 0 && n * each <= bytes - offset;
}

/* What the agent will use of it: copied, so that what was checked stays true. */
static bool arena_take(struct arena *arena, uint64_t token, uint64_t bytes)
{
	agent.slots_n = arena->slots_n;
	agent.ring_bytes = arena->ring_bytes;
	agent.slots_offset = arena->slots_offset;
	agent.in_ticks = arena->in_ticks;
	agent.rings = (uint8_t *)arena + arena->rings_offset;
	agent.slots = (struct arena_slot *)((uint8_t *)arena + agent.slots_offset);
	for (int i = 0; i < ARENA_PATH_MAX - 1; i++)
		agent.preload[i] = arena->preload[i];
	for (int i = 0; i < (int)sizeof(agent.variable) - 1; i++)
		agent.variable[i] = arena->variable[i];
	return arena->token == token && agent.slots_n <= ARENA_SLOTS_MAX &&
	       agent.ring_bytes >= RING_BYTES_MIN && agent.ring_bytes <= 1u << 30 &&
	       !(agent.ring_bytes & (agent.ring_bytes - 1)) &&
	       array_fits(agent.slots_offset, agent.slots_n, sizeof(struct arena_slot), bytes) &&
	       array_fits((uint64_t)(agent.rings - (uint8_t *)arena), agent.slots_n,
			  agent.ring_bytes, bytes);
}

/* Bytes of the arena behind `fd`; 0: it is none. */
static uint64_t arena_bytes(int64_t fd)
{
	struct {
		uint64_t magic;
		uint32_t version, active;
	} first; /* of struct arena */
	struct stat status;

	if (system_call3(__NR_fstat, (uint64_t)fd, (uint64_t)&status, 0) < 0 ||
	    status.st_size < (int64_t)sizeof(struct arena) ||
	    status.st_size > (int64_t)ARENA_BYTES_MAX ||
	    system_call3(__NR_read, (uint64_t)fd, (uint64_t)&first, sizeof(first)) != sizeof(first))
		return 0;
	return first.magic == ARENA_MAGIC && first.version == ARENA_VERSION && first.active
		   ? (uint64_t)status.st_size
		   : 0;
}

static int arena_map(int64_t fd, uint64_t token)
{
	uint64_t bytes = arena_bytes(fd);
	uint64_t address = ARENA_ADDRESS;
	uint64_t flags = MAP_SHARED | MAP_NORESERVE;
	int64_t at;

	if (!bytes)
		return -ENOENT;
	/* In the last one's place: records that were cut short there may still be finished. */
	if (agent.arena && agent.arena_bytes == bytes) {
		address = (uint64_t)agent.arena;
		flags |= MAP_FIXED;
	}
	at =
	    system_call6(__NR_mmap, address, bytes, PROT_READ | PROT_WRITE, flags, (uint64_t)fd, 0);
	if (at < 0)
		return (int)at;
	/* Else a core dump would write all of it, and make what was never used. */
	system_call3(__NR_madvise, (uint64_t)at, bytes, MADV_DONTDUMP);
	agent.arena = (struct arena *)at;
	agent.generation++;
	agent.arena_bytes = bytes;
	return arena_take(agent.arena, token, bytes) ? 0 : -EPROTO;
}

/* `variable` is PID:FD:TOKEN, with ARENA_FRESH behind it or not. */
static int arena_open(const char *variable)
{
	uint64_t pid, number, token;
	char path[PATH_BYTES];
	char *to = text_append(path, "/proc/");
	int64_t fd;
	int result;

	if (!text_number(&variable, &pid) || *variable++ != ':' ||
	    !text_number(&variable, &number) || *variable++ != ':' ||
	    !text_number(&variable, &token))
		return -EINVAL;
	to = text_append(text_append_number(to, pid), "/fd/");
	*text_append_number(to, number) = 0;
	fd = system_call6(__NR_openat, (uint64_t)AT_FDCWD, (uint64_t)path, O_RDWR | O_CLOEXEC, 0, 0,
			  0);
	if (fd < 0)
		return (int)fd;
	result = arena_map(fd, token);
	system_call3(__NR_close, (uint64_t)fd, 0, 0);
	return result;
}

/* ---- own tables ---- */

/* One mapping for all: a fork's child finds it empty. */
static int tables_make(void)
{
	uint64_t threads = AGENT_THREADS_MAX * sizeof(struct agent_thread);
	uint64_t bytes = AGENT_PAGE + AGENT_SCRATCH_BYTES + threads;
	int64_t tables;
	int result;

	if (agent.threads)
		return 0;
	bytes = (bytes + AGENT_PAGE - 1) & ~(uint64_t)(AGENT_PAGE - 1);
	tables = system_call6(__NR_mmap, 0, bytes, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, (uint64_t)-1, 0);
	if (tables < 0)
		return (int)tables;
	result = (int)system_call3(__NR_madvise, (uint64_t)tables, bytes, MADV_WIPEONFORK);
	if (result < 0)
		return result;
	agent.alive = (uint32_t *)tables;
	agent.scratch = (uint8_t *)(tables + AGENT_PAGE);
	agent.threads = (struct agent_thread *)(agent.scratch + AGENT_SCRATCH_BYTES);
	return 0;
}

/* ---- begin and end ---- */

void agent_off(enum arena_off_reason reason, int error)
{
	struct agent_thread *thread = thread_current();
	struct arena_off *event = thread ? record_begin(thread, sizeof(*event), 0) : NULL;

	if (event) {
		event->reason = reason;
		event->error = error;
		ring_commit(event, ARENA_OFF, sizeof(*event));
	}
	agent.on = false;
	patch_restore();
}

static void tell_exec(struct agent_thread *thread)
{
	struct event_exec *event;

	lifetime_tell_fds(thread);
	event = record_begin(thread, sizeof(*event), 0);
	if (!event)
		return;
	event->old_tid = thread->tid;
	event->reserved = 0;
	ring_commit(event, EVENT_EXEC, sizeof(*event));
}

static void tell_ready(struct agent_thread *thread, int64_t patched)
{
	struct arena_number *event = record_begin(thread, sizeof(*event), 0);

	if (!event)
		return;
	event->value = patched;
	ring_commit(event, ARENA_READY, sizeof(*event));
}

/* Number of patched sites, or a negative errno. `fresh`: the program has not begun to run. */
static int64_t begin(const char *variable, struct process_facts facts, bool fresh)
{
	int64_t result = arena_open(variable) ?: tables_make();
	struct agent_thread *thread;
	uint32_t reason = ARENA_OFF_NO_SITES;

	if (result < 0)
		return result;
	agent.pid = (int32_t)system_call3(__NR_getpid, 0, 0, 0);
	agent.clock = facts.vdso ? vdso_find_clock(facts.vdso) : NULL;
	if (!(facts.hwcap2 & HWCAP2_FSGSBASE_BIT))
		return -ENOTSUP; /* without it we do not know which thread we are */
	*agent.alive = AGENT_ALIVE;
	agent.on = true;
	thread = thread_current();
	if (!thread) {
		agent.on = false;
		return -ENOSPC;
	}
	if (fresh)
		tell_exec(thread);
	result = mappings_start(fresh ? thread : NULL, facts.entry, &reason);
	if (result <= 0) {
		agent_off(reason, (int)result);
		return result ?: -ENOEXEC;
	}
	tell_ready(thread, result);
	return result;
}

static __attribute__((constructor)) void agent_preloaded(int argc, char **argv, char **envp)
{
	const char *variable = environment_value(envp, ARENA_VARIABLE "=");

	if (!variable)
		return;
	begin(variable, facts_behind(envp), true);
	environment_take_out(envp);
}

int64_t agent_enter(const char *variable)
{
	const char *end = variable + text_length(variable);
	size_t fresh_bytes = sizeof(ARENA_FRESH) - 1;

	if (agent.on)
		agent_leave();
	return begin(variable, facts_read(),
		     (size_t)(end - variable) > fresh_bytes &&
			 text_begins(end - fresh_bytes, ARENA_FRESH));
}

int64_t agent_leave(void)
{
	int result = patch_restore();

	agent.on = false;
	/* Whoever is in the middle of a record finishes it in memory that nobody reads. */
	if (agent.arena)
		system_call6(
		    __NR_mmap, (uint64_t)agent.arena, agent.arena_bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, (uint64_t)-1, 0);
	return result;
}
