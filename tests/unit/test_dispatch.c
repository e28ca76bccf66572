/*
 * Events in their order: a library that was unloaded and another one at the same addresses, in one
 * process, in a fork's child and after an exec. Each frame names the file that lay there when its
 * event happened, and was found by that file's rules.
 */
#include "bare_session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { PLACE = 0x100000, TEXT = BARE_TEXT, STACK = 0x700000, NAME_MAX_BYTES = 64 };

struct fixture {
	struct session *session;
	int shallow, deep; /* libraries whose function has a frame of 8 and of 24 bytes */
	uint64_t time_ns;
};

static int setup(void **state)
{
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));

	fixture->session = bare_session_new();
	fixture->shallow = bare_library(8);
	fixture->deep = bare_library(24);
	bare_exec(fixture->session, BARE_PID, ++fixture->time_ns);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	session_free(fixture->session);
	close(fixture->shallow);
	close(fixture->deep);
	free(fixture);
	return 0;
}

static void map(struct fixture *fixture, int32_t pid, int fd, uint64_t start)
{
	bare_map(fixture->session, pid, ++fixture->time_ns, fd, start);
}

/*
 * Opens handle `number` in the function: both return addresses lie in it too, one word and three
 * words up the stack. Returns the stack of the opening.
 */
static struct stack open_in_library(struct fixture *fixture, int32_t pid, int32_t number)
{
	const uint64_t words[] = {PLACE + TEXT + 8, 0, PLACE + TEXT + 16, 0, 0, 0};
	const struct bare_stack stack = {PLACE + TEXT, STACK, words, 6};
	const struct process *process;
	const struct handle *handle;

	bare_open(fixture->session, pid, ++fixture->time_ns, number, &stack);
	process = model_process(fixture->session->model, pid);
	handle = model_handle(fixture->session->model, process, number);
	assert_non_null(handle);
	assert_true(handle->open);
	return stack_table_get(fixture->session->stacks, handle->opened.stack_id);
}

static void assert_frame(struct fixture *fixture, const struct frame *frame, int fd, uint64_t pc)
{
	const struct image *image = image_table_get(fixture->session->images, frame->image);
	char name[NAME_MAX_BYTES];

	snprintf(name, sizeof(name), "%d", fd);
	assert_int_equal(frame->pc, pc);
	assert_non_null(image);
	assert_string_equal(image->module->name, name);
}

static void assert_library(struct fixture *fixture, int fd, struct stack stack)
{
	assert_int_equal(stack.end, STACK_END_COMPLETE);
	assert_int_equal(stack.frames_n, 2);
	assert_frame(fixture, &stack.frames[0], fd, PLACE + TEXT);
	assert_frame(fixture, &stack.frames[1], fd,
		     PLACE + TEXT + (fd == fixture->shallow ? 8 : 16));
}

static void test_library_replaced(void **state)
{
	struct fixture *fixture = *state;
	struct stack first, second, third;

	map(fixture, BARE_PID, fixture->shallow, PLACE);
	first = open_in_library(fixture, BARE_PID, 3);
	assert_library(fixture, fixture->shallow, first);
	/* dlclose tells nothing; the next dlopen maps over what was there. */
	map(fixture, BARE_PID, fixture->deep, PLACE);
	second = open_in_library(fixture, BARE_PID, 4);
	assert_library(fixture, fixture->deep, second);
	map(fixture, BARE_PID, fixture->shallow, PLACE);
	third = open_in_library(fixture, BARE_PID, 5);
	assert_library(fixture, fixture->shallow, third);
	/* What was told before is as it was; the same code is the same stack. */
	assert_library(fixture, fixture->shallow, first);
	assert_library(fixture, fixture->deep, second);
	assert_ptr_equal(first.frames, third.frames);
}

/* One that only laps over the other's end leaves the rest of it where it is. */
static void test_library_cut(void **state)
{
	struct fixture *fixture = *state;

	map(fixture, BARE_PID, fixture->shallow, PLACE);
	map(fixture, BARE_PID, fixture->deep, PLACE + 0x5000);
	assert_library(fixture, fixture->shallow, open_in_library(fixture, BARE_PID, 3));
	map(fixture, BARE_PID, fixture->deep, PLACE - UNWIND_FILE_MAPPED_BYTES);
	assert_library(fixture, fixture->shallow, open_in_library(fixture, BARE_PID, 4));
}

static void test_fork(void **state)
{
	const int32_t child = BARE_PID + 1;
	struct fixture *fixture = *state;

	map(fixture, BARE_PID, fixture->shallow, PLACE);
	assert_library(fixture, fixture->shallow, open_in_library(fixture, BARE_PID, 3));
	bare_fork(fixture->session, BARE_PID, child, ++fixture->time_ns);
	assert_library(fixture, fixture->shallow, open_in_library(fixture, child, 4));
	map(fixture, child, fixture->deep, PLACE);
	/* By turns, so that no cache of one may speak for the other. */
	for (int32_t number = 5; number < 20; number++) {
		assert_library(fixture, fixture->deep, open_in_library(fixture, child, number));
		assert_library(fixture, fixture->shallow,
			       open_in_library(fixture, BARE_PID, number));
	}
	bare_exit(fixture->session, child, ++fixture->time_ns);
	assert_library(fixture, fixture->shallow, open_in_library(fixture, BARE_PID, 30));
}

static void test_exec(void **state)
{
	struct fixture *fixture = *state;
	struct stack before, after;

	map(fixture, BARE_PID, fixture->shallow, PLACE);
	before = open_in_library(fixture, BARE_PID, 3);
	bare_exec(fixture->session, BARE_PID, ++fixture->time_ns);
	after = open_in_library(fixture, BARE_PID, 4);
	assert_int_equal(after.end, STACK_END_BAD_PC);
	assert_int_equal(after.frames_n, 1);
	assert_int_equal(after.frames[0].image, 0);
	map(fixture, BARE_PID, fixture->deep, PLACE);
	assert_library(fixture, fixture->deep, open_in_library(fixture, BARE_PID, 5));
	assert_library(fixture, fixture->shallow, before);
}

/* Two processes that have had nothing to do with each other. */
static void test_two_programs(void **state)
{
	const int32_t other = BARE_PID + 1;
	struct fixture *fixture = *state;

	bare_fork(fixture->session, BARE_PID, other, ++fixture->time_ns);
	bare_exec(fixture->session, other, ++fixture->time_ns);
	map(fixture, BARE_PID, fixture->shallow, PLACE);
	map(fixture, other, fixture->deep, PLACE);
	for (int32_t number = 3; number < 20; number++) {
		assert_library(fixture, fixture->shallow,
			       open_in_library(fixture, BARE_PID, number));
		assert_library(fixture, fixture->deep, open_in_library(fixture, other, number));
	}
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_library_replaced), TEST(test_library_cut), TEST(test_fork), TEST(test_exec),
	    TEST(test_two_programs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
