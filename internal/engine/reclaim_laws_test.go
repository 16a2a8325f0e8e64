// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"maps"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"elsa/internal/history"
	"elsa/internal/store"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

func (m *reclaimModel) commit(t *rapid.T) {
	m.pass(time.Second)
	m.Applied(m.now.Boot)
	save(m, m.db, m.Engine, m.now)
	m.saved = m.truth.clone()
	m.checkStored(t)
}

func (m *reclaimModel) fail(t *rapid.T) {
	if err := m.Prepare(m.now); err != nil {
		t.Fatal(err)
	}
	var meta store.Meta
	err := m.db.Commit(func(tx *store.Tx) {
		m.Save(tx, &meta)
		tx.AddCell(&history.Key{Command: strings.Repeat("x", 1<<16)}, &usage.Usage{}) // more than bbolt takes
	})
	if m.Saved(err); err == nil {
		t.Fatal("the transaction did not fail")
	}
}

// crash goes on from the last commit, as if nothing had been since.
func (m *reclaimModel) crash(t *rapid.T) {
	st, err := m.db.Load()
	if err != nil {
		t.Fatal(err)
	}
	m.truth = m.saved.clone()
	for pid := range m.machine.procs {
		if pid != 1 {
			delete(m.machine.procs, pid)
		}
	}
	for _, p := range m.living {
		m.show(p)
	}
	m.Engine = newEngine(m, m.machine, m.now)
	m.Load(st, "", m.now)
	if err := m.GoOn(st, m.now); err != nil {
		t.Fatal(err)
	}
}

// checkStored fails when something stored names a set that is not.
func (m *reclaimModel) checkStored(t *rapid.T) {
	st, err := m.db.Load()
	if err != nil {
		t.Fatal(err)
	}
	sets := map[groups.SetID]bool{groups.Ungrouped: true, groups.Unattributed: true}
	for i := range st.Sets {
		sets[st.Sets[i].ID] = true
	}
	for i := range st.Members {
		if l := &st.Members[i].Life; !sets[l.Set] {
			t.Fatalf("stored member %d is in set %d, which is not stored", l.PID, l.Set)
		}
	}
	for i := range st.Deaths {
		if d := &st.Deaths[i]; !sets[d.Set] {
			t.Fatalf("stored death %d is in set %d, which is not stored", d.Key.PID, d.Set)
		}
	}
}

func (m *reclaimModel) check(t *rapid.T) {
	live := map[uint32]time.Duration{}
	var grouped time.Duration
	for pid, p := range m.living {
		want := slices.Sorted(maps.Keys(p.in))
		if got := m.tracker.Sets.Groups(m.life(t, p).Set); !slices.Equal(got, want) {
			t.Fatalf("process %d is in groups %v, want %v", pid, got, want)
		}
		for g := range p.in {
			live[g] += p.used - p.old
		}
		if len(p.in) > 0 {
			grouped += p.used - p.old
		}
	}
	s, err := m.Snapshot(usage.Service{}, m.now)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Groups) != len(m.bills) {
		t.Fatalf("%d groups, want %d", len(s.Groups), len(m.bills))
	}
	same := func(what string, u *usage.Usage, b *billed, live time.Duration) {
		if u[usage.Ended] != b.ended {
			t.Fatalf("%s: %d ended, want %d", what, u[usage.Ended], b.ended)
		}
		// Of the CPU of a death only what is sure is charged at first.
		if len(m.waiting) == 0 && u.CPU() != b.cpu+live {
			t.Fatalf("%s: CPU %v, want %v and %v of the living", what, u.CPU(), b.cpu, live)
		}
	}
	for i := range s.Groups {
		g := &s.Groups[i].Group
		same(g.Name, &s.Groups[i].Usage, m.bills[g.ID], live[g.ID])
	}
	same("any group", &s.AnyGroup, &m.grouped, grouped)
	if u := &s.Unattributed; *u != (usage.Usage{}) {
		t.Fatalf("unattributed: %v", u)
	}
	if u := &s.Ungrouped; u[usage.Ended] != m.strangers.ended {
		t.Fatalf("ungrouped: %d ended, want %d", u[usage.Ended], m.strangers.ended)
	}
}

// checkHistory compares the history that is stored with the bills of what is over.
func (m *reclaimModel) checkHistory(t *rapid.T) {
	got := map[uint32]*billed{}
	for g := range m.bills {
		got[g] = &billed{}
	}
	if err := m.db.History(0, 1<<32-1, func(k *history.Key, u *usage.Usage) error {
		for _, g := range k.Groups {
			if b := got[g]; b != nil {
				b.cpu += u.CPU()
				b.ended += u[usage.Ended]
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for g, b := range m.bills {
		if *got[g] != *b {
			t.Fatalf("group %d: the history has %+v, the bills %+v", g, *got[g], *b)
		}
	}
}
