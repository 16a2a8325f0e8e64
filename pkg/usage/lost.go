// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"time"

	"elsa/pkg/clock"
	"elsa/pkg/groups"
)

// lost are ends of processes whose exact records were lost, known in sum: those whose
// death was told otherwise are billed by that, and what remains is unattributed.
type lost struct {
	processes uint64
	cpu       time.Duration
	until     clock.Boot // when all that is told otherwise was told
}

// LostExact says that the exact records of so many processes were lost, which used so
// much CPU together, that of their threads included.
func (j *Join) LostExact(processes uint64, cpu time.Duration, now clock.Boot) {
	if processes == 0 && cpu == 0 {
		return
	}
	j.lost.processes += processes
	j.lost.cpu += cpu
	j.lost.until = now.Add(j.Patience + orphanAge)
}

// found takes a death without its exact record, which was charged so much.
func (l *lost) found(cpu time.Duration) {
	if l.processes > 0 {
		l.processes--
		l.cpu -= min(l.cpu, cpu)
	}
}

// settleLost bills what remains to the unattributed once nothing more can be found. The
// CPU is measured, so it is exact. It is not known how it is split, and goes to user
// time.
func (j *Join) settleLost(now clock.Boot) {
	l := j.lost
	if l.until == 0 || now < l.until {
		return
	}
	j.lost = lost{}
	for _, d := range j.open { // those whose clock was read may have been waited for since
		for ; d != nil; d = d.next {
			if d.standing {
				l.found(d.base.CPU() + d.charged.CPU())
			}
		}
	}
	if j.Lines {
		l.processes = 0 // each is counted by its line
	}
	if l.processes == 0 && l.cpu == 0 {
		return
	}
	j.Reported += l.cpu
	j.Settled.Exact += l.processes
	cell := Cell{Hour: HourOf(now.Wall(j.Booted).Seconds()), Set: groups.Unattributed, UID: UnknownUID, Comm: Unknown}
	j.emitPart(groups.Key{}, 0, &cell, &Measure{User: uint64(l.cpu)})
	j.bill(groups.Unattributed, &cell, &Usage{Started: l.processes, Ended: l.processes, Exact: l.processes, User: uint64(l.cpu)})
}
