/* model/crossing and report/cloexec: what goes over exec is kept by its opening place, also when
 * the processes are long forgotten; how it is told; that it stays bounded. */
#include "life_report.h"

#include "json_paths.h"
#include "report/cloexec.h"

static const struct report_style plain = {0};

static struct actor actor_of(int32_t pid, uint64_t time_ns, uint32_t stack_id)
{
	return (struct actor){pid, pid, time_ns, stack_id, (uint32_t)NO_CALL};
}

static void fork_(struct life *life, int32_t parent, int32_t child, uint64_t time_ns)
{
	struct actor actor = actor_of(parent, time_ns, 0);

	model_fork(life->model, &actor, child, child, 0, NULL);
	model_set_exe(life->model, child, model_process(life->model, parent)->exe);
}

static void exec_(struct life *life, int32_t pid, uint64_t time_ns, const char *exe)
{
	struct actor actor = actor_of(pid, time_ns, 0);

	model_exec(life->model, &actor, pid, NULL);
	if (exe)
		model_set_exe(life->model, pid, exe);
}

static void exit_(struct life *life, int32_t pid, uint64_t time_ns)
{
	struct actor actor = actor_of(pid, time_ns, 0);

	model_exit(life->model, &actor, EVENT_EXIT_PROCESS, 0, NULL);
}

/* "eventfd" without close-on-exec, "file" with it (life_report.h). */
static void set_cloexec(struct life *life, int32_t number, bool cloexec, uint64_t time_ns)
{
	life_op(life, time_ns, PID, 0, 0,
		(struct handle_op){
		    .kind = HANDLE_CLOEXEC, .number = number, .last = number, .cloexec = cloexec});
}

static const struct crossing *place(const struct life *life, size_t index)
{
	return &model_crossings(life->model)->places.data[index];
}

/* A child for each round: it executes a program, which ends at once. */
static void serve(struct life *life, int rounds)
{
	for (int i = 0; i < rounds; i++) {
		int32_t pid = 5000 + i;
		uint64_t time_ns = 10 * S + i * MS;

		fork_(life, PID, pid, time_ns);
		exec_(life, pid, time_ns + 1, i % 3 ? "/bin/sh" : "/bin/ls");
		exit_(life, pid, time_ns + 2);
	}
}

/* ---- the model ---- */

static void test_aggregated(void **state)
{
	const struct crossings *crossings;
	struct life life;

	(void)state;
	life_init(&life, 10);
	life_open(&life, 2 * S, PID, 3, life.open_stack, "eventfd", NULL);
	life_open(&life, 3 * S, PID, 4, life.open_stack, "eventfd", NULL);
	life_open(&life, 4 * S, PID, 5, life.foo_stack, "file", "/var/log/x");
	life_open(&life, 5 * S, PID, 6, life.long_stack, "file", "/var/log/y");
	set_cloexec(&life, 6, false, 6 * S);
	serve(&life, 512);
	crossings = model_crossings(life.model);
	assert_int_equal(model_forgotten(life.model), 512); /* none is left, and yet */
	assert_int_equal(crossings->execs, 512);
	assert_int_equal(crossings->receivers, 512);
	assert_int_equal(crossings->dropped, 0);
	assert_int_equal(crossings->places.count, 2);
	assert_int_equal(place(&life, 0)->handles, 1024);
	assert_int_equal(place(&life, 0)->execs, 512);
	assert_int_equal(place(&life, 0)->numbers_n, 2);
	assert_int_equal(place(&life, 0)->numbers[1], 4);
	assert_int_equal(place(&life, 0)->opener_pid, PID);
	assert_string_equal(place(&life, 0)->opener_exe, "/opt/leaky");
	assert_int_equal(place(&life, 0)->programs_n, 2);
	assert_int_equal(place(&life, 0)->programs[0].execs, 171);
	assert_string_equal(place(&life, 0)->programs[1].exe, "/bin/sh");
	assert_int_equal(place(&life, 0)->programs[1].execs, 341);
	assert_int_equal(place(&life, 0)->examples.count, CROSSING_EXAMPLES_MAX);
	assert_int_equal(place(&life, 1)->stack_id, life.long_stack);
	assert_int_equal(place(&life, 1)->handles, 512);
	assert_string_equal(place(&life, 1)->examples.data[15].name, "/var/log/y");
	assert_string_equal(place(&life, 1)->examples.data[1].exe, "/bin/sh");
	assert_int_equal(place(&life, 1)->examples.data[1].pid, 5001);
	assert_true(place(&life, 1)->examples.data[1].opened_ns == 5 * S);
	life_fini(&life);
}

/* Names are the model's own, the stacks are not dropped. */
static void mark(void *context, uint32_t stack_id)
{
	((bool *)context)[stack_id] = true;
}

static void test_kept(void **state)
{
	bool marks[32] = {false};
	struct life life;

	(void)state;
	life_init(&life, 10);
	life_open(&life, 2 * S, PID, 6, life.long_stack, "file", "/var/log/y");
	set_cloexec(&life, 6, false, 3 * S);
	serve(&life, 1);
	life_close(&life, 20 * S, PID, 6);
	life_open(&life, 21 * S, PID, 6, life.foo_stack, "file", "/other");
	exit_(&life, PID, 22 * S);
	assert_string_equal(place(&life, 0)->examples.data[0].name, "/var/log/y");
	model_stacks_each(life.model, mark, marks);
	assert_true(marks[life.long_stack]);
	life_fini(&life);
}

/* What is known of the exec of a program that comes into sight with it is nobody's leak. */
static void test_first_exec(void **state)
{
	struct life life;

	(void)state;
	life_init(&life, 10);
	model_attach(life.model, 77, 1, 3 * S);
	exec_(&life, 77, 3 * S, "/bin/first");
	assert_int_equal(model_crossings(life.model)->execs, 0);
	exec_(&life, 77, 4 * S, "/bin/second");
	assert_int_equal(model_crossings(life.model)->execs, 1);
	assert_int_equal(model_crossings(life.model)->receivers, 0);
	life_fini(&life);
}

/* The kernel's table, not close-on-exec as we know it, says what was received. */
static void test_bitmap(void **state)
{
	union {
		struct event_data data;
		uint64_t words[sizeof(struct event_data) / 8 + 1]; /* the bitmap is the last one */
	} fds = {.words = {[sizeof(struct event_data) / 8] = 1 << 1 | 1 << 5 | 1 << 9}};
	struct actor actor = actor_of(6000, 9 * S, 0);
	struct life life;

	(void)state;
	fds.data.kind = EVENT_DATA_FDS;
	fds.data.size = 8;
	life_init(&life, 10);
	life_open(&life, 2 * S, PID, 4, life.open_stack, "eventfd", NULL);
	life_open(&life, 3 * S, PID, 5, life.foo_stack, "file", "/var/log/x"); /* close-on-exec */
	fork_(&life, PID, 6000, 8 * S);
	model_exec(life.model, &actor, 6000, &fds.data);
	assert_int_equal(model_crossings(life.model)->places.count, 3);
	assert_true(place(&life, 0)->standard);
	assert_int_equal(place(&life, 1)->stack_id, life.foo_stack);
	assert_int_equal(place(&life, 1)->numbers[0], 5);
	assert_int_equal(place(&life, 2)->stack_id, STACK_NONE); /* opened unseen */
	assert_int_equal(place(&life, 2)->numbers[0], 9);
	life_fini(&life);
}

/* Two processes that were attached to have different things on one number, and one on two. */
static void test_unseen(void **state)
{
	const struct observed_handle first[] = {{.number = 9, .type = "file", .name = "/a"},
						{.number = 10, .type = "file", .name = "/c"}};
	const struct observed_handle second[] = {{.number = 9, .type = "file", .name = "/b"},
						 {.number = 11, .type = "file", .name = "/c"}};
	struct life life;

	(void)state;
	life_init(&life, 10);
	model_attach(life.model, 50, 1, 1 * S);
	model_attach(life.model, 60, 1, 1 * S);
	while (model_observe(life.model, 50, first, 2, 2 * S, 2 * S + 1))
		;
	while (model_observe(life.model, 60, second, 2, 2 * S, 2 * S + 1))
		;
	exec_(&life, 50, 3 * S, "/bin/x");
	exec_(&life, 60, 4 * S, "/bin/y");
	assert_int_equal(model_crossings(life.model)->places.count, 3);
	assert_int_equal(place(&life, 1)->handles, 2);
	assert_string_equal(place(&life, 1)->examples.data[0].name, "/c");
	assert_int_equal(place(&life, 1)->numbers_n, 2);
	life_fini(&life);
}

/* Handles of places beyond the limit are counted. */
static void test_bounded(void **state)
{
	struct life life;
	size_t bytes;

	(void)state;
	life_init(&life, 10);
	for (int i = 0; i < CROSSINGS_MAX + 10; i++)
		life_open(
		    &life, (2 + i) * MS, PID, 3 + i,
		    life_stack(&life, STACK_END_COMPLETE, (uint8_t[]){1 + i / 200, i % 200}, 2),
		    "eventfd", NULL);
	for (int number = 0; number < 3; number++)
		life_open(&life, 2 * S, PID, number, life.open_stack, "eventfd", NULL);
	serve(&life, 40);
	assert_int_equal(model_crossings(life.model)->places.count, CROSSINGS_MAX + 1);
	assert_int_equal(model_crossings(life.model)->dropped, 10 * 40);
	bytes = model_bytes(life.model);
	serve(&life, 200);
	assert_int_equal(model_crossings(life.model)->dropped, 10 * 240);
	assert_true(model_bytes(life.model) < bytes + 4096);
	life_fini(&life);
}

/* Places that come and go do not drive out one that goes on, and none is kept for ever. */
static void test_renewed(void **state)
{
	struct life life;
	uint32_t stack;

	(void)state;
	life_init(&life, 10);
	life_open(&life, 2 * S, PID, 3, life.open_stack, "eventfd", NULL);
	for (int i = 0; i < 3 * CROSSINGS_MAX; i++) {
		uint64_t time_ns = 3 * S + i * MS;

		stack = life_stack(&life, STACK_END_COMPLETE, (uint8_t[]){i / 250, i % 250, 7}, 3);
		life_open(&life, time_ns, PID, 4, stack, "eventfd", "/tmp/name");
		fork_(&life, PID, 5000, time_ns + 1);
		exec_(&life, 5000, time_ns + 2, i % 2 ? "/bin/sh" : NULL);
		exit_(&life, 5000, time_ns + 3);
		life_close(&life, time_ns + 4, PID, 4);
	}
	assert_int_equal(model_crossings(life.model)->places.count, CROSSINGS_MAX);
	assert_int_equal(place(&life, 0)->stack_id, life.open_stack);
	assert_int_equal(place(&life, 0)->execs, 3 * CROSSINGS_MAX);
	assert_int_equal(place(&life, 0)->programs[0].execs, 3 * CROSSINGS_MAX / 2);
	assert_int_equal(model_crossings(life.model)->dropped, 2 * CROSSINGS_MAX + 1);
	life_fini(&life);
}

/* A program is told late, when its place is another's. */
static void test_late_name(void **state)
{
	struct life life;

	(void)state;
	life_init(&life, 10);
	life_open(&life, 2 * S, PID, 3, life.open_stack, "eventfd", NULL);
	fork_(&life, PID, 5000, 3 * S);
	exec_(&life, 5000, 4 * S, NULL);
	life_close(&life, 5 * S, PID, 3);
	for (int i = 0; i < CROSSINGS_MAX; i++)
		life_open(
		    &life, 6 * S + i, PID, 3 + i,
		    life_stack(&life, STACK_END_COMPLETE, (uint8_t[]){1 + i / 200, i % 200}, 2),
		    "eventfd", NULL);
	fork_(&life, PID, 5001, 7 * S);
	exec_(&life, 5001, 8 * S, "/bin/new");
	model_set_exe(life.model, 5000, "/bin/old");
	array_each (crossing, &model_crossings(life.model)->places) {
		assert_int_equal(crossing->programs_n, 1);
		assert_string_equal(crossing->programs[0].exe, "/bin/new");
	}
	life_fini(&life);
}

/* ---- the report ---- */

static void lead(struct life *life)
{
	life_init(life, 10);
	life_open(life, 2 * S, PID, 3, life->open_stack, "eventfd", NULL);
	life_open(life, 3 * S, PID, 4, life->open_stack, "eventfd", NULL);
	life_open(life, 5 * S, PID, 6, life->foo_stack, "file", "/tmp/evil\033[2J");
	set_cloexec(life, 6, false, 6 * S);
	life_open(life, 7 * S, PID, 1, life->open_stack, "eventfd", NULL);
	serve(life, 3);
	fork_(life, PID, 6000, 30 * S);
	life_op(life, 31 * S, 6000, life->close_stack, DUP3,
		(struct handle_op){.kind = HANDLE_DUPLICATE, .number = 40, .source = 4});
	life_close(life, 32 * S, 6000, 3);
	exec_(life, 6000, 33 * S, NULL);
	exit_(life, 6000, 34 * S);
	life_report(life);
	life->report.cloexec = REPORT_CLOEXEC_YES;
}

static char *print(const struct life *life, const struct report_format *format)
{
	char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	assert_int_equal(format->write(&life->report, &plain, stream), 0);
	fclose(stream);
	return text;
}

static void check_end(const struct life *life, const struct report_format *format, const char *from,
		      const char *wanted)
{
	char *text = print(life, format), *end = strstr(text, from);

	assert_non_null(end);
	assert_string_equal(end, wanted);
	free(text);
}

static const char golden_text[] =
    "== INHERITED OVER EXEC: 12 handles of 3 places stayed open in programs that were executed (4 "
    "execs were seen).\n"
    "\n"
    "#1 INHERITED 7 eventfd in 4 programs: opened without close-on-exec; add EFD_CLOEXEC\n"
    "    handles   3-4\n"
    "    opened by /opt/leaky (pid 4242)\n"
    "    reached   /bin/ls (1 time), /bin/sh (2 times) and 1 other; pids 5000, 5001, 5002, 6000\n"
    "    opened at\n"
    "        eventfd+0xb             in libc.so.6\n"
    "        fun4                    leakyhandles.c:41\n"
    "        fun2                    leakyhandles.c:30 (inlined)\n"
    "        main                    leakyhandles.c:60\n"
    "        __libc_start_call_main  libc_start_call_main.h:58 in libc.so.6\n"
    "\n"
    "#2 INHERITED 4 file in 4 programs: opened without close-on-exec; add O_CLOEXEC\n"
    "    handle    6\n"
    "    name      /tmp/evil\\x1b[2J\n"
    "    opened by /opt/leaky (pid 4242)\n"
    "    reached   /bin/ls (1 time), /bin/sh (2 times) and 1 other; pids 5000, 5001, 5002, 6000\n"
    "    opened at\n"
    "        eventfd+0xb       in libc.so.6\n"
    "        libfoo.so+0x1234\n"
    "        (ends here: no unwind information in libfoo.so)\n"
    "\n"
    "#3 INHERITED 1 eventfd in 1 program: opened without close-on-exec\n"
    "    handle    40\n"
    "    opened by the same process, before its exec: perhaps meant for the program\n"
    "    reached   1 program that is not known; pid 6000\n"
    "    opened at\n"
    "        close+0x10  in libc.so.6\n"
    "        daemonize   daemon.c:12\n";

static const char golden_windbg[] = "Handles inherited over exec:\n"
				    "--------------------------------------\n"
				    "Handle = 0x00000003 - INHERITED\n"
				    "Process ID = 0x00001092, Programs = 0x4, Handles = 0x7\n"
				    "Missing = EFD_CLOEXEC\n"
				    "Reached = /bin/ls, /bin/sh\n"
				    "\n"
				    "0x0000000055550001: libc.so.6!eventfd+0xB\n"
				    "0x0000000055550002: leaky!fun4+0x26\n"
				    "0x0000000055550003: leaky!fun2+0xE (inlined)\n"
				    "0x0000000055550003: leaky!main+0x4D\n"
				    "0x0000000055550004: libc.so.6!__libc_start_call_main+0x7A\n"
				    "--------------------------------------\n"
				    "Displayed 0x1 stack traces for 0x7 inherited handles.\n"
				    "Warning: 2 places with 5 handles are hidden by --top.\n";

static void test_golden(void **state)
{
	struct filter *filter = filter_new();
	struct life life;

	(void)state;
	lead(&life);
	check_end(&life, &report_text, "== INHERITED", golden_text);
	filter_set_top(filter, 1);
	report_filter(&life.report, filter);
	report_keep_top(&life.report);
	check_end(&life, &report_windbg, "Handles inherited", golden_windbg);
	filter_free(filter);
	life_fini(&life);
}

static void test_json(void **state)
{
	struct life life;
	json_t *json;

	(void)state;
	lead(&life);
	json = json_parse_take(print(&life, &report_json));
	is_integer(json, "inherited_over_exec/execs", 4);
	is_integer(json, "inherited_over_exec/receivers", 4);
	is_integer(json, "inherited_over_exec/handles", 12);
	is_integer(json, "inherited_over_exec/handles_dropped", 0);
	is_count(json, "inherited_over_exec/places", 3);
	is_string(json, "inherited_over_exec/places/0/type", "eventfd");
	is_string(json, "inherited_over_exec/places/0/remedy", "EFD_CLOEXEC");
	is_integer(json, "inherited_over_exec/places/0/programs", 4);
	is_integer(json, "inherited_over_exec/places/0/handles", 7);
	is_integer(json, "inherited_over_exec/places/0/opener_pid", PID);
	is_string(json, "inherited_over_exec/places/0/opener_exe", "/opt/leaky");
	is_boolean(json, "inherited_over_exec/places/0/opened_by_receiver", false);
	is_boolean(json, "inherited_over_exec/places/0/stack_complete", true);
	is_count(json, "inherited_over_exec/places/0/stack", 5);
	is_count(json, "inherited_over_exec/places/0/examples", 7);
	is_integer(json, "inherited_over_exec/places/0/examples/1/handle", 4);
	is_integer(json, "inherited_over_exec/places/0/examples/1/pid", 5000);
	is_string(json, "inherited_over_exec/places/0/examples/1/exe", "/bin/ls");
	is_string(json, "inherited_over_exec/places/0/programs_first/1/exe", "/bin/sh");
	is_integer(json, "inherited_over_exec/places/0/programs_first/1/count", 2);
	is_boolean(json, "inherited_over_exec/places/2/opened_by_receiver", true);
	json_decref(json);
	life.report.cloexec = REPORT_CLOEXEC_ALL;
	json = json_parse_take(print(&life, &report_json));
	is_count(json, "inherited_over_exec/places", 4);
	is_boolean(json, "inherited_over_exec/places/0/standard", false);
	is_boolean(json, "inherited_over_exec/places/1/standard", true);
	json_decref(json);
	life.report.cloexec = REPORT_CLOEXEC_NO;
	json = json_parse_take(print(&life, &report_json));
	assert_null(json_object_get(json, "inherited_over_exec"));
	json_decref(json);
	life_fini(&life);
}

/* The same code at another address: one place, as large as both. */
static void test_merged(void **state)
{
	struct life life;
	struct cloexec_list list;

	(void)state;
	life_init(&life, 10);
	life_open(&life, 2 * S, PID, 3, life.open_stack, "eventfd", NULL);
	serve(&life, 2);
	life_close(&life, 20 * S, PID, 3);
	life_open(&life, 21 * S, PID, 5,
		  life_stack(&life, STACK_END_TRUNCATED, (uint8_t[]){1, 2, 3, 4}, 4), "eventfd",
		  NULL);
	serve(&life, 3);
	life_report(&life);
	life.report.cloexec = REPORT_CLOEXEC_YES;
	assert_int_equal(model_crossings(life.model)->places.count, 2);
	cloexec_list_make(&list, &life.report);
	assert_int_equal(list.places.count, 1);
	assert_int_equal(list.handles, 5);
	assert_int_equal(list.places.data[0].execs, 5);
	assert_int_equal(list.places.data[0].numbers_n, 2);
	assert_int_equal(list.places.data[0].examples.count, 5);
	assert_int_equal(list.places.data[0].programs[0].execs, 2); /* /bin/ls */
	assert_int_equal(list.places.data[0].programs[1].execs, 3);
	cloexec_list_fini(&list);
	life_fini(&life);
}

/* Since a snapshot; of one process; by type and stack. */
static void check_choice(const struct life *life, size_t places)
{
	struct cloexec_list list;

	cloexec_list_make(&list, &life->report);
	assert_int_equal(list.places.count, places);
	cloexec_list_fini(&list);
}

static void test_choice(void **state)
{
	struct filter *filter = filter_new();
	struct life life;

	(void)state;
	lead(&life);
	life.report.cloexec_since_ns = 33 * S;
	check_choice(&life, 3);
	life.report.cloexec_since_ns = 34 * S;
	check_choice(&life, 0);
	life.report.cloexec_since_ns = 0;
	life.report.cloexec_pid = 6000;
	check_choice(&life, 3);
	life.report.cloexec_pid = 5001;
	check_choice(&life, 2);
	life.report.cloexec_pid = 0;
	life.report.filter = filter;
	filter_add_type(filter, "file");
	check_choice(&life, 1);
	filter_add_name(filter, "/tmp/*");
	check_choice(&life, 1);
	filter_add_stack(filter, FILTER_NOT_STACK, "libfoo", NULL);
	check_choice(&life, 0);
	filter_free(filter);
	life_fini(&life);
}

static void test_none(void **state)
{
	struct life life;

	(void)state;
	life_init(&life, 10);
	serve(&life, 1);
	life_report(&life);
	life.report.cloexec = REPORT_CLOEXEC_YES;
	check_end(&life, &report_text, "== INHERITED",
		  "== INHERITED OVER EXEC: no handle but standard input, output and error (1 exec "
		  "was seen).\n");
	life_fini(&life);
}

/* The report of a child names the place of what it has from its parent. */
static void test_others(void **state)
{
	struct life life;
	json_t *json;
	char *text;

	(void)state;
	life_init(&life, 10);
	life_open(&life, 2 * S, PID, 3, life.open_stack, "eventfd", NULL);
	life_open(&life, 3 * S, PID, 4, life.open_stack, "eventfd", NULL);
	fork_(&life, PID, 6000, 8 * S);
	exec_(&life, PID, 9 * S, NULL);
	life_use(&life, 10 * S, PID, 7);
	life_op(&life, 11 * S, 6000, life.use_stack, READ,
		(struct handle_op){.kind = HANDLE_OPEN, .number = 9, .type = "eventfd"});
	life_op(&life, 60 * S, 6000, life.use_stack, READ,
		(struct handle_op){.kind = HANDLE_OPEN, .number = 10, .type = "eventfd"});
	life_report(&life);
	text = print(&life, &report_text);
	assert_non_null(
	    strstr(text, "\n   Inherited: 3-4 anon_inode:[eventfd], opened by process 4242 in fun4 "
			 "leakyhandles.c:41\n"));
	assert_non_null(
	    strstr(text, "\n   Inherited: 3-4 anon_inode:[eventfd], opened before its exec in fun4 "
			 "leakyhandles.c:41\n"));
	free(text);
	json = json_parse_take(print(&life, &report_json));
	is_string(json, "processes/1/other_handles/0/origin", "inherited");
	is_string(json, "processes/1/other_handles/0/opened_at/function", "fun4");
	json_decref(json);
	life_fini(&life);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_aggregated), cmocka_unit_test(test_kept),
	    cmocka_unit_test(test_first_exec), cmocka_unit_test(test_bitmap),
	    cmocka_unit_test(test_bounded),    cmocka_unit_test(test_renewed),
	    cmocka_unit_test(test_late_name),  cmocka_unit_test(test_merged),
	    cmocka_unit_test(test_unseen),     cmocka_unit_test(test_golden),
	    cmocka_unit_test(test_json),       cmocka_unit_test(test_choice),
	    cmocka_unit_test(test_none),       cmocka_unit_test(test_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
