/* The names of types: families, what is asked for by type, what two handles share. */
#include "model/handle_type.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void every_row_belongs_to_a_row(void **state)
{
	(void)state;
	for (const struct handle_type *row = handle_types; row->name; row++) {
		const struct handle_type *family = handle_type_find(row->family);

		assert_ptr_equal(handle_type_find(row->name), row);
		assert_non_null(family);
		assert_string_equal(family->family, family->name);
	}
	assert_null(handle_type_find("sockets"));
}

static void a_family_is_all_of_its_kinds(void **state)
{
	(void)state;
	assert_true(handle_type_is("tcp", "tcp"));
	assert_true(handle_type_is("tcp", "socket"));
	assert_true(handle_type_is("socket", "socket"));
	assert_false(handle_type_is("socket", "tcp"));
	assert_true(handle_type_is("tty", "device"));
	assert_true(handle_type_is("fifo", "pipe"));
	assert_false(handle_type_is("pipe", "fifo"));
	assert_false(handle_type_is("directory", "file"));
	assert_true(handle_type_is(NULL, "unknown"));
	assert_false(handle_type_is(NULL, "file"));
	assert_true(handle_type_is("new in a later kernel", "new in a later kernel"));
}

static void two_handles_share_what_both_are(void **state)
{
	(void)state;
	assert_string_equal(handle_type_common("tcp", "tcp"), "tcp");
	assert_string_equal(handle_type_common("tcp", "unix"), "socket");
	assert_string_equal(handle_type_common("socket", "udp"), "socket");
	assert_string_equal(handle_type_common("tcp", "file"), "mixed");
	assert_string_equal(handle_type_common("mixed", "file"), "mixed");
	assert_string_equal(handle_type_common(NULL, "file"), "file");
	assert_string_equal(handle_type_common("file", NULL), "file");
	assert_null(handle_type_common(NULL, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_row_belongs_to_a_row),
	    cmocka_unit_test(a_family_is_all_of_its_kinds),
	    cmocka_unit_test(two_handles_share_what_both_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
