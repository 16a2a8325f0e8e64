// SPDX-License-Identifier: Apache-2.0

package groups

import "slices"

// Scanned is a process as a snapshot of /proc shows it.
type Scanned struct {
	PID, PPID int32
	Start     int64 // ns, CLOCK_BOOTTIME, truncated to 10 ms
	Threads   int32 // live threads, the leader included
	Zombie    bool  // its last thread exited and nobody waited for it yet
}

// Resync makes the tracker agree with a complete snapshot of /proc. now is the
// time of the snapshot; since is the last moment of which every event is known
// (zero: none, as at the very first start): what was born before since and is
// not known was in no group. What was born later takes its parent's set, marked
// as inferred; where its parent is gone too (the kernel shows the reaper in its
// place) it is unattributed. A known process that the snapshot lacks is given to
// gone, which must decide by a second proof, since one reading of /proc is not
// proof of absence.
func (t *Tracker) Resync(procs []Scanned, since, now int64, gone func(Key) bool) {
	procs = slices.Clone(procs)
	slices.SortFunc(procs, func(a, b Scanned) int {
		if a.Start != b.Start {
			return int(min(max(a.Start-b.Start, -1), 1))
		}
		return int(a.PID - b.PID)
	})
	there := make(map[int32]bool, len(procs))
	for i := range procs {
		p := &procs[i]
		there[p.PID] = true
		t.see(p, since, now)
	}
	var absent []Key
	t.table.all(func(pid int32, e *entry) {
		if (e.state == live || e.state == reaped) && !there[pid] {
			absent = append(absent, Key{pid, e.start})
		}
	})
	for _, k := range absent {
		if !gone(k) {
			continue
		}
		if e := t.table.get(k.PID); e.state == live {
			t.die(k.PID, e, now)
		} else {
			t.free(k.PID, e)
		}
	}
	for parent := range t.waiting {
		if t.table.get(parent) == nil {
			delete(t.waiting, parent) // it is dead: nothing will tell
		}
	}
}

func (t *Tracker) see(p *Scanned, since, now int64) {
	if p.PID <= 0 || p.PID > maxPID {
		t.Ignored++
		return
	}
	e := t.table.get(p.PID)
	if e != nil && e.start-p.Start < startSlack && p.Start-e.start < startSlack {
		e.threads = otherThreads(p.Threads)
		if e.state == task {
			e.state = live
			t.enter(p.PID, e)
		}
		if p.Zombie && e.state == live {
			t.die(p.PID, e, now)
			return
		}
		if e.flags&unproven != 0 {
			if set, flags, known := t.heritage(p.PPID); known && flags&unproven == 0 && p.PPID != e.ppid {
				t.adopt(p.PID, e, set, flags|inferred)
			}
		}
		return
	}
	if p.Zombie && p.Start < since {
		return // its record is older than all we account for
	}
	set, flags := Ungrouped, uint8(0)
	if p.Start >= since && since > 0 {
		set, flags = t.infer(p)
	}
	if e != nil {
		t.evict(p.PID, e, now)
	}
	e = t.table.put(p.PID)
	e.start, e.ppid, e.set, e.state = p.Start, p.PPID, set, live
	e.flags = flags | scanned
	e.threads = otherThreads(p.Threads)
	if flags&unproven != 0 {
		t.await(p.PPID, Key{p.PID, p.Start})
	}
	if p.Start < since {
		// It was counted when it was first seen; only its place is new.
		t.count(set, +1)
	} else {
		t.enter(p.PID, e)
	}
	t.settle(p.PID, e)
	if p.Zombie {
		t.die(p.PID, e, now)
	}
}

func otherThreads(n int32) uint16 { return uint16(min(max(n-1, 0), 1<<16-1)) }

// infer finds the set of a process whose fork was not seen, by its parent.
func (t *Tracker) infer(p *Scanned) (SetID, uint8) {
	if p.PPID == 0 || p.PPID == 2 {
		return Ungrouped, 0 // init and the kernel's own threads
	}
	parent := t.table.get(p.PPID)
	if p.PPID == 1 || parent == nil || parent.start > p.Start+startSlack {
		return Unattributed, unproven
	}
	return parent.set, parent.flags&unproven | inferred
}

// await remembers that the process k waits for its parent's event.
func (t *Tracker) await(parent int32, k Key) {
	if len(t.waiting) < maxWaiting {
		t.waiting[parent] = append(t.waiting[parent], k)
	}
}

// settle gives the children that waited for pid their set, and theirs.
func (t *Tracker) settle(pid int32, e *entry) {
	if e.flags&unproven != 0 {
		return // its own parent is still unknown; it is settled with it
	}
	kids := t.waiting[pid]
	delete(t.waiting, pid)
	for _, k := range kids {
		if c := t.table.get(k.PID); c != nil && c.start == k.Start && c.flags&unproven != 0 {
			t.adopt(k.PID, c, e.set, e.flags&inferred)
		}
	}
}

// adopt puts a process of unproved membership where it belongs, and the
// children that wait for it.
func (t *Tracker) adopt(pid int32, e *entry, set SetID, flags uint8) {
	if flags&unproven != 0 {
		return
	}
	t.Adopted++
	e.flags = e.flags&^unproven | flags
	if e.state < task {
		t.starts[e.set]--
		t.starts[set]++
	}
	t.place(pid, e, set)
	t.settle(pid, e)
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
