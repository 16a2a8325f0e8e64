// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"testing"
	"time"

	"elsa/pkg/clock"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
	"elsa/pkg/usage"
)

// A temporary group goes its way: closed if its maker does not, kept for the
// retention, and deleted with its bill in the totals, where nothing falls. It
// leaves nothing behind, in memory or on disk, however many there are.
func TestExpire(t *testing.T) {
	now := at(time.Hour)
	e := newEngine(t, newMachine(), now)
	const retention = 24 * time.Hour
	pid := int32(1000)
	run := func(name string, temporary bool) {
		t.Helper()
		g, err := e.MakeGroup(name, 0, nil, now)
		if err != nil {
			t.Fatal(err)
		}
		if temporary {
			e.MakeTemporary(g, now)
		}
		pid++
		e.tracker.Fork(1, pid, clock.At(clock.Boot(pid), clock.Stamped))
		change, _ := e.tracker.Add(pid, g.ID, false)
		e.join.Sample(change.Life.Key(), usage.Cell{Set: change.To}, &usage.Measure{usage.User: uint64(time.Second)})
	}
	end := func(pid int32) {
		life, _ := e.tracker.Live(pid)
		e.tracker.Exit(pid, pid, life.Start.Boot()+1e9)
		life, _ = e.tracker.Take(pid, func(*groups.Life) bool { return true })
		e.join.Unledgered(life, life.Exit)
	}
	db := openStore(t)
	var before usage.Usage
	check := func(want ...string) {
		t.Helper()
		save(t, db, e, now)
		var got []string
		for _, g := range e.Groups() {
			got = append(got, g.Name+" "+g.State())
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("groups %v, want %v", got, want)
		}
		s, err := e.Snapshot(usage.Service{}, now)
		if err != nil {
			t.Fatal(err)
		}
		if s.AnyGroup[usage.User] < before[usage.User] || s.AnyGroup[usage.Started] < before[usage.Started] || s.AnyGroup[usage.Ended] < before[usage.Ended] {
			t.Errorf("any group fell from %+v to %+v", before, s.AnyGroup)
		}
		before = s.AnyGroup
	}
	pass := func(d time.Duration) {
		t.Helper()
		now = now.after(d)
		if _, err := e.Expire(retention, now); err != nil {
			t.Fatal(err)
		}
	}

	run("keep", false)
	run("run-1", true)
	check("keep open", "run-1 open")
	pass(time.Hour)
	check("keep open", "run-1 open") // it has a process
	end(1001)
	end(1002)
	pass(time.Second)
	check("keep open", "run-1 closed")
	pass(retention)
	check("keep open", "run-1 closed")
	pass(time.Second)
	check("keep open")
	if before[usage.Ended] != 2 || before[usage.User] != uint64(2*time.Second) {
		t.Errorf("any group has %+v, want both processes", before)
	}

	// With a process of its own that lives on, the group stays, closed as it is.
	run("run-2", true)
	e.CloseGroup(e.Group("run-2"), now)
	pass(10 * retention)
	check("keep open", "run-2 closed")
	end(1003)
	pass(time.Second)
	check("keep open")

	// One that nobody put a process in.
	g, _ := e.MakeGroup("run-3", 0, nil, now)
	e.MakeTemporary(g, now)
	pass(time.Second)
	check("keep open", "run-3 open")
	pass(time.Hour)
	check("keep open", "run-3 closed")

	// After a restart all is as it was.
	st, err := db.Load()
	if err != nil {
		t.Fatal(err)
	}
	r := newEngine(t, newMachine(), now)
	r.Load(st, "boot", now)
	if snap, err := r.Snapshot(usage.Service{}, now); err != nil || snap.AnyGroup[usage.User] != before[usage.User] || snap.AnyGroup[usage.Ended] != before[usage.Ended] {
		t.Errorf("after a restart any group has %+v, %v, want %+v", snap.AnyGroup, err, before)
	}
	if g := r.Group("run-3"); g == nil || !g.Temporary {
		t.Error("after a restart run-3 is not temporary")
	}
	if len(st.Sets) > 5 {
		t.Errorf("%d sets are stored", len(st.Sets))
	}
}

// Too many are deleted before their time, the oldest first, some at a time.
func TestExpireTooMany(t *testing.T) {
	now := at(time.Hour)
	e := newEngine(t, newMachine(), now)
	for i := range maxTemporary + 150 {
		g, err := e.MakeGroup(fmt.Sprintf("run-%06d", i), 0, nil, now)
		if err != nil {
			t.Fatal(err)
		}
		e.MakeTemporary(g, now)
		e.CloseGroup(g, now.after(time.Duration(i)*time.Millisecond))
	}
	now = now.after(time.Hour)
	for i, want := range []int{maxTemporary + 50, maxTemporary, maxTemporary} {
		if _, err := e.Expire(24*time.Hour, now); err != nil {
			t.Fatal(err)
		}
		if n := len(e.Groups()); n != want {
			t.Errorf("%d groups after round %d, want %d", n, i+1, want)
		}
	}
	if name := e.Groups()[0].Name; name != "run-000150" {
		t.Errorf("the oldest left is %s, want run-000150", name)
	}
}

// A group whose only process was forked in a stretch that was lost is not taken for
// one that nobody is in: what expires is looked at after the rescan.
func TestExpireAfterLoss(t *testing.T) {
	now := at(time.Hour)
	m := newMachine()
	e := newEngine(t, m, now)
	g, err := e.MakeGroup("run-1", 0, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	e.MakeTemporary(g, now)
	e.tracker.Fork(1, 100, clock.At(now.Boot, clock.Stamped))
	e.tracker.Add(100, g.ID, false)
	e.Applied(now.Boot)
	now = now.after(time.Hour)
	// It forked and ended; both are lost.
	m.procs[101] = &proc.Process{PID: 101, PPID: 100, Start: clock.At(now.Boot-1e9, clock.Tick), State: 'S', Threads: 1}
	m.procs[100] = &proc.Process{PID: 100, PPID: 1, Start: clock.At(clock.Boot(time.Hour), clock.Tick), State: 'Z', Threads: 1}
	e.Events(nil, 2, 0, now)
	e.tracker.Exit(100, 100, now.Boot)
	if _, err := e.Expire(24*time.Hour, now); err != nil {
		t.Fatal(err)
	}
	if !g.Open() {
		t.Error("a group with a live process was closed: it was forked in the lost stretch")
	}
}
