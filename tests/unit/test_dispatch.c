/*
 * Events in their order: a library that was unloaded and another one at the same addresses, in one
 * process, in a fork's child and after an exec. Each frame names the file that lay there when its
 * event happened, and was found by that file's rules.
 */
#include "bare_session.h"
#include "unwind_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

enum { PLACE = 0x100000, TEXT = 0x4000, STACK = 0x700000, NAME_MAX_BYTES = 64 };

/*
 * CIE "zR" and an FDE of 256 bytes at TEXT: CFA = rsp + `depth`, RA at CFA - 8. In the section the
 * FDE's start stands at offset 32.
 */
static int make_library(uint8_t depth)
{
	uint8_t frames[] = {0x14, 0,    0,    0, 0,     0,    0, 0, 1, 'z',  'R', 0, 1, 0x78, 0x10,
			    1,    0x1b, 0x0c, 7, depth, 0x90, 1, 0, 0, 0x10, 0,   0, 0, 0x1c, 0,
			    0,    0,    0,    0, 0,     0,    0, 1, 0, 0,    0,   0, 0, 0};
	const struct unwind_file file = {
	    .frames = frames, .frames_bytes = sizeof(frames), .section_headers = true};
	int32_t start = TEXT - (UNWIND_FILE_SECTIONS + 32);

	memcpy(frames + 32, &start, sizeof(start));
	return unwind_file_make(&file);
}

struct fixture {
	struct session *session;
	int shallow, deep; /* libraries whose function has a frame of 8 and of 24 bytes */
	uint64_t time_ns;
};

static int setup(void **state)
{
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));

	fixture->session = bare_session_new();
	fixture->shallow = make_library(8);
	fixture->deep = make_library(24);
	bare_exec(fixture->session, BARE_PID, ++fixture->time_ns);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	bare_session_free(fixture->session);
	close(fixture->shallow);
	close(fixture->deep);
	free(fixture);
	return 0;
}

/* Our own descriptor, by a path that does not depend on who asks: the process does not exist. */
static void map(struct fixture *fixture, int32_t pid, int fd, uint64_t start)
{
	union {
		struct event_map event;
		uint8_t bytes[sizeof(struct event_map) + NAME_MAX_BYTES];
	} record = {0};
	struct event_map *event = &record.event;
	struct stat status;

	assert_int_equal(fstat(fd, &status), 0);
	event->path_size = snprintf(event->path, NAME_MAX_BYTES, "/proc/self/fd/%d", fd);
	event->header = bare_header(EVENT_MAP, sizeof(record), pid, ++fixture->time_ns);
	event->start = start;
	event->end = start + UNWIND_FILE_MAPPED_BYTES;
	event->inode = status.st_ino;
	session_receive(fixture->session, &event->header);
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
