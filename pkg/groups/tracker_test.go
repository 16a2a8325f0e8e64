// SPDX-License-Identifier: Apache-2.0

package groups

import "testing"

// eventCases tell a story in events and say who is where at its end.
var eventCases = []struct {
	name  string
	story func(w *world)
	want  string
}{
	{"a child is in its parent's groups from its fork", func(w *world) {
		w.fork(1, 10)
		w.add(10, 7)
		w.fork(10, 11)
		w.fork(11, 12)
		w.add(11, 8)
		w.fork(11, 13)
	}, "10{7} 11{7,8} 12{7} 13{7,8}"},
	{"a child forked before the add is not in", func(w *world) {
		w.fork(1, 10)
		w.fork(10, 11)
		w.add(10, 7)
	}, "10{7} 11{}"},
	{"four levels down", func(w *world) {
		w.fork(1, 10)
		w.add(10, 7)
		for pid := int32(10); pid < 14; pid++ {
			w.fork(pid, pid+1)
			w.Exec(pid + 1)
		}
	}, "10{7} 11{7} 12{7} 13{7} 14{7}"},
	{"double fork: a daemon stays when its parents are gone", func(w *world) {
		w.fork(1, 10)
		w.add(10, 7)
		w.fork(10, 11)
		w.fork(11, 12)
		w.exit(11, 11)
		w.exit(10, 10)
		w.reap(11)
		w.reap(10)
		w.fork(12, 13)
	}, "12{7} 13{7}"},
	{"a thread is no process", func(w *world) {
		w.fork(1, 10)
		w.Thread(10)
		w.Thread(10)
		w.exit(20, 10)
	}, "10{}"},
	{"a process lives until its last thread exits", func(w *world) {
		w.fork(1, 10)
		w.Thread(10)
		w.exit(20, 10)
		w.exit(10, 10)
	}, "†10{}"},
	{"the leader exits first: the process lives, and forks", func(w *world) {
		w.fork(1, 10)
		w.add(10, 7)
		w.Thread(10)
		w.Thread(10)
		w.exit(10, 10)
		w.fork(10, 11)
		w.exit(20, 10)
		w.fork(10, 12)
	}, "10{7} 11{7} 12{7}"},
	{"the leader exits first, then the others", func(w *world) {
		w.fork(1, 10)
		w.Thread(10)
		w.exit(10, 10)
		w.exit(20, 10)
	}, "†10{}"},
	{"exec from another thread: exit of the leader, exec, exit", func(w *world) {
		w.fork(1, 10)
		w.add(10, 7)
		w.Thread(10)
		w.exit(10, 10)
		w.Exec(10)
		w.fork(10, 11)
	}, "10{7} 11{7}"},
	{"exec from another thread, then the end", func(w *world) {
		w.fork(1, 10)
		w.Thread(10)
		w.Thread(10)
		w.exit(21, 10)
		w.exit(10, 10)
		w.Exec(10)
		w.exit(10, 10)
	}, "†10{}"},
	{"after exec from another thread a thread may come and go", func(w *world) {
		w.fork(1, 10)
		w.Thread(10)
		w.exit(10, 10)
		w.Exec(10)
		w.Thread(10)
		w.exit(22, 10)
	}, "10{}"},
	{"exec takes a death back that a lost thread made", func(w *world) {
		w.fork(1, 10)
		w.add(10, 7)
		w.exit(10, 10)
		w.Exec(10)
	}, "10{7}"},
	{"exit of a thread that came after the exec", func(w *world) {
		w.fork(1, 10)
		w.Thread(10)
		w.Exec(10)
		w.exit(20, 10)
	}, "10{}"},
	{"a dead parent's last child", func(w *world) {
		w.fork(1, 10)
		w.add(10, 7)
		w.exit(10, 10)
		w.fork(10, 11)
	}, "†10{7} 11{7}"},
	{"pid reuse with the exit lost: the old one awaits its record", func(w *world) {
		w.fork(1, 10)
		w.add(10, 7)
		w.fork(1, 10)
	}, "†10{7} 10{}"},
	{"pid reuse before the record was read", func(w *world) {
		w.fork(1, 10)
		w.add(10, 7)
		w.exit(10, 10)
		w.fork(1, 10)
		w.exit(10, 10)
		w.fork(1, 10)
	}, "†10{7} †10{} 10{}"},
	{"an exit of the life before, by its time", func(w *world) {
		w.fork(1, 10)
		at := w.tick()
		w.fork(1, 10)
		w.Exit(10, 10, at)
	}, "†10{} 10{}"},
	{"a child of an unknown parent is unattributed, and its children", func(w *world) {
		w.fork(10, 11)
		w.fork(11, 12)
	}, "11? 12?"},
	{"late adoption: the child's event before its parent's", func(w *world) {
		w.fork(1, 10)
		w.add(10, 7)
		w.fork(11, 12)
		w.Fork(10, 11, w.now-1)
	}, "10{7} 11{7} 12{7}"},
	{"no adoption by one that is younger", func(w *world) {
		w.fork(1, 10)
		w.add(10, 7)
		w.fork(11, 12)
		w.fork(10, 11)
	}, "10{7} 11{7} 12?"},
	{"late adoption of a chain", func(w *world) {
		w.fork(1, 10)
		w.add(10, 7)
		at := w.tick()
		w.Fork(13, 14, at)
		w.Fork(12, 13, at-1)
		w.Fork(11, 12, at-2)
		w.Fork(10, 11, at-3)
		w.fork(14, 15)
	}, "10{7} 11{7} 12{7} 13{7} 14{7} 15{7}"},
	{"late adoption of one that is dead by then", func(w *world) {
		w.fork(1, 10)
		w.add(10, 7)
		w.fork(11, 12)
		at := w.now - 1
		w.exit(12, 12)
		w.Fork(10, 11, at)
	}, "10{7} 11{7} †12{7}"},
	{"no late adoption by another life of the pid", func(w *world) {
		w.fork(11, 12)      // parent unknown
		w.Take(11, anyLife) // and dead
		w.fork(1, 10)
		w.add(10, 7)
		w.fork(10, 11)
	}, "10{7} 11{7} 12?"},
	{"an unattributed process is in what it is put in, its children from then on", func(w *world) {
		w.fork(11, 12)
		w.fork(12, 13)
		w.add(12, 7)
		w.fork(12, 14)
		w.fork(1, 11)
	}, "11{} 12{7} 13? 14{7}"},
	{"who waited for it before is not adopted by its pid's next life", func(w *world) {
		w.fork(11, 12)
		w.fork(12, 13)
		w.add(12, 7)
		w.exit(12, 12)
		w.reap(12)
		w.fork(1, 12)
	}, "12{} 13?"},
	{"impossible pids", func(w *world) {
		w.fork(1, 0)
		w.fork(1, -1)
		w.fork(1, maxPID+1)
		w.Thread(-5)
		w.Exec(1 << 30)
		w.exit(5, 6)
	}, ""},
}

func TestEvents(t *testing.T) {
	for _, c := range eventCases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld()
			c.story(w)
			if got := w.String(); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			w.endAll()
			w.checkEmpty(t)
		})
	}
}

func TestCounters(t *testing.T) {
	w := newWorld()
	w.fork(1, 10)
	w.fork(1, 10)
	w.fork(1, maxPID+1)
	w.fork(11, 12)
	w.Fork(1, 11, w.now-1)
	if got := [3]uint64{w.Evicted, w.Adopted, w.Ignored}; got != [3]uint64{1, 1, 1} {
		t.Errorf("evicted, adopted, ignored = %v, want 1 each", got)
	}
	if n := w.Processes(); n != 4 {
		t.Errorf("Processes() = %d, want 4", n)
	}
}

func TestLookup(t *testing.T) {
	w := newWorld()
	w.fork(1, 10)
	at := w.now
	w.add(10, 7)
	w.exit(10, 10)
	l, ok := w.Lookup(10)
	if !ok || l.Start != stamped(at) || l.PPID != 1 || l.PID != 10 || !w.Sets.Has(l.Set, 7) {
		t.Errorf("Lookup(10) = %+v, %v", l, ok)
	}
	if d := l.Exit - w.now; d < -100 || d > 100 {
		t.Errorf("exit is %d ns off", d)
	}
	if _, ok := w.Live(10); ok {
		t.Error("Live(10) of a dead process")
	}
	if _, ok := w.Live(1); !ok {
		t.Error("no Live(1)")
	}
	if _, ok := w.Lookup(11); ok {
		t.Error("Lookup(11) of nobody")
	}
}
