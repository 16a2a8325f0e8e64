// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"elsa/internal/rules"
	"elsa/internal/tally"
	"elsa/pkg/clock"
	"elsa/pkg/cnfork"
	"elsa/pkg/proc"
)

func parseRules(t *testing.T, text string) *rules.Set {
	t.Helper()
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(text), &n); err != nil {
		t.Fatal(err)
	}
	s, err := rules.Parse(n.Content[0])
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestToldRules executes programs that are gone before anybody looks: what their
// events tell is enough for rules by command, user, unix group and parent, and what
// is not told is counted.
func TestToldRules(t *testing.T) {
	m, now := newMachine(), at(time.Minute)
	e := newEngine(t, m, now)
	e.tracker.WholeExits = true
	if err := e.SetRules(parseRules(t, `
match: all
list:
  - {group: makes, command: make}
  - {group: u1000, user: "1000", unix-group: "100"}
  - {group: inner, command: cc, parent: makes}
  - {group: ci, command: true, env: {CI: "1"}}
`), now); err != nil {
		t.Fatal(err)
	}
	began := now.Boot.Add(time.Second)
	fork := func(parent, pid int32) cnfork.Event {
		e := cnfork.Event{Kind: cnfork.Fork, PID: pid, TGID: pid, Start: began + clock.Boot(pid), Forker: parent, ForkerStart: began + clock.Boot(parent)}
		if parent == 1 {
			e.ForkerStart = 1
		}
		return e
	}
	exec := func(pid int32, comm string, uid, gid uint32) cnfork.Event {
		e := cnfork.Event{Kind: cnfork.Exec, PID: pid, TGID: pid, Start: began + clock.Boot(pid), UID: uid, GID: gid}
		copy(e.Comm[:], comm)
		return e
	}
	exit := func(pid int32) cnfork.Event {
		return cnfork.Event{Kind: cnfork.Exit, PID: pid, TGID: pid, Start: began + clock.Boot(pid), End: began + 1000}
	}
	m.procs[1] = &proc.Process{PID: 1, Start: clock.At(0, clock.Tick), State: 'S', Threads: 1}
	if err := e.Scan(now); err != nil {
		t.Fatal(err)
	}
	e.Events([]cnfork.Event{
		fork(1, 20), exec(20, "make", 1000, 100),
		fork(20, 21), exec(21, "cc", 1000, 101), exit(21), exit(20),
		fork(1, 22), exec(22, "true", 0, 0), exit(22),
		exec(23, "make", 0, 0), exit(23), // its fork is not told: by process 1
	}, 0, 0, now.after(2*time.Second))
	for pid, want := range map[int32]string{20: "makes u1000", 21: "inner makes u1000", 22: "", 23: "makes"} {
		l, ok := e.tracker.Lookup(pid)
		if got := strings.Join(e.groupNames(l.Set), " "); !ok || l.Unproven || got != want {
			t.Errorf("%d is in %q (%v, unproven %v), want %q", pid, got, ok, l.Unproven, want)
		}
	}
	if n := e.Counts(); n[tally.Ruled] != 4 || n[tally.RulesLate] != 1 {
		t.Errorf("%d put in groups, %d not seen; want 4 and 1", n[tally.Ruled], n[tally.RulesLate])
	}

	// After loss the rules wait for the rescan; who has ended by then is counted.
	e.Events([]cnfork.Event{fork(1, 30), exec(30, "make", 0, 0), exit(30)}, 5, 0, now.after(3*time.Second))
	if err := e.RescanIfLost(now.after(4 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n := e.Counts(); n[tally.Ruled] != 4 || n[tally.RulesLate] != 2 {
		t.Errorf("after loss: %d put in groups, %d not seen; want 4 and 2", n[tally.Ruled], n[tally.RulesLate])
	}
}
