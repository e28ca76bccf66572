/*
 * What the stubs (stub.h) call: saves the registers as struct call_frame (agent.h), calls C, restores
 * them from there. Also the stubs' own memory, and the one entry of .eh_frame for all of them.
 *
 * Flags are not kept. In place of a `mov` they are dead, for a C compiler takes them for lost at every
 * asm statement, and libc's own assembly does not look at those from before a `syscall` behind it.
 * In place of a compare, that sets them. Vector registers: the agent is built without.
 */
#include "raise.h"
#include "stub.h"

#include <asm/unistd.h>

	.macro	save register
	push	%\register
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %\register, 0
	.endm

	.macro	restore register
	pop	%\register
	.cfi_adjust_cfa_offset -8
	.cfi_restore %\register
	.endm

	/* Offsets in struct call_frame; below the caller's stack pointer lies the red zone as well. */
	.set	FRAME_CX, 88
	.set	FRAME_STUB, 120
	.set	FRAME_SP, 128 + 128

	/* rdi frame, rsi number, rdx site_ip, rcx sp: the C functions' arguments. */
	.macro	save_all
	save	rdi
	save	rsi
	save	rdx
	save	rcx
	save	rax
	save	r8
	save	r9
	save	r10
	save	r11
	save	rbx
	save	rbp
	save	r12
	save	r13
	save	r14
	save	r15
	cld
	mov	%rsp, %rdi
	mov	%rsp, %rbp
	.cfi_def_cfa_register %rbp
	mov	FRAME_STUB(%rdi), %rsi
	and	$-STUB_BYTES, %rsi
	mov	STUB_FIELD(%rsi), %rsi
	mov	%rsi, %rdx
	shr	$STUB_NUMBER_SHIFT, %rsi
	shl	$(64 - STUB_NUMBER_SHIFT), %rdx
	shr	$(64 - STUB_NUMBER_SHIFT), %rdx
	lea	FRAME_SP(%rdi), %rcx
	and	$-16, %rsp
	.endm

	.macro	restore_registers
	restore	r15
	restore	r14
	restore	r13
	restore	r12
	restore	rbp
	restore	rbx
	restore	r11
	restore	r10
	restore	r9
	restore	r8
	restore	rax
	restore	rcx
	restore	rdx
	restore	rsi
	restore	rdi
	.endm

	.macro	restore_all
	mov	%rbp, %rsp
	.cfi_def_cfa_register %rsp
	restore_registers
	ret
	.endm

	.macro	begin name
	.globl	\name
	.hidden	\name
	.type	\name, @function
	.balign	16
\name:
	.cfi_startproc
	.endm

	.macro	end name
	.cfi_endproc
	.size	\name, . - \name
	.endm

	.text
	/* rcx becomes what the syscall will make of it; where a CPU leaves it alone (FRED), this is
	   what hook_compared will know the call by. */
	begin	hook_before
	save_all
	mov	%rdx, FRAME_CX(%rdi)
	call	agent_before
	restore_all
	end	hook_before

	begin	hook_after
	save_all
	call	agent_after
	test	%rax, %rax
	jnz	hook_raise
	restore_all
	end	hook_after

	/* Other code may jump to the compare: only behind this site's syscall rcx is its address. */
	begin	hook_compared
	save_all
	cmp	%rdx, FRAME_CX(%rdi)
	jne	1f
	call	agent_after
	test	%rax, %rax
	jnz	hook_raise
1:	restore_all
	end	hook_compared

	/*
	 * From these two, with all saved: sends this thread a signal (raise.h; rax: struct raise), from
	 * where everything is as the call's code left it, and its address is on top of the stack. What
	 * the red zone had there, and what tgkill takes, is put back afterwards; then the stub goes on.
	 */
	.globl	hook_raise
	.hidden	hook_raise
	.type	hook_raise, @function
	.balign	16
hook_raise:
	.cfi_startproc
	.cfi_def_cfa %rbp, FRAME_STUB + 8
	.cfi_rel_offset %r15, 0
	.cfi_rel_offset %r14, 8
	.cfi_rel_offset %r13, 16
	.cfi_rel_offset %r12, 24
	.cfi_rel_offset %rbp, 32
	.cfi_rel_offset %rbx, 40
	mov	%rax, FRAME_CX(%rbp)
	mov	%rbp, %rsp
	.cfi_def_cfa_register %rsp
	restore_registers
	mov	RAISE_SITE_IP(%rcx), %r11
	mov	%r11, 128(%rsp)
	mov	%rcx, (%rsp)
	lea	128(%rsp), %rsp
	.cfi_undefined %rdi
	.cfi_undefined %rsi
	.cfi_undefined %rdx
	mov	RAISE_PID(%rcx), %rdi
	mov	RAISE_TID(%rcx), %rsi
	mov	RAISE_SIGNAL(%rcx), %rdx
	mov	$__NR_tgkill, %eax
	syscall
	mov	-128(%rsp), %rcx
	mov	RAISE_AX(%rcx), %rax
	mov	RAISE_DX(%rcx), %rdx
	mov	RAISE_SI(%rcx), %rsi
	mov	RAISE_DI(%rcx), %rdi
	mov	RAISE_BELOW(%rcx), %r11
	mov	%r11, (%rsp)
	mov	RAISE_STUB(%rcx), %r11
	mov	%r11, -128(%rsp)
	movq	$0, RAISE_TAKEN(%rcx)
	lea	-128(%rsp), %rsp
	ret
	end	hook_raise

	/* From syscall(2), in place of the load of its last argument, with the address behind its
	   `syscall` in rcx: the number decides. rcx and r11 are lost to the syscall anyway. */
	.globl	hook_numbers
	.hidden	hook_numbers
	.type	hook_numbers, @function
	.balign	16
hook_numbers:
	.cfi_startproc simple
	.cfi_signal_frame
	.cfi_def_cfa %rsp, 0
	.cfi_register 16, 2
	cmp	$512, %rax
	jae	1f
	lea	stub_numbers(%rip), %r11
	mov	(%r11,%rax,8), %r11
	test	%r11, %r11
	jz	1f
	jmp	*%r11
1:	jmp	*stub_numbers_plain(%rip)
	.cfi_endproc
	.size	hook_numbers, . - hook_numbers

/*
 * The stubs. With o = rip & 63, the stack pointer is 128 lower where 5 <= o < 18 or 30 <= o < 43:
 *	CFA = rsp + ((o >= 5) - (o >= 18) + (o >= 30) - (o >= 43) << 7)
 *	return address = *(u64 *)((rip & -64) + 56) << 16 >> 16
 * The return address is behind the `syscall`, not behind a call: a signal frame, so that nobody
 * subtracts one. CFA here is the stack pointer at the site itself. (DWARF 5, 2.5.1 and 6.4.2.)
 */
	.section .text.stubs, "ax", @progbits
	.globl	stubs
	.hidden	stubs
	.type	stubs, @function
	.balign	4096
stubs:
	.cfi_startproc simple
	.cfi_signal_frame
	/* DW_CFA_def_cfa_expression, 37 bytes; only with what valgrind's reader knows as well */
	.cfi_escape 0x0f, 37
	.cfi_escape 0x80, 0x00, 0x08, 63, 0x1a	/* breg16 (rip) 0; const1u 63; and */
	.cfi_escape 0x35, 0x2a			/* lit5; ge */
	.cfi_escape 0x80, 0x00, 0x08, 63, 0x1a
	.cfi_escape 0x42, 0x2a, 0x1c		/* lit18; ge; minus */
	.cfi_escape 0x80, 0x00, 0x08, 63, 0x1a
	.cfi_escape 0x4e, 0x2a, 0x22		/* lit30; ge; plus */
	.cfi_escape 0x80, 0x00, 0x08, 63, 0x1a
	.cfi_escape 0x08, 43, 0x2a, 0x1c	/* const1u 43; ge; minus */
	.cfi_escape 0x37, 0x24			/* lit7; shl */
	.cfi_escape 0x77, 0x00, 0x22		/* breg7 (rsp) 0; plus */
	/* DW_CFA_val_expression of rip, 12 bytes */
	.cfi_escape 0x16, 16, 12
	.cfi_escape 0x80, 0x00			/* breg16 (rip) 0 */
	.cfi_escape 0x09, 0xc0, 0x1a		/* const1s -64; and */
	.cfi_escape 0x23, STUB_FIELD, 0x06	/* plus_uconst; deref */
	.cfi_escape 0x40, 0x24, 0x40, 0x25	/* lit16; shl; lit16; shr */
	.fill	STUBS_N * STUB_BYTES, 1, 0xcc
	.cfi_endproc
	.size	stubs, . - stubs

	.section .note.GNU-stack, "", @progbits
