/* symbol/demangle against names with known readings, and names made to explode. */
#include "symbol/demangle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

static const struct {
	const char *mangled, *readable;
} known[] = {
    {"main", "main"},
    {"", ""},
    {"_", "_"},
    {"_start", "_start"},
    {"_Z", "_Z"},
    {"_ZN", "_ZN"},
    {"_D", "_D"},
    {"_R", "_R"},
    {"_Z3foov", "foo()"},
    {"_ZN2ns3BoxIiLi3EE3addEi", "ns::Box<int, 3>::add(int)"},
    {"_ZN12_GLOBAL__N_14pickEv", "(anonymous namespace)::pick()"},
    {"_ZZ4mainENKUliE_clEi", "main::{lambda(int)#1}::operator()(int) const"},
    {"_ZN3FooC2Ev", "Foo::Foo()"},
    {"_ZN3FooD0Ev", "Foo::~Foo()"},
    {"_ZNSt6vectorIiSaIiEE9push_backERKi",
     "std::vector<int, std::allocator<int> >::push_back(int const&)"},
    {"_Z3foov.cold", "foo() [clone .cold]"},
    {"_ZNSt9exceptionD2Ev@plt", "std::exception::~exception()@plt"},
    {"open@plt", "open@plt"},
    /* Rust, legacy: the hash goes, $ sequences are taken apart. */
    {"_ZN3std2io5stdio6_print17h0123456789abcdefE", "std::io::stdio::_print"},
    {"_ZN4core3ptr13drop_in_place17h0123456789abcdefE", "core::ptr::drop_in_place"},
    {"_ZN71_$LT$Test$u20$$u2b$$u20$$u27$static$u20$as$u20$foo..Bar$LT$Test$GT$$GT$3bar17h930b740aa"
     "94f1d3aE",
     "<Test + 'static as foo::Bar<Test>>::bar"},
    /* Rust, v0. */
    {"_RNvC6_123foo3bar", "123foo::bar"},
    {"_RNvNtCs1234_7mycrate3foo3bar", "mycrate::foo::bar"},
    {"_RINvNtC3std3mem8align_ofjE", "std::mem::align_of::<usize>"},
    /* D. */
    {"_D3std5stdio4File5closeMFZv", "std.stdio.File.close()"},
    {"_Dmain", "D main"},
};

static void test_known(void **state)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		char *name = demangle_dup(known[i].mangled);

		assert_string_equal(name, known[i].readable);
		free(name);
	}
}

/* A function with an argument of pair<int, int>, and `steps` more that are each a pair of the one
 * before. */
static char *demangle_pairs(int steps)
{
	static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	char name[1024] = "_Z1fSt4pairIiiE";

	for (int i = 0; i < steps; i++)
		sprintf(name + strlen(name), "S_IS%c_S%c_E", digits[i], digits[i]);
	return demangle_dup(name);
}

/* Each step doubles the text: 2^36 times, if one lets it. Then the name stays as it is. */
static void test_explosion(void **state)
{
	char *readable = demangle_pairs(1);

	assert_string_equal(readable, "f(std::pair<int, int>, "
				      "std::pair<std::pair<int, int>, std::pair<int, int> >)");
	free(readable);
	readable = demangle_pairs(36);
	assert_memory_equal(readable, "_Z1fSt4pair", 11);
	free(readable);
}

static void test_random(void **state)
{
	static const char letters[] = "_ZNRDStIiEELC0123456789vKPF$.hABTXcl";
	unsigned seed = time(NULL);

	print_message("seed %u\n", seed);
	srand(seed);
	for (int round = 0; round < 20000; round++) {
		const char *base = known[rand() % (sizeof(known) / sizeof(known[0]))].mangled;
		char name[256];
		size_t bytes = strlen(base) + rand() % 8, old = strlen(base);
		char *readable;

		memcpy(name, base, old);
		for (size_t i = old; i < bytes; i++)
			name[i] = letters[rand() % (sizeof(letters) - 1)];
		for (int i = rand() % 4; bytes > 2 && i > 0; i--)
			name[2 + rand() % (bytes - 2)] = letters[rand() % (sizeof(letters) - 1)];
		name[bytes] = '\0';
		readable = demangle_dup(name);
		assert_non_null(readable);
		free(readable);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_known),
	    cmocka_unit_test(test_explosion),
	    cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
