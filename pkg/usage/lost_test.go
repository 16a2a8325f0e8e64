// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"testing"
	"time"

	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
)

// Of exact records that were lost, what no other record tells is billed to the
// unattributed, once, when the time of those is over; and no bill is more than the
// kernel reported.
func TestLostExact(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name      string
		processes uint64
		cpu       time.Duration
		lines     []time.Duration // of deaths whose exact record does not come
		ended     uint64
		rest      time.Duration
		ledger    bool
	}{
		{"nothing", 0, 0, nil, 0, 0, false},
		{"all unseen", 3, 30 * ms, nil, 3, 30 * ms, false},
		{"all told by lines, cut", 2, 31 * ms, []time.Duration{10 * ms, 10 * ms}, 0, 11 * ms, false},
		{"lines say more", 2, 15 * ms, []time.Duration{10 * ms, 10 * ms}, 0, 0, false},
		{"one unseen", 2, 25 * ms, []time.Duration{10 * ms}, 1, 15 * ms, false},
		{"all unseen, and their lines come late", 3, 30 * ms, nil, 0, 30 * ms, true},
		{"threads alone", 0, 7 * ms, nil, 0, 7 * ms, false},
		{"more deaths than were lost", 1, 12 * ms, []time.Duration{10 * ms, 10 * ms}, 0, 2 * ms, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := NewJoin()
			j.ExpectExact, j.Lines = true, tt.ledger
			now := clock.Boot(100 * time.Second)
			var lines time.Duration
			for i, cpu := range tt.lines {
				pid := int32(10 + i)
				life := groups.Life{PID: pid, Start: clock.At(now, clock.Exact), Set: groups.Ungrouped}
				j.Line(&acct.Record{Source: acct.BSD, PID: pid, User: cpu, CPU: cpu}, life, true, now)
				lines += cpu
			}
			j.LostExact(tt.processes, tt.cpu, now)
			rest := func() Usage { return j.at(groups.Unattributed) }
			for _, after := range []time.Duration{time.Second, 2 * time.Second, 30 * time.Second, 31 * time.Second} {
				j.Step(now.Add(after), giveUp)
				if got := rest(); after < 5*time.Second && got != (Usage{}) {
					t.Errorf("%v after the loss %v are unattributed", after, got)
				}
			}
			got := rest()
			if got[Ended] != tt.ended || got[Exact] != tt.ended || got.CPU() != tt.rest {
				t.Errorf("%d processes and %v are unattributed, want %d and %v", got[Ended], got.CPU(), tt.ended, tt.rest)
			}
			if want := lines + tt.rest; j.Reported != want || j.Conservation(0) != 1 {
				t.Errorf("%v are reported, want %v; conservation %v", j.Reported, want, j.Conservation(0))
			}
		})
	}
}

// A process that nobody waited for is billed by its clock. When its exact record is
// lost in the end, nothing is left of that.
func TestLostStanding(t *testing.T) {
	j := NewJoin()
	j.ExpectExact, j.Looks = true, true
	now := clock.Boot(100 * time.Second)
	life := groups.Life{PID: 10, Start: clock.At(now, clock.Exact), Set: groups.Ungrouped}
	j.Line(&acct.Record{Source: acct.BSD, PID: 10}, life, true, now)
	j.Look(now, now, func(groups.Key) (time.Duration, Found) { return 5 * time.Millisecond, Standing })
	j.LostExact(1, 5*time.Millisecond, now)
	j.Step(now.Add(30*time.Second), giveUp)
	if got := j.at(groups.Unattributed); got != (Usage{}) || j.Reported != 5*time.Millisecond {
		t.Errorf("%v are unattributed, %v reported", got, j.Reported)
	}
}
