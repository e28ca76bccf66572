/*
 * Which code closes handles of which kind. A *kind* is what was opened at one near stack (the
 * innermost frames: model_set_near()), and closers are near stacks, too: that the same code was
 * called from elsewhere makes neither another kind nor another closer of it.
 */
#ifndef HTRACE_MODEL_KINDS_H
#define HTRACE_MODEL_KINDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct model;
struct process_record;

enum { KIND_HOMES_MAX = 2 }; /* whoever closes handles of more kinds closes everything */

uint32_t near_of(const struct model *model, uint32_t stack_id);

/* `closer` closes handles of `kind`, and rightly so; these were of `place`. To be said when the
 * place counts its first close by a stack. */
void kind_learn(struct process_record *record, uint32_t kind, uint32_t closer, uint32_t place);

bool kind_knows(const struct process_record *record, uint32_t kind, uint32_t closer);
bool kind_has_more(const struct process_record *record, uint32_t kind); /* closers than are known */

/* How many handles of a kind were closed by `closer`, or by all others: at least that many. */
uint64_t kind_closes(const struct model *model, const struct process_record *record, uint32_t kind,
		     uint32_t closer, bool others);

/* The kinds that `closer` closes, 0 where there is none; false: everything, or none. */
bool kind_homes(const struct process_record *record, uint32_t closer,
		uint32_t homes[static KIND_HOMES_MAX]);

void kinds_free(struct process_record *record);
size_t kinds_bytes(const struct process_record *record);

#endif
