// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"elsa/pkg/usage"
)

// overflow decides which groups get series of their own when there are more
// than the limit, and adds up what the others use meanwhile. The sum is of
// increments, not of bills: a group that leaves the sum, because it was
// deleted or is shown again, does not make a counter go down, and one that
// enters brings no jump.
type overflow struct {
	limit int

	mu sync.Mutex
	// since is when sum began: the first scrape.
	since time.Time
	sum   usage.Usage
	// prev is the snapshot of the last scrape, hidden its omitted groups.
	prev   *usage.Snapshot
	hidden []bool
}

// split returns which of the snapshot's groups are beyond the limit, nil if
// none, how many they are, what groups used while they were beyond it, and
// since when that was counted. The live figures are those of this moment.
func (o *overflow) split(s *usage.Snapshot) (hidden []bool, omitted int, sum usage.Usage, since time.Time) {
	hidden, omitted = choose(s.Groups, o.limit)
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.prev == nil:
		o.since = s.Time
		o.prev, o.hidden = s, hidden
	case s.Time.After(o.prev.Time):
		o.grow(s, hidden)
		o.prev, o.hidden = s, hidden
	} // a scrape that was overtaken by a later one adds nothing
	sum = o.sum
	for i := range hidden {
		if hidden[i] {
			u := &s.Groups[i].Usage
			sum[usage.Live] += u[usage.Live]
			sum[usage.MaxRSS] = max(sum[usage.MaxRSS], u[usage.MaxRSS])
		}
	}
	return hidden, omitted, sum, o.since
}

// grow adds what was used since the last scrape by groups that were hidden
// then or are now. Both lists are in order of the group's name.
func (o *overflow) grow(s *usage.Snapshot, hidden []bool) {
	if hidden == nil && o.hidden == nil {
		return
	}
	j := 0
	for i := range s.Groups {
		g := &s.Groups[i]
		for j < len(o.prev.Groups) && o.prev.Groups[j].Group.Name < g.Group.Name {
			j++
		}
		var before usage.Usage
		was := false
		if j < len(o.prev.Groups) && o.prev.Groups[j].Group.ID == g.Group.ID {
			before = o.prev.Groups[j].Usage
			was = o.hidden != nil && o.hidden[j]
		}
		if was || hidden != nil && hidden[i] {
			more := before.Increase(&g.Usage)
			o.sum.Add(&more)
		}
	}
}

// choose marks the groups beyond the limit. Shown first are groups with live
// processes, the older the sooner, so that a service is not displaced by a
// newer one; then those without, the newer the sooner, so that what ran last
// can still be read.
func choose(list []usage.GroupTotal, limit int) (hidden []bool, omitted int) {
	omitted = len(list) - limit
	if limit < 0 || omitted <= 0 {
		return nil, 0
	}
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		x, y := &list[a], &list[b]
		switch {
		case x.Usage[usage.Live] > 0 && y.Usage[usage.Live] > 0:
			return cmp.Compare(x.Group.ID, y.Group.ID)
		case x.Usage[usage.Live] == 0 && y.Usage[usage.Live] == 0:
			return cmp.Compare(y.Group.ID, x.Group.ID)
		case x.Usage[usage.Live] > 0:
			return -1
		}
		return 1
	})
	hidden = make([]bool, len(list))
	for _, i := range order[limit:] {
		hidden[i] = true
	}
	return hidden, omitted
}
