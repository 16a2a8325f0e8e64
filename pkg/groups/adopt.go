// SPDX-License-Identifier: Apache-2.0

package groups

import (
	"time"

	"elsa/pkg/clock"
)

// maxWaiting bounds the children that wait for their parent. One that finds no
// place stays unattributed, which is how it is shown.
const maxWaiting = 1 << 16

// await remembers that the process k waits until the membership of its parent is
// known.
func (t *Tracker) await(parent int32, k Key) {
	if t.waits < maxWaiting {
		t.waiting[parent] = append(t.waiting[parent], k)
		t.waits++
	}
}

// unwait is for a process that ends before its parent is known.
func (t *Tracker) unwait(parent int32, k Key) {
	kids := t.waiting[parent]
	for i := range kids {
		if kids[i] != k {
			continue
		}
		t.waits--
		if len(kids) == 1 {
			delete(t.waiting, parent)
			return
		}
		kids[i] = kids[len(kids)-1]
		t.waiting[parent] = kids[:len(kids)-1]
		return
	}
}

// dropWaiters lets go of the children that wait for parent, and returns them.
func (t *Tracker) dropWaiters(parent int32) []Key {
	kids, ok := t.waiting[parent]
	if ok {
		t.waits -= len(kids)
		delete(t.waiting, parent)
	}
	return kids
}

// adoptWaiting gives the children that waited for pid their set, and theirs.
func (t *Tracker) adoptWaiting(pid int32, e *entry) {
	if e.flags&unproven != 0 {
		return // its own parent is still unknown; it is settled with it
	}
	from := e.start
	if t.NoExits {
		from = anyStart // what a task forks may be told before it is
	}
	t.adopt(pid, from, forever, e.set, e.flags&inferred)
}

// Waits reports whether children wait for a process with this pid.
func (t *Tracker) Waits(pid int32) bool { return len(t.waiting) > 0 && len(t.waiting[pid]) > 0 }

// Ended says that the process l, recorded by now, lived for so long by its record: the
// children that waited for one of its pid and were born in that time are its own.
// They are marked as inferred. coarse tells that lived is in hundredths of a second,
// as the ledger's lines have it. The pid may have been used again at once, and the
// next life's first children be born within that; those are not told apart.
func (t *Tracker) Ended(l Life, lived time.Duration, coarse bool) {
	if l.Unproven {
		return
	}
	t.adopt(l.PID, l.Start, l.Start.EndOf(lived, coarse), l.Set, inferred)
}

// What adopt and takeWaiting take for no bound.
const (
	anyStart = clock.Start(clock.Unknown)
	forever  = clock.Boot(1<<63 - 1)
)

// adopt gives the children that waited for pid, and were born after from and
// until to, a set. Those born before or after are another life's.
func (t *Tracker) adopt(pid int32, from clock.Start, to clock.Boot, set SetID, flags uint8) {
	kids := t.takeWaiting(pid, from, to)
	for _, k := range kids {
		if c := t.table.get(k.PID); c != nil && c.start == k.Start && c.flags&unproven != 0 {
			t.assign(k.PID, c, set, flags)
		}
	}
}

// takeWaiting lets go of the children that wait for pid and were born after from
// and until to, and returns them. The others go on waiting, before anything
// becomes of these: one of these may turn out to be the parent of the pid's next
// life, and that the parent of the others.
func (t *Tracker) takeWaiting(pid int32, from clock.Start, to clock.Boot) (kids []Key) {
	for _, k := range t.dropWaiters(pid) {
		if (from == anyStart || from.MayFork(k.Start)) && k.Start.Boot() <= to {
			kids = append(kids, k)
		} else {
			t.await(pid, k)
		}
	}
	return kids
}

// confirm takes the fork event of a process that a scan of /proc found before.
// The event names the parent it had then; /proc may have shown its reaper.
func (t *Tracker) confirm(pid int32, e *entry, parent Key, start clock.Start) {
	k := Key{pid, e.start}
	if e.flags&unproven != 0 {
		t.unwait(e.ppid, k)
	}
	e.ppid = parent.PID
	e.flags &^= scanned
	set, flags := t.inherit(parent, start)
	switch {
	case e.flags&(inferred|unproven) == 0:
		// It was there before events were, or the administrator placed it.
	case t.doubt && e.flags&unproven == 0 && !t.proves(parent):
		// What /proc showed is worth more than an event after loss.
	case flags&unproven == 0:
		t.assign(pid, e, set, flags)
		if t.doubt && !t.proves(parent) {
			e.flags |= doubtful
		}
	case e.flags&unproven != 0:
		t.await(parent.PID, k)
	}
}

// assign puts a process, which waits no more, where it turned out to belong, and
// the children that wait for it. flags tell how well that is known.
func (t *Tracker) assign(pid int32, e *entry, set SetID, flags uint8) {
	e.flags = e.flags&^(inferred|unproven) | flags
	if e.set != set && (e.state == live || e.state == dead) {
		t.restart(e.set, set)
	}
	t.place(pid, e, set)
	if flags&unproven == 0 {
		t.Adopted++
		t.adoptWaiting(pid, e)
	}
}

// place moves an entry to another set.
func (t *Tracker) place(pid int32, e *entry, set SetID) {
	if e.state == live {
		t.count(e.set, -1)
		t.count(set, +1)
	}
	e.set = set
	t.touch(pid, e)
}
