/*
 * Each reason for which a stack may end early: at the stack itself and in the totals, as text and
 * as JSON, in words that say what is missing; those of children that the report does not list
 * count too.
 */
#include "fake_report.h"

#include <jansson.h>
#include <stdlib.h>

/* What is said of one such stack, and of `n` (2 + its number) in the totals. */
static const struct {
	const char *json, *at_stack, *total;
} reasons[STACK_END_N] = {
    [STACK_END_COMPLETE] = {.json = "complete"},
    [STACK_END_TRUNCATED] = {"truncated",
			     "(cut here: the stack is longer than what was copied of it, at most "
			     "64 KiB)",
			     "3 stacks were cut: longer than what was copied, so the outermost "
			     "callers are missing"},
    [STACK_END_NO_CFI] = {"no-cfi", "(ends here: no unwind information in leaky)",
			  "4 stacks end in code without unwind information and without frame "
			  "pointers"},
    [STACK_END_BAD_READ] = {"bad-read",
			    "(ends here: the next frame would lie outside of the copied stack)",
			    "5 stacks lead out of what was copied (a stack switched, or unwind "
			    "information that is wrong)"},
    [STACK_END_BAD_PC] = {"bad-pc", "(ends here: the next return address lies in no code)",
			  "6 stacks lead to an address that is no code"},
    [STACK_END_TOO_DEEP] = {"too-deep", "(cut here: only 256 frames are kept)",
			    "7 stacks have more than 256 frames; the outermost are missing"},
    [STACK_END_NO_COPY] = {"no-copy", "(no stack: it could not be read)",
			   "8 stacks could not be read at all"},
};

/* One leak of each kind, whose place in the report is its reason's number. */
static void lay_down(struct fixture *fixture, bool forgotten)
{
	struct fake_process *process = fake_process(&fixture->model, 4242, S);

	for (int end = 0; end < STACK_END_N; end++) {
		uint32_t stack = intern(fixture, end, (uint8_t[]){1, 2}, 2);
		uint32_t place = fake_place(process, "eventfd", stack, ORIGIN_OPENED);
		uint64_t *counted =
		    forgotten ? fixture->model.forgotten.stack_ends : process->process.stack_ends;

		/* Fewer of each, so that they come in this order. */
		for (int i = 0; i < 20 - end; i++)
			fake_open(process, 100 * end + i, place, 2 * S, "anon_inode:[eventfd]");
		counted[end] = 2 + end;
	}
}

/* Not inlined: gcc 12 takes the stream's buffer for a variable of print(). */
__attribute__((noinline)) static void check_text(const char *text)
{
	const char *totals = strstr(text, "\nWhat this report does not know:");
	const char *at = text;

	assert_non_null(totals);
	assert_null(strstr(totals, "2 stacks"));
	for (int end = 1; end < STACK_END_N; end++) {
		at = strstr(at, reasons[end].at_stack);
		if (!at || !strstr(totals, reasons[end].total))
			fail_msg("%s is not told in\n%s", reasons[end].json, text);
	}
}

static void test_text(void **state)
{
	(void)state;
	for (int forgotten = 0; forgotten < 2; forgotten++) {
		struct fixture fixture;
		char *text;

		fixture_init(&fixture);
		lay_down(&fixture, forgotten);
		fixture_report(&fixture, "/opt/leaky");
		text = print(&fixture, &report_text, (struct report_style){0});
		check_text(text);
		free(text);
		fixture_fini(&fixture);
	}
}

static void test_json(void **state)
{
	struct fixture fixture;
	json_t *root, *process, *groups;
	char *text;

	(void)state;
	fixture_init(&fixture);
	lay_down(&fixture, false);
	fixture_report(&fixture, "/opt/leaky");
	text = print(&fixture, &report_json, (struct report_style){0});
	root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(root);
	process = json_array_get(json_object_get(root, "processes"), 0);
	groups = json_object_get(process, "groups");
	assert_int_equal(json_array_size(groups), STACK_END_N);
	for (int end = 0; end < STACK_END_N; end++) {
		json_t *group = json_array_get(groups, end);
		json_t *count =
		    json_object_get(json_object_get(process, "stack_ends"), reasons[end].json);

		assert_string_equal(json_string_value(json_object_get(group, "stack_end")),
				    reasons[end].json);
		assert_int_equal(json_is_true(json_object_get(group, "stack_complete")),
				 end == STACK_END_COMPLETE);
		assert_int_equal(json_integer_value(count), 2 + end);
	}
	json_decref(root);
	free(text);
	fixture_fini(&fixture);
}

static void test_forgotten(void **state)
{
	int processes, events, truncated, bad_pc, untold, handles;
	struct fixture fixture;
	json_t *root;
	char *text;

	(void)state;
	fixture_init(&fixture);
	fixture.model.forgotten = (struct forgotten){.processes = 9,
						     .events = 10,
						     .truncated_stacks = 12,
						     .stack_ends = {[STACK_END_BAD_PC] = 11},
						     .reconciled = 2,
						     .untold = 13,
						     .untold_handles = 14};
	text = print(&fixture, &report_json, (struct report_style){0});
	root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_int_equal(json_unpack(root, "{s:{s:i, s:i, s:i, s:{s:i}, s:i, s:i}}", "forgotten",
				     "processes", &processes, "events", &events, "truncated_stacks",
				     &truncated, "stack_ends", "bad-pc", &bad_pc, "untold", &untold,
				     "untold_handles", &handles),
			 0);
	assert_int_equal(processes, 9);
	assert_int_equal(events, 10);
	assert_int_equal(truncated, 12);
	assert_int_equal(bad_pc, 11);
	assert_int_equal(untold, 13);
	assert_int_equal(handles, 14);
	json_decref(root);
	free(text);
	text = print(&fixture, &report_text, (struct report_style){0});
	assert_non_null(strstr(text, "12 stacks were cut"));
	assert_non_null(strstr(text, "2 handles were corrected"));
	assert_non_null(strstr(text, "13 children that ended are not shown (only 1,024 are kept), "
				     "with 14 handles left open"));
	free(text);
	fixture_fini(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_text),
	    cmocka_unit_test(test_json),
	    cmocka_unit_test(test_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
