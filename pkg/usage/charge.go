// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"time"

	"elsa/pkg/acct"
	"elsa/pkg/groups"
)

// deathOf is all that is known of a death when it is charged.
type deathOf struct {
	life         groups.Life
	line, ts, ex *acct.Record
}

// charge puts a death on the bill of its set.
func (j *Join) charge(d *deathOf, now int64) {
	acc := j.accounts[d.life.Key()]
	o := j.newDeath()
	o.key, o.set, o.at = d.life.Key(), d.life.Set, now
	var last Measure
	if acc != nil {
		o.base, last = acc.base, acc.last
	}

	// From the coarsest record to the finest; each knows more fields.
	if d.line != nil {
		o.estimate = measureOf(d.line)
	}
	if d.ts != nil {
		m := measureOf(d.ts)
		m.split(j.sampledCPU(d.ts), m.User, m.System)
		m.Elapsed = max(m.Elapsed, o.estimate.Elapsed)
		if o.base.MaxRSS > 0 {
			m.MaxRSS = d.ts.ImageRSS
		}
		o.estimate, o.grade = m, sampled
	}
	if d.line == nil && o.estimate.Elapsed == 0 && d.life.Exit > d.life.Start {
		o.estimate.Elapsed = time.Duration(d.life.Exit - d.life.Start)
	}
	best := o.estimate
	wait := false
	switch {
	case d.ex != nil:
		m := measureOf(d.ex)
		m.Elapsed = max(m.Elapsed, o.estimate.Elapsed)
		o.ownPeak(&m)
		best, o.grade = m, exact
		j.Joined.Exact++
	case d.ts != nil:
		j.Joined.Taskstats++
		wait = j.ExpectExact
	default:
		j.Joined.Ledger++
		wait = j.ExpectExact
	}
	if wait {
		// Only what cannot be too much: the runtime without its last slice.
		floor := time.Duration(0)
		if d.ts != nil {
			floor = d.ts.Runtime
		}
		best.split(floor, best.User, best.System)
	}
	j.report(o, best.CPU())
	best.raise(&last)
	o.estimate.raise(&last)

	o.charged = best.beyond(&o.base)
	if acc != nil {
		j.dropAccount(o.key, acc)
	}
	u := Usage{Ended: 1}
	if d.life.Inferred || d.life.Unproven {
		u.Inferred++
	}
	exit := exitOf(d)
	if exit&0x7f != 0 {
		u.ExitSignal++
	} else if exit>>8&0xff != 0 {
		u.ExitNonzero++
	}
	u.grade(o.grade, +1)
	u.AddMeasure(&o.charged)
	o.cell = j.cellOf(d, now)
	j.bill(o.set, &o.cell, &u)
	if !wait {
		j.release(o)
		return
	}
	o.next = j.open[o.key.PID]
	j.open[o.key.PID] = o
	j.opened++
}

// sampledCPU estimates a process's CPU from its taskstats record. User and system
// time are the ticks that found it running: right on average, and off by some
// ticks for each process. The runtime lacks what ran since the last tick: never
// too high. A process of some ticks is between the runtime and a tick more; for
// a shorter one the bounds say little, and holding to them would add up to a
// bias, so there the ticks stand.
func (j *Join) sampledCPU(ts *acct.Record) time.Duration {
	ticks := ts.User + ts.System
	if ts.Runtime < 10*time.Millisecond {
		return ticks
	}
	return min(max(ticks, ts.Runtime), ts.Runtime+j.Tick)
}

// ownPeak mends the peak memory of an exact record for a process that came into
// its set in mid-life: the record's is that of its whole life, all programs it
// executed. Taskstats has that of the last program, and samples were taken since.
func (d *death) ownPeak(m *Measure) {
	if d.base.MaxRSS > 0 && d.estimate.MaxRSS > 0 {
		m.MaxRSS = d.estimate.MaxRSS
	}
}

func exitOf(d *deathOf) uint32 {
	for _, r := range []*acct.Record{d.line, d.ex, d.ts} {
		if r != nil {
			return r.ExitCode
		}
	}
	return 0
}

// lift raises what was charged for a death to m, of the given precision.
func (j *Join) lift(d *death, m *Measure, grade precision) {
	more := m.beyond(&d.base)
	more = more.beyond(&d.charged)
	d.charged.add(&more)
	var u Usage
	u.AddMeasure(&more)
	u.grade(d.grade, -1)
	u.grade(grade, +1)
	j.bill(d.set, &d.cell, &u)
	d.grade = grade
}

func (j *Join) report(d *death, cpu time.Duration) {
	j.Reported += cpu - d.reported
	d.reported = cpu
}

func (u *Usage) grade(p precision, n int64) {
	switch p {
	case exact:
		u.Exact += uint64(n)
	case sampled:
		u.Sampled += uint64(n)
	default:
		u.Rounded += uint64(n)
	}
}

// set returns the usage of a set for changing.
func (j *Join) set(id groups.SetID) *Usage {
	for int(id) >= len(j.sets) {
		j.sets = append(j.sets, Usage{})
	}
	j.changed[id] = struct{}{}
	return &j.sets[id]
}

func (j *Join) newDeath() *death {
	if n := len(j.settled); n > 0 {
		d := j.settled[n-1]
		j.settled = j.settled[:n-1]
		return d
	}
	return new(death)
}

func (j *Join) release(d *death) {
	*d = death{}
	if len(j.settled) < 1<<12 {
		j.settled = append(j.settled, d)
	}
}
