// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"

	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// The laws:
//
//  1. Each death is counted once.
//  2. All sets together have what the kernel reported: to the nanosecond where the
//     figures are exact.
//  3. Nothing falls that was shown, over time, crashes and restarts.
//  4. A membership is right, or marked as inferred, or unattributed; and it is not
//     doubted without need.
//  5. The cells of the history add up to the bills of the sets.
//  6. A service that was stopped and started again goes on as one that was not.
//  7. The rows of the journal add up to the history.
//  8. A snapshot is of one moment: all sets together are the total, and whoever runs,
//     is on a bill or waits for its record was started.
//  9. More is billed than the kernel reported only where an exact record came late.

// bill is what the laws are about of a usage.
type bill struct {
	figures
	ended, inferred, exact, signal, nonzero uint64
}

func billOf(u *usage.Usage) bill {
	return bill{
		figures{u.CPU(), u[usage.MinorFaults], u[usage.ReadBytes]},
		u[usage.Ended], u[usage.Inferred], u[usage.Exact], u[usage.ExitSignal], u[usage.ExitNonzero],
	}
}

// countedOf is a usage without what cells and bills do not have in common.
func countedOf(u usage.Usage) usage.Usage {
	u[usage.Started], u[usage.Live], u[usage.MaxRSS] = 0, 0, 0
	return u
}

// falls reports whether a field that is shown may fall: how precise a death is known
// may change.
func falls(f usage.Field) bool {
	return f == usage.Live || f == usage.Exact || f == usage.Sampled || f == usage.Rounded
}

// show shows what a reader sees after a commit that ended with err: law 3, and after
// a commit, law 5.
func (m *model) show(t *rapid.T, err error) {
	t.Helper()
	snap := m.snapshot(t, m.service)
	if m.shown != nil {
		for _, g := range m.shown.Groups {
			i := slices.IndexFunc(snap.Groups, func(h usage.GroupTotal) bool { return h.Group.ID == g.Group.ID })
			if i >= 0 {
				m.rises(t, g.Group.Name, &g.Usage, &snap.Groups[i].Usage)
			}
		}
		m.rises(t, "any group", &m.shown.AnyGroup, &snap.AnyGroup)
		m.rises(t, "total", &m.shown.Total, &snap.Total)
	}
	m.checkUnion(t, snap)
	m.checkMoment(t, snap)
	m.shown = snap
	if err == nil {
		m.safe = snap
		m.checkCells(t, m.service.disk)
		m.checkRows(t, m.service.disk)
	}
}

// checkUnion: all groups together, and those that are no more, are any group.
func (m *model) checkUnion(t *rapid.T, snap *usage.Snapshot) {
	t.Helper()
	all := make([]int, len(snap.Groups))
	for i := range all {
		all[i] = i
	}
	sum := snap.Union(all)
	sets := m.service.tracker.Sets
	for id := range sets.Len() {
		if gs := sets.Groups(groups.SetID(id)); slices.Equal(gs, []uint32{groups.Former}) {
			former := m.service.join.Total(groups.SetID(id))
			sum.Add(&former)
		}
	}
	if sum != snap.AnyGroup {
		t.Fatalf("all groups are\n%+v\nand any group\n%+v\n%s", sum, snap.AnyGroup, m.kernel)
	}
}

// checkMoment is law 8 and 9.
func (m *model) checkMoment(t *rapid.T, snap *usage.Snapshot) {
	t.Helper()
	var sum usage.Usage
	for _, u := range []*usage.Usage{&snap.AnyGroup, &snap.Ungrouped, &snap.Unattributed} {
		sum.Add(u)
	}
	if sum != snap.Total {
		t.Fatalf("all sets are\n%+v\nand the total\n%+v\n%s", sum, snap.Total, m.kernel)
	}
	s := m.service
	m.late = m.late || s.join.Joined.Late > 0
	if slices.ContainsFunc(m.all, m.mixed) {
		return
	}
	if n := sum[usage.Ended] + sum[usage.Live] + uint64(s.tracker.Awaiting()); n > sum[usage.Started] {
		t.Fatalf("%d were started; %d ended, %d live and %d waiting are %d\n%s",
			sum[usage.Started], sum[usage.Ended], sum[usage.Live], s.tracker.Awaiting(), n, m.kernel)
	}
	if ratio := snap.Service.ConservationRatio; ratio > 1+1e-9 && !m.late {
		t.Fatalf("the conservation ratio is %v\n%s", ratio, m.kernel)
	}
}

func (m *model) rises(t *rapid.T, whose string, was, is *usage.Usage) {
	t.Helper()
	for f := range is {
		if is[f] < was[f] && !falls(usage.Field(f)) {
			t.Fatalf("%s: field %d fell from %d to %d\n%s", whose, f, was[f], is[f], m.kernel)
		}
	}
}

// place names the groups that exist of some, or that it is not known which. Of a
// process whose groups were all deleted the bill is that of the former ones.
func (m *model) place(ids []uint32, unattributed bool) string {
	if unattributed {
		return "unattributed"
	}
	left := map[uint32]bool{}
	for _, id := range ids {
		for m.merged[id] != 0 {
			id = m.merged[id]
		}
		if m.groups[id] {
			left[id] = true
		}
	}
	if len(left) == 0 && len(ids) > 0 {
		return "former"
	}
	return nameOf(left)
}

// checkCells is law 5: in the database, the cells of each set are its bill.
func (m *model) checkCells(t *rapid.T, d *disk) {
	t.Helper()
	want, got := map[string]usage.Usage{}, map[string]usage.Usage{}
	add := func(to map[string]usage.Usage, place string, u usage.Usage) {
		sum := to[place]
		sum.Add(&u)
		to[place] = countedOf(sum)
	}
	for id, s := range d.sets {
		add(want, m.place(s.Groups, id == groups.Unattributed), s.Usage)
	}
	for _, c := range d.cells {
		add(got, m.place(c.Groups, c.Unattributed), c.usage)
	}
	for _, place := range slices.Sorted(maps.Keys(want)) {
		if want[place] != got[place] {
			t.Fatalf("%s: the history has\n%+v\nand the bill\n%+v\n%s", place, got[place], want[place], m.kernel)
		}
	}
}

// check is law 4 for those that run: who is not in danger is known, and what is said
// to be known is true.
func (m *model) check(t *rapid.T) {
	pending := m.service.loss.pending || len(m.service.events) > 0 && (m.service.events[0].lost > 0 || len(m.service.events) > 1)
	for _, p := range m.kernel.shown() {
		l, known := m.tracker.Live(p.pid)
		if !runs(p) || !known || !p.isOf(l.Key()) || pending {
			continue
		}
		if slices.ContainsFunc(p.others, func(o *process) bool { return o.isOf(l.Key()) }) {
			continue // it may be known as the one before it, whose end was not read
		}
		sure := !l.Inferred && !l.Unproven
		if in := nameOf(p.groups); sure && fmt.Sprint(m.tracker.Sets.Groups(l.Set)) != in && !(m.mixed(p)) {
			t.Fatalf("%s is in %v, and should be in %v: %+v\n%s", m.detail(p), m.tracker.Sets.Groups(l.Set), in, l, m.kernel)
		}
		if !sure && !p.book.risky && !m.mixed(p) {
			t.Fatalf("%s is doubted without need: %+v\n%s", m.detail(p), l, m.kernel)
		}
		p.book.risky = !sure
	}
}

// settle ends all and tells all, lets all time pass, and checks what must hold then.
func (m *model) settle(t *rapid.T) {
	m.full, m.kernel.off, m.over = [3]bool{}, false, true
	for _, p := range m.kernel.shown() {
		if runsUser(p) {
			m.end(t, p)
		}
	}
	for _, p := range m.kernel.shown() {
		if p.exiting {
			m.finish(p)
		}
	}
	for _, p := range m.kernel.shown() {
		if p.dead && !p.gone {
			m.wait(p)
		}
	}
	for _, d := range []time.Duration{time.Millisecond, time.Millisecond, 2 * time.Second, 20 * time.Second, 20 * time.Minute} {
		m.pass(d)
		m.step(t)
		m.check(t)
	}
	m.show(t, m.commit(t, false))
	m.checkAll(t)
	m.checkTwin(t)
	s := m.service
	if n := s.Held(); n != 0 {
		t.Fatalf("%d records are held in the end", n)
	}
	if n := s.tracker.Awaiting(); n != 0 {
		t.Fatalf("%d deaths await their line in the end", n)
	}
	if n := s.tracker.Processes(); n != 1 {
		t.Fatalf("%d processes run, and should be process 1 alone", n)
	}
	if n := len(s.disk.deaths); n != 0 {
		t.Fatalf("%d deaths wait for a record in the end", n)
	}
	for k, l := range s.disk.members {
		if !m.pids[1].isOf(k) {
			t.Fatalf("%+v is stored in the end", l)
		}
	}
}

// checkTwin is law 6. A restart forgets deaths that wait no more for their exact
// record, and so what would correct them: those of zombies, too, whose CPU was read.
func (m *model) checkTwin(t *rapid.T) {
	if m.twin == nil || m.twin.join.Joined.Late > 0 || slices.ContainsFunc(m.all, func(p *process) bool { return p.late || m.mixed(p) }) {
		return
	}
	bills := func(s *service) map[string]usage.Usage {
		sums := map[string]usage.Usage{}
		for id := range s.tracker.Sets.Len() {
			place := m.place(s.tracker.Sets.Groups(groups.SetID(id)), groups.SetID(id) == groups.Unattributed)
			u := s.join.Total(groups.SetID(id))
			u[usage.Elapsed] = 0 // the exit is kept to seven digits
			sum := sums[place]
			sum.Add(&u)
			sums[place] = sum
		}
		return sums
	}
	want, got := bills(m.twin), bills(m.service)
	for _, place := range slices.Sorted(maps.Keys(want)) {
		if want[place] != got[place] {
			t.Fatalf("%s: the bill after a restart is\n%+v\nand without\n%+v\n%s", place, got[place], want[place], m.kernel)
		}
	}
}
