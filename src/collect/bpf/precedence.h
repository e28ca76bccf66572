/*
 * Who empties the ring must run when it wants to, among any number of busy threads that fill it.
 * Being nice is not enough: a thread that has just begun to run is left alone for milliseconds.
 */
#ifndef HTRACE_COLLECT_BPF_PRECEDENCE_H
#define HTRACE_COLLECT_BPF_PRECEDENCE_H

#include <stdbool.h>

struct precedence {
	bool taken;
	int policy, priority, nice; /* as they were before */
};

/* For the calling thread, as far as it is permitted; its children get none of it. To be taken
 * after a fork whose child becomes the target. */
void precedence_take(struct precedence *precedence);

/* As it was before. Nothing where it was not taken. */
void precedence_drop(struct precedence *precedence);

#endif
