/* Owns how old an open handle must be to be kept, not merely in use. */
#include "trace/leak.h"

/* Closed ones that it takes to say how long a handle of a place lives; what is so many times older
 * than all but a thousandth of them, and not young, is kept. Where many are known and all lived
 * alike, less is enough. */
enum { LIVED_KNOWN_MIN = 5, OUTLIVES_TIMES = 8 };
enum { LIVED_MANY = 100, OUTLIVES_MANY_TIMES = 4 };
enum { LIVED_SOME = 20, LIVED_ALIKE = 5, OUTLIVES_ALIKE_TIMES = 2 };
static const uint64_t KEPT_AGE_NS = 500 * UINT64_C(1000000);

/* For so many kept ones at most one may have lived as long and been closed: else long lives are
 * usual here, only rarer than short ones. */
enum { CLOSED_TOO_SHARE = 8 };

/* A process that has run for this part of its time has what it keeps for good. */
enum { LATE_SHARE = 3 };

uint64_t leak_outlived(const struct leak_facts *facts)
{
	uint64_t times = OUTLIVES_TIMES;

	if (facts->lived_known < LIVED_KNOWN_MIN)
		return UINT64_MAX;
	if (facts->lived_known >= LIVED_MANY)
		times = OUTLIVES_MANY_TIMES;
	if (facts->lived_known >= LIVED_SOME &&
	    facts->lived_ns / LIVED_ALIKE <= facts->lived_half_ns)
		times = OUTLIVES_ALIKE_TIMES;
	return facts->lived_ns > UINT64_MAX / times ? UINT64_MAX : facts->lived_ns * times;
}

uint64_t leak_age_limit(const struct leak_facts *facts)
{
	uint64_t outlived = leak_outlived(facts);

	if (!facts->closed)
		return 0;
	return outlived > KEPT_AGE_NS ? outlived : KEPT_AGE_NS;
}

bool leak_lives_long(const struct leak_facts *facts)
{
	return facts->kept.closed > facts->kept.count / CLOSED_TOO_SHARE;
}

bool leak_kept_late(const struct leak_facts *facts)
{
	return facts->kept.count && facts->kept.since_ns > facts->watched_ns / LATE_SHARE;
}
