// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"elsa/internal/lineage"
	"elsa/internal/rules"
	"elsa/internal/tally"
	"elsa/pkg/acct"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
)

// applyRules puts a live process in the groups that the rules name, by what /proc
// says of it.
func (e *Engine) applyRules(pid int32) { e.rule(executed{pid: pid}) }

// rule puts a process that executed a program, or changed its user, in the groups
// that the rules name. It does not take it out of any.
func (e *Engine) rule(x executed) {
	if len(e.ruleset.Rules) == 0 {
		return
	}
	if e.loss.pending {
		e.loss.ruleable = append(e.loss.ruleable, x)
		return
	}
	life, ok := e.tracker.Live(x.pid)
	if !ok || x.told() && !life.Start.Same(x.start) {
		if x.told() && x.start.Boot() > e.began {
			e.missed(nil) // it ended while events were lost
		}
		return
	}
	k := life.Key()
	p := proc.Process{PID: x.pid, PPID: life.PPID, Start: x.start, UID: x.uid, GID: x.gid, Comm: x.comm}
	if !x.told() {
		var err error
		if p, err = e.options.World.Process(x.pid); proc.Coming(err) {
			e.unseen.late.wait(k, x)
			return
		} else if err != nil || !p.Start.Same(life.Start) {
			e.notSeen(k, nil) // it ended before it could be looked at
			return
		}
	}
	if _, known := e.programs.get(k); !known {
		e.programs.executed(k, p.Comm)
	}
	traits := e.options.World.Traits(p, x.cgroup)
	matches, unseen := e.ruleset.Match(&facts{traits, e, life.Set})
	switch {
	case traits.Late():
		e.unseen.late.wait(k, x)
	case traits.Pending() && e.ruled.await(k, x):
	case unseen != nil:
		e.notSeen(k, unseen)
	}
	for _, m := range matches {
		life, _ = e.tracker.Live(x.pid) // the match before may have moved it
		e.applyRule(life, m, &p)
	}
}

func (e *Engine) applyRule(life groups.Life, m rules.Match, p *proc.Process) {
	g := e.ruleGroup(m, p.UID)
	if g == nil || e.tracker.Sets.Has(life.Set, g.ID) || e.full(life.Set, g) {
		return
	}
	e.sample(life.Key(), life.Set)
	if change, ok := e.tracker.Add(life.PID, g.ID, false); ok && change.From != change.To {
		e.move(change, false)
		e.origin(life, lineage.Origin{Group: g.ID, Rule: m.Rule.Line, Command: p.Command()})
		e.counts[tally.Ruled]++
	}
}

// full reports whether processes of a set can be put in no other group, and counts
// it.
func (e *Engine) full(set groups.SetID, g *groups.Group) bool {
	if !e.tracker.Sets.Full(set, g.ID) {
		return false
	}
	e.counts[tally.ProcessGroups]++
	return true
}

// maxUnruled bounds the processes of which is known that rules could not look at them.
const maxUnruled = 1 << 16

// missed counts a process that a rule could not look at, or with nil none could.
func (e *Engine) missed(r *rules.Rule) {
	e.counts[tally.RulesLate]++
	e.unseen.misses.add(r)
}

// notSeen notes a process that a rule, or nil for any, could not look at.
func (e *Engine) notSeen(k groups.Key, r *rules.Rule) {
	e.missed(r)
	if len(e.unseen.unruled) == maxUnruled {
		clear(e.unseen.unruled)
	}
	e.unseen.unruled[k] = struct{}{}
}

// ruleAtDeath finds the set of a process that was in no group, or that ended before
// its exec could be looked at, by its ledger line. Only rules about command and user
// can be told then.
func (e *Engine) ruleAtDeath(r *acct.Record, life *groups.Life) {
	if len(e.ruleset.Rules) == 0 {
		return
	}
	_, missed := e.unseen.unruled[life.Key()]
	delete(e.unseen.unruled, life.Key())
	if life.Set != groups.Ungrouped && !missed || life.Unproven || r.Flags&acct.FlagFork != 0 {
		return
	}
	was := life.Set
	ended := rules.Gone(proc.Process{PID: r.PID, UID: r.UID, GID: r.GID, Comm: r.Comm}, e.options.World)
	matches, _ := e.ruleset.Match(&facts{ended, e, life.Set})
	for _, m := range matches {
		if g := e.ruleGroup(m, r.UID); g != nil && !e.full(life.Set, g) {
			life.Set = e.tracker.Sets.With(life.Set, g.ID)
		}
	}
	if ended.Pending() {
		e.missed(nil)
	}
	switch {
	case life.Set == was:
		return
	case was == groups.Ungrouped:
		e.tracker.CountStranger(life.Set)
	default:
		e.tracker.CountMoved(was, life.Set)
	}
	e.counts[tally.Ruled]++
}

// facts are the traits of a process, and the groups it is in.
type facts struct {
	rules.Traits
	engine *Engine
	set    groups.SetID
}

func (f *facts) Groups() []string { return f.engine.groupNames(f.set) }

func (e *Engine) facts(p proc.Process, set groups.SetID) *facts {
	return &facts{e.options.World.Traits(p, 0), e, set}
}

// Facts returns the rules in force and what they can ask of a running process.
func (e *Engine) Facts(p proc.Process, l groups.Life) (*rules.Set, rules.Facts) {
	return e.ruleset, e.facts(p, l.Set)
}
