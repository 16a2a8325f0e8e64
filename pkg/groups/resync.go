// SPDX-License-Identifier: Apache-2.0

package groups

import (
	"cmp"
	"maps"
	"slices"
)

// Scanned is a process as a snapshot of /proc shows it.
type Scanned struct {
	PID, PPID int32
	Start     int64 // ns, CLOCK_BOOTTIME, truncated to 10 ms
	Threads   int32 // live threads, the leader included
	Zombie    bool  // its last thread exited and nobody waited for it yet
	Headless  bool  // its leader exited, other threads live
}

// Resync makes the tracker agree with a complete snapshot of /proc. now is a
// time just before the snapshot was taken; since is the last moment of which every
// event is known (zero: none, as at the very first start): what was born before
// since and is not known was in no group. What was born later takes its parent's
// set, marked as inferred; where its parent is gone too (the kernel shows the
// reaper in its place) it is unattributed. A known process that the snapshot lacks
// is given to gone, which must decide by a second proof, since one reading of
// /proc is not proof of absence.
func (t *Tracker) Resync(procs []Scanned, since, now int64, gone func(Key) bool) {
	r := resync{Tracker: t, since: since, now: now, open: map[Key]bool{}}
	for i := range procs {
		r.see(&procs[i])
	}
	if len(r.open) > 0 {
		r.decide()
	}

	there := make([]uint64, len(t.table.pages)) // a bit for each pid
	for i := range procs {
		if page := int(procs[i].PID >> pageBits); page >= 0 && page < len(there) {
			there[page] |= 1 << (procs[i].PID % pageSize)
		}
	}
	var absent []Key
	t.table.all(func(pid int32, e *entry) {
		if (e.state == live || e.state == reaped) && there[pid>>pageBits]&(1<<(pid%pageSize)) == 0 {
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
			t.forsake(parent) // it is dead: nothing will tell
		}
	}
}

// resync is one run of Resync.
type resync struct {
	*Tracker
	since, now int64
	open       map[Key]bool // lives whose sets are to be decided, or were
}

func (r *resync) see(p *Scanned) {
	if p.PID <= 0 || p.PID > maxPID {
		r.Ignored++
		return
	}
	if e := r.table.get(p.PID); e != nil {
		switch d := p.Start - e.start; {
		case d <= -startSlack:
			return // events were faster than the snapshot
		case d < startSlack:
			r.know(p, e)
			return
		}
		r.evict(p.PID, e, p.Start)
	}
	late := r.since > 0 && r.bornSince(p.Start)
	if p.Zombie && (!late || p.Start < r.since || r.awaits(p)) {
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
		r.open[Key{p.PID, p.Start}] = true
		r.enter(p.PID, e)
	case r.since > 0:
		// It was counted when it was first seen; only its place is new.
		r.count(e.set, +1)
		r.settle(p.PID, e)
	default:
		r.enter(p.PID, e)
		r.settle(p.PID, e)
	}
	if p.Zombie {
		r.die(p.PID, e, max(r.now, e.start))
	}
}

// awaits tells whether a process is known to be dead and awaits its record.
func (r *resync) awaits(p *Scanned) bool {
	for _, l := range r.older[p.PID] {
		if d := p.Start - l.Start; -startSlack < d && d < startSlack {
			return true
		}
	}
	return false
}

// know brings a known process up to date.
func (r *resync) know(p *Scanned, e *entry) {
	e.has(p)
	if e.state == task || e.state == thread {
		e.state = live
		r.enter(p.PID, e)
	}
	switch {
	case p.Zombie && e.state == live:
		r.die(p.PID, e, r.now)
	case !p.Zombie && e.state == dead && e.exit() < r.now:
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

// bornSince reports whether the event of a birth may be later than since.
func (r *resync) bornSince(start int64) bool { return start >= r.since-startSlack }

// decide gives the open lives their sets, parents first. What an open life forked
// waits for it, or took the set of the life that had its pid before: it is open
// too.
func (r *resync) decide() {
	born := slices.Collect(maps.Keys(r.open))
	known := func(k Key) {
		if r.bornSince(k.Start) && !r.open[k] {
			born = append(born, k)
		}
	}
	r.table.all(func(pid int32, e *entry) { known(Key{pid, e.start}) })
	for _, lives := range r.older {
		for i := range lives {
			known(lives[i].Key())
		}
	}
	slices.SortFunc(born, func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.PID, b.PID))
	})
	for _, k := range born {
		if e := r.table.get(k.PID); e != nil && e.start == k.Start {
			r.decideEntry(k, e)
			continue
		}
		for i := range r.older[k.PID] {
			if l := &r.older[k.PID][i]; l.Start == k.Start {
				r.decideOlder(k, l)
			}
		}
	}
}

// decideEntry decides the set of one life. One found in /proc whose parent, born
// in the same 10 ms, is decided later waits for it as for a late fork event.
func (r *resync) decideEntry(k Key, e *entry) {
	switch {
	case !r.open[k]:
		if !r.inherits(e.ppid, k) {
			return
		}
		if e.flags&unproven != 0 {
			r.unwait(e.ppid, k)
		}
	case e.flags&unproven == 0:
		return // it waited
	}
	set, flags := r.infer(e.ppid, k.Start, e.flags&scanned != 0)
	r.assign(k.PID, e, set, flags)
	if flags&unproven != 0 {
		r.await(e.ppid, k)
	}
}

// decideOlder is decideEntry for a life whose pid was taken by another.
func (r *resync) decideOlder(k Key, l *Life) {
	if !r.inherits(l.PPID, k) {
		return
	}
	set, flags := r.infer(l.PPID, k.Start, false)
	if !l.task {
		r.Placed(l.Set, set)
	}
	l.Set, l.Inferred, l.Unproven = set, flags&inferred != 0, flags&unproven != 0
	l.dirty, r.outdated = true, true
}

// inherits opens a life if the one that forked it is open.
func (r *resync) inherits(parent int32, k Key) bool {
	p, ok := r.lifeAt(parent, k.Start)
	if ok && r.open[p.Key()] {
		r.open[k] = true
	}
	return r.open[k]
}

// infer finds the set of a life by its parent. The parent that /proc shows of a
// process found there may be the reaper.
func (r *resync) infer(parent int32, start int64, found bool) (SetID, uint8) {
	if found {
		if parent == 0 || parent == 2 {
			return Ungrouped, 0 // init and the kernel's own threads
		}
		start += startSlack // truncated
	}
	p, ok := r.lifeAt(parent, start)
	if !ok || p.Unproven || found && parent == 1 {
		return Unattributed, unproven
	}
	return p.Set, inferred
}

// lifeAt returns the life that had pid at a time.
func (r *resync) lifeAt(pid int32, at int64) (Life, bool) {
	if e := r.table.get(pid); e != nil && e.start <= at {
		return r.lifeOf(pid, e), true
	}
	for _, l := range slices.Backward(r.older[pid]) {
		if l.Start <= at {
			return l, true
		}
	}
	return Life{}, false
}
