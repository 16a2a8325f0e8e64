// SPDX-License-Identifier: Apache-2.0

package groups

import (
	"cmp"
	"slices"

	"elsa/pkg/clock"
)

// touch queues a life for TakeChanged, if the store has or wants it.
func (t *Tracker) touch(pid int32, e *entry) {
	if e.flags&dirty == 0 && (e.set != Ungrouped || e.flags&(hasAccount|stored) != 0) {
		e.flags |= dirty
		t.changed = append(t.changed, pid)
	}
}

// KeepAccount queues the life of key for TakeChanged, because the account that the join
// keeps of it changed. It is kept for it in whichever set it comes to be.
func (t *Tracker) KeepAccount(k Key) {
	if e := t.table.get(k.PID); e != nil && e.start == k.Start {
		e.flags |= hasAccount
		t.touch(k.PID, e)
	}
}

// TouchAll queues every life for TakeChanged, in order of the pids, for a store that
// was emptied.
func (t *Tracker) TouchAll() {
	t.changed = t.changed[:0]
	t.table.all(func(pid int32, e *entry) {
		e.flags &^= stored | dirty
		t.touch(pid, e)
	})
	for _, lives := range t.older {
		for i := range lives {
			lives[i].stored, lives[i].dirty = false, true
			t.outdated = true
		}
	}
	t.gone = t.gone[:0]
}

// Changed reports whether TakeStarts or TakeChanged have anything to tell.
func (t *Tracker) Changed() bool {
	return len(t.begun) > 0 || len(t.changed) > 0 || len(t.gone) > 0 || t.outdated || len(t.Sets.fresh) > 0
}

// TakeChanged tells what the store must know to survive a crash: put is called
// for every life in a set, or hasAccount, that is new or changed since the last call;
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
		switch keep := (e.state == live || e.state == dead) && (e.set != Ungrouped || e.flags&hasAccount != 0); {
		case keep:
			e.flags |= stored
			put(t.lifeOf(pid, e))
		case e.flags&stored != 0:
			e.flags &^= stored
			del(Key{pid, e.start})
		}
	}
	t.changed = t.changed[:0]
	if !t.outdated {
		return
	}
	t.outdated = false
	for _, lives := range t.older {
		for i := range lives {
			l := &lives[i]
			if !l.dirty {
				continue
			}
			l.dirty = false
			switch keep := !l.task && (l.Set != Ungrouped || l.HasAccount); {
			case keep:
				l.stored = true
				put(*l)
			case l.stored:
				l.stored = false
				del(l.Key())
			}
		}
	}
}

// Restore puts back a life that the store kept. It is live when alive says so;
// else it died unseen and awaits its record.
func (t *Tracker) Restore(l Life, threads int32, alive bool) {
	if !alive {
		l.stored = true
		lives := append(t.older[l.PID], l)
		slices.SortFunc(lives, func(a, b Life) int { return cmp.Compare(a.Start, b.Start) })
		t.older[l.PID] = lives
		t.awaiting++
		t.expect(l.Key())
		return
	}
	if e := t.table.get(l.PID); e != nil {
		t.evict(l.PID, e, l.Start.Boot())
	}
	e := t.table.put(l.PID)
	e.start, e.ppid, e.set, e.state, e.flags = l.Start, l.PPID, l.Set, live, stored
	e.threads = otherThreads(threads)
	fromProc := l.Start.Grain() == clock.Tick // its fork event may still be queued
	for flag, on := range map[uint8]bool{inferred: l.Inferred, unproven: l.Unproven, hasAccount: l.HasAccount, scanned: fromProc} {
		if on {
			e.flags |= flag
		}
	}
	t.count(l.Set, +1)
}
