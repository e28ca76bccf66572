/*
 * From (image, address) to function, file and line, with inlined callers. Everything is computed
 * when a report is written, once for each distinct place, and cached for the symbolizer's life.
 */
#ifndef HTRACE_SYMBOL_SYMBOLIZER_H
#define HTRACE_SYMBOL_SYMBOLIZER_H

#include "os/image.h"
#include "stack/stack_table.h"

#include <stdbool.h>
#include <stdint.h>

/* One named frame. Strings are borrowed from the symbolizer, good until symbolizer_free(). */
struct symbol {
	uint64_t pc;          /* of the frame */
	const char *function; /* demangled; NULL: no symbol covers it */
	uint64_t offset;      /* of pc in the function, or in this inlined copy of it, or in its
				 split-off (cold) part; without a function: in the module (vaddr) */
	const char *module; /* last part of the path; "[vdso]"; "[anon]" for code without a file */
	const char *module_path;
	const char *file; /* as the debug information says, joined with the compiler's folder where
			     it is relative, without "/../"; NULL: no line is known */
	uint32_t line;    /* 0: unknown */
	bool inlined;     /* the function was inlined into the next symbol's */
};

struct symbolizer_stats {
	uint32_t modules_without_symbols; /* modules that gave module+0x... for some address */
	uint32_t modules_unreadable;      /* and those whose file could not be opened */
};

struct symbolizer;

/* `images` is borrowed for its life. `progress` (may be NULL) is called with the path of a module
 * before something slow is done with it (opening debug information, asking debuginfod). */
struct symbolizer *symbolizer_new(const struct image_table *images,
				  void (*progress)(void *context, const char *module_path),
				  void *context);
void symbolizer_free(struct symbolizer *symbolizer);

/*
 * Names one frame: 1 symbol, or more where calls were inlined (innermost first; all but the last
 * are `inlined`). Returns how many; *out is borrowed, good until symbolizer_free(). Never fails:
 * the least it gives is module and offset.
 */
uint32_t symbolizer_lookup(struct symbolizer *symbolizer, const struct frame *frame,
			   const struct symbol **out);

void symbolizer_stats(const struct symbolizer *symbolizer, struct symbolizer_stats *out);

#endif
