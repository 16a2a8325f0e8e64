// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"testing"
	"time"

	"elsa/pkg/clock"
	"elsa/pkg/cnfork"
	"elsa/pkg/groups"
)

// applyAll applies the rules that are due, and returns how many turns it took.
func applyAll(t *testing.T, e *Engine, n int, now Now, between func(turn int)) (turns int) {
	t.Helper()
	for {
		more, err := e.ApplySome(n, now)
		if err != nil {
			t.Fatal(err)
		}
		if turns++; !more {
			return turns
		}
		if between != nil {
			between(turns)
		}
	}
}

// New rules are applied to the processes there are in turns. What happens between two
// of them changes nothing of who comes to which groups.
func TestRulesInTurns(t *testing.T) {
	const first, processes = 100, 100
	rules := "{match: all, list: [{group: shells, command: 'sh'}, {group: others, command: 'c*'}]}"
	begin := func(t *testing.T) (*machine, *Engine, Now) {
		m, now := newMachine(), at(time.Hour)
		e := newBooted(t, m, now)
		for pid := int32(first); pid < first+processes; pid++ {
			m.runs(e, pid, []string{"sh", "cc"}[pid%2], now)
		}
		if err := e.SetRules(ruleSet(t, rules), now); err != nil {
			t.Fatal(err)
		}
		return m, e, now
	}
	in := func(e *Engine, pid int32) string {
		l, ok := e.Live(pid)
		return fmt.Sprint(e.GroupNames(l.Set), ok)
	}
	want := func(t *testing.T, e *Engine) {
		t.Helper()
		for pid := int32(first); pid < first+processes; pid++ {
			if _, lives := e.Live(pid); !lives {
				continue
			}
			if got, want := in(e, pid), []string{"[shells] true", "[others] true"}[pid%2]; got != want {
				t.Errorf("process %d is in %s, want %s", pid, got, want)
			}
		}
	}
	fork := func(m *machine, e *Engine, parent, pid int32, now Now) {
		p := *m.procs[parent]
		p.PID, p.PPID, p.Start = pid, parent, clock.At(now.Boot, clock.Tick)
		copy(p.Comm[:], "fork\x00") // no rule knows it
		m.procs[pid] = &p
		e.Events([]cnfork.Event{{Kind: cnfork.Fork, PID: pid, TGID: pid, ParentPID: parent, ParentTGID: parent, Time: clock.Mono(now.Boot)}}, 0, 0, now)
	}

	t.Run("bounded", func(t *testing.T) {
		_, e, now := begin(t)
		if turns := applyAll(t, e, 10, now, func(turn int) {
			ruled := 0
			e.tracker.EachLive(func(l groups.Life) {
				if l.Set.Grouped() {
					ruled++
				}
			})
			if ruled > 10*turn {
				t.Errorf("%d processes were put in groups in %d turns of 10", ruled, turn)
			}
		}); turns != 11 { // with process 1
			t.Errorf("%d turns, want 11", turns)
		}
		want(t, e)
	})
	t.Run("forks meanwhile", func(t *testing.T) {
		m, e, now := begin(t)
		children := map[int32]string{}
		applyAll(t, e, 10, now, func(turn int) {
			pid := int32(1000 + 10*turn)
			fork(m, e, first+1, pid, now)             // of one that was looked at in the first turns
			fork(m, e, first+processes-2, pid+1, now) // of one that is looked at in the last
			fork(m, e, pid+1, pid+2, now)             // and its child
			m.runs(e, pid+3, "cc", now)               // executes a program
			children[pid], children[pid+3] = "[others] true", "[others] true"
			children[pid+1], children[pid+2] = "[shells] true", "[shells] true"
		})
		want(t, e)
		for pid, want := range children {
			if got := in(e, pid); got != want {
				t.Errorf("child %d is in %s, want %s", pid, got, want)
			}
		}
	})
	t.Run("ends meanwhile", func(t *testing.T) {
		m, e, now := begin(t)
		const last, child = first + processes - 2, 2000
		applyAll(t, e, 10, now, func(turn int) {
			if turn == 1 {
				fork(m, e, last, child, now)
				copy(m.procs[child].Comm[:], "sh\x00\x00") // its parent's, which a rule knows
				delete(m.procs, last)
				e.Events([]cnfork.Event{{Kind: cnfork.Exit, PID: last, TGID: last, Time: clock.Mono(now.Boot)}}, 0, 0, now)
			}
		})
		want(t, e)
		if got := in(e, child); got != "[shells] true" {
			t.Errorf("the child of one that ended is in %s", got)
		}
	})
	t.Run("loss meanwhile", func(t *testing.T) {
		m, e, now := begin(t)
		const lost = 3000
		turns := applyAll(t, e, 10, now, func(turn int) {
			if turn == 1 { // its fork is not told
				p := *m.procs[first]
				p.PID = lost
				m.procs[lost] = &p
				e.Events(nil, 1, 0, now)
			}
		})
		want(t, e)
		if got := in(e, lost); got != "[shells] true" || turns != 2 {
			t.Errorf("what a rescan found is in %s, after %d turns", got, turns)
		}
	})
}
