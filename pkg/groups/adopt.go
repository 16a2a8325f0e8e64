// SPDX-License-Identifier: Apache-2.0

package groups

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

// forsake lets go of the children that wait for parent, and returns them.
func (t *Tracker) forsake(parent int32) []Key {
	kids, ok := t.waiting[parent]
	if ok {
		t.waits -= len(kids)
		delete(t.waiting, parent)
	}
	return kids
}

// settle gives the children that waited for pid their set, and theirs.
func (t *Tracker) settle(pid int32, e *entry) {
	if e.flags&unproven != 0 {
		return // its own parent is still unknown; it is settled with it
	}
	for _, k := range t.forsake(pid) {
		if c := t.table.get(k.PID); c != nil && c.start == k.Start && c.flags&unproven != 0 {
			t.assign(k.PID, c, e.set, e.flags&inferred)
		}
	}
}

// confirm takes the fork event of a process that a scan of /proc found before.
// The event names the parent it had then; /proc may have shown its reaper.
func (t *Tracker) confirm(pid int32, e *entry, parent int32) {
	k := Key{pid, e.start}
	if e.flags&unproven != 0 {
		t.unwait(e.ppid, k)
	}
	e.ppid = parent
	e.flags &^= scanned
	set, flags := t.heritage(parent)
	switch {
	case e.flags&(inferred|unproven) == 0:
		// It was there before events were, or the administrator placed it.
	case flags&unproven == 0:
		t.assign(pid, e, set, flags)
	case e.flags&unproven != 0:
		t.await(parent, k)
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
		t.settle(pid, e)
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
