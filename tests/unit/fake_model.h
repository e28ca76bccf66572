/*
 * A model of a few processes with handles that a test lays down by hand, and names for their
 * frames, in the place of src/model and src/symbol: a test that includes this needs neither.
 */
#ifndef HTRACE_TESTS_FAKE_MODEL_H
#define HTRACE_TESTS_FAKE_MODEL_H

#include "base/array.h"
#include "model/model.h"
#include "symbol/symbolizer.h"

#include <string.h>

enum { FAKE_PROCESSES_MAX = 256, FAKE_PASTS_MAX = 64 };

/* What handles of that number were before, whichever process's they are. */
static struct handle_past fake_pasts[FAKE_PASTS_MAX];

const struct handle_past *model_handle_past(const struct handle *handle)
{
	static const struct handle_past none;

	return handle->number < FAKE_PASTS_MAX ? &fake_pasts[handle->number] : &none;
}

struct fake_process {
	struct process process; /* first: a process is found by it */
	ARRAY(struct handle) handles;
};

struct model {
	struct fake_process processes[FAKE_PROCESSES_MAX];
	size_t processes_n;
	struct forgotten forgotten;
	struct crossings crossings;
};

/* A handle of a place of `process`, which counts it. */
const char *fd_syscalls_fixed_name(const char *type)
{
	return type && !strcmp(type, "epoll") ? "anon_inode:[eventpoll]" : NULL;
}

static inline void fake_open(struct fake_process *process, int32_t number, uint32_t place,
			     uint64_t opened_ns, const char *name)
{
	struct place *at = &process->process.places.data[place];
	struct handle handle = {
	    .number = number,
	    .open = true,
	    .origin = at->origin,
	    .type = at->type,
	    .name = name,
	    .opened = {opened_ns, process->process.pid, process->process.pid, at->stack_id},
	    .place = place,
	};

	array_push(&process->handles, handle);
	at->opened++;
	if (at->opened - at->closed > at->open_most)
		at->open_most = at->opened - at->closed;
	if (!at->first_ns || opened_ns < at->first_ns)
		at->first_ns = opened_ns;
	if (opened_ns > at->last_ns)
		at->last_ns = opened_ns;
}

static inline uint32_t fake_place(struct fake_process *process, const char *type, uint32_t stack_id,
				  enum handle_origin origin)
{
	array_push(&process->process.places,
		   (struct place){.type = type, .stack_id = stack_id, .origin = origin});
	return process->process.places.count - 1;
}

static inline struct fake_process *fake_process(struct model *model, int32_t pid, uint64_t start_ns)
{
	struct fake_process *process = &model->processes[model->processes_n++];

	process->process.pid = pid;
	process->process.parent = 1;
	process->process.start_ns = start_ns;
	return process;
}

static inline void fake_fini(struct model *model)
{
	for (size_t i = 0; i < model->processes_n; i++) {
		array_fini(&model->processes[i].handles);
		array_fini(&model->processes[i].process.places);
		array_fini(&model->processes[i].process.bad_references);
	}
	array_each (place, &model->crossings.places)
		array_fini(&place->examples);
	array_fini(&model->crossings.places);
	memset(model, 0, sizeof(*model));
}

void model_open_handles(const struct model *model, const struct process *process,
			void (*each)(void *context, const struct handle *handle), void *context)
{
	const struct fake_process *fake = (const struct fake_process *)process;

	(void)model;
	array_each (handle, &fake->handles)
		if (handle->open)
			each(context, handle);
}

void model_known_handles(const struct model *model, const struct process *process, int32_t number,
			 void (*each)(void *context, const struct handle *handle), void *context)
{
	const struct fake_process *fake = (const struct fake_process *)process;

	(void)model;
	array_each (handle, &fake->handles)
		if (number < 0 || handle->number == number)
			each(context, handle);
}

const struct crossings *model_crossings(const struct model *model)
{
	return &model->crossings;
}

const struct forgotten *model_forgotten_totals(const struct model *model)
{
	return &model->forgotten;
}

size_t model_processes(const struct model *model)
{
	return model->processes_n;
}

const struct process *model_process_at(const struct model *model, size_t index)
{
	return &model->processes[index].process;
}

const struct process *model_process(const struct model *model, int32_t pid)
{
	for (size_t i = 0; i < model->processes_n; i++)
		if (model->processes[i].process.pid == pid)
			return &model->processes[i].process;
	return NULL;
}

const struct handle *model_handle(const struct model *model, const struct process *process,
				  int32_t number)
{
	const struct fake_process *fake = (const struct fake_process *)process;

	(void)model;
	array_each (handle, &fake->handles)
		if (handle->number == number)
			return handle;
	return NULL;
}

#endif
