// SPDX-License-Identifier: Apache-2.0

// Package feed opens the stream of forks, execs and exits: of the sources there are,
// the best that this kernel has.
package feed

import (
	"context"
	"fmt"

	"elsa/pkg/cnfork"
	"elsa/pkg/stream"
	"elsa/pkg/taskevent"
)

// Feed is an open stream of events.
type Feed interface {
	stream.Source[cnfork.Event]
	// Source says which it is.
	Source() cnfork.Source
	// Close ends it. It must not be called while Run is running.
	Close() error
}

// Options say what to open.
type Options struct {
	Source cnfork.Source
	// Buffer is the receive buffer in bytes, 0 for the source's own default. BPF takes
	// half of it: its events are smaller, and the kernel commits all of it at once.
	Buffer int
	// Resume, if set, returns a stream of one source that goes on where it stopped, or
	// nil.
	Resume func(cnfork.Source) Feed
}

// Opened is a stream, and how it came about.
type Opened struct {
	Feed
	// Resumed: it is that of Options.Resume.
	Resumed bool
}

// Open opens a source; the caller closes it. With [cnfork.SourceAuto] that is the
// fork connector where a patched kernel answers, and else the process connector. The error says what is missing, and the mend.
func Open(ctx context.Context, o Options) (Opened, error) {
	order := []cnfork.Source{o.Source}
	if o.Source == cnfork.SourceAuto {
		order = []cnfork.Source{cnfork.SourceFork, cnfork.SourceProc}
	}
	for _, source := range order {
		if err := ctx.Err(); err != nil {
			return Opened{}, fmt.Errorf("open events: %w", err)
		}
		if o.Resume != nil {
			if f := o.Resume(source); f != nil {
				return Opened{Feed: f, Resumed: true}, nil
			}
		}
		f, err := dial(ctx, source, o.Buffer)
		switch {
		case err == nil:
			return Opened{Feed: f}, nil
		case source == order[len(order)-1]:
			return Opened{}, err
		}
	}
	panic("feed: no source") // the last returns
}

func dial(ctx context.Context, source cnfork.Source, buffer int) (Feed, error) {
	if source == cnfork.SourceBPF {
		s, err := taskevent.Dial(ctx, taskevent.Config{RingBytes: buffer / 2})
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	c, err := cnfork.Dial(ctx, cnfork.Config{Source: source, Buffer: buffer})
	if err != nil {
		return nil, err
	}
	return c, nil
}
