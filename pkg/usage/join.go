// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"time"

	"elsa/pkg/acct"
	"elsa/pkg/groups"
)

// Join puts deaths on the bills of the sets they belong to. It is told of
// deaths in any of three ways and in any order: a line of the ledger with the
// life it belongs to, a precise record (taskstats, exact) that waits for its
// line, or a death that will never get a line. One death is counted once, with
// the best figures that arrive; figures that arrive late add what is missing
// and take nothing back.
//
// It does no I/O, reads no clock (times are ns of CLOCK_BOOTTIME) and takes no
// locks: one goroutine owns it.
type Join struct {
	// ExpectExact: exact records come, later than all others. Until a death's
	// own came, or did not within Patience, only what is surely not too much is
	// charged for its CPU, since tick-sampled figures may be too high.
	ExpectExact bool
	// Patience is how long a death waits for its exact record.
	Patience time.Duration
	// Tick is the scheduler's tick, the resolution of sampled CPU.
	Tick time.Duration
	// WallOffset is the wall clock less CLOCK_BOOTTIME, in nanoseconds.
	WallOffset int64

	// Reported is the CPU of all deaths by the best figure the kernel gave,
	// independent of who was charged. It may sink when a better figure comes.
	Reported time.Duration
	// Joined counts deaths by how they were put on the bill.
	Joined Joined

	// Roll, if set, returns what is known of a cell, to add to. It is told of
	// all that is put on the bills of the sets, so the cells of a set add up to
	// the set's own.
	Roll func(*Cell) *Usage
	// Who, if set, returns hour, user and command of a live process that is about
	// to change sets. Those of a dead one are on its record.
	Who func(groups.Key) Cell

	sets     []Usage
	changed  map[groups.SetID]struct{}
	live     []Measure // by set: what live accounts used since their base
	accounts map[groups.Key]*account
	billed   time.Duration // CPU that accounts charged to earlier sets
	precise  held
	open     map[int32]*death // deaths that may yet get an exact record
	opened   int
	settled  []*death // free deaths
}

// Joined counts deaths by what was known of them.
type Joined struct {
	Exact, Taskstats, Ledger uint64 // counted with the best figure named
	NoLine                   uint64 // counted without a ledger line
	Unknown                  uint64 // a ledger line of a process nobody knew
	Duplicate                uint64 // lines and records of deaths counted before
	Unmatched                uint64 // precise records that met no death
	Late                     uint64 // exact records that came after Patience
}

// account is what is known of a live process: how much of it was billed when it
// changed sets, and the last sample.
type account struct {
	set        groups.SetID
	base, last Measure
}

// precision of a death's CPU, worst first.
type precision uint8

const (
	rounded precision = iota
	sampled
	exact
)

// death is one that was charged and may be corrected.
type death struct {
	key      groups.Key
	set      groups.SetID
	at       int64 // when it was charged
	base     Measure
	charged  Measure
	estimate Measure // the best without an exact record
	reported time.Duration
	grade    precision
	cell     Cell
	final    bool // Patience is over
	next     *death
}

// NewJoin returns an empty join.
func NewJoin() *Join {
	return &Join{
		Patience: 1500 * time.Millisecond,
		Tick:     4 * time.Millisecond,
		changed:  map[groups.SetID]struct{}{},
		accounts: map[groups.Key]*account{},
		precise:  newHeld(),
		open:     map[int32]*death{},
	}
}

// Precise takes a taskstats or exact record that arrived at time now.
func (j *Join) Precise(r *acct.Record, now int64) {
	if r.Source == acct.Exact && j.correct(r) {
		return
	}
	j.precise.put(r, now)
}

// Line takes a ledger line. known tells whether life is the process it belongs
// to; else the line is charged to life.Set alone.
func (j *Join) Line(r *acct.Record, life groups.Life, known bool, now int64) {
	if known && life.Again {
		j.Joined.Duplicate++
		return
	}
	if !known {
		life.PID, life.Start = r.PID, r.Begin*1e9-j.WallOffset
		j.Joined.Unknown++
	}
	var ts, ex acct.Record
	hasTS := j.precise.take(r.PID, &ts, func(t *acct.Record) bool {
		return t.Source == acct.Taskstats && near(t.Begin, r.Begin, 2)
	})
	hasEx := j.precise.take(r.PID, &ex, func(x *acct.Record) bool {
		return x.Source == acct.Exact && j.starts(x, life.Start, known)
	})
	d := deathOf{life: life, line: r}
	if hasTS {
		d.ts = &ts
	}
	if hasEx {
		d.ex = &ex
	}
	j.charge(&d, now)
}

// Unledgered takes a death of which it is certain that no line comes.
func (j *Join) Unledgered(life groups.Life, now int64) {
	var ts, ex acct.Record
	begin := (life.Start + j.WallOffset) / 1e9
	d := deathOf{life: life}
	if j.precise.take(life.PID, &ts, func(t *acct.Record) bool {
		// The wall clock may have been set since the birth; life times stand.
		return t.Source == acct.Taskstats && (near(t.Begin, begin, 2) ||
			life.Exit != 0 && near(int64(t.Elapsed), life.Exit-life.Start, int64(startSlack)))
	}) {
		d.ts = &ts
	}
	if j.precise.take(life.PID, &ex, func(x *acct.Record) bool {
		return x.Source == acct.Exact && j.starts(x, life.Start, true)
	}) {
		d.ex = &ex
	}
	j.Joined.NoLine++
	j.charge(&d, now)
}

// Step settles the deaths that waited longer than Patience for their exact
// record, forgets those that cannot get one any more, and hands precise records
// that met no line within the same time to orphan, which may find their life
// and call Unledgered after putting them back with Precise.
func (j *Join) Step(now int64, orphan func(*acct.Record) bool) {
	patience := now - int64(j.Patience)
	for pid, first := range j.open {
		j.open[pid] = j.sweep(first, now, patience)
		if j.open[pid] == nil {
			delete(j.open, pid)
		}
	}
	var late []acct.Record
	j.precise.expire(patience-int64(orphanAge), func(r *acct.Record) { late = append(late, *r) })
	for i := range late {
		if !orphan(&late[i]) {
			j.Joined.Unmatched++
		}
	}
}

const (
	// orphanAge is how much longer than Patience a precise record is held: the
	// kernel writes the ledger line after it tore the address space down.
	orphanAge = 8 * time.Second
	// openFor is how long a settled death can still be corrected: that of a
	// process whose parent is slow to wait for it.
	openFor = 10 * time.Minute
	// startSlack is how far the starts of one process may lie apart: /proc
	// truncates to 10 ms, a fork event is sent after the start was taken.
	startSlack = 50 * time.Millisecond
)

// Unsettled calls f for every death charged before the given time that still
// waits for its exact record, until f returns false.
func (j *Join) Unsettled(before int64, f func(groups.Key, groups.SetID) bool) {
	for _, d := range j.open {
		for ; d != nil; d = d.next {
			if !d.final && d.at <= before && !f(d.key, d.set) {
				return
			}
		}
	}
}

// Settle gives a death that waits for its exact record the CPU that the
// scheduler measured of it, because the process was found dead and not waited
// for: its clock stands still. The record, when it comes, adds what else it knows.
func (j *Join) Settle(key groups.Key, cpu time.Duration) {
	for d := j.open[key.PID]; d != nil; d = d.next {
		if d.key == key && !d.final {
			d.final = true
			m := d.estimate
			m.split(cpu, m.User, m.System)
			j.report(d, cpu)
			j.lift(d, &m, exact)
			return
		}
	}
}

func (j *Join) sweep(d *death, now, patience int64) *death {
	if d == nil {
		return nil
	}
	d.next = j.sweep(d.next, now, patience)
	if !d.final && (d.at <= patience || !j.ExpectExact) {
		d.final = true
		j.report(d, d.estimate.CPU())
		j.lift(d, &d.estimate, d.grade)
	}
	if d.final && (now-d.at > int64(openFor) || !j.ExpectExact) {
		next := d.next
		j.release(d)
		return next
	}
	return d
}

// correct applies an exact record to a death already charged.
func (j *Join) correct(r *acct.Record) bool {
	var prev *death
	for d := j.open[r.PID]; d != nil; prev, d = d, d.next {
		if !j.starts(r, d.key.Start, true) {
			continue
		}
		if d.final && d.grade != exact {
			j.Joined.Late++
		}
		m := measureOf(r)
		d.ownPeak(&m)
		j.report(d, m.CPU())
		j.lift(d, &m, exact)
		if prev != nil {
			prev.next = d.next
		} else if d.next != nil {
			j.open[r.PID] = d.next
		} else {
			delete(j.open, r.PID)
		}
		j.release(d)
		return true
	}
	return false
}

func (j *Join) starts(x *acct.Record, start int64, known bool) bool {
	slack := int64(startSlack)
	if !known {
		slack = 2e9 // a ledger line knows whole seconds
	}
	return near(x.Start, start, slack)
}

func near(a, b, slack int64) bool { return a-b <= slack && b-a <= slack }
