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
