// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"

	"elsa/pkg/clock"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
)

// Lose says that events were lost.
func (e *Engine) Lose() {
	e.loss.pending, e.loss.ever = true, true
	e.tracker.Lost()
}

// Applied says that every event that the kernel had queued before a time is
// applied.
func (e *Engine) Applied(asOf clock.Boot) {
	e.loss.asOf = asOf
	if !e.loss.pending && e.loss.gaps == 0 {
		e.loss.trusted = asOf
	}
}

// Doubtless reports whether all processes are known without a gap.
func (e *Engine) Doubtless() bool { return !e.loss.pending && e.loss.gaps == 0 }

// Trusted is the last time up to which every process was known,
// zero before the first.
func (e *Engine) Trusted() clock.Boot { return e.loss.trusted }

// wentOn reports whether events go on where the last run left them, at any moment, and
// none was lost since: a process that is not known and began before this run was in no
// group then. Those are not stored.
func (e *Engine) wentOn() bool { return e.options.Resumed && e.options.WholeExits && !e.loss.ever }

// scan makes the tracker agree with /proc; see groups.Tracker.Resync for since.
func (e *Engine) scan(since clock.Boot) error {
	var err error
	e.loss.newSince = since
	e.loss.procs, err = e.options.World.Processes(e.loss.procs[:0])
	if err != nil {
		return fmt.Errorf("scan processes: %w", err)
	}
	seen := make([]groups.Scanned, 0, len(e.loss.procs))
	for i := range e.loss.procs {
		if p := &e.loss.procs[i]; !e.accounted(p) {
			seen = append(seen, scanned(p))
			e.lineage.HasChild(p.PPID)
		}
	}
	e.tracker.Resync(seen, since, e.now.Boot, e.lookAgain)
	if e.options.NoExits {
		for i := range e.loss.procs {
			if e.loss.procs[i].Threads > 1 {
				e.addThreads(e.loss.procs[i].PID)
			}
		}
	}
	return nil
}

// accounted tells whether a process found in /proc is dead or dying, and not known.
// Its line is written, since the kernel tells of the exit some time after: it was
// read, and the death is on a bill, or it will be. A parent that does not wait shows
// it again at every scan.
func (e *Engine) accounted(p *proc.Process) bool {
	if !p.Dead() && !(p.Exiting && p.Threads <= 1) {
		return false
	}
	l, known := e.tracker.Lookup(p.PID)
	return !known || !p.Start.Same(l.Start)
}

// addThreads tells the tracker the threads of a process, for a source that
// names the thread that forks.
func (e *Engine) addThreads(pid int32) {
	tids, err := e.options.World.Threads(pid)
	if err != nil {
		return // it is gone
	}
	for _, tid := range tids {
		e.tracker.AddThread(tid, pid)
	}
}

// Classify finds out which of the tasks that the fork connector has named are
// processes, and with threads, which threads are gone.
func (e *Engine) Classify(threads bool, now Now) {
	e.now = now
	if e.options.NoExits {
		e.tracker.Classify(threads, e.look)
	}
}

// look says what a task is now, and when a process started.
func (e *Engine) look(k groups.Key) (groups.Kind, clock.Start) {
	p, err := e.options.World.Process(k.PID)
	switch {
	case err == nil:
		return groups.Process, p.Start
	case e.options.World.IsThread(k.PID): // also where a busy machine was late with it
		return groups.ThreadOf, 0
	case errors.Is(err, proc.ErrBusy):
		return groups.Process, k.Start // a thread executes nothing for long
	}
	return groups.Gone, 0
}

func scanned(p *proc.Process) groups.Scanned {
	return groups.Scanned{
		PID: p.PID, PPID: p.PPID, Start: p.Start, Threads: p.Threads,
		Zombie: p.Dead(), Headless: p.State == 'Z' && !p.Dead(), Ending: p.Exiting,
	}
}

// alive is the second proof that a process lives, beside its absence from a
// listing or a count of its threads. One that is busy is not dead.
func (e *Engine) alive(k groups.Key) bool {
	_, alive := e.lookAgain(k)
	return alive
}

// lookAgain looks at one process. One that is busy lives, and has no threads that are
// known.
func (e *Engine) lookAgain(k groups.Key) (groups.Scanned, bool) {
	p, err := e.options.World.Process(k.PID)
	if errors.Is(err, proc.ErrBusy) {
		return groups.Scanned{PID: k.PID, Start: k.Start}, true
	}
	return scanned(&p), err == nil && p.Start.Same(k.Start) && !p.Dead()
}
