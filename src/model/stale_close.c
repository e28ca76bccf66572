/*
 * Owns the inference of stale closes, from who closes handles of which kind (model/kinds.h) and
 * from what a number stood for before. Nothing is reported on suspicion: only once the number's
 * rightful owner was hurt. Costs a glance at the place's closers where a close is one of the usual.
 */
#include "model/stale_close.h"

#include "base/alloc.h"
#include "model/kinds.h"
#include "model/model_private.h"
#include "stack/stack_table.h"

#include <stdlib.h>

enum {
	ELSEWHERE_LEAST = 3, /* closes by others from which a kind's closers are known */
	AT_HOME_LEAST = 8,   /* else: closes of its own kinds by which a closer is known */
	LINKS_MAX = 32,      /* how many later owners of the number are waited for */
	PASSES_MOST = 2,     /* so many victims in a row, each of another, are no chance */
};

static bool moment_equal(const struct handle_moment *a, const struct handle_moment *b)
{
	return a->time_ns == b->time_ns && a->tid == b->tid && a->pid == b->pid;
}

static const struct place *place_at(const struct process_record *record, uint32_t index)
{
	return record && index < record->public.places.count ? &record->public.places.data[index]
							     : NULL;
}

static struct closer *closer_in(const struct place *place, uint32_t stack_id)
{
	for (uint32_t i = 0; place && place->ends && i < place->ends->closers_n; i++)
		if (place->ends->closers[i].stack_id == stack_id)
			return &place->ends->closers[i];
	return NULL;
}

/* ---- what numbers stood for ---- */

static struct stale_memory *memory_of(struct handle_table *table)
{
	if (!table->stale)
		table->stale = xcalloc(1, sizeof(*table->stale));
	return table->stale;
}

static struct elder *elders_of(struct stale_memory *memory, int32_t number)
{
	return memory->elders[(uint32_t)number & (ELDER_SETS - 1)];
}

void stale_close_remember(struct handle_table *table, const struct handle *handle,
			  const struct handle_moment *closing)
{
	const struct handle_past *past = model_handle_past(handle);
	struct elder *elders, *oldest;

	/* What goes on as before leaves nothing behind. */
	if (!past->closed.time_ns || !past->opened.time_ns || handle->closed_by != CLOSED_BY_CALL ||
	    (past->closed.stack_id == closing->stack_id &&
	     past->opened.stack_id == handle->opened.stack_id))
		return;
	elders = oldest = elders_of(memory_of(table), handle->number);
	for (unsigned i = 0; i < ELDER_WAYS; i++) {
		if (elders[i].number == handle->number &&
		    elders[i].opened.stack_id == past->opened.stack_id &&
		    elders[i].closed.stack_id == past->closed.stack_id) {
			oldest = &elders[i];
			break;
		}
		if (elders[i].closed.time_ns < oldest->closed.time_ns)
			oldest = &elders[i];
	}
	*oldest = (struct elder){handle->number, past->closed, past->opened};
}

void stale_close_forget(struct handle_table *table)
{
	free(table->stale);
	table->stale = NULL;
}

/* A close that is looked at. */
struct look {
	const struct model *model;
	const struct handle *handle;
	uint32_t closer, near; /* near stacks: of the close, and of the handle's opening */
	uint32_t stack_id;     /* of the close */
	uint32_t homes[KIND_HOMES_MAX];
	uint64_t elsewhere; /* as struct suspect has it */
	struct elder best;  /* closed.time_ns 0: none */
};

/* Is this an earlier owner of the number, of a kind that the closer closes? Best is one that it
 * closed itself, then the latest. */
static void match(struct look *look, const struct elder *elder)
{
	bool own = elder->closed.stack_id == look->stack_id;
	bool best_own = look->best.closed.stack_id == look->stack_id;
	uint32_t near;

	if (elder->number != look->handle->number || !elder->closed.time_ns ||
	    elder->opened.stack_id == STACK_NONE)
		return;
	if (look->best.closed.time_ns &&
	    (own != best_own ? best_own : elder->closed.time_ns < look->best.closed.time_ns))
		return;
	near = near_of(look->model, elder->opened.stack_id);
	if (near != look->near && (near == look->homes[0] || near == look->homes[1]))
		look->best = *elder;
}

static void match_all(struct look *look, const struct handle_table *table)
{
	const struct handle *handle = look->handle;
	const struct handle_past *past = model_handle_past(handle);
	const struct elder last = {handle->number, past->closed, past->opened};

	if (handle->closed_by == CLOSED_BY_CALL && past->opened.time_ns)
		match(look, &last);
	for (unsigned i = 0; table->stale && i < ELDER_WAYS; i++)
		match(look, &elders_of(table->stale, handle->number)[i]);
}

/* ---- suspects ---- */

static void suspect_remove(struct stale_memory *memory, uint32_t index)
{
	memory->suspects[index] = memory->suspects[--memory->suspects_n];
}

/* Nothing came of it: that place closes such handles, too. */
static void suspect_acquit(const struct model *model, struct process_record *owner,
			   struct stale_memory *memory, uint32_t index)
{
	const struct suspect *suspect = &memory->suspects[index];
	struct closer *closer = NULL;

	if (suspect->owner == owner)
		closer = closer_in(place_at(owner, suspect->place), suspect->now.stack_id);
	if (closer && closer->suspicion == CLOSER_SUSPECTED) {
		closer->suspicion = CLOSER_USUAL;
		kind_learn(owner, suspect->near, near_of(model, closer->stack_id), suspect->place);
	}
	suspect_remove(memory, index);
}

/* `hurt`: what its victim was told; of no use once the victim has closed another's handle. */
static void suspect_report(struct model *model, struct process_record *record,
			   struct suspect *suspect, const struct bad_reference *hurt)
{
	struct closer *closer =
	    closer_in(place_at(suspect->owner, suspect->place), suspect->now.stack_id);
	const struct bad_reference bad = {
	    .number = suspect->number,
	    .call = suspect->call,
	    .kind = BAD_STALE_CLOSE,
	    .inferred = true,
	    .count = 1,
	    .now = suspect->now,
	    .closed = suspect->earlier_closed,
	    .opened = suspect->opened,
	    .earlier = suspect->earlier_opened,
	    .noticed = suspect->passes ? suspect->next : hurt->now,
	    .noticed_call = suspect->passes ? suspect->call : hurt->call,
	    .passed_on = suspect->passes,
	    .closed_elsewhere = suspect->elsewhere,
	};

	suspect->reported = true;
	if (closer)
		closer->suspicion = CLOSER_WRONG;
	bad_reference_add(model, record, &bad);
}

static void suspect_add(const struct model *model, struct handle_table *table,
			const struct suspect *suspect)
{
	struct stale_memory *memory = memory_of(table);

	if (memory->suspects_n == SUSPECTS_MAX)
		suspect_acquit(model, table->owner, memory, 0);
	memory->suspects[memory->suspects_n++] = *suspect;
}

/* Whoever lost its handle closes such handles as `look` does, and closes another's now: of a kind
 * that it never closed. */
static bool is_passed_on(const struct suspect *suspect, const struct look *look)
{
	return look->near != suspect->lost &&
	       kind_knows(suspect->owner, suspect->lost, look->closer) &&
	       !kind_has_more(suspect->owner, look->near) &&
	       !kind_knows(suspect->owner, look->near, look->closer);
}

/* The number is closed again. True where a suspect's victim closes another's handle in turn, who is
 * the victim from now on. */
static bool follow_suspects(struct model *model, struct handle_table *table,
			    const struct look *look, const struct handle_moment *closing)
{
	struct stale_memory *memory = table->stale;

	for (uint32_t i = 0; i < memory->suspects_n; i++) {
		struct suspect *suspect = &memory->suspects[i];

		if (suspect->number != look->handle->number)
			continue;
		if (suspect->owner != table->owner || suspect->links++ == LINKS_MAX ||
		    near_of(model, suspect->now.stack_id) == look->closer) {
			suspect_acquit(model, table->owner, memory, i--);
			continue;
		}
		suspect->last_near = look->near;
		if (!is_passed_on(suspect, look))
			continue;
		if (!suspect->passes++)
			suspect->next = *closing;
		suspect->wrong = *closing;
		suspect->lost = look->near;
		if (suspect->passes == PASSES_MOST && !suspect->reported)
			suspect_report(model, table->owner, suspect, NULL);
		return true;
	}
	return false;
}

/* The closer has nothing to do with such handles, as far as is known. */
static bool is_suspect(const struct process_record *record, struct look *look)
{
	uint64_t at_home = 0;

	if (!kind_homes(record, look->closer, look->homes) ||
	    kind_knows(record, look->near, look->closer) || kind_has_more(record, look->near))
		return false;
	look->elsewhere = kind_closes(look->model, record, look->near, look->closer, true);
	if (look->elsewhere >= ELSEWHERE_LEAST)
		return true;
	for (unsigned i = 0; i < KIND_HOMES_MAX; i++)
		at_home += kind_closes(look->model, record, look->homes[i], look->closer, false);
	return at_home >= AT_HOME_LEAST;
}

static bool look_closer(struct model *model, struct handle_table *table, struct look *look,
			const struct handle_moment *closing, uint32_t call)
{
	const struct handle *handle = look->handle;
	struct closer *closer = closer_in(place_at(table->owner, handle->place), look->stack_id);

	if (is_suspect(table->owner, look))
		match_all(look, table);
	if (!look->best.closed.time_ns) {
		if (closer && closer->suspicion == CLOSER_SUSPECTED)
			closer->suspicion = CLOSER_USUAL;
		if (!closer || closer->suspicion == CLOSER_USUAL)
			kind_learn(table->owner, look->near, look->closer, handle->place);
		return false;
	}
	suspect_add(model, table,
		    &(struct suspect){.number = handle->number,
				      .call = call,
				      .place = handle->place,
				      .near = look->near,
				      .lost = look->near,
				      .wrong = *closing,
				      .elsewhere = look->elsewhere,
				      .owner = table->owner,
				      .now = *closing,
				      .opened = handle->opened,
				      .earlier_closed = look->best.closed,
				      .earlier_opened = look->best.opened});
	return true;
}

static bool has_suspect(const struct stale_memory *memory, int32_t number)
{
	for (uint32_t i = 0; memory && i < memory->suspects_n; i++)
		if (memory->suspects[i].number == number)
			return true;
	return false;
}

bool stale_close_look(struct model *model, struct handle_table *table, const struct handle *handle,
		      const struct handle_moment *closing, uint32_t call)
{
	const struct place *place = place_at(table->owner, handle->place);
	const struct closer *closer = closer_in(place, closing->stack_id);
	bool followed = has_suspect(table->stale, handle->number);
	struct look look = {.model = model, .handle = handle, .stack_id = closing->stack_id};

	if (closing->stack_id == STACK_NONE || !place || place->stack_id == STACK_NONE ||
	    handle->origin == ORIGIN_INHERITED ||
	    (!followed && closer && closer->suspicion == CLOSER_USUAL))
		return false;
	look.closer = near_of(model, closing->stack_id);
	look.near = near_of(model, place->stack_id);
	if (followed && follow_suspects(model, table, &look, closing))
		return true;
	if (closer && closer->suspicion == CLOSER_USUAL)
		return false;
	return look_closer(model, table, &look, closing, call);
}

void stale_close_mark(struct handle_table *table, uint32_t place, uint32_t stack_id)
{
	struct closer *closer = closer_in(place_at(table->owner, place), stack_id);

	if (closer && closer->suspicion == CLOSER_USUAL)
		closer->suspicion = CLOSER_SUSPECTED;
}

/* ---- what they led to ---- */

/* The place of `bad` makes the same mistake where no suspect is to blame. */
static bool errs_anyway(const struct model *model, const struct process *process,
			const struct bad_reference *bad, const struct suspect *suspect)
{
	uint32_t near = near_of(model, bad->now.stack_id);
	uint32_t suspected = near_of(model, suspect->now.stack_id);

	array_each (known, &process->bad_references)
		if (known->kind == bad->kind && near_of(model, known->now.stack_id) == near &&
		    near_of(model, known->closed.stack_id) != suspected)
			return true;
	return false;
}

/*
 * Is `bad` what the handle's owner would run into? Right after the wrong close: anybody but who did
 * it. After the number stood for others, whom theirs closed: a closer of the lost handle's kind,
 * which does not close the last of the others' kind.
 */
static bool is_hurt(const struct model *model, const struct suspect *suspect,
		    const struct bad_reference *bad)
{
	uint32_t closer = near_of(model, bad->now.stack_id);

	if (closer == near_of(model, suspect->wrong.stack_id))
		return false;
	if (moment_equal(&bad->closed, &suspect->wrong))
		return true;
	return bad->kind == BAD_DOUBLE_CLOSE && suspect->links &&
	       kind_knows(suspect->owner, suspect->lost, closer) &&
	       (suspect->last_near == suspect->lost ||
		!kind_knows(suspect->owner, suspect->last_near, closer));
}

void stale_close_notice(struct model *model, struct process_record *record,
			struct handle_table *table, const struct bad_reference *bad)
{
	struct stale_memory *memory = table->stale;

	if (!memory || bad->asks ||
	    (bad->kind != BAD_DOUBLE_CLOSE && bad->kind != BAD_USE_AFTER_CLOSE))
		return;
	for (uint32_t i = 0; i < memory->suspects_n; i++) {
		struct suspect *suspect = &memory->suspects[i];

		if (suspect->number != bad->number || suspect->owner != table->owner ||
		    !is_hurt(model, suspect, bad) ||
		    errs_anyway(model, &record->public, bad, suspect))
			continue;
		if (!suspect->reported)
			suspect_report(model, record, suspect, bad);
		/* Who lost it has tried to close it: nothing will follow from it any more. */
		if (bad->kind == BAD_DOUBLE_CLOSE)
			suspect_remove(memory, i);
		return;
	}
}
