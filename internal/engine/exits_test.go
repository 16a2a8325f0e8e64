// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"testing"
	"time"

	"elsa/internal/tally"
	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/cnfork"
	"elsa/pkg/proc"
)

// TestEndBeforeLine ends a process whose memory takes a long time to be freed: its
// end is told first, and its line is written much later, at the very moment that it
// is no longer seen to run. No line is missing, and one death is counted.
func TestEndBeforeLine(t *testing.T) {
	for _, tt := range []struct {
		name     string
		line     bool
		missing  uint64
		noLine   uint64
		byLedger uint64
	}{
		{"the line is written as it goes", true, 0, 0, 1},
		{"no line comes", false, 1, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, now := newMachine(), at(time.Minute)
			e, err := New(Options{
				World: m, Commands: 1000, Retention: 24 * time.Hour, Hours: 24 * time.Hour, WholeExits: true, Ledger: true,
				KnownCommands: func(uint32) []string { return nil },
			}, now)
			if err != nil {
				t.Fatal(err)
			}
			e.SetClocks(now, 0, 4*time.Millisecond)
			m.procs[20] = &proc.Process{PID: 20, PPID: 1, Start: clock.At(now.Boot, clock.Tick), State: 'R', Threads: 1}
			e.Events([]cnfork.Event{
				{Kind: cnfork.Fork, PID: 20, TGID: 20, Start: now.Boot, Forker: 1, ForkerStart: 1},
				{Kind: cnfork.Exit, PID: 20, TGID: 20, Start: now.Boot, End: now.Boot.Add(time.Second)},
			}, 0, 0, now.after(time.Second))
			for step := range 20 {
				now := now.after(time.Duration(2+step) * time.Second)
				if step == 7 {
					delete(m.procs, 20) // after the end of the ledger was noted
				}
				if step == 8 && tt.line {
					e.Lines([]acct.Record{{
						Source: acct.BSD, Whole: true, PID: 20, PPID: 1, Begin: at(time.Minute).Wall.Unix(), Elapsed: 9 * time.Second,
						CPU: time.Second, User: time.Second,
					}}, nil, now)
				}
				e.EndStep(now)
			}
			n, joined := e.Counts(), e.join.Joined
			if n[tally.Missing] != tt.missing || joined.NoLine != tt.noLine || joined.Ledger != tt.byLedger || joined.Unknown != 0 {
				t.Errorf("%d missing, %+v", n[tally.Missing], joined)
			}
			if len(e.ending.seen) != 0 {
				t.Errorf("%d deaths are still looked at", len(e.ending.seen))
			}
		})
	}
}
