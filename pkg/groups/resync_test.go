// SPDX-License-Identifier: Apache-2.0

package groups

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"elsa/pkg/clock"
)

// found is a process as /proc shows it, its start in the 10 ms that hold at.
func found(pid, ppid int32, at clock.Boot) Scanned {
	return Scanned{PID: pid, PPID: ppid, Start: inProc(at), Threads: 1}
}

var resyncCases = []struct {
	name  string
	story func(w *world)
	want  string
}{
	{"at the first start everybody is in no group", func(w *world) {
		w.scan(0, found(10, 1, 5*sec), found(11, 10, 6*sec), found(2, 0, 0))
	}, "2{} 10{} 11{}"},
	{"at the first start a zombie is none of ours", func(w *world) {
		w.scan(0, Scanned{PID: 10, PPID: 1, Start: inProc(5 * sec), Threads: 1, Zombie: true})
	}, ""},
	{"born before the gap and unknown: in no group", func(w *world) {
		w.fork(1, 10)
		w.add(10, 7)
		w.scan(w.now, found(10, 1, w.now), found(11, 10, w.now-sec))
	}, "10{7} 11{}"},
	{"born in the gap: in its parent's groups, inferred", func(w *world) {
		w.fork(1, 10)
		w.add(10, 7)
		since, p10 := w.now, found(10, 1, w.now)
		w.scan(since, p10, found(11, 10, w.tick()), found(12, 11, w.tick()), found(13, 12, w.tick()))
	}, "10{7} 11{7}~ 12{7}~ 13{7}~"},
	{"born in the gap, parents after their children in the list and with larger pids", func(w *world) {
		w.fork(1, 90)
		w.add(90, 7)
		since, p90 := w.now, found(90, 1, w.now)
		at := w.tick()
		w.scan(since, found(11, 12, at), found(12, 13, at), found(13, 90, at), p90)
	}, "11{7}~ 12{7}~ 13{7}~ 90{7}"},
	{"the start was just before the gap, its event lost in it", func(w *world) {
		w.fork(1, 10)
		w.add(10, 7)
		since, p10 := w.now+50*ms, found(10, 1, w.now)
		w.scan(since, p10, found(11, 10, since-5*ms))
	}, "10{7} 11{7}~"},
	{"born in the gap, the parent gone: unattributed, and its children", func(w *world) {
		w.fork(1, 10)
		w.add(10, 7)
		since, p10 := w.now, found(10, 1, w.now)
		w.scan(since, p10, found(11, 1, w.tick()), found(12, 11, w.tick()))
	}, "10{7} 11? 12?"},
	{"a kernel thread born in the gap", func(w *world) {
		w.scan(0, found(2, 0, 0))
		since := w.now
		w.scan(since, found(2, 0, 0), found(11, 2, w.tick()))
	}, "2{} 11{}"},
	{"unattributed stays so, also when the reaper is known", func(w *world) {
		w.fork(99, 10)
		p10 := found(10, 1, w.now)
		w.scan(w.now, p10)
		w.scan(w.now, p10)
	}, "10?"},
	{"an unknown parent found in /proc adopts its child", func(w *world) {
		w.fork(1, 9)
		w.add(9, 7)
		since, p9, at := w.now, found(9, 1, w.now), w.tick()
		w.fork(10, 11)
		w.scan(since, p9, found(10, 9, at), found(11, 10, w.now))
	}, "9{7} 10{7}~ 11{7}~"},
	{"an unknown parent that is dead: its child is unattributed for good", func(w *world) {
		w.fork(10, 11)
		w.scan(w.now-sec, found(11, 1, w.now))
		w.fork(1, 10)
	}, "10{} 11?"},
	{"the event after the scan, same process", func(w *world) {
		w.fork(1, 10)
		w.add(10, 7)
		since, p10, at := w.now, found(10, 1, w.now), w.tick()+3*ms
		w.scan(since, p10, found(11, 10, at))
		w.Fork(10, 11, at)
		w.fork(11, 12)
	}, "10{7} 11{7} 12{7}"},
	{"the event after the scan names the parent that died", func(w *world) {
		w.fork(1, 10)
		w.add(10, 7)
		since, at := w.now, w.tick()
		w.scan(since, found(11, 1, at))
		w.Fork(10, 11, at)
		w.fork(11, 12)
		w.reap(10)
	}, "11{7} 12{7}"},
	{"the event after the scan, dead by the scan", func(w *world) {
		w.fork(1, 10)
		w.add(10, 7)
		since, p10, at := w.now, found(10, 1, w.now), w.tick()
		z := found(11, 10, at)
		z.Zombie = true
		w.scan(since, p10, z)
		w.Fork(10, 11, at)
		w.Exit(11, 11, at+ms)
	}, "10{7} †11{7}"},
	{"the event after the scan, but the administrator was faster", func(w *world) {
		w.fork(1, 10)
		since, p10, at := w.now, found(10, 1, w.now), w.tick()
		w.scan(since, p10, found(11, 10, at))
		w.add(11, 7)
		w.Fork(10, 11, at)
	}, "10{} 11{7}"},
	{"the event names another parent than the reaper seen in /proc", func(w *world) {
		w.fork(1, 10)
		w.fork(10, 11)
		since, p10, p11, at := w.now, found(10, 1, w.now-100*ms), found(11, 10, w.now), w.tick()
		w.scan(since, p10, p11, found(12, 10, at)) // 10 is a subreaper
		w.Fork(11, 12, at)
		l, _ := w.Lookup(12)
		w.check(l.PPID == 11, "wrong parent")
	}, "10{} 11{} 12{}"},
	{"the event after the scan names a parent not known yet", func(w *world) {
		w.fork(1, 10)
		w.add(10, 7)
		since, p10, at := w.now, found(10, 1, w.now), w.tick()
		w.scan(since, p10, found(12, 1, at))
		w.Fork(11, 12, at)
		w.Fork(10, 11, at-20*ms)
	}, "10{7} 11{7} 12{7}"},
	{"a later fork of a scanned pid is another process", func(w *world) {
		w.fork(1, 10)
		w.add(10, 7)
		since, p10 := w.now, found(10, 1, w.now)
		w.scan(since, p10, found(11, 10, w.tick()))
		w.fork(1, 11)
	}, "10{7} †11{7}~ 11{}"},
	{"an event older than the scanned life", func(w *world) {
		w.fork(1, 10)
		w.add(10, 7)
		since, p10, at := w.now, found(10, 1, w.now), w.tick()
		w.scan(since, p10, found(11, 1, w.tick()))
		w.Fork(10, 11, at)
	}, "10{7} 11?"},
	{"a scan older than the life known by events", func(w *world) {
		old := found(11, 1, w.tick())
		old.Zombie = true
		w.fork(1, 11)
		w.add(11, 7)
		w.scan(w.now, old)
	}, "11{7}"},
	{"another life by the scan: the old one awaits its record", func(w *world) {
		w.fork(1, 10)
		w.add(10, 7)
		since := w.now
		w.scan(since, found(10, 1, w.tick()))
	}, "†10{7} 10?"},
	{"exit and reuse lost: what the new one forked is not the old one's", func(w *world) {
		w.fork(1, 10)
		w.add(10, 7)
		w.fork(1, 20)
		w.add(20, 8)
		since, p20, at := w.now, found(20, 1, w.now), w.tick()
		w.Lost()
		w.fork(10, 11) // this 10 is another, made by 20
		p11 := found(11, 10, w.now)
		w.fork(11, 12)
		p12 := found(12, 11, w.now)
		w.scan(since, p20, found(10, 20, at), p11, p12)
	}, "†10{7} 10{8}~ 11{8}~ 12{8}~ 20{8}"},
	{"exit and reuse lost: what the old one forked before is its own", func(w *world) {
		w.fork(1, 10)
		w.add(10, 7)
		since := w.now
		w.fork(10, 11)
		p11 := found(11, 1, w.now)
		w.scan(since, found(10, 1, w.tick()), p11)
	}, "†10{7} 10? 11{7}"},
	{"exit and reuse lost, the new one's parent unknown", func(w *world) {
		w.fork(1, 10)
		w.add(10, 7)
		since, at := w.now, w.tick()
		w.Lost()
		w.fork(10, 11)
		w.scan(since, found(10, 1, at), found(11, 10, w.now))
		w.fork(11, 12)
	}, "†10{7} 10? 11? 12?"},
	{"a process that the list lacks and that is gone", func(w *world) {
		w.fork(1, 10)
		w.add(10, 7)
		w.scan(w.now)
	}, "†10{7}"},
	{"a zombie is dead and awaits its record", func(w *world) {
		w.fork(1, 10)
		w.add(10, 7)
		p := found(10, 1, w.now)
		p.Zombie = true
		w.scan(w.now, p)
	}, "†10{7}"},
	{"a zombie whose record was read", func(w *world) {
		w.fork(1, 10)
		p := found(10, 1, w.now)
		p.Zombie = true
		w.reap(10)
		w.scan(w.now, p)
	}, "(10{})"},
	{"a leader that exited before the scan", func(w *world) {
		w.fork(1, 10)
		w.exit(10, 10) // the births of two threads were lost
		p := found(10, 1, w.now-100*ms)
		p.Threads, p.Headless = 3, true // a dead leader counts
		w.scan(w.now-sec, p)
		w.exit(20, 10)
	}, "10{}"},
	{"and its end", func(w *world) {
		w.fork(1, 10)
		w.exit(10, 10)
		p := found(10, 1, w.now-100*ms)
		p.Threads, p.Headless = 3, true
		w.scan(w.now-sec, p)
		w.exit(20, 10)
		w.exit(21, 10)
	}, "†10{}"},
	{"a leader again, its exec lost", func(w *world) {
		w.fork(1, 10)
		p10 := found(10, 1, w.now)
		w.Thread(10)
		w.exit(10, 10)
		w.scan(w.now, p10) // the other thread executed a program
		w.Thread(10)
		w.exit(22, 10)
	}, "10{}"},
	{"a zombie born just before the gap is none to wait for", func(w *world) {
		w.scan(0)
		since := w.tick()
		z := found(11, 1, since-20*ms)
		z.Zombie = true
		w.scan(since, z)
	}, ""},
	{"a zombie that the store kept is one death", func(w *world) {
		w.Restore(Life{PID: 11, PPID: 1, Start: stamped(w.now + 3*ms), Set: w.Sets.Only(7)}, 0, false)
		z := found(11, 1, w.now+3*ms)
		z.Zombie = true
		w.scan(w.now-sec, z)
	}, "†11{7}"},
	{"a zombie, its fork lost, its exit heard, and its pid used again at once", func(w *world) {
		since, at := w.now, w.tick()
		z := found(11, 1, at)
		z.Zombie = true
		w.scan(since, z)
		w.Exit(11, 11, at+2*ms)
		w.Fork(1, 11, at+4*ms)
	}, "†11? 11{}"},
	{"dead after the snapshot was taken", func(w *world) {
		w.fork(1, 10)
		p := found(10, 1, w.now)
		w.exit(10, 10)
		w.Resync([]Scanned{init1, p}, w.now, w.now-50*ms, nil)
	}, "†10{}"},
	{"no process can have such a pid", func(w *world) {
		w.scan(0, found(-4, 1, sec), found(maxPID+1, 1, sec))
	}, ""},
	{"a torn snapshot in which two are each other's parents", func(w *world) {
		at := w.tick()
		w.scan(at, found(10, 11, at), found(11, 10, at))
	}, "10? 11?"},
}

func TestResync(t *testing.T) {
	for _, c := range resyncCases {
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

// TestResyncShortRead gives a listing that lacks processes which live: none may
// be dropped without a second proof.
func TestResyncShortRead(t *testing.T) {
	w := newWorld()
	var procs []Scanned
	for pid := int32(10); pid < 110; pid++ {
		w.fork(1, pid)
		w.add(pid, 7)
		procs = append(procs, found(pid, 1, w.now))
	}
	procs = slices.DeleteFunc(procs, func(p Scanned) bool { return p.PID%7 == 0 })
	procs = append(procs, init1)
	var asked []int32
	w.Resync(procs, w.now, w.tick(), func(k Key) (Scanned, bool) {
		asked = append(asked, k.PID)
		return found(k.PID, 1, k.Start.Boot()), k.PID != 14 // that one is gone indeed
	})
	want := []int32{14, 21, 28, 35, 42, 49, 56, 63, 70, 77, 84, 91, 98, 105}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("asked about (-want +got):\n%s", diff)
	}
	for pid := int32(10); pid < 110; pid++ {
		if l, ok := w.Live(pid); ok != (pid != 14) || ok && !w.Sets.Has(l.Set, 7) {
			t.Errorf("process %d: live %v, %+v", pid, ok, l)
		}
	}
	if n := w.Awaiting(); n != 1 {
		t.Errorf("Awaiting() = %d, want 1", n)
	}
}

// TestEnded loses the exit of a parent: its line proves which of the children
// seen since are its own, and which another's who had its pid.
func TestEnded(t *testing.T) {
	w := newWorld()
	w.fork(1, 10)
	w.add(10, 7)
	born := w.now
	w.Lost()
	w.fork(10, 11)
	w.Fork(10, 12, w.tick()+5*ms) // in the last 10 ms of its parent
	died := w.now
	w.fork(10, 13) // another 10
	there := []Scanned{found(11, 1, died-100*ms), found(12, 1, died+5*ms), found(13, 1, w.now)}
	w.scan(born, there...)
	if got, want := w.String(), "†10{7} 11? 12? 13?"; got != want {
		t.Errorf("before the line: %s, want %s", got, want)
	}
	w.scan(w.now, there...) // they wait on
	l := w.reap(10)
	w.Ended(l, died-l.Start.Boot(), true)
	if got, want := w.String(), "11{7}~ 12{7}~ 13?"; got != want {
		t.Errorf("after the line: %s, want %s", got, want)
	}
	w.fork(1, 10)
	if got, want := w.String(), "10{} 11{7}~ 12{7}~ 13?"; got != want {
		t.Errorf("after the next fork of its pid: %s, want %s", got, want)
	}
	w.endAll()
	w.checkEmpty(t)
}

// Where it is known to the microsecond how long a process lived, what the next life
// of its pid forks at once is not its own.
func TestEndedPrecisely(t *testing.T) {
	for coarse, want := range map[bool]string{true: "11{7}~ 12{7}~", false: "11{7}~ 12?"} {
		w := newWorld()
		w.Fork(1, 10, w.tick()+ms)
		w.add(10, 7)
		w.Lost()
		w.Fork(10, 11, w.now+4*ms)
		w.Fork(10, 12, w.now+8*ms) // another 10
		w.scan(w.now, found(11, 1, w.now), found(12, 1, w.now))
		w.Ended(w.reap(10), 5*ms, coarse)
		if got := w.String(); got != want {
			t.Errorf("coarse %v: %s, want %s", coarse, got, want)
		}
	}
}

// A child of the dead forks the dead's pid anew, and that forks. One line places
// the three, and the last waits no more: what becomes of its parent is not its own.
func TestEndedNextLife(t *testing.T) {
	w := newWorld()
	w.fork(1, 10)
	w.add(10, 7)
	born := w.now
	w.Lost()
	w.fork(10, 11)
	child, died := w.now, w.now+10*ms
	w.now = died + 10*ms
	again, last := w.tick(), w.tick()
	w.scan(born, found(10, 11, again), found(11, 1, child), found(12, 10, last))
	l := w.reap(10)
	w.Ended(l, died-l.Start.Boot(), true)
	if got, want := w.String(), "10{7}~ 11{7}~ 12{7}~"; got != want {
		t.Errorf("after the line: %s, want %s", got, want)
	}
	w.add(10, 8)
	w.exit(10, 10)
	l = w.reap(10)
	w.Ended(l, w.now-l.Start.Boot(), true)
	if got, want := w.String(), "11{7}~ 12{7}~"; got != want {
		t.Errorf("after its parent went to another group: %s, want %s", got, want)
	}
	w.endAll()
	w.checkEmpty(t)
}

func TestResyncStarts(t *testing.T) {
	w := newWorld()
	w.scan(0, found(10, 1, 5*sec), found(11, 10, 6*sec))
	if diff := cmp.Diff(map[SetID]int64{Ungrouped: 2}, w.starts()); diff != "" {
		t.Errorf("at the first start (-want +got):\n%s", diff)
	}
	w.scan(w.now, found(10, 1, 5*sec), found(11, 10, 6*sec), found(12, 10, 7*sec))
	if diff := cmp.Diff(map[SetID]int64{}, w.starts()); diff != "" {
		t.Errorf("of one from before the gap (-want +got):\n%s", diff)
	}
	since := w.now
	w.scan(since, found(10, 1, 5*sec), found(11, 10, 6*sec), found(12, 10, 7*sec),
		found(13, 10, w.tick()), found(14, 1, w.tick()))
	if diff := cmp.Diff(map[SetID]int64{Ungrouped: 1, Unattributed: 1}, w.starts()); diff != "" {
		t.Errorf("of two born in the gap (-want +got):\n%s", diff)
	}
}

// TestWaiting checks that children of a parent that stays unknown cost nothing
// once they are over, and that there are not too many of them.
func TestWaiting(t *testing.T) {
	w := newWorld()
	before := w.now
	w.fork(9, 10)
	for range 3 * maxWaiting {
		w.Fork(10, 11, w.tick())
		w.Exit(11, 11, w.now)
		w.reap(11)
	}
	if w.waits != 1 || len(w.waiting) != 1 {
		t.Errorf("%d children of %d parents wait, want 1 of 1", w.waits, len(w.waiting))
	}
	for i := range int32(maxWaiting + 100) {
		w.Fork(9, 100+i, w.now)
	}
	if w.waits != maxWaiting {
		t.Errorf("%d children wait, want %d", w.waits, maxWaiting)
	}
	w.Fork(1, 9, before)
	if got := w.LiveIn(Unattributed); got != 101 {
		t.Errorf("%d are unattributed, want the 101 that found no place to wait", got)
	}
	if w.waits != 0 || len(w.waiting) != 0 {
		t.Errorf("%d children of %d parents wait, want none", w.waits, len(w.waiting))
	}
}
