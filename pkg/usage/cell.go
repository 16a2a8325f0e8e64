// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"time"

	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
)

// Cell is what is told apart in the history: what processes of the same set, user and
// command used is added up by the hour. What a process used between the samples of its
// life is in the hours of those, and the rest in that of its death.
type Cell struct {
	// Hour is when the process ended, or when it was sampled while it lived, by the wall
	// clock, in hours since 1970.
	Hour uint32
	Set  groups.SetID
	// UID is the real user id at death, [UnknownUID] when no record told it.
	UID uint32
	// Comm is the command name, NUL padded; [Unknown] when no record told it.
	Comm [16]byte
}

// UnknownUID is the user of a death that no record told of. No user has it.
const UnknownUID = ^uint32(0)

// Unknown is the command of a death that no record told of.
var Unknown = [16]byte{'(', 'u', 'n', 'k', 'n', 'o', 'w', 'n', ')'}

// cellOf is the cell of a death that is charged at time now, by the first of the
// records that is there. A line names the thread that ended last; the name of the
// program is what [Join.Program] knows, or else what the first thread was called at its end.
func (j *Join) cellOf(life *groups.Life, now clock.Boot, records ...*acct.Record) Cell {
	c := Cell{Set: life.Set, UID: UnknownUID, Comm: Unknown}
	end := now.Wall(j.Booted).Seconds()
	if life.Exit > 0 {
		end = life.Exit.Wall(j.Booted).Seconds()
	}
	for _, r := range records {
		if r == nil {
			continue
		}
		c.UID, c.Comm = r.UID, r.Comm
		if r.Begin > 0 {
			end = min(r.Begin+int64(r.Elapsed/time.Second), end)
		}
		break
	}
	c.Hour = HourOf(end)
	for _, r := range records {
		if r != nil && r.Source != acct.BSD && r.Comm[0] != 0 {
			c.Comm = r.Comm // the first thread's
			break
		}
	}
	if j.Program != nil {
		if p, known := j.Program(life.Key()); known {
			c.Comm = p.Comm
		}
	}
	return c
}

// HourOf is the hour of a second since 1970.
func HourOf(second int64) uint32 { return uint32(max(second, 0) / 3600) }

// HourStart is when an hour of [HourOf] begins, in UTC.
func HourStart(hour uint32) time.Time { return time.Unix(int64(hour)*3600, 0).UTC() }

// bill adds u to the bill of a set and to the history.
func (j *Join) bill(set groups.SetID, c *Cell, u *Usage) {
	j.set(set).Add(u)
	if j.Roll != nil {
		j.Roll(c).Add(u)
	}
}

// billPart bills what a process used up to its last sample; forker is who made it, if it
// is dead. Nothing makes no cell, and does not keep a set in use.
func (j *Join) billPart(key groups.Key, forker int32, c *Cell, part *Measure) {
	if *part == (Measure{}) {
		return
	}
	var u Usage
	u.AddMeasure(part)
	cell := *c // Roll may change it
	j.emitPart(key, forker, &cell, part)
	j.bill(c.Set, &cell, &u)
}
