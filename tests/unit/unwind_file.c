/* Owns the layout of the file; does not know what the sections' bytes mean. */
#include "unwind_file.h"

#include "base/alloc.h"

#include <elf.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECTIONS_N = 4 /* none, .eh_frame_hdr, the frames, the names */ };

/* Adds the section headers; returns the size of all of the file. */
static size_t add_section_headers(const struct unwind_file *file, uint8_t *bytes, size_t at)
{
	static const char names[] = "\0.eh_frame_hdr\0.eh_frame\0.debug_frame";
	const uint64_t frames_at = UNWIND_FILE_SECTIONS + file->header_bytes;
	Elf64_Ehdr *ehdr = (Elf64_Ehdr *)bytes;
	Elf64_Shdr sections[SECTIONS_N] = {
	    [1] = {.sh_name = 1,
		   .sh_type = SHT_PROGBITS,
		   .sh_addr = UNWIND_FILE_SECTIONS,
		   .sh_offset = UNWIND_FILE_SECTIONS,
		   .sh_size = file->header_bytes},
	    [2] = {.sh_name = file->debug_frame ? 25 : 15,
		   .sh_type = SHT_PROGBITS,
		   .sh_flags = file->compressed ? SHF_COMPRESSED : 0,
		   .sh_addr = file->debug_frame ? 0 : frames_at,
		   .sh_offset = frames_at,
		   .sh_size = file->frames_bytes},
	    [3] = {.sh_type = SHT_STRTAB, .sh_offset = at, .sh_size = sizeof(names)},
	};

	memcpy(bytes + at, names, sizeof(names));
	at = (at + sizeof(names) + 7) & ~7ul;
	memcpy(bytes + at, sections, sizeof(sections));
	ehdr->e_shoff = at;
	ehdr->e_shentsize = sizeof(sections[0]);
	ehdr->e_shnum = SECTIONS_N;
	ehdr->e_shstrndx = SECTIONS_N - 1;
	return at + sizeof(sections);
}

int unwind_file_make(const struct unwind_file *file)
{
	static uint8_t bytes[UNWIND_FILE_SECTIONS + UNWIND_FILE_SECTIONS_BYTES + 1024];
	size_t size = UNWIND_FILE_SECTIONS + file->header_bytes + file->frames_bytes;
	Elf64_Ehdr ehdr = {
	    .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
	    .e_type = ET_DYN,
	    .e_machine = EM_X86_64,
	    .e_version = EV_CURRENT,
	    .e_entry = file->entry,
	    .e_phoff = sizeof(ehdr),
	    .e_ehsize = sizeof(ehdr),
	    .e_phentsize = sizeof(Elf64_Phdr),
	    .e_phnum = file->has_header ? 2 : 1,
	};
	Elf64_Phdr headers[2] = {
	    {.p_type = PT_LOAD,
	     .p_flags = PF_R | PF_X,
	     .p_filesz = size,
	     .p_memsz = UNWIND_FILE_MAPPED_BYTES},
	    {.p_type = PT_GNU_EH_FRAME,
	     .p_offset = UNWIND_FILE_SECTIONS,
	     .p_vaddr = UNWIND_FILE_SECTIONS,
	     .p_filesz = file->header_bytes,
	     .p_memsz = file->header_bytes},
	};
	int fd;

	if (file->header_bytes + file->frames_bytes > UNWIND_FILE_SECTIONS_BYTES)
		return -1;
	memset(bytes, 0, UNWIND_FILE_SECTIONS);
	memcpy(bytes, &ehdr, sizeof(ehdr));
	memcpy(bytes + sizeof(ehdr), headers, sizeof(headers));
	if (file->header_bytes)
		memcpy(bytes + UNWIND_FILE_SECTIONS, file->header, file->header_bytes);
	if (file->frames_bytes)
		memcpy(bytes + UNWIND_FILE_SECTIONS + file->header_bytes, file->frames,
		       file->frames_bytes);
	if (file->section_headers)
		size = add_section_headers(file, bytes, size);
	fd = memfd_create("unwind-file", MFD_CLOEXEC);
	if (fd >= 0 && write(fd, bytes, size) != (ssize_t)size) {
		close(fd);
		return -1;
	}
	return fd;
}

uint32_t unwind_file_map(struct image_table *images, int fd, uint64_t start)
{
	struct event_map *event = xcalloc(1, sizeof(*event) + 64);
	struct stat status = {0};
	uint32_t image;

	fstat(fd, &status);
	event->header.type = EVENT_MAP;
	event->header.pid = getpid();
	event->start = start;
	event->end = start + UNWIND_FILE_MAPPED_BYTES;
	event->inode = status.st_ino;
	event->path_size = snprintf(event->path, 64, "/proc/self/fd/%d", fd);
	image = image_table_add(images, event);
	free(event);
	return image;
}
