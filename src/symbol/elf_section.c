/* Owns the search for a section by its name. */
#include "symbol/elf_section.h"

#include <gelf.h>
#include <string.h>

Elf_Data *elf_section_data(Elf *elf, const char *wanted)
{
	Elf_Scn *section = NULL;
	GElf_Shdr header;
	size_t names;

	if (elf_getshdrstrndx(elf, &names) < 0)
		return NULL;
	while ((section = elf_nextscn(elf, section))) {
		const char *name =
		    gelf_getshdr(section, &header) ? elf_strptr(elf, names, header.sh_name) : NULL;
		Elf_Data *data;

		/* ".zdebug_info" is what GNU's way of compression made of ".debug_info". */
		if (!name || header.sh_type == SHT_NOBITS ||
		    (strcmp(name, wanted) != 0 &&
		     (strncmp(name, ".z", 2) != 0 || strcmp(name + 2, wanted + 1) != 0)))
			continue;
		data = elf_rawdata(section, NULL);
		if (data && data->d_buf)
			return data;
	}
	return NULL;
}
