// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"elsa/internal/rules"
	"elsa/internal/store"
	"elsa/pkg/acct"
	"elsa/pkg/api"
	"elsa/pkg/cnfork"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
	"elsa/pkg/stream"
	"elsa/pkg/usage"
)

// newCore returns a core with a database of its own, whose sources say nothing.
func newCore(t testing.TB, db *store.Store) *core {
	t.Helper()
	c := &core{
		log: slog.New(slog.DiscardHandler), proc: proc.Default, store: db,
		tracker: groups.New(groups.NewSets()), join: usage.NewJoin(), rules: &rules.Set{},
		events: newQuiet[cnfork.Event](), taskstats: newQuiet[acct.Record](), exact: newQuiet[acct.Record](),
		sampler: proc.Default.NewSampler(),
	}
	c.keepLineage()
	c.keepHistory(1000, 24*time.Hour, 24*time.Hour)
	c.meta.NextGroup = 1
	c.setClocks()
	c.watch.next = 1 << 62
	return c
}

func openStore(t testing.TB) *store.Store {
	t.Helper()
	db, err := store.Open(filepath.Join(t.TempDir(), "elsa.db"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// TestHeldOver stops a service that has the record of a death whose line it did
// not read: over a planned restart of the same boot it waits in the database.
func TestHeldOver(t *testing.T) {
	boot, err := proc.Default.BootID()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name       string
		handed     bool
		boot       string
		held, used int
	}{
		{"planned restart", true, boot, 1, 1},
		{"the machine was rebooted", true, "another", 1, 0},
		{"stop without a manager", false, boot, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db := openStore(t)
			c := newCore(t, db)
			c.takeTaskstats(&stream.Batch[acct.Record]{Items: []acct.Record{{Source: acct.Taskstats, Whole: true, PID: 77}}})
			c.meta.CleanStop, c.meta.BootID = true, tt.boot
			if tt.handed {
				drops := uint32(0)
				c.meta.StoredTaskstats = &drops
			}
			c.unsaved = true
			if err := c.commit(); err != nil {
				t.Fatal(err)
			}
			st, err := db.Load()
			if err != nil {
				t.Fatal(err)
			}
			if len(st.Held) != tt.held {
				t.Errorf("the database holds %+v, want %d records", st.Held, tt.held)
			}
			next := newCore(t, db)
			if err := next.restore(st); err != nil {
				t.Fatal(err)
			}
			if n := next.join.Held(); n != tt.used {
				t.Errorf("the next start holds %d records, want %d", n, tt.used)
			}
			if st, err := db.Load(); err != nil || len(st.Held) != 0 {
				t.Errorf("once taken over the database holds %+v, %v", st.Held, err)
			}
		})
	}
}

// TestParts gives records of single threads and messages that are none: both are
// left out, and counted.
func TestParts(t *testing.T) {
	c := newCore(t, openStore(t))
	c.takeTaskstats(&stream.Batch[acct.Record]{Rejected: 2, Items: []acct.Record{
		{Source: acct.Taskstats, PID: 78, CPU: time.Second},
		{Source: acct.Taskstats, Whole: true, PID: 77},
	}})
	c.takeExact(&stream.Batch[acct.Record]{Rejected: 3})
	s := c.view()
	if n, part := c.join.Held(), s.Service.Joined["part"]; n != 1 || part != 1 {
		t.Errorf("%d records wait for their line, %d are parts; want 1 and 1", n, part)
	}
	if n := s.Service.EventsRejected; n != 5 {
		t.Errorf("%d messages rejected, want 5", n)
	}
}

// TestNothingBeforeRescan loses an exit and the next fork of its pid. The child
// of that pid's next life is in no group that anybody is shown, or that is
// committed, and no rule looks at it before the rescan.
func TestNothingBeforeRescan(t *testing.T) {
	looks := map[string]func(*core) error{
		"a commit":  (*core).commit,
		"a request": func(c *core) error { return c.current(false) },
		"a step":    (*core).step,
		"a sample":  func(c *core) error { newLive(c).list(); return nil },
	}
	for name, look := range looks {
		t.Run(name, func(t *testing.T) {
			c := newCore(t, openStore(t))
			g, err := c.makeGroup("g", 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			const stranger, child = 4000001, 4000002 // no such processes
			now := proc.Boottime()
			c.tracker.Fork(0, stranger, now)
			c.tracker.Add(stranger, g.ID, false)
			set := c.tracker.Sets.Only(g.ID)
			c.takeEvents(&stream.Batch[cnfork.Event]{Lost: 2, Items: []cnfork.Event{{
				Kind: cnfork.Fork, PID: child, TGID: child, ParentPID: stranger, ParentTGID: stranger, Time: now + 1 - c.monotonic,
			}}})
			if err := look(c); err != nil {
				t.Fatal(err)
			}
			if l, ok := c.tracker.Peek(child, func(*groups.Life) bool { return true }); !ok || l.Set != groups.Unattributed || !l.Unproven {
				t.Errorf("the child: %+v, %v", l, ok)
			}
			c.view()
			if n := c.join.Total(set)[usage.Started]; n != 1 {
				t.Errorf("%d started in the group, want 1", n)
			}
			if c.counters.resyncs != 1 {
				t.Errorf("%d rescans, want 1", c.counters.resyncs)
			}
		})
	}
}

// What is dead or dying and not known has its line written; what is known, or has
// other threads, is not left out of a look at /proc.
func TestTold(t *testing.T) {
	tracker := groups.New(groups.NewSets())
	tracker.Fork(1, 10, 5e9)
	c := &core{tracker: tracker, resync: true}
	for _, tt := range []struct {
		name string
		p    proc.Process
		want bool
	}{
		{"alive", proc.Process{PID: 11, State: 'R', Threads: 1, Start: 5e9}, false},
		{"a zombie", proc.Process{PID: 11, State: 'Z', Exiting: true, Threads: 1, Start: 5e9}, true},
		{"between its line and its end", proc.Process{PID: 11, State: 'R', Exiting: true, Threads: 1, Start: 5e9}, true},
		{"a main thread on its way out", proc.Process{PID: 11, State: 'R', Exiting: true, Threads: 2, Start: 5e9}, false},
		{"known", proc.Process{PID: 10, State: 'R', Exiting: true, Threads: 1, Start: 5e9}, false},
		{"a known one's next life", proc.Process{PID: 10, State: 'Z', Exiting: true, Threads: 1, Start: 6e9}, true},
	} {
		if got := c.told(&tt.p); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestGroupIsTheOneNamed lets a rule make a group while a request is served, which
// moves the others in the list.
func TestGroupIsTheOneNamed(t *testing.T) {
	admin, self := api.Caller{Admin: true}, os.Getpid()
	requests := map[string]func(*testing.T, *service) error{
		"add": func(t *testing.T, s *service) error {
			_, err := s.AddMembers(t.Context(), admin, "m", api.AddRequest{PIDs: []int{self}})
			return err
		},
		"show": func(t *testing.T, s *service) error {
			d, err := s.Group(t.Context(), admin, "m")
			if err == nil && d.Name != "m" {
				t.Errorf("shown is %s", d.Name)
			}
			return err
		},
		"remove": func(t *testing.T, s *service) error {
			_, err := s.RemoveMembers(t.Context(), admin, "m", api.RemoveRequest{PIDs: []int{self}})
			if !strings.Contains(fmt.Sprint(err), "is not in group m") {
				t.Errorf("removed from m: %v", err)
			}
			return nil
		},
		"delete": func(t *testing.T, s *service) error { return s.DeleteGroup(t.Context(), admin, "m") },
	}
	for name, request := range requests {
		t.Run(name, func(t *testing.T) {
			c := newCore(t, openStore(t))
			c.requests, c.stopped, c.names = make(chan func()), make(chan struct{}), rules.Names{}
			go func() {
				for f := range c.requests {
					f()
				}
			}()
			defer close(c.requests)
			for _, g := range []string{"m", "y", "z"} {
				if _, err := c.makeGroup(g, 0, nil); err != nil {
					t.Fatal(err)
				}
			}
			var doc yaml.Node
			if err := yaml.Unmarshal([]byte("{list: [{group: a, command: ['*']}]}"), &doc); err != nil {
				t.Fatal(err)
			}
			set, err := rules.Parse(doc.Content[0])
			if err != nil {
				t.Fatal(err)
			}
			c.rules = set
			c.resync, c.ruleable = true, []int32{int32(self)}
			if err := request(t, &service{core: c}); err != nil {
				t.Fatal(err)
			}
			l, _ := c.tracker.Live(int32(self))
			var names []string
			for _, g := range c.groups {
				names = append(names, g.Name)
			}
			in, wantNames, wantIn := c.groupNames(l.Set), []string{"a", "m", "y", "z"}, []string{"a"}
			switch name {
			case "add":
				wantIn = []string{"a", "m"}
			case "delete":
				wantNames = []string{"a", "y", "z"}
			}
			if !slices.Equal(names, wantNames) || !slices.Equal(in, wantIn) {
				t.Errorf("groups %v, this process is in %v; want %v and %v", names, in, wantNames, wantIn)
			}
		})
	}
}
