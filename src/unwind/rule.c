/* Owns the table of rules and their application; does not know where rules come from. */
#include "unwind/rule.h"

#include "base/hash.h"
#include "unwind/expr.h"

#include <limits.h>

/* System V ABI, figure 3.4: what a call preserves, besides rip. */
enum {
	CALLEE_SAVED = 1 << REGISTER_RBX | 1 << REGISTER_RBP | 1 << REGISTER_RSP |
		       1 << REGISTER_R12 | 1 << REGISTER_R13 | 1 << REGISTER_R14 |
		       1 << REGISTER_R15,
	EXPRESSIONS_MAX = 1 << 16,
};

void rule_table_init(struct rule_table *table)
{
	*table = (struct rule_table){0};
	rule_intern(table, &(struct rule){.cfa = RULE_CFA_NONE});
}

void rule_table_fini(struct rule_table *table)
{
	array_fini(&table->rules);
	array_fini(&table->expressions);
	map_fini(&table->by_hash);
}

static size_t rule_bytes(const struct rule *rule)
{
	return offsetof(struct rule, saved) + rule->saved_n * sizeof(rule->saved[0]);
}

int rule_intern(struct rule_table *table, const struct rule *rule)
{
	uint64_t hash = hash_bytes(rule, rule_bytes(rule), 0);
	uint64_t *slot;

	/* Equal hashes of unlike rules take the next key. */
	while ((slot = map_get(&table->by_hash, hash))) {
		const struct rule *other = &table->rules.data[*slot];

		if (other->saved_n == rule->saved_n && !memcmp(other, rule, rule_bytes(rule)))
			return *slot;
		hash++;
	}
	if (table->rules.count == RULES_MAX)
		return -1;
	*map_put(&table->by_hash, hash) = table->rules.count;
	array_push(&table->rules, *rule);
	return table->rules.count - 1;
}

int rule_expression_add(struct rule_table *table, const uint8_t *bytes, uint32_t size)
{
	array_each (known, &table->expressions) {
		/* The same function asked for again; there are but a few in all of a system. */
		if (known->bytes == bytes && known->size == size)
			return known - table->expressions.data;
	}
	if (table->expressions.count == EXPRESSIONS_MAX)
		return -1;
	array_push(&table->expressions, (struct rule_expression){bytes, size});
	return table->expressions.count - 1;
}

static bool is_known(const struct registers *registers, unsigned number)
{
	return registers->known >> number & 1;
}

/* The value of a register was used to find a frame. */
static void decided_by(const struct stack_copy *copy, const struct registers *registers,
		       unsigned number)
{
	if (number != REGISTER_RSP && number != REGISTER_RIP)
		trail_add(copy->trail, registers->source[number]);
}

static enum rule_step evaluate(const struct rule_table *table, int32_t number, const uint64_t *cfa,
			       const struct stack_copy *copy, const struct registers *registers,
			       uint64_t *out, uint64_t *bad_address)
{
	struct rule_expression expression;

	if (number < 0 || (size_t)number >= table->expressions.count)
		return RULE_STEP_UNKNOWN;
	expression = table->expressions.data[number];
	copy->trail->incomplete = true; /* it may look at anything; there are but a few */
	switch (expr_evaluate(expression.bytes, expression.size, cfa, copy, registers, out,
			      bad_address)) {
	case EXPR_OK:
		return RULE_STEP_OK;
	case EXPR_BAD_READ:
		return RULE_STEP_BAD_READ;
	default:
		return RULE_STEP_UNKNOWN;
	}
}

static enum rule_step find_cfa(const struct rule *rule, const struct rule_table *table,
			       const struct stack_copy *copy, const struct registers *registers,
			       uint64_t *cfa, uint64_t *bad_address)
{
	unsigned number = rule->cfa_register;
	int64_t offset = rule->cfa_offset;

	if (rule->cfa == RULE_CFA_NONE)
		return RULE_STEP_UNKNOWN;
	if (rule->cfa == RULE_CFA_EXPRESSION)
		return evaluate(table, offset, NULL, copy, registers, cfa, bad_address);
	if (!is_known(registers, number))
		return RULE_STEP_UNKNOWN;
	decided_by(copy, registers, number);
	if (rule->cfa == RULE_CFA_PLT) {
		bool pushed = (int64_t)(registers->value[REGISTER_RIP] & 15) >= offset;

		*cfa = registers->value[number] + 8 + (pushed ? 8 : 0);
		return RULE_STEP_OK;
	}
	*cfa = registers->value[number] + offset;
	if (rule->cfa == RULE_CFA_DEREF) {
		*bad_address = *cfa;
		trail_add_word(copy->trail, *cfa);
		if (!stack_copy_read(copy, *cfa, cfa))
			return RULE_STEP_BAD_READ;
	}
	return RULE_STEP_OK;
}

/*
 * The value of a saved register; `old` are the frame's own registers. *address is where it was
 * read or, where it was computed, 0.
 */
static enum rule_step find_saved(const struct rule_saved *saved, const struct rule_table *table,
				 const struct stack_copy *copy, const struct registers *old,
				 uint64_t cfa, uint64_t *out, uint64_t *address)
{
	uint64_t place = cfa + saved->offset;
	enum rule_step step;

	*address = 0;
	switch ((enum rule_where)saved->where) {
	case RULE_AT_CFA:
		break;
	case RULE_IS_CFA:
		*out = place;
		return RULE_STEP_OK;
	case RULE_AT_REGISTER:
	case RULE_IS_REGISTER:
		if (!is_known(old, saved->base))
			return RULE_STEP_UNKNOWN;
		decided_by(copy, old, saved->base);
		*out = place = old->value[saved->base] + saved->offset;
		if (saved->where == RULE_IS_REGISTER)
			return RULE_STEP_OK;
		break;
	case RULE_AT_EXPRESSION:
	case RULE_IS_EXPRESSION:
		step = evaluate(table, saved->offset, &cfa, copy, old, &place, address);
		*out = place;
		if (step != RULE_STEP_OK || saved->where == RULE_IS_EXPRESSION)
			return step;
		break;
	case RULE_UNDEFINED:
		return RULE_STEP_UNKNOWN;
	}
	*address = place;
	return stack_copy_read(copy, place, out) ? RULE_STEP_OK : RULE_STEP_BAD_READ;
}

/* What a caller has without any rule; its rip has yet to be found. */
static void caller_registers(struct registers *registers, uint64_t cfa)
{
	registers->known = (registers->known & CALLEE_SAVED) | 1u << REGISTER_RSP;
	registers->value[REGISTER_RSP] = cfa;
}

static enum rule_step apply_rare(const struct rule *rule, const struct rule_table *table,
				 const struct stack_copy *copy, uint64_t cfa,
				 struct registers *registers, uint64_t *bad_address)
{
	const struct registers old = *registers;

	caller_registers(registers, cfa);
	for (unsigned i = 0; i < rule->saved_n; i++) {
		const struct rule_saved *saved = &rule->saved[i];
		bool is_place = saved->number == REGISTER_RIP || saved->number == REGISTER_RSP;
		enum rule_step step = find_saved(saved, table, copy, &old, cfa,
						 &registers->value[saved->number], bad_address);

		if (step != RULE_STEP_OK && is_place)
			return step;
		registers->known &= ~(1u << saved->number);
		if (step != RULE_STEP_OK)
			continue;
		registers->known |= 1u << saved->number;
		registers->source[saved->number] = *bad_address ?: TRAIL_DERIVED;
		if (is_place && *bad_address)
			trail_add_word(copy->trail, *bad_address);
	}
	return is_known(registers, REGISTER_RIP) ? RULE_STEP_OK : RULE_STEP_UNKNOWN;
}

enum rule_step rule_apply(const struct rule *rule, const struct rule_table *table,
			  const struct stack_copy *copy, struct registers *registers,
			  uint64_t *bad_address)
{
	enum rule_step step;
	uint64_t cfa;

	if (rule->flags & RULE_BOTTOM)
		return RULE_STEP_BOTTOM;
	step = find_cfa(rule, table, copy, registers, &cfa, bad_address);
	if (step != RULE_STEP_OK)
		return step;
	if (rule->flags & RULE_OLD_REGISTERS)
		return apply_rare(rule, table, copy, cfa, registers, bad_address);
	caller_registers(registers, cfa);
	for (unsigned i = 0; i < rule->saved_n; i++) {
		const struct rule_saved *saved = &rule->saved[i];
		uint64_t address = cfa + saved->offset;

		if (stack_copy_read(copy, address, &registers->value[saved->number])) {
			registers->known |= 1u << saved->number;
			registers->source[saved->number] = address;
			if (saved->number == REGISTER_RIP)
				trail_add_word(copy->trail, address);
		} else if (saved->number == REGISTER_RIP) {
			*bad_address = address;
			return RULE_STEP_BAD_READ;
		} else {
			registers->known &= ~(1u << saved->number);
		}
	}
	return is_known(registers, REGISTER_RIP) ? RULE_STEP_OK : RULE_STEP_UNKNOWN;
}

/*
 * struct ucontext of <asm/ucontext.h>: uc_flags, uc_link, uc_stack are 40 bytes, then struct
 * sigcontext: r8..r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip. By DWARF number:
 */
void rule_kernel_signal(struct rule *rule)
{
	static const struct {
		uint8_t number, offset;
	} places[] = {
	    {16, 168}, {7, 160}, {6, 120}, {3, 128}, {12, 72}, {13, 80},
	    {14, 88},  {15, 96}, {0, 144}, {1, 136}, {2, 152}, {4, 112},
	    {5, 104},  {8, 40},  {9, 48},  {10, 56}, {11, 64},
	};

	*rule = (struct rule){.cfa = RULE_CFA_DEREF,
			      .cfa_register = REGISTER_RSP,
			      .cfa_offset = 160,
			      .flags = RULE_SIGNAL | RULE_OLD_REGISTERS};
	for (unsigned i = 0; i < REGISTERS_N; i++)
		rule->saved[rule->saved_n++] = (struct rule_saved){
		    .number = places[i].number,
		    .where = RULE_AT_REGISTER,
		    .base = REGISTER_RSP,
		    .offset = places[i].offset,
		};
}
