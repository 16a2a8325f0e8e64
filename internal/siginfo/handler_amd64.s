// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

// handler is called by the kernel as handler(signal, info, context), on the signal
// stack of the thread: it writes info to the pipe. The kernel restores all registers.
TEXT ·handler(SB),NOSPLIT|NOFRAME,$0
	MOVQ	$1, AX			// write
	MOVQ	·pipe(SB), DI
	MOVQ	$128, DX		// sizeof(siginfo_t); info is in SI
	SYSCALL
	RET				// to restorer

TEXT ·restorer(SB),NOSPLIT|NOFRAME,$0
	MOVQ	$15, AX			// rt_sigreturn
	SYSCALL
	INT	$3

// func addresses() (handler, restorer uintptr)
TEXT ·addresses(SB),NOSPLIT,$0-16
	LEAQ	·handler(SB), AX
	MOVQ	AX, handler+0(FP)
	LEAQ	·restorer(SB), AX
	MOVQ	AX, restorer+8(FP)
	RET
