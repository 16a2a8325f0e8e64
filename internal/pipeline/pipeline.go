// SPDX-License-Identifier: Apache-2.0

// Package pipeline is the one goroutine that owns the engine. It reads the
// sources in the barrier order, joins the ledger, makes up commits, and serves
// requests in between. What must not hold it up runs outside: samples of the living and
// reads of the history in the goroutine that asks, and all that waits for the disk,
// commits and new segments of the ledger, in one that writes.
package pipeline

import (
	"log/slog"
	"sync/atomic"
	"time"

	"elsa/internal/engine"
	"elsa/internal/journal"
	"elsa/internal/store"
	"elsa/pkg/acct"
	"elsa/pkg/cnfork"
	"elsa/pkg/groups"
	"elsa/pkg/ledger"
	"elsa/pkg/proc"
	"elsa/pkg/stream"
	"elsa/pkg/usage"
)

// Sources are what the kernel tells, opened and not yet read.
type Sources struct {
	Events           stream.Source[cnfork.Event]
	Taskstats, Exact stream.Source[acct.Record] // nil when off
	Ledger           ledger.Ledger              // nil when off
	// Ring is what events or exact records come by, or both; nil where none does.
	Ring Ring
	// RingEvents: events do.
	RingEvents bool
	// Pause ends the reading of all streams.
	Pause func()
	// Reopen subscribes to events anew; nil for a source that does not fall silent.
	Reopen func() (stream.Source[cnfork.Event], error)
}

// Ring is the buffer that BPF programs write to. What was read of it stays until it is
// freed, for the next start to read it again after a crash.
type Ring interface {
	// ID is the kernel's, unique within a boot.
	ID() uint32
	// Free lets the kernel overwrite what is before a position.
	Free(before uint64)
	// Kept is how much of it is not free, of how much, in bytes.
	Kept() (bytes, of uint64)
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
	// Journal, if not nil, is where rows go; the engine makes them then.
	Journal *Journal
	// Proc is where the samples of the living and the count of forks are read, and the
	// engine's World looks at.
	Proc *proc.Bounded
	// Interval is the time between two commits.
	Interval time.Duration
	// RunRetention is how long temporary groups are kept that are done with.
	RunRetention time.Duration
	// Service is what is known of the sources; the pipeline adds what changes.
	Service usage.Service
	// Observe is told how long each commit took, with the wait for the disk.
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
	// readers are what is kept of the samples for those who read.
	readers readers
	// shared are the snapshots that readers wait for.
	shared shared
	// meta is as committed last, but for what Save fills in.
	meta store.Meta
	// position is up to where the ledger is joined.
	position ledger.Position
	// skipped is what of the ledger was no record.
	skipped ledger.Skipped
	// disk is what is on its way to the database.
	disk disk
	// journaled counts the rows of the journal.
	journaled journal.Counts
	// committed is a snapshot of what was committed last, or shortly before.
	committed atomic.Pointer[usage.Snapshot]
	// mark is the number of the last barrier.
	mark uint64
	// full is with how many held records a step is due out of turn; see heldMax.
	full int
	// tick is the length of the scheduler's tick.
	tick time.Duration
	// watch is the health of the sources.
	watch watch
	// audit compares the bills with the machine.
	audit audit
	// replay tells of the ledger's backlog at the start; nil once that is read.
	replay *replay
	// read is how far the ring was read, by lane.
	read struct{ events, releases stream.Cursor }
	// told are the errors that were logged last, by what fails.
	told map[string]string
	// requests run in the pipeline's goroutine.
	requests chan func()
	stopped  chan struct{}
}

// New returns a pipeline over opened sources.
func New(o Options) *Pipeline {
	return &Pipeline{
		Options: o, tick: schedulerTick(), told: map[string]string{},
		readers:  readers{known: map[groups.Key]*sample{}},
		requests: make(chan func()), stopped: make(chan struct{}), disk: disk{written: make(chan *writing, 1)},
	}
}
