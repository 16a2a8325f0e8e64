// SPDX-License-Identifier: Apache-2.0

package groups

import "elsa/pkg/clock"

// The fork connector names tasks, not processes: parent and child are thread
// ids, a thread's creation looks like a fork, and no exit is told. A task is
// tracked from its event on, so that what it forks inherits; whether it is a
// process shows later, by its ledger line or by a look at /proc.

// Kind is what a look at /proc says of a task.
type Kind uint8

const (
	Gone     Kind = iota // no such task any more
	Process              // the main thread of a process
	ThreadOf             // another thread
)

// Task is Fork for a source that names tasks and tells no exits.
func (t *Tracker) Task(parent, child int32, start clock.Start) {
	if e := t.born(Key{PID: parent}, child, start, task); e != nil {
		t.tasks = append(t.tasks, Key{child, start})
	}
}

// Classify asks look about every task that is not known to be a process or a
// thread, and counts the processes. Of a process look also tells the start: the
// event has none, and may have been read much later. A task that is gone is kept
// for two barriers, in which its line must come if it was a process. With
// threads, those known are looked at too, and forgotten when they are gone.
func (t *Tracker) Classify(threads bool, look func(Key) (kind Kind, start clock.Start)) {
	if threads {
		t.table.all(func(pid int32, e *entry) {
			if e.state != thread {
				return
			}
			if kind, _ := look(Key{pid, e.start}); kind != ThreadOf {
				t.free(pid, e)
			}
		})
	}
	for _, k := range t.tasks {
		e := t.table.get(k.PID)
		if e == nil || e.start != k.Start || e.state != task {
			continue
		}
		kind, start := look(k)
		if kind == Process && start.Boot() > e.start.Boot() {
			kind = Gone // another has the id; its event is on the way
		}
		switch kind {
		case Process:
			t.restamp(k, e, start)
			e.state = live
			t.enter(k.PID, e)
		case ThreadOf:
			e.state = thread
		case Gone:
			t.expect(k)
		}
	}
	t.tasks = t.tasks[:0]
}

// restamp gives an entry the start that it turned out to have.
func (t *Tracker) restamp(k Key, e *entry, start clock.Start) {
	if e.flags&unproven != 0 {
		t.unwait(e.ppid, k)
		t.await(e.ppid, Key{k.PID, start})
	}
	e.start = start
}

// AddThread adds a thread found in /proc to the process tgid: what it forks
// inherits from there.
func (t *Tracker) AddThread(tid, tgid int32) {
	p := t.table.get(tgid)
	if p == nil || tid <= 0 || tid > maxPID || tid == tgid {
		return
	}
	e := t.table.get(tid)
	if e == nil {
		e = t.table.put(tid)
		e.start = p.start
	} else if e.state < task {
		return // a process took the id meanwhile
	}
	k := Key{tid, e.start}
	if e.flags&unproven != 0 {
		t.unwait(e.ppid, k)
	}
	e.ppid, e.set, e.state, e.flags = tgid, p.set, thread, p.flags&(inferred|unproven)
	if e.flags&unproven != 0 {
		t.await(tgid, k)
	} else {
		t.adoptWaiting(tid, e)
	}
}

// Owner returns the process of a task that is known to be a thread, and else pid itself.
func (t *Tracker) Owner(pid int32) int32 {
	for range 16 { // a thread made by a thread
		e := t.table.get(pid)
		if e == nil || e.state != thread {
			break
		}
		pid = e.ppid
	}
	return pid
}

// Tasks counts the tasks that are not known to be processes.
func (t *Tracker) Tasks() int { return len(t.tasks) }
