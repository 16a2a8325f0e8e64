// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"elsa/internal/store"
	"elsa/internal/tally"
	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/cnfork"
	"elsa/pkg/groups"
	"elsa/pkg/ledger"
	"elsa/pkg/proc"
)

// written is a ledger in memory.
type written struct {
	ledger.Ledger
	records []acct.Record
	kept    int
}

func (w *written) End() (ledger.Position, error) {
	return ledger.Position{Segment: 1, Offset: int64(w.kept + len(w.records))}, nil
}

func (w *written) Read(_, to ledger.Position, f func([]acct.Record) error) (ledger.Position, ledger.Skipped, error) {
	for r := w.records; len(r) > 0; {
		n := min(len(r), 1024)
		if err := f(r[:n]); err != nil {
			return to, ledger.Skipped{}, err
		}
		r = r[n:]
	}
	return to, ledger.Skipped{}, nil
}

func (w *written) Backlog(ledger.Position, ledger.Position) int64 { return 0 }
func (w *written) Release(ledger.Position) error                  { return nil }
func (w *written) Rotate() error                                  { return nil }
func (w *written) Path() string                                   { return "" }

// BenchmarkJoinCommit is the way from ledger lines to disk: per operation one
// step with a second's lines of a storm, joined to their processes and
// committed, beside groups that idle.
func BenchmarkJoinCommit(b *testing.B) {
	const lines = 20000
	for _, idle := range []int{10, 100, 1000, 10000} {
		b.Run(fmt.Sprintf("idle-groups=%d", idle), func(b *testing.B) {
			db, err := store.Open(filepath.Join(b.TempDir(), "elsa.db"), time.Now())
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			ledger := &written{}
			p := newPipeline(b, db, nil)
			p.Sources.Ledger, p.Sources.Taskstats, p.Sources.Exact = ledger, nil, nil
			e := p.Engine
			var events []cnfork.Event
			fork := func(parent, pid int32, at clock.Mono) {
				events = append(events, cnfork.Event{Kind: cnfork.Fork, PID: pid, TGID: pid, ParentPID: parent, ParentTGID: parent, Time: at})
			}
			for i := range idle {
				g, err := e.MakeGroup(fmt.Sprintf("g%05d", i), 0, nil, readNow())
				if err != nil {
					b.Fatal(err)
				}
				fork(1, int32(1000000+i), 1)
				e.Events(events, 0, 0, readNow())
				events = events[:0]
				if !e.Add(groups.Life{PID: int32(1000000 + i), Start: clock.At(1, clock.Stamped)}, g, false, false, 0, readNow()) {
					b.Fatal("a process is not there to be added")
				}
			}
			if err := p.commit(); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				b.StopTimer()
				now, begin := clock.Mono(readNow().Boot.Add(-proc.Asleep())), time.Now().Unix()
				ledger.kept += len(ledger.records)
				ledger.records = ledger.records[:0]
				for i := range int32(lines) {
					pid := 100000 + i
					fork(1000000, pid, now)
					events = append(events, cnfork.Event{Kind: cnfork.Exit, PID: pid, TGID: pid, Time: now})
					ledger.records = append(ledger.records, acct.Record{
						Source: acct.BSD, Whole: true, PID: pid, PPID: 1, Begin: begin, User: time.Millisecond, CPU: time.Millisecond,
					})
				}
				e.Events(events, 0, 0, readNow())
				events = events[:0]
				b.StartTimer()
				if err := p.step(); err != nil {
					b.Fatal(err)
				}
				if err := p.commit(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(lines)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
			if s, err := p.view(); err != nil || s.Service.Counts[tally.JoinedLedger] != uint64(lines*b.N) {
				b.Fatalf("%+v, %v: want %d joined", s.Service.Counts, err, lines*b.N)
			}
		})
	}
}
