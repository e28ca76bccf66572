/*
 * DWARF expressions as CFI uses them (DWARF 5, section 2.5), in bounded space and time: an
 * expression of a hostile file may loop, but not for long.
 */
#ifndef HTRACE_UNWIND_EXPR_H
#define HTRACE_UNWIND_EXPR_H

#include <stdint.h>

struct registers;
struct stack_copy;

enum expr_result {
	EXPR_OK = 0,
	EXPR_BAD = 1,      /* malformed, too long, or it needs what we do not have */
	EXPR_BAD_READ = 2, /* *bad_address is in no copied piece */
};

/* `cfa` is pushed first; NULL: the stack starts empty. Memory is read from `copy` only. */
enum expr_result expr_evaluate(const uint8_t *bytes, uint32_t size, const uint64_t *cfa,
			       const struct stack_copy *copy, const struct registers *registers,
			       uint64_t *out, uint64_t *bad_address);

#endif
