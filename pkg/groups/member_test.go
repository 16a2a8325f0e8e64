// SPDX-License-Identifier: Apache-2.0

package groups

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMembers(t *testing.T) {
	for _, c := range []struct {
		name   string
		story  func(w *world)
		want   string
		starts map[uint32]int64 // by group; 0 is ungrouped
	}{
		{"add", func(w *world) { w.add(10, 7) }, "10{7}", map[uint32]int64{7: 1}},
		{"add twice", func(w *world) { w.add(10, 7); w.add(10, 7) }, "10{7}", map[uint32]int64{7: 1}},
		{"add to a second group: the first started it once",
			func(w *world) { w.add(10, 7); w.add(10, 3) }, "10{3,7}", map[uint32]int64{3: 1, 7: 1}},
		{"move", func(w *world) { w.add(10, 7); w.add(10, 8); w.move(10, 3) }, "10{3}", map[uint32]int64{3: 1, 7: 1, 8: 1}},
		{"move to where it is among others",
			func(w *world) { w.add(10, 7); w.add(10, 8); w.move(10, 7) }, "10{7}", map[uint32]int64{7: 1, 8: 1}},
		{"remove", func(w *world) { w.add(10, 7); w.remove(10, 7) }, "10{}", map[uint32]int64{0: 1, 7: 1}},
		{"remove from one of two",
			func(w *world) { w.add(10, 7); w.add(10, 8); w.remove(10, 8) }, "10{7}", map[uint32]int64{7: 1, 8: 1}},
		{"remove from a group it is not in", func(w *world) { w.add(10, 7); w.remove(10, 8) }, "10{7}", map[uint32]int64{7: 1}},
		{"drop", func(w *world) { w.add(10, 7); w.add(10, 8); w.DropGroup(7) }, "10{8}", map[uint32]int64{8: 1, 0: 1}},
		{"drop the only group", func(w *world) { w.add(10, 7); w.DropGroup(7) }, "10{}", map[uint32]int64{0: 1}},
		{"drop with children, the dead and the evicted", func(w *world) {
			w.add(10, 7)
			w.fork(10, 11)
			w.exit(11, 11)
			w.fork(10, 12)
			w.add(12, 8)
			w.fork(10, 12)
			w.DropGroup(7)
		}, "10{} †11{} †12{8} 12{}", map[uint32]int64{8: 1, 0: 4}},
		{"a new group with the name of a dropped one", func(w *world) {
			w.add(10, 7)
			w.DropGroup(7)
			w.add(10, 9)
		}, "10{9}", map[uint32]int64{0: 1, 9: 1}},
		{"inferred membership stays inferred in a second group", func(w *world) {
			w.add(10, 7)
			since, p10 := w.now, found(10, 1, w.now)
			w.scan(since, p10, found(11, 10, w.tick()), found(12, 10, w.tick()), found(13, 10, w.tick()))
			w.add(11, 8)
			w.move(12, 8)
			w.remove(13, 7)
		}, "10{7} 11{7,8}~ 12{8} 13{}~", map[uint32]int64{7: 4, 8: 2, 0: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld()
			w.fork(1, 10)
			w.starts()
			c.story(w)
			if got := w.String(); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			starts := map[uint32]int64{}
			for set, n := range w.starts() {
				for _, gid := range w.Sets.Groups(set) {
					starts[gid] += n
				}
				if set == Ungrouped {
					starts[0] += n
				}
			}
			if diff := cmp.Diff(c.starts, starts); diff != "" {
				t.Errorf("starts (-want +got):\n%s", diff)
			}
			w.endAll()
			w.checkEmpty(t)
		})
	}
}

func TestAddNobody(t *testing.T) {
	w := newWorld()
	w.fork(1, 10)
	w.exit(10, 10)
	w.fork(1, 11)
	w.reap(11)
	for _, pid := range []int32{10, 11, 12, 0, -1} {
		if c, ok := w.Add(pid, 7, false); ok {
			t.Errorf("Add(%d) = %+v, want none", pid, c)
		}
		if c, ok := w.Remove(pid, 7); ok {
			t.Errorf("Remove(%d) = %+v, want none", pid, c)
		}
	}
}

func TestChange(t *testing.T) {
	w := newWorld()
	w.fork(1, 10)
	c, _ := w.Add(10, 7, false)
	if c.Life.PID != 10 || c.Life.Set != Ungrouped || c.From != Ungrouped || c.To != w.Sets.Only(7) {
		t.Errorf("Add = %+v", c)
	}
	if c, ok := w.Add(10, 7, false); !ok || c.From != c.To {
		t.Errorf("Add again = %+v, %v; want no change", c, ok)
	}
}

func TestDescendants(t *testing.T) {
	w := newWorld()
	w.fork(1, 10)
	w.fork(10, 11)
	w.fork(10, 12)
	w.fork(11, 13)
	w.fork(13, 14)
	w.fork(1, 20)
	w.fork(20, 21)
	w.exit(13, 13) // dead, its record not read: the line holds
	w.fork(1, 15)
	w.fork(15, 16)
	w.fork(10, 15) // another 15: not the parent of 16
	check := func(pid int32, want ...int32) {
		t.Helper()
		got := w.Descendants(pid)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Descendants(%d) (-want +got):\n%s", pid, diff)
		}
	}
	check(10, 11, 12, 14, 15)
	check(20, 21)
	check(21)
	check(99)
	w.reap(13)
	check(10, 11, 12, 15)
}

func TestStartsMonotone(t *testing.T) {
	w := newWorld()
	w.fork(1, 10)
	w.add(10, 7)
	w.fork(11, 12)
	w.starts()
	w.Fork(10, 11, w.now-1) // adopts 12, whose start was told
	g7 := w.Sets.Only(7)
	if diff := cmp.Diff(map[SetID]int64{g7: 2}, w.starts()); diff != "" {
		t.Errorf("start told before the adoption (-want +got):\n%s", diff)
	}
	w.fork(13, 14)
	w.Fork(10, 13, w.now-1)
	if diff := cmp.Diff(map[SetID]int64{g7: 2}, w.starts()); diff != "" {
		t.Errorf("start not told before the adoption (-want +got):\n%s", diff)
	}
	w.CountStranger(Unattributed)
	w.CountMoved(Unattributed, g7)
	w.CountMoved(g7, g7)
	if diff := cmp.Diff(map[SetID]int64{g7: 1}, w.starts()); diff != "" {
		t.Errorf("placed elsewhere (-want +got):\n%s", diff)
	}
	w.CountStranger(Unattributed)
	if diff := cmp.Diff(map[SetID]int64{Unattributed: 1}, w.starts()); diff != "" {
		t.Errorf("stray (-want +got):\n%s", diff)
	}
}
