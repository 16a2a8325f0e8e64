// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"io/fs"

	"elsa/internal/lineage"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
)

// Running finds a live process; ok is false when none with this pid runs.
func (e *Engine) Running(pid int32) (p proc.Process, l groups.Life, ok bool, err error) {
	p, err = e.options.World.Process(pid)
	if errors.Is(err, fs.ErrNotExist) {
		return p, l, false, nil
	}
	l, ok = e.tracker.Live(pid)
	return p, l, ok && err == nil && !p.Dead() && p.Start.Same(l.Start), err
}

// Live returns the live process that the engine knows by a pid. It does not look at
// the machine.
func (e *Engine) Live(pid int32) (groups.Life, bool) { return e.tracker.Live(pid) }

// Descendants are the live processes that descend from the ones named, these not
// included.
func (e *Engine) Descendants(pids ...int32) []int32 { return e.tracker.Descendants(pids...) }

// IsIn reports whether a process is in a group.
func (e *Engine) IsIn(l groups.Life, g *groups.Group) bool { return e.tracker.Sets.Has(l.Set, g.ID) }

// Full reports whether a process is in [groups.MaxGroups] groups, and g is none of
// them: Add would change nothing.
func (e *Engine) Full(l groups.Life, g *groups.Group) bool { return e.tracker.Sets.Full(l.Set, g.ID) }

// Add puts a live process in a group because the user uid asked for it: beside the
// groups it is in or, with move, instead of them. What it used before stays where
// it was billed; with whole, what was billed to no group comes with it. It reports
// whether anything changed.
func (e *Engine) Add(l groups.Life, g *groups.Group, move, whole bool, uid uint32, now Now) bool {
	e.now = now
	e.open(g)
	e.sample(l.Key(), l.Set)
	change, ok := e.tracker.Add(l.PID, g.ID, move)
	if !ok || change.From == change.To {
		return false
	}
	e.move(change, whole)
	e.origin(l, lineage.Origin{Group: g.ID, UID: uid})
	return true
}

// Remove takes a live process out of a group; its bill so far stays. It reports
// whether anything changed.
func (e *Engine) Remove(l groups.Life, g *groups.Group, now Now) bool {
	e.now = now
	e.sample(l.Key(), l.Set)
	change, ok := e.tracker.Remove(l.PID, g.ID)
	if !ok || change.From == change.To {
		return false
	}
	e.move(change, false)
	return true
}

// move splits the bill of a process that changed sets. What was never in a group
// may be charged as a whole; what a group was billed stays on its bill.
func (e *Engine) move(change groups.Change, whole bool) {
	e.join.Move(change, whole && !change.From.Grouped())
	if e.options.NoExits {
		e.addThreads(change.Life.PID)
	}
}

// members counts the live processes that are in a group.
func (e *Engine) members() int {
	return e.tracker.Processes() - e.tracker.LiveIn(groups.Ungrouped) - e.tracker.LiveIn(groups.Unattributed)
}
