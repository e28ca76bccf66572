/* Owns the randomness of made-up programs, and the traffic that most of them have. */
#include "lives.h"

#include <math.h>

/* splitmix64: the same numbers for a seed on every machine. */
static uint64_t random_next(struct lives *lives)
{
	uint64_t value = lives->random += UINT64_C(0x9e3779b97f4a7c15);

	value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
	return value ^ value >> 31;
}

static double random_unit(struct lives *lives)
{
	return (double)(random_next(lives) >> 11) * 0x1p-53;
}

double random_between(struct lives *lives, double low, double high)
{
	return low + (high - low) * random_unit(lives);
}

double random_scale(struct lives *lives, double low, double high)
{
	return low * pow(high / low, random_unit(lives));
}

int random_count(struct lives *lives, int low, int high)
{
	return low + (int)(random_next(lives) % (uint64_t)(high - low + 1));
}

enum spread random_spread(struct lives *lives)
{
	return (enum spread)random_count(lives, ALIKE, LOGNORMAL);
}

double random_about(struct lives *lives, double mean, enum spread spread)
{
	double unit = random_unit(lives), other = random_unit(lives);

	switch (spread) {
	case ALIKE:
		return mean * (0.9 + 0.2 * unit);
	case EVEN:
		return mean * 2 * unit;
	case EXPONENTIAL:
		return -mean * log(1 - unit);
	case LOGNORMAL: /* sigma 1 about a median that gives this mean */
		return mean * exp(sqrt(-2 * log(1 - unit)) * cos(2 * M_PI * other) - 0.5);
	}
	return mean;
}

static uint64_t nanoseconds(double seconds)
{
	return (uint64_t)(seconds * 1e9);
}

void life_add(struct lives *lives, uint32_t place, double opened_s, double life_s)
{
	struct life life = {.opened_ns = nanoseconds(opened_s), .closed_ns = UINT64_MAX};

	if (opened_s < 0 || opened_s >= lives->length_s)
		return;
	life.place = place;
	if (life_s >= 0 && opened_s + life_s < lives->length_s)
		life.closed_ns = nanoseconds(opened_s + life_s) + 1;
	array_push(&lives->all, life);
}

void life_leak(struct lives *lives, uint32_t place, double opened_s)
{
	size_t before = lives->all.count;

	life_add(lives, place, opened_s, -1);
	if (lives->all.count > before)
		lives->all.data[before].leaked = true;
}

void lives_traffic(struct lives *lives, const struct traffic *traffic)
{
	double now = traffic->from_s + random_about(lives, 0.5 / traffic->rate, EVEN);

	while (now < traffic->until_s && now < lives->length_s) {
		if (traffic->leaked && random_unit(lives) < traffic->leaked)
			life_leak(lives, traffic->place, now);
		else
			life_add(lives, traffic->place, now,
				 random_about(lives, traffic->life_s, traffic->lengths));
		now += random_about(lives, 1 / traffic->rate, traffic->gaps);
	}
}
