/*
 * Openings whose stacks cannot be followed to their end, one for each reason that there is: longer
 * than what is copied, deeper than what is kept, through code without unwind information, with
 * unwind information that leads out of the stack, with a return address that is none, and with no
 * stack at all. For each a line says which.
 */
#include "workload.h"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static void opened(int number, const char *end)
{
	char line[120];
	int used = snprintf(line, sizeof(line),
			    "{\"truth\":\"end\",\"handle\":%d,\"end\":\"%s\"}\n", number, end);

	truth_write(line, (size_t)used);
}

OPENER static void open_complete(void)
{
	opened(KEEP(eventfd(0, 0)), "complete");
}

/* 100 levels of 1 KiB: more than the 64 KiB that are copied. */
OPENER static int open_truncated(int depth)
{
	volatile char room[1024];

	room[0] = (char)depth;
	if (depth > 0)
		open_truncated(depth - 1);
	else
		opened(KEEP(eventfd(0, 0)), "truncated");
	return room[0];
}

OPENER static int open_too_deep(int depth)
{
	volatile char room[16];

	room[0] = (char)depth;
	if (depth > 0)
		open_too_deep(depth - 1);
	else
		opened(KEEP(eventfd(0, 0)), "too-deep");
	return room[0];
}

OPENER static void open_no_cfi(void)
{
	opened(KEEP(eventfd(0, 0)), "no-cfi");
}

/* push %rbp; mov $1,%ebp; call *%rdi; pop %rbp; ret: what a compiler at run time may write. */
static void call_generated(void (*function)(void))
{
	static const unsigned char code[] = {0x55, 0xbd, 1, 0, 0, 0, 0xff, 0xd7, 0x5d, 0xc3};
	void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		exit(97);
	memcpy(memory, code, sizeof(code));
	((void (*)(void (*)(void)))memory)(function);
}

OPENER static void open_bad_pc(void)
{
	opened(KEEP(eventfd(0, 0)), "bad-pc");
}

OPENER static void open_bad_read(void)
{
	opened(KEEP(eventfd(0, 0)), "bad-read");
}

/*
 * Call a function, the first with 0x666 where its unwind information says that the return address
 * is, the second with unwind information that says that the frame begins at address 4096.
 */
void call_with_bad_pc(void (*function)(void));
void call_with_bad_read(void (*function)(void));
__asm__(".text\n"
	".type call_with_bad_pc,@function\n"
	"call_with_bad_pc:\n"
	".cfi_startproc\n"
	"push %rbx\n"
	".cfi_adjust_cfa_offset 8\n"
	".cfi_offset rbx,-16\n"
	"mov %rsp,%rbx\n"
	".cfi_def_cfa_register rbx\n"
	"push $0x666\n"
	"push $0\n"
	"push $0\n"
	".cfi_def_cfa rsp,24\n"
	"call *%rdi\n"
	"nop\n"
	".cfi_def_cfa rbx,16\n"
	"mov %rbx,%rsp\n"
	"pop %rbx\n"
	".cfi_def_cfa rsp,8\n"
	"ret\n"
	".cfi_endproc\n"
	".size call_with_bad_pc,.-call_with_bad_pc\n"
	".type call_with_bad_read,@function\n"
	"call_with_bad_read:\n"
	".cfi_startproc\n"
	"push %rbx\n"
	".cfi_adjust_cfa_offset 8\n"
	"mov $4096,%ebx\n"
	".cfi_def_cfa rbx,0\n"
	"call *%rdi\n"
	"nop\n"
	".cfi_def_cfa rsp,16\n"
	"pop %rbx\n"
	".cfi_adjust_cfa_offset -8\n"
	"ret\n"
	".cfi_endproc\n"
	".size call_with_bad_read,.-call_with_bad_read\n");

/* eventfd2(0, 0) with a stack pointer that points nowhere. */
OPENER static void open_no_copy(void)
{
	long number = SYS_eventfd2;

	__asm__ volatile("mov %%rsp,%%rbx\n\t"
			 "xor %%esp,%%esp\n\t"
			 "syscall\n\t"
			 "mov %%rbx,%%rsp"
			 : "+a"(number)
			 : "D"(0L), "S"(0L)
			 : "rbx", "rcx", "r11", "memory");
	opened(KEEP((int)number), "no-copy");
}

int main(void)
{
	open_complete();
	open_truncated(100);
	open_too_deep(400);
	call_generated(open_no_cfi);
	call_with_bad_pc(open_bad_pc);
	call_with_bad_read(open_bad_read);
	open_no_copy();
	return 0;
}
