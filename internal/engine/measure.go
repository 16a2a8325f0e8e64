// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"elsa/internal/tally"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
	"elsa/pkg/usage"
)

// sample brings one process's account up to date, if it is there.
func (e *Engine) sample(k groups.Key, set groups.SetID) {
	s := new(proc.Sample)
	if e.options.World.Sample(k, s) != nil {
		return
	}
	if e.samples.taken == nil || len(e.samples.taken) >= maxTaken {
		e.samples.taken = map[groups.Key]*proc.Sample{}
	}
	e.samples.taken[k] = s
	m := e.measure(s)
	e.join.Sample(k, e.cellOf(k, set, s), &m)
	e.tracker.KeepAccount(k)
}

// cellOf is the cell of the history for what a sample found.
func (e *Engine) cellOf(k groups.Key, set groups.SetID, s *proc.Sample) usage.Cell {
	cell := usage.Cell{Hour: usage.HourOf(e.now.Wall.Unix()), Set: set, UID: usage.UnknownUID, Comm: usage.Unknown}
	if s.Comm[0] != 0 {
		cell.UID, cell.Comm = s.UID, s.Comm
	}
	if p, known := e.programs.get(k); known {
		cell.Comm = p.Comm
	}
	return cell
}

// measure are the figures of a sample in the order of a bill.
func (e *Engine) measure(s *proc.Sample) usage.Measure {
	if s.Denied {
		e.counts[tally.SamplesDenied]++
	}
	return usage.Measure{
		usage.User: uint64(s.User), usage.System: uint64(s.System), usage.MinorFaults: s.MinorFaults, usage.MajorFaults: s.MajorFaults,
		usage.ReadBytes: s.ReadBytes, usage.WriteBytes: s.WriteBytes, usage.ReadChars: s.ReadChars, usage.WriteChars: s.WriteChars,
		usage.MaxRSS: s.MaxRSS, usage.VoluntarySwitches: s.VoluntarySwitches, usage.InvoluntarySwitches: s.InvoluntarySwitches,
	}
}
