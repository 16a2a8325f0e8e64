// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"elsa/pkg/usage"
)

// own is what the history has of one process: it tells users apart, and no two
// processes have the same.
type own struct {
	bill
	parts map[string]figures // by place
	place string             // of its death
}

// owns reads them. What no record told of is nobody's.
func (m *model) owns(d *disk) (map[int]*own, own) {
	owns, nobody := map[int]*own{}, own{parts: map[string]figures{}}
	for _, c := range d.cells {
		o := &nobody
		if c.UID != usage.UnknownUID {
			id := int(c.UID / 2)
			if o = owns[id]; o == nil {
				o = &own{parts: map[string]figures{}}
				owns[id] = o
			}
		}
		b, place := billOf(&c.usage), m.place(c.Groups, c.Unattributed)
		o.figures = o.figures.plus(b.figures)
		o.ended += b.ended
		o.inferred += b.inferred
		o.exact += b.exact
		o.signal += b.signal
		o.nonzero += b.nonzero
		o.parts[place] = o.parts[place].plus(b.figures)
		if b.ended > 0 {
			o.place = place
		}
	}
	return owns, nobody
}

// checkAll is law 1, 2 and 4 for all that died.
func (m *model) checkAll(t *rapid.T) {
	owns, nobody := m.owns(m.service.disk)
	missing, unsure, doubted, all, sure := uint64(0), uint64(0), uint64(0), true, true
	var truth figures
	for _, p := range m.all {
		if p.ended == 0 {
			continue
		}
		o := owns[p.id]
		if o == nil {
			o = &own{}
		}
		truth = truth.plus(p.used)
		all = all && o.ended == 1 && o.exact == 1 && o.cpu == p.used.cpu
		sure = sure && !p.open && !m.mixed(p)
		switch {
		case m.mixed(p):
			// It may have been taken for the pid's other life.
			doubted++
			continue
		case o.ended > 1:
			t.Fatalf("%s was counted %d times\n%s", m.detail(p), o.ended, m.kernel)
		case o.ended == 0 && p.lined:
			t.Fatalf("%s has a line, and was not counted\n%s", m.detail(p), m.kernel)
		case o.ended == 0 && p.book.ever:
			unsure++
			continue
		case o.ended == 0:
			missing++
			continue
		}
		m.checkDeath(t, p, o, &nobody)
	}
	if n := nobody.ended; n < missing || n > missing+unsure+doubted {
		t.Fatalf("%d deaths of unknown processes are counted, want %d and at most %d more\n%s", n, missing, unsure+doubted, m.kernel)
	}
	if all {
		snap := m.snapshot(t, m.service)
		got := billOf(&snap.Total).figures
		if !sure { // what the records beside the CPU's tell may be another's, or not known
			got.faults, got.read = truth.faults, truth.read
		}
		if got != truth {
			t.Fatalf("all bills are %+v, and all that ended used %+v\n%s", got, truth, m.kernel)
		}
	}
	ratio := m.service.join.Conservation(0)
	if all && (ratio-1 > 1e-9 || 1-ratio > 1e-9) || ratio < 1-1e-9 {
		t.Fatalf("the conservation ratio is %v\n%s", ratio, m.kernel)
	}
}

// checkDeath looks at the bill of one death that was told of.
func (m *model) checkDeath(t *rapid.T, p *process, o, nobody *own) {
	place := m.place(slices.Collect(maps.Keys(p.groups)), false)
	if place == "former" {
		place = "[]"
	}
	same := o.place == place || o.place == "former" && place == "[]"
	switch {
	case o.inferred == 0 && !same:
		t.Fatalf("%s is billed to %s, and was in %s\n%s", m.detail(p), o.place, place, m.kernel)
	case o.inferred > 0 && !p.book.ever && !m.alike(p, func(*process) bool { return true }):
		t.Fatalf("%s is doubted without need, in %s\n%s", m.detail(p), o.place, m.kernel)
	}
	if told := o.signal + 2*o.nonzero; p.lined && told != map[uint32]uint64{0: 0, 9: 1, 0x100: 2}[p.status] {
		t.Fatalf("%s: %d killed, %d failed\n%s", m.detail(p), o.signal, o.nonzero, m.kernel)
	}
	whole := nobody.figures == figures{} // no part of it is nobody's
	if may := p.may(); whole && !slices.Contains(may, o.cpu) {
		t.Fatalf("%s is billed %v, and should be one of %v\n%s", m.detail(p), o.cpu, may, m.kernel)
	}
	if o.faults > p.used.faults || o.read > p.used.read || p.lined && whole && o.faults != p.used.faults {
		t.Fatalf("%s is billed %+v, and used %+v\n%s", m.detail(p), o.figures, p.used, m.kernel)
	}
	late := p.book.exact-max(p.book.charged, p.ended) > int64(time.Second) // it was charged by what there was
	if p.book.ever || o.inferred > 0 || !whole || p.book.exact == 0 || late {
		return
	}
	// All is known of it: where it was when, and all its records.
	want := map[string]figures{}
	for from, f := range p.book.parts {
		want[m.rename(from)] = want[m.rename(from)].plus(f)
	}
	want[place] = want[place].plus(p.used.beyond(p.book.base))
	for _, parts := range []map[string]figures{want, o.parts} {
		if f, ok := parts["former"]; ok {
			parts["[]"] = parts["[]"].plus(f)
			delete(parts, "former")
		}
		maps.DeleteFunc(parts, func(_ string, f figures) bool { return f == figures{} })
	}
	if !maps.Equal(want, o.parts) {
		t.Fatalf("%s is billed %+v, and used %+v\n%s", m.detail(p), o.parts, want, m.kernel)
	}
}

// rename is the name of groups that were named before some of them were deleted.
func (m *model) rename(name string) string {
	var ids []uint32
	for _, f := range strings.Fields(strings.Trim(name, "[]")) {
		var id uint32
		fmt.Sscan(f, &id)
		ids = append(ids, id)
	}
	return m.place(ids, false)
}

// may are the sums of CPU time that a process may be billed: that of its best
// record that came, if no sample showed more.
func (p *process) may() []time.Duration {
	estimate := p.ticks
	if run := p.used.cpu; run >= 10*time.Millisecond {
		estimate = min(max(p.ticks, run), run+4*time.Millisecond)
	}
	may := []time.Duration{p.used.cpu}
	for _, s := range append([]figures{{}}, p.book.seen...) {
		for _, record := range []time.Duration{0, lineCPU(p.ticks), estimate} {
			may = append(may, max(s.cpu, record))
		}
	}
	return may
}

func (p *process) String() string { return fmt.Sprintf("%d (pid %d)", p.id, p.pid) }

// detail is all of a process, for the report of a failure.
func (m *model) detail(p *process) string {
	return fmt.Sprintf("process %v, child of %d in boot %d, began %d, ended %d, in %s, lined %v, mixed %v, used %+v, book %+v",
		p, p.ppid, p.boot, p.start, p.ended, nameOf(p.groups), p.lined, m.mixed(p), p.used, p.book)
}
