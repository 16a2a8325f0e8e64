// SPDX-License-Identifier: Apache-2.0

package groups

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"elsa/pkg/clock"
)

// TestModelLoss loses random events, with few pids so that the exit and the next
// fork of a pid are often among them, and then looks at /proc, as the service does
// before anything else. Or it kills the service and starts it again. All that
// lives must be known then, what the tracker claims to know must be true, and it
// may only not know what nothing proves.
func TestModelLoss(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &lossModel{kernel: newKernel(), disk: newDisk()}
		for range rapid.IntRange(1, 6).Draw(t, "rounds") {
			for range rapid.IntRange(0, 4).Draw(t, "changes") {
				if len(m.live) < pids-3 {
					m.forkOne(t)
				}
				m.change(t)
			}
			m.now += sec
			m.since, m.lossy = m.now, false
			if rapid.IntRange(0, 3).Draw(t, "crash") == 0 {
				m.act(t, false)
				m.crash(t)
			} else {
				m.act(t, true)
				m.resync(t)
			}
		}
		m.ledger = nil
		m.endAll()
		m.checkEmpty(t)
	})
}

type lossModel struct {
	*kernel
	disk  *disk
	since clock.Boot

	ending []*process // at the last look
}

// act lets the processes do something.
func (m *lossModel) act(t *rapid.T, lossy bool) {
	actions := map[string]func(*rapid.T){
		"fork":       func(t *rapid.T) { m.forkOne(t) },
		"forkMore":   func(t *rapid.T) { m.forkOne(t) },
		"end":        func(t *rapid.T) { m.endLeader(t) },
		"endAnother": func(t *rapid.T) { m.endLeader(t) },
	}
	if m.queue == nil { // else a thread is counted by /proc and by its event
		actions["thread"], actions["endThread"] = m.makeThread, m.endThread
		actions["execLeader"], actions["execThread"] = m.execLeader, m.execThread
	}
	if lossy {
		actions["deaf"] = func(t *rapid.T) { m.deaf = rapid.Bool().Draw(t, "deaf") }
	}
	t.Repeat(actions)
	m.deaf = false
}

// crash ends the service some time after a commit, and starts it again.
func (m *lossModel) crash(t *rapid.T) {
	m.disk.commit(t, m.Tracker)
	m.deaf = true
	m.act(t, false)
	m.missed = false
	m.ledger, m.ending = nil, nil // the lines are the service's to read, by resolve
	m.Tracker = m.disk.restore(func(l Life) (int32, bool) {
		p := m.live[l.PID]
		if p == nil || !p.fits(&l) {
			return 0, false
		}
		return int32(1 + len(p.threads)), true
	})
	for _, p := range m.live {
		if l, ok := m.Live(p.pid); p.start > m.since && (!ok || !p.fits(&l)) {
			p.unheard = true
		}
	}
	m.look(t)
	m.check(t, true)
	m.Barrier(func(l Life) bool { return true })
	m.Barrier(func(l Life) bool { return true })
}

// resync reads what the kernel has queued, looks at /proc and reads the lines.
// Meanwhile processes go on, which shows in /proc before it shows in events.
func (m *lossModel) resync(t *rapid.T) {
	if m.missed {
		m.missed = false
		m.Lost()
	}
	lines := len(m.ledger)
	var queue []func()
	m.queue = &queue
	m.act(t, false)
	m.ending = m.someEnding(t)
	m.look(t)
	m.endThese()
	m.queue = nil
	m.readLines(t, lines)
	for _, event := range queue {
		event()
	}
	m.check(t, false)
	m.readLines(t, len(m.ledger))
	m.check(t, true)
	m.Barrier(func(l Life) bool { return true })
}

// look is the look at /proc. The listing may lack processes that live.
func (m *lossModel) look(t *rapid.T) {
	m.now += 100 * ms
	all := m.listing()
	slices.SortFunc(all, func(a, b Scanned) int { return int(a.PID - b.PID) })
	all = slices.DeleteFunc(all, func(s Scanned) bool {
		l, ok := m.Live(s.PID)
		return ok && s.Threads == 1 && m.live[s.PID].fits(&l) && rapid.IntRange(0, 9).Draw(t, "short") == 0
	})
	m.Resync(all, m.since, m.now, func(k Key) (Scanned, bool) {
		p := m.live[k.PID]
		if p == nil || !p.fits(&Life{Start: k.Start}) {
			return Scanned{}, false
		}
		return m.shown(p), true
	})
}

// someEnding lets processes begin to end: they live, and have given their children
// away.
func (m *lossModel) someEnding(t *rapid.T) (ending []*process) {
	for _, p := range slices.SortedFunc(maps.Values(m.live), func(a, b *process) int { return a.id - b.id }) {
		if notInit(p) && len(p.threads) == 0 && !p.leaderGone && rapid.IntRange(0, 9).Draw(t, "ending") == 0 {
			p.leaderGone = true
			m.giveAway(p)
			ending = append(ending, p)
		}
	}
	return ending
}

// endThese ends what is ending.
func (m *lossModel) endThese() {
	for _, p := range m.ending {
		at := m.now
		m.tell(func() { m.Exit(p.pid, p.pid, at) })
		m.endIfLast(p)
	}
}

// readLines reads lines of the ledger. They tell when a process was born and died.
func (m *lossModel) readLines(t *rapid.T, n int) {
	for _, p := range m.ledger[:n] {
		l, ok := m.Take(p.pid, p.fits)
		// A queued one's pid may have been used again by the time of the look.
		if !ok && !p.unheard && !p.queued || ok && l.Recorded {
			t.Fatalf("line of process %d: %+v, %v", p.pid, l, ok)
		}
		if ok {
			m.compare(t, p, l, true)
			if lived := p.end - p.start; rapid.Bool().Draw(t, "coarse") {
				m.Ended(l, lived-lived%(10*ms), true)
			} else {
				m.Ended(l, lived, false)
			}
		}
	}
	m.ledger = m.ledger[n:]
}

// check compares all that lives. With last, what is not known now never will be.
func (m *lossModel) check(t *rapid.T, last bool) {
	all := slices.SortedFunc(maps.Values(m.live), func(a, b *process) int { return a.id - b.id })
	for _, p := range all {
		l, ok := m.Live(p.pid)
		if !ok || !p.fits(&l) {
			t.Fatalf("process %d, born %d: Live = %+v, %v\n%s", p.pid, p.start, l, ok, m.world)
		}
		m.compare(t, p, l, last)
	}
	if n := m.Processes(); n != len(m.live) {
		t.Fatalf("Processes() = %d, want %d\n%s", n, len(m.live), m.world)
	}
}

// provable reports whether p's place follows from the place of those who lived
// before the loss: by events before it, or since each process on the way is shown
// by /proc to be the one that forked the next.
func (m *lossModel) provable(p *process) bool {
	if p.start <= m.since {
		return !p.vague && !m.members()[p.id][unknown]
	}
	lives := m.live[p.parent.pid] == p.parent
	another := m.live[p.parent.pid] != nil || slices.ContainsFunc(m.ending, func(q *process) bool { return q.pid == p.parent.pid })
	if !lives && another && (p.queued || p.parent.queued) {
		return false // overtaken by the look at its parent's pid's next life
	}
	seen := !p.unheard && (!p.doubtful || lives) || p.unheard && lives && p.parent.pid != 1
	return seen && m.provable(p.parent)
}

func (m *lossModel) compare(t *rapid.T, p *process, l Life, last bool) {
	in := m.members()[p.id]
	if l.Unproven {
		if l.Set != Unattributed {
			t.Fatalf("unproven, but in set %d: %+v", l.Set, l)
		}
		if in[unknown] {
			return
		}
		if m.provable(p) {
			t.Fatalf("process %d is unproven without need\n%s", p.pid, m.world)
		}
		if last {
			p.vague = true
			m.story = append(m.story, deed{what: "only", id: p.id, gid: unknown})
		}
		return
	}
	if in[unknown] {
		in = m.afterAll(p)
	}
	if l.Inferred && p.start > m.since && !p.unheard && m.provable(p) && m.heardAll(p) && !m.inferredBefore(p) {
		t.Fatalf("process %d is inferred without need\n%s", p.pid, m.world)
	}
	if !slices.Equal(slices.Sorted(maps.Keys(in)), m.Sets.Groups(l.Set)) {
		t.Fatalf("process %d is in %v, want %v\n%+v\n%s", p.pid, m.Sets.Groups(l.Set), in, l, m.world)
	}
}

// afterAll returns the groups of a process that is known after all, by the line of
// its parent.
func (m *lossModel) afterAll(p *process) map[uint32]bool {
	story := m.story
	defer func() { m.story = story }()
	for q := p; q != nil; q = q.parent {
		m.story = slices.DeleteFunc(slices.Clone(m.story), func(d deed) bool { return d == deed{what: "only", id: q.id, gid: unknown} })
		if q == p {
			story = m.story
		}
	}
	return m.members()[p.id]
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

func (m *lossModel) inferredBefore(p *process) bool {
	for ; p.id != 0; p = p.parent {
		if p.start <= m.since {
			return true // as it was then; the flag is inherited
		}
	}
	return false
}
