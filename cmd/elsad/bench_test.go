// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"elsa/internal/rules"
	"elsa/internal/store"
	"elsa/pkg/acct"
	"elsa/pkg/cnfork"
	"elsa/pkg/groups"
	"elsa/pkg/ledger"
	"elsa/pkg/proc"
	"elsa/pkg/stream"
	"elsa/pkg/usage"
)

// quiet is a source that has nothing to say but the end of a drain.
type quiet[T any] struct{ c chan *stream.Batch[T] }

func newQuiet[T any]() *quiet[T] { return &quiet[T]{make(chan *stream.Batch[T], 1)} }

func (q *quiet[T]) Run(ctx context.Context) error    { <-ctx.Done(); return nil }
func (q *quiet[T]) Batches() <-chan *stream.Batch[T] { return q.c }
func (q *quiet[T]) Release(*stream.Batch[T])         {}
func (q *quiet[T]) Mark(n uint64)                    { q.c <- &stream.Batch[T]{Barrier: n} }

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
			c := &core{
				log: slog.New(slog.DiscardHandler), proc: proc.Default, store: db, ledger: ledger,
				tracker: groups.New(groups.NewSets()), join: usage.NewJoin(), rules: &rules.Set{},
				events: newQuiet[cnfork.Event](), sampler: proc.Default.NewSampler(),
			}
			c.keepLineage()
			c.keepHistory(1000, 24*time.Hour, 24*time.Hour)
			c.meta.NextGroup = 1
			for i := range idle {
				g, err := c.makeGroup(fmt.Sprintf("g%05d", i), 0, nil)
				if err != nil {
					b.Fatal(err)
				}
				c.tracker.Fork(0, int32(1000000+i), 1)
				c.tracker.Add(int32(1000000+i), g.ID, false)
			}
			c.setClocks()
			c.watch.next = 1 << 62
			if err := c.commit(); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				b.StopTimer()
				now := proc.Boottime()
				ledger.kept += len(ledger.records)
				ledger.records = ledger.records[:0]
				for i := range int32(lines) {
					pid := 100000 + i
					c.tracker.Fork(1000000, pid, now)
					c.tracker.Exit(pid, pid, now)
					ledger.records = append(ledger.records, acct.Record{
						Source: acct.BSD, Whole: true, PID: pid, PPID: 1, Begin: (now + c.offsets[0]) / 1e9, User: time.Millisecond, CPU: time.Millisecond,
					})
				}
				b.StartTimer()
				if err := c.step(); err != nil {
					b.Fatal(err)
				}
				if err := c.commit(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(lines)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
			if c.join.Joined.Ledger != uint64(lines*b.N) {
				b.Fatalf("%+v: want %d joined", c.join.Joined, lines*b.N)
			}
		})
	}
}
