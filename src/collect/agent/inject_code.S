/*
 * What a thread of the target executes for us. In: rbx the control block (struct control of
 * inject_call.c), r12 the function, rdi its argument, rsp a stack. It tells that the function has
 * returned, and waits to be stopped and put back. If nobody does (we were killed), it puts itself
 * back, by the signal frame in the control block. select(2) is the wait that leaves no trace in the
 * kernel's memory of an interrupted call (restart_syscall(2)). The function is called, not jumped to,
 * for shadow stacks.
 */
	.section .rodata.inject_code, "a", @progbits
	.balign 16
	.globl inject_code_start, inject_code_leave, inject_code_end
	.hidden inject_code_start, inject_code_leave, inject_code_end
inject_code_start:
	call	*%r12
	movq	%rax, 8(%rbx)
	movl	$1, (%rbx)
	movl	16(%rbx), %ebp
1:	movq	$0, 24(%rbx)
	movq	$10000, 32(%rbx)
	xorl	%edi, %edi
	xorl	%esi, %esi
	xorl	%edx, %edx
	xorl	%r10d, %r10d
	leaq	24(%rbx), %r8
	movl	$23, %eax
	syscall
	decl	%ebp
	jnz	1b
inject_code_leave:
	movl	$2, (%rbx)
	leaq	64(%rbx), %rsp
	movl	$15, %eax
	syscall
	ud2
inject_code_end:
	.section .note.GNU-stack, "", @progbits
