/* Owns what counts as libc: the files that make system calls for others, glibc's and musl's. */
#include "report/opener.h"

#include "event/libc_file.h"

#include <inttypes.h>
#include <string.h>

static bool is_libc(const struct symbol *symbol)
{
	static const char *const others[] = {"libc.musl-", "ld-musl-", "[vdso]", "librt.so.1",
					     "librt-2."};

	if (!symbol->module)
		return false;
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (!strncmp(symbol->module, others[i], strlen(others[i])))
			return true;
	return is_libc_file(symbol->module);
}

static bool same_module(const struct symbol *a, const struct symbol *b)
{
	return a->module && b->module && !strcmp(a->module, b->module);
}

/*
 * In a static program libc is in the program's own file: where that made the system call, what has
 * no line is passed over for what has one.
 */
const struct symbol *opener_find(const struct report *report, uint32_t stack_id)
{
	struct stack stack = stack_table_get(report->stacks, stack_id);
	const struct symbol *innermost = NULL, *outside = NULL, *symbols;

	for (uint32_t i = 0; i < stack.frames_n; i++) {
		uint32_t count = symbolizer_lookup(report->symbolizer, &stack.frames[i], &symbols);

		for (uint32_t j = 0; j < count; j++) {
			const struct symbol *symbol = &symbols[j];

			if (!innermost)
				innermost = symbol;
			if (is_libc(symbol))
				continue;
			if (!same_module(symbol, innermost))
				return outside ? outside : symbol;
			if (symbol->file)
				return symbol;
			if (!outside)
				outside = symbol;
		}
	}
	return innermost;
}

void opener_add(struct words *words, const struct symbol *symbol)
{
	const char *module = symbol->module ? symbol->module : "[unknown]";

	if (!symbol->function) {
		words_add_target(words, module);
		words_addf(words, "+0x%" PRIx64, symbol->offset);
		return;
	}
	words_add_target(words, symbol->function);
	if (symbol->file) {
		words_add(words, " ");
		words_add_target(words, symbol->file);
		if (symbol->line)
			words_addf(words, ":%u", symbol->line);
		return;
	}
	words_addf(words, "+0x%" PRIx64 " in ", symbol->offset);
	words_add_target(words, module);
}
