// SPDX-License-Identifier: Apache-2.0

// Package acct has the kernel's account of a process's death as one [Record] in
// SI units, whatever source it came from, and reads and writes the oldest form
// of it: the line of the BSD accounting file, struct acct and struct acct_v3 of
// include/uapi/linux/acct.h.
//
// The sources are packages of their own: elsa/pkg/ledger reads the accounting
// file, elsa/pkg/taskstats listens to the taskstats family of generic netlink,
// and elsa/pkg/taskrelease has a BPF program at the release of a task. This
// package depends on the standard library alone.
package acct

import "time"

// Source says which kernel interface a record came from.
type Source uint8

const (
	// BSD is a line of the accounting file, acct(5). Times are multiples of
	// the tick (10 ms), truncated.
	BSD Source = iota + 1
	// Taskstats is an exit message of the TASKSTATS generic netlink family.
	// Times are microseconds, sampled by the scheduler tick.
	Taskstats
	// Exact is a record made at sched_process_free: the runtime the scheduler
	// measured, final, in nanoseconds.
	Exact
)

// String returns the name used in metrics and in status.
func (s Source) String() string {
	switch s {
	case BSD:
		return "bsd"
	case Taskstats:
		return "taskstats"
	case Exact:
		return "exact"
	}
	return "unknown"
}

// Record is one dead process as one source describes it. Fields a source does
// not carry are zero. It holds no pointers, so slices of it cost the garbage
// collector nothing.
type Record struct {
	Source Source
	// Flags are the ac_flag bits of <linux/acct.h> (AFORK, ASU, ACORE, AXSIG,
	// AGROUP). They are hints: ExitCode decides. See the Flag constants.
	Flags uint8
	// Whole tells that the record covers the whole process: always true for
	// BSD and Exact; for Taskstats true on the record that completed its
	// thread group (AGROUP) after the source summed the threads.
	Whole bool

	// PID is the process id (tgid) and PPID that of its parent at death, both
	// as seen in the initial pid namespace.
	PID, PPID int32
	UID, GID  uint32
	// ExitCode is the status as wait(2) reports it: code<<8 | signal.
	ExitCode uint32
	// Comm is the command name, NUL padded.
	Comm [16]byte

	// Start is when the process began, in nanoseconds of CLOCK_BOOTTIME.
	// Zero when the source does not know it (BSD, old taskstats).
	Start int64
	// Begin is when the process began by the wall clock, in seconds since the
	// epoch, as the kernel computed it at death (ac_btime): one second off at
	// times, and it follows clock steps. Zero when unknown.
	Begin int64
	// Elapsed is the process's life time by CLOCK_MONOTONIC: without the time that
	// the machine was suspended. Never negative.
	Elapsed time.Duration

	// User and System are CPU time by the kernel's split. CPU is the total:
	// for Exact the measured runtime, for the others User+System.
	User, System, CPU time.Duration
	// Runtime is taskstats' cpu_run_virtual_total: in nanoseconds and never
	// too high, but lacking the last slice on an unpatched kernel.
	Runtime time.Duration

	MinorFaults, MajorFaults uint64
	// ReadBytes and WriteBytes went to or came from storage; ReadChars and
	// WriteChars passed through read(2) and write(2). In bytes.
	ReadBytes, WriteBytes, ReadChars, WriteChars uint64
	// ReadCalls and WriteCalls count the read and write system calls.
	ReadCalls, WriteCalls uint64
	// MaxRSS is the resident set's high-water mark in bytes.
	MaxRSS uint64
	// ImageRSS is that of the program executed last. Taskstats only.
	ImageRSS uint64
	// VoluntarySwitches and InvoluntarySwitches are context switches.
	VoluntarySwitches, InvoluntarySwitches uint64

	// MaxVM is the address space's high-water mark in bytes. RSSTime and
	// VMTime are memory in use times the CPU time it was in use for, in
	// byte-seconds. Taskstats only.
	MaxVM           uint64
	RSSTime, VMTime float64
	// CPUDelay was spent waiting for a CPU; BlockDelay for block I/O,
	// SwapDelay for swap-in and ReclaimDelay for memory reclaim, which the
	// kernel measures only with kernel.task_delayacct=1. Taskstats only.
	CPUDelay, BlockDelay, SwapDelay, ReclaimDelay time.Duration
}

// The ac_flag bits of include/uapi/linux/acct.h.
const (
	FlagFork  = 0x01 // forked, never executed
	FlagSU    = 0x02 // used super-user privileges
	FlagCore  = 0x08 // dumped core
	FlagSig   = 0x10 // killed by a signal
	FlagGroup = 0x20 // last task of its thread group (taskstats only)
)

// Command returns the command name without its padding.
func (r *Record) Command() string {
	for i, c := range r.Comm {
		if c == 0 {
			return string(r.Comm[:i])
		}
	}
	return string(r.Comm[:])
}
