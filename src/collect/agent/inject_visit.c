/*
 * Owns a visit of the agent in a target whose threads stand still: its image there, and the calls
 * of its entries. Does not know how the target was stopped.
 *
 * In the target: a page without access, one that says what follows and has our code, the image, the
 * control block, a stack, another page without access. It stays there; the next visit finds it.
 */
#include "collect/agent/inject_parts.h"

#include "os/remote.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

enum { PLACES_TRIED_MAX = 8 };

static const uint8_t head_magic[16] = "\x7fhtrace agent\x01\xe7\xb3";

/* The page before the image. */
struct head {
	uint8_t magic[16];
	uint64_t identity[2]; /* of the agent */
	uint64_t bytes;       /* of its image */
	uint8_t code[];
};

static uint64_t head_of(const struct injected *injected)
{
	return injected->base - INJECT_PAGE;
}

static uint64_t control_of(const struct injected *injected)
{
	return injected->base + injected->bytes;
}

static bool read_head(pid_t pid, uint64_t at, struct head *out)
{
	return remote_read(pid, at, out, sizeof(*out)) == sizeof(*out) &&
	       !memcmp(out->magic, head_magic, sizeof(head_magic));
}

static void note_place(struct visit *visit, uint64_t base)
{
	visit->injected.base = base;
	visit->injected.bytes = visit->image.size;
	visit->injected.enter = base + visit->image.enter;
	visit->injected.leave = base + visit->image.leave;
}

/* The image of an earlier time, if it is that of the very same agent. */
static bool find_image(struct visit *visit, const struct areas *areas)
{
	array_each (area, &areas->list) {
		struct head head;

		if (!area->executable || area->has_file || area->end - area->start != INJECT_PAGE ||
		    !read_head(visit->tid, area->start, &head) || head.bytes != visit->image.size ||
		    memcmp(head.identity, visit->image.identity, sizeof(head.identity)))
			continue;
		note_place(visit, area->start + INJECT_PAGE);
		return true;
	}
	return false;
}

/* A call that has to work; `what` is what cannot be done otherwise. */
static int must(struct remote_call *call, long number, uint64_t a, uint64_t b, uint64_t c,
		const char *what, struct error *error)
{
	const uint64_t args[6] = {a, b, c};
	int64_t value;
	int result = remote_system_call(call, number, args, &value, error);

	/* A filter that sends a signal leaves the call's number as its result. */
	if (!result && value)
		return error_set_errno(error, value < 0 ? value : -EPERM,
				       "process %d cannot %s for the agent (a seccomp filter, "
				       "SELinux or a limit forbids it; use another collector)",
				       call->pid, what);
	return result;
}

/* Reserves `bytes` near libc: *start. */
static int reserve(struct remote_call *call, const struct areas *areas, uint64_t bytes,
		   uint64_t *start, struct error *error)
{
	int64_t value = -ENOMEM;
	struct places places;
	int result = 0;

	places_find(areas, bytes, &places);
	for (size_t i = 0; i < places.starts.count && i < PLACES_TRIED_MAX; i++) {
		const uint64_t args[6] = {places.starts.data[i],
					  bytes,
					  PROT_NONE,
					  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
					  -1ull,
					  0};

		result = remote_system_call(call, SYS_mmap, args, &value, error);
		if (result || (uint64_t)value == args[0])
			break;
		if (value > 0) { /* a kernel before 4.17 takes it for a hint */
			must(call, SYS_munmap, value, bytes, 0, "unmap memory", NULL);
			value = -EEXIST;
		}
	}
	array_fini(&places.starts);
	if (!result && value < 0)
		return error_set_errno(error, value,
				       "no memory for the agent within reach of process %d's "
				       "libc (a limit, or a seccomp filter)",
				       call->pid);
	*start = value;
	return result;
}

void visit_head_fill(const struct agent_image *image, uint8_t page[static INJECT_PAGE])
{
	struct head *head = (struct head *)page;

	memset(page, 0, INJECT_PAGE);
	memcpy(head->magic, head_magic, sizeof(head_magic));
	memcpy(head->identity, image->identity, sizeof(head->identity));
	head->bytes = image->size;
	memcpy(head->code, remote_code(), remote_code_bytes());
}

static int write_image(struct visit *visit, uint64_t at)
{
	uint8_t page[INJECT_PAGE] __attribute__((aligned(8)));

	agent_image_relocate(&visit->image, at + INJECT_PAGE);
	visit_head_fill(&visit->image, page);
	if (remote_write(visit->tid, at + INJECT_PAGE, visit->image.bytes, visit->image.size) !=
		visit->image.size ||
	    remote_write(visit->tid, at, page, sizeof(page)) != sizeof(page))
		return error_set(visit->error, -EFAULT, "cannot write to the memory of process %d",
				 visit->pid);
	return 0;
}

/* Writes everything to [at, at + bytes), which is reserved, and makes it what it is to be. */
static int fill(struct visit *visit, struct remote_call *call, uint64_t at, uint64_t bytes)
{
	int result =
	    must(call, SYS_mprotect, at, bytes, PROT_READ | PROT_WRITE, "get memory", visit->error);

	if (!result)
		result = write_image(visit, at);
	array_each (segment, &visit->image.segments)
		if (!result && segment->protection != (PROT_READ | PROT_WRITE))
			result = must(call, SYS_mprotect, at + INJECT_PAGE + segment->start,
				      segment->end - segment->start, segment->protection,
				      "make memory executable", visit->error);
	if (!result) /* the last: what has not got this far is not found as an image */
		result = must(call, SYS_mprotect, at, INJECT_PAGE, PROT_READ | PROT_EXEC,
			      "make memory executable", visit->error);
	return result;
}

static int place_image(struct visit *visit, struct remote_call *call, const struct areas *areas)
{
	uint64_t inner =
	    INJECT_PAGE + visit->image.size + INJECT_CONTROL_BYTES + INJECT_STACK_BYTES;
	uint64_t outer = inner + 2 * INJECT_PAGE, start = 0;
	int result;

	remote_guard(call);
	result = reserve(call, areas, outer, &start, visit->error);

	if (result)
		return result;
	result = fill(visit, call, start + INJECT_PAGE, inner);
	if (result) {
		remote_settle(call, NULL); /* and that signal is gone */
		must(call, SYS_munmap, start, outer, 0, "unmap memory", NULL);
	}
	if (!result)
		note_place(visit, start + 2 * INJECT_PAGE);
	return result;
}

static int call_agent(struct visit *visit, struct remote_call *call)
{
	const struct injected *injected = &visit->injected;
	int result = remote_function(call, head_of(injected) + offsetof(struct head, code),
				     control_of(injected),
				     visit->variable ? injected->enter : injected->leave,
				     visit->variable, &visit->result, visit->error);

	if (!result && visit->result < 0)
		result = error_set_errno(visit->error, visit->result,
					 visit->variable ? "the agent cannot work in process %d"
							 : "the agent cannot leave process %d",
					 visit->pid);
	return result;
}

/*
 * A thread that another injector, which was killed, left on the stack beside an image, still has to
 * put itself back by what lies there: it must have done that before anybody else does anything.
 */
static int check_left(struct visit *visit, const struct stopped_threads *threads,
		      const struct areas *areas)
{
	int result = 0;

	array_each (area, &areas->list) {
		struct head head;
		uint64_t bytes;

		if (!area->executable || area->has_file || area->end - area->start != INJECT_PAGE ||
		    !read_head(visit->tid, area->start, &head))
			continue;
		bytes = INJECT_PAGE + head.bytes + INJECT_CONTROL_BYTES + INJECT_STACK_BYTES;
		array_each (thread, &threads->list) {
			if (!thread->stopped || thread->registers.rsp - area->start >= bytes)
				continue;
			remote_hurry(thread->tid, area->start + offsetof(struct head, code));
			result = error_set(visit->error, -EBUSY,
					   "thread %d of process %d is still in the agent, where "
					   "another tracer left it; try again later",
					   thread->tid, visit->pid);
		}
	}
	return result;
}

int visit_make(struct visit *visit, const struct stopped_threads *threads)
{
	struct remote_call call = {0};
	struct head head;
	struct areas areas;
	bool is_there;
	int result;

	if (!visit->variable && !read_head(visit->tid, head_of(&visit->injected), &head))
		return 0; /* it has become another program */
	result = areas_read(visit->tid, &areas, visit->error);
	if (!result && threads)
		result = check_left(visit, threads, &areas);
	if (!result) {
		is_there = !visit->variable || find_image(visit, &areas);
		if (!is_there)
			areas_find_gadgets(visit->tid, &areas, &call.gadgets);
		if (!is_there && !call.gadgets.call)
			result = error_set(visit->error, -ENOEXEC,
					   "no system call instruction was found in process %d",
					   visit->pid);
		if (!result)
			result = remote_begin(&call, visit->pid, visit->tid, visit->error);
		if (!result) {
			if (!is_there)
				result = place_image(visit, &call, &areas);
			if (!result)
				result = call_agent(visit, &call);
			remote_end(&call);
		}
	}
	areas_fini(&areas);
	if (result && thread_has_ended(visit->tid)) /* whatever came of that */
		result = error_set(visit->error, -ESRCH, "process %d ended", visit->pid);
	return result;
}
