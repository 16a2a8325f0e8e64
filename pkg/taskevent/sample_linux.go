// SPDX-License-Identifier: Apache-2.0

// Package taskevent receives the kernel's word of each fork, exec and end of a
// process by BPF programs at the scheduler's tracepoints. They speak of processes,
// not of threads, and name each by pid and start: what the netlink connector of
// package cnfork leaves to be looked up in /proc, when it may be gone, is told here
// at that very moment.
package taskevent

import (
	"encoding/binary"
	"os"

	"elsa/pkg/clock"
	"elsa/pkg/cnfork"
	"elsa/pkg/tracepoint"
)

// The programs write one of three samples, in the machine's byte order. Each begins
// with its kind, the process id and the start. These are the offsets.
// No other sample in the ring has one of these sizes.
const (
	sampleKind  = 0 // u32
	sampleTGID  = 4 // u32 of the child for a fork
	sampleStart = 8 // u64 group_leader->start_boottime, ns of CLOCK_BOOTTIME

	sampleForker      = 16 // u32 tgid of the task that forks
	sampleParent      = 20 // u32 child->real_parent->tgid
	sampleForkerStart = 24 // u64
	forkSample        = 32

	sampleUID    = 16 // u32 real_cred->uid
	sampleGID    = 20 // u32 real_cred->gid
	sampleCgroup = 24 // u64 bpf_get_current_cgroup_id
	sampleComm   = 32 // 16 bytes
	execSample   = 48

	sampleEnd  = 16 // u64 ns of CLOCK_BOOTTIME
	samplePeak = 24 // u64 pages: the most that was resident; 0 when unknown
	exitSample = 32
)

// The kinds of samples.
const (
	kindFork = 1 + iota
	kindExec
	kindExit
)

// Decoder makes events of samples. It is a [elsa/pkg/tracepoint.Decoder].
//
// There is an event for each process that is forked, executes a program, or
// ends with its last thread; threads have none. Events are in the order in which they
// happened to a process: its fork is before all else, and before its parent learns of
// it; its end is before the next fork of its pid. The end is told when the process
// begins to end: from Linux 6.16 on its memory is freed, its accounting record written
// and its zombie made only after that, which takes 75 ms for each GiB.
//
// There are guest kernels that run no BPF program on top of process 1; what that
// forks is not told there, and not counted as lost.
type Decoder struct{}

// Kind implements [elsa/pkg/tracepoint.Decoder].
func (*Decoder) Kind() tracepoint.Kind { return tracepoint.Event }

// Add implements [elsa/pkg/tracepoint.Decoder].
func (*Decoder) Add(events []cnfork.Event, sample []byte, _ uint64) ([]cnfork.Event, bool) {
	events = append(events, cnfork.Event{})
	if !decode(sample, &events[len(events)-1]) {
		return events[:len(events)-1], false
	}
	return events, true
}

// Expire implements [elsa/pkg/tracepoint.Decoder]: nothing waits.
func (*Decoder) Expire(events []cnfork.Event) []cnfork.Event { return events }

// Holding implements [elsa/pkg/tracepoint.Decoder]: nothing is held back.
func (*Decoder) Holding() (uint64, bool) { return 0, false }

// pageSize is the kernel's.
var pageSize = uint64(os.Getpagesize())

// decode makes an event of a sample. ok is false when it is none.
func decode(b []byte, e *cnfork.Event) (ok bool) {
	if len(b) < forkSample {
		return false
	}
	ne := binary.NativeEndian
	pid := int32(ne.Uint32(b[sampleTGID:]))
	*e = cnfork.Event{PID: pid, TGID: pid, Start: clock.Boot(ne.Uint64(b[sampleStart:]))}
	switch kind := ne.Uint32(b[sampleKind:]); {
	case kind == kindFork && len(b) == forkSample:
		parent := int32(ne.Uint32(b[sampleParent:]))
		e.Kind, e.ParentPID, e.ParentTGID = cnfork.Fork, parent, parent
		e.Forker, e.ForkerStart = int32(ne.Uint32(b[sampleForker:])), clock.Boot(ne.Uint64(b[sampleForkerStart:]))
	case kind == kindExec && len(b) == execSample:
		e.Kind, e.UID, e.GID = cnfork.Exec, ne.Uint32(b[sampleUID:]), ne.Uint32(b[sampleGID:])
		e.Cgroup = ne.Uint64(b[sampleCgroup:])
		copy(e.Comm[:], b[sampleComm:])
	case kind == kindExit && len(b) == exitSample:
		e.Kind, e.End, e.Peak = cnfork.Exit, clock.Boot(ne.Uint64(b[sampleEnd:])), ne.Uint64(b[samplePeak:])*pageSize
	default:
		return false
	}
	return true
}
