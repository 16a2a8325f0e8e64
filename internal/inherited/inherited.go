// SPDX-License-Identifier: Apache-2.0

// Package inherited knows what a process inherited from who started it and the Go
// runtime changes before any Go code runs: ignored signals, which it catches, the
// signal mask, and closed standard descriptors, which it opens.
//
// That takes a look before the runtime starts: the program must be linked with
//
//	go build -ldflags '-E elsa/internal/inherited.entry'
//
// on amd64 or arm64. Otherwise only what the runtime left is known; see Known.
package inherited

import (
	"syscall"
	"unsafe"
)

// Set by entry, in assembly. action is a struct sigaction of the kernel; stack
// points at argc, argv and the environment as execve(2) left them.
var (
	ignored, blocked, closed, known uint64
	action                          [4]uint64 //lint:ignore U1000 used by the assembly
	stack                           unsafe.Pointer
)

// Known reports whether the program looked before the runtime did.
func Known() bool { return known != 0 }

// Ignored is the set of signals that were ignored: bit n-1 is signal n. Without the
// look it is those that the runtime leaves ignored: SIGHUP and SIGINT.
func Ignored() uint64 {
	if known != 0 {
		return ignored
	}
	var set uint64
	for n := 1; n <= signals; n++ {
		var a [4]uint64
		if sigaction(n, nil, &a) == 0 && a[0] == sigIgn {
			set |= 1 << (n - 1)
		}
	}
	return set
}

// Blocked is the signal mask of the first thread: bit n-1 is signal n.
func Blocked() uint64 {
	if known != 0 {
		return blocked
	}
	var mask uint64
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, 0, 0, uintptr(unsafe.Pointer(&mask)), 8, 0, 0)
	return mask
}

// Closed reports whether the standard descriptor fd (0, 1 or 2) was closed.
func Closed(fd int) bool { return closed>>fd&1 != 0 }

// Args are the program's arguments, its name first, even before package os has
// them; nil without the look.
func Args() []string {
	if stack == nil {
		return nil
	}
	return texts(unsafe.Add(stack, 8))
}

// Environ is the environment as it came. [syscall.Environ] drops what has a name
// that was there before.
func Environ() []string {
	if stack == nil {
		return syscall.Environ()
	}
	argc := *(*int)(stack)
	return texts(unsafe.Add(stack, (1+argc+1)*8)) // past argc, argv and its NULL
}

// texts reads a list of C strings that ends with NULL.
func texts(p unsafe.Pointer) (all []string) {
	for ; *(*unsafe.Pointer)(p) != nil; p = unsafe.Add(p, 8) {
		s := *(**byte)(p)
		n := 0
		for *(*byte)(unsafe.Add(unsafe.Pointer(s), n)) != 0 {
			n++
		}
		all = append(all, unsafe.String(s, n))
	}
	return all
}

const (
	signals = 64
	sigIgn  = 1
)

// sigaction is rt_sigaction(2).
func sigaction(n int, act, old *[4]uint64) syscall.Errno {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(n), uintptr(unsafe.Pointer(act)), uintptr(unsafe.Pointer(old)), 8, 0, 0)
	return errno
}

// Restore puts back what was inherited, for an execve(2) of the calling thread
// right after: the goroutine must be locked to it, and the runtime handles signals
// no more. ignore are the signals to ignore and mask those to block, in general
// Ignored and Blocked.
func Restore(ignore, mask uint64) {
	all := ^uint64(0)
	// Nothing may be caught between the two: not by a handler, nor lost.
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, 2, uintptr(unsafe.Pointer(&all)), 0, 8, 0, 0)
	for n := 1; n <= signals; n++ {
		if ignore>>(n-1)&1 != 0 {
			sigaction(n, &[4]uint64{sigIgn}, nil) // fails for SIGKILL and SIGSTOP
		}
	}
	for fd := range 3 {
		if Closed(fd) {
			syscall.Close(fd)
		}
	}
	// What the runtime sent this thread to have it give way; see rt_sigtimedwait(2).
	urgent, at := uint64(1)<<(syscall.SIGURG-1), syscall.Timespec{}
	syscall.RawSyscall6(syscall.SYS_RT_SIGTIMEDWAIT, uintptr(unsafe.Pointer(&urgent)), 0, uintptr(unsafe.Pointer(&at)), 8, 0, 0)
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, 2, uintptr(unsafe.Pointer(&mask)), 0, 8, 0, 0)
}
