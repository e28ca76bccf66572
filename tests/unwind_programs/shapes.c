/*
 * Frames of unusual shape, to be stepped through by test_unwind_steps: alloca and a realigned
 * stack (DRAP), calls through a PLT that is bound lazily, the vDSO, signals on this stack and on
 * another, faults. argv[1] says which.
 */
#include <alloca.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile int sink;
static sigjmp_buf back;

__attribute__((noinline)) static void leaf(volatile char *memory, int n)
{
	memory[n] = n;
	sink += memory[0];
}

__attribute__((noinline)) static void with_alloca(int n)
{
	leaf(alloca(n), n - 1);
	if (n > 20)
		with_alloca(n - 7);
}

__attribute__((noinline)) static void realigned(int n)
{
	volatile char wide[64] __attribute__((aligned(64)));

	leaf(wide, n);
	leaf(alloca(n + 1), n);
	if (n > 1)
		realigned(n - 1);
	sink += wide[n];
}

__attribute__((noinline)) static int deep(int n)
{
	volatile char room[512];

	room[n % 512] = n;
	if (n > 0)
		return deep(n - 1) + room[n % 512];
	leaf(room, 1);
	return room[0];
}

static void on_signal(int signal)
{
	for (int i = 1; i < 4; i++)
		with_alloca(20 + i);
	if (signal == SIGSEGV)
		siglongjmp(back, 1);
}

static void catch (int signal, int flags)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};

	sigaction(signal, &action, NULL);
}

static void on_other_stack(void)
{
	static char memory[65536];
	stack_t stack = {.ss_sp = memory, .ss_size = sizeof(memory)};

	sigaltstack(&stack, NULL);
	catch (SIGUSR1, SA_ONSTACK);
}

__attribute__((noinline)) static void raise_here(int n)
{
	if (n)
		raise_here(n - 1);
	else
		kill(getpid(), SIGUSR1);
	sink++;
}

__attribute__((noinline)) static void fault(volatile int *nowhere)
{
	if (sigsetjmp(back, 1) == 0)
		*nowhere = 1;
}

/*
 * fault_first faults at its first instruction; the byte before it belongs to a function that is 72
 * bytes deeper there.
 */
void fault_first(volatile int *nowhere);
__asm__(".text\n"
	"before_first:\n"
	".cfi_startproc\n"
	"sub $72,%rsp\n"
	".cfi_adjust_cfa_offset 72\n"
	"ud2\n"
	".cfi_endproc\n"
	".globl fault_first\n"
	".type fault_first,@function\n"
	"fault_first:\n"
	".cfi_startproc\n"
	"movl $1,(%rdi)\n"
	"ret\n"
	".cfi_endproc\n"
	".size fault_first,.-fault_first\n");

__attribute__((noinline)) static void fault_in_callee(void)
{
	if (sigsetjmp(back, 1) == 0)
		fault_first(NULL);
	sink++;
}

/* For tests that interrupt it wherever they like. */
static void on_interrupt(int signal)
{
	sink += signal;
}

static void lazy(void)
{
	char text[64];

	snprintf(text, sizeof(text), "%d %s", atoi("17"), getenv("PATH") ? "y" : "n");
	sink += strlen(text) + (strstr(text, "7") != NULL);
	qsort(text, 4, 1, (int (*)(const void *, const void *))strcmp);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	struct timespec now;

	signal(SIGUSR2, on_interrupt);
	/* Not raise(), which blocks other signals for a moment. */
	kill(getpid(), SIGURG); /* from here on, every step is looked at */
	if (!strcmp(what, "frames"))
		with_alloca(60), realigned(9);
	if (!strcmp(what, "lazy"))
		lazy();
	if (!strcmp(what, "deep"))
		deep(80);
	if (!strcmp(what, "vdso"))
		for (int i = 0; i < 20; i++)
			clock_gettime(CLOCK_MONOTONIC, &now);
	if (!strcmp(what, "signal"))
		catch (SIGUSR1, 0), raise_here(3);
	if (!strcmp(what, "altstack"))
		on_other_stack(), raise_here(3);
	if (!strcmp(what, "fault"))
		catch (SIGSEGV, 0), fault(NULL);
	if (!strcmp(what, "first"))
		catch (SIGSEGV, 0), fault_in_callee();
	return 0;
}
