// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"elsa/internal/history"
	"elsa/internal/store"
	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/cnfork"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// growth makes temporary groups as elsactl run does, each for one process, on an
// engine that keeps some of them.
type growth struct {
	testing.TB
	*Engine
	db   *store.Store
	now  Now
	kept []*groups.Group
	runs int
	// saving and showing are the least that a commit and a snapshot took of late.
	saving, showing time.Duration
	ended           uint64
}

const (
	keptRuns  = 500 // done with, and not deleted yet
	perCommit = 500
)

// run lets n groups come and go.
func (g *growth) run(n int) {
	g.saving, g.showing = time.Hour, time.Hour
	for range n / perCommit {
		for range perCommit {
			g.one()
		}
		g.commit()
	}
}

func (g *growth) one() {
	g.runs++
	g.now = g.now.after(time.Millisecond)
	pid := int32(1000 + g.runs%20000)
	group, err := g.MakeGroup(fmt.Sprintf("run-%09d", g.runs), 1000, nil, g.now)
	if err != nil {
		g.Fatal(err)
	}
	g.MakeTemporary(group)
	g.Events([]cnfork.Event{{Kind: cnfork.Fork, PID: pid, TGID: pid, ParentPID: 1, ParentTGID: 1, Time: clock.Mono(g.now.Boot)}}, 0, 0, g.now)
	life, _ := g.tracker.Live(pid)
	if !g.Add(life, group, false, false, 1000, g.now) {
		g.Fatal("a process was not added")
	}
	line := acct.Record{
		Source: acct.BSD, Whole: true, PID: pid, PPID: 1, UID: 1000, Begin: g.now.Wall.Unix(), User: time.Millisecond, CPU: time.Millisecond,
		Comm: [16]byte{'r', 'u', 'n'},
	}
	exact := line
	exact.Source, exact.Start = acct.Exact, int64(g.now.Boot)
	g.Events([]cnfork.Event{{Kind: cnfork.Exit, PID: pid, TGID: pid, Time: clock.Mono(g.now.Boot) + 1e6}}, 0, 0, g.now)
	g.Exact([]acct.Record{exact}, 0, 0, g.now)
	g.Lines([]acct.Record{line}, nil, g.now)
	g.CloseGroup(group, g.now)
	g.kept = append(g.kept, group)
	if len(g.kept) > keptRuns {
		g.DeleteGroup(g.kept[0])
		g.kept = append(g.kept[:0], g.kept[1:]...)
	}
}

func (g *growth) commit() {
	g.EndStep(g.now)
	began := time.Now()
	save(g, g.db, g.Engine, g.now)
	saved := time.Now()
	s, err := g.Snapshot(usage.Service{}, g.now)
	if err != nil {
		g.Fatal(err)
	}
	g.saving, g.showing = min(g.saving, saved.Sub(began)), min(g.showing, time.Since(saved))
	u := s.AnyGroup
	if u[usage.Ended] < g.ended || u[usage.Ended] != uint64(g.runs) || u.CPU() != time.Duration(g.runs)*time.Millisecond {
		g.Fatalf("after %d runs any group has %d ended and %v CPU", g.runs, u[usage.Ended], u.CPU())
	}
	g.ended = u[usage.Ended]
}

func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// What the engine holds follows what lives, not what ever was: memory, commits and
// snapshots cost the same after 200,000 groups as after the first fifth of them, and
// no bill is lost.
func TestGrowth(t *testing.T) {
	const all = 200_000
	now := at(time.Hour)
	g := &growth{TB: t, Engine: newEngine(t, newMachine(), now), db: openStore(t), now: now}
	g.run(all / 5)
	memory, saving, showing := heap(), g.saving, g.showing
	g.run(all - all/5)
	if m := heap(); m > 1.1*memory {
		t.Errorf("the heap is %.2f times what it was at a fifth", m/memory)
	} else {
		t.Logf("heap %.2f MB, then %.2f MB; commit %v, then %v; snapshot %v, then %v", memory/1e6, m/1e6, saving, g.saving, showing, g.showing)
	}
	if g.saving > 5*saving || g.showing > 5*showing {
		t.Errorf("a commit takes %v, then %v; a snapshot %v, then %v", saving, g.saving, showing, g.showing)
	}
	if n := g.tracker.Sets.Len(); n > 4*keptRuns {
		t.Errorf("%d sets for %d groups", n, len(g.Groups()))
	}
	// The groups had ids of sets in turn: each has one death in its history, its own.
	ended := map[uint32]uint64{}
	if err := g.db.History(0, 1<<32-1, func(k *history.Key, u *usage.Usage) error {
		for _, id := range k.Groups {
			ended[id] += u[usage.Ended]
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, group := range g.Groups() {
		if n := ended[group.ID]; n != 1 {
			t.Fatalf("group %d has %d deaths in its history, want 1", group.ID, n)
		}
	}
	st, err := g.db.Load()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(st.Sets); n > keptRuns+10 {
		t.Errorf("%d sets are stored for %d groups", n, len(st.Groups))
	}
}
