// SPDX-License-Identifier: Apache-2.0

package groups

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSets(t *testing.T) {
	s := NewSets()
	a := s.Only(5)
	ab := s.With(a, 3)
	b := s.Without(ab, 5)
	for _, c := range []struct {
		name      string
		got, want SetID
	}{
		{"the same set by another way", s.With(s.Only(3), 5), ab},
		{"With what is in", s.With(ab, 3), ab},
		{"Without what is not in", s.Without(a, 3), a},
		{"Without the last", s.Without(a, 5), Ungrouped},
		{"With from nothing", s.With(Ungrouped, 3), b},
		{"With from what is not known", s.With(Unattributed, 3), b},
		{"Without from what is not known", s.Without(Unattributed, 3), Unattributed},
	} {
		if c.got != c.want {
			t.Errorf("%s: set %d, want %d", c.name, c.got, c.want)
		}
	}
	if diff := cmp.Diff([]uint32{3, 5}, s.Groups(ab)); diff != "" {
		t.Errorf("Groups (-want +got):\n%s", diff)
	}
	if s.Groups(999) != nil || s.Groups(Ungrouped) != nil {
		t.Error("groups in an unknown set or in Ungrouped")
	}
	if !s.Has(ab, 3) || s.Has(a, 3) {
		t.Error("Has is wrong")
	}
	if diff := cmp.Diff([]SetID{a, ab, b}, s.TakeFresh()); diff != "" {
		t.Errorf("TakeFresh (-want +got):\n%s", diff)
	}
	if f := s.TakeFresh(); len(f) != 0 {
		t.Errorf("TakeFresh again = %v", f)
	}
}

func TestSetsDropGroup(t *testing.T) {
	s := NewSets()
	a, b := s.Only(1), s.Only(2)
	ab := s.With(a, 2)
	abc := s.With(ab, 3)
	n := s.Len()
	s.TakeFresh()
	moved := s.DropGroup(1)
	bc := s.With(b, 3)
	if diff := cmp.Diff(map[SetID]SetID{a: Ungrouped, ab: b, abc: bc}, moved); diff != "" {
		t.Errorf("DropGroup (-want +got):\n%s", diff)
	}
	fresh := s.TakeFresh()
	slices.Sort(fresh)
	if diff := cmp.Diff([]SetID{a, ab, abc, bc}, fresh); diff != "" {
		t.Errorf("TakeFresh (-want +got):\n%s", diff)
	}
	for _, id := range []SetID{a, ab, abc} {
		if s.Groups(id) != nil {
			t.Errorf("retired set %d has groups", id)
		}
	}
	if again := s.Only(1); int(again) < n {
		t.Errorf("Only(1) = %d: an id was used again before Reclaim", again)
	}
	if moved := s.DropGroup(99); len(moved) != 0 {
		t.Errorf("DropGroup of no group = %v", moved)
	}
}

func TestSetsRestore(t *testing.T) {
	s := NewSets()
	a := s.Only(1)
	ab := s.With(a, 2)
	s.DropGroup(1)
	b := s.Only(2)
	r := NewSets()
	for id := s.Len() - 1; id >= 0; id-- { // any order
		gs := slices.Clone(s.Groups(SetID(id)))
		slices.Reverse(gs)
		r.Restore(SetID(id), gs)
	}
	for id := range SetID(s.Len()) {
		if diff := cmp.Diff(s.Groups(id), r.Groups(id)); diff != "" {
			t.Errorf("set %d (-want +got):\n%s", id, diff)
		}
	}
	if r.Only(2) != b || r.Len() != s.Len() {
		t.Error("a restored set was made again")
	}
	if id := r.Only(1); id <= ab {
		t.Errorf("Only(1) = %d: an id was used again", id)
	}
	if f := r.TakeFresh(); len(f) != 1 {
		t.Errorf("TakeFresh = %v, want the one new set", f)
	}
}

func TestCheckName(t *testing.T) {
	for _, name := range []string{"a", "ci", "A.b_c-d/e:f@g0", strings.Repeat("x", 128)} {
		if err := CheckName(name); err != nil {
			t.Errorf("CheckName(%q) = %v", name, err)
		}
	}
	for name, part := range map[string]string{
		"": "empty", strings.Repeat("x", 129): "129", "a b": "' '", "ä": "'ä'", "a\n": `'\n'`, "a\x00": `'\x00'`, "a\xff": "not allowed", "a,b": "','",
	} {
		if err := CheckName(name); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("CheckName(%q) = %v, want an error that names %s", name, err, part)
		}
	}
}

// An id names no other set before Reclaim, and afterwards only if nothing is said to
// refer to it.
func TestSetsReclaim(t *testing.T) {
	s := NewSets()
	a, b, c := s.Only(1), s.Only(2), s.Only(3)
	s.DropGroup(1)
	if d := s.Only(4); d <= c {
		t.Errorf("set %d is used again before Reclaim", d)
	}
	s.TakeFresh()
	var used InUse
	used.Mark(b)
	used.Mark(s.Only(4))
	s.Reclaim(&used)
	if f := s.TakeFresh(); !slices.Equal(f, []SetID{c}) {
		t.Errorf("TakeFresh = %v, want set %d, which was forgotten", f, c)
	}
	if s.Turnover() != 0 || s.Groups(c) != nil || !s.Has(b, 2) {
		t.Errorf("after Reclaim: turnover %d, %v, %v", s.Turnover(), s.Groups(c), s.Groups(b))
	}
	if got := []SetID{s.Only(5), s.Only(6), s.Only(3)}; got[0] != a || got[1] != c || int(got[2]) != s.Len()-1 {
		t.Errorf("new sets are %v, want %d, %d and the next", got, a, c)
	}
	if !s.Has(a, 5) || !s.Has(c, 6) || s.Only(2) != b || s.Only(5) != a {
		t.Error("sets are mixed up")
	}
	used.Clear()
	used.Mark(a) // retired, and something refers to it still
	s.DropGroup(5)
	s.Reclaim(&used)
	if s.Len() != int(a)+1 || s.Only(7) == a {
		t.Errorf("%d sets, and a new one is %d: %d is in use", s.Len(), s.Only(7), a)
	}
}

// A process cannot be put in more groups than are kept of it.
func TestSetsFull(t *testing.T) {
	s := NewSets()
	set := Ungrouped
	for g := range uint32(MaxGroups) {
		if s.Full(set, g+1) {
			t.Fatalf("full with %d groups", g)
		}
		set = s.With(set, g+1)
	}
	switch n := len(s.Groups(set)); {
	case n != MaxGroups:
		t.Errorf("%d groups, want %d", n, MaxGroups)
	case !s.Full(set, 1000) || s.Full(set, 1):
		t.Error("Full is wrong")
	case s.With(set, 1000) != set:
		t.Error("one more was taken")
	case s.Full(s.Without(set, 1), 1000):
		t.Error("full with one less")
	}
}
