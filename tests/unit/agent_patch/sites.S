/*
 * System calls as libc makes them, and such that libc seldom makes, with every register and the red
 * zone filled. A function returns the number of registers and words that changed; *rdi: the result.
 */
	.macro	begin name, pad
	.globl	\name
	.type	\name, @function
	.balign	16
\name:
	.cfi_startproc
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	push	%rdi
	mov	%rsp, %rbp
	sub	$\pad, %rsp		/* any alignment will do */
	call	fill
	.endm

	/* The result is in rax. */
	.macro	end name
	call	check
	mov	%rbp, %rsp
	pop	%rdi
	mov	%r11, (%rdi)
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret
	.cfi_endproc
	.size	\name, . - \name
	.endm

	.section .text.probe_sites, "ax", @progbits
	.globl	probe_sites_start, probe_sites_end
	.type	probe_sites_start, @object
	.type	probe_sites_end, @object
	.balign	4096
probe_sites_start:
	/* Both keep their return address in a register: below it is their caller's red zone. */
fill:
	pop	%r11
	mov	$0x1111111111111111, %rbx
	mov	$0x2222222222222222, %rsi
	mov	$0x3333333333333333, %rdx
	mov	$0x4444444444444444, %rdi
	mov	$0x5555555555555555, %r8
	mov	$0x6666666666666666, %r9
	mov	$0x7777777777777777, %r10
	mov	$0x1212121212121212, %r12
	mov	$0x1313131313131313, %r13
	mov	$0x1414141414141414, %r14
	mov	$0x1515151515151515, %r15
	movq	%rbx, %xmm0
	movq	%rdx, %xmm15
	.set	at, 8
	.rept	16
	movq	$0x0eadbee0 + at, -at(%rsp)
	.set	at, at + 8
	.endr
	jmp	*%r11

	/* The result goes from rax to r11; rax: the number of differences. */
check:
	pop	%rcx
	mov	%rax, %r11
	xor	%eax, %eax
	.macro	expect register, value
	push	%rcx
	movabs	$\value, %rcx
	cmp	%rcx, %\register
	pop	%rcx
	je	1f
	inc	%eax
1:
	.endm
	.set	at, 16			/* the call of check itself has written the first one */
	.rept	15
	cmpq	$0x0eadbee0 + at, -at(%rsp)
	je	1f
	inc	%eax
1:
	.set	at, at + 8
	.endr
	expect	rbx, 0x1111111111111111
	expect	rsi, 0x2222222222222222
	expect	rdx, 0x3333333333333333
	expect	rdi, 0x4444444444444444
	expect	r8, 0x5555555555555555
	expect	r9, 0x6666666666666666
	expect	r10, 0x7777777777777777
	expect	r12, 0x1212121212121212
	expect	r13, 0x1313131313131313
	expect	r14, 0x1414141414141414
	expect	r15, 0x1515151515151515
	movq	%xmm0, %rbx
	expect	rbx, 0x1111111111111111
	movq	%xmm15, %rbx
	expect	rbx, 0x3333333333333333
	jmp	*%rcx

	begin	probe_site_compared, 16
	mov	$39, %eax
	syscall
	cmp	$-4095, %rax
	jae	1f
	nop
1:
	end	probe_site_compared

	begin	probe_site_compared_32, 24
	mov	$39, %eax
	syscall
	cmp	$0xfffff001, %eax
	jae	1f
	nop
1:
	end	probe_site_compared_32

	begin	probe_site_bare, 32
	mov	$39, %eax
	syscall
	test	%rax, %rax
	end	probe_site_bare

	begin	probe_site_between, 40
	mov	$39, %eax
	mov	$0x77777777, %edi
	syscall
	cmp	$-4095, %rax
	movabs	$0x4444444444444444, %rdi
	end	probe_site_between

	begin	probe_site_between_bare, 48
	mov	$39, %eax
	lea	8(%rsp), %rdi
	syscall
	movabs	$0x4444444444444444, %rdi
	end	probe_site_between_bare

	begin	probe_site_decoys, 56
	jmp	1f
	.byte	0xc7, 0x45, 0xb8, 39, 0, 0, 0, 0x0f, 0x05	/* movl $39,-72(%rbp) */
	.byte	0x48, 0x3d, 1, 0xf0, 0xff, 0xff
	.byte	0xc7, 0x44, 0x24, 0xb8, 39, 0, 0, 0, 0x0f, 0x05 /* movl $39,-72(%rsp) */
	.byte	0x48, 0x3d, 1, 0xf0, 0xff, 0xff
	.byte	0x41, 0xb8, 39, 0, 0, 0, 0x0f, 0x05		/* mov $39,%r8d */
	.byte	0x48, 0x3d, 1, 0xf0, 0xff, 0xff
	.byte	0xb8, 39, 0, 1, 0, 0x0f, 0x05			/* mov $65575,%eax */
	.byte	0xb8, 39, 0, 0, 0, 0x48, 0x8b, 0x3d, 0, 0, 0, 0, 0x0f, 0x05 /* of (%rip) */
	.byte	0xb8, 39, 0, 0, 0, 0x8b, 0x07, 0x0f, 0x05	/* mov (%rdi),%eax */
1:	xor	%eax, %eax
	end	probe_site_decoys

	begin	probe_site_jumped_to, 64
	mov	$12345, %eax
	xor	%ecx, %ecx
	jmp	2f
	mov	$39, %eax
	syscall
2:	cmp	$-4095, %rax
	jae	1f
	nop
1:
	end	probe_site_jumped_to
	.balign	4096
probe_sites_end:

	.section .note.GNU-stack, "", @progbits
