/* Owns the relation between the time stamp counter and CLOCK_MONOTONIC. */
#include "collect/agent/ticks.h"

#include "base/cleanup.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

enum {
	FIRST_NS = 2000000,
	FOLLOW_NS = 100000000,
	TRIES = 8, /* for a reading of both clocks that nothing interrupts */
};

bool ticks_are_steady(void)
{
	_cleanup_(fclose) FILE *file =
	    fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");
	char name[16];

	return file && fgets(name, sizeof(name), file) && !strcmp(name, "tsc\n");
}

uint64_t ticks_now(void)
{
	return __rdtsc();
}

/* One moment by both clocks: of some tries the one that took least. */
static void read_both(uint64_t *at, uint64_t *ns)
{
	uint64_t least = UINT64_MAX;

	for (int i = 0; i < TRIES; i++) {
		struct timespec now;
		uint64_t before = ticks_now(), after;

		clock_gettime(CLOCK_MONOTONIC, &now);
		after = ticks_now();
		if (after - before >= least)
			continue;
		least = after - before;
		*at = before + least / 2;
		*ns = now.tv_sec * 1000000000ull + now.tv_nsec;
	}
}

void ticks_init(struct ticks *ticks)
{
	uint64_t at, ns;

	read_both(&ticks->base, &ticks->base_ns);
	do
		read_both(&at, &ns);
	while (ns - ticks->base_ns < FIRST_NS);
	ticks->ns_per_tick = ((ns - ticks->base_ns) << 32) / (at - ticks->base);
}

void ticks_follow(struct ticks *ticks)
{
	uint64_t at, ns;

	if (ticks_ns(ticks, ticks_now()) - ticks->base_ns < FOLLOW_NS)
		return;
	read_both(&at, &ns);
	ticks->ns_per_tick = ((unsigned __int128)(ns - ticks->base_ns) << 32) / (at - ticks->base);
	ticks->base = at;
	ticks->base_ns = ns;
}

uint64_t ticks_ns(const struct ticks *ticks, uint64_t at)
{
	__int128 since = (__int128)at - ticks->base;

	return ticks->base_ns + (int64_t)(since * ticks->ns_per_tick >> 32);
}
