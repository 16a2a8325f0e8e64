// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"time"

	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
)

const (
	// orphanAge is how much longer than Patience a precise record is held: the
	// kernel writes the ledger line after it tore the address space down.
	orphanAge = 8 * time.Second
	// With more than maxOpen deaths open, those whose Patience is over are closed.
	maxOpen = 1 << 16
	maxIdle = 1 << 12
)

// Step settles the deaths that waited longer than Patience for their exact
// record, forgets those that cannot get one any more, and shows precise records
// that met no line within the same time to orphan, which may find their life
// and call Unledgered. Those that met no death even so are dropped.
func (j *Join) Step(now clock.Boot, orphan func(*acct.Record)) {
	patience := now.Add(-j.Patience)
	for pid, first := range j.open {
		if left := j.sweep(first, now, patience); left == nil {
			delete(j.open, pid)
		} else if left != first {
			j.open[pid] = left
		}
	}
	// All records of a death are held when the first of them finds its life.
	j.late = j.precise.old(patience.Add(-orphanAge), j.late[:0])
	for i := range j.late {
		orphan(&j.late[i])
	}
	if len(j.late) > 0 {
		j.Joined.Unmatched += j.precise.expire(patience.Add(-orphanAge))
	}
	j.precise.rest()
	j.settleLost(now)
	if cap(j.late) > maxIdle {
		j.late = nil // give a storm's memory back
	}
}

// Slept says that the machine was suspended for so long not long before now: nothing
// that is waited for could come meanwhile.
func (j *Join) Slept(d time.Duration, now clock.Boot) {
	for _, o := range j.open {
		for ; o != nil; o = o.next {
			if !o.final {
				o.at = min(o.at.Add(d), now)
			}
		}
	}
	j.precise.slept(d, now)
}

// sweep settles and closes deaths of one pid and returns those that stay open.
func (j *Join) sweep(d *death, now, patience clock.Boot) *death {
	if d == nil {
		return nil
	}
	d.next = j.sweep(d.next, now, patience)
	if !d.final && (d.at <= patience && (d.looked || !j.Looks || j.opened > maxOpen) || !j.ExpectExact) {
		d.final = true
		if d.grade == rounded {
			if ts := j.taskstats(d, 0); ts != nil { // it came after its line
				j.refine(d, ts)
				floor := d.floor(ts)
				j.lift(d, &floor, sampled, ts)
			}
		}
		j.lift(d, &d.estimate, d.grade, nil)
		j.countJoined(d)
	}
	if d.final && (now.Sub(d.at) > j.OpenFor || j.opened > maxOpen || !j.ExpectExact) {
		next := d.next
		j.opened--
		j.release(d)
		return next
	}
	return d
}

// EndBoot settles the deaths of a boot that is over, as over tells of them: no exact
// record of one comes any more, and those of the next boot may have the same pid and
// start.
func (j *Join) EndBoot(over func(groups.Key) bool) {
	for pid := range j.open {
		var next *death
		for d := j.open[pid]; d != nil; d = next {
			if next = d.next; !over(d.key) {
				continue
			}
			if !d.final {
				j.lift(d, &d.estimate, d.grade, nil)
				j.countJoined(d)
			}
			j.unwait(d)
			j.release(d)
		}
	}
}

// correct applies an exact record to a death that was charged before.
func (j *Join) correct(r *acct.Record) bool {
	var d *death
	for o := j.open[r.PID]; o != nil; o = o.next { // of those off alike the first charged
		if off := o.off(r); off >= 0 && (d == nil || off <= d.off(r)) {
			d = o
		}
	}
	if d == nil {
		return false
	}
	if d.final && !d.told {
		j.Joined.Late++
	}
	m := d.perfect(r)
	j.lift(d, &m, exact, r)
	if !d.final {
		j.countJoined(d)
	}
	j.unwait(d)
	j.release(d)
	return true
}

// Unsettled calls f for every death charged at or before the given time that
// still waits for its exact record, until f returns false.
func (j *Join) Unsettled(before clock.Boot, f func(groups.Key, groups.SetID) bool) {
	for _, d := range j.open {
		for ; d != nil; d = d.next {
			if !d.final && d.at <= before && !f(d.key, d.set) {
				return
			}
		}
	}
}

// Found is what a look at a process that ended found.
type Found uint8

const (
	// Gone: it was waited for, so that its exact record comes or was lost.
	Gone Found = iota
	// Standing: it is dead and nobody waited for it. Its CPU clock stands still.
	Standing
	// Ending: it is on its way.
	Ending
	// Enough: it was not looked at, and no more are to be named.
	Enough
)

// endingFor is how long a death is looked at again that has not come to its end.
const endingFor = 10 * time.Second

// Look names every death charged at or before the given time that waits for its
// exact record and was not looked at. One whose process is found dead and not waited
// for gets the CPU that the scheduler measured of it; the record, when it comes, adds
// what else it knows.
func (j *Join) Look(before, now clock.Boot, f func(groups.Key) (cpu time.Duration, found Found)) {
	for _, d := range j.open {
		for ; d != nil; d = d.next {
			if d.final || d.looked || d.at > before {
				continue
			}
			cpu, found := f(d.key)
			if found == Enough {
				return
			}
			d.looked = found != Ending || now.Sub(d.at) > endingFor
			if found == Standing {
				d.final, d.standing = true, true
				m := d.estimate
				m.setCPU(cpu)
				j.lift(d, &m, exact, nil)
				j.countJoined(d)
			}
		}
	}
}
