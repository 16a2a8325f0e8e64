// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"fmt"
	"testing"
	"time"

	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
)

// BenchmarkDeath charges deaths as they come in a storm: batches of taskstats
// records, then of lines, then of exact records. An operation is one death.
func BenchmarkDeath(b *testing.B) {
	for _, c := range []struct {
		name      string
		ts, exact bool
		accounts  bool // the processes were sampled before
	}{
		{"line", false, false, false},
		{"line+taskstats", true, false, false},
		{"line+taskstats+exact", true, true, false},
		{"line+taskstats+exact+sample", true, true, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			const batch = 1000
			j := newTestJoin(c.exact)
			at := clock.Boot(now)
			b.ReportAllocs()
			for n := 0; n < b.N; n += batch {
				for i := range int32(batch) {
					l, t := life, ts
					l.PID, t.PID, l.Set = i, i, groups.SetID(i%100)
					if c.accounts {
						j.Sample(l.Key(), cellIn(l.Set), &Measure{User: 1})
					}
					if c.ts {
						j.Precise(&t, at)
					}
				}
				for i := range int32(batch) {
					l, r := life, line
					l.PID, r.PID, l.Set = i, i, groups.SetID(i%100)
					j.Line(&r, l, true, at)
				}
				for i := range int32(batch) {
					if x := ex; c.exact {
						x.PID = i
						j.Precise(&x, at)
					}
				}
				at += sec
				j.Step(at, giveUp)
				j.TakeChanged(func(groups.SetID, *Usage) {})
			}
		})
	}
}

// BenchmarkHeld puts and takes records of pids that go round, with a backlog.
func BenchmarkHeld(b *testing.B) {
	for _, backlog := range []int{1, 1000, 100000} {
		b.Run(fmt.Sprint("backlog=", backlog), func(b *testing.B) {
			h := newHeld()
			r := ts
			fits := func(*acct.Record, clock.Boot) time.Duration { return 0 }
			for i := range backlog {
				r.PID = int32(i)
				h.put(&r, 0)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				r.PID = int32((i + backlog) & (1<<22 - 1))
				h.put(&r, 0)
				if h.take(int32(i&(1<<22-1)), fits) == nil {
					b.Fatal("lost a record")
				}
			}
		})
	}
}

// BenchmarkSnapshot computes all bills.
func BenchmarkSnapshot(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint("groups=", n), func(b *testing.B) {
			t, j := groups.New(groups.NewSets()), newTestJoin(false)
			var gs []groups.Group
			for id := uint32(1); id <= uint32(n); id++ {
				gs = append(gs, groups.Group{ID: id})
				j.Start(t.Sets.Only(id), 1)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				j.Snapshot(t, gs)
			}
		})
	}
}
