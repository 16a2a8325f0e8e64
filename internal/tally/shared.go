// SPDX-License-Identifier: Apache-2.0

package tally

import "sync/atomic"

// Shared are counters of what several goroutines do. The zero value is ready, and
// so is nil, which counts nothing. Safe for concurrent use.
type Shared struct{ counts [Counters]atomic.Uint64 }

// Add counts one.
func (s *Shared) Add(c Counter) {
	if s != nil {
		s.counts[c].Add(1)
	}
}

// Counts returns the counters as they are now.
func (s *Shared) Counts() (c Counts) {
	if s != nil {
		for i := range s.counts {
			c[i] = s.counts[i].Load()
		}
	}
	return c
}

// Count returns one counter as it is now.
func (s *Shared) Count(c Counter) uint64 {
	if s == nil {
		return 0
	}
	return s.counts[c].Load()
}
