// SPDX-License-Identifier: Apache-2.0

package groups

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestModelLoss loses random events and then looks at /proc, as the service does
// before anything else. All that lives must be known then, and what the tracker
// claims to know must be true.
func TestModelLoss(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &lossModel{kernel: newKernel()}
		for range rapid.IntRange(1, 6).Draw(t, "rounds") {
			for range rapid.IntRange(0, 4).Draw(t, "changes") {
				if len(m.live) < pids-3 {
					m.forkOne(t)
				}
				m.change(t)
			}
			m.now += sec
			m.since = m.now
			t.Repeat(map[string]func(*rapid.T){
				"deaf":       func(t *rapid.T) { m.deaf = rapid.Bool().Draw(t, "deaf") },
				"fork":       func(t *rapid.T) { m.forkOne(t) },
				"thread":     m.makeThread,
				"endThread":  m.endThread,
				"end":        func(t *rapid.T) { m.endLeader(t) },
				"endAnother": func(t *rapid.T) { m.endLeader(t) },
				"execLeader": m.execLeader,
				"execThread": m.execThread,
			})
			m.deaf = false
			m.resync(t)
		}
		m.ledger = nil
		m.endAll()
		m.checkEmpty(t)
	})
}

type lossModel struct {
	*kernel
	since int64
}

func (m *lossModel) resync(t *rapid.T) {
	m.now += 100 * ms
	m.Resync(m.listing(), m.since, m.now, func(k Key) bool {
		p := m.live[k.PID]
		return p == nil || !p.fits(&Life{Start: k.Start})
	})
	if n := m.Processes(); n != len(m.live) {
		t.Fatalf("Processes() = %d, want %d\n%s", n, len(m.live), m.world)
	}
	all := slices.SortedFunc(maps.Values(m.live), func(a, b *process) int { return a.id - b.id })
	for _, p := range all {
		l, ok := m.Live(p.pid)
		if !ok || !p.fits(&l) {
			t.Fatalf("process %d, born %d: Live = %+v, %v\n%s", p.pid, p.start, l, ok, m.world)
		}
		m.compare(t, p, l)
	}
	// Then the lines are read.
	for _, p := range m.ledger {
		l, ok := m.Reap(p.pid, p.fits)
		if !ok && !p.unheard || ok && l.Again {
			t.Fatalf("line of process %d: %+v, %v", p.pid, l, ok)
		}
		if ok && m.heardAll(p) {
			m.compare(t, p, l)
		}
	}
	m.ledger = nil
	m.Barrier(func(l Life) bool { return true })
}

// heardAll reports whether no fork was lost on p's way from the time when all
// was known.
func (m *lossModel) heardAll(p *process) bool {
	for ; p.start > m.since; p = p.parent {
		if p.unheard {
			return false
		}
	}
	return true
}

func (m *lossModel) compare(t *rapid.T, p *process, l Life) {
	in := m.members()[p.id]
	if l.Unproven {
		if l.Set != Unattributed {
			t.Fatalf("unproven, but in set %d: %+v", l.Set, l)
		}
		if in[unknown] {
			return
		}
		// Only one whose parent cannot be known may be unproven.
		byEvent := !p.unheard
		parentLives := m.live[p.parent.pid] == p.parent
		parentProven := parentLives && !m.members()[p.parent.id][unknown]
		if m.heardAll(p) || parentProven && (byEvent || p.parent.pid != 1) {
			t.Fatalf("process %d is unproven without need\n%s", p.pid, m.world)
		}
		m.story = append(m.story, deed{what: "only", id: p.id, gid: unknown})
		return
	}
	if m.heardAll(p) && l.Inferred && p.start > m.since && !m.inferredBefore(p) {
		t.Fatalf("process %d is inferred without need\n%s", p.pid, m.world)
	}
	if slices.Equal(slices.Sorted(maps.Keys(in)), m.Sets.Groups(l.Set)) {
		return
	}
	if m.misled(p) {
		m.story = append(m.story, deed{what: "none", id: p.id})
		for _, gid := range m.Sets.Groups(l.Set) {
			m.story = append(m.story, deed{what: "add", id: p.id, gid: gid})
		}
		return
	}
	t.Fatalf("process %d is in %v, want %v\n%+v\n%s", p.pid, m.Sets.Groups(l.Set), in, l, m.world)
}

// misled reports whether nothing can tell where p belongs: its parent came and
// went unheard, and a known process had that pid before, so that p, heard of,
// seems to be that one's child.
func (m *lossModel) misled(p *process) bool {
	return p.start > m.since && (!p.unheard && p.parent.unheard && m.live[p.parent.pid] != p.parent || m.misled(p.parent))
}

func (m *lossModel) inferredBefore(p *process) bool {
	for ; p.id != 0; p = p.parent {
		if p.start <= m.since {
			return true // as it was then; the flag is inherited
		}
	}
	return false
}
