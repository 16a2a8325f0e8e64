// SPDX-License-Identifier: Apache-2.0

package groups

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"elsa/pkg/clock"
)

const (
	ms  = clock.Boot(1e6)
	sec = clock.Boot(1e9)
)

// reporter is what testing.T and rapid.T have in common.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
	Error(args ...any)
}

// world drives a tracker: a clock that goes on by 100 ms with each event, and
// process 1, which is there from the start.
type world struct {
	*Tracker
	now clock.Boot
}

func newWorld() *world {
	w := &world{New(NewSets()), 1000 * sec}
	w.Resync([]Scanned{init1}, 0, 0, nil)
	w.starts()
	return w
}

func (w *world) tick() clock.Boot { w.now += 100 * ms; return w.now }

// Fork, Task and Ended are the tracker's, for a source that stamps its events or
// one whose events are stamped when they are read.
func (w *world) Fork(parent, child int32, at clock.Boot) { w.Tracker.Fork(parent, child, stamped(at)) }
func (w *world) Task(parent, child int32, at clock.Boot) {
	w.Tracker.Task(parent, child, clock.At(at, clock.Read))
}
func (w *world) Ended(l Life, lived clock.Boot, coarse bool) {
	w.Tracker.Ended(l, time.Duration(lived), coarse)
}

func stamped(at clock.Boot) clock.Start { return clock.At(at, clock.Stamped) }

// inProc is what /proc shows of a process that began at a time.
func inProc(at clock.Boot) clock.Start { return clock.At(at-at%(10*ms), clock.Tick) }

func (w *world) fork(parent, child int32)     { w.Fork(parent, child, w.tick()) }
func (w *world) exit(tid, tgid int32)         { w.Exit(tid, tgid, w.tick()) }
func (w *world) add(pid int32, gid uint32)    { w.must(w.Add(pid, gid, false)) }
func (w *world) move(pid int32, gid uint32)   { w.must(w.Add(pid, gid, true)) }
func (w *world) remove(pid int32, gid uint32) { w.must(w.Remove(pid, gid)) }
func (w *world) must(_ Change, ok bool)       { w.check(ok, "no such process") }
func (w *world) reap(pid int32) (l Life) {
	l, ok := w.Take(pid, anyLife)
	w.check(ok, "nothing to reap")
	return l
}
func (w *world) check(ok bool, complaint string) {
	if !ok {
		panic(complaint)
	}
}

// init1 is process 1.
var init1 = Scanned{PID: 1, Start: inProc(0), Threads: 1}

func anyLife(*Life) bool { return true }

// scan resyncs with what procs says is there, beside process 1. A process that
// is not listed is gone.
func (w *world) scan(since clock.Boot, procs ...Scanned) {
	procs = append(procs, init1)
	w.Resync(procs, since, w.tick(), allDead)
}

// starts takes the starts since the last call, by set.
func (w *world) starts() map[SetID]int64 {
	m := map[SetID]int64{}
	w.TakeStarts(func(set SetID, n int64) { m[set] += n })
	return m
}

// String shows every process but 1, by pid: its groups in braces; a ? where they
// are not known, a ~ where they are inferred; † where it is dead and awaits its
// record, and parentheses where its record was read first.
func (w *world) String() string {
	var all []string
	show := func(l Life, format string) {
		in := "?"
		if !l.Unproven || l.Set != Unattributed {
			in = "{" + strings.Trim(strings.ReplaceAll(fmt.Sprint(w.Sets.Groups(l.Set)), " ", ","), "[]") + "}"
			if l.Set == Unattributed {
				in += "BAD"
			}
		}
		if l.Inferred {
			in += "~"
		}
		all = append(all, fmt.Sprintf(format, fmt.Sprint(l.PID, in)))
	}
	var pids []int32
	for pid := range w.older {
		pids = append(pids, pid)
	}
	w.table.all(func(pid int32, _ *entry) { pids = append(pids, pid) })
	slices.Sort(pids)
	for _, pid := range slices.Compact(pids) {
		for _, l := range w.older[pid] {
			show(l, "†%s")
		}
		e := w.table.get(pid)
		if e == nil || pid == 1 {
			continue
		}
		format := "%s"
		switch e.state {
		case dead:
			format = "†%s"
		case recorded:
			format = "(%s)"
		case task:
			format = "%s task"
		case thread:
			format = "%s thread"
		}
		show(w.lifeOf(pid, e), format)
	}
	return strings.Join(all, " ")
}

// endAll ends every process but 1 and forgets it.
func (w *world) endAll() {
	w.scan(w.now) // finds process 1 alone
	w.Classify(true, func(Key) (Kind, clock.Start) { return Gone, 0 })
	for range 2 {
		w.Barrier(func(Life) bool { return true })
	}
}

// checkEmpty fails when anything is kept although only process 1 is there.
func (w *world) checkEmpty(t reporter) {
	t.Helper()
	w.TakeStarts(func(SetID, int64) {})
	w.TakeChanged(func(Life) {}, func(Key) {})
	w.Sets.TakeFresh()
	for what, n := range map[string]int{
		"older lives": len(w.older), "waiting": len(w.waiting), "waits": w.waits, "deaths": len(w.deaths),
		"awaiting": w.awaiting, "tasks": len(w.tasks), "begun": len(w.begun), "changed": len(w.changed), "gone": len(w.gone),
	} {
		if n != 0 {
			t.Errorf("%s: %d are left, want none", what, n)
		}
	}
	if s := w.String(); s != "" {
		t.Errorf("processes left: %s", s)
	}
	for set := range w.sets {
		if n := w.LiveIn(SetID(set)); n != 0 && (set != 0 || n != 1) {
			t.Errorf("%d live processes are left in set %d", n, set)
		}
	}
	if w.Changed() {
		t.Error("Changed() after everything was taken")
	}
}

// allDead is a second look that finds nobody.
func allDead(Key) (Scanned, bool) { return Scanned{}, false }

// unseen is a second look that cannot look.
func unseen(k Key) (Scanned, bool) { return Scanned{PID: k.PID, Start: k.Start}, true }
