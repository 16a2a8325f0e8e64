// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

// entry is where the kernel starts the program if it was linked with -E; see
// entry_amd64.s.
TEXT ·entry(SB),NOSPLIT|NOFRAME,$0
	MOVD	RSP, R0
	MOVD	$·stack(SB), R1
	MOVD	R0, (R1)
	MOVD	$1, R19
	MOVD	$0, R20
next:
	// rt_sigaction(signal, NULL, &action, 8): its first word is the handler.
	MOVD	$134, R8
	MOVD	R19, R0
	MOVD	$0, R1
	MOVD	$·action(SB), R2
	MOVD	$8, R3
	SVC
	MOVD	$·action(SB), R2
	MOVD	(R2), R4
	CMP	$1, R4			// SIG_IGN
	BNE	other
	SUB	$1, R19, R5
	MOVD	$1, R6
	LSL	R5, R6, R6
	ORR	R6, R20
other:
	ADD	$1, R19
	CMP	$64, R19
	BLE	next
	MOVD	$·ignored(SB), R2
	MOVD	R20, (R2)

	// rt_sigprocmask(SIG_BLOCK, NULL, &blocked, 8)
	MOVD	$135, R8
	MOVD	$0, R0
	MOVD	$0, R1
	MOVD	$·blocked(SB), R2
	MOVD	$8, R3
	SVC

	// fcntl(descriptor, F_GETFD) of 0, 1 and 2
	MOVD	$0, R19
	MOVD	$0, R20
descriptor:
	MOVD	$25, R8
	MOVD	R19, R0
	MOVD	$1, R1
	MOVD	$0, R2
	SVC
	CMP	$0, R0
	BGE	open
	MOVD	$1, R6
	LSL	R19, R6, R6
	ORR	R6, R20
open:
	ADD	$1, R19
	CMP	$3, R19
	BLT	descriptor
	MOVD	$·closed(SB), R2
	MOVD	R20, (R2)

	MOVD	$1, R0
	MOVD	$·known(SB), R2
	MOVD	R0, (R2)
	JMP	_rt0_arm64_linux(SB)
