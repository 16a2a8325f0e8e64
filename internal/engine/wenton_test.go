// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"testing"
	"time"

	"elsa/internal/store"
	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/cnfork"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
	"elsa/pkg/stream"
	"elsa/pkg/usage"
)

// TestGoOnAfterCrash commits a group with a process, goes on, and is gone without a
// stop. The next engine gets the events since the commit again: all that a member
// forked is in its group, also by parents that are gone, and none is inferred. Who
// began before and is not stored was in no group. Once events are lost, it is not known.
func TestGoOnAfterCrash(t *testing.T) {
	m, db, now := newMachine(), openStore(t), at(time.Minute)
	start := func(pid int32) clock.Boot { return clock.Boot(time.Minute) + clock.Boot(pid)*clock.Boot(time.Second) }
	fork := func(parent, pid int32) cnfork.Event {
		return cnfork.Event{Kind: cnfork.Fork, PID: pid, TGID: pid, Start: start(pid), Forker: parent, ForkerStart: start(parent)}
	}
	exit := func(pid int32) cnfork.Event {
		return cnfork.Event{Kind: cnfork.Exit, PID: pid, TGID: pid, Start: start(pid), End: start(pid) + 500}
	}
	line := func(pid, parent int32) acct.Record {
		return acct.Record{
			Source: acct.BSD, Whole: true, PID: pid, PPID: parent,
			Begin: at(0).Wall.Add(time.Duration(start(pid))).Unix(), Elapsed: time.Millisecond, CPU: time.Millisecond, User: time.Millisecond,
		}
	}
	engine := func(resumed bool, now Now) *Engine {
		e, err := New(Options{
			World: m, Commands: 1000, Retention: 24 * time.Hour, Hours: 24 * time.Hour, WholeExits: true, Ledger: true, Resumed: resumed,
			KnownCommands: func(uint32) []string { return nil },
		}, now)
		if err != nil {
			t.Fatal(err)
		}
		e.SetClocks(now, 0, 4*time.Millisecond)
		return e
	}
	for _, pid := range []int32{10, 20, 30} {
		m.procs[pid] = &proc.Process{PID: pid, PPID: 1, Start: clock.At(start(pid), clock.Tick), State: 'S', Threads: 1}
	}
	first := engine(false, now.after(40*time.Second))
	first.Load(&store.State{Meta: store.Meta{NextGroup: 1}}, "boot", first.now)
	if err := first.GoOn(&store.State{}, first.now); err != nil {
		t.Fatal(err)
	}
	g, err := first.MakeGroup("g", 0, nil, first.now)
	if err != nil {
		t.Fatal(err)
	}
	l, _ := first.Live(10)
	first.Add(l, g, false, false, 0, first.now)
	committed := now.after(41 * time.Second)
	first.Applied(committed.Boot)
	if err := first.Prepare(committed); err != nil {
		t.Fatal(err)
	}
	held := acct.Record{Source: acct.Exact, Whole: true, PID: 77, Start: int64(start(77)), CPU: time.Second, User: time.Second}
	first.Exact([]acct.Record{held}, 0, 0, committed)
	err = db.Commit(func(tx *store.Tx) {
		first.Save(tx, &store.Meta{Ring: &store.Ring{ID: 1, Events: &stream.Cursor{Position: 5}, Releases: &stream.Cursor{}}})
	})
	first.Saved(err)
	if err != nil {
		t.Fatal(err)
	}
	// Since then: a member's child and an orphan of it, and children of two that are
	// not stored, of which one is gone now.
	events := []cnfork.Event{
		fork(10, 42), fork(42, 43), exit(42), fork(20, 44), fork(30, 45), exit(45), exit(30), exit(43),
	}
	first.Events(events, 0, 0, now.after(60*time.Second))
	m.procs[44] = &proc.Process{PID: 44, PPID: 20, Start: clock.At(start(44), clock.Tick), State: 'S', Threads: 1}
	delete(m.procs, 30)

	st, err := db.Load()
	if err != nil {
		t.Fatal(err)
	}
	if len(st.Held) != 1 || st.Meta.Ring == nil || st.Meta.Ring.Events.Position != 5 {
		t.Fatalf("stored are %d records and ring %+v", len(st.Held), st.Meta.Ring)
	}
	since := now.after(70 * time.Second)
	e := engine(true, since)
	if e.Load(st, "boot", since) {
		t.Fatal("another boot")
	}
	e.GoOnWithStream(st, since)
	e.Events(events, 0, 0, since)
	if err := e.GoneOn(since, since); err != nil {
		t.Fatal(err)
	}
	if e.Held() != 1 {
		t.Errorf("%d records are held, want the one that was", e.Held())
	}
	e.Applied(since.Boot)
	e.Lines([]acct.Record{line(42, 10), line(45, 30), line(43, 1), line(30, 1), line(31, 1)}, e.Place(), since)
	e.EndStep(since)
	snap, err := e.Snapshot(usage.Service{}, since)
	if err != nil {
		t.Fatal(err)
	}
	of := snap.Groups[0].Usage
	if of[usage.Started] != 3 || of[usage.Ended] != 2 || of[usage.Inferred] != 0 {
		t.Errorf("in the group %d started, %d ended, %d are inferred; want 3, 2 and none", of[usage.Started], of[usage.Ended], of[usage.Inferred])
	}
	if u := snap.Unattributed; u[usage.Started] != 0 || u[usage.Ended] != 0 {
		t.Errorf("unattributed: %v", u)
	}
	if n := snap.Ungrouped[usage.Ended]; n != 3 {
		t.Errorf("%d ended in no group, want 3", n)
	}
	if l, ok := e.tracker.Lookup(20); !ok || l.Set != groups.Ungrouped {
		t.Errorf("20 is in %v (%v)", l.Set, ok)
	}

	e.Events(nil, 1, 0, since)
	if err := e.RescanIfLost(since); err != nil {
		t.Fatal(err)
	}
	e.Lines([]acct.Record{line(32, 31)}, nil, since)
	if snap, err = e.Snapshot(usage.Service{}, since); err != nil || snap.Unattributed[usage.Ended] != 1 {
		t.Errorf("after loss %d are unattributed, want the one nobody knows (%v)", snap.Unattributed[usage.Ended], err)
	}
}
