/*
 * What a million open handles cost: all that the model allocates for them, divided. The same when
 * each number was open before, when they have names, and when /proc told the names.
 */
#include "allocated.h"
#include "base/alloc.h"
#include "model/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { HANDLES = 1000000, PLACES = 100, BYTES_MAX = 100, NAME_BYTES = 32, FIRST = 3 };

static struct model *model;
static size_t before;
static uint64_t now;

static int setup(void **state)
{
	(void)state;
	now = 1;
	before = allocated_bytes();
	model = model_new(NULL);
	model_attach(model, 1, 0, now);
	model_attached(model, 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	model_free(model);
	/* All of it is gone (but for what the C library keeps). */
	assert_true(allocated_bytes() < before + 65536);
	return 0;
}

static void apply(struct handle_op op, uint32_t stack_id)
{
	struct actor actor = {1, 1, ++now, stack_id, 0};

	model_apply(model, &actor, &op);
}

static void open_all(const char *type, const char *const *names, size_t names_n)
{
	for (int32_t i = 0; i < HANDLES; i++) {
		const char *name = names_n ? names[i % names_n] : NULL;

		apply((struct handle_op){.kind = HANDLE_OPEN,
					 .number = FIRST + i,
					 .type = type,
					 .name = name,
					 .name_bytes = name ? strlen(name) : 0},
		      1 + i % PLACES);
	}
}

static void close_all(void)
{
	for (int32_t i = 0; i < HANDLES; i++)
		apply((struct handle_op){.kind = HANDLE_CLOSE, .number = FIRST + i}, PLACES + 1);
}

static void count_open(void *context, const struct handle *handle)
{
	assert_int_equal(handle->number, FIRST + (*(int32_t *)context)++);
}

/* `name_bytes`: of each handle's own name, with what the allocator adds to it. */
static void assert_cost(const char *what, size_t name_bytes)
{
	size_t bytes = allocated_bytes() - before;
	const struct process *process = model_process(model, 1);
	int32_t open = 0;

	model_open_handles(model, process, count_open, &open);
	assert_int_equal(open, HANDLES);
	assert_int_equal(process->places.count, PLACES);
	printf("%s: %.1f bytes each\n", what, (double)bytes / HANDLES);
	assert_true(bytes / HANDLES < BYTES_MAX + name_bytes);
	/* What the model says of itself is no less than the truth, as near as it can know. */
	assert_in_range(model_bytes(model), bytes - bytes / 10, bytes + bytes / 10);
}

static void test_opened(void **state)
{
	(void)state;
	open_all("eventfd", NULL, 0);
	assert_cost("opened", 0);
}

static void test_opened_again(void **state)
{
	(void)state;
	open_all("eventfd", NULL, 0);
	close_all();
	open_all("eventfd", NULL, 0);
	assert_cost("opened, closed and opened again", 0);
}

static void test_few_names(void **state)
{
	static const char *const names[] = {"/var/log/messages", "/etc/passwd",
					    "/usr/share/zoneinfo/Europe/Berlin"};

	(void)state;
	open_all("file", names, sizeof(names) / sizeof(*names));
	close_all();
	open_all("file", names, sizeof(names) / sizeof(*names));
	assert_cost("few names", 0);
}

/* As /proc/PID/fd tells them, each with a number of its own. */
static void observe_sockets(void)
{
	struct observed_handle *truth = xcalloc(HANDLES, sizeof(*truth));
	char(*names)[NAME_BYTES] = xcalloc(HANDLES, sizeof(*names));

	for (int32_t i = 0; i < HANDLES; i++) {
		snprintf(names[i], sizeof(names[i]), "socket:[%d]", 40000000 + i);
		truth[i] = (struct observed_handle){
		    .number = FIRST + i, .type = "socket", .name = names[i]};
	}
	assert_int_equal(model_observe(model, 1, truth, HANDLES, now + 1, now + 2), 0);
	free(truth);
	free(names);
}

static void test_names_of_their_own(void **state)
{
	(void)state;
	open_all("socket", NULL, 0);
	observe_sockets();
	assert_cost("names of their own", 0);
}

/* All that there may be at once: a past, and a name that no other has. */
static void test_past_and_names_of_their_own(void **state)
{
	(void)state;
	open_all("socket", NULL, 0);
	close_all();
	open_all("socket", NULL, 0);
	observe_sockets();
	assert_cost("opened again, names of their own", NAME_BYTES);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_opened),
	    TEST(test_opened_again),
	    TEST(test_few_names),
	    TEST(test_names_of_their_own),
	    TEST(test_past_and_names_of_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
