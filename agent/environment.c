/* Owns what of the agent is in an environment; all memory of the program is read with care. */
#include "environment.h"

#include "event/first_library.h"
#include "system.h"
#include "text.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>

#define PRELOAD  "LD_PRELOAD="
#define VARIABLE ARENA_VARIABLE "="

enum {
	VARIABLES_MAX = 65536,
	PREFIX_BYTES = 16, /* of each variable that are looked at: as long as the longer name */
	BATCH = 64,        /* variables a system call */
	PRELOAD_BYTES = 8192,
};

/* ---- out of it ---- */

const char *environment_value(char **envp, const char *name)
{
	for (; *envp; envp++)
		if (text_begins(*envp, name))
			return *envp + text_length(name);
	return NULL;
}

/* Whether the file that LD_PRELOAD names first is an agent; *rest is what follows its name. */
static bool agent_is_first(char *value, char **rest)
{
	static const char name[] = "/" ARENA_AGENT_FILE;
	char *end = value;

	while (*end && *end != ':' && *end != ' ')
		end++;
	*rest = end;
	return (size_t)(end - value) >= sizeof(name) - 1 &&
	       text_begins(end - (sizeof(name) - 1), name);
}

/* LD_PRELOAD=ours:others becomes LD_PRELOAD=others; false where nothing is left. */
static bool keep_others(char *variable)
{
	char *value = variable + sizeof(PRELOAD) - 1;
	char *rest;

	if (!agent_is_first(value, &rest))
		return true;
	if (!*rest)
		return false;
	for (rest++; *rest;)
		*value++ = *rest++;
	*value = 0;
	return true;
}

void environment_take_out(char **envp)
{
	char **to = envp;

	for (; *envp; envp++) {
		if (text_begins(*envp, VARIABLE) ||
		    (text_begins(*envp, PRELOAD) && !keep_others(*envp)))
			continue;
		*to++ = *envp;
	}
	while (to < envp)
		*to++ = NULL;
}

/* ---- into it ---- */

/* What is built in one piece of memory. */
struct build {
	uint64_t variables[VARIABLES_MAX + 3]; /* for execve */
	char prefixes[BATCH][PREFIX_BYTES];
	struct iovec to[BATCH], from[BATCH];
	char preload[PRELOAD_BYTES];
	char variable[sizeof(((struct arena *)0)->variable) + 1];
};

/* The caller's pointers, up to the NULL: how many. -1: they cannot be read, or are too many. */
static int64_t copy_pointers(struct build *build, uint64_t envp)
{
	for (uint64_t n = 0; envp && n < VARIABLES_MAX;) {
		uint64_t in_page = (AGENT_PAGE - (envp + 8 * n) % AGENT_PAGE) / 8 ?: 1;
		uint64_t got = in_page < VARIABLES_MAX - n ? in_page : VARIABLES_MAX - n;

		if (safe_copy(&build->variables[n], envp + 8 * n, 8 * got) != 8 * got)
			return -1;
		for (uint64_t i = 0; i < got; i++, n++)
			if (!build->variables[n])
				return (int64_t)n;
	}
	return envp ? -1 : 0;
}

/* The beginnings of BATCH variables from the one at `first` on; what cannot be read is empty. */
static void read_prefixes(struct build *build, const uint64_t *first, uint64_t n)
{
	int64_t got;

	memset(build->prefixes, 0, sizeof(build->prefixes));
	for (uint64_t i = 0; i < n; i++) {
		build->to[i] = (struct iovec){build->prefixes[i], PREFIX_BYTES - 1};
		build->from[i] = (struct iovec){(void *)first[i], PREFIX_BYTES - 1};
	}
	got = system_call6(__NR_process_vm_readv, (uint64_t)agent.pid, (uint64_t)build->to, n,
			   (uint64_t)build->from, n, 0);
	if (got == (int64_t)n * (PREFIX_BYTES - 1))
		return;
	/* One of them ends where memory ends. */
	for (uint64_t i = 0; i < n; i++)
		safe_copy(build->prefixes[i], first[i], PREFIX_BYTES - 1);
}

/* LD_PRELOAD=ours[:others]; false where there is no room, or one of them has to be first. */
static bool make_preload(struct build *build, uint64_t others)
{
	char *to = text_append(build->preload, PRELOAD);
	uint64_t room, got;

	if (text_length(agent.preload) > ARENA_PATH_MAX)
		return false;
	to = text_append(to, agent.preload);
	if (!others)
		return true;
	*to++ = ':';
	room = (uint64_t)(build->preload + PRELOAD_BYTES - to);
	got = safe_copy(to, others + sizeof(PRELOAD) - 1, room);
	for (uint64_t i = 0; i < got; i++)
		if (!to[i])
			return !first_library_is_in(to);
	return false;
}

uint64_t environment_with_agent(uint64_t envp, uint64_t *memory, uint64_t *bytes)
{
	int64_t at = system_call6(__NR_mmap, 0, sizeof(struct build), PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, (uint64_t)-1, 0);
	struct build *build = (struct build *)at;
	uint64_t others = 0, kept = 0, *place = NULL;
	int64_t n;

	if (at < 0)
		return 0;
	*memory = (uint64_t)at;
	*bytes = sizeof(*build);
	n = copy_pointers(build, envp);
	for (int64_t i = 0; i < n; i++) {
		if (i % BATCH == 0)
			read_prefixes(build, &build->variables[i],
				      (uint64_t)(n - i < BATCH ? n - i : BATCH));
		if (text_begins(build->prefixes[i % BATCH], VARIABLE))
			continue;
		if (text_begins(build->prefixes[i % BATCH], PRELOAD)) {
			if (!place) {
				others = build->variables[i];
				place = &build->variables[kept++];
			}
			continue;
		}
		build->variables[kept++] = build->variables[i];
	}
	if (n < 0 || !make_preload(build, others)) {
		environment_free(*memory, *bytes);
		return 0;
	}
	text_append(build->variable, agent.variable);
	if (!place)
		place = &build->variables[kept++];
	*place = (uint64_t)build->preload;
	build->variables[kept++] = (uint64_t)build->variable;
	build->variables[kept] = 0;
	return (uint64_t)build->variables;
}

void environment_free(uint64_t memory, uint64_t bytes)
{
	system_call3(__NR_munmap, memory, bytes, 0);
}

/* ---- for whom ---- */

static int64_t read_at(int fd, void *to, uint64_t bytes, uint64_t offset)
{
	return system_call6(__NR_pread64, (uint64_t)fd, (uint64_t)to, bytes, offset, 0, 0);
}

static bool is_elf(const Elf64_Ehdr *header)
{
	return header->e_ident[0] == ELFMAG0 && header->e_ident[1] == ELFMAG1 &&
	       header->e_ident[2] == ELFMAG2 && header->e_ident[3] == ELFMAG3;
}

bool environment_suits(int folder, uint64_t path)
{
	Elf64_Ehdr header = {0};
	int64_t fd = system_call6(__NR_openat, (uint64_t)folder, path,
				  O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0, 0, 0);
	bool suits = true;

	if (fd < 0)
		return true;
	if (read_at((int)fd, &header, sizeof(header), 0) == sizeof(header) && is_elf(&header))
		suits = header.e_ident[EI_CLASS] == ELFCLASS64 && header.e_machine == EM_X86_64 &&
			!first_library_is_wanted(
			    &(struct first_library_file){read_at, (int)fd, &header});
	system_call3(__NR_close, (uint64_t)fd, 0, 0);
	return suits;
}
