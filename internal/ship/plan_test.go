// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const testSource = "00000001-0000-5000-8000-000000000000"

func TestNames(t *testing.T) {
	c := Cells{testSource, 490013, 12, "abcdefgh"}
	if c.Name() != "cells/day=2025-11-25/source="+testSource+"/05-0000000012-abcdefgh.parquet" {
		t.Error(c.Name())
	}
	if back, ok := ParseCells(c.Name()); !ok || back != c {
		t.Errorf("%+v, %v", back, ok)
	}
	for _, bad := range []string{
		"cells/day=2025-13-25/source=" + testSource + "/05-0000000012-abcdefgh.parquet",
		"cells/day=2025-11-25/source=" + testSource + "/24-0000000012-abcdefgh.parquet",
		"cells/day=2025-11-25/source=" + testSource + "/05-0000000012-abcdefgh.parquet.tmp",
		"processes/x",
	} {
		if _, ok := ParseCells(bad); ok {
			t.Errorf("%s is a name", bad)
		}
	}
	name, ok := processesName("2026-03-04", "/a/"+testSource+"-0000000007-1.parquet", "abcdefgh", 2)
	if want := "processes/day=2026-03-04/source=" + testSource + "/" + testSource + "-0000000007-1-abcdefgh-try2.parquet"; !ok || name != want {
		t.Errorf("%s, want %s", name, want)
	}
	want := Sealed{name, "2026-03-04", testSource, testSource + "-0000000007-1", "abcdefgh", 2}
	if back, ok := ParseSealed(name); !ok || back != want {
		t.Errorf("%+v, %v", back, ok)
	}
}

// TestOffer: what says the same is not sent again; what does not gets the next version,
// and knows what it replaces.
func TestOffer(t *testing.T) {
	first := offer(nil, testSource, "w", 5, "d1")
	if first.Version != 1 || first.Name != (Cells{testSource, 5, 1, "w"}).Name() || first.Old != nil {
		t.Errorf("%+v", first)
	}
	items := []held{*first, {Item: Item{Name: "processes/x", File: "x"}}}
	if again := offer(items, testSource, "w", 5, "d1"); again != nil {
		t.Errorf("%+v", again)
	}
	second := offer(items, testSource, "v", 5, "d2")
	if second.Version != 2 || second.Name != (Cells{testSource, 5, 2, "v"}).Name() || !cmp.Equal(second.Old, []string{first.Name}) {
		t.Errorf("%+v", second)
	}
	items[0].Gone = true // it was never sent
	if anew := offer(items, testSource, "w", 5, "d1"); anew == nil || anew.Version != 2 {
		t.Errorf("%+v", anew)
	}
	items[0].Sent = true
	if anew := offer(items, testSource, "w", 5, "d1"); anew != nil {
		t.Errorf("%+v", anew)
	}
}

// TestDrop: what is too old or too much goes, what is verified first, and what was never
// sent is counted.
func TestDrop(t *testing.T) {
	make := func() *feed {
		f := &feed{state: state{Since: 8}}
		for h := uint32(1); h <= 10; h++ {
			f.Items = append(f.Items, held{Item: Item{Hour: h, Size: 10, Rows: 1, CPU: uint64(h)}, Sent: h%2 == 0, Verified: h%4 == 0})
		}
		f.Items = append(f.Items, held{Item: Item{File: "x", Size: 1 << 40}})
		return f
	}
	gone := func(f *feed) (hours []uint32) {
		for _, h := range f.Items {
			if h.Gone {
				hours = append(hours, h.Hour)
			}
		}
		return hours
	}
	f := make()
	f.bound(Bounds{Bytes: 100, Hours: 10})
	if len(f.Items) != 11 || gone(f) != nil {
		t.Errorf("%+v", f.Items)
	}
	f.bound(Bounds{Bytes: 60, Hours: 10}) // 4, 8, then 1, 2
	if got := gone(f); !cmp.Equal(got, []uint32{8}) || len(f.Items) != 8 || f.Lost != (Lost{1, 1, 1, 1, 1}) {
		t.Errorf("gone %v of %d, lost %+v", got, len(f.Items), f.Lost)
	}
	f = make()
	f.bound(Bounds{Bytes: 1000, Hours: 1}) // 1 to 8
	if got := gone(f); !cmp.Equal(got, []uint32{8}) || f.lost() != (Lost{4, 4, 1 + 3 + 5 + 7, 1, 7}) {
		t.Errorf("gone %v, lost %+v", got, f.lost())
	}
	f.Since = 0
	f.Items[0].Sent = false // 8, which is kept in mind
	if f.lost().CPU != 1+3+5+7+8 || f.lost().To != 8 {
		t.Errorf("lost %+v", f.lost())
	}
}

// TestCompare: what is missing, wrong, replaced or above is told apart.
func TestCompare(t *testing.T) {
	name := func(hour uint32, version uint64, writer string) string {
		return Cells{testSource, hour, version, writer}.Name()
	}
	const us, them = "aaaaaaaa", "bbbbbbbb"
	item := func(hour uint32, version uint64, sent, verified bool) held {
		return held{Item: Item{Hour: hour, Version: version, Name: name(hour, version, us), Size: 10}, Sent: sent, Verified: verified}
	}
	items := []held{item(1, 2, true, true), item(2, 1, true, false), item(3, 1, true, true), item(4, 1, false, false), item(5, 3, true, false)}
	object := func(name string, size int64) Object { return Object{Name: name, Size: size} }
	there := []Object{
		object(name(1, 2, us), 10), object(name(1, 1, us), 9), object(name(1, 1, them), 9), // replaced; not ours
		object(name(3, 1, us), 9),                             // another size
		object(name(5, 3, us), 10), object(name(5, 2, us), 1), // not verified: what it replaces stays
		object(name(5, 4, them), 10), object(name(9, 1, us), 10), object("cells/x", 1),
	}
	want := difference{Missing: []int{1}, Wrong: []int{2}, Remove: []string{name(1, 1, us)}, Known: []Object{object(name(5, 4, them), 10), object(name(9, 1, us), 10)}}
	if diff := cmp.Diff(want, compare(items, there, us)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
