/* Owns the few numbers and programs that are kept of a place. Knows no model. */
#include "model/crossing.h"

#include <string.h>

/* Kept ascending. */
void crossing_add_number(struct crossing *place, int32_t number)
{
	uint32_t at = 0;

	while (at < place->numbers_n && place->numbers[at] < number)
		at++;
	if (at < place->numbers_n && place->numbers[at] == number)
		return;
	if (place->numbers_n == CROSSING_NUMBERS_MAX) {
		place->more_numbers = true;
		return;
	}
	memmove(&place->numbers[at + 1], &place->numbers[at],
		(place->numbers_n - at) * sizeof(place->numbers[0]));
	place->numbers[at] = number;
	place->numbers_n++;
}

void crossing_add_program(struct crossing *place, const char *exe, uint64_t execs)
{
	for (uint32_t i = 0; i < place->programs_n; i++) {
		if (place->programs[i].exe == exe) { /* interned */
			place->programs[i].execs += execs;
			return;
		}
	}
	if (place->programs_n < CROSSING_PROGRAMS_MAX)
		place->programs[place->programs_n++] = (struct crossing_program){exe, execs};
}
