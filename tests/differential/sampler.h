/*
 * Stacks of all threads of a live program, one after the other, caught at random moments. Knows
 * nothing of unwinding.
 */
#ifndef HTRACE_TESTS_SAMPLER_H
#define HTRACE_TESTS_SAMPLER_H

#include "base/array.h"
#include "unwind_capture.h"

struct sampler {
	ARRAY(pid_t) threads;
	bool attached;          /* it is not ours to end */
	struct capture capture; /* of the thread that was caught last */
};

/* Starts `argv`; false where it cannot be started or traced. sampler_end() ends it. */
bool sampler_start(struct sampler *sampler, char *const argv[]);

/* Takes a program that runs; sampler_end() lets it go on. */
bool sampler_attach(struct sampler *sampler, pid_t pid);
void sampler_end(struct sampler *sampler);

/*
 * Lets it run for `us` microseconds, catches a thread and makes sampler->capture.event of it. The
 * other threads run on. False: the program has ended.
 */
bool sampler_next(struct sampler *sampler, unsigned us);

#endif
