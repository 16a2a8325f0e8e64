// SPDX-License-Identifier: Apache-2.0

package groups

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"elsa/pkg/clock"
)

// disk is a store: what TakeChanged told, and the sets.
type disk struct {
	lives map[Key]Life
	sets  map[SetID][]uint32
}

func newDisk() *disk { return &disk{map[Key]Life{}, map[SetID][]uint32{}} }

// commit takes what changed. It fails when a life is deleted that was never put:
// the store would take it, but a tracker that does so has lost count.
func (d *disk) commit(t reporter, w *Tracker) {
	t.Helper()
	w.TakeStarts(func(SetID, int64) {})
	for _, id := range w.Sets.TakeFresh() {
		d.sets[id] = slices.Clone(w.Sets.Groups(id))
	}
	w.TakeChanged(func(l Life) { d.lives[l.Key()] = l }, func(k Key) {
		if _, ok := d.lives[k]; !ok {
			t.Errorf("deleted %+v, which was never put", k)
		}
		delete(d.lives, k)
	})
}

// restore makes a tracker from what was committed. alive gives the threads of a
// process that lives.
func (d *disk) restore(alive func(Life) (int32, bool)) *Tracker {
	sets := NewSets()
	for id, gs := range d.sets {
		sets.Restore(id, gs)
	}
	t := New(sets)
	for _, l := range d.lives {
		n, ok := alive(l)
		t.Restore(l, n, ok)
	}
	return t
}

var ignoreStored = cmpopts.IgnoreUnexported(Life{})

// TestTakeChanged follows one process through everything that the store must
// hear of.
func TestTakeChanged(t *testing.T) {
	w, d := newWorld(), newDisk()
	held := func(when string, want ...Life) {
		t.Helper()
		d.commit(t, w.Tracker)
		var got []Life
		for _, l := range d.lives {
			got = append(got, l)
		}
		slices.SortFunc(got, func(a, b Life) int { return int(a.Start - b.Start) })
		if diff := cmp.Diff(want, got, ignoreStored, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", when, diff)
		}
		if w.Changed() {
			t.Errorf("%s: Changed() after a commit", when)
		}
	}
	w.fork(1, 10)
	life := Life{PID: 10, PPID: 1, Start: stamped(w.now)}
	in := func(set SetID) Life { l := life; l.Set = set; return l }
	held("in no group")
	w.add(10, 7)
	g7 := w.Sets.Only(7)
	held("added", in(g7))
	w.remove(10, 7)
	held("removed")
	w.KeepAccount(life.Key())
	w.KeepAccount(Key{10, stamped(5)}) // another life
	life.HasAccount = true
	held("hasAccount in no group", life)
	w.add(10, 7)
	w.add(10, 8)
	g78 := w.Sets.With(g7, 8)
	held("in two", in(g78))
	w.Thread(10)
	w.exit(10, 10)
	held("leader gone", in(g78))
	w.Exec(10)
	w.exit(10, 10)
	life, _ = w.Lookup(10)
	held("dead", life)
	w.Exec(10)
	life.Exit = 0
	held("alive after all", life)
	w.fork(1, 10) // evicts
	evicted, _ := w.Peek(10, anyLife)
	held("evicted", evicted)
	w.DropGroup(8)
	evicted.Set = g7
	held("its group dropped", evicted)
	w.TouchAll()
	clear(d.lives)
	held("after the store was emptied", evicted)
	w.DropGroup(7)
	evicted.Set = Ungrouped
	held("in no group, but hasAccount", evicted)
	w.reap(10)
	held("recorded")

	w.fork(1, 20)
	w.add(20, 7)
	w.exit(20, 20)
	w.reap(20)
	held("came and went")
	w.fork(1, 20)
	w.add(20, 7)
	d.commit(t, w.Tracker)
	w.fork(1, 20)
	w.DropGroup(7) // and recorded before the next commit
	w.reap(20)
	held("dropped and recorded at once")
	w.fork(1, 20)
	w.add(20, 7)
	d.commit(t, w.Tracker)
	dropped, _ := w.Lookup(20)
	w.fork(1, 20)
	w.DropGroup(7)
	dropped.Exit, dropped.Set, dropped.HasAccount = w.now+1, Ungrouped, true // what it used was billed
	held("evicted and dropped", dropped)
	w.reap(20)
	w.reap(20)
	held("and recorded")
	w.fork(1, 21)
	w.add(21, 7)
	d.commit(t, w.Tracker)
	w.reap(21)
	held("record before the exit event")
	w.exit(21, 21)
	held("and then that")
	w.endAll()
	w.checkEmpty(t)
}

// TestRestore takes a tracker down and up again.
func TestRestore(t *testing.T) {
	w, d := newWorld(), newDisk()
	w.fork(1, 10)
	w.add(10, 7)
	w.Thread(10)
	w.fork(10, 11)
	w.fork(10, 12)
	w.exit(12, 12)
	w.fork(10, 13)
	w.fork(10, 13) // evicts
	w.fork(10, 14)
	w.move(14, 8)
	w.fork(98, 15)
	w.fork(1, 16)
	w.KeepAccount(Key{16, stamped(w.now)})
	since, p10 := w.now, found(10, 1, 1000*sec+100*ms)
	p10.Threads = 2
	at := w.tick()
	listed := []Scanned{p10}
	for pid := int32(11); pid <= 16; pid++ {
		if l, ok := w.Live(pid); ok {
			listed = append(listed, found(pid, l.PPID, l.Start.Boot()))
		}
	}
	w.scan(since, append(listed, found(17, 10, at))...)
	d.commit(t, w.Tracker)

	live := map[int32]bool{}
	w.EachLive(func(l Life) { live[l.PID] = true })
	threads := func(l Life) (int32, bool) {
		if l.PID == 10 {
			return 2, true
		}
		return 1, live[l.PID] && (l.PID != 13 || l.Exit == 0)
	}
	x := &world{d.restore(threads), w.now}
	x.Resync([]Scanned{init1}, x.now, x.now, unseen)
	want := w.String()
	if got := x.String(); got != want || want != "10{7} 11{7} †12{7} †13{7} 13{7} 14{8} 15? 16{} 17{7}~" {
		t.Errorf("after a restart %s\nbefore          %s", got, want)
	}
	if n := len(x.starts()); n != 0 {
		t.Errorf("%d sets have starts again", n)
	}
	if n := x.Awaiting(); n != 2 {
		t.Errorf("Awaiting() = %d, want 2", n)
	}
	x.Fork(10, 17, at) // its event was still queued
	x.exit(10, 10)     // its second thread lives
	x.fork(10, 18)
	x.reap(12)
	x.reap(13)
	if got, want := x.String(), "10{7} 11{7} 13{7} 14{8} 15? 16{} 17{7} 18{7}"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	d.commit(t, x.Tracker)
	x.endAll()
	d.commit(t, x.Tracker)
	x.checkEmpty(t)
	if len(d.lives) != 0 {
		t.Errorf("the store still holds %v", d.lives)
	}
}

// TestRestoreOrder gives lives of one pid in any order: they are recorded in the
// order they were lived.
func TestRestoreOrder(t *testing.T) {
	w := newWorld()
	for _, at := range []clock.Boot{3, 1, 2} {
		w.Restore(Life{PID: 10, Start: inProc(at * sec), Set: Unattributed}, 0, false)
	}
	for at := clock.Boot(1); at <= 3; at++ {
		if l := w.reap(10); l.Start.Boot() != at*sec {
			t.Errorf("recorded the life of %d s, want that of %d s", l.Start.Boot()/sec, at)
		}
	}
	w.endAll()
	w.checkEmpty(t)
}
