// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"context"
	"errors"
	"fmt"

	"elsa/internal/store"
	"elsa/pkg/acct"
	"elsa/pkg/cnfork"
	"elsa/pkg/stream"
	"elsa/pkg/taskevent"
	"elsa/pkg/taskrelease"
	"elsa/pkg/tracepoint"
)

// Record is what [Releases] delivers.
type Record = acct.Record

// releaseRing is the ring where it has releases alone: 4 seconds of 20,000 processes a
// second.
const releaseRing = 16 << 20

// Kept is a ring that an earlier run of this boot left, and how far that had read it;
// the zero value is none.
type Kept struct {
	Handles tracepoint.Handles
	At      *store.Ring
	// Unfit is told why it cannot be gone on with. Required with Handles.
	Unfit func(error)
}

func (k *Kept) close() { k.Handles.Close() }

// leave closes a ring that nobody had a use for.
func (k *Kept) leave() {
	if len(k.Handles) > 0 {
		k.close()
		k.Unfit(ErrUnfit)
	}
}

// ErrUnfit is for what was kept and goes with no database, or with other flags.
var ErrUnfit = errors.New("it does not go with the database and the flags")

// bpf is the stream of events by BPF.
type bpf struct {
	*tracepoint.Lane[cnfork.Event]
	ring *tracepoint.Source
}

func (*bpf) Source() cnfork.Source { return cnfork.SourceBPF }

func (b *bpf) Close() error { return b.ring.Close() }

func newReleases(at *stream.Cursor) *Releases {
	d := taskrelease.NewDecoder()
	return &Releases{tracepoint.NewLane(d, cursor(at)), d}
}

func cursor(at *stream.Cursor) stream.Cursor {
	if at == nil {
		return stream.Cursor{}
	}
	return *at
}

// openBPF opens events and releases by one ring.
func openBPF(ctx context.Context, o *Options) (Opened, error) {
	if opened, ok := resumeBPF(o); ok {
		return opened, nil
	}
	var refused error
	if o.Exact != Off {
		events, exact := tracepoint.NewLane(&taskevent.Decoder{}, stream.Cursor{}), newReleases(nil)
		ring, err := tracepoint.Open(ctx, tracepoint.Config{RingBytes: o.Buffer}, events, exact)
		if err == nil {
			return proven(Opened{Feed: &bpf{events, ring}, Ring: ring, Exact: exact})
		}
		if o.Exact == On {
			return Opened{}, err
		}
		refused = err
	}
	events := tracepoint.NewLane(&taskevent.Decoder{}, stream.Cursor{})
	ring, err := tracepoint.Open(ctx, tracepoint.Config{RingBytes: o.Buffer}, events)
	if err != nil {
		return Opened{}, err
	}
	return proven(Opened{Feed: &bpf{events, ring}, Ring: ring, Refused: refused})
}

func proven(opened Opened) (Opened, error) {
	if err := taskevent.Prove(opened.Ring.Peek); err != nil {
		return Opened{}, errors.Join(err, opened.Ring.Close())
	}
	return opened, nil
}

// resumeBPF goes on with events, and releases if they are wanted.
func resumeBPF(o *Options) (opened Opened, ok bool) {
	k := &o.Kept
	if len(k.Handles) == 0 {
		return opened, false
	}
	err := ErrUnfit
	if k.At != nil && k.At.Events != nil && (o.Exact == Off) == (k.At.Releases == nil) {
		events := tracepoint.NewLane(&taskevent.Decoder{}, *k.At.Events)
		if o.Exact == Off {
			opened.Ring, err = tracepoint.Resume(k.Handles, events)
		} else {
			opened.Exact = newReleases(k.At.Releases)
			opened.Ring, err = tracepoint.Resume(k.Handles, events, opened.Exact.Lane)
		}
		opened.Feed, opened.Resumed, opened.ExactResumed = &bpf{events, opened.Ring}, true, opened.Exact != nil
	}
	if err == nil && opened.Ring.ID() != k.At.ID {
		err = errors.Join(ErrUnfit, opened.Ring.Close())
	}
	if err == nil {
		opened, err = proven(opened)
	}
	if err != nil {
		k.close()
		k.Unfit(fmt.Errorf("resume bpf events: %w", err))
		return Opened{}, false
	}
	return opened, true
}

// openReleases opens releases by a ring of their own.
func openReleases(ctx context.Context, o *Options, opened *Opened) error {
	k := &o.Kept
	if len(k.Handles) > 0 {
		err := ErrUnfit
		if k.At != nil && k.At.Releases != nil && k.At.Events == nil {
			exact := newReleases(k.At.Releases)
			var ring *tracepoint.Source
			if ring, err = tracepoint.Resume(k.Handles, exact.Lane); err == nil && ring.ID() != k.At.ID {
				err = errors.Join(ErrUnfit, ring.Close())
			}
			if err == nil {
				opened.Exact, opened.Ring, opened.ExactResumed = exact, ring, true
				return nil
			}
		}
		k.close()
		k.Unfit(fmt.Errorf("resume exact records: %w", err))
	}
	size := releaseRing
	if o.Buffer > 0 {
		size = min(o.Buffer, size)
	}
	exact := newReleases(nil)
	ring, err := tracepoint.Open(ctx, tracepoint.Config{RingBytes: size}, exact.Lane)
	if err != nil {
		return err
	}
	opened.Exact, opened.Ring = exact, ring
	return nil
}
