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

/* A place that has been opening for longer shows by its levels whether it grows. */
static const uint64_t AT_MOST_BURST_NS = 2 * UINT64_C(1000000000);

/* How much the fewest open at once must rise from the second quarter of the time to the last, as a
 * number and as a part of what they are then; and in the last quarter, against the one before. */
enum { RISE_MIN = 5, RISE_UNCLOSED_MIN = 3, RISE_SHARE = 4, RISE_SLOWER = 4 };

/* Where the closed ones live for a good part of the time watched, the old ones that are open may be
 * the better half of a cache: its level is flat. */
enum { LIVED_SHORT_SHARE = 8, FLAT_SHARE = 10 };

/* What stops opening, for this long and several times the longest gap before, is filled. */
static const uint64_t FILLED_QUIET_NS = 5 * UINT64_C(1000000000);
enum { FILLED_GAPS = 3 };

/* Of a place that goes on, what is kept and was opened in the first third is its warming up. */
enum { WARM_UP_SHARE = 3 };

/* What is kept was opened over this part of the time in which the place opened: else, at once. */
enum { KEPT_SHARE = 10, KEPT_MIN = 2, KEPT_LATE_SHARE = 30, KEPT_LATE_MIN = 3 };

/* Fewer than LEAK_AT_ONCE_MIN that were opened within this time are "a few at once". */
static const uint64_t AT_ONCE_NS = 100 * UINT64_C(1000000);

/* Few of many that are younger than this are handles in use. */
static const uint64_t TRANSIENT_AGE_NS = 10 * UINT64_C(1000000000);

/* One that is kept, in each of that many other processes of the same parent. */
enum { KIN_MIN = 2 };

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

/* Opened what it needs, and has stopped: a leak would have gone on; unless somebody took a
 * snapshot, did one thing, and asks what it has left. */
static bool rule_filled(const struct judgement *judgement)
{
	const struct leak_facts *facts = judgement->facts;
	char quiet[DURATION_BYTES], burst[DURATION_BYTES], closed[32] = "none";

	if (facts->after_snapshot || facts->quiet_ns < FILLED_QUIET_NS ||
	    facts->quiet_ns < facts->burst_ns / FILLED_GAPS)
		return false;
	if (facts->closed ? facts->closed > facts->opened / 2 ||
				facts->quiet_ns / FILLED_GAPS < facts->burst_ns
			  : facts->quiet_ns / FILLED_GAPS < facts->kept.gap_ns)
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

/* A place that keeps some while it warms up, and none of those that it opens later. */
static bool warmed_up(const struct leak_facts *facts)
{
	return facts->kept.quiet_ns >= FILLED_QUIET_NS &&
	       facts->kept.quiet_ns / FILLED_GAPS >= facts->kept.gap_ns &&
	       facts->kept.since_ns <= facts->watched_ns / WARM_UP_SHARE;
}

/* What was kept at once, early or in a burst, is a pool: unless it is still going on. */
static bool kept_all_the_while(const struct leak_facts *facts)
{
	const struct kept *kept = &facts->kept;

	if (kept->span_ns >= facts->burst_ns / KEPT_SHARE)
		return true;
	return kept->count >= KEPT_LATE_MIN && kept->quiet_ns / FILLED_GAPS <= kept->gap_ns &&
	       kept->span_ns >= facts->burst_ns / KEPT_LATE_SHARE;
}

static bool is_flat(const struct level *level)
{
	return level->fewest >= level->most - level->most / FLAT_SHARE;
}

/* A cache at its capacity: an entry is closed when one is opened. */
static bool is_full(const struct leak_facts *facts)
{
	return facts->levels_known &&
	       leak_outlived(facts) > facts->watched_ns / LIVED_SHORT_SHARE &&
	       facts->levels[3].fewest <= facts->levels[2].fewest && is_flat(&facts->levels[2]) &&
	       is_flat(&facts->levels[3]);
}

/*
 * The closed ones lived shortly, these do not end. They were opened all the while: what was kept at
 * once, early or in a burst, is a pool.
 */
static bool rule_kept(const struct judgement *judgement)
{
	const struct leak_facts *facts = judgement->facts;
	char lived[DURATION_BYTES], oldest[DURATION_BYTES];

	if (!facts->closed || facts->kept.count < KEPT_MIN || !kept_all_the_while(facts) ||
	    warmed_up(facts) || is_full(facts))
		return false;
	snprintf(judgement->reason, judgement->reason_bytes,
		 "%" PRIu64 " opened here, %" PRIu64 " closed, nearly all within %s; %" PRIu64
		 " of the open ones are much older, up to %s",
		 facts->opened, facts->closed, duration_write(facts->lived_ns, lived),
		 facts->kept.count, duration_write(facts->oldest_open_ns, oldest));
	return true;
}

/* One is no more than one; in many processes that do the same it is no chance. What each of them
 * keeps from its beginning on is its own. */
static bool rule_kept_by_kin(const struct judgement *judgement)
{
	const struct leak_facts *facts = judgement->facts;
	const struct kin *kin = &facts->kin;
	char lived[DURATION_BYTES], oldest[DURATION_BYTES];

	if (!facts->closed || facts->kept.count != 1 || kin->keeping < KIN_MIN ||
	    2 * (kin->late + leak_kept_late(facts)) < kin->keeping + 1)
		return false;
	snprintf(judgement->reason, judgement->reason_bytes,
		 "%" PRIu64 " opened here, %" PRIu64 " closed, nearly all within %s; one is much "
		 "older, %s, and so in %u other processes of the same parent",
		 facts->opened, facts->closed, duration_write(facts->lived_ns, lived),
		 duration_write(facts->oldest_open_ns, oldest), kin->keeping);
	return true;
}

/*
 * The fewest open at once rise from quarter to quarter, by more than chance would have it, and the
 * most are in the last one: a place that fills up and stays full has them before.
 */
static bool rises(const struct leak_facts *facts)
{
	const struct level *part = facts->levels;
	uint64_t before = part[1].fewest, then = part[2].fewest, now = part[3].fewest;

	if (before > then || part[3].most <= part[2].most || part[3].most <= part[1].most)
		return false;
	if (facts->closed <= facts->opened / 2)
		return now >= then && now - before >= RISE_UNCLOSED_MIN;
	return then < now && now - before >= RISE_MIN && now - before >= now / RISE_SHARE &&
	       now - then >= (then - before) / RISE_SLOWER;
}

static bool rule_rising(const struct judgement *judgement)
{
	const struct leak_facts *facts = judgement->facts;
	const struct level *part = facts->levels;

	if (!facts->levels_known || !rises(facts))
		return false;
	snprintf(judgement->reason, judgement->reason_bytes,
		 "%" PRIu64 " opened here, %" PRIu64
		 " closed; the fewest open at once in each quarter of the time: %u, %u, %u, %u",
		 facts->opened, facts->closed, part[0].fewest, part[1].fewest, part[2].fewest,
		 part[3].fewest);
	return true;
}

static bool rule_at_its_most(const struct judgement *judgement)
{
	const struct leak_facts *facts = judgement->facts;

	/* A leak may share its place (an interpreter has few) with handles that come and go: then
	 * a few less than the most are open at any moment. */
	if (facts->burst_ns > AT_MOST_BURST_NS || judgement->still < GROWING_OPEN_MIN ||
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
    {rule_one_call, VERDICT_UNKNOWN},    {rule_filled, VERDICT_STEADY},
    {rule_kept, VERDICT_LEAK},           {rule_kept_by_kin, VERDICT_LEAK},
    {rule_few_at_once, VERDICT_UNKNOWN}, {rule_none_closed, VERDICT_LEAK},
    {rule_rising, VERDICT_GROWING},      {rule_at_its_most, VERDICT_GROWING},
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
