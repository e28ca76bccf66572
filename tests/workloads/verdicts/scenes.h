/*
 * Scenes of programs that keep, pass on, close and forget handles: each runs in a thread of its own
 * until the process ends. A scene says of every place that it opens handles at how many it has
 * forgotten, which is the truth that verdicts are measured by.
 */
#ifndef WORKLOAD_VERDICTS_SCENES_H
#define WORKLOAD_VERDICTS_SCENES_H

#include "../workload.h"

#include <stdbool.h>
#include <stdint.h>

/* An opening function. One that has handles forgotten, ever, leaks. */
struct place {
	const char *function;
	const char *closer; /* the function that closes those that are closed; NULL: several do */
	uint32_t opened, leaked;
	bool known; /* in the list of this process */
};

/* The place whose handles the function `name` opens; `name_closes` closes them, where there is one.
 */
#define PLACE(name)            static struct place name##_place = {.function = #name}
#define PLACE_CLOSED(name, by) static struct place name##_place = {.function = #name, .closer = #by}

/* Counts what a place opened, and gives it back; ends the program when it could not. */
int opened(struct place *place, int number);
/* One of them will neither be used nor closed again. */
void forgotten(struct place *place);

/* Of a process that was forked from one that had scenes: its places begin anew. */
void places_forget(void);
void places_print(void);

double now_s(void);    /* since the program began */
double length_s(void); /* how long all of it lasts */
double part(double share);
void pause_s(double seconds);
/* About as long: a fifth more or less. */
void pause_about_s(double seconds);
double between(double low, double high);
uint32_t below(uint32_t limit);
/* How many times as often the rapid scene opens as the slowest collector can follow. */
uint32_t rapid(void);

struct scene {
	const char *name;
	void (*play)(void);
};

/* Each ends with a scene without a name. */
extern const struct scene pool_scenes[], server_scenes[], leak_scenes[], path_scenes[],
    object_scenes[], child_scenes[];

void scene_start(const struct scene *scene);

#endif
