/*
 * Handles of programs that are made up: when each is opened and closed, at which place, and whether
 * the program has forgotten it. Scenarios write such lives by the second, with randomness of their
 * own; what they call leaked follows from what the program does, not from any rule.
 */
#ifndef HTRACE_TEST_VERDICTS_LIVES_H
#define HTRACE_TEST_VERDICTS_LIVES_H

#include "base/array.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct life {
	uint64_t opened_ns, closed_ns; /* UINT64_MAX: not within the time watched */
	uint32_t place;                /* from 1 */
	bool leaked;                   /* the program will neither use nor close it again */
};

struct lives {
	double length_s; /* how long the program is watched */
	uint64_t random; /* state of the generator */
	ARRAY(struct life) all;
};

/* How moments or lengths of life are spread about their mean. */
enum spread { ALIKE, EVEN, EXPONENTIAL, LOGNORMAL };

struct traffic {
	uint32_t place;
	double from_s, until_s; /* openings */
	double rate;            /* a second */
	enum spread gaps;
	double life_s; /* mean */
	enum spread lengths;
	double leaked; /* probability */
};

double random_between(struct lives *lives, double low, double high);
double random_scale(struct lives *lives, double low, double high); /* even on a logarithmic scale */
int random_count(struct lives *lives, int low, int high);          /* both included */
double random_about(struct lives *lives, double mean, enum spread spread);
enum spread random_spread(struct lives *lives);

/* life_s < 0: it stays open. */
void life_add(struct lives *lives, uint32_t place, double opened_s, double life_s);
void life_leak(struct lives *lives, uint32_t place, double opened_s);
void lives_traffic(struct lives *lives, const struct traffic *traffic);

struct scenario {
	const char *name;
	void (*write)(struct lives *lives);
};

/* Ended by a scenario without a name. */
extern const struct scenario sound_scenarios[], leaking_scenarios[];

#endif
