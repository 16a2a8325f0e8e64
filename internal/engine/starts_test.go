// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"testing"
	"time"

	"elsa/internal/store"
	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
)

// The clock is set back by three days, and right again, while a process lives that has
// children before, then and after. A row has the time at which the process ended as the
// clock showed it then, and of who began one time in all rows: that of the clock as it was
// set then. So a tree holds together, over a restart as well.
func TestRowsOverASetClock(t *testing.T) {
	for name, restarts := range map[string]bool{"in one run": false, "over restarts": true} {
		t.Run(name, func(t *testing.T) {
			const back = 72 * time.Hour
			now := at(time.Hour)
			m := newMachine()
			e := newEngine(t, m, now)
			e.options.Ledger, e.options.Rows = true, true
			e.keepRows()
			set := func(by time.Duration) {
				now = now.after(time.Minute)
				now.Wall = now.Wall.Add(by)
				e.SetClocks(now, 0, 0)
				if !restarts {
					return
				}
				db := newDisk()
				meta := store.Meta{}
				e.Save(db, &meta)
				e.Saved(nil)
				parent, _ := e.tracker.Lookup(100)
				next := newEngine(t, m, now)
				next.options.Ledger, next.options.Rows = true, true
				next.Load(&store.State{Meta: meta}, "", now)
				next.tracker.Restore(parent, 1, true)
				e = next
			}
			ends := func(pid int32, start Now) (started, parentStarted, ended int64) {
				now = now.after(10 * time.Second)
				e.SetClocks(now, 0, 0)
				e.Events(exit(pid, clock.Mono(now.Boot)), 0, 0, now)
				e.Lines([]acct.Record{lineOf(pid, 100, start.Boot, 0, now)}, nil, now)
				for range 4 {
					e.EndStep(now)
				}
				rows := e.TakeRows()
				if len(rows.List) != 1 || rows.List[0].PID != pid {
					t.Fatalf("rows %+v", rows.List)
				}
				r := rows.List[0]
				return r.Start, r.ParentStart, r.End
			}
			parent := now
			e.Events(fork(1, 100, clock.Mono(now.Boot)), 0, 0, now)
			child := func(pid int32) {
				t.Helper()
				begin := now
				e.Events(fork(100, pid, clock.Mono(now.Boot)), 0, 0, now)
				started, parentStarted, ended := ends(pid, begin)
				if started != begin.Wall.UnixNano() || parentStarted != parent.Wall.UnixNano() || time.Duration(ended-now.Wall.UnixNano()).Abs() > time.Second {
					t.Errorf("a child from %v to %v of a parent that began at %v: its row says %v to %v, %v", begin.Wall, now.Wall, parent.Wall,
						time.Unix(0, started).UTC(), time.Unix(0, ended).UTC(), time.Unix(0, parentStarted).UTC())
				}
			}
			child(101)
			set(-back)
			child(102)
			set(back)
			child(103)
			if started, _, _ := ends(100, parent); started != parent.Wall.UnixNano() {
				t.Errorf("the parent began at %v, and its row says %v", parent.Wall, time.Unix(0, started).UTC())
			}
		})
	}
}

// Members of the last boot, whose lines are read after it, began by the clock of that boot.
func TestRowsOfTheLastBoot(t *testing.T) {
	then := at(time.Hour)
	now := Now{Boot: clock.Boot(time.Minute), Wall: then.Wall.Add(2 * time.Hour)}
	e := newEngine(t, newMachine(), now)
	e.options.Ledger, e.options.Rows = true, true
	life := groups.Life{PID: 100, Start: clock.At(then.Boot, clock.Exact), PPID: 1, Set: groups.Ungrouped}
	st := &store.State{Meta: store.Meta{BootID: "last", Booted: clock.WallOf(then.Wall).AtBoot(then.Boot), AsOf: then.Boot}, Members: []store.Member{{Life: life}}}
	if !e.Load(st, "this", now) {
		t.Fatal("not rebooted")
	}
	e.BeginAfterReboot(st, now)
	e.Lines([]acct.Record{lineOf(100, 1, then.Boot, 0, then.after(10*time.Second))}, nil, now)
	if err := e.EndOfBoot(now); err != nil {
		t.Fatal(err)
	}
	rows := e.TakeRows()
	if len(rows.List) != 1 || rows.List[0].Start != then.Wall.UnixNano() || rows.List[0].End < rows.List[0].Start {
		t.Errorf("it began at %v: %+v", then.Wall, rows.List)
	}
}
