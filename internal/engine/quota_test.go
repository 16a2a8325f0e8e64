// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"elsa/internal/rules"
	"elsa/internal/tally"
	"elsa/pkg/clock"
	"elsa/pkg/cnfork"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
)

func ruleSet(t testing.TB, text string) *rules.Set {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	set, err := rules.Parse(doc.Content[0])
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// runs makes a process that executes a program, and tells the engine.
func (m *machine) runs(e *Engine, pid int32, comm string, now Now) {
	p := &proc.Process{PID: pid, PPID: 1, Start: clock.At(now.Boot, clock.Tick), UID: 1000}
	copy(p.Comm[:], comm)
	m.procs[pid] = p
	e.Events([]cnfork.Event{
		{Kind: cnfork.Fork, PID: pid, TGID: pid, ParentPID: 1, ParentTGID: 1, Time: clock.Mono(now.Boot)},
		{Kind: cnfork.Exec, PID: pid, TGID: pid, Time: clock.Mono(now.Boot)},
	}, 0, 0, now)
}

// TestRulesLeaveUsersGroupsAlone: what a rule takes does not go to a user's group,
// is counted, and told once.
func TestRulesLeaveUsersGroupsAlone(t *testing.T) {
	m, now := newMachine(), at(time.Hour)
	e := newEngine(t, m, now)
	e.options.Refused = &tally.Shared{}
	if _, err := e.MakeGroupOf(47001, "ci", nil, now); err != nil {
		t.Fatal(err)
	}
	if err := e.SetRules(ruleSet(t, "{match: all, list: [{group: ci, command: make}, {group: all, command: \"*\"}]}"), now); err != nil {
		t.Fatal(err)
	}
	for pid := range int32(3) {
		m.runs(e, 100+pid, "make", now)
		if l, _ := e.Live(100 + pid); strings.Join(e.GroupNames(l.Set), " ") != "all" {
			t.Errorf("process is in %v, want all", e.GroupNames(l.Set))
		}
	}
	if n := e.options.Refused.Count(tally.RuleOwners); n != 3 {
		t.Errorf("%d processes counted, want 3", n)
	}
	if errs := e.TakeRuleErrors(); len(errs) != 1 || !strings.Contains(errs[0].Error(), "uid 47001") {
		t.Errorf("told: %v, want one error that names the owner", errs)
	}
	if errs := e.TakeRuleErrors(); errs != nil {
		t.Errorf("told again: %v", errs)
	}
	e.DeleteGroup(e.Group("ci"))
	m.runs(e, 200, "make", now)
	if g := e.Group("ci"); g == nil || g.Owner != 0 {
		t.Errorf("the rule's group is %+v, want one of root's", g)
	}
}

// TestRuleMakesSoManyGroups: a template stops at its limit, and goes on when there
// is room.
func TestRuleMakesSoManyGroups(t *testing.T) {
	m, now := newMachine(), at(time.Hour)
	e := newEngine(t, m, now)
	e.options.Refused = &tally.Shared{}
	set := ruleSet(t, "{match: all, list: [{group: 'c/{{.Command}}', command: 'c*', limit: 3}, {group: 'd/{{.Command}}', command: '*'}]}")
	if err := e.SetRules(set, now); err != nil {
		t.Fatal(err)
	}
	count := func(prefix string) (n int) {
		for _, g := range e.Groups() {
			if strings.HasPrefix(g.Name, prefix) {
				n++
			}
		}
		return n
	}
	for i := range int32(10) {
		m.runs(e, 100+i, fmt.Sprintf("c%d", i), now)
	}
	m.runs(e, 200, "c0", now) // a group that is there takes more
	if l, _ := e.Live(200); len(e.GroupNames(l.Set)) != 2 {
		t.Errorf("process is in %v, want two groups", e.GroupNames(l.Set))
	}
	if c, d, refused := count("c/"), count("d/"), e.options.Refused.Count(tally.RuleGroups); c != 3 || d != 10 || refused != 7 {
		t.Errorf("%d groups of the rule with a limit of 3, %d of the other, %d refusals; want 3, 10 and 7", c, d, refused)
	}
	if errs := e.TakeRuleErrors(); len(errs) != 1 {
		t.Errorf("told: %v, want one error", errs)
	}
	// The same rules read again count what is there.
	if err := e.SetRules(ruleSet(t, "{match: all, list: [{group: 'c/{{.Command}}', command: 'c*', limit: 3}]}"), now); err != nil {
		t.Fatal(err)
	}
	if m.runs(e, 300, "cx", now); count("c/") != 3 {
		t.Errorf("%d groups after the rules were read again", count("c/"))
	}
	e.DeleteGroup(e.Group("c/c0"))
	if m.runs(e, 301, "cy", now); count("c/") != 3 || e.Group("c/cy") == nil {
		t.Errorf("%d groups after one was deleted, c/cy: %v", count("c/"), e.Group("c/cy"))
	}
}

// TestQuotaOfUsers: a user's groups are bounded, others' and root's are not
// touched by it, and done commands make room for new ones.
func TestQuotaOfUsers(t *testing.T) {
	m, now := newMachine(), at(time.Hour)
	e := newEngine(t, m, now)
	e.options.Refused = &tally.Shared{}
	make := func(uid uint32, name string, labels map[string]string, want error) *groups.Group {
		t.Helper()
		g, err := e.MakeGroupOf(uid, name, labels, now)
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Fatalf("uid %d makes %s: %v, want %v", uid, name, err, want)
		}
		return g
	}
	for i := range maxOwned {
		make(47001, fmt.Sprintf("m%d", i), nil, nil)
	}
	make(47001, "more", nil, ErrQuota)
	make(47001, "m0", nil, groups.ErrExists)
	make(47002, "other", nil, nil)
	for i := range maxOwned { // root has no bound
		if _, err := e.MakeGroup(fmt.Sprintf("r%d", i), 0, nil, now); err != nil {
			t.Fatal(err)
		}
	}
	// Of those of elsactl run, the one that ended first makes room.
	for _, name := range []string{"m7", "m5", "m6"} {
		e.MakeTemporary(e.Group(name))
		e.CloseGroup(e.Group(name), now)
		now = now.after(time.Second)
	}
	m.runs(e, 100, "x", now)
	l, _ := e.Live(100)
	e.Add(l, e.Group("m7"), false, false, 47001, now) // it lives
	make(47001, "more", nil, nil)
	if e.Group("m5") != nil || e.Group("m7") == nil || e.Group("m6") == nil {
		t.Error("it is not the first to end without processes that made room")
	}
	if n := e.options.Refused; n.Count(tally.UserGroups) != 1 || n.Count(tally.UserRuns) != 1 {
		t.Errorf("counted %d groups too many and %d that made room", n.Count(tally.UserGroups), n.Count(tally.UserRuns))
	}
	long := map[string]string{"k": strings.Repeat("x", maxOwnedLabels)}
	make(47003, "big", long, ErrQuota)
	delete(long, "k")
	long["k"] = strings.Repeat("x", maxOwnedLabels-1)
	g := make(47003, "big", long, nil)
	make(47003, "big2", map[string]string{"k": "v"}, ErrQuota)
	e.DeleteGroup(g)
	make(47003, "big2", map[string]string{"k": "v"}, nil)
	for i := e.catalog.OfUsers(); i < maxOfUsers; i++ {
		make(uint32(50000+i/500), fmt.Sprintf("s%d", i), nil, nil)
	}
	make(46000, "last", nil, ErrQuota)
}
