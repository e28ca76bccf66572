/* Owns the writing of known stacks while the kernel half reads them, and which one gives way. */
#include "collect/bpf/footprints.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { RETIRED_MIN = 1024 };

static size_t table_bytes(void)
{
	size_t page = sysconf(_SC_PAGESIZE);

	return (BPF_FOOTPRINTS_N * sizeof(struct bpf_footprint) + page - 1) / page * page;
}

int footprints_init(struct footprints *footprints, int map_fd, const struct ring *ring,
		    struct error *error)
{
	void *entries = mmap(NULL, table_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);

	*footprints = (struct footprints){.ring = ring, .retired_most = RETIRED_MIN};
	if (entries == MAP_FAILED)
		return error_set_errno(error, -errno, "cannot map the BPF program's known stacks");
	footprints->entries = entries;
	return 0;
}

void footprints_fini(struct footprints *footprints)
{
	if (footprints->entries)
		munmap(footprints->entries, table_bytes());
	footprints->entries = NULL;
	array_fini(&footprints->retired);
}

static void drop_retired(struct footprints *footprints)
{
	size_t kept = 0;

	array_each (retired, &footprints->retired) {
		if (retired->until > footprints->ring->position)
			footprints->retired.data[kept++] = *retired;
	}
	footprints->retired.count = kept;
	footprints->retired_most = 2 * kept > RETIRED_MIN ? 2 * kept : RETIRED_MIN;
}

/*
 * The kernel half may have recognised it a moment ago, and its record is in the ring or about to
 * be: not more than a whole ring from now.
 */
static void retire(struct footprints *footprints, uint32_t stack)
{
	const struct ring *ring = footprints->ring;
	uint64_t until = ring->position + ring_waiting(ring) + ring->bytes;

	if (footprints->retired.count >= footprints->retired_most)
		drop_retired(footprints);
	array_push(&footprints->retired, (struct retired_stack){until, stack});
}

/* Whether a stack that matches one can match the other too, but for what the words hold. */
static bool same_place(const struct bpf_footprint *entry, uint64_t mappings,
		       const struct footprint *footprint, uint32_t stack)
{
	return entry->stack == stack && entry->mappings == mappings &&
	       entry->footprint.ip == footprint->ip && entry->footprint.sp == footprint->sp;
}

/*
 * Where a new one goes: over one of the same stack (a register that counts held something else),
 * else into a free way of its set, else one by turns.
 */
static struct bpf_footprint *choose(struct footprints *footprints, uint64_t mappings,
				    const struct footprint *footprint, uint32_t stack)
{
	struct bpf_footprint *set =
	    &footprints->entries[bpf_footprint_first(mappings, footprint->ip, footprint->sp)];
	struct bpf_footprint *unused = NULL;

	for (unsigned way = 0; way < BPF_FOOTPRINT_WAYS; way++) {
		if (same_place(&set[way], mappings, footprint, stack))
			return &set[way];
		if (!unused && !set[way].stack)
			unused = &set[way];
	}
	return unused ?: &set[footprints->turn++ % BPF_FOOTPRINT_WAYS];
}

void footprints_add(struct footprints *footprints, uint64_t mappings,
		    const struct footprint *footprint, uint32_t stack)
{
	struct bpf_footprint *entry = choose(footprints, mappings, footprint, stack);
	struct footprint *to = &entry->footprint;

	/* A sequence lock with one writer: the kernel half looks at the version before and after.
	 */
	__atomic_store_n(&entry->version, entry->version + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (entry->stack && entry->stack != stack)
		retire(footprints, entry->stack);
	entry->stack = stack;
	entry->mappings = mappings;
	memcpy(to, footprint, offsetof(struct footprint, values));
	memcpy(to->values, footprint->values, footprint->words_n * sizeof(to->values[0]));
	memcpy(to->offsets, footprint->offsets, footprint->words_n * sizeof(to->offsets[0]));
	__atomic_store_n(&entry->version, entry->version + 1, __ATOMIC_RELEASE);
}

void footprints_each_stack(const struct footprints *footprints,
			   void (*each)(void *context, uint32_t stack), void *context)
{
	for (uint32_t i = 0; i < BPF_FOOTPRINTS_N; i++)
		if (footprints->entries[i].stack)
			each(context, footprints->entries[i].stack);
	array_each (retired, &footprints->retired)
		each(context, retired->stack);
}
