// SPDX-License-Identifier: Apache-2.0

// Package proc reads what /proc knows about live processes: a snapshot of all
// of them, one of them, and what one has used so far.
//
// A process is a thread group and its pid is the tgid. Because pids are
// reused, a process is known by its pid and its start time together.
package proc

import (
	"bytes"
	"time"

	"elsa/pkg/clock"
)

// FS is the root of a proc tree, "/proc" as a rule. It is a value, so tests
// point it at a recorded tree. Its methods hold no state and are safe for
// concurrent use.
type FS string

// Default is where proc(5) is mounted.
const Default FS = "/proc"

const (
	// tick is the unit of the times in /proc/PID/stat.
	tick = clock.ProcTick
	// UnknownUID is the UID of a process whose owner was not asked for. No
	// user has it: the kernel reserves (uid_t)-1.
	UnknownUID = ^uint32(0)
)

// Process is one process as /proc shows it. It holds no pointers, so a slice
// of many costs the garbage collector nothing.
type Process struct {
	// PID is the process id (tgid). PPID is the parent's at this moment: an
	// orphan shows its reaper. Group and Session are job control's.
	PID, PPID, Group, Session int32
	// Threads counts the threads, an exited leader included.
	Threads int32
	// State is the main thread's state letter of proc(5): R, S, D, T, Z, …
	State byte
	// Exiting tells that the main thread is on its way out (PF_EXITING of
	// include/linux/sched.h): for a process with no other thread, its accounting
	// record may be written already, though it is no zombie yet.
	Exiting bool
	// Start is when the process began, of grain [clock.Tick]. Exec does not
	// change it.
	Start clock.Start
	// UID is the real user id, or [UnknownUID] in a snapshot.
	UID uint32
	// GID is the real group id; zero in a snapshot.
	GID uint32
	// Comm is the command name, NUL padded, at most 15 bytes. Programs set it
	// to what they like: it may hold parentheses, spaces and newlines.
	Comm [16]byte
	// MinorFaults and MajorFaults are of all threads, dead ones included, and
	// not of child processes.
	MinorFaults, MajorFaults uint64
	// User and System are the CPU time of all threads, dead ones included, by
	// the kernel's split, in whole ticks of 10 ms. [Sampler] knows it better.
	User, System time.Duration
}

// Command returns the command name without its padding.
func (p *Process) Command() string {
	if i := bytes.IndexByte(p.Comm[:], 0); i >= 0 {
		return string(p.Comm[:i])
	}
	return string(p.Comm[:])
}

// Dead reports whether the process has ended and only waits to be reaped. A
// main thread that has exited while others run makes no process dead.
func (p *Process) Dead() bool {
	return p.State == 'X' || p.State == 'Z' && p.Threads <= 1
}
