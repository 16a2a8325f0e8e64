// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"elsa/internal/fill"
	"elsa/internal/history"
	"elsa/internal/store"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// fillRow is a row of the journal in a test: where it is billed, and in which groups it
// counts by now.
type fillRow struct {
	seq   uint64
	cell  history.Key
	usage usage.Usage
	in    map[uint32]bool
	took  map[uint32]bool // of these, those that took it
}

// fillWorld is what a database should say of rows, kept in the simplest way: each row
// has the set of its groups.
type fillWorld struct {
	t    *testing.T
	disk *disk
	e    *Engine
	rows []*fillRow
	now  Now
	fine usage.Usage // of all rows
}

func newFillWorld(t *testing.T, rnd *rand.Rand) *fillWorld {
	w := &fillWorld{t: t, disk: newDisk(), now: at(100 * 3600e9)}
	w.disk.meta = store.Meta{Created: w.now.Wall, BootID: "boot", NextGroup: 7, NextRow: 1000}
	for id := uint32(1); id <= 6; id++ {
		w.disk.groups[id] = groups.Group{ID: id, Name: fmt.Sprint("g", id), Labels: map[string]string{}, Created: w.now.Wall}
	}
	hour := usage.HourOf(w.now.Wall.Unix())
	sets := [][]uint32{nil, {1}, {1, 2}, {3}}
	for i, gs := range sets {
		set := groups.SetID(i)
		if i > 0 {
			set++
		}
		var sum usage.Usage
		for range 30 {
			n := uint64(len(w.rows) + 1)
			r := &fillRow{seq: n, in: map[uint32]bool{}, took: map[uint32]bool{}, usage: usage.Usage{
				usage.Ended: 1, usage.Started: 1, usage.Exact: 1, usage.User: n * 1000003, usage.System: n * n, usage.MaxRSS: uint64(rnd.IntN(1000)), usage.ReadBytes: n << 12,
			}}
			r.cell = history.Key{Hour: hour - uint32(rnd.IntN(4)), UID: uint32(rnd.IntN(2)), Groups: gs, Command: string(rune('a' + rnd.IntN(3)))}
			for _, g := range gs {
				r.in[g] = true
			}
			w.rows = append(w.rows, r)
			sum.Add(&r.usage)
			u := r.usage
			u[usage.Started] = 0
			w.disk.AddCell(&r.cell, &u)
		}
		w.fine.Add(&sum)
		w.disk.PutSet(set, gs, &sum)
	}
	w.start()
	return w
}

// start begins anew with what is committed.
func (w *fillWorld) start() {
	w.e = newEngine(w.t, newMachine(), w.now)
	w.e.options.Rows = true
	if w.e.Load(w.disk.load(), "boot", w.now) {
		w.t.Fatal("another boot")
	}
}

func (w *fillWorld) commit(torn bool) {
	if err := w.e.Prepare(w.now); err != nil {
		w.t.Fatal(err)
	}
	meta := w.disk.meta
	err := w.disk.commit(torn, func(tx Tx) { w.e.Save(tx, &meta) })
	w.e.history.tx = w.disk
	w.disk.applied = err == nil
	w.e.Saved(err)
}

// fill lets a group take rows, as whoever reads the archive would ask for it.
func (w *fillWorld) fill(id uint32, rows []*fillRow) error {
	p := &fill.Piece{Version: w.e.FillVersion()}
	var runs []fill.Run
	for _, r := range rows {
		if n := len(runs); n > 0 && runs[n-1].Last+1 == r.seq {
			runs[n-1].Last++
		} else {
			runs = append(runs, fill.Run{First: r.seq, Last: r.seq})
		}
		c := fill.Cell{Hour: r.cell.Hour, UID: r.cell.UID, Command: r.cell.Command, Usage: r.usage}
		for g := range r.in {
			c.Others = append(c.Others, g)
		}
		slices.Sort(c.Others)
		p.Cells = append(p.Cells, c)
	}
	taken, err := fill.NewRows("source", fill.Encode(runs))
	if err != nil {
		w.t.Fatal(err)
	}
	p.Rows = []fill.Rows{taken}
	return w.e.Fill(w.e.GroupByID(id), p)
}

// check compares all that can be asked with what the rows say.
func (w *fillWorld) check(rnd *rand.Rand) {
	w.t.Helper()
	snap, err := w.e.Snapshot(usage.Service{}, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	if diff := cmp.Diff(w.fine, snap.Total); diff != "" {
		w.t.Fatalf("total (-rows +shown):\n%s", diff)
	}
	place := map[uint32]int{}
	for i := range snap.Groups {
		place[snap.Groups[i].Group.ID] = i
	}
	var chosen []int
	in := map[uint32]bool{}
	for _, g := range w.e.Groups() {
		one := map[uint32]bool{g.ID: true}
		if diff := cmp.Diff(w.sum(one, nil), snap.Groups[place[g.ID]].Usage); diff != "" {
			w.t.Fatalf("group %s (-rows +shown):\n%s", g.Name, diff)
		}
		if rnd.IntN(2) == 0 {
			chosen, in[g.ID] = append(chosen, place[g.ID]), true
		}
	}
	if diff := cmp.Diff(w.sum(in, nil), snap.Union(chosen)); diff != "" {
		w.t.Fatalf("groups %v together (-rows +shown):\n%s", in, diff)
	}
	if w.e.Changed() {
		return // the history has what is committed
	}
	for _, p := range w.disk.filled {
		if w.e.GroupByID(p.Group) == nil {
			w.t.Fatalf("%+v is left of a group that is gone", p)
		}
	}
	for _, p := range w.disk.taken {
		if w.e.GroupByID(p.Group) == nil {
			w.t.Fatalf("%+v is left of a group that is gone", p)
		}
	}
	rows := map[uint32][]int{} // one for each, and the last for all together
	for _, i := range chosen {
		g := &snap.Groups[i].Group
		for _, id := range append([]uint32{g.ID}, g.Absorbed...) {
			rows[id] = []int{i, len(snap.Groups)}
		}
	}
	cells := w.disk.hours(0, 1<<32-1)
	for _, by := range []history.By{history.ByGroup, history.ByCommand, history.ByUser, history.ByHour} {
		for _, all := range []bool{false, true} {
			r := history.NewReport(by, func(g uint32) []int { return rows[g] }, all)
			for _, c := range cells {
				r.Add(&c.Key, &c.usage)
			}
			want := w.sum(in, nil)
			if all {
				want = w.fine
			}
			want[usage.Started] = 0
			if diff := cmp.Diff(want, r.Total); diff != "" {
				w.t.Fatalf("report by %s, of all %v (-rows +reported):\n%s", by, all, diff)
			}
			var sum usage.Usage
			for _, row := range r.Rows() {
				sum.Add(&row.Usage)
			}
			if by == history.ByGroup { // each, and all together
				want = w.sum(in, nil)
				for g := range in {
					u := w.sum(map[uint32]bool{g: true}, nil)
					want.Add(&u)
				}
				want[usage.Started] = 0
			}
			if diff := cmp.Diff(want, sum); diff != "" {
				w.t.Fatalf("rows by %s, of all %v (-rows +reported):\n%s", by, all, diff)
			}
		}
	}
}

// sum is what the rows used that are in any of the groups.
func (w *fillWorld) sum(in map[uint32]bool, of []*fillRow) (u usage.Usage) {
	if of == nil {
		of = w.rows
	}
	for _, r := range of {
		for g := range r.in {
			if in[g] {
				u.Add(&r.usage)
				break
			}
		}
	}
	return u
}

// Whatever groups take of the past, in whatever order, and whichever are renamed, merged
// and deleted, over failed commits, crashes and restarts: the bill of each group, that of
// several together and every report are the sums of the rows in them, each counted once,
// and the totals are those of all rows.
func TestModelFill(t *testing.T) {
	for seed := range uint64(8) {
		rnd := rand.New(rand.NewPCG(seed, 14))
		w := newFillWorld(t, rnd)
		safe := w.copyRows() // as they are committed
		for range 80 {
			gs := w.e.Groups()
			switch n := rnd.IntN(12); {
			case n < 5 && len(gs) > 0:
				g := gs[rnd.IntN(len(gs))]
				var rows []*fillRow
				for _, r := range w.rows {
					if !r.in[g.ID] && rnd.IntN(5) == 0 {
						rows = append(rows, r)
					}
				}
				if len(rows) == 0 {
					break
				}
				if err := w.fill(g.ID, rows); err != nil {
					t.Fatal(err)
				}
				for _, r := range rows {
					r.in[g.ID], r.took[g.ID] = true, true
				}
				w.again(g.ID, rnd)
			case n == 5 && len(gs) > 3:
				g := gs[rnd.IntN(len(gs))]
				w.e.DeleteGroup(g)
				for _, r := range w.rows {
					delete(r.in, g.ID)
					delete(r.took, g.ID)
				}
			case n == 6 && len(gs) > 3:
				i := rnd.IntN(len(gs))
				from, into := gs[i], gs[(i+1)%len(gs)]
				id := from.ID
				if err := w.e.MergeGroup(from, into); err != nil {
					t.Fatal(err)
				}
				for _, r := range w.rows {
					if r.in[id] {
						delete(r.in, id)
						r.in[into.ID] = true
					}
					if r.took[id] {
						delete(r.took, id)
						r.took[into.ID] = true
					}
				}
				w.again(into.ID, rnd)
			case n == 7:
				w.commit(true)
			case n == 8: // killed, or stopped and started
				if rnd.IntN(2) == 0 {
					w.commit(false)
				} else {
					w.rows = safe
				}
				safe = w.copyRows()
				w.start()
			default:
				w.commit(false)
				safe = w.copyRows()
			}
			w.check(rnd)
		}
	}
}

// again asks for a row that the group took, as after an answer that was lost, or after the
// group that took it was merged into it.
func (w *fillWorld) again(id uint32, rnd *rand.Rand) {
	w.t.Helper()
	for _, i := range rnd.Perm(len(w.rows)) {
		r := *w.rows[i]
		if !r.took[id] {
			continue
		}
		if r.in = nil; !errors.Is(w.fill(id, []*fillRow{&r}), fill.ErrTaken) {
			w.t.Fatalf("group %d takes row %d twice", id, r.seq)
		}
		return
	}
}

func (w *fillWorld) copyRows() (rows []*fillRow) {
	for _, r := range w.rows {
		c := *r
		c.in, c.took = maps.Clone(r.in), maps.Clone(r.took)
		rows = append(rows, &c)
	}
	return rows
}

// What was found by an older version, a row that the group has, and more than there is
// room for is refused as a whole.
func TestFillRefused(t *testing.T) {
	w := newFillWorld(t, rand.New(rand.NewPCG(1, 2)))
	g := w.e.GroupByID(4)
	old := w.e.FillVersion()
	if err := w.fill(4, w.rows[:3]); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		piece fill.Piece
		want  error
	}{
		"an old version":                    {fill.Piece{Version: old}, fill.ErrStale},
		"a row twice":                       {fill.Piece{Version: w.e.FillVersion(), Rows: []fill.Rows{{Source: "source", Runs: fill.Encode([]fill.Run{{First: 3, Last: 9}}), First: 3, Last: 9, Count: 7}}}, fill.ErrTaken},
		"too much":                          {fill.Piece{Version: w.e.FillVersion(), Rows: []fill.Rows{{Source: "s", Runs: make([]byte, 9<<20), First: 50, Last: 60}}}, fill.ErrFull},
		"the group itself among the others": {fill.Piece{Version: w.e.FillVersion(), Cells: []fill.Cell{{Others: []uint32{4}}}}, nil},
	} {
		err := w.e.Fill(g, &tt.piece)
		if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	snap, err := w.e.Snapshot(usage.Service{}, w.now)
	if err != nil {
		t.Fatal(err)
	}
	for i := range snap.Groups {
		if s := &snap.Groups[i]; s.Group.ID == 4 && s.Usage[usage.Ended] != 3 {
			t.Errorf("%d processes after what was refused, want 3", s.Usage[usage.Ended])
		}
	}
}

// Rows are known by the name that their group had when they were written.
func TestFillNames(t *testing.T) {
	w := newFillWorld(t, rand.New(rand.NewPCG(1, 2)))
	rows := func(n uint64) { w.e.rows.next += n }
	made, err := w.e.MakeGroup("old", 0, nil, w.now)
	if err != nil {
		t.Fatal(err)
	}
	rows(10)
	if err := w.e.RenameGroup(made, "new", true); err != nil {
		t.Fatal(err)
	}
	rows(10)
	other, err := w.e.MakeGroup("old", 0, nil, w.now)
	if err != nil {
		t.Fatal(err)
	}
	rows(10)
	if err := w.e.MergeGroup(other, made); err != nil {
		t.Fatal(err)
	}
	want := []groups.FormerName{{Name: "old", First: 1000, Before: 1010}, {Name: "old", First: 1020, Before: 1030}}
	if diff := cmp.Diff(want, made.Names); diff != "" || made.FirstRow != 1010 || w.e.NextRow() != 1030 {
		t.Errorf("names from row %d of %d (-want +got):\n%s", made.FirstRow, w.e.NextRow(), diff)
	}
}
