// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// epoch is the beginning of a bin.
var epoch = time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)

type used struct {
	id   uint32
	name string
	cpu  time.Duration
}

func at(t time.Time, list ...used) *usage.Snapshot {
	s := &usage.Snapshot{Time: t, Service: usage.Service{ConservationRatio: 1}}
	for _, g := range list {
		u := usage.Usage{usage.User: uint64(g.cpu), usage.Live: 1}
		s.Groups = append(s.Groups, usage.GroupTotal{
			Group: groups.Group{ID: g.id, Name: g.name, Created: t}, Usage: u,
		})
		s.AnyGroup.Add(&u)
	}
	return s
}

var approximately = cmp.Options{cmpopts.EquateApprox(1e-5, 1e-6), cmpopts.EquateNaNs()}

func TestHistory(t *testing.T) {
	sec := func(n int) time.Time { return epoch.Add(time.Duration(n) * time.Second) }
	for _, c := range []struct {
		name      string
		snapshots []*usage.Snapshot
		want      []float64 // the last bins; those before are NaN
		now       float64
	}{
		{"one snapshot tells nothing", []*usage.Snapshot{at(sec(0), used{1, "a", time.Hour})}, nil, 0},
		{"a core in a full bin",
			[]*usage.Snapshot{at(sec(0), used{1, "a", time.Hour}), at(sec(30), used{1, "a", time.Hour + 30*time.Second})},
			[]float64{1}, 1},
		{"an interval over several bins is spread evenly",
			[]*usage.Snapshot{at(sec(0), used{1, "a", 0}), at(sec(90), used{1, "a", 45 * time.Second})},
			[]float64{0.5, 0.5, 0.5}, 0.5},
		{"several intervals in a bin are summed",
			[]*usage.Snapshot{at(sec(0), used{1, "a", 0}), at(sec(10), used{1, "a", 3 * time.Second}), at(sec(30), used{1, "a", 6 * time.Second})},
			[]float64{0.2}, 0.15},
		{"the bin before the first snapshot is not known",
			[]*usage.Snapshot{at(sec(10), used{1, "a", 0}), at(sec(60), used{1, "a", 50 * time.Second})},
			[]float64{1}, 1},
		{"the current bin is not shown",
			[]*usage.Snapshot{at(sec(0), used{1, "a", 0}), at(sec(40), used{1, "a", 40 * time.Second})},
			[]float64{1}, 1},
		{"idle after use",
			[]*usage.Snapshot{at(sec(0), used{1, "a", 0}), at(sec(30), used{1, "a", 30 * time.Second}), at(sec(90), used{1, "a", 30 * time.Second})},
			[]float64{1, 0, 0}, 0},
		{"a new group counts from nothing",
			[]*usage.Snapshot{at(sec(0)), at(sec(30), used{1, "a", 15 * time.Second})},
			[]float64{0.5}, 0.5},
		{"a name used again is another group",
			[]*usage.Snapshot{at(sec(0), used{7, "a", time.Hour}), at(sec(30), used{1, "a", 15 * time.Second})},
			[]float64{0.5}, 0.5},
		{"an older snapshot changes nothing",
			[]*usage.Snapshot{at(sec(0), used{1, "a", 0}), at(sec(30), used{1, "a", 30 * time.Second}), at(sec(20), used{1, "a", 90 * time.Second})},
			[]float64{1}, 1},
	} {
		var h lastHour
		for _, s := range c.snapshots {
			h.observe(s)
		}
		got := h.cores(h.rings[1])
		if len(got) != int(binCount)-1 {
			t.Errorf("%s: %d bins", c.name, len(got))
		}
		want := make([]float64, binCount-1)
		for i := range want {
			want[i] = math.NaN()
		}
		copy(want[len(want)-len(c.want):], c.want)
		if diff := cmp.Diff(want, got, approximately); diff != "" {
			t.Errorf("%s: cores (-want +got):\n%s", c.name, diff)
		}
		if now := h.now(h.rings[1]); math.Abs(now-c.now) > 1e-6 {
			t.Errorf("%s: now %v, want %v", c.name, now, c.now)
		}
	}
}

// TestModelHistory compares rings with a list of all that was ever used, over
// random times, some of them hours apart.
func TestModelHistory(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var h lastHour
		now, cpu := epoch.Add(time.Duration(rng.Int64N(int64(time.Hour)))), time.Duration(0)
		begin := now
		type interval struct {
			from, to time.Time
			used     time.Duration
		}
		var all []interval
		h.observe(at(now, used{1, "a", cpu}))
		for range rng.IntN(60) {
			step := time.Duration(rng.Int64N(int64(2 * time.Minute)))
			if rng.IntN(20) == 0 {
				step = time.Duration(rng.Int64N(int64(3 * time.Hour)))
			}
			next := now.Add(step + 1)
			more := time.Duration(0)
			if rng.IntN(3) > 0 {
				more = time.Duration(rng.Int64N(int64(time.Minute)))
			}
			all = append(all, interval{now, next, more})
			now, cpu = next, cpu+more
			h.observe(at(now, used{1, "a", cpu}))
		}
		var want []float64
		end := now.Truncate(binWidth)
		for i := binCount - 1; i > 0; i-- {
			from := end.Add(-time.Duration(i) * binWidth)
			to := from.Add(binWidth)
			sum := 0.0
			for _, v := range all {
				lo, hi := v.from, v.to
				if lo.Before(from) {
					lo = from
				}
				if hi.After(to) {
					hi = to
				}
				if hi.After(lo) {
					sum += v.used.Seconds() * float64(hi.Sub(lo)) / float64(v.to.Sub(v.from))
				}
			}
			if from.Before(begin) {
				sum = math.NaN()
			}
			want = append(want, sum/binWidth.Seconds())
		}
		if diff := cmp.Diff(want, h.cores(h.rings[1]), approximately); diff != "" {
			t.Fatalf("cores (-want +got):\n%s", diff)
		}
	}
}

// TestBounded has more groups than there is room for: the past of some is
// kept, the others are counted, and room comes back after an idle hour.
func TestBounded(t *testing.T) {
	const extra = 10
	list := func(from, n int, cpu time.Duration) (l []used) {
		for i := range n {
			l = append(l, used{uint32(from + i + 1), fmt.Sprintf("g%06d", from+i), cpu})
		}
		return l
	}
	var h lastHour
	h.observe(at(epoch, list(0, maxRings+extra, 0)...))
	h.observe(at(epoch.Add(time.Second), list(0, maxRings+extra, time.Millisecond)...))
	if len(h.rings) != maxRings || h.turnedAway != extra {
		t.Errorf("%d rings, %d turned away; want %d and %d", len(h.rings), h.turnedAway, maxRings, extra)
	}
	h.observe(at(epoch.Add(2*time.Hour), list(0, maxRings+extra, time.Millisecond)...))
	if len(h.rings) != 0 || h.turnedAway != 0 {
		t.Errorf("after two idle hours: %d rings, %d turned away", len(h.rings), h.turnedAway)
	}
}
