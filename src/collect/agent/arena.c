/* Owns the making of the shared memory and the search for the agent's file. */
#include "collect/agent/arena.h"

#include "base/cleanup.h"
#include "collect/agent/sites.h"
#include "collect/agent/ticks.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

enum {
	SLOTS_MAX = 2048,
	RING_SHARE = 4, /* of the bytes that a session asks for */
	RING_BYTES_MIN = 16 * 1024,
	RING_BYTES_MAX = 64 * 1024 * 1024,
	PAGE = 4096,
};

/* ---- the agent's file ---- */

static bool is_there(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, R_OK) == 0;
}

int agent_find(char path[static ARENA_PATH_MAX], struct error *error)
{
	static const char *const places[] = {
	    "agent/libhtrace-agent.so", /* where it was built */
	    "libhtrace-agent.so",
	    "../lib/htrace/libhtrace-agent.so",
	    "../lib/x86_64-linux-gnu/htrace/libhtrace-agent.so",
	    "../lib64/htrace/libhtrace-agent.so",
	};
	char folder[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", folder, sizeof(folder) - 1);

	if (length > 0) {
		folder[length] = '\0';
		*strrchr(folder, '/') = '\0';
		for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
			char tried[PATH_MAX + 64];
			_cleanup_(free) char *real = NULL;

			snprintf(tried, sizeof(tried), "%s/%s", folder, places[i]);
			real = realpath(tried, NULL);
			if (real && is_there(real) && strlen(real) < ARENA_PATH_MAX) {
				strcpy(path, real);
				return 0;
			}
		}
	}
	if (is_there(HTRACE_AGENT_PATH)) {
		strcpy(path, HTRACE_AGENT_PATH);
		return 0;
	}
	return error_set(error, -ENOENT,
			 "the agent's file libhtrace-agent.so is neither beside htrace nor in "
			 "../lib/htrace, nor is it %s",
			 HTRACE_AGENT_PATH);
}

/* ---- the memory ---- */

static uint64_t page_up(uint64_t bytes)
{
	return (bytes + PAGE - 1) / PAGE * PAGE;
}

/* Of address space, which is all that a slot costs before a thread takes it. */
#define RINGS_BYTES_MAX (32ull << 30)

static uint32_t slots_n(uint32_t ring_bytes)
{
	return RINGS_BYTES_MAX / ring_bytes < SLOTS_MAX ? RINGS_BYTES_MAX / ring_bytes : SLOTS_MAX;
}

static uint32_t ring_bytes(uint32_t wanted)
{
	uint32_t bytes = RING_BYTES_MIN;

	while (bytes < RING_BYTES_MAX && bytes * 2 <= wanted / RING_SHARE)
		bytes *= 2;
	return bytes;
}

/* Nobody may make it smaller: whoever reads it then would end by SIGBUS. */
static int make_memory(struct agent_arena *memory, struct error *error)
{
	void *mapped;

	memory->fd = memfd_create(AGENT_ARENA_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (memory->fd < 0)
		return error_set_errno(error, -errno, "cannot make memory to share (memfd)");
	if (ftruncate(memory->fd, memory->bytes) < 0 ||
	    fcntl(memory->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return error_set_errno(error, -errno, "cannot make %zu bytes to share",
				       memory->bytes);
	mapped = mmap(NULL, memory->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
		      memory->fd, 0);
	if (mapped == MAP_FAILED)
		return error_set_errno(error, -errno, "cannot map %zu shared bytes", memory->bytes);
	memory->arena = mapped;
	madvise(mapped, memory->bytes, MADV_DONTDUMP);
	return 0;
}

static int fill(struct agent_arena *memory, const struct collector_options *options,
		struct error *error)
{
	struct arena *arena = memory->arena;
	uint64_t token;

	if (getrandom(&token, sizeof(token), 0) != sizeof(token))
		return error_set_errno(error, -errno, "cannot get a random number");
	snprintf(memory->variable, sizeof(memory->variable), ARENA_VARIABLE "=%d:%d:%llu", getpid(),
		 memory->fd, (unsigned long long)token);
	arena->version = ARENA_VERSION;
	arena->token = token;
	arena->bytes = memory->bytes;
	arena->ring_bytes = ring_bytes(options->ring_bytes);
	arena->slots_n = slots_n(arena->ring_bytes);
	arena->slots_offset = page_up(sizeof(*arena));
	arena->rings_offset =
	    arena->slots_offset + page_up(arena->slots_n * sizeof(struct arena_slot));
	arena->in_ticks = ticks_are_steady();
	arena->follow_children = options->follow_children;
	arena->stack_bytes_max = options->stack_bytes_max;
	arena->bad_reference_signal = options->bad_reference_signal;
	strcpy(arena->preload, memory->preload);
	strcpy(arena->variable, memory->variable);
	arena->plan = *options->plan;
	sites_publish_own(arena, options->plan);
	arena->active = 1;
	__atomic_store_n(&arena->magic, ARENA_MAGIC, __ATOMIC_RELEASE);
	return 0;
}

int agent_arena_init(struct agent_arena *memory, const struct collector_options *options,
		     struct error *error)
{
	uint32_t ring = ring_bytes(options->ring_bytes);
	int result;

	*memory = (struct agent_arena){
	    .fd = -1,
	    .bytes = page_up(sizeof(struct arena)) +
		     page_up(slots_n(ring) * sizeof(struct arena_slot)) +
		     (size_t)slots_n(ring) * ring,
	};
	result = agent_find(memory->preload, error) ?: make_memory(memory, error) ?:
		 fill(memory, options, error);
	if (result)
		agent_arena_fini(memory);
	return result;
}

void agent_arena_fini(struct agent_arena *memory)
{
	if (memory->arena)
		munmap(memory->arena, memory->bytes);
	if (memory->fd >= 0)
		close(memory->fd);
	*memory = (struct agent_arena){.fd = -1};
}
