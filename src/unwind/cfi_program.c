/*
 * Owns the machine of call frame instructions (DWARF 5, section 6.4.2): one row of the table that
 * a CIE and an FDE describe, turned into a rule. Does not know where they were found.
 */
#include "unwind/cfi.h"

#include <dwarf.h>

enum { STATES_MAX = 16, PROGRAM_BYTES_MAX = 1 << 20 };

/* How one register, or the CFA, is had. */
struct location {
	enum {
		LOCATION_SAME = 0, /* no rule: it keeps its value */
		LOCATION_UNDEFINED,
		LOCATION_AT_CFA,
		LOCATION_IS_CFA,
		LOCATION_REGISTER, /* register + offset; the CFA's usual kind */
		LOCATION_AT_EXPRESSION,
		LOCATION_IS_EXPRESSION,
	} kind;
	uint32_t size;   /* of the expression */
	uint64_t number; /* register */
	int64_t offset;
	const uint8_t *expression;
};

struct row {
	struct location cfa;
	struct location registers[REGISTERS_N];
};

struct program {
	const struct cfi_fde *fde;
	uint64_t location; /* vaddr at which the row begins */
	struct row row;
	struct row initial; /* after the CIE's program: what DW_CFA_restore goes back to */
	struct row states[STATES_MAX];
	unsigned states_n;
	bool failed;
};

static void set_register(struct program *program, uint64_t number, struct location location)
{
	/* Vector and segment registers do not matter to us. */
	if (number < REGISTERS_N)
		program->row.registers[number] = location;
}

static void restore_register(struct program *program, uint64_t number)
{
	if (number < REGISTERS_N)
		program->row.registers[number] = program->initial.registers[number];
}

static struct location at_cfa(struct program *program, int64_t factored)
{
	return (struct location){
	    .kind = LOCATION_AT_CFA,
	    .offset = (uint64_t)factored * (uint64_t)program->fde->cie.data_align,
	};
}

static struct location read_expression(struct byte_reader *reader, bool at)
{
	uint64_t size = reader_uleb(reader);
	const uint8_t *bytes = reader_take(reader, size);

	return (struct location){
	    .kind = at ? LOCATION_AT_EXPRESSION : LOCATION_IS_EXPRESSION,
	    .expression = bytes,
	    .size = bytes ? size : 0,
	};
}

/* Instructions that define the CFA; false where `op` is none. */
static bool run_cfa(struct program *program, uint8_t op, struct byte_reader *reader)
{
	struct location *cfa = &program->row.cfa;
	int64_t data_align = program->fde->cie.data_align;

	switch (op) {
	case DW_CFA_def_cfa:
		*cfa = (struct location){.kind = LOCATION_REGISTER, .number = reader_uleb(reader)};
		cfa->offset = reader_uleb(reader);
		return true;
	case DW_CFA_def_cfa_sf:
		*cfa = (struct location){.kind = LOCATION_REGISTER, .number = reader_uleb(reader)};
		cfa->offset = (uint64_t)reader_sleb(reader) * (uint64_t)data_align;
		return true;
	case DW_CFA_def_cfa_register:
		cfa->number = reader_uleb(reader);
		program->failed |= cfa->kind != LOCATION_REGISTER;
		return true;
	case DW_CFA_def_cfa_offset:
		cfa->offset = reader_uleb(reader);
		program->failed |= cfa->kind != LOCATION_REGISTER;
		return true;
	case DW_CFA_def_cfa_offset_sf:
		cfa->offset = (uint64_t)reader_sleb(reader) * (uint64_t)data_align;
		program->failed |= cfa->kind != LOCATION_REGISTER;
		return true;
	case DW_CFA_def_cfa_expression:
		*cfa = read_expression(reader, false);
		return true;
	default:
		return false;
	}
}

/* Instructions that say where a register is; false where `op` is none. */
static bool run_register(struct program *program, uint8_t op, struct byte_reader *reader)
{
	struct location location = {0};
	uint64_t number;

	if (op != DW_CFA_offset_extended && op != DW_CFA_offset_extended_sf &&
	    op != DW_CFA_val_offset && op != DW_CFA_val_offset_sf &&
	    op != DW_CFA_restore_extended && op != DW_CFA_undefined && op != DW_CFA_same_value &&
	    op != DW_CFA_register && op != DW_CFA_expression && op != DW_CFA_val_expression &&
	    op != DW_CFA_GNU_negative_offset_extended)
		return false;
	number = reader_uleb(reader);
	switch (op) {
	case DW_CFA_offset_extended:
	case DW_CFA_val_offset:
		location = at_cfa(program, reader_uleb(reader));
		break;
	case DW_CFA_offset_extended_sf:
	case DW_CFA_val_offset_sf:
		location = at_cfa(program, reader_sleb(reader));
		break;
	case DW_CFA_GNU_negative_offset_extended:
		location = at_cfa(program, -reader_uleb(reader));
		break;
	case DW_CFA_undefined:
		location.kind = LOCATION_UNDEFINED;
		break;
	case DW_CFA_register:
		location =
		    (struct location){.kind = LOCATION_REGISTER, .number = reader_uleb(reader)};
		break;
	case DW_CFA_expression:
	case DW_CFA_val_expression:
		location = read_expression(reader, op == DW_CFA_expression);
		break;
	case DW_CFA_restore_extended:
		restore_register(program, number);
		return true;
	}
	if (op == DW_CFA_val_offset || op == DW_CFA_val_offset_sf)
		location.kind = LOCATION_IS_CFA;
	set_register(program, number, location);
	return true;
}

/* Instructions that begin a new row; false where `op` is none. */
static bool run_advance(struct program *program, uint8_t op, struct byte_reader *reader)
{
	const struct cfi_fde *fde = program->fde;
	uint64_t delta;

	switch (op) {
	case DW_CFA_advance_loc1:
		delta = reader_unsigned(reader, 1);
		break;
	case DW_CFA_advance_loc2:
		delta = reader_unsigned(reader, 2);
		break;
	case DW_CFA_advance_loc4:
		delta = reader_unsigned(reader, 4);
		break;
	case DW_CFA_set_loc:
		program->location = cfi_encoded(reader, fde->section, fde->cie.pointer_encoding, 0);
		return true;
	default:
		return false;
	}
	program->location += delta * fde->cie.code_align;
	return true;
}

static bool run_other(struct program *program, uint8_t op, struct byte_reader *reader)
{
	switch (op) {
	case DW_CFA_nop:
		return true;
	case DW_CFA_GNU_args_size:
		reader_uleb(reader);
		return true;
	case DW_CFA_remember_state:
		if (program->states_n == STATES_MAX)
			return false;
		program->states[program->states_n++] = program->row;
		return true;
	case DW_CFA_restore_state:
		if (program->states_n == 0)
			return false;
		program->row = program->states[--program->states_n];
		return true;
	default:
		return false;
	}
}

/* Runs until the row that holds `vaddr` is complete. */
static bool run(struct program *program, struct byte_reader reader, uint64_t vaddr)
{
	if (reader_left(&reader) > PROGRAM_BYTES_MAX)
		return false;
	while (reader_left(&reader) > 0 && !program->failed) {
		uint8_t op = reader_unsigned(&reader, 1);
		uint8_t operand = op & 0x3f;

		switch (op & 0xc0) {
		case DW_CFA_advance_loc:
			program->location += operand * program->fde->cie.code_align;
			break;
		case DW_CFA_offset:
			set_register(program, operand, at_cfa(program, reader_uleb(&reader)));
			break;
		case DW_CFA_restore:
			restore_register(program, operand);
			break;
		default:
			if (!run_cfa(program, op, &reader) && !run_register(program, op, &reader) &&
			    !run_advance(program, op, &reader) && !run_other(program, op, &reader))
				return false;
		}
		if (program->location > vaddr)
			return !reader.failed;
	}
	return !program->failed && !reader.failed;
}

static bool fits(int64_t offset)
{
	return offset == (int32_t)offset;
}

/* DW_OP_bregN offset, as most expressions begin; what follows it stays in `reader`. */
static bool match_breg(struct byte_reader *reader, uint8_t *number, int32_t *offset)
{
	uint8_t op = reader_unsigned(reader, 1);
	int64_t value = reader_sleb(reader);

	*number = op - DW_OP_breg0;
	*offset = value;
	return !reader->failed && op >= DW_OP_breg0 && *number < REGISTERS_N && fits(value);
}

/*
 * What ld writes for .plt: rsp + 8 + ((rip & 15) >= n) << 3, for an entry of 16 bytes whose
 * push ends at its byte n.
 */
static bool match_plt(const struct location *cfa, struct rule *rule)
{
	static const uint8_t head[] = {DW_OP_breg0 + 7, 8,        DW_OP_breg0 + 16, 0,
				       DW_OP_lit0 + 15, DW_OP_and};
	static const uint8_t tail[] = {DW_OP_ge, DW_OP_lit0 + 3, DW_OP_shl, DW_OP_plus};
	uint8_t n;

	if (cfa->size != sizeof(head) + 1 + sizeof(tail) ||
	    memcmp(cfa->expression, head, sizeof(head)) ||
	    memcmp(cfa->expression + sizeof(head) + 1, tail, sizeof(tail)))
		return false;
	n = cfa->expression[sizeof(head)] - DW_OP_lit0;
	rule->cfa = RULE_CFA_PLT;
	rule->cfa_register = REGISTER_RSP;
	rule->cfa_offset = n;
	return n <= 15;
}

static bool make_cfa(const struct location *cfa, struct rule_table *table, struct rule *rule)
{
	struct byte_reader reader;

	if (cfa->kind == LOCATION_REGISTER) {
		if (cfa->number >= REGISTERS_N || !fits(cfa->offset))
			return false;
		rule->cfa = RULE_CFA_REGISTER;
		rule->cfa_register = cfa->number;
		rule->cfa_offset = cfa->offset;
		return true;
	}
	if (cfa->kind != LOCATION_IS_EXPRESSION || !cfa->expression)
		return false;
	reader = (struct byte_reader){.at = cfa->expression, .end = cfa->expression + cfa->size};
	if (match_plt(cfa, rule))
		return true;
	if (match_breg(&reader, &rule->cfa_register, &rule->cfa_offset) &&
	    reader_left(&reader) <= 1) {
		rule->cfa = RULE_CFA_REGISTER;
		if (reader_left(&reader) == 0)
			return true;
		rule->cfa = RULE_CFA_DEREF;
		if (*reader.at == DW_OP_deref)
			return true;
	}
	rule->cfa = RULE_CFA_EXPRESSION;
	rule->cfa_register = 0;
	rule->cfa_offset = rule_expression_add(table, cfa->expression, cfa->size);
	return rule->cfa_offset >= 0;
}

static bool make_expression(const struct location *location, struct rule_table *table,
			    struct rule_saved *saved)
{
	bool at = location->kind == LOCATION_AT_EXPRESSION;
	struct byte_reader reader;

	if (!location->expression)
		return false;
	reader = (struct byte_reader){.at = location->expression,
				      .end = location->expression + location->size};
	if (match_breg(&reader, &saved->base, &saved->offset) && reader_left(&reader) == 0) {
		saved->where = at ? RULE_AT_REGISTER : RULE_IS_REGISTER;
		return true;
	}
	saved->where = at ? RULE_AT_EXPRESSION : RULE_IS_EXPRESSION;
	saved->base = 0;
	saved->offset = rule_expression_add(table, location->expression, location->size);
	return saved->offset >= 0;
}

/* Adds what `location` says of register `number` to the rule. */
static bool make_saved(const struct location *location, unsigned number, struct rule_table *table,
		       struct rule *rule)
{
	struct rule_saved saved = {.number = number};

	switch (location->kind) {
	case LOCATION_SAME:
		return true;
	case LOCATION_UNDEFINED:
		saved.where = RULE_UNDEFINED;
		if (number == REGISTER_RIP)
			rule->flags |= RULE_BOTTOM;
		break;
	case LOCATION_AT_CFA:
	case LOCATION_IS_CFA:
		if (!fits(location->offset))
			return false;
		saved.where = location->kind == LOCATION_AT_CFA ? RULE_AT_CFA : RULE_IS_CFA;
		saved.offset = location->offset;
		break;
	case LOCATION_REGISTER:
		if (location->number >= REGISTERS_N)
			return false;
		saved.where = RULE_IS_REGISTER;
		saved.base = location->number;
		break;
	default:
		if (!make_expression(location, table, &saved))
			return false;
	}
	if (saved.where != RULE_AT_CFA)
		rule->flags |= RULE_OLD_REGISTERS;
	rule->saved[rule->saved_n++] = saved;
	return true;
}

bool cfi_program_run(const struct cfi_fde *fde, uint64_t vaddr, struct rule_table *table,
		     struct rule *rule)
{
	struct program program;

	program.fde = fde;
	program.location = 0;
	program.row = program.initial = (struct row){0};
	program.states_n = 0;
	program.failed = false;
	/* The CIE's program belongs to no address: it is run whole. */
	if (!run(&program, fde->cie.program, UINT64_MAX))
		return false;
	program.initial = program.row;
	program.location = fde->start;
	if (!run(&program, fde->program, vaddr))
		return false;
	*rule = (struct rule){.flags = fde->cie.signal_frame ? RULE_SIGNAL : 0};
	if (!make_cfa(&program.row.cfa, table, rule))
		return false;
	for (unsigned i = REGISTERS_N; i-- > 0;)
		if (!make_saved(&program.row.registers[i], i, table, rule))
			return false;
	return true;
}
