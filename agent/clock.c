/* Owns the way to the time: the time stamp counter, or the vDSO's function. */
#include "agent.h"

#include "system.h"

#include <elf.h>
#include <time.h>

uint64_t clock_now(void)
{
	int64_t now[2];

	if (agent.in_ticks)
		return __builtin_ia32_rdtsc();
	if (!agent.clock || agent.clock(CLOCK_MONOTONIC, now))
		system_call3(__NR_clock_gettime, CLOCK_MONOTONIC, (uint64_t)now, 0);
	return (uint64_t)now[0] * 1000000000 + (uint64_t)now[1];
}

/* What is needed of the vDSO's dynamic section; `bytes` from `base` are mapped. */
struct vdso {
	const uint8_t *base;
	uint64_t bytes;
	uint64_t bias; /* address minus the file's idea of it */
	uint64_t symbols, strings, strings_bytes, dynamic, dynamic_bytes;
};

enum { SYMBOLS_MAX = 256, HEADERS_MAX = 16, DYNAMIC_MAX = 64 };

/* `bytes` at `address`, or NULL where they are not all inside. */
static const void *inside(const struct vdso *vdso, uint64_t address, uint64_t bytes)
{
	uint64_t at = address - (uint64_t)vdso->base;

	return at <= vdso->bytes && bytes <= vdso->bytes - at ? (const void *)address : NULL;
}

static bool read_headers(struct vdso *vdso)
{
	const Elf64_Ehdr *header = (const Elf64_Ehdr *)vdso->base;
	const Elf64_Phdr *segments;

	if (*(const uint32_t *)header->e_ident != 0x464c457f /* "\177ELF" */ ||
	    header->e_phentsize != sizeof(*segments) || header->e_phnum > HEADERS_MAX ||
	    header->e_phoff % 8 || header->e_phoff > AGENT_PAGE - HEADERS_MAX * sizeof(*segments))
		return false;
	segments = (const Elf64_Phdr *)(vdso->base + header->e_phoff);
	for (int i = 0; i < header->e_phnum; i++) {
		if (segments[i].p_type == PT_LOAD && segments[i].p_offset == 0) {
			vdso->bias = (uint64_t)vdso->base - segments[i].p_vaddr;
			vdso->bytes = segments[i].p_memsz;
		}
		if (segments[i].p_type == PT_DYNAMIC) {
			vdso->dynamic = segments[i].p_vaddr;
			vdso->dynamic_bytes = segments[i].p_memsz;
		}
	}
	return vdso->bytes && vdso->dynamic;
}

/* The kernel leaves the addresses as they are in the file. */
static bool read_dynamic(struct vdso *vdso)
{
	uint64_t n = vdso->dynamic_bytes / sizeof(Elf64_Dyn);
	const Elf64_Dyn *entry = inside(vdso, vdso->bias + vdso->dynamic, n * sizeof(*entry));

	if (!entry || (uint64_t)entry % 8 || n > DYNAMIC_MAX)
		return false;
	for (uint64_t i = 0; i < n && entry[i].d_tag != DT_NULL; i++) {
		if (entry[i].d_tag == DT_SYMTAB)
			vdso->symbols = vdso->bias + entry[i].d_un.d_ptr;
		if (entry[i].d_tag == DT_STRTAB)
			vdso->strings = vdso->bias + entry[i].d_un.d_ptr;
		if (entry[i].d_tag == DT_STRSZ)
			vdso->strings_bytes = entry[i].d_un.d_val;
	}
	return vdso->symbols && vdso->symbols % 8 == 0 &&
	       inside(vdso, vdso->strings, vdso->strings_bytes);
}

static bool is_named(const struct vdso *vdso, const Elf64_Sym *symbol)
{
	static const char name[] = "__vdso_clock_gettime";
	const char *text = (const char *)vdso->strings + symbol->st_name;

	if (symbol->st_name >= vdso->strings_bytes ||
	    vdso->strings_bytes - symbol->st_name < sizeof(name))
		return false;
	for (unsigned i = 0; i < sizeof(name); i++)
		if (text[i] != name[i])
			return false;
	return ELF64_ST_TYPE(symbol->st_info) == STT_FUNC && symbol->st_shndx != SHN_UNDEF;
}

int (*vdso_find_clock(uint64_t base))(int clock, int64_t out[2])
{
	struct vdso vdso = {.base = (const uint8_t *)base};

	if (!base || base % AGENT_PAGE || !read_headers(&vdso) || !read_dynamic(&vdso))
		return NULL;
	for (uint64_t i = 0; i < SYMBOLS_MAX; i++) {
		const Elf64_Sym *symbol =
		    inside(&vdso, vdso.symbols + i * sizeof(*symbol), sizeof(*symbol));

		if (!symbol)
			break;
		if (is_named(&vdso, symbol) && inside(&vdso, vdso.bias + symbol->st_value, 1))
			return (int (*)(int, int64_t *))(vdso.bias + symbol->st_value);
	}
	return NULL;
}
