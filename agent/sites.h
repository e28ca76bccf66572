/* Between sites.c, which chooses stubs, and patch.c, which puts jumps to them into the text. */
#ifndef HTRACE_AGENT_SITES_H
#define HTRACE_AGENT_SITES_H

#include "stub.h"

#include "event/arena.h"

/* A run of patch_mapping(). */
struct patching {
	uint64_t start, end;
	uint32_t old_stubs; /* there before it, that may be used again */
	uint32_t next_old;  /* which most likely is the next */
	bool had_stubs;     /* some of them are for this text */
	uint32_t sites;     /* chosen */
};

extern struct stub stub_table[STUBS_N]; /* of stubs[], by index */
extern uint32_t stub_table_n;
/* The CPU gives a system call no return address in rcx (FRED). */
extern bool patch_rcx_kept;

/* Fills stub_table with what the mapping's sites need, and marks as wanted what is to be placed. */
void sites_choose(struct patching *patching, uint64_t file_offset, const struct arena_file *file);

#endif
