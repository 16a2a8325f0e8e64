// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"time"

	"elsa/internal/tally"
	"elsa/pkg/ledger"
)

const (
	watchInterval   = 5 * time.Second
	reclaimInterval = 30 * time.Second
	tellInterval    = 10 * time.Second
)

// watchLedger finds out, from deaths that get no line, that the kernel holds
// back lines or that accounting was switched off, and that it goes on.
func (p *Pipeline) watchLedger() {
	if p.Sources.Ledger == nil {
		return
	}
	if f, ok := p.Sources.Ledger.(interface{ Problem() error }); ok {
		p.tell("follow accounting", f.Problem())
	}
	w, n := &p.watch, p.Engine.Counts()
	missing, lines := n[tally.Missing]-w.missing, n[tally.Lines]-w.lines
	w.missing, w.lines = n[tally.Missing], n[tally.Lines]
	switch {
	case missing > 0 && lines == 0 && !w.suspended:
		w.suspended, w.since, w.cause = true, time.Now(), p.whySuspended()
		p.Log.Warn("accounting is suspended: deaths get no line; going on with taskstats and exact records", "cause", w.cause)
	case lines > 0 && w.suspended:
		w.suspended = false
		p.Log.Info("accounting goes on", "deaths_without_line", n[tally.Missing])
	}
	now := readNow().Boot
	if w.suspended && now > w.retry {
		w.retry = now.Add(reclaimInterval)
		p.disk.reclaim = true
	}
}

// clockFar is by how much the wall clock must be off the calendar to be told of.
const clockFar = time.Hour

// watchClock tells once that the wall clock was set, and what follows from that.
func (p *Pipeline) watchClock() {
	behind := p.Engine.Behind(readNow())
	switch far := behind.Abs() > clockFar; {
	case far && !p.watch.jumped:
		p.watch.jumped = true
		p.Log.Warn("the clock was set, or the machine was off: history and finished runs are kept by the time that has really passed",
			"clock_ahead", behind.Round(time.Second))
	case !far && p.watch.jumped:
		p.watch.jumped = false
		p.Log.Info("history and finished runs are kept by the clock again")
	}
}

func (p *Pipeline) whySuspended() string {
	if p.disk.now != nil && !p.disk.since(readNow()).IsZero() {
		return "the disk of " + p.Sources.Ledger.Path() + " does not answer, as while its file system is frozen"
	}
	space, err := ledger.SpaceState(p.Sources.Ledger.Path())
	if err == nil && space.Available < space.Resume {
		return "the file system of " + p.Sources.Ledger.Path() + " is nearly full; free some space, or see kernel.acct in proc(5)"
	}
	return "another program switched it off, or to another file; stop that program, or have elsad read its file (--acct follow:PATH)"
}

// watchEvents finds out that the stream has fallen silent while processes are
// forked, which some kernels do after an overrun, and opens a new one.
func (p *Pipeline) watchEvents() error {
	w := &p.watch
	now := readNow().Boot
	if p.Sources.Reopen == nil || now < w.next {
		return nil
	}
	w.next = now.Add(watchInterval)
	forks, err := p.Proc.FS().Forks()
	if p.tell("count forks", err); err != nil {
		return nil // for want of a descriptor, for instance
	}
	events := p.Engine.Counts()[tally.Forks]
	if forks == w.forks || events != w.events {
		w.silent = 0
	} else if w.silent++; w.silent >= 2 && w.forks != 0 {
		p.Log.Warn("events have stopped while processes are forked: subscribing anew")
		if err := p.reopenEvents(); err != nil {
			return err
		}
		w.silent = 0
	}
	w.forks, w.events = forks, events
	return nil
}

// reopenEvents replaces the stream of events. What happened in between is
// found in /proc.
func (p *Pipeline) reopenEvents() error {
	events, err := p.Sources.Reopen()
	if err != nil {
		return err
	}
	p.Sources.Events = events
	p.Engine.Lose()
	return nil
}
