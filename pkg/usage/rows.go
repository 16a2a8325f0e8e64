// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
)

// Row is what is billed of one process at once: at its death what it used since it was
// billed last, and when it changes sets or an hour has ended what it used until then. The measures of all
// rows and fixes add up to all cells.
type Row struct {
	// Part: the process lives on, in another set or hour. A part of no key is of
	// processes that are known in sum.
	Part bool
	Key  groups.Key
	// Forker made the process, as the tracker knows; of a part it is 0 while the process
	// lives. PPID was the parent at its end, as
	// the record tells: if the forker ended before, the one who reaps instead. 0: not known.
	Forker, PPID int32
	GID          uint32
	// Cell is that of the history, as it was before commands beyond a bound are put
	// together.
	Cell Cell
	// End is when it ended, as far as that is known, by the wall clock; in the hour of
	// the cell. Zero for a part: it is now, or when the hour of the cell ended.
	End clock.Wall
	// Status is as wait(2) reports it, if Exited.
	Status uint32
	Exited bool
	// Measure is what is billed, and Grade how well the CPU time of a death is known: 0
	// rounded, 1 sampled, 2 exact.
	Measure  Measure
	Grade    uint8
	Inferred bool
}

// Fix is what is billed of a death by now, in the place of what its row and the fixes
// before told.
type Fix struct {
	Seq     uint64
	Measure Measure
	Grade   uint8
	Status  uint32
	Exited  bool
}

// emit tells of the row of a death that was charged.
func (j *Join) emit(life *groups.Life, d *death, now clock.Boot, records ...*acct.Record) {
	if j.Emit == nil {
		return
	}
	r := Row{
		Key: d.key, Forker: life.PPID, GID: UnknownUID, Cell: d.cell, End: now.Wall(j.Booted), Status: d.status, Exited: d.exited,
		Measure: d.charged, Grade: uint8(d.grade), Inferred: life.Inferred || life.Unproven,
	}
	if life.Exit > 0 {
		r.End = life.Exit.Wall(j.Booted)
	}
	for _, rec := range records {
		if rec == nil {
			continue
		}
		r.PPID, r.GID = rec.PPID, rec.GID
		if rec.Begin > 0 {
			r.End = min(r.End, clock.Wall(rec.Begin+int64(rec.Elapsed/1e9)+1)*1e9-1) // the line has seconds
		}
		break
	}
	d.seq = j.Emit(&r)
}

// emitPart tells of what is billed of a process that lives on, or did when it was
// sampled last.
func (j *Join) emitPart(key groups.Key, forker int32, c *Cell, part *Measure) {
	if j.Emit != nil {
		j.Emit(&Row{Part: true, Key: key, Forker: forker, GID: UnknownUID, Cell: *c, Measure: *part})
	}
}

// fix tells of what is billed of a death by now.
func (j *Join) fix(d *death) {
	if j.Fix != nil && d.seq != 0 {
		j.Fix(&Fix{d.seq, d.charged, uint8(d.grade), d.status, d.exited})
	}
}

// Unfixed returns the least number of a row that may yet be fixed, or next if there is
// none.
func (j *Join) Unfixed(next uint64) uint64 {
	for _, d := range j.open {
		for ; d != nil; d = d.next {
			if d.seq != 0 {
				next = min(next, d.seq)
			}
		}
	}
	return next
}
