// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"slices"
	"time"

	"elsa/internal/rules"
	"elsa/internal/tally"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
)

const (
	// expireBatch bounds the groups that are deleted at a time.
	expireBatch = 100
	// maxTemporary is how many temporary groups are kept that are done with.
	maxTemporary = 10000
	// abandoned is when a temporary group that is empty has nobody any more who
	// would close it, and when one that a rule made lapses.
	abandoned = time.Minute
	// fullPause is how long a rule that may make no more groups, and has none that is done
	// with, is not looked at again.
	fullPause = 10 * time.Second
)

// Expire closes temporary groups whose maker is gone, and those of rules that have been
// empty for a while, and deletes those that were closed and without processes for the
// retention, or, of commands, are too many: so many as it returns. Their bills stay in the totals. The retention goes by the calendar, so that
// a wall clock that jumped deletes nothing.
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
				e.made[g.ID] = now.Boot // it lapses so long after its last process
			}
		case !g.Open():
			if g.Closed.After(e.calendar.stamp(now)) { // by a clock that was wrong
				e.closeAgain(g, now)
			}
			done = append(done, g)
			if !ofRule(g) {
				commands++
			}
		case now.Boot.Sub(e.made[g.ID]) > abandoned: // zero: before this run
			e.CloseGroup(g, now)
			g.Lapsed = ofRule(g)
		}
	}
	slices.SortFunc(done, func(a, b *groups.Group) int { return cmp.Or(a.Closed.Compare(b.Closed), cmp.Compare(a.ID, b.ID)) })
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

// ofRule reports whether a rule made a group.
func ofRule(g *groups.Group) bool { return g.Owner == 0 && g.Labels[ruleLabel] != "" }

// makeRoom deletes the groups of a rule that have been empty for longest, some of those
// that it may make, and reports whether there were any.
func (e *Engine) makeRoom(r *rules.Rule) bool {
	if e.now.Boot < e.ruled.full[r] {
		return false // it was tried a moment ago
	}
	var lapsed []*groups.Group
	live := e.liveGroups()
	for _, g := range e.catalog.All() {
		if g.Lapsed && !live[g.ID] && e.ruleset.Reserves(g.Name) == r {
			lapsed = append(lapsed, g)
		}
	}
	slices.SortFunc(lapsed, func(a, b *groups.Group) int { return cmp.Or(a.Closed.Compare(b.Closed), cmp.Compare(a.ID, b.ID)) })
	for _, g := range lapsed[:min(len(lapsed), expireBatch, max(r.Limit/10, 1))] {
		e.DeleteGroup(g)
		e.options.Refused.Add(tally.RuleEnded)
	}
	if len(lapsed) == 0 {
		if e.ruled.full == nil {
			e.ruled.full = map[*rules.Rule]clock.Boot{}
		}
		e.ruled.full[r] = e.now.Boot.Add(fullPause)
	}
	return len(lapsed) > 0
}
