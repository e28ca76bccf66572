/* trace/leak: every rule, on both sides of its threshold; and trace/duration. */
#include "trace/duration.h"
#include "trace/leak.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define S  UINT64_C(1000000000)
#define MS UINT64_C(1000000)

struct example {
	struct leak_facts facts;
	enum verdict verdict;
	const char *reason;
};

/* 12 ms is what the closed ones lived, in a minute and more. */
#define KEPT(...)                                                                                  \
	{                                                                                          \
		.opened = 12340, .closed = 12326, .open = 14, .open_most = 30,                     \
		.oldest_open_ns = 62 * S, .watched_ns = 70 * S, .burst_ns = 70 * S,                \
		.lived_known = 12326, .lived_ns = 12 * MS, .kept = {                               \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}

#define KEPT_ONE(since, ...)                                                                       \
	{                                                                                          \
		.opened = 12340, .closed = 12339, .open = 1, .open_most = 30,                      \
		.oldest_open_ns = 62 * S, .watched_ns = 70 * S, .burst_ns = 70 * S,                \
		.lived_known = 12339, .lived_ns = 12 * MS,                                         \
		.kept = {.count = 1, .since_ns = since},                                           \
		.kin = { __VA_ARGS__ }                                                             \
	}
#define ONE_STEADY                                                                                 \
	"12340 opened here, 12339 closed; 1 open, at most 30 at once; the oldest open is 62 s old"

/* They are closed after five seconds, and half of the open ones is much older. */
#define CACHE(...)                                                                                 \
	{                                                                                          \
		.opened = 300, .closed = 270, .open = 30, .open_most = 30,                         \
		.oldest_open_ns = 62 * S, .watched_ns = 70 * S, .burst_ns = 70 * S,                \
		.lived_known = 270, .lived_ns = 5 * S, .lived_half_ns = 4 * S,                     \
		.kept = {.count = 15, .span_ns = 9 * S, .since_ns = 30 * S}, .levels_known = true, \
		.levels = {                                                                        \
			{1, 26},                                                                   \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}

#define RISING(closed_n, ...)                                                                      \
	{                                                                                          \
		.opened = 80, .closed = closed_n, .open = 80 - closed_n, .open_most = 50,          \
		.oldest_open_ns = 62 * S, .watched_ns = 70 * S, .burst_ns = 70 * S,                \
		.levels_known = true, .levels = {                                                  \
			{1, 9},                                                                    \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}
#define NOT_RISING(closed_n, open_n)                                                               \
	"80 opened here, " closed_n " closed; " open_n                                             \
	" open, at most 50 at once; the oldest open is 62 s old"

#define FILLED(...)                                                                                \
	{                                                                                          \
		.opened = 8, .open_most = 8, .watched_ns = 80 * S, __VA_ARGS__                     \
	}

static const struct example examples[] = {
    {{.opened = 10, .open = 10, .open_most = 10}, VERDICT_LEAK, "10 opened here, none closed"},
    {{.opened = 2, .open = 2, .open_most = 2, .process_ended = 1},
     VERDICT_LEAK,
     "2 opened here, none closed"},
    {{.opened = 2, .open = 2, .open_most = 2, .burst_ns = 101 * MS},
     VERDICT_LEAK,
     "2 opened here, none closed"},
    {{.opened = 5, .open = 5, .open_most = 5}, VERDICT_LEAK, "5 opened here, none closed"},
    {{.opened = 1330, .closed = 1270, .open = 60, .open_most = 63},
     VERDICT_GROWING,
     "1330 opened here, 1270 closed; 60 open, near the most so far (63)"},
    {{.opened = 1330, .closed = 1270, .open = 60, .open_most = 64},
     VERDICT_TRANSIENT,
     "1330 opened here, all but 60 closed; the oldest open is 0 ns old"},
    {{.opened = 4, .open = 4, .open_most = 4, .burst_ns = 100 * MS},
     VERDICT_UNKNOWN,
     "4 opened here at once, none closed; so few are not called a leak yet"},
    {{.opened = 1, .open = 1, .open_most = 1},
     VERDICT_UNKNOWN,
     "1 opened here, not closed; one alone is not called a leak"},
    {{.opened = 2, .open = 2, .open_most = 2, .one_call = true},
     VERDICT_UNKNOWN,
     "2 opened here by one call, not closed; one call alone is not called a leak"},
    {{.opened = 3, .open = 3, .open_most = 3, .opening_unseen = true},
     VERDICT_UNKNOWN,
     "3 open, the opening was not seen"},
    {{.opened = 0, .open = 2}, VERDICT_UNKNOWN, "2 open, the opening was not seen"},
    /* Few of many that are much older than all that were closed, and were not kept at once. */
    {KEPT(.count = 13, .span_ns = 50 * S, .gap_ns = 9 * S, .since_ns = 60 * S), VERDICT_LEAK,
     "12340 opened here, 12326 closed, nearly all within 12 ms; 13 of the open ones are much "
     "older, up to 62 s"},
    /* A pool, filled within 6 s. */
    {KEPT(.count = 13, .span_ns = 6 * S, .gap_ns = 2 * S, .quiet_ns = 6 * S + 3,
	  .since_ns = 60 * S),
     VERDICT_STEADY,
     "12340 opened here, 12326 closed; 14 open, at most 30 at once; the oldest open is 62 s old"},
    /* Within so short a time, but it goes on. */
    {KEPT(.count = 13, .span_ns = 6 * S, .gap_ns = 2 * S, .quiet_ns = 6 * S, .since_ns = 60 * S),
     VERDICT_LEAK,
     "12340 opened here, 12326 closed, nearly all within 12 ms; 13 of the open ones are much "
     "older, up to 62 s"},
    /* One that is kept. */
    {KEPT(.count = 1), VERDICT_STEADY,
     "12340 opened here, 12326 closed; 14 open, at most 30 at once; the oldest open is 62 s old"},
    /* One that is kept, in three processes: late in two, late elsewhere only; late in one; in two.
     */
    {KEPT_ONE(24 * S, .keeping = 2, .late = 1), VERDICT_LEAK,
     "12340 opened here, 12339 closed, nearly all within 12 ms; one is much older, 62 s, and so in "
     "2 other processes of the same parent"},
    {KEPT_ONE(23 * S, .keeping = 2, .late = 2), VERDICT_LEAK,
     "12340 opened here, 12339 closed, nearly all within 12 ms; one is much older, 62 s, and so in "
     "2 other processes of the same parent"},
    {KEPT_ONE(23 * S, .keeping = 2, .late = 1), VERDICT_STEADY, ONE_STEADY},
    {KEPT_ONE(24 * S, .keeping = 1, .late = 1), VERDICT_STEADY, ONE_STEADY},
    /* Kept while it warmed up, and none of those that came later; a bit longer is no warming up. */
    {KEPT(.count = 13, .span_ns = 22 * S, .gap_ns = 5 * S, .quiet_ns = 15 * S, .since_ns = 23 * S),
     VERDICT_STEADY,
     "12340 opened here, 12326 closed; 14 open, at most 30 at once; the oldest open is 62 s old"},
    {KEPT(.count = 13, .span_ns = 22 * S, .gap_ns = 5 * S, .quiet_ns = 15 * S, .since_ns = 24 * S),
     VERDICT_LEAK,
     "12340 opened here, 12326 closed, nearly all within 12 ms; 13 of the open ones are much "
     "older, up to 62 s"},
    {KEPT(.count = 13, .span_ns = 22 * S, .gap_ns = 5 * S, .quiet_ns = 14 * S, .since_ns = 23 * S),
     VERDICT_LEAK,
     "12340 opened here, 12326 closed, nearly all within 12 ms; 13 of the open ones are much "
     "older, up to 62 s"},
    /* The better half of a cache that is full; one that is not. */
    {CACHE({30, 30}, {29, 30}, {29, 30}), VERDICT_STEADY,
     "300 opened here, 270 closed; 30 open, at most 30 at once; the oldest open is 62 s old"},
    {CACHE({27, 30}, {27, 30}, {27, 30}), VERDICT_STEADY,
     "300 opened here, 270 closed; 30 open, at most 30 at once; the oldest open is 62 s old"},
    {CACHE({27, 30}, {27, 30}, {26, 30}), VERDICT_LEAK,
     "300 opened here, 270 closed, nearly all within 5.0 s; 15 of the open ones are much older, "
     "up to 62 s"},
    {CACHE({27, 30}, {28, 30}, {29, 30}), VERDICT_LEAK,
     "300 opened here, 270 closed, nearly all within 5.0 s; 15 of the open ones are much older, "
     "up to 62 s"},
    /* The fewest at once rise: from the second quarter to the last by 5 and by a quarter, in the
     * last by a quarter of what they rose before; and the most are in the last one. */
    {RISING(60, {9, 20}, {13, 20}, {14, 21}), VERDICT_GROWING,
     "80 opened here, 60 closed; the fewest open at once in each quarter of the time: 1, 9, 13, "
     "14"},
    {RISING(60, {9, 20}, {12, 20}, {13, 21}), VERDICT_STEADY, NOT_RISING("60", "20")},
    {RISING(60, {19, 20}, {23, 24}, {24, 25}), VERDICT_STEADY, NOT_RISING("60", "20")},
    {RISING(60, {9, 20}, {18, 20}, {19, 21}), VERDICT_STEADY, NOT_RISING("60", "20")},
    {RISING(60, {9, 20}, {13, 21}, {14, 21}), VERDICT_STEADY, NOT_RISING("60", "20")},
    {RISING(60, {9, 21}, {13, 20}, {14, 21}), VERDICT_STEADY, NOT_RISING("60", "20")},
    {RISING(60, {9, 20}, {8, 20}, {14, 21}), VERDICT_STEADY, NOT_RISING("60", "20")},
    {RISING(60, {9, 20}, {14, 20}, {14, 21}), VERDICT_STEADY, NOT_RISING("60", "20")},
    /* Where less than half were closed, 3 are enough. */
    {RISING(40, {5, 6}, {7, 8}, {8, 9}), VERDICT_GROWING,
     "80 opened here, 40 closed; the fewest open at once in each quarter of the time: 1, 5, 7, 8"},
    {RISING(41, {5, 6}, {7, 8}, {8, 9}), VERDICT_STEADY, NOT_RISING("41", "39")},
    /* The sample: 50 rounds of 100 ms. Still opening at the end, so it is no pool. */
    {{.opened = 50,
      .open = 50,
      .open_most = 50,
      .burst_ns = 4900 * MS,
      .quiet_ns = 100 * MS,
      .watched_ns = 5 * S,
      .process_ended = 1},
     VERDICT_LEAK,
     "50 opened here, none closed"},
    /* A pool that was filled, and the ways of not being one. */
    {FILLED(.open = 8, .quiet_ns = 62 * S, .burst_ns = 12 * MS, .kept = {.gap_ns = 2 * MS}),
     VERDICT_STEADY, "8 opened here within 12 ms, none closed; none opened for 62 s since"},
    {FILLED(.open = 8, .quiet_ns = 5 * S, .burst_ns = 15 * S, .kept = {.gap_ns = 5 * S / 3}),
     VERDICT_STEADY, "8 opened here within 15 s, none closed; none opened for 5.0 s since"},
    {FILLED(.open = 8, .quiet_ns = 5 * S - 1, .burst_ns = 8 * S, .kept = {.gap_ns = 800 * MS}),
     VERDICT_LEAK, "8 opened here, none closed"},
    {FILLED(.open = 8, .quiet_ns = 5 * S, .burst_ns = 15 * S + 3, .kept = {.gap_ns = 1 * S}),
     VERDICT_LEAK, "8 opened here, none closed"},
    {FILLED(.open = 8, .quiet_ns = 5 * S, .burst_ns = 15 * S, .kept = {.gap_ns = 5 * S / 3 + 1}),
     VERDICT_LEAK, "8 opened here, none closed"},
    {FILLED(.open = 8, .quiet_ns = 62 * S, .burst_ns = 12 * MS, .after_snapshot = true),
     VERDICT_LEAK, "8 opened here, none closed"},
    {FILLED(.closed = 4, .open = 4, .quiet_ns = 6 * S, .burst_ns = 2 * S), VERDICT_STEADY,
     "8 opened here within 2.0 s, 4 closed; none opened for 6.0 s since"},
    {FILLED(.closed = 4, .open = 4, .quiet_ns = 6 * S, .burst_ns = 2 * S + 1), VERDICT_STEADY,
     "8 opened here, 4 closed; 4 open, at most 8 at once; the oldest open is 0 ns old"},
    {FILLED(.closed = 5, .open = 3, .quiet_ns = 6 * S, .burst_ns = 2 * S), VERDICT_STEADY,
     "8 opened here, 5 closed; 3 open, at most 8 at once; the oldest open is 0 ns old"},
    /* One alone stays unknown, however long it is quiet. */
    {{.opened = 1, .open = 1, .open_most = 1, .quiet_ns = 62 * S, .watched_ns = 62 * S},
     VERDICT_UNKNOWN,
     "1 opened here, not closed; one alone is not called a leak"},
    {{.opened = 40, .closed = 28, .open = 12, .open_most = 12, .oldest_open_ns = 5 * S},
     VERDICT_GROWING,
     "40 opened here, 28 closed; the 12 open are the most so far"},
    /* Over more than 2 s the levels tell, not the most so far. */
    {{.opened = 40, .closed = 28, .open = 12, .open_most = 12, .burst_ns = 2 * S + 1},
     VERDICT_STEADY,
     "40 opened here, 28 closed; 12 open, at most 12 at once; the oldest open is 0 ns old"},
    {{.opened = 40, .closed = 28, .open = 12, .open_most = 13, .oldest_open_ns = 5 * S},
     VERDICT_STEADY,
     "40 opened here, 28 closed; 12 open, at most 13 at once; the oldest open is 5.0 s old"},
    {{.opened = 4, .closed = 1, .open = 3, .open_most = 3},
     VERDICT_GROWING,
     "4 opened here, 1 closed; the 3 open are the most so far"},
    {{.opened = 3, .closed = 1, .open = 2, .open_most = 2},
     VERDICT_UNKNOWN,
     "3 opened here, 1 closed; 2 open: too few to tell"},
    {{.opened = 1000, .closed = 999, .open = 1, .open_most = 4, .oldest_open_ns = 8 * MS},
     VERDICT_TRANSIENT,
     "1000 opened here, all but 1 closed; the oldest open is 8 ms old"},
    {{.opened = 1000, .closed = 998, .open = 2, .open_most = 4, .oldest_open_ns = 10 * S},
     VERDICT_STEADY,
     "1000 opened here, 998 closed; 2 open, at most 4 at once; the oldest open is 10 s old"},
    /* A snapshot: the counts are the place's, the report looks at some only. */
    {{.opened = 10, .open = 4, .open_most = 10},
     VERDICT_LEAK,
     "10 opened here, none closed; 4 of the open ones since the snapshot"},
    {{.opened = UINT64_MAX, .open = UINT64_MAX, .open_most = UINT64_MAX},
     VERDICT_LEAK,
     "18446744073709551615 opened here, none closed"},
};

static void test_rules(void **state)
{
	char reason[LEAK_REASON_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(examples) / sizeof(*examples); i++) {
		enum verdict verdict = leak_judge(&examples[i].facts, reason, sizeof(reason));

		assert_string_equal(reason, examples[i].reason);
		assert_string_equal(verdict_name(verdict), verdict_name(examples[i].verdict));
	}
}

/* The longest reason fits, and a smaller buffer is not overrun. */
static void test_reason_size(void **state)
{
	struct leak_facts facts = {
	    .opened = UINT64_MAX,
	    .closed = UINT64_MAX / 2,
	    .open = UINT64_MAX / 2 - 1,
	    .open_most = UINT64_MAX,
	    .oldest_open_ns = UINT64_MAX,
	};
	char reason[LEAK_REASON_BYTES], little[8] = "1234567";

	(void)state;
	assert_int_equal(leak_judge(&facts, reason, sizeof(reason)), VERDICT_STEADY);
	assert_int_equal(strlen(reason) < sizeof(reason) - 1, 1);
	leak_judge(&facts, little, 4);
	assert_string_equal(little, "184");
	assert_string_equal(little + 4, "567");
}

static void test_ranks(void **state)
{
	const enum verdict order[] = {VERDICT_LEAK, VERDICT_GROWING, VERDICT_UNKNOWN,
				      VERDICT_STEADY, VERDICT_TRANSIENT};

	(void)state;
	for (int i = 1; i < 5; i++)
		assert_true(verdict_rank(order[i - 1]) < verdict_rank(order[i]));
}

static void test_durations(void **state)
{
	static const struct {
		uint64_t ns;
		const char *words;
	} lengths[] = {
	    {0, "0 ns"},
	    {999, "999 ns"},
	    {1000, "1 us"},
	    {999999, "999 us"},
	    {12 * MS, "12 ms"},
	    {S - 1, "999 ms"},
	    {S, "1.0 s"},
	    {9999 * MS, "9.9 s"},
	    {62 * S, "62 s"},
	    {120 * S, "2 min"},
	    {125 * S, "2 min 5 s"},
	    {3600 * S, "1 h"},
	    {3661 * S, "1 h 1 min"},
	    {50 * 3600 * S, "2 days 2 h"},
	    {UINT64_MAX, "213503 days 23 h"},
	};
	char words[DURATION_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++)
		assert_string_equal(duration_write(lengths[i].ns, words), lengths[i].words);
}

static void test_age_limit(void **state)
{
	static const struct {
		struct leak_facts facts;
		uint64_t limit_ns;
	} limits[] = {
	    {{.opened = 9}, 0},
	    {{.closed = 4, .lived_known = 4, .lived_ns = MS}, UINT64_MAX},
	    {{.closed = 5, .lived_known = 5, .lived_ns = MS}, 500 * MS},
	    {{.closed = 5, .lived_known = 5, .lived_ns = S, .lived_half_ns = S}, 8 * S},
	    {{.closed = 99, .lived_known = 99, .lived_ns = S, .lived_half_ns = S / 5 - 1}, 8 * S},
	    {{.closed = 100, .lived_known = 100, .lived_ns = S, .lived_half_ns = MS}, 4 * S},
	    {{.closed = 20, .lived_known = 20, .lived_ns = S, .lived_half_ns = S / 5}, 2 * S},
	    {{.closed = 5, .lived_known = 5, .lived_ns = UINT64_MAX / 4}, UINT64_MAX},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++)
		assert_int_equal(leak_age_limit(&limits[i].facts), limits[i].limit_ns);
}

/* Of eight kept ones one more may have been closed. */
static void test_lives_long(void **state)
{
	(void)state;
	assert_false(leak_lives_long(&(struct leak_facts){.kept = {.count = 8, .closed = 1}}));
	assert_true(leak_lives_long(&(struct leak_facts){.kept = {.count = 8, .closed = 2}}));
	assert_true(leak_lives_long(&(struct leak_facts){.kept = {.count = 7, .closed = 1}}));
	assert_false(leak_lives_long(&(struct leak_facts){.kept = {.count = 2}}));
}

static void test_kept_late(void **state)
{
	const struct leak_facts late = {.watched_ns = 9, .kept = {.count = 1, .since_ns = 4}};
	const struct leak_facts early = {.watched_ns = 9, .kept = {.count = 1, .since_ns = 3}};
	const struct leak_facts none = {.watched_ns = 9, .kept = {.since_ns = 4}};

	(void)state;
	assert_true(leak_kept_late(&late));
	assert_false(leak_kept_late(&early));
	assert_false(leak_kept_late(&none));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_age_limit),   cmocka_unit_test(test_lives_long),
	    cmocka_unit_test(test_kept_late),   cmocka_unit_test(test_rules),
	    cmocka_unit_test(test_reason_size), cmocka_unit_test(test_ranks),
	    cmocka_unit_test(test_durations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
