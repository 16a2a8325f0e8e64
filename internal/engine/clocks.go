// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"time"

	"elsa/pkg/acct"
	"elsa/pkg/groups"
)

// clocks relate the clocks of the kernel: events are stamped by CLOCK_MONOTONIC,
// processes start by CLOCK_BOOTTIME, and a ledger line tells the second its
// process began by the wall clock as it was set at death.
type clocks struct {
	// monotonic is CLOCK_BOOTTIME less CLOCK_MONOTONIC: the time asleep.
	monotonic int64
	// offsets are the wall clock less CLOCK_BOOTTIME, the latest last.
	offsets []int64
}

// maxOffsets is how many settings of the wall clock are remembered.
const maxOffsets = 8

// SetClocks says how the clocks stand: boottimeOffset is CLOCK_BOOTTIME less
// CLOCK_MONOTONIC, and tick the length of the scheduler's tick. It is to be called
// before each round of reading, and after a suspend or a set clock.
func (e *Engine) SetClocks(now Now, boottimeOffset int64, tick time.Duration) {
	e.now = now
	c := &e.clocks
	c.monotonic = boottimeOffset
	if tick > 0 {
		e.join.Tick = tick
	}
	wall := now.Wall.UnixNano() - now.Boot
	if n := len(c.offsets); n > 0 && abs(c.offsets[n-1]-wall) < int64(500*time.Millisecond) {
		c.offsets[n-1] = wall
	} else {
		// The wall clock was set. Lines written before and after are in the
		// ledger; keep a few offsets to recognise either.
		c.offsets = append(c.offsets, wall)
		if len(c.offsets) > maxOffsets {
			c.offsets = c.offsets[1:]
		}
	}
	e.join.WallOffset = wall
}

// fits says whether a life may be the process of a ledger line, by the second
// it began in. The kernel computes that from the wall clock at death.
func (e *Engine) fits(r *acct.Record) func(*groups.Life) bool {
	return func(l *groups.Life) bool {
		if e.loss.gaps > 0 && e.otherParent(l, r) {
			return false
		}
		for _, off := range e.clocks.offsets {
			if abs(r.Begin-(l.Start+off)/1e9) <= 2 {
				return true
			}
		}
		// The clock was set by more steps than are kept; life times stand.
		return l.Exit != 0 && abs(int64(r.Elapsed)-(l.Exit-l.Start)) < int64(time.Second)
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
	return ok && p.Start <= l.Start
}

// bornBefore reports whether a life may be older than the process of a line.
func (c *clocks) bornBefore(l *groups.Life, r *acct.Record) bool {
	for _, off := range c.offsets {
		if (l.Start+off)/1e9 <= r.Begin+1 {
			return true
		}
	}
	return false
}

// bornSince reports whether the process of a line began at or after a time, by
// whole seconds: in doubt it did.
func (c *clocks) bornSince(r *acct.Record, since int64) bool {
	for _, off := range c.offsets {
		if r.Begin+1 < (since+off)/1e9 {
			return false
		}
	}
	return true
}

func abs(n int64) int64 { return max(n, -n) }
