// SPDX-License-Identifier: Apache-2.0

// Package taskevent receives the kernel's word of each fork, exec and end of a
// process by BPF programs at the scheduler's tracepoints. They speak of processes,
// not of threads, and name each by pid and start: what the netlink connector of
// package cnfork leaves to be looked up in /proc, when it may be gone, is told here
// at that very moment.
package taskevent

import (
	"encoding/binary"

	"elsa/pkg/clock"
	"elsa/pkg/cnfork"
)

// The programs write one of three samples, in the machine's byte order. Each begins
// with its kind, the process id and the start. These are the offsets.
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

	sampleTime = 16 // u64 ns of CLOCK_MONOTONIC
	exitSample = 24
)

// The kinds of samples.
const (
	kindFork = 1 + iota
	kindExec
	kindExit
)

// decode makes an event of a sample. ok is false when it is none.
func decode(b []byte, e *cnfork.Event) (ok bool) {
	if len(b) < exitSample {
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
		e.Kind, e.Time = cnfork.Exit, clock.Mono(ne.Uint64(b[sampleTime:]))
	default:
		return false
	}
	return true
}
