/*
 * Owns the ring of the last traces. It grows as traces come, up to its limit, so that a generous
 * limit costs nothing until it is used. Knows nothing of which handles are open: the stack of an
 * open handle is kept by the model.
 */
#include "trace/history.h"

#include "base/array.h"

#include <stdlib.h>

struct history {
	ARRAY(struct trace) traces;
	uint32_t traces_max;
	uint32_t oldest; /* index, once the ring is full */
	uint64_t total;
};

struct history *history_new(uint32_t traces_max)
{
	struct history *history = xcalloc(1, sizeof(*history));

	history->traces_max = traces_max;
	return history;
}

void history_free(struct history *history)
{
	if (!history)
		return;
	array_fini(&history->traces);
	free(history);
}

static void history_add(void *context, const struct trace *trace)
{
	struct history *history = context;

	history->total++;
	if (!history->traces_max)
		return;
	if (history->traces.count < history->traces_max) {
		array_push(&history->traces, *trace);
		return;
	}
	history->traces.data[history->oldest] = *trace;
	history->oldest = (history->oldest + 1) % history->traces_max;
}

struct model_observer history_observer(struct history *history)
{
	return (struct model_observer){.trace = history_add, .context = history};
}

void history_clear(struct history *history)
{
	history->traces.count = 0;
	history->oldest = 0;
	history->total = 0;
}

uint32_t history_count(const struct history *history)
{
	return history->traces.count;
}

uint64_t history_total(const struct history *history)
{
	return history->total;
}

const struct trace *history_get(const struct history *history, uint32_t age)
{
	size_t count = history->traces.count;

	if (age >= count)
		return NULL;
	return &history->traces.data[(history->oldest + count - 1 - age) % count];
}
