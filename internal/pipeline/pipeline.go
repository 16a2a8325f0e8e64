// SPDX-License-Identifier: Apache-2.0

// Package pipeline is the one goroutine that owns the engine. It reads the
// sources in the barrier order, joins the ledger, commits, and serves requests in
// between. What must not hold it up (samples of the living, reads of the history)
// runs outside, in the goroutine that asks.
package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"elsa/internal/engine"
	"elsa/internal/fault"
	"elsa/internal/store"
	"elsa/pkg/acct"
	"elsa/pkg/cnfork"
	"elsa/pkg/ledger"
	"elsa/pkg/proc"
	"elsa/pkg/stream"
	"elsa/pkg/taskrelease"
	"elsa/pkg/usage"
)

// Sources are what the kernel tells, opened and not yet read.
type Sources struct {
	Events           stream.Source[cnfork.Event]
	Taskstats, Exact stream.Source[acct.Record] // nil when off
	Ledger           ledger.Ledger              // nil when off
	// Pause ends the reading of all streams.
	Pause func()
	// Reopen subscribes to events anew; nil when that cannot be done.
	Reopen func() (stream.Source[cnfork.Event], error)
}

// Keeper keeps descriptors over a planned restart of the service.
type Keeper interface {
	// Offered reports whether descriptors are kept at all.
	Offered() bool
	// Keep stores a descriptor under a name. The caller still owns fd.
	Keep(name string, fd int) error
}

// Options of a pipeline. All but Observe, Keeper and Notify are required.
type Options struct {
	Engine  *engine.Engine
	Sources Sources
	Store   *store.Store
	// Proc is where the samples of the living and the count of forks are read.
	Proc proc.FS
	// Interval is the time between two commits.
	Interval time.Duration
	// RunRetention is how long temporary groups are kept that are done with.
	RunRetention time.Duration
	// Service is what is known of the sources; the pipeline adds what changes.
	Service usage.Service
	// Observe is told how long each commit took.
	Observe func(time.Duration)
	Keeper  Keeper
	// Notify tells the service manager a state; see sd_notify(3).
	Notify func(string)
	Log    *slog.Logger
}

// Pipeline is the goroutine that owns the engine, and the way to it. Restore it,
// then Run it; Do and Snapshot are safe for concurrent use meanwhile.
type Pipeline struct {
	Options
	// readers sample the living for those who ask.
	readers *readers
	// meta is as committed last, but for what Save fills in.
	meta store.Meta
	// position is up to where the ledger is joined.
	position ledger.Position
	// skipped is what of the ledger was no record.
	skipped ledger.Skipped
	// mark is the number of the last barrier.
	mark uint64
	// full is with how many held records a step is due out of turn; see heldMax.
	full int
	// tick is the length of the scheduler's tick.
	tick time.Duration
	// watch is the health of the sources.
	watch watch
	// replay tells of the ledger's backlog at the start; nil once that is read.
	replay *replay
	// handles of the release program, for the manager to keep, at the stop.
	handles *taskrelease.Handles
	// told are the errors that were logged last, by what fails.
	told map[string]string
	// requests run in the pipeline's goroutine.
	requests chan func()
	stopped  chan struct{}
}

// New returns a pipeline over opened sources.
func New(o Options) *Pipeline {
	p := &Pipeline{
		Options: o, tick: schedulerTick(), told: map[string]string{},
		requests: make(chan func()), stopped: make(chan struct{}),
	}
	p.readers = newReaders(p)
	return p
}

// expireInterval is how often temporary groups are looked through.
const expireInterval = 10 * time.Second

// Run applies events, steps every interval and serves requests until ctx is
// done; then it takes a last step. An error means that a source failed or that
// the last commit could not be made. It must be called once.
func (p *Pipeline) Run(ctx context.Context) error {
	defer close(p.stopped)
	tick := time.NewTicker(p.Interval)
	defer tick.Stop()
	expire := time.NewTicker(expireInterval)
	defer expire.Stop()
	for {
		select {
		case <-ctx.Done():
			return p.finish()
		case <-expire.C:
			if err := p.expire(); err != nil {
				return err
			}
		case b, ok := <-p.Sources.Events.Batches():
			if !ok {
				return errSource(ctx, "events")
			}
			p.takeEvents(b)
		case b, ok := <-batches(p.Sources.Taskstats):
			if !ok {
				return errSource(ctx, "taskstats")
			}
			p.takeTaskstats(b)
			if err := p.stepIfFull(); err != nil {
				return err
			}
		case b, ok := <-batches(p.Sources.Exact):
			if !ok {
				return errSource(ctx, "exact")
			}
			p.takeExact(b)
			if err := p.stepIfFull(); err != nil {
				return err
			}
		case f := <-p.requests:
			f()
		case <-tick.C:
			if err := p.step(); err != nil {
				return err
			}
			p.commit()
		}
	}
}

// heldMax is how many precise records may wait for their lines before a step is
// taken out of turn: in a storm a second's would be tens of megabytes.
const heldMax = 4096

func (p *Pipeline) stepIfFull() error {
	if p.Engine.Held() < max(p.full, heldMax) {
		return nil
	}
	err := p.step()
	p.full = 2 * p.Engine.Held() // what still waits does not make the next step due
	return err
}

func (p *Pipeline) expire() error {
	deleted, err := p.Engine.Expire(p.RunRetention, readNow())
	if deleted > 0 {
		p.Log.Debug("temporary groups deleted", "groups", deleted)
	}
	return err
}

// finish is the last step: everything that died by now is on its bill, and the
// living are sampled, since their records may come while nobody reads.
func (p *Pipeline) finish() error {
	err := p.step()
	p.handOver()
	err = errors.Join(err, p.Engine.SampleMembers(readNow()))
	p.meta.CleanStop = true
	fault.Point(fault.StopStepped)
	err = errors.Join(err, p.commit())
	fault.Point(fault.StopCommitted)
	if err == nil {
		p.keepSources()
	}
	return err
}

// errSource explains a stream that ended by itself; Run's own error says why.
func errSource(ctx context.Context, name string) error {
	if ctx.Err() != nil {
		return nil
	}
	return errors.New("read " + name + ": stream ended")
}

func batches[T any](s stream.Source[T]) <-chan *stream.Batch[T] {
	if s == nil {
		return nil
	}
	return s.Batches()
}

// ErrStopping means that the pipeline serves no more requests.
var ErrStopping = errors.New("the service is stopping")

// Do runs f in the pipeline's goroutine and waits for it. f must not block: all
// events wait meanwhile. The error is f's, or ErrStopping, or that of ctx.
func (p *Pipeline) Do(ctx context.Context, f func(Turn) error) error {
	done := make(chan error, 1)
	select {
	case p.requests <- func() { done <- f(Turn{p}) }:
		return <-done
	case <-p.stopped:
		return ErrStopping
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Turn is the pipeline's goroutine, lent to a request for the time of one call.
type Turn struct{ p *Pipeline }

// Engine is what the service knows.
func (t Turn) Engine() *engine.Engine { return t.p.Engine }

// Now reads the clocks.
func (t Turn) Now() engine.Now { return readNow() }

// Step brings the bills up to date with everything that died by now.
func (t Turn) Step() error { return t.p.step() }

// Commit makes everything durable. When it fails, the change stands in memory and
// is committed as soon as it can be.
func (t Turn) Commit() error { return t.p.commit() }

// Sync makes the engine know every process there is at the call: the request may
// be about one whose fork is not read yet, or was lost. What was forked before
// this moment is not affected by the request. With look all are read from /proc in
// any case. Rules may make groups meanwhile.
func (t Turn) Sync(look bool) error {
	p := t.p
	if err := p.drain(); err != nil {
		return err
	}
	if err := p.rescanIfLost(); err != nil {
		return err
	}
	p.Engine.Classify(false, readNow())
	if look {
		return p.Engine.Scan(readNow())
	}
	return nil
}
