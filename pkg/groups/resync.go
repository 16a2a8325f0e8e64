// SPDX-License-Identifier: Apache-2.0

package groups

import (
	"cmp"
	"slices"

	"elsa/pkg/clock"
)

// Scanned is a process as a snapshot of /proc shows it.
type Scanned struct {
	PID, PPID int32
	Start     clock.Start
	Threads   int32 // live threads, the leader included
	Zombie    bool  // its last thread exited and nobody waited for it yet
	Headless  bool  // its leader exited, other threads live
	// Ending: its leader exits. Its children may have another parent already: the kernel
	// gives them away before the process looks dead (exit_notify in kernel/exit.c).
	Ending bool
}

// Resync makes the tracker agree with a complete snapshot of /proc. now is a
// time just before the snapshot was taken; since is the last moment of which every
// event is known (zero: none, as at the very first start): what was born before
// since and is not known was in no group. What was
// born later takes its parent's set, marked as inferred; where its parent is gone
// too (the kernel shows the reaper in its place) it is unattributed. A known
// process that the snapshot lacks is given to look, which must look again, since one
// reading of /proc is not proof of absence. look returns false for one that is dead,
// and one without threads if it could not look.
func (t *Tracker) Resync(procs []Scanned, since, now clock.Boot, look func(Key) (Scanned, bool)) {
	r := resync{Tracker: t, since: since, now: now, look: look, doubt: t.doubt, open: map[int32]bool{}}
	t.doubt = false
	for i := range procs {
		r.see(&procs[i])
	}
	r.endAbsent(procs)
	r.decide()
	for parent := range t.waiting {
		if t.table.get(parent) == nil && t.older[parent] == nil {
			t.dropWaiters(parent) // it is dead: nothing will tell
		}
	}
}

// resync is one run of Resync.
type resync struct {
	*Tracker
	since, now clock.Boot
	look       func(Key) (Scanned, bool)
	doubt      bool           // events were lost
	open       map[int32]bool // their sets are to be decided, or were
}

func (r *resync) see(p *Scanned) {
	if p.PID <= 0 || p.PID > maxPID {
		r.Ignored++
		return
	}
	if e := r.table.get(p.PID); e != nil {
		switch {
		case p.Start.Same(e.start):
			if !r.another(p, e) {
				r.matchKnown(p, e)
				return
			}
		case p.Start.Boot() < e.start.Boot():
			return // events were faster than the snapshot
		}
		r.evict(p.PID, e, p.Start.Boot())
	}
	late := r.since > 0 && p.Start.MayBeToldSince(r.since)
	if p.Zombie && (!late || p.Start.Boot() < r.since || r.awaits(p)) {
		// Its record is older than all we account for, or will come: one born
		// just before since may be on its bill already, and one that the store
		// kept awaits it.
		return
	}
	e := r.table.put(p.PID)
	e.start, e.ppid, e.state, e.flags = p.Start, p.PPID, live, scanned
	e.has(p)
	switch {
	case late:
		e.set, e.flags = Unattributed, scanned|unproven
		r.open[p.PID] = true
		r.enter(p.PID, e)
	case r.since > 0:
		// It was counted when it was first seen; only its place is new.
		r.count(e.set, +1)
		r.adoptWaiting(p.PID, e)
	default:
		r.enter(p.PID, e)
		r.adoptWaiting(p.PID, e)
	}
	if p.Zombie {
		r.die(p.PID, e, max(r.now, e.start.Boot()))
	}
}

// another tells that p is not the process of e, though their starts can be the
// same, by its parent: that is the one who forked it or, once that
// has died, an ancestor. Only after loss can there be one nobody told of.
func (r *resync) another(p *Scanned, e *entry) bool {
	if !r.doubt || p.PPID == e.ppid || e.ppid == 0 {
		return false
	}
	for pid, born := e.ppid, e.start; pid > 1; {
		a := r.table.get(pid)
		if a == nil || !a.start.MayFork(born) || born.MayFork(a.start) || a.ppid == pid {
			return false // who was an ancestor is not known
		}
		if pid == e.ppid && a.state == live {
			if now, alive := r.look(Key{pid, a.start}); alive && now.Threads > 0 && !now.Ending {
				// It lived when the parent of p was read, and it lives. But it may have given
				// p its own parent (CLONE_PARENT of clone(2)), where the forker is told.
				return !r.WholeExits || p.PPID != now.PPID
			}
		}
		if p.PPID <= 1 || p.PPID == a.ppid {
			return false
		}
		pid, born = a.ppid, a.start
	}
	return p.PPID > 1
}

// awaits tells whether a process is known to be dead and awaits its record.
func (r *resync) awaits(p *Scanned) bool {
	for _, l := range r.older[p.PID] {
		if p.Start.Same(l.Start) {
			return true
		}
	}
	return false
}

// matchKnown brings a known process up to date.
func (r *resync) matchKnown(p *Scanned, e *entry) {
	e.has(p)
	if e.state == task || e.state == thread {
		r.restamp(Key{p.PID, e.start}, e, p.Start)
		e.state = live
		r.enter(p.PID, e)
	}
	switch {
	case p.Zombie && e.state == live:
		r.die(p.PID, e, r.now)
	case !p.Zombie && e.state == dead && e.exit() < r.now && !r.WholeExits:
		r.revive(p.PID, e) // the birth of a thread was lost
	}
}

// has takes over the threads that p has.
func (e *entry) has(p *Scanned) {
	e.threads = otherThreads(p.Threads)
	e.flags &^= leaderGone
	if p.Headless {
		e.flags |= leaderGone
	}
}

func otherThreads(n int32) uint16 { return uint16(min(max(n-1, 0), 1<<16-1)) }

// endAbsent ends the known processes that are not in the snapshot.
func (r *resync) endAbsent(procs []Scanned) {
	there := make([]uint64, len(r.table.pages)) // a bit for each pid
	for i := range procs {
		if page := int(procs[i].PID >> pageBits); page >= 0 && page < len(there) {
			there[page] |= 1 << (procs[i].PID % pageSize)
		}
	}
	var absent []Key
	r.table.all(func(pid int32, e *entry) {
		if (e.state == live || e.state == recorded || e.state == dead && r.doubt) && there[pid>>pageBits]&(1<<(pid%pageSize)) == 0 {
			absent = append(absent, Key{pid, e.start})
		}
	})
	for _, k := range absent {
		e := r.table.get(k.PID)
		if now, alive := r.look(k); alive {
			if now.Threads > 0 {
				r.matchKnown(&now, e)
			}
			continue
		}
		if e.state == live {
			r.die(k.PID, e, r.now)
		}
		if e.state == recorded || r.doubt {
			// After loss, what its pid forks is not surely its own.
			r.evict(k.PID, e, r.now)
		}
	}
}

// decide gives the open processes and those in doubt their sets, parents first.
func (r *resync) decide() {
	var keys []Key
	r.table.all(func(pid int32, e *entry) {
		if r.open[pid] || e.flags&doubtful != 0 {
			keys = append(keys, Key{pid, e.start})
		}
	})
	if r.doubt {
		for _, lives := range r.older {
			for i := range lives {
				if lives[i].doubtful {
					keys = append(keys, lives[i].Key())
				}
			}
		}
	}
	slices.SortFunc(keys, byStart)
	for _, k := range keys {
		if e := r.table.get(k.PID); e != nil && e.start == k.Start {
			r.decideEntry(k, e)
		} else {
			r.decideOlder(k)
		}
	}
}

// decideEntry decides the set of one process. One whose parent is decided later
// waits for it as for a late fork event.
func (r *resync) decideEntry(k Key, e *entry) {
	if e.flags&doubtful != 0 {
		e.flags &^= doubtful
		if !r.misplaced(k, e.ppid) {
			return
		}
		if r.open[k.PID] = true; e.flags&unproven == 0 {
			r.assign(k.PID, e, Unattributed, unproven)
		} else {
			r.unwait(e.ppid, k)
		}
	}
	if e.flags&unproven == 0 {
		return // it waited for its parent, which was decided
	}
	if set, flags := r.infer(e); flags&unproven == 0 {
		r.assign(k.PID, e, set, flags)
	} else {
		r.await(e.ppid, k)
	}
}

// decideOlder is decideEntry for a dead life that is not in the table. Its
// ledger line may tell more.
func (r *resync) decideOlder(k Key) {
	lives := r.older[k.PID]
	l := &lives[slices.IndexFunc(lives, func(l Life) bool { return l.Start == k.Start })]
	l.doubtful = false
	if !r.misplaced(k, l.PPID) {
		return
	}
	set, unknown := Unattributed, true
	if p := r.parent(k, l.PPID); p != nil && p.flags&unproven == 0 {
		set, unknown = p.set, false
	}
	r.CountMoved(l.Set, set)
	l.Set, l.Inferred, l.Unproven = set, !unknown, unknown
	l.dirty, r.outdated = true, true
}

// misplaced reports whether a process born by an event after loss is not, or not
// provably, where the event put it: the process that has its parent's pid is a
// later one, or gone, so that another may have had the pid at the birth; or that
// one's own place has changed.
func (r *resync) misplaced(k Key, ppid int32) bool {
	return r.parent(k, ppid) == nil || r.open[ppid]
}

// parent returns the process that has pid now and had it when k was born.
func (r *resync) parent(k Key, pid int32) *entry {
	if p := r.table.get(pid); p != nil && p.start.MayFork(k.Start) {
		return p
	}
	return nil
}

func byStart(a, b Key) int {
	if c := cmp.Compare(a.Start, b.Start); c != 0 {
		return c
	}
	return cmp.Compare(a.PID, b.PID)
}

// infer finds the set of a process by its parent. The one that /proc shows may be
// the reaper.
func (r *resync) infer(e *entry) (SetID, uint8) {
	found := e.flags&scanned != 0
	if found && (e.ppid == 0 || e.ppid == 2) {
		return Ungrouped, 0 // init and the kernel's own threads
	}
	parent := r.table.get(e.ppid)
	if parent == nil || parent.flags&unproven != 0 || found && e.ppid == 1 || !parent.start.MayFork(e.start) {
		return Unattributed, unproven
	}
	return parent.set, inferred
}
