// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

// handler is called by the kernel as handler(signal, info, context), on the signal
// stack of the thread: it writes info to the pipe. The kernel restores all registers.
TEXT ·handler(SB),NOSPLIT|NOFRAME,$0
	MOVD	$64, R8			// write
	MOVD	$·pipe(SB), R3
	MOVD	(R3), R0
	MOVD	$128, R2		// sizeof(siginfo_t); info is in R1
	SVC
	RET				// to the kernel's own restorer

TEXT ·restorer(SB),NOSPLIT|NOFRAME,$0
	MOVD	$139, R8		// rt_sigreturn
	SVC
	BRK

// func addresses() (handler, restorer uintptr)
TEXT ·addresses(SB),NOSPLIT,$0-16
	MOVD	$·handler(SB), R0
	MOVD	R0, handler+0(FP)
	MOVD	$·restorer(SB), R0
	MOVD	R0, restorer+8(FP)
	RET
