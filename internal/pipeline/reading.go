// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"sync"

	"elsa/internal/history"
	"elsa/internal/store"
	"elsa/pkg/usage"
)

// Reading is the history at one moment: what is in the database, and what the living
// used that is not. The zero value is given to [Turn.Read], and must be closed.
type Reading struct {
	mu     sync.Mutex
	view   *store.View
	err    error // why there is none
	closed bool
	living []history.Cell
}

var errNoReading = errors.New("read history: nothing was committed")

// Each calls f for every cell of the hours from first to before last: those of the
// database in order of time, and then those of the living. f must not keep what it is
// given, nor change it.
func (r *Reading) Each(first, last uint32, f func(*history.Key, *usage.Usage) error) error {
	r.mu.Lock()
	view, err := r.view, r.err
	r.mu.Unlock()
	if view == nil {
		return errors.Join(err, errNoReading)
	}
	if err := view.History(first, last, f); err != nil {
		return err
	}
	for i := range r.living {
		c := &r.living[i]
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

// open takes a view of what was committed just now, unless nobody waits any more.
func (r *Reading) open(s *store.Store) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.view, r.err = s.View()
	}
}
