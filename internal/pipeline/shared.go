// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"time"

	"elsa/pkg/usage"
)

// rest is how much longer than a snapshot took the next is put off, so that those
// who ask all the time leave two thirds of it to others; maxRest bounds it.
const (
	rest    = 2
	maxRest = time.Second
)

// Snapshot samples the living and computes every bill as of now: what died before
// the call is in it. It is shared with others who asked meanwhile, and must not be
// changed.
func (p *Pipeline) Snapshot(ctx context.Context) (*usage.Snapshot, error) {
	sh := &p.shared
	sh.mu.Lock()
	if sh.next == nil {
		sh.next = &snapshot{done: make(chan struct{})}
	}
	mine := sh.next
	if !sh.running {
		sh.running = true
		go p.makeSnapshots()
	}
	sh.mu.Unlock()
	select {
	case <-mine.done:
		return mine.s, mine.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Show is Snapshot for those who have no use for an error: it is logged, and the
// snapshot is nil.
func (p *Pipeline) Show(ctx context.Context) *usage.Snapshot {
	s, err := p.Snapshot(ctx)
	if err != nil {
		p.Log.Warn("cannot take a snapshot", "err", err)
		return nil
	}
	return s
}

// makeSnapshots makes snapshots until nobody waits for one.
func (p *Pipeline) makeSnapshots() {
	for {
		p.shared.mu.Lock()
		mine := p.shared.next
		p.shared.next, p.shared.running = nil, mine != nil
		p.shared.mu.Unlock()
		if mine == nil {
			return
		}
		mine.s, mine.err = p.refresh(context.Background())
		close(mine.done)
		time.Sleep(min(rest*p.readers.took, maxRest))
	}
}
