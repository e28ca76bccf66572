/* Owns the storage of interned frames: chunks that never move, and a hash index over ids. */
#include "stack/stack_table.h"

#include "base/alloc.h"
#include "base/array.h"
#include "base/hash.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_FRAMES = 64 * 1024 };

struct stack_entry {
	const struct frame *frames;
	uint64_t hash;
	uint32_t frames_n;
	uint32_t end;
};

struct stack_table {
	ARRAY(struct stack_entry) entries; /* index: stack_id; entry 0 is STACK_NONE */
	ARRAY(struct frame *) chunks;
	uint32_t chunk_used; /* frames of the last chunk */
	ARRAY(uint32_t) free_ids;
	uint32_t *index;     /* hash -> stack_id, open addressing, 0: free */
	uint32_t index_size; /* a power of two */
};

struct stack_table *stack_table_new(void)
{
	struct stack_table *table = xcalloc(1, sizeof(*table));

	array_push(&table->entries, (struct stack_entry){.end = STACK_END_NO_COPY});
	table->index_size = 1024;
	table->index = xcalloc(table->index_size, sizeof(*table->index));
	return table;
}

void stack_table_free(struct stack_table *table)
{
	if (!table)
		return;
	array_each (chunk, &table->chunks)
		free(*chunk);
	array_fini(&table->chunks);
	array_fini(&table->entries);
	array_fini(&table->free_ids);
	free(table->index);
	free(table);
}

static uint64_t frame_word(const struct frame *frame)
{
	return (uint64_t)frame->image << 1 | frame->exact;
}

static uint64_t frames_hash(const struct frame *frames, uint32_t frames_n, enum stack_end end)
{
	uint64_t hash = (uint64_t)end << 32 | frames_n;

	for (uint32_t i = 0; i < frames_n; i++)
		hash = (hash ^ frames[i].pc) * 0x9e3779b97f4a7c15u + frame_word(&frames[i]);
	return hash_u64(hash);
}

static bool frames_equal(const struct frame *a, const struct frame *b, uint32_t frames_n)
{
	for (uint32_t i = 0; i < frames_n; i++)
		if (a[i].pc != b[i].pc || frame_word(&a[i]) != frame_word(&b[i]))
			return false;
	return true;
}

/* The index slot where an equal stack is, or where it would go. */
static uint32_t *index_slot(const struct stack_table *table, const struct frame *frames,
			    const struct stack_entry *wanted)
{
	uint32_t mask = table->index_size - 1;
	uint32_t i = wanted->hash & mask;

	for (; table->index[i]; i = (i + 1) & mask) {
		const struct stack_entry *entry = &table->entries.data[table->index[i]];

		if (entry->hash == wanted->hash && entry->frames_n == wanted->frames_n &&
		    entry->end == wanted->end &&
		    frames_equal(entry->frames, frames, wanted->frames_n))
			break;
	}
	return &table->index[i];
}

static void index_make(struct stack_table *table, uint32_t size)
{
	free(table->index);
	table->index_size = size;
	table->index = xcalloc(table->index_size, sizeof(*table->index));
	for (uint32_t id = 1; id < table->entries.count; id++) {
		const struct stack_entry *entry = &table->entries.data[id];

		if (entry->frames) /* not a dropped one */
			*index_slot(table, entry->frames, entry) = id;
	}
}

static struct frame *frames_store(struct stack_table *table, const struct frame *frames,
				  uint32_t frames_n)
{
	struct frame *stored;

	if (!table->chunks.count || table->chunk_used + frames_n > CHUNK_FRAMES) {
		array_push(&table->chunks, xmalloc(CHUNK_FRAMES * sizeof(struct frame)));
		table->chunk_used = 0;
	}
	stored = table->chunks.data[table->chunks.count - 1] + table->chunk_used;
	if (frames_n)
		memcpy(stored, frames, frames_n * sizeof(*frames));
	table->chunk_used += frames_n;
	return stored;
}

uint32_t stack_table_intern(struct stack_table *table, const struct frame *frames,
			    uint32_t frames_n, enum stack_end end)
{
	struct stack_entry entry = {.frames_n = frames_n, .end = end};
	uint32_t *slot, id;

	if (frames_n > STACK_FRAMES_MAX)
		entry.frames_n = frames_n = STACK_FRAMES_MAX;
	entry.hash = frames_hash(frames, frames_n, end);
	slot = index_slot(table, frames, &entry);
	if (*slot)
		return *slot;
	entry.frames = frames_store(table, frames, frames_n);
	if (table->free_ids.count) {
		id = table->free_ids.data[--table->free_ids.count];
		table->entries.data[id] = entry;
	} else {
		id = table->entries.count;
		array_push(&table->entries, entry);
	}
	*slot = id;
	if (stack_table_count(table) * 2 >= table->index_size)
		index_make(table, table->index_size * 2);
	return id;
}

/* The frames of those that are kept move together. */
void stack_table_sweep(struct stack_table *table, const uint8_t *kept)
{
	__typeof__(table->chunks) old = table->chunks;

	memset(&table->chunks, 0, sizeof(table->chunks));
	table->chunk_used = 0;
	for (uint32_t id = 1; id < table->entries.count; id++) {
		struct stack_entry *entry = &table->entries.data[id];

		if (entry->frames && kept[id]) {
			entry->frames = frames_store(table, entry->frames, entry->frames_n);
		} else if (entry->frames) {
			*entry = (struct stack_entry){.end = STACK_END_NO_COPY};
			array_push(&table->free_ids, id);
		}
	}
	array_each (chunk, &old)
		free(*chunk);
	array_fini(&old);
	index_make(table, table->index_size);
}

uint32_t stack_table_last(const struct stack_table *table)
{
	return table->entries.count - 1;
}

struct stack stack_table_get(const struct stack_table *table, uint32_t stack_id)
{
	const struct stack_entry *entry = &table->entries.data[0];

	if (stack_id < table->entries.count)
		entry = &table->entries.data[stack_id];
	return (struct stack){entry->frames, entry->frames_n, entry->end};
}

uint32_t stack_table_near(const struct stack_table *table, uint32_t stack_id)
{
	struct stack stack = stack_table_get(table, stack_id);
	uint64_t hash = 1;

	for (uint32_t i = 0; i < stack.frames_n && i < STACK_NEAR_FRAMES; i++)
		hash = hash_combine(hash_combine(hash, stack.frames[i].pc),
				    frame_word(&stack.frames[i]));
	return (uint32_t)hash ?: 1;
}

uint32_t stack_table_count(const struct stack_table *table)
{
	return table->entries.count - 1 - table->free_ids.count;
}

size_t stack_table_bytes(const struct stack_table *table)
{
	return sizeof(*table) + table->entries.capacity * sizeof(struct stack_entry) +
	       table->free_ids.capacity * sizeof(uint32_t) +
	       table->chunks.count * CHUNK_FRAMES * sizeof(struct frame) +
	       table->index_size * sizeof(*table->index);
}
