// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"elsa/internal/journal"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// Rows are what a transaction's bills are made of, for the journal. They must be on disk
// before the transaction, and go with it.
type Rows struct {
	List  []journal.Row
	Fixes []journal.Fix
	// Settled: no fix comes for rows up to it.
	Settled uint64
	// Dropped are rows that there was no room for, while the disk hung.
	Dropped uint64
}

// rows are those since the last Save. Two sets of buffers take turns: one transaction
// is written at a time.
type rows struct {
	next    uint64 // the next row's number
	now     Rows
	written Rows
	parts   map[groups.Key]uint32
	sets    map[groups.SetID]*journal.Groups
}

// maxRows bounds the rows, and the fixes, that wait for the disk: some 60 MiB.
const maxRows = 1 << 18

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
		Seq: seq, PID: u.Key.PID, PPID: u.PPID, End: int64(u.End), Groups: e.groupsOf(u.Cell.Set), UID: u.Cell.UID, GID: u.GID,
		Comm: u.Cell.Comm, Status: u.Status, Exited: u.Exited, Measure: u.Measure, Precision: journal.Precision(u.Grade), Inferred: u.Inferred,
	}
	if u.Part {
		row.Precision, row.End, row.Part = journal.Partial, e.now.Wall.UnixNano(), 1
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
	if p, ok := e.tracker.Lookup(row.PPID); ok && row.PPID != 0 {
		row.ParentStart = int64(p.Start.Boot().Wall(booted))
	}
	r.now.List = append(r.now.List, row)
	return seq
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

// take hands out the rows since the last time.
func (r *rows) take(settled uint64) *Rows {
	r.now, r.written = Rows{List: r.written.List[:0], Fixes: r.written.Fixes[:0]}, r.now
	if cap(r.now.List) > maxRows/16 {
		r.now = Rows{} // give a storm's memory back
	}
	r.written.Settled = settled
	return &r.written
}
