// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"elsa/internal/engine"
	"elsa/internal/rules"
	"elsa/internal/store"
	"elsa/internal/tally"
	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/cnfork"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
	"elsa/pkg/stream"
	"elsa/pkg/usage"
)

// newPipeline returns a pipeline with a database of its own, whose sources say
// nothing.
func newPipeline(t testing.TB, db *store.Store, set *rules.Set) *Pipeline {
	t.Helper()
	processes := proc.NewBounded(proc.Default)
	e, err := engine.New(engine.Options{
		World: NewWorld(processes, rules.Numbers{}, nil), Commands: 1000, Retention: 24 * time.Hour, Hours: 24 * time.Hour,
		KnownCommands: func(uint32) []string { return nil }, Rules: set,
	}, readNow())
	if err != nil {
		t.Fatal(err)
	}
	p := New(Options{
		Engine: e, Store: db, Proc: processes, Log: slog.New(slog.DiscardHandler),
		Sources: Sources{Events: stream.NewMemory[cnfork.Event](), Taskstats: stream.NewMemory[acct.Record](), Exact: stream.NewMemory[acct.Record]()},
	})
	p.setClocks()
	p.watch.next = 1 << 62
	return p
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
			p := newPipeline(t, db, nil)
			p.Engine.Load(&store.State{Meta: store.Meta{NextGroup: 1}}, tt.boot, readNow())
			p.takeTaskstats(&stream.Batch[acct.Record]{Items: []acct.Record{{Source: acct.Taskstats, Whole: true, PID: 77}}})
			p.meta.CleanStop = true
			if tt.handed {
				drops := uint32(0)
				p.meta.StoredTaskstats = &drops
			}
			if err := p.commit(); err != nil {
				t.Fatal(err)
			}
			st, err := db.Load()
			if err != nil {
				t.Fatal(err)
			}
			if len(st.Held) != tt.held {
				t.Errorf("the database holds %+v, want %d records", st.Held, tt.held)
			}
			next := newPipeline(t, db, nil)
			if err := next.Restore(st, false, io.Discard); err != nil {
				t.Fatal(err)
			}
			if n := next.Engine.Held(); n != tt.used {
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
	p := newPipeline(t, openStore(t), nil)
	p.takeTaskstats(&stream.Batch[acct.Record]{Rejected: 2, Items: []acct.Record{
		{Source: acct.Taskstats, PID: 78, CPU: time.Second},
		{Source: acct.Taskstats, Whole: true, PID: 77},
	}})
	p.takeExact(&stream.Batch[acct.Record]{Rejected: 3})
	s, err := p.view()
	if err != nil {
		t.Fatal(err)
	}
	if n, part := p.Engine.Held(), s.Service.Counts[tally.JoinedPart]; n != 1 || part != 1 {
		t.Errorf("%d records wait for their line, %d are parts; want 1 and 1", n, part)
	}
	if n := s.Service.Counts[tally.EventsRejected]; n != 5 {
		t.Errorf("%d messages rejected, want 5", n)
	}
}

// TestNothingBeforeRescan loses an exit and the next fork of its pid. The child
// of that pid's next life is in no group that anybody is shown, or that is
// committed, and no rule looks at it before the rescan.
func TestNothingBeforeRescan(t *testing.T) {
	looks := map[string]func(*Pipeline) error{
		"a commit":      (*Pipeline).commit,
		"a request":     func(p *Pipeline) error { return Turn{p: p}.Sync(false) },
		"a step":        (*Pipeline).step,
		"a sample":      func(p *Pipeline) error { return Turn{p: p}.list() },
		"the expiry":    (*Pipeline).expire,
		"the page":      func(p *Pipeline) error { return p.Engine.EachMember(1, readNow(), func(groups.Life) {}) },
		"a status":      func(p *Pipeline) error { _, err := p.view(); return err },
		"the last step": func(p *Pipeline) error { return p.Engine.SampleMembers(readNow()) },
		"new rules":     func(p *Pipeline) error { return p.Engine.ApplyRules(readNow()) },
	}
	for name, look := range looks {
		t.Run(name, func(t *testing.T) {
			p := newPipeline(t, openStore(t), nil)
			e := p.Engine
			g, err := e.MakeGroup("g", 0, nil, readNow())
			if err != nil {
				t.Fatal(err)
			}
			const stranger, child = 4000001, 4000002 // no such processes
			now := clock.Mono(readNow().Boot.Add(-proc.Asleep()))
			fork := func(lost uint64, parent, pid int32, at clock.Mono) {
				p.takeEvents(&stream.Batch[cnfork.Event]{Lost: lost, Items: []cnfork.Event{{
					Kind: cnfork.Fork, PID: pid, TGID: pid, ParentPID: parent, ParentTGID: parent, Time: at,
				}}})
			}
			fork(0, 1, stranger, now)
			e.Add(groups.Life{PID: stranger}, g, false, false, 0, readNow())
			fork(2, stranger, child, now+1)
			if err := look(p); err != nil {
				t.Fatal(err)
			}
			s, err := p.view()
			if err != nil {
				t.Fatal(err)
			}
			if n := s.Groups[0].Usage[usage.Started]; n != 1 {
				t.Errorf("%d started in the group, want 1", n)
			}
			if n := s.Service.Counts[tally.Rescans]; n != 1 {
				t.Errorf("%d rescans, want 1", n)
			}
		})
	}
}
