/*
 * Owns the steps from frames that no rule covers: leaves that have no frame, and frame pointers,
 * which are believed only where the code around them agrees.
 */
#include "unwind/walk.h"

enum {
	LEAF_BYTES_MAX = 4096, /* a function that has no frame is short */
	PROLOGUE_BYTES = 32,   /* Go's, which looks whether the stack is large enough */
};

static const struct call *find_call(struct walk *walk, uint64_t address)
{
	return call_before(&walk->unwinder->calls, walk->unwinder->images, walk->space, address);
}

/*
 * Does `address` follow a direct call of a function that begins shortly before `pc`? Then pc's
 * function has made no frame yet or never does, as Go's system call stubs.
 */
static bool is_call_of(struct walk *walk, uint64_t address, uint64_t pc)
{
	const struct call *call = find_call(walk, address);

	return call->target && pc - call->target < LEAF_BYTES_MAX;
}

static bool is_executable(struct walk *walk, uint64_t address)
{
	return rule_at(walk, address)->executable;
}

/* Did the kernel put `address` there, for a signal handler to return to? */
static bool is_trampoline(struct walk *walk, uint64_t address)
{
	uint16_t rule = rule_at(walk, address - 1)->rule;

	return walk->unwinder->rules.rules.data[rule].flags & RULE_SIGNAL;
}

/*
 * No call precedes the return address of the record at `rbp`. It is one all the same where a thread
 * begins (Go's goexit), or where another record follows (Go's asyncPreempt, which a signal handler
 * lets functions seem to have called); else rbp was no frame pointer.
 */
static bool is_made_record(struct walk *walk, uint64_t rbp, uint64_t saved_rbp)
{
	uint64_t address;

	trail_add_word(walk->copy.trail, rbp);
	if (saved_rbp == 0)
		return true;
	walk->copy.trail->incomplete = true;
	return saved_rbp > rbp && stack_copy_read(&walk->copy, saved_rbp + 8, &address) &&
	       is_executable(walk, address - 1) && !find_call(walk, address)->none;
}

/* Of the caller only rip, rsp and rbp are known. */
static void set_caller(struct walk *walk, uint64_t rip, uint64_t rsp)
{
	walk->registers.value[REGISTER_RIP] = rip;
	walk->registers.value[REGISTER_RSP] = rsp;
	walk->registers.known &= 1u << REGISTER_RIP | 1u << REGISTER_RSP | 1u << REGISTER_RBP;
	walk->exact = false;
}

/*
 * Whether a frame of pc's function has `address` as its return address: then what lies at rsp, at
 * the frame's other end, is left over from an earlier call by the same caller. In the first
 * instructions of a function that calls itself both are true.
 */
static bool is_left_over(struct walk *walk, uint64_t address)
{
	const struct registers *registers = &walk->registers;
	uint64_t rbp = registers->value[REGISTER_RBP], in_frame;
	uint64_t from_start = registers->value[REGISTER_RIP] - find_call(walk, address)->target;

	trail_add(walk->copy.trail, registers->source[REGISTER_RBP]);
	if (rbp < registers->value[REGISTER_RSP] || from_start < PROLOGUE_BYTES)
		return false;
	trail_add_word(walk->copy.trail, rbp + 8);
	if (!stack_copy_read(&walk->copy, rbp + 8, &in_frame)) {
		walk->copy.trail->incomplete = true;
		return false;
	}
	return in_frame == address;
}

/* The innermost function has no frame: the return address lies where rsp points to. */
static bool step_leaf(struct walk *walk)
{
	struct registers *registers = &walk->registers;
	uint64_t *rbp = &registers->value[REGISTER_RBP];
	uint64_t rsp = registers->value[REGISTER_RSP], address;

	trail_add_word(walk->copy.trail, rsp);
	if (!stack_copy_read(&walk->copy, rsp, &address) ||
	    !is_call_of(walk, address, registers->value[REGISTER_RIP]) ||
	    is_left_over(walk, address))
		return false;
	set_caller(walk, address, rsp + 8);
	/*
	 * Around its calls of duffzero and duffcopy Go's compiler keeps the caller's rbp below the
	 * return address, and rbp there.
	 */
	if (*rbp == rsp - 8 && stack_copy_read(&walk->copy, rsp - 8, rbp))
		registers->source[REGISTER_RBP] = rsp - 8;
	return true;
}

/*
 * No CFI covers the pc: the frame pointer, if there is one. System V ABI, section 3.2.2:
 * caller's rbp = *rbp, return address = *(rbp + 8), caller's rsp = rbp + 16; rbp is 0 in the
 * outermost frame.
 */
bool step_without_rule(struct walk *walk, enum stack_end *end)
{
	struct registers *registers = &walk->registers;
	struct trail *trail = walk->copy.trail;
	uint64_t rbp = registers->value[REGISTER_RBP], saved_rbp, address;

	if (walk->exact && step_leaf(walk))
		return true;
	*end = STACK_END_NO_CFI;
	if (!(registers->known >> REGISTER_RBP & 1)) {
		trail->incomplete = true;
		return false;
	}
	trail_add(trail, registers->source[REGISTER_RBP]);
	if (rbp == 0) {
		*end = STACK_END_COMPLETE;
		return false;
	}
	if (rbp < registers->value[REGISTER_RSP])
		return false;
	trail_add_word(trail, rbp + 8);
	if (!stack_copy_read(&walk->copy, rbp, &saved_rbp) ||
	    !stack_copy_read(&walk->copy, rbp + 8, &address)) {
		trail->incomplete = true;
		if (stack_copy_why(&walk->copy, rbp + 8) == STACK_END_TRUNCATED)
			*end = STACK_END_TRUNCATED;
		return false;
	}
	if (address == 0) {
		trail_add_word(trail, rbp);
		if (saved_rbp == 0)
			*end = STACK_END_COMPLETE;
		return false;
	}
	if (!is_executable(walk, address - 1))
		return false;
	if (find_call(walk, address)->none && !is_trampoline(walk, address) &&
	    !is_made_record(walk, rbp, saved_rbp))
		return false;
	set_caller(walk, address, rbp + 16);
	registers->value[REGISTER_RBP] = saved_rbp;
	registers->source[REGISTER_RBP] = rbp;
	return true;
}
