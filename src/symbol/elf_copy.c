/*
 * Owns the choice of the parts that are copied, the bounds that they must keep to, and where what
 * was compressed comes to lie.
 */
#include "symbol/elf_copy.h"

#include "base/cleanup.h"
#include "base/alloc.h"
#include "symbol/unpack.h"

#include <endian.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	GUARD_BYTES = 64 * 1024,
	PART_GUARD_BYTES = 4096, /* before each part that was compressed */
	SHRINK_MAX = 1032,       /* deflate makes no more than that of one byte */
	UNPACKED_PER_BYTE = 16,  /* of a whole file; real ones have 2 to 4 */
	COMPRESS_ZSTD = 2,       /* ELFCOMPRESS_ZSTD, which older elf.h do not know */
};

static const uint64_t file_bytes_max = (uint64_t)1 << 36;

struct copying {
	struct elf_copy *copy;
	int fd;
	uint64_t bytes_left; /* sections may overlap; a damaged table could have all of them do */
	uint64_t unpacked_left;
	uint64_t end;         /* of the file and what was put behind it */
	Elf64_Shdr *sections; /* as they will stand in the copy */
	uint64_t sections_n;
};

/* Short reads leave what there was. */
static bool read_whole(int fd, uint8_t *bytes, uint64_t count, uint64_t offset)
{
	while (count > 0) {
		ssize_t got = pread(fd, bytes, count, offset);

		if (got <= 0)
			return false;
		bytes += got;
		offset += got;
		count -= got;
	}
	return true;
}

/* Whether the file has that part, and it may still be read. */
static bool take_part(struct copying *copying, uint64_t offset, uint64_t bytes)
{
	uint64_t end;

	if (__builtin_add_overflow(offset, bytes, &end) || end > copying->copy->size ||
	    bytes > copying->bytes_left)
		return false;
	copying->bytes_left -= bytes;
	return true;
}

static void copy_part(struct copying *copying, uint64_t offset, uint64_t bytes)
{
	if (take_part(copying, offset, bytes))
		read_whole(copying->fd, copying->copy->bytes + offset, bytes, offset);
}

/*
 * Left out are code and data of the program, but for the PLT; and of the debug information what
 * says where variables and frames are, and how macros read.
 */
static bool is_wanted(const Elf64_Shdr *section, const char *name)
{
	static const char *const unwanted[] = {"loc", "mac", "frame", "pub", "gnu_pub", "names"};

	if (section->sh_type == SHT_PROGBITS && section->sh_flags & SHF_ALLOC)
		return !strncmp(name, ".plt", 4);
	if (!strncmp(name, ".debug_", 7))
		name += 7;
	else if (!strncmp(name, ".zdebug_", 8))
		name += 8;
	else
		return true;
	for (size_t i = 0; i < sizeof(unwanted) / sizeof(unwanted[0]); i++)
		if (!strncmp(name, unwanted[i], strlen(unwanted[i])))
			return false;
	return true;
}

/* ---- compressed sections ---- */

/* A section as the file has it. */
struct packed {
	uint64_t offset, packed_bytes;
	uint64_t bytes; /* of what it stands for */
	uint64_t align;
	bool zstd;
};

/* ELF's way (gABI, "Section compression"); or GNU's older one, known by the section's name, where
 * "ZLIB" and a big-endian length come first. False: it is not compressed in either. */
static bool read_packed(const struct copying *copying, const Elf64_Shdr *section,
			struct packed *packed)
{
	bool gnu = !(section->sh_flags & SHF_COMPRESSED);
	Elf64_Chdr chdr;
	uint8_t *header = (uint8_t *)&chdr;
	uint64_t header_bytes = gnu ? 12 : sizeof(chdr), big_endian;

	if (section->sh_size < header_bytes ||
	    !read_whole(copying->fd, header, header_bytes, section->sh_offset))
		return false;
	packed->zstd = false;
	packed->offset = section->sh_offset + header_bytes;
	packed->packed_bytes = section->sh_size - header_bytes;
	if (gnu) {
		memcpy(&big_endian, header + 4, sizeof(big_endian));
		packed->bytes = be64toh(big_endian);
		packed->align = section->sh_addralign;
		return !memcmp(header, "ZLIB", 4);
	}
	packed->bytes = chdr.ch_size;
	packed->align = chdr.ch_addralign;
	packed->zstd = chdr.ch_type == COMPRESS_ZSTD;
	return packed->zstd || chdr.ch_type == ELFCOMPRESS_ZLIB;
}

/* Makes room behind all that is there; returns its offset, 0 where the budget is spent. */
static uint64_t append(struct copying *copying, uint64_t bytes)
{
	struct elf_copy *copy = copying->copy;
	uint64_t page = PART_GUARD_BYTES, start = (copying->end + 2 * page - 1) & -page;
	void *moved;

	if (bytes > copying->unpacked_left)
		return 0;
	moved = mremap(copy->bytes, copy->mapped, start + bytes + GUARD_BYTES, MREMAP_MAYMOVE);
	if (moved == MAP_FAILED)
		return 0;
	copying->unpacked_left -= bytes;
	copying->end = start + bytes;
	copy->bytes = moved;
	copy->mapped = start + bytes + GUARD_BYTES;
	return start;
}

/* Puts what the section stands for behind the file, and has the header say so. */
static bool unpack(struct copying *copying, Elf64_Shdr *section, const struct packed *packed)
{
	_cleanup_(free) uint8_t *bytes = NULL;
	uint64_t start;

	if ((!packed->zstd && packed->bytes / SHRINK_MAX > packed->packed_bytes) ||
	    !take_part(copying, packed->offset, packed->packed_bytes))
		return false;
	/* A sparse file is large for nothing: no memory for it is no reason to end. */
	bytes = malloc(packed->packed_bytes + 1);
	if (!bytes || !read_whole(copying->fd, bytes, packed->packed_bytes, packed->offset))
		return false;
	start = append(copying, packed->bytes);
	if (!start || !(packed->zstd ? unpack_zstd : unpack_zlib)(
			  bytes, packed->packed_bytes, copying->copy->bytes + start, packed->bytes))
		return false;
	section->sh_flags &= ~(uint64_t)SHF_COMPRESSED;
	section->sh_offset = start;
	section->sh_size = packed->bytes;
	section->sh_addralign = packed->align;
	return true;
}

/* ---- the file ---- */

/* A section that is left out, or damaged, becomes one without contents: libelf would have its own
 * try at it, without bounds. */
static void copy_section(struct copying *copying, Elf64_Shdr *section, const char *name)
{
	bool gnu = !strncmp(name, ".zdebug_", 8);
	struct packed packed;

	if (section->sh_type == SHT_NOBITS || section->sh_type == SHT_NULL)
		return;
	if (!is_wanted(section, name)) {
		section->sh_type = SHT_NOBITS;
		return;
	}
	if (!gnu && !(section->sh_flags & SHF_COMPRESSED)) {
		copy_part(copying, section->sh_offset, section->sh_size);
		return;
	}
	if (!read_packed(copying, section, &packed) || !unpack(copying, section, &packed))
		section->sh_type = SHT_NOBITS;
}

/* Reads the table of sections; returns which of them has the names. */
static uint64_t read_sections(struct copying *copying, const Elf64_Ehdr *header)
{
	uint64_t at = header->e_shoff, names = header->e_shstrndx, count = header->e_shnum;
	uint64_t left = copying->copy->size - at;
	Elf64_Shdr first;

	if (at == 0 || at % 8 || at >= copying->copy->size || left < sizeof(first) ||
	    header->e_shentsize != sizeof(first) ||
	    !read_whole(copying->fd, (uint8_t *)&first, sizeof(first), at))
		return 0;
	/* More than the header can count: the first section says how many. */
	if (count == 0)
		count = first.sh_size;
	if (names == SHN_XINDEX)
		names = first.sh_link;
	if (count > left / sizeof(first) || !take_part(copying, at, count * sizeof(first)))
		return 0;
	copying->sections = calloc(count + 1, sizeof(first));
	if (!copying->sections)
		return 0;
	copying->sections_n = count;
	read_whole(copying->fd, (uint8_t *)copying->sections, count * sizeof(first), at);
	return names < count ? names : 0;
}

static void copy_sections(struct copying *copying, uint64_t table, uint64_t names_index)
{
	struct elf_copy *copy = copying->copy;
	_cleanup_(free) char *names = NULL;
	uint64_t names_bytes = 0;

	if (names_index && copying->sections[names_index].sh_offset < copy->size &&
	    copying->sections[names_index].sh_size < copy->size) {
		names_bytes = copying->sections[names_index].sh_size;
		names = calloc(1, names_bytes + 1);
		if (!names)
			names_bytes = 0;
		read_whole(copying->fd, (uint8_t *)names, names_bytes,
			   copying->sections[names_index].sh_offset);
	}
	for (uint64_t i = 0; i < copying->sections_n; i++) {
		Elf64_Shdr *section = &copying->sections[i];

		copy_section(copying, section,
			     section->sh_name < names_bytes ? names + section->sh_name : "");
	}
	/* Last: a section of a damaged file may lie over the table. */
	memcpy(copy->bytes + table, copying->sections, copying->sections_n * sizeof(Elf64_Shdr));
}

static bool copy_file(struct elf_copy *copy, int fd, uint64_t *bytes)
{
	struct copying copying = {
	    .copy = copy,
	    .fd = fd,
	    .bytes_left = 2 * (uint64_t)copy->size + GUARD_BYTES,
	    .unpacked_left = UNPACKED_PER_BYTE * (uint64_t)copy->size + GUARD_BYTES,
	    .end = copy->size,
	};
	Elf64_Ehdr header;
	uint64_t names;

	if (!read_whole(fd, (uint8_t *)&header, sizeof(header), 0) ||
	    memcmp(header.e_ident, ELFMAG, SELFMAG) || header.e_ident[EI_CLASS] != ELFCLASS64 ||
	    header.e_ident[EI_DATA] != ELFDATA2LSB)
		return false;
	copy_part(&copying, header.e_phoff, (uint64_t)header.e_phnum * sizeof(Elf64_Phdr));
	names = read_sections(&copying, &header);
	if (copying.sections_n)
		copy_sections(&copying, header.e_shoff, names);
	memcpy(copy->bytes, &header, sizeof(header));
	free(copying.sections);
	*bytes = copying.end;
	return true;
}

struct elf_copy *elf_copy_open(int fd)
{
	struct elf_copy *copy;
	struct stat status;
	uint64_t size;
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
	if (copy_file(copy, fd, &size))
		copy->elf = elf_memory((char *)copy->bytes, size);
	if (copy->elf && elf_kind(copy->elf) == ELF_K_ELF)
		return copy;
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
