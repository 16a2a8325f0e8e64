// SPDX-License-Identifier: Apache-2.0

//go:build amd64 || arm64

// Package siginfo catches signals with what the kernel tells of each: who sent it,
// and whether anybody did or the terminal. Package os/signal does not say.
package siginfo

import (
	"encoding/binary"
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

// Info is a signal that was caught; see sigaction(2).
type Info struct {
	Signal syscall.Signal
	// Code is si_code: positive if the kernel sent it, as for a key on the terminal.
	Code int32
	raw  [size]byte
}

const size = 128

// pipe is where handler writes.
//
//lint:ignore U1000 read by the assembly
var pipe uintptr

func addresses() (handler, restorer uintptr)

// Flags of sigaction(2).
const (
	saSiginfo  = 0x4
	saRestorer = 0x4000000
	saOnstack  = 0x8000000
	saRestart  = 0x10000000
)

// action is a struct sigaction of the kernel.
type action struct{ handler, flags, restorer, mask uintptr }

func set(n int, a *action) {
	syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(n), uintptr(unsafe.Pointer(a)), 0, 8, 0, 0)
}

// Catch catches the signals of a set, bit n-1 for signal n, in place of the Go
// runtime. The calling thread, which must be locked, takes them from now on even if
// they were blocked.
// Each is sent on the channel; some may be lost if more than 500 are not taken. To
// be called once, and not with what the runtime needs for itself.
func Catch(signals uint64) (<-chan Info, error) {
	var fds [2]int
	if err := syscall.Pipe2(fds[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err != nil {
		return nil, fmt.Errorf("make a pipe for signals: %w", err)
	}
	pipe = uintptr(fds[1])
	Again(signals)
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, 1, uintptr(unsafe.Pointer(&signals)), 0, 8, 0, 0)
	caught := make(chan Info)
	go func() {
		r := os.NewFile(uintptr(fds[0]), "signals")
		for {
			var i Info
			if n, err := r.Read(i.raw[:]); err != nil || n != size {
				return
			}
			i.Signal = syscall.Signal(binary.NativeEndian.Uint32(i.raw[:]))
			i.Code = int32(binary.NativeEndian.Uint32(i.raw[8:]))
			caught <- i
		}
	}()
	return caught, nil
}

// Again catches signals again, after Default or Raise.
func Again(signals uint64) {
	handler, restorer := addresses()
	each(signals, func(n int) {
		set(n, &action{handler, saSiginfo | saRestorer | saOnstack | saRestart, restorer, ^uintptr(0)})
	})
}

// Default gives the signals of a set their default action.
func Default(signals uint64) { each(signals, func(n int) { set(n, &action{}) }) }

// Ignore ignores the signals of a set.
func Ignore(signals uint64) { each(signals, func(n int) { set(n, &action{handler: 1}) }) }

func each(signals uint64, f func(n int)) {
	for n := 1; n <= 64; n++ {
		if signals>>(n-1)&1 != 0 {
			f(n)
		}
	}
}

// Raise stops or ends this process by a signal's default action. The calling
// thread must be locked. It returns after a stop is over, or if the signal does
// nothing by default; then what it did before must be set anew.
func Raise(s syscall.Signal) {
	bit := uint64(1) << (s - 1)
	Default(bit)
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, 1, uintptr(unsafe.Pointer(&bit)), 0, 8, 0, 0)
	syscall.Kill(syscall.Getpid(), s)
}

// Forward sends a signal on to another process, with its value if it has one.
func (i *Info) Forward(pid int) {
	if i.Code < 0 {
		if _, _, errno := syscall.Syscall(syscall.SYS_RT_SIGQUEUEINFO, uintptr(pid), uintptr(i.Signal), uintptr(unsafe.Pointer(&i.raw))); errno == 0 {
			return
		}
	}
	syscall.Kill(pid, i.Signal) // it may have ended
}
