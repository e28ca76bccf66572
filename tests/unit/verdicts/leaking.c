/*
 * Programs that forget handles: all of them, or on one way out of many, from the start, late, or
 * for a while. What is not leaked is used and closed.
 */
#include "lives.h"

/* Sound traffic at place 1, of which a part is forgotten. */
static void forget(struct lives *lives, double rate, double life_s, enum spread lengths,
		   double leaked)
{
	lives_traffic(lives, &(struct traffic){.place = 1,
					       .from_s = 0.05,
					       .until_s = lives->length_s,
					       .rate = rate,
					       .gaps = random_spread(lives),
					       .life_s = life_s,
					       .lengths = lengths,
					       .leaked = leaked});
}

static void all_forgotten(struct lives *lives)
{
	forget(lives, random_scale(lives, 0.8, 10), 1, ALIKE, 1);
}

static void slow_leak_alone(struct lives *lives)
{
	forget(lives, random_scale(lives, 0.3, 0.7), 1, ALIKE, 1);
}

static void one_in_ten_thousand(struct lives *lives)
{
	forget(lives, random_scale(lives, 5000, 10000) / (lives->length_s > 100 ? 10 : 1),
	       random_scale(lives, 0.0001, 0.005), random_spread(lives), 0.0001);
}

static void one_in_a_hundred(struct lives *lives)
{
	forget(lives, random_scale(lives, 50, 300), random_scale(lives, 0.0005, 0.05),
	       random_spread(lives), 0.01);
}

static void one_in_ten(struct lives *lives)
{
	forget(lives, random_scale(lives, 4, 40), random_scale(lives, 0.001, 0.2),
	       random_spread(lives), 0.1);
}

static void half(struct lives *lives)
{
	forget(lives, random_scale(lives, 2, 20), random_scale(lives, 0.001, 0.3),
	       random_spread(lives), 0.5);
}

static void slow_among_traffic(struct lives *lives)
{
	double rate = random_scale(lives, 20, 200);

	forget(lives, rate, random_scale(lives, 0.001, 0.1), random_spread(lives),
	       random_between(lives, 0.4, 1) / rate);
}

static void among_slow_transients(struct lives *lives)
{
	forget(lives, random_scale(lives, 3, 20), random_between(lives, 0.5, 2),
	       random_spread(lives), random_between(lives, 0.1, 0.3));
}

static void traffic_between(struct lives *lives, double from_s, double until_s, double rate,
			    double life_s, double leaked)
{
	lives_traffic(lives, &(struct traffic){.place = 1,
					       .from_s = from_s,
					       .until_s = until_s,
					       .rate = rate,
					       .gaps = random_spread(lives),
					       .life_s = life_s,
					       .lengths = random_spread(lives),
					       .leaked = leaked});
}

static void stops(struct lives *lives)
{
	double until = lives->length_s * random_between(lives, 0.5, 0.8);
	double rate = random_scale(lives, 20, 100), life = random_scale(lives, 0.001, 0.05);

	traffic_between(lives, 0.05, until, rate, life, random_between(lives, 0.03, 0.1));
	traffic_between(lives, until, lives->length_s, rate, life, 0);
}

static void begins_late(struct lives *lives)
{
	double from = lives->length_s * random_between(lives, 0.6, 0.75);
	double rate = random_scale(lives, 20, 100), life = random_scale(lives, 0.001, 0.05);

	traffic_between(lives, 0.05, from, rate, life, 0);
	traffic_between(lives, from, lives->length_s, rate, life, random_between(lives, 0.05, 0.2));
}

static void first_late(struct lives *lives)
{
	traffic_between(lives, lives->length_s * random_between(lives, 0.6, 0.75), lives->length_s,
			random_scale(lives, 1, 10), 1, 1);
}

static void in_bursts(struct lives *lives)
{
	double gap = random_between(lives, 0.7, 2.5), life = random_scale(lives, 0.01, 0.3);

	for (double now = random_between(lives, 0, gap); now < lives->length_s; now += gap) {
		for (int i = random_count(lives, 5, 40); i--;)
			life_add(lives, 1, now + 0.001 * i, random_about(lives, life, EVEN));
		for (int i = random_count(lives, 1, 2); i--;)
			life_leak(lives, 1, now + 0.003 * i);
	}
}

/* All of a batch are closed at its end, but one. */
static void batch_but_one(struct lives *lives)
{
	double every = random_between(lives, 0.5, 1.5), rate = random_scale(lives, 5, 30), end = 0;

	for (double now = 0.05; now < lives->length_s; now += 1 / rate)
		if (now >= end) {
			life_leak(lives, 1, now);
			end = every * (1 + (int)(now / every));
		} else {
			life_add(lives, 1, now, end - now);
		}
}

/* Of each pair one end is closed. */
static void one_end_of_a_pipe(struct lives *lives)
{
	double rate = random_scale(lives, 0.8, 10), life = random_scale(lives, 0.0005, 0.2), now;

	for (now = 0.05; now < lives->length_s; now += random_about(lives, 1 / rate, EVEN)) {
		life_leak(lives, 1, now);
		life_add(lives, 1, now, random_about(lives, life, EVEN));
	}
}

/* A cache with a capacity, whose evictions miss some entries. */
static void cache_that_forgets(struct lives *lives)
{
	int capacity = random_count(lives, 8, 32), used = 0;
	double rate = random_between(lives, 10, 40), opened[32], now = 0.05;

	for (; now < lives->length_s; now += random_about(lives, 1 / rate, EVEN)) {
		int slot = used % capacity;

		if (used++ >= capacity) {
			if (random_between(lives, 0, 1) < 0.1)
				life_leak(lives, 1, opened[slot]);
			else
				life_add(lives, 1, opened[slot], now - opened[slot]);
		}
		opened[slot] = now;
	}
	for (int slot = 0; slot < capacity && slot < used; slot++)
		life_add(lives, 1, opened[slot], -1);
}

static void with_rising_load(struct lives *lives)
{
	double rate = random_scale(lives, 10, 60), leaked = random_between(lives, 0.05, 0.2);

	for (double now = 0.05; now < lives->length_s; now += random_about(lives, 1 / rate, EVEN)) {
		if (random_between(lives, 0, lives->length_s) > now)
			continue;
		if (random_between(lives, 0, 1) < leaked)
			life_leak(lives, 1, now);
		else
			life_add(lives, 1, now, random_about(lives, 0.05, EXPONENTIAL));
	}
}

/* A pool whose broken members are replaced and not closed. */
static void pool_that_loses(struct lives *lives)
{
	int members = random_count(lives, 4, 24);

	for (int i = 0; i < members; i++)
		life_add(lives, 1, 0.05 + 0.005 * i, -1);
	traffic_between(lives, 0.5, lives->length_s, random_scale(lives, 0.4, 2), 1, 1);
}

/* Two callers of one wrapper: at place 2 nothing is forgotten. */
static void one_of_two_callers(struct lives *lives)
{
	forget(lives, random_scale(lives, 1, 10), random_scale(lives, 0.01, 0.2),
	       random_spread(lives), random_between(lives, 0.2, 1));
	lives_traffic(lives, &(struct traffic){.place = 2,
					       .until_s = lives->length_s,
					       .rate = random_scale(lives, 1, 10),
					       .gaps = random_spread(lives),
					       .life_s = random_scale(lives, 0.01, 0.2),
					       .lengths = random_spread(lives)});
}

static void heavy_tail_and_leak(struct lives *lives)
{
	forget(lives, random_scale(lives, 20, 100), random_between(lives, 0.02, 0.1), LOGNORMAL,
	       random_between(lives, 0.02, 0.1));
}

/* Sessions that live for seconds; those that end badly stay. */
static void idle_clients_and_leak(struct lives *lives)
{
	forget(lives, random_between(lives, 3, 8), random_between(lives, 0.5, 1.5),
	       random_spread(lives), random_between(lives, 0.15, 0.4));
}

static void waves_and_leak(struct lives *lives)
{
	double period = random_between(lives, 1.5, 4), rate = random_scale(lives, 20, 80), now = 0;

	for (; now < lives->length_s; now += random_about(lives, 1 / rate, EXPONENTIAL)) {
		double phase = now / period - (int)(now / period);

		if (random_between(lives, 0, 1) > (phase < 0.5 ? 2 * phase : 2 - 2 * phase))
			continue;
		if (random_between(lives, 0, 1) < 0.06)
			life_leak(lives, 1, now);
		else
			life_add(lives, 1, now, random_about(lives, 0.15, EXPONENTIAL));
	}
}

const struct scenario leaking_scenarios[] = {
    {"all forgotten", all_forgotten},
    {"slow leak alone", slow_leak_alone},
    {"1 in 10,000", one_in_ten_thousand},
    {"1 in 100", one_in_a_hundred},
    {"1 in 10", one_in_ten},
    {"half", half},
    {"slow among traffic", slow_among_traffic},
    {"among slow transients", among_slow_transients},
    {"stops", stops},
    {"begins late", begins_late},
    {"first late", first_late},
    {"in bursts", in_bursts},
    {"batch but one", batch_but_one},
    {"one end of a pipe", one_end_of_a_pipe},
    {"cache that forgets", cache_that_forgets},
    {"with rising load", with_rising_load},
    {"pool that loses", pool_that_loses},
    {"one of two callers", one_of_two_callers},
    {"heavy tail and leak", heavy_tail_and_leak},
    {"idle clients and leak", idle_clients_and_leak},
    {"waves and leak", waves_and_leak},
    {0},
};
