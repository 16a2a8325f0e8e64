// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"time"

	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
)

// clocks relate the clocks of the kernel: events are stamped by CLOCK_MONOTONIC,
// processes start by CLOCK_BOOTTIME, and a ledger line tells the second its
// process began by the wall clock as it was set at death.
type clocks struct {
	// asleep is how long the machine was suspended since boot.
	asleep time.Duration
	// booted is the wall clock at boot by each setting of the wall clock, the
	// latest last.
	booted []clock.Wall
}

const (
	// maxSettings is how many settings of the wall clock are remembered.
	maxSettings = 8
	// setting is how far the wall clock must jump to be set anew.
	setting = 500 * time.Millisecond
)

// SetClocks says how the clocks stand: asleep is how long the machine was
// suspended since boot, and tick the length of the scheduler's tick. It is to be called
// before each round of reading, and after a suspend or a set clock.
func (e *Engine) SetClocks(now Now, asleep time.Duration, tick time.Duration) {
	e.now = now
	c := &e.clocks
	c.asleep = asleep
	if tick > 0 {
		e.join.Tick = tick
	}
	booted := clock.WallOf(now.Wall).AtBoot(now.Boot)
	if n := len(c.booted); n > 0 && booted.Sub(c.booted[n-1]).Abs() < setting {
		c.booted[n-1] = booted
	} else {
		// The wall clock was set. Lines written before and after are in the
		// ledger; keep a few settings to recognise either.
		c.booted = append(c.booted, booted)
		if len(c.booted) > maxSettings {
			c.booted = c.booted[1:]
		}
	}
	e.join.Booted = booted
}

// fits says whether a life may be the process of a ledger line, by the second
// it began in. The kernel computes that from the wall clock at death.
func (e *Engine) fits(r *acct.Record) func(*groups.Life) bool {
	return func(l *groups.Life) bool {
		if e.loss.gaps > 0 && e.otherParent(l, r) {
			return false
		}
		for _, booted := range e.clocks.booted {
			if l.Start.Same(clock.Begun(r.Begin, booted)) {
				return true
			}
		}
		// The clock was set by more steps than are kept; life times stand.
		return l.Start.LivedByLine(l.Exit, r.Elapsed)
	}
}

// otherParent tells, after loss, that a line is of another life of its pid, which
// may have begun in the same second: the parent of this one lives, so that no
// reaper took its place, and the line names another.
func (e *Engine) otherParent(l *groups.Life, r *acct.Record) bool {
	if r.Source != acct.BSD || r.PPID == l.PPID || e.options.NoExits {
		return false
	}
	p, ok := e.tracker.Live(l.PPID)
	return ok && p.Start.MayFork(l.Start)
}

// bornBefore reports whether a life may be older than the process of a line.
func (c *clocks) bornBefore(l *groups.Life, r *acct.Record) bool {
	for _, booted := range c.booted {
		if l.Start.MayFork(clock.Begun(r.Begin, booted)) {
			return true
		}
	}
	return false
}

// bornSince reports whether the fork of the process of a line may be told after a
// time.
func (c *clocks) bornSince(r *acct.Record, since clock.Boot) bool {
	for _, booted := range c.booted {
		if !clock.Begun(r.Begin, booted).MayBeToldSince(since) {
			return false
		}
	}
	return true
}
