// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"

	"elsa/pkg/groups"
	"elsa/pkg/proc"
)

// read takes in what one source has queued, as it comes, between two steps.
func (m *model) read(t *rapid.T) {
	which := rapid.IntRange(0, 2).Draw(t, "source")
	for _, s := range m.services() {
		[3]func(*service){m.takeEvents, m.takeTaskstats, m.takeExact}[which](s)
	}
}

// serve is Pipeline.refresh: samples are put on the bills, all is committed, and
// then shown. It steps before, or not.
func (m *model) serve(t *rapid.T) {
	if rapid.Bool().Draw(t, "step") {
		m.step(t)
	}
	for _, s := range m.services() {
		var keys []groups.Key
		m.must(t, s.EachSampled(m.now(), func(k groups.Key, _ *proc.Sample) { keys = append(keys, k) }))
		for _, k := range keys {
			var sample proc.Sample
			if m.view.Sample(k, &sample) == nil {
				s.TakeSample(k, &sample)
			}
		}
	}
	m.show(t, m.commit(t, rapid.IntRange(0, 5).Draw(t, "commit fails") == 0))
}

// sync is Turn.Sync, which goes before what the administrator wants.
func (m *model) sync(t *rapid.T) {
	m.drain(t)
	m.rescanIfLost(t)
	look := rapid.Bool().Draw(t, "look")
	for _, s := range m.services() {
		s.Classify(false, m.now())
		if look {
			m.must(t, s.Scan(m.now()))
		}
	}
}

func (m *model) makeGroup(t *rapid.T) {
	if len(m.groups) >= 4 {
		t.SkipNow()
	}
	for _, s := range m.services() {
		g, err := s.MakeGroup(fmt.Sprint("group ", s.catalog.Next()), 0, nil, m.now())
		m.must(t, err)
		m.groups[g.ID] = true
	}
	m.show(t, m.commit(t, false))
}

// group draws one of the groups.
func (m *model) group(t *rapid.T) uint32 {
	if len(m.groups) == 0 {
		t.SkipNow()
	}
	return rapid.SampledFrom(slices.Sorted(maps.Keys(m.groups))).Draw(t, "group")
}

// add puts a process in a group.
func (m *model) add(t *rapid.T) {
	id := m.group(t)
	p := m.some(t, runsUser)
	if p == nil {
		t.SkipNow()
	}
	move, whole := rapid.Bool().Draw(t, "move"), rapid.IntRange(0, 3).Draw(t, "whole life") == 0
	m.note("add %v to group %d, move: %v, whole life: %v", p, id, move, whole)
	m.change(t, p, func(s *service, l groups.Life) bool { return s.Add(l, s.GroupByID(id), move, whole, 0, m.now()) }, func() {
		if !whole || len(p.groups) > 0 {
			p.book.leave(p.groups)
		}
		if move {
			clear(p.groups)
		}
		p.groups[id] = true
	})
}

// remove takes a process out of a group.
func (m *model) remove(t *rapid.T) {
	id := m.group(t)
	p := m.some(t, func(p *process) bool { return runsUser(p) && p.groups[id] })
	if p == nil {
		t.SkipNow()
	}
	m.note("remove %v from group %d", p, id)
	m.change(t, p, func(s *service, l groups.Life) bool { return s.Remove(l, s.GroupByID(id), m.now()) }, func() {
		p.book.leave(p.groups)
		delete(p.groups, id)
	})
}

// change lets the administrator do something to a process. Where the service was
// not sure of its place, from now on its word counts: it was shown, and changed.
func (m *model) change(t *rapid.T, p *process, do func(*service, groups.Life) bool, note func()) {
	m.sync(t)
	for _, s := range m.services() {
		_, l, ok, err := s.Running(p.pid)
		m.must(t, err)
		if !ok && m.mixed(p) {
			t.SkipNow()
		}
		if !ok {
			t.Fatalf("process %d runs, and is not found: %+v\n%s", p.pid, l, m.kernel)
		}
		if s.main && (l.Inferred || l.Unproven || m.mixed(p)) {
			p.groups = map[uint32]bool{}
			for _, g := range s.tracker.Sets.Groups(l.Set) {
				p.groups[g] = true
			}
			p.book.risky, p.book.ever = true, true
		}
		if do(s, l) && s.main {
			note()
		}
	}
	m.wish = true
	m.show(t, m.commit(t, rapid.IntRange(0, 5).Draw(t, "commit fails") == 0))
}

// deleteGroup deletes a group. What live processes used stays with the groups they
// are in besides; where there are none, it is left behind.
func (m *model) deleteGroup(t *rapid.T) {
	id := m.group(t)
	m.note("delete group %d", id)
	m.step(t)
	for _, s := range m.services() {
		s.DeleteGroup(s.GroupByID(id))
	}
	delete(m.groups, id)
	for _, p := range m.all {
		if p.groups[id] && p.book.charged == 0 {
			if len(p.groups) == 1 {
				p.book.leave(p.groups)
			}
		}
		delete(p.groups, id)
	}
	m.wish = true
	m.show(t, m.commit(t, rapid.IntRange(0, 5).Draw(t, "commit fails") == 0))
}

// mergeGroups merges a group into another. What its processes used goes with them.
func (m *model) mergeGroups(t *rapid.T) {
	if len(m.groups) < 2 {
		t.SkipNow()
	}
	from := m.group(t)
	left := maps.Clone(m.groups)
	delete(left, from)
	into := rapid.SampledFrom(slices.Sorted(maps.Keys(left))).Draw(t, "into")
	m.note("merge group %d into %d", from, into)
	m.step(t)
	for _, s := range m.services() {
		m.must(t, s.MergeGroup(s.GroupByID(from), s.GroupByID(into)))
		if !slices.Contains(s.GroupByID(into).Absorbed, from) {
			t.Fatalf("group %d does not say that it has %d", into, from)
		}
	}
	delete(m.groups, from)
	m.merged[from] = into
	for _, p := range m.all {
		if p.groups[from] {
			delete(p.groups, from)
			p.groups[into] = true
		}
	}
	m.wish = true
	m.show(t, m.commit(t, rapid.IntRange(0, 5).Draw(t, "commit fails") == 0))
}

// keepGroup renames, closes or opens a group, which changes nothing else.
func (m *model) keepGroup(t *rapid.T) {
	id, closes := m.group(t), rapid.Bool().Draw(t, "close")
	for _, s := range m.services() {
		switch g := s.GroupByID(id); {
		case !g.Open():
			s.ReopenGroup(g, m.now())
		case closes:
			s.CloseGroup(g, m.now())
		default: // the id stays in it
			m.must(t, s.RenameGroup(g, g.Name+"'", true))
		}
	}
	m.show(t, m.commit(t, false))
}

// timePasses is a long pause, with the machine asleep or not, or a set clock.
func (m *model) timePasses(t *rapid.T) {
	m.twin = nil // it is told the time otherwise
	long := rapid.SampledFrom([]time.Duration{3 * time.Second, 20 * time.Second, time.Hour, 30 * time.Hour}).Draw(t, "long")
	switch rapid.SampledFrom([]string{"pause", "pause", "sleep", "set clock"}).Draw(t, "time") {
	case "pause":
		m.pass(long)
	case "sleep":
		m.note("the machine sleeps %v", long)
		m.drain(t) // the machine is quiet when it goes to sleep
		m.asleep += int64(long)
	case "set clock":
		long = rapid.SampledFrom([]time.Duration{long, 72 * time.Hour}).Draw(t, "by")
		if rapid.Bool().Draw(t, "back") {
			long = -long
		}
		m.note("the clock is set by %v", long)
		m.jumped, m.jumps = true, true
		m.booted += int64(long)
		m.settings++
		for _, s := range m.services() {
			m.setClocks(s.Engine) // which it does every second
		}
	}
}

// room says which sockets have no room from now on.
func (m *model) room(t *rapid.T) {
	for i := range m.full {
		m.full[i] = rapid.IntRange(0, 3).Draw(t, "full") == 0
	}
	m.note("sockets are full: %v", m.full)
}

// crash ends the service at once, and starts it again some time after. How the clock
// was set before is not known then.
func (m *model) crash(t *rapid.T) {
	if m.wish || m.jumped {
		t.SkipNow()
	}
	m.note("CRASH")
	m.leaveOpen()
	m.sockets, m.twin = nil, nil
	m.goBack()
	for range rapid.IntRange(0, 5).Draw(t, "meanwhile") {
		m.act(t)
	}
	m.listen()
	m.service = m.launch(m.disk, m.sockets[0], false, false)
	m.begin(t, false)
}

// leaveOpen notes whose deaths a service leaves that had not all their records: the
// next one does not know what they were billed, and cannot add what the exact record
// tells beside the CPU.
func (m *model) leaveOpen() {
	m.late = m.late || m.service.join.Joined.Late > 0
	for _, p := range m.all {
		p.open = p.open || p.ended != 0 && p.book.exact == 0
		p.late = p.late || p.open && p.book.charged != 0 && m.mono-p.book.charged > int64(time.Second)
	}
}

// goBack takes back what the service was told and did not commit.
func (m *model) goBack() {
	for _, p := range m.all {
		ever := p.book.ever
		p.book = p.stored.clone()
		p.book.ever = p.book.ever || ever
	}
	m.shown = m.safe
	m.endanger()
}

// begin is the start of a service after another, which may be crashed, too.
func (m *model) begin(t *rapid.T, resumed bool) {
	m.restore(t, resumed)
	if !resumed {
		m.endanger()
	}
	if rapid.IntRange(0, 7).Draw(t, "crash at start") == 0 {
		m.crash(t)
		return
	}
	m.show(t, m.commit(t, false))
}

// restart is a planned one. Accounting is off meanwhile. The sockets wait, or are
// closed.
func (m *model) restart(t *rapid.T) {
	if m.jumped {
		t.SkipNow()
	}
	kept := m.stop(t, rapid.IntRange(0, 3).Draw(t, "offered") != 0, !m.wish && rapid.IntRange(0, 5).Draw(t, "commit fails") == 0)
	resumed := kept && m.service.disk.meta.Stored != nil
	if !kept {
		m.sockets, m.twin = nil, nil
		m.goBack()
	}
	m.note("STOPPED, sources kept: %v, events resumed: %v", kept, resumed)
	m.leaveOpen()
	// A line that does not come is waited for anew, some steps longer than without
	// the stop.
	m.service.tracker.EachAwaiting(func(l groups.Life) {
		if slices.ContainsFunc(m.all, func(p *process) bool { return p.boot == m.boot && !p.lined && p.isOf(l.Key()) }) {
			m.twin = nil
		}
	})
	was := m.off
	m.off = true
	for range rapid.IntRange(0, 5).Draw(t, "meanwhile") {
		m.act(t)
	}
	m.off = was
	if !kept {
		m.listen()
	} else if !resumed {
		m.service.events = nil
		m.goBack()
	}
	m.service = m.launch(m.service.disk, m.sockets[0], resumed, kept)
	m.begin(t, resumed)
}

// reboot ends all processes, some without a line, and begins a boot. The file of
// lines may end in a torn one. How the clocks stood is known by the last commit only:
// where one was set since, or the machine slept, a line of the last boot may not be
// told to be a member's.
func (m *model) reboot(t *rapid.T) {
	if m.wish || m.jumped || m.asleep > 0 {
		t.SkipNow()
	}
	m.note("REBOOT")
	m.late = m.late || m.service.join.Joined.Late > 0
	m.sockets, m.twin = nil, nil
	m.goBack()
	for _, p := range m.kernel.shown() {
		if p.ended == 0 {
			m.kernel.off = p.pid == 1 || rapid.Bool().Draw(t, "no line")
			m.die(p, 0, 0, rapid.IntRange(0, 9).Draw(t, "torn") == 0)
		}
		p.exiting, p.dead, p.gone = false, true, true
	}
	m.kernel.off = false
	m.endanger()
	wall := m.wall()
	m.start()
	m.booted = wall + int64(time.Hour) - m.boottime()
	for range rapid.IntRange(0, 3).Draw(t, "meanwhile") {
		m.act(t)
	}
	m.listen()
	m.service = m.launch(m.service.disk, m.sockets[0], false, false)
	m.begin(t, false)
}
