// SPDX-License-Identifier: Apache-2.0

package groups

import (
	"fmt"
	"slices"
	"strings"
)

const (
	ms  = int64(1e6)
	sec = int64(1e9)
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
	now int64
}

func newWorld() *world {
	w := &world{New(NewSets()), 1000 * sec}
	w.Resync([]Scanned{{PID: 1, Threads: 1}}, 0, 0, nil)
	w.starts()
	return w
}

func (w *world) tick() int64 { w.now += 100 * ms; return w.now }

func (w *world) fork(parent, child int32)     { w.Fork(parent, child, w.tick()) }
func (w *world) exit(tid, tgid int32)         { w.Exit(tid, tgid, w.tick()) }
func (w *world) add(pid int32, gid uint32)    { w.must(w.Add(pid, gid, false)) }
func (w *world) move(pid int32, gid uint32)   { w.must(w.Add(pid, gid, true)) }
func (w *world) remove(pid int32, gid uint32) { w.must(w.Remove(pid, gid)) }
func (w *world) must(_ Change, ok bool)       { w.check(ok, "no such process") }
func (w *world) reap(pid int32) (l Life) {
	l, ok := w.Reap(pid, anyLife)
	w.check(ok, "nothing to reap")
	return l
}
func (w *world) check(ok bool, complaint string) {
	if !ok {
		panic(complaint)
	}
}

func anyLife(*Life) bool { return true }

// scan resyncs with what procs says is there, beside process 1. A process that
// is not listed is gone.
func (w *world) scan(since int64, procs ...Scanned) {
	procs = append(procs, Scanned{PID: 1, Threads: 1})
	w.Resync(procs, since, w.tick(), func(Key) bool { return true })
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
		case reaped:
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
	w.Classify(true, func(Key) (Kind, int64) { return Gone, 0 })
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
