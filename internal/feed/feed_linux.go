// SPDX-License-Identifier: Apache-2.0

// Package feed opens the streams of forks, execs and exits, and of released tasks: of
// the sources of events there are, the best that this kernel has.
package feed

import (
	"context"
	"errors"
	"fmt"

	"elsa/pkg/cnfork"
	"elsa/pkg/stream"
	"elsa/pkg/taskrelease"
	"elsa/pkg/tracepoint"
)

// Feed is an open stream of events.
type Feed interface {
	stream.Source[cnfork.Event]
	// Source says which it is.
	Source() cnfork.Source
	// Close ends it. It must not be called while Run is running.
	Close() error
}

// Mode says whether something is to be opened.
type Mode string

// The modes, by their names in flags. Auto is on where it can be.
const (
	Auto Mode = "auto"
	On   Mode = "on"
	Off  Mode = "off"
)

// Options say what to open.
type Options struct {
	Source cnfork.Source
	// Exact: records of released tasks.
	Exact Mode
	// Buffer is the receive buffer of a connector in bytes, and the ring of BPF, which
	// the kernel commits at once; 0 for the source's own default.
	Buffer int
	// Connector, if set, returns a connector that goes on where it stopped, or nil.
	Connector func(cnfork.Source) Feed
	// Kept is a ring that may be gone on with.
	Kept Kept
}

// Opened are the streams, and how they came about.
type Opened struct {
	Feed
	// Exact is nil without records of released tasks, and Refused says why, where
	// they were wanted.
	Exact   *Releases
	Refused error
	// Ring is what is read of BPF; nil for none.
	Ring *tracepoint.Source
	// Resumed: events go on where they stopped; ExactResumed: records do.
	Resumed, ExactResumed bool
	// Passed are the sources that auto would have preferred, and why they are not to
	// be had.
	Passed error
}

// Releases is the stream of records of released tasks.
type Releases struct {
	*tracepoint.Lane[Record]
	*taskrelease.Decoder
}

// Open opens a source of events, and of records; the caller closes Feed and Ring, if
// it is not nil. With [cnfork.SourceAuto] events are of the fork connector where a
// patched kernel answers, else of BPF, and else of the process connector. The error
// says what is missing, and the mend.
func Open(ctx context.Context, o Options) (Opened, error) {
	defer o.Kept.leave()
	order := []cnfork.Source{o.Source}
	if o.Source == cnfork.SourceAuto {
		order = []cnfork.Source{cnfork.SourceFork, cnfork.SourceBPF, cnfork.SourceProc}
	}
	var passed []error
	for i, source := range order {
		if err := ctx.Err(); err != nil {
			return Opened{}, fmt.Errorf("open events: %w", err)
		}
		opened, err := open(ctx, source, &o)
		if err == nil {
			opened.Passed = errors.Join(passed...)
			return opened, nil
		}
		if i == len(order)-1 {
			return Opened{}, err
		}
		passed = append(passed, fmt.Errorf("%v: %w", source, err))
	}
	panic("feed: no source") // the last returns
}

func open(ctx context.Context, source cnfork.Source, o *Options) (Opened, error) {
	if source == cnfork.SourceBPF {
		return openBPF(ctx, o)
	}
	opened, err := connect(ctx, source, o)
	if err != nil || o.Exact == Off {
		return opened, err
	}
	if err := openReleases(ctx, o, &opened); err != nil {
		if o.Exact == On {
			return Opened{}, errors.Join(err, opened.Close())
		}
		opened.Refused = err
	}
	return opened, nil
}

func connect(ctx context.Context, source cnfork.Source, o *Options) (Opened, error) {
	if o.Connector != nil {
		if f := o.Connector(source); f != nil {
			return Opened{Feed: f, Resumed: true}, nil
		}
	}
	c, err := cnfork.Dial(ctx, cnfork.Config{Source: source, Buffer: o.Buffer})
	if err != nil {
		return Opened{}, err
	}
	return Opened{Feed: c}, nil
}
