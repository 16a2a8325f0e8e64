// SPDX-License-Identifier: Apache-2.0

// Package cnfork receives the kernel's word of each fork, exec and exit over
// the netlink connector. It speaks two dialects: mainline's process connector
// (drivers/connector/cn_proc.c), and the fork connector, a text message per
// fork that a patched kernel sends. A third, by BPF, is that of package
// [elsa/pkg/taskevent], with the same [Event].
//
// [Dial] subscribes and proves that events arrive. The [Conn] it returns is a
// [elsa/pkg/stream.Source] of [Event]; what the kernel could not deliver is
// counted and comes with the batches as Lost.
package cnfork

import "elsa/pkg/clock"

// Kind says what happened.
type Kind uint8

const (
	// Other is an event of a kind this package does not know.
	Other Kind = iota
	// Fork: a process or thread was made. It comes before any event of the
	// new task itself, and before the task first runs.
	Fork
	// Exec: the process runs another program. All its other threads are gone.
	Exec
	// Exit: a thread has ended. It is not the end of the process while other
	// threads live, also if it is the thread whose id is the process id.
	Exit
	// UID and GID: real and effective id changed.
	UID
	GID
	// SID: the process became the leader of a new session.
	SID
	// Comm: the thread changed its name.
	Comm
	// Coredump: the thread began to dump core.
	Coredump
	// Ack: the kernel's answer to a LISTEN, ours or another listener's.
	Ack

	// Kinds is the number of kinds.
	Kinds
)

var kindNames = [Kinds]string{
	Other: "other", Fork: "fork", Exec: "exec", Exit: "exit", UID: "uid", GID: "gid",
	SID: "sid", Comm: "comm", Coredump: "coredump", Ack: "ack",
}

// String returns the name used in metrics and in status.
func (k Kind) String() string {
	if k < Kinds {
		return kindNames[k]
	}
	return "unknown"
}

// Event is one event of any dialect. Ids are those of the initial pid and
// user namespace. Fields that the kind or the dialect does not carry are zero.
// It holds no pointers.
type Event struct {
	Kind Kind
	// PID is the thread id of the task the event is about, the new one for
	// Fork, and TGID its process id: they are equal for a process and its
	// first thread, and differ for every other thread. The fork connector does
	// not tell processes from threads and leaves TGID zero.
	PID, TGID int32
	// ParentPID and ParentTGID are the thread and process id of the parent:
	// for Fork from the process connector the new task's real_parent, which
	// is not the task that forked if CLONE_PARENT was given, or for a thread;
	// from the fork connector ParentPID is the task that forked, by thread id,
	// and ParentTGID zero. Exit has them only for first threads, not if the
	// parent has already reaped the child, and, as Coredump, only since Linux
	// 4.18. BPF: for Fork both are the process id of the new task's real_parent.
	ParentPID, ParentTGID int32
	// Forker is the process id of the task that forked. BPF and Fork only.
	Forker int32
	// ExitCode is the status as wait(2) reports it: code<<8 | signal. For Ack
	// it is the error number, or zero.
	ExitCode uint32
	// ExitSignal is the signal the parent gets at Exit, -1 for a thread.
	ExitSignal int32
	// RealID and EffectiveID are the new user ids for UID, group ids for GID.
	RealID, EffectiveID uint32
	// CPU is where the event happened. The process connector only.
	CPU uint32
	// Seq numbers the events: per CPU in the process connector, over all in
	// the fork connector. It wraps.
	Seq uint32
	// Time is when. The process connector only.
	Time clock.Mono

	// What follows comes by BPF only.

	// Start is when the process began, to the nanosecond: with TGID it is one
	// process of this boot, whatever pid is used again. An Exit that has it is
	// that of the process's last thread.
	Start clock.Boot
	// ForkerStart is the same of Forker.
	ForkerStart clock.Boot
	// End is when the process ended, of Exit.
	End clock.Boot
	// Peak is the most memory that was resident at once of the program that the process
	// executed last, in bytes: of Exit, and zero when it is not known.
	Peak uint64
	// Of Exec: real user and group id, command name (NUL padded), and the id of
	// the control group in the unified hierarchy (the inode of its directory).
	UID, GID uint32
	Comm     [16]byte
	Cgroup   uint64
}

// Thread reports whether e is about a thread other than its process's first.
// It is always false for the fork connector, which does not say.
func (e *Event) Thread() bool { return e.TGID != 0 && e.PID != e.TGID }
