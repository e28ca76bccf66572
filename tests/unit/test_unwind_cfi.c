/* The reader of call frame information on hand-made sections: good ones, and hostile ones. */
#include "unwind/cfi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "unwind/expr.h"

enum { VADDR = 0x1000, STACK = 0x8000, TEXT = 0x4000, TEXT_BYTES = 0x100 };

/* CIE "zR", code 1, data -8, RA 16, pcrel sdata4: CFA = rsp + 8, RA at CFA - 8; at 0. */
#define CIE                                                                                        \
	0x14, 0, 0, 0, 0, 0, 0, 0, 1, 'z', 'R', 0, 1, 0x78, 0x10, 1, 0x1b, 0x0c, 7, 8, 0x90, 1, 0, 0
enum { FDE_AT = 24, FDE_START_AT = FDE_AT + 8, FDE_PROGRAM_AT = FDE_AT + 17, BYTES = 128 };

struct section {
	uint8_t bytes[BYTES];
	uint32_t size;
};

static void put32(struct section *section, size_t at, uint32_t value)
{
	memcpy(section->bytes + at, &value, sizeof(value));
}

/* A section of one CIE and one FDE with this program, which covers TEXT. */
static struct section make(const uint8_t *program, size_t size)
{
	struct section section = {.bytes = {CIE}};
	uint32_t length = (13 + size + 3) & ~3u;

	put32(&section, FDE_AT, length);
	put32(&section, FDE_AT + 4, FDE_AT + 4);
	put32(&section, FDE_START_AT, TEXT - (VADDR + FDE_START_AT));
	put32(&section, FDE_START_AT + 4, TEXT_BYTES);
	memcpy(section.bytes + FDE_PROGRAM_AT, program, size);
	section.size = FDE_AT + 4 + length;
	return section;
}

/* The rule at `vaddr`; the section stands in a block of its very size. */
static bool rule_at(const struct section *section, uint64_t vaddr, struct rule_table *table,
		    struct rule *rule)
{
	static uint8_t *bytes;
	struct cfi cfi = {0};
	bool found;

	free(bytes);
	bytes = malloc(section->size + 1);
	memcpy(bytes, section->bytes, section->size);
	cfi.eh_frame = (struct cfi_section){.data = bytes, .size = section->size, .vaddr = VADDR};
	cfi_open(&cfi);
	found = cfi_rule(&cfi, vaddr, table, rule);
	cfi_fini(&cfi);
	return found;
}

static void test_rows(void **state)
{
	/* push %rbp; mov %rsp,%rbp; ...; leave */
	static const uint8_t program[] = {0x41, 0x0e, 0x10, 0x86, 2, 0x43, 0x0d,
					  6,    0x7c, 0xc6, 0x0c, 7, 8};
	struct section section = make(program, sizeof(program));
	struct rule_table table;
	struct rule rule;

	(void)state;
	rule_table_init(&table);
	assert_false(rule_at(&section, TEXT - 1, &table, &rule));
	assert_false(rule_at(&section, TEXT + TEXT_BYTES, &table, &rule));
	assert_true(rule_at(&section, TEXT, &table, &rule));
	assert_int_equal(rule.cfa_register, REGISTER_RSP);
	assert_int_equal(rule.cfa_offset, 8);
	assert_int_equal(rule.saved_n, 1);
	assert_true(rule_at(&section, TEXT + 3, &table, &rule));
	assert_int_equal(rule.cfa_offset, 16);
	assert_int_equal(rule.saved_n, 2);
	assert_true(rule_at(&section, TEXT + 4, &table, &rule));
	assert_int_equal(rule.cfa_register, REGISTER_RBP);
	assert_true(rule_at(&section, TEXT + 64, &table, &rule));
	assert_int_equal(rule.cfa_register, REGISTER_RSP);
	assert_int_equal(rule.cfa_offset, 8);
	assert_int_equal(rule.saved_n, 1);
	rule_table_fini(&table);
}

/* Every cut and every wrong length: no read beyond the end, which the exact block would show. */
static void test_cut(void **state)
{
	static const uint8_t program[] = {0x41, 0x0e, 0x10, 0x86, 2};
	struct section whole = make(program, sizeof(program));
	struct rule_table table;
	struct rule rule;

	(void)state;
	rule_table_init(&table);
	assert_true(rule_at(&whole, TEXT + 2, &table, &rule));
	for (uint32_t size = 0; size < whole.size; size++) {
		struct section section = whole;

		section.size = size;
		assert_false(rule_at(&section, TEXT + 2, &table, &rule));
	}
	for (unsigned length = 0; length < 256; length++) {
		struct section section = whole;

		section.bytes[FDE_AT] = length;
		if (length > whole.size - FDE_AT - 4 || length < 13)
			assert_false(rule_at(&section, TEXT + 2, &table, &rule));
		section = whole;
		put32(&section, 0, length ? length << 24 : UINT32_MAX);
		assert_false(rule_at(&section, TEXT + 2, &table, &rule));
	}
	rule_table_fini(&table);
}

static void test_cie_pointers(void **state)
{
	struct section section = make((const uint8_t[]){0}, 1);
	struct rule_table table;
	struct rule rule;

	(void)state;
	rule_table_init(&table);
	/* To itself, to before the section, to its middle: an FDE's CIE must be a CIE. */
	for (uint32_t pointer = 1; pointer < 200; pointer++) {
		put32(&section, FDE_AT + 4, pointer);
		assert_int_equal(rule_at(&section, TEXT, &table, &rule), pointer == FDE_AT + 4);
	}
	put32(&section, FDE_AT + 4, UINT32_MAX);
	assert_false(rule_at(&section, TEXT, &table, &rule));
	rule_table_fini(&table);
}

static void test_bad_programs(void **state)
{
	static const uint8_t programs[][19] = {
	    {0x0b}, /* restore_state without a remember */
	    {0x3f}, /* no such instruction */
	    {0x0e, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
	     0x80, 0x80, 0x80, 0x80, 0x80}, /* a number that does not end */
	    {0x0f, 0x7f, 0x77},             /* an expression longer than what there is */
	    {0x0f, 0x01, 0x30, 0x0e, 8},    /* an offset for a CFA that is an expression */
	    {0x0c, 0x40, 0x08},             /* a CFA on a register that there is not */
	    {10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10}, /* too many */
	};
	struct rule_table table;
	struct rule rule;

	(void)state;
	rule_table_init(&table);
	for (size_t i = 0; i < sizeof(programs) / sizeof(*programs); i++) {
		struct section section = make(programs[i], sizeof(programs[i]));

		assert_false(rule_at(&section, TEXT, &table, &rule));
	}
	rule_table_fini(&table);
}

static enum expr_result evaluate(const uint8_t *bytes, uint32_t size, uint64_t *out)
{
	static uint64_t words[] = {11, 22};
	struct stack_copy copy = {.pieces_n = 1};
	struct registers registers = {.known = 1u << REGISTER_RSP};
	uint64_t bad;

	copy.pieces[0] = (struct stack_piece){STACK, sizeof(words), (uint8_t *)words, false};
	registers.value[REGISTER_RSP] = STACK;
	return expr_evaluate(bytes, size, NULL, &copy, &registers, out, &bad);
}

static void test_expressions(void **state)
{
	static const uint8_t loop[] = {0x30, 0x2f, 0xfc, 0xff}, endless[] = {0x2f, 0xfd, 0xff},
			     out_of_it[] = {0x2f, 0x40, 0x00}, no_register[] = {0x76, 0},
			     by_zero[] = {0x31, 0x30, 0x1b}, below[] = {0x22}, empty[] = {0x96},
			     outside[] = {0x77, 16, 0x06}, good[] = {0x77, 8, 0x06, 0x23, 20},
			     unaligned[] = {0x77, 9, 0x06};
	uint64_t value;

	(void)state;
	assert_int_equal(evaluate(good, sizeof(good), &value), EXPR_OK);
	assert_int_equal(value, 42);
	assert_int_equal(evaluate(loop, sizeof(loop), &value), EXPR_BAD);
	assert_int_equal(evaluate(endless, sizeof(endless), &value), EXPR_BAD);
	assert_int_equal(evaluate(out_of_it, sizeof(out_of_it), &value), EXPR_BAD);
	assert_int_equal(evaluate(no_register, sizeof(no_register), &value), EXPR_BAD);
	assert_int_equal(evaluate(by_zero, sizeof(by_zero), &value), EXPR_BAD);
	assert_int_equal(evaluate(below, sizeof(below), &value), EXPR_BAD);
	assert_int_equal(evaluate(empty, sizeof(empty), &value), EXPR_BAD);
	assert_int_equal(evaluate(outside, sizeof(outside), &value), EXPR_BAD_READ);
	assert_int_equal(evaluate(unaligned, sizeof(unaligned), &value), EXPR_BAD_READ);
}

/* Counting down in a loop of four operations: as many as any real expression needs, no more. */
static void test_expression_steps(void **state)
{
	uint64_t value;

	(void)state;
	for (uint32_t n = 1; n < 0x10000; n = n * 5 / 4 + 1) {
		const uint8_t count[] = {0x0a, n & 0xff, n >> 8, 0x31, 0x1c,
					 0x12, 0x28,     0xfa,   0xff};

		assert_int_equal(evaluate(count, sizeof(count), &value),
				 1 + 4 * n <= 1000 ? EXPR_OK : EXPR_BAD);
	}
}

static void test_patterns(void **state)
{
	static const uint8_t plt[] = {0x0f, 11,   0x77, 8,    0x80, 0,   0x3f,
				      0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22};
	static const uint8_t drap[] = {0x0f, 3, 0x76, 0x78, 0x06, 0x10, 6, 2, 0x76, 0};
	struct section section = make(plt, sizeof(plt));
	struct rule_table table;
	struct rule rule;

	(void)state;
	rule_table_init(&table);
	assert_true(rule_at(&section, TEXT, &table, &rule));
	assert_int_equal(rule.cfa, RULE_CFA_PLT);
	assert_int_equal(rule.cfa_offset, 11);
	section = make(drap, sizeof(drap));
	assert_true(rule_at(&section, TEXT, &table, &rule));
	assert_int_equal(rule.cfa, RULE_CFA_DEREF);
	assert_int_equal(rule.cfa_register, REGISTER_RBP);
	assert_int_equal(rule.cfa_offset, -8);
	assert_int_equal(table.expressions.count, 0);
	rule_table_fini(&table);
}

static void test_interning(void **state)
{
	struct rule_table table;
	struct rule rule = {.cfa = RULE_CFA_REGISTER, .cfa_register = REGISTER_RSP};
	int first;

	(void)state;
	rule_table_init(&table);
	first = rule_intern(&table, &rule);
	assert_int_equal(rule_intern(&table, &rule), first);
	for (rule.cfa_offset = 1; rule.cfa_offset < RULES_MAX - 1; rule.cfa_offset++)
		assert_int_not_equal(rule_intern(&table, &rule), first);
	assert_int_equal(rule_intern(&table, &rule), -1);
	rule_table_fini(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),         cmocka_unit_test(test_cut),
	    cmocka_unit_test(test_cie_pointers), cmocka_unit_test(test_bad_programs),
	    cmocka_unit_test(test_expressions),  cmocka_unit_test(test_patterns),
	    cmocka_unit_test(test_interning),    cmocka_unit_test(test_expression_steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
