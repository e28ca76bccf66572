/* Owns the choice of the parts that are copied, and the bounds that they must keep to. */
#include "symbol/elf_copy.h"

#include "base/alloc.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

enum { GUARD_BYTES = 64 * 1024 };

static const uint64_t file_bytes_max = (uint64_t)1 << 36;

struct copying {
	struct elf_copy *copy;
	int fd;
	uint64_t bytes_left; /* sections may overlap; a damaged table could have all of them do */
};

/* Short reads leave zeros. */
static void copy_part(struct copying *copying, uint64_t offset, uint64_t bytes)
{
	struct elf_copy *copy = copying->copy;
	uint64_t end;

	if (__builtin_add_overflow(offset, bytes, &end) || end > copy->size ||
	    bytes > copying->bytes_left)
		return;
	copying->bytes_left -= bytes;
	while (offset < end) {
		ssize_t got = pread(copying->fd, copy->bytes + offset, end - offset, offset);

		if (got <= 0)
			return;
		offset += got;
	}
}

/* Code and data of the program are left out: nothing but the PLT is looked at. */
static bool is_wanted(const Elf64_Shdr *section, const char *name)
{
	if (section->sh_type == SHT_NOBITS || section->sh_type == SHT_NULL)
		return false;
	return section->sh_type != SHT_PROGBITS || !(section->sh_flags & SHF_ALLOC) ||
	       !strncmp(name, ".plt", 4);
}

static void copy_sections(struct copying *copying, const Elf64_Ehdr *header)
{
	struct elf_copy *copy = copying->copy;
	const Elf64_Shdr *sections;
	const char *names = NULL;
	uint64_t count = header->e_shnum, names_index = header->e_shstrndx, names_bytes = 0;

	if (header->e_shoff == 0 || header->e_shoff % 8 || header->e_shoff >= copy->size ||
	    header->e_shentsize != sizeof(*sections) ||
	    copy->size - header->e_shoff < sizeof(*sections))
		return;
	sections = (const Elf64_Shdr *)(copy->bytes + header->e_shoff);
	copy_part(copying, header->e_shoff, sizeof(*sections));
	/* More than the header can count: the first section says how many. */
	if (count == 0)
		count = sections[0].sh_size;
	if (names_index == SHN_XINDEX)
		names_index = sections[0].sh_link;
	if (count > (copy->size - header->e_shoff) / sizeof(*sections))
		return;
	copy_part(copying, header->e_shoff, count * sizeof(*sections));
	if (names_index < count && sections[names_index].sh_offset < copy->size) {
		copy_part(copying, sections[names_index].sh_offset, sections[names_index].sh_size);
		names = (const char *)copy->bytes + sections[names_index].sh_offset;
		names_bytes = copy->size - sections[names_index].sh_offset;
	}
	for (uint64_t i = 0; i < count; i++) {
		/* The guard behind the file ends every string. */
		const char *name =
		    names && sections[i].sh_name < names_bytes ? names + sections[i].sh_name : "";

		if (is_wanted(&sections[i], name))
			copy_part(copying, sections[i].sh_offset, sections[i].sh_size);
	}
}

static bool copy_file(struct elf_copy *copy, int fd)
{
	struct copying copying = {
	    .copy = copy, .fd = fd, .bytes_left = 2 * (uint64_t)copy->size + GUARD_BYTES};
	const Elf64_Ehdr *header = (const Elf64_Ehdr *)copy->bytes;

	copy_part(&copying, 0, sizeof(*header));
	if (memcmp(header->e_ident, ELFMAG, SELFMAG) || header->e_ident[EI_CLASS] != ELFCLASS64 ||
	    header->e_ident[EI_DATA] != ELFDATA2LSB)
		return false;
	copy_part(&copying, header->e_phoff, (uint64_t)header->e_phnum * sizeof(Elf64_Phdr));
	copy_sections(&copying, header);
	return true;
}

/* Decompresses DWARF; a string table that is not ended gets an end. */
static void expand_sections(Elf *elf)
{
	Elf_Scn *section = NULL;
	GElf_Shdr header;
	size_t names;

	if (elf_getshdrstrndx(elf, &names) < 0)
		return;
	while ((section = elf_nextscn(elf, section))) {
		const char *name =
		    gelf_getshdr(section, &header) ? elf_strptr(elf, names, header.sh_name) : NULL;
		bool gnu = name && !strncmp(name, ".zdebug", 7);
		Elf_Data *data;

		if (!name || header.sh_type == SHT_NOBITS ||
		    (!gnu && !(header.sh_flags & SHF_COMPRESSED)))
			continue;
		if ((gnu ? elf_compress_gnu(section, 0, 0) : elf_compress(section, 0, 0)) < 0)
			continue;
		data = elf_rawdata(section, NULL);
		if (data && data->d_buf && data->d_size && strstr(name, "str"))
			((char *)data->d_buf)[data->d_size - 1] = '\0';
	}
}

struct elf_copy *elf_copy_open(int fd)
{
	struct elf_copy *copy;
	struct stat status;
	void *bytes;

	if (fd < 0 || fstat(fd, &status) < 0 || status.st_size < (off_t)sizeof(Elf64_Ehdr) ||
	    (uint64_t)status.st_size > file_bytes_max)
		return NULL;
	copy = xcalloc(1, sizeof(*copy));
	copy->size = status.st_size;
	copy->mapped = copy->size + GUARD_BYTES;
	bytes = mmap(NULL, copy->mapped, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (bytes == MAP_FAILED) {
		free(copy);
		return NULL;
	}
	copy->bytes = bytes;
	elf_version(EV_CURRENT);
	if (copy_file(copy, fd))
		copy->elf = elf_memory(bytes, copy->size);
	if (copy->elf && elf_kind(copy->elf) == ELF_K_ELF) {
		expand_sections(copy->elf);
		return copy;
	}
	elf_copy_free(copy);
	return NULL;
}

void elf_copy_free(struct elf_copy *copy)
{
	if (!copy)
		return;
	elf_end(copy->elf);
	munmap(copy->bytes, copy->mapped);
	free(copy);
}
