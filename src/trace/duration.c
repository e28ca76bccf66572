/* Owns the choice of the unit for a length of time. Knows nothing of what is measured. */
#include "trace/duration.h"

#include <inttypes.h>
#include <stdio.h>

enum {
	NS_PER_US = 1000,
	NS_PER_MS = 1000 * 1000,
	NS_PER_S = 1000 * 1000 * 1000,
};

static void write_two(uint64_t big, const char *big_unit, uint64_t small, const char *small_unit,
		      char *out)
{
	if (small)
		snprintf(out, DURATION_BYTES, "%" PRIu64 " %s %" PRIu64 " %s", big, big_unit, small,
			 small_unit);
	else
		snprintf(out, DURATION_BYTES, "%" PRIu64 " %s", big, big_unit);
}

char *duration_write(uint64_t ns, char out[static DURATION_BYTES])
{
	uint64_t s = ns / NS_PER_S;

	if (ns < NS_PER_US)
		snprintf(out, DURATION_BYTES, "%" PRIu64 " ns", ns);
	else if (ns < NS_PER_MS)
		snprintf(out, DURATION_BYTES, "%" PRIu64 " us", ns / NS_PER_US);
	else if (s < 1)
		snprintf(out, DURATION_BYTES, "%" PRIu64 " ms", ns / NS_PER_MS);
	else if (s < 10)
		snprintf(out, DURATION_BYTES, "%" PRIu64 ".%" PRIu64 " s", s,
			 ns % NS_PER_S / (NS_PER_S / 10));
	else if (s < 120)
		snprintf(out, DURATION_BYTES, "%" PRIu64 " s", s);
	else if (s < 3600)
		write_two(s / 60, "min", s % 60, "s", out);
	else if (s < 48 * 3600)
		write_two(s / 3600, "h", s / 60 % 60, "min", out);
	else
		write_two(s / 86400, "days", s / 3600 % 24, "h", out);
	return out;
}
