/*
 * Owns the choice of a place for the agent in a target's address space: near what it patches, and
 * in nobody's way. Does not know what is put there.
 */
#include "collect/agent/inject_parts.h"

#include "os/procfs.h"
#include "os/remote.h"

#include <errno.h>
#include <string.h>

#define MIB (1ull << 20)

enum { CODE_CHUNK = 64 * 1024, CODE_CHUNKS_MAX = 32 };

static const uint64_t reach = 1024 * MIB; /* a jump reaches 2 GiB; libraries may come */
static const uint64_t lowest = MIB;       /* vm.mmap_min_addr is less */
static const uint64_t highest = 1ull << 47;
static const uint64_t air = MIB; /* between us and others that may grow a bit */
static const uint64_t air_heap = 512 * MIB;
static const uint64_t air_stack = 256 * MIB;

static enum area_kind kind_of(const struct procfs_mapping *mapping)
{
	const char *slash = strrchr(mapping->path, '/'), *name = slash ? slash + 1 : mapping->path;

	if (!strcmp(name, "[heap]"))
		return AREA_HEAP;
	if (!strcmp(name, "[stack]"))
		return AREA_STACK;
	if (!strcmp(name, "[vdso]"))
		return AREA_VDSO;
	if (!strncmp(name, "libc.so", 7) || !strncmp(name, "libc-", 5))
		return AREA_LIBC;
	if (!strncmp(name, "ld-", 3) || !strncmp(name, "ld.so", 5))
		return AREA_LOADER;
	return AREA_OTHER;
}

static int add_area(void *context, const struct procfs_mapping *mapping)
{
	struct areas *areas = context;

	if (mapping->end <= highest)
		array_push(&areas->list,
			   (struct area){mapping->start, mapping->end, kind_of(mapping),
					 mapping->executable, mapping->inode != 0});
	return 0;
}

int areas_read(pid_t pid, struct areas *out, struct error *error)
{
	int result;

	*out = (struct areas){0};
	result = procfs_maps(pid, add_area, out, error);
	if (!result && !out->list.count)
		result = error_set(error, -ESRCH, "process %d has ended", pid);
	return result;
}

void areas_fini(struct areas *areas)
{
	array_fini(&areas->list);
}

/* Whose calls are to be reached: libc's code, else the loader's, else the program's, which in a
 * static program is the first that there is. */
static const struct area *find_anchor(const struct areas *areas)
{
	const struct area *anchor = NULL;

	array_each (area, &areas->list) {
		if (!area->executable || !area->has_file)
			continue;
		if (area->kind == AREA_LIBC)
			return area;
		if (!anchor || (area->kind == AREA_LOADER && anchor->kind != AREA_LOADER))
			anchor = area;
	}
	return anchor;
}

static uint64_t distance(const struct area *anchor, uint64_t start)
{
	return start > anchor->start ? start - anchor->start : anchor->start - start;
}

static void add_place(const struct area *anchor, uint64_t start, uint64_t bytes, struct places *out)
{
	uint64_t low = start < anchor->start ? start : anchor->start;
	uint64_t high = start + bytes > anchor->end ? start + bytes : anchor->end;
	size_t at;

	if (high - low > reach)
		return;
	array_push(&out->starts, start);
	for (at = out->starts.count - 1;
	     at && distance(anchor, out->starts.data[at - 1]) > distance(anchor, start); at--)
		out->starts.data[at] = out->starts.data[at - 1];
	out->starts.data[at] = start;
}

/* Both ends of what is left of a gap, with air around. */
static void add_gap(const struct area *anchor, uint64_t low, uint64_t high, uint64_t bytes,
		    struct places *out)
{
	uint64_t margin;

	if (low >= high || high - low < bytes)
		return;
	margin = ((high - low - bytes) / 2) & -(uint64_t)INJECT_PAGE;
	if (margin > air)
		margin = air;
	add_place(anchor, high - margin - bytes, bytes, out);
	add_place(anchor, low + margin, bytes, out);
	/* Neither end of a large gap may be near. */
	if (anchor->start > reach / 2 && low + air < anchor->start - reach / 2 &&
	    anchor->start - reach / 2 + bytes + air < high)
		add_place(anchor, (anchor->start - reach / 2) & -(uint64_t)INJECT_PAGE, bytes, out);
}

void places_find(const struct areas *areas, uint64_t bytes, struct places *out)
{
	const struct area *anchor = find_anchor(areas);
	bool is_program = anchor && anchor->kind == AREA_OTHER;
	uint64_t low = lowest;

	*out = (struct places){0};
	if (!anchor)
		return;
	array_each (area, &areas->list) {
		uint64_t high = area->start;

		if (area->kind == AREA_STACK)
			high = high > air_stack ? high - air_stack : 0;
		add_gap(anchor, low, high, bytes, out);
		low = area->end;
		/* The heap begins behind the program, and may not have begun yet. */
		if (area->kind == AREA_HEAP ||
		    (is_program && area->kind == AREA_OTHER && area->start >= anchor->start))
			low += air_heap;
		if (low < lowest)
			low = lowest;
	}
}

static uint64_t find_code(pid_t pid, const struct area *area, const void *code, size_t bytes)
{
	uint8_t *chunk = xmalloc(CODE_CHUNK), *found = NULL;
	uint64_t at = area->start;

	for (int i = 0; i < CODE_CHUNKS_MAX && !found && area->end - at >= bytes; i++) {
		uint64_t wanted = area->end - at < CODE_CHUNK ? area->end - at : CODE_CHUNK;
		size_t got = remote_read(pid, at, chunk, wanted);

		if (got < bytes)
			break;
		found = memmem(chunk, got, code, bytes);
		at += found ? (size_t)(found - chunk) : got - bytes + 1;
	}
	free(chunk);
	return found ? at : 0;
}

/* Not a JIT's code. libc has all, the vDSO at least the one that is needed. */
void areas_find_gadgets(pid_t pid, const struct areas *areas, struct gadgets *out)
{
	static const uint8_t call_return[] = {0x0f, 0x05, 0xc3};
	static const uint8_t home[] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05};
	const struct area *anchor = find_anchor(areas);

	*out = (struct gadgets){0};
	if (anchor) {
		out->call = find_code(pid, anchor, call_return, sizeof(call_return));
		out->home = out->call ? find_code(pid, anchor, home, sizeof(home)) : 0;
	}
	array_each (area, &areas->list)
		if (!out->call && area->executable && (area->has_file || area->kind == AREA_VDSO))
			out->call = find_code(pid, area, call_return, 2);
}
