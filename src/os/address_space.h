/* The executable mappings of one process, as they are at the event that is being handled. */
#ifndef HTRACE_OS_ADDRESS_SPACE_H
#define HTRACE_OS_ADDRESS_SPACE_H

#include <stddef.h>
#include <stdint.h>

struct mapping {
	uint64_t start, end;
	uint32_t image; /* os/image.h; 0: executable memory without a file */
};

struct address_space;

struct address_space *address_space_new(void);
struct address_space *address_space_dup(const struct address_space *space); /* fork */
void address_space_free(struct address_space *space);

/* [start, end) becomes executable memory of `image`; what overlapped it is cut or removed. */
void address_space_map(struct address_space *space, uint64_t start, uint64_t end, uint32_t image);

/* exec: nothing is mapped. */
void address_space_clear(struct address_space *space);

/* The mapping that holds `pc`, or NULL. Borrowed, good until the next change. */
const struct mapping *address_space_find(const struct address_space *space, uint64_t pc);

/* All mappings in address order, `count` of them. Borrowed, good until the next change. */
const struct mapping *address_space_mappings(const struct address_space *space, size_t *count);

/*
 * Changes whenever a mapping changes, and is unique in the program: two spaces with the same
 * generation have the same mappings (a fork's copy keeps its parent's until either changes).
 */
uint64_t address_space_generation(const struct address_space *space);

#endif
