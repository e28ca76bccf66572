/*
 * Owns the rules that tell a leak from a pool and from handles that merely are in use. Each rule
 * is one function that says its numbers; the first that applies decides. Knows counts and lengths
 * of time only, not where the place is.
 */
#include "trace/leak.h"

#include "trace/duration.h"

#include <inttypes.h>
#include <stdio.h>

enum {
	/* One handle opened and kept is a log file or an epoll instance more often than a leak. */
	LEAK_OPENED_MIN = 2,

	LEAK_AT_ONCE_MIN = 5,

	/* Fewer that are open besides closed siblings are a moment's chance. */
	GROWING_OPEN_MIN = 3,

	/* So large a part less than the most open at once is as good as the most. */
	AT_MOST_SLACK = 20,

	/* "Few of many": at most one of this many opened is still open. */
	FEW_OF = 10,
};

/* A place that opened all it has in the first tenth of the time watched, and nothing in the ten
 * seconds or more since, fills a pool: a leak would have gone on. */
static const uint64_t POOL_QUIET_NS = 10 * UINT64_C(1000000000);
enum { POOL_SHARE = 10 };

/* Fewer than LEAK_AT_ONCE_MIN that were opened within this time are "a few at once". */
static const uint64_t AT_ONCE_NS = 100 * UINT64_C(1000000);

/* Few of many that are younger than this are handles in use. */
static const uint64_t TRANSIENT_AGE_NS = 10 * UINT64_C(1000000000);

/* Closed ones that it takes to say how long a handle of a place lives; what is so many times older
 * than all but a thousandth of them, and not young, is forgotten. */
enum { LIVED_KNOWN_MIN = 20, OUTLIVES_TIMES = 8, OUTLIERS_MIN = 2 };
static const uint64_t OUTLIER_AGE_NS = 500 * UINT64_C(1000000);

bool leak_outlives(uint64_t age_ns, uint64_t lived_ns)
{
	return age_ns >= OUTLIER_AGE_NS && age_ns / OUTLIVES_TIMES > lived_ns;
}

struct judgement {
	const struct leak_facts *facts;
	uint64_t still; /* open now, before a snapshot or after it */
	char *reason;
	size_t reason_bytes;
};

static bool rule_unseen(const struct judgement *judgement)
{
	if (!judgement->facts->opening_unseen && judgement->facts->opened)
		return false;
	snprintf(judgement->reason, judgement->reason_bytes,
		 "%" PRIu64 " open, the opening was not seen", judgement->facts->open);
	return true;
}

static bool rule_single(const struct judgement *judgement)
{
	if (judgement->facts->opened >= LEAK_OPENED_MIN || judgement->facts->closed)
		return false;
	snprintf(judgement->reason, judgement->reason_bytes,
		 "1 opened here, not closed; one alone is not called a leak");
	return true;
}

/* pipe, socketpair and recvmsg open several at once: that is one opening, as of rule_single(). */
static bool rule_one_call(const struct judgement *judgement)
{
	if (!judgement->facts->one_call || judgement->facts->closed)
		return false;
	snprintf(judgement->reason, judgement->reason_bytes,
		 "%" PRIu64
		 " opened here by one call, not closed; one call alone is not called a leak",
		 judgement->facts->opened);
	return true;
}

/* A server that runs on and opened a few things together (its logs, the sockets to its workers) is
 * setting itself up, as far as one can tell. */
static bool rule_few_at_once(const struct judgement *judgement)
{
	const struct leak_facts *facts = judgement->facts;

	if (facts->process_ended || facts->closed || facts->opened >= LEAK_AT_ONCE_MIN ||
	    facts->burst_ns > AT_ONCE_NS)
		return false;
	snprintf(judgement->reason, judgement->reason_bytes,
		 "%" PRIu64 " opened here at once, none closed; so few are not called a leak yet",
		 facts->opened);
	return true;
}

static bool rule_pool(const struct judgement *judgement)
{
	const struct leak_facts *facts = judgement->facts;
	uint64_t early_ns = facts->watched_ns / POOL_SHARE;
	char quiet[DURATION_BYTES], burst[DURATION_BYTES], closed[32] = "none";

	if (facts->quiet_ns < POOL_QUIET_NS || facts->quiet_ns < facts->watched_ns - early_ns)
		return false;
	if (facts->closed)
		snprintf(closed, sizeof(closed), "%" PRIu64, facts->closed);
	snprintf(judgement->reason, judgement->reason_bytes,
		 "%" PRIu64 " opened here within %s, %s closed; none opened for %s since",
		 facts->opened, duration_write(facts->burst_ns, burst), closed,
		 duration_write(facts->quiet_ns, quiet));
	return true;
}

static bool rule_none_closed(const struct judgement *judgement)
{
	if (judgement->facts->closed)
		return false;
	snprintf(judgement->reason, judgement->reason_bytes, "%" PRIu64 " opened here, none closed",
		 judgement->facts->opened);
	return true;
}

/*
 * The closed ones lived shortly, these do not end. They were opened all the while: what was kept at
 * once, early or in a burst, is a pool.
 */
static bool rule_outlived(const struct judgement *judgement)
{
	const struct leak_facts *facts = judgement->facts;
	char lived[DURATION_BYTES], oldest[DURATION_BYTES];

	if (facts->lived_known < LIVED_KNOWN_MIN || facts->outliers < OUTLIERS_MIN ||
	    facts->outliers_ns < facts->watched_ns / POOL_SHARE)
		return false;
	snprintf(judgement->reason, judgement->reason_bytes,
		 "%" PRIu64 " opened here, %" PRIu64 " closed, nearly all within %s; %" PRIu64
		 " of the open ones are much older, up to %s",
		 facts->opened, facts->closed, duration_write(facts->lived_ns, lived),
		 facts->outliers, duration_write(facts->oldest_open_ns, oldest));
	return true;
}

static bool rule_at_its_most(const struct judgement *judgement)
{
	const struct leak_facts *facts = judgement->facts;

	/* A leak may share its place (an interpreter has few) with handles that come and go: then
	 * a few less than the most are open at any moment. */
	if (judgement->still < GROWING_OPEN_MIN ||
	    judgement->still < facts->open_most - facts->open_most / AT_MOST_SLACK)
		return false;
	if (judgement->still < facts->open_most) {
		snprintf(judgement->reason, judgement->reason_bytes,
			 "%" PRIu64 " opened here, %" PRIu64 " closed; %" PRIu64
			 " open, near the most so far (%" PRIu64 ")",
			 facts->opened, facts->closed, judgement->still, facts->open_most);
		return true;
	}
	snprintf(judgement->reason, judgement->reason_bytes,
		 "%" PRIu64 " opened here, %" PRIu64 " closed; the %" PRIu64
		 " open are the most so far",
		 facts->opened, facts->closed, judgement->still);
	return true;
}

static bool few_of_many(const struct judgement *judgement)
{
	return judgement->still <= judgement->facts->opened / FEW_OF;
}

static bool rule_in_use(const struct judgement *judgement)
{
	const struct leak_facts *facts = judgement->facts;
	char oldest[DURATION_BYTES];

	if (!few_of_many(judgement) || facts->oldest_open_ns >= TRANSIENT_AGE_NS)
		return false;
	snprintf(judgement->reason, judgement->reason_bytes,
		 "%" PRIu64 " opened here, all but %" PRIu64 " closed; the oldest open is %s old",
		 facts->opened, judgement->still, duration_write(facts->oldest_open_ns, oldest));
	return true;
}

static bool rule_below_its_most(const struct judgement *judgement)
{
	const struct leak_facts *facts = judgement->facts;
	char oldest[DURATION_BYTES];

	if (!few_of_many(judgement) && judgement->still < GROWING_OPEN_MIN)
		return false;
	snprintf(judgement->reason, judgement->reason_bytes,
		 "%" PRIu64 " opened here, %" PRIu64 " closed; %" PRIu64 " open, at most %" PRIu64
		 " at once; the oldest open is %s old",
		 facts->opened, facts->closed, judgement->still, facts->open_most,
		 duration_write(facts->oldest_open_ns, oldest));
	return true;
}

static bool rule_too_few(const struct judgement *judgement)
{
	snprintf(judgement->reason, judgement->reason_bytes,
		 "%" PRIu64 " opened here, %" PRIu64 " closed; %" PRIu64 " open: too few to tell",
		 judgement->facts->opened, judgement->facts->closed, judgement->still);
	return true;
}

/* In this order; the last one always applies. */
static const struct rule {
	bool (*applies)(const struct judgement *judgement);
	enum verdict verdict;
} rules[] = {
    {rule_unseen, VERDICT_UNKNOWN},      {rule_single, VERDICT_UNKNOWN},
    {rule_one_call, VERDICT_UNKNOWN},    {rule_pool, VERDICT_STEADY},
    {rule_few_at_once, VERDICT_UNKNOWN}, {rule_none_closed, VERDICT_LEAK},
    {rule_outlived, VERDICT_LEAK},       {rule_at_its_most, VERDICT_GROWING},
    {rule_in_use, VERDICT_TRANSIENT},    {rule_below_its_most, VERDICT_STEADY},
    {rule_too_few, VERDICT_UNKNOWN},
};

/* The counts are the place's since tracing began; tells how many of them the report looks at. */
static void add_since_snapshot(const struct judgement *judgement)
{
	size_t used = 0;

	if (judgement->facts->open >= judgement->still)
		return;
	while (used < judgement->reason_bytes && judgement->reason[used])
		used++;
	snprintf(judgement->reason + used, judgement->reason_bytes - used,
		 "; %" PRIu64 " of the open ones since the snapshot", judgement->facts->open);
}

enum verdict leak_judge(const struct leak_facts *facts, char *reason, size_t reason_bytes)
{
	const struct rule *rule = rules;
	struct judgement judgement = {
	    .facts = facts,
	    .still = facts->open,
	    .reason = reason,
	    .reason_bytes = reason_bytes,
	};

	if (facts->opened > facts->closed && facts->opened - facts->closed > facts->open)
		judgement.still = facts->opened - facts->closed;
	while (!rule->applies(&judgement))
		rule++;
	add_since_snapshot(&judgement);
	return rule->verdict;
}

const char *verdict_name(enum verdict verdict)
{
	static const char *const names[] = {
	    [VERDICT_LEAK] = "leak",       [VERDICT_GROWING] = "growing",
	    [VERDICT_STEADY] = "steady",   [VERDICT_TRANSIENT] = "transient",
	    [VERDICT_UNKNOWN] = "unknown",
	};

	return names[verdict];
}

int verdict_rank(enum verdict verdict)
{
	static const int ranks[] = {
	    [VERDICT_LEAK] = 0,   [VERDICT_GROWING] = 1,   [VERDICT_UNKNOWN] = 2,
	    [VERDICT_STEADY] = 3, [VERDICT_TRANSIENT] = 4,
	};

	return ranks[verdict];
}
