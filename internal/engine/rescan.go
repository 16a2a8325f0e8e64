// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"

	"elsa/internal/fault"
	"elsa/internal/rules"
	"elsa/internal/tally"
	"elsa/pkg/groups"
)

// RescanIfLost makes the tracker agree with /proc if events were lost since it was
// read. Everything that reads memberships calls it first. It reads /proc: some
// 10 µs a process.
func (e *Engine) RescanIfLost(now Now) error {
	e.now = now
	if !e.loss.pending {
		return nil
	}
	if err := e.scan(e.loss.trusted); err != nil {
		return err
	}
	fault.Point(fault.ResyncScanned)
	e.loss.pending, e.loss.gaps = false, gapSteps
	e.counts[tally.Rescans]++
	for _, x := range e.loss.ruleable {
		e.rule(x)
	}
	e.loss.ruleable = e.loss.ruleable[:0]
	return nil
}

// Scan makes the tracker agree with /proc in any case.
func (e *Engine) Scan(now Now) error {
	e.now = now
	return e.scan(e.loss.trusted)
}

// SetRules puts rules in place of the old ones and applies them to every process
// there is.
func (e *Engine) SetRules(set *rules.Set, now Now) error {
	e.ruleset, e.ruled = set, ruled{}
	return e.ApplyRules(now)
}

// ApplyRules applies the rules to every process there is.
func (e *Engine) ApplyRules(now Now) error {
	if err := e.RescanIfLost(now); err != nil || len(e.ruleset.Rules) == 0 {
		return err
	}
	var pids []int32
	e.tracker.EachLive(func(l groups.Life) { pids = append(pids, l.PID) })
	slices.Sort(pids)
	for _, pid := range pids {
		e.applyRules(pid)
	}
	return nil
}
