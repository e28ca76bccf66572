/* Owns what is read of an ELF file's header, program headers and notes. */
#include "os/elf_file.h"

#include <errno.h>
#include <gelf.h>
#include <string.h>

enum { NOTES_BYTES_MAX = 1 << 20 };

static void read_notes(Elf *elf, uint64_t at, uint64_t bytes, struct elf_file *out)
{
	Elf_Data *data =
	    bytes <= NOTES_BYTES_MAX ? elf_getdata_rawchunk(elf, at, bytes, ELF_T_NHDR) : NULL;
	size_t offset = 0, name, desc;
	GElf_Nhdr note;

	while (data && (offset = gelf_getnote(data, offset, &note, &name, &desc)) > 0) {
		if (note.n_type != NT_GNU_BUILD_ID || note.n_namesz != sizeof("GNU") ||
		    memcmp((char *)data->d_buf + name, "GNU", sizeof("GNU")) ||
		    note.n_descsz == 0 || note.n_descsz > ELF_BUILD_ID_MAX)
			continue;
		memcpy(out->build_id, (char *)data->d_buf + desc, note.n_descsz);
		out->build_id_bytes = note.n_descsz;
		return;
	}
}

/* Files that nobody loads (those that dwz(1) moves common parts to) have notes in sections only. */
static void read_note_sections(Elf *elf, struct elf_file *out)
{
	Elf_Scn *section = NULL;
	GElf_Shdr header;

	while (!out->build_id_bytes && (section = elf_nextscn(elf, section)))
		if (gelf_getshdr(section, &header) && header.sh_type == SHT_NOTE)
			read_notes(elf, header.sh_offset, header.sh_size, out);
}

static int read_headers(Elf *elf, struct elf_file *out)
{
	GElf_Ehdr ehdr;
	size_t count;

	if (elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &ehdr) ||
	    elf_getphdrnum(elf, &count) < 0)
		return -ENOEXEC;
	out->is_x86_64 = ehdr.e_ident[EI_CLASS] == ELFCLASS64 &&
			 ehdr.e_ident[EI_DATA] == ELFDATA2LSB && ehdr.e_machine == EM_X86_64;
	for (size_t i = 0; i < count; i++) {
		GElf_Phdr header;

		if (!gelf_getphdr(elf, i, &header))
			return -ENOEXEC;
		if (header.p_type == PT_NOTE && !out->build_id_bytes)
			read_notes(elf, header.p_offset, header.p_filesz, out);
		if (header.p_type == PT_LOAD)
			array_push(&out->segments, (struct elf_segment){
						       .file_offset = header.p_offset,
						       .vaddr = header.p_vaddr,
						       .file_bytes = header.p_filesz,
						       .memory_bytes = header.p_memsz,
						       .executable = header.p_flags & PF_X,
						   });
	}
	if (!out->build_id_bytes)
		read_note_sections(elf, out);
	return 0;
}

int elf_file_read(int fd, const char *path, struct elf_file *out, struct error *error)
{
	int result = -ENOEXEC;
	Elf *elf;

	*out = (struct elf_file){0};
	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	if (elf) {
		result = read_headers(elf, out);
		elf_end(elf);
	}
	if (result) {
		elf_file_fini(out);
		return error_set(error, result, "%s is not an ELF file that can be read (%s)", path,
				 elf_errmsg(-1) ?: "damaged headers");
	}
	return 0;
}

void elf_file_fini(struct elf_file *file)
{
	array_fini(&file->segments);
}

bool elf_file_bias(const struct elf_file *file, uint64_t start, uint64_t file_offset,
		   uint64_t *bias)
{
	const struct elf_segment *found = NULL;

	array_each (segment, &file->segments) {
		/* The loader maps whole pages: the segment's first page may start before it. */
		uint64_t first = segment->file_offset & ~(uint64_t)4095;

		if (file_offset < first ||
		    file_offset >= segment->file_offset + segment->file_bytes)
			continue;
		if (!found || segment->executable)
			found = segment;
	}
	if (!found)
		return false;
	*bias = start - file_offset + found->file_offset - found->vaddr;
	return true;
}
