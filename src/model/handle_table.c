/* Owns the chunks of a table and the names of the handles in it. */
#include "model/handle_table.h"

#include "base/alloc.h"
#include "base/array.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct handle_table *handle_table_new(uint64_t id, struct process_record *owner,
				      struct names *names)
{
	struct handle_table *table = xcalloc(1, sizeof(*table));

	table->id = id;
	table->refs = 1;
	table->owner = owner;
	table->names = names;
	return table;
}

static struct handle_chunk *chunk_of(const struct map_entry *entry)
{
	return (struct handle_chunk *)(uintptr_t)entry->value;
}

static void chunk_free(struct handle_chunk *chunk)
{
	for (unsigned i = 0; i < HANDLES_PER_CHUNK; i++)
		if (chunk->known & 1u << i)
			name_unref(chunk->handles[i].name);
	free(chunk->past);
	free(chunk);
}

void handle_table_free(struct handle_table *table)
{
	map_each (entry, &table->chunks)
		chunk_free(chunk_of(entry));
	map_fini(&table->chunks);
	stale_close_forget(table);
	free(table);
}

struct handle *handle_table_get(const struct handle_table *table, int32_t number)
{
	struct handle_chunk *chunk;

	if (number < 0)
		return NULL;
	chunk = map_get_pointer(&table->chunks, (uint32_t)number / HANDLES_PER_CHUNK);
	if (!chunk || !(chunk->known & 1u << number % HANDLES_PER_CHUNK))
		return NULL;
	return &chunk->handles[number % HANDLES_PER_CHUNK];
}

struct handle *handle_table_put(struct handle_table *table, int32_t number)
{
	uint64_t *slot = map_put(&table->chunks, (uint32_t)number / HANDLES_PER_CHUNK);
	uint32_t bit = 1u << number % HANDLES_PER_CHUNK;
	struct handle_chunk *chunk;
	struct handle *handle;

	if (!*slot)
		*slot = (uintptr_t)xcalloc(1, sizeof(*chunk));
	chunk = (struct handle_chunk *)(uintptr_t)*slot;
	handle = &chunk->handles[number % HANDLES_PER_CHUNK];
	if (!(chunk->known & bit)) {
		chunk->known |= bit;
		*handle = (struct handle){.number = number, .place = PLACE_NONE};
	}
	return handle;
}

static void chunk_forget(struct handle_chunk *chunk, unsigned index)
{
	name_unref(chunk->handles[index].name);
	chunk->handles[index] = (struct handle){0};
	if (chunk->past)
		chunk->past[index] = (struct handle_past){0};
	chunk->known &= ~(1u << index);
}

void handle_table_forget(struct handle_table *table, int32_t number)
{
	struct handle_chunk *chunk;

	const struct handle *handle = handle_table_get(table, number);

	if (!handle)
		return;
	table->open -= handle->open;
	chunk = map_get_pointer(&table->chunks, (uint32_t)number / HANDLES_PER_CHUNK);
	chunk_forget(chunk, number % HANDLES_PER_CHUNK);
}

void handle_table_trim(struct handle_table *table, bool keep_past)
{
	struct map kept = {0};

	stale_close_forget(table);
	map_each (entry, &table->chunks) {
		struct handle_chunk *chunk = chunk_of(entry);

		if (!keep_past) {
			free(chunk->past);
			chunk->past = NULL;
		}
		for (unsigned i = 0; i < HANDLES_PER_CHUNK; i++)
			if (chunk->known & 1u << i && !chunk->handles[i].open)
				chunk_forget(chunk, i);
		if (chunk->known)
			map_put_pointer(&kept, entry->key, chunk);
		else
			chunk_free(chunk);
	}
	map_fini(&table->chunks);
	table->chunks = kept;
}

void handle_set_open(struct handle_table *table, struct handle *handle, bool open)
{
	table->open += open - handle->open;
	handle->open = open;
}

void handle_set_name(const struct handle_table *table, struct handle *handle, const char *name,
		     size_t bytes)
{
	const char *old = handle->name;

	bytes = name ? strnlen(name, bytes) : 0;
	handle->name = bytes ? name_new(table->names, name, bytes) : NULL;
	name_unref(old);
}

void handle_share_name(struct handle *handle, const struct handle *source)
{
	const char *old = handle->name;

	handle->name = name_ref(source->name);
	name_unref(old);
}

static struct handle_chunk *chunk_with(const struct handle *handle)
{
	const struct handle *first = handle - handle->number % HANDLES_PER_CHUNK;

	return (struct handle_chunk *)((char *)first - offsetof(struct handle_chunk, handles));
}

const struct handle_past *model_handle_past(const struct handle *handle)
{
	static const struct handle_past none;
	const struct handle_chunk *chunk = chunk_with(handle);

	return chunk->past ? &chunk->past[handle->number % HANDLES_PER_CHUNK] : &none;
}

struct handle_past *handle_past(struct handle *handle)
{
	struct handle_chunk *chunk = chunk_with(handle);

	if (!chunk->past)
		chunk->past = xcalloc(HANDLES_PER_CHUNK, sizeof(*chunk->past));
	return &chunk->past[handle->number % HANDLES_PER_CHUNK];
}

void handle_copy(struct handle_table *table, struct handle *copy, const struct handle *source)
{
	const struct handle_past *past = model_handle_past(source);

	table->open += source->open - copy->open;
	name_unref(copy->name);
	*copy = *source;
	name_ref(copy->name);
	if (past->closed.time_ns || past->opened.time_ns || chunk_with(copy)->past)
		*handle_past(copy) = *past;
}

size_t handle_table_bytes(const struct handle_table *table)
{
	size_t bytes = sizeof(*table) + table->chunks.capacity * sizeof(*table->chunks.entries);

	bytes += table->stale ? sizeof(*table->stale) : 0;
	map_each (entry, &table->chunks) {
		const struct handle_chunk *chunk = chunk_of(entry);

		bytes += sizeof(*chunk);
		if (chunk->past)
			bytes += HANDLES_PER_CHUNK * sizeof(*chunk->past);
		for (unsigned i = 0; i < HANDLES_PER_CHUNK; i++)
			if (chunk->known & 1u << i)
				bytes += name_bytes(chunk->handles[i].name);
	}
	return bytes;
}

static int compare_keys(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

static void chunk_each(struct handle_chunk *chunk, int32_t first, int32_t last,
		       void (*each)(void *context, struct handle *handle), void *context)
{
	for (uint32_t known = chunk->known; known; known &= known - 1) {
		struct handle *handle = &chunk->handles[__builtin_ctz(known)];

		if (handle->number >= first && handle->number <= last)
			each(context, handle);
	}
}

void handle_table_each(const struct handle_table *table, int32_t first, int32_t last, bool sorted,
		       void (*each)(void *context, struct handle *handle), void *context)
{
	ARRAY(uint64_t) keys = {0};
	uint64_t first_key = (uint32_t)first / HANDLES_PER_CHUNK;
	uint64_t last_key = (uint32_t)last / HANDLES_PER_CHUNK;

	if (!sorted && last_key - first_key < table->chunks.count) {
		for (uint64_t key = first_key; key <= last_key; key++) {
			struct handle_chunk *chunk = map_get_pointer(&table->chunks, key);

			if (chunk)
				chunk_each(chunk, first, last, each, context);
		}
		return;
	}
	map_each (entry, &table->chunks)
		if (entry->key >= first_key && entry->key <= last_key)
			array_push(&keys, entry->key);
	if (sorted && keys.count)
		qsort(keys.data, keys.count, sizeof(*keys.data), compare_keys);
	for (size_t i = 0; i < keys.count; i++)
		chunk_each(map_get_pointer(&table->chunks, keys.data[i]), first, last, each,
			   context);
	array_fini(&keys);
}
