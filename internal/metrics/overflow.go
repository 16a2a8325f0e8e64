// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"elsa/pkg/groups"
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
// then or are now. What came by a merge was counted as that of the other group.
func (o *overflow) grow(s *usage.Snapshot, hidden []bool) {
	if hidden == nil && o.hidden == nil {
		return
	}
	prev := make(map[uint32]int, len(o.prev.Groups))
	for j := range o.prev.Groups {
		prev[o.prev.Groups[j].Group.ID] = j
	}
	for i := range s.Groups {
		g := &s.Groups[i]
		var before usage.Usage
		was := false
		if j, ok := prev[g.Group.ID]; ok {
			before = o.prev.Groups[j].Usage
			was = o.hidden != nil && o.hidden[j]
		}
		for _, id := range g.Group.Absorbed {
			if j, ok := prev[id]; ok {
				before.Add(&o.prev.Groups[j].Usage)
			}
		}
		if was || hidden != nil && hidden[i] {
			more := before.Increase(&g.Usage)
			o.sum.Add(&more)
		}
	}
}

// choose marks the groups beyond the limit. Root's own groups come first, then
// those that rules made, then those of users, and within each kind everybody who
// has groups, or every rule, gets the same room: who makes many hides its own, not
// others'.
//
// Of one owner's, those with live processes are shown first, the older the sooner,
// so that a service is not displaced by a newer one; then those without, the newer
// the sooner, so that what ran last can still be read.
func choose(list []usage.GroupTotal, limit int) (hidden []bool, omitted int) {
	omitted = len(list) - limit
	if limit < 0 || omitted <= 0 {
		return nil, 0
	}
	order := make([]int, len(list))
	makers := make([]maker, len(list))
	for i := range order {
		order[i], makers[i] = i, makerOf(&list[i].Group)
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Or(makers[a].compare(makers[b]), first(&list[a], &list[b])) })
	hidden = make([]bool, len(list))
	for len(order) > 0 { // one kind after the other
		n := 1
		for n < len(order) && makers[order[n]].kind == makers[order[0]].kind {
			n++
		}
		limit -= share(order[:n], makers, limit, hidden)
		order = order[n:]
	}
	return hidden, omitted
}

// share hides the groups of one kind beyond a limit, and returns how many it shows.
// The groups of a maker follow each other, the first to be shown first.
func share(order []int, makers []maker, limit int, hidden []bool) int {
	if len(order) <= limit {
		return len(order)
	}
	var runs [][]int
	for i, g := range order {
		if i == 0 || makers[order[i-1]] != makers[g] {
			runs = append(runs, nil)
		}
		runs[len(runs)-1] = append(runs[len(runs)-1], g)
	}
	// Who has fewest is served first, and leaves what it does not need to the others.
	slices.SortStableFunc(runs, func(a, b []int) int { return cmp.Compare(len(a), len(b)) })
	left := limit
	for i, run := range runs {
		n := min(len(run), left/(len(runs)-i))
		left -= n
		for _, g := range run[n:] {
			hidden[g] = true
		}
	}
	return limit - left
}

// maker is who made a group: root, a rule, or a user.
type maker struct {
	kind  int // 0, 1, 2
	rule  string
	owner uint32
}

func makerOf(g *groups.Group) maker {
	switch rule := g.Labels["rule"]; {
	case g.Owner != 0:
		return maker{kind: 2, owner: g.Owner}
	case rule != "":
		return maker{kind: 1, rule: rule}
	}
	return maker{}
}

func (m maker) compare(o maker) int {
	return cmp.Or(cmp.Compare(m.kind, o.kind), cmp.Compare(m.rule, o.rule), cmp.Compare(m.owner, o.owner))
}

// first says which of two groups of one maker is to be shown first.
func first(x, y *usage.GroupTotal) int {
	switch {
	case x.Usage[usage.Live] > 0 && y.Usage[usage.Live] > 0:
		return cmp.Compare(x.Group.ID, y.Group.ID)
	case x.Usage[usage.Live] == 0 && y.Usage[usage.Live] == 0:
		return cmp.Compare(y.Group.ID, x.Group.ID)
	case x.Usage[usage.Live] > 0:
		return -1
	}
	return 1
}
