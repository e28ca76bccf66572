/* Owns the life of a session: choosing a collector, starting, attaching, stopping, reporting. */
#include "session/internal.h"

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "model/fd_syscalls.h"
#include "os/cgroup.h"
#include "os/procfs.h"
#include "session/watch.h"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { OUTLIVE_STEP_MS = 1000, MEND_PAUSE_NS = 1000000000, SAMPLE_PAUSE_NS = 50000000 };

/* In the order in which "auto" tries them. */
static const struct collector_ops *const collectors[] = {&collector_bpf, &collector_agent,
							 &collector_ptrace};

/* Only "auto" may ask: a collector that was wanted says itself why it cannot. */
static int suits(const struct collector_ops *ops, const struct session_options *options,
		 struct error *error)
{
	if (!ops->suits || (!options->program && !options->pid))
		return 0;
	return ops->suits(options->program, options->pid, error);
}

static bool is_unfit(const struct collector_ops *ops, const struct session_options *options)
{
	return (options->awaits && !ops->await) || (options->adopts && !ops->adopt);
}

static int create(struct session *session, const struct collector_ops *ops,
		  const struct session_options *options, struct error *error)
{
	if (options->awaits && !ops->await)
		return error_set(error, -ENOTSUP,
				 "the collector %s cannot wait for a program that somebody else "
				 "starts: --collector=agent can",
				 ops->name);
	if (options->adopts && !ops->adopt)
		return error_set(error, -ENOTSUP,
				 "the collector %s cannot be let in by a debugger: "
				 "--collector=agent can",
				 ops->name);
	return ops->create(&session->collector_options, &session->collector, error);
}

static int choose_collector(struct session *session, const struct session_options *options,
			    struct error *error)
{
	/* Of several reasons why it cannot be, that of the only one that could counts. */
	const char *wanted =
	    options->everything && !strcmp(options->collector, "auto") ? "bpf" : options->collector;
	bool any = !strcmp(wanted, "auto");

	for (size_t i = 0; i < sizeof(collectors) / sizeof(*collectors); i++) {
		const struct collector_ops *ops = collectors[i];
		int result;

		if (any ? is_unfit(ops, options) : strcmp(wanted, ops->name))
			continue;
		result = any ? suits(ops, options, error) : 0;
		if (!result)
			result = create(session, ops, options, error);
		if (result == 0) {
			session->ops = ops;
			return 0;
		}
		if (!any)
			return result;
		/* That an ordinary user may not is no news; anything else is. */
		free(session->fallback_reason);
		session->fallback_reason = xstrdup(error->message);
		session->fallback_is_news = result != -EPERM;
	}
	return error_set(error, -EPERM, "no collector can be used here: %s",
			 session->fallback_reason ?: wanted);
}

static uint32_t near_stack(const void *context, uint32_t stack_id)
{
	return stack_table_near(context, stack_id);
}

void session_init(struct session *session, uint32_t traces_max)
{
	struct model_observer observer;

	session->images = image_table_new();
	session->stacks = stack_table_new();
	session->unwinder = unwinder_cfi.create(session->images);
	session->traces_max = traces_max;
	session->history = history_new(traces_max);
	observer = history_observer(session->history);
	session->model = model_new(&observer);
	model_set_near(session->model, near_stack, session->stacks);
}

int session_new(const struct session_options *options, struct session **out, struct error *error)
{
	struct session *session = xcalloc(1, sizeof(*session));
	int result;

	session->everything = options->everything;
	if (options->cgroup) {
		session->cgroup = cgroup_path_dup(options->cgroup, error);
		if (!session->cgroup) {
			free(session);
			return -ENOENT;
		}
	}
	fd_syscalls_plan(&session->plan, true);
	session->collector_options = (struct collector_options){
	    .plan = &session->plan,
	    .follow_children = options->follow_children,
	    .everything = options->everything,
	    .bad_reference_signal = options->bad_reference_signal,
	    .cgroup = session->cgroup,
	    .stack_bytes_max = EVENT_STACK_BYTES_MAX,
	    .ring_bytes = options->ring_bytes ?: SESSION_RING_BYTES,
	};
	result = choose_collector(session, options, error);
	if (result) {
		free(session->fallback_reason);
		free(session->cgroup);
		free(session);
		return result;
	}
	session_init(session, options->traces_max);
	session->every_ns = options->every_ns;
	if (options->every_ns)
		model_set_every(session->model, options->every_ns);
	*out = session;
	return 0;
}

void session_free(struct session *session)
{
	if (!session)
		return;
	session->ops->destroy(session->collector);
	map_each (entry, &session->targets)
		session_target_free((void *)(uintptr_t)entry->value);
	map_each (entry, &session->data)
		free((void *)(uintptr_t)entry->value);
	map_fini(&session->targets);
	map_fini(&session->data);
	if (session->symbolizer)
		symbolizer_free(session->symbolizer);
	model_free(session->model);
	history_free(session->history);
	unwinder_cfi.destroy(session->unwinder);
	stack_table_free(session->stacks);
	image_table_free(session->images);
	session_observation_fini(&session->inherited);
	procfs_fds_fini(&session->newcomers);
	session_snapshots_fini(session);
	array_fini(&session->caught);
	map_fini(&session->caught_places);
	watch_free(session->watch);
	free(session->fallback_reason);
	free(session->cgroup);
	free(session);
}

const char *session_collector(const struct session *session)
{
	return session->ops->name;
}

const char *session_fallback_reason(const struct session *session)
{
	return session->fallback_is_news ? session->fallback_reason : NULL;
}

const char *session_complaint(const struct session *session)
{
	return session->ops->complaint ? session->ops->complaint(session->collector) : NULL;
}

/* ---- attach ---- */

static int check_program(const char *path, const char *shown, struct error *error)
{
	_cleanup_(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct elf_file file;
	bool usable;

	/* What cannot be read here is judged by the kernel and the collector. */
	if (fd < 0 || elf_file_read(fd, path, &file, NULL) < 0)
		return 0;
	usable = file.is_x86_64;
	elf_file_fini(&file);
	if (usable)
		return 0;
	return error_set(
	    error, -ENOEXEC,
	    "%s is not an x86-64 program (32-bit, or of another machine): htrace cannot "
	    "trace it",
	    shown);
}

static int check_target(pid_t pid, struct procfs_status *status, struct error *error)
{
	char path[64], shown[64];
	int result = procfs_status(pid, status, error);

	if (result)
		return result;
	if (status->tgid != pid)
		return error_set(error, -EINVAL, "%d is a thread of process %d: use -p %d", pid,
				 status->tgid, status->tgid);
	if (pid == getpid())
		return error_set(error, -EINVAL, "process %d is htrace itself", pid);
	if (status->zombie)
		return error_set(error, -ESRCH, "process %d has ended already (a zombie)", pid);
	if (status->kernel_thread)
		return error_set(error, -EINVAL,
				 "process %d is a kernel thread: it has no handles of its own",
				 pid);
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	snprintf(shown, sizeof(shown), "process %d", pid);
	return check_program(path, shown, error);
}

void session_tell_own_tables(struct session *session, pid_t pid)
{
	struct procfs_fds threads;

	if (procfs_threads(pid, &threads, NULL) < 0)
		return;
	array_each (tid, &threads.numbers) {
		if (!procfs_shares_files(pid, *tid))
			model_own_table(session->model, pid, *tid);
	}
	procfs_fds_fini(&threads);
}

void session_raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int take_in(struct session *session, pid_t pid, struct entry_plan *plan, struct error *error)
{
	struct event_sink sink = {session_receive, session};
	struct procfs_status status;
	struct target *target;
	int result = check_target(pid, &status, error);

	if (result)
		return result;
	session_raise_descriptor_limit();
	target = xcalloc(1, sizeof(*target));
	target->pid = pid;
	target->space = address_space_new();
	map_put_pointer(&session->targets, pid, target);
	model_attach(session->model, pid, status.ppid, clock_now_ns());
	result = plan ? session->ops->adopt(session->collector, pid, &sink, plan, error)
		      : session->ops->attach(session->collector, pid, &sink, error);
	if (result)
		return result;
	session_tell_own_tables(session, pid);
	session_reconcile_process(session, pid);
	model_attached(session->model, pid);
	session_snapshot(session, NULL);
	return 0;
}

int session_attach(struct session *session, pid_t pid, struct error *error)
{
	return take_in(session, pid, NULL, error);
}

int session_adopt(struct session *session, pid_t pid, struct entry_plan *plan, struct error *error)
{
	return take_in(session, pid, plan, error);
}

int session_run(struct session *session, const struct spawn *spawn, struct error *error)
{
	int result = check_program(spawn->path, spawn->path, error);

	if (result)
		return result;
	/* What it does not get is told apart by the bitmap that comes with its exec. */
	session_observation_fini(&session->inherited);
	session_observe(NULL, getpid(), &session->inherited);
	result = session->ops->spawn(session->collector, spawn, &session->child, error);
	if (!result)
		session_raise_descriptor_limit();
	return result;
}

int session_await(struct session *session, const char *program, const char *const **variables,
		  struct error *error)
{
	int result = program ? check_program(program, program, error) : 0;
	struct stat status;

	if (result)
		return result;
	result = session->ops->await(session->collector, program, variables, error);
	if (result)
		return result;
	session_raise_descriptor_limit();
	session->awaited_inode = program && !stat(program, &status) ? status.st_ino : 0;
	session->awaits = true;
	return 0;
}

/* ---- going on ---- */

/* After a loss the tables are mended at once, for numbers are reused soon; under a steady loss not
 * more often than pays. */
static void session_mend(struct session *session)
{
	uint64_t begin_ns = clock_now_ns(), end_ns;

	session->lost_mended = session->lost;
	session_reconcile(session);
	end_ns = clock_now_ns();
	session->mend_after_ns = end_ns + MEND_PAUSE_NS + 4 * (end_ns - begin_ns);
}

/* How many handles are open, over time: looked at now and then, not at each event. */
static void look(struct session *session)
{
	uint64_t now_ns = clock_now_ns();

	if (now_ns < session->sample_after_ns)
		return;
	session->sample_after_ns = now_ns + SAMPLE_PAUSE_NS;
	model_sample(session->model, now_ns);
	session_take_snapshots(session, now_ns);
	watch_step(session, now_ns);
}

int session_step(struct session *session, int timeout_ms, struct error *error)
{
	struct event_sink sink = {session_receive, session};
	int result = session->ops->poll(session->collector, timeout_ms, &sink, error);

	if (result == -ECHILD)
		session->over = true;
	if (session->newcomers.numbers.count && !session->over)
		session_greet(session, false);
	if (session->has_nameless && !session->over)
		session_name_received(session);
	if (session->lost != session->lost_mended && !session->over &&
	    clock_now_ns() >= session->mend_after_ns) {
		session_mend(session);
	}
	if (!session->over)
		look(session);
	return result;
}

bool session_child_ended(const struct session *session, int *wait_status)
{
	return session->ops->child_ended(session->collector, wait_status);
}

pid_t session_child(const struct session *session)
{
	return session->child;
}

bool session_holds_targets(const struct session *session)
{
	return session->ops->holds_targets;
}

bool session_child_stopped(const struct session *session, bool *all)
{
	return session->child && session->ops->child_stopped(session->collector, all);
}

void session_stop(struct session *session)
{
	struct event_sink sink = {session_receive, session};
	struct error error;

	if (session->stopped)
		return;
	session->ops->detach(session->collector);
	session->stopped = true;
	/* What was recorded before. */
	for (int i = 0; i < 1000; i++)
		if (session->ops->poll(session->collector, 0, &sink, &error) <= 0)
			break;
}

void session_outlive_targets(struct session *session)
{
	struct event_sink sink = {session_receive, session};
	struct error error;
	int result;

	if (!session->ops->holds_targets || !session->child)
		return;
	do
		result = session->ops->poll(session->collector, OUTLIVE_STEP_MS, &sink, &error);
	while (result >= 0 || result == -EINTR);
}
