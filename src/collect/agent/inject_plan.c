/*
 * Owns how somebody else lets the agent in: a debugger, which holds the process by ptrace and has
 * stopped it. Says what is to be done there, in which order; does nothing itself.
 */
#include "collect/agent/inject_parts.h"

#include "base/alloc.h"
#include "collect/agent/inject.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum { RETURN_BYTES = 16, NOP = 0x90 };

static void add(struct agent_plan *plan, struct entry_step step)
{
	array_push(&plan->steps, step);
}

/* As inject_visit.c leaves it: its next visit finds the image. */
static void add_steps(struct agent_plan *plan, const struct agent_image *image, uint64_t start,
		      uint64_t inner, const char *variable)
{
	uint64_t head = start + INJECT_PAGE, base = head + INJECT_PAGE;
	uint64_t argument = base + image->size;

	add(plan, (struct entry_step){ENTRY_MAP, start, inner + 2 * INJECT_PAGE, PROT_NONE, NULL});
	add(plan, (struct entry_step){ENTRY_PROTECT, head, inner, PROT_READ | PROT_WRITE, NULL});
	add(plan, (struct entry_step){ENTRY_WRITE, head, INJECT_PAGE, 0, plan->head});
	add(plan, (struct entry_step){ENTRY_WRITE, base, image->size, 0, image->bytes});
	add(plan, (struct entry_step){ENTRY_WRITE, argument, strlen(variable) + 1, 0,
				      (const uint8_t *)variable});
	array_each (segment, &image->segments)
		if (segment->protection != (PROT_READ | PROT_WRITE))
			add(plan, (struct entry_step){ENTRY_PROTECT, base + segment->start,
						      segment->end - segment->start,
						      segment->protection, NULL});
	add(plan,
	    (struct entry_step){ENTRY_PROTECT, head, INJECT_PAGE, PROT_READ | PROT_EXEC, NULL});
	add(plan, (struct entry_step){ENTRY_CALL, base + image->enter, argument, 0, NULL});
	plan->told = (struct entry_plan){
	    .steps = plan->steps.data,
	    .n = plan->steps.count,
	    .leave = base + image->leave,
	    .stack_end = head + inner,
	    .return_to = base - RETURN_BYTES,
	};
	memset(plan->head + INJECT_PAGE - RETURN_BYTES, NOP, RETURN_BYTES);
}

int agent_plan_make(pid_t pid, const char *agent_path, const char *variable, struct agent_plan *out,
		    struct error *error)
{
	uint64_t inner = INJECT_PAGE + INJECT_CONTROL_BYTES + INJECT_STACK_BYTES, start;
	struct places places = {0};
	struct areas areas = {0};
	struct gadgets gadgets = {0};
	int result;

	*out = (struct agent_plan){.image = xcalloc(1, sizeof(*out->image))};
	result = agent_image_read(agent_path, out->image, error) ?: areas_read(pid, &areas, error);
	if (!result) {
		areas_find_gadgets(pid, &areas, &gadgets);
		if (!gadgets.call)
			result =
			    error_set(error, -ENOEXEC,
				      "no system call instruction was found in process %d", pid);
	}
	if (!result) {
		inner += out->image->size;
		places_find(&areas, inner + 2 * INJECT_PAGE, &places);
		if (!places.starts.count)
			result = error_set(error, -ENOMEM,
					   "no memory for the agent within reach of process %d's "
					   "libc",
					   pid);
	}
	if (!result) {
		start = places.starts.data[0]; /* the process stands still: it stays free */
		agent_image_relocate(out->image, start + 2 * INJECT_PAGE);
		visit_head_fill(out->image, out->head);
		add_steps(out, out->image, start, inner, variable);
		out->told.syscall_at = gadgets.call;
	}
	array_fini(&places.starts);
	areas_fini(&areas);
	if (result)
		agent_plan_fini(out);
	return result;
}

void agent_plan_fini(struct agent_plan *plan)
{
	if (plan->image)
		agent_image_fini(plan->image);
	free(plan->image);
	array_fini(&plan->steps);
	*plan = (struct agent_plan){0};
}
