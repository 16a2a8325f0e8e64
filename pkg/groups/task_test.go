// SPDX-License-Identifier: Apache-2.0

package groups

import (
	"testing"

	"elsa/pkg/clock"
)

// TestTasks tells stories of a source that names tasks and tells no exits.
func TestTasks(t *testing.T) {
	kinds := func(m map[int32]Kind) func(Key) (Kind, clock.Start) {
		return func(k Key) (Kind, clock.Start) { return m[k.PID], k.Start }
	}
	since := func(start clock.Boot) func(Key) (Kind, clock.Start) {
		return func(Key) (Kind, clock.Start) { return Process, inProc(start) }
	}
	var asked int
	barrier := func(w *world) {
		w.Barrier(func(Life) bool { asked++; return true })
	}
	for _, c := range []struct {
		name  string
		story func(w *world)
		want  string
		asked int
	}{
		{"a task inherits before it is known what it is", func(w *world) {
			w.Task(10, 11, w.tick())
			w.Task(11, 12, w.tick())
		}, "10{7} 11{7} task 12{7} task", 0},
		{"processes and threads, told apart", func(w *world) {
			w.Task(10, 11, w.tick())
			w.Task(10, 12, w.tick())
			w.Classify(false, kinds(map[int32]Kind{11: Process, 12: ThreadOf}))
			w.Task(12, 13, w.tick()) // forked by the thread
		}, "10{7} 11{7} 12{7} thread 13{7} task", 0},
		{"a process whose event was read late", func(w *world) {
			p10, born := found(10, 1, w.now), w.tick()
			w.now += 5e9
			w.Task(10, 11, w.now)
			w.Classify(false, since(born))
			l, _ := w.Live(11)
			w.check(l.Start == inProc(born), "it has the start of its event")
			w.add(11, 8)
			w.scan(w.now, p10, found(11, 10, born))
		}, "10{7} 11{7,8}", 0},
		{"a process whose event was read late, of a parent not yet known", func(w *world) {
			born := w.tick()
			w.Task(30, 11, w.now+5e9)
			w.Classify(false, since(born))
			w.Task(10, 30, w.tick())
		}, "10{7} 11{7} 30{7} task", 0},
		{"its id is another's by now", func(w *world) {
			w.Task(10, 11, w.tick())
			w.Classify(false, since(w.tick()))
			w.Task(1, 11, w.tick())
			w.check(w.reap(11).Set == w.Sets.Only(7), "wrong set")
		}, "10{7} 11{} task", 0},
		{"its id is another's, whose event is on the way", func(w *world) {
			w.Task(10, 11, w.tick())
			w.Classify(false, since(w.tick()))
		}, "10{7} 11{7} task", 0},
		{"an id used twice within one reading of events", func(w *world) {
			at := w.tick()
			w.Task(10, 11, at)
			w.Task(10, 11, at)
			w.Classify(false, kinds(map[int32]Kind{11: Process}))
			barrier(w)
			barrier(w)
		}, "10{7} 11{7}", 0},
		{"a process by its record", func(w *world) {
			w.Task(10, 11, w.tick())
			w.check(w.reap(11).Set == w.Sets.Only(7), "wrong set")
		}, "10{7}", 0},
		{"gone: its record comes in time", func(w *world) {
			w.Task(10, 11, w.tick())
			w.Classify(false, kinds(nil))
			barrier(w)
			w.reap(11)
			barrier(w)
		}, "10{7}", 0},
		{"gone without a record: it was a thread", func(w *world) {
			w.Task(10, 11, w.tick())
			w.Classify(false, kinds(nil))
			barrier(w)
			w.check(w.Awaiting() == 0, "a thread's record is awaited")
			barrier(w)
		}, "10{7}", 0},
		{"a thread that is gone is forgotten", func(w *world) {
			w.Task(10, 11, w.tick())
			w.Classify(false, kinds(map[int32]Kind{11: ThreadOf}))
			w.Classify(false, kinds(nil))
			w.check(w.table.get(11) != nil, "forgotten without a look")
			w.Classify(true, kinds(nil))
		}, "10{7}", 0},
		{"pid reuse: the old one awaits its record, if it was a process", func(w *world) {
			w.Task(10, 11, w.tick())
			w.Task(1, 11, w.tick())
			w.check(w.reap(11).Set == w.Sets.Only(7), "wrong set")
			w.Task(1, 11, w.tick())
			barrier(w)
			barrier(w)
		}, "10{7} 11{} task", 0},
		{"pid reuse of a process: its record is missed", func(w *world) {
			w.Task(10, 11, w.tick())
			w.Classify(false, kinds(map[int32]Kind{11: Process}))
			w.Task(1, 11, w.tick())
			barrier(w)
			barrier(w)
		}, "10{7} 11{} task", 1},
		{"late adoption: B C before A B", func(w *world) {
			w.Task(11, 12, w.tick())
			w.Task(10, 11, w.tick())
		}, "10{7} 11{7} task 12{7} task", 0},
		{"the scan was faster than the event", func(w *world) {
			since, p10, at := w.now, found(10, 1, w.now), w.tick()
			w.scan(since, p10, found(11, 1, at))
			w.Task(10, 11, at)
		}, "10{7} 11{7}", 0},
		{"the scan was faster than the event, which is read late", func(w *world) {
			since, p10, at := w.now, found(10, 1, w.now), w.tick()
			w.scan(since, p10, found(11, 1, at))
			w.Task(10, 11, at+9e8)
			w.check(w.Evicted == 0, "taken for another")
		}, "10{7} 11{7}", 0},
		{"a scan finds a task to be a process", func(w *world) {
			p10 := found(10, 1, w.now)
			w.Task(10, 11, w.tick())
			w.scan(w.now, p10, found(11, 10, w.now))
			w.Classify(false, kinds(nil))
		}, "10{7} 11{7}", 0},
		{"threads found in /proc", func(w *world) {
			w.AddThread(21, 10)
			w.AddThread(10, 10)
			w.AddThread(22, 99)
			w.AddThread(1, 10) // a process has it
			w.Task(21, 22, w.tick())
			w.add(10, 8)
			w.AddThread(21, 10)
			w.Task(21, 23, w.tick())
		}, "10{7,8} 21{7,8} thread 22{7} task 23{7,8} task", 0},
		{"a thread has no record", func(w *world) {
			w.AddThread(21, 10)
			_, ok := w.Take(21, anyLife)
			w.check(!ok, "recorded a thread")
		}, "10{7} 21{7} thread", 0},
		{"threads of one in no known group are adopted with it", func(w *world) {
			w.fork(30, 31)
			w.AddThread(32, 31)
			w.Task(32, 33, w.tick())
			w.fork(10, 30)
		}, "10{7} 30{7} 31{7} 32{7} thread 33{7} task", 0},
		{"tasks are in what they are put in", func(w *world) {
			w.Task(10, 11, w.tick())
			w.add(11, 8)
			w.Classify(false, kinds(map[int32]Kind{11: Process}))
		}, "10{7} 11{7,8}", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld()
			w.NoExits = true
			w.fork(1, 10)
			w.add(10, 7)
			asked = 0
			c.story(w)
			if got := w.String(); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if asked != c.asked {
				t.Errorf("%d missing records, want %d", asked, c.asked)
			}
			w.endAll()
			w.checkEmpty(t)
		})
	}
}

func TestTaskStarts(t *testing.T) {
	w := newWorld()
	w.NoExits = true
	w.fork(1, 10)
	w.add(10, 7)
	g7 := w.Sets.Only(7)
	w.starts()
	for pid := int32(20); pid < 26; pid++ {
		w.Task(10, pid, w.tick())
	}
	if n := w.Tasks(); n != 6 {
		t.Errorf("Tasks() = %d, want 6", n)
	}
	if n := len(w.starts()); n != 0 {
		t.Error("tasks were counted as processes")
	}
	w.reap(20)
	w.Task(1, 21, w.tick()) // evicts one ...
	w.reap(21)              // ... that was a process
	w.Classify(false, func(k Key) (Kind, clock.Start) { return Kind(k.PID % 3), k.Start })
	if got := w.starts()[g7]; got != 4 { // 20, 21, 22 and 25
		t.Errorf("%d processes started, want 4", got)
	}
	if n := w.Tasks(); n != 0 {
		t.Errorf("Tasks() = %d, want 0", n)
	}
	w.endAll()
	w.checkEmpty(t)
}
