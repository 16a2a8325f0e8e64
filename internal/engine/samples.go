// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"time"

	"elsa/internal/tally"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
	"elsa/pkg/usage"
)

// EachSampled calls f for every live process whose bill needs samples: those in a
// group, and those that were billed before. f must not change the engine.
func (e *Engine) EachSampled(now Now, f func(groups.Key)) error {
	if err := e.RescanIfLost(now); err != nil {
		return err
	}
	e.tracker.EachLive(func(l groups.Life) {
		if l.Set != groups.Ungrouped || l.HasAccount {
			f(l.Key())
		}
	})
	return nil
}

// TakeSample puts a sample on the bill of a process, if it still lives.
func (e *Engine) TakeSample(k groups.Key, s *proc.Sample) {
	if life, ok := e.tracker.Live(k.PID); ok && life.Start == k.Start {
		m := e.measure(s)
		if e.join.Sample(k, life.Set, &m) {
			e.tracker.Touch(k)
		}
	}
}

// SampleMembers samples every member at once: the last thing before the service
// ends, since their records may come while nobody reads.
func (e *Engine) SampleMembers(now Now) error {
	var keys []groups.Key
	if err := e.EachSampled(now, func(k groups.Key) { keys = append(keys, k) }); err != nil {
		return err
	}
	for _, k := range keys {
		if life, ok := e.tracker.Live(k.PID); ok {
			e.sample(k, life.Set)
		}
	}
	return nil
}

// sample brings one process's account up to date, if it is there.
func (e *Engine) sample(k groups.Key, set groups.SetID) {
	var s proc.Sample
	if e.options.World.Sample(k, &s) != nil {
		return
	}
	m := e.measure(&s)
	e.join.Sample(k, set, &m)
	e.tracker.Touch(k)
}

const (
	// unreapedAge is how long a death waits for its exact record before the
	// process is looked for among those that nobody waited for, and maxUnreaped how
	// many are looked for at a step.
	unreapedAge = 200 * time.Millisecond
	maxUnreaped = 64
)

// settleUnreaped finds the dead that nobody has waited for, so that their exact
// record does not come: their CPU clock stands still and is exact.
func (e *Engine) settleUnreaped() {
	var keys []groups.Key
	e.join.Unsettled(e.now.Boot.Add(-unreapedAge), func(k groups.Key, _ groups.SetID) bool {
		keys = append(keys, k)
		return len(keys) < maxUnreaped
	})
	for _, k := range keys {
		var s proc.Sample
		if e.options.World.Sample(k, &s) == nil && s.Dead {
			e.join.SettleByClock(k, s.CPU)
		}
	}
}

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
