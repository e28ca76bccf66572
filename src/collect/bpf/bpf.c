/*
 * The user half of the BPF collector: keeps the set of traced processes, drains the ring. Owns the
 * mapping events of processes that run already, and the child that it started.
 */
#include "collect/collector.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "collect/bpf/precedence.h"
#include "collect/bpf/program.h"
#include "collect/bpf/ring.h"
#include "collect/bpf/shared.h"
#include "collect/known_stacks.h"
#include "collect/maps.h"
#include "collect/start.h"
#include "event/codec.h"

#include <bpf/bpf.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum {
	NAP_NS = 1000000,
	NAPS_MAX = 8,           /* at the most, between two looks at the ring while events come */
	NAP_SHARE = 4,          /* of the ring that waits ends the naps */
	IDLE_MS = 20,           /* while none come */
	PREFETCH_BYTES = 2048,  /* of the next records */
	BATCH_MAX = 4096,       /* events that one poll hands over at the most */
	WORK_NS_MAX = 20000000, /* then others have the CPU for a nap */
};

struct collector {
	struct program program;
	struct ring ring;
	struct known_stacks known_stacks;
	struct known_stack *shared_stacks; /* mapped; NULL: not yet */
	struct precedence precedence;      /* while something is traced */
	uint64_t rested_ns;                /* when we last slept */
	uint64_t events;
	uint64_t lost_told, failures_told;
	uint64_t missed;    /* program_missed() when there was time to ask */
	uint64_t maps_lost; /* mappings of processes that have ended since */
	struct started_child child;
	bool attached; /* something was attached or spawned */
	bool detached;
	const struct event_sink *sink; /* of the poll that is under way */
	unsigned batch;
	bool busy;                 /* the last look found events, and took all */
	const uint8_t *prefetched; /* up to here, in the ring */
	uint8_t *joined;           /* an EVENT_MAP whose path was joined */
};

static void bpf_destroy(struct collector *collector);

static size_t known_stacks_bytes(void)
{
	size_t page = sysconf(_SC_PAGESIZE);

	return (KNOWN_STACKS_N * sizeof(struct known_stack) + page - 1) / page * page;
}

static int map_known_stacks(struct collector *collector, struct error *error)
{
	void *entries = mmap(NULL, known_stacks_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED,
			     collector->program.known_stacks_fd, 0);

	if (entries == MAP_FAILED)
		return error_set_errno(error, -errno, "cannot map the BPF program's known stacks");
	collector->shared_stacks = entries;
	known_stacks_init(&collector->known_stacks, entries);
	return 0;
}

static int bpf_create(const struct collector_options *options, struct collector **out,
		      struct error *error)
{
	struct collector *collector = xcalloc(1, sizeof(*collector));
	int result;

	collector->joined = xmalloc(EVENT_SIZE_MAX);
	result = program_init(&collector->program, options, error) ?:
		 ring_init(&collector->ring, collector->program.ring_fd, options->ring_bytes, error) ?:
		 map_known_stacks(collector, error) ?:
		 program_attach(&collector->program, error);
	if (result) {
		bpf_destroy(collector);
		return result;
	}
	*out = collector;
	return 0;
}

/* ---- processes ---- */

static int trace_process(struct collector *collector, pid_t pid, struct error *error)
{
	uint64_t *mappings = &collector->program.counters->mappings;
	struct bpf_traced process = {__atomic_add_fetch(mappings, 1, __ATOMIC_RELAXED)};
	bool met = collector->program.everything; /* by the kernel half, perhaps */
	uint32_t key = pid;

	if (bpf_map_update_elem(collector->program.traced_fd, &key, &process,
				met ? BPF_NOEXIST : BPF_ANY) < 0 &&
	    !(met && errno == EEXIST))
		return error_set_errno(error, -errno, "cannot add process %d to the BPF filter",
				       pid);
	collector->attached = true;
	return 0;
}

/* It may have gone before it was in the filter: then nobody takes it out. */
static int check_lives(struct collector *collector, pid_t pid, struct error *error)
{
	uint32_t key = pid;

	if (kill(pid, 0) == 0 || errno != ESRCH)
		return 0;
	bpf_map_delete_elem(collector->program.traced_fd, &key);
	return error_set(error, -ESRCH, "process %d has gone", pid);
}

static int bpf_attach(struct collector *collector, pid_t pid, const struct event_sink *sink,
		      struct error *error)
{
	int result;

	precedence_take(&collector->precedence);
	result = trace_process(collector, pid, error);
	if (!result && collector->program.everything)
		result = check_lives(collector, pid, error);
	return result || !sink ? result : maps_hand_over(pid, sink, error);
}

static int trace_child(void *context, pid_t pid, struct error *error)
{
	return trace_process(context, pid, error);
}

static int bpf_spawn(struct collector *collector, const struct spawn *spawn, pid_t *pid,
		     struct error *error)
{
	int result = start_program(spawn, trace_child, collector, &collector->child.pid, error);

	*pid = collector->child.pid;
	precedence_take(&collector->precedence);
	return result;
}

static bool bpf_child_ended(const struct collector *collector, int *wait_status)
{
	return started_child_ended(&collector->child, wait_status);
}

/* Nobody else is held: the kernel records on its own. */
static bool bpf_child_stopped(const struct collector *collector, bool *all)
{
	*all = true;
	return started_child_stopped(&collector->child);
}

static bool nothing_traced(const struct collector *collector)
{
	uint32_t key;

	if (collector->program.everything)
		return collector->detached;
	return !collector->attached || collector->detached ||
	       bpf_map_get_next_key(collector->program.traced_fd, NULL, &key) < 0;
}

/* ---- events ---- */

/* The kernel half wrote the names last first, each with its NUL: join them to a path. */
static const struct event_header *join_path(struct collector *collector,
					    const struct event_map *event)
{
	struct event_map *out = (struct event_map *)collector->joined;
	const char *end = event->path + event->path_size;
	char *to = out->path;

	*out = *event;
	out->header.flags &= ~BPF_MAP_PATH_REVERSED;
	while (end > event->path) {
		const char *name = end - 1; /* its NUL */

		while (name > event->path && name[-1])
			name--;
		*to++ = '/';
		memcpy(to, name, end - 1 - name);
		to += end - 1 - name;
		end = name;
	}
	out->path_size = to - out->path;
	out->header.size = (sizeof(*out) + out->path_size + 7) & ~7u;
	return &out->header;
}

/*
 * Another CPU wrote the record: ask for all its cache lines at once instead of one after the other,
 * and for those of the next ones, which are behind it. (It triples what a consumer can take.)
 */
static void prefetch(struct collector *collector, const uint8_t *data, size_t bytes)
{
	const uint8_t *line = collector->prefetched, *end = data + bytes + PREFETCH_BYTES;

	if (line < data || line > end) /* the ring begins again */
		line = data;
	for (; line < end; line += 64)
		__builtin_prefetch(line);
	collector->prefetched = line;
}

static void receive(struct collector *collector, const void *data, size_t bytes)
{
	const struct event_header *event = data;

	prefetch(collector, data, bytes);
	if (!event_check(data, bytes))
		return; /* our own program wrote it: cannot happen */
	if (event->type == EVENT_MAP && event->flags & BPF_MAP_UNREAD) {
		if (maps_hand_over(event->pid, collector->sink, NULL) < 0)
			collector->maps_lost++;
		collector->batch++;
		return;
	}
	if (event->type == EVENT_MAP && event->flags & BPF_MAP_PATH_REVERSED)
		event = join_path(collector, data);
	collector->sink->receive(collector->sink->context, event);
	collector->events++;
	collector->batch++;
}

static uint64_t lost_records(const struct collector *collector)
{
	return __atomic_load_n(&collector->program.counters->lost, __ATOMIC_RELAXED) +
	       collector->missed + collector->maps_lost;
}

static uint64_t lost_failures(const struct collector *collector)
{
	return __atomic_load_n(&collector->program.counters->failures, __ATOMIC_RELAXED);
}

static void tell_loss(struct collector *collector, uint64_t count, uint16_t flags)
{
	struct event_lost event = {
	    .header = {.size = sizeof(event),
		       .type = EVENT_LOST,
		       .flags = flags,
		       .time_ns = clock_now_ns()},
	    .count = count,
	};

	if (!count)
		return;
	collector->batch++;
	collector->sink->receive(collector->sink->context, &event.header);
}

static void tell_losses(struct collector *collector)
{
	uint64_t lost, failures = lost_failures(collector);

	if (!collector->batch) /* there is time */
		collector->missed = program_missed(&collector->program);
	lost = lost_records(collector);
	tell_loss(collector, lost - collector->lost_told, 0);
	tell_loss(collector, failures - collector->failures_told, EVENT_LOST_FAILURES);
	collector->lost_told = lost;
	collector->failures_told = failures;
}

/* Everything that the ring holds, up to a batch. */
static void drain(struct collector *collector)
{
	const void *data;
	size_t bytes;

	while (collector->batch < BATCH_MAX && (data = ring_next(&collector->ring, &bytes)))
		receive(collector, data, bytes);
	ring_release(&collector->ring);
	tell_losses(collector);
}

/*
 * While events come: naps until a good part of the ring is full, or some milliseconds are over. Who
 * reads records that were just written takes their cache lines away from the CPU that writes more;
 * a few megabytes later they have left its cache by themselves. Returns -EINTR after a signal.
 */
static int nap(const struct collector *collector)
{
	uint64_t urgent = __atomic_load_n(&collector->program.counters->urgent, __ATOMIC_RELAXED);

	for (int i = 0; i < NAPS_MAX; i++) {
		if (nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL) < 0)
			return -EINTR;
		if (ring_waiting(&collector->ring) >= collector->ring.bytes / NAP_SHARE ||
		    __atomic_load_n(&collector->program.counters->urgent, __ATOMIC_RELAXED) !=
			urgent)
			break;
	}
	return 0;
}

/* Waits for more, until a time. Returns -EINTR after a signal. */
static int wait_for_events(struct collector *collector, uint64_t until_ns)
{
	struct pollfd ring = {collector->ring.fd, POLLIN, 0};
	uint64_t now = clock_now_ns();
	int left_ms = until_ns > now ? (until_ns - now) / 1000000 + 1 : 0;

	if (collector->busy) {
		collector->busy = false;
		if (nap(collector) < 0)
			return -EINTR;
	} else if (poll(&ring, 1, left_ms < IDLE_MS ? left_ms : IDLE_MS) < 0 && errno == EINTR) {
		return -EINTR;
	}
	collector->rested_ns = clock_now_ns();
	return 0;
}

/* We go before everybody else, so we must not go on for ever, whatever the ring holds. */
static void rest(struct collector *collector)
{
	if (clock_now_ns() - collector->rested_ns < WORK_NS_MAX)
		return;
	nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
	collector->rested_ns = clock_now_ns();
}

static int bpf_poll(struct collector *collector, int timeout_ms, const struct event_sink *sink,
		    struct error *error)
{
	uint64_t until_ns = clock_now_ns() + timeout_ms * 1000000ull;

	collector->sink = sink;
	collector->batch = 0;
	rest(collector);
	if (collector->busy && timeout_ms && wait_for_events(collector, until_ns) < 0)
		return -EINTR;
	for (;;) {
		bool over;

		/* Who asks first and drains then misses nothing. */
		started_child_look(&collector->child);
		over =
		    nothing_traced(collector) && (!collector->child.pid || collector->child.waited);
		drain(collector);
		collector->busy = collector->batch && collector->batch < BATCH_MAX;
		if (collector->batch)
			return collector->batch;
		if (over)
			return -ECHILD;
		if (clock_now_ns() >= until_ns)
			return 0;
		if (wait_for_events(collector, until_ns) < 0)
			return -EINTR;
	}
}

static void bpf_learn_stack(struct collector *collector, const struct event_syscall *event,
			    const struct footprint *footprint, uint32_t stack)
{
	const struct ring *ring = &collector->ring;

	/* The record of one that gives way is in the ring or about to be: not more than a whole
	 * ring from now. */
	known_stacks_add(&collector->known_stacks, event->mappings, footprint, stack,
			 ring->position, ring->position + ring_waiting(ring) + ring->bytes);
}

static void bpf_known_stacks(const struct collector *collector,
			     void (*each)(void *context, uint32_t stack), void *context)
{
	known_stacks_each(&collector->known_stacks, each, context);
}

/* ---- end ---- */

static void bpf_detach(struct collector *collector)
{
	program_detach(&collector->program);
	precedence_drop(&collector->precedence);
	collector->detached = true;
}

static void bpf_stats(const struct collector *collector, struct collector_stats *out)
{
	out->events = collector->events;
	out->lost = lost_records(collector) + lost_failures(collector);
}

static void bpf_destroy(struct collector *collector)
{
	if (!collector)
		return;
	precedence_drop(&collector->precedence);
	known_stacks_fini(&collector->known_stacks);
	if (collector->shared_stacks)
		munmap(collector->shared_stacks, known_stacks_bytes());
	ring_fini(&collector->ring);
	program_fini(&collector->program);
	free(collector->joined);
	free(collector);
}

const struct collector_ops collector_bpf = {
    .name = "bpf",
    .create = bpf_create,
    .attach = bpf_attach,
    .spawn = bpf_spawn,
    .poll = bpf_poll,
    .learn_stack = bpf_learn_stack,
    .known_stacks = bpf_known_stacks,
    .child_ended = bpf_child_ended,
    .child_stopped = bpf_child_stopped,
    .detach = bpf_detach,
    .stats = bpf_stats,
    .destroy = bpf_destroy,
};
