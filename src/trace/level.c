/* Owns the reading of samples by quarters. Knows no place and no rule. */
#include "trace/level.h"

bool level_read(const struct growth_times *times, const struct growth *growth, uint64_t from_ns,
		uint64_t end_ns, struct level out[static LEVEL_QUARTERS])
{
	uint32_t samples[LEVEL_QUARTERS] = {0};
	uint64_t quarter_ns = (end_ns - from_ns) / LEVEL_QUARTERS + 1;

	if (end_ns <= from_ns)
		return false;
	for (uint32_t i = 0; i < times->n; i++) {
		struct level *level;
		uint64_t quarter;

		if (times->times_ns[i] < from_ns || times->times_ns[i] > end_ns)
			continue;
		quarter = (times->times_ns[i] - from_ns) / quarter_ns;
		level = &out[quarter];
		if (!samples[quarter]++)
			*level = (struct level){growth->open[i], growth->open[i]};
		if (growth->open[i] < level->fewest)
			level->fewest = growth->open[i];
		if (growth->open[i] > level->most)
			level->most = growth->open[i];
	}
	for (uint32_t quarter = 0; quarter < LEVEL_QUARTERS; quarter++)
		if (samples[quarter] < LEVEL_SAMPLES_MIN)
			return false;
	return true;
}
