// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

// entry is where the kernel starts the program if it was linked with -E. It notes
// what the Go runtime is about to change, and goes on where the program would have
// begun. The stack pointer is at argc, and nothing below it is used.
TEXT ·entry(SB),NOSPLIT|NOFRAME,$0
	MOVQ	SP, ·stack(SB)
	MOVQ	$1, R12
next:
	// rt_sigaction(signal, NULL, &action, 8): its first word is the handler.
	MOVQ	$13, AX
	MOVQ	R12, DI
	XORL	SI, SI
	LEAQ	·action(SB), DX
	MOVQ	$8, R10
	SYSCALL
	CMPQ	·action(SB), $1		// SIG_IGN
	JNE	other
	LEAQ	-1(R12), CX
	MOVQ	$1, R8
	SHLQ	CX, R8
	ORQ	R8, ·ignored(SB)
other:
	INCQ	R12
	CMPQ	R12, $64
	JLE	next

	// rt_sigprocmask(SIG_BLOCK, NULL, &blocked, 8)
	MOVQ	$14, AX
	XORL	DI, DI
	XORL	SI, SI
	LEAQ	·blocked(SB), DX
	MOVQ	$8, R10
	SYSCALL

	// fcntl(descriptor, F_GETFD) of 0, 1 and 2
	XORL	R12, R12
descriptor:
	MOVQ	$72, AX
	MOVQ	R12, DI
	MOVQ	$1, SI
	XORL	DX, DX
	SYSCALL
	CMPQ	AX, $0
	JGE	open
	MOVQ	R12, CX
	MOVQ	$1, R8
	SHLQ	CX, R8
	ORQ	R8, ·closed(SB)
open:
	INCQ	R12
	CMPQ	R12, $3
	JL	descriptor

	MOVQ	$1, ·known(SB)
	XORL	DX, DX			// the psABI: no function to register with atexit
	JMP	_rt0_amd64_linux(SB)
