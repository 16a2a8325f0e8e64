// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"testing"
	"time"

	"elsa/internal/kerneltest"
	"elsa/pkg/clock"
	"elsa/pkg/cnfork"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
	"elsa/pkg/stream"
	"elsa/pkg/usage"
)

// frozen is a ledger on a disk that does not answer until it is told to.
type frozen struct {
	written
	asked, thawed chan struct{}
}

func (f *frozen) Rotate() error {
	select {
	case f.asked <- struct{}{}:
	default:
	}
	<-f.thawed
	return nil
}

// While the disk does not answer the pipeline turns, requests and readers are
// answered in time, with what was committed, and it says since when. Nothing is lost
// when it goes on.
func TestFrozen(t *testing.T) {
	db := openStore(t)
	p := newPipeline(t, db, nil)
	p.Interval, p.RunRetention = 20*time.Millisecond, time.Hour
	events := stream.NewMemory[cnfork.Event]()
	disk := &frozen{asked: make(chan struct{}, 1), thawed: make(chan struct{})}
	p.Sources = Sources{Events: events, Ledger: disk, Pause: func() {}}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	change := func(name string) error {
		return p.Do(ctx, func(t Turn) error {
			_, err := t.Engine().MakeGroup(name, 0, nil, t.Now())
			t.Commit()
			return err
		})
	}
	// The first commit is written, and what comes after it waits.
	begin := time.Now()
	var unsafe *NotSafeError
	if err := change("first"); !errors.As(err, &unsafe) || !errors.Is(err, errHang) {
		t.Fatalf("a change while the disk hangs: %v", err)
	}
	if took := time.Since(begin); took > 3*hang {
		t.Errorf("it was told after %v", took)
	}
	<-disk.asked
	begin = time.Now()
	if err := change("second"); !errors.Is(err, errHang) {
		t.Errorf("another change: %v", err)
	}
	turns := 0
	for range 100 {
		if err := p.Do(ctx, func(Turn) error { turns++; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		s, err := p.Snapshot(ctx)
		if err != nil {
			t.Fatal(err)
		}
		// Of before: "first" is not known to be safe.
		if s.Service.Unsaved.IsZero() {
			t.Error("a reader is not told that the disk hangs")
		}
	}
	var view *usage.Snapshot
	if err := p.Do(ctx, func(t Turn) (err error) { view, err = t.View(); return err }); err != nil {
		t.Fatal(err)
	}
	if v := &view.Service; v.Unsaved.IsZero() || !v.Committed.Before(v.Unsaved) || len(view.Groups) != 2 {
		t.Errorf("unsaved since %v, committed %v, %d groups", v.Unsaved, v.Committed, len(view.Groups))
	}
	if took := time.Since(begin); took > hang {
		t.Errorf("%d turns, a change and 5 readers took %v", turns, took)
	}

	close(disk.thawed)
	kerneltest.Eventually(t, "all is committed", func() bool {
		st, err := db.Load()
		return err == nil && len(st.Groups) == 2
	})
	if err := change("third"); err != nil {
		t.Error(err)
	}
	if s, err := p.Snapshot(ctx); err != nil || len(s.Groups) != 3 || !s.Service.Unsaved.IsZero() {
		t.Errorf("after the thaw: %v, %+v", err, s)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if st, err := db.Load(); err != nil || len(st.Groups) != 3 || !st.Meta.CleanStop {
		t.Errorf("at the end %d groups, %v", len(st.Groups), err)
	}
}

// What is kept while a commit does not end follows what there is, not what happens.
func TestFrozenMemory(t *testing.T) {
	changes := func(lives int) int {
		p := newPipeline(t, openStore(t), nil)
		disk := &frozen{asked: make(chan struct{}, 1), thawed: make(chan struct{})}
		p.Sources.Ledger, p.Sources.Taskstats, p.Sources.Exact = disk, nil, nil
		g, err := p.Engine.MakeGroup("g", 0, nil, readNow())
		if err != nil {
			t.Fatal(err)
		}
		p.begin(newSave())
		<-disk.asked
		for i := range int32(lives) {
			pid := 4_000_001 + i%1000 // no such processes
			now := clock.Mono(readNow().Boot.Add(-proc.Asleep()))
			for _, kind := range []cnfork.Kind{cnfork.Fork, cnfork.Exit} {
				p.takeEvents(&stream.Batch[cnfork.Event]{Items: []cnfork.Event{{
					Kind: kind, PID: pid, TGID: pid, ParentPID: 1, ParentTGID: 1, Time: now,
				}}})
				if kind == cnfork.Fork {
					p.Engine.Add(groups.Life{PID: pid}, g, false, false, 0, readNow())
				}
			}
			if i%1000 == 999 {
				if err := p.step(); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range 5 {
			if err := p.step(); err != nil {
				t.Fatal(err)
			}
		}
		close(disk.thawed)
		p.settle()
		p.begin(newSave())
		n := p.disk.now.tx.Len()
		p.settle()
		if s, err := p.view(); err != nil || s.Groups[0].Usage[usage.Started] != uint64(lives) {
			t.Errorf("%d started in the group, want %d: %v", s.Groups[0].Usage[usage.Started], lives, err)
		}
		return n
	}
	if few, many := changes(2000), changes(20_000); many > 2*few {
		t.Errorf("a commit has %d changes after 2,000 lives and %d after 20,000", few, many)
	}
}
