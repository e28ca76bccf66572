/* Owns the stack machine of DWARF expressions; what the result means is the rule's business. */
#include "unwind/expr.h"

#include "unwind/byte_reader.h"
#include "unwind/rule.h"

#include <dwarf.h>

enum { EXPR_DEPTH_MAX = 64, EXPR_STEPS_MAX = 1000 };

struct machine {
	uint64_t stack[EXPR_DEPTH_MAX];
	unsigned depth;
	bool failed;
	bool bad_read;
	uint64_t bad_address;
	const struct stack_copy *copy;
	const struct registers *registers;
};

static void push(struct machine *machine, uint64_t value)
{
	if (machine->depth == EXPR_DEPTH_MAX)
		machine->failed = true;
	else
		machine->stack[machine->depth++] = value;
}

static uint64_t pop(struct machine *machine)
{
	if (machine->depth == 0) {
		machine->failed = true;
		return 0;
	}
	return machine->stack[--machine->depth];
}

/* The value `index` below the top. */
static uint64_t peek(struct machine *machine, uint64_t index)
{
	if (index >= machine->depth) {
		machine->failed = true;
		return 0;
	}
	return machine->stack[machine->depth - 1 - index];
}

static void push_register(struct machine *machine, uint64_t number, int64_t offset)
{
	if (number >= REGISTERS_N || !(machine->registers->known >> number & 1))
		machine->failed = true;
	else
		push(machine, machine->registers->value[number] + offset);
}

static void dereference(struct machine *machine, unsigned bytes)
{
	uint64_t address = pop(machine), value = 0;

	if (machine->failed || bytes == 0 || bytes > 8) {
		machine->failed = true;
	} else if (!stack_copy_read(machine->copy, address, &value)) {
		machine->failed = machine->bad_read = true;
		machine->bad_address = address;
	}
	if (bytes < 8)
		value &= ((uint64_t)1 << 8 * bytes) - 1;
	push(machine, value);
}

/* Operations on the top value alone; false where `op` is none. */
static bool unary(struct machine *machine, uint8_t op, struct byte_reader *code)
{
	uint64_t value;

	switch (op) {
	case DW_OP_abs:
		value = pop(machine);
		push(machine, (int64_t)value < 0 ? -value : value);
		return true;
	case DW_OP_neg:
		push(machine, -pop(machine));
		return true;
	case DW_OP_not:
		push(machine, ~pop(machine));
		return true;
	case DW_OP_plus_uconst:
		value = reader_uleb(code);
		push(machine, pop(machine) + value);
		return true;
	default:
		return false;
	}
}

static uint64_t divide(struct machine *machine, int64_t left, int64_t right)
{
	if (right == 0) {
		machine->failed = true;
		return 0;
	}
	return right == -1 ? -(uint64_t)left : (uint64_t)(left / right);
}

static uint64_t modulo(struct machine *machine, uint64_t left, uint64_t right)
{
	if (right == 0) {
		machine->failed = true;
		return 0;
	}
	return left % right;
}

/* Operations on the two topmost values; false where `op` is none. */
static bool binary(struct machine *machine, uint8_t op)
{
	uint64_t right = peek(machine, 0), left = machine->depth > 1 ? peek(machine, 1) : 0;
	uint64_t result;

	switch (op) {
#define OP(name, formula)                                                                          \
	case name:                                                                                 \
		result = (formula);                                                                \
		break
		OP(DW_OP_and, left & right);
		OP(DW_OP_or, left | right);
		OP(DW_OP_xor, left ^ right);
		OP(DW_OP_plus, left + right);
		OP(DW_OP_minus, left - right);
		OP(DW_OP_mul, left * right);
		OP(DW_OP_div, divide(machine, left, right));
		OP(DW_OP_mod, modulo(machine, left, right));
		OP(DW_OP_shl, right < 64 ? left << right : 0);
		OP(DW_OP_shr, right < 64 ? left >> right : 0);
		OP(DW_OP_shra, (uint64_t)((int64_t)left >> (right < 64 ? right : 63)));
		OP(DW_OP_eq, left == right);
		OP(DW_OP_ne, left != right);
		OP(DW_OP_ge, (int64_t)left >= (int64_t)right);
		OP(DW_OP_gt, (int64_t)left > (int64_t)right);
		OP(DW_OP_le, (int64_t)left <= (int64_t)right);
		OP(DW_OP_lt, (int64_t)left < (int64_t)right);
#undef OP
	default:
		return false;
	}
	pop(machine);
	pop(machine);
	push(machine, result);
	return true;
}

static bool constant(struct machine *machine, uint8_t op, struct byte_reader *code)
{
	if (op >= DW_OP_lit0 && op <= DW_OP_lit31) {
		push(machine, op - DW_OP_lit0);
		return true;
	}
	switch (op) {
	case DW_OP_const1u:
	case DW_OP_const2u:
	case DW_OP_const4u:
	case DW_OP_const8u:
		push(machine, reader_unsigned(code, 1u << (op - DW_OP_const1u) / 2));
		return true;
	case DW_OP_const1s:
	case DW_OP_const2s:
	case DW_OP_const4s:
	case DW_OP_const8s:
		push(machine, reader_signed(code, 1u << (op - DW_OP_const1s) / 2));
		return true;
	case DW_OP_constu:
		push(machine, reader_uleb(code));
		return true;
	case DW_OP_consts:
		push(machine, reader_sleb(code));
		return true;
	default:
		return false;
	}
}

static bool shuffle(struct machine *machine, uint8_t op, struct byte_reader *code)
{
	uint64_t top, second, third;

	switch (op) {
	case DW_OP_dup:
		push(machine, peek(machine, 0));
		return true;
	case DW_OP_drop:
		pop(machine);
		return true;
	case DW_OP_over:
		push(machine, peek(machine, 1));
		return true;
	case DW_OP_pick:
		push(machine, peek(machine, reader_unsigned(code, 1)));
		return true;
	case DW_OP_swap:
		top = pop(machine), second = pop(machine);
		push(machine, top), push(machine, second);
		return true;
	case DW_OP_rot:
		top = pop(machine), second = pop(machine), third = pop(machine);
		push(machine, top), push(machine, third), push(machine, second);
		return true;
	default:
		return false;
	}
}

static bool memory(struct machine *machine, uint8_t op, struct byte_reader *code)
{
	uint64_t number;

	if (op >= DW_OP_breg0 && op <= DW_OP_breg31) {
		push_register(machine, op - DW_OP_breg0, reader_sleb(code));
		return true;
	}
	switch (op) {
	case DW_OP_bregx:
		number = reader_uleb(code);
		push_register(machine, number, reader_sleb(code));
		return true;
	case DW_OP_deref:
		dereference(machine, 8);
		return true;
	case DW_OP_deref_size:
		dereference(machine, reader_unsigned(code, 1));
		return true;
	default:
		return false;
	}
}

/* Jumps stay inside the expression; how often is bounded by EXPR_STEPS_MAX. */
static bool jump(struct machine *machine, uint8_t op, struct byte_reader *code,
		 const uint8_t *first)
{
	int64_t distance;

	if (op != DW_OP_skip && op != DW_OP_bra)
		return false;
	distance = reader_signed(code, 2);
	if (op == DW_OP_bra && pop(machine) == 0)
		return true;
	if (distance < first - code->at || distance > code->end - code->at)
		machine->failed = true;
	else
		code->at += distance;
	return true;
}

enum expr_result expr_evaluate(const uint8_t *bytes, uint32_t size, const uint64_t *cfa,
			       const struct stack_copy *copy, const struct registers *registers,
			       uint64_t *out, uint64_t *bad_address)
{
	struct byte_reader code = {.at = bytes, .end = bytes + size};
	struct machine machine;

	machine.depth = 0;
	machine.failed = machine.bad_read = false;
	machine.copy = copy;
	machine.registers = registers;
	if (cfa)
		push(&machine, *cfa);
	for (unsigned steps = 0; reader_left(&code) > 0; steps++) {
		uint8_t op = reader_unsigned(&code, 1);

		if (steps == EXPR_STEPS_MAX ||
		    (op != DW_OP_nop && !constant(&machine, op, &code) &&
		     !memory(&machine, op, &code) && !shuffle(&machine, op, &code) &&
		     !unary(&machine, op, &code) && !jump(&machine, op, &code, bytes) &&
		     !binary(&machine, op)))
			return EXPR_BAD;
		if (machine.bad_read) {
			*bad_address = machine.bad_address;
			return EXPR_BAD_READ;
		}
		if (machine.failed || code.failed)
			return EXPR_BAD;
	}
	*out = pop(&machine);
	return machine.failed ? EXPR_BAD : EXPR_OK;
}
