// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"maps"

	"elsa/internal/tally"
	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
)

// Lines puts the next lines of the ledger on the bills. placing is what Backward
// found of all lines of the same stretch, or nil if there was nothing to find.
//
// The order of a round is the barrier rule: note where the ledger ends, take in
// all that the kernel has queued, then join the lines up to there. The exit path
// sends taskstats, then writes the line, then sends the exit event, and a fork is
// queued before the child runs: so each line finds its fork applied and its
// taskstats record at hand.
func (e *Engine) Lines(records []acct.Record, placing *Placing, now Now) {
	e.now = now
	for i := range records {
		e.line(&records[i], placing)
	}
}

func (e *Engine) line(r *acct.Record, placing *Placing) {
	e.counts[tally.Lines]++
	by := e.signs(r)
	life, known := e.tracker.Take(r.PID, func(l *groups.Life) bool { return e.fits(l, r, by) })
	if set, unproven, found := placing.next(); found {
		// The tracker does not know it, or not where it belongs.
		if known && life.Recorded {
			life, known = groups.Life{}, false // an earlier line was that of this life
		}
		if known {
			e.tracker.CountMoved(life.Set, set)
		}
		life.Set, life.Inferred, life.Unproven = set, true, unproven
	} else if !known && e.wentOn() {
		life.Set = groups.Ungrouped // it was counted by the last run
	} else if !known {
		life.Set, life.Unproven = groups.Unattributed, true
	}
	if !known && !e.wentOn() {
		e.tracker.CountStranger(life.Set)
	}
	if known && e.tracker.Waits(r.PID) {
		lived, precise := e.join.Lifetime(r)
		e.tracker.Ended(life, lived+e.clocks.sleptIn(&life, r), !precise)
	}
	e.ruleAtDeath(r, &life)
	death := e.join.Line(r, life, known, e.now.Boot)
	if e.formerBoot != nil && !known && !e.clocks.ofThisBoot(r) {
		e.formerBoot[death] = true
	}
	e.programs.ended(life.Key())
	e.remember(&life, r)
}

// EndStep ends a round of events and lines: deaths that can get no line any more
// are billed without, and the dead that nobody waited for by their clocks.
func (e *Engine) EndStep(now Now) {
	e.now = now
	e.loss.gaps = max(e.loss.gaps-1, 0)
	e.ending.step++
	e.samples.execs = 0
	e.tracker.Barrier(e.unledgered)
	maps.DeleteFunc(e.ending.seen, func(_ groups.Key, step uint64) bool { return e.ending.step-step > 4 }) // their line came
	e.programs.sweep(func(k groups.Key) bool {
		l, ok := e.tracker.Lookup(k.PID)
		return ok && l.Start == k.Start
	})
	for pid := range e.until { // its exit may be lost, or the source tells none
		e.closeEnded(pid)
	}
	e.settleUnreaped()
	e.join.Step(now.Boot, e.unmatched)
}

// unledgered takes a death that got no ledger line: accounting is off, or the
// kernel suspended it.
func (e *Engine) unledgered(l groups.Life) bool {
	if e.alive(l.Key()) || e.mayGetLine(l.Key()) {
		return false
	}
	if e.options.Ledger && l.Exit > e.options.LedgerSince {
		e.counts[tally.Missing]++
	}
	delete(e.unseen.unruled, l.Key())
	e.join.Unledgered(l, e.now.Boot)
	e.programs.ended(l.Key())
	e.remember(&l, nil)
	return true
}

// mayGetLine tells that a process that is not alive any more was alive a moment ago,
// so that its line may be written and not be read. Where exits are told before the
// line is written, only an end that was seen at an earlier step is proof.
func (e *Engine) mayGetLine(k groups.Key) bool {
	if !e.options.WholeExits || !e.options.Ledger {
		return false
	}
	if _, seen := e.ending.seen[k]; seen {
		delete(e.ending.seen, k)
		return false
	}
	e.ending.seen[k] = e.ending.step
	return true
}

// unmatched takes a precise record that met no ledger line in time: on a source
// without exit events it may be the only word of a death.
func (e *Engine) unmatched(r *acct.Record) {
	by, start := e.signs(r), clock.At(clock.Boot(r.Start), clock.Exact)
	fits := func(l *groups.Life) bool {
		if r.Start != 0 {
			return l.Start.Same(start)
		}
		return e.fits(l, r, by)
	}
	l, ok := e.tracker.Peek(r.PID, fits)
	if !ok || l.Recorded || e.alive(l.Key()) {
		return
	}
	e.tracker.Take(r.PID, fits)
	e.counts[tally.Missing]++
	e.join.Unledgered(l, e.now.Boot)
	e.remember(&l, r)
}
