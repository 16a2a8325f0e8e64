// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"time"

	"elsa/pkg/groups"
)

// Sample says what a live process used so far, and in which cell of the history that
// is: of the hour it is now, its set, user and command. With the first sample in a new
// hour, what it had used by the last one before is put on bills, in the hour of that.
// A sample that is lower than one before changes nothing, field by field. Sample
// reports whether what is to be stored changed.
func (j *Join) Sample(key groups.Key, c Cell, m *Measure) bool {
	acc := j.account(key, c.Set)
	billed := acc.cell.Hour < c.Hour && j.closeHour(key, 0, acc)
	if acc.cell != c {
		j.leave(acc)
		acc.cell = c
		j.enter(acc)
	}
	more := m.beyond(&acc.last)
	acc.last.add(&more)
	j.liveIn(c.Set).add(&more)
	j.living[c].add(&more)
	for f, n := range m {
		if peaks[f] && n > j.at(c.Set)[f] {
			j.set(c.Set)[f] = n
		}
	}
	more.dropPeaks()
	return billed || more != Measure{}
}

// closeHour bills what a process used since it was billed last, in the hour of its last
// sample. It reports whether that was anything. See billPart for forker.
func (j *Join) closeHour(key groups.Key, forker int32, acc *account) bool {
	part := acc.last.beyond(&acc.base)
	sums := part
	if sums.dropPeaks(); sums == (Measure{}) {
		return false
	}
	j.leave(acc)
	j.billPart(key, forker, &acc.cell, &part)
	j.billed += part.CPU()
	for f, n := range acc.last {
		if !peaks[f] {
			acc.base[f] = n
		}
	}
	j.enter(acc)
	return true
}

// Living calls f with what live processes used that is not billed yet, by the cell of
// the history it will be put in if nothing else happens. Together with what was told
// to [Join.Roll] it is what is on the bills of the sets. f must not keep the measure.
func (j *Join) Living(f func(*Cell, *Measure)) {
	for c, l := range j.living {
		if l.Measure != (Measure{}) {
			f(&c, &l.Measure)
		}
	}
}

// living is what live processes of one cell used since they were billed last.
type living struct {
	Measure
	processes int
}

// enter shows what an account has since its base as live, and leave no more.
func (j *Join) enter(acc *account) {
	part := acc.last.beyond(&acc.base)
	j.liveIn(acc.cell.Set).add(&part)
	l := j.living[acc.cell]
	if l == nil {
		l = new(living)
		j.living[acc.cell] = l
	}
	l.add(&part)
	l.processes++
}

func (j *Join) leave(acc *account) {
	part := acc.last.beyond(&acc.base)
	j.liveIn(acc.cell.Set).sub(&part)
	l := j.living[acc.cell]
	l.sub(&part)
	if l.processes--; l.processes == 0 {
		delete(j.living, acc.cell)
	}
}

// Peak says, at the end of a process, how much memory the program it executed last
// had resident at most, in bytes; zero says nothing. Of a process without an account
// all memory is its set's, and the records tell it.
func (j *Join) Peak(key groups.Key, bytes uint64) {
	if acc := j.accounts[key]; acc != nil {
		acc.peak = bytes
	}
}

// Move splits the bill of a live process: what it used up to its last sample
// stays with the set it was in, and what comes goes to the set it is in now.
// With whole, all that was not billed before goes to the new set.
func (j *Join) Move(c groups.Change, whole bool) {
	acc := j.account(c.Life.Key(), c.From)
	if !whole {
		j.split(c.Life.Key(), 0, acc, c.To)
		return
	}
	j.leave(acc)
	acc.cell.Set = c.To
	j.enter(acc)
}

// account returns the account of a process. Where it turns out to be in another
// set than it was, what was shown stays there: no bill falls.
func (j *Join) account(key groups.Key, set groups.SetID) *account {
	acc := j.accounts[key]
	if acc == nil {
		acc = &account{cell: Cell{Set: set, UID: UnknownUID, Comm: Unknown}}
		j.accounts[key] = acc
		j.enter(acc)
	}
	if acc.cell.Set != set {
		j.split(key, 0, acc, set)
	}
	return acc
}

// split bills what an account shows as live to the set it is in, and goes on in
// another. See billPart for forker.
func (j *Join) split(key groups.Key, forker int32, acc *account, set groups.SetID) {
	part := acc.last.beyond(&acc.base)
	j.leave(acc)
	part.dropPeaks()
	j.billPart(key, forker, &acc.cell, &part)
	j.billed += part.CPU()
	was := acc.base
	acc.base, acc.cell.Set = acc.last, set
	acc.last.dropPeaks() // the peak that was is not the new set's
	for f, n := range was {
		if peaks[f] {
			acc.base[f] = max(acc.base[f], n)
		}
	}
	j.enter(acc)
}

func (j *Join) dropAccount(key groups.Key, acc *account) {
	j.leave(acc)
	j.billed -= acc.base.CPU()
	delete(j.accounts, key)
}

func (j *Join) liveIn(set groups.SetID) *Measure {
	for int(set) >= len(j.live) {
		j.live = append(j.live, Measure{})
	}
	return &j.live[set]
}

// set returns the usage of a set for changing.
func (j *Join) set(id groups.SetID) *Usage {
	j.reach(id)
	if !j.dirty[id] {
		j.dirty[id] = true
		j.changed = append(j.changed, id)
	}
	return &j.sets[id]
}

func (j *Join) reach(id groups.SetID) {
	for int(id) >= len(j.sets) {
		j.sets = append(j.sets, Usage{})
		j.dirty = append(j.dirty, false)
	}
}

func (j *Join) at(set groups.SetID) Usage {
	if int(set) >= len(j.sets) {
		return Usage{}
	}
	return j.sets[set]
}

// Start counts n processes that came into a set.
func (j *Join) Start(set groups.SetID, n int64) { j.set(set)[Started] += uint64(n) }

// Total is a set's bill: ended and live.
func (j *Join) Total(set groups.SetID) Usage {
	u := j.at(set)
	if int(set) < len(j.live) {
		m := j.live[set]
		m.dropPeaks()
		u.AddMeasure(&m)
	}
	return u
}

// Merge adds up the bills of sets of which one takes the other's place. What live
// processes used goes along and is still theirs: moved with their whole life, they
// take it to the next set. Where no group is left, what was used until now goes on
// the bill of the set former, and what is used from now on to no group: the bills
// of all groups together do not fall.
func (j *Join) Merge(moved map[groups.SetID]groups.SetID, former groups.SetID) {
	for key, acc := range j.accounts {
		switch to, ok := moved[acc.cell.Set]; {
		case !ok:
		case to == groups.Ungrouped:
			j.split(key, 0, acc, to)
		default:
			j.leave(acc)
			acc.cell.Set = to
			j.enter(acc)
		}
	}
	bill := func(from groups.SetID) (to groups.SetID, ok bool) {
		if to, ok = moved[from]; to == groups.Ungrouped {
			to = former
		}
		return to, ok
	}
	for from := range moved {
		u := j.at(from)
		to, _ := bill(from)
		j.set(to).Add(&u)
		*j.set(from) = Usage{}
	}
	for _, d := range j.open {
		for ; d != nil; d = d.next {
			if to, ok := bill(d.set); ok {
				d.set = to
			}
		}
	}
}

// EndedCPU is the CPU on all bills of ended processes, what they used before this join
// was made included.
func (j *Join) EndedCPU() time.Duration {
	var sum time.Duration
	for i := range j.sets {
		sum += j.sets[i].CPU()
	}
	return sum - j.billed
}

// Conservation is EndedCPU over the CPU the kernel reported for them, by its best word,
// and what the machine ran that was reported of nobody: 1 when nothing is lost and
// nothing counted twice. It is above 1 where an estimate was charged and the exact
// record, which came too late, says less: a counter takes nothing back.
func (j *Join) Conservation(unaccounted time.Duration) float64 {
	all := j.Reported + unaccounted
	if all <= 0 {
		return 1
	}
	return float64(j.EndedCPU()) / float64(all)
}
