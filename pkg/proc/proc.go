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
)

// FS is the root of a proc tree, "/proc" as a rule. It is a value, so tests
// point it at a recorded tree. Its methods hold no state and are safe for
// concurrent use.
type FS string

// Default is where proc(5) is mounted.
const Default FS = "/proc"

const (
	// StartUnit is the resolution of [Process.Start]. The kernel prints start
	// times in ticks of USER_HZ, which is 100 on every Linux ABI, rounded down;
	// compare them by [SameStart].
	StartUnit = 10 * time.Millisecond
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
	// Start is when the process began, in nanoseconds of CLOCK_BOOTTIME
	// rounded down to [StartUnit]. Exec does not change it.
	Start int64
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

// SameStart reports whether a process that /proc shows to have started at shown
// can be the one that is known to have started at known, both in nanoseconds of
// CLOCK_BOOTTIME. known is what /proc showed, or the time stamp of its fork event,
// which comes after the start: copy_process takes the start time, goes on
// copying, and may be preempted before it sends the event. So what /proc shows to
// have started later than that is another process with the same pid.
func SameStart(shown, known int64) bool {
	const (
		clocks  = time.Millisecond // the stamp is of another clock
		copying = 50 * time.Millisecond
	)
	late := time.Duration(known - shown)
	return -clocks <= late && late < StartUnit+copying
}
