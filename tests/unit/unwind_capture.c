/* Owns the traced program and its stops; judges nothing. */
#include "unwind_capture.h"

#include "base/alloc.h"
#include "base/hash.h"
#include "collect/maps.h"
#include "event/codec.h"
#include "os/procfs.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>

/* After a stop of any kind: what it was. */
static bool note_stop(struct capture *capture, int status)
{
	int signal = WSTOPSIG(status);

	if (!WIFSTOPPED(status)) {
		capture->gone = true;
		return false;
	}
	/* An event stop (PTRACE_INTERRUPT, exec) and a step's trap are ours, the rest are its own.
	 */
	capture->signal = status >> 16 || signal == SIGTRAP ? 0 : signal;
	capture->running = false;
	return true;
}

void capture_init(struct capture *capture, pid_t pid)
{
	*capture = (struct capture){.pid = pid, .tid = pid, .bytes_max = EVENT_STACK_BYTES_MAX};
	capture->images = image_table_new();
	capture->running = true;
}

bool capture_start(struct capture *capture, char *const argv[])
{
	int go[2], status, null;
	long options = PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC;

	capture_init(capture, 0);
	if (pipe2(go, O_CLOEXEC) < 0)
		return false;
	capture->pid = capture->tid = fork();
	if (capture->pid == 0) {
		char byte;

		close(go[1]);
		if (read(go[0], &byte, 1) < 0)
			_exit(126);
		null = open("/dev/null", O_RDWR);
		dup2(null, 0), dup2(null, 1), dup2(null, 2);
		execv(argv[0], argv);
		_exit(127);
	}
	close(go[0]);
	if (ptrace(PTRACE_SEIZE, capture->pid, 0, options) < 0) {
		close(go[1]);
		waitpid(capture->pid, &status, 0);
		capture->gone = true;
		return false;
	}
	close(go[1]);
	return waitpid(capture->pid, &status, 0) == capture->pid && note_stop(capture, status);
}

void capture_end(struct capture *capture)
{
	if (!capture->gone) {
		kill(capture->pid, SIGKILL);
		waitpid(capture->pid, NULL, 0);
	}
	address_space_free(capture->space);
	image_table_free(capture->images);
}

bool capture_run(struct capture *capture, unsigned us)
{
	int status;

	if (capture->gone || ptrace(PTRACE_CONT, capture->pid, 0, capture->signal) < 0)
		return false;
	capture->running = true;
	nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
	ptrace(PTRACE_INTERRUPT, capture->pid, 0, 0);
	return waitpid(capture->pid, &status, 0) == capture->pid && note_stop(capture, status);
}

/* Goes on to the next stop, which comes without our doing. */
static bool go_on(struct capture *capture, int request)
{
	int status;

	if (capture->gone || ptrace(request, capture->pid, 0, capture->signal) < 0)
		return false;
	return waitpid(capture->pid, &status, 0) == capture->pid && note_stop(capture, status);
}

bool capture_continue(struct capture *capture)
{
	return go_on(capture, PTRACE_CONT);
}

bool capture_step(struct capture *capture)
{
	return go_on(capture, PTRACE_SINGLESTEP);
}

uint64_t capture_ip(const struct capture *capture)
{
	struct user_regs_struct regs = {0};

	if (!capture->gone)
		ptrace(PTRACE_GETREGS, capture->pid, 0, &regs);
	return regs.rip;
}

static int add_mapping(void *context, const struct procfs_mapping *mapping)
{
	struct capture *capture = context;
	struct event_map *event;

	if (!mapping->executable)
		return 0;
	event = maps_event_new(capture->pid, mapping);
	address_space_map(capture->space, event->start, event->end,
			  image_table_add(capture->images, event));
	free(event);
	return 0;
}

/* Only what is executable makes an address space: heaps come and go without a new one. */
static int note_mapping(void *context, const struct procfs_mapping *mapping)
{
	struct capture *capture = context;

	if (!strcmp(mapping->path, "[stack]")) {
		capture->stack_start = mapping->start;
		capture->stack_end = mapping->end;
	}
	if (mapping->executable) {
		uint64_t hash = hash_combine(capture->maps_hash, mapping->start);

		hash = hash_combine(hash_combine(hash, mapping->end), mapping->inode);
		capture->maps_hash = hash_combine(hash, mapping->file_offset);
	}
	return 0;
}

static void refresh_maps(struct capture *capture)
{
	uint64_t before = capture->maps_hash;

	capture->maps_hash = 1;
	procfs_maps(capture->pid, note_mapping, capture, NULL);
	if (capture->space && capture->maps_hash == before)
		return;
	address_space_free(capture->space);
	capture->space = address_space_new();
	procfs_maps(capture->pid, add_mapping, capture, NULL);
}

/* Copies [start, end) as far as it can be read and is not too long. */
static void add_piece(struct capture *capture, uint64_t start, uint64_t end)
{
	struct event_syscall *event = &capture->event;
	struct event_stack *piece = &event->stacks[event->stacks_n];
	uint64_t bytes = (end - start) & ~7ull;
	struct iovec local, remote;
	ssize_t got;

	if (bytes > capture->bytes_max)
		bytes = capture->bytes_max;
	local.iov_base = (uint8_t *)event_stack_bytes(event, event->stacks_n);
	remote.iov_base = (void *)(uintptr_t)start;
	local.iov_len = remote.iov_len = bytes;
	got = process_vm_readv(capture->pid, &local, 1, &remote, 1, 0);
	if (got <= 0)
		return;
	*piece = (struct event_stack){.start = start, .size = got & ~7};
	if (start + piece->size < end)
		piece->flags = EVENT_STACK_CUT;
	event->stacks_n++;
}

struct stack_search {
	uint64_t sp, end;
};

static int find_stack(void *context, const struct procfs_mapping *mapping)
{
	struct stack_search *search = context;

	if (mapping->start <= search->sp && search->sp < mapping->end)
		search->end = mapping->end;
	return search->end != 0;
}

bool capture_take(struct capture *capture)
{
	struct event_syscall *event = &capture->event;
	struct user_regs_struct regs;
	struct stack_search search;
	bool main_stack;

	if (capture->gone || ptrace(PTRACE_GETREGS, capture->tid, 0, &regs) < 0)
		return false;
	refresh_maps(capture);
	memset(event, 0, sizeof(*event));
	event->header.type = EVENT_SYSCALL;
	event->header.pid = capture->pid;
	event->header.tid = capture->tid;
	event->phase = EVENT_ENTER;
	event->registers = (struct event_registers){regs.rip, regs.rsp, regs.rbp, regs.rbx,
						    regs.r12, regs.r13, regs.r14, regs.r15};
	search = (struct stack_search){.sp = regs.rsp};
	main_stack = capture->stack_start <= regs.rsp && regs.rsp < capture->stack_end;
	if (main_stack)
		search.end = capture->stack_end;
	else
		procfs_maps(capture->pid, find_stack, &search, NULL);
	/* The red zone too: gcc's rules for `leave; ret` find rbp there, where it has been popped.
	 */
	if (search.end)
		add_piece(capture, (regs.rsp & ~7ull) - 128, search.end);
	if (event->stacks_n && !main_stack && capture->tid == capture->pid)
		add_piece(capture,
			  capture->stack_end - capture->stack_start > capture->bytes_max
			      ? capture->stack_end - capture->bytes_max
			      : capture->stack_start,
			  capture->stack_end);
	event->header.size = sizeof(*event);
	for (unsigned i = 0; i < event->stacks_n; i++)
		event->header.size += event->stacks[i].size;
	return event->stacks_n > 0;
}

/* The number of frames that `a` and `b` have in common. */
static uint32_t frames_common(const struct frame *a, uint32_t a_n, const struct frame *b,
			      uint32_t b_n)
{
	uint32_t i = 0;

	while (i < a_n && i < b_n && !memcmp(&a[i], &b[i], sizeof(a[i])))
		i++;
	return i;
}

/*
 * Whether the bytes before `address` end a call (Intel SDM, CALL): E8 with 4 bytes, or FF /2 with a
 * ModRM of 1 to 6 bytes in all. Read from the program's memory, not by the code that is tested.
 */
static bool may_be_returned_to(const struct capture *capture, uint64_t address)
{
	uint8_t bytes[8];
	struct iovec local = {bytes, sizeof(bytes)};
	struct iovec remote = {(void *)(address - sizeof(bytes)), sizeof(bytes)};
	const uint8_t *end = bytes + sizeof(bytes);

	if (process_vm_readv(capture->pid, &local, 1, &remote, 1, 0) != sizeof(bytes))
		return true; /* nobody can say */
	if (end[-5] == 0xe8)
		return true;
	for (int length = 2; length <= 7; length++)
		if (end[-length] == 0xff && (end[1 - length] >> 3 & 7) == 2)
			return true;
	return false;
}

static bool is_guess(const struct capture *capture, const struct comparison *comparison,
		     uint32_t common)
{
	const struct frame *last = &comparison->dwfl[common];

	return comparison->cfi_end == STACK_END_NO_CFI && common == comparison->cfi_n &&
	       comparison->dwfl_n == common + 1 && !last->exact &&
	       !may_be_returned_to(capture, last->pc);
}

enum verdict capture_compare(struct capture *capture, struct unwinder *cfi, struct unwinder *dwfl,
			     struct comparison *out)
{
	uint32_t common;

	out->cfi_end =
	    unwinder_cfi.unwind(cfi, capture->space, &capture->event, out->cfi, &out->cfi_n);
	out->dwfl_end =
	    unwinder_dwfl.unwind(dwfl, capture->space, &capture->event, out->dwfl, &out->dwfl_n);
	common = frames_common(out->cfi, out->cfi_n, out->dwfl, out->dwfl_n);
	if (common == out->dwfl_n)
		return common == out->cfi_n ? VERDICT_EQUAL : VERDICT_LONGER;
	if (common == 1 && out->cfi_n == out->dwfl_n + 1 &&
	    frames_common(out->cfi + 2, out->cfi_n - 2, out->dwfl + 1, out->dwfl_n - 1) ==
		out->dwfl_n - 1)
		return VERDICT_LEAF;
	return is_guess(capture, out, common) ? VERDICT_GUESS : VERDICT_UNEQUAL;
}

static void print_frame(const struct capture *capture, const struct frame *frame)
{
	const struct image *image = image_table_get(capture->images, frame->image);

	if (image)
		printf(" %s+%#lx%s\n", image->module->name, frame->pc - image->bias,
		       frame->exact ? " exact" : "");
	else
		printf(" %#lx\n", (unsigned long)frame->pc);
}

void comparison_print(const struct capture *capture, const struct comparison *comparison)
{
	const struct event_registers *regs = &capture->event.registers;

	printf("sp %#lx bp %#lx\ncfi: end %d\n", regs->sp, regs->bp, comparison->cfi_end);
	for (uint32_t i = 0; i < comparison->cfi_n; i++)
		print_frame(capture, &comparison->cfi[i]);
	printf("dwfl: end %d\n", comparison->dwfl_end);
	for (uint32_t i = 0; i < comparison->dwfl_n; i++)
		print_frame(capture, &comparison->dwfl[i]);
}
