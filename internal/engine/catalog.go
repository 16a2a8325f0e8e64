// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"time"

	"elsa/pkg/groups"
)

// Group returns the group with a name; nil when there is none. It is valid until
// it is deleted, which rules never do.
func (e *Engine) Group(name string) *groups.Group { return e.catalog.Named(name) }

// GroupByID returns the group with an id; nil when there is none.
func (e *Engine) GroupByID(id uint32) *groups.Group { return e.catalog.ByID(id) }

// Groups are all groups in order of name. The slice is valid until one is made or
// deleted.
func (e *Engine) Groups() []*groups.Group { return e.catalog.All() }

// CopyGroups returns a copy of every group, in order of name. Labels are shared and
// must not be changed.
func (e *Engine) CopyGroups() []groups.Group { return e.catalog.Copy() }

// GroupNames are the names of the groups that a process is in, in order.
func (e *Engine) GroupNames(set groups.SetID) []string { return e.groupNames(set) }

func (e *Engine) groupNames(set groups.SetID) []string {
	return e.catalog.Names(e.tracker.Sets.Groups(set))
}

// MakeGroup makes an open group. The error wraps groups.ErrExists or groups.ErrNoIDs.
func (e *Engine) MakeGroup(name string, owner uint32, labels map[string]string, now Now) (*groups.Group, error) {
	g, err := e.catalog.Make(name, owner, labels, now.Wall.UTC())
	if err == nil {
		g.FirstRow = e.NextRow()
	}
	return g, err
}

// MakeTemporary says that a group is deleted by itself after its end.
func (e *Engine) MakeTemporary(g *groups.Group, now Now) {
	g.Temporary = true
	e.calendar.made[g.ID] = now.Boot
	e.catalog.Touch(g)
}

// CloseGroup closes a group: it takes no new members by hand or rule.
func (e *Engine) CloseGroup(g *groups.Group, now Now) {
	g.Closed, g.Lapsed = e.calendar.stamp(now).UTC(), false
	e.catalog.Touch(g)
}

// open opens a group that lapsed, for a process that is to join it.
func (e *Engine) open(g *groups.Group) {
	if g.Lapsed {
		g.Closed, g.Lapsed = time.Time{}, false
		e.calendar.made[g.ID] = e.now.Boot
		e.catalog.Touch(g)
	}
}

// GroupsOf are the groups that a process is in.
func (e *Engine) GroupsOf(l groups.Life) (gs []*groups.Group) {
	for _, id := range e.tracker.Sets.Groups(l.Set) {
		if g := e.catalog.ByID(id); g != nil {
			gs = append(gs, g)
		}
	}
	return gs
}

// CloseWith says that a group is closed when a live process ends.
func (e *Engine) CloseWith(g *groups.Group, l groups.Life) {
	if e.until == nil {
		e.until = map[int32]uint32{}
	}
	e.until[l.PID] = g.ID
}

// closeEnded closes the group that is to be closed with a process, if that ended.
func (e *Engine) closeEnded(pid int32) {
	id, ok := e.until[pid]
	if !ok {
		return
	}
	if l, live := e.tracker.Live(pid); live && e.tracker.Sets.Has(l.Set, id) {
		return
	}
	delete(e.until, pid)
	if g := e.catalog.ByID(id); g != nil && g.Open() {
		e.CloseGroup(g, e.now)
	}
}

// DeleteGroup deletes a group. What it used stays in the totals.
func (e *Engine) DeleteGroup(g *groups.Group) {
	e.retire(g)
	e.join.Merge(e.tracker.DropGroup(g.ID), e.tracker.Sets.Only(groups.Former))
	e.lineage.DropGroup(g.ID)
	e.fills.DropGroup(g.ID)
	e.forget(g)
}

// retire makes ready for that the sets of a group lose it.
func (e *Engine) retire(g *groups.Group) {
	e.tracker.TakeStarts(e.join.Start)
	for id := range e.tracker.Sets.Len() {
		if set := groups.SetID(id); e.tracker.Sets.Has(set, g.ID) {
			e.history.rolls.Retire(set)
		}
	}
}

// forget takes a group out of the catalog.
func (e *Engine) forget(g *groups.Group) {
	delete(e.calendar.made, g.ID)
	e.catalog.Delete(g)
	e.ruled.made = nil // to be counted again
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

// ruleLabel is the label of groups that rules made.
const ruleLabel = "rule"

// ofRule reports whether a rule made a group.
func ofRule(g *groups.Group) bool { return g.Owner == 0 && g.Labels[ruleLabel] != "" }

// byClosing orders groups by when they were closed.
func byClosing(a, b *groups.Group) int {
	return cmp.Or(a.Closed.Compare(b.Closed), cmp.Compare(a.ID, b.ID))
}
