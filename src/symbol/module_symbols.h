/*
 * Everything that names addresses of one module: its own file, its debug file and dwz's common
 * file, read when the first address is asked for.
 */
#ifndef HTRACE_SYMBOL_MODULE_SYMBOLS_H
#define HTRACE_SYMBOL_MODULE_SYMBOLS_H

#include "symbol/debug_file.h"
#include "symbol/debug_info.h"
#include "symbol/symbol_index.h"

struct module_symbols;

/* `module` is borrowed; its fd must be open. Never NULL: a damaged file has no names. */
struct module_symbols *module_symbols_new(struct debug_finder *finder, const struct module *module);
void module_symbols_free(struct module_symbols *symbols);

/*
 * The frames of `vaddr`, innermost first; 0: nothing is known. What the DWARF does not name the
 * symbol tables do; a name from them is put into the frame as `linkage`. Strings are good until
 * the next call.
 */
uint32_t module_symbols_find(struct module_symbols *symbols, uint64_t vaddr,
			     struct debug_frame out[static INLINES_DEPTH_MAX]);

#endif
