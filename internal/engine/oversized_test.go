// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"testing"
	"time"

	"elsa/internal/history"
	"elsa/internal/store"
	"elsa/internal/tally"
	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
	"elsa/pkg/usage"
)

// A database of an early version has a process in so many groups that the key of its
// death in the history would be longer than the database takes. It opens, the death
// is billed in each of the groups, and in the history it is in (other).
func TestOversizedSet(t *testing.T) {
	const many = 8190
	db, now := openStore(t), at(time.Hour)
	var all []uint32
	err := db.Commit(func(tx *store.Tx) {
		for id := range uint32(many) {
			all = append(all, id+1)
			tx.PutGroup(groups.Group{ID: id + 1, Name: "g" + time.Duration(id).String(), Created: now.Wall})
		}
		tx.PutSet(2, all, &usage.Usage{})
		tx.PutMember(groups.Life{PID: 100, PPID: 1, Start: clock.At(1e9, clock.Tick), Set: 2}, usage.Account{})
		tx.PutMember(groups.Life{PID: 101, PPID: 1, Start: clock.At(1e9, clock.Tick), Set: 2}, usage.Account{})
		tx.Meta(store.Meta{Created: now.Wall, NextGroup: many + 1, BootID: "boot", AsOf: now.Boot})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Verify(); err != nil {
		t.Errorf("Verify: %v", err)
	}
	st, err := db.Load()
	if err != nil {
		t.Fatal(err)
	}
	m := newMachine()
	for pid := range int32(2) {
		m.procs[100+pid] = &proc.Process{PID: 100 + pid, PPID: 1, Start: clock.At(1e9, clock.Tick), State: 'S', Threads: 1}
		m.used[100+pid] = &proc.Sample{CPU: time.Second, User: time.Second}
	}
	e := newEngine(t, m, now)
	e.Load(st, "boot", now)
	if err := e.GoOn(st, now); err != nil {
		t.Fatal(err)
	}
	// One moves, one dies.
	moved, _ := e.tracker.Live(100)
	if !e.Full(moved, &groups.Group{ID: many + 1}) || e.Add(moved, &groups.Group{ID: many + 1}, false, false, 0, now) {
		t.Error("it was put in one more group")
	}
	if !e.Remove(moved, e.GroupByID(1), now) {
		t.Error("it was not taken out of a group")
	}
	e.Lines([]acct.Record{{Source: acct.BSD, Whole: true, PID: 101, PPID: 1, Begin: now.Wall.Add(1e9 - time.Duration(now.Boot)).Unix(), User: 2 * time.Second, CPU: 2 * time.Second, Comm: [16]byte{'s'}}}, nil, now)
	delete(m.procs, 101)
	now = now.after(10 * time.Second) // no exact record of the death comes
	e.EndStep(now)
	save(t, db, e, now)
	s, err := e.Snapshot(usage.Service{}, now)
	if err != nil {
		t.Fatal(err)
	}
	for i := range s.Groups {
		if u, n := &s.Groups[i].Usage, s.Groups[i].Group.ID; u[usage.Ended] != 1 || u.CPU() != 3*time.Second {
			t.Fatalf("group %d has %d ended, %v CPU; want 1, 3s", n, u[usage.Ended], u.CPU())
		}
	}
	if n := s.Service.Counts[tally.HistoryGroups]; n != 2 {
		t.Errorf("%d are counted, want the move and the death", n)
	}
	var cells []history.Key
	var sum usage.Usage
	if err := db.History(0, 1<<32-1, func(k *history.Key, u *usage.Usage) error {
		cells = append(cells, *k)
		sum.Add(u)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, k := range cells {
		if len(k.Groups) != 0 || !k.Unattributed || k.Command != history.Other {
			t.Errorf("cell %.100v", k)
		}
	}
	if len(cells) == 0 || sum[usage.Ended] != 1 || sum.CPU() != 3*time.Second {
		t.Errorf("%d cells have %d ended, %v CPU; want 1, 3s", len(cells), sum[usage.Ended], sum.CPU())
	}
}
