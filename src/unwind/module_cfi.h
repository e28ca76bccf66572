/*
 * Reads a module's call frame information into memory (never by mapping: a file truncated under
 * us must not end us) and keeps it; knows no DWARF.
 */
#ifndef HTRACE_UNWIND_MODULE_CFI_H
#define HTRACE_UNWIND_MODULE_CFI_H

#include "os/image.h"
#include "unwind/cfi.h"

struct module_cfi {
	const struct module *module;
	struct cfi cfi;
	uint64_t entry;     /* vaddr at which the program or ld.so starts; 0: none */
	uint8_t *memory[3]; /* what the sections of `cfi` stand in */
};

/* Never fails: what cannot be read is not there. `module` is borrowed. */
struct module_cfi *module_cfi_new(const struct module *module);
void module_cfi_free(struct module_cfi *loaded);

/* `bytes` bytes of the file's code at `vaddr`; false where the file does not have them all. */
bool module_code_read(const struct module *module, uint64_t vaddr, void *out, size_t bytes);

#endif
