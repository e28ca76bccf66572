/* Sections of a file that is in memory (symbol/elf_copy.h). */
#ifndef HTRACE_SYMBOL_ELF_SECTION_H
#define HTRACE_SYMBOL_ELF_SECTION_H

#include <libelf.h>

/* The contents of the section named `wanted`; NULL: there is none. ".zdebug_X" is found as
 * ".debug_X". */
Elf_Data *elf_section_data(Elf *elf, const char *wanted);

#endif
