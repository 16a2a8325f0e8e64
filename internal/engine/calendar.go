// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"time"

	"elsa/internal/store"
	"elsa/pkg/clock"
)

// calendar is the date by which what is old goes. It follows the wall clock, but by
// no more than twice the time that has passed by CLOCK_BOOTTIME: a clock that is
// wrong for seconds, or for an hour, makes nothing old. What the machine was off for
// is made good in as long again. The zero value has no date yet.
type calendar struct {
	date time.Time
	at   clock.Boot // of date
	// made is when temporary groups were made, of this run.
	made map[uint32]clock.Boot
}

// unset is a date before this program was written: a clock that shows an earlier
// one was never set.
var unset = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// restore goes on with the date that a database has, of this boot or an earlier one.
func (c *calendar) restore(m *store.Meta, rebooted bool) {
	c.date, c.at = m.Date, m.DateAt
	if c.date.IsZero() && m.AsOf != 0 { // of an early version
		c.date, c.at = m.AsOf.Wall(m.Booted).Time(), m.AsOf
	}
	if rebooted {
		c.at = 0
	}
}

// advance returns the date.
func (c *calendar) advance(now Now) time.Time {
	now.Wall = now.Wall.Round(0) // what the clock shows, not what has passed
	step := 2 * max(now.Boot.Sub(c.at), 0)
	if c.date.Before(unset) || now.Wall.Sub(c.date).Abs() <= step {
		c.date = now.Wall
	} else if c.date.Before(now.Wall) {
		c.date = c.date.Add(step)
	} else {
		c.date = c.date.Add(-step)
	}
	c.at = now.Boot
	return c.date
}

// old returns the date by which what is old goes: not later than the wall clock.
func (c *calendar) old(now Now) time.Time {
	if date := c.advance(now); date.Before(now.Wall) {
		return date
	}
	return now.Wall
}

// stamp returns the time now for what is to grow old: not earlier than the date.
func (c *calendar) stamp(now Now) time.Time {
	if date := c.advance(now); date.After(now.Wall) {
		return date
	}
	return now.Wall
}
