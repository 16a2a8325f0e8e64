// SPDX-License-Identifier: Apache-2.0

// Package taskrelease measures a process by a BPF program at the tracepoint
// sched_process_free, where the kernel lets go of a task for good. What the
// scheduler counted is final there, in nanoseconds, so its records are exact.
package taskrelease

import (
	"encoding/binary"
	"time"

	"elsa/internal/cputime"
	"elsa/internal/freelist"
	"elsa/pkg/acct"
)

// The program at sched_process_free writes one of two samples for each task
// that is freed, in the machine's byte order, told apart by their size, which no other
// sample in the ring has: a short one for a thread that
// did not lead its process, a long one that begins alike for a leader. These
// are the offsets in them. Fields of eight bytes are counts or nanoseconds.
const (
	sampleKey        = 0  // u64 the address of the signal_struct: one per process
	sampleTGID       = 8  // u32
	sampleTasks      = 12 // u32 signal->sigcnt: the process's tasks not gone yet, this one included
	sampleRuntime    = 16 // u64 task->se.sum_exec_runtime, final by now
	sampleRchar      = 24 // u64 task->ioac.rchar
	sampleWchar      = 32 // u64 task->ioac.wchar
	sampleReadBytes  = 40 // u64 task->ioac.read_bytes
	sampleWriteBytes = 48 // u64 task->ioac.write_bytes
	sampleDelay      = 56 // u64 task->sched_info.run_delay
	threadSample     = 64

	sampleFolded    = 64  // u64 signal->sum_sched_runtime
	sampleUtime     = 72  // u64 signal->utime
	sampleStime     = 80  // u64 signal->stime
	sampleStart     = 88  // u64 task->start_boottime
	sampleMinFlt    = 96  // u64 signal->min_flt
	sampleMajFlt    = 104 // u64 signal->maj_flt
	sampleNvcsw     = 112 // u64 signal->nvcsw
	sampleNivcsw    = 120 // u64 signal->nivcsw
	sampleMaxRSS    = 128 // u64 signal->maxrss, in pages
	sampleComm      = 136 // char[16] task->comm
	sampleExit      = 152 // u32 task->exit_code
	sampleGroupExit = 156 // u32 signal->group_exit_code
	sampleSigFlags  = 160 // u32 signal->flags
	sampleAcctFlag  = 164 // u32 signal->pacct.ac_flag
	sampleUID       = 168 // u32 task->real_cred->uid
	sampleGID       = 172 // u32 task->real_cred->gid
	leaderSample    = 176
)

// signalGroupExit is SIGNAL_GROUP_EXIT of include/linux/sched/signal.h: the
// whole process was told to exit, with one code.
const signalGroupExit = 0x4

// decodeUse reads the part that both samples have: what one task used of the
// things that are added up here. What the kernel adds up in signal_struct is
// something else: its runtime is not final, see sampleJoin, and its I/O includes
// that of children waited for.
func decodeUse(r *acct.Record, b []byte) {
	ne := binary.NativeEndian
	r.PID = int32(ne.Uint32(b[sampleTGID:]))
	r.CPU = time.Duration(ne.Uint64(b[sampleRuntime:]))
	r.ReadChars = ne.Uint64(b[sampleRchar:])
	r.WriteChars = ne.Uint64(b[sampleWchar:])
	r.ReadBytes = ne.Uint64(b[sampleReadBytes:])
	r.WriteBytes = ne.Uint64(b[sampleWriteBytes:])
	r.CPUDelay = time.Duration(ne.Uint64(b[sampleDelay:]))
}

// addUse adds what decodeUse read of another task of the process.
func addUse(r, v *acct.Record) {
	r.CPU += v.CPU
	r.ReadChars += v.ReadChars
	r.WriteChars += v.WriteChars
	r.ReadBytes += v.ReadBytes
	r.WriteBytes += v.WriteBytes
	r.CPUDelay += v.CPUDelay
}

// decodeLeader reads what only a leader's sample has. pageSize is the kernel's.
func decodeLeader(r *acct.Record, b []byte, pageSize uint64) {
	ne := binary.NativeEndian
	r.Source = acct.Exact
	r.Whole = true
	r.Flags = uint8(ne.Uint32(b[sampleAcctFlag:]))
	r.UID = ne.Uint32(b[sampleUID:])
	r.GID = ne.Uint32(b[sampleGID:])
	copy(r.Comm[:], b[sampleComm:sampleComm+len(r.Comm)])
	r.Start = int64(ne.Uint64(b[sampleStart:]))
	r.MinorFaults = ne.Uint64(b[sampleMinFlt:])
	r.MajorFaults = ne.Uint64(b[sampleMajFlt:])
	r.MaxRSS = ne.Uint64(b[sampleMaxRSS:]) * pageSize
	r.VoluntarySwitches = ne.Uint64(b[sampleNvcsw:])
	r.InvoluntarySwitches = ne.Uint64(b[sampleNivcsw:])
	// As wait(2) has it: wait_task_zombie() of kernel/exit.c.
	r.ExitCode = ne.Uint32(b[sampleExit:])
	if ne.Uint32(b[sampleSigFlags:])&signalGroupExit != 0 {
		r.ExitCode = ne.Uint32(b[sampleGroupExit:])
	}
}

// finish sets the times, from the leader's sample b and the sum of the runtimes
// that were in the samples, r.CPU.
func finish(r *acct.Record, b []byte) {
	ne := binary.NativeEndian
	r.CPU = max(r.CPU, time.Duration(ne.Uint64(b[sampleFolded:])))
	r.User, r.System = cputime.Split(r.CPU, time.Duration(ne.Uint64(b[sampleUtime:])), time.Duration(ne.Uint64(b[sampleStime:])))
}

// sampleJoin makes one record of the samples of one process.
//
// signal->sum_sched_runtime alone is not the whole: a task's runtime is folded
// into it when the task is released, which for a thread, and for a child that
// nobody waits for, is before its last moments on the CPU, and without the time
// since the last tick. The runtime in the samples is final. So a process used
// the sum of its tasks' samples; what was folded is a lower bound of it, and
// takes its place when samples were lost.
//
// Samples of a process come in any order. A leader is held back until the
// samples of all tasks that the kernel still counted have come, or its time is
// over.
type sampleJoin struct {
	pageSize uint64
	hold     time.Duration
	held     map[uint64]*heldLeader
	// threads holds what the dead threads of living processes used. When it
	// is full it becomes old, and the old one is forgotten.
	threads, old map[uint64]*acct.Record
	limit        int
	spareHeld    freelist.List[heldLeader]
	spareUse     freelist.List[acct.Record]
	// incomplete counts the processes of which samples of threads did not
	// come in time, or were forgotten.
	incomplete uint64
}

type heldLeader struct {
	at       uint64 // where the sample began in the ring
	rec      acct.Record
	sample   [leaderSample]byte
	missing  uint32 // tasks whose samples may still come
	deadline int64
}

func newSampleJoin(pageSize int, hold time.Duration) *sampleJoin {
	return &sampleJoin{
		pageSize: uint64(pageSize),
		hold:     hold,
		limit:    1 << 13,
		held:     make(map[uint64]*heldLeader),
		threads:  make(map[uint64]*acct.Record),
		old:      make(map[uint64]*acct.Record),
	}
}

// add takes one sample, which began at a position in the ring, and appends the
// records that it completes to out. now is any monotonic clock in nanoseconds. ok is
// false when b is no sample.
func (j *sampleJoin) add(out []acct.Record, b []byte, at uint64, now int64) (records []acct.Record, ok bool) {
	switch len(b) {
	case threadSample:
		return j.thread(out, b), true
	case leaderSample:
		return j.leader(out, b, at, now), true
	}
	return out, false
}

func (j *sampleJoin) thread(out []acct.Record, b []byte) []acct.Record {
	key := binary.NativeEndian.Uint64(b[sampleKey:])
	var use acct.Record
	decodeUse(&use, b)
	if h, ok := j.held[key]; ok && h.rec.PID == use.PID {
		addUse(&h.rec, &use)
		if h.missing--; h.missing == 0 {
			out = j.deliver(out, key, h)
		}
		return out
	}
	if dead := j.threads[key]; dead != nil && dead.PID == use.PID {
		addUse(dead, &use)
		return out
	}
	j.takeThreads(&use, key)
	if len(j.threads) >= j.limit {
		j.incomplete += uint64(len(j.old))
		j.threads, j.old = j.old, j.threads
		clear(j.threads)
	}
	dead := j.spareUse.Get()
	*dead = use
	j.threads[key] = dead
	return out
}

func (j *sampleJoin) leader(out []acct.Record, b []byte, at uint64, now int64) []acct.Record {
	key := binary.NativeEndian.Uint64(b[sampleKey:])
	if h, ok := j.held[key]; ok { // the address is in use again: nothing more will come
		j.incomplete++
		out = j.deliver(out, key, h)
	}
	out = append(out, acct.Record{})
	r := &out[len(out)-1]
	decodeUse(r, b)
	decodeLeader(r, b, j.pageSize)
	j.takeThreads(r, key)
	tasks := binary.NativeEndian.Uint32(b[sampleTasks:])
	if tasks <= 1 { // nearly always
		finish(r, b)
		return out
	}
	h := j.spareHeld.Get()
	h.at, h.rec, h.missing, h.deadline = at, *r, tasks-1, now+int64(j.hold)
	copy(h.sample[:], b)
	j.held[key] = h
	return out[:len(out)-1]
}

// takeThreads adds to r what the process's dead threads used so far, and
// forgets it. The sum of another process, which had the same address, it only
// forgets.
func (j *sampleJoin) takeThreads(r *acct.Record, key uint64) {
	for _, m := range [...]map[uint64]*acct.Record{j.threads, j.old} {
		dead := m[key]
		if dead == nil {
			continue
		}
		if dead.PID == r.PID {
			addUse(r, dead)
		} else {
			j.incomplete++
		}
		delete(m, key)
		j.spareUse.Put(dead)
	}
}

// expire appends the records that have been held for too long.
func (j *sampleJoin) expire(out []acct.Record, now int64) []acct.Record {
	for key, h := range j.held {
		if now >= h.deadline {
			j.incomplete++
			out = j.deliver(out, key, h)
		}
	}
	return out
}

// oldest is where the first of the samples began that are held back.
func (j *sampleJoin) oldest() (at uint64, some bool) {
	for _, h := range j.held {
		if !some || h.at < at {
			at, some = h.at, true
		}
	}
	return at, some
}

func (j *sampleJoin) deliver(out []acct.Record, key uint64, h *heldLeader) []acct.Record {
	finish(&h.rec, h.sample[:])
	delete(j.held, key)
	j.spareHeld.Put(h)
	return append(out, h.rec)
}
