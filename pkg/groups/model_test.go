// SPDX-License-Identifier: Apache-2.0

package groups

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestModel does random things to a make-believe kernel whose events all arrive,
// but for some exits, and compares the tracker with the truth after each.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{kernel: newKernel(), disk: newDisk(), unseen: map[int32]*process{}, unlined: map[int]bool{}, noted: map[int]bool{}}
		t.Repeat(map[string]func(*rapid.T){
			"":           m.check,
			"fork":       m.fork,
			"thread":     m.makeThread,
			"endThread":  m.endThread,
			"end":        func(t *rapid.T) { m.endLeader(t) },
			"endUnseen":  m.endUnseen,
			"endUnlined": m.endUnlined,
			"execLeader": m.execLeader,
			"execThread": m.execThread,
			"change":     m.change,
			"dropGroup":  m.dropGroup,
			"readLine":   m.readLine,
			"step":       m.step,
			"restart":    m.restart,
			"emptyStore": m.emptyStore,
			"reclaim":    m.reclaim,
		})
		m.finish(t)
	})
}

type model struct {
	*kernel
	disk    *disk
	unseen  map[int32]*process // dead, but their exit was lost: the tracker cannot know
	unlined map[int]bool       // dead without a line, by id
	noted   map[int]bool       // left in no group by the end of one, by id
}

func (m *model) fork(t *rapid.T) {
	delete(m.unseen, m.forkOne(t).pid)
}

// endUnseen ends a process without an exit event.
func (m *model) endUnseen(t *rapid.T) {
	m.deaf = true
	defer func() { m.deaf, m.missed = false, false }() // it is not told
	p := m.endLeader(t)
	if m.live[p.pid] != p {
		m.unseen[p.pid] = p
	} else { // other threads live: let it be heard after all
		m.Exit(p.pid, p.pid, m.now)
	}
}

// endUnlined ends a process while accounting is suspended.
func (m *model) endUnlined(t *rapid.T) {
	n := len(m.ledger)
	p := m.endLeader(t)
	if len(m.ledger) > n {
		m.unlined[p.id] = true
	}
}

func (m *model) dropGroup(t *rapid.T) {
	gid := group(t)
	for id, groups := range m.members() {
		if groups[gid] && len(groups) == 1 {
			m.noted[id] = true
		}
	}
	m.DropGroup(gid)
	m.story = append(m.story, deed{what: "drop", gid: gid})
}

// readLine reads the oldest line.
func (m *model) readLine(t *rapid.T) {
	if len(m.ledger) == 0 || m.unlined[m.ledger[0].id] {
		t.SkipNow()
	}
	p := m.ledger[0]
	m.ledger = m.ledger[1:]
	l, ok := m.Take(p.pid, p.fits)
	if !ok || l.Recorded {
		t.Fatalf("line of process %d: %+v, %v", p.pid, l, ok)
	}
	m.compare(t, p, l)
	if m.unseen[p.pid] == p {
		delete(m.unseen, p.pid) // recorded: it does not count as live any more
		if m.Exit(p.pid, p.pid, m.now); m.table.get(p.pid) != nil {
			t.Fatalf("process %d is there after its line and its exit", p.pid)
		}
	}
}

// step reads every line, then passes a barrier: who is missed must be one that
// gets no line, and two barriers later it must have been.
func (m *model) step(t *rapid.T) {
	lines := m.ledger
	m.ledger = nil
	for _, p := range lines {
		if m.unlined[p.id] {
			m.ledger = append(m.ledger, p)
			continue
		}
		keep := m.ledger
		m.ledger = []*process{p}
		m.readLine(t)
		m.ledger = keep
	}
	in := m.members()
	m.Barrier(func(l Life) bool {
		i := slices.IndexFunc(m.ledger, func(p *process) bool { return p.pid == l.PID && p.fits(&l) })
		if i < 0 {
			t.Fatalf("process %+v is missed", l)
		}
		m.compareIn(t, m.ledger[i], l, in)
		m.ledger = slices.Delete(m.ledger, i, i+1)
		return true
	})
}

// restart commits, forgets everything, and goes on from the store and /proc. An
// exit that was not seen is found out there.
func (m *model) restart(t *rapid.T) {
	m.now += sec
	m.disk.commit(t, m.Tracker)
	ungrouped := map[int]bool{}
	for id, groups := range m.members() {
		ungrouped[id] = len(groups) == 0 && !m.noted[id]
	}
	m.Tracker = m.disk.restore(func(l Life) (int32, bool) {
		p := m.live[l.PID]
		if p == nil || !p.fits(&l) {
			return 0, false
		}
		return int32(1 + len(p.threads)), true
	})
	m.Resync(m.listing(), m.now, m.now, func(k Key) (Scanned, bool) { t.Fatalf("%+v was restored but is gone", k); return Scanned{}, false })
	m.unseen = map[int32]*process{}
	// The store does not keep who is in no group: their lines are strays.
	m.ledger = slices.DeleteFunc(m.ledger, func(p *process) bool { return ungrouped[p.id] })
	m.TakeStarts(func(set SetID, n int64) { t.Errorf("set %d has %d starts after a restart", set, n) })
}

func (m *model) emptyStore(t *rapid.T) {
	m.disk.commit(t, m.Tracker)
	clear(m.disk.lives)
	m.TouchAll()
}

// reclaim commits and lets new sets have the ids of those that no process is in.
// check, and restart, find out if one of these was given away that is in use.
func (m *model) reclaim(t *rapid.T) {
	m.disk.commit(t, m.Tracker)
	var used InUse
	m.MarkSets(&used)
	m.Tracker.Reclaim(&used)
	for id := firstSet; int(id) < m.Sets.Len(); id++ {
		if m.Sets.groups[id] != nil && !used.Has(id) {
			t.Fatalf("set %d is kept, and not in use", id)
		}
	}
	for _, l := range m.disk.lives {
		if !used.Has(l.Set) {
			t.Fatalf("the store has a life in set %d, which is free: %+v", l.Set, l)
		}
	}
}

func (m *model) check(t *rapid.T) {
	in := m.members()
	count := map[SetID]int{}
	for _, p := range m.live {
		l, ok := m.Live(p.pid)
		if !ok || !p.fits(&l) {
			t.Fatalf("process %d, born %d: Live = %+v, %v\n%s", p.pid, p.start, l, ok, m.world)
		}
		m.compareIn(t, p, l, in)
		count[l.Set]++
	}
	for _, p := range m.unseen {
		if l, ok := m.Live(p.pid); !ok {
			t.Fatalf("process %d, of whose death nobody knows: Live = %+v, %v", p.pid, l, ok)
		} else {
			count[l.Set]++
		}
	}
	for _, p := range m.ledger {
		l, ok := m.Peek(p.pid, p.fits)
		if !ok {
			t.Fatalf("process %d awaits its line and is not there\n%s", p.pid, m.world)
		}
		m.compareIn(t, p, l, in)
	}
	for set := range m.Sets.Len() {
		if n := m.LiveIn(SetID(set)); n != count[SetID(set)] {
			t.Fatalf("LiveIn(%d) = %d, want %d", set, n, count[SetID(set)])
		}
	}
	if n := m.Processes(); n != len(m.live)+len(m.unseen) {
		t.Fatalf("Processes() = %d, want %d", n, len(m.live)+len(m.unseen))
	}
	if n := m.Awaiting(); n != len(m.ledger)-len(m.unseen) {
		t.Fatalf("Awaiting() = %d, want %d", n, len(m.ledger)-len(m.unseen))
	}
}

func (m *model) compare(t *rapid.T, p *process, l Life) { m.compareIn(t, p, l, m.members()) }

func (m *model) compareIn(t *rapid.T, p *process, l Life, in map[int]map[uint32]bool) {
	t.Helper()
	if want := slices.Sorted(maps.Keys(in[p.id])); !slices.Equal(want, m.Sets.Groups(l.Set)) || l.Inferred || l.Unproven {
		t.Fatalf("process %d is in %v, want %v\n%+v", p.pid, m.Sets.Groups(l.Set), want, l)
	}
}

// finish ends everything in good order: nothing may be left.
func (m *model) finish(t *rapid.T) {
	for _, pid := range slices.Sorted(maps.Keys(m.live)) {
		p := m.live[pid]
		for _, tid := range p.threads {
			m.Exit(tid, pid, m.tick())
		}
		if p.threads = nil; pid == 1 {
			continue
		}
		if !p.leaderGone {
			p.leaderGone = true
			m.Exit(pid, pid, m.tick())
		}
		m.endIfLast(p)
	}
	for range 3 {
		m.step(t)
	}
	if len(m.ledger) != 0 {
		t.Errorf("%d deaths without a line were not missed", len(m.ledger))
	}
	m.disk.commit(t, m.Tracker)
	if len(m.disk.lives) != 0 {
		t.Errorf("the store still holds %v", m.disk.lives)
	}
	m.checkEmpty(t)
}
