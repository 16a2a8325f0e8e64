// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"

	"elsa/pkg/groups"
)

// Answered says that processes that were busy can be looked at, or are gone. The
// rules are applied to those that live, in this order. A look at all processes may
// have left some out: they are found now.
func (e *Engine) Answered(pids []int32, now Now) error {
	e.now = now
	if !e.loss.pending && slices.ContainsFunc(pids, e.leftOut) {
		if err := e.scan(e.loss.newSince); err != nil {
			return err
		}
		for _, pid := range pids {
			if e.unseen.late.waits[pid] == nil {
				e.applyRules(pid)
			}
		}
	}
	for _, pid := range pids {
		w := e.unseen.late.drop(pid)
		if w != nil && !e.ruleLate(w) {
			e.notSeen(w.key, nil)
		}
	}
	return nil
}

// ruleLate applies the rules to a process that waited for them, and puts its heirs in
// the groups that it comes to. It reports whether the process lives.
func (e *Engine) ruleLate(w *wait) bool {
	life, ok := e.tracker.Live(w.key.PID)
	if !ok || !life.Start.Same(w.key.Start) {
		return false
	}
	before := life.Set
	e.rule(w.executed)
	if again := e.unseen.late.waits[w.key.PID]; again != nil {
		e.unseen.late.pass(w, again)
	}
	if life, ok = e.tracker.Live(w.key.PID); ok && life.Set != before {
		e.inherit(w, before, life.Set)
	}
	return true
}

// leftOut reports whether a process lives that the tracker does not know.
func (e *Engine) leftOut(pid int32) bool {
	p, err := e.options.World.Process(pid)
	if err != nil || p.Dead() {
		return false
	}
	l, known := e.tracker.Lookup(pid)
	return !known || !p.Start.Same(l.Start)
}

// inherit puts heirs of a process in the groups that it came to.
func (e *Engine) inherit(w *wait, before, after groups.SetID) {
	had, has := e.tracker.Sets.Groups(before), e.tracker.Sets.Groups(after)
	for _, k := range w.heirs {
		if life, ok := e.tracker.Live(k.PID); !ok || !life.Start.Same(k.Start) {
			e.notSeen(k, nil)
			continue
		}
		for _, id := range has {
			life, _ := e.tracker.Live(k.PID)
			g := e.catalog.ByID(id)
			if g == nil || slices.Contains(had, id) || e.tracker.Sets.Has(life.Set, id) || e.full(life.Set, g) {
				continue
			}
			e.sample(k, life.Set)
			if change, ok := e.tracker.Add(k.PID, id, false); ok && change.From != change.To {
				e.move(change, false)
			}
		}
	}
}
