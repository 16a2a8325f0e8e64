// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"

	"elsa/internal/journal"
	"elsa/pkg/usage"
)

// paper is a journal in memory. What was written and not committed is cut off when the
// service starts again.
type paper struct {
	rows    []journal.Row
	fixes   []journal.Fix
	settled uint64
	broken  string // a law that did not hold
}

func (p paper) write(r *Rows) paper {
	for i := range r.Fixes {
		if r.Fixes[i].Seq <= p.settled {
			p.broken = fmt.Sprintf("row %d is fixed, and %d was settled", r.Fixes[i].Seq, p.settled)
		}
	}
	for i := range r.List {
		if last := len(p.rows) - 1; last >= 0 && r.List[i].Seq <= p.rows[last].Seq {
			p.broken = fmt.Sprintf("row %d comes after %d", r.List[i].Seq, p.rows[last].Seq)
		}
		p.rows = append(slices.Clip(p.rows), r.List[i])
	}
	p.fixes = append(slices.Clip(p.fixes), r.Fixes...)
	p.settled = max(p.settled, r.Settled)
	return p
}

// checkParent is law 8: the parent of a row is who forked the process, whenever that one
// ended and whoever reaps it.
func (m *model) checkParent(t *rapid.T, r *journal.Row) {
	t.Helper()
	if r.UID == usage.UnknownUID || r.PID == 0 {
		return
	}
	p := m.all[r.UID/2]
	if p.parent == nil || p.boot != m.boot || p.book.ever || p.parent.book.ever || m.mixed(p) || m.mixed(p.parent) {
		return
	}
	if off := time.Duration(r.ParentStart - (m.booted + p.parent.start)).Abs(); r.PPID != p.parent.pid || off > time.Second && !m.jumps {
		t.Fatalf("the row of %v names the parent %d, %v off; %v forked it\n%s", p, r.PPID, off, p.parent, m.kernel)
	}
}

// checkStarts is law 9: a process began at one time in its own row and in those of its
// children, however often the clock was set.
func (m *model) checkStarts(t *rapid.T, told map[*process][]int64, r *journal.Row) {
	t.Helper()
	if r.UID == usage.UnknownUID || r.PID == 0 || m.settings >= maxSettings {
		return
	}
	tell := func(p *process, at int64) {
		if p.book.ever || m.mixed(p) {
			return
		}
		if told[p] = append(told[p], at); time.Duration(at-told[p][0]).Abs() > time.Second {
			t.Fatalf("%v began at %v, and at %v by another row\n%s", p, time.Unix(0, told[p][0]).UTC(), time.Unix(0, at).UTC(), m.kernel)
		}
	}
	p := m.all[r.UID/2]
	tell(p, r.Start)
	if p.parent != nil && r.PPID == p.parent.pid && r.ParentStart != 0 && !p.book.ever {
		tell(p.parent, r.ParentStart)
	}
}

// cellKey is what rows and cells have in common. Hours may be added up by the day.
type cellKey struct {
	day          uint32
	place        string
	uid          uint32
	command      string
	unattributed bool
}

// checkRows is law 7: the rows of a day, groups, user and command add up to the history.
func (m *model) checkRows(t *rapid.T, d *disk) {
	t.Helper()
	if d.paper.broken != "" {
		t.Fatal(d.paper.broken)
	}
	want, got := map[cellKey]usage.Usage{}, map[cellKey]usage.Usage{}
	add := func(to map[cellKey]usage.Usage, k cellKey, u usage.Usage) {
		if k.unattributed && k.command == "(unknown)" { // of processes known in sum there is a row of their CPU
			u[usage.Ended], u[usage.Exact] = 0, 0
		}
		sum := to[k]
		sum.Add(&u)
		if sum = countedOf(sum); sum != (usage.Usage{}) {
			to[k] = sum
		}
	}
	for _, c := range d.cells {
		add(want, cellKey{c.Hour / 24, m.place(c.Groups, c.Unattributed), c.UID, c.Command, c.Unattributed}, c.usage)
	}
	last := map[uint64]*journal.Fix{}
	for i := range d.paper.fixes {
		last[d.paper.fixes[i].Seq] = &d.paper.fixes[i]
	}
	told := map[*process][]int64{}
	for _, r := range d.paper.rows {
		m.checkStarts(t, told, &r)
		if f := last[r.Seq]; f != nil {
			f.Apply(&r)
		}
		var u usage.Usage
		u.AddMeasure(&r.Measure)
		if r.Part == 0 {
			u[usage.Ended] = 1
			u[[]usage.Field{usage.Rounded, usage.Sampled, usage.Exact}[r.Precision]]++
			switch {
			case r.Status&0x7f != 0:
				u[usage.ExitSignal]++
			case r.Status>>8&0xff != 0:
				u[usage.ExitNonzero]++
			}
			if r.Inferred {
				u[usage.Inferred]++
			}
		}
		m.checkParent(t, &r)
		var ids []uint32
		for _, name := range r.Groups.Names {
			var id uint32
			fmt.Sscanf(name, "group %d", &id)
			ids = append(ids, id)
		}
		command := string(r.Comm[:max(slices.Index(r.Comm[:], 0), 0)])
		add(got, cellKey{usage.HourOf(r.End/1e9) / 24, m.place(ids, r.Groups.Unattributed), r.UID, command, r.Groups.Unattributed}, u)
	}
	for k := range maps.Keys(want) {
		if want[k] != got[k] {
			t.Fatalf("%+v: the rows have\n%+v\nand the history\n%+v\n%s", k, got[k], want[k], m.kernel)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("rows of %d cells, of which the history has %d", len(got), len(want))
	}
}
