// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"slices"

	"elsa/pkg/groups"
)

// MarkSets marks the sets that were billed or may be: those of live accounts and of
// deaths that wait for their exact record, and the one that the history has such a
// death in.
func (j *Join) MarkSets(used *groups.InUse) {
	for _, acc := range j.accounts {
		used.Mark(acc.cell.Set)
	}
	for _, d := range j.open {
		for ; d != nil; d = d.next {
			used.Mark(d.set)
			used.Mark(d.cell.Set)
		}
	}
	for id := range j.sets {
		if j.sets[id] != (Usage{}) {
			used.Mark(groups.SetID(id))
		}
	}
}

// PassOnPeaks takes the peaks off the bills of sets that were billed nothing else
// and whose processes, by the marks in used, are gone, so that these sets can be
// forgotten. A group's peak is the largest of its sets', so the set of that group
// alone takes it over, for each of the groups.
func (j *Join) PassOnPeaks(sets *groups.Sets, used *groups.InUse) {
	for id := range j.sets {
		set, peak := groups.SetID(id), j.sets[id][MaxRSS]
		gs := sets.Groups(set)
		if len(gs) < 2 || peak == 0 || used.Has(set) || j.sets[id] != (Usage{MaxRSS: peak}) {
			continue
		}
		for _, g := range gs {
			if alone := sets.Only(g); j.at(alone)[MaxRSS] < peak {
				j.set(alone)[MaxRSS] = peak
			}
		}
		*j.set(set) = Usage{}
	}
}

// Waiting counts the deaths that wait for their exact record.
func (j *Join) Waiting() int { return j.opened }

// Reclaim lets go of what is kept of sets that are not in use; see
// [groups.Sets.Reclaim]. n is one more than the largest SetID there is.
func (j *Join) Reclaim(used *groups.InUse, n int) {
	for id := range j.live {
		if !used.Has(groups.SetID(id)) {
			j.live[id] = Measure{} // a peak, at most
		}
	}
	j.changed = slices.DeleteFunc(j.changed, func(id groups.SetID) bool { return int(id) >= n })
	j.sets, j.dirty, j.live = groups.Cut(j.sets, n), groups.Cut(j.dirty, n), groups.Cut(j.live, n)
}
