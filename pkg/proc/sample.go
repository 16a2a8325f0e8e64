// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"time"

	"elsa/internal/cputime"
)

// Sample is what a live process has used so far: all its threads, dead ones
// included where the kernel says so, and never its child processes. Of all fields but
// UID, Comm, Dead and Denied the unit and the sum or peak are those of a bill.
type Sample struct {
	// User and System add up to CPU, which the scheduler measured in
	// nanoseconds. It may lack what each running thread ran since its last tick.
	User, System, CPU time.Duration

	// MinorFaults and MajorFaults are of all threads, dead ones included.
	MinorFaults, MajorFaults uint64
	// ReadBytes and WriteBytes went to or came from storage; ReadChars and
	// WriteChars passed through read(2) and write(2). In bytes, of all threads but
	// those that ended while children were waited for: see [Sampler.Sample].
	ReadBytes, WriteBytes, ReadChars, WriteChars uint64
	// MaxRSS is the resident set's high-water mark in bytes, the largest of
	// all programs the process was executing when sampled.
	MaxRSS uint64
	// VoluntarySwitches and InvoluntarySwitches are of the main thread.
	VoluntarySwitches, InvoluntarySwitches uint64

	// UID is the real user id and Comm the command name, NUL padded, as the last
	// detailed sample found them; Comm is empty before one.
	UID  uint32
	Comm [16]byte

	// Dead tells that the process has ended and waits to be reaped. CPU is then
	// final and exact, once the main thread has left the CPU: some milliseconds
	// after the process can be seen to be dead.
	Dead bool
	// Denied tells that this sample was to be detailed and lacks I/O for want of
	// permission: /proc/PID/task/TID/io needs CAP_SYS_PTRACE.
	Denied bool

	mixed mixedIO
}

// mixedIO is what the kernel held for a process at its last detailed sample, its own
// and that of the children it had waited for in one sum.
type mixedIO struct {
	known    bool
	children uint64 // see ofChildren
	io       ioCounts
}

// ioCounts are bytes: of storage, and through read(2) and write(2).
type ioCounts struct{ read, write, readChars, writeChars uint64 }

// setCPU raises s to the total cpu and splits what is new in the proportion of
// user to system, as far as neither falls. The tick that samples those two
// makes them add up to more or less than was really run; the kernel settles
// getrusage(2) in the same way (kernel/sched/cputime.c: cputime_adjust).
func (s *Sample) setCPU(cpu, user, system time.Duration) {
	if cpu <= s.CPU {
		return
	}
	share, _ := cputime.Split(cpu, user, system)
	s.User = min(max(share, s.User), cpu-s.System)
	s.System = cpu - s.User
	s.CPU = cpu
}

// Raise makes what s counts at least that of a later sample of the same process, from
// which samples go on.
func (s *Sample) Raise(later *Sample) {
	if later.CPU > s.CPU {
		s.setCPU(later.CPU, later.User, later.System)
	}
	raise(&s.MinorFaults, later.MinorFaults)
	raise(&s.MajorFaults, later.MajorFaults)
	s.raiseIO(ioCounts{later.ReadBytes, later.WriteBytes, later.ReadChars, later.WriteChars})
	raise(&s.MaxRSS, later.MaxRSS)
	raise(&s.VoluntarySwitches, later.VoluntarySwitches)
	raise(&s.InvoluntarySwitches, later.InvoluntarySwitches)
	if later.Comm[0] != 0 {
		s.UID, s.Comm = later.UID, later.Comm
	}
	s.Dead, s.Denied, s.mixed = later.Dead, later.Denied, later.mixed
}

// raise makes *p at least v.
func raise(p *uint64, v uint64) { *p = max(*p, v) }

// raiseIO makes the I/O at least c.
func (s *Sample) raiseIO(c ioCounts) {
	raise(&s.ReadBytes, c.read)
	raise(&s.WriteBytes, c.write)
	raise(&s.ReadChars, c.readChars)
	raise(&s.WriteChars, c.writeChars)
}

// addIO adds what was gained between two counts. A count that fell, as that of a
// kernel that takes cancelled writes back might, adds nothing.
func (s *Sample) addIO(from, to ioCounts) {
	s.ReadBytes += to.read - min(from.read, to.read)
	s.WriteBytes += to.write - min(from.write, to.write)
	s.ReadChars += to.readChars - min(from.readChars, to.readChars)
	s.WriteChars += to.writeChars - min(from.writeChars, to.writeChars)
}
