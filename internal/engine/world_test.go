// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"elsa/internal/rules"
	"elsa/internal/store"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
)

// machine is a made-up machine: the processes that /proc would show, and what they
// used.
type machine struct {
	rules.Names
	procs map[int32]*proc.Process
	used  map[int32]*proc.Sample
}

func newMachine() *machine {
	return &machine{Names: rules.Numbers{}, procs: map[int32]*proc.Process{}, used: map[int32]*proc.Sample{}}
}

func (m *machine) Process(pid int32) (proc.Process, error) {
	if p := m.procs[pid]; p != nil {
		return *p, nil
	}
	return proc.Process{}, fs.ErrNotExist
}

func (m *machine) Processes(buf []proc.Process) ([]proc.Process, error) {
	for _, p := range m.procs {
		buf = append(buf, *p)
	}
	return buf, nil
}

func (m *machine) Threads(int32) ([]int32, error) { return nil, fs.ErrNotExist }
func (m *machine) IsThread(int32) bool            { return false }

func (m *machine) Sample(k groups.Key, s *proc.Sample) error {
	if u := m.used[k.PID]; u != nil && m.procs[k.PID] != nil {
		*s = *u
		return nil
	}
	return fs.ErrNotExist
}

func (m *machine) Traits(p proc.Process, _ uint64) rules.Traits { return rules.Gone(p, m) }

// newEngine returns an engine on a made-up machine, with a history of a day.
func newEngine(t testing.TB, m *machine, now Now) *Engine {
	t.Helper()
	e, err := New(Options{
		World: m, Commands: 1000, Retention: 24 * time.Hour, Hours: 24 * time.Hour, ExpectExact: true,
		KnownCommands: func(uint32) []string { return nil },
	}, now)
	if err != nil {
		t.Fatal(err)
	}
	e.SetClocks(now, 0, 4*time.Millisecond)
	return e
}

// at is a reading of clocks, so long after a machine's boot.
func at(d time.Duration) Now {
	return Now{Boot: clock.Boot(d), Wall: time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC).Add(d)}
}

// after is the same clocks some time later.
func (n Now) after(d time.Duration) Now { return Now{Boot: n.Boot.Add(d), Wall: n.Wall.Add(d)} }

func openStore(t testing.TB) *store.Store {
	t.Helper()
	db, err := store.Open(filepath.Join(t.TempDir(), "elsa.db"), at(0).Wall)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// save commits what an engine knows.
func save(t testing.TB, db *store.Store, e *Engine, now Now) {
	t.Helper()
	if err := e.Prepare(now); err != nil {
		t.Fatal(err)
	}
	var meta store.Meta
	err := db.Commit(func(tx *store.Tx) { e.Save(tx, &meta) })
	e.Saved(err)
	if err != nil {
		t.Fatal(err)
	}
}
