// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"elsa/pkg/clock"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// A closed group keeps its series until it had no live process for the grace.
func TestFade(t *testing.T) {
	began := time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC)
	f := fade{grace: 15 * time.Minute}
	total := func(name string, closed int, live uint64) usage.GroupTotal {
		g := usage.GroupTotal{Group: groups.Group{ID: uint32(name[0]), Name: name}, Usage: usage.Usage{usage.Live: live}}
		if closed >= 0 {
			g.Group.Closed = began.Add(time.Duration(closed) * time.Minute)
		}
		return g
	}
	for _, step := range []struct {
		minute int
		lives  uint64 // of c, which is closed in minute 1
		want   string
	}{
		{0, 1, "a b c d"},
		{2, 1, "a b c d"},
		{15, 1, "a b c d"},
		{16, 1, "a c d"}, // b was closed in minute 0
		{60, 1, "a c d"}, // c lives on
		{61, 0, "a c d"},
		{75, 0, "a c d"}, // lived last in minute 60
		{76, 0, "a d"},
	} {
		since := time.Duration(step.minute) * time.Minute
		s := &usage.Snapshot{Time: began.Add(since), Boot: clock.Boot(since), Groups: []usage.GroupTotal{
			total("a", -1, 0), total("b", 0, 0), total("c", 1, step.lives), total("d", -1, 3),
		}}
		var got []string
		for _, g := range f.left(s).Groups {
			got = append(got, g.Group.Name)
		}
		if strings.Join(got, " ") != step.want {
			t.Errorf("minute %d: %v, want %s", step.minute, got, step.want)
		}
		if len(s.Groups) != 4 {
			t.Fatal("the snapshot was changed")
		}
	}
	if f.grace = -1; len(f.left(&usage.Snapshot{Time: began.Add(time.Hour), Groups: []usage.GroupTotal{total("b", 0, 0)}}).Groups) != 1 {
		t.Error("without a grace a group is left out")
	}
	if f.grace = time.Hour; len(f.left(&usage.Snapshot{}).Groups) != 0 || len(f.ended) != 0 {
		t.Errorf("kept for nothing: %v", f.ended)
	}
}

// A wall clock that jumps, ahead or back, takes no series away and keeps none.
func TestFadeByPassedTime(t *testing.T) {
	began := time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC)
	for _, jump := range []time.Duration{0, 50 * time.Hour, -50 * time.Hour} {
		f := fade{grace: 15 * time.Minute}
		closed := began.Add(30 * time.Second)
		for _, step := range []struct {
			minute int
			want   bool
		}{{0, true}, {1, true}, {15, true}, {17, false}, {18, false}} {
			g := usage.GroupTotal{Group: groups.Group{ID: 1}}
			passed := time.Duration(step.minute) * time.Minute
			s := &usage.Snapshot{Time: began.Add(passed), Boot: clock.Boot(passed), Groups: []usage.GroupTotal{g}}
			if step.minute > 0 { // it was closed in the meantime, and then the clock was set
				s.Groups[0].Group.Closed = closed
				s.Time = s.Time.Add(jump)
			}
			if got := len(f.left(s).Groups) == 1; got != step.want {
				t.Errorf("the clock jumps by %v: in minute %d its series are there: %v", jump, step.minute, got)
			}
		}
	}
}

// A group for each command does not add series for ever.
func TestScrapeIsBounded(t *testing.T) {
	began := time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC)
	now := began
	var all []usage.GroupTotal
	e := New(Options{MaxGroups: -1, ClosedGrace: 15 * time.Minute})
	most := 0
	for i := range 200 { // one a minute
		now = now.Add(time.Minute)
		all = append(all, usage.GroupTotal{Group: groups.Group{ID: uint32(i), Name: fmt.Sprintf("run-%03d", i), Closed: now}})
		s := &usage.Snapshot{Time: now, Boot: clock.Boot(now.Sub(began)), Groups: all}
		e.opts.Snapshot = fixed(s)
		families, done, err := e.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			switch f.GetName() {
			case "elsa_group_processes_ended_total":
				most = max(most, len(f.Metric)-2) // beside what is in no group
			case nameGroups:
				if got := f.Metric[0].GetGauge().GetValue(); got != float64(i+1) {
					t.Fatalf("%s is %v, want %d", nameGroups, got, i+1)
				}
			}
		}
		done()
	}
	if most != 16 {
		t.Errorf("%d groups had series at once, want 16", most)
	}
}
