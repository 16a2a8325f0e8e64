// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"time"

	"elsa/pkg/clock"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
)

// audit compares what processes are known to have used with the clock of the machine,
// of which nothing can be lost. It is pure.
type audit struct {
	last *reading
	// pending is CPU time that nobody is known to have used, if the next reading says so,
	// too: what has just ended may be billed a moment later.
	pending time.Duration
	// missing is what nobody is known to have used since the first reading.
	missing time.Duration
}

// reading is one look at both.
type reading struct {
	at      clock.Boot
	cpus    int
	machine proc.MachineTime
	// known is what those who ended are billed, and those who live have used.
	known time.Duration
}

const (
	// auditInterval is the time between two readings.
	auditInterval = 10 * time.Second
	// Ticks are samples, and so is what is billed of processes without an exact record.
	// By so much of what ran, and so much for each CPU, the two may differ in a reading.
	auditShare = 0.03
	auditSlack = 100 * time.Millisecond
)

// add takes a reading.
func (a *audit) add(r reading) {
	last := a.last
	a.last = &r
	if last == nil || last.cpus != r.cpus {
		a.pending = 0
		return
	}
	ran := r.machine.Ran - last.machine.Ran
	// A tick that always meets the same short process takes it for a long one. No more
	// can have run than the CPUs were not idle.
	ran = min(ran, r.at.Sub(last.at)*time.Duration(r.cpus)-(r.machine.Idle-last.machine.Idle))
	slack := time.Duration(auditShare*float64(ran)) + time.Duration(r.cpus)*auditSlack
	now := max(0, a.pending+ran-(r.known-last.known)-slack)
	sure := min(a.pending, now)
	a.missing += sure
	a.pending = now - sure
}

// auditing takes readings until ctx is done.
func (p *Pipeline) auditing(ctx context.Context) {
	tick := time.NewTicker(auditInterval)
	defer tick.Stop()
	for {
		if err := p.readMachine(ctx); err != nil && ctx.Err() == nil {
			p.Log.Debug("cannot compare with the CPU time of the machine", "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// readMachine takes a reading. The clocks of those who live are read outside the
// pipeline's goroutine. Who ends meanwhile may be counted twice or not at all: if that
// was long-lived, the reading is none.
func (p *Pipeline) readMachine(ctx context.Context) error {
	var pids []int32
	var before time.Duration
	begin := time.Now()
	if err := p.Do(ctx, func(t Turn) error {
		if err := t.Step(); err != nil {
			return err
		}
		before = t.Engine().EndedCPU()
		return t.Engine().EachLive(t.Now(), func(l groups.Life) { pids = append(pids, l.PID) })
	}); err != nil {
		return err
	}
	r := reading{cpus: proc.CPUs()}
	for _, pid := range pids {
		r.known += proc.RunTime(pid)
	}
	var err error
	if r.machine, err = p.Proc.FS().MachineTime(); err != nil {
		return err
	}
	r.at = proc.Now()
	return p.Do(ctx, func(t Turn) error {
		if err := t.Step(); err != nil {
			return err
		}
		ended := t.Engine().EndedCPU()
		if ended-before <= time.Duration(r.cpus)*(auditSlack+time.Since(begin)) {
			r.known += ended
			p.audit.add(r)
		}
		return nil
	})
}
