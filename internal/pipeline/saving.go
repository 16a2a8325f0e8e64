// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"time"

	"elsa/internal/engine"
	"elsa/internal/journal"
	"elsa/internal/store"
	"elsa/pkg/clock"
	"elsa/pkg/usage"
)

// hang is how long a commit may take before nobody waits for the disk any more:
// a change is answered with [NotSafeError], and readers get what was committed last.
const hang = 2 * time.Second

// errHang is why a commit has not ended.
var errHang = errors.New("the disk does not answer, as while its file system is frozen; nothing is lost, and it is waited for")

// NotSafeError is what [Pipeline.Do] returns when a change was made in memory and is
// not on disk: it is committed as soon as it can be.
type NotSafeError struct{ Err error }

func (e *NotSafeError) Error() string { return "not safe on disk yet: " + e.Err.Error() }
func (e *NotSafeError) Unwrap() error { return e.Err }

// save is one commit, to those who wait for its end.
type save struct {
	done chan struct{} // closed at the end
	err  error         // of the commit, then
	// shown is a snapshot of what is durable then; nil if none was taken.
	shown *usage.Snapshot
	// readings are of what is durable then.
	readings []*Reading
}

func newSave() *save { return &save{done: make(chan struct{})} }

// want asks for what is not nil.
func (s *save) want(shown *usage.Snapshot, reading *Reading) {
	if shown != nil {
		s.shown = shown
	}
	if reading != nil {
		s.readings = append(s.readings, reading)
	}
}

// writing is a commit that is on its way to the disk, in a goroutine of its own.
type writing struct {
	*save
	began   engine.Now
	tx      *store.Tx
	rows    *engine.Rows // nil where there is no journal
	meta    store.Meta
	reclaim bool   // accounting, after the commit
	ring    uint64 // up to where the ring was read

	// How it ended:
	err       error
	segments  error // of releasing and rotating
	reclaimed error
	journal   error
	counts    journal.Counts // of the journal
	took      time.Duration
}

// disk is what the pipeline knows of its database.
type disk struct {
	now     *writing      // under way; nil if none is
	next    *save         // wanted after that; nil if nobody wants one
	written chan *writing // that ended
	good    time.Time     // when all was on disk last
	bad     time.Time     // since when commits fail; zero if they do not
	due     clock.Boot    // when to take the next snapshot of what is committed
	reclaim bool          // accounting is to be switched on again
}

// since is when the commit began that the disk does not take, or zero.
func (d *disk) since(now engine.Now) time.Time {
	if d.bad.IsZero() && d.now != nil && now.Boot.Sub(d.now.began.Boot) >= hang {
		return d.now.began.Wall
	}
	return d.bad
}

// durable is a change, to those who wait for it to be on disk.
type durable struct {
	save  *save
	until time.Time
}

// wait waits for the commit, for as long as it may take. The error is a
// *NotSafeError, or that of ctx.
func (d *durable) wait(ctx context.Context) error {
	if d.save == nil {
		return nil
	}
	late := time.NewTimer(time.Until(d.until))
	defer late.Stop()
	select {
	case <-d.save.done:
	default:
		select {
		case <-d.save.done:
		case <-late.C:
			return &NotSafeError{errHang}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if d.save.err != nil {
		return &NotSafeError{d.save.err}
	}
	return nil
}
