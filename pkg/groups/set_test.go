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
		t.Errorf("Only(1) = %d: an id was used again", again)
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

// Within a run a retired set's number names it still; the next run uses it again.
func TestSetsReuse(t *testing.T) {
	s := NewSets()
	a, b := s.Only(1), s.Only(2)
	s.DropGroup(1)
	if c := s.Only(3); c == a || c == b {
		t.Errorf("set %d is used again within the run", c)
	}
	r := NewSets()
	r.Restore(b, []uint32{2})
	r.Restore(s.Only(3), []uint32{3})
	r.Reuse()
	if got := r.Only(4); got != a {
		t.Errorf("the new set is %d, want %d, which was retired", got, a)
	}
	if got := r.Only(5); int(got) != r.Len()-1 || got == b {
		t.Errorf("the next one is %d of %d", got, r.Len())
	}
	if !r.Has(a, 4) || !r.Has(b, 2) || r.Only(2) != b {
		t.Error("sets are mixed up")
	}
}
