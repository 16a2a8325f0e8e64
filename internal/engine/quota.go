// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"elsa/internal/rules"
	"elsa/internal/tally"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
)

// What users may have of the catalog. Root may have any number of groups, and so
// may the members of the admin group.
const (
	// maxOwned is how many groups one user may own.
	maxOwned = 1000
	// maxOwnedLabels is how many bytes the labels of a user's groups may have.
	maxOwnedLabels = 1 << 20
	// maxOfUsers is how many groups all users may own, since one person may have
	// many user ids.
	maxOfUsers = 20000
	// expireBatch bounds the groups that are deleted at a time.
	expireBatch = 100
	// fullPause is how long a rule that may make no more groups, and has none that is done
	// with, is not looked at again.
	fullPause = 10 * time.Second
)

// ErrReserved means that a name is kept for a rule, and ErrQuota that there are too
// many groups.
var (
	ErrReserved = errors.New("it is kept for a rule; choose another name")
	ErrQuota    = errors.New("delete some")
)

// MakeGroupOf makes an open group for a user who is no admin. The error wraps
// ErrReserved, ErrQuota, or one of those of MakeGroup. Where the user has as many
// groups as a user may, the one of the command of elsactl run that ended first goes.
func (e *Engine) MakeGroupOf(uid uint32, name string, labels map[string]string, now Now) (*groups.Group, error) {
	refuse := func(k tally.Counter, err error) (*groups.Group, error) {
		e.options.Refused.Add(k)
		return nil, fmt.Errorf("make group %s: %w", name, err)
	}
	if e.Group(name) == nil {
		if e.Reserves(name) {
			return refuse(tally.ReservedNames, ErrReserved)
		}
		has := func() groups.Owned { return e.catalog.Owned(uid) }
		if has().Groups >= maxOwned || has().Labels+groups.LabelBytes(labels) > maxOwnedLabels {
			e.evict(uid)
		}
		switch {
		case has().Groups >= maxOwned:
			return refuse(tally.UserGroups, fmt.Errorf("uid %d has %d groups, as many as a user may; %w", uid, has().Groups, ErrQuota))
		case has().Labels+groups.LabelBytes(labels) > maxOwnedLabels:
			return refuse(tally.UserGroups, fmt.Errorf("the labels of all groups of uid %d may have %d bytes; %w", uid, maxOwnedLabels, ErrQuota))
		case e.catalog.OfUsers() >= maxOfUsers:
			return refuse(tally.UserGroups, fmt.Errorf("users have %d groups, as many as they may in all; %w", e.catalog.OfUsers(), ErrQuota))
		}
	}
	return e.MakeGroup(name, uid, labels, now)
}

// evict deletes the temporary group of a user that was closed first, if no process
// is in it.
func (e *Engine) evict(uid uint32) {
	var first *groups.Group
	var live map[uint32]bool
	for _, g := range e.catalog.All() {
		if g.Owner != uid || !g.Temporary || g.Open() {
			continue
		}
		if live == nil {
			live = e.liveGroups()
		}
		if !live[g.ID] && (first == nil || byClosing(g, first) < 0) {
			first = g
		}
	}
	if first != nil {
		e.DeleteGroup(first)
		e.options.Refused.Add(tally.UserRuns)
	}
}

// Reserves reports whether a rule could put processes in a group of this name.
func (e *Engine) Reserves(name string) bool { return e.ruleset.Reserves(name) != nil }

// refuse notes that a rule did not put a process in a group.
func (e *Engine) refuse(r *rules.Rule, k tally.Counter, err error) {
	e.options.Refused.Add(k)
	if !e.ruled.told[r] {
		if e.ruled.told == nil {
			e.ruled.told = map[*rules.Rule]bool{}
		}
		e.ruled.told[r] = true
		e.ruled.errs = append(e.ruled.errs, fmt.Errorf("follow rule in %s: %w", r, err))
	}
}

// TakeRuleErrors returns why rules did not put processes in their groups, the first
// cause of each rule, and forgets it.
func (e *Engine) TakeRuleErrors() []error {
	errs := e.ruled.errs
	e.ruled.errs = nil
	return errs
}

// madeBy counts the groups that a rule has made.
func (e *Engine) madeBy(r *rules.Rule) int {
	if e.ruled.made == nil {
		e.ruled.made = map[*rules.Rule]int{}
		for _, g := range e.catalog.All() {
			if !ofRule(g) {
				continue
			}
			if maker := e.ruleset.Reserves(g.Name); maker != nil {
				e.ruled.made[maker]++
			}
		}
	}
	return e.ruled.made[r]
}

// ruleGroup is the group a rule names, made if it is missing; nil when the rule
// takes nobody there. uid is the user of the process that it takes.
func (e *Engine) ruleGroup(m rules.Match, uid uint32) *groups.Group {
	if g := e.catalog.Named(m.Group); g != nil {
		switch {
		case g.Owner != 0:
			e.refuse(m.Rule, tally.RuleOwners, fmt.Errorf("group %s belongs to uid %d, who would see and could delete what the rule puts there; delete the group, or name another in the rule", g.Name, g.Owner))
			return nil
		case !g.Takes():
			return nil
		}
		e.open(g)
		if g.User == nil && m.Rule.PerUser() && ofRule(g) && len(g.Absorbed) == 0 {
			e.setUser(g, uid)
		}
		return g
	}
	if n := e.madeBy(m.Rule); m.Rule.Templated() && n >= m.Rule.Limit && !e.makeRoom(m.Rule) {
		e.refuse(m.Rule, tally.RuleGroups, fmt.Errorf("it has made %d groups, as many as it may, and does not make %s; delete some, or give the rule a higher limit", n, m.Group))
		return nil
	}
	e.madeBy(m.Rule) // counted before there is one more
	g, err := e.MakeGroup(m.Group, 0, map[string]string{ruleLabel: fmt.Sprintf("line %d", m.Rule.Line)}, e.now)
	if err != nil {
		e.refuse(m.Rule, tally.RuleGroups, err)
		return nil
	}
	e.ruled.made[m.Rule]++
	if m.Rule.Templated() {
		e.MakeTemporary(g, e.now)
	}
	if m.Rule.PerUser() {
		e.setUser(g, uid)
	}
	return g
}

// setUser says that a rule puts processes of one user in a group.
func (e *Engine) setUser(g *groups.Group, uid uint32) {
	g.User = &uid
	e.catalog.Touch(g)
}

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
	slices.SortFunc(lapsed, byClosing)
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
