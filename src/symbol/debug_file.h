/*
 * Where the debug information of a module is kept when it is not in the module itself. Every
 * candidate must prove that it belongs (same build ID, else the CRC of .gnu_debuglink): the path
 * may lead into the files of the target, who can put there what he likes.
 */
#ifndef HTRACE_SYMBOL_DEBUG_FILE_H
#define HTRACE_SYMBOL_DEBUG_FILE_H

#include "os/image.h"

#include <gelf.h>

struct debug_finder;

/* `root` is the folder of debug files, NULL for /usr/lib/debug. */
struct debug_finder *debug_finder_new(const char *root);
void debug_finder_free(struct debug_finder *finder);

/*
 * A descriptor (the caller's) of the debug file of `module`, or -1. Looked for by build ID under
 * the root, by .gnu_debuglink beside the module and under the root, each in the root folder of the
 * process that showed the module (while it lives) and then in ours; at last debuginfod is asked
 * where DEBUGINFOD_URLS is set and its library is installed. `elf` is of the module's own file.
 */
int debug_finder_open(struct debug_finder *finder, const struct module *module, Elf *elf);

/*
 * The same for the file that dwz(1) moved common parts to: `name` and `build_id` are those of
 * .gnu_debugaltlink, `beside` the descriptor of the file that has it.
 */
int debug_finder_open_alt(struct debug_finder *finder, const struct module *module, int beside,
			  const char *name, const uint8_t *build_id, size_t build_id_bytes);

#endif
