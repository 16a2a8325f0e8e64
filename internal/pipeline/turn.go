// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"

	"elsa/internal/engine"
)

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
