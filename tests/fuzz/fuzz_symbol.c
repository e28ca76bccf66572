/*
 * A file of any bytes as the module of a target: its headers, symbol tables, PLT and DWARF are read
 * and addresses all over it are looked up. Debug files elsewhere are not looked for.
 */
#include "symbol/demangle.h"
#include "symbol/module_symbols.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ADDRESSES = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_up(struct module_symbols *symbols, uint64_t vaddr)
{
	struct debug_frame frames[INLINES_DEPTH_MAX];
	uint32_t count = module_symbols_find(symbols, vaddr, frames);

	for (uint32_t i = 0; i < count; i++)
		if (frames[i].linkage)
			free(demangle_dup(frames[i].name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct module module = {.path = "/nonexistent/fuzz", .name = "fuzz", .seen_in = -1};
	struct debug_finder *finder = debug_finder_new("/nonexistent");
	struct module_symbols *symbols;

	module.fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (module.fd < 0 || write(module.fd, data, size) != (ssize_t)size)
		abort();
	elf_file_read(module.fd, "fuzz", &module.elf, NULL);
	symbols = module_symbols_new(finder, &module);
	array_each (segment, &module.elf.segments) {
		uint64_t step = segment->memory_bytes / ADDRESSES + 1;

		for (uint64_t i = 0; segment->executable && i < ADDRESSES; i++)
			look_up(symbols, segment->vaddr + i * step);
	}
	for (uint64_t vaddr = 0x1000; vaddr < 0x1100; vaddr += 4)
		look_up(symbols, vaddr);
	module_symbols_free(symbols);
	elf_file_fini(&module.elf);
	close(module.fd);
	debug_finder_free(finder);
	return 0;
}
