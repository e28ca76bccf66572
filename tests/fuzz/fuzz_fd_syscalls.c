/*
 * Records that a target had a hand in, through the decoding of system calls into the model: what
 * event_check() passes must neither break the decoder nor the tables, whatever it says.
 */
#include "event/codec.h"
#include "model/fd_syscalls.h"
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_op(const struct handle_op *op, const struct event_data *data)
{
	if (op->kind < HANDLE_OPEN || op->kind > HANDLE_EXHAUSTED)
		abort();
	if (op->kind <= HANDLE_RECEIVE && op->number < 0)
		abort();
	if (op->name &&
	    (!data || op->name != (const char *)data->bytes || op->name_bytes > data->size))
		abort();
}

static void feed(struct model *model, const struct event_header *header,
		 const struct event_data *data)
{
	static struct handle_op ops[HANDLE_OPS_MAX];
	const struct event_syscall *event = event_as_syscall(header);
	const struct event_fork *forked = (const struct event_fork *)header;
	const struct event_exec *exec = (const struct event_exec *)header;
	const struct event_exit *ended = (const struct event_exit *)header;
	struct actor actor = {header->pid, header->tid, header->time_ns, 1, UINT32_MAX};
	size_t n;

	switch (header->type) {
	case EVENT_SYSCALL:
		actor.call = event->number;
		n = fd_syscalls_decode(event, data, ops);
		if (n > HANDLE_OPS_MAX)
			abort();
		for (size_t i = 0; i < n; i++) {
			check_op(&ops[i], data);
			model_apply(model, &actor, &ops[i]);
		}
		break;
	case EVENT_FORK:
		model_fork(model, &actor, forked->child_pid, forked->child_tid, header->flags,
			   data);
		break;
	case EVENT_EXEC:
		model_exec(model, &actor, exec->old_tid, data);
		break;
	case EVENT_EXIT:
		model_exit(model, &actor, header->flags, ended->status, data);
		break;
	case EVENT_LOST:
		model_lost(model);
		break;
	default:
		break;
	}
}

static void count(void *context, const struct handle *handle)
{
	if (!handle->open || handle->number < 0)
		abort();
	(*(size_t *)context)++;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct model *model = model_new(NULL);
	struct event_data *data = NULL;
	size_t open_n = 0;

	while (size) {
		struct event_header *header = malloc(size);
		size_t checked;

		if (!header)
			abort();
		memcpy(header, bytes, size);
		checked = event_check(header, size);
		if (!checked) {
			free(header);
			break;
		}
		bytes += checked;
		size -= checked;
		if (header->type != EVENT_DATA)
			feed(model, header, data);
		free(data);
		data = NULL;
		if (header->type == EVENT_DATA)
			data = (struct event_data *)header;
		else
			free(header);
	}
	free(data);
	for (size_t i = 0; i < model_processes(model); i++)
		model_open_handles(model, model_process_at(model, i), count, &open_n);
	model_free(model);
	return 0;
}
