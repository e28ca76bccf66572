/*
 * Says of an ELF file whether its program ends itself when another library was loaded before its
 * own: AddressSanitizer's shared runtime demands to be the first (compiler-rt, asan_linux.cpp,
 * AsanCheckDynamicRTPrereqs). Used by the collector and by the agent: calls no function of libc.
 */
#ifndef HTRACE_EVENT_FIRST_LIBRARY_H
#define HTRACE_EVENT_FIRST_LIBRARY_H

#include <elf.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	FIRST_LIBRARY_SEGMENTS_MAX = 128,
	FIRST_LIBRARY_ENTRIES_MAX = 512, /* of the dynamic section */
	FIRST_LIBRARY_BATCH = 16,
	FIRST_LIBRARY_NAME_BYTES = 32, /* of a library's name that are looked at */
};

/* A file and how to read it: bytes read, as pread(2) says. Whatever it holds, nothing else is read.
 */
struct first_library_file {
	int64_t (*read_at)(int fd, void *to, uint64_t bytes, uint64_t offset);
	int fd;
	const Elf64_Ehdr *header;
};

static inline bool first_library_segment(const struct first_library_file *file, unsigned index,
					 Elf64_Phdr *out)
{
	return index < file->header->e_phnum && index < FIRST_LIBRARY_SEGMENTS_MAX &&
	       file->header->e_phentsize == sizeof(*out) &&
	       file->read_at(file->fd, out, sizeof(*out),
			     file->header->e_phoff + (uint64_t)index * sizeof(*out)) ==
		   sizeof(*out);
}

/* Where in the file that is what will lie at `address`; 0: nowhere. */
static inline uint64_t first_library_offset(const struct first_library_file *file, uint64_t address)
{
	Elf64_Phdr segment;

	for (unsigned i = 0; first_library_segment(file, i, &segment); i++)
		if (segment.p_type == PT_LOAD && address - segment.p_vaddr < segment.p_filesz)
			return address - segment.p_vaddr + segment.p_offset;
	return 0;
}

static inline bool first_library_begins(const char *text, const char *with)
{
	while (*with)
		if (*text++ != *with++)
			return false;
	return true;
}

static inline bool first_library_named(const char *name)
{
	return first_library_begins(name, "libasan.so") ||
	       first_library_begins(name, "libclang_rt.asan");
}

/* The same of a list of libraries, as LD_PRELOAD has it. */
static inline bool first_library_is_in(const char *list)
{
	for (; *list; list++)
		if (first_library_named(list))
			return true;
	return false;
}

static inline bool first_library_has_name(const struct first_library_file *file, uint64_t at)
{
	char name[FIRST_LIBRARY_NAME_BYTES + 1] = {0};

	return file->read_at(file->fd, name, FIRST_LIBRARY_NAME_BYTES, at) > 0 &&
	       first_library_named(name);
}

/* Goes through the dynamic section: the string table's address, or, where that is known as
 * `strings` (an offset in the file), whether a needed library is one of those. */
static inline uint64_t first_library_scan(const struct first_library_file *file,
					  const Elf64_Phdr *dynamic, uint64_t strings)
{
	uint64_t n = dynamic->p_filesz / sizeof(Elf64_Dyn);
	Elf64_Dyn entries[FIRST_LIBRARY_BATCH];

	if (n > FIRST_LIBRARY_ENTRIES_MAX)
		n = FIRST_LIBRARY_ENTRIES_MAX;
	for (uint64_t first = 0; first < n; first += FIRST_LIBRARY_BATCH) {
		int64_t bytes = file->read_at(file->fd, entries, sizeof(entries),
					      dynamic->p_offset + first * sizeof(*entries));

		for (int64_t i = 0; i < bytes / (int64_t)sizeof(*entries); i++) {
			if (entries[i].d_tag == DT_NULL)
				return 0;
			if (!strings && entries[i].d_tag == DT_STRTAB)
				return entries[i].d_un.d_ptr;
			if (strings && entries[i].d_tag == DT_NEEDED &&
			    first_library_has_name(file, strings + entries[i].d_un.d_val))
				return 1;
		}
		if (bytes < (int64_t)sizeof(entries))
			return 0;
	}
	return 0;
}

static inline bool first_library_is_wanted(const struct first_library_file *file)
{
	Elf64_Phdr dynamic;
	uint64_t strings;

	for (unsigned i = 0; first_library_segment(file, i, &dynamic); i++) {
		if (dynamic.p_type != PT_DYNAMIC)
			continue;
		strings = first_library_offset(file, first_library_scan(file, &dynamic, 0));
		return strings && first_library_scan(file, &dynamic, strings);
	}
	return false;
}

#endif
