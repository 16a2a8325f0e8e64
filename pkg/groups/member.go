// SPDX-License-Identifier: Apache-2.0

package groups

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
	return t.change(pid, func(set SetID) SetID {
		if move {
			return t.Sets.Only(gid)
		}
		return t.Sets.With(set, gid)
	})
}

// Remove takes the live process pid out of group gid.
func (t *Tracker) Remove(pid int32, gid uint32) (c Change, ok bool) {
	return t.change(pid, func(set SetID) SetID { return t.Sets.Without(set, gid) })
}

func (t *Tracker) change(pid int32, to func(SetID) SetID) (Change, bool) {
	e := t.table.get(pid)
	if e == nil || e.state == dead || e.state == reaped {
		return Change{}, false
	}
	c := Change{Life: t.lifeOf(pid, e), From: e.set, To: to(e.set)}
	if c.From == c.To {
		return c, true
	}
	e.flags &^= unproven | inferred // the administrator says so
	if e.state == live {
		t.starts[c.To]++
	}
	t.place(pid, e, c.To)
	return c, true
}

// Descendants returns the live descendants of pid, itself not included, by the
// parents named at fork and, for processes found in /proc, there.
func (t *Tracker) Descendants(pid int32) []int32 {
	children := map[int32][]int32{}
	t.table.all(func(c int32, e *entry) {
		if e.state != live {
			return
		}
		if p := t.table.get(e.ppid); p != nil && p.start <= e.start+startSlack {
			children[e.ppid] = append(children[e.ppid], c)
		}
	})
	var tree []int32
	seen := map[int32]bool{pid: true}
	for queue := []int32{pid}; len(queue) > 0; queue = queue[1:] {
		for _, c := range children[queue[0]] {
			if !seen[c] {
				seen[c] = true
				tree = append(tree, c)
				queue = append(queue, c)
			}
		}
	}
	return tree
}

// DropGroup takes every process out of group gid, living and dead, and returns
// which set takes the place of which. Usage must be merged the same way.
func (t *Tracker) DropGroup(gid uint32) map[SetID]SetID {
	moved := t.Sets.DropGroup(gid)
	if len(moved) == 0 {
		return moved
	}
	t.table.all(func(pid int32, e *entry) {
		if to, ok := moved[e.set]; ok {
			t.place(pid, e, to)
		}
	})
	for _, lives := range t.older {
		for i := range lives {
			if to, ok := moved[lives[i].Set]; ok {
				lives[i].Set = to
				lives[i].stored = false
			}
		}
	}
	for from, to := range moved {
		t.starts[to] += t.starts[from]
		delete(t.starts, from)
	}
	return moved
}

// touch queues a life for TakeChanged.
func (t *Tracker) touch(pid int32, e *entry) {
	if e.flags&dirty == 0 {
		e.flags |= dirty
		t.changed = append(t.changed, pid)
	}
}

// Touch queues the life of key for TakeChanged, because its account changed.
func (t *Tracker) Touch(k Key) {
	if e := t.table.get(k.PID); e != nil && e.start == k.Start {
		t.touch(k.PID, e)
	}
}

// TouchAll queues every life for TakeChanged, for a store that was emptied.
func (t *Tracker) TouchAll() {
	t.table.all(func(pid int32, e *entry) {
		e.flags &^= stored
		t.touch(pid, e)
	})
	for _, lives := range t.older {
		for i := range lives {
			lives[i].stored = false
		}
	}
	t.gone = t.gone[:0]
}

// Changed reports whether TakeStarts or TakeChanged have anything to tell.
func (t *Tracker) Changed() bool {
	return len(t.starts) > 0 || len(t.changed) > 0 || len(t.gone) > 0 || len(t.Sets.fresh) > 0
}

// Stray counts a process that nobody knew into a set, before its death is
// charged there.
func (t *Tracker) Stray(set SetID) { t.starts[set]++ }

// TakeChanged tells what the store must know to survive a crash: put is called
// for every life in a set, or noted, that is new or changed since the last call;
// del for those that are over. A process that came and went in between costs
// nothing.
func (t *Tracker) TakeChanged(put func(Life), del func(Key)) {
	for _, k := range t.gone {
		del(k)
	}
	t.gone = t.gone[:0]
	for _, pid := range t.changed {
		e := t.table.get(pid)
		if e == nil || e.flags&dirty == 0 {
			continue
		}
		e.flags &^= dirty
		switch keep := (e.state == live || e.state == dead) && (e.set != Ungrouped || e.flags&noted != 0); {
		case keep:
			e.flags |= stored
			put(t.lifeOf(pid, e))
		case e.flags&stored != 0:
			e.flags &^= stored
			del(Key{pid, e.start})
		}
	}
	t.changed = t.changed[:0]
	for _, lives := range t.older {
		for i := range lives {
			if l := &lives[i]; !l.stored && (l.Set != Ungrouped || l.Noted) {
				l.stored = true
				put(*l)
			}
		}
	}
}

// Restore puts back a life that the store kept. It is live when alive says so;
// else it died unseen and awaits its record.
func (t *Tracker) Restore(l Life, threads int32, alive bool) {
	if !alive {
		l.stored = true
		t.older[l.PID] = append(t.older[l.PID], l)
		t.deaths = append(t.deaths, death{l.Key(), t.epoch})
		return
	}
	if e := t.table.get(l.PID); e != nil {
		t.evict(l.PID, e, l.Start)
	}
	e := t.table.put(l.PID)
	e.start, e.ppid, e.set, e.state, e.flags = l.Start, l.PPID, l.Set, live, stored
	e.threads = otherThreads(threads)
	for flag, on := range map[uint8]bool{inferred: l.Inferred, unproven: l.Unproven, noted: l.Noted} {
		if on {
			e.flags |= flag
		}
	}
	t.count(l.Set, +1)
}

func (t *Tracker) dropOlder(pid int32, i int) {
	lives := t.older[pid]
	if lives[i].stored {
		t.gone = append(t.gone, lives[i].Key())
	}
	if len(lives) == 1 {
		delete(t.older, pid)
		return
	}
	t.older[pid] = append(lives[:i:i], lives[i+1:]...)
}
