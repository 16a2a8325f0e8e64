// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"time"

	"elsa/pkg/clock"
	"elsa/pkg/groups"
)

// Account is a live process's state in the join: what was billed to earlier sets or
// in earlier hours, and the last sample, with hour, user and command as of then; see
// [Cell].
type Account struct {
	Base, Last Measure
	Hour, UID  uint32
	Comm       [16]byte
}

// OpenDeath is a death that was charged and waits for its exact record.
type OpenDeath struct {
	Key                     groups.Key
	Set                     groups.SetID
	Base, Charged, Estimate Measure
	Reported                time.Duration
	// Grade is the precision counted so far: 0 rounded, 1 sampled.
	Grade uint8
	// Cell is where in the history it was put.
	Cell Cell
	// Lined tells that it has a ledger line, Exited that its exit status was
	// counted.
	Lined, Exited bool
	// At is when it was charged, zero in an old database, and Looked that its process
	// was looked at since; see [Join.Look].
	At     clock.Boot
	Looked bool
	// Seq is the number of its row, 0 if it has none, and Status as its row has it.
	Seq    uint64
	Status uint32
}

// TakeChanged calls f with the stored part of every set's bill that changed
// since the last call. Ended and started are in it, live samples are not.
func (j *Join) TakeChanged(f func(groups.SetID, *Usage)) {
	for _, id := range j.changed {
		j.dirty[id] = false
		f(id, &j.sets[id])
	}
	j.changed = j.changed[:0]
}

// Touch marks a set as changed.
func (j *Join) Touch(id groups.SetID) { j.set(id) }

// TouchAll marks every set as changed, in order, for a store that was emptied.
func (j *Join) TouchAll() {
	j.changed = j.changed[:0]
	clear(j.dirty)
	for id := range j.sets {
		j.set(groups.SetID(id))
	}
}

// Changed reports whether TakeChanged has anything to tell.
func (j *Join) Changed() bool { return len(j.changed) > 0 }

// Account returns the account of a process; ok is false when there is none.
func (j *Join) Account(key groups.Key) (a Account, ok bool) {
	acc := j.accounts[key]
	if acc == nil {
		return a, false
	}
	return Account{acc.base, acc.last, acc.cell.Hour, acc.cell.UID, acc.cell.Comm}, true
}

// OpenDeaths calls f for every death that waits for its exact record.
func (j *Join) OpenDeaths(f func(OpenDeath)) {
	for _, d := range j.open {
		for ; d != nil; d = d.next {
			if !d.final {
				f(OpenDeath{d.key, d.set, d.base, d.charged, d.estimate, d.reported, uint8(d.grade), d.cell, d.lined, d.exited, d.at, d.looked, d.seq, d.status})
			}
		}
	}
}

// RestoreSet puts back a set's bill.
func (j *Join) RestoreSet(id groups.SetID, u Usage) {
	j.reach(id)
	j.sets[id] = u
}

// RestoreAccount puts back a live process's account.
func (j *Join) RestoreAccount(key groups.Key, set groups.SetID, a Account) {
	acc := &account{cell: Cell{Hour: a.Hour, Set: set, UID: a.UID, Comm: a.Comm}, base: a.Base, last: a.Last}
	j.accounts[key] = acc
	j.enter(acc)
	j.billed += acc.base.CPU()
}

// RestoreDeath puts back a death that waited when the service ended. It goes on
// waiting as if it had been charged at a time: Patience ago if its exact record may
// have passed meanwhile, so that the next Step settles it by its estimate.
func (j *Join) RestoreDeath(o OpenDeath, at clock.Boot) {
	d := j.newDeath()
	*d = death{at: at, key: o.Key, set: o.Set, begin: j.second(o.Key.Start), base: o.Base, charged: o.Charged,
		estimate: o.Estimate, reported: o.Reported, grade: precision(o.Grade), cell: o.Cell,
		lined: o.Lined, exited: o.Exited, looked: o.Looked, seq: o.Seq, status: o.Status}
	j.wait(d)
}

// Snapshot computes every bill at this moment. gs are the groups, in the order
// they shall have.
func (j *Join) Snapshot(t *groups.Tracker, gs []groups.Group) *Snapshot {
	s := &Snapshot{Groups: make([]GroupTotal, len(gs)), Settled: j.Settled}
	place := make(map[uint32]int, len(gs))
	for i := range gs {
		s.Groups[i].Group = gs[i]
		place[gs[i].ID] = i
	}
	for id := range max(t.Sets.Len(), len(j.sets)) {
		set := groups.SetID(id)
		u := j.Total(set)
		u[Live] = uint64(t.LiveIn(set))
		switch {
		case set == groups.Ungrouped:
			s.Ungrouped.Add(&u)
		case set == groups.Unattributed:
			s.Unattributed.Add(&u)
		default:
			s.AnyGroup.Add(&u)
			list := t.Sets.Groups(set)
			if len(list) > 1 && u != (Usage{}) {
				s.Overlaps = append(s.Overlaps, Overlap{list, u})
			}
			for _, g := range list {
				if i, ok := place[g]; ok {
					s.Groups[i].Usage.Add(&u)
				}
			}
		}
	}
	for _, u := range []*Usage{&s.AnyGroup, &s.Ungrouped, &s.Unattributed} {
		s.Total.Add(u)
	}
	return s
}
