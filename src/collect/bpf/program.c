/*
 * Owns the BPF program as the kernel holds it: its loading with the plan, its links to the
 * tracepoints, its maps and counters. Knows nothing of targets or events.
 */
#include "collect/bpf/program.h"

#include "base/cleanup.h"
#include "collect/bpf/object.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	if (getenv("HTRACE_DEBUG_BPF"))
		return vfprintf(stderr, format, args);
	return 0;
}

static struct bpf_map *find_map(struct bpf_object *object, const char *suffix)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, object)
	{
		const char *name = bpf_map__name(map);
		size_t length = strlen(name), wanted = strlen(suffix);

		if (length >= wanted && !strcmp(name + length - wanted, suffix))
			return map;
	}
	return NULL;
}

static int set_config(struct bpf_object *object, const struct collector_options *options)
{
	struct bpf_map *map = find_map(object, ".rodata");
	size_t bytes = 0;
	struct bpf_config *config = map ? (void *)bpf_map__initial_value(map, &bytes) : NULL;

	if (!config || bytes != sizeof(*config))
		return -EINVAL;
	memcpy(config->calls, options->plan->calls, sizeof(config->calls));
	memcpy(config->guard_values, options->plan->guard_values, sizeof(config->guard_values));
	config->guard_values_n = options->plan->guard_values_n;
	memcpy(config->questions, options->plan->questions, sizeof(config->questions));
	config->questions_n = options->plan->questions_n;
	config->bad_reference_signal = options->bad_reference_signal;
	config->stack_bytes_max = options->stack_bytes_max;
	config->wake_bytes = options->ring_bytes / 4;
	config->calls_bytes_max = options->ring_bytes - options->ring_bytes / 16;
	/* A ring so small that a record might not fit is a test's. */
	config->failures_bytes_max = options->ring_bytes / 4 > 2 * EVENT_SIZE_MAX
					 ? options->ring_bytes / 4
					 : config->calls_bytes_max;
	config->follow_children = options->follow_children || options->everything;
	config->everything = options->everything;
	config->in_cgroup = options->everything && options->cgroup;
	config->calls[SYS_mmap].when |= BPF_PLAN_MAPPING;
	config->calls[SYS_mprotect].when |= BPF_PLAN_MAPPING;
	config->calls[SYS_pkey_mprotect].when |= BPF_PLAN_MAPPING;
	return 0;
}

static int refused(const struct program *program, struct error *error, int code, const char *doing)
{
	if (code == -EPERM)
		return error_set(error, code,
				 "the kernel does not permit BPF here (%s): run as root, or with "
				 "CAP_BPF and CAP_PERFMON%s",
				 doing, program->everything ? "" : ", or use --collector=ptrace");
	return error_set_errno(error, code, "cannot %s", doing);
}

/* BPF sees process ids of the first namespace only. */
static int check_pid_namespace(const struct program *program, struct error *error)
{
	enum { PROC_PID_INIT_INO = 0xEFFFFFFCu }; /* include/linux/proc_ns.h */
	struct stat status;

	if (stat("/proc/self/ns/pid", &status) == 0 && status.st_ino != PROC_PID_INIT_INO)
		return error_set(error, -EOPNOTSUPP,
				 "BPF counts processes in the first pid namespace, and this is "
				 "another: run htrace on the host%s",
				 program->everything ? "" : ", or use --collector=ptrace");
	return 0;
}

static int load(struct program *program, const struct collector_options *options,
		struct error *error)
{
	LIBBPF_OPTS(bpf_object_open_opts, open_options, .object_name = "htrace");
	int result;

	program->object = bpf_object__open_mem(bpf_object, bpf_object_bytes, &open_options);
	if (!program->object)
		return error_set_errno(error, -errno, "cannot open the BPF program inside htrace");
	result = set_config(program->object, options);
	if (result)
		return error_set_errno(error, result, "the BPF program inside htrace is damaged");
	bpf_map__set_max_entries(find_map(program->object, "ring"), options->ring_bytes);
	/* Not every kernel has cgroups. */
	if (!options->cgroup)
		bpf_map__set_autocreate(find_map(program->object, "cgroups"), false);
	result = bpf_object__load(program->object);
	if (result)
		return refused(program, error, result, "load the BPF program");
	program->ring_fd = bpf_object__find_map_fd_by_name(program->object, "ring");
	program->traced_fd = bpf_object__find_map_fd_by_name(program->object, "traced");
	program->known_stacks_fd = bpf_object__find_map_fd_by_name(program->object, "known_stacks");
	return 0;
}

/* The kernel half asks whether a process is in this one. */
static int choose_cgroup(struct program *program, const char *path, struct error *error)
{
	int map_fd = bpf_object__find_map_fd_by_name(program->object, "cgroups");
	_cleanup_(close_fd) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint32_t key = 0;

	if (fd < 0)
		return error_set_errno(error, -errno, "cannot open the cgroup %s", path);
	if (bpf_map_update_elem(map_fd, &key, &fd, BPF_ANY) == 0)
		return 0;
	if (errno == EBADF)
		return error_set(error, -EINVAL,
				 "%s is not a cgroup of version 2, the only one that BPF knows",
				 path);
	return error_set_errno(error, -errno, "cannot give the cgroup %s to the BPF program", path);
}

/* Everything but ourselves: what we do makes events, which make us do more. */
static int shun_ourselves(struct program *program, struct error *error)
{
	struct bpf_traced none = {0};
	uint32_t key = getpid();

	if (bpf_map_update_elem(program->traced_fd, &key, &none, BPF_ANY) < 0)
		return error_set_errno(error, -errno,
				       "cannot leave htrace itself out of the BPF filter");
	return 0;
}

static int choose_processes(struct program *program, const struct collector_options *options,
			    struct error *error)
{
	int result = options->everything ? shun_ourselves(program, error) : 0;

	if (!result && options->everything && options->cgroup)
		result = choose_cgroup(program, options->cgroup, error);
	return result;
}

static int map_counters(struct program *program, struct error *error)
{
	void *counters = mmap(NULL, sizeof(*program->counters), PROT_READ | PROT_WRITE, MAP_SHARED,
			      bpf_map__fd(find_map(program->object, ".bss")), 0);

	if (counters == MAP_FAILED)
		return error_set_errno(error, -errno, "cannot map the BPF program's counters");
	program->counters = counters;
	return 0;
}

int program_init(struct program *program, const struct collector_options *options,
		 struct error *error)
{
	int result;

	*program = (struct program){.ring_fd = -1,
				    .traced_fd = -1,
				    .known_stacks_fd = -1,
				    .everything = options->everything};
	libbpf_set_print(quiet);
	result = check_pid_namespace(program, error) ?: load(program, options, error) ?:
		 choose_processes(program, options, error) ?: map_counters(program, error);
	if (result)
		program_fini(program);
	return result;
}

int program_attach(struct program *program, struct error *error)
{
	struct bpf_program *one;

	bpf_object__for_each_program(one, program->object)
	{
		struct bpf_link *link = bpf_program__attach(one);

		if (!link)
			return refused(program, error, -errno,
				       "attach the BPF program to a tracepoint");
		program->links[program->links_n++] = link;
	}
	return 0;
}

void program_detach(struct program *program)
{
	for (unsigned i = 0; i < program->links_n; i++)
		bpf_link__destroy(program->links[i]);
	program->links_n = 0;
}

uint64_t program_missed(const struct program *program)
{
	struct bpf_program *one;
	uint64_t missed = 0;

	bpf_object__for_each_program(one, program->object)
	{
		struct bpf_prog_info info = {0};
		uint32_t bytes = sizeof(info);

		if (bpf_obj_get_info_by_fd(bpf_program__fd(one), &info, &bytes) == 0)
			missed += info.recursion_misses;
	}
	return missed;
}

void program_fini(struct program *program)
{
	program_detach(program);
	if (program->counters)
		munmap(program->counters, sizeof(*program->counters));
	bpf_object__close(program->object);
	*program = (struct program){.ring_fd = -1, .traced_fd = -1, .known_stacks_fd = -1};
}
