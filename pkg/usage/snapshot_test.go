// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"elsa/pkg/clock"
	"elsa/pkg/groups"
)

// TestSnapshot puts processes in overlapping groups: each group's bill is whole,
// and nothing is counted twice in a total.
func TestSnapshot(t *testing.T) {
	tr := groups.New(groups.NewSets())
	tr.Resync([]groups.Scanned{{PID: 1, Start: clock.At(0, clock.Tick), Threads: 1}}, 0, 0, nil)
	for pid := int32(10); pid < 14; pid++ {
		tr.Fork(1, pid, stamped(start+clock.Boot(pid)))
	}
	tr.Fork(99, 14, start) // of an unknown parent
	tr.Add(10, 1, false)
	tr.Add(11, 1, false)
	tr.Add(11, 2, false)
	tr.Add(12, 2, false)
	j := newTestJoin(false)
	tr.TakeStarts(j.Start)
	for pid := int32(10); pid < 15; pid++ {
		l, _ := tr.Lookup(pid)
		if pid%2 == 0 {
			tr.Exit(pid, pid, start+sec)
			r := line
			r.PID = pid
			tr.Take(pid, func(*groups.Life) bool { return true })
			j.Line(&r, l, true, now)
		} else {
			j.Sample(l.Key(), cellIn(l.Set), cpu(1, 0))
		}
	}
	s := j.Snapshot(tr, []groups.Group{{ID: 2, Name: "b"}, {ID: 1, Name: "a"}, {ID: 3, Name: "empty"}})
	type short struct {
		cpu                  int64
		started, ended, live uint64
	}
	of := func(u Usage) short { return short{int64(u.CPU() / ms), u[Started], u[Ended], u[Live]} }
	got := map[string]short{
		"any": of(s.AnyGroup), "ungrouped": of(s.Ungrouped), "unattributed": of(s.Unattributed), "total": of(s.Total),
	}
	for _, g := range s.Groups {
		got[g.Group.Name] = of(g.Usage)
	}
	want := map[string]short{
		// 10 died in a, 11 lives in a and b, 12 died in b.
		"a": {31, 2, 1, 1}, "b": {31, 2, 1, 1}, "empty": {},
		// 11 came in twice: to a, and then to b.
		"any": {61, 4, 2, 1},
		// 1 and 13 live; 10, 11 and 12 were here first.
		"ungrouped": {1, 5, 0, 2}, "unattributed": {30, 1, 1, 0},
		"total": {92, 10, 3, 3},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(short{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if s.Groups[0].Group.Name != "b" || len(s.Groups) != 3 {
		t.Error("the groups are not in the order they were given")
	}
}
