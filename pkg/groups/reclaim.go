// SPDX-License-Identifier: Apache-2.0

package groups

// InUse marks the sets that anything refers to. The zero value has none; Ungrouped
// and Unattributed are always in use.
type InUse struct{ marks []bool }

// Mark says that a set is referred to.
func (u *InUse) Mark(id SetID) {
	if n := int(id) + 1 - len(u.marks); n > 0 {
		u.marks = append(u.marks, make([]bool, n)...)
	}
	u.marks[id] = true
}

// Has reports whether a set is referred to.
func (u *InUse) Has(id SetID) bool {
	return !id.Grouped() || int(id) < len(u.marks) && u.marks[id]
}

// Clear takes all marks away.
func (u *InUse) Clear() { clear(u.marks) }

// Turnover counts the sets made and retired since the last Reclaim: at most so many
// can have fallen out of use.
func (s *Sets) Turnover() int { return s.turnover }

// Reclaim forgets every set that is not in use. New sets get its id from now on, so
// nothing may refer to it: no process, living or dead, no bill, no cell of the
// history, and nothing that is stored. Where memory and the database agree, just
// after a transaction, what is not in use in memory is not in the database either.
// Forgotten sets are told by TakeFresh as retired ones are.
func (s *Sets) Reclaim(used *InUse) {
	s.turnover, s.free = 0, s.free[:0]
	end := len(s.groups)
	for end > int(firstSet) && !used.Has(SetID(end-1)) {
		end--
	}
	for id := SetID(len(s.groups)) - 1; id >= firstSet; id-- {
		if used.Has(id) {
			continue
		}
		if s.groups[id] != nil {
			s.drop(id)
		}
		if int(id) < end {
			s.free = append(s.free, id)
		}
	}
	s.turnover = 0
	s.groups = Cut(s.groups, end)
}

// Cut shortens a slice that is kept by SetID to n at most, and gives back memory
// that is much more than that needs.
func Cut[T any](all []T, n int) []T {
	if n >= len(all) {
		return all
	}
	if cap(all) > 4*n+1024 {
		return append(make([]T, 0, n+n/4), all[:n]...)
	}
	clear(all[n:])
	return all[:n]
}

// MarkSets marks the sets of all processes.
func (t *Tracker) MarkSets(used *InUse) {
	t.table.all(func(_ int32, e *entry) { used.Mark(e.set) })
	for _, lives := range t.older {
		for i := range lives {
			used.Mark(lives[i].Set)
		}
	}
	for id := range t.sets {
		if t.sets[id] != (tally{}) {
			used.Mark(SetID(id))
		}
	}
}

// Reclaim lets go of what is kept of sets that are not in use.
func (t *Tracker) Reclaim(used *InUse) {
	t.Sets.Reclaim(used)
	t.sets = Cut(t.sets, t.Sets.Len())
}
