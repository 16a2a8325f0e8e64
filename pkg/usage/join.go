// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"time"

	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
)

// Join puts deaths on the bills of the sets they belong to. It is told of
// deaths in any of three ways and in any order: a line of the ledger with the
// life it belongs to, a precise record (taskstats, exact) that waits for its
// line, or a death that will never get a line. One death is counted once, with
// the best figures that arrive; figures that arrive late add what is missing
// and take nothing back.
//
// It does no I/O, reads no clock and takes no locks: one goroutine owns it.
type Join struct {
	// ExpectExact: exact records come, later than all others. Until a death's
	// own came, or did not within Patience, only what is surely not too much is
	// charged for its CPU, since tick-sampled figures may be too high.
	ExpectExact bool
	// Looks: deaths are named to Look, and none is charged by an estimate before.
	Looks bool
	// Lines: every death gets a line of the ledger, by which it is counted.
	Lines bool
	// Patience is how long a death waits for its exact record.
	Patience time.Duration
	// OpenFor is how long a settled death can still be corrected: that of a process
	// whose parent is slow to wait for it.
	OpenFor time.Duration
	// Tick is the scheduler's tick, the resolution of sampled CPU.
	Tick time.Duration
	// Asleep is how long the machine was suspended since boot.
	Asleep time.Duration
	// Booted is the wall clock at boot, as the wall clock is set now.
	Booted clock.Wall

	// Reported is the CPU of all deaths by the best figure the kernel gave,
	// independent of who was charged. It may sink when a better figure comes.
	Reported time.Duration
	// Joined counts deaths by how they were put on the bill.
	Joined Joined
	// Settled counts deaths by precision, as that was when they got the best record
	// that comes in time: it never falls.
	Settled Settled

	// Roll, if set, returns what is known of a cell, to add to. It is told of
	// all that is put on the bills of the sets, so the cells of a set add up to
	// the set's own.
	Roll func(*Cell) *Usage
	// Program, if set, returns what is known of the program that a process executed last.
	Program func(groups.Key) (Program, bool)

	// Emit, if set, is told of all that is put on bills, row by row, and returns the
	// number of the row, which is not 0. Fix is told what is billed better of a row later.
	Emit func(*Row) uint64
	Fix  func(*Fix)

	sets     []Usage
	dirty    []bool           // by set: in changed
	changed  []groups.SetID   // since TakeChanged
	live     []Measure        // by set: what live accounts used since their base
	living   map[Cell]*living // the same by cell
	accounts map[groups.Key]*account
	billed   time.Duration // CPU that accounts charged to earlier sets
	precise  held
	open     map[int32]*death // deaths that may yet get an exact record, by pid
	opened   int              // in open
	idle     []*death         // to be used again
	late     []acct.Record    // to be used again by Step
	lost     lost
}

// Program is what is known of the program that a process executed last.
type Program struct {
	// Comm is the command's name as it was then, NUL padded.
	Comm [16]byte
	// Peak is how much memory it had resident at most, in bytes; zero is not known. The
	// records tell that of all the process executed, and of who forked it.
	Peak uint64
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

// Settled counts deaths by how well their CPU was known; see the fields of the same
// names.
type Settled struct{ Exact, Sampled, Rounded uint64 }

// account is what is known of a live process: how much of it was billed when it
// changed sets or an hour ended, and the last sample.
type account struct {
	cell       Cell // of what was used since base; the hour is that of the last sample
	base, last Measure
	peak       uint64 // see Peak
}

// NewJoin returns an empty join.
func NewJoin() *Join {
	return &Join{
		Patience: 1500 * time.Millisecond,
		OpenFor:  10 * time.Minute,
		Tick:     4 * time.Millisecond,
		accounts: map[groups.Key]*account{},
		living:   map[Cell]*living{},
		precise:  newHeld(),
		open:     map[int32]*death{},
	}
}

// Precise takes a taskstats or exact record that arrived at time now.
func (j *Join) Precise(r *acct.Record, now clock.Boot) {
	if r.Source == acct.Exact && j.correct(r) {
		return
	}
	j.precise.put(r, now)
}

// HoldsExact reports whether an exact record of a process that began then waits for
// its death.
func (j *Join) HoldsExact(pid int32, start clock.Start) bool {
	holds := false
	j.precise.each(pid, func(r *acct.Record) {
		holds = holds || r.Source == acct.Exact && start.Same(clock.At(clock.Boot(r.Start), clock.Exact))
	})
	return holds
}

// Line takes a ledger line. known tells whether life is the process it belongs
// to; else the line is charged to life.Set alone. It returns which death it is.
func (j *Join) Line(r *acct.Record, life groups.Life, known bool, now clock.Boot) groups.Key {
	if known && life.Recorded {
		j.Joined.Duplicate++
		return life.Key()
	}
	if !known {
		life.PID, life.Start = r.PID, clock.Begun(r.Begin, j.Booted)
		if r.Begin == 0 { // it lived for nothing, by the kernel's clocks, until now
			life.Start = clock.At(now, clock.Second)
		}
		j.Joined.Unknown++
	}
	d := j.newDeath()
	d.at, d.begin = now, r.Begin
	j.charge(&life, d, r)
	return life.Key()
}

// Unledgered takes a death of which it is certain that no line comes.
func (j *Join) Unledgered(life groups.Life, now clock.Boot) {
	d := j.newDeath()
	d.at, d.begin = now, j.second(life.Start)
	j.Joined.NoLine++
	j.charge(&life, d, nil)
}

// taskstats takes the taskstats record of a death from those that are held, or
// returns nil. exit is when it ended; zero where its line tells when it began.
func (j *Join) taskstats(d *death, exit clock.Boot) *acct.Record {
	return j.precise.take(d.key.PID, func(t *acct.Record, came clock.Boot) time.Duration {
		// The wall clock may have been set since the birth. Life times stand, and
		// the record came when it ended.
		if t.Source == acct.Taskstats && (clock.SameBegin(t.Begin, d.begin) || d.key.Start.LivedByTaskstats(exit, came, t.Elapsed, j.Asleep)) {
			return 0 // records come in the order of lines
		}
		return -1
	})
}

// Lifetime returns how long the process of a ledger line lived: in microseconds
// where its taskstats record is held, and else, not precise, by the line.
func (j *Join) Lifetime(r *acct.Record) (lived time.Duration, precise bool) {
	lived = r.Elapsed
	j.precise.each(r.PID, func(t *acct.Record) {
		// Of several the first is it: records come in the order of lines.
		if !precise && t.Source == acct.Taskstats && clock.SameBegin(t.Begin, r.Begin) && clock.SameLifetime(r.Elapsed, t.Elapsed) {
			lived, precise = t.Elapsed, true
		}
	})
	return lived, precise
}

// exact takes the exact record of a death from those that are held, or returns
// nil.
func (j *Join) exact(d *death) *acct.Record {
	return j.precise.take(d.key.PID, func(x *acct.Record, _ clock.Boot) time.Duration {
		if x.Source != acct.Exact {
			return -1
		}
		return d.off(x)
	})
}

// off is how far the starts of a death and of an exact record of its pid are
// apart, negative if they are not of the same process. A pid may be used again
// sooner than the starts of one process can be apart. But the fork event is sent
// before its process runs, so that of no later life starts before it; of the
// earlier, the nearest is it.
func (d *death) off(x *acct.Record) time.Duration {
	start := clock.At(clock.Boot(x.Start), clock.Exact)
	if !d.key.Start.Same(start) {
		return -1
	}
	return d.key.Start.Apart(start)
}

// second is the second of a start by the wall clock, as a line would tell it.
func (j *Join) second(s clock.Start) int64 { return s.Boot().Wall(j.Booted).Seconds() }
