// SPDX-License-Identifier: Apache-2.0

package api

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

func TestSelect(t *testing.T) {
	all := []string{"ci", "ci/a", "ci/a/x", "ci/b", "web"}
	for _, tc := range []struct {
		ask     []string
		groups  []int
		parents []Parent
		fails   bool
	}{
		{[]string{"web", "ci"}, []int{4, 0}, nil, false},
		{[]string{"ci/*"}, []int{1, 2, 3}, nil, false},
		{[]string{"ci/?", "ci/a"}, []int{1, 3}, nil, false},
		{[]string{"ci/", "ci/"}, nil, []Parent{{"ci/", []int{1, 2, 3}}}, false},
		{[]string{"ci/a", "ci/a/"}, []int{1}, []Parent{{"ci/a/", []int{2}}}, false},
		{[]string{"c"}, nil, nil, true},
		{[]string{"web/"}, nil, nil, true},
		{[]string{"ci", "x*"}, nil, nil, true},
	} {
		s, err := Select(tc.ask, len(all), func(i int) string { return all[i] })
		if (err != nil) != tc.fails {
			t.Errorf("%v: %v", tc.ask, err)
		}
		if diff := cmp.Diff(Selection{tc.groups, tc.parents}, s); diff != "" && !tc.fails {
			t.Errorf("%v (-want +got):\n%s", tc.ask, diff)
		}
	}
}

// A process of several groups of a parent counts once in it, and peaks are no sums.
func TestParentCountsOnce(t *testing.T) {
	s := usage.Snapshot{
		Groups: []usage.GroupTotal{
			{Group: groups.Group{ID: 1, Name: "ci/a"}, Usage: usage.Usage{usage.Ended: 5, usage.User: 50, usage.MaxRSS: 7, usage.Exact: 5}},
			{Group: groups.Group{ID: 2, Name: "ci/b"}, Usage: usage.Usage{usage.Ended: 4, usage.User: 40, usage.MaxRSS: 9, usage.Exact: 4}},
			{Group: groups.Group{ID: 3, Name: "web"}, Usage: usage.Usage{usage.Ended: 3, usage.User: 30, usage.MaxRSS: 99}},
		},
		Overlaps: []usage.Overlap{
			{Groups: []uint32{1, 2, 3}, Usage: usage.Usage{usage.Ended: 1, usage.User: 11, usage.MaxRSS: 7, usage.Exact: 1}},
			{Groups: []uint32{1, 2}, Usage: usage.Usage{usage.Ended: 1, usage.User: 7, usage.Exact: 1}},
			{Groups: []uint32{1, 3}, Usage: usage.Usage{usage.Ended: 1, usage.User: 5}},
		},
	}
	want := usage.Usage{usage.Ended: 7, usage.User: 72, usage.MaxRSS: 9, usage.Exact: 7}
	if got := s.Union([]int{0, 1}); got != want {
		t.Errorf("ci/ is %+v, want %+v", got, want)
	}
	r, err := FromSnapshot(&s, []string{"ci/"}, nil)
	if err != nil || len(r.Groups) != 0 || len(r.Parents) != 1 || r.Parents[0].Groups != 2 || r.Parents[0].Usage.ProcessesEnded != 7 {
		t.Errorf("%+v, %v", r, err)
	}
}

// Who asks for its own sees its own groups and those that rules made for it.
func TestMine(t *testing.T) {
	uid := uint32(7)
	s := usage.Snapshot{Groups: []usage.GroupTotal{
		{Group: groups.Group{ID: 1, Name: "a", Owner: 7}}, {Group: groups.Group{ID: 2, Name: "b", User: &uid}}, {Group: groups.Group{ID: 3, Name: "c"}},
	}}
	r, err := FromSnapshot(&s, nil, Caller{UID: 7}.Has)
	if err != nil || len(r.Groups) != 2 || r.Groups[1].Name != "b" {
		t.Errorf("%+v, %v; want a and b", r.Groups, err)
	}
}
