// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"
	"time"

	"elsa/pkg/groups"
)

const (
	// maxTemporary is how many temporary groups are kept that are done with.
	maxTemporary = 10000
	// abandoned is when a temporary group that is empty has nobody any more who
	// would close it, and when one that a rule made lapses.
	abandoned = time.Minute
)

// Expire closes temporary groups whose maker is gone, and those of rules that have been
// empty for a while, and deletes those that were closed and without processes for the
// retention, or, of commands, are too many: so many as it returns. Their bills stay in
// the totals. The retention goes by the calendar, so that a wall clock that jumped
// deletes nothing.
func (e *Engine) Expire(retention time.Duration, now Now) (deleted int, err error) {
	if err := e.RescanIfLost(now); err != nil {
		return 0, err
	}
	var done []*groups.Group // temporary, closed, without live processes
	commands := 0            // of these, not of rules
	live, date := e.liveGroups(), e.calendar.old(now)
	for _, g := range e.catalog.All() {
		switch {
		case !g.Temporary:
		case live[g.ID]:
			if ofRule(g) {
				e.calendar.made[g.ID] = now.Boot // it lapses so long after its last process
			}
		case !g.Open():
			if g.Closed.After(e.calendar.stamp(now)) { // by a clock that was wrong
				e.closeAgain(g, now)
			}
			done = append(done, g)
			if !ofRule(g) {
				commands++
			}
		case now.Boot.Sub(e.calendar.made[g.ID]) > abandoned: // zero: before this run
			e.CloseGroup(g, now)
			g.Lapsed = ofRule(g)
		}
	}
	slices.SortFunc(done, byClosing)
	for _, g := range done {
		many := !ofRule(g) && commands > maxTemporary && now.Wall.Sub(g.Closed) > abandoned
		if deleted < expireBatch && (many || date.Sub(g.Closed) > retention) {
			e.DeleteGroup(g)
			deleted++
			if !ofRule(g) {
				commands--
			}
		}
	}
	return deleted, nil
}

// closeAgain gives a closed group a new time of its end.
func (e *Engine) closeAgain(g *groups.Group, now Now) {
	lapsed := g.Lapsed
	e.CloseGroup(g, now)
	g.Lapsed = lapsed
}
