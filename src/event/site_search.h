/*
 * Where a program makes its system calls: found in bytes of x86-64 code, without a disassembler.
 * The collector searches files with it, the agent reads a site again right before it writes there.
 * So it includes no libc, and believes nothing but bytes.
 */
#ifndef HTRACE_EVENT_SITE_SEARCH_H
#define HTRACE_EVENT_SITE_SEARCH_H

#include "event/arena.h"
#include "event/plan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SITE_BETWEEN_MAX = 12, /* bytes between the instruction that sets eax and `syscall` */
	SITE_EXIT_MAX = 48,    /* from a mov to an exit's mov %reg,%eax */
};

/*
 * mov $number,%eax; between; syscall; compare. There mostly is nothing between, or an argument is
 * moved. read(2) has `xor %eax,%eax`, and syscall(2), where any number may be in eax, has the load
 * of its last argument instead of the mov. exit(2) stands in loops: mov $60,%edx; ...; mov
 * %edx,%eax; syscall. There the first mov counts, and what follows it is not looked at again.
 */
struct site {
	size_t at;     /* of the mov, in the bytes */
	size_t behind; /* where the `syscall` ends */
	uint16_t number;
	uint8_t kind;          /* enum arena_site_kind */
	uint8_t set_bytes;     /* of the mov: 5; of the xor: 2 */
	uint8_t between_bytes; /* of harmless instructions, at most SITE_BETWEEN_MAX */
	uint8_t compare_bytes; /* of cmp $imm32,%rax or %eax: 6 or 5; else 0 */
};

/* Calls that say what a process or a thread becomes, whatever the plan wants of them. */
static inline bool site_is_lifetime_before(uint32_t number)
{
	switch (number) {
	case 56:  /* clone */
	case 57:  /* fork */
	case 58:  /* vfork */
	case 59:  /* execve */
	case 60:  /* exit */
	case 231: /* exit_group */
	case 322: /* execveat */
	case 435: /* clone3 */
		return true;
	default:
		return false;
	}
}

static inline bool site_is_lifetime_after(uint32_t number)
{
	switch (number) {
	case 9:   /* mmap */
	case 10:  /* mprotect */
	case 56:  /* clone */
	case 57:  /* fork */
	case 58:  /* vfork */
	case 59:  /* execve */
	case 272: /* unshare */
	case 322: /* execveat */
	case 435: /* clone3 */
		return true;
	default:
		return false;
	}
}

static inline bool site_is_wanted(const struct plan *plan, uint32_t number)
{
	return number < PLAN_SYSCALLS_MAX &&
	       (plan->calls[number].when || site_is_lifetime_before(number) ||
		site_is_lifetime_after(number));
}

static inline uint32_t site_u32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
	       (uint32_t)bytes[3] << 24;
}

/* Bytes of a memory operand's ModRM, SIB and displacement; 0: none that may be moved elsewhere. */
static inline size_t site_operand_bytes(const uint8_t *bytes, size_t n)
{
	uint8_t mod = bytes[0] >> 6, rm = bytes[0] & 7;
	size_t length = 1;

	if (mod == 3)
		return 1;
	if (rm == 4) {
		if (n < 2 || (mod == 0 && (bytes[1] & 7) == 5))
			return 0;
		length++;
	} else if (mod == 0 && rm == 5) {
		return 0; /* relative to the program counter */
	}
	return length + (mod == 1 ? 1 : mod == 2 ? 4 : 0);
}

/* Bytes of an instruction that does nothing but give a register or a variable a value, works the
 * same at any address, and leaves rax and rsp alone; else 0. */
static inline size_t site_harmless_bytes(const uint8_t *bytes, size_t n)
{
	size_t at = 0, operand;
	uint8_t rex = 0, op, target;

	if (n && (bytes[0] & 0xf0) == 0x40)
		rex = bytes[at++];
	if (at + 1 >= n)
		return 0;
	op = bytes[at++];
	if (op >= 0xb8 && op <= 0xbf) { /* mov $imm32,%r32 */
		target = (uint8_t)((op & 7) | (rex & 1) << 3);
		return rex & 8 || target == 0 || target == 4 ? 0 : at + 4;
	}
	if (op != 0x31 && op != 0x89 && op != 0x8b && op != 0x8d && op != 0xc7)
		return 0;
	operand = site_operand_bytes(bytes + at, n - at);
	if (!operand)
		return 0;
	if (op == 0x8b || op == 0x8d) /* mov, lea: the register is the target */
		target = (uint8_t)((bytes[at] >> 3 & 7) | (rex & 4) << 1);
	else /* xor, mov: the operand is, if it is a register */
		target = bytes[at] >= 0xc0 ? (uint8_t)((bytes[at] & 7) | (rex & 1) << 3) : 0xff;
	if (target == 0 || target == 4 || (op == 0x31 && bytes[at] < 0xc0) ||
	    (op == 0x8d && bytes[at] >= 0xc0) || (op == 0xc7 && (bytes[at] & 0x38)))
		return 0;
	return at + operand + (op == 0xc7 ? 4 : 0);
}

/*
 * May the byte b8 at `at` be the beginning of `mov $imm32,%eax`? Not behind 41 (mov to r8d), and
 * not as the 8 bit displacement of an instruction whose own imm32 follows: c7 45 b8 imm32 is movl
 * $imm32,-0x48(%rbp); likewise 81, 69 and f7. Elsewhere in an instruction it would have zeros
 * behind the number that no compiler makes code of, or have rax hold a pointer at the syscall.
 */
static inline bool site_mov_begins(const uint8_t *bytes, size_t at)
{
	if (at >= 1 && bytes[at - 1] == 0x41)
		return false;
	for (size_t back = 2; back <= 3 && back <= at; back++) {
		uint8_t op = bytes[at - back], modrm = bytes[at - back + 1];

		if ((op == 0xc7 || op == 0x81 || op == 0x69 || op == 0xf7) && modrm >> 6 == 1 &&
		    ((modrm & 7) == 4) == (back == 3))
			return false;
	}
	return true;
}

/* The instruction that sets eax; false: there is none at site->at. */
static inline bool site_read_set(const uint8_t *bytes, size_t n, struct site *site)
{
	const uint8_t *set = bytes + site->at;
	size_t left = n - site->at;

	if (left >= 5 && set[0] == 0xb8) {
		site->set_bytes = 5;
		site->number = (uint16_t)site_u32(set + 1);
		return site_u32(set + 1) < PLAN_SYSCALLS_MAX && site_mov_begins(bytes, site->at);
	}
	if (left >= 5 && set[0] == 0x4c && site_u32(set + 1) == 0x08244c8b) {
		site->set_bytes = 5; /* mov 8(%rsp),%r9 */
		site->kind = ARENA_SITE_ANY_NUMBER;
		return true;
	}
	/* Behind a REX prefix it would be another register. */
	if (left >= 2 && set[0] == 0x31 && set[1] == 0xc0 &&
	    !(site->at && (set[-1] & 0xf0) == 0x40)) {
		site->set_bytes = 2;
		return true;
	}
	return false;
}

/* Bytes of a nop that compilers align loops with; else 0. */
static inline size_t site_nop_bytes(const uint8_t *bytes, size_t n)
{
	size_t at = 0, operand;

	while (at < n && bytes[at] == 0x66)
		at++;
	if (at < n && bytes[at] == 0x90)
		return at + 1;
	if (at + 3 > n || bytes[at] != 0x0f || bytes[at + 1] != 0x1f)
		return 0;
	operand = site_operand_bytes(bytes + at + 2, n - at - 2);
	return operand ? at + 2 + operand : 0;
}

/*
 * mov $number,%reg of exit or exit_group, from which the way leads straight to mov %reg,%eax;
 * syscall. False: that is not what is at `at`.
 */
static inline bool site_read_exit(const uint8_t *bytes, size_t n, size_t at, struct site *site)
{
	uint8_t reg = bytes[at] & 7;
	size_t next = at + 5;

	if (next > n || bytes[at] < 0xb9 || bytes[at] > 0xbf || (at && bytes[at - 1] == 0x41) ||
	    (site_u32(bytes + at + 1) != 60 && site_u32(bytes + at + 1) != 231))
		return false;
	while (next + 4 <= n && next - at <= SITE_EXIT_MAX) {
		const uint8_t *code = bytes + next;
		size_t length = site_nop_bytes(code, n - next);

		if (code[0] == 0x89 && code[1] == (0xc0 | reg << 3)) { /* mov %reg,%eax */
			*site = (struct site){.at = at, .behind = next + 4, .set_bytes = 5};
			site->number = (uint16_t)site_u32(bytes + at + 1);
			site->kind = ARENA_SITE_EXIT;
			return code[2] == 0x0f && code[3] == 0x05;
		}
		if (code[0] == 0xeb && code[1] < 0x80) /* jmp */
			length = 2u + code[1];
		else if (code[0] == 0x31 && code[1] >= 0xc0 && (code[1] & 7) != reg) /* xor */
			length = 2;
		else if (code[0] >= 0xb8 && code[0] <= 0xbf && (code[0] & 7) != reg) /* mov */
			length = 5;
		if (!length)
			return false;
		next += length;
	}
	return false;
}

/* The site whose mov is at `at` of n bytes; false: there is none. */
static inline bool site_read(const uint8_t *bytes, size_t n, size_t at, struct site *site)
{
	size_t next;

	if (at >= n)
		return false;
	if (site_read_exit(bytes, n, at, site))
		return true;
	*site = (struct site){.at = at};
	if (!site_read_set(bytes, n, site))
		return false;
	next = at + site->set_bytes;
	while (next + 2 > n || bytes[next] != 0x0f || bytes[next + 1] != 0x05) {
		size_t length = next < n ? site_harmless_bytes(bytes + next, n - next) : 0;

		if (!length || site->between_bytes + length > SITE_BETWEEN_MAX)
			return false;
		site->between_bytes += (uint8_t)length;
		next += length;
	}
	next += 2;
	site->behind = next;
	if (next + 6 <= n && bytes[next] == 0x48 && bytes[next + 1] == 0x3d)
		site->compare_bytes = 6;
	else if (next + 5 <= n && bytes[next] == 0x3d)
		site->compare_bytes = 5;
	if (site->kind == ARENA_SITE_ANY_NUMBER)
		return !site->between_bytes && site->compare_bytes;
	site->kind = site->compare_bytes ? ARENA_SITE_COMPARED : ARENA_SITE_BARE;
	return true;
}

/*
 * The next site that the plan wants whose `syscall` begins at `from` or later. Returns where to go
 * on from, or 0: there is none. All of a mapping's or segment's code belongs into `bytes`.
 */
static inline size_t site_next(const uint8_t *bytes, size_t n, size_t from, const struct plan *plan,
			       struct site *site)
{
	*site = (struct site){0};
	for (size_t call = from; call + 2 <= n; call++) {
		size_t back = 2, most = SITE_EXIT_MAX;

		if (bytes[call] != 0x0f || bytes[call + 1] != 0x05)
			continue;
		if (most > call)
			most = call;
		while (back <= most &&
		       !(site_read(bytes, n, call - back, site) && site->behind == call + 2))
			back++;
		if (back <= most &&
		    (site->kind == ARENA_SITE_ANY_NUMBER || site_is_wanted(plan, site->number)))
			return call + 2;
	}
	return 0;
}

#endif
