/* What a diff of a million open handles costs: the groups, the text, the JSON. Printed; machines
 * differ. */
#include "base/clock.h"
#include "model/model.h"
#include "report/report.h"
#include "stack/stack_table.h"
#include "trace/diff.h"
#include "trace/history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

enum { HANDLES = 1000000, PLACES = 1000, PID = 10, OPENAT = 257 };

static uint32_t intern_place(struct stack_table *stacks, uint32_t index)
{
	struct frame frame = {.pc = 0x1000 + index};

	return stack_table_intern(stacks, &frame, 1, STACK_END_COMPLETE);
}

/* Each handle is opened; the half of them again, for the number was used before. */
static void open_all(struct model *model, struct stack_table *stacks)
{
	for (int32_t number = 0; number < HANDLES; number++) {
		struct actor actor = {.pid = PID,
				      .tid = PID,
				      .time_ns = 1000 + (uint64_t)number,
				      .stack_id = intern_place(stacks, number / (HANDLES / PLACES)),
				      .call = OPENAT};
		struct handle_op open = {.kind = HANDLE_OPEN, .number = number, .type = "file"};
		struct handle_op shut = {.kind = HANDLE_CLOSE, .number = number, .last = number};

		model_apply(model, &actor, &open);
		if (number % 2) {
			model_apply(model, &actor, &shut);
			model_apply(model, &actor, &open);
		}
	}
}

static double passed_ms(uint64_t *since_ns)
{
	uint64_t before = *since_ns;

	*since_ns = clock_now_ns();
	return (double)(*since_ns - before) / 1e6;
}

static void test_million(void **state)
{
	struct history *history = history_new(4096);
	struct model_observer observer = history_observer(history);
	struct model *model = model_new(&observer);
	struct stack_table *stacks = stack_table_new();
	struct image_table *images = image_table_new();
	struct report report = {.model = model,
				.stacks = stacks,
				.history = history,
				.symbolizer = symbolizer_new(images, NULL, NULL)};
	struct report_process entry = {.process = model_attach(model, PID, 1, 1)};
	const struct snapshot everything = {0};
	const struct report_style style = {0};
	FILE *stream = fopen("/dev/null", "w");
	uint64_t now = clock_now_ns();

	(void)state;
	open_all(model, stacks);
	printf("%d handles opened     %7.1f ms\n", HANDLES, passed_ms(&now));
	report.now_ns = 10000000;
	diff_make(&entry.diff, model, entry.process, &everything, report.now_ns);
	array_push(&report.processes, entry);
	printf("compared                   %7.1f ms\n", passed_ms(&now));
	assert_int_equal(entry.diff.open_handles, HANDLES);
	assert_int_equal(entry.diff.groups.count, PLACES);
	report_name(&report);
	printf("named                      %7.1f ms\n", passed_ms(&now));
	assert_int_equal(report_text.write(&report, &style, stream), 0);
	printf("written as text            %7.1f ms\n", passed_ms(&now));
	assert_int_equal(report_json.write(&report, &style, stream), 0);
	printf("written as JSON            %7.1f ms\n", passed_ms(&now));
	fclose(stream);
	report_fini(&report);
	symbolizer_free(report.symbolizer);
	model_free(model);
	history_free(history);
	stack_table_free(stacks);
	image_table_free(images);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_million)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
