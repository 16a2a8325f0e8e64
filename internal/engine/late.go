// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"elsa/pkg/clock"
	"elsa/pkg/groups"
)

// executed is a process that rules are to be applied to. Where the source of events
// tells no more than the pid, Start and what comes after it are unknown.
type executed struct {
	pid      int32
	start    clock.Start
	uid, gid uint32
	comm     [16]byte
	cgroup   uint64
}

func (x *executed) told() bool { return x.start.Known() }

// late are processes that were busy when rules were to be applied to them. What one
// of them forks meanwhile would have been in its groups, had it answered at once: it
// is put there with it. The zero value is ready.
type late struct {
	waits map[int32]*wait
	// heirs are those that descend from one that waits, by pid.
	heirs map[int32]*wait
}

// wait is one process that is waited for, and what descends from it since.
type wait struct {
	executed
	key   groups.Key
	heirs []groups.Key
}

// maxHeirs bounds the processes that descend from one that is waited for.
const maxHeirs = 4096

// wait notes a process to which rules are to be applied later. How many there are is
// bounded by how many looks may be under way.
func (l *late) wait(k groups.Key, x executed) {
	if l.waits == nil {
		l.waits, l.heirs = map[int32]*wait{}, map[int32]*wait{}
	}
	if w := l.waits[k.PID]; w != nil && w.key == k {
		w.executed = x
		return
	}
	l.drop(k.PID)
	l.waits[k.PID] = &wait{executed: x, key: k}
}

// fork notes a child of a process that is waited for, or of an heir. It reports
// whether there is no room for it.
func (l *late) fork(parent int32, child groups.Key) (full bool) {
	if len(l.waits) == 0 {
		return false
	}
	delete(l.heirs, child.PID)
	w := l.waits[parent]
	if w == nil {
		w = l.heirs[parent]
	}
	switch {
	case w == nil:
		return false
	case len(w.heirs) == maxHeirs:
		return true
	}
	w.heirs = append(w.heirs, child)
	l.heirs[child.PID] = w
	return false
}

// drop forgets a process and its heirs, and returns what it was.
func (l *late) drop(pid int32) *wait {
	w := l.waits[pid]
	if w == nil {
		return nil
	}
	delete(l.waits, pid)
	for _, k := range w.heirs {
		if l.heirs[k.PID] == w {
			delete(l.heirs, k.PID)
		}
	}
	return w
}

// pass gives the heirs of a process to the wait that follows.
func (l *late) pass(w, to *wait) {
	to.heirs = w.heirs
	for _, k := range to.heirs {
		l.heirs[k.PID] = to
	}
}

// due are live processes that the rules in force are yet to be applied to. What one of
// them forks meanwhile comes to the groups that it comes to.
type due struct {
	late
	order []int32
	// rescans is how many there were when the processes were listed: those that the
	// next finds are not in the list.
	rescans uint64
}
