// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"sync"
	"time"

	"elsa/pkg/clock"
	"elsa/pkg/usage"
)

// fade leaves out groups that are done with: closed and without live processes
// for the grace, in which every scraper has seen their last values. Else groups
// made for one command each would add series for ever. The grace goes by
// CLOCK_BOOTTIME: a wall clock that jumps takes no series away.
type fade struct {
	grace time.Duration

	mu sync.Mutex
	// last is when the last snapshot was, and round its number. The first is 1.
	last  clock.Boot
	round uint64
	// ended is what is known of closed groups.
	ended map[uint32]ended
}

// ended is since when a closed group has no live processes, and the last round that
// it was seen in.
type ended struct {
	since clock.Boot
	round uint64
}

// left returns the snapshot with the groups that are not done with.
func (f *fade) left(s *usage.Snapshot) *usage.Snapshot {
	if f.grace < 0 {
		return s
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended == nil {
		f.ended = map[uint32]ended{}
	}
	f.round++
	var kept []usage.GroupTotal
	for i := range s.Groups {
		g := &s.Groups[i]
		if !g.Group.Open() && s.Boot.Sub(f.since(s, g)) > f.grace {
			if kept == nil {
				kept = append(make([]usage.GroupTotal, 0, len(s.Groups)), s.Groups[:i]...)
			}
			continue
		}
		if kept != nil {
			kept = append(kept, *g)
		}
	}
	for id, e := range f.ended {
		if e.round != f.round {
			delete(f.ended, id)
		}
	}
	f.last = s.Boot
	if kept == nil {
		return s
	}
	out := *s
	out.Groups = kept
	return &out
}

// since returns since when a closed group has no live processes.
func (f *fade) since(s *usage.Snapshot, g *usage.GroupTotal) clock.Boot {
	e, known := f.ended[g.Group.ID]
	switch {
	case g.Usage[usage.Live] > 0:
		e.since = s.Boot
	case !known:
		// It was closed between two snapshots, or before the first: then only the
		// wall clock tells.
		e.since = s.Boot.Add(-max(s.Time.Sub(g.Group.Closed), 0))
		if f.round > 1 {
			e.since = max(e.since, f.last)
		}
	}
	e.round = f.round
	f.ended[g.Group.ID] = e
	return e.since
}
