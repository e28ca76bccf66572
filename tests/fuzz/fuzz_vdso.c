/*
 * A vDSO in which the agent looks for clock_gettime. It believes what its first segment says of its
 * size, so that is made true here; nothing behind that may be read, and what is found is inside.
 */
#include "agent.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#endif

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { VDSO_BYTES = 4 * AGENT_PAGE };

struct agent agent; /* clock_now() is not called */

static void require(bool holds)
{
	if (!holds)
		abort();
}

/* Whole pages, and none behind them. */
static uint8_t *vdso_room(void)
{
	static uint8_t *room;

	if (!room) {
		room = mmap(NULL, VDSO_BYTES + AGENT_PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		require(room != MAP_FAILED);
		require(!mprotect(room + VDSO_BYTES, AGENT_PAGE, PROT_NONE));
	}
	return room;
}

/* The size that is believed: of the last segment at the file's beginning. The first page is read
 * before it is known. */
static uint64_t make_true(uint8_t *vdso)
{
	uint64_t bytes = AGENT_PAGE;
	Elf64_Ehdr header;
	Elf64_Phdr segment;

	memcpy(&header, vdso, sizeof(header));
	if (header.e_phoff < sizeof(header)) { /* what is changed below would be the header */
		header.e_phoff = AGENT_PAGE;
		memcpy(vdso, &header, sizeof(header));
	}
	for (uint64_t i = 0; i < header.e_phnum; i++) {
		uint64_t at = header.e_phoff + i * sizeof(segment);

		if (at > AGENT_PAGE - sizeof(segment))
			break;
		memcpy(&segment, vdso + at, sizeof(segment));
		if (segment.p_type != PT_LOAD || segment.p_offset)
			continue;
		segment.p_memsz %= VDSO_BYTES + 1;
		memcpy(vdso + at, &segment, sizeof(segment));
		bytes = segment.p_memsz;
	}
	return bytes > AGENT_PAGE ? bytes : AGENT_PAGE;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	uint8_t *vdso = vdso_room();
	uint64_t mapped, found;

	memset(vdso, 0, VDSO_BYTES);
	memcpy(vdso, bytes, size < VDSO_BYTES ? size : VDSO_BYTES);
	mapped = make_true(vdso);
#ifdef WITH_ASAN
	ASAN_POISON_MEMORY_REGION(vdso + mapped, VDSO_BYTES - mapped);
#endif
	found = (uint64_t)vdso_find_clock((uint64_t)vdso);
#ifdef WITH_ASAN
	ASAN_UNPOISON_MEMORY_REGION(vdso, VDSO_BYTES);
#endif
	require(!found || found - (uint64_t)vdso < mapped);
	require(!vdso_find_clock((uint64_t)vdso + 8));
	return 0;
}
