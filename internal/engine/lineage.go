// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"
	"strings"
	"time"

	"elsa/internal/lineage"
	"elsa/pkg/acct"
	"elsa/pkg/clock"
	"elsa/pkg/groups"
)

// origin remembers that a process was put in a group: because a user asked for it,
// or by the rule of a line. o says which; the command is looked up if it is empty.
func (e *Engine) origin(l groups.Life, o lineage.Origin) {
	o.Key, o.BootID, o.Time = l.Key(), e.database.boot, e.now.Wall.UTC()
	if o.Command == "" {
		if p, err := e.options.World.Process(l.PID); err == nil {
			o.Command = p.Command()
		}
	}
	e.lineage.Add(o)
}

// remember keeps a process that ended, if it may have descendants: a member, or any where
// rows tell of parents. r is its record, or nil.
func (e *Engine) remember(l *groups.Life, r *acct.Record) {
	// The fork connector names the task that forks, which may be a thread.
	if !l.Set.Grouped() && e.rows == nil || l.Start == 0 || !e.options.NoExits && !e.lineage.Forked(l.PID) {
		return
	}
	a := lineage.Ancestor{Key: l.Key(), PPID: l.PPID, Exit: l.Exit}
	if a.Exit == 0 {
		a.Exit = e.now.Boot
	}
	if r != nil {
		a.Comm = r.Comm
	}
	e.lineage.AddAncestor(a)
}

// Membership is why a process is in one group.
type Membership struct {
	Group string
	// Inferred: it was found after loss.
	Inferred bool
	// Chain are the process itself and its ancestors, up to the one that was put in
	// the group or as far as they are known.
	Chain []Ancestor
	// Omitted counts those left out of the middle of a long chain.
	Omitted int
	// Origin is how the last of the chain came into the group; nil when the line is
	// broken, and then Candidates are those it could have been.
	Origin     *lineage.Origin
	Candidates []lineage.Origin
}

// Ancestor is a process of a chain of forks.
type Ancestor struct {
	Key groups.Key
	// Live: it runs. Command is empty then: /proc has it.
	Live    bool
	Command string
	// Ended is when it ended, zero when it runs or nobody knows.
	Ended clock.Boot
	// Left: it lives, and is not in the group any more.
	Left bool
	set  groups.SetID
}

// maxChain bounds the ancestors that an explanation goes through.
const maxChain = 1000

// shownChain is how many of them are told at each end of a long chain.
const shownChain = 32

// Explain says why a process is in each of its groups, in order of their names. It
// does not look at the machine.
func (e *Engine) Explain(l groups.Life) []Membership {
	memberships := []Membership{}
	chain := e.chain(l)
	for _, id := range e.tracker.Sets.Groups(l.Set) {
		if g := e.catalog.ByID(id); g != nil {
			memberships = append(memberships, e.membership(g, l, chain))
		}
	}
	slices.SortFunc(memberships, func(a, b Membership) int { return strings.Compare(a.Group, b.Group) })
	return memberships
}

// chain are a process and its ancestors, as far as they are known.
func (e *Engine) chain(l groups.Life) (chain []Ancestor) {
	for range maxChain {
		a := Ancestor{Key: l.Key(), Command: "(unknown)"}
		if now, ok := e.tracker.Live(l.PID); ok && now.Start.Same(l.Start) {
			a.Live, a.Command, a.set = true, "", now.Set
		} else if past, ok := e.lineage.Parent(l.PID, l.Start); ok {
			if past.Comm[0] != 0 {
				a.Command = (&acct.Record{Comm: past.Comm}).Command()
			}
			a.Ended = past.Exit
		} else {
			a.Ended = l.Exit
		}
		chain = append(chain, a)
		parent, ok := e.parent(&l)
		if !ok {
			break
		}
		l = parent
	}
	return chain
}

// membership follows the chain up to the process that was put in the group.
func (e *Engine) membership(g *groups.Group, l groups.Life, chain []Ancestor) Membership {
	m := Membership{Group: g.Name, Inferred: l.Inferred}
	origins := e.lineage.Origins(g.ID)
	pids := make(map[int32]bool, len(origins))
	for i := range origins {
		pids[origins[i].Key.PID] = true
	}
	length := len(chain)
	for i := range chain {
		if !pids[chain[i].Key.PID] {
			continue
		}
		if o, ok := e.lineage.Origin(g.ID, chain[i].Key); ok {
			m.Origin, length = &o, i+1
			break
		}
	}
	for i, a := range chain[:length] {
		if length > 2*shownChain && i >= shownChain && i < length-shownChain {
			m.Omitted++
			continue
		}
		a.Left = a.Live && !e.tracker.Sets.Has(a.set, g.ID)
		m.Chain = append(m.Chain, a)
	}
	if m.Origin != nil {
		return m
	}
	// The line is broken. Whoever it was, it came from one of these.
	last := e.wall(chain[len(chain)-1].Key.Start.Boot())
	for _, o := range origins {
		if !o.Time.After(last) {
			m.Candidates = append(m.Candidates, o)
		}
	}
	return m
}

// wall is a moment by the wall clock as it is set now.
func (e *Engine) wall(at clock.Boot) time.Time { return e.now.Wall.Add(at.Sub(e.now.Boot)) }

// parent finds the process that forked another, as it was then.
func (e *Engine) parent(l *groups.Life) (groups.Life, bool) {
	lived := func(p *groups.Life) bool { return p.Start.MayForkBefore(p.Exit, l.Start) }
	pid := e.tracker.Owner(l.PPID)
	if p, ok := e.tracker.Peek(pid, lived); ok && pid != l.PID {
		return p, true
	}
	a, ok := e.lineage.Parent(pid, l.Start)
	return groups.Life{PID: a.Key.PID, Start: a.Key.Start, PPID: a.PPID, Exit: a.Exit}, ok
}
