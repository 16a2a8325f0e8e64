// SPDX-License-Identifier: Apache-2.0

package groups

import "slices"

// Change is a process that went from one set to another at the administrator's
// wish. Its bill is split there.
type Change struct {
	Life     Life // as before
	From, To SetID
}

// Add puts the live process pid into group gid, beside the groups it is in or,
// with move, instead of them. ok is false when there is no such process; a
// process that is in already is no change.
func (t *Tracker) Add(pid int32, gid uint32, move bool) (c Change, ok bool) {
	return t.change(pid, gid, func(set SetID) SetID {
		if move {
			return t.Sets.Only(gid)
		}
		return t.Sets.With(set, gid)
	})
}

// Remove takes the live process pid out of group gid.
func (t *Tracker) Remove(pid int32, gid uint32) (c Change, ok bool) {
	return t.change(pid, gid, func(set SetID) SetID { return t.Sets.Without(set, gid) })
}

func (t *Tracker) change(pid int32, gid uint32, to func(SetID) SetID) (Change, bool) {
	e := t.table.get(pid)
	if e == nil || e.state == dead || e.state == recorded {
		return Change{}, false
	}
	c := Change{Life: t.lifeOf(pid, e), From: e.set, To: to(e.set)}
	if c.From == c.To {
		return c, true
	}
	// From now on the administrator's word counts; the children that waited for
	// this process were born before it.
	if e.flags&unproven != 0 {
		t.unwait(e.ppid, c.Life.Key())
	}
	t.takeWaiting(pid, e.start, forever)
	e.flags &^= unproven
	if !t.Sets.Has(c.From, gid) {
		if len(t.Sets.Groups(c.To)) == 1 {
			e.flags &^= inferred
		}
		t.arrive(e, t.Sets.Only(gid)) // new in this group, not in its others
	} else if c.To == Ungrouped {
		t.arrive(e, Ungrouped)
	}
	t.place(pid, e, c.To)
	return c, true
}

// arrive counts a process that the administrator put into a set.
func (t *Tracker) arrive(e *entry, set SetID) {
	if e.state == live {
		t.start(set)
	}
}

// Descendants returns the live descendants of processes, themselves not included,
// by the parents named at fork and, for processes found in /proc, there. The line
// is broken where an ancestor's record was read already. It walks over all
// processes once, however many are named.
func (t *Tracker) Descendants(pids ...int32) []int32 {
	children := map[int32][]int32{}
	t.table.all(func(c int32, e *entry) {
		if p := t.table.get(e.ppid); p != nil && p.start.MayFork(e.start) {
			children[e.ppid] = append(children[e.ppid], c)
		}
	})
	var tree []int32
	seen := make(map[int32]bool, len(pids))
	for _, pid := range pids {
		seen[pid] = true
	}
	for queue := slices.Clone(pids); len(queue) > 0; queue = queue[1:] {
		for _, c := range children[queue[0]] {
			if seen[c] {
				continue
			}
			seen[c] = true
			queue = append(queue, c)
			if t.table.get(c).state == live {
				tree = append(tree, c)
			}
		}
	}
	return tree
}

// DropGroup takes every process out of group gid, living and dead, and returns
// which set takes the place of which. Usage must be merged the same way. Those that
// are left in no group have an account: what they used until now is billed.
func (t *Tracker) DropGroup(gid uint32) map[SetID]SetID { return t.replace(t.Sets.DropGroup(gid)) }

// MergeGroup puts every process of group from, living and dead, in group into, and
// returns which set takes the place of which. Usage must be merged the same way.
func (t *Tracker) MergeGroup(from, into uint32) map[SetID]SetID {
	return t.replace(t.Sets.MergeGroup(from, into))
}

// replace puts what is in retired sets in those that take their place.
func (t *Tracker) replace(moved map[SetID]SetID) map[SetID]SetID {
	if len(moved) == 0 {
		return moved
	}
	t.table.all(func(pid int32, e *entry) {
		if to, ok := moved[e.set]; ok {
			if to == Ungrouped {
				e.flags |= hasAccount
			}
			t.place(pid, e, to)
		}
	})
	for _, lives := range t.older {
		for i := range lives {
			if to, ok := moved[lives[i].Set]; ok {
				lives[i].Set = to
				lives[i].HasAccount = lives[i].HasAccount || to == Ungrouped
				lives[i].dirty, t.outdated = true, true
			}
		}
	}
	for from, to := range moved {
		if n := t.tally(from).starts; n > 0 {
			t.start(to)
			t.sets[to].starts += n - 1
			t.sets[from].starts = 0
		}
	}
	return moved
}
