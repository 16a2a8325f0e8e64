// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"slices"
	"time"

	"elsa/pkg/groups"
)

const (
	// expireBatch bounds the groups that are deleted at a time.
	expireBatch = 100
	// maxTemporary is how many temporary groups are kept that are done with.
	maxTemporary = 10000
	// abandoned is when a temporary group that is empty has nobody any more who
	// would close it.
	abandoned = time.Minute
)

// Expire closes temporary groups whose maker is gone, and deletes those that were
// closed and without processes for the retention, or are too many: so many as it
// returns. Their bills stay in the totals. The retention goes by the calendar, so that
// a wall clock that jumped deletes nothing.
func (e *Engine) Expire(retention time.Duration, now Now) (deleted int, err error) {
	if err := e.RescanIfLost(now); err != nil {
		return 0, err
	}
	var done []*groups.Group // temporary, closed, without live processes
	live, date := e.liveGroups(), e.calendar.old(now)
	for _, g := range e.catalog.All() {
		switch {
		case !g.Temporary || live[g.ID]:
		case !g.Open():
			if g.Closed.After(e.calendar.stamp(now)) { // by a clock that was wrong
				e.CloseGroup(g, now)
			}
			done = append(done, g)
		case now.Boot.Sub(e.made[g.ID]) > abandoned: // zero: before this run
			e.CloseGroup(g, now)
		}
	}
	slices.SortFunc(done, func(a, b *groups.Group) int { return cmp.Or(a.Closed.Compare(b.Closed), cmp.Compare(a.ID, b.ID)) })
	for i, g := range done[:min(len(done), expireBatch)] {
		if date.Sub(g.Closed) > retention || i < len(done)-maxTemporary && now.Wall.Sub(g.Closed) > abandoned {
			e.DeleteGroup(g)
			deleted++
		}
	}
	return deleted, nil
}
