/* model/observe by hand: what a comparison with the truth adds, takes away and leaves alone. */
#include "model_fixture.h"

static void test_observe(void **state)
{
	struct observed_handle truth[] = {{0, false, "device", "/dev/null", false, 0},
					  {3, true, "socket", "socket:[1]", false, 0},
					  {7, 0, "file", "x", false, 0}};
	const struct process *process;

	process = model_attach(model, 50, 0, now);
	assert_int_equal(model_observe(model, 50, truth, 2, now, now + 1), 2);
	assert_false(is_open(50, 0)); /* not before it was seen twice */
	now += 10;
	assert_int_equal(model_observe(model, 50, truth, 2, now, now + 1), 0);
	assert_int_equal(get(50, 3)->origin, ORIGIN_BEFORE_TRACING);
	assert_true(get(50, 3)->cloexec);
	assert_string_equal(get(50, 3)->name, "socket:[1]");
	assert_int_equal(process->reconciled, 0);
	assert_int_equal(process->places.count, 0);
	open_(50, 50, 4, 5); /* touched while the truth was read: left alone */
	assert_int_equal(model_observe(model, 50, truth, 2, now - 1, now), 1);
	assert_true(is_open(50, 4));
	now += 10;
	model_lost(model);
	assert_true(process->incomplete);
	assert_int_equal(model_observe(model, 50, truth, 3, now, now + 1), 2); /* 4 gone, 7 new */
	assert_true(is_open(50, 4) && !is_open(50, 7));
	now += 10;
	assert_int_equal(model_observe(model, 50, truth, 3, now, now + 1), 0);
	assert_false(is_open(50, 4));
	assert_int_equal(get(50, 4)->closed_by, CLOSED_UNSEEN);
	assert_int_equal(get(50, 7)->origin, ORIGIN_UNKNOWN);
	assert_string_equal(process->places.data[1].type, "file");
	assert_int_equal(process->reconciled, 2);
	assert_false(process->incomplete);
}

/* What was looked at before is known by its number; what is not open any more is looked for again.
 */
static void test_observe_known(void **state)
{
	struct observed_handle truth[] = {{3, true, "socket", "socket:[1]", false, 0}};
	struct observed_handle again[] = {{.number = 3, .known = true}};
	struct model *model = model_new(NULL);
	const struct process *process = model_attach(model, 10, 1, 1);
	const struct handle *handle;

	assert_false(model_was_observed(model, process, 3));
	assert_int_equal(model_observe(model, 10, truth, 1, 2, 3), 1);
	assert_int_equal(model_observe(model, 10, truth, 1, 4, 5), 0);
	assert_true(model_was_observed(model, process, 3));
	assert_int_equal(model_observe(model, 10, again, 1, 6, 7), 0);
	handle = model_handle(model, process, 3);
	assert_string_equal(handle->type, "socket");
	assert_string_equal(handle->name, "socket:[1]");
	assert_true(handle->cloexec);

	/* Gone, twice; then a look at the number alone proves nothing. */
	assert_int_equal(model_observe(model, 10, NULL, 0, 8, 9), 1);
	assert_int_equal(model_observe(model, 10, NULL, 0, 10, 11), 0);
	assert_false(model_was_observed(model, process, 3));
	assert_int_equal(model_observe(model, 10, again, 1, 12, 13), 1);
	assert_int_equal(model_observe(model, 10, again, 1, 14, 15), 1);
	assert_false(model_handle(model, process, 3)->open);
	model_free(model);
}

/* After a loss a number may stand for another object: its old stack must not be told for it. */
static void test_observe_other_object(void **state)
{
	struct observed_handle memfd = {4, false, "memfd", "/memfd:x (deleted)", false, 0};
	struct observed_handle first = {4, false, "socket", "socket:[1]", false, 0};
	struct observed_handle second = {4, false, "socket", "socket:[2]", false, 0};

	model_attach(model, 50, 0, now);
	model_attached(model, 50);
	open_typed(50, 50, 4, 5, "socket");
	now += 10;
	/* Nothing was lost: what was seen is believed. */
	assert_int_equal(model_observe(model, 50, &memfd, 1, now, now + 1), 0);
	assert_string_equal(get(50, 4)->type, "socket");
	open_typed(50, 50, 4, 5, "socket");
	now += 10;
	assert_int_equal(model_observe(model, 50, &first, 1, now, now + 1), 0);
	assert_int_equal(get(50, 4)->opened.stack_id, 5);
	model_lost(model);
	now += 10;
	assert_int_equal(model_observe(model, 50, &second, 1, now, now + 1), 1);
	assert_int_equal(get(50, 4)->opened.stack_id, 5); /* not before it was seen twice */
	assert_int_equal(model_observe(model, 50, &second, 1, now, now + 1), 0);
	assert_int_equal(get(50, 4)->origin, ORIGIN_UNKNOWN);
	assert_int_equal(get(50, 4)->opened.stack_id, 0);
	assert_string_equal(get(50, 4)->name, "socket:[2]");
	model_lost(model);
	now += 10;
	model_observe(model, 50, &memfd, 1, now, now + 1);
	model_observe(model, 50, &memfd, 1, now, now + 1);
	assert_string_equal(get(50, 4)->type, "memfd");
}

/* A difference that comes and goes is no difference. */
static void test_observe_flicker(void **state)
{
	struct observed_handle truth[] = {{3, false, "file", "x", false, 0}};

	for (int i = 0; i < 4; i++) {
		now += 10;
		assert_int_equal(model_observe(model, 1, truth, i % 2 == 0, now, now + 1),
				 i % 2 == 0);
		assert_false(is_open(1, 3));
	}
	op(1, 1, 5, (struct handle_op){.kind = HANDLE_RECEIVE, .number = 6});
	now += 10;
	truth[0] = (struct observed_handle){6, false, "socket", "y", false, 0};
	assert_int_equal(model_observe(model, 1, truth, 1, now, now + 1), 0);
	assert_int_equal(get(1, 6)->origin, ORIGIN_RECEIVED);
	assert_string_equal(get(1, 6)->type, "socket");
	assert_null(model_place(model, model_process(model, 1), get(1, 6))->type);
}

/* Some are looked at while they are open, others are closed before: one place counts them all. */
static void test_type_learnt_later(void **state)
{
	static const char *const types[] = {"directory", "tty", "namespace"};
	const struct place *place;

	for (int i = 0; i < 10; i++) {
		open_typed(1, 1, 3 + i, 5, "file");
		op(1, 1, 6, (struct handle_op){.kind = HANDLE_RECEIVE, .number = 23 + i});
		if (i < 7) {
			close_(1, 1, 3 + i, 9);
			close_(1, 1, 23 + i, 9);
		}
	}
	now += 10;
	for (int look = 0; look < 2; look++, now += 10) {
		struct observed_handle truth[6];

		for (int i = 0; i < 3; i++) {
			truth[i] =
			    (struct observed_handle){10 + i, false, types[i], "/x", false, 0};
			truth[3 + i] = (struct observed_handle){
			    30 + i, false, i ? "tcp" : "pipe", i ? "socket:[7]" : "pipe:[6]",
			    false,  0};
		}
		model_observe(model, 1, truth, 6, now, now + 1);
	}
	for (int i = 0; i < 3; i++) {
		assert_string_equal(get(1, 10 + i)->type, types[i]);
		place = model_place(model, model_process(model, 1), get(1, 10 + i));
		assert_string_equal(place->type, "file");
		assert_int_equal(place->opened, 10);
		assert_int_equal(place->closed, 7);
		place = model_place(model, model_process(model, 1), get(1, 30 + i));
		assert_null(place->type);
		assert_int_equal(place->opened, 10);
		assert_int_equal(place->closed, 7);
	}
	assert_string_equal(get(1, 30)->type, "pipe");
	assert_string_equal(get(1, 31)->type, "tcp");
	/* A copy counts with those that were copied before their type was known. */
	op(1, 1, 6, (struct handle_op){.kind = HANDLE_DUPLICATE, .number = 50, .source = 31});
	assert_string_equal(get(1, 50)->type, "tcp");
	assert_null(model_place(model, model_process(model, 1), get(1, 50))->type);
}

/* A look of before that no event has contradicted still holds; another one does not. */
static void test_observe_seen_before(void **state)
{
	struct observed_handle truth = {
	    .number = 3, .type = "memfd", .name = "/memfd:x (deleted)", .since_ns = 50};
	struct actor actor = {.pid = 10, .tid = 10, .time_ns = 60, .stack_id = 5, .call = 2};
	const struct handle_op opens = {.kind = HANDLE_OPEN, .number = 3, .type = "device"};
	struct model *own = model_new(NULL);
	const struct process *process = model_attach(own, 10, 1, 1);

	model_apply(own, &actor, &opens);
	assert_int_equal(model_observe(own, 10, &truth, 1, 70, 80), 1);
	assert_string_equal(model_handle(own, process, 3)->type, "device");
	assert_null(model_handle(own, process, 3)->name);
	truth = (struct observed_handle){
	    .number = 3, .type = "device", .name = "/dev/null", .since_ns = 65};
	assert_int_equal(model_observe(own, 10, &truth, 1, 90, 95), 0);
	assert_string_equal(model_handle(own, process, 3)->name, "/dev/null");
	model_free(own);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_observe),
	    TEST(test_observe_known),
	    TEST(test_observe_other_object),
	    TEST(test_observe_flicker),
	    TEST(test_observe_seen_before),
	    TEST(test_type_learnt_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
