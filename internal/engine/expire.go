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
// returns. Their bills stay in the totals.
func (e *Engine) Expire(retention time.Duration, now Now) (deleted int, err error) {
	if err := e.RescanIfLost(now); err != nil {
		return 0, err
	}
	var done []*groups.Group // temporary, closed, without live processes
	live := e.liveGroups()
	for _, g := range e.catalog.All() {
		switch {
		case !g.Temporary || live[g.ID]:
		case !g.Open():
			done = append(done, g)
		case now.Wall.Sub(g.Created) > abandoned:
			e.CloseGroup(g, now)
		}
	}
	slices.SortFunc(done, func(a, b *groups.Group) int { return cmp.Or(a.Closed.Compare(b.Closed), cmp.Compare(a.ID, b.ID)) })
	for i, g := range done[:min(len(done), expireBatch)] {
		age := now.Wall.Sub(g.Closed)
		if age > retention || i < len(done)-maxTemporary && age > abandoned {
			e.DeleteGroup(g)
			deleted++
		}
	}
	return deleted, nil
}

// liveGroups are the groups that have live processes.
func (e *Engine) liveGroups() map[uint32]bool {
	live := map[uint32]bool{}
	for id := range e.tracker.Sets.Len() {
		if set := groups.SetID(id); e.tracker.LiveIn(set) > 0 {
			for _, g := range e.tracker.Sets.Groups(set) {
				live[g] = true
			}
		}
	}
	return live
}
