// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"elsa/internal/fault"
	"elsa/internal/tally"
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
