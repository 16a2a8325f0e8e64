// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"sync"
	"time"

	"elsa/pkg/usage"
)

// fade leaves out groups that are done with: closed and without live processes
// for the grace, in which every scraper has seen their last values. Else groups
// made for one command each would add series for ever.
type fade struct {
	grace time.Duration

	mu sync.Mutex
	// lived is when a closed group had live processes last.
	lived map[uint32]time.Time
}

// left returns the snapshot with the groups that are not done with.
func (f *fade) left(s *usage.Snapshot) *usage.Snapshot {
	if f.grace < 0 {
		return s
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	lived := map[uint32]time.Time{}
	var kept []usage.GroupTotal
	for i := range s.Groups {
		g := &s.Groups[i]
		if !g.Group.Open() {
			last, ok := f.lived[g.Group.ID]
			if g.Usage[usage.Live] > 0 {
				last, ok = s.Time, true
			}
			since := last
			if g.Group.Closed.After(since) {
				since = g.Group.Closed
			}
			if s.Time.Sub(since) > f.grace {
				if kept == nil {
					kept = append(make([]usage.GroupTotal, 0, len(s.Groups)), s.Groups[:i]...)
				}
				continue
			}
			if ok {
				lived[g.Group.ID] = last
			}
		}
		if kept != nil {
			kept = append(kept, *g)
		}
	}
	f.lived = lived
	if kept == nil {
		return s
	}
	out := *s
	out.Groups = kept
	return &out
}
