/* Lengths of time in words, as a person says them: "12 ms", "1.5 s", "62 s", "3 h 20 min". */
#ifndef HTRACE_TRACE_DURATION_H
#define HTRACE_TRACE_DURATION_H

#include <stdint.h>

enum { DURATION_BYTES = 40 };

/* Writes `duration_ns` into `out`, rounded down to what matters, and returns `out`. */
char *duration_write(uint64_t duration_ns, char out[static DURATION_BYTES]);

#endif
