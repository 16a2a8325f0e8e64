// SPDX-License-Identifier: Apache-2.0

package taskstats

import (
	"time"

	"elsa/internal/freelist"
	"elsa/pkg/acct"
)

// threadJoin makes one record of the messages about one process's threads. The
// kernel sends one when each thread ends and marks the last, so a process is
// complete when that comes; until then the sum of the others is kept here.
type threadJoin struct {
	// open holds the processes of which a thread has ended and others live.
	open  map[int32]*openProcess
	spare freelist.List[openProcess]
	limit int
	// losses counts the times that messages were lost. A process that was
	// open then may have ended unseen, and its id may be another's by now.
	losses uint32
	// recent holds the processes of several threads that ended last. The
	// kernel knows which thread is the last before it sends, so at times the
	// message of another one comes behind.
	recent [64]endedProcess
	next   int
}

type endedProcess struct {
	tgid  int32
	begin int64
}

type openProcess struct {
	sum    acct.Record
	begin  int64  // when the process began, in seconds since the epoch
	losses uint32 // as of its last message
	exit   uint32 // the leader's exit code, once that has ended
}

func newThreadJoin() *threadJoin {
	return &threadJoin{open: make(map[int32]*openProcess), limit: 1 << 16}
}

// lost tells that messages were lost before the next add.
func (j *threadJoin) lost() { j.losses++ }

// add appends to out the record that x completes, if any, and what belongs to
// no such record: sums that turn out never to become complete, and threads that
// come too late. Those have Whole false.
func (j *threadJoin) add(out []acct.Record, x *threadExit) []acct.Record {
	if x.version < 12 {
		// The process is not known, nor whether other threads live.
		x.rec.Runtime = max(x.rec.Runtime, x.groupRuntime)
		return append(out, x.rec)
	}
	last := x.rec.Flags&acct.FlagGroup != 0
	begin := x.processBegin()
	o := j.open[x.tgid]
	if o != nil && o.losses != j.losses && o.begin != 0 && begin != 0 && abs(o.begin-begin) > 2 {
		// The seconds are rounded, and follow the wall clock: a step of it
		// while a process is open looks like another process. So ask only
		// where a loss makes that possible.
		out = j.give(out, x.tgid)
		o = nil
	}
	if last && (o != nil || x.groupRuntime > 0) {
		j.recent[j.next] = endedProcess{x.tgid, begin}
		j.next = (j.next + 1) % len(j.recent)
	}
	if o == nil && last { // nearly always
		return append(out, x.whole())
	}
	if o == nil && j.late(x.tgid, begin) {
		return append(out, x.rec)
	}
	if o == nil {
		if len(j.open) >= j.limit {
			out = j.makeRoom(out)
		}
		o = j.spare.Get()
		*o = openProcess{sum: acct.Record{Comm: x.rec.Comm}}
		j.open[x.tgid] = o
	}
	leader := x.tid == x.tgid // or who took its place by exec
	if leader {
		o.exit = x.rec.ExitCode
	} else {
		x.rec.Comm = o.sum.Comm
	}
	x.add(&o.sum)
	o.sum, o.begin, o.losses = x.rec, begin, j.losses
	if !last {
		return out
	}
	// As wait(2) has it. Threads that end together have one code, which is the
	// process's; else it is the leader's. Here that cannot be told from a
	// leader that ended by itself with another code than 0.
	if !leader && x.rec.ExitCode == 0 {
		x.rec.ExitCode = o.exit
	}
	j.close(x.tgid)
	return append(out, x.whole())
}

// late tells whether the process has ended already.
func (j *threadJoin) late(tgid int32, begin int64) bool {
	for _, e := range j.recent {
		if e.tgid == tgid && abs(e.begin-begin) <= 2 {
			return true
		}
	}
	return false
}

// give delivers a sum that will not be complete.
func (j *threadJoin) give(out []acct.Record, tgid int32) []acct.Record {
	out = append(out, j.open[tgid].sum)
	j.close(tgid)
	return out
}

func (j *threadJoin) close(tgid int32) {
	j.spare.Put(j.open[tgid])
	delete(j.open, tgid)
}

// makeRoom gives the processes that may have ended unseen and, if those are few,
// others until a quarter of the room is free: a look through all is dear.
func (j *threadJoin) makeRoom(out []acct.Record) []acct.Record {
	for tgid, o := range j.open {
		if o.losses != j.losses {
			out = j.give(out, tgid)
		}
	}
	for tgid := range j.open {
		if len(j.open) <= j.limit*3/4 {
			break
		}
		out = j.give(out, tgid)
	}
	return out
}

// whole makes x, into which the other threads have been added, the record of
// the process.
func (x *threadExit) whole() acct.Record {
	x.rec.Whole = true
	x.rec.Begin = x.processBegin()
	x.rec.Elapsed = x.processElapsed
	x.rec.Runtime = max(x.rec.Runtime, x.groupRuntime)
	return x.rec
}

// processBegin returns when the process began, in seconds since the epoch. The
// kernel says when the thread did: now less its life time, which both are cut
// to seconds. For the last thread it is what the accounting file has.
func (x *threadExit) processBegin() int64 {
	if x.rec.Begin == 0 {
		return 0 // not known
	}
	now := x.rec.Begin + int64(x.rec.Elapsed/time.Second)
	return now - int64(x.processElapsed/time.Second)
}

// add adds the sum of the process's earlier threads to x.
func (x *threadExit) add(sum *acct.Record) {
	r := &x.rec
	r.Flags |= sum.Flags
	r.User += sum.User
	r.System += sum.System
	r.CPU += sum.CPU
	r.Runtime += sum.Runtime
	r.MinorFaults += sum.MinorFaults
	r.MajorFaults += sum.MajorFaults
	r.ReadBytes += sum.ReadBytes
	r.WriteBytes += sum.WriteBytes
	r.ReadChars += sum.ReadChars
	r.WriteChars += sum.WriteChars
	r.ReadCalls += sum.ReadCalls
	r.WriteCalls += sum.WriteCalls
	r.MaxRSS = max(r.MaxRSS, sum.MaxRSS)
	r.VoluntarySwitches += sum.VoluntarySwitches
	r.InvoluntarySwitches += sum.InvoluntarySwitches
	r.MaxVM = max(r.MaxVM, sum.MaxVM)
	r.RSSTime += sum.RSSTime
	r.VMTime += sum.VMTime
	r.CPUDelay += sum.CPUDelay
	r.BlockDelay += sum.BlockDelay
	r.SwapDelay += sum.SwapDelay
	r.ReclaimDelay += sum.ReclaimDelay
}

func abs(n int64) int64 { return max(n, -n) }
