// SPDX-License-Identifier: Apache-2.0

package groups

import (
	"slices"

	"elsa/pkg/clock"
)

// death is a life whose record may still come.
type death struct {
	key   Key
	epoch uint32
}

// Take takes the life that a ledger line of pid belongs to. fits judges a
// candidate by its start; lives that fit are taken oldest first, since the
// kernel writes a pid's lines in the order of its deaths. Without a fit it
// returns false and changes nothing. fits must not keep the life.
func (t *Tracker) Take(pid int32, fits func(*Life) bool) (Life, bool) {
	l, at, ok := t.find(pid, fits)
	if !ok {
		if t.table.get(pid) == nil {
			t.dropWaiters(pid) // a parent nobody knew, and its event will not come
		}
		return Life{}, false
	}
	if at >= 0 {
		if l.task {
			t.start(l.Set) // a process after all
		}
		t.dropOlder(pid, at)
		return l, true
	}
	switch e := t.table.get(pid); e.state {
	case dead:
		t.free(pid, e)
	case task:
		t.start(e.set) // a process after all
		t.free(pid, e)
	case live:
		t.count(e.set, -1)
		if t.NoExits {
			t.free(pid, e)
			break
		}
		// Its exit event is on the way, or it switched accounting and lives on.
		e.state = recorded
		t.touch(pid, e)
	}
	return l, true
}

// Reused reports whether several lives of pid are known, of which all but the last
// await their record.
func (t *Tracker) Reused(pid int32) bool {
	return len(t.older) > 0 && (len(t.older[pid]) > 1 || len(t.older[pid]) == 1 && t.table.get(pid) != nil)
}

// Peek is Take without taking the life.
func (t *Tracker) Peek(pid int32, fits func(*Life) bool) (Life, bool) {
	l, _, ok := t.find(pid, fits)
	return l, ok
}

// find returns the life that Take takes, and where in older it is, or -1.
func (t *Tracker) find(pid int32, fits func(*Life) bool) (l Life, at int, ok bool) {
	for i, l := range t.older[pid] {
		t.offered = l
		if fits(&t.offered) {
			return l, i, true
		}
	}
	if e := t.table.get(pid); e != nil && e.state != thread {
		l := t.lifeOf(pid, e)
		t.offered = l
		if fits(&t.offered) {
			return l, -1, true
		}
	}
	return Life{}, -1, false
}

// Barrier says that all records of deaths known two barriers ago have been
// read, and calls missing for each such life that got none. The life is
// forgotten unless missing returns false; it is then asked again at the next
// barrier.
func (t *Tracker) Barrier(missing func(Life) bool) {
	t.epoch++
	n := 0
	for _, d := range t.deaths {
		if t.epoch-d.epoch < 2 {
			break
		}
		n++
		t.close(d.key, missing)
	}
	t.deaths = slices.Delete(t.deaths, 0, n)
}

// EachAwaiting calls f for every dead process whose record was not read. f must not
// change the tracker.
func (t *Tracker) EachAwaiting(f func(Life)) {
	t.table.all(func(pid int32, e *entry) {
		if e.state == dead {
			f(t.lifeOf(pid, e))
		}
	})
	for _, lives := range t.older {
		for _, l := range lives {
			if !l.task {
				f(l)
			}
		}
	}
}

// GiveUp calls f for every life that awaits its record, and forgets it if f returns
// true: its boot is over, and no more records of that will come.
func (t *Tracker) GiveUp(f func(Life) bool) {
	deaths := t.deaths
	t.deaths = nil
	for _, d := range deaths {
		t.close(d.key, f)
	}
}

func (t *Tracker) close(k Key, missing func(Life) bool) {
	e := t.table.get(k.PID)
	if e != nil && e.start == k.Start && (e.state == dead || e.state == task) {
		if e.state == task || missing(t.lifeOf(k.PID, e)) {
			t.free(k.PID, e) // a task that got no record was a thread
		} else {
			t.expect(k)
		}
		return
	}
	for i, l := range t.older[k.PID] {
		if l.Start != k.Start {
			continue
		}
		if l.task || missing(l) {
			t.dropOlder(k.PID, i)
		} else {
			t.expect(k)
		}
		return
	}
}

// expect lets Barrier look for a life whose record shall come.
func (t *Tracker) expect(k Key) { t.deaths = append(t.deaths, death{k, t.epoch}) }

func (t *Tracker) die(pid int32, e *entry, at clock.Boot) {
	e.state, e.lived = dead, float32(at.Sub(e.start.Boot()).Seconds())
	t.count(e.set, -1)
	t.awaiting++
	t.expect(Key{pid, e.start})
	t.touch(pid, e)
}

// revive takes a death back: the process was seen alive after it.
func (t *Tracker) revive(pid int32, e *entry) {
	e.state, e.lived = live, 0
	t.count(e.set, +1)
	t.awaiting--
	k := Key{pid, e.start}
	t.deaths = slices.DeleteFunc(t.deaths, func(d death) bool { return d.key == k })
	t.touch(pid, e)
}

// free ends the life of an entry whose record is read.
func (t *Tracker) free(pid int32, e *entry) {
	if e.state == dead {
		t.awaiting--
	}
	if e.flags&stored != 0 {
		t.gone = append(t.gone, Key{pid, e.start})
	}
	if e.flags&unproven != 0 {
		t.unwait(e.ppid, Key{pid, e.start})
		t.dropWaiters(pid)
	}
	t.table.drop(pid)
}

// evict makes room for another process with the same pid.
func (t *Tracker) evict(pid int32, e *entry, at clock.Boot) {
	if e.state == live {
		t.Evicted++
		t.die(pid, e, at)
	}
	if e.state == dead || e.state == task {
		l := t.lifeOf(pid, e)
		l.stored, l.dirty, l.doubtful = e.flags&stored != 0, e.flags&dirty != 0, e.flags&doubtful != 0
		t.outdated = t.outdated || l.dirty
		if l.task = e.state == task; l.task {
			t.expect(l.Key())
		}
		t.older[pid] = append(t.older[pid], l)
		e.state, e.flags = recorded, e.flags&^stored // it lives on in older
	}
	t.free(pid, e)
}

func (t *Tracker) dropOlder(pid int32, i int) {
	lives := t.older[pid]
	if lives[i].stored {
		t.gone = append(t.gone, lives[i].Key())
	}
	if !lives[i].task {
		t.awaiting--
	}
	if len(lives) == 1 {
		delete(t.older, pid)
		return
	}
	t.older[pid] = slices.Delete(lives, i, i+1)
}
