/* Owns where in an ELF file the sections of call frame information are. */
#include "unwind/module_cfi.h"

#include "base/alloc.h"

#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <unistd.h>

/* Larger than any that there is; what a hostile file may make us read at the most. */
enum { SECTION_BYTES_MAX = 512 * 1024 * 1024 };

/* The segment that has the file's bytes of `vaddr`, or NULL. */
static const struct elf_segment *segment_of(const struct module *module, uint64_t vaddr)
{
	array_each (segment, &module->elf.segments) {
		if (vaddr - segment->vaddr < segment->file_bytes)
			return segment;
	}
	return NULL;
}

static size_t read_at(int fd, uint64_t offset, uint8_t *out, size_t bytes)
{
	size_t done = 0;

	while (done < bytes) {
		ssize_t got = pread(fd, out + done, bytes - done, offset + done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		done += got;
	}
	return done;
}

bool module_code_read(const struct module *module, uint64_t vaddr, void *out, size_t bytes)
{
	const struct elf_segment *segment = segment_of(module, vaddr);
	uint64_t within;

	if (module->fd < 0 || !segment)
		return false;
	within = vaddr - segment->vaddr;
	return bytes <= segment->file_bytes - within &&
	       read_at(module->fd, segment->file_offset + within, out, bytes) == bytes;
}

/* Reads loaded bytes at `vaddr`, at most `bytes` and to the end of their segment. */
static uint8_t *load(const struct module *module, uint64_t vaddr, uint64_t bytes,
		     struct cfi_section *section)
{
	const struct elf_segment *segment = segment_of(module, vaddr);
	off_t file_bytes = lseek(module->fd, 0, SEEK_END);
	uint64_t within, offset;
	uint8_t *memory;

	if (!segment || file_bytes < 0)
		return NULL;
	within = vaddr - segment->vaddr;
	offset = segment->file_offset + within;
	if (bytes > segment->file_bytes - within)
		bytes = segment->file_bytes - within;
	if (offset >= (uint64_t)file_bytes)
		return NULL;
	if (bytes > (uint64_t)file_bytes - offset)
		bytes = file_bytes - offset;
	if (bytes > SECTION_BYTES_MAX)
		bytes = SECTION_BYTES_MAX;
	memory = xmalloc(bytes + 1);
	section->data = memory;
	section->size = read_at(module->fd, offset, memory, bytes);
	section->vaddr = vaddr;
	return memory;
}

/* .debug_frame belongs to no segment; libelf finds it and, where it is compressed, opens it. */
static uint8_t *load_debug_frame(Elf_Scn *scn, bool gnu_compressed, struct cfi_section *section)
{
	GElf_Shdr header;
	GElf_Chdr compressed;
	Elf_Data *data;
	uint8_t *memory;

	if (gnu_compressed) {
		if (elf_compress_gnu(scn, 0, 0) < 0)
			return NULL;
	} else if (gelf_getshdr(scn, &header) && header.sh_flags & SHF_COMPRESSED) {
		if (!gelf_getchdr(scn, &compressed) || compressed.ch_size > SECTION_BYTES_MAX ||
		    elf_compress(scn, 0, 0) < 0)
			return NULL;
	}
	data = elf_rawdata(scn, NULL);
	if (!data || !data->d_buf || data->d_size == 0 || data->d_size > SECTION_BYTES_MAX)
		return NULL;
	memory = xmemdup(data->d_buf, data->d_size);
	section->data = memory;
	section->size = data->d_size;
	return memory;
}

struct found {
	GElf_Shdr eh_frame; /* sh_size 0: there is no such section */
	Elf_Scn *debug_frame;
	bool debug_frame_gnu_compressed;
};

static void find_sections(Elf *elf, struct found *found)
{
	Elf_Scn *scn = NULL;
	size_t names;

	if (elf_getshdrstrndx(elf, &names) < 0)
		return;
	while ((scn = elf_nextscn(elf, scn))) {
		GElf_Shdr header;
		const char *name;

		if (!gelf_getshdr(scn, &header) || header.sh_type == SHT_NOBITS)
			continue;
		name = elf_strptr(elf, names, header.sh_name);
		if (!name)
			continue;
		if (!strcmp(name, ".eh_frame"))
			found->eh_frame = header;
		if (!strcmp(name, ".debug_frame") || !strcmp(name, ".zdebug_frame")) {
			found->debug_frame = scn;
			found->debug_frame_gnu_compressed = name[1] == 'z';
		}
	}
}

/* The address and size of .eh_frame_hdr, by the program header that the dynamic loader uses. */
static bool find_header(Elf *elf, GElf_Phdr *out)
{
	size_t count;

	if (elf_getphdrnum(elf, &count) < 0)
		return false;
	for (size_t i = 0; i < count; i++)
		if (gelf_getphdr(elf, i, out) && out->p_type == PT_GNU_EH_FRAME)
			return true;
	return false;
}

static void load_sections(struct module_cfi *loaded, Elf *elf)
{
	const struct module *module = loaded->module;
	struct cfi *cfi = &loaded->cfi;
	struct found found = {0};
	GElf_Phdr header;
	GElf_Ehdr ehdr;
	uint64_t vaddr;

	if (gelf_getehdr(elf, &ehdr))
		loaded->entry = ehdr.e_entry;
	find_sections(elf, &found);
	if (find_header(elf, &header))
		loaded->memory[0] =
		    load(module, header.p_vaddr, header.p_filesz, &cfi->eh_frame_hdr);
	/* A file may be stripped of its section headers: then .eh_frame has no known end. */
	if (cfi_header_eh_frame(&cfi->eh_frame_hdr, &vaddr) && vaddr != found.eh_frame.sh_addr)
		loaded->memory[1] = load(module, vaddr, UINT64_MAX, &cfi->eh_frame);
	else if (found.eh_frame.sh_size)
		loaded->memory[1] =
		    load(module, found.eh_frame.sh_addr, found.eh_frame.sh_size, &cfi->eh_frame);
	if (found.debug_frame)
		loaded->memory[2] = load_debug_frame(
		    found.debug_frame, found.debug_frame_gnu_compressed, &cfi->debug_frame);
}

struct module_cfi *module_cfi_new(const struct module *module)
{
	struct module_cfi *loaded = xcalloc(1, sizeof(*loaded));
	Elf *elf = NULL;

	loaded->module = module;
	if (module->fd >= 0 && module->elf.is_x86_64) {
		elf_version(EV_CURRENT);
		elf = elf_begin(module->fd, ELF_C_READ, NULL);
	}
	if (elf) {
		load_sections(loaded, elf);
		elf_end(elf);
	}
	cfi_open(&loaded->cfi);
	return loaded;
}

void module_cfi_free(struct module_cfi *loaded)
{
	if (!loaded)
		return;
	cfi_fini(&loaded->cfi);
	for (size_t i = 0; i < sizeof(loaded->memory) / sizeof(*loaded->memory); i++)
		free(loaded->memory[i]);
	free(loaded);
}
