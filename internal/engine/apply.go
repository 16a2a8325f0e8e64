// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"

	"elsa/internal/rules"
	"elsa/internal/tally"
	"elsa/pkg/groups"
)

// SetRules puts rules in place of the old ones. What executes a program from now on
// meets them at once; the processes there are do by ApplySome, or ApplyRules.
func (e *Engine) SetRules(set *rules.Set, now Now) error {
	e.now = now
	e.ruleset, e.ruled = set, ruled{}
	if err := e.RescanIfLost(now); err != nil {
		return err
	}
	e.listDue()
	return nil
}

// Named has the rules applied again, by ApplySome, to the live processes for which they
// asked for names that were not known yet. It is to be called when names became known.
func (e *Engine) Named(now Now) error {
	if err := e.RescanIfLost(now); err != nil {
		return err
	}
	d := &e.ruled.due
	if len(d.order) == 0 {
		d.rescans = e.counts[tally.Rescans]
	}
	for k, x := range e.ruled.unnamed {
		d.wait(k, x)
		d.order = append(d.order, k.PID)
	}
	e.ruled.unnamed = nil
	return nil
}

// ApplySome applies the rules to as many as n of the processes that have not met them
// since SetRules, and reports whether there are more. Where events were lost
// meanwhile, it applies them to all.
func (e *Engine) ApplySome(n int, now Now) (more bool, err error) {
	if err := e.RescanIfLost(now); err != nil {
		return false, err
	}
	d := &e.ruled.due
	if len(d.order) > 0 && d.rescans != e.counts[tally.Rescans] {
		e.listDue()
		n = len(d.order)
	}
	for ; n > 0 && len(d.order) > 0; n-- {
		w := d.drop(d.order[0])
		if d.order = d.order[1:]; w == nil || e.ruleLate(w) {
			continue
		}
		for _, k := range w.heirs { // it is gone, and what it was in is not known
			if l, ok := e.tracker.Live(k.PID); ok && l.Start.Same(k.Start) {
				e.applyRules(k.PID)
			}
		}
	}
	if len(d.order) > 0 {
		return true, nil
	}
	*d = due{}
	return false, nil
}

// ApplyRules applies the rules to every process there is.
func (e *Engine) ApplyRules(now Now) error {
	if err := e.RescanIfLost(now); err != nil {
		return err
	}
	e.listDue()
	_, err := e.ApplySome(len(e.ruled.due.order), now)
	return err
}

func (e *Engine) listDue() {
	d := &due{rescans: e.counts[tally.Rescans]}
	if len(e.ruleset.Rules) > 0 {
		e.tracker.EachLive(func(l groups.Life) {
			d.wait(l.Key(), executed{pid: l.PID})
			d.order = append(d.order, l.PID)
		})
	}
	slices.Sort(d.order)
	e.ruled.due = *d
}
