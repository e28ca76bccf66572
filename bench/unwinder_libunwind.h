/*
 * libunwind's remote interface as one more way to unwind, for comparison. Knows of the target
 * what the other unwinders know: the registers and stack of the event, and the mapped files.
 */
#ifndef HTRACE_BENCH_UNWINDER_LIBUNWIND_H
#define HTRACE_BENCH_UNWINDER_LIBUNWIND_H

#include "unwind/unwind.h"

extern const struct unwinder_ops unwinder_libunwind;

#endif
