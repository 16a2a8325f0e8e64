// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"elsa/internal/journal"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// keepRows has the join tell what it bills.
func (e *Engine) keepRows() {
	e.rows = &rows{next: 1, sets: map[groups.SetID]*journal.Groups{}, parts: map[groups.Key]uint32{}}
	e.join.Emit, e.join.Fix = e.emit, e.fix
}

// emit takes a row that is billed.
func (e *Engine) emit(u *usage.Row) uint64 {
	r := e.rows
	seq := r.next
	r.next++
	if len(r.now.List) >= maxRows {
		r.now.Dropped++
		return seq
	}
	booted := e.join.Booted
	row := journal.Row{
		Seq: seq, PID: u.Key.PID, End: int64(u.End), Groups: e.groupsOf(u.Cell.Set), UID: u.Cell.UID, GID: u.GID,
		Comm: u.Cell.Comm, Status: u.Status, Exited: u.Exited, Measure: u.Measure, Precision: journal.Precision(u.Grade), Inferred: u.Inferred,
	}
	if u.Part {
		first, next := usage.HourStart(u.Cell.Hour).UnixNano(), usage.HourStart(u.Cell.Hour+1).UnixNano()
		row.Precision, row.End, row.Part = journal.Partial, min(max(e.now.Wall.UnixNano(), first), next-1), 1
		if u.Key.PID != 0 {
			row.Part += r.parts[u.Key]
			r.parts[u.Key]++
		}
	} else {
		delete(r.parts, u.Key)
	}
	row.Start = row.End
	if u.Key.PID != 0 {
		row.Start = int64(u.Key.Start.Boot().Wall(booted))
	}
	parent := e.parentOf(u)
	if row.PPID = parent.PID; parent.Start != 0 {
		row.ParentStart = int64(parent.Start.Boot().Wall(booted))
	}
	r.now.List = append(r.now.List, row)
	return seq
}

// parentOf is the process that forked the one of a row. If its start is not known, it is
// the parent at the end of a process that nobody saw being forked.
func (e *Engine) parentOf(u *usage.Row) groups.Key {
	l := groups.Life{PID: u.Key.PID, Start: u.Key.Start, PPID: u.Forker}
	if now, ok := e.tracker.Lookup(l.PID); u.Part && ok && now.Start == l.Start {
		l.PPID = now.PPID
	}
	p, ok := e.parent(&l)
	if !ok && u.PPID != 0 && (l.PPID == 0 || e.options.NoExits) { // what forked may have been a thread
		l.PPID = u.PPID
		p, ok = e.parent(&l)
	}
	if !ok {
		return groups.Key{PID: l.PPID}
	}
	return p.Key()
}

// fix takes what is billed better. A row that was not handed out yet is changed itself.
func (e *Engine) fix(u *usage.Fix) {
	r := e.rows
	f := journal.Fix{Seq: u.Seq, Measure: u.Measure, Precision: journal.Precision(u.Grade), Status: u.Status, Exited: u.Exited}
	if list := r.now.List; len(list) > 0 && u.Seq >= list[0].Seq {
		if i := u.Seq - list[0].Seq; i < uint64(len(list)) {
			f.Apply(&list[i])
		}
		return // or it was dropped
	}
	if len(r.now.Fixes) >= maxRows {
		r.now.Dropped++
		return
	}
	r.now.Fixes = append(r.now.Fixes, f)
}

// groupsOf are the groups of a set by name, as they are in its cell of the history.
func (e *Engine) groupsOf(set groups.SetID) *journal.Groups {
	g := e.rows.sets[set]
	if g == nil {
		ids := e.history.rolls.GroupsOf(set)
		g = &journal.Groups{Names: e.catalog.Names(ids), Unattributed: set == groups.Unattributed || len(ids) > groups.MaxGroups}
		if g.Unattributed {
			g.Names = nil
		}
		e.rows.sets[set] = g
	}
	return g
}
