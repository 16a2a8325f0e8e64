// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"testing"
	"time"

	"elsa/internal/history"
	"elsa/internal/store"
	"elsa/pkg/usage"
)

// A wall clock that is wrong for some seconds, however far, makes nothing old: no
// cell of the history goes or is added up by the day, and no finished run, nor one
// whose maker is about to fill it. What is old goes when the time has passed, also
// over restarts and reboots.
func TestClockThatJumps(t *testing.T) {
	const day = 24 * time.Hour
	for name, jump := range map[string]time.Duration{"50 hours ahead": 50 * time.Hour, "100 days ahead": 100 * day, "a century ahead": 36500 * day, "a year back": -365 * day} {
		t.Run(name, func(t *testing.T) {
			now := at(time.Hour)
			db := openStore(t)
			load := func() *Engine {
				t.Helper()
				st, err := db.Load()
				if err != nil {
					t.Fatal(err)
				}
				e := newEngine(t, newMachine(), now)
				e.Load(st, "boot", now)
				return e
			}
			e := load()
			run := func(name string, closed bool) {
				g, err := e.MakeGroup(name, 0, nil, now)
				if err != nil {
					t.Fatal(err)
				}
				if e.MakeTemporary(g, now); closed {
					e.CloseGroup(g, now)
				}
			}
			roll := func(comm string) {
				c := usage.Cell{Hour: usage.HourOf(now.Wall.Unix())}
				copy(c.Comm[:], comm)
				e.history.rolls.Roll(&c)[usage.Ended]++
			}
			roll("before")
			run("run-1", true)
			pass := func(d time.Duration) {
				t.Helper()
				for range 4 {
					now = now.after(d / 4)
					e.SetClocks(now, 0, 0)
					save(t, db, e, now)
					if _, err := e.Expire(day, now); err != nil {
						t.Fatal(err)
					}
				}
			}
			check := func(groups int, hours ...string) {
				t.Helper()
				var got []string
				db.History(0, 1<<32-1, func(k *history.Key, _ *usage.Usage) error {
					if k.Hour != history.Day(k.Hour) {
						got = append(got, k.Command)
					}
					return nil
				})
				if len(got) != len(hours) || len(e.Groups()) != groups {
					t.Errorf("%v, calendar behind by %v: hours of %v and %d groups, want %v and %d", now.Wall, e.Behind(now), got, len(e.Groups()), hours, groups)
				}
			}
			pass(time.Minute)
			check(1, "before")
			run("run-2", false)
			now.Wall = now.Wall.Add(jump)
			pass(12 * time.Second)
			if g := e.Group("run-2"); !g.Open() {
				t.Error("a group that was made seconds ago was closed")
			}
			e = load() // and the service restarts meanwhile
			pass(time.Second)
			if wrong := e.Behind(now); wrong.Abs() < jump.Abs()-time.Minute {
				t.Errorf("the calendar followed: it is behind by %v of %v", wrong, jump)
			}
			now.Wall = now.Wall.Add(-jump)
			pass(3 * time.Second)
			check(2, "before")
			if e.Behind(now) > time.Minute {
				t.Errorf("the calendar is behind by %v once the clock is right", e.Behind(now))
			}
			// Once it has passed, it is old: at once where the clock was right.
			pass(2 * day)
			pass(2 * time.Minute)
			check(0)
		})
	}
}

// The time that the machine was off counts, though not at once; a clock that was
// never set counts for nothing.
func TestCalendar(t *testing.T) {
	const day = 24 * time.Hour
	var c calendar
	now := at(time.Hour)
	c.restore(&store.Meta{}, false)
	if got := c.advance(now); got != now.Wall {
		t.Errorf("the first date is %v, want %v", got, now.Wall)
	}
	off := at(time.Minute)
	off.Wall = now.Wall.Add(10 * day)
	c.restore(&store.Meta{Date: c.date, DateAt: c.at}, true)
	for _, step := range []struct{ after, behind time.Duration }{{0, 10*day - 2*time.Minute}, {day, 9*day - 2*time.Minute}, {9 * day, 0}, {day, 0}} {
		off = off.after(step.after)
		if got := off.Wall.Sub(c.advance(off)); got != step.behind {
			t.Errorf("%v after the boot the date is %v behind, want %v", off.Boot.Sub(0), got, step.behind)
		}
	}
	old := store.Meta{AsOf: now.Boot, Booted: 1.9e18} // as an early version left it
	back := off.after(time.Hour)
	back.Wall = back.Wall.Add(-day)
	if date := c.advance(back); !c.old(back).Equal(back.Wall) || !c.stamp(back).Equal(date) || date.Sub(off.Wall) != -2*time.Hour {
		t.Errorf("a clock that goes back a day within an hour makes the date %v, of %v", date, off.Wall)
	}
	c = calendar{}
	c.restore(&old, false)
	if want := now.Boot.Wall(old.Booted).Time(); !c.date.Equal(want) {
		t.Errorf("of an early version: %v, want %v", c.date, want)
	}
	c.restore(&store.Meta{Date: time.Unix(0, 0), DateAt: 1}, false)
	if got := c.advance(now); got != now.Wall {
		t.Errorf("after a clock that was never set the date is %v, want %v", got, now.Wall)
	}
}
