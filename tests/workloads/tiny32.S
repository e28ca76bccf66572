/* A 32-bit program without a C library: waits for a second (pause would need a signal), exits 0. */
	.globl _start
_start:
	mov	$162, %eax		/* nanosleep */
	mov	$second, %ebx
	xor	%ecx, %ecx
	int	$0x80
	mov	$1, %eax		/* exit */
	xor	%ebx, %ebx
	int	$0x80
	.data
second:	.long	2, 0
