// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"elsa/internal/fill"
	"elsa/internal/history"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// Fill puts on the bill of a group what rows of the journal used whose processes had
// ended, in other groups or none: all of the piece or nothing. Totals, and the bills of
// other groups, stay as they are, and the history has it as the group's alone. The error
// wraps one of package fill.
func (e *Engine) Fill(g *groups.Group, p *fill.Piece) error {
	for i := range p.Cells {
		u := &p.Cells[i].Usage
		u[usage.Live], u[usage.Started] = 0, u[usage.Ended]
	}
	if err := e.fills.Add(g.ID, p); err != nil {
		return fmt.Errorf("fill group %s: %w", g.Name, err)
	}
	for i := range p.Cells {
		c := &p.Cells[i]
		u := c.Usage
		u[usage.Started] = 0 // cells are of deaths
		e.history.rolls.Fill(history.Key{
			Hour: c.Hour, UID: c.UID, Command: c.Command, Groups: append([]uint32{g.ID}, c.Others...), Filled: true,
		}, &u)
	}
	return nil
}

// FillVersion is the version of what groups took, for [fill.Piece].
func (e *Engine) FillVersion() uint64 { return e.fills.Version() }

// Taken are the rows that a group took; they must not be changed.
func (e *Engine) Taken(g *groups.Group) []fill.Taken { return e.fills.Taken(g.ID) }

// UnsettledRows are the numbers of rows whose deaths are not settled, ascending: what they
// used is more than the rows say.
func (e *Engine) UnsettledRows() (rows []uint64) {
	e.join.EachUnsettled(func(seq uint64) { rows = append(rows, seq) })
	slices.Sort(rows)
	return rows
}

// NextRow is the number of the next row of the journal; 0 if there is none. Rows before
// it name groups as these are known by now.
func (e *Engine) NextRow() uint64 {
	if e.rows == nil {
		return 0
	}
	return e.rows.next
}

// renamed notes that rows up to now have another name of a group.
func (e *Engine) renamed(g *groups.Group, old string) {
	g.Names = withNames(g.Names, groups.FormerName{Name: old, First: g.FirstRow, Before: e.NextRow()})
	g.FirstRow = e.NextRow()
}

// takeNames notes that rows of the group from count as those of the group into.
func (e *Engine) takeNames(from, into *groups.Group) {
	last := groups.FormerName{Name: from.Name, First: from.FirstRow, Before: e.NextRow()}
	into.Names = withNames(into.Names, append(slices.Clone(from.Names), last)...)
}

// withNames are names with others, at most so many as may be. The list is never changed,
// but replaced.
func withNames(names []groups.FormerName, more ...groups.FormerName) []groups.FormerName {
	names = slices.Clone(names)
	for _, n := range more {
		if n.First < n.Before {
			names = append(names, n)
		}
	}
	slices.SortFunc(names, func(a, b groups.FormerName) int { return cmp.Compare(a.Before, b.Before) })
	return names[max(len(names)-groups.MaxNames, 0):]
}

// startSlack is by how much the start of a process may differ as rows tell it and as it
// is known here: the wall clock was set meanwhile.
const startSlack = time.Second

// Began is when a process began, by the wall clock.
func (e *Engine) Began(l groups.Life) time.Time { return e.wall(l.Start.Boot()) }

// LivingOf are the live processes that descend from one that may have ended, it included:
// the one that has or had a pid and began at a time by the wall clock; zero is any time.
func (e *Engine) LivingOf(pid int32, started time.Time, now Now) (pids []int32) {
	e.now = now
	is := func(l *groups.Life) bool {
		return l.PID == pid && (started.IsZero() || e.wall(l.Start.Boot()).Sub(started).Abs() <= startSlack)
	}
	known := map[groups.Key]bool{}
	var path []groups.Key
	e.tracker.EachLive(func(l groups.Life) {
		path = path[:0]
		found := false
		for at := l; ; {
			if f, ok := known[at.Key()]; ok {
				found = f
				break
			}
			path = append(path, at.Key())
			if found = is(&at); found || len(path) > maxChain {
				break
			}
			parent, ok := e.parent(&at)
			if !ok {
				break
			}
			at = parent
		}
		for _, k := range path {
			known[k] = found
		}
		if found {
			pids = append(pids, l.PID)
		}
	})
	slices.Sort(pids)
	return pids
}
