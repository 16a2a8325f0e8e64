// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"time"

	"elsa/pkg/acct"
	"elsa/pkg/groups"
)

// Now is a reading of the clocks.
type Now struct {
	// Boot is CLOCK_BOOTTIME in nanoseconds.
	Boot int64
	// Wall is the wall clock.
	Wall time.Time
}

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

// set takes a reading and returns the wall clock less CLOCK_BOOTTIME.
func (c *clocks) set(now Now, boottimeOffset int64) int64 {
	c.monotonic = boottimeOffset
	wall := now.Wall.UnixNano() - now.Boot
	if n := len(c.offsets); n > 0 && abs(c.offsets[n-1]-wall) < int64(500*time.Millisecond) {
		c.offsets[n-1] = wall
		return wall
	}
	// The wall clock was set. Lines written before and after are in the ledger; keep
	// a few offsets to recognise either.
	c.offsets = append(c.offsets, wall)
	if len(c.offsets) > maxOffsets {
		c.offsets = c.offsets[1:]
	}
	return wall
}

// fits reports whether a life may be the process of a ledger line, by the second
// it began in. The kernel computes that from the wall clock at death.
func (c *clocks) fits(l *groups.Life, r *acct.Record) bool {
	for _, off := range c.offsets {
		if abs(r.Begin-(l.Start+off)/1e9) <= 2 {
			return true
		}
	}
	// The clock was set by more steps than are kept; life times stand.
	return l.Exit != 0 && abs(int64(r.Elapsed)-(l.Exit-l.Start)) < int64(time.Second)
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
