// SPDX-License-Identifier: Apache-2.0

package lineage

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"elsa/pkg/clock"
	"elsa/pkg/groups"
)

const sec = 1_000_000_000

func stamped(at int64) clock.Start { return clock.At(clock.Boot(at), clock.Stamped) }

func ancestor(pid, ppid int32, start, exit int64) Ancestor {
	return Ancestor{Key: groups.Key{PID: pid, Start: stamped(start * sec)}, PPID: ppid, Exit: clock.Boot(exit * sec)}
}

// A pid that was used again names the process that lived then.
func TestParent(t *testing.T) {
	b := New(nil)
	old, mid := ancestor(10, 1, 5, 20), ancestor(10, 2, 30, 40)
	b.AddAncestor(old)
	b.AddAncestor(mid)
	b.AddAncestor(ancestor(11, 1, 5, 6))
	for _, tc := range []struct {
		pid  int32
		at   int64
		want Ancestor
		ok   bool
	}{
		{10, 4, Ancestor{}, false}, {10, 5, old, true}, {10, 20, old, true}, {10, 25, Ancestor{}, false},
		{10, 30, mid, true}, {10, 41, Ancestor{}, false}, {12, 5, Ancestor{}, false},
	} {
		if got, ok := b.Parent(tc.pid, stamped(tc.at*sec)); ok != tc.ok || got != tc.want {
			t.Errorf("parent %d at %d: %+v, %v; want %+v", tc.pid, tc.at, got, ok, tc.want)
		}
	}
}

// However many members end, the ancestors of the living stay.
func TestSweepKeepsAncestors(t *testing.T) {
	live := []groups.Life{{PID: 100, PPID: 52, Start: stamped(60 * sec)}}
	b := New(func(f func(groups.Life)) {
		for _, l := range live {
			f(l)
		}
	})
	b.AddAncestor(ancestor(50, 1, 10, 70))
	b.AddAncestor(ancestor(51, 50, 20, 71))
	b.AddAncestor(ancestor(52, 51, 30, 72))
	b.AddAncestor(ancestor(52, 51, 73, 74)) // the same pid again, and nobody's ancestor
	for i := range int32(3 * MaxAncestors) {
		b.AddAncestor(ancestor(1000+i%5000, 52, 100+int64(i), 101+int64(i)))
		if b.count > MaxAncestors {
			t.Fatalf("%d are kept", b.count)
		}
	}
	chain := []int32{}
	pid, at := live[0].PPID, live[0].Start
	for {
		a, ok := b.Parent(pid, at)
		if !ok {
			break
		}
		chain = append(chain, a.Key.PID)
		pid, at = a.PPID, a.Key.Start
	}
	if diff := cmp.Diff([]int32{52, 51, 50}, chain); diff != "" {
		t.Errorf("chain (-want +got):\n%s", diff)
	}
	live = nil
	if got := b.Ancestors(); len(got) != 0 {
		t.Errorf("%d ancestors of nobody are kept", len(got))
	}
}

// When all have live descendants, the oldest go.
func TestSweepIsBounded(t *testing.T) {
	var live []groups.Life
	b := New(func(f func(groups.Life)) {
		for _, l := range live {
			f(l)
		}
	})
	for i := range int32(2 * MaxAncestors) {
		b.AddAncestor(ancestor(1+i, 0, 1, 2+int64(i)))
		live = append(live, groups.Life{PID: 1 << 20, PPID: 1 + i, Start: stamped(sec)})
	}
	if b.count > MaxAncestors {
		t.Errorf("%d are kept, want at most %d", b.count, MaxAncestors)
	}
	if _, ok := b.Parent(2*MaxAncestors, stamped(sec)); !ok {
		t.Error("the latest is gone")
	}
	if _, ok := b.Parent(1, stamped(sec)); ok {
		t.Error("the oldest is kept")
	}
}

func TestOrigins(t *testing.T) {
	b := New(nil)
	stored := map[uint64]Origin{}
	flush := func() {
		b.Flush(func(o Origin) { stored[o.Seq] = o }, func(o Origin) { delete(stored, o.Seq) })
		b.Done()
	}
	k := groups.Key{PID: 7, Start: stamped(38e6)}
	b.Add(Origin{Group: 1, Key: k, UID: 5, BootID: "a"})
	b.Add(Origin{Group: 1, Key: k, UID: 6, BootID: "a"})
	b.Add(Origin{Group: 2, Key: k, UID: 7, BootID: "b"})
	flush()
	// As /proc shows it.
	if o, ok := b.Origin(1, groups.Key{PID: 7, Start: clock.At(30e6, clock.Tick)}); !ok || o.UID != 6 {
		t.Errorf("origin %+v, %v; want the latest, of uid 6", o, ok)
	}
	if _, ok := b.Origin(1, groups.Key{PID: 7, Start: stamped(130e6)}); ok {
		t.Error("origin of another life")
	}
	again := New(nil)
	for _, o := range stored {
		again.Restore(o)
	}
	if diff := cmp.Diff(b.Origins(1), again.Origins(1)); diff != "" {
		t.Errorf("restored (-before +after):\n%s", diff)
	}
	again.DropBoot("a")
	if len(again.Origins(2)) != 0 || len(again.Origins(1)) != 2 {
		t.Error("DropBoot keeps or drops too much")
	}
	for range MaxOrigins {
		b.Add(Origin{Group: 1, Key: groups.Key{PID: 8}})
	}
	b.DropGroup(2)
	flush()
	if len(b.Origins(1)) != MaxOrigins || len(stored) != MaxOrigins {
		t.Errorf("%d origins, %d stored; want %d", len(b.Origins(1)), len(stored), MaxOrigins)
	}
}

func TestBuryDoesNotAllocate(t *testing.T) {
	b := New(func(func(groups.Life)) {})
	i := int32(0)
	bury := func() { i++; b.AddAncestor(ancestor(1+i%1000, 1, int64(i), int64(i))) }
	for range 2 * MaxAncestors {
		bury()
	}
	if n := testing.AllocsPerRun(1000, bury); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestForked(t *testing.T) {
	b := New(nil)
	b.Fork(100, 5000)
	b.Fork(5000, 4194304)
	b.Fork(-1, -2)
	b.HasChild(1 << 30)
	for pid, want := range map[int32]bool{100: true, 5000: true, 4194304: false, 99: false, -1: false, 1 << 30: false} {
		if b.Forked(pid) != want {
			t.Errorf("pid %d: %v", pid, !want)
		}
	}
	b.Fork(1, 5000) // another process of that pid
	if b.Forked(5000) || !b.Forked(1) {
		t.Error("a new process has forked")
	}
}
