// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"elsa/internal/inherited"
	"elsa/internal/launch"
	"elsa/internal/siginfo"
)

// A command with a bill has elsactl for its parent, which waits for its end. A
// second elsactl starts, joins the group, by which it is known even in a pid
// namespace of its own, and becomes the command. The first passes for it meanwhile:
// what is sent to the one reaches the other, and both stop together.

// child is a command that was started.
type child struct {
	pid    int
	failed *launch.Failure
	caught uint64
}

// handed are the signals that are handed on: all but those that the kernel sends
// for a fault, that the Go runtime uses, and that are about elsactl alone.
const handed = ^uint64(0) &^ (1<<(unix.SIGKILL-1) | 1<<(unix.SIGSTOP-1) | 1<<(unix.SIGCHLD-1) | 1<<(unix.SIGURG-1) | 1<<(unix.SIGPIPE-1) |
	1<<(unix.SIGILL-1) | 1<<(unix.SIGTRAP-1) | 1<<(unix.SIGBUS-1) | 1<<(unix.SIGFPE-1) | 1<<(unix.SIGSEGV-1) | 1<<(unix.SIGSYS-1) |
	1<<(32-1) | 1<<(33-1)) // of the threads library

func init() {
	// The kernel keeps some of what is inherited by thread, as the signal for the
	// parent's death: the first thread has it.
	if slices.Contains(os.Args, "run") {
		runtime.LockOSThread()
	}
}

// start starts a command and returns once it executes, or failed, with the group
// that it joined. It is to be called on the first thread: the signals come there, and
// the command may be told of its death.
func start(c launch.Command) (*child, launch.Failure, error) {
	// What was ignored stays so here too. (The end of children must not be.)
	siginfo.Ignore(c.Ignore & handed)
	k := &child{caught: handed &^ c.Ignore}
	signals, err := siginfo.Catch(k.caught)
	if err != nil {
		return nil, launch.Failure{}, err
	}
	var report [2]int
	// The child has it under the same number, which was free, and closes it itself.
	if err := syscall.Pipe2(report[:], 0); err != nil {
		return nil, launch.Failure{}, fmt.Errorf("make a pipe: %w", err)
	}
	defer syscall.Close(report[0])
	syscall.CloseOnExec(report[0])
	path, argv := c.Child(report[1])
	k.pid, err = syscall.ForkExec(path, argv, &syscall.ProcAttr{
		Env: inherited.Environ(), Files: standard(), Sys: &syscall.SysProcAttr{Pdeathsig: deathSignal()},
	})
	syscall.Close(report[1]) // or its end could not be seen
	if err != nil {
		return nil, launch.Failure{}, fmt.Errorf("start a second elsactl: %w", err)
	}
	go k.hand(signals)
	joined, failed := launch.Report(report[0])
	k.failed = failed
	return k, joined, nil
}

// standard are the standard descriptors; what was closed stays so.
func standard() []uintptr {
	fds := []uintptr{0, 1, 2}
	for fd := range fds {
		if inherited.Closed(fd) {
			fds[fd] = ^uintptr(0)
		}
	}
	return fds
}

// deathSignal is what this process gets when its parent dies; see prctl(2).
func deathSignal() syscall.Signal {
	var n int32
	syscall.RawSyscall(syscall.SYS_PRCTL, unix.PR_GET_PDEATHSIG, uintptr(unsafe.Pointer(&n)), 0)
	return syscall.Signal(n)
}

// hand sends signals on to the command. What the kernel sent for the terminal went
// to all processes in its foreground, so the command got it too.
func (k *child) hand(signals <-chan siginfo.Info) {
	for s := range signals {
		if s.Code > 0 && fromTerminal(s.Signal) {
			continue
		}
		if s.Signal == unix.SIGCONT && !stopped(k.pid) {
			continue // a shell continues all processes of a job
		}
		s.Forward(k.pid)
	}
}

// stopped reports whether a process is stopped by a signal; see proc_pid_stat(5).
func stopped(pid int) bool {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(rest, "T")
}

func fromTerminal(s syscall.Signal) bool {
	switch s {
	case unix.SIGINT, unix.SIGQUIT, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGHUP, unix.SIGCONT, unix.SIGWINCH:
		return true
	}
	return false
}

// wait waits for the command's end. When the command stops, so does elsactl, as the
// shell that started it waits for.
func (k *child) wait() syscall.WaitStatus {
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(k.pid, &ws, syscall.WUNTRACED, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil || pid != k.pid:
			return syscall.WaitStatus(1 << 8)
		case ws.Stopped():
			siginfo.Raise(ws.StopSignal())
			siginfo.Again(k.caught & (1 << (ws.StopSignal() - 1)))
		default:
			return ws
		}
	}
}

// letGo gives the signals their default action: they are about elsactl now.
func (k *child) letGo() { siginfo.Default(k.caught) }

// dieBy ends elsactl by the signal that ended the command, so that a shell sees
// what it would have seen: Ctrl-C ends a script, too. There is one core already.
func dieBy(s syscall.Signal) {
	unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	siginfo.Raise(s)
}
