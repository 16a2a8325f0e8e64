// SPDX-License-Identifier: Apache-2.0

package groups

import (
	"testing"

	"elsa/pkg/clock"
)

// life is a process by pid and exact start.
func life(pid int32, start clock.Boot) Key { return Key{pid, clock.At(start, clock.Exact)} }

// TestForkOf forks by processes that are told with their start.
func TestForkOf(t *testing.T) {
	shell, job := life(10, 1000), life(11, 2000)
	grouped := func(t *testing.T) *Tracker {
		tr := New(NewSets())
		tr.WholeExits = true
		tr.ForkOf(life(1, 0), shell.PID, shell.Start)
		if _, ok := tr.Add(shell.PID, 7, false); !ok {
			t.Fatal("the shell is not there")
		}
		return tr
	}
	in := func(tr *Tracker, k Key) string {
		l, ok := tr.Lookup(k.PID)
		switch {
		case !ok || l.Start != k.Start:
			return "not there"
		case l.Unproven:
			return "unattributed"
		case tr.Sets.Has(l.Set, 7):
			return "in"
		}
		return "out"
	}
	for _, tt := range []struct {
		name  string
		story func(*Tracker)
		want  string
	}{
		{"a child of the shell", func(tr *Tracker) { tr.ForkOf(shell, job.PID, job.Start) }, "in"},
		{"a child of the next life of its pid, whose fork was not told", func(tr *Tracker) {
			tr.ForkOf(life(10, 1500), job.PID, job.Start)
		}, "unattributed"},
		{"a child of the shell, after loss", func(tr *Tracker) {
			tr.Lost()
			tr.ForkOf(shell, job.PID, job.Start)
			tr.Resync([]Scanned{{PID: 1, Start: clock.At(0, clock.Tick)}}, 500, 3000, allDead)
		}, "in"},
		{"a child of the next life, after loss", func(tr *Tracker) {
			tr.Lost()
			tr.ForkOf(life(10, 1500), job.PID, job.Start)
			tr.Resync([]Scanned{{PID: 1, Start: clock.At(0, clock.Tick)}}, 500, 3000, allDead)
		}, "unattributed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := grouped(t)
			tt.story(tr)
			got := in(tr, job)
			if l := tr.older[job.PID]; got == "not there" && len(l) == 1 {
				got = map[bool]string{true: "unattributed", false: "out"}[l[0].Unproven]
				if tr.Sets.Has(l[0].Set, 7) {
					got = "in"
				}
			}
			if got != tt.want {
				t.Errorf("the job is %s, want %s", got, tt.want)
			}
		})
	}
}

// TestEnd ends processes that are told with their start.
func TestEnd(t *testing.T) {
	job := life(11, 2000)
	for _, tt := range []struct {
		name  string
		story func(*Tracker)
		dead  bool
	}{
		{"its own, with threads that were seen in /proc", func(tr *Tracker) {
			tr.Resync([]Scanned{{PID: 11, Start: clock.At(0, clock.Tick), Threads: 8}}, 0, 2500, unseen)
			tr.End(job, 3000)
		}, true},
		{"that of an earlier life", func(tr *Tracker) { tr.End(life(11, 1000), 3000) }, false},
		{"told twice, and seen to run while its memory is freed", func(tr *Tracker) {
			tr.End(job, 3000)
			tr.End(job, 3001)
			tr.Resync([]Scanned{{PID: 11, Start: clock.At(0, clock.Tick), Threads: 1}}, 0, 4000, unseen)
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := New(NewSets())
			tr.WholeExits = true
			tr.ForkOf(life(1, 0), job.PID, job.Start)
			tt.story(tr)
			if _, live := tr.Live(job.PID); live == tt.dead {
				t.Errorf("it lives: %v", live)
			}
			if tt.dead && tr.awaiting != 1 {
				t.Errorf("%d await their record, want 1", tr.awaiting)
			}
		})
	}
}

// TestSameStart looks at a process after loss that began as the one of its pid did, as
// far as /proc can tell, and has another parent than was told.
func TestSameStart(t *testing.T) {
	const ms = 1e6
	for _, tt := range []struct {
		name   string
		ppid   int32
		parent Scanned // of the one told
		want   int     // more lives
	}{
		{"who has its parent's pid may have begun after it", 12, Scanned{PPID: 10, Threads: 1, Start: clock.At(1200*ms, clock.Tick)}, 0},
		{"its parent lives", 12, Scanned{PPID: 10, Threads: 1}, 1},
		{"its parent gives its children away", 1, Scanned{PPID: 10, Threads: 1, Ending: true}, 0},
		{"it has the parent of its parent (CLONE_PARENT)", 10, Scanned{PPID: 10, Threads: 1}, 0},
		{"its parent cannot be looked at", 1, Scanned{}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := New(NewSets())
			tr.WholeExits = true
			tr.ForkOf(life(1, 0), 10, clock.At(1000*ms, clock.Exact))
			parent := clock.At(1100*ms, clock.Exact)
			if tt.parent.Start != 0 {
				parent = tt.parent.Start
			}
			tr.ForkOf(life(10, 1000*ms), 11, parent)
			tr.ForkOf(Key{11, parent}, 20, clock.At(1205*ms, clock.Exact))
			tr.Lost()
			there := []Scanned{
				{PID: 10, PPID: 1, Start: clock.At(1000*ms, clock.Tick), Threads: 1},
				{PID: 11, PPID: 10, Start: clock.At(max(parent.Boot()/(10*ms), 110)*10*ms, clock.Tick), Threads: 1},
				{PID: 20, PPID: tt.ppid, Start: clock.At(1200*ms, clock.Tick), Threads: 1},
			}
			tr.Resync(there, 1150*ms, 1300*ms, func(k Key) (Scanned, bool) {
				tt.parent.PID, tt.parent.Start = k.PID, k.Start
				return tt.parent, k.PID == 11
			})
			if got := len(tr.older[20]); got != tt.want || tr.awaiting != tt.want {
				t.Errorf("%d lives before it, %d await their record; want %d", got, tr.awaiting, tt.want)
			}
		})
	}
}
