// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"slices"
	"time"

	"elsa/pkg/groups"
)

const (
	expireInterval = 10 * time.Second
	// expireBatch bounds the groups that are deleted at a time.
	expireBatch = 100
	// maxTemporary is how many temporary groups are kept that are done with.
	maxTemporary = 10000
	// abandoned is when a temporary group that is empty has nobody any more who
	// would close it.
	abandoned = time.Minute
)

// expire closes temporary groups whose maker is gone, and deletes those that
// were closed and without processes for the retention, or are too many. Their
// bills stay in the totals.
func (c *core) expire(now time.Time, retention time.Duration) {
	var done []*groups.Group // temporary, closed, without live processes
	live := c.liveGroups()
	for i := range c.groups {
		switch g := &c.groups[i]; {
		case !g.Temporary || live[g.ID]:
		case !g.Open():
			done = append(done, g)
		case now.Sub(g.Created) > abandoned:
			g.Closed = now.UTC()
			c.regroup = append(c.regroup, g.ID)
		}
	}
	slices.SortFunc(done, func(a, b *groups.Group) int { return cmp.Or(a.Closed.Compare(b.Closed), cmp.Compare(a.ID, b.ID)) })
	var names []string
	for i, g := range done[:min(len(done), expireBatch)] {
		age := now.Sub(g.Closed)
		if age > retention || i < len(done)-maxTemporary && age > abandoned {
			names = append(names, g.Name)
		}
	}
	for _, name := range names { // dropping moves the groups
		at, _ := c.place(name)
		c.dropGroup(at)
	}
	if len(names) > 0 {
		c.log.Debug("temporary groups deleted", "groups", len(names))
	}
}

// liveGroups are the groups that have live processes.
func (c *core) liveGroups() map[uint32]bool {
	live := map[uint32]bool{}
	for id := range c.tracker.Sets.Len() {
		if set := groups.SetID(id); c.tracker.LiveIn(set) > 0 {
			for _, g := range c.tracker.Sets.Groups(set) {
				live[g] = true
			}
		}
	}
	return live
}
