// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"elsa/internal/rules"
	"elsa/internal/store"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
	"elsa/pkg/usage"
)

// newTestCore is a core without sources, on a new database.
func newTestCore(t *testing.T) *core {
	t.Helper()
	db, err := store.Open(filepath.Join(t.TempDir(), "elsa.db"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	c := &core{
		log: slog.New(slog.DiscardHandler), proc: proc.Default, store: db,
		tracker: groups.New(groups.NewSets()), join: usage.NewJoin(), rules: &rules.Set{}, sampler: proc.Default.NewSampler(),
	}
	c.keepLineage()
	c.keepHistory(1000, 24*time.Hour, 24*time.Hour)
	c.meta.NextGroup = 1
	return c
}

// A temporary group goes its way: closed if its maker does not, kept for the
// retention, and deleted with its bill in the totals, where nothing falls. It
// leaves nothing behind, in memory or on disk, however many there are.
func TestExpire(t *testing.T) {
	c := newTestCore(t)
	const retention = 24 * time.Hour
	now := time.Now()
	pid := int32(1000)
	run := func(name string, temporary bool) {
		t.Helper()
		g, err := c.makeGroup(name, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		g.Created, g.Temporary = now, temporary
		pid++
		c.tracker.Fork(1, pid, int64(pid))
		change, _ := c.tracker.Add(pid, g.ID, false)
		c.join.Sample(change.Life.Key(), change.To, &usage.Measure{usage.User: uint64(time.Second)})
	}
	end := func(pid int32) {
		life, _ := c.tracker.Live(pid)
		c.tracker.Exit(pid, pid, life.Start+1e9)
		life, _ = c.tracker.Reap(pid, func(*groups.Life) bool { return true })
		c.join.Unledgered(life, life.Exit)
	}
	var before usage.Usage
	check := func(want ...string) {
		t.Helper()
		if err := c.commit(); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, g := range c.groups {
			got = append(got, g.Name+" "+g.State())
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("groups %v, want %v", got, want)
		}
		s := c.view()
		if s.AnyGroup[usage.User] < before[usage.User] || s.AnyGroup[usage.Started] < before[usage.Started] || s.AnyGroup[usage.Ended] < before[usage.Ended] {
			t.Errorf("any group fell from %+v to %+v", before, s.AnyGroup)
		}
		before = s.AnyGroup
	}
	pass := func(d time.Duration) { now = now.Add(d); c.expire(now, retention) }

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
	if before[usage.Ended] != 2 || time.Duration(before[usage.User]) != 2*time.Second {
		t.Errorf("any group has %+v, want both processes", before)
	}

	// With a process of its own that lives on, the group stays, closed as it is.
	run("run-2", true)
	c.group("run-2").Closed = now
	pass(10 * retention)
	check("keep open", "run-2 closed")
	end(1003)
	pass(time.Second)
	check("keep open")

	// One that nobody put a process in.
	g, _ := c.makeGroup("run-3", 0, nil)
	g.Created, g.Temporary = now, true
	pass(time.Second)
	check("keep open", "run-3 open")
	pass(time.Hour)
	check("keep open", "run-3 closed")

	// After a restart all is as it was.
	st, err := c.store.Load()
	if err != nil {
		t.Fatal(err)
	}
	r := newTestCore(t)
	r.load(st)
	if got := r.view().AnyGroup; got[usage.User] != before[usage.User] || got[usage.Ended] != before[usage.Ended] {
		t.Errorf("after a restart any group has %+v, want %+v", got, before)
	}
	if g := r.group("run-3"); g == nil || !g.Temporary {
		t.Error("after a restart run-3 is not temporary")
	}
	if len(st.Sets) > 5 {
		t.Errorf("%d sets are stored", len(st.Sets))
	}
}

// Too many are deleted before their time, the oldest first, some at a time.
func TestExpireTooMany(t *testing.T) {
	c := newTestCore(t)
	now := time.Now()
	for i := range maxTemporary + 150 {
		c.groups = append(c.groups, groups.Group{
			ID: uint32(i + 1), Name: fmt.Sprintf("run-%06d", i), Temporary: true, Created: now, Closed: now.Add(time.Duration(i) * time.Millisecond),
		})
	}
	now = now.Add(time.Hour)
	for i, want := range []int{maxTemporary + 50, maxTemporary, maxTemporary} {
		c.expire(now, 24*time.Hour)
		if len(c.groups) != want {
			t.Errorf("%d groups after round %d, want %d", len(c.groups), i+1, want)
		}
	}
	if c.groups[0].Name != "run-000150" {
		t.Errorf("the oldest left is %s, want run-000150", c.groups[0].Name)
	}
}
