// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"sync"

	"elsa/internal/history"
	"elsa/internal/store"
	"elsa/pkg/usage"
)

// Reading is the history at one moment: what is in the database, and what the living
// used that is not. Where the disk fails, or does not answer, it is what was committed
// last. The zero value is given to [Turn.Read], and must be closed.
type Reading struct {
	mu     sync.Mutex
	store  *store.Store
	view   *store.View // as of the commit
	err    error       // why there is none
	closed bool
	living []history.Cell
}

// Each calls f for every cell of the hours from first to before last: those of the
// database in order of time, and then those of the living. f must not keep what it is
// given, nor change it.
func (r *Reading) Each(first, last uint32, f func(*history.Key, *usage.Usage) error) error {
	r.mu.Lock()
	view, living, err := r.view, r.living, r.err
	r.mu.Unlock()
	if err != nil {
		return err
	}
	if view == nil {
		return r.store.History(first, last, f)
	}
	if err := view.History(first, last, f); err != nil {
		return err
	}
	for i := range living {
		c := &living[i]
		if c.Key.Hour < first || c.Key.Hour >= last {
			continue
		}
		if err := f(&c.Key, &c.Usage); err != nil {
			return err
		}
	}
	return nil
}

// Close gives back what the reading holds. Each must have ended.
func (r *Reading) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.view != nil {
		r.err, r.view = r.view.Close(), nil
	}
}

// has takes what the living used as of the commit that begins.
func (r *Reading) has(living []history.Cell) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.living = living
}

// open takes a view of what was committed just now, unless nobody waits any more.
func (r *Reading) open() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.view, r.err = r.store.View()
	}
}
