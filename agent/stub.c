/* Writes the machine code of a stub (stub.h). Knows nothing of who needs it. */
#include "stub.h"

#include "agent.h"

/* hook.S */
void hook_before(void);
void hook_after(void);
void hook_compared(void);
void hook_numbers(void);

uint64_t stub_numbers[PLAN_SYSCALLS_MAX];
uint64_t stub_numbers_plain;

enum { AT_DISPLACED = 18 };

#define PUT(to, ...)                                                                               \
	((uint8_t *)__builtin_memcpy(to, ((const uint8_t[]){__VA_ARGS__}),                         \
				     sizeof((const uint8_t[]){__VA_ARGS__})) +                     \
	 sizeof((const uint8_t[]){__VA_ARGS__}))

static uint8_t *put(uint8_t *to, const void *bytes, uint32_t n)
{
	return (uint8_t *)memcpy(to, bytes, n) + n;
}

/* What the jump in the text replaces: 5 or 6 bytes. */
static uint8_t *put_displaced(uint8_t *to, const struct stub *stub)
{
	__builtin_memcpy(to, &stub->original, 8);
	return to + stub->bytes;
}

/* The four bytes that end an instruction which names `target`. */
static uint8_t *put_relative(uint8_t *to, uint64_t target)
{
	int32_t relative = (int32_t)(target - ((uint64_t)to + 4));

	__builtin_memcpy(to, &relative, 4);
	return to + 4;
}

static uint8_t *put_jump(uint8_t *to, uint64_t target)
{
	return put_relative(PUT(to, 0xe9), target);
}

static uint8_t *put_short(uint8_t *to, uint8_t opcode, const uint8_t *target)
{
	return PUT(to, opcode, (uint8_t)(target - (to + STUB_SHORT_JUMP)));
}

/* Leaves the red zone alone; lea, so that flags stay: 18 bytes. */
static uint8_t *put_call(uint8_t *to, void (*hook)(void))
{
	to = PUT(to, 0x48, 0x8d, 0x64, 0x24, 0x80); /* lea -128(%rsp),%rsp */
	to = put_relative(PUT(to, 0xe8), (uint64_t)hook);
	return PUT(to, 0x48, 0x8d, 0xa4, 0x24, 0x80, 0, 0, 0); /* lea 128(%rsp),%rsp */
}

/* cmp and jump to the call for each, else on to the displaced compare. */
static void put_filter(uint8_t *code, const struct stub *stub)
{
	uint8_t *to = code + STUB_ENTRY;

	if (stub->filter & STUB_IF_EXECUTABLE) {
		to = PUT(to, 0xf6, 0xc2, 0x04); /* test $PROT_EXEC,%dl */
		to = put_short(to, 0x75, code);
	}
	if (stub->filter & STUB_IF_NEGATIVE) {
		to = PUT(to, 0x48, 0x85, 0xc0); /* test %rax,%rax */
		to = put_short(to, 0x78, code);
	} else if (stub->filter & STUB_IF_EBADF) {
		to = PUT(to, 0x48, 0x83, 0xf8, 0xf7); /* cmp $-9,%rax */
		to = put_short(to, 0x74, code);
	}
	put_short(to, 0xeb, code + AT_DISPLACED);
}

static void write_whole(uint8_t *code, struct stub *stub)
{
	uint8_t *to = put_displaced(put_call(code, hook_before), stub);

	to = PUT(to, 0x0f, 0x05);
	put_jump(put_call(to, hook_after), stub->site_ip);
	if (stub->between_bytes) {
		stub->entry = STUB_ENTRY_WHOLE;
		to = put(code + stub->entry, (const uint8_t *)stub->at + stub->bytes,
			 stub->between_bytes);
		put_short(to, 0xeb, code);
	}
}

/* syscall(2)'s last argument is loaded by what is displaced: that runs before the hook, and again
 * behind it. */
static void write_whole_any(uint8_t *code, struct stub *stub)
{
	write_whole(code, stub);
	stub->entry = STUB_ENTRY_WHOLE;
	put_short(put_displaced(code + stub->entry, stub), 0xeb, code);
}

static void write_instead_of_mov(uint8_t *code, struct stub *stub)
{
	uint8_t *entry = code + STUB_ENTRY;

	if (stub->kind == STUB_BEFORE)
		put_call(code, hook_before);
	put_jump(put_displaced(code + AT_DISPLACED, stub),
		 stub->at + stub->bytes + stub->between_bytes);
	if (stub->between_bytes)
		entry = put(entry, (const uint8_t *)stub->at + stub->bytes, stub->between_bytes);
	if (stub->kind == STUB_NUMBERS) {
		entry = put_relative(PUT(entry, 0x48, 0x8d, 0x0d), stub->site_ip); /* lea ,%rcx */
		put_jump(entry, (uint64_t)hook_numbers);
	} else if (stub->between_bytes) {
		put_short(entry, 0xeb, code);
	}
	stub->entry = entry > code + STUB_ENTRY ? STUB_ENTRY : 0;
}

static void write_instead_of_compare(uint8_t *code, struct stub *stub)
{
	uint8_t *to = put_displaced(put_call(code, hook_compared), stub);

	put_jump(to, stub->at + stub->bytes);
	if (stub->filter) {
		stub->entry = STUB_ENTRY;
		put_filter(code, stub);
	}
}

bool stub_has_room(enum stub_kind kind, uint32_t between_bytes)
{
	uint32_t wanted = between_bytes ? between_bytes + STUB_SHORT_JUMP : 0;

	return wanted <= (kind == STUB_WHOLE ? STUB_ENTRY_WHOLE_MAX : STUB_ENTRY_MAX);
}

void stub_write(uint8_t *to, struct stub *stub)
{
	uint64_t field = stub->site_ip | (uint64_t)stub->number << STUB_NUMBER_SHIFT;

	for (int i = 0; i < STUB_BYTES / 8; i++)
		((uint64_t *)to)[i] = 0xccccccccccccccccull;
	stub->entry = 0;
	if (stub->kind == STUB_AFTER)
		write_instead_of_compare(to, stub);
	else if (stub->kind == STUB_WHOLE && (uint8_t)stub->original == 0x4c)
		write_whole_any(to, stub);
	else if (stub->kind == STUB_WHOLE)
		write_whole(to, stub);
	else
		write_instead_of_mov(to, stub);
	__builtin_memcpy(to + STUB_FIELD, &field, sizeof(field));
}
