/*
 * Owns the agent's way into a process that runs, and its coming and going there. Knows of the agent
 * that it has two entries, nothing of what they do.
 *
 * In the target: a page without access, one that says what follows and has our code, the image, the
 * control block, a stack, another page without access. It stays there; the next one finds it.
 */
#include "collect/agent/inject.h"

#include "collect/agent/inject_parts.h"
#include "os/procfs.h"
#include "os/remote.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

enum { RETRY_PAUSE_US = 20 * 1000, PLACES_TRIED_MAX = 8 };

static const int64_t attempt_limit_ns = 250 * 1000000ll;
static const int64_t attempts_limit_ns = 2000 * 1000000ll;
static const uint8_t head_magic[16] = "\x7fhtrace agent\x01\xe7\xb3";

/* The page before the image. */
struct head {
	uint8_t magic[16];
	uint64_t identity[2]; /* of the agent */
	uint64_t bytes;       /* of its image */
	uint8_t code[];
};

/* One coming or going. */
struct job {
	pid_t pid;
	struct agent_image image; /* of a coming */
	const char *variable;     /* NULL: leave */
	struct injected injected;
	int64_t result;
	struct error *error;
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

static void note_place(struct job *job, uint64_t base)
{
	job->injected.base = base;
	job->injected.bytes = job->image.size;
	job->injected.enter = base + job->image.enter;
	job->injected.leave = base + job->image.leave;
}

/* The image of an earlier time, if it is that of the very same agent. */
static bool find_image(struct job *job, const struct areas *areas)
{
	array_each (area, &areas->list) {
		struct head head;

		if (!area->executable || area->has_file || area->end - area->start != INJECT_PAGE ||
		    !read_head(job->pid, area->start, &head) || head.bytes != job->image.size ||
		    memcmp(head.identity, job->image.identity, sizeof(head.identity)))
			continue;
		note_place(job, area->start + INJECT_PAGE);
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

	if (!result && value < 0)
		return error_set_errno(error, value,
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

static int write_image(struct job *job, uint64_t at)
{
	uint8_t page[INJECT_PAGE] = {0};
	struct head *head = (struct head *)page;

	agent_image_relocate(&job->image, at + INJECT_PAGE);
	memcpy(head->magic, head_magic, sizeof(head_magic));
	memcpy(head->identity, job->image.identity, sizeof(head->identity));
	head->bytes = job->image.size;
	memcpy(head->code, remote_code(), remote_code_bytes());
	if (remote_write(job->pid, at + INJECT_PAGE, job->image.bytes, job->image.size) !=
		job->image.size ||
	    remote_write(job->pid, at, page, sizeof(page)) != sizeof(page))
		return error_set(job->error, -EFAULT, "cannot write to the memory of process %d",
				 job->pid);
	return 0;
}

/* Writes everything to [at, at + bytes), which is reserved, and makes it what it is to be. */
static int fill(struct job *job, struct remote_call *call, uint64_t at, uint64_t bytes)
{
	int result =
	    must(call, SYS_mprotect, at, bytes, PROT_READ | PROT_WRITE, "get memory", job->error);

	if (!result)
		result = write_image(job, at);
	array_each (segment, &job->image.segments)
		if (!result && segment->protection != (PROT_READ | PROT_WRITE))
			result = must(call, SYS_mprotect, at + INJECT_PAGE + segment->start,
				      segment->end - segment->start, segment->protection,
				      "make memory executable", job->error);
	if (!result) /* the last: what has not got this far is not found as an image */
		result = must(call, SYS_mprotect, at, INJECT_PAGE, PROT_READ | PROT_EXEC,
			      "make memory executable", job->error);
	return result;
}

static int place_image(struct job *job, struct remote_call *call, const struct areas *areas)
{
	uint64_t inner = INJECT_PAGE + job->image.size + INJECT_CONTROL_BYTES + INJECT_STACK_BYTES;
	uint64_t outer = inner + 2 * INJECT_PAGE, start = 0;
	int result;

	remote_guard(call);
	result = reserve(call, areas, outer, &start, job->error);

	if (result)
		return result;
	result = fill(job, call, start + INJECT_PAGE, inner);
	if (result)
		must(call, SYS_munmap, start, outer, 0, "unmap memory", NULL);
	else
		note_place(job, start + 2 * INJECT_PAGE);
	return result;
}

static int call_agent(struct job *job, struct remote_call *call)
{
	const struct injected *injected = &job->injected;
	int result =
	    remote_function(call, head_of(injected) + offsetof(struct head, code),
			    control_of(injected), job->variable ? injected->enter : injected->leave,
			    job->variable, &job->result, job->error);

	if (!result && job->result < 0)
		result = error_set_errno(job->error, job->result,
					 job->variable ? "the agent cannot work in process %d"
						       : "the agent cannot leave process %d",
					 job->pid);
	return result;
}

/*
 * A thread that another injector, which was killed, left on the stack beside an image, still has to
 * put itself back by what lies there: it must have done that before anybody else does anything.
 */
static int check_left(struct job *job, const struct stopped_threads *threads,
		      const struct areas *areas)
{
	int result = 0;

	array_each (area, &areas->list) {
		struct head head;
		uint64_t bytes;

		if (!area->executable || area->has_file || area->end - area->start != INJECT_PAGE ||
		    !read_head(job->pid, area->start, &head))
			continue;
		bytes = INJECT_PAGE + head.bytes + INJECT_CONTROL_BYTES + INJECT_STACK_BYTES;
		array_each (thread, &threads->list) {
			if (!thread->stopped || thread->registers.rsp - area->start >= bytes)
				continue;
			remote_hurry(thread->tid, area->start + offsetof(struct head, code));
			result = error_set(job->error, -EBUSY,
					   "thread %d of process %d is still in the agent, where "
					   "another tracer left it; try again later",
					   thread->tid, job->pid);
		}
	}
	return result;
}

/* All of the target stands still; `tid` does what is to be done. */
static int do_job(struct job *job, const struct stopped_threads *threads, pid_t tid)
{
	struct remote_call call = {0};
	struct head head;
	struct areas areas;
	bool is_there;
	int result;

	if (!job->variable && !read_head(job->pid, head_of(&job->injected), &head))
		return 0; /* it has become another program */
	result = areas_read(job->pid, &areas, job->error);
	if (!result && threads)
		result = check_left(job, threads, &areas);
	if (!result) {
		is_there = !job->variable || find_image(job, &areas);
		if (!is_there)
			areas_find_gadgets(job->pid, &areas, &call.gadgets);
		if (!is_there && !call.gadgets.call)
			result = error_set(job->error, -ENOEXEC,
					   "no system call instruction was found in process %d",
					   job->pid);
		if (!result)
			result = remote_begin(&call, job->pid, tid, job->error);
		if (!result) {
			if (!is_there)
				result = place_image(job, &call, &areas);
			if (!result)
				result = call_agent(job, &call);
			remote_end(&call);
		}
	}
	areas_fini(&areas);
	return result;
}

/* One attempt, in a thread of its own: what is not let go when it ends is let go by its end. */
static void *attempt(void *context)
{
	struct job *job = context;
	struct stopped_threads threads;
	int result = threads_stop(&threads, job->pid, attempt_limit_ns, job->error);
	pid_t tid = threads_choose(&threads);
	int64_t since = threads.since_ns;

	if (!result && !tid)
		result =
		    error_set(job->error, -EBUSY,
			      "process %d has no thread that could let the agent in", job->pid);
	if (!result)
		result = do_job(job, &threads, tid);
	threads_release(&threads);
	job->injected.stopped_ns = since ? inject_now_ns() - since : 0;
	return (void *)(intptr_t)result;
}

/* Signals of this program are for its own thread. */
static int run_attempt(struct job *job)
{
	sigset_t all, before;
	pthread_t thread;
	void *result;
	int code;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	code = pthread_create(&thread, NULL, attempt, job);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (code)
		return error_set_errno(job->error, -code, "cannot create a thread");
	pthread_join(thread, &result);
	return (intptr_t)result;
}

static int run_job(struct job *job)
{
	int64_t deadline = inject_now_ns() + attempts_limit_ns;
	int result;

	while ((result = run_attempt(job)) == -EBUSY && inject_now_ns() < deadline)
		usleep(RETRY_PAUSE_US);
	return result;
}

static int prepare(struct job *job, const char *agent_path)
{
	if (strlen(job->variable) >= INJECT_VARIABLE_MAX)
		return error_set(job->error, -E2BIG, "the agent's variable is too long");
	return agent_image_read(agent_path, &job->image, job->error);
}

static int finish(struct job *job, int result, struct injected *out)
{
	agent_image_fini(&job->image);
	*out = job->injected;
	return result < 0 ? result : (int)job->result;
}

int agent_inject(pid_t pid, const char *agent_path, const char *variable, struct injected *out,
		 struct error *error)
{
	struct job job = {
	    .pid = pid, .variable = variable, .injected = {.pid = pid}, .error = error};
	struct procfs_status status;
	int result = remote_check(pid, &status, error);

	if (!result)
		result = prepare(&job, agent_path);
	if (!result)
		result = run_job(&job);
	return finish(&job, result, out);
}

int agent_withdraw(struct injected *injected, struct error *error)
{
	struct job job = {.pid = injected->pid, .injected = *injected, .error = error};
	struct procfs_status status;
	int result = remote_check(injected->pid, &status, error);

	if (!result)
		result = run_job(&job);
	injected->stopped_ns = job.injected.stopped_ns;
	return result == -ESRCH ? 0 : result;
}

/* A stop where signals are taken; before the first instruction of a program that was just exec'd.
 */
static int settle(pid_t pid, struct error *error)
{
	struct remote_call call = {.pid = pid, .tid = pid};
	struct user_regs_struct registers;

	ptrace(PTRACE_SETOPTIONS, pid, NULL,
	       (void *)(intptr_t)(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC));
	if (remote_settle(&call, error) < 0)
		return -ESRCH;
	if (ptrace(PTRACE_GETREGS, pid, NULL, &registers) < 0)
		return error_set(error, -ESRCH, "process %d ended", pid);
	if (registers.cs != 0x33)
		return error_set(error, -ENOEXEC,
				 "process %d is a 32-bit program: only x86-64 is supported", pid);
	return 0;
}

int agent_inject_stopped(pid_t pid, const char *agent_path, const char *variable,
			 struct injected *out, struct error *error)
{
	struct job job = {
	    .pid = pid, .variable = variable, .injected = {.pid = pid}, .error = error};
	int64_t since = inject_now_ns();
	int result = prepare(&job, agent_path);

	if (!result)
		result = settle(pid, error);
	if (!result)
		result = do_job(&job, NULL, pid);
	job.injected.stopped_ns = inject_now_ns() - since;
	return finish(&job, result, out);
}
