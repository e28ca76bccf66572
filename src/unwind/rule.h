/*
 * A rule says how to get a caller's registers from those of a frame: System V ABI for x86-64,
 * section 3.7 (DWARF register numbers), DWARF 5 section 6.4.1 (register rules). Rules are
 * interned: programs of millions of functions have a few thousand distinct ones.
 */
#ifndef HTRACE_UNWIND_RULE_H
#define HTRACE_UNWIND_RULE_H

#include "base/array.h"
#include "base/map.h"
#include "unwind/stack_copy.h"

#include <stdbool.h>
#include <stdint.h>

enum register_number {
	REGISTER_RAX = 0,
	REGISTER_RBX = 3,
	REGISTER_RBP = 6,
	REGISTER_RSP = 7,
	REGISTER_R12 = 12,
	REGISTER_R13 = 13,
	REGISTER_R14 = 14,
	REGISTER_R15 = 15,
	REGISTER_RIP = 16, /* the column of the return address */
	REGISTERS_N = 17,
};

struct registers {
	uint64_t value[REGISTERS_N];
	uint64_t source[REGISTERS_N]; /* where it is from (trail.h); not kept for rsp and rip, of
					 which everything is on the trail */
	uint32_t known;               /* bit n: value[n] is known */
};

enum rule_cfa {
	RULE_CFA_NONE = 0,       /* there is no CFI for the pc */
	RULE_CFA_REGISTER = 1,   /* CFA = register + offset */
	RULE_CFA_PLT = 2,        /* CFA = rsp + 8 + ((rip & 15) >= offset ? 8 : 0) */
	RULE_CFA_DEREF = 3,      /* CFA = *(register + offset): DRAP, signal frame */
	RULE_CFA_EXPRESSION = 4, /* CFA = expression number `offset` */
};

enum rule_where {
	RULE_AT_CFA = 0,        /* *(CFA + offset) */
	RULE_IS_CFA = 1,        /* CFA + offset */
	RULE_AT_REGISTER = 2,   /* *(base + offset) */
	RULE_IS_REGISTER = 3,   /* base + offset */
	RULE_AT_EXPRESSION = 4, /* *(expression number `offset`) */
	RULE_IS_EXPRESSION = 5, /* expression number `offset` */
	RULE_UNDEFINED = 6,
};

struct rule_saved {
	uint8_t number; /* enum register_number */
	uint8_t where;  /* enum rule_where */
	uint8_t base;   /* enum register_number */
	uint8_t reserved;
	int32_t offset;
};

enum rule_flags {
	RULE_SIGNAL = 1,        /* the caller was interrupted: its pc is no return address */
	RULE_BOTTOM = 2,        /* the return address is undefined: there is no caller */
	RULE_OLD_REGISTERS = 4, /* needs registers as they were before any is replaced */
};

/* A register that `saved` does not name keeps its value, rsp becomes the CFA. */
struct rule {
	uint8_t cfa; /* enum rule_cfa */
	uint8_t cfa_register;
	uint8_t flags;
	uint8_t saved_n;
	int32_t cfa_offset;
	struct rule_saved saved[REGISTERS_N];
};

struct rule_expression {
	const uint8_t *bytes; /* borrowed from the section that they stand in */
	uint32_t size;
};

enum { RULES_MAX = 1 << 16, RULE_NONE = 0 };

struct rule_table {
	ARRAY(struct rule) rules; /* rule 0 is RULE_CFA_NONE */
	ARRAY(struct rule_expression) expressions;
	struct map by_hash; /* hash of a rule -> id */
};

void rule_table_init(struct rule_table *table);
void rule_table_fini(struct rule_table *table);

/* The id of a rule equal to this one; -1 once RULES_MAX is reached (then start a new table). */
int rule_intern(struct rule_table *table, const struct rule *rule);

/* The number of an expression, for rule_saved.offset; -1 when there are too many. */
int rule_expression_add(struct rule_table *table, const uint8_t *bytes, uint32_t size);

enum rule_step {
	RULE_STEP_OK = 0,
	RULE_STEP_BOTTOM = 1,
	RULE_STEP_UNKNOWN = 2,  /* needs a register that is not known, or a bad expression */
	RULE_STEP_BAD_READ = 3, /* *bad_address is in no copied piece */
};

/* Replaces the registers of a frame by its caller's. They are spoilt unless it returns OK. */
enum rule_step rule_apply(const struct rule *rule, const struct rule_table *table,
			  const struct stack_copy *copy, struct registers *registers,
			  uint64_t *bad_address);

/* The rule of a frame that the kernel made for a signal (rsp: struct ucontext of the kernel). */
void rule_kernel_signal(struct rule *rule);

#endif
