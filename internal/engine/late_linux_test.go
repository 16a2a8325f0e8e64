// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"elsa/internal/rules"
	"elsa/internal/tally"
	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/cnfork"
	"elsa/pkg/proc"
	"elsa/pkg/usage"
)

// busyMachine is a machine on which looks at some processes do not end in time.
type busyMachine struct {
	*machine
	proc, env map[int32]bool // busy: for Process and for Env
	ci        map[int32]bool
}

func newBusyMachine() *busyMachine {
	return &busyMachine{newMachine(), map[int32]bool{}, map[int32]bool{}, map[int32]bool{}}
}

// coming is the error of a look of which the end will be told.
func coming() error {
	b := proc.NewBounded("/nowhere").Impatient()
	gate := make(chan struct{})
	defer close(gate)
	return b.Look(1, func() { <-gate })
}

func (m *busyMachine) Process(pid int32) (proc.Process, error) {
	if m.proc[pid] {
		return proc.Process{}, fmt.Errorf("read process: %w", coming())
	}
	return m.machine.Process(pid)
}

type busyTraits struct {
	*rules.Ended
	m            *busyMachine
	pid          int32
	late, unseen bool
}

func (m *busyMachine) Traits(p proc.Process, _ uint64) rules.Traits {
	return &busyTraits{Ended: rules.Gone(p, m), m: m, pid: p.PID}
}

func (b *busyTraits) Env(string) []string {
	if b.m.env[b.pid] {
		b.late, b.unseen = true, true
		return nil
	}
	if b.m.ci[b.pid] {
		return []string{"1"}
	}
	return nil
}

func (b *busyTraits) Unseen() bool { u := b.unseen; b.unseen = false; return u }
func (b *busyTraits) Late() bool   { l := b.late; b.late = false; return l }

// lateEngine has a rule by environment, and processes 20 and 30, of which 20 forks 21
// and that 22 after its exec, before anybody could look at it.
func lateEngine(t *testing.T, m *busyMachine) (*Engine, Now) {
	t.Helper()
	now := at(time.Minute)
	e, err := New(Options{
		World: m, Commands: 1000, Retention: 24 * time.Hour, Hours: 24 * time.Hour, ExpectExact: true,
		KnownCommands: func(uint32) []string { return nil },
	}, now)
	if err != nil {
		t.Fatal(err)
	}
	e.SetClocks(now, 0, 4*time.Millisecond)
	if err := e.SetRules(parseRules(t, "match: all\nlist: [{group: all, user: '*'}, {group: ci, env: {CI: '1'}}]"), now); err != nil {
		t.Fatal(err)
	}
	fork := func(parent, pid int32) cnfork.Event {
		m.procs[pid] = &proc.Process{PID: pid, PPID: parent, Start: clock.At(now.Boot, clock.Tick), State: 'R', Threads: 1}
		return cnfork.Event{Kind: cnfork.Fork, PID: pid, TGID: pid, ParentPID: parent, ParentTGID: parent, Time: clock.Mono(now.Boot)}
	}
	m.ci[20] = true
	e.Events([]cnfork.Event{
		fork(1, 20), fork(1, 30), {Kind: cnfork.Exec, PID: 20, TGID: 20}, fork(20, 21), fork(21, 22), fork(30, 31),
	}, 0, 0, now)
	return e, now
}

func in(e *Engine, pid int32) string {
	l, _ := e.tracker.Lookup(pid)
	return strings.Join(e.groupNames(l.Set), " ")
}

// A rule is applied when the look at its process ends, to that process and to what it
// has forked since, and a look that is late again is waited for again.
func TestLateAnswer(t *testing.T) {
	for _, what := range []string{"process", "environment"} {
		t.Run(what, func(t *testing.T) {
			m := newBusyMachine()
			busy := m.env
			if what == "process" {
				busy = m.proc
			}
			busy[20] = true
			e, now := lateEngine(t, m)
			for range 2 {
				for _, pid := range []int32{20, 21, 22} {
					if got := in(e, pid); strings.Contains(got, "ci") {
						t.Errorf("before the look ended %d is in %q", pid, got)
					}
				}
				answer(t, e, now, 20) // busy again
			}
			delete(busy, 20)
			answer(t, e, now, 30, 20)
			for pid, want := range map[int32]string{20: "all ci", 21: "all ci", 22: "all ci", 30: "", 31: ""} {
				if got := in(e, pid); got != want {
					t.Errorf("%d is in %q, want %q", pid, got, want)
				}
			}
			if n := e.Counts()[tally.RulesLate]; n != 0 {
				t.Errorf("%d not seen", n)
			}
			if len(e.unseen.late.waits)+len(e.unseen.late.heirs) != 0 {
				t.Errorf("still waited for: %v, %v", e.unseen.late.waits, e.unseen.late.heirs)
			}
		})
	}
}

// An answer about a process that has ended, or whose pid another has, changes
// nobody, and is counted.
func TestLateAnswerGone(t *testing.T) {
	m := newBusyMachine()
	m.env[20] = true
	e, now := lateEngine(t, m)
	later := now.after(time.Second)
	exit := cnfork.Event{Kind: cnfork.Exit, PID: 20, TGID: 20, Time: clock.Mono(later.Boot)}
	again := cnfork.Event{Kind: cnfork.Fork, PID: 20, TGID: 20, ParentPID: 1, ParentTGID: 1, Time: clock.Mono(later.Boot) + 1000}
	e.Events([]cnfork.Event{exit, again}, 0, 0, later)
	delete(m.env, 20)
	m.procs[20].Start = clock.At(later.Boot, clock.Tick)
	answer(t, e, later, 20)
	if got := in(e, 20); got != "" {
		t.Errorf("the next process of the pid is in %q", got)
	}
	if n := e.Counts()[tally.RulesLate]; n != 1 {
		t.Errorf("%d not seen, want 1", n)
	}
}

func answer(t *testing.T, e *Engine, now Now, pids ...int32) {
	t.Helper()
	if err := e.Answered(pids, now); err != nil {
		t.Error(err)
	}
}

// A process that was busy when all were looked at after a start, and that nobody knew,
// is found when it answers: it is where its parent is, and the rules look at it.
func TestLeftOutOfScan(t *testing.T) {
	m := newBusyMachine()
	e, now := lateEngine(t, m)
	later := now.after(time.Second)
	m.procs[40] = &proc.Process{PID: 40, PPID: 20, Start: clock.At(later.Boot, clock.Tick), State: 'S', Threads: 1}
	m.procs[41] = &proc.Process{PID: 41, PPID: 30, Start: clock.At(later.Boot, clock.Tick), State: 'S', Threads: 1}
	m.ci[41] = true
	left := map[int32]*proc.Process{40: m.procs[40], 41: m.procs[41]}
	delete(m.procs, 40)
	delete(m.procs, 41)
	e.Applied(now.Boot)
	e.Events(nil, 1, 0, later) // their forks
	if err := e.RescanIfLost(later); err != nil {
		t.Fatal(err)
	}
	for pid, p := range left {
		m.procs[pid] = p
	}
	answer(t, e, later, 40, 41)
	for pid, want := range map[int32]string{40: "all ci", 41: "all ci"} {
		if got := in(e, pid); got != want {
			t.Errorf("%d is in %q, want %q", pid, got, want)
		}
	}
}

// Who is busy is alive: no scan and no restart ends it.
func TestBusyIsAlive(t *testing.T) {
	m := newBusyMachine()
	e, now := lateEngine(t, m)
	m.proc[20] = true
	p := m.procs[20]
	delete(m.procs, 20)
	if err := e.Scan(now); err != nil {
		t.Fatal(err)
	}
	if _, ok := e.Live(20); !ok {
		t.Error("a scan ended a process that is busy")
	}
	m.procs[20] = p
}

// A process that is in a group, and is gone before its exec can be looked at, is put
// in the groups of rules by command when its line comes, and counted once.
func TestRuleAtDeathInGroup(t *testing.T) {
	m, now := newMachine(), at(time.Minute)
	e := newEngine(t, m, now)
	if err := e.SetRules(parseRules(t, "match: all\nlist: [{group: all, user: '*'}, {group: trues, command: 'true'}]"), now); err != nil {
		t.Fatal(err)
	}
	stamp := clock.Mono(now.Boot)
	m.procs[20] = &proc.Process{PID: 20, PPID: 1, Start: clock.At(now.Boot, clock.Tick), State: 'S', Threads: 1}
	e.Events([]cnfork.Event{
		{Kind: cnfork.Fork, PID: 20, TGID: 20, ParentPID: 1, ParentTGID: 1, Time: stamp},
		{Kind: cnfork.Exec, PID: 20, TGID: 20, Time: stamp},
		{Kind: cnfork.Fork, PID: 21, TGID: 21, ParentPID: 20, ParentTGID: 20, Time: stamp},
		{Kind: cnfork.Exec, PID: 21, TGID: 21, Time: stamp},
		{Kind: cnfork.Exit, PID: 21, TGID: 21, Time: stamp + 1000},
		{Kind: cnfork.Fork, PID: 22, TGID: 22, ParentPID: 20, ParentTGID: 20, Time: stamp}, // executes nothing
		{Kind: cnfork.Exit, PID: 22, TGID: 22, Time: stamp + 1000},
	}, 0, 0, now)
	for pid := int32(21); pid <= 22; pid++ {
		r := acct.Record{Source: acct.BSD, Whole: true, PID: pid, PPID: 20, Begin: now.Wall.Unix(), CPU: time.Second, User: time.Second}
		copy(r.Comm[:], "true")
		if pid == 22 {
			r.Flags = acct.FlagFork
		}
		e.Lines([]acct.Record{r}, nil, now)
	}
	ended := func(name string) (n uint64) {
		s, err := e.Snapshot(usage.Service{}, now)
		if err != nil {
			t.Fatal(err)
		}
		for i := range s.Groups {
			if s.Groups[i].Group.Name == name {
				return s.Groups[i].Usage[usage.Ended]
			}
		}
		return 0
	}
	if all, trues := ended("all"), ended("trues"); all != 2 || trues != 1 {
		t.Errorf("ended in the group of all: %d, of the command: %d; want 2 and 1", all, trues)
	}
	if len(e.unseen.unruled) != 0 {
		t.Errorf("still noted: %v", e.unseen.unruled)
	}
}
