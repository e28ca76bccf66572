/* report/json: parsed back, and every field of the contract compared with what was laid down. */
#include "fake_report.h"

#include "json_paths.h"

static json_t *parse(const struct fixture *fixture)
{
	return json_parse_take(print(fixture, &report_json, (struct report_style){0}));
}

static void check_group(json_t *group)
{
	is_string(group, "type", "eventfd");
	is_integer(group, "open", 10);
	is_integer(group, "opened", 10);
	is_integer(group, "closed", 0);
	is_string(group, "verdict", "leak");
	is_string(group, "reason", "10 opened here, none closed");
	is_boolean(group, "stack_complete", true);
	is_count(group, "stack", 5);
	is_string(group, "stack/0/function", "eventfd");
	is_null(group, "stack/0/file");
	is_null(group, "stack/0/line");
	is_string(group, "stack/1/function", "fun4");
	is_string(group, "stack/1/module", "leaky");
	is_integer(group, "stack/1/offset", 38);
	is_string(group, "stack/1/address", "0x55550002");
	is_string(group, "stack/1/file", "leakyhandles.c");
	is_integer(group, "stack/1/line", 41);
	is_boolean(group, "stack/1/inlined", false);
	is_boolean(group, "stack/2/inlined", true);
	is_count(group, "handles", 10);
	is_integer(group, "handles/0/handle", 4);
	is_string(group, "handles/0/type", "eventfd");
	is_string(group, "handles/0/name", "anon_inode:[eventfd]");
	is_integer(group, "handles/0/tid", 4242);
	is_integer(group, "handles/0/opened_ns", 2 * S + 4 * MS);
	is_integer(group, "handles/0/age_ns", 4 * S - 4 * MS); /* at its exit */
	is_boolean(group, "handles/0/cloexec", false);
	is_string(group, "handles/0/origin", "opened");
	is_integer(group, "handles/9/handle", 13);
}

static void test_contract(void **state)
{
	struct fixture fixture;
	json_t *root;

	(void)state;
	fixture_init(&fixture);
	sample(&fixture);
	fixture_report(&fixture, "/opt/leaky");
	root = parse(&fixture);
	is_string(root, "schema", "htrace.report/1");
	is_string(root, "collector", "bpf");
	is_string(root, "version", HTRACE_VERSION);
	is_null(root, "time");
	is_count(root, "processes", 1);
	is_integer(root, "processes/0/pid", 4242);
	is_string(root, "processes/0/exe", "/opt/leaky");
	is_boolean(root, "processes/0/exited", true);
	is_integer(root, "processes/0/exit_status", 0);
	is_null(root, "processes/0/exit_signal");
	is_integer(root, "processes/0/open_handles", 14);
	is_integer(root, "processes/0/before_tracing", 3);
	is_count(root, "processes/0/other_handles", 3);
	is_integer(root, "processes/0/other_handles/2/handle", 2);
	is_string(root, "processes/0/other_handles/2/name", "/dev/pts/0");
	is_string(root, "processes/0/other_handles/2/origin", "before-tracing");
	is_integer(root, "processes/0/events", 48);
	is_integer(root, "processes/0/lost_events", 0);
	is_integer(root, "processes/0/truncated_stacks", 0);
	is_count(root, "processes/0/groups", 2);
	check_group(at(root, "processes/0/groups/0"));
	is_string(root, "processes/0/groups/1/verdict", "unknown");
	is_boolean(root, "processes/0/groups/1/stack_complete", false);
	is_string(root, "processes/0/groups/1/stack_end", "no-cfi");
	is_null(root, "processes/0/groups/1/stack/1/function");
	is_integer(root, "processes/0/groups/1/stack/1/offset", 0x1234);
	is_count(root, "processes/0/bad_references", 0);
	json_decref(root);
	fixture_fini(&fixture);
}

/* Bad references, a signal, losses, hostile names, huge numbers. */
static void test_everything(void **state)
{
	struct fixture fixture;
	json_t *root, *process;

	(void)state;
	fixture_init(&fixture);
	fixture.report.wall.tv_sec = 1000000000;
	fixture.report.foreign_processes = UINT64_MAX;
	everything(&fixture);
	root = parse(&fixture);
	is_string(root, "time", "2001-09-09T01:46:40Z");
	is_integer(root, "foreign_processes", INT64_MAX);
	is_count(root, "processes", 202);
	process = at(root, "processes/0");
	is_null(process, "exit_status");
	is_integer(process, "exit_signal", 11);
	is_integer(process, "lost_events", 7);
	is_integer(process, "truncated_stacks", 2);
	is_integer(process, "stack_ends/truncated", 2);
	is_integer(process, "stack_ends/no-cfi", 1200);
	is_boolean(process, "incomplete", true);
	is_count(process, "groups", 4);
	is_string(process, "groups/0/type", "unknown");
	is_integer(process, "groups/0/stack/0/offset", INT64_MAX);
	is_string(process, "groups/0/stack/0/address", "0xffffffffffffffff");
	is_string(process, "groups/2/origin", "received");
	is_string(process, "groups/2/handles/0/name", "socket:\033]0;x\007[1]\xef\xbf\xbd");
	is_string(process, "groups/2/stack/0/function", "evil\033[2Jname\n");
	is_string(process, "groups/2/stack/0/module", "mod\xef\xbf\xbdule\r");
	is_string(process, "groups/2/stack/0/file", "a\tb\xef\xbf\xbd(.c");
	is_integer(process, "groups/2/stack/0/line", UINT32_MAX);
	is_count(process, "bad_references", 2 + 924);
	is_integer(process, "bad_references/0/handle", 7);
	is_string(process, "bad_references/0/operation", "close");
	is_string(process, "bad_references/0/kind", "double-close");
	is_boolean(process, "bad_references/0/inferred", false);
	is_integer(process, "bad_references/0/count", 1);
	is_string(process, "bad_references/0/stack/1/function", "fun4");
	is_string(process, "bad_references/0/closed_stack/0/function", "close");
	is_string(process, "bad_references/0/opened_stack/0/function", "eventfd");
	is_integer(process, "bad_references/0/tid", 4243);
	is_integer(process, "bad_references/0/closed_ns", 4 * S);
	is_string(process, "bad_references/0/closed_by", "dup");
	is_string(process, "bad_references/1/operation", "read");
	is_string(process, "bad_references/1/kind", "use-after-close");
	is_count(process, "bad_references/1/closed_stack", 0);
	is_count(process, "bad_references/1/opened_stack", 0);
	is_null(process, "bad_references/1/closed_by");
	is_string(process, "bad_references/2/kind", "never-opened");
	is_count(root, "processes/2/groups", 0);
	json_decref(root);
	fixture_fini(&fixture);
}

static void test_nothing(void **state)
{
	struct fixture fixture;
	json_t *root;

	(void)state;
	fixture_init(&fixture);
	root = parse(&fixture);
	is_count(root, "processes", 0);
	json_decref(root);
	fake_process(&fixture.model, 1, 0);
	fixture_report(&fixture, NULL);
	root = parse(&fixture);
	is_null(root, "processes/0/exe");
	is_boolean(root, "processes/0/exited", false);
	is_null(root, "processes/0/exit_status");
	is_null(root, "processes/0/start_ns");
	is_count(root, "processes/0/groups", 0);
	json_decref(root);
	fixture_fini(&fixture);
}

static void test_stale_close(void **state)
{
	struct fixture fixture;
	json_t *root, *bad;

	(void)state;
	fixture_init(&fixture);
	add_stale(&fixture, fake_process(&fixture.model, 4242, S));
	fixture_report(&fixture, NULL);
	root = parse(&fixture);
	bad = json_array_get(json_object_get(json_array_get(json_object_get(root, "processes"), 0),
					     "bad_references"),
			     0);
	is_string(bad, "kind", "stale-close");
	is_string(bad, "operation", "close");
	is_string(bad, "closed_by", "call");
	is_boolean(bad, "inferred", true);
	is_boolean(bad, "harmless", false);
	is_integer(bad, "opened_ns", 4 * S + 500 * MS);
	is_integer(bad, "closed_ns", 4 * S);
	is_integer(bad, "earlier_ns", 3 * S);
	is_integer(bad, "earlier_tid", 4242);
	is_string(bad, "earlier_stack/0/function", "eventfd");
	is_integer(bad, "noticed_ns", 6 * S);
	is_integer(bad, "noticed_tid", 4244);
	is_string(bad, "noticed_operation", "read");
	is_boolean(bad, "noticed_closed", false);
	is_integer(bad, "closed_elsewhere", 26);
	json_decref(root);
	fixture_fini(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_stale_close),
	    cmocka_unit_test(test_contract),
	    cmocka_unit_test(test_everything),
	    cmocka_unit_test(test_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
