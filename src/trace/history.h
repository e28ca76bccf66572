/* The last Max_Traces traces (open, close, bad reference) of all processes, in a ring. */
#ifndef HTRACE_TRACE_HISTORY_H
#define HTRACE_TRACE_HISTORY_H

#include "model/model.h"

struct history;

struct history *history_new(uint32_t traces_max); /* 0: keeps none */
void history_free(struct history *history);

/* To be given to model_new(): adds to this history. */
struct model_observer history_observer(struct history *history);

/* As if nothing had happened until now. */
void history_clear(struct history *history);

/* How many are kept, and how many there were in all. */
uint32_t history_count(const struct history *history);
uint64_t history_total(const struct history *history);

/* `age` 0 is the newest; NULL: not kept. Borrowed, good until the next trace. */
const struct trace *history_get(const struct history *history, uint32_t age);

#endif
