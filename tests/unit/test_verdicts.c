/*
 * Precision and recall of the verdicts `leak` and `growing`, over made-up programs of which it is
 * known what they forget (verdicts/): the model and the rules see what they would see of a real
 * one, on a clock of their own. HTRACE_VERDICTS_SEED is another seed to begin with,
 * HTRACE_VERDICTS_TELL a part of a scenario's name: its verdicts are printed with their reasons.
 */
#include "model/model.h"
#include "trace/diff.h"
#include "verdicts/lives.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { PID = 10, OPEN_CALL = 290, CLOSE_CALL = 3, CLOSER_STACK = 1000, SCENARIOS_MAX = 64 };
enum { SEED = 5000 };
static const uint64_t START_NS = UINT64_C(1000000000000);
static const double WANTED = 0.95;

struct moment {
	uint64_t time_ns;
	uint32_t life;
	bool close;
};

struct score {
	uint32_t found, missed, wrong, right; /* places */
};

struct watched {
	struct model *model;
	ARRAY(struct moment) moments;
	ARRAY(int32_t) numbers; /* of each life */
	ARRAY(int32_t) vacant;
	int32_t numbers_n;
	uint64_t sample_ns; /* the next one */
};

static int compare_moments(const void *left, const void *right)
{
	const struct moment *a = left, *b = right;

	if (a->time_ns != b->time_ns)
		return a->time_ns < b->time_ns ? -1 : 1;
	if (a->life != b->life)
		return a->life < b->life ? -1 : 1;
	return a->close - b->close;
}

static void apply(struct watched *watched, const struct moment *moment, const struct life *life)
{
	int32_t *number = &watched->numbers.data[moment->life];
	struct actor actor = {PID, PID, START_NS + moment->time_ns, life->place, OPEN_CALL};
	struct handle_op op = {.kind = HANDLE_OPEN, .type = "eventfd"};

	if (moment->close) {
		actor.stack_id = CLOSER_STACK;
		actor.call = CLOSE_CALL;
		op.kind = HANDLE_CLOSE;
		array_push(&watched->vacant, *number);
	} else {
		*number = watched->vacant.count ? watched->vacant.data[--watched->vacant.count]
						: watched->numbers_n++;
	}
	op.number = *number;
	model_apply(watched->model, &actor, &op);
}

/* As a session does between its steps. */
static void sample_until(struct watched *watched, uint64_t time_ns)
{
	for (; watched->sample_ns <= time_ns; watched->sample_ns += GROWTH_STEP_NS)
		model_sample(watched->model, START_NS + watched->sample_ns);
}

/* Everything that the lives tell, up to the end of watching. */
static struct model *watch(const struct lives *lives)
{
	struct watched watched = {.model = model_new(NULL)};

	model_attach(watched.model, PID, 1, START_NS);
	model_attached(watched.model, PID);
	for (size_t i = 0; i < lives->all.count; i++) {
		const struct life *life = &lives->all.data[i];

		array_push(&watched.numbers, -1);
		array_push(&watched.moments, (struct moment){life->opened_ns, (uint32_t)i, false});
		if (life->closed_ns != UINT64_MAX)
			array_push(&watched.moments,
				   (struct moment){life->closed_ns, (uint32_t)i, true});
	}
	qsort(watched.moments.data, watched.moments.count, sizeof(*watched.moments.data),
	      compare_moments);
	array_each (moment, &watched.moments) {
		sample_until(&watched, moment->time_ns);
		apply(&watched, moment, &lives->all.data[moment->life]);
	}
	sample_until(&watched, (uint64_t)(lives->length_s * 1e9));
	array_fini(&watched.moments);
	array_fini(&watched.numbers);
	array_fini(&watched.vacant);
	return watched.model;
}

static void tell(const char *name, uint64_t seed, const struct group *group, bool leaks)
{
	const char *wanted = getenv("HTRACE_VERDICTS_TELL");
	bool called = group->verdict == VERDICT_LEAK || group->verdict == VERDICT_GROWING;

	if (!wanted || !strstr(name, wanted) ||
	    (getenv("HTRACE_VERDICTS_WRONG") && called == leaks))
		return;
	printf("    seed %lu: %s place %u: %s: %s\n", seed, leaks ? "leaking" : "sound",
	       group->stack_id, verdict_name(group->verdict), group->reason);
}

/* Each place that was opened at is one answer; what is in no group is called nothing. */
static void judge(const struct scenario *scenario, uint64_t seed, double length_s,
		  struct score *score)
{
	struct lives lives = {.length_s = length_s, .random = seed * 7919};
	bool opened[3] = {0}, leaks[3] = {0}, called[3] = {0};
	const struct snapshot everything = {0};
	struct model *model;
	struct diff diff;

	for (const char *letter = scenario->name; *letter; letter++)
		lives.random = lives.random * 31 + (uint64_t)*letter;
	scenario->write(&lives);
	array_each (life, &lives.all) {
		opened[life->place] = true;
		leaks[life->place] |= life->leaked;
	}
	model = watch(&lives);
	diff_make(&diff, model, model_process(model, PID), &everything,
		  START_NS + (uint64_t)(length_s * 1e9));
	array_each (group, &diff.groups) {
		called[group->stack_id] |=
		    group->verdict == VERDICT_LEAK || group->verdict == VERDICT_GROWING;
		tell(scenario->name, seed, group, leaks[group->stack_id]);
	}
	for (int place = 1; place < 3; place++) {
		if (!opened[place])
			continue;
		++*(leaks[place]    ? called[place] ? &score->found : &score->missed
		    : called[place] ? &score->wrong
				    : &score->right);
	}
	diff_fini(&diff);
	model_free(model);
	array_fini(&lives.all);
}

static void judge_all(const struct scenario *scenarios, uint64_t seed, int seeds, double length_s,
		      struct score *total)
{
	for (const struct scenario *scenario = scenarios; scenario->name; scenario++) {
		struct score score = {0};

		for (int i = 0; i < seeds; i++)
			judge(scenario, seed + (uint64_t)i, length_s, &score);
		printf(
		    "  %-24s leaks found %3u missed %3u   sound ones called leaks %3u, not %3u\n",
		    scenario->name, score.found, score.missed, score.wrong, score.right);
		total->found += score.found;
		total->missed += score.missed;
		total->wrong += score.wrong;
		total->right += score.right;
	}
}

static void watch_for(double length_s, int seeds)
{
	const char *given = getenv("HTRACE_VERDICTS_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 10) : SEED;
	struct score score = {0};
	double precision, recall;

	printf("watched for %g s, seeds %lu to %lu:\n", length_s, seed, seed + (uint64_t)seeds - 1);
	judge_all(sound_scenarios, seed, seeds, length_s, &score);
	judge_all(leaking_scenarios, seed, seeds, length_s, &score);
	precision = (double)score.found / (score.found + score.wrong);
	recall = (double)score.found / (score.found + score.missed);
	printf("watched for %g s: precision %.3f, recall %.3f (%u leaks found, %u missed; of the "
	       "sound ones %u called leaks, %u not)\n",
	       length_s, precision, recall, score.found, score.missed, score.wrong, score.right);
	assert_true(precision >= WANTED);
	assert_true(recall >= WANTED);
}

static void test_ten_seconds(void **state)
{
	(void)state;
	watch_for(10, 24);
}

static void test_a_minute(void **state)
{
	(void)state;
	watch_for(60, 12);
}

static void test_ten_minutes(void **state)
{
	(void)state;
	watch_for(600, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ten_seconds),
	    cmocka_unit_test(test_a_minute),
	    cmocka_unit_test(test_ten_minutes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
