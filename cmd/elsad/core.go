// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"elsa/internal/fault"
	"elsa/internal/lineage"
	"elsa/internal/rules"
	"elsa/internal/store"
	"elsa/pkg/acct"
	"elsa/pkg/cnfork"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
	"elsa/pkg/stream"
	"elsa/pkg/usage"
)

// core is where the streams meet. One goroutine, run, owns everything in it;
// others ask through do. It applies events as they come, and at every step
// joins what the ledger holds and commits.
type core struct {
	log      *slog.Logger
	proc     proc.FS
	interval time.Duration
	// runRetention is how long temporary groups are kept that are done with.
	runRetention time.Duration

	events    stream.Source[cnfork.Event]
	taskstats stream.Source[acct.Record] // nil when off
	exact     stream.Source[acct.Record] // nil when off
	ledger    acct.Ledger                // nil when off
	store     *store.Store

	tracker  *groups.Tracker
	join     *usage.Join
	groups   []groups.Group // in order of name
	regroup  []uint32       // ids changed since the last commit
	meta     store.Meta     // as committed last, but for what commit fills in
	position acct.Position  // up to where the ledger is joined
	unsaved  bool           // the last commit failed: write everything again

	full      int     // as many held records that a step is due; see heldMax
	mark      uint64  // number of the last barrier
	asOf      int64   // every event before is applied
	since     int64   // accounting is on
	trusted   int64   // every event since is applied: no loss after it
	monotonic int64   // CLOCK_BOOTTIME less CLOCK_MONOTONIC
	offsets   []int64 // wall clock less CLOCK_BOOTTIME; the latest last
	resync    bool    // events were lost
	resuming  bool    // what runs is looked at for the first time after a restart
	gaps      int     // for so many steps, lines may name processes nobody saw

	counters     counters
	skipped      acct.Skipped
	service      usage.Service // the parts that do not change
	watch        watch
	past         past
	lineage      *lineage.Book
	replay       *replay // of the ledger at the start; nil once that is done
	rules        *rules.Set
	names        rules.Names
	ruleable     []int32            // to be looked at by the rules after the rescan
	ruleTold     string             // the last error of rules told
	resumed      bool               // events go on where the last run left them
	exactResumed bool               // and exact records
	pause        func()             // ends the reading of all sources
	handles      *acct.ExactHandles // for the manager, at the stop
	reopen       reopener           // nil when events cannot be subscribed to anew
	sampler      *proc.Sampler      // for requests, in the core's goroutine
	procs        []proc.Process
	failing      string // the last error of commits told
	segments     string // and of changing segments
	observe      func(time.Duration)
	requests     chan func()
	stopped      chan struct{}
}

// counters of this run, for status.
type counters struct {
	forks, execs, exits, other uint64
	lost, rejected, resyncs    uint64
	bsd, taskstats, exact      uint64
	taskstatsLost, exactLost   uint64
	parts                      uint64
	missing                    uint64
	ruled, ruleMisses          uint64
	silences                   uint64
	suspended                  bool
}

// run applies events, steps every interval and serves requests until ctx is
// done; then it takes a last step. An error means that a source failed or that
// the last commit could not be made.
func (c *core) run(ctx context.Context) error {
	defer close(c.stopped)
	tick := time.NewTicker(c.interval)
	defer tick.Stop()
	expire := time.NewTicker(expireInterval)
	defer expire.Stop()
	for {
		select {
		case <-ctx.Done():
			return c.finish()
		case <-expire.C:
			c.expire(time.Now(), c.runRetention)
		case b, ok := <-c.events.Batches():
			if !ok {
				return errSource(ctx, "events")
			}
			c.takeEvents(b)
		case b, ok := <-batches(c.taskstats):
			if !ok {
				return errSource(ctx, "taskstats")
			}
			c.takeTaskstats(b)
			if err := c.stepIfFull(); err != nil {
				return err
			}
		case b, ok := <-batches(c.exact):
			if !ok {
				return errSource(ctx, "exact")
			}
			c.takeExact(b)
			if err := c.stepIfFull(); err != nil {
				return err
			}
		case f := <-c.requests:
			f()
		case <-tick.C:
			if err := c.step(); err != nil {
				return err
			}
			c.commit()
		}
	}
}

// heldMax is how many precise records may wait for their lines before a step is
// taken out of turn: in a storm a second's would be tens of megabytes.
const heldMax = 4096

func (c *core) stepIfFull() error {
	if c.join.Held() < max(c.full, heldMax) {
		return nil
	}
	err := c.step()
	c.full = 2 * c.join.Held() // what waits longer is not asked for each time
	return err
}

// finish is the last step: everything that died by now is on its bill, and the
// living are sampled, since their records may come while nobody reads.
func (c *core) finish() error {
	err := c.step()
	c.handOver()
	c.sampleMembers()
	c.meta.CleanStop = true
	fault.Point(fault.StopStepped)
	err = errors.Join(err, c.commit())
	fault.Point(fault.StopCommitted)
	if err == nil {
		c.give()
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

// do runs f in the core's goroutine and waits for it.
func (c *core) do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case c.requests <- func() { f(); close(done) }:
		<-done
		return nil
	case <-c.stopped:
		return errStopping
	case <-ctx.Done():
		return ctx.Err()
	}
}

var errStopping = errors.New("the service is stopping")

// lose notes that events were lost. What is known of who is in which groups is
// neither billed nor shown before the rescan.
func (c *core) lose() {
	c.resync = true
	c.tracker.Lost()
}

func (c *core) takeEvents(b *stream.Batch[cnfork.Event]) {
	c.counters.lost += b.Lost
	c.counters.rejected += b.Rejected
	if b.Lost > 0 {
		c.lose()
	}
	now := proc.Boottime()
	for i := range b.Items {
		e := &b.Items[i]
		at := e.Time + c.monotonic
		switch e.Kind {
		case cnfork.Fork:
			c.counters.forks++
			switch {
			case e.TGID == 0: // the fork connector names tasks, and no time
				c.tracker.Task(e.ParentPID, e.PID, now)
			case e.Thread():
				c.tracker.Thread(e.TGID)
			default:
				c.tracker.Fork(e.ParentTGID, e.PID, at)
				c.lineage.Fork(e.ParentTGID, e.PID)
			}
		case cnfork.Exec:
			c.counters.execs++
			c.tracker.Exec(e.TGID)
			c.applyRules(e.TGID)
		case cnfork.UID, cnfork.GID:
			c.counters.other++
			c.applyRules(e.TGID)
		case cnfork.Exit:
			c.counters.exits++
			c.tracker.Exit(e.PID, e.TGID, at)
		default:
			c.counters.other++
		}
	}
	c.events.Release(b)
}

func (c *core) takeTaskstats(b *stream.Batch[acct.Record]) {
	c.counters.taskstatsLost += b.Lost
	c.counters.taskstats += uint64(len(b.Items))
	now := proc.Boottime()
	c.counters.rejected += b.Rejected
	for i := range b.Items {
		if !b.Items[i].Whole {
			// One thread's figures, of a process whose record came before or will
			// not come. Its line has the whole; a part would count twice.
			c.counters.parts++
			continue
		}
		c.join.Precise(&b.Items[i], now)
	}
	c.taskstats.Release(b)
}

func (c *core) takeExact(b *stream.Batch[acct.Record]) {
	c.counters.exactLost += b.Lost
	c.counters.rejected += b.Rejected
	c.counters.exact += uint64(len(b.Items))
	now := proc.Boottime()
	for i := range b.Items {
		c.join.Precise(&b.Items[i], now)
	}
	c.exact.Release(b)
}

// group finds a group by name; nil when there is none.
func (c *core) group(name string) *groups.Group {
	i, ok := c.place(name)
	if !ok {
		return nil
	}
	return &c.groups[i]
}

func (c *core) place(name string) (int, bool) {
	return slices.BinarySearchFunc(c.groups, name, func(g groups.Group, n string) int {
		return strings.Compare(g.Name, n)
	})
}

// members counts the live processes that are in a group.
func (c *core) members() int {
	return c.tracker.Processes() - c.tracker.LiveIn(groups.Ungrouped) - c.tracker.LiveIn(groups.Unattributed)
}
