/* Owns the samples of how many handles each place has open. Knows no clock: the caller says when.
 */
#include "model/growth.h"

#include "base/alloc.h"
#include "model/model_private.h"

void growth_times_thin(struct growth_times *times)
{
	for (uint32_t i = 0; 2 * i < times->n; i++) {
		times->times_ns[i] = times->times_ns[2 * i];
		times->open[i] = times->open[2 * i];
	}
	times->n = (times->n + 1) / 2;
	times->step_ns *= 2;
}

void growth_thin(struct growth *growth)
{
	for (uint32_t i = 0; 2 * i < GROWTH_POINTS; i++)
		growth->open[i] = growth->open[2 * i];
}

static uint32_t capped(uint64_t open)
{
	return open > UINT32_MAX ? UINT32_MAX : (uint32_t)open;
}

static void sample_process(struct process *process, uint64_t now_ns)
{
	struct growth_times *times = process->growth_times;
	uint64_t all = 0;

	if (times->n == GROWTH_POINTS) {
		growth_times_thin(times);
		array_each (place, &process->places)
			if (place->growth)
				growth_thin(place->growth);
	}
	array_each (place, &process->places) {
		uint64_t open = place->opened - place->closed;

		all += open;
		if (open && !place->growth)
			place->growth = xcalloc(1, sizeof(*place->growth));
		if (place->growth)
			place->growth->open[times->n] = capped(open);
	}
	times->open[times->n] = capped(all);
	times->times_ns[times->n++] = now_ns;
	/* What comes late does not make the next one early. */
	times->next_ns += times->step_ns;
	if (times->next_ns < now_ns + times->step_ns / 2)
		times->next_ns = now_ns + times->step_ns;
}

void model_sample(struct model *model, uint64_t now_ns)
{
	array_each (item, &model->processes) {
		struct process *process = &(*item)->public;

		if (process->exited)
			continue;
		if (!process->growth_times) {
			process->growth_times = xcalloc(1, sizeof(*process->growth_times));
			process->growth_times->step_ns = model->every_ns;
			process->growth_times->next_ns = now_ns;
		}
		if (now_ns >= process->growth_times->next_ns)
			sample_process(process, now_ns);
	}
}

void model_set_every(struct model *model, uint64_t every_ns)
{
	model->every_ns = every_ns;
}
