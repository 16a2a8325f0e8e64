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
	"elsa/pkg/groups"
	"elsa/pkg/proc"
	"elsa/pkg/usage"
)

// ends tells the exit of a process and its line.
func (m *machine) ends(e *Engine, pid int32, comm string, now Now) {
	l, _ := e.Live(pid)
	delete(m.procs, pid)
	e.Events([]cnfork.Event{{Kind: cnfork.Exit, PID: pid, TGID: pid, Time: clock.Mono(now.Boot)}}, 0, 0, now)
	r := acct.Record{Source: acct.BSD, PID: pid, PPID: 1, UID: 1000, Whole: true, Elapsed: now.Boot.Sub(l.Start.Boot()),
		Begin: l.Start.Boot().Wall(e.join.Booted).Seconds()}
	copy(r.Comm[:], comm)
	e.Lines([]acct.Record{r}, nil, now)
	e.EndStep(now)
}

// newBooted is newEngine on a machine where process 1 is known.
func newBooted(t *testing.T, m *machine, now Now) *Engine {
	t.Helper()
	m.procs[1] = &proc.Process{PID: 1, Start: clock.At(0, clock.Tick), State: 'S', Threads: 1}
	e := newEngine(t, m, now)
	if err := e.Scan(now); err != nil {
		t.Fatal(err)
	}
	return e
}

// A process that is in a group and ended before a rule could look at it is put in the
// rule's group by its line.
func TestRuleBehindGroup(t *testing.T) {
	m, now := newMachine(), at(time.Hour)
	e := newBooted(t, m, now)
	if err := e.SetRules(ruleSet(t, "{match: all, list: [{group: everyone, command: sh}, {group: trues, command: 'true'}]}"), now); err != nil {
		t.Fatal(err)
	}
	m.runs(e, 100, "sh", now)
	for pid := int32(200); pid < 210; pid++ {
		now = now.after(10 * time.Millisecond)
		e.Events([]cnfork.Event{
			{Kind: cnfork.Fork, PID: pid, TGID: pid, ParentPID: 100, ParentTGID: 100, Time: clock.Mono(now.Boot)},
			{Kind: cnfork.Exec, PID: pid, TGID: pid, Time: clock.Mono(now.Boot)}, // nothing of it in /proc
		}, 0, 0, now)
		if pid%2 == 0 {
			e.EndStep(now) // its line was written after this step began
		}
		m.ends(e, pid, "true", now)
	}
	s, err := e.Snapshot(usage.Service{}, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range s.Groups {
		if got, started := g.Usage[usage.Ended], g.Usage[usage.Started]; got != 10 || started != 10+g.Usage[usage.Live] {
			t.Errorf("%s: %d ended, %d started, %d live; want 10 ended", g.Group.Name, got, started, g.Usage[usage.Live])
		}
	}
	if len(s.Groups) != 2 {
		t.Errorf("%d groups, want 2", len(s.Groups))
	}
	if n := len(e.unseen.unruled); n > 0 {
		t.Errorf("%d processes are still waited for", n)
	}
}

// slow is a name service that does not know yet.
type slow struct {
	rules.Numbers
	pending bool
}

func (s *slow) User(uint32) (string, bool) {
	if s.pending {
		return "1000", false
	}
	return "alice", true
}

func (s *slow) IsUser(_ uint32, name string) (bool, bool) {
	return !s.pending && name == "alice", !s.pending
}

// Who is to be known by a name that is being looked up is put in its group as soon as
// that is known; what needs no name is ruled at once.
func TestRuleWaitsForName(t *testing.T) {
	m, now := newMachine(), at(time.Hour)
	names := &slow{pending: true}
	m.Names = names
	e := newBooted(t, m, now)
	if err := e.SetRules(ruleSet(t, "{match: all, list: [{group: 'u/{{.User}}', command: '*'}, {group: alices, user: alice}, {group: shells, command: sh}]}"), now); err != nil {
		t.Fatal(err)
	}
	in := func(pid int32) string {
		l, _ := e.Live(pid)
		return fmt.Sprint(e.GroupNames(l.Set))
	}
	m.runs(e, 100, "sh", now)
	m.runs(e, 101, "cc", now)
	if in(100) != "[shells]" || in(101) != "[]" {
		t.Errorf("before the name is known: %s and %s", in(100), in(101))
	}
	named := func() {
		t.Helper()
		if err := e.Named(now); err != nil {
			t.Fatal(err)
		}
		applyAll(t, e, 1, now, nil)
	}
	if named(); in(101) != "[]" {
		t.Errorf("still not known: %s", in(101))
	}
	names.pending = false
	m.ends(e, 101, "cc", now) // known just in time
	if named(); in(100) != "[alices shells u/alice]" {
		t.Error(in(100))
	}
	if g := e.Group("u/1000"); g != nil {
		t.Error("a group is called by the number")
	}
	s, err := e.Snapshot(usage.Service{}, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range s.Groups {
		if g.Group.Name == "u/alice" && g.Usage[usage.Ended] != 1 {
			t.Errorf("u/alice: %d ended, want the one whose name came with its end", g.Usage[usage.Ended])
		}
	}
	if n := len(e.ruled.unnamed); n > 0 || e.Counts()[tally.RulesLate] > 0 {
		t.Errorf("%d wait, %d were missed", n, e.Counts()[tally.RulesLate])
	}
}

// A group that a rule made of a template is closed when it was empty for a minute,
// opens for the next process, makes room for others of its rule, and is deleted in the
// end. A group with a name of its own in the rule stays open.
func TestRuleGroupsLapse(t *testing.T) {
	m, now := newMachine(), at(time.Hour)
	e := newBooted(t, m, now)
	e.options.Refused = &tally.Shared{}
	if err := e.SetRules(ruleSet(t, "{match: all, list: [{group: 'c/{{.Command}}', command: 'c*', limit: 3}, {group: plain, command: '*'}]}"), now); err != nil {
		t.Fatal(err)
	}
	wait := func(d time.Duration, want string) {
		t.Helper()
		for end := now.Boot.Add(d); now.Boot < end; {
			now = now.after(10 * time.Second)
			if _, err := e.Expire(24*time.Hour, now); err != nil {
				t.Fatal(err)
			}
		}
		var all []string
		for _, g := range e.Groups() {
			all = append(all, g.Name+" "+g.State())
		}
		if got := strings.Join(all, ", "); got != want {
			t.Errorf("after %v: %s; want %s", now.Boot, got, want)
		}
	}
	m.runs(e, 100, "c1", now)
	m.runs(e, 101, "c2", now)
	id := e.Group("c/c1").ID
	wait(10*time.Minute, "c/c1 open, c/c2 open, plain open")
	m.ends(e, 100, "c1", now)
	wait(50*time.Second, "c/c1 open, c/c2 open, plain open")
	wait(20*time.Second, "c/c1 closed, c/c2 open, plain open")
	m.runs(e, 102, "c1", now)
	wait(0, "c/c1 open, c/c2 open, plain open")
	if e.Group("c/c1").ID != id {
		t.Error("it is another group")
	}
	m.ends(e, 102, "c1", now)
	wait(80*time.Second, "c/c1 closed, c/c2 open, plain open")

	// It is closed by hand: no rule opens it.
	e.CloseGroup(e.Group("c/c1"), now)
	m.runs(e, 103, "c1", now)
	wait(0, "c/c1 closed, c/c2 open, plain open")
	m.ends(e, 103, "c1", now)

	// As many as the rule may make: what ended makes room, what lives does not.
	m.runs(e, 104, "c3", now)
	m.runs(e, 105, "c4", now)
	wait(0, "c/c1 closed, c/c2 open, c/c3 open, plain open")
	m.ends(e, 104, "c3", now)
	wait(80*time.Second, "c/c1 closed, c/c2 open, c/c3 closed, plain open")
	m.runs(e, 106, "c5", now)
	wait(0, "c/c1 closed, c/c2 open, c/c5 open, plain open")
	if n := e.options.Refused.Count(tally.RuleEnded); n != 1 {
		t.Errorf("%d made room, want 1", n)
	}
	m.ends(e, 105, "c4", now)
	m.ends(e, 106, "c5", now)
	m.ends(e, 101, "c2", now)
	wait(25*time.Hour, "plain open")
}

// The history names the program that a process executed, whatever it called itself and
// its threads later; what is not known goes by the first thread, and then by the line.
func TestProgramNames(t *testing.T) {
	m, now := newMachine(), at(time.Hour)
	e := newBooted(t, m, now)
	name := func(s string) (comm [16]byte) { copy(comm[:], s); return comm }
	start := now.Boot
	for i, tt := range []struct {
		exec, first, line, want string
	}{
		{"server", "renamed", "worker-7", "server"},
		{"", "renamed", "worker-7", "renamed"},
		{"", "", "worker-7", "worker-7"},
	} {
		pid := int32(100 + i)
		e.Events([]cnfork.Event{{Kind: cnfork.Fork, PID: pid, TGID: pid, Start: start, Forker: 1, ForkerStart: 0, Time: clock.Mono(now.Boot)}}, 0, 0, now)
		if tt.exec != "" {
			e.Events([]cnfork.Event{{Kind: cnfork.Exec, PID: pid, TGID: pid, Start: start, Comm: name(tt.exec), Time: clock.Mono(now.Boot)}}, 0, 0, now)
		}
		if tt.first != "" {
			e.Taskstats([]acct.Record{{Source: acct.Taskstats, PID: pid, Whole: true, Comm: name(tt.first), Begin: clock.Boot(start).Wall(e.join.Booted).Seconds()}}, 0, 0, now)
		}
		var got [16]byte
		roll := e.join.Roll
		e.join.Roll = func(c *usage.Cell) *usage.Usage { got = c.Comm; return roll(c) }
		m.ends(e, pid, tt.line, now)
		e.join.Roll = roll
		if got != name(tt.want) {
			t.Errorf("%+v: the history has %q", tt, got)
		}
	}
	if n := len(e.programs.names); n > 0 {
		t.Errorf("%d names of the dead are kept", n)
	}
	for pid := range int32(3 * minPrograms) {
		e.programs.executed(groups.Key{PID: pid}, name("lost"))
	}
	e.EndStep(now)
	if n := len(e.programs.names); n > 0 {
		t.Errorf("%d names are kept of processes that nobody knows", n)
	}
}

// The peak of memory is that of the program, which an event tells at the end, though the
// exact record begins with that of the large process which forked it.
func TestPeakOfLargeParent(t *testing.T) {
	m, now := newMachine(), at(time.Hour)
	e := newBooted(t, m, now)
	e.tracker.WholeExits = true
	start, comm := now.Boot, [16]byte{'t', 'r', 'u', 'e'}
	e.Events([]cnfork.Event{
		{Kind: cnfork.Fork, PID: 100, TGID: 100, Start: start, Forker: 1, Time: clock.Mono(now.Boot)},
		{Kind: cnfork.Exec, PID: 100, TGID: 100, Start: start, Comm: comm, Time: clock.Mono(now.Boot)},
		{Kind: cnfork.Exit, PID: 100, TGID: 100, Start: start, Peak: 2 << 20, Time: clock.Mono(now.Boot)},
	}, 0, 0, now)
	e.Lines([]acct.Record{{Source: acct.BSD, PID: 100, PPID: 1, Whole: true, Comm: comm, Begin: start.Wall(e.join.Booted).Seconds()}}, nil, now)
	e.Exact([]acct.Record{{Source: acct.Exact, PID: 100, Whole: true, Comm: comm, Start: int64(start), MaxRSS: 300 << 20}}, 0, 0, now)
	e.EndStep(now)
	s, err := e.Snapshot(usage.Service{}, now)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Total[usage.MaxRSS]; got != 2<<20 || s.Total[usage.Exact] != 1 {
		t.Errorf("the peak is %d bytes of %d exact deaths, want 2 MiB of one", got, s.Total[usage.Exact])
	}
}
