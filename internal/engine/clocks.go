// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"time"

	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
)

// Now is a reading of the clocks.
type Now struct {
	// Boot is CLOCK_BOOTTIME.
	Boot clock.Boot
	// Wall is the wall clock.
	Wall time.Time
}

// clocks relate the clocks of the kernel: events are stamped by CLOCK_MONOTONIC,
// processes start by CLOCK_BOOTTIME, and a ledger line tells the second its
// process began by the wall clock as it was set at death.
type clocks struct {
	// asleep is how long the machine was suspended since boot.
	asleep time.Duration
	// booted is the wall clock at boot by each setting of the wall clock, the
	// latest last.
	booted []clock.Wall
	// sleeps are when it was.
	sleeps sleeps
}

const (
	// maxSettings is how many settings of the wall clock are remembered.
	maxSettings = 8
	// setting is how far the wall clock must jump to be set anew.
	setting = 500 * time.Millisecond
)

// set takes a reading and returns the wall clock at boot.
func (c *clocks) set(now Now, asleep time.Duration) clock.Wall {
	c.asleep = asleep
	c.sleeps.set(now.Boot, asleep)
	booted := clock.WallOf(now.Wall).AtBoot(now.Boot)
	if n := len(c.booted); n > 0 && booted.Sub(c.booted[n-1]).Abs() < setting {
		c.booted[n-1] = booted
		return booted
	}
	// The wall clock was set. Lines written before and after are in the ledger; keep
	// a few settings to recognise either.
	c.booted = append(c.booted, booted)
	if len(c.booted) > maxSettings {
		c.booted = c.booted[1:]
	}
	return booted
}

// recall takes the setting of the wall clock that the last run knew, in the same boot
// or another. Lines may be by it.
func (c *clocks) recall(booted clock.Wall) {
	c.booted = append([]clock.Wall{booted}, c.booted...)
}

// fits reports whether a life may be the process of a ledger line, by the second
// it began in. The kernel computes that from the wall clock at death.
func (c *clocks) fits(l *groups.Life, r *acct.Record) bool {
	slept := c.sleeps.since(l.Start.Boot())
	within := func(late time.Duration) time.Duration { return min(max(late, 0), slept) }
	for _, booted := range c.booted {
		told := clock.Begun(r.Begin, booted).Boot()
		told = told.Add(-within(told.Sub(l.Start.Boot())))
		if l.Start.Same(clock.At(told, clock.Second)) {
			return true
		}
	}
	// The clock may have been set by more steps than are kept; life times stand.
	return len(c.booted) > 1 && l.Start.LivedByLine(l.Exit, r.Elapsed+within(l.Exit.Sub(l.Start.Boot())-r.Elapsed))
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
// time, by any setting of the clock.
func (c *clocks) bornSince(r *acct.Record, since clock.Boot) bool {
	for _, booted := range c.booted {
		if clock.Begun(r.Begin, booted).MayBeToldSince(since) {
			return true
		}
	}
	return false
}
