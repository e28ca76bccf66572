/* Owns the search for the rule of a pc, in the file that is mapped there. */
#include "unwind/module_cfi.h"
#include "unwind/walk.h"

#include <string.h>

enum { ENTRY_BYTES_MAX = 16 }; /* of ld.so's _start, up to behind its only call */

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

void rule_cache_fill(struct walk *walk, struct rule_cache_entry *entry, uint64_t pc)
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
