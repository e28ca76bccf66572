/*
 * Owns what is done against growth: each exec lays libraries elsewhere, so that the same code makes
 * other stacks of other images, which nothing tells any more once the process has been forgotten.
 * They are dropped when there are twice as many as after the last time, and the files with them
 * that nothing is mapped from any more: each was kept open.
 */
#include "session/internal.h"

#include "base/alloc.h"

#include <string.h>

enum { STACKS_MIN = 4096, IMAGES_MIN = 2048 };

/* One byte for each stack_id. */
struct stack_marks {
	uint8_t *kept;
	uint32_t last;
};

static void mark_stack(void *context, uint32_t stack_id)
{
	struct stack_marks *marks = context;

	if (stack_id <= marks->last)
		marks->kept[stack_id] = 1;
}

static void sweep_stacks(struct session *session)
{
	struct stack_marks marks = {.last = stack_table_last(session->stacks)};

	marks.kept = xcalloc(marks.last + 1, 1);
	model_stacks_each(session->model, mark_stack, &marks);
	for (uint32_t age = 0; age < history_count(session->history); age++)
		mark_stack(&marks, history_get(session->history, age)->moment.stack_id);
	if (session->ops->known_stacks)
		session->ops->known_stacks(session->collector, mark_stack, &marks);
	session_caught_stacks(session, mark_stack, &marks);
	stack_table_sweep(session->stacks, marks.kept);
	free(marks.kept);
}

static void mark_mapped(struct map *used, const struct address_space *space)
{
	size_t count;
	const struct mapping *mappings = address_space_mappings(space, &count);

	for (size_t i = 0; i < count; i++)
		*map_put(used, mappings[i].image) = 1;
}

static bool is_used(const void *context, uint32_t image)
{
	return map_get(context, image);
}

/* What knows modules by their address begins anew, and learns what it needs again. */
static void forget_modules(struct session *session)
{
	unwinder_cfi.destroy(session->unwinder);
	session->unwinder = unwinder_cfi.create(session->images);
	if (session->symbolizer)
		symbolizer_free(session->symbolizer);
	session->symbolizer = NULL;
}

static void sweep_images(struct session *session)
{
	struct map used = {0};

	for (uint32_t id = stack_table_last(session->stacks); id > 0; id--) {
		struct stack stack = stack_table_get(session->stacks, id);

		for (uint32_t i = 0; i < stack.frames_n; i++)
			*map_put(&used, stack.frames[i].image) = 1;
	}
	map_each (entry, &session->targets)
		mark_mapped(&used, ((struct target *)(uintptr_t)entry->value)->space);
	if (image_table_sweep(session->images, is_used, &used))
		forget_modules(session);
	map_fini(&used);
}

static uint32_t twice(uint32_t left, uint32_t least)
{
	return left < least / 2 ? least : left > UINT32_MAX / 2 ? UINT32_MAX : 2 * left;
}

void session_tidy(struct session *session)
{
	if (stack_table_count(session->stacks) < session->stacks_max &&
	    image_table_count(session->images) < session->images_max)
		return;
	/* At the first event there is nothing to drop. */
	if (session->stacks_max) {
		sweep_stacks(session);
		sweep_images(session);
	}
	session->stacks_max = twice(stack_table_count(session->stacks), STACKS_MIN);
	session->images_max = twice(image_table_count(session->images), IMAGES_MIN);
}
