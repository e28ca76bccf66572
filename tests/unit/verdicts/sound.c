/*
 * Programs that leak nothing: pools, caches, servers, batches. What they keep they use; what is
 * open at the end would be closed later, or belongs to the program for good. Times in seconds are
 * absolute; "part" means of the time watched.
 */
#include "lives.h"

enum { MEMBERS_MAX = 128 };

static double part(struct lives *lives, double low, double high)
{
	return lives->length_s * random_between(lives, low, high);
}

/* Opened one after the other, and kept. */
static void keep(struct lives *lives, uint32_t place, int count, double from_s, double until_s,
		 enum spread gaps)
{
	double now = from_s;

	for (int i = 0; i < count; i++) {
		life_add(lives, place, now, -1);
		now += random_about(lives, (until_s - from_s) / count, gaps);
	}
}

static void pool_at_start(struct lives *lives)
{
	double from_s = random_between(lives, 0, 0.5);

	keep(lives, 1, random_count(lives, 2, 32), from_s, from_s + random_scale(lives, 0.001, 0.5),
	     random_spread(lives));
}

/* For each worker a pair, of which the other end goes to it. */
static void pool_of_pairs(struct lives *lives)
{
	double now = random_between(lives, 0, 2);

	for (int i = random_count(lives, 2, 16); i--;) {
		life_add(lives, 1, now, -1);
		life_add(lives, 1, now, random_between(lives, 0.0001, 0.005));
		now += random_between(lives, 0.001, 0.02);
	}
}

/* A member a request, until there are enough. */
static void pool_filled_slowly(struct lives *lives)
{
	keep(lives, 1, random_count(lives, 4, 24), 0.1, random_between(lives, 1.5, 5),
	     random_spread(lives));
}

static void pool_of_late_start(struct lives *lives)
{
	double from_s = random_between(lives, 1, 5);

	keep(lives, 1, random_count(lives, 5, 32), from_s, from_s + random_scale(lives, 0.001, 0.3),
	     random_spread(lives));
}

/* Members are replaced: the open ones stay as many. */
static void replaced(struct lives *lives, uint32_t place, int members, double filled_s,
		     double life_s, enum spread lengths)
{
	for (int i = 0; i < members; i++) {
		double now = filled_s * (i + 1) / members;

		while (now < lives->length_s) {
			double life = random_about(lives, life_s, lengths);

			life_add(lives, place, now, life);
			now += life + random_between(lives, 0.001, 0.02);
		}
	}
}

static void pool_with_turnover(struct lives *lives)
{
	replaced(lives, 1, random_count(lives, 4, 32), random_scale(lives, 0.01, 1),
		 random_scale(lives, 3, 60), random_spread(lives));
}

static void idle_clients(struct lives *lives)
{
	replaced(lives, 1, random_count(lives, 5, 50), random_between(lives, 0.2, 3),
		 random_between(lives, 2, 8), random_spread(lives));
}

/* `skewed`: some entries are asked for again and again, and stay. */
static void lru(struct lives *lives, bool skewed)
{
	int capacity = random_count(lives, 8, 64), kept = skewed ? capacity / 2 : 0, used = 0;
	double rate = capacity / random_between(lives, 1, 5), opened[MEMBERS_MAX], now = 0.05;

	for (; now < lives->length_s; now += random_about(lives, 1 / rate, EXPONENTIAL)) {
		int slot = used < capacity ? used : kept + (used - capacity) % (capacity - kept);

		if (used >= capacity)
			life_add(lives, 1, opened[slot], now - opened[slot]);
		opened[slot] = now;
		used++;
	}
	for (int slot = 0; slot < capacity && slot < used; slot++)
		life_add(lives, 1, opened[slot], -1);
}

static void lru_cache(struct lives *lives)
{
	lru(lives, false);
}

static void lru_cache_skewed(struct lives *lives)
{
	lru(lives, true);
}

static void plain(struct lives *lives, double rate, double life_s, enum spread lengths)
{
	lives_traffic(lives, &(struct traffic){.place = 1,
					       .from_s = 0.05,
					       .until_s = lives->length_s,
					       .rate = rate,
					       .gaps = random_spread(lives),
					       .life_s = life_s,
					       .lengths = lengths});
}

static void ttl_cache(struct lives *lives)
{
	plain(lives, random_scale(lives, 2, 20), random_between(lives, 0.5, 4), ALIKE);
}

static void slow_transients(struct lives *lives)
{
	plain(lives, random_scale(lives, 1, 10), random_between(lives, 2, 3.5),
	      random_spread(lives));
}

static void fast_transients(struct lives *lives)
{
	plain(lives, random_scale(lives, 10, 300), random_scale(lives, 0.0002, 0.05),
	      random_spread(lives));
}

static void rare_transients(struct lives *lives)
{
	plain(lives, random_scale(lives, 0.3, 2), random_scale(lives, 0.01, 2),
	      random_spread(lives));
}

/* Most requests are over at once, a few take long. */
static void mixed_server(struct lives *lives)
{
	plain(lives, random_scale(lives, 20, 100), random_scale(lives, 0.005, 0.05), EXPONENTIAL);
	plain(lives, random_scale(lives, 0.5, 4), random_between(lives, 0.5, 2.5),
	      random_spread(lives));
}

/* Thousands of requests, and a few clients that stay for long. */
static void busy_with_idle_clients(struct lives *lives)
{
	plain(lives, random_scale(lives, 100, 2000) / (lives->length_s > 100 ? 10 : 1),
	      random_scale(lives, 0.0005, 0.01), EXPONENTIAL);
	replaced(lives, 1, random_count(lives, 4, 20), random_between(lives, 1, 4),
		 random_between(lives, 2, 6), random_spread(lives));
}

/* One length in a few is ten times the mean. */
static void heavy_tail(struct lives *lives)
{
	plain(lives, random_scale(lives, 5, 50), random_between(lives, 0.05, 0.3), LOGNORMAL);
	plain(lives, random_scale(lives, 0.5, 2), random_between(lives, 0.5, 2), LOGNORMAL);
}

static void bursts(struct lives *lives)
{
	double gap = random_between(lives, 0.7, 4), life = random_between(lives, 0.05, 0.6);

	for (double now = random_between(lives, 0, gap); now < lives->length_s; now += gap)
		for (int i = random_count(lives, 5, 40); i--;)
			life_add(lives, 1, now + 0.001 * i, random_about(lives, life, EVEN));
}

static void log_file(struct lives *lives)
{
	life_add(lives, 1, random_between(lives, 0, 5), -1);
}

static void log_rotation(struct lives *lives)
{
	double every = random_between(lives, 0.8, 6), now = 0.1;

	for (; now < lives->length_s; now += every)
		life_add(lives, 1, now, every + random_between(lives, -0.01, 0.05));
}

/* A file of each day or size stays open until the third one after it. */
static void log_generations(struct lives *lives)
{
	double every = random_between(lives, 0.5, 3), now = 0.1;

	for (; now < lives->length_s; now += every)
		life_add(lives, 1, now, 3 * every + 0.01);
}

static void listeners(struct lives *lives)
{
	life_add(lives, 1, 0.01, -1);
	keep(lives, 2, random_count(lives, 1, 4), 0.011, 0.013, ALIKE);
}

static void sawtooth(struct lives *lives)
{
	double every = random_between(lives, 1, 4), rate = random_scale(lives, 3, 30);

	for (double now = 0.05; now < lives->length_s; now += 1 / rate)
		life_add(lives, 1, now, every - (now - every * (int)(now / every)));
}

static void grown_then_shrunk(struct lives *lives)
{
	double top = part(lives, 0.3, 0.55), bottom = part(lives, 0.7, 0.95);
	int count = random_count(lives, 10, 60);

	for (int i = 0; i < count; i++)
		life_add(lives, 1, top * i / count,
			 top + (bottom - top) * random_between(lives, 0, 1) - top * i / count);
}

/* As many requests at once as there are clients, whose number rises for a while. */
static void load_to_a_plateau(struct lives *lives)
{
	double ramp = part(lives, 0.2, 0.6), life = random_scale(lives, 0.05, 1);
	int clients = random_count(lives, 10, 60);

	for (int i = 0; i < clients; i++)
		for (double now = ramp * i / clients; now < lives->length_s;) {
			double length = random_about(lives, life, EXPONENTIAL);

			life_add(lives, 1, now, length);
			now += length + random_about(lives, life / 2, EXPONENTIAL);
		}
}

static void clients_to_a_plateau(struct lives *lives)
{
	replaced(lives, 1, random_count(lives, 10, 60), part(lives, 0.15, 0.5),
		 random_between(lives, 2, 10), random_spread(lives));
}

/* What was opened while it got ready stays; what comes later is closed. */
static void warm_up(struct lives *lives)
{
	double ready = random_between(lives, 0.5, 2.5);

	keep(lives, 1, random_count(lives, 5, 30), 0.05, ready, random_spread(lives));
	lives_traffic(lives, &(struct traffic){.place = 1,
					       .from_s = 0.1,
					       .until_s = lives->length_s,
					       .rate = random_scale(lives, 3, 50),
					       .gaps = random_spread(lives),
					       .life_s = random_scale(lives, 0.001, 0.2),
					       .lengths = random_spread(lives)});
}

static void timers(struct lives *lives)
{
	plain(lives, random_scale(lives, 3, 30), random_between(lives, 0.05, 1), EVEN);
}

/* Day and night: the load goes up and down. */
static void waves(struct lives *lives)
{
	double period = random_between(lives, 1.5, 5), rate = random_scale(lives, 10, 60), now = 0;

	for (; now < lives->length_s; now += random_about(lives, 1 / rate, EXPONENTIAL)) {
		double phase = now / period - (int)(now / period);

		if (random_between(lives, 0, 1) < (phase < 0.5 ? 2 * phase : 2 - 2 * phase))
			life_add(lives, 1, now, random_about(lives, 0.4, EXPONENTIAL));
	}
}

/* A build: workers at their files, all of them closed, now and then more at once. */
static void build_jobs(struct lives *lives)
{
	for (double now = 0; now < lives->length_s; now += random_between(lives, 0.2, 1.5))
		for (int i = random_count(lives, 1, 8); i--;)
			life_add(lives, 1, now, random_scale(lives, 0.01, 3));
}

const struct scenario sound_scenarios[] = {
    {"pool at start", pool_at_start},
    {"pool of pairs", pool_of_pairs},
    {"pool filled slowly", pool_filled_slowly},
    {"pool of a late start", pool_of_late_start},
    {"pool with turnover", pool_with_turnover},
    {"idle clients", idle_clients},
    {"LRU cache", lru_cache},
    {"LRU cache, skewed", lru_cache_skewed},
    {"TTL cache", ttl_cache},
    {"slow transients", slow_transients},
    {"fast transients", fast_transients},
    {"rare transients", rare_transients},
    {"mixed server", mixed_server},
    {"busy with idle clients", busy_with_idle_clients},
    {"heavy tail", heavy_tail},
    {"bursts", bursts},
    {"log file", log_file},
    {"log rotation", log_rotation},
    {"log generations", log_generations},
    {"listeners", listeners},
    {"sawtooth", sawtooth},
    {"grown, then shrunk", grown_then_shrunk},
    {"load to a plateau", load_to_a_plateau},
    {"clients to a plateau", clients_to_a_plateau},
    {"warm-up", warm_up},
    {"timers", timers},
    {"waves", waves},
    {"build jobs", build_jobs},
    {0},
};
