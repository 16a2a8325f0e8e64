// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"
	"time"

	"elsa/internal/store"
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
// process began by the wall clock as it was set at death: less a life time by
// CLOCK_MONOTONIC, which stands still while the machine is suspended.
type clocks struct {
	// asleep is how long the machine was suspended since boot.
	asleep time.Duration
	// mono is CLOCK_MONOTONIC at the last reading, so that it was sleep between two
	// readings that made asleep grow. Of the last sleep: the readings around it,
	// and what asleep was before.
	mono, slept, awoke clock.Mono
	before             time.Duration
	// births are forks around the last sleep of which nothing told the moment.
	births []birth
	// elder is how long the machine was suspended in the boot before, while lines of
	// that are read.
	elder time.Duration
	// booted is the wall clock at boot by each setting of the wall clock, the
	// latest last.
	booted []clock.Wall
	// settings are those of this boot, with when they were; they tell the starts of processes
	// in rows. former are those of the boot before, while lines of that are read.
	settings, former clock.Settings
	// unsaved: the latest is not stored. After a crash, lines are told by it.
	unsaved bool
	// sleeps are when it was.
	sleeps sleeps
}

const (
	// maxSettings is how many settings of the wall clock are remembered.
	maxSettings = 8
	// setting is how far the wall clock must jump to be set anew.
	setting = 500 * time.Millisecond
	// jitter is how far two readings of clocks that run together lie apart at most.
	// What is nearer is the same setting, to the nanosecond: starts of processes that
	// are told by the wall clock do not change from one row to the next.
	jitter = time.Millisecond
	// nap is the shortest suspend that is told from the error of a reading.
	nap = time.Millisecond
	// backlog is how long before the last word of the events a line may have been
	// written that is read after it.
	backlog = time.Minute
)

// set takes a reading and returns the wall clock at boot.
func (c *clocks) set(now Now, asleep time.Duration) clock.Wall {
	mono := clock.Mono(now.Boot) - clock.Mono(asleep)
	if asleep-c.asleep > nap {
		c.before, c.slept, c.awoke, c.births = c.asleep, c.mono, mono, nil
	}
	c.asleep, c.mono = asleep, mono
	c.sleeps.set(now.Boot, asleep)
	booted := clock.WallOf(now.Wall).AtBoot(now.Boot)
	if n := len(c.booted); n > 0 && booted.Sub(c.booted[n-1]).Abs() < setting {
		if booted.Sub(c.booted[n-1]).Abs() >= jitter {
			c.booted[n-1] = booted
			c.settings[len(c.settings)-1].Booted = booted
		}
		return c.booted[n-1]
	}
	// The wall clock was set. Lines written before and after are in the ledger; keep
	// a few settings to recognise either.
	c.unsaved = len(c.booted) > 0
	c.booted = append(c.booted, booted)
	if len(c.booted) > maxSettings {
		c.booted = c.booted[1:]
	}
	c.setFrom(clock.Setting{From: now.Boot, Booted: booted})
	return booted
}

// setFrom notes a setting. Starts before the oldest that is kept are told by that.
func (c *clocks) setFrom(s clock.Setting) {
	if c.settings = append(c.settings, s); len(c.settings) > maxSettings {
		c.settings = slices.Clone(c.settings[1:])
	}
}

// resume takes the settings of the wall clock that the last run of this boot knew, if
// there was one, and returns the wall clock at boot.
func (c *clocks) resume(all clock.Settings) clock.Wall {
	var was clock.Wall
	if len(all) > 0 {
		was = all[len(all)-1].Booted
	}
	if len(c.booted) == 0 {
		return was
	}
	booted := &c.booted[len(c.booted)-1]
	if was == 0 {
		return *booted
	}
	begun := c.settings[len(c.settings)-1]
	c.settings = slices.Clone(all)
	switch apart := was.Sub(*booted).Abs(); {
	case apart < jitter:
		*booted = was
	case apart < setting:
		c.settings[len(all)-1].Booted = *booted
	default:
		c.setFrom(begun)
		c.recall(was)
	}
	return c.booted[len(c.booted)-1]
}

// settingsOf are the settings that a run stored; early versions stored the last.
func settingsOf(m *store.Meta) clock.Settings {
	if len(m.Settings) == 0 && m.Booted != 0 {
		return clock.Settings{{Booted: m.Booted}}
	}
	return m.Settings
}

// recall takes a setting of the wall clock that the last run knew, in the same boot or
// another. Lines may be by it.
func (c *clocks) recall(booted clock.Wall) {
	c.booted = append([]clock.Wall{booted}, c.booted...)
}

// goOn says how long the machine had been suspended by a time before the first
// reading, from which on events come.
func (c *clocks) goOn(asOf clock.Boot, asleep time.Duration) {
	if c.asleep-asleep > nap {
		c.before, c.slept = asleep, clock.Mono(asOf)-clock.Mono(asleep)
	}
}

// stamped returns the moment of an event. other is when it was if it came before
// the machine went to sleep, where nothing tells: events come late.
func (c *clocks) stamped(at clock.Mono) (moment, other clock.Boot) {
	switch {
	case at < c.slept:
		moment = at.Boot(c.before)
		return moment, moment
	case at <= c.awoke:
		return at.Boot(c.asleep), at.Boot(c.before)
	}
	moment = at.Boot(c.asleep)
	return moment, moment
}

// birth is a fork that was taken to be at one of two moments.
type birth struct {
	pid       int32
	at, other clock.Boot
}

// asStamped is the start that a process is known by, of one that truly began at start.
func (c *clocks) asStamped(pid int32, start clock.Boot) clock.Boot {
	for _, b := range c.births {
		if b.pid == pid && clock.At(b.other, clock.Stamped).Same(clock.At(start, clock.Exact)) {
			return start + b.at - b.other
		}
	}
	return start
}

// asleepIn bounds how long the machine was suspended in a life.
func (c *clocks) asleepIn(l *groups.Life) time.Duration {
	return max(c.sleeps.since(l.Start.Boot()), c.elder)
}

// began reports whether a life may be the process of a ledger line, by the second
// it began in. The kernel computes that from the wall clock at death.
func (c *clocks) began(l *groups.Life, r *acct.Record) bool {
	asleep := c.asleepIn(l)
	if r.Begin == 0 {
		// Its life time was less than nothing by the kernel's clocks. Where no exit
		// tells, it must be of those that began just now.
		return l.Start.LivedByLine(l.Exit, r.Elapsed, asleep) || l.Exit == 0 && l.Start.Begins(clock.Boot(c.mono).Add(c.asleep))
	}
	for _, booted := range c.booted {
		begun := clock.Begun(r.Begin, booted)
		if l.Start.Same(begun) || asleep > 0 && l.Start.SameAsleep(begun, l.Exit, r.Elapsed, asleep) {
			return true
		}
	}
	return false
}

// tells reports whether the begin of a line, which was written around since or later,
// can be told by a setting of the clock that is known: by another, its process would
// have ended at another time.
func (c *clocks) tells(r *acct.Record, since clock.Boot) bool {
	return r.Begin != 0 && slices.ContainsFunc(c.booted, func(booted clock.Wall) bool {
		return clock.Begun(r.Begin, booted).EndsWithin(since.Add(-backlog), clock.Boot(c.mono).Add(c.asleep), r.Elapsed)
	})
}

// lived reports the same by how long it lived, for a line of which no setting of the
// clock tells the begin: it may have been set by more steps than are kept.
func (c *clocks) lived(l *groups.Life, r *acct.Record) bool {
	return l.Start.LivedByLine(l.Exit, r.Elapsed, c.asleepIn(l))
}

// outlived reports whether a life that was known at a time may be the process of a
// ledger line written since then, by its life time alone: the wall clock may have
// been set while nobody looked.
func (c *clocks) outlived(l *groups.Life, r *acct.Record, since clock.Boot) bool {
	return l.Exit == 0 && since != 0 && l.Start.Boot() <= since &&
		l.Start.EndedWithin(since, clock.Boot(c.mono).Add(c.asleep), r.Elapsed, c.asleepIn(l))
}

// ofThisBoot reports whether the process of a line ended since boot, if the wall
// clock was not set since.
func (c *clocks) ofThisBoot(r *acct.Record) bool {
	n := len(c.booted)
	return n > 0 && r.Begin != 0 && clock.Begun(r.Begin, c.booted[n-1]).EndsWithin(0, clock.Boot(c.mono).Add(c.asleep), r.Elapsed)
}

// sleptIn is how long the machine was suspended in a life, by its line.
func (c *clocks) sleptIn(l *groups.Life, r *acct.Record) time.Duration {
	for i := len(c.booted) - 1; i >= 0 && r.Begin != 0 && c.asleepIn(l) > 0; i-- {
		begun := clock.Begun(r.Begin, c.booted[i])
		if !l.Start.Same(begun) && l.Start.SameAsleep(begun, l.Exit, r.Elapsed, c.asleepIn(l)) {
			return begun.Apart(l.Start)
		}
	}
	return 0
}

// begun calls f with each begin that the line of a process that ended since a time
// may tell, until f returns true, and returns that. By a setting of the wall clock
// that is not the line's, the process would have ended at another time. Where that
// goes for all settings that are known, nothing is known of its begin: true.
func (c *clocks) begun(r *acct.Record, since clock.Boot, f func(clock.Start) bool) bool {
	known := false
	for _, booted := range c.booted {
		begun := clock.Begun(r.Begin, booted)
		if r.Begin == 0 || !begun.EndsWithin(since, clock.Boot(c.mono).Add(c.asleep), r.Elapsed) {
			continue
		}
		if known = true; f(begun) {
			return true
		}
	}
	return !known
}

// bornBefore reports whether a life may be older than the process of a line, which
// was written after since.
func (c *clocks) bornBefore(l *groups.Life, r *acct.Record, since clock.Boot) bool {
	return c.begun(r, since, l.Start.MayFork)
}

// bornSince reports whether the fork of the process of a line, which was written
// after since, may be told after since.
func (c *clocks) bornSince(r *acct.Record, since clock.Boot) bool {
	return c.begun(r, since, func(begun clock.Start) bool { return begun.MayBeToldSince(since) })
}
