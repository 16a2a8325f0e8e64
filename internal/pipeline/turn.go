// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"time"

	"elsa/internal/engine"
)

// ErrStopping means that the pipeline serves no more requests.
var ErrStopping = errors.New("the service is stopping")

// Do runs f in the pipeline's goroutine and waits for it, and for the disk, outside,
// if f calls [Turn.Commit]. f must not block: all events wait meanwhile. The error is
// f's, or a *NotSafeError, ErrStopping, or that of ctx.
func (p *Pipeline) Do(ctx context.Context, f func(Turn) error) error {
	done, safe := make(chan error, 1), &durable{}
	select {
	case p.requests <- func() { done <- f(Turn{p, safe}) }:
		if err := <-done; err != nil {
			return err
		}
		return safe.wait(ctx)
	case <-p.stopped:
		return ErrStopping
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Turn is the pipeline's goroutine, lent to a request for the time of one call.
type Turn struct {
	p       *Pipeline
	durable *durable // what Commit began
}

// Engine is what the service knows.
func (t Turn) Engine() *engine.Engine { return t.p.Engine }

// Committed is when all that was known was in the database last.
func (t Turn) Committed() time.Time { return t.p.disk.good }

// Now reads the clocks.
func (t Turn) Now() engine.Now { return readNow() }
