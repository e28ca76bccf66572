/*
 * Owns the loop from frame to frame: which rule, what where there is none, and when to stop. Reads
 * of the target only what the event brought.
 */
#include "unwind/unwind.h"

#include "base/alloc.h"
#include "base/map.h"
#include "unwind/calls.h"
#include "unwind/module_cfi.h"
#include "unwind/rule.h"
#include "unwind/rule_cache.h"
#include "unwind/stack_event.h"

enum {
	ENTRY_BYTES_MAX = 16,  /* of ld.so's _start, up to behind its only call */
	LEAF_BYTES_MAX = 4096, /* a function that has no frame is short */
	PROLOGUE_BYTES = 32,   /* Go's, which looks whether the stack is large enough */
};

struct unwinder {
	const struct image_table *images;
	struct map modules; /* struct module * -> struct module_cfi * */
	struct rule_table rules;
	struct rule_cache cache;
	struct calls calls;
	struct trail trail; /* of the last stack */
};

/* One stack on its way. */
struct walk {
	struct unwinder *unwinder;
	const struct address_space *space;
	uint64_t generation;
	struct stack_copy copy;
	struct registers registers;
	bool exact; /* rip is no return address */
	bool first; /* nothing has been unwound yet */
};

static struct module_cfi *module_get(struct unwinder *unwinder, const struct module *module)
{
	struct module_cfi *loaded = map_get_pointer(&unwinder->modules, (uintptr_t)module);

	if (!loaded) {
		loaded = module_cfi_new(module);
		map_put_pointer(&unwinder->modules, (uintptr_t)module, loaded);
	}
	return loaded;
}

/*
 * mov $15,%rax; syscall: the C library's way back from a signal, where it has no CFI. Nobody
 * called it: `vaddr` is its first byte, or the byte before.
 */
static bool is_sigreturn(const struct module *module, uint64_t vaddr)
{
	static const uint8_t code[] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05};
	uint8_t bytes[sizeof(code)];

	for (unsigned i = 0; i < 2; i++)
		if (module_code_read(module, vaddr + i, bytes, sizeof(bytes)) &&
		    !memcmp(bytes, code, sizeof(code)))
			return true;
	return false;
}

/* The rule at `pc` of `image`, made anew. */
static void rule_make(struct walk *walk, uint32_t image_id, uint64_t pc, struct rule *rule)
{
	const struct image *image = image_table_get(walk->unwinder->images, image_id);
	struct module_cfi *loaded;
	uint64_t vaddr;

	*rule = (struct rule){.cfa = RULE_CFA_NONE};
	if (!image || !image->bias_known)
		return;
	loaded = module_get(walk->unwinder, image->module);
	vaddr = pc - image->bias;
	if (cfi_rule(&loaded->cfi, vaddr, &walk->unwinder->rules, rule))
		return;
	*rule = (struct rule){.cfa = RULE_CFA_NONE};
	/* ld.so's _start has no FDE, and nobody called it. */
	if (loaded->entry && vaddr - loaded->entry < ENTRY_BYTES_MAX)
		rule->flags = RULE_BOTTOM;
	else if (is_sigreturn(image->module, vaddr))
		rule_kernel_signal(rule);
}

/* Fills the slot of `pc`: the slow way, once for each pc that is met. */
static void cache_fill(struct walk *walk, struct rule_cache_entry *entry, uint64_t pc)
{
	const struct mapping *mapping = address_space_find(walk->space, pc);
	struct unwinder *unwinder = walk->unwinder;
	struct rule rule;
	int id;

	if (entry->generation && entry->pc == pc && entry->executable && mapping &&
	    mapping->image && mapping->image == entry->image) {
		entry->generation = walk->generation;
		return;
	}
	*entry = (struct rule_cache_entry){.pc = pc, .generation = walk->generation};
	if (!mapping)
		return;
	entry->executable = true;
	entry->image = mapping->image;
	rule_make(walk, mapping->image, pc, &rule);
	id = rule_intern(&unwinder->rules, &rule);
	if (id < 0) {
		/* Only files made to exhaust us have as many: begin again. */
		struct rule_cache_entry saved = *entry;

		rule_table_fini(&unwinder->rules);
		rule_table_init(&unwinder->rules);
		rule_cache_clear(&unwinder->cache);
		*entry = saved;
		rule_make(walk, mapping->image, pc, &rule);
		id = rule_intern(&unwinder->rules, &rule);
	}
	entry->rule = id;
}

static const struct rule_cache_entry *cache_get(struct walk *walk, uint64_t pc)
{
	struct rule_cache_entry *entry = rule_cache_slot(&walk->unwinder->cache, pc);

	if (__builtin_expect(entry->pc != pc || entry->generation != walk->generation, false))
		cache_fill(walk, entry, pc);
	return entry;
}

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
	return cache_get(walk, address)->executable;
}

/* Did the kernel put `address` there, for a signal handler to return to? */
static bool is_trampoline(struct walk *walk, uint64_t address)
{
	uint16_t rule = cache_get(walk, address - 1)->rule;

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
static bool step_frame_pointer(struct walk *walk, enum stack_end *end)
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

/* From a frame's registers to its caller's; false: the stack ends, as `end` says. */
static bool step(struct walk *walk, const struct rule *rule, enum stack_end *end)
{
	const uint64_t *value = walk->registers.value;
	uint64_t rsp = value[REGISTER_RSP], rip = value[REGISTER_RIP], bad_address;
	bool signal = rule->flags & RULE_SIGNAL;

	if (rule->cfa == RULE_CFA_NONE && !(rule->flags & RULE_BOTTOM))
		return step_frame_pointer(walk, end);
	switch (
	    rule_apply(rule, &walk->unwinder->rules, &walk->copy, &walk->registers, &bad_address)) {
	case RULE_STEP_OK:
		break;
	case RULE_STEP_BOTTOM:
		*end = STACK_END_COMPLETE;
		return false;
	case RULE_STEP_UNKNOWN:
		walk->copy.trail->incomplete = true;
		*end = STACK_END_NO_CFI;
		return false;
	case RULE_STEP_BAD_READ:
		walk->copy.trail->incomplete = true;
		*end = stack_copy_why(&walk->copy, bad_address);
		return false;
	}
	/*
	 * A caller's frame lies above; only a signal may have come from another stack, and only
	 * where the return address is in a register (in vfork) does rsp stay.
	 */
	if (!signal && (value[REGISTER_RSP] < rsp ||
			(value[REGISTER_RSP] == rsp && value[REGISTER_RIP] == rip))) {
		*end = STACK_END_BAD_READ;
		return false;
	}
	walk->exact = signal;
	return true;
}

static enum stack_end walk_stack(struct walk *walk, struct frame *frames, uint32_t *frames_n)
{
	enum stack_end end = STACK_END_COMPLETE;
	uint32_t count = 0;

	for (;; walk->first = false) {
		uint64_t pc = walk->registers.value[REGISTER_RIP];
		const struct rule_cache_entry *entry = cache_get(walk, walk->exact ? pc : pc - 1);
		const struct rule *rule = &walk->unwinder->rules.rules.data[entry->rule];

		if (!entry->executable && !walk->first) {
			end = pc == 0 ? STACK_END_COMPLETE : STACK_END_BAD_PC;
			break;
		}
		if (count == STACK_FRAMES_MAX) {
			end = STACK_END_TOO_DEEP; /* more words than a trail holds */
			break;
		}
		/* The trampoline of a signal frame was not called either. */
		frames[count++] = (struct frame){
		    .pc = pc,
		    .image = entry->image,
		    .exact = walk->exact || rule->flags & RULE_SIGNAL,
		};
		if (!entry->executable) {
			end = STACK_END_BAD_PC;
			break;
		}
		if (!step(walk, rule, &end))
			break;
	}
	*frames_n = count;
	return end;
}

static enum stack_end unwind(struct unwinder *unwinder, const struct address_space *space,
			     const struct event_syscall *event,
			     struct frame frames[static STACK_FRAMES_MAX], uint32_t *frames_n)
{
	const struct event_registers *given = &event->registers;
	struct walk walk;
	enum stack_end end;

	if (stack_event_is_ready(space, event, frames, frames_n, &end)) {
		unwinder->trail.incomplete = true;
		return end;
	}
	walk.unwinder = unwinder;
	walk.space = space;
	walk.generation = address_space_generation(space);
	walk.exact = walk.first = true;
	stack_copy_init(&walk.copy, event, &unwinder->trail);
	for (unsigned i = 0; i < REGISTERS_N; i++)
		walk.registers.source[i] = i;
	walk.registers.value[REGISTER_RIP] = given->ip;
	walk.registers.value[REGISTER_RSP] = given->sp;
	walk.registers.value[REGISTER_RBP] = given->bp;
	walk.registers.value[REGISTER_RBX] = given->bx;
	walk.registers.value[REGISTER_R12] = given->r12;
	walk.registers.value[REGISTER_R13] = given->r13;
	walk.registers.value[REGISTER_R14] = given->r14;
	walk.registers.value[REGISTER_R15] = given->r15;
	walk.registers.known = 1u << REGISTER_RIP | 1u << REGISTER_RSP | 1u << REGISTER_RBP |
			       1u << REGISTER_RBX | 0xfu << REGISTER_R12;
	return walk_stack(&walk, frames, frames_n);
}

bool unwinder_cfi_footprint(const struct unwinder *unwinder, const struct event_syscall *event,
			    struct footprint *out)
{
	return trail_footprint(&unwinder->trail, event, out);
}

static struct unwinder *create(const struct image_table *images)
{
	struct unwinder *unwinder = xcalloc(1, sizeof(*unwinder));

	unwinder->images = images;
	rule_table_init(&unwinder->rules);
	rule_cache_init(&unwinder->cache);
	return unwinder;
}

static void destroy(struct unwinder *unwinder)
{
	if (!unwinder)
		return;
	map_each (entry, &unwinder->modules)
		module_cfi_free((struct module_cfi *)(uintptr_t)entry->value);
	map_fini(&unwinder->modules);
	rule_table_fini(&unwinder->rules);
	rule_cache_fini(&unwinder->cache);
	free(unwinder);
}

const struct unwinder_ops unwinder_cfi = {
    .name = "cfi",
    .create = create,
    .destroy = destroy,
    .unwind = unwind,
};
