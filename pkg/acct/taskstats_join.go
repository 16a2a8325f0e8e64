// SPDX-License-Identifier: Apache-2.0

package acct

import "time"

// threadJoin makes one record of the messages about one process's threads. The
// kernel sends one when each thread ends and marks the last, so a process is
// complete when that comes; until then the sum of the others is kept here.
type threadJoin struct {
	// open holds the processes of which a thread has ended and others live.
	open  map[int32]openProcess
	limit int
	// losses counts the times that messages were lost. A process that was
	// open then may have ended unseen, and its id may be another's by now.
	losses uint32
	// partial counts the sums that were delivered without the last thread.
	partial uint64
}

type openProcess struct {
	sum    Record
	begin  int64  // when the process began, in seconds since the epoch
	losses uint32 // as of its last message
}

func newThreadJoin() *threadJoin {
	return &threadJoin{open: make(map[int32]openProcess), limit: 1 << 14}
}

// lost tells that messages were lost before the next add.
func (j *threadJoin) lost() { j.losses++ }

// add appends to out the record that x completes, if any, and sums that turn
// out never to become complete; those have Whole false.
func (j *threadJoin) add(out []Record, x *threadExit) []Record {
	if x.version < 12 {
		// The process is not known, nor whether other threads live.
		x.rec.Runtime = max(x.rec.Runtime, x.groupRuntime)
		return append(out, x.rec)
	}
	last := x.rec.Flags&FlagGroup != 0
	if last && len(j.open) == 0 { // nearly always
		return append(out, x.whole())
	}
	begin := x.processBegin()
	o, ok := j.open[x.tgid]
	if ok && o.losses != j.losses && abs(o.begin-begin) > 2 {
		// The seconds are rounded, and follow the wall clock: a step of it
		// while a process is open looks like another process. So ask only
		// where a loss makes that possible.
		out = j.give(out, x.tgid)
		ok = false
	}
	if ok {
		x.addTo(&o.sum)
	}
	if last {
		delete(j.open, x.tgid)
		return append(out, x.whole())
	}
	if !ok && len(j.open) >= j.limit {
		out = j.makeRoom(out)
	}
	j.open[x.tgid] = openProcess{x.rec, begin, j.losses}
	return out
}

// give delivers a sum that will not be complete.
func (j *threadJoin) give(out []Record, tgid int32) []Record {
	j.partial++
	out = append(out, j.open[tgid].sum)
	delete(j.open, tgid)
	return out
}

// makeRoom gives the processes that may have ended unseen, or else any one.
func (j *threadJoin) makeRoom(out []Record) []Record {
	var any int32
	for tgid, o := range j.open {
		any = tgid
		if o.losses != j.losses {
			out = j.give(out, tgid)
		}
	}
	if len(j.open) >= j.limit {
		out = j.give(out, any)
	}
	return out
}

// whole makes x, into which the other threads have been added, the record of
// the process.
func (x *threadExit) whole() Record {
	x.rec.Whole = true
	x.rec.Begin = min(x.rec.Begin, x.processBegin())
	x.rec.Elapsed = x.processElapsed
	x.rec.Runtime = max(x.rec.Runtime, x.groupRuntime)
	return x.rec
}

// processBegin returns when the process began, in seconds since the epoch,
// give or take one: the kernel says when the thread did.
func (x *threadExit) processBegin() int64 {
	return x.rec.Begin - int64((x.processElapsed-x.rec.Elapsed)/time.Second)
}

// addTo adds the sum of the process's earlier threads to x.
func (x *threadExit) addTo(sum *Record) {
	r := &x.rec
	if x.tid != x.tgid { // only the leader, or who took its place by exec, has these
		r.ExitCode = sum.ExitCode
		r.Comm = sum.Comm
	}
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
