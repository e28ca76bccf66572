/* Stands in for the rest of the agent. */
#include "probe.h"

#include "agent.h"
#include "stub.h"
#include "system.h"

#include <asm/unistd.h>
#include <sys/uio.h>

#define EXPORT __attribute__((visibility("default")))

struct agent agent;
EXPORT struct plan probe_plan;
EXPORT struct probe_call probe_calls[PROBE_CALLS_MAX];
EXPORT uint32_t probe_calls_n;
EXPORT void (*volatile probe_inside)(bool after);
EXPORT volatile uint32_t probe_inside_number;
extern bool patch_rcx_kept; /* sites.h */
EXPORT uint32_t *volatile probe_exits;
static struct arena arena;

static void note(const struct call_frame *frame, uint32_t number, uint64_t site_ip, uint64_t sp,
		 bool after)
{
	uint32_t i = __atomic_fetch_add(&probe_calls_n, 1, __ATOMIC_RELAXED);

	if (i < PROBE_CALLS_MAX)
		probe_calls[i] = (struct probe_call){
		    after,
		    number,
		    site_ip,
		    sp,
		    {frame->di, frame->si, frame->dx, frame->r10, frame->r8, frame->r9},
		    (int64_t)frame->ax,
		};
	if (probe_exits && number == __NR_exit_group && !after) {
		probe_exits[0]++;
		probe_exits[1] = (uint32_t)frame->di;
	}
	if (probe_inside && number == probe_inside_number)
		probe_inside(after);
}

void agent_before(struct call_frame *frame, uint32_t number, uint64_t site_ip, uint64_t sp)
{
	note(frame, number, site_ip, sp, false);
}

struct raise *agent_after(struct call_frame *frame, uint32_t number, uint64_t site_ip, uint64_t sp)
{
	note(frame, number, site_ip, sp, true);
	return NULL;
}

uint64_t safe_copy(void *to, uint64_t from, uint64_t bytes)
{
	struct iovec local = {to, bytes}, remote = {(void *)from, bytes};
	int64_t pid = system_call3(__NR_getpid, 0, 0, 0);
	int64_t copied = system_call6(__NR_process_vm_readv, (uint64_t)pid, (uint64_t)&local, 1,
				      (uint64_t)&remote, 1, 0);

	return copied < 0 ? 0 : (uint64_t)copied;
}

EXPORT int probe_patch(uint64_t start, uint64_t end, uint64_t offset, const struct arena_file *file,
		       uint32_t *reason)
{
	agent.arena = &arena;
	memcpy(&arena.plan, &probe_plan, sizeof(arena.plan));
	return patch_mapping(start, end, offset, file, reason);
}

EXPORT int probe_restore(void)
{
	return patch_restore();
}

EXPORT uint32_t probe_sites_left(void)
{
	return patch_sites_left;
}

EXPORT void probe_keep_rcx(bool kept)
{
	patch_rcx_kept = kept;
}

EXPORT uint32_t probe_stubs_n(void)
{
	uint32_t n = 0;

	while (n < STUBS_N && stubs[n][0] != 0xcc)
		n++;
	return n;
}

EXPORT bool probe_is_stub(uint64_t ip)
{
	return ip >= (uint64_t)stubs && ip < (uint64_t)stubs + sizeof(stubs);
}
