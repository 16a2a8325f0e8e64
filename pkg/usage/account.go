// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"time"

	"elsa/pkg/groups"
)

// Sample says what the live process key, of the given set, used so far. A sample
// that is lower than one before changes nothing, field by field. It reports
// whether anything changed.
func (j *Join) Sample(key groups.Key, set groups.SetID, m *Measure) bool {
	acc := j.account(key, set)
	more := m.beyond(&acc.last)
	acc.last.add(&more)
	j.liveIn(set).add(&more)
	for f, n := range m {
		if peaks[f] && n > j.at(set)[f] {
			j.set(set)[f] = n
		}
	}
	more.dropPeaks()
	return more != Measure{}
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
		j.split(c.Life.Key(), acc, c.To)
		return
	}
	part := acc.last.beyond(&acc.base)
	j.liveIn(acc.set).sub(&part)
	j.liveIn(c.To).add(&part)
	acc.set = c.To
}

// account returns the account of a process. Where it turns out to be in another
// set than it was, what was shown stays there: no bill falls.
func (j *Join) account(key groups.Key, set groups.SetID) *account {
	acc := j.accounts[key]
	if acc == nil {
		acc = &account{set: set}
		j.accounts[key] = acc
	}
	if acc.set != set {
		j.split(key, acc, set)
	}
	return acc
}

// split bills what an account shows as live to the set it is in, and goes on in
// another.
func (j *Join) split(key groups.Key, acc *account, set groups.SetID) {
	part := acc.last.beyond(&acc.base)
	j.liveIn(acc.set).sub(&part)
	part.dropPeaks()
	j.billPart(key, acc.set, &part)
	j.billed += part.CPU()
	was := acc.base
	acc.base, acc.set = acc.last, set
	acc.last.dropPeaks() // the peak that was is not the new set's
	for f, n := range was {
		if peaks[f] {
			acc.base[f] = max(acc.base[f], n)
		}
	}
}

func (j *Join) dropAccount(key groups.Key, acc *account) {
	part := acc.last.beyond(&acc.base)
	j.liveIn(acc.set).sub(&part)
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
		switch to, ok := moved[acc.set]; {
		case !ok:
		case to == groups.Ungrouped:
			j.split(key, acc, to)
		default:
			part := acc.last.beyond(&acc.base)
			j.liveIn(acc.set).sub(&part)
			j.liveIn(to).add(&part)
			acc.set = to
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

// Conservation is the CPU on all bills of ended processes over the CPU the
// kernel reported for them, by its best word: 1 when nothing is lost and nothing
// counted twice. It is above 1 where an estimate was charged and the exact record,
// which came too late, says less: a counter takes nothing back.
func (j *Join) Conservation() float64 {
	var sum time.Duration
	for i := range j.sets {
		sum += j.sets[i].CPU()
	}
	if j.Reported <= 0 {
		return 1
	}
	return float64(sum-j.billed) / float64(j.Reported)
}
