// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"time"

	"elsa/pkg/clock"
	"elsa/pkg/proc"
)

// audit compares what processes are known to have used with the clock of the machine,
// of which nothing can be lost. It is pure.
type audit struct {
	last *balance
	// pending is CPU time that nobody is known to have used, if the next reading says so,
	// too: what has just ended may be billed a moment later.
	pending time.Duration
	// missing is what nobody is known to have used since the first reading.
	missing time.Duration
}

// balance is one reading of both.
type balance struct {
	at      clock.Boot
	cpus    int
	machine proc.MachineTime
	// known is what those who ended are billed, and those who live have used.
	known time.Duration
}

const (
	// Ticks are samples, and so is what is billed of processes without an exact record.
	// By so much of what ran, and so much for each CPU, the two may differ in a reading.
	auditShare = 0.03
	auditSlack = 100 * time.Millisecond
)

// add takes a reading.
func (a *audit) add(r balance) {
	last := a.last
	a.last = &r
	if last == nil || last.cpus != r.cpus {
		a.pending = 0
		return
	}
	ran := r.machine.Ran - last.machine.Ran
	// A tick that always meets the same short process takes it for a long one. No more
	// can have run than the CPUs were not idle.
	ran = min(ran, r.at.Sub(last.at)*time.Duration(r.cpus)-(r.machine.Idle-last.machine.Idle))
	slack := time.Duration(auditShare*float64(ran)) + time.Duration(r.cpus)*auditSlack
	now := max(0, a.pending+ran-(r.known-last.known)-slack)
	sure := min(a.pending, now)
	a.missing += sure
	a.pending = now - sure
}
